/* emqx_sources.c: see emqx_sources.h. */
#include "emqx_sources.h"

#include "conf_report.h"
#include "connectors.h"
#include "emqx_targets.h"
#include "mem.h"
#include "schema.h"
#include "sources.h"

enum { MINUTES = 60 * 1000 };

#define KAFKA_OPTIONS(P)                                                                                               \
	{P "topic", NULL, NULL}, {P "group_id", NULL, NULL}, {P "max_wait_time", NULL, NULL},                          \
	    {P "max_batch_bytes", NULL, NULL}, {P "offset_reset_policy", NULL, NULL},                                  \
	    {P "offset_commit_interval_seconds", NULL, NULL},                                                          \
	    {P "max_rejoin_attempts", "5", "a source joins its group for as long as it takes"}, {                      \
		P "topic_mapping", NULL, NULL                                                                          \
	}

static const struct emqx_option kafka_options[] = {
    KAFKA_OPTIONS(""),
    KAFKA_OPTIONS("kafka."),
    {"key_encoding_mode", "none", "`key` is the bytes as they came; base64_encode(key) gives what EMQX gave"},
    {"value_encoding_mode", "none", "`value` is the bytes as they came; base64_encode(value) gives what EMQX gave"},
    {NULL, NULL, NULL}};

/* The first rule whose SQL names it; NULL: none. */
static struct import_rule *reader(struct import *imp, const char *name) {
	const char *quoted = import_printf(imp, "kafka_consumer:%s\"", name);
	const char *ours = import_printf(imp, "kafka:%s\"", name);
	for (size_t i = 0; i < imp->rule_count; i++)
		if (strstr(imp->rules[i]->sql, quoted) || strstr(imp->rules[i]->sql, ours)) return imp->rules[i];
	return NULL;
}

/* Files before 5.4 published what came; a rule does this. */
static void topics(struct import_map *m, const json_t *tree, const json_t *p, json_t *into) {
	json_t *list = json_array();
	const char *topic = emqx_text(m->imp, p, "topic");
	const json_t *mapping = emqx_get(tree, "topic_mapping");
	if (topic) json_array_append_new(list, json_string(topic));
	for (size_t i = 0; i < json_array_size(mapping) && !topic; i++) {
		const char *from = emqx_text(m->imp, json_array_get(mapping, i), "kafka_topic");
		const char *to = emqx_text(m->imp, json_array_get(mapping, i), "mqtt_topic");
		if (from) json_array_append_new(list, json_string(from));
		if (from && to && *to)
			import_map_note(
			    m, IMPORT_MAPPING,
			    "topic_mapping: what comes from '%s' was published to '%s': a rule on the source with "
			    "a `republish` does this here",
			    from, to);
	}
	json_object_set_new(into, "topics", list);
}

static json_t *kafka_source(struct import_map *m, const char *name, const json_t *tree) {
	const json_t *below = emqx_get(tree, "kafka"), *p = below ? below : tree;
	const char *group = emqx_text(m->imp, p, "group_id");
	bool earliest = emqx_is(m->imp, p, "offset_reset_policy", "earliest");
	json_t *o = json_pack("{s:s}", "connector", "");
	topics(m, tree, p, o);
	import_set_plain(m, o, "group", group ? group : import_printf(m->imp, "emqx-kafka-consumer-%s", name));
	import_set(o, "start", earliest ? "earliest" : "latest");
	emqx_put_duration(m, p, "offset_commit_interval_seconds", "5s|5000", o, "commit_interval", 100, 10 * MINUTES);
	emqx_put_ms(m, p, "max_wait_time", "1s|1000", o, "fetch.wait.max.ms");
	emqx_put_bytes(m, p, "max_batch_bytes", "896KB", o, "fetch.message.max.bytes");
	emqx_options_note(m, tree, kafka_options, NULL);
	return o;
}

/* As the broker would load it. What is wrong goes to the note. */
static bool passes(struct import_map *m, const char *name, json_t *source) {
	const char *connector = json_string_value(json_object_get(source, "connector"));
	json_t *one = json_pack("{s:O}", connector, json_object_get(m->imp->connectors, connector));
	json_t *sources = json_pack("{s:O}", name, source);
	struct conf_report report = CONF_REPORT_INIT;
	struct connectors_set *set = NULL;
	conf_expand_stand_in("0");
	int rc = connectors_prepare(NULL, one, (struct conf_at){NULL, "connectors"}, &report, &set);
	if (rc == SL_OK) rc = connectors_prepare_sources(set, sources, (struct conf_at){NULL, "sources"}, &report);
	conf_expand_stand_in(NULL);
	if (rc != SL_OK)
		import_map_note(m, IMPORT_REFUSED, "the source is left out: %s",
				report.len ? sl_err_text(&report.errs[0]) : "it does not pass the check");
	connectors_set_free(set);
	conf_report_fini(&report);
	json_decref(one);
	json_decref(sources);
	return rc == SL_OK;
}

static void add(struct emqx *e, const char *type, const char *name, json_t *tree) {
	const char *text = import_printf(e->imp, "%s:%s", type, name);
	const char *named = json_string_value(json_object_get(tree, "connector"));
	struct emqx_reference ref = {
	    .text = text, .type = type, .name = name, .action = tree, .connector_name = named ? named : name};
	struct import_map m = {
	    .imp = e->imp, .rule = reader(e->imp, name), .what = import_printf(e->imp, "source %s", text)};
	ref.connector = named ? emqx_settings(e, "connectors", type, named) : tree;
	const struct emqx_target *target = emqx_target_find(type);
	if (strcmp(type, "kafka_consumer") != 0) {
		m.rule = NULL;
		import_map_note(&m, IMPORT_MAPPING, "left out: sources come from Kafka and Redis here");
	} else if (json_is_false(json_object_get(tree, "enable"))) {
		import_map_note(&m, IMPORT_MAPPING, "left out: it is switched off there");
	} else if (!ref.connector) {
		import_map_note(&m, IMPORT_MAPPING,
				"left out: its connector '%s' is in none of these files; import them together",
				ref.connector_name);
	} else {
		struct import_map c = {.imp = e->imp,
				       .rule = m.rule,
				       .what = import_printf(e->imp, "connector %s:%s", type, ref.connector_name)};
		json_t *source = kafka_source(&m, name, tree), *connector = target->connector(&c, &ref);
		if (named) emqx_options_note(&c, ref.connector, target->connector_options, NULL);
		json_object_set_new(source, "connector",
				    json_string(import_connector_put(e->imp, ref.connector_name, connector)));
		if (passes(&m, name, source)) json_object_set(e->imp->sources, name, source);
		json_decref(source);
	}
}

const char *emqx_sources_renamed(const struct emqx *e, const char *sql) {
	static const char before[] = "$bridges/kafka_consumer:", now[] = "$sources/kafka_consumer:";
	char *made = NULL;
	_Static_assert(sizeof before == sizeof now, "places in the SQL stay");
	for (const char *at = sql; (at = strstr(at, before)); at += sizeof before - 1) {
		const char *name = at + sizeof before - 1;
		size_t n = strcspn(name, "\"'");
		char *copy = sl_memdup0(name, n);
		bool there = emqx_settings(e, "sources", "kafka_consumer", copy) ||
			     emqx_settings(e, "bridges", "kafka_consumer", copy);
		sl_free(copy);
		if (!there) continue;
		if (!made) made = (char *)(uintptr_t)import_text(e->imp, sql);
		memcpy(made + (at - sql), now, sizeof now - 1);
	}
	return made ? made : sql;
}

void emqx_sources_add(struct emqx *e) {
	const char *type, *name;
	json_t *names, *tree;
	for (size_t i = 0; i < e->root_count; i++) {
		json_object_foreach(json_object_get(e->roots[i], "sources"), type, names)
		    json_object_foreach(names, name, tree) if (json_is_object(tree)) add(e, type, name, tree);
		names = json_object_get(json_object_get(e->roots[i], "bridges"), "kafka_consumer");
		json_object_foreach(names, name, tree) if (json_is_object(tree)) add(e, "kafka_consumer", name, tree);
	}
}
