/* redis_batch.c: what becomes of each row, by the replies; see redis_batch.h. */
#include "redis_batch.h"

#include "mem.h"

#define WAITS_FOR_SERVER "the server" /* sl_action_waits() */

enum { THROTTLE_MS = 1000 };

/* ---- Jobs. ---- */

static struct redis_job *job_new(struct redis_client *c, const struct redis_plan *plan, struct sl_batch *b) {
	struct redis_job *j = c->job_pool;
	if (j)
		c->job_pool = j->next;
	else
		j = SL_NEW(struct redis_job);
	j->c = c;
	j->plan = plan;
	j->b = b;
	j->hold = 1;
	j->cancelled = j->routing = j->through = j->behind_lost = j->refused = j->in_doubt = false;
	j->rights_changed = false;
	j->denied_n = 0;
	j->parts_n = 0;
	sl_list_init(&j->parts);
	sl_list_init(&j->doubts);
	if (j->left_cap < b->count) {
		j->left_cap = b->count;
		j->left = sl_realloc_array(j->left, b->count, sizeof *j->left);
	}
	memset(j->left, 0, b->count * sizeof *j->left);
	sl_list_push_back(&c->jobs, &j->link);
	b->priv = j;
	return j;
}

/* ---- The end of a job. Where there are several links a later one may be through before an earlier one. Rows that come again must
 * come in their order, so those of the later one wait for the earlier; and where rows were lost, which are first in line
 * again, later rows are lost, too, for what is tried after a pause would get its place before them. */

static uint32_t results_of(const struct sl_batch *b, enum sl_result result) {
	uint32_t n = 0;
	for (uint32_t i = 0; i < b->count; i++) n += b->result[i] == result;
	return n;
}

/* Whether rows come again, and an earlier job of the action is out. */
static bool job_must_wait(const struct redis_job *j) {
	if (j->link.prev == &j->c->jobs || j->cancelled) return false;
	if (!j->not_ready && results_of(j->b, SL_RESULT_DONE) == j->b->count) return false;
	for (const struct sl_list *it = j->link.prev; it != &j->c->jobs; it = it->prev)
		if (SL_LIST_ENTRY(it, const struct redis_job, link)->plan == j->plan) return true;
	return false;
}

static void followers_lose(struct redis_job *j) {
	for (struct sl_list *it = j->link.next; it != &j->c->jobs; it = it->next) {
		struct redis_job *later = SL_LIST_ENTRY(it, struct redis_job, link);
		later->behind_lost = later->behind_lost || later->plan == j->plan;
	}
}

static void job_close(struct redis_job *j) {
	struct redis_client *c = j->c;
	struct sl_batch *b = j->b;
	for (uint32_t i = 0; j->behind_lost && i < b->count; i++)
		if (b->result[i] == SL_RESULT_RETRY) b->result[i] = SL_RESULT_LOST;
	if (j->link.next != &c->jobs && results_of(b, SL_RESULT_LOST)) followers_lose(j);
	if (!j->refused && b->count && b->result[0] == SL_RESULT_DONE) sl_action_goes_on(b->action, WAITS_FOR_SERVER);
	if (j->in_doubt)
		sl_batch_in_doubt(b, "%s", j->not_ready);
	else if (j->not_ready)
		sl_batch_not_ready(b, "%s", j->not_ready);
	sl_free(j->not_ready);
	j->not_ready = NULL;
	sl_list_remove(&j->link);
	j->next = c->job_pool;
	c->job_pool = j;
	b->priv = NULL;
	sl_batch_done(b);
}

static void job_end(struct redis_job *j) {
	struct redis_client *c = j->c;
	if (job_must_wait(j)) {
		j->through = true;
		return;
	}
	job_close(j);
	for (struct sl_list *it = c->jobs.next; it != &c->jobs;) {
		struct redis_job *next = SL_LIST_ENTRY(it, struct redis_job, link);
		it = it->next;
		if (!next->through || job_must_wait(next)) continue;
		job_close(next);
		it = c->jobs.next; /* whoever was told may have changed the list */
	}
	if (c->conf->mode != REDIS_CLUSTER || !sl_list_empty(&c->jobs)) return;
	c->cluster->holding = false;
	redis_cluster_idle(c);
}

void redis_job_hold(struct redis_job *j) { j->hold++; }
void redis_job_release(struct redis_job *j) {
	if (j->hold == 1 && sl_list_empty(&j->parts)) redis_denied_again(j);
	if (--j->hold > 0 || !sl_list_empty(&j->parts)) return;
	redis_denied_decide(j);
	job_end(j);
}

/* Which of two results counts for a row some of whose commands failed: the one further down. */
static unsigned weight(enum sl_result r) {
	switch (r) {
	case SL_RESULT_PENDING:
	case SL_RESULT_DONE: return 0;
	case SL_RESULT_RETRY: return 1;
	case SL_RESULT_THROTTLED: return 2;
	case SL_RESULT_TIMEOUT: return 3;
	case SL_RESULT_LOST: return 4;
	case SL_RESULT_GROUP_FAILED: return 5; /* never */
	case SL_RESULT_REJECT: return 6;
	}
	return 0;
}

void redis_row_worsen(struct redis_job *j, uint32_t row, enum sl_result result, char *why) {
	struct sl_batch *b = j->b;
	if (weight(result) > weight((enum sl_result)b->result[row])) {
		b->result[row] = (uint8_t)result;
		if (why) sl_batch_reason(b, row, "%s", why);
	}
	sl_free(why);
}

void redis_row_settle(struct redis_job *j, uint32_t row, enum sl_result result, char *why) {
	struct sl_batch *b = j->b;
	if (result != SL_RESULT_DONE)
		redis_row_worsen(j, row, result, why);
	else
		sl_free(why);
	if (--j->left[row] == 0 && b->result[row] == SL_RESULT_PENDING) b->result[row] = SL_RESULT_DONE;
}

int redis_batch_submit(struct redis_client *c, const struct redis_plan *plan, struct sl_batch *b) {
	if (c->state != REDIS_UP) {
		sl_batch_fill(b, SL_RESULT_LOST, NULL);
		sl_batch_done(b);
		return SL_OK;
	}
	if (c->cluster && c->cluster->draining) return SL_EAGAIN;
	struct redis_job *j = job_new(c, plan, b);
	j->routing = true;
	for (uint32_t i = 0; i < b->count; i++) redis_row_route(j, i);
	j->routing = false;
	redis_job_wait(j);
	redis_job_release(j);
	return SL_OK;
}

void redis_batch_cancel(struct sl_batch *b) {
	struct redis_job *j = b->priv;
	if (!j) return;
	const char *late = sl_conn_cancel_why(j->c->conn);
	redis_job_hold(j);
	j->cancelled = true; /* so it does not wait for others, either */
	while (!sl_list_empty(&j->parts)) {
		struct redis_part *p = SL_LIST_ENTRY(j->parts.next, struct redis_part, of_job);
		if (p->sent)
			redis_node_fail(p->node, late);
		else
			redis_part_lost(&p->q, SL_EIO, late);
	}
	redis_doubts_cancel(j, late);
	redis_job_release(j);
}

void redis_node_fail(struct redis_node *n, const char *text) {
	if (n->c->conf->mode == REDIS_CLUSTER)
		redis_link_fail(&n->link, SL_EIO, text);
	else
		redis_client_down(n->c, SL_EIO, text);
}

void redis_pools_free(struct redis_client *c) {
	for (struct redis_job *j = c->job_pool, *next; j; j = next) {
		next = j->next;
		sl_free(j->left);
		sl_free(j->denied);
		sl_free(j->passed);
		sl_free(j);
	}
	for (struct redis_part *p = c->part_pool, *next; p; p = next) {
		next = p->next;
		sl_free(p->unit);
		sl_free(p);
	}
	c->job_pool = NULL;
	c->part_pool = NULL;
}

/* ---- A reply. ---- */

/* "command 2 (HSET): WRONGTYPE ...; advice". Heap. */
static char *error_text(const struct redis_job *j, const struct redis_unit *u, size_t command,
			const struct redis_error *e, struct sl_slice text) {
	struct sl_buf out = SL_BUF_INIT;
	if (j->plan->commands > 1)
		sl_buf_printf(&out, "command %zu (%s): ", u->first + command + 1,
			      j->plan->command[u->first + command].name);
	redis_error_show(e, text, j->c->conf->mode == REDIS_SINGLE, &out);
	if (j->plan->commands > 1 && e->result == SL_RESULT_REJECT)
		sl_buf_append_str(&out, "; Redis does not undo the row's other commands");
	return sl_buf_steal(&out);
}

static void result_take(struct redis_part *p, enum sl_result result, char *why) {
	if (weight(result) <= weight(p->result)) {
		sl_free(why);
		return;
	}
	p->result = result;
	sl_free(p->why);
	p->why = why;
}

/* The node may have been a master that others had given up: what it took and no replica has is gone with that. Such rows come
 * again, and are not to be overtaken, nor are those that are held for them, until all that is out has come back. */
static bool is_held(const struct redis_part *p) {
	struct redis_client *c = p->job->c;
	if (c->conf->replicas && p->node->unconfirmed) c->cluster->holding = true;
	return c->cluster->holding;
}

/* The command follows its slot. False: it cannot. */
static bool sent_on(struct redis_part *p, const struct redis_unit *u, size_t command, struct sl_slice text,
		    bool asking) {
	struct redis_job *j = p->job;
	if (j->c->conf->mode != REDIS_CLUSTER || u->hops >= REDIS_HOPS_MAX) return false;
	struct redis_node *to = redis_cluster_target(p->node, slice_from(text, asking ? 4 : 6));
	if (!to) return false;
	if (!asking) redis_cluster_moved(j->c, to);
	if (!asking && is_held(p)) return false;
	if (j->plan->transaction) {
		p->to = to;
		p->asking = asking;
		return true;
	}
	struct redis_unit again = {.row = u->row,
				   .first = (uint16_t)(u->first + command),
				   .count = 1,
				   .hops = (uint8_t)(u->hops + 1),
				   .asking = asking,
				   .doubted = u->doubted,
				   .denial = u->denial};
	j->left[u->row]++;
	redis_unit_send(j, to, &again);
	return true;
}

/* The connection ends when the reply at hand is read. */
static void trouble(struct redis_client *c, const struct redis_node *n, const char *text) {
	if (!c->trouble) c->trouble = sl_asprintf("%s:%u: %s", n->host, n->port, text);
}

/* Not about the row: the server takes none for now. */
static void row_waits(struct redis_job *j, const struct redis_node *n, const char *why) {
	j->refused = true;
	sl_action_waits(j->b->action, WAITS_FOR_SERVER, "%s:%u takes no rows for now: %s", n->host, n->port, why);
}

/* Is it the row that says which subcommand, or which script? What is said of a whole command is said of all rows. */
static bool word_is_of_row(const struct redis_job *j, const struct redis_unit *u, const char *why) {
	if (strstr(why, "NOPERM") && !strchr(why, '|') && !strstr(why, "subcommand")) return false;
	for (size_t i = u->first; i < (size_t)u->first + u->count; i++)
		if (redis_command_word_is_template(&j->plan->command[i])) return true;
	return false;
}

enum sl_result redis_error_apply(struct redis_job *j, struct redis_node *n, const struct redis_unit *u,
				 const struct redis_error *e, struct redis_mark mark, const char *why) {
	switch (e->effect) {
	case REDIS_OF_ROW:
		if (e->result == SL_RESULT_THROTTLED) j->b->wait_ms = THROTTLE_MS;
		if (e->result == SL_RESULT_THROTTLED || e->result == SL_RESULT_RETRY) row_waits(j, n, why);
		break;
	case REDIS_NOT_WORD:
		if (word_is_of_row(j, u, why)) {
			redis_denied(j, n, u, mark, why);
			return SL_RESULT_DONE;
		}
		if (!j->not_ready) j->not_ready = sl_strdup(why);
		break;
	case REDIS_NOT_KEY:
	case REDIS_IN_SCRIPT: redis_denied(j, n, u, mark, why); return SL_RESULT_DONE;
	case REDIS_NOT_READY:
		if (!j->not_ready) j->not_ready = sl_strdup(why);
		break;
	case REDIS_RECONNECT: trouble(j->c, n, why); break;
	case REDIS_MOVED:
	case REDIS_ASK:
		/* From node to node: the cluster has to settle first. */
		if (j->c->conf->mode == REDIS_CLUSTER) return SL_RESULT_RETRY;
		if (!j->not_ready) j->not_ready = sl_strdup(why);
		break;
	}
	return e->result;
}

/* What a script may say of itself, and the server is to be asked about. */
static bool is_doubtful(const struct redis_error *e) {
	return e->result != SL_RESULT_REJECT && e->result != SL_RESULT_DONE && e->effect != REDIS_IN_SCRIPT;
}

/* of_server: it came before a command was run, so no script can have said it. */
static void error_take(struct redis_part *p, const struct redis_unit *u, size_t command, struct sl_slice text,
		       bool of_server) {
	struct redis_job *j = p->job;
	const struct redis_error *e = redis_error_find(text);
	bool script = !of_server && redis_command_is_script(j->plan->command[u->first + command].info);
	if (e->result == SL_RESULT_DONE && !script) return;
	bool moved = e->effect == REDIS_MOVED || e->effect == REDIS_ASK;
	if (moved && (!script || redis_moved_is_real(j, u, command, text))) {
		if (sent_on(p, u, command, text, e->effect == REDIS_ASK)) return;
	} else if (script && (moved || e->result == SL_RESULT_DONE))
		e = redis_error_find(SL_SLICE_EMPTY);
	char *why = error_text(j, u, command, e, text);
	struct redis_unit one = {
	    .row = u->row, .first = (uint16_t)(u->first + command), .count = 1, .denial = u->denial};
	if (script && is_doubtful(e)) {
		p->open = true;
		redis_doubt(p, u, command, e, why, error_text(j, u, command, redis_error_find(SL_SLICE_EMPTY), text));
	} else {
		enum sl_result result = redis_error_apply(j, p->node, &one, e, p->mark, why);
		p->open = p->open || result == SL_RESULT_DONE;
		result_take(p, result, why);
	}
}

static void unit_end(struct redis_part *p) {
	struct redis_job *j = p->job;
	struct redis_unit u = p->unit[p->at++];
	char *why = p->why;
	p->reply = 0;
	p->why = NULL;
	if (p->to) {
		u.hops++;
		u.asking = p->asking;
		sl_free(why);
		redis_unit_send(j, p->to, &u);
	} else {
		bool passed = p->result == SL_RESULT_DONE && !p->open;
		p->mark.passed += passed && !u.denial && !u.doubted; /* these may be but one command of several */
		j->rights_changed = j->rights_changed || (passed && u.denial);
		redis_row_settle(j, u.row, p->result, why);
	}
	p->to = NULL;
	p->open = false;
	p->result = SL_RESULT_DONE;
}

/* A transaction's: OK for MULTI, QUEUED for each command, then what EXEC says. */
static void transaction_reply(struct redis_part *p, const struct redis_unit *u, uint32_t at,
			      const struct redis_reply *reply) {
	bool exec = at == (uint32_t)u->count + 1;
	if (exec && reply->kind == REDIS_LIST) {
		for (uint32_t i = 0; i < reply->n && i < u->count; i++)
			if (reply->items[i].kind == REDIS_ERROR) error_take(p, u, i, reply->items[i].text, false);
	} else if (exec && reply->kind == REDIS_NIL)
		result_take(p, SL_RESULT_RETRY, sl_strdup("the server gave up the transaction"));
	else if (reply->kind == REDIS_ERROR && !(exec && (p->to || p->open || p->result != SL_RESULT_DONE)))
		error_take(p, u, exec || at == 0 ? 0 : at - 1, reply->text, true);
}

static void wait_failed(struct redis_part *p, struct sl_slice text) {
	struct redis_job *j = p->job;
	const struct redis_error *e = redis_error_find(text);
	struct sl_buf why = SL_BUF_INIT;
	sl_buf_append_str(&why, "WAIT for `replicas`: ");
	redis_error_show(e, text, j->c->conf->mode == REDIS_SINGLE, &why);
	if (e->effect == REDIS_RECONNECT)
		trouble(j->c, p->node, sl_buf_cstr(&why));
	else if (!j->not_ready)
		j->not_ready = sl_buf_steal(&why);
	sl_buf_fini(&why);
}

/* The server did what the row asks for, or may have done it, and the row comes again all the same. Before its result is set. */
static void row_repeats(struct redis_job *j, uint32_t row, enum sl_result result) {
	enum sl_result before = (enum sl_result)j->b->result[row];
	if (weight(before) == 0 && result != SL_RESULT_TIMEOUT) j->b->repeats++; /* a TIMEOUT counts by itself */
}

static void row_unconfirmed(struct redis_job *j, uint32_t row, enum sl_result result, char *why) {
	row_repeats(j, row, result);
	redis_row_worsen(j, row, result, why);
}

/* How many replicas have what went before. */
static void wait_reply(struct redis_part *p, const struct redis_reply *reply) {
	long long wanted = p->job->c->conf->replicas, have = reply->kind == REDIS_NUMBER ? reply->number : 0;
	if (reply->kind == REDIS_ERROR) wait_failed(p, reply->text);
	enum sl_result result = reply->kind == REDIS_ERROR ? SL_RESULT_LOST : SL_RESULT_RETRY;
	for (uint32_t i = p->waited; i < p->at && have < wanted; i++)
		row_unconfirmed(p->job, p->unit[i].row, result,
				sl_asprintf("%lld of %lld replicas have it; see `replicas`", have, wanted));
	p->waited = ++p->at;
	p->node->unconfirmed = have < wanted;
}

static void unit_reply(struct redis_part *p, const struct redis_reply *reply) {
	if (sl_unlikely(p->unit[p->at].row == REDIS_WAIT_ROW)) {
		wait_reply(p, reply);
		return;
	}
	const struct redis_job *j = p->job;
	const struct redis_unit u = p->unit[p->at];
	uint32_t at = p->reply++;
	uint32_t replies = (uint32_t)(u.count + (j->plan->transaction ? 2 : 0) + u.asking);
	if (u.asking && at == 0) return; /* what ASKING says shows in the next one */
	at -= u.asking;
	if (j->c->conf->replicas && reply->kind != REDIS_ERROR && (!j->plan->transaction || reply->kind == REDIS_LIST))
		p->node->unconfirmed = true;
	if (j->plan->transaction)
		transaction_reply(p, &u, at, reply);
	else if (sl_unlikely(reply->kind == REDIS_ERROR))
		error_take(p, &u, at, reply->text, false);
	if (p->reply == replies) unit_end(p);
}

void redis_trouble_end(struct redis_client *c, struct redis_node *n) {
	char *text = c->trouble;
	if (sl_likely(!text)) return;
	c->trouble = NULL;
	redis_node_fail(n, text);
	sl_free(text);
}

void redis_part_reply(struct redis_request *q, const struct redis_reply *reply) {
	struct redis_part *p = sl_container_of(q, struct redis_part, q);
	struct redis_job *j = p->job;
	struct redis_client *c = j->c;
	struct redis_node *n = p->node;
	redis_job_hold(j);
	unit_reply(p, reply);
	if (p->at == p->units) redis_part_free(p);
	redis_job_release(j);
	redis_trouble_end(c, n);
}

/* The server ran it, and it would answer like that each time. */
static void unit_unreadable(struct redis_part *p, const char *text) {
	uint32_t row = p->unit[p->at].row;
	if (row == REDIS_WAIT_ROW) return;
	p->at++;
	redis_row_settle(p->job, row, SL_RESULT_REJECT, sl_asprintf("%s; the command has had its effect", text));
}

void redis_part_lost(struct redis_request *q, int status, const char *text) {
	struct redis_part *p = sl_container_of(q, struct redis_part, q);
	struct redis_job *j = p->job;
	enum sl_result result = j->cancelled ? SL_RESULT_TIMEOUT : SL_RESULT_LOST;
	/* Never sent: in a cluster only the rows of this node wait, and others go on. */
	if (j->c->conf->mode == REDIS_CLUSTER && !p->sent && !j->cancelled && j->c->state == REDIS_UP)
		result = SL_RESULT_RETRY;
	redis_job_hold(j);
	if (j->c->conf->replicas)
		for (uint32_t i = p->waited; i < p->at; i++)
			row_unconfirmed(j, p->unit[i].row, result, sl_strdup(text));
	if (status == SL_ELIMIT) unit_unreadable(p, text);
	for (; p->at < p->units; p->at++) {
		uint32_t row = p->unit[p->at].row;
		if (row == REDIS_WAIT_ROW) continue;
		if (p->sent) row_repeats(j, row, result);
		redis_row_settle(j, row, result, sl_strdup(text));
	}
	redis_part_free(p);
	redis_job_release(j);
}
