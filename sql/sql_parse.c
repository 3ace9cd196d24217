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
static const struct {
	int token;
	const char *name;
	bool keyword;
} token_names[] = {
    {SQL_TK_AS, "AS", true},         {SQL_TK_COMMA, "','", false},
    {SQL_TK_SELECT, "SELECT", true}, {SQL_TK_FOREACH, "FOREACH", true},
    {SQL_TK_DO, "DO", true},         {SQL_TK_INCASE, "INCASE", true},
    {SQL_TK_FROM, "FROM", true},     {SQL_TK_WHERE, "WHERE", true},
    {SQL_TK_WHEN, "WHEN", true},     {SQL_TK_THEN, "THEN", true},
    {SQL_TK_ELSE, "ELSE", true},     {SQL_TK_END, "END", true},
    {SQL_TK_RP, "')'", false},       {SQL_TK_RB, "']'", false},
    {SQL_TK_DOTDOT, "'..'", false},  {0, "the end", false},
};

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
static void list_expected(struct expected *e, const bool *ok) {
	bool operand = ok[SQL_TK_INT] && ok[SQL_TK_LP];
	bool alias = ok[SQL_TK_AS];
	if (operand) expect(e, "an expression");
	if (ok[SQL_TK_STAR] && operand && ok[SQL_TK_NOT] && !ok[SQL_TK_SLASH]) expect(e, "'*'");
	/* An error may be seen after the operands around it were joined: then AND and OR alone still speak for all. */
	if ((ok[SQL_TK_PLUS] || ok[SQL_TK_OR]) && !operand) expect(e, "an operator");
	if (ok[SQL_TK_NULL] && !operand) expect(e, "NULL");
	if (ok[SQL_TK_STRING] && !operand && !ok[SQL_TK_INT]) expect(e, "a topic filter in quotes");
	if (ok[SQL_TK_INT] && !operand) expect(e, "the name of a member");
	if (ok[SQL_TK_ID] && !operand && !alias && !ok[SQL_TK_STRING]) expect(e, "a name");
	for (size_t i = 0; i < SL_ARRAY_LEN(token_names); i++)
		if (ok[token_names[i].token]) expect(e, token_names[i].name);
	if (e->n > 1) sl_buf_append_str(&e->text, " or ");
	if (e->pending) sl_buf_append_str(&e->text, e->pending);
}

static const char *nearest_keyword(struct sl_slice word, const bool *ok) {
	const char *names[SL_ARRAY_LEN(token_names)];
	size_t n = 0;
	for (size_t i = 0; i < SL_ARRAY_LEN(token_names); i++)
		if (token_names[i].keyword && ok[token_names[i].token]) names[n++] = token_names[i].name;
	/* FORM is two edits from FROM, but one slip of the fingers. */
	static const char from[] = "FROM";
	if (ok[SQL_TK_FROM] && slice_equal_nocase(word, SL_SLICE_LIT("form"))) return from;
	return slice_nearest(word, names, n);
}

void sql_parse_unexpected(struct sql_parse *p, int found, const struct sql_token *token, const bool *accepted,
			  size_t count) {
	(void)count;
	if (found >= SQL_TK_EQ && found <= SQL_TK_MATCH && accepted[SQL_TK_PLUS] && !accepted[SQL_TK_EQ]) {
		sql_front_fail(p->front, token->at, SL_ESYNTAX,
			       "comparisons do not chain; put one of them in parentheses or join two with AND");
		return;
	}
	struct expected e = {.n = 0};
	list_expected(&e, accepted);
	const char *text = sl_buf_cstr(&e.text);
	const char *near = found == SQL_TK_ID ? nearest_keyword(token->text, accepted) : NULL;
	if (near) {
		sql_front_fail(p->front, token->at, SL_ESYNTAX, "unexpected '%.*s', expected %s; did you mean %s?",
			       SL_SLICE_ARG(token->text), text, near);
	} else if (p->previous_kind == SQL_TK_ID && (near = nearest_keyword(p->previous.text, accepted))) {
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

static void *parser_alloc(size_t n) { return sl_alloc(n); }

static void run(struct sql_parse *p, int first) {
	struct sql_front *f = p->front;
	if (!utf8_valid(f->text)) {
		sql_front_fail(f, 0, SL_EMALFORMED, "the text is not valid UTF-8");
		return;
	}
	struct sql_lexer lexer = {.front = f, .at = f->text.p};
	struct sql_token token = {0};
	void *parser = sql_grammarAlloc(parser_alloc, p);
	if (first) sql_grammar(parser, first, token);
	int kind;
	do {
		kind = sql_lex(&lexer, &token);
		if (kind < 0) break;
		sql_grammar(parser, kind, token);
		p->previous = token;
		p->previous_kind = kind;
	} while (kind != 0 && f->status == SL_OK);
	sql_grammarFree(parser, sl_free);
}

struct sql_statement *sql_parse(struct sql_front *f) {
	struct sql_parse p = {.front = f};
	if (slice_trim(f->text).n == 0) {
		sql_front_fail(f, 0, SL_ESYNTAX, "the text is empty, expected SELECT or FOREACH");
		return NULL;
	}
	run(&p, 0);
	return f->status == SL_OK ? p.statement : NULL;
}

struct sql_node *sql_parse_expression(struct sql_front *f) {
	struct sql_parse p = {.front = f};
	run(&p, SQL_TK_EXPRESSION);
	return f->status == SL_OK ? p.expression : NULL;
}
