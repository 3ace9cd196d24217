/* kafka_source.h: messages of topics into rules: a consumer group member on the connections' loop.
 *
 *     rd_kafka_consumer_poll() ──> sl_source_take()                    an eventfd says that there is something
 *     sl_source_kind.done()    ──> tracker of the partition            whose mark, when it moves, is stored; librdkafka
 *                                                                      commits what is stored, and on the way out of a group
 * States. STOPPED: no client. RUNNING: a client, which connects and joins again by itself. CLOSING: it leaves the group, then
 * ends on the keeper's thread; a client that librdkafka calls spent, and one that is down for longer than
 * `session_timeout`, begins anew after that. One that doesn't end in time is left to its keeper, and another one of both begins beside them.
 *
 * Rebalance (kafka_source_group.c). Partitions that come: where the group has no offset for them and `start` says latest or a
 * time, the keeper's thread looks the offsets up, and they are stored at once: a group that has received nothing yet goes on where
 * it joined, also after a restart. Partitions that go: they take nothing more, what is under way has some time to get
 * through, then the mark is stored and they are given back; what is left is forgotten, and whoever gets the partition receives it again.
 *
 * Thread: the loop; the keeper's thread sees a struct kafka_lookup only. */
#ifndef KAFKA_SOURCE_H
#define KAFKA_SOURCE_H

#include "kafka_conf.h"
#include "kafka_keeper.h"
#include "source.h"
#include "source_tracker.h"

enum kafka_start { KAFKA_EARLIEST, KAFKA_LATEST, KAFKA_AT_TIME };
enum { KAFKA_STUCK_MAX = 4 };
enum kafka_source_phase { KAFKA_SOURCE_STOPPED, KAFKA_SOURCE_RUNNING, KAFKA_SOURCE_CLOSING };

struct kafka_source_conf {
	struct conf_list topics;
	char *pattern, *group, *group_instance, *start;
	int isolation;
	int64_t commit_interval_ms, session_timeout_ms;
	struct conf_map properties;
};
extern const struct conf_field kafka_source_fields[];

/* A partition that is ours; the source's part. */
struct kafka_source_part {
	struct source_tracker tracker;
	char *topic;
	int32_t partition;
	int64_t next;        /* offset behind the last that was taken; -1: none yet */
	int64_t held;        /* `next` when it was held: what was taken behind that may come twice; -1: nothing may */
	int64_t end;         /* of the partition, when it was asked for; what is fetched tells it too */
	int64_t anew;        /* where its offsets began anew, until that is committed; -1: they did not */
	int64_t looked_next; /* when it was last looked at (kafka_source_watch.c) */
	unsigned still;      /* so often it stood still then */
	bool moved;          /* the mark has, since it was stored */
	bool damaged;        /* its records were, when it was last heard of */
	bool revoking;       /* nothing more is taken */
};

/* Partitions that came or go, until that is done; one at a time. */
struct kafka_change {
	rd_kafka_topic_partition_list_t *list; /* NULL: none */
	bool revoked;
	uint64_t number; /* grows: answers to earlier ones are late */
};

/* Before a client that begins anew for what may last: a short pause three times, then twice as long each time, to a minute; after five
 * minutes without it short again. Zeroed at first. */
struct kafka_pause {
	unsigned times;
	uint64_t ms, last_ms;
};
enum { KAFKA_ANEW_MS = 2000, KAFKA_ANEW_MAX_MS = 60000, KAFKA_ANEW_CALM_MS = 300000 };
static inline void kafka_pause_next(struct kafka_pause *p, uint64_t now_ms) {
	bool calm = p->times == 0 || now_ms - p->last_ms > KAFKA_ANEW_CALM_MS;
	p->times = calm ? 1 : p->times + 1;
	p->ms = p->times <= 3 ? KAFKA_ANEW_MS : p->ms * 2 < KAFKA_ANEW_MAX_MS ? p->ms * 2 : KAFKA_ANEW_MAX_MS;
	p->last_ms = now_ms;
}

struct kafka_source {
	struct kafka_source_conf conf; /* first: filled by the framework */
	enum kafka_start start;
	int64_t start_ms;
	struct sl_source *s;
	const struct kafka_conf *conn;
	struct kafka_client client;
	struct kafka_keeper *keeper;

	enum kafka_source_phase phase;
	rd_kafka_t *rk;
	rd_kafka_queue_t *queue, *close_queue;
	int event_fd; /* -1: none yet */
	struct sl_watch watch;
	bool watched, ending, anew, paused;
	bool cooperative; /* the group's protocol, once partitions have come */
	rd_kafka_t *ending_rk;
	struct kafka_stuck {
		struct kafka_keeper *keeper;
		rd_kafka_t *rk;   /* to compare only */
	} stuck[KAFKA_STUCK_MAX]; /* clients that did not end in time, beside which others began */
	size_t stuck_n;
	bool closes;     /* as soon as those have ended */
	bool stays_down; /* `down` holds for the next client as well, until a broker answers it */
	bool
	    held; /* paused for so long that the partitions are, too: librdkafka throws away what it has fetched then */
	uint64_t paused_ms;
	struct sl_timer tick; /* a poll now and then keeps the membership; in CLOSING: is it closed? */
	struct sl_timer change_timer;
	uint64_t closing_ms; /* since when */
	struct kafka_change change;
	struct kafka_lookup *lookup; /* with the keeper */
	struct kafka_ends *ends;     /* the same */
	struct kafka_round *round;   /* the same */
	uint64_t round_ms, ends_round_ms, stood_ms;
	int group_rounds, wrong_rounds;
	uint64_t ends_ms;

	struct sl_source_part **parts;
	size_t part_n, part_cap, part_last;
	struct sl_source_header *headers; /* room */
	size_t header_cap;
	struct sl_buf id;

	bool joined, brokers_up, suspect; /* suspect: a connection broke; does any broker answer? */
	bool begun; /* partitions were assigned once: what is new from now on is read from its beginning */
	struct kafka_pause unread; /* messages that could not be read */
	bool unread_waits;         /* the next client begins after `unread` */
	char *stood;               /* what it does not read as it should, and that was said; NULL: nothing */
	uint64_t suspect_ms, down_ms, joins_ms; /* joins_ms: since when we ask to be let in; 0: we do not */
	char *down, *missing, *error;           /* why it is down; what is not there; the last that librdkafka said */
	char *damaged;                          /* what of a partition's records is, while one has the mark */
	char *denied;                           /* a topic of our partitions that we may not read: why */
};

extern const struct sl_source_kind kafka_source_kind;

/* kafka_source_conf.c */
int kafka_source_check(struct kafka_source *k, const char *name, struct sl_err *err);
/* The client's configuration; its callbacks are the caller's. */
int kafka_source_conf_make(struct kafka_source *k, rd_kafka_conf_t **out, struct sl_err *err);
/* What to subscribe to. A new list. */
rd_kafka_topic_partition_list_t *kafka_source_topics(const struct kafka_source *k);

/* kafka_source_group.c */
void kafka_source_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *list,
			    void *opaque); /* librdkafka's callback */
struct sl_source_part *kafka_source_part(struct kafka_source *k, const char *topic, int32_t partition);
/* Offsets of the partition have gone back to this one: what was taken of it so far was another log. The part in its place. */
struct sl_source_part *kafka_source_part_anew(struct kafka_source *k, const char *topic, int32_t partition,
					      int64_t offset);
void kafka_source_commit_anew(struct kafka_source *k); /* of such partitions */
void kafka_source_store(struct kafka_source *k);       /* marks that have moved */
void kafka_source_change_on(struct kafka_source *k);   /* something got through: is the wait over? */
void kafka_source_leaves(struct kafka_source *k);      /* the client has begun to */
void kafka_source_group_end(struct kafka_source *k);   /* the client is gone: parts end, whatever is under way */
void kafka_source_hold(struct kafka_source *k);        /* its partitions are paused, too, */
void kafka_source_release(struct kafka_source *k);     /* and go on */

/* kafka_source_start.c: where a group that has no offset begins. done() is called on the loop. */
struct kafka_lookup {
	struct kafka_keeper_job job;
	struct kafka_source *source; /* NULL: nobody waits any more */
	rd_kafka_t *rk;
	rd_kafka_topic_partition_list_t
	    *list; /* in: partitions; out: with offsets, and in `opaque` whether they are news */
	enum kafka_start start;
	int64_t start_ms;
	bool begun;
	uint64_t number; /* of the change */
	rd_kafka_resp_err_t status;
	void (*done)(struct kafka_lookup *lookup);
};
void kafka_lookup_begin(struct kafka_source *k, void (*done)(struct kafka_lookup *lookup));
void kafka_lookup_free(struct kafka_lookup *lookup);
/* A paused consumer hears nothing of what its partitions get: asks for their ends. */
void kafka_ends_ask(struct kafka_source *k);

/* kafka_source_watch.c: whether it reads what it should. If not, `anew`. */
void kafka_source_watch_begin(struct kafka_source *k); /* partitions have come */
void kafka_source_watch(struct kafka_source *k);       /* now and then */

/* kafka_source.c */
void kafka_source_state(struct kafka_source *k); /* tells the framework */
void kafka_source_text(char **at, const char *text);
void kafka_source_is_down(struct kafka_source *k, const char *why);
void kafka_source_is_up(struct kafka_source *k);
void kafka_source_spent(struct kafka_source *k); /* the client is of no use any more: `anew` */

/* kafka_source_read.c: takes what is there, to a limit, while the client runs and is not to begin anew. False: nothing more for now. */
bool kafka_source_read(struct kafka_source *k);

#endif
