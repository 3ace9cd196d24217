/* queue_log.h: the log of what changes with every message: queues, messages under way, QoS 2 ids.
 *
 * Each worker has one. During a tick records are appended to a buffer; queue_log_write() makes one *frame* of them and writes it
 * with one system call. Nothing that depends on a record (an acknowledgement, a PUBLISH with its packet id) may leave before
 * `passed` has reached the number that `appended` had when the record was in: base/net/stream.h holds such output back.
 *
 *     dir/0000000003-001-0000000017.queue      run 3, worker 1, segment 17; the highest is the only one written to
 *     dir/spare-001-0000000016                 was a segment that nobody needs, and becomes the next one
 *
 *     segment   head (queue_record.h) | frame | frame | ... | 8 zero bytes | what the file held before it was used again
 *     frame     u32 crc | u32 bytes | u32 number of the first message in it | u32 0 | records
 *
 * A frame is whole or it is not there. Its checksum is seeded with the segment's number, so that what an older segment left in
 * the file is never taken for a frame of this one.
 *
 * A message's body is written once, however many sessions of the worker get it, and has a number (32 bits, going round). A record
 * names a session by its store_id and a message by that number. Replay is a walk through all records in order
 * (queue_replay.h); so a record may be deleted when all that follows from it is over.
 *
 * Memory holds the full picture, and compaction reads nothing: a session whose oldest record stands in the oldest segment is written anew
 * at the head (RESET, then all that it has), in slices, and then the segment is deleted. Each byte that is appended pays for one that is
 * written anew, so a log is about twice as large as what is alive in it, plus a few segments; three times for the moment in which all
 * of it belongs to one session, which is written anew as a whole.
 *
 * What goes to a session of another worker is first noted here (OUT), with what the publisher is told in the same frame; the other one
 * notes in its log, in the frame with what became of it, up to where it has seen ours (SEEN). After a crash what was noted and not seen is
 * given to the sessions that lived there: not lost, not twice.
 *
 * A segment that cannot be written (disk full, disk_max) leaves all in the buffer: `passed` stands still, `status` says why, and
 * queue_log_write() may be tried again at any time. What does not depend on the log goes on.
 *
 * Lifetime: of the worker. Thread: one at a time. queue_log_write() does file output, to the page cache; with `sync` a thread of the log's
 * own syncs the file behind it, and `synced` is called there. */
#ifndef QUEUE_LOG_H
#define QUEUE_LOG_H

#include "buf.h"
#include "err.h"
#include "id_set.h"
#include "list.h"
#include "msg_queue.h"

struct queue_log;
struct queue_former;

/* What the log knows of a session; embedded in it. Zeroed and queue_lane_init(): nothing of it is in the log. */
struct queue_lane {
	struct sl_list link; /* in order of `oldest`, while anything of it is needed */
	uint64_t oldest;     /* the first segment that is; 0: files of a former run */
};
static inline void queue_lane_init(struct queue_lane *lane) { sl_list_init(&lane->link); }

/* A session's state, where its owner has it. */
struct queue_view {
	uint64_t id; /* store_id */
	struct inflight *out;
	struct msg_queue *queue;
	const struct id_set *in, *open; /* open: of `in`, whose rules are not done */
};

struct queue_log_opts {
	const char *dir; /* made with its parents when the first frame is written */
	uint64_t run;    /* higher than that of all files that are there */
	uint32_t worker, workers;
	uint64_t home_seed; /* what told each session its worker: kept for the next run */
	uint64_t segment_bytes, disk_max;
	bool sync;
	void (*view)(struct queue_lane *lane, struct queue_view *out);
	void (*synced)(
	    void *
		arg); /* with `sync`: some more is on the disk; take it with queue_log_synced(). @thread the log's own */
	void *arg;
	struct queue_former *former; /* borrowed; NULL: none */
};

struct queue_log_stat {
	uint64_t disk_bytes, records, frames, write_errors, compacted_bytes;
};

struct queue_log *queue_log_new(const struct queue_log_opts *opts);
void queue_log_free(
    struct queue_log *q); /* writes what is left in the buffer, if it can; files stay. Lanes are in no list then */

/* How many records are in, and how many of these are as safe as they shall be. */
struct queue_log_count {
	uint64_t appended, passed;
};
static inline const struct queue_log_count *queue_log_count(const struct queue_log *q) {
	return (const struct queue_log_count *)(const void *)q; /* its first member */
}
static inline uint64_t queue_log_appended(const struct queue_log *q) { return queue_log_count(q)->appended; }
static inline uint64_t queue_log_passed(const struct queue_log *q) { return queue_log_count(q)->passed; }
int queue_log_status(const struct queue_log *q); /* of the last write */
/* Little room is left: no more messages should be accepted, so that those that wait can be sent and acknowledged, which takes records
 * too. Tries whether there is some again. */
bool queue_log_tight(struct queue_log *q);
void queue_log_stat(const struct queue_log *q, struct queue_log_stat *out);

/* Writes the buffer. SL_EAGAIN: not now, inside of begin and end. */
int queue_log_write(struct queue_log *q);
/* Appends a slice of compaction if some is due: before the last write of a tick, when all sessions are as their records say. */
void queue_log_compact(struct queue_log *q);
bool queue_log_unfinished(const struct queue_log *q); /* there is more to compact at once: write again soon */
void queue_log_synced(struct queue_log *q);

/* Between begin and end nothing is written: what belongs together stands in one frame. They nest. */
void queue_log_begin(struct queue_log *q);
void queue_log_end(struct queue_log *q);

/* A session that was restored: its records are in the files of a former run. */
void queue_log_adopt(struct queue_log *q, struct queue_lane *lane);
/* The session ends: nothing of it is needed. */
void queue_log_forget(struct queue_lane *lane);

/* ---- records: what has just happened; the view has it already, unless said otherwise ---- */

struct queue_delivery {
	struct msg *m;
	const struct sub_ids *ids; /* NULL: none */
	uint8_t qos;
	bool retain;
};
/* The message waits in the queue / was sent at once with this packet id. Returns its number, for the entry's log_id. */
uint32_t queue_log_queued(struct queue_log *q, struct queue_lane *lane, const struct queue_delivery *d);
uint32_t queue_log_sent_now(struct queue_log *q, struct queue_lane *lane, const struct queue_delivery *d,
			    uint16_t packet_id);
/* Before an entry with a log_id leaves the queue for what the next two say. */
void queue_log_prepare(struct queue_log *q, struct queue_lane *lane);
/* One that waited is sent, or dropped. log_id: the entry's, as it was after queue_log_prepare(); the in-flight entry takes it over. */
void queue_log_sent(struct queue_log *q, struct queue_lane *lane, uint32_t log_id, uint16_t packet_id);
void queue_log_dropped(struct queue_log *q, struct queue_lane *lane, uint32_t log_id);
/* PUBACK, PUBCOMP, or given up: the packet id is free. */
void queue_log_done(struct queue_log *q, struct queue_lane *lane, uint16_t packet_id);
void queue_log_received(struct queue_log *q, struct queue_lane *lane, uint16_t packet_id); /* PUBREC */
/* A QoS 2 message came in; open: it is not acknowledged yet; settled: now it is; released: PUBREL. */
void queue_log_in(struct queue_log *q, struct queue_lane *lane, uint16_t packet_id, bool open);
void queue_log_settled(struct queue_log *q, struct queue_lane *lane, uint16_t packet_id);
void queue_log_released(struct queue_log *q, struct queue_lane *lane, uint16_t packet_id);

/* The message goes to another worker, as its number `seq` from here; share: "group/filter" whose member it is for, or empty. */
void queue_log_out(struct queue_log *q, uint32_t to, uint64_t seq, struct msg *m, struct sl_slice share);
void queue_log_seen(struct queue_log *q, uint32_t from, uint64_t seq);
/* What the other worker has seen by now of what went there, written and safe. */
void queue_log_out_seen(struct queue_log *q, uint32_t to, uint64_t seq);
uint64_t queue_log_seen_passed(const struct queue_log *q,
			       uint32_t from); /* for the other one to ask: see worker_log.c */

/* ---- files of former runs ---- */

/* They go when all `workers` logs need none of them any more. run: the present one. */
struct queue_former *queue_former_new(const char *dir, uint64_t run, uint32_t workers) sl_warn_unused;
void queue_former_add(struct queue_former *f, const char *path, uint64_t bytes);
void queue_former_free(struct queue_former *f);
uint64_t queue_former_bytes(const struct queue_former *f); /* 0: they have gone. @thread any */

#endif
