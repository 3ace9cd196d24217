/* connectors_watch.c: how it goes: actions that make no progress, connections that give no answer, rows that are given up.
 *
 * An action is stalled when rows wait and none was decided for `stalled_after`, whatever its connection says of itself. One
 * WARN line a connection names how many, the first of them and why; the connection shows `stalled`. When it is up, yet no
 * server has answered for as long as a batch may take, it is given up and connects again.
 *
 * Rows that are given up are named once with all that is known, and then in one line a minute for each action and reason. The
 * ninth reason of a minute and all behind it share one line: servers put the row's value into their text.
 * Thread: the connector loop. */
#include <inttypes.h>

#include "connectors_int.h"
#include "log.h"
#include "utf8.h"

#define WATCH_MS 1000
#define NOTE_EVERY_MS 60000
#define NOTES_EACH 8 /* reasons of a kind that have lines of their own, at a time */
#define ERROR_MAX 500
#define REASON_MAX 1000

/* ---- Rows that are given up. ------------------------------------------------------------------------------------------- */

static const struct {
	const char *name, *what, *advice;
} reasons[NOTE_REASONS] = {
    [NOTE_REJECTED] = {"rejected", "row rejected", "mend the cause first, then `sluice replay -c FILE RULE.N`"},
    [NOTE_PUBLISHED] = {"rejected", "row rejected", "see the messages that on_error publishes"},
    [NOTE_OVERFLOW] = {"overflow", "rows dropped: the buffer is full",
		       "see why the connector does not keep up, or raise what limits it: buffer.disk, buffer.memory, "
		       "buffer.rows"},
    [NOTE_UNLOGGED] = {"overflow", "rows dropped: the log cannot be written",
		       "check the disk and the rights of the action's folder"},
    [NOTE_EXPIRED] = {"expired", "rows dropped: older than retry.ttl",
		      "see why the connector does not keep up, or raise retry.ttl"},
    [NOTE_SHUTDOWN] = {"shutdown", "rows dropped at shutdown", "give them room: buffer.disk"},
    [NOTE_DAMAGED] = {"damaged", "rows dropped: their log is damaged", "check the disk"},
};

/* One reason: what came since its last line. */
struct drop_note {
	enum note_reason kind;
	bool rest; /* of this kind all that have no note of their own */
	uint64_t rows, quiet_until_ms;
	struct sl_buf first, last, why; /* topics; the reason, of `rest` the last one */
};
struct drop_notes {
	struct drop_note *at;
	size_t n, cap;
};

static void note_say(const struct sl_pipeline *p, const struct drop_note *n, uint64_t rows, struct sl_slice first,
		     struct sl_slice last) {
	const struct sl_conn_action *a = p->action;
	/* Not log_warn(), which would leave out all but one of the actions that begin to fail in the same moment. */
	log_always(LOG_WARN, LOG_ACTION, reasons[n->kind].what,
		   "action=%s rule=%s connector=%s rows=%" PRIu64
		   " first_topic=%.*s last_topic=%.*s reason=%s%s dead_letter=%s do=%s",
		   a->name, a->rule, a->conn->name, rows, SL_SLICE_ARG(first), SL_SLICE_ARG(last),
		   n->rest ? "several others, the last: " : "", n->why.n ? n->why.p : reasons[n->kind].name,
		   n->kind == NOTE_PUBLISHED  ? "on_error"
		   : n->kind == NOTE_REJECTED ? dead_letter_path(a->dead_file)
					      : "",
		   reasons[n->kind].advice);
}

static void text_set(struct sl_buf *b, struct sl_slice text) {
	sl_buf_clear(b);
	sl_buf_append_slice(b, text);
	(void)sl_buf_cstr(b); /* ends with NUL */
}

/* A place that has nothing left to say is another reason's. */
static struct drop_note *note_place(struct drop_notes *notes, enum note_reason kind, uint64_t now_ms) {
	size_t of_kind = 0;
	struct drop_note *rest = NULL, *idle = NULL;
	for (size_t i = 0; i < notes->n; i++) {
		struct drop_note *n = &notes->at[i];
		if (n->kind != kind) continue;
		if (n->rest)
			rest = n;
		else if (of_kind++, n->rows == 0 && now_ms >= n->quiet_until_ms)
			idle = n;
	}
	if (idle) return idle;
	if (of_kind == NOTES_EACH && rest) return rest;
	SL_GROW(notes->at, notes->n, notes->cap);
	struct drop_note *n = &notes->at[notes->n++];
	*n = (struct drop_note){.kind = kind, .rest = of_kind == NOTES_EACH};
	if (n->rest) n->quiet_until_ms = now_ms + NOTE_EVERY_MS;
	return n;
}

static struct drop_note *note_of(struct drop_notes *notes, enum note_reason kind, struct sl_slice why,
				 uint64_t now_ms) {
	for (size_t i = 0; i < notes->n; i++) {
		struct drop_note *n = &notes->at[i];
		if (n->kind == kind && !n->rest && slice_equal(sl_buf_slice(&n->why), why)) return n;
	}
	struct drop_note *n = note_place(notes, kind, now_ms);
	text_set(&n->why, why);
	return n;
}

void pipeline_note(struct sl_pipeline *p, enum note_reason kind, uint64_t rows, struct sl_slice topic,
		   const char *why) {
	if (!p->notes) p->notes = SL_NEW(struct drop_notes);
	struct sl_slice text = slice_from_str(why ? why : "");
	if (text.n > REASON_MAX) text.n = REASON_MAX;
	struct drop_note *n = note_of(p->notes, kind, text, p->now_ms);
	if (n->rows == 0 && p->now_ms >= n->quiet_until_ms) {
		n->quiet_until_ms = p->now_ms + NOTE_EVERY_MS;
		note_say(p, n, rows, topic, topic);
		return;
	}
	if (n->rows == 0) text_set(&n->first, topic);
	n->rows += rows;
	text_set(&n->last, topic);
}

struct sl_slice pipeline_row_topic(struct sl_chunk *c, const void *row) {
	struct sl_origin from;
	return chunk_origin(c, row, &from) ? from.topic : SL_SLICE_EMPTY;
}

static void notes_look(struct sl_pipeline *p, bool now) {
	for (size_t i = 0; p->notes && i < p->notes->n; i++) {
		struct drop_note *n = &p->notes->at[i];
		if (n->rows == 0 || (!now && p->now_ms < n->quiet_until_ms)) continue;
		note_say(p, n, n->rows, sl_buf_slice(&n->first), sl_buf_slice(&n->last));
		n->rows = 0;
		n->quiet_until_ms = p->now_ms + NOTE_EVERY_MS;
	}
}

void pipeline_notes_free(struct sl_pipeline *p) {
	if (!p->notes) return;
	if (p->action) notes_look(p, true);
	for (size_t i = 0; i < p->notes->n; i++) {
		sl_buf_fini(&p->notes->at[i].first);
		sl_buf_fini(&p->notes->at[i].last);
		sl_buf_fini(&p->notes->at[i].why);
	}
	sl_free(p->notes->at);
	sl_free(p->notes);
	p->notes = NULL;
}

/* ---- Rows that wait for something of their own. ------------------------------------------------------------------------- */

#define WAITS_SLACK_MS 10000 /* a row that is tried again needs a while to fail */

void pipeline_waits_end(struct sl_pipeline *p) {
	if (!p->waits.why) return;
	sl_free(p->waits.what);
	sl_free(p->waits.why);
	p->waits.what = p->waits.why = NULL;
	conn_not_ready(p->action->conn, -1);
}

void sl_action_waits(struct sl_conn_action *a, const char *what, const char *fmt, ...) {
	struct sl_pipeline *p = a->p;
	va_list ap;
	if (!p || p->action != a || (p->waits.what && strcmp(p->waits.what, what) != 0)) return;
	p->waits.said_ms = sl_loop_now_ms(p->cs->loop);
	if (p->waits.what) return;
	va_start(ap, fmt);
	p->waits.why = text_to_show(sl_vasprintf(fmt, ap));
	va_end(ap);
	p->waits.what = sl_strdup(what);
	conn_not_ready(a->conn, 1);
}

void sl_action_goes_on(struct sl_conn_action *a, const char *what) {
	struct sl_pipeline *p = a->p;
	if (p && p->action == a && p->waits.what && strcmp(p->waits.what, what) == 0) pipeline_waits_end(p);
}

/* Its rows may have been given up, and then nothing tells that the last of them has gone. */
static void waits_look(struct sl_pipeline *p, bool rows) {
	uint64_t patience =
	    (uint64_t)p->action->conf.retry.max_ms + (uint64_t)p->action->conf.timeout_ms + WAITS_SLACK_MS;
	if (!rows || p->now_ms - p->waits.said_ms > patience) pipeline_waits_end(p);
}

/* ---- What traffic says. ------------------------------------------------------------------------------------------------ */

void health_good(struct health *h, int64_t wall_ms) { h->success_ms = wall_ms; }

void health_bad(struct health *h, int64_t wall_ms, const char *text) {
	struct sl_slice cut = slice_from_str(text);
	if (cut.n > ERROR_MAX) cut.n = utf8_valid_prefix(slice_sub(cut, 0, ERROR_MAX));
	h->error_ms = wall_ms;
	if (h->error && slice_equal_str(cut, h->error)) return;
	sl_free(h->error);
	h->error = sl_memdup0(cut.p, cut.n);
}

void health_fini(struct health *h) {
	sl_free(h->error);
	h->error = NULL;
}

/* ---- No progress. -------------------------------------------------------------------------------------------------------- */

static bool rows_wait(const struct sl_pipeline *p) {
	return p->mem_rows > 0 || p->held.head || (p->log && spill_unread_rows(p->log) > 0);
}

/* What its rows wait for. Heap. */
static char *stall_reason(const struct sl_pipeline *p, uint64_t now_ms) {
	const struct sl_conn *c = p->action->conn;
	if (!conn_is_up(c))
		return sl_asprintf("the connection is %s%s%s", conn_state_name(c->state), c->text ? ": " : "",
				   c->text ? c->text : "");
	if (p->not_ready_why) return sl_asprintf("the action is not ready: %s", p->not_ready_why);
	if (p->waits.why) return sl_strdup(p->waits.why);
	if (p->dead_n > 0) return sl_asprintf("the dead letter %s cannot be written", pipeline_dead_path(p));
	if (!sl_list_empty(&p->out) && c->answer_ms == 0)
		return sl_asprintf("rows sent and not answered: %" PRIu64 "; no answer has come yet", p->flight_rows);
	if (!sl_list_empty(&p->out))
		return sl_asprintf("rows sent and not answered: %" PRIu64 "; the last answer came %" PRIu64 " s ago",
				   p->flight_rows, (now_ms - c->answer_ms) / 1000);
	if (p->health.error) return sl_asprintf("rows are tried again: %s", p->health.error);
	return sl_strdup("the connection takes no rows");
}

/* In each look again, for the reason changes; of many actions the first. */
static void stall_say(const struct sl_pipeline *p, uint64_t now_ms) {
	struct sl_conn *c = p->action->conn;
	if (c->stall_text && c->stall_look_ms == now_ms) return;
	char *reason = stall_reason(p, now_ms);
	c->stall_look_ms = now_ms;
	sl_free(c->stall_text);
	c->stall_text = sl_asprintf("action %s makes no progress: %s", p->action->name, reason);
	sl_free(reason);
}

static void stall_begin(struct sl_pipeline *p) {
	struct sl_conn *c = p->action->conn;
	p->stalled = true;
	c->fresh_stalled++;
	c->fresh_rows += p->mem_rows + p->held_rows + (p->log ? spill_unread_rows(p->log) : 0);
}

void pipeline_goes_on(struct sl_pipeline *p) {
	if (!p->stalled) return;
	p->stalled = false;
	conn_stalled(p->action->conn, -1);
}

static bool row_ready(const struct sl_pipeline *p) {
	if (p->now_ms < p->pause_until_ms) return false;
	for (uint32_t i = 0; i < p->way_count; i++)
		if (p->way[i].q.n > 0) return true;
	return false;
}

/* The server, not the kind, must have answered: a batch that was cancelled is no answer. */
static bool answer_missing(const struct sl_pipeline *p, uint64_t now_ms) {
	const struct sl_conn *c = p->action->conn;
	if (!conn_is_up(c) || p->not_ready_why || (sl_list_empty(&p->out) && !row_ready(p))) return false;
	uint64_t since = c->answer_ms > c->up_at_ms ? c->answer_ms : c->up_at_ms;
	uint64_t patience = (uint64_t)p->action->conf.stalled_after_ms;
	if (patience < (uint64_t)p->action->conf.timeout_ms) patience = (uint64_t)p->action->conf.timeout_ms;
	return now_ms - since >= patience;
}

static void pipeline_watch(struct sl_pipeline *p, uint64_t now_ms) {
	p->now_ms = now_ms;
	notes_look(p, false);
	pipeline_lanes_look(p);
	pipeline_fill_look(p);
	if (p->log) spill_rest(p->log);
	bool rows = rows_wait(p);
	if (sl_unlikely(p->waits.why)) waits_look(p, rows);
	if (!rows) {
		p->progress_ms = now_ms;
		pipeline_goes_on(p);
		return;
	}
	const struct action_conf *conf = &p->action->conf;
	if (now_ms - p->progress_ms < (uint64_t)conf->stalled_after_ms + (uint64_t)conf->batch.linger_ms) return;
	if (!p->stalled) stall_begin(p);
	stall_say(p, now_ms);
	if (answer_missing(p, now_ms)) p->action->conn->give_up = true;
}

static void conn_watch(struct sl_conn *c) {
	if (c->fresh_stalled)
		log_always(LOG_WARN, LOG_CONN, "stalled", "name=%s actions=%u rows=%" PRIu64 " reason=%s", c->name,
			   c->fresh_stalled, c->fresh_rows, c->stall_text);
	if (c->stalled || c->fresh_stalled) conn_stalled(c, (int)c->fresh_stalled);
	conn_settled(c);
	c->fresh_stalled = 0;
	c->fresh_rows = 0;
	if (c->give_up) conn_give_up(c);
	c->give_up = false;
}

static void watch_fire(struct sl_timer *t) {
	struct connectors *cs = sl_container_of(t, struct connectors, watch_timer);
	uint64_t now_ms = sl_loop_now_ms(cs->loop);
	if (cs->draining) return;
	SL_LIST_FOREACH(it, &cs->pipelines) pipeline_watch(SL_LIST_ENTRY(it, struct sl_pipeline, link), now_ms);
	SL_LIST_FOREACH(it, &cs->conns) conn_watch(SL_LIST_ENTRY(it, struct sl_conn, link));
	if (cs->mem_bytes < cs->memory / 16) (void)connectors_trim(cs); /* what an outage has filled is empty again */
	if (!sl_list_empty(&cs->pipelines)) sl_timer_set(cs->loop, t, cs->watch_ms);
}

void connectors_watch_begin(struct connectors *cs) {
	cs->watch_ms = WATCH_MS;
	SL_LIST_FOREACH(it, &cs->pipelines) {
		const struct sl_pipeline *p = SL_LIST_ENTRY(it, struct sl_pipeline, link);
		uint64_t quarter = (uint64_t)pipeline_intake(p)->conf.stalled_after_ms / 4 + 1;
		if (quarter < cs->watch_ms) cs->watch_ms = quarter;
	}
	if (!cs->watch_timer.fire) sl_timer_init(&cs->watch_timer, watch_fire);
	sl_timer_set(cs->loop, &cs->watch_timer, cs->watch_ms);
}

void connectors_hurry(struct connectors *cs) {
	SL_LIST_FOREACH(it, &cs->conns) {
		struct sl_conn *c = SL_LIST_ENTRY(it, struct sl_conn, link);
		if (!c->retired) conn_hurry(c);
	}
	SL_LIST_FOREACH(it, &cs->pipelines) {
		struct sl_pipeline *p = SL_LIST_ENTRY(it, struct sl_pipeline, link);
		if (!p->not_ready_why) continue;
		p->pause_until_ms = 0;
		p->not_ready_tries = 0;
		pipeline_wake(p);
	}
}
