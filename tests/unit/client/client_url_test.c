#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client_url.h"

static struct client_url parsed(const char *text) {
	struct client_url u;
	struct sl_err err = SL_ERR_INIT;
	if (client_url_parse(text, &u, &err) != SL_OK) fail_msg("%s", sl_err_text(&err));
	return u;
}

static void test_client_url__parts_and_their_defaults(void **state) {
	(void)state;
	struct client_url u = parsed("mqtt://broker.example");
	assert_string_equal(u.host, "broker.example");
	assert_int_equal(u.port, 1883);
	assert_null(u.username);
	assert_null(u.ws_path);
	assert_false(u.tls);
	client_url_fini(&u);
	u = parsed("MQTTS://alice:p%40ss:%2f@[::1]:1");
	assert_string_equal(u.host, "::1");
	assert_int_equal(u.port, 1);
	assert_string_equal(u.username, "alice");
	assert_string_equal(u.password, "p@ss:/");
	assert_true(u.tls);
	client_url_fini(&u);
	u = parsed("mqtts://a@b@host/");
	assert_string_equal(u.host, "host");
	assert_string_equal(u.username, "a@b");
	assert_null(u.password);
	assert_int_equal(u.port, 8883);
	client_url_fini(&u);
}

static void test_client_url__websocket_has_a_path(void **state) {
	(void)state;
	struct client_url u = parsed("ws://h");
	assert_string_equal(u.ws_path, "/mqtt");
	assert_int_equal(u.port, 80);
	client_url_fini(&u);
	u = parsed("wss://h:8084/a/b?c=d");
	assert_string_equal(u.ws_path, "/a/b?c=d");
	assert_int_equal(u.port, 8084);
	assert_true(u.tls);
	client_url_fini(&u);
}

static void test_client_url__unix_sockets(void **state) {
	(void)state;
	static const char *const same[] = {"unix:/run/s.sock", "unix:///run/s.sock"};
	for (size_t i = 0; i < 2; i++) {
		struct client_url u = parsed(same[i]);
		assert_string_equal(u.unix_path, "/run/s.sock");
		assert_null(u.host);
		client_url_fini(&u);
	}
	struct client_url u = parsed("unix:./s.sock");
	assert_string_equal(u.unix_path, "./s.sock");
	client_url_fini(&u);
}

static void test_client_url__what_is_none_says_what_would_be(void **state) {
	(void)state;
	static const char *const bad[] = {
	    "",           "host",      "http://h",    "mqtt://",       "mqtt://h:0", "mqtt://h:65536",
	    "mqtt://h:x", "mqtt://h:", "mqtt://[::1", "mqtt://[::1]x", "mqtt://:1",  "mqtt://h/t",
	    "ws://h/a b", "unix:",     "ws://%@h",    "ws://%4@h",     "ws://%00@h", "ws://a:%g0@h"};
	for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++) {
		struct client_url u;
		struct sl_err err = SL_ERR_INIT;
		assert_int_equal(client_url_parse(bad[i], &u, &err), SL_EINVAL);
		assert_non_null(strstr(sl_err_text(&err), "for example mqtt://"));
		assert_null(u.host);
		sl_err_fini(&err);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_client_url__parts_and_their_defaults),
	    cmocka_unit_test(test_client_url__websocket_has_a_path),
	    cmocka_unit_test(test_client_url__unix_sockets),
	    cmocka_unit_test(test_client_url__what_is_none_says_what_would_be),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
