/* queue_compact.c: what is still needed of the oldest files is written anew at the head. See queue_log.h. */
#include "mem.h"
#include "queue_log_int.h"

enum { SLICE_BYTES = 256 * 1024, SEGMENTS_KEPT = 4 };

void queue_bodies_clear(struct queue_log *q) {
	HMAP_FOREACH(body_map, it, &q->bodies) msg_unref(it->m);
	body_map_fini(&q->bodies);
}

/* Sessions whose bodies were written some ticks ago stand before those that came since. */
static void lane_place(struct queue_log *q, struct queue_lane *lane, uint64_t oldest) {
	sl_list_remove(&lane->link);
	lane->oldest = oldest;
	struct sl_list *at = &q->lanes;
	while (at->prev != &q->lanes && SL_LIST_ENTRY(at->prev, struct queue_lane, link)->oldest > oldest)
		at = at->prev;
	sl_list_insert_before(at, &lane->link);
}

void queue_log_adopt(struct queue_log *q, struct queue_lane *lane) {
	sl_list_remove(&lane->link);
	lane->oldest = 0;
	sl_list_push_front(&q->lanes, &lane->link);
}

void queue_log_forget(struct queue_lane *lane) { sl_list_remove(&lane->link); }

static uint64_t pointer_hash(const struct msg *m) { return (uint64_t)(uintptr_t)m * 0x9e3779b97f4a7c15u >> 7; }

/* Its number as of this slice; writes it if it is not there. */
static uint32_t body_anew(struct queue_log *q, struct msg *m) {
	bool was_there;
	struct body_slot *slot = body_map_put(&q->bodies, pointer_hash(m), m, &was_there);
	if (!was_there) {
		slot->m = msg_ref(m);
		slot->number = queue_body(q, m);
	}
	return slot->number;
}

static bool body_within(struct queue_log *q, struct msg *m, size_t end) {
	if (q->buf.n >= end && !body_map_find(&q->bodies, pointer_hash(m), m)) return false;
	(void)body_anew(q, m);
	return true;
}

/* Its bodies, so many as this slice has room for. True: all of them are there. */
static bool bodies_slice(struct queue_log *q, const struct queue_view *v, size_t end) {
	if (q->map_serial != q->serial && !q->slicing) {
		queue_bodies_clear(q);
		q->map_serial = q->serial;
	}
	for (uint32_t i = 0; i < v->out->cap; i++) {
		struct inflight_entry *e = &v->out->v[i];
		if (e->state != INFLIGHT_FREE && e->log_id && e->m && !body_within(q, e->m, end)) return false;
	}
	for (uint32_t i = 0; i < v->queue->len; i++) {
		struct msg_queue_entry *e = msg_queue_at(v->queue, i);
		if (e->log_id && !body_within(q, e->m, end)) return false;
	}
	return true;
}

static void inflight_anew(struct queue_log *q, const struct queue_view *v) {
	size_t n;
	struct inflight_entry **sorted = inflight_sorted(v->out, &n);
	for (size_t i = 0; i < n; i++) {
		struct inflight_entry *e = sorted[i];
		if (e->log_id == 0) continue;
		if (e->state == INFLIGHT_PUBCOMP) {
			queue_op_packet(q, QUEUE_RELEASE, v->id, e->packet_id);
			continue;
		}
		struct queue_delivery d = {
		    .m = e->m, .ids = e->ids, .qos = e->state == INFLIGHT_PUBREC ? 2 : 1, .retain = e->retain};
		e->log_id = body_anew(q, e->m);
		queue_put_delivery(q, v->id, e->log_id, &d, e->packet_id);
	}
	sl_free(sorted);
}

static void lane_anew(struct queue_log *q, struct queue_lane *lane, const struct queue_view *v) {
	q->also_log_id = 0;
	queue_op_packet(q, QUEUE_RESET, v->id, v->out->last_id);
	inflight_anew(q, v);
	for (uint32_t i = 0; i < v->queue->len; i++) {
		struct msg_queue_entry *e = msg_queue_at(v->queue, i);
		if (e->log_id == 0) continue;
		struct queue_delivery d = {.m = e->m, .ids = e->ids, .qos = e->qos, .retain = e->retain};
		e->log_id = body_anew(q, e->m);
		queue_put_delivery(q, v->id, e->log_id, &d, 0);
	}
	uint16_t id;
	for (uint32_t at = 0; id_set_next(v->in, &at, &id);)
		queue_op_packet(q, id_set_has(v->open, id) ? QUEUE_IN_OPEN : QUEUE_IN, v->id, id);
	q->reset_at = q->n.appended;
	if (v->out->len == 0 && v->queue->len == 0 && v->in->len == 0)
		queue_log_forget(lane);
	else
		lane_place(q, lane, q->map_serial);
}

/* Before a record of this session: what stands in files of a former run has numbers that this log does not know. */
void queue_lane_touch(struct queue_log *q, struct queue_lane *lane, struct queue_view *view) {
	q->opts.view(lane, view);
	if (sl_likely(sl_list_linked(&lane->link))) {
		if (sl_likely(lane->oldest > 0)) return;
		(void)bodies_slice(q, view, SIZE_MAX);
		lane_anew(q, lane, view);
		if (sl_list_linked(&lane->link)) return;
	}
	lane_place(q, lane, q->serial);
}

static bool due(const struct queue_log *q, const struct queue_lane *lane) {
	if (lane->oldest == 0) return true;
	if (sl_list_empty(&q->segments)) return false;
	const struct queue_segment *first = SL_LIST_ENTRY(q->segments.next, const struct queue_segment, link);
	return first->serial + SEGMENTS_KEPT <= q->serial && lane->oldest <= first->serial && q->credit > 0;
}

/* Nobody here needs the files of former runs, and that is safe. */
static void former_check(struct queue_log *q) {
	bool needed = !sl_list_empty(&q->lanes) && SL_LIST_ENTRY(q->lanes.next, struct queue_lane, link)->oldest == 0;
	if (!q->former_left || needed || q->reset_at > q->n.passed) return;
	q->former_left = false;
	queue_former_done(q->opts.former);
}

static void slice(struct queue_log *q, size_t end) {
	while (!sl_list_empty(&q->lanes) && q->buf.n < end) {
		struct queue_lane *lane = SL_LIST_ENTRY(q->lanes.next, struct queue_lane, link);
		if (!due(q, lane)) return;
		struct queue_view view;
		q->opts.view(lane, &view);
		q->slicing = !bodies_slice(q, &view, end);
		if (q->slicing) return;
		lane_anew(q, lane, &view);
	}
}

void queue_log_compact(struct queue_log *q) {
	former_check(q);
	if (sl_list_empty(&q->lanes)) q->slicing = false;
	/* What was written anew must be safe before its former place is given up: one slice at a time is enough. */
	if (q->status != SL_OK || q->reset_at > q->n.passed) return;
	queue_credit(q);
	size_t start = q->buf.n;
	slice(q, start + SLICE_BYTES);
	uint64_t anew = q->buf.n - start;
	q->credited = q->buf.n;
	q->stat.compacted_bytes += anew;
	q->credit -= (int64_t)anew;
	q->unfinished = anew > 0 || q->former_left;
}

/* What was appended since pays for as much that is written anew. */
void queue_credit(struct queue_log *q) {
	q->credit += (int64_t)(q->buf.n - q->credited);
	q->credited = q->buf.n;
}
