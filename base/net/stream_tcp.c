#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stream_int.h"

static struct sl_stream_tcp *tcp_of(struct sl_stream *s) { return sl_container_of(s, struct sl_stream_tcp, s); }

/* Writing failed. What the other side said before it went may be here, such as why: it is read before the end. */
static void last_words(struct sl_stream_tcp *t) {
	struct sl_stream *s = &t->s;
	if (s->paused) {
		sl_stream_close(s, SL_EIO);
		return;
	}
	s->blocked = s->hup = s->readable = true;
	sl_watch_again(s->loop, &t->watch);
}

static void tcp_flush(struct sl_stream *s) {
	struct sl_stream_tcp *t = tcp_of(s);
	while (sl_stream_pending(s) > 0) {
		size_t want = sl_stream_pending(s);
		ssize_t n = send(t->watch.fd, s->out.p + s->out_sent, want, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0) {
			if (errno == EINTR) continue;
			if (errno == EAGAIN || errno == EWOULDBLOCK) {
				s->blocked = true;
				break;
			}
			last_words(t);
			return;
		}
		*t->bytes_out += (uint64_t)n;
		s->out_sent += (size_t)n;
		if ((size_t)n < want) {
			s->blocked = true;
			break;
		}
	}
	stream_sent(s);
}

/* One read(2). */
static ssize_t read_once(struct sl_stream_tcp *t, struct sl_slice *bytes, size_t *asked) {
	struct sl_stream *s = &t->s;
	char *base = stream_room(s, stream_pool(s->loop)->scratch, STREAM_SCRATCH, asked);
	/* A large packet may come in large parts; many small ones are work for the others to wait for. */
	if (s->in.n<STREAM_LARGE && * asked> STREAM_READ) *asked = STREAM_READ;
	ssize_t n = recv(t->watch.fd, base + s->in.n, *asked, MSG_DONTWAIT);
	if (n <= 0) return n;
	s->loop->reads++;
	s->loop->read_bytes += (uint64_t)n;
	*bytes = slice_make(base, s->in.n + (size_t)n);
	return n;
}

/* Once a turn: what there is beyond that waits until others were served. */
static void tcp_read(struct sl_stream_tcp *t) {
	struct sl_stream *s = &t->s;
	struct sl_slice bytes = SL_SLICE_EMPTY;
	size_t asked;
	ssize_t n;
	if (s->paused || s->closed || !s->readable) return;
	if (s->events->may_read && !s->events->may_read(s)) return;
	do {
		n = read_once(t, &bytes, &asked);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
		s->readable = false;
		return;
	}
	if (n <= 0) {
		sl_stream_close(s, n == 0 ? SL_ECLOSED : SL_EIO);
		return;
	}
	*t->bytes_in += (uint64_t)n;
	/* A short read emptied the socket: the next bytes make a new event. Not so the end that follows them. */
	if ((size_t)n < asked && !s->hup) s->readable = false;
	stream_present(s, bytes);
	if (s->readable && !s->paused && !s->closed) sl_watch_again(s->loop, &t->watch);
}

static void tcp_ready(struct sl_watch *w, uint32_t events) {
	struct sl_stream_tcp *t = sl_container_of(w, struct sl_stream_tcp, watch);
	struct sl_stream *s = &t->s;
	if (s->closed) return;
	/* It had a turn, and asked for another one: that comes. */
	if (events == EPOLLIN && sl_list_linked(&w->again)) {
		s->readable = true;
		return;
	}
	bool ends = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) && !s->hup;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) s->hup = s->readable = true;
	if (events & EPOLLIN) s->readable = true;
	if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) && s->blocked) {
		s->blocked = false;
		sl_stream_flush(s);
	}
	if (ends && !s->closed && s->events->on_hup) s->events->on_hup(s);
	if (events == 0 && !s->closed && s->events->on_turn) s->events->on_turn(s);
	if ((events == 0 || ends) && s->in.n > 0 && !s->paused && !s->closed) stream_present(s, sl_buf_slice(&s->in));
	if (!sl_list_linked(&w->again)) tcp_read(t);
}

static void tcp_resume(struct sl_stream *s) { sl_watch_again(s->loop, &tcp_of(s)->watch); }

static void tcp_finish(struct sl_stream *s) {
	struct sl_stream_tcp *t = tcp_of(s);
	int fd = t->watch.fd;
	sl_watch_remove(s->loop, &t->watch);
	if (fd < 0) return;
	/* Bytes left unread, or yet to come, would turn the end into a reset, which may overtake our last packet (its reason code). */
	shutdown(fd, SHUT_WR);
	if (s->status != SL_ECLOSED && s->status != SL_EIO)
		stream_linger(s->loop, fd);
	else
		close(fd);
}

static struct sl_stream *tcp_below(struct sl_stream *s) {
	(void)s;
	return NULL;
}

static void tcp_detach(struct sl_stream *s) {
	struct sl_stream_tcp *t = tcp_of(s);
	int fd = t->watch.fd;
	sl_watch_remove(s->loop, &t->watch);
	t->watch.fd = fd;
	stream_leave(s);
}

static int tcp_attach(struct sl_stream *s, struct sl_loop *l, uint64_t *bytes_in, uint64_t *bytes_out) {
	struct sl_stream_tcp *t = tcp_of(s);
	t->bytes_in = bytes_in;
	t->bytes_out = bytes_out;
	stream_arrive(s, l);
	/* Whatever is readable, or writable again, makes an event when the set gets its new member. */
	int rc = sl_watch_add(l, &t->watch, t->watch.fd);
	if (rc == SL_OK) sl_watch_again(l, &t->watch);
	return rc;
}

static const struct sl_stream_ops tcp_ops = {.flush = tcp_flush,
					     .resume = tcp_resume,
					     .finish = tcp_finish,
					     .below = tcp_below,
					     .detach = tcp_detach,
					     .attach = tcp_attach};

int sl_stream_tcp_open(struct sl_stream_tcp *t, struct sl_loop *l, int fd, const struct sl_stream_events *events,
		       uint64_t *bytes_in, uint64_t *bytes_out) {
	stream_init(&t->s, &tcp_ops, events, l);
	sl_watch_init(&t->watch, tcp_ready);
	t->bytes_in = bytes_in;
	t->bytes_out = bytes_out;
	int one = 1;
	/* Writes are collected per tick, so Nagle's algorithm has nothing to win and 40 ms to lose. Fails on a unix
	 * socket, which has none. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return sl_watch_add(l, &t->watch, fd);
}

int sl_stream_fd(struct sl_stream *s) {
	for (struct sl_stream *below; (below = s->ops->below(s)) != NULL;) s = below;
	return tcp_of(s)->watch.fd;
}
