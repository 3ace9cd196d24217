/* The parts of the redis kind that need no server: URLs, commands, slots, errors, and the tables of the README. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "redis_conf.h"
#include "redis_errors.h"
#include "redis_plan.h"
#include "redis_quorum.h"
#include "redis_resp.h"
#include "redis_slots.h"
#include "schema.h"

/* ---- URLs. ---- */

static void url_is(const char *text, const char *user, const char *password, const char *host, int port, int database,
		   bool tls) {
	struct redis_url u;
	struct sl_err err = SL_ERR_INIT;
	if (redis_url_parse(text, &u, &err) != SL_OK) fail_msg("%s: %s", text, sl_err_text(&err));
	assert_string_equal(u.username ? u.username : "-", user);
	assert_string_equal(u.password ? u.password : "-", password);
	assert_string_equal(u.host, host);
	assert_int_equal(u.port, port);
	assert_int_equal(u.database, database);
	assert_int_equal(u.tls, tls);
	redis_url_fini(&u);
}

static void test_url__parts(void **state) {
	(void)state;
	url_is("redis://h", "-", "-", "h", 6379, 0, false);
	url_is("redis://h:1/", "-", "-", "h", 1, 0, false);
	url_is("rediss://u:p@h:1/15", "u", "p", "h", 1, 15, true);
	url_is("redis://:p@[::1]:7/2", "-", "p", "::1", 7, 2, false);
	url_is("redis://[fe80::1%25eth0]:7", "-", "-", "fe80::1%eth0", 7, 0, false);
	url_is("redis://[fe80::1%eth0]", "-", "-", "fe80::1%eth0", 6379, 0, false);
	url_is("redis://us%40er:p%3A%2f%25@h", "us@er", "p:/%", "h", 6379, 0, false);
	url_is("redis://u:a@b@h", "u", "a@b", "h", 6379, 0, false);
	url_is("redis://u:@h", "u", "", "h", 6379, 0, false);
}

static void test_url__mistakes_do_not_show_the_password(void **state) {
	static const char *const bad[] = {"",
					  "h:1",
					  "http://h",
					  "redis://",
					  "redis://geheim@h",
					  "redis://u:geheim%@h",
					  "redis://u:geheim%2@h",
					  "redis://u:geheim%00@h",
					  "redis://u:geheim@",
					  "redis://u:geheim@h:0",
					  "redis://u:geheim@h:99999",
					  "redis://u:geheim@h/x",
					  "redis://u:geheim@h/-1",
					  "redis://u:geheim@h?db=1",
					  "redis://u:geheim@h/1#x"};
	(void)state;
	for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++) {
		struct redis_url u;
		struct sl_err err = SL_ERR_INIT;
		if (redis_url_parse(bad[i], &u, &err) == SL_OK) fail_msg("%s is taken", bad[i]);
		assert_null(strstr(sl_err_text(&err), "geheim"));
		assert_null(u.password);
		sl_err_fini(&err);
	}
}

static void test_url__signs_in_the_password(void **state) {
	static const char *const bad[] = {"redis://u:ge/heim@h:1/0", "redis://:ge@h/eim@h", "redis://u:1/2#3@h/0"};
	(void)state;
	for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++) {
		struct redis_url u;
		struct sl_err err = SL_ERR_INIT;
		if (redis_url_parse(bad[i], &u, &err) == SL_OK) fail_msg("%s is taken", bad[i]);
		assert_non_null(strstr(sl_err_text(&err),
				       "where the password holds a slash, give it by `password` as it is, "
				       "or percent-encode it here: a slash is %2F, an @ is %40, a "
				       "percent sign is %25"));
		assert_null(strstr(sl_err_text(&err), "heim"));
		sl_err_fini(&err);
	}
}

/* ---- Commands. ---- */

static void plan_load(const char *json, struct redis_action_conf *conf, struct redis_plan *plan) {
	struct conf_report report = CONF_REPORT_INIT;
	struct sl_err err = SL_ERR_INIT;
	json_t *tree = json_loads(json, 0, NULL);
	assert_non_null(tree);
	*conf = (struct redis_action_conf){0};
	*plan = (struct redis_plan){0};
	if (conf_apply(redis_action_fields, tree, (struct conf_at){NULL, ""}, conf, &report) != SL_OK)
		fail_msg("%s", conf_report_format(&report));
	if (redis_plan_make(conf, plan, &err) != SL_OK) fail_msg("%s: %s", json, sl_err_text(&err));
	json_decref(tree);
}

/* The row whose values stand in the JSON array, in the order of the plan's parameters. */
static void row_make(struct sl_buf *row, const struct sql_value *values, size_t n) {
	sl_buf_clear(row);
	sql_row_write(row, values, (uint16_t)n, 0, 0, 0);
}

static struct sql_value json_value(const char *text) {
	struct sql_value v = sql_string(slice_from_str(text));
	v.kind = SQL_JSON;
	v.is_array = text[0] == '[';
	return v;
}

/* What goes out is what hiredis makes of all arguments. */
static void encodes_as_args(const struct redis_plan *plan, const void *row) {
	struct sl_buf out = SL_BUF_INIT, whole = SL_BUF_INIT, why = SL_BUF_INIT;
	struct redis_args args;
	redis_args_init(&args);
	assert_int_equal(redis_encode(plan, row, 0, plan->commands, &args, &out, &why), SL_OK);
	for (size_t i = 0; i < plan->commands; i++) {
		assert_int_equal(redis_command_args(plan, i, row, &args, &why), SL_OK);
		redis_args_put(&args, &whole);
	}
	assert_true(slice_equal(sl_buf_slice(&out), sl_buf_slice(&whole)));
	redis_args_fini(&args);
	sl_buf_fini(&out);
	sl_buf_fini(&whole);
}

/* shown NULL: the row is refused, and the reason holds `why`. */
static void sends(const char *action, const struct sql_value *values, size_t n, const char *shown, const char *why) {
	struct redis_action_conf conf;
	struct redis_plan plan;
	struct sl_buf row = SL_BUF_INIT, out = SL_BUF_INIT, reason = SL_BUF_INIT;
	plan_load(action, &conf, &plan);
	assert_int_equal(plan.params.n, n);
	row_make(&row, values, n);
	int r = redis_encode_shown(&plan, row.p, &out, &reason);
	if (shown) {
		assert_int_equal(r, SL_OK);
		assert_string_equal(sl_buf_cstr(&out), shown);
		encodes_as_args(&plan, row.p);
	} else {
		assert_int_not_equal(r, SL_OK);
		if (!strstr(sl_buf_cstr(&reason), why)) fail_msg("%s", sl_buf_cstr(&reason));
	}
	sl_buf_fini(&row);
	sl_buf_fini(&out);
	sl_buf_fini(&reason);
	redis_plan_fini(&plan);
	conf_fini(redis_action_fields, &conf);
}
#define SENDS(action, shown, ...)                                                                                      \
	sends((action), (const struct sql_value[]){__VA_ARGS__},                                                       \
	      SL_ARRAY_LEN(((const struct sql_value[]){__VA_ARGS__})), (shown), NULL)
#define REFUSES(action, why, ...)                                                                                      \
	sends((action), (const struct sql_value[]){__VA_ARGS__},                                                       \
	      SL_ARRAY_LEN(((const struct sql_value[]){__VA_ARGS__})), NULL, (why))
#define TEXT(s) sql_string(SL_SLICE_LIT(s))

static void test_plan__values_stand_where_their_templates_do(void **state) {
	(void)state;
	SENDS("{\"command\": [\"HSET\", \"room:${d}\", \"t\", \"${t}\", \"again\", \"${t}\"]}",
	      "HSET \"room:a\" \"t\" \"21.5\" \"again\" \"21.5\"", TEXT("room:a"), sql_double(21.5));
	SENDS(
	    "{\"commands\": [[\"SET\", \"k\", \"${t}\"], [\"INCRBY\", \"n\", 2], [\"LPUSH\", \"l\", \"${t}\", true]]}",
	    "SET \"k\" \"-3\"\nINCRBY \"n\" \"2\"\nLPUSH \"l\" \"-3\" \"true\"", sql_int(-3));
	SENDS("{\"command\": [\"SET\", \"${k}\", \"${v}\"], \"transaction\": true}", "MULTI\nSET \"k\" \"\"\nEXEC",
	      TEXT("k"), sql_null());
}

static void test_plan__many_arguments(void **state) {
	(void)state;
	SENDS("{\"command\": [\"HSET\", \"h\", \"${o}\"]}",
	      "HSET \"h\" \"a\\\"b\" \"1\" \"c\" \"{\\\"d\\\":[1]}\" \"e\" \"\"",
	      json_value("{\"a\\\"b\":1,\"n\":null,\"c\":{\"d\":[1]},\"e\":\"\"}"));
	SENDS("{\"command\": [\"RPUSH\", \"l\", \"${o}\"]}", "RPUSH \"l\" \"x\" \"2\" \"\"",
	      json_value("[\"x\",2,null]"));
	SENDS("{\"command\": [\"RPUSH\", \"l\", \"${o}\"]}", "RPUSH \"l\" \"{\\\"a\\\":1}\"", json_value("{\"a\":1}"));
	SENDS("{\"command\": [\"SET\", \"l\", \"${o}\"]}", "SET \"l\" \"[1]\"", json_value("[1]"));
	SENDS("{\"command\": [\"X.Y\", \"l\", \"${map_to_redis_hset_args(o)}\"]}", "X.Y \"l\" \"t\" \"1\"",
	      json_value("[\"map_to_redis_hset_args\",\"t\",\"1\"]"));
	SENDS("{\"command\": [\"MSET\", \"${o}\"]}", "MSET \"a\" \"1\" \"b\" \"2\"", json_value("{\"a\":1,\"b\":2}"));
	REFUSES("{\"command\": [\"HSET\", \"h\", \"${o}\"]}", "is empty", json_value("{}"));
}

/* Whoever publishes chooses values, not how many arguments a command has before others: else "t" would set other fields, and other
 * keys. */
static void test_plan__values_do_not_take_the_place_of_others(void **state) {
	(void)state;
	SENDS("{\"command\": [\"HSET\", \"h\", \"t\", \"${v}\"]}", "HSET \"h\" \"t\" \"[1,\\\"admin\\\",\\\"yes\\\"]\"",
	      json_value("[1,\"admin\",\"yes\"]"));
	SENDS("{\"command\": [\"HSET\", \"h\", \"NX\", \"${v}\"]}", "HSET \"h\" \"NX\" \"[1,2,3]\"",
	      json_value("[1,2,3]"));
	SENDS("{\"command\": [\"HSET\", \"h\", \"t\", \"${v}\", \"${o}\"]}", "HSET \"h\" \"t\" \"[1,2]\" \"a\" \"1\"",
	      json_value("[1,2]"), json_value("{\"a\":1}"));
	SENDS("{\"command\": [\"MSET\", \"a\", \"${v}\"]}", "MSET \"a\" \"[1,\\\"other\\\",2]\"",
	      json_value("[1,\"other\",2]"));
	SENDS("{\"command\": [\"ZADD\", \"z\", \"gt\", \"${v}\", \"${m}\"]}",
	      "ZADD \"z\" \"gt\" \"[1]\" \"[\\\"m\\\",2,\\\"n\\\"]\"", json_value("[1]"),
	      json_value("[\"m\",2,\"n\"]"));
	SENDS("{\"command\": [\"ZADD\", \"z\", \"gt\", \"${o}\"]}", "ZADD \"z\" \"gt\" \"1\" \"m\"",
	      json_value("{\"1\":\"m\"}"));
	SENDS("{\"command\": [\"XADD\", \"x\", \"MAXLEN\", \"~\", 10, \"LIMIT\", 5, \"*\", \"t\", \"${v}\"]}",
	      "XADD \"x\" \"MAXLEN\" \"~\" \"10\" \"LIMIT\" \"5\" \"*\" \"t\" \"[1,2]\"", json_value("[1,2]"));
	SENDS("{\"command\": [\"XADD\", \"x\", \"nomkstream\", \"MINID\", 10, \"*\", \"${o}\"]}",
	      "XADD \"x\" \"nomkstream\" \"MINID\" \"10\" \"*\" \"a\" \"1\"", json_value("{\"a\":1}"));
	SENDS("{\"command\": [\"XADD\", \"x\", \"KEEPREF\", \"*\", \"t\", \"${v}\"]}",
	      "XADD \"x\" \"KEEPREF\" \"*\" \"t\" \"[1,2]\"", json_value("[1,2]"));
	SENDS("{\"command\": [\"XADD\", \"x\", \"MAXLEN\", 10, \"IDMP\", \"p\", \"i\", \"acked\", \"*\", \"${o}\"]}",
	      "XADD \"x\" \"MAXLEN\" \"10\" \"IDMP\" \"p\" \"i\" \"acked\" \"*\" \"a\" \"1\"", json_value("{\"a\":1}"));
	SENDS("{\"command\": [\"XADD\", \"x\", \"MAXLEN\", \"${v}\"]}", "XADD \"x\" \"MAXLEN\" \"[1,2]\"",
	      json_value("[1,2]"));
	SENDS("{\"command\": [\"GEOADD\", \"g\", 1, 2, \"${m}\"]}", "GEOADD \"g\" \"1\" \"2\" \"[\\\"m\\\"]\"",
	      json_value("[\"m\"]"));
	SENDS("{\"command\": [\"GEOADD\", \"g\", \"${l}\"]}", "GEOADD \"g\" \"1\" \"2\" \"m\"",
	      json_value("[1,2,\"m\"]"));
	SENDS("{\"command\": [\"EVAL\", \"s\", 1, \"k\", \"${a}\", \"${b}\"]}",
	      "EVAL \"s\" \"1\" \"k\" \"[1,2]\" \"3\" \"4\"", json_value("[1,2]"), json_value("[3,4]"));
	SENDS("{\"command\": [\"EVAL\", \"s\", 2, \"k\", \"${a}\"]}", "EVAL \"s\" \"2\" \"k\" \"[1,2]\"",
	      json_value("[1,2]"));
	SENDS("{\"command\": [\"EVAL\", \"s\", 9223372036854775807, \"k\", \"${a}\"]}",
	      "EVAL \"s\" \"9223372036854775807\" \"k\" \"[1,2]\"", json_value("[1,2]"));
	SENDS("{\"command\": [\"SET\", \"k\", \"${v}\"]}",
	      "SET \"k\" \"[\\\"map_to_redis_hset_args\\\",\\\"v\\\",\\\"EX\\\",1]\"",
	      json_value("[\"map_to_redis_hset_args\",\"v\",\"EX\",1]"));
}

/* Whether the value behind these words may be many arguments. Quotes are single ones here. */
static bool last_is_many(const char *words, const char *value) {
	struct redis_action_conf conf;
	struct redis_plan plan;
	struct sl_buf action = SL_BUF_INIT;
	sl_buf_printf(&action, "{'command': ['XADD', 's', %s, '%s']}", words, value);
	for (size_t i = 0; i < action.n; i++)
		if (action.p[i] == '\'') action.p[i] = '"';
	plan_load(sl_buf_cstr(&action), &conf, &plan);
	const struct redis_command *c = &plan.command[0];
	bool many = c->piece[c->pieces - 1].many;
	for (size_t i = 0; i + 1 < c->pieces; i++) assert_false(c->piece[i].many);
	sl_buf_fini(&action);
	redis_plan_fini(&plan);
	conf_fini(redis_action_fields, &conf);
	return many;
}

/* [XADD, key, options in any order, id, name, value ...]: the id says where the names begin. */
static void test_plan__the_id_of_xadd(void **state) {
	static const char *const many[] = {"'*'",
					   "'MAXLEN', '50', 'NOMKSTREAM', '*'",
					   "'NOMKSTREAM', 'MAXLEN', '50', '*'",
					   "'maxlen', '~', '50', 'limit', '7', 'nomkstream', 'DELREF', '*'",
					   "'LIMIT', '7', 'MINID', '~', '5-1', 'IDMPAUTO', 'p', '*', 'a', '1'",
					   "'IDMP', 'p', '*', 'ACKED', '*'",
					   "'5'",
					   "'5-1'",
					   "'MINID', '5', '5-*'",
					   "'${i}'",
					   "'MAXLEN', '${n}', 'ACKED', '${t}-*', 'a', '1'",
					   "'LATER', '*'",
					   "'LATER', 'MAXLEN', '50', '*'",
					   "'MAXLEN', '50', 'LATER', '5-1', 'NOMKSTREAM', '*', 'a', '1'",
					   "'LATER', '${x}', '*'"};
	static const char *const one[] = {
	    "'MAXLEN', '50', 'NOMKSTREAM', '*', 't'", "'LATER', '*', 't'", "'LATER', '7', '*', 't'", "'*', '*'",
	    "'LATER', '*', '*'", "'5-1', '*'", "'5-*', 't', '*', 'u'", "'${i}', '*'", "'KEEPREF', '${i}', 't'",
	    /* No server takes these, or one with other options: nobody knows which the id is. */
	    "'LATER'", "'LATER', '5-1'", "'LATER', '5-1', 't'", "'LATER', '5-1', '${i}', 't'", "'LATER', '${i}', 't'",
	    "'5-', 't', '1'", "'5-', 't'", "'-', 't'", "'5-1x', 't', '1'", "'5-1x'", "'MAXLEN'", "'MAXLEN', '*'",
	    "'IDMP', '*', '*'", "'IDMP'"};
	static const char *const value[] = {"${m}", "${map_to_redis_hset_args(m)}"};
	(void)state;
	for (size_t v = 0; v < SL_ARRAY_LEN(value); v++) {
		for (size_t i = 0; i < SL_ARRAY_LEN(many); i++)
			if (!last_is_many(many[i], value[v])) fail_msg("%s, %s: one argument", many[i], value[v]);
		for (size_t i = 0; i < SL_ARRAY_LEN(one); i++)
			if (last_is_many(one[i], value[v])) fail_msg("%s, %s: many arguments", one[i], value[v]);
	}
	SENDS("{\"command\": [\"XADD\", \"s\", \"MAXLEN\", \"50\", \"NOMKSTREAM\", \"*\", \"${m}\"]}",
	      "XADD \"s\" \"MAXLEN\" \"50\" \"NOMKSTREAM\" \"*\" \"a\" \"1\"", json_value("{\"a\":1}"));
	SENDS("{\"command\": [\"XADD\", \"s\", \"LATER\", \"${i}\", \"t\", \"${v}\"]}",
	      "XADD \"s\" \"LATER\" \"7\" \"t\" \"[1,\\\"admin\\\",2]\"", sql_int(7), json_value("[1,\"admin\",2]"));
}

/* The number of arguments has more digits, or fewer, than the head that stands ready. */
static void test_plan__heads_of_changing_length(void **state) {
	(void)state;
	SENDS("{\"command\": [\"RPUSH\", \"l\", \"${o}\"]}",
	      "RPUSH \"l\" \"1\" \"2\" \"3\" \"4\" \"5\" \"6\" \"7\" \"8\" \"9\"", json_value("[1,2,3,4,5,6,7,8,9]"));
	SENDS("{\"stream\": {\"key\": \"s\", \"fields\": {\"a\": \"${a}\", \"b\": \"${b}\", \"c\": \"${c}\", \"d\": "
	      "\"4\"}}}",
	      "XADD \"s\" \"*\" \"d\" \"4\"", sql_null(), sql_null(), sql_null());
}

static void test_plan__streams(void **state) {
	(void)state;
	SENDS("{\"stream\": {\"key\": \"s:${d}\", \"maxlen\": 100, \"fields\": {\"t\": \"${t}\", \"u\": \"C\", \"x\": "
	      "\"${x}\"}}}",
	      "XADD \"s:a\" \"MAXLEN\" \"~\" \"100\" \"*\" \"t\" \"1\" \"u\" \"C\"", TEXT("s:a"), sql_int(1),
	      sql_null());
	SENDS("{\"stream\": {\"key\": \"s\", \"maxlen\": 1, \"approximate\": false, \"id\": \"${i}\"}}",
	      "XADD \"s\" \"MAXLEN\" \"=\" \"1\" \"7-1\" \"a\" \"1\"", TEXT("7-1"), json_value("{\"a\":1}"));
	REFUSES("{\"stream\": {\"key\": \"s\", \"fields\": {\"t\": \"${t}\"}}}", "every field", sql_null());
	REFUSES("{\"stream\": {\"key\": \"${k}\", \"fields\": {\"t\": \"1\"}}}", "is the key", sql_null());
}

static void test_plan__ttl(void **state) {
	(void)state;
	SENDS("{\"command\": [\"SET\", \"k\", \"${v}\"], \"ttl\": \"1m\"}", "SET \"k\" \"1\" \"PX\" \"60000\"",
	      sql_int(1));
	SENDS("{\"command\": [\"HSET\", \"${k}\", \"f\", \"1\"], \"ttl\": \"1m\"}",
	      "HSET \"a\" \"f\" \"1\"\nPEXPIRE \"a\" \"60000\"", TEXT("a"));
	SENDS("{\"command\": [\"EVAL\", \"x\", 1, \"${k}\"], \"ttl\": \"1m\"}",
	      "EVAL \"x\" \"1\" \"a\"\nPEXPIRE \"a\" \"60000\"", TEXT("a"));
}

static void test_plan__bytes_are_data(void **state) {
	struct redis_action_conf conf;
	struct redis_plan plan;
	struct sl_buf row = SL_BUF_INIT, out = SL_BUF_INIT, why = SL_BUF_INIT;
	struct sql_value v = sql_string(SL_SLICE_LIT("\r\n*1\r\n$8\r\nFLUSHALL\r\n\0\xff"));
	struct redis_args args;
	(void)state;
	plan_load("{\"command\": [\"SET\", \"k\", \"${v}\"]}", &conf, &plan);
	row_make(&row, &v, 1);
	redis_args_init(&args);
	assert_int_equal(redis_encode(&plan, row.p, 0, 1, &args, &out, &why), SL_OK);
	assert_true(slice_equal(sl_buf_slice(&out), SL_SLICE_LIT("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$22\r\n"
								 "\r\n*1\r\n$8\r\nFLUSHALL\r\n\0\xff\r\n")));
	redis_args_fini(&args);
	sl_buf_fini(&row);
	sl_buf_fini(&out);
	redis_plan_fini(&plan);
	conf_fini(redis_action_fields, &conf);
}

static void key_is(const char *action, const char *value, const char *key, bool expected) {
	struct redis_action_conf conf;
	struct redis_plan plan;
	struct sl_buf row = SL_BUF_INIT, why = SL_BUF_INIT;
	struct sql_value v = sql_string(slice_from_str(value));
	struct redis_args args;
	bool is_key;
	plan_load(action, &conf, &plan);
	redis_args_init(&args);
	row_make(&row, &v, 1);
	assert_int_equal(redis_command_args(&plan, 0, row.p, &args, &why), SL_OK);
	assert_true(slice_equal_str(redis_key_of(&plan.command[0], &args, &is_key), key));
	assert_int_equal(is_key, expected);
	redis_args_fini(&args);
	sl_buf_fini(&row);
	redis_plan_fini(&plan);
	conf_fini(redis_action_fields, &conf);
}

static void test_plan__keys(void **state) {
	(void)state;
	key_is("{\"command\": [\"set\", \"${v}\", \"1\"]}", "a", "a", true);
	key_is("{\"command\": [\"EVAL\", \"s\", 2, \"x\", \"${v}\"]}", "a", "x", true);
	key_is("{\"command\": [\"EVAL\", \"s\", \"${v}\", \"x\"]}", "0", "s", false);
	key_is("{\"command\": [\"BITOP\", \"AND\", \"${v}\", \"x\"]}", "a", "a", true);
	key_is("{\"command\": [\"PUBLISH\", \"${v}\", \"x\"]}", "a", "a", false);
	key_is("{\"command\": [\"ANY.THING\", \"${v}\"]}", "a", "a", true);
}

/* ---- Slots: the vectors of the cluster specification, and of a real server's CLUSTER KEYSLOT. ---- */

static void test_slots__vectors(void **state) {
	(void)state;
	assert_int_equal(redis_slot(SL_SLICE_LIT("123456789")), 0x31c3 % REDIS_SLOTS);
	assert_int_equal(redis_slot(SL_SLICE_LIT("foo")), 12182);
	assert_int_equal(redis_slot(SL_SLICE_LIT("bar")), 5061);
	assert_int_equal(redis_slot(SL_SLICE_LIT("hello")), 866);
	assert_int_equal(redis_slot(SL_SLICE_EMPTY), 0);
	assert_int_equal(redis_slot(SL_SLICE_LIT("{foo}.x")), 12182);
	assert_int_equal(redis_slot(SL_SLICE_LIT("a{foo}{bar}")), 12182);
	assert_int_equal(redis_slot(SL_SLICE_LIT("{foo")), redis_slot(SL_SLICE_LIT("{foo")));
	assert_int_not_equal(redis_slot(SL_SLICE_LIT("{foo")), 12182);
	assert_int_equal(redis_slot(SL_SLICE_LIT("foo{}{bar}")), redis_slot(SL_SLICE_LIT("foo{}{bar}")));
	assert_int_not_equal(redis_slot(SL_SLICE_LIT("foo{}{bar}")), 5061);
	assert_int_equal(redis_slot(SL_SLICE_LIT("{{foo}}")),
			 redis_slot(SL_SLICE_LIT("{{foo")) == 0 ? 0 : redis_slot(SL_SLICE_LIT("x{{foo}")));
}

/* ---- Errors, and the tables of the README. ---- */

static void test_errors__each_gets_its_result(void **state) {
	static const struct {
		const char *text;
		enum sl_result result;
		enum redis_effect effect;
	} rows[] = {
	    {"WRONGTYPE Operation against a key", SL_RESULT_REJECT, REDIS_OF_ROW},
	    {"ERR syntax error", SL_RESULT_REJECT, REDIS_OF_ROW},
	    {"ERR unknown command 'X'", SL_RESULT_LOST, REDIS_NOT_READY},
	    {"OOM command not allowed", SL_RESULT_THROTTLED, REDIS_OF_ROW},
	    {"ERR Protocol error: invalid bulk length", SL_RESULT_REJECT, REDIS_OF_ROW},
	    {"ERR Protocol error: expected '$', got ' '", SL_RESULT_LOST, REDIS_RECONNECT},
	    {"NOAUTH Authentication required.", SL_RESULT_LOST, REDIS_RECONNECT},
	    {"NOPERM this user has no permissions to run the 'set' command", SL_RESULT_LOST, REDIS_NOT_WORD},
	    {"NOPERM this user has no permissions to access one of the keys used", SL_RESULT_LOST, REDIS_NOT_KEY},
	    {"NOPERM No permissions to access a key", SL_RESULT_LOST, REDIS_NOT_KEY},
	    {"NOPERM No permissions to access a channel", SL_RESULT_LOST, REDIS_NOT_KEY},
	    {"ERR unknown subcommand 'X'. Try XGROUP HELP.", SL_RESULT_LOST, REDIS_NOT_WORD},
	    {"NOPERM ACL failure in script: User x has no permissions", SL_RESULT_LOST, REDIS_IN_SCRIPT},
	    {"ERR The user executing the script can't run this command", SL_RESULT_LOST, REDIS_IN_SCRIPT},
	    {"ERR Error running script (call to f_1): @user_script:1: @user_script: 1: The user executing the script "
	     "can't run this command or subcommand",
	     SL_RESULT_LOST, REDIS_IN_SCRIPT},
	    {"@user_script: 1: The user executing the script can't access at least one of the keys", SL_RESULT_LOST,
	     REDIS_IN_SCRIPT},
	    {"ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -OOM command not allowed",
	     SL_RESULT_THROTTLED, REDIS_OF_ROW},
	    {"ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -READONLY You can't write",
	     SL_RESULT_LOST, REDIS_RECONNECT},
	    {"ERR Error running script (call to f_1): @user_script:1: WRONGTYPE Operation", SL_RESULT_REJECT,
	     REDIS_OF_ROW},
	    {"ERR Error running script", SL_RESULT_REJECT, REDIS_OF_ROW},
	    {"LOADING Redis is loading", SL_RESULT_RETRY, REDIS_OF_ROW},
	    {"BUSY Redis is busy", SL_RESULT_RETRY, REDIS_OF_ROW},
	    {"BUSYGROUP Consumer Group name already exists", SL_RESULT_DONE, REDIS_OF_ROW},
	    {"BUSYKEY Target key name already exists.", SL_RESULT_REJECT, REDIS_OF_ROW},
	    {"TRYAGAIN Multiple keys", SL_RESULT_RETRY, REDIS_OF_ROW},
	    {"CLUSTERDOWN Hash slot not served", SL_RESULT_RETRY, REDIS_OF_ROW},
	    {"MASTERDOWN Link with MASTER is down", SL_RESULT_LOST, REDIS_RECONNECT},
	    {"READONLY You can't write", SL_RESULT_LOST, REDIS_RECONNECT},
	    {"ERR WAIT cannot be used with replica instances.", SL_RESULT_LOST, REDIS_RECONNECT},
	    {"UNBLOCKED force unblock from blocking operation", SL_RESULT_LOST, REDIS_RECONNECT},
	    {"MOVED 1 h:1", SL_RESULT_LOST, REDIS_MOVED},
	    {"ASK 1 h:1", SL_RESULT_LOST, REDIS_ASK},
	    {"EXECABORT Transaction discarded", SL_RESULT_REJECT, REDIS_OF_ROW},
	    {"NOSCRIPT No matching script", SL_RESULT_LOST, REDIS_NOT_WORD},
	    {"", SL_RESULT_REJECT, REDIS_OF_ROW}};
	(void)state;
	for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++) {
		const struct redis_error *e = redis_error_find(slice_from_str(rows[i].text));
		if (e->result != rows[i].result || e->effect != rows[i].effect) fail_msg("%s", rows[i].text);
	}
}

static void test_errors__advice_to_set_another_mode_is_for_who_has_none(void **state) {
	static const char *const texts[] = {"MOVED 1 h:1", "ASK 1 h:1", "READONLY You can't write"};
	struct sl_buf out = SL_BUF_INIT;
	(void)state;
	for (size_t i = 0; i < 2 * SL_ARRAY_LEN(texts); i++) {
		struct sl_slice text = slice_from_str(texts[i / 2]);
		sl_buf_clear(&out);
		redis_error_show(redis_error_find(text), text, i % 2, &out);
		assert_int_equal(slice_find(sl_buf_slice(&out), SL_SLICE_LIT("mode: ")) >= 0, i % 2);
	}
	sl_buf_fini(&out);
}

static char *file_read(const char *path) {
	struct sl_buf b = SL_BUF_INIT;
	char chunk[4096];
	FILE *f = fopen(path, "rb");
	assert_non_null(f);
	for (size_t n; (n = fread(chunk, 1, sizeof chunk, f)) > 0;) sl_buf_append(&b, chunk, n);
	fclose(f);
	return sl_buf_steal(&b);
}

/* ---- What sentinels say. ---- */

static struct redis_answer answer_of(uint16_t port, int64_t epoch, int64_t replicas) {
	return (struct redis_answer){
	    .given = true, .host = sl_strdup("10.0.0.1"), .port = port, .epoch = epoch, .replicas = replicas};
}

static void answers_free(struct redis_answer *a, size_t n) {
	for (size_t i = 0; i < n; i++) redis_answer_forget(&a[i]);
}

static void test_quorum__the_highest_epoch_counts_and_then_most_votes(void **state) {
	(void)state;
	struct redis_answer a[3] = {answer_of(1, 1, 0), answer_of(2, 2, 1), answer_of(1, 1, 2)};
	struct redis_verdict v = redis_quorum(a, 3);
	assert_int_equal(v.best->port, 2);
	assert_false(v.most);
	assert_int_equal(v.replicas, 2);
	a[0].epoch = a[1].epoch = a[2].epoch = -1;
	v = redis_quorum(a, 3);
	assert_int_equal(v.best->port, 1);
	assert_true(v.most);
	a[2].given = false;
	assert_false(redis_quorum(a, 3).most);
	a[0].given = a[1].given = false;
	assert_null(redis_quorum(a, 3).best);
	answers_free(a, 3);
}

static void test_quorum__a_master_on_its_way_out(void **state) {
	(void)state;
	struct redis_answer a[3] = {answer_of(1, 1, 1), answer_of(1, 1, 1), answer_of(1, 1, 1)};
	assert_false(redis_quorum(a, 3).replaced);
	a[1].down = true;
	assert_false(redis_quorum(a, 3).replaced); /* it may be cut off itself */
	a[0].down = true;
	assert_true(redis_quorum(a, 3).replaced);
	a[0].down = a[1].down = false;
	a[2].replaced = true;
	assert_true(redis_quorum(a, 3).replaced);
	a[0].port = 2; /* the new one */
	a[0].epoch = 2;
	assert_false(redis_quorum(a, 3).replaced);
	a[0].port = 1;
	a[0].replicas = a[1].replicas = a[2].replicas = 0; /* nobody could take its place */
	assert_false(redis_quorum(a, 3).replaced);
	answers_free(a, 3);
}

static void test_quorum__what_is_remembered_and_for_how_long(void **state) {
	(void)state;
	struct redis_answer new = answer_of(2, 7, 1), old = answer_of(1, 6, 1);
	struct redis_verdict knows = {.best = &new}, lags = {.best = &old};
	struct redis_memory m = {.epoch = -1};
	redis_memory_take(&m, &knows, 1000);
	assert_false(redis_memory_is_outdated(&m, &knows));
	redis_memory_take(&m, &lags, 999 + REDIS_OUTDATED_MS);
	assert_true(redis_memory_is_outdated(&m, &lags));
	redis_memory_take(&m, &lags, 1000 + REDIS_OUTDATED_MS); /* sentinels that were set up anew begin at 0 */
	assert_false(redis_memory_is_outdated(&m, &lags));
	assert_false(redis_memory_is_replaced(&m, 1000));
	lags.replaced = true;
	redis_memory_take(&m, &lags, 50000);
	redis_memory_take(&m, &lags, 60000);
	assert_true(redis_memory_is_replaced(&m, 49999 + REDIS_REPLACED_MS));
	assert_false(redis_memory_is_replaced(&m, 50000 + REDIS_REPLACED_MS));
	lags.replaced = false;
	redis_memory_take(&m, &lags, 60000);
	assert_false(redis_memory_is_replaced(&m, 60000));
	answers_free(&new, 1);
	answers_free(&old, 1);
}

static const struct redis_reply *reply_of(struct redis_reader *r, const char *bytes) {
	const struct redis_reply *reply;
	redis_reader_feed(r, slice_from_str(bytes));
	assert_int_equal(redis_reader_next(r, &reply), 1);
	return reply;
}

static void test_quorum__answers_of_a_sentinel(void **state) {
	(void)state;
	struct redis_reader r;
	struct redis_answer a = {.epoch = -1};
	redis_reader_init(&r, &redis_limits_small);
	assert_true(redis_answer_master(
	    &a, reply_of(&r, "*10\r\n$2\r\nip\r\n$8\r\n10.0.0.1\r\n$4\r\nport\r\n$4\r\n6379\r\n"
			     "$5\r\nflags\r\n$20\r\ns_down,o_down,master\r\n$10\r\nnum-slaves\r\n$1\r\n2\r\n"
			     "$12\r\nconfig-epoch\r\n$2\r\n11\r\n")));
	assert_false(a.given);
	assert_true(redis_answer_address(&a, reply_of(&r, "*2\r\n$8\r\n10.0.0.1\r\n$4\r\n6379\r\n")));
	assert_true(a.given && a.down && a.replaced);
	assert_int_equal(a.replicas, 2);
	assert_int_equal(a.epoch, 11);
	/* Another address than that of the flags: the failover is nearly through. */
	assert_true(redis_answer_address(&a, reply_of(&r, "*2\r\n$8\r\n10.0.0.2\r\n$4\r\n6379\r\n")));
	assert_true(a.given && !a.down && !a.replaced && a.epoch == 11);
	assert_false(redis_answer_address(&a, reply_of(&r, "*-1\r\n")));
	assert_false(a.given);
	static const char *const odd[] = {"-NOPERM no\r\n",
					  ":1\r\n",
					  "*-1\r\n",
					  "*0\r\n",
					  "*1\r\n$2\r\nip\r\n",
					  "*2\r\n$12\r\nconfig-epoch\r\n$2\r\n-1\r\n",
					  "*2\r\n*0\r\n*0\r\n",
					  "*4\r\n$2\r\nip\r\n$1\r\nx\r\n$2\r\nip\r\n$1\r\ny\r\n"};
	for (size_t i = 0; i < SL_ARRAY_LEN(odd); i++) assert_false(redis_answer_master(&a, reply_of(&r, odd[i])));
	static const char *const nobody[] = {"*2\r\n$0\r\n\r\n$1\r\n1\r\n", "*2\r\n$1\r\nx\r\n$5\r\n65536\r\n",
					     "*0\r\n", "+OK\r\n"};
	for (size_t i = 0; i < SL_ARRAY_LEN(nobody); i++)
		assert_false(redis_answer_address(&a, reply_of(&r, nobody[i])));
	redis_answer_forget(&a);
	redis_reader_fini(&r);
}

/* Behind the marker stands the table, then an empty line. DESCRIBE_WRITE=1 writes it anew. */
static void readme_has(const char *marker, const struct sl_buf *table) {
	char *text = file_read(README_MD);
	const char *at = strstr(text, marker);
	if (!at) fail_msg("the README lacks %s", marker);
	at += strlen(marker);
	const char *end = strstr(at, "\n\n");
	assert_non_null(end);
	bool same = slice_equal(slice_make(at, (size_t)(end + 1 - at)), sl_buf_slice(table));
	if (!same && getenv("DESCRIBE_WRITE")) {
		FILE *f = fopen(README_MD, "wb");
		assert_non_null(f);
		fwrite(text, 1, (size_t)(at - text), f);
		fwrite(table->p, 1, table->n, f);
		fputs(end + 1, f);
		fclose(f);
	} else
		assert_true(same);
	sl_free(text);
}

static void test_commands__misspelt_ones_are_told(void **state) {
	static const char *const slips[][2] = {
	    {"HSETT", "HSET"}, {"xdad", "XADD"}, {"LPSUH", "LPUSH"}, {"PUBLISHH", "PUBLISH"}};
	static const char *const fine[] = {"HSET",      "xadd",   "GET",      "JSON.SET", "HSETEX",    "VADD",
					   "SUBSCRIBE", "my_SET", "B840FC02", "X",        "XNACK",     "LMOVEM",
					   "INCREX",    "ARMSET", "ARCOUNT",  "ARINSERT", "ARGETRANGE"};
	(void)state;
	for (size_t i = 0; i < SL_ARRAY_LEN(slips); i++)
		assert_string_equal(redis_command_meant(slice_from_str(slips[i][0])), slips[i][1]);
	for (size_t i = 0; i < SL_ARRAY_LEN(fine); i++) assert_null(redis_command_meant(slice_from_str(fine[i])));
}

static void test_readme__has_the_tables(void **state) {
	struct sl_buf table = SL_BUF_INIT;
	(void)state;
	redis_errors_print(&table);
	readme_has("<!-- errors: printed by a test -->\n\n", &table);
	sl_buf_clear(&table);
	redis_commands_print(&table);
	readme_has("<!-- commands: printed by a test -->\n\n", &table);
	sl_buf_clear(&table);
	redis_commands_refused_print(&table);
	readme_has("<!-- refused: printed by a test -->\n\n", &table);
	sl_buf_fini(&table);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_url__parts),
	    cmocka_unit_test(test_url__mistakes_do_not_show_the_password),
	    cmocka_unit_test(test_url__signs_in_the_password),
	    cmocka_unit_test(test_plan__values_stand_where_their_templates_do),
	    cmocka_unit_test(test_plan__many_arguments),
	    cmocka_unit_test(test_plan__values_do_not_take_the_place_of_others),
	    cmocka_unit_test(test_plan__the_id_of_xadd),
	    cmocka_unit_test(test_plan__heads_of_changing_length),
	    cmocka_unit_test(test_plan__streams),
	    cmocka_unit_test(test_plan__ttl),
	    cmocka_unit_test(test_plan__bytes_are_data),
	    cmocka_unit_test(test_plan__keys),
	    cmocka_unit_test(test_slots__vectors),
	    cmocka_unit_test(test_errors__each_gets_its_result),
	    cmocka_unit_test(test_errors__advice_to_set_another_mode_is_for_who_has_none),
	    cmocka_unit_test(test_quorum__the_highest_epoch_counts_and_then_most_votes),
	    cmocka_unit_test(test_quorum__a_master_on_its_way_out),
	    cmocka_unit_test(test_quorum__what_is_remembered_and_for_how_long),
	    cmocka_unit_test(test_quorum__answers_of_a_sentinel),
	    cmocka_unit_test(test_commands__misspelt_ones_are_told),
	    cmocka_unit_test(test_readme__has_the_tables),
	};
	return cmocka_run_group_tests_name("redis_parts", tests, NULL, NULL);
}
