/* client.h: one connection that speaks MQTT: reads packets, checks their order, acts on the session, answers.
 *
 *     accept --> CONNECTING --CONNECT, moved to the home worker, auth--> CONNECTED --> closed
 *
 * CONNECT stays unread in the stream until all is known that is needed to act on it: which worker, whether the password
 * is right. Then it is decoded once more and the session opens. So a move between workers carries nothing but the
 * stream.
 *
 * Reading pauses for several reasons at once (enum client_pause); it goes on when the last one has passed. A client that waits for
 * room is read from all the same, up to its next PUBLISH, which stays unread; behind that only pings are seen, and answered: it
 * may have to wait for longer than its keep-alive, and should not give up.
 * Lifetime: from accept until the stream's on_closed. Thread: the loop's baton. */
#ifndef CLIENT_H
#define CLIENT_H

#include "mqtt.h"
#include "session.h"
#include "stream.h"
#include "tls_peer.h"

enum client_state {
	CLIENT_CONNECTING,
	CLIENT_MOVING,
	CLIENT_AUTH,
	CLIENT_JUDGED,
	CLIENT_EXCHANGE,
	CLIENT_CONNECTED,
	CLIENT_CLOSED
};

enum client_pause {
	CLIENT_PAUSE_CONNECT = 1, /* moving, or waiting for the password check */
	CLIENT_PAUSE_HELD = 2,    /* a subscriber's queue is full */
	CLIENT_PAUSE_ACKS = 4,    /* too many publishes wait for their rules */
	CLIENT_PAUSE_OUT = 8,     /* it does not read what we answer */
	CLIENT_PAUSE_ROOM = 16,   /* its rows have filled the memory that there is for rows: no PUBLISH is taken */
	CLIENT_PAUSE_UNREAD = 32, /* and what it has sent meanwhile is all that may lie unread */
	CLIENT_PAUSE_STORE = 64,  /* its retained messages wait for the disk */
	CLIENT_PAUSE_LOG = 128,   /* what it published is not safe yet */
	CLIENT_PAUSE_RATE = 256,  /* it was faster than its listener allows */
	CLIENT_PAUSE_TURNS = 512, /* a SUBSCRIBE or UNSUBSCRIBE of very many filters is taken in turns */
};
_Static_assert((CLIENT_PAUSE_CONNECT | CLIENT_PAUSE_HELD | CLIENT_PAUSE_ACKS | CLIENT_PAUSE_OUT | CLIENT_PAUSE_ROOM |
		CLIENT_PAUSE_UNREAD | CLIENT_PAUSE_STORE | CLIENT_PAUSE_LOG | CLIENT_PAUSE_RATE | CLIENT_PAUSE_TURNS) ==
		   (CLIENT_PAUSE_CONNECT + CLIENT_PAUSE_HELD + CLIENT_PAUSE_ACKS + CLIENT_PAUSE_OUT +
		    CLIENT_PAUSE_ROOM + CLIENT_PAUSE_UNREAD + CLIENT_PAUSE_STORE + CLIENT_PAUSE_LOG +
		    CLIENT_PAUSE_RATE + CLIENT_PAUSE_TURNS),
	       "each has a bit of its own");

/* How many bytes of answers a client may let lie before reading rests, and what it may have in deferred acknowledgements. */
enum { CLIENT_OUT_HIGH = 256 * 1024, CLIENT_ACKS_MAX = 1024, CLIENT_OUT_QUEUE = 64 * 1024 };
/* So much of what stands behind the PUBLISH that waits is read; the last read(2) may add to it. */
enum { CLIENT_UNREAD_MAX = 32 * 1024 };
/* Most waits for room are short. So long nothing more is read, which would have to be kept here; then pings are looked for. */
enum { CLIENT_MOMENT_MS = 25 };

/* A publish of QoS 1 or 2 whose acknowledgement waits: for its rules, or for an earlier one's [MQTT-4.6.0-2]. Or a run of them
 * (QoS 1, numbered on): those behind the first wait for nothing that it or an earlier entry does not wait for. The client
 * may be gone before the ticket is done: then `c` is NULL, and done() frees the entry. */
struct client_entry {
	struct sl_ticket ticket;
	struct client *c;
	struct sl_list link;
	uint16_t packet_id; /* of the first, */
	uint16_t run;       /* and so many they are */
	uint8_t qos;
	uint8_t reason;
	bool delayed; /* QoS 2: the log has its packet id when the message is on disk, which is elsewhere */
};

struct alias_out;
struct client_exchange;

struct client {
	struct worker *w;
	struct session *s; /* NULL until connected */
	struct bind_state *bind;
	struct sl_list link;   /* in the worker's list */
	struct sl_timer timer; /* CONNECT's time limit, then keep-alive */
	uint64_t last_in_ms;
	uint64_t publish_ms;  /* when its last publish came that is acknowledged */
	uint64_t serial;      /* tells this connection from a later one of the same session */
	int64_t connected_ms; /* wall clock; 0: not yet */
	char *peer;
	char *username;           /* NULL: none */
	char *sock;               /* the address it connected to; NULL: nobody has asked yet */
	struct tls_peer *proxied; /* what a proxy in front says of its certificate; NULL: nothing */
	struct client_rate *rate; /* what the listener's rates leave it; NULL: it has none (client_rate.c) */
	struct auth_job *auth_job;
	struct auth_identity *identity; /* who it is, from the verdict on; NULL: what CONNECT says (auth_identity.h) */
	struct client_lease *lease;     /* its identity ends at a time; NULL: it does not */
	char **aliases;                 /* topic of each alias, lazily; aliases_len is what was announced */
	struct sl_list acks;            /* of struct client_entry, in the order of the publishes */
	uint32_t acks_len, acks_qos1;   /* publishes */
	struct sl_list unacked_link;    /* in worker.unacked while there are any */
	uint64_t unacked_ms;            /* of these, since when: the last acknowledgement, or the first publish */
	struct sl_list log_link;        /* in the log's list while it is paused for that */
	struct sl_list room_link;       /* in one of the worker's lists while it waits for room, */
	struct sl_stage *no_room;       /* there; gone when rules change */
	size_t peeked;                  /* bytes of what lies unread whose pings are answered */
	uint64_t room_ms;               /* since then it waits */
	uint8_t no_room_qos;
	bool moment;         /* the first moment of that */
	bool feeds;          /* what it sent last has made rows */
	bool passed_over;    /* it has gone, and a publish of its was not taken: those behind it are not, either */
	uint32_t answers;    /* bytes of what it caused itself, since the output was last empty */
	uint32_t packet_max; /* the largest the client takes */
	struct alias_out *alias_out;      /* those that we give; made when first needed */
	struct client_exchange *exchange; /* enhanced authentication; NULL: none (client_auth.h) */
	uint16_t aliases_len;
	uint16_t alias_max; /* of alias_out; 0: none */
	uint16_t keep_alive_s;
	uint8_t state;
	uint8_t version; /* enum mqtt_version */
	uint16_t pauses;
	uint8_t verdict; /* CLIENT_JUDGED: enum mqtt_reason of the password check */
	bool will_due;   /* the connection ended in a way that publishes the will */
	bool clean_start;
	bool guarded;      /* the ban list and the limits have let its CONNECT pass (client_guard.h) */
	bool problem_info; /* reason strings may be sent with all packets */
	struct worker_letter move;
	struct sl_deferred moving;
	/* The connection's streams, as the listener's transport has them (transport.h): the struct is allocated with room for them. */
	_Alignas(struct sl_stream) char stack[];
};

/* What the client reads and writes, whatever is below. */
static inline struct sl_stream *client_stream(struct client *c) { return (struct sl_stream *)(void *)c->stack; }

/* Who the client is by its TLS certificate, checked, or pre-shared key; NULL: it has shown none. Made when it is first asked for,
 * and valid as long as the client (tls_peer.h). */
const struct tls_peer *client_tls_peer(struct client *c);

/* The largest packet it may send now. Of who has said no good CONNECT yet, less may lie here. */
static inline size_t client_packet_max(const struct client *c) {
	const struct broker_bind_limits *l = &c->bind->limits;
	if (sl_likely(c->state == CLIENT_CONNECTED)) return l->max_packet_size;
	size_t connect_max = (size_t)c->bind->connect_max + l->client_id_max;
	return sl_min_size(l->max_packet_size, connect_max);
}

static inline bool client_is_v5(const struct client *c) { return c->version == MQTT_V5; }

/* Who is at the other end, as far as accepting tells. */
struct client_origin {
	char *peer;        /* its address, for people */
	char *sock;        /* what it connected to; NULL: what the socket says */
	char *common_name; /* of the certificate that a proxy has verified; NULL: none */
};
void client_accept(struct worker *w, struct bind_state *bind, int fd,
		   const struct client_origin *o); /* takes fd and texts */

/* Ends the connection: DISCONNECT with the reason first, where the protocol has that. */
void client_disconnect(struct client *c, enum mqtt_reason reason);
/* The same, for a reason that events have another word for. */
void client_disconnect_as(struct client *c, enum mqtt_reason reason, const char *event_reason);
/* Without a word. status: for the log. */
void client_close(struct client *c, int status);
/* The client broke the protocol: counts, logs at debug, disconnects. */
void client_protocol_error(struct client *c, enum mqtt_reason reason, const char *what);

void client_pause(struct client *c, enum client_pause why);
void client_resume(struct client *c, enum client_pause why);
void client_read_again(struct client *c); /* what lies unread first; unless it is paused */

/* Where the broker reports about itself, clients may not write. */
bool client_topic_reserved(struct sl_slice topic);

/* client_identity.c */
void client_lease_begin(struct client *c); /* it is connected: ends it in time, where its identity does */
void client_identity_drop(struct client *c);

void client_connect_init(struct client *c);
/* client_connect.c. True: go on with the next packet; false: it stays unread for now, or the client is closed. */
bool client_connect(struct client *c, const struct mqtt_frame *f);
/* Ends with a CONNACK that says so; always false. p: what it sent, NULL when that cannot be read. why: for the log. */
bool client_refuse(struct client *c, const struct mqtt_connect *p, enum mqtt_reason reason, const char *why);
void client_welcome(struct client *c, struct mqtt_connect *p); /* it is who it says: the session opens */
/* client_publish.c */
void client_room(struct client *c);                         /* it need not wait for room any more */
bool client_moment_over(struct client *c, uint64_t now_ms); /* it waits: false: not so long yet */
bool client_may_read(struct client *c);
bool client_publish(struct client *c, const struct mqtt_frame *f); /* false: it stays unread, for there is no room */
void client_pubrel(struct client *c, const struct mqtt_ack *a);
void client_drop_acks(struct client *c);
void client_entries_free(struct worker *w);
/* client_rate.c. The last two only where there is a `rate`. */
void client_rate_init(struct client *c);
void client_rate_fini(struct client *c);
void client_rate_message(struct client *c);             /* it has published */
void client_rate_bytes(struct client *c, size_t bytes); /* of packets that were taken */
/* client_subscribe.c */
void client_subscribe(struct client *c, const struct mqtt_subscribe *p);
/* As mqtt.auto_subscribe says, without a SUBACK; not what the session has already. */
void client_auto_subscribe(struct client *c);
void client_unsubscribe(struct client *c, const struct mqtt_subscribe *p);
void client_subscribing_timer(struct sl_timer *t);
void client_subscribing_free(struct worker *w); /* at the broker's end */

/* client_deliver.c. May it be sent: not expired, not too large for the client, the output not full (QoS 0)? If not, it is
 * counted as dropped. */
bool client_may_send(struct client *c, const struct msg *m, uint8_t qos, const uint32_t *ids, size_t n);
/* The same for what has been sent before, and was not acknowledged. */
bool client_may_send_again(struct client *c, const struct msg *m, uint8_t qos, const uint32_t *ids, size_t n);
/* A PUBLISH into the output. */
void client_send(struct client *c, const struct msg *m, uint8_t qos, bool retain, bool dup, uint16_t packet_id,
		 const uint32_t *ids, size_t n);
/* client_reason.c. Adds a reason string to a packet of that type, which has `size` bytes or less without it; or not, when the client may
 * not have it. */
void client_put_reason(const struct client *c, enum mqtt_type type, struct sl_slice text, size_t size,
		       struct sl_buf *props);
struct sl_slice client_reason_text(enum mqtt_type type, enum mqtt_reason reason); /* may be empty */
/* The packet in the output from `before` on is not larger than the client takes. If it is: false, and the connection has ended. */
bool client_may_take(struct client *c, size_t before);

void client_send_ack(struct client *c, enum mqtt_type type, uint16_t packet_id, enum mqtt_reason reason);

#endif
