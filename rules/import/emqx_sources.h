/* emqx_sources.h: sources of EMQX: kafka_consumer becomes a source of ours, all others are noted.
 *
 * The name stays, so that FROM "$sources/kafka_consumer:NAME" finds it. What it needs is told at the first rule that names
 * it. Lifetime and errors: see emqx_actions.h. Thread: the program's main one. Never blocks. */
#ifndef EMQX_SOURCES_H
#define EMQX_SOURCES_H

#include "emqx_actions.h"

/* Of all files. The rules are there already. */
void emqx_sources_add(struct emqx *e);

#endif
