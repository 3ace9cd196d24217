/* rule.c: see rule.h. */
#include "rule.h"

#include "event_source.h"
#include "mem.h"
#include "rule_functions.h"

int rule_new(struct sl_slice id, struct sl_slice text, enum sql_dialect dialect, struct rule **out,
	     struct sl_err *err) {
	*out = NULL;
	rule_functions_register();
	if (dialect == SQL_AWS) {
		return sl_err_set(err, SL_EUNSUPPORTED,
				  "dialect aws is not in this build yet; write the rule in the standard dialect");
	}
	struct event_sources *sources = event_sources_new(dialect);
	struct sql_compile_opts opts = {.dialect = dialect,
					.source = event_source_find,
					.source_arg = sources,
					.text_max = RULE_TEXT_BYTES_MAX};
	struct sql_program *program = NULL;
	int rc = sql_compile(text, &opts, &program, err);
	if (rc != SL_OK) {
		event_sources_free(sources);
		return rc;
	}

	struct rule *r = SL_NEW(struct rule);
	r->id = slice_dup(id);
	r->text = slice_dup(text);
	r->dialect = dialect;
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
	sl_free(r->id);
	sl_free(r->description);
	sl_free(r->text);
	sl_free(r);
}
