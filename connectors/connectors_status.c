/* connectors_status.c: numbers and states for people and for Prometheus. Written from a copy
 * (connectors_snapshot.c) while the loops go on. */
#include <stdio.h>

#include "connectors_snapshot_int.h"
#include "metrics.h"
#include "schema.h"
#include "schema_doc.h"

static const char *const cut_names[CUT_CAUSES] = {"rows", "bytes", "linger", "flush", "split"};

static void set_u64(json_t *o, const char *key, uint64_t v) {
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

static json_t *action_status(const struct action_copy *a) {
	const struct sl_action_counts n = pipeline_numbers_sum(&a->n);
	json_t *o = json_object(), *dropped = json_object(), *cut = json_object();
	json_object_set_new(o, "rule", json_string(a->action->rule));
	set_u64(o, "index", a->action->index);
	json_object_set_new(o, "connector", json_string(a->action->conn->name));
	json_object_set_new(o, "state",
			    json_string(a->retiring    ? "retiring"
					: a->holding   ? "hold"
					: a->not_ready ? "not ready"
						       : "running"));
	set_u64(o, "received", n.received);
	set_u64(o, "recovered", n.recovered);
	set_u64(o, "replayed", n.replayed);
	set_u64(o, "delivered", n.delivered);
	set_u64(o, "rejected", n.rejected);
	set_u64(dropped, "overflow", n.dropped_overflow);
	set_u64(dropped, "expired", n.dropped_expired);
	set_u64(dropped, "shutdown", n.dropped_shutdown);
	json_object_set_new(o, "dropped", dropped);
	set_u64(o, "queued", n.queued);
	set_u64(o, "in_flight", a->n.flight_rows);
	set_u64(o, "queued_bytes", n.queued_bytes);
	set_u64(o, "disk_bytes", n.disk_bytes);
	set_u64(o, "oldest_ms", a->oldest_ms);
	set_u64(o, "retried", n.retried);
	set_u64(o, "maybe_duplicate", n.maybe_duplicate);
	set_u64(o, "batches", n.batches);
	for (size_t i = 0; i < CUT_CAUSES; i++) set_u64(cut, cut_names[i], a->n.count.cut[i]);
	json_object_set_new(o, "batch_cut", cut);
	json_object_set_new(o, "dead_letter", json_string(dead_letter_path(a->p->dead_file)));
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
	if (copy->retired) json_object_set_new(o, "retiring", json_true());
	return o;
}

void connectors_definitions(const struct connectors_set *set, json_t *out) {
	json_t *list = json_array();
	for (size_t i = 0; i < set->conn_count; i++)
		if (set->conns[i]->kind) json_array_append_new(list, conn_definition(set->conns[i]));
	json_object_set_new(out, "connectors", list);
}

void connectors_status(const struct connectors_snapshot *s, json_t *out) {
	json_t *conns = json_array(), *actions = json_array();
	for (size_t i = 0; i < s->conn_count; i++) json_array_append_new(conns, conn_status(&s->conns[i]));
	for (size_t i = 0; i < s->action_count; i++) json_array_append_new(actions, action_status(&s->actions[i]));
	json_object_set_new(out, "connectors", conns);
	json_object_set_new(out, "actions", actions);
	connectors_sources_status(s, out);
}

/* ---- Prometheus. ------------------------------------------------------------------------------------------------------------- */

struct labels {
	struct sl_prom_label at[5];
	char index[16];
};

/* rule, action, connector, and one more that the caller may fill. */
static void labels_make(struct labels *l, const struct action_copy *a) {
	snprintf(l->index, sizeof l->index, "%u", a->action->index);
	l->at[0] = (struct sl_prom_label){"rule", slice_from_str(a->action->rule)};
	l->at[1] = (struct sl_prom_label){"action", slice_from_str(l->index)};
	l->at[2] = (struct sl_prom_label){"connector", slice_from_str(a->action->conn->name)};
	/* A replaced action may still stand beside its successor. */
	l->at[3] = (struct sl_prom_label){"retiring", slice_from_str(a->retiring ? "yes" : "no")};
}

static void family(const struct connectors_snapshot *s, struct sl_buf *out, const char *name, enum sl_metric_kind kind,
		   const char *help,
		   void (*write)(struct sl_buf *out, const char *name, const struct action_copy *a, struct labels *l)) {
	sl_prom_family(out, name, kind, help);
	for (size_t i = 0; i < s->action_count; i++) {
		struct labels l;
		labels_make(&l, &s->actions[i]);
		write(out, name, &s->actions[i], &l);
	}
}

static void value_with(struct sl_buf *out, const char *name, struct labels *l, const char *label, const char *text,
		       uint64_t v) {
	l->at[4] = (struct sl_prom_label){label, slice_from_str(text)};
	sl_prom_value(out, name, l->at, 5, v);
}

static void rows_write(struct sl_buf *out, const char *name, const struct action_copy *a, struct labels *l) {
	const struct sl_action_counts n = pipeline_numbers_sum(&a->n);
	value_with(out, name, l, "result", "received", n.received);
	value_with(out, name, l, "result", "recovered", n.recovered);
	value_with(out, name, l, "result", "replayed", n.replayed);
	value_with(out, name, l, "result", "delivered", n.delivered);
	value_with(out, name, l, "result", "rejected", n.rejected);
	value_with(out, name, l, "result", "dropped_overflow", n.dropped_overflow);
	value_with(out, name, l, "result", "dropped_expired", n.dropped_expired);
	value_with(out, name, l, "result", "dropped_shutdown", n.dropped_shutdown);
	value_with(out, name, l, "result", "retried", n.retried);
	value_with(out, name, l, "result", "maybe_duplicate", n.maybe_duplicate);
}

static void queued_write(struct sl_buf *out, const char *name, const struct action_copy *a, struct labels *l) {
	sl_prom_value(out, name, l->at, 4, pipeline_numbers_sum(&a->n).queued);
}

static void bytes_write(struct sl_buf *out, const char *name, const struct action_copy *a, struct labels *l) {
	const struct sl_action_counts n = pipeline_numbers_sum(&a->n);
	value_with(out, name, l, "place", "queued", n.queued_bytes);
	value_with(out, name, l, "place", "disk", n.disk_bytes);
}

static void oldest_write(struct sl_buf *out, const char *name, const struct action_copy *a, struct labels *l) {
	sl_prom_value_double(out, name, l->at, 4, (double)a->oldest_ms / 1000);
}

static void batches_write(struct sl_buf *out, const char *name, const struct action_copy *a, struct labels *l) {
	for (size_t i = 0; i < CUT_CAUSES; i++) value_with(out, name, l, "cut", cut_names[i], a->n.count.cut[i]);
}

/* A histogram is three series of one name. An action that has delivered nothing has none: it would be most of the page. */
static void latency_write(struct sl_buf *out, const char *name, const struct action_copy *a, struct labels *l) {
	uint64_t total = 0;
	if (a->n.count.delivered == 0) return;
	for (size_t i = 0; i <= LATENCY_BUCKETS; i++) {
		char le[32] = "+Inf";
		total += a->n.count.latency[i];
		if (i < LATENCY_BUCKETS) snprintf(le, sizeof le, "%g", (double)((uint64_t)1 << i) / 1000);
		value_with(out, "sluice_action_latency_seconds_bucket", l, "le", le, total);
	}
	sl_prom_value(out, "sluice_action_latency_seconds_count", l->at, 4, total);
	sl_prom_value_double(out, "sluice_action_latency_seconds_sum", l->at, 4,
			     (double)a->n.count.latency_sum_ms / 1000);
	(void)name;
}

static void states_write(const struct connectors_snapshot *s, struct sl_buf *out) {
	sl_prom_family(out, "sluice_connector_state", SL_METRIC_GAUGE, "1 for the state a connector is in.");
	for (size_t i = 0; i < s->conn_count; i++) {
		const struct conn_copy *copy = &s->conns[i];
		const struct sl_conn *c = copy->c;
		if (copy->retired) continue;
		for (int state = CONN_STOPPED; state <= CONN_DOWN; state++) {
			struct sl_prom_label l[] = {{"connector", slice_from_str(c->name)},
						    {"type", slice_from_str(c->kind->name)},
						    {"state", slice_from_str(conn_state_name((enum conn_state)state))}};
			sl_prom_value(out, "sluice_connector_state", l, SL_ARRAY_LEN(l), (int)copy->state == state);
		}
	}
}

void connectors_prometheus(const struct connectors_snapshot *s, struct sl_buf *out) {
	family(s, out, "sluice_action_rows_total", SL_METRIC_COUNTER,
	       "Rows of an action: received = delivered + rejected + dropped + queued; recovered and replayed are part "
	       "of received.",
	       rows_write);
	family(s, out, "sluice_action_queued_rows", SL_METRIC_GAUGE, "Rows not decided yet, wherever they are.",
	       queued_write);
	family(s, out, "sluice_action_bytes", SL_METRIC_GAUGE, "Bytes of rows not decided, and of the log on disk.",
	       bytes_write);
	family(s, out, "sluice_action_oldest_seconds", SL_METRIC_GAUGE, "Age of the oldest row in memory.",
	       oldest_write);
	family(s, out, "sluice_action_batches_total", SL_METRIC_COUNTER, "Batches sent, by what made them leave.",
	       batches_write);
	sl_buf_append_str(out, "# HELP sluice_action_latency_seconds From the message's arrival to its delivery.\n"
			       "# TYPE sluice_action_latency_seconds histogram\n");
	for (size_t i = 0; i < s->action_count; i++) {
		struct labels l;
		labels_make(&l, &s->actions[i]);
		latency_write(out, NULL, &s->actions[i], &l);
	}
	states_write(s, out);
	connectors_sources_prometheus(s, out);
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
