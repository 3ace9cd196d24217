/* sql_command.h: `sluice sql`: a rule tried on a message, with the plan, the sources and the encoder of the broker.
 * Thread: the program's main one. Blocks on standard input with --jsonl. */
#ifndef SQL_COMMAND_H
#define SQL_COMMAND_H

/* argv[0] is the command's name. Returns the exit code: 0 fine, 1 the input is wrong, 2 usage, 3 the system failed. */
int cmd_sql(int argc, char **argv);

#endif
