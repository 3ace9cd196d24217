/* redis_cluster.c: which node has which slot; see redis_client.h.
 *
 * Any node tells (CLUSTER SLOTS). It is asked at the start, from time to time, when a node answers MOVED and when one goes away.
 * What the answer changes comes into force when no batch is out: until then none is taken (draining). So a row never overtakes an
 * earlier one of its key that is still on its way to the slot's old node; what MOVED and ASK send after it goes there at once. */
#include <stdio.h>

#include "log.h"
#include "mem.h"
#include "redis_client.h"

enum { AGAIN_MS = 500, NODES_MAX = 2000 };

static struct redis_node *node_find(struct redis_client *c, struct sl_slice host, uint16_t port) {
	for (size_t i = 0; i < c->nodes; i++)
		if (c->node[i]->port == port && slice_equal_str(host, c->node[i]->host)) return c->node[i];
	return NULL;
}

static struct redis_node *node_get(struct redis_client *c, struct sl_slice host, uint16_t port) {
	struct redis_node *n = node_find(c, host, port);
	if (n || c->nodes >= NODES_MAX) return n;
	char *name = slice_dup(host);
	n = redis_node_add(c, name, port);
	sl_free(name);
	return n;
}

struct redis_node *redis_cluster_node(struct redis_client *c, uint16_t slot) {
	uint16_t n = c->cluster->slot[slot];
	return n ? c->node[n - 1] : NULL;
}

struct redis_node *redis_cluster_target(struct redis_node *from, struct sl_slice text) {
	ptrdiff_t space = slice_find_byte(text, ' '), colon = -1;
	int64_t port;
	if (space < 0) return NULL;
	struct sl_slice address = slice_from(text, (size_t)space + 1);
	for (size_t i = 0; i < address.n; i++)
		if (address.p[i] == ':') colon = (ptrdiff_t)i;
	if (colon < 0 || slice_to_i64(slice_from(address, (size_t)colon + 1), &port) != SL_OK || port <= 0 ||
	    port > UINT16_MAX)
		return NULL;
	struct sl_slice host = slice_sub(address, 0, (size_t)colon);
	/* An empty host is the one that was asked. */
	struct redis_node *n = node_get(from->c, host.n ? host : slice_from_str(from->host), (uint16_t)port);
	if (n && n->link.state == REDIS_LINK_CLOSED && !sl_timer_armed(&n->again)) redis_node_open(n);
	return n;
}

/* ---- The table. ---- */

/* One entry: [first, last, [host, port, ...], replicas...]. False: it makes no sense. */
static bool range_read(struct redis_client *c, const struct redis_node *from, const struct redis_reply *range) {
	if (range->kind != REDIS_LIST || range->n < 3 || range->items[0].kind != REDIS_NUMBER ||
	    range->items[1].kind != REDIS_NUMBER)
		return false;
	const struct redis_reply *master = &range->items[2];
	int64_t first = range->items[0].number, last = range->items[1].number;
	if (master->kind != REDIS_LIST || master->n < 2 || master->items[1].kind != REDIS_NUMBER || first < 0 ||
	    last >= REDIS_SLOTS || first > last)
		return false;
	int64_t port = master->items[1].number;
	if (port <= 0 || port > UINT16_MAX) return false;
	bool named = master->items[0].kind == REDIS_TEXT && master->items[0].text.n > 0;
	/* A node that does not know its own address leaves it out: it is the one that we asked. "?" stands for an unknown name. */
	struct sl_slice host =
	    named && !slice_equal_str(master->items[0].text, "?") ? master->items[0].text : slice_from_str(from->host);
	struct redis_node *n = node_get(c, host, (uint16_t)port);
	if (!n) return false;
	uint16_t number = 0;
	for (size_t i = 0; i < c->nodes; i++)
		if (c->node[i] == n) number = (uint16_t)(i + 1);
	for (int64_t i = first; i <= last; i++) c->cluster->next[i] = number;
	return true;
}

static bool table_read(struct redis_client *c, const struct redis_node *from, const struct redis_reply *reply) {
	if (reply->kind != REDIS_LIST || reply->n == 0 || reply->cut) return false;
	memset(c->cluster->next, 0, sizeof c->cluster->next);
	for (uint32_t i = 0; i < reply->n; i++)
		if (!range_read(c, from, &reply->items[i])) return false;
	return true;
}

static bool is_server(const struct redis_client *c, const struct redis_node *n) {
	for (size_t i = 0; i < c->target.servers; i++)
		if (c->target.server[i].port == n->port && strcmp(c->target.server[i].host, n->host) == 0) return true;
	return false;
}

/* Nodes without slots that the settings do not name are forgotten; the numbers in the table change with that. */
static void nodes_prune(struct redis_client *c) {
	uint16_t *number = SL_NEW_ARRAY(uint16_t, c->nodes + 1);
	size_t kept = 0;
	for (size_t i = 0; i < c->nodes; i++) {
		struct redis_node *n = c->node[i];
		if (n->slots == 0 && !is_server(c, n) && n != c->cluster->asked) {
			redis_node_free(n);
			continue;
		}
		c->node[kept++] = n;
		number[i + 1] = (uint16_t)kept;
	}
	c->nodes = kept;
	for (size_t i = 0; i < REDIS_SLOTS; i++) c->cluster->slot[i] = number[c->cluster->slot[i]];
	sl_free(number);
}

static void table_apply(struct redis_client *c) {
	struct redis_cluster *k = c->cluster;
	bool drained = k->draining;
	k->draining = k->fresh = false;
	memcpy(k->slot, k->next, sizeof k->slot);
	for (size_t i = 0; i < c->nodes; i++) c->node[i]->slots = 0;
	for (size_t i = 0; i < REDIS_SLOTS; i++)
		if (k->slot[i]) c->node[k->slot[i] - 1]->slots++;
	nodes_prune(c);
	for (size_t i = 0; i < c->nodes; i++)
		if (c->node[i]->slots && !sl_timer_armed(&c->node[i]->again)) redis_node_open(c->node[i]);
	if (drained) sl_conn_writable(c->conn);
}

/* From the loop's own turn: whoever brought the news may be a node that goes now. */
static void apply_run(struct sl_deferred *d) {
	struct redis_cluster *k = sl_container_of(d, struct redis_cluster, apply);
	struct redis_client *c = k->c;
	if (!k->fresh || c->state == REDIS_DOWN) return;
	if (!sl_list_empty(&c->jobs)) {
		k->draining = true;
		return;
	}
	table_apply(c);
	redis_client_up(c);
}

void redis_cluster_idle(struct redis_client *c) {
	if (c->cluster->fresh) sl_loop_defer(c->dock.loop, &c->cluster->apply);
}

struct redis_cluster *redis_cluster_new(struct redis_client *c) {
	struct redis_cluster *k = SL_NEW(struct redis_cluster);
	k->c = c;
	sl_deferred_init(&k->apply, apply_run);
	return k;
}

void redis_cluster_free(struct redis_cluster *k) {
	if (k) sl_deferred_cancel(&k->apply);
	sl_free(k);
}

/* ---- Asking. ---- */

static void seeds_next(struct redis_client *c);

static void refresh_end(struct redis_client *c) {
	c->cluster->asked = NULL;
	if (c->cluster->fresh || !c->cluster->draining) return;
	c->cluster->draining = false; /* no answer to wait for; the next MOVED begins anew */
	sl_conn_writable(c->conn);
}

static void table_failed(struct redis_client *c, struct redis_node *n, const struct redis_reply *reply) {
	struct sl_buf why = SL_BUF_INIT;
	if (reply->kind == REDIS_ERROR)
		redis_show(reply->text, &why);
	else
		sl_buf_append_str(&why, "the cluster has no slots yet; is it set up (redis-cli --cluster create)?");
	refresh_end(c);
	if (c->state == REDIS_CONNECTING) redis_link_fail(&n->link, SL_EIO, sl_buf_cstr(&why));
	sl_buf_fini(&why);
}

static void slots_reply(struct redis_request *q, const struct redis_reply *reply) {
	struct redis_cluster *k = sl_container_of(q, struct redis_cluster, q);
	struct redis_node *n = k->asked;
	struct redis_client *c = n->c;
	if (!table_read(c, n, reply)) {
		k->fresh = false;
		table_failed(c, n, reply);
		return;
	}
	k->fresh = k->draining || memcmp(k->next, k->slot, sizeof k->slot) != 0;
	refresh_end(c);
	if (k->fresh) sl_loop_defer(c->dock.loop, &k->apply);
}

static void slots_lost(struct redis_request *q, int status, const char *text) {
	struct redis_cluster *k = sl_container_of(q, struct redis_cluster, q);
	(void)status, (void)text;
	if (k->asked) refresh_end(k->asked->c);
}

void redis_cluster_refresh(struct redis_client *c, struct redis_node *from) {
	struct redis_cluster *k = c->cluster;
	uint64_t now = sl_loop_now_ms(c->dock.loop);
	if (k->asked) {
		/* A node that takes questions and never answers. */
		if (now - k->asked_ms > (uint64_t)c->conf->connect_timeout_ms)
			redis_link_fail(&k->asked->link, SL_EIO, "no answer to CLUSTER SLOTS in time");
		return;
	}
	for (size_t i = 0; !from && i < c->nodes; i++) {
		k->seed++;
		struct redis_node *n = c->node[k->seed % c->nodes];
		if (n->link.state == REDIS_LINK_READY) from = n;
	}
	if (!from || from->link.state != REDIS_LINK_READY) return;
	k->asked = from;
	k->asked_ms = now;
	k->q = (struct redis_request){.on_reply = slots_reply, .on_lost = slots_lost};
	redis_put(redis_link_out(&from->link), "CLUSTER", "SLOTS", NULL);
	redis_link_push(&from->link, &k->q, 1);
}

void redis_cluster_moved(struct redis_client *c, struct redis_node *to) {
	struct redis_cluster *k = c->cluster;
	if (k->draining) return;
	redis_cluster_refresh(c, to->link.state == REDIS_LINK_READY ? to : NULL);
	k->draining = k->asked != NULL;
}

/* ---- Nodes come and go. ---- */

void redis_cluster_connect(struct redis_client *c) {
	struct redis_cluster *k = c->cluster;
	for (size_t i = 0; i < c->target.servers; i++)
		(void)node_get(c, slice_from_str(c->target.server[i].host), c->target.server[i].port);
	memset(k->slot, 0, sizeof k->slot);
	k->asked = NULL;
	k->draining = k->fresh = false;
	k->seed = 0;
	seeds_next(c);
}

/* One after the other, those that were known last time included. */
static void seeds_next(struct redis_client *c) {
	struct redis_cluster *k = c->cluster;
	if (k->seed < c->nodes) {
		redis_node_open(c->node[k->seed++]);
		return;
	}
	struct sl_buf why = SL_BUF_INIT;
	sl_buf_append_str(&why, "no node of the cluster answers: ");
	for (size_t i = 0; i < c->nodes; i++)
		sl_buf_printf(&why, "%s%s", i ? "; " : "", c->node[i]->why ? c->node[i]->why : "not tried");
	if (strstr(sl_buf_cstr(&why), "cluster support disabled"))
		sl_buf_append_str(&why, "; a server that is no cluster is reached without `mode: cluster`");
	redis_client_down(c, SL_EIO, sl_buf_cstr(&why));
	sl_buf_fini(&why);
}

void redis_cluster_node_ready(struct redis_node *n) {
	struct redis_client *c = n->c;
	if (c->state == REDIS_CONNECTING && !c->cluster->asked) redis_cluster_refresh(c, n);
	redis_parts_send(n);
}

static bool any_alive(const struct redis_client *c) {
	for (size_t i = 0; i < c->nodes; i++)
		if (c->node[i]->link.state == REDIS_LINK_READY) return true;
	return false;
}

void redis_cluster_node_down(struct redis_node *n) {
	struct redis_client *c = n->c;
	if (c->cluster->asked == n) refresh_end(c);
	if (c->state == REDIS_CONNECTING) {
		seeds_next(c);
		return;
	}
	if (c->state != REDIS_UP) return;
	if (!any_alive(c)) {
		redis_client_down(c, SL_EIO, n->why);
		return;
	}
	log_debug(LOG_CONN, "node of a cluster down", "name=%s reason=%s", sl_conn_name(c->conn), n->why);
	sl_timer_set(c->dock.loop, &n->again, AGAIN_MS);
	redis_cluster_refresh(c, NULL);
}
