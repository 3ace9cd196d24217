/* fn_misc.c: the message's columns as functions, and identifiers. */
#include "rng.h"
#include "sql_unit.h"
#include "sql_vm.h"

/* topic(n): made by the binder, with the topic as first argument. */
static int topic_level(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	struct sl_slice rest = sql_value_text(&a[0]), part = SL_SLICE_EMPTY;
	int64_t level = 0;
	while (level < a[1].i && rest.p) {
		part = slice_next_part(&rest, '/');
		level++;
	}
	if (a[1].i < 1 || level < a[1].i)
		return sql_call_fail(c, "the topic '%.*s' has no level %lld", SL_SLICE_ARG(sql_value_text(&a[0])),
				     (long long)a[1].i);
	*out = sql_string(part);
	return SL_OK;
}
const struct sql_fn sql_fn_topic_level = {.name = "topic", .args = "si", .call = topic_level};

struct sql_value sql_call_uuid(struct sql_call *c, bool hyphens) {
	static const char digits[] = "0123456789abcdef";
	uint8_t b[16];
	sl_random_bytes(b, sizeof b);
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40); /* version 4, variant 1 (RFC 4122) */
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	char *p = sl_arena_alloc(c->arena, 40);
	size_t n = 0;
	for (size_t i = 0; i < sizeof b; i++) {
		if (hyphens && (i == 4 || i == 6 || i == 8 || i == 10)) p[n++] = '-';
		p[n++] = digits[b[i] >> 4];
		p[n++] = digits[b[i] & 15];
	}
	return sql_string(slice_make(p, n));
}
static int fn_uuid_v4(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)a, (void)n;
	*out = sql_call_uuid(c, true);
	return SL_OK;
}
static int fn_uuid_v4_no_hyphen(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)a, (void)n;
	*out = sql_call_uuid(c, false);
	return SL_OK;
}

/* Those without .call are read as columns by the binder; they work wherever an expression does. An example shows a column that
 * the message is given, or is an expression that holds for any. */
#define COLUMN(n, d, on_, g)                                                                                           \
	{                                                                                                              \
		.name = #n, .args = "", .usage = #n "()", .doc = (d), .example = "SELECT " #n "() AS x FROM 't'",      \
		.on = (on_), .gives = (g)                                                                              \
	}
static const struct sql_fn table[] = {
    {.name = "topic",
     .args = "?i",
     .usage = "topic([n])",
     .doc = "The topic, or its n-th level counted from 1.",
     .errors = "when there is no such level",
     .example = "SELECT topic() AS whole, topic(2) AS hall FROM 'plant/#'",
     .on = "topic=plant/hall-1",
     .gives = "{\"whole\":\"plant/hall-1\",\"hall\":\"hall-1\"}"},
    {.name = "payload",
     .args = "?s",
     .usage = "payload(['a.b'])",
     .doc = "The payload, or what stands at a dotted path of it.",
     .errors = "when the rule is made, unless the path is a constant text",
     .example = "SELECT payload('a.b') AS x FROM 't'",
     .on = "{\"a\":{\"b\":21}}",
     .gives = "{\"x\":21}"},
    COLUMN(clientid, "The publisher's client identifier.", "clientid=press-1", "{\"x\":\"press-1\"}"),
    COLUMN(username, "The publisher's user name.", "username=plant", "{\"x\":\"plant\"}"),
    COLUMN(qos, "The quality of service, 0 to 2.", "qos=1", "{\"x\":1}"),
    {.name = "msgid",
     .args = "",
     .usage = "msgid()",
     .doc = "The message's identifier, 32 hexadecimal digits. No other message of any broker has it; it is the same "
	    "in all rules, rows and actions. It stands in the row: one that is sent again, even after a restart, has "
	    "the same, so make it the key where rows land. What its publisher sends again is another message: QoS 2 "
	    "ends that while the broker lives; after a restart only an identifier in the payload does.",
     .example = "SELECT msgid() = id AS same, strlen(msgid()) AS digits FROM 't'",
     .on = "{}",
     .gives = "{\"same\":true,\"digits\":32}"},
    COLUMN(peerhost, "The publisher's address.", "peerhost=192.0.2.7", "{\"x\":\"192.0.2.7\"}"),
    COLUMN(clientip, "The same as peerhost().", "peerhost=192.0.2.7", "{\"x\":\"192.0.2.7\"}"),
    {.name = "flags",
     .args = "",
     .usage = "flags()",
     .doc = "An object with the flags dup and retain.",
     .example = "flags()",
     .gives = "{\"dup\":false,\"retain\":false}"},
    {.name = "flag",
     .args = "s",
     .usage = "flag('retain')",
     .doc = "One of the flags.",
     .errors = "when the rule is made, unless the name is a constant text",
     .example = "flag('retain')",
     .gives = "false"},
    {.name = "uuid_v4",
     .args = "",
     .varies = true,
     .call = fn_uuid_v4,
     .usage = "uuid_v4()",
     .doc = "A random UUID.",
     .example = "strlen(uuid_v4())",
     .gives = "36"},
    {.name = "uuid_v4_no_hyphen",
     .args = "",
     .varies = true,
     .call = fn_uuid_v4_no_hyphen,
     .usage = "uuid_v4_no_hyphen()",
     .doc = "A random UUID, the digits only.",
     .example = "strlen(uuid_v4_no_hyphen())",
     .gives = "32"},
};
const struct sql_fn_family sql_fn_misc = {"Message and identifiers", table, SL_ARRAY_LEN(table), SQL_STANDARD};
