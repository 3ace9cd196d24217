/* fn_regex.c: regular expressions of the standard dialect; sql_regex.h says what they may cost. */
#include "sql_regex.h"
#include "sql_vm.h"

static int prepare(struct sql_call *c, const struct sql_value *const *arg, uint32_t n, void **prepared) {
	(void)n;
	return sql_regex_prepare(c, SQL_REGEX_STANDARD, arg[1], prepared);
}

static int expression(struct sql_call *c, const struct sql_value *pattern, const struct sql_regex **re) {
	const char *why;
	int r = sql_regex_for(c, SQL_REGEX_STANDARD, sql_value_text(pattern), re, &why);
	return r == SL_ESYNTAX ? sql_call_fail(c, "%s", why) : r;
}

static int fn_match(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	const struct sql_regex *re;
	struct sql_regex_match m;
	int r = expression(c, &a[1], &re);
	if (r != SL_OK) return r;
	r = sql_regex_find(c->vm, re, sql_value_text(&a[0]), 0, 0, &m);
	if (r < 0) return r;
	*out = sql_bool(r == 1);
	return SL_OK;
}

static int fn_replace(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	const struct sql_regex *re;
	struct sl_buf *b = &c->vm->scratch;
	int r = expression(c, &a[1], &re);
	if (r != SL_OK) return r;
	sl_buf_clear(b);
	r = sql_regex_replace(c->vm, re, sql_value_text(&a[0]), sql_value_text(&a[2]), true, b);
	if (r != SL_OK) return r;
	r = sql_call_text(c, b, out);
	if (r == SL_OK && a[0].kind == SQL_BYTES) *out = sql_call_bytes(sql_value_text(out));
	return r;
}

/* Groups behind the last one that took part are left out, those before it that did not are empty. */
static int fn_extract(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	const struct sql_regex *re;
	struct sql_regex_match m = {.groups = 0};
	struct sl_slice text = sql_value_text(&a[0]);
	int r = expression(c, &a[1], &re);
	if (r == SL_OK) r = sql_regex_find(c->vm, re, text, 0, 0, &m);
	if (r < 0) return r;
	uint32_t count = r == 1 && m.groups > 1 ? m.groups - 1 : 0;
	if ((r = sql_vm_made(c->vm, count * sizeof *a)) != SL_OK) return r;
	struct sql_list *l = sql_call_list(c, count);
	for (uint32_t i = 0; i < count; i++) {
		struct sl_slice group;
		if (!sql_regex_group(&m, text, i + 1, &group)) group = slice_make("", 0);
		l->at[i] = sql_call_bytes(group);
	}
	*out = (struct sql_value){.kind = SQL_LIST, .list = l};
	return SL_OK;
}

#define LIMITS                                                                                                         \
	"when the pattern is none (a constant one when the rule is made), or when matching takes more steps, depth "   \
	"or time "                                                                                                     \
	"than it is allowed"

static const struct sql_fn table[] = {
    {.name = "regex_match",
     .args = "ss",
     .call = fn_match,
     .prepare = prepare,
     .release = sql_regex_free,
     .usage = "regex_match(text, pattern)",
     .doc = "Does the regular expression (PCRE) match anywhere in the text?",
     .errors = LIMITS,
     .example = "regex_match('abc123', '[0-9]+$')",
     .gives = "true"},
    {.name = "regex_replace",
     .args = "sss",
     .call = fn_replace,
     .prepare = prepare,
     .release = sql_regex_free,
     .usage = "regex_replace(text, pattern, by)",
     .doc = "All matches replaced; & stands for the match, \\1 for its first group, \\& for an &.",
     .errors = LIMITS,
     .example = "regex_replace('k=v', '(\\w)=(\\w)', '\\2=\\1')",
     .gives = "\"v=k\""},
    {.name = "regex_extract",
     .args = "ss",
     .call = fn_extract,
     .prepare = prepare,
     .release = sql_regex_free,
     .usage = "regex_extract(text, pattern)",
     .doc = "The groups of the first match, as an array; empty when nothing matches or the pattern has no group.",
     .errors = LIMITS,
     .example = "regex_extract('t=21 C', '(\\d+) (\\w)')",
     .gives = "[\"21\",\"C\"]"},
};
const struct sql_fn_family sql_fn_regex = {"Regular expressions", table, SL_ARRAY_LEN(table), SQL_STANDARD};
