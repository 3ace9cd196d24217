/* import_yaml.c: the configuration that an import gives: see import.h. */
#include <stdlib.h>

#include "import.h"
#include "rule_book.h"
#include "yaml_write.h"

enum { RULE_INDENT = 2, OPTION_INDENT = 4, ACTION_INDENT = 6 };

static void comment(struct sl_buf *out, int indent, const char *text) {
	yaml_write_comment(out, slice_from_str(text), indent);
}

static void comment_tree(struct sl_buf *out, int indent, const json_t *tree) {
	json_t *masked = import_masked(tree);
	char *text = json_dumps(masked, JSON_ENCODE_ANY | JSON_INDENT(2));
	comment(out, indent, text);
	free(text);
	json_decref(masked);
}

static void comment_action(const struct import *imp, const struct import_action *a, struct sl_buf *out) {
	struct sl_buf text = SL_BUF_INIT;
	sl_buf_printf(&text, "%s: %s", a->name, a->advice ? a->advice : "not carried over");
	comment(out, ACTION_INDENT, sl_buf_cstr(&text));
	sl_buf_fini(&text);
	if (a->later) {
		comment(out, ACTION_INDENT, "Here it would be:");
		yaml_write_item(&text, a->later, 2);
		while (text.n && text.p[text.n - 1] == '\n') text.n--;
		comment(out, ACTION_INDENT, sl_buf_cstr(&text));
		sl_buf_fini(&text);
	}
	if (!a->original) return;
	sl_buf_printf(&text, "As it was in %s:", imp->source);
	comment(out, ACTION_INDENT, sl_buf_cstr(&text));
	sl_buf_fini(&text);
	comment_tree(out, ACTION_INDENT, a->original);
}

static void write_actions(const struct import *imp, const struct import_rule *r, struct sl_buf *out) {
	size_t working = 0;
	for (size_t i = 0; i < r->action_count; i++) working += r->actions[i].ours != NULL;
	if (r->action_count == 0) {
		sl_buf_append_str(out, "    actions: []\n");
		return;
	}
	sl_buf_append_str(out, "    actions:\n");
	if (working == 0) {
		comment(out, ACTION_INDENT,
			"None of its actions works here yet: until one does, the log shows what the rule gives.");
		sl_buf_append_str(out, "      - console: {}\n");
	}
	for (size_t i = 0; i < r->action_count; i++) {
		if (r->actions[i].ours)
			yaml_write_item(out, r->actions[i].ours, ACTION_INDENT);
		else
			comment_action(imp, &r->actions[i], out);
	}
}

/* But for what is said beside each action. */
static void comment_notes(const struct import_rule *r, struct sl_buf *out, int indent) {
	for (size_t i = 0; i < r->note_count; i++) {
		const struct import_note *n = &r->notes[i];
		if (n->at_action) continue;
		struct sl_buf text = SL_BUF_INIT;
		sl_buf_printf(&text, "%s: ", n->what);
		if (n->line) sl_buf_printf(&text, "%u:%u: ", n->line, n->column);
		sl_buf_append_str(&text, n->text);
		comment(out, indent, sl_buf_cstr(&text));
		sl_buf_fini(&text);
	}
}

/* The same rule as a comment. */
static void write_refused(const struct import *imp, const struct import_rule *r, struct sl_buf *out) {
	struct sl_buf text = SL_BUF_INIT;
	sl_buf_printf(&text, "Refused: the rule '%s'", r->id);
	comment(out, RULE_INDENT, sl_buf_cstr(&text));
	sl_buf_fini(&text);
	comment_notes(r, out, RULE_INDENT);
	if (r->sql[0]) {
		comment(out, RULE_INDENT, "Its SQL:");
		comment(out, RULE_INDENT, r->sql);
	}
	for (size_t i = 0; i < r->action_count; i++) {
		const struct import_action *a = &r->actions[i];
		sl_buf_printf(&text, "Its action %s, as it was in %s:", a->name, imp->source);
		comment(out, RULE_INDENT, sl_buf_cstr(&text));
		sl_buf_fini(&text);
		if (a->original) comment_tree(out, RULE_INDENT, a->original);
	}
}

static void write_rule(const struct import *imp, const struct import_rule *r, struct sl_buf *out) {
	sl_buf_append_str(out, "  ");
	yaml_write_text(out, slice_from_str(r->id));
	sl_buf_append_str(out, ":\n");
	comment_notes(r, out, OPTION_INDENT);
	if (r->description && r->description[0]) {
		json_t *option = json_pack("{s:s}", "description", r->description);
		yaml_write_members(out, option, OPTION_INDENT);
		json_decref(option);
	}
	if (!r->enabled) sl_buf_append_str(out, "    enabled: false\n");
	if (r->dialect == SQL_AWS) sl_buf_append_str(out, "    dialect: aws\n");
	if (r->sql_version) {
		sl_buf_append_str(out, "    sql_version: ");
		yaml_write_text(out, slice_from_str(r->sql_version));
		sl_buf_put(out, '\n');
	}
	sl_buf_append_str(out, "    sql:");
	yaml_write_block(out, slice_from_str(r->sql), ACTION_INDENT);
	write_actions(imp, r, out);
}

static void use(const struct import *imp, const json_t *of, json_t *used) {
	const char *name = json_string_value(json_object_get(of, "connector"));
	if (name) json_object_set(used, name, json_object_get(imp->connectors, name));
}

/* Those that an action or a source uses: one that failed the check leaves none behind. */
static void write_connectors(const struct import *imp, struct sl_buf *out) {
	json_t *used = json_object(), *source;
	const char *key;
	for (size_t i = 0; i < imp->rule_count; i++) {
		const struct import_rule *r = imp->rules[i];
		for (size_t j = 0; r->compiled && j < r->action_count; j++) use(imp, r->actions[j].ours, used);
	}
	json_object_foreach(imp->sources, key, source) use(imp, source, used);
	if (json_object_size(used)) sl_buf_append_str(out, "connectors:\n");
	yaml_write_members(out, used, RULE_INDENT);
	json_decref(used);
	if (json_object_size(imp->sources)) sl_buf_append_str(out, "sources:\n");
	yaml_write_members(out, imp->sources, RULE_INDENT);
}

/* What is written is read again and checked whole, so that nobody finds out later. */
static int prove(const struct sl_buf *text, struct sl_err *err) {
	struct yaml_doc *doc = NULL;
	struct conf_report report = CONF_REPORT_INIT;
	struct rule_book book = RULE_BOOK_INIT;
	int rc = yaml_doc_load(sl_buf_slice(text), "(what was made of it)", &doc, err);
	if (rc == SL_OK) {
		const json_t *root = yaml_doc_root(doc);
		rc = rule_book_fill(&book, doc, json_object_get(root, "connectors"), json_object_get(root, "rules"),
				    &report);
		if (rc != SL_OK && report.len) {
			sl_err_set(err, rc, "%s", sl_err_text(&report.errs[0]));
			sl_err_at(err, "(what was made of it)", report.errs[0].line, report.errs[0].column);
		}
	}
	rule_book_fini(&book);
	conf_report_fini(&report);
	yaml_doc_free(doc);
	return rc;
}

int import_yaml(const struct import *imp, struct sl_buf *out, struct sl_err *err) {
	size_t written = 0;
	for (size_t i = 0; i < imp->rule_count; i++) written += imp->rules[i]->compiled != NULL;
	sl_buf_printf(out, "# Rules that came from %s, written by `sluice import`.\n", imp->source);
	comment_notes(&imp->file_notes, out, 0);
	write_connectors(imp, out);
	sl_buf_append_str(out, written ? "rules:\n" : "rules: {}\n");
	for (size_t i = 0; i < imp->rule_count; i++) {
		if (imp->rules[i]->compiled)
			write_rule(imp, imp->rules[i], out);
		else
			write_refused(imp, imp->rules[i], out);
	}
	return prove(out, err);
}
