/* mongo_row.c: one row as its part of a command: a document to insert, {q, u} of an update, {q, limit} of a delete. */
#include "mem.h"
#include "mongodb_int.h"
#include "sql_row.h"
#include "utf8.h"

enum { COLLECTION_MAX = 200, OID_ELEMENT = 1 + 4 + 12 };

static struct sl_slice row_text(const struct sql_value *v, struct sl_buf *scratch) {
	if (v->kind == SQL_STRING) return sql_value_text(v);
	sl_buf_clear(scratch);
	sql_value_to_text(v, scratch);
	return sl_buf_slice(scratch);
}

int mongo_row_collection(struct mongo_encoder *e, const struct mongo_action *s, const void *row, struct sl_slice *out) {
	if (s->collection_fixed) {
		*out = slice_from_str(s->collection_fixed);
		return SL_OK;
	}
	struct sql_value v = sql_row_get(row, (uint16_t)s->collection_param);
	struct sl_slice name = row_text(&v, &e->scratch);
	mongo_encoder_row(e);
	if (name.n == 0 || name.n > COLLECTION_MAX || memchr(name.p, '\0', name.n) || memchr(name.p, '$', name.n) ||
	    slice_starts_with(name, SL_SLICE_LIT("system.")) || name.p[0] == '.' || !utf8_valid(name))
		return mongo_fail(
		    e, SL_EINVAL, SL_SLICE_EMPTY,
		    "collection: this row's name is empty, over %d bytes, not UTF-8, one of the server's own, or "
		    "holds $ or a zero byte",
		    COLLECTION_MAX);
	*out = name;
	return SL_OK;
}

/* ---- What is inserted. ------------------------------------------------------------------------------------------------- */

static int id_write(struct mongo_encoder *e, const struct mongo_action *s, const void *row) {
	struct sql_value v = sql_row_get(row, (uint16_t)s->id_param);
	if (v.kind == SQL_NULL || v.kind == SQL_JSON_NULL)
		return mongo_fail(e, SL_ETYPE, SL_SLICE_LIT("_id"), "`id` gives nothing for this row");
	return mongo_encode_value(e, SL_SLICE_LIT("_id"), &v, s->id_types);
}

/* Drivers make the _id, not servers: so a write that the library sends twice is stored once. ids NULL: none is made. */
static int document_write(struct mongo_encoder *e, const struct mongo_action *s, bson_context_t *ids, const void *row) {
	size_t at = e->out->n;
	bool had_id = false, made = !s->id && ids && !s->doc.id;
	int r = SL_OK;
	if (s->id)
		r = id_write(e, s, row);
	else if (made) {
		bson_oid_t oid;
		bson_oid_init(&oid, ids);
		mongo_put_oid(e->out, SL_SLICE_LIT("_id"), oid.bytes);
	}
	if (r == SL_OK) r = mongo_template_write(&s->doc, e, row, s->absent, s->id ? MONGO_SKIP_ID : 0, &had_id);
	if (r == SL_OK && made && had_id) { /* the row brought one */
		memmove(e->out->p + at, e->out->p + at + OID_ELEMENT, e->out->n - at - OID_ELEMENT);
		e->out->n -= OID_ELEMENT;
	}
	return r;
}

/* ---- What is changed. ------------------------------------------------------------------------------------------------------ */

/* An object of the data is compared with: as it stands, {"$gt": ""} would be obeyed. */
static int id_query_write(struct mongo_encoder *e, const struct mongo_action *s, const void *row) {
	struct sql_value v = sql_row_get(row, (uint16_t)s->id_param);
	if (v.kind != SQL_JSON || v.is_array) return id_write(e, s, row);
	size_t at = mongo_inner_begin(e->out, SL_SLICE_LIT("_id"), false);
	int r = mongo_encode_value(e, SL_SLICE_LIT("$eq"), &v, s->id_types);
	mongo_doc_end(e->out, at);
	return r;
}

static int query_write(struct mongo_encoder *e, const struct mongo_action *s, const void *row) {
	bool had_id;
	size_t at = mongo_inner_begin(e->out, SL_SLICE_LIT("q"), false);
	int r = s->filter ? mongo_template_write(&s->query, e, row, false, MONGO_NO_NULL, &had_id)
			  : id_query_write(e, s, row);
	mongo_doc_end(e->out, at);
	return r;
}

/* A document in place of an update: its names must not be read as operators. */
static int replacement_write(struct mongo_encoder *e, const struct mongo_action *s, const void *row) {
	bool had_id, set = s->operation == MONGO_UPSERT;
	size_t inner = 0, at = mongo_inner_begin(e->out, SL_SLICE_LIT("u"), false);
	if (set) inner = mongo_inner_begin(e->out, SL_SLICE_LIT("$set"), false);
	int r = set || !s->id ? SL_OK : id_write(e, s, row);
	unsigned flags = MONGO_PLAIN_NAMES | (s->id ? MONGO_SKIP_ID : 0);
	if (r == SL_OK) r = mongo_template_write(&s->doc, e, row, s->absent, flags, &had_id);
	if (set) mongo_doc_end(e->out, inner);
	mongo_doc_end(e->out, at);
	return r;
}

static int change_write(struct mongo_encoder *e, const struct mongo_action *s, const void *row) {
	bool had_id;
	if (!s->update) return replacement_write(e, s, row);
	size_t at = mongo_inner_begin(e->out, SL_SLICE_LIT("u"), s->change.list);
	int r = mongo_template_write(&s->change, e, row, s->absent, 0, &had_id);
	mongo_doc_end(e->out, at);
	return r;
}

static bool creates(const struct mongo_action *s) {
	return s->operation == MONGO_UPSERT || (s->operation == MONGO_REPLACE && s->create);
}

int mongo_row_write(struct mongo_encoder *e, const struct mongo_action *s, bson_context_t *ids, struct sl_slice key,
		    const void *row) {
	mongo_encoder_row(e);
	e->style = s->style;
	size_t at = mongo_inner_begin(e->out, key, false);
	int r = SL_EINVAL;
	switch ((enum mongo_operation)s->operation) {
	case MONGO_INSERT: r = document_write(e, s, ids, row); break;
	case MONGO_UPDATE_ONE:
	case MONGO_UPSERT:
	case MONGO_REPLACE:
		r = query_write(e, s, row);
		if (r == SL_OK) r = change_write(e, s, row);
		if (creates(s)) mongo_put_bool(e->out, SL_SLICE_LIT("upsert"), true);
		if (s->many) mongo_put_bool(e->out, SL_SLICE_LIT("multi"), true);
		break;
	case MONGO_DELETE:
		r = query_write(e, s, row);
		mongo_put_i32(e->out, SL_SLICE_LIT("limit"), s->many ? 0 : 1);
		break;
	}
	mongo_doc_end(e->out, at);
	if (r == SL_OK && e->out->n - at > MONGO_DOC_MAX)
		r = mongo_fail(e, SL_ELIMIT, SL_SLICE_EMPTY, "the document has %zu bytes; MongoDB takes at most %d",
			       e->out->n - at, MONGO_DOC_MAX);
	return r;
}

/* ---- For people. ------------------------------------------------------------------------------------------------------------ */

int mongo_encode_row(struct sl_conn_action *a, const void *row, struct sl_buf *out, struct sl_err *err) {
	static const char *const verbs[] = {"insert", "update", "upsert", "replace", "delete"};
	const struct mongo_action *s = sl_action_impl(a);
	struct sl_buf bytes = SL_BUF_INIT;
	struct mongo_encoder e;
	struct sl_slice collection;
	bson_t doc;
	mongo_encoder_init(&e, &bytes);
	int r = mongo_row_collection(&e, s, row, &collection);
	if (r == SL_OK) {
		sl_buf_append_str(out, verbs[s->operation]);
		sl_buf_put(out, ' ');
		sl_buf_append_slice(out, collection);
		sl_buf_put(out, ' ');
		r = mongo_row_write(&e, s, NULL, SL_SLICE_EMPTY, row);
	}
	/* Behind the type and the empty name stands a document. */
	if (r == SL_OK && bson_init_static(&doc, (const uint8_t *)bytes.p + 2, bytes.n - 2)) {
		char *text = bson_as_canonical_extended_json(&doc, NULL);
		if (text) sl_buf_append_str(out, text);
		bson_free(text);
	}
	if (r != SL_OK) (void)sl_err_set(err, r, "%s", sl_err_text(&e.err));
	mongo_encoder_fini(&e);
	sl_buf_fini(&bytes);
	return r;
}
