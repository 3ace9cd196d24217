/* persist_session.c: what changes on disk when a session does. */
#include "client.h"
#include "mem.h"
#include "persist_int.h"
#include "persist_record.h"
#include "will.h"

enum { AWAY_CHECK_MS = 500 };

struct session *persist_session(const struct broker *b, uint64_t store_id) {
	if (!b->persist) return NULL;
	struct id_slot *slot = id_map_find(&b->persist->restored, persist_id_hash(store_id), store_id);
	return slot ? slot->s : NULL;
}

void persist_on_ended(struct broker *b, persist_ended_cb ended) {
	if (b->persist) b->persist->ended = ended;
}

static struct store *store_of(const struct session *s) { return s->w->b->persist->store; }

static uint64_t put_record(struct session *s, enum store_space space, struct sl_slice key, struct sl_buf *record) {
	struct sl_slice value = sl_buf_slice(record);
	uint64_t batch = store_put(store_of(s), space, key, &value, 1);
	sl_buf_fini(record);
	persist_touched(s->w, batch);
	return batch;
}

/* ---- the session itself ---- */

struct persist_note *persist_note_new(struct session *s) {
	struct persist_note *n = s->note = SL_NEW(struct persist_note);
	n->s = s;
	n->expiry_s = s->expiry_s;
	sl_list_init(&n->away);
	return n;
}

void persist_discard(struct session *s) {
	if (!s->note) return;
	sl_list_remove(&s->note->away);
	sl_free(s->note->username);
	sl_free(s->note);
	s->note = NULL;
}

static uint64_t write_session(struct session *s, int64_t offline_ms) {
	struct persist_note *n = s->note;
	struct store_key key;
	struct sl_buf record = SL_BUF_INIT;
	n->expiry_s = s->expiry_s;
	n->offline_ms = offline_ms;
	session_record_put(&record, &(struct session_record){.client_id = s->client_id,
							     .username = slice_from_str(n->username),
							     .has_username = n->username != NULL,
							     .expiry_s = s->expiry_s,
							     .created_ms = n->created_ms,
							     .offline_ms = offline_ms});
	return put_record(s, STORE_SESSION, store_key_u64(&key, s->store_id), &record);
}

static bool same_text(const char *a, const char *b) { return a && b ? strcmp(a, b) == 0 : a == b; }

/* True: another one than is written. */
static bool user_changed(struct session *s) {
	struct persist_note *n = s->note;
	if (same_text(n->username, s->c->username)) return false;
	sl_free(n->username);
	n->username = s->c->username ? sl_strdup(s->c->username) : NULL;
	return true;
}

/* 0: the will that is written is the one that the session has. */
static uint64_t write_will(struct session *s) {
	struct store_key key;
	struct sl_buf record = SL_BUF_INIT;
	uint64_t hash = s->will ? will_hash(s->will) : 0;
	if (hash == s->note->will_hash) return 0;
	if (!s->will) {
		persist_will_gone(s);
		return 0; /* nobody is told of that */
	}
	s->note->will_hash = hash;
	will_record_put(&record, s->will);
	return put_record(s, STORE_WILL, store_key_u64(&key, s->store_id), &record);
}

uint64_t persist_connected(struct session *s) {
	struct persist *p = s->w->b->persist;
	if (!p) return 0;
	if (s->expiry_s == 0) {
		persist_session_end(s);
		return 0;
	}
	bool is_new = s->store_id == 0;
	if (is_new) {
		s->store_id = atomic_fetch_add_explicit(&p->last_id, 1, memory_order_relaxed) + 1;
		persist_note_new(s)->created_ms = sl_loop_wall_ms(s->w->loop);
		atomic_store_explicit(&s->w->lasting, true, memory_order_relaxed);
	}
	sl_list_remove(&s->note->away);
	bool changed = user_changed(s) || is_new || s->note->offline_ms != 0 || s->note->expiry_s != s->expiry_s;
	uint64_t session = changed ? write_session(s, 0) : 0, will = write_will(s);
	return will ? will : session;
}

/* That its client went is written when it has stayed away for a while: most come back at once. */
void persist_away_timer(struct sl_timer *t) {
	struct persist_worker *pw = sl_container_of(t, struct persist_worker, timer);
	uint64_t now_ms = sl_loop_now_ms(pw->w->loop);
	int64_t wall_ms = sl_loop_wall_ms(pw->w->loop);
	SL_LIST_FOREACH_SAFE(it, &pw->away) {
		struct session *s = SL_LIST_ENTRY(it, struct persist_note, away)->s;
		uint64_t gone_ms = now_ms - s->offline_since_ms;
		if (gone_ms < PERSIST_AWAY_MS) break;
		sl_list_remove(it);
		write_session(s, wall_ms - (int64_t)gone_ms);
	}
	if (!sl_list_empty(&pw->away)) sl_timer_set(pw->w->loop, t, AWAY_CHECK_MS);
}

void persist_offline(struct session *s) {
	if (!s->note) return;
	if (s->note->expiry_s != s->expiry_s) {
		write_session(s, sl_loop_wall_ms(s->w->loop));
		return;
	}
	struct persist_worker *pw = &s->w->b->persist->workers[s->w->index];
	sl_list_remove(&s->note->away);
	sl_list_push_back(&pw->away, &s->note->away);
	if (!sl_timer_armed(&pw->timer)) sl_timer_set(s->w->loop, &pw->timer, AWAY_CHECK_MS);
}

void persist_session_end(struct session *s) {
	if (s->store_id == 0) return;
	struct store_key key;
	struct sl_slice id = store_key_u64(&key, s->store_id);
	if (s->w->b->persist->ended) s->w->b->persist->ended(s);
	uint64_t batch = store_delete(store_of(s), STORE_SESSION, id);
	if (s->subs_len + s->shares.len > 0) store_delete_all(store_of(s), STORE_SUB, id);
	if (s->note->will_hash) store_delete(store_of(s), STORE_WILL, id);
	persist_touched(s->w, batch);
	persist_discard(s);
	s->store_id = 0;
}

/* ---- its will ---- */

uint64_t will_hash(const struct will *will) {
	uint64_t head = (uint64_t)will->delay_s << 32 ^ (uint64_t)will->topic_len << 16 ^ will->payload_len ^
			(uint64_t)will->props_len << 8 ^ (uint64_t)will->qos << 2 ^ (uint64_t)will->retain;
	return (sl_hash(slice_make(will->bytes, will_bytes(will))) ^ head * 0x9e3779b97f4a7c15u) | 1;
}

void persist_will_gone(struct session *s) {
	if (!s->note || s->note->will_hash == 0) return;
	struct store_key key;
	s->note->will_hash = 0;
	persist_touched(s->w, store_delete(store_of(s), STORE_WILL, store_key_u64(&key, s->store_id)));
}

/* ---- its subscriptions ---- */

static struct sl_slice sub_key(const struct session *s, struct sl_slice filter, struct store_key *key) {
	struct store_key id;
	store_key_of(key, store_key_u64(&id, s->store_id), filter);
	return store_key_slice(key);
}

uint64_t persist_subscribed(struct session *s, const struct sub_record *sub) {
	if (s->store_id == 0) return 0;
	struct store_key key;
	struct sl_buf record = SL_BUF_INIT;
	sub_record_put(&record, sub);
	return put_record(s, STORE_SUB, sub_key(s, sub->filter, &key), &record);
}

uint64_t persist_unsubscribed(struct session *s, struct sl_slice filter) {
	if (s->store_id == 0) return 0;
	struct store_key key;
	uint64_t batch = store_delete(store_of(s), STORE_SUB, sub_key(s, filter, &key));
	persist_touched(s->w, batch);
	return batch;
}
