/* jq_test.c: the helper process of jq: its life, its bounds. This program is its own helper. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "jq_process.h"
#include "jq_worker.h"

static struct sl_buf out = SL_BUF_INIT;
static struct sl_err err = SL_ERR_INIT;

static int run(const char *program, const char *data, uint32_t limit_ms) {
	sl_buf_clear(&out);
	return jq_process_run(slice_from_str(program), slice_from_str(data), limit_ms, &out, &err);
}

static void assert_gives(const char *program, const char *data, const char *expected) {
	int r = run(program, data, JQ_LIMIT_MS_MAX);
	if (r != SL_OK) fail_msg("%s: %s", program, sl_err_text(&err));
	assert_string_equal(sl_buf_cstr(&out), expected);
}

static void assert_fails(const char *program, const char *data, uint32_t limit_ms, int status, const char *words) {
	assert_int_equal(run(program, data, limit_ms), status);
	if (!strstr(sl_err_text(&err), words)) fail_msg("\"%s\" lacks \"%s\"", sl_err_text(&err), words);
	assert_int_equal(out.n, 0);
}

static void test_jq__outputs_are_an_array(void **state) {
	(void)state;
	assert_gives(".a[]", "{\"a\":[1,\"x\",null]}", "[1,\"x\",null]");
	assert_gives("empty", "1", "[]");
	assert_gives(".", "\"\xc3\xa4\\u0000\"", "[\"\xc3\xa4\\u0000\"]");
}

static void test_jq__one_helper_serves_many_calls_and_programs(void **state) {
	(void)state;
	assert_gives(".", "1", "[1]");
	int pid = jq_process_id();
	char program[32];
	for (int i = 0; i < 40; i++) { /* more than are kept */
		(void)snprintf(program, sizeof program, ". + %d", i % 35);
		assert_int_equal(run(program, "0", JQ_LIMIT_MS_MAX), SL_OK);
		(void)snprintf(program, sizeof program, "[%d]", i % 35);
		assert_string_equal(sl_buf_cstr(&out), program);
	}
	assert_int_equal(jq_process_id(), pid);
}

static void test_jq__mistakes_leave_the_helper_alone(void **state) {
	(void)state;
	assert_gives(".", "1", "[1]");
	int pid = jq_process_id();
	assert_fails(".[", "1", 100, SL_EINVAL, "this is no jq program: syntax error");
	assert_fails("error(\"why\")", "1", 100, SL_EINVAL, "why");
	assert_fails("{} | error", "1", 100, SL_EINVAL, "{}");
	assert_fails(".a", "[1]", 100, SL_EINVAL, "Cannot index array");
	assert_fails("1, halt_error", "\"over\"", 100, SL_EINVAL, "over");
	assert_int_equal(jq_process_check(SL_SLICE_LIT("nosuch(1)"), &err), SL_EINVAL);
	assert_int_equal(jq_process_check(SL_SLICE_LIT(".a"), &err), SL_OK);
	assert_int_equal(jq_process_id(), pid);
}

static void test_jq__late_programs_are_ended_and_the_next_call_starts_anew(void **state) {
	(void)state;
	assert_gives(".", "1", "[1]");
	int pid = jq_process_id();
	assert_fails("def f: f; f", "1", 20, SL_ELIMIT, "longer than 20 ms");
	assert_int_equal(jq_process_id(), 0);
	assert_int_equal(kill(pid, 0), -1); /* it is gone, and was waited for */
	assert_int_equal(errno, ESRCH);
	assert_gives(".", "2", "[2]");
}

static void test_jq__a_helper_that_was_killed_fails_one_call(void **state) {
	(void)state;
	assert_gives(".", "1", "[1]");
	assert_int_equal(kill(jq_process_id(), SIGKILL), 0);
	assert_fails(".", "1", 100, SL_ESYSTEM, "the next call starts another");
	assert_gives(".", "3", "[3]");
}

static void test_jq__nothing_can_be_reached_from_a_program(void **state) {
	(void)state;
	assert_gives("env, $ENV", "1", "[{},{}]");
	assert_gives("[inputs]", "1", "[[]]");
	assert_gives("debug", "1", "[1]");
	assert_fails("import \"a\" as $a; $a", "1", 100, SL_EINVAL, "module not found");
}

static void test_jq__sizes_are_bounded(void **state) {
	(void)state;
	struct sl_buf big = SL_BUF_INIT;
	memset(sl_buf_add(&big, JQ_TEXT_MAX + 1), ' ', JQ_TEXT_MAX + 1);
	struct sl_slice whole = sl_buf_slice(&big);
	sl_buf_clear(&out);
	assert_int_equal(jq_process_run(SL_SLICE_LIT("."), whole, 100, &out, &err), SL_ELIMIT);
	assert_int_equal(jq_process_run(slice_sub(whole, 0, JQ_PROGRAM_MAX + 1), SL_SLICE_LIT("1"), 100, &out, &err),
			 SL_ELIMIT);
	big.p[0] = '[', big.p[JQ_TEXT_MAX - 1] = ']';
	assert_int_equal(
	    jq_process_run(SL_SLICE_LIT("length"), slice_sub(whole, 0, JQ_TEXT_MAX), JQ_LIMIT_MS_MAX, &out, &err),
	    SL_OK);
	assert_string_equal(sl_buf_cstr(&out), "[0]");
	sl_buf_fini(&big);
	assert_fails("[range(400000)] | (range(1000) | 1) as $i | .", "1", JQ_LIMIT_MS_MAX, SL_ELIMIT, "");
}

static void *in_thread(void *arg) {
	struct sl_buf text = SL_BUF_INIT;
	int *pid = arg;
	if (jq_process_run(SL_SLICE_LIT(". * 2"), SL_SLICE_LIT("21"), JQ_LIMIT_MS_MAX, &text, NULL) == SL_OK &&
	    strcmp(sl_buf_cstr(&text), "[42]") == 0)
		*pid = jq_process_id();
	sl_buf_fini(&text);
	return NULL;
}

static void test_jq__a_thread_has_its_own_helper_and_takes_it_along(void **state) {
	(void)state;
	pthread_t t;
	int pid = 0;
	assert_gives(".", "1", "[1]");
	assert_int_equal(pthread_create(&t, NULL, in_thread, &pid), 0);
	assert_int_equal(pthread_join(t, NULL), 0);
	assert_int_not_equal(pid, 0);
	assert_int_not_equal(pid, jq_process_id());
	assert_int_equal(kill(pid, 0), -1);
	assert_gives(".", "1", "[1]");
}

static int tidy(void **state) {
	(void)state;
	sl_buf_fini(&out);
	sl_err_fini(&err);
	return 0;
}

int main(int argc, char **argv) {
	if (argc > 1 && strcmp(argv[1], JQ_WORKER_COMMAND) == 0) return cmd_jq_worker(argc, argv);
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_jq__outputs_are_an_array),
	    cmocka_unit_test(test_jq__one_helper_serves_many_calls_and_programs),
	    cmocka_unit_test(test_jq__mistakes_leave_the_helper_alone),
	    cmocka_unit_test(test_jq__late_programs_are_ended_and_the_next_call_starts_anew),
	    cmocka_unit_test(test_jq__a_helper_that_was_killed_fails_one_call),
	    cmocka_unit_test(test_jq__nothing_can_be_reached_from_a_program),
	    cmocka_unit_test(test_jq__sizes_are_bounded),
	    cmocka_unit_test(test_jq__a_thread_has_its_own_helper_and_takes_it_along),
	};
	return cmocka_run_group_tests(tests, NULL, tidy);
}
