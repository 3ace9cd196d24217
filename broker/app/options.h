/* options.h: the few options that `run` and `check` share. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>

struct run_options {
	const char *file; /* -c FILE */
	bool verbose;     /* where `verbose` is asked for: -v */
};

/* verbose: what -v adds, or NULL where it adds nothing.
 * EXIT_FINE with *out filled; EXIT_USAGE after saying what is wrong; -1 after printing the help (exit 0). */
int run_options_parse(int argc, char **argv, const char *summary, const char *verbose, struct run_options *out);

#endif
