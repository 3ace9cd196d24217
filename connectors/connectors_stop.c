/* connectors_stop.c: how it all ends: what can be delivered is, until the deadline; or, when it must be at once, nothing is
 * waited for but clients that have rows out, and these for a moment only. */
#include <inttypes.h>

#include "connectors_int.h"
#include "lookup_int.h"
#include "log.h"
#include "replay.h"
#include "source_int.h"

#define CLIENTS_LAST_MS 15000 /* and so long to end, in any case */
#define CLIENTS_MS 1000       /* so long have clients to come back with their rows, when nothing is waited for */

static void halt_all(struct connectors *cs) {
	atomic_store(&cs->stop_now.halted, true);
	SL_LIST_FOREACH(it, &cs->pipelines) {
		struct sl_pipeline *p = SL_LIST_ENTRY(it, struct sl_pipeline, link);
		if (!p->halted) pipeline_halt(p);
	}
}

/* From then on only for clients to end: librdkafka may never, after answers that made no sense. */
static void stop_deadline(struct sl_timer *t) {
	struct connectors *cs = sl_container_of(t, struct connectors, stop_timer);
	halt_all(cs);
	if (!cs->stopped && !sl_timer_armed(&cs->stop_now.timer))
		sl_timer_set(cs->loop, &cs->stop_now.timer, CLIENTS_LAST_MS);
}

/* Nothing to deliver, nothing that can be delivered, or no more time; then nothing out; then connections closed; then the end. */
void connectors_drain_step(struct connectors *cs) {
	bool idle = true, halted = true, out = connectors_trim_busy(cs), closed = true;
	if (cs->stopped) return;
	SL_LIST_FOREACH(it, &cs->pipelines) {
		struct sl_pipeline *p = SL_LIST_ENTRY(it, struct sl_pipeline, link);
		idle = idle && (pipeline_idle(p) || pipeline_stuck(p));
		halted = halted && p->halted;
		out = out || !sl_list_empty(&p->out) || pipeline_sync_busy(p);
	}
	if (idle && !halted) halt_all(cs);
	if (!(idle || halted) || out || cs->done || !sources_close(cs)) return;
	SL_LIST_FOREACH(it, &cs->conns) {
		struct sl_conn *c = SL_LIST_ENTRY(it, struct sl_conn, link);
		conn_close(c);
		closed = closed && c->closed;
	}
	if (closed) connectors_call_end(cs, &cs->stopped);
}

/* ---- At once. ------------------------------------------------------------------------------------------------------------------ */

static void give_up(struct sl_timer *t) {
	struct connectors *cs = sl_container_of(t, struct connectors, stop_now.timer);
	if (cs->stopped) return;
	SL_LIST_FOREACH(it, &cs->conns) {
		const struct sl_conn *c = SL_LIST_ENTRY(it, struct sl_conn, link);
		if (c->out > 0)
			log_always(LOG_WARN, LOG_CONN,
				   "stopping: its client did not come back in time with what is out",
				   "name=%s batches=%" PRIu32 " do=%s", c->name, c->out,
				   "none needed; these rows are sent again after the next start, perhaps twice");
	}
	log_always(LOG_WARN, LOG_CONN, "stopping without waiting for clients any longer", "rows=%s",
		   "kept in their logs for the next start");
	cs->abandoned = true;
	connectors_call_end(cs, &cs->stopped);
}

static void now_begin(struct connectors *cs) {
	if (cs->stopped) return;
	sl_timer_cancel(&cs->stop_timer);
	sl_timer_set(cs->loop, &cs->stop_now.timer, CLIENTS_MS);
	halt_all(cs);
}

/* Before the stop has come here, it is to find `wanted`. */
static void now_run(struct sl_post *post, struct sl_loop *l) {
	struct connectors *cs = sl_container_of(post, struct connectors, stop_now.post);
	(void)l;
	if (cs->draining) now_begin(cs);
}

void connectors_stop_now(struct connectors *cs) {
	if (atomic_exchange(&cs->stop_now.wanted, true)) return;
	cs->stop_now.post.run = now_run;
	sl_loop_post(cs->loop, &cs->stop_now.post);
}

void connectors_keep_rejects(struct connectors *cs) { atomic_store(&cs->keep_rejects, true); }

void connectors_abandon(struct connectors *cs) {
	for (size_t i = 0; i < cs->worker_count; i++) sl_stages_flush(cs, i);
	while (sl_loop_run_rest(cs->loop)) continue;
	SL_LIST_FOREACH(it, &cs->pipelines) pipeline_abandon(SL_LIST_ENTRY(it, struct sl_pipeline, link));
}

/* ---- The stop. ----------------------------------------------------------------------------------------------------------------- */

static void drain_begin(struct connectors *cs, void *arg) {
	cs->draining = true;
	lookups_stop(cs);
	replay_stop(cs->replay);
	sources_stop(cs);
	sl_timer_init(&cs->stop_timer, stop_deadline);
	sl_timer_init(&cs->stop_now.timer, give_up);
	sl_timer_set(cs->loop, &cs->stop_timer, *(uint64_t *)arg);
	SL_LIST_FOREACH(it, &cs->pipelines) {
		struct sl_pipeline *p = SL_LIST_ENTRY(it, struct sl_pipeline, link);
		p->draining = true;
		pipeline_wake(p);
	}
	if (atomic_load(&cs->stop_now.wanted)) now_begin(cs);
}

bool connectors_stop(struct connectors *cs, uint64_t deadline_ms) {
	if (!cs->started || cs->stopped) return !cs->abandoned;
	connectors_call(cs, drain_begin, &deadline_ms);
	connectors_call_wait(cs, &cs->stopped);
	sl_loop_stop(cs->loop);
	sl_loop_join(cs->loop);
	return !cs->abandoned;
}
