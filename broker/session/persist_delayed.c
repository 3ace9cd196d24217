/* persist_delayed.c: delayed messages of QoS 1 and 2. Key: when it is due (wall clock, ms), a number for ever, whether it is to be
 * retained: so a scan gives them in the order in which they are due. The value is the record of a retained message. */
#include "delayed.h"
#include "msg.h"
#include "persist_int.h"
#include "persist_record.h"

enum { KEY_BYTES = 17 };

static void put_u64(char *p, uint64_t v) {
	for (int i = 0; i < 8; i++) p[i] = (char)(v >> (56 - 8 * i));
}

static uint64_t get_u64(const char *p) {
	uint64_t v = 0;
	for (int i = 0; i < 8; i++) v = v << 8 | (uint8_t)p[i];
	return v;
}

static struct sl_slice key_of(char key[KEY_BYTES], const struct msg *m, uint64_t id) {
	put_u64(key, (uint64_t)m->arrived_ms);
	put_u64(key + 8, id);
	key[16] = m->retain;
	return slice_make(key, KEY_BYTES);
}

uint64_t persist_delayed(struct worker *w, const struct msg *m, uint64_t *id) {
	struct persist *p = w->b->persist;
	char key[KEY_BYTES], head[RETAINED_HEAD_MAX];
	if (!p || m->qos == 0) return 0;
	*id = atomic_fetch_add_explicit(&p->last_id, 1, memory_order_relaxed) + 1;
	struct sl_slice parts[] = {retained_record_head(head, m), retained_record_rest(m)};
	uint64_t batch = store_put(p->store, STORE_DELAYED, key_of(key, m, *id), parts, SL_ARRAY_LEN(parts));
	persist_touched(w, batch);
	return batch;
}

void persist_delayed_gone(struct worker *w, const struct msg *m, uint64_t id) {
	char key[KEY_BYTES];
	if (!w->b->persist->started) return; /* the broker ends: it is published again by the next */
	persist_touched(w, store_delete(w->b->persist->store, STORE_DELAYED, key_of(key, m, id)));
}

/* Its worker is the home of its publisher's name, so that what one publisher sent stays in order. */
static int restore_one(void *arg, struct sl_slice key, struct sl_slice value) {
	struct broker *b = arg;
	struct msg *m;
	if (key.n != KEY_BYTES || delayed_record_read(value, key.p[16] != 0, &m) != SL_OK) {
		b->persist->damaged++;
		store_delete(b->persist->store, STORE_DELAYED, key);
		return SL_OK;
	}
	struct worker *w = worker_home(b, msg_client_id(m));
	m->number = worker_message_number(w); /* nobody else has it yet */
	delayed_restore(w->delayed, m, get_u64(key.p + 8));
	msg_unref(m);
	return SL_OK;
}

int persist_delayed_restore(struct broker *b) { return store_scan(b->persist->store, STORE_DELAYED, restore_one, b); }
