/* conf_exec_keep.c: see conf_exec_keep.h. */
#include "conf_exec_keep.h"
#include "conf_exec_spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUND_MS 10

/* It is not buried yet, so that its number, which is that of its group as well, stays its own. */
static bool has_ended(pid_t pid) {
	siginfo_t info = {.si_pid = 0};
	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == pid;
}

/* Until the program has ended, or nobody waits for it any more. */
static void attend(pid_t pid, int children) {
	while (!has_ended(pid)) {
		struct signalfd_siginfo info;
		struct pollfd p[2] = {{.fd = children, .events = POLLIN},
				      {.fd = CONF_EXEC_KEEP_SOCKET, .events = POLLIN}};
		if (poll(p, 2, -1) < 0 && errno != EINTR) return;
		if (p[1].revents) return;
		while (read(children, &info, sizeof info) > 0) continue;
	}
}

/* Those that it has now; what they leave behind become its children in turn. */
static void children_kill(void) {
	FILE *f = fopen("/proc/thread-self/children", "re");
	int pid;
	while (f && fscanf(f, "%d", &pid) == 1) kill(pid, SIGKILL);
	if (f) fclose(f);
}

/* *status: of the program, when it is buried here. */
static void all_end(pid_t program, int *status) {
	kill(-program, SIGKILL);
	for (int ms = 0; ms < CONF_EXEC_KEEP_MS; ms += ROUND_MS) {
		int one;
		pid_t pid;
		children_kill();
		while ((pid = waitpid(-1, &one, WNOHANG)) > 0)
			if (pid == program) *status = one;
		if (pid < 0 && errno == ECHILD) return;
		poll(NULL, 0, ms == 0 ? 1 : ROUND_MS);
	}
}

int cmd_exec_keeper(int argc, char **argv) {
	struct conf_exec_report report = {.status = SIGKILL}; /* as if it was killed, when nobody knows */
	sigset_t child;
	pid_t pid;
	if (argc < 2) return 2;
	if (fcntl(CONF_EXEC_KEEP_SOCKET, F_SETFD, FD_CLOEXEC) != 0) return 2; /* called by hand */
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	int children = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	static const int streams[] = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO};
	report.error = children < 0 ? errno : conf_exec_spawn(argv[1], argv + 1, streams, 3, &pid);
	close(STDOUT_FILENO);
	close(STDERR_FILENO);
	if (!report.error) {
		attend(pid, children);
		all_end(pid, &report.status);
	}
	(void)send(CONF_EXEC_KEEP_SOCKET, &report, sizeof report, MSG_NOSIGNAL);
	_exit(0);
}
