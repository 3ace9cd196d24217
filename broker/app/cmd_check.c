/* cmd_check.c: `sluice check`: every layer looks at the file as it would at a start, and nothing is started. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "acl.h"
#include "app_commands.h"
#include "auth.h"
#include "load.h"
#include "mem.h"
#include "options.h"

/* A start or a reload would fail on a password file that is missing or damaged. */
/* links: that of the file, checked; NULL: there are mistakes in it. */
static int check_auth(const struct broker_conf *conf, const struct auth_conf *links) {
	struct auth_options opts = {
	    .anonymous = conf->auth.anonymous, .password_file = conf->auth.password_file, .conf = links};
	struct auth *auth = NULL;
	struct sl_err err = SL_ERR_INIT;
	int rc = auth_new(&opts, &auth, &err);
	if (rc != SL_OK) {
		char *text = sl_err_format(&err);
		if (strstr(sl_err_text(&err), "auth.chain["))
			fprintf(stderr, "%s\n", text);
		else
			fprintf(stderr, "auth.password_file: %s; `sluice passwd FILE USER` makes one\n", text);
		sl_free(text);
	}
	auth_unref(auth);
	sl_err_fini(&err);
	return rc == SL_OK ? EXIT_FINE : EXIT_INPUT;
}

static void print_size(uint64_t bytes) {
	if (bytes % SL_GB == 0 && bytes)
		printf("%" PRIu64 " GB", bytes / SL_GB);
	else
		printf("%" PRIu64 " MB", bytes / SL_MB);
}

/* A count bounds no bytes, so it stands beside them. */
static void print_rows_bound(const struct connectors_budget *b) {
	if (b->counted == 0) return;
	printf("; rows %" PRIu64 " (buffer.rows", b->rows);
	if (b->counted < b->actions)
		printf(", of %zu action%s of %zu", b->counted, b->counted == 1 ? "" : "s", b->actions);
	printf(")");
}

/* What waiting rows may take in the worst case. */
static void print_budget(const struct loaded *loaded) {
	struct connectors_budget b;
	uint64_t all = (uint64_t)loaded->conf->node.buffer_memory, room = 0;
	connectors_budget(loaded->set, &b);
	printf("rows that wait, at most: memory ");
	print_size(b.memory < all ? b.memory : all);
	printf(" (%zu action%s ", b.actions, b.actions == 1 ? "" : "s");
	print_size(b.memory);
	printf(", node.buffer_memory ");
	print_size(all);
	printf("); disk ");
	if (b.disk_unlimited) printf("without bound, and ");
	print_size(b.disk);
	printf(" in %s", loaded->conf->node.data_dir);
	if (connectors_disk_free(loaded->conf->node.data_dir, &room) == SL_OK ||
	    connectors_disk_free(".", &room) == SL_OK) {
		printf(", which has ");
		print_size(room);
		printf(" free%s", b.disk > room ? ": less than that" : "");
	}
	print_rows_bound(&b);
	printf("\n");
}

static void print_shadowed(const char *file, uint32_t line, uint32_t number, uint32_t by_line, uint32_t by_number,
			   void *arg) {
	(void)arg;
	printf("hint: %s:%u: rule %u never decides: rule %u (line %u) comes before it and fits all that it fits\n",
	       file, line, number, by_number, by_line);
}

static int check(const char *file, bool verbose) {
	struct conf_report report = CONF_REPORT_INIT;
	struct loaded loaded = {0};
	struct rules_opts opts = {.node = "check"};
	struct rules *rules = rules_new(&opts);
	load_settings(file, &loaded, &report);
	if (loaded.conf && load_tls(&loaded, &report) == SL_OK)
		broker_conf_tls_current(loaded.conf, loaded.tls, &report);
	if (loaded.conf) load_rules(&loaded, NULL, rules, &report);
	int code = report.len > 0 ? EXIT_INPUT : EXIT_FINE;
	load_print(&report);
	if (loaded.conf && check_auth(loaded.conf, code == EXIT_FINE ? loaded.conf->auth.links : NULL) != EXIT_FINE)
		code = EXIT_INPUT;
	if (code == EXIT_FINE) {
		size_t connectors = json_object_size(loaded.conf->connectors);
		size_t count = json_object_size(loaded.conf->rules);
		size_t sources = json_object_size(loaded.conf->sources);
		printf("%s: fine: %zu connector%s, ", file, connectors, connectors == 1 ? "" : "s");
		if (sources) printf("%zu source%s, ", sources, sources == 1 ? "" : "s");
		printf("%zu rule%s\n", count, count == 1 ? "" : "s");
		if (loaded.acl) acl_shadowed(loaded.acl, print_shadowed, NULL);
		if (load_denies_all(&loaded))
			printf("hint: no access rules, so no topic is allowed to anybody: set auth.acl_file, or "
			       "auth.acl_default: allow\n");
		if (verbose) print_budget(&loaded);
	}
	load_fini(&loaded);
	rules_free(rules);
	conf_report_fini(&report);
	return code;
}

int cmd_check(int argc, char **argv) {
	struct run_options opts;
	int code = run_options_parse(argc, argv, "Checks a configuration with all its rules and starts nothing.",
				     "also says how much memory and disk waiting rows may take", &opts);
	if (code != EXIT_FINE) return code < 0 ? EXIT_FINE : code;
	return check(opts.file, opts.verbose);
}
