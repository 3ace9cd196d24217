/* rule_conf.c: see rule_conf.h. */
#include "rule_conf.h"

#include <stdlib.h>

#include "hash.h"
#include "log.h"
#include "mem.h"
#include "rule_conf_int.h"
#include "schema.h"
#include "source_from.h"
#include "utf8.h"

struct rule_options {
	char *description, *sql, *shadow, *sql_version, *lua;
	int dialect, int_division;
	bool enabled;
	struct conf_list tags;
	json_t *actions;
};

static const char *const division_names[] = {"int", "decimal", NULL};
static const char *const dialect_names[] = {[SQL_STANDARD] = "standard", [SQL_AWS] = "aws", NULL};

static int check_tag(const struct conf_field *field, struct sl_slice text, struct sl_err *err) {
	(void)field;
	if (text.n > 0 && text.n <= RULE_TAG_BYTES_MAX && utf8_valid(text)) return SL_OK;
	return sl_err_set(err, SL_ELIMIT, "a tag has 1 to %d bytes of UTF-8", RULE_TAG_BYTES_MAX);
}

const struct conf_field rule_fields[] = {
    {.name = "description",
     .type = CONF_STRING,
     .at = offsetof(struct rule_options, description),
     .max = 4096,
     .doc = "What the rule is for, in a sentence.",
     .example = "rooms above 28 degrees"},
    {.name = "sql",
     .type = CONF_STRING,
     .flags = CONF_REQUIRED | CONF_NONEMPTY,
     .at = offsetof(struct rule_options, sql),
     .max = RULE_TEXT_BYTES_MAX,
     .doc = "The rule: SELECT or FOREACH, FROM topic filters, WHERE. Compiled when the file is loaded.",
     .example = "SELECT clientid, payload.t AS t FROM \"room/+/telemetry\" WHERE payload.t > 28"},
    {.name = "dialect",
     .type = CONF_ENUM,
     .at = offsetof(struct rule_options, dialect),
     .def = "standard",
     .names = dialect_names,
     .doc = "The language the SQL is written in (sql/language.md, sql/aws.md)."},
    {.name = "sql_version",
     .type = CONF_STRING,
     .flags = CONF_ADVANCED,
     .at = offsetof(struct rule_options, sql_version),
     .max = 16,
     .doc = "Of the aws dialect: 2016-03-23 (when left out), 2015-10-08 (whole decimals keep their .0; what it did not "
	    "have works and is told in the log) or beta (the same as 2016-03-23).",
     .example = "2016-03-23"},
    {.name = "int_division",
     .type = CONF_ENUM,
     .flags = CONF_ADVANCED,
     .at = offsetof(struct rule_options, int_division),
     .def = "int",
     .names = division_names,
     .doc = "Of the aws dialect: what 5 / 2 is, 2 (`int`) or 2.5 (`decimal`)."},
    {.name = "enabled",
     .type = CONF_BOOL,
     .at = offsetof(struct rule_options, enabled),
     .def = "true",
     .doc = "A rule that is not enabled is checked and then left aside."},
    {.name = "tags",
     .type = CONF_STRING_LIST,
     .at = offsetof(struct rule_options, tags),
     .max = RULE_TAGS_MAX,
     .validate = check_tag,
     .doc = "Words to find the rule by: on the status page, and with --tag of `sluice plan` and `sluice test`.",
     .example = "[heating, site-7]"},
    {.name = "shadow",
     .type = CONF_STRING,
     .flags = CONF_NONEMPTY | CONF_ADVANCED,
     .at = offsetof(struct rule_options, shadow),
     .max = RULE_TEXT_BYTES_MAX,
     .doc =
	 "A changed version of `sql` that runs beside it on the same messages. Its rows go nowhere; they are compared "
	 "with the rule's (rules/lifecycle.md).",
     .example = "SELECT clientid AS device, payload.t AS t FROM \"room/+/telemetry\" WHERE payload.t > 30"},
    {.name = "actions",
     .type = CONF_TREE,
     .flags = CONF_NULL_OK,
     .at = offsetof(struct rule_options, actions),
     .doc = "What becomes of each row, in order: a list of {connector: NAME, ...}, {republish: {...}}, {console: {}}.",
     .example = "[{console: {}}]"},
    {.name = "lua",
     .type = CONF_STRING,
     .flags = CONF_ADVANCED,
     .at = offsetof(struct rule_options, lua),
     .doc = "A script that changes rows. Not in this build yet: a rule that has one is refused."},
    CONF_END};

void rule_load_failed(struct rule_load *load, int status) {
	if (load->status == SL_OK) load->status = status;
}

/* Any text that a log line and a label can show. */
static int check_id(struct rule_load *load, struct conf_at at) {
	struct sl_slice id = slice_from_str(load->id);
	if (id.n == 0 || id.n > RULE_ID_BYTES_MAX)
		return conf_report_add(load->report, at, CONF_AT_KEY, SL_ELIMIT,
				       "the id of a rule must have 1 to %d bytes; this has %zu", RULE_ID_BYTES_MAX,
				       id.n);
	for (size_t i = 0; i < id.n; i++) {
		if ((uint8_t)id.p[i] < 0x20 || id.p[i] == 0x7f)
			return conf_report_add(load->report, at, CONF_AT_KEY, SL_EINVAL,
					       "the id of a rule must not hold control characters");
	}
	if (!utf8_valid(id))
		return conf_report_add(load->report, at, CONF_AT_KEY, SL_EINVAL, "the id of a rule must be UTF-8");
	return SL_OK;
}

/* Options of the aws dialect mean nothing elsewhere. */
static void check_language(struct rule_load *load, const struct rule_options *options, const char *path) {
	const char *wrong = options->sql_version ? "sql_version" : options->int_division ? "int_division" : NULL;
	if (!wrong || options->dialect == SQL_AWS) return;
	char *option_path = yaml_path_key(path, wrong);
	rule_load_failed(load, conf_report_add(load->report, (struct conf_at){load->doc, option_path}, CONF_AT_KEY,
					       SL_EINVAL, "is an option of rules with `dialect: aws`"));
	sl_free(option_path);
}

/* Compiles one text of the rule; NULL after telling what is wrong with it. */
static struct rule *compile(struct rule_load *load, const struct rule_options *options, const char *path,
			    const char *option, const char *sql) {
	struct sl_err err = SL_ERR_INIT;
	struct sl_buf warnings = SL_BUF_INIT;
	struct rule *made = NULL;
	char *sql_path = yaml_path_key(path, option);
	struct rule_language language = {.dialect = (enum sql_dialect)options->dialect,
					 .sql_version = options->sql_version,
					 .decimal_division = options->int_division == 1,
					 .warnings = &warnings};
	int rc = rule_new(slice_from_str(load->id), slice_from_str(sql), &language, &made, &err);
	if (rc != SL_OK) {
		struct conf_at at = {load->doc, sql_path};
		rule_load_failed(load, conf_report_text(load->report, at, &err));
	}
	if (warnings.n)
		log_always(LOG_WARN, LOG_RULE, "worth knowing about a rule", "rule=%s option=%s note=%s", load->id,
			   option, sl_buf_cstr(&warnings));
	sl_buf_fini(&warnings);
	sl_err_fini(&err);
	sl_free(sql_path);
	return made;
}

static void load_sql(struct rule_load *load, const struct rule_options *options, const char *path) {
	if (!options->sql) return;
	check_language(load, options, path);
	load->rule = compile(load, options, path, "sql", options->sql);
	load->program = load->rule ? load->rule->program : NULL;
}

static void load_actions(struct rule_load *load, const json_t *actions, const char *path) {
	char *list_path = yaml_path_key(path, "actions");
	struct conf_at at = {load->doc, list_path};
	size_t count = json_array_size(actions);
	if (actions && !json_is_array(actions) && !json_is_null(actions)) {
		rule_load_failed(load, conf_report_add(load->report, at, CONF_AT_VALUE, SL_ETYPE,
						       "must be a list of actions, each behind a dash"));
	} else if (count > RULE_ACTIONS_MAX) {
		rule_load_failed(load, conf_report_add(load->report, at, CONF_AT_VALUE, SL_ELIMIT,
						       "a rule has at most %d actions; this has %zu", RULE_ACTIONS_MAX,
						       count));
	} else {
		struct rule_action *made = SL_NEW_ARRAY(struct rule_action, count + 1);
		for (size_t i = 0; i < count; i++) {
			char *item_path = yaml_path_index(list_path, i);
			made[i].index = (uint32_t)i;
			made[i].hash = rule_conf_hash(json_array_get(actions, i));
			rule_conf_action(load, json_array_get(actions, i), item_path, &made[i]);
			sl_free(item_path);
		}
		if (load->rule) {
			load->rule->actions = made;
			load->rule->action_count = count;
		} else {
			for (size_t i = 0; i < count; i++) rule_action_fini(&made[i]);
			sl_free(made);
		}
	}
	sl_free(list_path);
}

/* The plan of a topic counts on every path to be one that the extractor takes. */
static void check_paths(struct rule_load *load, const struct rule *r, const char *path) {
	size_t count;
	struct jpath_set *paths = NULL;
	const struct jpath *all = sql_program_paths(r->program, &count);
	int rc = jpath_set_new(all, count, &paths);
	jpath_set_free(paths);
	if (rc == SL_OK) return;
	rule_load_failed(load, conf_report_add(load->report, (struct conf_at){load->doc, path}, CONF_AT_KEY, rc,
					       "a path into the payload is too deep or has too long a name"));
}

/* A rule on a source that nobody configured would wait for ever. */
static void check_sources(struct rule_load *load, const struct rule *r, const char *path, const char *option) {
	size_t count;
	const struct sl_slice *from = sql_program_from(r->program, &count);
	for (size_t i = 0; i < count && load->connectors; i++) {
		struct sl_err err = SL_ERR_INIT;
		if (source_from(from[i]) && source_from_exists(from[i], load->connectors, &err) != SL_OK) {
			char *sql_path = yaml_path_key(path, option);
			rule_load_failed(load, conf_report_add(load->report, (struct conf_at){load->doc, sql_path},
							       CONF_AT_VALUE, err.status, "%s", sl_err_text(&err)));
			sl_free(sql_path);
		}
		sl_err_fini(&err);
	}
}

/* Rows of windows come at another time than messages: there is nothing to compare them with. */
static void load_shadow(struct rule_load *load, const struct rule_options *options, const char *path,
			const struct ruleset *set) {
	if (!options->shadow || !load->rule) return;
	struct rule *shadow = compile(load, options, path, "shadow", options->shadow);
	if (!shadow) return;
	char *shadow_path = yaml_path_key(path, "shadow");
	struct conf_at at = {load->doc, shadow_path};
	size_t shadows = 0;
	for (size_t i = 0; i < set->len; i++) shadows += set->rules[i]->is_shadow;
	if (sql_program_window(shadow->program) || sql_program_window(load->rule->program))
		rule_load_failed(load, conf_report_add(load->report, at, CONF_AT_KEY, SL_EUNSUPPORTED,
						       "rules with GROUP BY are not compared message by message; see "
						       "what the change does with `sluice test`"));
	else if (shadows >= RULE_SHADOWS_MAX)
		rule_load_failed(load, conf_report_add(load->report, at, CONF_AT_KEY, SL_ELIMIT,
						       "at most %d rules have a shadow at a time", RULE_SHADOWS_MAX));
	check_paths(load, shadow, shadow_path);
	check_sources(load, shadow, path, "shadow");
	shadow->is_shadow = true;
	shadow->description = sl_strdup("");
	load->rule->shadow_rule = shadow;
	sl_free(shadow_path);
}

static void take_tags(struct rule *r, const struct conf_list *tags) {
	r->tags = SL_NEW_ARRAY(char *, tags->len + 1);
	for (size_t i = 0; i < tags->len; i++) r->tags[r->tag_count++] = sl_strdup(tags->items[i]);
}

uint64_t rule_conf_hash(const json_t *tree) {
	char *text = json_dumps(tree, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
	uint64_t hash = text ? sl_hash_stable(slice_from_str(text)) : 0;
	free(text);
	return hash;
}

static int load_rule(const char *id, const json_t *tree, struct conf_at at, struct connectors_set *connectors,
		     struct conf_report *report, struct ruleset *set) {
	struct rule_options options = {0};
	struct rule_load load = {.id = id, .connectors = connectors, .report = report, .doc = at.doc};
	rule_load_failed(&load, check_id(&load, at));
	rule_load_failed(&load, conf_apply(rule_fields, tree, at, &options, report));
	if (options.lua) {
		char *lua_path = yaml_path_key(at.path, "lua");
		rule_load_failed(
		    &load, conf_report_add(report, (struct conf_at){at.doc, lua_path}, CONF_AT_KEY, SL_EUNSUPPORTED,
					   "scripts are not in this build yet; say it in sql, or remove it"));
		sl_free(lua_path);
	}
	load_sql(&load, &options, at.path);
	load_actions(&load, options.actions, at.path);
	if (load.rule) {
		check_paths(&load, load.rule, at.path);
		check_sources(&load, load.rule, at.path, "sql");
		load_shadow(&load, &options, at.path, set);
		load.rule->enabled = options.enabled;
		load.rule->description = sl_strdup(options.description ? options.description : "");
		load.rule->hash = rule_conf_hash(tree);
		take_tags(load.rule, &options.tags);
		ruleset_add(set, load.rule);
		if (load.rule->shadow_rule) {
			load.rule->shadow_rule->enabled = options.enabled;
			ruleset_add(set, load.rule->shadow_rule);
		}
	}
	conf_fini(rule_fields, &options);
	return load.status;
}

int rule_conf_load(const json_t *tree, struct conf_at at, struct connectors_set *connectors, struct conf_report *report,
		   struct ruleset *set) {
	int status = SL_OK;
	const char *id;
	json_t *item;
	if (!tree || json_is_null(tree)) return SL_OK;
	if (!json_is_object(tree))
		return conf_report_add(
		    report, at, CONF_AT_VALUE, SL_ETYPE,
		    "must be a map of rules, each under its id, for example `hot_rooms: {sql: ...}`");
	if (json_object_size(tree) > RULESET_RULES_MAX)
		return conf_report_add(report, at, CONF_AT_VALUE, SL_ELIMIT,
				       "at most %d rules are taken; there are %zu", RULESET_RULES_MAX,
				       json_object_size(tree));
	/* jansson walks an object in the order of the file, which is the order in which rules run. */
	json_object_foreach((json_t *)(uintptr_t)tree, id, item) {
		char *path = yaml_path_key(at.path, id);
		int rc = load_rule(id, item, (struct conf_at){at.doc, path}, connectors, report, set);
		if (status == SL_OK) status = rc;
		sl_free(path);
	}
	return status;
}
