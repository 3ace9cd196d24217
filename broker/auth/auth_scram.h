/* auth_scram.h: one SCRAM exchange, the server's side (RFC 5802 with SHA-256, RFC 7677, and SHA-512), for the enhanced
 * authentication of MQTT 5 (4.12).
 *
 *     client-first  "n,,n=alice,r=NONCE"              ->  auth_scram_step() gives server-first, CONTINUE
 *     client-final  "c=biws,r=NONCE+OURS,p=PROOF"     ->  gives server-final, DONE; or FAILED
 *
 * An empty client-first asks for the first move: the answer is empty, CONTINUE.
 * Channel binding is not offered: the header "n" is taken, "y" too, "p=" is refused. An authorization id must be the user.
 * User names are prepared as RFC 4013 says but for Unicode normalisation (NFKC), for which nothing is linked: a name
 * with accents has to be written as in the password file.
 * An unknown name is answered like a known one, with a salt of its own that stays the same, and fails at the end like a
 * wrong password: neither the answers nor their time tell which names exist.
 *
 * Nothing here is slow: the hash was iterated when the password was set; the client has to do it again.
 * Lifetime: auth_scram_new() to auth_scram_free(). Thread: one at a time. Never blocks. */
#ifndef AUTH_SCRAM_H
#define AUTH_SCRAM_H

#include "scram_keys.h"

struct auth_scram;

enum auth_scram_step { AUTH_SCRAM_CONTINUE, AUTH_SCRAM_DONE, AUTH_SCRAM_FAILED };

/* Fills *out for any name; false when there is no such user and the keys are made up. */
typedef bool (*auth_scram_find_fn)(void *arg, struct sl_slice user, enum scram_hash hash, struct scram_keys *out);

struct auth_scram_spec {
	enum scram_hash hash;
	auth_scram_find_fn find;
	void *arg;             /* valid while the exchange is */
	struct sl_slice nonce; /* the server's part; empty: random, as it has to be outside of tests */
};

struct auth_scram *auth_scram_new(const struct auth_scram_spec *spec) sl_warn_unused;
void auth_scram_free(struct auth_scram *x); /* NULL is fine */

/* Takes the client's next message and appends the answer to out. After DONE or FAILED the exchange is over. */
enum auth_scram_step auth_scram_step(struct auth_scram *x, struct sl_slice in, struct sl_buf *out);
/* After DONE: who it is, prepared. Valid as long as x. */
struct sl_slice auth_scram_user(const struct auth_scram *x);

/* What RFC 4013 makes of a name; false: it holds what may not be in one. */
bool auth_scram_prepare(struct sl_slice name, struct sl_buf *out);

#endif
