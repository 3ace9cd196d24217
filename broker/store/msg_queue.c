#include "msg_queue.h"

#include "mem.h"

static void grow(struct msg_queue *q) {
	uint32_t cap = q->cap ? q->cap * 2 : 8;
	struct msg_queue_entry *v = SL_NEW_ARRAY(struct msg_queue_entry, cap);
	for (uint32_t i = 0; i < q->len; i++) v[i] = q->v[(q->head + i) & (q->cap - 1)];
	sl_free(q->v);
	q->v = v;
	q->cap = cap;
	q->head = 0;
}

void msg_queue_push(struct msg_queue *q, const struct msg_queue_entry *e) {
	if (q->len == q->cap) grow(q);
	q->v[(q->head + q->len) & (q->cap - 1)] = *e;
	q->len++;
	q->qos0 += e->qos == 0;
	q->bytes += msg_bytes(e->m);
}

struct msg_queue_entry *msg_queue_front(struct msg_queue *q) {
	return q->len ? &q->v[q->head] : NULL;
}

struct msg_queue_entry msg_queue_pop(struct msg_queue *q) {
	sl_assert(q->len > 0);
	struct msg_queue_entry e = q->v[q->head];
	q->head = (q->head + 1) & (q->cap - 1);
	q->len--;
	q->qos0 -= e.qos == 0;
	q->bytes -= msg_bytes(e.m);
	if (q->len == 0 && q->cap > 64) {
		sl_free(q->v);
		*q = (struct msg_queue){0};
	}
	return e;
}

struct msg_queue_entry msg_queue_remove(struct msg_queue *q, uint32_t i) {
	sl_assert(i < q->len);
	struct msg_queue_entry e = *msg_queue_at(q, i);
	for (; i > 0; i--) *msg_queue_at(q, i) = *msg_queue_at(q, i - 1);
	*msg_queue_at(q, 0) = e;
	return msg_queue_pop(q);
}

void msg_queue_entry_drop(struct msg_queue_entry *e) {
	msg_unref(e->m);
	sl_free(e->ids);
	e->m = NULL;
	e->ids = NULL;
}

void msg_queue_fini(struct msg_queue *q) {
	while (q->len) {
		struct msg_queue_entry e = msg_queue_pop(q);
		msg_queue_entry_drop(&e);
	}
	sl_free(q->v);
	*q = (struct msg_queue){0};
}
