#include "id_set.h"

#include "mem.h"

enum { LIST_MAX = 64, WORDS = 65536 / 64 };

static bool bit_get(const struct id_set *s, uint16_t id) { return (s->bits[id / 64] >> (id % 64) & 1) != 0; }

bool id_set_has(const struct id_set *s, uint16_t id) {
	if (s->bits) return bit_get(s, id);
	for (uint32_t i = 0; i < s->len; i++)
		if (s->list[i] == id) return true;
	return false;
}

static void to_bitmap(struct id_set *s) {
	s->bits = SL_NEW_ARRAY(uint64_t, WORDS);
	for (uint32_t i = 0; i < s->len; i++) s->bits[s->list[i] / 64] |= (uint64_t)1 << (s->list[i] % 64);
	sl_free(s->list);
	s->list = NULL;
	s->cap = 0;
}

void id_set_add(struct id_set *s, uint16_t id) {
	if (!s->bits && s->len == LIST_MAX) to_bitmap(s);
	if (s->bits) {
		s->bits[id / 64] |= (uint64_t)1 << (id % 64);
	} else {
		SL_GROW(s->list, s->len, s->cap);
		s->list[s->len] = id;
	}
	s->len++;
}

bool id_set_remove(struct id_set *s, uint16_t id) {
	if (s->bits) {
		if (!bit_get(s, id)) return false;
		s->bits[id / 64] &= ~((uint64_t)1 << (id % 64));
		s->len--;
		return true;
	}
	/* Ids are released in about the order they came in: the first ones are looked at first, and order is kept. */
	for (uint32_t i = 0; i < s->len; i++) {
		if (s->list[i] != id) continue;
		s->len--;
		for (uint32_t k = i; k < s->len; k++) s->list[k] = s->list[k + 1];
		return true;
	}
	return false;
}

bool id_set_next(const struct id_set *s, uint32_t *at, uint16_t *id) {
	if (!s->bits) {
		if (*at >= s->len) return false;
		*id = s->list[(*at)++];
		return true;
	}
	for (; *at < 65536; (*at)++) {
		if (!bit_get(s, (uint16_t)*at)) continue;
		*id = (uint16_t)(*at)++;
		return true;
	}
	return false;
}

void id_set_fini(struct id_set *s) {
	sl_free(s->list);
	sl_free(s->bits);
	*s = (struct id_set){0};
}
