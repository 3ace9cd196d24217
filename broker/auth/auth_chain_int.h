/* auth_chain_int.h: the chain itself: its links, in their order, and what is counted of each (auth_chain.c); whoever waits in it
 * stands in auth.c. */
#ifndef AUTH_CHAIN_INT_H
#define AUTH_CHAIN_INT_H

#include "auth_backend.h"

struct auth {
	_Atomic uint32_t refs;
	_Atomic uint32_t pending; /* hashes queued or running */
	bool anonymous;
	struct auth_backend **chain;
	size_t len;
};

/* Asks the links from *at on. WORK and WAIT leave *at on the link that wants it; everything else is the chain's last word. */
enum auth_step auth_chain_ask(const struct auth *a, struct auth_ask *ask, size_t *at);
/* Link *at has said `step`, after so long: counts it and goes on. */
enum auth_step auth_chain_on(const struct auth *a, struct auth_ask *ask, size_t *at, enum auth_step step,
			     uint64_t took_us);
/* The identity moves out of ask, with AUTH_ALLOWED. */
enum auth_verdict auth_verdict_of(enum auth_step step, struct auth_ask *ask, struct auth_identity **id);
struct auth_found *auth_take_found(struct auth_ask *ask);
void auth_ask_clear(struct auth_ask *ask);

#endif
