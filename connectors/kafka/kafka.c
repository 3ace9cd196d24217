/* kafka.c: rows into topics of Apache Kafka and of what speaks its protocol. The kind; the work is in kafka_producer.h. */
#include "kafka_producer.h"
#include "kafka_source.h"
#include "mem.h"

/* The client fills its requests better with more at hand; `queue` is the bound that counts. */
enum { BATCHES_OUT = 64 };

struct kafka_conn {
	struct kafka_conf conf; /* first: filled by the framework */
	struct kafka_producer producer;
};

static const char *const compressions[] = {"connection", "none", "gzip", "snappy", "lz4", "zstd", NULL};

static const struct conf_field action_fields[] = {
    {.name = "topic",
     .type = CONF_TEMPLATE,
     .at = offsetof(struct kafka_action, templates.topic),
     .flags = CONF_REQUIRED | CONF_NONEMPTY,
     .example = "hot.${device}",
     .doc = "The topic. A row whose topic is NULL or no valid name is rejected."},
    {.name = "key",
     .type = CONF_TEMPLATE,
     .at = offsetof(struct kafka_action, templates.key),
     .example = "${device}",
     .doc = "The key: rows with equal keys go to one partition and stay in order. Without it, or NULL: no key."},
    {.name = "value",
     .type = CONF_TEMPLATE,
     .at = offsetof(struct kafka_action, templates.value),
     .def = "${.}",
     .doc = "The value. NULL is a real null: a tombstone."},
    {.name = "headers",
     .type = CONF_TEMPLATE_MAP,
     .at = offsetof(struct kafka_action, templates.headers),
     .flags = CONF_TEMPLATE_OK,
     .max = 1000,
     .example = "{rule: hot_rooms, unit: \"${unit}\"}",
     .doc = "Headers; NULL is a null header. Or one template that gives an object, or a list of {key, value}."},
    {.name = "timestamp",
     .type = CONF_TEMPLATE,
     .at = offsetof(struct kafka_action, templates.timestamp),
     .example = "${ts}",
     .doc = "Milliseconds since 1970, or an RFC 3339 time. Without it, or NULL: when the message came."},
    {.name = "partition",
     .type = CONF_TEMPLATE,
     .at = offsetof(struct kafka_action, templates.partition),
     .doc = "The partition's number. Without it, or NULL: by the key."},
    {.name = "compression",
     .type = CONF_ENUM,
     .at = offsetof(struct kafka_action, compression),
     .def = "connection",
     .names = compressions,
     .doc = "For this topic instead of the connection's. Where several actions write to one topic, the first counts."},
    {.name = "topic_timeout",
     .type = CONF_DURATION,
     .at = offsetof(struct kafka_action, topic_timeout_ms),
     .def = "5m",
     .min = 1000,
     .flags = CONF_UNLIMITED_OK,
     .doc =
	 "Where `topic` is a template: a row whose topic the brokers say is missing, or not ours to write to, for this "
	 "long is rejected, and so are those after it until the topic is there. Until then all rows of its order key "
	 "wait, also those for topics that are there. Rows of a fixed topic wait for it."},
    CONF_END};

static int kafka_conn_check(struct sl_conn *conn, struct sl_err *err) {
	const struct kafka_conn *c = sl_conn_impl(conn);
	return kafka_conf_check(&c->conf, sl_conn_name(conn), err);
}

/* "SASL_SSL://host:9092" -> "host:9092", and a URL without its path and its login. */
static void target(struct sl_slice text, sl_target_fn one, void *arg) {
	text = slice_trim(text);
	ptrdiff_t scheme = slice_find(text, SL_SLICE_LIT("://"));
	if (scheme >= 0) text = slice_from(text, (size_t)scheme + 3);
	ptrdiff_t slash = slice_find_byte(text, '/');
	if (slash >= 0) text = slice_sub(text, 0, (size_t)slash);
	for (ptrdiff_t at; (at = slice_find_byte(text, '@')) >= 0;) text = slice_from(text, (size_t)at + 1);
	char *host = slice_dup(text);
	one(arg, host);
	sl_free(host);
}

static void targets(struct sl_conn *conn, sl_target_fn one, void *arg) {
	const struct kafka_conn *c = sl_conn_impl(conn);
	for (size_t i = 0; i < c->conf.brokers.len; i++)
		for (struct sl_slice rest = slice_from_str(c->conf.brokers.items[i]); rest.p;)
			target(slice_next_part(&rest, ','), one, arg);
	if (c->conf.sasl.token_url) target(slice_from_str(c->conf.sasl.token_url), one, arg);
}

static int kafka_open(struct sl_conn *conn, struct sl_err *err) {
	struct kafka_conn *c = sl_conn_impl(conn);
	(void)err;
	sl_conn_set_depth(conn, BATCHES_OUT);
	kafka_producer_init(&c->producer, conn, &c->conf);
	return SL_OK;
}

static struct kafka_producer *producer_of(struct sl_conn *conn) {
	struct kafka_conn *c = sl_conn_impl(conn);
	return &c->producer;
}

static void on_connect(struct sl_conn *conn) { kafka_connect(producer_of(conn)); }
static void on_probe(struct sl_conn *conn) { kafka_probe(producer_of(conn)); }
static void on_close(struct sl_conn *conn) { kafka_close(producer_of(conn)); }
static void on_fini(struct sl_conn *conn) { kafka_producer_fini(producer_of(conn)); }

static int action_params(struct sl_conn_action *a, const struct sl_param **params, size_t *count, struct sl_err *err) {
	struct kafka_action *k = sl_action_impl(a);
	int r = kafka_plan_make(&k->templates, &k->plan, err);
	*params = k->plan.params.at;
	*count = k->plan.params.n;
	return r;
}

static int action_open(struct sl_conn_action *a, struct sl_err *err) {
	struct kafka_action *k = sl_action_impl(a);
	(void)err;
	sl_list_init(&k->out);
	return SL_OK;
}

static void action_fini(struct sl_conn_action *a) {
	struct kafka_action *k = sl_action_impl(a);
	kafka_plan_fini(&k->plan);
}

static void member(struct sl_buf *out, const char *name, const void *p, size_t n) {
	struct sql_value v = p ? sql_string(slice_make(p, n)) : sql_null();
	sl_buf_printf(out, "%s\"%s\":", out->p[out->n - 1] == '{' ? "" : ",", name);
	sql_value_json(&v, out);
}

static void headers_json(const rd_kafka_headers_t *headers, struct sl_buf *out) {
	const char *name;
	const void *value;
	size_t size;
	sl_buf_append_str(out, ",\"headers\":[");
	for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR;
	     i++) {
		sl_buf_append_str(out, i ? ",{" : "{");
		member(out, "key", name, strlen(name));
		member(out, "value", value, size);
		sl_buf_put(out, '}');
	}
	sl_buf_put(out, ']');
}

/* The record as JSON; bytes that are not UTF-8 as base64. */
static int encode(struct sl_conn_action *a, const void *row, struct sl_buf *out, struct sl_err *err) {
	const struct kafka_action *k = sl_action_impl(a);
	struct sl_arena arena;
	struct kafka_row record;
	sl_arena_init(&arena, 1024);
	int r = kafka_row_read(&k->plan, row, &arena, &record);
	if (r != SL_OK)
		(void)sl_err_set(err, r, "%s", record.why);
	else {
		sl_buf_put(out, '{');
		member(out, "topic", record.topic.p, record.topic.n);
		member(out, "key", record.key.p, record.key.n);
		member(out, "value", record.value.p, record.value.n);
		sl_buf_printf(out, ",\"timestamp\":%lld", (long long)record.timestamp);
		if (record.partition != RD_KAFKA_PARTITION_UA)
			sl_buf_printf(out, ",\"partition\":%d", record.partition);
		if (record.headers) headers_json(record.headers, out);
		sl_buf_put(out, '}');
		if (record.headers) rd_kafka_headers_destroy(record.headers);
	}
	sl_arena_fini(&arena);
	return r;
}

static int submit(struct sl_conn_action *a, struct sl_batch *b) {
	const struct kafka_action *k = sl_action_impl(a);
	if (b->count == 0) {
		char *topic = k->plan.topic_constant ? slice_dup(k->plan.topic[0].text) : NULL;
		kafka_look(producer_of(sl_action_conn(a)), (const char *const *)&topic, topic != NULL, b);
		sl_free(topic);
		return SL_OK;
	}
	return kafka_submit(producer_of(sl_action_conn(a)), a, b);
}

static int source_look(struct sl_conn *conn, struct sl_source *s, struct sl_batch *b) {
	const struct kafka_source *k = sl_source_impl(s);
	kafka_look(producer_of(conn), (const char *const *)k->conf.topics.items, k->conf.topics.len, b);
	return SL_OK;
}

static void cancel(struct sl_conn_action *a, struct sl_batch *b) {
	(void)b; /* librdkafka takes back all rows or none */
	kafka_cancel(producer_of(sl_action_conn(a)));
}

/* librdkafka has a block of its own for each header, and a place in a list that grows twofold; the shortest takes six bytes of JSON. */
static void copies(struct sl_conn_action *a, uint32_t *row, uint32_t *percent) {
	enum { HEADER_BYTES = 80, HEADER_TEXT = 6 };
	const struct kafka_action *k = sl_action_impl(a);
	*row += (uint32_t)k->plan.header_count * HEADER_BYTES;
	if (k->plan.all_headers.given) *percent += HEADER_BYTES * 100 / HEADER_TEXT;
}

/* What librdkafka holds, and who the brokers are; nothing of the settings. */
static void describe(struct sl_conn *conn, json_t *out) {
	const struct kafka_producer *p = producer_of(conn);
	json_object_set_new(out, "librdkafka", json_string(rd_kafka_version_str()));
	json_object_set_new(out, "brokers", json_string(p->brokers ? p->brokers : ""));
	json_object_set_new(out, "rows_out", json_integer(p->rows_out));
	json_object_set_new(out, "bytes_out", json_integer(p->bytes_out));
	json_object_set_new(out, "clients_made", json_integer(p->clients));
	json_object_set_new(out, "topics_open", json_integer((json_int_t)p->topics.map.len));
	if (p->error) json_object_set_new(out, "last_error", json_string(p->error));
}

static void destination(struct sl_conn_action *a, struct sl_buf *out) {
	const struct kafka_action *s = sl_action_impl(a);
	sl_destination_name(out, "topic", s->templates.topic);
}

extern const struct sl_connector_kind sl_connector_kafka; /* connector_tbl.h */
const struct sl_connector_kind sl_connector_kafka = {
    .name = "kafka",
    .title = "Apache Kafka",
    .summary = "Produces rows to topics; a delivery report per row decides.",
    .abi = SL_CONNECTOR_ABI,
    .flags = SL_KIND_ORDERED_BY_KEY | SL_KIND_LOOKS,
    .conn_size = sizeof(struct kafka_conn),
    .action_size = sizeof(struct kafka_action),
    .copy_row = 512, /* librdkafka's own of each message, and the requests that are on their way */
    .copy_percent = 100,
    .copies = copies,
    .conn_fields = kafka_conf_fields,
    .action_fields = action_fields,
    .conn_check = kafka_conn_check,
    .action_params = action_params,
    .destination = destination,
    .open = kafka_open,
    .connect = on_connect,
    .probe = on_probe,
    .close = on_close,
    .fini = on_fini,
    .action_open = action_open,
    .action_fini = action_fini,
    .encode = encode,
    .submit = submit,
    .cancel = cancel,
    .describe = describe,
    .source_look = source_look,
    .source = &kafka_source_kind,
    .targets = targets,
};
