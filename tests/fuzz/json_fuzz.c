/* json_fuzz.c: any bytes through the whole JSON layer. They are a document for the validity check, for a fixed set of
 * paths (each compared with what a walk by iterator finds), and, where valid, for a walk that decodes every string and
 * number and writes everything again: the copy must be valid and must say the same. All but UTF-8 is asked of documents with any text. jansson is the judge of validity. */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "jindex_int.h"
#include "jpath.h"
#include "jscan.h"
#include "jwrite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not sl_assert: a find should say where in this file it was made. */
#define MUST(e)                                                                                                        \
	do {                                                                                                           \
		if (!(e)) __builtin_trap();                                                                            \
	} while (0)

#define KEY(text)                                                                                                      \
	{ .key = SL_SLICE_LIT(text) }
#define INDEX(n)                                                                                                       \
	{ .index = (n), .is_index = true }
static const struct jpath_step step_a[] = {KEY("a")}, step_ab[] = {KEY("a"), KEY("b")},
			       step_temp[] = {KEY("measurements"), KEY("temp")},
			       step_rpm[] = {KEY("measurements"), KEY("rpm")}, step_list[] = {KEY("list"), INDEX(1)},
			       step_deep[] = {KEY("list"), INDEX(1), KEY("a")}, step_empty[] = {KEY("")},
			       step_first[] = {INDEX(0)}, step_long[] = {KEY("a name of more than sixteen bytes")};
#define PATH(steps_)                                                                                                   \
	{ .steps = (steps_), .n = SL_ARRAY_LEN(steps_) }
static const struct jpath paths[] = {PATH(step_a),    PATH(step_ab),   PATH(step_temp),  PATH(step_rpm),
				     PATH(step_list), PATH(step_deep), PATH(step_empty), PATH(step_first),
				     PATH(step_long), PATH(step_a),    {.n = 0}};
enum { PATHS = SL_ARRAY_LEN(paths) };

static void rewrite(struct jwrite *w, const struct jpath_hit *hit, struct sl_arena *arena);

/* A string that cannot be decoded ends up raw: jwrite_done() is then not looked at. */
static struct sl_slice text_of(const struct jpath_hit *hit, struct sl_arena *arena) {
	struct sl_slice text;
	return jscan_string(hit, arena, &text) == SL_OK ? text : hit->raw;
}

static void rewrite_members(struct jwrite *w, const struct jpath_hit *hit, struct sl_arena *arena) {
	struct jscan_iter it;
	struct jpath_hit key, value;
	MUST(jscan_begin(&it, hit) == SL_OK);
	while (jscan_next(&it, &key, &value) == 1) {
		if (hit->kind == JKIND_OBJECT) jwrite_key(w, text_of(&key, arena));
		rewrite(w, &value, arena);
	}
}

static void rewrite(struct jwrite *w, const struct jpath_hit *hit, struct sl_arena *arena) {
	int64_t i = 0;
	double d = 0;
	switch (hit->kind) {
	case JKIND_ABSENT: MUST(false); return;
	case JKIND_NULL: jwrite_null(w); return;
	case JKIND_TRUE: jwrite_bool(w, true); return;
	case JKIND_FALSE: jwrite_bool(w, false); return;
	case JKIND_INT:
		MUST(jscan_i64(hit, &i) == SL_OK);
		jwrite_i64(w, i);
		return;
	case JKIND_DOUBLE:
		if (jscan_double(hit, &d) == SL_OK)
			jwrite_double(w, d);
		else
			jwrite_hit(w, hit);
		return;
	case JKIND_STRING: jwrite_string(w, text_of(hit, arena)); return;
	case JKIND_OBJECT:
		jwrite_object_begin(w);
		rewrite_members(w, hit, arena);
		jwrite_object_end(w);
		return;
	case JKIND_ARRAY:
		jwrite_array_begin(w);
		rewrite_members(w, hit, arena);
		jwrite_array_end(w);
		return;
	}
}

/* The last member, or the element, that the step names; ABSENT when there is none. */
static struct jpath_hit step_into(const struct jpath_hit *at, const struct jpath_step *step, struct sl_arena *arena) {
	struct jscan_iter it;
	struct jpath_hit key, value, found = {0};
	if (at->kind != (step->is_index ? JKIND_ARRAY : JKIND_OBJECT)) return (struct jpath_hit){0};
	MUST(jscan_begin(&it, at) == SL_OK);
	for (int32_t index = 0; jscan_next(&it, &key, &value) == 1; index++)
		if (step->is_index ? index == step->index : slice_equal(text_of(&key, arena), step->key)) found = value;
	return found;
}

static void check_hits(struct sl_slice doc, const struct jpath_hit *hits, int r, bool valid, struct sl_arena *arena) {
	struct jpath_hit whole;
	MUST(r == (valid ? SL_OK : SL_EMALFORMED));
	for (size_t i = 0; i < PATHS; i++) MUST(valid || hits[i].kind == JKIND_ABSENT);
	if (!valid) return;
	MUST(jscan_value_any_text(doc, &whole) == SL_OK);
	for (size_t i = 0; i < PATHS; i++) {
		struct jpath_hit at = whole;
		for (size_t k = 0; k < paths[i].n; k++) at = step_into(&at, &paths[i].steps[k], arena);
		MUST(at.kind == hits[i].kind && at.raw.p == hits[i].raw.p && at.raw.n == hits[i].raw.n);
		MUST(at.flags == hits[i].flags);
	}
}

static void check_paths(const struct jpath_set *set, struct sl_slice doc, bool valid, struct sl_arena *arena) {
	struct jpath_hit hits[PATHS];
	int r = jpath_extract(set, doc, hits);
	check_hits(doc, hits, r, valid, arena);
}

/* With bytes beyond ASCII let through, a document is JSON if it is with an ASCII letter in the place of each. */
static bool check_any_text(const struct jpath_set *set, struct sl_slice doc, struct sl_arena *arena) {
	struct jpath_hit hits[PATHS], hit;
	struct sl_slice plain = sl_arena_dup(arena, doc);
	char *letters = (char *)(uintptr_t)plain.p;
	for (size_t i = 0; i < plain.n; i++)
		if ((unsigned char)letters[i] >= 0x80) letters[i] = 'x';
	bool valid = jscan_valid(plain);
	MUST((jscan_value_any_text(doc, &hit) == SL_OK) == valid);
	int r = jpath_extract_any_text(set, doc, hits);
	check_hits(doc, hits, r, valid, arena);
	return valid;
}

/* The index is made in one of two ways, as the machine allows: with the same result. */
static void check_index(struct sl_slice doc) {
	struct jindex a, b;
	bool more = doc.n > 0;
	jindex_init(&a, doc);
	jindex_init(&b, doc);
	while (more) {
		more = jindex_fill(&a);
		MUST(jindex_fill_plain(&b) == more && a.broken == b.broken && a.not_ascii == b.not_ascii);
		MUST(a.escapes == b.escapes && a.last - a.blocks == b.last - b.blocks);
		for (const uint64_t *x = a.blocks, *y = b.blocks; x < a.last;) MUST(*x++ == *y++);
	}
}

/* Is the grammar satisfied though jansson says no? It has limits of its own. */
static bool jansson_is_narrower(const json_error_t *e) {
	enum json_error_code code = json_error_code(e);
	return code == json_error_numeric_overflow || code == json_error_null_byte_in_key ||
	       strstr(e->text, "invalid Unicode");
}

static void check_against_jansson(struct sl_slice doc, bool valid) {
	json_error_t e;
	json_t *twin = json_loadb(doc.p, doc.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &e);
	/* A long document may be too deep for us alone; and jansson drops a NUL byte that ends a token. */
	bool ours_is_narrower = doc.n > JSCAN_DEPTH_MAX || memchr(doc.p, 0, doc.n);
	MUST(valid ? twin || jansson_is_narrower(&e) : !twin || ours_is_narrower);
	json_decref(twin);
}

static void check_rewriting(struct sl_slice doc, struct sl_arena *arena) {
	struct jpath_hit whole;
	struct jwrite w;
	struct sl_buf once = SL_BUF_INIT, twice = SL_BUF_INIT;
	MUST(jscan_value_any_text(doc, &whole) == SL_OK);
	jwrite_init(&w, &once);
	rewrite(&w, &whole, arena);
	MUST(jwrite_done(&w) == SL_OK && jscan_valid(sl_buf_slice(&once)));
	MUST(jscan_value(sl_buf_slice(&once), &whole) == SL_OK);
	jwrite_init(&w, &twice);
	rewrite(&w, &whole, arena);
	MUST(slice_equal(sl_buf_slice(&once), sl_buf_slice(&twice)));
	sl_buf_fini(&once);
	sl_buf_fini(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	static struct jpath_set *set;
	if (!set) MUST(jpath_set_new(paths, PATHS, &set) == SL_OK);
	char *exact = malloc(size ? size : 1); /* so that ASan sees a byte read too far */
	if (size) memcpy(exact, data, size);
	struct sl_slice doc = slice_make(exact, size);
	struct sl_arena arena;
	struct sl_buf quoted = SL_BUF_INIT;
	sl_arena_init(&arena, 1024);
	bool valid = jscan_valid(doc);
	check_paths(set, doc, valid, &arena);
	bool any = check_any_text(set, doc, &arena);
	MUST(any || !valid);
	check_index(doc);
	check_against_jansson(doc, valid);
	if (any) check_rewriting(doc, &arena);
	jwrite_quote(&quoted, doc); /* any bytes make a JSON string */
	MUST(jscan_valid(sl_buf_slice(&quoted)));
	sl_buf_fini(&quoted);
	sl_arena_fini(&arena);
	free(exact);
	return 0;
}
