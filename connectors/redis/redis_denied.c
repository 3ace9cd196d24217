/* redis_denied.c: rows that our user may not write: is it the row, or the rights? See redis_batch.h.
 *
 * That others of the batch were let in proves nothing, for rights may have changed in its midst. But a server runs what one connection
 * sends in order: a row that was refused between two of its action that were let in, in one pipeline, and again when it was sent once
 * more, is to blame. Should any row be let in when it is sent once more, rights did change, and none is rejected.
 *
 * Weak is the proof of a row that had others only behind it in its pipeline, as one that comes again has, and weaker that of one
 * alone on its link, with others let in on other links of the pool: nobody knows which came first. But a batch that holds a row comes
 * after the one that held it before is back, so refused in one, with others let in in the next, and refused again: that is the same
 * proof in time, whatever the link. Such batches are counted for each row, and one that is let in even once is gone. In a cluster only
 * rows of its own node count, for each node has rights of its own.
 *
 * Where many were refused, the server was busy with them for long enough for rights to go and come back: that takes most batches.
 * Others wait: the last row of a batch comes again before others. */
#include "mem.h"
#include "redis_batch.h"

enum {
	FEW = 64, /* the server is through with them before anybody has changed rights and changed them back */
	/* Batches that have to speak against a row: */
	BATCHES_BETWEEN = 1, /* it stood between others, */
	BATCHES_FIRST = 2,   /* before others, */
	BATCHES_ALONE = 4,   /* alone on its link, */
	BATCHES_MANY = 5,    /* or was one of many. */
};

struct redis_denial {
	struct redis_unit unit;
	struct redis_node *node;
	struct redis_mark mark; /* of the first time */
	char *why;
	bool asked;       /* again */
	bool alone;       /* in its pipeline nobody was let in, but on another link of the pool */
	bool out;         /* and not refused since: let in, or what became of it stands in its result */
	bool moved;       /* refused by another node than at first */
	uint32_t batches; /* that spoke against it, this one too; 0: not counted */
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

/* All links of the pool lead to one server. */
static bool let_in_somewhere(const struct redis_job *j) {
	for (size_t i = 0; j->c->conf->mode != REDIS_CLUSTER && i < j->parts_n; i++)
		if (j->passed[i] > 0) return true;
	return false;
}

void redis_denied_again(struct redis_job *j) {
	if (j->denied_n == 0 || j->cancelled || j->not_ready || j->c->state != REDIS_UP) return;
	bool somewhere = let_in_somewhere(j);
	j->routing = true;
	for (uint32_t i = 0; i < j->denied_n; i++) {
		struct redis_denial *d = &j->denied[i];
		d->alone = somewhere && j->passed[d->mark.part] == 0;
		if (d->asked || (!d->alone && d->mark.passed >= j->passed[d->mark.part])) continue;
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
	struct redis_suspects *s = &n->suspects[n->suspects_n++];
	memset(s, 0, sizeof *s); /* too large for the stack */
	s->plan = plan;
	s->turn = 1;
	return s;
}

static uint32_t batches_needed(const struct redis_denial *d, bool many) {
	if (many) return BATCHES_MANY;
	if (d->alone) return BATCHES_ALONE;
	return d->mark.passed == 0 ? BATCHES_FIRST : BATCHES_BETWEEN;
}

/* One more batch speaks against it. fresh: it may take a place; where that is another row's of this batch it waits for its turn. */
static void suspect_count(struct redis_job *j, struct redis_denial *d, struct redis_suspects *s, bool fresh) {
	uint64_t hash = sl_batch_row_hash(j->b, d->unit.row) + d->unit.first;
	struct redis_suspect *at = &s->at[hash % REDIS_SUSPECTS];
	if (at->turn == 0 || at->hash != hash) {
		if (!fresh || at->turn == s->turn) return;
		*at = (struct redis_suspect){.hash = hash};
	}
	at->batches += at->turn != s->turn; /* two rows may be the same */
	at->turn = s->turn;
	d->batches = at->batches;
}

/* Those that are known come first, so that no other takes their places. */
static void suspects_count(struct redis_job *j, bool many) {
	for (size_t i = 0; i < j->c->nodes; i++)
		for (size_t k = 0; k < j->c->node[i]->suspects_n; k++)
			j->c->node[i]->suspects[k].turn += j->c->node[i]->suspects[k].plan == j->plan;
	for (int fresh = 0; fresh < 2; fresh++)
		for (uint32_t i = 0; i < j->denied_n; i++) {
			struct redis_denial *d = &j->denied[i];
			if (!is_proven(d) || d->batches || batches_needed(d, many) == BATCHES_BETWEEN) continue;
			suspect_count(j, d, suspects_of(d->node, j->plan), fresh);
		}
}

static void suspects_forget(struct redis_job *j) {
	for (size_t i = 0; i < j->c->nodes; i++) {
		struct redis_node *n = j->c->node[i];
		for (size_t k = 0; k < n->suspects_n; k++)
			if (n->suspects[k].plan == j->plan) memset(n->suspects[k].at, 0, sizeof n->suspects[k].at);
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
	bool many = refused > FEW || (uint64_t)refused * 2 > j->b->count;
	bool may = !j->rights_changed && j->c->state == REDIS_UP && !is_another_command(j);
	if (j->rights_changed)
		suspects_forget(j);
	else if (may)
		suspects_count(j, many);
	for (uint32_t i = 0; i < j->denied_n; i++) {
		struct redis_denial *d = &j->denied[i];
		uint32_t needed = batches_needed(d, many);
		bool reject = may && is_proven(d) && (needed == BATCHES_BETWEEN || d->batches >= needed);
		if (!d->out && !reject && !j->not_ready) {
			j->not_ready = sl_strdup(d->why);
			j->in_doubt = true;
		}
		enum sl_result result = reject ? SL_RESULT_REJECT : SL_RESULT_LOST;
		redis_row_settle(j, d->unit.row, d->out ? SL_RESULT_DONE : result, d->why);
	}
	j->denied_n = 0;
}
