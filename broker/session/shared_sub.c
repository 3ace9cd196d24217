#include "shared_sub.h"

#include "mem.h"
#include "rng.h"
#include "subs.h"
#include "topic.h"

/* Each try that fails has taken a member off the list: this many only when members come and go faster than messages travel. */
enum { TRIES_MAX = 250 };

struct share_slot {
	uint64_t hash;
	struct share_group *g;
	bool used;
};
#define HMAP_NAME share_map
#define HMAP_SLOT struct share_slot
#define HMAP_KEY struct sl_slice
#define HMAP_EQUAL(slot, key) slice_equal((slot)->g->text, key)
#include "hmap.h"

/* By number, which is its own hash: the broker gives them out. */
#define HMAP_NAME share_numbers
#define HMAP_SLOT struct share_slot
#define HMAP_KEY uint64_t
#define HMAP_EQUAL(slot, key) ((slot)->g->number == (key))
#include "hmap.h"

struct shares {
	struct share_map by_text;
	struct share_numbers by_number;
};

struct shares *shares_new(void) {
	return SL_NEW(struct shares);
}

static struct worker *owner_of(const struct worker *w, struct sl_slice text) { return worker_home(w->b, text); }

static struct share_group *group_find(const struct worker *w, struct sl_slice text) {
	struct share_slot *slot = share_map_find(&w->shares->by_text, sl_hash(text), text);
	return slot ? slot->g : NULL;
}

const struct share_group *share_group_find(const struct worker *owner, struct sl_slice text) {
	return group_find(owner, text);
}

static struct share_group *group_numbered(const struct worker *w, uint64_t number) {
	struct share_slot *slot = share_numbers_find(&w->shares->by_number, number, number);
	return slot ? slot->g : NULL;
}

static void group_free(struct share_group *g) {
	share_name_unref(g->name);
	for (size_t i = 0; i < g->members_len; i++) share_load_unref(g->members[i].load);
	sl_free(g->members);
	share_choice_fini(&g->choice);
	sl_free(g);
}

void shares_free(struct shares *s) {
	HMAP_FOREACH(share_map, it, &s->by_text) group_free(it->g);
	share_map_fini(&s->by_text);
	share_numbers_fini(&s->by_number);
	sl_free(s);
}

/* ---- what members tell the owner ---- */

enum share_verb { SHARE_JOIN, SHARE_LEAVE, SHARE_ONLINE, SHARE_OFFLINE };

struct share_letter {
	struct worker_letter letter;
	enum share_verb verb;
	struct announce announce;
	struct share_member member;
	uint64_t number; /* of the group, on the way back from SHARE_JOIN */
	bool online;
	void (*done)(void *arg); /* with SHARE_JOIN, on letter.from */
	void *arg;
	size_t group_len, text_len;
	char text[];
};

/* SIZE_MAX: no member. */
static size_t member_find(const struct share_group *g, session_ref ref) {
	for (size_t i = 0; i < g->members_len; i++)
		if (g->members[i].ref == ref) return i;
	return SIZE_MAX;
}

static void swap(struct share_group *g, size_t i, size_t k) {
	struct share_member m = g->members[i];
	g->members[i] = g->members[k];
	g->members[k] = m;
}

/* Word to a member that is away: what it has of the group is for those who are there. */
static void call_back(struct worker *w, const struct share_group *g, session_ref ref) {
	struct forward f = {.member = ref, .group = g->number};
	if (session_ref_worker(ref) == w->index)
		share_forwarded(w, &f);
	else
		worker_forward(w, session_ref_worker(ref), &f);
}

/* Moves it between the two parts of the list. */
static void set_online(struct worker *w, struct share_group *g, size_t at, bool online) {
	session_ref ref = g->members[at].ref;
	if (online && at >= g->online) {
		swap(g, at, g->online++);
		for (size_t i = 1; g->online == 1 && i < g->members_len; i++) call_back(w, g, g->members[i].ref);
	} else if (!online && at < g->online) {
		swap(g, at, --g->online);
		if (g->online > 0) call_back(w, g, ref);
	}
}

static struct share_note *note_find(const struct session *s, struct sl_slice text) {
	return share_notes_find(&s->shares, sl_hash(text), text);
}

static void join_heard(struct sl_post *post, struct sl_loop *l) {
	(void)l;
	struct share_letter *sl = sl_container_of(post, struct share_letter, letter.post);
	struct session *s = worker_session(sl->letter.from, sl->member.ref);
	struct share_note *note = s ? note_find(s, slice_make(sl->text, sl->text_len)) : NULL;
	if (note) note->number = sl->number;
	sl->done(sl->arg);
	sl_free(sl);
}

/* Every worker knows the filter: back to who asked. */
static void join_announced(struct announce *a) {
	struct share_letter *sl = sl_container_of(a, struct share_letter, announce);
	if (sl->letter.from == a->w || a->w->b->restoring) {
		join_heard(&sl->letter.post, a->w->loop);
		return;
	}
	sl->letter.post.run = join_heard;
	worker_post(sl->letter.from, &sl->letter);
}

static struct share_group *group_new(struct worker *w, const struct share_letter *sl) {
	struct sl_slice text = slice_make(sl->text, sl->text_len);
	struct share_group *g = SL_NEW(struct share_group);
	g->name = share_name_new(text);
	g->text = share_name_text(g->name);
	g->filter = slice_from(g->text, sl->group_len + 1);
	/* The owner's number is in it: a message that finds its member gone knows the way back. */
	g->number = (uint64_t)w->index << 56 | (atomic_fetch_add(&w->b->group_numbers, 1) + 1);
	g->handle = topic_trie_insert(w->subs, g->filter, (uintptr_t)g | SUBS_SHARED_BIT);
	g->how = broker_share_of(w->b, slice_make(sl->text, sl->group_len));
	bool was_there;
	share_map_put(&w->shares->by_text, sl_hash(text), text, &was_there)->g = g;
	share_numbers_put(&w->shares->by_number, g->number, g->number, &was_there)->g = g;
	return g;
}

static void join(struct worker *w, struct share_letter *sl) {
	struct share_group *g = group_find(w, slice_make(sl->text, sl->text_len));
	announce_init(&sl->announce, w, join_announced);
	if (!g) {
		g = group_new(w, sl);
		if (subs_only_one(w, g->handle)) announce_add(&sl->announce, g->filter);
	}
	size_t at = member_find(g, sl->member.ref);
	if (at == SIZE_MAX) {
		SL_GROW(g->members, g->members_len, g->members_cap);
		at = g->members_len++;
	} else {
		share_load_unref(g->members[at].load);
	}
	g->members[at] = sl->member; /* with its reference to the load */
	set_online(w, g, at, sl->online);
	sl->number = g->number;
	announce_send(&sl->announce);
}

static void leave(struct worker *w, struct share_group *g, session_ref ref) {
	size_t at = member_find(g, ref);
	if (at == SIZE_MAX) return;
	share_load_unref(g->members[at].load);
	if (at < g->online) {
		swap(g, at, --g->online);
		at = g->online;
	}
	swap(g, at, --g->members_len);
	if (g->members_len > 0) return;
	bool last = subs_only_one(w, g->handle);
	topic_trie_remove_at(w->subs, g->handle, (uintptr_t)g | SUBS_SHARED_BIT);
	if (last && w->b->workers_len > 1) announce_withdraw(w, g->filter);
	share_map_remove(&w->shares->by_text, share_map_find(&w->shares->by_text, sl_hash(g->text), g->text));
	share_numbers_remove(&w->shares->by_number, share_numbers_find(&w->shares->by_number, g->number, g->number));
	group_free(g);
}

static void share_letter_run(struct sl_post *post, struct sl_loop *l) {
	(void)l;
	struct share_letter *sl = sl_container_of(post, struct share_letter, letter.post);
	struct worker *w = sl->letter.to;
	struct share_group *g = group_find(w, slice_make(sl->text, sl->text_len));
	size_t at;
	switch (sl->verb) {
	case SHARE_JOIN: join(w, sl); return; /* join_heard frees it */
	case SHARE_LEAVE:
		if (g) leave(w, g, sl->member.ref);
		break;
	case SHARE_ONLINE:
	case SHARE_OFFLINE:
		at = g ? member_find(g, sl->member.ref) : SIZE_MAX;
		if (at != SIZE_MAX) set_online(w, g, at, sl->verb == SHARE_ONLINE);
		break;
	}
	sl_free(sl);
}

static struct share_letter *letter_new(struct session *s, enum share_verb verb, struct sl_slice text) {
	struct share_letter *sl = sl_alloc(sizeof *sl + text.n);
	*sl = (struct share_letter){.letter = {.post.run = share_letter_run, .from = s->w},
				    .verb = verb,
				    .member = {.ref = s->ref, .worker = s->w->index},
				    .online = s->c != NULL,
				    .text_len = text.n};
	memcpy(sl->text, text.p, text.n);
	return sl;
}

static void send_letter(struct session *s, struct share_letter *sl) {
	struct worker *to = owner_of(s->w, slice_make(sl->text, sl->text_len));
	sl->letter.to = to;
	if (to == s->w || s->w->b->restoring)
		share_letter_run(&sl->letter.post, to->loop);
	else
		worker_post(to, &sl->letter);
}

/* ---- a session's side ---- */

static char *text_of(struct sl_slice group, struct sl_slice filter, struct sl_slice *text) {
	char *p = sl_asprintf("%.*s/%.*s", SL_SLICE_ARG(group), SL_SLICE_ARG(filter));
	*text = slice_make(p, group.n + 1 + filter.n);
	return p;
}

bool share_sub_join(struct session *s, struct sl_slice group, struct sl_slice filter, const struct mqtt_sub_entry *opts,
		    uint32_t sub_id, void (*done)(void *arg), void *arg) {
	struct sl_slice text;
	char *owned = text_of(group, filter, &text);
	bool was_there;
	struct share_note *note = share_notes_put(&s->shares, sl_hash(text), text, &was_there);
	if (!was_there) {
		note->text = slice_make(slice_dup(text), text.n);
		metric_inc(s->w, METRIC_SUBSCRIPTIONS);
		metric_inc(s->w, METRIC_SHARED_SUBSCRIPTIONS);
	}
	bool changed = !was_there || note->sub_id != sub_id || note->qos != opts->qos ||
		       note->retain_as_published != opts->retain_as_published;
	note->sub_id = sub_id;
	note->qos = opts->qos;
	note->retain_as_published = opts->retain_as_published;
	struct share_letter *sl = letter_new(s, SHARE_JOIN, text);
	if (!s->load) s->load = share_load_new();
	sl->group_len = group.n;
	sl->member.load = share_load_ref(s->load);
	sl->member.key = sl_hash_stable(s->client_id);
	sl->member.qos = opts->qos;
	sl->member.sub_id = sub_id;
	sl->member.retain_as_published = opts->retain_as_published;
	sl->done = done;
	sl->arg = arg;
	sl_free(owned);
	send_letter(s, sl);
	return changed;
}

bool share_sub_has(const struct session *s, struct sl_slice group, struct sl_slice filter) {
	struct sl_slice text;
	char *owned = text_of(group, filter, &text);
	bool has = note_find(s, text) != NULL;
	sl_free(owned);
	return has;
}

bool share_sub_leave(struct session *s, struct sl_slice group, struct sl_slice filter) {
	struct sl_slice text;
	char *owned = text_of(group, filter, &text);
	struct share_note *note = note_find(s, text);
	if (note) {
		sl_free((char *)note->text.p);
		share_notes_remove(&s->shares, note);
		sl_metric_dec(&s->w->metrics, METRIC_SUBSCRIPTIONS);
		sl_metric_dec(&s->w->metrics, METRIC_SHARED_SUBSCRIPTIONS);
		send_letter(s, letter_new(s, SHARE_LEAVE, text));
	}
	sl_free(owned);
	return note != NULL;
}

void share_sub_forget(struct session *s) {
	HMAP_FOREACH(share_notes, note, &s->shares) sl_free((char *)note->text.p);
	share_notes_fini(&s->shares);
	share_load_unref(s->load);
	s->load = NULL;
}

void share_sub_leave_all(struct session *s) {
	HMAP_FOREACH(share_notes, note, &s->shares) {
		sl_metric_dec(&s->w->metrics, METRIC_SUBSCRIPTIONS);
		sl_metric_dec(&s->w->metrics, METRIC_SHARED_SUBSCRIPTIONS);
		send_letter(s, letter_new(s, SHARE_LEAVE, note->text));
	}
}

void share_sub_online(struct session *s, bool online) {
	HMAP_FOREACH(share_notes, note, &s->shares)
	send_letter(s, letter_new(s, online ? SHARE_ONLINE : SHARE_OFFLINE, note->text));
}

uint64_t share_sub_group_of(const struct session *s, struct sl_slice topic) {
	HMAP_FOREACH(share_notes, note, &s->shares) {
		struct share_group *g = group_find(owner_of(s->w, note->text), note->text);
		if (g && topic_matches(g->filter, topic)) return g->number;
	}
	return 0;
}

/* ---- messages ---- */

static const struct share_member *choose(const struct worker *w, struct share_group *g, const struct msg *m,
					 session_ref had) {
	size_t at = g->online == 0 && had ? member_find(g, had) : SIZE_MAX;
	if (at != SIZE_MAX) return &g->members[at];
	struct share_message what = {.publisher = msg_client_id(m),
				     .topic = msg_topic(m),
				     .worker = m->number ? worker_of_message(m->number) : w->index};
	size_t n = g->online ? g->online : g->members_len;
	return &g->members[share_choose(g->how, &g->choice, g->members, n, &what)];
}

static void deliver(struct session *s, struct msg *m, const struct forward *f) {
	if (f->counted && s->load) atomic_fetch_sub_explicit(&s->load->arriving, 1, memory_order_relaxed);
	session_deliver(s, m,
			&(struct session_delivery){.ids = &f->sub_id,
						   .ids_len = f->sub_id ? 1 : 0,
						   .source = f->source,
						   .group = f->group,
						   .qos = m->qos < f->qos ? m->qos : f->qos,
						   .retain = m->retain && f->retain_as_published});
}

void share_dispatch(struct worker *w, struct share_group *g, struct msg *m, session_ref source, session_ref had,
		    uint8_t tries) {
	for (; tries < TRIES_MAX && g->members_len > 0; tries++) {
		const struct share_member *to = choose(w, g, m, had);
		struct forward f = {.m = m,
				    .source = source,
				    .member = to->ref,
				    .group = g->number,
				    .sub_id = to->sub_id,
				    .qos = to->qos,
				    .tries = (uint8_t)(tries + 1),
				    .counted = g->how == BROKER_SHARE_LEAST_INFLIGHT,
				    .retain_as_published = to->retain_as_published};
		struct session *s = to->worker == w->index ? worker_session(w, to->ref) : NULL;
		if (to->worker == w->index && !s) continue; /* it is about to leave */
		if (f.counted) atomic_fetch_add_explicit(&to->load->arriving, 1, memory_order_relaxed);
		if (s) {
			deliver(s, m, &f);
		} else {
			msg_ref(m);
			f.name = share_name_ref(g->name);
			worker_forward(w, to->worker, &f);
		}
		return;
	}
	metric_inc(w, METRIC_DROPPED_SESSION_ENDED);
}

/* To the owner, by box or at once. */
static void to_owner(struct worker *w, const struct forward *f) {
	uint32_t owner = (uint32_t)(f->group >> 56);
	if (owner != w->index) {
		msg_ref(f->m);
		share_name_ref(f->name);
		worker_forward(w, owner, f);
		return;
	}
	struct share_group *g = group_numbered(w, f->group);
	if (g)
		share_dispatch(w, g, f->m, f->source, f->member, f->tries);
	else
		metric_inc(w, METRIC_DROPPED_SESSION_ENDED); /* the whole group has gone */
}

void share_again(struct session *s, struct msg *m, uint64_t group) {
	struct forward f = {.m = m, .group = group, .member = s->ref};
	HMAP_FOREACH(share_notes, note, &s->shares)
	if (note->number == group && !f.name) f.name = share_name_new(note->text);
	to_owner(s->w, &f);
	share_name_unref(f.name);
}

void share_forwarded(struct worker *w, const struct forward *f) {
	struct session *s = f->member ? worker_session(w, f->member) : NULL;
	if (!f->m) {
		if (s && !s->c) session_hand_on(s, f->group);
	} else if (s) {
		deliver(s, f->m, f);
	} else {
		struct forward back = *f;
		if (session_ref_worker(f->member) == w->index) back.member = 0; /* it has ended */
		to_owner(w, &back);
	}
}
