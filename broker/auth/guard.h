/* guard.h: who is not even asked for a password: the ban list, flapping clients, addresses that connect too often or guess.
 *
 *     guard_connect()   at each CONNECT, before anything dear is done for it
 *     guard_failed()    its password was wrong
 *     guard_flapped()   its connection ended without a DISCONNECT
 *     guard_holds()     is a client that is connected banned by now? (after a reload)
 *
 * What is configured (struct guard_rules) is immutable and swapped by a reload; what has happened stays. It is kept in
 * tables of fixed size (GUARD_PLACES entries of 32 bytes, made when they are first needed): who invents client ids or addresses pushes out what is
 * oldest among four, never makes them grow. IPv6 addresses count by their /64: whoever has one has all of it.
 *
 * Lifetime: one guard for the broker. Thread: any; a lock is held for the look at a table, and not while patterns
 * of the ban list are matched. guard_rules_new() blocks on files; nothing else blocks. */
#ifndef GUARD_H
#define GUARD_H

#include "acl.h"
#include "conf_report.h"
#include "field.h"
#include "rate.h"

enum { GUARD_PLACES = 16384 };

struct guard_count {
	int64_t max; /* so many within the window; CONF_UNLIMITED: no limit */
	int64_t window_ms, ban_ms;
};

struct guard_options {
	const json_t *ban;              /* auth.ban; NULL: none */
	const char *ban_file;           /* NULL: none */
	const struct conf_list *exempt; /* networks that only the ban list counts for; NULL: none */
	struct guard_count flapping, failures_address, failures_user;
	int64_t connects_per_s, connects_burst; /* from one address; CONF_UNLIMITED: no limit */
	const struct yaml_doc *about;
};

struct guard_rules;
struct guard;

/* All mistakes go to the report. *out is NULL then, and when nothing is configured. A strong reference. */
int guard_rules_new(const struct guard_options *options, struct guard_rules **out,
		    struct conf_report *report) sl_warn_unused;
struct guard_rules *guard_rules_ref(struct guard_rules *r);
void guard_rules_unref(struct guard_rules *r); /* NULL is fine */

struct guard *guard_new(void) sl_warn_unused;
void guard_free(struct guard *g);                           /* NULL is fine */
void guard_set(struct guard *g, struct guard_rules *rules); /* takes a reference of its own; NULL: nothing is guarded */

enum guard_verdict { GUARD_FINE, GUARD_BANNED, GUARD_FLAPS, GUARD_TOO_FAST, GUARD_GUESSES };

/* who: what is known by now: client id, user name of CONNECT, certificate, address. *reason, for a ban: why, as the list says;
 * heap, the caller's, NULL when it says nothing. */
enum guard_verdict guard_connect(struct guard *g, const struct acl_subject *who, uint64_t now_ms, int64_t wall_ms,
				 char **reason);
void guard_failed(struct guard *g, const struct acl_subject *who, uint64_t now_ms);
/* Were there too many guesses at this user's password? For who says his name only after CONNECT. */
bool guard_guessed(struct guard *g, const struct acl_subject *who, uint64_t now_ms);
/* True: it is banned from now on, for *ban_ms. */
bool guard_flapped(struct guard *g, const struct acl_subject *who, uint64_t now_ms, int64_t *ban_ms);
bool guard_holds(struct guard *g, const struct acl_subject *who, int64_t wall_ms);

#endif
