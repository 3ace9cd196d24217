/* loop.h: an event loop on its own thread, its inbox, its timers, and its tick.
 *
 * A tick is one turn of the loop: take what the kernel has, run the callbacks, then the end-of-tick hooks in their
 * order, then sleep. Work is collected during the tick and done once at its end (one write per connection, one wake-up
 * per target loop).
 *
 *     epoll -> letters -> sockets -> timers -> libuv -> hooks STAGE -> hooks FLUSH -> hooks WRITE -> arena reset -> epoll
 *
 * The loop sleeps in an epoll set of its own: sockets of ours are watched there (struct sl_watch), edge-triggered, with
 * no system call but the one that registers them. A libuv loop lives inside (its backend descriptor is one member of the
 * set) for what comes with libraries: their sockets, processes, timers. A tick in which libuv has nothing to do costs
 * nothing for it.
 *
 * Ownership: an object belongs to one loop, and only the holder of that loop's *baton* touches it.
 *
 * The baton is a mutex that the loop's thread holds all the time but while it sleeps in epoll. So everything on a loop is
 * single-threaded, as if there were no mutex. There is one more door: a loop that has work for another one may try to
 * take that one's baton (sl_loop_try_enter), which works exactly while the other sleeps; do the work there and then,
 * and go. That spares the other thread's wake-up, which takes longer than the work. When the baton is not to be had,
 * the other is awake, and a letter reaches it soon at no cost. Nobody ever waits for a baton while holding one, except
 * the loop for its own: there is no deadlock.
 * A visitor may do everything that needs only the loop's memory and file descriptors: read and append to its objects,
 * write to its streams, set timers, post, defer. It may not call libuv, nor free what a watch lives in: that is for
 * sl_loop_defer().
 *
 * Threads: sl_loop_post(), sl_loop_post_patient(), sl_loop_stop(), sl_loop_try_enter() and sl_loops_park() from any thread; everything else with
 * the baton. Callbacks never block. */
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
void sl_loop_stop(struct sl_loop *l);                     /* asks it to end after the letters that are there */
void sl_loop_join(struct sl_loop *l);                     /* waits for the thread; not from the loop itself */
void sl_loop_free(struct sl_loop *l); /* after join, or never started; letters left in the inbox are run */

/* After join: runs the letters and deferred calls that are left, as the loop would. True when there were any. Loops that
 * write to each other take turns until none has more, before the first is freed. */
bool sl_loop_run_rest(struct sl_loop *l);

void sl_loop_post(struct sl_loop *l, struct sl_post *post);

/* A nap: asked for in a tick, the sleep after it takes at most so long, and letters that can wait for all of it do not end it.
 * They spare their sender the wake-up, and many of them one loop the turns; everything else wakes the loop as ever. Who posts
 * letters that can wait to a loop that is fast asleep wakes it. */
void sl_loop_nap(struct sl_loop *l, uint32_t ms);
void sl_loop_post_patient(struct sl_loop *l, struct sl_post *post, uint32_t patience_ms);
struct uv_loop_s *sl_loop_uv(struct sl_loop *l);
int sl_loop_index(const struct sl_loop *l);
const char *sl_loop_name(const struct sl_loop *l);
bool sl_loop_is_current(const struct sl_loop *l);  /* does the caller hold this loop's baton? */
struct sl_arena *sl_loop_arena(struct sl_loop *l); /* tick memory: valid until the end of this tick or visit */
uint64_t sl_loop_now_ms(const struct sl_loop *l);  /* monotonic, read once per tick */
int64_t sl_loop_wall_ms(const struct sl_loop *l);  /* wall clock, read once per tick */

/* Visits: from a loop's thread, with `from` as its own loop. False when `l` is awake, or letters wait in its inbox (what
 * is done now would overtake them). Between enter and leave the caller *is* the loop: sl_loop_is_current(l). */
bool sl_loop_try_enter(struct sl_loop *l, struct sl_loop *from);
void sl_loop_leave(struct sl_loop *l, struct sl_loop *from);

/* Work for the loop's own thread, later in this tick when it is awake, else it is woken. Embedded in its owner; deferring
 * what is deferred already does nothing. run() may free the owner. */
struct sl_deferred {
	struct sl_list link;
	void (*run)(struct sl_deferred *d);
};
void sl_deferred_init(struct sl_deferred *d, void (*run)(struct sl_deferred *d));
void sl_loop_defer(struct sl_loop *l, struct sl_deferred *d);
void sl_deferred_cancel(struct sl_deferred *d);

/* A descriptor of ours in the epoll set, edge-triggered: told once when it becomes readable or writable, so whoever gets
 * `ready` goes on until the kernel says EAGAIN (or asks for another turn with sl_watch_again). `events` are epoll's, 0
 * for another turn. Removing needs no thread of its own, freeing does: a watch may be named in the events that the loop
 * has just fetched, so free it only from a deferred call, or in a tick after the removal. */
struct sl_watch {
	struct sl_list again;
	int fd;
	void (*ready)(struct sl_watch *w, uint32_t events);
};
void sl_watch_init(struct sl_watch *w, void (*ready)(struct sl_watch *w, uint32_t events));
int sl_watch_add(struct sl_loop *l, struct sl_watch *w, int fd); /* 0 or SL_ESYSTEM */
void sl_watch_again(struct sl_loop *l, struct sl_watch *w);      /* `ready` is called in the next tick, which is soon */
void sl_watch_remove(struct sl_loop *l, struct sl_watch *w);     /* fd stays open, and the caller's */

/* End-of-tick hooks, run in this order each tick in which anything happened. */
enum sl_phase {
	SL_PHASE_STAGE, /* rules hand staged rows to pipelines; pipelines take, log and cut batches */
	SL_PHASE_FLUSH, /* loops send what they collected for other loops: one letter per target */
	SL_PHASE_WRITE, /* streams write what they collected */
	SL_PHASE_COUNT
};
struct sl_hook {
	struct sl_list link;
	void (*run)(struct sl_hook *hook);
};
void sl_loop_hook_add(struct sl_loop *l, enum sl_phase phase, struct sl_hook *hook);
void sl_loop_hook_remove(struct sl_hook *hook);

/* Timers, by a wheel: cheap to set, move and cancel by the ten thousand; resolution SL_TIMER_TICK_MS for delays above a
 * second, one millisecond below. A timer is embedded in its owner and needs no free; set again moves it. */
enum { SL_TIMER_TICK_MS = 64 };
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
