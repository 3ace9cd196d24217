/* plan_diff.c: see plan_diff.h. */
#include "plan_diff.h"

#include <inttypes.h>
#include <stdlib.h>

#include "likeness.h"
#include "mem.h"
#include "ruleset.h"

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

/* A rule's actions of one kind, as those are compared that run (rules/ruleset.c). */
struct alike {
	struct likeness_side sides[RULE_ACTIONS_MAX];
	const json_t *actions[RULE_ACTIONS_MAX];
	size_t n;
};

static void actions_of(const json_t *list, const char *kind, struct alike *of) {
	const json_t *a;
	size_t i;
	of->n = 0;
	json_array_foreach(list, i, a) {
		if (of->n == RULE_ACTIONS_MAX || strcmp(text_of(a, "kind"), kind) != 0) continue;
		of->sides[of->n] =
		    (struct likeness_side){.face = slice_from_str(text_of(a, "face")), .place = (uint32_t)i};
		of->actions[of->n++] = a;
	}
}

static void action_goes_on(const struct alike *was, size_t k, const struct alike *is, size_t i, struct sl_buf *what) {
	const json_t *x = was->actions[k], *y = is->actions[i];
	uint32_t from = was->sides[k].place, to = is->sides[i].place;
	bool changed = strcmp(text_of(x, "hash"), text_of(y, "hash")) != 0;
	if (from != to)
		put(what, "action %" PRIu32 " (%s) is action %" PRIu32 " now%s", from, text_of(y, "name"), to,
		    changed ? ", and changed" : "");
	else if (changed)
		put(what, "action %" PRIu32 " (%s)", to, text_of(y, "name"));
}

/* Which goes on with which is what a reload finds, for it decides whose queue and counters stay. */
static void actions_diff(const json_t *was, const json_t *is, struct sl_buf *what) {
	static const char *const kinds[] = {"connector", "republish", "console"};
	for (size_t kind = 0; kind < SL_ARRAY_LEN(kinds); kind++) {
		struct alike then, now;
		size_t pair[RULE_ACTIONS_MAX];
		bool goes_on[RULE_ACTIONS_MAX] = {false};
		actions_of(was, kinds[kind], &then);
		actions_of(is, kinds[kind], &now);
		likeness_pair(now.sides, now.n, then.sides, then.n, pair);
		for (size_t i = 0; i < now.n; i++) {
			if (pair[i] == LIKENESS_NONE) {
				put(what, "new action %" PRIu32 " (%s)", now.sides[i].place,
				    text_of(now.actions[i], "name"));
				continue;
			}
			goes_on[pair[i]] = true;
			action_goes_on(&then, pair[i], &now, i, what);
		}
		for (size_t k = 0; k < then.n; k++)
			if (!goes_on[k])
				put(what, "no action %" PRIu32 " (%s) any more", then.sides[k].place,
				    text_of(then.actions[k], "name"));
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

/* ---- listeners ---- */

/* The addresses of those that the file has no more, or has elsewhere, are closed; nobody who is connected is sent away. */
static void listeners_diff(const json_t *running, const json_t *wanted, struct sl_buf *out, struct plan_counts *c) {
	json_t *was = by_name(running, "name"), *is = by_name(wanted, "name"), *one;
	struct sl_buf what = SL_BUF_INIT;
	const char *name;
	json_object_foreach(is, name, one) {
		const json_t *old = json_object_get(was, name);
		sl_buf_clear(&what);
		if (old) members_diff(old, one, &what);
		if (!old)
			sl_buf_printf(out, "+ listener %s (%s on %s)\n", name, text_of(one, "type"),
				      text_of(one, "bind"));
		else if (what.n)
			sl_buf_printf(out, "~ listener %s: %s; for new connections\n", name, sl_buf_cstr(&what));
		c->create += !old;
		c->change += what.n > 0;
	}
	json_object_foreach(was, name, one) {
		if (json_object_get(is, name)) continue;
		sl_buf_printf(out, "- listener %s (%s on %s): its clients stay\n", name, text_of(one, "type"),
			      text_of(one, "bind"));
		c->remove++;
	}
	sl_buf_fini(&what);
	json_decref(was);
	json_decref(is);
}

/* ---- settings ---- */

static bool same(const json_t *a, const json_t *b) {
	return json_equal((json_t *)(uintptr_t)a, (json_t *)(uintptr_t)b);
}

static void section_diff(const char *name, const json_t *was, const json_t *is, const char *when, struct sl_buf *out,
			 struct plan_counts *c) {
	struct sl_buf what = SL_BUF_INIT;
	if (same(was, is)) return;
	members_diff(was, is, &what);
	sl_buf_printf(out, "~ %s: %s%s\n", name, what.n ? sl_buf_cstr(&what) : "changed", when);
	sl_buf_fini(&what);
	c->change++;
}

/* A reload takes listeners, auth and node.outbound; all else is of the start. A broker that does not tell is not judged. */
static void settings_diff(const json_t *running, const json_t *wanted, struct sl_buf *out, struct plan_counts *c) {
	const json_t *shown = json_object_get(json_object_get(running, "config"), "settings");
	const json_t *wants = json_object_get(wanted, "settings"), *value;
	const char *name;
	if (!shown || !wants) return;
	json_object_foreach((json_t *)(uintptr_t)wants, name, value) {
		const json_t *old = json_object_get(shown, name);
		if (strcmp(name, "auth") == 0) {
			section_diff(name, old, value, "", out, c);
		} else if (strcmp(name, "listeners") == 0) {
			listeners_diff(old, value, out, c);
		} else if (strcmp(name, "node") == 0) {
			json_t *was = json_copy((json_t *)(uintptr_t)old), *is = json_copy((json_t *)(uintptr_t)value);
			section_diff("node.outbound", json_object_get(was, "outbound"), json_object_get(is, "outbound"),
				     "", out, c);
			json_object_del(was, "outbound");
			json_object_del(is, "outbound");
			section_diff(name, was, is, "; needs a restart", out, c);
			json_decref(was);
			json_decref(is);
		} else
			section_diff(name, old, value, "; needs a restart", out, c);
	}
}

bool plan_has_tag(const json_t *tree, const char *tag) {
	const json_t *rule;
	size_t i;
	json_array_foreach(json_object_get(tree, "rules"), i, rule) if (tagged(rule, tag)) return true;
	return false;
}

struct plan_counts plan_diff(const json_t *running, const json_t *wanted, const char *tag, struct sl_buf *out) {
	struct plan_counts counts = {0};
	if (!tag) settings_diff(running, wanted, out, &counts);
	if (!tag) named_diff(running, wanted, "connectors", "connector", out, &counts);
	if (!tag) named_diff(running, wanted, "sources", "source", out, &counts);
	rules_diff(running, wanted, tag, out, &counts);
	return counts;
}
