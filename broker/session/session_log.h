/* session_log.h: what a persistent session tells the queue log. For the others each of these is one branch.
 * Thread: the session's worker. */
#ifndef SESSION_LOG_H
#define SESSION_LOG_H

#include "session.h"
#include "worker_log.h"

/* The log of a session that is persistent, else NULL. */
static inline struct queue_log *session_log(const struct session *s) {
	return sl_likely(s->store_id == 0) || !s->w->log ? NULL : s->w->log->q;
}

/* What its client is told next must not be known to it before the log has it. */
static inline void session_log_after(struct session *s) {
	if (s->c) worker_log_after(s->c);
}

/* Before it goes into the queue. */
static inline void session_log_queued(struct session *s, struct msg_queue_entry *e) {
	struct queue_log *q = session_log(s);
	if (!q || e->qos == 0) return;
	struct queue_delivery d = {.m = e->m, .ids = e->ids, .qos = e->qos, .retain = e->retain};
	e->log_id = queue_log_queued(q, &s->lane, &d);
}

/* Before entries leave the queue, or a packet id is given up. */
static inline void session_log_prepare(struct session *s) {
	struct queue_log *q = session_log(s);
	if (q && sl_list_linked(&s->lane.link)) queue_log_prepare(q, &s->lane);
}

/* Sent: log_id of the entry that waited, 0: it has just come. */
static inline void session_log_sent(struct session *s, struct inflight_entry *e, uint8_t qos, uint32_t log_id) {
	struct queue_log *q = session_log(s);
	if (!q) return;
	struct queue_delivery d = {.m = e->m, .ids = e->ids, .qos = qos, .retain = e->retain};
	if (log_id)
		queue_log_sent(q, &s->lane, log_id, e->packet_id);
	else
		log_id = queue_log_sent_now(q, &s->lane, &d, e->packet_id);
	e->log_id = log_id;
	session_log_after(s);
}

/* An entry has left the queue and is not sent. */
static inline void session_log_dropped(struct session *s, uint32_t log_id) {
	struct queue_log *q = session_log(s);
	if (q && log_id) queue_log_dropped(q, &s->lane, log_id);
}

static inline void session_log_done(struct session *s, uint16_t packet_id) {
	struct queue_log *q = session_log(s);
	if (q) queue_log_done(q, &s->lane, packet_id);
}

/* PUBREC: before PUBREL is sent. */
static inline void session_log_received(struct session *s, uint16_t packet_id) {
	struct queue_log *q = session_log(s);
	if (!q) return;
	queue_log_received(q, &s->lane, packet_id);
	session_log_after(s);
}

/* Something has left: perhaps it was the last that the log had to know. */
static inline void session_log_less(struct session *s) {
	if (sl_likely(s->store_id == 0)) return;
	if (s->out.len == 0 && s->queue.len == 0 && s->in.len == 0) queue_log_forget(&s->lane);
}

/* ---- QoS 2 from its client ---- */

/* open: it is routed, but not acknowledged yet. */
static inline void session_log_in(struct session *s, uint16_t packet_id, bool open) {
	struct queue_log *q = session_log(s);
	if (!q) return;
	if (open) id_set_add(&s->open, packet_id);
	queue_log_in(q, &s->lane, packet_id, open);
}

/* It is acknowledged. */
static inline void session_log_settled(struct session *s, uint16_t packet_id) {
	if (sl_likely(s->open.len == 0) || !id_set_remove(&s->open, packet_id)) return;
	struct queue_log *q = session_log(s);
	if (!q) return;
	queue_log_settled(q, &s->lane, packet_id);
	session_log_after(s);
}

/* PUBREL: before PUBCOMP is sent. */
static inline void session_log_released(struct session *s, uint16_t packet_id) {
	id_set_remove(&s->open, packet_id);
	id_set_remove(&s->reroute, packet_id);
	struct queue_log *q = session_log(s);
	if (!q) return;
	queue_log_released(q, &s->lane, packet_id);
	session_log_after(s);
	session_log_less(s);
}

#endif
