/* mongo_find.c: questions to MongoDB (lookup.h): one document of a collection, by a filter. It is sent as a command of our own, so there is
 * no cursor to look after; what the filter has of a client is a text there, never an operator. */
#include "mem.h"
#include "mongo_errors.h"
#include "mongodb_int.h"
#include "utf8.h"

struct mongo_question {
	char *collection; /* settings */
	json_t *filter;
	struct sl_param_list params; /* in the order in which mongo_filter_write() meets them */
};

enum { DEPTH_MAX = 16 };

#define AT(member) offsetof(struct mongo_question, member)

static const struct conf_field fields[] = {
    {.name = "collection",
     .type = CONF_STRING,
     .flags = CONF_REQUIRED | CONF_NONEMPTY,
     .at = AT(collection),
     .doc = "The collection, in the connector's database.",
     .example = "users"},
    {.name = "filter",
     .type = CONF_TREE,
     .flags = CONF_REQUIRED,
     .at = AT(filter),
     .doc = "Which document; of several, any one. What a client has said is a text in it, never an operator.",
     .example = "{username: \"${username}\"}"},
    CONF_END};

/* ---- Questions. ---- */

static bool has_value(const json_t *v) { return strstr(json_string_value(v), "${") != NULL; }

static int params_find(struct mongo_question *q, const json_t *v, unsigned depth, struct sl_err *err) {
	const char *key;
	json_t *item;
	size_t i;
	int rc = SL_OK;
	if (depth == DEPTH_MAX) return sl_err_set(err, SL_ELIMIT, "filter: is too deep");
	if (json_is_string(v) && has_value(v))
		sl_params_add(&q->params, SL_SLICE_LIT("filter"), slice_from_str(json_string_value(v)),
			      sl_strdup("filter"));
	json_array_foreach(v, i, item) {
		if (rc == SL_OK) rc = params_find(q, item, depth + 1, err);
	}
	json_object_foreach((json_t *)(uintptr_t)v, key, item) {
		if (rc == SL_OK) rc = params_find(q, item, depth + 1, err);
	}
	return rc;
}

static int check(void *settings, const struct sl_param **params, size_t *count, struct sl_err *err) {
	struct mongo_question *q = settings;
	if (!json_is_object(q->filter) || json_object_size(q->filter) == 0)
		return sl_err_set(err, SL_EINVAL,
				  "filter: must be a map that names a document, {username: \"${username}\"}");
	int rc = params_find(q, q->filter, 0, err);
	*params = q->params.at;
	*count = q->params.n;
	return rc;
}

static void fini(void *settings) { sl_params_fini(&((struct mongo_question *)settings)->params); }

static void filter_write(const struct sl_lookup *a, const json_t *v, const char *key, size_t *next, bson_t *out);

static void members_write(const struct sl_lookup *a, const json_t *v, size_t *next, bson_t *out) {
	const char *key, *index;
	json_t *item;
	size_t i;
	char text[16];
	json_array_foreach(v, i, item) {
		(void)bson_uint32_to_string((uint32_t)i, &index, text, sizeof text);
		filter_write(a, item, index, next, out);
	}
	json_object_foreach((json_t *)(uintptr_t)v, key, item) filter_write(a, item, key, next, out);
}

static void filter_write(const struct sl_lookup *a, const json_t *v, const char *key, size_t *next, bson_t *out) {
	bson_t child;
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		bson_append_document_begin(out, key, -1, &child);
		members_write(a, v, next, &child);
		bson_append_document_end(out, &child);
		break;
	case JSON_ARRAY:
		bson_append_array_begin(out, key, -1, &child);
		members_write(a, v, next, &child);
		bson_append_array_end(out, &child);
		break;
	case JSON_STRING:
		if (has_value(v)) {
			struct sl_slice value = a->values[(*next)++];
			bson_append_utf8(out, key, -1, value.p ? value.p : "", (int)value.n);
		} else
			bson_append_utf8(out, key, -1, json_string_value(v), (int)json_string_length(v));
		break;
	case JSON_INTEGER: bson_append_int64(out, key, -1, json_integer_value(v)); break;
	case JSON_REAL: bson_append_double(out, key, -1, json_real_value(v)); break;
	case JSON_TRUE:
	case JSON_FALSE: bson_append_bool(out, key, -1, json_is_true(v)); break;
	case JSON_NULL: bson_append_null(out, key, -1); break;
	}
}

/* ---- Answers. ---- */

static bool put_text(struct sl_lookup *a, const char *name, const char *text) {
	return sl_lookup_put(a, slice_from_str(name), slice_from_str(text));
}

static bool put_json(struct sl_lookup *a, const char *name, const bson_iter_t *it) {
	const uint8_t *data;
	uint32_t n;
	bson_t b;
	bool array = BSON_ITER_HOLDS_ARRAY(it), ok = true;
	if (array)
		bson_iter_array(it, &n, &data);
	else
		bson_iter_document(it, &n, &data);
	char *text = bson_init_static(&b, data, n)
			 ? (array ? bson_array_as_json(&b, NULL) : bson_as_relaxed_extended_json(&b, NULL))
			 : NULL;
	if (text) ok = put_text(a, name, text);
	bson_free(text);
	return ok;
}

/* What has no text of its own (dates, binary) is left out. */
static bool put_value(struct sl_lookup *a, const bson_iter_t *it) {
	const char *name = bson_iter_key(it);
	char text[64];
	uint32_t n;
	const char *utf8;
	if (BSON_ITER_HOLDS_UTF8(it)) {
		utf8 = bson_iter_utf8(it, &n);
		return sl_lookup_put(a, slice_from_str(name), slice_make(utf8, n));
	}
	if (BSON_ITER_HOLDS_BOOL(it)) return put_text(a, name, bson_iter_bool(it) ? "true" : "false");
	if (BSON_ITER_HOLDS_INT32(it) || BSON_ITER_HOLDS_INT64(it)) {
		snprintf(text, sizeof text, "%lld", (long long)bson_iter_as_int64(it));
		return put_text(a, name, text);
	}
	if (BSON_ITER_HOLDS_DOUBLE(it)) {
		snprintf(text, sizeof text, "%.15g", bson_iter_double(it));
		return put_text(a, name, text);
	}
	if (BSON_ITER_HOLDS_OID(it)) {
		bson_oid_to_string(bson_iter_oid(it), text);
		return put_text(a, name, text);
	}
	if (BSON_ITER_HOLDS_ARRAY(it) || BSON_ITER_HOLDS_DOCUMENT(it)) return put_json(a, name, it);
	return true;
}

static int row_from(struct sl_lookup *a, const bson_t *reply) {
	bson_iter_t it, first, field;
	if (!bson_iter_init(&it, reply) || !bson_iter_find_descendant(&it, "cursor.firstBatch.0", &first) ||
	    !BSON_ITER_HOLDS_DOCUMENT(&first))
		return SL_ENOTFOUND;
	for (bool more = bson_iter_recurse(&first, &field); more && bson_iter_next(&field);)
		if (!put_value(a, &field)) return SL_ELIMIT;
	return SL_OK;
}

void mongo_find_run(struct mongo_link *l, struct sl_lookup *a) {
	const struct mongo_question *q = a->question;
	bson_error_t error = {0};
	bson_t command = BSON_INITIALIZER, filter, reply;
	size_t next = 0;
	bson_append_utf8(&command, "find", -1, q->collection, -1);
	bson_append_document_begin(&command, "filter", -1, &filter);
	members_write(a, q->filter, &next, &filter);
	bson_append_document_end(&command, &filter);
	bson_append_int32(&command, "limit", -1, 1);
	bson_append_bool(&command, "singleBatch", -1, true);
	bool ok = mongo_link_open(l, &error);
	if (ok) {
		ok = mongoc_client_command_simple(l->client, l->c->database, &command, NULL, &reply, &error);
		int status = ok ? row_from(a, &reply) : SL_EIO;
		if (ok) sl_lookup_done(a, status, "%s", status == SL_ELIMIT ? "the document is too large" : "");
		bson_destroy(&reply);
	}
	bson_destroy(&command);
	if (ok) return;
	char *why = mongo_link_why(l, &error);
	sl_lookup_done(a, SL_EIO, "%s", why);
	sl_free(why);
}

/* ---- The kind. ---- */

static bool values_fit(const struct sl_lookup *a) {
	for (size_t i = 0; i < a->count; i++)
		if (!utf8_valid(a->values[i])) return false;
	return true;
}

static void ask(struct sl_conn *conn, struct sl_lookup *a) {
	const struct mongo_conn *c = sl_conn_impl(conn);
	if (values_fit(a))
		mongo_pool_ask(c->threads, a);
	else
		sl_lookup_done(a, SL_ENOTFOUND, "%s", ""); /* nobody's name over there */
}

static void cancel(struct sl_conn *conn, struct sl_lookup *a) {
	const struct mongo_conn *c = sl_conn_impl(conn);
	mongo_pool_ask_cancel(c->threads, a);
}

const struct sl_asks_kind mongo_asks_kind = {.size = sizeof(struct mongo_question),
					     .fields = fields,
					     .check = check,
					     .fini = fini,
					     .ask = ask,
					     .cancel = cancel};
