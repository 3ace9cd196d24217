#include "shared_sub.h"

#include "mem.h"
#include "rng.h"
#include "subs.h"

enum { TRIES_MAX = 8 };

static struct worker *owner_of(const struct worker *w, struct sl_slice text) {
	return &w->b->workers[sl_hash(text) % w->b->workers_len];
}

static struct share_group *group_find(const struct worker *w, struct sl_slice text) {
	struct share_slot *slot = share_map_find(w->shares, sl_hash(text), text);
	return slot ? slot->g : NULL;
}

static void group_free(struct share_group *g) {
	sl_free((char *)g->text.p);
	sl_free(g->members);
	sl_free(g);
}

void share_map_free(struct share_map *m) {
	HMAP_FOREACH(share_map, it, m) group_free(it->g);
	share_map_fini(m);
	sl_free(m);
}

/* ---- what members tell the owner ---- */

enum share_verb { SHARE_JOIN, SHARE_LEAVE, SHARE_ONLINE, SHARE_OFFLINE };

struct share_letter {
	struct worker_letter letter;
	enum share_verb verb;
	struct announce announce;
	struct share_member member;
	void (*done)(void *arg); /* with SHARE_JOIN, on letter.from */
	void *arg;
	size_t group_len, text_len;
	char text[];
};

static struct share_member *member_find(struct share_group *g, session_ref ref) {
	for (size_t i = 0; i < g->members_len; i++)
		if (g->members[i].ref == ref) return &g->members[i];
	return NULL;
}

static void join_heard(struct sl_post *post, struct sl_loop *l) {
	(void)l;
	struct share_letter *sl = sl_container_of(post, struct share_letter, letter.post);
	sl->done(sl->arg);
	sl_free(sl);
}

/* Every worker knows the filter: back to who asked. */
static void join_announced(struct announce *a) {
	struct share_letter *sl = sl_container_of(a, struct share_letter, announce);
	if (sl->letter.from == a->w) {
		join_heard(&sl->letter.post, a->w->loop);
		return;
	}
	sl->letter.post.run = join_heard;
	worker_post(sl->letter.from, &sl->letter);
}

static struct share_group *group_new(struct worker *w, const struct share_letter *sl) {
	struct sl_slice text = slice_make(sl->text, sl->text_len);
	struct share_group *g = SL_NEW(struct share_group);
	g->text = slice_make(slice_dup(text), text.n);
	g->filter = slice_from(g->text, sl->group_len + 1);
	/* The owner's number is in it: a message that finds its member gone knows the way back. */
	g->number = (uint64_t)w->index << 56 | (atomic_fetch_add(&w->b->group_numbers, 1) + 1);
	g->handle = topic_trie_insert(w->subs, g->filter, (uintptr_t)g | SUBS_SHARED_BIT);
	bool was_there;
	share_map_put(w->shares, sl_hash(text), text, &was_there)->g = g;
	return g;
}

static void join(struct worker *w, struct share_letter *sl) {
	struct share_group *g = group_find(w, slice_make(sl->text, sl->text_len));
	announce_init(&sl->announce, w, join_announced);
	if (!g) {
		g = group_new(w, sl);
		if (subs_only_one(w, g->handle)) announce_add(&sl->announce, g->filter);
	}
	struct share_member *m = member_find(g, sl->member.ref);
	if (!m) {
		SL_GROW(g->members, g->members_len, g->members_cap);
		m = &g->members[g->members_len++];
	}
	*m = sl->member;
	announce_send(&sl->announce);
}

static void leave(struct worker *w, struct share_group *g, session_ref ref) {
	struct share_member *m = member_find(g, ref);
	if (!m) return;
	*m = g->members[--g->members_len];
	if (g->members_len > 0) return;
	bool last = subs_only_one(w, g->handle);
	topic_trie_remove_at(w->subs, g->handle, (uintptr_t)g | SUBS_SHARED_BIT);
	if (last && w->b->workers_len > 1) announce_withdraw(w, g->filter);
	share_map_remove(w->shares, share_map_find(w->shares, sl_hash(g->text), g->text));
	group_free(g);
}

static void share_letter_run(struct sl_post *post, struct sl_loop *l) {
	(void)l;
	struct share_letter *sl = sl_container_of(post, struct share_letter, letter.post);
	struct worker *w = sl->letter.to;
	struct share_group *g = group_find(w, slice_make(sl->text, sl->text_len));
	struct share_member *m = g ? member_find(g, sl->member.ref) : NULL;
	switch (sl->verb) {
	case SHARE_JOIN: join(w, sl); return; /* join_heard frees it */
	case SHARE_LEAVE:
		if (g) leave(w, g, sl->member.ref);
		break;
	case SHARE_ONLINE:
	case SHARE_OFFLINE:
		if (m) m->online = sl->verb == SHARE_ONLINE;
		break;
	}
	sl_free(sl);
}

static struct share_letter *letter_new(struct session *s, enum share_verb verb, struct sl_slice text) {
	struct share_letter *sl = sl_alloc(sizeof *sl + text.n);
	*sl = (struct share_letter){.letter = {.post.run = share_letter_run, .from = s->w},
				    .verb = verb,
				    .member = {.ref = s->ref, .online = s->c != NULL},
				    .text_len = text.n};
	memcpy(sl->text, text.p, text.n);
	return sl;
}

static void send_letter(struct session *s, struct share_letter *sl) {
	struct worker *to = owner_of(s->w, slice_make(sl->text, sl->text_len));
	sl->letter.to = to;
	if (to == s->w)
		share_letter_run(&sl->letter.post, to->loop);
	else
		worker_post(to, &sl->letter);
}

/* ---- a session's side ---- */

static struct share_note *note_find(const struct session *s, struct sl_slice text) {
	return share_notes_find(&s->shares, sl_hash(text), text);
}

static char *text_of(struct sl_slice group, struct sl_slice filter, struct sl_slice *text) {
	char *p = sl_asprintf("%.*s/%.*s", SL_SLICE_ARG(group), SL_SLICE_ARG(filter));
	*text = slice_make(p, group.n + 1 + filter.n);
	return p;
}

void share_sub_join(struct session *s, struct sl_slice group, struct sl_slice filter, const struct mqtt_sub_entry *opts,
		    uint32_t sub_id, void (*done)(void *arg), void *arg) {
	struct sl_slice text;
	char *owned = text_of(group, filter, &text);
	bool was_there;
	struct share_note *note = share_notes_put(&s->shares, sl_hash(text), text, &was_there);
	if (!was_there) {
		note->text = slice_make(slice_dup(text), text.n);
		metric_inc(s->w, METRIC_SUBSCRIPTIONS);
	}
	struct share_letter *sl = letter_new(s, SHARE_JOIN, text);
	sl->group_len = group.n;
	sl->member.qos = opts->qos;
	sl->member.sub_id = sub_id;
	sl->member.retain_as_published = opts->retain_as_published;
	sl->done = done;
	sl->arg = arg;
	sl_free(owned);
	send_letter(s, sl);
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
		send_letter(s, letter_new(s, SHARE_LEAVE, text));
	}
	sl_free(owned);
	return note != NULL;
}

void share_sub_forget(struct session *s) {
	HMAP_FOREACH(share_notes, note, &s->shares) sl_free((char *)note->text.p);
	share_notes_fini(&s->shares);
}

void share_sub_leave_all(struct session *s) {
	HMAP_FOREACH(share_notes, note, &s->shares) {
		sl_metric_dec(&s->w->metrics, METRIC_SUBSCRIPTIONS);
		send_letter(s, letter_new(s, SHARE_LEAVE, note->text));
	}
	share_sub_forget(s);
}

void share_sub_online(struct session *s, bool online) {
	HMAP_FOREACH(share_notes, note, &s->shares)
	send_letter(s, letter_new(s, online ? SHARE_ONLINE : SHARE_OFFLINE, note->text));
}

/* ---- choosing ---- */

/* The first connected member from `start` on; when none is, the one at `start`. */
static size_t first_online(const struct share_group *g, size_t start) {
	for (size_t i = 0; i < g->members_len; i++) {
		size_t at = (start + i) % g->members_len;
		if (g->members[at].online) return at;
	}
	return start % g->members_len;
}

static size_t choose(const struct worker *w, struct share_group *g, uint8_t tries) {
	size_t at = 0;
	switch (w->b->set.share) {
	case BROKER_SHARE_ROUND_ROBIN:
		at = first_online(g, g->turn);
		g->turn = (uint32_t)((at + 1) % g->members_len);
		break;
	case BROKER_SHARE_RANDOM: at = first_online(g, (size_t)sl_rng_below(g->members_len)); break;
	case BROKER_SHARE_STICKY:
		at = first_online(g, g->turn % g->members_len + (tries ? 1 : 0));
		g->turn = (uint32_t)at;
		break;
	}
	return at;
}

void share_deliver(struct session *s, struct msg *m, const struct forward *f) {
	session_deliver(s, m,
			&(struct session_delivery){.ids = &f->sub_id,
						   .ids_len = f->sub_id ? 1 : 0,
						   .source = f->source,
						   .group = f->group,
						   .qos = m->qos < f->qos ? m->qos : f->qos,
						   .retain = m->retain && f->retain_as_published});
}

void share_dispatch(struct worker *w, struct share_group *g, struct msg *m, session_ref source, uint8_t tries) {
	for (; tries < TRIES_MAX && g->members_len > 0; tries++) {
		const struct share_member *to = &g->members[choose(w, g, tries)];
		struct forward f = {.m = m,
				    .source = source,
				    .member = to->ref,
				    .group = g->number,
				    .sub_id = to->sub_id,
				    .qos = to->qos,
				    .tries = (uint8_t)(tries + 1),
				    .retain_as_published = to->retain_as_published};
		uint32_t at = session_ref_worker(to->ref);
		if (at != w->index) {
			msg_ref(m);
			worker_forward(w, at, &f);
			return;
		}
		struct session *s = worker_session(w, to->ref);
		if (!s) continue; /* its letter is on the way */
		share_deliver(s, m, &f);
		return;
	}
	metric_inc(w, METRIC_DROPPED_SESSION_ENDED);
}

void share_again(struct worker *w, const struct forward *f) {
	uint32_t owner = (uint32_t)(f->group >> 56);
	if (owner != w->index) {
		struct forward back = *f;
		back.member = 0;
		msg_ref(back.m);
		worker_forward(w, owner, &back);
		return;
	}
	HMAP_FOREACH(share_map, it, w->shares) if (it->g->number == f->group) {
		share_dispatch(w, it->g, f->m, f->source, f->tries);
		return;
	}
	metric_inc(w, METRIC_DROPPED_SESSION_ENDED); /* the whole group has gone */
}
