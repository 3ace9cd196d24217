/* connectors_try.c: see connectors_try.h. The caller looks every few milliseconds how far the connection is. */
#include "connectors_try.h"

#include <inttypes.h>
#include <time.h>

#include "clock.h"
#include "connectors_int.h"

enum { LOOK_EVERY_MS = 2 };

struct trial_run {
	struct sl_conn *c;
	struct connector_trial *out;
	bool ended;
};

static void trial_end(struct trial_run *run, char *why) {
	struct sl_conn *c = run->c;
	run->ended = true;
	run->out->why = why;
	run->out->fine = !why;
	run->out->about = why ? NULL : conn_about(c);
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
		trial_end(run, r == SL_OK ? NULL : sl_strdup(sl_err_text(&err)));
		if (r == SL_OK) run->out->note = sl_strdup(sl_buf_cstr(&note));
		sl_buf_fini(&note);
	}
	sl_err_fini(&err);
}

static void trial_look(struct connectors *cs, void *arg) {
	struct trial_run *run = arg;
	struct sl_conn *c = run->c;
	(void)cs;
	if (run->ended) return;
	if (c->state == CONN_DOWN) {
		trial_end(run, sl_strdup(c->text ? c->text : "it does not connect"));
		return;
	}
	if (!conn_is_up(c)) return;
	if (!c->kind->probe || (run->out->probed && !c->probing && c->health.success_ms))
		trial_end(run, NULL);
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
	trial_end(run, sl_asprintf("no answer within %" PRIu64 " s %s", run->out->took_ms / 1000,
				   run->out->probed ? "to a probe, although it is connected"
						    : "to the attempt to connect: is the address right, does a "
						      "firewall drop packets?"));
}

int connectors_try(struct connectors *cs, struct connectors_set *set, const char *name, uint64_t deadline_ms,
		   struct connector_trial *out) {
	struct trial_run run = {.out = out};
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

void connector_trial_fini(struct connector_trial *t) {
	sl_free(t->why);
	sl_free(t->note);
	json_decref(t->about);
	*t = (struct connector_trial){.fine = false};
}
