#include "likeness.h"

#include <inttypes.h>
#include <stdlib.h>

#include "buf.h"
#include "hash.h"
#include "mem.h"

static void line_add(struct sl_buf *out, const char *name, const char *text) {
	sl_buf_printf(out, "%016" PRIx64 "%016" PRIx64 "\n", sl_hash_stable(slice_from_str(name)),
		      sl_hash_stable(slice_from_str(text)));
}

static int line_order(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

char *likeness_face(const json_t *action) {
	struct sl_buf out = SL_BUF_INIT;
	size_t n = 0;
	const char **names = SL_NEW_ARRAY(const char *, json_object_size(action) + 1);
	const char *key, *connector = json_string_value(json_object_get(action, "connector"));
	json_t *value;
	line_add(&out, "connector", connector ? connector : "");
	json_object_foreach((json_t *)(uintptr_t)action, key, value) {
		if (strcmp(key, "connector") != 0) names[n++] = key;
	}
	qsort(names, n, sizeof *names, line_order);
	for (size_t i = 0; i < n; i++) {
		char *text =
		    json_dumps(json_object_get(action, names[i]), JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
		line_add(&out, names[i], text ? text : "");
		free(text);
	}
	sl_free(names);
	return sl_buf_steal(&out);
}

#define LINE 33 /* two numbers of 16 digits, and the line's end */

/* The connector's line is the first; the others are few, and looked for one by one. */
static bool line_has(struct sl_slice face, const char *line) {
	for (size_t at = 0; at + LINE <= face.n; at += LINE)
		if (memcmp(face.p + at, line, LINE) == 0) return true;
	return false;
}

uint32_t likeness(const struct likeness_side *a, const struct likeness_side *b) {
	bool same_place = a->place == b->place;
	if (a->face.n < LINE || b->face.n < LINE) return same_place;
	if (memcmp(a->face.p, b->face.p, LINE) != 0) return 0;
	if (slice_equal(a->face, b->face)) return LIKENESS_EQUAL + same_place;
	uint32_t common = 0;
	for (size_t at = LINE; at + LINE <= a->face.n; at += LINE) common += line_has(b->face, a->face.p + at);
	if (same_place) return 4 * common + 2;
	return 4 * common;
}

void likeness_pair(const struct likeness_side *left, size_t left_n, const struct likeness_side *right, size_t right_n,
		   size_t *pair) {
	bool *taken = SL_NEW_ARRAY(bool, right_n + 1);
	for (size_t i = 0; i < left_n; i++) pair[i] = LIKENESS_NONE;
	for (;;) {
		uint32_t most = 0;
		size_t best = 0, with = 0;
		for (size_t i = 0; i < left_n && most <= LIKENESS_EQUAL; i++) {
			if (pair[i] != LIKENESS_NONE) continue;
			for (size_t j = 0; j < right_n; j++) {
				uint32_t like = taken[j] ? 0 : likeness(&left[i], &right[j]);
				if (like <= most) continue;
				most = like;
				best = i;
				with = j;
			}
		}
		if (most == 0) break;
		pair[best] = with;
		taken[with] = true;
	}
	sl_free(taken);
}
