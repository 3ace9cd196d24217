#include "transport.h"

#include <errno.h>
#include <string.h>

#include "stream_tls.h"
#include "stream_ws.h"

/* TCP, and a unix socket, which differs in its address alone. */
static int open_plain(struct sl_stream *top, struct sl_loop *l, int fd, const struct sl_stream_events *events,
		      const struct transport_opts *opts, uint64_t *bytes_in, uint64_t *bytes_out, struct sl_err *err) {
	(void)opts;
	struct sl_stream_tcp *t = sl_container_of(top, struct sl_stream_tcp, s);
	if (sl_stream_tcp_open(t, l, fd, events, bytes_in, bytes_out) == SL_OK) return SL_OK;
	return sl_err_set(err, SL_ESYSTEM, "the connection cannot be watched: %s", strerror(errno));
}

static int open_tls(struct sl_stream *top, struct sl_loop *l, int fd, const struct sl_stream_events *events,
		    const struct transport_opts *opts, uint64_t *bytes_in, uint64_t *bytes_out, struct sl_err *err) {
	struct sl_stream_tls *t = sl_container_of(top, struct sl_stream_tls, s);
	tls_server_warn(opts->tls);
	return sl_stream_tls_accept(
	    t, l,
	    &(struct sl_stream_tls_setup){.fd = fd, .events = events, .bytes_in = bytes_in, .bytes_out = bytes_out},
	    opts->tls, err);
}

/* WebSocket on top of TCP or TLS. */
static int open_ws(struct sl_stream *top, struct sl_loop *l, int fd, const struct sl_stream_events *events,
		   const struct transport_opts *opts, uint64_t *bytes_in, uint64_t *bytes_out, struct sl_err *err) {
	struct sl_stream_ws *ws = sl_container_of(top, struct sl_stream_ws, s);
	const struct ws_upgrade_rules rules = {.path = opts->path, .origins = opts->origins};
	sl_stream_ws_serve(ws, l, events, &rules);
	int (*open_below)(struct sl_stream *, struct sl_loop *, int, const struct sl_stream_events *,
			  const struct transport_opts *, uint64_t *, uint64_t *, struct sl_err *) =
	    opts->tls ? open_tls : open_plain;
	return open_below(SL_STREAM_BELOW(ws), l, fd, &sl_stream_ws_events, opts, bytes_in, bytes_out, err);
}

static const struct transport transports[] = {
    [TRANSPORT_TCP] = {.name = "tcp", .stack_bytes = sizeof(struct sl_stream_tcp), .open = open_plain},
    [TRANSPORT_TLS] = {.name = "tls", .stack_bytes = sizeof(struct sl_stream_tls), .open = open_tls},
    [TRANSPORT_WS] = {.name = "ws",
		      .stack_bytes = sizeof(struct sl_stream_ws) + sizeof(struct sl_stream_tcp),
		      .open = open_ws},
    [TRANSPORT_WSS] = {.name = "wss",
		       .stack_bytes = sizeof(struct sl_stream_ws) + sizeof(struct sl_stream_tls),
		       .open = open_ws},
    [TRANSPORT_UNIX] = {.name = "unix", .stack_bytes = sizeof(struct sl_stream_tcp), .open = open_plain},
};

const struct transport *transport_of(enum transport_kind kind) { return &transports[kind]; }
