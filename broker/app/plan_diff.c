/* plan_diff.c: see plan_diff.h. */
#include "plan_diff.h"

#include <inttypes.h>
#include <stdlib.h>

#include "mem.h"

static const char *text_of(const json_t *object, const char *member) {
	const char *text = json_string_value(json_object_get(object, member));
	return text ? text : "";
}

/* The items of a list by one of their members. What is on its way out already is left aside. A new reference. */
static json_t *by_name(const json_t *list, const char *member) {
	json_t *out = json_object(), *item;
	size_t i;
	json_array_foreach(list, i, item) {
		if (json_is_true(json_object_get(item, "retiring"))) continue;
		json_object_set(out, text_of(item, member), item);
	}
	return out;
}

static bool tagged(const json_t *rule, const char *tag) {
	const json_t *tags = json_object_get(rule, "tags"), *one;
	size_t i;
	if (!tag) return true;
	json_array_foreach(tags, i, one) if (strcmp(json_string_value(one), tag) == 0) return true;
	return false;
}

static void put(struct sl_buf *what, const char *fmt, ...) sl_printf(2, 3);
static void put(struct sl_buf *what, const char *fmt, ...) {
	va_list ap;
	if (what->n) sl_buf_append_str(what, ", ");
	va_start(ap, fmt);
	sl_buf_vprintf(what, fmt, ap);
	va_end(ap);
}

/* ---- rules ---- */

static void actions_diff(const json_t *was, const json_t *is, struct sl_buf *what) {
	size_t a = json_array_size(was), b = json_array_size(is);
	for (size_t i = 0; i < a || i < b; i++) {
		const json_t *x = json_array_get(was, i), *y = json_array_get(is, i);
		const char *name = text_of(y ? y : x, "name");
		if (!x)
			put(what, "new action %zu (%s)", i, name);
		else if (!y)
			put(what, "no action %zu (%s) any more", i, name);
		else if (strcmp(text_of(x, "name"), name) != 0)
			put(what, "action %zu (%s, was %s)", i, name, text_of(x, "name"));
		else if (strcmp(text_of(x, "hash"), text_of(y, "hash")) != 0)
			put(what, "action %zu (%s)", i, name);
	}
}

static void rule_diff(const json_t *was, const json_t *is, struct sl_buf *what) {
	static const char *const members[] = {"sql", "dialect", "description", "enabled", "tags"};
	if (strcmp(text_of(was, "hash"), text_of(is, "hash")) == 0) return;
	for (size_t i = 0; i < SL_ARRAY_LEN(members); i++)
		if (!json_equal(json_object_get(was, members[i]), json_object_get(is, members[i])))
			put(what, "%s", members[i]);
	if (strcmp(text_of(json_object_get(was, "shadow"), "sql"), text_of(json_object_get(is, "shadow"), "sql")) != 0)
		put(what, "shadow");
	actions_diff(json_object_get(was, "actions"), json_object_get(is, "actions"), what);
	if (what->n == 0) put(what, "options");
}

static int64_t rows_queued(const json_t *running, const char *rule) {
	const json_t *actions = json_object_get(running, "actions"), *a;
	int64_t rows = 0;
	size_t i;
	json_array_foreach(actions, i, a) if (strcmp(text_of(a, "rule"), rule) == 0) rows +=
	    json_integer_value(json_object_get(a, "queued"));
	return rows;
}

/* Rules run in the order of the file. */
static bool same_order(const json_t *was, const json_t *is) {
	const char *key;
	json_t *value;
	void *at = json_object_iter((json_t *)(uintptr_t)was);
	json_object_foreach((json_t *)(uintptr_t)is, key, value) {
		if (!json_object_get(was, key)) continue;
		while (at && !json_object_get(is, json_object_iter_key(at)))
			at = json_object_iter_next((json_t *)(uintptr_t)was, at);
		if (!at || strcmp(json_object_iter_key(at), key) != 0) return false;
		at = json_object_iter_next((json_t *)(uintptr_t)was, at);
	}
	return true;
}

static void rules_diff(const json_t *running, const json_t *wanted, const char *tag, struct sl_buf *out,
		       struct plan_counts *c) {
	json_t *was = by_name(json_object_get(running, "rules"), "id");
	json_t *is = by_name(json_object_get(wanted, "rules"), "id"), *rule;
	struct sl_buf what = SL_BUF_INIT;
	const char *id;
	json_object_foreach(is, id, rule) {
		const json_t *old = json_object_get(was, id);
		if (!tagged(rule, tag) && !(old && tagged(old, tag))) continue;
		sl_buf_clear(&what);
		if (old) rule_diff(old, rule, &what);
		if (!old)
			sl_buf_printf(out, "+ rule %s\n", id);
		else if (what.n)
			sl_buf_printf(out, "~ rule %s: %s\n", id, sl_buf_cstr(&what));
		c->create += !old;
		c->change += what.n > 0;
	}
	json_object_foreach(was, id, rule) {
		if (json_object_get(is, id) || !tagged(rule, tag)) continue;
		int64_t rows = rows_queued(running, id);
		sl_buf_printf(out, "- rule %s", id);
		if (rows)
			sl_buf_printf(out, ": %" PRId64 " queued row%s out first", rows, rows == 1 ? " goes" : "s go");
		sl_buf_put(out, '\n');
		c->remove++;
	}
	if (!tag && !same_order(was, is)) {
		sl_buf_append_str(out, "~ the order in which rules run\n");
		c->change++;
	}
	sl_buf_fini(&what);
	json_decref(was);
	json_decref(is);
}

/* ---- connectors and sources ---- */

static void members_diff(const json_t *was, const json_t *is, struct sl_buf *what) {
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)is, key, value) {
		const json_t *old = json_object_get(was, key);
		if (json_equal((json_t *)(uintptr_t)old, value)) continue;
		char *a = old ? json_dumps(old, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
		char *b = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
		put(what, "%s %s -> %s", key, a ? a : "nothing", b ? b : "?");
		free(a);
		free(b);
	}
}

/* list: "connectors" or "sources"; kind: what one of them is called. */
static void named_diff(const json_t *running, const json_t *wanted, const char *list, const char *kind,
		       struct sl_buf *out, struct plan_counts *c) {
	json_t *was = by_name(json_object_get(running, list), "name");
	json_t *is = by_name(json_object_get(wanted, list), "name"), *conn;
	struct sl_buf what = SL_BUF_INIT;
	const char *name;
	json_object_foreach(is, name, conn) {
		const json_t *old = json_object_get(was, name);
		sl_buf_clear(&what);
		if (old && strcmp(text_of(old, "type"), text_of(conn, "type")) != 0)
			put(&what, "type %s -> %s", text_of(old, "type"), text_of(conn, "type"));
		else if (old) {
			members_diff(json_object_get(old, "settings"), json_object_get(conn, "settings"), &what);
			members_diff(json_object_get(old, "options"), json_object_get(conn, "options"), &what);
		}
		if (!old)
			sl_buf_printf(out, "+ %s %s (%s)\n", kind, name, text_of(conn, "type"));
		else if (what.n)
			sl_buf_printf(out, "~ %s %s: %s\n", kind, name, sl_buf_cstr(&what));
		c->create += !old;
		c->change += what.n > 0;
	}
	json_object_foreach(was, name, conn) {
		if (json_object_get(is, name)) continue;
		sl_buf_printf(out, "- %s %s\n", kind, name);
		c->remove++;
	}
	sl_buf_fini(&what);
	json_decref(was);
	json_decref(is);
}

struct plan_counts plan_diff(const json_t *running, const json_t *wanted, const char *tag, struct sl_buf *out) {
	struct plan_counts counts = {0};
	if (!tag) named_diff(running, wanted, "connectors", "connector", out, &counts);
	if (!tag) named_diff(running, wanted, "sources", "source", out, &counts);
	rules_diff(running, wanted, tag, out, &counts);
	return counts;
}
