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
	VAIN_LEAST = 64,                /* commands of which nothing was stored: the next ones would fare no better */
	VAIN_DIV = 8,                   /* or such a part of the batch's rows */
	WARY_BATCHES = 16,
	PAUSE_LEAST_MS = 10, /* before those that are denied are asked again; doubles each time */
	PAUSE_MOST_MS = 320,
	PAUSES = 16, /* in a batch */
};

struct maker {
	struct mongo_link *l;
	struct sl_batch *b;
	struct mongo_action *s;
	struct sl_slice collection;
	bool ordered;
	bool asking;     /* rows that were denied; and so further commands may go behind one that is */
	bool stop;       /* no further command makes sense now */
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

/* Until one is denied: those behind it may have to wait for it. False: no further command makes sense now. */
static bool rows_alone(struct maker *m) {
	size_t n = m->n, denials = m->l->denials, k = 0;
	uint32_t *rows = SL_NEW_ARRAY(uint32_t, n);
	uint8_t *result = m->b->result;
	bool go_on = true;
	memcpy(rows, m->l->rows, n * sizeof *rows);
	for (; k < n && go_on && m->l->denials == denials; k++)
		if (result[rows[k]] == SL_RESULT_PENDING || result[rows[k]] == SL_RESULT_LOST)
			go_on = row_alone(m, rows[k]);
	for (; k < n; k++)
		if (result[rows[k]] == SL_RESULT_LOST) result[rows[k]] = SL_RESULT_PENDING;
	sl_free(rows);
	return go_on;
}

/* Sends what is there. False: no further command now. */
static bool command_send(struct maker *m) {
	if (m->n == 0) return true;
	size_t denials = m->l->denials, stored = m->l->stored;
	enum mongo_then then = command_send_once(m);
	if (m->l->stored > stored) mongo_denied_none(m->s, m->collection);
	m->stop = then == MONGO_STOP || (then == MONGO_ALONE && !rows_alone(m));
	return !m->stop && (m->asking || m->l->denials == denials);
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
		size_t denials = m->l->denials;
		if (!command_send(m) || m->l->denials > denials) return false;
		command_begin(m);
	}
	l->rows[m->n++] = i;
	return true;
}

/* All picked rows of one collection, from the first on; behind a command of them that was denied no other. False: none of other
 * collections, either. */
static bool collection_run(struct maker *m, uint32_t from, struct sl_slice collection, uint8_t *pick) {
	char *name = sl_memdup0(collection.p, collection.n); /* it may live in a buffer that rows use */
	m->collection = slice_from_str(name);
	command_begin(m);
	bool go_on = true;
	for (uint32_t i = from; i < m->b->count; i++) {
		struct sl_slice other;
		if (!pick[i]) continue;
		if (i > from && !m->s->collection_fixed &&
		    (mongo_row_collection(&m->l->e, m->s, m->b->row[i], &other) != SL_OK ||
		     !slice_equal(other, m->collection)))
			continue;
		pick[i] = 0;
		go_on = go_on && row_add(m, i);
	}
	if (go_on) go_on = command_send(m);
	sl_free(name);
	return m->asking ? !m->stop : go_on;
}

/* The picked rows; of those behind one that is denied none. */
static void rows_run(struct maker *m, uint8_t *pick) {
	struct sl_batch *b = m->b;
	for (uint32_t i = 0; i < b->count; i++) {
		struct sl_slice collection;
		if (!pick[i]) continue;
		if (mongo_row_collection(&m->l->e, m->s, b->row[i], &collection) != SL_OK) {
			pick[i] = 0;
			b->result[i] = SL_RESULT_REJECT;
			sl_batch_reason(b, i, "%s", sl_err_text(&m->l->e.err));
		} else if (!collection_run(m, i, collection, pick))
			break;
	}
}

/* ---- Where rows are denied, see mongo_denied.c. ---------------------------------------------------------------------------- */

/* Once more, the first n of those that are denied. */
static void denied_ask(struct maker *m, size_t n, uint8_t *pick) {
	struct mongo_link *l = m->l;
	memset(pick, 0, m->b->count);
	m->asking = true;
	mongo_denied_begin(l, m->b, n);
	for (size_t i = 0; i < n && !m->stop; i++) {
		if (!l->denied[i].asked) continue;
		pick[l->denied[i].row] = 1;
		if (m->ordered && !l->denied[i].whole) rows_run(m, pick); /* alone */
	}
	if (!m->stop) rows_run(m, pick);
	mongo_denied_end(l, m->b, n);
	m->asking = false;
}

/* Which rows go next: all; or half of what is left, so that there are some to go behind those that are denied. Where all that is left
 * has to wait for these, one of them; *own says so. False: none. */
static bool rows_pick(struct maker *m, bool careful, uint8_t *pick, bool *own) {
	struct sl_batch *b = m->b;
	uint32_t n = 0, picked = 0;
	memset(pick, 0, b->count);
	for (uint32_t i = 0; i < b->count; i++)
		n += b->result[i] == SL_RESULT_PENDING && !mongo_denied_holds(m->l, b, i, false);
	*own = n == 0;
	uint32_t most = n == 0 ? 1 : careful ? (n + 1) / 2 : n;
	for (uint32_t i = 0; i < b->count && picked < most; i++) {
		if (b->result[i] != SL_RESULT_PENDING || mongo_denied_holds(m->l, b, i, *own)) continue;
		pick[i] = 1;
		picked++;
	}
	return picked > 0;
}

/* Until there are none left that need not wait. */
static void rows_all(struct maker *m, uint8_t *pick) {
	struct mongo_link *l = m->l;
	uint32_t vain = 0;
	bool own;
	while (!m->stop && rows_pick(m, l->wary || mongo_denied_open(l), pick, &own)) {
		size_t denied = l->denied_n, stored = l->stored;
		rows_run(m, pick);
		vain = l->stored > stored ? 0 : vain + 1;
		if (l->denied_n > denied && vain > (own ? 0 : VAIN_LEAST + m->b->count / VAIN_DIV)) break;
		if (vain == 0 && denied > 0 && !m->stop) denied_ask(m, denied, pick);
		mongo_denied_decide(l, m->b);
	}
}

static void batch_rows(struct maker *m) {
	struct mongo_link *l = m->l;
	uint32_t wary = atomic_load(&m->s->wary);
	uint8_t *pick = SL_NEW_ARRAY(uint8_t, m->b->count);
	l->wary = wary > 0;
	rows_all(m, pick);
	for (int n = 0, pause = PAUSE_LEAST_MS; n < PAUSES && !m->stop && mongo_denied_too_early(l, m->b); n++) {
		if (!mongo_denied_sleep(l, pause)) break;
		if (pause < PAUSE_MOST_MS) pause *= 2;
		denied_ask(m, l->denied_n, pick);
		mongo_denied_decide(l, m->b);
		rows_all(m, pick);
	}
	sl_free(pick);
	if (l->denials > 0)
		atomic_store(&m->s->wary, WARY_BATCHES);
	else if (wary > 0)
		atomic_store(&m->s->wary, wary - 1);
	mongo_denied_wait(l, m->b);
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
		l->denied_n = l->denials = l->stored = 0;
		batch_rows(&m);
	}
	sl_batch_fill(b, SL_RESULT_LOST, NULL); /* what no answer spoke of */
	if (l->command.cap > KEEP_MAX) sl_buf_fini(&l->command);
}
