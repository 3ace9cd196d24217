/* sql_lex.re: text to tokens. re2c makes the automaton; the rules below are the reference.
 *
 * Words: keywords in any case. A word after a dot is always a name, so payload.end and payload.select need no quotes.
 * 'text' is a string, "text" a name; a doubled quote inside is one quote; there are no backslash escapes.
 * The text is valid UTF-8 and ends in a NUL that is not part of it (checked by the caller). */
#include "sql_parse.h"

#include "sql_grammar.h"

static int lex_fail(struct sql_lexer *lx, const char *at, const char *message) {
	sql_front_fail(lx->front, (uint32_t)(at - lx->front->text.p), SL_ESYNTAX, "%s", message);
	return -1;
}

/* The text between quotes, doubled quotes made single. */
static struct sl_slice unquote(struct sql_lexer *lx, const char *from, const char *to) {
	return sql_unquote(lx->front->arena, slice_make(from, (size_t)(to - from)), from[-1]);
}

int sql_lex(struct sql_lexer *lx, struct sql_token *token) {
	const char *YYCURSOR = lx->at, *YYMARKER, *start;
	const char *end = lx->front->text.p + lx->front->text.n;
	bool after_dot = lx->after_dot;
	lx->after_dot = false;

#define TOKEN(kind, from, to)                                                                                          \
	do {                                                                                                           \
		lx->at = YYCURSOR;                                                                                     \
		token->at = (uint32_t)(start - lx->front->text.p);                                                     \
		token->end = (uint32_t)(YYCURSOR - lx->front->text.p);                                                 \
		token->text = slice_make((from), (size_t)((to) - (from)));                                             \
		return (kind);                                                                                         \
	} while (0)
#define WORD(kind) TOKEN(after_dot ? SQL_TK_ID : (kind), start, YYCURSOR)
#define SIGN(kind) TOKEN((kind), start, YYCURSOR)

	for (;;) {
		start = YYCURSOR;
		/*!re2c
		re2c:define:YYCTYPE = "unsigned char";
		re2c:yyfill:enable = 0;
		re2c:flags:case-ranges = 1;

		digits = [0-9]+;
		first  = [a-zA-Z_\x80-\xff];
		rest   = [a-zA-Z0-9_$@~\x80-\xff];

		"\x00" {
			YYCURSOR--;
			if (YYCURSOR < end) return lex_fail(lx, start, "the text holds a zero byte");
			TOKEN(0, start, start);
		}
		[ \t\r\n]+ { continue; }
		"--" [^\n\x00]* { continue; }

		'select'    { WORD(SQL_TK_SELECT); }
		'foreach'   { WORD(SQL_TK_FOREACH); }
		'do'        { WORD(SQL_TK_DO); }
		'incase'    { WORD(SQL_TK_INCASE); }
		'from'      { WORD(SQL_TK_FROM); }
		'where'     { WORD(SQL_TK_WHERE); }
		'group'     { WORD(SQL_TK_GROUP); }
		'by'        { WORD(SQL_TK_BY); }
		'having'    { WORD(SQL_TK_HAVING); }
		'as'        { WORD(SQL_TK_AS); }
		'and'       { WORD(SQL_TK_AND); }
		'or'        { WORD(SQL_TK_OR); }
		'not'       { WORD(SQL_TK_NOT); }
		'in'        { WORD(SQL_TK_IN); }
		'between'   { WORD(SQL_TK_BETWEEN); }
		'like'      { WORD(SQL_TK_LIKE); }
		'is'        { WORD(SQL_TK_IS); }
		'case'      { WORD(SQL_TK_CASE); }
		'when'      { WORD(SQL_TK_WHEN); }
		'then'      { WORD(SQL_TK_THEN); }
		'else'      { WORD(SQL_TK_ELSE); }
		'end'       { WORD(SQL_TK_END); }
		'div'       { WORD(SQL_TK_DIV); }
		'mod'       { WORD(SQL_TK_MOD); }
		'true'      { WORD(SQL_TK_TRUE); }
		'false'     { WORD(SQL_TK_FALSE); }
		'null'      { WORD(SQL_TK_NULL); }
		'undefined' { WORD(SQL_TK_NULL); }
		first rest* { WORD(SQL_TK_ID); }

		digits {
			TOKEN(SQL_TK_INT, start, YYCURSOR);
		}
		digits "." digits ([eE] [+-]? digits)? | digits [eE] [+-]? digits {
			if (after_dot) { /* payload.1.2 is two steps, not a number */
				YYCURSOR = start;
				while (*YYCURSOR >= '0' && *YYCURSOR <= '9') YYCURSOR++;
				TOKEN(SQL_TK_INT, start, YYCURSOR);
			}
			TOKEN(SQL_TK_FLOAT, start, YYCURSOR);
		}
		digits "." / [^.0-9] {
			if (after_dot) {
				YYCURSOR--;
				TOKEN(SQL_TK_INT, start, YYCURSOR);
			}
			return lex_fail(lx, start, "a number needs digits after its point, as in 5.0");
		}
		digits first { return lex_fail(lx, start, "a name cannot begin with a digit (put \"...\" around it)"); }

		['] ([^'\x00] | [']['])* ['] {
			struct sl_slice s = unquote(lx, start + 1, YYCURSOR - 1);
			TOKEN(SQL_TK_STRING, s.p, s.p + s.n);
		}
		["] ([^"\x00] | ["]["])* ["] {
			struct sl_slice s = unquote(lx, start + 1, YYCURSOR - 1);
			TOKEN(SQL_TK_QID, s.p, s.p + s.n);
		}
		['] { return lex_fail(lx, start, "this string has no closing '"); }
		["] { return lex_fail(lx, start, "this name has no closing \""); }

		"."  { lx->after_dot = true; SIGN(SQL_TK_DOT); }
		".." { SIGN(SQL_TK_DOTDOT); }
		","  { SIGN(SQL_TK_COMMA); }
		";"  { SIGN(SQL_TK_SEMI); }
		"("  { SIGN(SQL_TK_LP); }
		")"  { SIGN(SQL_TK_RP); }
		"["  { SIGN(SQL_TK_LB); }
		"]"  { SIGN(SQL_TK_RB); }
		"+"  { SIGN(SQL_TK_PLUS); }
		"-"  { SIGN(SQL_TK_MINUS); }
		"*"  { SIGN(SQL_TK_STAR); }
		"/"  { SIGN(SQL_TK_SLASH); }
		"||" { SIGN(SQL_TK_CONCAT); }
		"="  { SIGN(SQL_TK_EQ); }
		"!=" | "<>" { SIGN(SQL_TK_NE); }
		"<"  { SIGN(SQL_TK_LT); }
		"<=" { SIGN(SQL_TK_LE); }
		">"  { SIGN(SQL_TK_GT); }
		">=" { SIGN(SQL_TK_GE); }
		"=~" { SIGN(SQL_TK_MATCH); }

		"=="   { return lex_fail(lx, start, "write = to compare, not =="); }
		"&&"   { return lex_fail(lx, start, "write AND, not &&"); }
		"%"    { return lex_fail(lx, start, "write mod for the remainder, not %"); }
		"!"    { return lex_fail(lx, start, "write NOT, not !"); }
		"{"    { return lex_fail(lx, start, "there are no {...} objects in SQL; use map_put(...) or json_decode('{...}')"); }
		*      { return lex_fail(lx, start, "this character means nothing here; names with it need \"...\""); }
		*/
	}
#undef TOKEN
#undef WORD
#undef SIGN
}
