/* republish_props.h: the MQTT 5 properties that a republish action gives its messages.
 *
 * Each is a template; user properties are one template a name, or one that gives them all. NULL and the empty text leave a
 * property out, so that `response_topic: "${pub_props.'Response-Topic'}"` passes on what there is. A value that cannot be
 * sent (an expiry that is no number, a response topic with a wildcard) fails the row with its reason, as a topic does.
 *
 *     row -> republish_props_eval() -> 01 01  02 00 00 00 3c  26 00 01 k 00 01 v     the block as it stands in a packet
 *
 * Lifetime: of its action; what eval makes lives in the vm's arena. Thread: as action.h. Nothing blocks. */
#ifndef REPUBLISH_PROPS_H
#define REPUBLISH_PROPS_H

#include "sql.h"

struct republish_pair {
	char *name;
	struct sql_template *value;
};
struct republish_props {
	/* NULL: not said */
	struct sql_template *payload_format, *message_expiry, *content_type, *response_topic, *correlation_data;
	struct sql_template *users;   /* gives an object or a list of pairs; or else */
	struct republish_pair *pairs; /* one by one */
	size_t pair_count;
};
void republish_props_fini(struct republish_props *p);

/* SL_OK, or a negative status with the reason in sql_vm_error(). *out is empty when there are none. `payload` is the
 * message's. */
int republish_props_eval(const struct republish_props *p, struct sql_vm *vm, const struct sql_out *row,
			 struct sl_slice payload, struct sl_slice *out);

/* What the options take as text: 0, 1 or MQTT's names; seconds or a duration. */
bool republish_format_parse(struct sl_slice text, uint32_t *out);
bool republish_expiry_parse(struct sl_slice text, uint32_t *out);

#endif
