/* connectors_try.h: one connection of a configuration is tried: it connects, is probed, describes itself, and is closed.
 *
 * No rule runs, no row is touched, and nothing is made: kinds that write to this machine's disk look instead of connecting. Then the
 * set's actions and sources that use it are looked at, where the kind can: is there the table or topic, does the server know the command?
 *
 *     cs = connectors_new(...); connectors_start(cs); connectors_prepare(cs, tree, ..., &set);
 *     connectors_try(cs, set, "archive", 10000, &result);
 *
 * Lifetime: the connection is the service's from then on. Ended by connectors_stop(), which waits for it; a client library that hangs
 * (result.hangs) would keep it waiting, so then leave the process.
 * Thread: main; blocks up to the deadline. Errors: in words, in the result. */
#ifndef CONNECTORS_TRY_H
#define CONNECTORS_TRY_H

#include "connectors.h"

struct connector_trial {
	bool fine, probed, hangs;
	const char *type;
	uint64_t took_ms;
	char *why;     /* heap; NULL when fine */
	char *note;    /* heap: what was found by looking; NULL: it connected */
	json_t *about; /* what the kind says of itself; NULL: nothing */
	struct connector_trial_line {
		char *what, *why; /* what: "action r.0", "source orders" */
	} * faults,
	    *notes; /* actions and sources that cannot work as things stand; and what is worth knowing of others */
	size_t fault_count, fault_cap, note_count, note_cap;
};

/* SL_ENOTFOUND: there is none of that name; *out is empty. Else SL_OK, whatever came of it. */
int connectors_try(struct connectors *cs, struct connectors_set *set, const char *name, uint64_t deadline_ms,
		   struct connector_trial *out);
void connector_trial_fini(struct connector_trial *t);

#endif
