/* mongo_batch.c: a batch as commands: one for each collection that its rows name, split where a command would exceed what a
 * server takes.
 *
 * Inserts go unordered: each document is on its own, so the server goes on after one that it refuses. Updates and deletes go
 * ordered: rows of one key must change a document one after the other, and after one that is refused the rest comes again. */
#include "log.h"
#include "mem.h"
#include "mongodb_int.h"

enum {
	COMMAND_MAX = 15 * 1024 * 1024, /* a command may be as large as a document, and a little more */
	KEEP_MAX = 4 * 1024 * 1024,     /* of the buffer, between batches */
	ALONE_MAX = 3,                  /* how often a row goes by itself */
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

static bool rows_alone(struct maker *m) {
	size_t n = m->n;
	uint32_t *rows = SL_NEW_ARRAY(uint32_t, n);
	bool go_on = true;
	memcpy(rows, m->l->rows, n * sizeof *rows);
	for (size_t k = 0; k < n && go_on; k++) {
		uint8_t result = m->b->result[rows[k]];
		if (result == SL_RESULT_PENDING || result == SL_RESULT_LOST) go_on = row_alone(m, rows[k]);
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
	} else if (mongo_series_ensure(l, b))
		rows_run(&m);
	sl_batch_fill(b, SL_RESULT_LOST, NULL); /* what no answer spoke of */
	if (l->command.cap > KEEP_MAX) sl_buf_fini(&l->command);
}
