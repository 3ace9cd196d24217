/* stream_dial_test.c: from host and port to a socket, or to a sentence that says why not. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "loop_run.h"
#include "mem.h"
#include "outbound.h"
#include "stream_dial.h"

static struct sl_loop *loop;

struct dialler {
	const char *host;
	uint16_t port;
	uint64_t timeout_ms;
	struct sl_dial *dial;
	_Atomic uint32_t done;
	int fd, status;
	char *text;
	bool inside;
};

static void on_done(void *arg, int fd, const struct sl_err *err) {
	struct dialler *d = arg;
	assert_false(d->inside);
	assert_true((fd < 0) == (err != NULL));
	d->fd = fd;
	d->dial = NULL;
	if (err) {
		d->status = err->status;
		d->text = sl_strdup(sl_err_text(err));
	}
	d->done++;
}

static void start_dial(void *arg) {
	struct dialler *d = arg;
	d->inside = true;
	sl_dial_start(loop, d->host, d->port, d->timeout_ms, on_done, d, &d->dial);
	d->inside = false;
}

static void cancel_dial(void *arg) {
	struct dialler *d = arg;
	sl_dial_cancel(d->dial);
	d->dial = NULL;
}

static void dial(struct dialler *d, const char *host, uint16_t port, uint64_t timeout_ms) {
	*d = (struct dialler){.host = host, .port = port, .timeout_ms = timeout_ms, .fd = -1};
	loop_run(loop, start_dial, d);
}

static void expect_text(const struct dialler *d, const char *part) {
	assert_non_null(d->text);
	if (!strstr(d->text, part)) fail_msg("\"%s\" is not in \"%s\"", part, d->text);
}

/* A listening socket on a port of the kernel's choice. */
static int listen_on(const char *address, uint16_t *port, int backlog) {
	bool six = strchr(address, ':') != NULL;
	struct sockaddr_in6 at6 = {.sin6_family = AF_INET6};
	struct sockaddr_in at4 = {.sin_family = AF_INET};
	struct sockaddr *at = six ? (struct sockaddr *)&at6 : (struct sockaddr *)&at4;
	socklen_t len = six ? sizeof at6 : sizeof at4;
	int fd = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
	if (fd < 0) return -1;
	inet_pton(six ? AF_INET6 : AF_INET, address, six ? (void *)&at6.sin6_addr : (void *)&at4.sin_addr);
	if (bind(fd, at, len) != 0 || listen(fd, backlog) != 0 || getsockname(fd, at, &len) != 0) {
		close(fd);
		return -1;
	}
	*port = ntohs(six ? at6.sin6_port : at4.sin_port);
	return fd;
}

static uint16_t free_port(void) {
	uint16_t port = 0;
	int fd = listen_on("127.0.0.1", &port, 1);
	assert_true(fd >= 0);
	close(fd);
	return port;
}

static void expect_connected(struct dialler *d, int listener) {
	assert_true(becomes(&d->done, 1));
	if (d->fd < 0) fail_msg("%s", d->text);
	assert_true(fcntl(d->fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(d->fd, F_GETFD) & FD_CLOEXEC);
	int other = accept(listener, NULL, NULL);
	assert_true(other >= 0);
	assert_int_equal(write(d->fd, "hi", 2), 2);
	char word[4];
	assert_int_equal(read(other, word, sizeof word), 2);
	close(other);
	close(d->fd);
}

static void test_dial__numbers_and_names(void **state) {
	(void)state;
	struct dialler d;
	uint16_t port;
	int listener = listen_on("127.0.0.1", &port, 8);
	const char *hosts[] = {"127.0.0.1", "localhost"}; /* localhost may be ::1 first, where nobody listens */
	for (size_t i = 0; i < SL_ARRAY_LEN(hosts); i++) {
		dial(&d, hosts[i], port, 5000);
		expect_connected(&d, listener);
	}
	close(listener);
	listener = listen_on("::1", &port, 8);
	if (listener < 0) return; /* a machine without IPv6 */
	dial(&d, "::1", port, 5000);
	expect_connected(&d, listener);
	close(listener);
}

static void test_dial__connection_refused(void **state) {
	(void)state;
	struct dialler d;
	uint16_t port = free_port();
	dial(&d, "127.0.0.1", port, 5000);
	assert_true(becomes(&d.done, 1));
	assert_int_equal(d.status, SL_EIO);
	char *text = sl_asprintf("127.0.0.1:%u: connection refused; is the server running, and listening there?", port);
	assert_string_equal(d.text, text);
	sl_free(text);
	sl_free(d.text);
	dial(&d, "::1", port, 5000);
	assert_true(becomes(&d.done, 1));
	text = sl_asprintf("[::1]:%u: ", port);
	expect_text(&d, text);
	sl_free(text);
	sl_free(d.text);
}

static void test_dial__no_such_host(void **state) {
	(void)state;
	struct dialler d;
	dial(&d, "no-such-host.invalid", 5432, 20000);
	for (int i = 0; i < 600000 && !d.done; i++) usleep(100);
	assert_int_equal(d.done, 1);
	assert_int_equal(d.status, SL_ENOTFOUND);
	expect_text(&d, "no-such-host.invalid:5432: ");
	expect_text(&d, "; "); /* where there is no name server the reason is another, but there is advice */
	sl_free(d.text);
}

static void test_dial__silent_address_ends_with_the_time(void **state) {
	(void)state;
	struct dialler d, filler[4];
	uint16_t port;
	int listener = listen_on("127.0.0.1", &port, 0);
	/* The queue of new connections holds one; whoever comes after it hears nothing. */
	for (size_t i = 0; i < SL_ARRAY_LEN(filler); i++) dial(&filler[i], "127.0.0.1", port, 60000);
	usleep(20000);
	dial(&d, "127.0.0.1", port, 100);
	assert_true(becomes(&d.done, 1));
	assert_int_equal(d.status, SL_EIO);
	expect_text(&d, ": no answer in time");
	sl_free(d.text);
	for (size_t i = 0; i < SL_ARRAY_LEN(filler); i++) {
		loop_run(loop, cancel_dial, &filler[i]);
		if (filler[i].fd >= 0) close(filler[i].fd);
	}
	close(listener);
}

static void test_dial__cancel_at_any_time_is_silent(void **state) {
	(void)state;
	struct dialler d[40];
	uint16_t port;
	int listener = listen_on("127.0.0.1", &port, 64);
	const char *hosts[] = {"127.0.0.1", "localhost", "no-such-host.invalid", "/no/such/socket"};
	for (size_t i = 0; i < SL_ARRAY_LEN(d); i++) {
		dial(&d[i], hosts[i % SL_ARRAY_LEN(hosts)], port, 60000);
		if (i >= 8) usleep((useconds_t)(i * 20));
		uint32_t before = d[i].done;
		loop_run(loop, cancel_dial, &d[i]);
		if (before) continue; /* it was faster */
		before = d[i].done;
		usleep(200);
		assert_int_equal(d[i].done, before);
	}
	usleep(20000);
	for (size_t i = 0; i < SL_ARRAY_LEN(d); i++) {
		if (d[i].fd >= 0) close(d[i].fd);
		sl_free(d[i].text);
	}
	close(listener);
}

static void test_dial__unix_socket(void **state) {
	(void)state;
	struct dialler d;
	char *path = sl_asprintf("%s/sluice_dial_%d.sock", P_tmpdir, (int)getpid());
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	memcpy(at.sun_path, path, strlen(path));
	dial(&d, path, 0, 5000);
	assert_true(becomes(&d.done, 1));
	expect_text(&d, path);
	expect_text(&d, ": there is no such socket; is the server running, and listening there?");
	sl_free(d.text);
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(listen(listener, 4), 0);
	dial(&d, path, 0, 5000);
	expect_connected(&d, listener);
	close(listener);
	unlink(path);
	sl_free(path);
	char *longer = sl_asprintf("/%0200d", 1);
	dial(&d, longer, 0, 5000);
	assert_true(becomes(&d.done, 1));
	expect_text(&d, "at most 107 bytes");
	sl_free(d.text);
	sl_free(longer);
}

static void expect_parsed(const char *text, const char *host, uint16_t port) {
	struct sl_slice got;
	uint16_t got_port;
	struct sl_err err = SL_ERR_INIT;
	int rc = sl_dial_parse(slice_from_str(text), 6379, &got, &got_port, &err);
	if (rc != SL_OK) fail_msg("%s", sl_err_text(&err));
	assert_true(slice_equal_str(got, host));
	assert_int_equal(got_port, port);
}

static void test_dial__addresses_are_read(void **state) {
	(void)state;
	expect_parsed("db.example:5432", "db.example", 5432);
	expect_parsed("db.example", "db.example", 6379);
	expect_parsed("[::1]:5432", "::1", 5432);
	expect_parsed("[::1]", "::1", 6379);
	expect_parsed("fe80::1", "fe80::1", 6379);
	expect_parsed("/run/db.sock", "/run/db.sock", 6379);
}

static void test_dial__what_is_no_address_is_refused(void **state) {
	(void)state;
	const char *bad[] = {"",
			     "a,169.254.169.254",
			     "/run/a,169.254.169.254",
			     ":1",
			     "a:",
			     "a:0",
			     "a:65536",
			     "a:x",
			     "a b:1",
			     "[::1",
			     "[::1]x",
			     "[]:1",
			     "[a]:1",
			     "a:-1",
			     "a:+1",
			     "[::1]:",
			     "a:1 ",
			     "\n",
			     "a:99999999999999999999",
			     "user:pw@a",
			     "user@a:1",
			     "redis://a:1",
			     "a/0:1"};
	for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++) {
		struct sl_slice host;
		uint16_t port;
		struct sl_err err = SL_ERR_INIT;
		if (sl_dial_parse(slice_from_str(bad[i]), 6379, &host, &port, &err) == SL_OK) fail_msg("'%s'", bad[i]);
		assert_string_not_equal(sl_err_text(&err), "");
		sl_err_fini(&err);
	}
	struct sl_slice host;
	uint16_t port;
	struct sl_err err = SL_ERR_INIT;
	assert_int_equal(sl_dial_parse(SL_SLICE_LIT("db"), 0, &host, &port, &err), SL_EINVAL);
	assert_string_equal(sl_err_text(&err), "'db' lacks the port; write host:port");
	sl_err_fini(&err);
	assert_int_equal(sl_dial_parse(SL_SLICE_LIT("redis://u:secret@db:1"), 1, &host, &port, &err), SL_EINVAL);
	assert_null(strstr(sl_err_text(&err), "secret"));
	assert_non_null(strstr(sl_err_text(&err), "user and password have options of their own"));
	sl_err_fini(&err);
}

/* The address that a name has now is what counts. */
static void test_dial__addresses_that_are_not_allowed_are_not_tried(void **state) {
	(void)state;
	char *one[] = {sl_strdup("127.0.0.0/8"), sl_strdup("::1")};
	struct sl_outbound *o = sl_outbound_new(&(struct sl_outbound_conf){.deny = {.items = one, .len = 2}});
	struct dialler d;
	uint16_t port;
	int listener = listen_on("127.0.0.1", &port, 5);
	dial(&d, "169.254.169.254", 9092, 5000);
	assert_true(becomes(&d.done, 1));
	assert_int_equal(d.status, SL_EDENIED);
	expect_text(&d, "169.254.169.254 is a link-local address, where cloud machines keep their metadata");
	assert_null(strstr(d.text, ":9092"));
	sl_free(d.text);
	assert_null(sl_outbound_set(o));
	dial(&d, "localhost", port, 5000);
	assert_true(becomes(&d.done, 1));
	assert_ptr_equal(sl_outbound_set(NULL), o);
	assert_int_equal(d.status, SL_EDENIED);
	expect_text(&d, "127.0.0.1 is in node.outbound.deny (127.0.0.0/8): not connected");
	expect_text(&d, "localhost:");
	sl_free(d.text);
	sl_outbound_free(o);
	sl_free(one[0]);
	sl_free(one[1]);
	close(listener);
}

static int start(void **state) {
	(void)state;
	return sl_loop_new("dial", 0, &loop, NULL) == SL_OK && sl_loop_start(loop, NULL) == SL_OK ? 0 : -1;
}

static int stop(void **state) {
	(void)state;
	sl_loop_stop(loop);
	sl_loop_join(loop);
	sl_loop_free(loop);
	return 0;
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_dial__numbers_and_names),
	    cmocka_unit_test(test_dial__connection_refused),
	    cmocka_unit_test(test_dial__no_such_host),
	    cmocka_unit_test(test_dial__silent_address_ends_with_the_time),
	    cmocka_unit_test(test_dial__cancel_at_any_time_is_silent),
	    cmocka_unit_test(test_dial__unix_socket),
	    cmocka_unit_test(test_dial__addresses_that_are_not_allowed_are_not_tried),
	    cmocka_unit_test(test_dial__addresses_are_read),
	    cmocka_unit_test(test_dial__what_is_no_address_is_refused),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
