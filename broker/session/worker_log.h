/* worker_log.h: a worker's queue log (../store/queue_log.h): when it is written, and who waits for it.
 *
 *     FLUSH   a slice of compaction, one write(2) for all records of the tick; then boxes leave for other workers
 *     WRITE   streams send; who depends on a record that is not safe is held (stream.h, `after`)
 *
 * So in the common case (no sync, room on disk) nobody ever waits: what is sent at the end of a tick has been written just before.
 * With sync, or while the log cannot be written, the connections that depend on it are held, and the others go on. Their publishers
 * are not read meanwhile, once they have enough unanswered.
 *
 * A publish and all that comes of it on this worker stand between worker_log_begin() and worker_log_end(): in one frame, so that after a
 * crash a QoS 2 message is known and delivered, or neither. What goes to another worker with persistent sessions is noted in the same frame.
 *
 * Lifetime: with the broker; worker.log is NULL where nothing is persistent. Thread: the worker's baton. */
#ifndef WORKER_LOG_H
#define WORKER_LOG_H

#include "client.h"
#include "queue_log.h"
#include "worker.h"

struct worker_log {
	struct worker *w;
	struct queue_log *q;
	struct sl_barrier barrier;
	struct sl_deferred nudge; /* a visitor has appended, or there is more to compact: another tick */
	struct sl_timer retry;    /* the log could not be written */
	struct sl_list paused;    /* clients that are not read until it is */
	struct sl_post synced;
	_Atomic bool synced_posted;
	uint64_t *out_seq; /* numbers of what went to each worker */
	uint64_t tight_at; /* bytes on disk when it was asked whether room is */
	bool tight;        /* short */
	bool out_waits;    /* some of it has not been seen there, as far as is known here */
	struct log_wait {
		uint64_t after;
		struct sl_ticket *t;
	} * waits; /* in order of `after`, from waits_at on */
	size_t waits_at, waits_len, waits_cap;
};

/* Before the threads start, with the sessions there: what the log says of them is put back. */
int worker_log_restore(struct broker *b, struct sl_err *err);
void worker_log_close(struct broker *b); /* after they have ended, with the sessions gone */

struct worker_log_open { /* worker_log_restore.c */
	const char *dir;
	uint64_t run;
};
void worker_log_open(struct worker *w, const struct worker_log_open *opts);

static inline uint64_t worker_log_begin(struct worker *w) {
	if (!w->log) return 0;
	queue_log_begin(w->log->q);
	return queue_log_appended(w->log->q);
}
/* before: what begin gave. c: whose answers wait for what was appended since; t: who waits for it besides. May be NULL. */
void worker_log_ended(struct worker *w, uint64_t before, struct client *c, struct sl_ticket *t);
static inline void worker_log_end(struct worker *w, uint64_t before, struct client *c, struct sl_ticket *t) {
	if (w->log) worker_log_ended(w, before, c, t);
}
void worker_log_client_gone(struct client *c);

/* What the client is sent from now on waits for all that is in the log. */
static inline void worker_log_after(struct client *c) { client_stream(c)->after = queue_log_appended(c->w->log->q); }

/* A message for another worker: noted here if it may have persistent sessions. share: of which group a member gets it, or empty.
 * Gives its number, 0: it was not noted. */
uint64_t worker_log_out(struct worker *w, uint32_t target, struct msg *m, struct sl_slice share);
/* The other side. */
void worker_log_seen(struct worker *w, uint32_t from, uint64_t seq);

/* At the end of a tick, before boxes leave; and when a visitor leaves. */
void worker_log_write(struct worker *w);
/* Clients that are not read from until the log has room, or is synced. */
uint64_t worker_log_paused(const struct worker *w);

#endif
