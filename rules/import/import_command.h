/* import_command.h: `sluice import aws|emqx`: rules of another broker as a configuration of ours.
 * Thread: the program's main one. Blocks on files only. Errors: said on standard error. */
#ifndef IMPORT_COMMAND_H
#define IMPORT_COMMAND_H

/* argv[0] is the command's name. Returns the exit code: 0 nothing refused, 1 something is, 2 usage, 3 the system failed. */
int cmd_import(int argc, char **argv);

#endif
