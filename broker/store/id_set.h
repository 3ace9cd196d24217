/* id_set.h: a set of packet ids: the QoS 2 messages that came in and are not released yet.
 * A few ids stand in a list; a client that uses many gets a bitmap of 8 KB. Empty owns no memory once cleared.
 * Thread: one at a time. */
#ifndef ID_SET_H
#define ID_SET_H

#include "common.h"

struct id_set {
	uint16_t *list; /* `cap` places, while there is no bitmap */
	uint64_t *bits;
	uint32_t len, cap;
};

void id_set_fini(struct id_set *s);
bool id_set_has(const struct id_set *s, uint16_t id);
void id_set_add(struct id_set *s, uint16_t id);                       /* not one that is in */
bool id_set_next(const struct id_set *s, uint32_t *at, uint16_t *id); /* *at: 0 at first; false: there is no other */
bool id_set_remove(struct id_set *s, uint16_t id);                    /* false: was not in */

#endif
