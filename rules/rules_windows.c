/* rules_windows.c: see rules_windows.h. */
#include "rules_windows.h"

#include <pthread.h>

#include "clock.h"
#include "mem.h"
#include "rule_failure.h"
#include "rule.h"

enum {
	LOOK_AGAIN_MS = 60 * 1000, /* the wall clock may be set */
	NO_ROOM_MS = 20            /* there is no memory for more rows: until it is looked again */
};

struct rules_event rules_window_event(const struct rule *r, const struct sql_window_row *row) {
	size_t count;
	const struct sl_slice *from = sql_program_from(r->program, &count);
	return (struct rules_event){.topic = count ? from[0] : SL_SLICE_EMPTY,
				    .clientid = slice_from_str(r->id),
				    .at_ms = row->end_ms,
				    .qos = 1,
				    .version = 5,
				    .hops = row->hops,
				    .message_expiry_s = -1,
				    .payload_format = -1};
}

static void row_failed(struct rules_worker *rw, const struct rule *r, const struct rules_event *ev) {
	const struct sl_err *err = sql_vm_error(rw->vm);
	struct sl_slice reason = sl_arena_printf(sql_vm_arena(rw->vm), "a window's row, line %u, column %u: %s",
						 err->line, err->column, sl_err_text(err));
	atomic_fetch_add_explicit(&rw->rules->state.window_failed, 1, memory_order_relaxed);
	rule_failed(rw, r, ev->at_ms, ev->topic, rule_failure_client(ev), reason);
}

static void row_out(struct rules_worker *rw, const struct rule *r, const struct sql_window_row *row, int64_t now_ms) {
	struct rules_event ev = rules_window_event(r, row);
	struct sql_state state = rule_memory_state(&rw->rules->state, r->memory, ev.clientid);
	/* Of many messages: a dead letter names none. */
	struct sl_origin from = {.serial = ++rw->serial, .at_ms = ev.at_ms, .qos = ev.qos};
	struct action_cause cause = {.rw = rw, .rule = r, .ev = &ev, .from = from};
	struct sql_input in = {.event = row, .now_ms = now_ms, .rule_id = slice_from_str(r->id), .state = &state};
	rw->rows_len = rw->rows_made = 0;
	switch (sql_run(rw->vm, sql_program_window(r->program)->out, &in, rules_row_add, &cause)) {
	case SQL_FILTERED: break; /* HAVING */
	case SQL_PRODUCED:
		r->stats->cells[rw->index].rows += rw->rows_made;
		for (size_t i = 0; i < rw->rows_len; i++) rule_action_deliver(&rw->rows[i], &cause);
		break;
	case SQL_FAILED: row_failed(rw, r, &ev); break;
	}
}

bool rules_windows_close(struct rules_worker *rw, int64_t now_ms, size_t most) {
	size_t left = most;
	for (size_t i = 0; i < rw->window_count && left; i++) {
		const struct rule *r = rw->window_rules[i];
		struct sql_window_row row;
		while (left && sql_windows_next(r->memory->windows, now_ms, &rw->window_arena, &row)) {
			/* A run that looks at the clock is told the end of the window, also when all are let out. */
			row_out(rw, r, &row, now_ms == INT64_MAX ? row.end_ms : now_ms);
			sl_arena_reset(&rw->window_arena);
			left--;
		}
	}
	rules_settle(rw);
	return left == 0;
}

/* Until the next end of a window. */
static uint64_t next_end(const struct rules_worker *rw, int64_t now_ms) {
	int64_t least = LOOK_AGAIN_MS;
	for (size_t i = 0; i < rw->window_count; i++) {
		int64_t hop = sql_program_window(rw->window_rules[i]->program)->hop_ms;
		int64_t in = hop - now_ms % hop;
		if (in < least) least = in;
	}
	return (uint64_t)least;
}

static void window_timer_fire(struct sl_timer *t) {
	struct rules_worker *rw = sl_container_of(t, struct rules_worker, window_timer);
	int64_t now = sl_loop_wall_ms(rw->loop);
	if (rw->window_full && !rules_room(rw->window_full, 1)) { /* groups that have ended wait where they are */
		sl_timer_set(rw->loop, t, NO_ROOM_MS);
		return;
	}
	(void)rules_no_room(rw); /* of what others have caused */
	bool more = rules_windows_close(rw, now, RULES_WINDOW_ROWS);
	rw->window_full = rules_no_room(rw);
	sl_timer_set(rw->loop, t, more ? 1 : next_end(rw, now));
}

void rules_windows_init(struct rules_worker *rw) {
	sl_timer_init(&rw->window_timer, window_timer_fire);
	sl_arena_init(&rw->window_arena, 1024);
}

void rules_windows_use(struct rules_worker *rw) {
	const struct ruleset *set = rw->set;
	rw->window_count = 0;
	rw->window_full = NULL;
	sl_timer_cancel(&rw->window_timer);
	for (size_t i = 0; i < set->len; i++) {
		const struct rule *r = set->rules[i];
		if (!r->memory || !r->memory->windows || i % rw->rules->worker_count != rw->index) continue;
		SL_GROW(rw->window_rules, rw->window_count, rw->window_cap);
		rw->window_rules[rw->window_count++] = r;
	}
	if (rw->window_count && rw->loop) sl_timer_set(rw->loop, &rw->window_timer, next_end(rw, sl_clock_wall_ms()));
}

void rules_windows_fini(struct rules_worker *rw) {
	sl_timer_cancel(&rw->window_timer);
	sl_arena_fini(&rw->window_arena);
	sl_free(rw->window_rules);
}

/* ---- a clean stop ---- */

struct let_out {
	pthread_mutex_t lock;
	pthread_cond_t done;
	size_t waiting;
};
struct let_out_letter {
	struct sl_post post;
	struct rules_worker *rw;
	struct let_out *all;
};

static void let_out_run(struct sl_post *post, struct sl_loop *l) {
	struct let_out_letter *letter = sl_container_of(post, struct let_out_letter, post);
	(void)l;
	rules_windows_close(letter->rw, INT64_MAX, SIZE_MAX);
	if (letter->rw->rules->connectors) sl_stages_flush(letter->rw->rules->connectors, letter->rw->index);
	pthread_mutex_lock(&letter->all->lock);
	if (--letter->all->waiting == 0) pthread_cond_signal(&letter->all->done);
	pthread_mutex_unlock(&letter->all->lock);
}

void rules_let_out(struct rules *r) {
	struct let_out all = {.lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};
	struct let_out_letter *letters = SL_NEW_ARRAY(struct let_out_letter, r->worker_count + 1);
	for (uint32_t w = 0; w < r->worker_count; w++) all.waiting += r->workers[w] && r->workers[w]->loop;
	size_t waiting = all.waiting;
	for (uint32_t w = 0; w < r->worker_count; w++) {
		if (!r->workers[w] || !r->workers[w]->loop) continue;
		letters[w] = (struct let_out_letter){.post = {.run = let_out_run}, .rw = r->workers[w], .all = &all};
		sl_loop_post(r->workers[w]->loop, &letters[w].post);
	}
	pthread_mutex_lock(&all.lock);
	while (waiting && all.waiting) pthread_cond_wait(&all.done, &all.lock);
	pthread_mutex_unlock(&all.lock);
	sl_free(letters);
}
