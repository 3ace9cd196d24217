/* connectors.c: the service: its loop, what runs at the end of a tick, putting a set in force. Its end: connectors_stop.c. */
#include "connectors.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "connectors_int.h"
#include "lookup_int.h"
#include "hash.h"
#include "log.h"
#include "replay.h"
#include "source_int.h"

#define TURNS_MAX 64 /* rounds in one tick before other events get their turn */

/* ---- The end of a tick. ------------------------------------------------------------------------------------------------ */

static void kick_run(struct sl_post *post, struct sl_loop *l) {
	(void)l;
	sl_container_of(post, struct connectors, kick)->kicked = false;
}

static void done_take(struct connectors *cs) {
	struct pipeline_batch *bt = cs->done;
	cs->done = NULL;
	cs->done_tail = &cs->done;
	for (struct pipeline_batch *next; bt; bt = next) {
		next = bt->next;
		pipeline_batch_back(bt);
	}
}

static void dirty_run(struct connectors *cs) {
	struct sl_list turn;
	sl_list_init(&turn);
	sl_list_splice_back(&turn, &cs->dirty);
	for (struct sl_list *it; (it = sl_list_pop_front(&turn));) {
		struct sl_pipeline *p = SL_LIST_ENTRY(it, struct sl_pipeline, dirty);
		pipeline_run(p);
		if (p->retired) cs->reaping = true; /* perhaps it has nothing left */
	}
}

static void reap(struct connectors *cs);

/* Messages that trickle in, each by itself, would each cost a turn of this loop, its wake-up, and a write to a log. When
 * another is to be expected soon, they gather for a moment: as long as the least patient of them can wait. Who waits and comes
 * again at once is not made to wait (ticket.h): such letters wake us, and say nothing about the others. */
static void nap(struct connectors *cs) {
	uint64_t now = sl_loop_now_ms(cs->loop), since = now - cs->letters_ms;
	if (cs->letters > 0) {
		/* One that was less patient has just ended the nap. More of its kind come, or they get longer again. */
		uint32_t longer = cs->nap_ms < PATIENCE_MAX_MS ? cs->nap_ms + 1 : PATIENCE_MAX_MS;
		bool often = cs->letters > 1 || since <= 1;
		cs->nap_ms = !often ? 0 : cs->patience_ms < longer ? cs->patience_ms : longer;
		cs->letters_ms = now;
		since = 0;
	}
	cs->letters = 0;
	cs->patience_ms = PATIENCE_MAX_MS;
	if (cs->nap_ms > 0 && since <= cs->nap_ms) sl_loop_nap(cs->loop, cs->nap_ms);
}

static void stage_hook(struct sl_hook *hook) {
	struct connectors *cs = sl_container_of(hook, struct connectors, hook_stage);
	for (int turn = 0; turn < TURNS_MAX && (cs->done || !sl_list_empty(&cs->dirty)); turn++) {
		done_take(cs);
		dirty_run(cs);
	}
	if ((cs->done || !sl_list_empty(&cs->dirty)) && !cs->kicked) {
		cs->kicked = true;
		cs->kick.run = kick_run;
		sl_loop_post(cs->loop, &cs->kick);
	}
	if (cs->reaping) reap(cs);
	if (cs->draining) connectors_drain_step(cs);
	nap(cs);
}

static void flush_hook(struct sl_hook *hook) {
	struct connectors *cs = sl_container_of(hook, struct connectors, hook_flush);
	connectors_ends_send(cs);
	connectors_room_tell(cs);
}

/* ---- Make and free. ---------------------------------------------------------------------------------------------------- */

int connectors_new(const struct connectors_opts *opts, struct connectors **out, struct sl_err *err) {
	struct connectors *cs = SL_NEW(struct connectors);
	*out = NULL;
	int r = sl_loop_new("connectors", -1, &cs->loop, err);
	if (r != SL_OK) {
		sl_free(cs);
		return r;
	}
	cs->data_dir = sl_strdup(opts->data_dir ? opts->data_dir : ".");
	cs->worker_count = opts->worker_count;
	connectors_memory_init(cs, opts->memory);
	cs->workers = SL_NEW_ARRAY(struct sl_loop *, opts->worker_count + 1);
	cs->ends = aligned_alloc(64, sizeof(struct worker_end) * (opts->worker_count + 1));
	sl_assert(cs->ends);
	memset(cs->ends, 0, sizeof(struct worker_end) * (opts->worker_count + 1));
	for (size_t i = 0; i < opts->worker_count; i++) {
		cs->workers[i] = opts->workers[i];
		cs->ends[i].confirmed_tail = &cs->ends[i].confirmed;
	}
	sl_list_init(&cs->conns);
	sl_list_init(&cs->pipelines);
	sl_list_init(&cs->dirty);
	sl_list_init(&cs->large_line);
	cs->done_tail = &cs->done;
	cs->patience_ms = PATIENCE_MAX_MS;
	cs->replay = replay_new(cs);
	cs->sources = sources_new(cs);
	cs->lookups = lookups_new(cs);
	pthread_mutex_init(&cs->lock, NULL);
	pthread_cond_init(&cs->cond, NULL);
	cs->hook_stage.run = stage_hook;
	cs->hook_flush.run = flush_hook;
	sl_list_init(&cs->hook_stage.link);
	sl_list_init(&cs->hook_flush.link);
	sl_loop_hook_add(cs->loop, SL_PHASE_STAGE, &cs->hook_stage);
	sl_loop_hook_add(cs->loop, SL_PHASE_FLUSH, &cs->hook_flush);
	*out = cs;
	return SL_OK;
}

int connectors_start(struct connectors *cs, struct sl_err *err) {
	int r = sl_loop_start(cs->loop, err);
	cs->started = r == SL_OK;
	return r;
}

static void old_actions_free(struct connectors *cs) {
	for (struct sl_conn_action *a = cs->old_actions, *next; a; a = next) {
		next = a->next_old;
		action_free(a);
	}
	cs->old_actions = NULL;
}

static void end_free(struct worker_end *end) {
	for (struct sl_chunk *c = end->chunks, *next; c; c = next) {
		next = c->next;
		connectors_chunk_free(c);
	}
	for (struct sl_chunk *c = end->back, *next; c; c = next) {
		next = c->next;
		connectors_chunk_free(c);
	}
	for (struct sl_tickets *t = end->tickets, *next; t; t = next) {
		next = t->next;
		connectors_tickets_free(t);
	}
	for (struct sl_tickets *t = end->confirmed, *next; t; t = next) {
		next = t->next;
		connectors_tickets_free(t);
	}
}

void connectors_free(struct connectors *cs) {
	if (!cs) return;
	sl_assert(!cs->started || cs->stopped);
	/* Workers may have staged until they ended: those rows go to the logs with the rest. */
	for (size_t i = 0; i < cs->worker_count; i++) sl_stages_flush(cs, i);
	replay_stop(cs->replay);
	while (sl_loop_run_rest(cs->loop)) continue;
	sources_free(cs->sources);
	for (struct sl_list *it; (it = sl_list_pop_front(&cs->pipelines));) {
		struct sl_pipeline *p = SL_LIST_ENTRY(it, struct sl_pipeline, link);
		sl_list_remove(&p->dirty);
		sl_timer_cancel(&p->timer);
		pipeline_free(p);
	}
	old_actions_free(cs);
	for (struct sl_list *it; (it = sl_list_pop_front(&cs->conns));)
		conn_free(SL_LIST_ENTRY(it, struct sl_conn, link));
	replay_free(cs->replay);
	lookups_free(cs->lookups);
	sl_loop_hook_remove(&cs->hook_stage);
	sl_loop_hook_remove(&cs->hook_flush);
	sl_loop_free(cs->loop);
	for (size_t i = 0; i < cs->worker_count; i++) end_free(&cs->ends[i]);
	pthread_mutex_destroy(&cs->lock);
	pthread_cond_destroy(&cs->cond);
	free(cs->ends);
	log_map_fini(&cs->logs);
	sl_free(cs->workers);
	sl_free(cs->trim);
	sl_free(cs->data_dir);
	sl_free(cs);
}

struct sl_loop *connectors_loop(struct connectors *cs) {
	return cs->loop;
}

void connectors_on_reject(struct connectors *cs, connectors_reject_fn fn, void *arg) {
	cs->on_reject = fn;
	cs->on_reject_arg = arg;
}

void connectors_on_room(struct connectors *cs, connectors_room_fn fn, void *arg) {
	cs->on_room = fn;
	cs->on_room_arg = arg;
}

void connectors_on_state(struct connectors *cs, connectors_state_fn fn, void *arg) {
	cs->on_state = fn;
	cs->on_state_arg = arg;
}

/* ---- A call to the loop that waits. --------------------------------------------------------------------------------- */

struct call {
	struct sl_post post;
	struct connectors *cs;
	void (*fn)(struct connectors *cs, void *arg);
	void *arg;
	bool done;
};

void connectors_call_end(struct connectors *cs, bool *done) {
	pthread_mutex_lock(&cs->lock);
	*done = true;
	pthread_cond_broadcast(&cs->cond);
	pthread_mutex_unlock(&cs->lock);
}

void connectors_call_wait(struct connectors *cs, const bool *done) {
	pthread_mutex_lock(&cs->lock);
	while (!*done) pthread_cond_wait(&cs->cond, &cs->lock);
	pthread_mutex_unlock(&cs->lock);
}

static void call_run(struct sl_post *post, struct sl_loop *l) {
	struct call *call = sl_container_of(post, struct call, post);
	(void)l;
	call->fn(call->cs, call->arg);
	connectors_call_end(call->cs, &call->done);
}

void connectors_call(struct connectors *cs, void (*fn)(struct connectors *cs, void *arg), void *arg) {
	struct call call = {.post = {.run = call_run}, .cs = cs, .fn = fn, .arg = arg};
	sl_assert(cs->started);
	sl_loop_post(cs->loop, &call.post);
	connectors_call_wait(cs, &call.done);
}

/* ---- Putting a set in force. -------------------------------------------------------------------------------------------- */

struct commit {
	struct connectors_set *set;
	struct sl_err *err;
	int status;
};

struct sl_conn *connectors_conn_equal(struct connectors *cs, const struct sl_conn *wanted) {
	SL_LIST_FOREACH(it, &cs->conns) {
		struct sl_conn *c = SL_LIST_ENTRY(it, struct sl_conn, link);
		if (!c->retired && strcmp(c->name, wanted->name) == 0 && c->fingerprint == wanted->fingerprint)
			return c;
	}
	return NULL;
}

/* Opens what is new; the lists are not touched yet, but for new ones at their ends. */
static int commit_open(struct connectors *cs, struct commit *c) {
	struct connectors_set *set = c->set;
	int r = SL_OK;
	pipelines_match(cs, set);
	for (size_t i = 0; i < set->conn_count && r == SL_OK; i++) {
		struct sl_conn *conn = set->conns[i];
		if (connectors_conn_equal(cs, conn) || conn->opened) continue;
		r = conn->kind->open ? conn->kind->open(conn, c->err) : SL_OK;
		conn->opened = r == SL_OK;
		if (r != SL_OK) sl_err_prefix(c->err, "connector %s", conn->name);
	}
	for (size_t i = 0; i < set->spec_count && r == SL_OK; i++) {
		struct sl_action_spec *spec = set->specs[i];
		struct sl_conn_action *a = spec->action;
		spec->kept = spec->p != NULL;
		if (spec->kept && !spec->changes) continue;
		struct sl_conn *same = connectors_conn_equal(cs, a->conn);
		if (same) a->conn = same;
		const struct sl_connector_kind *kind = a->conn->kind;
		r = kind->action_open ? kind->action_open(a, c->err) : SL_OK;
		if (spec->kept) continue; /* the change itself cannot fail */
		if (r == SL_OK) r = pipeline_new(cs, a, &spec->p, c->err);
		if (r == SL_OK) spec->action = NULL;
		spec->running = a;
	}
	return r;
}

static void commit_undo(struct connectors_set *set) {
	/* Actions go back to the set's own connections. */
	for (size_t i = 0; i < set->spec_count; i++)
		for (size_t j = 0; j < set->conn_count; j++) {
			struct sl_action_spec *spec = set->specs[i];
			struct sl_conn_action *a = spec->action ? spec->action : spec->kept ? NULL : spec->p->action;
			if (a && strcmp(a->conn->name, set->conns[j]->name) == 0) a->conn = set->conns[j];
		}
	for (size_t i = 0; i < set->spec_count; i++) {
		struct sl_action_spec *spec = set->specs[i];
		if (spec->p && !spec->kept) {
			spec->action = spec->p->action;
			spec->action->p = NULL;
			spec->p->action = NULL;
			pipeline_free(spec->p);
		}
		spec->p = NULL;
	}
}

static void on_error_swap(struct sl_conn_action *running, struct sl_conn_action *wanted) {
	void *on_error = running->on_error;
	void (*release)(void *) = running->on_error_release;
	running->on_error = wanted->on_error;
	running->on_error_release = wanted->on_error_release;
	wanted->on_error = on_error;
	wanted->on_error_release = release;
}

/* The same ones are kept that commit_open() has found: one that an earlier change retired, and that is equal again, still ends. */
static void conns_switch(struct connectors *cs, struct connectors_set *set) {
	struct sl_conn **kept = SL_NEW_ARRAY(struct sl_conn *, set->conn_count + 1);
	for (size_t i = 0; i < set->conn_count; i++) kept[i] = connectors_conn_equal(cs, set->conns[i]);
	SL_LIST_FOREACH(it, &cs->conns) SL_LIST_ENTRY(it, struct sl_conn, link)->retired = true;
	for (size_t i = 0; i < set->conn_count; i++) {
		struct sl_conn *conn = set->conns[i];
		if (kept[i]) {
			kept[i]->retired = false;
			continue;
		}
		sl_list_push_back(&cs->conns, &conn->link);
		set->conns[i] = NULL;
		conn_start(conn);
	}
	sl_free(kept);
}

/* From here on nothing fails. */
static void commit_switch(struct connectors *cs, struct connectors_set *set) {
	cs->commits++;
	SL_LIST_FOREACH(it, &cs->pipelines) {
		struct sl_pipeline *p = SL_LIST_ENTRY(it, struct sl_pipeline, link);
		if (!p->retiring) p->retired_by = cs->commits;
		p->retiring = true;
	}
	conns_switch(cs, set);
	sources_switch(cs, set);
	for (size_t i = 0; i < set->spec_count; i++) {
		struct sl_action_spec *spec = set->specs[i];
		spec->p->retiring = false;
		if (spec->kept && spec->changes) {
			spec->running = spec->action;
			spec->action = NULL;
			pipeline_change(spec->p, (struct sl_conn_action *)(uintptr_t)spec->running);
		} else if (spec->kept) {
			on_error_swap(pipeline_intake(spec->p), spec->action);
			pipeline_owner_take(spec->p, spec->action);
		} else {
			pipeline_log_begin(spec->p);
			sl_list_push_back(&cs->pipelines, &spec->p->link);
		}
		pipeline_wake(spec->p);
	}
	SL_LIST_FOREACH(it, &cs->pipelines) {
		struct sl_pipeline *p = SL_LIST_ENTRY(it, struct sl_pipeline, link);
		if (p->retiring && p->retired_by == cs->commits) pipeline_owner_gone(p);
	}
	connectors_hurry(cs);
	if (cs->commits == 1) connectors_orphans_warn(cs);
	connectors_watch_begin(cs);
	connectors_disk_check(cs);
	replay_begin(cs->replay);
}

static void commit_run(struct connectors *cs, void *arg) {
	struct commit *c = arg;
	c->status = commit_open(cs, c);
	if (c->status == SL_OK)
		commit_switch(cs, c->set);
	else
		commit_undo(c->set);
}

int connectors_commit(struct connectors *cs, struct connectors_set *set, struct sl_err *err) {
	struct commit c = {.set = set, .err = err};
	connectors_call(cs, commit_run, &c);
	return c.status;
}

/* ---- What was replaced ends when it is empty. ------------------------------------------------------------------------------ */

/* Goes to every worker and from there to the loop: then all chunks for retiring pipelines have arrived. */
struct fence {
	struct sl_post at_worker, at_loop;
	struct connectors *cs;
	size_t worker, *left;
	uint64_t commit;
};

static void fence_at_loop(struct sl_post *post, struct sl_loop *l) {
	struct fence *f = sl_container_of(post, struct fence, at_loop);
	struct connectors *cs = f->cs;
	size_t left = --*f->left;
	(void)l;
	if (left == 0) {
		sl_free(f->left);
		SL_LIST_FOREACH(it, &cs->pipelines) {
			struct sl_pipeline *p = SL_LIST_ENTRY(it, struct sl_pipeline, link);
			pipeline_stages_leave(p, f->commit);
			if (!p->retiring || p->retired_by > f->commit) continue;
			p->retired = true;
			pipeline_wake(p);
		}
		cs->reaping = true;
		sources_begin(cs);
	}
	sl_free(f);
}

static void fence_at_worker(struct sl_post *post, struct sl_loop *l) {
	struct fence *f = sl_container_of(post, struct fence, at_worker);
	(void)l;
	sl_stages_flush(f->cs, f->worker);
	f->at_loop.run = fence_at_loop;
	sl_loop_post(f->cs->loop, &f->at_loop);
}

void connectors_commit_done(struct connectors *cs) {
	size_t count = cs->worker_count ? cs->worker_count : 1, *left = SL_NEW(size_t);
	*left = count; /* from the first letter on the loop's */
	for (size_t i = 0; i < count; i++) {
		struct fence *f = SL_NEW(struct fence);
		f->cs = cs;
		f->worker = i;
		f->left = left;
		f->commit = cs->commits;
		f->at_worker.run = fence_at_worker;
		f->at_loop.run = fence_at_loop;
		if (cs->worker_count)
			sl_loop_post(cs->workers[i], &f->at_worker);
		else
			sl_loop_post(cs->loop, &f->at_loop);
	}
}

static bool conn_used(const struct connectors *cs, const struct sl_conn *c) {
	SL_LIST_FOREACH(it, &cs->pipelines) {
		const struct sl_pipeline *p = SL_LIST_ENTRY(it, struct sl_pipeline, link);
		if (p->action->conn == c || pipeline_intake(p)->conn == c) return true;
	}
	return sources_use(cs, c);
}

/* A histogram never goes back. */
static void latency_keep(const struct sl_pipeline *p) {
	struct sl_conn *c = p->action->conn;
	for (size_t i = 0; i <= LATENCY_BUCKETS; i++) c->past_latency[i] += p->count.latency[i];
	c->past_latency_sum_ms += p->count.latency_sum_ms;
}

static void reap(struct connectors *cs) {
	if (cs->pins) return; /* whoever lets go brings us back */
	cs->reaping = false;
	old_actions_free(cs);
	sources_reap(cs);
	SL_LIST_FOREACH_SAFE(it, &cs->pipelines) {
		struct sl_pipeline *p = SL_LIST_ENTRY(it, struct sl_pipeline, link);
		pipeline_stages_forget(p, false);
		if (!p->retired || !pipeline_idle(p)) continue; /* its next run brings us back */
		log_info(LOG_ACTION, "replaced action has delivered everything and ends",
			 "action=%s delivered=%" PRIu64, p->action->name, p->count.delivered);
		char *dir = p->log_dir;
		pipeline_goes_on(p);
		pipeline_waits_end(p);
		latency_keep(p);
		pipeline_log_forget(p);
		p->log_dir = NULL;
		sl_timer_cancel(&p->timer);
		sl_list_remove(&p->dirty);
		sl_list_remove(&p->link);
		pipeline_free(p);
		if (dir && spill_remove(dir) != SL_OK)
			log_warn(LOG_ACTION, "empty log cannot be removed", "path=%s", dir);
		sl_free(dir);
	}
	SL_LIST_FOREACH_SAFE(it, &cs->conns) {
		struct sl_conn *c = SL_LIST_ENTRY(it, struct sl_conn, link);
		/* At the stop all are closed, even where rows are left. */
		if (!c->retired || conn_used(cs, c)) continue;
		conn_close(c); /* on_closed() brings us back */
		if (c->closed) conn_free(c);
	}
}

static void orphan_warn(const char *dir) {
	uint64_t rows = 0;
	struct stat st;
	if (stat(dir, &st) != 0 || !S_ISDIR(st.st_mode)) return; /* no log, and not ours */
	int r = spill_count(dir, &rows);
	if (r != SL_OK)
		log_warn(LOG_ACTION, "log of an action that is not configured any more cannot be read; it stays",
			 "path=%s err=%s do=%s", dir, sl_status_text(r),
			 "see who wrote it (another version of Sluice?), or delete the folder");
	else if (rows > 0) {
		pipeline_log_gone(dir);
		log_warn(LOG_ACTION, "rows wait for an action that is not configured any more",
			 "path=%s rows=%" PRIu64 " do=%s", dir, rows,
			 "restore the action, with its connector and a log (buffer.disk), or delete the folder");
	} else if (spill_remove(dir) != SL_OK)
		log_warn(LOG_ACTION, "empty log cannot be removed", "path=%s", dir);
}

void connectors_orphans_warn(struct connectors *cs) {
	char *parent = sl_asprintf("%s/actions", cs->data_dir);
	DIR *d = opendir(parent);
	for (struct dirent *e; d && (e = readdir(d));) {
		if (e->d_name[0] == '.') continue;
		char *dir = sl_asprintf("%s/%s", parent, e->d_name);
		if (!pipeline_log_owned(cs, dir)) orphan_warn(dir);
		sl_free(dir);
	}
	if (d) closedir(d);
	sl_free(parent);
}
