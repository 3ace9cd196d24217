/* many_test.c: rules that share a topic and are looked up by their guards do what each of them does alone: random rules and
 * random payloads, published to an engine with all of the rules and to as many engines with one rule each. What is published,
 * in which order, and every counter must be the same.
 *
 *     SEED=7 build/dev/tests/rules_many_test       the sets from this seed on; a failure names its own */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"
#include "log.h"
#include "mem.h"
#include "rules_event.h"
#include "rules_int.h"

enum { SETS = 24, RULES = 40, EVENTS = 150, LOOK_ALIKES = 300, TRIES = 1000 };

/* Numbers of our own, so that a seed means the same everywhere. */
static uint64_t random_state;
static uint32_t below(uint32_t n) {
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(random_state >> 33) % n;
}
#define PICK(list) ((list)[below((uint32_t)SL_ARRAY_LEN(list))])

/* ---- rules ---- */

static const char *const standard_places[] = {"payload.a",     "payload.b",    "payload.s", "payload.o.x",
					      "payload.o.y.z", "payload.l[1]", "topic(2)",  "clientid",
					      "qos",           "username",     "payload.a", "payload.s"};
static const char *const aws_places[] = {"a", "b", "s", "o.x", "o.y.z", "a", "s", "topic(2)"};
static const char *const constants[] = {"1",     "2",
					"1.0",   "-0.0",
					"0",     "'1'",
					"'1.0'", "'+1'",
					"'abc'", "''",
					"true",  "'true'",
					"false", "9007199254740993",
					"2.5",   "'b'",
					"'2.5'", "'c1'",
					"-1",    "9223372036854775807",
					"1e3"};
static const char *const numbers[] = {"0", "1", "2", "-1", "1.5", "2.5", "100", "9007199254740992", "1e3", "-0.5"};
static const char *const comparisons[] = {"=", "=", "=", "<", "<=", ">", ">=", "!="};

static bool aws;

static void put_place(struct sl_buf *out) { sl_buf_append_str(out, aws ? PICK(aws_places) : PICK(standard_places)); }

/* Few enough that rules have the same ones, and some that differ in a constant. Many fail, for some payloads. */
static const char *const standard_expressions[] = {
    "payload.a * 1.8 + 32",
    "payload.a * 1.8 + 33",
    "payload.b - payload.a * 2",
    "upper(payload.s)",
    "regex_match(payload.s, '^a.c$')",
    "regex_match(payload.s, '^[0-9]')",
    "substr(upper(payload.s), 1)",
    "try(payload.a * 2 - 1, 'none')",
    "try(upper(payload.s), payload.a * 1.8 + 32)",
    "CASE WHEN payload.a > 1 THEN upper(payload.s) WHEN payload.b THEN 'b' ELSE payload.a * 1.8 + 32 END",
    "CASE payload.a WHEN 1 THEN 'one' WHEN payload.b * 2 + 1 THEN 'other' END",
    "split(payload.s, 'b')",
    "concat(payload.s, clientid)",
    "map_get('x', payload.o)",
    "coalesce(payload.q, upper(payload.s), 'x')",
    "[payload.a, upper(payload.s), payload.o]",
    "json_encode(payload.o)",
    "payload.o",
    "payload.s LIKE 'a%'",
    "topic(2) || upper(payload.s)",
    "payload.a / payload.b * 2",
    "nth(1, payload.l)",
    "payload.a IN (1, '1', 2, 2.5, 'abc', 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22)",
    "regex_match(payload.s, 'a') AND payload.a * 2 + 1 > 3 OR regex_match(payload.s, 'b')",
};
static const char *const aws_expressions[] = {
    "upper(s)",
    "a * 2 + 1",
    "a * 2 + 2",
    "regexp_matches(s, '^a')",
    "concat(s, 'x', s)",
    "CASE a WHEN 1 THEN upper(s) WHEN b THEN a * 2 + 1 ELSE b * 2 + 1 END",
    "get_or_default(a * 2 + 1, upper(s))",
    "{'k': upper(s), 'v': a * 2 + 1}",
    "cast(a AS String)",
    "length(upper(s))",
    "o.x * 3 - a",
    "[upper(s), a]",
    "regexp_matches(s, 'a') OR a * 2 + 1 > 3",
};

static void put_expression(struct sl_buf *out) {
	sl_buf_printf(out, "(%s)", aws ? PICK(aws_expressions) : PICK(standard_expressions));
}

static void put_in(struct sl_buf *out) {
	put_place(out);
	sl_buf_append_str(out, below(8) || aws ? " IN " : " NOT IN ");
	sl_buf_put(out, aws ? '[' : '(');
	for (uint32_t i = 0, n = 1 + below(4); i < n; i++) sl_buf_printf(out, "%s%s", i ? ", " : "", PICK(constants));
	sl_buf_put(out, aws ? ']' : ')');
}

static void put_comparison(struct sl_buf *out) {
	bool mirrored = below(4) == 0;
	const char *op = PICK(comparisons);
	const char *constant = strcmp(op, "=") == 0 ? PICK(constants) : PICK(numbers);
	if (aws && strcmp(op, "!=") == 0) op = "<>";
	if (mirrored) sl_buf_printf(out, "%s %s ", constant, op);
	put_place(out);
	if (!mirrored) sl_buf_printf(out, " %s %s", op, constant);
}

/* What only the standard dialect has. */
static void put_standard(struct sl_buf *out) {
	static const char *const patterns[] = {"abc", "a%", "_", "1", "%"};
	switch (below(6)) {
	case 0:
		put_place(out);
		sl_buf_printf(out, " BETWEEN %s AND %s", PICK(numbers), PICK(numbers));
		return;
	case 1:
		put_place(out);
		sl_buf_printf(out, " LIKE '%s'", PICK(patterns));
		return;
	case 2:
		sl_buf_append_str(out, "is_num(");
		put_place(out);
		sl_buf_put(out, ')');
		return;
	case 3:
		put_place(out);
		sl_buf_append_str(out, " IS NOT NULL");
		return;
	case 4: sl_buf_append_str(out, "payload.b"); return; /* not met, or met, or no condition at all */
	default: put_comparison(out); return;
	}
}

static void put_condition(struct sl_buf *out, uint32_t depth) {
	uint32_t kind = depth ? below(12) : 9 + below(3);
	if (kind > 9) {
		put_expression(out);
		if (below(3)) sl_buf_printf(out, " %s %s", below(2) ? ">" : "=", PICK(numbers));
	} else if (kind < 5) {
		sl_buf_put(out, '(');
		put_condition(out, depth - 1);
		sl_buf_append_str(out, kind < 3 ? " AND " : " OR ");
		put_condition(out, depth - 1);
		sl_buf_put(out, ')');
	} else if (kind == 5) {
		sl_buf_append_str(out, "NOT (");
		put_condition(out, depth - 1);
		sl_buf_put(out, ')');
	} else if (kind == 6) {
		sl_buf_append_str(out, "abs(");
		put_place(out);
		sl_buf_printf(out, ") > %s", PICK(numbers));
	} else if (kind == 7) {
		put_in(out);
	} else if (kind == 8 && !aws) {
		put_standard(out);
	} else {
		put_comparison(out);
	}
}

/* What stands after SELECT, or FOREACH. */
static void put_columns(struct sl_buf *out) {
	static const char *const columns[] = {"payload.a AS a, payload.s AS s", "payload.o AS o, clientid",
					      "payload.a AS a, payload.extra.deep AS e", "payload, topic, metadata",
					      "payload.l[1] AS l, payload.o.x + 1 AS x"};
	static const char *const aws_columns[] = {"a, s", "*", "o.x AS x, a", "a + 1 AS n"};
	uint32_t kind = below(10);
	if (kind < 3) {
		sl_buf_append_str(out, aws ? PICK(aws_columns) : PICK(columns));
		return;
	}
	for (uint32_t i = 0, n = 1 + below(3); i < n; i++) {
		sl_buf_append_str(out, i ? ", " : "");
		put_expression(out);
		sl_buf_printf(out, " AS n%u", i);
	}
	if (aws) return;
	if (kind < 6) sl_buf_append_str(out, ", n0 AS again, upper(n0) AS loud, payload.s AS s");
	if (kind < 5) sl_buf_append_str(out, ", topic AS part.topic, (payload.a * 1.8 + 32) AS part.f");
}

static void put_sql(struct sl_buf *out) {
	static const char *const froms[] = {"\"d/+\"", "\"d/#\"", "\"d/1\"", "\"#\"", "\"d/+\", \"d/#\""};
	static const char *const aws_froms[] = {"'d/+'", "'d/#'", "'d/1'", "'#'"};
	bool each = !aws && below(6) == 0;
	sl_buf_append_str(out, each ? "FOREACH payload.l AS item DO " : "SELECT ");
	if (each) sl_buf_append_str(out, "item AS item, upper(item) AS loud, ");
	put_columns(out);
	if (each && below(2)) {
		sl_buf_append_str(out, " INCASE ");
		put_condition(out, 0);
	} else if (below(8) == 0)
		sl_buf_printf(out, ", %s AS own", aws ? "b" : "payload.own");
	sl_buf_printf(out, " FROM %s", aws ? PICK(aws_froms) : PICK(froms));
	if (below(12)) {
		sl_buf_append_str(out, " WHERE ");
		put_condition(out, below(4));
	}
}

/* Now and then the SQL is that of the rule before, in *last. */
static void put_rule(struct sl_buf *out, uint32_t number, struct sl_buf *last) {
	static const char *const payloads[] = {"${.}", "${.}", "${payload.q} ${.} ${topic}", "${n0}", "${clientid}"};
	if (last->n == 0 || below(4)) {
		sl_buf_clear(last);
		put_sql(last);
	}
	sl_buf_printf(out, "  r%u:\n    sql: >-\n      %s\n    dialect: %s\n", number, sl_buf_cstr(last),
		      aws ? "aws" : "standard");
	sl_buf_printf(out, "    actions: [{republish: {topic: \"$out/%u\"", number);
	if (!aws) sl_buf_printf(out, ", payload: \"%s\"", PICK(payloads));
	sl_buf_append_str(out, "}}]\n");
}

/* ---- payloads ---- */

static const char *const values[] = {"0",
				     "1",
				     "2",
				     "1.0",
				     "10e-1",
				     "-0",
				     "0.0",
				     "2.50",
				     "1.5",
				     "-1",
				     "100",
				     "1e3",
				     "1e400",
				     "9007199254740992",
				     "9007199254740993",
				     "9223372036854775807",
				     "9223372036854775808",
				     "\"1\"",
				     "\"1.0\"",
				     "\"+1\"",
				     "\"2.5\"",
				     "\"1e0\"",
				     "\"abc\"",
				     "\"\\u0061bc\"",
				     "\"b\"",
				     "\"\"",
				     "\"true\"",
				     "true",
				     "false",
				     "null",
				     "{}",
				     "[]",
				     "[1]",
				     "[\"abc\",2]",
				     "{\"x\":1}",
				     "{\"x\":\"1\",\"y\":{\"z\":2.5}}",
				     "\"{\\\"x\\\":1,\\\"y\\\":{\\\"z\\\":true}}\"",
				     "\"[1,2]\""};

static void put_payload(struct sl_buf *out) {
	static const char *const names[] = {"a", "b", "s", "o", "l", "a", "s", "\\u0061"};
	if (below(20) == 0) {
		sl_buf_append_str(out, below(2) ? "{\"a\":1,\"s\":\"abc\",}" : "no JSON");
		return;
	}
	if (below(30) == 0) {
		sl_buf_append_str(out, PICK(values));
		return;
	}
	sl_buf_put(out, '{');
	for (uint32_t i = 0, n = below(7); i < n; i++)
		sl_buf_printf(out, "%s\"%s\":%s", i ? "," : "", PICK(names), PICK(values));
	sl_buf_put(out, '}');
}

/* ---- all together, and each alone ---- */

struct pair {
	struct fixture all, alone[RULES];
	struct sl_buf texts[RULES];
	char seed[32];
};

static void pair_init(struct pair *p, uint64_t seed) {
	struct sl_buf all = SL_BUF_INIT, last = SL_BUF_INIT;
	random_state = seed;
	(void)snprintf(p->seed, sizeof p->seed, "%llu", (unsigned long long)seed);
	for (uint32_t i = 0; i < RULES; i++) {
		struct sl_buf *one = &p->texts[i];
		char *errors = NULL;
		int tries = 0;
		do { /* some constants are refused where they stand */
			if (tries++ == TRIES) fail_msg("%s%s", sl_buf_cstr(one), errors);
			sl_free(errors);
			sl_buf_clear(one);
			put_rule(one, i, &last);
			errors = fixture_errors(sl_buf_cstr(one));
		} while (errors);
		fixture_init(&p->alone[i], sl_buf_cstr(one));
		sl_buf_append_slice(&all, sl_buf_slice(one));
	}
	fixture_init(&p->all, sl_buf_cstr(&all));
	sl_buf_fini(&all);
	sl_buf_fini(&last);
}

static void pair_fini(struct pair *p) {
	fixture_fini(&p->all);
	for (uint32_t i = 0; i < RULES; i++) {
		fixture_fini(&p->alone[i]);
		sl_buf_fini(&p->texts[i]);
	}
}

static void forget_messages(struct fixture *f) {
	for (size_t i = 0; i < FIXTURE_MESSAGES_MAX && i < f->published; i++) {
		sl_free(f->messages[i].topic);
		sl_free(f->messages[i].payload);
		sl_free(f->messages[i].block);
		f->messages[i] = (struct fixture_message){.topic = NULL};
	}
	f->published = 0;
}

static void pair_publish(struct pair *p, const char *topic, const char *payload) {
	size_t at = 0;
	fixture_publish(&p->all, topic, payload);
	assert_true(p->all.published <= FIXTURE_MESSAGES_MAX);
	for (uint32_t i = 0; i < RULES; i++) {
		struct fixture *alone = &p->alone[i];
		fixture_publish(alone, topic, payload);
		for (size_t k = 0; k < alone->published; k++, at++) {
			struct fixture_message *one = &alone->messages[k], *of_all = &p->all.messages[at];
			if (at < p->all.published && strcmp(one->topic, of_all->topic) == 0 &&
			    strcmp(one->payload, of_all->payload) == 0)
				continue;
			fail_msg("seed %s: %s on %s: alone r%u publishes %s %s, among others %s", p->seed, payload,
				 topic, i, one->topic, one->payload, at < p->all.published ? of_all->topic : "nothing");
		}
		forget_messages(alone);
	}
	if (at != p->all.published)
		fail_msg("seed %s: %s on %s: %s is published among others, by nobody alone", p->seed, payload, topic,
			 p->all.messages[at].topic);
	forget_messages(&p->all);
}

static void pair_compare_counters(struct pair *p) {
	static const char *const counters[] = {"matched", "filtered", "produced", "failed", "rows"};
	json_t *all = fixture_status(&p->all);
	for (uint32_t i = 0; i < RULES; i++) {
		char id[16];
		int64_t n[SL_ARRAY_LEN(counters)];
		json_t *one = fixture_status(&p->alone[i]);
		(void)snprintf(id, sizeof id, "r%u", i);
		for (size_t k = 0; k < SL_ARRAY_LEN(counters); k++) {
			n[k] = fixture_status_count(all, id, -1, counters[k]);
			int64_t alone = fixture_status_count(one, id, -1, counters[k]);
			if (n[k] != alone)
				fail_msg("seed %s: %s of %s: %lld among others, %lld alone:\n%s", p->seed, counters[k],
					 id, (long long)n[k], (long long)alone, sl_buf_cstr(&p->texts[i]));
		}
		assert_int_equal(n[0], n[1] + n[2] + n[3]);
		if (n[3]) assert_string_equal(fixture_status_failure(all, id), fixture_status_failure(one, id));
		json_decref(one);
	}
	json_decref(all);
}

static void compare_sets(bool dialect_aws, uint64_t seed) {
	static const char *const topics[] = {"d/1", "d/2", "d/abc", "d", "e", "d/1/x"};
	aws = dialect_aws;
	uint64_t taken = 0;
	struct pair *p = SL_NEW(struct pair);
	for (uint64_t s = 0; s < SETS; s++) {
		struct sl_buf payload = SL_BUF_INIT;
		pair_init(p, seed + s);
		for (int e = 0; e < EVENTS; e++) {
			sl_buf_clear(&payload);
			put_payload(&payload);
			pair_publish(p, PICK(topics), sl_buf_cstr(&payload));
			if (e == EVENTS / 2) pair_compare_counters(p); /* counting goes on from there */
		}
		pair_compare_counters(p);
		taken += p->all.worker->share.taken;
		pair_fini(p);
		sl_buf_fini(&payload);
	}
	assert_true(taken > SETS * EVENTS);
	sl_free(p);
}

static uint64_t first_seed(void) {
	const char *seed = getenv("SEED");
	return seed ? strtoull(seed, NULL, 10) : 1;
}

static void test_many_rules__do_what_each_does_alone(void **state) {
	(void)state;
	compare_sets(false, first_seed());
}

static void test_many_rules__of_the_aws_dialect_do_what_each_does_alone(void **state) {
	(void)state;
	compare_sets(true, first_seed());
}

/* Rules of one shape, on a few topics: every message finds its own. */
static void test_many_rules__that_differ_in_a_constant_are_found_one_by_one(void **state) {
	(void)state;
	struct sl_buf yaml = SL_BUF_INIT;
	struct fixture f;
	for (int i = 0; i < LOOK_ALIKES; i++)
		sl_buf_printf(&yaml,
			      "  r%d:\n    sql: SELECT payload.v + 1 AS v FROM \"t/#\" WHERE payload.id = 'd%d'\n"
			      "    actions: [{republish: {topic: \"out/%d\", payload: \"${v}\"}}]\n",
			      i, i, i);
	fixture_init(&f, sl_buf_cstr(&yaml));
	for (int i = 0; i < LOOK_ALIKES; i++) {
		char payload[64], topic[32], id[16];
		(void)snprintf(payload, sizeof payload, "{\"id\":\"d%d\",\"v\":%s}", i, i % 7 ? "41" : "{}");
		(void)snprintf(topic, sizeof topic, "out/%d", i);
		(void)snprintf(id, sizeof id, "r%d", i);
		fixture_publish(&f, "t/x", payload);
		assert_int_equal(f.published, i % 7 ? 1 : 0);
		if (i % 7) {
			assert_string_equal(f.messages[0].topic, topic);
			assert_string_equal(f.messages[0].payload, "42");
		} else { /* fails, and says where in its own text */
			assert_int_equal(fixture_count(&f, id, -1, "failed"), 1);
			assert_non_null(strstr(fixture_failure(&f, id), "line 1, column "));
		}
		forget_messages(&f);
	}
	assert_int_equal(fixture_count(&f, "r1", -1, "matched"), LOOK_ALIKES);
	assert_int_equal(fixture_count(&f, "r1", -1, "filtered"), LOOK_ALIKES - 1);
	fixture_publish(&f, "t/x", "{\"id\":\"d1\",");
	assert_int_equal(fixture_count(&f, "r1", -1, "failed"), 1);
	assert_int_equal(fixture_count(&f, "r299", -1, "failed"), 1);
	fixture_fini(&f);
	sl_buf_fini(&yaml);
}

/* 9007199254740993 stands in the middle between two doubles. In 34 digits the message has just that, to the last one it has
 * more. */
static void test_many_rules__of_the_aws_dialect_reckon_with_34_digits(void **state) {
	static const char *const conditions[] = {"v = 9007199254740993", "v <= 9007199254740993",
						 "v IN [9007199254740993]"};
	(void)state;
	for (size_t k = 0; k < SL_ARRAY_LEN(conditions) * 2; k++) {
		struct sl_buf yaml = SL_BUF_INIT;
		struct fixture f;
		for (size_t i = 0; i < (k % 2 ? 6 : 1); i++) /* looked up, and run */
			sl_buf_printf(&yaml, "  r%zu:\n    dialect: aws\n    sql: SELECT v FROM 't' WHERE %s\n", i,
				      conditions[k / 2]);
		fixture_init(&f, sl_buf_cstr(&yaml));
		fixture_publish(&f, "t", "{\"v\":9007199254740993.00000000000000000000001}");
		assert_int_equal(fixture_count(&f, "r0", -1, "produced"), 1);
		fixture_fini(&f);
		sl_buf_fini(&yaml);
	}
}

/* The topic of an event is not the one it comes by: it may have fewer levels, and then a rule fails, not filters. */
static void test_many_rules__on_events_fail_as_each_alone(void **state) {
	(void)state;
	for (int n = 1; n < 8; n += 6) {
		struct sl_buf yaml = SL_BUF_INIT;
		struct fixture f;
		for (int i = 0; i < n; i++)
			sl_buf_printf(&yaml,
				      "  r%d:\n    sql: SELECT topic FROM \"$events/message_dropped\" "
				      "WHERE topic(2) = 'x' AND payload.a = %d\n",
				      i, i);
		fixture_init(&f, sl_buf_cstr(&yaml));
		struct rules_event ev = fixture_event("one", "{\"a\":9}");
		struct rules_about about = {.clientid = SL_SLICE_LIT("c")};
		ev.kind = EVENT_MESSAGE_DROPPED;
		ev.about = &about;
		rules_event(f.worker, &ev);
		assert_int_equal(fixture_count(&f, "r0", -1, "failed"), 1);
		fixture_fini(&f);
		sl_buf_fini(&yaml);
	}
}

/* What skipped rules have counted outlives the plan and the set. */
static void test_many_rules__counters_go_on_over_a_reload(void **state) {
	(void)state;
	struct sl_buf yaml = SL_BUF_INIT;
	struct fixture f;
	for (int i = 0; i < 10; i++)
		sl_buf_printf(&yaml, "  r%d:\n    sql: SELECT topic FROM \"t\" WHERE payload.id = %d\n", i, i);
	fixture_init(&f, sl_buf_cstr(&yaml));
	fixture_publish(&f, "t", "{\"id\":3}");
	fixture_publish(&f, "t", "{\"id\":3.0}");
	fixture_reload(&f, sl_buf_cstr(&yaml));
	fixture_publish(&f, "t", "{\"id\":\"4\"}");
	for (int i = 0; i < 10; i++) {
		char id[16];
		(void)snprintf(id, sizeof id, "r%d", i);
		int produced = i == 3 ? 2 : i == 4 ? 1 : 0;
		assert_int_equal(fixture_count(&f, id, -1, "matched"), 3);
		assert_int_equal(fixture_count(&f, id, -1, "produced"), produced);
		assert_int_equal(fixture_count(&f, id, -1, "filtered"), 3 - produced);
	}
	fixture_fini(&f);
	sl_buf_fini(&yaml);
}

/* Each topic has a rule of its own beside those that all have: a plan each, and of the memory for them no more than is allowed. */
static void test_many_rules__plans_of_many_topics_are_bounded(void **state) {
	enum { N = 300, ALIVE_MAX = 20 * N, ROUNDS = 3 };
	(void)state;
	struct sl_buf yaml = SL_BUF_INIT;
	struct fixture f;
	for (int i = 0; i < N; i++) {
		sl_buf_printf(&yaml, "  all%d:\n    sql: SELECT topic FROM \"d/+\" WHERE payload.id = %d\n", i, i);
		sl_buf_printf(&yaml, "  one%d:\n    sql: SELECT topic FROM \"d/%d\" WHERE payload.id = 7\n", i, i);
	}
	fixture_init(&f, sl_buf_cstr(&yaml));
	f.worker->plans.alive_max = ALIVE_MAX;
	for (int i = 0; i < N * ROUNDS; i++) {
		char topic[16];
		(void)snprintf(topic, sizeof topic, "d/%d", i % N);
		fixture_publish(&f, topic, "{\"id\":7}");
		assert_true(f.worker->plans.alive <= ALIVE_MAX + N + 1);
	}
	json_t *status = fixture_status(&f);
	for (int i = 0; i < N; i++) {
		char id[16];
		(void)snprintf(id, sizeof id, "all%d", i);
		assert_int_equal(fixture_status_count(status, id, -1, "matched"), N * ROUNDS);
		assert_int_equal(fixture_status_count(status, id, -1, "produced"), i == 7 ? N * ROUNDS : 0);
		(void)snprintf(id, sizeof id, "one%d", i);
		assert_int_equal(fixture_status_count(status, id, -1, "matched"), ROUNDS);
		assert_int_equal(fixture_status_count(status, id, -1, "produced"), ROUNDS);
	}
	json_decref(status);
	fixture_fini(&f);
	sl_buf_fini(&yaml);
}

/* Rules of one text that remember: each has a memory of its own. Metadata and what varies are each one's own too. */
static void test_many_rules__of_one_text_keep_what_is_their_own(void **state) {
	(void)state;
	struct sl_buf yaml = SL_BUF_INIT;
	struct fixture f;
	for (int i = 0; i < 3; i++)
		sl_buf_printf(
		    &yaml,
		    "  lag%d:\n    sql: SELECT lag(payload.v * 2 + 1) AS was, payload.v * 2 + 1 AS v FROM \"t\"\n"
		    "    actions: [{republish: {topic: out/lag, payload: \"${was} ${v}\"}}]\n",
		    i);
	for (int i = 0; i < 3; i++)
		sl_buf_printf(&yaml,
			      "  own%d:\n    sql: SELECT metadata.rule_id AS id FROM \"t\"\n"
			      "    actions: [{republish: {topic: out/own, payload: \"${id}\"}}]\n",
			      i);
	for (int i = 0; i < 2; i++)
		sl_buf_printf(&yaml,
			      "  any%d:\n    sql: SELECT uuid_v4() AS id FROM \"t\"\n"
			      "    actions: [{republish: {topic: out/any, payload: \"${id}\"}}]\n",
			      i);
	fixture_init(&f, sl_buf_cstr(&yaml));
	fixture_publish(&f, "t", "{\"v\":1}");
	forget_messages(&f);
	fixture_publish(&f, "t", "{\"v\":2}");
	assert_int_equal(f.published, 8);
	for (int i = 0; i < 3; i++) {
		char id[16];
		(void)snprintf(id, sizeof id, "own%d", i);
		assert_string_equal(f.messages[i].payload, "3 5");
		assert_string_equal(f.messages[3 + i].payload, id);
	}
	assert_string_not_equal(f.messages[6].payload, f.messages[7].payload);
	assert_int_equal(f.worker->share.taken, 0);
	forget_messages(&f);
	fixture_fini(&f);
	sl_buf_fini(&yaml);
}

/* Their lists behind IN are long enough for a table; it belongs to each rule's own list. */
static void test_many_rules__that_differ_in_a_long_list_look_into_their_own(void **state) {
	enum { N = 6, LONG = 12 };
	(void)state;
	for (int guarded = 0; guarded < 2; guarded++) {
		struct sl_buf yaml = SL_BUF_INIT;
		struct fixture f;
		for (int i = 0; i < N; i++) {
			sl_buf_printf(&yaml, "  r%d:\n    sql: SELECT topic FROM \"t\" WHERE payload.a %sIN (", i,
				      guarded ? "" : "NOT ");
			for (int k = 0; k < LONG; k++) sl_buf_printf(&yaml, "%s%d", k ? ", " : "", 100 + i * LONG + k);
			sl_buf_append_str(&yaml, ")\n");
		}
		fixture_init(&f, sl_buf_cstr(&yaml));
		for (int n = 100; n < 100 + N * LONG; n++) {
			char payload[32];
			(void)snprintf(payload, sizeof payload, "{\"a\":%d}", n);
			fixture_publish(&f, "t", payload);
		}
		for (int i = 0; i < N; i++) {
			char id[16];
			(void)snprintf(id, sizeof id, "r%d", i);
			assert_int_equal(fixture_count(&f, id, -1, "produced"), guarded ? LONG : (N - 1) * LONG);
		}
		fixture_fini(&f);
		sl_buf_fini(&yaml);
	}
}

/* Rules of one text with actions of their own: whose template needs room finds it, though the rule before had none. */
static void test_many_rules__of_one_text_have_room_for_each_ones_templates(void **state) {
	(void)state;
	for (int columns = 56; columns < 72; columns++) { /* some fill what the engine has room for to the last place */
		struct sl_buf yaml = SL_BUF_INIT;
		struct fixture f;
		for (int i = 0; i < 2; i++) {
			sl_buf_printf(&yaml, "  r%d:\n    sql: SELECT topic", i);
			for (int k = 0; k < columns; k++) sl_buf_printf(&yaml, ", payload.a + %d AS n%d", k, k);
			sl_buf_append_str(&yaml, " FROM \"t\"\n");
			if (i)
				sl_buf_append_str(
				    &yaml, "    actions: [{republish: {topic: out, payload: \"${payload.b}\"}}]\n");
		}
		fixture_init(&f, sl_buf_cstr(&yaml));
		fixture_publish(&f, "t", "{\"a\":1,\"b\":\"x\"}");
		assert_int_equal(f.published, 1);
		assert_string_equal(f.messages[0].payload, "x");
		forget_messages(&f);
		fixture_fini(&f);
		sl_buf_fini(&yaml);
	}
}

int main(void) {
	log_set_level(LOG_ERROR);
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_many_rules__do_what_each_does_alone),
	    cmocka_unit_test(test_many_rules__of_the_aws_dialect_do_what_each_does_alone),
	    cmocka_unit_test(test_many_rules__that_differ_in_a_constant_are_found_one_by_one),
	    cmocka_unit_test(test_many_rules__that_differ_in_a_long_list_look_into_their_own),
	    cmocka_unit_test(test_many_rules__of_the_aws_dialect_reckon_with_34_digits),
	    cmocka_unit_test(test_many_rules__on_events_fail_as_each_alone),
	    cmocka_unit_test(test_many_rules__counters_go_on_over_a_reload),
	    cmocka_unit_test(test_many_rules__of_one_text_keep_what_is_their_own),
	    cmocka_unit_test(test_many_rules__of_one_text_have_room_for_each_ones_templates),
	    cmocka_unit_test(test_many_rules__plans_of_many_topics_are_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
