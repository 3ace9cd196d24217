/* kafka_keeper.h: the one thread of a Kafka connection that may block, for the two calls of librdkafka that do: asking the
 * brokers who they are, and ending a client.
 *
 *     kafka_keeper_watch(k, rk)        asks again and again until a broker answers; then one KAFKA_KEEPER_UP
 *     kafka_keeper_run(k, job)         anything else that blocks: work() on the thread, then done() on the loop
 *     kafka_keeper_end(k, rk, flags)   ends the client; then KAFKA_KEEPER_ENDED
 *
 * Ownership: a client is the caller's until kafka_keeper_end(), and the keeper's from there: it is not watched any more, jobs that
 * were given before still find it, and nothing may be asked of it after. There is no other way to end a client that was ever
 * shown to the keeper, so that it never asks one that is gone.
 *
 * What happened arrives as a letter on the connection's loop. Asking for the brokers is what every client does anyway: it
 * needs no right and makes no topic.
 *
 * Thread: the loop calls; on_event is called on the loop. kafka_keeper_free() waits for the thread, so everything must have
 * ended first. */
#ifndef KAFKA_KEEPER_H
#define KAFKA_KEEPER_H

#include <librdkafka/rdkafka.h>

#include "loop.h"

enum kafka_keeper_what { KAFKA_KEEPER_UP, KAFKA_KEEPER_ENDED };
struct kafka_keeper_event {
	struct sl_post post;
	enum kafka_keeper_what what;
	rd_kafka_t *rk; /* ENDED: to compare only */
	char *brokers;  /* UP: "1 host:9092, 2 other:9092"; owned by the event */
	int broker_count;
	void *arg;
	void (*on_event)(void *arg, const struct kafka_keeper_event *e);
};

struct kafka_keeper;
/* NULL when the system has no thread left. */
struct kafka_keeper *kafka_keeper_new(struct sl_loop *loop,
				      void (*on_event)(void *arg, const struct kafka_keeper_event *e), void *arg);
void kafka_keeper_watch(struct kafka_keeper *k, rd_kafka_t *rk);          /* in place of the last one, if any */
void kafka_keeper_end(struct kafka_keeper *k, rd_kafka_t *rk, int flags); /* RD_KAFKA_DESTROY_F_ or 0 */
/* The caller's until done(), which may free it. In their order; a watch waits meanwhile. */
struct kafka_keeper_job {
	struct sl_post post;
	struct kafka_keeper_job *next;
	void (*work)(struct kafka_keeper_job *job); /* @thread the keeper's */
	void (*done)(struct kafka_keeper_job *job); /* @thread the loop */
};
void kafka_keeper_run(struct kafka_keeper *k, struct kafka_keeper_job *job);
void kafka_keeper_free(struct kafka_keeper *k); /* NULL is fine */

#endif
