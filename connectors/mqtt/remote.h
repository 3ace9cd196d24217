/* remote.h: one connection to another MQTT broker: dialled, through TLS, CONNECT answered; then packets both ways, with pings when
 * it is quiet. The actions' rows go over one (remote_out.h), each source has one of its own (remote_in.h).
 *
 *     remote_init(&r, loop, conf, &events, arg);
 *     remote_open(&r, &(struct remote_login){.client_id = "...", .clean_start = true, ...});
 *     on_ready: mqtt_encode_subscribe(..., remote_version(&r), remote_out(&r));
 *     on_packet comes for each packet but PINGRESP, until on_down
 *
 * With `version: auto` a broker that refuses MQTT 5 (0x84, return code 1, or a connection that ends at the CONNECT) is asked in 3.1.1
 * within the same opening, and from then on.
 * What the other broker said of its limits is in `peer`, which is what MQTT assumes where it said nothing.
 *
 * Lifetime: the owner embeds it; sockets outlive a connection for a moment, so it keeps the memory until remote_idle() is true
 * (on_idle tells when). Strings of the login must live as long as it is open.
 * Thread: the loop's own. Never blocks. No text holds a password. Standard: MQTT 5.0 3.1 to 3.2, 3.12, 3.14. */
#ifndef REMOTE_H
#define REMOTE_H

#include "mqtt.h"
#include "remote_conf.h"
#include "stream_dial.h"
#include "stream_tls.h"

struct remote;
struct remote_wire;

struct remote_events {
	void (*on_ready)(struct remote *r, const struct mqtt_connack *ack);
	/* Slices live for the call. */
	void (*on_packet)(struct remote *r, const struct mqtt_packet *p);
	void (*on_burst)(struct remote *r); /* those were all packets for now; may be NULL */
	void (*on_drain)(
	    struct remote *r); /* asked for by sl_stream_tell_drained(): all that was pending is sent. May be NULL */
	/* Not called for what remote_close() ends. text is gone after the call. */
	void (*on_down)(struct remote *r, int status, const char *text);
	void (*on_idle)(struct remote *r); /* the last socket is closed; may be NULL */
};

struct remote_login {
	const char *client_id;
	bool clean_start;
	uint32_t session_expiry_s; /* MQTT 5 */
	uint16_t receive_maximum;  /* MQTT 5 */
};

/* What CONNACK said. */
struct remote_peer {
	uint32_t packet_max; /* UINT32_MAX: no limit */
	uint16_t receive_maximum, aliases_max;
	uint8_t qos_max;
	bool retain, shared, wildcards, sub_ids;
};

enum remote_state { REMOTE_CLOSED, REMOTE_OPENING, REMOTE_READY };

struct remote {
	const struct remote_conf *conf;
	const struct remote_events *events;
	struct sl_loop *loop;
	enum remote_state state;
	struct remote_login login;
	struct remote_peer peer;
	struct remote_url url;
	struct tls_client *tls; /* NULL: none */
	struct sl_dial *dial;
	struct remote_wire *wire;
	uint32_t wires;        /* sockets that are not closed yet */
	struct sl_timer timer; /* while it opens: the limit; then pings */
	bool old_version;      /* the broker does not speak MQTT 5 */
	bool connect_sent;
	uint32_t keepalive_ms;
	uint64_t heard_ms, said_bytes, said_ms;
	bool pinged;
	uint64_t bytes_in, bytes_out;
};

/* SL_OK, or what is wrong with `tls`. */
int remote_init(struct remote *r, struct sl_loop *loop, const struct remote_conf *conf,
		const struct remote_events *events, struct sl_err *err);
void remote_fini(struct remote *r); /* idle, or never initialised */

void remote_open(struct remote *r, const struct remote_login *login); /* it is closed */
/* Ends the connection; on_down() comes, unless it is closed. A DISCONNECT goes before it where `reason` is not 0. */
void remote_fail(struct remote *r, int status, const char *text);
void remote_disconnect(struct remote *r, enum mqtt_reason reason, const char *text);
/* Without on_down(). The session at the broker stays what the login made of it. */
void remote_close(struct remote *r);
static inline bool remote_idle(const struct remote *r) { return r->wires == 0; }

static inline enum mqtt_version remote_version(const struct remote *r) {
	return r->old_version || r->conf->version == REMOTE_V311 ? MQTT_V311 : MQTT_V5;
}
struct sl_buf *remote_out(struct remote *r); /* ready: to append packets to */
struct sl_stream *remote_stream(struct remote *r);

/* "MQTT 5.0, TLSv1.3, TLS_AES_256_GCM_SHA384", for who describes the connection; what is not known is left out. */
void remote_describe(const struct remote *r, struct sl_buf *out);

#endif
