/* mongo_denied.c: rows of which the server says what it mostly says of a collection (no right, a view, no such collection): is it the
 * row? It may name the collection, or bring what the server does not implement.
 *
 * That others were stored before it proves nothing, for rights and collections come and go. A *proof* is that it is denied, one
 * behind it is let in, and it is denied again: no single change does that. Who has PROOFS of them is rejected. Where rows name their
 * collections these may have rights of their own, so there must be DENIED_RARE times as many rows that were stored, too. And should a row
 * be let in when it is asked once more, the proofs of all others count no more.
 *
 * Where a collection that rows name is denied as a whole, all of its rows that were denied are sent again together: one that goes without
 * the others is ahead of them, should it be let in. And they are rejected only when it has been denied for PATIENCE_MS. Proofs come faster
 * than that, so a right that is away for a moment would cost rows. The batch waits for it, and asks again after pauses, when it has
 * nothing else to do. That is remembered, too: while no row of the collection is let in the next batches need not wait.
 *
 * Until that is known it waits, and those behind it do: of its collection, where all of that is denied, else of its key. (Of inserts only the
 * former: these go unordered.) Where nothing else is left, one of the latter goes after all, for without it nobody would ever know: that
 * row is ahead of it, should the server change its mind right then.
 *
 * What is open at the end of a batch comes first in the next one. Its proofs are remembered, for where rows come one by one no batch has
 * enough of them. Thread: the link's; what is remembered is of the action, and of all of its threads. */
#include <poll.h>

#include "clock.h"
#include "hash.h"
#include "mem.h"
#include "mongo_errors.h"
#include "mongodb_int.h"

enum {
	PROOFS = 5,
	PROOFS_MASK = 7,
	DENIED_RARE = 4,
	PATIENCE_MS = 2000,
	FORGET_MS = 60000, /* of a collection that nobody asked for that long nothing is known */
};

/* ---- What is remembered of a row. ----------------------------------------------------------------------------------------- */

static uint64_t row_hash(const struct sl_batch *b, uint32_t row) {
	return sl_batch_row_hash(b, row) & ~(uint64_t)PROOFS_MASK;
}

static _Atomic uint64_t *suspect_at(struct mongo_action *s, uint64_t hash) {
	return &s->suspects[hash / (PROOFS_MASK + 1) % MONGO_SUSPECTS];
}

static uint8_t proofs_recall(const struct sl_batch *b, uint32_t row) {
	struct mongo_action *s = sl_action_impl(b->action);
	uint64_t hash = row_hash(b, row), known = atomic_load(suspect_at(s, hash));
	return (known & ~(uint64_t)PROOFS_MASK) == hash ? known & PROOFS_MASK : 0;
}

static void proofs_remember(const struct sl_batch *b, uint32_t row, uint8_t proofs) {
	uint64_t hash = row_hash(b, row);
	atomic_store(suspect_at(sl_action_impl(b->action), hash), hash | proofs);
}

/* Collections of one slot share the time since which it is denied: that ends with the last one of them that was. */
static void collection_denied(struct mongo_action *s, uint64_t hash) {
	size_t slot = hash % MONGO_SUSPECTS;
	uint64_t now = sl_clock_mono_ms(), last = atomic_exchange(&s->denied[slot].last, now);
	if (atomic_load(&s->denied[slot].since) == 0 || now - last > FORGET_MS)
		atomic_store(&s->denied[slot].since, now);
	atomic_store(&s->denied[slot].collection, hash);
}

void mongo_denied_none(struct mongo_action *s, struct sl_slice collection) {
	if (s->collection_fixed) return;
	uint64_t hash = sl_hash(collection);
	size_t slot = hash % MONGO_SUSPECTS;
	if (atomic_load(&s->denied[slot].collection) == hash) atomic_store(&s->denied[slot].since, 0);
}

static bool denied_for_long(struct mongo_action *s, const struct mongo_denied *d) {
	uint64_t since = atomic_load(&s->denied[d->collection % MONGO_SUSPECTS].since);
	return !d->whole || (since != 0 && sl_clock_mono_ms() - since >= PATIENCE_MS);
}

/* ---- Who waits. ------------------------------------------------------------------------------------------------------------- */

static uint64_t collection_hash(struct mongo_link *l, const struct mongo_action *s, const void *row) {
	struct sl_slice name;
	return s->collection_fixed || mongo_row_collection(&l->e, s, row, &name) != SL_OK ? 0 : sl_hash(name);
}

void mongo_row_denied(struct mongo_link *l, struct sl_batch *b, uint32_t row, bool whole,
		      const struct mongo_error *known, const char *said) {
	struct mongo_action *s = sl_action_impl(b->action);
	b->result[row] = SL_RESULT_LOST;
	sl_batch_reason(b, row, "%s (the server says: %s, code %d)", mongo_advice(l->c, known), said, known->code);
	l->denials++;
	uint64_t collection = collection_hash(l, s, b->row[row]);
	if (whole) collection_denied(s, collection);
	for (size_t i = 0; i < l->denied_n; i++) {
		if (l->denied[i].row != row) continue;
		l->denied[i].again = true;
		return;
	}
	SL_GROW(l->denied, l->denied_n, l->denied_cap);
	uint8_t proofs = proofs_recall(b, row);
	l->denied[l->denied_n++] = (struct mongo_denied){
	    .row = row, .whole = whole, .proofs = proofs, .before = proofs, .collection = collection};
}

bool mongo_denied_holds(struct mongo_link *l, const struct sl_batch *b, uint32_t i, bool own) {
	const struct mongo_action *s = sl_action_impl(b->action);
	if (sl_likely(l->denied_n == 0)) return false;
	uint64_t collection = collection_hash(l, s, b->row[i]), key = sql_row_head(b->row[i])->order;
	bool by_key = s->operation != MONGO_INSERT && !own;
	for (size_t k = 0; k < l->denied_n; k++) {
		const struct mongo_denied *d = &l->denied[k];
		if (d->collection != collection) continue;
		if (d->whole || (by_key && sql_row_head(b->row[d->row])->order == key)) return true;
	}
	return false;
}

/* ---- Who is to blame. --------------------------------------------------------------------------------------------------------- */

bool mongo_denied_open(const struct mongo_link *l) {
	for (size_t i = 0; i < l->denied_n; i++)
		if (l->denied[i].proofs < PROOFS) return true;
	return false;
}

void mongo_denied_begin(struct mongo_link *l, struct sl_batch *b, size_t n) {
	for (size_t i = 0; i < n; i++) {
		struct mongo_denied *d = &l->denied[i];
		d->again = false;
		d->asked = d->whole || d->proofs < PROOFS;
		if (d->asked) b->result[d->row] = SL_RESULT_PENDING;
	}
}

void mongo_denied_end(struct mongo_link *l, const struct sl_batch *b, size_t n) {
	bool let_in = false;
	for (size_t i = 0; i < n; i++) {
		struct mongo_denied *d = &l->denied[i];
		if (d->asked && d->again && d->proofs < PROOFS) d->proofs++;
		let_in = let_in || b->result[d->row] == SL_RESULT_DONE;
	}
	for (size_t i = 0; i < l->denied_n && let_in; i++) l->denied[i].proofs = l->denied[i].before = 0;
}

/* How many more rows than DENIED_RARE asks for were stored, beside those that are denied, and those that would be, as all of their
 * collection are. */
static int64_t rows_to_spare(struct mongo_link *l, const struct sl_batch *b) {
	const struct mongo_action *s = sl_action_impl(b->action);
	int64_t done = 0, bad = (int64_t)l->denied_n;
	if (s->collection_fixed) return 0;
	for (uint32_t i = 0; i < b->count; i++) {
		done += b->result[i] == SL_RESULT_DONE;
		bad += b->result[i] == SL_RESULT_PENDING && mongo_denied_holds(l, b, i, true);
	}
	return done - bad * DENIED_RARE;
}

static bool is_proven(const struct mongo_denied *d, const struct sl_batch *b, int64_t spare) {
	bool few = spare + d->before >= 0; /* for each proof of earlier batches a row was stored there */
	return b->result[d->row] == SL_RESULT_LOST && few && d->proofs >= PROOFS;
}

void mongo_denied_decide(struct mongo_link *l, struct sl_batch *b) {
	struct mongo_action *s = sl_action_impl(b->action);
	size_t left = 0;
	if (sl_likely(l->denied_n == 0)) return;
	int64_t spare = rows_to_spare(l, b);
	for (size_t i = 0; i < l->denied_n; i++) {
		const struct mongo_denied d = l->denied[i];
		uint8_t *result = &b->result[d.row];
		if (is_proven(&d, b, spare) && denied_for_long(s, &d)) *result = SL_RESULT_REJECT;
		if (*result == SL_RESULT_LOST || *result == SL_RESULT_PENDING)
			l->denied[left++] = d;
		else
			proofs_remember(b, d.row, 0);
	}
	l->denied_n = left;
}

bool mongo_denied_too_early(struct mongo_link *l, const struct sl_batch *b) {
	if (sl_likely(l->denied_n == 0)) return false;
	int64_t spare = rows_to_spare(l, b);
	for (size_t i = 0; i < l->denied_n; i++)
		if (is_proven(&l->denied[i], b, spare)) return true;
	return false;
}

bool mongo_denied_sleep(const struct mongo_link *l, int ms) {
	struct pollfd p = {.fd = l->wake_fd, .events = POLLIN};
	return poll(&p, 1, ms) == 0;
}

void mongo_denied_wait(struct mongo_link *l, struct sl_batch *b) {
	for (size_t i = 0; i < l->denied_n; i++) proofs_remember(b, l->denied[i].row, l->denied[i].proofs);
	if (l->denied_n > 0 && !b->not_ready) sl_batch_in_doubt(b, "%s", b->reason[l->denied[0].row]);
}
