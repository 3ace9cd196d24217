/* mqtt_client.h: a small synchronous MQTT client for the command line and for tests.
 *
 * One connection, driven by its caller: nothing happens between calls. Publishing puts the packet into an output buffer
 * and returns; acknowledgements, messages and pings are dealt with inside mqtt_client_poll() (and inside calls that
 * must wait). QoS 1 and 2 messages stay in a list until the broker has taken them over; after a new connection
 * mqtt_client_connect() sends those again, in order [MQTT-4.4.0-1, MQTT-4.6.0-1].
 *
 *     mqtt_client_connect -> mqtt_client_publish ... -> mqtt_client_drain -> mqtt_client_close
 *
 * Errors: 0 or a negative status; SL_ECLOSED and SL_ESYSTEM mean that the connection is gone (mqtt_client_connect() may
 * be called again). `err` gets a sentence with what to do.
 * Thread: one at a time. Blocks within the time-outs given; a client for a broker's loop is something else. */
#ifndef SL_MQTT_CLIENT_H
#define SL_MQTT_CLIENT_H

#include "client_wire.h"
#include "mqtt.h"

struct mqtt_client;

/* Called for each message inside mqtt_client_poll(); the view is valid during the call. */
typedef void (*mqtt_client_message_cb)(void *arg, const struct mqtt_publish *p);

struct mqtt_client_conf {
	struct client_target target; /* texts are borrowed and outlive the client */
	enum mqtt_version version;
	const char *client_id; /* NULL: the broker chooses (5.0) or a random one */
	const char *username, *password;
	uint16_t keep_alive_s;
	bool clean_start;
	uint32_t session_expiry_s;         /* 5.0; 0: the session ends with the connection */
	struct client_tls_options tls;     /* all zero: none; its texts are borrowed, too */
	int timeout_ms;                    /* for each answer that is waited for */
	size_t window;                     /* QoS 1 and 2 messages in flight */
	mqtt_client_message_cb on_message; /* may be NULL */
	void *arg;
};

struct mqtt_client_stats {
	uint64_t sent;         /* messages handed to publish */
	uint64_t acknowledged; /* QoS 0: written; QoS 1: PUBACK; QoS 2: PUBCOMP */
	uint64_t refused;      /* acknowledged with a reason of 0x80 or more */
	uint64_t resent;
	uint64_t received;
	uint64_t connects;
	enum mqtt_reason last_refusal; /* of `refused` */
};

struct mqtt_client *mqtt_client_new(const struct mqtt_client_conf *conf) sl_warn_unused;
void mqtt_client_free(struct mqtt_client *c); /* NULL is fine; closes without DISCONNECT */

/* Connects (again), waits for CONNACK, sends again what was not acknowledged. SL_EDENIED when refused. */
int mqtt_client_connect(struct mqtt_client *c, struct sl_err *err);
bool mqtt_client_connected(const struct mqtt_client *c);

/* Queues one message; waits while the window is full. `packet_id` is chosen here. */
int mqtt_client_publish(struct mqtt_client *c, const struct mqtt_publish *p, struct sl_err *err);

/* Subscribes to one filter and waits for SUBACK. SL_EDENIED when the broker says no. */
int mqtt_client_subscribe(struct mqtt_client *c, const char *filter, uint8_t qos, struct sl_err *err);

/* Writes what is queued, waits up to timeout_ms for something to read, deals with it. 0: do not wait. */
int mqtt_client_poll(struct mqtt_client *c, int timeout_ms, struct sl_err *err);

/* Polls until everything is written and acknowledged. SL_EAGAIN when nothing moved for the time-out. */
int mqtt_client_drain(struct mqtt_client *c, struct sl_err *err);

/* DISCONNECT, and closes. */
void mqtt_client_close(struct mqtt_client *c);

size_t mqtt_client_in_flight(const struct mqtt_client *c);
void mqtt_client_stats(const struct mqtt_client *c, struct mqtt_client_stats *out);

#endif
