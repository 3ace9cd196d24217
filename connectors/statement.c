/* statement.c: see statement.h. */
#include "statement.h"

#include <ctype.h>

#include "mem.h"

void sl_params_add(struct sl_param_list *list, struct sl_slice name, struct sl_slice text, char *path) {
	size_t n = list->n++;
	list->at = sl_realloc_array(list->at, list->n, sizeof *list->at);
	list->paths = sl_realloc_array(list->paths, list->n, sizeof *list->paths);
	list->at[n] = (struct sl_param){.name = name, .text = text, .target = SQL_TO_VALUE, .path = path};
	list->paths[n] = path;
}

void sl_params_fini(struct sl_param_list *list) {
	for (size_t i = 0; i < list->n; i++) sl_free(list->paths[i]);
	sl_free(list->paths);
	sl_free(list->at);
	*list = (struct sl_param_list){0};
}

/* ---- What stands at one place of the text. ---- */

enum piece { PIECE_PLAIN, PIECE_TEXT, PIECE_COMMENT, PIECE_VALUE };

static bool is_word(char c) { return isalnum((unsigned char)c) || c == '_' || c == '$' || (unsigned char)c >= 0x80; }

/* From an opening quote to behind the closing one; 0 when it does not close. A doubled quote goes on by itself: what follows
 * is another text. */
static size_t quoted_length(const char *p, bool escapes) {
	for (size_t i = 1; p[i]; i++) {
		if (escapes && p[i] == '\\' && p[i + 1])
			i++;
		else if (p[i] == p[0])
			return i + 1;
	}
	return 0;
}

static size_t comment_length(const char *p, bool nested) {
	size_t depth = 1, i = 2;
	for (; p[i]; i++) {
		if (p[i] == '*' && p[i + 1] == '/') {
			i++;
			if (--depth == 0) return i + 1;
		} else if (nested && p[i] == '/' && p[i + 1] == '*') {
			i++;
			depth++;
		}
	}
	return 0;
}

/* The length of "$tag$" at p, or 0 when p is no such thing. */
static size_t dollar_tag(const char *p) {
	size_t i = 1;
	if (isdigit((unsigned char)p[1])) return 0;
	while (is_word(p[i]) && p[i] != '$') i++;
	return p[i] == '$' ? i + 1 : 0;
}

static size_t dollar_length(const char *p, size_t tag) {
	for (size_t i = tag; p[i]; i++)
		if (p[i] == '$' && strncmp(p + i, p, tag) == 0) return i + tag;
	return 0;
}

size_t sl_placeholder_length(const char *p) {
	size_t i = 2, depth = 1;
	char quote = 0;
	for (; p[i]; i++) {
		if (quote)
			quote = p[i] == quote ? 0 : quote;
		else if (p[i] == '\'' || p[i] == '"')
			quote = p[i];
		else if (p[i] == '{')
			depth++;
		else if (p[i] == '}' && --depth == 0)
			return i + 1;
	}
	return 0;
}

struct scan {
	const struct sl_statement_dialect *d;
	const char *p;
	char before; /* the character before p */
	bool escape; /* a lone E stands before p */
	uint32_t line, column;
};

/* Kind and length of what begins at s->p; length 0: it does not end. */
static enum piece piece_at(const struct scan *s, size_t *n) {
	const char *p = s->p;
	unsigned flags = s->d->flags;
	*n = 1;
	if (p[0] == '$' && p[1] == '{') {
		*n = sl_placeholder_length(p);
		return PIECE_VALUE;
	}
	if (p[0] == '\'' || p[0] == '"' || (p[0] == '`' && flags & SL_STATEMENT_BACKTICKS)) {
		*n = quoted_length(p, p[0] == '\'' && s->escape && flags & SL_STATEMENT_ESCAPES);
		return PIECE_TEXT;
	}
	if (p[0] == '-' && p[1] == '-') {
		*n = strcspn(p, "\n");
		return PIECE_COMMENT;
	}
	if (p[0] == '/' && p[1] == '*') {
		*n = comment_length(p, flags & SL_STATEMENT_NESTED);
		return PIECE_COMMENT;
	}
	size_t tag = p[0] == '$' && flags & SL_STATEMENT_DOLLAR_QUOTES && !is_word(s->before) ? dollar_tag(p) : 0;
	if (tag == 0) return PIECE_PLAIN;
	*n = dollar_length(p, tag);
	return PIECE_TEXT;
}

static void step(struct scan *s, size_t n) {
	for (; n > 0; n--) {
		char c = *s->p++;
		s->escape = (c == 'e' || c == 'E') && !is_word(s->before);
		s->before = c;
		s->line += c == '\n';
		s->column = c == '\n' ? 1 : s->column + 1;
	}
}

/* ---- A statement. ---- */

static int unended(const struct scan *s, enum piece piece, struct sl_err *err) {
	static const char *const what[] = {
	    [PIECE_PLAIN] = "what begins", [PIECE_TEXT] = "the quoted text", [PIECE_COMMENT] = "the comment"};
	if (piece == PIECE_VALUE)
		return sl_err_set(err, SL_ESYNTAX, "sql: `${` at %u:%u has no `}`", s->line, s->column);
	return sl_err_set(err, SL_ESYNTAX, "sql: %s at %u:%u does not end", what[piece], s->line, s->column);
}

/* A value cannot stand inside of n characters of text or comment. */
static int value_within(const struct scan *s, enum piece piece, size_t n, struct sl_err *err) {
	struct scan in = *s;
	while (in.p < s->p + n && !(in.p[0] == '$' && in.p[1] == '{')) step(&in, 1);
	if (in.p >= s->p + n) return SL_OK;
	size_t length = sl_placeholder_length(in.p);
	if (length == 0) return unended(&in, PIECE_VALUE, err);
	if (piece == PIECE_COMMENT)
		return sl_err_set(err, SL_ESYNTAX, "sql: %.*s at %u:%u stands in a comment; take it out", (int)length,
				  in.p, in.line, in.column);
	return sl_err_set(err, SL_ESYNTAX,
			  "sql: %.*s at %u:%u stands in quotes; write it without them, it is bound as a value",
			  (int)length, in.p, in.line, in.column);
}

static int plain_check(const struct scan *s, bool *ended, struct sl_err *err) {
	if (*ended && !isspace((unsigned char)*s->p) && *s->p != ';')
		return sl_err_set(err, SL_ESYNTAX,
				  "sql: a second statement begins at %u:%u; an action runs one statement a row: use "
				  "one action for each, or a function of the database",
				  s->line, s->column);
	*ended = *ended || *s->p == ';';
	if (!is_word(s->before) && s->d->own_parameter(s->p))
		return sl_err_set(err, SL_ESYNTAX,
				  "sql: `%c` at %u:%u is a parameter of %s's own; values are written ${name}", *s->p,
				  s->line, s->column, s->d->database);
	return SL_OK;
}

int sl_statement_scan(const char *text, const struct sl_statement_dialect *d, struct sl_param_list *params,
		      struct sl_buf *out, struct sl_err *err) {
	struct scan s = {.d = d, .p = text, .line = 1, .column = 1};
	bool ended = false;
	int r = SL_OK;
	while (*s.p && r == SL_OK) {
		size_t n;
		enum piece piece = piece_at(&s, &n);
		if (n == 0) return unended(&s, piece, err);
		if (piece == PIECE_TEXT || piece == PIECE_COMMENT) r = value_within(&s, piece, n, err);
		if (piece != PIECE_COMMENT && r == SL_OK && (piece == PIECE_PLAIN || ended))
			r = plain_check(&s, &ended, err);
		if (piece == PIECE_VALUE && r == SL_OK) {
			sl_params_add(params, slice_trim(slice_make(s.p + 2, n - 3)), slice_make(s.p, n),
				      sl_strdup("sql"));
			params->at[params->n - 1].line = s.line;
			params->at[params->n - 1].column = s.column;
			d->mark(out, params->n);
		} else if (piece == PIECE_PLAIN && *s.p == ';' && d->flags & SL_STATEMENT_INNER)
			sl_buf_put(out, ' ');
		else
			sl_buf_append(out, s.p, n);
		step(&s, n);
	}
	return r;
}

struct sl_slice sl_statement_verb(const char *text, const struct sl_statement_dialect *d) {
	struct scan s = {.d = d, .p = text, .line = 1, .column = 1};
	while (*s.p) {
		size_t n;
		if (piece_at(&s, &n) != PIECE_COMMENT && !isspace((unsigned char)*s.p) && *s.p != '(') break;
		if (n == 0) break;
		step(&s, n);
	}
	size_t n = 0;
	while (isalpha((unsigned char)s.p[n]) || s.p[n] == '_') n++;
	return slice_make(s.p, n);
}
