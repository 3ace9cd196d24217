/* outbound_test.c: which addresses are connected to, and how networks are written. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

#include "mem.h"
#include "outbound.h"
#include "schema.h"

/* ---- Networks. ---- */

static void expect_cidr(const char *text, const char *written) {
	struct sl_err err = SL_ERR_INIT;
	struct sl_cidr c;
	struct sl_buf b = SL_BUF_INIT;
	if (sl_cidr_parse(slice_from_str(text), &c, &err) != SL_OK) fail_msg("%s: %s", text, sl_err_text(&err));
	sl_cidr_write(&c, &b);
	assert_string_equal(sl_buf_cstr(&b), written);
	sl_buf_fini(&b);
}

static void test_outbound__networks_are_read(void **state) {
	(void)state;
	expect_cidr("10.0.0.0/8", "10.0.0.0/8");
	expect_cidr("10.1.2.3", "10.1.2.3/32");
	expect_cidr("0.0.0.0/0", "0.0.0.0/0");
	expect_cidr("::/0", "::/0");
	expect_cidr("FE80::/10", "fe80::/10");
	expect_cidr("fd00:ec2::254", "fd00:ec2::254/128");
	expect_cidr("10.0.0.254/31", "10.0.0.254/31");
	expect_cidr("::ffff:10.0.0.0/104", "10.0.0.0/8");
	expect_cidr("::ffff:10.1.2.3", "10.1.2.3/32");
}

static void expect_refused(const char *text, const char *part) {
	struct sl_err err = SL_ERR_INIT;
	struct sl_cidr c;
	assert_int_equal(sl_cidr_parse(slice_from_str(text), &c, &err), SL_EINVAL);
	if (!strstr(sl_err_text(&err), part)) fail_msg("%s: %s", text, sl_err_text(&err));
	sl_err_fini(&err);
}

static void test_outbound__what_is_no_network_is_refused_with_advice(void **state) {
	(void)state;
	expect_refused("", "this is no network: write it as 10.0.0.0/8");
	expect_refused("/8", "this is no network");
	expect_refused("10.0.0/8", "this is no network");
	expect_refused("10.0.0.0.0/8", "this is no network");
	expect_refused("db.example", "names are not taken");
	expect_refused("fe80::1%eth0", "this is no network");
	expect_refused("[::1]/128", "this is no network");
	expect_refused("10.0.0.0/33", "0 to 32");
	expect_refused("10.0.0.0/", "0 to 32");
	expect_refused("10.0.0.0/-1", "0 to 32");
	expect_refused("fd00::/129", "0 to 128");
	expect_refused("10.1.2.3/8", "did you mean 10.0.0.0/8, or 10.1.2.3 alone?");
	expect_refused("fe80::1/10", "did you mean fe80::/10");
	char longer[300];
	memset(longer, '1', sizeof longer - 1);
	longer[sizeof longer - 1] = '\0';
	expect_refused(longer, "this is no network");
}

/* ---- Judging. ---- */

static int judge_as(const struct sl_outbound *o, const char *text, struct sl_err *err) {
	struct sockaddr_in6 at6 = {.sin6_family = AF_INET6, .sin6_port = htons(9092)};
	struct sockaddr_in at4 = {.sin_family = AF_INET, .sin_port = htons(9092)};
	bool six = strchr(text, ':') != NULL;
	void *address = six ? (void *)&at6.sin6_addr : (void *)&at4.sin_addr;
	assert_int_equal(inet_pton(six ? AF_INET6 : AF_INET, text, address), 1);
	return sl_outbound_judge(o, six ? (struct sockaddr *)&at6 : (struct sockaddr *)&at4, err);
}

static void expect_allowed(const struct sl_outbound *o, const char *text) {
	struct sl_err err = SL_ERR_INIT;
	if (judge_as(o, text, &err) != SL_OK) fail_msg("%s", sl_err_text(&err));
}

static void expect_denied(const struct sl_outbound *o, const char *text, const char *why) {
	struct sl_err err = SL_ERR_INIT;
	if (judge_as(o, text, &err) != SL_EDENIED) fail_msg("%s is allowed", text);
	if (strcmp(sl_err_text(&err), why) != 0) fail_msg("%s: %s", text, sl_err_text(&err));
	sl_err_fini(&err);
}

static void expect_denied_at_all(const struct sl_outbound *o, const char *text) {
	if (judge_as(o, text, NULL) != SL_EDENIED) fail_msg("%s is allowed", text);
}

static void test_outbound__the_built_in_list_holds_metadata_and_what_is_no_server(void **state) {
	(void)state;
	static const char *const denied[] = {
	    "169.254.0.0",
	    "169.254.170.2",
	    "169.254.255.255",
	    "100.100.100.200",
	    "192.0.0.192",
	    "168.63.129.16",
	    "0.0.0.0",
	    "0.255.255.255",
	    "224.0.0.1",
	    "239.255.255.255",
	    "240.0.0.1",
	    "255.255.255.255",
	    "::",
	    "fe80::1",
	    "febf:ffff::1",
	    "fd00:ec2::254",
	    "fd00:ec2::23",
	    "fd20:ce::254",
	    "fd00:42::42",
	    "ff02::1",
	    "::ffff:169.254.1.1",
	    "::169.254.169.254",
	    "64:ff9b::a9fe:a9fe",
	    "64:ff9b:1::a9fe:a9fe",
	    "2002:a9fe:a9fe::1",
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(denied); i++) expect_denied_at_all(NULL, denied[i]);
	expect_denied(NULL, "169.254.169.254",
		      "169.254.169.254 is a link-local address, where cloud machines keep their metadata: not "
		      "connected; if this is meant, set node.outbound.allow: [169.254.169.254/32]");
	expect_denied(NULL, "fd00:ec2::254",
		      "fd00:ec2::254 is the address of a cloud machine's metadata (AWS): not connected; if this is "
		      "meant, set node.outbound.allow: [fd00:ec2::254/128]");
	expect_denied(NULL, "64:ff9b::a9fe:a9fe",
		      "64:ff9b::a9fe:a9fe stands for 169.254.169.254, which is a link-local address, where cloud "
		      "machines keep their metadata: not connected; if this is meant, set node.outbound.allow: "
		      "[169.254.169.254/32]");
}

static void test_outbound__loopback_private_and_public_addresses_are_allowed(void **state) {
	(void)state;
	static const char *const allowed[] = {
	    "127.0.0.1",   "127.255.255.254",  "10.0.0.1",       "172.16.0.1",
	    "192.168.1.1", "100.64.0.1",       "8.8.8.8",        "169.253.255.255",
	    "169.255.0.0", "223.255.255.255",  "1.0.0.0",        "168.63.129.17",
	    "::1",         "fd00::1",          "2001:db8::1",    "fec0::1",
	    "fe7f::1",     "::ffff:127.0.0.1", "64:ff9b::a00:1", "2002:a00:1::1",
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(allowed); i++) expect_allowed(NULL, allowed[i]);
	struct sockaddr_un path = {.sun_family = AF_UNIX, .sun_path = "/run/db.sock"};
	assert_int_equal(sl_outbound_judge(NULL, (struct sockaddr *)&path, NULL), SL_OK);
}

static struct sl_outbound *policy(const char *yaml) {
	struct yaml_doc *doc;
	struct conf_report report = CONF_REPORT_INIT;
	struct sl_outbound_conf conf = {0};
	assert_int_equal(yaml_doc_load(slice_from_str(yaml), "t.yaml", &doc, NULL), SL_OK);
	int rc = conf_apply(sl_outbound_fields, yaml_doc_root(doc), (struct conf_at){doc, ""}, &conf, &report);
	assert_int_equal(rc, SL_OK);
	struct sl_outbound *o = sl_outbound_new(&conf);
	conf_fini(sl_outbound_fields, &conf);
	conf_report_fini(&report);
	yaml_doc_free(doc);
	return o;
}

static void test_outbound__settings_stand_before_the_built_in_list(void **state) {
	(void)state;
	struct sl_outbound *o = policy("{allow: [169.254.169.254/32, 'fe80::/10'], deny: [127.0.0.2, 'fd00::/8']}");
	expect_allowed(o, "169.254.169.254");
	expect_allowed(o, "::ffff:169.254.169.254");
	expect_allowed(o, "64:ff9b::a9fe:a9fe");
	expect_allowed(o, "fe80::1");
	expect_allowed(o, "127.0.0.1");
	expect_denied_at_all(o, "169.254.169.253");
	expect_denied(o, "127.0.0.2", "127.0.0.2 is in node.outbound.deny (127.0.0.2/32): not connected");
	expect_denied(o, "::ffff:127.0.0.2", "127.0.0.2 is in node.outbound.deny (127.0.0.2/32): not connected");
	expect_denied(o, "64:ff9b::7f00:2",
		      "64:ff9b::7f00:2 stands for 127.0.0.2, which is in node.outbound.deny (127.0.0.2/32): not "
		      "connected");
	expect_denied(o, "fd00::1", "fd00::1 is in node.outbound.deny (fd00::/8): not connected");
	sl_outbound_free(o);
}

static void test_outbound__the_narrower_entry_decides_and_of_equals_deny(void **state) {
	(void)state;
	struct sl_outbound *o = policy("{deny: [0.0.0.0/0, '::/0', 10.1.0.0/16, 10.2.0.0/16], "
				       "allow: [10.0.0.0/8, 10.1.7.7, 10.2.0.0/16]}");
	expect_allowed(o, "10.0.0.1");
	expect_allowed(o, "10.1.7.7");
	expect_denied(o, "10.1.7.8", "10.1.7.8 is in node.outbound.deny (10.1.0.0/16): not connected");
	expect_denied_at_all(o, "10.2.0.1");
	expect_denied(o, "127.0.0.1", "127.0.0.1 is in node.outbound.deny (0.0.0.0/0): not connected");
	expect_denied(o, "::1", "::1 is in node.outbound.deny (::/0): not connected");
	sl_outbound_free(o);
}

static void test_outbound__targets_of_settings_are_judged_when_they_are_numbers(void **state) {
	(void)state;
	static const char *const denied[] = {
	    "169.254.169.254:9092", "169.254.169.254", "[fe80::1%1]:6379", "fe80::1", "[::ffff:169.254.169.254]:80",
	    "2852039166:80", "0xa9fea9fe:80", "0:80",
	    /* Whether this machine has such an interface is no matter, nor how a URL writes it. */
	    "[fe80::1%nosuch]:6379", "[fe80::1%25eth0]", "fe80::1%25eth0"};
	static const char *const allowed[] = {"db.example:9092",
					      "localhost",
					      "127.1:80",
					      "[::1]:5432",
					      "/run/db.sock",
					      "",
					      ":",
					      "a b",
					      "169.254.169.254.example:80",
					      "[2001:db8::1%eth0]",
					      "fe80%1:80"};
	for (size_t i = 0; i < SL_ARRAY_LEN(denied); i++)
		if (sl_outbound_judge_text(NULL, slice_from_str(denied[i]), NULL) != SL_EDENIED)
			fail_msg("%s is allowed", denied[i]);
	for (size_t i = 0; i < SL_ARRAY_LEN(allowed); i++)
		assert_int_equal(sl_outbound_judge_text(NULL, slice_from_str(allowed[i]), NULL), SL_OK);
}

static void test_outbound__the_one_in_force_can_be_changed(void **state) {
	(void)state;
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0xa9fea9fe)};
	assert_int_equal(sl_outbound_allows((struct sockaddr *)&at, NULL), SL_EDENIED);
	struct sl_outbound *o = policy("{allow: 169.254.0.0/16}");
	assert_null(sl_outbound_set(o));
	assert_int_equal(sl_outbound_allows((struct sockaddr *)&at, NULL), SL_OK);
	assert_ptr_equal(sl_outbound_set(NULL), o);
	assert_int_equal(sl_outbound_allows((struct sockaddr *)&at, NULL), SL_EDENIED);
	sl_outbound_free(o);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_outbound__networks_are_read),
	    cmocka_unit_test(test_outbound__what_is_no_network_is_refused_with_advice),
	    cmocka_unit_test(test_outbound__the_built_in_list_holds_metadata_and_what_is_no_server),
	    cmocka_unit_test(test_outbound__loopback_private_and_public_addresses_are_allowed),
	    cmocka_unit_test(test_outbound__settings_stand_before_the_built_in_list),
	    cmocka_unit_test(test_outbound__the_narrower_entry_decides_and_of_equals_deny),
	    cmocka_unit_test(test_outbound__targets_of_settings_are_judged_when_they_are_numbers),
	    cmocka_unit_test(test_outbound__the_one_in_force_can_be_changed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
