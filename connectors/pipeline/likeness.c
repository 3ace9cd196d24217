#include "likeness.h"

#include <inttypes.h>
#include <stdlib.h>

#include "buf.h"
#include "err.h"
#include "hash.h"
#include "mem.h"

#define LINE 33 /* two numbers of 16 digits, and the line's end */
#define HEAD (2 * LINE)

static const char nowhere[] = "00000000000000000000000000000000\n";

static char *line_of(const char *name, const char *text) {
	return sl_asprintf("%016" PRIx64 "%016" PRIx64 "\n", sl_hash_stable(slice_from_str(name)),
			   sl_hash_stable(slice_from_str(text)));
}

static void line_add(struct sl_buf *out, const char *name, const char *text) {
	char *line = line_of(name, text);
	sl_buf_append_str(out, line);
	sl_free(line);
}

static int line_order(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

char *likeness_face(const json_t *action, const char *destination) {
	struct sl_buf out = SL_BUF_INIT;
	size_t n = 0;
	char **lines = SL_NEW_ARRAY(char *, json_object_size(action) + 1);
	const char *key, *connector = json_string_value(json_object_get(action, "connector"));
	json_t *value;
	line_add(&out, "connector", connector ? connector : "");
	if (destination)
		line_add(&out, "destination", destination);
	else
		sl_buf_append_str(&out, nowhere);
	json_object_foreach((json_t *)(uintptr_t)action, key, value) {
		if (strcmp(key, "connector") == 0) continue;
		char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
		lines[n++] = line_of(key, text ? text : "");
		free(text);
	}
	qsort(lines, n, sizeof *lines, line_order);
	for (size_t i = 0; i < n; i++) {
		sl_buf_append_str(&out, lines[i]);
		sl_free(lines[i]);
	}
	sl_free(lines);
	return sl_buf_steal(&out);
}

/* Of hexadecimal digits, all of this length with their ends. */
static bool lines_sound(struct sl_slice lines, size_t length) {
	for (size_t i = 0; i < lines.n; i++) {
		char c = lines.p[i];
		bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
		if (i % length == length - 1 ? c != '\n' : !digit) return false;
	}
	return lines.n % length == 0;
}

static bool face_sound(struct sl_slice face) { return face.n >= HEAD && lines_sound(face, LINE); }

static const char *destination_line(struct sl_slice face) { return face.p + LINE; }
static bool destination_known(struct sl_slice face) { return memcmp(destination_line(face), nowhere, LINE) != 0; }

/* ---- What a log says of its action and others. -------------------------------------------------------------------------------- */

#define OTHER 17 /* a number of 16 digits, and the line's end */
#define GONE "gone\n"

/* Who writes to the same is not told apart. */
static void other_add(struct sl_buf *out, struct sl_slice face) {
	if (destination_known(face)) face.n = HEAD;
	sl_buf_printf(out, "%016" PRIx64 "\n", sl_hash_stable(face));
}

static bool is_among(struct sl_slice others, struct sl_slice face) {
	struct sl_buf line = SL_BUF_INIT;
	bool yes = false;
	other_add(&line, face);
	for (; others.n >= OTHER && !yes; others = slice_from(others, OTHER))
		yes = memcmp(others.p, line.p, OTHER) == 0;
	sl_buf_fini(&line);
	return yes;
}

char *likeness_owner(const char *face, uint32_t place, const char *const *others, size_t n) {
	struct sl_buf out = SL_BUF_INIT, own = SL_BUF_INIT;
	sl_buf_printf(&out, "%sat %" PRIu32 "\n", face, place);
	other_add(&own, slice_from_str(face));
	for (size_t i = 0; i < n; i++) {
		size_t before = out.n;
		other_add(&out, slice_from_str(others[i]));
		if (memcmp(out.p + before, own.p, OTHER) == 0) out.n = before;
	}
	sl_buf_fini(&own);
	return sl_buf_steal(&out);
}

char *likeness_owner_gone(const char *owner) { return sl_asprintf("%s" GONE, owner); }

/* Takes "at 3" and its line's end off. */
static bool place_read(struct sl_slice *text, uint32_t *place) {
	int64_t n;
	ptrdiff_t end = slice_find_byte(*text, '\n');
	if (end < 3 || memcmp(text->p, "at ", 3) != 0 ||
	    slice_to_i64(slice_make(text->p + 3, (size_t)end - 3), &n) != SL_OK || n < 0 || n > UINT32_MAX)
		return false;
	*place = (uint32_t)n;
	*text = slice_from(*text, (size_t)end + 1);
	return true;
}

bool likeness_owner_read(struct sl_slice owner, struct likeness_side *out) {
	const struct sl_slice end = SL_SLICE_LIT(GONE);
	struct likeness_side read = *out;
	size_t n = 0;
	while (n + LINE <= owner.n && memcmp(owner.p + n, "at ", 3) != 0) n += LINE;
	read.face = slice_make(owner.p, n);
	read.others = slice_from(owner, n);
	if (!face_sound(read.face) || !place_read(&read.others, &read.place)) return false;
	read.gone = read.others.n >= end.n && slice_equal(slice_from(read.others, read.others.n - end.n), end);
	if (read.gone) read.others.n -= end.n;
	if (!lines_sound(read.others, OTHER)) return false;
	*out = read;
	return true;
}

/* ---- Compared. ------------------------------------------------------------------------------------------------------------------ */

/* Lines are in order. */
static uint32_t in_common(struct sl_slice a, struct sl_slice b) {
	uint32_t n = 0;
	while (a.n && b.n) {
		int order = memcmp(a.p, b.p, LINE);
		n += order == 0;
		if (order <= 0) a = slice_from(a, LINE);
		if (order >= 0) b = slice_from(b, LINE);
	}
	return n;
}

uint32_t likeness(const struct likeness_side *a, const struct likeness_side *b) {
	bool same_place = a->place == b->place;
	if (a->face.n == 0 || b->face.n == 0) return same_place;
	if (memcmp(a->face.p, b->face.p, LINE) != 0) return 0;
	struct sl_slice one = slice_from(a->face, HEAD), other = slice_from(b->face, HEAD);
	if (slice_equal(one, other)) return LIKENESS_EQUAL + same_place;
	uint32_t common = in_common(one, other);
	bool same_destination = memcmp(destination_line(a->face), destination_line(b->face), LINE) == 0;
	bool known = destination_known(a->face);
	bool place_counts = same_place && !b->gone && !is_among(b->others, a->face);
	if (!place_counts && !(same_destination && (known || common))) return 0;
	return (same_destination && known ? LIKENESS_DESTINATION : 0) + 4 * common + (same_place ? 2 : 0);
}

void likeness_pair(const struct likeness_side *left, size_t left_n, const struct likeness_side *right, size_t right_n,
		   size_t *pair) {
	uint32_t *like = SL_NEW_ARRAY(uint32_t, left_n * right_n + 1);
	for (size_t i = 0; i < left_n; i++) {
		pair[i] = LIKENESS_NONE;
		for (size_t j = 0; j < right_n; j++) like[i * right_n + j] = likeness(&left[i], &right[j]);
	}
	for (;;) {
		size_t best = 0;
		for (size_t at = 1; at < left_n * right_n; at++)
			if (like[at] > like[best]) best = at;
		if (left_n * right_n == 0 || like[best] == 0) break;
		size_t i = best / right_n, j = best % right_n;
		pair[i] = j;
		for (size_t k = 0; k < right_n; k++) like[i * right_n + k] = 0;
		for (size_t k = 0; k < left_n; k++) like[k * right_n + j] = 0;
	}
	sl_free(like);
}
