/* sql_parse.c: drives lexer and grammar, and says in people's words what went wrong. */
#include "sql_parse.h"

#include "mem.h"
#include "sql_grammar.h"
#include "utf8.h"

/* Made by lemon. */
void *sql_grammarAlloc(void *(*alloc)(size_t), struct sql_parse *p);
void sql_grammarFree(void *parser, void (*release)(void *));
void sql_grammar(void *parser, int kind, struct sql_token token);

void sql_place(struct sl_slice text, size_t at, uint32_t *line, uint32_t *column) {
	*line = 1;
	size_t start = 0;
	for (size_t i = 0; i < at && i < text.n; i++) {
		if (text.p[i] != '\n') continue;
		++*line;
		start = i + 1;
	}
	*column = (uint32_t)(at - start + 1);
}

int sql_front_fail(struct sql_front *f, uint32_t at, int status, const char *fmt, ...) {
	if (f->status != SL_OK) return f->status;
	f->status = status;
	va_list ap;
	va_start(ap, fmt);
	sl_err_setv(f->err, status, fmt, ap);
	va_end(ap);
	uint32_t line, column;
	sql_place(f->whole, f->offset + at, &line, &column);
	sl_err_at(f->err, NULL, line, column);
	return status;
}

/* How the tokens are called in messages. Those without a row never appear one by one. */
static const struct sql_token_name token_names[] = {
    {SQL_TK_AS, "AS", true, false},
    {SQL_TK_COMMA, "','", false, false},
    {SQL_TK_SELECT, "SELECT", true, false},
    {SQL_TK_FOREACH, "FOREACH", true, false},
    {SQL_TK_DO, "DO", true, false},
    {SQL_TK_INCASE, "INCASE", true, false},
    {SQL_TK_FROM, "FROM", true, false},
    {SQL_TK_WHERE, "WHERE", true, false},
    {SQL_TK_GROUP, "GROUP BY", true, false},
    {SQL_TK_BY, "BY", true, false},
    {SQL_TK_HAVING, "HAVING", true, false},
    {SQL_TK_WHEN, "WHEN", true, false},
    {SQL_TK_THEN, "THEN", true, false},
    {SQL_TK_ELSE, "ELSE", true, false},
    {SQL_TK_END, "END", true, false},
    {SQL_TK_RP, "')'", false, false},
    {SQL_TK_RB, "']'", false, false},
    {SQL_TK_DOTDOT, "'..'", false, false},
    {0, "the end", false, false},
};

static bool topic_byte(char c) { return (unsigned char)c > ' ' && !strchr("\"',;()", c); }

/* The token is in what stands behind FROM without quotes, and has what names do not have and topic filters do. */
static bool bare_topic(const struct sql_parse *p, const struct sql_token *token) {
	struct sl_slice text = p->front->text;
	size_t from = token->at, end = token->at;
	while (from > 0 && topic_byte(text.p[from - 1])) from--;
	while (end < text.n && topic_byte(text.p[end])) end++;
	struct sl_slice word = slice_sub(text, from, end - from), before = slice_trim(slice_make(text.p, from));
	return before.n > 4 && before.n < from &&
	       slice_equal_nocase(slice_sub(before, before.n - 4, 4), SL_SLICE_LIT("from")) &&
	       (unsigned char)before.p[before.n - 5] <= ' ' &&
	       (slice_find_byte(word, '/') >= 0 || slice_find_byte(word, '+') >= 0);
}

static const char *advice(const struct sql_parse *p, int found, const struct sql_token *token, const bool *accepted) {
	if (found == SQL_TK_ID && accepted[SQL_TK_SELECT] && slice_equal_nocase(token->text, SL_SLICE_LIT("set")))
		return "SET belongs to the aws dialect: write `dialect: aws` beside the rule's sql";
	if (bare_topic(p, token)) return "a topic filter stands in quotes, such as FROM \"plant/+/data\"";
	uint32_t name = p->previous.at;
	if (found == SQL_TK_LP && p->previous_kind == SQL_TK_ID && name > 0 && p->front->text.p[name - 1] == '.')
		return "a function's name has no dot: Erlang modules of EMQX cannot be called here; `sluice help "
		       "functions` lists what can";
	return NULL;
}

const struct sql_tongue sql_tongue_standard = {
    .lex = sql_lex,
    .alloc = sql_grammarAlloc,
    .release = sql_grammarFree,
    .feed = sql_grammar,
    .begins = "SELECT or FOREACH",
    .names = token_names,
    SQL_TONGUE_TOKENS(SQL_TK_),
    .text = SQL_TK_STRING,
    .last_comparison = SQL_TK_MATCH,
    .advice = advice,
};

struct sl_slice sql_unquote(struct sl_arena *arena, struct sl_slice raw, char quote) {
	if (slice_find_byte(raw, quote) < 0) return raw;
	char *out = sl_arena_alloc(arena, raw.n);
	size_t n = 0;
	for (size_t i = 0; i < raw.n; i++) {
		out[n++] = raw.p[i];
		if (raw.p[i] == quote) i++;
	}
	return slice_make(out, n);
}

struct expected {
	struct sl_buf text;
	unsigned n;
	const char *pending; /* the last one is joined by "or" */
};

static void expect(struct expected *e, const char *what) {
	if (e->pending) {
		if (e->n > 1) sl_buf_append_str(&e->text, ", ");
		sl_buf_append_str(&e->text, e->pending);
	}
	e->pending = what;
	e->n++;
}

/* Groups what could have stood here: an expression, an operator, a name, then the words one by one. */
static void list_expected(struct expected *e, const struct sql_tongue *t, const bool *ok) {
	bool operand = ok[t->whole] && ok[t->lp];
	bool alias = ok[t->as];
	if (operand) expect(e, "an expression");
	if (ok[t->star] && operand && ok[t->not_] && !ok[t->slash]) expect(e, "'*'");
	/* An error may be seen after the operands around it were joined: then AND and OR alone still speak for all. */
	if ((ok[t->plus] || ok[t->or_]) && !operand) expect(e, "an operator");
	if (ok[t->null] && !operand) expect(e, "NULL");
	if (ok[t->text] && !operand && !ok[t->whole]) expect(e, "a topic filter in quotes");
	if (ok[t->whole] && !operand) expect(e, "the name of a member");
	if (ok[t->name] && !operand && !alias && !ok[t->text]) expect(e, "a name");
	const struct sql_token_name *n = t->names;
	for (; n->token; n++)
		if (ok[n->token] && !(n->name_too && ok[t->name])) expect(e, n->name);
	if (ok[0]) expect(e, n->name);
	if (e->n > 1) sl_buf_append_str(&e->text, " or ");
	if (e->pending) sl_buf_append_str(&e->text, e->pending);
}

static const char *nearest_keyword(const struct sql_tongue *t, struct sl_slice word, const bool *ok) {
	const char *names[32];
	size_t n = 0;
	for (const struct sql_token_name *k = t->names; k->token; k++)
		if (k->keyword && ok[k->token] && n < SL_ARRAY_LEN(names)) names[n++] = k->name;
	/* FORM is two edits from FROM, but one slip of the fingers. */
	static const char from[] = "FROM";
	if (ok[t->from] && slice_equal_nocase(word, SL_SLICE_LIT("form"))) return from;
	return slice_nearest(word, names, n);
}

void sql_parse_unexpected(struct sql_parse *p, int found, const struct sql_token *token, const bool *accepted,
			  size_t count) {
	(void)count;
	const struct sql_tongue *t = p->tongue;
	const char *advice = t->advice ? t->advice(p, found, token, accepted) : NULL;
	if (advice) {
		sql_front_fail(p->front, token->at, SL_ESYNTAX, "%s", advice);
		return;
	}
	if (found >= t->first_comparison && found <= t->last_comparison && token->at == p->previous.end &&
	    p->previous_kind >= t->first_comparison && p->previous_kind <= t->last_comparison) {
		sql_front_fail(p->front, p->previous.at, SL_ESYNTAX,
			       "'%.*s' is no comparison; there are =, !=, <>, <, <=, > and >=",
			       SL_SLICE_ARG(slice_sub(p->front->text, p->previous.at, token->end - p->previous.at)));
		return;
	}
	if (found >= t->first_comparison && found <= t->last_comparison && accepted[t->plus] &&
	    !accepted[t->first_comparison]) {
		sql_front_fail(p->front, token->at, SL_ESYNTAX,
			       "comparisons do not chain; put one of them in parentheses or join two with AND");
		return;
	}
	struct expected e = {.n = 0};
	list_expected(&e, p->tongue, accepted);
	const char *text = sl_buf_cstr(&e.text);
	const char *near = found == t->name ? nearest_keyword(t, token->text, accepted) : NULL;
	if (near) {
		sql_front_fail(p->front, token->at, SL_ESYNTAX, "unexpected '%.*s', expected %s; did you mean %s?",
			       SL_SLICE_ARG(token->text), text, near);
	} else if (p->previous_kind == t->name && (near = nearest_keyword(t, p->previous.text, accepted))) {
		/* `SELECT a FORM 't'`: the misspelt word went for an alias; the error is seen one token later. */
		sql_front_fail(p->front, p->previous.at, SL_ESYNTAX,
			       "'%.*s' stands here as a name, and after it was expected %s; did you mean %s?",
			       SL_SLICE_ARG(p->previous.text), text, near);
	} else if (found == 0) {
		sql_front_fail(p->front, token->at, SL_ESYNTAX, "the text ends here, expected %s", text);
	} else {
		struct sl_slice shown = slice_sub(p->front->text, token->at, sl_min_size(token->end - token->at, 40));
		sql_front_fail(p->front, token->at, SL_ESYNTAX, "unexpected %.*s, expected %s", SL_SLICE_ARG(shown),
			       text);
	}
	sl_buf_fini(&e.text);
}

/* What word processors and web pages put in the place of other characters. Letters of some languages are as odd, so that
 * these few are named instead of those that may be in a name. */
static const char *stray(uint32_t c) {
	if ((c >= 0x2018 && c <= 0x201f) || c == 0xab || c == 0xbb) return "is a typographic quote; write ' or \"";
	if (c == 0xa0 || (c >= 0x2000 && c <= 0x200a) || c == 0x202f || c == 0x3000)
		return "is not the blank it looks like; write a plain one";
	if ((c >= 0x2010 && c <= 0x2015) || c == 0x2212) return "is a dash; write - for minus";
	return c == 0x200b || c == 0x2060 || c == 0xfeff ? "is here, which cannot be seen; take it out" : NULL;
}

static void check_strays(struct sql_front *f, const struct sql_token *token) {
	size_t n, at = token->at;
	for (; at < token->end; at += n) {
		uint32_t c = utf8_decode(slice_from(f->text, at), &n);
		const char *what = c < 0x80 ? NULL : stray(c);
		if (what) sql_front_fail(f, (uint32_t)at, SL_ESYNTAX, "U+%04X %s", c, what);
		if (what) return;
	}
}

static void *parser_alloc(size_t n) { return sl_alloc(n); }

static void run(struct sql_parse *p, int first) {
	struct sql_front *f = p->front;
	const struct sql_tongue *t = p->tongue;
	if (!utf8_valid(f->text)) {
		sql_front_fail(f, 0, SL_EMALFORMED, "the text is not valid UTF-8");
		return;
	}
	struct sql_lexer lexer = {.front = f, .at = f->text.p, .brackets = first ? 1 : 0};
	struct sql_token token = {0};
	void *parser = t->alloc(parser_alloc, p);
	if (first) t->feed(parser, first, token);
	int kind;
	do {
		kind = t->lex(&lexer, &token);
		if (kind < 0) break;
		char first_char = token.at < f->text.n ? f->text.p[token.at] : '\0';
		if ((kind == t->name || kind == t->text) && first_char != '\'' && first_char != '"')
			check_strays(f, &token);
		if (f->status != SL_OK) break;
		t->feed(parser, kind, token);
		p->previous = token;
		p->previous_kind = kind;
	} while (kind != 0 && f->status == SL_OK);
	t->release(parser, sl_free);
}

static const struct sql_tongue *tongue_of(const struct sql_front *f) {
	return f->dialect == SQL_AWS ? &sql_tongue_aws : &sql_tongue_standard;
}

struct sql_statement *sql_parse(struct sql_front *f) {
	struct sql_parse p = {.front = f, .tongue = tongue_of(f)};
	if (slice_trim(f->text).n == 0) {
		sql_front_fail(f, 0, SL_ESYNTAX, "the text is empty, expected %s", p.tongue->begins);
		return NULL;
	}
	run(&p, 0);
	return f->status == SL_OK ? p.statement : NULL;
}

struct sql_node *sql_parse_expression(struct sql_front *f) {
	struct sql_parse p = {.front = f, .tongue = tongue_of(f)};
	run(&p, p.tongue->expression);
	return f->status == SL_OK ? p.expression : NULL;
}
