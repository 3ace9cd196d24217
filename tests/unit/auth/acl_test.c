/* Access rules: what they say of topics, filters and clients. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "acl.h"
#include "buf.h"
#include "mem.h"
#include "topic.h"

static struct acl *acl_of(const char *yaml) {
	struct conf_report report = CONF_REPORT_INIT;
	struct acl *a = NULL;
	int rc = acl_new_text(slice_from_str(yaml), "acl.yaml", &a, &report);
	if (rc != SL_OK) fail_msg("%s", sl_err_text(&report.errs[0]));
	conf_report_fini(&report);
	return a;
}

/* The first complaint about a text must hold `part`, and be about that line. */
static void refused(const char *yaml, uint32_t line, const char *part) {
	struct conf_report report = CONF_REPORT_INIT;
	struct acl *a = NULL;
	assert_int_not_equal(acl_new_text(slice_from_str(yaml), "acl.yaml", &a, &report), SL_OK);
	assert_null(a);
	assert_int_not_equal(report.len, 0);
	if (!strstr(sl_err_text(&report.errs[0]), part)) fail_msg("'%s' in '%s'", part, sl_err_text(&report.errs[0]));
	assert_int_equal(report.errs[0].line, line);
	conf_report_fini(&report);
}

static struct acl_client *client_of(struct acl *a, const struct acl_subject *who) {
	struct acl_client *c = acl_client_new(a, who);
	acl_unref(a);
	return c;
}

static struct acl_subject named(const char *clientid, const char *username) {
	return (struct acl_subject){.clientid = slice_from_str(clientid), .username = slice_from_str(username)};
}

static struct acl_client *alice(const char *yaml) {
	struct acl_subject who = named("c1", "alice");
	return client_of(acl_of(yaml), &who);
}

static bool pub(struct acl_client *c, const char *topic) { return acl_may_publish(c, slice_from_str(topic), 0, false); }
static bool sub(struct acl_client *c, const char *filter) { return acl_may_subscribe(c, slice_from_str(filter), 0); }

static void test_rules__first_match_wins(void **state) {
	(void)state;
	struct acl_client *c = alice("rules:\n"
				     "  - {deny: publish, topics: a/secret}\n"
				     "  - {allow: publish, topics: a/#}\n"
				     "  - {allow: subscribe, topics: [b/+, \"c/#\"]}\n");
	assert_true(pub(c, "a"));
	assert_true(pub(c, "a/b"));
	assert_false(pub(c, "a/secret"));
	assert_false(pub(c, "b/x")); /* denied by default */
	assert_true(sub(c, "b/+"));
	assert_true(sub(c, "b/x"));
	assert_false(sub(c, "b/#"));
	assert_true(sub(c, "c/+/x"));
	assert_false(sub(c, "a/x"));
	acl_client_free(c);
}

static void test_subscription__touched_by_deny_is_refused(void **state) {
	(void)state;
	struct acl_client *c = alice("default: allow\n"
				     "rules:\n"
				     "  - {allow: subscribe, topics: a/secret/mine}\n"
				     "  - {deny: subscribe, topics: a/secret/+}\n"
				     "  - {deny: subscribe, topics: {eq: \"#\"}}\n");
	assert_true(sub(c, "a/secret/mine"));
	assert_false(sub(c, "a/secret/other"));
	assert_false(sub(c, "a/#"));
	assert_false(sub(c, "+/secret/mine2"));
	assert_true(sub(c, "a/+"));
	assert_false(sub(c, "#"));
	assert_true(sub(c, "b/#"));
	assert_false(sub(c, "$SYS/#")); /* no default allows that */
	assert_true(sub(c, "$share/g/b/#"));
	assert_false(sub(c, "$share/g/a/#"));
	acl_client_free(c);
}

static void test_qos_retain_and_group(void **state) {
	(void)state;
	struct acl_client *c = alice("rules:\n"
				     "  - {allow: publish, topics: a, qos: [0, 1], retain: false}\n"
				     "  - {allow: publish, topics: r, retain: true}\n"
				     "  - {allow: subscribe, topics: q, qos: 0}\n"
				     "  - {allow: subscribe, topics: g, group: [workers, \"x*\"]}\n");
	struct sl_slice a = slice_from_str("a"), r = slice_from_str("r"), q = slice_from_str("q");
	assert_true(acl_may_publish(c, a, 1, false));
	assert_false(acl_may_publish(c, a, 2, false));
	assert_false(acl_may_publish(c, a, 1, true));
	assert_true(acl_may_publish(c, r, 2, true));
	assert_false(acl_may_publish(c, r, 2, false));
	for (int again = 0; again < 2; again++) { /* from the memory, too */
		assert_true(acl_may_publish(c, a, 1, false));
		assert_false(acl_may_publish(c, a, 2, false));
	}
	assert_true(acl_may_subscribe(c, q, 0));
	assert_false(acl_may_subscribe(c, q, 1));
	assert_false(sub(c, "g"));
	assert_true(sub(c, "$share/workers/g"));
	assert_true(sub(c, "$share/xy/g"));
	assert_false(sub(c, "$share/other/g"));
	acl_client_free(c);
}

static bool may(const char *rule, const struct acl_subject *who) {
	char *yaml = sl_asprintf("rules:\n  - {allow: publish, topics: t, %s}\n", rule);
	struct acl_client *c = client_of(acl_of(yaml), who);
	bool yes = pub(c, "t");
	acl_client_free(c);
	sl_free(yaml);
	return yes;
}

static void test_who__every_condition(void **state) {
	(void)state;
	static const struct acl_attr attrs[] = {{{"role", 4}, {"operator", 8}}};
	struct acl_subject who = named("dev-7", "alice"), nobody = named("x", "");
	who.cert_cn = slice_from_str("cn7");
	who.attrs = attrs;
	who.attrs_len = 1;
	assert_true(acl_subject_ip_text(&who, slice_from_str("10.1.2.3:4711")));
	assert_true(may("user: alice", &who));
	assert_true(may("user: [bob, alice]", &who));
	assert_false(may("user: bob", &who));
	assert_true(may("clientid: \"dev-*\"", &who));
	assert_false(may("clientid: \"dev-?\\x3f\"", &who));
	assert_true(may("clientid: \"re:dev-[0-9]+\"", &who));
	assert_false(may("clientid: \"re:ev-[0-9]+\"", &who)); /* the whole name */
	assert_false(may("clientid: \"eq:dev-*\"", &who));
	assert_true(may("cert_cn: cn7", &who));
	assert_true(may("\"cert.cn\": cn7", &who));
	assert_true(may("attr: {role: \"op*\"}", &who));
	assert_true(may("attr.role: operator", &who));
	assert_false(may("attr.other: \"*\"", &who));
	assert_true(may("ip: [192.168.0.0/16, 10.0.0.0/8]", &who));
	assert_false(may("ip: 10.2.0.0/16", &who));
	assert_true(may("anonymous: false", &who));
	assert_true(may("anonymous: true", &nobody));
	assert_false(may("user: \"*\"", &nobody)); /* no name is no name */
	assert_true(may("user: alice, clientid: \"dev-*\"", &who));
	assert_false(may("user: alice, clientid: x", &who));
	assert_true(may("any: [{user: bob}, {ip: 10.0.0.0/8}]", &who));
	assert_false(may("all: [{user: bob}, {ip: 10.0.0.0/8}]", &who));
	assert_true(may("not: {user: bob}", &who));
	assert_false(may("not: {any: [{user: bob}, {user: alice}]}", &who));
	assert_false(may("clientid: \"${username}\"", &who));
	assert_true(may("not: {ip: 10.0.0.0/8}", &nobody)); /* a unix socket is in no network */
	nobody.vague = true;
	assert_false(may("not: {ip: 10.0.0.0/8}", &nobody)); /* nobody knows where it is */
	assert_false(may("not: {attr.x: y}", &nobody));
}

static void test_ip__as_text_has_it(void **state) {
	(void)state;
	struct acl_subject s = named("a", "");
	assert_true(acl_subject_ip_text(&s, slice_from_str("[2001:db8::1]:1883")));
	assert_true(s.ip_v6);
	assert_true(acl_subject_ip_text(&s, slice_from_str("[::ffff:10.0.0.1]:1883")));
	assert_false(s.ip_v6);
	assert_int_equal(s.ip[0], 10);
	assert_true(acl_subject_ip_text(&s, slice_from_str("fe80::1%eth0")));
	assert_true(acl_subject_ip_text(&s, slice_from_str("10.0.0.1")));
	assert_false(acl_subject_ip_text(&s, slice_from_str("unix")));
	assert_true(acl_subject_ip_text(&s, slice_from_str("::1")));
}

static void test_placeholders__filled_and_injection_refused(void **state) {
	(void)state;
	static const char *const yaml = "rules:\n"
					"  - {allow: publish, topics: \"up/${clientid}/#\"}\n"
					"  - {allow: all, topics: [\"u/%u/%c\", \"x-${username}/y\"]}\n"
					"  - {allow: subscribe, topics: \"${clientid}/#\"}\n";
	static const char *const bad[] = {"+", "#", "a/b", "", "a#", "$SYS"};
	struct acl_subject who = named("c1", "alice");
	struct acl_client *c = client_of(acl_of(yaml), &who);
	assert_true(pub(c, "up/c1/t"));
	assert_false(pub(c, "up/c2/t"));
	assert_true(pub(c, "u/alice/c1"));
	assert_true(sub(c, "x-alice/y"));
	assert_true(sub(c, "c1/#"));
	acl_client_free(c);
	for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++) {
		who = named(bad[i], bad[i]);
		c = client_of(acl_of(yaml), &who);
		if (strcmp(bad[i], "$SYS") != 0) {
			assert_false(pub(c, "up/x/t"));
			assert_false(pub(c, "up/a/b"));
			assert_false(pub(c, "u/x/x"));
		}
		assert_false(sub(c, "u/+/+"));
		assert_false(sub(c, "+/#"));
		assert_false(sub(c, "#"));
		assert_false(sub(c, "$SYS/#"));
		acl_client_free(c);
	}
}

static void test_placeholders__a_deny_rule_gets_wider(void **state) {
	(void)state;
	static const char *const yaml = "default: allow\n"
					"rules:\n"
					"  - {deny: all, topics: \"s/${username}/x\"}\n"
					"  - {deny: subscribe, topics: {eq: \"e/${username}\"}}\n";
	struct acl_subject who = named("c1", "a/b");
	struct acl_client *c = client_of(acl_of(yaml), &who);
	assert_false(pub(c, "s/a/b/x"));
	assert_false(pub(c, "s/other"));
	assert_true(pub(c, "t/a"));
	assert_false(sub(c, "e/a/b"));
	acl_client_free(c);
	who = named("c1", "ann");
	c = client_of(acl_of(yaml), &who);
	assert_false(pub(c, "s/ann/x"));
	assert_true(pub(c, "s/bob/x"));
	acl_client_free(c);
	who = named("$SYS", "");
	c = client_of(acl_of("default: allow\nrules:\n  - {deny: publish, topics: \"${clientid}/#\"}\n"), &who);
	assert_false(pub(c, "anything"));
	acl_client_free(c);
}

static void test_connect__and_superuser(void **state) {
	(void)state;
	struct acl_client *c = alice("rules:\n  - {deny: connect, not: {clientid: \"${username}\"}}\n");
	assert_false(acl_may_connect(c));
	acl_client_free(c);
	struct acl_subject who = named("alice", "alice");
	c = client_of(acl_of("rules:\n  - {deny: connect, not: {clientid: \"${username}\"}}\n"), &who);
	assert_true(acl_may_connect(c));
	assert_false(pub(c, "t"));
	acl_client_free(c);
	who.superuser = true;
	c = client_of(acl_of("rules: [{deny: all, topics: [\"#\", \"$SYS/#\"]}, {deny: connect}]"), &who);
	assert_true(acl_may_connect(c));
	assert_true(pub(c, "t"));
	assert_true(sub(c, "$SYS/#"));
	assert_true(acl_may_receive(c, slice_from_str("t")));
	acl_client_free(c);
}

static void test_receive__narrows_what_was_subscribed_to(void **state) {
	(void)state;
	struct acl_client *c = alice("rules:\n"
				     "  - {deny: receive, topics: a/secret}\n"
				     "  - {allow: subscribe, topics: a/#}\n");
	assert_true(sub(c, "a/#"));
	assert_true(acl_judges_receive(c));
	assert_true(acl_may_receive(c, slice_from_str("a/b")));
	assert_false(acl_may_receive(c, slice_from_str("a/secret")));
	acl_client_free(c);
	c = alice("rules: [{allow: subscribe, topics: a/#}]");
	assert_false(acl_judges_receive(c));
	acl_client_strict(c);
	assert_true(acl_judges_receive(c));
	assert_true(acl_may_receive(c, slice_from_str("a/b")));
	assert_false(acl_may_receive(c, slice_from_str("b")));
	acl_client_free(c);
}

static struct acl_rules *own_of(const char *json) {
	struct sl_err err = SL_ERR_INIT;
	struct acl_rules *r = NULL;
	int rc = acl_rules_from_text(slice_from_str(json), &r, &err);
	if (rc != SL_OK) fail_msg("%s", sl_err_text(&err));
	sl_err_fini(&err);
	return r;
}

static void test_own_rules__come_before_those_of_the_file(void **state) {
	(void)state;
	struct acl_subject who = named("c1", "alice");
	who.rules = own_of(
	    "[{\"permission\": \"deny\", \"action\": \"publish\", \"topic\": \"a/b\"},"
	    " {\"permission\": \"allow\", \"action\": \"all\", \"topic\": \"o/${clientid}/#\", \"qos\": [\"0\", 1]},"
	    " {\"allow\": \"subscribe\", \"topics\": [\"eq e/#\"]}]");
	assert_int_equal(acl_rules_count(who.rules), 3);
	struct acl_client *c = client_of(acl_of("rules: [{allow: publish, topics: a/#}]"), &who);
	acl_rules_unref(who.rules);
	assert_false(pub(c, "a/b"));
	assert_true(pub(c, "a/c"));
	assert_true(pub(c, "o/c1/x"));
	assert_false(pub(c, "o/c2/x"));
	assert_true(sub(c, "e/#"));
	assert_false(sub(c, "e/x"));
	acl_client_free(c);
	who.rules = own_of("{\"pub\": [\"p\"], \"sub\": [\"s/#\"], \"all\": [\"b\"]}");
	c = client_of(acl_of("{}"), &who);
	acl_rules_unref(who.rules);
	assert_true(pub(c, "p"));
	assert_false(pub(c, "s/x"));
	assert_true(sub(c, "s/#"));
	assert_true(pub(c, "b"));
	assert_true(sub(c, "b"));
	acl_client_free(c);
}

static void own_refused(const char *json, const char *part) {
	struct sl_err err = SL_ERR_INIT;
	struct acl_rules *r = NULL;
	assert_int_not_equal(acl_rules_from_text(slice_from_str(json), &r, &err), SL_OK);
	if (!strstr(sl_err_text(&err), part)) fail_msg("'%s' in '%s'", part, sl_err_text(&err));
	assert_null(r);
	sl_err_fini(&err);
}

static void test_own_rules__what_is_refused(void **state) {
	(void)state;
	own_refused("[{\"allow\": \"publish\"}]", "topics");
	own_refused("[{\"allow\": \"fly\", \"topics\": \"a\"}]", "publish, subscribe");
	own_refused("[{\"allow\": \"all\", \"topics\": \"a\", \"user\": \"x\"}]", "own rules");
	own_refused("[{\"allow\": \"all\", \"topics\": \"a+\"}]", "topic filter");
	own_refused("[{\"allow\": \"subscribe\", \"topics\": \"a\", \"group\": \"re:x\"}]", "broker's own");
	own_refused("{\"pub\": [1]}", "topic filter");
	own_refused("[1", "JSON");
	own_refused("\"x\"", "JSON");
	struct acl_rules *r = own_of("[]");
	assert_null(r);
}

static void test_errors__have_places(void **state) {
	(void)state;
	refused("rules:\n  - {alow: publish, topics: a}\n", 2, "allow");
	refused("rules:\n  - {allow: write, topics: a}\n", 2, "publish here");
	refused("rules:\n  - {topics: a}\n", 2, "neither");
	refused("rules:\n  - allow: publish\n    topics: \"a#\"\n", 3, "topic filter");
	refused("rules:\n  - {allow: publish, topics: \"${nobody}\"}\n", 2, "${clientid}");
	refused("rules:\n  - {allow: publish, topics: \"$share/g/a\"}\n", 2, "group");
	refused("rules:\n  - {allow: publish, topics: a, ip: 10.0.0.1/8}\n", 2, "ip");
	refused("rules:\n  - {allow: publish, topics: a, user: \"re:(\"}\n", 2, "regular");
	refused("rules:\n  - {allow: publish, topics: a, user: []}\n", 2, "empty");
	refused("rules:\n  - {allow: publish, topics: []}\n", 2, "empty");
	refused("rules:\n  - {allow: publish, topics: a, qos: 3}\n", 2, "0, 1 or 2");
	refused("rules:\n  - {allow: publish, deny: publish, topics: a}\n", 2, "two rules");
	refused("rulez: []\n", 1, "rules");
	refused("default: maybe\n", 1, "allow or deny");
	refused("rules:\n  - {allow: all, topics: a, clientid: \"${username}*\"}\n", 2, "could be a pattern");
}

/* ---- against a twin that tries every topic ---- */

static const char *const words[] = {"a", "b", "zz"};

static void random_filter(struct sl_buf *out) {
	size_t levels = 1 + (size_t)rand() % 3;
	sl_buf_clear(out);
	for (size_t i = 0; i < levels; i++) {
		int kind = rand() % 4;
		if (i) sl_buf_put(out, '/');
		if (kind == 0 && i + 1 == levels)
			sl_buf_put(out, '#');
		else
			sl_buf_append_str(out, kind == 1 ? "+" : words[rand() % 2]);
	}
}

struct twin_rule {
	bool allow;
	struct sl_buf filter;
};
struct twin {
	struct twin_rule rules[6];
	size_t len;
	bool default_allow;
};

static bool twin_allows(const struct twin *t, struct sl_slice topic) {
	for (size_t i = 0; i < t->len; i++)
		if (topic_matches(sl_buf_slice(&t->rules[i].filter), topic)) return t->rules[i].allow;
	return t->default_allow;
}

/* Of up to four levels: one more than any filter here. */
static bool twin_subscribes(const struct twin *t, struct acl_client *c, struct sl_slice filter) {
	struct sl_buf topic = SL_BUF_INIT;
	bool all = true;
	size_t count = 1;
	for (size_t levels = 1; levels <= 4; levels++) {
		count *= SL_ARRAY_LEN(words);
		for (size_t n = 0; n < count; n++) {
			sl_buf_clear(&topic);
			for (size_t i = 0, left = n; i < levels; i++, left /= SL_ARRAY_LEN(words)) {
				if (i) sl_buf_put(&topic, '/');
				sl_buf_append_str(&topic, words[left % SL_ARRAY_LEN(words)]);
			}
			bool allows = twin_allows(t, sl_buf_slice(&topic));
			assert_int_equal(acl_may_publish(c, sl_buf_slice(&topic), 0, false), allows);
			if (topic_matches(filter, sl_buf_slice(&topic))) all = all && allows;
		}
	}
	sl_buf_fini(&topic);
	return all;
}

/* An example that is told is in the subscription, and not allowed. */
static void check_example(struct acl_client *c, const struct twin *t, struct sl_slice filter) {
	struct acl_reason why;
	acl_explain(c, &(struct acl_question){.action = ACL_SUBSCRIBE, .topic = filter}, &why);
	assert_false(why.allowed);
	if (why.example) {
		assert_true(topic_matches(filter, slice_from_str(why.example)));
		assert_false(twin_allows(t, slice_from_str(why.example)));
	}
	acl_reason_fini(&why);
}

static void test_random__as_every_topic_says(void **state) {
	(void)state;
	srand(3);
	struct sl_buf filter = SL_BUF_INIT, yaml = SL_BUF_INIT;
	int allowed = 0;
	for (int round = 0; round < 1500; round++) {
		struct twin t = {.len = (size_t)rand() % 7, .default_allow = rand() % 4 == 0};
		sl_buf_clear(&yaml);
		sl_buf_printf(&yaml, "default: %s\nrules:\n", t.default_allow ? "allow" : "deny");
		for (size_t i = 0; i < t.len; i++) {
			t.rules[i] = (struct twin_rule){.allow = rand() % 3 != 0};
			random_filter(&t.rules[i].filter);
			sl_buf_printf(&yaml, "  - {%s: all, topics: \"%s\"}\n", t.rules[i].allow ? "allow" : "deny",
				      sl_buf_cstr(&t.rules[i].filter));
		}
		struct acl_client *c = alice(sl_buf_cstr(&yaml));
		random_filter(&filter);
		bool want = twin_subscribes(&t, c, sl_buf_slice(&filter));
		if (acl_may_subscribe(c, sl_buf_slice(&filter), 0) != want)
			fail_msg("%s%s: should be %d", sl_buf_cstr(&yaml), sl_buf_cstr(&filter), want);
		allowed += want;
		if (!want) check_example(c, &t, sl_buf_slice(&filter));
		for (size_t i = 0; i < t.len; i++) sl_buf_fini(&t.rules[i].filter);
		acl_client_free(c);
	}
	assert_true(allowed > 200);
	sl_buf_fini(&filter);
	sl_buf_fini(&yaml);
}

static void test_memory__more_topics_than_it_holds(void **state) {
	(void)state;
	struct acl_client *c = alice("rules: [{allow: publish, topics: \"even/+\"}]");
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 100; i++) {
			char *topic = sl_asprintf("%s/%d", i % 2 ? "odd" : "even", i);
			assert_int_equal(pub(c, topic), i % 2 == 0);
			sl_free(topic);
		}
	}
	struct acl *other = acl_of("rules: [{allow: publish, topics: \"odd/+\"}]");
	acl_client_renew(c, other);
	assert_true(acl_client_acl(c) == other);
	acl_unref(other);
	assert_true(pub(c, "odd/1"));
	assert_false(pub(c, "even/2"));
	acl_client_free(c);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rules__first_match_wins),
	    cmocka_unit_test(test_subscription__touched_by_deny_is_refused),
	    cmocka_unit_test(test_qos_retain_and_group),
	    cmocka_unit_test(test_who__every_condition),
	    cmocka_unit_test(test_ip__as_text_has_it),
	    cmocka_unit_test(test_placeholders__filled_and_injection_refused),
	    cmocka_unit_test(test_placeholders__a_deny_rule_gets_wider),
	    cmocka_unit_test(test_connect__and_superuser),
	    cmocka_unit_test(test_receive__narrows_what_was_subscribed_to),
	    cmocka_unit_test(test_own_rules__come_before_those_of_the_file),
	    cmocka_unit_test(test_own_rules__what_is_refused),
	    cmocka_unit_test(test_errors__have_places),
	    cmocka_unit_test(test_random__as_every_topic_says),
	    cmocka_unit_test(test_memory__more_topics_than_it_holds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
