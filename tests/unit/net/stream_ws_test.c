/* stream_ws_test.c: WebSocket as a layer: byte for byte with the other side in the test's hands, and with itself at both ends. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "loop_run.h"
#include "mem.h"
#include "stream_ws.h"

static struct sl_loop *loop, *other_loop;
static uint32_t turns;

/* The owner of a stack under test: packets are a length byte and so many bytes. */
struct owner {
	struct {
		struct sl_stream_ws ws;
		struct sl_stream_tcp tcp;
	} st;
	int fd; /* of the stream, until it has it */
	int peer;
	bool is_client;
	uint64_t in, out;
	_Atomic uint32_t packets, bytes, drained, closed, hups, sum;
	_Atomic int status;
	bool pause_each;
	char *error; /* as it stood in on_closed() */
	uint32_t *order, turn;
};

static struct owner *owner_of(struct sl_stream *s) { return sl_container_of(s, struct owner, st.ws.s); }

static size_t on_read(struct sl_stream *s, struct sl_slice bytes) {
	struct owner *o = owner_of(s);
	size_t used = 0;
	while (used < bytes.n && !s->paused && !s->closed) {
		size_t size = 1 + (size_t)(uint8_t)bytes.p[used];
		if (bytes.n - used < size) break;
		for (size_t i = 0; i < size; i++) o->sum = o->sum * 31 + (uint8_t)bytes.p[used + i];
		used += size;
		o->bytes += (uint32_t)size;
		if (o->order) o->turn = ++*o->order;
		o->packets++;
		if (o->pause_each) sl_stream_pause(s);
	}
	return used;
}
static void on_drain(struct sl_stream *s) { owner_of(s)->drained++; }
static void on_hup(struct sl_stream *s) { owner_of(s)->hups++; }
static void on_closed(struct sl_stream *s, int status) {
	struct owner *o = owner_of(s);
	const char *error = sl_stream_ws_error(&o->st.ws);
	o->error = sl_strdup(error ? error : "");
	o->status = status;
	memset(&o->st, 0xdd, sizeof o->st); /* it is ours again */
	o->closed++;
}
static const struct sl_stream_events events = {
    .on_read = on_read, .on_drain = on_drain, .on_hup = on_hup, .on_closed = on_closed};

static void open_stack(void *arg) {
	struct owner *o = arg;
	static const struct ws_upgrade_rules rules = {.path = "/mqtt"};
	if (o->is_client)
		sl_stream_ws_dial(&o->st.ws, loop, &events);
	else
		sl_stream_ws_serve(&o->st.ws, loop, &events, &rules);
	assert_ptr_equal(SL_STREAM_BELOW(&o->st.ws), &o->st.tcp.s);
	assert_int_equal(sl_stream_tcp_open(&o->st.tcp, loop, o->fd, &sl_stream_ws_events, &o->in, &o->out), SL_OK);
	if (o->is_client) sl_stream_ws_ask(&o->st.ws, "localhost", "/mqtt");
}

static void setup(struct owner *o, bool is_client) {
	int fds[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	*o = (struct owner){.fd = fds[1], .peer = fds[0], .is_client = is_client};
	loop_run(loop, open_stack, o);
}

static void teardown(struct owner *o) {
	if (o->peer >= 0) close(o->peer);
	assert_true(becomes(&o->closed, 1));
	sl_free(o->error);
}

/* ---- the other side ---- */

#define REQUEST                                                                                                        \
	"GET /mqtt HTTP/1.1\r\nHost: b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                               \
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"                                 \
	"Sec-WebSocket-Protocol: mqtt\r\n\r\n"
#define ANSWER                                                                                                         \
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                            \
	"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"

static void say(struct owner *o, const char *bytes, size_t n) {
	while (n > 0) {
		ssize_t done = send(o->peer, bytes, n, MSG_NOSIGNAL);
		assert_true(done > 0);
		bytes += done;
		n -= (size_t)done;
	}
}
#define SAY(o, lit) say(o, lit, sizeof lit - 1)

static void hear(struct owner *o, const char *expected, size_t n) {
	char *got = sl_alloc(n);
	assert_int_equal(recv(o->peer, got, n, MSG_WAITALL), (ssize_t)n);
	assert_memory_equal(got, expected, n);
	sl_free(got);
}
#define HEAR(o, lit) hear(o, lit, sizeof lit - 1)

static void hear_end(struct owner *o) {
	char c;
	assert_int_equal(recv(o->peer, &c, 1, 0), 0);
}

static void frame(struct sl_buf *out, unsigned first, const void *payload, size_t n) {
	static const uint8_t mask[4] = {9, 8, 7, 6};
	char head[WS_HEAD_MAX];
	size_t head_n = ws_put_head(head, (enum ws_opcode)(first & 15), n, mask);
	head[0] = (char)first;
	sl_buf_append(out, head, head_n);
	ws_mask(sl_buf_add(out, n), payload, n, mask, 0);
}

static void say_frame(struct owner *o, unsigned first, const void *payload, size_t n) {
	struct sl_buf b = SL_BUF_INIT;
	frame(&b, first, payload, n);
	say(o, b.p, b.n);
	sl_buf_fini(&b);
}

static void shake_hands(struct owner *o) {
	SAY(o, REQUEST);
	HEAR(o, ANSWER);
}

/* ---- reading ---- */

static void nothing(void *arg) { (void)arg; }

static void test_stream_ws__every_split_of_what_comes(void **state) {
	(void)state;
	struct sl_buf wire = SL_BUF_INIT;
	sl_buf_append_str(&wire, REQUEST);
	frame(&wire, 0x82, "\3abc\1x\2y", 8);
	frame(&wire, 0x02, "z\4", 2);
	frame(&wire, 0x89, "", 0);
	frame(&wire, 0x00, "1", 1);
	frame(&wire, 0x80, "234", 3);
	for (size_t at = 1; at < wire.n; at++) {
		struct owner o;
		setup(&o, false);
		say(&o, wire.p, at);
		loop_run(loop, nothing, NULL);
		loop_run(loop, nothing, NULL);
		say(&o, wire.p + at, wire.n - at);
		assert_true(becomes(&o.packets, 4));
		assert_int_equal(o.bytes, 14);
		HEAR(&o, ANSWER "\x8a\x00");
		teardown(&o);
	}
	sl_buf_fini(&wire);
}

static void test_stream_ws__control_frames_are_answered(void **state) {
	(void)state;
	struct owner o;
	setup(&o, false);
	shake_hands(&o);
	say_frame(&o, 0x89, "hello", 5);
	HEAR(&o, "\x8a\x05hello");
	say_frame(&o, 0x8a, "unasked", 7);
	say_frame(&o, 0x88,
		  "\x0b\xb8"
		  "bye",
		  5);
	HEAR(&o, "\x88\x02\x0b\xb8");
	hear_end(&o);
	assert_true(becomes(&o.closed, 1));
	assert_int_equal(o.status, SL_ECLOSED);
	assert_int_equal(o.hups, 1);
	assert_string_equal(o.error, "");
	teardown(&o);
}

static void expect_broken(unsigned first, const void *payload, size_t n, const char *bye, size_t bye_n) {
	struct owner o;
	setup(&o, false);
	shake_hands(&o);
	say_frame(&o, 0x82, "\1x", 2);
	say_frame(&o, first, payload, n);
	hear(&o, bye, bye_n);
	hear_end(&o);
	assert_true(becomes(&o.closed, 1));
	assert_int_equal(o.packets, 1); /* what stood before it counts */
	assert_int_equal(o.status, SL_EPROTOCOL);
	assert_true(o.error[0] != '\0');
	teardown(&o);
}

static void test_stream_ws__what_is_forbidden_is_told_with_its_code(void **state) {
	(void)state;
	expect_broken(0x81, "text", 4, "\x88\x02\x03\xeb", 4);
	expect_broken(0xc2, "x", 1, "\x88\x02\x03\xea", 4);
	expect_broken(0x80, "x", 1, "\x88\x02\x03\xea", 4);
	expect_broken(0x88, "\x03\xe8\xff", 3, "\x88\x02\x03\xef", 4);
}

static void test_stream_ws__a_bad_request_is_answered_and_ends_it(void **state) {
	(void)state;
	struct owner o;
	setup(&o, false);
	SAY(&o, "GET /other HTTP/1.1\r\nHost: b\r\n\r\n");
	HEAR(&o, "HTTP/1.1 404 Not Found\r\n");
	assert_true(becomes(&o.closed, 1));
	assert_int_equal(o.status, SL_EPROTOCOL);
	assert_non_null(strstr(o.error, "path"));
	teardown(&o);
}

static void resume(void *arg) { sl_stream_resume(&((struct owner *)arg)->st.ws.s); }

static void test_stream_ws__paused_it_keeps_what_came_and_the_end(void **state) {
	(void)state;
	struct owner o;
	setup(&o, false);
	o.pause_each = true;
	shake_hands(&o);
	struct sl_buf wire = SL_BUF_INIT;
	frame(&wire, 0x82, "\1a\1b\1c", 6);
	frame(&wire, 0x88, "", 0);
	say(&o, wire.p, wire.n);
	sl_buf_fini(&wire);
	assert_true(becomes(&o.packets, 1));
	assert_true(becomes(&o.hups, 1)); /* whoever waits may want to know */
	for (uint32_t i = 2; i <= 3; i++) {
		assert_int_equal(o.closed, 0);
		loop_run(loop, resume, &o);
		assert_true(becomes(&o.packets, i));
	}
	loop_run(loop, resume, &o);
	assert_true(becomes(&o.closed, 1));
	assert_int_equal(o.status, SL_ECLOSED);
	HEAR(&o, "\x88\x02\x03\xe8");
	teardown(&o);
}

static struct owner *two[2];

static void resume_in_order(void *arg) {
	(void)arg;
	for (size_t i = 0; i < 2; i++) {
		two[i]->order = &turns;
		sl_stream_resume(&two[i]->st.ws.s);
	}
}

/* One that keeps something does not come before one that has not read yet and was resumed earlier. */
static void test_stream_ws__turns_come_in_the_order_of_resuming(void **state) {
	(void)state;
	struct owner unread, keeps;
	two[0] = &unread;
	two[1] = &keeps;
	struct sl_buf wire = SL_BUF_INIT;
	frame(&wire, 0x82, "\1a\1b", 4);
	for (size_t i = 0; i < 2; i++) {
		setup(two[i], false);
		two[i]->pause_each = true;
		shake_hands(two[i]);
	}
	say(&keeps, wire.p, wire.n);
	say_frame(&unread, 0x82, "\1x", 2);
	assert_true(becomes(&keeps.packets, 1));
	assert_true(becomes(&unread.packets, 1));
	say_frame(&unread, 0x82, "\1y", 2); /* stays with the kernel */
	loop_run(loop, resume_in_order, NULL);
	assert_true(becomes(&keeps.packets, 2));
	assert_true(becomes(&unread.packets, 2));
	assert_int_equal(unread.turn, 1);
	assert_int_equal(keeps.turn, 2);
	for (size_t i = 0; i < 2; i++) {
		loop_run(loop, resume, two[i]);
		teardown(two[i]);
	}
	sl_buf_fini(&wire);
}

static void test_stream_ws__the_end_of_the_connection_without_a_close_frame(void **state) {
	(void)state;
	struct owner o;
	setup(&o, false);
	shake_hands(&o);
	struct sl_buf wire = SL_BUF_INIT;
	frame(&wire, 0x82, "\1a\1", 3);
	say(&o, wire.p, wire.n);
	sl_buf_fini(&wire);
	shutdown(o.peer, SHUT_WR);
	assert_true(becomes(&o.closed, 1));
	assert_int_equal(o.packets, 1);
	assert_int_equal(o.status, SL_ECLOSED);
	teardown(&o);
}

static void leave(void *arg) { assert_int_equal(sl_stream_detach(&((struct owner *)arg)->st.ws.s), SL_OK); }
static void arrive(void *arg) {
	struct owner *o = arg;
	assert_int_equal(sl_stream_attach(&o->st.ws.s, other_loop, &o->in, &o->out), SL_OK);
}

static void test_stream_ws__moves_with_half_a_packet_in_half_a_frame(void **state) {
	(void)state;
	struct owner o;
	setup(&o, false);
	shake_hands(&o);
	struct sl_buf wire = SL_BUF_INIT;
	frame(&wire, 0x82, "\1a\5hello", 8);
	say(&o, wire.p, wire.n - 3);
	assert_true(becomes(&o.packets, 1));
	loop_run(loop, leave, &o);
	say(&o, wire.p + wire.n - 3, 3);
	loop_run(other_loop, arrive, &o);
	assert_true(becomes(&o.packets, 2));
	assert_int_equal(o.bytes, 8);
	sl_buf_fini(&wire);
	teardown(&o);
}

/* ---- writing ---- */

static void write_twice(void *arg) {
	struct owner *o = arg;
	sl_buf_append_str(sl_stream_out(&o->st.ws.s), "one ");
	sl_buf_append_str(sl_stream_out(&o->st.ws.s), "two");
}

static void test_stream_ws__writes_of_a_tick_are_one_frame(void **state) {
	(void)state;
	struct owner o;
	setup(&o, false);
	loop_run(loop, write_twice, &o); /* it waits for the handshake */
	shake_hands(&o);
	HEAR(&o, "\x82\x07one two");
	loop_run(loop, write_twice, &o);
	HEAR(&o, "\x82\x07one two");
	teardown(&o);
}

static void write_and_close(void *arg) {
	struct owner *o = arg;
	sl_buf_append_str(sl_stream_out(&o->st.ws.s), "bye");
	sl_stream_close(&o->st.ws.s, SL_EDENIED);
}

static void test_stream_ws__close_sends_the_last_words_and_says_so(void **state) {
	(void)state;
	struct owner o;
	setup(&o, false);
	shake_hands(&o);
	loop_run(loop, write_and_close, &o);
	HEAR(&o, "\x82\x03"
		 "bye\x88\x02\x03\xe8");
	hear_end(&o);
	assert_true(becomes(&o.closed, 1));
	assert_int_equal(o.status, SL_EDENIED);
	teardown(&o);
}

static void test_stream_ws__who_asks_and_does_not_read_is_dropped(void **state) {
	(void)state;
	struct owner o;
	setup(&o, false);
	shake_hands(&o);
	char ping[WS_CONTROL_MAX] = {0};
	struct sl_buf wire = SL_BUF_INIT;
	for (int i = 0; i < 500; i++) frame(&wire, 0x89, ping, sizeof ping);
	struct pollfd p = {.fd = o.peer, .events = POLLOUT};
	for (int i = 0; i < 1000 && o.closed == 0; i++) {
		if (poll(&p, 1, 100) == 1 && send(o.peer, wire.p, wire.n, MSG_NOSIGNAL) < 0) break;
	}
	assert_true(becomes(&o.closed, 1));
	assert_int_equal(o.status, SL_EPROTOCOL);
	assert_non_null(strstr(o.error, "does not read"));
	sl_buf_fini(&wire);
	teardown(&o);
}

/* ---- both ends ---- */

static void setup_pair(struct owner *server, struct owner *client) {
	int fds[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	*server = (struct owner){.fd = fds[0], .peer = -1};
	*client = (struct owner){.fd = fds[1], .peer = -1, .is_client = true};
	loop_run(loop, open_stack, server);
	loop_run(loop, open_stack, client);
}

static void close_it(void *arg) { sl_stream_close(&((struct owner *)arg)->st.ws.s, SL_EDENIED); }

enum { MUCH = 4 * 1024 * 1024 };

static void write_much(void *arg) {
	struct owner *o = arg;
	struct sl_buf *out = sl_stream_out(&o->st.ws.s);
	for (uint32_t i = 0; i < MUCH / 256; i++) {
		char *p = sl_buf_add(out, 256);
		for (uint32_t k = 1; k < 256; k++) p[k] = (char)(i + k * 7);
		p[0] = (char)255;
	}
	sl_stream_tell_drained(&o->st.ws.s);
}

static uint32_t much_sum(void) {
	uint32_t sum = 0;
	for (uint32_t i = 0; i < MUCH / 256; i++) {
		sum = sum * 31 + 255;
		for (uint32_t k = 1; k < 256; k++) sum = sum * 31 + (uint8_t)(i + k * 7);
	}
	return sum;
}

static void test_stream_ws__both_ends_much_both_ways(void **state) {
	(void)state;
	struct owner server, client;
	setup_pair(&server, &client);
	loop_run(loop, write_much, &server);
	loop_run(loop, write_much, &client);
	assert_true(becomes(&server.packets, MUCH / 256));
	assert_true(becomes(&client.packets, MUCH / 256));
	assert_true(becomes(&server.drained, 1));
	assert_true(becomes(&client.drained, 1));
	uint32_t sum = much_sum();
	assert_int_equal(server.sum, sum);
	assert_int_equal(client.sum, sum);
	loop_run(loop, close_it, &client);
	assert_true(becomes(&server.closed, 1));
	assert_int_equal(server.status, SL_ECLOSED);
	teardown(&server);
	teardown(&client);
}

static void test_stream_ws__a_client_is_told_what_is_wrong(void **state) {
	(void)state;
	struct owner o;
	setup(&o, true);
	SAY(&o, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
	assert_true(becomes(&o.closed, 1));
	assert_int_equal(o.status, SL_EPROTOCOL);
	assert_non_null(strstr(o.error, "answered 404"));
	teardown(&o);
	setup(&o, true);
	shutdown(o.peer, SHUT_WR);
	assert_true(becomes(&o.closed, 1));
	assert_non_null(strstr(o.error, "in the middle"));
	teardown(&o);
}

static int start(void **state) {
	(void)state;
	if (sl_loop_new("one", 0, &loop, NULL) != SL_OK || sl_loop_start(loop, NULL) != SL_OK) return -1;
	return sl_loop_new("two", 1, &other_loop, NULL) == SL_OK ? sl_loop_start(other_loop, NULL) : -1;
}

static int stop(void **state) {
	(void)state;
	struct sl_loop *loops[] = {loop, other_loop};
	for (size_t i = 0; i < 2; i++) {
		sl_loop_stop(loops[i]);
		sl_loop_join(loops[i]);
		sl_loop_free(loops[i]);
	}
	return 0;
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_stream_ws__every_split_of_what_comes),
	    cmocka_unit_test(test_stream_ws__control_frames_are_answered),
	    cmocka_unit_test(test_stream_ws__what_is_forbidden_is_told_with_its_code),
	    cmocka_unit_test(test_stream_ws__a_bad_request_is_answered_and_ends_it),
	    cmocka_unit_test(test_stream_ws__paused_it_keeps_what_came_and_the_end),
	    cmocka_unit_test(test_stream_ws__turns_come_in_the_order_of_resuming),
	    cmocka_unit_test(test_stream_ws__the_end_of_the_connection_without_a_close_frame),
	    cmocka_unit_test(test_stream_ws__moves_with_half_a_packet_in_half_a_frame),
	    cmocka_unit_test(test_stream_ws__writes_of_a_tick_are_one_frame),
	    cmocka_unit_test(test_stream_ws__close_sends_the_last_words_and_says_so),
	    cmocka_unit_test(test_stream_ws__who_asks_and_does_not_read_is_dropped),
	    cmocka_unit_test(test_stream_ws__both_ends_much_both_ways),
	    cmocka_unit_test(test_stream_ws__a_client_is_told_what_is_wrong),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
