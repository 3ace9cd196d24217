/* why.c: see why.h. */
#include "why.h"

#include <jansson.h>

#include "basic_ingest.h"
#include "jscan.h"
#include "mem.h"
#include "sql_why.h"
#include "topic.h"
#include "utf8.h"

enum { SHOWN_MAX = 200, ELEMENTS_MAX = 20, NEIGHBOURS_MAX = 12 };

/* What a probe came to. */
enum truth { TRUE_, FALSE_, ABSENT, FAILED, OTHER, UNTOLD };
struct found {
	enum truth truth;
	struct sl_buf text; /* the value as JSON, or the reason of the failure */
};

static void put_cut(struct sl_buf *out, struct sl_slice text) {
	sl_buf_append_slice(out, slice_sub(text, 0, SHOWN_MAX));
	if (text.n > SHOWN_MAX) sl_buf_printf(out, "... (%zu bytes)", text.n);
}

/* Source text on one line. */
static void put_source(struct sl_buf *out, struct sl_slice text) {
	size_t begins = out->n;
	put_cut(out, text);
	for (size_t i = begins; i < out->n; i++)
		if (out->p[i] == '\n' || out->p[i] == '\t' || out->p[i] == '\r') out->p[i] = ' ';
}

/* ---- probes ------------------------------------------------------------------------------------------------------- */

/* The value of the row's one column as JSON; empty: the row has none (aws: Undefined). */
static struct sl_slice row_value(struct sl_slice row) {
	struct jpath_hit object, key, value;
	struct jscan_iter it;
	if (jscan_value(row, &object) != SL_OK || jscan_begin(&it, &object) != SL_OK) return SL_SLICE_EMPTY;
	if (jscan_next(&it, &key, &value) != 1) return SL_SLICE_EMPTY;
	size_t at = (size_t)(value.raw.p - row.p) - (value.kind == JKIND_STRING);
	return slice_sub(row, at, row.n - at - 1);
}

static enum rule_try_outcome probe_run(const struct try_case *c, struct sl_slice sql, struct sl_buf *rows,
				       struct sl_err *err) {
	struct try_case probe = *c;
	struct rule *r;
	probe.sql = sql;
	if (try_case_compile(&probe, &r, err) != SL_OK) return RULE_TRY_FAILED;
	return try_case_run(&probe, r, rows, err);
}

/* Standard rows show what is absent and JSON's null alike. */
static bool is_absent(const struct try_case *c, struct sl_slice probe) {
	struct sl_slice select = SL_SLICE_LIT("SELECT ");
	struct sl_buf sql = SL_BUF_INIT, rows = SL_BUF_INIT;
	struct sl_err err = SL_ERR_INIT;
	sl_buf_append_str(&sql, "SELECT is_null");
	sl_buf_append_slice(&sql, slice_from(probe, select.n));
	bool absent = probe_run(c, sl_buf_slice(&sql), &rows, &err) == RULE_TRY_ROWS &&
		      slice_starts_with(row_value(slice_trim(sl_buf_slice(&rows))), SL_SLICE_LIT("true"));
	sl_buf_fini(&sql);
	sl_buf_fini(&rows);
	sl_err_fini(&err);
	return absent;
}

static struct found probe(const struct try_case *c, struct sl_slice sql) {
	struct found f = {.truth = UNTOLD};
	struct sl_buf rows = SL_BUF_INIT;
	struct sl_err err = SL_ERR_INIT;
	if (sql.n == 0) return f;
	bool aws = slice_equal_str(c->dialect, "aws");
	switch (probe_run(c, sql, &rows, &err)) {
	case RULE_TRY_ROWS: {
		struct sl_slice v = row_value(slice_trim(sl_buf_slice(&rows)));
		if (slice_equal_str(v, "true") || (aws && slice_equal_nocase(v, SL_SLICE_LIT("\"true\""))))
			f.truth = TRUE_;
		else if (slice_equal_str(v, "false") || (aws && slice_equal_nocase(v, SL_SLICE_LIT("\"false\""))))
			f.truth = FALSE_;
		else if (v.n == 0 || (!aws && slice_equal_str(v, "null") && is_absent(c, sql)))
			f.truth = ABSENT;
		else
			f.truth = OTHER;
		sl_buf_append_slice(&f.text, v);
		break;
	}
	case RULE_TRY_NO_TOPIC:
	case RULE_TRY_NO_MATCH: break; /* the caller sees to FROM */
	case RULE_TRY_FAILED:
		f.truth = FAILED;
		sl_buf_append_str(&f.text, sl_err_text(&err));
		break;
	}
	sl_buf_fini(&rows);
	sl_err_fini(&err);
	return f;
}

static const char *absent_word(const struct try_case *c) {
	return slice_equal_str(c->dialect, "aws") ? "Undefined" : "NULL";
}

/* ---- FROM and the payload ----------------------------------------------------------------------------------------- */

/* The first level where filter and topic part. */
static void put_mismatch(struct sl_buf *out, struct sl_slice filter, struct sl_slice topic) {
	size_t level = 1;
	bool wild = filter.n && (filter.p[0] == '+' || filter.p[0] == '#');
	if (topic.n && topic.p[0] == '$' && wild) {
		sl_buf_append_str(out, "a wildcard in front does not cover topics that begin with $");
		return;
	}
	for (; filter.p && topic.p; level++) {
		struct sl_slice f = slice_next_part(&filter, '/'), t = slice_next_part(&topic, '/');
		if (slice_equal_str(f, "+") || slice_equal(f, t)) continue;
		if (slice_equal_str(f, "#")) break;
		sl_buf_printf(out, "level %zu is '%.*s', not '%.*s'", level, SL_SLICE_ARG(t), SL_SLICE_ARG(f));
		return;
	}
	if (topic.p)
		sl_buf_printf(out, "the topic has more levels; the filter ends at level %zu", level - 1);
	else
		sl_buf_printf(out, "the topic ends at level %zu; the filter wants more", level - 1);
}

static bool filter_covers(const struct try_case *c, struct sl_slice filter, struct sl_slice topic) {
	if (!topic_filter_valid(filter) || !topic_matches(filter, topic)) return false;
	/* In the aws dialect a/# does not cover a. */
	bool aws = slice_equal_str(c->dialect, "aws");
	return !aws || filter.n < 2 || filter.p[filter.n - 1] != '#' || topic_levels(topic) >= topic_levels(filter);
}

/* FROM is asked about what follows the name of a rule, when the topic names one. */
static bool explain_from(const struct try_case *c, const struct sql_program *program, enum rule_try_outcome outcome,
			 struct sl_buf *out) {
	size_t count;
	struct sl_slice topic = c->topic, rule;
	bool named = basic_ingest_split(c->topic, &rule, &topic);
	const struct sl_slice *from = sql_program_from(program, &count);
	bool covered = named && count == 0;
	if (count == 0)
		sl_buf_append_str(out, named ? "FROM     there is none: a topic that names the rule reaches it\n"
					     : "FROM     there is none: only a topic that names the rule reaches it, "
					       "$aws/rules/NAME/...\n");
	for (size_t i = 0; i < count; i++) {
		sl_buf_printf(out, "%-9s'%.*s' ", i ? "" : "FROM", SL_SLICE_ARG(from[i]));
		if (filter_covers(c, from[i], topic)) {
			sl_buf_printf(out, "covers '%.*s'", SL_SLICE_ARG(topic));
			covered = true;
		} else {
			sl_buf_printf(out, "does not cover '%.*s': ", SL_SLICE_ARG(topic));
			put_mismatch(out, from[i], topic);
		}
		sl_buf_put(out, '\n');
	}
	if (covered && named && outcome == RULE_TRY_NO_TOPIC) {
		sl_buf_printf(out, "         the topic names the rule '%.*s', which is another\n", SL_SLICE_ARG(rule));
		return false;
	}
	return covered;
}

static void explain_payload(const struct try_case *c, const struct sql_program *program, struct sl_buf *out) {
	size_t count;
	(void)sql_program_paths(program, &count);
	if (count == 0) return;
	struct jpath_hit hit;
	if (jscan_value_any_text(c->payload, &hit) == SL_OK) {
		sl_buf_printf(out, "PAYLOAD  JSON, %zu bytes%s\n", c->payload.n,
			      utf8_valid(c->payload) ? "" : "; some of its text is not UTF-8");
		return;
	}
	json_error_t why;
	json_t *tree =
	    json_loadb(c->payload.p ? c->payload.p : "", c->payload.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
	sl_buf_printf(out, "PAYLOAD  not JSON, %zu bytes", c->payload.n);
	if (c->payload.n && !tree) sl_buf_printf(out, ": breaks at byte %d: %s", why.position, why.text);
	sl_buf_append_str(out, slice_equal_str(c->dialect, "aws") ? "; its members are Undefined\n"
								  : "; reading a member of it fails the run\n");
	json_decref(tree);
}

/* ---- conditions --------------------------------------------------------------------------------------------------- */

/* Of a place that is absent: how far the way goes, and what there is instead. */
static void put_neighbours(const struct try_case *c, const struct sql_why_part *p, struct sl_buf *out) {
	struct jpath_hit at, key, value, next = {.kind = JKIND_ABSENT};
	struct jscan_iter it;
	struct sl_arena arena;
	const char *names[NEIGHBOURS_MAX];
	size_t count = 0, more = 0, step = 0;
	if (!p->n_steps || jscan_value_any_text(c->payload, &at) != SL_OK) return;
	sl_arena_init(&arena, 1024);
	for (; step < p->n_steps; step++, at = next) {
		next = (struct jpath_hit){.kind = JKIND_ABSENT};
		count = more = 0;
		if (at.kind != JKIND_OBJECT || jscan_begin(&it, &at) != SL_OK) break;
		while (jscan_next(&it, &key, &value) == 1) {
			struct sl_slice name;
			if (jscan_string(&key, &arena, &name) != SL_OK) continue;
			if (slice_equal(name, p->steps[step])) next = value;
			if (count < NEIGHBOURS_MAX)
				names[count++] = sl_arena_strdup(&arena, name);
			else
				more++;
		}
		if (next.kind == JKIND_ABSENT) break;
	}
	if (step < p->n_steps && at.kind != JKIND_OBJECT) {
		sl_buf_printf(out, "; there is %s, no object, before '%.*s'", json_kind_name(at.kind),
			      SL_SLICE_ARG(p->steps[step]));
	} else if (step < p->n_steps) {
		const char *near = slice_nearest(p->steps[step], names, count);
		sl_buf_append_str(out, count ? "; there are: " : "; the object is empty");
		for (size_t i = 0; i < count; i++) sl_buf_printf(out, "%s%s", i ? ", " : "", names[i]);
		if (more) sl_buf_printf(out, " and %zu more", more);
		if (near) sl_buf_printf(out, "; did you mean %s?", near);
	}
	sl_arena_fini(&arena);
}

/* A number in quotes compares as a number in the standard dialect. */
static bool spells_number(struct sl_slice json) {
	double d;
	return json.n > 2 && slice_to_double(slice_sub(json, 1, json.n - 2), &d) == SL_OK;
}

static void put_value(const struct try_case *c, const struct sql_why_part *p, const struct found *f,
		      struct sl_buf *out) {
	struct sl_slice text = sl_buf_slice(&f->text);
	switch (f->truth) {
	case ABSENT:
		sl_buf_printf(out, " is absent (%s)", absent_word(c));
		put_neighbours(c, p, out);
		return;
	case FAILED: sl_buf_append_str(out, " fails: "); break;
	case UNTOLD: sl_buf_append_str(out, ": made of several columns, not shown"); return;
	case TRUE_:
	case FALSE_:
	case OTHER: sl_buf_append_str(out, " = "); break;
	}
	put_source(out, text);
	if (!p->wants_number || f->truth == FAILED || !text.n) return;
	if (text.p[0] == '"' && !spells_number(text))
		sl_buf_append_str(out, ": a text that is no number does not compare with one");
	else if (text.p[0] != '"' && text.p[0] != '-' && (text.p[0] < '0' || text.p[0] > '9'))
		sl_buf_append_str(out, ": is no number, and does not compare with one");
}

/* The truth of part i, if the engine could not be asked out of those of the parts below it; *end is where they end. */
static enum truth group_truth(const struct sql_why *why, struct found *found, size_t i, size_t *end) {
	const struct sql_why_part *p = &why->parts[i];
	size_t at = i + 1;
	bool any_true = false, all_true = true, failed = false;
	while (at < why->count && why->parts[at].depth > p->depth) {
		enum truth t = found[at].truth;
		if (why->parts[at].kind != SQL_WHY_VALUE) {
			size_t next;
			t = group_truth(why, found, at, &next);
			any_true |= t == TRUE_;
			all_true &= t == TRUE_;
			failed |= t == FAILED;
			at = next;
		} else {
			at++;
		}
	}
	*end = at;
	if (found[i].truth != UNTOLD) return found[i].truth;
	switch (p->kind) {
	case SQL_WHY_ALL: found[i].truth = all_true ? TRUE_ : failed ? FAILED : FALSE_; break;
	case SQL_WHY_ANY: found[i].truth = any_true ? TRUE_ : failed ? FAILED : FALSE_; break;
	case SQL_WHY_NOT: found[i].truth = failed ? FAILED : any_true ? FALSE_ : TRUE_; break;
	case SQL_WHY_CONDITION:
	case SQL_WHY_VALUE: break;
	}
	return found[i].truth;
}

static const char *truth_word(const struct try_case *c, enum truth t) {
	switch (t) {
	case TRUE_: return "true";
	case FALSE_: return "false";
	case ABSENT: return absent_word(c);
	case FAILED: return "fails";
	case OTHER: return "no boolean";
	case UNTOLD: return "?";
	}
	return "?";
}

static void put_part(const struct try_case *c, const struct sql_why_part *p, const struct found *f, bool decides,
		     struct sl_buf *out) {
	sl_buf_printf(out, "%*s", p->depth * 2, "");
	switch (p->kind) {
	case SQL_WHY_ALL: sl_buf_printf(out, "%-6s all of these:", truth_word(c, f->truth)); break;
	case SQL_WHY_ANY: sl_buf_printf(out, "%-6s one of these:", truth_word(c, f->truth)); break;
	case SQL_WHY_NOT: sl_buf_printf(out, "%-6s NOT:", truth_word(c, f->truth)); break;
	case SQL_WHY_CONDITION:
		sl_buf_printf(out, "%-6s ", truth_word(c, f->truth));
		put_source(out, p->text);
		if (f->truth == FAILED || f->truth == OTHER || (f->truth == ABSENT && p->n_steps))
			put_value(c, p, f, out);
		break;
	case SQL_WHY_VALUE:
		sl_buf_append_str(out, "       ");
		put_source(out, p->text);
		put_value(c, p, f, out);
		break;
	}
	if (decides)
		sl_buf_append_str(out, f->truth == FAILED ? "   <- the run fails here" : "   <- rules the message out");
	sl_buf_put(out, '\n');
}

/* The first part on whose account the run ended as it did. A part that would fail decides nothing when another one, which
 * the engine looked at before, has ruled the message out. why->count: there is none. */
static size_t deciding_part(const struct sql_why *why, const struct found *found, enum rule_try_outcome outcome) {
	bool failed = outcome == RULE_TRY_FAILED;
	size_t i = 0;
	if (outcome != RULE_TRY_NO_MATCH && !failed) return why->count;
	while (i < why->count &&
	       (why->parts[i].depth > 0 || found[i].truth == TRUE_ || (found[i].truth == FAILED) != failed))
		i++;
	return i;
}

/* Returns whether all of it is met. */
static bool explain_parts(const struct try_case *c, const struct sql_why *why, const char *title,
			  enum rule_try_outcome outcome, struct sl_buf *out) {
	struct found *found = SL_NEW_ARRAY(struct found, why->count + 1);
	bool met = true;
	for (size_t i = 0; i < why->count; i++) found[i] = probe(c, why->parts[i].probe);
	for (size_t i = 0; i < why->count;) (void)group_truth(why, found, i, &i);
	size_t deciding = deciding_part(why, found, outcome);
	for (size_t i = 0; i < why->count; i++) {
		sl_buf_printf(out, "%-9s", i ? "" : title);
		put_part(c, &why->parts[i], &found[i], i == deciding, out);
		if (why->parts[i].depth == 0 && found[i].truth != TRUE_) met = false;
		sl_buf_fini(&found[i].text);
	}
	sl_free(found);
	return met;
}

/* Columns that are absent, or fail, and what in them is. */
static void explain_columns(const struct try_case *c, enum sql_dialect dialect, struct sl_buf *out) {
	struct sql_why *why = NULL;
	struct sl_err err = SL_ERR_INIT;
	const char *title = "SELECT";
	bool shown = false;
	(void)sql_why_new(c->sql, dialect, SQL_WHY_COLUMNS, &why, &err);
	for (size_t i = 0; why && i < why->count; i++) {
		const struct sql_why_part *p = &why->parts[i];
		struct found f = {.truth = UNTOLD};
		if (p->kind == SQL_WHY_CONDITION || shown) f = probe(c, p->probe);
		bool amiss = f.truth == ABSENT || f.truth == FAILED;
		if (p->kind == SQL_WHY_CONDITION) shown = amiss;
		if (amiss) {
			sl_buf_printf(out, "%-9s%*s", title, p->depth * 2, "");
			put_source(out, p->text);
			if (p->kind == SQL_WHY_CONDITION && f.truth == ABSENT) {
				sl_buf_append_str(out, dialect == SQL_AWS ? " is Undefined: the row is without it"
									  : " is absent (NULL): null in the row");
				put_neighbours(c, p, out);
			} else {
				put_value(c, p, &f, out);
			}
			sl_buf_put(out, '\n');
			title = "";
		}
		sl_buf_fini(&f.text);
	}
	sql_why_free(why);
	sl_err_fini(&err);
}

/* ---- FOREACH ------------------------------------------------------------------------------------------------------ */

/* Element i of the array that `list` is, as JSON. */
static bool element_at(struct sl_slice list, size_t i, struct sl_slice *out) {
	struct jpath_hit array, item;
	struct jscan_iter it;
	if (jscan_value(list, &array) != SL_OK || array.kind != JKIND_ARRAY || jscan_begin(&it, &array) != SL_OK)
		return false;
	for (size_t k = 0; jscan_next(&it, NULL, &item) == 1; k++) {
		if (k != i) continue;
		bool quoted = item.kind == JKIND_STRING;
		*out = slice_make(item.raw.p - quoted, item.raw.n + (quoted ? 2 : 0));
		return true;
	}
	return false;
}

static void explain_foreach(const struct try_case *c, const struct sql_why *why, struct sl_buf *out) {
	struct found list = probe(c, why->list_probe);
	struct sl_slice element, text = slice_trim(sl_buf_slice(&list.text));
	struct sql_why_part as_value = {.text = why->list_text};
	sl_buf_append_str(out, "FOREACH  ");
	put_source(out, why->list_text);
	put_value(c, &as_value, &list, out);
	if (list.truth == OTHER && text.p[0] != '[') sl_buf_append_str(out, ": no array, so there are no elements");
	sl_buf_put(out, '\n');
	for (size_t i = 0; list.truth == OTHER && why->has_incase && element_at(text, i, &element); i++) {
		struct sql_why *incase = NULL;
		struct sl_err err = SL_ERR_INIT;
		if (i == ELEMENTS_MAX) {
			sl_buf_append_str(out, "         and more elements\n");
			break;
		}
		sl_buf_printf(out, "         element %zu: ", i + 1);
		put_source(out, element);
		sl_buf_put(out, '\n');
		enum sql_dialect dialect = slice_equal_str(c->dialect, "aws") ? SQL_AWS : SQL_STANDARD;
		if (sql_why_new(c->sql, dialect, (int64_t)i, &incase, &err) == SL_OK)
			(void)explain_parts(c, incase, "INCASE", RULE_TRY_ROWS, out);
		sql_why_free(incase);
		sl_err_fini(&err);
	}
	sl_buf_fini(&list.text);
}

void why_explain(const struct try_case *c, const struct sql_program *program, enum rule_try_outcome outcome,
		 struct sl_buf *out) {
	struct sql_why *why = NULL;
	struct sl_err err = SL_ERR_INIT;
	size_t begins = out->n;
	if (!explain_from(c, program, outcome, out)) return;
	explain_payload(c, program, out);
	enum sql_dialect dialect = slice_equal_str(c->dialect, "aws") ? SQL_AWS : SQL_STANDARD;
	if (sql_why_new(c->sql, dialect, SQL_WHY_WHERE, &why, &err) == SL_OK) {
		if (why->count == 0) sl_buf_append_str(out, "WHERE    there is none\n");
		bool met = explain_parts(c, why, "WHERE", outcome, out);
		if (met && why->list_text.n) explain_foreach(c, why, out);
		if (met) explain_columns(c, dialect, out);
	}
	utf8_repair(out->p + begins, out->n - begins); /* names of the payload, and what was cut */
	sql_why_free(why);
	sl_err_fini(&err);
}
