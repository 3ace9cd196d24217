/* http_server.c: see http_server.h. The only file that knows http-parser. */
#include "http_server.h"

#include <http_parser.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "list.h"
#include "log.h"
#include "mem.h"

struct http_server {
	uv_tcp_t listener;
	uv_timer_t sweep; /* ends connections that make no progress */
	struct sl_loop *loop;
	http_handler handler;
	void *arg;
	struct sl_list conns;
	size_t conn_count;
	size_t handles; /* open libuv handles of ours; the last close callback frees the server */
	bool stopping;
	char *bind; /* as it was given, for messages */
};

struct http_conn {
	uv_tcp_t tcp;
	struct sl_list link;
	struct http_server *server;
	http_parser parser;
	struct sl_buf url, body;
	size_t head_bytes;
	uint64_t active_ms; /* last progress, by the loop's clock */
	bool keep_alive, closing, complete;
	int refuse; /* an HTTP status that ends this request, or 0 */
	char in[4096];
};

struct http_write {
	uv_write_t req;
	struct sl_buf head, body;
	bool close_after;
};

static void server_handle_gone(struct http_server *s) {
	if (--s->handles > 0) return;
	sl_free(s->bind);
	sl_free(s);
}

static void conn_closed(uv_handle_t *h) {
	struct http_conn *c = h->data;
	struct http_server *s = c->server;
	sl_list_remove(&c->link);
	s->conn_count--;
	sl_buf_fini(&c->url);
	sl_buf_fini(&c->body);
	sl_free(c);
	server_handle_gone(s);
}

static void conn_close(struct http_conn *c) {
	if (c->closing) return;
	c->closing = true;
	uv_close((uv_handle_t *)&c->tcp, conn_closed);
}

static void write_done(uv_write_t *req, int status) {
	struct http_write *w = req->data;
	struct http_conn *c = req->handle->data;
	if (status == 0) c->active_ms = sl_loop_now_ms(c->server->loop);
	if (status != 0 || w->close_after) conn_close(c);
	sl_buf_fini(&w->head);
	sl_buf_fini(&w->body);
	sl_free(w);
}

/* Takes over the response's body. */
static void conn_respond(struct http_conn *c, struct http_response *r, bool head_only) {
	struct http_write *w = SL_NEW(struct http_write);
	w->req.data = w;
	w->close_after = !c->keep_alive;
	w->body = r->body;
	r->body = (struct sl_buf)SL_BUF_INIT;
	sl_buf_printf(&w->head, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: %s\r\n\r\n",
		      r->status, http_status_str((enum http_status)r->status), r->content_type, w->body.n,
		      c->keep_alive ? "keep-alive" : "close");
	uv_buf_t bufs[2] = {uv_buf_init(w->head.p, (unsigned)w->head.n), uv_buf_init(w->body.p, (unsigned)w->body.n)};
	unsigned count = w->body.n > 0 && !head_only ? 2 : 1;
	if (uv_write(&w->req, (uv_stream_t *)&c->tcp, bufs, count, write_done) == 0) return;
	sl_buf_fini(&w->head);
	sl_buf_fini(&w->body);
	sl_free(w);
	conn_close(c);
}

static void conn_refuse(struct http_conn *c, int status, const char *text) {
	struct http_response r = {.status = status, .content_type = "text/plain; charset=utf-8"};
	sl_buf_append_str(&r.body, text);
	c->keep_alive = false;
	conn_respond(c, &r, false);
}

static int on_begin(http_parser *p) {
	struct http_conn *c = p->data;
	sl_buf_clear(&c->url);
	sl_buf_clear(&c->body);
	c->head_bytes = 0;
	c->refuse = 0;
	return 0;
}

static int count_head(http_parser *p, const char *at, size_t n) {
	(void)at;
	struct http_conn *c = p->data;
	c->head_bytes += n;
	if (c->head_bytes > HTTP_HEAD_MAX) c->refuse = 431;
	return c->refuse != 0;
}

static int on_url(http_parser *p, const char *at, size_t n) {
	struct http_conn *c = p->data;
	if (count_head(p, at, n) != 0) return 1;
	sl_buf_append(&c->url, at, n);
	return 0;
}

static int on_body(http_parser *p, const char *at, size_t n) {
	struct http_conn *c = p->data;
	if (c->body.n + n > HTTP_BODY_MAX) {
		c->refuse = 413;
		return 1;
	}
	sl_buf_append(&c->body, at, n);
	return 0;
}

static int on_complete(http_parser *p) {
	struct http_conn *c = p->data;
	struct sl_slice url = sl_buf_slice(&c->url);
	struct sl_slice path = slice_next_part(&url, '?');
	struct http_request request = {.method = slice_from_str(http_method_str((enum http_method)p->method)),
				       .path = path,
				       .query = url,
				       .body = sl_buf_slice(&c->body)};
	struct http_response r = {.status = 200, .content_type = "text/plain; charset=utf-8"};
	c->keep_alive = http_should_keep_alive(p) != 0 && !c->server->stopping;
	c->server->handler(c->server->arg, &request, &r);
	conn_respond(c, &r, p->method == HTTP_HEAD);
	/* No request is served behind one that said "close". */
	if (!c->keep_alive) http_parser_pause(p, 1);
	return 0;
}

static const http_parser_settings parser_settings = {.on_message_begin = on_begin,
						     .on_url = on_url,
						     .on_header_field = count_head,
						     .on_header_value = count_head,
						     .on_body = on_body,
						     .on_message_complete = on_complete};

static void conn_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf) {
	(void)suggested;
	struct http_conn *c = h->data;
	*buf = uv_buf_init(c->in, sizeof c->in);
}

static void conn_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
	struct http_conn *c = stream->data;
	if (n < 0) {
		conn_close(c);
		return;
	}
	if (c->closing) return;
	c->active_ms = sl_loop_now_ms(c->server->loop);
	size_t used = http_parser_execute(&c->parser, &parser_settings, buf->base, (size_t)n);
	if (HTTP_PARSER_ERRNO(&c->parser) == HPE_OK && !c->parser.upgrade && used == (size_t)n) return;
	uv_read_stop(stream);
	if (HTTP_PARSER_ERRNO(&c->parser) == HPE_PAUSED) return; /* the answer is on its way; it closes */
	if (c->refuse == 413)
		conn_refuse(c, 413, "the request's body is too large\n");
	else if (c->refuse == 431)
		conn_refuse(c, 431, "the request's headers are too large\n");
	else
		conn_refuse(c, 400, "this is not an HTTP/1.1 request\n");
}

static void server_accept(uv_stream_t *listener, int status) {
	struct http_server *s = listener->data;
	if (status != 0 || s->stopping) return;
	struct http_conn *c = SL_NEW(struct http_conn);
	c->server = s;
	c->tcp.data = c;
	uv_tcp_init(sl_loop_uv(s->loop), &c->tcp);
	s->handles++;
	s->conn_count++;
	sl_list_push_back(&s->conns, &c->link);
	c->active_ms = sl_loop_now_ms(s->loop);
	http_parser_init(&c->parser, HTTP_REQUEST);
	c->parser.data = c;
	if (uv_accept(listener, (uv_stream_t *)&c->tcp) != 0) {
		conn_close(c);
		return;
	}
	uv_tcp_nodelay(&c->tcp, 1);
	if (s->conn_count > HTTP_CONNECTIONS_MAX) {
		conn_refuse(c, 503, "too many connections to this page\n");
		return;
	}
	uv_read_start((uv_stream_t *)&c->tcp, conn_alloc, conn_read);
}

static void server_sweep(uv_timer_t *t) {
	struct http_server *s = t->data;
	uint64_t now = sl_loop_now_ms(s->loop);
	SL_LIST_FOREACH_SAFE(it, &s->conns) {
		struct http_conn *c = SL_LIST_ENTRY(it, struct http_conn, link);
		if (now > c->active_ms + HTTP_IDLE_MS) conn_close(c);
	}
}

/* "address:port" -> a socket address; the address may stand in brackets. */
static int bind_parse(const char *bind, struct sockaddr_storage *out, struct sl_err *err) {
	const char *colon = strrchr(bind, ':');
	int64_t port = -1;
	if (colon) slice_to_i64(slice_from_str(colon + 1), &port);
	if (port < 0 || port > 65535)
		return sl_err_set(err, SL_EINVAL, "'%s' is not address:port, for example 127.0.0.1:18083", bind);
	struct sl_slice host = slice_make(bind, (size_t)(colon - bind));
	if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']') host = slice_sub(host, 1, host.n - 2);
	char *text = host.n ? slice_dup(host) : sl_strdup("0.0.0.0");
	int rc = uv_ip4_addr(text, (int)port, (struct sockaddr_in *)out);
	if (rc != 0) rc = uv_ip6_addr(text, (int)port, (struct sockaddr_in6 *)out);
	if (rc != 0) sl_err_set(err, SL_EINVAL, "'%s' is not an IP address (names are not looked up here)", text);
	sl_free(text);
	return rc == 0 ? SL_OK : SL_EINVAL;
}

static void server_handle_closed(uv_handle_t *h) { server_handle_gone(h->data); }

static int cannot_listen(const struct http_server *s, int uv, struct sl_err *err) {
	return sl_err_set(err, SL_ESYSTEM, "cannot listen on %s: %s%s", s->bind, uv_strerror(uv),
			  uv == UV_EADDRINUSE ? "; another process has the port: choose another one or stop it" : "");
}

int http_server_bind(struct sl_loop *l, const char *bind, http_handler handler, void *arg, struct http_server **out,
		     struct sl_err *err) {
	struct sockaddr_storage addr;
	int rc = bind_parse(bind, &addr, err);
	if (rc != SL_OK) return rc;
	struct http_server *s = SL_NEW(struct http_server);
	*s = (struct http_server){.loop = l, .handler = handler, .arg = arg, .handles = 2, .bind = sl_strdup(bind)};
	sl_list_init(&s->conns);
	s->listener.data = s->sweep.data = s;
	uv_tcp_init(sl_loop_uv(l), &s->listener);
	uv_timer_init(sl_loop_uv(l), &s->sweep);
	int uv = uv_tcp_bind(&s->listener, (const struct sockaddr *)&addr, 0), len = sizeof addr;
	/* libuv keeps to itself that an address is taken, until it is asked for it. */
	if (uv == 0) uv = uv_tcp_getsockname(&s->listener, (struct sockaddr *)&addr, &len);
	if (uv != 0) {
		rc = cannot_listen(s, uv, err);
		http_server_stop(s);
		return rc;
	}
	*out = s;
	return SL_OK;
}

int http_server_listen(struct http_server *s, struct sl_err *err) {
	int uv = uv_listen((uv_stream_t *)&s->listener, 128, server_accept);
	if (uv != 0) return cannot_listen(s, uv, err);
	uv_timer_start(&s->sweep, server_sweep, 5000, 5000);
	return SL_OK;
}

struct sl_listen_at http_server_at(const struct http_server *s) {
	uv_os_fd_t fd;
	if (uv_fileno((const uv_handle_t *)&s->listener, &fd) != 0) return (struct sl_listen_at){0};
	return sl_listen_at_socket(fd);
}

int http_server_port(const struct http_server *s) { return http_server_at(s).port; }

void http_server_stop(struct http_server *s) {
	s->stopping = true;
	SL_LIST_FOREACH_SAFE(it, &s->conns) { conn_close(SL_LIST_ENTRY(it, struct http_conn, link)); }
	uv_close((uv_handle_t *)&s->listener, server_handle_closed);
	uv_close((uv_handle_t *)&s->sweep, server_handle_closed);
}
