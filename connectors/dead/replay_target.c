/* replay_target.c: which action a dead letter goes to. See replay.h. */
#include <stdlib.h>

#include "dead_row.h"
#include "replay.h"

void replay_actions_add(struct replay_actions *all, const struct sl_conn_action *a, void *is) {
	SL_GROW(all->at, all->n, all->cap);
	all->at[all->n++] = (struct replay_action){a, is};
	all->sorted = false;
}

void replay_actions_forget(struct replay_actions *all) {
	sl_free(all->at);
	*all = (struct replay_actions){0};
}

static int action_order(const void *one, const void *other) {
	const struct sl_conn_action *a = ((const struct replay_action *)one)->a;
	const struct sl_conn_action *b = ((const struct replay_action *)other)->a;
	int order = strcmp(a->rule, b->rule);
	if (order != 0) return order;
	return a->index < b->index ? -1 : a->index > b->index;
}

static size_t first_of(struct replay_actions *all, struct sl_slice rule) {
	size_t from = 0, to = all->n;
	if (!all->sorted && all->n) qsort(all->at, all->n, sizeof *all->at, action_order);
	all->sorted = true;
	while (from < to) {
		size_t middle = from + (to - from) / 2;
		if (slice_compare(slice_from_str(all->at[middle].a->rule), rule) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

/* The row has the values that the action wants. */
static bool fits(const struct dead_line *l, const struct sl_conn_action *a, struct sl_arena *arena) {
	struct sl_buf row = SL_BUF_INIT;
	bool yes = dead_line_row(l, a->params, a->param_count, arena, &row, NULL) == SL_OK;
	sl_buf_fini(&row);
	return yes;
}

static bool same_connector(const struct dead_line *l, const struct sl_conn_action *a) {
	return l->connector.n == 0 || slice_equal_str(l->connector, a->conn->name);
}

static bool meant(const struct dead_line *l, const struct sl_conn_action *a) {
	return l->destination.n && a->destination && same_connector(l, a) &&
	       slice_equal_str(l->destination, a->destination);
}

static int refused(const struct dead_line *l, const struct sl_conn_action *a, struct sl_err *err) {
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

static int nowhere(const struct dead_line *l, struct sl_err *err) {
	return sl_err_set(err, SL_ENOTFOUND, "rule %.*s has no action %u any more%s%.*s", SL_SLICE_ARG(l->rule),
			  l->action, l->destination.n ? ", and none that writes to " : "",
			  SL_SLICE_ARG(l->destination));
}

int replay_target(struct replay_actions *all, const struct dead_line *l, bool anyway, struct sl_arena *arena,
		  const struct replay_action **out, struct sl_err *err) {
	const struct replay_action *at_place = NULL;
	int most = -1;
	*out = NULL;
	for (size_t i = first_of(all, l->rule); i < all->n && slice_equal_str(l->rule, all->at[i].a->rule); i++) {
		const struct sl_conn_action *a = all->at[i].a;
		bool here = a->index == l->action;
		if (here) at_place = &all->at[i];
		/* Several of a rule may write to one table: then the one that takes this row, and rather that at the old place. */
		int rank = meant(l, a) ? 2 * fits(l, a, arena) + here : -1;
		if (rank <= most) continue;
		most = rank;
		*out = &all->at[i];
	}
	if (*out) return SL_OK;
	if (!at_place) return nowhere(l, err);
	/* Lines of earlier versions go by their place. */
	bool by_place = l->destination.n == 0 && same_connector(l, at_place->a);
	if (!by_place && !anyway) return refused(l, at_place->a, err);
	*out = at_place;
	return SL_OK;
}
