/* remote_test.c: the parts of the connector mqtt that need no broker: URLs, rows as packets, what its README says. */
#include "remote_row.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "mem.h"
#include "remote_conf.h"
#include "remote_errors.h"
#include "sql_row.h"

/* ---- URLs. ---- */

static void test_url__parts(void **state) {
	static const struct {
		const char *text, *host;
		uint16_t port;
		bool tls;
	} cases[] = {{"mqtt://broker", "broker", 1883, false},
		     {"mqtts://broker", "broker", 8883, true},
		     {"mqtt://10.0.0.1:2000/", "10.0.0.1", 2000, false},
		     {"mqtts://[::1]:99", "::1", 99, true}};
	(void)state;
	for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
		struct remote_url u;
		assert_int_equal(remote_url_parse(cases[i].text, &u, NULL), SL_OK);
		assert_string_equal(u.host, cases[i].host);
		assert_int_equal(u.port, cases[i].port);
		assert_int_equal(u.tls, cases[i].tls);
		sl_free(u.host);
	}
}

static void test_url__mistakes(void **state) {
	static const char *const cases[] = {"broker:1883",  "http://h",     "mqtt://",
					    "mqtt://u:p@h", "mqtt://h:0x1", "mqtt://h/path"};
	(void)state;
	for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
		struct sl_err err = SL_ERR_INIT;
		struct remote_url u;
		assert_int_equal(remote_url_parse(cases[i], &u, &err), SL_EINVAL);
		assert_non_null(strstr(sl_err_text(&err), "url"));
		assert_null(strstr(sl_err_text(&err), "u:p"));
		sl_free(u.host);
		sl_err_fini(&err);
	}
}

/* ---- Rows. ---- */

static const struct remote_limits any = {.version = MQTT_V5, .packet_max = UINT32_MAX, .qos_max = 2, .retain = true};

/* "" when it is a packet, otherwise why not; the packet is in *p, whose slices live in *out. */
static const char *encoded(const struct remote_action_conf *conf, const struct sql_value *values, uint16_t n,
			   const struct remote_limits *limits, struct sl_buf *out, struct mqtt_publish *p) {
	static struct sl_buf why;
	struct remote_plan plan;
	struct sl_buf row = SL_BUF_INIT;
	enum mqtt_reason reason;
	struct mqtt_frame f;
	uint8_t qos;
	sl_buf_fini(&why);
	sl_buf_clear(out);
	assert_int_equal(remote_plan_make(conf, &plan, NULL), SL_OK);
	assert_int_equal(plan.params.n, n);
	sql_row_write(&row, values, n, 0, 0, 0);
	int rc = remote_row_encode(&plan, row.p, limits, 7, out, &qos, &why);
	assert_int_equal(rc == SL_OK, why.n == 0);
	if (rc == SL_OK) {
		assert_int_equal(mqtt_frame_next(sl_buf_slice(out), SIZE_MAX, &f, &reason), SL_OK);
		assert_int_equal(f.size, out->n);
		assert_int_equal(mqtt_decode_publish(&f, limits->version, MQTT_FROM_CLIENT, p, &reason), SL_OK);
		assert_int_equal(p->qos, qos);
	} else {
		assert_int_equal(out->n, 0);
	}
	remote_plan_fini(&plan);
	sl_buf_fini(&row);
	return sl_buf_cstr(&why);
}

static struct sql_value text(const char *s) { return sql_string(slice_from_str(s)); }

static void test_row__all_of_a_message(void **state) {
	char key[] = "k", value[] = "${v}";
	struct conf_pair pair = {.key = key, .value = value};
	struct remote_action_conf conf = {.topic = "${t}",
					  .payload = "${p}",
					  .qos = "${q}",
					  .retain = "${r}",
					  .payload_format = "1",
					  .message_expiry = "60",
					  .content_type = "${c}",
					  .response_topic = "${a}",
					  .correlation_data = "${d}",
					  .user_properties = {&pair, 1}};
	struct sql_value v[] = {text("a/b"), text("x"),    sql_int(2),   sql_bool(true),   text("1"),
				sql_int(60), text("text"), text("re/1"), text("\x01\x02"), text("val")};
	struct sl_buf out = SL_BUF_INIT;
	struct mqtt_publish p;
	(void)state;
	assert_string_equal(encoded(&conf, v, 10, &any, &out, &p), "");
	assert_true(slice_equal_str(p.topic, "a/b") && slice_equal_str(p.payload, "x"));
	assert_true(p.qos == 2 && p.retain && p.packet_id == 7);
	assert_int_equal(mqtt_props_num(&p.props, MQTT_PROP_PAYLOAD_FORMAT, 9), 1);
	assert_int_equal(mqtt_props_num(&p.props, MQTT_PROP_MESSAGE_EXPIRY, 9), 60);
	assert_true(slice_equal_str(mqtt_props_bytes(&p.props, MQTT_PROP_CONTENT_TYPE), "text"));
	assert_true(slice_equal_str(mqtt_props_bytes(&p.props, MQTT_PROP_RESPONSE_TOPIC), "re/1"));
	assert_int_equal(mqtt_props_bytes(&p.props, MQTT_PROP_CORRELATION_DATA).n, 2);
	assert_int_equal(p.props.user_count, 1);

	struct remote_limits old = any;
	old.version = MQTT_V311;
	assert_string_equal(encoded(&conf, v, 10, &old, &out, &p), "");
	assert_true(slice_equal_str(p.payload, "x"));
	sl_buf_fini(&out);
}

static void test_row__what_the_other_broker_does_not_have(void **state) {
	struct remote_action_conf conf = {.topic = "${t}", .payload = "${p}", .qos = "2", .retain = "true"};
	struct sql_value v[] = {text("a"), text("0123456789"), sql_int(2), sql_bool(true)};
	struct remote_limits less = {.version = MQTT_V5, .packet_max = 30, .qos_max = 1, .retain = false};
	struct sl_buf out = SL_BUF_INIT;
	struct mqtt_publish p;
	(void)state;
	assert_string_equal(encoded(&conf, v, 4, &less, &out, &p), "");
	assert_true(p.qos == 1 && !p.retain);
	less.packet_max = 17; /* 2 + 2 + 1 + 2 + 1 + 10 are 18 */
	assert_non_null(strstr(encoded(&conf, v, 4, &less, &out, &p), "18 bytes"));
	less.packet_max = 18;
	assert_string_equal(encoded(&conf, v, 4, &less, &out, &p), "");
	sl_buf_fini(&out);
}

static void test_row__values_that_are_none(void **state) {
	struct remote_action_conf conf = {.topic = "${t}",
					  .payload = "${p}",
					  .qos = "${q}",
					  .retain = "${r}",
					  .message_expiry = "${e}",
					  .response_topic = "${a}"};
	const struct sql_value right[] = {text("a"), text("x"), sql_int(1), sql_null(), sql_null(), sql_null()};
	static const struct {
		size_t at;
		struct sql_value v;
		const char *why;
	} wrong[] = {{0, {.kind = SQL_NULL}, "topic"},
		     {0, {.kind = SQL_STRING, .n = 3, .p = "a/#"}, "topic"},
		     {0,
		      {.kind = SQL_STRING,
		       .n = 3,
		       .p = "a\xff"
			    "b"},
		      "topic"},
		     {2, {.kind = SQL_INT, .i = 3}, "qos"},
		     {2, {.kind = SQL_STRING, .n = 1, .p = "x"}, "qos"},
		     {2, {.kind = SQL_BOOL, .b = true}, "qos"},
		     {3, {.kind = SQL_STRING, .n = 3, .p = "yes"}, "retain"},
		     {3, {.kind = SQL_INT, .i = 2}, "retain"},
		     {4, {.kind = SQL_INT, .i = -1}, "message_expiry"},
		     {4, {.kind = SQL_INT, .i = 4294967296}, "message_expiry"},
		     {5, {.kind = SQL_STRING, .n = 1, .p = "+"}, "response_topic"}};
	struct sl_buf out = SL_BUF_INIT;
	struct mqtt_publish p;
	(void)state;
	assert_string_equal(encoded(&conf, right, 6, &any, &out, &p), "");
	for (size_t i = 0; i < SL_ARRAY_LEN(wrong); i++) {
		struct sql_value v[SL_ARRAY_LEN(right)];
		memcpy(v, right, sizeof v);
		v[wrong[i].at] = wrong[i].v;
		assert_non_null(strstr(encoded(&conf, v, 6, &any, &out, &p), wrong[i].why));
	}
	sl_buf_fini(&out);
}

static void test_plan__constants_are_checked_at_once(void **state) {
	static const struct remote_action_conf wrong[] = {
	    {.topic = "a/#", .payload = "x", .qos = "1", .retain = "false"},
	    {.topic = "a", .payload = "x", .qos = "3", .retain = "false"},
	    {.topic = "a", .payload = "x", .qos = "1", .retain = "maybe"},
	};
	static const char *const why[] = {"topic", "qos", "retain"};
	(void)state;
	for (size_t i = 0; i < SL_ARRAY_LEN(wrong); i++) {
		struct sl_err err = SL_ERR_INIT;
		struct remote_plan plan;
		assert_int_equal(remote_plan_make(&wrong[i], &plan, &err), SL_EINVAL);
		assert_int_equal(strncmp(sl_err_text(&err), why[i], strlen(why[i])), 0);
		remote_plan_fini(&plan);
		sl_err_fini(&err);
	}
}

/* ---- Documents. ---- */

static void test_readme__has_the_table(void **state) {
	struct sl_buf wanted = SL_BUF_INIT, page = SL_BUF_INIT;
	(void)state;
	sl_buf_append_str(&wanted, "<!-- reasons: printed by a test -->\n\n");
	remote_reasons_print(&wanted);
	FILE *f = fopen(README_MD, "r");
	assert_non_null(f);
	for (int c; (c = fgetc(f)) != EOF;) sl_buf_put(&page, (char)c);
	(void)fclose(f);
	if (!strstr(sl_buf_cstr(&page), sl_buf_cstr(&wanted)))
		fail_msg("the README must have:\n%s", sl_buf_cstr(&wanted));
	sl_buf_fini(&wanted);
	sl_buf_fini(&page);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_url__parts),
	    cmocka_unit_test(test_url__mistakes),
	    cmocka_unit_test(test_row__all_of_a_message),
	    cmocka_unit_test(test_row__what_the_other_broker_does_not_have),
	    cmocka_unit_test(test_row__values_that_are_none),
	    cmocka_unit_test(test_plan__constants_are_checked_at_once),
	    cmocka_unit_test(test_readme__has_the_table),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
