/* source_status.c: numbers and states of sources, for people and for Prometheus. See sources.h.
 *
 * There are few of them: their numbers are copied in the moment in which everything stands still. */
#include "connectors_snapshot_int.h"
#include "metrics.h"
#include "schema.h"
#include "source_int.h"

/* ---- The copy. Parked. ---------------------------------------------------------------------------------------------------- */

static void copy_one(const struct sl_source *s, struct source_copy *to) {
	uint64_t untold = s->kind->untold && s->started && !s->closed ? s->kind->untold(s) : 0;
	*to = (struct source_copy){
	    .s = s,
	    .text = s->text ? sl_strdup(s->text) : NULL,
	    .state = s->state,
	    .since_ms = s->since_ms,
	    .lag = s->kind->lag && s->started && !s->closing ? s->kind->lag(s) : -1,
	    .paused = s->paused,
	    .retired = s->retired,
	    .received = s->received,
	    .acknowledged = s->through - untold,
	    .untold = untold,
	    .forgotten = s->forgotten,
	    .pauses = s->pauses,
	    .pending = s->pending,
	    .pending_bytes = s->pending_bytes,
	    .parts = s->parts,
	};
}

void sources_copy_take(const struct connectors *cs, struct sources_copy *out) {
	size_t n = 0;
	sources_copy_fini(out);
	SL_LIST_FOREACH(it, &cs->sources->list) n++;
	out->at = SL_NEW_ARRAY(struct source_copy, n + 1);
	SL_LIST_FOREACH(it, &cs->sources->list) copy_one(SL_LIST_ENTRY(it, struct sl_source, link), &out->at[out->n++]);
}

void sources_copy_fini(struct sources_copy *copy) {
	for (size_t i = 0; i < copy->n; i++) sl_free(copy->at[i].text);
	sl_free(copy->at);
	*copy = (struct sources_copy){.at = NULL};
}

/* ---- For people. ------------------------------------------------------------------------------------------------------------ */

static void set_u64(json_t *o, const char *key, uint64_t v) {
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

/* What it is, secrets masked. */
static json_t *definition(const struct sl_source *s) {
	json_t *o = json_object();
	json_object_set_new(o, "name", json_string(s->name));
	json_object_set_new(o, "type", json_string(s->kind ? s->conn->kind->name : ""));
	json_object_set_new(o, "settings", s->kind ? conf_show(s->kind->fields, s->impl) : json_object());
	json_object_set_new(o, "options", conf_show(source_conf_fields, &s->conf));
	return o;
}

static json_t *one_status(const struct source_copy *c) {
	json_t *o = definition(c->s);
	json_object_set_new(o, "connector", json_string(c->s->conn->name));
	json_object_set_new(o, "state", json_string(source_state_name(c->state)));
	json_object_set_new(o, "since_ms", json_integer((json_int_t)c->since_ms));
	if (c->text) json_object_set_new(o, "reason", json_string(c->text));
	json_object_set_new(o, "paused", json_boolean(c->paused));
	set_u64(o, "received", c->received);
	set_u64(o, "acknowledged", c->acknowledged);
	set_u64(o, "unacknowledged", c->untold);
	set_u64(o, "forgotten", c->forgotten);
	set_u64(o, "pending", c->pending);
	set_u64(o, "pending_bytes", c->pending_bytes);
	set_u64(o, "pauses", c->pauses);
	set_u64(o, "parts", c->parts);
	json_object_set_new(o, "lag", c->lag < 0 ? json_null() : json_integer((json_int_t)c->lag));
	if (c->retired) json_object_set_new(o, "retiring", json_true());
	return o;
}

void connectors_sources_status(const struct connectors_snapshot *s, json_t *out) {
	json_t *list = json_array();
	for (size_t i = 0; i < s->sources.n; i++) json_array_append_new(list, one_status(&s->sources.at[i]));
	json_object_set_new(out, "sources", list);
}

bool connectors_sources_trouble(const struct connectors_snapshot *s, json_t *out) {
	json_t *list = json_array();
	for (size_t i = 0; i < s->sources.n; i++) {
		const struct source_copy *c = &s->sources.at[i];
		if (c->retired || c->state == SL_SOURCE_UP) continue;
		json_t *o = json_object();
		json_object_set_new(o, "name", json_string(c->s->name));
		json_object_set_new(o, "connector", json_string(c->s->conn->name));
		json_object_set_new(o, "state", json_string(source_state_name(c->state)));
		json_object_set_new(o, "since_ms", json_integer((json_int_t)c->since_ms));
		if (c->text) json_object_set_new(o, "reason", json_string(c->text));
		json_array_append_new(list, o);
	}
	bool any = json_array_size(list) > 0;
	if (any) json_object_set(out, "sources", list);
	json_decref(list);
	return any;
}

void connectors_sources_definitions(const struct connectors_set *set, json_t *out) {
	json_t *list = json_array();
	for (size_t i = 0; set->sources && i < set->sources->count; i++)
		json_array_append_new(list, definition(set->sources->at[i]));
	json_object_set_new(out, "sources", list);
}

/* ---- Prometheus. ------------------------------------------------------------------------------------------------------------ */

enum source_number { RECEIVED, ACKNOWLEDGED, UNTOLD, FORGOTTEN, PENDING, PENDING_BYTES, PAUSED, PAUSES, LAG };

static const struct family {
	const char *name, *help;
	enum sl_metric_kind kind;
	enum source_number number;
} families[] = {
    {"sluice_source_received_total", "Messages taken from the server.", SL_METRIC_COUNTER, RECEIVED},
    {"sluice_source_acknowledged_total",
     "Messages whose rows are all durable or decided, which the server knows: received = acknowledged + unacknowledged "
     "+ "
     "forgotten + pending.",
     SL_METRIC_COUNTER, ACKNOWLEDGED},
    {"sluice_source_unacknowledged",
     "Messages whose rows are all durable or decided, which the server has not confirmed.", SL_METRIC_GAUGE, UNTOLD},
    {"sluice_source_forgotten_total",
     "Messages that got through when their partition or connection had gone: they are received again.",
     SL_METRIC_COUNTER, FORGOTTEN},
    {"sluice_source_pending", "Messages under way.", SL_METRIC_GAUGE, PENDING},
    {"sluice_source_pending_bytes", "And their bytes.", SL_METRIC_GAUGE, PENDING_BYTES},
    {"sluice_source_paused", "1 while too much is under way to take more.", SL_METRIC_GAUGE, PAUSED},
    {"sluice_source_pauses_total", "How often that was so.", SL_METRIC_COUNTER, PAUSES},
    {"sluice_source_lag", "Messages on the server behind what was taken, where that is known.", SL_METRIC_GAUGE, LAG},
};

static uint64_t number_of(const struct source_copy *c, enum source_number number) {
	switch (number) {
	case RECEIVED: return c->received;
	case ACKNOWLEDGED: return c->acknowledged;
	case UNTOLD: return c->untold;
	case FORGOTTEN: return c->forgotten;
	case PENDING: return c->pending;
	case PENDING_BYTES: return c->pending_bytes;
	case PAUSED: return c->paused;
	case PAUSES: return c->pauses;
	case LAG: return (uint64_t)c->lag;
	}
	return 0;
}

void connectors_sources_prometheus(const struct connectors_snapshot *s, struct sl_buf *out) {
	if (s->sources.n == 0) return;
	for (size_t f = 0; f < SL_ARRAY_LEN(families); f++) {
		sl_prom_family(out, families[f].name, families[f].kind, families[f].help);
		for (size_t i = 0; i < s->sources.n; i++) {
			const struct source_copy *c = &s->sources.at[i];
			struct sl_prom_label l[] = {{"source", slice_from_str(c->s->name)},
						    {"connector", slice_from_str(c->s->conn->name)}};
			if (c->retired || (families[f].number == LAG && c->lag < 0)) continue;
			sl_prom_value(out, families[f].name, l, SL_ARRAY_LEN(l), number_of(c, families[f].number));
		}
	}
	sl_prom_family(out, "sluice_source_state", SL_METRIC_GAUGE, "1 for the state a source is in.");
	for (size_t i = 0; i < s->sources.n; i++) {
		const struct source_copy *c = &s->sources.at[i];
		for (int state = SL_SOURCE_STOPPED; state <= SL_SOURCE_DOWN && !c->retired; state++) {
			struct sl_prom_label l[] = {
			    {"source", slice_from_str(c->s->name)},
			    {"connector", slice_from_str(c->s->conn->name)},
			    {"state", slice_from_str(source_state_name((enum sl_source_state)state))}};
			sl_prom_value(out, "sluice_source_state", l, SL_ARRAY_LEN(l), (int)c->state == state);
		}
	}
}
