/* import_connect.h: connectors of ours that an import makes, and the secrets that they need.
 *
 * A secret is never copied: the configuration gets ${NAME} of an environment variable, and the report says which to set.
 * Connectors that come out alike are one. What is told of a connector is told at the first rule that uses it.
 *
 * Lifetime: texts live in the import's arena. Thread: the program's main one. Never blocks. Errors: none; what has no like
 * here is noted. */
#ifndef IMPORT_CONNECT_H
#define IMPORT_CONNECT_H

#include "import.h"

/* What is being mapped, for notes. */
struct import_map {
	struct import *imp;
	struct import_rule *rule; /* NULL: of no rule, such as a source */
	const char *what;         /* "action pgsql:store", "connector pgsql:main" */
	bool quiet;               /* it has been said already */
};

void import_map_note(struct import_map *m, enum import_status status, const char *fmt, ...) sl_printf(3, 4);

/* `text` as it stands in an option that replaces ${...} itself. NULL stays NULL. */
const char *import_plain(struct import *imp, const char *text);
/* Sets a member to a text; NULL and "" set nothing. _plain: of an option that replaces ${...}. */
void import_set(json_t *into, const char *name, const char *text);
void import_set_plain(struct import_map *m, json_t *into, const char *name, const char *text);

/* Texts between commas, blanks taken off, each with the port where it has none (0: as they are). New reference. */
json_t *import_servers(struct import *imp, const char *text, unsigned port);

/* "${NAME}" for the secret `value`, NAME made of `base` and `option`: the same value keeps its name, another one gets a
 * number. The report says what to put there; `hint` (or NULL) says what else is to be known of it. */
const char *import_secret(struct import_map *m, const char *base, const char *option, const char *value,
			  const char *hint);

/* The name under which this connector stands: `name`, or with a number behind it. Takes the reference of `connector`. */
const char *import_connector_put(struct import *imp, const char *name, json_t *connector);

#endif
