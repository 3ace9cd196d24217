#include "alias_out.h"

#include <string.h>

#include "mem.h"

enum { WAYS = 8 };

struct group {
	uint64_t hash[WAYS];
	char *topic[WAYS]; /* NULL: the number is free */
	uint32_t used[WAYS];
	uint16_t len[WAYS];
	uint32_t missed; /* part of the hash of the last topic that found no place */
};

struct alias_out {
	uint32_t clock;
	uint16_t groups, ways;
	struct group v[];
};

struct alias_out *alias_out_new(uint16_t max) {
	uint16_t ways = max < WAYS ? max : WAYS, groups = (uint16_t)(max / ways);
	struct alias_out *a = sl_calloc(1, sizeof *a + groups * sizeof a->v[0]);
	a->groups = groups;
	a->ways = ways;
	return a;
}

void alias_out_free(struct alias_out *a) {
	if (!a) return;
	for (uint16_t g = 0; g < a->groups; g++)
		for (uint16_t i = 0; i < a->ways; i++) sl_free(a->v[g].topic[i]);
	sl_free(a);
}

static bool is_at(const struct group *g, uint16_t i, uint64_t hash, struct sl_slice topic) {
	return g->hash[i] == hash && g->topic[i] && slice_equal(slice_make(g->topic[i], g->len[i]), topic);
}

/* A free place, or that of the one unused longest; `ways` when the newcomer has to come once more. */
static uint16_t place_for(const struct alias_out *a, struct group *g, uint64_t hash) {
	uint16_t oldest = 0;
	for (uint16_t i = 0; i < a->ways; i++) {
		if (!g->topic[i]) return i;
		if ((int32_t)(g->used[i] - g->used[oldest]) < 0) oldest = i;
	}
	uint32_t part = (uint32_t)(hash >> 32);
	if (g->missed == part) return oldest;
	g->missed = part;
	return a->ways;
}

uint16_t alias_out_get(struct alias_out *a, uint64_t hash, struct sl_slice topic, bool *known) {
	uint16_t at = (uint16_t)(hash % a->groups), i = 0;
	struct group *g = &a->v[at];
	while (i < a->ways && !is_at(g, i, hash, topic)) i++;
	*known = i < a->ways;
	if (!*known) i = place_for(a, g, hash);
	if (i == a->ways) return 0;
	g->used[i] = ++a->clock;
	if (!*known) {
		sl_free(g->topic[i]);
		g->topic[i] = sl_memdup0(topic.p, topic.n);
		g->len[i] = (uint16_t)topic.n;
		g->hash[i] = hash;
	}
	return (uint16_t)(at * a->ways + i + 1);
}
