/* import_report.c: what became of each rule, for people and for programs; see import.h. */
#include "import.h"
#include "jwrite.h"

static const char *const status_words[] = {
    [IMPORT_UNCHANGED] = "unchanged", [IMPORT_MAPPING] = "needs a mapping", [IMPORT_REFUSED] = "refused"};
static const char *const status_names[] = {
    [IMPORT_UNCHANGED] = "unchanged", [IMPORT_MAPPING] = "needs_mapping", [IMPORT_REFUSED] = "refused"};

struct counts {
	size_t of[SL_ARRAY_LEN(status_words)];
};

static struct counts count_rules(const struct import *imp) {
	struct counts c = {{0}};
	for (size_t i = 0; i < imp->rule_count; i++) c.of[import_rule_status(imp->rules[i])]++;
	return c;
}

/* Names and messages hold what stood in the file: nothing of it may start a line or steer the terminal. */
static void put_flat(struct sl_buf *out, const char *text) {
	for (; *text; text++) sl_buf_put(out, (uint8_t)*text < 0x20 || *text == 0x7f ? ' ' : *text);
}

static void text_notes(const struct import_rule *r, struct sl_buf *out) {
	for (size_t i = 0; i < r->note_count; i++) {
		const struct import_note *n = &r->notes[i];
		sl_buf_append_str(out, "  ");
		put_flat(out, n->what);
		sl_buf_append_str(out, n->line ? " " : ": ");
		if (n->line) sl_buf_printf(out, "%u:%u: ", n->line, n->column);
		if (n->status == IMPORT_REFUSED) sl_buf_append_str(out, "refused: ");
		put_flat(out, n->text);
		sl_buf_put(out, '\n');
	}
}

bool import_report_text(const struct import *imp, struct sl_buf *out) {
	text_notes(&imp->file_notes, out);
	for (size_t i = 0; i < imp->rule_count; i++) {
		put_flat(out, imp->rules[i]->id);
		sl_buf_printf(out, ": %s\n", status_words[import_rule_status(imp->rules[i])]);
		text_notes(imp->rules[i], out);
	}
	struct counts c = count_rules(imp);
	sl_buf_printf(out, "%zu rule%s: %zu unchanged, %zu need%s a mapping, %zu refused\n", imp->rule_count,
		      imp->rule_count == 1 ? "" : "s", c.of[IMPORT_UNCHANGED], c.of[IMPORT_MAPPING],
		      c.of[IMPORT_MAPPING] == 1 ? "s" : "", c.of[IMPORT_REFUSED]);
	return c.of[IMPORT_REFUSED] > 0;
}

static void json_text(struct jwrite *w, const char *key, const char *text) {
	jwrite_key(w, slice_from_str(key));
	jwrite_string(w, slice_from_str(text));
}

static void json_notes(const struct import_rule *r, struct jwrite *w) {
	jwrite_key(w, SL_SLICE_LIT("notes"));
	jwrite_array_begin(w);
	for (size_t i = 0; i < r->note_count; i++) {
		const struct import_note *n = &r->notes[i];
		jwrite_object_begin(w);
		json_text(w, "what", n->what);
		json_text(w, "status", status_names[n->status]);
		if (n->line) {
			jwrite_key(w, SL_SLICE_LIT("line"));
			jwrite_u64(w, n->line);
			jwrite_key(w, SL_SLICE_LIT("column"));
			jwrite_u64(w, n->column);
		}
		json_text(w, "text", n->text);
		jwrite_object_end(w);
	}
	jwrite_array_end(w);
}

bool import_report_json(const struct import *imp, struct sl_buf *out) {
	struct jwrite w;
	struct counts c = count_rules(imp);
	jwrite_init(&w, out);
	jwrite_object_begin(&w);
	jwrite_key(&w, SL_SLICE_LIT("rules"));
	jwrite_array_begin(&w);
	for (size_t i = 0; i < imp->rule_count; i++) {
		jwrite_object_begin(&w);
		json_text(&w, "id", imp->rules[i]->id);
		json_text(&w, "status", status_names[import_rule_status(imp->rules[i])]);
		json_notes(imp->rules[i], &w);
		jwrite_object_end(&w);
	}
	jwrite_array_end(&w);
	json_notes(&imp->file_notes, &w);
	for (size_t i = 0; i < SL_ARRAY_LEN(status_names); i++) {
		jwrite_key(&w, slice_from_str(status_names[i]));
		jwrite_u64(&w, c.of[i]);
	}
	jwrite_object_end(&w);
	sl_buf_put(out, '\n');
	return c.of[IMPORT_REFUSED] > 0;
}
