/* rule.c: see rule.h. */
#include "rule.h"

#include "event_source.h"
#include "mem.h"
#include "rule_functions.h"

int rule_new(struct sl_slice id, struct sl_slice text, const struct rule_language *language, struct rule **out,
	     struct sl_err *err) {
	static const struct rule_language standard = {.dialect = SQL_STANDARD};
	if (!language) language = &standard;
	*out = NULL;
	rule_functions_register();
	struct event_sources *sources = event_sources_new(language->dialect);
	struct sql_compile_opts opts = {.dialect = language->dialect,
					.source = event_source_find,
					.source_arg = sources,
					.text_max = RULE_TEXT_BYTES_MAX,
					.sql_version = language->sql_version,
					.decimal_division = language->decimal_division,
					.warnings = language->warnings};
	struct sql_program *program = NULL;
	int rc = sql_compile(text, &opts, &program, err);
	if (rc != SL_OK) {
		event_sources_free(sources);
		return rc;
	}

	struct rule *r = SL_NEW(struct rule);
	r->id = slice_dup(id);
	r->text = slice_dup(text);
	r->dialect = language->dialect;
	r->enabled = true;
	r->sources = sources;
	r->program = program;
	*out = r;
	return SL_OK;
}

void rule_free(struct rule *r) {
	if (!r) return;
	for (size_t i = 0; i < r->action_count; i++) rule_action_fini(&r->actions[i]);
	sl_free(r->actions);
	sql_program_free(r->program);
	event_sources_free(r->sources);
	rule_stats_unref(r->stats);
	rule_memory_unref(r->memory);
	rule_shadow_unref(r->shadow);
	for (size_t i = 0; i < r->tag_count; i++) sl_free(r->tags[i]);
	sl_free(r->tags);
	sl_free(r->id);
	sl_free(r->description);
	sl_free(r->text);
	sl_free(r);
}
