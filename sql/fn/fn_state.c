/* fn_state.c: functions that remember: key-value store, a connection's dictionary, the values of former messages. See
 * sql_state.h for the stores and their bounds.
 *
 * lag(), changed() and last_value() are given their key and the place of the call by the binder (sql_bind_remember()): the
 * place tells two calls of one rule apart, and is the same after a reload of the same text. */
#include "sql_state.h"
#include "sql_unit.h"
#include "sql_vm.h"
#include "sql_window.h"

static const struct sql_state *state_of(const struct sql_call *c) {
	static const struct sql_state none;
	return c->vm->in && c->vm->in->state ? c->vm->in->state : &none;
}

static int64_t now_of(const struct sql_call *c) { return c->vm->in->now_ms; }

static int not_here(struct sql_call *c) { return sql_call_fail(c, "there is nothing to remember in here"); }

static int store_failed(struct sql_call *c, int status) {
	if (status == SL_ENOSPACE)
		return sql_call_fail(c, "the memory for state is used up by others and this has nothing to forget; "
					"raise state.max_bytes");
	return sql_call_fail(c, "a key has at most %d bytes and a value %d", SQL_STATE_KEY_MAX, SQL_STATE_VALUE_MAX);
}

/* ---- key-value store ---- */

/* When something put now is gone: milliseconds, or text such as '10m'. */
static int expiry(struct sql_call *c, const struct sql_value *arg, int64_t *out) {
	int64_t ms = 0;
	struct sql_value v = sql_number(*arg);
	if (v.kind == SQL_INT)
		ms = v.i;
	else if (!sql_is_text(arg) || sql_duration(sql_value_text(arg), &ms) != SL_OK)
		ms = 0;
	if (ms <= 0) return sql_call_fail(c, "the time to live must be positive: milliseconds, or text such as '10m'");
	if (__builtin_add_overflow(now_of(c), ms, out)) *out = INT64_MAX;
	return SL_OK;
}

static int fn_kv_put(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	struct sql_store *s = state_of(c)->kv;
	struct sql_key key = {.text = sql_value_text(&a[0])};
	int64_t expires = 0;
	if (!s) return not_here(c);
	int r = n > 2 && a[2].kind != SQL_NULL ? expiry(c, &a[2], &expires) : SL_OK;
	if (r != SL_OK) return r;
	r = sql_store_put(s, &key, &a[1], now_of(c), expires, c->arena, NULL);
	*out = sql_bool(true);
	return r == SL_OK ? SL_OK : store_failed(c, r);
}

static int fn_kv_get(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	struct sql_store *s = state_of(c)->kv;
	struct sql_key key = {.text = sql_value_text(&a[0])};
	if (!s) return not_here(c);
	int r = sql_store_get(s, &key, now_of(c), c->arena, out);
	if (r != SL_OK) return store_failed(c, r);
	if (out->kind == SQL_NULL && n > 1) *out = a[1];
	return sql_vm_made(c->vm, out->n);
}

static int fn_kv_del(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	struct sql_store *s = state_of(c)->kv;
	struct sql_key key = {.text = sql_value_text(&a[0])};
	(void)n;
	if (!s) return not_here(c);
	int r = sql_store_del(s, &key, now_of(c), c->arena, NULL);
	*out = sql_bool(true);
	return r == SL_OK ? SL_OK : store_failed(c, r);
}

/* ---- a connection's dictionary ---- */

static struct sql_key dict_key(const struct sql_call *c, const struct sql_value *name) {
	/* A message without a client (of a rule, of a window) has a dictionary too: that of nobody. */
	struct sl_slice owner = state_of(c)->connection;
	return (struct sql_key){.owner = owner.n ? owner : SL_SLICE_LIT("\0"), .text = sql_value_text(name)};
}

static int fn_dict_put(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	struct sql_store *s = state_of(c)->dict;
	struct sql_key key = dict_key(c, &a[0]);
	(void)n;
	if (!s) return not_here(c);
	int r = sql_store_put(s, &key, &a[1], now_of(c), 0, c->arena, out);
	return r == SL_OK ? sql_vm_made(c->vm, out->n) : store_failed(c, r);
}

static int fn_dict_get(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	struct sql_store *s = state_of(c)->dict;
	struct sql_key key = dict_key(c, &a[0]);
	(void)n;
	if (!s) return not_here(c);
	int r = sql_store_get(s, &key, now_of(c), c->arena, out);
	return r == SL_OK ? sql_vm_made(c->vm, out->n) : store_failed(c, r);
}

static int fn_dict_del(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	struct sql_store *s = state_of(c)->dict;
	struct sql_key key = dict_key(c, &a[0]);
	(void)n;
	if (!s) return not_here(c);
	int r = sql_store_del(s, &key, now_of(c), c->arena, out);
	return r == SL_OK ? sql_vm_made(c->vm, out->n) : store_failed(c, r);
}

/* ---- values of former messages: (expression, key, place of the call [, default]) ---- */

/* Puts the value in the place of the former one, which is given back. */
static int remember(struct sql_call *c, const struct sql_value *a, struct sql_value *old) {
	struct sql_store *s = state_of(c)->rule;
	if (!s) return not_here(c);
	struct sql_key key = {.text = a[1].kind == SQL_NULL ? SL_SLICE_EMPTY : sql_value_text(&a[1]),
			      .number = (uint64_t)a[2].i};
	int r = sql_store_put(s, &key, &a[0], now_of(c), 0, c->arena, old);
	return r == SL_OK ? sql_vm_made(c->vm, old->n) : store_failed(c, r);
}

static int fn_lag(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	int r = remember(c, a, out);
	if (r == SL_OK && out->kind == SQL_NULL && n > 3) *out = a[3];
	return r;
}

/* 21 is 21.0 here: nothing has changed. */
static bool equal(struct sql_vm *vm, const struct sql_value *a, const struct sql_value *b) {
	if (sql_is_number(a) && sql_is_number(b)) return sql_compare(vm, a, b) == SQL_EQUAL;
	return sql_same(vm, a, b);
}

static int fn_changed(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	struct sql_value old;
	(void)n;
	*out = sql_bool(false);
	if (a[0].kind == SQL_NULL) return SL_OK; /* a message that does not speak of it changes nothing */
	int r = remember(c, a, &old);
	if (r == SL_OK) *out = sql_bool(!equal(c->vm, &old, &a[0]));
	return r;
}

static int fn_last_value(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	struct sql_value old;
	(void)n;
	*out = a[0];
	if (a[0].kind != SQL_NULL) return remember(c, a, &old);
	struct sql_store *s = state_of(c)->rule;
	if (!s) return not_here(c);
	struct sql_key key = {.text = a[1].kind == SQL_NULL ? SL_SLICE_EMPTY : sql_value_text(&a[1]),
			      .number = (uint64_t)a[2].i};
	int r = sql_store_get(s, &key, now_of(c), c->arena, out);
	return r == SL_OK ? sql_vm_made(c->vm, out->n) : store_failed(c, r);
}

static const struct sql_fn lag_at = {.name = "lag", .args = "ati?a", .varies = true, .remembers = true, .call = fn_lag};
static const struct sql_fn changed_at = {
    .name = "changed", .args = "ati", .varies = true, .remembers = true, .call = fn_changed};
static const struct sql_fn last_value_at = {
    .name = "last_value", .args = "ati", .varies = true, .remembers = true, .call = fn_last_value};

const struct sql_fn *sql_fn_remember_at(struct sl_slice name) {
	static const struct sql_fn *const all[] = {&lag_at, &changed_at, &last_value_at};
	for (size_t i = 0; i < SL_ARRAY_LEN(all); i++)
		if (slice_equal_str(name, all[i]->name)) return all[i];
	return NULL;
}

/* Those of the table are never called as they stand: the binder puts the above in their place. */
static const struct sql_fn table[] = {
    {.name = "kv_store_put",
     .args = "ta?a",
     .varies = true,
     .call = fn_kv_put,
     .usage = "kv_store_put(key, value [, time to live])",
     .doc = "Keeps a value under a key for all rules, for good or so many milliseconds (or '10m'); gives true.",
     .errors = "for keys over 1 KB and values over 64 KB, and for a time to live that is not positive",
     .example = "SELECT kv_store_put(payload.id, payload.n, '10m') AS kept, kv_store_get('a') AS n FROM 't'",
     .on = "{\"id\":\"a\",\"n\":3}",
     .gives = "{\"kept\":true,\"n\":3}"},
    {.name = "kv_store_get",
     .args = "t?a",
     .varies = true,
     .call = fn_kv_get,
     .usage = "kv_store_get(key [, default])",
     .doc = "The value kept under the key; the default when there is none.",
     .errors = "for keys over 1 KB",
     .example = "SELECT kv_store_get('n', 0) AS former, kv_store_put('n', payload.n) AS kept FROM 't'",
     .on = "{\"n\":3}\n{\"n\":4}",
     .gives = "{\"former\":0,\"kept\":true}\n{\"former\":3,\"kept\":true}"},
    {.name = "kv_store_del",
     .args = "t",
     .varies = true,
     .call = fn_kv_del,
     .usage = "kv_store_del(key)",
     .doc = "Forgets the key; gives true, also when there was none.",
     .errors = "for keys over 1 KB",
     .example = "SELECT kv_store_put('k', 1) AS put, kv_store_del('k') AS deleted, kv_store_get('k') AS k FROM 't'",
     .on = "{}",
     .gives = "{\"put\":true,\"deleted\":true,\"k\":null}"},
    {.name = "proc_dict_put",
     .args = "ta",
     .varies = true,
     .call = fn_dict_put,
     .usage = "proc_dict_put(key, value)",
     .doc = "Keeps a value for the publisher's connection, until it ends; gives the one that was there.",
     .errors = "for keys over 1 KB and values over 64 KB",
     .example = "SELECT proc_dict_put('state', payload.s) AS before FROM 't'",
     .on = "{\"s\":\"on\"}\n{\"s\":\"off\"}",
     .gives = "{\"before\":null}\n{\"before\":\"on\"}"},
    {.name = "proc_dict_get",
     .args = "t",
     .varies = true,
     .call = fn_dict_get,
     .usage = "proc_dict_get(key)",
     .doc = "The value kept for the publisher's connection.",
     .errors = "for keys over 1 KB",
     .example = "SELECT proc_dict_get('n') AS n FROM 't' WHERE is_null(proc_dict_put('n', payload.n))",
     .on = "{\"n\":3}",
     .gives = "{\"n\":3}"},
    {.name = "proc_dict_del",
     .args = "t",
     .varies = true,
     .call = fn_dict_del,
     .usage = "proc_dict_del(key)",
     .doc = "Forgets it; gives what was there.",
     .errors = "for keys over 1 KB",
     .example = "SELECT proc_dict_put('n', payload.n) AS a, proc_dict_del('n') AS b, proc_dict_get('n') AS c FROM 't'",
     .on = "{\"n\":3}",
     .gives = "{\"a\":null,\"b\":3,\"c\":null}"},
    {.name = "lag",
     .args = "a?aa",
     .varies = true,
     .remembers = true,
     .call = fn_lag,
     .usage = "lag(expression [, key [, default]])",
     .doc = "What the expression gave at the former message with this key (the topic, if none is said); the default, "
	    "or null, at the first.",
     .errors = "for keys over 1 KB and values over 64 KB",
     .example = "SELECT payload.t AS t, lag(payload.t, payload.id) AS before FROM 't'",
     .on = "{\"id\":\"a\",\"t\":1}\n{\"id\":\"b\",\"t\":5}\n{\"id\":\"a\",\"t\":2}",
     .gives = "{\"t\":1,\"before\":null}\n{\"t\":5,\"before\":null}\n{\"t\":2,\"before\":1}"},
    {.name = "changed",
     .args = "a?a",
     .varies = true,
     .remembers = true,
     .call = fn_changed,
     .usage = "changed(expression [, key])",
     .doc =
	 "Is it another value than at the former message with this key? True at the first, false for an absent value.",
     .errors = "for keys over 1 KB and values over 64 KB",
     .example = "SELECT payload.s AS s FROM 't' WHERE changed(payload.s)",
     .on = "{\"s\":\"on\"}\n{\"s\":\"on\"}\n{\"s\":\"off\"}",
     .gives = "{\"s\":\"on\"}\n{\"s\":\"off\"}"},
    {.name = "last_value",
     .args = "a?a",
     .varies = true,
     .remembers = true,
     .call = fn_last_value,
     .usage = "last_value(expression [, key])",
     .doc =
	 "The value, or the last one that was not absent of the messages with this key; with GROUP BY, of the window.",
     .errors = "for keys over 1 KB and values over 64 KB",
     .example = "SELECT last_value(payload.t) AS t FROM 't'",
     .on = "{\"t\":21}\n{}",
     .gives = "{\"t\":21}\n{\"t\":21}"},
};
const struct sql_fn_family sql_fn_state = {"Memory", table, SL_ARRAY_LEN(table), SQL_STANDARD};

/* Made by sql_window_bind.c; anywhere else they are refused. */
#define WINDOW(n, a, u, d, e, x, m, g)                                                                                 \
	{                                                                                                              \
		.name = (n), .args = (a), .aggregate = true, .usage = (u), .doc = (d), .errors = (e), .example = (x),  \
		.on = (m), .gives = (g)                                                                                \
	}
#define SELECT_T(what) "SELECT " what " FROM 't' GROUP BY tumbling('10s')"
#define NO_NUMBER "for what is no number; the message is then not part of the window"
#define NO_ORDER "for booleans, arrays and objects; the message is then not part of the window"
#define LENGTH "when the rule is made, for a length below 100 ms, "
static const struct sql_fn window_table[] = {
    WINDOW("count", "a", "count(*) or count(x)", "How many messages there were, or how many where x is not null.", NULL,
	   SELECT_T("count(*) AS n, count(payload.t) AS m"), "{\"t\":3}\n{}", "{\"n\":2,\"m\":1}"),
    WINDOW("sum", "a", "sum(x)",
	   "The sum: exact for integers, a float when there is one among them or it exceeds 64 bits.", NO_NUMBER,
	   SELECT_T("sum(payload.n) AS total"), "{\"n\":3}\n{\"n\":4}", "{\"total\":7}"),
    WINDOW("avg", "a", "avg(x)", "The mean, a float.", NO_NUMBER, SELECT_T("avg(payload.t) AS mean"),
	   "{\"t\":20}\n{\"t\":21}", "{\"mean\":20.5}"),
    WINDOW("min", "a", "min(x)", "The least number, or the first text.", NO_ORDER, SELECT_T("min(payload.t) AS least"),
	   "{\"t\":20}\n{\"t\":-1.5}", "{\"least\":-1.5}"),
    WINDOW("max", "a", "max(x)", "The greatest number, or the last text.", NO_ORDER, SELECT_T("max(payload.t) AS top"),
	   "{\"t\":20}\n{\"t\":-1.5}", "{\"top\":20}"),
    WINDOW("window_start", "", "window_start()", "When the window began, in ms since 1970.", NULL,
	   SELECT_T("window_start() AS began"), "timestamp=1700000003456", "{\"began\":1700000000000}"),
    WINDOW("window_end", "", "window_end()", "When it ended: the first millisecond that is not part of it.", NULL,
	   SELECT_T("window_end() AS ended"), "timestamp=1700000003456", "{\"ended\":1700000010000}"),
    WINDOW("tumbling", "a", "tumbling('10s')", "In GROUP BY: windows that follow each other.",
	   LENGTH "and for two windows in one statement", SELECT_T("window_start() AS began, count(*) AS n"),
	   "timestamp=1700000003000\ntimestamp=1700000009000\ntimestamp=1700000010000",
	   "{\"began\":1700000000000,\"n\":2}\n{\"began\":1700000010000,\"n\":1}"),
    WINDOW("hopping", "aa", "hopping('1m', '10s')",
	   "In GROUP BY: windows of the first length, one every second length.",
	   LENGTH "and when the second does not go into the first, or more than 360 times",
	   "SELECT window_start() AS began, count(*) AS n FROM 't' GROUP BY hopping('20s', '10s')",
	   "timestamp=1700000003000\ntimestamp=1700000012000",
	   "{\"began\":1699999990000,\"n\":1}\n{\"began\":1700000000000,\"n\":2}\n{\"began\":1700000010000,\"n\":1}"),
};
const struct sql_fn_family sql_fn_window = {"Windows", window_table, SL_ARRAY_LEN(window_table), SQL_STANDARD};
