/* mqtt_connector.c: rows to another MQTT broker, and its messages into rules: a bridge in either direction. The kind; the work is in
 * remote.h (the connection), remote_client.h (rows) and remote_in.h (messages).
 *
 *     {connector: cloud, topic: "site1/${topic}", payload: "${payload}", qos: 1}
 *
 * Works on the connector loop. Several batches are out on one connection, whose packets stay in order. */
#include "mem.h"
#include "remote_client.h"
#include "remote_in.h"

struct mqtt_conn {
	struct remote_conf conf; /* first: filled by the framework */
	struct remote_client client;
};

struct mqtt_action {
	struct remote_action_conf conf; /* first */
	struct remote_plan plan;
};

static struct remote_client *client_of(struct sl_conn *conn) {
	return &((struct mqtt_conn *)sl_conn_impl(conn))->client;
}

static int conn_check(struct sl_conn *conn, struct sl_err *err) {
	const struct mqtt_conn *c = sl_conn_impl(conn);
	return remote_conf_check(&c->conf, err);
}

static void targets(struct sl_conn *conn, sl_target_fn one, void *arg) {
	const struct mqtt_conn *c = sl_conn_impl(conn);
	struct remote_url url;
	if (remote_url_parse(c->conf.url, &url, NULL) == SL_OK) one(arg, url.host);
	sl_free(url.host);
}

static int on_open(struct sl_conn *conn, struct sl_err *err) {
	struct mqtt_conn *c = sl_conn_impl(conn);
	return remote_client_open(&c->client, conn, &c->conf, err);
}

static void on_connect(struct sl_conn *conn) { remote_client_connect(client_of(conn)); }
static void on_probe(struct sl_conn *conn) { remote_client_probe(client_of(conn)); }
static void on_close(struct sl_conn *conn) { remote_client_close(client_of(conn)); }
static void on_fini(struct sl_conn *conn) { remote_client_fini(client_of(conn)); }
static void describe(struct sl_conn *conn, json_t *out) { remote_client_describe(client_of(conn), out); }

static int action_params(struct sl_conn_action *a, const struct sl_param **params, size_t *count, struct sl_err *err) {
	struct mqtt_action *m = sl_action_impl(a);
	int rc = remote_plan_make(&m->conf, &m->plan, err);
	*params = m->plan.params.at;
	*count = m->plan.params.n;
	return rc;
}

static void action_fini(struct sl_conn_action *a) {
	struct mqtt_action *m = sl_action_impl(a);
	remote_plan_fini(&m->plan);
}

static void destination(struct sl_conn_action *a, struct sl_buf *out) {
	const struct mqtt_action *m = sl_action_impl(a);
	sl_destination_name(out, "topic", m->conf.topic);
}

static int encode(struct sl_conn_action *a, const void *row, struct sl_buf *out, struct sl_err *err) {
	const struct mqtt_action *m = sl_action_impl(a);
	struct sl_buf why = SL_BUF_INIT;
	int rc = remote_row_show(&m->plan, row, out, &why);
	if (rc != SL_OK) (void)sl_err_set(err, rc, "%s", sl_buf_cstr(&why));
	sl_buf_fini(&why);
	return rc;
}

static int submit(struct sl_conn_action *a, struct sl_batch *b) {
	const struct mqtt_action *m = sl_action_impl(a);
	return remote_client_submit(client_of(sl_action_conn(a)), &m->plan, b);
}

static void cancel(struct sl_conn_action *a, struct sl_batch *b) {
	remote_client_cancel(client_of(sl_action_conn(a)), b);
}

extern const struct sl_connector_kind sl_connector_mqtt; /* connector_tbl.h */
const struct sl_connector_kind sl_connector_mqtt = {
    .name = "mqtt",
    .title = "MQTT",
    .summary = "Publishes each row at another MQTT broker, and reads from one: a bridge, either way.",
    .abi = SL_CONNECTOR_ABI,
    .flags = SL_KIND_ORDERED_BY_KEY,
    .conn_size = sizeof(struct mqtt_conn),
    .action_size = sizeof(struct mqtt_action),
    .copy_row = 64,
    .copy_percent = 100, /* packets that wait for the socket */
    .conn_fields = remote_conf_fields,
    .action_fields = remote_action_fields,
    .conn_check = conn_check,
    .action_params = action_params,
    .destination = destination,
    .open = on_open,
    .connect = on_connect,
    .probe = on_probe,
    .close = on_close,
    .fini = on_fini,
    .action_fini = action_fini,
    .encode = encode,
    .submit = submit,
    .cancel = cancel,
    .describe = describe,
    .source = &remote_source_kind,
    .targets = targets,
};
