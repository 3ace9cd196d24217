/* http_server.h: a small HTTP/1.1 server for pages about the broker itself.
 *
 * A request is complete before the handler sees it; the handler answers into the response before it returns.
 *     limits   HTTP_HEAD_MAX bytes of request line and headers, HTTP_BODY_MAX of body, HTTP_CONNECTIONS_MAX connections,
 *              HTTP_IDLE_MS without progress ends a connection; what is over gets 413, 431, 503 or the connection's end
 * Lifetime: the server lives from http_server_bind() to http_server_stop(); request and response only for the call.
 * Thread: all of it on the loop it was bound on. The handler may take its time: this loop does nothing else. */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include "buf.h"
#include "err.h"
#include "listen_at.h"
#include "loop.h"
#include "slice.h"

#define HTTP_HEAD_MAX (16 * SL_KB)
#define HTTP_BODY_MAX (1 * SL_MB)
#define HTTP_CONNECTIONS_MAX 256
#define HTTP_IDLE_MS 30000

struct http_request {
	struct sl_slice method; /* "GET" */
	struct sl_slice path;   /* without the query */
	struct sl_slice query;  /* behind '?', or empty */
	struct sl_slice body;
};
struct http_response {
	int status;               /* 200 unless the handler sets it */
	const char *content_type; /* static text; "text/plain; charset=utf-8" unless set */
	struct sl_buf body;
};
typedef void (*http_handler)(void *arg, const struct http_request *request, struct http_response *response);

struct http_server;

/* Takes the address, on which nobody is let in before http_server_listen(); `bind` is "address:port" ("[::1]:80" for IPv6, port 0 = any free one). Call on the loop's own
 * thread, or before the loop is started. The error says what to do when the address is taken. */
int http_server_bind(struct sl_loop *l, const char *bind, http_handler handler, void *arg, struct http_server **out,
		     struct sl_err *err);
int http_server_listen(struct http_server *s, struct sl_err *err); /* where the other was called, once */
int http_server_port(const struct http_server *s);
struct sl_listen_at http_server_at(const struct http_server *s);
/* Closes listener and connections, on the loop's thread; the memory goes when libuv has let go of the last handle. */
void http_server_stop(struct http_server *s);

#endif
