/* persist_restore.c: sessions, subscriptions, wills and retained messages are there again, before any thread runs. */
#include <string.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "persist_int.h"
#include "persist_record.h"
#include "shared_sub.h"
#include "subs.h"
#include "topic.h"
#include "will.h"

struct restore {
	struct broker *b;
	struct persist *p;
	int64_t now_ms;             /* wall clock */
	int64_t stopped_ms;         /* when the broker ended in order; 0: it did not */
	uint64_t last_id;           /* that a run before may have given */
	struct announce *announces; /* of each worker */
};

/* ---- numbers ---- */

static int meta_one(void *arg, struct sl_slice key, struct sl_slice value) {
	struct restore *r = arg;
	if (value.n != sizeof(uint64_t)) return SL_OK;
	if (slice_equal_str(key, "stopped")) memcpy(&r->stopped_ms, value.p, sizeof r->stopped_ms);
	if (slice_equal_str(key, "boot")) memcpy(&r->last_id, value.p, sizeof r->last_id);
	return SL_OK;
}

/* The numbers of this run begin behind all that were given: with the second of the start, or one more than the last time. */
static void begin_numbers(struct restore *r) {
	uint64_t boot = (uint64_t)(r->now_ms / 1000) << 32, least = ((r->last_id >> 32) + 1) << 32;
	if (boot < least) boot = least;
	int64_t running = 0;
	struct sl_slice first = slice_make(&boot, sizeof boot), never = slice_make(&running, sizeof running);
	atomic_store(&r->p->last_id, boot);
	store_put(r->p->store, STORE_META, SL_SLICE_LIT("boot"), &first, 1);
	store_put(r->p->store, STORE_META, SL_SLICE_LIT("stopped"), &never, 1);
}

static bool key_id(struct sl_slice key, uint64_t *id) {
	if (key.n < 8) return false;
	*id = 0;
	for (size_t i = 0; i < 8; i++) *id = *id << 8 | (uint8_t)key.p[i];
	return *id != 0;
}

/* ---- sessions ---- */

static void forget(struct restore *r, struct sl_slice id) {
	store_delete(r->p->store, STORE_SESSION, id);
	store_delete_all(r->p->store, STORE_SUB, id);
	store_delete(r->p->store, STORE_WILL, id);
}

static void put_session(struct restore *r, uint64_t id, const struct session_record *rec, uint64_t away_ms) {
	struct worker *w = worker_home(r->b, rec->client_id);
	struct session *s = session_new(w, rec->client_id);
	bool was_there;
	s->store_id = id;
	s->expiry_s = rec->expiry_s;
	s->offline_since_ms =
	    sl_loop_now_ms(w->loop) - away_ms; /* may be before the machine's start: only differences count */
	struct persist_note *n = persist_note_new(s);
	n->created_ms = rec->created_ms;
	n->offline_ms = rec->offline_ms;
	if (rec->has_username) n->username = slice_dup(rec->username);
	id_map_put(&r->p->restored, persist_id_hash(id), id, &was_there)->s = s;
	r->p->sessions_restored++;
}

static uint64_t away_since(const struct restore *r, const struct session_record *rec) {
	int64_t since = rec->offline_ms ? rec->offline_ms : r->stopped_ms;
	return since > 0 && since < r->now_ms ? (uint64_t)(r->now_ms - since) : 0;
}

/* One whose time is over stays until its worker runs, if it may have a will to publish. */
static int session_one(void *arg, struct sl_slice key, struct sl_slice value) {
	struct restore *r = arg;
	struct session_record rec;
	uint64_t id;
	if (!key_id(key, &id) || key.n != 8 || session_record_read(value, &rec) != SL_OK) {
		r->p->damaged++;
		return SL_OK;
	}
	struct session *twin = session_find(worker_home(r->b, rec.client_id), rec.client_id);
	if (twin) { /* what a damaged store may hold: the later one is the one that counts */
		r->p->damaged++;
		forget(r, key);
		return SL_OK;
	}
	put_session(r, id, &rec, away_since(r, &rec));
	return SL_OK;
}

static int will_one(void *arg, struct sl_slice key, struct sl_slice value) {
	struct restore *r = arg;
	uint64_t id;
	struct session *s = key_id(key, &id) ? persist_session(r->b, id) : NULL;
	struct will *will;
	if (!s || key.n != 8 || will_record_read(value, &will) != SL_OK) {
		r->p->damaged++;
		store_delete(r->p->store, STORE_WILL, key);
		return SL_OK;
	}
	s->will = will;
	s->note->will_hash = will_hash(will);
	r->p->wills_restored++;
	return SL_OK;
}

static bool is_over(const struct session *s) {
	uint64_t away_ms = sl_loop_now_ms(s->w->loop) - s->offline_since_ms;
	return s->expiry_s != SESSION_EXPIRY_NEVER && away_ms >= (uint64_t)s->expiry_s * 1000;
}

/* ---- subscriptions ---- */

static void joined(void *arg) { (void)arg; }

static void put_sub(struct restore *r, struct session *s, const struct sub_record *rec) {
	struct sl_slice group, filter;
	bool is_new;
	struct mqtt_sub_entry opts = {.filter = rec->filter,
				      .qos = rec->qos,
				      .no_local = rec->no_local,
				      .retain_as_published = rec->retain_as_published,
				      .retain_handling = rec->retain_handling};
	if (topic_share_split(rec->filter, &group, &filter))
		share_sub_join(s, group, filter, &opts, rec->sub_id, joined, NULL);
	else
		subs_add(s, filter, &opts, rec->sub_id, &r->announces[s->w->index], &is_new);
	r->p->subs_restored++;
}

static int sub_one(void *arg, struct sl_slice key, struct sl_slice value) {
	struct restore *r = arg;
	struct sub_record rec;
	uint64_t id;
	struct session *s = key_id(key, &id) ? persist_session(r->b, id) : NULL;
	if (!s || sub_record_read(value, &rec) != SL_OK) {
		r->p->damaged++;
		store_delete(r->p->store, STORE_SUB, key);
		return SL_OK;
	}
	put_sub(r, s, &rec);
	return SL_OK;
}

static void announced(struct announce *a) { (void)a; }

static int restore_subs(struct restore *r) {
	uint32_t n = r->b->workers_len;
	r->announces = SL_NEW_ARRAY(struct announce, n);
	for (uint32_t i = 0; i < n; i++) announce_init(&r->announces[i], &r->b->workers[i], announced);
	int rc = store_scan(r->p->store, STORE_SUB, sub_one, r);
	for (uint32_t i = 0; i < n; i++) announce_send(&r->announces[i]);
	sl_free(r->announces);
	return rc;
}

/* ---- all ---- */

/* Timers go off when the workers run: what is over by then ends there, and wills are published to whoever is there. */
static void set_timers(struct restore *r) {
	HMAP_FOREACH(id_map, it, &r->p->restored) {
		struct session *s = it->s;
		if (is_over(s)) r->p->expired++;
		if (s->will || s->expiry_s != SESSION_EXPIRY_NEVER) sl_timer_set(s->w->loop, &s->timer, 1);
	}
}

static int restore_all(struct restore *r) {
	int rc = store_scan(r->p->store, STORE_META, meta_one, r);
	if (rc == SL_OK) rc = store_scan(r->p->store, STORE_SESSION, session_one, r);
	if (rc == SL_OK) rc = store_scan(r->p->store, STORE_WILL, will_one, r);
	if (rc == SL_OK) rc = restore_subs(r);
	if (rc == SL_OK) rc = persist_retained_restore(r->b);
	if (rc == SL_OK) rc = persist_delayed_restore(r->b);
	if (rc != SL_OK) return rc;
	begin_numbers(r);
	set_timers(r);
	return SL_OK;
}

int persist_restore(struct broker *b, struct sl_err *err) {
	struct persist *p = b->persist;
	struct restore r = {.b = b, .p = p, .now_ms = sl_clock_wall_ms()};
	struct store_stat stat;
	if (!p) return SL_OK;
	uint64_t begun = sl_clock_mono_us();
	b->restoring = true;
	int rc = restore_all(&r);
	b->restoring = false;
	store_stat(p->store, &stat);
	if (rc != SL_OK)
		return sl_err_set(err, rc, "persistence: cannot read %s: %s", b->set.persistence.dir,
				  sl_status_text(rc));
	if (p->damaged + stat.damaged > 0)
		log_always(LOG_WARN, LOG_STORE, "records of the store were damaged and are left out",
			   "records=%llu; clients subscribe anew, publishers set retained messages again",
			   (unsigned long long)(p->damaged + stat.damaged));
	log_always(LOG_INFO, LOG_STORE, "restored",
		   "sessions=%llu expired=%llu subscriptions=%llu wills=%llu retained=%llu bytes=%llu ms=%llu",
		   (unsigned long long)p->sessions_restored, (unsigned long long)p->expired,
		   (unsigned long long)p->subs_restored, (unsigned long long)p->wills_restored,
		   (unsigned long long)p->retained_restored, (unsigned long long)stat.bytes,
		   (unsigned long long)((sl_clock_mono_us() - begun) / 1000));
	return SL_OK;
}
