/* filter_cover.h: topic filters as sets of topics: what two have in common, and whether some together hold all of another.
 *
 * A filter is the set of the topics that it matches (MQTT 4.7). These sets are closed under intersection, but not under union:
 * "a/#" is all of { "a", "a/+", "a/+/#" } together and none of them alone. The one idea needed: the levels that "+" stands
 * for are without number, so among them is one that no filter at hand names. Whoever holds the topics with such a level holds
 * the others too (filters that name the level only come on top); so one walk with that unnamed level decides, and the walk's
 * path is an example when the answer is no.
 *
 *     a/+/c  and  +/b/#      ->  a/b/c          sport/#  and  sport   ->  sport    ("#" is the parent, too)
 *     #      and  $SYS/+     ->  nothing        [MQTT-4.7.2-1]
 *
 * Filters are valid and without $share. Thread: any. Never blocks. */
#ifndef FILTER_COVER_H
#define FILTER_COVER_H

#include "arena.h"
#include "buf.h"
#include "slice.h"

/* Appends the filter of the topics that both match; false (and nothing appended) when there is none. */
bool filter_intersect(struct sl_slice a, struct sl_slice b, struct sl_buf *out);

/* Does each topic that `filter` matches match one of these? If not, appends a topic to *example (NULL: not wanted) that
 * matches `filter` and none of them. O(levels of filter and of the longest of them, times count). */
bool filter_covered(struct sl_slice filter, const struct sl_slice *by, size_t count, struct sl_buf *example);

#endif
