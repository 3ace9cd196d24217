/* redis_commands.h: what is known of Redis' commands: which argument is the key, which take many values, which are refused.
 *
 * A command that is not in the table is fine, unless it looks misspelt: its first argument is taken for its key.
 * Lifetime: constant. Thread: any. Never blocks. */
#ifndef REDIS_COMMANDS_H
#define REDIS_COMMANDS_H

#include "buf.h"
#include "slice.h"

enum redis_many {
	REDIS_ONE,   /* an object or array is one argument: its JSON text */
	REDIS_ITEMS, /* an array becomes one argument an element */
	REDIS_PAIRS  /* an object becomes name, value, name, value; so does an array, element by element */
};
enum { REDIS_NO_KEY = 0, REDIS_KEY_BY_COUNT = 255 /* argument 2 counts the keys, which follow it */ };

struct redis_command_info {
	const char *name;
	uint8_t key; /* number of the argument that is the first key; the command's name is 0 */
	enum redis_many many;
	const char *refused; /* NULL, or why it is no command for an action */
};

/* It runs a script, which may answer with any error. */
static inline bool redis_command_is_script(const struct redis_command_info *info) {
	return info->key == REDIS_KEY_BY_COUNT;
}

/* Never NULL: for a name that is unknown, what holds for most. Upper or lower case. */
const struct redis_command_info *redis_command_find(struct sl_slice name);

/* For a name that no server is known to have and that is one letter away from a command: that one. Else NULL; a module's (JSON.SET), or
 * what a server has renamed, may be anything. */
const char *redis_command_meant(struct sl_slice name);

/* Tables in Markdown, for the README. */
void redis_commands_print(struct sl_buf *out);
void redis_commands_refused_print(struct sl_buf *out);

#endif
