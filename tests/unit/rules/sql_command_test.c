/* sql_command_test.c: `sluice sql` as a shell sees it: arguments and standard input in, text and an exit code out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "buf.h"
#include "sql_command.h"

struct result {
	int code;
	struct sl_buf out, err;
};

/* Puts a temporary file in the place of a descriptor; gives the former one. */
static int redirect(int fd, FILE *to) {
	int kept = dup(fd);
	assert_true(kept >= 0);
	assert_true(dup2(fileno(to), fd) == fd);
	return kept;
}

static void restore(int fd, int kept) {
	assert_true(dup2(kept, fd) == fd);
	close(kept);
}

static void take(FILE *from, struct sl_buf *into) {
	int c;
	rewind(from);
	while ((c = getc(from)) != EOF) sl_buf_put(into, (char)c);
	fclose(from);
}

static struct result run(const char *input, const char *const *args) {
	struct result r = {.code = -1};
	FILE *in = tmpfile(), *out = tmpfile(), *err = tmpfile();
	char *argv[16] = {(char *)(uintptr_t) "sql"};
	int argc = 1;
	for (; args[argc - 1]; argc++) argv[argc] = (char *)(uintptr_t)args[argc - 1];
	fputs(input, in);
	rewind(in);
	fflush(stdout);
	int kept_in = redirect(0, in), kept_out = redirect(1, out), kept_err = redirect(2, err);
	clearerr(stdin);
	rewind(stdin);
	r.code = cmd_sql(argc, argv);
	fflush(stdout);
	restore(0, kept_in);
	restore(1, kept_out);
	restore(2, kept_err);
	fclose(in);
	take(out, &r.out);
	take(err, &r.err);
	(void)sl_buf_cstr(&r.out);
	(void)sl_buf_cstr(&r.err);
	return r;
}

static void expect(struct result r, int code, const char *out, const char *err) {
	if (out && strcmp(r.out.p, out) != 0) fail_msg("got: %s\nwanted: %s", r.out.p, out);
	if (err && !strstr(r.err.p, err)) fail_msg("got: %s\nwanted: ...%s...", r.err.p, err);
	assert_int_equal(r.code, code);
	sl_buf_fini(&r.out);
	sl_buf_fini(&r.err);
}

#define RUN(input, ...) run(input, (const char *const[]){__VA_ARGS__, NULL})

static void test_cmd_sql__prints_the_rows(void **state) {
	(void)state;
	expect(RUN("", "SELECT payload.t AS t, topic FROM 'a/+' WHERE payload.t > 20", "--topic", "a/b", "--payload",
		   "{\"t\":21}"),
	       0, "{\"t\":21,\"topic\":\"a/b\"}\n", NULL);
}

static void test_cmd_sql__prints_nothing_without_a_match(void **state) {
	(void)state;
	expect(RUN("", "SELECT 1 AS x FROM 'a/+'", "--topic", "b"), 0, "", "does not match");
	expect(RUN("", "SELECT 1 AS x FROM 'a' WHERE qos = 2", "--qos", "1"), 0, "", "does not match");
}

static void test_cmd_sql__knows_what_the_message_has(void **state) {
	(void)state;
	expect(RUN("",
		   "SELECT clientid, username, qos, timestamp, publish_received_at AS at, peerhost, event, "
		   "flags.retain AS r, "
		   "metadata.matched AS m FROM 'a/#'",
		   "--topic", "a/b", "--clientid", "c7", "--username", "u7", "--qos", "2", "--timestamp",
		   "1700000000123"),
	       0,
	       "{\"clientid\":\"c7\",\"username\":\"u7\",\"qos\":2,\"timestamp\":1700000000123,\"at\":1700000000123,"
	       "\"peerhost\":\"127.0.0.1\",\"event\":\"message.publish\",\"r\":false,\"m\":\"a/#\"}\n",
	       NULL);
}

static void test_cmd_sql__shows_where_the_sql_is_wrong(void **state) {
	(void)state;
	expect(RUN("", "SELECT paylod.t FROM 'a'", "--topic", "a"), 1, "", "column 8");
	expect(RUN("", "SELECT x[0] FROM 'a'", "--dialect", "aws"), 1, "", "get(array, 0)");
	expect(RUN("", "SELECT * FROM 'a'", "--dialect", "standart"), 1, "", "did you mean standard");
}

static void test_cmd_sql__a_run_that_fails_is_the_input_s_fault(void **state) {
	(void)state;
	expect(RUN("", "SELECT payload.x + 1 AS x FROM 'a'", "--payload", "{", "--topic", "a"), 1, "", "JSON");
}

static void test_cmd_sql__explains(void **state) {
	(void)state;
	struct result r = RUN("", "--explain", "SELECT payload.t AS t FROM 'a'");
	assert_non_null(strstr(r.out.p, "payload.t"));
	expect(r, 0, NULL, NULL);
}

static void test_cmd_sql__wrong_use_is_told(void **state) {
	(void)state;
	expect(RUN("", "--topc", "a"), 2, "", "did you mean --topic");
	expect(RUN("", "SELECT 1 AS x FROM 'a'", "--qos"), 2, "", "--qos wants a value");
	expect(RUN("", "SELECT 1 AS x FROM 'a'", "--qos", "x"), 2, "", "whole number");
	expect(RUN("", "SELECT 1 AS x FROM 'a'", "--qos", "3"), 2, "", "0, 1 or 2");
	expect(RUN("", "SELECT 1 AS x FROM 'a/+'"), 2, "", "--topic");
	expect(RUN("", "SELECT", "1"), 2, "", "one argument");
}

static void test_cmd_sql__answers_cases_in_order(void **state) {
	(void)state;
	expect(
	    RUN("{\"id\":\"one\",\"sql\":\"SELECT payload.x AS x FROM "
		"'t'\",\"topic\":\"t\",\"payload\":\"{\\\"x\\\":1}\"}\n"
		"\n"
		"{\"id\":2,\"sql\":\"SELECT 1 AS x FROM 'u'\",\"topic\":\"t\"}\n"
		"{\"id\":\"three\",\"sql\":\"FOREACH payload.l AS e DO e AS e FROM 't'\",\"topic\":\"t\",\"payload\":"
		"\"{\\\"l\\\":[1,\\\"b\\\"]}\"}\n"
		"{\"id\":\"none\",\"sql\":\"FOREACH payload.l AS e DO e AS e FROM "
		"'t'\",\"topic\":\"t\",\"payload\":\"{}\"}\n",
		"--jsonl"),
	    0,
	    "{\"id\":\"one\",\"rows\":[{\"x\":1}]}\n"
	    "{\"id\":2,\"no_match\":true}\n"
	    "{\"id\":\"three\",\"rows\":[{\"e\":1},{\"e\":\"b\"}]}\n"
	    "{\"id\":\"none\",\"rows\":[]}\n",
	    NULL);
}

static void test_cmd_sql__says_the_stage_of_an_error(void **state) {
	(void)state;
	struct result r =
	    RUN("{\"id\":1,\"sql\":\"SELECT nope FROM 't'\",\"topic\":\"t\"}\n"
		"{\"id\":2,\"sql\":\"SELECT payload.a AS a FROM 't'\",\"topic\":\"t\",\"payload\":\"x\"}\n"
		"{\"id\":3,\"dialect\":\"aws\",\"sql\":\"SELECT * FROM 't' LIMIT 1\",\"topic\":\"t\"}\n",
		"--jsonl");
	assert_non_null(strstr(r.out.p, "{\"id\":1,\"error\":"));
	assert_non_null(strstr(r.out.p, "\"stage\":\"compile\",\"line\":1,\"column\":8}\n{\"id\":2,\"error\":"));
	assert_non_null(strstr(r.out.p, "\"stage\":\"run\""));
	assert_non_null(strstr(r.out.p, "{\"id\":3,\"error\":\"there is no LIMIT"));
	expect(r, 0, NULL, NULL);
}

#define AWS(id, sql, topic, rest)                                                                                      \
	"{\"id\":" id ",\"dialect\":\"aws\",\"sql\":\"" sql "\",\"topic\":\"" topic                                    \
	"\",\"payload\":\"{\\\"v\\\":5}\"" rest "}\n"

static void test_cmd_sql__knows_what_the_aws_dialect_asks_of_a_message(void **state) {
	(void)state;
	expect(
	    RUN(AWS("1", "SELECT v, topic() AS t FROM 'p/#'", "$aws/rules/R1/p/q", ",\"rule\":\"R1\"") AWS(
		    "2", "SELECT v FROM 'p/#'", "$aws/rules/R2/p/q",
		    ",\"rule\":\"R1\"") AWS("3", "SELECT v", "$aws/rules/any/p/q",
					    "") AWS("4", "SELECT v", "p/q",
						    "") AWS("5", "SELECT v FROM 'p/#'", "p",
							    "") AWS("6",
								    "SELECT sql_version() AS s, v / 2 AS h FROM 'p'",
								    "p",
								    ",\"sqlver\":\"beta\",\"int_division\":\"decimal\"")
		    AWS("7", "SELECT accountid() AS a, principal() AS p, traceid() AS t, sourceip() AS i FROM 'p'", "p",
			",\"accountid\":\"1\",\"principal\":\"c\",\"traceid\":\"u\",\"sourceip\":\"2001:db8::1\"")
			AWS("8", "SELECT clientid() AS c, traceid() AS t FROM 'p'", "p", ",\"protocol\":\"http\"") AWS(
			    "9",
			    "SELECT get_mqtt_property('correlation_data') AS c, get_user_properties('k') AS u FROM 'p'",
			    "p",
			    ",\"mqtt5\":{\"correlation_data\":\"x\"},\"user_properties\":[[\"k\",\"1\"],[\"k\",\"2\"]"
			    "]"),
		"--jsonl"),
	    0,
	    "{\"id\":1,\"rows\":[{\"v\":5,\"t\":\"p/q\"}]}\n"
	    "{\"id\":2,\"no_match\":true}\n"
	    "{\"id\":3,\"rows\":[{\"v\":5}]}\n"
	    "{\"id\":4,\"no_match\":true}\n"
	    "{\"id\":5,\"no_match\":true}\n"
	    "{\"id\":6,\"rows\":[{\"s\":\"beta\",\"h\":2.5}]}\n"
	    "{\"id\":7,\"rows\":[{\"a\":\"1\",\"p\":\"c\",\"t\":\"u\",\"i\":\"2001:db8::1\"}]}\n"
	    "{\"id\":8,\"rows\":[{\"c\":\"n/a\"}]}\n"
	    "{\"id\":9,\"rows\":[{\"c\":\"eA==\",\"u\":[\"1\",\"2\"]}]}\n",
	    NULL);
}

static void test_cmd_sql__a_line_that_is_no_case_is_answered_too(void **state) {
	(void)state;
	struct result r = RUN("[1]\n{\"id\":1,\n", "--jsonl");
	assert_non_null(strstr(r.out.p, "{\"id\":null,\"error\":\"the line is not a JSON object"));
	expect(r, 1, NULL, NULL);
}

static void test_cmd_sql__what_else_a_line_holds_is_not_looked_at(void **state) {
	(void)state;
	expect(RUN("{\"id\":\"a\\u0022b\",\"dialect\":\"aws\",\"sql\":\"SELECT x + 1 AS r FROM 't'\",\"topic\":\"t\","
		   "\"payload\":\"{\\\"x\\\":1234567890123456789012345678901234}\",\"timestamp\":1e300,"
		   "\"expect\":[{\"r\":1234567890123456789012345678901235,\"s\":1e999}]}\n",
		   "--jsonl"),
	       0, "{\"id\":\"a\\u0022b\",\"rows\":[{\"r\":1234567890123456789012345678901235}]}\n", NULL);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_cmd_sql__what_else_a_line_holds_is_not_looked_at),
	    cmocka_unit_test(test_cmd_sql__prints_the_rows),
	    cmocka_unit_test(test_cmd_sql__prints_nothing_without_a_match),
	    cmocka_unit_test(test_cmd_sql__knows_what_the_message_has),
	    cmocka_unit_test(test_cmd_sql__shows_where_the_sql_is_wrong),
	    cmocka_unit_test(test_cmd_sql__a_run_that_fails_is_the_input_s_fault),
	    cmocka_unit_test(test_cmd_sql__explains),
	    cmocka_unit_test(test_cmd_sql__wrong_use_is_told),
	    cmocka_unit_test(test_cmd_sql__answers_cases_in_order),
	    cmocka_unit_test(test_cmd_sql__says_the_stage_of_an_error),
	    cmocka_unit_test(test_cmd_sql__knows_what_the_aws_dialect_asks_of_a_message),
	    cmocka_unit_test(test_cmd_sql__a_line_that_is_no_case_is_answered_too),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
