/* json_random_test.c: random documents, whole and damaged, against two twins: jansson for what JSON is, and a naive
 * walk for what the path set finds. Documents lie in heap blocks of their exact size, so that ASan sees any byte
 * read too far. Runs are repeatable: the seed is fixed, and printed where a comparison fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "buf.h"
#include "jindex_int.h"
#include "jpath.h"
#include "jscan.h"
#include "jwrite.h"
#include "mem.h"

static uint64_t seed;

static uint32_t below(uint32_t bound) {
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((seed >> 33) % bound);
}

#define PICK(list) ((list)[below((uint32_t)SL_ARRAY_LEN(list))])

static void put_space(struct sl_buf *b) {
	static const char *const spaces[] = {"", "", "", "", "", " ", "\n", "\t ", "\r\n", "                    "};
	sl_buf_append_str(b, PICK(spaces));
}

static void put_text(struct sl_buf *b) {
	static const char *const parts[] = {"a",        "temp",         "0123456789",
					    "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
					    "\\n",      "\\\"",         "\\\\",
					    "\\/",      "\\u00e4",      "\\ud83d\\ude00",
					    "\\u0041",  "[{,:}]",       "a long piece of plain text here"};
	for (uint32_t n = below(5); n; n--) sl_buf_append_str(b, PICK(parts));
}

static void put_number(struct sl_buf *b) {
	static const char *const odd[] = {"0",
					  "-0",
					  "-0.0",
					  "1e5",
					  "1E-3",
					  "1.5e+3",
					  "9223372036854775807",
					  "-9223372036854775808",
					  "0.1",
					  "123456.789",
					  "1e300",
					  "3.141592653589793"};
	switch (below(4)) {
	case 0: sl_buf_append_str(b, PICK(odd)); return;
	case 1: sl_buf_printf(b, "%d", (int)below(2000) - 1000); return;
	case 2: sl_buf_printf(b, "%.3f", ((double)below(2000000) - 1000000) / 1000); return;
	case 3: sl_buf_printf(b, "%.17g", ((double)below(1u << 31) + 0.5) / 7919); return;
	}
}

/* Names: few, so that paths hit them; `unique` adds the position. Now and then spelled with an escape. */
static void put_name(struct sl_buf *b, bool unique, uint32_t position) {
	static const char *const names[] = {"a",
					    "b",
					    "\\u0061",
					    "temp",
					    "t\\u0065mp",
					    "measurements",
					    "measurement_01",
					    "measurement_02",
					    "a name of more than sixteen bytes",
					    ""};
	sl_buf_put(b, '"');
	sl_buf_append_str(b, PICK(names));
	if (unique) sl_buf_printf(b, "%u", position);
	sl_buf_put(b, '"');
}

static void put_value(struct sl_buf *b, bool unique, int depth) {
	static const char *const literals[] = {"true", "false", "null"};
	uint32_t what = below(depth > 0 ? 10 : 6);
	if (what < 2) {
		sl_buf_put(b, '"');
		put_text(b);
		sl_buf_put(b, '"');
	} else if (what < 5) {
		put_number(b);
	} else if (what < 6) {
		sl_buf_append_str(b, PICK(literals));
	} else {
		bool object = what < 9;
		sl_buf_put(b, object ? '{' : '[');
		uint32_t n = below(7);
		for (uint32_t i = 0; i < n; i++) {
			put_space(b);
			if (object) {
				put_name(b, unique, i);
				put_space(b);
				sl_buf_put(b, ':');
				put_space(b);
			}
			put_value(b, unique, depth - 1);
			put_space(b);
			if (i + 1 < n) sl_buf_put(b, ',');
		}
		put_space(b);
		sl_buf_put(b, object ? '}' : ']');
	}
}

static void make_document(struct sl_buf *b, bool unique) {
	sl_buf_clear(b);
	put_space(b);
	size_t start = b->n;
	do {
		b->n = start;
		put_value(b, unique, 6);
	} while (b->p[start] != '{' && below(20) != 0);
	put_space(b);
}

static void damage(struct sl_buf *b) {
	static const char bytes[] = "\"\\{}[],:0-+.eEtfn u\x01\x80\xc3\xff ";
	for (uint32_t n = 1 + below(3); n && b->n; n--) {
		uint32_t at = below((uint32_t)b->n);
		switch (below(4)) {
		case 0: b->p[at] = bytes[below(sizeof bytes - 1)]; break;
		case 1: b->n = at; break;
		case 2: /* a byte goes */
			memmove(b->p + at, b->p + at + 1, b->n - at - 1);
			b->n--;
			break;
		case 3: /* a byte comes */
			sl_buf_put(b, 0);
			memmove(b->p + at + 1, b->p + at, b->n - at - 1);
			b->p[at] = bytes[below(sizeof bytes - 1)];
			break;
		}
	}
}

static char *exact_copy(const struct sl_buf *b) {
	char *p = malloc(b->n ? b->n : 1);
	if (b->n) memcpy(p, b->p, b->n);
	return p;
}

/* Compares a value with jansson's reading of it. */
static bool same(const struct jpath_hit *hit, const json_t *twin, struct sl_arena *arena);

static bool same_members(const struct jpath_hit *hit, const json_t *twin, struct sl_arena *arena) {
	struct jscan_iter it;
	struct jpath_hit key, value;
	size_t count = 0;
	int r = jscan_begin(&it, hit);
	while (r >= 0 && (r = jscan_next(&it, &key, &value)) == 1) {
		const json_t *other;
		if (hit->kind == JKIND_OBJECT) {
			struct sl_slice name;
			if (jscan_string(&key, arena, &name) != SL_OK) return false;
			other = json_object_getn(twin, name.p ? name.p : "", name.n);
		} else {
			other = json_array_get(twin, count);
		}
		if (!other || !same(&value, other, arena)) return false;
		count++;
	}
	return r == 0 && count == (hit->kind == JKIND_OBJECT ? json_object_size(twin) : json_array_size(twin));
}

static bool same(const struct jpath_hit *hit, const json_t *twin, struct sl_arena *arena) {
	struct sl_slice text;
	int64_t i;
	double d;
	switch (hit->kind) {
	case JKIND_ABSENT: return false;
	case JKIND_NULL: return json_is_null(twin);
	case JKIND_TRUE: return json_is_true(twin);
	case JKIND_FALSE: return json_is_false(twin);
	case JKIND_INT: return json_is_integer(twin) && jscan_i64(hit, &i) == SL_OK && i == json_integer_value(twin);
	case JKIND_DOUBLE: return json_is_real(twin) && jscan_double(hit, &d) == SL_OK && d == json_real_value(twin);
	case JKIND_STRING:
		return json_is_string(twin) && jscan_string(hit, arena, &text) == SL_OK &&
		       slice_equal(text, slice_make(json_string_value(twin), json_string_length(twin)));
	case JKIND_OBJECT: return json_is_object(twin) && same_members(hit, twin, arena);
	case JKIND_ARRAY: return json_is_array(twin) && same_members(hit, twin, arena);
	}
	return false;
}

/* What jansson refuses though the grammar allows it. */
static bool jansson_is_narrower(const json_error_t *e) {
	enum json_error_code code = json_error_code(e);
	return code == json_error_numeric_overflow || code == json_error_null_byte_in_key ||
	       code == json_error_duplicate_key || strstr(e->text, "invalid Unicode");
}

static void compare_with_jansson(const struct sl_buf *b, struct sl_arena *arena) {
	char *doc = exact_copy(b);
	struct sl_slice text = slice_make(doc, b->n);
	json_error_t e;
	json_t *twin = json_loadb(doc, b->n, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &e);
	struct jpath_hit whole;
	bool valid = jscan_valid(text);
	int r = jscan_value(text, &whole);
	bool agree = twin ? valid && r == SL_OK && same(&whole, twin, arena) : !valid || jansson_is_narrower(&e);
	if (!agree)
		print_error("seed %llx: ours %d, jansson: %s\n%.*s\n", (unsigned long long)seed, valid,
			    twin ? "accepts" : e.text, SL_SLICE_ARG(text));
	assert_true(agree);
	if (valid) assert_int_equal(r, SL_OK);
	json_decref(twin);
	sl_arena_reset(arena);
	free(doc);
}

static void test_jscan__agrees_with_jansson_on_random_documents(void **state) {
	(void)state;
	struct sl_buf b = SL_BUF_INIT;
	struct sl_arena arena;
	sl_arena_init(&arena, 4096);
	seed = 1;
	for (int i = 0; i < 4000; i++) {
		make_document(&b, true);
		compare_with_jansson(&b, &arena);
	}
	sl_arena_fini(&arena);
	sl_buf_fini(&b);
}

static void test_jscan__agrees_with_jansson_on_damaged_documents(void **state) {
	(void)state;
	struct sl_buf b = SL_BUF_INIT;
	struct sl_arena arena;
	sl_arena_init(&arena, 4096);
	seed = 2;
	for (int i = 0; i < 20000; i++) {
		make_document(&b, true);
		damage(&b);
		compare_with_jansson(&b, &arena);
	}
	sl_arena_fini(&arena);
	sl_buf_fini(&b);
}

/* Machines with wide vectors make the index their own way: the same one. */
static void test_jindex__is_the_same_on_every_machine(void **state) {
	(void)state;
	struct sl_buf b = SL_BUF_INIT;
	struct jindex wide, plain;
	seed = 3;
	for (int i = 0; i < 20000; i++) {
		make_document(&b, true);
		if (i & 1) damage(&b);
		if (b.n == 0) continue;
		char *doc = exact_copy(&b);
		jindex_init(&wide, slice_make(doc, b.n));
		jindex_init(&plain, slice_make(doc, b.n));
		while (jindex_fill(&wide)) {
			assert_true(jindex_fill_plain(&plain));
			assert_ptr_equal(wide.next, plain.next);
			for (const uint64_t *x = wide.blocks, *y = plain.blocks; x < wide.last; x++, y++)
				assert_true(*x == *y);
		}
		assert_false(jindex_fill_plain(&plain));
		assert_true(wide.broken == plain.broken && wide.not_ascii == plain.not_ascii);
		free(doc);
	}
	sl_buf_fini(&b);
}

/* Paths of one to four steps out of the names that documents use. */
enum { STEPS_MAX = 4, PATHS_MAX = 24 };
static struct jpath_step steps[PATHS_MAX][STEPS_MAX];

static void make_paths(struct jpath *paths, size_t n) {
	static const char *const names[] = {"a",
					    "b",
					    "temp",
					    "measurements",
					    "measurement_01",
					    "measurement_02",
					    "a name of more than sixteen bytes",
					    "",
					    "absent"};
	for (size_t i = 0; i < n; i++) {
		uint16_t count = (uint16_t)(below(40) == 0 ? 0 : 1 + below(STEPS_MAX));
		for (uint16_t k = 0; k < count; k++) {
			struct jpath_step *step = &steps[i][k];
			*step = (struct jpath_step){.is_index = below(4) == 0, .index = (int32_t)below(4)};
			if (!step->is_index) step->key = slice_from_str(PICK(names));
		}
		paths[i] = (struct jpath){.steps = steps[i], .n = count};
	}
}

/* The twin: one path, step by step, each time over the whole container; the last of equal names counts. */
static void find_naively(const struct jpath_hit *whole, const struct jpath *path, struct sl_arena *arena,
			 struct jpath_hit *out) {
	struct jpath_hit at = *whole;
	for (uint16_t i = 0; i < path->n && at.kind != JKIND_ABSENT; i++) {
		struct jscan_iter it;
		struct jpath_hit key, value, found = {0};
		int32_t index = 0;
		bool fits = at.kind == (path->steps[i].is_index ? JKIND_ARRAY : JKIND_OBJECT);
		int r = fits ? jscan_begin(&it, &at) : SL_ETYPE;
		while (r >= 0 && (r = jscan_next(&it, &key, &value)) == 1) {
			struct sl_slice name = SL_SLICE_EMPTY;
			if (!path->steps[i].is_index) assert_int_equal(jscan_string(&key, arena, &name), SL_OK);
			bool hit = path->steps[i].is_index ? index++ == path->steps[i].index
							   : slice_equal(name, path->steps[i].key);
			if (hit) found = value;
		}
		at = found;
	}
	*out = at;
}

static void compare_with_twin(const struct sl_buf *b, const struct jpath *paths, size_t n, struct sl_arena *arena) {
	char *doc = exact_copy(b);
	struct sl_slice text = slice_make(doc, b->n);
	struct jpath_set *set;
	struct jpath_hit hits[PATHS_MAX], whole, expected;
	assert_int_equal(jpath_set_new(paths, n, &set), SL_OK);
	int r = jpath_extract(set, text, hits);
	assert_int_equal(r, jscan_valid(text) ? SL_OK : SL_EMALFORMED);
	for (size_t i = 0; i < n && r != SL_OK; i++) assert_int_equal(hits[i].kind, JKIND_ABSENT);
	if (r == SL_OK) {
		assert_int_equal(jscan_value(text, &whole), SL_OK);
		for (size_t i = 0; i < n; i++) {
			find_naively(&whole, &paths[i], arena, &expected);
			bool agree = hits[i].kind == expected.kind && hits[i].flags == expected.flags &&
				     hits[i].raw.p == expected.raw.p && hits[i].raw.n == expected.raw.n;
			if (!agree)
				print_error("seed %llx, path %zu\n%.*s\n", (unsigned long long)seed, i,
					    SL_SLICE_ARG(text));
			assert_true(agree);
		}
	}
	jpath_set_free(set);
	sl_arena_reset(arena);
	free(doc);
}

static void test_jpath__agrees_with_a_naive_walk(void **state) {
	(void)state;
	struct sl_buf b = SL_BUF_INIT;
	struct sl_arena arena;
	struct jpath paths[PATHS_MAX];
	sl_arena_init(&arena, 4096);
	seed = 3;
	for (int i = 0; i < 20000; i++) {
		size_t n = 1 + below(PATHS_MAX);
		make_paths(paths, n);
		make_document(&b, false);
		if (below(4) == 0) damage(&b);
		compare_with_twin(&b, paths, n, &arena);
	}
	sl_arena_fini(&arena);
	sl_buf_fini(&b);
}

/* Writes a value again, member by member, through the writer. */
static void rewrite(struct jwrite *w, const struct jpath_hit *hit, struct sl_arena *arena) {
	struct jscan_iter it;
	struct jpath_hit key, value;
	struct sl_slice text;
	int64_t i;
	double d;
	switch (hit->kind) {
	case JKIND_ABSENT: fail(); return;
	case JKIND_NULL: jwrite_null(w); return;
	case JKIND_TRUE: jwrite_bool(w, true); return;
	case JKIND_FALSE: jwrite_bool(w, false); return;
	case JKIND_INT:
		assert_int_equal(jscan_i64(hit, &i), SL_OK);
		jwrite_i64(w, i);
		return;
	case JKIND_DOUBLE:
		assert_int_equal(jscan_double(hit, &d), SL_OK);
		jwrite_double(w, d);
		return;
	case JKIND_STRING:
		assert_int_equal(jscan_string(hit, arena, &text), SL_OK);
		jwrite_string(w, text);
		return;
	case JKIND_OBJECT:
		jwrite_object_begin(w);
		for (jscan_begin(&it, hit); jscan_next(&it, &key, &value) == 1;) {
			assert_int_equal(jscan_string(&key, arena, &text), SL_OK);
			jwrite_key(w, text);
			rewrite(w, &value, arena);
		}
		jwrite_object_end(w);
		return;
	case JKIND_ARRAY:
		jwrite_array_begin(w);
		for (jscan_begin(&it, hit); jscan_next(&it, NULL, &value) == 1;) rewrite(w, &value, arena);
		jwrite_array_end(w);
		return;
	}
}

static void test_jwrite__gives_back_what_was_read(void **state) {
	(void)state;
	struct sl_buf b = SL_BUF_INIT, again = SL_BUF_INIT;
	struct sl_arena arena;
	sl_arena_init(&arena, 4096);
	seed = 4;
	for (int i = 0; i < 4000; i++) {
		struct jpath_hit whole;
		struct jwrite w;
		make_document(&b, true);
		assert_int_equal(jscan_value(sl_buf_slice(&b), &whole), SL_OK);
		sl_buf_clear(&again);
		jwrite_init(&w, &again);
		rewrite(&w, &whole, &arena);
		assert_int_equal(jwrite_done(&w), SL_OK);
		assert_true(jscan_valid(sl_buf_slice(&again)));
		json_t *before = json_loadb(b.p, b.n, JSON_DECODE_ANY, NULL);
		json_t *after = json_loadb(again.p, again.n, JSON_DECODE_ANY, NULL);
		assert_non_null(before);
		assert_true(json_equal(before, after));
		json_decref(before);
		json_decref(after);
		sl_arena_reset(&arena);
	}
	sl_arena_fini(&arena);
	sl_buf_fini(&again);
	sl_buf_fini(&b);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_jscan__agrees_with_jansson_on_random_documents),
	    cmocka_unit_test(test_jscan__agrees_with_jansson_on_damaged_documents),
	    cmocka_unit_test(test_jindex__is_the_same_on_every_machine),
	    cmocka_unit_test(test_jpath__agrees_with_a_naive_walk),
	    cmocka_unit_test(test_jwrite__gives_back_what_was_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
