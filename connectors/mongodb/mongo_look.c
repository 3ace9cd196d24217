/* mongo_look.c: what `sluice connector test` asks of an action: is its collection there, and what it has to be? Nothing is made.
 * Who may not list collections is told nothing. */
#include "mem.h"
#include "mongodb_int.h"

enum { LOOK_COLLECTIONS = 100000 };

/* A member's text, which may stand deeper ("options.timeseries.timeField"); NULL. Borrowed. */
static const char *member(const bson_t *b, const char *path) {
	bson_iter_t it, at;
	if (!bson_iter_init(&it, b) || !bson_iter_find_descendant(&it, path, &at)) return NULL;
	return BSON_ITER_HOLDS_UTF8(&at) ? bson_iter_utf8(&at, NULL) : NULL;
}

static bool same(const char *a, const char *b) { return a && b ? strcmp(a, b) == 0 : a == b; }

static void absent(const struct mongo_action *s, struct sl_batch *b) {
	const char *name = s->collection_fixed;
	if (s->series.given)
		sl_batch_note(b, "there is no collection %s; the first row makes it, as a time series", name);
	else if (s->operation == MONGO_INSERT || s->operation == MONGO_UPSERT ||
		 (s->operation == MONGO_REPLACE && s->create))
		sl_batch_note(b, "there is no collection %s; the first row makes it", name);
	else
		sl_batch_note(b, "there is no collection %s: nothing to change in it", name);
}

static void present(const struct mongo_action *s, const bson_t *found, struct sl_batch *b) {
	const char *type = member(found, "type"), *name = s->collection_fixed;
	const char *time = member(found, "options.timeseries.timeField");
	const char *meta = member(found, "options.timeseries.metaField");
	if (type && strcmp(type, "view") == 0)
		sl_batch_not_ready(b, "%s is a view, which takes no writes; name the collection behind it", name);
	else if (s->series.given && !time)
		sl_batch_not_ready(b,
				   "%s is there and no time-series collection; take `timeseries` out, or give it "
				   "another name",
				   name);
	else if (s->series.given && !same(time, s->series.time))
		sl_batch_not_ready(b, "the time field of %s is `%s`, and `timeseries.time` says `%s`; correct it", name,
				   time, s->series.time);
	else if (s->series.given && !same(meta, s->series.meta))
		sl_batch_not_ready(b, "the meta field of %s is %s%s%s, and `timeseries.meta` says %s%s%s; correct it",
				   name, meta ? "`" : "", meta ? meta : "none", meta ? "`" : "",
				   s->series.meta ? "`" : "", s->series.meta ? s->series.meta : "none",
				   s->series.meta ? "`" : "");
}

/* A server that does not know the filter gives all there are, some at a time. Nothing is said of a list that is longer, or broke off. */
static void list_read(const struct mongo_action *s, mongoc_cursor_t *list, struct sl_batch *b) {
	const bson_t *one;
	for (size_t n = 0; mongoc_cursor_next(list, &one); n++) {
		if (n == LOOK_COLLECTIONS) return;
		if (!same(member(one, "name"), s->collection_fixed)) continue;
		present(s, one, b);
		return;
	}
	if (!mongoc_cursor_error(list, NULL)) absent(s, b);
}

void mongo_look(struct mongo_link *l, struct sl_batch *b) {
	const struct mongo_action *s = sl_action_impl(b->action);
	bson_error_t error = {0};
	if (!s->collection_fixed || !mongo_link_open(l, &error)) return;
	bson_t options = BSON_INITIALIZER, filter;
	BSON_APPEND_DOCUMENT_BEGIN(&options, "filter", &filter);
	BSON_APPEND_UTF8(&filter, "name", s->collection_fixed);
	(void)bson_append_document_end(&options, &filter);
	mongoc_database_t *database = mongoc_client_get_database(l->client, l->c->database);
	mongoc_cursor_t *list = mongoc_database_find_collections_with_opts(database, &options);
	list_read(s, list, b);
	mongoc_cursor_destroy(list);
	mongoc_database_destroy(database);
	bson_destroy(&options);
}
