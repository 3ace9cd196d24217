/* test_file.c: see test_file.h. */
#include "test_file.h"

#include "event_kind.h"
#include "mem.h"
#include "rule_try.h"
#include "schema.h"
#include "schema_doc.h"
#include "sql_base64.h"
#include "topic.h"
#include "tree_json.h"
#include "utf8.h"

enum { MESSAGES_MAX = 10000, CASES_MAX = 100000 };

static const struct conf_field expect_fields[] = {
    {.name = "match",
     .type = CONF_TREE,
     .at = offsetof(struct rule_test_expect, match),
     .doc = "`true` or `false`: does the rule run to its end? `topic` or `where`: no, and that is what said no.",
     .example = "where"},
    {.name = "rows",
     .type = CONF_TREE,
     .at = offsetof(struct rule_test_expect, rows),
     .doc =
	 "The rows, in order. Numbers exactly, 31 is not 31.0; members of an object in any order; `${any}` stands for "
	 "any value.",
     .example = "[{device: d7, t: 31.5}]"},
    {.name = "actions",
     .type = CONF_TREE,
     .at = offsetof(struct rule_test_expect, actions),
     .doc = "What each action would get, in the order of the rule's `actions:`; of several rows a list. Only the "
	    "members given are compared; `${any}` passes over an action.",
     .example = "[{republish: {topic: alerts/d7}}]"},
    {.name = "error",
     .type = CONF_STRING,
     .flags = CONF_NONEMPTY,
     .at = offsetof(struct rule_test_expect, error),
     .doc = "The run fails, with this text in its reason.",
     .example = "not JSON"},
    {.name = "matched",
     .type = CONF_TREE,
     .at = offsetof(struct rule_test_expect, matched),
     .doc = "Without `rule`: the ids of all rules that match, in the order of the configuration.",
     .example = "[hot_rooms, archive_all]"},
    CONF_END};

static const struct conf_field message_fields[] = {
    {.name = "topic",
     .type = CONF_STRING,
     .at = offsetof(struct rule_test_message, topic),
     .max = TOPIC_BYTES_MAX,
     .doc = "The topic. May be left out when the rule's FROM names one without wildcards.",
     .example = "room/7/telemetry"},
    {.name = "payload",
     .type = CONF_TREE,
     .at = offsetof(struct rule_test_message, payload),
     .doc = "Text as it stands, or a tree that becomes JSON. Absent: empty.",
     .example = "{t: 31.5}"},
    {.name = "payload_base64",
     .type = CONF_STRING,
     .at = offsetof(struct rule_test_message, payload_base64),
     .doc = "Instead of `payload`: bytes that are no text."},
    {.name = "event",
     .type = CONF_STRING,
     .flags = CONF_NONEMPTY,
     .at = offsetof(struct rule_test_message, event),
     .doc = "Instead of a topic: the event that it is; left out when the rule's FROM names one.",
     .example = "$events/client/connected"},
    {.name = "columns",
     .type = CONF_TREE,
     .at = offsetof(struct rule_test_message, columns),
     .doc = "Of an event: its columns, those that matter; the others are absent.",
     .example = "{clientid: d7, keepalive: 60}"},
    {.name = "clientid",
     .type = CONF_STRING,
     .at = offsetof(struct rule_test_message, clientid),
     .def = "sluice-test",
     .doc = "The publisher's client id."},
    {.name = "username",
     .type = CONF_STRING,
     .at = offsetof(struct rule_test_message, username),
     .doc = "The publisher's user name."},
    {.name = "qos",
     .type = CONF_INT,
     .at = offsetof(struct rule_test_message, qos),
     .def = "0",
     .max = 2,
     .doc = "0, 1 or 2."},
    {.name = "retain",
     .type = CONF_BOOL,
     .at = offsetof(struct rule_test_message, retain),
     .def = "false",
     .doc = "The retain flag."},
    {.name = "user_properties",
     .type = CONF_STRING_MAP,
     .at = offsetof(struct rule_test_message, user_properties),
     .max = 1000,
     .doc = "MQTT 5 user properties.",
     .example = "{line: \"4\"}"},
    {.name = "content_type",
     .type = CONF_STRING,
     .at = offsetof(struct rule_test_message, content_type),
     .max = UINT16_MAX,
     .doc = "MQTT 5 content type."},
    {.name = "response_topic",
     .type = CONF_STRING,
     .at = offsetof(struct rule_test_message, response_topic),
     .max = UINT16_MAX,
     .doc = "MQTT 5 response topic."},
    {.name = "correlation_data",
     .type = CONF_STRING,
     .at = offsetof(struct rule_test_message, correlation_data),
     .max = UINT16_MAX,
     .doc = "MQTT 5 correlation data, as text."},
    {.name = "timestamp",
     .type = CONF_INT,
     .at = offsetof(struct rule_test_message, timestamp),
     .def = "-1",
     .min = -1,
     .max = RULE_TRY_TIME_MAX,
     .doc = "When it arrives, in ms since 1970. -1: when the one before it did; the first at 1767225600000, the "
	    "beginning of 2026."},
    {.name = "after",
     .type = CONF_DURATION,
     .at = offsetof(struct rule_test_message, after_ms),
     .def = "0",
     .max = INT64_C(366) * 86400 * 1000,
     .doc = "So much later.",
     .example = "10s"},
    {.name = "expect",
     .type = CONF_OBJECT,
     .at = offsetof(struct rule_test_message, expect),
     .fields = expect_fields,
     .doc = "What this message alone comes to."},
    CONF_END};

static const struct conf_field case_fields[] = {
    {.name = "name",
     .type = CONF_STRING,
     .flags = CONF_REQUIRED | CONF_NONEMPTY,
     .at = offsetof(struct rule_test_case, name),
     .doc = "What the case shows, in a few words.",
     .example = "a hot room raises an alert"},
    {.name = "rule",
     .type = CONF_STRING,
     .flags = CONF_NONEMPTY,
     .at = offsetof(struct rule_test_case, rule),
     .doc = "The id of the rule. Absent: the only one there is, or all of them; then `expect` says `matched`.",
     .example = "hot_rooms"},
    {.name = "message",
     .type = CONF_TREE,
     .at = offsetof(struct rule_test_case, message),
     .doc = "The message.",
     .example = "{topic: room/7/telemetry, payload: {t: 31.5}}"},
    {.name = "messages",
     .type = CONF_TREE,
     .at = offsetof(struct rule_test_case, messages),
     .doc = "Instead of `message`: several, one after the other, for rules that remember."},
    {.name = "expect",
     .type = CONF_OBJECT,
     .at = offsetof(struct rule_test_case, expect),
     .fields = expect_fields,
     .doc = "What all messages together come to."},
    CONF_END};

#define IGNORED(i, section)                                                                                            \
	{                                                                                                              \
		.name = section, .type = CONF_TREE, .flags = CONF_NULL_OK,                                             \
		.at = offsetof(struct rule_tests, ignored[i]), .doc = "The broker's; of no meaning here."              \
	}
static const struct conf_field file_fields[] = {
    {.name = "config",
     .type = CONF_STRING,
     .flags = CONF_NONEMPTY,
     .at = offsetof(struct rule_tests, config),
     .doc = "The configuration whose rules are tested, as seen from the folder of this file.",
     .example = "sluice.yaml"},
    {.name = "connectors",
     .type = CONF_TREE,
     .flags = CONF_NULL_OK,
     .at = offsetof(struct rule_tests, connectors_tree),
     .doc = "Instead of `config`: the connectors, as in a configuration."},
    {.name = "rules",
     .type = CONF_TREE,
     .flags = CONF_NULL_OK,
     .at = offsetof(struct rule_tests, rules_tree),
     .doc = "Instead of `config`: the rules, as in a configuration."},
    {.name = "tests",
     .type = CONF_OBJECT_LIST,
     .flags = CONF_REQUIRED | CONF_NONEMPTY,
     .at = offsetof(struct rule_tests, list),
     .fields = case_fields,
     .item_size = sizeof(struct rule_test_case),
     .max = CASES_MAX,
     .doc = "The cases."},
    IGNORED(0, "node"),
    IGNORED(1, "log"),
    IGNORED(2, "listeners"),
    IGNORED(3, "mqtt"),
    IGNORED(4, "auth"),
    IGNORED(5, "admin"),
    IGNORED(6, "state"),
    IGNORED(7, "sources"),
    CONF_END};

void rule_tests_describe(struct sl_buf *out) {
	static const struct {
		const char *title;
		const struct conf_field *fields;
	} parts[] = {{"A case", case_fields}, {"A message", message_fields}, {"What is expected", expect_fields}};
	for (size_t i = 0; i < SL_ARRAY_LEN(parts); i++) {
		sl_buf_printf(out, "%s## %s\n\n", i ? "\n" : "", parts[i].title);
		schema_doc_markdown(parts[i].fields, out);
	}
}

/* ---- the rules ---------------------------------------------------------------------------------------------------- */

/* `config:` as seen from the folder that the file stands in. */
static char *config_path(const struct rule_tests *t) {
	const char *slash = strrchr(t->file, '/');
	if (!slash || t->config[0] == '/') return sl_strdup(t->config);
	return sl_asprintf("%.*s/%s", (int)(slash - t->file), t->file, t->config);
}

static int load_rules(struct rule_tests *t) {
	if (!t->config) {
		if (t->rules_tree)
			return rule_book_fill(&t->book, t->doc, t->connectors_tree, t->rules_tree, &t->report);
		return conf_report_add(&t->report, (struct conf_at){t->doc, ""}, CONF_AT_VALUE, SL_EINVAL,
				       "says nothing of the rules: write `config: sluice.yaml`, or `rules:`");
	}
	if (t->rules_tree || t->connectors_tree)
		return conf_report_add(&t->report, (struct conf_at){t->doc, "config"}, CONF_AT_KEY, SL_EINVAL,
				       "stands beside `rules` or `connectors`; keep the one or the others");
	char *path = config_path(t);
	int rc = rule_book_load(&t->book, path, &t->report);
	sl_free(path);
	return rc;
}

static int case_rule(struct rule_tests *t, struct rule_test_case *c, const char *path) {
	if (!c->rule) {
		if (t->book.count == 1 && !c->expect.matched) c->set = t->book.sets[0];
		return SL_OK;
	}
	struct sl_err err = SL_ERR_INIT;
	int rc = rule_book_find(&t->book, c->rule, &c->set, &err);
	if (rc == SL_OK) return rc;
	char *rule_path = yaml_path_key(path, "rule");
	conf_report_add(&t->report, (struct conf_at){t->doc, rule_path}, CONF_AT_VALUE, rc, "%s", sl_err_text(&err));
	sl_free(rule_path);
	sl_err_fini(&err);
	return rc;
}

/* ---- messages and expectations ------------------------------------------------------------------------------------ */

static int fault(struct rule_tests *t, const char *path, const char *member, const char *what) {
	char *at = member ? yaml_path_key(path, member) : sl_strdup(path);
	int rc = conf_report_add(&t->report, (struct conf_at){t->doc, at}, CONF_AT_VALUE, SL_EINVAL, "%s", what);
	sl_free(at);
	return rc;
}

static bool match_sound(const json_t *match) {
	const char *text = json_string_value(match);
	return !match || json_is_boolean(match) || (text && (strcmp(text, "topic") == 0 || strcmp(text, "where") == 0));
}

static bool texts_only(const json_t *list) {
	size_t i;
	const json_t *v;
	if (!json_is_array(list)) return false;
	json_array_foreach(list, i, v) if (!json_is_string(v)) return false;
	return true;
}

static int check_expect(struct rule_tests *t, const struct rule_test_case *c, const struct rule_test_expect *e,
			const char *path) {
	char *at = yaml_path_key(path, "expect");
	int rc = SL_OK;
	if (!match_sound(e->match)) rc = fault(t, at, "match", "is true, false, topic or where");
	if (e->rows && !json_is_array(e->rows)) rc = fault(t, at, "rows", "must be a list of rows; [] for none");
	if (e->actions && !json_is_array(e->actions))
		rc = fault(t, at, "actions", "must be a list, an item for each of the rule's actions");
	if (e->matched && !texts_only(e->matched)) rc = fault(t, at, "matched", "must be a list of rule ids");
	if (e->matched && c->set) rc = fault(t, at, "matched", "is of all rules; leave `rule` out");
	if (!c->set && rc == SL_OK && (e->match || e->rows || e->actions || e->error))
		rc = fault(t, at, NULL, "is of one rule: name it with `rule`; of all rules say `matched`");
	if (e->actions && c->set && json_array_size(e->actions) > c->set->rules[0]->action_count)
		rc = fault(t, at, "actions", "has more items than the rule has actions");
	sl_free(at);
	return rc;
}

static int message_topic(struct rule_tests *t, const struct rule_test_case *c, struct rule_test_message *m,
			 const char *path) {
	size_t count = 0;
	const struct sl_slice *from = c->set ? sql_program_from(c->set->rules[0]->program, &count) : NULL;
	for (size_t i = 0; i < count && !m->topic; i++)
		if (topic_name_valid(from[i])) m->topic = slice_dup(from[i]);
	struct sl_slice topic = slice_from_str(m->topic);
	if (m->topic && topic_name_valid(topic) && utf8_valid_mqtt(topic)) return SL_OK;
	return m->topic ? fault(t, path, "topic", "is not a topic that one can publish to")
			: fault(t, path, NULL, "has no topic; give it one: {topic: room/7/telemetry, ...}");
}

/* An event has a name and columns where a message has the rest. */
static int message_event(struct rule_tests *t, struct rule_test_message *m, const char *path) {
	struct sl_slice name = slice_from_str(m->event ? m->event : m->topic);
	struct sl_buf columns = SL_BUF_INIT;
	struct sl_err err = SL_ERR_INIT;
	int rc = SL_OK;
	if (m->columns) tree_json_write(m->columns, &columns);
	if (m->event || event_from(name))
		rc = try_event_make(&m->made, name, sl_buf_slice(&columns), &err);
	else if (m->columns)
		rc = sl_err_set(&err, SL_EINVAL, "columns are of an event; name it with `event`");
	if (rc != SL_OK) fault(t, path, m->event ? "event" : NULL, sl_err_text(&err));
	sl_buf_fini(&columns);
	sl_err_fini(&err);
	return rc;
}

static int message_payload(struct rule_tests *t, struct rule_test_message *m, const char *path) {
	if (m->payload && m->payload_base64)
		return fault(t, path, "payload_base64", "stands beside `payload`; keep one of them");
	if (m->payload_base64) {
		if (sql_base64_decode(slice_from_str(m->payload_base64), 0, &m->bytes) == SL_OK) return SL_OK;
		return fault(t, path, "payload_base64", "is not base64");
	}
	if (json_is_string(m->payload))
		sl_buf_append(&m->bytes, json_string_value(m->payload), json_string_length(m->payload));
	else if (m->payload)
		tree_json_write(m->payload, &m->bytes);
	return SL_OK;
}

static int load_message(struct rule_tests *t, const struct rule_test_case *c, const json_t *tree, const char *path,
			struct rule_test_message *m) {
	int rc = conf_apply(message_fields, tree, (struct conf_at){t->doc, path}, m, &t->report);
	if (rc == SL_OK && !m->event) rc = message_topic(t, c, m, path);
	if (rc == SL_OK) rc = message_event(t, m, path);
	if (rc == SL_OK) rc = message_payload(t, m, path);
	if (rc == SL_OK) rc = check_expect(t, c, &m->expect, path);
	return rc;
}

static int load_messages(struct rule_tests *t, struct rule_test_case *c, const char *path) {
	char *list_path = yaml_path_key(path, c->message ? "message" : "messages");
	int rc = SL_OK;
	if (!c->message == !c->messages) {
		rc = fault(t, path, NULL, "needs `message`, or `messages` with a list of them");
	} else if (c->messages && (json_array_size(c->messages) == 0 || json_array_size(c->messages) > MESSAGES_MAX)) {
		rc = fault(t, list_path, NULL, "must be a list of 1 to 10000 messages");
	} else {
		size_t count = c->message ? 1 : json_array_size(c->messages);
		c->at = SL_NEW_ARRAY(struct rule_test_message, count);
		c->count = count;
		for (size_t i = 0; i < count; i++) {
			char *item_path = c->message ? sl_strdup(list_path) : yaml_path_index(list_path, i);
			const json_t *tree = c->message ? c->message : json_array_get(c->messages, i);
			int r = load_message(t, c, tree, item_path, &c->at[i]);
			if (rc == SL_OK) rc = r;
			sl_free(item_path);
		}
	}
	sl_free(list_path);
	return rc;
}

static bool says_something(const struct rule_test_expect *e) {
	return e->match || e->rows || e->actions || e->matched || e->error;
}

static int load_case(struct rule_tests *t, struct rule_test_case *c, size_t index) {
	char *path = yaml_path_index("tests", index);
	uint32_t column;
	yaml_value_position(t->doc, path, &c->line, &column);
	int rc = case_rule(t, c, path);
	if (rc == SL_OK) rc = load_messages(t, c, path);
	if (rc == SL_OK) rc = check_expect(t, c, &c->expect, path);
	bool expects = says_something(&c->expect);
	for (size_t i = 0; i < c->count; i++) expects |= says_something(&c->at[i].expect);
	if (rc == SL_OK && !expects)
		rc = fault(t, path, NULL, "expects nothing: say `expect` with match, rows, actions, error or matched");
	sl_free(path);
	return rc;
}

/* ---- the file ----------------------------------------------------------------------------------------------------- */

int rule_tests_load(const char *path, struct rule_tests *t) {
	*t = (struct rule_tests){.file = sl_strdup(path)};
	struct sl_err err = SL_ERR_INIT;
	int rc = yaml_doc_load_file(path, &t->doc, &err);
	if (rc != SL_OK) {
		conf_report_take(&t->report, &err);
		return rc;
	}
	rc = conf_apply(file_fields, yaml_doc_root(t->doc), (struct conf_at){t->doc, ""}, t, &t->report);
	if (rc == SL_OK) rc = load_rules(t);
	t->cases = t->list.items;
	for (size_t i = 0; rc == SL_OK && i < t->list.len; i++) (void)load_case(t, &t->cases[i], i);
	if (rc == SL_OK) rc = conf_report_status(&t->report);
	t->count = rc == SL_OK ? t->list.len : 0;
	return rc;
}

void rule_tests_fini(struct rule_tests *t) {
	for (size_t i = 0; i < t->list.len; i++) {
		struct rule_test_case *c = &((struct rule_test_case *)t->list.items)[i];
		for (size_t k = 0; k < c->count; k++) {
			conf_fini(message_fields, &c->at[k]);
			sl_buf_fini(&c->at[k].bytes);
			try_event_fini(&c->at[k].made);
		}
		sl_free(c->at);
	}
	conf_fini(file_fields, t);
	rule_book_fini(&t->book);
	yaml_doc_free(t->doc);
	conf_report_fini(&t->report);
	sl_free(t->file);
}
