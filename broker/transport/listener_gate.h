/* listener_gate.h: how many connections a second are let in on one address, by all workers together.
 *
 * When there are too many, accepting rests until the next one may come in; who is not let in yet waits in the kernel's queue and
 * notices only that it takes longer. (To close them would bring them back at once, and a storm feeds on that.) When that queue is
 * full too, the kernel lets them try again by its own rules.
 * Lifetime: the caller's storage. Thread: any; a lock is held for nanoseconds, once a connection. */
#ifndef LISTENER_GATE_H
#define LISTENER_GATE_H

#include <pthread.h>

#include "rate.h"

struct listener_gate {
	pthread_mutex_t lock;
	struct sl_rate rate; /* per_s 0: no limit */
	struct sl_bucket bucket;
};

void listener_gate_init(struct listener_gate *g, struct sl_rate rate);
/* Another limit, from now on; the same one changes nothing. Nobody else may be at the gate: the loops stand still. */
void listener_gate_set(struct listener_gate *g, struct sl_rate rate);
void listener_gate_fini(struct listener_gate *g);
uint64_t listener_gate_wait_ms(struct listener_gate *g, uint64_t now_ms); /* 0: one may come in */
void listener_gate_passed(struct listener_gate *g, uint64_t now_ms);      /* one has */

#endif
