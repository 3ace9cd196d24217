/* emqx_sources.h: sources of EMQX: kafka_consumer becomes a source of ours, all others are noted.
 *
 * The name stays, so that FROM "$sources/kafka_consumer:NAME" finds it. What it needs is told at the first rule that names
 * it. Lifetime and errors: see emqx_actions.h. Thread: the program's main one. Never blocks. */
#ifndef EMQX_SOURCES_H
#define EMQX_SOURCES_H

#include "emqx_actions.h"

/* The rule's SQL with "$sources/kafka_consumer:NAME" for "$bridges/kafka_consumer:NAME", as sources were called before, where these
 * files have that source; places in the text stay. `sql` itself when there is nothing to do. */
const char *emqx_sources_renamed(const struct emqx *e, const char *sql);

/* Of all files. The rules are there already. */
void emqx_sources_add(struct emqx *e);

#endif
