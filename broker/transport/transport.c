#include "transport.h"

#include <errno.h>
#include <string.h>

#include "stream_tls.h"

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

static const struct transport transports[] = {
    [TRANSPORT_TCP] = {.name = "tcp", .stack_bytes = sizeof(struct sl_stream_tcp), .open = open_plain},
    [TRANSPORT_TLS] = {.name = "tls", .stack_bytes = sizeof(struct sl_stream_tls), .open = open_tls},
};

const struct transport *transport_of(enum transport_kind kind) { return &transports[kind]; }
