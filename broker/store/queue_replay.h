/* queue_replay.h: what former runs have left in the queue log: the state of each session, as it was.
 *
 *     queue_replay_open(&opts, &r, &err)     reads all files, oldest run first
 *     queue_replay_next(r, &at)              each session that has anything; its parts may be taken (moved out)
 *     queue_replay_files(r, former)          the files, to go when they are not needed any more
 *     queue_replay_free(r)
 *
 * A file is read up to its first bad frame; what is cut is said (WARN: file, place, bytes). A message that several sessions have is
 * one struct msg. Entries have a log_id that is not 0, and means nothing but that.
 * Thread: one at a time. Blocks: it reads files. */
#ifndef QUEUE_REPLAY_H
#define QUEUE_REPLAY_H

#include "queue_log.h"

struct queue_replay;

struct queue_image {
	uint64_t id; /* store_id */
	struct inflight out;
	struct msg_queue queue;
	struct id_set in, open;
};

/* A message that was on its way to another worker: it has not been seen there. */
struct queue_pending {
	struct msg *m;         /* borrowed */
	struct sl_slice share; /* "group/filter" whose member it is for; empty: all that subscribed */
	uint32_t to, workers;  /* that worker, of so many */
	uint64_t home_seed;
};

struct queue_replay_opts {
	const char *dir;
	bool (*known)(void *arg, uint64_t id); /* records of other sessions are passed over */
	/* At the end of each run, for each in order: it is given to sessions with queue_replay_add(). May be NULL. */
	void (*pending)(void *arg, struct queue_replay *r, const struct queue_pending *p);
	void *arg;
};

struct queue_replay_stat {
	uint64_t files, bytes, cut_bytes, records, messages; /* messages: bodies that were read */
	uint64_t run;                                        /* the highest; 0: none */
};

/* SL_OK also when there is no such folder. Other errors: it can't be read; or SL_EUNSUPPORTED, of another version. */
int queue_replay_open(const struct queue_replay_opts *opts, struct queue_replay **out, struct sl_err *err);
void queue_replay_free(struct queue_replay *r);
void queue_replay_add(struct queue_replay *r, uint64_t id, const struct queue_delivery *d); /* copies d->ids */
struct queue_image *queue_replay_next(struct queue_replay *r, size_t *at); /* *at: 0 at first; NULL: no more */
void queue_replay_stat(const struct queue_replay *r, struct queue_replay_stat *out);
void queue_replay_files(const struct queue_replay *r, struct queue_former *former);

#endif
