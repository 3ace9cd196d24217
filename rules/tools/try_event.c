/* try_event.c: see try_event.h. */
#include "try_event.h"

#include <jansson.h>

#include "event_kind.h"
#include "event_source.h"
#include "source_from.h"

static struct sql_value nested(struct try_event *e, const json_t *v) {
	char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
	struct sl_slice copy = sl_arena_dup(&e->arena, text ? slice_from_str(text) : SL_SLICE_LIT("null"));
	free(text); /* jansson's */
	return (struct sql_value){.kind = SQL_JSON, .is_array = json_is_array(v), .n = (uint32_t)copy.n, .p = copy.p};
}

static struct sql_value value_of(struct try_event *e, const json_t *v) {
	switch (json_typeof(v)) {
	case JSON_OBJECT:
	case JSON_ARRAY: return nested(e, v);
	case JSON_STRING:
		return sql_string(sl_arena_dup(&e->arena, slice_make(json_string_value(v), json_string_length(v))));
	case JSON_INTEGER: return sql_int(json_integer_value(v));
	case JSON_REAL: return sql_double(json_real_value(v));
	case JSON_TRUE: return sql_bool(true);
	case JSON_FALSE: return sql_bool(false);
	case JSON_NULL: break;
	}
	return sql_null();
}

static int check_column(const struct try_event *e, struct sl_slice name, struct sl_err *err) {
	const struct sql_column *column;
	uint32_t kinds;
	const char *names[64];
	size_t n = 0;
	for (size_t i = 0; event_column(i, &column, &kinds); i++) {
		if (!(kinds >> e->kind & 1)) continue;
		if (slice_equal_str(name, column->name)) return SL_OK;
		if (n < SL_ARRAY_LEN(names)) names[n++] = column->name;
	}
	const char *near = slice_nearest(name, names, n);
	return sl_err_set(err, SL_ENOTFOUND, "the event has no column '%.*s'%s%s", SL_SLICE_ARG(name),
			  near ? "; did you mean " : "", near ? near : "");
}

static bool is_payload(struct sl_slice column) {
	return slice_equal_str(column, "payload") || slice_equal_str(column, "value");
}

static int columns_read(struct try_event *e, struct sl_slice text, struct sl_err *err) {
	json_error_t why;
	const char *key;
	json_t *item;
	int rc = SL_OK;
	json_t *tree = json_loadb(text.p, text.n, JSON_ALLOW_NUL, &why);
	if (!json_is_object(tree))
		rc = sl_err_set(err, SL_EMALFORMED, "the columns must be a JSON object: %s",
				tree ? "it is another value" : why.text);
	else
		e->given.at = SL_ARENA_ARRAY(&e->arena, struct sql_map_member, json_object_size(tree) + 1);
	json_object_foreach(tree, key, item) {
		struct sl_slice name = sl_arena_dup(&e->arena, slice_from_str(key));
		if (rc == SL_OK) rc = check_column(e, name, err);
		if (rc != SL_OK) continue;
		struct sql_value value = value_of(e, item);
		/* What stands in a payload is text, whoever writes it as a tree. */
		if (is_payload(name) && value.kind == SQL_JSON) value = sql_string(slice_make(value.p, value.n));
		e->given.at[e->given.n++] = (struct sql_map_member){name, value};
	}
	json_decref(tree);
	return rc;
}

int try_event_make(struct try_event *e, struct sl_slice name, struct sl_slice columns, struct sl_err *err) {
	*e = (struct try_event){.made = true};
	sl_arena_init(&e->arena, 1024);
	uint32_t kinds = event_kinds(name);
	if (!kinds) {
		event_kinds_unknown(name, err);
		return SL_ENOTFOUND;
	}
	if (kinds & (kinds - 1) || (source_from(name) && source_from_is_pattern(name)))
		return sl_err_set(err, SL_EINVAL, "'%.*s' is several events; name the one that happens",
				  SL_SLICE_ARG(name));
	e->kind = (uint8_t)__builtin_ctz(kinds);
	e->about.given = &e->given;
	e->topic =
	    source_from(name) ? source_from_filter(name, &e->arena) : event_kind_topic((enum rules_event_kind)e->kind);
	return columns.n ? columns_read(e, columns, err) : SL_OK;
}

void try_event_fini(struct try_event *e) {
	if (e->made) sl_arena_fini(&e->arena);
	*e = (struct try_event){.kind = 0};
}

void try_event_apply(const struct try_event *e, struct rules_event *ev) {
	ev->kind = e->kind;
	ev->about = &e->about;
	ev->topic = e->topic;
	ev->topic_hash = 0;
	/* A source's message has the payload that a message would have. */
	if (e->kind != EVENT_SOURCE_MESSAGE || ev->payload.n == 0) ev->payload = SL_SLICE_LIT("null");
	for (uint32_t i = 0; i < e->given.n && event_has_payload((enum rules_event_kind)e->kind); i++)
		if (is_payload(e->given.at[i].key) && e->given.at[i].value.kind == SQL_STRING)
			ev->payload = sql_value_text(&e->given.at[i].value);
}
