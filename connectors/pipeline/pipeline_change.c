/* pipeline_change.c: a reload changes an action, or only its connection's settings: its rows, counters and log go on.
 *
 * From the commit on rows are taken in by the new settings (`next`), while what is out is still the old action's. Nothing more is
 * submitted; once the last batch is back the new action takes over, on its own connection, with all rows that are not
 * decided, in the order in which they came. So a wrong password is put right by a reload, and the backlog goes.
 *
 * Rows whose names are others than the new action's are mapped (pipeline_remap.c), as after a restart. While old ones are still out, new ones
 * wait in the log, which says names for each segment. Workers stage rows of new names into ends of their own (struct sl_stage),
 * so that a chunk never mixes them; the old ends are counted until all workers have left them. */
#include "connectors_int.h"
#include "spill_int.h"

void row_templates_fini(struct row_templates *made) {
	sl_free(made->text);
	sl_free(made->target);
	sl_free(made->bytes);
	*made = (struct row_templates){0};
}

bool row_templates_equal(const struct row_templates *a, const struct row_templates *b, size_t n) {
	for (size_t i = 0; i < n; i++)
		if (a->target[i] != b->target[i] || !slice_equal(a->text[i], b->text[i])) return false;
	return a->rows_of == b->rows_of;
}

void row_templates_take(struct row_templates *made, const struct sl_conn_action *a) {
	struct sl_slice *texts = SL_NEW_ARRAY(struct sl_slice, a->param_count + 1);
	row_templates_fini(made);
	made->target = SL_NEW_ARRAY(enum sql_target, a->param_count + 1);
	for (size_t i = 0; i < a->param_count; i++) {
		texts[i] = a->params[i].text;
		made->target[i] = a->params[i].target;
	}
	made->text = spill_names_copy(texts, a->param_count, &made->bytes);
	made->rows_of = a->rows_of;
	sl_free(texts);
}

struct row_format *pipeline_format_new(struct sl_pipeline *p, const struct sl_conn_action *a) {
	struct sl_slice *names = SL_NEW_ARRAY(struct sl_slice, a->param_count + 1);
	struct row_format *f = SL_NEW(struct row_format);
	for (size_t i = 0; i < a->param_count; i++) names[i] = a->params[i].name;
	f->names.at = spill_names_copy(names, a->param_count, &f->bytes);
	f->names.count = a->param_count;
	row_templates_take(&f->made, a);
	f->next = p->format;
	sl_free(names);
	return f;
}

struct sl_stage *pipeline_stages_new(struct sl_pipeline *p) {
	size_t count = p->cs->worker_count ? p->cs->worker_count : 1;
	struct sl_stage *stages = aligned_alloc(64, sizeof *stages * count);
	sl_assert(stages);
	memset(stages, 0, sizeof *stages * count);
	for (size_t i = 0; i < p->cs->worker_count; i++) {
		stages[i].p = p;
		stages[i].end = &p->cs->ends[i];
		stages[i].format = p->format;
	}
	return stages;
}

static bool format_is(const struct row_format *f, const struct sl_conn_action *a) {
	if (f->names.count != a->param_count) return false;
	for (size_t i = 0; i < a->param_count; i++)
		if (!slice_equal(f->names.at[i], a->params[i].name)) return false;
	return true;
}

/* Another connector is another destination: there the old action ends, and delivers what it has to where it was meant. */
bool pipeline_can_change(const struct sl_pipeline *p, const struct sl_conn_action *to) {
	const struct sl_conn *was = pipeline_intake(p)->conn;
	if (was->kind != to->conn->kind || strcmp(was->name, to->conn->name) != 0) return false;
	return p->log || to->conf.buffer.disk == 0;
}

static void log_change(struct sl_pipeline *p, const struct sl_conn_action *a) {
	struct sl_slice *names = SL_NEW_ARRAY(struct sl_slice, a->param_count + 1);
	struct spill_opts opts = pipeline_log_opts(a, p->log_dir, names);
	if (p->log) spill_change(p->log, &opts);
	sl_free(names);
}

static void action_retire(struct connectors *cs, struct sl_conn_action *a) {
	a->next_old = cs->old_actions;
	cs->old_actions = a;
	cs->reaping = true;
}

/* What is in memory only would stand in the log under the new names; so it gets there first. */
static void format_change(struct sl_pipeline *p, const struct sl_conn_action *to) {
	struct old_stages *old = SL_NEW(struct old_stages);
	*old = (struct old_stages){.next = p->old_stages, .at = p->stages, .replaced_by = p->cs->commits};
	p->old_stages = old;
	if (!p->format_changes) p->intake_waits = !p->log || pipeline_log_memory(p) != SL_OK;
	p->format_changes = true;
	p->format = pipeline_format_new(p, to);
	p->stages = pipeline_stages_new(p);
}

void pipeline_change(struct sl_pipeline *p, struct sl_conn_action *to) {
	p->now_ms = sl_loop_now_ms(p->cs->loop);
	if (format_is(p->format, to))
		row_templates_take(&p->format->made, to);
	else
		format_change(p, to);
	if (p->next) action_retire(p->cs, p->next);
	p->next = to;
	to->p = p;
	pipeline_dead_file(p, to);
	if (!p->intake_waits) log_change(p, to);
	p->sync_wanted = to->conf.buffer.sync == SYNC_TICK && p->log;
	if (p->sync_wanted && !p->sync) p->sync = pipeline_sync_new();
	atomic_store_explicit(&p->shared.durability, to->conf.buffer.durability, memory_order_relaxed);
	atomic_store_explicit(&p->shared.payload_max, (uint32_t)to->conf.dead_letter.payload, memory_order_relaxed);
	pipeline_wake(p);
}

/* ---- The new action takes over. ------------------------------------------------------------------------------------ */

static void queues_clear(struct sl_pipeline *p) {
	for (uint32_t i = 0; i < p->way_count; i++) {
		row_queue_fini(&p->way[i].q);
		row_queue_fini(&p->way[i].back);
	}
	for (size_t i = 0; i < LANE_COUNT && p->lane; i++) row_queue_fini(&p->lane[i].parked);
	for (size_t i = 0; i < p->dead_n; i++) sl_free(p->dead[i].reason);
	sl_free(p->lane);
	sl_free(p->way);
	p->lane = NULL;
	p->blocked = 0;
	p->parked = p->dead_n = 0;
	pipeline_ways_begin(p);
	p->depth = pipeline_depth(p->action->conn);
}

/* What is not decided lines up again, in its order; attempts count anew. */
static void rows_again(struct sl_pipeline *p) {
	struct sl_list chunks;
	sl_list_init(&chunks);
	pipeline_left_mark(p);
	SL_LIST_FOREACH(it, &p->in_mem) pipeline_left_compact(p, SL_LIST_ENTRY(it, struct sl_chunk, in_mem));
	sl_list_splice_back(&chunks, &p->in_mem);
	queues_clear(p);
	p->mem_rows = 0;
	pipeline_mem_sub(p, p->mem_bytes);
	for (struct sl_list *it; (it = sl_list_pop_front(&chunks));) {
		struct sl_chunk *c = SL_LIST_ENTRY(it, struct sl_chunk, in_mem);
		const struct spill_names *was = c->strange ? c->strange : &c->format->names;
		c->format = p->format;
		c->found = NULL;
		c->strange = NULL;
		if (was == &p->format->names || pipeline_chunk_remap(p, p->action, c, was))
			pipeline_chunk_enter(p, c);
		else
			pipeline_chunk_dead(p, c, was);
	}
}

void pipeline_change_finish(struct sl_pipeline *p) {
	struct sl_conn_action *old = p->action;
	pipeline_ready(p);
	pipeline_waits_end(p);
	p->action = p->next;
	p->next = NULL;
	if (p->stalled) conn_stalled(old->conn, -1);
	p->stalled = false;
	p->progress_ms = p->now_ms;
	p->pause_until_ms = 0;
	pipeline_pace_forget(p);
	rows_again(p);
	if (p->intake_waits) log_change(p, p->action);
	p->format_changes = p->intake_waits = false;
	action_retire(p->cs, old);
}

/* ---- Workers' ends of former formats. -------------------------------------------------------------------------------- */

void pipeline_stages_leave(struct sl_pipeline *p, uint64_t commit) {
	for (struct old_stages *old = p->old_stages; old; old = old->next)
		if (old->replaced_by <= commit) old->left = true;
}

static void stages_free(struct sl_pipeline *p, struct sl_stage *stages) {
	for (size_t i = 0; i < p->cs->worker_count; i++) {
		for (int qos = 0; qos < 2; qos++) connectors_chunk_free(stages[i].open[qos]);
		p->past_received += stages[i].received;
		p->past_posted += stages[i].posted;
	}
	free(stages);
}

void pipeline_stages_forget(struct sl_pipeline *p, bool all) {
	for (struct old_stages *old, **at = &p->old_stages; (old = *at);) {
		if (!old->left && !all) {
			at = &old->next;
			continue;
		}
		*at = old->next;
		stages_free(p, old->at);
		sl_free(old);
	}
	if (all) stages_free(p, p->stages);
}
