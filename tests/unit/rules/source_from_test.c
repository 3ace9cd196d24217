/* source_from_test.c: FROM over sources, and the columns of their messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "event_kind.h"
#include "mem.h"
#include "rule_try.h"
#include "source_from.h"
#include "topic.h"
#include "utf8.h"

#define SOURCE_ID "A864B900339C2C474A15A095A10644F5"

static struct rules_event event_of(const struct rules_about *about, struct sl_arena *arena) {
	return (struct rules_event){
	    .kind = EVENT_SOURCE_MESSAGE,
	    .about = about,
	    .topic = source_topic("kafka", "orders", arena),
	    .payload = about->item->value.p ? about->item->value : SL_SLICE_LIT("null"),
	    .at_ms = 1700000000000,
	    .qos = 1,
	    .version = 5,
	    .message_expiry_s = -1,
	    .payload_format = -1,
	};
}

static const struct sl_source_header headers[] = {{{"a", 1}, {"1", 1}}, {{"b", 1}, {.p = NULL}}, {{"a", 1}, {"2", 1}}};
static const struct sl_source_item order = {
    .key = {"k1", 2},
    .value = {"{\"t\":5,\"u\":\"x\"}", 15},
    .headers = headers,
    .header_count = 3,
    .partition = 2,
    .offset = 41,
    .ts_ms = 1690000000000,
    .ts_type = "create",
    .topic = {"plant.orders", 12},
    .id = {"plant.orders-2-41", 17},
};

/* NULL: no row. */
static void expect(enum sql_dialect dialect, const char *sql, const struct sl_source_item *item, const char *row) {
	struct sl_arena arena;
	struct rule *r;
	struct sl_err err = SL_ERR_INIT;
	struct sl_buf rows = SL_BUF_INIT;
	struct rules_about about = {
	    .item = item, .source = SL_SLICE_LIT("orders"), .connector_kind = SL_SLICE_LIT("kafka")};
	struct rule_language language = {.dialect = dialect};
	sl_arena_init(&arena, 256);
	if (rule_new(SL_SLICE_LIT("r"), slice_from_str(sql), &language, &r, &err) != SL_OK)
		fail_msg("%s: %s", sql, sl_err_text(&err));
	struct rules_event ev = event_of(&about, &arena);
	enum rule_try_outcome outcome = rule_try(r, &ev, "n1", &rows, &err);
	if (outcome == RULE_TRY_FAILED) fail_msg("%s: %s", sql, sl_err_text(&err));
	assert_int_equal(outcome == RULE_TRY_ROWS, row != NULL);
	if (row) assert_string_equal(sl_buf_cstr(&rows), row);
	sl_buf_fini(&rows);
	sl_arena_fini(&arena);
}

static void test_source_from__names_and_patterns_reach_it(void **state) {
	(void)state;
	static const struct {
		const char *from;
		bool covers;
	} cases[] = {{"$sources/kafka:orders", true},
		     {"$sources/kafka_consumer:orders", true},
		     {"$sources/kafka:+", true},
		     {"$sources/+:orders", true},
		     {"$sources/#", true},
		     {"$sources/+", true},
		     {"$sources/kafka:other", false},
		     {"$sources/null:orders", false},
		     {"$sources/+:other", false},
		     {"#", false},
		     {"$events/#", false}};
	for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
		struct sl_buf sql = SL_BUF_INIT;
		sl_buf_printf(&sql, "SELECT 1 AS x FROM \"%s\"", cases[i].from);
		expect(SQL_STANDARD, sl_buf_cstr(&sql), &order, cases[i].covers ? "{\"x\":1}\n" : NULL);
		sl_buf_fini(&sql);
	}
}

static void test_source_from__what_is_wrong_with_a_name(void **state) {
	(void)state;
	static const struct {
		const char *from, *says;
	} cases[] = {{"$sources/kafak:orders", "the types are: "}, {"$sources/orders", "a type and a name"},
		     {"$sources/kafka:", "behind the colon"},      {"$sources/kafka:a/b", "behind the colon"},
		     {"$sources/kafka:a+", "behind the colon"},    {"$sources/", "a type and a name"}};
	for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
		struct sl_err err = SL_ERR_INIT;
		assert_int_not_equal(source_from_check(slice_from_str(cases[i].from), &err), SL_OK);
		assert_non_null(strstr(sl_err_text(&err), cases[i].says));
		assert_int_equal(event_kinds(slice_from_str(cases[i].from)), 0);
		sl_err_fini(&err);
	}
}

/* Whoever could publish to it would be a source. */
static void test_source_from__its_topic_is_nobodys(void **state) {
	(void)state;
	struct sl_arena arena;
	sl_arena_init(&arena, 64);
	struct sl_slice topic = source_topic("kafka", "orders", &arena);
	assert_false(utf8_valid_mqtt(topic));
	assert_true(topic_matches(source_from_filter(SL_SLICE_LIT("$sources/+"), &arena), topic));
	sl_arena_fini(&arena);
}

static void test_source__columns(void **state) {
	(void)state;
	expect(
	    SQL_STANDARD,
	    "SELECT source AS s, kind AS kd, key AS k, value AS v, payload AS p, topic AS t, partition AS pt, offset "
	    "AS o, ts, "
	    "ts_type AS tt, timestamp AS at, node AS n, event AS e FROM \"$sources/kafka:orders\"",
	    &order,
	    "{\"s\":\"orders\",\"kd\":\"kafka\",\"k\":\"k1\",\"v\":\"{\\\"t\\\":5,\\\"u\\\":\\\"x\\\"}\","
	    "\"p\":\"{\\\"t\\\":5,\\\"u\\\":\\\"x\\\"}\",\"t\":\"plant.orders\",\"pt\":2,\"o\":41,\"ts\":1690000000000,"
	    "\"tt\":\"create\",\"at\":1700000000000,\"n\":\"n1\",\"e\":\"source.message\"}\n");
	expect(SQL_STANDARD, "SELECT headers AS h, headers_list AS l, headers.a AS a FROM \"$sources/#\"", &order,
	       "{\"h\":{\"a\":\"2\",\"b\":null},\"l\":[{\"key\":\"a\",\"value\":\"1\"},{\"key\":\"b\",\"value\":null},"
	       "{\"key\":\"a\",\"value\":\"2\"}],\"a\":\"2\"}\n");
	expect(SQL_STANDARD, "SELECT value.t AS a, payload.u AS b FROM \"$sources/#\" WHERE value.t > 4", &order,
	       "{\"a\":5,\"b\":\"x\"}\n");
	expect(SQL_STANDARD, "SELECT 1 AS x FROM \"$sources/#\" WHERE value.t > 5", &order, NULL);
}

static void test_source__of_a_message_that_has_little(void **state) {
	(void)state;
	struct sl_source_item bare = {.partition = -1, .offset = -1, .ts_ms = -1, .topic = SL_SLICE_LIT("t")};
	expect(SQL_STANDARD,
	       "SELECT key AS k, value AS v, value.x AS x, partition AS p, offset AS o, ts AS ts, ts_type AS tt, "
	       "headers AS h, "
	       "headers_list AS l, strlen(id) AS n FROM \"$sources/#\"",
	       &bare,
	       "{\"k\":null,\"v\":null,\"x\":null,\"p\":null,\"o\":null,\"ts\":null,\"tt\":null,\"h\":{},\"l\":[],"
	       "\"n\":32}\n");
	bare.value = SL_SLICE_LIT("");
	bare.key = SL_SLICE_LIT("");
	expect(SQL_STANDARD, "SELECT key AS k, value AS v FROM \"$sources/#\"", &bare, "{\"k\":\"\",\"v\":\"\"}\n");
}

static void test_source__its_id_is_the_same_again(void **state) {
	(void)state;
	expect(SQL_STANDARD, "SELECT id AS i, msgid() AS m FROM \"$sources/#\"", &order,
	       "{\"i\":\"" SOURCE_ID "\",\"m\":\"" SOURCE_ID "\"}\n");
}

static void test_source__beside_topics(void **state) {
	(void)state;
	expect(SQL_STANDARD, "SELECT clientid AS c, key AS k, payload.t AS t FROM \"a/#\", \"$sources/kafka:orders\"",
	       &order, "{\"c\":null,\"k\":\"k1\",\"t\":5}\n");
}

static void test_source__in_the_aws_dialect(void **state) {
	(void)state;
	expect(SQL_AWS, "SELECT *, topic() AS tp, timestamp() AS at FROM '$sources/kafka:orders' WHERE t > 4", &order,
	       "{\"t\":5,\"u\":\"x\",\"tp\":\"plant.orders\",\"at\":1700000000000}\n");
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_source_from__names_and_patterns_reach_it),
	    cmocka_unit_test(test_source_from__what_is_wrong_with_a_name),
	    cmocka_unit_test(test_source_from__its_topic_is_nobodys),
	    cmocka_unit_test(test_source__columns),
	    cmocka_unit_test(test_source__of_a_message_that_has_little),
	    cmocka_unit_test(test_source__its_id_is_the_same_again),
	    cmocka_unit_test(test_source__beside_topics),
	    cmocka_unit_test(test_source__in_the_aws_dialect),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
