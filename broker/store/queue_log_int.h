/* queue_log_int.h: the inside of the queue log: records (queue_log.c), files (queue_files.c), compaction (queue_compact.c), the
 * thread that syncs (queue_sync.c). */
#ifndef QUEUE_LOG_INT_H
#define QUEUE_LOG_INT_H

#include <stdatomic.h>

#include "queue_log.h"
#include "queue_record.h"

struct queue_sync;

struct queue_segment {
	struct sl_list link;
	uint64_t serial, size; /* of the file */
	int fd;                /* -1 when it is not the active one */
	uint64_t out_last[];   /* when it ended: the last number that went to each worker */
};

/* Bodies that compaction has written since `map_serial` began. */
struct body_slot {
	uint64_t hash;
	struct msg *m; /* a reference */
	uint32_t number;
	bool used;
};
#define HMAP_NAME body_map
#define HMAP_SLOT struct body_slot
#define HMAP_KEY const struct msg *
#define HMAP_EQUAL(slot, key) ((slot)->m == (key))
#include "hmap.h"

struct queue_log {
	struct queue_log_count n; /* first: queue_log_count() */
	struct queue_log_opts opts;
	struct sl_buf buf; /* room for the head, then records */
	uint32_t depth;    /* of begin and end */
	uint64_t written;  /* of n.appended */
	int status;

	/* What the records of this frame refer to. */
	uint32_t first, next; /* numbers of messages */
	uint64_t last_id;
	const struct msg *last; /* its body is in this frame, */
	uint64_t last_number;   /* it is this message, not another at its place, */
	uint32_t last_log_id;   /* and has this number */
	uint32_t also_log_id;   /* of the last record of a delivery; 0: nothing can be the same as it */
	uint8_t also_op, also_flags;

	struct sl_list segments; /* in order; the last is the active one */
	struct queue_segment *active;
	uint64_t serial, at; /* of the active one, or the next; where the next frame goes */
	struct sl_list spares;
	uint32_t spare_count;
	uint64_t disk_bytes;
	bool full_told, reserve;

	struct sl_list lanes; /* in order of `oldest` */
	int64_t credit;       /* bytes that may be written anew; below 0: they were */
	uint64_t reset_at;    /* `appended` behind the last RESET */
	struct body_map bodies;
	uint64_t map_serial;
	size_t credited; /* so far the buffer is counted in it */
	bool slicing;    /* of the first lane some bodies are in the map */
	bool unfinished, former_left;

	uint64_t *out_last, *out_seen; /* by worker */
	uint64_t *seen, *seen_written; /* the same, of what came */
	_Atomic uint64_t *seen_passed; /* for the other workers to read */
	struct queue_sync *sync;
	struct queue_log_stat stat;
};

/* queue_log.c */
uint32_t queue_body(struct queue_log *q, struct msg *m);              /* writes it; its number */
void queue_op_id(struct queue_log *q, enum queue_op op, uint64_t id); /* begins a record */
void queue_op_packet(struct queue_log *q, enum queue_op op, uint64_t id, uint16_t packet_id); /* a whole one */
void queue_put_delivery(struct queue_log *q, uint64_t id, uint32_t log_id, const struct queue_delivery *d,
			uint16_t packet_id);
void queue_frame_begin(struct queue_log *q);
void queue_passed(struct queue_log *q, uint64_t appended, const uint64_t *seen);

/* queue_files.c */
int queue_frame_write(struct queue_log *q);
void queue_segments_release(struct queue_log *q);
void queue_files_close(struct queue_log *q);

/* queue_compact.c */
void queue_lane_touch(struct queue_log *q, struct queue_lane *lane, struct queue_view *view);
void queue_credit(struct queue_log *q);
void queue_bodies_clear(struct queue_log *q);

/* queue_former.c */
void queue_former_done(struct queue_former *f); /* by one of its logs. @thread any */

/* queue_sync.c */
struct queue_sync *queue_sync_new(void (*synced)(void *arg), void *arg, const char *dir);
void queue_sync_free(struct queue_sync *s);
/* fd: to be synced; ends: and closed then. upto, seen (of `workers`): what is safe then. */
void queue_sync_ask(struct queue_sync *s, int fd, bool ends, bool names, uint64_t upto, const uint64_t *seen,
		    size_t workers);
bool queue_sync_done(struct queue_sync *s, uint64_t *upto, uint64_t *seen, size_t workers);

#endif
