#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ws_upgrade.h"

#define START "GET /mqtt HTTP/1.1\r\n"
#define HOST "Host: broker.example\r\n"
#define UP "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define V13 "Sec-WebSocket-Version: 13\r\n"
#define MQTT "Sec-WebSocket-Protocol: mqtt\r\n"
#define END "\r\n"

static const char *const origins[] = {"https://one.example", "https://two.example", NULL};
static const struct ws_upgrade_rules rules = {.path = "/mqtt", .origins = origins};

/* The status that a request gets; with more bytes behind it that are not part of it. */
static int status_of(const char *request, struct sl_buf *answer) {
	struct sl_buf local = SL_BUF_INIT, *out = answer ? answer : &local;
	size_t used = 0;
	const char *why = NULL;
	struct sl_slice bytes = slice_from_str(request);
	int rc = ws_upgrade_serve(bytes, &rules, out, &used, &why);
	int64_t status = 0;
	if (rc == SL_EAGAIN) assert_int_equal(out->n, 0);
	if (rc != SL_EAGAIN) assert_int_equal(slice_to_i64(slice_sub(sl_buf_slice(out), 9, 3), &status), SL_OK);
	if (rc == SL_OK) assert_int_equal(status, 101);
	if (rc == SL_EDENIED) assert_true(slice_find(sl_buf_slice(out), slice_from_str(why)) > 0);
	sl_buf_fini(&local);
	return (int)status;
}

static void test_ws_upgrade__a_proper_request_is_accepted(void **state) {
	(void)state;
	struct sl_buf answer = SL_BUF_INIT;
	assert_int_equal(status_of(START HOST UP KEY V13 MQTT END "\x82", &answer), 101);
	/* The key and its answer of RFC 6455, 1.3. */
	assert_string_equal(sl_buf_cstr(&answer),
			    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
			    "Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
			    "Sec-WebSocket-Protocol: mqtt\r\n\r\n");
	sl_buf_fini(&answer);
}

static void test_ws_upgrade__every_part_of_it_waits_for_more(void **state) {
	(void)state;
	const char *request = START HOST UP KEY V13 MQTT END;
	for (size_t n = 0; n < strlen(request); n++) {
		struct sl_buf part = SL_BUF_INIT;
		sl_buf_append(&part, request, n);
		assert_int_equal(status_of(sl_buf_cstr(&part), NULL), 0);
		sl_buf_fini(&part);
	}
}

static void test_ws_upgrade__the_protocol_is_chosen(void **state) {
	(void)state;
	struct sl_buf answer = SL_BUF_INIT;
	assert_int_equal(status_of(START HOST UP KEY V13 "Sec-WebSocket-Protocol: mqttv3.1\r\n" END, &answer), 101);
	assert_true(slice_find(sl_buf_slice(&answer), SL_SLICE_LIT("Protocol: mqttv3.1\r\n")) > 0);
	sl_buf_clear(&answer);
	assert_int_equal(
	    status_of(START HOST UP KEY V13 "Sec-WebSocket-Protocol: mqttv3.1 , chat,mqtt\r\n" END, &answer), 101);
	assert_true(slice_find(sl_buf_slice(&answer), SL_SLICE_LIT("Protocol: mqtt\r\n")) > 0);
	sl_buf_clear(&answer);
	/* In two headers, which is the same list. */
	assert_int_equal(status_of(START HOST UP KEY V13 "Sec-WebSocket-Protocol: chat\r\n" MQTT END, &answer), 101);
	sl_buf_fini(&answer);
	assert_int_equal(status_of(START HOST UP KEY V13 END, NULL), 400); /* [MQTT-6.0.0-3] */
	assert_int_equal(status_of(START HOST UP KEY V13 "Sec-WebSocket-Protocol: chat\r\n" END, NULL), 400);
}

static void test_ws_upgrade__words_are_found_in_any_case_and_place(void **state) {
	(void)state;
	assert_int_equal(status_of("GET /mqtt?token=1 HTTP/1.1\r\nhost:b\r\nuPGRADE:  WebSocket\r\n"
				   "connection: keep-alive, UPGRADE\r\n" KEY V13 MQTT END,
				   NULL),
			 101);
	assert_int_equal(
	    status_of(START HOST UP KEY V13 MQTT "Origin: https://TWO.example\r\nCookie: a=b\r\n" END, NULL), 101);
}

static void test_ws_upgrade__what_is_amiss_is_said(void **state) {
	(void)state;
	assert_int_equal(status_of("GET / HTTP/1.1\r\n" HOST UP KEY V13 MQTT END, NULL), 404);
	assert_int_equal(status_of("GET /mqtt/ HTTP/1.1\r\n" HOST UP KEY V13 MQTT END, NULL), 404);
	assert_int_equal(status_of("POST /mqtt HTTP/1.1\r\n" HOST UP KEY V13 MQTT END, NULL), 405);
	assert_int_equal(status_of("GET /mqtt HTTP/1.0\r\n" HOST UP KEY V13 MQTT END, NULL), 505);
	assert_int_equal(status_of(START HOST END, NULL), 426);
	assert_int_equal(status_of(START HOST "Upgrade: websocket\r\n" KEY V13 MQTT END, NULL), 426);
	assert_int_equal(status_of(START HOST "Upgrade: h2c\r\nConnection: Upgrade\r\n" KEY V13 MQTT END, NULL), 426);
	struct sl_buf answer = SL_BUF_INIT;
	assert_int_equal(status_of(START HOST UP KEY "Sec-WebSocket-Version: 8\r\n" MQTT END, &answer), 426);
	assert_true(slice_find(sl_buf_slice(&answer), SL_SLICE_LIT("\r\nSec-WebSocket-Version: 13\r\n")) > 0);
	sl_buf_fini(&answer);
	assert_int_equal(status_of(START HOST UP KEY MQTT END, NULL), 426);
	assert_int_equal(status_of(START UP KEY V13 MQTT END, NULL), 400);
	assert_int_equal(status_of(START HOST UP V13 MQTT END, NULL), 400);
	assert_int_equal(status_of(START HOST UP "Sec-WebSocket-Key: dGhlIHNhbXBsZQ==\r\n" V13 MQTT END, NULL), 400);
	assert_int_equal(status_of(START HOST UP "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j*Q==\r\n" V13 MQTT END, NULL),
			 400);
	assert_int_equal(status_of(START HOST UP KEY V13 MQTT "Content-Length: 3\r\n" END "abc", NULL), 400);
	assert_int_equal(status_of(START HOST UP KEY V13 MQTT "Transfer-Encoding: chunked\r\n" END, NULL), 400);
	assert_int_equal(status_of(START HOST UP KEY V13 MQTT "Origin: https://evil.example\r\n" END, NULL), 403);
}

static void test_ws_upgrade__what_could_be_read_in_two_ways_is_refused(void **state) {
	(void)state;
	assert_int_equal(status_of(START HOST HOST UP KEY V13 MQTT END, NULL), 400);
	assert_int_equal(status_of(START HOST UP KEY KEY V13 MQTT END, NULL), 400);
	assert_int_equal(status_of(START HOST UP KEY V13 V13 MQTT END, NULL), 400);
	assert_int_equal(status_of(START "Host: a\r\n b\r\n" UP KEY V13 MQTT END, NULL), 400);
	assert_int_equal(status_of(START HOST UP KEY V13 MQTT "\n", NULL), 400);
	assert_int_equal(status_of("GET /mqtt HTTP/1.1\nHost: a\n\n" UP KEY V13 MQTT END, NULL), 400);
	assert_int_equal(status_of("\r\n\r\n" START HOST UP KEY V13 MQTT END, NULL), 400);
	assert_int_equal(status_of("\x10\x0c", NULL), 400);     /* MQTT itself */
	assert_int_equal(status_of("\x16\x03\x01", NULL), 400); /* TLS */
}

static void test_ws_upgrade__large_requests_are_refused(void **state) {
	(void)state;
	struct sl_buf large = SL_BUF_INIT;
	sl_buf_append_str(&large, START HOST "X: ");
	while (large.n < WS_UPGRADE_MAX - 1) sl_buf_put(&large, 'x');
	assert_int_equal(status_of(sl_buf_cstr(&large), NULL), 0);
	sl_buf_put(&large, 'x');
	assert_int_equal(status_of(sl_buf_cstr(&large), NULL), 431);
	sl_buf_append_str(&large, "\r\n" UP KEY V13 MQTT END);
	assert_int_equal(status_of(sl_buf_cstr(&large), NULL), 431);
	sl_buf_clear(&large);
	sl_buf_append_str(&large, START HOST UP KEY V13 MQTT);
	for (int i = 0; i < WS_UPGRADE_HEADERS_MAX; i++) sl_buf_append_str(&large, "X: y\r\n");
	sl_buf_append_str(&large, END);
	assert_int_equal(status_of(sl_buf_cstr(&large), NULL), 400);
	sl_buf_fini(&large);
}

/* ---- the client's side ---- */

static void test_ws_upgrade__what_the_client_asks_is_served(void **state) {
	(void)state;
	struct sl_buf asked = SL_BUF_INIT, answer = SL_BUF_INIT;
	char key[WS_KEY_CHARS + 1], other[WS_KEY_CHARS + 1];
	size_t used = 0;
	const char *why = NULL;
	struct sl_err err = SL_ERR_INIT;
	ws_upgrade_ask("[::1]:8083", "/mqtt", key, &asked);
	assert_int_equal(ws_upgrade_serve(sl_buf_slice(&asked), &rules, &answer, &used, &why), SL_OK);
	assert_int_equal(used, asked.n);
	size_t size = answer.n;
	sl_buf_append(&answer, "\x82\x02", 2);
	for (size_t n = 0; n < size; n++)
		assert_int_equal(ws_upgrade_answered(slice_sub(sl_buf_slice(&answer), 0, n), key, &used, &err),
				 SL_EAGAIN);
	assert_int_equal(ws_upgrade_answered(sl_buf_slice(&answer), key, &used, &err), SL_OK);
	assert_int_equal(used, size);
	/* An answer to somebody else's question. */
	sl_buf_clear(&asked);
	ws_upgrade_ask("b", "/mqtt", other, &asked);
	assert_int_equal(ws_upgrade_answered(sl_buf_slice(&answer), other, &used, &err), SL_EPROTOCOL);
	sl_err_fini(&err);
	sl_buf_fini(&asked);
	sl_buf_fini(&answer);
}

static void answer_refused(const char *answer, const char *said) {
	struct sl_err err = SL_ERR_INIT;
	size_t used = 0;
	assert_int_equal(ws_upgrade_answered(slice_from_str(answer), "dGhlIHNhbXBsZSBub25jZQ==", &used, &err),
			 SL_EPROTOCOL);
	assert_non_null(strstr(sl_err_text(&err), said));
	sl_err_fini(&err);
}

static void test_ws_upgrade__answers_that_are_no_websocket(void **state) {
	(void)state;
#define GOOD "HTTP/1.1 101 Switching Protocols\r\n" UP "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
	answer_refused("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "answered 404");
	answer_refused("HTTP/1.1 200 OK\r\n\r\n", "answered 200");
	answer_refused("\x20\x02\x00\x00", "not HTTP");
	answer_refused("HTTP/1.1 101 Switching Protocols\r\n" UP MQTT END, "does not speak WebSocket");
	answer_refused(GOOD END, "not MQTT");
	answer_refused(GOOD MQTT "Sec-WebSocket-Extensions: permessage-deflate\r\n" END, "extension");
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_ws_upgrade__a_proper_request_is_accepted),
	    cmocka_unit_test(test_ws_upgrade__every_part_of_it_waits_for_more),
	    cmocka_unit_test(test_ws_upgrade__the_protocol_is_chosen),
	    cmocka_unit_test(test_ws_upgrade__words_are_found_in_any_case_and_place),
	    cmocka_unit_test(test_ws_upgrade__what_is_amiss_is_said),
	    cmocka_unit_test(test_ws_upgrade__what_could_be_read_in_two_ways_is_refused),
	    cmocka_unit_test(test_ws_upgrade__large_requests_are_refused),
	    cmocka_unit_test(test_ws_upgrade__what_the_client_asks_is_served),
	    cmocka_unit_test(test_ws_upgrade__answers_that_are_no_websocket),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
