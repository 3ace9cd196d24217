/* dead_fuzz.c: arbitrary bytes read as a line of a dead-letter file; a row that one gives is written and read again, and must
 * be the same then. Seeds: corpus/dead. */
#include <stdint.h>

#include "dead_row.h"
#include "mem.h"
#include "sql_row.h"
#include "utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PARAMS_MAX = 64 };

/* An action that wants just what the line has; false: a name is there twice, which no action has with two kinds. */
static bool params_of(const struct dead_line *l, struct sl_arena *arena, struct sl_param *params, size_t *count) {
	struct jpath_hit key, value;
	struct jscan_iter it;
	*count = 0;
	if (jscan_begin(&it, &l->row) != SL_OK) return false;
	while (jscan_next(&it, &key, &value) == 1) {
		struct sl_slice name;
		if (*count == PARAMS_MAX || jscan_string(&key, arena, &name) != SL_OK) return false;
		if (!utf8_valid(name)) return false; /* they come from a configuration, which is text */
		for (size_t i = 0; i < *count; i++)
			if (slice_equal(params[i].name, name)) return false;
		params[(*count)++] = (struct sl_param){.name = name};
	}
	return true;
}

static void write_again(const struct dead_line *l, const struct sl_param *params, size_t count, struct sl_arena *arena,
			const struct sl_buf *row, struct sl_buf *line) {
	struct sl_origin from, read;
	struct sl_buf record = SL_BUF_INIT;
	dead_line_origin(l, arena, &from);
	sl_origin_write(&record, &from, UINT32_MAX);
	sl_assert(sl_origin_read(record.p, &read) == SL_OK);
	struct sl_reject r = {.rule = "r",
			      .action = l->action,
			      .params = params,
			      .param_count = count,
			      .row = row->p,
			      .from = sl_origin_empty(&read) ? NULL : &read,
			      .reason = "again",
			      .connector = "c",
			      .type = "null",
			      .attempts = sql_row_tried(sql_row_head(row->p)->flags)};
	dead_line_write(&r, true, line);
	line->n--; /* its newline */
	sl_buf_fini(&record);
}

/* From the second time on nothing changes: white space of JSON goes with the first. */
static void round_trip(struct dead_line *l, const struct sl_param *params, size_t count, struct sl_arena *arena,
		       struct sl_buf *row) {
	struct sl_buf lines[2] = {SL_BUF_INIT, SL_BUF_INIT}, again[2] = {SL_BUF_INIT, SL_BUF_INIT};
	for (size_t i = 0; i < 2; i++) {
		uint32_t bytes;
		write_again(l, params, count, arena, i ? &again[0] : row, &lines[i]);
		sl_assert(dead_line_read(sl_buf_slice(&lines[i]), arena, l, NULL) == SL_OK);
		sl_assert(dead_line_row(l, params, count, arena, &again[i], NULL) == SL_OK);
		sl_assert(sql_row_check(sl_buf_slice(&again[i]), &bytes) == SL_OK && bytes == again[i].n);
	}
	sl_assert(slice_equal(sl_buf_slice(&lines[0]), sl_buf_slice(&lines[1])));
	sl_assert(slice_equal(sl_buf_slice(&again[0]), sl_buf_slice(&again[1])));
	for (size_t i = 0; i < 2; i++) {
		sl_buf_fini(&lines[i]);
		sl_buf_fini(&again[i]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	struct sl_arena arena;
	struct dead_line l;
	struct sl_err err = SL_ERR_INIT;
	struct sl_buf row = SL_BUF_INIT;
	struct sl_param params[PARAMS_MAX];
	size_t count;
	sl_arena_init(&arena, 4096);
	if (dead_line_read(slice_make((const char *)data, size), &arena, &l, &err) == SL_OK) {
		if (params_of(&l, &arena, params, &count) &&
		    dead_line_row(&l, params, count, &arena, &row, &err) == SL_OK)
			round_trip(&l, params, count, &arena, &row);
	} else {
		sl_assert(err.text);
	}
	sl_buf_fini(&row);
	sl_err_fini(&err);
	sl_arena_fini(&arena);
	return 0;
}
