/* persist_retained.c: retained messages: each change of the tree is appended while the tree is locked, so that the store has
 * them in the tree's order, whichever workers they came from. */
#include "log.h"
#include "persist_int.h"
#include "persist_record.h"
#include "retained.h"

/* Under the tree's mutex. */
static uint64_t keep(void *arg, const struct msg *m, bool gone) {
	struct store *store = arg;
	struct store_key key;
	store_key_of(&key, SL_SLICE_EMPTY, msg_topic(m));
	if (gone) return store_delete(store, STORE_RETAINED, store_key_slice(&key));
	char head[RETAINED_HEAD_MAX];
	struct sl_slice parts[] = {retained_record_head(head, m), retained_record_rest(m)};
	return store_put(store, STORE_RETAINED, store_key_slice(&key), parts, SL_ARRAY_LEN(parts));
}

void persist_retained_begin(struct broker *b) { retained_keep(b->retained, keep, b->persist->store); }

static int restore_one(void *arg, struct sl_slice key, struct sl_slice value) {
	struct broker *b = arg;
	struct persist *p = b->persist;
	struct retained_change change = {0};
	struct msg *m;
	if (retained_record_read(value, &m) != SL_OK) {
		p->damaged++;
		return SL_OK;
	}
	if (msg_expiry_left(m, sl_loop_wall_ms(b->loops[0])) == 0)
		store_delete(p->store, STORE_RETAINED, key);
	else if (retained_set(b->retained, m, &change) == SL_OK)
		p->retained_restored++;
	msg_unref(m);
	sl_metric_add(&b->workers[0].metrics, METRIC_RETAINED, (uint64_t)change.count);
	sl_metric_add(&b->workers[0].metrics, METRIC_RETAINED_BYTES, (uint64_t)change.bytes);
	return SL_OK;
}

int persist_retained_restore(struct broker *b) { return store_scan(b->persist->store, STORE_RETAINED, restore_one, b); }
