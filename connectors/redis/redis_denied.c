/* redis_denied.c: rows that our user may not write: is it the row, or the rights? See redis_batch.h.
 *
 * That others of the batch were let in proves nothing, for rights may have changed in its midst. But a server runs what one connection
 * sends in order: a row that was refused between two of its action that were let in, in one pipeline, and again when it was sent once
 * more, is to blame. Should any row be let in when it is sent once more, rights did change, and none is rejected.
 *
 * Weak is the proof of a row that had others only behind it in its pipeline, as one that comes again has, and of all where many were
 * refused: it has to come out like that for two batches that have the same such row first. Others wait: the last row of a
 * batch comes again before others. */
#include "mem.h"
#include "redis_batch.h"

enum { FEW = 64 }; /* the server is through with them before anybody has changed rights and changed them back */

struct redis_denial {
	struct redis_unit unit;
	struct redis_node *node;
	struct redis_mark mark; /* of the first time */
	char *why;
	bool asked; /* again */
	bool out;   /* and not refused since: let in, or what became of it stands in its result */
	bool moved; /* refused by another node than at first */
};

void redis_denied(struct redis_job *j, struct redis_node *n, const struct redis_unit *u, struct redis_mark mark,
		  const char *why) {
	if (u->denial) {
		struct redis_denial *d = &j->denied[u->denial - 1];
		d->out = false;
		d->moved = d->moved || d->node != n;
		return;
	}
	bool whole = j->plan->transaction;
	if (whole && j->denied_n && j->denied[j->denied_n - 1].unit.row == u->row) return; /* another of its commands */
	SL_GROW(j->denied, j->denied_n, j->denied_cap);
	struct redis_denial *d = &j->denied[j->denied_n++];
	*d = (struct redis_denial){.unit = *u, .node = n, .mark = mark, .why = sl_strdup(why)};
	d->unit.denial = j->denied_n;
	d->unit.asking = false;
	if (whole) {
		d->unit.first = 0;
		d->unit.count = (uint16_t)j->plan->commands;
	}
	j->left[u->row]++; /* until it is decided */
}

void redis_denied_again(struct redis_job *j) {
	if (j->cancelled || j->not_ready || j->c->state != REDIS_UP) return;
	j->routing = true;
	for (uint32_t i = 0; i < j->denied_n; i++) {
		struct redis_denial *d = &j->denied[i];
		if (d->asked || d->mark.passed >= j->passed[d->mark.part]) continue;
		struct redis_unit unit = d->unit;
		d->asked = d->out = true;
		j->left[unit.row]++;
		redis_unit_send(j, d->node, &unit);
	}
	j->routing = false;
	redis_job_wait(j);
}

/* In a cluster the commands of a row may go apart. What got through was perhaps another command, then, unless there is a row of which
 * all did. */
static bool is_another_command(const struct redis_job *j) {
	if (j->c->conf->mode != REDIS_CLUSTER || j->plan->commands == 1 || j->plan->transaction) return false;
	for (uint32_t i = 0; i < j->b->count; i++)
		if (j->b->result[i] == SL_RESULT_DONE) return false;
	return true;
}

static bool is_proven(const struct redis_denial *d) { return d->asked && !d->out && !d->moved; }

static struct redis_suspects *suspects_of(struct redis_node *n, const struct redis_plan *plan) {
	for (size_t i = 0; i < n->suspects_n; i++)
		if (n->suspects[i].plan == plan) return &n->suspects[i];
	SL_GROW(n->suspects, n->suspects_n, n->suspects_cap);
	n->suspects[n->suspects_n] = (struct redis_suspects){.plan = plan};
	return &n->suspects[n->suspects_n++];
}

/* Whether an earlier batch came out like this; the next one will find this one. */
static bool is_known(struct redis_job *j, const struct redis_denial *d) {
	struct redis_suspects *s = suspects_of(d->node, j->plan);
	uint64_t hash = (sl_batch_row_hash(j->b, d->unit.row) + d->unit.first) | 1;
	for (size_t i = 0; i < REDIS_SUSPECTS; i++) {
		if (s->hash[i] != hash) continue;
		s->hash[i] = 0;
		return true;
	}
	s->hash[s->next] = hash;
	s->next = (s->next + 1) % REDIS_SUSPECTS;
	return false;
}

static void suspects_forget(struct redis_job *j) {
	for (size_t i = 0; i < j->c->nodes; i++) {
		struct redis_suspects *s = suspects_of(j->c->node[i], j->plan);
		*s = (struct redis_suspects){.plan = j->plan};
	}
}

static uint32_t refused_rows(const struct redis_job *j) {
	uint32_t n = 0, last = REDIS_WAIT_ROW;
	for (uint32_t i = 0; i < j->denied_n; i++) {
		const struct redis_denial *d = &j->denied[i];
		if (d->out) continue;
		n += d->unit.row != last;
		last = d->unit.row;
	}
	return n;
}

void redis_denied_decide(struct redis_job *j) {
	if (j->denied_n == 0) return;
	uint32_t refused = refused_rows(j);
	bool many = refused > FEW || (uint64_t)refused * 2 > j->b->count, looked = false, known = false;
	bool may = !j->rights_changed && j->c->state == REDIS_UP && !is_another_command(j);
	if (j->rights_changed) suspects_forget(j);
	for (uint32_t i = 0; i < j->denied_n; i++) {
		struct redis_denial *d = &j->denied[i];
		bool reject = may && is_proven(d);
		if (reject && (many || d->mark.passed == 0)) {
			if (!looked) known = is_known(j, d);
			looked = true;
			reject = known;
		}
		if (!d->out && !reject && !j->not_ready) {
			j->not_ready = sl_strdup(d->why);
			j->in_doubt = true;
		}
		enum sl_result result = reject ? SL_RESULT_REJECT : SL_RESULT_LOST;
		redis_row_settle(j, d->unit.row, d->out ? SL_RESULT_DONE : result, d->why);
	}
	j->denied_n = 0;
}
