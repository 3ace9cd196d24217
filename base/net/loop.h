/* loop.h: an event loop on its own thread, its inbox, and its tick.
 *
 * A tick is one turn of the libuv loop: take what the kernel has, run the callbacks, then the end-of-tick hooks in their
 * order, then sleep. Work is collected during the tick and done once at its end (one write per connection, one wake-up
 * per target loop).
 *
 *     poll -> read callbacks, inbox, timers -> hooks STAGE -> hooks FLUSH -> hooks WRITE -> arena reset -> poll ...
 *
 * Ownership: an object belongs to one loop and only that loop's thread touches it; all others post to it.
 * Threads: sl_loop_post(), sl_loop_stop() and sl_loops_park() from any thread; everything else on the loop's own. */
#ifndef SL_LOOP_H
#define SL_LOOP_H

#include "arena.h"
#include "err.h"
#include "list.h"

struct sl_loop;
struct uv_loop_s;

/* A letter to a loop. The sender embeds it in what it sends and hands that over; run() is called on the receiving loop's
 * thread and decides what becomes of the memory. Letters from one sender arrive in order. */
struct sl_post {
	struct sl_post *next;
	void (*run)(struct sl_post *post, struct sl_loop *l);
};

/* name is copied (thread name, logs). index: the worker's number, or -1. */
int sl_loop_new(const char *name, int index, struct sl_loop **out, struct sl_err *err);
int sl_loop_start(struct sl_loop *l, struct sl_err *err); /* starts the thread */
void sl_loop_stop(struct sl_loop *l); /* asks it to end: closes handles of the loop itself, then returns */
void sl_loop_join(struct sl_loop *l); /* waits for the thread; not from the loop itself */
void sl_loop_free(struct sl_loop *l); /* after join; letters still in the inbox are run first by stop */

void sl_loop_post(struct sl_loop *l, struct sl_post *post);
struct uv_loop_s *sl_loop_uv(struct sl_loop *l);
int sl_loop_index(const struct sl_loop *l);
bool sl_loop_is_current(const struct sl_loop *l);  /* is the caller's thread this loop's? */
struct sl_arena *sl_loop_arena(struct sl_loop *l); /* tick memory: valid until the end of this tick */
uint64_t sl_loop_now_ms(const struct sl_loop *l);  /* monotonic, read once per tick */
int64_t sl_loop_wall_ms(const struct sl_loop *l);  /* wall clock, read once per tick */

/* End-of-tick hooks, run in this order each tick in which anything happened. */
enum sl_phase {
	SL_PHASE_STAGE, /* rules hand staged rows to pipelines; pipelines take, log and cut batches */
	SL_PHASE_FLUSH, /* loops send what they collected for other loops: one post per target */
	SL_PHASE_WRITE  /* streams write what they collected */
};
struct sl_hook {
	struct sl_list link;
	void (*run)(struct sl_hook *hook);
};
void sl_loop_hook_add(struct sl_loop *l, enum sl_phase phase, struct sl_hook *hook);
void sl_loop_hook_remove(struct sl_hook *hook);

/* Timers, by a wheel: cheap to set, move and cancel by the ten thousand; resolution SL_TIMER_TICK_MS for delays above a
 * second, one millisecond below. A timer is embedded in its owner and needs no free; set again moves it. */
struct sl_timer {
	struct sl_list link;
	uint64_t due_ms;
	void (*fire)(struct sl_timer *t);
};
void sl_timer_init(struct sl_timer *t, void (*fire)(struct sl_timer *t));
void sl_timer_set(struct sl_loop *l, struct sl_timer *t, uint64_t delay_ms);
void sl_timer_cancel(struct sl_timer *t);
bool sl_timer_armed(const struct sl_timer *t);

/* Brings n loops to a quiet point (between two ticks), runs fn(arg) on the calling thread while all of them stand still,
 * and lets them go on. For exact sums over loops' plain counters. Waits as long as the slowest tick; must not be
 * called on one of the loops. Two callers take turns. */
void sl_loops_park(struct sl_loop *const *loops, size_t n, void (*fn)(void *arg), void *arg);

#endif
