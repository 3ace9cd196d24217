/* sources.c: sources in force: put there by a commit, started when its rules are, closed, freed. See sources.h. */
#include "sources.h"

#include <stdlib.h>

#include "log.h"
#include "schema.h"
#include "source_int.h"

struct sources *sources_new(struct connectors *cs) {
	struct sources *ss = SL_NEW(struct sources);
	size_t ends = cs->worker_count + 1;
	ss->cs = cs;
	sl_list_init(&ss->list);
	ss->ends = aligned_alloc(64, sizeof *ss->ends * ends);
	sl_assert(ss->ends);
	memset(ss->ends, 0, sizeof *ss->ends * ends);
	for (size_t i = 0; i < ends; i++) ss->ends[i].through_tail = &ss->ends[i].through;
	return ss;
}

void connectors_on_source(struct connectors *cs, connectors_source_fn fn, void *arg) {
	cs->sources->fn = fn;
	cs->sources->arg = arg;
}

/* Parts of messages that never came back: each batch has the parts of its messages, each part knows how many are left. */
static void batch_abandon(struct sl_source_batch *b) {
	for (uint32_t i = 0; i < b->count; i++) {
		struct sl_source_part *part = b->at[i].part;
		if (part && --part->pending == 0) sl_free(part); /* its kind has ended it */
	}
	source_batch_free(b);
}

void source_free(struct sl_source *s) {
	if (!s) return;
	sl_timer_cancel(&s->closed_timer);
	if (s->kind && s->impl) {
		if (s->kind->fini) s->kind->fini(s);
		conf_fini(s->kind->fields, s->impl);
	}
	conf_fini(source_conf_fields, &s->conf);
	sl_list_remove(&s->link);
	json_decref(s->tree);
	sl_free(s->lines);
	sl_free(s->impl);
	sl_free(s->text);
	sl_free(s->name);
	sl_free(s);
}

void sources_free(struct sources *ss) {
	if (!ss) return;
	for (struct sl_list *it; (it = sl_list_pop_front(&ss->list));) {
		struct sl_source *s = SL_LIST_ENTRY(it, struct sl_source, link);
		struct sl_list batches;
		sl_list_init(&batches);
		sl_list_splice_back(&batches, &s->batches);
		source_free(s); /* ends the parts that its kind still has */
		while (!sl_list_empty(&batches))
			batch_abandon(SL_LIST_ENTRY(batches.next, struct sl_source_batch, all));
	}
	free(ss->ends);
	sl_free(ss);
}

void sources_set_free(struct sources_set *set) {
	if (!set) return;
	for (size_t i = 0; i < set->count; i++) source_free(set->at[i]);
	sl_free(set->at);
	sl_free(set);
}

/* ---- A commit. ---------------------------------------------------------------------------------------------------------- */

/* A connection that goes on is the one that it was. */
static struct sl_source *source_equal(const struct connectors *cs, const struct sl_source *wanted) {
	SL_LIST_FOREACH(it, &cs->sources->list) {
		struct sl_source *s = SL_LIST_ENTRY(it, struct sl_source, link);
		if (!s->retired && strcmp(s->name, wanted->name) == 0 && !s->conn->retired &&
		    json_equal(s->tree, wanted->tree))
			return s;
	}
	return NULL;
}

static struct sl_conn *conn_in_force(const struct connectors *cs, const char *name) {
	SL_LIST_FOREACH(it, &cs->conns) {
		struct sl_conn *c = SL_LIST_ENTRY(it, struct sl_conn, link);
		if (!c->retired && strcmp(c->name, name) == 0) return c;
	}
	return NULL;
}

void sources_switch(struct connectors *cs, struct connectors_set *set) {
	struct sources_set *wanted = set->sources;
	size_t count = wanted ? wanted->count : 0;
	struct sl_source **kept = SL_NEW_ARRAY(struct sl_source *, count + 1);
	for (size_t i = 0; i < count; i++) kept[i] = source_equal(cs, wanted->at[i]);
	SL_LIST_FOREACH(it, &cs->sources->list) SL_LIST_ENTRY(it, struct sl_source, link)->retired = true;
	for (size_t i = 0; i < count; i++)
		if (kept[i]) kept[i]->retired = false;
	SL_LIST_FOREACH(it, &cs->sources->list) {
		struct sl_source *s = SL_LIST_ENTRY(it, struct sl_source, link);
		if (!s->retired || s->paused || !s->started) continue;
		s->paused = true;
		s->kind->pause(s);
	}
	for (size_t i = 0; i < count; i++) {
		if (kept[i]) continue;
		struct sl_source *s = wanted->at[i];
		wanted->at[i] = NULL;
		s->conn = conn_in_force(cs, s->conf.connector);
		sl_assert(s->conn);
		s->since_ms = sl_loop_wall_ms(cs->loop);
		sl_list_push_back(&cs->sources->list, &s->link);
	}
	sl_free(kept);
}

void sources_begin(struct connectors *cs) {
	SL_LIST_FOREACH(it, &cs->sources->list) {
		struct sl_source *s = SL_LIST_ENTRY(it, struct sl_source, link);
		if (s->retired) {
			source_close(s);
		} else if (!s->started && !cs->sources->stopping) {
			s->started = true;
			s->kind->start(s);
		}
	}
	cs->reaping = true;
}

bool sources_use(const struct connectors *cs, const struct sl_conn *c) {
	SL_LIST_FOREACH(it, &cs->sources->list)
	if (SL_LIST_ENTRY(it, struct sl_source, link)->conn == c) return true;
	return false;
}

void sources_reap(struct connectors *cs) {
	SL_LIST_FOREACH_SAFE(it, &cs->sources->list) {
		struct sl_source *s = SL_LIST_ENTRY(it, struct sl_source, link);
		if (!s->retired || !s->closed || !sl_list_empty(&s->batches)) continue;
		source_free(s);
	}
}

/* ---- The end. ------------------------------------------------------------------------------------------------------------- */

void sources_stop(struct connectors *cs) {
	cs->sources->stopping = true;
	SL_LIST_FOREACH(it, &cs->sources->list) {
		struct sl_source *s = SL_LIST_ENTRY(it, struct sl_source, link);
		if (s->started && !s->paused && !s->closing) s->kind->pause(s);
		s->paused = true;
	}
}

bool sources_close(struct connectors *cs) {
	bool closed = true;
	SL_LIST_FOREACH(it, &cs->sources->list) {
		struct sl_source *s = SL_LIST_ENTRY(it, struct sl_source, link);
		source_close(s);
		closed = closed && s->closed;
	}
	return closed;
}
