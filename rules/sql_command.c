/* sql_command.c: see sql_command.h. Options, and one message from the command line. */
#include "sql_command.h"

#include "mem.h"
#include "sql_command_int.h"
#include "topic.h"
#include "utf8.h"

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

struct sql_args {
	struct try_case c;
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

static int run_one(struct try_case *c, struct rule *r, struct sl_err *err) {
	char *topic = NULL;
	if (!c->has_topic && topic_from_rule(r, &c->topic)) c->topic = slice_from_str(topic = slice_dup(c->topic));
	if (try_case_check_message(c, err) != SL_OK) {
		fprintf(stderr, "sluice sql: %s; give the message's topic with --topic\n", sl_err_text(err));
		rule_free(r);
		sl_free(topic);
		return EXIT_USAGE;
	}
	struct sl_buf rows = SL_BUF_INIT;
	int code = EXIT_FINE;
	switch (try_case_run(c, r, &rows, err)) {
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
	if (a->jsonl) return sql_jsonl_run(stdin, stdout);
	if (!a->has_sql) {
		fputs(help, stderr);
		return EXIT_USAGE;
	}
	a->c.user_properties = sl_buf_slice(&a->user_properties);
	if (try_case_compile(&a->c, &r, &err) != SL_OK)
		code = say_error(a->c.sql, &err);
	else
		code = a->explain ? explain(r) : run_one(&a->c, r, &err);
	sl_err_fini(&err);
	return code;
}

int cmd_sql(int argc, char **argv) {
	struct sql_args a = {.c = TRY_CASE_INIT, .user_properties = SL_BUF_INIT};
	int code = args_parse(argc, argv, &a);
	if (code == EXIT_FINE) code = command(&a);
	sl_buf_fini(&a.user_properties);
	return code;
}
