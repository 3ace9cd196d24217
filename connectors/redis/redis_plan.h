/* redis_plan.h: an action's commands, compiled: which arguments are the same for every row, and which are a value of the row.
 *
 *     command: [HSET, "room:${device}", t, "${t}"]
 *     HSET | value 0 | t | value 1
 *
 * hiredis writes all of it, but what is the same for every row only once: of nearly every row it is given the values alone.
 *
 * A value is one argument, whatever bytes it has: nothing in it is ever a command. Where a command takes many (redis_commands.h),
 * one that is an object or array, alone in the last element, where no value of a field is expected, becomes many arguments; so does
 * the list that map_to_redis_hset_args() makes, also in other commands, when that last element itself calls it.
 *
 * Lifetime: the plan owns what it shows. Encoding writes to the caller's buffer. Thread: a plan any, once made.
 * Never blocks. Errors: SL_EINVAL, SL_ELIMIT with a text that names the option; of a row, why it cannot be sent. */
#ifndef REDIS_PLAN_H
#define REDIS_PLAN_H

#include "redis_commands.h"
#include "redis_resp.h"
#include "statement.h"

struct redis_stream_conf {
	bool given; /* first: see CONF_GIVEN */
	char *key, *id;
	int64_t maxlen;
	bool approximate;
	struct conf_map fields;
};

struct redis_action_conf {
	struct conf_list command;
	json_t *commands;
	bool transaction;
	struct redis_stream_conf stream;
	int64_t ttl_ms; /* 0: none */
	char *key;
};
extern const struct conf_field redis_action_fields[];

struct redis_piece {
	struct sl_slice *fixed; /* whole arguments; of a FIELD its name */
	size_t fixed_n, fixed_cap;
	int32_t param; /* what follows; -1: nothing */
	bool field;    /* name and value are left out when the value is NULL */
	bool key;      /* a NULL is refused */
	bool many;     /* an object or array may become many arguments */
};

struct redis_command {
	const struct redis_command_info *info;
	char *name;
	struct redis_piece *piece;
	size_t pieces, values;
	/* What stands before each value, and behind the last, as hiredis writes it. */
	struct sl_slice *ready;
	uint32_t args;  /* as nearly every row has; so says the head in ready[0] */
	uint32_t least; /* without any of the fields that may be left out, when there must be one; else 0 */
};

struct redis_plan {
	struct redis_command *command;
	size_t commands;
	struct sl_param_list params;
	char **owned; /* texts that params and pieces point into */
	size_t owned_n;
	int32_t key; /* the value of the option `key`; -1 */
	bool transaction;
};

enum { REDIS_COMMANDS_MAX = 64, REDIS_WORDS_MAX = 1000 };

/* plan must be zeroed; to be ended with redis_plan_fini() in any case. */
int redis_plan_make(const struct redis_action_conf *conf, struct redis_plan *plan, struct sl_err *err);
void redis_plan_fini(struct redis_plan *plan);

/* "HSET room:${device}": the name and the first key of each command (of FCALL its function, too), see `destination` in connector.h. Of
 * settings that make a plan. */
void redis_conf_destination(const struct redis_action_conf *conf, struct sl_buf *out);

/* Does a row say its second word: a subcommand, a script's hash? Or a key. */
bool redis_command_word_is_template(const struct redis_command *c);

/* Keys of further commands, which `ttl` does not reach: how many, and appends "l:${a} (LPUSH), ...". */
size_t redis_plan_ttl_misses(const struct redis_action_conf *conf, struct sl_buf *out);

/* One of its commands for this row; what was in args before is gone. They point into plan and row. On failure why says what is
 * wrong. */
int redis_command_args(const struct redis_plan *plan, size_t command, const void *row, struct redis_args *args,
		       struct sl_buf *why);
/* Appends commands [first, first + n) as requests, one after the other through args. On failure nothing is appended. */
int redis_encode(const struct redis_plan *plan, const void *row, size_t first, size_t n, struct redis_args *args,
		 struct sl_buf *out, struct sl_buf *why);
/* The same as people write it, a line a command: HSET "room:a" "t" "21.5". */
int redis_encode_shown(const struct redis_plan *plan, const void *row, struct sl_buf *out, struct sl_buf *why);

/* What decides which node of a cluster a command with these arguments goes to. *is_key is false for a channel or the like, which any
 * node takes. */
struct sl_slice redis_key_of(const struct redis_command *c, const struct redis_args *args, bool *is_key);

#endif
