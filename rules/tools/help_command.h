/* help_command.h: `sluice help functions` and the other pages that are printed from tables.
 * Thread: the program's main one. */
#ifndef HELP_COMMAND_H
#define HELP_COMMAND_H

/* argv[0] is "functions"; then an optional name of a function or of a family, or a pattern, and --dialect NAME. Returns the
 * exit code: 0 fine, 1 there is no such function, 2 usage. */
int help_functions(int argc, char **argv);

/* The options of rules and their actions, and the columns of events; what a connector takes; what a test file says. The
 * same text as in rules/reference.md, connectors/OPTIONS.md and rules/testing.md. */
int help_rules(int argc, char **argv);
int help_connectors(int argc, char **argv);
int help_tests(int argc, char **argv);

#endif
