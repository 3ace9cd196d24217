#include "subs.h"

#include "mem.h"

/* ---- telling the other workers ---- */

struct interest_letter {
	struct worker_letter letter;
	struct announce *a; /* who waits, on letter.from; NULL: nobody */
	bool add;
	size_t len;
	char filters[];
};

static uint64_t remote_value(uint32_t worker) { return (uint64_t)worker << SUBS_REMOTE_SHIFT | SUBS_REMOTE_BIT; }

static void interest_apply(struct worker *w, uint32_t from, struct sl_slice filters, bool add) {
	while (filters.n >= 2) {
		size_t n = (size_t)(uint8_t)filters.p[0] << 8 | (uint8_t)filters.p[1];
		struct sl_slice filter = slice_sub(filters, 2, n);
		if (add)
			topic_trie_insert(w->subs, filter, remote_value(from));
		else
			topic_trie_remove(w->subs, filter, remote_value(from));
		filters = slice_from(filters, 2 + n);
	}
}

static void announce_step(struct announce *a) {
	if (--a->waiting > 0) return;
	sl_buf_fini(&a->filters);
	a->done(a);
}

static void interest_heard(struct sl_post *post, struct sl_loop *l) {
	(void)l;
	struct interest_letter *i = sl_container_of(post, struct interest_letter, letter.post);
	announce_step(i->a);
	sl_free(i);
}

static void interest_letter_run(struct sl_post *post, struct sl_loop *l) {
	(void)l;
	struct interest_letter *i = sl_container_of(post, struct interest_letter, letter.post);
	interest_apply(i->letter.to, i->letter.from->index, slice_make(i->filters, i->len), i->add);
	if (!i->a) {
		sl_free(i);
		return;
	}
	i->letter.post.run = interest_heard;
	worker_post(i->letter.from, &i->letter);
}

/* True when the other has heard already. */
static bool tell(struct worker *w, struct worker *to, struct sl_slice filters, bool add, struct announce *a) {
	if (w->b->restoring) {
		interest_apply(to, w->index, filters, add);
		return true;
	}
	if (sl_loop_try_enter(to->loop, w->loop)) {
		interest_apply(to, w->index, filters, add);
		sl_loop_leave(to->loop, w->loop);
		return true;
	}
	struct interest_letter *i = sl_alloc(sizeof *i + filters.n);
	*i = (struct interest_letter){
	    .letter = {.post.run = interest_letter_run, .from = w}, .a = a, .add = add, .len = filters.n};
	memcpy(i->filters, filters.p, filters.n);
	worker_post(to, &i->letter);
	return false;
}

static void put_filter(struct sl_buf *out, struct sl_slice filter) {
	sl_buf_put_u16be(out, (uint16_t)filter.n);
	sl_buf_append_slice(out, filter);
}

void announce_init(struct announce *a, struct worker *w, void (*done)(struct announce *a)) {
	*a = (struct announce){.w = w, .done = done};
}

void announce_add(struct announce *a, struct sl_slice filter) {
	if (a->w->b->workers_len > 1) put_filter(&a->filters, filter);
}

void announce_send(struct announce *a) {
	struct worker *w = a->w;
	a->waiting = 1; /* ourselves, until all are told */
	for (uint32_t i = 0; a->filters.n > 0 && i < w->b->workers_len; i++) {
		if (i == w->index) continue;
		if (!tell(w, &w->b->workers[i], sl_buf_slice(&a->filters), true, a)) a->waiting++;
	}
	announce_step(a);
}

/* Takes the memory. */
static void withdraw(struct worker *w, struct sl_buf *filters) {
	for (uint32_t i = 0; filters->n > 0 && i < w->b->workers_len; i++)
		if (i != w->index) tell(w, &w->b->workers[i], sl_buf_slice(filters), false, NULL);
	sl_buf_fini(filters);
}

void announce_withdraw(struct worker *w, struct sl_slice filter) {
	struct sl_buf one = SL_BUF_INIT;
	put_filter(&one, filter);
	withdraw(w, &one);
}

/* ---- a session's subscriptions ---- */

/* Where the handle is in s->subs, or would be. */
static uint32_t place_of(const struct session *s, uint32_t handle) {
	uint32_t lo = 0, hi = s->subs_len;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (s->subs[mid]->handle < handle)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct sub *subs_find(const struct session *s, struct sl_slice filter) {
	uint32_t handle = topic_trie_find(s->w->subs, filter);
	uint32_t at = handle ? place_of(s, handle) : s->subs_len;
	return at < s->subs_len && s->subs[at]->handle == handle ? s->subs[at] : NULL;
}

static void insert_at(struct session *s, uint32_t at, struct sub *sub) {
	if (s->subs_len == s->subs_cap) {
		/* Most sessions have one or two: no room in advance for those. */
		s->subs_cap = s->subs_cap ? s->subs_cap * 2 : 1;
		s->subs = sl_realloc_array(s->subs, s->subs_cap, sizeof(struct sub *));
	}
	memmove(&s->subs[at + 1], &s->subs[at], (s->subs_len - at) * sizeof(struct sub *));
	s->subs[at] = sub;
	s->subs_len++;
	metric_inc(s->w, METRIC_SUBSCRIPTIONS);
}

bool subs_only_one(const struct worker *w, uint32_t handle) {
	size_t count, here = 0;
	const uint64_t *values = topic_trie_values(w->subs, handle, &count);
	/* Ends early: no more values than there are workers are remote. */
	for (size_t i = 0; i < count && here < 2; i++) here += (values[i] & SUBS_REMOTE_BIT) == 0;
	return here == 1;
}

struct sub *subs_add(struct session *s, struct sl_slice filter, const struct mqtt_sub_entry *opts, uint32_t sub_id,
		     struct announce *a, bool *is_new) {
	struct worker *w = s->w;
	uint32_t handle = topic_trie_find(w->subs, filter);
	uint32_t at = handle ? place_of(s, handle) : 0;
	struct sub *sub = handle && at < s->subs_len && s->subs[at]->handle == handle ? s->subs[at] : NULL;
	*is_new = sub == NULL;
	if (sub) {
		/* What a route knows of its options is stale: taking it out and in moves the generation. */
		topic_trie_remove_at(w->subs, handle, (uintptr_t)sub);
		uint32_t again = topic_trie_insert(w->subs, filter, (uintptr_t)sub);
		if (again != handle) {
			memmove(&s->subs[at], &s->subs[at + 1], (s->subs_len - at - 1) * sizeof(struct sub *));
			s->subs_len--;
			sl_metric_dec(&w->metrics, METRIC_SUBSCRIPTIONS);
			sub->handle = again;
			insert_at(s, place_of(s, again), sub);
		}
	} else {
		sub = SL_NEW(struct sub);
		sub->s = s;
		sub->handle = topic_trie_insert(w->subs, filter, (uintptr_t)sub);
		insert_at(s, place_of(s, sub->handle), sub);
		if (subs_only_one(w, sub->handle)) announce_add(a, filter);
	}
	sub->sub_id = sub_id;
	sub->qos = opts->qos;
	sub->no_local = opts->no_local;
	sub->retain_as_published = opts->retain_as_published;
	return sub;
}

/* Out of the trie. When it was the filter's last, the others have to hear of it: then it is in `last`. */
static void drop(struct worker *w, struct sub *sub, struct sl_buf *last) {
	if (w->b->workers_len > 1 && subs_only_one(w, sub->handle)) {
		struct sl_buf text = SL_BUF_INIT;
		topic_trie_text(w->subs, sub->handle, &text);
		put_filter(last, sl_buf_slice(&text));
		sl_buf_fini(&text);
	}
	topic_trie_remove_at(w->subs, sub->handle, (uintptr_t)sub);
	sl_free(sub);
	sl_metric_dec(&w->metrics, METRIC_SUBSCRIPTIONS);
}

bool subs_remove(struct session *s, struct sl_slice filter) {
	struct sl_buf last = SL_BUF_INIT;
	uint32_t handle = topic_trie_find(s->w->subs, filter);
	if (!handle) return false;
	uint32_t at = place_of(s, handle);
	if (at == s->subs_len || s->subs[at]->handle != handle) return false;
	drop(s->w, s->subs[at], &last);
	s->subs_len--;
	memmove(&s->subs[at], &s->subs[at + 1], (s->subs_len - at) * sizeof(struct sub *));
	withdraw(s->w, &last);
	return true;
}

void subs_remove_some(struct session *s, uint32_t n) {
	struct sl_buf last = SL_BUF_INIT;
	for (; s->subs_len > 0 && n > 0; n--) drop(s->w, s->subs[--s->subs_len], &last);
	withdraw(s->w, &last);
}
