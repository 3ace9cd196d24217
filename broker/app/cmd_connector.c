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
	const char *file, *name;
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
     .type = CLI_TEXT,
     .at = offsetof(struct connector_options, name),
     .value = "NAME",
     .doc = "of `test`: the connector, as under `connectors:`"},
    {.name = "timeout",
     .type = CLI_NUMBER,
     .at = offsetof(struct connector_options, timeout_s),
     .value = "SECONDS",
     .min = 1,
     .max = 3600,
     .doc = "of `test`: how long to wait for it"},
};
static const struct cli_command command = {
    .usage = "sluice connector test NAME -c FILE | sluice connector list -c FILE",
    .summary =
	"test: connects with the settings of the file, asks the server for a sign of life, and says in one line "
	"that all "
	"is well,\nor what is wrong; then which actions and sources miss a table, a column, a topic or a command. "
	"No rule runs, no row is written. list: the connectors of the file, secrets "
	"masked.",
    .exits = "0 all is well, 1 the configuration is wrong or has no such connector, 2 wrong use, 3 it does not "
	     "connect, or an action or source cannot work.",
    .options = options,
    .options_len = SL_ARRAY_LEN(options),
    .word = 'n',
};

/* {"version": "15.6", "nodes": [..]} -> version=15.6 nodes=[...] */
static void print_members(const json_t *o) {
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)o, key, value) {
		char *text = json_is_string(value) ? sl_strdup(json_string_value(value))
						   : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
		printf(" %s=%s", key, text ? text : "?");
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
		print_members(json_object_get(c, "settings"));
		putchar('\n');
	}
	json_decref(tree);
	return EXIT_FINE;
}

static int not_there(const struct connectors_set *set, const struct connector_options *o) {
	json_t *tree = json_object(), *c;
	struct sl_buf names = SL_BUF_INIT;
	size_t i;
	connectors_definitions(set, tree);
	json_array_foreach(json_object_get(tree, "connectors"), i, c)
	    sl_buf_printf(&names, "%s%s", i ? ", " : "", json_string_value(json_object_get(c, "name")));
	fprintf(stderr, "sluice connector: %s has no connector '%s'; it has: %s\n", o->file, o->name,
		names.n ? sl_buf_cstr(&names) : "none");
	sl_buf_fini(&names);
	json_decref(tree);
	return EXIT_INPUT;
}

static int test(struct connectors *cs, struct connectors_set *set, const struct connector_options *o) {
	struct connector_trial t;
	if (connectors_try(cs, set, o->name, (uint64_t)o->timeout_s * 1000, &t) != SL_OK) return not_there(set, o);
	if (t.fine) {
		if (t.note)
			printf("%s: fine: %s, %s", o->name, t.type, t.note);
		else
			printf("%s: fine: %s, connected%s in %" PRIu64 " ms", o->name, t.type,
			       t.probed ? " and answers," : "", t.took_ms);
		print_members(t.about);
		putchar('\n');
	} else
		fprintf(stderr, "%s: does not work: %s: %s\n", o->name, t.type, t.why);
	fflush(stdout);
	for (size_t i = 0; i < t.fault_count; i++)
		fprintf(stderr, "%s: %s: %s\n", o->name, t.faults[i].what, t.faults[i].why);
	for (size_t i = 0; i < t.note_count; i++) printf("%s: %s: %s\n", o->name, t.notes[i].what, t.notes[i].why);
	int code = t.fine && t.fault_count == 0 ? EXIT_FINE : EXIT_SYSTEM;
	if (t.hangs) {
		/* Its client library may wait for the server for ever: nothing else of this process matters. */
		fflush(stdout);
		_exit(code);
	}
	connector_trial_fini(&t);
	return code;
}

/* The set's actions come with the rules; those that have mistakes are for `sluice check` to name. */
static struct rules_prepared *actions_prepare(struct rules *rules, const struct broker_conf *conf,
					      struct connectors_set *set) {
	struct conf_report report = CONF_REPORT_INIT;
	struct rules_prepared *prepared = NULL;
	(void)connectors_prepare_sources(set, conf->sources, (struct conf_at){.doc = conf->doc, .path = "sources"},
					 &report);
	(void)rules_prepare(rules, conf->rules, (struct conf_at){.doc = conf->doc, .path = "rules"}, set, &report,
			    &prepared);
	conf_report_fini(&report);
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
		prepared = actions_prepare(rules, loaded->conf, set);
		code = test(cs, set, o);
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

int cmd_connector(int argc, char **argv) {
	struct connector_options o = {.timeout_s = 10};
	const char *what = argc > 1 ? argv[1] : "";
	bool known = strcmp(what, "test") == 0 || strcmp(what, "list") == 0;
	int code;
	if (!known && argc > 1 && argv[1][0] != '-') return usage("there is test, and there is list");
	/* What stands behind the word is like any command's. */
	if (!cli_parse(&command, known ? argc - 1 : argc, known ? argv + 1 : argv, &o, &code)) return code;
	if (!known) return usage("what is to be done?");
	if (!o.file) return usage("which configuration?");
	if (strcmp(what, "test") == 0 && !o.name) return usage("which connector?");
	log_set_level(LOG_OFF);
	struct conf_report report = CONF_REPORT_INIT;
	struct loaded loaded = {0};
	load_settings(o.file, &loaded, &report);
	code = EXIT_INPUT;
	if (loaded.conf && report.len == 0)
		code = run(what, &o, &loaded, &report);
	else
		load_print(&report);
	load_fini(&loaded);
	conf_report_fini(&report);
	return code;
}
