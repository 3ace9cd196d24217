/* conf_report.h: all that is wrong with a configuration, each with its place.
 *
 * A user wants every mistake of a file at once, not the first only. Checks put errors into a report and go on; the
 * first CONF_REPORT_MAX are kept and the rest is counted.
 *
 *     struct conf_report report = CONF_REPORT_INIT;
 *     ... conf_apply(fields, tree, at, &settings, &report) ...
 *     if (report.len > 0) { char *text = conf_report_format(&report); ... sl_free(text); }
 *     conf_report_fini(&report);
 *
 * A message is "file:line:column: option.path: what is wrong; what to do".
 * Thread: one at a time. Never blocks. */
#ifndef SL_CONF_REPORT_H
#define SL_CONF_REPORT_H

#include "common.h"
#include "err.h"
#include "yaml.h"

#define CONF_REPORT_MAX 20

struct conf_report {
	struct sl_err errs[CONF_REPORT_MAX];
	size_t len;
	size_t dropped; /* found but not kept */
};
#define CONF_REPORT_INIT                                                                                               \
	{ 0 }

/* A place in the configuration. `doc` NULL: a tree that came without a file (HTTP API); messages then have the
 * path only. Both are borrowed for the time of the call. */
struct conf_at {
	const struct yaml_doc *doc;
	const char *path; /* see yaml.h; "" is the whole */
};
enum conf_spot { CONF_AT_KEY, CONF_AT_VALUE };

void conf_report_fini(struct conf_report *report); /* also makes it ready to be used again */

/* Adds "path: text" at the key or the value of at.path. Returns status, so that `return conf_report_add(...)`
 * reads well. */
int conf_report_add(struct conf_report *report, struct conf_at at, enum conf_spot spot, int status, const char *fmt,
		    ...) sl_printf(5, 6);

/* Takes over an error that a checker made about the text of at.path (SQL, a template): its line and column, when
 * set, are places inside that text and are mapped to the file; otherwise the place is the value. err is empty
 * afterwards. Returns its status. */
int conf_report_text(struct conf_report *report, struct conf_at at, struct sl_err *err);

/* Takes over an error as it is, place included (for example from yaml_doc_load_file). err is empty afterwards. */
int conf_report_take(struct conf_report *report, struct sl_err *err);

/* The first error's status, or SL_OK when there is none. */
int conf_report_status(const struct conf_report *report);

/* One error a line, in the order of the file, and "... and 3 more" at the end. Heap; free with sl_free(). */
char *conf_report_format(const struct conf_report *report) sl_warn_unused;

#endif
