/* conf_exec_spawn.c: see conf_exec_spawn.h. */
#include "conf_exec_spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>

extern char **environ;

static int files_set(posix_spawn_file_actions_t *files, const int *fds, int n) {
	int error = 0;
	for (int i = 0; i < n && !error; i++)
		error = fds[i] < 0 ? posix_spawn_file_actions_addopen(files, i, "/dev/null", O_RDWR, 0)
				   : posix_spawn_file_actions_adddup2(files, fds[i], i);
	return error ? error : posix_spawn_file_actions_addclosefrom_np(files, n);
}

static int attr_set(posix_spawnattr_t *attr) {
	sigset_t none, all;
	sigemptyset(&none);
	sigfillset(&all);
	int error = posix_spawnattr_setsigmask(attr, &none);
	if (!error) error = posix_spawnattr_setsigdefault(attr, &all);
	if (!error) error = posix_spawnattr_setpgroup(attr, 0);
	if (!error)
		error = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
							   POSIX_SPAWN_SETPGROUP);
	return error;
}

int conf_exec_spawn(const char *path, char **words, const int *fds, int n, pid_t *pid) {
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	if (posix_spawn_file_actions_init(&files) != 0) return ENOMEM;
	if (posix_spawnattr_init(&attr) != 0) {
		posix_spawn_file_actions_destroy(&files);
		return ENOMEM;
	}
	int error = files_set(&files, fds, n);
	if (!error) error = attr_set(&attr);
	if (!error) error = posix_spawnp(pid, path, &files, &attr, words, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return error;
}
