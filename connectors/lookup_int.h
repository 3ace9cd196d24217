/* lookup_int.h: questions that are out, as the rest of the layer sees them. L: the connector loop. */
#ifndef SL_LOOKUP_INT_H
#define SL_LOOKUP_INT_H

#include "connectors_int.h"
#include "lookup.h"

struct lookups;

struct lookups *lookups_new(struct connectors *cs);
void lookups_conn_closes(struct sl_conn *c); /* L: who asked it is told, before the kind closes */
void lookups_stop(struct connectors *cs);    /* L: from now on everybody is told SL_ECLOSED at once */
void lookups_free(struct lookups *l);        /* nothing is out; NULL is fine */

#endif
