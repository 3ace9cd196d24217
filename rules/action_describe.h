/* action_describe.h: what an action would get of a row, as JSON: for dry runs and tests of rules.
 *
 * One object, members in this order:
 *
 *     {"action": 0, "connector": "archive", "type": "sqlite", "params": {"device": "d7", "t": 31.5}, "bytes": "INSERT ..."}
 *     {"action": 1, "republish": {"topic": "alerts/d7", "payload": "{...}", "qos": 1, "retain": false}}
 *     {"action": 2, "console": "{\"device\":\"d7\"}"}
 *
 * params are the values as the encoded row has them: what is a number there is a number here. bytes is what the kind of
 * connector would send, as far as it says. payload_format,
 * message_expiry, content_type, response_topic, correlation_data and user_properties stand behind retain when there are any.
 * A text that is not UTF-8 stands as <name>_base64. An action that the row fails has "error", and nothing else.
 *
 * Thread: any. Pure. */
#ifndef ACTION_DESCRIBE_H
#define ACTION_DESCRIBE_H

#include "action.h"

/* Right after rule_action_eval(), while the row's values live: appends the object. */
void action_describe(const struct action_row *row, const struct action_cause *cause, struct sql_vm *vm,
		     struct sl_buf *out);

#endif
