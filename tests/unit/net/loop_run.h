/* loop_run.h: what tests of loops share: run a function on a loop and wait for it, wait for a counter. */
#ifndef SL_LOOP_RUN_H
#define SL_LOOP_RUN_H

#include <unistd.h>

#include "loop.h"

struct loop_run {
	struct sl_post post;
	void (*fn)(void *arg);
	void *arg;
	_Atomic bool done;
};

static inline void loop_run_post(struct sl_post *post, struct sl_loop *l) {
	(void)l;
	struct loop_run *r = sl_container_of(post, struct loop_run, post);
	r->fn(r->arg);
	r->done = true;
}

/* Runs fn(arg) on the loop and returns when it is done. */
static inline void loop_run(struct sl_loop *l, void (*fn)(void *arg), void *arg) {
	struct loop_run r = {.post.run = loop_run_post, .fn = fn, .arg = arg};
	sl_loop_post(l, &r.post);
	while (!r.done) usleep(50);
}

/* Does it become `want`? How fast the machine is, no test asks. */
static inline bool becomes(const _Atomic uint32_t *value, uint32_t want) {
	for (int i = 0; i < 600000 && *value < want; i++) usleep(100);
	return *value == want;
}

#endif
