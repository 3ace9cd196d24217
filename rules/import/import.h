/* import.h: rules that come from another broker, what is carried over of them, and what is said of it.
 *
 *     a file --- import_aws.c, import_emqx.c --->  import_rule_add(), import_action_add(), import_note()
 *            --- import.c -------------------->    each SQL compiled, each action checked as `sluice check` does it
 *            --- import_yaml.c --------------->    a configuration that passes `sluice check`
 *            --- import_report.c ------------->    what became of each rule, and why
 *
 * Nothing is dropped in silence: a rule that does not compile, and an action that has no like here or does not pass the
 * check, stands in the YAML as a comment, and in the report with what to do. A rule without any action that works gets
 * `console: {}`, so that it shows what it gives.
 *
 * Lifetime: texts of rules, actions and notes live in the import's arena, until import_fini(). Thread: the program's main one.
 * Nothing here blocks or opens anything. Errors: functions that take what is wrong with the input note it; see each. */
#ifndef IMPORT_H
#define IMPORT_H

#include <jansson.h>

#include "arena.h"
#include "err.h"
#include "rule.h"

#define IMPORT_BYTES_MAX (16 * SL_MB) /* of each file */
#define IMPORT_DEPTH_MAX 64

enum import_status { IMPORT_UNCHANGED, IMPORT_MAPPING, IMPORT_REFUSED }; /* the later, the worse */

struct import_note {
	enum import_status status;
	const char *what;      /* "sql", "action pgsql:store", "description" */
	const char *text;      /* one sentence, with what to do */
	uint32_t line, column; /* within the SQL or the template; 0: none */
	bool at_action;        /* the configuration says it beside the action */
};

struct import_action {
	const char *name; /* as the other broker calls it */
	json_t *ours;     /* as it stands below `actions:`; NULL: it has no like here, or does not pass the check */
	json_t *original; /* shown when it is not carried over */
	json_t *later;    /* how it would be, but for what the check complains of; NULL: not known */
	const char *advice;
};

struct import_rule {
	const char *id, *sql, *description, *sql_version; /* the last two may be NULL */
	enum sql_dialect dialect;
	bool enabled;
	struct rule *compiled; /* NULL: the SQL is refused */
	struct import_action *actions;
	size_t action_count, action_cap;
	struct import_note *notes;
	size_t note_count, note_cap;
};

struct import {
	const char *source; /* "AWS IoT Core", "EMQX" */
	struct sl_arena arena;
	json_t *connectors; /* of ours */
	json_t *sources;    /* likewise */
	json_t *secrets;    /* environment variables that the connectors need -> their values, which are never shown */
	json_t *ids;        /* those taken: id -> the next number to put behind it */
	struct import_rule **rules;
	size_t rule_count, rule_cap;
	struct import_rule file_notes; /* what concerns no rule: only its notes are used */
};

void import_init(struct import *imp, const char *source);
void import_fini(struct import *imp);

/* Copies into the arena. NULL stays NULL. */
const char *import_text(struct import *imp, const char *text);
const char *import_printf(struct import *imp, const char *fmt, ...) sl_printf(2, 3);

/* Compiles the SQL of `from` (id, sql, description, sql_version, dialect, enabled) and notes what is wrong with it. An id that
 * is taken gets a number behind it. The rule is the import's. */
struct import_rule *import_rule_add(struct import *imp, const struct import_rule *from);
/* A rule whose SQL is not known: it is refused, with the reason. `sql` may be NULL. */
struct import_rule *import_rule_refuse(struct import *imp, const char *id, const char *sql, const char *why);

/* Takes over the references of `from`. One with `ours` is checked; one without needs a mapping, by its advice. Of a rule that
 * is refused it is only kept. */
void import_action_add(struct import *imp, struct import_rule *rule, const struct import_action *from);

/* Notes a fact. rule NULL: about the file. */
void import_note(struct import *imp, struct import_rule *rule, enum import_status status, const char *what,
		 const char *fmt, ...) sl_printf(5, 6);

/* When all rules and sources are there: a rule whose FROM names a source that has not come along is refused. */
void import_sources_check(struct import *imp);

/* The worst of its notes. */
enum import_status import_rule_status(const struct import_rule *rule);
/* Does a row of the rule have a column of this name? Also when that is known only at run time. */
bool import_rule_gives(const struct import_rule *rule, struct sl_slice name);

/* A copy with the values of passwords and their like masked. New reference. */
json_t *import_masked(const json_t *tree);

/* The configuration, and proof that it passes the check. SL_OK, or what `sluice check` would say (our fault). */
int import_yaml(const struct import *imp, struct sl_buf *out, struct sl_err *err);

/* The report for people and for programs; true when something is refused. */
bool import_report_text(const struct import *imp, struct sl_buf *out);
bool import_report_json(const struct import *imp, struct sl_buf *out);

/* A file's content. SL_OK, or err says what is wrong with the file as a whole; then nothing of it has been taken. */
int import_aws(struct import *imp, const char *file, struct sl_slice text, struct sl_err *err);
/* All files of EMQX at once, because rules refer to actions that may stand in another. */
struct import_file {
	const char *name;
	struct sl_slice text;
};
int import_emqx(struct import *imp, const struct import_file *files, size_t count, struct sl_err *err);

#endif
