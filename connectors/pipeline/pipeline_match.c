/* pipeline_match.c: which running pipeline, or which log of a former run, each action of a new configuration goes on with.
 *
 * By rule: actions are known by their place, which shifts, so what they say is compared (likeness.h). A pipeline that no action goes on with
 * ends when it has delivered what it has; a log that no action goes on with is left, and told of (connectors_orphans_warn). */
#include <dirent.h>
#include <stdlib.h>

#include "connectors_int.h"
#include "likeness.h"

/* ---- Running pipelines. ----------------------------------------------------------------------------------------------------- */

struct running_slot {
	uint64_t hash;
	bool used;
	const char *rule; /* of its first */
	struct sl_pipeline **v;
	size_t n, cap;
};
#define HMAP_NAME running_map
#define HMAP_SLOT struct running_slot
#define HMAP_KEY const char *
#define HMAP_EQUAL(slot, key) (strcmp((slot)->rule, key) == 0)
#include "hmap.h"

static void running_fill(struct connectors *cs, struct running_map *running) {
	SL_LIST_FOREACH(it, &cs->pipelines) {
		struct sl_pipeline *p = SL_LIST_ENTRY(it, struct sl_pipeline, link);
		bool was_there;
		if (p->retiring) continue;
		const char *rule = p->action->rule;
		struct running_slot *slot = running_map_put(running, sl_hash(slice_from_str(rule)), rule, &was_there);
		if (!was_there) {
			slot->rule = rule;
			slot->v = NULL;
			slot->n = slot->cap = 0;
		}
		SL_GROW(slot->v, slot->n, slot->cap);
		slot->v[slot->n++] = p;
	}
}

static struct likeness_side side_of(const struct sl_conn_action *a) {
	return (struct likeness_side){.face = slice_from_str(a->face), .place = a->index};
}

static bool unchanged(struct connectors *cs, const struct sl_conn_action *runs, const struct sl_conn_action *wanted) {
	return runs->index == wanted->index && runs->conn == connectors_conn_equal(cs, wanted->conn) &&
	       json_equal(runs->tree, wanted->tree) && late_equal(runs, wanted) && msgid_equal(runs, wanted);
}

static void rule_match(struct connectors *cs, struct sl_action_spec **specs, size_t n,
		       const struct running_slot *slot) {
	struct likeness_side *left = SL_NEW_ARRAY(struct likeness_side, n);
	struct likeness_side *right = SL_NEW_ARRAY(struct likeness_side, slot->n);
	size_t *pair = SL_NEW_ARRAY(size_t, n);
	for (size_t i = 0; i < n; i++) left[i] = side_of(specs[i]->action);
	for (size_t i = 0; i < slot->n; i++) right[i] = side_of(pipeline_intake(slot->v[i]));
	likeness_pair(left, n, right, slot->n, pair);
	for (size_t i = 0; i < n; i++) {
		struct sl_pipeline *p = pair[i] == LIKENESS_NONE ? NULL : slot->v[pair[i]];
		if (!p) continue;
		specs[i]->changes = !unchanged(cs, pipeline_intake(p), specs[i]->action);
		if (!specs[i]->changes || pipeline_can_change(p, specs[i]->action)) specs[i]->p = p;
	}
	sl_free(left);
	sl_free(right);
	sl_free(pair);
}

/* ---- Logs of former runs. --------------------------------------------------------------------------------------------------- */

static int name_order(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void logs_list(struct connectors *cs) {
	char *parent = sl_asprintf("%s/actions", cs->data_dir);
	DIR *d = opendir(parent);
	for (struct dirent *e; d && (e = readdir(d));) {
		if (e->d_name[0] == '.') continue;
		char *dir = sl_asprintf("%s/%s", parent, e->d_name);
		bool owned = pipeline_log_owned(cs, dir);
		sl_free(dir);
		if (owned) continue;
		SL_GROW(cs->leftovers, cs->leftover_count, cs->leftover_cap);
		cs->leftovers[cs->leftover_count++] = sl_strdup(e->d_name);
	}
	if (d) closedir(d);
	sl_free(parent);
	if (cs->leftover_count) qsort(cs->leftovers, cs->leftover_count, sizeof *cs->leftovers, name_order);
}

static void logs_free(struct connectors *cs) {
	for (size_t i = 0; i < cs->leftover_count; i++) sl_free(cs->leftovers[i]);
	sl_free(cs->leftovers);
	cs->leftovers = NULL;
	cs->leftover_count = cs->leftover_cap = 0;
}

static size_t logs_from(const struct connectors *cs, const char *begin) {
	size_t from = 0, to = cs->leftover_count;
	while (from < to) {
		size_t middle = from + (to - from) / 2;
		if (strcmp(cs->leftovers[middle], begin) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

/* "rule.3" or "rule.3~2" behind "rule.": the place; false: a folder of a rule with a longer name. */
static bool place_read(const char *text, uint32_t *place) {
	char *end;
	unsigned long n = strtoul(text, &end, 10);
	*place = (uint32_t)n;
	return end != text && n <= UINT32_MAX && (*end == '\0' || *end == '~');
}

struct found_log {
	const char *name;
	char *owner;
	struct likeness_side side;
};

static size_t logs_of_rule(const struct connectors *cs, const char *rule, struct found_log **out) {
	struct found_log *v = NULL;
	size_t n = 0, cap = 0;
	char *begin = pipeline_rule_prefix(rule);
	size_t len = strlen(begin);
	for (size_t i = logs_from(cs, begin); i < cs->leftover_count; i++) {
		const char *name = cs->leftovers[i];
		uint32_t place;
		if (strncmp(name, begin, len) != 0) break;
		if (!place_read(name + len, &place)) continue;
		struct sl_buf owner = SL_BUF_INIT;
		char *dir = sl_asprintf("%s/actions/%s", cs->data_dir, name);
		spill_owner(dir, OWNER_MAX, &owner);
		sl_free(dir);
		SL_GROW(v, n, cap);
		size_t bytes = owner.n;
		v[n] = (struct found_log){.name = name, .owner = sl_buf_steal(&owner), .side = {.place = place}};
		(void)likeness_owner_read(slice_make(v[n].owner, bytes), &v[n].side);
		n++;
	}
	sl_free(begin);
	*out = v;
	return n;
}

/* The most alike of those that have no log yet, and for what is left those that write to the same, or, where no destination is known,
 * say exactly the same: a reload had begun another log. */
static void log_give(struct sl_action_spec **specs, size_t n, const struct found_log *log) {
	struct sl_conn_action *best = NULL;
	uint32_t most = 0;
	for (size_t i = 0; i < n; i++) {
		struct sl_conn_action *a = specs[i]->p ? NULL : specs[i]->action;
		if (!a || !a->logs) continue;
		struct likeness_side side = side_of(a);
		uint32_t like = likeness(&side, &log->side);
		if (like <= most || (log->side.face.n && like < LIKENESS_DESTINATION)) continue;
		most = like;
		best = a;
	}
	if (!best) return;
	char *all = sl_asprintf("%s\n%s", best->logs, log->name);
	sl_free(best->logs);
	best->logs = all;
}

static void logs_match(struct connectors *cs, struct sl_action_spec **specs, size_t n) {
	struct found_log *logs;
	size_t log_n = logs_of_rule(cs, specs[0]->action->rule, &logs), fresh = 0;
	struct likeness_side *left = SL_NEW_ARRAY(struct likeness_side, n);
	struct likeness_side *right = SL_NEW_ARRAY(struct likeness_side, log_n + 1);
	size_t *pair = SL_NEW_ARRAY(size_t, n), *which = SL_NEW_ARRAY(size_t, n);
	bool *given = SL_NEW_ARRAY(bool, log_n + 1);
	for (size_t i = 0; i < n; i++) {
		if (specs[i]->p || specs[i]->action->conf.buffer.disk == 0) continue;
		which[fresh] = i;
		left[fresh++] = side_of(specs[i]->action);
	}
	for (size_t i = 0; i < log_n; i++) right[i] = logs[i].side;
	likeness_pair(left, fresh, right, log_n, pair);
	for (size_t i = 0; i < fresh; i++) {
		if (pair[i] == LIKENESS_NONE) continue;
		specs[which[i]]->action->logs = sl_strdup(logs[pair[i]].name);
		given[pair[i]] = true;
	}
	for (size_t i = 0; i < log_n; i++) {
		if (!given[i]) log_give(specs, n, &logs[i]);
		sl_free(logs[i].owner);
	}
	sl_free(logs);
	sl_free(left);
	sl_free(right);
	sl_free(pair);
	sl_free(which);
	sl_free(given);
}

/* ---- Both. -------------------------------------------------------------------------------------------------------------------- */

static void owners_set(struct sl_action_spec **specs, size_t n) {
	const char **others = SL_NEW_ARRAY(const char *, n);
	for (size_t i = 0; i < n; i++) {
		size_t count = 0;
		for (size_t j = 0; j < n; j++)
			if (j != i) others[count++] = specs[j]->action->face;
		sl_free(specs[i]->action->owner);
		specs[i]->action->owner =
		    likeness_owner(specs[i]->action->face, specs[i]->action->index, others, count);
	}
	sl_free(others);
}

void pipeline_owner_take(struct sl_pipeline *p, struct sl_conn_action *from) {
	struct sl_conn_action *a = pipeline_intake(p);
	char *owner = a->owner;
	a->owner = from->owner;
	from->owner = owner;
	a->rows_of = p->format->made.rows_of = from->rows_of;
	if (p->log) spill_owner_change(p->log, pipeline_owner(a));
}

void pipeline_owner_gone(struct sl_pipeline *p) {
	struct sl_conn_action *a = pipeline_intake(p);
	char *owner = likeness_owner_gone(a->owner);
	sl_free(a->owner);
	a->owner = owner;
	if (p->log) spill_owner_change(p->log, pipeline_owner(a));
}

void pipeline_log_gone(const char *dir) {
	struct sl_buf owner = SL_BUF_INIT;
	struct likeness_side side = {0};
	spill_owner(dir, OWNER_MAX, &owner);
	if (likeness_owner_read(sl_buf_slice(&owner), &side) && !side.gone) {
		char *gone = likeness_owner_gone(sl_buf_cstr(&owner));
		spill_owner_put(dir, slice_from_str(gone));
		sl_free(gone);
	}
	sl_buf_fini(&owner);
}

void pipelines_match(struct connectors *cs, struct connectors_set *set) {
	struct running_map running = {0};
	running_fill(cs, &running);
	logs_list(cs);
	for (size_t i = 0, n; i < set->spec_count; i += n) {
		const char *rule = set->specs[i]->action->rule;
		struct running_slot *slot = running_map_find(&running, sl_hash(slice_from_str(rule)), rule);
		for (n = 1; i + n < set->spec_count && strcmp(set->specs[i + n]->action->rule, rule) == 0;) n++;
		owners_set(set->specs + i, n);
		if (slot) rule_match(cs, set->specs + i, n, slot);
		if (cs->leftover_count) logs_match(cs, set->specs + i, n);
	}
	logs_free(cs);
	HMAP_FOREACH(running_map, slot, &running) { sl_free(slot->v); }
	running_map_fini(&running);
}
