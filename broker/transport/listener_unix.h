/* listener_unix.h: what a listening unix socket has that TCP has not: a file with permissions, which outlives who made it, and
 * peers that the kernel knows.
 *
 * A file that nobody listens on (its broker was killed) is replaced; one that somebody listens on, or that is no socket, is refused.
 * Part of listener.c; same folder only. */
#ifndef LISTENER_UNIX_H
#define LISTENER_UNIX_H

#include <sys/stat.h>

#include "err.h"

enum { LISTENER_UNIX_PATH_MAX = 107 };

struct listener_file {
	char *path; /* NULL: none */
	dev_t dev;  /* which file it was: another one of the name is another's */
	ino_t ino;
};

/* A bound socket, close-on-exec and non-blocking. mode: permissions of the file; who may write to it may connect. */
int listener_file_bind(const char *path, unsigned mode, struct listener_file *file, int *fd, struct sl_err *err);
void listener_file_remove(struct listener_file *file); /* twice is fine */

/* "unix:uid=1000,pid=4242": who is at the other end of an accepted socket, as the kernel says; free with sl_free(). */
char *listener_unix_peer(int fd) sl_warn_unused;

#endif
