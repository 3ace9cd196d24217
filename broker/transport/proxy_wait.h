/* proxy_wait.h: takes the PROXY protocol's header off a connection that has just been accepted, before anything else reads from it.
 *
 *     proxy_wait_start(&w->proxied, loop, fd, 10000, told, arg)
 *     ...
 *     told(arg, fd, SL_OK, &who, NULL)     the descriptor is the callee's again, its next byte the client's first
 *
 * The bytes are peeked at in the kernel and read when they are whole, so nothing is kept here and no layer of a stream needs to know.
 * The callback comes once, from the loop's thread, also when nothing came in time (SL_EAGAIN), the other side has gone
 * (SL_ECLOSED), or what came is no header (SL_EPROTOCOL; *why is a sentence): the descriptor is the callee's in every case.
 * Lifetime: from start to the callback. Thread: the loop's baton. Never blocks. */
#ifndef PROXY_WAIT_H
#define PROXY_WAIT_H

#include "list.h"
#include "loop.h"
#include "proxy_proto.h"

typedef void (*proxy_wait_cb)(void *arg, int fd, int status, const struct proxy_proto *who, const char *why);

/* `all`: a list of those who wait on this loop, for proxy_wait_stop(). */
void proxy_wait_start(struct sl_list *all, struct sl_loop *l, int fd, uint64_t timeout_ms, proxy_wait_cb cb, void *arg);
void proxy_wait_stop(struct sl_list *all); /* all are told SL_ECLOSED, now */

#endif
