/* conf_test.c: rules that are not right: each mistake is named, with its place, and all of them at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"
#include "mem.h"

static void expect_error(const char *yaml, const char *place, const char *text) {
	char *errors = fixture_errors(yaml);
	assert_non_null(errors);
	if (!strstr(errors, place) || !strstr(errors, text))
		fail_msg("got: %s\nwanted: %s ... %s", errors, place, text);
	sl_free(errors);
}

static void test_rule_conf__an_unknown_column_is_named_where_it_stands(void **state) {
	(void)state;
	expect_error("  hot:\n    sql: |\n      SELECT paylod.t AS t\n      FROM \"a\"\n",
		     "t.yaml:4:14: rules.hot.sql: ", "payload");
}

static void test_rule_conf__a_syntax_error_is_named_where_it_stands(void **state) {
	(void)state;
	expect_error("  hot:\n    sql: |\n      SELECT 1 AS x\n      FRM \"a\"\n", "t.yaml:5:7: rules.hot.sql: ", "FR");
}

static void test_rule_conf__sql_is_required(void **state) {
	(void)state;
	expect_error("  hot: {description: x}\n", "t.yaml:2:", "sql");
}

static void test_rule_conf__an_unknown_option_gets_the_nearest_spelling(void **state) {
	(void)state;
	expect_error("  hot:\n    sql: SELECT 1 AS x FROM \"a\"\n    enabld: true\n", "t.yaml:4:5: rules.hot.",
		     "enabled");
}

static void test_rule_conf__every_mistake_is_reported(void **state) {
	(void)state;
	char *errors = fixture_errors("  a:\n    sql: SELECT nope FROM \"a\"\n"
				      "  b:\n    sql: SELECT nofn(1) AS x FROM \"a\"\n    enabled: 3\n"
				      "  c:\n    sql: SELECT 1 AS x FROM \"a\"\n    actions: [{consol: {}}]\n");
	assert_non_null(errors);
	assert_non_null(strstr(errors, "rules.a.sql"));
	assert_non_null(strstr(errors, "rules.b.sql"));
	assert_non_null(strstr(errors, "rules.b.enabled"));
	assert_non_null(strstr(errors, "did you mean 'console'"));
	sl_free(errors);
}

static void test_rule_conf__events_that_are_not_there_are_refused_with_what_to_write(void **state) {
	(void)state;
	expect_error("  a:\n    sql: SELECT 1 AS x FROM \"$events/client/conected\"\n",
		     "t.yaml:3:", "did you mean $events/client/connected");
	expect_error("  a:\n    sql: SELECT 1 AS x FROM \"$events/sys/alarm_activated\"\n",
		     "t.yaml:3:", "$events/connector/status");
	expect_error("  a:\n    sql: SELECT payload AS x FROM \"$events/client/+\"\n",
		     "t.yaml:3:", "unknown column 'payload'");
}

static void test_rule_conf__a_wrong_filter_is_refused(void **state) {
	(void)state;
	expect_error("  a:\n    sql: SELECT 1 AS x FROM \"a/#/b\"\n", "t.yaml:3:", "not a topic filter");
}

static void test_rule_conf__the_aws_dialect_has_its_own_options(void **state) {
	(void)state;
	assert_null(
	    fixture_errors("  a:\n    dialect: aws\n    sql_version: 2015-10-08\n    int_division: decimal\n"
			   "    sql: SELECT [v / 2] AS h FROM 'a/#'\n"
			   "    actions: [{republish: {topic: \"$$aws/things/${topic(2)}\", payload: \"${v}\"}}]\n"));
	expect_error("  a:\n    dialect: aws\n    sql_version: 2017-01-01\n    sql: SELECT v FROM 'a'\n", "rules.a.sql",
		     "there is no version '2017-01-01'");
	expect_error("  a:\n    sql_version: 2015-10-08\n    sql: SELECT qos FROM 'a'\n",
		     "t.yaml:3:5: rules.a.sql_version", "dialect: aws");
	expect_error("  a:\n    int_division: decimal\n    sql: SELECT qos FROM 'a'\n", "rules.a.int_division",
		     "dialect: aws");
}

static void test_rule_conf__a_template_of_the_aws_dialect_reads_the_message(void **state) {
	(void)state;
	expect_error("  a:\n    dialect: aws\n    sql: SET @key = 1 SELECT v AS w FROM 'a'\n"
		     "    actions: [{republish: {topic: \"b/${w}/${@kye}\"}}]\n",
		     "rules.a.actions[0].republish.topic", "there is no variable @kye; did you mean @key?");
}

static void test_rule_conf__scripts_are_refused(void **state) {
	(void)state;
	expect_error("  a:\n    sql: SELECT 1 AS x FROM \"a\"\n    lua: return 1\n", "t.yaml:4:5: rules.a.lua",
		     "not in this build yet");
}

static void test_rule_conf__a_template_error_is_named_where_it_stands(void **state) {
	(void)state;
	expect_error("  a:\n    sql: SELECT 1 AS device FROM \"a\"\n    actions:\n"
		     "      - republish:\n          topic: \"out/${devise}\"\n",
		     "t.yaml:6:", "device");
}

static void test_rule_conf__constants_of_republish_are_checked(void **state) {
	(void)state;
	expect_error("  a:\n    sql: SELECT 1 AS x FROM \"a\"\n    actions: [{republish: {topic: \"a/+\"}}]\n",
		     "rules.a.actions[0].republish.topic", "publish to");
	expect_error("  a:\n    sql: SELECT 1 AS x FROM \"a\"\n    actions: [{republish: {topic: t, qos: 3}}]\n",
		     "rules.a.actions[0].republish.qos", "0, 1 or 2");
	expect_error("  a:\n    sql: SELECT 1 AS x FROM \"a\"\n    actions: [{republish: {topic: t, retain: maybe}}]\n",
		     "rules.a.actions[0].republish.retain", "true or false");
	expect_error("  a:\n    sql: SELECT 1 AS x FROM \"a\"\n"
		     "    actions: [{republish: {topic: t, payload_format: text}}]\n",
		     "rules.a.actions[0].republish.payload_format", "UTF8_DATA");
	expect_error("  a:\n    sql: SELECT 1 AS x FROM \"a\"\n"
		     "    actions: [{republish: {topic: t, message_expiry: soon}}]\n",
		     "rules.a.actions[0].republish.message_expiry", "'soon' is not a number of seconds");
	expect_error("  a:\n    sql: SELECT 1 AS x FROM \"a\"\n"
		     "    actions: [{republish: {topic: t, response_topic: \"a/#\"}}]\n",
		     "rules.a.actions[0].republish.response_topic", "publish to");
	expect_error("  a:\n    sql: SELECT 1 AS x FROM \"a\"\n"
		     "    actions: [{republish: {topic: t, user_properties: all}}]\n",
		     "rules.a.actions[0].republish.user_properties", "a map, or a template");
}

static void test_rule_conf__a_long_id_is_refused(void **state) {
	(void)state;
	struct sl_buf yaml = SL_BUF_INIT;
	sl_buf_append_str(&yaml, "  ");
	for (int i = 0; i < 256; i++) sl_buf_put(&yaml, 'x');
	sl_buf_append_str(&yaml, ":\n    sql: SELECT 1 AS x FROM \"a\"\n");
	expect_error(sl_buf_cstr(&yaml), "t.yaml:2:", "1 to 255 bytes");
	sl_buf_fini(&yaml);
}

static void test_rule_conf__an_id_may_be_any_text(void **state) {
	(void)state;
	assert_null(fixture_errors("  \"werk 7: Öfen\":\n    sql: SELECT 1 AS x FROM \"a\"\n"));
}

static void test_rule_conf__actions_must_be_a_list(void **state) {
	(void)state;
	expect_error("  a:\n    sql: SELECT 1 AS x FROM \"a\"\n    actions: {console: {}}\n", "rules.a.actions",
		     "must be a list");
}

static void test_rule_conf__rules_must_be_a_map(void **state) {
	(void)state;
	expect_error("  - sql: x\n", "t.yaml:2:", "must be a map");
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rule_conf__an_unknown_column_is_named_where_it_stands),
	    cmocka_unit_test(test_rule_conf__a_syntax_error_is_named_where_it_stands),
	    cmocka_unit_test(test_rule_conf__sql_is_required),
	    cmocka_unit_test(test_rule_conf__an_unknown_option_gets_the_nearest_spelling),
	    cmocka_unit_test(test_rule_conf__every_mistake_is_reported),
	    cmocka_unit_test(test_rule_conf__events_that_are_not_there_are_refused_with_what_to_write),
	    cmocka_unit_test(test_rule_conf__a_wrong_filter_is_refused),
	    cmocka_unit_test(test_rule_conf__the_aws_dialect_has_its_own_options),
	    cmocka_unit_test(test_rule_conf__a_template_of_the_aws_dialect_reads_the_message),
	    cmocka_unit_test(test_rule_conf__scripts_are_refused),
	    cmocka_unit_test(test_rule_conf__a_template_error_is_named_where_it_stands),
	    cmocka_unit_test(test_rule_conf__constants_of_republish_are_checked),
	    cmocka_unit_test(test_rule_conf__a_long_id_is_refused),
	    cmocka_unit_test(test_rule_conf__an_id_may_be_any_text),
	    cmocka_unit_test(test_rule_conf__actions_must_be_a_list),
	    cmocka_unit_test(test_rule_conf__rules_must_be_a_map),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
