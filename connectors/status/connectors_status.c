/* connectors_status.c: numbers and states for people. Written from a copy (connectors_snapshot.c) while the loops go on; what
 * kinds add of themselves is asked for with the connector loop alone standing still. */
#include "connectors_snapshot_int.h"
#include "schema.h"
#include "schema_doc.h"

const char *const batch_cut_names[CUT_CAUSES] = {"rows", "bytes", "linger", "flush", "split"};

static void set_u64(json_t *o, const char *key, uint64_t v) {
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

/* What traffic said last; members that have nothing to say are not there. */
static void health_status(json_t *o, const struct health *h) {
	if (h->success_ms) json_object_set_new(o, "last_success_ms", json_integer((json_int_t)h->success_ms));
	if (!h->error) return;
	json_object_set_new(o, "last_error", json_string(h->error));
	json_object_set_new(o, "last_error_ms", json_integer((json_int_t)h->error_ms));
}

/* buckets[i]: rows that took at most 2^i ms and more than the bound before, the last of all: longer. It ends with the last that
 * is not 0. */
static json_t *latency_status(const struct pipeline_counters *c) {
	json_t *o = json_object(), *buckets = json_array();
	size_t n = LATENCY_BUCKETS + 1;
	while (n > 0 && c->latency[n - 1] == 0) n--;
	for (size_t i = 0; i < n; i++) json_array_append_new(buckets, json_integer((json_int_t)c->latency[i]));
	set_u64(o, "sum_ms", c->latency_sum_ms);
	json_object_set_new(o, "buckets", buckets);
	return o;
}

/* Its connection, when that is not there; else NULL. */
static const struct conn_copy *conn_missing(const struct connectors_snapshot *s, const struct action_copy *a) {
	for (size_t i = 0; i < s->conn_count; i++) {
		const struct conn_copy *c = &s->conns[i];
		if (c->c == a->action->conn) return c->state == CONN_DOWN || c->state == CONN_CONNECTING ? c : NULL;
	}
	return NULL;
}

static const char *action_state(const struct action_copy *a, const struct conn_copy *missing, uint64_t queued) {
	if (a->retiring) return "retiring";
	if (!a->action->conf.enabled && queued == 0) return "disabled";
	if (a->holding) return "hold";
	if (a->stalled) return "stalled";
	if (missing) return "disconnected";
	return a->not_ready_why ? "not ready" : "running";
}

/* Why rows wait; NULL where nothing is known to be wrong. Heap. */
static char *waiting_why(const struct action_copy *a, const struct conn_copy *missing, uint64_t queued) {
	if (missing && queued > 0)
		return sl_asprintf("the connection is %s%s%s", conn_state_name(missing->state),
				   missing->text ? ": " : "", missing->text ? missing->text : "");
	const char *why = a->not_ready_why ? a->not_ready_why : a->waits_why;
	return why ? sl_strdup(why) : NULL;
}

static json_t *queue_status(const struct action_copy *a) {
	const struct queue_fill *f = &a->fill;
	json_t *o = json_object();
	bool grows = f->limit && f->full_ms != UINT64_MAX;
	json_object_set_new(o, "percent", f->limit ? json_integer(f->percent) : json_null());
	json_object_set_new(o, "limit", f->limit ? json_string(f->limit) : json_null());
	json_object_set_new(o, "full_in_ms", grows ? json_integer((json_int_t)f->full_ms) : json_null());
	return o;
}

static json_t *action_status(const struct connectors_snapshot *s, const struct action_copy *a) {
	const struct sl_action_counts n = pipeline_numbers_sum(&a->n);
	json_t *o = json_object(), *dropped = json_object(), *cut = json_object();
	const struct conn_copy *missing = conn_missing(s, a);
	char *why = waiting_why(a, missing, n.queued);
	json_object_set_new(o, "rule", json_string(a->action->rule));
	set_u64(o, "index", a->action->index);
	json_object_set_new(o, "connector", json_string(a->action->conn->name));
	json_object_set_new(o, "state", json_string(action_state(a, missing, n.queued)));
	if (why) json_object_set_new(o, "reason", json_string(why));
	sl_free(why);
	json_t *problems = json_array();
	for (enum action_problem_id id = 0; id < PROBLEMS; id++)
		if (a->problem[id].why) json_array_append_new(problems, action_problem_status(a, id));
	if (json_array_size(problems) > 0) json_object_set(o, "problems", problems);
	json_decref(problems);
	set_u64(o, "received", n.received);
	set_u64(o, "recovered", n.recovered);
	set_u64(o, "replayed", n.replayed);
	set_u64(o, "delivered", n.delivered);
	if (n.replayed || a->n.count.again_delivered || a->n.count.again_rejected || a->n.count.again_dropped) {
		json_t *again = json_object();
		set_u64(again, "delivered", a->n.count.again_delivered);
		set_u64(again, "rejected", a->n.count.again_rejected);
		set_u64(again, "dropped", a->n.count.again_dropped);
		json_object_set_new(o, "given_back", again);
	}
	set_u64(o, "rejected", n.rejected);
	set_u64(o, "dead_lettered", a->n.count.dead_lettered);
	set_u64(o, "on_error", a->n.count.on_error);
	set_u64(dropped, "overflow", n.dropped_overflow);
	set_u64(dropped, "expired", n.dropped_expired);
	set_u64(dropped, "shutdown", n.dropped_shutdown);
	set_u64(dropped, "damaged", n.dropped_damaged);
	json_object_set_new(o, "dropped", dropped);
	set_u64(o, "queued", n.queued);
	set_u64(o, "in_flight", a->n.flight_rows);
	set_u64(o, "queued_bytes", n.queued_bytes);
	json_t *memory = json_object();
	set_u64(memory, "rows", a->n.mem_bytes);
	set_u64(memory, "held", a->n.held_cost);
	set_u64(memory, "clients", a->n.copy_bytes);
	json_object_set_new(o, "memory", memory);
	set_u64(o, "disk_bytes", n.disk_bytes);
	set_u64(o, "oldest_ms", a->oldest_ms);
	json_object_set_new(o, "queue", queue_status(a));
	if (a->busiest_percent) {
		json_t *lane = json_object();
		set_u64(lane, "percent", a->busiest_percent);
		json_object_set_new(lane, "clientid", json_string(a->busiest_client));
		json_object_set_new(o, "busiest_lane", lane);
	}
	set_u64(o, "retried", n.retried);
	set_u64(o, "maybe_duplicate", n.maybe_duplicate);
	set_u64(o, "batches", n.batches);
	for (size_t i = 0; i < CUT_CAUSES; i++) set_u64(cut, batch_cut_names[i], a->n.count.cut[i]);
	json_object_set_new(o, "batch_cut", cut);
	json_object_set_new(o, "latency", latency_status(&a->n.count));
	health_status(o, &a->health);
	json_object_set_new(o, "dead_letter", json_string(dead_letter_path(a->action->dead_file)));
	return o;
}

/* What it is, secrets masked. */
static json_t *conn_definition(const struct sl_conn *c) {
	json_t *o = json_object();
	json_object_set_new(o, "name", json_string(c->name));
	json_object_set_new(o, "type", json_string(c->kind->name));
	json_object_set_new(o, "settings", conf_show(c->kind->conn_fields, c->impl));
	json_object_set_new(o, "options", conf_show(conn_conf_fields, &c->conf));
	return o;
}

static json_t *conn_status(const struct conn_copy *copy) {
	json_t *o = conn_definition(copy->c);
	json_object_set_new(o, "state", json_string(conn_state_name(copy->state)));
	json_object_set_new(o, "since_ms", json_integer((json_int_t)copy->since_ms));
	if (copy->text) json_object_set_new(o, "reason", json_string(copy->text));
	set_u64(o, "batches_out", copy->out);
	set_u64(o, "actions_stalled", copy->stalled);
	health_status(o, &copy->health);
	if (copy->retired) json_object_set_new(o, "retiring", json_true());
	return o;
}

/* Kinds' own members: the loop stands still. */
struct describing {
	const struct connectors_snapshot *s;
	json_t *conns;
};

static void describe_run(void *arg) {
	const struct describing *d = arg;
	for (size_t i = 0; i < d->s->conn_count; i++) {
		const struct sl_conn *c = d->s->conns[i].c;
		json_t *about = c->opened && !c->closed ? conn_about((struct sl_conn *)(uintptr_t)c) : NULL;
		if (about) json_object_set_new(json_array_get(d->conns, i), "about", about);
	}
}

void connectors_definitions(const struct connectors_set *set, json_t *out) {
	json_t *list = json_array();
	for (size_t i = 0; i < set->conn_count; i++)
		if (!set->conns[i]->broken) json_array_append_new(list, conn_definition(set->conns[i]));
	json_object_set_new(out, "connectors", list);
}

static json_t *memory_status(const struct memory_copy *m) {
	json_t *o = json_object();
	set_u64(o, "limit", m->limit);
#define OWNER(name, meaning) set_u64(o, #name, m->name);
	MEMORY_OWNERS(OWNER)
#undef OWNER
	return o;
}

void connectors_status(const struct connectors_snapshot *s, json_t *out) {
	json_t *conns = json_array(), *actions = json_array();
	json_object_set_new(out, "memory", memory_status(&s->memory));
	for (size_t i = 0; i < s->conn_count; i++) json_array_append_new(conns, conn_status(&s->conns[i]));
	for (size_t i = 0; i < s->action_count; i++) json_array_append_new(actions, action_status(s, &s->actions[i]));
	struct describing d = {s, conns};
	sl_loops_park(&s->from->loop, 1, describe_run, &d);
	json_object_set_new(out, "connectors", conns);
	json_object_set_new(out, "actions", actions);
	connectors_sources_status(s, out);
}

static bool conns_trouble(const struct connectors_snapshot *s, json_t *out) {
	json_t *list = json_array();
	for (size_t i = 0; i < s->conn_count; i++) {
		const struct conn_copy *copy = &s->conns[i];
		if (copy->retired || copy->state == CONN_UP) continue;
		json_t *o = json_object();
		json_object_set_new(o, "name", json_string(copy->c->name));
		json_object_set_new(o, "state", json_string(conn_state_name(copy->state)));
		json_object_set_new(o, "since_ms", json_integer((json_int_t)copy->since_ms));
		if (copy->text) json_object_set_new(o, "reason", json_string(copy->text));
		json_array_append_new(list, o);
	}
	bool any = json_array_size(list) > 0;
	if (any) json_object_set(out, "connectors", list);
	json_decref(list);
	return any;
}

static bool queues_trouble(const struct connectors_snapshot *s, json_t *out) {
	json_t *list = json_array();
	for (size_t i = 0; i < s->action_count; i++) {
		const struct action_copy *a = &s->actions[i];
		if (!a->fill.limit || a->fill.percent < FILL_WARN_PERCENT) continue;
		json_t *o = queue_status(a);
		json_object_set_new(o, "rule", json_string(a->action->rule));
		set_u64(o, "index", a->action->index);
		json_object_set_new(o, "connector", json_string(a->action->conn->name));
		set_u64(o, "oldest_ms", a->oldest_ms);
		json_array_append_new(list, o);
	}
	bool any = json_array_size(list) > 0;
	if (any) json_object_set(out, "queues", list);
	json_decref(list);
	return any;
}

bool connectors_trouble(const struct connectors_snapshot *s, json_t *out) {
	bool conns = conns_trouble(s, out), sources = connectors_sources_trouble(s, out);
	bool queues = queues_trouble(s, out), actions = connectors_action_trouble(s, out);
	return conns || sources || queues || actions;
}

/* ---- The reference. ---------------------------------------------------------------------------------------------------------- */

void connectors_describe(struct sl_buf *out) {
	sl_buf_append_str(out, "## Every connector\n\n");
	schema_doc_markdown(conn_conf_fields, out);
	sl_buf_append_str(out, "\n## Every action\n\n");
	schema_doc_markdown(action_conf_fields, out);
	for (size_t i = 0; sl_connector_kinds[i]; i++) {
		const struct sl_connector_kind *k = sl_connector_kinds[i];
		sl_buf_printf(out, "\n## %s: %s\n\n%s\n\nConnector:\n\n", k->name, k->title, k->summary);
		schema_doc_markdown(k->conn_fields, out);
		sl_buf_append_str(out, "\nAction:\n\n");
		schema_doc_markdown(k->action_fields, out);
	}
	connectors_sources_describe(out);
}
