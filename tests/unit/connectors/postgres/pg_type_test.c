/* Values in PostgreSQL's binary form, byte by byte. The bytes are those that a server sends for the same values. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>

#include "mem.h"
#include "pg_type.h"

static struct sql_value number(const char *text) {
	return (struct sql_value){.kind = SQL_NUMBER_TEXT, .p = text, .n = (uint32_t)strlen(text)};
}
static struct sql_value text(const char *s) { return sql_string(slice_from_str(s)); }
static struct sql_value json(const char *s) {
	return (struct sql_value){.kind = SQL_JSON, .is_array = *s == '[', .p = s, .n = (uint32_t)strlen(s)};
}

/* The value by a type of this number, as hex; or "refused: why". */
static const char *put(uint32_t oid, struct sql_value v) {
	static char out[4096];
	bool is_array;
	const struct pg_type *type = pg_type_find(oid, &is_array);
	assert_non_null(type);
	struct pg_target t = {.form = type->form, .oid = oid, .name = "c", .type = type->name};
	t.text_array = is_array && !pg_target_is_binary(&t);
	t.delimiter = ',';
	t.element_oid = is_array && !t.text_array ? type->oid : 0;
	struct sl_buf bytes = SL_BUF_INIT, scratch = SL_BUF_INIT;
	struct sl_err err = SL_ERR_INIT;
	sl_buf_append_str(&bytes, "x");
	int r = pg_value_put(&t, &v, &scratch, &bytes, &err);
	size_t at = 0;
	if (r != SL_OK) {
		assert_int_equal(r, SL_ETYPE);
		assert_int_equal(bytes.n, 1);
		snprintf(out, sizeof out, "refused: %s", sl_err_text(&err));
	} else {
		out[0] = '\0';
		for (size_t i = 1; i < bytes.n; i++)
			at += (size_t)snprintf(out + at, sizeof out - at, i == 5 && bytes.n > 5 ? " %02x" : "%02x",
					       (unsigned char)bytes.p[i]);
	}
	sl_err_fini(&err);
	sl_buf_fini(&bytes);
	sl_buf_fini(&scratch);
	return out;
}

#define PUTS(oid, value, hex) assert_string_equal(put(oid, value), hex)
#define REFUSES(oid, value, why) assert_non_null(strstr(put(oid, value), why))

enum {
	BOOL = 16,
	BYTEA = 17,
	INT8 = 20,
	INT2 = 21,
	INT4 = 23,
	TEXT = 25,
	JSON = 114,
	CIDR = 650,
	FLOAT4 = 700,
	FLOAT8 = 701,
	INET = 869,
	DATE = 1082,
	TIME = 1083,
	TIMESTAMPTZ = 1184,
	INTERVAL = 1186,
	NUMERIC = 1700,
	UUID = 2950,
	JSONB = 3802,
	INT4S = 1007,
	INTERVALS = 1187,
	TEXTS = 1009,
	JSONBS = 3807
};

static void test_pg_type__null(void **state) {
	(void)state;
	PUTS(INT4, sql_null(), "ffffffff");
	PUTS(TEXT, (struct sql_value){.kind = SQL_JSON_NULL}, "ffffffff");
	PUTS(INT4S, sql_null(), "ffffffff");
	PUTS(JSONB, sql_null(), "ffffffff");
	PUTS(JSONB, (struct sql_value){.kind = SQL_JSON_NULL}, "00000005 016e756c6c");
}

static void test_pg_type__integers(void **state) {
	(void)state;
	PUTS(INT2, sql_int(-2), "00000002 fffe");
	PUTS(INT4, sql_int(2147483647), "00000004 7fffffff");
	PUTS(INT8, sql_int(INT64_MIN), "00000008 8000000000000000");
	PUTS(INT8, text(" 9223372036854775807 "), "00000008 7fffffffffffffff");
	PUTS(INT8, number("-9223372036854775808.000"), "00000008 8000000000000000");
	PUTS(INT4, text("1.5e3"), "00000004 000005dc");
	PUTS(INT4, number("1200e-2"), "00000004 0000000c");
	PUTS(INT4, sql_double(7.0), "00000004 00000007");
	PUTS(INT4, sql_bool(true), "00000004 00000001");
	PUTS(INT4, text("0e99999"), "00000004 00000000");
	REFUSES(INT2, sql_int(32768), "c (smallint) does not take the integer 32768: it is out of the type's range");
	REFUSES(INT8, number("9223372036854775808"), "out of the type's range");
	REFUSES(INT8, sql_double(9.3e18), "out of the type's range");
	REFUSES(INT4, text("12.5"), "no whole number");
	REFUSES(INT4, sql_double(0.5), "no whole number");
	REFUSES(INT4, sql_double((double)NAN), "no whole number");
	REFUSES(INT4, text(""), "no number");
	REFUSES(INT4, text("0x10"), "no number");
	REFUSES(INT4, text("1e999999999999"), "no number");
	REFUSES(INT4, json("[1]"), "no number");
}

static void test_pg_type__floats(void **state) {
	(void)state;
	PUTS(FLOAT8, sql_double(21.5), "00000008 4035800000000000");
	PUTS(FLOAT8, text("0.1"), "00000008 3fb999999999999a");
	PUTS(FLOAT8, text("-Infinity"), "00000008 fff0000000000000");
	PUTS(FLOAT8, sql_int(9007199254740992), "00000008 4340000000000000");
	PUTS(FLOAT8, number("18446744073709551616"), "00000008 43f0000000000000");
	PUTS(FLOAT4, sql_double(0.1), "00000004 3dcccccd");
	PUTS(FLOAT4, sql_int(16777216), "00000004 4b800000");
	REFUSES(FLOAT8, sql_int(9007199254740993), "would round it");
	REFUSES(FLOAT8, text("9007199254740993"), "would round it");
	REFUSES(FLOAT8, sql_int(INT64_MAX), "would round it");
	REFUSES(FLOAT4, sql_int(16777217), "would round it");
	REFUSES(FLOAT4, sql_double(1e39), "out of the type's range");
	REFUSES(FLOAT4, sql_double(1e-60), "out of the type's range");
	REFUSES(FLOAT8, text("1e400"), "out of the type's range");
	REFUSES(FLOAT8, sql_bool(true), "no number");
	REFUSES(FLOAT8, text("1,5"), "no number");
}

static void test_pg_type__numeric(void **state) {
	(void)state;
	PUTS(NUMERIC, sql_int(0), "00000008 0000000000000000");
	PUTS(NUMERIC, sql_int(10000), "0000000a 00010001000000000001");
	PUTS(NUMERIC, text("12.50"), "0000000c 0002000000000002000c1388");
	PUTS(NUMERIC, number("-0.00012"), "0000000c 0002ffff40000005000107d0");
	PUTS(NUMERIC, number("1e-5"), "0000000a 0001fffe0000000503e8");
	PUTS(NUMERIC, number("123456789012345678901234567890.5"),
	     "0000001a 0009000700000001000c0d801ed204d2162e23340d801ed21388");
}

static void test_pg_type__numeric_more(void **state) {
	(void)state;
	PUTS(NUMERIC, sql_double(25.0), "0000000a 00010000000000000019");
	PUTS(NUMERIC, sql_double(1e21), "0000000a 0001000500000000000a");
	PUTS(NUMERIC, text("NaN"), "00000008 00000000c0000000");
	PUTS(NUMERIC, sql_double(-(double)INFINITY), "00000008 00000000f0000000");
	PUTS(NUMERIC, text("0.000"), "00000008 0000000000000003");
	REFUSES(NUMERIC, text("1e200000"), "out of the type's range");
	REFUSES(NUMERIC, text("1e-20000"), "out of the type's range");
	REFUSES(NUMERIC, text("1.2.3"), "no number");
	REFUSES(NUMERIC, text("."), "no number");
	REFUSES(NUMERIC, sql_bool(false), "no number");
}

static void test_pg_type__booleans(void **state) {
	(void)state;
	PUTS(BOOL, sql_bool(true), "00000001 01");
	PUTS(BOOL, text("Off"), "00000001 00");
	PUTS(BOOL, sql_int(1), "00000001 01");
	REFUSES(BOOL, sql_int(2), "neither true");
	REFUSES(BOOL, text("maybe"), "neither true");
}

static void test_pg_type__text_and_json(void **state) {
	(void)state;
	PUTS(TEXT, text("h\xc3\xa9"), "00000003 68c3a9");
	PUTS(TEXT, text(""), "00000000");
	PUTS(TEXT, sql_double(1.5), "00000003 312e35");
	PUTS(TEXT, json("{\"a\":1}"), "00000007 7b2261223a317d");
	PUTS(JSONB, json("[1]"), "00000004 015b315d");
	PUTS(JSONB, text("a\"b"), "00000007 0122615c226222");
	PUTS(JSONB, text(" {\"a\": 1}"), "00000009 017b2261223a20317d");
	PUTS(JSON, text("{oops"), "00000007 227b6f6f707322");
	PUTS(JSON, number("1e400"), "00000005 3165343030");
	REFUSES(TEXT, sql_string(slice_make("a\0b", 3)), "NUL character");
	REFUSES(TEXT, text("\xff"), "not UTF-8");
	REFUSES(JSONB, text("\xff"), "not UTF-8");
	REFUSES(JSONB, sql_double((double)NAN), "JSON has no such number");
}

static void test_pg_type__bytes_uuid_addresses(void **state) {
	(void)state;
	PUTS(BYTEA, sql_string(slice_make("a\0\xff", 3)), "00000003 6100ff");
	REFUSES(BYTEA, sql_int(1), "bytea takes");
	PUTS(UUID, text("0190163d-8694-739b-aea5-966c26f8ad91"), "00000010 0190163d8694739baea5966c26f8ad91");
	PUTS(UUID, text("{0190163D8694739BAEA5966C26F8AD91}"), "00000010 0190163d8694739baea5966c26f8ad91");
	REFUSES(UUID, text("0190163d-8694-739b-aea5-966c26f8ad9"), "no UUID");
	REFUSES(UUID, text("0190163d--8694739b-aea5-966c26f8ad91"), "no UUID");
	REFUSES(UUID, sql_int(5), "no UUID");
	PUTS(INET, text("10.0.0.7"), "00000008 022000040a000007");
	PUTS(INET, text("::1/64"), "00000014 0340001000000000000000000000000000000001");
	PUTS(CIDR, text("10.0.0.0/8"), "00000008 020801040a000000");
	REFUSES(INET, text("10.0.0"), "no address");
	REFUSES(INET, text("10.0.0.1/33"), "no address");
}

static void test_pg_type__times(void **state) {
	(void)state;
	PUTS(TIMESTAMPTZ, sql_int(946684800000), "00000008 0000000000000000");
	PUTS(TIMESTAMPTZ, text("2000-01-01T00:00:00.000001Z"), "00000008 0000000000000001");
	PUTS(TIMESTAMPTZ, text("2000-01-01 02:00:00+02:00"), "00000008 0000000000000000");
	PUTS(TIMESTAMPTZ, text("2000-01-01"), "00000008 0000000000000000");
	PUTS(TIMESTAMPTZ, text("2000-01-01 00:00"), "00000008 0000000000000000"); /* UTC, whatever the session's zone */
	PUTS(TIMESTAMPTZ, text("1999-12-31T23:59:59.9999995Z"), "00000008 0000000000000000");
	PUTS(TIMESTAMPTZ, sql_double(946684800000.5), "00000008 00000000000001f4");
	PUTS(TIMESTAMPTZ, text("946684800001"), "00000008 00000000000003e8");
	PUTS(TIMESTAMPTZ, text("infinity"), "00000008 7fffffffffffffff");
	PUTS(DATE, text("2000-01-02"), "00000004 00000001");
	PUTS(DATE, sql_int(946684799999), "00000004 ffffffff");
	PUTS(TIME, text("00:00:01.5"), "00000008 000000000016e360");
	PUTS(TIME, sql_int(1500), "00000008 000000000016e360");
	PUTS(INTERVAL, sql_int(1500), "00000011 31353030206d696c6c697365636f6e6473");
	REFUSES(TIMESTAMPTZ, text("yesterday"),
		"neither milliseconds since 1970 nor text such as 2026-01-31T12:00:00Z, 2026-01-31 12:00 (UTC)");
	REFUSES(TIMESTAMPTZ, text("2026-02-30"), "neither milliseconds");
	REFUSES(TIMESTAMPTZ, text("2026-01-01T25:00:00Z"), "neither milliseconds");
	REFUSES(TIMESTAMPTZ, sql_int(INT64_MAX), "out of the type's range");
	REFUSES(TIMESTAMPTZ, sql_double((double)INFINITY), "out of the type's range");
	REFUSES(TIMESTAMPTZ, sql_bool(true), "neither milliseconds");
	REFUSES(TIME, sql_int(86400001), "milliseconds of a day");
	REFUSES(DATE, sql_int(INT64_MAX), "out of the type's range");
}

static void test_pg_type__arrays(void **state) {
	(void)state;
	PUTS(INT4S, json("[]"), "0000000c 000000000000000000000017");
	PUTS(INT4S, json("[1, null, \"3\"]"),
	     "00000028 000000010000000100000017000000030000000100000004"
	     "00000001ffffffff0000000400000003");
	PUTS(TEXTS, json("[\"a\\u0041\"]"), "0000001a 0000000100000001000000190000000100000001000000026141");
	REFUSES(INT4S, json("[1, 2.5]"), "no whole number");
	REFUSES(INT4S, json("[[1]]"), "a list within a list");
	REFUSES(INT4S, json("{\"a\":1}"), "takes a list");
	REFUSES(INT4S, sql_int(1), "takes a list");
	assert_null(strstr(put(JSONBS, json("[[1],{\"a\":2}]")), "refused"));
	PUTS(INTERVALS, json("[]"), "00000002 7b7d");
	PUTS(INTERVALS, json("[\"\\\"\\\\a\\\"\", null]"), "00000010 7b225c225c5c615c22222c4e554c4c7d");
	PUTS(INTERVALS, text("{1}"), "00000003 7b317d");
	REFUSES(INTERVALS, json("[[1]]"), "a list within a list");
	REFUSES(INTERVALS, json("[\"\\u0000\"]"), "a NUL character");
}

static void test_pg_type__a_long_value_is_cut_in_the_message(void **state) {
	(void)state;
	char long_text[300];
	memset(long_text, 'x', sizeof long_text);
	const char *said = put(INT4, sql_string(slice_make(long_text, sizeof long_text)));
	assert_non_null(strstr(said, "...: it is no number"));
	assert_true(strlen(said) < 160);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_pg_type__null),
	    cmocka_unit_test(test_pg_type__integers),
	    cmocka_unit_test(test_pg_type__floats),
	    cmocka_unit_test(test_pg_type__numeric),
	    cmocka_unit_test(test_pg_type__numeric_more),
	    cmocka_unit_test(test_pg_type__booleans),
	    cmocka_unit_test(test_pg_type__text_and_json),
	    cmocka_unit_test(test_pg_type__bytes_uuid_addresses),
	    cmocka_unit_test(test_pg_type__times),
	    cmocka_unit_test(test_pg_type__arrays),
	    cmocka_unit_test(test_pg_type__a_long_value_is_cut_in_the_message),
	};
	return cmocka_run_group_tests_name("pg_type", tests, NULL, NULL);
}
