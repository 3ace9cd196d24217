/* sql_sources.c: the columns of a FROM that names several kinds of event.
 *
 * A column that any of the sources has is a column of all; the getter gives NULL where an event lacks it. That holds for
 * sources with one getter between them, whose columns of one name have one id. */
#include "sql_unit.h"

#include "mem.h"

static const struct sql_column *column_named(const struct sql_column *columns, uint16_t n, const char *name) {
	for (uint16_t i = 0; i < n; i++)
		if (strcmp(columns[i].name, name) == 0) return &columns[i];
	return NULL;
}

static bool agree(const struct sql_source *a, const struct sql_source *b) {
	if (a->get != b->get) return false;
	if (a->payload_column != b->payload_column && a->payload_column != UINT16_MAX &&
	    b->payload_column != UINT16_MAX)
		return false;
	for (uint16_t i = 0; i < b->column_count; i++) {
		const struct sql_column *c = column_named(a->columns, a->column_count, b->columns[i].name);
		if (c && c->id != b->columns[i].id) return false;
	}
	return true;
}

bool sql_sources_agree(const struct sql_unit *u, const struct sql_source *added) {
	for (size_t i = 0; i < u->n_sources; i++)
		if (!agree(u->sources[i], added)) return false;
	return true;
}

const struct sql_source *sql_sources_merge(struct sql_unit *u) {
	if (u->n_sources < 2) return u->sources[0];
	struct sl_arena *arena = &u->p->arena;
	size_t room = 0;
	for (size_t i = 0; i < u->n_sources; i++) room += u->sources[i]->column_count;
	struct sql_column *columns = SL_ARENA_ARRAY(arena, struct sql_column, room);
	struct sql_source *merged = SL_ARENA_NEW(arena, struct sql_source);
	struct sl_buf name = SL_BUF_INIT;
	*merged = *u->sources[0];
	merged->columns = columns;
	merged->column_count = 0;
	for (size_t i = 0; i < u->n_sources; i++) {
		const struct sql_source *s = u->sources[i];
		sl_buf_printf(&name, "%s%s", i ? ", " : "", s->name);
		if (s->payload_column != UINT16_MAX) merged->payload_column = s->payload_column;
		for (uint16_t k = 0; k < s->column_count; k++)
			if (!column_named(columns, merged->column_count, s->columns[k].name))
				columns[merged->column_count++] = s->columns[k];
	}
	merged->name = sl_arena_strdup(arena, sl_buf_slice(&name));
	sl_buf_fini(&name);
	return merged;
}

bool sql_program_is_foreach(const struct sql_program *p) { return p->foreach; }

bool sql_program_has_column(const struct sql_program *p, struct sl_slice name) {
	for (uint16_t i = 0; i < p->source->column_count; i++)
		if (!p->source->columns[i].hidden && slice_equal_str(name, p->source->columns[i].name)) return true;
	return false;
}
