/* listener_test.c: an address is taken first and listened on later; who else has it, or comes to have it meanwhile, is told. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "listener.h"

static struct sl_loop *loop;

static int set_up(void **state) {
	(void)state;
	return sl_loop_new("test", -1, &loop, NULL);
}

static int tear_down(void **state) {
	(void)state;
	sl_loop_free(loop);
	return 0;
}

static void accepted(void *arg, int fd, const struct sockaddr *peer, socklen_t len) {
	(void)arg, (void)peer, (void)len;
	close(fd);
}

static struct sockaddr_in at_port(uint16_t port) {
	return (struct sockaddr_in){
	    .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int open_on(uint16_t port, struct listener *joined, struct listener **out, struct sl_err *err) {
	struct listener_opts opts = {.host = "127.0.0.1", .port = port, .joined = joined};
	return listener_open(loop, &opts, accepted, NULL, out, err);
}

/* What connecting gives: 0, or an error. */
static int connect_to(uint16_t port) {
	struct sockaddr_in at = at_port(port);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	int error = connect(fd, (struct sockaddr *)&at, sizeof at) == 0 ? 0 : errno;
	close(fd);
	return error;
}

/* Another program, as libuv and others do it: SO_REUSEADDR, and SO_REUSEPORT when it is one of our kind. */
static int other_listens(uint16_t port, bool reuse_port) {
	struct sockaddr_in at = at_port(port);
	int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (reuse_port) setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(listen(fd, 4), 0);
	return fd;
}

static void test_listener__nobody_gets_in_before_it_listens(void **state) {
	(void)state;
	struct listener *first = NULL, *second = NULL;
	assert_int_equal(open_on(0, NULL, &first, NULL), SL_OK);
	uint16_t port = listener_port(first);
	assert_int_equal(open_on(port, first, &second, NULL), SL_OK);
	assert_int_equal(connect_to(port), ECONNREFUSED);
	assert_int_equal(listener_listen(first, NULL), SL_OK);
	assert_int_equal(connect_to(port), 0);
	assert_int_equal(listener_listen(second, NULL), SL_OK);
	assert_int_equal(connect_to(port), 0);
	listener_free(first);
	listener_free(second);
}

static void test_listener__an_address_where_somebody_listens_is_refused_at_once(void **state) {
	(void)state;
	struct listener *first = NULL, *second = NULL;
	struct sl_err err = SL_ERR_INIT;
	assert_int_equal(open_on(0, NULL, &first, NULL), SL_OK);
	assert_int_equal(listener_listen(first, NULL), SL_OK);
	assert_int_equal(open_on(listener_port(first), NULL, &second, &err), SL_ESYSTEM);
	assert_non_null(strstr(sl_err_text(&err), "Address already in use; stop the program that has the port"));
	assert_null(second);
	sl_err_fini(&err);
	listener_free(first);
}

static void test_listener__who_comes_between_binding_and_listening_is_not_shared_with(void **state) {
	(void)state;
	for (int reuse_port = 0; reuse_port < 2; reuse_port++) {
		struct listener *l = NULL;
		struct sl_err err = SL_ERR_INIT;
		assert_int_equal(open_on(0, NULL, &l, NULL), SL_OK);
		int other = other_listens(listener_port(l), reuse_port);
		assert_int_equal(listener_listen(l, &err), SL_ESYSTEM);
		assert_non_null(strstr(sl_err_text(&err), "cannot listen on 127.0.0.1 port "));
		assert_non_null(
		    strstr(sl_err_text(&err), "Address already in use; stop the program that has the port"));
		sl_err_fini(&err);
		listener_free(l);
		close(other);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_listener__nobody_gets_in_before_it_listens),
	    cmocka_unit_test(test_listener__an_address_where_somebody_listens_is_refused_at_once),
	    cmocka_unit_test(test_listener__who_comes_between_binding_and_listening_is_not_shared_with),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
