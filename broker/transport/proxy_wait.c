#include "proxy_wait.h"

#include <errno.h>
#include <sys/epoll.h>

#include "mem.h"

struct proxy_wait {
	struct sl_loop *loop;
	struct sl_list link;
	struct sl_watch watch;
	struct sl_timer timer;
	struct sl_deferred told; /* a watch may not be freed where it fires */
	int fd, status;
	const char *why;
	char *header; /* when it is whole */
	size_t header_n;
	proxy_wait_cb cb;
	void *arg;
};

static void tell(struct proxy_wait *p) {
	struct proxy_proto who;
	size_t used;
	proxy_wait_cb cb = p->cb;
	int status = p->status;
	const char *why = p->why;
	p->cb = NULL;
	sl_list_remove(&p->link);
	if (status == SL_OK) status = proxy_proto_parse(slice_make(p->header, p->header_n), &who, &used, &why);
	cb(p->arg, p->fd, status, status == SL_OK ? &who : NULL, why);
}

static void told_run(struct sl_deferred *d) {
	struct proxy_wait *p = sl_container_of(d, struct proxy_wait, told);
	if (p->cb) tell(p);
	sl_free(p->header);
	sl_free(p);
}

static void end(struct proxy_wait *p, int status, const char *why) {
	p->status = status;
	p->why = why;
	sl_watch_remove(p->loop, &p->watch);
	sl_timer_cancel(&p->timer);
	sl_loop_defer(p->loop, &p->told);
}

static void take(struct proxy_wait *p, size_t n) {
	p->header = sl_alloc(n);
	p->header_n = n;
	bool whole = recv(p->fd, p->header, n, MSG_DONTWAIT) == (ssize_t)n;
	end(p, whole ? SL_OK : SL_ECLOSED, NULL);
}

/* More bytes make another event; none come after one of the end. */
static void ready(struct sl_watch *w, uint32_t events) {
	struct proxy_wait *p = sl_container_of(w, struct proxy_wait, watch);
	bool ends = events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);
	char bytes[PROXY_PROTO_MAX];
	struct proxy_proto who;
	size_t used = 0;
	const char *why = NULL;
	ssize_t n = recv(p->fd, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
	int rc = SL_EAGAIN;
	if (n > 0) rc = proxy_proto_parse(slice_make(bytes, (size_t)n), &who, &used, &why);
	if (rc == SL_OK)
		take(p, used);
	else if (rc != SL_EAGAIN)
		end(p, rc, why);
	else if (n == 0 || ends || (n < 0 && errno != EAGAIN && errno != EINTR))
		end(p, SL_ECLOSED, NULL);
}

static void too_late(struct sl_timer *t) {
	end(sl_container_of(t, struct proxy_wait, timer), SL_EAGAIN, "no PROXY header came in time");
}

void proxy_wait_start(struct sl_list *all, struct sl_loop *l, int fd, uint64_t timeout_ms, proxy_wait_cb cb,
		      void *arg) {
	struct proxy_wait *p = SL_NEW(struct proxy_wait);
	*p = (struct proxy_wait){.loop = l, .fd = fd, .cb = cb, .arg = arg};
	sl_watch_init(&p->watch, ready);
	sl_timer_init(&p->timer, too_late);
	sl_deferred_init(&p->told, told_run);
	sl_list_init(&p->link);
	sl_list_push_back(all, &p->link);
	sl_timer_set(l, &p->timer, timeout_ms);
	/* What is here already is an event. */
	if (sl_watch_add(l, &p->watch, fd) != SL_OK) end(p, SL_ESYSTEM, "the connection cannot be watched");
}

void proxy_wait_stop(struct sl_list *all) {
	while (!sl_list_empty(all)) {
		struct proxy_wait *p = SL_LIST_ENTRY(all->next, struct proxy_wait, link);
		end(p, SL_ECLOSED, NULL);
		tell(p);
	}
}
