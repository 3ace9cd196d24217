/* cli.h: the options of a command as a table: parsed into a struct, and printed as its help.
 *
 * A row says the names, the type, where the value goes and what it means; the help text is the table itself, so that it
 * cannot be wrong. Values that are not given keep what the caller put into the struct, which is the default shown.
 * Texts borrow from argv. Lists are heap arrays: cli_list_fini().
 * Thread: the main thread. Prints to stdout (help) and stderr (what was wrong, and what would be right). */
#ifndef SL_CLI_H
#define SL_CLI_H

#include "common.h"

enum cli_type {
	CLI_FLAG,   /* bool; takes no value */
	CLI_TEXT,   /* const char * */
	CLI_NUMBER, /* int64_t, within min and max */
	CLI_CHOICE, /* int: index into choices */
	CLI_LIST,   /* struct cli_list; may be given again */
};

struct cli_list {
	const char **items;
	size_t len, cap;
};

struct cli_option {
	char letter;      /* 0: none */
	const char *name; /* long name without dashes */
	enum cli_type type;
	size_t at;                  /* offset in the caller's struct */
	const char *value;          /* what the value is called in help: "HOST" */
	int64_t min, max;           /* of CLI_NUMBER */
	const char *const *choices; /* of CLI_CHOICE, ends with NULL */
	const char *doc;
};

struct cli_command {
	const char *usage;   /* "sluice pub -t TOPIC -m MESSAGE [options]" */
	const char *summary; /* a sentence or two */
	const struct cli_option *options;
	size_t options_len;
	char word;            /* the letter of the option that a bare word stands for, once but for a list; 0: none */
	const char *examples; /* lines, may be NULL */
	const char *exits;    /* the exit codes, in a sentence; NULL: those of a client */
};

/* Exit codes of every command. */
enum cli_exit { CLI_OK = 0, CLI_INPUT = 1, CLI_USAGE = 2, CLI_SYSTEM = 3 };

/* argv[0] is the command's name. Returns true when the command is to run; else *exit_code says how to leave: CLI_OK
 * after --help (printed), CLI_USAGE after a mistake (told on stderr). */
bool cli_parse(const struct cli_command *cmd, int argc, char **argv, void *out, int *exit_code);

void cli_list_fini(struct cli_list *l);

#endif
