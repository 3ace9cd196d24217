/* sql_command.c: see sql_command.h. One message from the command line, or a case a line from standard input. */
#include "sql_command.h"

#include <jansson.h>
#include <stdio.h>

#include "clock.h"
#include "jwrite.h"
#include "mem.h"
#include "rule_try.h"
#include "topic.h"
#include "utf8.h"

enum { EXIT_FINE = 0, EXIT_INPUT = 1, EXIT_USAGE = 2, EXIT_SYSTEM = 3 }; /* as everywhere in the program */
enum { CASE_BYTES_MAX = 16 * 1024 * 1024 };

static const char help[] =
    "usage: sluice sql SQL --topic TOPIC [--payload TEXT] [options]\n"
    "       sluice sql --explain SQL\n"
    "       sluice sql --jsonl < CASES\n"
    "\n"
    "Tries a rule on a message: prints the rows it gives, one JSON object a line; nothing when it does not match.\n"
    "\n"
    "  --topic TOPIC       the message's topic; may be left out when FROM names one without wildcards\n"
    "  --payload TEXT      the payload (default: empty)\n"
    "  --qos N             0, 1 or 2 (default: 0)\n"
    "  --clientid TEXT     the publisher's client id (default: sluice-sql)\n"
    "  --username TEXT     the publisher's user name (default: none)\n"
    "  --user-property KEY=VALUE  an MQTT 5 user property; may be given again\n"
    "  --timestamp MS      when it arrives, in ms since 1970 (default: now)\n"
    "  --dialect NAME      standard or aws (default: standard)\n"
    "  --explain           print the program, a step a line, and run nothing\n"
    "  --jsonl             read cases from standard input, one JSON object a line with the members id, sql, dialect,\n"
    "                      topic, payload, qos, clientid, username, timestamp; print for each, in order,\n"
    "                      {\"id\":..., \"rows\":[...]}, {\"id\":..., \"no_match\":true} or\n"
    "                      {\"id\":..., \"error\":\"...\", \"stage\":\"compile\" or \"run\", \"line\":..., "
    "\"column\":...}\n"
    "\n"
    "Exit code: 0 it ran (matching or not), 1 the SQL or the run failed, 2 wrong use. With --jsonl: 0 when every line\n"
    "was a case.\n";

/* A rule and its message, wherever they come from. Slices are borrowed. */
struct sql_case {
	struct sl_slice sql, topic, payload, clientid, username, dialect;
	struct sl_slice user_properties; /* as in a packet */
	int64_t qos, timestamp;          /* timestamp < 0: now */
	bool has_topic;
};
#define SQL_CASE_INIT                                                                                                  \
	{ .clientid = SL_SLICE_LIT("sluice-sql"), .dialect = SL_SLICE_LIT("standard"), .timestamp = -1 }

static int case_dialect(const struct sql_case *c, enum sql_dialect *out, struct sl_err *err) {
	static const char *const names[] = {"standard", "aws"};
	*out = SQL_STANDARD;
	if (slice_equal_str(c->dialect, "standard")) return SL_OK;
	*out = SQL_AWS;
	if (slice_equal_str(c->dialect, "aws")) return SL_OK;
	const char *near = slice_nearest(c->dialect, names, SL_ARRAY_LEN(names));
	return sl_err_set(err, SL_EINVAL, "there is no dialect '%.*s'; %s%s", SL_SLICE_ARG(c->dialect),
			  near ? "did you mean " : "it is standard or aws", near ? near : "");
}

static int case_compile(const struct sql_case *c, struct rule **out, struct sl_err *err) {
	enum sql_dialect dialect;
	*out = NULL;
	int rc = case_dialect(c, &dialect, err);
	if (rc != SL_OK) return rc;
	return rule_new(SL_SLICE_LIT("sql"), c->sql, dialect, out, err);
}

/* What the message lacks is said here, before the rule meets it. */
static int case_check_message(const struct sql_case *c, struct sl_err *err) {
	if (c->qos < 0 || c->qos > 2) return sl_err_set(err, SL_EINVAL, "qos must be 0, 1 or 2");
	if (!topic_name_valid(c->topic) || !utf8_valid_mqtt(c->topic))
		return sl_err_set(err, SL_EINVAL, "'%.*s' is not a topic that one can publish to",
				  SL_SLICE_ARG(c->topic));
	return SL_OK;
}

static enum rule_try_outcome case_run(const struct sql_case *c, struct rule *r, struct sl_buf *rows,
				      struct sl_err *err) {
	struct rules_event ev = {
	    .topic = c->topic,
	    .payload = c->payload,
	    .clientid = c->clientid,
	    .username = c->username,
	    .peer = SL_SLICE_LIT("127.0.0.1:1883"),
	    .topic_hash = topic_hash(c->topic),
	    .at_ms = c->timestamp >= 0 ? c->timestamp : sl_clock_wall_ms(),
	    .qos = (uint8_t)c->qos,
	    .user_properties = c->user_properties,
	    .version = 5,
	    .message_expiry_s = -1,
	    .payload_format = -1,
	};
	return rule_try(r, &ev, "sluice", rows, err);
}

/* ---- a case a line ------------------------------------------------------------------------------------------------ */

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

static void put_result(struct jwrite *w, const struct sql_case *c) {
	struct sl_err err = SL_ERR_INIT;
	struct sl_buf rows = SL_BUF_INIT;
	struct rule *r;
	if (case_compile(c, &r, &err) != SL_OK) {
		put_error(w, &err, "compile");
	} else if (case_check_message(c, &err) != SL_OK) {
		rule_free(r);
		put_error(w, &err, "run");
	} else {
		switch (case_run(c, r, &rows, &err)) {
		case RULE_TRY_ROWS: put_rows(w, sl_buf_slice(&rows)); break;
		case RULE_TRY_NO_TOPIC:
		case RULE_TRY_NO_MATCH:
			jwrite_key(w, SL_SLICE_LIT("no_match"));
			jwrite_bool(w, true);
			break;
		case RULE_TRY_FAILED: put_error(w, &err, "run"); break;
		}
	}
	sl_buf_fini(&rows);
	sl_err_fini(&err);
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
		struct sql_case none = SQL_CASE_INIT;
		struct sql_case c = {
		    .sql = member_text(object, "sql", SL_SLICE_EMPTY),
		    .topic = member_text(object, "topic", SL_SLICE_EMPTY),
		    .payload = member_text(object, "payload", SL_SLICE_EMPTY),
		    .clientid = member_text(object, "clientid", none.clientid),
		    .username = member_text(object, "username", SL_SLICE_EMPTY),
		    .dialect = member_text(object, "dialect", none.dialect),
		    .qos = member_number(object, "qos", 0),
		    .timestamp = member_number(object, "timestamp", -1),
		};
		put_result(&w, &c);
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

static int run_cases(FILE *in, FILE *out) {
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

/* ---- one message -------------------------------------------------------------------------------------------------- */

struct sql_args {
	struct sql_case c;
	struct sl_buf user_properties;
	bool explain, jsonl, help, has_sql;
};

static int arg_number(const char *name, struct sl_slice text, int64_t *out) {
	if (slice_to_i64(text, out) == SL_OK && *out >= 0) return EXIT_FINE;
	fprintf(stderr, "sluice sql: %s wants a whole number, not '%.*s'\n", name, SL_SLICE_ARG(text));
	return EXIT_USAGE;
}

/* "key=value", written as in a packet [MQTT-3.3.2.3.7]. */
static int arg_user_property(struct sl_slice text, struct sl_buf *out) {
	struct sl_slice parts[2];
	parts[0] = slice_next_part(&text, '=');
	parts[1] = text;
	for (size_t i = 0; i < 2; i++) {
		if (parts[i].p && parts[i].n <= UINT16_MAX && utf8_valid_mqtt(parts[i])) continue;
		fputs("sluice sql: --user-property wants KEY=VALUE, each at most 65535 bytes of UTF-8\n", stderr);
		return EXIT_USAGE;
	}
	sl_buf_put(out, 0x26);
	for (size_t i = 0; i < 2; i++) {
		sl_buf_put_u16be(out, (uint16_t)parts[i].n);
		sl_buf_append_slice(out, parts[i]);
	}
	return EXIT_FINE;
}

static int arg_value(struct sql_args *a, const char *name, struct sl_slice value) {
	if (strcmp(name, "--qos") == 0) return arg_number(name, value, &a->c.qos);
	if (strcmp(name, "--timestamp") == 0) return arg_number(name, value, &a->c.timestamp);
	if (strcmp(name, "--user-property") == 0) return arg_user_property(value, &a->user_properties);
	if (strcmp(name, "--topic") == 0) {
		a->c.topic = value;
		a->c.has_topic = true;
	} else if (strcmp(name, "--payload") == 0) {
		a->c.payload = value;
	} else if (strcmp(name, "--clientid") == 0) {
		a->c.clientid = value;
	} else if (strcmp(name, "--username") == 0) {
		a->c.username = value;
	} else {
		a->c.dialect = value;
	}
	return EXIT_FINE;
}

static int arg_unknown(const char *arg) {
	static const char *const names[] = {"--topic",    "--payload",   "--qos",          "--clientid",
					    "--username", "--timestamp", "--dialect",      "--explain",
					    "--jsonl",    "--help",      "--user-property"};
	const char *near = slice_nearest(slice_from_str(arg), names, SL_ARRAY_LEN(names));
	fprintf(stderr, "sluice sql: there is no option '%s'; %s%s\n", arg, near ? "did you mean " : "see ",
		near ? near : "`sluice help sql`");
	return EXIT_USAGE;
}

static int args_parse(int argc, char **argv, struct sql_args *a) {
	static const char *const with_value[] = {"--topic",    "--payload",   "--qos",     "--clientid",
						 "--username", "--timestamp", "--dialect", "--user-property"};
	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i];
		size_t k = 0;
		while (k < SL_ARRAY_LEN(with_value) && strcmp(arg, with_value[k]) != 0) k++;
		if (k < SL_ARRAY_LEN(with_value)) {
			if (i + 1 >= argc) {
				fprintf(stderr, "sluice sql: %s wants a value after it\n", arg);
				return EXIT_USAGE;
			}
			int code = arg_value(a, arg, slice_from_str(argv[++i]));
			if (code != EXIT_FINE) return code;
		} else if (strcmp(arg, "--explain") == 0) {
			a->explain = true;
		} else if (strcmp(arg, "--jsonl") == 0) {
			a->jsonl = true;
		} else if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
			a->help = true;
		} else if (arg[0] == '-' && arg[1] == '-' && arg[2] != ' ' && arg[2] != '\0') {
			return arg_unknown(arg);
		} else if (a->has_sql) {
			fputs("sluice sql: the SQL must be one argument; put it in quotes\n", stderr);
			return EXIT_USAGE;
		} else {
			a->c.sql = slice_from_str(arg);
			a->has_sql = true;
		}
	}
	return EXIT_FINE;
}

/* "2:14: text", and below it the line with a caret, as compilers show it. */
static int say_error(struct sl_slice sql, const struct sl_err *err) {
	char *text = sl_err_format(err);
	fprintf(stderr, "sluice sql: %s\n", text);
	sl_free(text);
	uint32_t line = 1;
	struct sl_slice rest = sql, part = SL_SLICE_EMPTY;
	for (; rest.p && line <= err->line; line++) part = slice_next_part(&rest, '\n');
	if (err->line && err->column) {
		fprintf(stderr, "  %.*s\n  ", SL_SLICE_ARG(part));
		for (uint32_t i = 0; i + 1 < err->column; i++)
			fputc(i < part.n && part.p[i] == '\t' ? '\t' : ' ', stderr);
		fputs("^\n", stderr);
	}
	return EXIT_INPUT;
}

/* Without --topic, a FROM that is a topic itself will do. */
static bool topic_from_rule(const struct rule *r, struct sl_slice *out) {
	size_t count;
	const struct sl_slice *from = sql_program_from(r->program, &count);
	for (size_t i = 0; i < count; i++) {
		if (!topic_name_valid(from[i])) continue;
		*out = from[i];
		return true;
	}
	return false;
}

static int run_one(struct sql_case *c, struct rule *r, struct sl_err *err) {
	char *topic = NULL;
	if (!c->has_topic && topic_from_rule(r, &c->topic)) c->topic = slice_from_str(topic = slice_dup(c->topic));
	if (case_check_message(c, err) != SL_OK) {
		fprintf(stderr, "sluice sql: %s; give the message's topic with --topic\n", sl_err_text(err));
		rule_free(r);
		sl_free(topic);
		return EXIT_USAGE;
	}
	struct sl_buf rows = SL_BUF_INIT;
	int code = EXIT_FINE;
	switch (case_run(c, r, &rows, err)) {
	case RULE_TRY_ROWS: fwrite(rows.p, 1, rows.n, stdout); break;
	case RULE_TRY_NO_TOPIC:
		fprintf(stderr, "sluice sql: the rule does not match: FROM does not cover the topic '%.*s'\n",
			SL_SLICE_ARG(c->topic));
		break;
	case RULE_TRY_NO_MATCH:
		fputs("sluice sql: the rule does not match: WHERE is not met; to see the values it reads, SELECT them "
		      "without WHERE\n",
		      stderr);
		break;
	case RULE_TRY_FAILED: code = say_error(c->sql, err); break;
	}
	sl_buf_fini(&rows);
	sl_free(topic);
	return code;
}

static int explain(struct rule *r) {
	struct sl_buf text = SL_BUF_INIT;
	sql_explain(r->program, &text);
	fwrite(text.p, 1, text.n, stdout);
	sl_buf_fini(&text);
	rule_free(r);
	return EXIT_FINE;
}

static int command(struct sql_args *a) {
	struct sl_err err = SL_ERR_INIT;
	struct rule *r;
	int code;
	if (a->help) {
		fputs(help, stdout);
		return EXIT_FINE;
	}
	if (a->jsonl) return run_cases(stdin, stdout);
	if (!a->has_sql) {
		fputs(help, stderr);
		return EXIT_USAGE;
	}
	a->c.user_properties = sl_buf_slice(&a->user_properties);
	if (case_compile(&a->c, &r, &err) != SL_OK)
		code = say_error(a->c.sql, &err);
	else
		code = a->explain ? explain(r) : run_one(&a->c, r, &err);
	sl_err_fini(&err);
	return code;
}

int cmd_sql(int argc, char **argv) {
	struct sql_args a = {.c = SQL_CASE_INIT, .user_properties = SL_BUF_INIT};
	int code = args_parse(argc, argv, &a);
	if (code == EXIT_FINE) code = command(&a);
	sl_buf_fini(&a.user_properties);
	return code;
}
