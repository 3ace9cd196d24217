/* redis.c: rows into Redis, as commands. The kind; the work is in redis_client.h (connections, batches) and redis_plan.h (commands).
 *
 *     {connector: cache, command: [HSET, "room:${device}", t, "${t}"]}
 *     {connector: cache, stream: {key: "readings:${device}", maxlen: 10000}}
 *
 * Works on the connector loop with sockets of our own. Several batches are out on one connection, and Redis answers in order; rows
 * of one order key share a connection. */
#include "log.h"
#include "mem.h"
#include "redis_client.h"
#include "redis_source.h"

struct redis_conn {
	struct redis_conf conf; /* first: filled by the framework */
	struct redis_client client;
};

struct redis_action {
	struct redis_action_conf conf; /* first */
	struct redis_plan plan;
};

struct redis_client *redis_client_of(void *conn_impl) {
	return &((struct redis_conn *)conn_impl)->client;
}
static struct redis_client *client_of(struct sl_conn *conn) { return redis_client_of(sl_conn_impl(conn)); }

static int conn_check(struct sl_conn *conn, struct sl_err *err) {
	const struct redis_conn *c = sl_conn_impl(conn);
	return redis_conf_check(&c->conf, err);
}

static void targets(struct sl_conn *conn, sl_target_fn one, void *arg) {
	const struct redis_conn *c = sl_conn_impl(conn);
	struct redis_target t;
	if (redis_conf_resolve(&c->conf, &t, NULL) == SL_OK)
		for (size_t i = 0; i < t.servers; i++) one(arg, t.server[i].host);
	redis_target_fini(&t);
}

static int on_open(struct sl_conn *conn, struct sl_err *err) {
	struct redis_conn *c = sl_conn_impl(conn);
	return redis_client_open(&c->client, conn, &c->conf, err);
}

static void on_connect(struct sl_conn *conn) { redis_client_connect(client_of(conn)); }
static void on_probe(struct sl_conn *conn) { redis_client_probe(client_of(conn)); }
static void on_close(struct sl_conn *conn) { redis_client_close(client_of(conn)); }
static void on_fini(struct sl_conn *conn) { redis_client_fini(client_of(conn)); }

/* With several commands it would be taken for all their keys. */
static void ttl_warn(const struct sl_conn_action *a, const struct redis_action_conf *conf) {
	struct sl_buf missed = SL_BUF_INIT;
	if (redis_plan_ttl_misses(conf, &missed) > 0)
		log_always(LOG_WARN, LOG_CONF, "`ttl` is for the first command's key alone", "action=%s stays=%s do=%s",
			   sl_action_name(a), sl_buf_cstr(&missed),
			   "give each an EXPIRE command of its own, if it is to go away too");
	sl_buf_fini(&missed);
}

static int action_params(struct sl_conn_action *a, const struct sl_param **params, size_t *count, struct sl_err *err) {
	struct redis_action *r = sl_action_impl(a);
	int status = redis_plan_make(&r->conf, &r->plan, err);
	*params = r->plan.params.at;
	*count = r->plan.params.n;
	if (status == SL_OK) ttl_warn(a, &r->conf);
	return status;
}

static void action_fini(struct sl_conn_action *a) {
	struct redis_action *r = sl_action_impl(a);
	redis_plan_fini(&r->plan);
}

static int encode(struct sl_conn_action *a, const void *row, struct sl_buf *out, struct sl_err *err) {
	const struct redis_action *r = sl_action_impl(a);
	struct sl_buf why = SL_BUF_INIT;
	int status = redis_encode_shown(&r->plan, row, out, &why);
	if (status != SL_OK) (void)sl_err_set(err, status, "%s", sl_buf_cstr(&why));
	sl_buf_fini(&why);
	return status;
}

static int submit(struct sl_conn_action *a, struct sl_batch *b) {
	const struct redis_action *r = sl_action_impl(a);
	struct redis_client *c = client_of(sl_action_conn(a));
	return b->count ? redis_batch_submit(c, &r->plan, b) : redis_look(c, &r->plan, b);
}

static void cancel(struct sl_conn_action *a, struct sl_batch *b) {
	(void)a;
	redis_batch_cancel(b);
}

static void describe(struct sl_conn *conn, json_t *out) { redis_client_describe(client_of(conn), out); }

static void destination(struct sl_conn_action *a, struct sl_buf *out) {
	const struct redis_action *r = sl_action_impl(a);
	redis_conf_destination(&r->conf, out);
}

extern const struct sl_connector_kind sl_connector_redis; /* connector_tbl.h */
const struct sl_connector_kind sl_connector_redis = {
    .name = "redis",
    .title = "Redis",
    .summary = "Runs commands for each row: hashes, lists, streams, whatever Redis has; single, Sentinel, Cluster.",
    .abi = SL_CONNECTOR_ABI,
    .flags = SL_KIND_ORDERED_BY_KEY | SL_KIND_LOOKS,
    .conn_size = sizeof(struct redis_conn),
    .action_size = sizeof(struct redis_action),
    .copy_row = 256, /* commands that wait for the socket, and their answers */
    .copy_percent = 200,
    .conn_fields = redis_conf_fields,
    .action_fields = redis_action_fields,
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
    .source = &redis_source_kind,
    .asks = &redis_asks_kind,
    .targets = targets,
};
