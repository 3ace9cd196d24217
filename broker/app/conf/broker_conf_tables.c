/* broker_conf_tables.c: every option of the file but those of connectors and rules. */
#include "broker_conf_int.h"
#include "conf_units.h"
#include "log.h"
#include "mem.h"

/* Of the status pages, which are bound without asking a name server. */
static int check_admin_bind(const struct conf_field *field, struct sl_slice text, struct sl_err *err) {
	(void)field;
	struct sl_slice host;
	uint16_t port;
	int rc = conf_parse_bind(text, &host, &port, err);
	if (rc != SL_OK || !host.n) return rc;
	char *address = slice_dup(host);
	if (!sl_listen_at_text(address, port, false).known)
		rc = sl_err_set(err, SL_EINVAL,
				"'%.80s' is no IP address, and names are not looked up here; write for example "
				"127.0.0.1:18083, or :18083 for all IPv4 addresses",
				address);
	sl_free(address);
	return rc;
}

/* The order of the words is the order of the enums. */
static const char *const log_levels[] = {"debug", "info", "warn", "error", "off", NULL};
static const char *const log_formats[] = {"text", "json", NULL};

#define AT(member) offsetof(struct broker_conf, member)

static const struct conf_field node_fields[] = {
    {.name = "name",
     .type = CONF_STRING,
     .flags = CONF_EXPAND | CONF_NONEMPTY,
     .at = AT(node.name),
     .def = "sluice-1",
     .max = 255,
     .doc = "The name of this broker in logs and metrics."},
    {.name = "data_dir",
     .type = CONF_STRING,
     .flags = CONF_EXPAND | CONF_NONEMPTY,
     .at = AT(node.data_dir),
     .def = "./data",
     .max = 4000,
     .doc = "The folder for everything that survives a restart: the logs of actions, the dead letters, and the "
	    "broker's own "
	    "state (persistence). Created when it is not there."},
    {.name = "workers",
     .type = CONF_INT_AUTO,
     .at = AT(node.workers),
     .def = "auto",
     .min = 1,
     .max = 64,
     .doc = "Event loops that serve clients; `auto` is one for each core."},
    {.name = "buffer_memory",
     .type = CONF_SIZE,
     .at = AT(node.buffer_memory),
     .def = "256MB",
     .min = 1048576,
     .max = (int64_t)(1024 * SL_GB),
     .doc = "Memory for rows of all actions together: on their way, waiting, held, and with clients of the far sides. "
	    "Above it rows wait in the logs on disk, then publishers wait. connectors/README.md has the sum of all "
	    "memory."},
    {.name = "outbound",
     .type = CONF_OBJECT,
     .flags = CONF_NULL_OK,
     .at = AT(node.outbound),
     .fields = sl_outbound_fields,
     .doc =
	 "Which addresses connectors may reach, beside the list below. A reload changes it for new connections; those "
	 "that stand are left alone."},
    {.name = "account_id",
     .type = CONF_STRING,
     .flags = CONF_EXPAND,
     .at = AT(node.account_id),
     .max = 255,
     .doc = "What accountid() says in rules of the aws dialect: there it is the number of the AWS account, here any "
	    "text."},
    CONF_END};

static const struct conf_field log_fields[] = {{.name = "level",
						.type = CONF_ENUM,
						.at = AT(log.level),
						.names = log_levels,
						.def = "info",
						.doc = "What is logged: this and everything graver."},
					       {.name = "format",
						.type = CONF_ENUM,
						.at = AT(log.format),
						.names = log_formats,
						.def = "text",
						.doc = "`text` for people, `json` for collectors: one object a line."},
					       CONF_END};

#undef AT
#define AT(member) offsetof(struct broker_conf, member)

static const struct conf_field mqtt_fields[] = {
    {.name = "max_packet_size",
     .type = CONF_SIZE,
     .at = AT(mqtt.max_packet_size),
     .def = "1MB",
     .min = 1024,
     .max = (int64_t)256 << 20, /* [MQTT-1.5.5]: a remaining length is below 256 MB */
     .doc =
	 "The largest packet a client may send; a larger one ends the connection. `256MB` is all that MQTT can say."},
    {.name = "max_inflight",
     .type = CONF_INT,
     .at = AT(mqtt.max_inflight),
     .def = "32",
     .min = 1,
     .max = 65535,
     .doc = "QoS 1 and 2 messages on their way to one client, not yet acknowledged. A client may ask for fewer."},
    {.name = "receive_maximum",
     .type = CONF_INT,
     .at = AT(mqtt.receive_maximum),
     .def = "1024",
     .min = 1,
     .max = 65535,
     .doc = "QoS 1 and 2 messages that one client may send before it waits for an acknowledgement."},
    {.name = "max_queued",
     .type = CONF_INT,
     .at = AT(mqtt.max_queued),
     .def = "1000",
     .max = 10000000,
     .doc = "Messages that wait for one session, while its client is away or slow. Beyond, `queue_full` says which are "
	    "dropped."},
    {.name = "max_queued_bytes",
     .type = CONF_SIZE,
     .flags = CONF_UNLIMITED_OK,
     .at = AT(mqtt.max_queued_bytes),
     .def = "64MB",
     .min = 1024,
     .doc = "The same bound, in bytes of topic and payload."},
    {.name = "queue_full",
     .type = CONF_ENUM,
     .at = AT(mqtt.queue_full),
     .names = broker_conf_queue_words,
     .def = "drop_new",
     .doc = "What is dropped when a queue is full: the message that comes, or the one that waits longest. Messages of "
	    "QoS 0 that wait go first in any case."},
    {.name = "queue_qos0",
     .type = CONF_BOOL,
     .at = AT(mqtt.queue_qos0),
     .def = "false",
     .doc = "Whether messages of QoS 0 wait, too, for a client that is away and keeps its session. They are kept in "
	    "memory only."},
    {.name = "session_expiry_max",
     .type = CONF_DURATION,
     .flags = CONF_UNLIMITED_OK,
     .at = AT(mqtt.session_expiry_max_ms),
     .def = "7d",
     .doc = "How long a session is kept for a client that is away, at the most."},
    {.name = "keepalive_max",
     .type = CONF_DURATION,
     .flags = CONF_UNLIMITED_OK,
     .at = AT(mqtt.keepalive_max_ms),
     .def = "unlimited",
     .min = 1000,
     .max = 65535000,
     .doc = "The longest keep-alive; a client that asks for more, or for none, gets this. "
	    "`unlimited` leaves it to the client."},
    {.name = "connect_timeout",
     .type = CONF_DURATION,
     .at = AT(mqtt.connect_timeout_ms),
     .def = "10s",
     .min = 100,
     .max = 600000,
     .doc = "How long a new connection may take to say CONNECT."},
    {.name = "max_connect_size",
     .type = CONF_SIZE,
     .at = AT(mqtt.max_connect_size),
     .def = "128KB",
     .min = 1024,
     .max = (int64_t)1 << 20,
     .doc = "Bytes of a CONNECT beside its client id: names, password, will and properties. So much a connection may "
	    "make the "
	    "broker keep before anybody knows who it is; a larger one is closed."},
    {.name = "stall_timeout",
     .type = CONF_DURATION,
     .at = AT(mqtt.stall_timeout_ms),
     .def = "10s",
     .min = 100,
     .max = 3600000,
     .doc = "How long a connected client that takes nothing may hold back those who publish to it, once its queue is "
	    "half full. After that, what does not fit is dropped and counted."},
    {.name = "topic_alias_max",
     .type = CONF_INT,
     .at = AT(mqtt.topic_alias_max),
     .def = "64",
     .max = 65535,
     .doc =
	 "Topic aliases that a client may set, and the most that the broker sets for a client that allows it; 0 turns "
	 "both off."},
    {.name = "response_topic_prefix",
     .type = CONF_STRING,
     .flags = CONF_NONEMPTY,
     .at = AT(mqtt.response_topic_prefix),
     .doc = "What a client of MQTT 5 that asks for Response Information is told: where it may expect answers to its "
	    "requests. `${clientid}` in it stands for its client id. Nothing is told when this is not set.",
     .example = "answers/${clientid}/"},
    {.name = "max_topic_levels",
     .type = CONF_INT,
     .at = AT(mqtt.max_topic_levels),
     .def = "64",
     .min = 1,
     .max = 128, /* TOPIC_LEVELS_MAX */
     .doc = "Levels of a topic or filter (`a/b/c` has three)."},
    {.name = "max_clientid_length",
     .type = CONF_INT,
     .at = AT(mqtt.max_clientid_length),
     .def = "256",
     .min = 23, /* [MQTT-3.1.3-5] */
     .max = 65535,
     .doc = "Bytes of a client id."},
    {.name = "max_subscriptions",
     .type = CONF_INT,
     .flags = CONF_UNLIMITED_OK,
     .at = AT(mqtt.max_subscriptions),
     .def = "unlimited",
     .min = 1,
     .doc = "Subscriptions of one session."},
    {.name = "max_qos",
     .type = CONF_INT,
     .at = AT(mqtt.max_qos),
     .def = "2",
     .max = 2,
     .doc = "The highest QoS clients may use."},
    {.name = "retain",
     .type = CONF_BOOL,
     .at = AT(mqtt.retain),
     .def = "true",
     .doc = "Whether messages may be retained."},
    {.name = "max_retained",
     .type = CONF_INT,
     .flags = CONF_UNLIMITED_OK,
     .at = AT(mqtt.max_retained),
     .def = "1000000",
     .doc = "Retained messages in all; a new topic beyond is refused."},
    {.name = "sys_interval",
     .type = CONF_DURATION,
     .at = AT(mqtt.sys_interval_ms),
     .def = "10s",
     .max = 86400000,
     .doc = "How often values that have changed are published under $SYS/broker/; 0 turns these topics off."},
    {.name = "max_delayed",
     .type = CONF_INT,
     .flags = CONF_UNLIMITED_OK,
     .at = AT(mqtt.max_delayed),
     .def = "100000",
     .doc = "Messages to `$delayed/SECONDS/topic` that wait, in all; more are refused."},
    {.name = "max_delayed_bytes",
     .type = CONF_SIZE,
     .flags = CONF_UNLIMITED_OK,
     .at = AT(mqtt.max_delayed_bytes),
     .def = "64MB",
     .doc = "The same bound, in bytes of memory."},
    {.name = "rewrite",
     .type = CONF_OBJECT_LIST,
     .flags = CONF_ADVANCED,
     .at = AT(mqtt.rewrite),
     .fields = broker_conf_rewrite_fields,
     .item_size = sizeof(struct broker_rewrite_conf),
     .max = 1000,
     .doc =
	 "Topics that are written anew as clients send them, before anything else looks at them. The first entry that "
	 "fits decides."},
    {.name = "auto_subscribe",
     .type = CONF_OBJECT_LIST,
     .flags = CONF_ADVANCED,
     .at = AT(mqtt.auto_subscribe),
     .fields = broker_conf_auto_subscribe_fields,
     .item_size = sizeof(struct broker_auto_subscribe_conf),
     .max = 100,
     .doc = "What every client is subscribed to when it connects, unless its session has it already."},
    {.name = "shared_strategy",
     .type = CONF_ENUM,
     .at = AT(mqtt.shared_strategy),
     .names = broker_conf_shared_words,
     .def = "round_robin",
     .doc =
	 "Who of a shared subscription's connected members gets a message. `sticky`: a publisher keeps its member; "
	 "`hash_clientid` and `hash_topic`: by the publisher or the topic; `local_first`: on the publisher's worker; "
	 "`least_inflight`: who has least to do."},
    {.name = "shared_groups",
     .type = CONF_STRING_MAP,
     .flags = CONF_ADVANCED,
     .at = AT(mqtt.shared_groups),
     .max = 1000,
     .validate = broker_conf_check_shared,
     .doc = "Groups with another strategy, by name; `name*` is all groups that begin so. The first that fits counts.",
     .example = "{billing: sticky}"},
    CONF_END};

static const struct conf_field state_fields[] = {
    {.name = "max_bytes",
     .type = CONF_SIZE,
     .at = AT(state.max_bytes),
     .def = "64MB",
     .min = 1 << 20,
     .max = (int64_t)1 << 40,
     .doc =
	 "Memory for what rules remember: lag() and its like, kv_store_put(), proc_dict_put(), open windows. One rule "
	 "has at most a fourth. At the limit what was longest unused is forgotten, and windows take no new groups."},
    CONF_END};

static const struct conf_field admin_fields[] = {
    {.name = "enabled",
     .type = CONF_BOOL,
     .at = AT(admin.enabled),
     .def = "true",
     .doc = "Whether the HTTP pages about the broker (status, /metrics) are served."},
    {.name = "bind",
     .type = CONF_STRING,
     .flags = CONF_EXPAND,
     .at = AT(admin.bind),
     .def = "127.0.0.1:18083",
     .validate = check_admin_bind,
     .doc = "Their address and port. They ask for no password: keep them on a loopback address."},
    CONF_END};

/* `at` of a section is 0: the rows above count from struct broker_conf itself. */
const struct conf_field broker_conf_fields[] = {
    {.name = "node", .type = CONF_OBJECT, .fields = node_fields, .doc = "The broker as a whole."},
    {.name = "log", .type = CONF_OBJECT, .fields = log_fields, .doc = "The log, on standard error."},
    {.name = "listeners",
     .type = CONF_OBJECT_LIST,
     .flags = CONF_NONEMPTY,
     .at = AT(listener_list),
     .fields = broker_listener_fields,
     .item_size = sizeof(struct broker_listener),
     .max = 64,
     .doc =
	 "Where clients connect. Without it: tcp on 127.0.0.1:1883. A reload (SIGHUP) opens, changes and closes them "
	 "by their names; who is connected stays, with the limits of then."},
    {.name = "mqtt", .type = CONF_OBJECT, .fields = mqtt_fields, .doc = "Limits and features of the protocol."},
    {.name = "persistence",
     .type = CONF_OBJECT,
     .fields = broker_persistence_fields,
     .doc = "What of the broker's own state outlives the process."},
    {.name = "auth", .type = CONF_OBJECT, .fields = broker_auth_fields, .doc = "Who may connect."},
    {.name = "state",
     .type = CONF_OBJECT,
     .fields = state_fields,
     .doc = "What rules remember from message to message."},
    {.name = "admin", .type = CONF_OBJECT, .fields = admin_fields, .doc = "The HTTP pages about the broker."},
    {.name = "connectors",
     .type = CONF_TREE,
     .flags = CONF_NULL_OK,
     .at = AT(connectors),
     .doc = "Connections to databases and files, by name; see connectors/OPTIONS.md."},
    {.name = "sources",
     .type = CONF_TREE,
     .flags = CONF_NULL_OK,
     .at = AT(sources),
     .doc = "What is read from such connections, by name; see connectors/OPTIONS.md."},
    {.name = "rules",
     .type = CONF_TREE,
     .flags = CONF_NULL_OK,
     .at = AT(rules),
     .doc = "What becomes of the messages, by name; see rules/reference.md."},
    {.name = "tests",
     .type = CONF_TREE,
     .flags = CONF_NULL_OK | CONF_ADVANCED,
     .at = AT(tests),
     .doc = "Cases for the rules; `sluice test` runs them, see rules/testing.md."},
    CONF_END};
