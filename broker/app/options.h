/* options.h: the few options that `run` and `check` share. */
#ifndef OPTIONS_H
#define OPTIONS_H

struct run_options {
	const char *file; /* -c FILE */
};

/* EXIT_FINE with *out filled; EXIT_USAGE after saying what is wrong; -1 after printing the help (exit 0). */
int run_options_parse(int argc, char **argv, const char *summary, struct run_options *out);

#endif
