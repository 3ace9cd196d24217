/* sql_jsonl.c: see sql_command_int.h. A case a line from standard input, an answer a line to standard output. */
#include <jansson.h>

#include "jwrite.h"
#include "sql_command_int.h"

enum { CASE_BYTES_MAX = 16 * 1024 * 1024 };

static struct sl_slice member_text(const json_t *object, const char *name, struct sl_slice otherwise) {
	const json_t *v = json_object_get(object, name);
	if (!json_is_string(v)) return otherwise;
	return slice_make(json_string_value(v), json_string_length(v));
}

static int64_t member_number(const json_t *object, const char *name, int64_t otherwise) {
	const json_t *v = json_object_get(object, name);
	return json_is_number(v) ? (int64_t)json_number_value(v) : otherwise;
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
static void put_user_properties(const json_t *pairs, struct sl_buf *out) {
	size_t i;
	json_t *pair;
	json_array_foreach((json_t *)(uintptr_t)pairs, i, pair) {
		const json_t *text[2] = {json_array_get(pair, 0), json_array_get(pair, 1)};
		if (!json_is_string(text[0]) || !json_is_string(text[1])) continue;
		if (json_string_length(text[0]) > UINT16_MAX || json_string_length(text[1]) > UINT16_MAX) continue;
		sl_buf_put(out, 0x26);
		for (int k = 0; k < 2; k++) {
			sl_buf_put_u16be(out, (uint16_t)json_string_length(text[k]));
			sl_buf_append(out, json_string_value(text[k]), json_string_length(text[k]));
		}
	}
}

/* What a message has beside topic and payload, as the aws dialect sees it. `made` holds what is not in the line itself. */
static void case_aws(const json_t *object, struct try_case *c, struct sl_buf *made) {
	const json_t *mqtt5 = json_object_get(object, "mqtt5");
	c->rule = member_text(object, "rule", SL_SLICE_EMPTY);
	c->sql_version = member_text(object, "sqlver", SL_SLICE_EMPTY);
	c->accountid = member_text(object, "accountid", SL_SLICE_EMPTY);
	c->principal = member_text(object, "principal", SL_SLICE_EMPTY);
	c->traceid = member_text(object, "traceid", SL_SLICE_EMPTY);
	c->decimal_division = slice_equal_str(member_text(object, "int_division", SL_SLICE_EMPTY), "decimal");
	c->not_mqtt = !slice_equal_str(member_text(object, "protocol", SL_SLICE_LIT("mqtt")), "mqtt");
	c->content_type = member_text(mqtt5, "content_type", SL_SLICE_EMPTY);
	c->response_topic = member_text(mqtt5, "response_topic", SL_SLICE_EMPTY);
	c->correlation_data = member_text(mqtt5, "correlation_data", SL_SLICE_EMPTY);
	c->utf8_data = slice_equal_str(member_text(mqtt5, "format_indicator", SL_SLICE_EMPTY), "UTF8_DATA");
	put_user_properties(json_object_get(object, "user_properties"), made);
	size_t properties = made->n;
	struct sl_slice ip = member_text(object, "sourceip", SL_SLICE_EMPTY);
	if (ip.n) sl_buf_printf(made, slice_find_byte(ip, ':') < 0 ? "%.*s:1883" : "[%.*s]:1883", SL_SLICE_ARG(ip));
	c->user_properties = slice_sub(sl_buf_slice(made), 0, properties);
	c->sourceip = slice_from(sl_buf_slice(made), properties);
}

/* False when the line is no case; the answer says so too. */
static bool line_answer(struct sl_slice line, struct sl_buf *out) {
	json_error_t why;
	json_t *object = json_loadb(line.p, line.n, JSON_ALLOW_NUL, &why);
	bool fine = json_is_object(object);
	char *id = json_dumps(json_object_get(object, "id"), JSON_ENCODE_ANY | JSON_COMPACT);
	struct jwrite w;
	jwrite_init(&w, out);
	jwrite_object_begin(&w);
	jwrite_key(&w, SL_SLICE_LIT("id"));
	jwrite_raw(&w, id ? slice_from_str(id) : SL_SLICE_LIT("null"));
	if (fine) {
		struct try_case none = TRY_CASE_INIT;
		struct try_case c = {
		    .sql = member_text(object, "sql", SL_SLICE_EMPTY),
		    .topic = member_text(object, "topic", SL_SLICE_EMPTY),
		    .payload = member_text(object, "payload", SL_SLICE_EMPTY),
		    .clientid = member_text(object, "clientid", none.clientid),
		    .username = member_text(object, "username", SL_SLICE_EMPTY),
		    .dialect = member_text(object, "dialect", none.dialect),
		    .qos = member_number(object, "qos", 0),
		    .timestamp = member_number(object, "timestamp", -1),
		};
		struct sl_buf made = SL_BUF_INIT;
		char *columns = json_dumps(json_object_get(object, "event"), JSON_COMPACT);
		if (columns) c.columns = slice_from_str(columns);
		case_aws(object, &c, &made);
		put_result(&w, &c);
		free(columns); /* jansson's */
		sl_buf_fini(&made);
	} else {
		struct sl_err err = SL_ERR_INIT;
		sl_err_set(&err, SL_EMALFORMED, "the line is not a JSON object: %s",
			   object ? "another value" : why.text);
		put_error(&w, &err, "input");
		sl_err_fini(&err);
	}
	jwrite_object_end(&w);
	sl_buf_put(out, '\n');
	free(id); /* jansson's */
	json_decref(object);
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
	bool too_long;
	int code = EXIT_FINE;
	while (line_read(in, &line, &too_long)) {
		struct sl_slice text = slice_trim(sl_buf_slice(&line));
		if (text.n == 0) continue;
		if (too_long) text = SL_SLICE_LIT("(longer than 16 MB)");
		sl_buf_clear(&answer);
		if (!line_answer(text, &answer)) code = EXIT_INPUT;
		if (fwrite(answer.p, 1, answer.n, out) != answer.n) break;
	}
	if (ferror(in) || fflush(out) != 0 || ferror(out)) {
		fputs("sluice sql: reading the cases or writing the answers failed\n", stderr);
		code = EXIT_SYSTEM;
	}
	sl_buf_fini(&line);
	sl_buf_fini(&answer);
	return code;
}
