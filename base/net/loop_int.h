/* loop_int.h: the inside of a loop, for the files of this folder.
 *
 * Under the baton: everything but `inbox` (its own mutex) and the atomics. */
#ifndef SL_LOOP_INT_H
#define SL_LOOP_INT_H

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "loop.h"
#include "wheel.h"

struct sl_stream_pool;

/* `asleep` is true, or `nap_ms` not 0, from the moment the owner has looked into the inbox until it comes back from epoll: only
 * then does a letter need the eventfd, and in a nap only one that cannot wait so long. */
struct sl_inbox {
	pthread_mutex_t lock;
	struct sl_post *head, **tail;
	bool asleep;
	uint32_t nap_ms;
	uint32_t patience_ms; /* of the letter in it that can wait least; UINT32_MAX: none is there */
};

struct sl_loop {
	pthread_mutex_t baton;
	pthread_mutex_t gate;     /* held by who parks the loop, so that the owner cannot be first again and again */
	_Atomic uint32_t parkers; /* how many want to park it */
	atomic_bool stopping;
	struct sl_inbox inbox;
	int epoll_fd, wake_fd;
	uint64_t now_ms, wake_ms; /* wake_ms: until when the owner sleeps, at most */
	bool sleeping;            /* the owner has given the baton away for epoll: what needs it must wake it */
	int64_t wall_ms;
	struct sl_list hooks[SL_PHASE_COUNT];
	struct sl_list again;    /* watches that asked for another turn */
	struct sl_list deferred; /* for the owner */
	struct sl_arena arena;
	struct sl_stream_pool *streams; /* made by the first stream (stream.c) */
	struct sl_wheel wheel;
	uv_loop_t uv;
	uv_async_t uv_keep;
	uint32_t nap_ms; /* the sleep after this tick is a nap of so long at most; 0: it is none */
	uint32_t reads;  /* of this tick, and what they brought: see loop_breathe() */
	uint64_t read_bytes;
	bool more;   /* this tick left work for the next: do not sleep */
	bool uv_due; /* the libuv descriptor was among the events */
	bool started, joined;
	int index;
	pthread_t thread;
	char *name;
};

void sl_stream_pool_free(struct sl_stream_pool *p); /* stream.c; NULL is fine */
void sl_loop_wake(struct sl_loop *l);
void sl_loop_more(struct sl_loop *l); /* one more tick, at once */

#endif
