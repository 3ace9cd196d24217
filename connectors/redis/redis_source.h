/* redis_source.h: messages out of Redis into rules: streams by a consumer group, a list, or channels.
 *
 *     streams   XREADGROUP, XACK when a message is through; what was read and not acknowledged is read again after a reconnect, and
 *               what another consumer left for `claim_after` is taken over (XAUTOCLAIM)
 *     list      BLMOVE to a list of our own (<list>:sluice:<consumer>), LREM when a message is through; what lies there
 *               at the start was taken before, and comes first
 *     channels  SUBSCRIBE and PSUBSCRIBE: Redis keeps nothing. What is said while we are away, or paused, is lost, and said so
 *
 * Two links of our own to the server that the connector has found (a sentinel's master, the node of a cluster that has the slot of
 * all keys): one waits for messages, the other acknowledges. When either is lost both are made again, and what was under way is forgotten: it comes again.
 *
 * Thread: the loop's own. Never blocks. */
#ifndef REDIS_SOURCE_H
#define REDIS_SOURCE_H

#include "redis_client.h"
#include "source.h"

/* So many entries or elements are asked for at once, fewer when they are large. */
#define REDIS_SOURCE_COUNT 128

enum redis_source_mode { REDIS_FROM_STREAMS, REDIS_FROM_LIST, REDIS_FROM_CHANNELS };

struct redis_source_conf {
	struct conf_list streams, channels, patterns;
	char *list, *group, *consumer, *start, *field;
	int end;
	int64_t claim_ms;
};
extern const struct conf_field redis_source_fields[];

/* What is under way of a part, by a number that is the message's mark. */
struct redis_slot {
	uint64_t ms, seq; /* streams: the entry's id */
	char *value;      /* list: to be removed; owned */
	size_t n;
	bool used;
};

/* Of a stream: the ids of its entries that are under way. */
struct redis_id_slot {
	uint64_t hash;
	bool used;
	uint64_t ms, seq;
};
#define HMAP_NAME redis_id_map
#define HMAP_SLOT struct redis_id_slot
#define HMAP_KEY const struct redis_id_slot *
#define HMAP_EQUAL(slot, key) ((slot)->ms == (key)->ms && (slot)->seq == (key)->seq)
#include "hmap.h"

/* A stream, or the list; the source's part. */
struct redis_from {
	struct sl_slice key; /* of the settings */
	struct redis_slot *slot;
	size_t slots, slot_cap, *spare, spares, spare_cap;
	struct redis_id_map ids;
	struct sl_buf acks; /* requests */
	uint32_t ack_n;
	bool history;     /* streams: what is ours already comes first */
	uint64_t ms, seq; /* streams: the last entry that was read; list: ms is how many were looked at */
};

struct redis_source {
	struct redis_source_conf conf; /* first: filled by the framework */
	enum redis_source_mode mode;
	uint16_t slot; /* of a cluster: where all its keys are */
	struct sl_source *s;
	const struct redis_conf *settings; /* the connector's, */
	struct redis_client *client;       /* and what it knows */
	struct redis_dock dock;
	struct redis_link in, out;
	char *host; /* of both */
	struct redis_request read, ack, claim;
	struct redis_limits limits; /* of what is asked for now */
	uint32_t count;             /* so many are asked for at once */
	size_t bytes;               /* of the answer that is read */
	struct sl_timer timer;
	struct sl_source_part **parts;
	size_t part_n, claimed; /* the part that is asked for next */
	bool up, claim_bad;     /* something was read; the last XAUTOCLAIM was refused */
	bool open, began, paused, closing, reading, acking, claiming;
	uint64_t tick_ms, heard_ms, heard_bytes, claim_ms, closing_ms;
	uint64_t untold;             /* through, and not acknowledged */
	uint64_t refused, ack_at_ms; /* acknowledgements in a row; then it begins anew, no sooner than that */
	uint64_t lost;               /* said in a channel while we were paused */
	struct sl_buf value, id;
	struct sl_source_header *headers;
	size_t header_cap;
};

extern const struct sl_source_kind redis_source_kind;
extern const struct redis_limits redis_limits_several; /* an answer with several messages; one alone may be larger */

/* redis_source_conf.c */
char *redis_source_pending_key(const struct redis_source *r); /* of a list; heap */
int redis_source_check(struct redis_source *r, struct sl_err *err);

/* redis_source_read.c: what is asked and what comes. */
void redis_source_begin(struct redis_source *r); /* both links are there */
void redis_source_read(struct redis_source *r);  /* the next, unless paused or asked already */
void redis_source_claim(struct redis_source *r);
void redis_source_ping(struct redis_source *r);

/* redis_source_ack.c: what is through. */
uint64_t redis_slot_take(struct redis_from *f, const struct redis_slot *slot);
uint64_t redis_entry_take(struct redis_from *f, uint64_t ms, uint64_t seq); /* the same of a stream */
bool redis_slot_has(const struct redis_from *f, uint64_t ms, uint64_t seq);
void redis_slot_done(struct redis_source *r, struct redis_from *f, uint64_t mark);
void redis_acks_send(struct redis_source *r);
void redis_from_fini(struct redis_from *f);

/* redis_source.c */
void redis_source_fail(struct redis_source *r, const char *text);
static inline struct redis_from *redis_from(const struct sl_source_part *part) { return sl_source_part_impl(part); }

#endif
