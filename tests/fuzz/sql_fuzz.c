/* sql_fuzz.c: arbitrary text through the whole front end; what compiles is explained and run on a few events, and serves
 * as a template too. What it remembers lasts for these events; windows end with the last. Seeds: corpus/sql. */
#include <stdint.h>

#include "sql.h"
#include "sql_row.h"
#include "sql_state.h"
#include "sql_window.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#ifndef SQL_FUZZ_DIALECT
#define SQL_FUZZ_DIALECT SQL_STANDARD
#endif

static const struct sql_column columns[] = {
    {"payload", SQL_STRING, 0, "", false},  {"topic", SQL_STRING, 1, "", false},  {"qos", SQL_INT, 2, "", false},
    {"clientid", SQL_STRING, 3, "", false}, {"timestamp", SQL_INT, 4, "", false}, {"event", SQL_STRING, 5, "", false},
};

static struct sql_value get(const void *event, uint16_t id, struct sl_arena *arena) {
	(void)arena;
	if (id == 2 || id == 4) return sql_int(id);
	return id == 0 ? sql_string(*(const struct sl_slice *)event) : sql_string(SL_SLICE_LIT("t/a"));
}

static const struct sql_source source = {
    .name = "message", .columns = columns, .column_count = 6, .payload_column = 0, .get = get};

static const struct sql_source *find(void *arg, struct sl_slice from, struct sl_err *err) {
	(void)arg, (void)from, (void)err;
	return &source;
}

static const char *const payloads[] = {
    "{\"a\":1,\"b\":\"x\",\"c\":null,\"t\":21.5,\"s\":\"{\\\"a\\\":[1]}\",\"l\":[1,{\"v\":2},\"3\"],\"o\":{\"k\":{"
    "\"n\":-7}}}",
    "{\"a\":\"\xff\",\"b\":\"x\xc3\",\"c\":[\"\xfe\",1],\"t\":21.5,\"s\":\"{\\\"a\\\":[\\\"\xfe\\\"]}\",\"l\":[1,{"
    "\"v\xff\":2},\"\\ud800\"],"
    "\"o\":{\"k\":{\"n\":\"\xfd\"},\"\xfc\":[]}}", /* text that is not UTF-8 */
    "[{\"a\":1},2,\"three\",null,true]",
    "not json",
    "",
    NULL,
};

struct sink {
	struct sql_template *template;
	struct sl_buf out, other;
	struct sql_state state;
	struct sql_windows *windows; /* of a program with GROUP BY */
	int64_t now_ms;
};

static int on_row(void *arg, struct sql_vm *vm, const struct sql_out *row) {
	struct sink *s = arg;
	struct sql_value v;
	uint32_t length;
	sl_buf_clear(&s->out);
	sql_row_write(&s->out, row->values, (uint16_t)row->count, 0, 0, 0);
	sl_assert(sql_row_check(sl_buf_slice(&s->out), &length) == SL_OK);
	sl_buf_clear(&s->out);
	sql_out_json(row, &s->out);
	sl_assert(jscan_valid(sl_buf_slice(&s->out)));
	struct sql_out slowly = *row;
	slowly.names_json = NULL;
	sl_buf_clear(&s->other);
	sql_out_json(&slowly, &s->other);
	sl_assert(slice_equal(sl_buf_slice(&s->out), sl_buf_slice(&s->other)));
	if (s->template) (void)sql_template_eval(vm, s->template, row, &v);
	return SL_OK;
}

static int on_message(void *arg, struct sql_vm *vm, const struct sql_out *row) {
	struct sink *s = arg;
	return s->windows ? sql_windows_add(s->windows, vm, row, s->now_ms, 0) : on_row(arg, vm, row);
}

static void end_windows(struct sql_vm *vm, const struct sql_program *p, struct sink *sink) {
	struct sl_arena arena;
	struct sql_window_row row;
	sl_arena_init(&arena, 1024);
	while (sink->windows && sql_windows_next(sink->windows, INT64_MAX, &arena, &row)) {
		struct sql_input in = {.event = &row, .now_ms = row.end_ms, .state = &sink->state};
		(void)sql_run(vm, sql_program_window(p)->out, &in, on_row, sink);
		sl_arena_reset(&arena);
	}
	sl_arena_fini(&arena);
}

static void run(struct sql_vm *vm, const struct sql_program *p, const struct jpath_set *set, size_t n,
		struct sink *sink) {
	for (size_t i = 0; i < SL_ARRAY_LEN(payloads); i++) {
		struct sl_slice payload = slice_from_str(payloads[i]);
		struct jpath_hit hits[256] = {{.kind = JKIND_ABSENT}};
		struct sql_input in = {.event = &payload,
				       .payload = payload,
				       .hits = hits,
				       .now_ms = sink->now_ms += 700,
				       .state = &sink->state};
		if (n) in.payload_status = jpath_extract_any_text(set, payload, hits);
		enum sql_outcome o = sql_run(vm, p, &in, on_message, sink);
		sl_assert(o != SQL_FAILED || sql_vm_error(vm)->text);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	static const enum sql_target targets[] = {SQL_TO_JSON, SQL_TO_TOPIC, SQL_TO_BYTES};
	struct sql_compile_opts opts = {.dialect = SQL_FUZZ_DIALECT, .source = find};
	if (SQL_FUZZ_DIALECT == SQL_AWS && size % 2) opts.sql_version = "2015-10-08";
	struct sl_err err = SL_ERR_INIT;
	struct sql_program *p = NULL;
	struct sink sink = {.template = NULL};
	struct sl_slice text = slice_make(data, size);
	int r = sql_compile(text, &opts, &p, &err);
	sl_assert(r == SL_OK || (err.text && err.status == r));
	sl_err_fini(&err);
	if (!p && sql_compile(SL_SLICE_LIT("SELECT payload.a AS a, topic FROM 't'"), &opts, &p, NULL) != SL_OK)
		return 0;
	(void)sql_template_compile(text, p, targets[size % 3], &sink.template, NULL);
	sql_explain(p, &sink.out);
	size_t n;
	struct jpath_set *set = NULL;
	const struct jpath *paths = sql_program_paths(p, &n);
	if (n <= 256 && jpath_set_new(paths, n, &set) == SL_OK) {
		struct sql_vm *vm = sql_vm_new();
		struct sql_memory memory;
		sql_memory_init(&memory, 1 << 20);
		struct sql_store *store = sql_store_new(&memory, 0);
		sink.state = (struct sql_state){.kv = store, .dict = store, .rule = store};
		sink.now_ms = 1700000000123;
		if (sql_program_window(p)) sink.windows = sql_windows_new(sql_program_window(p), &memory, 2);
		run(vm, p, set, n, &sink);
		end_windows(vm, p, &sink);
		sql_windows_free(sink.windows);
		sql_store_free(store);
		sql_vm_free(vm);
	}
	jpath_set_free(set);
	sql_template_free(sink.template);
	sql_program_free(p);
	sl_buf_fini(&sink.out);
	sl_buf_fini(&sink.other);
	return 0;
}
