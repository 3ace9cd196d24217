/* emqx_template.c: see emqx_template.h. */
#include "emqx_template.h"

#include "buf.h"

struct rewrite {
	struct import *imp;
	struct import_rule *rule;
	const char *action;
	enum emqx_absent absent;
	struct sl_buf out;
	bool dollar; /* the last thing written is a literal dollar, held back */
};

static void flush_dollar(struct rewrite *w, bool before_brace) {
	if (w->dollar) sl_buf_append_str(&w->out, before_brace ? "$$" : "$");
	w->dollar = false;
}

static void put_literal(struct rewrite *w, char c) {
	flush_dollar(w, c == '{');
	if (c == '$')
		w->dollar = true;
	else
		sl_buf_put(&w->out, c);
}

static void put_expression(struct rewrite *w, struct sl_slice expression) {
	if (w->dollar) { /* "$${" would be read as an escape */
		w->dollar = false;
		sl_buf_append_str(&w->out, "${'$'}");
	}
	sl_buf_append_str(&w->out, "${");
	sl_buf_append_slice(&w->out, expression);
	sl_buf_put(&w->out, '}');
}

static bool compiles(struct rewrite *w, struct sl_slice expression) {
	struct sl_buf text = SL_BUF_INIT;
	struct sql_template *t = NULL;
	sl_buf_printf(&text, "${%.*s}", SL_SLICE_ARG(expression));
	int rc = sql_template_compile(sl_buf_slice(&text), w->rule->compiled->program, SQL_TO_VALUE, &t, NULL);
	sql_template_free(t);
	sl_buf_fini(&text);
	return rc == SL_OK;
}

/* a.b.c as it is or, where a part is no word of ours, a.'b'.'c'. */
static struct sl_slice quoted_path(struct rewrite *w, struct sl_slice path) {
	struct sl_buf text = SL_BUF_INIT;
	struct sl_slice rest = path;
	sl_buf_append_slice(&text, slice_next_part(&rest, '.'));
	while (rest.p) {
		struct sl_slice part = slice_next_part(&rest, '.');
		sl_buf_printf(&text, ".'%.*s'", SL_SLICE_ARG(part));
	}
	struct sl_slice made = sl_arena_dup(&w->imp->arena, sl_buf_slice(&text));
	sl_buf_fini(&text);
	return made;
}

static const char *absent_words(const struct rewrite *w) {
	switch (w->absent) {
	case EMQX_ABSENT_WORD: return "'undefined'";
	case EMQX_ABSENT_EMPTY: return "nothing";
	case EMQX_ABSENT_NULL: break;
	}
	return "NULL";
}

static void put_absent(struct rewrite *w) {
	if (w->absent == EMQX_ABSENT_NULL) put_expression(w, SL_SLICE_LIT("null"));
	for (const char *p = w->absent == EMQX_ABSENT_WORD ? "undefined" : ""; *p; p++) put_literal(w, *p);
}

static void put_name(struct rewrite *w, struct sl_slice path) {
	struct sl_slice rest = path, first = slice_next_part(&rest, '.');
	struct sl_slice expression = compiles(w, path) ? path : quoted_path(w, path);
	bool selected = import_rule_gives(w->rule, first), works = compiles(w, expression);
	if (works && !selected) {
		import_note(w->imp, w->rule, IMPORT_MAPPING, w->action,
			    "${%.*s} is not selected: EMQX writes %s, here it is the message's; select it, or take it "
			    "out",
			    SL_SLICE_ARG(path), absent_words(w));
	} else if (!works && !selected) {
		import_note(w->imp, w->rule, IMPORT_MAPPING, w->action,
			    "nothing is called ${%.*s}: EMQX writes %s, and so does this; select it, or take it out",
			    SL_SLICE_ARG(path), absent_words(w));
		put_absent(w);
		return;
	}
	put_expression(w, expression);
}

static bool is_name(struct sl_slice s) {
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool fine =
		    (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
		if (!fine) return false;
	}
	return s.n > 0;
}

/* "${pub_props.'User-Property'.x}": EMQX has it where a quoted part is allowed; ours is the same. */
static bool is_quoted_name(struct rewrite *w, struct sl_slice s) {
	return slice_find_byte(s, '\'') > 0 && slice_find_byte(s, '{') < 0 && compiles(w, s);
}

static void put_placeholder(struct rewrite *w, struct sl_slice whole, struct sl_slice inside) {
	if (inside.n == 1 && inside.p[0] == '$') {
		put_literal(w, '$');
	} else if (inside.n == 0 || (inside.n == 1 && inside.p[0] == '.')) {
		put_expression(w, SL_SLICE_LIT("."));
	} else if (is_name(inside)) {
		put_name(w, inside.p[0] == '.' ? slice_from(inside, 1) : inside);
	} else if (is_quoted_name(w, inside)) {
		put_expression(w, inside);
	} else {
		for (size_t i = 0; i < whole.n; i++) put_literal(w, whole.p[i]);
	}
}

const char *emqx_template(struct import *imp, struct import_rule *rule, const char *action, const char *text) {
	return emqx_template_absent(imp, rule, action, text, EMQX_ABSENT_WORD);
}

const char *emqx_template_absent(struct import *imp, struct import_rule *rule, const char *action, const char *text,
				 enum emqx_absent absent) {
	struct rewrite w = {.imp = imp, .rule = rule, .action = action, .absent = absent};
	for (struct sl_slice rest = slice_from_str(text); rest.n;) {
		ptrdiff_t end = slice_starts_with(rest, SL_SLICE_LIT("${")) ? slice_find_byte(rest, '}') : -1;
		if (end < 0) {
			put_literal(&w, rest.p[0]);
			rest = slice_from(rest, 1);
		} else {
			struct sl_slice whole = slice_sub(rest, 0, (size_t)end + 1);
			put_placeholder(&w, whole, slice_sub(whole, 2, whole.n - 3));
			rest = slice_from(rest, whole.n);
		}
	}
	flush_dollar(&w, false);
	const char *made = sl_arena_strdup(&imp->arena, sl_buf_slice(&w.out));
	sl_buf_fini(&w.out);
	return made;
}
