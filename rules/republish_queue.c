/* republish_queue.c: see republish_queue.h. */
#include "republish_queue.h"

#include "mem.h"

void republish_queue_init(struct republish_queue *q) {
	*q = (struct republish_queue){.at = NULL};
	sl_arena_init(&q->arena, 4096);
}

void republish_queue_fini(struct republish_queue *q) {
	sl_free(q->at);
	sl_arena_fini(&q->arena);
	*q = (struct republish_queue){.at = NULL};
}

int republish_queue_add(struct republish_queue *q, const struct republish_entry *entry) {
	const struct rules_publish *m = &entry->m;
	size_t bytes = m->topic.n + m->payload.n + m->properties.n;
	if (q->len >= REPUBLISH_CASCADE_MAX || bytes > REPUBLISH_CASCADE_BYTES_MAX - q->bytes) return SL_ELIMIT;
	SL_GROW(q->at, q->len, q->cap);
	struct republish_entry *e = &q->at[q->len++];
	*e = *entry;
	e->m.topic = sl_arena_dup(&q->arena, m->topic);
	e->m.payload = sl_arena_dup(&q->arena, m->payload);
	e->m.properties = sl_arena_dup(&q->arena, m->properties);
	q->bytes += bytes;
	return SL_OK;
}
