/* rule_shadow.c: see rule_shadow.h. */
#include "rule_shadow.h"

#include <stdlib.h>

#include "mem.h"
#include "rule_plan.h"
#include "rules_int.h"

enum { ROOM_KEPT = 256 * 1024 }; /* bytes of rows that stay allocated for the next event */

struct rule_shadow *rule_shadow_new(size_t workers) {
	struct rule_shadow *s = SL_NEW(struct rule_shadow);
	size_t size = (workers + 1) * sizeof *s->cells;
	atomic_init(&s->refs, 1);
	s->workers = workers;
	s->cells = aligned_alloc(_Alignof(struct shadow_cell), size);
	sl_assert(s->cells);
	memset(s->cells, 0, size);
	pthread_mutex_init(&s->lock, NULL);
	return s;
}

struct rule_shadow *rule_shadow_ref(struct rule_shadow *s) {
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void rule_shadow_unref(struct rule_shadow *s) {
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1) return;
	for (size_t i = 0; i < RULE_SHADOW_KEPT; i++) {
		sl_buf_fini(&s->last[i].topic);
		sl_buf_fini(&s->last[i].rule);
		sl_buf_fini(&s->last[i].shadow);
	}
	pthread_mutex_destroy(&s->lock);
	free(s->cells);
	sl_free(s);
}

/* ---- pages ---- */

struct rule_shadow_sum rule_shadow_sum(const struct rule_shadow *s) {
	struct rule_shadow_sum sum = {0};
	for (size_t w = 0; w < s->workers; w++) {
		sum.same += atomic_load_explicit(&s->cells[w].same, memory_order_relaxed);
		sum.different += atomic_load_explicit(&s->cells[w].different, memory_order_relaxed);
		sum.failed += atomic_load_explicit(&s->cells[w].failed, memory_order_relaxed);
	}
	return sum;
}

static void text_set(json_t *object, const char *name, const struct sl_buf *text) {
	json_t *value = json_stringn(text->p ? text->p : "", text->n);
	json_object_set_new(object, name, value ? value : json_string("(not UTF-8)"));
}

void rule_shadow_status(struct rule_shadow *s, json_t *out) {
	struct rule_shadow_sum sum = rule_shadow_sum(s);
	json_t *list = json_array();
	json_object_set_new(out, "same", json_integer((json_int_t)sum.same));
	json_object_set_new(out, "different", json_integer((json_int_t)sum.different));
	json_object_set_new(out, "failed", json_integer((json_int_t)sum.failed));
	pthread_mutex_lock(&s->lock);
	for (uint64_t i = 0; i < RULE_SHADOW_KEPT && i < s->kept; i++) {
		const struct shadow_difference *d = &s->last[(s->kept - 1 - i) % RULE_SHADOW_KEPT];
		json_t *one = json_object();
		json_object_set_new(one, "at_ms", json_integer(d->at_ms));
		text_set(one, "topic", &d->topic);
		text_set(one, "rule", &d->rule);
		text_set(one, "shadow", &d->shadow);
		json_array_append_new(list, one);
	}
	pthread_mutex_unlock(&s->lock);
	json_object_set_new(out, "differences", list);
}

/* ---- on a worker ---- */

static struct shadow_run *run_of(const struct rules_worker *rw, const struct rule_plan_candidate *c) {
	return &rw->shadow_runs[c->shadow - 1];
}

void rule_shadow_room(struct rules_worker *rw, const struct rule_plan *plan) {
	if (plan->shadow_count <= rw->shadow_cap) return;
	rw->shadow_runs = sl_realloc_array(rw->shadow_runs, plan->shadow_count, sizeof *rw->shadow_runs);
	for (size_t i = rw->shadow_cap; i < plan->shadow_count; i++)
		rw->shadow_runs[i] = (struct shadow_run){.outcome = {SQL_FILTERED, SQL_FILTERED}};
	rw->shadow_cap = plan->shadow_count;
}

void rule_shadow_room_fini(struct rules_worker *rw) {
	for (size_t i = 0; i < rw->shadow_cap; i++)
		for (size_t k = 0; k < 2; k++) sl_buf_fini(&rw->shadow_runs[i].rows[k]);
	sl_free(rw->shadow_runs);
	rw->shadow_runs = NULL;
	rw->shadow_cap = 0;
}

static void state_choose(const struct rules_worker *rw, bool shadow, struct sql_state *state) {
	const struct rule_state *s = &rw->rules->state;
	state->kv = shadow ? s->shadow_kv : s->kv;
	state->dict = shadow ? s->shadow_dict : s->dict;
}

void rule_shadow_begin(struct rules_worker *rw, const struct rule_plan_candidate *c, struct sql_state *state) {
	rw->shadow_rows = &run_of(rw, c)->rows[c->rule->is_shadow];
	sl_buf_clear(rw->shadow_rows);
	state_choose(rw, c->rule->is_shadow, state);
}

int rule_shadow_row(void *arg, struct sql_vm *vm, const struct sql_out *row) {
	const struct action_cause *cause = arg;
	sql_out_json(row, cause->rw->shadow_rows);
	sl_buf_put(cause->rw->shadow_rows, '\n');
	return rules_row_add(arg, vm, row);
}

bool rule_shadow_ran(struct rules_worker *rw, const struct rule_plan_candidate *c, enum sql_outcome outcome,
		     struct sql_state *state) {
	struct shadow_run *run = run_of(rw, c);
	bool shadow = c->rule->is_shadow;
	run->outcome[shadow] = outcome;
	if (outcome != SQL_PRODUCED) sl_buf_clear(&run->rows[shadow]);
	if (outcome == SQL_FAILED) {
		const struct sl_err *err = sql_vm_error(rw->vm);
		sl_buf_printf(&run->rows[shadow], "failed: line %u, column %u: %s", err->line, err->column,
			      sl_err_text(err));
	}
	state_choose(rw, false, state);
	return shadow;
}

/* Cuts between two characters of UTF-8, never inside one. */
static void keep(struct sl_buf *to, struct sl_slice text) {
	if (text.n > RULE_SHADOW_TEXT_MAX) {
		text.n = RULE_SHADOW_TEXT_MAX;
		while (text.n > 0 && ((uint8_t)text.p[text.n] & 0xc0) == 0x80) text.n--;
	}
	sl_buf_clear(to);
	sl_buf_append_slice(to, text);
}

static void difference_keep(struct rule_shadow *s, const struct shadow_run *run, const struct rules_event *ev) {
	if (pthread_mutex_trylock(&s->lock) != 0) return;
	struct shadow_difference *d = &s->last[s->kept++ % RULE_SHADOW_KEPT];
	d->at_ms = ev->at_ms;
	keep(&d->topic, ev->topic);
	keep(&d->rule, sl_buf_slice(&run->rows[0]));
	keep(&d->shadow, sl_buf_slice(&run->rows[1]));
	pthread_mutex_unlock(&s->lock);
}

static void count(_Atomic uint64_t *counter) {
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1, memory_order_relaxed);
}

static void compare(struct rule_shadow *s, size_t worker, const struct shadow_run *run, const struct rules_event *ev) {
	struct shadow_cell *cell = &s->cells[worker];
	bool failed[] = {run->outcome[0] == SQL_FAILED, run->outcome[1] == SQL_FAILED};
	bool same = failed[0] == failed[1] &&
		    (failed[0] || slice_equal(sl_buf_slice(&run->rows[0]), sl_buf_slice(&run->rows[1])));
	count(same ? &cell->same : failed[1] ? &cell->failed : &cell->different);
	if (!same) difference_keep(s, run, ev);
}

void rule_shadow_compare(struct rules_worker *rw, const struct rule_plan *plan, const struct rules_event *ev) {
	for (size_t i = 0; i < plan->shadow_count; i++) {
		struct shadow_run *run = &rw->shadow_runs[i];
		compare(plan->shadows[i], rw->index, run, ev);
		for (size_t k = 0; k < 2; k++) {
			run->outcome[k] = SQL_FILTERED;
			if (run->rows[k].cap > ROOM_KEPT) sl_buf_fini(&run->rows[k]);
			sl_buf_clear(&run->rows[k]);
		}
	}
}
