/* late.c: values that are known only when a row is sent: `${meta.replayed}` and `${meta.delay_ms}`.
 *
 * A worker stages a placeholder of the same kind, which has its place in the row; it is filled in there whenever the row goes
 * out, before the kind sees it. What the log has of it does not count. */
#include "connectors_int.h"
#include "hash.h"

void sl_action_spec_late(struct sl_action_spec *spec, size_t param, enum sl_late what) {
	struct sl_conn_action *a = spec->action;
	sl_assert(a && param < a->param_count);
	if (!a->late) a->late = SL_NEW_ARRAY(uint8_t, a->param_count);
	a->late[param] = (uint8_t)what;
}

bool late_equal(const struct sl_conn_action *a, const struct sl_conn_action *b) {
	if (!a->late || !b->late) return !a->late && !b->late;
	return a->param_count == b->param_count && memcmp(a->late, b->late, a->param_count) == 0;
}

/* It came while nothing could be delivered, was tried before, or was given back from the dead letters. */
static bool replayed(const struct sl_pipeline *p, const struct row_ref *ref, int64_t now_ms) {
	const struct sql_row_head *head = sql_row_head(ref->row);
	int64_t up_for_ms = (int64_t)(p->now_ms - p->action->conn->up_at_ms);
	return ref->attempts > 0 || sql_row_tried(head->flags) > 0 || p->not_ready_why || head->at_ms < p->ready_ms ||
	       head->at_ms < now_ms - up_for_ms;
}

void pipeline_late_fill(const struct sl_pipeline *p, struct pipeline_batch *bt) {
	const struct sl_conn_action *a = p->action;
	int64_t now_ms = sl_loop_wall_ms(p->cs->loop);
	if (!a->late) return;
	for (uint32_t i = 0; i < bt->b.count; i++) {
		void *row = (void *)(uintptr_t)bt->ref[i].row;
		int64_t delay_ms = now_ms - sql_row_head(row)->at_ms;
		for (size_t k = 0; k < a->param_count; k++) switch ((enum sl_late)a->late[k]) {
			case SL_LATE_NONE: break;
			case SL_LATE_REPLAYED:
				sql_row_put(row, (uint16_t)k, sql_bool(replayed(p, &bt->ref[i], now_ms)));
				break;
			case SL_LATE_DELAY_MS:
				sql_row_put(row, (uint16_t)k, sql_int(delay_ms > 0 ? delay_ms : 0));
				break;
			}
	}
}

uint64_t sl_batch_row_hash(const struct sl_batch *b, uint32_t i) {
	const struct sl_conn_action *a = b->action;
	struct sl_slice row = slice_make(b->row[i], sql_row_head(b->row[i])->size);
	if (!a->late) return sl_hash(row);
	struct sl_buf copy = SL_BUF_INIT;
	sl_buf_append(&copy, row.p, row.n);
	for (size_t k = 0; k < a->param_count; k++)
		if (a->late[k] != SL_LATE_NONE) sql_row_put(copy.p, (uint16_t)k, sql_null());
	uint64_t hash = sl_hash(sl_buf_slice(&copy));
	sl_buf_fini(&copy);
	return hash;
}
