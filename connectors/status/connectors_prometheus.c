/* connectors_prometheus.c: numbers and states for Prometheus. Written from a copy (connectors_snapshot.c) while the loops go on.
 *
 * A page stays small whatever the number of actions: the histogram of latency is one a connector, an action has sum and count of
 * it; and with more than ZEROS_MAX actions, numbers of an action that are zero are left out. */
#include <math.h>
#include <stdio.h>

#include "connectors_snapshot_int.h"
#include "metrics.h"

enum { ZEROS_MAX = 1000 };

struct page {
	const struct connectors_snapshot *s;
	struct sl_buf *out;
	bool zeros;
	/* Of the action that is being written. */
	const struct action_copy *a;
	struct sl_action_counts sum;
	struct sl_prom_label label[5];
	size_t labels;
	char index[16];
};

static void action_labels(struct page *p, const struct action_copy *a) {
	p->a = a;
	p->sum = pipeline_numbers_sum(&a->n);
	snprintf(p->index, sizeof p->index, "%u", a->action->index);
	p->label[0] = (struct sl_prom_label){"rule", slice_from_str(a->action->rule)};
	p->label[1] = (struct sl_prom_label){"action", slice_from_str(p->index)};
	p->label[2] = (struct sl_prom_label){"connector", slice_from_str(a->action->conn->name)};
	p->labels = 3;
	/* One that goes to another connector now may still stand beside its successor. */
	if (a->retiring) p->label[p->labels++] = (struct sl_prom_label){"retiring", SL_SLICE_LIT("yes")};
}

static void value(const struct page *p, const char *name, uint64_t v) {
	if (v || p->zeros) sl_prom_value(p->out, name, p->label, p->labels, v);
}

static void value_with(struct page *p, const char *name, const char *label, const char *text, uint64_t v) {
	p->label[p->labels++] = (struct sl_prom_label){label, slice_from_str(text)};
	value(p, name, v);
	p->labels--;
}

static void rows_write(struct page *p, const char *name) {
	const struct sl_action_counts *n = &p->sum;
	const struct pipeline_counters *c = &p->a->n.count;
	value_with(p, name, "result", "received", n->received);
	value_with(p, name, "result", "recovered", n->recovered);
	value_with(p, name, "result", "replayed", n->replayed);
	value_with(p, name, "result", "delivered", n->delivered);
	value_with(p, name, "result", "rejected", n->rejected);
	value_with(p, name, "result", "dead_lettered", c->dead_lettered);
	value_with(p, name, "result", "on_error", c->on_error);
	value_with(p, name, "result", "dropped_overflow", n->dropped_overflow);
	value_with(p, name, "result", "dropped_expired", n->dropped_expired);
	value_with(p, name, "result", "dropped_shutdown", n->dropped_shutdown);
	value_with(p, name, "result", "dropped_damaged", n->dropped_damaged);
	value_with(p, name, "result", "retried", n->retried);
	value_with(p, name, "result", "maybe_duplicate", n->maybe_duplicate);
}

static void queued_write(struct page *p, const char *name) { value(p, name, p->sum.queued); }
static void flight_write(struct page *p, const char *name) { value(p, name, p->a->n.flight_rows); }
static void stalled_write(struct page *p, const char *name) { value(p, name, p->a->stalled); }

static void bytes_write(struct page *p, const char *name) {
	value_with(p, name, "place", "queued", p->sum.queued_bytes);
	value_with(p, name, "place", "disk", p->sum.disk_bytes);
}

static void oldest_write(struct page *p, const char *name) {
	if (p->a->oldest_ms || p->zeros)
		sl_prom_value_double(p->out, name, p->label, p->labels, (double)p->a->oldest_ms / 1000);
}

static void fill_write(struct page *p, const char *name) {
	if (p->a->fill.percent || p->zeros)
		sl_prom_value_double(p->out, name, p->label, p->labels, (double)p->a->fill.percent / 100);
}

static void full_write(struct page *p, const char *name) {
	bool grows = p->a->fill.limit && p->a->fill.full_ms != UINT64_MAX;
	if (grows || p->zeros)
		sl_prom_value_double(p->out, name, p->label, p->labels,
				     grows ? (double)p->a->fill.full_ms / 1000 : INFINITY);
}

static void lane_write(struct page *p, const char *name) {
	if (p->a->busiest_percent || p->zeros)
		sl_prom_value_double(p->out, name, p->label, p->labels, (double)p->a->busiest_percent / 100);
}

static void problems_write(struct page *p, const char *name) {
	for (enum action_problem_id id = 0; id < PROBLEMS; id++)
		value_with(p, name, "problem", action_problem_names[id], p->a->problem[id].why != NULL);
}

static void batches_write(struct page *p, const char *name) {
	for (size_t i = 0; i < CUT_CAUSES; i++) value_with(p, name, "cut", batch_cut_names[i], p->a->n.count.cut[i]);
}

static void latency_write(struct page *p, const char *name) {
	const struct pipeline_counters *c = &p->a->n.count;
	(void)name;
	if (c->delivered == 0 && !p->zeros) return;
	sl_prom_value_double(p->out, "sluice_action_latency_seconds_sum", p->label, p->labels,
			     (double)c->latency_sum_ms / 1000);
	sl_prom_value(p->out, "sluice_action_latency_seconds_count", p->label, p->labels, c->delivered);
}

static void head(struct sl_buf *out, const char *name, const char *type, const char *help) {
	sl_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static const struct family {
	const char *name, *type, *help;
	void (*write)(struct page *p, const char *name);
} families[] = {
    {"sluice_action_rows_total", "counter",
     "Rows of an action: received = delivered + rejected + dropped + queued. recovered and replayed are part of "
     "received; "
     "rejected = dead_lettered + on_error. retried counts attempts that failed; maybe_duplicate those that may have "
     "been stored all the same, so that the row may be there twice.",
     rows_write},
    {"sluice_action_queued_rows", "gauge",
     "Rows not decided yet, wherever they are; with those of publishers that wait (hold) it may exceed buffer.rows.",
     queued_write},
    {"sluice_action_in_flight_rows", "gauge", "Of these, sent and not answered.", flight_write},
    {"sluice_action_bytes", "gauge", "Bytes of rows not decided, and of the log on disk.", bytes_write},
    {"sluice_action_oldest_seconds", "gauge", "Age of the oldest row in memory.", oldest_write},
    {"sluice_action_queue_fill_ratio", "gauge",
     "How much of the tightest of buffer.rows, buffer.disk and (without a log) buffer.memory is used; 0 where none is "
     "set.",
     fill_write},
    {"sluice_action_queue_full_seconds", "gauge",
     "Until the queue is full at the pace of the last minute; +Inf while it does not grow.", full_write},
    {"sluice_action_busiest_lane_ratio", "gauge",
     "Of the rows that wait, the part that one lane of 64 has, by a sample; 0 while few wait. Near 1: one order key "
     "holds up the action.",
     lane_write},
    {"sluice_action_stalled", "gauge", "1 while rows wait and none has been decided for stalled_after.", stalled_write},
    {"sluice_action_problem", "gauge",
     "1 while the buffer is full and publishers wait (buffer), the log cannot be written (log) or synced (sync), or "
     "dead "
     "letters cannot be written (dead_letter).",
     problems_write},
    {"sluice_action_batches_total", "counter", "Batches sent, by what made them leave.", batches_write},
    {"sluice_action_latency_seconds", "summary", "From the message's arrival to its delivery.", latency_write},
};

/* ---- Connectors. ------------------------------------------------------------------------------------------------------------ */

static size_t conn_labels(const struct conn_copy *copy, struct sl_prom_label *l) {
	l[0] = (struct sl_prom_label){"connector", slice_from_str(copy->c->name)};
	l[1] = (struct sl_prom_label){"type", slice_from_str(copy->c->kind->name)};
	return 2;
}

static void states_write(const struct conn_copy *copy, struct sl_buf *out) {
	struct sl_prom_label l[3];
	size_t n = conn_labels(copy, l);
	for (int state = CONN_STOPPED; state <= CONN_DOWN; state++) {
		l[n] = (struct sl_prom_label){"state", slice_from_str(conn_state_name((enum conn_state)state))};
		sl_prom_value(out, "sluice_connector_state", l, n + 1, (int)copy->state == state);
	}
}

/* 0: never. */
static void time_write(const struct conn_copy *copy, struct sl_buf *out, const char *name, int64_t at_ms) {
	struct sl_prom_label l[2];
	size_t n = conn_labels(copy, l);
	if (at_ms) sl_prom_value_double(out, name, l, n, (double)at_ms / 1000);
}
static void since_write(const struct conn_copy *copy, struct sl_buf *out) {
	time_write(copy, out, "sluice_connector_state_since_timestamp_seconds", copy->since_ms);
}
static void success_write(const struct conn_copy *copy, struct sl_buf *out) {
	time_write(copy, out, "sluice_connector_last_success_timestamp_seconds", copy->health.success_ms);
}
static void error_write(const struct conn_copy *copy, struct sl_buf *out) {
	time_write(copy, out, "sluice_connector_last_error_timestamp_seconds", copy->health.error_ms);
}

/* Those that have ended, and those that are there; while settings change an action may still be the old connection's. */
static void histogram_write(const struct connectors_snapshot *s, const struct conn_copy *copy, struct sl_buf *out) {
	struct sl_prom_label l[3];
	size_t n = conn_labels(copy, l);
	uint64_t total = 0, rows[LATENCY_BUCKETS + 1], sum_ms = copy->past_latency_sum_ms;
	memcpy(rows, copy->past_latency, sizeof rows);
	for (size_t i = 0; i < s->action_count; i++) {
		const struct sl_conn *c = s->actions[i].action->conn;
		if (c != copy->c && strcmp(c->name, copy->c->name) != 0) continue;
		for (size_t b = 0; b <= LATENCY_BUCKETS; b++) rows[b] += s->actions[i].n.count.latency[b];
		sum_ms += s->actions[i].n.count.latency_sum_ms;
	}
	for (size_t i = 0; i <= LATENCY_BUCKETS; i++) {
		char le[32] = "+Inf";
		total += rows[i];
		if (i < LATENCY_BUCKETS) snprintf(le, sizeof le, "%g", (double)((uint64_t)1 << i) / 1000);
		l[n] = (struct sl_prom_label){"le", slice_from_str(le)};
		sl_prom_value(out, "sluice_connector_latency_seconds_bucket", l, n + 1, total);
	}
	sl_prom_value_double(out, "sluice_connector_latency_seconds_sum", l, n, (double)sum_ms / 1000);
	sl_prom_value(out, "sluice_connector_latency_seconds_count", l, n, total);
}

static const struct conn_family {
	const char *name, *type, *help;
	void (*write)(const struct conn_copy *copy, struct sl_buf *out);
} conn_families[] = {
    {"sluice_connector_state", "gauge", "1 for the state a connector is in.", states_write},
    {"sluice_connector_state_since_timestamp_seconds", "gauge", "When it came into that state.", since_write},
    {"sluice_connector_last_success_timestamp_seconds", "gauge", "When a row was last delivered, or a probe answered.",
     success_write},
    {"sluice_connector_last_error_timestamp_seconds", "gauge",
     "When a row, a probe or an attempt to connect last failed.", error_write},
    {"sluice_connector_latency_seconds", "histogram",
     "From a message's arrival to its delivery, over all actions of a connector.", NULL},
};

static void memory_write(const struct memory_copy *m, struct sl_buf *out) {
	struct sl_prom_label l = {.name = "owner"};
	head(out, "sluice_rows_memory_bytes", "gauge", "Memory of rows, by who holds it: parts of node.buffer_memory.");
#define OWNER(owner, meaning)                                                                                          \
	l.value = slice_from_str(#owner);                                                                              \
	sl_prom_value(out, "sluice_rows_memory_bytes", &l, 1, m->owner);
	MEMORY_OWNERS(OWNER)
#undef OWNER
	head(out, "sluice_rows_memory_limit_bytes", "gauge", "node.buffer_memory.");
	sl_prom_value(out, "sluice_rows_memory_limit_bytes", NULL, 0, m->limit);
}

void connectors_prometheus(const struct connectors_snapshot *s, struct sl_buf *out) {
	memory_write(&s->memory, out);
	struct page p = {.s = s, .out = out, .zeros = s->action_count <= ZEROS_MAX};
	for (size_t f = 0; f < SL_ARRAY_LEN(families); f++) {
		head(out, families[f].name, families[f].type, families[f].help);
		for (size_t i = 0; i < s->action_count; i++) {
			action_labels(&p, &s->actions[i]);
			families[f].write(&p, families[f].name);
		}
	}
	for (size_t f = 0; f < SL_ARRAY_LEN(conn_families); f++) {
		head(out, conn_families[f].name, conn_families[f].type, conn_families[f].help);
		for (size_t i = 0; i < s->conn_count; i++) {
			const struct conn_copy *copy = &s->conns[i];
			if (copy->retired) continue;
			if (conn_families[f].write)
				conn_families[f].write(copy, out);
			else
				histogram_write(s, copy, out);
		}
	}
	connectors_sources_prometheus(s, out);
}
