/* rule_conf_action.c: one item of `actions:`: its options checked, its templates compiled against the rule's program. */
#include "event_kind.h"
#include "event_source.h"
#include "hash.h"
#include "likeness.h"
#include "log.h"
#include "mem.h"
#include "reject.h"
#include "rule_conf_int.h"
#include "schema.h"
#include "topic.h"
#include "utf8.h"

struct republish_options {
	char *topic, *payload, *qos, *retain;
	char *payload_format, *message_expiry, *content_type, *response_topic, *correlation_data;
	struct conf_map user_properties;
	int slashes; /* index of slash_words */
};

enum { SLASHES_REFUSE, SLASHES_ALLOW };
static const char *const slash_words[] = {"refuse", "allow", NULL};

const struct conf_field republish_fields[] = {
    {.name = "topic",
     .type = CONF_TEMPLATE,
     .flags = CONF_REQUIRED | CONF_NONEMPTY,
     .at = offsetof(struct republish_options, topic),
     .max = TOPIC_BYTES_MAX,
     .doc = "The topic to publish to. A row whose topic would hold a wildcard is refused.",
     .example = "alerts/${device}"},
    {.name = "slashes",
     .type = CONF_ENUM,
     .at = offsetof(struct republish_options, slashes),
     .def = "refuse",
     .names = slash_words,
     .doc =
	 "In `topic`, text around it, the value of a name like ${device} is one level or a part of one: a row with "
	 "`/` in it is refused, for it would end up below another topic than the one that is meant. `allow` takes it. "
	 "${topic} is taken as it is, and so is what an expression makes, as in ${concat(site, '/', line)}."},
    {.name = "payload",
     .type = CONF_TEMPLATE,
     .at = offsetof(struct republish_options, payload),
     .def = "${.}",
     .doc = "The payload; `${.}` is the whole row as JSON."},
    {.name = "qos",
     .type = CONF_TEMPLATE,
     .at = offsetof(struct republish_options, qos),
     .doc = "0, 1, 2 or a template that gives one; absent: the QoS of the message that caused it.",
     .example = "1"},
    {.name = "retain",
     .type = CONF_TEMPLATE,
     .at = offsetof(struct republish_options, retain),
     .def = "false",
     .doc = "true, false or a template that gives one."},
    {.name = "payload_format",
     .type = CONF_TEMPLATE,
     .at = offsetof(struct republish_options, payload_format),
     .doc = "MQTT 5 payload format: 0 or UNSPECIFIED_BYTES, 1 or UTF8_DATA. A row whose payload is no UTF-8 is refused "
	    "with 1.",
     .example = "1"},
    {.name = "message_expiry",
     .type = CONF_TEMPLATE,
     .at = offsetof(struct republish_options, message_expiry),
     .doc = "MQTT 5 message expiry: seconds, or a duration as 10m; parts of a second count as a whole one, and with 0 "
	    "it has expired already.",
     .example = "60"},
    {.name = "content_type",
     .type = CONF_TEMPLATE,
     .at = offsetof(struct republish_options, content_type),
     .max = UINT16_MAX,
     .doc = "MQTT 5 content type of the message.",
     .example = "application/json"},
    {.name = "response_topic",
     .type = CONF_TEMPLATE,
     .at = offsetof(struct republish_options, response_topic),
     .max = UINT16_MAX,
     .doc = "MQTT 5 response topic, without wildcards; `${pub_props.'Response-Topic'}` passes on the one that came.",
     .example = "answers/${clientid}"},
    {.name = "correlation_data",
     .type = CONF_TEMPLATE,
     .at = offsetof(struct republish_options, correlation_data),
     .max = UINT16_MAX,
     .doc = "MQTT 5 correlation data, text or bytes.",
     .example = "${pub_props.'Correlation-Data'}"},
    {.name = "user_properties",
     .type = CONF_TEMPLATE_MAP,
     .flags = CONF_TEMPLATE_OK,
     .at = offsetof(struct republish_options, user_properties),
     .max = 1000,
     .doc =
	 "MQTT 5 user properties of the message: a template a name, or one that gives an object or a list of pairs, as "
	 "`${pub_props.'User-Property-Pairs'}` does.",
     .example = "{rule: hot_rooms}"},
    CONF_END};

/* The two kinds of action that need no connector are an object under their name. */
struct republish_action {
	bool enabled;
	struct republish_options republish;
};
#define ENABLED_FIELD(type_)                                                                                           \
	{                                                                                                              \
		.name = "enabled", .type = CONF_BOOL, .at = offsetof(type_, enabled), .def = "true",                   \
		.doc = "An action that is not enabled is checked and then left aside."                                 \
	}
#define REPUBLISH_FIELD                                                                                                \
	{                                                                                                              \
		.name = "republish", .type = CONF_OBJECT, .at = offsetof(struct republish_action, republish),          \
		.flags = CONF_REQUIRED, .fields = republish_fields, .doc = "Publishes a message made of the row."      \
	}
static const struct conf_field republish_action_fields[] = {ENABLED_FIELD(struct republish_action), REPUBLISH_FIELD,
							    CONF_END};
static const struct conf_field on_error_fields[] = {REPUBLISH_FIELD, CONF_END};
struct console_action {
	bool enabled;
	char nothing;
};
static const struct conf_field no_fields[] = {CONF_END};
static const struct conf_field console_action_fields[] = {ENABLED_FIELD(struct console_action),
							  {.name = "console",
							   .type = CONF_OBJECT,
							   .at = offsetof(struct console_action, nothing),
							   .flags = CONF_NULL_OK,
							   .fields = no_fields,
							   .doc = "Prints the row to the log, at most one a second."},
							  CONF_END};

/* ---- templates ---------------------------------------------------------------------------------------------------- */

/* A text with templates in it, and where in the configuration it stands. */
struct template_text {
	struct sl_slice text;
	enum sql_target target;
	const char *action_path, *option; /* option NULL: the action itself */
	uint32_t line, column;            /* of the text within the option, 1-based; 0: it is all of it */
};

/* Compiles; a failure goes to the report. NULL when that failed, or when there is no program to compile it against. */
static struct sql_template *template_new(struct rule_load *load, const struct template_text *t) {
	struct sql_template *made = NULL;
	struct sl_err err = SL_ERR_INIT;
	if (!load->program) return NULL;
	if (sql_template_compile(t->text, load->program, t->target, &made, &err) != SL_OK) {
		char *path = t->option ? sl_asprintf("%s.%s", t->action_path, t->option) : sl_strdup(t->action_path);
		if (t->line && err.line) {
			if (err.line == 1) err.column += t->column - 1;
			err.line += t->line - 1;
		}
		if (slice_find(t->text, SL_SLICE_LIT("meta.")) >= 0 && strstr(sl_err_text(&err), "'meta'"))
			sl_err_prefix(&err,
				      "meta.replayed and meta.delay_ms are known when a row is sent, so each stands "
				      "alone in a value, without text around it");
		rule_load_failed(load, conf_report_text(load->report, (struct conf_at){load->doc, path}, &err));
		sl_free(path);
	}
	sl_err_fini(&err);
	return made;
}

/* ---- republish ---------------------------------------------------------------------------------------------------- */

static struct sql_template *republish_template(struct rule_load *load, const char *path, const char *option,
					       const char *text, enum sql_target target) {
	if (!text) return NULL;
	struct template_text t = {
	    .text = slice_from_str(text), .target = target, .action_path = path, .option = option};
	return template_new(load, &t);
}

/* What needs no row to be judged. */
static void check_constant(struct rule_load *load, const char *path, const char *option, const struct sql_template *t,
			   bool (*is_fine)(struct sl_slice text), const char *wanted) {
	struct sl_slice text;
	if (!t || !sql_template_is_constant(t, &text) || is_fine(text)) return;
	char *option_path = sl_asprintf("%s.%s", path, option);
	rule_load_failed(load, conf_report_add(load->report, (struct conf_at){load->doc, option_path}, CONF_AT_VALUE,
					       SL_EINVAL, "'%.*s' is not %s", SL_SLICE_ARG(text), wanted));
	sl_free(option_path);
}

static bool is_topic(struct sl_slice text) { return topic_name_valid(text) && utf8_valid_mqtt(text); }
static bool is_qos(struct sl_slice text) { return text.n == 1 && text.p[0] >= '0' && text.p[0] <= '2'; }
static bool is_response_topic(struct sl_slice text) { return text.n == 0 || is_topic(text); }
static bool is_format(struct sl_slice text) {
	uint32_t n;
	return text.n == 0 || republish_format_parse(text, &n);
}
static bool is_expiry(struct sl_slice text) {
	uint32_t n;
	return text.n == 0 || republish_expiry_parse(text, &n);
}
static bool is_none(struct sl_slice text) { return text.n == 0; }
static bool is_bool(struct sl_slice text) { return slice_equal_str(text, "true") || slice_equal_str(text, "false"); }

static void republish_users(struct rule_load *load, const char *path, const struct conf_map *map,
			    struct republish_props *p) {
	if (map->len == 1 && !map->items[0].key) {
		p->users = republish_template(load, path, "user_properties", map->items[0].value, SQL_TO_VALUE);
		check_constant(load, path, "user_properties", p->users, is_none,
			       "a map, or a template that gives an object or a list of pairs");
		return;
	}
	p->pairs = SL_NEW_ARRAY(struct republish_pair, map->len + 1);
	for (size_t i = 0; i < map->len; i++) {
		char *option = yaml_path_key("user_properties", map->items[i].key);
		if (strlen(map->items[i].key) > UINT16_MAX) {
			char *option_path = sl_asprintf("%s.%s", path, option);
			rule_load_failed(load, conf_report_add(load->report, (struct conf_at){load->doc, option_path},
							       CONF_AT_KEY, SL_ELIMIT, "has more than 65535 bytes"));
			sl_free(option_path);
		}
		p->pairs[i].name = sl_strdup(map->items[i].key);
		p->pairs[i].value = republish_template(load, path, option, map->items[i].value, SQL_TO_VALUE);
		p->pair_count++;
		sl_free(option);
	}
}

static void republish_props_load(struct rule_load *load, const char *path, const struct republish_options *o,
				 struct republish_props *p) {
	p->payload_format = republish_template(load, path, "payload_format", o->payload_format, SQL_TO_VALUE);
	p->message_expiry = republish_template(load, path, "message_expiry", o->message_expiry, SQL_TO_VALUE);
	p->content_type = republish_template(load, path, "content_type", o->content_type, SQL_TO_VALUE);
	p->response_topic = republish_template(load, path, "response_topic", o->response_topic, SQL_TO_TOPIC_OR_NULL);
	p->correlation_data = republish_template(load, path, "correlation_data", o->correlation_data, SQL_TO_VALUE);
	republish_users(load, path, &o->user_properties, p);
	check_constant(load, path, "payload_format", p->payload_format, is_format,
		       "0 (UNSPECIFIED_BYTES) or 1 (UTF8_DATA)");
	check_constant(load, path, "message_expiry", p->message_expiry, is_expiry,
		       "a number of seconds (0 to 4294967295) or a duration as 10m");
	check_constant(load, path, "response_topic", p->response_topic, is_response_topic,
		       "a topic that one can publish to");
}

/* {republish: {...}}, as an action or below `on_error`. True: it is enabled. */
static bool republish_load(struct rule_load *load, const struct conf_field *fields, const json_t *tree,
			   const char *path, struct action_republish *r) {
	struct republish_action options = {.enabled = true, .republish = {.topic = NULL}};
	char *inner = yaml_path_key(path, "republish");
	rule_load_failed(load, conf_apply(fields, tree, (struct conf_at){load->doc, path}, &options, load->report));
	const struct republish_options *o = &options.republish;
	r->topic = republish_template(load, inner, "topic", o->topic,
				      o->slashes == SLASHES_ALLOW ? SQL_TO_TOPIC_LEVELS : SQL_TO_TOPIC);
	r->payload = republish_template(load, inner, "payload", o->payload, SQL_TO_BYTES);
	r->qos = republish_template(load, inner, "qos", o->qos, SQL_TO_VALUE);
	r->retain = republish_template(load, inner, "retain", o->retain, SQL_TO_VALUE);
	republish_props_load(load, inner, o, &r->props);
	check_constant(load, inner, "topic", r->topic, is_topic, "a topic that one can publish to");
	check_constant(load, inner, "qos", r->qos, is_qos, "0, 1 or 2");
	check_constant(load, inner, "retain", r->retain, is_bool, "true or false");
	bool enabled = options.enabled;
	conf_fini(fields, &options);
	sl_free(inner);
	return enabled;
}

static void load_republish(struct rule_load *load, const json_t *tree, const char *path, struct rule_action *a) {
	a->kind = ACTION_REPUBLISH;
	a->label = sl_strdup("republish");
	const json_t *options = json_object_get(tree, "republish");
	a->face = likeness_face(options, json_string_value(json_object_get(options, "topic")));
	a->disabled = !republish_load(load, republish_action_fields, tree, path, &a->republish);
}

/* ---- connector ---------------------------------------------------------------------------------------------------- */

/* A value that is known only when the row is sent; a column of the rule that bears its name comes first. */
static enum sl_late late_value(const struct rule_load *load, const struct sl_param *param) {
	static const struct {
		const char *name;
		enum sl_late what;
	} late[] = {{"meta.replayed", SL_LATE_REPLAYED}, {"meta.delay_ms", SL_LATE_DELAY_MS}};
	struct sl_slice text = slice_trim(param->text);
	enum sl_late what = SL_LATE_NONE;
	if (param->target != SQL_TO_VALUE || text.n < 4 || text.p[0] != '$' || text.p[1] != '{' || !load->program)
		return what;
	text = slice_trim(slice_sub(text, 2, text.n - 3));
	for (size_t i = 0; i < SL_ARRAY_LEN(late); i++)
		if (slice_equal_str(text, late[i].name)) what = late[i].what;
	if (what == SL_LATE_NONE) return what;
	struct sql_template *own = NULL;
	if (sql_template_compile(param->text, load->program, SQL_TO_VALUE, &own, NULL) == SL_OK) what = SL_LATE_NONE;
	sql_template_free(own);
	return what;
}

/* What stands in the row until it is sent: of the kind that the value will have. */
static struct sl_slice late_text(enum sl_late what, struct sl_slice own) {
	switch (what) {
	case SL_LATE_NONE: break;
	case SL_LATE_REPLAYED: return SL_SLICE_LIT("${false}");
	case SL_LATE_DELAY_MS: return SL_SLICE_LIT("${0}");
	}
	return own;
}

/* Are there several events about one message? */
static bool id_is_shared(const struct sql_program *p) {
	size_t count;
	const struct sl_slice *from = sql_program_from(p, &count);
	for (size_t i = 0; i < count; i++)
		if (event_shares_id(event_kinds(from[i]))) return true;
	return false;
}

/* FROM names messages alone, published and of sources: each has a name of its own. */
static bool id_is_own(const struct sql_program *p) {
	size_t count;
	const struct sl_slice *from = sql_program_from(p, &count);
	for (size_t i = 0; i < count; i++)
		if (event_kinds(from[i]) & ~EVENT(SOURCE_MESSAGE)) return false;
	return !sql_program_is_foreach(p);
}

/* Its row comes again under this very name. */
static enum sl_msgid msgid_in(const struct rule_load *load, const struct sl_param *param,
			      const struct sql_template *t) {
	struct sl_slice id = SL_SLICE_LIT("id"), own = SL_SLICE_LIT("_id"); /* id: of the event; what msgid() reads */
	if (!t || !load->program) return SL_MSGID_NOT;
	bool row = slice_equal_str(slice_trim(param->text), "${.}");
	if (row ? sql_output_is_column(load->program, own, id) : sql_template_is_column(t, id))
		return id_is_shared(load->program) ? SL_MSGID_SHARED : SL_MSGID_ALONE;
	bool shares = row ? sql_output_shares(load->program, own, id) : sql_template_shares(t, id);
	return shares && !id_is_own(load->program) ? SL_MSGID_SHARED : SL_MSGID_NOT;
}

/* All that names a row at the far side may be the same for the rows of a message. */
static void names_check(const struct rule_load *load, const char *path, const struct sl_param *params,
			const enum sl_msgid *how, size_t count) {
	const struct sl_param *first = NULL;
	for (size_t i = 0; i < count; i++) {
		if (!params[i].names_row) continue;
		if (how[i] != SL_MSGID_SHARED) return;
		if (!first) first = &params[i];
	}
	if (!first || !sql_program_is_foreach(load->program)) return;
	log_always(LOG_WARN, LOG_RULE, "rows of one message have the same key, so that one of them is stored",
		   "rule=%s option=%s.%s value=%.*s do=%s", load->id, path, first->path, SL_SLICE_ARG(first->text),
		   slice_starts_with(slice_from_str(first->path), SL_SLICE_LIT("columns."))
		       ? "add a column to the key that tells the elements apart"
		       : "put what tells the elements apart behind it: select that in DO (item.n AS n), and write "
			 "${msgid()}-${n}");
}

static void connector_templates(struct rule_load *load, const char *path, struct action_connector *a) {
	size_t count;
	const struct sl_param *params = sl_action_spec_params(a->spec, &count);
	sl_assert(count <= UINT16_MAX);
	a->params = SL_NEW_ARRAY(struct sql_template *, count + 1);
	a->param_count = (uint16_t)count;
	enum sl_msgid *how = SL_NEW_ARRAY(enum sl_msgid, count + 1);
	for (size_t i = 0; i < count; i++) {
		enum sl_late late = late_value(load, &params[i]);
		if (late != SL_LATE_NONE) sl_action_spec_late(a->spec, i, late);
		struct template_text t = {.text = late_text(late, params[i].text),
					  .target = params[i].target,
					  .action_path = path,
					  .option = params[i].path,
					  .line = params[i].line,
					  .column = params[i].column};
		a->params[i] = template_new(load, &t);
		how[i] = msgid_in(load, &params[i], a->params[i]);
		if (how[i] != SL_MSGID_NOT) sl_action_spec_msgid(a->spec, i, how[i]);
	}
	names_check(load, path, params, how, count);
	sl_free(how);
	const char *key = sl_action_spec_order_key(a->spec);
	if (!key) return;
	/* Rows of windows and of connectors' events have no client. Unless something else is said, all of a rule's stay in
	 * order. */
	bool clients = !load->program || (!sql_program_window(load->program) &&
					  sql_program_has_column(load->program, SL_SLICE_LIT("clientid")));
	if (!clients && strcmp(key, "${clientid}") == 0) key = "";
	struct template_text t = {
	    .text = slice_from_str(key), .target = SQL_TO_TEXT, .action_path = path, .option = "order_key"};
	a->order_key = template_new(load, &t);
}

/* The templates of `on_error` read what is left of a row: the action's parameters. */
static void connector_on_error(struct rule_load *load, const char *path, struct sl_action_spec *spec) {
	size_t count;
	const json_t *tree = sl_action_spec_on_error(spec);
	if (!tree) return;
	const struct sl_param *params = sl_action_spec_params(spec, &count);
	struct reject *reject = reject_new(params, count);
	char *on_error_path = yaml_path_key(path, "on_error");
	load->program = reject_program(reject);
	(void)republish_load(load, on_error_fields, tree, on_error_path, reject_republish(reject));
	load->program = load->rule ? load->rule->program : NULL;
	sl_action_spec_on_error_set(spec, reject, reject_free);
	sl_free(on_error_path);
}

static void load_connector(struct rule_load *load, const json_t *tree, const char *path, struct rule_action *a) {
	struct conf_at at = {load->doc, path};
	const char *name = json_string_value(json_object_get(tree, "connector"));
	a->kind = ACTION_CONNECTOR;
	a->label = sl_strdup(name ? name : "");
	if (!load->connectors) {
		rule_load_failed(load, conf_report_add(load->report, at, CONF_AT_VALUE, SL_ENOTFOUND,
						       "there are no connectors here"));
		return;
	}
	int rc =
	    connectors_prepare_action(load->connectors, load->id, a->index, tree, at, load->report, &a->connector.spec);
	rule_load_failed(load, rc);
	if (rc != SL_OK) return;
	a->face = sl_strdup(sl_action_spec_face(a->connector.spec));
	a->disabled = !sl_action_spec_enabled(a->connector.spec);
	if (load->rule) sl_action_spec_rows_of(a->connector.spec, sl_hash_stable(slice_from_str(load->rule->text)));
	connector_templates(load, path, &a->connector);
	connector_on_error(load, path, a->connector.spec);
}

/* ---- all kinds ---------------------------------------------------------------------------------------------------- */

static void load_console(struct rule_load *load, const json_t *tree, const char *path, struct rule_action *a) {
	struct console_action options = {.enabled = true};
	a->kind = ACTION_CONSOLE;
	a->label = sl_strdup("console");
	a->face = likeness_face(json_object_get(tree, "console"), NULL);
	a->console_site = SL_NEW(struct log_site);
	rule_load_failed(
	    load, conf_apply(console_action_fields, tree, (struct conf_at){load->doc, path}, &options, load->report));
	a->disabled = !options.enabled;
}

static const struct action_name {
	const char *name;
	void (*load)(struct rule_load *load, const json_t *tree, const char *path, struct rule_action *a);
} action_names[] = {{"connector", load_connector}, {"republish", load_republish}, {"console", load_console}};

static void unknown_action(struct rule_load *load, const json_t *tree, const char *path) {
	const char *names[SL_ARRAY_LEN(action_names)], *key, *near = NULL;
	json_t *value;
	for (size_t i = 0; i < SL_ARRAY_LEN(names); i++) names[i] = action_names[i].name;
	json_object_foreach((json_t *)(uintptr_t)tree, key, value) {
		near = slice_nearest(slice_from_str(key), names, SL_ARRAY_LEN(names));
		if (near) break;
	}
	struct conf_at at = {load->doc, path};
	rule_load_failed(load, near ? conf_report_add(load->report, at, CONF_AT_VALUE, SL_EINVAL,
						      "there is no action '%s'; did you mean '%s'?", key, near)
				    : conf_report_add(load->report, at, CONF_AT_VALUE, SL_EINVAL,
						      "is no action: write {connector: NAME, ...}, {republish: {...}} "
						      "or {console: {}}"));
}

void rule_conf_action(struct rule_load *load, const json_t *tree, const char *path, struct rule_action *a) {
	a->kind = ACTION_CONSOLE; /* nothing to free, until something else is known */
	for (size_t i = 0; i < SL_ARRAY_LEN(action_names); i++) {
		if (!json_object_get(tree, action_names[i].name)) continue;
		action_names[i].load(load, tree, path, a);
		return;
	}
	unknown_action(load, tree, path);
}
