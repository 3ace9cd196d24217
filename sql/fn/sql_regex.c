/* sql_regex.c: PCRE2 with limits, and a small cache of patterns; see sql_regex.h. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "sql_regex.h"

#include "clock.h"
#include "hash.h"
#include "mem.h"
#include "sql_vm.h"

enum {
	STEPS_MIN = 200000, /* of matching, whatever the text, */
	STEPS_PER_BYTE = 8, /* and more for long ones */
	DEPTH_MAX = 10000,
	HEAP_KB_MAX = 4096,
	CLOCK_EVERY = 16, /* matches between two looks at the clock */
};

struct sql_regex {
	pcre2_code *code;
	uint32_t groups;
	enum sql_regex_flavour flavour;
};

struct cached {
	uint64_t hash;
	char *pattern;
	size_t n;
	enum sql_regex_flavour flavour;
	struct sql_regex *re; /* NULL: no pattern, */
	char *why;            /* for this reason */
	uint64_t used;
};
struct sql_regex_state {
	pcre2_match_data *match;
	pcre2_match_context *limits;
	struct cached cached[SQL_REGEX_CACHED];
	uint64_t now; /* counts uses */
};

/* ---- compiling ---- */

static pcre2_compile_context *compile_context(enum sql_regex_flavour flavour) {
	pcre2_compile_context *c = pcre2_compile_context_create(NULL);
	sl_assert(c);
	pcre2_set_max_pattern_length(c, SQL_REGEX_PATTERN_MAX);
	pcre2_set_newline(c, flavour == SQL_REGEX_JAVA ? PCRE2_NEWLINE_ANYCRLF : PCRE2_NEWLINE_LF);
	return c;
}

int sql_regex_new(enum sql_regex_flavour flavour, struct sl_slice pattern, struct sql_regex **out, struct sl_err *err) {
	*out = NULL;
	if (pattern.n > SQL_REGEX_PATTERN_MAX)
		return sl_err_set(err, SL_ELIMIT, "a regular expression has at most %d bytes, this one has %zu",
				  SQL_REGEX_PATTERN_MAX, pattern.n);
	pcre2_compile_context *context = compile_context(flavour);
	int number;
	size_t at;
	pcre2_code *code =
	    pcre2_compile((PCRE2_SPTR)(pattern.p ? pattern.p : ""), pattern.n,
			  PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C, &number, &at, context);
	pcre2_compile_context_free(context);
	if (!code) {
		PCRE2_UCHAR text[256];
		pcre2_get_error_message(number, text, sizeof text);
		return sl_err_set(err, SL_ESYNTAX, "this is no regular expression: %s (at character %zu of it)",
				  (const char *)text, at);
	}
	struct sql_regex *re = SL_NEW(struct sql_regex);
	re->code = code;
	re->flavour = flavour;
	pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &re->groups);
	*out = re;
	return SL_OK;
}

void sql_regex_free(void *regex) {
	struct sql_regex *re = regex;
	if (!re) return;
	pcre2_code_free(re->code);
	sl_free(re);
}

uint32_t sql_regex_groups(const struct sql_regex *re) { return re->groups; }

int sql_regex_prepare(struct sql_call *c, enum sql_regex_flavour flavour, const struct sql_value *pattern,
		      void **prepared) {
	struct sql_regex *re = NULL;
	struct sl_err err = SL_ERR_INIT;
	if (!pattern || !sql_is_text(pattern)) return SL_OK;
	int r = sql_regex_new(flavour, sql_value_text(pattern), &re, &err);
	if (r != SL_OK) {
		r = flavour == SQL_REGEX_JAVA ? SL_OK : sql_call_fail(c, "%s", sl_err_text(&err));
		sl_err_fini(&err);
		return r;
	}
	/* A system may forbid to make machine code; then the pattern is interpreted. */
	(void)pcre2_jit_compile(re->code, PCRE2_JIT_COMPLETE);
	*prepared = re;
	return SL_OK;
}

/* ---- the state of a vm ---- */

static struct sql_regex_state *state_of(struct sql_vm *vm) {
	if (sl_likely(vm->regex != NULL)) return vm->regex;
	struct sql_regex_state *s = SL_NEW(struct sql_regex_state);
	s->match = pcre2_match_data_create(SQL_REGEX_GROUPS_MAX, NULL);
	s->limits = pcre2_match_context_create(NULL);
	sl_assert(s->match && s->limits);
	pcre2_set_depth_limit(s->limits, DEPTH_MAX);
	pcre2_set_heap_limit(s->limits, HEAP_KB_MAX);
	return vm->regex = s;
}

static void forget(struct cached *e) {
	sql_regex_free(e->re);
	sl_free(e->pattern);
	sl_free(e->why);
	*e = (struct cached){0};
}

void sql_regex_state_free(struct sql_regex_state *s) {
	if (!s) return;
	for (size_t i = 0; i < SL_ARRAY_LEN(s->cached); i++) forget(&s->cached[i]);
	pcre2_match_data_free(s->match);
	pcre2_match_context_free(s->limits);
	sl_free(s);
}

/* A short pattern may stand for much code: what compiling cost is taken from the run's steps. */
static void charge_compiling(struct sql_vm *vm, const struct sql_regex *re) {
	size_t size = 1 << 14; /* refused patterns end soon */
	if (re) pcre2_pattern_info(re->code, PCRE2_INFO_SIZE, &size);
	sql_vm_charge(vm, 1000 + size / 16);
}

static struct cached *look_up(struct sql_vm *vm, struct sql_regex_state *s, enum sql_regex_flavour flavour,
			      struct sl_slice pattern) {
	uint64_t hash = sl_hash(pattern);
	struct cached *oldest = &s->cached[0];
	for (size_t i = 0; i < SL_ARRAY_LEN(s->cached); i++) {
		struct cached *e = &s->cached[i];
		if (e->pattern && e->hash == hash && e->flavour == flavour &&
		    slice_equal(slice_make(e->pattern, e->n), pattern))
			return e;
		if (e->used < oldest->used) oldest = e;
	}
	struct sl_err err = SL_ERR_INIT;
	struct sql_regex *re;
	sql_regex_new(flavour, pattern, &re, &err);
	charge_compiling(vm, re);
	forget(oldest);
	*oldest =
	    (struct cached){.hash = hash, .pattern = slice_dup(pattern), .n = pattern.n, .flavour = flavour, .re = re};
	if (!re) oldest->why = sl_strdup(sl_err_text(&err));
	sl_err_fini(&err);
	return oldest;
}

int sql_regex_for(struct sql_call *c, enum sql_regex_flavour flavour, struct sl_slice pattern,
		  const struct sql_regex **out, const char **why) {
	if (sl_likely(c->prepared != NULL)) {
		*out = c->prepared;
		return SL_OK;
	}
	struct sql_regex_state *s = state_of(c->vm);
	*out = NULL;
	if (pattern.n > SQL_REGEX_PATTERN_MAX) { /* not worth a place in the cache */
		*why = "a regular expression of this length is not taken";
		return SL_ESYNTAX;
	}
	struct cached *e = look_up(c->vm, s, flavour, pattern);
	e->used = ++s->now;
	*out = e->re;
	*why = e->why;
	return e->re ? SL_OK : SL_ESYNTAX;
}

/* ---- matching ---- */

/* A run that matches many times within the limits of each may still take long in all. */
static int check_time(struct sql_vm *vm) {
	if (vm->regex_calls++ % CLOCK_EVERY) return SL_OK;
	uint64_t now = sl_clock_mono_ms();
	if (vm->regex_calls == 1) vm->regex_since = now;
	if (now - vm->regex_since <= SQL_REGEX_MS_MAX) return SL_OK;
	return sql_vm_fail(vm, SL_ELIMIT, "the run has matched regular expressions for more than %d ms",
			   SQL_REGEX_MS_MAX);
}

static int match_failed(struct sql_vm *vm, int r) {
	switch (r) {
	case PCRE2_ERROR_MATCHLIMIT:
	case PCRE2_ERROR_DEPTHLIMIT:
	case PCRE2_ERROR_HEAPLIMIT:
	case PCRE2_ERROR_JIT_STACKLIMIT:
	case PCRE2_ERROR_RECURSELOOP:
		return sql_vm_fail(vm, SL_ELIMIT,
				   "the regular expression tries too many ways to match this text; write it without "
				   "nested repetition, such as (a+)+");
	}
	PCRE2_UCHAR text[256];
	pcre2_get_error_message(r, text, sizeof text);
	return sql_vm_fail(vm, SL_EINVAL, "the regular expression failed: %s", (const char *)text);
}

int sql_regex_find(struct sql_vm *vm, const struct sql_regex *re, struct sl_slice text, size_t from, unsigned flags,
		   struct sql_regex_match *m) {
	struct sql_regex_state *s = state_of(vm);
	int r = check_time(vm);
	if (r != SL_OK) return r;
	pcre2_set_match_limit(s->limits, (uint32_t)sl_min_size(STEPS_MIN + text.n * STEPS_PER_BYTE, 100 * STEPS_MIN));
	uint32_t options = flags & SQL_REGEX_REST ? PCRE2_NOTEMPTY_ATSTART | PCRE2_ANCHORED : 0;
	PCRE2_SPTR subject = (PCRE2_SPTR)(text.p ? text.p : "");
	r = pcre2_match(re->code, subject, text.n, from, options, s->match, s->limits);
	if (r == PCRE2_ERROR_JIT_STACKLIMIT) /* the interpreter has more room */
		r = pcre2_match(re->code, subject, text.n, from, options | PCRE2_NO_JIT, s->match, s->limits);
	if (r == PCRE2_ERROR_NOMATCH) return 0;
	if (r < 0) return match_failed(vm, r);
	m->ends = pcre2_get_ovector_pointer(s->match);
	m->groups = r ? (uint32_t)r : SQL_REGEX_GROUPS_MAX; /* 0: there were more */
	return 1;
}

bool sql_regex_group(const struct sql_regex_match *m, struct sl_slice text, uint32_t group, struct sl_slice *out) {
	*out = SL_SLICE_EMPTY;
	if (group >= m->groups || m->ends[2 * group] == PCRE2_UNSET) return false;
	size_t a = m->ends[2 * group], b = m->ends[2 * group + 1];
	*out = slice_sub(text, a, b > a ? b - a : 0); /* \K can turn them round */
	return true;
}

/* ---- replacing ---- */

static bool digit(char c) { return c >= '0' && c <= '9'; }

static void put_group(const struct sql_regex_match *m, struct sl_slice text, uint32_t group, struct sl_buf *out) {
	struct sl_slice g;
	if (sql_regex_group(m, text, group, &g)) sl_buf_append_slice(out, g);
}

/* $1 (as many digits as still name a group) or ${name}; `by` begins behind the dollar. */
static int dollar(const struct sql_regex *re, const struct sql_regex_match *m, struct sl_slice text,
		  struct sl_slice *by, struct sl_buf *out) {
	uint32_t group = 0;
	if (by->n > 1 && by->p[0] == '{') {
		ptrdiff_t end = slice_find_byte(*by, '}');
		char name[33];
		if (end < 2 || end - 1 >= (ptrdiff_t)sizeof name) return SL_EINVAL;
		memcpy(name, by->p + 1, (size_t)end - 1);
		name[end - 1] = '\0';
		int number = pcre2_substring_number_from_name(re->code, (PCRE2_SPTR)name);
		if (number < 0) return SL_EINVAL;
		group = (uint32_t)number;
		*by = slice_from(*by, (size_t)end + 1);
	} else {
		if (by->n == 0 || !digit(by->p[0])) return SL_EINVAL;
		size_t n = 0;
		while (n < by->n && digit(by->p[n])) {
			uint32_t more = group * 10 + (uint32_t)(by->p[n] - '0');
			if (more > re->groups && n > 0) break;
			group = more;
			n++;
		}
		if (group > re->groups) return SL_EINVAL;
		*by = slice_from(*by, n);
	}
	put_group(m, text, group, out);
	return SL_OK;
}

static int expand_java(const struct sql_regex *re, const struct sql_regex_match *m, struct sl_slice text,
		       struct sl_slice by, struct sl_buf *out) {
	while (by.n) {
		char c = by.p[0];
		by = slice_from(by, 1);
		if (c == '$') {
			int r = dollar(re, m, text, &by, out);
			if (r != SL_OK) return r;
			continue;
		}
		if (c == '\\') {
			if (by.n == 0) return SL_EINVAL;
			c = by.p[0];
			by = slice_from(by, 1);
		}
		sl_buf_put(out, c);
	}
	return SL_OK;
}

/* \1 or \g1 or \g{1}; `by` begins behind the backslash. False: something else. */
static bool backslash(const struct sql_regex_match *m, struct sl_slice text, struct sl_slice *by, struct sl_buf *out) {
	struct sl_slice s = *by;
	bool g = s.n && s.p[0] == 'g';
	if (g) s = slice_from(s, 1);
	bool brace = g && s.n && s.p[0] == '{';
	if (brace) s = slice_from(s, 1);
	uint32_t group = 0;
	size_t n = 0;
	for (; n < s.n && n < 4 && digit(s.p[n]); n++) group = group * 10 + (uint32_t)(s.p[n] - '0');
	if (n == 0 || (brace && (n == s.n || s.p[n] != '}'))) return false;
	put_group(m, text, group, out);
	*by = slice_from(s, n + brace);
	return true;
}

static int expand_standard(const struct sql_regex_match *m, struct sl_slice text, struct sl_slice by,
			   struct sl_buf *out) {
	while (by.n) {
		char c = by.p[0];
		by = slice_from(by, 1);
		if (c == '&') {
			put_group(m, text, 0, out);
			continue;
		}
		if (c == '\\' && by.n) {
			if (backslash(m, text, &by, out)) continue;
			if (by.p[0] == '&' || by.p[0] == '\\') {
				c = by.p[0];
				by = slice_from(by, 1);
			}
		}
		sl_buf_put(out, c);
	}
	return SL_OK;
}

static size_t character_at(struct sl_slice text, size_t at) {
	size_t n = 1;
	while (at + n < text.n && ((uint8_t)text.p[at + n] & 0xc0) == 0x80) n++;
	return n;
}

int sql_regex_replace(struct sql_vm *vm, const struct sql_regex *re, struct sl_slice text, struct sl_slice by, bool all,
		      struct sl_buf *out) {
	size_t from = 0, done = 0, first = out->n;
	unsigned flags = 0;
	for (;;) {
		struct sql_regex_match m;
		int r = sql_regex_find(vm, re, text, from, flags, &m);
		if (r < 0) return r;
		if (r == 0 && flags == 0) break;
		if (r == 0) { /* nothing longer where an empty match was: on by a character */
			flags = 0;
			if (from >= text.n) break;
			from += character_at(text, from);
			continue;
		}
		struct sl_slice whole;
		sql_regex_group(&m, text, 0, &whole);
		size_t at = sl_max_size(sl_min_size(m.ends[0], m.ends[1]), done), end = at + whole.n;
		sl_buf_append_slice(out, slice_sub(text, done, at - done));
		r = re->flavour == SQL_REGEX_JAVA ? expand_java(re, &m, text, by, out)
						  : expand_standard(&m, text, by, out);
		if (r != SL_OK) return r;
		if (out->n - first > SQL_TEXT_MAX)
			return sql_vm_fail(vm, SL_ELIMIT, "a text would exceed %d MB", SQL_TEXT_MAX >> 20);
		done = from = sl_min_size(end, text.n);
		if (!all) break;
		flags = 0;
		if (whole.n) continue;
		if (re->flavour == SQL_REGEX_STANDARD) {
			flags = SQL_REGEX_REST;
		} else { /* Java goes on behind the next character */
			if (from >= text.n) break;
			from += character_at(text, from);
		}
	}
	sl_buf_append_slice(out, slice_from(text, done));
	return SL_OK;
}
