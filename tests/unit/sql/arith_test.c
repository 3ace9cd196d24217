/* arith_test.c: arithmetic in line with the steps (sql_arith.h) gives what sql_arithmetic() gives, to the bit, or leaves it
 * to that; and a constant operand gives what the same number out of the payload gives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "mem.h"
#include "sql_arith.h"
#include "sql_case.h"

#define INT(n)                                                                                                         \
	{ .kind = SQL_INT, .i = (n) }
#define DOUBLE(x)                                                                                                      \
	{ .kind = SQL_DOUBLE, .d = (x) }
#define NUMBER(text)                                                                                                   \
	{ .kind = SQL_NUMBER_TEXT, .n = sizeof(text) - 1, .p = (text) }
static const struct sql_value values[] = {
    INT(0),
    INT(1),
    INT(-1),
    INT(7),
    INT(-3),
    INT(INT64_MAX),
    INT(INT64_MIN),
    INT(INT64_MIN + 1),
    INT((int64_t)1 << 53),
    INT(((int64_t)1 << 53) + 1),
    INT(3037000500),
    DOUBLE(0.0),
    DOUBLE(-0.0),
    DOUBLE(1.0),
    DOUBLE(-1.0),
    DOUBLE(1.8),
    DOUBLE(0.1),
    DOUBLE(1e308),
    DOUBLE(-1e308),
    DOUBLE(5e-324),
    DOUBLE(9007199254740993.0),
    DOUBLE(0.30000000000000004),
    NUMBER("71.25"),
    NUMBER("-0"),
    NUMBER("-0.0"),
    NUMBER("1e3"),
    NUMBER("0.30000000000000004"),
    NUMBER("9223372036854775808"),
    NUMBER("-9223372036854775809"),
    NUMBER("1e400"),
    {.kind = SQL_NULL},
    {.kind = SQL_JSON_NULL},
    {.kind = SQL_BOOL, .b = true},
    {.kind = SQL_STRING, .n = 1, .p = "5"},
};

typedef bool (*quick_fn)(const struct sql_value *a, const struct sql_value *b, struct sql_value *out);
static const struct {
	const char *sign;
	enum sql_binary op;
	quick_fn any, number;
} operators[] = {
    {"+", SQL_B_ADD, sql_quick_add, sql_quick_add_number},      {"-", SQL_B_SUB, sql_quick_sub, sql_quick_sub_number},
    {"*", SQL_B_MUL, sql_quick_mul, sql_quick_mul_number},      {"/", SQL_B_DIV, sql_quick_div, sql_quick_div_number},
    {"div", SQL_B_IDIV, sql_quick_idiv, sql_quick_idiv_number}, {"mod", SQL_B_MOD, sql_quick_mod, sql_quick_mod_number},
};

static bool plain(const struct sql_value *v) { return v->kind == SQL_INT || v->kind == SQL_DOUBLE; }

/* Of which constants the emitter makes a step of its own. */
static bool constant(enum sql_binary op, const struct sql_value *k) {
	if (op == SQL_B_IDIV || op == SQL_B_MOD) return k->kind == SQL_INT && sql_divides(k->i);
	return plain(k) && (op != SQL_B_DIV || (k->kind == SQL_INT ? k->i != 0 : fpclassify(k->d) != FP_ZERO));
}

/* Is what the quick way said right? Integers and doubles, with the sign of zero, are compared by their bits. */
static void agree(bool done, const struct sql_value *quick, int status, const struct sql_value *slow) {
	if (!done) return;
	assert_int_equal(status, SL_OK);
	assert_int_equal(quick->kind, slow->kind);
	assert_true(plain(quick));
	assert_int_equal(quick->i, slow->i);
}

static void test_arith__the_quick_way_says_what_the_slow_one_says(void **state) {
	(void)state;
	struct sql_vm *vm = sql_vm_new();
	size_t done = 0, all = 0;
	for (size_t o = 0; o < SL_ARRAY_LEN(operators); o++) {
		for (size_t i = 0; i < SL_ARRAY_LEN(values); i++) {
			for (size_t k = 0; k < SL_ARRAY_LEN(values); k++) {
				const struct sql_value *a = &values[i], *b = &values[k];
				struct sql_value slow = sql_null(), quick = sql_null();
				int status = sql_arithmetic(vm, operators[o].op, a, b, &slow);
				bool yes = operators[o].any(a, b, &quick);
				agree(yes, &quick, status, &slow);
				if (plain(a) && plain(b) && a->kind == b->kind) all++, done += yes;
				if (constant(operators[o].op, b))
					agree(operators[o].number(a, b, &quick), &quick, status, &slow);
			}
		}
	}
	assert_true(done > all * 2 / 3); /* and it says something */
	sql_vm_free(vm);
}

static void test_arith__minus(void **state) {
	(void)state;
	struct sql_vm *vm = sql_vm_new();
	for (size_t i = 0; i < SL_ARRAY_LEN(values); i++) {
		struct sql_value slow = sql_null(), quick = sql_null();
		int status = sql_negate(vm, &values[i], &slow);
		agree(sql_quick_negate(&values[i], &quick), &quick, status, &slow);
	}
	sql_vm_free(vm);
}

/* Rows of "SELECT x AS r", or the message. */
static void outcome(const char *expression, struct sl_slice payload, struct sl_buf *out) {
	struct sl_buf sql = SL_BUF_INIT;
	struct sl_err err = SL_ERR_INIT;
	struct sql_program *p;
	/* CASE: a constant mistake is no mistake where it may not be reached. */
	sl_buf_printf(&sql, "SELECT CASE WHEN qos < 3 THEN %s END AS r FROM 't/#'", expression);
	if (sql_case_compile(sl_buf_slice(&sql), &p, &err) != SL_OK) fail_msg("%s: %s", expression, sl_err_text(&err));
	struct sql_case event = {.topic = SL_SLICE_LIT("t/1"), .payload = payload};
	struct sql_vm *vm = sql_vm_new();
	sl_buf_clear(out);
	if (sql_case_rows(vm, p, &event, out) == SQL_FAILED) sl_buf_append_str(out, sl_err_text(sql_vm_error(vm)));
	sql_vm_free(vm);
	sql_program_free(p);
	sl_buf_fini(&sql);
}

static void test_arith__constants_are_numbers_like_others(void **state) {
	(void)state;
	static const char *const numbers[] = {"0",
					      "1",
					      "-1",
					      "7",
					      "-3",
					      "9223372036854775807",
					      "-9223372036854775807",
					      "0.0",
					      "1.8",
					      "-0.5",
					      "1e+308",
					      "0.30000000000000004",
					      "9007199254740993"};
	static const char *const others[] = {"0",
					     "-0",
					     "3",
					     "9223372036854775807",
					     "-9223372036854775808",
					     "9223372036854775808",
					     "71.25",
					     "-0.0",
					     "1e308",
					     "1e400",
					     "\"5\"",
					     "true",
					     "null",
					     "{}"};
	struct sl_buf payload = SL_BUF_INIT, x = SL_BUF_INIT, plain_way = SL_BUF_INIT, with_constant = SL_BUF_INIT;
	for (size_t o = 0; o < SL_ARRAY_LEN(operators); o++) {
		for (size_t i = 0; i < SL_ARRAY_LEN(others) * SL_ARRAY_LEN(numbers) * 2; i++) {
			const char *other = others[i / 2 / SL_ARRAY_LEN(numbers)];
			const char *number = numbers[i / 2 % SL_ARRAY_LEN(numbers)];
			bool left = i % 2;
			sl_buf_clear(&payload);
			sl_buf_printf(&payload, "{\"a\":%s,\"b\":%s}", left ? number : other, left ? other : number);
			sl_buf_clear(&x);
			sl_buf_printf(&x, "payload.a %s payload.b", operators[o].sign);
			outcome(sl_buf_cstr(&x), sl_buf_slice(&payload), &plain_way);
			sl_buf_clear(&x);
			sl_buf_printf(&x, left ? "%s %s payload.b" : "payload.a %s %s",
				      left ? number : operators[o].sign, left ? operators[o].sign : number);
			outcome(sl_buf_cstr(&x), sl_buf_slice(&payload), &with_constant);
			assert_string_equal(sl_buf_cstr(&plain_way), sl_buf_cstr(&with_constant));
		}
	}
	sl_buf_fini(&payload);
	sl_buf_fini(&x);
	sl_buf_fini(&plain_way);
	sl_buf_fini(&with_constant);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_arith__the_quick_way_says_what_the_slow_one_says),
	    cmocka_unit_test(test_arith__minus),
	    cmocka_unit_test(test_arith__constants_are_numbers_like_others),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
