/* kafka_producer.h: one librdkafka producer for all actions of a connection: its life, and the batches that are with it.
 *
 *     submit ── rows, not copied ──> librdkafka ── requests ──> brokers
 *       ^                                │
 *       └──── delivery reports: letter ──┘      a report per row; when all of a batch are in, the batch is done
 *
 * States. STOPPED: no client. RUNNING: a client, which connects and connects again by itself; whether the connection is *up* is
 * what the brokers last said. ENDING: the client ends on the keeper's thread; rows that were not reported by then are given
 * back, in their order, and the connection begins anew. That happens when a batch is cancelled and nothing moves, when librdkafka
 * calls an error fatal, when a broker refuses a request for one of its rows, and at the close. (A purge would take rows back,
 * too, but not all at one moment: what escapes it would overtake what did not.)
 *
 * The scout. With `enable.gapless.guarantee` a client is spent when a request is refused, and the next one takes half a second until
 * it sends. So rows that may be refused go by a second client without it, each alone in its partition (kafka_gate.h): behind it
 * nothing is out that could overtake anything. It begins when it is needed, and ends with the first one.
 *
 * While brokers are away, rows stay with librdkafka up to `timeout`: it delivers them when the brokers are back, without
 * duplicates. It never gives one up by itself (message.timeout.ms is 0).
 *
 * Thread: the connection's loop; the keeper's thread sees nothing of this. Memory: row slots are kept from batch to batch. */
#ifndef KAFKA_PRODUCER_H
#define KAFKA_PRODUCER_H

#include <stdatomic.h>

#include "connector.h"
#include "kafka_conf.h"
#include "kafka_keeper.h"
#include "kafka_row.h"
#include "kafka_topics.h"

enum kafka_state { KAFKA_STOPPED, KAFKA_RUNNING, KAFKA_ENDING };

struct kafka_producer {
	struct sl_conn *conn;
	const struct kafka_conf *conf;
	struct kafka_client client;
	struct kafka_keeper *keeper;

	enum kafka_state state;
	rd_kafka_t *rk; /* RUNNING; the keeper's while ENDING */
	rd_kafka_queue_t *queue;
	rd_kafka_t *scout; /* NULL: none is needed yet */
	rd_kafka_queue_t *scout_queue;
	bool scoutless;                   /* none is to be had */
	int64_t clients;                  /* that were made */
	struct sl_post events;            /* there are some */
	atomic_bool events_told;          /* by librdkafka's threads; it is on its way */
	_Atomic uint32_t reports_wait_ms; /* so long it may be: while one batch is out, nobody waits for its reports */
	struct kafka_topics topics;

	bool up;                 /* what the framework was told last */
	uint32_t ups;            /* how often it was told that */
	bool wanted;             /* connect() waits for an answer */
	bool suspect;            /* all brokers gone: do they answer? */
	bool closing, probe;     /* probe: one waits for an answer */
	char *anew;              /* begin anew, and why; at the end of this event */
	bool quietly;            /* anew without a word to the framework */
	struct sl_timer timer;   /* wanted, suspect, probe: no answer */
	struct sl_timer stalled; /* a batch was cancelled: does anything move? */
	struct sl_timer settle;  /* anew, as soon as what is out is answered */
	uint64_t settling_ms;    /* since when; 0: not */
	char *error;             /* the last that librdkafka said of its connections */
	char *brokers;           /* as they introduced themselves */

	struct sl_list batches; /* kafka_batch.link */
	struct kafka_batch *pool;
	int64_t rows_out, bytes_out;
	int64_t rows_waiting; /* of rows_out: those in line (kafka_gate.h) */
	uint64_t report_ms;   /* when the last report came */
	bool full;            /* a batch was not taken for lack of room */

	bool missing_wanted, missing_asked; /* what brokers say of topics is wanted; is on its way */
	uint64_t missing_asked_ms;          /* when it was asked last */
	uint32_t missing_limit_ms;          /* so long an answer may take; 0: as long as mostly */
};

struct kafka_action {
	struct kafka_templates templates;
	int compression; /* 0: the connection's, else the codec's number + 1 */
	int64_t topic_timeout_ms;
	struct kafka_plan plan;
	struct sl_list out; /* kafka_batch.out, in the order in which they were submitted */
	uint32_t fences; /* batches that are out and have rows to be sent again: later ones must not overtake those */
};

/* What is with librdkafka of each row. */
struct kafka_slot {
	struct kafka_batch *batch;
	struct kafka_topic *topic;
	struct kafka_slot *next; /* in line */
	size_t bytes;
	int32_t partition; /* -1: librdkafka did not know it yet */
	bool keyless, headers;
	bool by_scout; /* it is with the scout */
};
struct kafka_batch {
	struct sl_batch *b;
	struct sl_list link, out;
	struct kafka_batch *next; /* pool */
	struct kafka_slot *slot;
	uint32_t cap, left; /* rows that are not decided: with librdkafka, or in line */
	bool fence;         /* see kafka_action.fences */
	struct sl_arena arena;
	char *not_ready;   /* advice; owned */
	bool not_ready_on; /* some row waits for what not_ready says */
};

/* kafka_producer.c */
void kafka_producer_init(struct kafka_producer *p, struct sl_conn *conn, const struct kafka_conf *conf);
void kafka_producer_fini(struct kafka_producer *p);
void kafka_connect(struct kafka_producer *p);
void kafka_probe(struct kafka_producer *p);
void kafka_close(struct kafka_producer *p);
/* Takes all rows back and begins anew, once the event at hand is over; why is told to the framework, unless quietly. */
void kafka_begin_anew(struct kafka_producer *p, const char *why, bool quietly);
static inline bool kafka_may_scout(const struct kafka_producer *p) {
	return p->conf->idempotence && p->state == KAFKA_RUNNING && !p->anew && !p->scoutless;
}
/* Begins if need be; false: for now there is none to be had. */
bool kafka_scout_ready(struct kafka_producer *p);
void kafka_delivered(struct kafka_producer *p); /* the brokers took something: they are up */

/* kafka_look.c: are these topics there, and ours to see? Ends in sl_batch_done(). */
void kafka_look(struct kafka_producer *p, const char *const topics[], size_t count, struct sl_batch *b);

/* kafka_missing.c: rows whose topic comes from a template, and is missing or not ours. */
/* The row was not sent yet, and need not be: its topic was given up, and a moment ago that was still right. True: it is rejected. */
bool kafka_missing_known(struct kafka_producer *p, struct kafka_batch *kb, uint32_t i);
/* The row failed with this code. True: it has waited long enough, and is rejected; else it waits on. */
bool kafka_missing_failed(struct kafka_producer *p, struct kafka_batch *kb, uint32_t i, rd_kafka_resp_err_t code);
/* The row is held behind one that waits: its topic is asked for as well. */
void kafka_missing_held(struct kafka_producer *p, struct kafka_batch *kb, uint32_t i);
void kafka_missing_ask(struct kafka_producer *p); /* the brokers, if one of these wants it */

/* kafka_batch.c */
const char *kafka_codec_of(const struct kafka_action *a); /* NULL: the connection's */
int kafka_submit(struct kafka_producer *p, struct sl_conn_action *a, struct sl_batch *b);
void kafka_cancel(struct kafka_producer *p);
void kafka_report(struct kafka_producer *p, rd_kafka_event_t *ev); /* RD_KAFKA_EVENT_DR */
/* The client is gone: rows that it had are given back. */
void kafka_rows_back(struct kafka_producer *p);
void kafka_batches_free(struct kafka_producer *p);

#endif
