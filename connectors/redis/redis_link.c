/* redis_link.c: see redis_link.h.
 *
 * A socket lives in a wire of its own on the heap: closing a stream takes until the loop's next turn, and by then the link may be
 * open again with another one. */
#include "redis_link.h"

#include <stdio.h>
#include <unistd.h>

#include "mem.h"

enum greeting { GREET_AUTH, GREET_SELECT, GREET_NAME, GREET_ROLE, GREET_PING };

struct redis_wire {
	union {
		struct sl_stream_tcp tcp;
		struct sl_stream_tls tls;
	};
	struct sl_stream *s;
	struct redis_dock *dock;
	struct redis_link *link; /* NULL: given up, only to be closed */
	struct redis_reader reader;
	bool is_tls;
};

static void timer_fire(struct sl_timer *t);

void redis_link_init(struct redis_link *l, struct redis_dock *dock, const struct redis_link_events *events) {
	*l = (struct redis_link){.dock = dock, .events = events};
	sl_timer_init(&l->timer, timer_fire);
	sl_list_init(&l->requests);
}

/* ---- The end of a connection. ---- */

static void wire_leave(struct redis_link *l) {
	struct redis_wire *w = l->wire;
	if (!w) return;
	l->wire = NULL;
	w->link = NULL;
	sl_stream_close(w->s, SL_OK);
}

static void requests_lose(struct redis_link *l, int status, const char *text) {
	struct sl_list lost;
	sl_list_init(&lost);
	sl_list_splice_back(&lost, &l->requests);
	for (struct sl_list *it; (it = sl_list_pop_front(&lost));) {
		struct redis_request *q = SL_LIST_ENTRY(it, struct redis_request, link);
		q->replies = 0;
		q->on_lost(q, status, text);
		if (status == SL_ELIMIT) status = SL_EPROTOCOL; /* only the first one's reply is */
	}
}

static void link_end(struct redis_link *l, int status, const char *text) {
	sl_dial_cancel(l->dial);
	l->dial = NULL;
	sl_timer_cancel(&l->timer);
	l->state = REDIS_LINK_CLOSED;
	wire_leave(l);
	requests_lose(l, status, text);
}

void redis_link_fail(struct redis_link *l, int status, const char *text) {
	if (l->state == REDIS_LINK_CLOSED) return;
	/* The text may be the link's own, or live in what ends now. */
	struct sl_buf copy = SL_BUF_INIT;
	sl_buf_printf(&copy, "%s:%u: ", l->setup.host, l->setup.port);
	if (strncmp(text, copy.p, copy.n) == 0) sl_buf_clear(&copy);
	sl_buf_append_str(&copy, text);
	const char *why = sl_buf_cstr(&copy);
	link_end(l, status, why);
	l->events->on_down(l, status == SL_ELIMIT ? SL_EPROTOCOL : status, why);
	sl_buf_fini(&copy);
}

void redis_link_close(struct redis_link *l, const char *text) {
	if (l->state != REDIS_LINK_CLOSED) link_end(l, SL_ECLOSED, text);
}

static void timer_fire(struct sl_timer *t) {
	struct redis_link *l = sl_container_of(t, struct redis_link, timer);
	const char *why = "connected, but the server does not answer; is it Redis?";
	if (l->dial) why = "no connection in time";
	if (!l->dial && l->setup.tls)
		why = "connected, but the server does not answer; does it speak TLS on this port?";
	redis_link_fail(l, SL_EIO, why);
}

/* ---- Greeting: sent at once, answered in order. ---- */

static void greet(struct redis_link *l, enum greeting g) { l->greeting[l->greetings++] = (uint8_t)g; }

static void greeting_send(struct redis_link *l) {
	const struct redis_link_setup *s = &l->setup;
	struct sl_buf *out = sl_stream_out(l->wire->s);
	l->greetings = l->greeted = 0;
	l->replicas = -1;
	if (s->login && s->login->password) {
		greet(l, GREET_AUTH);
		if (s->login->username)
			redis_put(out, "AUTH", s->login->username, s->login->password, NULL);
		else
			redis_put(out, "AUTH", s->login->password, NULL);
	}
	if (s->database) {
		char digits[16];
		snprintf(digits, sizeof digits, "%u", s->database);
		greet(l, GREET_SELECT);
		redis_put(out, "SELECT", digits, NULL);
	}
	if (s->client_name) {
		greet(l, GREET_NAME);
		redis_put(out, "CLIENT", "SETNAME", s->client_name, NULL);
	}
	greet(l, s->wants_master ? GREET_ROLE : GREET_PING);
	redis_put(out, s->wants_master ? "ROLE" : "PING", NULL);
}

/* Some servers put the arguments of a command that they refuse into their error: AUTH's is the password. */
static void text_masked(const struct redis_link *l, struct sl_slice text, struct sl_buf *out) {
	const char *password = l->setup.login ? l->setup.login->password : NULL;
	struct sl_slice secret = slice_from_str(password ? password : "");
	for (ptrdiff_t at; secret.n && (at = slice_find(text, secret)) >= 0;) {
		sl_buf_append(out, text.p, (size_t)at);
		sl_buf_append_str(out, "***");
		text = slice_from(text, (size_t)at + secret.n);
	}
	sl_buf_append_slice(out, text);
}

static void greeting_fail(struct redis_link *l, const char *what, struct sl_slice text, const char *advice) {
	struct sl_buf why = SL_BUF_INIT, masked = SL_BUF_INIT;
	sl_buf_append_str(&why, what);
	text_masked(l, text, &masked);
	redis_show_advice(sl_buf_slice(&masked), advice, &why);
	redis_link_fail(l, SL_EDENIED, sl_buf_cstr(&why));
	sl_buf_fini(&masked);
	sl_buf_fini(&why);
}

static const char *login_advice(const struct redis_link *l, struct sl_slice text) {
	if (slice_find(text, SL_SLICE_LIT("without any password configured")) >= 0 ||
	    slice_find(text, SL_SLICE_LIT("no password is set")) >= 0)
		return "this server wants no password; leave it out, or give `username` too";
	if (l->setup.of_sentinel) return "check `sentinel_username` and `sentinel_password`";
	return l->setup.login->username ? "check `username` and `password`"
					: "check `password`; where users have names, set `username` too";
}

/* An error that stands for a connection that works: what we asked for is not allowed to us, and not needed. */
static bool is_harmless(struct sl_slice text) { return slice_starts_with(text, SL_SLICE_LIT("NOPERM")); }

/* ["master", offset, [[host, port, offset], ...]]; only replicas that have all of the data are named. */
int64_t redis_role_replicas(const struct redis_reply *reply) {
	if (reply->kind != REDIS_LIST || reply->n < 3 || reply->items[2].kind != REDIS_LIST) return -1;
	return reply->items[2].n;
}

/* False: the link is closed. */
static bool greeting_reply(struct redis_link *l, const struct redis_reply *reply) {
	enum greeting g = (enum greeting)l->greeting[l->greeted++];
	bool bad = reply->kind == REDIS_ERROR;
	switch (g) {
	case GREET_AUTH:
		if (bad) greeting_fail(l, "the login failed: ", reply->text, login_advice(l, reply->text));
		break;
	case GREET_SELECT:
		if (bad && slice_starts_with(reply->text, SL_SLICE_LIT("NOAUTH"))) break; /* the next one says it */
		if (bad) greeting_fail(l, "SELECT failed: ", reply->text, "check `database`");
		break;
	case GREET_NAME: break;
	case GREET_ROLE:
	case GREET_PING:
		if (bad && slice_starts_with(reply->text, SL_SLICE_LIT("NOAUTH")))
			greeting_fail(l, "", reply->text,
				      l->setup.of_sentinel ? "set `sentinel_password`, if this is a sentinel"
							   : "set `password`, and `username` where users have names");
		else if (bad && !is_harmless(reply->text))
			greeting_fail(l, "", reply->text, NULL);
		else if (g == GREET_ROLE && reply->kind == REDIS_LIST && reply->n &&
			 !slice_equal_str(reply->items[0].text, "master"))
			greeting_fail(l, "this server is no master but a ", reply->items[0].text,
				      "its sentinels think otherwise, for now");
		else if (g == GREET_ROLE)
			l->replicas = redis_role_replicas(reply);
		break;
	}
	if (l->state == REDIS_LINK_CLOSED) return false;
	if (l->greeted < l->greetings) return true;
	sl_timer_cancel(&l->timer);
	l->state = REDIS_LINK_READY;
	l->events->on_ready(l);
	return l->state == REDIS_LINK_READY;
}

/* ---- Replies. ---- */

static void reply_take(struct redis_link *l, const struct redis_reply *reply) {
	if (l->state == REDIS_LINK_OPENING) {
		(void)greeting_reply(l, reply);
		return;
	}
	if (sl_list_empty(&l->requests)) {
		struct sl_buf why = SL_BUF_INIT, masked = SL_BUF_INIT;
		sl_buf_append_str(&why, "the server says something that was not asked for");
		if (reply->kind == REDIS_ERROR || reply->kind == REDIS_STATUS) {
			sl_buf_append_str(&why, ": ");
			text_masked(l, reply->text, &masked);
			redis_show(sl_buf_slice(&masked), &why);
		}
		redis_link_fail(l, SL_EPROTOCOL, sl_buf_cstr(&why));
		sl_buf_fini(&masked);
		sl_buf_fini(&why);
		return;
	}
	struct redis_request *q = SL_LIST_ENTRY(l->requests.next, struct redis_request, link);
	if (--q->replies == 0) sl_list_remove(&q->link);
	q->on_reply(q, reply);
}

static size_t on_read(struct sl_stream *s, struct sl_slice bytes);
static void on_closed(struct sl_stream *s, int status);
static void on_drain(struct sl_stream *s) { (void)s; }
static const struct sl_stream_events stream_events = {.on_read = on_read, .on_drain = on_drain, .on_closed = on_closed};

static struct redis_wire *wire_of(struct sl_stream *s) {
	/* Both members of the union begin with their stream. */
	return sl_container_of(s, struct redis_wire, tcp.s);
}
_Static_assert(offsetof(struct sl_stream_tcp, s) == offsetof(struct sl_stream_tls, s), "see wire_of()");

static size_t on_read(struct sl_stream *s, struct sl_slice bytes) {
	struct redis_wire *w = wire_of(s);
	const struct redis_reply *reply;
	int r = 1;
	redis_reader_feed(&w->reader, bytes);
	while (w->link && (r = redis_reader_next(&w->reader, &reply)) == 1) reply_take(w->link, reply);
	if (w->link && r != 0) redis_link_fail(w->link, r, w->reader.why);
	return bytes.n;
}

static const char *closed_text(const struct redis_link *l, const struct redis_wire *w, int status) {
	const char *tls = w->is_tls ? sl_stream_tls_error(&w->tls) : NULL;
	if (tls) return tls;
	if (l->state == REDIS_LINK_OPENING)
		return w->is_tls
			   ? "the server closed the connection before it was ready"
			   : "the server closed the connection before it was ready; does it want TLS (rediss://)?";
	return status == SL_ECLOSED ? "the server closed the connection" : "the connection broke";
}

static void on_closed(struct sl_stream *s, int status) {
	struct redis_wire *w = wire_of(s);
	struct redis_dock *dock = w->dock;
	struct redis_link *l = w->link;
	if (l) {
		/* The stream is dead: nothing is left to be closed. */
		char *text = sl_strdup(closed_text(l, w, status));
		l->wire = NULL;
		redis_link_fail(l, status == SL_OK ? SL_ECLOSED : status, text);
		sl_free(text);
	}
	redis_reader_fini(&w->reader);
	sl_free(w);
	if (--dock->wires == 0 && dock->empty) dock->empty(dock);
}

/* ---- The way up. ---- */

static int wire_open(struct redis_link *l, int fd, struct sl_err *err) {
	struct redis_dock *d = l->dock;
	struct redis_wire *w = SL_NEW(struct redis_wire);
	int r;
	w->dock = d;
	w->link = l;
	w->is_tls = l->setup.tls != NULL;
	w->s = w->is_tls ? &w->tls.s : &w->tcp.s;
	if (w->is_tls)
		r = sl_stream_tls_connect(
		    &w->tls, d->loop,
		    &(struct sl_stream_tls_setup){
			.fd = fd, .events = &stream_events, .bytes_in = &d->bytes_in, .bytes_out = &d->bytes_out},
		    l->setup.tls, l->setup.host, err);
	else
		r = sl_stream_tcp_open(&w->tcp, d->loop, fd, &stream_events, &d->bytes_in, &d->bytes_out);
	if (r != SL_OK) {
		sl_free(w);
		return r;
	}
	redis_reader_init(&w->reader, l->setup.limits ? l->setup.limits : &redis_limits_small);
	l->wire = w;
	d->wires++;
	return SL_OK;
}

static void on_dialled(void *arg, int fd, const struct sl_err *dial_err) {
	struct redis_link *l = arg;
	struct sl_err err = SL_ERR_INIT;
	l->dial = NULL;
	if (fd < 0) {
		redis_link_fail(l, dial_err->status, sl_err_text(dial_err));
		return;
	}
	if (wire_open(l, fd, &err) != SL_OK) {
		(void)close(fd);
		redis_link_fail(l, SL_ESYSTEM, sl_err_text(&err));
		sl_err_fini(&err);
		return;
	}
	greeting_send(l);
}

void redis_link_open(struct redis_link *l, const struct redis_link_setup *setup) {
	sl_assert(l->state == REDIS_LINK_CLOSED);
	l->setup = *setup;
	l->state = REDIS_LINK_OPENING;
	/* A little longer than the dial, which knows better what went wrong. */
	sl_timer_set(l->dock->loop, &l->timer, setup->timeout_ms + setup->timeout_ms / 16 + 20);
	sl_dial_start(l->dock->loop, setup->host, setup->port, setup->timeout_ms, on_dialled, l, &l->dial);
}

struct sl_buf *redis_link_out(struct redis_link *l) {
	return sl_stream_out(l->wire->s);
}

void redis_link_push(struct redis_link *l, struct redis_request *q, uint32_t replies) {
	sl_debug_assert(l->state == REDIS_LINK_READY && replies > 0);
	q->replies = replies;
	sl_list_push_back(&l->requests, &q->link);
}

void redis_link_tls(const struct redis_link *l, struct sl_buf *out) {
	if (l->wire && l->wire->is_tls) sl_stream_tls_describe(&l->wire->tls, out);
}
