/* cmd_check.c: `sluice check`: every layer looks at the file as it would at a start, and nothing is started. */
#include <stdio.h>

#include "app_commands.h"
#include "load.h"
#include "options.h"

static int check(const char *file) {
	struct conf_report report = CONF_REPORT_INIT;
	struct loaded loaded = {0};
	struct rules_opts opts = {.node = "check"};
	struct rules *rules = rules_new(&opts);
	load_settings(file, &loaded, &report);
	if (loaded.conf) load_rules(&loaded, NULL, rules, &report);
	int code = report.len > 0 ? EXIT_INPUT : EXIT_FINE;
	load_print(&report);
	if (code == EXIT_FINE) {
		size_t connectors = json_object_size(loaded.conf->connectors);
		size_t count = json_object_size(loaded.conf->rules);
		printf("%s: fine: %zu connector%s, %zu rule%s\n", file, connectors, connectors == 1 ? "" : "s", count,
		       count == 1 ? "" : "s");
	}
	load_fini(&loaded);
	rules_free(rules);
	conf_report_fini(&report);
	return code;
}

int cmd_check(int argc, char **argv) {
	struct run_options opts;
	int code =
	    run_options_parse(argc, argv, "Checks a configuration with all its rules and starts nothing.", &opts);
	if (code != EXIT_FINE) return code < 0 ? EXIT_FINE : code;
	return check(opts.file);
}
