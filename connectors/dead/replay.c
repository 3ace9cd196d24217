/* replay.c: see replay.h. */
#include "replay.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dead_row.h"
#include "log.h"

struct replay {
	struct connectors *cs;
	struct sl_timer timer;
	char *dir;
	struct timespec seen; /* the folder's time when it was last looked through */
	bool stopped, waits, warned;
	struct replay_actions all; /* listed when first needed after a change of them */

	/* The file at hand. */
	char *path;
	int fd;
	uint64_t at; /* all before it is in the log, or back among the dead letters */
	struct sl_buf text;
	struct replay_pick pick;
	char *rule;               /* that rows of it went to */
	struct dead_letter *back; /* for lines that stay */
	struct sl_buf stays;
	size_t rows, stay_rows;
	struct sl_arena arena;
};

/* ---- the folder ---- */

static int name_order(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

char **replay_names(const char *data_dir, const char *suffix, size_t *count) {
	char *dir = sl_asprintf("%s/dead", data_dir), **names = NULL;
	size_t cap = 0, end = strlen(suffix);
	DIR *d = opendir(dir);
	*count = 0;
	for (struct dirent *e; d && (e = readdir(d));) {
		size_t n = strlen(e->d_name);
		if (n <= end || strcmp(e->d_name + n - end, suffix) != 0) continue;
		SL_GROW(names, *count, cap);
		names[(*count)++] = sl_strdup(e->d_name);
	}
	if (d) closedir(d);
	sl_free(dir);
	if (*count) qsort(names, *count, sizeof *names, name_order);
	return names;
}

void replay_names_free(char **names, size_t count) {
	for (size_t i = 0; i < count; i++) sl_free(names[i]);
	sl_free(names);
}

char *replay_too_old(const struct sl_conn_action *a, int64_t at_ms, int64_t now_ms) {
	int64_t ttl = a->conf.retry.ttl_ms;
	if (ttl == CONF_UNLIMITED || now_ms - at_ms <= ttl || a->conf.retry.expired == EXPIRED_DEAD_LETTER) return NULL;
	return sl_asprintf("the row is older than the action's retry.ttl (%" PRId64 " s); raise that to give it back",
			   ttl / 1000);
}

/* ---- a file ---- */

static void file_end(struct replay *r) {
	if (r->fd >= 0) close(r->fd);
	dead_letter_free(r->back);
	replay_pick_fini(&r->pick);
	sl_free(r->path);
	sl_free(r->rule);
	sl_buf_clear(&r->text);
	sl_buf_clear(&r->stays);
	r->path = r->rule = NULL;
	r->back = NULL;
	r->fd = -1;
	r->at = r->rows = r->stay_rows = 0;
	r->waits = r->warned = false;
}

static bool file_begin(struct replay *r, const char *name) {
	const char *mark = strstr(name, ".jsonl.");
	char *path = sl_asprintf("%s/%s", r->dir, name);
	bool known = mark && replay_pick_read(path, &r->pick) == SL_OK;
	r->fd = known ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (r->fd < 0) {
		log_warn(LOG_ACTION, "file to replay cannot be read; it stays", "path=%s err=%s", path,
			 known  ? strerror(errno)
			 : mark ? "the .only beside it does not say which rows are wanted; remove it for all"
				: "its name is not one of ours");
		replay_pick_fini(&r->pick);
		sl_free(path);
		return false;
	}
	char *action = sl_asprintf("%.*s", (int)(mark - name), name);
	r->path = path;
	r->back = dead_letter_new(r->cs->data_dir, action);
	sl_free(action);
	return true;
}

/* The next whole lines into r->text; false: nothing is left. */
static bool portion_read(struct replay *r) {
	sl_buf_clear(&r->text);
	for (size_t want = REPLAY_PORTION;; want *= 2) {
		sl_buf_grow(&r->text, want);
		while (r->text.n < want) {
			ssize_t n = pread(r->fd, r->text.p + r->text.n, want - r->text.n, (off_t)(r->at + r->text.n));
			if (n < 0 && errno == EINTR) continue;
			if (n <= 0) return r->text.n > 0; /* the last line may lack its end */
			r->text.n += (size_t)n;
		}
		const char *end = memrchr(r->text.p, '\n', r->text.n);
		if (!end) continue;
		r->text.n = (size_t)(end - r->text.p) + 1;
		return true;
	}
}

static void actions_list(struct replay *r) {
	if (r->all.n > 0) return;
	SL_LIST_FOREACH(it, &r->cs->pipelines) {
		struct sl_pipeline *p = SL_LIST_ENTRY(it, struct sl_pipeline, link);
		if (!p->retiring) replay_actions_add(&r->all, pipeline_intake(p), p);
	}
}

enum line_answer {
	LINE_TAKEN,
	LINE_STAYS, /* the reason is in err; without one it was not asked for */
	LINE_NEXT,  /* for another action than those before it: begins the next portion */
};

/* A portion's rows for one action. */
struct portion {
	struct sl_pipeline *p;
	struct sl_chunk *chunk;
	size_t used; /* bytes of text that are dealt with */
	size_t stay;
};

static enum line_answer line_take(struct replay *r, struct portion *po, struct sl_slice line, struct sl_err *err) {
	struct dead_line l;
	struct sl_origin from;
	if (dead_line_read(line, &r->arena, &l, err) != SL_OK) return LINE_STAYS;
	dead_line_origin(&l, &r->arena, &from);
	if (!replay_picked(&r->pick, &from)) return LINE_STAYS;
	const struct replay_action *to;
	if (replay_target(&r->all, &l, r->pick.anyway, &r->arena, &to, err) != SL_OK) return LINE_STAYS;
	struct sl_pipeline *p = to->is;
	if (po->p && po->p != p) return LINE_NEXT;
	char *old = replay_too_old(pipeline_intake(p), l.at_ms, sl_loop_wall_ms(r->cs->loop));
	if (old) sl_err_set(err, SL_EINVAL, "%s", old);
	sl_free(old);
	if (err->status != SL_OK) return LINE_STAYS;
	struct sl_chunk *c = po->chunk ? po->chunk : connectors_chunk_new(p, 0, true);
	size_t before = c->buf.n;
	sl_origin_write(&c->buf, &from, UINT32_MAX);
	const struct sl_conn_action *a = pipeline_intake(p);
	int rc = dead_line_row(&l, a->params, a->param_count, &r->arena, &c->buf, err);
	if (rc != SL_OK)
		c->buf.n = before;
	else {
		if (c->rows == 0) c->at_ms = l.at_ms;
		c->rows++;
	}
	if (c->rows > 0) {
		po->p = p;
		po->chunk = c;
	} else
		connectors_chunk_free(c);
	return rc == SL_OK ? LINE_TAKEN : LINE_STAYS;
}

static void portion_sort(struct replay *r, struct portion *po) {
	struct sl_slice rest = sl_buf_slice(&r->text);
	sl_buf_clear(&r->stays);
	while (rest.n) {
		struct sl_err err = SL_ERR_INIT;
		struct sl_slice line = slice_next_part(&rest, '\n');
		enum line_answer answer = line.n == 0 ? LINE_TAKEN : line_take(r, po, line, &err);
		if (answer == LINE_STAYS) {
			if (err.status != SL_OK && !r->warned)
				log_warn(LOG_ACTION, "dead letter cannot be given back; it stays", "path=%s reason=%s",
					 dead_letter_path(r->back), sl_err_text(&err));
			r->warned = r->warned || err.status != SL_OK;
			sl_buf_append_slice(&r->stays, line);
			sl_buf_put(&r->stays, '\n');
			po->stay++;
		}
		sl_err_fini(&err);
		sl_arena_reset(&r->arena);
		if (answer == LINE_NEXT) return;
		po->used = r->text.n - rest.n;
	}
}

static bool stays_write(struct replay *r) {
	struct sl_slice rest = sl_buf_slice(&r->stays);
	while (rest.n) {
		struct sl_slice before = rest, line = slice_next_part(&rest, '\n');
		if (dead_letter_put(r->back, line) == SL_OK) continue;
		sl_buf_consume(&r->stays, r->stays.n - before.n);
		return false;
	}
	sl_buf_clear(&r->stays);
	return true;
}

static void wait_for(struct replay *r, const char *what) {
	if (!r->waits) log_warn(LOG_ACTION, "replay waits", "path=%s reason=%s", r->path, what);
	r->waits = true;
}

/* One portion; false: no room for it now. */
static bool portion_move(struct replay *r) {
	struct portion po = {.p = NULL};
	actions_list(r);
	portion_sort(r, &po);
	if (po.chunk) {
		uint32_t rows = po.chunk->rows;
		int rc = pipeline_take_replayed(po.p, po.chunk);
		if (rc != SL_OK) {
			connectors_chunk_free(po.chunk);
			sl_buf_clear(&r->stays);
			wait_for(r, rc == SL_ELIMIT ? "the action's buffer is full" : sl_status_text(rc));
			return false;
		}
		r->rows += rows;
		if (!r->rule) r->rule = sl_strdup(pipeline_intake(po.p)->rule);
	}
	r->at += po.used;
	r->stay_rows += po.stay;
	r->waits = false;
	return true;
}

static void file_done(struct replay *r) {
	/* Rows of a file may have gone to several actions of their rule. */
	SL_LIST_FOREACH(it, &r->cs->pipelines) {
		const struct sl_pipeline *p = SL_LIST_ENTRY(it, struct sl_pipeline, link);
		if (r->rule && strcmp(p->action->rule, r->rule) == 0) pipeline_log_sync_now(p);
	}
	log_always(LOG_INFO, LOG_ACTION, "dead letters given back", "path=%s rows=%zu stay=%zu", r->path, r->rows,
		   r->stay_rows);
	if (unlink(r->path) != 0)
		log_error(LOG_ACTION, "replayed file cannot be removed; it will be replayed again", "path=%s err=%s",
			  r->path, strerror(errno));
	else
		replay_pick_remove(r->path);
	file_end(r);
}

/* ---- turns ---- */

static bool next_file(struct replay *r) {
	size_t count;
	char **names = replay_names(r->cs->data_dir, REPLAY_SUFFIX, &count);
	for (size_t i = 0; i < count && !r->path; i++) (void)file_begin(r, names[i]);
	replay_names_free(names, count);
	return r->path != NULL;
}

/* True: there may be more to do at once. */
static bool step(struct replay *r) {
	if (!r->path) {
		struct stat st;
		if (stat(r->dir, &st) != 0) return false;
		if (st.st_mtim.tv_sec == r->seen.tv_sec && st.st_mtim.tv_nsec == r->seen.tv_nsec) return false;
		if (next_file(r)) return true;
		/* A change within the folder's tick of time would look like none. */
		if (sl_loop_wall_ms(r->cs->loop) / 1000 - st.st_mtim.tv_sec > 2) r->seen = st.st_mtim;
		return false;
	}
	if (!stays_write(r)) {
		wait_for(r, "a line that stays cannot be written back");
		return false;
	}
	if (!portion_read(r)) {
		file_done(r);
		return true;
	}
	return portion_move(r);
}

static void timer_fire(struct sl_timer *t) {
	struct replay *r = sl_container_of(t, struct replay, timer);
	if (r->stopped) return;
	sl_timer_set(r->cs->loop, t, step(r) ? 1 : REPLAY_LOOK_MS);
}

struct replay *replay_new(struct connectors *cs) {
	struct replay *r = SL_NEW(struct replay);
	r->cs = cs;
	r->fd = -1;
	r->dir = sl_asprintf("%s/dead", cs->data_dir);
	sl_arena_init(&r->arena, 4096);
	sl_timer_init(&r->timer, timer_fire);
	return r;
}

void replay_begin(struct replay *r) {
	r->seen = (struct timespec){0};
	replay_actions_forget(&r->all);
	if (!r->stopped) sl_timer_set(r->cs->loop, &r->timer, 1);
}

/* The rest in place of the whole, so that a clean stop repeats nothing. */
static void file_cut(struct replay *r) {
	char *rest = sl_asprintf("%s.rest", r->path), block[16 * 1024];
	int fd = open(rest, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	ssize_t n = -1;
	bool fine = fd >= 0;
	while (fine && (n = pread(r->fd, block, sizeof block, (off_t)r->at)) > 0) {
		fine = write(fd, block, (size_t)n) == n;
		r->at += (uint64_t)n;
	}
	if (fd >= 0) close(fd);
	if (!fine || n < 0 || rename(rest, r->path) != 0) {
		log_warn(LOG_ACTION, "replay was interrupted; the file will be replayed from its beginning", "path=%s",
			 r->path);
		unlink(rest);
	}
	sl_free(rest);
}

void replay_stop(struct replay *r) {
	if (r->stopped) return;
	r->stopped = true;
	sl_timer_cancel(&r->timer);
	if (!r->path) return;
	(void)stays_write(r);
	if (r->at > 0) file_cut(r);
	file_end(r);
}

void replay_free(struct replay *r) {
	if (!r) return;
	sl_timer_cancel(&r->timer);
	if (r->path) file_end(r);
	sl_buf_fini(&r->text);
	sl_buf_fini(&r->stays);
	replay_actions_forget(&r->all);
	sl_arena_fini(&r->arena);
	sl_free(r->dir);
	sl_free(r);
}
