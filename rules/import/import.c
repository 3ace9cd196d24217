/* import.c: rules and actions as they come in, each checked by the code that `sluice check` uses; see import.h. */
#include "import.h"

#include "mem.h"
#include "rule_book.h"
#include "rule_conf.h"
#include "schema.h"
#include "sources.h"
#include "utf8.h"

enum { DESCRIPTION_BYTES_MAX = 4096 };

void import_init(struct import *imp, const char *source) {
	*imp = (struct import){.source = source};
	sl_arena_init(&imp->arena, 64 * SL_KB);
	imp->connectors = json_object();
	imp->sources = json_object();
	imp->secrets = json_object();
	imp->ids = json_object();
}

void import_fini(struct import *imp) {
	for (size_t i = 0; i < imp->rule_count; i++) {
		struct import_rule *r = imp->rules[i];
		for (size_t j = 0; j < r->action_count; j++) {
			json_decref(r->actions[j].ours);
			json_decref(r->actions[j].original);
			json_decref(r->actions[j].later);
		}
		sl_free(r->actions);
		sl_free(r->notes);
		rule_free(r->compiled);
	}
	sl_free(imp->rules);
	sl_free(imp->file_notes.notes);
	json_decref(imp->connectors);
	json_decref(imp->sources);
	json_decref(imp->secrets);
	json_decref(imp->ids);
	sl_arena_fini(&imp->arena);
}

const char *import_text(struct import *imp, const char *text) {
	return text ? sl_arena_strdup(&imp->arena, slice_from_str(text)) : NULL;
}

const char *import_printf(struct import *imp, const char *fmt, ...) {
	va_list ap;
	va_start(ap, fmt);
	char *text = sl_vasprintf(fmt, ap);
	va_end(ap);
	const char *kept = import_text(imp, text);
	sl_free(text);
	return kept;
}

/* ---- notes -------------------------------------------------------------------------------------------------------- */

/* Messages quote what they complain of, and may cut it within a character. */
static const char *well_formed(struct import *imp, const char *text) {
	char *copy = sl_arena_strdup(&imp->arena, slice_from_str(text));
	for (struct sl_slice rest = slice_from_str(copy); rest.n;) {
		size_t valid = utf8_valid_prefix(rest);
		if (valid < rest.n) copy[strlen(copy) - rest.n + valid] = '?';
		rest = slice_from(rest, valid + 1);
	}
	return copy;
}

static struct import_note *note_add(struct import *imp, struct import_rule *rule, enum import_status status,
				    const char *what, const char *text) {
	if (!rule) rule = &imp->file_notes;
	SL_GROW(rule->notes, rule->note_count, rule->note_cap);
	struct import_note *n = &rule->notes[rule->note_count++];
	*n = (struct import_note){.status = status, .what = import_text(imp, what), .text = well_formed(imp, text)};
	return n;
}

void import_note(struct import *imp, struct import_rule *rule, enum import_status status, const char *what,
		 const char *fmt, ...) {
	va_list ap;
	va_start(ap, fmt);
	char *text = sl_vasprintf(fmt, ap);
	va_end(ap);
	note_add(imp, rule, status, what, text);
	sl_free(text);
}

static void note_err(struct import *imp, struct import_rule *rule, const char *what, const struct sl_err *err) {
	struct import_note *n = note_add(imp, rule, IMPORT_REFUSED, what, sl_err_text(err));
	n->line = err->line;
	n->column = err->column;
}

enum import_status import_rule_status(const struct import_rule *rule) {
	enum import_status worst = IMPORT_UNCHANGED;
	for (size_t i = 0; i < rule->note_count; i++)
		if (rule->notes[i].status > worst) worst = rule->notes[i].status;
	return worst;
}

/* ---- rules -------------------------------------------------------------------------------------------------------- */

static struct import_rule *rule_keep(struct import *imp, const struct import_rule *from) {
	struct import_rule *r = SL_ARENA_NEW(&imp->arena, struct import_rule);
	SL_GROW(imp->rules, imp->rule_count, imp->rule_cap);
	imp->rules[imp->rule_count++] = r;
	*r = (struct import_rule){.id = import_text(imp, from->id),
				  .sql = import_text(imp, from->sql),
				  .description = import_text(imp, from->description),
				  .sql_version = import_text(imp, from->sql_version),
				  .dialect = from->dialect,
				  .enabled = from->enabled};
	json_t *taken = json_object_get(imp->ids, r->id);
	if (taken) {
		json_int_t n = json_integer_value(taken);
		do r->id = import_printf(imp, "%s_%lld", from->id, (long long)n++);
		while (json_object_get(imp->ids, r->id));
		json_object_set_new(imp->ids, from->id, json_integer(n));
	}
	json_object_set_new(imp->ids, r->id, json_integer(2));
	if (strcmp(r->id, from->id) != 0)
		import_note(imp, r, IMPORT_MAPPING, "name",
			    "there are several rules '%s'; this one is called '%s' here", from->id, r->id);
	if (r->description && strlen(r->description) > DESCRIPTION_BYTES_MAX) {
		import_note(imp, r, IMPORT_MAPPING, "description", "longer than %d bytes, left out",
			    DESCRIPTION_BYTES_MAX);
		r->description = NULL;
	}
	return r;
}

/* The rule with nothing or one thing below `actions:`, as the broker would load it. The first mistake is in err. */
static int check(const struct import *imp, const struct import_rule *rule, json_t *action, struct sl_err *err) {
	const char *connector = json_string_value(json_object_get(action, "connector"));
	json_t *tree =
	    json_pack("{s:s, s:s}", "sql", rule->sql, "dialect", rule->dialect == SQL_AWS ? "aws" : "standard");
	if (rule->description) json_object_set_new(tree, "description", json_string(rule->description));
	if (action) json_object_set_new(tree, "actions", json_pack("[O]", action));
	json_t *rules = json_pack("{s:o}", action ? "rule" : rule->id, tree), *connectors = json_object();
	if (connector) json_object_set(connectors, connector, json_object_get(imp->connectors, connector));
	struct conf_report report = CONF_REPORT_INIT;
	struct rule_book book = RULE_BOOK_INIT;
	int rc = rule_book_fill(&book, NULL, connectors, rules, &report);
	if (report.len) {
		static const char prefix[] = "rules.rule.actions[0].";
		struct sl_slice text = slice_from_str(sl_err_text(&report.errs[0]));
		if (slice_starts_with(text, SL_SLICE_LIT(prefix))) text = slice_from(text, sizeof prefix - 1);
		rc = sl_err_set(err, rc, "%.*s", SL_SLICE_ARG(text));
		sl_err_at(err, NULL, report.errs[0].line, report.errs[0].column);
	}
	rule_book_fini(&book);
	conf_report_fini(&report);
	json_decref(rules);
	json_decref(connectors);
	return rc;
}

/* What an older version of the language would not have had: "line:column: text", a line each. */
static void note_warnings(struct import *imp, struct import_rule *rule, struct sl_slice warnings) {
	while (warnings.n) {
		struct sl_slice rest = slice_next_part(&warnings, '\n');
		int64_t line = 0, column = 0;
		if (rest.n == 0) continue;
		slice_to_i64(slice_next_part(&rest, ':'), &line);
		slice_to_i64(slice_next_part(&rest, ':'), &column);
		char *text = slice_dup(slice_trim(rest));
		struct import_note *n = note_add(imp, rule, IMPORT_UNCHANGED, "sql", text);
		n->line = (uint32_t)line;
		n->column = (uint32_t)column;
		sl_free(text);
	}
}

struct import_rule *import_rule_add(struct import *imp, const struct import_rule *from) {
	struct import_rule *r = rule_keep(imp, from);
	struct sl_err err = SL_ERR_INIT;
	struct sl_buf warnings = SL_BUF_INIT;
	struct rule_language language = {.dialect = r->dialect, .sql_version = r->sql_version, .warnings = &warnings};
	int rc = rule_new(slice_from_str(r->id), slice_from_str(r->sql), &language, &r->compiled, &err);
	if (rc != SL_OK) {
		note_err(imp, r, "sql", &err);
	} else if (check(imp, r, NULL, &err) != SL_OK) { /* what is not the SQL: the id, the description */
		note_err(imp, r, "rule", &err);
		rule_free(r->compiled);
		r->compiled = NULL;
	}
	if (r->compiled) note_warnings(imp, r, sl_buf_slice(&warnings));
	sl_buf_fini(&warnings);
	sl_err_fini(&err);
	return r;
}

struct import_rule *import_rule_refuse(struct import *imp, const char *id, const char *sql, const char *why) {
	struct import_rule from = {.id = id, .sql = sql ? sql : "", .enabled = true};
	struct import_rule *r = rule_keep(imp, &from);
	import_note(imp, r, IMPORT_REFUSED, "sql", "%s", why);
	return r;
}

/* The rule alone among all connectors and sources. */
static int check_sources(const struct import *imp, const struct import_rule *rule, struct sl_err *err) {
	struct conf_report report = CONF_REPORT_INIT;
	struct connectors_set *set = NULL;
	struct ruleset *rules = ruleset_new();
	json_t *tree = json_pack("{s:{s:s, s:s}}", rule->id, "sql", rule->sql, "dialect",
				 rule->dialect == SQL_AWS ? "aws" : "standard");
	conf_expand_stand_in("0");
	(void)connectors_prepare(NULL, imp->connectors, (struct conf_at){NULL, "connectors"}, &report, &set);
	(void)connectors_prepare_sources(set, imp->sources, (struct conf_at){NULL, "sources"}, &report);
	conf_report_fini(&report); /* each has been checked before */
	report = (struct conf_report)CONF_REPORT_INIT;
	int rc = rule_conf_load(tree, (struct conf_at){NULL, "rules"}, set, &report, rules);
	conf_expand_stand_in(NULL);
	if (rc != SL_OK) {
		const char *text = report.len ? sl_err_text(&report.errs[0]) : "it does not pass the check";
		const char *said = strstr(text, "FROM names");
		sl_err_set(err, rc, "%s", said ? said : text);
	}
	ruleset_unref(rules);
	connectors_set_free(set);
	conf_report_fini(&report);
	json_decref(tree);
	return rc;
}

void import_sources_check(struct import *imp) {
	for (size_t i = 0; i < imp->rule_count; i++) {
		struct import_rule *r = imp->rules[i];
		struct sl_err err = SL_ERR_INIT;
		if (!r->compiled || !strstr(r->sql, "$sources")) continue;
		if (check_sources(imp, r, &err) != SL_OK) {
			note_err(imp, r, "sql", &err);
			rule_free(r->compiled);
			r->compiled = NULL;
		}
		sl_err_fini(&err);
	}
}

bool import_rule_gives(const struct import_rule *rule, struct sl_slice name) {
	size_t count;
	bool fixed;
	if (!rule->compiled) return false;
	const struct sl_slice *columns = sql_program_columns(rule->compiled->program, &count, &fixed);
	for (size_t i = 0; i < count; i++)
		if (slice_equal(columns[i], name)) return true;
	return !fixed;
}

/* ---- actions ------------------------------------------------------------------------------------------------------ */

void import_action_add(struct import *imp, struct import_rule *rule, const struct import_action *from) {
	SL_GROW(rule->actions, rule->action_count, rule->action_cap);
	struct import_action *a = &rule->actions[rule->action_count++];
	*a = *from;
	a->name = import_text(imp, from->name);
	a->advice = import_text(imp, from->advice);
	const char *what = import_printf(imp, "action %s", a->name);
	if (!rule->compiled) return;
	if (!a->ours) {
		note_add(imp, rule, IMPORT_MAPPING, what, a->advice)->at_action = true;
		return;
	}
	struct sl_err err = SL_ERR_INIT;
	if (rule->action_count > RULE_ACTIONS_MAX)
		sl_err_set(&err, SL_ELIMIT, "a rule has at most %d actions", RULE_ACTIONS_MAX);
	if (err.status != SL_OK || check(imp, rule, a->ours, &err) != SL_OK) {
		note_err(imp, rule, what, &err);
		a->advice = rule->notes[rule->note_count - 1].text;
		a->later = a->ours; /* shown as what it would be */
		a->ours = NULL;
	}
	sl_err_fini(&err);
}

static bool is_secret(const char *key) {
	static const char *const words[] = {"password",      "secret",     "token",  "private_key", "passphrase",
					    "authorization", "access_key", "apikey", "api_key"};
	for (size_t i = 0; i < SL_ARRAY_LEN(words); i++)
		if (strcasestr(key, words[i])) return true;
	return false;
}

/* A URL may hold a password. */
static json_t *masked_text(const char *text) {
	static const struct conf_field url = {.name = "url", .type = CONF_STRING, .flags = CONF_SECRET_URL};
	if (!strstr(text, "://") || strpbrk(text, " \n")) return json_string(text);
	struct sl_buf out = SL_BUF_INIT;
	conf_mask(&url, text, &out);
	json_t *made = json_stringn(out.n ? out.p : "", out.n);
	sl_buf_fini(&out);
	return made;
}

json_t *import_masked(const json_t *tree) {
	json_t *copy, *value;
	const char *key;
	size_t i;
	if (json_is_object(tree)) {
		copy = json_object();
		json_object_foreach((json_t *)(uintptr_t)tree, key, value) {
			bool hide = is_secret(key) && json_is_string(value) && json_string_length(value);
			json_object_set_new(copy, key, hide ? json_string("***") : import_masked(value));
		}
		return copy;
	}
	if (json_is_string(tree)) return masked_text(json_string_value(tree));
	if (!json_is_array(tree)) return json_incref((json_t *)(uintptr_t)tree);
	copy = json_array();
	json_array_foreach(tree, i, value) json_array_append_new(copy, import_masked(value));
	return copy;
}
