/* connectors_try.c: see connectors_try.h. The caller looks every few milliseconds how far the connection is. */
#include "connectors_try.h"

#include <inttypes.h>
#include <time.h>

#include "clock.h"
#include "connectors_int.h"
#include "source_int.h"

enum { LOOK_EVERY_MS = 2 };

struct trial_run {
	struct sl_conn *c;
	const struct connectors_set *set;
	struct connector_trial *out;
	bool fine, ended;
	size_t next, next_source;  /* action and source of the set */
	struct sl_source *source;  /* that is looked at; NULL: an action is */
	struct pipeline_batch *bt; /* of no rows; NULL: none is out */
};

static void trial_end(struct trial_run *run, char *why) {
	struct sl_conn *c = run->c;
	run->ended = true;
	run->out->why = why;
	run->out->fine = !why;
	run->out->about = why ? NULL : conn_about(c);
}

/* Whose it is: of an action, or of a source. Heap. */
static char *whose(const struct sl_conn_action *a, const struct sl_source *s) {
	return a ? sl_asprintf("action %s", a->name) : sl_asprintf("source %s", s->name);
}

static void fault_add(struct trial_run *run, const struct sl_conn_action *a, const struct sl_source *s,
		      const char *why) {
	struct connector_trial *t = run->out;
	SL_GROW(t->faults, t->fault_count, t->fault_cap);
	t->faults[t->fault_count++] = (struct connector_trial_line){whose(a, s), sl_strdup(why)};
}

static void look_end(struct trial_run *run) {
	struct pipeline_batch *bt = run->bt;
	struct connector_trial *t = run->out;
	if (bt->b.not_ready) fault_add(run, bt->b.action, run->source, bt->b.not_ready);
	if (bt->note) {
		SL_GROW(t->notes, t->note_count, t->note_cap);
		t->notes[t->note_count++] = (struct connector_trial_line){whose(bt->b.action, run->source), bt->note};
	}
	sl_free(bt->b.not_ready);
	sl_free(bt);
	run->bt = NULL;
}

static void look_send(struct trial_run *run, struct sl_conn_action *a) {
	const struct sl_connector_kind *kind = run->c->kind;
	run->bt = SL_NEW(struct pipeline_batch);
	run->bt->look = true;
	run->bt->b.action = a;
	int r = a ? kind->submit(a, &run->bt->b) : kind->source_look(run->c, run->source, &run->bt->b);
	if (r != SL_OK) look_end(run);
}

/* What its kind can say now is said; else a batch of no rows may be out. */
static void look_begin(struct trial_run *run, struct sl_conn_action *a) {
	const struct sl_connector_kind *kind = run->c->kind;
	struct sl_err err = SL_ERR_INIT;
	int r = kind->action_open ? kind->action_open(a, &err) : SL_OK;
	if (r == SL_OK && kind->action_look) r = kind->action_look(a, &err);
	if (r != SL_OK) fault_add(run, a, NULL, sl_err_text(&err));
	sl_err_fini(&err);
	if (r == SL_OK && kind->flags & SL_KIND_LOOKS) look_send(run, a);
}

static struct sl_conn_action *action_next(struct trial_run *run) {
	while (run->next < run->set->spec_count) {
		struct sl_conn_action *a = run->set->specs[run->next++]->action;
		if (a->conn == run->c) return a;
	}
	return NULL;
}

static struct sl_source *source_next(struct trial_run *run) {
	size_t n = run->set->sources ? run->set->sources->count : 0;
	while (run->c->kind->source_look && run->next_source < n) {
		struct sl_source *s = run->set->sources->at[run->next_source++];
		if (s->kind && s->conn == run->c && !s->broken) return s;
	}
	return NULL;
}

/* The connection works: now its actions, and then its sources, one after the other. */
static void actions_look(struct trial_run *run) {
	run->fine = true;
	while (!run->bt || run->bt->looked) {
		if (run->bt) look_end(run);
		struct sl_conn_action *a = action_next(run);
		if (!a) run->source = source_next(run);
		if (a)
			look_begin(run, a);
		else if (run->source)
			look_send(run, NULL);
		else {
			trial_end(run, NULL);
			return;
		}
	}
}

static void trial_begin(struct connectors *cs, void *arg) {
	struct trial_run *run = arg;
	struct sl_conn *c = run->c;
	struct sl_err err = SL_ERR_INIT;
	sl_list_push_back(&cs->conns, &c->link);
	int r = c->kind->open ? c->kind->open(c, &err) : SL_OK;
	c->opened = r == SL_OK;
	if (r == SL_OK && !c->kind->look)
		conn_start(c);
	else {
		struct sl_buf note = SL_BUF_INIT;
		c->closing = c->closed = true;
		if (r == SL_OK) r = c->kind->look(c, &note, &err);
		if (r == SL_OK) {
			run->out->note = sl_strdup(sl_buf_cstr(&note));
			actions_look(run);
		} else
			trial_end(run, sl_strdup(sl_err_text(&err)));
		sl_buf_fini(&note);
	}
	sl_err_fini(&err);
}

static void trial_look(struct connectors *cs, void *arg) {
	struct trial_run *run = arg;
	struct sl_conn *c = run->c;
	(void)cs;
	if (run->ended) return;
	if (run->fine) {
		actions_look(run);
		return;
	}
	if (c->state == CONN_DOWN) {
		trial_end(run, sl_strdup(c->text ? c->text : "it does not connect"));
		return;
	}
	if (!conn_is_up(c)) return;
	if (!c->kind->probe || (run->out->probed && !c->probing && c->health.success_ms))
		actions_look(run);
	else if (!run->out->probed) {
		run->out->probed = true;
		conn_probe(c);
	}
}

static void trial_late(struct connectors *cs, void *arg) {
	struct trial_run *run = arg;
	(void)cs;
	if (run->ended) return;
	run->out->hangs = true;
	trial_end(run,
		  sl_asprintf("no answer within %" PRIu64 " s %s", run->out->took_ms / 1000,
			      run->fine ? "to what was asked about its actions and sources, although it is connected"
			      : run->out->probed ? "to a probe, although it is connected"
						 : "to the attempt to connect: is the address right, does a "
						   "firewall drop packets?"));
}

int connectors_try(struct connectors *cs, struct connectors_set *set, const char *name, uint64_t deadline_ms,
		   struct connector_trial *out) {
	struct trial_run run = {.set = set, .out = out};
	*out = (struct connector_trial){.fine = false};
	for (size_t i = 0; i < set->conn_count; i++) {
		struct sl_conn *c = set->conns[i];
		if (!c || c->broken || strcmp(c->name, name) != 0) continue;
		run.c = c;
		set->conns[i] = set->conns[--set->conn_count];
		break;
	}
	if (!run.c) return SL_ENOTFOUND;
	out->type = run.c->kind->name;
	uint64_t began_ms = sl_clock_mono_ms();
	connectors_call(cs, trial_begin, &run);
	for (; !run.ended; connectors_call(cs, trial_look, &run)) {
		const struct timespec step = {.tv_nsec = LOOK_EVERY_MS * 1000000L};
		out->took_ms = sl_clock_mono_ms() - began_ms;
		if (out->took_ms >= deadline_ms) {
			connectors_call(cs, trial_late, &run);
			break;
		}
		nanosleep(&step, NULL);
	}
	out->took_ms = sl_clock_mono_ms() - began_ms;
	return SL_OK;
}

static void lines_free(struct connector_trial_line *lines, size_t n) {
	for (size_t i = 0; i < n; i++) {
		sl_free(lines[i].what);
		sl_free(lines[i].why);
	}
	sl_free(lines);
}

void connector_trial_fini(struct connector_trial *t) {
	sl_free(t->why);
	sl_free(t->note);
	json_decref(t->about);
	lines_free(t->faults, t->fault_count);
	lines_free(t->notes, t->note_count);
	*t = (struct connector_trial){.fine = false};
}
