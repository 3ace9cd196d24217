/* action.h: one action of a rule: what becomes of each row it produces.
 *
 *     connector   the row's parameters are evaluated and staged for the connector's pipeline
 *     republish   a message is made of the row and published, as if a client had sent it (action_republish.c)
 *     console     the row is printed to the log, for learning and for tests (action_console.c)
 *
 * Two steps, because a run that fails halfway (the third element of a FOREACH) must leave no row anywhere:
 * rule_action_eval() evaluates the templates while the row is there, into the vm's arena; rule_action_deliver() hands
 * on what it made when the run has ended well.
 *
 * A value that the action can't use (a topic with a wildcard in it) fails this action's row only.
 *
 * Lifetime: belongs to its rule. Thread: made on one, then constant; eval and deliver on a worker. Nothing blocks. */
#ifndef ACTION_H
#define ACTION_H

#include "connectors.h"
#include "log.h"
#include "republish_props.h"
#include "rule_stats.h"
#include "sql.h"

struct rules_worker;
struct rules_event;
struct rule;

enum action_kind { ACTION_CONNECTOR, ACTION_REPUBLISH, ACTION_CONSOLE };

struct action_connector {
	struct sl_action_spec *spec;  /* until the set is committed */
	struct sl_pipeline *pipeline; /* from then on */
	struct sql_template **params;
	uint16_t param_count;
	struct sql_template *order_key; /* NULL: rows need no order */
	uint32_t slot;                  /* which of the worker's stages */
};

struct action_republish {
	struct sql_template *topic, *payload;
	struct sql_template *qos, *retain; /* NULL: the QoS of the message that caused it; not retained */
	struct republish_props props;
};

struct rule_action {
	enum action_kind kind;
	uint32_t index; /* in the rule's `actions:`, from 0 */
	bool disabled;  /* no rows are made for it */
	char *label;    /* the connector's name, "republish" or "console" */
	uint64_t hash;  /* of what the configuration says of it */
	char *face;     /* likeness.h: what it is known by when the list of actions has changed */
	struct action_stats *stats;
	struct log_site *console_site; /* ACTION_CONSOLE: the rate limit's memory */
	union {
		struct action_connector connector;
		struct action_republish republish;
	};
};
void rule_action_fini(struct rule_action *a);

/* What rule_action_eval() makes of a row; lives in the vm's arena until the next run. */
struct republish_row {
	struct sl_slice topic, payload, properties; /* properties: an MQTT 5 block */
	uint8_t qos;
	bool retain;
};
struct action_row {
	const struct rule_action *action;
	bool failed; /* the reason is in the failure ring already */
	union {
		struct {
			const struct sql_value *values;
			uint64_t order;
		} connector;
		const struct republish_row *republish;
		struct sl_slice text; /* console: the row as JSON */
	};
};

/* The circumstances of a row. */
struct action_cause {
	struct rules_worker *rw;
	const struct rule *rule;
	const struct rules_event *ev;
	struct sl_ticket *ticket; /* or NULL */
	struct sl_origin from;    /* what dead letters say of the event; serial is 0 until the first row is delivered */
};

/* SL_OK, or a negative status with the reason in sql_vm_error(). */
int rule_action_eval(const struct rule_action *a, const struct action_cause *cause, struct sql_vm *vm,
		     const struct sql_out *row, struct action_row *out);
void rule_action_deliver(const struct action_row *row, const struct action_cause *cause);

/* The kinds. */
int action_republish_eval(const struct rule_action *a, const struct action_cause *cause, struct sql_vm *vm,
			  const struct sql_out *row, struct action_row *out);
void action_republish_deliver(const struct action_row *row, const struct action_cause *cause);
void action_republish_fini(struct action_republish *a);
/* The message that the row makes; qos is what it gets when the action does not say. SL_OK or as rule_action_eval(). */
int republish_eval(const struct action_republish *a, uint8_t qos, struct sql_vm *vm, const struct sql_out *row,
		   struct republish_row *m);
void action_console_eval(struct sql_vm *vm, const struct sql_out *row, struct action_row *out);
void action_console_deliver(const struct action_row *row, const struct action_cause *cause);

#endif
