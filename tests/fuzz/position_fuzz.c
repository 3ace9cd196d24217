/* position_fuzz.c: a place of a position's file. What is taken lies within it, and is as long as may be. */
#include "mem.h"
#include "pg_position.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	struct sl_slice place = slice_make(data, size), column, cursor;
	uint64_t number;
	if (!pg_position_parse(place, &number, &column, &cursor)) return 0;
	sl_assert(column.n <= PG_POSITION_COLUMN_MAX && cursor.n <= PG_POSITION_CURSOR_MAX);
	sl_assert(column.p >= place.p && cursor.p + cursor.n <= place.p + place.n);
	sl_assert(slice_find_byte(cursor, '\0') < 0);
	return 0;
}
