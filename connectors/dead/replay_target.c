/* replay_target.c: which action a dead letter goes to. See replay.h. */
#include "dead_row.h"
#include "replay.h"

/* The row has the values that the action wants. */
static bool fits(const struct replay_target *t, const struct sl_conn_action *a) {
	struct sl_buf row = SL_BUF_INIT;
	bool yes = dead_line_row(t->line, a->params, a->param_count, t->arena, &row, NULL) == SL_OK;
	sl_buf_fini(&row);
	return yes;
}

static int rank(const struct replay_target *t, const struct sl_conn_action *a) {
	return 2 * fits(t, a) + (a == t->at_place);
}

static bool same_connector(const struct dead_line *l, const struct sl_conn_action *a) {
	return l->connector.n == 0 || slice_equal_str(l->connector, a->conn->name);
}

static bool meant(const struct dead_line *l, const struct sl_conn_action *a) {
	return l->destination.n && a->destination && same_connector(l, a) &&
	       slice_equal_str(l->destination, a->destination);
}

void replay_target_look(struct replay_target *t, const struct sl_conn_action *a, void *is) {
	if (!slice_equal_str(t->line->rule, a->rule)) return;
	if (a->index == t->line->action) {
		t->at_place = a;
		t->is_at_place = is;
	}
	if (!meant(t->line, a)) return;
	/* Several of a rule may write to one table: then the one that takes this row, and rather that at the old place. */
	if (t->found && rank(t, a) <= rank(t, t->found)) return;
	t->found = a;
	t->is_found = is;
}

static int refused(const struct replay_target *t, struct sl_err *err) {
	const struct dead_line *l = t->line;
	const struct sl_conn_action *a = t->at_place;
	struct sl_buf was = SL_BUF_INIT;
	if (l->destination.n) sl_buf_printf(&was, "%.*s of ", SL_SLICE_ARG(l->destination));
	int r =
	    sl_err_set(err, SL_EINVAL,
		       "they were for %sconnector %.*s; action %s now writes to %s%sconnector %s; --anyway sends them "
		       "there",
		       sl_buf_cstr(&was), SL_SLICE_ARG(l->connector), a->name, a->destination ? a->destination : "",
		       a->destination ? " of " : "", a->conn->name);
	sl_buf_fini(&was);
	return r;
}

int replay_target_end(struct replay_target *t, struct sl_err *err) {
	const struct dead_line *l = t->line;
	if (t->found) return SL_OK;
	if (!t->at_place)
		return sl_err_set(err, SL_ENOTFOUND, "rule %.*s has no action %u any more%s%.*s", SL_SLICE_ARG(l->rule),
				  l->action, l->destination.n ? ", and none that writes to " : "",
				  SL_SLICE_ARG(l->destination));
	/* Lines of earlier versions go by their place. */
	bool by_place = l->destination.n == 0 && same_connector(l, t->at_place);
	if (!by_place && !t->anyway) return refused(t, err);
	t->found = t->at_place;
	t->is_found = t->is_at_place;
	return SL_OK;
}
