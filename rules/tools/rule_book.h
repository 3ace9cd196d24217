/* rule_book.h: the rules of a configuration, compiled with all their actions, to be tried one by one (rule_try.h).
 *
 * Checks what `sluice check` checks of rules and connectors; other sections of the file are not looked at. Secrets are not
 * needed: an environment variable that is not set, and every ${file:...}, stands as text of no meaning. Nothing but the
 * configuration itself is opened.
 *
 * Lifetime: until rule_book_fini(). Thread: the program's main one. Loading blocks on the file. */
#ifndef RULE_BOOK_H
#define RULE_BOOK_H

#include <jansson.h>

#include "conf_report.h"
#include "connectors.h"
#include "ruleset.h"

struct rule_book {
	struct ruleset **sets; /* of one rule each, complete, in the order of the file */
	bool *enabled;         /* as the configuration says; they can all be tried */
	size_t count;
	struct yaml_doc *doc; /* of rule_book_load() */
	struct connectors_set *connectors;
};
#define RULE_BOOK_INIT                                                                                                 \
	{ 0 }

/* SL_OK, or the status of the first mistake; all are in the report. The book is to be ended in either case. */
int rule_book_load(struct rule_book *book, const char *path, struct conf_report *report);
/* The same with the trees below `connectors:` and `rules:` of a document (NULL: none). */
int rule_book_fill(struct rule_book *book, const struct yaml_doc *doc, const json_t *connectors, const json_t *rules,
		   struct conf_report *report);
void rule_book_fini(struct rule_book *book);

static inline struct rule *rule_book_rule(const struct rule_book *book, size_t i) { return book->sets[i]->rules[0]; }

/* The set of that rule. SL_ENOTFOUND, with the nearest id in err. */
int rule_book_find(const struct rule_book *book, const char *id, struct ruleset **out, struct sl_err *err);

#endif
