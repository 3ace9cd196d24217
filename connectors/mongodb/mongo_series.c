/* mongo_series.c: a time-series collection has to be made before the first row: an insert would make a plain one. */
#include <inttypes.h>

#include "log.h"
#include "mem.h"
#include "mongo_errors.h"
#include "mongodb_int.h"

static const char *const granularities[] = {"seconds", "minutes", "hours"};

static bson_t *create_command(const struct mongo_action *s) {
	bson_t series, *command = bson_new();
	BSON_APPEND_UTF8(command, "create", s->collection_fixed);
	BSON_APPEND_DOCUMENT_BEGIN(command, "timeseries", &series);
	BSON_APPEND_UTF8(&series, "timeField", s->series.time);
	if (s->series.meta) BSON_APPEND_UTF8(&series, "metaField", s->series.meta);
	BSON_APPEND_UTF8(&series, "granularity", granularities[s->series.granularity]);
	bson_append_document_end(command, &series);
	if (s->series.expire_ms) BSON_APPEND_INT64(command, "expireAfterSeconds", s->series.expire_ms / 1000);
	return command;
}

bool mongo_series_ensure(struct mongo_link *l, struct sl_batch *b) {
	struct mongo_action *s = sl_action_impl(b->action);
	bson_error_t error = {0};
	if (!s->series.given || atomic_load(&s->series_ready) == l->generation) return true;
	bson_t *command = create_command(s);
	bool made = mongoc_client_write_command_with_opts(l->client, l->c->database, command, NULL, NULL, &error);
	bson_destroy(command);
	if (made)
		log_info(LOG_ACTION, "time-series collection made", "action=%s collection=%s",
			 sl_action_name(b->action), s->collection_fixed);
	if (made || (error.domain == MONGOC_ERROR_SERVER && error.code == MONGO_NAMESPACE_EXISTS)) {
		atomic_store(&s->series_ready, l->generation);
		return true;
	}
	const struct mongo_error *known =
	    error.domain == MONGOC_ERROR_SERVER ? mongo_error_find((int)error.code) : NULL;
	if (error.domain == MONGOC_ERROR_SERVER && (!known || known->scope != SCOPE_DOWN)) {
		sl_batch_not_ready(
		    b,
		    "the time-series collection %s cannot be made (%s, code %u); make it by hand, grant the right to, "
		    "or take `timeseries` out for a plain collection",
		    s->collection_fixed, error.message, error.code);
		return false;
	}
	char *why = mongo_link_why(l, &error);
	sl_conn_down(l->c->conn, SL_EIO, "%s", why);
	sl_free(why);
	return false;
}
