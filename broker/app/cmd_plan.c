/* cmd_plan.c: `sluice plan`: what a configuration would change in the broker that runs, and changing it. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "app_commands.h"
#include "ask.h"
#include "cli.h"
#include "load.h"
#include "mem.h"
#include "plan_diff.h"
#include "sources.h"

/* As tools of this kind have it, so that a build server can tell. */
enum { PLAN_SAME = 0, PLAN_ERROR = 1, PLAN_CHANGES = 2 };
enum { LOOK_MS = 100 };

struct plan_options {
	const char *file, *tag;
	bool apply;
	int64_t wait_s;
};

static const struct cli_option options[] = {
    {.letter = 'c',
     .name = "config",
     .type = CLI_TEXT,
     .at = offsetof(struct plan_options, file),
     .value = "FILE",
     .doc = "the configuration; the running broker is asked at its admin.bind"},
    {.name = "apply",
     .type = CLI_FLAG,
     .at = offsetof(struct plan_options, apply),
     .doc = "make the running broker, on this machine, read its configuration again, and wait until it has"},
    {.name = "tag",
     .type = CLI_TEXT,
     .at = offsetof(struct plan_options, tag),
     .value = "TAG",
     .doc = "show only rules that have this tag"},
    {.name = "wait",
     .type = CLI_NUMBER,
     .at = offsetof(struct plan_options, wait_s),
     .value = "SECONDS",
     .min = 1,
     .max = 3600,
     .doc = "how long --apply waits"},
};
static const struct cli_command command = {
    .usage = "sluice plan -c FILE [--apply] [options]",
    .summary =
	"Says what a configuration would change in the running broker: connectors and rules that are new (+), changed "
	"(~)\nor gone (-), and settings that would change, or need a restart.",
    .exits = "0 nothing would change or all is applied, 2 there are changes, 1 an error.",
    .options = options,
    .options_len = SL_ARRAY_LEN(options),
};

static int fail(struct sl_err *err) {
	fprintf(stderr, "sluice plan: %s\n", sl_err_text(err));
	return PLAN_ERROR;
}

/* What the file says, read as a reload would read it. NULL: it is wrong, and that was said. */
static json_t *wanted_read(const char *file, struct loaded *loaded, struct rules *rules) {
	struct conf_report report = CONF_REPORT_INIT;
	json_t *wanted = NULL;
	load_settings(file, loaded, &report);
	if (loaded->conf) load_rules(loaded, NULL, rules, &report);
	load_print(&report);
	if (report.len == 0) {
		wanted = json_object();
		rules_definitions(loaded->rules, wanted);
		connectors_definitions(loaded->set, wanted);
		connectors_sources_definitions(loaded->set, wanted);
		json_object_set_new(wanted, "settings", broker_conf_show(loaded->conf));
	}
	conf_report_fini(&report);
	return wanted;
}

static size_t show(const json_t *running, const json_t *wanted, const char *tag) {
	struct sl_buf lines = SL_BUF_INIT;
	struct plan_counts c = plan_diff(running, wanted, tag, &lines);
	fputs(sl_buf_cstr(&lines), stdout);
	sl_buf_fini(&lines);
	if (plan_changes(&c) == 0)
		puts("nothing would change");
	else
		printf("%zu to create, %zu to change, %zu to remove\n", c.create, c.change, c.remove);
	return plan_changes(&c);
}

/* ---- --apply ---- */

static json_int_t config_number(const json_t *status, const char *member) {
	return json_integer_value(json_object_get(json_object_get(status, "config"), member));
}

/* The process that we may tell: it is on this machine, and reads the file that was planned with. */
static pid_t process_find(const struct broker_conf *conf, const char *file, const json_t *status, struct sl_err *err) {
	pid_t pid = (pid_t)json_integer_value(json_object_get(status, "pid"));
	const char *host = ask_host(conf),
		   *theirs = json_string_value(json_object_get(json_object_get(status, "config"), "file"));
	char *ours = realpath(file, NULL);
	if (strncmp(host, "127.", 4) != 0 && strcmp(host, "localhost") != 0 && strcmp(host, "::1") != 0)
		sl_err_set(
		    err, SL_EUNSUPPORTED,
		    "--apply works on the broker's own machine, where it is asked at 127.0.0.1; elsewhere run it "
		    "there, or send the process SIGHUP");
	else if (!ours || !theirs || strcmp(ours, theirs) != 0)
		sl_err_set(err, SL_EINVAL, "the running broker reads %s, not %s; nothing was done",
			   theirs ? theirs : "another file", ours ? ours : file);
	else if (pid <= 0 || kill(pid, 0) != 0)
		sl_err_set(err, SL_EDENIED, "process %d cannot be told: %s", (int)pid,
			   pid <= 0 ? "the page does not name it" : strerror(errno));
	free(ours);
	return err->status == SL_OK ? pid : 0;
}

static int apply(const struct plan_options *o, const struct broker_conf *conf, json_t **status, struct sl_err *err) {
	json_int_t taken = config_number(*status, "reloads"), refused = config_number(*status, "refused");
	pid_t pid = process_find(conf, o->file, *status, err);
	if (pid && kill(pid, SIGHUP) != 0) sl_err_set(err, SL_EDENIED, "process %d: %s", (int)pid, strerror(errno));
	for (int64_t ms = 0; err->status == SL_OK && ms < o->wait_s * 1000; ms += LOOK_MS) {
		const struct timespec step = {.tv_nsec = LOOK_MS * 1000000L};
		nanosleep(&step, NULL);
		json_t *now = ask_status(conf, err);
		if (!now) break;
		json_decref(*status);
		*status = now;
		if (config_number(now, "refused") > refused)
			return sl_err_set(err, SL_EDENIED, "the broker refused it and goes on as before:\n%s",
					  json_string_value(json_object_get(json_object_get(now, "config"), "reason")));
		if (config_number(now, "reloads") > taken) return SL_OK;
	}
	if (err->status == SL_OK)
		sl_err_set(err, SL_ESYSTEM, "the broker has not said within %lld s that it has read it; see its log",
			   (long long)o->wait_s);
	return err->status;
}

/* Nobody says where the running broker listens but the file that it was started with. */
static int fail_to_ask(const struct broker_conf *conf, struct sl_err *err) {
	(void)fail(err);
	if (conf->admin.enabled)
		fputs("if this file changes admin.bind, a broker that runs still answers at the old one, until its "
		      "restart\n",
		      stderr);
	return PLAN_ERROR;
}

static int plan(const struct plan_options *o, const struct loaded *loaded, const json_t *wanted) {
	struct sl_err err = SL_ERR_INIT;
	json_t *status = ask_status(loaded->conf, &err);
	int code = PLAN_SAME;
	if (!status) {
		code = fail_to_ask(loaded->conf, &err);
		sl_err_fini(&err);
		return code;
	}
	if (o->tag && !plan_has_tag(wanted, o->tag) && !plan_has_tag(status, o->tag)) {
		sl_err_set(&err, SL_ENOTFOUND, "no rule has the tag '%s'", o->tag);
		json_decref(status);
		status = NULL;
	}
	size_t changes = status ? show(status, wanted, o->tag) : 0;
	if (!status) {
		code = fail(&err);
	} else if (changes && !o->apply) {
		code = PLAN_CHANGES;
	} else if (o->apply && apply(o, loaded->conf, &status, &err) != SL_OK) {
		code = fail(&err);
	} else if (o->apply) {
		/* Without changes too: a running broker shows no passwords, and these may be what is new. */
		puts(changes ? "applied" : "applied: the broker has read it again, for new passwords cannot be seen");
		/* The file may have changed meanwhile, or a removed connector still delivers. */
		struct sl_buf left = SL_BUF_INIT;
		struct plan_counts c = plan_diff(status, wanted, NULL, &left);
		if (plan_changes(&c)) printf("but these differences are left:\n%s", sl_buf_cstr(&left));
		code = plan_changes(&c) ? PLAN_CHANGES : PLAN_SAME;
		sl_buf_fini(&left);
	}
	json_decref(status);
	sl_err_fini(&err);
	return code;
}

int cmd_plan(int argc, char **argv) {
	struct plan_options o = {.wait_s = 30};
	int code;
	if (!cli_parse(&command, argc, argv, &o, &code)) return code == EXIT_FINE ? PLAN_SAME : PLAN_ERROR;
	if (!o.file) {
		fprintf(stderr, "sluice plan: which configuration? usage: %s\n", command.usage);
		return PLAN_ERROR;
	}
	if (o.apply && o.tag) {
		fputs("sluice plan: --apply puts all of the file in force; leave --tag out\n", stderr);
		return PLAN_ERROR;
	}
	struct loaded loaded = {0};
	struct rules_opts opts = {.node = "plan"};
	struct rules *rules = rules_new(&opts);
	json_t *wanted = wanted_read(o.file, &loaded, rules);
	code = wanted ? plan(&o, &loaded, wanted) : PLAN_ERROR;
	json_decref(wanted);
	load_fini(&loaded);
	rules_free(rules);
	return code;
}
