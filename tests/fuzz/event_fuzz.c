/* event_fuzz.c: what rules read of events beside text: a block of MQTT 5 properties, and columns as the tester takes them.
 * The first byte chooses. Seeds: corpus/event. */
#include <stdint.h>

#include "event_props.h"
#include "try_event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void properties(struct sl_slice block) {
	struct sl_arena arena;
	struct sl_buf json = SL_BUF_INIT;
	sl_arena_init(&arena, 4096);
	struct sql_value v = event_props(block, &arena);
	sl_assert(v.kind == SQL_MAP);
	for (uint32_t i = 0; i < v.map->n; i++)
		for (uint32_t k = 0; k < i; k++) sl_assert(!slice_equal(v.map->at[i].key, v.map->at[k].key));
	sql_value_json(&v, &json);
	sl_buf_fini(&json);
	sl_arena_fini(&arena);
}

static void columns(struct sl_slice text) {
	struct try_event e;
	struct sl_err err = SL_ERR_INIT;
	struct rules_event ev = {.qos = 0};
	struct sl_slice name = slice_next_part(&text, '\n');
	if (try_event_make(&e, name, text.p ? text : SL_SLICE_EMPTY, &err) == SL_OK) try_event_apply(&e, &ev);
	try_event_fini(&e);
	sl_err_fini(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	if (size == 0) return 0;
	struct sl_slice rest = slice_make((const char *)data + 1, size - 1);
	if (data[0] == 'c')
		columns(rest);
	else
		properties(rest);
	return 0;
}
