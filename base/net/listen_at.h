/* listen_at.h: where a socket listens, or would, and whether two listen in one place.
 *
 *     struct sl_listen_at a = sl_listen_at_text("0.0.0.0", 1883, false), b = sl_listen_at_text("127.0.0.1", 1883, false);
 *     sl_listen_at_clash(&a, &b)      true: the first is every address of IPv4
 *
 * A system does not say so before both listen, and then that the address is in use, by whomever. What a name stands for is not
 * looked up: sl_listen_at_socket() knows it, once the socket is bound.
 * Thread: any. Never blocks. */
#ifndef LISTEN_AT_H
#define LISTEN_AT_H

#include <netinet/in.h>

#include "common.h"

struct sl_listen_at {
	struct in6_addr address; /* one of IPv4 is mapped */
	uint32_t scope;
	uint16_t port; /* 0: the system chooses, and takes one that is free */
	bool known;    /* false: a name */
	bool both;     /* all addresses of IPv6, and those of IPv4 */
};

/* `with_ipv4`: whether "::" takes IPv4 too, which is the socket's affair. */
struct sl_listen_at sl_listen_at_text(const char *host, uint16_t port, bool with_ipv4);
struct sl_listen_at sl_listen_at_socket(int fd); /* bound, of IPv4 or IPv6 */

/* What clashes with a name is known where the other is all there is, only. */
bool sl_listen_at_clash(const struct sl_listen_at *a, const struct sl_listen_at *b);

/* "all IPv4 addresses" and its like; NULL for a single address or a name. */
const char *sl_listen_at_all(const struct sl_listen_at *a);

#endif
