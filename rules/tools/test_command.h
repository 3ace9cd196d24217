/* test_command.h: `sluice test`: tests of rules as code, with the plan, the templates and the encoders of the broker.
 * Thread: the program's main one. Blocks on the files only. */
#ifndef TEST_COMMAND_H
#define TEST_COMMAND_H

/* argv[0] is the command's name. Returns the exit code: 0 all passed, 1 a case failed or a file is wrong, 2 usage, 3 the
 * system failed. */
int cmd_test(int argc, char **argv);

#endif
