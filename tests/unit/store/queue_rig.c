#include "queue_rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "disk.h"
#include "log.h"
#include "mem.h"
#include "queue_log_int.h"

/* ---- folders ---- */

char *rig_folder(void) {
	const char *base = getenv("TMPDIR");
	if (!base) base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : ".";
	char *dir = sl_asprintf("%s/sluice-queue-XXXXXX", base);
	if (!mkdtemp(dir)) abort();
	return dir;
}

void rig_folder_empty(const char *dir) {
	DIR *d = opendir(dir);
	for (struct dirent *e; d && (e = readdir(d));)
		if (e->d_name[0] != '.') unlinkat(dirfd(d), e->d_name, 0);
	if (d) closedir(d);
}

void rig_folder_copy(const char *from, const char *to) {
	rig_folder_empty(to);
	DIR *d = opendir(from);
	if (!d) abort();
	for (struct dirent *e; (e = readdir(d));) {
		if (e->d_name[0] == '.') continue;
		int in = openat(dirfd(d), e->d_name, O_RDONLY);
		char *path = sl_asprintf("%s/%s", to, e->d_name), part[65536];
		int out = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
		for (ssize_t n; (n = read(in, part, sizeof part)) > 0;)
			if (write(out, part, (size_t)n) != n) abort();
		close(in);
		close(out);
		sl_free(path);
	}
	closedir(d);
}

/* ---- sessions ---- */

uint32_t rig_below(struct rig *r, uint32_t bound) {
	r->random = r->random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(r->random >> 33) % bound;
}

static void view(struct queue_lane *lane, struct queue_view *out) {
	struct rig_session *s = sl_container_of(lane, struct rig_session, lane);
	*out = (struct queue_view){.id = s->id, .out = &s->out, .queue = &s->queue, .in = &s->in, .open = &s->open};
}

static void session_clear(struct rig_session *s) {
	queue_log_forget(&s->lane);
	inflight_fini(&s->out);
	msg_queue_fini(&s->queue);
	id_set_fini(&s->in);
	id_set_fini(&s->open);
	s->id = 0;
}

struct rig_session *rig_session_of(struct rig *r, uint32_t i) {
	struct rig_session *s = &r->s[i];
	if (s->id == 0) s->id = r->next_id++;
	return s;
}

struct queue_log *rig_log(struct rig *r, uint32_t i) {
	return r->q[i % r->workers];
}

static void idle_check(struct rig_session *s) {
	if (s->out.len == 0 && s->queue.len == 0 && s->in.len == 0) queue_log_forget(&s->lane);
}

static bool known(void *arg, uint64_t id) {
	const struct rig *r = arg;
	for (size_t i = 0; i < RIG_SESSIONS; i++)
		if (r->s[i].id == id) return true;
	return false;
}

static void restore(struct rig *r) {
	struct queue_replay *replay;
	struct queue_replay_opts opts = {.dir = r->dir, .known = known, .arg = r};
	if (queue_replay_open(&opts, &replay, NULL) != SL_OK) abort();
	struct queue_replay_stat stat;
	queue_replay_stat(replay, &stat);
	r->run = stat.run + 1;
	r->former = queue_former_new(r->dir, r->run, r->workers);
	queue_replay_files(replay, r->former);
	struct queue_image *image;
	for (size_t at = 0; (image = queue_replay_next(replay, &at));) {
		for (size_t i = 0; i < RIG_SESSIONS; i++) {
			struct rig_session *s = &r->s[i];
			if (s->id != image->id) continue;
			s->out = image->out;
			s->queue = image->queue;
			s->in = image->in;
			s->open = image->open;
			image->out = (struct inflight){0};
			image->queue = (struct msg_queue){0};
			image->in = image->open = (struct id_set){0};
		}
	}
	queue_replay_free(replay);
}

void rig_open(struct rig *r, const char *dir, uint32_t workers) {
	r->dir = sl_strdup(dir);
	r->workers = workers;
	if (r->next_id == 0) r->next_id = (uint64_t)1764000000 << 32;
	for (size_t i = 0; i < RIG_SESSIONS; i++) queue_lane_init(&r->s[i].lane);
	restore(r);
	for (uint32_t i = 0; i < workers; i++) {
		struct queue_log_opts opts = {.dir = dir,
					      .run = r->run,
					      .worker = i,
					      .workers = workers,
					      .segment_bytes = r->segment_bytes ? r->segment_bytes : 4096,
					      .disk_max = r->disk_max ? r->disk_max : UINT64_MAX,
					      .view = view,
					      .former = r->former};
		r->q[i] = queue_log_new(&opts);
	}
	for (uint32_t i = 0; i < RIG_SESSIONS; i++)
		if (r->s[i].out.len || r->s[i].queue.len || r->s[i].in.len)
			queue_log_adopt(rig_log(r, i), &r->s[i].lane);
}

/* The sessions themselves are kept elsewhere, and known at the next start. */
void rig_close(struct rig *r, bool crash) {
	for (uint32_t i = 0; i < r->workers; i++) {
		if (crash) r->q[i]->buf.n = 0;
		queue_log_free(r->q[i]);
	}
	for (size_t i = 0; i < RIG_SESSIONS; i++) {
		uint64_t id = r->s[i].id;
		session_clear(&r->s[i]);
		r->s[i].id = id;
	}
	queue_former_free(r->former);
	r->former = NULL;
	sl_free(r->dir);
	r->dir = NULL;
}

/* ---- what happens ---- */

struct msg *rig_message(struct rig *r, size_t bytes) {
	char *payload = sl_asprintf("message %" PRIu64 " %0*d", ++r->numbers, (int)bytes, 0);
	struct msg *m = msg_new(&(struct msg_spec){.topic = SL_SLICE_LIT("some/topic"),
						   .payload = slice_from_str(payload),
						   .client_id = SL_SLICE_LIT("publisher"),
						   .arrived_ms = 1764000000000 + (int64_t)r->numbers,
						   .number = r->numbers,
						   .qos = (uint8_t)(1 + r->numbers % 2),
						   .retain = r->numbers % 3 == 0});
	sl_free(payload);
	return m;
}

static void deliver(struct rig *r, uint32_t i, struct msg *m) {
	struct rig_session *s = rig_session_of(r, i);
	uint32_t ids[2] = {7, 300};
	struct sub_ids *own = sub_ids_copy(ids, rig_below(r, 4) == 0 ? 2 : 0, 0);
	struct queue_delivery d = {.m = m, .ids = own, .qos = m->qos, .retain = m->retain};
	if (s->queue.len == 0 && s->out.len < 5) {
		struct inflight_entry *e = inflight_add(&s->out, d.qos, msg_ref(m), own, d.retain);
		e->log_id = queue_log_sent_now(rig_log(r, i), &s->lane, &d, e->packet_id);
		return;
	}
	struct msg_queue_entry e = {.m = msg_ref(m), .ids = own, .qos = d.qos, .retain = d.retain};
	e.log_id = queue_log_queued(rig_log(r, i), &s->lane, &d);
	msg_queue_push(&s->queue, &e);
}

static void publish(struct rig *r) {
	struct msg *m = rig_message(r, rig_below(r, 300));
	bool many = rig_below(r, 3) == 0;
	uint32_t first = rig_below(r, RIG_SESSIONS);
	for (uint32_t i = 0; i < RIG_SESSIONS; i++)
		if (i == first || (many && rig_below(r, 2))) deliver(r, i, m);
	msg_unref(m);
}

static void pump(struct rig *r, uint32_t i) {
	struct rig_session *s = &r->s[i];
	if (s->queue.len == 0 || s->out.len >= 5) return;
	queue_log_prepare(rig_log(r, i), &s->lane);
	struct msg_queue_entry front = msg_queue_pop(&s->queue);
	struct inflight_entry *e = inflight_add(&s->out, front.qos, front.m, front.ids, front.retain);
	queue_log_sent(rig_log(r, i), &s->lane, e->log_id = front.log_id, e->packet_id);
}

static void drop(struct rig *r, uint32_t i) {
	struct rig_session *s = &r->s[i];
	if (s->queue.len == 0) return;
	uint32_t place = rig_below(r, s->queue.len);
	queue_log_prepare(rig_log(r, i), &s->lane);
	struct msg_queue_entry e = msg_queue_remove(&s->queue, place);
	queue_log_dropped(rig_log(r, i), &s->lane, e.log_id);
	msg_queue_entry_drop(&e);
}

static void acknowledge(struct rig *r, uint32_t i) {
	struct rig_session *s = &r->s[i];
	size_t n;
	struct inflight_entry **sorted = inflight_sorted(&s->out, &n);
	if (n) {
		struct inflight_entry *e = sorted[rig_below(r, (uint32_t)n)];
		if (e->state == INFLIGHT_PUBREC) {
			queue_log_received(rig_log(r, i), &s->lane, e->packet_id);
			inflight_release(&s->out, e);
		} else {
			queue_log_done(rig_log(r, i), &s->lane, e->packet_id);
			inflight_remove(&s->out, e);
		}
	}
	sl_free(sorted);
}

static void incoming(struct rig *r, uint32_t i) {
	struct rig_session *s = rig_session_of(r, i);
	uint16_t id = (uint16_t)(1 + rig_below(r, 5));
	struct queue_log *q = rig_log(r, i);
	if (!id_set_has(&s->in, id)) {
		bool open = rig_below(r, 2);
		queue_log_in(q, &s->lane, id, open);
		id_set_add(&s->in, id);
		if (open) id_set_add(&s->open, id);
	} else if (id_set_remove(&s->open, id)) {
		queue_log_settled(q, &s->lane, id);
	} else {
		queue_log_released(q, &s->lane, id);
		id_set_remove(&s->in, id);
	}
}

void rig_step(struct rig *r) {
	uint32_t i = rig_below(r, RIG_SESSIONS), what = rig_below(r, 100);
	if (what < 30)
		publish(r);
	else if (what < 55)
		pump(r, i);
	else if (what < 85)
		acknowledge(r, i);
	else if (what < 89)
		drop(r, i);
	else if (what < 99)
		incoming(r, i);
	else if (!r->none_ends)
		session_clear(&r->s[i]);
	idle_check(&r->s[i]);
}

int rig_write(struct rig *r) {
	int worst = SL_OK;
	for (uint32_t i = 0; i < r->workers; i++) {
		queue_log_compact(r->q[i]);
		int rc = queue_log_write(r->q[i]);
		if (rc != SL_OK) worst = rc;
	}
	return worst;
}

/* ---- the state as text ---- */

static void dump_delivery(const struct msg *m, const struct sub_ids *ids, unsigned qos, bool retain,
			  struct sl_buf *out) {
	struct sl_slice payload = msg_payload(m), from = msg_client_id(m), topic = msg_topic(m);
	sl_buf_printf(out, "%.*s %.*s %.*s %lld q%u m%u r%d%d", SL_SLICE_ARG(topic), SL_SLICE_ARG(payload),
		      SL_SLICE_ARG(from), (long long)m->arrived_ms, qos, m->qos, retain, m->retain);
	for (uint32_t i = 0; ids && i < ids->n; i++) sl_buf_printf(out, " #%u", ids->id[i]);
	sl_buf_put(out, '\n');
}

static void dump_ids(const char *name, const struct id_set *set, struct sl_buf *out) {
	for (uint32_t id = 1; id < 10; id++)
		if (id_set_has(set, (uint16_t)id)) sl_buf_printf(out, "  %s %u\n", name, id);
}

static void dump_state(uint64_t id, const struct inflight *inflight, const struct msg_queue *queue,
		       const struct id_set *in, const struct id_set *open, struct sl_buf *out) {
	if (inflight->len == 0 && queue->len == 0 && in->len == 0) return;
	sl_buf_printf(out, "%" PRIu64 "\n", id);
	size_t n;
	struct inflight_entry **sorted = inflight_sorted(inflight, &n);
	for (size_t i = 0; i < n; i++) {
		sl_buf_printf(out, "  out %u %u ", sorted[i]->packet_id, sorted[i]->state);
		if (sorted[i]->m)
			dump_delivery(sorted[i]->m, sorted[i]->ids, 0, sorted[i]->retain, out);
		else
			sl_buf_put(out, '\n');
	}
	sl_free(sorted);
	for (uint32_t i = 0; i < queue->len; i++) {
		const struct msg_queue_entry *e = msg_queue_at(queue, i);
		sl_buf_append_str(out, "  waits ");
		dump_delivery(e->m, e->ids, e->qos, e->retain, out);
	}
	dump_ids("in", in, out);
	dump_ids("open", open, out);
}

void rig_dump(const struct rig *r, struct sl_buf *out) {
	for (size_t i = 0; i < RIG_SESSIONS; i++) {
		const struct rig_session *s = &r->s[i];
		if (s->id) dump_state(s->id, &s->out, &s->queue, &s->in, &s->open, out);
	}
}

void rig_dump_replay(const struct rig *r, const char *dir, struct sl_buf *out) {
	struct queue_replay *replay;
	struct queue_replay_opts opts = {.dir = dir, .known = known, .arg = (void *)(uintptr_t)r};
	if (queue_replay_open(&opts, &replay, NULL) != SL_OK) abort();
	for (size_t i = 0; i < RIG_SESSIONS; i++) {
		struct queue_image *image;
		for (size_t at = 0; (image = queue_replay_next(replay, &at));)
			if (image->id == r->s[i].id)
				dump_state(image->id, &image->out, &image->queue, &image->in, &image->open, out);
	}
	queue_replay_free(replay);
}
