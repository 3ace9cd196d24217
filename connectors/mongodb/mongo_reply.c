/* mongo_reply.c: what the answer to a command means for its rows.
 *
 * Rows are told by the positions in writeErrors alone: what the counters (n, nModified) say differs between servers. */
#include "log.h"
#include "mem.h"
#include "mongo_errors.h"
#include "mongodb_int.h"

struct reply {
	struct mongo_link *l;
	struct sl_batch *b;
	size_t n; /* rows of the command: l->rows[0..n) */
	const struct mongo_action *s;
	bool ordered, down, stop;
	bool alone;                      /* open rows go again, each by itself */
	const struct mongo_error *waits; /* some rows wait for the server, the others are stored */
	const char *waits_for;
	bool denied;            /* some rows may be to blame for what is mostly said of a collection */
	struct mongo_ask *asks; /* duplicates of an index that the server did not name; room for n */
	size_t asks_n;
};

static const char *text_at(const bson_iter_t *document, const char *name) {
	bson_iter_t it;
	return bson_iter_recurse(document, &it) && bson_iter_find(&it, name) && BSON_ITER_HOLDS_UTF8(&it)
		   ? bson_iter_utf8(&it, NULL)
		   : "";
}

static int64_t number_at(const bson_iter_t *document, const char *name, int64_t otherwise) {
	bson_iter_t it;
	return bson_iter_recurse(document, &it) && bson_iter_find(&it, name) && BSON_ITER_HOLDS_NUMBER(&it)
		   ? bson_iter_as_int64(&it)
		   : otherwise;
}

static void link_down(struct reply *r, const char *why, int64_t code) {
	r->stop = true;
	if (r->down) return;
	r->down = true;
	if (code)
		sl_conn_down(r->l->c->conn, SL_EIO, "%s (code %lld)", why, (long long)code);
	else
		sl_conn_down(r->l->c->conn, SL_EIO, "%s", why);
}

static void not_ready(struct reply *r, const struct mongo_error *known, const char *said) {
	r->stop = true;
	sl_batch_not_ready(r->b, "%s (the server says: %s, code %d)", mongo_advice(r->l->c, known), said, known->code);
}

/* ---- One row. ------------------------------------------------------------------------------------------------------------ */

/* Which index has the key already? Servers of today name it, old ones in their text only, some not at all. */
enum index { INDEX_ID, INDEX_OTHER, INDEX_UNKNOWN };
static enum index index_of(const bson_iter_t *item, const char *said) {
	bson_iter_t it, pattern;
	if (bson_iter_recurse(item, &it) && bson_iter_find(&it, "keyPattern") && BSON_ITER_HOLDS_DOCUMENT(&it) &&
	    bson_iter_recurse(&it, &pattern) && bson_iter_next(&pattern))
		return strcmp(bson_iter_key(&pattern), "_id") == 0 ? INDEX_ID : INDEX_OTHER;
	const char *name = strstr(said, "index: ");
	if (!name) return INDEX_UNKNOWN;
	return strncmp(name + 7, "_id_", 4) == 0 || strstr(name, "$_id_") ? INDEX_ID : INDEX_OTHER;
}

static void row_refused(struct reply *r, uint32_t i, const char *said, int64_t code) {
	const struct mongo_error *known = mongo_error_find((int)code);
	r->b->result[i] = (uint8_t)(known ? known->class.result : SL_RESULT_REJECT);
	sl_batch_reason(r->b, i, "%s (code %lld)",
			said[0] ? said
			: known ? known->class.meaning
				: "refused",
			(long long)code);
}

/* A row that is there already is done; when nobody knows by which index, it is asked for later, with the others. */
static void row_duplicate(struct reply *r, const bson_iter_t *item, int64_t at, const char *said, int64_t code) {
	uint32_t i = r->l->rows[at];
	switch (index_of(item, said)) {
	case INDEX_ID: r->b->result[i] = SL_RESULT_DONE; return;
	case INDEX_OTHER: row_refused(r, i, said, code); return;
	case INDEX_UNKNOWN: break;
	}
	r->b->result[i] = SL_RESULT_LOST;
	if (r->asks_n == r->n) return; /* a row that the server names twice */
	if (!r->asks) r->asks = SL_NEW_ARRAY(struct mongo_ask, r->n);
	r->asks[r->asks_n++] = (struct mongo_ask){.at = at, .code = code, .said = said};
}

/* Two wanted to add it at once, and this was the second: when it goes again it finds what the first one added. */
static bool came_second(const struct reply *r, const bson_iter_t *item, const char *said, int64_t code) {
	bool adds = r->s->operation == MONGO_UPSERT || (r->s->operation == MONGO_REPLACE && r->s->create);
	return adds && mongo_error_is_duplicate((int)code) && index_of(item, said) != INDEX_OTHER;
}

static void row_error(struct reply *r, const bson_iter_t *item) {
	int64_t at = number_at(item, "index", -1), code = number_at(item, "code", 0);
	const char *said = text_at(item, "errmsg");
	if (at < 0 || at >= (int64_t)r->n) return;
	uint32_t i = r->l->rows[at];
	const struct mongo_error *known = mongo_error_find((int)code);
	if (known && known->scope == SCOPE_DOWN) {
		r->b->result[i] = SL_RESULT_LOST;
		link_down(r, known->class.meaning, code);
		return;
	}
	if (known && known->scope == SCOPE_WAIT && mongo_error_is_of_server(known->code)) {
		r->b->result[i] = SL_RESULT_LOST;
		r->waits = known;
		r->waits_for = said;
		return;
	}
	if (known && known->scope == SCOPE_WAIT) {
		mongo_row_denied(r->l, r->b, i, false, known, said);
		r->denied = true;
		return;
	}
	if (mongo_error_is_duplicate((int)code) && r->s->done_twice && r->s->operation == MONGO_INSERT)
		row_duplicate(r, item, at, said, code);
	else if (came_second(r, item, said, code)) {
		r->alone = true; /* its reason is that of the last attempt */
		r->b->result[i] = SL_RESULT_LOST;
		sl_batch_reason(r->b, i, "%s (code %lld)", said, (long long)code);
	} else
		row_refused(r, i, said, code);
}

/* Without an answer they stay what they are: lost, and so tried again. */
static void duplicates_decide(struct reply *r) {
	bson_error_t error;
	if (r->asks_n == 0 || r->stop) return;
	bool ok = mongo_ids_there(r->l, r->asks, r->asks_n, &error);
	for (size_t k = 0; k < r->asks_n; k++) {
		const struct mongo_ask *ask = &r->asks[k];
		uint32_t i = r->l->rows[ask->at];
		if (ask->state == MONGO_ASK_THERE)
			r->b->result[i] = SL_RESULT_DONE;
		else if (ask->state == MONGO_ASK_ABSENT)
			row_refused(r, i, ask->said, ask->code);
	}
	if (ok) return;
	const struct mongo_error *known =
	    error.domain == MONGOC_ERROR_SERVER ? mongo_error_find((int)error.code) : NULL;
	if (known && known->scope == SCOPE_WAIT) {
		not_ready(r, known, error.message);
		return;
	}
	char *why = mongo_link_why(r->l, &error);
	link_down(r, why, 0);
	sl_free(why);
}

/* ---- A command that was carried out. -------------------------------------------------------------------------------------- */

/* Rows of an ordered command behind the first error were not tried. -1: all were. */
static int64_t first_error(struct reply *r, const bson_t *reply) {
	bson_iter_t it, list;
	int64_t first = -1;
	if (!bson_iter_init_find(&it, reply, "writeErrors") || !BSON_ITER_HOLDS_ARRAY(&it) ||
	    !bson_iter_recurse(&it, &list))
		return -1;
	while (bson_iter_next(&list)) {
		if (!BSON_ITER_HOLDS_DOCUMENT(&list)) continue;
		int64_t at = number_at(&list, "index", -1);
		if (at >= 0 && (first < 0 || at < first)) first = at;
		row_error(r, &list);
	}
	return first;
}

/* Stored, but not as safely as was asked for: so again. A row that is there already is no safer for it. */
static void concern_error(struct reply *r, const bson_iter_t *document) {
	int64_t code = number_at(document, "code", 64);
	const char *said = text_at(document, "errmsg");
	const struct mongo_error *known = mongo_error_find((int)code);
	for (size_t k = 0; k < r->n; k++) {
		uint32_t i = r->l->rows[k];
		if (r->b->result[i] != SL_RESULT_DONE) continue;
		r->b->result[i] = SL_RESULT_TIMEOUT;
		sl_batch_reason(r->b, i, "write concern: %s (code %lld)", said, (long long)code);
	}
	if (known && known->scope == SCOPE_DOWN) link_down(r, known->class.meaning, code);
	log_warn(LOG_ACTION, "write concern not met", "action=%s code=%lld text=%s", sl_action_name(r->b->action),
		 (long long)code, said);
}

/* More successes than rows before the first error: this server goes on behind an error, whatever was asked. */
static bool went_on(const struct reply *r, const bson_t *reply, int64_t first) {
	bson_iter_t it;
	return !r->s->many && bson_iter_init_find(&it, reply, "n") && BSON_ITER_HOLDS_NUMBER(&it) &&
	       bson_iter_as_int64(&it) > first;
}

/* FerretDB says of the first row of many what it has against any of them, and not how many it carried out, as others do: so nobody
 * knows which one it is. */
static bool is_of_any(const struct reply *r, const bson_t *reply) {
	bson_iter_t it, list;
	return r->ordered && r->n > 1 && !bson_iter_init_find(&it, reply, "n") &&
	       bson_iter_init_find(&it, reply, "writeErrors") && BSON_ITER_HOLDS_ARRAY(&it) &&
	       bson_iter_recurse(&it, &list) && bson_iter_next(&list) && number_at(&list, "index", -1) == 0;
}

/* How many rows were refused; -1: an error does not say which row of the command it is about. It is of some row all the same. */
static int64_t errors_count(const struct reply *r, const bson_t *reply) {
	bson_iter_t it, list;
	int64_t count = 0;
	if (!bson_iter_init_find(&it, reply, "writeErrors")) return 0;
	if (!BSON_ITER_HOLDS_ARRAY(&it) || !bson_iter_recurse(&it, &list)) return -1;
	for (; bson_iter_next(&list); count++) {
		int64_t at = BSON_ITER_HOLDS_DOCUMENT(&list) ? number_at(&list, "index", -1) : -1;
		if (at < 0 || at >= (int64_t)r->n) return -1;
	}
	return count;
}

/* Does it say what became of the rows? Where none was refused it tells how many were carried out; of an insert all are. */
static bool says_enough(const struct reply *r, const bson_t *reply) {
	bson_iter_t it;
	int64_t refused = errors_count(r, reply);
	if (refused != 0) return refused > 0;
	if (!bson_iter_init_find(&it, reply, "n") || !BSON_ITER_HOLDS_NUMBER(&it)) return false;
	int64_t n = bson_iter_as_int64(&it);
	return r->s->operation == MONGO_INSERT ? n == (int64_t)r->n : n >= 0;
}

static void carried_out(struct reply *r, const bson_t *reply) {
	bson_iter_t it;
	if (is_of_any(r, reply)) {
		r->alone = true;
		r->b->repeats += (uint32_t)(r->n - 1);
		return;
	}
	int64_t first = first_error(r, reply);
	duplicates_decide(r);
	bool stopped = r->ordered && first >= 0 && !went_on(r, reply, first);
	int64_t tried = stopped ? first : (int64_t)r->n;
	bool stored = false;
	for (int64_t k = 0; k < tried; k++) {
		uint32_t i = r->l->rows[k];
		if (r->b->result[i] == SL_RESULT_PENDING) r->b->result[i] = SL_RESULT_DONE;
		stored = stored || r->b->result[i] == SL_RESULT_DONE; /* or was there already: it was let in */
	}
	r->l->stored += stored;
	if (r->waits) not_ready(r, r->waits, r->waits_for);
	if (bson_iter_init_find(&it, reply, "writeConcernError") && BSON_ITER_HOLDS_DOCUMENT(&it))
		concern_error(r, &it);
	if (stopped && !r->alone && !r->denied) r->stop = true;
}

/* ---- A command that was not. ------------------------------------------------------------------------------------------------ */

static void rows_set(struct reply *r, enum sl_result result, const char *reason) {
	for (size_t k = 0; k < r->n; k++) {
		uint32_t i = r->l->rows[k];
		if (r->b->result[i] != SL_RESULT_PENDING) continue;
		r->b->result[i] = (uint8_t)result;
		if (reason) sl_batch_reason(r->b, i, "%s", reason);
	}
}

static bool reply_says_retry(const bson_t *reply) {
	bson_iter_t it, label;
	if (!bson_iter_init_find(&it, reply, "errorLabels") || !BSON_ITER_HOLDS_ARRAY(&it) ||
	    !bson_iter_recurse(&it, &label))
		return false;
	while (bson_iter_next(&label))
		if (BSON_ITER_HOLDS_UTF8(&label) && strcmp(bson_iter_utf8(&label, NULL), "RetryableWriteError") == 0)
			return true;
	return false;
}

/* The library refused it before it was sent: some row is to blame. */
static bool refused_here(const bson_error_t *error) {
	return error->domain == MONGOC_ERROR_BSON || error->domain == MONGOC_ERROR_BSON_INVALID ||
	       (error->domain == MONGOC_ERROR_COMMAND && error->code == MONGOC_ERROR_COMMAND_INVALID_ARG) ||
	       (error->domain == MONGOC_ERROR_CLIENT && error->code == MONGOC_ERROR_CLIENT_TOO_BIG);
}

/* A batch with a row that waits, as it was denied, comes again as it is: halves would not find another bad one in it. */
static bool goes_alone(const struct reply *r) { return r->l->wary || r->l->denied_n > 0; }

/* One of the rows is to blame. Where order counts, the rest of the batch is split along with them. */
static void group_failed(struct reply *r, const char *why) {
	if (goes_alone(r)) {
		r->alone = r->n > 1;
		if (!r->alone) rows_set(r, SL_RESULT_REJECT, why);
		return;
	}
	rows_set(r, SL_RESULT_GROUP_FAILED, why);
	if (!r->ordered) return;
	sl_batch_fill(r->b, SL_RESULT_GROUP_FAILED, why);
	r->stop = true;
}

static void failed(struct reply *r, const bson_t *reply, const bson_error_t *error) {
	bool by_server = error->domain == MONGOC_ERROR_SERVER;
	const struct mongo_error *known = by_server ? mongo_error_find((int)error->code) : NULL;
	bool fleeting = by_server && !known && reply_says_retry(reply);
	if ((by_server && !known && !fleeting) || refused_here(error)) {
		char *why = sl_asprintf("%s (code %u)", error->message, error->code);
		group_failed(r, why);
		sl_free(why);
		return;
	}
	if (known && known->scope == SCOPE_WAIT && (r->s->collection_fixed || mongo_error_is_of_server(known->code))) {
		not_ready(r, known, error->message);
		return;
	}
	if (known && known->scope == SCOPE_WAIT) { /* of the collection that these rows name */
		for (size_t k = 0; k < r->n; k++)
			mongo_row_denied(r->l, r->b, r->l->rows[k], true, known, error->message);
		return;
	}
	char *why = mongo_link_why(r->l, error);
	bool is_alone = r->b->count == 1 || (goes_alone(r) && r->n == 1);
	bool perhaps_of_row = known && mongo_error_is_inside(known->code) && !is_alone;
	if (perhaps_of_row || (known && known->scope == SCOPE_ROW && known->class.result == SL_RESULT_REJECT))
		group_failed(r, why);
	else if (known && known->scope == SCOPE_ROW) {
		r->b->late = r->b->late || mongo_error_is_time(known->code);
		rows_set(r, known->class.result, why);
		r->stop = r->ordered;
	} else {
		/* Nobody knows whether it was carried out. */
		rows_set(r, atomic_load(&r->l->cancelled) ? SL_RESULT_TIMEOUT : SL_RESULT_LOST,
			 atomic_load(&r->l->cancelled) ? why : NULL);
		link_down(r, why, 0);
	}
	sl_free(why);
}

/* Nobody knows what was carried out. */
static void nonsense(struct reply *r) {
	rows_set(r, SL_RESULT_LOST, NULL);
	link_down(r, "the server's answer does not say what became of the rows", 0);
}

bool mongo_reply_again(const bson_t *reply, const bson_error_t *error) {
	if (reply_says_retry(reply)) return true;
	if (error->domain != MONGOC_ERROR_SERVER) return error->domain == MONGOC_ERROR_STREAM && !refused_here(error);
	const struct mongo_error *known = mongo_error_find((int)error->code);
	return known && known->scope == SCOPE_DOWN && known->code != 11 && known->code != 18 && known->code != 334 &&
	       known->code != 8000;
}

enum mongo_then mongo_reply_apply(struct mongo_link *l, struct sl_batch *b, size_t n, bool ordered, bool ok,
				  const bson_t *reply, const bson_error_t *error) {
	struct reply r = {.l = l, .b = b, .n = n, .s = sl_action_impl(b->action), .ordered = ordered};
	bson_iter_t it;
	/* A missing confirmation makes the call fail, though the command was carried out; and an answer that says nothing at all
	 * is a success to the library. */
	bool done = bson_iter_init_find(&it, reply, "ok") && !BSON_ITER_HOLDS_UTF8(&it) && bson_iter_as_bool(&it);
	if (done && says_enough(&r, reply))
		carried_out(&r, reply);
	else if (ok || done)
		nonsense(&r);
	else
		failed(&r, reply, error);
	sl_free(r.asks);
	return r.stop ? MONGO_STOP : r.alone ? MONGO_ALONE : MONGO_GO_ON;
}
