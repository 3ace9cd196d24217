/* connectors_budget.c: how much memory and disk rows may take, all actions together. See connectors.h. */
#include <inttypes.h>
#include <sys/statvfs.h>
#include <uv.h>

#include "log.h"
#include "source_int.h"

static void budget_add(struct connectors_budget *b, const struct action_conf *conf) {
	b->actions++;
	b->memory += (uint64_t)conf->buffer.memory;
	if (conf->buffer.disk == CONF_UNLIMITED)
		b->disk_unlimited = true;
	else
		b->disk += (uint64_t)conf->buffer.disk;
	if (conf->buffer.rows == CONF_UNLIMITED) return;
	b->counted++;
	b->rows += (uint64_t)conf->buffer.rows;
}

void connectors_budget(const struct connectors_set *set, struct connectors_budget *out) {
	*out = (struct connectors_budget){.actions = 0};
	for (size_t i = 0; i < set->spec_count; i++) {
		const struct sl_conn_action *a = set->specs[i]->action ? set->specs[i]->action : set->specs[i]->running;
		budget_add(out, &a->conf);
	}
}

int connectors_disk_free(const char *data_dir, uint64_t *bytes) {
	struct statvfs fs;
	if (statvfs(data_dir, &fs) != 0) return SL_ESYSTEM;
	*bytes = (uint64_t)fs.f_bavail * (uint64_t)fs.f_frsize;
	return SL_OK;
}

/* Once for each sum: what the logs may take is more than there is. Their present size counts as free. */
void connectors_disk_check(struct connectors *cs) {
	struct connectors_budget b = {.actions = 0};
	uint64_t taken = 0, room = 0;
	SL_LIST_FOREACH(it, &cs->pipelines) {
		const struct sl_pipeline *p = SL_LIST_ENTRY(it, struct sl_pipeline, link);
		struct spill_stat stat = {0};
		if (p->log) spill_stat(p->log, &stat);
		taken += stat.disk_bytes;
		if (!p->retiring) budget_add(&b, &pipeline_intake(p)->conf);
	}
	if (b.disk == 0 || b.disk == cs->disk_told || connectors_disk_free(cs->data_dir, &room) != SL_OK) return;
	cs->disk_told = b.disk;
	if (b.disk <= room + taken) return;
	log_always(LOG_WARN, LOG_ACTION, "logs of actions may grow beyond the disk",
		   "path=%s actions=%zu budgets_mb=%" PRIu64 " room_mb=%" PRIu64 " do=%s", cs->data_dir, b.actions,
		   b.disk / SL_MB, (room + taken) / SL_MB,
		   "lower buffer.disk, or give node.data_dir a larger disk; when it is full, publishers wait");
}

/* ---- Memory. ----------------------------------------------------------------------------------------------------------
 *
 * node.buffer_memory is cut once, so that nobody has to ask others before taking memory:
 *
 *     each worker    chunks on their way to the connector loop    1/8 of it for all workers together, at most WAY_MAX each
 *                    idle chunks                                  the same, and what of the former is not used
 *     the loop       the rest: rows in memory (seven eighths of it), rows held for want of room in a log, and what clients of
 *                    the far sides hold of rows that are out
 *
 * A worker that has more on its way than its part says so with each row (sl_stage_room()), and its caller stops reading from
 * whoever published that. An action that holds its publishers does the same when what it holds fills its part. What goes beyond is
 * one message for each who publishes. */

#define WAY_MAX (2 * SL_MB)
#define WAY_DIV 8

void connectors_memory_init(struct connectors *cs, uint64_t memory) {
	uint64_t workers = cs->worker_count ? cs->worker_count : 1, part = memory / WAY_DIV / workers;
	if (memory == 0 || part > WAY_MAX) part = WAY_MAX;
	cs->memory = memory;
	cs->way_max = cs->spare_max = part;
	cs->mem_max = memory ? memory - 2 * part * workers : 0;
}

void chunk_arrived(struct connectors *cs, struct sl_chunk *c) {
	if (c->on_way == 0) return; /* it came from a log, not from a worker */
	struct worker_end *end = &cs->ends[c->worker];
	atomic_fetch_add(&end->way_out, c->on_way);
	c->on_way = 0;
}

bool connectors_way_full(const struct connectors *cs, size_t worker) {
	return worker_end_way(&cs->ends[worker]) > cs->way_max;
}

/* ---- Rows held. */

void pipeline_held_charge(struct sl_pipeline *p, struct sl_chunk *c) {
	c->charged = chunk_cost(c);
	p->held_cost += c->charged;
	p->cs->mem_bytes += c->charged;
}

void pipeline_held_release(struct sl_pipeline *p, struct sl_chunk *c) {
	p->held_cost -= c->charged;
	p->cs->mem_bytes -= c->charged;
	c->charged = 0;
}

static void gates_set(struct connectors *cs, bool shut) {
	for (size_t i = 0; i < cs->worker_count; i++) {
		if (shut)
			atomic_fetch_or(&cs->ends[i].gate, GATE_ACTION);
		else
			atomic_fetch_and(&cs->ends[i].gate, ~(uint32_t)GATE_ACTION);
	}
}

static void pipeline_shut(struct sl_pipeline *p, bool shut) {
	if (shut == atomic_load_explicit(&p->shared.shut, memory_order_relaxed)) return;
	atomic_store(&p->shared.shut, shut);
	p->cs->shut_actions += shut ? 1 : -1U;
	gates_set(p->cs, p->cs->shut_actions > 0);
}

/* Held rows may fill what rows in memory leave of the action's budget. Once that is full, half of it must be free again. Each who
 * publishes may then have had one message more; when these come to as much again, for they are many, or come again and again, the
 * next is not taken. */
void pipeline_full_check(struct sl_pipeline *p) {
	uint64_t budget = (uint64_t)pipeline_intake(p)->conf.buffer.memory, most = budget - budget_rows(budget);
	bool was = atomic_load_explicit(&p->shared.full, memory_order_relaxed);
	bool room = budget_has_room(p->cs, p->cs->mem_max, 0);
	bool full = p->held.head && (p->held_cost > (was ? most / 2 : most) || !room);
	pipeline_shut(p, full && (p->held_cost > most * 2 || !room));
	if (full == was) return;
	atomic_store(&p->shared.full, full);
	if (full)
		p->cs->full_actions++;
	else
		p->cs->full_actions--;
	p->cs->room_made = p->cs->room_made || !full;
}

/* ---- What clients of the far sides hold. */

uint64_t pipeline_copies(const struct sl_pipeline *p, uint64_t rows, uint64_t bytes) {
	const struct sl_connector_kind *kind = p->action->conn->kind;
	uint32_t row = kind->copy_row, percent = kind->copy_percent;
	if (kind->copies) kind->copies(p->action, &row, &percent);
	return rows * row + bytes * percent / 100;
}

void pipeline_copies_add(struct pipeline_batch *bt) {
	bt->copy_bytes = pipeline_copies(bt->p, bt->b.count, bt->bytes);
	bt->p->copy_bytes += bt->copy_bytes;
	bt->p->cs->mem_bytes += bt->copy_bytes;
}

void pipeline_copies_sub(struct pipeline_batch *bt) {
	bt->p->copy_bytes -= bt->copy_bytes;
	bt->p->cs->mem_bytes -= bt->copy_bytes;
	bt->copy_bytes = 0;
}

/* May one more batch go? The first always may, so that there is an end to it; and small ones that are together no more than one
 * full batch, which each action may have out whatever others hold: held rows must not make it go row by row. */
bool pipeline_copies_fit(const struct sl_pipeline *p, const struct sl_way *way, size_t rows) {
	const struct action_conf *conf = &p->action->conf;
	uint64_t most = pipeline_bytes_most(way), bytes = way->q.bytes < most ? way->q.bytes : most;
	uint64_t copies = pipeline_copies(p, rows, bytes);
	if (p->copy_bytes == 0 || copies == 0) return true;
	if (p->copy_bytes + copies <= pipeline_copies(p, 0, (uint64_t)conf->batch.bytes)) return true;
	uint64_t all = p->mem_bytes + p->held_cost + p->copy_bytes + copies;
	return all <= (uint64_t)conf->buffer.memory && budget_has_room(p->cs, p->cs->mem_max, copies);
}

/* ---- What is free goes back. Each thread has blocks of its own from the library: what workers' rows have left is of no use to
 * rows that the loop reads back from a log, and the other way round. */

#define TRIM_MAX (8 * SL_MB)

struct memory_trim {
	uv_work_t req;
	struct connectors *cs;
	bool busy;
};

static void trim_run(uv_work_t *req) {
	(void)req;
	sl_mem_trim();
}

static void trim_done(uv_work_t *req, int status) {
	struct memory_trim *trim = sl_container_of(req, struct memory_trim, req);
	(void)status;
	trim->busy = false;
	SL_LIST_FOREACH(it, &trim->cs->pipelines) pipeline_wake(SL_LIST_ENTRY(it, struct sl_pipeline, link));
}

bool connectors_trim_busy(const struct connectors *cs) { return cs->trim && cs->trim->busy; }

bool connectors_trim(struct connectors *cs) {
	uint64_t most = cs->memory && cs->memory / 8 < TRIM_MAX ? cs->memory / 8 : TRIM_MAX;
	if (connectors_trim_busy(cs)) return true;
	if (cs->freed < most) return false;
	if (!cs->trim) cs->trim = SL_NEW(struct memory_trim);
	cs->trim->cs = cs;
	cs->freed = 0;
	cs->trim->busy = uv_queue_work(sl_loop_uv(cs->loop), &cs->trim->req, trim_run, trim_done) == 0;
	return cs->trim->busy;
}

/* ---- There is room again. */

struct room_letter {
	struct sl_post post;
	struct connectors *cs;
	size_t worker;
};

static void room_run(struct sl_post *post, struct sl_loop *l) {
	struct room_letter *letter = sl_container_of(post, struct room_letter, post);
	(void)l;
	if (letter->cs->on_room) letter->cs->on_room(letter->cs->on_room_arg, letter->worker);
	sl_free(letter);
}

void connectors_room_tell(struct connectors *cs) {
	for (size_t i = 0; i < cs->worker_count; i++) {
		struct worker_end *end = &cs->ends[i];
		uint32_t waiting = atomic_load(&end->waiting);
		if (sl_likely(waiting == 0)) continue;
		bool room = (waiting & ROOM_IN_ACTION) && cs->room_made;
		room = room || ((waiting & ROOM_ON_WAY) && worker_end_way(end) <= cs->way_max / 2);
		if (!room) continue;
		atomic_store(&end->waiting, 0);
		struct room_letter *letter = SL_NEW(struct room_letter);
		*letter = (struct room_letter){.post = {.run = room_run}, .cs = cs, .worker = i};
		sl_loop_post(cs->workers[i], &letter->post);
	}
	sources_go_on(cs);
	cs->room_made = false;
}
