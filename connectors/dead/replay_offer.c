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

/* All of one call. */
struct offers {
	const struct connectors_set *set;
	const struct replay_wants *wants;
	struct replay_actions all;
	char **own; /* names of files that actions of the set write to, without their ends, sorted */
	size_t *files;
};

struct offer {
	const struct replay_wants *wants;
	struct replay_actions *all;
	const char *rule, *name; /* of the file's action, "rule.0"; an orphan's rule is NULL */
	const char *path;
	size_t rows, stay, others, elsewhere;
	struct replay_pick pick;
	char *why;
	struct sl_arena arena;
};

/* Which action the row goes to; NULL: none, and why not is heap. */
static const struct sl_conn_action *row_action(struct offer *o, const struct dead_line *l, char **why) {
	struct sl_buf row = SL_BUF_INIT;
	struct sl_err err = SL_ERR_INIT;
	const struct replay_action *to;
	(void)replay_target(o->all, l, o->wants->anyway, &o->arena, &to, &err);
	const struct sl_conn_action *a = to ? to->a : NULL;
	*why = NULL;
	if (o->rule && !slice_equal_str(l->rule, o->rule))
		*why = sl_asprintf("the line is of rule %.*s, action %u", SL_SLICE_ARG(l->rule), l->action);
	else if (!a || dead_line_row(l, a->params, a->param_count, &o->arena, &row, &err) != SL_OK)
		*why = sl_strdup(sl_err_text(&err));
	else
		*why = replay_too_old(a, l->at_ms, sl_clock_wall_ms());
	sl_buf_fini(&row);
	sl_err_fini(&err);
	return *why ? NULL : a;
}

static void row_show(const struct offer *o, const struct dead_line *l, const struct sl_origin *from, const char *to,
		     const char *why) {
	struct replay_row row = {.action = o->name,
				 .at = l->at,
				 .given_up = l->given_up,
				 .reason = l->reason,
				 .connector = l->connector,
				 .row = l->row.raw,
				 .from = *from,
				 .attempts = l->attempts,
				 .to = to,
				 .stays = why};
	if (o->wants->row) o->wants->row(o->wants->arg, &row);
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
	char *why = NULL;
	const struct sl_conn_action *to = sound ? row_action(o, &l, &why) : NULL;
	if (!sound) why = sl_strdup(sl_err_text(&err));
	row_show(o, &l, &from, to ? to->name : NULL, why);
	if (to && strcmp(to->name, o->name) != 0) o->elsewhere++;
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

/* rule: NULL for a file that no action of the set writes to. */
static int file_offer(struct offers *all, const char *rule, const char *name, const char *path, const char *dead_file,
		      unsigned number, struct sl_err *err) {
	const struct replay_wants *w = all->wants;
	struct offer o = {.wants = w, .all = &all->all, .rule = rule, .name = name, .path = path};
	/* The pick only borrows here. */
	o.pick = (struct replay_pick){(char *)(uintptr_t)w->topic, (char *)(uintptr_t)w->clientid, w->anyway};
	sl_arena_init(&o.arena, 4096);
	++*all->files;
	int rc = file_look(&o, err);
	bool lost = !rule && o.rows == o.stay;
	struct replay_file f = {.path = path,
				.action = lost ? NULL : name,
				.rows = o.rows,
				.stay = o.stay,
				.others = o.others,
				.elsewhere = o.elsewhere,
				.why = lost ? "no action of this configuration writes there" : o.why};
	if (rc == SL_OK && w->file(w->arg, &f)) rc = file_move(&o, dead_file, number, err);
	sl_arena_fini(&o.arena);
	sl_free(o.why);
	return rc;
}

static int action_offer(struct offers *all, const struct sl_conn_action *a, struct sl_err *err) {
	char *name = pipeline_file_name(a), *dead_file = sl_asprintf("%s/dead/%s.jsonl", all->wants->data_dir, name);
	char *older = sl_asprintf("%s.1", dead_file), *const paths[] = {older, dead_file};
	int rc = SL_OK;
	for (unsigned i = 0; i < 2 && rc == SL_OK; i++)
		if (access(paths[i], F_OK) == 0) rc = file_offer(all, a->rule, a->name, paths[i], dead_file, i, err);
	sl_free(older);
	sl_free(dead_file);
	sl_free(name);
	return rc;
}

/* Of the rule that is wanted: "rule." and a number. prefix: NULL for any. */
static bool orphan_wanted(const char *prefix, const char *name) {
	size_t n = prefix ? strlen(prefix) : 0;
	return !prefix ||
	       (strncmp(name, prefix, n) == 0 && name[n] && name[n + strspn(name + n, "0123456789")] == '\0');
}

static int orphan_offer(struct offers *all, const char *file, const char *name, unsigned number, struct sl_err *err) {
	const char *dir = all->wants->data_dir;
	char *path = sl_asprintf("%s/dead/%s", dir, file), *dead_file = sl_asprintf("%s/dead/%s.jsonl", dir, name);
	int rc = file_offer(all, NULL, name, path, dead_file, number, err);
	sl_free(dead_file);
	sl_free(path);
	return rc;
}

static int name_order(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Files that no action of the set writes to: their rows may be for one that has moved up in the list. */
static int orphans(struct offers *all, struct sl_err *err) {
	static const char *const suffixes[] = {".jsonl.1", ".jsonl"};
	const char *only = all->wants->only;
	bool rule = false;
	for (size_t i = 0; i < all->set->spec_count && only && !rule; i++)
		rule = strcmp(all->set->specs[i]->action->rule, only) == 0;
	if (only && !rule) return SL_OK; /* an action, which has files of its own */
	char *prefix = only ? pipeline_rule_prefix(only) : NULL;
	int rc = SL_OK;
	for (unsigned s = 0; s < SL_ARRAY_LEN(suffixes); s++) {
		size_t count, end = strlen(suffixes[s]);
		char **files = replay_names(all->wants->data_dir, suffixes[s], &count);
		for (size_t i = 0; i < count && rc == SL_OK; i++) {
			char *name = slice_dup(slice_make(files[i], strlen(files[i]) - end));
			bool own = all->set->spec_count &&
				   bsearch(&name, all->own, all->set->spec_count, sizeof *all->own, name_order);
			if (!own && orphan_wanted(prefix, name)) rc = orphan_offer(all, files[i], name, s, err);
			sl_free(name);
		}
		replay_names_free(files, count);
	}
	sl_free(prefix);
	return rc;
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

static int offer_all(struct offers *all, struct sl_err *err) {
	const struct connectors_set *set = all->set;
	const struct replay_wants *wants = all->wants;
	int rc = SL_OK;
	bool any = false;
	for (size_t i = 0; i < set->spec_count && rc == SL_OK; i++) {
		const struct sl_conn_action *a = set->specs[i]->action;
		if (!wanted(wants, a)) continue;
		any = true;
		rc = action_offer(all, a, err);
	}
	if (wants->only && !any) return not_there(set, wants->only, err);
	return rc == SL_OK ? orphans(all, err) : rc;
}

int connectors_replay_offer(const struct connectors_set *set, const struct replay_wants *wants, size_t *files,
			    struct sl_err *err) {
	struct offers all = {.set = set, .wants = wants, .files = files};
	*files = 0;
	all.own = SL_NEW_ARRAY(char *, set->spec_count + 1);
	for (size_t i = 0; i < set->spec_count; i++) {
		replay_actions_add(&all.all, set->specs[i]->action, NULL);
		all.own[i] = pipeline_file_name(set->specs[i]->action);
	}
	if (set->spec_count) qsort(all.own, set->spec_count, sizeof *all.own, name_order);
	int rc = offer_all(&all, err);
	replay_actions_forget(&all.all);
	replay_names_free(all.own, set->spec_count);
	return rc;
}

size_t connectors_replay_waiting(const char *data_dir) {
	size_t count;
	char **names = replay_names(data_dir, REPLAY_SUFFIX, &count);
	replay_names_free(names, count);
	return count;
}
