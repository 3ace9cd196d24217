/* tap_case.c: see tap_case.h. */
#include "tap_case.h"

#include <inttypes.h>

#include "jwrite.h"
#include "mem.h"
#include "sql_base64.h"
#include "test_run.h"
#include "tree_json.h"
#include "utf8.h"

static const char head[] = "# Live messages, and what the rules made of them when they came. A subscriber cannot see "
			   "all that a rule sees: the\n"
			   "# publisher's client id, user name and address, a QoS above that of the subscription, and "
			   "the retain flag are those of\n"
			   "# a test unless they are written below.\n";

/* YAML breaks lines, and refuses characters, that JSON lets stand. */
static bool plain(struct sl_slice s) {
	if (!utf8_valid(s)) return false;
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = (uint8_t)s.p[i], next = i + 1 < s.n ? (uint8_t)s.p[i + 1] : 0;
		if (c == 0x7f || (c == 0xc2 && next < 0xa0) || (c == 0xe2 && next == 0x80) || c == 0xef) return false;
	}
	return true;
}

static void member(struct sl_buf *b, const char *name, struct sl_slice text) {
	sl_buf_printf(b, ", %s: ", name);
	jwrite_quote(b, text);
}

static void message_write(const struct rule_test_message *m, struct sl_buf *b) {
	sl_buf_append_str(b, "{topic: ");
	jwrite_quote(b, slice_from_str(m->topic));
	if (plain(sl_buf_slice(&m->bytes))) {
		member(b, "payload", sl_buf_slice(&m->bytes));
	} else {
		sl_buf_append_str(b, ", payload_base64: \"");
		sql_base64_encode(sl_buf_slice(&m->bytes), 0, b);
		sl_buf_put(b, '"');
	}
	sl_buf_printf(b, ", qos: %" PRId64 ", timestamp: %" PRId64, m->qos, m->timestamp);
	if (m->content_type) member(b, "content_type", slice_from_str(m->content_type));
	if (m->response_topic) member(b, "response_topic", slice_from_str(m->response_topic));
	for (size_t i = 0; i < m->user_properties.len; i++) {
		sl_buf_append_str(b, i ? ", " : ", user_properties: {");
		jwrite_quote(b, slice_from_str(m->user_properties.items[i].key));
		sl_buf_append_str(b, ": ");
		jwrite_quote(b, slice_from_str(m->user_properties.items[i].value));
	}
	if (m->user_properties.len) sl_buf_put(b, '}');
}

/* ---- what came of it ---- */

/* Lines of JSON as one array. */
static void rows_write(struct sl_slice lines, struct sl_buf *b) {
	sl_buf_put(b, '[');
	for (bool first = true; lines.n; first = false) {
		if (!first) sl_buf_append_str(b, ", ");
		sl_buf_append_slice(b, slice_next_part(&lines, '\n'));
	}
	sl_buf_put(b, ']');
}

/* The lines of one action, without their number. */
static void action_write(struct sl_slice lines, size_t index, struct sl_buf *b) {
	char *prefix = sl_asprintf("{\"action\":%zu,", index);
	size_t n = strlen(prefix);
	sl_buf_put(b, '[');
	for (bool first = true; lines.n;) {
		struct sl_slice line = slice_next_part(&lines, '\n');
		if (!slice_starts_with(line, slice_from_str(prefix))) continue;
		sl_buf_append_str(b, first ? "{" : ", {");
		sl_buf_append_slice(b, slice_from(line, n));
		first = false;
	}
	sl_buf_put(b, ']');
	sl_free(prefix);
}

/* A number that a test file cannot hold exactly (20 digits and more) is not expected. */
static bool can_be_read(struct sl_slice rows) {
	json_t *tree = json_loadb(rows.p, rows.n, 0, NULL);
	struct sl_buf diff = SL_BUF_INIT;
	bool same = tree && plain(rows) && tree_json_same(tree, rows, "rows", false, &diff);
	sl_buf_fini(&diff);
	json_decref(tree);
	return same;
}

static void rows_expect(const struct rule *r, const struct rule_try_result *a, const struct rule_try_result *b,
			struct sl_buf *out) {
	struct sl_buf rows = SL_BUF_INIT;
	rows_write(sl_buf_slice(&a->rows), &rows);
	sl_buf_append_str(out, "{match: true");
	if (slice_equal(sl_buf_slice(&a->rows), sl_buf_slice(&b->rows)) && can_be_read(sl_buf_slice(&rows))) {
		sl_buf_append_str(out, ", rows: ");
		sl_buf_append_slice(out, sl_buf_slice(&rows));
	}
	sl_buf_clear(&rows);
	for (size_t i = 0; i < r->action_count; i++) {
		if (i) sl_buf_append_str(&rows, ", ");
		action_write(sl_buf_slice(&a->actions), i, &rows);
	}
	if (rows.n && slice_equal(sl_buf_slice(&a->actions), sl_buf_slice(&b->actions)) && plain(sl_buf_slice(&rows)))
		sl_buf_printf(out, ", actions: [%.*s]", (int)rows.n, rows.p);
	sl_buf_put(out, '}');
	sl_buf_fini(&rows);
}

static void expect_write(const struct rule *r, const struct rule_try_result *a, const struct rule_try_result *b,
			 struct sl_buf *out) {
	switch (a->outcome) {
	case RULE_TRY_ROWS: rows_expect(r, a, b, out); return;
	case RULE_TRY_NO_TOPIC: sl_buf_append_str(out, "{match: topic}"); return;
	case RULE_TRY_NO_MATCH: sl_buf_append_str(out, "{match: where}"); return;
	case RULE_TRY_FAILED:
		sl_buf_append_str(out, "{error: ");
		jwrite_quote(out, plain(slice_from_str(sl_err_text(&a->err))) ? slice_from_str(sl_err_text(&a->err))
									      : SL_SLICE_LIT("line"));
		sl_buf_put(out, '}');
	}
}

static void run_twice(struct tap *tap, const struct rule_test_message *m, struct sl_buf *out) {
	struct rule_try_result results[2] = {RULE_TRY_RESULT_INIT, RULE_TRY_RESULT_INIT};
	struct sl_buf properties = SL_BUF_INIT;
	struct rules_event ev;
	rule_test_event(m, m->timestamp, &properties, &ev);
	for (size_t i = 0; i < 2; i++) {
		struct rule_try *t = tap->tries[i] ? tap->tries[i] : rule_try_new(tap->set, "sluice");
		rule_try_run(t, &ev, &results[i]);
		if (t != tap->tries[i]) rule_try_free(t);
	}
	expect_write(tap->set->rules[0], &results[0], &results[1], out);
	for (size_t i = 0; i < 2; i++) rule_try_result_fini(&results[i]);
	sl_buf_fini(&properties);
}

/* Which of all rules match. One that fails will make its case fail: that is worth seeing. */
static void run_all(const struct tap *tap, const struct rule_test_message *m, struct sl_buf *out) {
	struct sl_buf properties = SL_BUF_INIT;
	struct rules_event ev;
	size_t matched = 0;
	rule_test_event(m, m->timestamp, &properties, &ev);
	sl_buf_append_str(out, "{matched: [");
	for (size_t i = 0; i < tap->book->count; i++) {
		struct rule_try_result result = RULE_TRY_RESULT_INIT;
		struct rule_try *t = tap->book->enabled[i] ? rule_try_new(tap->book->sets[i], "sluice") : NULL;
		if (t) rule_try_run(t, &ev, &result);
		if (t && result.outcome == RULE_TRY_ROWS) {
			if (matched++) sl_buf_append_str(out, ", ");
			jwrite_quote(out, slice_from_str(rule_book_rule(tap->book, i)->id));
		}
		rule_try_result_fini(&result);
		rule_try_free(t);
	}
	sl_buf_append_str(out, "]}");
	sl_buf_fini(&properties);
}

/* ---- the file ---- */

void tap_begin(struct tap *tap, FILE *out, const char *config, const struct rule_book *book, struct ruleset *set) {
	struct sl_buf b = SL_BUF_INIT;
	*tap = (struct tap){.out = out, .book = book, .set = set};
	sl_buf_append_str(&b, head);
	sl_buf_append_str(&b, "config: ");
	jwrite_quote(&b, slice_from_str(config));
	sl_buf_append_str(&b, "\ntests:\n");
	const struct sql_program *p = set ? set->rules[0]->program : NULL;
	if (p && (sql_program_remembers(p) || sql_program_window(p)))
		for (size_t i = 0; i < 2; i++) tap->tries[i] = rule_try_new(set, "sluice");
	fwrite(b.p, 1, b.n, out);
	sl_buf_fini(&b);
}

static void case_begin(const struct tap *tap, struct sl_slice name, struct sl_buf *b) {
	sl_buf_append_str(b, "  - name: ");
	jwrite_quote(b, name);
	if (tap->set) {
		sl_buf_append_str(b, "\n    rule: ");
		jwrite_quote(b, slice_from_str(tap->set->rules[0]->id));
	}
	sl_buf_put(b, '\n');
}

void tap_message(struct tap *tap, const struct rule_test_message *m) {
	struct sl_buf b = SL_BUF_INIT, name = SL_BUF_INIT;
	tap->count++;
	if (tap->tries[0]) {
		if (tap->count == 1) {
			case_begin(tap, SL_SLICE_LIT("live messages, one after the other"), &b);
			sl_buf_append_str(&b, "    messages:\n");
		}
		sl_buf_append_str(&b, "      - ");
		message_write(m, &b);
		sl_buf_append_str(&b, ", expect: ");
		run_twice(tap, m, &b);
		sl_buf_append_str(&b, "}\n");
	} else {
		sl_buf_printf(&name, "%s (%zu)", m->topic, tap->count);
		case_begin(tap, sl_buf_slice(&name), &b);
		sl_buf_append_str(&b, "    message: ");
		message_write(m, &b);
		sl_buf_append_str(&b, "}\n    expect: ");
		if (tap->set)
			run_twice(tap, m, &b);
		else
			run_all(tap, m, &b);
		sl_buf_put(&b, '\n');
	}
	fwrite(b.p, 1, b.n, tap->out);
	fflush(tap->out);
	sl_buf_fini(&name);
	sl_buf_fini(&b);
}

void tap_fini(struct tap *tap) {
	for (size_t i = 0; i < 2; i++) rule_try_free(tap->tries[i]);
	*tap = (struct tap){.out = NULL};
}
