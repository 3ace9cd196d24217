/* mongo_look.c: what `sluice connector test` asks of an action: may our user write to its collection, is that there, and what it has to
 * be? Nothing is made. What a server does not tell (FerretDB of rights) is left out. */
#include "mem.h"
#include "mongo_errors.h"
#include "mongodb_int.h"

enum { LOOK_COLLECTIONS = 100000 };

/* ---- Rights. connectionStatus tells each user its own, and needs none. -------------------------------------------------- */

/* What the rows of an action need, by MongoDB's names; both where there are two. */
static const char *const *needed(const struct mongo_action *s) {
	static const char *const inserts[] = {"insert", NULL}, *const updates[] = {"update", NULL};
	static const char *const removes[] = {"remove", NULL}, *const both[] = {"insert", "update", NULL};
	if (s->operation == MONGO_INSERT) return inserts;
	if (s->operation == MONGO_DELETE) return removes;
	return s->operation == MONGO_UPSERT || (s->operation == MONGO_REPLACE && s->create) ? both : updates;
}

static bool is_text(const bson_t *b, const char *name, const char *wanted) {
	bson_iter_t it;
	if (!bson_iter_init_find(&it, b, name) || !BSON_ITER_HOLDS_UTF8(&it)) return false;
	const char *text = bson_iter_utf8(&it, NULL);
	return !*text || strcmp(text, wanted) == 0; /* empty: any */
}

static bool bson_of(const bson_iter_t *it, bson_t *out) {
	const uint8_t *data;
	uint32_t n;
	if (!BSON_ITER_HOLDS_DOCUMENT(it)) return false;
	bson_iter_document(it, &n, &data);
	return bson_init_static(out, data, n);
}

/* {resource: {db, collection}, actions: [..]}: of our collection, and with this action? */
static bool privilege_gives(const bson_t *one, const char *database, const char *collection, const char *action) {
	bson_iter_t it, list;
	bson_t resource;
	if (!bson_iter_init_find(&it, one, "resource") || !bson_of(&it, &resource)) return false;
	bool any = bson_iter_init_find(&it, &resource, "anyResource") && bson_iter_as_bool(&it);
	if (!any && !(is_text(&resource, "db", database) && is_text(&resource, "collection", collection))) return false;
	if (!bson_iter_init_find(&it, one, "actions") || !BSON_ITER_HOLDS_ARRAY(&it)) return false;
	for (bool more = bson_iter_recurse(&it, &list); more && bson_iter_next(&list);)
		if (BSON_ITER_HOLDS_UTF8(&list) && (strcmp(bson_iter_utf8(&list, NULL), action) == 0 ||
						    strcmp(bson_iter_utf8(&list, NULL), "anyAction") == 0))
			return true;
	return false;
}

static bool may(const bson_iter_t *privileges, const char *database, const char *collection, const char *action) {
	bson_iter_t list;
	bson_t one;
	for (bool more = bson_iter_recurse(privileges, &list); more && bson_iter_next(&list);)
		if (bson_of(&list, &one) && privilege_gives(&one, database, collection, action)) return true;
	return false;
}

/* Of a user that is logged in, and whose rights the server lists: does one miss? Then it is said. An empty list may be that of a server
 * that knows of no rights. */
static bool right_misses(struct mongo_link *l, const struct mongo_action *s, struct sl_batch *b) {
	bson_t reply, *ask = BCON_NEW("connectionStatus", BCON_INT32(1), "showPrivileges", BCON_BOOL(true));
	const char *const *need = needed(s), *missing = NULL;
	bson_iter_t it, users, privileges;
	bool told = mongoc_client_command_simple(l->client, l->c->database, ask, NULL, &reply, NULL) &&
		    bson_iter_init(&it, &reply) &&
		    bson_iter_find_descendant(&it, "authInfo.authenticatedUsers.0", &users) &&
		    bson_iter_init(&it, &reply) &&
		    bson_iter_find_descendant(&it, "authInfo.authenticatedUserPrivileges.0", &users) &&
		    bson_iter_init(&it, &reply) &&
		    bson_iter_find_descendant(&it, "authInfo.authenticatedUserPrivileges", &privileges) &&
		    BSON_ITER_HOLDS_ARRAY(&privileges);
	for (; told && *need && !missing; need++)
		if (!may(&privileges, l->c->database, s->collection_fixed, *need)) missing = *need;
	if (missing)
		sl_batch_not_ready(b,
				   "the user may not %s in %s.%s; grant it `readWrite` on the database, or this action",
				   missing, l->c->database, s->collection_fixed);
	bson_destroy(&reply);
	bson_destroy(ask);
	return missing;
}

/* ---- The collection. ---------------------------------------------------------------------------------------------------- */

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

/* Who has not logged in where that is asked for may do nothing at all. Who has may be allowed to write, and not to list. */
static void refused(const struct mongo_link *l, const bson_error_t *error, struct sl_batch *b) {
	if (error->domain != MONGOC_ERROR_SERVER || error->code != MONGO_NO_RIGHT) return;
	if (mongo_has_login(l->c))
		sl_batch_note(b, "whether its collection is there could not be looked at (%s)", error->message);
	else
		sl_batch_not_ready(b, "%s (%s)", mongo_advice(l->c, mongo_error_find(MONGO_NO_RIGHT)), error->message);
}

void mongo_look(struct mongo_link *l, struct sl_batch *b) {
	const struct mongo_action *s = sl_action_impl(b->action);
	bson_error_t error = {0};
	if (!s->collection_fixed || !mongo_link_open(l, &error) || right_misses(l, s, b)) return;
	bson_t options = BSON_INITIALIZER, filter;
	BSON_APPEND_DOCUMENT_BEGIN(&options, "filter", &filter);
	BSON_APPEND_UTF8(&filter, "name", s->collection_fixed);
	(void)bson_append_document_end(&options, &filter);
	mongoc_database_t *database = mongoc_client_get_database(l->client, l->c->database);
	mongoc_cursor_t *list = mongoc_database_find_collections_with_opts(database, &options);
	list_read(s, list, b);
	if (mongoc_cursor_error(list, &error)) refused(l, &error, b);
	mongoc_cursor_destroy(list);
	mongoc_database_destroy(database);
	bson_destroy(&options);
}
