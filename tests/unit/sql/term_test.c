/* term_test.c: Erlang's external term format, against bytes made by hand after its description; and deflate's bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "sql_deflate.h"
#include "sql_term.h"

static struct sql_vm *vm;
static struct sl_buf text = SL_BUF_INIT;

static int setup(void **state) {
	(void)state;
	vm = sql_vm_new();
	vm->budget = SQL_BUDGET;
	return 0;
}
static int teardown(void **state) {
	(void)state;
	sql_vm_free(vm);
	sl_buf_fini(&text);
	text = (struct sl_buf)SL_BUF_INIT;
	return 0;
}

/* The term, as JSON; or "error: ..." */
#define READ(bytes) read_term(slice_make(bytes, sizeof bytes - 1))
static const char *read_term(struct sl_slice bytes) {
	struct sql_value v;
	sl_buf_clear(&text);
	if (sql_term_decode(vm, bytes, &v) == SL_OK)
		sql_value_json(&v, &text);
	else
		sl_buf_printf(&text, "error: %s", sl_err_text(sql_vm_error(vm)));
	return sl_buf_cstr(&text);
}

#define assert_written(json, bytes) assert_written_(json, bytes, sizeof bytes - 1)
static void assert_written_(const char *json, const char *bytes, size_t n) {
	struct sql_value v;
	assert_int_equal(sql_from_json(vm, slice_from_str(json), &v), SL_OK);
	sl_buf_clear(&text);
	assert_int_equal(sql_term_encode(vm, &v, &text), SL_OK);
	assert_int_equal(text.n, n);
	assert_memory_equal(text.p, bytes, n);
	struct sql_value back;
	assert_int_equal(sql_term_decode(vm, slice_make(bytes, n), &back), SL_OK);
	sl_buf_clear(&text);
	sql_value_json(&back, &text);
	assert_string_equal(sl_buf_cstr(&text), json);
}

static void test_term__integers_of_every_size(void **state) {
	(void)state;
	assert_written("0", "\x83\x61\x00");
	assert_written("255", "\x83\x61\xff");
	assert_written("256", "\x83\x62\x00\x00\x01\x00");
	assert_written("-1", "\x83\x62\xff\xff\xff\xff");
	assert_written("2147483648", "\x83\x6e\x04\x00\x00\x00\x00\x80");
	assert_written("-9223372036854775808", "\x83\x6e\x08\x01\x00\x00\x00\x00\x00\x00\x00\x80");
	assert_written("18446744073709551616", "\x83\x6e\x09\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01");
	assert_string_equal(READ("\x83\x6f\x00\x00\x00\x02\x01\x00\x01"), "-256");
	assert_string_equal(READ("\x83\x6e\x03\x00\x07\x00\x00"), "7"); /* zeros on top */
}

static void test_term__floats_texts_and_atoms(void **state) {
	(void)state;
	assert_written("2.5", "\x83\x46\x40\x04\x00\x00\x00\x00\x00\x00");
	assert_written("\"x\"", "\x83\x6d\x00\x00\x00\x01x");
	assert_written("true", "\x83\x77\x04true");
	assert_written("null", "\x83\x77\x04null");
	assert_string_equal(READ("\x83\x64\x00\x02ok"), "\"ok\"");
	assert_string_equal(READ("\x83\x73\x09undefined"), "null");
	assert_string_equal(READ("\x83\x63"
				 "2.50000000000000000000e+00\0\0\0\0\0"),
			    "2.5");
}

static void test_term__arrays_and_objects(void **state) {
	(void)state;
	assert_written("[]", "\x83\x6a");
	assert_written("[1,2]", "\x83\x6b\x00\x02\x01\x02"); /* as Erlang does it */
	assert_written("[1,[]]", "\x83\x6c\x00\x00\x00\x02\x61\x01\x6a\x6a");
	assert_written("{\"a\":-1}", "\x83\x74\x00\x00\x00\x01\x6d\x00\x00\x00\x01\x61\x62\xff\xff\xff\xff");
	assert_string_equal(READ("\x83\x74\x00\x00\x00\x02\x77\x01\x61\x61\x01\x6d\x00\x00\x00\x01\x61\x61\x02"),
			    "{\"a\":2}");
}

static void test_term__what_has_no_json_form_is_named(void **state) {
	(void)state;
	assert_non_null(strstr(READ("\x83\x68\x01\x61\x01"), "kind 104"));
	assert_non_null(strstr(READ("\x83\x6c\x00\x00\x00\x01\x61\x01\x61\x02"), "improper list"));
	assert_non_null(strstr(READ("\x83\x61\x01\x61"), "1 bytes follow"));
	assert_non_null(strstr(READ("\x83\x46\x7f\xf0\x00\x00\x00\x00\x00\x00"), "not a term"));
}

static void test_term__every_cut_is_an_error(void **state) {
	(void)state;
	static const char whole[] = "\x83\x74\x00\x00\x00\x01\x6d\x00\x00\x00\x01\x61\x6c\x00\x00\x00\x03\x61\x01"
				    "\x46\x40\x04\x00\x00\x00\x00\x00\x00\x6e\x01\x00\x07\x6a";
	assert_string_equal(READ(whole), "{\"a\":[1,2.5,7]}");
	for (size_t n = 0; n < sizeof whole - 1; n++)
		assert_int_equal(strncmp(read_term(slice_make(whole, n)), "error: ", 7), 0);
}

static void test_deflate__round_trips_and_bounds(void **state) {
	(void)state;
	struct sl_buf packed = SL_BUF_INIT;
	char *zeros = sl_arena_zalloc(&vm->arena, 1 << 20);
	for (int w = SQL_DEFLATE_RAW; w <= SQL_DEFLATE_GZIP; w++) {
		enum sql_wrapping wrapping = (enum sql_wrapping)w;
		sl_buf_clear(&packed);
		sl_buf_clear(&text);
		assert_int_equal(sql_deflate(&vm->arena, wrapping, slice_make(zeros, 1 << 20), 1 << 20, &packed),
				 SL_OK);
		assert_int_equal(sql_inflate(&vm->arena, wrapping, sl_buf_slice(&packed), 1 << 20, &text), SL_OK);
		assert_int_equal(text.n, 1 << 20);
		sl_buf_clear(&text);
		assert_int_equal(sql_inflate(&vm->arena, wrapping, sl_buf_slice(&packed), 1000, &text), SL_ELIMIT);
		assert_true(text.n < 100000);
		struct sl_slice cut = slice_sub(sl_buf_slice(&packed), 0, packed.n - 1);
		sl_buf_clear(&text);
		assert_int_equal(sql_inflate(&vm->arena, wrapping, cut, 1 << 20, &text), SL_EMALFORMED);
	}
	sl_buf_fini(&packed);
}

static void test_deflate__gzip_members_are_joined(void **state) {
	(void)state;
	struct sl_buf packed = SL_BUF_INIT;
	assert_int_equal(sql_deflate(&vm->arena, SQL_DEFLATE_GZIP, SL_SLICE_LIT("ab"), 1000, &packed), SL_OK);
	assert_int_equal(sql_deflate(&vm->arena, SQL_DEFLATE_GZIP, SL_SLICE_LIT("cd"), 1000, &packed), SL_OK);
	assert_int_equal(sql_inflate(&vm->arena, SQL_DEFLATE_GZIP, sl_buf_slice(&packed), 1000, &text), SL_OK);
	assert_string_equal(sl_buf_cstr(&text), "abcd");
	sl_buf_put(&packed, 'x');
	sl_buf_clear(&text);
	assert_int_equal(sql_inflate(&vm->arena, SQL_DEFLATE_GZIP, sl_buf_slice(&packed), 1000, &text), SL_EMALFORMED);
	sl_buf_fini(&packed);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_term__integers_of_every_size, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_term__floats_texts_and_atoms, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_term__arrays_and_objects, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_term__what_has_no_json_form_is_named, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_term__every_cut_is_an_error, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_deflate__round_trips_and_bounds, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_deflate__gzip_members_are_joined, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
