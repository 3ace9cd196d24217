/* fixture.c: see fixture.h. */
#include "fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hash.h"
#include "mem.h"

struct rules_event fixture_event(const char *topic, const char *payload) {
	return (struct rules_event){
	    .topic = slice_from_str(topic),
	    .payload = slice_from_str(payload),
	    .clientid = SL_SLICE_LIT("c1"),
	    .peer = SL_SLICE_LIT("[::1]:4000"),
	    .topic_hash = sl_hash(slice_from_str(topic)),
	    .at_ms = 1700000000000,
	    .qos = 1,
	    .version = 5,
	    .message_expiry_s = -1,
	    .payload_format = -1,
	};
}

static int host_publish(void *broker, int worker, const struct rules_publish *m) {
	struct fixture *f = broker;
	(void)worker;
	if (f->publish_status != SL_OK) return f->publish_status;
	struct fixture_message none = {.topic = NULL}, *kept = &none;
	if (f->published < FIXTURE_MESSAGES_MAX) kept = &f->messages[f->published];
	f->published++;
	*kept = (struct fixture_message){.topic = slice_dup(m->topic),
					 .payload = slice_dup(m->payload),
					 .qos = m->qos,
					 .hops = m->hops,
					 .retain = m->retain,
					 .block = slice_dup(m->properties),
					 .properties = m->properties.n};
	struct rules_event ev = fixture_event(kept->topic, kept->payload);
	ev.qos = m->qos;
	ev.hops = m->hops;
	rules_eval(f->worker, &ev, NULL);
	sl_free(none.topic);
	sl_free(none.payload);
	sl_free(none.block);
	return SL_OK;
}

static struct rules_prepared *prepare(struct rules *r, const char *yaml, struct conf_report *report) {
	struct sl_err err = SL_ERR_INIT;
	struct yaml_doc *doc = NULL;
	struct rules_prepared *prepared = NULL;
	struct sl_buf text = SL_BUF_INIT;
	sl_buf_printf(&text, "rules:\n%s", yaml);
	if (yaml_doc_load(sl_buf_slice(&text), "t.yaml", &doc, &err) != SL_OK) fail_msg("%s", sl_err_text(&err));
	struct conf_at at = {doc, "rules"};
	int rc = rules_prepare(r, json_object_get(yaml_doc_root(doc), "rules"), at, NULL, report, &prepared);
	assert_true((rc == SL_OK) == (prepared != NULL));
	yaml_doc_free(doc);
	sl_buf_fini(&text);
	return prepared;
}

static void load(struct fixture *f, const char *yaml) {
	struct conf_report report = CONF_REPORT_INIT;
	struct rules_prepared *prepared = prepare(f->rules, yaml, &report);
	if (!prepared) {
		char *text = conf_report_format(&report);
		fail_msg("%s", text);
		sl_free(text);
	}
	rules_commit(f->rules, prepared, NULL, NULL);
	conf_report_fini(&report);
}

void fixture_init(struct fixture *f, const char *yaml) {
	*f = (struct fixture){.rules = NULL};
	struct rules_opts opts = {.host = {.broker = f, .publish = host_publish}, .node = "n1", .worker_count = 1};
	f->rules = rules_new(&opts);
	load(f, yaml);
	f->worker = rules_worker_new(f->rules, 0, NULL, NULL);
}

void fixture_reload(struct fixture *f, const char *yaml) { load(f, yaml); }

void fixture_fini(struct fixture *f) {
	for (size_t i = 0; i < FIXTURE_MESSAGES_MAX; i++) {
		sl_free(f->messages[i].topic);
		sl_free(f->messages[i].payload);
		sl_free(f->messages[i].block);
	}
	rules_worker_free(f->worker);
	rules_free(f->rules);
}

char *fixture_errors(const char *yaml) {
	struct conf_report report = CONF_REPORT_INIT;
	struct rules_opts opts = {.node = "check"};
	struct rules *r = rules_new(&opts);
	struct rules_prepared *prepared = prepare(r, yaml, &report);
	char *text = prepared ? NULL : conf_report_format(&report);
	rules_discard(prepared);
	rules_free(r);
	conf_report_fini(&report);
	return text;
}

void fixture_publish(struct fixture *f, const char *topic, const char *payload) {
	struct rules_event ev = fixture_event(topic, payload);
	rules_eval(f->worker, &ev, NULL);
}

json_t *fixture_status(struct fixture *f) {
	json_t *status = json_object();
	struct rules_snapshot *s = rules_snapshot_new(f->rules);
	assert_true(rules_snapshot_take(s));
	while (rules_snapshot_failures_next(s)) rules_snapshot_failures_take(s);
	rules_status(s, status);
	rules_snapshot_free(s);
	return status;
}

static json_t *rule_status(const json_t *status, const char *rule) {
	size_t i;
	json_t *item;
	json_array_foreach(json_object_get(status, "rules"), i, item) {
		if (strcmp(json_string_value(json_object_get(item, "id")), rule) == 0) return item;
	}
	fail_msg("no rule %s in the status", rule);
	return NULL;
}

int64_t fixture_status_count(const json_t *status, const char *rule, int action, const char *name) {
	json_t *at = rule_status(status, rule);
	if (action >= 0) at = json_array_get(json_object_get(at, "actions"), (size_t)action);
	at = json_object_get(at, name);
	assert_true(json_is_integer(at));
	return json_integer_value(at);
}

const char *fixture_status_failure(const json_t *status, const char *rule) {
	json_t *at = json_array_get(json_object_get(rule_status(status, rule), "failures"), 0);
	const char *text = json_string_value(json_object_get(at, "reason"));
	return text ? text : "";
}

int64_t fixture_count(struct fixture *f, const char *rule, int action, const char *name) {
	json_t *status = fixture_status(f);
	int64_t n = fixture_status_count(status, rule, action, name);
	json_decref(status);
	return n;
}

const char *fixture_failure(struct fixture *f, const char *rule) {
	static char reason[512];
	json_t *status = fixture_status(f);
	(void)snprintf(reason, sizeof reason, "%s", fixture_status_failure(status, rule));
	json_decref(status);
	return reason;
}
