/* mongo_batch.c: a batch as commands: one for each collection that its rows name, split where a command would exceed what a
 * server takes.
 *
 * Inserts go unordered: each document is on its own, so the server goes on after one that it refuses. Updates and deletes go
 * ordered: rows of one key must change a document one after the other, and after one that is refused the rest comes again. */
#include "log.h"
#include "mem.h"
#include "mongo_errors.h"
#include "mongodb_int.h"

enum {
	COMMAND_MAX = 15 * 1024 * 1024, /* a command may be as large as a document, and a little more */
	KEEP_MAX = 4 * 1024 * 1024,     /* of the buffer, between batches */
	ALONE_MAX = 3,                  /* how often a row goes by itself */
	DENIED_RARE = 4,                /* times as many rows were stored */
	DENIED_ASKED = 64,              /* collections of a batch */
	DENIED_MOST = 64,               /* in a row, and then those behind them would be, too */
};

struct maker {
	struct mongo_link *l;
	struct sl_batch *b;
	struct mongo_action *s;
	struct sl_slice collection;
	bool ordered;
	size_t at, list; /* where the command and its list begin */
	size_t n;        /* rows in it */
};

static void command_begin(struct maker *m) {
	static const struct {
		const char *verb, *list;
	} words[] = {[MONGO_INSERT] = {"insert", "documents"},
		     [MONGO_UPDATE_ONE] = {"update", "updates"},
		     [MONGO_UPSERT] = {"update", "updates"},
		     [MONGO_REPLACE] = {"update", "updates"},
		     [MONGO_DELETE] = {"delete", "deletes"}};
	struct sl_buf *out = &m->l->command;
	sl_buf_clear(out);
	m->n = 0;
	m->at = mongo_doc_begin(out);
	mongo_put_text(out, slice_from_str(words[m->s->operation].verb), m->collection);
	mongo_put_bool(out, SL_SLICE_LIT("ordered"), m->ordered);
	m->list = mongo_inner_begin(out, slice_from_str(words[m->s->operation].list), true);
}

static bool command_once(struct mongo_link *l, const bson_t *command, bool numbered, bson_t *reply,
			 bson_error_t *error) {
	bson_t opts = BSON_INITIALIZER;
	bson_error_t none;
	*error = (bson_error_t){0};
	if (numbered) (void)mongoc_client_session_append(l->session, &opts, &none);
	bool ok = mongoc_client_write_command_with_opts(l->client, l->c->database, command, &opts, reply, error);
	bson_destroy(&opts);
	return ok;
}

/* Sends what is there, at least one row. */
static enum mongo_then command_send_once(struct maker *m) {
	struct mongo_link *l = m->l;
	bson_t command, reply;
	bson_error_t error;
	bool numbered = l->session && !m->s->many;
	mongo_doc_end(&l->command, m->list);
	if (numbered) mongo_put_i64(&l->command, SL_SLICE_LIT("txnNumber"), ++l->number);
	mongo_doc_end(&l->command, m->at);
	if (!bson_init_static(&command, (const uint8_t *)l->command.p, l->command.n)) return MONGO_STOP; /* never */
	bool ok = command_once(l, &command, numbered, &reply, &error);
	if (!ok && numbered && !atomic_load(&l->cancelled) && mongo_reply_again(&reply, &error)) {
		log_debug(LOG_CONN, "write is sent again by its number", "name=%s why=%s", sl_conn_name(l->c->conn),
			  error.message);
		bson_destroy(&reply);
		ok = command_once(l, &command, numbered, &reply, &error);
	}
	enum mongo_then then = mongo_reply_apply(l, m->b, m->n, m->ordered, ok, &reply, &error);
	bson_destroy(&reply);
	return then;
}

/* False: no further command makes sense now. What others came first with again and again is refused by the index. */
static bool row_alone(struct maker *m, uint32_t i) {
	char text[12];
	enum mongo_then then = MONGO_ALONE;
	for (int k = 0; k < ALONE_MAX && then == MONGO_ALONE; k++) {
		command_begin(m);
		if (mongo_row_write(&m->l->e, m->s, m->l->ids, mongo_index(0, text), m->b->row[i]) != SL_OK)
			return false; /* never: it was written before */
		m->l->rows[m->n++] = i;
		m->b->result[i] = SL_RESULT_PENDING;
		then = command_send_once(m);
	}
	if (then == MONGO_ALONE) m->b->result[i] = SL_RESULT_REJECT;
	return then != MONGO_STOP;
}

static bool some_done(const struct sl_batch *b) {
	for (uint32_t i = 0; i < b->count; i++)
		if (b->result[i] == SL_RESULT_DONE) return true;
	return false;
}

static bool rows_alone(struct maker *m) {
	size_t n = m->n, denied = m->l->denied_n;
	uint32_t *rows = SL_NEW_ARRAY(uint32_t, n);
	bool go_on = true;
	memcpy(rows, m->l->rows, n * sizeof *rows);
	for (size_t k = 0; k < n && go_on; k++) {
		uint8_t result = m->b->result[rows[k]];
		if (result == SL_RESULT_PENDING || result == SL_RESULT_LOST) go_on = row_alone(m, rows[k]);
		if (m->l->denied_n > denied + DENIED_MOST && !some_done(m->b)) break;
	}
	sl_free(rows);
	return go_on;
}

/* Sends what is there. False: no further command makes sense now. */
static bool command_send(struct maker *m) {
	if (m->n == 0) return true;
	enum mongo_then then = command_send_once(m);
	return then == MONGO_ALONE ? rows_alone(m) : then == MONGO_GO_ON;
}

/* Puts row i into the command; sends that first when it is full. */
static bool row_add(struct maker *m, uint32_t i) {
	struct mongo_link *l = m->l;
	for (;;) {
		char text[12];
		size_t at = l->command.n;
		int r = mongo_row_write(&l->e, m->s, l->ids, mongo_index((uint32_t)m->n, text), m->b->row[i]);
		if (r != SL_OK) {
			l->command.n = at;
			m->b->result[i] = SL_RESULT_REJECT;
			sl_batch_reason(m->b, i, "%s", sl_err_text(&l->e.err));
			return true;
		}
		if (m->n == 0 || l->command.n - m->at <= COMMAND_MAX) break;
		l->command.n = at;
		if (!command_send(m)) return false;
		command_begin(m);
	}
	l->rows[m->n++] = i;
	return true;
}

/* All rows of one collection, from the first on that is not decided. */
static bool collection_run(struct maker *m, uint32_t from, struct sl_slice collection, uint8_t *taken) {
	char *name = sl_memdup0(collection.p, collection.n); /* it may live in a buffer that rows use */
	m->collection = slice_from_str(name);
	command_begin(m);
	bool go_on = true;
	for (uint32_t i = from; i < m->b->count && go_on; i++) {
		struct sl_slice other;
		if (taken[i]) continue;
		if (i > from && !m->s->collection_fixed &&
		    (mongo_row_collection(&m->l->e, m->s, m->b->row[i], &other) != SL_OK ||
		     !slice_equal(other, m->collection)))
			continue;
		taken[i] = 1;
		go_on = row_add(m, i);
	}
	if (go_on) go_on = command_send(m);
	sl_free(name);
	return go_on;
}

static void rows_run(struct maker *m) {
	struct sl_batch *b = m->b;
	uint8_t *taken = SL_NEW_ARRAY(uint8_t, b->count);
	for (uint32_t i = 0; i < b->count; i++) {
		struct sl_slice collection;
		if (taken[i]) continue;
		if (mongo_row_collection(&m->l->e, m->s, b->row[i], &collection) != SL_OK) {
			taken[i] = 1;
			b->result[i] = SL_RESULT_REJECT;
			sl_batch_reason(b, i, "%s", sl_err_text(&m->l->e.err));
		} else if (!collection_run(m, i, collection, taken))
			break;
	}
	sl_free(taken);
}

/* ---- Rows that are refused like a collection. --------------------------------------------------------------------------- */

void mongo_row_denied(struct mongo_link *l, struct sl_batch *b, uint32_t row, const struct mongo_error *known,
		      const char *said) {
	b->result[row] = SL_RESULT_LOST;
	sl_batch_reason(b, row, "%s (the server says: %s, code %d)", mongo_advice(l->c, known), said, known->code);
	l->denials++;
	for (size_t i = 0; i < l->denied_n; i++)
		if (l->denied[i].row == row) return;
	SL_GROW(l->denied, l->denied_n, l->denied_cap);
	l->denied[l->denied_n++] = (struct mongo_denied){.row = row, .stored = l->stored};
}

/* Once more, by itself. */
static bool denied_again(struct maker *m, uint32_t i, bool *go_on) {
	struct sl_slice collection;
	if (mongo_row_collection(&m->l->e, m->s, m->b->row[i], &collection) != SL_OK) return false; /* never */
	char *name = sl_memdup0(collection.p, collection.n);
	size_t before = m->l->denials;
	m->collection = slice_from_str(name);
	*go_on = row_alone(m, i);
	sl_free(name);
	return m->l->denials > before;
}

/* Of its collection an earlier one was asked already; NULL: it is the first. */
static const struct mongo_denied *asked_before(struct maker *m, size_t at) {
	struct mongo_link *l = m->l;
	struct sl_slice own, other;
	if (m->s->collection_fixed || mongo_row_collection(&l->e, m->s, m->b->row[l->denied[at].row], &own) != SL_OK)
		return NULL;
	char *name = sl_memdup0(own.p, own.n);
	const struct mongo_denied *found = NULL;
	for (size_t i = 0; i < at && !found; i++)
		if (l->denied[i].asked &&
		    mongo_row_collection(&l->e, m->s, m->b->row[l->denied[i].row], &other) == SL_OK &&
		    slice_equal(slice_from_str(name), other))
			found = &l->denied[i];
	sl_free(name);
	return found;
}

/* True: one was let in, so rights have changed meanwhile. */
static bool denied_ask(struct maker *m, uint32_t done) {
	struct mongo_link *l = m->l;
	bool few = (uint64_t)l->denied_n * DENIED_RARE <= done, changed = false, go_on = true;
	size_t asked = 0;
	for (size_t i = 0; i < l->denied_n && asked < DENIED_ASKED && go_on; i++) {
		struct mongo_denied *d = &l->denied[i];
		if (!few && l->stored <= d->stored) continue; /* nothing was stored behind it */
		const struct mongo_denied *earlier = asked_before(m, i);
		asked += !earlier;
		d->again = earlier ? earlier->again : denied_again(m, d->row, &go_on);
		d->asked = !earlier;
		changed = changed || m->b->result[d->row] == SL_RESULT_DONE;
	}
	return changed;
}

/* No right, a view, no such collection: mostly no row is to blame, and all wait. But a row may name the collection, or bring what a server
 * does not implement. Where others were stored behind it, or it is one of few, and it is refused once more, it is the row. */
static void denied_decide(struct maker *m) {
	struct mongo_link *l = m->l;
	struct sl_batch *b = m->b;
	uint32_t done = 0;
	for (uint32_t i = 0; i < b->count; i++) done += b->result[i] == SL_RESULT_DONE;
	if (done == 0) {
		sl_batch_in_doubt(b, "%s", b->reason[l->denied[0].row]);
		return;
	}
	bool changed = denied_ask(m, done);
	for (size_t i = 0; i < l->denied_n; i++) {
		const struct mongo_denied *d = &l->denied[i];
		if (b->result[d->row] == SL_RESULT_LOST && d->again && !changed) b->result[d->row] = SL_RESULT_REJECT;
	}
}

void mongo_batch_run(struct mongo_link *l, struct sl_batch *b) {
	struct maker m = {.l = l, .b = b, .s = sl_action_impl(b->action)};
	bson_error_t error = {0};
	m.ordered = m.s->operation != MONGO_INSERT;
	if (l->rows_cap < b->count) {
		l->rows = sl_realloc_array(l->rows, b->count, sizeof *l->rows);
		l->rows_cap = b->count;
	}
	if (!mongo_link_open(l, &error) || !mongo_link_session(l, &error)) {
		char *why = mongo_link_why(l, &error);
		sl_conn_down(l->c->conn, SL_EIO, "%s", why);
		sl_free(why);
	} else if (mongo_series_ensure(l, b)) {
		l->denied_n = l->stored = 0;
		rows_run(&m);
		if (l->denied_n > 0) denied_decide(&m);
	}
	sl_batch_fill(b, SL_RESULT_LOST, NULL); /* what no answer spoke of */
	if (l->command.cap > KEEP_MAX) sl_buf_fini(&l->command);
}
