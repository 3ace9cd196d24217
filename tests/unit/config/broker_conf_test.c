#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker_conf.h"
#include "log.h"
#include "mem.h"

/* Loads a text by way of a file in the working directory. */
static int load(const char *text, struct broker_conf **conf, struct conf_report *report) {
	FILE *f = fopen("broker_conf_test.yaml", "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	int rc = broker_conf_load("broker_conf_test.yaml", conf, report);
	unlink("broker_conf_test.yaml");
	return rc;
}

static struct broker_conf *load_good(const char *text) {
	struct conf_report report = CONF_REPORT_INIT;
	struct broker_conf *conf;
	int rc = load(text, &conf, &report);
	char *shown = conf_report_format(&report);
	assert_string_equal(shown, "");
	assert_int_equal(rc, SL_OK);
	sl_free(shown);
	conf_report_fini(&report);
	return conf;
}

static void expect_report(const char *text, const char *expected) {
	struct conf_report report = CONF_REPORT_INIT;
	struct broker_conf *conf;
	assert_int_not_equal(load(text, &conf, &report), SL_OK);
	char *shown = conf_report_format(&report);
	assert_string_equal(shown, expected);
	sl_free(shown);
	conf_report_fini(&report);
	broker_conf_free(conf);
}

static void test_broker_conf__empty_file_is_a_local_broker(void **state) {
	(void)state;
	struct broker_conf *c = load_good("");
	assert_int_equal(broker_conf_listener_count(c), 1);
	assert_string_equal(broker_conf_listener(c, 0)->host, "127.0.0.1");
	assert_int_equal(broker_conf_listener(c, 0)->port, 1883);
	assert_true(c->auth.anonymous);
	assert_string_equal(c->node.name, "sluice-1");
	assert_string_equal(c->node.data_dir, "./data");
	assert_int_equal(c->node.workers, CONF_AUTO);
	assert_int_equal(c->log.level, LOG_INFO);
	assert_int_equal(c->mqtt.max_packet_size, 1024 * 1024);
	assert_int_equal(c->mqtt.max_inflight, 32);
	assert_int_equal(c->mqtt.stall_timeout_ms, 10000);
	assert_int_equal(c->mqtt.session_expiry_max_ms, 7 * 86400000LL);
	assert_int_equal(c->mqtt.keepalive_max_ms, CONF_UNLIMITED);
	assert_true(c->mqtt.retain);
	assert_string_equal(c->admin.host, "127.0.0.1");
	assert_int_equal(c->admin.port, 18083);
	assert_null(c->connectors);
	assert_null(c->rules);
	broker_conf_free(c);
}

static void test_broker_conf__everything_is_read(void **state) {
	(void)state;
	struct broker_conf *c =
	    load_good("node: {name: n, data_dir: /d, workers: 3}\n"
		      "log: {level: error, format: json}\n"
		      "listeners:\n"
		      "  - {name: a, bind: \"0.0.0.0:1884\", max_connections: 10}\n"
		      "  - {name: b, type: tcp, bind: \"[::1]:1885\"}\n"
		      "mqtt: {max_packet_size: 64KB, session_expiry_max: unlimited, stall_timeout: 2s, retain: false, "
		      "shared_strategy: sticky}\n"
		      "auth: {anonymous: false, password_file: users.pw}\n"
		      "admin: {enabled: false}\n"
		      "connectors: {x: {type: sqlite}}\n"
		      "rules: {r: {sql: y}}\n");
	assert_int_equal(c->node.workers, 3);
	assert_int_equal(c->log.level, LOG_ERROR);
	assert_int_equal(c->log.format, LOG_FORMAT_JSON);
	assert_string_equal(broker_conf_listener(c, 1)->host, "::1");
	assert_int_equal(broker_conf_listener(c, 1)->port, 1885);
	assert_int_equal(broker_conf_listener(c, 0)->max_connections, 10);
	assert_int_equal(c->mqtt.session_expiry_max_ms, CONF_UNLIMITED);
	assert_int_equal(c->mqtt.stall_timeout_ms, 2000);
	assert_int_equal(c->mqtt.shared_strategy, SHARED_STICKY);
	assert_false(c->mqtt.retain);
	assert_false(c->admin.enabled);
	assert_string_equal(c->auth.password_file, "users.pw");
	assert_non_null(json_object_get(c->connectors, "x"));
	assert_non_null(json_object_get(c->rules, "r"));
	uint32_t line, column;
	assert_true(yaml_value_position(c->doc, "rules.r.sql", &line, &column));
	assert_int_equal(line, 10);
	broker_conf_free(c);
}

static void test_broker_conf__listeners_of_other_types(void **state) {
	(void)state;
	struct broker_conf *c = load_good(
	    "listeners:\n"
	    "  - {name: w, type: ws, bind: \"127.0.0.1:8083\", origins: https://a.example, versions: [\"3.1.1\", "
	    "\"5\"]}\n"
	    "  - {name: u, type: unix, bind: ./data/s.sock, mode: \"0600\", max_connect_rate: 5, max_byte_rate: 1MB}\n"
	    "  - {name: p, bind: \"127.0.0.1:1\", proxy_protocol: true, proxy_from: [127.0.0.1, \"::1\"]}\n");
	assert_string_equal(broker_conf_listener(c, 0)->path, "/mqtt");
	assert_int_equal(broker_conf_listener(c, 0)->versions.len, 2);
	assert_null(broker_conf_listener(c, 1)->host);
	assert_int_equal(broker_conf_listener(c, 1)->max_connect_rate, 5);
	assert_int_equal(broker_conf_listener(c, 1)->max_byte_rate, 1 << 20);
	assert_int_equal(broker_conf_listener(c, 1)->max_message_rate, CONF_UNLIMITED);
	assert_true(broker_conf_listener(c, 2)->proxy_protocol);
	broker_conf_free(c);
	expect_report(
	    "listeners:\n"
	    "  - {name: a, type: unix, bind: a.sock}\n"
	    "  - {name: b, type: unix, bind: a.sock}\n"
	    "  - {name: c, bind: \"127.0.0.1:1\", mode: \"0600\"}\n"
	    "  - {name: d, bind: \"127.0.0.1:2\", proxy_from: 10.0.0.0/8}\n"
	    "  - {name: e, type: unix, bind: e.sock, origins: https://a.example}\n"
	    "  - {name: f, type: ws, bind: \"127.0.0.1:3\", path: mqtt, versions: [\"4\"]}\n"
	    "  - {name: g, type: unix, bind: g.sock, mode: rw}\n",
	    "broker_conf_test.yaml:3:27: listeners[1].bind: another listener has this path; paths must differ\n"
	    "broker_conf_test.yaml:4:36: listeners[2].mode: only listeners of type unix have a mode; remove it\n"
	    "broker_conf_test.yaml:5:36: listeners[3].proxy_from: this does nothing without `proxy_protocol: true`; "
	    "add "
	    "that, or remove this\n"
	    "broker_conf_test.yaml:6:41: listeners[4].origins: only listeners of type ws and wss have origins; remove "
	    "them\n"
	    "broker_conf_test.yaml:7:52: listeners[5].path: a path begins with / and has no spaces, ? or #, for "
	    "example "
	    "/mqtt\n"
	    "broker_conf_test.yaml:7:69: listeners[5].versions[0]: '4' is no version of MQTT; there are \"3.1\", "
	    "\"3.1.1\" "
	    "and \"5\"\n"
	    "broker_conf_test.yaml:8:47: listeners[6].mode: permissions are three octal digits in quotes, for example "
	    "\"0660\"\n");
}

static void test_broker_conf__tls_options_fit_together(void **state) {
	(void)state;
	expect_report(
	    "listeners:\n"
	    "  - {name: a, type: tls, bind: \"127.0.0.1:1\"}\n"
	    "  - {name: b, type: tls, bind: \"127.0.0.1:2\", tls: {cert: c}}\n"
	    "  - {name: c, type: tls, bind: \"127.0.0.1:3\", tls: {cert: c, key: k, verify_peer: required}}\n"
	    "  - {name: d, type: tls, bind: \"127.0.0.1:4\", tls: {cert: c, key: k, crl: l}}\n"
	    "  - {name: e, bind: \"127.0.0.1:5\", tls: {cert: c, key: k}}\n",
	    "broker_conf_test.yaml:2:5: listeners[0].tls.cert: a listener that speaks TLS needs `cert` and `key`, its "
	    "certificate and private key, or `psk_file`\n"
	    "broker_conf_test.yaml:3:53: listeners[1].tls.cert: `cert` needs `key`, the private key of the "
	    "certificate; when "
	    "one file holds both, name it twice\n"
	    "broker_conf_test.yaml:4:70: listeners[2].tls.verify_peer: to check client certificates takes `ca`, the "
	    "file "
	    "with the authorities that sign them\n"
	    "broker_conf_test.yaml:5:70: listeners[3].tls.crl: nobody's certificate is checked, so nobody's is refused "
	    "by "
	    "`crl`; set `verify_peer`\n"
	    "broker_conf_test.yaml:6:36: listeners[4].tls: a listener of type tcp has no tls options; remove them, or "
	    "give it the type tls\n");
}

static void test_broker_conf__listener_mistakes(void **state) {
	(void)state;
	expect_report(
	    "listeners:\n"
	    "  - {name: a, bind: \"1883\"}\n"
	    "  - {name: a, bind: \"127.0.0.1:1\"}\n"
	    "  - {name: c, bind: \"127.0.0.1:2\", path: /mqtt}\n"
	    "  - {bind: \"127.0.0.1:3\"}\n"
	    "auth: {anonymous: true}\n",
	    "broker_conf_test.yaml:2:21: listeners[0].bind: '1883' is not an address with a port: write for example "
	    "127.0.0.1:1883, [::1]:1883 or :1883 for all addresses\n"
	    "broker_conf_test.yaml:3:6: listeners[1].name: another listener has this name; names must differ\n"
	    "broker_conf_test.yaml:4:36: listeners[2].path: only listeners of type ws and wss have a path; remove it\n"
	    "broker_conf_test.yaml:5:5: listeners[3]: the option `name` is required, for example `name: mqtt`\n");
}

static void test_broker_conf__open_to_the_world_must_be_said(void **state) {
	(void)state;
	expect_report(
	    "listeners: [{name: a, bind: \"0.0.0.0:1883\"}]\n",
	    "broker_conf_test.yaml:1:1: auth: nobody could connect: set password_file (made by `sluice passwd FILE "
	    "USER`), or `anonymous: true` to let everybody in\n");
	expect_report(
	    "auth: {anonymous: false}\n",
	    "broker_conf_test.yaml:1:1: auth: nobody could connect: set password_file (made by `sluice passwd FILE "
	    "USER`), or `anonymous: true` to let everybody in\n");
}

static void test_broker_conf__all_mistakes_at_once(void **state) {
	(void)state;
	expect_report(
	    "mqtt:\n"
	    "  max_paket_size: 1MB\n"
	    "  connect_timeout: 5 parsecs\n"
	    "  max_qos: 3\n"
	    "  shared_strategy: stiky\n"
	    "rules: [1]\n"
	    "logg: {}\n",
	    "broker_conf_test.yaml:2:3: mqtt.max_paket_size: unknown option; did you mean `max_packet_size`?\n"
	    "broker_conf_test.yaml:3:20: mqtt.connect_timeout: '5 parsecs' is not a duration: write a number with "
	    "ms, s, m, h or d, for example 5ms or 1h30m\n"
	    "broker_conf_test.yaml:4:12: mqtt.max_qos: 3 is out of range: it must be between 0 and 2\n"
	    "broker_conf_test.yaml:5:20: mqtt.shared_strategy: 'stiky' is not one of `round_robin`, `random`, "
	    "`sticky`, `hash_clientid`, `hash_topic`, `local_first` "
	    "or `least_inflight`; did you mean `sticky`?\n"
	    "broker_conf_test.yaml:6:8: rules: must be a map, {name: {...}}\n"
	    "broker_conf_test.yaml:7:1: logg: unknown option; did you mean `log`?\n");
}

static void test_broker_conf__not_yaml_gives_no_conf(void **state) {
	(void)state;
	struct conf_report report = CONF_REPORT_INIT;
	struct broker_conf *conf;
	assert_int_equal(load("a: [", &conf, &report), SL_ESYNTAX);
	assert_null(conf);
	assert_int_equal(report.len, 1);
	conf_report_fini(&report);
	assert_int_equal(broker_conf_load("/nonexistent/s.yaml", &conf, &report), SL_ENOTFOUND);
	assert_null(conf);
	conf_report_fini(&report);
}

static void test_broker_conf__reload_names_what_needs_a_restart(void **state) {
	(void)state;
	struct broker_conf *a = load_good(""), *b = load_good("mqtt: {max_qos: 1}\nadmin: {enabled: false}\n");
	struct broker_conf *c = load_good("auth: {anonymous: true}\nrules: {}\n"
					  "listeners: [{name: a, bind: \"0.0.0.0:1999\"}]\n");
	struct sl_buf sections = SL_BUF_INIT;
	assert_true(broker_conf_needs_restart(a, b, &sections));
	assert_string_equal(sl_buf_cstr(&sections), "mqtt, admin");
	assert_false(broker_conf_needs_restart(a, c, &sections));
	sl_buf_fini(&sections);
	broker_conf_free(a);
	broker_conf_free(b);
	broker_conf_free(c);
}

static void test_broker_conf__shipped_file_is_good(void **state) {
	(void)state;
	struct conf_report report = CONF_REPORT_INIT;
	struct broker_conf *conf;
	assert_int_equal(broker_conf_load(CONF_DIR "/sluice.yaml", &conf, &report), SL_OK);
	assert_int_equal(json_object_size(conf->rules), 4);
	assert_int_equal(json_object_size(conf->connectors), 2);
	broker_conf_free(conf);
}

static char *read_text(const char *path) {
	struct sl_buf text = SL_BUF_INIT;
	FILE *f = fopen(path, "r");
	for (int c; f && (c = fgetc(f)) != EOF;) sl_buf_put(&text, (char)c);
	if (f) fclose(f);
	return sl_buf_steal(&text);
}

/* conf/reference.md is printed from the tables; SLUICE_RENEW=1 writes it anew. */
static void test_broker_conf__committed_reference_is_true(void **state) {
	(void)state;
	struct sl_buf out = SL_BUF_INIT;
	sl_buf_append_str(
	    &out, "# Options of the broker\n\nPrinted from the option tables (broker/app/conf); don't edit.\n\n");
	broker_conf_reference(&out);
	if (getenv("SLUICE_RENEW")) {
		FILE *f = fopen(CONF_DIR "/reference.md", "w");
		assert_non_null(f);
		fputs(sl_buf_cstr(&out), f);
		fclose(f);
	}
	char *committed = read_text(CONF_DIR "/reference.md");
	assert_string_equal(committed, sl_buf_cstr(&out));
	sl_free(committed);
	sl_buf_fini(&out);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_broker_conf__empty_file_is_a_local_broker),
	    cmocka_unit_test(test_broker_conf__everything_is_read),
	    cmocka_unit_test(test_broker_conf__tls_options_fit_together),
	    cmocka_unit_test(test_broker_conf__listeners_of_other_types),
	    cmocka_unit_test(test_broker_conf__listener_mistakes),
	    cmocka_unit_test(test_broker_conf__open_to_the_world_must_be_said),
	    cmocka_unit_test(test_broker_conf__all_mistakes_at_once),
	    cmocka_unit_test(test_broker_conf__not_yaml_gives_no_conf),
	    cmocka_unit_test(test_broker_conf__reload_names_what_needs_a_restart),
	    cmocka_unit_test(test_broker_conf__shipped_file_is_good),
	    cmocka_unit_test(test_broker_conf__committed_reference_is_true),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
