/* remote_client.h: rows to another broker: batches written as PUBLISH packets, as many at a time as the broker takes, and what its
 * acknowledgements say of each row.
 *
 *     batch = job --rows in order, while the window and the socket have room--> PUBLISH
 *     PUBACK, PUBCOMP, a refusal --> the row's result;  all rows have one --> sl_batch_done()
 *
 * QoS 0: a row is delivered when it is written. QoS 1: with PUBACK. QoS 2: with PUBCOMP, for until then some brokers pass it on to
 * nobody; its packet id is free when the exchange has ended.
 * A connection that ends takes what is out along: these rows come again, and are counted as possible duplicates; each
 * connection begins with a clean session, so the broker does not send half an exchange on.
 *
 * Thread: the loop's own. Never blocks. Standard: MQTT 5.0 4.3, 4.6, 4.9. */
#ifndef REMOTE_CLIENT_H
#define REMOTE_CLIENT_H

#include "connector.h"
#include "remote.h"
#include "remote_row.h"

/* A row that is out with a packet id, which is the slot's number and one. */
struct remote_slot {
	struct remote_job *job; /* NULL: free */
	uint32_t row, next_free;
	uint8_t qos;
	bool received; /* QoS 2: PUBREC came, PUBREL is out */
};

struct remote_job {
	struct sl_list link; /* client.unsent, then client.sent */
	const struct remote_plan *plan;
	struct sl_batch *b;
	uint32_t next, left; /* the row that is sent next; those without a result */
	bool *denied;        /* by row; NULL: none */
	uint32_t denied_n;
};

struct remote_client {
	struct sl_conn *conn;
	const struct remote_conf *conf;
	struct remote r;
	char *client_id;
	struct sl_list unsent, sent; /* jobs: with rows that were not sent yet; the others. Each in their order */
	struct remote_slot *slots;
	uint32_t slots_n, free, out, window; /* out: slots in use */
	struct remote_limits limits;
	struct sl_buf why;
	bool closing, closed, pumping;
	bool lowered; /* that QoS or retain are lost was said */
};

int remote_client_open(struct remote_client *c, struct sl_conn *conn, const struct remote_conf *conf,
		       struct sl_err *err);
void remote_client_connect(struct remote_client *c);
void remote_client_probe(struct remote_client *c);
void remote_client_close(struct remote_client *c);
void remote_client_fini(struct remote_client *c);

int remote_client_submit(struct remote_client *c, const struct remote_plan *plan, struct sl_batch *b);
void remote_client_cancel(struct remote_client *c, struct sl_batch *b);
void remote_client_describe(const struct remote_client *c, json_t *out);

#endif
