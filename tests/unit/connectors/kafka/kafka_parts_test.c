/* The parts of the kafka kind that need no broker: settings to properties, rows to records, the partitioner, the error table. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "connectors.h"
#include "kafka_auth.h"
#include "kafka_conf.h"
#include "kafka_errors.h"
#include "kafka_source.h"
#include "kafka_topics.h"
#include "kafka_row.h"
#include "mem.h"
#include "sql_base64.h"
#include "schema.h"
#include "sql_row.h"

/* ---- Settings. ---- */

static void conf_load(struct kafka_conf *conf, const char *json) {
	struct conf_report report = CONF_REPORT_INIT;
	json_t *tree = json_loads(json, 0, NULL);
	assert_non_null(tree);
	*conf = (struct kafka_conf){0};
	if (conf_apply(kafka_conf_fields, tree, (struct conf_at){NULL, ""}, conf, &report) != SL_OK)
		fail_msg("%s", conf_report_format(&report));
	json_decref(tree);
}

/* pairs: property, value, ..., NULL */
static void makes(const char *json, enum kafka_role role, const char *const *pairs) {
	struct kafka_conf conf;
	struct sl_err err = SL_ERR_INIT;
	conf_load(&conf, json);
	struct kafka_client client = {.name = "k", .conf = &conf};
	rd_kafka_conf_t *made;
	if (kafka_conf_make(&conf, role, &client, &made, &err) != SL_OK) fail_msg("%s", sl_err_text(&err));
	for (; *pairs; pairs += 2) {
		char value[256];
		size_t size = sizeof value;
		if (rd_kafka_conf_get(made, pairs[0], value, &size) != RD_KAFKA_CONF_OK) fail_msg("no %s", pairs[0]);
		if (strcmp(value, pairs[1]) != 0) fail_msg("%s is %s, not %s", pairs[0], value, pairs[1]);
	}
	rd_kafka_conf_destroy(made);
	conf_fini(kafka_conf_fields, &conf);
}
#define MAKES(json, role, ...) makes((json), (role), (const char *const[]){__VA_ARGS__, NULL})

static void test_conf__defaults_are_safe(void **state) {
	(void)state;
	MAKES("{\"brokers\": \"a:1,b:2\"}", KAFKA_PRODUCER, "bootstrap.servers", "a:1,b:2", "enable.idempotence",
	      "true", "acks", "-1", "message.timeout.ms", "0", "partitioner", "murmur2_random", "security.protocol",
	      "plaintext", "client.id", "sluice", "compression.codec", "none", "queue.buffering.max.messages",
	      "10000000", "queue.buffering.max.kbytes", "2147483647", "allow.auto.create.topics", "false", "linger.ms",
	      "5");
}

static void test_conf__options_become_properties(void **state) {
	(void)state;
	MAKES("{\"brokers\": [\"a:1\", \"b:2\"], \"acks\": \"leader\", \"idempotence\": false, \"compression\": "
	      "\"zstd\", "
	      "\"compression_level\": 3, \"linger\": \"20ms\", \"max_message\": \"64KB\", \"request_timeout\": \"7s\", "
	      "\"allow_auto_topic_creation\": true, \"properties\": {\"statistics.interval.ms\": \"1000\"}}",
	      KAFKA_PRODUCER, "bootstrap.servers", "a:1,b:2", "enable.idempotence", "false", "acks", "1",
	      "compression.codec", "zstd", "compression.level", "3", "linger.ms", "20", "message.max.bytes", "65536",
	      "request.timeout.ms", "7000", "allow.auto.create.topics", "true", "statistics.interval.ms", "1000");
}

static void client_made(const char *json, enum kafka_role role) {
	struct kafka_conf conf;
	struct sl_err err = SL_ERR_INIT;
	char why[512];
	conf_load(&conf, json);
	struct kafka_client client = {.name = "k", .conf = &conf};
	rd_kafka_conf_t *made;
	if (kafka_conf_make(&conf, role, &client, &made, &err) != SL_OK) fail_msg("%s: %s", json, sl_err_text(&err));
	rd_kafka_type_t type = role == KAFKA_CONSUMER ? RD_KAFKA_CONSUMER : RD_KAFKA_PRODUCER;
	rd_kafka_t *rk = rd_kafka_new(type, made, why, sizeof why);
	if (!rk) fail_msg("%s: %s", json, why);
	rd_kafka_destroy(rk);
	conf_fini(kafka_conf_fields, &conf);
}

/* What our tables allow, the library takes. */
static void test_conf__both_ends_of_every_number(void **state) {
	(void)state;
	const enum kafka_role roles[] = {KAFKA_PRODUCER, KAFKA_SCOUT, KAFKA_CONSUMER};
	size_t numbers = 0;
	for (const struct conf_field *f = kafka_conf_fields; f->name; f++) {
		if (f->type != CONF_INT && f->type != CONF_INT_AUTO && f->type != CONF_DURATION && f->type != CONF_SIZE)
			continue;
		const char *unit = f->type == CONF_DURATION ? "ms" : f->type == CONF_SIZE ? "B" : "";
		const char *quote = *unit ? "\"" : "";
		numbers++;
		for (size_t i = 0; i < 2 * SL_ARRAY_LEN(roles); i++) {
			char *json = sl_asprintf("{\"brokers\": \"127.0.0.1:1\", \"%s\": %s%lld%s%s}", f->name, quote,
						 (long long)(i % 2 ? f->max : f->min), unit, quote);
			client_made(json, roles[i / 2]);
			sl_free(json);
		}
	}
	assert_true(numbers >= 6);
}

static void test_conf__logins(void **state) {
	(void)state;
	MAKES("{\"brokers\": \"a:1\", \"sasl\": {\"mechanism\": \"scram-sha-512\", \"username\": \"u\", \"password\": "
	      "\"p\"}}",
	      KAFKA_CONSUMER, "security.protocol", "sasl_plaintext", "sasl.mechanism", "SCRAM-SHA-512", "sasl.username",
	      "u", "sasl.password", "p");
	MAKES("{\"brokers\": \"a:1\", \"tls\": {\"verify\": false}}", KAFKA_CONSUMER, "security.protocol", "ssl",
	      "enable.ssl.certificate.verification", "false", "ssl.endpoint.identification.algorithm", "none");
	MAKES("{\"brokers\": \"a:1\", \"tls\": {\"ca\": \"x.pem\"}, \"sasl\": {\"username\": \"u\", \"password\": "
	      "\"p\"}}",
	      KAFKA_CONSUMER, "security.protocol", "sasl_ssl", "ssl.ca.location", "x.pem",
	      "ssl.endpoint.identification.algorithm", "https", "sasl.mechanism", "PLAIN");
}

static void property_fails(const char *name, const char *value, const char *part) {
	struct sl_err err = SL_ERR_INIT;
	struct conf_pair pair = {.key = (char *)(uintptr_t)name, .value = (char *)(uintptr_t)value};
	struct conf_map map = {.items = &pair, .len = 1};
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	assert_int_not_equal(kafka_properties_set(conf, &map, "properties", &err), SL_OK);
	if (!strstr(sl_err_text(&err), part)) fail_msg("\"%s\" is not in: %s", part, sl_err_text(&err));
	assert_null(strstr(sl_err_text(&err), "SECRET"));
	rd_kafka_conf_destroy(conf);
	sl_err_fini(&err);
}

static void test_properties__mistakes_are_answered(void **state) {
	(void)state;
	property_fails("fetch.wait.max.mss", "1", "did you mean `fetch.wait.max.ms`?");
	property_fails("nothing.like.it.at.all.anywhere", "1", "has no such property");
	property_fails("socket.keepalive.enable", "perhaps", "properties.socket.keepalive.enable: ");
	property_fails("bootstrap.servers", "SECRET:1", "use the option `brokers`");
	property_fails("retries", "5", "use the option `retry` of an action for that");
	property_fails("delivery.report.only.error", "true", "Sluice sets this itself");
	property_fails("sasl.oauthbearer.method", "SECRET", "use the option `sasl.token_url`");
	property_fails("sasl.kerberos.kinit.cmd", "ls", "use the option `sasl.keytab`");
}

/* ---- Kerberos: a ticket by keytab, or one that is there. ---- */

#define GSSAPI(options) "{\"brokers\": \"a:1\", \"sasl\": {\"mechanism\": \"gssapi\"" options "}}"
#define KEYTAB ", \"principal\": \"s@R\", \"keytab\": \"/k.keytab\""

static void test_kerberos__by_keytab_and_without(void **state) {
	(void)state;
	MAKES(GSSAPI(KEYTAB), KAFKA_PRODUCER, "sasl.kerberos.principal", "s@R", "sasl.kerberos.keytab", "/k.keytab",
	      "sasl.kerberos.service.name", "kafka");
	MAKES(GSSAPI(""), KAFKA_CONSUMER, "sasl.mechanism", "GSSAPI", "sasl.kerberos.min.time.before.relogin", "0");
}

static void refused(const char *json, const char *part) {
	struct kafka_conf conf;
	struct sl_err err = SL_ERR_INIT;
	conf_load(&conf, json);
	assert_int_equal(kafka_conf_check(&conf, "k", &err), SL_EINVAL);
	if (!strstr(sl_err_text(&err), part)) fail_msg("\"%s\" is not in: %s", part, sl_err_text(&err));
	conf_fini(kafka_conf_fields, &conf);
	sl_err_fini(&err);
}

static void test_kerberos__what_a_shell_would_read_is_refused(void **state) {
	(void)state;
	refused(GSSAPI(", \"keytab\": \"/k\""), "needs both");
	refused(GSSAPI(", \"principal\": \"s@R\""), "needs both");
	refused(GSSAPI(", \"principal\": \"s@R;ls\", \"keytab\": \"/k\""), "sasl.principal: ");
	refused(GSSAPI(", \"principal\": \"s@R\", \"keytab\": \"$(ls)\""), "sasl.keytab: ");
}

/* ---- Advice. ---- */

static void advises(const char *json, const char *text, const char *wanted) {
	struct kafka_conf conf;
	struct sl_buf said = SL_BUF_INIT;
	conf_load(&conf, json);
	struct kafka_client client = {.name = "k", .conf = &conf};
	kafka_advice(&client, RD_KAFKA_RESP_ERR__AUTHENTICATION, text, &said);
	if (!strstr(sl_buf_cstr(&said), wanted)) fail_msg("\"%s\" is not in: %s", wanted, sl_buf_cstr(&said));
	sl_buf_fini(&said);
	conf_fini(kafka_conf_fields, &conf);
}

static void test_advice__of_a_login(void **state) {
	(void)state;
	advises(GSSAPI(KEYTAB),
		"SASL(-4): No worthy mechs found (after 1ms in state AUTH_REQ, 1 identical error(s) suppressed)",
		"No worthy mechs found; install the library's module for Kerberos");
	advises(GSSAPI(KEYTAB), "No Kerberos credentials (cache: FILE:cc)) (after 2ms in state AUTH_REQ)",
		"FILE:cc)); check sasl.principal, sasl.keytab");
	advises(GSSAPI(""), "No Kerberos credentials", "; check sasl.service, and that there is a ticket");
	advises(GSSAPI(""), "Unsupported SASL mechanism: broker's supported mechanisms: PLAIN",
		"PLAIN; set sasl.mechanism to one of these");
	advises("{\"brokers\": \"a:1\"}", "who (after all)?", "who (after all)?; the brokers may want a login");
}

/* ---- Brokers. ---- */

/* "": they are taken; else a part of what is said. */
static void brokers_are(const char *brokers, const char *part) {
	struct kafka_conf conf;
	struct sl_err err = SL_ERR_INIT;
	char *json = sl_asprintf("{\"brokers\": \"%s\"}", brokers);
	conf_load(&conf, json);
	int r = kafka_conf_check(&conf, "k", &err);
	if ((r == SL_OK) != (*part == '\0') || !strstr(sl_err_text(&err), part))
		fail_msg("%s: expected \"%s\", got \"%s\"", brokers, part, sl_err_text(&err));
	assert_null(strstr(sl_err_text(&err), "SECRET"));
	conf_fini(kafka_conf_fields, &conf);
	sl_free(json);
	sl_err_fini(&err);
}

static void test_brokers__what_is_no_address_is_refused(void **state) {
	(void)state;
	brokers_are("k1", "");
	brokers_are("k1:9092, k2:9093,", "");
	brokers_are("[::1]:9092,::1,[::1]", "");
	brokers_are("SASL_SSL://k1:9092,plaintext://[fe80::1]:1", "");
	brokers_are("h:99999", "brokers[0]: 'h:99999': the port is a number between 1 and 65535");
	brokers_are("h:0", "the port is a number between 1 and 65535");
	brokers_are("h:x", "the port is a number between 1 and 65535");
	brokers_are(":9092", "':9092' is no address; write host:port, for example db.example:9092");
	brokers_are("h:", "'h:' is no address");
	brokers_are("[::1", "'[::1' is no address");
	brokers_are("k1:9092,h:0", "brokers[0]: 'h:0': the port");
	brokers_are("k 1:9092", "is no address");
	brokers_are("/run/kafka.sock", "brokers[0]: Kafka is not reached by a unix socket; write host:port");
	brokers_are("http://k1:9092", "write host:port alone");
	brokers_are("k1:9092/topic", "write host:port alone");
	brokers_are(" , ", "brokers: no broker is named; write host:port");
	brokers_are("user:SECRET@k1:9092", "user and password belong under `sasl`");
}

/* ---- Order. ---- */

static void expect_part(const struct kafka_part *part, bool scouted, uint32_t suspects, uint32_t limit) {
	assert_int_equal(part->scouted, scouted);
	assert_int_equal(part->suspects, suspects);
	assert_int_equal(part->limit, limit);
}

/* One row goes and is stored, or refused. */
static void one_by_one(struct kafka_topic *t, struct kafka_part *part, bool by_scout, bool stored, uint64_t now) {
	assert_true(kafka_gate_free(part, false, now));
	kafka_gate_sent(part, by_scout, now);
	if (by_scout) assert_false(kafka_gate_free(part, false, now));
	kafka_gate_reported(part);
	if (stored)
		kafka_gate_stored(t, part, 0, by_scout, now);
	else
		kafka_gate_refused(part, 1, by_scout, now);
}

static void test_gate__a_partition_that_is_refused_twice_is_scouted(void **state) {
	(void)state;
	struct kafka_topic t = {.part_n = 0};
	kafka_gate_stored(&t, &t.unknown, 0, false, 100000);
	struct kafka_part *part = kafka_gate_part(&t, 0);
	assert_ptr_not_equal(part, &t.unknown);
	kafka_gate_refused(part, 1400, false, 100000);
	expect_part(part, false, 1400, 700);
	kafka_gate_refused(part, 700, false, 100500);
	expect_part(part, true, 700, 350);
	part->open = false; /* by another client, that is */
	for (int i = 0; i < 699; i++) one_by_one(&t, part, true, i % 100 != 7, 100600);
	expect_part(part, true, 1, 1);
	assert_false(part->open); /* the other client has stored nothing */
	one_by_one(&t, part, true, true, 101600);
	expect_part(part, false, 0, 0);
	one_by_one(&t, part, false, true, 101700);
	assert_true(part->open);
	sl_free(t.part);
}

static void test_gate__few_rows_are_scouted_at_once_and_a_single_one_is_not(void **state) {
	(void)state;
	struct kafka_topic t = {.part_n = 0};
	struct kafka_part part = {.open = true};
	kafka_gate_refused(&part, 1, false, 100000);
	expect_part(&part, false, 0, 0);
	kafka_gate_refused(&part, 40, false, 120000);
	expect_part(&part, true, 40, 20);
	for (int i = 0; i < 40; i++) one_by_one(&t, &part, true, true, 120100);
	expect_part(&part, true, 0, 20); /* none was to blame: requests of that size are */
	one_by_one(&t, &part, true, true, 121100);
	expect_part(&part, false, 0, 20);
	/* A row that goes alone for what it is may be refused, and the others are as free as before. */
	one_by_one(&t, &part, true, false, 200000);
	expect_part(&part, false, 0, 0);
}

/* ---- Rows. ---- */

struct fixture {
	struct kafka_plan plan;
	struct sl_buf row;
	struct sl_arena arena;
	struct kafka_row out;
};

static void fixture_init(struct fixture *f, const struct kafka_templates *t) {
	struct sl_err err = SL_ERR_INIT;
	*f = (struct fixture){.row = SL_BUF_INIT};
	sl_arena_init(&f->arena, 1024);
	if (kafka_plan_make(t, &f->plan, &err) != SL_OK) fail_msg("%s", sl_err_text(&err));
}

static int read_row(struct fixture *f, const struct sql_value *values, uint16_t n) {
	sl_buf_clear(&f->row);
	sql_row_write(&f->row, values, n, 0, 0, 1700000000000);
	sl_arena_reset(&f->arena);
	return kafka_row_read(&f->plan, f->row.p, &f->arena, &f->out);
}

static void fixture_fini(struct fixture *f) {
	kafka_plan_fini(&f->plan);
	sl_buf_fini(&f->row);
	sl_arena_fini(&f->arena);
}

static void assert_bytes(struct kafka_bytes b, const char *text) {
	if (!text)
		assert_null(b.p);
	else {
		assert_non_null(b.p);
		assert_int_equal(b.n, strlen(text));
		assert_memory_equal(b.p, text, b.n);
	}
}

static struct sql_value text(const char *s) { return sql_string(slice_from_str(s)); }
static struct sql_value of_kind(enum sql_kind kind, const char *s) {
	struct sql_value v = text(s);
	v.kind = kind;
	return v;
}

static void test_row__every_kind_has_its_bytes(void **state) {
	(void)state;
	struct fixture f;
	fixture_init(&f,
		     &(struct kafka_templates){.topic = (char *)(uintptr_t) "t", .value = (char *)(uintptr_t) "${v}"});
	const struct {
		struct sql_value v;
		const char *bytes;
	} cases[] = {
	    {sql_null(), NULL},
	    {of_kind(SQL_JSON_NULL, ""), NULL},
	    {text(""), ""},
	    {text("abc"), "abc"},
	    {of_kind(SQL_BYTES, "\xff\x01"), "\xff\x01"},
	    {sql_bool(true), "true"},
	    {sql_bool(false), "false"},
	    {sql_int(INT64_MIN), "-9223372036854775808"},
	    {sql_double(0.1), "0.1"},
	    {sql_double(25), "25.0"},
	    {of_kind(SQL_NUMBER_TEXT, "18446744073709551616"), "18446744073709551616"},
	    {of_kind(SQL_JSON, "{\"a\":1}"), "{\"a\":1}"},
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
		assert_int_equal(read_row(&f, &cases[i].v, 1), SL_OK);
		assert_bytes(f.out.value, cases[i].bytes);
		assert_null(f.out.key.p);
		assert_int_equal(f.out.timestamp, 1700000000000);
		assert_int_equal(f.out.partition, RD_KAFKA_PARTITION_UA);
	}
	fixture_fini(&f);
}

static void test_row__topic_names_are_judged(void **state) {
	(void)state;
	struct fixture f;
	const struct kafka_templates t = {.topic = (char *)(uintptr_t) "hot.${d}_${e}",
					  .value = (char *)(uintptr_t) "x"};
	fixture_init(&f, &t);
	struct sql_value good[] = {text("a-1"), sql_int(7)};
	assert_int_equal(read_row(&f, good, 2), SL_OK);
	assert_true(slice_equal_str(f.out.topic, "hot.a-1_7"));
	struct sql_value null[] = {text("a"), sql_null()};
	assert_int_equal(read_row(&f, null, 2), SL_EINVAL);
	assert_string_equal(f.out.why, "topic: ${e} is NULL");
	struct sql_value bad[] = {text("a/b"), sql_int(7)};
	assert_int_equal(read_row(&f, bad, 2), SL_EINVAL);
	assert_non_null(strstr(f.out.why, "\"hot.a/b_7\" is no name of a topic"));
	fixture_fini(&f);
	assert_true(kafka_topic_valid(SL_SLICE_LIT("a.b_c-D9")));
	assert_false(kafka_topic_valid(SL_SLICE_LIT("")));
	assert_false(kafka_topic_valid(SL_SLICE_LIT("..")));
	assert_false(kafka_topic_valid(slice_make("a\0b", 3)));
}

static void test_row__times(void **state) {
	(void)state;
	struct fixture f;
	const struct kafka_templates t = {.topic = (char *)(uintptr_t) "t",
					  .value = (char *)(uintptr_t) "x",
					  .timestamp = (char *)(uintptr_t) "${ts}"};
	fixture_init(&f, &t);
	const struct {
		struct sql_value v;
		int64_t ms; /* 0: refused */
	} cases[] = {
	    {sql_null(), 1700000000000},
	    {sql_int(1), 1},
	    {sql_double(1.7e12), 1700000000000},
	    {text("1700000000001"), 1700000000001},
	    {of_kind(SQL_NUMBER_TEXT, "1.7e12"), 1700000000000},
	    {text("1970-01-01T00:00:01.5Z"), 1500},
	    {text("2024-01-01T08:00:00+08:00"), 1704067200000},
	    {sql_int(0), 0},
	    {sql_int(-1), 0},
	    {sql_double(1.5), 0},
	    {text("now"), 0},
	    {sql_bool(true), 0},
	    {of_kind(SQL_NUMBER_TEXT, "1e400"), 0},
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
		int r = read_row(&f, &cases[i].v, 1);
		assert_int_equal(r, cases[i].ms ? SL_OK : SL_EINVAL);
		if (r == SL_OK) assert_int_equal(f.out.timestamp, cases[i].ms);
	}
	fixture_fini(&f);
}

static void headers_are(struct fixture *f, struct sql_value v, const char *expected) {
	const char *name;
	const void *value;
	size_t size;
	struct sl_buf shown = SL_BUF_INIT;
	assert_int_equal(read_row(f, &v, 1), SL_OK);
	for (size_t i = 0; f->out.headers && rd_kafka_header_get_all(f->out.headers, i, &name, &value, &size) == 0; i++)
		sl_buf_printf(&shown, "%s=%.*s;", name, value ? (int)size : 4, value ? (const char *)value : "NULL");
	assert_string_equal(sl_buf_cstr(&shown), expected);
	sl_buf_fini(&shown);
	if (f->out.headers) rd_kafka_headers_destroy(f->out.headers);
}

static void test_row__headers_from_one_value(void **state) {
	(void)state;
	struct fixture f;
	struct conf_pair pair = {.value = (char *)(uintptr_t) "${h}"};
	fixture_init(&f, &(struct kafka_templates){.topic = (char *)(uintptr_t) "t",
						   .value = (char *)(uintptr_t) "x",
						   .headers = {.items = &pair, .len = 1}});
	headers_are(&f, sql_null(), "");
	headers_are(&f, of_kind(SQL_JSON, "{}"), "");
	headers_are(&f, of_kind(SQL_JSON, "{\"a\":\"x\\ny\",\"b\":1.50,\"c\":null,\"d\":[1, 2]}"),
		    "a=x\ny;b=1.50;c=NULL;d=[1,2];");
	headers_are(&f,
		    of_kind(SQL_JSON, "[{\"key\":\"a\",\"value\":\"1\"},{\"value\":2,\"key\":\"a\"},{\"key\":\"n\"}]"),
		    "a=1;a=2;n=NULL;");
	headers_are(&f, text("{\"as\":\"text\"}"), "as=text;");
	const char *bad[] = {"[1]", "[{\"value\":1}]", "7", "{\"a\":", "{\"a\":1"};
	for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++) {
		struct sql_value v = text(bad[i]);
		assert_int_equal(read_row(&f, &v, 1), SL_EINVAL);
		assert_null(f.out.headers);
	}
	fixture_fini(&f);
}

/* ---- Topics that are missing. ---- */

#define MISSING RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
#define DENIED RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED

static void test_missing__counts_what_brokers_say_while_the_connection_is_up(void **state) {
	(void)state;
	struct kafka_topic t = {.name = {NULL, 0}};
	kafka_missing_said(&t, MISSING, 1, 1000);
	kafka_missing_said(&t, MISSING, 1, 1100); /* of another row: the same answer */
	kafka_missing_said(&t, MISSING, 1, 31000);
	assert_false(kafka_missing_for(&t, 1, 30000)); /* twice is not often enough */
	kafka_missing_said(&t, RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, 1, 51000);
	assert_false(kafka_missing_for(&t, 1, 30000));
	kafka_missing_said(&t, MISSING, 1, 51000);
	assert_true(kafka_missing_for(&t, 1, 50000));
	assert_false(kafka_missing_for(&t, 1, 50001));
	kafka_missing_said(&t, MISSING, 1, 951000); /* a minute of the silence */
	assert_true(kafka_missing_for(&t, 1, 110000));
	assert_false(kafka_missing_for(&t, 1, 110001));
}

static void test_missing__an_outage_proves_nothing(void **state) {
	(void)state;
	struct kafka_topic t = {.name = {NULL, 0}};
	for (uint64_t now = 1000; now <= 31000; now += 10000) kafka_missing_said(&t, MISSING, 1, now);
	assert_true(kafka_missing_for(&t, 1, 30000));
	assert_false(kafka_missing_for(&t, 2, 30000)); /* it may have been made meanwhile */
	kafka_missing_said(&t, MISSING, 2, 61000);
	assert_true(kafka_missing_for(&t, 2, 30000));
	assert_false(kafka_missing_for(&t, 2, 30001));
}

static void test_missing__it_is_there_and_goes_again(void **state) {
	(void)state;
	struct kafka_topic t = {.name = {NULL, 0}};
	for (uint64_t now = 1000; now <= 31000; now += 10000) kafka_missing_said(&t, DENIED, 1, now);
	assert_true(kafka_missing_for(&t, 1, 30000));
	assert_true(t.missing.denied);
	kafka_missing_over(&t);
	for (uint64_t now = 41000; now <= 61000; now += 10000) kafka_missing_said(&t, MISSING, 1, now);
	assert_false(t.missing.denied);
	assert_true(kafka_missing_for(&t, 1, 20000));
	assert_false(kafka_missing_for(&t, 1, 20001));
}

static void test_missing__is_kept_while_names_come_and_go(void **state) {
	(void)state;
	char why[200], name[40];
	rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), why, sizeof why);
	struct kafka_topics topics;
	assert_non_null(rk);
	kafka_topics_init(&topics, 4);
	kafka_missing_said(kafka_topics_get(&topics, rk, slice_from_str("doom"), NULL), MISSING, 1, 1000);
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof name, "other-%d", i);
		assert_non_null(kafka_topics_get(&topics, rk, slice_from_str(name), NULL));
	}
	assert_int_equal(kafka_topics_get(&topics, rk, slice_from_str("doom"), NULL)->missing.answers, 1);
	for (int i = 0; i < 20; i++) { /* all are missing: then the one that was not used for longest */
		snprintf(name, sizeof name, "gone-%d", i);
		kafka_missing_said(kafka_topics_get(&topics, rk, slice_from_str(name), NULL), MISSING, 1, 1000);
	}
	assert_int_equal(kafka_topics_get(&topics, rk, slice_from_str("doom"), NULL)->missing.answers, 0);
	kafka_topics_clear(&topics);
	rd_kafka_destroy(rk);
}

/* ---- The partitioner: the vectors of Kafka's own test of Utils.murmur2(). ---- */

static void test_partitioner__is_that_of_java_clients(void **state) {
	(void)state;
	static const struct {
		const char *key;
		int32_t hash;
	} vectors[] = {{"21", -973932308},
		       {"foobar", -790332482},
		       {"a-little-bit-long-string", -985981536},
		       {"a-little-bit-longer-string", -1486304829},
		       {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
		       {"abc", 479470107}};
	for (size_t i = 0; i < SL_ARRAY_LEN(vectors); i++)
		for (int32_t n = 1; n < 100; n += 7)
			assert_int_equal(rd_kafka_msg_partitioner_murmur2(NULL, vectors[i].key, strlen(vectors[i].key),
									  n, NULL, NULL),
					 (vectors[i].hash & 0x7fffffff) % n);
}

/* ---- Tokens. ---- */

/* The expected URLs were made by another program, by the public description of the algorithm. */
static void test_token__iam_signature(void **state) {
	(void)state;
	static const char *const session[] = {NULL, "TOKEN/+="};
	static const char *const urls[] = {
	    "https://kafka.eu-central-1.amazonaws.com/"
	    "?Action=kafka-cluster%3AConnect&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20260131%"
	    "2Feu-"
	    "central-1%2Fkafka-cluster%2Faws4_request&X-Amz-Date=20260131T120000Z&X-Amz-Expires=900&X-Amz-"
	    "SignedHeaders="
	    "host&X-Amz-Signature=487e32d34d82fdda02299b3510ddc99c1dcc27f8b2453d17486965568877c548&User-Agent=sluice",
	    "https://kafka.eu-central-1.amazonaws.com/"
	    "?Action=kafka-cluster%3AConnect&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20260131%"
	    "2Feu-"
	    "central-1%2Fkafka-cluster%2Faws4_request&X-Amz-Date=20260131T120000Z&X-Amz-Expires=900&X-Amz-Security-"
	    "Token="
	    "TOKEN%2F%2B%3D&X-Amz-SignedHeaders=host&X-Amz-Signature="
	    "7e572d9a5f7b6954a1ed1d3d5f3c94872d6fe1fef634e8cf2db172694b821177&User-Agent=sluice"};
	for (size_t i = 0; i < 2; i++) {
		struct kafka_sasl_conf sasl = {.region = (char *)(uintptr_t) "eu-central-1",
					       .access_key = (char *)(uintptr_t) "AKIDEXAMPLE",
					       .secret_key =
						   (char *)(uintptr_t) "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
					       .session_token = (char *)(uintptr_t)session[i]};
		struct kafka_token token;
		struct sl_buf url = SL_BUF_INIT;
		kafka_token_sign(&sasl, 1769860800999, &token);
		assert_int_equal(
		    sql_base64_decode(sl_buf_slice(&token.text), SQL_BASE64_URLSAFE | SQL_BASE64_NO_PADDING, &url),
		    SL_OK);
		assert_string_equal(sl_buf_cstr(&url), urls[i]);
		assert_int_equal(token.until_ms, 1769860800999 + 900000);
		assert_string_equal(token.principal, "AKIDEXAMPLE");
		kafka_token_fini(&token);
		sl_buf_fini(&url);
	}
}

static int token_of(const char *claims, struct kafka_token *out) {
	struct sl_buf b = SL_BUF_INIT;
	sl_buf_append_str(&b, "eyJhbGciOiJub25lIn0.");
	sql_base64_encode(slice_from_str(claims), SQL_BASE64_URLSAFE | SQL_BASE64_NO_PADDING, &b);
	sl_buf_append_str(&b, ".c2ln\n");
	int r = kafka_token_read(sl_buf_slice(&b), out, NULL);
	sl_buf_fini(&b);
	return r;
}

static void test_token__claims_of_a_web_token(void **state) {
	(void)state;
	struct kafka_token t;
	assert_int_equal(token_of("{\"sub\":\"me\",\"exp\":1769860800}", &t), SL_OK);
	assert_string_equal(t.principal, "me");
	assert_int_equal(t.until_ms, 1769860800000);
	assert_int_equal(t.text.p[t.text.n - 1], 'n'); /* the line break is not part of it */
	kafka_token_fini(&t);
	const char *bad[] = {
	    "{\"sub\":\"me\"}", "{\"exp\":\"soon\"}", "{\"exp\":-1}", "{\"exp\":1e300}", "[]", "{", ""};
	for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++) assert_int_not_equal(token_of(bad[i], &t), SL_OK);
	assert_int_not_equal(kafka_token_read(SL_SLICE_LIT("a.b"), &t, NULL), SL_OK);
	assert_int_not_equal(kafka_token_read(SL_SLICE_EMPTY, &t, NULL), SL_OK);
}

/* ---- The error table. ---- */

static void test_errors__the_readme_has_the_table(void **state) {
	(void)state;
	struct sl_buf table = SL_BUF_INIT, readme = SL_BUF_INIT;
	kafka_errors_print(&table);
	FILE *f = fopen(README_MD, "rb");
	assert_non_null(f);
	char chunk[4096];
	for (size_t n; (n = fread(chunk, 1, sizeof chunk, f)) > 0;) sl_buf_append(&readme, chunk, n);
	fclose(f);
	struct sl_slice before = SL_SLICE_LIT("<!-- errors: printed by a test -->\n\n"), all = sl_buf_slice(&readme);
	ptrdiff_t at = slice_find(all, before);
	assert_true(at >= 0);
	struct sl_slice rest = slice_from(all, (size_t)at + before.n);
	ptrdiff_t end = slice_find(rest, SL_SLICE_LIT("\n\n"));
	assert_true(end >= 0);
	struct sl_slice stands = slice_sub(rest, 0, (size_t)end + 1);
	if (!slice_equal(stands, sl_buf_slice(&table)) && getenv("DESCRIBE_WRITE")) {
		f = fopen(README_MD, "wb");
		assert_non_null(f);
		fwrite(all.p, 1, (size_t)at + before.n, f);
		fwrite(table.p, 1, table.n, f);
		fwrite(rest.p + end + 1, 1, rest.n - (size_t)end - 1, f);
		fclose(f);
	} else
		assert_true(slice_equal(stands, sl_buf_slice(&table)));
	sl_buf_fini(&table);
	sl_buf_fini(&readme);
}

static void target_note(void *arg, const char *connector, const char *target) {
	(void)connector;
	sl_buf_printf(arg, "%s ", target);
}

/* They are judged as addresses, and shown. */
static void test_targets__are_addresses_without_a_login(void **state) {
	struct yaml_doc *doc;
	struct conf_report report = CONF_REPORT_INIT;
	struct connectors_set *set;
	struct sl_buf all = SL_BUF_INIT;
	(void)state;
	assert_int_equal(yaml_doc_load(SL_SLICE_LIT("connectors: {k: {type: kafka, brokers: 'SASL_SSL://a:1, b', sasl: "
						    "{mechanism: oauthbearer, client_id: i, client_secret: s, "
						    "token_url: 'https://u:p@w@169.254.169.254:443/token?to=a@b'}}}\n"),
				       "t", &doc, NULL),
			 SL_OK);
	/* Whether librdkafka can fetch tokens here or not. */
	(void)connectors_prepare(NULL, json_object_get(yaml_doc_root(doc), "connectors"),
				 (struct conf_at){doc, "connectors"}, &report, &set);
	connectors_targets(set, target_note, &all);
	assert_string_equal(sl_buf_cstr(&all), "a:1 b 169.254.169.254:443 ");
	sl_buf_fini(&all);
	connectors_set_free(set);
	conf_report_fini(&report);
	yaml_doc_free(doc);
}

static void test_errors__what_nobody_has_thought_of_is_tried_again(void **state) {
	(void)state;
	assert_int_equal(kafka_error_find((rd_kafka_resp_err_t)12345)->result, SL_RESULT_RETRY);
	assert_int_equal(kafka_error_find(RD_KAFKA_RESP_ERR_NO_ERROR)->result, SL_RESULT_DONE);
}

/* A batch that is damaged for good makes no client every two seconds. */
static void test_source__what_stays_unreadable_is_asked_for_ever_more_rarely(void **state) {
	(void)state;
	struct kafka_pause p = {0};
	uint64_t now = 1, clients = 0;
	for (uint64_t until = now + 3600 * 1000; now < until; clients++) {
		kafka_pause_next(&p, now);
		assert_in_range(p.ms, KAFKA_ANEW_MS, KAFKA_ANEW_MAX_MS);
		if (clients < 3) assert_int_equal(p.ms, KAFKA_ANEW_MS);
		now += p.ms + 500;
	}
	assert_in_range(clients, 55, 70);
	now += KAFKA_ANEW_CALM_MS;
	kafka_pause_next(&p, now);
	assert_int_equal(p.ms, KAFKA_ANEW_MS);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_conf__defaults_are_safe),
	    cmocka_unit_test(test_conf__options_become_properties),
	    cmocka_unit_test(test_conf__both_ends_of_every_number),
	    cmocka_unit_test(test_conf__logins),
	    cmocka_unit_test(test_properties__mistakes_are_answered),
	    cmocka_unit_test(test_kerberos__by_keytab_and_without),
	    cmocka_unit_test(test_kerberos__what_a_shell_would_read_is_refused),
	    cmocka_unit_test(test_advice__of_a_login),
	    cmocka_unit_test(test_brokers__what_is_no_address_is_refused),
	    cmocka_unit_test(test_gate__a_partition_that_is_refused_twice_is_scouted),
	    cmocka_unit_test(test_gate__few_rows_are_scouted_at_once_and_a_single_one_is_not),
	    cmocka_unit_test(test_row__every_kind_has_its_bytes),
	    cmocka_unit_test(test_row__topic_names_are_judged),
	    cmocka_unit_test(test_row__times),
	    cmocka_unit_test(test_row__headers_from_one_value),
	    cmocka_unit_test(test_missing__counts_what_brokers_say_while_the_connection_is_up),
	    cmocka_unit_test(test_missing__an_outage_proves_nothing),
	    cmocka_unit_test(test_missing__it_is_there_and_goes_again),
	    cmocka_unit_test(test_missing__is_kept_while_names_come_and_go),
	    cmocka_unit_test(test_partitioner__is_that_of_java_clients),
	    cmocka_unit_test(test_token__iam_signature),
	    cmocka_unit_test(test_token__claims_of_a_web_token),
	    cmocka_unit_test(test_errors__the_readme_has_the_table),
	    cmocka_unit_test(test_source__what_stays_unreadable_is_asked_for_ever_more_rarely),
	    cmocka_unit_test(test_errors__what_nobody_has_thought_of_is_tried_again),
	    cmocka_unit_test(test_targets__are_addresses_without_a_login),
	};
	return cmocka_run_group_tests_name("kafka_parts", tests, NULL, NULL);
}
