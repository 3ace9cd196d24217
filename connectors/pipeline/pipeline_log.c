/* pipeline_log.c: where an action's log lies, logs that earlier settings left, sync, and saving at the end. */
#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "connectors_int.h"
#include "disk.h"
#include "hash.h"
#include "likeness.h"
#include "log.h"

#define SEGMENTS_MIN 8  /* the disk budget is cut in at least this many files */
#define ROW_LEFT 0x8000 /* in a row's flags, only while saving */
#define NAME_MAX_BYTES 180
#define MOVED_MAX 256 /* records, to one sync */

/* Letters that are safe in a file name, everything else as %XX; long ones end in a hash. */
static char *name_safe(const char *name) {
	struct sl_buf b = SL_BUF_INIT;
	for (const char *p = name; *p; p++) {
		bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
			     *p == '_' || *p == '-';
		if (plain)
			sl_buf_put(&b, *p);
		else
			sl_buf_printf(&b, "%%%02X", (unsigned char)*p);
	}
	if (b.n > NAME_MAX_BYTES) {
		b.n = NAME_MAX_BYTES;
		sl_buf_printf(&b, "-%016" PRIx64, sl_hash_stable(slice_from_str(name)));
	}
	return sl_buf_steal(&b);
}

char *pipeline_rule_prefix(const char *rule) {
	char *safe = name_safe(rule), *prefix = sl_asprintf("%s.", safe);
	sl_free(safe);
	return prefix;
}

char *pipeline_file_name(const struct sl_conn_action *a) {
	char *prefix = pipeline_rule_prefix(a->rule), *name = sl_asprintf("%s%u", prefix, a->index);
	sl_free(prefix);
	return name;
}

bool pipeline_log_owned(const struct connectors *cs, const char *dir) {
	return log_map_find(&cs->logs, sl_hash(slice_from_str(dir)), dir) != NULL;
}

static void log_own(struct sl_pipeline *p) {
	bool was_there;
	log_map_put(&p->cs->logs, sl_hash(slice_from_str(p->log_dir)), p->log_dir, &was_there)->p = p;
}

void pipeline_log_forget(struct sl_pipeline *p) {
	if (!p->log_dir) return;
	struct log_slot *slot = log_map_find(&p->cs->logs, sl_hash(slice_from_str(p->log_dir)), p->log_dir);
	if (slot && slot->p == p) log_map_remove(&p->cs->logs, slot);
}

struct sl_slice pipeline_owner(const struct sl_conn_action *a) {
	struct sl_slice owner = slice_from_str(a->owner);
	return owner.n <= OWNER_MAX ? owner : SL_SLICE_EMPTY;
}

struct spill_opts pipeline_log_opts(const struct sl_conn_action *a, const char *dir, struct sl_slice *names) {
	const struct buffer_conf *conf = &a->conf.buffer;
	uint64_t segment = (uint64_t)conf->segment;
	if (conf->disk != CONF_UNLIMITED && segment > (uint64_t)conf->disk / SEGMENTS_MIN)
		segment = (uint64_t)conf->disk / SEGMENTS_MIN;
	for (size_t i = 0; i < a->param_count; i++) {
		names[i] = a->params[i].name;
		if (names[i].n > UINT16_MAX) names[i].n = UINT16_MAX;
	}
	return (struct spill_opts){.dir = dir,
				   .segment_bytes = segment,
				   .columns = names,
				   .column_count = a->param_count,
				   .owner = pipeline_owner(a),
				   .sync = conf->sync == SYNC_TICK};
}

static int log_synced(const struct spill *log) {
	int fd = spill_sync_fd(log);
	int r = fd >= 0 && fdatasync(fd) != 0 ? sl_status_from_errno(errno) : SL_OK;
	if (fd >= 0) close(fd);
	return r;
}

/* Records of another log that stand in ours, too; there they are done when they are as safe here as our rows are. */
struct moved {
	struct spill_ref ref[MOVED_MAX];
	size_t n;
};

static int moved_done(const struct sl_pipeline *p, struct spill *from, struct moved *m) {
	int r = p->action->conf.buffer.sync == SYNC_TICK ? log_synced(p->log) : SL_OK;
	for (size_t i = 0; r == SL_OK && i < m->n; i++) spill_done(from, &m->ref[i]);
	if (r == SL_OK) m->n = 0;
	return r;
}

/* Moves what is undone in a log of earlier settings behind our own. What got there before it fails is done, too, lest each start
 * move it once more; but not where syncing failed. */
static int log_move(struct sl_pipeline *p, struct spill *from, struct moved *m) {
	struct sl_chunk *c = connectors_chunk_new(p, 0, true);
	int r = SL_OK;
	while (r == SL_OK) {
		struct spill_ref *ref = &m->ref[m->n], *none = NULL;
		const struct spill_names *old = NULL;
		int status;
		c->buf.n = sizeof(struct spill_head);
		r = spill_read(from, &c->buf, ref, &c->rows, &old);
		if (r == SL_ECORRUPT) {
			r = SL_OK; /* said by the log itself */
			continue;
		}
		if (r != SL_OK) break;
		if (old && !pipeline_chunk_remap(p, p->action, c, old)) {
			r = SL_ETYPE;
			break;
		}
		((struct spill_head *)(void *)c->buf.p)->rows = c->rows;
		void *record = c->buf.p;
		size_t size = c->buf.n;
		if (spill_append(p->log, &record, &size, &none, 1, &status) != 1)
			r = status;
		else if (++m->n == MOVED_MAX)
			r = moved_done(p, from, m);
	}
	connectors_chunk_free(c);
	int done = m->n < MOVED_MAX ? moved_done(p, from, m) : r;
	return r == SL_ENOTFOUND ? done : r;
}

static void log_adopt(struct sl_pipeline *p, const char *dir) {
	struct sl_slice *names = SL_NEW_ARRAY(struct sl_slice, p->action->param_count + 1);
	struct spill_opts opts = pipeline_log_opts(p->action, dir, names);
	struct moved *m = SL_NEW(struct moved);
	struct spill *from;
	struct sl_err err = SL_ERR_INIT;
	int r = spill_open(&opts, &from, &err);
	if (r == SL_OK) {
		r = log_move(p, from, m);
		spill_close(from);
		if (r == SL_OK) r = spill_remove(dir);
	}
	if (r != SL_OK)
		log_warn(LOG_ACTION, "log of earlier settings is left for the next start", "path=%s err=%s", dir,
			 err.text ? err.text : sl_status_text(r));
	sl_err_fini(&err);
	sl_free(m);
	sl_free(names);
}

/* Takes the first line off. */
static struct sl_slice line_next(struct sl_slice *lines) {
	ptrdiff_t n = slice_find_byte(*lines, '\n');
	struct sl_slice line = n < 0 ? *lines : slice_make(lines->p, (size_t)n);
	*lines = slice_from(*lines, n < 0 ? lines->n : line.n + 1);
	return line;
}

/* The further logs that it goes on with: those of pipelines that a reload had replaced, and that had not finished. */
static void log_adopt_all(struct sl_pipeline *p, const char *parent, struct sl_slice names) {
	while (names.n) {
		struct sl_slice name = line_next(&names);
		char *dir = sl_asprintf("%s/%.*s", parent, (int)name.n, name.p);
		log_adopt(p, dir);
		sl_free(dir);
	}
}

/* Of a former run, or a new one; what lies there of an action that is not configured any more is left alone. */
static char *log_dir(const struct sl_pipeline *p, const char *parent) {
	const struct sl_conn_action *a = p->action;
	struct sl_slice logs = slice_from_str(a->logs), first = line_next(&logs);
	if (first.n) return sl_asprintf("%s/%.*s", parent, (int)first.n, first.p);
	char *name = pipeline_file_name(a), *dir = sl_asprintf("%s/%s", parent, name);
	struct stat st;
	for (unsigned i = 2; pipeline_log_owned(p->cs, dir) || stat(dir, &st) == 0; i++) {
		sl_free(dir);
		dir = sl_asprintf("%s/%s~%u", parent, name, i);
	}
	sl_free(name);
	return dir;
}

int pipeline_log_open(struct sl_pipeline *p, struct sl_err *err) {
	if (p->action->conf.buffer.disk == 0) return SL_OK;
	char *parent = sl_asprintf("%s/actions", p->cs->data_dir), *dir = log_dir(p, parent);
	struct sl_slice *names = SL_NEW_ARRAY(struct sl_slice, p->action->param_count + 1);
	struct spill_opts opts = pipeline_log_opts(p->action, dir, names);
	opts.owner = SL_SLICE_EMPTY;    /* until the action is in force */
	int r = sl_disk_mkdirs(parent); /* the log's own folder is made with its first row */
	if (r != SL_OK)
		sl_err_set(err, r, "cannot make the folder %s: %s; check node.data_dir and its rights", parent,
			   strerror(errno));
	if (r == SL_OK) r = spill_open(&opts, &p->log, err);
	p->log_dir = dir;
	if (r == SL_OK)
		log_own(p);
	else
		sl_err_prefix(err, "action %s", p->action->name);
	sl_free(names);
	sl_free(parent);
	return r;
}

void pipeline_log_begin(struct sl_pipeline *p) {
	if (!p->log) return;
	char *parent = sl_asprintf("%s/actions", p->cs->data_dir);
	struct sl_slice others = slice_from_str(p->action->logs);
	(void)line_next(&others); /* is ours */
	spill_owner_change(p->log, pipeline_owner(p->action));
	log_adopt_all(p, parent, others);
	struct spill_stat stat;
	spill_stat(p->log, &stat);
	p->count.recovered = stat.unread_rows;
	if (stat.unread_rows)
		log_always(LOG_INFO, LOG_ACTION, "rows recovered from the log", "action=%s rows=%" PRIu64 " path=%s",
			   p->action->name, stat.unread_rows, p->log_dir);
	sl_free(parent);
}

/* ---- sync: tick ---------------------------------------------------------------------------------------------------- */

#define SYNC_RETRY_MS 1000

/* One fdatasync at a time, on libuv's threads: the loop goes on, and what arrives meanwhile is synced by the next. */
struct pipeline_sync {
	uv_fs_t req;
	struct sl_pipeline *p;
	int fd;
	bool running;
	uint64_t retry_ms;
};

static void tickets_confirm(struct sl_pipeline *p, struct sl_tickets *list) {
	for (struct sl_tickets *t = list, *next; t; t = next) {
		struct worker_end *end = &p->cs->ends[t->worker];
		next = t->next;
		t->next = NULL;
		*end->confirmed_tail = t;
		end->confirmed_tail = &t->next;
	}
}

static void sync_done(uv_fs_t *req) {
	struct pipeline_sync *s = sl_container_of(req, struct pipeline_sync, req);
	struct sl_pipeline *p = s->p;
	int result = (int)req->result;
	uv_fs_req_cleanup(req);
	close(s->fd);
	s->running = false;
	p->sync_failed = result < 0 ? uv_strerror(result) : NULL;
	if (result < 0) {
		/* Nobody is confirmed before a sync succeeds. */
		log_error(LOG_ACTION, "log cannot be synced; its publishers wait", "action=%s path=%s err=%s",
			  p->action->name, p->log_dir, uv_strerror(result));
		struct sl_tickets **tail = &p->syncing;
		while (*tail) tail = &(*tail)->next;
		*tail = p->unsynced;
		p->unsynced = p->syncing;
		s->retry_ms = p->now_ms + SYNC_RETRY_MS;
	} else
		tickets_confirm(p, p->syncing);
	p->syncing = NULL;
	pipeline_wake(p);
}

void pipeline_sync(struct sl_pipeline *p) {
	struct pipeline_sync *s = p->sync;
	if (s->running || !p->unsynced || p->now_ms < s->retry_ms) return;
	s->p = p;
	s->fd = spill_sync_fd(p->log);
	p->syncing = p->unsynced;
	p->unsynced = NULL;
	if (s->fd < 0) { /* the segment was synced when it ended */
		tickets_confirm(p, p->syncing);
		p->syncing = NULL;
		return;
	}
	s->running = true;
	if (uv_fs_fdatasync(sl_loop_uv(p->cs->loop), &s->req, s->fd, sync_done) != 0) {
		s->req.result = UV_EIO;
		sync_done(&s->req);
	}
}

void pipeline_log_sync_now(const struct sl_pipeline *p) {
	if (p->sync && p->log && log_synced(p->log) != SL_OK)
		log_error(LOG_ACTION, "log cannot be synced", "action=%s path=%s err=%s", p->action->name, p->log_dir,
			  strerror(errno));
}

struct pipeline_sync *pipeline_sync_new(void) {
	return SL_NEW(struct pipeline_sync);
}
bool pipeline_sync_busy(const struct sl_pipeline *p) { return p->sync && p->sync->running; }
uint64_t pipeline_sync_due(const struct sl_pipeline *p) {
	return p->sync && !p->sync->running && p->unsynced ? p->sync->retry_ms : UINT64_MAX;
}

/* ---- Saving at the end. ------------------------------------------------------------------------------------------------ */

static void row_mark(struct row_ref *ref) {
	/* Nobody else reads the row any more: no batch is out. */
	((struct sql_row_head *)(uintptr_t)ref->row)->flags |= ROW_LEFT;
}

static void queue_mark(struct row_queue *q) {
	for (size_t i = 0; i < q->n; i++) row_mark(row_queue_at(q, i));
}

void pipeline_left_mark(struct sl_pipeline *p) {
	for (uint32_t i = 0; i < p->way_count; i++) {
		queue_mark(&p->way[i].q);
		queue_mark(&p->way[i].back); /* when others of the way never came back */
	}
	for (size_t i = 0; i < LANE_COUNT && p->lane; i++) queue_mark(&p->lane[i].parked);
	for (size_t i = 0; i < p->dead_n; i++) row_mark(&p->dead[i].ref);
}

static char *piece_move(char *to, const char *from) {
	uint32_t size = sql_row_head(from)->size;
	memmove(to, from, size);
	return to + size;
}

/* Leaves only the rows that are not decided, the marked ones and those that were never sorted, and their origins. */
static void chunk_compact(struct sl_chunk *c, const char *unsorted) {
	char *to = c->buf.p + sizeof(struct spill_head), *from = to;
	const char *origin = NULL; /* of the next rows, and not moved yet */
	uint32_t left = 0;
	for (uint32_t i = 0; i < c->rows;) {
		struct sql_row_head *head = (struct sql_row_head *)(void *)from;
		char *next = from + head->size;
		bool row = !(head->flags & SQL_ROW_FRAME);
		bool stays = (head->flags & ROW_LEFT) || (unsorted && (const char *)from >= unsorted);
		head->flags &= (uint16_t)~ROW_LEFT;
		if (!row) origin = from;
		if (row && stays) {
			if (origin) to = piece_move(to, origin);
			origin = NULL;
			to = piece_move(to, from);
			left++;
		}
		i += row;
		from = next;
	}
	c->rows = left;
	c->buf.n = (size_t)(to - c->buf.p);
	sl_buf_clear(&c->index);
}

/* For all chunks in memory, in their order: lines have the same. */
static const char *chunk_unsorted(struct sl_pipeline *p, const struct sl_chunk *c) {
	struct chunk_line *line = &p->line[c->qos];
	if (line->head != c) return NULL;
	const char *unsorted = p->cursor[c->qos];
	chunk_line_pop(line);
	if (line->head) p->cursor[c->qos] = chunk_rows(line->head);
	return unsorted;
}

void pipeline_chunk_cut(struct sl_chunk *c, const char *row) {
	chunk_compact(c, row);
	c->found = NULL;
}

void pipeline_kept_only(struct sl_pipeline *p, struct sl_chunk *c) {
	const struct row_at *index = chunk_index(c);
	for (size_t i = 0; i < p->kept.n; i++)
		row_mark(&(struct row_ref){.row = c->buf.p + index[p->kept.ref[i].index].at});
	p->kept.n = 0;
	chunk_compact(c, NULL);
	c->found = NULL;
}

/* What is in the log comes back without the rows that are decided. Of these and no others that is known, or the chunk comes whole. */
static void chunk_tell(struct sl_pipeline *p, struct sl_chunk *c, const char *unsorted) {
	uint64_t *decided = SL_NEW_ARRAY(uint64_t, c->rows / 64 + 1);
	uint32_t left = 0, i = 0;
	for (const char *row = chunk_rows(c); i < c->rows; row += sql_row_head(row)->size) {
		unsigned flags = sql_row_head(row)->flags;
		if (flags & SQL_ROW_FRAME) continue;
		bool stays = (flags & ROW_LEFT) || (unsorted && row >= unsorted);
		left += stays;
		decided[i / 64] |= (uint64_t)!stays << (i % 64);
		i++;
	}
	if (left == c->undecided && left > 0 && left < c->rows) spill_decided(p->log, &c->ref, decided, c->rows);
	sl_free(decided);
}

void pipeline_left_compact(struct sl_pipeline *p, struct sl_chunk *c) {
	const char *unsorted = chunk_unsorted(p, c);
	if (spill_ref_logged(&c->ref)) chunk_tell(p, c, unsorted);
	chunk_compact(c, unsorted);
}

/* Of the chunk's values, which may be of settings before: held ones are, and those that were never taken in. */
static void log_names(struct sl_pipeline *p, const struct sl_chunk *c) {
	const struct sl_conn_action *a = pipeline_intake(p);
	const struct spill_names *names = c->strange ? c->strange : c->format != p->format ? &c->format->names : NULL;
	struct sl_slice *own = SL_NEW_ARRAY(struct sl_slice, a->param_count + 1);
	struct spill_opts opts = pipeline_log_opts(a, p->log_dir, own);
	if (names) {
		opts.columns = names->at;
		opts.column_count = names->count;
	}
	spill_change(p->log, &opts);
	sl_free(own);
}

static void chunk_save(struct sl_pipeline *p, struct sl_chunk *c) {
	struct spill_head *head = (struct spill_head *)(void *)c->buf.p;
	struct spill_ref *none = NULL;
	void *record = c->buf.p;
	size_t size = c->buf.n;
	int status = SL_ENOSPACE;
	head->rows = c->rows;
	if (c->rows == 0) return;
	if (p->log) log_names(p, c);
	if (p->log && spill_append(p->log, &record, &size, &none, 1, &status) == 1) return;
	p->count.dropped_shutdown += c->rows;
	pipeline_note(p, NOTE_SHUTDOWN, c->rows, pipeline_row_topic(c, chunk_row_at(chunk_rows(c))),
		      p->log ? sl_status_text(status) : "buffer.disk is 0");
}

static bool chunk_is_out(const struct sl_pipeline *p, const struct sl_chunk *c) {
	SL_LIST_FOREACH(it, &p->out) {
		const struct pipeline_batch *bt = SL_LIST_ENTRY(it, struct pipeline_batch, out);
		for (uint32_t i = 0; i < bt->b.count; i++)
			if (bt->ref[i].chunk == c) return true;
	}
	return false;
}

/* Rows that are out are not even written to. */
static void chunk_unmark(struct sl_chunk *c) {
	const struct row_at *at = chunk_index(c);
	for (uint32_t i = 0; i < c->rows; i++) {
		struct sql_row_head *head = (struct sql_row_head *)(void *)(c->buf.p + at[i].at);
		if (head->flags & ROW_LEFT) head->flags &= (uint16_t)~ROW_LEFT;
	}
}

/* A client that did not come back may read its rows until the process ends: such a chunk stays as it is, and is kept whole. */
static void chunk_abandon(struct sl_pipeline *p, struct sl_chunk *c) {
	const char *unsorted = chunk_unsorted(p, c);
	bool is_out = chunk_is_out(p, c);
	if (spill_ref_logged(&c->ref)) {
		if (!is_out) chunk_tell(p, c, unsorted);
		return;
	}
	if (is_out)
		chunk_unmark(c);
	else
		chunk_compact(c, unsorted);
	chunk_save(p, c);
}

void pipeline_save_beside_out(struct sl_pipeline *p) {
	if (p->next && sl_list_empty(&p->out)) pipeline_change_finish(p);
	pipeline_left_mark(p);
	SL_LIST_FOREACH(it, &p->in_mem) chunk_abandon(p, SL_LIST_ENTRY(it, struct sl_chunk, in_mem));
	for (struct sl_chunk *c; (c = chunk_line_pop(&p->held)) || (c = chunk_line_pop(&p->incoming));)
		chunk_save(p, c);
	spill_close(p->log);
	p->log = NULL;
}

void pipeline_save(struct sl_pipeline *p) {
	if (p->next) pipeline_change_finish(p);
	pipeline_left_mark(p);
	SL_LIST_FOREACH(it, &p->in_mem) {
		struct sl_chunk *c = SL_LIST_ENTRY(it, struct sl_chunk, in_mem);
		const char *unsorted = chunk_unsorted(p, c);
		if (spill_ref_logged(&c->ref)) {
			chunk_tell(p, c, unsorted);
			continue;
		}
		chunk_compact(c, unsorted);
		chunk_save(p, c);
	}
	for (struct sl_chunk *c; (c = chunk_line_pop(&p->held)) || (c = chunk_line_pop(&p->incoming));) {
		chunk_arrived(p->cs, c);
		chunk_save(p, c);
		connectors_chunk_free(c);
	}
	spill_close(p->log); /* before the chunks go: the mark stands at the first of them */
	p->log = NULL;
	for (struct sl_list *it; (it = sl_list_pop_front(&p->in_mem));)
		connectors_chunk_free(SL_LIST_ENTRY(it, struct sl_chunk, in_mem));
	pipeline_mem_sub(p, p->mem_bytes);
	p->cs->mem_bytes -= p->held_cost;
	p->held_cost = 0;
	pipeline_full_check(p);
	p->mem_rows = p->held_rows = p->held_bytes = p->incoming_rows = 0;
}
