/* pipeline_remap.c: rows that were taken in when the action's columns were others.
 *
 * A value goes where its name is now. One name that alone is another, at the same place among names that are all the same, is that name
 * corrected: its value goes on under the new one, when the same template makes it, or, after a restart, which knows no templates of
 * before, when the names are alike. What is guessed so is said, and so is what has no value: NULL is stored there. */
#include "connectors_int.h"
#include "hash.h"
#include "log.h"
#include "spill_int.h"

#define NO_VALUE UINT16_MAX
#define NAMES_SHOWN 20

/* Names may be there several times (the parts of a topic): the second is the second of before. */
static uint16_t place_of(const struct sl_conn_action *a, size_t param, const struct spill_names *old) {
	size_t earlier = 0;
	for (size_t i = 0; i < param; i++) earlier += slice_equal(a->params[i].name, a->params[param].name);
	for (size_t i = 0; i < old->count && i < NO_VALUE; i++)
		if (slice_equal(old->at[i], a->params[param].name) && earlier-- == 0) return (uint16_t)i;
	return NO_VALUE;
}

static bool param_is_there(const struct sl_conn_action *a, struct sl_slice name) {
	for (size_t i = 0; i < a->param_count; i++)
		if (slice_equal(a->params[i].name, name)) return true;
	return false;
}

/* What made the values, if that was in this run. */
static const struct row_format *format_of(const struct sl_pipeline *p, const struct spill_names *old) {
	for (const struct row_format *f = p->format; f; f = f->next)
		if (&f->names == old || spill_names_equal(&f->names, old)) return f;
	return NULL;
}

static char digit_next(struct sl_slice *s) {
	for (; s->n; *s = slice_from(*s, 1))
		if (*s->p >= '0' && *s->p <= '9') break;
	char c = s->n ? *s->p : '\0';
	*s = slice_from(*s, s->n ? 1 : 0);
	return c;
}

/* temp1 is no slip for temp2. */
static bool numbers_equal(struct sl_slice one, struct sl_slice other) {
	char c;
	do {
		c = digit_next(&one);
		if (c != digit_next(&other)) return false;
	} while (c);
	return true;
}

static bool alike(struct sl_slice one, struct sl_slice other) {
	if (!numbers_equal(one, other)) return false;
	char *name = slice_dup(other);
	bool near = slice_nearest(one, (const char *const[]){name}, 1) != NULL;
	sl_free(name);
	return near;
}

/* The place of the one name that is another; NO_VALUE: it is none, or several, or others have moved. */
static uint16_t renamed(const struct sl_pipeline *p, const struct sl_conn_action *a, const struct spill_names *old) {
	uint16_t at = NO_VALUE;
	if (old->count != a->param_count || old->count >= NO_VALUE) return NO_VALUE;
	for (size_t i = 0; i < old->count; i++) {
		if (slice_equal(old->at[i], a->params[i].name)) continue;
		if (at != NO_VALUE) return NO_VALUE;
		at = (uint16_t)i;
	}
	if (at == NO_VALUE || param_is_there(a, old->at[at])) return NO_VALUE;
	const struct row_format *was = format_of(p, old);
	if (was) return slice_equal(was->texts[at], a->params[at].text) ? at : NO_VALUE;
	return alike(old->at[at], a->params[at].name) ? at : NO_VALUE;
}

static uint64_t names_hash(const struct sl_conn_action *a, const struct spill_names *old) {
	uint64_t h = a->param_count + 1;
	for (size_t i = 0; i < a->param_count; i++) h = h * 31 + sl_hash_stable(a->params[i].name);
	for (size_t i = 0; i < old->count; i++) h = h * 31 + sl_hash_stable(old->at[i]);
	return h;
}

/* Once for each change of names, not for each of its chunks. */
static void remap_say(struct sl_pipeline *p, const struct sl_conn_action *a, const struct spill_names *old,
		      const uint16_t *from, uint16_t moved) {
	uint64_t hash = names_hash(a, old);
	if (p->remap_told == hash) return;
	p->remap_told = hash;
	if (moved != NO_VALUE)
		log_warn(LOG_ACTION, "rows queued before the change have their values under a new name",
			 "action=%s was=%.*s now=%.*s", a->name, SL_SLICE_ARG(old->at[moved]),
			 SL_SLICE_ARG(a->params[moved].name));
	struct sl_buf names = SL_BUF_INIT;
	for (size_t i = 0; i < a->param_count; i++)
		if (from[i] == NO_VALUE)
			sl_buf_printf(&names, "%s%.*s", names.n ? ", " : "", SL_SLICE_ARG(a->params[i].name));
	if (names.n)
		log_warn(LOG_ACTION, "rows queued before the change have no value for columns; they are stored as NULL",
			 "action=%s columns=%s", a->name, sl_buf_cstr(&names));
	sl_buf_fini(&names);
}

static void values_move(struct sl_chunk *c, const uint16_t *from, size_t n) {
	struct sl_buf mapped = SL_BUF_INIT;
	struct sql_value *values = SL_NEW_ARRAY(struct sql_value, n + 1);
	sl_buf_append(&mapped, c->buf.p, sizeof(struct spill_head));
	const char *row = chunk_rows(c);
	for (uint32_t r = 0; r < c->rows; r++) {
		const char *origins = row;
		row = chunk_row_at(row);
		sl_buf_append(&mapped, origins, (size_t)(row - origins));
		const struct sql_row_head *head = sql_row_head(row);
		for (size_t i = 0; i < n; i++) values[i] = sql_row_get(row, from[i]);
		sql_row_write(&mapped, values, (uint16_t)n, head->flags, head->order, head->at_ms);
		row += head->size;
	}
	sl_buf_fini(&c->buf);
	c->buf = mapped;
	sl_buf_clear(&c->index);
	sl_free(values);
}

bool pipeline_chunk_remap(struct sl_pipeline *p, const struct sl_conn_action *a, struct sl_chunk *c,
			  const struct spill_names *old) {
	size_t n = a->param_count, found = 0;
	uint16_t *from = SL_NEW_ARRAY(uint16_t, n + 1), moved = renamed(p, a, old);
	for (size_t i = 0; i < n; i++) {
		from[i] = i == moved ? moved : place_of(a, i, old);
		found += from[i] != NO_VALUE;
	}
	if (found > 0 || n == 0) {
		remap_say(p, a, old, from, moved);
		values_move(c, from, n);
	}
	sl_free(from);
	return found > 0 || n == 0;
}

void pipeline_chunk_dead(struct sl_pipeline *p, struct sl_chunk *c, const struct spill_names *old) {
	struct sl_buf reason = SL_BUF_INIT;
	sl_buf_append_str(&reason, "row was logged when the action's columns were others (");
	for (size_t i = 0; i < old->count && i < NAMES_SHOWN; i++)
		sl_buf_printf(&reason, "%s%.*s", i ? ", " : "", SL_SLICE_ARG(old->at[i]));
	if (old->count > NAMES_SHOWN) sl_buf_printf(&reason, " and %zu more", old->count - NAMES_SHOWN);
	sl_buf_append_str(&reason, "), none of which it has now");
	c->strange = old;
	c->undecided = c->rows;
	p->mem_rows += c->rows;
	pipeline_chunk_charge(p, c);
	sl_list_push_back(&p->in_mem, &c->in_mem);
	const char *row = chunk_rows(c);
	for (uint32_t i = c->rows; i > 0; i--) {
		row = chunk_row_at(row);
		uint32_t size = sql_row_head(row)->size;
		pipeline_reject(p, (struct row_ref){.row = row, .chunk = c, .size = size}, sl_buf_cstr(&reason));
		row += size;
	}
	sl_buf_fini(&reason);
}
