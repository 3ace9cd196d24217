/* schema.h: applies option tables to a tree: fills settings structs, or says what is wrong with the file.
 *
 *     struct file_conf conf = {0};
 *     int rc = conf_apply(file_fields, tree, (struct conf_at){doc, "connectors.log"}, &conf, &report);
 *     ...
 *     conf_fini(file_fields, &conf);
 *
 * Every field is filled: from the tree or from its default, which runs through the same parser. Nothing else is
 * accepted: an unknown key names the nearest one that exists. All mistakes go to the report; checking goes on.
 * The struct must be zeroed before; conf_fini() is right after success and after failure, and leaves it zeroed
 * where it owned memory.
 *
 * An object with CONF_GIVEN sets the bool that its struct begins with: `tls:` alone switches TLS on, with all defaults.
 *
 * One object may be checked by several tables at once (the framework's options and those of a connector kind):
 * conf_apply_parts(); a key must be known to one of them. Earlier parts win a name that two have.
 *
 * ${ENV_NAME}, ${file:path} and ${exec:program arg} are replaced in CONF_EXPAND fields only. A relative path starts at the working
 * directory; one final line break of the file is dropped; a file is at most CONF_FILE_VALUE_MAX bytes. For programs see conf_exec.h. A
 * CONF_SECRET field may also be file:///path as a whole, which is the same as ${file:/path}.
 *
 * Thread: one at a time. Reads files only for ${file:...}, runs programs only for ${exec:...}. */
#ifndef SL_SCHEMA_H
#define SL_SCHEMA_H

#include <jansson.h>

#include "buf.h"
#include "common.h"
#include "conf_report.h"
#include "err.h"
#include "field.h"
#include "yaml.h"

#define CONF_FILE_VALUE_MAX (64 * SL_KB)
#define CONF_LIST_MAX 100000 /* items of a list or map whose row has no max */

struct conf_part {
	const struct conf_field *fields;
	void *into;
};

/* SL_OK, or the status of the first mistake this call found. tree NULL is the empty object. */
int conf_apply(const struct conf_field *fields, const json_t *tree, struct conf_at at, void *into,
	       struct conf_report *report);
int conf_apply_parts(const struct conf_part *parts, size_t count, const json_t *tree, struct conf_at at,
		     struct conf_report *report);
/* All defaults, no tree. Right only for tables without CONF_REQUIRED rows; a default that does not pass its own
 * row's checks is our bug and ends the process. */
void conf_defaults(const struct conf_field *fields, void *into);
void conf_fini(const struct conf_field *fields, void *into);

/* The text of a value as it may be shown: "***" for a CONF_SECRET field, a URL without its password for
 * CONF_SECRET_URL, else the value. The one place that masks. Appends to out. */
void conf_mask(const struct conf_field *field, const char *value, struct sl_buf *out);
/* The settings as a tree, in the units of the file, secrets masked: for the API and `config show`. A new
 * reference. Fields without a value are left out. */
json_t *conf_show(const struct conf_field *fields, const void *from) sl_warn_unused;

/* Replaces ${ENV_NAME}, ${file:path} and ${exec:program}; $${ gives ${. On SL_OK *out is a heap string. */
int conf_expand(struct sl_slice text, char **out, struct sl_err *err) sl_warn_unused;
/* The same for a CONF_SECRET field. */
int conf_expand_secret(struct sl_slice text, char **out, struct sl_err *err) sl_warn_unused;
/* What a text became, of whatever field it is, with nothing run that was not run in this load; where that cannot be told the text as
 * it is. Heap. To see whether a secret has changed. */
char *conf_expand_known(struct sl_slice text);

/* For programs that check a configuration where its secrets are not at hand: from now on an environment variable that is
 * not set, any file (which is then not opened) and any program (which is not run) is replaced by this text. NULL ends it.
 * @thread main */
void conf_expand_stand_in(const char *text);
bool conf_expand_stands_in(void); /* is that so now? Files that settings name are not looked at then */

/* The same option as conf_apply would take it from `text` (a command-line flag, a default). */
int conf_set_text(const struct conf_field *field, const char *text, void *into, struct sl_err *err) sl_warn_unused;

#endif
