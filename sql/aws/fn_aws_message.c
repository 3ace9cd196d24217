/* fn_aws_message.c: functions about the message and the rule. The binder (aws_call.c) hands them the column that they read
 * as first argument; those that are nothing but the column never come here. */
#include "aws_fn.h"

/* topic(n): the n-th level, counted from 1. */
static int fn_topic(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	struct sql_value level;
	if (n != 2 || a[0].kind != SQL_STRING) return aws_undefined(out);
	int r = aws_to_int(c->vm, &a[1], &level);
	if (r != SL_OK || level.kind != SQL_INT || level.i < 1) return r == SL_OK ? aws_undefined(out) : r;
	struct sl_slice rest = sql_value_text(&a[0]), part = SL_SLICE_EMPTY;
	int64_t i = 0;
	while (i < level.i && rest.p) {
		part = slice_next_part(&rest, '/');
		i++;
	}
	*out = i == level.i ? sql_string(part) : sql_null();
	return SL_OK;
}

static int fn_mqtt_property(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	if (n != 2 || a[1].kind != SQL_STRING) return aws_undefined(out);
	return sql_member(c->vm, &a[0], sql_value_text(&a[1]), out);
}

/* The values of one key, in order, out of [{key: value}, ...]. */
static int fn_user_properties(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	if (n != 2 || a[0].kind != SQL_LIST || a[1].kind != SQL_STRING) return aws_undefined(out);
	const struct sql_list *pairs = a[0].list;
	int r = sql_vm_made(c->vm, pairs->n * sizeof *out);
	if (r != SL_OK) return r;
	struct sql_list *l = sql_call_list(c, pairs->n);
	l->n = 0;
	for (uint32_t i = 0; i < pairs->n; i++) {
		const struct sql_value *pair = &pairs->at[i];
		if (pair->kind == SQL_MAP && pair->map->n == 1 &&
		    slice_equal(pair->map->at[0].key, sql_value_text(&a[1])))
			l->at[l->n++] = pair->map->at[0].value;
	}
	if (l->n == 0) return aws_undefined(out);
	*out = (struct sql_value){.kind = SQL_LIST, .list = l};
	return SL_OK;
}

/* The binder puts another node in its place. */
static int fn_bound(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)c, (void)a, (void)n;
	return aws_undefined(out);
}

#define MESSAGE_ROW(name_, args_, call_, usage_, doc_, errors_, example_, on_, gives_)                                 \
	{                                                                                                              \
		.name = (name_), .args = (args_), .varies = true, .call = (call_), .usage = (usage_), .doc = (doc_),   \
		.errors = (errors_), .example = "SELECT " example_ " AS x FROM 't'", .on = (on_), .gives = (gives_)    \
	}

static const struct sql_fn table[] = {
    {.name = "topic",
     .args = "?a",
     .varies = true,
     .call = fn_topic,
     .usage = "topic([level])",
     .doc = "The topic, or one of its levels, counted from 1.",
     .errors = "when it has no such level",
     .example = "SELECT topic() AS whole, topic(2) AS hall FROM 'plant/#'",
     .on = "topic=plant/hall-1",
     .gives = "{\"whole\":\"plant/hall-1\",\"hall\":\"hall-1\"}"},
    MESSAGE_ROW("clientid", "", fn_bound, "clientid()", "The publisher's client id; n/a for what did not come by MQTT.",
		NULL, "clientid()", "clientid=press-1", "{\"x\":\"press-1\"}"),
    MESSAGE_ROW("timestamp", "", fn_bound, "timestamp()", "When the rule ran, in ms since 1970.", NULL, "timestamp()",
		"timestamp=1700000000123", "{\"x\":1700000000123}"),
    MESSAGE_ROW("principal", "", fn_bound, "principal()",
		"The publisher's certificate as the SHA-256 of it in hex; without one its user name.",
		"for a client that has neither", "principal()", "username=plant", "{\"x\":\"plant\"}"),
    MESSAGE_ROW("accountid", "", fn_bound, "accountid()", "The configured account id.", "when none is configured",
		"accountid()", "accountid=123456789012", "{\"x\":\"123456789012\"}"),
    MESSAGE_ROW("traceid", "", fn_bound, "traceid()", "A UUID that names this message.",
		"for what did not come by MQTT", "traceid()", "traceid=0c7e2b9e-6d0b-4f9c-8a5e-2f1d3c4b5a69",
		"{\"x\":\"0c7e2b9e-6d0b-4f9c-8a5e-2f1d3c4b5a69\"}"),
    MESSAGE_ROW(
	"msgid", "", fn_bound, "msgid()",
	"What AWS IoT has not: the message's identifier. No other message of any broker has it; it is the same in "
	"all rows and actions, also when a row is sent again.",
	"for an event that is no message's", "length(msgid())", "{}", "{\"x\":32}"),
    MESSAGE_ROW("sourceip", "", fn_bound, "sourceip()",
		"The publisher's address; empty for a message that a rule made.", NULL, "sourceip()",
		"sourceip=192.0.2.7", "{\"x\":\"192.0.2.7\"}"),
    MESSAGE_ROW("sql_version", "", fn_bound, "sql_version()", "The version of the language that the rule asks for.",
		NULL, "sql_version()", "{}", "{\"x\":\"2016-03-23\"}"),
    MESSAGE_ROW("get_mqtt_property", "a", fn_mqtt_property, "get_mqtt_property(name)",
		"An MQTT 5 property: format_indicator (UNSPECIFIED_BYTES or UTF8_DATA), content_type, response_topic, "
		"correlation_data (base64).",
		"when the message has none, or for another name", "get_mqtt_property('content_type')",
		"content_type=text/csv", "{\"x\":\"text/csv\"}"),
    MESSAGE_ROW("get_user_properties", "?a", fn_user_properties, "get_user_properties([key])",
		"The user properties as [{key: value}, ...] in their order, or the values of one key.",
		"when there is none", "get_user_properties('line')", "user_property=line=4", "{\"x\":[\"4\"]}"),
};
const struct sql_fn_family aws_fn_message = {"The message", table, SL_ARRAY_LEN(table), SQL_AWS};
