/* sql_command_int.h: what the files of `sluice sql` share: a rule with a message for it, and how it runs.
 *
 *     sql_command.c   what to do, one message
 *     sql_args.c      options
 *     sql_jsonl.c     a case a line from standard input
 *     try_case.c      compiling and running a case, wherever it comes from
 *
 * Thread: the program's main one. */
#ifndef SQL_COMMAND_INT_H
#define SQL_COMMAND_INT_H

#include <stdio.h>

#include "rule_try.h"
#include "try_event.h"

enum { EXIT_FINE = 0, EXIT_INPUT = 1, EXIT_USAGE = 2, EXIT_SYSTEM = 3 }; /* as everywhere in the program */

/* A rule and its message, wherever they come from. Slices are borrowed. */
struct try_case {
	struct sl_slice sql, topic, payload, clientid, username, dialect;
	struct sl_slice user_properties; /* as in a packet */
	int64_t qos, timestamp;          /* timestamp < 0: now */
	/* An event: its name, or a topic that starts with $events/; its columns as JSON. try_case_begin() makes it. */
	struct sl_slice event, columns;
	const struct try_event *made;
	/* of the aws dialect; empty: as when the broker knows nothing of it */
	struct sl_slice rule; /* its name, for $aws/rules/RULE/...; empty: whatever the topic says */
	struct sl_slice sql_version, accountid, principal, sourceip, traceid;
	struct sl_slice content_type, response_topic, correlation_data;
	bool not_mqtt, utf8_data, decimal_division;
};
#define TRY_CASE_INIT                                                                                                  \
	{ .clientid = SL_SLICE_LIT("sluice-sql"), .dialect = SL_SLICE_LIT("standard"), .timestamp = -1 }

/* SL_OK and *out, or as sql_compile(): err has line and column within c->sql. */
int try_case_compile(const struct try_case *c, struct rule **out, struct sl_err *err);

/* What the message lacks is said here, before the rule meets it; an event is made in *e, which the caller frees with
 * try_event_fini(). */
int try_case_begin(struct try_case *c, struct try_event *e, struct sl_err *err);

/* The message. Borrows from c. */
void try_case_event(const struct try_case *c, struct rules_event *ev);

/* Takes over r; see rule_try.h. */
enum rule_try_outcome try_case_run(const struct try_case *c, struct rule *r, struct sl_buf *rows, struct sl_err *err);

/* The command line. */
struct sql_args {
	struct try_case c; /* borrows from the command line and from what is below */
	struct sl_slice rule, conf, payload_file;
	struct sl_buf user_properties, file;
	bool explain, jsonl, why, actions, help;
};
#define SQL_ARGS_INIT                                                                                                  \
	{ .c = TRY_CASE_INIT }
extern const char sql_help[];

/* Returns the exit code; what is wrong is said on standard error. Ends with sql_args_fini() in any case. */
int sql_args_parse(int argc, char **argv, struct sql_args *a);
void sql_args_fini(struct sql_args *a);

/* Cases from `in`, an answer a line to `out`. Returns the exit code. */
int sql_jsonl_run(FILE *in, FILE *out);

#endif
