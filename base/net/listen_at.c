#include "listen_at.h"

#include <arpa/inet.h>
#include <string.h>

static bool is_ipv4(const struct sl_listen_at *a) { return IN6_IS_ADDR_V4MAPPED(&a->address); }

static void set_ipv4(struct sl_listen_at *a, const struct in_addr *v4) {
	memset(&a->address, 0, sizeof a->address);
	memset(&a->address.s6_addr[10], 0xff, 2);
	memcpy(&a->address.s6_addr[12], v4, sizeof *v4);
}

static bool is_all(const struct sl_listen_at *a) {
	struct in_addr v4;
	memcpy(&v4, &a->address.s6_addr[12], sizeof v4);
	return a->known && (is_ipv4(a) ? v4.s_addr == INADDR_ANY : IN6_IS_ADDR_UNSPECIFIED(&a->address));
}

struct sl_listen_at sl_listen_at_text(const char *host, uint16_t port, bool with_ipv4) {
	struct sl_listen_at a = {.port = port};
	struct in_addr v4;
	a.known = inet_pton(AF_INET6, host, &a.address) == 1;
	if (!a.known && inet_pton(AF_INET, host, &v4) == 1) {
		a.known = true;
		set_ipv4(&a, &v4);
	}
	a.both = with_ipv4 && is_all(&a) && !is_ipv4(&a);
	return a;
}

struct sl_listen_at sl_listen_at_socket(int fd) {
	struct sl_listen_at a = {0};
	struct sockaddr_storage at;
	socklen_t len = sizeof at;
	if (getsockname(fd, (struct sockaddr *)&at, &len) != 0) return a;
	if (at.ss_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)&at;
		a = (struct sl_listen_at){.port = ntohs(v4->sin_port), .known = true};
		set_ipv4(&a, &v4->sin_addr);
	} else if (at.ss_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&at;
		int alone = 1;
		len = sizeof alone;
		a = (struct sl_listen_at){
		    .address = v6->sin6_addr, .scope = v6->sin6_scope_id, .port = ntohs(v6->sin6_port), .known = true};
		a.both = is_all(&a) && getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &alone, &len) == 0 && !alone;
	}
	return a;
}

bool sl_listen_at_clash(const struct sl_listen_at *a, const struct sl_listen_at *b) {
	if (a->port == 0 || a->port != b->port) return false;
	if (a->both || b->both) return true;
	if (!a->known || !b->known || is_ipv4(a) != is_ipv4(b)) return false;
	if (is_all(a) || is_all(b)) return true;
	return a->scope == b->scope && IN6_ARE_ADDR_EQUAL(&a->address, &b->address);
}

const char *sl_listen_at_all(const struct sl_listen_at *a) {
	if (!is_all(a)) return NULL;
	return a->both ? "all addresses" : is_ipv4(a) ? "all IPv4 addresses" : "all IPv6 addresses";
}
