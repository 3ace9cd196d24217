/* sql_jsonl.c: see sql_command_int.h. A case a line from standard input, an answer a line to standard output.
 *
 * A line is read where it stands, as payloads are: what it holds beside the members known here (such as rows that somebody
 * expects, with numbers of any length) is nobody's business. */
#include <jansson.h>

#include "jpath.h"
#include "jwrite.h"
#include "sql_command_int.h"

enum { CASE_BYTES_MAX = 16 * 1024 * 1024 };

enum member {
	M_LINE, /* all of it */
	M_ID,
	M_SQL,
	M_DIALECT,
	M_TOPIC,
	M_PAYLOAD,
	M_CLIENTID,
	M_USERNAME,
	M_QOS,
	M_TIMESTAMP,
	M_EVENT,
	M_RULE,
	M_SQLVER,
	M_INT_DIVISION,
	M_ACCOUNTID,
	M_PRINCIPAL,
	M_TRACEID,
	M_SOURCEIP,
	M_PROTOCOL,
	M_USER_PROPERTIES,
	M_CONTENT_TYPE, /* from here on within mqtt5 */
	M_RESPONSE_TOPIC,
	M_CORRELATION_DATA,
	M_FORMAT_INDICATOR,
	M_COUNT
};
static const char *const member_names[M_COUNT] = {
    [M_ID] = "id",
    [M_SQL] = "sql",
    [M_DIALECT] = "dialect",
    [M_TOPIC] = "topic",
    [M_PAYLOAD] = "payload",
    [M_CLIENTID] = "clientid",
    [M_USERNAME] = "username",
    [M_QOS] = "qos",
    [M_TIMESTAMP] = "timestamp",
    [M_EVENT] = "event",
    [M_RULE] = "rule",
    [M_SQLVER] = "sqlver",
    [M_INT_DIVISION] = "int_division",
    [M_ACCOUNTID] = "accountid",
    [M_PRINCIPAL] = "principal",
    [M_TRACEID] = "traceid",
    [M_SOURCEIP] = "sourceip",
    [M_PROTOCOL] = "protocol",
    [M_USER_PROPERTIES] = "user_properties",
    [M_CONTENT_TYPE] = "content_type",
    [M_RESPONSE_TOPIC] = "response_topic",
    [M_CORRELATION_DATA] = "correlation_data",
    [M_FORMAT_INDICATOR] = "format_indicator",
};

static struct jpath_set *members_new(void) {
	struct jpath_step steps[M_COUNT][2];
	struct jpath paths[M_COUNT];
	struct jpath_set *set = NULL;
	for (size_t i = 0; i < M_COUNT; i++) {
		bool nested = i >= M_CONTENT_TYPE;
		steps[i][0] = (struct jpath_step){.key = SL_SLICE_LIT("mqtt5")};
		steps[i][nested] = (struct jpath_step){.key = i ? slice_from_str(member_names[i]) : SL_SLICE_EMPTY};
		paths[i] = (struct jpath){.steps = steps[i], .n = (uint16_t)(i == M_LINE ? 0 : nested + 1)};
	}
	(void)jpath_set_new(paths, M_COUNT, &set); /* short paths, all of names */
	return set;
}

struct line {
	struct jpath_hit at[M_COUNT];
	struct sl_arena arena; /* texts that had escapes */
};

static struct sl_slice member_text(struct line *l, enum member m, struct sl_slice otherwise) {
	struct sl_slice text;
	return jscan_string(&l->at[m], &l->arena, &text) == SL_OK ? text : otherwise;
}

static int64_t member_number(const struct line *l, enum member m, int64_t otherwise) {
	int64_t i;
	double d;
	if (jscan_i64(&l->at[m], &i) == SL_OK) return i;
	if (jscan_double(&l->at[m], &d) != SL_OK || !(d > -0x1p63 && d < 0x1p63)) return otherwise;
	return (int64_t)d;
}

static void put_error(struct jwrite *w, const struct sl_err *err, const char *stage) {
	jwrite_key(w, SL_SLICE_LIT("error"));
	jwrite_string(w, slice_from_str(sl_err_text(err)));
	jwrite_key(w, SL_SLICE_LIT("stage"));
	jwrite_string(w, slice_from_str(stage));
	if (!err->line) return;
	jwrite_key(w, SL_SLICE_LIT("line"));
	jwrite_u64(w, err->line);
	jwrite_key(w, SL_SLICE_LIT("column"));
	jwrite_u64(w, err->column);
}

static void put_rows(struct jwrite *w, struct sl_slice lines) {
	jwrite_key(w, SL_SLICE_LIT("rows"));
	jwrite_array_begin(w);
	while (lines.n) jwrite_raw(w, slice_next_part(&lines, '\n'));
	jwrite_array_end(w);
}

static void put_result(struct jwrite *w, struct try_case *c) {
	struct sl_err err = SL_ERR_INIT;
	struct sl_buf rows = SL_BUF_INIT;
	struct try_event event = {.kind = 0};
	struct rule *r;
	if (try_case_compile(c, &r, &err) != SL_OK) {
		put_error(w, &err, "compile");
	} else if (try_case_begin(c, &event, &err) != SL_OK) {
		rule_free(r);
		put_error(w, &err, "run");
	} else {
		switch (try_case_run(c, r, &rows, &err)) {
		case RULE_TRY_ROWS: put_rows(w, sl_buf_slice(&rows)); break;
		case RULE_TRY_NO_TOPIC:
		case RULE_TRY_NO_MATCH:
			jwrite_key(w, SL_SLICE_LIT("no_match"));
			jwrite_bool(w, true);
			break;
		case RULE_TRY_FAILED: put_error(w, &err, "run"); break;
		}
	}
	try_event_fini(&event);
	sl_buf_fini(&rows);
	sl_err_fini(&err);
}

/* [["key", "value"], ...] as in a packet [MQTT-3.3.2.3.7]; what is no such pair is left out. */
static void put_user_properties(struct line *l, struct sl_buf *out) {
	struct jscan_iter pairs, pair;
	struct jpath_hit hit;
	int more = jscan_begin(&pairs, &l->at[M_USER_PROPERTIES]);
	while (more == SL_OK && jscan_next(&pairs, NULL, &hit) == 1) {
		struct jpath_hit half[2] = {{.kind = JKIND_ABSENT}, {.kind = JKIND_ABSENT}};
		struct sl_slice text[2];
		if (hit.kind != JKIND_ARRAY || jscan_begin(&pair, &hit) != SL_OK) continue;
		if (jscan_next(&pair, NULL, &half[0]) != 1 || jscan_next(&pair, NULL, &half[1]) != 1) continue;
		if (jscan_string(&half[0], &l->arena, &text[0]) != SL_OK) continue;
		if (jscan_string(&half[1], &l->arena, &text[1]) != SL_OK) continue;
		if (text[0].n > UINT16_MAX || text[1].n > UINT16_MAX) continue;
		sl_buf_put(out, 0x26);
		for (int k = 0; k < 2; k++) {
			sl_buf_put_u16be(out, (uint16_t)text[k].n);
			sl_buf_append(out, text[k].p, text[k].n);
		}
	}
}

/* What a message has beside topic and payload, as the aws dialect sees it. `made` holds what is not in the line itself. */
static void case_aws(struct line *l, struct try_case *c, struct sl_buf *made) {
	c->rule = member_text(l, M_RULE, SL_SLICE_EMPTY);
	c->sql_version = member_text(l, M_SQLVER, SL_SLICE_EMPTY);
	c->accountid = member_text(l, M_ACCOUNTID, SL_SLICE_EMPTY);
	c->principal = member_text(l, M_PRINCIPAL, SL_SLICE_EMPTY);
	c->traceid = member_text(l, M_TRACEID, SL_SLICE_EMPTY);
	c->decimal_division = slice_equal_str(member_text(l, M_INT_DIVISION, SL_SLICE_EMPTY), "decimal");
	c->not_mqtt = !slice_equal_str(member_text(l, M_PROTOCOL, SL_SLICE_LIT("mqtt")), "mqtt");
	c->content_type = member_text(l, M_CONTENT_TYPE, SL_SLICE_EMPTY);
	c->response_topic = member_text(l, M_RESPONSE_TOPIC, SL_SLICE_EMPTY);
	c->correlation_data = member_text(l, M_CORRELATION_DATA, SL_SLICE_EMPTY);
	c->utf8_data = slice_equal_str(member_text(l, M_FORMAT_INDICATOR, SL_SLICE_EMPTY), "UTF8_DATA");
	put_user_properties(l, made);
	size_t properties = made->n;
	struct sl_slice ip = member_text(l, M_SOURCEIP, SL_SLICE_EMPTY);
	if (ip.n) sl_buf_printf(made, slice_find_byte(ip, ':') < 0 ? "%.*s:1883" : "[%.*s]:1883", SL_SLICE_ARG(ip));
	c->user_properties = slice_sub(sl_buf_slice(made), 0, properties);
	c->sourceip = slice_from(sl_buf_slice(made), properties);
}

static void put_answer(struct jwrite *w, struct line *l) {
	struct try_case none = TRY_CASE_INIT;
	struct try_case c = {
	    .sql = member_text(l, M_SQL, SL_SLICE_EMPTY),
	    .topic = member_text(l, M_TOPIC, SL_SLICE_EMPTY),
	    .payload = member_text(l, M_PAYLOAD, SL_SLICE_EMPTY),
	    .clientid = member_text(l, M_CLIENTID, none.clientid),
	    .username = member_text(l, M_USERNAME, SL_SLICE_EMPTY),
	    .dialect = member_text(l, M_DIALECT, none.dialect),
	    .qos = member_number(l, M_QOS, 0),
	    .timestamp = member_number(l, M_TIMESTAMP, -1),
	};
	struct sl_buf made = SL_BUF_INIT;
	if (l->at[M_EVENT].kind >= JKIND_OBJECT) c.columns = l->at[M_EVENT].raw;
	case_aws(l, &c, &made);
	put_result(w, &c);
	sl_buf_fini(&made);
}

/* An empty text stands for a line that was too long. */
static void put_no_case(struct jwrite *w, struct sl_slice text, bool another_value) {
	struct sl_err err = SL_ERR_INIT;
	json_error_t why = {.text = ""};
	json_decref(json_loadb(text.p, text.n, JSON_ALLOW_NUL, &why)); /* read anew for what it says about the place */
	sl_err_set(&err, SL_EMALFORMED, "the line is not a JSON object: %s",
		   text.n == 0     ? "it is longer than 16 MB"
		   : another_value ? "another value"
		   : why.text[0]   ? why.text
				   : "it is nested too deep");
	put_error(w, &err, "input");
	sl_err_fini(&err);
}

/* False when the line is no case; the answer says so too. */
static bool line_answer(const struct jpath_set *members, struct sl_slice text, struct sl_buf *out) {
	struct line l;
	struct jwrite w;
	sl_arena_init(&l.arena, 1024);
	int r = jpath_extract(members, text, l.at);
	bool fine = r == SL_OK && l.at[M_LINE].kind == JKIND_OBJECT;
	const struct jpath_hit *id = &l.at[M_ID];
	jwrite_init(&w, out);
	jwrite_object_begin(&w);
	jwrite_key(&w, SL_SLICE_LIT("id"));
	if (id->kind == JKIND_STRING)
		jwrite_raw(&w, slice_make(id->raw.p - 1, id->raw.n + 2)); /* with its quotes */
	else
		jwrite_raw(&w, id->kind == JKIND_ABSENT ? SL_SLICE_LIT("null") : id->raw);
	if (fine)
		put_answer(&w, &l);
	else
		put_no_case(&w, text, r == SL_OK);
	jwrite_object_end(&w);
	sl_buf_put(out, '\n');
	sl_arena_fini(&l.arena);
	return fine;
}

/* Reads up to the next line break, which is left out. False at the end of the input; *too_long when the rest of the
 * line was thrown away. */
static bool line_read(FILE *in, struct sl_buf *line, bool *too_long) {
	int c;
	bool any = false;
	sl_buf_clear(line);
	*too_long = false;
	while ((c = getc_unlocked(in)) != EOF) {
		any = true;
		if (c == '\n') return true;
		if (line->n < CASE_BYTES_MAX)
			sl_buf_put(line, (char)c);
		else
			*too_long = true;
	}
	return any;
}

int sql_jsonl_run(FILE *in, FILE *out) {
	struct sl_buf line = SL_BUF_INIT, answer = SL_BUF_INIT;
	struct jpath_set *members = members_new();
	bool too_long;
	int code = EXIT_FINE;
	while (line_read(in, &line, &too_long)) {
		struct sl_slice text = slice_trim(sl_buf_slice(&line));
		if (text.n == 0) continue;
		if (too_long) text = SL_SLICE_EMPTY;
		sl_buf_clear(&answer);
		if (!line_answer(members, text, &answer)) code = EXIT_INPUT;
		if (fwrite(answer.p, 1, answer.n, out) != answer.n) break;
	}
	if (ferror(in) || fflush(out) != 0 || ferror(out)) {
		fputs("sluice sql: reading the cases or writing the answers failed\n", stderr);
		code = EXIT_SYSTEM;
	}
	jpath_set_free(members);
	sl_buf_fini(&line);
	sl_buf_fini(&answer);
	return code;
}
