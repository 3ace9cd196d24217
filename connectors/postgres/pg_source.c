/* pg_source.c: a source's life: session made and lost, what is next, positions saved, closed. See pg_source.h. */
#include "pg_source.h"

#include <uv.h>

#include "mem.h"

#define BACKOFF_MS 500
#define BACKOFF_MAX_MS 5000
#define SAVE_EVERY_MS 100
#define SILENT_MS 5000 /* beyond what the server is given for a statement */
#define CLOSING_MS 2000
#define CLOSING_TICK_MS 20

static struct pg_source *of(const struct sl_source *s) { return sl_source_impl(s); }
static uint64_t now_ms(const struct pg_source *p) { return sl_loop_now_ms(sl_source_loop(p->s)); }
static void timer_set(struct pg_source *p, uint64_t ms) { sl_timer_set(sl_source_loop(p->s), &p->timer, ms); }

void pg_source_go(struct pg_source *p) { sl_loop_defer(sl_source_loop(p->s), &p->next); }

/* ---- The position. -------------------------------------------------------------------------------------------------------- */

/* One write, on its way through libuv's threads; the file is its until it is done. */
struct pg_save {
	uv_work_t req; /* first */
	struct pg_source *p;
	struct sl_slice column;
	char *cursor;
	uint64_t messages; /* that are through by it */
	struct sl_err err;
};

bool pg_source_saving(const struct pg_source *p) { return p->save || p->mark; }

static void save_run(uv_work_t *req) {
	struct pg_save *save = (struct pg_save *)req;
	(void)pg_position_write(&save->p->position, save->column, slice_from_str(save->cursor), &save->err);
}

static void save_soon(struct pg_source *p, uint64_t ms) {
	if (!p->save) sl_timer_set(sl_source_loop(p->s), &p->save_timer, ms);
}

static void save_done(uv_work_t *req, int status) {
	struct pg_save *save = (struct pg_save *)req;
	struct pg_source *p = save->p;
	bool saved = status == 0 && save->err.status == SL_OK;
	p->save = NULL;
	sl_free(p->save_error);
	p->save_error = saved ? NULL : sl_strdup(sl_err_text(&save->err));
	if (saved)
		p->unsaved_n -= save->messages;
	else
		p->marked_n += save->messages;
	if (!saved) {
		sl_source_state(p->s, SL_SOURCE_DEGRADED, "%s; rows come again after a restart", p->save_error);
		if (!p->mark) {
			p->mark = save->cursor;
			save->cursor = NULL;
		}
	}
	sl_err_fini(&save->err);
	sl_free(save->cursor);
	sl_free(save);
	if (p->mark) save_soon(p, saved ? SAVE_EVERY_MS : BACKOFF_MAX_MS);
}

static void on_save(struct sl_timer *t) {
	struct pg_source *p = sl_container_of(t, struct pg_source, save_timer);
	if (p->save || !p->mark || !p->position_open) return;
	struct pg_save *save = SL_NEW(struct pg_save);
	*save = (struct pg_save){.p = p,
				 .column = slice_from_str(p->conf.cursor),
				 .cursor = p->mark,
				 .messages = p->marked_n,
				 .err = SL_ERR_INIT};
	p->mark = NULL;
	p->marked_n = 0;
	p->save = save;
	if (uv_queue_work(sl_loop_uv(sl_source_loop(p->s)), &save->req, save_run, save_done) != 0)
		save_done(&save->req, UV_ENOMEM);
}

/* False: not now. */
static bool position_open(struct pg_source *p) {
	struct sl_err err = SL_ERR_INIT;
	char *cursor;
	if (p->position_open) return true;
	int r = pg_position_open(&p->position, sl_source_data_dir(p->s), sl_source_name(p->s),
				 slice_from_str(p->conf.cursor), &cursor, &err);
	if (r == SL_OK) {
		p->position_open = true;
		sl_free(p->read_at);
		p->read_at = cursor ? cursor : sl_strdup(p->conf.start ? p->conf.start : "0");
	} else
		sl_source_state(p->s, r == SL_EAGAIN ? SL_SOURCE_CONNECTING : SL_SOURCE_DOWN, "%s", sl_err_text(&err));
	sl_err_fini(&err);
	return r == SL_OK;
}

/* ---- The session. ---------------------------------------------------------------------------------------------------------- */

static void session_begin(struct pg_source *p) {
	timer_set(p, BACKOFF_MS);
	if (!p->ack && !position_open(p)) return;
	if (p->link.c->place_count == 0) return; /* the connector is not open */
	sl_timer_cancel(&p->timer);
	pg_link_start(&p->link);
}

static void on_ready(struct pg_link *l) {
	struct pg_source *p = sl_container_of(l, struct pg_source, link);
	p->at = PG_SOURCE_READY;
	p->backoff_ms = BACKOFF_MS;
	p->listening = p->no_listen = false;
	p->poll_at_ms = p->ack_at_ms = 0;
	pg_source_go(p);
}

static void on_gone(struct pg_link *l, const char *text) {
	struct pg_source *p = sl_container_of(l, struct pg_source, link);
	pg_source_lost(p);
	p->at = PG_SOURCE_AWAY;
	if (p->closing) return;
	sl_source_state(p->s, SL_SOURCE_DOWN, "%s", text);
	timer_set(p, p->backoff_ms);
	p->backoff_ms = p->backoff_ms * 2 < BACKOFF_MAX_MS ? p->backoff_ms * 2 : BACKOFF_MAX_MS;
}

/* Something was said, or the end of a turn: did others notify? */
static void on_heard(struct pg_link *l) {
	struct pg_source *p = sl_container_of(l, struct pg_source, link);
	bool any = false;
	for (PGnotify *n; (n = PQnotifies(l->pq)); any = true) PQfreemem(n);
	if (!any) return;
	p->notified = true;
	pg_source_go(p);
}

/* Whether a page may be asked for now. With `ack` it has all that is under way as well: so that is little, or the time has come. */
static bool page_is_due(const struct pg_source *p, uint64_t now) {
	if (p->paused || p->closing || p->through_n > 0) return false;
	bool rest = p->more && (!p->ack || p->under_n <= (uint64_t)p->limit / 2);
	return rest || p->notified || now >= p->poll_at_ms;
}

static void on_next(struct sl_deferred *d) {
	struct pg_source *p = sl_container_of(d, struct pg_source, next);
	uint64_t now = now_ms(p);
	if (p->at != PG_SOURCE_READY) return;
	if (p->conf.listen && !p->listening && !p->no_listen && !p->link.c->unnamed && !p->closing)
		pg_source_listen(p);
	else if (p->through_n > 0 && now >= p->ack_at_ms)
		pg_source_ack(p);
	else if (page_is_due(p, now))
		pg_source_page(p);
	else if (!p->closing) {
		uint64_t at = p->through_n > 0 ? p->ack_at_ms : p->poll_at_ms;
		timer_set(p, at > now ? at - now : BACKOFF_MS);
		return;
	}
	int64_t limit = p->link.c->conf.statement_timeout_ms;
	if (p->at > PG_SOURCE_READY && !p->closing && limit != CONF_UNLIMITED)
		timer_set(p, (uint64_t)limit + SILENT_MS);
}

static void on_timer(struct sl_timer *t) {
	struct pg_source *p = sl_container_of(t, struct pg_source, timer);
	if (p->at == PG_SOURCE_AWAY && p->link.state == PG_LINK_OFF)
		session_begin(p);
	else if (p->at == PG_SOURCE_READY)
		pg_source_go(p);
	else if (p->at > PG_SOURCE_READY)
		pg_link_lost(&p->link, "the server does not answer");
}

/* ---- The kind. -------------------------------------------------------------------------------------------------------------- */

static const struct pg_link_user user = {
    .ready = on_ready,
    .gone = on_gone,
    .heard = on_heard,
    .result = pg_source_result,
    .query_end = pg_source_query_end,
};

static int check(struct sl_source *s, struct sl_err *err) {
	struct pg_source *p = of(s);
	p->s = s;
	p->position.fd = -1;
	p->limit = p->conf.limit;
	p->backoff_ms = BACKOFF_MS;
	sl_list_init(&p->under);
	sl_list_init(&p->through);
	sl_list_init(&p->acking);
	sl_timer_init(&p->timer, on_timer);
	sl_timer_init(&p->save_timer, on_save);
	sl_deferred_init(&p->next, on_next);
	pg_link_init(&p->link, sl_source_conn_impl(s));
	p->link.user = &user;
	return pg_source_check(p, err);
}

static void start(struct sl_source *s) {
	struct pg_source *p = of(s);
	p->link.c = sl_source_conn_impl(s); /* the one that is in force */
	p->part = sl_source_part_new(s);
	sl_source_state(s, SL_SOURCE_CONNECTING, NULL);
	timer_set(p, 1);
}

static void pause_source(struct sl_source *s) { of(s)->paused = true; }

static void resume_source(struct sl_source *s) {
	of(s)->paused = false;
	pg_source_go(of(s));
}

/* The first row that is not through holds the mark back. */
static void mark_move(struct pg_source *p) {
	for (struct sl_list *it; !sl_list_empty(&p->under); p->under_n--) {
		it = p->under.next;
		struct pg_taken *t = SL_LIST_ENTRY(it, struct pg_taken, link);
		if (!t->done) return;
		sl_list_remove(it);
		sl_free(p->mark);
		p->mark = slice_dup(slice_make(t->cursor, t->n));
		p->marked_n++;
		sl_free(t);
	}
}

static void done(struct sl_source_part *part, uint64_t mark) {
	struct pg_source *p = of(sl_source_part_source(part));
	struct pg_taken *t = (struct pg_taken *)(uintptr_t)mark;
	t->done = true;
	p->unsaved_n += !p->ack;
	if (!p->ack) return;
	sl_list_remove(&t->link);
	sl_list_push_back(&p->through, &t->link);
	p->under_n--;
	p->through_n++;
}

static void settled(struct sl_source *s) {
	struct pg_source *p = of(s);
	bool saving = pg_source_saving(p);
	if (!p->ack) mark_move(p);
	if (p->mark && !saving) save_soon(p, SAVE_EVERY_MS);
	pg_source_go(p);
}

/* What is under way has some time to get through; a write that has begun is waited for. */
static void on_closing(struct sl_timer *t) {
	struct pg_source *p = sl_container_of(t, struct pg_source, timer);
	bool late = now_ms(p) >= p->closing_ms;
	bool waits = p->under_n > 0 || p->through_n > 0 || p->acking_n > 0 || p->mark;
	if (p->ack && p->at == PG_SOURCE_AWAY) waits = false; /* nobody to tell */
	if (p->mark && !p->save) save_soon(p, 0);
	if ((waits && !late) || p->save) {
		timer_set(p, CLOSING_TICK_MS);
		return;
	}
	sl_timer_cancel(&p->save_timer);
	sl_deferred_cancel(&p->next);
	pg_link_drop(&p->link);
	pg_source_lost(p);
	p->at = PG_SOURCE_AWAY;
	pg_position_close(&p->position);
	sl_source_part_end(p->part);
	p->part = NULL;
	sl_source_closed(p->s);
}

static void close_source(struct sl_source *s) {
	struct pg_source *p = of(s);
	p->closing = true;
	p->closing_ms = now_ms(p) + CLOSING_MS;
	p->timer.fire = on_closing;
	timer_set(p, 1);
}

static void taken_free(struct sl_list *list) {
	for (struct sl_list *it; (it = sl_list_pop_front(list));) sl_free(SL_LIST_ENTRY(it, struct pg_taken, link));
}

static void fini(struct sl_source *s) {
	struct pg_source *p = of(s);
	if (!p->s) return;
	sl_timer_cancel(&p->timer);
	sl_timer_cancel(&p->save_timer);
	sl_deferred_cancel(&p->next);
	pg_link_fini(&p->link);
	sl_source_part_end(p->part);
	pg_position_close(&p->position);
	taken_free(&p->under);
	taken_free(&p->through);
	taken_free(&p->acking);
	pg_taken_map_fini(&p->known);
	sl_params_fini(&p->query_params);
	sl_params_fini(&p->ack_params);
	sl_free(p->query);
	sl_free(p->ack);
	sl_free(p->sqlstate);
	sl_free(p->error);
	sl_free(p->changed);
	sl_free(p->read_at);
	sl_free(p->mark);
	sl_free(p->save_error);
}

static uint64_t untold(const struct sl_source *s) {
	const struct pg_source *p = of(s);
	return p->through_n + p->acking_n + p->unsaved_n;
}

const struct sl_source_kind pg_source_kind = {
    .summary =
	"Reads the rows that a query gives, from time to time or when a NOTIFY says so, and remembers how far it came.",
    .example = "{connector: db, query: SELECT ..., ack: DELETE ...}",
    .source_size = sizeof(struct pg_source),
    .fields = pg_source_fields,
    .check = check,
    .start = start,
    .pause = pause_source,
    .resume = resume_source,
    .done = done,
    .settled = settled,
    .untold = untold,
    .close = close_source,
    .fini = fini,
};
