/* app_commands.h: the program's commands. Each takes what follows its name on the command line (argv[0] is the name) and
 * returns the exit code: 0 fine, 1 the user's input is wrong, 2 usage, 3 the system failed. */
#ifndef APP_COMMANDS_H
#define APP_COMMANDS_H

enum { EXIT_FINE = 0, EXIT_INPUT = 1, EXIT_USAGE = 2, EXIT_SYSTEM = 3 };

int cmd_run(int argc, char **argv);
int cmd_acl(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_connector(int argc, char **argv);
int cmd_plan(int argc, char **argv);
int cmd_replay(int argc, char **argv);
int cmd_help(int argc, char **argv);
int cmd_print_version(int argc, char **argv);

/* In the layers they belong to: cmd_exec_keeper (config), cmd_sql, cmd_jq_worker (rules), cmd_import (rules/import), cmd_passwd (auth), cmd_pub, cmd_sub, cmd_bench (client). */
#include "commands.h"
#include "conf_exec.h"
#include "conf_exec_keep.h"
#include "help_command.h"
#include "import_command.h"
#include "jq_worker.h"
#include "passwd_command.h"
#include "sql_command.h"
#include "test_command.h"

#endif
