#include "loop.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "loop_int.h"
#include "mem.h"

enum { EVENTS_MAX = 256, ARENA_FIRST = 16384, STOP_TURNS_MAX = 1000 };
enum { AGAIN_US = 100 };
enum { TRICKLE_READS = 4, TRICKLE_BYTES = 512, BREATH_US = 50 }; /* see loop_breathe() */

/* The loop whose baton this thread holds; its own most of the time. */
static _Thread_local struct sl_loop *current;

static void clock_update(struct sl_loop *l) {
	l->now_ms = sl_clock_mono_ms();
	l->wall_ms = sl_clock_wall_ms();
}

static int loop_init_fds(struct sl_loop *l, struct sl_err *err) {
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->epoll_fd < 0 || l->wake_fd < 0)
		return sl_err_set(err, SL_ESYSTEM,
				  "cannot make the descriptors of loop %s: %s; raise the limit of open files", l->name,
				  strerror(errno));
	int rc = uv_loop_init(&l->uv);
	if (rc != 0)
		return sl_err_set(err, SL_ESYSTEM, "cannot make the libuv loop of %s: %s", l->name, uv_strerror(rc));
	l->uv.data = l;
	/* uv_backend_timeout() of a loop without handles is 0: one that stays makes it say when there is work. */
	rc = uv_async_init(&l->uv, &l->uv_keep, NULL);
	if (rc != 0)
		return sl_err_set(err, SL_ESYSTEM, "cannot make the libuv loop of %s: %s", l->name, uv_strerror(rc));
	/* Edge-triggered: each write to an eventfd is an edge, so nobody ever has to read it empty. */
	struct epoll_event wake = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};
	struct epoll_event uv = {.events = EPOLLIN, .data.ptr = &l->uv};
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, l->wake_fd, &wake) != 0 ||
	    epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, uv_backend_fd(&l->uv), &uv) != 0)
		return sl_err_set(err, SL_ESYSTEM, "cannot watch the descriptors of loop %s: %s", l->name,
				  strerror(errno));
	return SL_OK;
}

int sl_loop_new(const char *name, int index, struct sl_loop **out, struct sl_err *err) {
	struct sl_loop *l = SL_NEW(struct sl_loop);
	l->name = sl_strdup(name);
	l->index = index;
	/* Visits are short: the owner that comes home to one spins a little before it asks the kernel to wait. */
	pthread_mutexattr_t adaptive;
	pthread_mutexattr_init(&adaptive);
	pthread_mutexattr_settype(&adaptive, PTHREAD_MUTEX_ADAPTIVE_NP);
	pthread_mutex_init(&l->baton, &adaptive);
	pthread_mutexattr_destroy(&adaptive);
	pthread_mutex_init(&l->gate, NULL);
	pthread_mutex_init(&l->inbox.lock, NULL);
	l->inbox.tail = &l->inbox.head;
	l->inbox.patience_ms = UINT32_MAX;
	for (size_t i = 0; i < SL_PHASE_COUNT; i++) sl_list_init(&l->hooks[i]);
	sl_list_init(&l->again);
	sl_list_init(&l->deferred);
	sl_arena_init(&l->arena, ARENA_FIRST);
	clock_update(l);
	sl_wheel_init(&l->wheel, l->now_ms);
	int rc = loop_init_fds(l, err);
	if (rc != SL_OK) {
		if (l->epoll_fd >= 0) close(l->epoll_fd);
		if (l->wake_fd >= 0) close(l->wake_fd);
		sl_free(l->name);
		sl_free(l);
		return rc;
	}
	*out = l;
	return SL_OK;
}

void sl_loop_wake(struct sl_loop *l) {
	uint64_t one = 1;
	/* Full (after 2^64 - 2 unread wakes) is the only failure, and means it is readable. */
	ssize_t n = write(l->wake_fd, &one, sizeof one);
	(void)n;
}

/* ---- inbox ---- */

static void inbox_put(struct sl_loop *l, struct sl_post *post, uint32_t patience_ms) {
	post->next = NULL;
	pthread_mutex_lock(&l->inbox.lock);
	*l->inbox.tail = post;
	l->inbox.tail = &post->next;
	if (patience_ms < l->inbox.patience_ms) l->inbox.patience_ms = patience_ms;
	bool wake = l->inbox.asleep || patience_ms < l->inbox.nap_ms;
	if (wake) {
		l->inbox.asleep = false;
		l->inbox.nap_ms = 0;
	}
	pthread_mutex_unlock(&l->inbox.lock);
	if (wake) sl_loop_wake(l);
}

void sl_loop_post(struct sl_loop *l, struct sl_post *post) { inbox_put(l, post, 0); }

void sl_loop_post_patient(struct sl_loop *l, struct sl_post *post, uint32_t patience_ms) {
	inbox_put(l, post, patience_ms);
}

static bool inbox_run(struct sl_loop *l) {
	pthread_mutex_lock(&l->inbox.lock);
	struct sl_post *p = l->inbox.head;
	l->inbox.head = NULL;
	l->inbox.tail = &l->inbox.head;
	l->inbox.asleep = false;
	l->inbox.nap_ms = 0;
	l->inbox.patience_ms = UINT32_MAX;
	pthread_mutex_unlock(&l->inbox.lock);
	bool any = p != NULL;
	while (p) {
		struct sl_post *next = p->next; /* run() may free the letter */
		p->run(p, l);
		p = next;
	}
	return any;
}

/* ---- baton ---- */

static void baton_take(struct sl_loop *l) {
	if (sl_unlikely(atomic_load_explicit(&l->parkers, memory_order_acquire) > 0)) {
		pthread_mutex_lock(&l->gate);
		pthread_mutex_unlock(&l->gate);
	}
	pthread_mutex_lock(&l->baton);
	current = l;
}

static void baton_give(struct sl_loop *l) {
	current = NULL;
	pthread_mutex_unlock(&l->baton);
}

bool sl_loop_try_enter(struct sl_loop *l, struct sl_loop *from) {
	if (pthread_mutex_trylock(&l->baton) != 0) return false;
	pthread_mutex_lock(&l->inbox.lock);
	bool empty = l->inbox.head == NULL;
	pthread_mutex_unlock(&l->inbox.lock);
	if (!empty || !l->started || atomic_load_explicit(&l->stopping, memory_order_relaxed)) {
		pthread_mutex_unlock(&l->baton);
		return false;
	}
	if (from->now_ms > l->now_ms) l->now_ms = from->now_ms;
	l->wall_ms = from->wall_ms;
	current = l;
	return true;
}

void sl_loop_leave(struct sl_loop *l, struct sl_loop *from) {
	sl_arena_reset(&l->arena);
	current = from;
	pthread_mutex_unlock(&l->baton);
}

static pthread_mutex_t park_turns = PTHREAD_MUTEX_INITIALIZER;

void sl_loops_park(struct sl_loop *const *loops, size_t n, void (*fn)(void *arg), void *arg) {
	pthread_mutex_lock(&park_turns);
	for (size_t i = 0; i < n; i++) {
		sl_assert(!sl_loop_is_current(loops[i]));
		atomic_fetch_add(&loops[i]->parkers, 1);
		pthread_mutex_lock(&loops[i]->gate);
		pthread_mutex_lock(&loops[i]->baton);
	}
	fn(arg);
	for (size_t i = n; i-- > 0;) {
		atomic_fetch_sub(&loops[i]->parkers, 1);
		pthread_mutex_unlock(&loops[i]->baton);
		pthread_mutex_unlock(&loops[i]->gate);
	}
	pthread_mutex_unlock(&park_turns);
}

/* ---- watches, deferred calls, hooks ---- */

void sl_watch_init(struct sl_watch *w, void (*ready)(struct sl_watch *w, uint32_t events)) {
	*w = (struct sl_watch){.fd = -1, .ready = ready};
	sl_list_init(&w->again);
}

int sl_watch_add(struct sl_loop *l, struct sl_watch *w, int fd) {
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = w};
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) != 0) return SL_ESYSTEM;
	w->fd = fd;
	return SL_OK;
}

void sl_watch_again(struct sl_loop *l, struct sl_watch *w) {
	if (!sl_list_linked(&w->again)) sl_list_push_back(&l->again, &w->again);
	if (l->sleeping) sl_loop_wake(l); /* a visitor's wish */
}

void sl_watch_remove(struct sl_loop *l, struct sl_watch *w) {
	if (w->fd < 0) return;
	epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
	sl_list_remove(&w->again);
	w->fd = -1;
}

void sl_deferred_init(struct sl_deferred *d, void (*run)(struct sl_deferred *d)) {
	sl_list_init(&d->link);
	d->run = run;
}

void sl_loop_defer(struct sl_loop *l, struct sl_deferred *d) {
	if (sl_list_linked(&d->link)) return;
	sl_list_push_back(&l->deferred, &d->link);
	if (l->sleeping) sl_loop_wake(l);
}

void sl_deferred_cancel(struct sl_deferred *d) { sl_list_remove(&d->link); }

void sl_loop_hook_add(struct sl_loop *l, enum sl_phase phase, struct sl_hook *hook) {
	sl_list_push_back(&l->hooks[phase], &hook->link);
}

void sl_loop_hook_remove(struct sl_hook *hook) { sl_list_remove(&hook->link); }

/* ---- timers ---- */

void sl_timer_init(struct sl_timer *t, void (*fire)(struct sl_timer *t)) {
	sl_list_init(&t->link);
	t->due_ms = 0;
	t->fire = fire;
}

void sl_timer_set(struct sl_loop *l, struct sl_timer *t, uint64_t delay_ms) {
	uint64_t due = l->now_ms + delay_ms;
	/* Long delays meet at common moments, so that ten thousand keep-alives do not wake the loop ten thousand times. */
	if (delay_ms > 1000) due = (due + SL_TIMER_TICK_MS - 1) & ~(uint64_t)(SL_TIMER_TICK_MS - 1);
	sl_wheel_set(&l->wheel, t, due);
	if (l->sleeping && due < l->wake_ms) {
		l->wake_ms = due;
		sl_loop_wake(l);
	}
}

void sl_timer_cancel(struct sl_timer *t) { sl_list_remove(&t->link); }

bool sl_timer_armed(const struct sl_timer *t) { return sl_list_linked(&t->link); }

/* ---- the tick ---- */

void sl_loop_nap(struct sl_loop *l, uint32_t ms) { l->nap_ms = ms; }

void sl_loop_more(struct sl_loop *l) {
	l->more = true;
	if (l->sleeping) sl_loop_wake(l);
}

static bool deferred_run(struct sl_loop *l) {
	bool any = !sl_list_empty(&l->deferred);
	for (struct sl_list *it; (it = sl_list_pop_front(&l->deferred)) != NULL;) {
		struct sl_deferred *d = SL_LIST_ENTRY(it, struct sl_deferred, link);
		d->run(d);
	}
	return any;
}

/* Who asks for another turn has had one, and may have much to do: a flood. So these come behind everybody else's events, and as many
 * of them as a short time takes; the others are first in the next tick. */
static void again_run(struct sl_loop *l) {
	struct sl_list turn;
	uint64_t until_us = 0;
	sl_list_init(&turn);
	sl_list_splice_back(&turn, &l->again);
	for (struct sl_list *it; (it = sl_list_pop_front(&turn)) != NULL;) {
		struct sl_watch *w = SL_LIST_ENTRY(it, struct sl_watch, again);
		w->ready(w, 0);
		uint64_t now_us = sl_clock_mono_us();
		if (until_us == 0) until_us = now_us + AGAIN_US;
		if (now_us >= until_us) break;
	}
	sl_list_splice_back(&turn, &l->again);
	sl_list_splice_back(&l->again, &turn);
}

static void tick(struct sl_loop *l, const struct epoll_event *events, int n) {
	l->more = false;
	l->nap_ms = 0;
	l->reads = 0;
	l->read_bytes = 0;
	clock_update(l);
	uv_update_time(&l->uv);
	inbox_run(l);
	for (int i = 0; i < n; i++) {
		void *who = events[i].data.ptr;
		if (who == NULL || who == &l->uv) continue;
		struct sl_watch *w = who;
		/* Removed by an earlier event of this very turn. */
		if (w->fd >= 0) w->ready(w, events[i].events);
	}
	if (!sl_list_empty(&l->again)) again_run(l);
	sl_wheel_advance(&l->wheel, l->now_ms);
	if (l->uv_due || uv_backend_timeout(&l->uv) == 0) uv_run(&l->uv, UV_RUN_NOWAIT);
	l->uv_due = false;
	deferred_run(l);
	for (size_t phase = 0; phase < SL_PHASE_COUNT; phase++) SL_LIST_FOREACH_SAFE(it, &l->hooks[phase]) {
			struct sl_hook *hook = SL_LIST_ENTRY(it, struct sl_hook, link);
			hook->run(hook);
		}
	/* What the hooks closed; the end of a connection may publish a will, which the hooks have to see. */
	if (deferred_run(l)) l->more = true;
	sl_arena_reset(&l->arena);
}

/* How long epoll may sleep; also tells posters whether they have to wake us. */
static int sleep_ms(struct sl_loop *l) {
	if (l->more || !sl_list_empty(&l->again) || !sl_list_empty(&l->deferred)) return 0;
	int uv_ms = uv_backend_timeout(&l->uv);
	if (uv_ms == 0) return 0;
	pthread_mutex_lock(&l->inbox.lock);
	bool may = l->nap_ms ? l->inbox.patience_ms >= l->nap_ms : l->inbox.head == NULL;
	l->inbox.asleep = may && l->nap_ms == 0;
	l->inbox.nap_ms = may ? l->nap_ms : 0;
	pthread_mutex_unlock(&l->inbox.lock);
	if (!may) return 0;
	uint64_t due = sl_wheel_next_ms(&l->wheel);
	if (l->nap_ms && due > l->now_ms + l->nap_ms) due = l->now_ms + l->nap_ms;
	l->wake_ms = due;
	if (due == UINT64_MAX) return uv_ms;
	uint64_t ms = due > l->now_ms ? due - l->now_ms : 0;
	if (ms > 60000) ms = 60000;
	return uv_ms > 0 && (uint64_t)uv_ms < ms ? uv_ms : (int)ms;
}

static void note_uv(struct sl_loop *l, const struct epoll_event *events, int n) {
	for (int i = 0; i < n; i++)
		if (events[i].data.ptr == &l->uv) l->uv_due = true;
}

/* A fleet of devices sends one small packet each: every one wakes us, is read by a system call of its own, and answered or
 * passed on by another. When a tick was of that kind, the next packets are on their way already: wait a moment and take
 * several at a time, as network cards do with their interrupts. It halves the cost of such a load and raises what gets
 * through. Reads that bring much (gateways), and a few at a time (a quiet broker), are never made to wait. The baton is given
 * away meanwhile: visitors deliver as to any sleeping loop. */
static void loop_breathe(bool trickle) {
	if (!trickle) return;
	struct timespec pause = {.tv_nsec = BREATH_US * 1000};
	nanosleep(&pause, NULL); /* ended early by nothing: signals are the main thread's */
}

static bool loop_trickles(const struct sl_loop *l) {
	return l->reads >= TRICKLE_READS && l->read_bytes < (uint64_t)l->reads * TRICKLE_BYTES;
}

static void *loop_thread(void *arg) {
	struct sl_loop *l = arg;
	struct epoll_event events[EVENTS_MAX];
	int n = 0;
	prctl(PR_SET_TIMERSLACK, 1000ul, 0ul, 0ul, 0ul); /* ns; the default would double a breath */
	baton_take(l);
	while (!atomic_load_explicit(&l->stopping, memory_order_acquire)) {
		note_uv(l, events, n);
		tick(l, events, n);
		int ms = sleep_ms(l);
		bool trickle = ms != 0 && loop_trickles(l);
		l->sleeping = true;
		baton_give(l);
		loop_breathe(trickle);
		n = epoll_wait(l->epoll_fd, events, EVENTS_MAX, ms);
		if (n < 0) n = 0; /* EINTR */
		baton_take(l);
		l->sleeping = false;
	}
	uv_unref((uv_handle_t *)&l->uv_keep);
	/* The last letters may close handles, whose callbacks need turns of libuv; work on its thread pool may take a
	 * moment to end. */
	for (int turn = 0; turn < STOP_TURNS_MAX; turn++) {
		tick(l, events, 0);
		if (!uv_loop_alive(&l->uv)) break;
		uv_run(&l->uv, UV_RUN_NOWAIT);
		struct pollfd uv = {.fd = uv_backend_fd(&l->uv), .events = POLLIN};
		poll(&uv, 1, 2);
	}
	baton_give(l);
	return NULL;
}

int sl_loop_start(struct sl_loop *l, struct sl_err *err) {
	/* Signals are the main thread's. */
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_mutex_lock(&l->baton);
	l->started = true;
	pthread_mutex_unlock(&l->baton);
	int rc = pthread_create(&l->thread, NULL, loop_thread, l);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc != 0) {
		l->started = false;
		return sl_err_set(err, SL_ESYSTEM, "cannot start the thread of loop %s: %s", l->name, strerror(rc));
	}
	char thread_name[16] = {0};
	memcpy(thread_name, l->name, sl_min_size(strlen(l->name), sizeof thread_name - 1));
	pthread_setname_np(l->thread, thread_name);
	return SL_OK;
}

void sl_loop_stop(struct sl_loop *l) {
	atomic_store_explicit(&l->stopping, true, memory_order_release);
	sl_loop_wake(l);
}

void sl_loop_join(struct sl_loop *l) {
	if (!l->started || l->joined) return;
	pthread_join(l->thread, NULL);
	l->joined = true;
}

bool sl_loop_run_rest(struct sl_loop *l) {
	sl_assert(!l->started || l->joined);
	struct sl_loop *before = current;
	current = l; /* nobody else is left */
	bool letters = inbox_run(l), deferred = deferred_run(l);
	current = before;
	return letters || deferred;
}

void sl_loop_free(struct sl_loop *l) {
	if (!l) return;
	while (sl_loop_run_rest(l)) {
	}
	sl_stream_pool_free(l->streams);
	uv_close((uv_handle_t *)&l->uv_keep, NULL);
	uv_run(&l->uv, UV_RUN_NOWAIT);
	if (uv_loop_close(&l->uv) == UV_EBUSY) {
		/* A lookup that its name server does not answer may still sit in the thread pool, and will write to the
		 * loop: then the memory stays until the process ends. */
		log_warn(LOG_NET, "libuv handles left open at the end of a loop", "loop=%s", l->name);
		return;
	}
	close(l->epoll_fd);
	close(l->wake_fd);
	sl_arena_fini(&l->arena);
	pthread_mutex_destroy(&l->inbox.lock);
	pthread_mutex_destroy(&l->gate);
	pthread_mutex_destroy(&l->baton);
	sl_free(l->name);
	sl_free(l);
}

struct uv_loop_s *sl_loop_uv(struct sl_loop *l) {
	return &l->uv;
}
int sl_loop_index(const struct sl_loop *l) { return l->index; }
const char *sl_loop_name(const struct sl_loop *l) { return l->name; }
bool sl_loop_is_current(const struct sl_loop *l) { return current == l; }
struct sl_arena *sl_loop_arena(struct sl_loop *l) {
	return &l->arena;
}
uint64_t sl_loop_now_ms(const struct sl_loop *l) { return l->now_ms; }
int64_t sl_loop_wall_ms(const struct sl_loop *l) { return l->wall_ms; }
