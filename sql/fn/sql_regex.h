/* sql_regex.h: regular expressions (PCRE2), with a bound on everything that a pattern or a text can drive.
 *
 * Patterns that stand in a rule are compiled when the rule is made (sql_fn.h, prepare) and are then turned into machine
 * code. Patterns that only the run knows go through a cache of SQL_REGEX_CACHED entries per vm, and are interpreted.
 *
 * Bounds: SQL_REGEX_PATTERN_MAX bytes of pattern, SQL_REGEX_GROUPS_MAX groups that can be read, and for one match as many
 * steps back as grow with the text, a depth and an amount of memory; for one run SQL_REGEX_MS_MAX. Going beyond fails
 * the run: "no match" would be a guess. A pattern that is none is no failure here; each dialect has its own answer.
 *
 * Text and pattern are UTF-8, \d \w \s are ASCII. Bytes that are not UTF-8 never match, what stands between them may.
 *
 * Lifetime: a sql_regex until sql_regex_free(); one from the cache until the next sql_regex_for() of its vm; a match
 * until the next sql_regex_find() of its vm. Thread: a sql_regex any; all else the vm's. Never blocks. */
#ifndef SQL_REGEX_H
#define SQL_REGEX_H

#include "sql_fn.h"

enum {
	SQL_REGEX_PATTERN_MAX = 8192,
	SQL_REGEX_GROUPS_MAX = 100, /* the whole match counts as one */
	SQL_REGEX_CACHED = 32,
	SQL_REGEX_MS_MAX = 500,
};

/* Whose habits a pattern follows. STANDARD: Erlang's (a line ends with \n; replacements say & \1 \g{1}). JAVA: a line
 * also ends with \r; replacements say $1 ${name}, and a backslash takes the next character as it is. */
enum sql_regex_flavour { SQL_REGEX_STANDARD, SQL_REGEX_JAVA };

struct sql_regex;
/* SL_ESYNTAX or SL_ELIMIT with what is wrong and where; err may be NULL. */
int sql_regex_new(enum sql_regex_flavour flavour, struct sl_slice pattern, struct sql_regex **out, struct sl_err *err);
void sql_regex_free(void *regex);                      /* for sql_fn.release; NULL is fine */
uint32_t sql_regex_groups(const struct sql_regex *re); /* without the whole match */

/* For sql_fn.prepare, of a call whose pattern is the constant `pattern` (NULL: known to the run only). Text that is no
 * pattern prepares nothing in JAVA, and refuses the rule in STANDARD. */
int sql_regex_prepare(struct sql_call *c, enum sql_regex_flavour flavour, const struct sql_value *pattern,
		      void **prepared);
/* The expression of a call: what was prepared, or the cache's. SL_ESYNTAX and *why (until the next call) when the
 * text is no pattern; nothing is reported yet. */
int sql_regex_for(struct sql_call *c, enum sql_regex_flavour flavour, struct sl_slice pattern,
		  const struct sql_regex **out, const char **why);

struct sql_regex_match {
	const size_t *ends; /* of group i: bytes ends[2i] to ends[2i + 1] */
	uint32_t groups;    /* that took part, the whole match counted; higher ones are absent */
};
enum { SQL_REGEX_REST = 1 /* exactly at `from`, and not empty */ };
/* 1: found at or behind byte `from`; 0: not; else a status after sql_vm_fail(). */
int sql_regex_find(struct sql_vm *vm, const struct sql_regex *re, struct sl_slice text, size_t from, unsigned flags,
		   struct sql_regex_match *m);
/* False: the group took no part in the match. */
bool sql_regex_group(const struct sql_regex_match *m, struct sl_slice text, uint32_t group, struct sl_slice *out);

/* Appends the text with its matches replaced: all, or the first. SL_EINVAL (nothing reported yet) when the replacement
 * speaks of a group that is not there (JAVA only), else SL_OK or a status after sql_vm_fail(). */
int sql_regex_replace(struct sql_vm *vm, const struct sql_regex *re, struct sl_slice text, struct sl_slice by, bool all,
		      struct sl_buf *out);

/* The state of one vm, made at the first use. */
struct sql_regex_state;
void sql_regex_state_free(struct sql_regex_state *s); /* NULL is fine */

#endif
