/* mongo_there.c: which rows of an insert does the collection have already? For servers that refuse a duplicate and do not say
 * which index has it.
 *
 * After a restart that may be a whole batch; so they are asked for together, some hundred in a question. Answers are told by their
 * bytes, numbers by their value. A server compares more loosely than that (1 and 1.0 deep within an object): when its answer has an
 * _id that nobody asked for, the question is asked again in halves, at last for one _id, where every answer is a yes. */
#include "mem.h"
#include "mongodb_int.h"

enum {
	ASK_IDS = 1000,
	ASK_BYTES = 1024 * 1024,
};

struct asking {
	struct mongo_link *l;
	const char *collection;
	struct sl_buf ids; /* of each ask a document {_id: ...} */
	bson_error_t *error;
};

/* {_id: value}, alike for all numbers of one value. */
static void id_normal(const bson_iter_t *id, bson_t *out) {
	static const double exact = 9007199254740992.0; /* 2^53 */
	double d = BSON_ITER_HOLDS_DOUBLE(id) ? bson_iter_double(id) : 0.5;
	if (BSON_ITER_HOLDS_INT(id))
		BSON_APPEND_INT64(out, "_id", bson_iter_as_int64(id));
	else if (d >= -exact && d <= exact && d == (double)(int64_t)d)
		BSON_APPEND_INT64(out, "_id", (int64_t)d);
	else
		(void)bson_append_iter(out, "_id", 3, id);
}

static int ask_order(const void *a, const void *b) {
	const struct mongo_ask *x = a, *y = b;
	return (x->at > y->at) - (x->at < y->at);
}

/* Their _ids, from the command that was refused. One that has none cannot be there. */
static void ids_collect(struct asking *q, const bson_t *command, struct mongo_ask *asks, size_t n) {
	bson_iter_t it, rows, row;
	size_t k = 0;
	qsort(asks, n, sizeof *asks, ask_order);
	if (!bson_iter_init_find(&it, command, "documents") || !bson_iter_recurse(&it, &rows)) return;
	for (int64_t at = 0; k < n && bson_iter_next(&rows); at++) {
		if (asks[k].at != at) continue;
		bson_t id = BSON_INITIALIZER;
		if (bson_iter_recurse(&rows, &row) && bson_iter_find(&row, "_id")) id_normal(&row, &id);
		bool has = !bson_empty(&id);
		size_t from = q->ids.n;
		if (has) sl_buf_append(&q->ids, bson_get_data(&id), id.len);
		for (; k < n && asks[k].at == at; k++) {
			asks[k].from = from;
			asks[k].size = has ? id.len : 0;
		}
		bson_destroy(&id);
	}
}

static bool ask_id(const struct asking *q, const struct mongo_ask *ask, bson_t *document, bson_iter_t *id) {
	return ask->size > 0 && bson_init_static(document, (const uint8_t *)q->ids.p + ask->from, ask->size) &&
	       bson_iter_init_find(id, document, "_id");
}

/* One question. False: no answer. */
static bool ids_find(struct asking *q, const struct mongo_ask *asks, size_t n, bson_t *reply) {
	bson_t find = BSON_INITIALIZER, outer, inner, list, document;
	bson_iter_t id;
	uint32_t count = 0;
	BSON_APPEND_UTF8(&find, "find", q->collection);
	BSON_APPEND_DOCUMENT_BEGIN(&find, "filter", &outer);
	BSON_APPEND_DOCUMENT_BEGIN(&outer, "_id", &inner);
	BSON_APPEND_ARRAY_BEGIN(&inner, "$in", &list);
	for (size_t k = 0; k < n; k++) {
		char text[12];
		if (!ask_id(q, &asks[k], &document, &id)) continue;
		struct sl_slice key = mongo_index(count++, text);
		(void)bson_append_iter(&list, key.p, (int)key.n, &id);
	}
	(void)bson_append_array_end(&inner, &list);
	(void)bson_append_document_end(&outer, &inner);
	(void)bson_append_document_end(&find, &outer);
	BSON_APPEND_DOCUMENT_BEGIN(&find, "projection", &outer);
	BSON_APPEND_INT32(&outer, "_id", 1);
	(void)bson_append_document_end(&find, &outer);
	BSON_APPEND_INT32(&find, "limit", (int32_t)n);
	BSON_APPEND_INT32(&find, "batchSize", (int32_t)n);
	BSON_APPEND_BOOL(&find, "singleBatch", true);
	bool ok = mongoc_client_command_simple(q->l->client, q->l->c->database, &find, NULL, reply, q->error);
	bson_destroy(&find);
	return ok;
}

/* Marks who has this _id. False: nobody. */
static bool id_found(struct asking *q, struct mongo_ask *asks, size_t n, const bson_iter_t *id) {
	bson_t found = BSON_INITIALIZER;
	bool known = false;
	id_normal(id, &found);
	for (size_t k = 0; k < n; k++) {
		if (asks[k].size != found.len || memcmp(q->ids.p + asks[k].from, bson_get_data(&found), found.len) != 0)
			continue;
		asks[k].state = MONGO_ASK_THERE;
		known = true;
	}
	bson_destroy(&found);
	return known;
}

/* False: the answer is none, or has an _id that cannot be told to a row (*strange). */
static bool answer_read(struct asking *q, struct mongo_ask *asks, size_t n, const bson_t *reply, bool *strange) {
	bson_iter_t it, list, id;
	if (!bson_iter_init(&it, reply) || !bson_iter_find_descendant(&it, "cursor.firstBatch", &list) ||
	    !BSON_ITER_HOLDS_ARRAY(&list) || !bson_iter_recurse(&list, &it)) {
		bson_set_error(q->error, MONGOC_ERROR_PROTOCOL, MONGOC_ERROR_PROTOCOL_INVALID_REPLY,
			       "the server's answer to `find` is none");
		return false;
	}
	while (bson_iter_next(&it)) {
		if (n == 1)
			asks[0].state = MONGO_ASK_THERE;
		else if (!bson_iter_recurse(&it, &id) || !bson_iter_find(&id, "_id") || !id_found(q, asks, n, &id))
			*strange = true;
	}
	return true;
}

/* At most log2(ASK_IDS) deep. */
static bool ids_ask(struct asking *q, struct mongo_ask *asks, size_t n) {
	bson_t reply;
	bool strange = false, open = false;
	for (size_t k = 0; k < n; k++) {
		if (asks[k].size == 0) asks[k].state = MONGO_ASK_ABSENT;
		open = open || asks[k].state == MONGO_ASK_OPEN;
	}
	if (!open) return true;
	if (atomic_load(&q->l->cancelled)) return false;
	bool ok = ids_find(q, asks, n, &reply) && answer_read(q, asks, n, &reply, &strange);
	bson_destroy(&reply);
	if (!ok) return false;
	if (strange) return ids_ask(q, asks, n / 2) && ids_ask(q, asks + n / 2, n - n / 2);
	for (size_t k = 0; k < n; k++)
		if (asks[k].state == MONGO_ASK_OPEN) asks[k].state = MONGO_ASK_ABSENT;
	return true;
}

/* How many of the next go into one question. */
static size_t slice_length(const struct mongo_ask *asks, size_t n) {
	size_t bytes = 0, k = 0;
	while (k < n && k < ASK_IDS && (k == 0 || bytes + asks[k].size <= ASK_BYTES)) bytes += asks[k++].size;
	return k;
}

bool mongo_ids_there(struct mongo_link *l, struct mongo_ask *asks, size_t n, bson_error_t *error) {
	struct asking q = {.l = l, .error = error};
	bson_t command;
	bson_iter_t it;
	bool ok = true;
	*error = (bson_error_t){0};
	if (bson_init_static(&command, (const uint8_t *)l->command.p, l->command.n) &&
	    bson_iter_init_find(&it, &command, "insert") && BSON_ITER_HOLDS_UTF8(&it)) {
		q.collection = bson_iter_utf8(&it, NULL);
		ids_collect(&q, &command, asks, n);
	}
	for (size_t k = 0, some; q.collection && ok && k < n; k += some) {
		some = slice_length(asks + k, n - k);
		ok = ids_ask(&q, asks + k, some);
	}
	sl_buf_fini(&q.ids);
	return ok;
}
