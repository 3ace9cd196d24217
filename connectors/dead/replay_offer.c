/* replay_offer.c: `sluice replay`'s half: looks through dead-letter files and moves them aside. See connectors_replay.h. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "clock.h"
#include "connectors_replay.h"
#include "dead_row.h"
#include "replay.h"

enum { NAMES_SHOWN = 20 };

struct offer {
	const struct replay_wants *wants;
	const struct sl_conn_action *action;
	const char *path;
	size_t rows, stay, others;
	struct replay_pick pick;
	char *why;
	struct sl_arena arena;
};

/* Why the row cannot be given to the action; heap, NULL: it can. */
static char *row_stays(struct offer *o, const struct dead_line *l) {
	const struct sl_conn_action *a = o->action;
	struct sl_buf row = SL_BUF_INIT;
	struct sl_err err = SL_ERR_INIT;
	char *why = NULL;
	if (!slice_equal_str(l->rule, a->rule) || l->action != a->index)
		why = sl_asprintf("the line is of rule %.*s, action %u", SL_SLICE_ARG(l->rule), l->action);
	else if (l->connector.n && !slice_equal_str(l->connector, a->conn->name))
		why = sl_asprintf("it was for connector %.*s; the action's is now %s", SL_SLICE_ARG(l->connector),
				  a->conn->name);
	else if (dead_line_row(l, a->params, a->param_count, &o->arena, &row, &err) != SL_OK)
		why = sl_strdup(sl_err_text(&err));
	else
		why = replay_too_old(a, l->at_ms, sl_clock_wall_ms());
	sl_buf_fini(&row);
	sl_err_fini(&err);
	return why;
}

static void line_look(struct offer *o, struct sl_slice text) {
	struct sl_err err = SL_ERR_INIT;
	struct dead_line l;
	bool sound = dead_line_read(text, &o->arena, &l, &err) == SL_OK;
	struct sl_origin from = {0};
	if (sound) dead_line_origin(&l, &o->arena, &from);
	if (!replay_picked(&o->pick, &from)) {
		o->others++;
		sl_err_fini(&err);
		sl_arena_reset(&o->arena);
		return;
	}
	o->rows++;
	char *why = sound ? row_stays(o, &l) : sl_strdup(sl_err_text(&err));
	if (o->wants->row) {
		struct replay_row row = {.action = o->action->name,
					 .at = l.at,
					 .given_up = l.given_up,
					 .reason = l.reason,
					 .connector = l.connector,
					 .row = l.row.raw,
					 .from = from,
					 .attempts = l.attempts,
					 .stays = why};
		o->wants->row(o->wants->arg, &row);
	}
	if (why) o->stay++;
	if (why && !o->why) {
		o->why = why;
		why = NULL;
	}
	sl_free(why);
	sl_err_fini(&err);
	sl_arena_reset(&o->arena);
}

static int file_look(struct offer *o, struct sl_err *err) {
	FILE *f = fopen(o->path, "re");
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	if (!f) return sl_err_set(err, SL_EIO, "cannot read %s: %s", o->path, strerror(errno));
	while ((n = getline(&line, &cap, f)) > 0) {
		struct sl_slice text = slice_make(line, (size_t)n);
		if (text.p[text.n - 1] == '\n') text.n--;
		if (text.n) line_look(o, text);
	}
	int rc = ferror(f) ? sl_err_set(err, SL_EIO, "cannot read %s: %s", o->path, strerror(errno)) : SL_OK;
	free(line);
	fclose(f);
	return rc;
}

/* Names that no file has yet, and that sort in the order of the calls. */
static int file_move(const struct offer *o, const char *dead_file, unsigned number, struct sl_err *err) {
	char *to = sl_asprintf("%s.%013" PRId64 "-%u" REPLAY_SUFFIX, dead_file, sl_clock_wall_ms(), number);
	int rc = access(to, F_OK) == 0 ? sl_err_set(err, SL_EIO, "%s is there already", to) : SL_OK;
	if (rc == SL_OK) rc = replay_pick_write(to, &o->pick, err);
	if (rc == SL_OK && rename(o->path, to) != 0) {
		rc = sl_err_set(err, SL_EIO, "cannot rename %s to %s: %s", o->path, to, strerror(errno));
		replay_pick_remove(to);
	}
	sl_free(to);
	return rc;
}

static bool wanted(const struct replay_wants *w, const struct sl_conn_action *a) {
	return !w->only || strcmp(w->only, a->rule) == 0 || strcmp(w->only, a->name) == 0;
}

static int action_offer(const struct sl_conn_action *a, const struct replay_wants *w, size_t *files,
			struct sl_err *err) {
	char *name = pipeline_file_name(a), *dead_file = sl_asprintf("%s/dead/%s.jsonl", w->data_dir, name);
	char *older = sl_asprintf("%s.1", dead_file), *const paths[] = {older, dead_file};
	int rc = SL_OK;
	for (unsigned i = 0; i < 2 && rc == SL_OK; i++) {
		if (access(paths[i], F_OK) != 0) continue;
		/* The pick only borrows here. */
		struct offer o = {.wants = w, .action = a, .path = paths[i]};
		o.pick = (struct replay_pick){(char *)(uintptr_t)w->topic, (char *)(uintptr_t)w->clientid};
		sl_arena_init(&o.arena, 4096);
		rc = file_look(&o, err);
		struct replay_file f = {.path = o.path,
					.action = a->name,
					.rows = o.rows,
					.stay = o.stay,
					.others = o.others,
					.why = o.why};
		++*files;
		if (rc == SL_OK && w->file(w->arg, &f)) rc = file_move(&o, dead_file, i, err);
		sl_arena_fini(&o.arena);
		sl_free(o.why);
	}
	sl_free(older);
	sl_free(dead_file);
	sl_free(name);
	return rc;
}

static bool named_by_set(const struct connectors_set *set, const char *file) {
	for (size_t i = 0; i < set->spec_count; i++) {
		char *name = pipeline_file_name(set->specs[i]->action);
		size_t n = strlen(name);
		bool same = strncmp(file, name, n) == 0 && strncmp(file + n, ".jsonl", 6) == 0;
		sl_free(name);
		if (same) return true;
	}
	return false;
}

/* Files that no action of the set writes to are named, and nothing more. */
static void orphans(const struct connectors_set *set, const struct replay_wants *w, size_t *files) {
	size_t count;
	char **names = replay_names(w->data_dir, ".jsonl", &count);
	for (size_t i = 0; i < count; i++) {
		if (named_by_set(set, names[i])) continue;
		char *path = sl_asprintf("%s/dead/%s", w->data_dir, names[i]);
		struct replay_file f = {.path = path, .why = "no action of this configuration writes there"};
		(void)w->file(w->arg, &f);
		++*files;
		sl_free(path);
	}
	replay_names_free(names, count);
}

static int not_there(const struct connectors_set *set, const char *only, struct sl_err *err) {
	struct sl_buf list = SL_BUF_INIT;
	const char **names = SL_NEW_ARRAY(const char *, 2 * set->spec_count + 1);
	size_t n = 0;
	for (size_t i = 0; i < set->spec_count; i++) {
		const struct sl_conn_action *a = set->specs[i]->action;
		names[n++] = a->rule;
		names[n++] = a->name;
		if (i < NAMES_SHOWN) sl_buf_printf(&list, "%s%s", i ? ", " : "", a->name);
	}
	if (set->spec_count > NAMES_SHOWN) sl_buf_printf(&list, " and %zu more", set->spec_count - NAMES_SHOWN);
	const char *near = slice_nearest(slice_from_str(only), names, n);
	int r = sl_err_set(err, SL_ENOTFOUND,
			   "there is no rule or action %s with a connector in this configuration%s%s%s; it has: %s",
			   only, near ? ", did you mean " : "", near ? near : "", near ? "?" : "",
			   list.n ? sl_buf_cstr(&list) : "none");
	sl_buf_fini(&list);
	sl_free(names);
	return r;
}

int connectors_replay_offer(const struct connectors_set *set, const struct replay_wants *wants, size_t *files,
			    struct sl_err *err) {
	int rc = SL_OK;
	bool any = false;
	*files = 0;
	for (size_t i = 0; i < set->spec_count && rc == SL_OK; i++) {
		const struct sl_conn_action *a = set->specs[i]->action;
		if (!wanted(wants, a)) continue;
		any = true;
		rc = action_offer(a, wants, files, err);
	}
	if (wants->only && !any) return not_there(set, wants->only, err);
	if (!wants->only) orphans(set, wants, files);
	return rc;
}

size_t connectors_replay_waiting(const char *data_dir) {
	size_t count;
	char **names = replay_names(data_dir, REPLAY_SUFFIX, &count);
	replay_names_free(names, count);
	return count;
}
