/* conf_exec_spawn.h: a program begins, in a process group of its own, with signals as any program has them.
 *
 * fds[i] becomes its descriptor i, and it has no others; -1: it reads nothing there, and what it writes is dropped.
 * Any thread. Blocks until the program is loaded. The caller waits for it (waitpid()). */
#ifndef SL_CONF_EXEC_SPAWN_H
#define SL_CONF_EXEC_SPAWN_H

#include <sys/types.h>

/* path: as execvp() looks it up. words: program and arguments, ended by NULL. 0, or errno. */
int conf_exec_spawn(const char *path, char **words, const int *fds, int n, pid_t *pid);

#endif
