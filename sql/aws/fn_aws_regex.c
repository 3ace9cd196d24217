/* fn_aws_regex.c: regular expressions in the aws dialect, with the habits of Java's. */
#include "aws_fn.h"
#include "sql_regex.h"

/* The text and the expression: 1; 0 for Undefined; else a status. */
static int expression(struct sql_call *c, const struct sql_value *a, uint32_t n, uint32_t want, struct sl_slice *s,
		      const struct sql_regex **re) {
	const char *why;
	int got = aws_texts(c, a, n, want, s);
	if (got <= 0) return got;
	return sql_regex_for(c, SQL_REGEX_JAVA, s[1], re, &why) == SL_OK;
}

static int fn_matches(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	struct sl_slice s[2] = {{0}};
	const struct sql_regex *re;
	struct sql_regex_match m;
	int r = expression(c, a, n, 2, s, &re);
	if (r <= 0) return r < 0 ? r : aws_undefined(out);
	r = sql_regex_find(c->vm, re, s[0], 0, 0, &m);
	*out = sql_bool(r == 1);
	return r < 0 ? r : SL_OK;
}

static int fn_substr(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	struct sl_slice s[2] = {{0}}, found;
	const struct sql_regex *re;
	struct sql_regex_match m;
	int r = expression(c, a, n, 2, s, &re);
	if (r <= 0) return r < 0 ? r : aws_undefined(out);
	r = sql_regex_find(c->vm, re, s[0], 0, 0, &m);
	if (r <= 0) return r < 0 ? r : aws_undefined(out);
	sql_regex_group(&m, s[0], 0, &found);
	*out = sql_call_bytes(found);
	return SL_OK;
}

static int fn_replace(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	struct sl_slice s[3] = {{0}};
	const struct sql_regex *re;
	int r = expression(c, a, n, 3, s, &re);
	if (r <= 0) return r < 0 ? r : aws_undefined(out);
	struct sl_buf *b = &c->vm->scratch;
	sl_buf_clear(b);
	r = sql_regex_replace(c->vm, re, s[0], s[2], true, b);
	if (r == SL_EINVAL) return aws_undefined(out); /* a group that is not there */
	return r == SL_OK ? sql_call_text(c, b, out) : r;
}

static int prepare(struct sql_call *c, const struct sql_value *const *arg, uint32_t n, void **prepared) {
	return n > 1 ? sql_regex_prepare(c, SQL_REGEX_JAVA, arg[1], prepared) : SL_OK;
}

#define UNDEFINED "when an argument is Null or Undefined, or the expression is none"
#define BOUND " An expression that tries too many ways fails the run."
#define ROW(n, f, u, d, e, x, g)                                                                                       \
	{                                                                                                              \
		.name = (n), .args = "aa?a", .call = (f), .usage = (u), .doc = d BOUND, .errors = (e), .example = (x), \
		.gives = (g), .prepare = prepare, .release = sql_regex_free                                            \
	}
static const struct sql_fn table[] = {
    ROW("regexp_matches", fn_matches, "regexp_matches(text, expression)",
	"Does the regular expression match somewhere in the text?", UNDEFINED, "regexp_matches('aaaa', 'a{2,}')",
	"true"),
    ROW("regexp_replace", fn_replace, "regexp_replace(text, expression, by)",
	"All matches replaced; in the replacement $1 is the first group, ${name} a named one and \\$ a dollar.",
	UNDEFINED ", or the replacement speaks of a group that is not there",
	"regexp_replace('k=v', '(.)=(.)', '$2=$1')", "\"v=k\""),
    ROW("regexp_substr", fn_substr, "regexp_substr(text, expression)", "The first match.",
	UNDEFINED ", or nothing matches", "regexp_substr('hihihello', '(hi)*')", "\"hihi\""),
};
const struct sql_fn_family aws_fn_regex = {"Regular expressions", table, SL_ARRAY_LEN(table), SQL_AWS};
