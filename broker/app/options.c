#include "options.h"

#include <stdio.h>
#include <string.h>

#include "app_commands.h"

static void print_help(const char *name, const char *summary, const char *verbose) {
	printf("usage: sluice %s -c FILE\n\n%s\n\noptions:\n"
	       "  -c, --config FILE   the configuration (YAML); conf/sluice.yaml is a commented one\n",
	       name, summary);
	if (verbose) printf("  -v, --verbose       %s\n", verbose);
	printf("  -h, --help          this text\n\n"
	       "Exit code: 0 all went well, 1 the configuration is wrong (every mistake is printed with its place),\n"
	       "2 wrong use, 3 the system refused something (a port, a folder).\n");
}

int run_options_parse(int argc, char **argv, const char *summary, const char *verbose, struct run_options *out) {
	*out = (struct run_options){0};
	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i];
		if (strcmp(arg, "-h") == 0 || strcmp(arg, "--help") == 0) {
			print_help(argv[0], summary, verbose);
			return -1;
		}
		if (verbose && (strcmp(arg, "-v") == 0 || strcmp(arg, "--verbose") == 0)) {
			out->verbose = true;
			continue;
		}
		if (strcmp(arg, "-c") != 0 && strcmp(arg, "--config") != 0) {
			fprintf(stderr, "sluice %s: unknown argument '%s'; usage: sluice %s -c FILE\n", argv[0], arg,
				argv[0]);
			return EXIT_USAGE;
		}
		if (i + 1 == argc) {
			fprintf(stderr, "sluice %s: %s needs a file name behind it\n", argv[0], arg);
			return EXIT_USAGE;
		}
		out->file = argv[++i];
	}
	if (out->file) return EXIT_FINE;
	fprintf(stderr, "sluice %s: which configuration? usage: sluice %s -c FILE\n", argv[0], argv[0]);
	return EXIT_USAGE;
}
