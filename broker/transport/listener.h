/* listener.h: a listening socket of one loop.
 *
 *     listener_open()     the address is ours; who connects is refused, for nobody listens yet
 *     listener_listen()   who connects waits in the system's queue
 *     listener_begin()    from now on connections are accepted
 *
 * Between the two a program makes ready what clients are to find, and an address that is taken is known before anything of it is made.
 * Every worker has its own on the same address (SO_REUSEPORT): the kernel spreads connections over them, and no worker
 * hands one on because of accepting. The first on a port makes sure that no other process listens there, both times. A connection is accepted as a bare descriptor; what is put on it (MQTT, later TLS
 * or WebSocket below it) is the business of who gets it.
 *
 * When the process has no descriptors left, accepting rests for a moment instead of spinning; the clients wait in the
 * kernel's queue.
 * A unix socket is one for all workers: whichever wakes first accepts.
 * Lifetime: from listener_open() to listener_free(); the callback may come until listener_stop().
 * Once it has begun it is freed, or stopped by others than the loop, only while the loop stands still; a loop that was
 * parked may still have an event of it in its hand, so it is freed in a deferred call then (loop.h).
 * Thread: open and listen any; begin and stop on the loop, or while it stands still. Never blocks
 * but for a name given as host, which open resolves. */
#ifndef LISTENER_H
#define LISTENER_H

#include <sys/socket.h>

#include "err.h"
#include "listen_at.h"
#include "listener_gate.h"
#include "loop.h"

struct listener;

struct listener_opts {
	const char *host; /* address or name; "" or "*": all addresses, IPv4 and IPv6 */
	uint16_t port;    /* 0: the kernel chooses; listener_port() tells */
	const char
	    *path;     /* of a unix socket, instead of the two; its file goes when the first of its listeners stops */
	unsigned mode; /* its permissions */
	int backlog;   /* 0: the system's most */
	const struct listener
	    *joined; /* another listener of this process that is on the address already, and does not listen yet */
	bool shares; /* a listener of this process is on the address and will go: it is no hindrance */
	struct listener_gate *gate; /* shared by those on one address, outlives them; NULL: no limit */
	uint64_t *rests;            /* how often the gate was shut; NULL: not counted */
};

/* The descriptor is the callee's: non-blocking, close-on-exec. */
typedef void (*listener_accept_cb)(void *arg, int fd, const struct sockaddr *peer, socklen_t peer_len);

int listener_open(struct sl_loop *l, const struct listener_opts *opts, listener_accept_cb cb, void *arg,
		  struct listener **out, struct sl_err *err);
/* Once each; after an error it is only good for listener_free(). */
int listener_listen(struct listener *ls, struct sl_err *err);
int listener_begin(struct listener *ls, struct sl_err *err);
/* Whom the callback gets from now on, and the limit; the loop stands still. */
void listener_serve(struct listener *ls, void *arg, struct listener_gate *gate);
uint16_t listener_port(const struct listener *ls);
struct sl_listen_at listener_at(const struct listener *ls); /* from open to stop */
void listener_stop(struct listener *ls);                    /* closes the socket: new connections are refused */
void listener_free(struct listener *ls);                    /* NULL is fine */

/* "192.0.2.1:1883", "[2001:db8::1]:1883", "unix"; free with sl_free(). */
char *listener_peer_text(const struct sockaddr *peer, socklen_t len) sl_warn_unused;

/* The same for who has just been accepted; of a unix socket who it is: "unix:uid=1000,pid=4242". */
char *listener_peer_of(int fd, const struct sockaddr *peer, socklen_t len) sl_warn_unused;

/* Raises the limit of open files to what the system allows; returns the limit in force. */
uint64_t listener_raise_fd_limit(void);

#endif
