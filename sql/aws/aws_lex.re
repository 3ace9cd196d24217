/* aws_lex.re: text of the aws dialect to tokens. re2c makes the automaton; the rules below are the reference.
 *
 * Words: keywords in any case; names as they are. 'text' and "text" are both strings, a doubled quote inside is one quote,
 * backslashes are themselves. A word after a dot is always a name; so is one after AS, where that makes sense.
 *
 * Some words are keywords only where they can be nothing else, for payloads have members called so: VALUE before an operand,
 * CAST and EXISTS before '('. The FROM of the statement (not within brackets) takes a topic filter, bare or in quotes.
 * The text is valid UTF-8 and ends in a NUL that is not part of it (checked by the caller). */
#include "aws_parse.h"

#include "aws_grammar.h"

static int lex_fail(struct sql_lexer *lx, const char *at, const char *message) {
	sql_front_fail(lx->front, (uint32_t)(at - lx->front->text.p), SL_ESYNTAX, "%s", message);
	return -1;
}

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
static bool is_word(char c) {
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$' ||
	       (unsigned char)c >= 0x80;
}

static const char *skip_space(const char *at) {
	while (is_space(*at)) at++;
	return at;
}

static struct sl_slice word_at(const char *at) {
	size_t n = 0;
	while (is_word(at[n])) n++;
	return slice_make(at, n);
}

static bool is_one_of(struct sl_slice word, const char *const *words, size_t n) {
	for (size_t i = 0; i < n; i++)
		if (slice_equal_nocase(word, slice_from_str(words[i]))) return true;
	return false;
}

/* Is `VALUE`, which ends at `at`, the keyword? What follows an operand follows a member called value. */
static bool value_is_keyword(const char *at) {
	static const char *const infix[] = {"as", "from", "and", "or", "in", "where", "when", "then", "else", "end"};
	const char *next = skip_space(at);
	if (*next == '*') { /* VALUE * and VALUE *.a; value * 2 multiplies */
		next = skip_space(next + 1);
		return *next == '.' || *next == ')' || *next == '\0' || slice_equal_nocase(word_at(next), SL_SLICE_LIT("from"));
	}
	if (*next == '-') return next > at && !is_space(next[1]); /* VALUE -x; value - x subtracts */
	if (*next == '(' || *next == '\'' || *next == '"' || *next == '[' || *next == '{' || *next == '@') return true;
	return is_word(*next) && next > at && !is_one_of(word_at(next), infix, SL_ARRAY_LEN(infix));
}

static bool is_keyword(struct sl_slice word) {
	static const char *const words[] = {"select", "from", "where", "as",   "and", "or",
					    "in",     "when", "then",  "else", "end"};
	return is_one_of(word, words, SL_ARRAY_LEN(words));
}

/* Is the word that ends at `at` a name, though it is a keyword? After AS it is when the text goes on as behind a name. */
static bool alias_ends_at(const char *at) {
	const char *next = skip_space(at);
	struct sl_slice word = word_at(next);
	if (word.n == 0) return *next == ',' || *next == '.' || *next == ')' || *next == ';' || *next == '\0';
	return next > at && (slice_equal_nocase(word, SL_SLICE_LIT("from")) || slice_equal_nocase(word, SL_SLICE_LIT("where")));
}

/* Where the bare topic filter ends that begins at `at`. */
static const char *filter_end(const char *at) {
	while (*at && !is_space(*at) && *at != ';' && *at != ',') at++;
	return at;
}

/* The text between quotes, doubled quotes made single. */
static struct sl_slice unquote(struct sql_lexer *lx, const char *from, const char *to) {
	return sql_unquote(lx->front->arena, slice_make(from, (size_t)(to - from)), from[-1]);
}

int aws_lex(struct sql_lexer *lx, struct sql_token *token) {
	const char *YYCURSOR = lx->at, *YYMARKER, *YYCTXMARKER, *start;
	const char *end = lx->front->text.p + lx->front->text.n;
	bool after_dot = lx->after_dot, after_from = lx->after_from, after_select = lx->after_select;
	bool after_as = lx->after_as;
	lx->after_dot = lx->after_from = lx->after_select = lx->after_as = false;

#define TOKEN(kind, from, to)                                                                                          \
	do {                                                                                                           \
		lx->at = YYCURSOR;                                                                                     \
		token->at = (uint32_t)(start - lx->front->text.p);                                                     \
		token->end = (uint32_t)(YYCURSOR - lx->front->text.p);                                                 \
		token->text = slice_make((from), (size_t)((to) - (from)));                                             \
		return (kind);                                                                                         \
	} while (0)
#define IS_NAME (after_dot || (after_as && alias_ends_at(YYCURSOR)))
#define WORD(kind) TOKEN(IS_NAME ? AWS_TK_ID : (kind), start, YYCURSOR)
#define SIGN(kind) TOKEN((kind), start, YYCURSOR)
#define OPEN(kind)                                                                                                     \
	do {                                                                                                           \
		lx->brackets++;                                                                                        \
		SIGN(kind);                                                                                            \
	} while (0)
#define CLOSE(kind)                                                                                                    \
	do {                                                                                                           \
		if (lx->brackets) lx->brackets--;                                                                      \
		SIGN(kind);                                                                                            \
	} while (0)

	for (;;) {
		start = YYCURSOR;
		if (after_from && !is_space(*start) && *start != '\'' && *start != '"' && filter_end(start) > start &&
		    !slice_equal_nocase(word_at(start), SL_SLICE_LIT("where"))) {
			YYCURSOR = filter_end(start);
			if (YYCURSOR > end) YYCURSOR = end;
			TOKEN(AWS_TK_TOPIC, start, YYCURSOR);
		}
		/*!re2c
		re2c:define:YYCTYPE = "unsigned char";
		re2c:yyfill:enable = 0;
		re2c:flags:case-ranges = 1;

		digits = [0-9]+;
		first  = [a-zA-Z_$\x80-\xff];
		rest   = [a-zA-Z0-9_$\x80-\xff];

		"\x00" {
			YYCURSOR--;
			if (YYCURSOR < end) return lex_fail(lx, start, "the text holds a zero byte");
			TOKEN(0, start, start);
		}
		[ \t\r\n\v\f]+ { continue; }

		'select' {
			lx->after_select = !IS_NAME;
			WORD(AWS_TK_SELECT);
		}
		'from'   {
			lx->after_from = !IS_NAME && lx->brackets == 0;
			WORD(AWS_TK_FROM);
		}
		'set'    { WORD(AWS_TK_SET); }
		'where'  { WORD(AWS_TK_WHERE); }
		'as'     {
			lx->after_as = !IS_NAME;
			WORD(AWS_TK_AS);
		}
		'and'    { WORD(AWS_TK_AND); }
		'or'     { WORD(AWS_TK_OR); }
		'not'    { WORD(AWS_TK_NOT); }
		'in'     { WORD(AWS_TK_IN); }
		'case'   { WORD(AWS_TK_CASE); }
		'when'   { WORD(AWS_TK_WHEN); }
		'then'   { WORD(AWS_TK_THEN); }
		'else'   { WORD(AWS_TK_ELSE); }
		'end'    { WORD(AWS_TK_END); }
		'true'   { WORD(AWS_TK_TRUE); }
		'false'  { WORD(AWS_TK_FALSE); }
		'null'   { WORD(AWS_TK_NULL); }
		'cast'   { WORD(*skip_space(YYCURSOR) == '(' ? AWS_TK_CAST : AWS_TK_ID); }
		'exists' { WORD(*skip_space(YYCURSOR) == '(' ? AWS_TK_EXISTS : AWS_TK_ID); }
		'value'  { WORD(after_select && value_is_keyword(YYCURSOR) ? AWS_TK_VALUE : AWS_TK_ID); }
		first rest* { WORD(AWS_TK_ID); }
		"@" [a-zA-Z0-9_]+ { TOKEN(AWS_TK_VARIABLE, start + 1, YYCURSOR); }
		"@" { return lex_fail(lx, start, "a variable is written @name: letters, digits and underscores"); }

		digits {
			if (after_dot) return lex_fail(lx, start, "a member whose name is a number is read with get(object, '0')");
			TOKEN(AWS_TK_INT, start, YYCURSOR);
		}
		digits "." digits ([eE] [+-]? digits)? | digits [eE] [+-]? digits {
			if (after_dot) return lex_fail(lx, start, "a member whose name is a number is read with get(object, '0')");
			TOKEN(AWS_TK_DECIMAL, start, YYCURSOR);
		}
		digits "." / [^.0-9] { return lex_fail(lx, start, "a number needs digits after its point, as in 5.0"); }
		digits first {
			YYCURSOR--; /* 1and: a keyword follows */
			if (!after_dot && is_keyword(word_at(YYCURSOR))) TOKEN(AWS_TK_INT, start, YYCURSOR);
			return lex_fail(lx, start, "a name cannot begin with a digit; a member with such a name is read with get(object, 'name')");
		}

		['] ([^'\x00] | [']['])* ['] {
			struct sl_slice s = unquote(lx, start + 1, YYCURSOR - 1);
			TOKEN(after_from ? AWS_TK_TOPIC : AWS_TK_STRING, s.p, s.p + s.n);
		}
		["] ([^"\x00] | ["]["])* ["] {
			struct sl_slice s = unquote(lx, start + 1, YYCURSOR - 1);
			TOKEN(after_from ? AWS_TK_TOPIC : AWS_TK_STRING, s.p, s.p + s.n);
		}
		['] { return lex_fail(lx, start, "this string has no closing '"); }
		["] { return lex_fail(lx, start, "this string has no closing \""); }

		"."  { lx->after_dot = true; SIGN(AWS_TK_DOT); }
		","  { SIGN(AWS_TK_COMMA); }
		":"  { SIGN(AWS_TK_COLON); }
		";"  { SIGN(AWS_TK_SEMI); }
		"("  { OPEN(AWS_TK_LP); }
		")"  { CLOSE(AWS_TK_RP); }
		"["  { OPEN(AWS_TK_LB); }
		"]"  { CLOSE(AWS_TK_RB); }
		"{"  { OPEN(AWS_TK_LC); }
		"}"  { CLOSE(AWS_TK_RC); }
		"+"  { SIGN(AWS_TK_PLUS); }
		"-"  { SIGN(AWS_TK_MINUS); }
		"*"  { SIGN(AWS_TK_STAR); }
		"/"  { SIGN(AWS_TK_SLASH); }
		"%"  { SIGN(AWS_TK_PERCENT); }
		"="  { SIGN(AWS_TK_EQ); }
		"!=" | "<>" { SIGN(AWS_TK_NE); }
		"<"  { SIGN(AWS_TK_LT); }
		"<=" { SIGN(AWS_TK_LE); }
		">"  { SIGN(AWS_TK_GT); }
		">=" { SIGN(AWS_TK_GE); }

		"--" / [ \t\r\n\x00] | "/*" | "//" {
			return lex_fail(lx, start, "the aws dialect has no comments; take this out (the rule's description can hold it)");
		}
		"||" { return lex_fail(lx, start, "texts are joined with + or concat(), not ||"); }
		"==" { return lex_fail(lx, start, "write = to compare, not =="); }
		"=~" { return lex_fail(lx, start, "write regexp_matches(topic(), '...') or a filter in FROM, not =~"); }
		"&&" { return lex_fail(lx, start, "write AND, not &&"); }
		"!"  { return lex_fail(lx, start, "write NOT, not !"); }
		"`"  { return lex_fail(lx, start, "names stand without quotes; one with other characters is read with get(object, 'name')"); }
		*    { return lex_fail(lx, start, "this character means nothing here; a member with such a name is read with get(object, 'name')"); }
		*/
	}
#undef TOKEN
#undef WORD
#undef IS_NAME
#undef SIGN
#undef OPEN
#undef CLOSE
}
