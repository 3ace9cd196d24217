/* proxy_proto.h: the first bytes of a connection that comes through a proxy: who is behind it. Versions 1 and 2 of the PROXY protocol
 * of HAProxy, as a parser; no socket.
 *
 *     PROXY TCP4 192.0.2.7 198.51.100.1 56324 1883\r\n                                  version 1, a line
 *     "\r\n\r\n\0\r\nQUIT\n" | version, command | family | length | addresses | TLVs    version 2
 *
 * Whoever can write this can say to be anybody: listeners take it from proxies only, on addresses that only they reach.
 * Of the TLVs the checksum is checked, and of TLS's part the name of a client certificate that the proxy has verified is
 * told; the others are passed over.
 * Thread: any. Never blocks, allocates nothing. */
#ifndef PROXY_PROTO_H
#define PROXY_PROTO_H

#include <sys/socket.h>

#include "err.h"
#include "slice.h"

enum { PROXY_PROTO_MAX = 4096, PROXY_PROTO_V1_MAX = 107 };

struct proxy_proto {
	bool
	    local; /* the proxy speaks for itself (a health check), or does not know: the socket's own addresses hold */
	struct sockaddr_storage from, to; /* the client, and what it connected to: IPv4, IPv6 or unix */
	socklen_t from_len, to_len;
	bool tls;                    /* between client and proxy */
	struct sl_slice common_name; /* of the verified client certificate; empty: none. In the bytes that were given */
};

/* SL_OK: *used bytes were it; SL_EAGAIN: more are needed, up to PROXY_PROTO_MAX in all; SL_EPROTOCOL: something else, *why (static)
 * says what. */
int proxy_proto_parse(struct sl_slice bytes, struct proxy_proto *out, size_t *used, const char **why);

#endif
