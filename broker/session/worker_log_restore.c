/* worker_log_restore.c: at the start: queues, messages under way and QoS 2 ids go back to their sessions. */
#include <inttypes.h>

#include "log.h"
#include "mem.h"
#include "persist.h"
#include "queue_replay.h"
#include "route.h"
#include "session_log.h"
#include "shared_sub.h"

static bool known(void *arg, uint64_t id) { return persist_session(arg, id) != NULL; }

/* ---- what was on its way between two workers ---- */

/* Who looks for sessions that would have got it. */
struct late {
	struct queue_replay *r;
	const struct queue_pending *p;
};

static void late_give(const struct late *l, const struct session *s, uint8_t qos, bool retain, const uint32_t *ids,
		      size_t ids_len, uint64_t group) {
	if (s->store_id == 0) return;
	struct sub_ids *own = sub_ids_copy(ids, ids_len, group);
	if (l->p->m->qos < qos) qos = l->p->m->qos;
	if (qos > 0)
		queue_replay_add(l->r, s->store_id,
				 &(struct queue_delivery){.m = l->p->m, .ids = own, .qos = qos, .retain = retain});
	sl_free(own);
}

/* One member; which one it would have been nobody knows any more. */
static void late_member(struct broker *b, const struct late *l, const struct share_group *g) {
	for (size_t i = 0; i < g->members_len; i++) {
		const struct share_member *m = &g->members[i];
		const struct session *s = worker_session(&b->workers[m->worker], m->ref);
		if (!s || s->store_id == 0) continue;
		late_give(l, s, m->qos, l->p->m->retain && m->retain_as_published, &m->sub_id, m->sub_id ? 1 : 0,
			  g->number);
		return;
	}
}

static bool lived_there(const struct queue_pending *p, struct sl_slice name) {
	return worker_home_of(name, p->home_seed, p->workers) == p->to;
}

static void late_target(void *arg, struct worker *w, const struct route *r, const struct route_target *t) {
	const struct late *l = arg;
	if (t->group && lived_there(l->p, t->group->text)) late_member(w->b, l, t->group);
	if (t->s && lived_there(l->p, t->s->client_id))
		late_give(l, t->s, t->qos, l->p->m->retain && t->retain_as_published, r->ids + t->ids_at, t->ids_len,
			  0);
}

static void pending(void *arg, struct queue_replay *r, const struct queue_pending *p) {
	struct broker *b = arg;
	struct late l = {.r = r, .p = p};
	if (p->share.n > 0) {
		const struct share_group *g = share_group_find(worker_home(b, p->share), p->share);
		if (g) late_member(b, &l, g);
		return;
	}
	for (uint32_t i = 0; i < b->workers_len; i++) route_each_here(&b->workers[i], p->m, late_target, &l);
}

/* ---- sessions ---- */

/* Groups have other numbers in each run. */
static void find_group(const struct session *s, const struct msg *m, struct sub_ids *ids) {
	if (ids && ids->group == SUB_IDS_SOME_GROUP) ids->group = m ? share_sub_group_of(s, msg_topic(m)) : 0;
}

static void find_groups(struct session *s) {
	for (uint32_t i = 0; i < s->queue.len; i++) {
		struct msg_queue_entry *e = msg_queue_at(&s->queue, i);
		find_group(s, e->m, e->ids);
	}
	size_t n;
	struct inflight_entry **sent = inflight_sorted(&s->out, &n);
	for (size_t i = 0; i < n; i++) find_group(s, sent[i]->m, sent[i]->ids);
	sl_free(sent);
}

static void give_back(struct session *s, struct queue_image *image) {
	struct worker *w = s->w;
	uint16_t id;
	s->out = image->out;
	s->queue = image->queue;
	s->in = image->in;
	s->open = image->open;
	image->out = (struct inflight){0};
	image->queue = (struct msg_queue){0};
	image->in = image->open = (struct id_set){0};
	find_groups(s);
	for (uint32_t at = 0; id_set_next(&s->open, &at, &id);) id_set_add(&s->reroute, id);
	queue_log_adopt(w->log->q, &s->lane);
	sl_metric_add(&w->metrics, METRIC_QUEUED, s->queue.len);
	sl_metric_add(&w->metrics, METRIC_QUEUED_BYTES, s->queue.bytes);
	sl_metric_add(&w->metrics, METRIC_INFLIGHT_OUT, s->out.len);
	sl_metric_add(&w->metrics, METRIC_QUEUE_LOG_RECOVERED, s->queue.len + s->out.len);
}

static void ended(struct session *s) { queue_log_forget(&s->lane); }

static void note_lasting(struct broker *b) {
	for (uint32_t i = 0; i < b->workers_len; i++) {
		struct worker *w = &b->workers[i];
		HMAP_FOREACH(session_map, it, &w->sessions) if (it->s->store_id) atomic_store(&w->lasting, true);
	}
}

static void give_all_back(struct broker *b, struct queue_replay *r) {
	uint64_t sessions = 0, messages = 0;
	struct queue_image *image;
	struct queue_replay_stat st;
	for (size_t at = 0; (image = queue_replay_next(r, &at)) != NULL;) {
		struct session *s = persist_session(b, image->id);
		if (!s) continue;
		sessions++;
		messages += image->queue.len + image->out.len;
		give_back(s, image);
	}
	queue_replay_stat(r, &st);
	b->workers[0].metrics.v[METRIC_QUEUE_LOG_CUT] += st.cut_bytes;
	if (st.files > 0)
		log_info(LOG_STORE, "queues are back",
			 "sessions=%" PRIu64 " messages=%" PRIu64 " files=%" PRIu64 " bytes=%" PRIu64 " cut=%" PRIu64,
			 sessions, messages, st.files, st.bytes, st.cut_bytes);
}

int worker_log_restore(struct broker *b, struct sl_err *err) {
	if (!b->persist || !b->set.persistence.dir) return SL_OK;
	char *dir = sl_asprintf("%s/queues", b->set.persistence.dir);
	struct queue_replay *r;
	struct queue_replay_opts opts = {.dir = dir, .known = known, .pending = pending, .arg = b};
	int rc = queue_replay_open(&opts, &r, err);
	if (rc == SL_OK) {
		struct queue_replay_stat st;
		queue_replay_stat(r, &st);
		struct worker_log_open open = {.dir = dir, .run = st.run + 1};
		b->former = queue_former_new(dir, open.run, b->workers_len);
		queue_replay_files(r, b->former);
		for (uint32_t i = 0; i < b->workers_len; i++) worker_log_open(&b->workers[i], &open);
		give_all_back(b, r);
		note_lasting(b);
		persist_on_ended(b, ended);
		queue_replay_free(r);
	}
	sl_free(dir);
	return rc;
}
