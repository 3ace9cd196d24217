/* cmd_replay.c: `sluice replay`: rows of dead-letter files go back to their actions. What happens to them then:
 * connectors_replay.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "app_commands.h"
#include "ask.h"
#include "cli.h"
#include "connectors_replay.h"
#include "load.h"
#include "mem.h"
#include "topic.h"

enum { WAIT_STEP_MS = 50 };

struct replay_options {
	const char *file, *only, *topic, *clientid;
	bool list, dry_run, anyway;
	int64_t wait_s;
};

static const struct cli_option options[] = {
    {.letter = 'c',
     .name = "config",
     .type = CLI_TEXT,
     .at = offsetof(struct replay_options, file),
     .value = "FILE",
     .doc = "the broker's configuration: its actions, and node.data_dir"},
    {.letter = 'a',
     .name = "action",
     .type = CLI_TEXT,
     .at = offsetof(struct replay_options, only),
     .value = "RULE[.ACTION]",
     .doc = "only rows of this rule, or of one action of it, counted from 0"},
    {.letter = 't',
     .name = "topic",
     .type = CLI_TEXT,
     .at = offsetof(struct replay_options, topic),
     .value = "FILTER",
     .doc = "only rows of messages whose topic matches, as a subscription would"},
    {.name = "client",
     .type = CLI_TEXT,
     .at = offsetof(struct replay_options, clientid),
     .value = "ID",
     .doc = "only rows of messages of this client"},
    {.name = "list",
     .type = CLI_FLAG,
     .at = offsetof(struct replay_options, list),
     .doc = "show the rows, and why they were given up; change nothing"},
    {.name = "dry-run",
     .type = CLI_FLAG,
     .at = offsetof(struct replay_options, dry_run),
     .doc = "say what would be given back; change nothing"},
    {.name = "anyway",
     .type = CLI_FLAG,
     .at = offsetof(struct replay_options, anyway),
     .doc = "also rows that were meant for something else than what the action at their place writes to now"},
    {.name = "wait",
     .type = CLI_NUMBER,
     .at = offsetof(struct replay_options, wait_s),
     .value = "SECONDS",
     .max = 3600,
     .doc = "how long to wait until a running broker has decided them"},
};
static const struct cli_command command = {
    .usage = "sluice replay -c FILE [RULE[.ACTION]] [options]",
    .summary =
	"Gives rows that were given up (dead letters) back to their actions, with the broker running or stopped. A "
	"running broker\ntakes them within a second, and what became of them is said; another takes them at its next "
	"start. Rows that do not fit their action any "
	"more stay where they are.",
    .exits = "0 all went well, 1 the configuration is wrong or rows could not be given back, 2 wrong use, 3 rows were "
	     "refused again.",
    .options = options,
    .options_len = SL_ARRAY_LEN(options),
    .word = 'a',
};

struct replay_run {
	const struct replay_options *o;
	size_t moved, stay;
};

static void row_show(void *arg, const struct replay_row *row) {
	(void)arg;
	printf("%s  %.*s", row->action, SL_SLICE_ARG(row->at));
	if (row->attempts) printf("  %u attempt%s", row->attempts, row->attempts == 1 ? "" : "s");
	printf("  %.*s\n  %.*s\n", SL_SLICE_ARG(row->reason), SL_SLICE_ARG(row->row));
	if (!sl_origin_empty(&row->from)) {
		struct sl_buf from = SL_BUF_INIT;
		sl_origin_json(&row->from, &from);
		printf("  of %.*s\n", SL_SLICE_ARG(sl_buf_slice(&from)));
		sl_buf_fini(&from);
	}
	if (row->to && strcmp(row->to, row->action) != 0) printf("  goes to %s\n", row->to);
	if (row->stays) printf("  stays: %s\n", row->stays);
}

static bool file_say(void *arg, const struct replay_file *f) {
	struct replay_run *run = arg;
	size_t fits = f->rows - f->stay;
	bool moves = fits > 0 && !run->o->list && !run->o->dry_run;
	if (!f->action) {
		printf("%s: %s\n", f->path, f->why);
		return false;
	}
	printf("%s: %zu row%s %s", f->action, fits, fits == 1 ? "" : "s", moves ? "given back" : "can be given back");
	if (f->elsewhere) printf(", %zu of them to another action, which writes there now", f->elsewhere);
	if (f->stay) printf(", %zu stay%s: %s", f->stay, f->stay == 1 ? "s" : "", f->why);
	if (f->others) printf(", %zu of other messages stay%s", f->others, f->others == 1 ? "s" : "");
	printf(" (%s)\n", f->path);
	if (moves) run->moved += fits;
	run->stay += f->stay;
	return moves;
}

/* Nobody holds the lock of the data directory. */
static bool broker_stopped(const char *data_dir) {
	char *path = sl_asprintf("%s/lock", data_dir);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	bool stopped = fd < 0 ? errno == ENOENT : flock(fd, LOCK_EX | LOCK_NB) == 0;
	if (fd >= 0) close(fd);
	sl_free(path);
	return stopped;
}

/* What a running broker says became of rows that were given back, of all actions together. */
struct outcome {
	json_int_t delivered, refused, dropped;
	bool known;
};

static struct outcome outcome_ask(const struct broker_conf *conf) {
	struct outcome o = {.known = false};
	struct sl_err err = SL_ERR_INIT;
	json_t *status = ask_status(conf, &err), *a;
	size_t i;
	json_array_foreach(json_object_get(status, "actions"), i, a) {
		const json_t *back = json_object_get(a, "given_back");
		o.delivered += json_integer_value(json_object_get(back, "delivered"));
		o.refused += json_integer_value(json_object_get(back, "rejected"));
		o.dropped += json_integer_value(json_object_get(back, "dropped"));
	}
	o.known = status != NULL;
	json_decref(status);
	sl_err_fini(&err);
	return o;
}

static void outcome_sub(struct outcome *o, const struct outcome *before) {
	o->delivered -= before->delivered;
	o->refused -= before->refused;
	o->dropped -= before->dropped;
	o->known = o->known && before->known && o->delivered >= 0 && o->refused >= 0; /* else it began anew meanwhile */
}

static void step(void) {
	const struct timespec pause = {.tv_nsec = WAIT_STEP_MS * 1000000L};
	nanosleep(&pause, NULL);
}

static int outcome_say(const struct outcome *o, size_t moved) {
	json_int_t left = (json_int_t)moved - o->delivered - o->refused - o->dropped;
	printf("the running broker has taken them: %" JSON_INTEGER_FORMAT " delivered, %" JSON_INTEGER_FORMAT
	       " refused again",
	       o->delivered, o->refused);
	if (o->dropped) printf(", %" JSON_INTEGER_FORMAT " dropped", o->dropped);
	if (left > 0) printf(", %" JSON_INTEGER_FORMAT " still on their way; its status page tells", left);
	if (o->refused) printf("; the dead letters have them again, with the reason");
	putchar('\n');
	return o->refused ? EXIT_SYSTEM : EXIT_FINE;
}

static int wait_decided(const struct broker_conf *conf, const struct replay_run *run, const struct outcome *before) {
	int64_t left_ms = run->o->wait_s * 1000;
	const char *data_dir = conf->node.data_dir;
	size_t left = connectors_replay_waiting(data_dir);
	bool stopped = false;
	for (; left > 0 && left_ms > 0 && !stopped; left_ms -= WAIT_STEP_MS) {
		step();
		stopped = broker_stopped(data_dir);
		left = connectors_replay_waiting(data_dir);
	}
	if (left) {
		puts(stopped ? "the broker has stopped meanwhile; it takes what is left when it starts"
			     : "the running broker has not taken all of them yet; its log says what it waits for");
		return EXIT_FINE;
	}
	while (true) {
		struct outcome now = outcome_ask(conf);
		outcome_sub(&now, before);
		if (!now.known) {
			puts(broker_stopped(data_dir)
				 ? "the broker has taken them, and has stopped since; what is left goes on when it "
				   "starts"
				 : "the running broker has taken them; what is refused again stands in the dead "
				   "letters again, and its log and its status page tell");
			return EXIT_FINE;
		}
		if (now.delivered + now.refused + now.dropped >= (json_int_t)run->moved || left_ms <= 0)
			return outcome_say(&now, run->moved);
		step();
		left_ms -= WAIT_STEP_MS;
	}
}

struct others {
	char **name;
	size_t n, cap;
};

/* Files of actions that were not asked for: only their names. There may be two of one. */
static bool other_note(void *arg, const struct replay_file *f) {
	struct others *o = arg;
	const char *name = f->action ? f->action : f->path;
	for (size_t i = 0; i < o->n; i++)
		if (strcmp(o->name[i], name) == 0) return false;
	SL_GROW(o->name, o->n, o->cap);
	o->name[o->n++] = sl_strdup(name);
	return false;
}

static void none_say(const struct replay_options *o, const struct loaded *loaded) {
	const char *data_dir = loaded->conf->node.data_dir;
	struct others others = {0};
	struct replay_wants wants = {.data_dir = data_dir, .file = other_note, .arg = &others};
	struct sl_err err = SL_ERR_INIT;
	size_t files = 0;
	if (o->only) (void)connectors_replay_offer(loaded->set, &wants, &files, &err);
	if (others.n)
		printf("no dead letters of %s below %s; there are some of ", o->only, data_dir);
	else
		printf("no dead letters below %s\n", data_dir);
	for (size_t i = 0; i < others.n; i++) {
		printf("%s%s", others.name[i], i + 1 < others.n ? ", " : "\n");
		sl_free(others.name[i]);
	}
	sl_free(others.name);
	sl_err_fini(&err);
}

static int replay(const struct replay_options *o, const struct loaded *loaded) {
	struct replay_run run = {.o = o};
	struct replay_wants wants = {.data_dir = loaded->conf->node.data_dir,
				     .only = o->only,
				     .topic = o->topic,
				     .clientid = o->clientid,
				     .anyway = o->anyway,
				     .row = o->list ? row_show : NULL,
				     .file = file_say,
				     .arg = &run};
	struct sl_err err = SL_ERR_INIT;
	size_t files = 0;
	int code = EXIT_FINE;
	bool stopped = broker_stopped(wants.data_dir), shows = o->list || o->dry_run;
	struct outcome before = {.known = false};
	if (!stopped && !shows) before = outcome_ask(loaded->conf);
	if (connectors_replay_offer(loaded->set, &wants, &files, &err) != SL_OK) {
		fprintf(stderr, "sluice replay: %s\n", sl_err_text(&err));
		code = EXIT_INPUT;
	} else if (files == 0)
		none_say(o, loaded);
	if (run.moved && stopped)
		puts("no broker runs on this folder; it takes them when it starts");
	else if (run.moved)
		code = wait_decided(loaded->conf, &run, &before);
	sl_err_fini(&err);
	return code;
}

int cmd_replay(int argc, char **argv) {
	struct replay_options o = {.wait_s = 10};
	int code;
	if (!cli_parse(&command, argc, argv, &o, &code)) return code;
	if (!o.file) {
		fprintf(stderr, "sluice replay: which configuration? usage: %s\n", command.usage);
		return EXIT_USAGE;
	}
	if (o.topic && !topic_filter_valid(slice_from_str(o.topic))) {
		fprintf(stderr, "sluice replay: '%s' is not a topic filter; '+' and '#' stand alone in their level\n",
			o.topic);
		return EXIT_USAGE;
	}
	struct conf_report report = CONF_REPORT_INIT;
	struct loaded loaded = {0};
	struct rules_opts opts = {.node = "replay"};
	struct rules *rules = rules_new(&opts);
	load_settings(o.file, &loaded, &report);
	if (loaded.conf) load_rules(&loaded, NULL, rules, &report);
	load_print(&report);
	code = report.len > 0 ? EXIT_INPUT : replay(&o, &loaded);
	load_fini(&loaded);
	rules_free(rules);
	conf_report_fini(&report);
	return code;
}
