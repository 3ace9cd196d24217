/* queue_rig.h: sessions whose state is in memory and in queue logs, and a text of that state to compare. */
#ifndef QUEUE_RIG_H
#define QUEUE_RIG_H

#include "queue_replay.h"

enum { RIG_SESSIONS = 12, RIG_WORKERS_MAX = 3 };

struct rig_session {
	uint64_t id; /* 0: there is none */
	struct inflight out;
	struct msg_queue queue;
	struct id_set in, open;
	struct queue_lane lane;
};

struct rig {
	char *dir;
	uint64_t run, random, numbers, next_id;
	uint32_t workers;
	struct rig_session s[RIG_SESSIONS];
	struct queue_log *q[RIG_WORKERS_MAX];
	struct queue_former *former;
	uint64_t segment_bytes, disk_max;
	bool none_ends; /* sessions, by rig_step() */
};

char *rig_folder(void); /* a new one, empty; free with sl_free() */
void rig_folder_empty(const char *dir);
void rig_folder_copy(const char *from, const char *to);
void rig_open(struct rig *r, const char *dir, uint32_t workers); /* what is there is replayed */
void rig_close(struct rig *r, bool crash);                       /* crash: what is in the buffers is lost */
void rig_step(struct rig *r);                                    /* something happens to some sessions */
int rig_write(struct rig *r);
void rig_dump(const struct rig *r, struct sl_buf *out);
void rig_dump_replay(const struct rig *r, const char *dir, struct sl_buf *out); /* what a start would find there */
uint32_t rig_below(struct rig *r, uint32_t bound);
struct rig_session *rig_session_of(struct rig *r, uint32_t i);
struct queue_log *rig_log(struct rig *r, uint32_t i);
struct msg *rig_message(struct rig *r, size_t bytes);

#endif
