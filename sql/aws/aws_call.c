/* aws_call.c: what a call means: a pure function, a column of the message, a place in the payload, or something that only
 * AWS has, which is refused with what there is instead. */
#include "aws_parse.h"
#include "aws_steps.h"
#include "aws_unit.h"
#include "sql_regex.h"

/* What needs a service of AWS, and what to use here. */
static const struct {
	const char *name, *instead;
} services[] = {
    {"aws_lambda", "send the row to a connector, or reckon in the rule: nested queries, CASE, transform()"},
    {"get_dynamodb",
     "join the table in the action's own SQL (INSERT ... SELECT), or keep values with kv_store_get() of the "
     "standard dialect"},
    {"get_secret", "put the secret into the connector's settings as ${NAME} of the environment or ${file:PATH}"},
    {"machinelearning_predict", "AWS has closed that service; send the row to a connector that asks your model"},
    {"get_thing_shadow", "read the shadow's own messages: FROM '$aws/things/+/shadow/update/accepted'"},
    {"get_registry_data", "put what you need of a thing into its client id, its topic or its user properties"},
    {"count", "this dialect sees one message at a time; windows with GROUP BY are part of the standard dialect"},
    {"sum", "this dialect sees one message at a time; windows with GROUP BY are part of the standard dialect"},
    {"avg", "this dialect sees one message at a time; windows with GROUP BY are part of the standard dialect"},
    {"min", "this dialect sees one message at a time; windows with GROUP BY are part of the standard dialect"},
    {"max", "this dialect sees one message at a time; windows with GROUP BY are part of the standard dialect"},
};

/* Functions without arguments that read a column; `otherwise` where the source has no column of that name. */
static const struct {
	const char *fn, *column, *otherwise;
} column_fns[] = {
    {"topic", "topic", NULL},
    {"timestamp", "timestamp", NULL},
    {"clientid", "aws_clientid", "clientid"},
    {"sourceip", "aws_sourceip", "peerhost"},
    {"principal", "aws_principal", "username"},
    {"accountid", "aws_accountid", NULL},
    {"traceid", "aws_traceid", NULL},
    {"msgid", "id", NULL},
    {"get_user_properties", "aws_user_properties", NULL},
    {"get_mqtt_property", "aws_mqtt_properties", NULL},
};

/* Not in version 2015-10-08. */
static const char *const newer_fns[] = {"encode",
					"transform",
					"decode",
					"get_mqtt_property",
					"get_user_properties",
					"get_or_default",
					"parse_time",
					"isundefined",
					"length",
					"indexof",
					"numbytes",
					"sourceip",
					"time_to_epoch",
					"startswith",
					"isnull",
					"replace",
					"substring"};

static struct sql_node *undefined(struct sql_unit *u, const struct sql_node *n) {
	return sql_bind_node(u, SQL_N_LITERAL, n);
}

static bool called(const struct sql_node *n, const char *name) {
	return slice_equal_nocase(n->name, slice_from_str(name));
}

static bool is_text(const struct sql_node *n) { return n->kind == SQL_N_LITERAL && n->value.kind == SQL_STRING; }

/* ---- get(): a place, where it names one ---- */

/* Text that could be a position: get('abc', '1') is 'b'. */
static bool like_a_number(struct sl_slice s) { return s.n == 0 || s.p[0] == '-' || (s.p[0] >= '0' && s.p[0] <= '9'); }

struct sql_node *aws_place(struct sql_unit *u, struct sql_node *n) {
	if (n->kind == SQL_N_PATH) return n;
	if (n->kind != SQL_N_CALL || !n->fn || strcmp(n->fn->name, "get") != 0 || n->n_args != 2) return NULL;
	const struct sql_node *of = n->args, *at = of->next;
	if (of->kind != SQL_N_PATH || at->kind != SQL_N_LITERAL || at->value.kind != SQL_INT) return NULL;
	if (at->value.i < 0 || at->value.i > INT32_MAX) return NULL;
	struct jpath_step step = {.index = (int32_t)at->value.i, .is_index = true};
	return sql_bind_path(u, n, of, &step);
}

/* get(place, 'name') is the member, except where the name could be a position in an array or a text. */
static struct sql_node *bind_get(struct sql_unit *u, struct sql_node *n) {
	const struct sql_node *key = n->args->next;
	if (!is_text(key) || like_a_number(sql_value_text(&key->value))) return n;
	struct sql_node *place = aws_place(u, n->args);
	if (!place) return n;
	struct jpath_step step = {.key = sql_value_text(&key->value)};
	return sql_bind_path(u, n, place, &step);
}

/* ---- what the message says ---- */

static const struct sql_column *find_column(const struct sql_unit *u, const char *name) {
	const struct sql_source *s = u->p->source;
	for (uint16_t i = 0; name && i < s->column_count; i++)
		if (strcmp(s->columns[i].name, name) == 0) return &s->columns[i];
	return NULL;
}

static struct sql_node *bind_column_call(struct sql_unit *u, struct sql_node *n, const char *name,
					 const char *otherwise) {
	const struct sql_column *c = find_column(u, name);
	if (!c) c = find_column(u, otherwise);
	if (!c) return undefined(u, n);
	struct sql_node *column = sql_bind_node(u, SQL_N_COLUMN, n);
	column->index = c->id;
	if (n->n_args == 0) return column;
	column->next = n->args; /* topic(2): the function gets the whole and picks */
	n->args = column;
	n->n_args++;
	return n;
}

static struct sql_node *bind_version_call(struct sql_unit *u, const struct sql_node *n) {
	struct sql_node *out = undefined(u, n);
	out->value = sql_string(u->p->aws->version);
	return out;
}

/* ---- calls ---- */

static struct sql_node *unknown(struct sql_unit *u, struct sql_node *n) {
	for (size_t i = 0; i < SL_ARRAY_LEN(services); i++)
		if (called(n, services[i].name)) {
			sql_front_fail(u->f, n->at, SL_EUNSUPPORTED, "there is no %s() here; %s", services[i].name,
				       services[i].instead);
			return n;
		}
	const struct sql_fn *other = sql_fn_find(SQL_STANDARD, n->name);
	if (other) {
		sql_front_fail(
		    u->f, n->at, SL_ENOTFOUND,
		    "%s() belongs to the standard dialect; those of this one: sluice help functions --dialect aws",
		    other->name);
		return n;
	}
	const char *near = sql_fn_nearest(SQL_AWS, n->name);
	sql_front_fail(u->f, n->at, SL_ENOTFOUND,
		       near ? "unknown function '%.*s'; did you mean %s()?" : "unknown function '%.*s'%s",
		       SL_SLICE_ARG(n->name), near ? near : "");
	return n;
}

static bool is_protobuf(const struct sql_node *n) {
	return called(n, "decode") && n->n_args > 2 && is_text(n->args->next) &&
	       slice_equal_nocase(sql_value_text(&n->args->next->value), SL_SLICE_LIT("proto"));
}

/* A pattern in the rule's text that is none, or that Java would take in another way: no mistake, but nobody means it. */
static void check_pattern(struct sql_unit *u, const struct sql_node *n) {
	struct sl_buf *out = u->aws->opts ? u->aws->opts->warnings : NULL;
	if (!out || strncmp(n->fn->name, "regexp_", 7) != 0 || !is_text(n->args->next)) return;
	struct sl_slice pattern = sql_value_text(&n->args->next->value);
	struct sql_regex *re = NULL;
	struct sl_err err = SL_ERR_INIT;
	uint32_t line, column;
	sql_place(u->f->text, n->at, &line, &column);
	if (sql_regex_new(SQL_REGEX_JAVA, pattern, &re, &err) != SL_OK)
		sl_buf_printf(out, "%u:%u: %s() is always Undefined: %s\n", line, column, n->fn->name,
			      sl_err_text(&err));
	ptrdiff_t open = slice_find_byte(pattern, '['), both = slice_find(pattern, SL_SLICE_LIT("&&"));
	if (open >= 0 && both > open)
		sl_buf_printf(out,
			      "%u:%u: && within [ ] is not Java's intersection here; write (?=[^b])[a-z] for "
			      "[a-z&&[^b]]\n",
			      line, column);
	sql_regex_free(re);
	sl_err_fini(&err);
}

struct sql_node *aws_bind_call(struct sql_unit *u, struct sql_node *n) {
	n->fn = sql_fn_find(SQL_AWS, n->name);
	if (!n->fn) return unknown(u, n);
	if (is_protobuf(n)) {
		sql_front_fail(
		    u->f, n->at, SL_EUNSUPPORTED,
		    "decode() of protobuf is not in this build; publish JSON, or decode(encode(*, 'base64'), "
		    "'base64') where the payload is text");
		return n;
	}
	for (size_t i = 0; i < SL_ARRAY_LEN(newer_fns); i++)
		if (called(n, newer_fns[i])) aws_warn(u, n->at, n->fn->usage);
	uint32_t least, most;
	sql_fn_arity(n->fn, &least, &most);
	if (n->n_args < least || n->n_args > most) return undefined(u, n);
	check_pattern(u, n);
	if (called(n, "get")) return bind_get(u, n);
	if (called(n, "sql_version")) return bind_version_call(u, n);
	if (called(n, "encode") && n->args->kind == SQL_N_STAR) { /* the bytes, whether they are JSON or not */
		struct sql_node *bytes = sql_bind_node(u, SQL_N_COLUMN, n->args);
		bytes->index = u->p->source->payload_column;
		bytes->next = n->args->next;
		if (bytes->index != UINT16_MAX) n->args = bytes;
	}
	for (size_t i = 0; i < SL_ARRAY_LEN(column_fns); i++)
		if (called(n, column_fns[i].fn))
			return bind_column_call(u, n, column_fns[i].column, column_fns[i].otherwise);
	return n;
}
