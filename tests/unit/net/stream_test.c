/* stream_test.c: what a stream keeps, how it writes when the socket is full, and how it ends. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "mem.h"
#include "stream.h"

/* The owner of the stream under test: packets are a length byte and so many bytes. */
struct owner {
	struct sl_stream_tcp t;
	struct sl_loop *l;
	int fd; /* the other side, in the test's hands (blocking) */
	uint64_t in, out;
	_Atomic uint32_t packets, drained, closed;
	_Atomic int status;
	bool pause_each; /* pause after each packet until told to go on */
	_Atomic bool not_now;
	_Atomic uint32_t refused;
};

static struct owner *owner_of(struct sl_stream *s) { return sl_container_of(s, struct owner, t.s); }

static size_t on_read(struct sl_stream *s, struct sl_slice bytes) {
	struct owner *o = owner_of(s);
	size_t used = 0;
	while (used < bytes.n && !s->paused) {
		size_t size = 1 + (size_t)(uint8_t)bytes.p[used];
		if (bytes.n - used < size) break;
		used += size;
		o->packets++;
		if (o->pause_each) sl_stream_pause(s);
	}
	return used;
}
static bool may_read(struct sl_stream *s) {
	struct owner *o = owner_of(s);
	o->refused += o->not_now;
	return !o->not_now;
}
static void on_drain(struct sl_stream *s) { owner_of(s)->drained++; }
static void on_closed(struct sl_stream *s, int status) {
	struct owner *o = owner_of(s);
	o->status = status;
	o->closed++;
}
static const struct sl_stream_events events = {
    .on_read = on_read, .on_drain = on_drain, .may_read = may_read, .on_closed = on_closed};

struct act {
	struct sl_post post;
	struct owner *o;
	void (*fn)(struct owner *o);
	_Atomic bool done;
};

static void act_run(struct sl_post *post, struct sl_loop *l) {
	(void)l;
	struct act *a = sl_container_of(post, struct act, post);
	a->fn(a->o);
	a->done = true;
}

/* Runs fn on the loop and waits for it. */
static void act(struct owner *o, void (*fn)(struct owner *o)) {
	struct act a = {.post.run = act_run, .o = o, .fn = fn};
	sl_loop_post(o->l, &a.post);
	while (!a.done) usleep(100);
}

static bool becomes(_Atomic uint32_t *value, uint32_t want) {
	for (int i = 0; i < 60000 && *value != want; i++) usleep(1000);
	return *value == want;
}

static int stream_fd;

static void open_stream(struct owner *o) {
	assert_int_equal(sl_stream_tcp_open(&o->t, o->l, stream_fd, &events, &o->in, &o->out), SL_OK);
}

static void setup(struct owner *o) {
	int fds[2];
	*o = (struct owner){0};
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(sl_loop_new("stream", 0, &o->l, NULL), SL_OK);
	assert_int_equal(sl_loop_start(o->l, NULL), SL_OK);
	o->fd = fds[0];
	stream_fd = fds[1];
	act(o, open_stream);
}

static void teardown(struct owner *o) {
	close(o->fd);
	becomes(&o->closed, 1);
	sl_loop_stop(o->l);
	sl_loop_join(o->l);
	sl_loop_free(o->l);
}

static void test_stream__packet_in_single_bytes_is_put_together(void **state) {
	(void)state;
	struct owner o;
	setup(&o);
	const char bytes[] = {3, 'a', 'b', 'c', 1, 'x'};
	for (size_t i = 0; i < sizeof bytes; i++) {
		assert_int_equal(write(o.fd, bytes + i, 1), 1);
		usleep(500);
	}
	assert_true(becomes(&o.packets, 2));
	teardown(&o);
}

static void test_stream__other_side_closing_ends_it_once(void **state) {
	(void)state;
	struct owner o;
	setup(&o);
	shutdown(o.fd, SHUT_WR);
	assert_true(becomes(&o.closed, 1));
	assert_int_equal(o.status, SL_ECLOSED);
	teardown(&o);
	assert_int_equal(o.closed, 1);
}

static void test_stream__bytes_before_the_end_are_still_read(void **state) {
	(void)state;
	struct owner o;
	setup(&o);
	char bytes[200] = {0}; /* two hundred empty packets */
	assert_int_equal(write(o.fd, bytes, sizeof bytes), (ssize_t)sizeof bytes);
	shutdown(o.fd, SHUT_WR);
	assert_true(becomes(&o.packets, 200));
	assert_true(becomes(&o.closed, 1));
	teardown(&o);
}

static void go_on(struct owner *o) { sl_stream_resume(&o->t.s); }

static void test_stream__paused_one_keeps_what_it_was_given(void **state) {
	(void)state;
	struct owner o;
	setup(&o);
	o.pause_each = true;
	const char bytes[] = {1, 'a', 1, 'b', 1, 'c'};
	assert_int_equal(write(o.fd, bytes, sizeof bytes), (ssize_t)sizeof bytes);
	assert_true(becomes(&o.packets, 1));
	usleep(2000);
	assert_int_equal(o.packets, 1);
	act(&o, go_on);
	assert_true(becomes(&o.packets, 2));
	act(&o, go_on);
	assert_true(becomes(&o.packets, 3));
	act(&o, go_on); /* so that it sees the end */
	teardown(&o);
}

enum { MUCH = 8 * 1024 * 1024 };

static void write_much(struct owner *o) {
	char *block = sl_alloc(MUCH);
	for (size_t i = 0; i < MUCH; i++) block[i] = (char)(i * 2654435761u >> 13);
	sl_buf_append(sl_stream_out(&o->t.s), block, MUCH);
	sl_stream_tell_drained(&o->t.s);
	sl_free(block);
}

static void read_again(struct owner *o) {
	sl_stream_pause(&o->t.s);
	sl_stream_resume(&o->t.s);
}

static void test_stream__what_may_not_be_read_now_stays_with_the_kernel(void **state) {
	(void)state;
	struct owner o;
	setup(&o);
	o.not_now = true;
	assert_int_equal(write(o.fd, "\1x\1", 3), 3);
	assert_true(becomes(&o.refused, 1));
	assert_int_equal(write(o.fd, "y", 1), 1);
	assert_true(becomes(&o.refused, 2));
	assert_int_equal(o.in, 0);
	o.not_now = false;
	act(&o, read_again);
	assert_true(becomes(&o.packets, 2));
	teardown(&o);
}

static void test_stream__full_socket_sends_the_rest_later_and_tells(void **state) {
	(void)state;
	struct owner o;
	setup(&o);
	act(&o, write_much);
	usleep(5000);
	assert_int_equal(o.drained, 0);
	size_t got = 0, wrong = 0;
	char block[65536];
	while (got < MUCH) {
		ssize_t n = read(o.fd, block, sizeof block);
		assert_true(n > 0);
		for (ssize_t i = 0; i < n; i++, got++)
			if (block[i] != (char)(got * 2654435761u >> 13)) wrong++;
	}
	assert_int_equal(wrong, 0);
	assert_true(becomes(&o.drained, 1));
	teardown(&o);
	assert_int_equal(o.out, MUCH);
}

static void write_and_close(struct owner *o) {
	sl_buf_append_str(sl_stream_out(&o->t.s), "bye");
	sl_stream_close(&o->t.s, SL_EDENIED);
	assert_int_equal(o->closed, 0); /* not before the call returns */
}

static void test_stream__close_sends_the_last_words(void **state) {
	(void)state;
	struct owner o;
	setup(&o);
	act(&o, write_and_close);
	char words[8] = {0};
	assert_int_equal(read(o.fd, words, sizeof words), 3);
	assert_memory_equal(words, "bye", 3);
	assert_int_equal(read(o.fd, words, sizeof words), 0);
	assert_true(becomes(&o.closed, 1));
	assert_int_equal(o.status, SL_EDENIED);
	teardown(&o);
}

/* The other side says why, and is gone before we have written what we had to say. */
static void written_to_nobody(struct owner *o) {
	static const char two_packets[2] = {0};
	assert_int_equal(write(o->fd, two_packets, sizeof two_packets), (ssize_t)sizeof two_packets);
	close(o->fd);
	o->fd = -1;
	sl_buf_append_str(sl_stream_out(&o->t.s), "too late");
}

static void test_stream__last_words_are_read_when_writing_fails(void **state) {
	(void)state;
	struct owner o;
	setup(&o);
	act(&o, written_to_nobody);
	assert_true(becomes(&o.closed, 1));
	assert_int_equal(o.packets, 2);
	teardown(&o);
	assert_int_equal(o.closed, 1);
}

static void write_twice(struct owner *o) {
	sl_buf_append_str(sl_stream_out(&o->t.s), "one ");
	sl_buf_append_str(sl_stream_out(&o->t.s), "two");
}

static void test_stream__writes_of_a_tick_leave_together(void **state) {
	(void)state;
	struct owner o;
	setup(&o);
	act(&o, write_twice);
	char words[16] = {0};
	assert_int_equal(read(o.fd, words, sizeof words), 7);
	assert_memory_equal(words, "one two", 7);
	teardown(&o);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_stream__packet_in_single_bytes_is_put_together),
	    cmocka_unit_test(test_stream__other_side_closing_ends_it_once),
	    cmocka_unit_test(test_stream__bytes_before_the_end_are_still_read),
	    cmocka_unit_test(test_stream__paused_one_keeps_what_it_was_given),
	    cmocka_unit_test(test_stream__what_may_not_be_read_now_stays_with_the_kernel),
	    cmocka_unit_test(test_stream__full_socket_sends_the_rest_later_and_tells),
	    cmocka_unit_test(test_stream__close_sends_the_last_words),
	    cmocka_unit_test(test_stream__last_words_are_read_when_writing_fails),
	    cmocka_unit_test(test_stream__writes_of_a_tick_leave_together),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
