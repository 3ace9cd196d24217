/* redis_client.c: a connection's life, and what all modes have in common; see redis_client.h. */
#include "redis_client.h"

#include "mem.h"

/* ---- Nodes. ---- */

static struct redis_node *node_of(struct redis_link *l) { return sl_container_of(l, struct redis_node, link); }

bool redis_client_is_ready(const struct redis_client *c) {
	for (size_t i = 0; i < c->nodes; i++)
		if (c->node[i]->link.state != REDIS_LINK_READY) return false;
	return c->nodes > 0;
}

static void on_ready(struct redis_link *l) {
	struct redis_node *n = node_of(l);
	struct redis_client *c = n->c;
	sl_free(n->why);
	n->why = NULL;
	n->unconfirmed = false;
	if (c->conf->mode == REDIS_CLUSTER) {
		redis_cluster_node_ready(n);
		return;
	}
	if (!redis_client_is_ready(c)) return;
	if (c->conf->mode == REDIS_SENTINEL)
		redis_sentinels_ready(c);
	else
		redis_client_up(c);
}

static void on_down(struct redis_link *l, int status, const char *text) {
	struct redis_node *n = node_of(l);
	sl_free(n->why);
	n->why = sl_strdup(text);
	redis_parts_lose(n, text);
	if (n->c->conf->mode == REDIS_CLUSTER)
		redis_cluster_node_down(n);
	else
		redis_client_down(n->c, status, text);
}

static const struct redis_link_events node_events = {.on_ready = on_ready, .on_down = on_down};

static void again_fire(struct sl_timer *t) { redis_node_open(sl_container_of(t, struct redis_node, again)); }

struct redis_node *redis_node_add(struct redis_client *c, const char *host, uint16_t port) {
	struct redis_node *n = SL_NEW(struct redis_node);
	SL_GROW(c->node, c->nodes, c->node_cap);
	c->node[c->nodes++] = n;
	n->c = c;
	n->host = sl_strdup(host);
	n->port = port;
	sl_list_init(&n->waiting);
	sl_timer_init(&n->again, again_fire);
	redis_link_init(&n->link, &c->dock, &node_events);
	return n;
}

void redis_node_free(struct redis_node *n) {
	sl_timer_cancel(&n->again);
	redis_link_close(&n->link, "closed");
	redis_parts_lose(n, "closed");
	sl_free(n->host);
	sl_free(n->why);
	sl_free(n->suspects);
	sl_free(n);
}

void redis_nodes_drop(struct redis_client *c) {
	while (c->nodes) redis_node_free(c->node[--c->nodes]);
}

struct redis_link_setup redis_node_setup(const struct redis_node *n) {
	const struct redis_client *c = n->c;
	return (struct redis_link_setup){.host = n->host,
					 .port = n->port,
					 .login = &c->target.login,
					 .database = c->target.database,
					 .client_name = c->conf->client_name,
					 .tls = c->tls,
					 .wants_master = c->conf->mode == REDIS_SENTINEL,
					 .timeout_ms = (uint64_t)c->conf->connect_timeout_ms};
}

void redis_node_open(struct redis_node *n) {
	struct redis_link_setup setup = redis_node_setup(n);
	if (n->link.state == REDIS_LINK_CLOSED) redis_link_open(&n->link, &setup);
}

/* ---- Up and down. ---- */

static void check_again(struct redis_client *c) {
	uint64_t every = (uint64_t)c->conf->check_every_ms;
	if (c->conf->mode == REDIS_CLUSTER) every *= 10;
	if (c->conf->mode != REDIS_SINGLE) sl_timer_set(c->dock.loop, &c->check_timer, every);
}

void redis_client_up(struct redis_client *c) {
	if (c->state != REDIS_CONNECTING) return;
	c->state = REDIS_UP;
	sl_timer_cancel(&c->check_timer);
	check_again(c);
	sl_conn_up(c->conn);
}

/* Ends all links, and with them what is out. */
static void all_end(struct redis_client *c, const char *text) {
	c->state = REDIS_DOWN;
	c->probing = c->role_asked = false;
	sl_free(c->trouble);
	c->trouble = NULL;
	sl_timer_cancel(&c->probe_timer);
	sl_timer_cancel(&c->check_timer);
	redis_sentinels_close(c);
	for (size_t i = 0; i < c->nodes; i++) {
		sl_timer_cancel(&c->node[i]->again);
		redis_link_close(&c->node[i]->link, text);
		redis_parts_lose(c->node[i], text);
	}
}

void redis_client_down(struct redis_client *c, int status, const char *text) {
	if (c->state == REDIS_DOWN) return;
	char *copy = sl_strdup(text); /* it may live in a link that ends now */
	all_end(c, copy);
	if (!c->closing) sl_conn_down(c->conn, status, "%s", copy);
	sl_free(copy);
}

void redis_client_connect(struct redis_client *c) {
	if (c->closing || c->state == REDIS_CONNECTING) return;
	if (c->state == REDIS_UP) all_end(c, "connecting anew");
	c->state = REDIS_CONNECTING;
	sl_timer_set(c->dock.loop, &c->check_timer, (c->target.servers + 2) * (uint64_t)c->conf->connect_timeout_ms);
	switch ((enum redis_mode)c->conf->mode) {
	case REDIS_SINGLE:
		while (c->nodes < (size_t)c->conf->pool)
			(void)redis_node_add(c, c->target.server[0].host, c->target.server[0].port);
		for (size_t i = 0; i < c->nodes; i++) redis_node_open(c->node[i]);
		return;
	case REDIS_SENTINEL: redis_sentinels_ask(c); return;
	case REDIS_CLUSTER: redis_cluster_connect(c); return;
	}
}

/* ---- Checks while it is up. ---- */

static void probe_reply(struct redis_request *q, const struct redis_reply *reply) {
	struct redis_client *c = sl_container_of(q, struct redis_client, probe);
	(void)reply; /* any answer shows that it lives */
	sl_timer_cancel(&c->probe_timer);
	if (c->probing) sl_probe_done(c->conn, SL_OK, NULL);
	c->probing = false;
}

/* In a cluster another node may be well. */
static void probe_lost(struct redis_request *q, int status, const char *text) {
	struct redis_client *c = sl_container_of(q, struct redis_client, probe);
	(void)status, (void)text;
	if (c->probing) sl_probe_done(c->conn, SL_OK, NULL);
	c->probing = false;
}

static void probe_late(struct sl_timer *t) {
	struct redis_client *c = sl_container_of(t, struct redis_client, probe_timer);
	for (size_t i = 0; i < c->nodes; i++) {
		struct sl_list *requests = &c->node[i]->link.requests;
		SL_LIST_FOREACH(it, requests) {
			if (it != &c->probe.link) continue;
			redis_link_fail(&c->node[i]->link, SL_EIO, "no answer to PING in time");
			return;
		}
	}
}

void redis_client_probe(struct redis_client *c) {
	if (c->state != REDIS_UP || c->probing) return;
	for (size_t i = 0; i < c->nodes; i++) {
		struct redis_link *l = &c->node[i]->link;
		if (l->state != REDIS_LINK_READY) continue;
		c->probing = true;
		c->probe = (struct redis_request){.on_reply = probe_reply, .on_lost = probe_lost};
		sl_list_init(&c->probe.link);
		redis_put(redis_link_out(l), "PING", NULL);
		redis_link_push(l, &c->probe, 1);
		sl_timer_set(c->dock.loop, &c->probe_timer, (uint64_t)c->conf->connect_timeout_ms);
		return;
	}
	sl_probe_done(c->conn, SL_OK, NULL); /* a cluster that looks for its nodes says so elsewhere */
}

static void role_lost(struct redis_request *q, int status, const char *text) {
	(void)status, (void)text; /* the link's own end says all */
	sl_container_of(q, struct redis_client, role)->role_asked = false;
}

static void role_reply(struct redis_request *q, const struct redis_reply *reply) {
	struct redis_client *c = sl_container_of(q, struct redis_client, role);
	c->role_asked = false;
	if (reply->kind == REDIS_LIST && reply->n && !slice_equal_str(reply->items[0].text, "master")) {
		redis_client_down(c, SL_EIO, "the server is no master any more; the new one is looked for");
		return;
	}
	c->node[0]->link.replicas = redis_role_replicas(reply);
	redis_sentinels_ready(c);
}

void redis_client_ask_role(struct redis_client *c) {
	struct redis_link *l = &c->node[0]->link;
	if (c->role_asked || l->state != REDIS_LINK_READY) return;
	c->role_asked = true;
	c->role = (struct redis_request){.on_reply = role_reply, .on_lost = role_lost};
	redis_put(redis_link_out(l), "ROLE", NULL);
	redis_link_push(l, &c->role, 1);
}

static void check_fire(struct sl_timer *t) {
	struct redis_client *c = sl_container_of(t, struct redis_client, check_timer);
	if (c->state == REDIS_CONNECTING) redis_client_down(c, SL_EIO, "the servers connect, and then do not answer");
	if (c->state != REDIS_UP) return;
	check_again(c);
	if (c->conf->mode == REDIS_CLUSTER) {
		redis_cluster_refresh(c, NULL);
		return;
	}
	redis_client_ask_role(c);
	redis_sentinels_check(c);
}

/* ---- Open and close. ---- */

static void close_finish(struct redis_client *c) {
	if (!c->closing || c->closed || c->dock.wires) return;
	c->closed = true;
	sl_conn_closed(c->conn);
}

static void dock_empty(struct redis_dock *dock) { close_finish(sl_container_of(dock, struct redis_client, dock)); }

int redis_client_open(struct redis_client *c, struct sl_conn *conn, const struct redis_conf *conf, struct sl_err *err) {
	c->conn = conn;
	c->conf = conf;
	redis_args_init(&c->args);
	c->dock = (struct redis_dock){.loop = sl_conn_loop(conn), .empty = dock_empty};
	sl_list_init(&c->jobs);
	sl_timer_init(&c->probe_timer, probe_late);
	sl_timer_init(&c->check_timer, check_fire);
	int r = redis_conf_resolve(conf, &c->target, err);
	if (r == SL_OK && c->target.tls) r = tls_client_new(&conf->tls, &c->tls, err);
	if (r == SL_OK && conf->mode == REDIS_SENTINEL) c->watch = redis_watch_new(c);
	if (r == SL_OK && conf->mode == REDIS_CLUSTER) c->cluster = redis_cluster_new(c);
	return r;
}

void redis_client_close(struct redis_client *c) {
	c->closing = true;
	redis_client_down(c, SL_ECLOSED, "closed");
	close_finish(c);
}

void redis_client_fini(struct redis_client *c) {
	if (!c->conn) return;
	redis_nodes_drop(c);
	redis_pools_free(c);
	sl_free(c->node);
	redis_watch_free(c->watch);
	redis_cluster_free(c->cluster);
	sl_free(c->trouble);
	sl_buf_fini(&c->scratch);
	redis_args_fini(&c->args);
	sl_buf_fini(&c->why);
	tls_client_free(c->tls);
	redis_target_fini(&c->target);
}

/* ---- For status pages. ---- */

static json_t *node_describe(const struct redis_client *c, const struct redis_node *n) {
	static const char *const states[] = {"closed", "connecting", "ready"};
	json_t *out = json_object();
	struct sl_buf address = SL_BUF_INIT;
	sl_buf_printf(&address, "%s:%u", n->host, n->port);
	json_object_set_new(out, "address", json_string(sl_buf_cstr(&address)));
	json_object_set_new(out, "state", json_string(states[n->link.state]));
	if (c->cluster) json_object_set_new(out, "slots", json_integer(n->slots));
	if (n->why && n->link.state != REDIS_LINK_READY) json_object_set_new(out, "reason", json_string(n->why));
	sl_buf_fini(&address);
	return out;
}

void redis_client_describe(const struct redis_client *c, json_t *out) {
	json_t *nodes = json_array();
	size_t batches = 0;
	for (size_t i = 0; i < c->nodes; i++) json_array_append_new(nodes, node_describe(c, c->node[i]));
	SL_LIST_FOREACH(it, &c->jobs) batches++;
	json_object_set_new(out, "nodes", nodes);
	json_object_set_new(out, "batches_out", json_integer((json_int_t)batches));
	if (c->watch)
		json_object_set_new(out, "sentinels_answering", json_integer((json_int_t)redis_sentinels_answering(c)));
	for (size_t i = 0; i < c->nodes; i++) {
		struct sl_buf tls = SL_BUF_INIT;
		redis_link_tls(&c->node[i]->link, &tls);
		if (tls.n) json_object_set_new(out, "tls", json_string(sl_buf_cstr(&tls)));
		sl_buf_fini(&tls);
		if (json_object_get(out, "tls")) break;
	}
}
