/* pipeline_remap.c: rows that were taken in when the action's columns were others. Where each value goes:
 *
 * 1. Where its name is now. Of a name that is there several times the one with the same template, else the next.
 * 2. Of names that went and names that came: from one to the other that the same template makes, wherever they stand. That is the very
 *    value that the new one would have. Templates are known of this run only, and mean the same only under the same SQL of the rule.
 * 3. Where templates are not known, after a restart or when the rule's SQL is another: one name that alone is another, at the same place
 *    among names that are all the same, and that is alike, is that name corrected.
 *
 * Otherwise a new name has no value: NULL is stored there. A place alone tells nothing. What goes under another name is said, and
 * so is what has no value. When no name gets any, the row is a dead letter, under the names that it was made for. */
#include "connectors_int.h"
#include "hash.h"
#include "log.h"
#include "spill_int.h"

#define NO_VALUE UINT16_MAX
#define NAMES_SHOWN 20

/* What made the values, if that was in this run and its templates mean the same now; NULL: nobody knows. Of rows in the log only the
 * names are known: then all that ever had these must agree. */
static const struct row_templates *templates_of(const struct sl_pipeline *p, const struct sl_conn_action *a,
						const struct spill_names *old) {
	const struct row_templates *found = NULL;
	for (const struct row_format *f = p->format; f; f = f->next) {
		if (&f->names == old) {
			found = &f->made;
			break;
		}
		if (!spill_names_equal(&f->names, old)) continue;
		if (found && !row_templates_equal(found, &f->made, old->count)) return NULL;
		found = &f->made;
	}
	return found && found->rows_of == a->rows_of ? found : NULL;
}

static bool param_is_there(const struct sl_conn_action *a, struct sl_slice name) {
	for (size_t i = 0; i < a->param_count; i++)
		if (slice_equal(a->params[i].name, name)) return true;
	return false;
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

/* The place of the one name that is another, and alike; NO_VALUE: it is none, or several, or others have moved. */
static uint16_t corrected(const struct sl_conn_action *a, const struct spill_names *old) {
	uint16_t at = NO_VALUE;
	if (old->count != a->param_count) return NO_VALUE;
	for (size_t i = 0; i < old->count; i++) {
		if (slice_equal(old->at[i], a->params[i].name)) continue;
		if (at != NO_VALUE) return NO_VALUE;
		at = (uint16_t)i;
	}
	if (at == NO_VALUE || param_is_there(a, old->at[at])) return NO_VALUE;
	return alike(old->at[at], a->params[at].name) ? at : NO_VALUE;
}

/* Where each value of a row comes from. */
struct remap {
	const struct sl_conn_action *a;
	const struct spill_names *old;
	const struct row_templates *made; /* NULL: not known */
	uint16_t *from;
	bool *taken; /* of the old ones */
	size_t found;
};

static bool same_name(const struct remap *m, size_t param, size_t old) {
	return slice_equal(m->old->at[old], m->a->params[param].name);
}

static bool same_template(const struct remap *m, size_t param, size_t old) {
	const struct sl_param *to = &m->a->params[param];
	return m->made && m->made->target[old] == to->target && slice_equal(m->made->text[old], to->text);
}

static bool same_both(const struct remap *m, size_t param, size_t old) {
	return same_name(m, param, old) && same_template(m, param, old);
}

static void remap_take(struct remap *m, size_t param, size_t old) {
	m->from[param] = (uint16_t)old;
	m->taken[old] = true;
	m->found++;
}

/* What is left on both sides, in its order. */
static void remap_left(struct remap *m, bool (*same)(const struct remap *m, size_t param, size_t old)) {
	for (size_t i = 0; i < m->a->param_count && m->found < m->old->count; i++) {
		for (size_t j = 0; m->from[i] == NO_VALUE && j < m->old->count && j < NO_VALUE; j++)
			if (!m->taken[j] && same(m, i, j)) remap_take(m, i, j);
	}
}

/* Names may be there several times (the parts of a topic), so the templates are asked there, too, before their order is. */
static void remap_find(struct remap *m) {
	if (m->made) remap_left(m, same_both);
	remap_left(m, same_name);
	uint16_t at = m->made ? NO_VALUE : corrected(m->a, m->old);
	if (m->made) remap_left(m, same_template);
	if (at != NO_VALUE) remap_take(m, at, at);
}

static uint64_t names_hash(const struct sl_conn_action *a, const struct spill_names *old) {
	uint64_t h = a->param_count + 1;
	for (size_t i = 0; i < a->param_count; i++) h = h * 31 + sl_hash_stable(a->params[i].name);
	for (size_t i = 0; i < old->count; i++) h = h * 31 + sl_hash_stable(old->at[i]);
	return h;
}

/* Once for each change of names, not for each of its chunks. */
static void remap_say(struct sl_pipeline *p, const struct remap *m) {
	const struct sl_conn_action *a = m->a;
	uint64_t hash = names_hash(a, m->old);
	if (p->remap_told == hash) return;
	p->remap_told = hash;
	struct sl_buf names = SL_BUF_INIT;
	unsigned said = 0;
	for (size_t i = 0; i < a->param_count; i++) {
		struct sl_slice name = a->params[i].name;
		if (m->from[i] == NO_VALUE)
			sl_buf_printf(&names, "%s%.*s", names.n ? ", " : "", SL_SLICE_ARG(name));
		else if (!same_name(m, i, m->from[i]) && said++ < NAMES_SHOWN)
			log_warn(LOG_ACTION, "rows queued before the change have their values under a new name",
				 "action=%s was=%.*s now=%.*s", a->name, SL_SLICE_ARG(m->old->at[m->from[i]]),
				 SL_SLICE_ARG(name));
	}
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
	size_t n = a->param_count;
	struct remap m = {.a = a, .old = old, .made = templates_of(p, a, old)};
	m.from = SL_NEW_ARRAY(uint16_t, n + 1);
	m.taken = SL_NEW_ARRAY(bool, old->count + 1);
	for (size_t i = 0; i < n; i++) m.from[i] = NO_VALUE;
	remap_find(&m);
	bool known = m.found > 0 || n == 0;
	if (known) {
		remap_say(p, &m);
		values_move(c, m.from, n);
	}
	sl_free(m.from);
	sl_free(m.taken);
	return known;
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
