/* import_aws.c: rules of AWS IoT Core: payloads of the API, what get-topic-rule prints, CloudFormation and SAM templates. The
 * API writes members as "sql", CloudFormation as "Sql"; here one name finds both. */
#include <ctype.h>

#include "aws_kafka.h"
#include "cfn.h"
#include "import.h"
#include "mem.h"
#include "sql_base64.h"
#include "utf8.h"

struct aws {
	struct import *imp;
	const char *file;
	struct cfn cfn;
};

enum { PROPERTY_BYTES_MAX = 1000 };

/* "2015-10-08" is what the API takes when nothing is said. */
#define VERSION_UNSAID "2015-10-08"

static const char *text_member(struct aws *a, const json_t *tree, const char *name) {
	return cfn_text(&a->cfn, cfn_member(tree, name), false);
}

/* ---- actions ------------------------------------------------------------------------------------------------------ */

static const struct aws_kind {
	const char *name, *advice;
} kinds[] = {
#define QUEUE                                                                                                          \
	"a queue has its like in Kafka, a connector of type kafka, or in a stream of Redis, a connector of type redis"
#define TABLE                                                                                                          \
	"a table: a connector of type postgres or sqlite does this ({connector, table, columns}), mongodb stores "     \
	"documents"
#define PROGRAM "nothing here calls it; republish to a topic that a program of yours subscribes to"
    {"kafka", "a connector of type kafka does this"},
    {"kinesis", QUEUE},
    {"firehose", QUEUE},
    {"sqs", QUEUE},
    {"sns", QUEUE},
    {"dynamoDB", TABLE},
    {"dynamoDBv2",
     "items are documents: a connector of type mongodb stores them ({connector, collection}), postgres and "
     "sqlite have tables ({connector, table, columns})"},
    {"timestream", TABLE},
    {"s3", "a connector of type file appends the rows to files with rotation; there is no object for each message"},
    {"cloudwatchLogs", "a connector of type file writes lines; {console: {}} writes to the log"},
    {"cloudwatchMetric",
     "Prometheus reads counters of each rule from /metrics; for values, a connector of type postgres or sqlite"},
    {"cloudwatchAlarm", "republish the alarm to a topic; Prometheus can alert on what /metrics counts"},
    {"http", PROGRAM},
    {"lambda", PROGRAM},
    {"openSearch", PROGRAM},
    {"elasticsearch", PROGRAM},
    {"stepFunctions", PROGRAM},
    {"salesforce", PROGRAM},
    {"iotEvents", PROGRAM},
    {"iotAnalytics", PROGRAM},
    {"iotSiteWise", PROGRAM},
    {"location", PROGRAM},
#undef QUEUE
#undef TABLE
#undef PROGRAM
};

static void set_text(json_t *into, const char *name, const char *text) {
	if (text) json_object_set_new(into, name, json_string(text));
}

/* [{"key", "value"}] */
static void republish_properties(struct aws *a, struct import_rule *r, const json_t *list, json_t *into) {
	if (!list) return;
	json_t *map = json_object();
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *key = text_member(a, json_array_get(list, i), "key");
		if (!key || !*key || strlen(key) > PROPERTY_BYTES_MAX) {
			import_note(a->imp, r, IMPORT_MAPPING, "action republish",
				    "a user property without a name, or with a very long one, is left out");
			continue;
		}
		if (json_object_get(map, key))
			import_note(a->imp, r, IMPORT_MAPPING, "action republish",
				    "the user property '%s' is sent twice there, and once here", key);
		set_text(map, key, cfn_text(&a->cfn, cfn_member(json_array_get(list, i), "value"), true));
	}
	json_object_set_new(into, "user_properties", map);
}

/* There it is written in base64, here as it is sent. A text where it is one, for people to read. */
static const char *correlation_constant(struct aws *a, const char *text) {
	struct sl_buf bytes = SL_BUF_INIT;
	const char *made = import_printf(a->imp, "${decode('%s', 'base64')}", text);
	bool plain = sql_base64_decode(slice_from_str(text), 0, &bytes) == SL_OK &&
		     utf8_valid_mqtt(sl_buf_slice(&bytes)) && !strstr(sl_buf_cstr(&bytes), "${");
	if (plain) made = sl_arena_strdup(&a->imp->arena, sl_buf_slice(&bytes));
	sl_buf_fini(&bytes);
	return made;
}

static void republish_correlation(struct aws *a, struct import_rule *r, const json_t *value, json_t *into) {
	const char *text = cfn_text(&a->cfn, value, true), *first = text ? strstr(text, "${") : NULL;
	if (!text) return;
	bool one = first == text && strchr(text, '}') == text + strlen(text) - 1;
	if (!first && !strchr(text, '\''))
		text = correlation_constant(a, text);
	else if (one)
		text = import_printf(a->imp, "${decode(%.*s, 'base64')}", (int)strlen(text) - 3, text + 2);
	else
		import_note(a->imp, r, IMPORT_MAPPING, "action republish",
			    "headers.correlationData ('%s') is base64 there; here it is sent as it stands: put "
			    "${decode(..., 'base64')} around it",
			    text);
	set_text(into, "correlation_data", text);
}

static void republish_headers(struct aws *a, struct import_rule *r, const json_t *headers, json_t *into) {
	static const char *const names[][2] = {{"payloadFormatIndicator", "payload_format"},
					       {"messageExpiry", "message_expiry"},
					       {"contentType", "content_type"},
					       {"responseTopic", "response_topic"}};
	if (!headers) return;
	for (size_t i = 0; i < SL_ARRAY_LEN(names); i++)
		set_text(into, names[i][1], cfn_text(&a->cfn, cfn_member(headers, names[i][0]), true));
	republish_correlation(a, r, cfn_member(headers, "correlationData"), into);
	republish_properties(a, r, cfn_member(headers, "userProperties"), into);
}

static json_t *republish(struct aws *a, struct import_rule *r, const json_t *options) {
	json_t *o = json_object();
	const char *topic = cfn_text(&a->cfn, cfn_member(options, "topic"), true);
	const char *qos = cfn_text(&a->cfn, cfn_member(options, "qos"), true);
	set_text(o, "topic", topic ? topic : "");
	set_text(o, "payload", "${.}");
	if (!qos || (strlen(qos) == 1 && isdigit((unsigned char)qos[0])))
		json_object_set_new(o, "qos", json_integer(qos ? qos[0] - '0' : 0));
	else
		set_text(o, "qos", qos);
	republish_headers(a, r, cfn_member(options, "headers"), o);
	return json_pack("{s:o}", "republish", o);
}

/* Does SELECT make this column of something else than the member of its name? */
static bool is_alias(const struct import_rule *r, struct sl_slice name) {
	bool fixed;
	size_t count;
	const struct sl_slice *columns = sql_program_columns(r->compiled->program, &count, &fixed);
	for (size_t i = 0; i < count; i++) {
		if (!slice_equal(columns[i], name)) continue;
		for (const char *at = r->sql; (at = strcasestr(at, " as ")); at += 4) {
			struct sl_slice rest = slice_trim(slice_from_str(at + 4));
			bool ends = rest.n == name.n || (rest.n > name.n && !isalnum((unsigned char)rest.p[name.n]));
			size_t before = (size_t)(at - r->sql);
			bool same =
			    before > name.n && memcmp(at - name.n, name.p, name.n) == 0 &&
			    (isspace((unsigned char)at[-(ptrdiff_t)name.n - 1]) || at[-(ptrdiff_t)name.n - 1] == ',');
			if (ends && slice_equal(slice_sub(rest, 0, name.n), name)) return !same;
		}
	}
	return false;
}

/* ${device} of SELECT temp AS device: templates read the message there, and so they do here. */
static void note_aliases(struct aws *a, struct import_rule *r, const char *action, const json_t *ours) {
	const char *key;
	json_t *value;
	size_t i;
	json_object_foreach((json_t *)(uintptr_t)ours, key, value) note_aliases(a, r, action, value);
	json_array_foreach(ours, i, value) note_aliases(a, r, action, value);
	for (const char *at = json_string_value(ours); at && (at = strstr(at, "${")); at += 2) {
		struct sl_slice name = slice_make(at + 2, strspn(at + 2, "abcdefghijklmnopqrstuvwxyz"
									 "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"));
		if (name.n == 0 || name.p[name.n] != '}' || !is_alias(r, name)) continue;
		import_note(a->imp, r, IMPORT_UNCHANGED, action,
			    "${%.*s} is a member of the message, there and here: what SELECT calls %.*s does not reach "
			    "templates; write the expression itself if that is what you want",
			    SL_SLICE_ARG(name), SL_SLICE_ARG(name));
	}
}

/* "DynamoDBv2" and "dynamoDBv2" alike. */
static const struct aws_kind *kind_find(const char *name) {
	for (size_t i = 0; i < SL_ARRAY_LEN(kinds); i++)
		if (strcasecmp(kinds[i].name, name) == 0) return &kinds[i];
	return NULL;
}

static void add_action(struct aws *a, struct import_rule *r, const char *key, const json_t *options) {
	const struct aws_kind *kind = kind_find(key);
	struct import_action action = {.name = kind ? kind->name : key, .advice = kind ? kind->advice : NULL};
	if (strcasecmp(key, "republish") == 0) {
		action.name = "republish";
		action.ours = republish(a, r, options);
	} else if (!kind) {
		action.advice =
		    "an action that this import does not know; republish to a topic that a program of yours reads";
	} else if (strcmp(kind->name, "kafka") == 0 && r->compiled) {
		action.ours = aws_kafka(a->imp, r, &a->cfn, options);
	}
	if (r->compiled) note_aliases(a, r, import_printf(a->imp, "action %s", action.name), action.ours);
	action.original = json_pack("{s:O}", key, options);
	import_action_add(a->imp, r, &action);
}

static void add_actions(struct aws *a, struct import_rule *r, const json_t *payload) {
	const json_t *list = cfn_member(payload, "actions"), *error = cfn_member(payload, "errorAction");
	const char *key;
	json_t *options;
	for (size_t i = 0; i < json_array_size(list); i++)
		json_object_foreach(json_array_get(list, i), key, options) add_action(a, r, key, options);
	if (!json_object_size(error)) return;
	struct import_action action = {
	    .name = "errorAction",
	    .original = json_incref((json_t *)(uintptr_t)error),
	    .advice = "`on_error` of an action with a connector does this here, for rows that its other side refuses; "
		      "failed runs are counted and shown with their reason by /api/v1/status"};
	import_action_add(a->imp, r, &action);
}

/* ---- rules -------------------------------------------------------------------------------------------------------- */

/* What the template left open, and what was taken for granted. */
static void note_template(struct aws *a, struct import_rule *r) {
	const char *name;
	json_t *value;
	json_object_foreach(a->cfn.missing, name, value)
	    import_note(a->imp, r, IMPORT_MAPPING, "template",
			"only the deployed stack knows ${%s}: write its value where it stands", name);
	json_object_foreach(a->cfn.assumed, name, value)
	    import_note(a->imp, r, IMPORT_UNCHANGED, "template", "the parameter %s is taken by its default, '%s'", name,
			json_string_value(value));
	json_object_clear(a->cfn.missing);
	json_object_clear(a->cfn.assumed);
}

static bool is_true(const json_t *value) {
	return json_is_true(value) || (json_is_string(value) && strcasecmp(json_string_value(value), "true") == 0);
}

static void add_rule(struct aws *a, const char *name, const json_t *payload) {
	const char *sql = text_member(a, payload, "sql"), *version = text_member(a, payload, "awsIotSqlVersion");
	struct import_rule *r;
	bool chosen_later = sql && strncmp(sql, "${Fn::", 6) == 0;
	if (!sql || !*sql || chosen_later) {
		json_object_clear(a->cfn.missing);
		r = import_rule_refuse(
		    a->imp, name, NULL,
		    chosen_later ? "only the deployed stack knows the SQL; import what get-topic-rule prints of it"
				 : "the rule has no SQL that can be read here");
	} else {
		struct import_rule from = {.id = name,
					   .sql = sql,
					   .description = text_member(a, payload, "description"),
					   .sql_version = version ? version : VERSION_UNSAID,
					   .dialect = SQL_AWS,
					   .enabled = !is_true(cfn_member(payload, "ruleDisabled"))};
		r = import_rule_add(a->imp, &from);
	}
	add_actions(a, r, payload);
	note_template(a, r);
}

/* Of a file that does not name its rule. */
static const char *name_from_file(struct aws *a) {
	const char *slash = strrchr(a->file, '/'), *base = slash ? slash + 1 : a->file;
	const char *dot = strrchr(base, '.');
	struct sl_slice name = slice_make(base, dot && dot != base ? (size_t)(dot - base) : strlen(base));
	char *made = sl_arena_strdup(&a->imp->arena, name);
	for (char *p = made; *p; p++)
		if (!isalnum((unsigned char)*p)) *p = '_';
	return *made ? made : "rule";
}

static const char *name_or(struct aws *a, const json_t *tree, const char *other) {
	const char *name = text_member(a, tree, "ruleName");
	bool known = name && *name && json_object_size(a->cfn.missing) == 0;
	json_object_clear(a->cfn.missing);
	return known ? name : other;
}

/* ---- templates ---------------------------------------------------------------------------------------------------- */

/* SAM: events of a function. */
static void add_function(struct aws *a, const char *id, const json_t *properties) {
	const char *name;
	json_t *event;
	json_object_foreach(json_object_get(properties, "Events"), name, event) {
		const char *type = json_string_value(json_object_get(event, "Type"));
		if (!type || strcmp(type, "IoTRule") != 0) continue;
		const json_t *rule = json_object_get(event, "Properties");
		json_t *payload = json_pack("{s:[{s:{s:s}}]}", "actions", "lambda", "function", id);
		json_object_set(payload, "sql", json_object_get(rule, "Sql"));
		json_t *version = json_object_get(rule, "AwsIotSqlVersion");
		if (version) json_object_set(payload, "awsIotSqlVersion", version);
		add_rule(a, import_printf(a->imp, "%s%s", id, name), payload);
		json_decref(payload);
	}
}

static void add_resources(struct aws *a, const json_t *template) {
	static const char rule_type[] = "AWS::IoT::TopicRule", function_type[] = "AWS::Serverless::Function";
	const char *id;
	json_t *resource, *none = json_object();
	const json_t *parameters = json_object_get(template, "Parameters");
	a->cfn.parameters = json_is_object(parameters) ? parameters : none;
	json_object_foreach(json_object_get(template, "Resources"), id, resource) {
		const char *type = json_string_value(json_object_get(resource, "Type"));
		const json_t *properties = json_object_get(resource, "Properties");
		if (type && strcmp(type, rule_type) == 0)
			add_rule(a, name_or(a, properties, id), json_object_get(properties, "TopicRulePayload"));
		else if (type && strcmp(type, function_type) == 0)
			add_function(a, id, properties);
	}
	a->cfn.parameters = NULL;
	json_decref(none);
}

/* ---- files -------------------------------------------------------------------------------------------------------- */

static void add_document(struct aws *a, const json_t *tree) {
	const json_t *payload = cfn_member(tree, "topicRulePayload"), *rule = cfn_member(tree, "rule");
	const json_t *rules = json_is_array(tree) ? tree : cfn_member(tree, "rules");
	if (json_is_array(rules)) {
		for (size_t i = 0; i < json_array_size(rules); i++) {
			if (!json_is_array(json_array_get(rules, i))) add_document(a, json_array_get(rules, i));
		}
	} else if (json_is_object(json_object_get(tree, "Resources"))) {
		add_resources(a, tree);
	} else if (json_is_object(json_object_get(tree, "TemplateBody"))) { /* get-template */
		add_resources(a, json_object_get(tree, "TemplateBody"));
	} else if (json_is_object(rule)) {
		add_rule(a, name_or(a, rule, name_from_file(a)), rule);
	} else if (json_is_object(payload)) {
		add_rule(a, name_or(a, tree, name_from_file(a)), payload);
	} else if (cfn_member(tree, "sql")) {
		add_rule(a, name_or(a, tree, name_from_file(a)), tree);
	} else if (cfn_member(tree, "ruleName")) {
		import_rule_refuse(a->imp, name_or(a, tree, "rule"), NULL,
				   "this is only the rule's name, as list-topic-rules prints it; import what "
				   "`aws iot get-topic-rule --rule-name ...` prints");
	}
}

/* Brackets outside of texts; jansson would go deeper. Its place goes to err. */
static int check_depth(struct aws *a, struct sl_slice text, struct sl_err *err) {
	uint32_t line = 1, depth = 0;
	size_t line_start = 0;
	bool quoted = false;
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		if (c == '\n') {
			line++;
			line_start = i + 1;
		} else if (quoted) {
			if (c == '\\') i++;
			quoted = c != '"';
		} else if (c == '"') {
			quoted = true;
		} else if (c == '{' || c == '[') {
			if (++depth <= IMPORT_DEPTH_MAX) continue;
			sl_err_at(err, a->file, line, (uint32_t)(i - line_start + 1));
			return sl_err_set(err, SL_ELIMIT, "values stand more than %d deep in each other",
					  IMPORT_DEPTH_MAX);
		} else if ((c == '}' || c == ']') && depth) {
			depth--;
		}
	}
	return SL_OK;
}

/* One document after the other: `for r in ...; do aws iot get-topic-rule ...; done > rules.json` writes such. */
static int add_documents(struct aws *a, struct sl_slice text, struct sl_err *err) {
	size_t lines = 0;
	for (struct sl_slice rest = slice_trim(text); rest.n; rest = slice_trim(rest)) {
		json_error_t e;
		for (const char *p = text.p; p < rest.p; p++) lines += *p == '\n';
		json_t *tree = json_loadb(rest.p, rest.n, JSON_DISABLE_EOF_CHECK, &e);
		if (!tree) {
			bool json = rest.p[0] == '{' || rest.p[0] == '[';
			sl_err_at(err, a->file, (uint32_t)lines + (uint32_t)sl_max_size(1, (size_t)e.line),
				  e.column > 0 ? (uint32_t)e.column : 0);
			return sl_err_set(
			    err, SL_ESYNTAX, "not JSON: %s%s", e.text,
			    json ? ""
				 : "; a template in YAML can be had as JSON: `aws cloudformation get-template "
				   "--template-stage Processed`");
		}
		add_document(a, tree);
		json_decref(tree);
		text = rest;
		rest = slice_from(rest, (size_t)e.position);
	}
	return SL_OK;
}

int import_aws(struct import *imp, const char *file, struct sl_slice text, struct sl_err *err) {
	struct aws a = {.imp = imp, .file = file};
	size_t before = imp->rule_count;
	a.cfn = (struct cfn){.arena = &imp->arena, .missing = json_object(), .assumed = json_object()};
	if (slice_starts_with(text, SL_SLICE_LIT("\xef\xbb\xbf"))) text = slice_from(text, 3);
	int rc = check_depth(&a, text, err);
	if (rc == SL_OK) rc = add_documents(&a, text, err);
	if (rc == SL_OK) import_sources_check(imp);
	json_decref(a.cfn.missing);
	json_decref(a.cfn.assumed);
	if (rc != SL_OK || imp->rule_count > before) return rc;
	sl_err_at(err, file, 0, 0);
	return sl_err_set(
	    err, SL_ENOTFOUND,
	    "there is no rule in it; import a topicRulePayload, what `aws iot get-topic-rule` prints, or a "
	    "CloudFormation template in JSON");
}
