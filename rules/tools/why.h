/* why.h: says step by step why a rule does, or does not, fire for a message: `sluice sql --why`.
 *
 *     FROM     room/+/telemetry: level 1 is 'hall', not 'room'
 *     PAYLOAD  JSON, 10 bytes
 *     WHERE    false  payload.t > 28                  <- rules the message out
 *                     payload.t = "hot": a text that is no number
 *
 * Each condition is run for itself as a small rule (sql_why.h), on the same engine; the publish path knows nothing of it.
 * Thread: the program's main one. Never blocks. */
#ifndef WHY_H
#define WHY_H

#include "sql_command_int.h"

/* Appends the steps up to the verdict, which is the caller's: outcome. program is the case's, compiled. */
void why_explain(const struct try_case *c, const struct sql_program *program, enum rule_try_outcome outcome,
		 struct sl_buf *out);

#endif
