/* action.c: what kinds see of actions and batches. See connector.h. */
#include "connectors_int.h"
#include "schema.h"

void *sl_action_impl(struct sl_conn_action *a) { return a->impl; }
struct sl_conn *sl_action_conn(struct sl_conn_action *a) {
	return a->conn;
}
const char *sl_action_name(const struct sl_conn_action *a) { return a->name; }
const struct sl_param *sl_action_params(const struct sl_conn_action *a, size_t *count) {
	*count = a->param_count;
	return a->params;
}

void sl_action_spec_msgid(struct sl_action_spec *spec, size_t param, enum sl_msgid how) {
	struct sl_conn_action *a = spec->action;
	sl_assert(a && param < a->param_count);
	if (!a->msgid) a->msgid = SL_NEW_ARRAY(uint8_t, a->param_count);
	a->msgid[param] = (uint8_t)how;
}

enum sl_msgid sl_action_param_msgid(const struct sl_conn_action *a, size_t param) {
	return a->msgid && param < a->param_count ? (enum sl_msgid)a->msgid[param] : SL_MSGID_NOT;
}

bool msgid_equal(const struct sl_conn_action *a, const struct sl_conn_action *b) {
	if (!a->msgid || !b->msgid) return !a->msgid && !b->msgid;
	return a->param_count == b->param_count && memcmp(a->msgid, b->msgid, a->param_count) == 0;
}

void action_free(struct sl_conn_action *a) {
	if (!a) return;
	if (a->impl && a->conn) {
		const struct sl_connector_kind *kind = a->conn->kind;
		if (kind->action_fini) kind->action_fini(a);
		conf_fini(kind->action_fields, a->impl);
	}
	if (a->on_error_release) a->on_error_release(a->on_error);
	conf_fini(action_conf_fields, &a->conf);
	json_decref(a->tree);
	dead_letter_free(a->dead_file);
	sl_free(a->late);
	sl_free(a->msgid);
	sl_free(a->face);
	sl_free(a->owner);
	sl_free(a->logs);
	sl_free(a->impl);
	sl_free(a->rule);
	sl_free(a->name);
	sl_free(a->destination);
	sl_free(a);
}

/* ---- Batches. @thread the loop, or the connection's own ---- */

static struct pipeline_batch *batch_of(struct sl_batch *b) { return sl_container_of(b, struct pipeline_batch, b); }

void sl_batch_reason(struct sl_batch *b, uint32_t i, const char *fmt, ...) {
	va_list ap;
	va_start(ap, fmt);
	sl_free(b->reason[i]);
	b->reason[i] = text_to_show(sl_vasprintf(fmt, ap));
	va_end(ap);
	batch_of(b)->reasons = true;
}

void sl_batch_hold_key(struct sl_batch *b, uint32_t i) {
	uint64_t key = sql_row_head(b->row[i])->order;
	if (batch_of(b)->p->action->conf.order != ORDER_KEY) return;
	for (uint32_t later = i + 1; later < b->count; later++)
		if (b->result[later] == SL_RESULT_PENDING && sql_row_head(b->row[later])->order == key)
			b->result[later] = SL_RESULT_LOST;
}

void sl_batch_fill(struct sl_batch *b, enum sl_result r, const char *reason) {
	for (uint32_t i = 0; i < b->count; i++) {
		if (b->result[i] != SL_RESULT_PENDING) continue;
		b->result[i] = (uint8_t)r;
		if (reason) sl_batch_reason(b, i, "%s", reason);
	}
}

static sl_printf(2, 0) void not_ready(struct sl_batch *b, const char *fmt, va_list ap) {
	sl_free(b->not_ready);
	b->not_ready = text_to_show(sl_vasprintf(fmt, ap));
	sl_batch_fill(b, SL_RESULT_LOST, NULL);
}

void sl_batch_not_ready(struct sl_batch *b, const char *fmt, ...) {
	va_list ap;
	va_start(ap, fmt);
	not_ready(b, fmt, ap);
	va_end(ap);
}

void sl_batch_in_doubt(struct sl_batch *b, const char *fmt, ...) {
	va_list ap;
	va_start(ap, fmt);
	not_ready(b, fmt, ap);
	va_end(ap);
	b->doubt = true;
}

void sl_batch_again(struct sl_batch *b) { b->again = true; }

void sl_batch_note(struct sl_batch *b, const char *fmt, ...) {
	struct pipeline_batch *bt = batch_of(b);
	va_list ap;
	va_start(ap, fmt);
	sl_free(bt->note);
	bt->note = text_to_show(sl_vasprintf(fmt, ap));
	va_end(ap);
}

static void looked_run(struct sl_post *post, struct sl_loop *l) {
	(void)l;
	sl_container_of(post, struct pipeline_batch, post)->looked = true;
}

static void back_run(struct sl_post *post, struct sl_loop *l) {
	(void)l;
	pipeline_batch_back(sl_container_of(post, struct pipeline_batch, post));
}

/* True when what follows in the same way may be sent without the loop's consent. */
static bool batch_settled(const struct sl_batch *b) {
	for (uint32_t i = 0; i < b->count; i++)
		if (b->result[i] != SL_RESULT_DONE && b->result[i] != SL_RESULT_REJECT) return false;
	return true;
}

void sl_batch_done(struct sl_batch *b) {
	struct pipeline_batch *bt = batch_of(b);
	struct connectors *cs = bt->look ? NULL : bt->p->cs;
	if (sl_unlikely(bt->look)) {
		bool elsewhere = b->action && !sl_loop_is_current(b->action->conn->cs->loop);
		bt->post.run = looked_run;
		if (elsewhere)
			sl_loop_post(b->action->conn->cs->loop, &bt->post);
		else
			bt->looked = true;
		return;
	}
#ifndef NDEBUG
	for (uint32_t i = 0; i < b->count; i++) sl_assert(b->result[i] != SL_RESULT_PENDING);
#endif
	if (sl_loop_is_current(cs->loop)) {
		/* Perhaps from inside submit(): taken up after that, at the end of this tick. What would follow must not overtake. */
		bt->way->fence_soon = bt->way->fence_soon || !batch_settled(b);
		bt->next = NULL;
		*cs->done_tail = bt;
		cs->done_tail = &bt->next;
		return;
	}
	if (batch_settled(b)) bt->way->thread_broken = false;
	bt->post.run = back_run;
	sl_loop_post(cs->loop, &bt->post);
}
