/* aws_parse.c: node makers of the aws grammar, how its tokens are called, and what to write instead of what it lacks. */
#include "aws_parse.h"

#include "aws_grammar.h"
#include "aws_ops.h"

enum { VARIABLES_MAX = 10, VARIABLE_BYTES_MAX = 64 };

/* Made by lemon. */
void *aws_grammarAlloc(void *(*alloc)(size_t), struct sql_parse *p);
void aws_grammarFree(void *parser, void (*release)(void *));
void aws_grammar(void *parser, int kind, struct sql_token token);

static const struct sql_token_name token_names[] = {
    {AWS_TK_SET, "SET", true, true},      {AWS_TK_SELECT, "SELECT", true, false}, {AWS_TK_VALUE, "VALUE", true, false},
    {AWS_TK_AS, "AS", true, false},       {AWS_TK_COMMA, "','", false, false},    {AWS_TK_FROM, "FROM", true, false},
    {AWS_TK_WHERE, "WHERE", true, false}, {AWS_TK_WHEN, "WHEN", true, true},      {AWS_TK_THEN, "THEN", true, true},
    {AWS_TK_ELSE, "ELSE", true, true},    {AWS_TK_END, "END", true, true},        {AWS_TK_COLON, "':'", false, false},
    {AWS_TK_RP, "')'", false, false},     {AWS_TK_RB, "']'", false, false},       {AWS_TK_RC, "'}'", false, false},
    {0, "the end", false, false},
};

/* Words of other SQLs, where they would stand. */
static const struct {
	const char *word, *advice;
} foreign_words[] = {
    {"group", "there is no GROUP BY in the aws dialect; windows are part of the standard dialect"},
    {"having", "there is no HAVING in the aws dialect; windows are part of the standard dialect"},
    {"order", "there is no ORDER BY: a rule sees one message at a time"},
    {"limit", "there is no LIMIT; take the first element of a nested query with get((SELECT ...), 0)"},
    {"join", "there is no JOIN: a rule reads one message; enrich it with transform() or in the database"},
    {"inner", "there is no JOIN: a rule reads one message; enrich it with transform() or in the database"},
    {"left", "there is no JOIN: a rule reads one message; enrich it with transform() or in the database"},
    {"union", "there is no UNION; make two rules"},
    {"distinct", "there is no DISTINCT in the aws dialect"},
    {"like", "there is no LIKE; write startswith(), endswith(), indexof() or regexp_matches()"},
    {"between", "there is no BETWEEN; write x >= low AND x <= high"},
    {"is", "there is no IS NULL; write isNull(x) or isUndefined(x), or x <> NULL for 'there and not null'"},
    {"foreach", "FOREACH belongs to the standard dialect; here a nested query walks an array: (SELECT ... FROM list)"},
    {"mod", "the remainder is written a % b or mod(a, b)"},
    {"div", "a division is written a / b"},
};

static const char *word_advice(struct sl_slice word) {
	for (size_t i = 0; i < SL_ARRAY_LEN(foreign_words); i++)
		if (slice_equal_nocase(word, slice_from_str(foreign_words[i].word))) return foreign_words[i].advice;
	return NULL;
}

static const char *advice(const struct sql_parse *p, int found, const struct sql_token *token, const bool *accepted) {
	bool operand = accepted[AWS_TK_INT];
	const char *word = NULL;
	if (found == AWS_TK_ID && !operand) word = word_advice(token->text);
	if (!word && p->previous_kind == AWS_TK_ID && found == AWS_TK_ID) word = word_advice(p->previous.text);
	if (word) return word;
	if (found == AWS_TK_LB && !operand) return "an element of an array is read with get(array, 0), counted from 0";
	if (found == AWS_TK_DOT && operand) return "a number needs digits before its point, as in 0.5";
	if (found == AWS_TK_SELECT && operand) return "a nested query stands in brackets: (SELECT ... FROM list)";
	if (found == AWS_TK_COMMA && p->previous_kind == AWS_TK_TOPIC)
		return "FROM takes one topic filter in the aws dialect; make a rule for each";
	if (found == AWS_TK_SET) return "SET stands once, before SELECT: SET @a = ..., @b = ... SELECT ...";
	if (found == AWS_TK_NOT && !operand && accepted[AWS_TK_IN]) return "there is no NOT IN; write NOT (x IN [...])";
	if (p->previous_kind == AWS_TK_STRING && p->front->text.p[p->previous.end - 2] == '\\')
		return "a backslash escapes nothing; double the quote ('it''s') or put the text between the other "
		       "quotes";
	if (accepted[AWS_TK_STRING] && !operand && found == AWS_TK_RC)
		return "a comma is followed by another member: {'name': value, 'name': value}";
	if (accepted[AWS_TK_STRING] && !operand)
		return "the name of an object's member stands in quotes: {'name': value}";
	if (accepted[AWS_TK_EQ] && !accepted[AWS_TK_PLUS])
		return "a variable has a name of letters, digits and underscores, and a value: SET @name = value";
	if (accepted[AWS_TK_VARIABLE] && !accepted[AWS_TK_ID])
		return "SET takes variables, each with an @: SET @name = value";
	if (found == AWS_TK_STRING && accepted[AWS_TK_ID] && !operand)
		return "text in quotes is always a value here; a name stands without quotes";
	if (found == AWS_TK_RP && p->previous_kind == AWS_TK_ID && accepted[AWS_TK_FROM] && !accepted[AWS_TK_RP])
		return "a nested query needs FROM: (SELECT ... FROM list), or FROM * for the whole payload";
	return NULL;
}

const struct sql_tongue sql_tongue_aws = {
    .lex = aws_lex,
    .alloc = aws_grammarAlloc,
    .release = aws_grammarFree,
    .feed = aws_grammar,
    .begins = "SELECT or SET",
    .names = token_names,
    SQL_TONGUE_TOKENS(AWS_TK_),
    .text = AWS_TK_TOPIC,
    .last_comparison = AWS_TK_GE,
    .advice = advice,
};

/* ---- nodes ---- */

/* Decimals have 34 digits, so they stay text: as JSON has it, without zeros in front. */
struct sql_node *aws_ast_decimal(struct sql_parse *p, const struct sql_token *t) {
	struct sl_slice s = t->text;
	while (s.n > 1 && s.p[0] == '0' && s.p[1] >= '0' && s.p[1] <= '9') s = slice_from(s, 1);
	struct sql_value v = {.kind = SQL_NUMBER_TEXT, .n = (uint32_t)s.n, .p = s.p};
	return sql_ast_literal(p, t, v);
}

struct sql_node *aws_ast_member(struct sql_parse *p, struct sql_node *a, const struct sql_token *name) {
	struct sql_node *n = sql_ast_span(sql_ast_node(p, SQL_N_MEMBER, a, NULL, NULL), a->at, name->end);
	n->name = name->text;
	return n;
}

struct sql_node *aws_ast_cast(struct sql_parse *p, struct sql_node *a, const struct sql_token *type, uint32_t at,
			      uint32_t end) {
	static const char *const types[] = {"String", "Int",     "Integer", "Decimal", "Double",
					    "Bool",   "Boolean", "Varchar", "Text"};
	struct sql_node *n = sql_ast_span(sql_ast_node(p, SQL_N_CAST, a, NULL, NULL), at, end);
	enum aws_type t = AWS_STRING;
	if (!aws_type_from_name(type->text, &t)) {
		const char *near = slice_nearest(type->text, types, SL_ARRAY_LEN(types));
		sql_front_fail(
		    p->front, type->at, SL_ENOTFOUND, "there is no type '%.*s'; %s%s", SL_SLICE_ARG(type->text),
		    near ? "did you mean " : "it is String, Int, Decimal, Double or Boolean", near ? near : "");
	}
	n->index = (uint16_t)t;
	return n;
}

/* A query weighs what its deepest part does: bounded as expressions are. */
struct sql_node *aws_ast_query(struct sql_parse *p, struct sql_statement *query, uint32_t at, uint32_t end) {
	struct sql_node *n = SL_ARENA_NEW(p->front->arena, struct sql_node);
	n->kind = SQL_N_QUERY;
	n->query = query;
	n->at = end ? at : query->at;
	n->end = end ? end : query->where ? query->where->end : query->source->end;
	struct sql_node *deepest = query->source;
	if (query->where && query->where->depth > deepest->depth) deepest = query->where;
	for (const struct sql_field *f = query->fields.first; f; f = f->next)
		if (f->expr->depth > deepest->depth) deepest = f->expr;
	n->a = deepest;
	sql_ast_measure(p, n);
	n->a = NULL;
	return n;
}

struct sql_node *aws_ast_exists(struct sql_parse *p, struct sql_statement *query, uint32_t at, uint32_t end) {
	struct sql_node *q = aws_ast_query(p, query, at, end);
	return sql_ast_span(sql_ast_node(p, SQL_N_EXISTS, q, NULL, NULL), at, end);
}

struct sql_field *aws_ast_spread(struct sql_parse *p, struct sql_node *a) {
	struct sql_field *f = sql_ast_field(p, a, (struct sql_place_name){0}, a->at);
	f->spread = true;
	return f;
}

struct sql_fields aws_ast_set(struct sql_parse *p, struct sql_fields list, const struct sql_token *name,
			      struct sql_node *expr) {
	for (const struct sql_field *f = list.first; f; f = f->next)
		if (slice_equal(f->target.first->key, name->text))
			sql_front_fail(p->front, name->at, SL_EEXISTS,
				       "@%.*s is set already; each variable is set once", SL_SLICE_ARG(name->text));
	if (name->text.n > VARIABLE_BYTES_MAX)
		sql_front_fail(p->front, name->at, SL_ELIMIT, "the name of a variable has at most %d characters",
			       VARIABLE_BYTES_MAX);
	if (list.n >= VARIABLES_MAX)
		sql_front_fail(p->front, name->at, SL_ELIMIT, "a rule has at most %d variables", VARIABLES_MAX);
	struct sql_place_name target = sql_ast_target(p, (struct sql_place_name){0}, name, NULL);
	return sql_ast_add_field(list, sql_ast_field(p, expr, target, name->at));
}

void aws_ast_check_value(struct sql_parse *p, const struct sql_fields *fields) {
	const struct sql_field *f = fields->first;
	if (f->next)
		sql_front_fail(p->front, f->next->at, SL_ESYNTAX,
			       "SELECT VALUE takes one expression; without VALUE each "
			       "becomes a member of an object");
	else if (f->target.n)
		sql_front_fail(p->front, f->target.at, SL_ESYNTAX,
			       "SELECT VALUE gives the bare value, which has no name; "
			       "leave out AS, or VALUE");
	else if (f->spread)
		sql_front_fail(p->front, f->at, SL_ESYNTAX, "SELECT VALUE gives a value as it is; leave out '.*'");
}
