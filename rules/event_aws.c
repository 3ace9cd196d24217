/* event_aws.c: see event_aws.h. */
#include "event_aws.h"

#include "event_kind.h"
#include "hash.h"
#include "jwrite.h"
#include "topic.h"

/* AWS's words for our reasons to end a connection. What is not here is the client's mistake. */
static const struct {
	const char *reason, *aws;
} disconnect_reasons[] = {
    {"normal", "CLIENT_INITIATED_DISCONNECT"},
    {"disconnect_with_will_message", "CLIENT_INITIATED_DISCONNECT"},
    {"tcp_closed", "CONNECTION_LOST"},
    {"tcp_error", "CONNECTION_LOST"},
    {"keepalive_timeout", "MQTT_KEEP_ALIVE_TIMEOUT"},
    {"takenover", "DUPLICATE_CLIENTID"},
    {"discarded", "DUPLICATE_CLIENTID"},
    {"not_authorized", "FORBIDDEN_ACCESS"},
    {"bad_username_or_password", "AUTH_ERROR"},
    {"server_shutting_down", "SERVER_INITIATED_DISCONNECT"},
    {"server_unavailable", "SERVER_ERROR"},
    {"unspecified_error", "SERVER_ERROR"},
};

static struct sl_slice aws_reason(struct sl_slice reason) {
	for (size_t i = 0; i < SL_ARRAY_LEN(disconnect_reasons); i++)
		if (slice_equal_str(reason, disconnect_reasons[i].reason))
			return slice_from_str(disconnect_reasons[i].aws);
	return SL_SLICE_LIT("CLIENT_ERROR");
}

static struct sl_slice aws_type(enum rules_event_kind kind) {
	static const char *const types[EVENT_KINDS] = {
#define EVENT_AWS(id, type, topic) [EVENT_##id] = type,
#include "event_tbl.h"
#undef EVENT_AWS
	};
	return slice_from_str(types[kind]);
}

static void put_text(struct jwrite *w, const char *key, struct sl_slice text) {
	jwrite_key(w, slice_from_str(key));
	jwrite_string(w, text);
}

/* In the shape of a UUID; the same for all events of a connection. */
static void put_session(struct jwrite *w, const struct rules_about *about) {
	uint64_t parts[2] = {about->connection, about->serial};
	uint64_t a = sl_hash(slice_make((const char *)parts, sizeof parts)), b = a ^ parts[1] * 0x9e3779b97f4a7c15u;
	struct sl_buf text = SL_BUF_INIT;
	sl_buf_printf(&text, "%08x-%04x-%04x-%04x-%012llx", (unsigned)(a >> 32), (unsigned)(a >> 16 & 0xffff),
		      (unsigned)(a & 0xffff), (unsigned)(b >> 48), (unsigned long long)(b & 0xffffffffffff));
	put_text(w, "sessionIdentifier", sl_buf_slice(&text));
	sl_buf_fini(&text);
}

static struct sl_slice host_of(struct sl_slice peer) {
	size_t n = peer.n;
	while (n > 0 && peer.p[n - 1] != ':') n--;
	struct sl_slice host = n ? slice_sub(peer, 0, n - 1) : peer;
	if (host.n > 2 && host.p[0] == '[') host = slice_sub(host, 1, host.n - 2);
	return host;
}

static void put_payload(struct jwrite *w, const struct rules_event *ev) {
	const struct rules_about *about = ev->about;
	jwrite_object_begin(w);
	put_text(w, "clientId", about->clientid);
	jwrite_key(w, SL_SLICE_LIT("timestamp"));
	jwrite_i64(w, ev->at_ms);
	put_text(w, "eventType", aws_type((enum rules_event_kind)ev->kind));
	if (ev->kind != EVENT_AWS_CONNECT_FAILED) put_session(w, about);
	if (about->username.n) put_text(w, "principalIdentifier", about->username);
	if (about->peer.n) put_text(w, "ipAddress", host_of(about->peer));
	if (ev->kind == EVENT_AWS_CONNECT_FAILED) put_text(w, "connectFailureReason", aws_reason(about->reason));
	if (ev->kind == EVENT_AWS_CONNECTED || ev->kind == EVENT_AWS_DISCONNECTED) {
		jwrite_key(w, SL_SLICE_LIT("versionNumber"));
		jwrite_u64(w, about->serial);
	}
	if (ev->kind == EVENT_AWS_DISCONNECTED) {
		jwrite_key(w, SL_SLICE_LIT("clientInitiatedDisconnect"));
		jwrite_bool(w, about->by_client);
		put_text(w, "disconnectReason", aws_reason(about->reason));
	}
	if (ev->kind == EVENT_AWS_SUBSCRIBED || ev->kind == EVENT_AWS_UNSUBSCRIBED) {
		jwrite_key(w, SL_SLICE_LIT("topics"));
		jwrite_array_begin(w);
		for (size_t i = 0; i < about->filter_count; i++) jwrite_string(w, about->filters[i]);
		jwrite_array_end(w);
	}
	jwrite_object_end(w);
}

bool event_aws_message(const struct rules_event *ev, struct sl_buf *topic, struct sl_buf *payload) {
	struct jwrite w;
	sl_buf_clear(topic);
	sl_buf_clear(payload);
	sl_buf_append_slice(topic, event_kind_topic((enum rules_event_kind)ev->kind));
	sl_buf_append_slice(topic, ev->about->clientid);
	if (ev->about->clientid.n == 0 || !topic_name_valid(sl_buf_slice(topic))) return false;
	jwrite_init(&w, payload);
	put_payload(&w, ev);
	return true;
}
