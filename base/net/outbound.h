/* outbound.h: which addresses this program connects to.
 *
 * Whoever writes a connector's settings, answers a name lookup or speaks for a cluster ("my other broker is at ...") must not make
 * the broker talk to what only this machine can reach: a cloud's metadata with its credentials, above all. So every connection
 * that is made for a connector is judged by its address, after the name was looked up, whoever named it:
 *
 *     int rc = sl_outbound_allows(address, &err);      SL_EDENIED: err says which address, why, and what to set
 *
 * One policy for the whole process; from the start the built-in list alone is in force. The program sets another from
 * `node.outbound`:
 *
 *     1. the narrowest entry of `allow` and `deny` that holds the address decides; of two that are equal `deny` does;
 *     2. if none does, the built-in list (link-local and metadata addresses, multicast, what is no server's address);
 *     3. everything else is allowed: loopback and private networks, where databases live, too.
 *
 * An IPv6 address that stands for an IPv4 one (NAT64, 6to4, mapped) must be allowed as both. A scope (%eth0) is not looked at. Unix
 * sockets are always allowed.
 *
 * Thread: judging from any thread, under a lock held for microseconds; there is one judgement a connection. Never blocks, looks up
 * no name. Errors: SL_EDENIED; texts of the configuration: SL_EINVAL. */
#ifndef SL_OUTBOUND_H
#define SL_OUTBOUND_H

#include <sys/socket.h>

#include "buf.h"
#include "err.h"
#include "field.h"
#include "slice.h"

/* "10.0.0.0/8", "fd00::/8"; without a slash one address. The bits behind the prefix are zero; a mapped IPv4 network is that network. */
struct sl_cidr {
	uint8_t bytes[16]; /* the first four for IPv4 */
	uint8_t bits;
	bool v6;
};
#define SL_CIDR_TEXT_MAX 64 /* bytes that a text of one may have */
int sl_cidr_parse(struct sl_slice text, struct sl_cidr *out, struct sl_err *err);
void sl_cidr_write(const struct sl_cidr *c, struct sl_buf *out);
bool sl_cidr_holds(const struct sl_cidr *c, const uint8_t *address, bool v6);

struct sl_outbound_conf {
	struct conf_list allow, deny;
};
extern const struct conf_field sl_outbound_fields[];

struct sl_outbound;

/* From settings; what the check of the settings did not take is left out. The caller's. */
struct sl_outbound *sl_outbound_new(const struct sl_outbound_conf *conf);
void sl_outbound_free(struct sl_outbound *o); /* NULL is fine */

/* o NULL: the built-in list alone. */
int sl_outbound_judge(const struct sl_outbound *o, const struct sockaddr *address, struct sl_err *err);
/* The same for a target as settings have it: "169.254.169.254:9092", "[fe80::1]", however the number is written. A name is not
 * looked up: SL_OK. */
int sl_outbound_judge_text(const struct sl_outbound *o, struct sl_slice target, struct sl_err *err);

/* From now on this one is in force, for new connections; those that stand are left alone. Takes o, gives the one before. */
struct sl_outbound *sl_outbound_set(struct sl_outbound *o) sl_warn_unused;
/* By the one in force. */
int sl_outbound_allows(const struct sockaddr *address, struct sl_err *err);
int sl_outbound_allows_text(struct sl_slice target,
			    struct sl_err *err); /* for libraries that take an address as text */

/* The built-in list, as rows of a table in Markdown. */
void sl_outbound_markdown(struct sl_buf *out);

#endif
