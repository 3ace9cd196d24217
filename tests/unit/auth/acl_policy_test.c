/* AWS-style policies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "acl.h"
#include "mem.h"

#define ARN "arn:aws:iot:eu-west-1:123456789012:"

static struct acl_client *with(const char *yaml, const struct acl_subject *who) {
	struct conf_report report = CONF_REPORT_INIT;
	struct acl *a = NULL;
	if (acl_new_text(slice_from_str(yaml), "p.yaml", &a, &report) != SL_OK)
		fail_msg("%s", sl_err_text(&report.errs[0]));
	struct acl_client *c = acl_client_new(a, who);
	acl_unref(a);
	return c;
}

static void refused(const char *statement, const char *part) {
	struct conf_report report = CONF_REPORT_INIT;
	struct acl *a = NULL;
	char *yaml = sl_asprintf("{\"Version\": \"2012-10-17\", \"Statement\": [%s]}", statement);
	assert_int_not_equal(acl_new_text(slice_from_str(yaml), "p.yaml", &a, &report), SL_OK);
	if (!strstr(sl_err_text(&report.errs[0]), part)) fail_msg("'%s' in '%s'", part, sl_err_text(&report.errs[0]));
	assert_int_equal(report.errs[0].line, 1);
	conf_report_fini(&report);
	sl_free(yaml);
}

static bool pub(struct acl_client *c, const char *topic) { return acl_may_publish(c, slice_from_str(topic), 1, false); }
static bool sub(struct acl_client *c, const char *filter) { return acl_may_subscribe(c, slice_from_str(filter), 1); }
static bool get(struct acl_client *c, const char *topic) { return acl_may_receive(c, slice_from_str(topic)); }

static const char *const device =
    "{\"Version\": \"2012-10-17\", \"Statement\": ["
    "{\"Effect\": \"Allow\", \"Action\": \"iot:Connect\", \"Resource\": \"" ARN
    "client/${iot:Connection.Thing.ThingName}\"},"
    "{\"Effect\": \"Allow\", \"Action\": [\"iot:Publish\", \"iot:Receive\"], \"Resource\": ["
    "\"" ARN "topic/d/${iot:ClientId}/*\", \"" ARN "topic/any/?\"]},"
    "{\"Effect\": \"Allow\", \"Action\": \"iot:RetainPublish\", \"Resource\": \"" ARN
    "topic/d/${iot:ClientId}/state\"},"
    "{\"Effect\": \"Allow\", \"Action\": \"iot:Subscribe\", \"Resource\": \"" ARN "topicfilter/d/${iot:ClientId}/#\"},"
    "{\"Effect\": \"Deny\", \"Action\": \"iot:Publish\", \"Resource\": \"" ARN "topic/d/*/locked\"}"
    "]}";

static void test_policy__as_aws_means_it(void **state) {
	(void)state;
	struct acl_subject who = {.clientid = slice_from_str("t1")};
	struct acl_client *c = with(device, &who);
	assert_true(acl_may_connect(c));
	assert_true(pub(c, "d/t1/a/b")); /* a star crosses levels */
	assert_false(pub(c, "d/t1"));
	assert_false(pub(c, "d/t2/a"));
	assert_true(pub(c, "any/x"));
	assert_true(pub(c, "any/\xc3\xa4")); /* one character */
	assert_false(pub(c, "any/xy"));
	assert_false(pub(c, "d/t1/locked")); /* an explicit deny wins, wherever it stands */
	assert_true(sub(c, "d/t1/#"));
	assert_false(sub(c, "d/t1/a")); /* the text of the filter counts: # is no wildcard there */
	assert_false(sub(c, "d/#"));
	assert_true(acl_judges_receive(c));
	assert_true(get(c, "d/t1/x"));
	assert_false(get(c, "d/t2/x"));
	assert_true(acl_may_publish(c, slice_from_str("d/t1/state"), 1, true));
	assert_false(acl_may_publish(c, slice_from_str("d/t1/a"), 1, true));
	acl_client_free(c);
}

static void test_policy__a_client_id_that_is_a_pattern_gets_nothing(void **state) {
	(void)state;
	static const char *const bad[] = {"+", "#", "*", "?", "a/b", ""};
	for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++) {
		struct acl_subject who = {.clientid = slice_from_str(bad[i])};
		struct acl_client *c = with(device, &who);
		assert_false(pub(c, "d/x/a"));
		assert_false(pub(c, "d/a/b/c"));
		assert_false(sub(c, "d/+/#"));
		assert_false(sub(c, "d/#/#"));
		assert_false(acl_may_connect(c));
		acl_client_free(c);
	}
}

static void test_policy__conditions(void **state) {
	(void)state;
	static const char *const yaml =
	    "{\"Version\": \"2012-10-17\", \"Statement\": ["
	    "{\"Effect\": \"Allow\", \"Action\": \"iot:*\", \"Resource\": \"*\", \"Condition\": {"
	    "\"IpAddress\": {\"aws:SourceIp\": [\"10.0.0.0/8\"]},"
	    "\"StringEquals\": {\"iot:Connection.Thing.Attributes[site]\": [\"north\", \"south\"]},"
	    "\"StringNotLike\": {\"iot:ClientId\": \"test*\"},"
	    "\"Bool\": {\"iot:Connection.Thing.IsAttached\": \"true\"}}}]}";
	struct acl_attr site[] = {{{"site", 4}, {"north", 5}}};
	struct acl_subject who = {
	    .clientid = slice_from_str("c"), .cert_cn = slice_from_str("cn"), .attrs = site, .attrs_len = 1};
	acl_subject_ip_text(&who, slice_from_str("10.1.1.1:5"));
	struct acl_client *c = with(yaml, &who);
	assert_true(pub(c, "a"));
	assert_true(sub(c, "#"));
	acl_client_free(c);
	struct acl_subject other = who;
	acl_subject_ip_text(&other, slice_from_str("11.1.1.1:5"));
	c = with(yaml, &other);
	assert_false(pub(c, "a"));
	acl_client_free(c);
	other = who;
	other.clientid = slice_from_str("test1");
	c = with(yaml, &other);
	assert_false(pub(c, "a"));
	acl_client_free(c);
	other = who;
	other.cert_cn = SL_SLICE_EMPTY;
	c = with(yaml, &other);
	assert_false(pub(c, "a"));
	acl_client_free(c);
}

static void test_policy__for_those_who_have_it(void **state) {
	(void)state;
	static const char *const yaml = "rules: [{allow: publish, topics: free}]\n"
					"policies:\n"
					"  - user: dev\n"
					"    policy: {Version: \"2012-10-17\", Statement: {Effect: Allow, Action: "
					"[iot:Publish, iot:Connect], Resource: "
					"[\"" ARN "topic/p\", \"" ARN "client/c\"]}}\n";
	struct acl_subject who = {.clientid = slice_from_str("c"), .username = slice_from_str("dev")};
	struct acl_client *c = with(yaml, &who);
	assert_true(acl_may_connect(c));
	assert_true(pub(c, "p"));
	assert_true(pub(c, "free"));
	assert_true(acl_judges_receive(c));
	acl_client_free(c);
	who.clientid = slice_from_str("d");
	c = with(yaml, &who);
	assert_false(acl_may_connect(c));
	acl_client_free(c);
	who.username = slice_from_str("human");
	c = with(yaml, &who);
	assert_true(acl_may_connect(c));
	assert_false(pub(c, "p"));
	assert_false(acl_judges_receive(c));
	acl_client_free(c);
}

static void test_policy__as_own_rules(void **state) {
	(void)state;
	struct acl_rules *rules = NULL;
	assert_int_equal(acl_rules_from_text(slice_from_str(device), &rules, NULL), SL_OK);
	struct acl_subject who = {.clientid = slice_from_str("t1"), .rules = rules};
	struct acl_client *c = with("{}", &who);
	acl_rules_unref(rules);
	assert_true(pub(c, "d/t1/a"));
	assert_false(pub(c, "d/t1/locked"));
	assert_true(sub(c, "d/t1/#"));
	acl_client_free(c);
}

static void test_policy__escapes(void **state) {
	(void)state;
	struct acl_subject who = {.clientid = slice_from_str("c")};
	struct acl_client *c =
	    with("{\"Version\": \"2012-10-17\", \"Statement\": [{\"Effect\": \"Allow\", \"Action\": \"*\", "
		 "\"Resource\": \"arn:aws:iot:*:*:topic/a${*}b${?}${$}*\"}]}",
		 &who);
	assert_true(pub(c, "a*b?$"));
	assert_true(pub(c, "a*b?$xyz"));
	assert_false(pub(c, "axb?$"));
	acl_client_free(c);
}

static void test_policy__what_is_refused_by_name(void **state) {
	(void)state;
#define ALLOW "\"Effect\": \"Allow\", \"Action\": \"iot:Publish\", \"Resource\": \"*\""
	refused("{" ALLOW ", \"NotAction\": \"x\"}", "NotAction");
	refused("{" ALLOW ", \"Condition\": {\"DateLessThan\": {\"aws:CurrentTime\": \"x\"}}}", "DateLessThan");
	refused("{" ALLOW ", \"Condition\": {\"StringEquals\": {\"iot:Domainname\": \"x\"}}}", "no meaning");
	refused("{" ALLOW ", \"Condition\": {\"IpAddress\": {\"aws:SourceIp\": \"x\"}}}", "SourceIp");
	refused("{\"Effect\": \"Allow\", \"Action\": \"s3:Get\", \"Resource\": \"*\"}", "iot:Connect");
	refused("{\"Effect\": \"Allow\", \"Action\": \"iot:Publish\", \"Resource\": \"topic/x\"}", "arn:aws:iot");
	refused("{\"Effect\": \"Allow\", \"Action\": \"iot:Publish\", \"Resource\": \"" ARN "topic/${iot:Nothing}\"}",
		"iot:Nothing");
	refused("{\"Action\": \"iot:Publish\", \"Resource\": \"*\"}", "Effect");
	refused("{\"Effect\": \"Permit\", \"Action\": \"iot:Publish\", \"Resource\": \"*\"}", "Effect");
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_policy__as_aws_means_it),
	    cmocka_unit_test(test_policy__a_client_id_that_is_a_pattern_gets_nothing),
	    cmocka_unit_test(test_policy__conditions),
	    cmocka_unit_test(test_policy__for_those_who_have_it),
	    cmocka_unit_test(test_policy__as_own_rules),
	    cmocka_unit_test(test_policy__escapes),
	    cmocka_unit_test(test_policy__what_is_refused_by_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
