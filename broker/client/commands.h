/* commands.h: the client commands of the program, each like a main(): argv[0] is the command's name ("pub").
 * They return the exit code: 0 fine, 1 what the user gave is wrong or was refused, 2 usage, 3 the system failed.
 * Thread: the main thread; each runs until it is done. */
#ifndef SL_COMMANDS_H
#define SL_COMMANDS_H

int cmd_pub(int argc, char **argv);
int cmd_sub(int argc, char **argv);
int cmd_tap(int argc, char **argv);
int cmd_bench(int argc, char **argv);

#endif
