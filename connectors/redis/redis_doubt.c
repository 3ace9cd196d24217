/* redis_doubt.c: errors that a script may have made up; see redis_batch.h.
 *
 * A script can end with any error it likes, so "OOM ..." from one may mean the server, or nothing. Behind such an answer the server
 * is asked itself, on the same connection: with a script that does nothing, but is not run by a server that takes no writes, and,
 * where the command is another one than EVAL, with that command and a name that nothing has. All name the keys that the row has, for
 * the user may not be allowed to touch them. What the server says too is believed; otherwise the command is sent once more, for the
 * state may have changed meanwhile, and if its script says the same again the row is rejected.
 *
 * Of rights even that is no proof, for they may have been back for the question only: redis_denied.c decides. So it does of what the
 * user may not do inside of a script, which is not asked here: the server does not say which command it was, and has no harmless way
 * to try it. */
#include <stdio.h>

#include "mem.h"
#include "redis_batch.h"

enum { ANSWERS_MAX = 3 };

struct redis_claim {
	struct redis_unit unit;
	const struct redis_error *e;
	struct redis_mark mark;
	char *why, *bare;
};

struct redis_doubt {
	struct sl_list of_job;
	struct redis_request q;
	struct redis_job *job;
	struct redis_node *node;
	struct redis_claim *claim;
	size_t n, cap;
	/* What the server says: NULL: no error. */
	const struct redis_error *said[ANSWERS_MAX];
	uint32_t answers;
	bool own;    /* the second answer is that of the row's own command */
	bool loaded; /* the script of EVALSHA is there */
};

/* ---- Verdicts. ---- */

static bool is_rights(const struct redis_error *e) {
	return slice_starts_with(slice_from_str(e->prefix), SL_SLICE_LIT("NOPERM"));
}

static bool is_believed(const struct redis_doubt *d, const struct redis_error *e) {
	if (is_rights(e)) { /* of this very command */
		const struct redis_error *own = d->said[d->own];
		return own && is_rights(own);
	}
	if (slice_equal_str(SL_SLICE_LIT("NOSCRIPT"), e->prefix) && d->loaded) return false;
	for (uint32_t i = 0; i < d->answers; i++)
		if (d->said[i] == e) return true;
	return false;
}

/* The script that does nothing was run. */
static bool is_refuted(const struct redis_doubt *d, const struct redis_error *e) {
	return !d->said[0] || (slice_equal_str(SL_SLICE_LIT("NOSCRIPT"), e->prefix) && d->loaded);
}

static void claim_settle(struct redis_job *j, struct redis_claim *c, enum sl_result result, char *why) {
	redis_row_settle(j, c->unit.row, result, why);
	sl_free(c->why);
	sl_free(c->bare);
}

static char *lie_text(const struct redis_claim *c) {
	return sl_asprintf("%s (the script says so; the server itself is in no such state)", c->bare);
}

static void claim_end(struct redis_doubt *d, struct redis_claim *c) {
	struct redis_job *j = d->job;
	uint32_t row = c->unit.row;
	if (is_believed(d, c->e))
		claim_settle(j, c, redis_error_apply(j, d->node, &c->unit, c->e, c->mark, c->why), sl_strdup(c->why));
	else if (is_rights(c->e)) { /* or they are back since */
		char *text = lie_text(c);
		redis_denied(j, d->node, &c->unit, c->mark, text);
		sl_free(text);
		claim_settle(j, c, SL_RESULT_DONE, NULL);
	} else if (!is_refuted(d, c->e) || j->b->result[row] != SL_RESULT_PENDING)
		claim_settle(j, c, SL_RESULT_RETRY, sl_strdup(c->why));
	else if (c->unit.doubted)
		claim_settle(j, c, SL_RESULT_REJECT, lie_text(c));
	else {
		c->unit.doubted = true;
		redis_unit_send(j, d->node, &c->unit);
		sl_free(c->why);
		sl_free(c->bare);
	}
}

static void doubt_free(struct redis_doubt *d) {
	struct redis_job *j = d->job;
	sl_list_remove(&d->of_job);
	sl_free(d->claim);
	sl_free(d);
	redis_job_release(j);
}

static void on_reply(struct redis_request *q, const struct redis_reply *reply) {
	struct redis_doubt *d = sl_container_of(q, struct redis_doubt, q);
	struct redis_client *c = d->job->c;
	struct redis_node *n = d->node;
	bool error = reply->kind == REDIS_ERROR;
	if (reply->kind == REDIS_LIST && reply->n == 1) d->loaded = reply->items[0].number == 1;
	d->said[d->answers++] = error ? redis_error_find(reply->text) : NULL;
	if (q->replies > 0) return;
	for (size_t i = 0; i < d->n; i++) claim_end(d, &d->claim[i]);
	doubt_free(d);
	redis_trouble_end(c, n);
}

static void on_lost(struct redis_request *q, int status, const char *text) {
	struct redis_doubt *d = sl_container_of(q, struct redis_doubt, q);
	enum sl_result result = d->job->cancelled ? SL_RESULT_TIMEOUT : SL_RESULT_LOST;
	(void)status;
	for (size_t i = 0; i < d->n; i++) claim_settle(d->job, &d->claim[i], result, sl_strdup(text));
	doubt_free(d);
}

/* ---- Questions. ---- */

/* A script's arguments: name, script, how many keys, the keys, and others. */
enum { ARG_NAME, ARG_SCRIPT, ARG_KEYS, ARG_KEY };

/* This question with the row's keys. */
static void put_question(struct sl_buf *out, struct sl_slice name, const char *script, const struct redis_args *row) {
	struct redis_args q;
	int64_t n;
	redis_args_init(&q);
	redis_args_add(&q, name);
	redis_args_add(&q, slice_from_str(script));
	if (slice_to_i64(redis_args_get(row, ARG_KEYS), &n) != SL_OK || n < 0 || n > (int64_t)row->n - ARG_KEY) n = 0;
	redis_args_number(&q, n);
	for (size_t i = 0; i < (size_t)n; i++) redis_args_add(&q, redis_args_get(row, ARG_KEY + i));
	redis_args_put(&q, out);
	redis_args_fini(&q);
}

static void ask(struct redis_doubt *d, size_t command) {
	static const char nothing[] = "#!lua\nreturn 1", nobody[] = "0000000000000000000000000000000000000000";
	struct redis_job *j = d->job;
	struct sl_buf *out = redis_link_out(&d->node->link);
	struct redis_args *args = &j->c->args;
	struct sl_buf why = SL_BUF_INIT;
	uint32_t row = d->claim[0].unit.row, replies = 1;
	struct sl_slice name = SL_SLICE_LIT("EVAL");
	/* It was sent, so it can be written. */
	if (redis_command_args(j->plan, command, j->b->row[row], args, &why) == SL_OK)
		name = redis_args_get(args, ARG_NAME);
	else
		redis_args_clear(args);
	put_question(out, SL_SLICE_LIT("EVAL"), nothing, args);
	d->own = !slice_equal_nocase(name, SL_SLICE_LIT("EVAL"));
	if (d->own) {
		put_question(out, name, nobody, args);
		replies++;
	}
	if (slice_equal_nocase(name, SL_SLICE_LIT("EVALSHA"))) {
		const struct sl_slice exists[] = {SL_SLICE_LIT("SCRIPT"), SL_SLICE_LIT("EXISTS"),
						  redis_args_get(args, ARG_SCRIPT)};
		redis_put_texts(out, exists, SL_ARRAY_LEN(exists));
		replies++;
	}
	redis_link_push(&d->node->link, &d->q, replies);
	sl_buf_fini(&why);
}

/* One question for all rows of a batch that doubt at the same time. */
static struct redis_doubt *doubt_get(struct redis_job *j, struct redis_node *n) {
	SL_LIST_FOREACH(it, &j->doubts) {
		struct redis_doubt *d = SL_LIST_ENTRY(it, struct redis_doubt, of_job);
		if (d->node == n) return d;
	}
	struct redis_doubt *d = SL_NEW(struct redis_doubt);
	d->job = j;
	d->node = n;
	d->q = (struct redis_request){.on_reply = on_reply, .on_lost = on_lost};
	sl_list_init(&d->q.link);
	sl_list_push_back(&j->doubts, &d->of_job);
	redis_job_hold(j);
	return d;
}

void redis_doubt(struct redis_part *p, const struct redis_unit *u, size_t command, const struct redis_error *e,
		 char *why, char *bare) {
	struct redis_job *j = p->job;
	struct redis_doubt *d = doubt_get(j, p->node);
	bool whole = j->plan->transaction;
	if (whole && d->n && d->claim[d->n - 1].unit.row == u->row) {
		sl_free(why); /* another command of the same transaction doubts already */
		sl_free(bare);
		return;
	}
	struct redis_unit unit = *u;
	if (!whole) {
		unit.first = (uint16_t)(u->first + command);
		unit.count = 1;
	}
	unit.asking = false;
	SL_GROW(d->claim, d->n, d->cap);
	d->claim[d->n++] = (struct redis_claim){.unit = unit, .e = e, .why = why, .bare = bare, .mark = p->mark};
	j->left[u->row]++;
	if (d->n == 1) ask(d, u->first + command);
}

void redis_doubts_cancel(struct redis_job *j, const char *text) {
	while (!sl_list_empty(&j->doubts)) {
		struct redis_doubt *d = SL_LIST_ENTRY(j->doubts.next, struct redis_doubt, of_job);
		redis_node_fail(d->node, text);
	}
}

bool redis_moved_is_real(const struct redis_job *j, const struct redis_unit *u, size_t command, struct sl_slice text) {
	struct sl_buf why = SL_BUF_INIT;
	struct redis_args *args = &j->c->args;
	struct sl_slice rest = text;
	int64_t slot;
	bool is_key, real = true;
	size_t i = u->first + command;
	(void)slice_next_part(&rest, ' ');
	if (slice_to_i64(slice_next_part(&rest, ' '), &slot) != SL_OK) return false;
	if (j->plan->key < 0 && redis_command_args(j->plan, i, j->b->row[u->row], args, &why) == SL_OK) {
		struct sl_slice key = redis_key_of(&j->plan->command[i], args, &is_key);
		real = is_key && redis_slot(key) == slot;
	}
	sl_buf_fini(&why);
	return real;
}
