/* reject.h: `on_error` of a connector action: rows that the other side refused for good, published as messages.
 *
 * What is left of such a row are the values of the action's parameters. They are the columns that the templates of
 * `on_error` read, together with `reason` (why it was refused), `rule` (whose row it was) and `message` (where it came from, as in a
 * dead letter: origin.h; a parameter of that name hides it); `${.}` is all of them:
 *
 *     {"reason": "...", "rule": "hot_rooms", "device": "d7", "t": 31.5, "message": {"topic": "rooms/d7", ...}}
 *
 * A row of which no message can be made (a '+' in a value for the topic) goes to the dead-letter file.
 *
 * Rules do not see these messages: a rule that reads them and has its rows refused in turn would never end. They
 * carry more hops than any rule may cause, which is how rules_eval() knows them.
 *
 * Lifetime: made with its action; from sl_action_spec_on_error_set() on the connector layer owns it.
 * Thread: reject_row() on the connector loop, which sends the message to a worker; the same order key, the same worker. */
#ifndef REJECT_H
#define REJECT_H

#include "action.h"
#include "connectors.h"

enum { REJECT_HOPS = UINT8_MAX };

struct reject;

struct reject *reject_new(const struct sl_param *params, size_t count) sl_warn_unused;
void reject_free(void *reject);           /* a release function */
void reject_describe(struct sl_buf *out); /* the columns, for the reference */

/* What the templates are compiled against, and where they go. */
struct sql_program *reject_program(struct reject *r);
struct action_republish *reject_republish(struct reject *r);

/* A connectors_reject_fn; arg is the struct rules. */
int reject_row(void *arg, const struct sl_reject *row);

#endif
