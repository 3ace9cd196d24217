#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

/* The log writes into a pipe; taken() gives what came since the last call. */
static int pipe_fds[2];

static const char *taken(void) {
	static char text[8192];
	log_always(LOG_ERROR, LOG_MAIN, "end", "");
	ssize_t n = read(pipe_fds[0], text, sizeof text - 1);
	assert_true(n > 0);
	text[n] = '\0';
	char *end = strstr(text, "2023-11-14T22:13:20.123Z ERROR main  end\n");
	if (!end)
		end = strstr(
		    text,
		    "{\"time\":\"2023-11-14T22:13:20.123Z\",\"level\":\"error\",\"tag\":\"main\",\"msg\":\"end\"}");
	assert_non_null(end);
	*end = '\0';
	return text;
}

static int set_up(void **state) {
	(void)state;
	sl_clock_set_fake(10000, 1700000000123);
	log_set_level(LOG_INFO);
	log_set_json(false);
	if (pipe(pipe_fds) != 0) return 1;
	log_set_fd(pipe_fds[1]);
	return 0;
}

static int tear_down(void **state) {
	(void)state;
	log_set_fd(2);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	sl_clock_set_real();
	return 0;
}

static void test_log__writes_message_and_fields(void **state) {
	(void)state;
	log_warn(LOG_CONN, "connect failed", "name=%s host=%s retry_ms=%d", "pg", "db.local", 250);
	assert_string_equal(taken(), "2023-11-14T22:13:20.123Z WARN  conn  connect failed name=pg host=db.local "
				     "retry_ms=250\n");
}

static void test_log__writes_json(void **state) {
	(void)state;
	log_set_json(true);
	log_info(LOG_RULE, "rule \"x\" loaded", "name=%s steps=%d text=%s", "a b", -12, "\"q\"\n");
	assert_string_equal(taken(), "{\"time\":\"2023-11-14T22:13:20.123Z\",\"level\":\"info\",\"tag\":\"rule\","
				     "\"msg\":\"rule \\\"x\\\" loaded\",\"name\":\"a b\",\"steps\":-12,"
				     "\"text\":\"\\\"q\\\"\\n\"}\n");
}

static void test_log__quotes_what_could_be_misread(void **state) {
	(void)state;
	log_always(LOG_INFO, LOG_MQTT, "m", "a=%s b=%s c=%s", "x y", "", "k=v");
	assert_string_equal(strstr(taken(), "m a="), "m a=\"x y\" b=\"\" c=\"k=v\"\n");
}

static void test_log__a_value_cannot_start_a_line_or_a_field(void **state) {
	(void)state;
	log_always(LOG_INFO, LOG_MQTT, "refused", "client=%s reason=%s", "x reason=ok\n2023 ERROR main  forged\x1b[2J",
		   "denied");
	assert_string_equal(strstr(taken(), "refused"), "refused client=\"x reason=ok\\n2023 ERROR main  "
							"forged\\u001b[2J\" reason=denied\n");
}

static void test_log__shows_text_without_a_key_as_detail(void **state) {
	(void)state;
	log_always(LOG_INFO, LOG_MQTT, "m", "%s", "a=b");
	assert_string_equal(strstr(taken(), "m detail"), "m detail=\"a=b\"\n");
}

static void test_log__replaces_bytes_that_are_no_text(void **state) {
	(void)state;
	log_always(LOG_INFO, LOG_MQTT, "m", "client=%s",
		   "a\xff"
		   "b");
	assert_string_equal(strstr(taken(), "m client"), "m client=\"a\xef\xbf\xbd"
							 "b\"\n");
}

static void test_log__cuts_long_values(void **state) {
	(void)state;
	char longer[3000];
	memset(longer, 'x', sizeof longer - 1);
	longer[sizeof longer - 1] = '\0';
	log_always(LOG_INFO, LOG_MQTT, "m", "v=%s n=%d", longer, 5);
	const char *line = taken();
	assert_int_equal(strlen(strstr(line, "m v=")), strlen("m v=") + 1024 + strlen("... n=5\n"));
}

static void test_log__is_silent_below_the_level(void **state) {
	(void)state;
	log_debug(LOG_NET, "never", "n=%d", 1);
	log_set_level(LOG_OFF);
	log_error(LOG_NET, "never", "n=%d", 1);
	log_set_level(LOG_INFO);
	assert_string_equal(taken(), "");
}

static void warn_once(int n) { log_warn(LOG_STORE, "slow", "n=%d", n); }

static void test_log__counts_repeats_within_a_second(void **state) {
	(void)state;
	warn_once(1);
	warn_once(2);
	warn_once(3);
	assert_string_equal(strstr(taken(), "slow"), "slow n=1\n");
	sl_clock_set_fake(11000, 1700000000123);
	warn_once(4);
	assert_string_equal(strstr(taken(), "slow"), "slow n=4 suppressed=2\n");
	sl_clock_set_fake(12000, 1700000000123);
	warn_once(5);
	assert_string_equal(strstr(taken(), "slow"), "slow n=5\n");
}

static void test_log__the_first_second_of_the_clock_counts_too(void **state) {
	(void)state;
	sl_clock_set_fake(0, 1700000000123);
	log_warn(LOG_STORE, "early", "");
	assert_non_null(strstr(taken(), "WARN  store  early\n"));
}

static void test_log__reads_level_names(void **state) {
	(void)state;
	enum log_level level = LOG_INFO;
	assert_true(log_level_from_name("debug", &level));
	assert_int_equal(level, LOG_DEBUG);
	assert_true(log_level_from_name("off", &level));
	assert_int_equal(level, LOG_OFF);
	assert_false(log_level_from_name("loud", &level));
}

#define LOG_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
	const struct CMUnitTest tests[] = {
	    LOG_TEST(test_log__writes_message_and_fields),
	    LOG_TEST(test_log__writes_json),
	    LOG_TEST(test_log__quotes_what_could_be_misread),
	    LOG_TEST(test_log__a_value_cannot_start_a_line_or_a_field),
	    LOG_TEST(test_log__shows_text_without_a_key_as_detail),
	    LOG_TEST(test_log__replaces_bytes_that_are_no_text),
	    LOG_TEST(test_log__cuts_long_values),
	    LOG_TEST(test_log__is_silent_below_the_level),
	    LOG_TEST(test_log__counts_repeats_within_a_second),
	    LOG_TEST(test_log__the_first_second_of_the_clock_counts_too),
	    LOG_TEST(test_log__reads_level_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
