/* aws_value_fuzz.c: what the values and functions of the aws dialect read: numbers, date patterns of both kinds and dates,
 * regular expressions, and files of time zones. The first byte chooses; lines are arguments. Seeds: corpus/aws_value. */
#include <stdint.h>

#include "aws_fn.h"
#include "aws_time.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void numbers(struct sl_slice a, struct sl_slice b) {
	struct aws_decimal x, y, z;
	char text[AWS_DECIMAL_TEXT_MAX];
	if (!aws_decimal_parse(a, &x, NULL) || !aws_decimal_parse(b, &y, NULL)) return;
	size_t n = aws_decimal_format(&x, text);
	struct jpath_hit hit;
	sl_assert(jscan_value(slice_make(text, n), &hit) == SL_OK);
	sl_assert(aws_decimal_parse(slice_make(text, n), &z, NULL) && aws_decimal_compare(&x, &z) == 0);
	(void)aws_decimal_add(&x, &y, &z);
	(void)aws_decimal_mul(&x, &y, &z);
	for (int places = -2; places < 37; places += 13) (void)aws_decimal_round(&x, places, AWS_HALF_UP, &z);
	if (y.digits == 0) return;
	(void)aws_decimal_div(&x, &y, &z);
	sl_assert(aws_decimal_rem(&x, &y, &z));
	struct aws_decimal most = y;
	most.negative = z.negative = false;
	sl_assert(aws_decimal_compare(&z, &most) < 0);
}

static void call(const char *name, struct sl_slice a, struct sl_slice b, struct sl_slice c) {
	struct sql_vm *vm = sql_vm_new();
	struct sl_slice text[3] = {a, b, c};
	struct sql_value arg[3], out;
	struct sl_buf json = SL_BUF_INIT;
	vm->budget = SQL_BUDGET;
	for (size_t i = 0; i < 3; i++)
		if (sql_from_json(vm, text[i], &arg[i]) != SL_OK) arg[i] = sql_call_bytes(text[i]);
	struct sql_site site = {.fn = sql_fn_find(SQL_AWS, slice_from_str(name))};
	for (uint32_t n = 1; n <= 3; n++)
		if (sql_fn_call(vm, &site, arg, n, &out) == SL_OK) {
			sl_buf_clear(&json);
			sql_value_json(&out, &json);
			sl_assert(jscan_valid(sl_buf_slice(&json)));
		} else {
			sl_assert(sql_vm_error(vm)->text);
		}
	sl_buf_fini(&json);
	sql_vm_free(vm);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	static const char *const functions[] = {
	    "parse_time", "time_to_epoch", "regexp_replace", "regexp_matches", "trunc", "substring", "transform",
	    "concat",     "get",           "decode",         "replace",        "mod",   "round",     "lpad"};
	if (size == 0) return 0;
	struct sl_slice rest = slice_make(data + 1, size - 1);
	int32_t offset;
	if (data[0] == 'T') {
		(void)aws_zone_of_file(rest, 1700000000, &offset);
		(void)aws_zone_of_file(rest, INT64_MAX / 2000, &offset);
		return 0;
	}
	struct sl_slice a = slice_next_part(&rest, '\n'), b = SL_SLICE_EMPTY;
	if (rest.p) b = slice_next_part(&rest, '\n');
	if (data[0] == 'N') {
		numbers(a, b);
		return 0;
	}
	call(functions[data[0] % SL_ARRAY_LEN(functions)], a, b, rest.p ? rest : SL_SLICE_EMPTY);
	return 0;
}
