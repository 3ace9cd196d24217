/* The end of a connection that we close while the other side may still talk: we have said why (DISCONNECT, CONNACK, a status of
 * HTTP), and that must be read. A socket that is closed at once answers whatever comes with a reset, and the other side's next write
 * fails before it has read so far. So our side is shut, and what comes is read and thrown away, until the other side closes too:
 * for a while, so many bytes, and so many connections; beyond that it is closed as it is. */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mem.h"
#include "stream_int.h"

enum { QUIET_MS = 1000, WHOLE_MS = 10000, BYTES_MAX = 1024 * 1024, LINGERS_MAX = 256 };

struct lingering {
	struct sl_watch watch;
	struct sl_list link; /* in the pool's list, by quiet_ms */
	struct sl_deferred gone;
	struct sl_loop *loop;
	uint64_t quiet_ms, end_ms; /* closed then: nothing came; whatever came */
	size_t bytes;
};

static void end(struct lingering *g) {
	int fd = g->watch.fd;
	sl_watch_remove(g->loop, &g->watch);
	sl_list_remove(&g->link);
	stream_pool(g->loop)->lingers--;
	close(fd);
	sl_loop_defer(g->loop, &g->gone); /* the loop may have an event for it at hand */
}

static void gone(struct sl_deferred *d) { sl_free(sl_container_of(d, struct lingering, gone)); }

static void wait_on(struct lingering *g) {
	struct sl_stream_pool *p = stream_pool(g->loop);
	g->quiet_ms = sl_loop_now_ms(g->loop) + QUIET_MS;
	sl_list_remove(&g->link);
	sl_list_push_back(&p->lingering, &g->link);
}

static void ready(struct sl_watch *w, uint32_t events) {
	(void)events;
	struct lingering *g = sl_container_of(w, struct lingering, watch);
	for (;;) {
		ssize_t n = recv(w->fd, stream_pool(g->loop)->scratch, STREAM_SCRATCH, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
		if (n > 0) g->bytes += (size_t)n;
		if (n <= 0 || g->bytes > BYTES_MAX) {
			end(g);
			return;
		}
	}
	if (sl_loop_now_ms(g->loop) < g->end_ms) wait_on(g);
}

static void quiet(struct sl_timer *t) {
	struct sl_stream_pool *p = sl_container_of(t, struct sl_stream_pool, linger_timer);
	uint64_t now = sl_loop_now_ms(p->loop);
	while (!sl_list_empty(&p->lingering)) {
		struct lingering *g = SL_LIST_ENTRY(p->lingering.next, struct lingering, link);
		if (g->quiet_ms > now) {
			sl_timer_set(p->loop, t, g->quiet_ms - now);
			return;
		}
		end(g);
	}
}

void stream_linger_init(struct sl_stream_pool *p) {
	sl_list_init(&p->lingering);
	sl_timer_init(&p->linger_timer, quiet);
	p->lingers = 0;
}

void stream_linger(struct sl_loop *l, int fd) {
	struct sl_stream_pool *p = stream_pool(l);
	if (p->lingers >= LINGERS_MAX) end(SL_LIST_ENTRY(p->lingering.next, struct lingering, link));
	struct lingering *g = SL_NEW(struct lingering);
	g->loop = l;
	g->end_ms = sl_loop_now_ms(l) + WHOLE_MS;
	sl_list_init(&g->link);
	sl_watch_init(&g->watch, ready);
	sl_deferred_init(&g->gone, gone);
	if (sl_watch_add(l, &g->watch, fd) != SL_OK) {
		close(fd);
		sl_free(g);
		return;
	}
	p->lingers++;
	wait_on(g);
	if (!sl_timer_armed(&p->linger_timer)) sl_timer_set(l, &p->linger_timer, QUIET_MS);
	sl_watch_again(l, &g->watch); /* what is there already makes no event */
}

/* With the loop: nothing of it runs any more. */
void stream_linger_fini(struct sl_stream_pool *p) {
	for (struct sl_list *it; (it = sl_list_pop_front(&p->lingering)) != NULL;) {
		struct lingering *g = SL_LIST_ENTRY(it, struct lingering, link);
		close(g->watch.fd);
		sl_free(g);
	}
}
