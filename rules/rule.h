/* rule.h: one rule, compiled: a program, its actions with their templates, its counters. Never changes once made.
 *
 * Lifetime: belongs to its set (ruleset.h), which is freed when no worker runs it any more.
 * Thread: made on one, then constant; only the counters' cells change, each by its worker. */
#ifndef RULE_H
#define RULE_H

#include "action.h"
#include "err.h"
#include "rule_memory.h"
#include "rule_shadow.h"
#include "rule_stats.h"
#include "sql.h"

enum { RULE_ID_BYTES_MAX = 255, RULE_TEXT_BYTES_MAX = 64 * 1024, RULE_ACTIONS_MAX = 64 };
enum { RULE_TAGS_MAX = 16, RULE_TAG_BYTES_MAX = 64 };

struct rule {
	char *id, *description;
	char *text; /* the SQL as written */
	enum sql_dialect dialect;
	bool enabled;
	char **tags;
	size_t tag_count;
	uint64_t hash; /* of all that the configuration says of it, secrets as they stand there; 0: not known */
	struct event_sources *sources; /* what the program's FROM names, where that is events */
	struct sql_program *program;
	struct rule_action *actions;
	size_t action_count;
	struct rule_stats *stats;   /* a reference; NULL until the set is complete */
	struct rule_memory *memory; /* the same; NULL also when it remembers nothing */
	struct rule *shadow_rule;   /* its shadow, which stands right behind it in the set; NULL: it has none */
	bool is_shadow;             /* it is one: no actions, no status of its own */
	struct rule_shadow *shadow; /* of both; a reference; NULL until the set is complete */
};

/* What the text is written in. */
struct rule_language {
	enum sql_dialect dialect;
	const char *sql_version; /* aws; NULL: 2016-03-23 */
	bool decimal_division;   /* aws: 5 / 2 is 2.5 */
	struct sl_buf *warnings; /* as sql_compile_opts has them; NULL: not wanted */
};

/* language NULL: the standard dialect. Compiles the text only; actions are added by rule_conf.c before the set is complete. On failure *out is NULL and err has
 * line and column within the text. */
int rule_new(struct sl_slice id, struct sl_slice text, const struct rule_language *language, struct rule **out,
	     struct sl_err *err);
void rule_free(struct rule *r); /* NULL is fine */

#endif
