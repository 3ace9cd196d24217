/* queue_log.c: see queue_log.h: records, and begin and end. */
#include "mem.h"
#include "queue_log_int.h"

enum { OP_MAX = 1 + 3 * QUEUE_UINT_MAX + 2 }; /* a record without bytes */

void queue_frame_begin(struct queue_log *q) {
	sl_buf_clear(&q->buf);
	sl_buf_add(&q->buf, sizeof(struct queue_frame_head));
	q->first = q->next;
	q->last_id = 0;
	q->last = NULL;
	q->also_log_id = 0;
	q->credited = q->buf.n;
}

struct queue_log *queue_log_new(const struct queue_log_opts *opts) {
	struct queue_log *q = SL_NEW(struct queue_log);
	q->opts = *opts;
	q->opts.dir = sl_strdup(opts->dir);
	q->next = 1;
	q->serial = 1;
	sl_list_init(&q->segments);
	sl_list_init(&q->spares);
	sl_list_init(&q->lanes);
	q->out_last = SL_NEW_ARRAY(uint64_t, opts->workers);
	q->out_seen = SL_NEW_ARRAY(uint64_t, opts->workers);
	q->seen = SL_NEW_ARRAY(uint64_t, opts->workers);
	q->seen_written = SL_NEW_ARRAY(uint64_t, opts->workers);
	q->seen_passed = (_Atomic uint64_t *)SL_NEW_ARRAY(uint64_t, opts->workers);
	q->former_left = opts->former != NULL;
	if (opts->sync) q->sync = queue_sync_new(opts->synced, opts->arg, q->opts.dir);
	queue_frame_begin(q);
	return q;
}

void queue_log_free(struct queue_log *q) {
	if (!q) return;
	q->depth = 0;
	(void)queue_frame_write(q);
	queue_sync_free(q->sync);
	queue_files_close(q);
	while (sl_list_pop_front(&q->lanes)) {
	}
	queue_bodies_clear(q);
	sl_buf_fini(&q->buf);
	sl_free(q->out_last);
	sl_free(q->out_seen);
	sl_free(q->seen);
	sl_free(q->seen_written);
	sl_free((void *)q->seen_passed);
	sl_free((char *)q->opts.dir);
	sl_free(q);
}

int queue_log_status(const struct queue_log *q) { return q->status; }
bool queue_log_unfinished(const struct queue_log *q) { return q->unfinished; }

void queue_log_stat(const struct queue_log *q, struct queue_log_stat *out) {
	*out = q->stat;
	out->disk_bytes = q->disk_bytes;
	out->records = q->n.appended;
}

void queue_log_begin(struct queue_log *q) { q->depth++; }
void queue_log_end(struct queue_log *q) { q->depth--; }

void queue_passed(struct queue_log *q, uint64_t appended, const uint64_t *seen) {
	q->n.passed = appended;
	for (uint32_t i = 0; i < q->opts.workers; i++)
		atomic_store_explicit(&q->seen_passed[i], seen[i], memory_order_release);
	queue_segments_release(q);
}

int queue_log_write(struct queue_log *q) {
	if (q->depth > 0) return SL_EAGAIN;
	if (q->written == q->n.appended) return q->status;
	queue_credit(q);
	q->status = queue_frame_write(q);
	if (q->status != SL_OK) {
		q->stat.write_errors++;
		return q->status;
	}
	q->written = q->n.appended;
	q->stat.frames++;
	memcpy(q->seen_written, q->seen, q->opts.workers * sizeof *q->seen);
	queue_frame_begin(q);
	if (q->sync)
		queue_sync_ask(q->sync, q->active->fd, false, false, q->written, q->seen_written, q->opts.workers);
	else
		queue_passed(q, q->written, q->seen_written);
	return SL_OK;
}

void queue_log_synced(struct queue_log *q) {
	uint64_t upto, *seen = SL_NEW_ARRAY(uint64_t, q->opts.workers);
	if (q->sync && queue_sync_done(q->sync, &upto, seen, q->opts.workers)) queue_passed(q, upto, seen);
	sl_free(seen);
}

/* ---- records ---- */

static void op_begin(struct queue_log *q, enum queue_op op) {
	sl_buf_put(&q->buf, (char)op);
	q->n.appended++;
}

static void put_uint(struct queue_log *q, uint64_t v) {
	char room[QUEUE_UINT_MAX];
	sl_buf_append(&q->buf, room, (size_t)(queue_put_uint(room, v) - room));
}

static void put_packet(struct queue_log *q, uint16_t packet_id) {
	sl_buf_append(&q->buf, &packet_id, sizeof packet_id);
}

void queue_op_id(struct queue_log *q, enum queue_op op, uint64_t id) {
	op_begin(q, op);
	put_uint(q, queue_zigzag(id - q->last_id));
	q->last_id = id;
}

void queue_op_packet(struct queue_log *q, enum queue_op op, uint64_t id, uint16_t packet_id) {
	if (sl_unlikely(q->buf.cap - q->buf.n < OP_MAX)) sl_buf_grow(&q->buf, OP_MAX);
	char *p = q->buf.p + q->buf.n;
	*p++ = (char)op;
	p = queue_put_uint(p, queue_zigzag(id - q->last_id));
	*p++ = (char)(packet_id & 0xff);
	*p++ = (char)(packet_id >> 8);
	q->buf.n = (size_t)(p - q->buf.p);
	q->last_id = id;
	q->n.appended++;
}

/* 0 is no number. */
static uint32_t number_next(struct queue_log *q) {
	uint32_t number = q->next++;
	if (q->next == 0) q->next = 1;
	return number;
}

uint32_t queue_body(struct queue_log *q, struct msg *m) {
	enum { NUMBERS_MAX = 8 * QUEUE_UINT_MAX };
	size_t bytes = 2u + m->topic_len + m->payload_len + m->props_len + m->client_id_len + m->username_len;
	op_begin(q, QUEUE_MSG);
	sl_buf_put(&q->buf, (char)(m->qos | (m->retain ? QUEUE_FLAG_RETAIN : 0)));
	sl_buf_put(&q->buf, (char)m->hops);
	char numbers[NUMBERS_MAX], *p = queue_put_uint(numbers, (uint64_t)m->arrived_ms);
	p = queue_put_uint(p, m->expiry_s == MSG_NO_EXPIRY ? 0 : (uint64_t)m->expiry_s + 1);
	p = queue_put_uint(p, m->topic_len);
	p = queue_put_uint(p, m->payload_len);
	p = queue_put_uint(p, m->props_len);
	p = queue_put_uint(p, m->client_id_len);
	p = queue_put_uint(p, m->username_len);
	sl_buf_append(&q->buf, numbers, (size_t)(p - numbers));
	sl_buf_append(&q->buf, m->wire + 2, bytes - 2);
	return number_next(q);
}

/* Deliveries of one message follow each other: its body is written with the first. */
static uint32_t body_of(struct queue_log *q, struct msg *m) {
	if (q->last == m && q->last_number == m->number && m->number != 0) return q->last_log_id;
	q->last = m;
	q->last_number = m->number;
	return q->last_log_id = queue_body(q, m);
}

static uint8_t delivery_flags(const struct queue_delivery *d) {
	unsigned flags = d->qos | (d->retain ? (unsigned)QUEUE_FLAG_RETAIN : 0);
	if (d->ids && d->ids->n) flags |= QUEUE_FLAG_IDS;
	if (d->ids && d->ids->group) flags |= QUEUE_FLAG_GROUP;
	return (uint8_t)flags;
}

/* packet_id 0: it waits. */
void queue_put_delivery(struct queue_log *q, uint64_t id, uint32_t log_id, const struct queue_delivery *d,
			uint16_t packet_id) {
	uint8_t flags = delivery_flags(d);
	enum queue_op op = packet_id ? QUEUE_SENT_NOW : QUEUE_QUEUED;
	if (q->also_log_id == log_id && q->also_op == op && q->also_flags == flags) {
		if (packet_id)
			queue_op_packet(q, QUEUE_ALSO_SENT, id, packet_id);
		else
			queue_op_id(q, QUEUE_ALSO_QUEUED, id);
		return;
	}
	queue_op_id(q, op, id);
	if (packet_id) put_packet(q, packet_id);
	sl_buf_put(&q->buf, (char)flags);
	put_uint(q, q->next - log_id);
	if (flags & QUEUE_FLAG_IDS) {
		put_uint(q, d->ids->n);
		for (uint32_t i = 0; i < d->ids->n; i++) put_uint(q, d->ids->id[i]);
	}
	q->also_log_id = flags & QUEUE_FLAG_IDS ? 0 : log_id;
	q->also_op = (uint8_t)op;
	q->also_flags = flags;
}

uint32_t queue_log_queued(struct queue_log *q, struct queue_lane *lane, const struct queue_delivery *d) {
	struct queue_view view;
	queue_lane_touch(q, lane, &view);
	uint32_t log_id = body_of(q, d->m);
	queue_put_delivery(q, view.id, log_id, d, 0);
	return log_id;
}

uint32_t queue_log_sent_now(struct queue_log *q, struct queue_lane *lane, const struct queue_delivery *d,
			    uint16_t packet_id) {
	struct queue_view view;
	queue_lane_touch(q, lane, &view);
	uint32_t log_id = body_of(q, d->m);
	queue_put_delivery(q, view.id, log_id, d, packet_id);
	return log_id;
}

void queue_log_prepare(struct queue_log *q, struct queue_lane *lane) {
	struct queue_view view;
	queue_lane_touch(q, lane, &view);
}

void queue_log_sent(struct queue_log *q, struct queue_lane *lane, uint32_t log_id, uint16_t packet_id) {
	struct queue_view view;
	queue_lane_touch(q, lane, &view);
	queue_op_id(q, QUEUE_SENT, view.id);
	put_uint(q, (uint32_t)(q->next - log_id));
	put_packet(q, packet_id);
}

void queue_log_dropped(struct queue_log *q, struct queue_lane *lane, uint32_t log_id) {
	struct queue_view view;
	queue_lane_touch(q, lane, &view);
	queue_op_id(q, QUEUE_DROPPED, view.id);
	put_uint(q, (uint32_t)(q->next - log_id));
}

static void packet_record(struct queue_log *q, struct queue_lane *lane, enum queue_op op, uint16_t packet_id) {
	struct queue_view view;
	queue_lane_touch(q, lane, &view);
	queue_op_packet(q, op, view.id, packet_id);
}

void queue_log_done(struct queue_log *q, struct queue_lane *lane, uint16_t packet_id) {
	packet_record(q, lane, QUEUE_DONE, packet_id);
}
void queue_log_received(struct queue_log *q, struct queue_lane *lane, uint16_t packet_id) {
	packet_record(q, lane, QUEUE_RECEIVED, packet_id);
}
void queue_log_in(struct queue_log *q, struct queue_lane *lane, uint16_t packet_id, bool open) {
	packet_record(q, lane, open ? QUEUE_IN_OPEN : QUEUE_IN, packet_id);
}
void queue_log_settled(struct queue_log *q, struct queue_lane *lane, uint16_t packet_id) {
	packet_record(q, lane, QUEUE_SETTLED, packet_id);
}
void queue_log_released(struct queue_log *q, struct queue_lane *lane, uint16_t packet_id) {
	packet_record(q, lane, QUEUE_RELEASED, packet_id);
}

/* ---- between workers ---- */

void queue_log_out(struct queue_log *q, uint32_t to, uint64_t seq, struct msg *m, struct sl_slice share) {
	uint32_t log_id = body_of(q, m);
	op_begin(q, QUEUE_OUT);
	put_uint(q, to);
	put_uint(q, seq);
	put_uint(q, (uint32_t)(q->next - log_id));
	put_uint(q, share.n);
	sl_buf_append_slice(&q->buf, share);
	q->out_last[to] = seq;
}

void queue_log_seen(struct queue_log *q, uint32_t from, uint64_t seq) {
	op_begin(q, QUEUE_SEEN);
	put_uint(q, from);
	put_uint(q, seq);
	q->seen[from] = seq;
}

void queue_log_out_seen(struct queue_log *q, uint32_t to, uint64_t seq) { q->out_seen[to] = seq; }

uint64_t queue_log_seen_passed(const struct queue_log *q, uint32_t from) {
	return atomic_load_explicit(&q->seen_passed[from], memory_order_acquire);
}
