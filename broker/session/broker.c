#include "broker.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "client_access.h"
#include "guard.h"
#include "clock.h"
#include "listener.h"
#include "log.h"
#include "mem.h"
#include "proxy_wait.h"
#include "persist.h"
#include "retained.h"
#include "rng.h"
#include "route.h"
#include "topic.h"
#include "utf8.h"
#include "worker.h"
#include "worker_log.h"

void broker_settings_default(struct broker_settings *s) {
	*s = (struct broker_settings){
	    .max_packet_size = 1024 * 1024,
	    .max_inflight = 32,
	    .receive_maximum = 1024,
	    .max_queued = 1000,
	    .max_queued_bytes = 16 * 1024 * 1024,
	    .session_expiry_max_s = 7 * 24 * 3600,
	    .keepalive_max_s = 0,
	    .connect_timeout_ms = 10000,
	    .connect_packet_max = 128 * 1024,
	    .stall_timeout_ms = 10000,
	    .topic_alias_max = 64,
	    .topic_levels_max = TOPIC_LEVELS_MAX,
	    .client_id_max = 1024,
	    .max_subscriptions = UINT32_MAX,
	    .max_qos = 2,
	    .retain = true,
	    .max_retained = UINT64_MAX,
	    .version = "",
	    .max_delayed = 100000,
	    .max_delayed_bytes = 64 * 1024 * 1024,
	    .share = BROKER_SHARE_ROUND_ROBIN,
	};
}

/* ---- new and free ---- */

static uint32_t worker_count(const struct broker_settings *set) {
	if (set->workers) return set->workers < BROKER_WORKERS_MAX ? set->workers : BROKER_WORKERS_MAX;
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	return cores < 1 ? 1 : cores > BROKER_WORKERS_MAX ? BROKER_WORKERS_MAX : (uint32_t)cores;
}

static int make_workers(struct broker *b, struct sl_err *err) {
	for (uint32_t i = 0; i < b->workers_len; i++) {
		char *name = sl_asprintf("worker-%u", i);
		int rc = sl_loop_new(name, (int)i, &b->loops[i], err);
		sl_free(name);
		if (rc != SL_OK) return rc;
		worker_init(&b->workers[i], b, i, b->loops[i]);
	}
	return SL_OK;
}

static void copy_share_groups(struct broker *b, const struct broker_settings *set) {
	struct broker_share_group *v = SL_NEW_ARRAY(struct broker_share_group, set->share_groups_len);
	for (size_t i = 0; i < set->share_groups_len; i++) {
		v[i] = set->share_groups[i];
		v[i].pattern = sl_strdup(v[i].pattern);
	}
	b->set.share_groups = v;
}

static void free_share_groups(struct broker *b) {
	for (size_t i = 0; i < b->set.share_groups_len; i++) sl_free((char *)b->set.share_groups[i].pattern);
	sl_free((void *)b->set.share_groups);
}

static void copy_auto_subscribe(struct broker *b, const struct broker_settings *set) {
	struct broker_auto_subscribe *v = SL_NEW_ARRAY(struct broker_auto_subscribe, set->auto_subscribe_len);
	for (size_t i = 0; i < set->auto_subscribe_len; i++) {
		v[i] = set->auto_subscribe[i];
		v[i].topic = sl_strdup(v[i].topic);
	}
	b->set.auto_subscribe = v;
}

static void free_auto_subscribe(struct broker *b) {
	for (size_t i = 0; i < b->set.auto_subscribe_len; i++) sl_free((char *)b->set.auto_subscribe[i].topic);
	sl_free((void *)b->set.auto_subscribe);
}

enum broker_share broker_share_of(const struct broker *b, struct sl_slice group) {
	for (size_t i = 0; i < b->set.share_groups_len; i++) {
		struct sl_slice pattern = slice_from_str(b->set.share_groups[i].pattern);
		bool all = pattern.n > 0 && pattern.p[pattern.n - 1] == '*';
		if (all ? slice_starts_with(group, slice_make(pattern.p, pattern.n - 1)) : slice_equal(group, pattern))
			return b->set.share_groups[i].how;
	}
	return b->set.share;
}

int broker_new(const struct broker_settings *settings, struct broker **out, struct sl_err *err) {
	struct broker *b = SL_NEW(struct broker);
	b->set = *settings;
	if (b->set.topic_levels_max > TOPIC_LEVELS_MAX) b->set.topic_levels_max = TOPIC_LEVELS_MAX;
	b->workers_len = worker_count(settings);
	/* Workers' counters do not share cache lines: the array is aligned like they are. */
	b->workers = aligned_alloc(64, b->workers_len * sizeof *b->workers);
	sl_assert(b->workers != NULL);
	memset(b->workers, 0, b->workers_len * sizeof *b->workers);
	b->loops = SL_NEW_ARRAY(struct sl_loop *, b->workers_len);
	pthread_mutex_init(&b->binds_lock, NULL);
	b->binds_len = settings->binds_len;
	b->binds = SL_NEW_ARRAY(struct bind_state *, b->binds_len);
	for (size_t i = 0; i < b->binds_len; i++) {
		b->binds[i] = bind_new(b, &settings->binds[i]);
		b->binds[i]->place = bind_place_new(b, &settings->binds[i]);
		b->binds[i]->door->in_force = true;
	}
	b->set.binds = NULL;
	copy_share_groups(b, settings);
	copy_auto_subscribe(b, settings);
	b->set.rewrite = NULL;
	if (settings->response_info) b->set.response_info = sl_strdup(settings->response_info);
	if (b->set.persistence.dir) b->set.persistence.dir = sl_strdup(b->set.persistence.dir);
	b->guard = guard_new();
	b->retained = retained_new(settings->max_retained);
	sl_random_bytes(&b->home_seed, sizeof b->home_seed);
	pthread_mutex_init(&b->drain.lock, NULL);
	pthread_cond_init(&b->drain.done, NULL);
	int rc = rewrite_new(settings->rewrite, settings->rewrite_len, &b->rewrite, err);
	if (rc == SL_OK) rc = make_workers(b, err);
	if (rc != SL_OK) {
		broker_free(b);
		return rc;
	}
	*out = b;
	return SL_OK;
}

/* With all threads gone: ends the connections that are left, and lets the letters run out. */
static void end_connections(struct broker *b) {
	for (uint32_t i = 0; i < b->workers_len; i++) proxy_wait_stop(&b->workers[i].proxied);
	for (uint32_t i = 0; i < b->workers_len; i++) SL_LIST_FOREACH_SAFE(it, &b->workers[i].clients) {
			struct client *c = SL_LIST_ENTRY(it, struct client, link);
			c->will_due = false;
			client_close(c, SL_ECLOSED);
		}
	bool more = true;
	while (more) {
		more = false;
		for (uint32_t i = 0; i < b->workers_len; i++)
			if (sl_loop_run_rest(b->loops[i])) more = true;
	}
}

void broker_free(struct broker *b) {
	if (!b) return;
	broker_stop(b);
	for (size_t i = 0; i < b->binds_len; i++) bind_place_free(b, b->binds[i]->place);
	bool whole = b->loops[b->workers_len - 1] != NULL;
	if (whole) end_connections(b);
	if (whole) persist_settle(b);
	if (whole) worker_log_close(b);
	for (uint32_t i = 0; i < b->workers_len; i++) {
		if (!b->loops[i]) continue;
		worker_fini(&b->workers[i]);
		auth_unref(b->workers[i].auth);
		sl_loop_free(b->loops[i]);
	}
	for (size_t i = 0; i < b->binds_len; i++) bind_unref(b->binds[i]);
	sl_free(b->binds);
	b->binds_len = 0;
	for (size_t i = 0; i < b->doors_len; i++) bind_door_free(b->doors[i]);
	sl_free(b->doors);
	pthread_mutex_destroy(&b->binds_lock);
	sl_free((char *)(uintptr_t)b->set.response_info);
	persist_close(b);
	sl_free((char *)b->set.persistence.dir);
	retained_free(b->retained);
	guard_free(b->guard);
	free_share_groups(b);
	free_auto_subscribe(b);
	rewrite_free(b->rewrite);
	sl_free(b->loops);
	sl_free(b->workers);
	pthread_mutex_destroy(&b->drain.lock);
	pthread_cond_destroy(&b->drain.done);
	sl_free(b);
}

uint32_t broker_workers(const struct broker *b) { return b->workers_len; }
struct sl_loop *const *broker_loops(const struct broker *b) {
	return b->loops;
}
struct sl_loop *broker_loop(const struct broker *b, uint32_t worker) {
	return b->loops[worker];
}
struct sl_metrics *broker_metrics(struct broker *b, uint32_t worker) {
	return &b->workers[worker].metrics;
}
void broker_metrics_add(const struct broker *b, struct sl_metrics *total) { persist_metrics(b, total); }
#define STUCK_MS 1000 /* so long does nobody wait for an acknowledgement when all is well */

uint64_t broker_publishers_stuck(const struct broker *b, uint32_t worker) {
	uint64_t n = 0, now_ms = sl_clock_mono_ms(); /* a loop's own time stands still while it sleeps */
	SL_LIST_FOREACH(it, &b->workers[worker].unacked) {
		struct client *c = SL_LIST_ENTRY(it, struct client, unacked_link);
		if (now_ms < c->unacked_ms + STUCK_MS) break;
		n += !sl_list_linked(&c->room_link) && !client_stream(c)->hup;
	}
	return n + worker_log_paused(&b->workers[worker]);
}
void broker_set_rules(struct broker *b, uint32_t worker, struct rules_worker *rw) { b->workers[worker].rules = rw; }

/* ---- auth ---- */

struct auth_letter {
	struct worker_letter letter;
	struct auth *auth;
};

static void auth_letter_run(struct sl_post *post, struct sl_loop *l) {
	(void)l;
	struct auth_letter *a = sl_container_of(post, struct auth_letter, letter.post);
	auth_unref(a->letter.to->auth);
	a->letter.to->auth = a->auth;
	sl_free(a);
}

void broker_set_auth(struct broker *b, struct auth *auth) {
	for (uint32_t i = 0; i < b->workers_len; i++) {
		struct auth_letter *a = SL_NEW(struct auth_letter);
		a->letter.post.run = auth_letter_run;
		a->auth = auth ? auth_ref(auth) : NULL;
		worker_post(&b->workers[i], &a->letter);
	}
}

struct acl_letter {
	struct worker_letter letter;
	struct acl *acl;
};

static void acl_letter_run(struct sl_post *post, struct sl_loop *l) {
	(void)l;
	struct acl_letter *a = sl_container_of(post, struct acl_letter, letter.post);
	client_access_set(a->letter.to, a->acl);
	sl_free(a);
}

void broker_set_guard(struct broker *b, struct guard_rules *rules) { guard_set(b->guard, rules); }

void broker_set_acl(struct broker *b, struct acl *acl) {
	for (uint32_t i = 0; i < b->workers_len; i++) {
		struct acl_letter *a = SL_NEW(struct acl_letter);
		a->letter.post.run = acl_letter_run;
		a->acl = acl ? acl_ref(acl) : NULL;
		worker_post(&b->workers[i], &a->letter);
	}
}

/* ---- start ---- */

int broker_restore(struct broker *b, struct sl_err *err) {
	int rc = persist_open(b, err);
	if (rc == SL_OK) rc = persist_restore(b, err);
	if (rc == SL_OK) rc = worker_log_restore(b, err);
	if (rc == SL_OK) rc = persist_start(b, err);
	return rc;
}

int broker_start(struct broker *b, struct sl_err *err) {
	int rc = bind_listen_all(b, err);
	if (rc != SL_OK) return rc;
	for (uint32_t i = 0; i < b->workers_len; i++) {
		rc = sl_loop_start(b->loops[i], err);
		if (rc != SL_OK) return rc;
		b->started = true;
	}
	return SL_OK;
}

/* ---- drain and stop ---- */

void worker_client_gone(struct worker *w) {
	if (!w->draining || !sl_list_empty(&w->clients)) return;
	w->draining = false; /* tell once */
	pthread_mutex_lock(&w->b->drain.lock);
	if (--w->b->drain.left == 0) pthread_cond_signal(&w->b->drain.done);
	pthread_mutex_unlock(&w->b->drain.lock);
}

static void drain_letter_run(struct sl_post *post, struct sl_loop *l) {
	(void)l;
	struct worker_letter *d = sl_container_of(post, struct worker_letter, post);
	struct worker *w = d->to;
	sl_free(d);
	for (size_t k = 0; k < w->b->binds_len; k++) listener_stop(w->b->binds[k]->place->listeners[w->index]);
	proxy_wait_stop(&w->proxied);
	w->draining = true;
	SL_LIST_FOREACH_SAFE(it, &w->clients) {
		struct client *c = SL_LIST_ENTRY(it, struct client, link);
		c->will_due = false; /* the broker goes, not the client */
		client_disconnect(c, MQTT_RC_SERVER_SHUTTING_DOWN);
	}
	worker_client_gone(w);
}

void broker_drain(struct broker *b, uint32_t timeout_ms) {
	if (!b->started || b->stopped) return;
	pthread_mutex_lock(&b->drain.lock);
	b->drain.left = b->workers_len;
	for (uint32_t i = 0; i < b->workers_len; i++) {
		struct worker_letter *d = SL_NEW(struct worker_letter);
		d->post.run = drain_letter_run;
		worker_post(&b->workers[i], d);
	}
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	int rc = 0;
	while (b->drain.left > 0 && !b->drain.hurried && rc == 0)
		rc = pthread_cond_timedwait(&b->drain.done, &b->drain.lock, &until);
	pthread_mutex_unlock(&b->drain.lock);
}

void broker_drain_hurry(struct broker *b) {
	pthread_mutex_lock(&b->drain.lock);
	b->drain.hurried = true;
	pthread_cond_signal(&b->drain.done);
	pthread_mutex_unlock(&b->drain.lock);
}

void broker_stop(struct broker *b) {
	if (!b->started || b->stopped) return;
	for (uint32_t i = 0; i < b->workers_len; i++) sl_loop_stop(b->loops[i]);
	for (uint32_t i = 0; i < b->workers_len; i++) sl_loop_join(b->loops[i]);
	/* Whoever made them frees them from now on. */
	for (uint32_t i = 0; i < b->workers_len; i++) b->workers[i].rules = NULL;
	b->stopped = true;
}

/* ---- publishing as the broker ---- */

int broker_publish(struct broker *b, uint32_t worker, const struct rules_publish *p) {
	struct worker *w = &b->workers[worker];
	struct sl_slice topic = p->topic;
	uint32_t delay_s = 0;
	enum delayed_form delayed = delayed_split(topic, &delay_s, &topic);
	if (delayed == DELAYED_BAD || !topic_name_valid(topic) || !utf8_valid_mqtt(topic) ||
	    topic_levels(topic) > b->set.topic_levels_max)
		return SL_EINVAL;
	/* Not even a rule: its topic may come out of a message. */
	if (client_topic_reserved(topic)) return SL_EDENIED;
	if (p->payload.n > MQTT_REMAINING_MAX / 2) return SL_ELIMIT;
	struct mqtt_props props;
	struct mqtt_prop_item it;
	mqtt_props_init(&props);
	props.raw = p->properties;
	for (struct sl_slice rest = props.raw; mqtt_props_next(&rest, &it);) {
		props.present |= 1u << it.prop;
		if (it.prop == MQTT_PROP_MESSAGE_EXPIRY) props.v[it.prop].num = it.num;
	}
	struct msg *m = msg_new(&(struct msg_spec){
	    .topic = topic,
	    .payload = p->payload,
	    .client_id = p->rule_id, /* rules read it as the `clientid` column */
	    .props = &props,
	    .arrived_ms = delayed_arrives_ms(sl_loop_wall_ms(w->loop), delay_s),
	    .number = worker_message_number(w),
	    .qos = p->qos > b->set.max_qos ? b->set.max_qos : p->qos,
	    .retain = p->retain && b->set.retain,
	    .hops = p->hops,
	});
	metric_inc(w, METRIC_PUBLISH_REPUBLISHED);
	int rc = SL_OK;
	struct sl_ticket *ticket = p->ticket ? p->ticket : w->ticket;
	uint64_t before = worker_log_begin(w);
	if (delayed == DELAYED_GOOD)
		rc = delayed_add(w->delayed, m, delay_s, w->ticket);
	else
		route_publish(w, m, NULL, NULL, ticket);
	worker_log_end(w, before, NULL, ticket);
	msg_unref(m);
	return rc;
}

static int publish_for_rules(void *broker, int worker, const struct rules_publish *m) {
	return broker_publish(broker, (uint32_t)worker, m);
}

static void room_for_rules(void *broker, int worker, bool all) {
	worker_room(&((struct broker *)broker)->workers[worker], all);
}

struct rules_host broker_rules_host(struct broker *b) {
	return (struct rules_host){.broker = b, .publish = publish_for_rules, .room = room_for_rules};
}
