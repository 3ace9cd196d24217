/* topic_template.h: topics with places for a client's names: "cmd/${clientid}", and for what a regex found: "z/$1".
 *
 * A name is put in only where it cannot change the shape of the topic: one that is empty, holds "/", "+", "#" or U+0000, or begins with
 * "$" where the topic begins makes the whole topic not be made. So a client id of "#" subscribes to nothing that its owner
 * should not see. (Access rules judge placeholders in the same way.)
 *
 *     ${clientid} ${username}   of the client
 *     $1 .. $9, ${1} .. ${9}    groups of a regex, put in as they are: they come from the topic itself
 *     $$                        one "$"; before what is none of these a "$" stands for itself, as in "$share/g/t"
 * Pure. Thread: any. */
#ifndef SL_TOPIC_TEMPLATE_H
#define SL_TOPIC_TEMPLATE_H

#include "buf.h"
#include "err.h"
#include "slice.h"

enum { TOPIC_GROUPS_MAX = 10 }; /* the whole match, and nine groups */

struct topic_values {
	struct sl_slice clientid, username; /* empty: none */
	struct sl_slice groups[TOPIC_GROUPS_MAX];
};

/* Is it well-formed, with no group above groups_max (0: no groups)? SL_EINVAL, and err says what is wrong. */
int topic_template_check(struct sl_slice text, unsigned groups_max, struct sl_err *err);

/* Appends the topic. False: a name does not fit, or the text is not well-formed; what was appended is of no use then. */
bool topic_template_fill(struct sl_slice text, const struct topic_values *values, struct sl_buf *out);

#endif
