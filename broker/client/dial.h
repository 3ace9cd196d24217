/* dial.h: a TCP or unix connection to a broker, for the command line tools.
 * Thread: any. Blocks until connected or out of time. */
#ifndef SL_DIAL_H
#define SL_DIAL_H

#include "err.h"

/* Connects with TCP_NODELAY; *fd is non-blocking and the caller's. Tries each address of the name in turn.
 * SL_ESYSTEM (with the reason and what to look at) when none answers within timeout_ms. */
int dial_tcp(const char *host, uint16_t port, int timeout_ms, int *fd, struct sl_err *err);

/* The same for a unix socket. Who listens there with a full queue is given up at once. */
int dial_unix(const char *path, int *fd, struct sl_err *err);

/* Waits for events of poll(2) on one descriptor. True when one came, false after timeout_ms (negative: no end). */
bool dial_wait(int fd, short events, int timeout_ms);

#endif
