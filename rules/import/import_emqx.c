/* import_emqx.c: rules of EMQX: its configuration files, and what its HTTP API gives for rules, actions and connectors. */
#include "emqx_actions.h"
#include "emqx_sources.h"
#include "hocon.h"
#include "mem.h"

/* ---- what an API call gives, as the configuration would say it ------------------------------------------------------ */

/* An item of GET /actions or GET /connectors goes below its type and name. */
static void put_setting(json_t *root, json_t *item) {
	const char *type = json_string_value(json_object_get(item, "type"));
	const char *name = json_string_value(json_object_get(item, "name"));
	bool used = json_object_get(item, "connector") != NULL; /* a connector has none */
	bool source = used && type && (strcmp(type, "kafka_consumer") == 0);
	const char *section = source ? "sources" : used ? "actions" : "connectors";
	if (!type || !name) return;
	json_t *sections = json_object_get(root, section);
	if (!sections) json_object_set_new(root, section, sections = json_object());
	json_t *types = json_object_get(sections, type);
	if (!types) json_object_set_new(sections, type, types = json_object());
	json_object_set(types, name, item);
}

static void put_items(json_t *root, json_t *list);

/* A rule, an action or a connector; or a page of them. */
static void put_item(json_t *root, json_t *item) {
	json_t *data = json_object_get(item, "data");
	if (json_is_array(data)) {
		put_items(root, data);
	} else if (json_object_get(item, "sql") && json_object_get(item, "id")) {
		json_t *engine = json_object_get(root, "rule_engine");
		if (!engine) json_object_set_new(root, "rule_engine", engine = json_pack("{s:{}}", "rules"));
		const char *id = json_string_value(json_object_get(item, "id"));
		json_object_set(json_object_get(engine, "rules"), id ? id : "rule", item);
	} else {
		put_setting(root, item);
	}
}

static void put_items(json_t *root, json_t *list) {
	size_t i;
	json_t *item;
	json_array_foreach(list, i, item) if (json_is_object(item)) put_item(root, item);
}

/* The file's tree in the shape of a configuration. Takes the reference over. */
static json_t *as_configuration(json_t *tree) {
	static const char *const sections[] = {"rule_engine", "actions", "connectors", "bridges", "sources"};
	bool rule = json_is_string(json_object_get(tree, "sql")) && json_object_get(tree, "id");
	for (size_t i = 0; i < SL_ARRAY_LEN(sections) && !rule; i++)
		if (json_is_object(json_object_get(tree, sections[i]))) return tree;
	json_t *root = json_object();
	if (json_is_array(tree))
		put_items(root, tree);
	else
		put_item(root, tree);
	json_decref(tree);
	return root;
}

/* ---- rules ---------------------------------------------------------------------------------------------------------- */

static void add_rule(struct emqx *e, const char *id, const json_t *tree) {
	const char *sql = json_string_value(json_object_get(tree, "sql"));
	const char *description = json_string_value(json_object_get(tree, "description"));
	const char *name = json_string_value(json_object_get(tree, "name"));
	const json_t *actions = json_object_get(tree, "actions");
	struct import_rule *r;
	if (!sql || !*sql) {
		r = import_rule_refuse(
		    e->imp, id, NULL,
		    json_object_get(tree, "rawsql")
			? "this is a rule of EMQX 4; let EMQX 5 take it over first, and import what it makes of it"
			: "the rule has no SQL");
	} else {
		struct import_rule from = {.id = id,
					   .sql = emqx_sources_renamed(e, sql),
					   .description = description && *description ? description : name,
					   .enabled = !json_is_false(json_object_get(tree, "enable"))};
		r = import_rule_add(e->imp, &from);
		if (from.sql != sql)
			import_note(e->imp, r, IMPORT_UNCHANGED, "sql",
				    "$bridges/kafka_consumer: is written $sources/kafka_consumer: here");
	}
	for (size_t i = 0; i < json_array_size(actions); i++) emqx_action_add(e, r, json_array_get(actions, i));
}

static void add_rules(struct emqx *e, const json_t *root) {
	const char *id;
	json_t *tree;
	json_object_foreach(json_object_get(json_object_get(root, "rule_engine"), "rules"), id, tree)
	    add_rule(e, id, tree);
}

static void note_lines(struct import *imp, const char *file, struct sl_slice lines) {
	while (lines.n) {
		struct sl_slice line = slice_next_part(&lines, '\n');
		if (line.n) import_note(imp, NULL, IMPORT_MAPPING, file, "%.*s", SL_SLICE_ARG(line));
	}
}

/* ---- files ---------------------------------------------------------------------------------------------------------- */

static int read_files(struct emqx *e, const struct import_file *files, size_t count, struct sl_err *err) {
	for (size_t i = 0; i < count; i++) {
		struct sl_buf notes = SL_BUF_INIT;
		json_t *tree = NULL;
		int rc = hocon_read(files[i].text, files[i].name, &tree, &notes, err);
		note_lines(e->imp, files[i].name, sl_buf_slice(&notes));
		sl_buf_fini(&notes);
		if (rc != SL_OK) return rc;
		e->roots[e->root_count++] = as_configuration(tree);
	}
	return SL_OK;
}

int import_emqx(struct import *imp, const struct import_file *files, size_t count, struct sl_err *err) {
	struct emqx e = {.imp = imp, .roots = SL_NEW_ARRAY(json_t *, count + 1), .told = json_object()};
	int rc = read_files(&e, files, count, err);
	for (size_t i = 0; rc == SL_OK && i < e.root_count; i++) add_rules(&e, e.roots[i]);
	if (rc == SL_OK) emqx_sources_add(&e);
	if (rc == SL_OK) import_sources_check(imp);
	for (size_t i = 0; i < e.root_count; i++) json_decref(e.roots[i]);
	sl_free(e.roots);
	json_decref(e.told);
	if (rc != SL_OK || imp->rule_count) return rc;
	sl_err_at(err, files[count - 1].name, 0, 0);
	return sl_err_set(
	    err, SL_ENOTFOUND,
	    "there is no rule in it; rules stand below `rule_engine.rules` of cluster.hocon or emqx.conf, or are "
	    "what GET /api/v5/rules gives");
}
