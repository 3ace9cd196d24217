/* event_describe.c: see event_describe.h. */
#include "event_describe.h"

#include "event_kind.h"
#include "event_source.h"

static void describe_kind(enum rules_event_kind kind, const char *old, const char *doc, struct sl_buf *out) {
	const struct sql_column *column;
	uint32_t kinds;
	if (kind == EVENT_MESSAGE_PUBLISH) return;
	sl_buf_printf(out, "| `%.*s`", SL_SLICE_ARG(event_kind_topic(kind)));
	if (*old) sl_buf_printf(out, ", before `%s`", old);
	sl_buf_printf(out, " | %s |", doc);
	for (size_t i = 0; event_column(i, &column, &kinds); i++)
		if (kinds >> kind & 1) sl_buf_printf(out, " %s", column->name);
	sl_buf_append_str(out, " |\n");
}

static const char reasons[] = "\nThe words of `reason`:\n\n"
			      "- `client.disconnected`: `normal` and `disconnect_with_will_message` (the client's "
			      "DISCONNECT), `tcp_closed`, `tcp_error`,\n"
			      "  `keepalive_timeout`, `takenover` and `discarded` (the same client id connected again; "
			      "the second with a new session),\n"
			      "  `server_shutting_down`, or the broker's reason to end it, as MQTT 5 calls it: "
			      "`protocol_error`, `malformed_packet`,\n"
			      "  `receive_maximum_exceeded`, ...\n"
			      "- `message.dropped`: `no_subscribers`.\n"
			      "- `delivery.dropped`: `queue_full`, `expired`, `no_local`, `qos0_msg` (QoS 0, and the "
			      "receiver is offline), `too_large` (for\n"
			      "  the receiver), `session_ended` (it waited in its queue).\n"
			      "\nThe QoS of an event, which a republish without `qos` takes over: 1, and of events "
			      "about a message the message's.\n";

static const char sources[] =
    "\nSources (`sources:`, [options](../connectors/OPTIONS.md)) are named by the connector's type and the source's "
    "name: "
    "`$sources/kafka:orders`,\nin both dialects; `kafka_consumer` is taken for `kafka`. `$sources/kafka:+` is all of a "
    "type, `$sources/+:orders` those of a name,\n`$sources/#` all. Neither clients nor rules can publish there. A "
    "rule's "
    "run that fails counts as a failure, and the message as read.\nWithout an `order_key` of its own an action keeps "
    "the "
    "rows of a partition in order. Messages in an open window (GROUP BY) count as\nread when they have gone in.\n";

void event_describe(struct sl_buf *out) {
	const struct sql_column *column;
	uint32_t kinds;
	sl_buf_append_str(out, "\n## Events\n\nWhat FROM can name beside topics; `+` and `#` cover several. All have "
			       "`metadata` too.\n\n| FROM | when | columns |\n| --- | --- | --- |\n");
#define EVENT_KIND(id, event, topic, old, doc) describe_kind(EVENT_##id, old, doc, out);
#include "event_tbl.h"
#undef EVENT_KIND
	sl_buf_append_str(out, reasons);
	sl_buf_append_str(out, sources);
	sl_buf_append_str(out, "\n## Columns of events\n\n| column | kind | meaning |\n| --- | --- | --- |\n");
	for (size_t i = 0; event_column(i, &column, &kinds); i++)
		sl_buf_printf(out, "| `%s` | %s | %s |\n", column->name, sql_kind_name(column->kind), column->doc);
	sl_buf_append_str(
	    out, "\n## Events as AWS IoT Core has them\n\nMessages about clients, in both dialects; the client "
		 "id follows behind. Rules read them, subscribers get none.\n\n");
#define EVENT_AWS(id, type, topic) sl_buf_printf(out, "- `%s`\n", topic);
#include "event_tbl.h"
#undef EVENT_AWS
}
