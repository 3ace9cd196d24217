#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "buf.h"
#include "listener.h"
#include "mem.h"
#include "proxy_proto.h"

#define V2 "\r\n\r\n\0\r\nQUIT\n"
#define ADDRESSES4 "\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x07\x5b"

static int parse(struct sl_slice bytes, struct proxy_proto *p, size_t *used) {
	const char *why = NULL;
	for (size_t n = 0; n < bytes.n; n++) {
		int rc = proxy_proto_parse(slice_sub(bytes, 0, n), p, used, &why);
		if (rc != SL_EAGAIN) return rc;
	}
	int rc = proxy_proto_parse(bytes, p, used, &why);
	assert_true((rc == SL_EPROTOCOL) == (why != NULL));
	return rc;
}
#define PARSE(lit, p, used) parse(SL_SLICE_LIT(lit), p, used)

static void expect_address(const struct sockaddr_storage *a, socklen_t len, const char *text) {
	char *got = listener_peer_text((const struct sockaddr *)(const void *)a, len);
	assert_string_equal(got, text);
	sl_free(got);
}

static void test_proxy_proto__a_line_of_version_1(void **state) {
	(void)state;
	struct proxy_proto p;
	size_t used;
	assert_int_equal(PARSE("PROXY TCP4 192.0.2.7 198.51.100.1 56324 1883\r\n", &p, &used), SL_OK);
	assert_int_equal(used, 46);
	assert_false(p.local);
	expect_address(&p.from, p.from_len, "192.0.2.7:56324");
	expect_address(&p.to, p.to_len, "198.51.100.1:1883");
	assert_int_equal(PARSE("PROXY TCP6 2001:db8::7 2001:db8::1 65535 0\r\n", &p, &used), SL_OK);
	expect_address(&p.from, p.from_len, "[2001:db8::7]:65535");
	assert_int_equal(PARSE("PROXY UNKNOWN\r\n", &p, &used), SL_OK);
	assert_true(p.local);
	assert_int_equal(PARSE("PROXY UNKNOWN whatever may stand here\r\n", &p, &used), SL_OK);
	assert_true(p.local);
}

static void test_proxy_proto__lines_that_are_none(void **state) {
	(void)state;
	struct proxy_proto p;
	size_t used;
	assert_int_equal(PARSE("PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n", &p, &used), SL_EPROTOCOL);
	assert_int_equal(PARSE("PROXY TCP4 192.0.2.7 198.51.100.1 56324 1883 x\r\n", &p, &used), SL_EPROTOCOL);
	assert_int_equal(PARSE("PROXY TCP4 192.0.2.7 198.51.100.1 56324 65536\r\n", &p, &used), SL_EPROTOCOL);
	assert_int_equal(PARSE("PROXY TCP4 192.0.2.7 198.51.100.1 056324 1883\r\n", &p, &used), SL_EPROTOCOL);
	assert_int_equal(PARSE("PROXY TCP4 192.0.2.7 198.51.100.1 +1 1883\r\n", &p, &used), SL_EPROTOCOL);
	assert_int_equal(PARSE("PROXY TCP4 2001:db8::7 198.51.100.1 1 1883\r\n", &p, &used), SL_EPROTOCOL);
	assert_int_equal(PARSE("PROXY TCP4 192.0.2.7\0 198.51.100.1 1 1883\r\n", &p, &used), SL_EPROTOCOL);
	assert_int_equal(PARSE("PROXY UDP4 192.0.2.7 198.51.100.1 1 1883\r\n", &p, &used), SL_EPROTOCOL);
	assert_int_equal(PARSE("PROXY TCP4  192.0.2.7 198.51.100.1 1 1883\r\n", &p, &used), SL_EPROTOCOL);
	assert_int_equal(PARSE("proxy ", &p, &used), SL_EPROTOCOL);
	struct sl_buf endless = SL_BUF_INIT;
	sl_buf_append_str(&endless, "PROXY UNKNOWN ");
	while (endless.n < PROXY_PROTO_V1_MAX) sl_buf_put(&endless, 'x');
	assert_int_equal(parse(sl_buf_slice(&endless), &p, &used), SL_EPROTOCOL);
	sl_buf_fini(&endless);
}

static void test_proxy_proto__addresses_of_version_2(void **state) {
	(void)state;
	struct proxy_proto p;
	size_t used;
	assert_int_equal(PARSE(V2 "\x21\x11\x00\x0c" ADDRESSES4, &p, &used), SL_OK);
	assert_int_equal(used, 28);
	expect_address(&p.from, p.from_len, "192.0.2.7:56324");
	expect_address(&p.to, p.to_len, "198.51.100.1:1883");
	assert_int_equal(PARSE(V2 "\x21\x21\x00\x24"
				  "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"
				  "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\xdc\x04\x07\x5b",
			       &p, &used),
			 SL_OK);
	expect_address(&p.from, p.from_len, "[2001:db8::7]:56324");
	struct sl_buf local = SL_BUF_INIT;
	sl_buf_append(&local, V2 "\x21\x31\x00\xd8", 16);
	memset(sl_buf_add(&local, 216), 'a', 216);
	assert_int_equal(parse(sl_buf_slice(&local), &p, &used), SL_OK);
	expect_address(&p.from, p.from_len, "unix");
	sl_buf_fini(&local);
}

static void test_proxy_proto__who_speaks_for_itself_is_local(void **state) {
	(void)state;
	struct proxy_proto p;
	size_t used;
	assert_int_equal(PARSE(V2 "\x20\x00\x00\x00", &p, &used), SL_OK);
	assert_true(p.local);
	assert_int_equal(PARSE(V2 "\x20\x11\x00\x02\xff\xff", &p, &used), SL_OK);
	assert_true(p.local);
	assert_int_equal(used, 18);
	assert_int_equal(PARSE(V2 "\x21\x00\x00\x03\x01\x00\x00", &p, &used), SL_OK);
	assert_true(p.local);
}

static void test_proxy_proto__what_is_wrong_in_version_2(void **state) {
	(void)state;
	struct proxy_proto p;
	size_t used;
	assert_int_equal(PARSE(V2 "\x11\x11\x00\x0c" ADDRESSES4, &p, &used), SL_EPROTOCOL);
	assert_int_equal(PARSE(V2 "\x22\x11\x00\x0c" ADDRESSES4, &p, &used), SL_EPROTOCOL);
	assert_int_equal(PARSE(V2 "\x21\x12\x00\x0c" ADDRESSES4, &p, &used), SL_EPROTOCOL);
	assert_int_equal(PARSE(V2 "\x21\x21\x00\x0c" ADDRESSES4, &p, &used), SL_EPROTOCOL);
	assert_int_equal(PARSE(V2 "\x21\x11\x0f\xf1", &p, &used), SL_EPROTOCOL);
	assert_int_equal(PARSE(V2 "\x21\x11\x00\x0e" ADDRESSES4 "\x04\x00", &p, &used), SL_EPROTOCOL);
	assert_int_equal(PARSE(V2 "\x21\x11\x00\x0f" ADDRESSES4 "\x04\x00\x01", &p, &used), SL_EPROTOCOL);
	assert_int_equal(PARSE("\x10\x0c\x00\x04MQTT", &p, &used), SL_EPROTOCOL);
	assert_int_equal(PARSE("\r\n\r\nx", &p, &used), SL_EPROTOCOL);
}

/* With TLS's part, a no-op and the checksum, made by another implementation. */
#define WHOLE                                                                                                          \
	V2 "\x21\x11\x00\x35" ADDRESSES4 "\x20\x00\x1a\x07\x00\x00\x00\x00\x21\x00\x07TLSv1.3\x22\x00\x08"             \
	   "device-7\x04\x00\x02\x00\x00\x03\x00\x04"

static void test_proxy_proto__the_checksum_is_checked(void **state) {
	(void)state;
	struct proxy_proto p;
	size_t used;
	assert_int_equal(PARSE(WHOLE "\x33\x9f\xcf\x79", &p, &used), SL_OK);
	assert_int_equal(PARSE(WHOLE "\x33\x9f\xcf\x78", &p, &used), SL_EPROTOCOL);
	assert_int_equal(PARSE(V2 "\x21\x11\x00\x11" ADDRESSES4 "\x03\x00\x02\x00\x00", &p, &used), SL_EPROTOCOL);
}

static void test_proxy_proto__a_verified_certificate_has_a_name(void **state) {
	(void)state;
	struct proxy_proto p;
	size_t used;
	struct sl_slice whole = SL_SLICE_LIT(WHOLE "\x33\x9f\xcf\x79");
	assert_int_equal(parse(whole, &p, &used), SL_OK);
	assert_true(p.tls);
	assert_true(slice_equal_str(p.common_name, "device-7"));
	/* Verification failed; no certificate; no TLS; a NUL in the name. */
	assert_int_equal(
	    PARSE(V2 "\x21\x11\x00\x18" ADDRESSES4 "\x20\x00\x09\x07\x00\x00\x00\x01\x22\x00\x01x", &p, &used), SL_OK);
	assert_int_equal(p.common_name.n, 0);
	assert_int_equal(
	    PARSE(V2 "\x21\x11\x00\x18" ADDRESSES4 "\x20\x00\x09\x01\x00\x00\x00\x00\x22\x00\x01x", &p, &used), SL_OK);
	assert_int_equal(p.common_name.n, 0);
	assert_int_equal(
	    PARSE(V2 "\x21\x11\x00\x18" ADDRESSES4 "\x20\x00\x09\x06\x00\x00\x00\x00\x22\x00\x01x", &p, &used), SL_OK);
	assert_int_equal(p.common_name.n, 0);
	assert_int_equal(
	    PARSE(V2 "\x21\x11\x00\x18" ADDRESSES4 "\x20\x00\x09\x07\x00\x00\x00\x00\x22\x00\x01\x00", &p, &used),
	    SL_OK);
	assert_int_equal(p.common_name.n, 0);
	/* Its own lengths lead out of it. */
	assert_int_equal(
	    PARSE(V2 "\x21\x11\x00\x18" ADDRESSES4 "\x20\x00\x09\x07\x00\x00\x00\x00\x22\x00\x02x", &p, &used),
	    SL_EPROTOCOL);
	assert_int_equal(PARSE(V2 "\x21\x11\x00\x11" ADDRESSES4 "\x20\x00\x02\x07\x00", &p, &used), SL_EPROTOCOL);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_proxy_proto__a_line_of_version_1),
	    cmocka_unit_test(test_proxy_proto__lines_that_are_none),
	    cmocka_unit_test(test_proxy_proto__addresses_of_version_2),
	    cmocka_unit_test(test_proxy_proto__who_speaks_for_itself_is_local),
	    cmocka_unit_test(test_proxy_proto__what_is_wrong_in_version_2),
	    cmocka_unit_test(test_proxy_proto__the_checksum_is_checked),
	    cmocka_unit_test(test_proxy_proto__a_verified_certificate_has_a_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
