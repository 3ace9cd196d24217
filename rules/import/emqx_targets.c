/* emqx_targets.c: what EMQX's actions write, as actions of ours; see emqx_targets.h. */
#include "emqx_targets.h"

#include "buf.h"
#include "emqx_template.h"

enum { SECONDS = 1000, MINUTES = 60 * SECONDS, DAYS = 24 * 60 * MINUTES };

static const char *template(struct import_map *m, const char *text, enum emqx_absent absent) {
	return emqx_template_absent(m->imp, m->rule, m->what, text, absent);
}

static const char *text_or(struct import_map *m, const json_t *tree, const char *path, const char *otherwise) {
	const char *text = emqx_text(m->imp, tree, path);
	return text ? text : otherwise;
}

/* ---- Kafka ----------------------------------------------------------------------------------------------------------- */

/* Before 5.4 the producer's settings stood below `kafka`. */
#define KAFKA_OPTIONS(P)                                                                                               \
	{P "topic", NULL, NULL}, {P "message.key", NULL, NULL}, {P "message.value", NULL, NULL},                       \
	    {P "message.timestamp", NULL, NULL}, {P "max_linger_time", NULL, NULL},                                    \
	    {P "max_linger_bytes", "10MB", "a request is sent when it has `batch_bytes`, or after `linger`"},          \
	    {P "max_batch_bytes", NULL, NULL}, {P "compression", NULL, NULL}, {P "partition_strategy", NULL, NULL},    \
	    {P "required_acks", NULL, NULL}, {P "kafka_headers", NULL, NULL}, {P "kafka_ext_headers", NULL, NULL},     \
	    {P "kafka_header_value_encode_mode", "none",                                                               \
	     "values of headers are text as it is; for JSON write `${json_encode(name)}`"},                            \
	    {P "partition_count_refresh_interval", "60s|60000", "librdkafka sees new partitions within 5 s"},          \
	    {P "partitions_limit", "all_partitions",                                                                   \
	     "all partitions are used; `partition` of the action chooses one"},                                        \
	    {P "max_inflight", "10|1", "order is kept by `idempotence`, however many requests are out"},               \
	    {P "max_batch_age", NULL, NULL}, {P "max_retries", NULL, NULL}, {P "reconnect_delay", NULL, NULL},         \
	    {P "buffer.mode", "memory|disk", "rows that wait are in memory and then in a log on disk; see `buffer`"},  \
	    {P "buffer.per_partition_limit", NULL, NULL}, {P "buffer.segment_bytes", NULL, NULL},                      \
	    {P "buffer.memory_overload_protection", "true|false", ""},                                                 \
	    {P "query_mode", "async", "publishers wait for the log and not for the brokers; see `buffer.durability`"}, \
	{                                                                                                              \
		P "sync_query_timeout", "5s|5000", "publishers wait for the log and not for the brokers"               \
	}

static const struct emqx_option kafka_options[] = {KAFKA_OPTIONS(""), KAFKA_OPTIONS("kafka."), {NULL, NULL, NULL}};

static const json_t *kafka_parameters(const json_t *action) {
	const json_t *below = emqx_get(action, "kafka");
	return below ? below : action;
}

/* Of a name that the row has not EMQX takes the current time, and so do we without a template. */
static void kafka_timestamp(struct import_map *m, const json_t *p, json_t *into) {
	const char *text = text_or(m, p, "message.timestamp", "${.timestamp}");
	bool usual = strcmp(text, "${.timestamp}") == 0 || strcmp(text, "${timestamp}") == 0;
	if (usual && !import_rule_gives(m->rule, SL_SLICE_LIT("timestamp"))) return;
	import_set(into, "timestamp", template(m, text, EMQX_ABSENT_NULL));
}

static void kafka_headers(struct import_map *m, const json_t *p, json_t *into) {
	const char *one = emqx_text(m->imp, p, "kafka_headers");
	const json_t *list = emqx_get(p, "kafka_ext_headers");
	json_t *map = json_object();
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *item = json_array_get(list, i);
		const char *key = text_or(m, item, "kafka_ext_header_key", emqx_text(m->imp, item, "key"));
		const char *value = text_or(m, item, "kafka_ext_header_value", emqx_text(m->imp, item, "value"));
		if (key && !strstr(key, "${") && !json_object_get(map, key))
			json_object_set_new(map, key, json_string(template(m, value ? value : "", EMQX_ABSENT_NULL)));
		else
			import_map_note(
			    m, IMPORT_MAPPING,
			    "kafka_ext_headers[%zu] is left out: here names of headers are fixed and stand once; a "
			    "`headers` template can give an object, or a list of {key, value}",
			    i);
	}
	if (one && json_object_size(map))
		import_map_note(
		    m, IMPORT_MAPPING,
		    "kafka_headers (%s) is left out: besides kafka_ext_headers there is no place for it; let SELECT "
		    "make one object or list of all headers, and name it in `headers`",
		    one);
	else if (one)
		import_set(into, "headers", template(m, one, EMQX_ABSENT_NULL));
	if (json_object_size(map)) json_object_set(into, "headers", map);
	json_decref(map);
}

static void kafka_buffer(struct import_map *m, const json_t *p, json_t *into) {
	bool all = emqx_is(m->imp, p, "buffer.mode", "disk"), disk = all || emqx_is(m->imp, p, "buffer.mode", "hybrid");
	json_t *buffer = json_object();
	if (all) import_set(buffer, "durability", "disk");
	emqx_put_size(m, p, "buffer.per_partition_limit", disk ? NULL : "256MB|2GB", buffer, disk ? "disk" : "memory",
		      64 * SL_KB, 64 * SL_GB);
	emqx_put_size(m, p, "buffer.segment_bytes", "10MB|100MB", buffer, "segment", 4 * SL_KB, 4 * SL_GB);
	if (json_object_size(buffer)) json_object_set(into, "buffer", buffer);
	json_decref(buffer);
	json_t *retry = json_object();
	emqx_put_duration(m, p, "max_batch_age", NULL, retry, "ttl", 1, INT64_MAX / 2);
	emqx_put_number(m, p, "max_retries", NULL, retry, "attempts", 1, 65000);
	if (json_object_size(retry)) json_object_set(into, "retry", retry);
	json_decref(retry);
}

/* What is the connection's here. */
static void kafka_producer(struct import_map *m, const struct emqx_reference *ref, const json_t *p, json_t *connector) {
	bool all = !emqx_is(m->imp, p, "required_acks", "leader_only|none");
	if (!all) import_set(connector, "acks", emqx_is(m->imp, p, "required_acks", "none") ? "none" : "leader");
	if (!all || strncmp(ref->type, "azure", 5) == 0) json_object_set_new(connector, "idempotence", json_false());
	if (emqx_is(m->imp, p, "partition_strategy", "key_dispatch"))
		import_map_note(
		    m, IMPORT_UNCHANGED,
		    "partition_strategy: rows of one key still go to one partition, which may be another one than "
		    "EMQX chose");
	else
		import_set(connector, "partitioner", "random");
	emqx_put_size(m, p, "max_batch_bytes", "896KB", connector, "batch_bytes", SL_KB, INT32_MAX);
	emqx_put_duration(m, p, "max_linger_time", "0ms|0s|0", connector, "linger", 0, MINUTES);
	json_t *reconnect = json_object();
	emqx_put_duration(m, p, "reconnect_delay", "2s|2000", reconnect, "first", 1, 30 * SECONDS);
	if (json_object_size(reconnect)) json_object_set(connector, "reconnect", reconnect);
	json_decref(reconnect);
}

static void kafka_action(struct import_map *m, const struct emqx_reference *ref, json_t *connector, json_t *into) {
	const json_t *p = kafka_parameters(ref->action);
	const char *compression = text_or(m, p, "compression", "no_compression");
	import_set(into, "topic", template(m, text_or(m, p, "topic", ""), EMQX_ABSENT_WORD));
	import_set(into, "key", template(m, text_or(m, p, "message.key", "${.clientid}"), EMQX_ABSENT_EMPTY));
	import_set(into, "value", template(m, text_or(m, p, "message.value", "${.}"), EMQX_ABSENT_EMPTY));
	kafka_timestamp(m, p, into);
	kafka_headers(m, p, into);
	if (strcmp(compression, "no_compression") != 0) import_set(into, "compression", compression);
	kafka_buffer(m, p, into);
	kafka_producer(m, ref, p, connector);
}

/* ---- PostgreSQL -------------------------------------------------------------------------------------------------------- */

static const struct emqx_option postgres_options[] = {
    {"sql", NULL, NULL}, {"undefined_vars_as_null", "true|false", ""}, {NULL, NULL, NULL}};

/* "${x}" within double quotes is the same parameter there. */
static const char *unquoted(struct import *imp, const char *sql) {
	struct sl_buf out = SL_BUF_INIT;
	while (*sql) {
		const char *end = strncmp(sql, "\"${", 3) == 0 ? strstr(sql, "}\"") : NULL;
		if (end && !memchr(sql + 1, '"', (size_t)(end - sql))) {
			sl_buf_append(&out, sql + 1, (size_t)(end - sql));
			sql = end + 2;
		} else {
			sl_buf_put(&out, *sql++);
		}
	}
	const char *made = import_text(imp, sl_buf_cstr(&out));
	sl_buf_fini(&out);
	return made;
}

static void postgres_action(struct import_map *m, const struct emqx_reference *ref, json_t *connector, json_t *into) {
	static const char usual[] =
	    "insert into t_mqtt_msg(msgid, topic, qos, payload, arrived) values (${id}, ${topic}, "
	    "${qos}, ${payload}, TO_TIMESTAMP((${timestamp} :: bigint)/1000))";
	(void)connector;
	import_set(into, "sql", template(m, unquoted(m->imp, text_or(m, ref->action, "sql", usual)), EMQX_ABSENT_NULL));
}

/* ---- Redis ------------------------------------------------------------------------------------------------------------- */

static const struct emqx_option redis_options[] = {{"command_template", NULL, NULL}, {NULL, NULL, NULL}};

static void redis_action(struct import_map *m, const struct emqx_reference *ref, json_t *connector, json_t *into) {
	const json_t *list = emqx_get(ref->action, "command_template");
	json_t *command = json_array();
	(void)connector;
	for (size_t i = 0; i < json_array_size(list); i++) {
		json_t *word = json_pack("{s:O}", "word", json_array_get(list, i));
		const char *text = text_or(m, word, "word", "");
		json_array_append_new(command, json_string(i ? template(m, text, EMQX_ABSENT_WORD) : text));
		json_decref(word);
	}
	json_object_set_new(into, "command", command);
}

/* ---- MongoDB ------------------------------------------------------------------------------------------------------------ */

static const struct emqx_option mongodb_options[] = {
    {"collection", NULL, NULL}, {"payload_template", NULL, NULL}, {NULL, NULL, NULL}};

static void mongodb_action(struct import_map *m, const struct emqx_reference *ref, json_t *connector, json_t *into) {
	const char *document = emqx_text(m->imp, ref->action, "payload_template");
	(void)connector;
	import_set(into, "collection", template(m, text_or(m, ref->action, "collection", "mqtt"), EMQX_ABSENT_WORD));
	if (document && strcmp(document, "${.}") != 0 && strcmp(document, "${}") != 0)
		import_set(into, "document", template(m, document, EMQX_ABSENT_WORD));
}

/* ---- All of them. ------------------------------------------------------------------------------------------------------- */

#define KAFKA emqx_kafka_connector, kafka_action, emqx_kafka_connector_options, kafka_options
#define POSTGRES emqx_postgres_connector, postgres_action, emqx_postgres_connector_options, postgres_options
static const struct emqx_target targets[] = {
    {"kafka", "kafka", KAFKA},
    {"confluent_producer", "kafka", KAFKA},
    {"azure_event_hub_producer", "kafka", KAFKA},
    {"pgsql", "postgres", POSTGRES},
    {"timescale", "postgres", POSTGRES},
    {"matrix", "postgres", POSTGRES},
    {"cockroachdb", "postgres", POSTGRES},
    {"alloydb", "postgres", POSTGRES},
    {"redshift", "postgres", POSTGRES},
    {"redis", "redis", emqx_redis_connector, redis_action, emqx_redis_connector_options, redis_options},
    {"mongodb", "mongodb", emqx_mongodb_connector, mongodb_action, emqx_mongodb_connector_options, mongodb_options},
};
#undef KAFKA
#undef POSTGRES

const struct emqx_target *emqx_target_find(const char *type) {
	for (size_t i = 0; i < SL_ARRAY_LEN(targets); i++)
		if (strncmp(type, targets[i].type, strlen(targets[i].type)) == 0) return &targets[i];
	return NULL;
}

/* EMQX gives up a row after `request_ttl`, usually 45 s: as much is a loss that nobody wants. Another value was meant. */
static void put_resource_options(struct import_map *m, const json_t *action, json_t *into) {
	json_t *batch = json_object(), *retry = json_object(), *buffer = json_object();
	emqx_put_number(m, action, "resource_opts.batch_size", "1", batch, "rows", 1, 100000);
	emqx_put_duration(m, action, "resource_opts.batch_time", "0ms|0s|0", batch, "linger", 0, MINUTES);
	emqx_put_duration(m, action, "resource_opts.request_ttl", "45s|45000", retry, "ttl", 1, INT64_MAX / 2);
	emqx_put_size(m, action, "resource_opts.max_buffer_bytes", "256MB|1GB", buffer, "memory", 64 * SL_KB,
		      64 * SL_GB);
	emqx_put_size(m, action, "resource_opts.buffer_seg_bytes", "256MB|1GB", buffer, "segment", 4 * SL_KB,
		      4 * SL_GB);
	if (json_object_size(batch)) json_object_set(into, "batch", batch);
	if (json_object_size(retry)) json_object_set(into, "retry", retry);
	if (json_object_size(buffer)) json_object_set(into, "buffer", buffer);
	json_decref(batch);
	json_decref(retry);
	json_decref(buffer);
	if (emqx_is(m->imp, action, "resource_opts.dispatch_strategy", "random")) import_set(into, "order", "none");
}

json_t *emqx_target_map(struct import *imp, struct import_rule *rule, const struct emqx_target *target,
			const struct emqx_reference *ref, bool told) {
	bool both = ref->connector == ref->action; /* one tree with the settings of both */
	struct import_map of_connector = {.imp = imp,
					  .rule = rule,
					  .what = import_printf(imp, "connector %s:%s", ref->type, ref->connector_name),
					  .quiet = told};
	struct import_map of_action = {.imp = imp, .rule = rule, .what = import_printf(imp, "action %s", ref->text)};
	json_t *connector = target->connector(&of_connector, ref);
	json_t *o = json_pack("{s:s}", "connector", "");
	if (json_is_false(json_object_get(ref->connector, "enable")) && !both)
		import_map_note(&of_connector, IMPORT_MAPPING, "it is switched off there, and on here");
	if (!both) emqx_options_note(&of_connector, ref->connector, target->connector_options, NULL);
	target->action(&of_action, ref, connector, o);
	emqx_options_note(&of_action, ref->action, target->action_options, both ? target->connector_options : NULL);
	put_resource_options(&of_action, ref->action, o);
	json_object_set_new(o, "connector", json_string(import_connector_put(imp, ref->connector_name, connector)));
	return o;
}
