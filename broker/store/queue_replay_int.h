/* queue_replay_int.h: between the reader of files (queue_replay.c) and what records do (queue_apply.c). */
#ifndef QUEUE_REPLAY_INT_H
#define QUEUE_REPLAY_INT_H

#include "queue_record.h"
#include "queue_replay.h"

struct image_slot {
	uint64_t hash;
	struct queue_image *image;
	bool used;
};
#define HMAP_NAME image_map
#define HMAP_SLOT struct image_slot
#define HMAP_KEY uint64_t
#define HMAP_EQUAL(slot, key) ((slot)->image->id == (key))
#include "hmap.h"

struct number_slot {
	uint64_t hash;
	struct msg *m;
	uint32_t number;
	bool used;
};
#define HMAP_NAME number_map
#define HMAP_SLOT struct number_slot
#define HMAP_KEY uint32_t
#define HMAP_EQUAL(slot, key) ((slot)->number == (key))
#include "hmap.h"

struct replay_out {
	uint64_t seq;
	uint32_t from, to;
	struct msg *m;         /* a reference */
	struct sl_slice share; /* owned */
};

struct replay_seen {
	uint32_t from, to;
	uint64_t seq;
};

/* Of one run. */
struct replay_run {
	struct replay_out *out;
	size_t out_len, out_cap;
	struct replay_seen *seen;
	size_t seen_len, seen_cap;
	uint64_t home_seed;
	uint32_t workers;
};

struct replay_file {
	char *path;
	uint64_t run, serial, bytes;
	uint32_t worker;
};

struct queue_replay {
	struct queue_replay_opts opts;
	struct replay_file *files;
	size_t files_len, files_cap;
	struct image_map images;
	struct number_map numbers; /* bodies of the log at hand */
	struct replay_run run;
	uint32_t worker; /* whose log it is */
	struct queue_replay_stat stat;
};

/* The records of a frame. False: they make no sense from some place on. */
bool queue_apply(struct queue_replay *r, uint32_t first, struct sl_slice records);
void queue_apply_log_end(struct queue_replay *r); /* numbers mean something else from now on */
void queue_apply_run_end(struct queue_replay *r);

#endif
