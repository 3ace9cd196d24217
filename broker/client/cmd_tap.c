/* cmd_tap.c: `sluice tap`: samples live messages into a test file for `sluice test`. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker_conf.h"
#include "clock.h"
#include "cmd_common.h"
#include "commands.h"
#include "event_kind.h"
#include "mem.h"
#include "mqtt_client.h"
#include "tap_case.h"
#include "topic.h"

struct tap_options {
	struct cmd_common common;
	const char *file, *rule, *output;
	char *host; /* of the configuration's listener */
	struct cli_list topics;
	int64_t count, wait_s, qos;
};

#define AT(member) offsetof(struct tap_options, member)
static const struct cli_option options[] = {
    {.letter = 'c',
     .name = "config",
     .type = CLI_TEXT,
     .at = AT(file),
     .value = "FILE",
     .doc = "the configuration whose rules the messages are run through"},
    {.letter = 'r',
     .name = "rule",
     .type = CLI_TEXT,
     .at = AT(rule),
     .value = "RULE",
     .doc = "the rule; without it each case says which of all rules match, and -t is needed"},
    CMD_FILTERS_OPTION(AT(topics), ". Default: the rule's FROM"),
    CMD_COUNT_OPTION('n', AT(count), 1, 10000),
    CMD_WAIT_OPTION(AT(wait_s), 1, 86400, ", however many came"),
    CMD_QOS_OPTION(AT(qos), "of the subscription"),
    {.letter = 'o',
     .name = "output",
     .type = CLI_TEXT,
     .at = AT(output),
     .value = "FILE",
     .doc = "the test file to write, which must not be there yet; standard output when none is named"},
    CMD_COMMON_OPTIONS(struct tap_options),
};
static const struct cli_command command = {
    .usage = "sluice tap -c FILE RULE [-o cases.yaml] [options]",
    .summary =
	"Subscribes to what a rule reads and writes the messages that come as cases for `sluice test`, each with "
	"what the rule\nmakes of it now. Unless -h and -p say otherwise, the broker is where the configuration's first "
	"tcp "
	"listener is.",
    .options = options,
    .options_len = SL_ARRAY_LEN(options),
    .word = 'r',
    .examples =
	"examples:\n"
	"  sluice tap -c sluice.yaml hot_rooms -n 20 -o hot_rooms_test.yaml && sluice test hot_rooms_test.yaml\n",
};

struct tapping {
	const struct tap_options *o;
	struct rule_book book;
	struct ruleset *set;
	struct tap tap;
};

/* A test file has a map of user properties: of one that is there twice the first counts. */
static void take_properties(const struct mqtt_publish *p, struct rule_test_message *m) {
	struct mqtt_prop_item it;
	struct conf_map *map = &m->user_properties;
	map->items = SL_NEW_ARRAY(struct conf_pair, p->props.user_count + 1);
	for (struct sl_slice rest = p->props.raw; mqtt_props_next(&rest, &it);) {
		bool there = it.prop != MQTT_PROP_USER_PROPERTY;
		for (size_t i = 0; i < map->len && !there; i++) there = slice_equal_str(it.bytes, map->items[i].key);
		if (!there) map->items[map->len++] = (struct conf_pair){slice_dup(it.bytes), slice_dup(it.value)};
	}
}

static char *property_text(const struct mqtt_publish *p, enum mqtt_prop prop) {
	return mqtt_props_has(&p->props, prop) ? slice_dup(mqtt_props_bytes(&p->props, prop)) : NULL;
}

/* Retained ones are from another time. */
static void on_message(void *arg, const struct mqtt_publish *p) {
	struct tapping *t = arg;
	static char tester[] = "sluice-test"; /* what a test file has when it says nothing */
	if (p->retain || t->tap.count >= (size_t)t->o->count) return;
	struct rule_test_message m = {.topic = slice_dup(p->topic),
				      .clientid = tester,
				      .content_type = property_text(p, MQTT_PROP_CONTENT_TYPE),
				      .response_topic = property_text(p, MQTT_PROP_RESPONSE_TOPIC),
				      .qos = p->qos,
				      .timestamp = sl_clock_wall_ms()};
	sl_buf_append_slice(&m.bytes, p->payload);
	take_properties(p, &m);
	tap_message(&t->tap, &m);
	for (size_t i = 0; i < m.user_properties.len; i++) {
		sl_free(m.user_properties.items[i].key);
		sl_free(m.user_properties.items[i].value);
	}
	sl_free(m.user_properties.items);
	sl_free(m.content_type);
	sl_free(m.response_topic);
	sl_free(m.topic);
	sl_buf_fini(&m.bytes);
}

static int subscribe(const struct tapping *t, struct mqtt_client *c, struct sl_err *err) {
	const struct tap_options *o = t->o;
	size_t count = 0, topics = 0;
	int rc = SL_OK;
	for (size_t i = 0; i < o->topics.len && rc == SL_OK; i++)
		rc = mqtt_client_subscribe(c, o->topics.items[i], (uint8_t)o->qos, err);
	if (o->topics.len || rc != SL_OK) return rc;
	const struct sl_slice *from = sql_program_from(t->set->rules[0]->program, &count);
	for (size_t i = 0; i < count && rc == SL_OK; i++) {
		if (event_from(from[i]) || !topic_filter_valid(from[i])) continue;
		char *filter = slice_dup(from[i]);
		rc = mqtt_client_subscribe(c, filter, (uint8_t)o->qos, err);
		sl_free(filter);
		topics++;
	}
	if (rc == SL_OK && topics == 0)
		rc = sl_err_set(err, SL_EUNSUPPORTED,
				"the rule reads events, which cannot be subscribed to; write its tests by "
				"hand (rules/testing.md)");
	return rc;
}

static int receive(const struct tapping *t, struct mqtt_client *c, struct sl_err *err) {
	uint64_t end_ms = sl_clock_mono_ms() + (uint64_t)t->o->wait_s * 1000;
	int rc = subscribe(t, c, err);
	if (rc == SL_OK) fputs("tapping\n", stderr);
	while (rc == SL_OK && !cmd_stopped && t->tap.count < (size_t)t->o->count && sl_clock_mono_ms() < end_ms)
		rc = mqtt_client_poll(c, 100, err);
	return rc;
}

/* The configuration as seen from the file that is written. Heap. */
static char *config_name(const struct tap_options *o) {
	const char *slash = strrchr(o->file, '/'), *out = o->output ? strrchr(o->output, '/') : NULL;
	size_t n = slash ? (size_t)(slash - o->file) + 1 : 0, m = out ? (size_t)(out - o->output) + 1 : 0;
	if (n == m && strncmp(o->file, o->output ? o->output : "", n) == 0) return sl_strdup(o->file + n);
	char *path = realpath(o->file, NULL), *copy = sl_strdup(path ? path : o->file);
	free(path);
	return copy;
}

/* Where the command line does not say it, the broker is where its own configuration has it listen. */
static void find_broker(struct tap_options *o) {
	struct conf_report report = CONF_REPORT_INIT;
	struct broker_conf *conf = NULL;
	const struct broker_listener *tcp = NULL;
	if (!o->common.port && broker_conf_load(o->file, &conf, &report) == SL_OK)
		for (size_t i = 0; i < broker_conf_listener_count(conf) && !tcp; i++)
			if (broker_conf_listener(conf, i)->type == LISTENER_TCP) tcp = broker_conf_listener(conf, i);
	if (tcp) {
		bool any = !tcp->host || strcmp(tcp->host, "0.0.0.0") == 0 || strcmp(tcp->host, "::") == 0 ||
			   strcmp(tcp->host, "*") == 0;
		if (!o->common.host && !any) o->host = sl_strdup(tcp->host);
		o->common.port = tcp->port;
	}
	if (!o->common.host) o->common.host = o->host ? o->host : "127.0.0.1";
	if (!o->common.port) o->common.port = 1883;
	broker_conf_free(conf);
	conf_report_fini(&report);
}

static int tap_run(struct tapping *t) {
	const struct tap_options *o = t->o;
	struct sl_err err = SL_ERR_INIT;
	struct mqtt_client_conf conf = cmd_client_conf(&o->common);
	conf.on_message = on_message;
	conf.arg = t;
	FILE *out = o->output ? fopen(o->output, "wxe") : stdout; /* cases that are there may be somebody's work */
	if (!out) {
		fprintf(stderr, "tap: cannot write %s: %s\n", o->output, strerror(errno));
		return CLI_INPUT;
	}
	char *config = config_name(o);
	tap_begin(&t->tap, out, config, &t->book, t->set);
	struct mqtt_client *c = mqtt_client_new(&conf);
	int rc = mqtt_client_connect(c, &err);
	if (rc == SL_OK) rc = receive(t, c, &err);
	mqtt_client_close(c);
	mqtt_client_free(c);
	int code = rc == SL_OK ? CLI_OK : cmd_fail("tap", &err);
	if (code == CLI_OK && t->tap.count == 0) {
		fputs("tap: no message came; see that the topics are right, and wait longer with -W\n", stderr);
		code = CLI_INPUT;
	} else if (code == CLI_OK)
		fprintf(stderr, "%zu message%s\n", t->tap.count, t->tap.count == 1 ? "" : "s");
	if ((out == stdout ? fflush(out) : fclose(out)) != 0 && code == CLI_OK) {
		fprintf(stderr, "tap: cannot write: %s\n", strerror(errno));
		code = CLI_SYSTEM;
	}
	if (o->output && t->tap.count == 0) (void)unlink(o->output); /* a list without cases is no test file */
	tap_fini(&t->tap);
	sl_free(config);
	sl_err_fini(&err);
	return code;
}

static int rules_load(struct tapping *t) {
	struct conf_report report = CONF_REPORT_INIT;
	struct sl_err err = SL_ERR_INIT;
	int code = CLI_OK;
	if (rule_book_load(&t->book, t->o->file, &report) != SL_OK) {
		char *text = conf_report_format(&report);
		fputs(text, stderr);
		sl_free(text);
		code = CLI_INPUT;
	} else if (t->o->rule && rule_book_find(&t->book, t->o->rule, &t->set, &err) != SL_OK)
		code = cmd_fail("tap", &err);
	sl_err_fini(&err);
	conf_report_fini(&report);
	return code;
}

int cmd_tap(int argc, char **argv) {
	struct tap_options o = {.count = 10, .wait_s = 60, .qos = 1};
	struct tapping t = {.o = &o, .book = RULE_BOOK_INIT};
	int code;
	cmd_stop_on_signals();
	if (!cli_parse(&command, argc, argv, &o, &code)) {
		cli_list_fini(&o.topics);
		return code;
	}
	const char *wrong = !o.file                    ? "-c names the configuration"
			    : !o.rule && !o.topics.len ? "name a rule, or topics with -t"
						       : NULL;
	if (wrong) {
		fprintf(stderr, "tap: %s\nusage: %s\n", wrong, command.usage);
		code = CLI_USAGE;
	} else if (!cmd_common_ready(&o.common, "tap")) {
		code = CLI_USAGE;
	} else {
		code = rules_load(&t);
		if (code == CLI_OK) {
			if (!o.common.url_text) find_broker(&o);
			code = tap_run(&t);
		}
		sl_free(o.host);
	}
	rule_book_fini(&t.book);
	cli_list_fini(&o.topics);
	cmd_common_fini(&o.common);
	return code;
}
