#include "sys_topics.h"

#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "client.h"
#include "mem.h"
#include "route.h"
#include "rules.h"
#include "topic.h"

/* ---- the values ---- */

enum { METRICS_MAX = 8, LOADS = 3, LOAD_LEAST_MS = 1000 };
static const double load_minutes[LOADS] = {1, 5, 15};

enum special { COUNTED, VERSION, UPTIME, CLIENTS_MAXIMUM, HEAP_CURRENT, HEAP_MAXIMUM };

struct row {
	const char *topic; /* behind $SYS/broker/ */
	enum special special;
	uint8_t len;
	enum sl_metric of[METRICS_MAX]; /* their sum, */
	bool but_last;                  /* the last one subtracted */
};
#define OF(...) .len = sizeof((enum sl_metric[]){__VA_ARGS__}) / sizeof(enum sl_metric), .of = {__VA_ARGS__}
#define PUBLISHES_IN METRIC_PUBLISH_IN_QOS0, METRIC_PUBLISH_IN_QOS1, METRIC_PUBLISH_IN_QOS2
#define PUBLISHES_OUT METRIC_PUBLISH_OUT_QOS0, METRIC_PUBLISH_OUT_QOS1, METRIC_PUBLISH_OUT_QOS2
#define DROPPED                                                                                                        \
	METRIC_DROPPED_QUEUE_FULL, METRIC_DROPPED_EXPIRED, METRIC_DROPPED_TOO_LARGE, METRIC_DROPPED_OFFLINE_QOS0,      \
	    METRIC_DROPPED_SLOW_CLIENT, METRIC_DROPPED_SESSION_ENDED, METRIC_DROPPED_NOT_ALLOWED
#define STORED METRIC_RETAINED, METRIC_QUEUED, METRIC_INFLIGHT_OUT

static const struct row rows[] = {
    {.topic = "version", .special = VERSION},
    {.topic = "uptime", .special = UPTIME},
    {.topic = "clients/total", OF(METRIC_SESSIONS)},
    {.topic = "clients/connected", OF(METRIC_CLIENTS)},
    {.topic = "clients/active", OF(METRIC_CLIENTS)},
    {.topic = "clients/disconnected", OF(METRIC_SESSIONS, METRIC_CLIENTS), .but_last = true},
    {.topic = "clients/inactive", OF(METRIC_SESSIONS, METRIC_CLIENTS), .but_last = true},
    {.topic = "clients/maximum", .special = CLIENTS_MAXIMUM},
    {.topic = "clients/expired", OF(METRIC_SESSIONS_EXPIRED)},
    {.topic = "messages/received", OF(METRIC_PACKETS_IN)},
    {.topic = "messages/sent", OF(METRIC_PACKETS_OUT)},
    {.topic = "messages/stored", OF(STORED)},
    {.topic = "messages/inflight", OF(METRIC_INFLIGHT_OUT)},
    {.topic = "store/messages/count", OF(STORED)},
    {.topic = "store/messages/bytes", OF(METRIC_RETAINED_BYTES, METRIC_QUEUED_BYTES)},
    {.topic = "publish/messages/received", OF(PUBLISHES_IN)},
    {.topic = "publish/messages/sent", OF(PUBLISHES_OUT)},
    {.topic = "publish/messages/dropped", OF(DROPPED)},
    {.topic = "publish/bytes/received", OF(METRIC_PUBLISH_BYTES_IN)},
    {.topic = "publish/bytes/sent", OF(METRIC_PUBLISH_BYTES_OUT)},
    {.topic = "bytes/received", OF(METRIC_BYTES_IN)},
    {.topic = "bytes/sent", OF(METRIC_BYTES_OUT)},
    {.topic = "subscriptions/count", OF(METRIC_SUBSCRIPTIONS)},
    {.topic = "shared_subscriptions/count", OF(METRIC_SHARED_SUBSCRIPTIONS)},
    {.topic = "retained messages/count", OF(METRIC_RETAINED)},
    {.topic = "heap/current", .special = HEAP_CURRENT},
    {.topic = "heap/maximum", .special = HEAP_MAXIMUM},
};

/* Behind load/, each with /1min, /5min and /15min behind it. */
static const struct row load_rows[] = {
    {.topic = "messages/received", OF(METRIC_PACKETS_IN)},
    {.topic = "messages/sent", OF(METRIC_PACKETS_OUT)},
    {.topic = "publish/received", OF(PUBLISHES_IN)},
    {.topic = "publish/sent", OF(PUBLISHES_OUT)},
    {.topic = "publish/dropped", OF(DROPPED)},
    {.topic = "bytes/received", OF(METRIC_BYTES_IN)},
    {.topic = "bytes/sent", OF(METRIC_BYTES_OUT)},
    {.topic = "sockets", OF(METRIC_CONNECTIONS_ACCEPTED)},
    {.topic = "connections", OF(METRIC_CONNECTS_ACCEPTED, METRIC_CONNECTS_REFUSED)},
};

enum { ROWS = SL_ARRAY_LEN(rows), LOAD_ROWS = SL_ARRAY_LEN(load_rows), VALUES = ROWS + LOAD_ROWS * LOADS };

struct load {
	uint64_t counted;
	double average[LOADS];
};

/* Who subscribed, and has not got the values yet. */
struct ask {
	struct worker_letter letter;
	struct sl_list link;
	session_ref ref;
	uint64_t serial; /* of the connection */
	uint32_t sub_id;
	struct msg **v; /* on its way back */
	size_t len;
	size_t filter_len;
	char filter[];
};

struct sys_topics {
	struct worker *w;
	struct sl_timer timer;
	char *topics[VALUES];
	char *last[VALUES];    /* as published; NULL: never */
	bool followed[VALUES]; /* somebody knows `last`, and is to hear when it changes */
	char *now[VALUES];     /* while a look ends */
	struct load loads[LOAD_ROWS];
	uint64_t started_ms, loaded_ms;
	struct sl_list asks; /* of struct ask, for the next look */
	bool looking, publish;
	uint32_t waiting;
	struct sl_metrics sum;
};

static uint64_t sum_of(const struct row *r, const struct sl_metrics *m) {
	int64_t sum = 0;
	for (uint8_t i = 0; i < r->len; i++) {
		int64_t v = sl_metrics_gauge(m, r->of[i]);
		sum += r->but_last && i + 1 == r->len ? -v : v;
	}
	return sum < 0 ? 0 : (uint64_t)sum;
}

/* What the process takes of the machine's memory; glibc's own count would be made with all its locks held. */
static uint64_t heap_now(void) {
	char text[128]; /* seven numbers of the kernel's */
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	if (fd < 0) return 0;
	ssize_t n = read(fd, text, sizeof text - 1);
	close(fd);
	if (n <= 0) return 0;
	text[n] = '\0';
	const char *resident = strchr(text, ' ');
	return resident ? strtoull(resident, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static uint64_t heap_most(void) {
	struct rusage usage;
	return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
}

static char *text_of(const struct sys_topics *t, const struct row *r) {
	uint64_t n = 0;
	switch (r->special) {
	case VERSION: return sl_asprintf("sluice version %s", t->w->b->set.version);
	case UPTIME: return sl_asprintf("%" PRIu64 " seconds", (sl_loop_now_ms(t->w->loop) - t->started_ms) / 1000);
	case COUNTED: n = sum_of(r, &t->sum); break;
	case CLIENTS_MAXIMUM: n = atomic_load_explicit(&t->w->b->clients.most, memory_order_relaxed); break;
	case HEAP_CURRENT: n = heap_now(); break;
	case HEAP_MAXIMUM: n = heap_most(); break;
	}
	return sl_asprintf("%" PRIu64, n);
}

/* What came since the last look counts as if it had come evenly. */
static void loads_update(struct sys_topics *t) {
	uint64_t now = sl_loop_now_ms(t->w->loop), passed = now - t->loaded_ms;
	if (passed < LOAD_LEAST_MS) return;
	t->loaded_ms = now;
	for (size_t i = 0; i < LOAD_ROWS; i++) {
		struct load *l = &t->loads[i];
		uint64_t counted = sum_of(&load_rows[i], &t->sum);
		double rate = (double)(counted - l->counted) * 60000.0 / (double)passed;
		l->counted = counted;
		for (size_t k = 0; k < LOADS; k++)
			l->average[k] =
			    rate + (l->average[k] - rate) * exp(-(double)passed / (60000.0 * load_minutes[k]));
	}
}

static void values_now(struct sys_topics *t) {
	loads_update(t);
	for (size_t i = 0; i < ROWS; i++) t->now[i] = text_of(t, &rows[i]);
	for (size_t i = 0; i < LOAD_ROWS * LOADS; i++)
		t->now[ROWS + i] = sl_asprintf("%.2f", t->loads[i / LOADS].average[i % LOADS]);
}

/* ---- who wants them ---- */

static void found(void *arg, uint32_t handle, const uint64_t *values, size_t count) {
	(void)handle;
	(void)values;
	*(bool *)arg |= count > 0;
}

static bool wanted(struct sys_topics *t, size_t i) {
	struct sl_slice topic = slice_from_str(t->topics[i]);
	bool any = false;
	topic_trie_match(t->w->subs, topic, found, &any);
	return any || (t->w->rules && rules_any(t->w->rules) && rules_find(t->w->rules, topic, topic_hash(topic)));
}

/* ---- telling ---- */

static struct msg *message(struct sys_topics *t, size_t i, bool retain) {
	return msg_new(&(struct msg_spec){.topic = slice_from_str(t->topics[i]),
					  .payload = slice_from_str(t->now[i]),
					  .arrived_ms = sl_loop_wall_ms(t->w->loop),
					  .number = worker_message_number(t->w),
					  .retain = retain});
}

static void follow(struct sys_topics *t, size_t i) {
	sl_free(t->last[i]);
	t->last[i] = sl_strdup(t->now[i]);
	t->followed[i] = true;
}

static void publish_changes(struct sys_topics *t) {
	for (size_t i = 0; i < VALUES; i++) {
		if (!wanted(t, i)) {
			t->followed[i] = false;
			continue;
		}
		if (t->followed[i] && strcmp(t->last[i], t->now[i]) == 0) continue;
		follow(t, i);
		struct msg *m = message(t, i, false);
		route_publish(t->w, m, NULL, NULL, NULL);
		msg_unref(m);
	}
}

static void ask_free(struct ask *a) {
	for (size_t i = 0; i < a->len; i++) msg_unref(a->v[i]);
	sl_free(a->v);
	sl_free(a);
}

static void answer_run(struct sl_post *post, struct sl_loop *l) {
	(void)l;
	struct ask *a = sl_container_of(post, struct ask, letter.post);
	struct session *s = worker_session(a->letter.to, a->ref);
	struct session_delivery d = {.ids = &a->sub_id, .ids_len = a->sub_id ? 1 : 0, .retain = true};
	for (size_t i = 0; i < a->len && s && s->c && s->c->serial == a->serial; i++) session_deliver(s, a->v[i], &d);
	ask_free(a);
}

static void answer(struct sys_topics *t, struct ask *a) {
	struct sl_slice filter = slice_make(a->filter, a->filter_len);
	a->v = SL_NEW_ARRAY(struct msg *, VALUES);
	for (size_t i = 0; i < VALUES; i++) {
		if (!topic_matches(filter, slice_from_str(t->topics[i]))) continue;
		if (!t->followed[i]) follow(t, i); /* who followed it before has to hear of the change */
		a->v[a->len++] = message(t, i, true);
	}
	a->letter.post.run = answer_run;
	worker_post(&t->w->b->workers[session_ref_worker(a->ref)], &a->letter);
}

/* ---- a look at all workers ---- */

struct look_letter {
	struct worker_letter letter;
	struct sys_topics *t;
	uint64_t v[METRIC_COUNT]; /* of the worker */
};

static void look_end(struct sys_topics *t) {
	struct sl_list asks;
	sl_list_init(&asks);
	values_now(t);
	if (t->publish) publish_changes(t);
	t->publish = false;
	sl_list_splice_back(&asks, &t->asks);
	for (struct sl_list *it; (it = sl_list_pop_front(&asks));) answer(t, SL_LIST_ENTRY(it, struct ask, link));
	for (size_t i = 0; i < VALUES; i++) {
		sl_free(t->now[i]);
		t->now[i] = NULL;
	}
	t->looking = false;
}

static void look_back(struct sl_post *post, struct sl_loop *l) {
	(void)l;
	struct look_letter *k = sl_container_of(post, struct look_letter, letter.post);
	struct sys_topics *t = k->t;
	for (int i = 0; i < METRIC_COUNT; i++) t->sum.v[i] += k->v[i];
	sl_free(k);
	if (--t->waiting == 0) look_end(t);
}

static void look_run(struct sl_post *post, struct sl_loop *l) {
	(void)l;
	struct look_letter *k = sl_container_of(post, struct look_letter, letter.post);
	memcpy(k->v, k->letter.to->metrics.v, sizeof k->v);
	k->letter.post.run = look_back;
	worker_post(&k->letter.to->b->workers[0], &k->letter);
}

static void look(struct sys_topics *t) {
	struct broker *b = t->w->b;
	if (t->looking) return; /* its end sees to whoever asks meanwhile */
	t->looking = true;
	t->waiting = b->workers_len;
	memset(&t->sum, 0, sizeof t->sum);
	for (uint32_t i = 0; i < b->workers_len; i++) {
		struct look_letter *k = SL_NEW(struct look_letter);
		k->letter.post.run = look_run;
		k->t = t;
		worker_post(&b->workers[i], &k->letter);
	}
}

static void tick(struct sl_timer *timer) {
	struct sys_topics *t = sl_container_of(timer, struct sys_topics, timer);
	bool any = false;
	for (size_t i = 0; i < VALUES && !any; i++) any = wanted(t, i);
	if (any) {
		t->publish = true;
		look(t);
	} else {
		memset(t->followed, 0, sizeof t->followed);
	}
	sl_timer_set(t->w->loop, timer, t->w->b->set.sys_interval_ms);
}

/* ---- asking ---- */

static void ask_run(struct sl_post *post, struct sl_loop *l) {
	(void)l;
	struct ask *a = sl_container_of(post, struct ask, letter.post);
	struct sys_topics *t = a->letter.to->sys;
	sl_list_push_back(&t->asks, &a->link);
	look(t);
}

void sys_topics_ask(struct session *s, struct sl_slice filter, uint32_t sub_id) {
	struct worker *first = &s->w->b->workers[0];
	if (!s->c || s->w->b->set.sys_interval_ms == 0) return;
	struct ask *a = sl_alloc(sizeof *a + filter.n);
	*a = (struct ask){.letter.post.run = ask_run,
			  .ref = s->ref,
			  .serial = s->c->serial,
			  .sub_id = sub_id,
			  .filter_len = filter.n};
	sl_list_init(&a->link);
	memcpy(a->filter, filter.p, filter.n);
	worker_post(first, &a->letter);
}

/* ---- begin and end ---- */

struct sys_topics *sys_topics_new(struct worker *w) {
	static const char *const ends[LOADS] = {"1min", "5min", "15min"};
	struct sys_topics *t = aligned_alloc(64, sizeof *t);
	sl_assert(t != NULL);
	memset(t, 0, sizeof *t);
	t->w = w;
	t->started_ms = t->loaded_ms = sl_loop_now_ms(w->loop);
	sl_list_init(&t->asks);
	for (size_t i = 0; i < ROWS; i++) t->topics[i] = sl_asprintf("$SYS/broker/%s", rows[i].topic);
	for (size_t i = 0; i < LOAD_ROWS * LOADS; i++)
		t->topics[ROWS + i] =
		    sl_asprintf("$SYS/broker/load/%s/%s", load_rows[i / LOADS].topic, ends[i % LOADS]);
	sl_timer_init(&t->timer, tick);
	if (w->b->set.sys_interval_ms) sl_timer_set(w->loop, &t->timer, w->b->set.sys_interval_ms);
	return t;
}

void sys_topics_free(struct sys_topics *t) {
	if (!t) return;
	for (struct sl_list *it; (it = sl_list_pop_front(&t->asks));) ask_free(SL_LIST_ENTRY(it, struct ask, link));
	for (size_t i = 0; i < VALUES; i++) {
		sl_free(t->topics[i]);
		sl_free(t->last[i]);
	}
	free(t);
}
