/* sql_args.c: see sql_command_int.h. The options of `sluice sql`. */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "mem.h"
#include "sql_command_int.h"
#include "utf8.h"

enum { FILE_BYTES_MAX = 256 * 1024 * 1024 };

const char sql_help[] =
    "usage: sluice sql SQL --topic TOPIC [--payload TEXT] [options]\n"
    "       sluice sql --rule ID -c FILE --topic TOPIC [--payload TEXT] [options]\n"
    "       sluice sql --explain SQL\n"
    "       sluice sql --jsonl < CASES\n"
    "\n"
    "Tries a rule on a message: prints the rows it gives, one JSON object a line; nothing when it does not match.\n"
    "It begins with nothing remembered; windows (GROUP BY) end right after the message.\n"
    "\n"
    "  --topic TOPIC       the message's topic; may be left out when FROM names one without wildcards\n"
    "  --payload TEXT      the payload (default: empty)\n"
    "  --payload-file FILE the payload is what stands in the file; - is standard input\n"
    "  --qos N             0, 1 or 2 (default: 0)\n"
    "  --clientid TEXT     the publisher's client id (default: sluice-sql)\n"
    "  --username TEXT     the publisher's user name (default: none)\n"
    "  --user-property KEY=VALUE  an MQTT 5 user property; may be given again\n"
    "  --timestamp MS      when it arrives, in ms since 1970 (default: now)\n"
    "  --event NAME        an event instead of a message: $events/client/connected, ..., or $sources/kafka:NAME\n"
    "  --columns JSON      its columns, as an object; those that are not named are NULL\n"
    "  --dialect NAME      standard or aws (default: standard)\n"
    "  --sql-version V     of the aws dialect: 2016-03-23 (default), 2015-10-08 or beta\n"
    "  --rule ID, -c FILE  the rule of that id in a configuration\n"
    "  --actions           and what each of its actions would get of the rows, as JSON; nothing is opened or sent\n"
    "  --why               say step by step why it matches or does not: topic, payload, each condition with its "
    "values\n"
    "  --explain           print the program, a step a line, and run nothing\n"
    "  --jsonl             read cases from standard input, one JSON object a line with the members id, sql, dialect,\n"
    "                      topic, payload, qos, clientid, username, timestamp; with a topic $events/... the\n"
    "                      columns stand in an object `event`; of the aws dialect also rule, sqlver, accountid, "
    "principal,\n"
    "                      sourceip, traceid, protocol, user_properties ([[key, value], ...]), mqtt5; print for each, "
    "in order,\n"
    "                      {\"id\":..., \"rows\":[...]}, {\"id\":..., \"no_match\":true} or\n"
    "                      {\"id\":..., \"error\":\"...\", \"stage\":\"compile\" or \"run\", \"line\":..., "
    "\"column\":...}\n"
    "\n"
    "Exit code: 0 it ran (matching or not), 1 the SQL or the run failed, 2 wrong use. With --jsonl: 0 when every line\n"
    "was a case.\n";

enum option_kind { OPTION_TEXT, OPTION_NUMBER, OPTION_PROPERTY, OPTION_FLAG };
static const struct option {
	const char *name;
	enum option_kind kind;
	size_t at; /* in struct sql_args */
} options[] = {
    {"--topic", OPTION_TEXT, offsetof(struct sql_args, c.topic)},
    {"--payload", OPTION_TEXT, offsetof(struct sql_args, c.payload)},
    {"--payload-file", OPTION_TEXT, offsetof(struct sql_args, payload_file)},
    {"--clientid", OPTION_TEXT, offsetof(struct sql_args, c.clientid)},
    {"--username", OPTION_TEXT, offsetof(struct sql_args, c.username)},
    {"--event", OPTION_TEXT, offsetof(struct sql_args, c.event)},
    {"--columns", OPTION_TEXT, offsetof(struct sql_args, c.columns)},
    {"--dialect", OPTION_TEXT, offsetof(struct sql_args, c.dialect)},
    {"--sql-version", OPTION_TEXT, offsetof(struct sql_args, c.sql_version)},
    {"--rule", OPTION_TEXT, offsetof(struct sql_args, rule)},
    {"-c", OPTION_TEXT, offsetof(struct sql_args, conf)},
    {"--config", OPTION_TEXT, offsetof(struct sql_args, conf)},
    {"--qos", OPTION_NUMBER, offsetof(struct sql_args, c.qos)},
    {"--timestamp", OPTION_NUMBER, offsetof(struct sql_args, c.timestamp)},
    {"--user-property", OPTION_PROPERTY, 0},
    {"--actions", OPTION_FLAG, offsetof(struct sql_args, actions)},
    {"--why", OPTION_FLAG, offsetof(struct sql_args, why)},
    {"--explain", OPTION_FLAG, offsetof(struct sql_args, explain)},
    {"--jsonl", OPTION_FLAG, offsetof(struct sql_args, jsonl)},
    {"--help", OPTION_FLAG, offsetof(struct sql_args, help)},
    {"-h", OPTION_FLAG, offsetof(struct sql_args, help)},
};

static int option_number(const char *name, struct sl_slice text, int64_t *out) {
	if (slice_to_i64(text, out) == SL_OK && *out >= 0) return EXIT_FINE;
	fprintf(stderr, "sluice sql: %s wants a whole number, not '%.*s'\n", name, SL_SLICE_ARG(text));
	return EXIT_USAGE;
}

/* "key=value", written as in a packet [MQTT-3.3.2.3.7]. */
static int option_property(struct sl_slice text, struct sl_buf *out) {
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

static int option_unknown(const char *arg) {
	const char *names[SL_ARRAY_LEN(options)];
	for (size_t i = 0; i < SL_ARRAY_LEN(options); i++) names[i] = options[i].name;
	const char *near = slice_nearest(slice_from_str(arg), names, SL_ARRAY_LEN(names));
	fprintf(stderr, "sluice sql: there is no option '%s'; %s%s\n", arg, near ? "did you mean " : "see ",
		near ? near : "`sluice help sql`");
	return EXIT_USAGE;
}

static const struct option *option_find(const char *name) {
	for (size_t i = 0; i < SL_ARRAY_LEN(options); i++)
		if (strcmp(options[i].name, name) == 0) return &options[i];
	return NULL;
}

static int option_set(struct sql_args *a, const struct option *o, struct sl_slice value) {
	char *at = (char *)a + o->at;
	switch (o->kind) {
	case OPTION_TEXT: memcpy(at, &value, sizeof value); break;
	case OPTION_NUMBER: return option_number(o->name, value, (int64_t *)(void *)at);
	case OPTION_PROPERTY: return option_property(value, &a->user_properties);
	case OPTION_FLAG: *(bool *)at = true; break;
	}
	return EXIT_FINE;
}

static int payload_read(struct sql_args *a) {
	char *path = slice_dup(a->payload_file);
	bool input = strcmp(path, "-") == 0;
	FILE *f = input ? stdin : fopen(path, "re");
	int code = EXIT_FINE;
	size_t n = 1;
	while (f && n > 0 && a->file.n <= FILE_BYTES_MAX) {
		char *room = sl_buf_add(&a->file, 64 * 1024);
		n = fread(room, 1, 64 * 1024, f);
		a->file.n -= 64 * 1024 - n;
	}
	if (!f || ferror(f)) {
		fprintf(stderr, "sluice sql: %s cannot be read: %s\n", path, strerror(errno));
		code = EXIT_INPUT;
	} else if (a->file.n > FILE_BYTES_MAX) {
		fprintf(stderr, "sluice sql: %s is larger than a message can be (256 MB)\n", path);
		code = EXIT_INPUT;
	}
	if (f && !input) fclose(f);
	sl_free(path);
	a->c.payload = sl_buf_slice(&a->file);
	return code;
}

int sql_args_parse(int argc, char **argv, struct sql_args *a) {
	int code = EXIT_FINE;
	for (int i = 1; i < argc && code == EXIT_FINE; i++) {
		const char *arg = argv[i];
		const struct option *o = option_find(arg);
		if (o && o->kind != OPTION_FLAG && i + 1 >= argc) {
			fprintf(stderr, "sluice sql: %s wants a value after it\n", arg);
			return EXIT_USAGE;
		}
		if (o) {
			code = option_set(a, o, o->kind == OPTION_FLAG ? SL_SLICE_EMPTY : slice_from_str(argv[++i]));
		} else if (arg[0] == '-' && arg[1] == '-' && arg[2] != ' ' && arg[2] != '\0') {
			return option_unknown(arg);
		} else if (a->c.sql.p) {
			fputs("sluice sql: the SQL must be one argument; put it in quotes\n", stderr);
			return EXIT_USAGE;
		} else {
			a->c.sql = slice_from_str(arg);
		}
	}
	if (code != EXIT_FINE || a->help) return code;
	a->c.user_properties = sl_buf_slice(&a->user_properties);
	const char *wrong = NULL;
	if (a->rule.p && !a->conf.p) wrong = "--rule wants the configuration it stands in: -c FILE";
	if (a->conf.p && !a->rule.p) wrong = "-c wants to know which of its rules: --rule ID";
	if (a->rule.p && a->c.sql.p) wrong = "give the SQL or --rule, not both";
	if (a->actions && !a->rule.p) wrong = "--actions are those of a rule in a configuration: --rule ID -c FILE";
	if (a->payload_file.p && a->c.payload.p) wrong = "give --payload or --payload-file, not both";
	if (wrong) {
		fprintf(stderr, "sluice sql: %s\n", wrong);
		return EXIT_USAGE;
	}
	return a->payload_file.p ? payload_read(a) : EXIT_FINE;
}

void sql_args_fini(struct sql_args *a) {
	sl_buf_fini(&a->user_properties);
	sl_buf_fini(&a->file);
}
