/* mongo_conf.c: the options of the mongodb kind, what must fit together, and the values that an action asks of its rows. */
#include "mem.h"
#include "mongodb_int.h"
#include "schema.h"
#include "yaml.h"

#define C(member) offsetof(struct mongo_conn, member)
#define A(member) offsetof(struct mongo_action, member)

/* ---- A connection. ---------------------------------------------------------------------------------------------------- */

static const char *const journal_names[] = {"auto", "yes", "no", NULL};

static const struct conf_field concern_fields[] = {
    {.name = "w",
     .type = CONF_TEMPLATE,
     .at = offsetof(struct mongo_concern_conf, w),
     .flags = CONF_NONEMPTY,
     .example = "majority",
     .doc = "How many members must have the rows: a number from 1 on, `majority`, or the name of a tag set. Without it "
	    "the "
	    "server's default counts, which is `majority` on replica sets of today."},
    {.name = "j",
     .type = CONF_ENUM,
     .at = offsetof(struct mongo_concern_conf, j),
     .def = "auto",
     .names = journal_names,
     .doc = "Whether they must be in the journal, so that a power cut does not undo them; `auto` leaves it to the "
	    "server."},
    {.name = "wtimeout",
     .type = CONF_DURATION,
     .at = offsetof(struct mongo_concern_conf, wtimeout_ms),
     .def = "0",
     .max = 3600000,
     .doc =
	 "How long the primary waits for the others; 0 means as long as it takes. Rows that were not confirmed in time "
	 "are stored, and sent again: give them an `id`."},
    CONF_END};

const struct conf_field mongo_conn_fields[] = {
    {.name = "url",
     .type = CONF_STRING,
     .at = C(url),
     .flags = CONF_REQUIRED | CONF_EXPAND | CONF_NONEMPTY | CONF_SECRET_URL,
     .example = "mongodb://sluice:secret@db1:27017,db2:27017/?replicaSet=rs0&authSource=admin",
     .doc = "Where the servers are and who we are: a MongoDB URI with all its options, also mongodb+srv."},
    {.name = "database",
     .type = CONF_STRING,
     .at = C(database),
     .flags = CONF_EXPAND | CONF_NONEMPTY,
     .max = 63,
     .example = "iot",
     .doc = "The database that collections are in; without it the one that `url` names, as in mongodb://db1/iot."},
    {.name = "tls",
     .type = CONF_OBJECT,
     .flags = CONF_GIVEN | CONF_NULL_OK,
     .at = C(tls),
     .fields = tls_client_fields,
     .doc = TLS_CLIENT_DOC},
    {.name = "pool",
     .type = CONF_INT,
     .at = C(pool),
     .def = "2",
     .min = 1,
     .max = 64,
     .doc = "Commands that may be under way at once, each on a connection of its own. Rows of one key stay on one."},
    {.name = "write_concern",
     .type = CONF_OBJECT,
     .flags = CONF_GIVEN,
     .at = C(concern),
     .fields = concern_fields,
     .doc = "What the server must have done before rows count as delivered."},
    {.name = "retry_writes",
     .type = CONF_BOOL,
     .at = C(retry_writes),
     .def = "true",
     .doc =
	 "A command whose answer is lost, or that meets a change of the primary, is sent again by number, so that the "
	 "server carries it out once. Needs a replica set or mongos, and is ignored elsewhere."},
    {.name = "timeout",
     .type = CONF_DURATION,
     .at = C(timeout_ms),
     .def = "20s",
     .min = 100,
     .max = 3600000,
     .doc = "A server that says nothing for this long during a command counts as gone."},
    {.name = "connect_timeout",
     .type = CONF_DURATION,
     .at = C(connect_timeout_ms),
     .def = "5s",
     .min = 100,
     .max = 600000,
     .doc = "How long one server may take to accept a connection, TLS included."},
    {.name = "server_selection_timeout",
     .type = CONF_DURATION,
     .at = C(selection_timeout_ms),
     .def = "5s",
     .min = 100,
     .max = 600000,
     .doc = "How long to look for a primary before the connection counts as down; rows wait meanwhile and after."},
    {.name = "compressors",
     .type = CONF_STRING_LIST,
     .at = C(compressors),
     .max = 3,
     .example = "[zstd, snappy]",
     .doc = "Compression to offer to the server: zstd, snappy, zlib; the first that it knows is taken."},
    {.name = "app_name",
     .type = CONF_STRING,
     .at = C(app_name),
     .def = "sluice",
     .flags = CONF_ADVANCED,
     .max = 128,
     .doc = "What the server's log calls us."},
    CONF_END};

static bool database_name_ok(const char *name) { return !strpbrk(name, "/\\. \"$*<>:|?"); }

/* As the option says, or else the URL's path. */
static int database_take(struct mongo_conn *c, const mongoc_uri_t *uri, struct sl_err *err) {
	const char *named = mongoc_uri_get_database(uri);
	if (!c->database && named && *named) c->database = sl_strdup(named);
	if (!c->database)
		return sl_err_set(err, SL_EINVAL,
				  "which database? give `database: iot`, or name it in `url`: mongodb://db1:27017/iot");
	if (database_name_ok(c->database)) return SL_OK;
	return sl_err_set(err, SL_EINVAL,
			  "`database`: %s is no possible name; it holds one of / \\ . \" $ * < > : | ? or a blank",
			  c->database);
}

int mongo_conn_check(struct sl_conn *conn, struct sl_err *err) {
	struct mongo_conn *c = sl_conn_impl(conn);
	struct tls_client_conf tls;
	mongoc_uri_t *uri;
	for (size_t i = 0; i < c->compressors.len; i++) {
		static const char *const known[] = {"zstd", "snappy", "zlib"};
		const char *name = c->compressors.items[i];
		if (strcmp(name, known[0]) != 0 && strcmp(name, known[1]) != 0 && strcmp(name, known[2]) != 0)
			return sl_err_set(err, SL_EINVAL, "`compressors`: %s is not known; zstd, snappy and zlib are",
					  name);
	}
	if (c->concern.w && strcmp(c->concern.w, "0") == 0)
		return sl_err_set(err, SL_EINVAL,
				  "`write_concern.w`: 0 would not say whether the server has the rows; take 1 or "
				  "majority");
	if (conf_expand_stands_in()) return SL_OK; /* the URL may be no URL then */
	int r = mongo_uri_make(c, &uri, err);
	if (r != SL_OK) return r;
	r = mongo_uri_tls(c, uri, &tls, err);
	if (r == SL_OK) r = tls_client_check(&tls, err);
	if (r == SL_OK) r = database_take(c, uri, err);
	mongoc_uri_destroy(uri);
	return r;
}

void mongo_targets(struct sl_conn *conn, sl_target_fn one, void *arg) {
	const struct mongo_conn *c = sl_conn_impl(conn);
	mongoc_uri_t *uri;
	if (mongo_uri_make(c, &uri, NULL) != SL_OK) return;
	for (const mongoc_host_list_t *h = mongoc_uri_get_hosts(uri); h; h = h->next) one(arg, h->host);
	if (mongo_uri_login_host(uri)) one(arg, mongo_uri_login_host(uri));
	mongoc_uri_destroy(uri);
}

/* ---- An action. ----------------------------------------------------------------------------------------------------------- */

static const char *const operation_names[] = {"insert", "update", "upsert", "replace", "delete", NULL};
static const char *const duplicate_names[] = {"auto", "done", "reject", NULL};
static const char *const large_names[] = {"decimal128", "double", "string", NULL};
static const char *const absent_names[] = {"keep", "omit", NULL};
static const char *const granularity_names[] = {"seconds", "minutes", "hours", NULL};

static const struct conf_field series_fields[] = {
    {.name = "time",
     .type = CONF_STRING,
     .at = offsetof(struct mongo_series_conf, time),
     .flags = CONF_NONEMPTY,
     .example = "ts",
     .doc = "The field with the time, always needed; it is stored as a date without further ado."},
    {.name = "meta",
     .type = CONF_STRING,
     .at = offsetof(struct mongo_series_conf, meta),
     .flags = CONF_NONEMPTY,
     .example = "device",
     .doc = "The field that says which series a row belongs to."},
    {.name = "granularity",
     .type = CONF_ENUM,
     .at = offsetof(struct mongo_series_conf, granularity),
     .def = "seconds",
     .names = granularity_names,
     .doc = "How far apart the rows of one series are."},
    {.name = "expire_after",
     .type = CONF_DURATION,
     .at = offsetof(struct mongo_series_conf, expire_ms),
     .def = "0",
     .max = INT64_C(3155760000000),
     .doc = "The server deletes what is older; 0 keeps everything."},
    CONF_END};

const struct conf_field mongo_action_fields[] = {
    {.name = "collection",
     .type = CONF_TEMPLATE,
     .at = A(collection),
     .flags = CONF_REQUIRED | CONF_NONEMPTY,
     .example = "readings",
     .doc = "The collection; may hold `${...}`."},
    {.name = "operation",
     .type = CONF_ENUM,
     .at = A(operation),
     .def = "insert",
     .names = operation_names,
     .doc = "`insert` adds `document`; `update` changes what `filter` finds; `upsert` the same, and adds what is not "
	    "found; "
	    "`replace` puts `document` in its place; `delete` removes it."},
    {.name = "document",
     .type = CONF_TREE,
     .at = A(document),
     .example = "{device: \"${device}\", t: \"${t}\", at: {$date: \"${ts}\"}}",
     .doc = "The document, as an object or as JSON text, with `${...}` for values. Without it the whole row: its "
	    "columns are "
	    "the fields of what `insert` and `replace` store, and of what an `upsert` without `update` sets."},
    {.name = "id",
     .type = CONF_TEMPLATE,
     .at = A(id),
     .flags = CONF_NONEMPTY,
     .example = "${msgid()}",
     .doc =
	 "The `_id`; also the filter, where none is given. With `${msgid()}` a row that is sent twice is stored once."},
    {.name = "filter",
     .type = CONF_TREE,
     .at = A(filter),
     .example = "{device: \"${device}\"}",
     .doc = "Which documents to update, replace or delete."},
    {.name = "update",
     .type = CONF_TREE,
     .at = A(update),
     .example = "{$set: {t: \"${t}\"}, $inc: {n: 1}}",
     .doc = "What to change: operators, or a list of pipeline stages."},
    {.name = "many",
     .type = CONF_BOOL,
     .at = A(many),
     .def = "false",
     .doc = "`update` and `delete`: every document that fits, not the first only. Such commands are not retried by "
	    "number."},
    {.name = "create",
     .type = CONF_BOOL,
     .at = A(create),
     .def = "true",
     .doc = "`replace`: add the document where the filter finds none."},
    {.name = "types",
     .type = CONF_STRING_MAP,
     .at = A(types_conf),
     .max = 1000,
     .example = "{ts: date, price: decimal128, reading.raw: base64}",
     .doc = "BSON types of fields by path: date, objectid, decimal128, int32, int64, double, binary, base64, uuid, "
	    "string. A "
	    "value that cannot be of its type without loss is rejected."},
    {.name = "large_numbers",
     .type = CONF_ENUM,
     .at = A(large),
     .def = "decimal128",
     .names = large_names,
     .doc = "What integers beyond 64 bits and numbers beyond double become."},
    {.name = "absent",
     .type = CONF_ENUM,
     .at = A(absent),
     .def = "keep",
     .names = absent_names,
     .doc = "A field of the template whose value is not there: store null (`keep`), or leave the field out."},
    {.name = "extended_json",
     .type = CONF_BOOL,
     .at = A(extended_json),
     .def = "false",
     .doc = "Read {\"$date\": ...} and its like as typed values in data, too. Off, they are stored as they came."},
    {.name = "mongo_date",
     .type = CONF_BOOL,
     .at = A(dates),
     .def = "true",
     .doc = "Text of exactly the form that mongo_date() gives is stored as a date, where it is a field of the row or "
	    "the whole "
	    "of a `${...}`; not deeper inside of a payload."},
    {.name = "duplicates",
     .type = CONF_ENUM,
     .at = A(duplicates),
     .def = "auto",
     .names = duplicate_names,
     .doc =
	 "An insert whose `_id` is there already: delivered (`done`), or a dead letter (`reject`). `auto` is `done` "
	 "where "
	 "`id` holds msgid(), or the `_id` is a column that the rule made of it. Other unique indexes always reject."},
    {.name = "timeseries",
     .type = CONF_OBJECT,
     .flags = CONF_GIVEN,
     .at = A(series),
     .fields = series_fields,
     .doc = "Make the collection a time-series collection if it is missing."},
    CONF_END};

/* ---- What must fit together. ---- */

static int want(struct sl_err *err, const char *operation, const char *text) {
	return sl_err_set(err, SL_EINVAL, "`operation: %s` %s", operation, text);
}

static int change_check(const struct mongo_action *s, struct sl_err *err) {
	const char *name = operation_names[s->operation];
	bool update = s->operation == MONGO_UPDATE_ONE, upsert = s->operation == MONGO_UPSERT;
	if (!s->filter && !s->id) return want(err, name, "needs a `filter`, {device: \"${device}\"}, or an `id`");
	if (update && !s->update) return want(err, name, "needs an `update`, {$set: {t: \"${t}\"}}");
	if (update && s->document) return want(err, name, "takes no `document`; write {$set: {...}} into `update`");
	if (upsert && s->update && s->document) return want(err, name, "takes `update` or `document`, not both");
	if (s->operation == MONGO_REPLACE && s->update) return want(err, name, "takes a `document`, and no `update`");
	if (s->operation == MONGO_DELETE && (s->update || s->document))
		return want(err, name, "takes a `filter` or an `id` only");
	if (s->many && !update && s->operation != MONGO_DELETE) return want(err, name, "knows no `many`");
	if (s->many && s->id && !s->filter) return want(err, name, "with `id` finds one document; leave `many` out");
	return SL_OK;
}

int mongo_action_check(struct sl_conn_action *a, struct sl_err *err) {
	const struct mongo_action *s = sl_action_impl(a);
	enum mongo_type type;
	for (size_t i = 0; i < s->types_conf.len; i++)
		if (!mongo_type_find(slice_from_str(s->types_conf.items[i].value), &type))
			return sl_err_set(
			    err, SL_EINVAL,
			    "`types.%s`: %s is not known; types are date, objectid, decimal128, int32, int64, "
			    "double, binary, base64, uuid and string",
			    s->types_conf.items[i].key, s->types_conf.items[i].value);
	if (s->series.given && s->operation != MONGO_INSERT)
		return sl_err_set(err, SL_EINVAL, "`timeseries`: such a collection takes inserts only");
	if (s->series.given && !s->series.time)
		return sl_err_set(err, SL_EINVAL, "`timeseries` needs `time`, the field with the time: {time: ts}");
	if (s->series.given && strstr(s->collection, "${"))
		return sl_err_set(err, SL_EINVAL,
				  "`timeseries` needs one collection; write `collection` without ${...}");
	if (s->operation != MONGO_INSERT) return change_check(s, err);
	if (s->filter || s->update || s->many)
		return sl_err_set(
		    err, SL_EINVAL,
		    "`filter`, `update` and `many` belong to `operation: update`, `upsert`, `replace` or `delete`");
	if (s->id && json_object_get(s->document, "_id"))
		return sl_err_set(err, SL_EINVAL, "`id` and `_id` in `document` say the same thing; keep one of them");
	return SL_OK;
}

/* ---- Values. ---- */

static void types_make(struct mongo_action *s) {
	for (size_t i = 0; i < s->types_conf.len; i++) {
		enum mongo_type type = MONGO_AUTO;
		(void)mongo_type_find(slice_from_str(s->types_conf.items[i].value), &type);
		mongo_types_add(&s->types, slice_from_str(s->types_conf.items[i].key), type);
	}
	const struct mongo_types *time =
	    s->series.given ? mongo_types_inner(&s->types, slice_from_str(s->series.time)) : NULL;
	if (s->series.given && (!time || time->type == MONGO_AUTO))
		mongo_types_add(&s->types, slice_from_str(s->series.time), MONGO_DATE);
}

/* Does a value get there that the node of this path, or one above it, is the type of? An object from data may have any fields. */
static bool type_is_met(const struct mongo_action *s, struct sl_slice path) {
	const struct mongo_types *node = &s->types;
	for (;; node = mongo_types_inner(node, slice_next_part(&path, '.'))) {
		if ((s->id && node == s->id_types) || mongo_template_types(&s->doc, node) ||
		    mongo_template_types(&s->query, node) || mongo_template_types(&s->change, node))
			return true;
		if (!path.p) return false;
	}
}

static const char *values_stand_in(const struct mongo_action *s) {
	if (s->change.n) return s->query.n ? "`update` or `filter`" : "`update`";
	if (s->document) return s->query.n ? "`document` or `filter`" : "`document`";
	return s->query.n ? "`filter`" : "`id`";
}

/* A slip of the hand in a path would leave the field as it comes. */
static int types_are_met(const struct mongo_action *s, struct sl_err *err) {
	if (s->series.given && !type_is_met(s, slice_from_str(s->series.time)))
		return sl_err_set(err, SL_EINVAL,
				  "`timeseries.time`: there is no field %s in `document`, and the server takes no "
				  "document without it; correct the name, or add the field",
				  s->series.time);
	for (size_t i = 0; i < s->types_conf.len; i++) {
		const char *path = s->types_conf.items[i].key;
		if (type_is_met(s, slice_from_str(path))) continue;
		if (s->change.list)
			return sl_err_set(err, SL_EINVAL,
					  "`types.%s`: the stages of a pipeline do not ask `types`; write the type "
					  "where the value is, {$date: \"${ts}\"}",
					  path);
		return sl_err_set(err, SL_EINVAL,
				  "`types.%s`: there is no such field in %s; correct the path, or take it out", path,
				  values_stand_in(s));
	}
	return SL_OK;
}

/* Also with something around it: a part of the row, where one message makes several. */
static bool holds_msgid(const char *id) {
	const char *call = id ? strstr(id, "msgid") : NULL;
	return call && call[5 + strspn(call + 5, " ")] == '(';
}

/* The value that becomes the `_id`, or the row that brings it. */
static bool id_param(const struct mongo_action *s, uint32_t *param) {
	size_t depth = 0;
	*param = s->id_param;
	if (s->id) return true;
	for (size_t i = 0; i < s->doc.n; i++) {
		const struct mongo_op *op = &s->doc.ops[i];
		bool top =
		    depth == 0 && (op->what == OP_ROW || (op->what == OP_VALUE && slice_equal_str(op->key, "_id")));
		*param = op->param;
		if (top) return true;
		depth += op->what == OP_OPEN;
		depth -= op->what == OP_CLOSE;
	}
	return false;
}

int mongo_action_open(struct sl_conn_action *a, struct sl_err *err) {
	struct mongo_action *s = sl_action_impl(a);
	uint32_t param;
	(void)err;
	enum sl_msgid how = id_param(s, &param) ? sl_action_param_msgid(a, param) : SL_MSGID_NOT;
	bool by_msgid = how == SL_MSGID_ALONE || (how == SL_MSGID_NOT && holds_msgid(s->id));
	s->done_twice = s->duplicates == DUPLICATES_DONE || (s->duplicates == DUPLICATES_AUTO && by_msgid);
	return SL_OK;
}

int mongo_action_params(struct sl_conn_action *a, const struct sl_param **params, size_t *count, struct sl_err *err) {
	struct mongo_action *s = sl_action_impl(a);
	int r = SL_OK;
	types_make(s);
	s->style =
	    (struct mongo_style){.large = (enum mongo_large)s->large, .extended = s->extended_json, .dates = s->dates};
	s->id_types = mongo_types_inner(&s->types, SL_SLICE_LIT("_id"));
	if (!strstr(s->collection, "${"))
		s->collection_fixed = sl_strdup(s->collection);
	else
		s->collection_param =
		    mongo_param(&s->params, slice_from_str(s->collection), SQL_TO_TEXT, sl_strdup("collection"));
	if (s->id) s->id_param = mongo_param(&s->params, slice_from_str(s->id), SQL_TO_VALUE, sl_strdup("id"));
	if (s->filter)
		r = mongo_template_compile(&s->query, s->filter, "filter", MONGO_FILTER, &s->types, &s->params, err);
	if (r == SL_OK && s->update)
		r = mongo_template_compile(&s->change, s->update, "update", MONGO_UPDATE, &s->types, &s->params, err);
	bool document = s->operation == MONGO_INSERT || s->operation == MONGO_REPLACE ||
			(s->operation == MONGO_UPSERT && !s->update);
	if (r == SL_OK && document)
		r = mongo_template_compile(&s->doc, s->document, "document", MONGO_DOCUMENT, &s->types, &s->params,
					   err);
	if (r == SL_OK) r = types_are_met(s, err);
	uint32_t named;
	/* Changes may gather a message's rows in one document. */
	if (r == SL_OK && document && id_param(s, &named)) s->params.at[named].names_row = true;
	*params = s->params.at;
	*count = s->params.n;
	return r;
}

void mongo_action_fini(struct sl_conn_action *a) {
	struct mongo_action *s = sl_action_impl(a);
	mongo_template_fini(&s->doc);
	mongo_template_fini(&s->query);
	mongo_template_fini(&s->change);
	mongo_types_fini(&s->types);
	sl_params_fini(&s->params);
	sl_free(s->collection_fixed);
}
