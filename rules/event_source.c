/* event_source.c: see event_source.h. Names and meanings are those of EMQX, so that its rules run. */
#include "event_source.h"

#include "event_context.h"
#include "event_kind.h"
#include "event_props.h"
#include "hash.h"
#include "mem.h"
#include "rng.h"
#include "source_columns.h"
#include "source_from.h"
#include "topic.h"

enum event_column_id {
	COLUMN_ID,
	COLUMN_CLIENTID,
	COLUMN_USERNAME,
	COLUMN_PAYLOAD,
	COLUMN_PEERHOST,
	COLUMN_PEERNAME,
	COLUMN_TOPIC,
	COLUMN_QOS,
	COLUMN_FLAGS,
	COLUMN_PUB_PROPS,
	COLUMN_CLIENT_ATTRS,
	COLUMN_PUBLISH_RECEIVED_AT,
	COLUMN_TIMESTAMP,
	COLUMN_NODE,
	COLUMN_EVENT,
	/* for functions of the aws dialect */
	COLUMN_AWS_CLIENTID,
	COLUMN_AWS_PRINCIPAL,
	COLUMN_AWS_ACCOUNTID,
	COLUMN_AWS_TRACEID,
	COLUMN_AWS_SOURCEIP,
	COLUMN_AWS_USER_PROPERTIES,
	COLUMN_AWS_MQTT_PROPERTIES,
	/* of events only; those of messages stand before */
	COLUMN_FROM_CLIENTID,
	COLUMN_FROM_USERNAME,
	COLUMN_REASON,
	COLUMN_REASON_CODE,
	COLUMN_MOUNTPOINT,
	COLUMN_SOCKNAME,
	COLUMN_PROTO_NAME,
	COLUMN_PROTO_VER,
	COLUMN_KEEPALIVE,
	COLUMN_CLEAN_START,
	COLUMN_RECEIVE_MAXIMUM,
	COLUMN_EXPIRY_INTERVAL,
	COLUMN_IS_BRIDGE,
	COLUMN_IS_SUPERUSER,
	COLUMN_IS_ANONYMOUS,
	COLUMN_CONN_PROPS,
	COLUMN_DISCONN_PROPS,
	COLUMN_SUB_PROPS,
	COLUMN_UNSUB_PROPS,
	COLUMN_PUBACK_PROPS,
	COLUMN_CONNECTED_AT,
	COLUMN_DISCONNECTED_AT,
	COLUMN_CONNECTOR,
	COLUMN_KIND,
	COLUMN_STATE,
	COLUMN_PREVIOUS,
	COLUMN_SINCE,
	COLUMN_SOURCE,
	COLUMN_KEY,
	COLUMN_PARTITION,
	COLUMN_OFFSET,
	COLUMN_TS,
	COLUMN_TS_TYPE,
	COLUMN_HEADERS,
	COLUMN_HEADERS_LIST,
	COLUMNS
};

#define HIDDEN(column, sql_kind, column_id)                                                                            \
	{ .name = column, .kind = sql_kind, .id = COLUMN_##column_id, .doc = "", .hidden = true }
static const struct sql_column message_columns[] = {
    {.name = "id", .kind = SQL_STRING, .id = COLUMN_ID, .doc = "A name for this message that no other has."},
    {.name = "clientid",
     .kind = SQL_STRING,
     .id = COLUMN_CLIENTID,
     .doc = "The publisher's client id; of a republished message, the rule's id."},
    {.name = "username", .kind = SQL_STRING, .id = COLUMN_USERNAME, .doc = "The publisher's user name, if it has one."},
    {.name = "payload",
     .kind = SQL_STRING,
     .id = COLUMN_PAYLOAD,
     .doc = "The payload as text; payload.a.b reads it as JSON."},
    {.name = "peerhost", .kind = SQL_STRING, .id = COLUMN_PEERHOST, .doc = "The publisher's address."},
    {.name = "peername", .kind = SQL_STRING, .id = COLUMN_PEERNAME, .doc = "The publisher's address and port."},
    {.name = "topic", .kind = SQL_STRING, .id = COLUMN_TOPIC, .doc = "The topic published to."},
    {.name = "qos", .kind = SQL_INT, .id = COLUMN_QOS, .doc = "0, 1 or 2."},
    {.name = "flags", .kind = SQL_MAP, .id = COLUMN_FLAGS, .doc = "flags.dup and flags.retain, booleans."},
    {.name = "pub_props",
     .kind = SQL_MAP,
     .id = COLUMN_PUB_PROPS,
     .doc = "MQTT 5 properties by their names ('Content-Type'); 'User-Property' is an object, 'User-Property-Pairs' a "
	    "list."},
    {.name = "client_attrs",
     .kind = SQL_MAP,
     .id = COLUMN_CLIENT_ATTRS,
     .doc = "Attributes of the client, as its authenticator knows them; empty without."},
    {.name = "publish_received_at",
     .kind = SQL_INT,
     .id = COLUMN_PUBLISH_RECEIVED_AT,
     .doc = "When the broker received the message, in ms since 1970."},
    {.name = "timestamp", .kind = SQL_INT, .id = COLUMN_TIMESTAMP, .doc = "When the rule ran, in ms since 1970."},
    {.name = "node", .kind = SQL_STRING, .id = COLUMN_NODE, .doc = "The broker's name (node.name)."},
    {.name = "event", .kind = SQL_STRING, .id = COLUMN_EVENT, .doc = "message.publish"},
    HIDDEN("aws_clientid", SQL_STRING, AWS_CLIENTID),
    HIDDEN("aws_principal", SQL_STRING, AWS_PRINCIPAL),
    HIDDEN("aws_accountid", SQL_STRING, AWS_ACCOUNTID),
    HIDDEN("aws_traceid", SQL_STRING, AWS_TRACEID),
    HIDDEN("aws_sourceip", SQL_STRING, AWS_SOURCEIP),
    HIDDEN("aws_user_properties", SQL_LIST, AWS_USER_PROPERTIES),
    HIDDEN("aws_mqtt_properties", SQL_MAP, AWS_MQTT_PROPERTIES),
};

/* ---- columns of events ---- */

/* clang-format off */
enum {
	ABOUT_MESSAGES = EVENT(MESSAGE_DELIVERED) | EVENT(MESSAGE_ACKED) | EVENT(MESSAGE_DROPPED) | EVENT(DELIVERY_DROPPED),
	ABOUT_RECEIVERS = EVENT(MESSAGE_DELIVERED) | EVENT(MESSAGE_ACKED) | EVENT(DELIVERY_DROPPED),
	ABOUT_CONNECTS = EVENT(CLIENT_CONNECTED) | EVENT(CLIENT_CONNACK) | EVENT(CLIENT_PING),
	ABOUT_CONNECTIONS = ABOUT_CONNECTS | EVENT(CLIENT_DISCONNECTED),
	ABOUT_SUBSCRIPTIONS = EVENT(SESSION_SUBSCRIBED) | EVENT(SESSION_UNSUBSCRIBED),
	ABOUT_CLIENTS = ABOUT_CONNECTIONS | ABOUT_SUBSCRIPTIONS | ABOUT_MESSAGES | EVENT(CLIENT_AUTHN),
	ABOUT_ALL = ABOUT_CLIENTS | EVENT(CONNECTOR_STATUS) | EVENT(SOURCE_MESSAGE),
	WITH_PAYLOAD = ABOUT_MESSAGES | EVENT(SOURCE_MESSAGE),
};

#define COLUMN(column, sql_kind, column_id, of, text) \
	{.c = {.name = column, .kind = sql_kind, .id = COLUMN_##column_id, .doc = text}, .kinds = (of)},
static const struct event_column_row {
	struct sql_column c;
	uint32_t kinds;
} event_columns[] = {
	COLUMN("id", SQL_STRING, ID, WITH_PAYLOAD, "The message's name, the same in all events about it; of a source's message the same whenever the server sends it again.")
	COLUMN("from_clientid", SQL_STRING, FROM_CLIENTID, ABOUT_RECEIVERS, "The publisher's client id; of a republished message, the rule's id.")
	COLUMN("from_username", SQL_STRING, FROM_USERNAME, ABOUT_RECEIVERS, "The publisher's user name, if it has one. NULL too when no rule read such events at the time of the publish.")
	COLUMN("reason", SQL_STRING, REASON, EVENT(CLIENT_DISCONNECTED) | EVENT(MESSAGE_DROPPED) | EVENT(DELIVERY_DROPPED) | EVENT(CONNECTOR_STATUS), "Why, in a word: see above. Of a connector a sentence; NULL when it is up.")
	COLUMN("reason_code", SQL_STRING, REASON_CODE, EVENT(CLIENT_CONNACK) | EVENT(CLIENT_AUTHN), "success, or why not: bad_username_or_password, not_authorized, server_unavailable, ...")
	COLUMN("clientid", SQL_STRING, CLIENTID, ABOUT_CLIENTS, "The client's id; of a delivery the receiver's, of a message without subscribers the publisher's.")
	COLUMN("username", SQL_STRING, USERNAME, ABOUT_CLIENTS, "The user name of the same client, if it has one; NULL for a receiver that is not connected.")
	COLUMN("mountpoint", SQL_STRING, MOUNTPOINT, EVENT(CLIENT_CONNECTED), "Always NULL: there are no mount points.")
	COLUMN("source", SQL_STRING, SOURCE, EVENT(SOURCE_MESSAGE), "The source's name.")
	COLUMN("key", SQL_STRING, KEY, EVENT(SOURCE_MESSAGE), "The message's key; NULL without one.")
	COLUMN("value", SQL_STRING, PAYLOAD, EVENT(SOURCE_MESSAGE), "The message's value as text; value.a.b reads it as JSON. NULL is a tombstone.")
	COLUMN("payload", SQL_STRING, PAYLOAD, WITH_PAYLOAD, "The message's payload as text; payload.a.b reads it as JSON. Of a source the same as `value`, and left out of `*`.")
	COLUMN("partition", SQL_INT, PARTITION, EVENT(SOURCE_MESSAGE), "The partition that it comes from.")
	COLUMN("offset", SQL_INT, OFFSET, EVENT(SOURCE_MESSAGE), "Its place in the partition.")
	COLUMN("ts", SQL_INT, TS, EVENT(SOURCE_MESSAGE), "The message's own time, in ms since 1970.")
	COLUMN("ts_type", SQL_STRING, TS_TYPE, EVENT(SOURCE_MESSAGE), "create or append: whether `ts` is the producer's or the log's.")
	COLUMN("headers", SQL_MAP, HEADERS, EVENT(SOURCE_MESSAGE), "Headers by name; of equal names the last counts.")
	COLUMN("headers_list", SQL_LIST, HEADERS_LIST, EVENT(SOURCE_MESSAGE), "All headers in their order, [{key, value}, ...]; `headers: \"${headers_list}\"` of a kafka action takes it as it is.")
	COLUMN("peerhost", SQL_STRING, PEERHOST, ABOUT_MESSAGES | ABOUT_SUBSCRIPTIONS, "The client's address.")
	COLUMN("peername", SQL_STRING, PEERNAME, ABOUT_CLIENTS, "The client's address and port.")
	COLUMN("sockname", SQL_STRING, SOCKNAME, ABOUT_CONNECTIONS, "The address and port that it connected to.")
	COLUMN("topic", SQL_STRING, TOPIC, WITH_PAYLOAD | ABOUT_SUBSCRIPTIONS, "The message's topic; the topic filter, with $share/ where there is one; of a source the topic or stream there.")
	COLUMN("qos", SQL_INT, QOS, ABOUT_MESSAGES | ABOUT_SUBSCRIPTIONS | EVENT(SOURCE_MESSAGE), "0, 1 or 2: of the message as the receiver gets it; what the subscription was granted. NULL when unsubscribed, and of sources other than MQTT.")
	COLUMN("flags", SQL_MAP, FLAGS, ABOUT_MESSAGES | EVENT(SOURCE_MESSAGE), "flags.dup and flags.retain, booleans. NULL of sources other than MQTT.")
	COLUMN("pub_props", SQL_MAP, PUB_PROPS, ABOUT_MESSAGES | EVENT(SOURCE_MESSAGE), "The message's MQTT 5 properties, as in a message. NULL of sources other than MQTT.")
	COLUMN("puback_props", SQL_MAP, PUBACK_PROPS, EVENT(MESSAGE_ACKED), "MQTT 5 properties of PUBACK or PUBREC ('Reason-String', 'User-Property', ...); empty without.")
	COLUMN("proto_name", SQL_STRING, PROTO_NAME, ABOUT_CONNECTIONS, "MQTT; MQIsdp in MQTT 3.1.")
	COLUMN("proto_ver", SQL_INT, PROTO_VER, ABOUT_CONNECTIONS, "3 (MQTT 3.1), 4 (3.1.1) or 5.")
	COLUMN("keepalive", SQL_INT, KEEPALIVE, ABOUT_CONNECTS, "The keep-alive time in force, in seconds; 0: none.")
	COLUMN("clean_start", SQL_BOOL, CLEAN_START, ABOUT_CONNECTS, "Whether the client asked for a new session.")
	COLUMN("receive_maximum", SQL_INT, RECEIVE_MAXIMUM, EVENT(CLIENT_CONNECTED), "How many QoS 1 and 2 messages at a time the client takes; 65535 when it does not say.")
	COLUMN("expiry_interval", SQL_INT, EXPIRY_INTERVAL, ABOUT_CONNECTS, "How long the session outlives the connection, in seconds.")
	COLUMN("is_bridge", SQL_BOOL, IS_BRIDGE, EVENT(CLIENT_CONNECTED), "Whether the client says that it is a bridge (mosquitto's do).")
	COLUMN("is_superuser", SQL_BOOL, IS_SUPERUSER, EVENT(CLIENT_AUTHN), "Whether access rules are not asked for it.")
	COLUMN("is_anonymous", SQL_BOOL, IS_ANONYMOUS, EVENT(CLIENT_AUTHN), "Whether it came without a user name, or nobody had to vouch for it.")
	COLUMN("conn_props", SQL_MAP, CONN_PROPS, ABOUT_CONNECTS, "MQTT 5 properties of CONNECT ('Session-Expiry-Interval', 'User-Property', ...); empty without. NULL in client.ping.")
	COLUMN("disconn_props", SQL_MAP, DISCONN_PROPS, EVENT(CLIENT_DISCONNECTED), "MQTT 5 properties of the client's DISCONNECT; empty without.")
	COLUMN("sub_props", SQL_MAP, SUB_PROPS, EVENT(SESSION_SUBSCRIBED), "MQTT 5 properties of SUBSCRIBE ('Subscription-Identifier', 'User-Property', ...); empty without.")
	COLUMN("unsub_props", SQL_MAP, UNSUB_PROPS, EVENT(SESSION_UNSUBSCRIBED), "MQTT 5 properties of UNSUBSCRIBE; empty without.")
	COLUMN("connected_at", SQL_INT, CONNECTED_AT, EVENT(CLIENT_CONNECTED) | EVENT(CLIENT_CONNACK) | EVENT(CLIENT_DISCONNECTED), "When it connected, in ms since 1970; NULL when it was refused.")
	COLUMN("disconnected_at", SQL_INT, DISCONNECTED_AT, EVENT(CLIENT_DISCONNECTED), "When the connection ended, in ms since 1970.")
	COLUMN("client_attrs", SQL_MAP, CLIENT_ATTRS, EVENT(CLIENT_CONNECTED) | EVENT(CLIENT_DISCONNECTED) | EVENT(CLIENT_AUTHN) | ABOUT_SUBSCRIPTIONS, "Attributes of the client, as its authenticator knows them; empty without.")
	COLUMN("connector", SQL_STRING, CONNECTOR, EVENT(CONNECTOR_STATUS), "The connector's name.")
	COLUMN("kind", SQL_STRING, KIND, EVENT(CONNECTOR_STATUS) | EVENT(SOURCE_MESSAGE), "The connector's type: sqlite, kafka, ...")
	COLUMN("state", SQL_STRING, STATE, EVENT(CONNECTOR_STATUS), "connecting, up, degraded (an action of it is not ready), stalled (rows wait and make no progress), down or stopped.")
	COLUMN("previous", SQL_STRING, PREVIOUS, EVENT(CONNECTOR_STATUS), "The state before.")
	COLUMN("since", SQL_INT, SINCE, EVENT(CONNECTOR_STATUS), "When the state changed, in ms since 1970.")
	COLUMN("publish_received_at", SQL_INT, PUBLISH_RECEIVED_AT, ABOUT_MESSAGES, "When the broker received the message, in ms since 1970.")
	COLUMN("timestamp", SQL_INT, TIMESTAMP, ABOUT_ALL, "When the event happened, in ms since 1970.")
	COLUMN("node", SQL_STRING, NODE, ABOUT_ALL, "The broker's name (node.name).")
	COLUMN("event", SQL_STRING, EVENT, ABOUT_ALL, "The event's name: client.connected, ...")
};
#undef COLUMN
/* clang-format on */

bool event_column(size_t i, const struct sql_column **column, uint32_t *kinds) {
	if (i >= SL_ARRAY_LEN(event_columns)) return false;
	*column = &event_columns[i].c;
	*kinds = event_columns[i].kinds;
	return true;
}

bool event_has_payload(enum rules_event_kind kind) {
	return kind == EVENT_MESSAGE_PUBLISH || kind >= EVENT_AWS_FIRST || (WITH_PAYLOAD >> kind & 1);
}

bool event_shares_id(uint32_t kinds) { return (kinds & ABOUT_RECEIVERS) != 0; }

/* Text, or NULL when it is empty: a client without a user name has none. */
static struct sql_value text_or_null(struct sl_slice s) { return s.n ? sql_string(s) : sql_null(); }

/* The number of a message is this process's alone; its hash, whose key no other process has, makes it everybody's. A
 * message without one gets 128 random bits. */
static struct sql_value message_id(struct event_view *view, struct sl_arena *arena) {
	if (!view->id_made) {
		static const char digits[] = "0123456789ABCDEF";
		const struct rules_about *about = view->ev->about;
		view->id_made = about && about->item && source_id(about, arena, view->id);
		if (view->id_made) return sql_string(slice_make(view->id, EVENT_ID_BYTES));
		uint64_t number = view->ev->number;
		uint64_t bits[2] = {number, sl_hash(slice_make((const char *)&number, sizeof number))};
		if (number == 0) bits[0] = sl_rng_next(), bits[1] = sl_rng_next();
		for (int i = 0; i < EVENT_ID_BYTES; i++) view->id[i] = digits[bits[i / 16] >> (i % 16 * 4) & 15];
		view->id_made = true;
	}
	return sql_string(slice_make(view->id, EVENT_ID_BYTES));
}

/* "10.0.0.1:1883" -> "10.0.0.1", "[::1]:1883" -> "::1"; a text without a port is the host itself. */
static struct sql_value host_of(struct sl_slice peer) {
	if (peer.n && peer.p[0] == '[') {
		ptrdiff_t close = slice_find_byte(peer, ']');
		return text_or_null(close < 0 ? peer : slice_sub(peer, 1, (size_t)close - 1));
	}
	size_t n = peer.n;
	while (n > 0 && peer.p[n - 1] != ':') n--;
	return text_or_null(n ? slice_sub(peer, 0, n - 1) : peer);
}

static struct sql_value pub_props(const struct rules_event *ev, struct sl_arena *arena) {
	struct sql_map *map = event_map_new(arena, 7);
	if (ev->payload_format >= 0)
		event_map_add(map, SL_SLICE_LIT("Payload-Format-Indicator"), sql_int(ev->payload_format));
	if (ev->message_expiry_s >= 0)
		event_map_add(map, SL_SLICE_LIT("Message-Expiry-Interval"), sql_int(ev->message_expiry_s));
	if (ev->content_type.n) event_map_add(map, SL_SLICE_LIT("Content-Type"), sql_string(ev->content_type));
	if (ev->response_topic.n) event_map_add(map, SL_SLICE_LIT("Response-Topic"), sql_string(ev->response_topic));
	if (ev->correlation_data.n)
		event_map_add(map, SL_SLICE_LIT("Correlation-Data"), sql_string(ev->correlation_data));
	event_props_add_user(map, ev->user_properties, arena);
	return event_map_value(map);
}

static struct sql_value flags_map(const struct rules_event *ev, struct sl_arena *arena) {
	struct sql_map *map = event_map_new(arena, 2);
	event_map_add(map, SL_SLICE_LIT("dup"), sql_bool(ev->dup));
	event_map_add(map, SL_SLICE_LIT("retain"), sql_bool(ev->retain));
	return event_map_value(map);
}

static struct sql_value attrs_map(const struct rules_event *ev, struct sl_arena *arena) {
	struct sql_map *map = event_map_new(arena, ev->attrs_len);
	for (size_t i = 0; i < ev->attrs_len; i++)
		event_map_add(map, slice_from_str(ev->attrs[i].name), sql_string(slice_from_str(ev->attrs[i].value)));
	return event_map_value(map);
}

static struct sql_value time_or_null(int64_t ms) { return ms ? sql_int(ms) : sql_null(); }

/* ---- what tools say an event is ---- */

static struct sql_value given_get(const struct event_view *view, uint16_t id) {
	const struct sql_map *given = view->ev->about->given;
	for (size_t i = 0; i < SL_ARRAY_LEN(event_columns); i++) {
		if (event_columns[i].c.id != id) continue;
		struct sl_slice name = slice_from_str(event_columns[i].c.name);
		for (uint32_t k = 0; k < given->n; k++)
			if (slice_equal(given->at[k].key, name)) return given->at[k].value;
	}
	if (id == COLUMN_PAYLOAD && view->ev->kind == EVENT_SOURCE_MESSAGE)
		return slice_equal_str(view->ev->payload, "null") ? sql_null() : sql_string(view->ev->payload);
	if (id == COLUMN_PAYLOAD && view->ev->payload.n) return sql_string(view->ev->payload);
	if (id == COLUMN_TIMESTAMP) return sql_int(view->now_ms);
	if (id == COLUMN_NODE) return text_or_null(view->node);
	if (id == COLUMN_EVENT) return sql_string(event_kind_name((enum rules_event_kind)view->ev->kind));
	return sql_null();
}

/* ---- what sources bring ---- */

static struct sql_value source_get(const struct rules_about *about, enum event_column_id id, struct sl_arena *arena) {
	const struct sl_source_item *item = about->item;
	if (id == COLUMN_PAYLOAD) return source_text(item->value);
	if (id == COLUMN_TOPIC) return sql_string(item->topic);
	if (id == COLUMN_SOURCE) return sql_string(about->source);
	if (id == COLUMN_KEY) return source_text(item->key);
	if (id == COLUMN_PARTITION) return source_number(item->partition);
	if (id == COLUMN_OFFSET) return source_number(item->offset);
	if (id == COLUMN_TS) return source_number(item->ts_ms);
	if (id == COLUMN_TS_TYPE) return item->ts_type ? sql_string(slice_from_str(item->ts_type)) : sql_null();
	if (id == COLUMN_HEADERS) return source_headers(item, arena);
	return source_headers_list(item, arena);
}

static bool no_mqtt(const struct rules_event *ev) {
	return ev->kind == EVENT_SOURCE_MESSAGE && ev->about->item && !ev->about->item->publish;
}

/* ---- the getter ---- */

/* For functions of the aws dialect. */
static struct sql_value aws_get(struct event_view *view, enum event_column_id id, struct sl_arena *arena) {
	const struct rules_event *ev = view->ev;
	if (id == COLUMN_AWS_CLIENTID) return event_context_clientid(ev);
	if (id == COLUMN_AWS_PRINCIPAL) return event_context_principal(ev);
	if (id == COLUMN_AWS_ACCOUNTID) return text_or_null(ev->accountid.n ? ev->accountid : view->account);
	if (id == COLUMN_AWS_USER_PROPERTIES) return event_context_user_properties(ev, arena);
	if (id == COLUMN_AWS_MQTT_PROPERTIES) return event_context_properties(ev, arena);
	if (id == COLUMN_AWS_TRACEID) {
		struct sql_value name = message_id(view, arena);
		return event_context_traceid(ev, &name, arena);
	}
	struct sql_value host = host_of(ev->peer);
	return host.kind == SQL_NULL ? sql_string(SL_SLICE_LIT("")) : host;
}

static struct sql_value column_get(struct event_view *view, enum event_column_id id, struct sl_arena *arena) {
	const struct rules_event *ev = view->ev;
	const struct rules_about *about = ev->about;
	bool is_message = ev->kind == EVENT_MESSAGE_PUBLISH;
	switch (id) {
	case COLUMN_ID: return message_id(view, arena);
	case COLUMN_CLIENTID: return text_or_null(is_message ? ev->clientid : about->clientid);
	case COLUMN_USERNAME: return text_or_null(is_message ? ev->username : about->username);
	case COLUMN_PAYLOAD: return sql_string(ev->payload);
	case COLUMN_PEERHOST: return host_of(is_message ? ev->peer : about->peer);
	case COLUMN_PEERNAME: return text_or_null(is_message ? ev->peer : about->peer);
	case COLUMN_TOPIC: return sql_string(is_message || !about->filter.n ? ev->topic : about->filter);
	case COLUMN_QOS:
		if (ev->kind == EVENT_SESSION_UNSUBSCRIBED || no_mqtt(ev)) return sql_null();
		return sql_int(ev->kind == EVENT_SESSION_SUBSCRIBED ? about->qos : ev->qos);
	case COLUMN_FLAGS: return no_mqtt(ev) ? sql_null() : flags_map(ev, arena);
	case COLUMN_PUB_PROPS: return no_mqtt(ev) ? sql_null() : pub_props(ev, arena);
	case COLUMN_CLIENT_ATTRS: return attrs_map(ev, arena);
	case COLUMN_PUBLISH_RECEIVED_AT: return sql_int(is_message ? ev->at_ms : ev->published_ms);
	case COLUMN_TIMESTAMP: return sql_int(view->now_ms);
	case COLUMN_NODE: return text_or_null(view->node);
	case COLUMN_EVENT: return sql_string(event_kind_name((enum rules_event_kind)ev->kind));
	case COLUMN_AWS_CLIENTID:
	case COLUMN_AWS_PRINCIPAL:
	case COLUMN_AWS_ACCOUNTID:
	case COLUMN_AWS_TRACEID:
	case COLUMN_AWS_SOURCEIP:
	case COLUMN_AWS_USER_PROPERTIES:
	case COLUMN_AWS_MQTT_PROPERTIES: return aws_get(view, id, arena);
	case COLUMN_FROM_CLIENTID: return text_or_null(ev->clientid);
	case COLUMN_FROM_USERNAME: return text_or_null(ev->username);
	case COLUMN_REASON:
	case COLUMN_REASON_CODE: return text_or_null(about->reason);
	case COLUMN_MOUNTPOINT: return sql_null();
	case COLUMN_SOCKNAME: return text_or_null(about->sock);
	case COLUMN_PROTO_NAME: return sql_string(about->version == 3 ? SL_SLICE_LIT("MQIsdp") : SL_SLICE_LIT("MQTT"));
	case COLUMN_PROTO_VER: return sql_int(about->version);
	case COLUMN_KEEPALIVE: return sql_int(about->keepalive_s);
	case COLUMN_CLEAN_START: return sql_bool(about->clean_start);
	case COLUMN_RECEIVE_MAXIMUM: return sql_int(about->receive_maximum);
	case COLUMN_EXPIRY_INTERVAL: return sql_int(about->expiry_s);
	case COLUMN_IS_BRIDGE: return sql_bool(about->bridge);
	case COLUMN_IS_SUPERUSER: return sql_bool(ev->superuser);
	case COLUMN_IS_ANONYMOUS: return sql_bool(about->anonymous);
	case COLUMN_CONN_PROPS:
		if (ev->kind == EVENT_CLIENT_PING) return sql_null();
		return event_props(about->props, arena);
	case COLUMN_DISCONN_PROPS:
	case COLUMN_SUB_PROPS:
	case COLUMN_UNSUB_PROPS:
	case COLUMN_PUBACK_PROPS: return event_props(about->props, arena);
	case COLUMN_CONNECTED_AT: return time_or_null(about->connected_ms);
	case COLUMN_DISCONNECTED_AT: return time_or_null(about->disconnected_ms);
	case COLUMN_CONNECTOR: return text_or_null(about->connector);
	case COLUMN_KIND: return text_or_null(about->connector_kind);
	case COLUMN_STATE: return text_or_null(about->state);
	case COLUMN_PREVIOUS: return text_or_null(about->previous);
	case COLUMN_SINCE: return time_or_null(about->since_ms);
	case COLUMN_SOURCE:
	case COLUMN_KEY:
	case COLUMN_PARTITION:
	case COLUMN_OFFSET:
	case COLUMN_TS:
	case COLUMN_TS_TYPE:
	case COLUMN_HEADERS:
	case COLUMN_HEADERS_LIST: return source_get(about, id, arena);
	case COLUMNS: break;
	}
	return sql_null();
}

/* Has this kind of event the column? Of a mix of kinds, others may. */
static bool has_column(enum rules_event_kind kind, uint16_t id) {
	if (kind == EVENT_MESSAGE_PUBLISH) return id < COLUMN_FROM_CLIENTID;
	for (size_t i = 0; i < SL_ARRAY_LEN(event_columns); i++) /* the payload stands there twice, for other kinds */
		if (event_columns[i].c.id == id && event_columns[i].kinds >> kind & 1) return true;
	return false;
}

static struct sql_value event_get(const void *event, uint16_t id, struct sl_arena *arena) {
	/* The view is the engine's own and not constant; only the made-up id changes in it. */
	struct event_view *view = (struct event_view *)(uintptr_t)event;
	enum rules_event_kind kind = (enum rules_event_kind)view->ev->kind;
	if (sl_unlikely(!has_column(kind, id))) return sql_null();
	if (sl_unlikely(view->ev->about && view->ev->about->given)) return given_get(view, id);
	const struct rules_about *about = view->ev->about;
	if (about && about->item && (id == COLUMN_PAYLOAD || id == COLUMN_TOPIC))
		return source_get(about, (enum event_column_id)id, arena);
	return column_get(view, (enum event_column_id)id, arena);
}

const struct sql_source event_message = {
    .name = "message",
    .columns = message_columns,
    .column_count = SL_ARRAY_LEN(message_columns),
    .payload_column = COLUMN_PAYLOAD,
    .get = event_get,
};

/* ---- sources ---- */

struct event_sources {
	enum sql_dialect dialect;
	struct sql_source **made;
	size_t len, cap;
};

struct event_sources *event_sources_new(enum sql_dialect dialect) {
	struct event_sources *s = SL_NEW(struct event_sources);
	s->dialect = dialect;
	return s;
}

void event_sources_free(struct event_sources *s) {
	if (!s) return;
	for (size_t i = 0; i < s->len; i++) {
		sl_free((void *)(uintptr_t)s->made[i]->columns);
		sl_free((void *)(uintptr_t)s->made[i]->name);
		sl_free(s->made[i]);
	}
	sl_free(s->made);
	sl_free(s);
}

/* All columns that any of the kinds has. */
static const struct sql_source *source_make(struct event_sources *s, struct sl_slice name, uint32_t kinds) {
	struct sql_source *source = SL_NEW(struct sql_source);
	struct sql_column *columns = SL_NEW_ARRAY(struct sql_column, SL_ARRAY_LEN(event_columns));
	for (size_t i = 0; i < SL_ARRAY_LEN(event_columns); i++)
		if (event_columns[i].kinds & kinds) columns[source->column_count++] = event_columns[i].c;
	source->name = slice_dup(name);
	source->columns = columns;
	source->payload_column = kinds & WITH_PAYLOAD ? COLUMN_PAYLOAD : UINT16_MAX;
	source->get = event_get;
	SL_GROW(s->made, s->len, s->cap);
	s->made[s->len++] = source;
	return source;
}

static const struct sql_source *find_event(struct event_sources *s, struct sl_slice from, struct sl_err *err) {
	if (!s) {
		sl_err_set(err, SL_EUNSUPPORTED, "'%.*s' is an event; here a topic filter is wanted",
			   SL_SLICE_ARG(from));
		return NULL;
	}
	if (s->dialect == SQL_AWS && !source_from(from)) {
		sl_err_set(err, SL_EUNSUPPORTED,
			   "'%.*s' is read in the standard dialect; in this one write '$aws/events/presence/#' or "
			   "'$aws/events/subscriptions/#'",
			   SL_SLICE_ARG(from));
		return NULL;
	}
	uint32_t kinds = event_kinds(from);
	if (kinds) return source_make(s, from, kinds);
	event_kinds_unknown(from, err);
	return NULL;
}

/* A misspelt event of the families that there are; other families of AWS may be imported with their rules. */
static bool aws_event_never(struct sl_slice from) {
	if (!slice_starts_with(from, SL_SLICE_LIT("$aws/events/presence/")) &&
	    !slice_starts_with(from, SL_SLICE_LIT("$aws/events/subscriptions/")))
		return false;
	return topic_filter_valid(from) && !event_aws_kinds(from);
}

const struct sql_source *event_source_find(void *arg, struct sl_slice from, struct sl_err *err) {
	if (event_from(from)) return find_event(arg, from, err);
	if (slice_starts_with(from, SL_SLICE_LIT("$bridges/"))) {
		sl_err_set(err, SL_EUNSUPPORTED,
			   "'%.*s' is what EMQX called a source before; write '$sources/TYPE:NAME', where NAME stands "
			   "under `sources:`, or a topic filter for what comes by MQTT",
			   SL_SLICE_ARG(from));
		return NULL;
	}
	if (aws_event_never(from)) {
		sl_err_set(err, SL_EUNSUPPORTED,
			   "'%.*s' never happens: there are $aws/events/presence/ with connected, disconnected or "
			   "connect_failed, and $aws/events/subscriptions/ with subscribed or unsubscribed; behind it "
			   "stands the client id, or '+' for all",
			   SL_SLICE_ARG(from));
		return NULL;
	}
	if (from.n && !topic_filter_valid(from)) {
		sl_err_set(err, SL_EINVAL,
			   "'%.*s' is not a topic filter: '+' fills a whole level and '#' the last one, as in "
			   "\"sensors/+/t\" or \"sensors/#\"",
			   SL_SLICE_ARG(from));
		return NULL;
	}
	return &event_message;
}
