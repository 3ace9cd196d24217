/* destination.c: what an action writes to, in a few words. See connector.h. */
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "connector.h"
#include "hash.h"
#include "utf8.h"

enum { DESTINATION_MAX = 120 };

/* One line of text: what is too long is cut, and its hash keeps it apart from others that begin alike. */
static void line_add(struct sl_buf *out, struct sl_slice text) {
	struct sl_slice shown = slice_make(text.p, text.n > DESTINATION_MAX ? DESTINATION_MAX : text.n);
	if (text.n > shown.n) shown.n = utf8_valid_prefix(shown);
	bool gap = false;
	for (size_t i = 0; i < shown.n; i++) {
		bool space = isspace((unsigned char)shown.p[i]);
		if (!space && gap && i > 0) sl_buf_put(out, ' ');
		if (!space) sl_buf_put(out, shown.p[i]);
		gap = space;
	}
	if (text.n > shown.n) sl_buf_printf(out, "... #%08" PRIx32, (uint32_t)sl_hash_stable(text));
}

void sl_destination_name(struct sl_buf *out, const char *what, const char *name) {
	sl_buf_printf(out, "%s ", what);
	line_add(out, slice_from_str(name));
}

static bool word_at(const char *text, const char *p, const char *word) {
	size_t n = strlen(word);
	return strncasecmp(p, word, n) == 0 && isspace((unsigned char)p[n]) &&
	       (p == text || !(isalnum((unsigned char)p[-1]) || p[-1] == '_'));
}

/* Behind what WITH names stands what is written. */
static const char *behind_with(const char *sql) {
	static const char *const verbs[] = {"insert", "update", "delete", "merge"};
	if (!word_at(sql, sql, "with")) return sql;
	for (const char *p = sql; *p; p++)
		for (size_t i = 0; i < SL_ARRAY_LEN(verbs); i++)
			if (word_at(sql, p, verbs[i])) return p;
	return sql;
}

void sl_destination_statement(struct sl_buf *out, const char *sql) {
	while (isspace((unsigned char)*sql)) sql++;
	sql = behind_with(sql);
	size_t n = strcspn(sql, "('$;");
	while (n > 0 && isspace((unsigned char)sql[n - 1])) n--;
	line_add(out, slice_make(sql, n));
}
