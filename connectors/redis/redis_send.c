/* redis_send.c: where rows go, and the bytes that go there; see redis_batch.h.
 *
 * With one server a row is written straight into the connection's output buffer. In a cluster it is written aside first, for its
 * keys decide where it goes. */
#include <stdio.h>

#include "mem.h"
#include "redis_batch.h"

/* ---- Parts. ---- */

static struct redis_part *part_new(struct redis_job *j, struct redis_node *n) {
	struct redis_client *c = j->c;
	struct redis_part *p = c->part_pool;
	if (p)
		c->part_pool = p->next;
	else
		p = SL_NEW(struct redis_part);
	struct redis_unit *unit = p->unit;
	uint32_t cap = p->cap;
	*p = (struct redis_part){.job = j, .node = n, .unit = unit, .cap = cap, .result = SL_RESULT_DONE};
	p->q = (struct redis_request){.on_reply = redis_part_reply, .on_lost = redis_part_lost};
	sl_list_init(&p->q.link);
	sl_list_init(&p->waits);
	sl_list_init(&p->of_job);
	sl_list_push_back(&j->parts, &p->of_job);
	p->mark.part = (uint32_t)j->parts_n;
	SL_GROW(j->passed, j->parts_n, j->passed_cap);
	j->passed[j->parts_n++] = 0;
	return p;
}

void redis_part_free(struct redis_part *p) {
	struct redis_client *c = p->job->c;
	p->job->passed[p->mark.part] = p->mark.passed;
	sl_list_remove(&p->of_job);
	sl_list_remove(&p->waits);
	sl_free(p->why);
	p->why = NULL;
	p->next = c->part_pool;
	c->part_pool = p;
}

static uint32_t unit_replies(const struct redis_job *j, const struct redis_unit *u) {
	return (uint32_t)(u->count + (j->plan->transaction ? 2 : 0) + u->asking);
}

static void unit_add(struct redis_part *p, const struct redis_unit *u) {
	SL_GROW(p->unit, p->units, p->cap);
	p->unit[p->units++] = *u;
}

/* The unit's bytes. False: the row cannot be written. resp: the commands, when they stand ready. */
static bool unit_write(struct redis_job *j, const struct redis_unit *u, struct sl_buf *out, struct sl_slice resp) {
	struct redis_client *c = j->c;
	size_t before = out->n;
	if (u->asking) redis_put(out, "ASKING", NULL);
	if (j->plan->transaction) redis_put(out, "MULTI", NULL);
	if (resp.p)
		sl_buf_append_slice(out, resp);
	else if (redis_encode(j->plan, j->b->row[u->row], u->first, u->count, &c->args, out, &c->why) != SL_OK) {
		out->n = before;
		return false;
	}
	if (j->plan->transaction) redis_put(out, "EXEC", NULL);
	return true;
}

static void row_refuse(struct redis_job *j, uint32_t row) {
	struct redis_client *c = j->c;
	redis_row_settle(j, row, SL_RESULT_REJECT, sl_memdup0(c->why.p, c->why.n));
	sl_buf_clear(&c->why);
}

/* The part that goes to this node next; a new one when what was sent last there belongs to another job. */
static struct redis_part *part_for(struct redis_job *j, struct redis_node *n) {
	bool ready = n->link.state == REDIS_LINK_READY;
	struct sl_list *list = ready ? &n->link.requests : &n->waiting;
	if (!sl_list_empty(list)) {
		if (!ready) {
			struct redis_part *last = SL_LIST_ENTRY(list->prev, struct redis_part, waits);
			if (last->job == j) return last;
		} else {
			struct redis_request *q = SL_LIST_ENTRY(list->prev, struct redis_request, link);
			if (q->on_reply == redis_part_reply) {
				struct redis_part *last = sl_container_of(q, struct redis_part, q);
				if (last->job == j) return last;
			}
		}
	}
	struct redis_part *p = part_new(j, n);
	if (!ready) sl_list_push_back(&n->waiting, &p->waits);
	return p;
}

static void unit_out(struct redis_part *p, const struct redis_unit *u, struct sl_slice resp) {
	struct redis_job *j = p->job;
	if (!unit_write(j, u, redis_link_out(&p->node->link), resp)) {
		row_refuse(j, u->row);
		if (p->units == 0) redis_part_free(p);
		return;
	}
	unit_add(p, u);
	if (sl_list_linked(&p->q.link))
		p->q.replies += unit_replies(j, u);
	else
		redis_link_push(&p->node->link, &p->q, unit_replies(j, u));
	p->sent = true;
}

static void unit_send(struct redis_job *j, struct redis_node *n, const struct redis_unit *u, struct sl_slice resp) {
	if (n->link.state == REDIS_LINK_CLOSED) {
		/* Of a cluster others go on; elsewhere all rows come again, in their order. */
		redis_row_settle(
		    j, u->row, j->c->conf->mode == REDIS_CLUSTER ? SL_RESULT_RETRY : SL_RESULT_LOST,
		    sl_asprintf("the node %s:%u is down: %s", n->host, n->port, n->why ? n->why : "closed"));
		return;
	}
	struct redis_part *p = part_for(j, n);
	if (n->link.state == REDIS_LINK_READY)
		unit_out(p, u, resp);
	else
		unit_add(p, u);
}

void redis_unit_send(struct redis_job *j, struct redis_node *n, const struct redis_unit *u) {
	unit_send(j, n, u, SL_SLICE_EMPTY);
	redis_job_wait(j);
}

static void part_wait(struct redis_part *p) {
	const struct redis_conf *conf = p->job->c->conf;
	static const struct redis_unit wait = {.row = REDIS_WAIT_ROW};
	char replicas[24], ms[24];
	if (!p->sent || !sl_list_linked(&p->q.link) || p->unit[p->units - 1].row == REDIS_WAIT_ROW) return;
	snprintf(replicas, sizeof replicas, "%lld", (long long)conf->replicas);
	snprintf(ms, sizeof ms, "%lld", (long long)conf->replicas_ms);
	redis_put(redis_link_out(&p->node->link), "WAIT", replicas, ms, NULL);
	unit_add(p, &wait);
	p->q.replies++;
}

void redis_job_wait(struct redis_job *j) {
	if (j->c->conf->replicas == 0 || j->routing) return;
	SL_LIST_FOREACH(it, &j->parts) part_wait(SL_LIST_ENTRY(it, struct redis_part, of_job));
}

void redis_parts_send(struct redis_node *n) {
	for (struct sl_list *it; n->link.state == REDIS_LINK_READY && (it = sl_list_pop_front(&n->waiting));) {
		struct redis_part *p = SL_LIST_ENTRY(it, struct redis_part, waits);
		struct redis_job *j = p->job;
		redis_job_hold(j);
		uint32_t units = p->units;
		struct redis_unit *unit = p->unit;
		/* Written as if they came now: those that cannot be are left out of the part. */
		p->unit = NULL;
		p->units = p->cap = 0;
		for (uint32_t i = 0; i < units; i++) {
			struct redis_part *to = part_for(j, n);
			unit_out(to, &unit[i], SL_SLICE_EMPTY);
		}
		sl_free(unit);
		redis_part_free(p);
		redis_job_wait(j);
		redis_job_release(j);
	}
}

void redis_parts_lose(struct redis_node *n, const char *text) {
	for (struct sl_list *it; (it = sl_list_pop_front(&n->waiting));) {
		struct redis_part *p = SL_LIST_ENTRY(it, struct redis_part, waits);
		redis_part_lost(&p->q, SL_EIO, text);
	}
}

/* ---- Routes. ---- */

struct route {
	struct redis_node *node;
	size_t at; /* where the command begins in client.scratch */
};

static bool slot_differs(struct redis_job *j, uint32_t row, size_t command, int32_t *slot, uint16_t own) {
	bool other = *slot >= 0 && *slot != own;
	if (!other) {
		*slot = own;
		return false;
	}
	redis_row_settle(
	    j, row, SL_RESULT_REJECT,
	    sl_asprintf("command %zu (%s) has a key of another slot than those before it, and a transaction "
			"lives in one slot; give the keys a part in braces in common, such as {device}",
			command + 1, j->plan->command[command].name));
	return true;
}

static struct redis_node *slot_node(struct redis_job *j, uint32_t row, uint16_t slot) {
	struct redis_node *n = redis_cluster_node(j->c, slot);
	if (n) return n;
	redis_row_settle(j, row, SL_RESULT_RETRY, sl_asprintf("no node of the cluster has slot %u", slot));
	redis_cluster_refresh(j->c, NULL);
	return NULL;
}

static uint16_t given_slot(struct redis_job *j, uint32_t row) {
	struct sql_value v = sql_row_get(j->b->row[row], (uint16_t)j->plan->key);
	struct sl_buf text = SL_BUF_INIT;
	sql_value_to_text(&v, &text);
	uint16_t slot = redis_slot(sl_buf_slice(&text));
	sl_buf_fini(&text);
	return slot;
}

/* False: the row is settled. */
static bool routes_find(struct redis_job *j, uint32_t row, struct route *route) {
	const struct redis_plan *plan = j->plan;
	struct redis_client *c = j->c;
	int32_t slot = plan->key >= 0 ? given_slot(j, row) : -1;
	uint16_t first = 0;
	for (size_t i = 0; i < plan->commands; i++) {
		route[i].at = c->scratch.n;
		if (redis_command_args(plan, i, j->b->row[row], &c->args, &c->why) != SL_OK) {
			row_refuse(j, row);
			return false;
		}
		redis_args_put(&c->args, &c->scratch);
		if (plan->key >= 0) continue;
		bool is_key;
		uint16_t own = redis_slot(redis_key_of(&plan->command[i], &c->args, &is_key));
		if (i == 0) first = own;
		if (is_key && plan->transaction && slot_differs(j, row, i, &slot, own)) return false;
		if (!plan->transaction && !(route[i].node = slot_node(j, row, own))) return false;
	}
	if (plan->key < 0 && !plan->transaction) return true;
	struct redis_node *n = slot_node(j, row, slot >= 0 ? (uint16_t)slot : first);
	for (size_t i = 0; i < plan->commands; i++) route[i].node = n;
	return n != NULL;
}

static void cluster_route(struct redis_job *j, uint32_t row) {
	struct route route[REDIS_COMMANDS_MAX + 1];
	struct redis_client *c = j->c;
	size_t n = j->plan->commands;
	sl_buf_clear(&c->scratch);
	j->left[row] = 1;
	if (!routes_find(j, row, route)) return;
	for (size_t i = 1; i < n; i++) j->left[row] = (uint16_t)(j->left[row] + (route[i].node != route[i - 1].node));
	for (size_t from = 0, to; from < n; from = to) {
		for (to = from + 1; to < n && route[to].node == route[from].node;) to++;
		size_t end = to < n ? route[to].at : c->scratch.n;
		struct redis_unit u = {.row = row, .first = (uint16_t)from, .count = (uint16_t)(to - from)};
		unit_send(j, route[from].node, &u, slice_make(c->scratch.p + route[from].at, end - route[from].at));
	}
}

void redis_row_route(struct redis_job *j, uint32_t row) {
	struct redis_client *c = j->c;
	if (c->conf->mode == REDIS_CLUSTER) {
		cluster_route(j, row);
		return;
	}
	/* Rows of one order key share a link, so that they stay in order. */
	size_t way = c->nodes == 1 ? 0 : sql_row_head(j->b->row[row])->order % c->nodes;
	struct redis_unit u = {.row = row, .count = (uint16_t)j->plan->commands};
	j->left[row] = 1;
	redis_unit_send(j, c->node[way], &u);
}
