/* cmd_connector.c: `sluice connector list` and `sluice connector test NAME`: is the connection that a configuration speaks of to
 * be had, and if not, why? */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app_commands.h"
#include "cli.h"
#include "connectors_try.h"
#include "load.h"
#include "log.h"
#include "mem.h"
#include "sources.h"

struct connector_options {
	const char *file;
	struct cli_list names;
	int64_t timeout_s;
};

static const struct cli_option options[] = {
    {.letter = 'c',
     .name = "config",
     .type = CLI_TEXT,
     .at = offsetof(struct connector_options, file),
     .value = "FILE",
     .doc = "the broker's configuration"},
    {.letter = 'n',
     .name = "name",
     .type = CLI_LIST,
     .at = offsetof(struct connector_options, names),
     .value = "NAME",
     .doc = "of `test`: the connector, as under `connectors:`; may be given again"},
    {.name = "timeout",
     .type = CLI_NUMBER,
     .at = offsetof(struct connector_options, timeout_s),
     .value = "SECONDS",
     .min = 1,
     .max = 3600,
     .doc = "of `test`: how long to wait for it"},
};
static const struct cli_command command = {
    .usage = "sluice connector test NAME... -c FILE | sluice connector list -c FILE",
    .summary =
	"test: connects with the settings of the file, asks the server for a sign of life, and says in one line "
	"that all "
	"is well,\nor what is wrong; then which actions and sources have mistakes, or miss a table, a column, a topic "
	"or a command. "
	"No rule runs, no row is written. list: the connectors of the file, secrets "
	"masked.",
    .exits = "0 all is well, 1 the configuration is wrong or has no such connector, 2 wrong use, 3 it does not "
	     "connect, or an action or source cannot work. Of several connectors the highest.",
    .options = options,
    .options_len = SL_ARRAY_LEN(options),
    .word = 'n',
};

/* {"version": "15.6", "nodes": [..]} -> version=15.6 nodes=[...] */
static void print_members(FILE *out, const json_t *o) {
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)o, key, value) {
		char *text = json_is_string(value) ? sl_strdup(json_string_value(value))
						   : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
		fprintf(out, " %s=%s", key, text ? text : "?");
		sl_free(text);
	}
}

static int list(const struct connectors_set *set) {
	json_t *tree = json_object(), *c;
	size_t i;
	connectors_definitions(set, tree);
	const json_t *conns = json_object_get(tree, "connectors");
	if (json_array_size(conns) == 0) puts("no connectors are configured");
	json_array_foreach(conns, i, c) {
		printf("%s type=%s", json_string_value(json_object_get(c, "name")),
		       json_string_value(json_object_get(c, "type")));
		print_members(stdout, json_object_get(c, "settings"));
		putchar('\n');
	}
	json_decref(tree);
	return EXIT_FINE;
}

static int not_there(const struct broker_conf *conf, const char *file, const char *name) {
	struct sl_buf names = SL_BUF_INIT;
	const char *key;
	json_t *value;
	json_object_foreach(conf->connectors, key, value) sl_buf_printf(&names, "%s%s", names.n ? ", " : "", key);
	fprintf(stderr, "sluice connector: %s has no connector '%s'; it has: %s\n", file, name,
		names.n ? sl_buf_cstr(&names) : "none");
	sl_buf_fini(&names);
	return EXIT_INPUT;
}

/* ---- Mistakes of actions and sources, of which connectors_try() sees nothing, for they were not made. ---- */

static bool uses(const json_t *tree, const char *name) {
	const char *connector = json_string_value(json_object_get(tree, "connector"));
	return connector && strcmp(connector, name) == 0;
}

/* Whether a mistake is at this place or below it: "rules.r.actions[0].table: ...". */
static bool is_at(const char *text, const char *path) {
	size_t n = strlen(path);
	return strncmp(text, path, n) == 0 && text[n] && strchr(".[:", text[n]);
}

static const json_t *source_of(const char *text, const struct broker_conf *conf) {
	const char *key;
	json_t *source;
	bool hit = false;
	json_object_foreach(conf->sources, key, source) {
		char *path = yaml_path_key("sources", key);
		hit = is_at(text, path);
		sl_free(path);
		if (hit) return source;
	}
	return NULL;
}

static const json_t *rule_of(const char *text, const struct broker_conf *conf, char **path) {
	const char *key;
	json_t *rule;
	json_object_foreach(conf->rules, key, rule) {
		*path = yaml_path_key("rules", key);
		if (is_at(text, *path)) return rule;
		sl_free(*path);
	}
	*path = NULL;
	return NULL;
}

static const json_t *action_of(const char *text, const json_t *rule, const char *path) {
	char *list = yaml_path_key(path, "actions");
	const json_t *actions = json_object_get(rule, "actions"), *found = NULL;
	for (size_t i = 0; i < json_array_size(actions) && !found; i++) {
		char *at = yaml_path_index(list, i);
		if (is_at(text, at)) found = json_array_get(actions, i);
		sl_free(at);
	}
	sl_free(list);
	return found;
}

/* Where a mistake is: in a source, in an action, or else in a rule; NULL for what it is not in. */
struct mistaken {
	const json_t *part; /* the source or the action */
	const json_t *rule;
};

static struct mistaken mistaken(const struct sl_err *mistake, const struct broker_conf *conf) {
	const char *text = sl_err_text(mistake);
	char *path;
	struct mistaken m = {.part = source_of(text, conf), .rule = rule_of(text, conf, &path)};
	if (m.rule) m.part = action_of(text, m.rule, path);
	sl_free(path);
	return m;
}

/* One that is inside of an action is that action's; any other is of all actions of the rule. */
static bool concerns(const struct sl_err *mistake, const struct broker_conf *conf, const char *name) {
	struct mistaken m = mistaken(mistake, conf);
	if (m.part) return uses(m.part, name);
	bool used = false;
	json_t *action;
	size_t i;
	json_array_foreach(json_object_get(m.rule, "actions"), i, action) used = used || uses(action, name);
	return used;
}

/* Of no connector that there is: perhaps the one that was meant is the one that is tested. */
static bool is_nobodys(const struct sl_err *mistake, const struct broker_conf *conf) {
	const json_t *part = mistaken(mistake, conf).part;
	const char *connector = json_string_value(json_object_get(part, "connector"));
	if (connector) return !json_object_get(conf->connectors, connector);
	return part && !json_object_get(part, "console") && !json_object_get(part, "republish");
}

static int print_nobodys(const struct conf_report *mistakes, const struct broker_conf *conf) {
	int code = EXIT_FINE;
	for (size_t i = 0; i < mistakes->len; i++) {
		if (!is_nobodys(&mistakes->errs[i], conf)) continue;
		char *line = sl_err_format(&mistakes->errs[i]);
		fprintf(stderr, "sluice connector: %s\n", line);
		sl_free(line);
		code = EXIT_INPUT;
	}
	return code;
}

static bool has_mistakes(const struct conf_report *mistakes, const struct broker_conf *conf, const char *name) {
	bool found = mistakes->dropped > 0;
	for (size_t i = 0; i < mistakes->len && !found; i++) found = concerns(&mistakes->errs[i], conf, name);
	return found;
}

static void print_mistakes(const struct conf_report *mistakes, const struct broker_conf *conf, const char *name) {
	for (size_t i = 0; i < mistakes->len; i++) {
		if (!concerns(&mistakes->errs[i], conf, name)) continue;
		char *line = sl_err_format(&mistakes->errs[i]);
		fprintf(stderr, "%s: %s\n", name, line);
		sl_free(line);
	}
	if (mistakes->dropped)
		fprintf(stderr,
			"%s: the file has %zu more mistakes than are kept; correct those that `sluice check` names\n",
			name, mistakes->dropped);
}

/* ---- One connector. ---- */

struct tests {
	struct connectors *cs;
	struct connectors_set *set;
	const struct connector_options *o;
	const struct broker_conf *conf;
	struct conf_report mistakes; /* of actions and sources */
	bool hangs;
};

/* Verdict and faults in one stream, so that they stand in this order: "fine" is not said where an action cannot work. */
static void print_verdict(const char *name, const struct connector_trial *t, bool mistaken) {
	bool faulty = t->fault_count || mistaken;
	FILE *out = faulty ? stderr : stdout;
	fprintf(out, "%s: %s: %s, ", name, faulty ? "not all will work" : "fine", t->type);
	if (t->note)
		fputs(t->note, out);
	else
		fprintf(out, "connected%s in %" PRIu64 " ms", t->probed ? " and answers," : "", t->took_ms);
	print_members(out, t->about);
	fputc('\n', out);
}

static int test(struct tests *ts, const char *name) {
	struct connector_trial t;
	if (!json_object_get(ts->conf->connectors, name) ||
	    connectors_try(ts->cs, ts->set, name, (uint64_t)ts->o->timeout_s * 1000, &t) != SL_OK)
		return not_there(ts->conf, ts->o->file, name);
	bool mistaken = has_mistakes(&ts->mistakes, ts->conf, name);
	if (t.fine)
		print_verdict(name, &t, mistaken);
	else
		fprintf(stderr, "%s: does not work: %s: %s\n", name, t.type, t.why);
	fflush(stdout);
	print_mistakes(&ts->mistakes, ts->conf, name);
	for (size_t i = 0; i < t.fault_count; i++)
		fprintf(stderr, "%s: %s: %s\n", name, t.faults[i].what, t.faults[i].why);
	for (size_t i = 0; i < t.note_count; i++) printf("%s: %s: %s\n", name, t.notes[i].what, t.notes[i].why);
	int code = !t.fine || t.fault_count ? EXIT_SYSTEM : mistaken ? EXIT_INPUT : EXIT_FINE;
	ts->hangs = ts->hangs || t.hangs;
	connector_trial_fini(&t);
	return code;
}

static bool is_repeated(const struct cli_list *names, size_t i) {
	for (size_t k = 0; k < i; k++)
		if (strcmp(names->items[k], names->items[i]) == 0) return true;
	return false;
}

/* One after the other. A connection belongs to the service once it was tried: a name that is repeated is tried once. */
static int test_all(struct tests *ts) {
	const struct cli_list *names = &ts->o->names;
	int worst = print_nobodys(&ts->mistakes, ts->conf);
	for (size_t i = 0; i < names->len; i++) {
		int code = is_repeated(names, i) ? EXIT_FINE : test(ts, names->items[i]);
		if (code > worst) worst = code;
	}
	if (ts->hangs) {
		/* Its client library may wait for the server for ever: nothing else of this process matters. */
		fflush(stdout);
		_exit(worst);
	}
	return worst;
}

/* The set's actions come with the rules. */
static struct rules_prepared *actions_prepare(struct rules *rules, const struct broker_conf *conf,
					      struct connectors_set *set, struct conf_report *mistakes) {
	struct rules_prepared *prepared = NULL;
	(void)connectors_prepare_sources(set, conf->sources, (struct conf_at){.doc = conf->doc, .path = "sources"},
					 mistakes);
	(void)rules_prepare(rules, conf->rules, (struct conf_at){.doc = conf->doc, .path = "rules"}, set, mistakes,
			    &prepared);
	return prepared;
}

static int run(const char *what, const struct connector_options *o, const struct loaded *loaded,
	       struct conf_report *report) {
	struct connectors_opts opts = {.data_dir = loaded->conf->node.data_dir};
	struct connectors *cs = NULL;
	struct connectors_set *set = NULL;
	struct rules_opts rules_opts = {.node = "test"};
	struct rules *rules = rules_new(&rules_opts);
	struct rules_prepared *prepared = NULL;
	struct sl_err err = SL_ERR_INIT;
	sl_outbound_free(sl_outbound_set(sl_outbound_new(&loaded->conf->node.outbound)));
	int rc = connectors_new(&opts, &cs, &err);
	if (rc == SL_OK) rc = connectors_start(cs, &err);
	int code = rc == SL_OK ? EXIT_FINE : EXIT_SYSTEM;
	if (rc != SL_OK) fprintf(stderr, "sluice connector: %s\n", sl_err_text(&err));
	struct conf_at at = {.doc = loaded->conf->doc, .path = "connectors"};
	if (code == EXIT_FINE && connectors_prepare(cs, loaded->conf->connectors, at, report, &set) != SL_OK)
		code = EXIT_INPUT;
	load_print(report);
	if (code == EXIT_FINE && strcmp(what, "list") == 0)
		code = list(set);
	else if (code == EXIT_FINE) {
		struct tests ts = {.cs = cs, .set = set, .o = o, .conf = loaded->conf};
		prepared = actions_prepare(rules, loaded->conf, set, &ts.mistakes);
		code = test_all(&ts);
		conf_report_fini(&ts.mistakes);
	}
	if (cs) connectors_stop(cs, 0);
	rules_discard(prepared);
	connectors_set_free(set);
	connectors_free(cs);
	rules_free(rules);
	sl_err_fini(&err);
	return code;
}

static int usage(const char *why) {
	fprintf(stderr, "sluice connector: %s; usage: %s\n", why, command.usage);
	return EXIT_USAGE;
}

static int parsed(int argc, char **argv, struct connector_options *o) {
	const char *what = argc > 1 ? argv[1] : "";
	bool known = strcmp(what, "test") == 0 || strcmp(what, "list") == 0;
	int code;
	if (!known && argc > 1 && argv[1][0] != '-') return usage("there is test, and there is list");
	/* What stands behind the word is like any command's. */
	if (!cli_parse(&command, known ? argc - 1 : argc, known ? argv + 1 : argv, o, &code)) return code;
	if (!known) return usage("what is to be done?");
	if (!o->file) return usage("which configuration?");
	if (strcmp(what, "test") == 0 && !o->names.len) return usage("which connector?");
	if (strcmp(what, "list") == 0 && o->names.len) return usage("list shows all, and takes no name");
	log_set_level(LOG_OFF);
	struct conf_report report = CONF_REPORT_INIT;
	struct loaded loaded = {0};
	load_settings(o->file, &loaded, &report);
	code = EXIT_INPUT;
	if (loaded.conf && report.len == 0)
		code = run(what, o, &loaded, &report);
	else
		load_print(&report);
	load_fini(&loaded);
	conf_report_fini(&report);
	return code;
}

int cmd_connector(int argc, char **argv) {
	/* Longer than most kinds' own limits, for they know better what they waited for. */
	struct connector_options o = {.timeout_s = 15};
	int code = parsed(argc, argv, &o);
	cli_list_fini(&o.names);
	return code;
}
