/* kafka_fuzz.c: any bytes as the JSON that gives all headers of a record, as a topic and a time, and as a token's file. */
#include <stdint.h>
#include <stdlib.h>

#include "kafka_auth.h"
#include "kafka_row.h"
#include "mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void as_row(struct sl_slice text, enum sql_kind kind) {
	struct conf_pair all = {.value = (char *)(uintptr_t) "${h}"};
	struct kafka_templates templates = {.topic = (char *)(uintptr_t) "t.${t}",
					    .value = (char *)(uintptr_t) "${v}",
					    .timestamp = (char *)(uintptr_t) "${ts}",
					    .headers = {.items = &all, .len = 1}};
	struct kafka_plan plan = {0};
	struct sl_buf row = SL_BUF_INIT;
	struct sl_arena arena;
	struct kafka_row out;
	sl_arena_init(&arena, 512);
	if (kafka_plan_make(&templates, &plan, NULL) != SL_OK) __builtin_trap();
	struct sql_value whole = sql_string(text), start = sql_string(slice_sub(text, 0, 40));
	whole.kind = kind;
	struct sql_value values[] = {whole, sql_null(), sql_int(1), whole};
	for (int i = 0; i < 3; i++) {
		sl_buf_clear(&row);
		values[1] = i == 1 ? start : sql_null();
		values[2] = i == 2 ? start : sql_int(1);
		sql_row_write(&row, values, 4, 0, 0, 1);
		int r = kafka_row_read(&plan, row.p, &arena, &out);
		if ((r == SL_OK) != !out.why) __builtin_trap();
		if (r == SL_OK && !kafka_topic_valid(out.topic)) __builtin_trap();
		if (out.headers) rd_kafka_headers_destroy(out.headers);
	}
	kafka_plan_fini(&plan);
	sl_buf_fini(&row);
	sl_arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	struct sl_slice text = slice_make(data, size);
	struct kafka_token token;
	if (size > 65536) return 0;
	as_row(text, SQL_STRING);
	as_row(text, SQL_BYTES);
	if (kafka_token_read(text, &token, NULL) == SL_OK) kafka_token_fini(&token);
	return 0;
}
