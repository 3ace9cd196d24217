/* broker_conf_limits.c: every limit of the broker on one page: its default as the option's row has it, what happens beyond, and the
 * series that shows how much is used. A name that is no option ends the printing, which a test does. */
#include "broker_conf_int.h"
#include "metrics.h"

enum { NO_METRIC = METRIC_COUNT };

struct limit {
	const char *option, *of, *beyond;
	int used, hit; /* enum sl_metric: how much is used, how often it was met; or NO_METRIC */
};

static const struct limit limits[] = {
    {"listeners[].max_connections", "a listener", "the connection is turned away", METRIC_CONNECTIONS,
     METRIC_LISTENER_FULL},
    {"listeners[].max_connect_rate", "a listener", "connections wait to be accepted", METRIC_CONNECTIONS_ACCEPTED,
     METRIC_CONNECT_RATE_PAUSES},
    {"listeners[].max_message_rate", "a client", "it is not read from for a while", METRIC_PUBLISH_IN_QOS0,
     METRIC_RATE_PAUSES},
    {"listeners[].max_byte_rate", "a client", "it is not read from for a while", METRIC_BYTES_IN, METRIC_RATE_PAUSES},
    {"mqtt.connect_timeout", "a connection", "it is closed", NO_METRIC, NO_METRIC},
    {"mqtt.max_connect_size", "a CONNECT", "the connection ends", NO_METRIC, METRIC_PROTOCOL_ERRORS},
    {"mqtt.max_packet_size", "a packet", "the connection ends (0x95)", NO_METRIC, METRIC_PROTOCOL_ERRORS},
    {"mqtt.max_clientid_length", "a client", "CONNECT is refused (0x85)", NO_METRIC, METRIC_CONNECTS_REFUSED},
    {"mqtt.max_topic_levels", "a topic", "it is refused (0x90, 0x8F)", NO_METRIC, METRIC_PUBLISH_REFUSED},
    {"mqtt.topic_alias_max", "a connection", "the connection ends (0x94)", NO_METRIC, METRIC_PROTOCOL_ERRORS},
    {"mqtt.max_subscriptions", "a session", "the subscription is refused (0x97)", METRIC_SUBSCRIPTIONS, NO_METRIC},
    {"mqtt.max_inflight", "a session", "messages wait in its queue", METRIC_INFLIGHT_OUT, NO_METRIC},
    {"mqtt.receive_maximum", "a client", "the connection ends (0x93)", NO_METRIC, METRIC_PROTOCOL_ERRORS},
    {"mqtt.max_queued", "a session", "publishers wait, or `queue_full` says what is dropped", METRIC_QUEUED,
     METRIC_DROPPED_QUEUE_FULL},
    {"mqtt.max_queued_bytes", "a session", "the same; a slow client's QoS 0 is dropped", METRIC_QUEUED_BYTES,
     METRIC_DROPPED_SLOW_CLIENT},
    {"mqtt.session_expiry_max", "a session", "it ends", METRIC_SESSIONS, METRIC_SESSIONS_EXPIRED},
    {"mqtt.keepalive_max", "a client", "it is told to use this", NO_METRIC, NO_METRIC},
    {"mqtt.max_retained", "the broker", "a message to a new topic is not kept", METRIC_RETAINED, NO_METRIC},
    {"mqtt.max_delayed", "the broker", "the message is refused (0x97)", METRIC_DELAYED, METRIC_DELAYED_REFUSED},
    {"mqtt.max_delayed_bytes", "the broker", "the message is refused (0x97)", METRIC_DELAYED, METRIC_DELAYED_REFUSED},
    {"persistence.max_disk", "the broker", "publishers wait", METRIC_QUEUE_LOG_BYTES, METRIC_QUEUE_LOG_ERRORS},
    {"persistence.max_store", "the broker", "from nine tenths on new things are refused (0x97)", METRIC_STORE_BYTES,
     METRIC_STORE_FULL},
    {"auth.connect_rate", "an address", "the connection is closed", METRIC_CONNECTIONS_ACCEPTED, METRIC_GUARD_TOO_FAST},
    {"auth.auth_failures.max", "an address", "its logins are refused for a while", METRIC_CONNECTS_REFUSED,
     METRIC_GUARD_GUESSES},
    {"node.buffer_memory", "the broker", "rows wait on disk, then publishers wait", NO_METRIC,
     METRIC_PUBLISHERS_WAITING},
    {"state.max_bytes", "the broker", "what was longest unused is forgotten", NO_METRIC, NO_METRIC},
};

/* "mqtt.max_queued"; a list's items stand behind "[]". */
static const struct conf_field *find(const char *path) {
	const struct conf_field *f = broker_conf_fields;
	for (struct sl_slice rest = slice_from_str(path); f;) {
		struct sl_slice name = slice_next_part(&rest, '.');
		if (name.n > 2 && name.p[name.n - 1] == ']') name.n -= 2;
		while (f->name && !slice_equal_str(name, f->name)) f++;
		if (!f->name) return NULL;
		if (rest.n == 0) return f;
		f = f->fields;
	}
	return NULL;
}

static void put_series(struct sl_buf *out, int metric) {
	if (metric == NO_METRIC) {
		sl_buf_append_str(out, " |");
		return;
	}
	const struct sl_metric_info *info = sl_metric_info((enum sl_metric)metric);
	/* A label tells rows of a family apart; publishes of all QoS count here. */
	bool labels = info->labels[0] != '\0' && metric != METRIC_PUBLISH_IN_QOS0;
	sl_buf_printf(out, " `%s%s%s%s` |", info->family, labels ? "{" : "", labels ? info->labels : "",
		      labels ? "}" : "");
}

void broker_conf_limits(struct sl_buf *out) {
	sl_buf_append_str(out,
			  "\n## Limits\n\nAll of them with their defaults, what happens beyond, and the series of "
			  "[/metrics](metrics.md) that show how much is used and how often a limit was met. Those of "
			  "connectors stand in [connectors/OPTIONS.md](../connectors/OPTIONS.md).\n\n"
			  "| limit | of | default | beyond | used | met |\n| --- | --- | --- | --- | --- | --- |\n");
	for (size_t i = 0; i < SL_ARRAY_LEN(limits); i++) {
		const struct limit *l = &limits[i];
		const struct conf_field *f = find(l->option);
		sl_assert(f != NULL);
		sl_buf_printf(out, "| `%s` | %s | `%s` | %s |", l->option, l->of, f->def ? f->def : "none", l->beyond);
		put_series(out, l->used);
		put_series(out, l->hit);
		sl_buf_append_str(out, "\n");
	}
}
