/* conf_exec_keep.h: the process that stands between us and a program of ${exec:...}, so that nothing of it stays.
 *
 *     us ── spawn ──> our own executable as `exec-keeper` ── spawn ──> the program ──> its children ...
 *      └── socket ──>  subreaper: orphans become its children, whatever session or group they are in
 *
 * When the program has ended, when our end of the socket is closed, or when we are gone, it ends all of its descendants, says how
 * the program ended, and ends. It is a process of its own because only there every child is the program's: the broker has others.
 * What runs as another user (sudo) cannot be ended, and is left after CONF_EXEC_KEEP_MS. Where the system has no list of a
 * process's children (/proc), the program's process group is ended.
 *
 * Thread: a process with one. Blocks until all is over. */
#ifndef SL_CONF_EXEC_KEEP_H
#define SL_CONF_EXEC_KEEP_H

#define CONF_EXEC_KEEP_COMMAND "exec-keeper"
#define CONF_EXEC_KEEP_SOCKET 3
#define CONF_EXEC_KEEP_MS 2000

/* What comes back by the socket. */
struct conf_exec_report {
	int error;  /* errno: it could not be started */
	int status; /* as of waitpid() */
};

/* words: program and arguments, ended by NULL. For main(): the exit code. */
int cmd_exec_keeper(int argc, char **argv);

#endif
