/* test_run.c: see test_run.h. */
#include "test_run.h"

#include "hash.h"
#include "mem.h"
#include "rule_try.h"
#include "tree_json.h"
#include "why.h"
#include "yaml.h"

enum { SHOWN_ROWS = 20 };

static const int64_t begins_at_ms = 1767225600000; /* 2026-01-01: a test does the same on every day */

/* What came of some messages, one after the other. */
struct came {
	bool ran, failed;
	enum rule_try_outcome outcome; /* of the last that did not run to its end */
	struct sl_buf rows, actions;   /* JSON objects, one a line */
	struct sl_buf error;
};

static void came_fini(struct came *c) {
	sl_buf_fini(&c->rows);
	sl_buf_fini(&c->actions);
	sl_buf_fini(&c->error);
}

static void came_add(struct came *c, const struct rule_try_result *r) {
	switch (r->outcome) {
	case RULE_TRY_ROWS: c->ran = true; break;
	case RULE_TRY_NO_TOPIC:
	case RULE_TRY_NO_MATCH: c->outcome = r->outcome; break;
	case RULE_TRY_FAILED:
		c->failed = true;
		c->outcome = r->outcome;
		sl_buf_clear(&c->error);
		sl_buf_printf(&c->error, "line %u, column %u: %s", r->err.line, r->err.column, sl_err_text(&r->err));
		break;
	}
	sl_buf_append_slice(&c->rows, sl_buf_slice(&r->rows));
	sl_buf_append_slice(&c->actions, sl_buf_slice(&r->actions));
}

/* ---- what was expected -------------------------------------------------------------------------------------------- */

static const char *outcome_text(const struct came *c) {
	if (c->failed) return "the run failed";
	if (c->ran) return "it matches";
	return c->outcome == RULE_TRY_NO_TOPIC ? "no match: FROM does not cover the topic"
					       : "no match: WHERE is not met";
}

static bool check_match(const json_t *match, const struct came *c, struct sl_buf *why) {
	const char *text = json_string_value(match);
	bool same;
	if (text)
		same = !c->ran && !c->failed &&
		       c->outcome == (strcmp(text, "topic") == 0 ? RULE_TRY_NO_TOPIC : RULE_TRY_NO_MATCH);
	else
		same = !c->failed && c->ran == json_is_true(match);
	if (same) return true;
	sl_buf_append_str(why, "match: expected ");
	tree_json_write(match, why);
	sl_buf_printf(why, ", got: %s\n", outcome_text(c));
	return false;
}

static bool check_error(const char *error, const struct came *c, struct sl_buf *why) {
	if (c->failed && slice_find(sl_buf_slice(&c->error), slice_from_str(error)) >= 0) return true;
	sl_buf_printf(why, "error: expected a failure with '%s' in its reason, got: %s\n", error, outcome_text(c));
	return false;
}

/* Lines of JSON as one array. */
static void lines_array(struct sl_slice lines, struct sl_buf *out) {
	sl_buf_put(out, '[');
	for (bool first = true; lines.n; first = false) {
		if (!first) sl_buf_put(out, ',');
		sl_buf_append_slice(out, slice_next_part(&lines, '\n'));
	}
	sl_buf_put(out, ']');
}

static bool check_rows(const json_t *rows, const struct came *c, struct sl_buf *why) {
	struct sl_buf got = SL_BUF_INIT;
	lines_array(sl_buf_slice(&c->rows), &got);
	bool same = tree_json_same(rows, sl_buf_slice(&got), "rows", false, why);
	sl_buf_fini(&got);
	return same;
}

/* {republish: {topic: ...}}: the members inside are a choice, too. */
static bool action_same(const json_t *want, struct sl_slice got, const char *name, struct sl_buf *why) {
	const json_t *inner = json_object_get(want, "republish");
	if (!json_is_object(inner)) return tree_json_same(want, got, name, true, why);
	struct sl_slice key = SL_SLICE_LIT("\"republish\":");
	ptrdiff_t at = slice_find(got, key);
	if (at < 0) return tree_json_same(want, got, name, true, why);
	/* It is the last member of the object that action_describe() writes. */
	struct sl_slice message = slice_sub(got, (size_t)at + key.n, got.n - (size_t)at - key.n - 1);
	char *path = yaml_path_key(name, "republish");
	bool same = tree_json_same(inner, message, path, true, why);
	sl_free(path);
	return same;
}

/* The lines of one action: {"action":2,... */
static struct sl_slice action_next(struct sl_slice *lines, size_t index) {
	char *prefix = sl_asprintf("{\"action\":%zu,", index);
	struct sl_slice line = SL_SLICE_EMPTY;
	while (lines->n && !line.n) {
		line = slice_next_part(lines, '\n');
		if (!slice_starts_with(line, slice_from_str(prefix))) line = SL_SLICE_EMPTY;
	}
	sl_free(prefix);
	return line;
}

/* A list stands for one row each. */
static bool check_action(const json_t *want, size_t index, const struct came *c, struct sl_buf *why) {
	struct sl_slice lines = sl_buf_slice(&c->actions), line;
	char *name = yaml_path_index("actions", index);
	size_t rows = 0, wanted = json_is_array(want) ? json_array_size(want) : 1;
	bool same = true;
	if (json_is_string(want) && strcmp(json_string_value(want), "${any}") == 0) {
		sl_free(name);
		return true;
	}
	for (; (line = action_next(&lines, index)).n; rows++) {
		char *path = json_is_array(want) ? yaml_path_index(name, rows) : sl_strdup(name);
		const json_t *one = json_is_array(want) ? json_array_get(want, rows) : want;
		if (rows < wanted) same &= action_same(one, line, path, why);
		sl_free(path);
	}
	if (rows != wanted) {
		sl_buf_printf(why, "%s: expected %zu row%s, got %zu\n", name, wanted, wanted == 1 ? "" : "s", rows);
		same = false;
	}
	sl_free(name);
	return same;
}

/* Indents each line. */
static void put_lines(struct sl_buf *why, const char *title, struct sl_slice lines) {
	if (!lines.n) return;
	sl_buf_printf(why, "%s\n", title);
	for (size_t i = 0; lines.n; i++) {
		struct sl_slice line = slice_next_part(&lines, '\n');
		if (i < SHOWN_ROWS) sl_buf_printf(why, "  %.*s\n", SL_SLICE_ARG(line));
		if (i == SHOWN_ROWS) sl_buf_append_str(why, "  ...\n");
	}
}

static bool wants_match(const struct rule_test_expect *e) {
	return json_is_true(e->match) || json_array_size(e->rows) > 0 || e->actions;
}

static bool check(const struct rule_test_expect *e, const struct came *c, struct sl_buf *why) {
	size_t i;
	const json_t *want;
	bool same = true, failing = e->error != NULL;
	if (e->match) same &= check_match(e->match, c, why);
	if (e->error) same &= check_error(e->error, c, why);
	if (e->rows) same &= check_rows(e->rows, c, why);
	if (e->actions) json_array_foreach(e->actions, i, want) same &= check_action(want, i, c, why);
	if (c->failed && !failing && (e->match || e->rows || e->actions)) same = false;
	if (same) return true;
	if (c->failed) sl_buf_printf(why, "the run failed: %s\n", sl_buf_cstr((struct sl_buf *)(uintptr_t)&c->error));
	if (e->rows) put_lines(why, "rows:", sl_buf_slice(&c->rows));
	if (e->actions) put_lines(why, "actions:", sl_buf_slice(&c->actions));
	return false;
}

/* ---- running ------------------------------------------------------------------------------------------------------ */

/* As they stand in a packet [MQTT-3.3.2.3.7]. */
static void properties_write(const struct conf_map *map, struct sl_buf *out) {
	for (size_t i = 0; i < map->len; i++) {
		struct sl_slice parts[] = {slice_from_str(map->items[i].key), slice_from_str(map->items[i].value)};
		sl_buf_put(out, 0x26);
		for (size_t k = 0; k < 2; k++) {
			parts[k] = slice_sub(parts[k], 0, UINT16_MAX);
			sl_buf_put_u16be(out, (uint16_t)parts[k].n);
			sl_buf_append_slice(out, parts[k]);
		}
	}
}

/* A match was expected and did not come: what said no to the message, condition by condition. */
static void explain(const struct rule *r, const struct rule_test_message *m, int64_t now_ms,
		    enum rule_try_outcome outcome, struct sl_buf *why) {
	struct sl_buf properties = SL_BUF_INIT, steps = SL_BUF_INIT;
	properties_write(&m->user_properties, &properties);
	struct try_case c = TRY_CASE_INIT;
	c.sql = slice_from_str(r->text);
	c.dialect = r->dialect == SQL_AWS ? SL_SLICE_LIT("aws") : SL_SLICE_LIT("standard");
	c.topic = slice_from_str(m->topic);
	c.payload = sl_buf_slice(&m->bytes);
	c.clientid = slice_from_str(m->clientid);
	c.username = slice_from_str(m->username);
	c.user_properties = sl_buf_slice(&properties);
	c.qos = m->qos;
	c.timestamp = now_ms;
	c.made = m->made.kind ? &m->made : NULL;
	why_explain(&c, r->program, outcome, &steps);
	put_lines(why, "why:", sl_buf_slice(&steps));
	sl_buf_fini(&steps);
	sl_buf_fini(&properties);
}

static int64_t message_time(const struct rule_test_message *m, int64_t before_ms) {
	return (m->timestamp >= 0 ? m->timestamp : before_ms) + m->after_ms;
}

void rule_test_event(const struct rule_test_message *m, int64_t now_ms, struct sl_buf *properties,
		     struct rules_event *ev) {
	struct sl_slice topic = slice_from_str(m->topic);
	sl_buf_clear(properties);
	properties_write(&m->user_properties, properties);
	*ev = (struct rules_event){
	    .topic = topic,
	    .payload = sl_buf_slice(&m->bytes),
	    .clientid = slice_from_str(m->clientid),
	    .username = slice_from_str(m->username),
	    .peer = SL_SLICE_LIT("127.0.0.1:1883"),
	    .topic_hash = sl_hash(topic),
	    .at_ms = now_ms,
	    .qos = (uint8_t)m->qos,
	    .retain = m->retain,
	    .version = 5,
	    .user_properties = sl_buf_slice(properties),
	    .content_type = slice_from_str(m->content_type),
	    .response_topic = slice_from_str(m->response_topic),
	    .correlation_data = slice_from_str(m->correlation_data),
	    .message_expiry_s = -1,
	    .payload_format = -1,
	};
	if (m->made.kind) try_event_apply(&m->made, ev);
}

static void message_run(struct rule_try *t, const struct rule_test_message *m, int64_t *now_ms,
			struct rule_try_result *result) {
	struct sl_buf properties = SL_BUF_INIT;
	struct rules_event ev;
	*now_ms = message_time(m, *now_ms);
	rule_test_event(m, *now_ms, &properties, &ev);
	rule_try_run(t, &ev, result);
	sl_buf_fini(&properties);
}

/* All messages through one rule, which begins with no memory of others. */
static bool rule_run(const struct rule_test_case *c, struct ruleset *set, struct came *came, struct sl_buf *why) {
	struct rule_try *t = rule_try_new(set, "sluice");
	int64_t now_ms = begins_at_ms;
	bool same = true;
	for (size_t i = 0; i < c->count; i++) {
		struct rule_try_result result = RULE_TRY_RESULT_INIT;
		struct came one = {.outcome = RULE_TRY_NO_TOPIC};
		message_run(t, &c->at[i], &now_ms, &result);
		came_add(came, &result);
		came_add(&one, &result);
		size_t before = why ? why->n : 0;
		if (why && !check(&c->at[i].expect, &one, why)) {
			same = false;
			if (!one.ran && wants_match(&c->at[i].expect))
				explain(set->rules[0], &c->at[i], now_ms, one.outcome, why);
			struct sl_buf lines = SL_BUF_INIT;
			sl_buf_append_slice(&lines, slice_from(sl_buf_slice(why), before));
			why->n = before;
			char *title = sl_asprintf("message %zu:", i + 1);
			put_lines(why, title, sl_buf_slice(&lines));
			sl_free(title);
			sl_buf_fini(&lines);
		}
		came_fini(&one);
		rule_try_result_fini(&result);
	}
	if (sql_program_window(set->rules[0]->program)) { /* at the end of the test all windows end */
		struct rule_try_result result = RULE_TRY_RESULT_INIT;
		rule_try_advance(t, INT64_MAX, &result);
		came_add(came, &result);
		rule_try_result_fini(&result);
	}
	rule_try_free(t);
	return same;
}

static bool run_all(const struct rule_tests *tests, const struct rule_test_case *c, struct sl_buf *why) {
	json_t *matched = json_array();
	struct sl_buf got = SL_BUF_INIT;
	bool same = true;
	for (size_t i = 0; i < tests->book.count; i++) {
		if (!tests->book.enabled[i]) continue;
		struct came came = {.outcome = RULE_TRY_NO_TOPIC};
		const char *id = rule_book_rule(&tests->book, i)->id;
		rule_run(c, tests->book.sets[i], &came, NULL);
		if (came.ran) json_array_append_new(matched, json_string(id));
		if (came.failed) {
			sl_buf_printf(why, "the rule %s failed: %s\n", id, sl_buf_cstr(&came.error));
			same = false;
		}
		came_fini(&came);
	}
	tree_json_write(matched, &got);
	if (c->expect.matched) same &= tree_json_same(c->expect.matched, sl_buf_slice(&got), "matched", false, why);
	sl_buf_fini(&got);
	json_decref(matched);
	return same;
}

bool rule_test_run(const struct rule_tests *tests, const struct rule_test_case *c, struct sl_buf *why) {
	if (!c->set) return run_all(tests, c, why);
	struct came came = {.outcome = RULE_TRY_NO_TOPIC};
	bool same = rule_run(c, c->set, &came, why);
	if (!check(&c->expect, &came, why)) {
		same = false;
		/* Of several messages none in particular is to blame. */
		if (!came.ran && c->count == 1 && wants_match(&c->expect))
			explain(c->set->rules[0], &c->at[0], message_time(&c->at[0], begins_at_ms), came.outcome, why);
	}
	came_fini(&came);
	return same;
}
