/* row_test.c: rows read back what was written, and refuse what was not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "err.h"
#include "rng.h"
#include "sql_row.h"

static struct sql_value text_value(enum sql_kind kind, const char *s) {
	return (struct sql_value){.kind = kind, .n = (uint32_t)strlen(s), .p = s};
}

static void test_row__a_value_is_put_in_the_place_of_another(void **state) {
	(void)state;
	struct sql_value values[] = {sql_bool(false), text_value(SQL_STRING, "hall"), sql_int(0)};
	struct sl_buf out = SL_BUF_INIT;
	uint32_t size;
	sql_row_write(&out, values, SL_ARRAY_LEN(values), 0, 42, 1);
	sql_row_put(out.p, 0, sql_bool(true));
	sql_row_put(out.p, 2, sql_int(-7));
	sql_row_put(out.p, 3, sql_int(1)); /* there is none */
	assert_int_equal(sql_row_check(sl_buf_slice(&out), &size), SL_OK);
	assert_true(sql_row_get(out.p, 0).b);
	assert_int_equal(sql_row_get(out.p, 1).n, 4);
	assert_int_equal(sql_row_get(out.p, 2).i, -7);
	sl_buf_fini(&out);
}

static void test_row__every_kind_reads_back(void **state) {
	(void)state;
	struct sql_value inner[] = {sql_int(1), sql_string(SL_SLICE_LIT("a\"b"))};
	struct sql_list list = {2, inner};
	struct sql_map_member member = {SL_SLICE_LIT("k"), {.kind = SQL_LIST, .list = &list}};
	struct sql_map map = {1, &member};
	struct sql_value values[] = {
	    sql_null(),
	    {.kind = SQL_JSON_NULL},
	    sql_bool(true),
	    sql_int(INT64_MIN),
	    sql_double(-0.5),
	    text_value(SQL_STRING, "hall"),
	    text_value(SQL_BYTES, "\xff\x01"),
	    text_value(SQL_NUMBER_TEXT, "1.10"),
	    {.kind = SQL_JSON, .n = 2, .p = "[]", .is_array = true},
	    {.kind = SQL_MAP, .map = &map},
	};
	struct sl_buf out = SL_BUF_INIT;
	sql_row_write(&out, values, SL_ARRAY_LEN(values), SQL_ROW_QOS1, 42, 1700000000123);

	uint32_t size;
	assert_int_equal(sql_row_check(sl_buf_slice(&out), &size), SL_OK);
	assert_int_equal(size, out.n);
	assert_int_equal(size % 8, 0);
	const struct sql_row_head *head = sql_row_head(out.p);
	assert_int_equal(head->flags, SQL_ROW_QOS1);
	assert_int_equal(head->order, 42);
	assert_int_equal(head->at_ms, 1700000000123);
	assert_int_equal(sql_row_get(out.p, 0).kind, SQL_NULL);
	assert_int_equal(sql_row_get(out.p, 1).kind, SQL_JSON_NULL);
	assert_true(sql_row_get(out.p, 2).b);
	assert_true(sql_row_get(out.p, 3).i == INT64_MIN);
	assert_true(sql_row_get(out.p, 4).d == -0.5);
	for (uint16_t i = 5; i < 8; i++) {
		struct sql_value v = sql_row_get(out.p, i);
		assert_int_equal(v.kind, values[i].kind);
		assert_true(slice_equal(sql_value_text(&v), sql_value_text(&values[i])));
	}
	struct sql_value json = sql_row_get(out.p, 8);
	assert_true(json.is_array);
	json = sql_row_get(out.p, 9);
	assert_int_equal(json.kind, SQL_JSON);
	assert_false(json.is_array);
	assert_true(slice_equal_str(sql_value_text(&json), "{\"k\":[1,\"a\\\"b\"]}"));
	assert_int_equal(sql_row_get(out.p, 10).kind, SQL_NULL);
	sl_buf_fini(&out);
}

/* Without values that are written to know their size, a row is laid out at once. Old bytes of the buffer show nowhere. */
static void test_row__both_ways_of_writing_give_the_same_bytes(void **state) {
	(void)state;
	struct sql_value values[] = {
	    {.kind = SQL_JSON, .n = 2, .p = "{}"},
	    text_value(SQL_STRING, "hall"),
	    sql_int(-1),
	    sql_bool(true),
	    sql_null(),
	    sql_double(2.5),
	    text_value(SQL_NUMBER_TEXT, "1.10"),
	    text_value(SQL_BYTES, ""),
	    {.kind = SQL_JSON_NULL},
	    text_value(SQL_STRING, "a longer text than the others"),
	};
	for (uint16_t count = 1; count <= SL_ARRAY_LEN(values); count++) {
		struct sl_buf plain = SL_BUF_INIT, other = SL_BUF_INIT;
		memset(sl_buf_add(&plain, 512), 0xee, 512);
		sl_buf_clear(&plain);
		values[0] = text_value(SQL_STRING, "{}");
		sql_row_write(&plain, values, count, SQL_ROW_QOS1, 7, 8);
		values[0] = (struct sql_value){.kind = SQL_JSON, .n = 2, .p = "{}"};
		sql_row_write(&other, values, count, SQL_ROW_QOS1, 7, 8);
		assert_int_equal(plain.n, other.n);
		other.p[sizeof(struct sql_row_head)] = SQL_STRING; /* the kind of the first */
		assert_memory_equal(plain.p, other.p, plain.n);
		sl_buf_fini(&plain);
		sl_buf_fini(&other);
	}
}

/* Documents of many lengths, with white space at each place where it may stand, and without. */
static void test_value__json_has_no_white_space_between_tokens(void **state) {
	(void)state;
	struct sl_buf doc = SL_BUF_INIT, spaced = SL_BUF_INIT, out = SL_BUF_INIT;
	for (size_t n = 0; n < 20; n++) {
		sl_buf_clear(&doc);
		sl_buf_append_str(&doc, "{\"a\":\"");
		for (size_t i = 0; i < n; i++) sl_buf_put(&doc, i % 5 == 4 ? ' ' : 'x');
		sl_buf_append_str(&doc, "\",\"b\":[12,true]}");
		for (size_t at = 0; at <= doc.n; at++) {
			bool within = (at > 1 && at < 4) || (at > 5 && at < n + 7) || (at > n + 8 && at < n + 11) ||
				      (at == n + 14) || (at > n + 15 && at < n + 19);
			if (within) continue; /* of a token */
			sl_buf_clear(&spaced);
			sl_buf_append(&spaced, doc.p, at);
			sl_buf_put(&spaced, " \n\r\t"[at % 4]);
			sl_buf_append(&spaced, doc.p + at, doc.n - at);
			sl_buf_clear(&out);
			sql_json_compact(sl_buf_slice(&spaced), &out);
			assert_true(slice_equal(sl_buf_slice(&out), sl_buf_slice(&doc)));
		}
		sl_buf_clear(&out);
		sql_json_compact(sl_buf_slice(&doc), &out);
		assert_true(slice_equal(sl_buf_slice(&out), sl_buf_slice(&doc)));
	}
	sl_buf_fini(&doc);
	sl_buf_fini(&spaced);
	sl_buf_fini(&out);
}

static void test_row__rows_follow_each_other(void **state) {
	(void)state;
	struct sl_buf out = SL_BUF_INIT;
	for (int64_t i = 0; i < 5; i++) {
		struct sql_value v[] = {sql_int(i), text_value(SQL_STRING, "abc")};
		sql_row_write(&out, v, 2, 0, (uint64_t)i, i);
	}
	struct sl_slice rest = sl_buf_slice(&out);
	for (int64_t i = 0; i < 5; i++) {
		uint32_t size;
		assert_int_equal(sql_row_check(rest, &size), SL_OK);
		assert_int_equal(sql_row_get(rest.p, 0).i, i);
		rest = slice_from(rest, size);
	}
	assert_int_equal(rest.n, 0);
	sl_buf_fini(&out);
}

static void test_row__no_values(void **state) {
	(void)state;
	struct sl_buf out = SL_BUF_INIT;
	sql_row_write(&out, NULL, 0, 0, 0, 0);
	uint32_t size;
	assert_int_equal(sql_row_check(sl_buf_slice(&out), &size), SL_OK);
	assert_int_equal(size, 24);
	sl_buf_fini(&out);
}

/* Rows come back from disk: whatever a bit flip makes of one, it is either refused or can be read safely. */
static void test_row__damage_is_refused_or_harmless(void **state) {
	(void)state;
	struct sql_value values[] = {text_value(SQL_STRING, "first"), sql_int(7), text_value(SQL_JSON, "{\"a\":1}")};
	struct sl_buf out = SL_BUF_INIT;
	sql_row_write(&out, values, 3, 0, 1, 2);
	uint64_t sum = 0;
	for (int round = 0; round < 20000; round++) {
		struct sl_buf bad = SL_BUF_INIT;
		sl_buf_append(&bad, out.p, out.n);
		bad.p[sl_rng_below(bad.n)] ^= (char)(1 << sl_rng_below(8));
		struct sl_slice bytes = slice_make(bad.p, sl_rng_below(8) ? bad.n : sl_rng_below(bad.n));
		uint32_t size;
		if (sql_row_check(bytes, &size) == SL_OK) {
			for (uint16_t i = 0; i < sql_row_head(bytes.p)->count; i++) {
				struct sql_value v = sql_row_get(bytes.p, i);
				if (v.kind == SQL_STRING || v.kind == SQL_JSON)
					for (uint32_t j = 0; j < v.n; j++) sum += (uint8_t)v.p[j];
			}
		}
		sl_buf_fini(&bad);
	}
	assert_true(sum > 0);
	sl_buf_fini(&out);
}

static void test_row__short_frame_is_refused(void **state) {
	(void)state;
	uint32_t size;
	assert_int_equal(sql_row_check(SL_SLICE_LIT("short"), &size), SL_ECORRUPT);
	assert_int_equal(sql_row_check(SL_SLICE_EMPTY, &size), SL_ECORRUPT);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_row__every_kind_reads_back),
	    cmocka_unit_test(test_row__a_value_is_put_in_the_place_of_another),
	    cmocka_unit_test(test_row__both_ways_of_writing_give_the_same_bytes),
	    cmocka_unit_test(test_value__json_has_no_white_space_between_tokens),
	    cmocka_unit_test(test_row__rows_follow_each_other),
	    cmocka_unit_test(test_row__no_values),
	    cmocka_unit_test(test_row__damage_is_refused_or_harmless),
	    cmocka_unit_test(test_row__short_frame_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
