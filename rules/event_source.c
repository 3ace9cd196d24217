/* event_source.c: see event_source.h. The columns are those of EMQX's `message.publish`, so that its rules run. */
#include "event_source.h"

#include "hash.h"
#include "rng.h"
#include "topic.h"

enum message_column {
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
};

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
     .doc = "Attributes of the client; empty in this build."},
    {.name = "publish_received_at",
     .kind = SQL_INT,
     .id = COLUMN_PUBLISH_RECEIVED_AT,
     .doc = "When the broker received the message, in ms since 1970."},
    {.name = "timestamp", .kind = SQL_INT, .id = COLUMN_TIMESTAMP, .doc = "When the rule ran, in ms since 1970."},
    {.name = "node", .kind = SQL_STRING, .id = COLUMN_NODE, .doc = "The broker's name (node.name)."},
    {.name = "event", .kind = SQL_STRING, .id = COLUMN_EVENT, .doc = "Always message.publish."},
};

/* Text, or NULL when it is empty: a client without a user name has none. */
static struct sql_value text_or_null(struct sl_slice s) { return s.n ? sql_string(s) : sql_null(); }

/* Time in microseconds would need the clock; what must not repeat is the name, so 128 random bits do. */
static struct sql_value message_id(struct event_view *view) {
	if (!view->id_made) {
		static const char digits[] = "0123456789ABCDEF";
		uint64_t bits[2] = {sl_rng_next(), sl_rng_next()};
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

/* A map under construction, with room for every member it may get. */
static struct sql_map *map_new(struct sl_arena *arena, size_t room) {
	struct sql_map *map = SL_ARENA_NEW(arena, struct sql_map);
	map->at = SL_ARENA_ARRAY(arena, struct sql_map_member, room);
	return map;
}

static void map_add(struct sql_map *map, struct sl_slice key, struct sql_value value) {
	map->at[map->n++] = (struct sql_map_member){key, value};
}

static struct sql_value map_value(const struct sql_map *map) { return (struct sql_value){.kind = SQL_MAP, .map = map}; }

/* The properties of a PUBLISH that a message keeps, as they stand in the packet (MQTT5 2.2.2.2). */
enum {
	PROPERTY_PAYLOAD_FORMAT = 0x01,
	PROPERTY_MESSAGE_EXPIRY = 0x02,
	PROPERTY_CONTENT_TYPE = 0x03,
	PROPERTY_RESPONSE_TOPIC = 0x08,
	PROPERTY_CORRELATION_DATA = 0x09,
	PROPERTY_USER = 0x26,
};

/* Takes two bytes of length and as many bytes off. */
static bool text_next(struct sl_slice *rest, struct sl_slice *text) {
	if (rest->n < 2) return false;
	size_t len = (size_t)(uint8_t)rest->p[0] << 8 | (uint8_t)rest->p[1];
	if (rest->n - 2 < len) return false;
	*text = slice_sub(*rest, 2, len);
	*rest = slice_from(*rest, 2 + len);
	return true;
}

/* Takes properties off the block up to and with the next user property. A damaged rest ends the walk; the decoder has
 * checked it before. */
static bool user_pair_next(struct sl_slice *rest, struct sl_slice *name, struct sl_slice *value) {
	struct sl_slice other;
	while (rest->n) {
		uint8_t id = (uint8_t)rest->p[0];
		*rest = slice_from(*rest, 1);
		if (id == PROPERTY_USER) return text_next(rest, name) && text_next(rest, value);
		if (id == PROPERTY_PAYLOAD_FORMAT)
			*rest = slice_from(*rest, 1);
		else if (id == PROPERTY_MESSAGE_EXPIRY)
			*rest = slice_from(*rest, 4);
		else if (id != PROPERTY_CONTENT_TYPE && id != PROPERTY_RESPONSE_TOPIC &&
			 id != PROPERTY_CORRELATION_DATA)
			return false;
		else if (!text_next(rest, &other))
			return false;
	}
	return false;
}

/* Where a name stands in the object, or will: a place of a small open-addressing table, for a packet may hold
 * a hundred thousand pairs. */
static uint32_t *name_place(uint32_t *table, size_t mask, const struct sql_map *object, struct sl_slice name) {
	size_t i = (size_t)sl_hash(name) & mask;
	while (table[i] && !slice_equal(object->at[table[i] - 1].key, name)) i = (i + 1) & mask;
	return &table[i];
}

/* Of equal names the last counts in the object; the list keeps all, in order. */
static void user_properties_add(struct sql_map *props, struct sl_slice block, struct sl_arena *arena) {
	struct sl_slice rest = block, name, value;
	size_t count = 0, room = 8;
	while (user_pair_next(&rest, &name, &value)) count++;
	if (count == 0) return;
	while (room < count * 2) room *= 2;

	uint32_t *table = SL_ARENA_ARRAY(arena, uint32_t, room);
	struct sql_map *object = map_new(arena, count);
	struct sql_list *pairs = SL_ARENA_NEW(arena, struct sql_list);
	pairs->at = SL_ARENA_ARRAY(arena, struct sql_value, count);
	rest = block;
	while (user_pair_next(&rest, &name, &value)) {
		struct sql_map *pair = map_new(arena, 2);
		map_add(pair, SL_SLICE_LIT("key"), sql_string(name));
		map_add(pair, SL_SLICE_LIT("value"), sql_string(value));
		pairs->at[pairs->n++] = map_value(pair);
		uint32_t *place = name_place(table, room - 1, object, name);
		if (*place) {
			object->at[*place - 1].value = sql_string(value);
		} else {
			map_add(object, name, sql_string(value));
			*place = object->n;
		}
	}
	map_add(props, SL_SLICE_LIT("User-Property"), map_value(object));
	map_add(props, SL_SLICE_LIT("User-Property-Pairs"), (struct sql_value){.kind = SQL_LIST, .list = pairs});
}

static struct sql_value pub_props(const struct rules_event *ev, struct sl_arena *arena) {
	struct sql_map *map = map_new(arena, 7);
	if (ev->payload_format >= 0)
		map_add(map, SL_SLICE_LIT("Payload-Format-Indicator"), sql_int(ev->payload_format));
	if (ev->message_expiry_s >= 0)
		map_add(map, SL_SLICE_LIT("Message-Expiry-Interval"), sql_int(ev->message_expiry_s));
	if (ev->content_type.n) map_add(map, SL_SLICE_LIT("Content-Type"), sql_string(ev->content_type));
	if (ev->response_topic.n) map_add(map, SL_SLICE_LIT("Response-Topic"), sql_string(ev->response_topic));
	if (ev->correlation_data.n) map_add(map, SL_SLICE_LIT("Correlation-Data"), sql_string(ev->correlation_data));
	user_properties_add(map, ev->user_properties, arena);
	return map_value(map);
}

static struct sql_value flags_map(const struct rules_event *ev, struct sl_arena *arena) {
	struct sql_map *map = map_new(arena, 2);
	map_add(map, SL_SLICE_LIT("dup"), sql_bool(ev->dup));
	map_add(map, SL_SLICE_LIT("retain"), sql_bool(ev->retain));
	return map_value(map);
}

static struct sql_value message_get(const void *event, uint16_t id, struct sl_arena *arena) {
	/* The view is the engine's own and not constant; only the made-up id changes in it. */
	struct event_view *view = (struct event_view *)(uintptr_t)event;
	const struct rules_event *ev = view->ev;
	switch ((enum message_column)id) {
	case COLUMN_ID: return message_id(view);
	case COLUMN_CLIENTID: return text_or_null(ev->clientid);
	case COLUMN_USERNAME: return text_or_null(ev->username);
	case COLUMN_PAYLOAD: return sql_string(ev->payload);
	case COLUMN_PEERHOST: return host_of(ev->peer);
	case COLUMN_PEERNAME: return text_or_null(ev->peer);
	case COLUMN_TOPIC: return sql_string(ev->topic);
	case COLUMN_QOS: return sql_int(ev->qos);
	case COLUMN_FLAGS: return flags_map(ev, arena);
	case COLUMN_PUB_PROPS: return pub_props(ev, arena);
	case COLUMN_CLIENT_ATTRS: return map_value(map_new(arena, 0));
	case COLUMN_PUBLISH_RECEIVED_AT: return sql_int(ev->at_ms);
	case COLUMN_TIMESTAMP: return sql_int(view->now_ms);
	case COLUMN_NODE: return text_or_null(view->node);
	case COLUMN_EVENT: return sql_string(SL_SLICE_LIT("message.publish"));
	}
	return sql_null();
}

const struct sql_source event_message = {
    .name = "message",
    .columns = message_columns,
    .column_count = SL_ARRAY_LEN(message_columns),
    .payload_column = COLUMN_PAYLOAD,
    .get = message_get,
};

const struct sql_source *event_source_find(void *arg, struct sl_slice from, struct sl_err *err) {
	(void)arg;
	static const char *const other_kinds[] = {"$events/", "$sources/", "$bridges/"};
	for (size_t i = 0; i < SL_ARRAY_LEN(other_kinds); i++) {
		if (!slice_starts_with(from, slice_from_str(other_kinds[i]))) continue;
		sl_err_set(
		    err, SL_EUNSUPPORTED,
		    "'%.*s' is an event, not a topic: rules of this build read messages only; write a topic filter, "
		    "for example FROM \"sensors/#\"",
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
