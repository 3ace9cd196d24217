/* action_console.c: a row printed to the log. The one place where payload text gets into it, and only because the rule
 * asks for it. At most one line a second and action; the log says how many it left out. */
#include "action.h"
#include "rule.h"
#include "rules_int.h"

enum { CONSOLE_TEXT_MAX = 4096 };

void action_console_eval(struct sql_vm *vm, const struct sql_out *row, struct action_row *out) {
	struct sl_buf json = SL_BUF_INIT;
	sql_out_json(row, &json);
	struct sl_slice text = sl_buf_slice(&json);
	if (text.n > CONSOLE_TEXT_MAX)
		out->text = sl_arena_printf(sql_vm_arena(vm), "%.*s... (%zu bytes)", CONSOLE_TEXT_MAX, text.p, text.n);
	else
		out->text = sl_arena_dup(sql_vm_arena(vm), text);
	sl_buf_fini(&json);
}

void action_console_deliver(const struct action_row *row, const struct action_cause *cause) {
	row->action->stats->cells[cause->rw->index].taken++;
	if ((int)LOG_INFO < atomic_load_explicit(&log_level_now, memory_order_relaxed)) return;
	log_write(row->action->console_site, LOG_INFO, LOG_RULE, "console", "rule=%s topic=%.*s row=%.*s",
		  cause->rule->id, SL_SLICE_ARG(cause->ev->topic), SL_SLICE_ARG(row->text));
}
