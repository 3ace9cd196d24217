/* remote_in.h: messages of another MQTT broker into rules.
 *
 *     sources:
 *       from_cloud: {connector: cloud, topics: [{filter: "cmd/#", qos: 1}]}
 *     rules:
 *       commands: {sql: SELECT * FROM "$sources/mqtt:from_cloud", actions: [{republish: {topic: "site/${topic}", payload: "${payload}"}}]}
 *
 * A connection of its own with a session that outlives it, so that the broker keeps what comes while we are away. PUBACK and PUBREC
 * go out when a message is through (source.h), in the order of the messages [MQTT-4.6.0-2]. What was under way when a connection ended
 * stays known: the broker sends it again under the same packet id, and it is not taken twice.
 * After a connection the subscriptions that are wanted are compared with those that the broker acknowledged: with its session still there
 * only what differs is subscribed or unsubscribed. A message that none of them matches, of a session of earlier settings, is acknowledged
 * and forgotten, and said once.
 *
 * Thread: the loop's own. Never blocks. Standard: MQTT 5.0 3.8, 4.3, 4.4. */
#ifndef REMOTE_IN_H
#define REMOTE_IN_H

#include "remote.h"
#include "source.h"

struct remote_wanted {
	char *filter;
	int64_t qos;
	bool no_local, retain_as_published;
};

struct remote_source_conf {
	struct conf_objects topics; /* of struct remote_wanted */
	bool clean_start;
	int64_t session_expiry_ms;
};

/* What the broker said of a wanted subscription. */
enum remote_sub_state { REMOTE_SUB_NONE, REMOTE_SUB_ASKED, REMOTE_SUB_GRANTED, REMOTE_SUB_REFUSED };
struct remote_sub {
	uint8_t state, granted_qos, reason;
	uint16_t packet_id;
};

/* A message of QoS 1 or 2 that is not acknowledged. */
struct remote_taken {
	uint16_t packet_id;
	uint8_t qos;
	bool through;
	bool stale; /* of a connection that has ended: the broker has to send it again first */
	bool gone;  /* nothing is to be acknowledged any more */
};

struct remote_source {
	struct remote_source_conf conf; /* first: filled by the framework */
	struct sl_source *s;
	const struct remote_conf *settings; /* the connector's */
	struct remote r;
	char *client_id;
	struct sl_source_part *part;
	struct sl_timer timer;   /* the next attempt to connect, or to subscribe what was refused */
	struct remote_sub *subs; /* conf.topics.len */
	uint16_t next_packet_id;
	uint32_t attempts;
	/* A ring of what is not acknowledged: marks from `first` on. */
	struct remote_taken *taken;
	uint64_t first, end;
	size_t cap;
	uint8_t *released; /* bits by packet id: QoS 2, PUBREC is out and PUBREL has not come */
	uint64_t untold;   /* through, and not acknowledged */
	struct sl_source_header *headers;
	size_t header_cap;
	bool started, closing, stranger; /* stranger: a message that nobody wanted was said */
	uint64_t closing_ms;
};

extern const struct sl_source_kind remote_source_kind;
extern const struct conf_field remote_source_fields[];

/* remote_subs.c */
int remote_source_check(struct remote_source *k, struct sl_err *err);
/* After CONNACK: subscribes what is wanted and not granted. */
void remote_subs_begin(struct remote_source *k, bool session_present);
void remote_subs_suback(struct remote_source *k, const struct mqtt_suback *a);
bool remote_subs_match(const struct remote_source *k, struct sl_slice topic);
/* UP, or DEGRADED with what was refused. */
void remote_subs_tell(struct remote_source *k);

/* remote_ack.c: what is under way. */
bool remote_known(struct remote_source *k, const struct mqtt_publish *p);    /* sent again: it is not taken twice */
uint64_t remote_take(struct remote_source *k, const struct mqtt_publish *p); /* its mark */
void remote_through(struct remote_source *k, uint64_t mark);
void remote_acks_send(struct remote_source *k);
void remote_pubrel(struct remote_source *k, const struct mqtt_ack *a);
void remote_connection_lost(struct remote_source *k);
void remote_session_lost(struct remote_source *k); /* the broker forgot it */
void remote_acks_fini(struct remote_source *k);

#endif
