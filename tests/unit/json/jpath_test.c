#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "jpath.h"

enum { PATHS_MAX = 8 };
static struct jpath_hit hits[PATHS_MAX];

/* "a.b.0": digits are an index; "" is the whole document. */
static struct jpath parse(const char *text, struct jpath_step *steps) {
	struct sl_slice rest = *text ? slice_from_str(text) : SL_SLICE_EMPTY;
	struct jpath path = {.steps = steps};
	while (rest.p) {
		struct sl_slice part = slice_next_part(&rest, '.');
		int64_t index = 0;
		steps[path.n].is_index = slice_to_i64(part, &index) == SL_OK;
		steps[path.n].index = (int32_t)index;
		steps[path.n++].key = part;
	}
	return path;
}

static int (*extract_with)(const struct jpath_set *, struct sl_slice, struct jpath_hit *) = jpath_extract;

/* Extracts the given paths (up to a NULL) into hits[]. */
static int extract_bytes(const char *const names[], const char *doc, size_t n) {
	static struct jpath_step steps[PATHS_MAX][8];
	struct jpath paths[PATHS_MAX];
	size_t count = 0;
	for (; names[count]; count++) paths[count] = parse(names[count], steps[count]);
	struct jpath_set *set;
	assert_int_equal(jpath_set_new(paths, count, &set), SL_OK);
	assert_int_equal(jpath_set_count(set), count);
	int r = extract_with(set, slice_make(doc, n), hits);
	jpath_set_free(set);
	return r;
}
#define EXTRACT(doc, ...) extract_bytes((const char *const[]){__VA_ARGS__, NULL}, (doc), strlen(doc))
#define ASSERT_RAW(i, text) assert_true(slice_equal_str(hits[i].raw, (text)))

static void test_jpath__finds_members_and_elements(void **state) {
	(void)state;
	assert_int_equal(
	    EXTRACT("{\"x\":1,\"m\":{\"t\":2.5,\"r\":\"s\"},\"l\":[10,{\"k\":20}]}", "m.t", "x", "l.1.k", "m.r", "l.0"),
	    SL_OK);
	ASSERT_RAW(0, "2.5");
	ASSERT_RAW(1, "1");
	ASSERT_RAW(2, "20");
	ASSERT_RAW(3, "s");
	ASSERT_RAW(4, "10");
	assert_int_equal(hits[3].kind, JKIND_STRING);
	assert_int_equal(hits[0].kind, JKIND_DOUBLE);
}

static void test_jpath__what_is_not_there_is_absent(void **state) {
	(void)state;
	assert_int_equal(EXTRACT("{\"a\":{\"b\":1},\"l\":[1]}", "c", "a.c", "a.b.c", "a.0", "l.x", "l.1"), SL_OK);
	for (int i = 0; i < 6; i++) assert_int_equal(hits[i].kind, JKIND_ABSENT);
}

static void test_jpath__null_is_not_absent(void **state) {
	(void)state;
	assert_int_equal(EXTRACT("{\"a\":null}", "a"), SL_OK);
	assert_int_equal(hits[0].kind, JKIND_NULL);
}

static void test_jpath__the_empty_path_is_the_whole_document(void **state) {
	(void)state;
	assert_int_equal(EXTRACT(" {\"a\":[1]} ", "", "a", "a.0"), SL_OK);
	ASSERT_RAW(0, "{\"a\":[1]}");
	ASSERT_RAW(1, "[1]");
	ASSERT_RAW(2, "1");
	assert_int_equal(EXTRACT(" 5 ", ""), SL_OK);
	ASSERT_RAW(0, "5");
}

static void test_jpath__the_same_path_twice_is_answered_twice(void **state) {
	(void)state;
	assert_int_equal(EXTRACT("{\"a\":1,\"b\":2}", "b", "a", "b"), SL_OK);
	ASSERT_RAW(0, "2");
	ASSERT_RAW(2, "2");
}

static void test_jpath__the_last_of_equal_names_counts(void **state) {
	(void)state;
	assert_int_equal(EXTRACT("{\"a\":1,\"a\":2,\"b\":3}", "a", "b"), SL_OK);
	ASSERT_RAW(0, "2");
	ASSERT_RAW(1, "3");
	assert_int_equal(EXTRACT("{\"a\":1,\"\\u0061\":2}", "a"), SL_OK);
	ASSERT_RAW(0, "2");
}

static void test_jpath__a_later_value_voids_what_was_found_in_the_former(void **state) {
	(void)state;
	assert_int_equal(EXTRACT("{\"a\":{\"x\":1,\"z\":4},\"a\":{\"y\":2,\"z\":5},\"b\":3}", "a.x", "a.y", "a.z", "b"),
			 SL_OK);
	assert_int_equal(hits[0].kind, JKIND_ABSENT);
	ASSERT_RAW(1, "2");
	ASSERT_RAW(2, "5");
	ASSERT_RAW(3, "3");
	assert_int_equal(EXTRACT("{\"a\":{\"y\":2},\"a\":5}", "a.y", "a"), SL_OK);
	assert_int_equal(hits[0].kind, JKIND_ABSENT);
	ASSERT_RAW(1, "5");
	assert_int_equal(EXTRACT("{\"a\":[1,{\"y\":2}],\"a\":[3]}", "a.1.y", "a.0", "a.1"), SL_OK);
	assert_int_equal(hits[0].kind, JKIND_ABSENT);
	ASSERT_RAW(1, "3");
	assert_int_equal(hits[2].kind, JKIND_ABSENT);
}

static void test_jpath__the_last_counts_at_every_level(void **state) {
	(void)state;
	assert_int_equal(EXTRACT("{\"a\":{\"b\":{\"c\":1},\"b\":{\"c\":2,\"c\":3}}}", "a.b.c"), SL_OK);
	ASSERT_RAW(0, "3");
	assert_int_equal(EXTRACT("{\"a\":{\"b\":{\"c\":1}},\"a\":{\"b\":{\"c\":2},\"b\":{\"d\":4}}}", "a.b.c", "a.b.d"),
			 SL_OK);
	assert_int_equal(hits[0].kind, JKIND_ABSENT);
	ASSERT_RAW(1, "4");
	assert_int_equal(EXTRACT("[{\"c\":1},{\"c\":2,\"c\":3}]", "0.c", "1.c"), SL_OK);
	ASSERT_RAW(0, "1");
	ASSERT_RAW(1, "3");
}

static void test_jpath__escaped_names_are_the_same_names(void **state) {
	(void)state;
	assert_int_equal(EXTRACT("{\"t\\u0065mp\":1,\"a\\\"b\":2}", "temp", "a\"b"), SL_OK);
	ASSERT_RAW(0, "1");
	ASSERT_RAW(1, "2");
}

static void test_jpath__names_of_every_length_are_told_apart(void **state) {
	(void)state;
	char doc[4000], name[40];
	size_t n = 0;
	doc[n++] = '{';
	for (int len = 0; len < 30; len++)
		n += (size_t)snprintf(doc + n, sizeof doc - n, "%s\"%.*s\":%d", len ? "," : "", len,
				      "abcdefghijklmnopqrstuvwxyzabcdefghijklmnop", len);
	doc[n++] = '}';
	for (int len = 0; len < 30; len++) {
		snprintf(name, sizeof name, "%.*s", len, "abcdefghijklmnopqrstuvwxyzabcdefghijklmnop");
		struct jpath_step step = {.key = slice_from_str(name)};
		struct jpath path = {.steps = &step, .n = 1};
		struct jpath_set *set;
		int64_t v;
		assert_int_equal(jpath_set_new(&path, 1, &set), SL_OK);
		assert_int_equal(jpath_extract(set, slice_make(doc, n), hits), SL_OK);
		assert_int_equal(jscan_i64(&hits[0], &v), SL_OK);
		assert_int_equal(v, len);
		jpath_set_free(set);
	}
}

static void test_jpath__many_names_are_found_by_hash(void **state) {
	(void)state;
	enum { MANY = 500 };
	static char names[MANY][24], doc[MANY * 40];
	static struct jpath_step steps[MANY];
	static struct jpath paths[MANY];
	static struct jpath_hit found[MANY];
	size_t n = 0;
	for (int i = 0; i < MANY; i++) {
		snprintf(names[i], sizeof names[i], "measurement_%d", i);
		steps[i] = (struct jpath_step){.key = slice_from_str(names[i])};
		paths[i] = (struct jpath){.steps = &steps[i], .n = 1};
		n += (size_t)snprintf(doc + n, sizeof doc - n, "%s\"measurement_%d\":%d", i ? "," : "{", i, i);
	}
	doc[n++] = '}';
	struct jpath_set *set;
	int64_t v;
	assert_int_equal(jpath_set_new(paths, MANY, &set), SL_OK);
	assert_int_equal(jpath_extract(set, slice_make(doc, n), found), SL_OK);
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(jscan_i64(&found[i], &v), SL_OK);
		assert_int_equal(v, i);
	}
	jpath_set_free(set);
}

static void test_jpath__a_break_anywhere_is_malformed_and_nothing_is_found(void **state) {
	(void)state;
	assert_int_equal(EXTRACT("{\"a\":1", "a"), SL_EMALFORMED);
	assert_int_equal(hits[0].kind, JKIND_ABSENT);
	assert_int_equal(EXTRACT("{\"a\":{\"b\":1, broken", "a.b"), SL_EMALFORMED);
	assert_int_equal(EXTRACT("{\"a\":1,\"b\":[1,}", "a", "c"), SL_EMALFORMED);
	assert_int_equal(hits[0].kind, JKIND_ABSENT);
	assert_int_equal(EXTRACT("[1,2 broken", "0"), SL_EMALFORMED);
	assert_int_equal(EXTRACT("{\"a\":1} x", "a"), SL_EMALFORMED);
	assert_int_equal(EXTRACT("{\"a\":1}{}", "a"), SL_EMALFORMED);
	assert_int_equal(EXTRACT("{\"a\":1} \n\t\r", "a"), SL_OK);
}

static void test_jpath__what_is_not_json_is_malformed(void **state) {
	(void)state;
	static const char *const broken[] = {
	    "plain text",
	    "",
	    "  ",
	    "{\"a\"",
	    "{\"a\":",
	    "{\"a\":1.}",
	    "{\"a\":\"\xff\"}",
	    "{\"a\":01}",
	    "{\"a\":-}",
	    "{\"a\":1e}",
	    "{\"a\":tru}",
	    "{\"a\":True}",
	    "{\"a\":1 2}",
	    "{\"a\" 1}",
	    "{\"a\"::1}",
	    "{\"a\":}",
	    "{,}",
	    "{\"a\":1,}",
	    "[1,]",
	    "[,1]",
	    "[1}",
	    "{\"a\":1]",
	    "{1:2}",
	    "{a:1}",
	    "[\"\x01\"]",
	    "[\"\\x\"]",
	    "[\"\\u12g4\"]",
	    "[\"\\\"]",
	    "[\"a\"b]",
	    "[\"a\"\"b\"]",
	    "[1\"b\"]",
	    "{\"a\":\"b\"\"c\":1}",
	    "{\"a\":[]1}",
	    "]",
	    "{\"a\":1}}",
	    "[\\\"a\"]",
	    "[1,2\\]",
	    "[\xc3\xa4]",
	    "\"",
	    "tru",
	    "[1]x",
	    "[[]",
	    "{\"a\"}",
	    "[1:2]",
	    "{\"a\":\"\"x}",
	    "{\"a\":\"b\"\\\"}",
	    "{\"a\"\\\":1}",
	    "{\"a\" \"b\":1}",
	    "[\"a\" \"b\"]",
	    "[\"a\"\f\"b\"]",
	    "[\"a\"\x1a\"b\"]",
	    "[\"a\":\"b\"]",
	    "{\"a\":\"b\":1}",
	    "[]\"a\"",
	    "[[]\"a\"]",
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(broken); i++) {
		assert_false(jscan_valid(slice_from_str(broken[i])));
		/* Whatever is asked for: the answer is that of the whole document. */
		assert_int_equal(EXTRACT(broken[i], "c"), SL_EMALFORMED);
		assert_int_equal(EXTRACT(broken[i], "a", "0", ""), SL_EMALFORMED);
		for (int k = 0; k < 3; k++) assert_int_equal(hits[k].kind, JKIND_ABSENT);
	}
}

static void test_jpath__any_text_is_let_through_where_it_is_asked_for(void **state) {
	(void)state;
	static const char doc[] = "{\"k\xfe\":1,\"v\":\"ab\xff\",\"o\":{\"n\":7,\"l\":[\"\xc3\"]},\"s\":\"\xc3\xa4\"}";
	assert_int_equal(EXTRACT(doc, "v", "o.n", "o", "o.l", "s", ""), SL_EMALFORMED);
	extract_with = jpath_extract_any_text;
	assert_int_equal(EXTRACT(doc, "v", "o.n", "o", "o.l", "s", ""), SL_OK);
	ASSERT_RAW(0, "ab\xff");
	ASSERT_RAW(1, "7");
	ASSERT_RAW(2, "{\"n\":7,\"l\":[\"\xc3\"]}");
	ASSERT_RAW(3, "[\"\xc3\"]");
	ASSERT_RAW(4, "\xc3\xa4");
	ASSERT_RAW(5, doc);
	for (int i = 0; i < 6; i++)
		assert_int_equal(hits[i].flags,
				 hits[i].kind == JKIND_OBJECT || hits[i].kind == JKIND_ARRAY ? JSCAN_ANY_TEXT : 0);
	assert_int_equal(EXTRACT("\"\xff\"", ""), SL_OK);
	ASSERT_RAW(0, "\xff");
	assert_int_equal(EXTRACT("{\"a\":{}}", "a"), SL_OK);
	assert_int_equal(hits[0].flags, 0);
	assert_int_equal(EXTRACT("{\"a\":\xff}", "a"), SL_EMALFORMED);
	assert_int_equal(EXTRACT("{\"a\":\"\\\xff\"}", "a"), SL_EMALFORMED);
	assert_int_equal(EXTRACT("\xff", ""), SL_EMALFORMED);
	extract_with = jpath_extract;
}

/* Every token at every place of the blocks that are looked at together, beyond the first thousand bytes too. */
static void test_jpath__tokens_may_stand_anywhere(void **state) {
	(void)state;
	static const char doc[] = "{\"n\\\\\\\"\":[1,-2.5,\"\\\\\"],\"\xc3\xa4\":{\"k\":\"v,{\\\"\"},\"t\":1e5}";
	char text[3000];
	for (size_t pad = 0; pad < sizeof text - sizeof doc; pad += pad < 200 || pad > 900 ? 1 : 100) {
		memset(text, ' ', pad);
		memcpy(text + pad, doc, sizeof doc);
		assert_int_equal(EXTRACT(text, "n\\\"", "\xc3\xa4.k", "t"), SL_OK);
		ASSERT_RAW(0, "[1,-2.5,\"\\\\\"]");
		ASSERT_RAW(1, "v,{\\\"");
		ASSERT_RAW(2, "1e5");
		text[pad + sizeof doc - 2] = ' ';
		assert_int_equal(EXTRACT(text, "t"), SL_EMALFORMED);
	}
}

static void test_jpath__every_cut_of_a_document_is_read_within_its_bytes(void **state) {
	(void)state;
	static const char doc[] =
	    "{\"site\":\"plant\\n7\",\"m\":{\"t\":-2.5e3,\"ok\":true},\"l\":[null,\"\xc3\xa4\",[]],\"z\":1}";
	for (size_t n = 0; n < sizeof doc; n++) {
		char *copy = malloc(n ? n : 1);
		memcpy(copy, doc, n);
		int r = extract_bytes((const char *const[]){"z", "m.ok", "l.1", "nothing", NULL}, copy, n);
		assert_int_equal(r, n == sizeof doc - 1 ? SL_OK : SL_EMALFORMED);
		free(copy);
	}
}

/* Short numbers are told by one word, which is another one near a document's end, and none in a very short one. */
static void test_jpath__a_number_is_the_same_wherever_it_stands(void **state) {
	(void)state;
	static const char *const numbers[] = {
	    "0",    "7",   "-0",      "-5",    "10",       "-12345678", "1234567", "12345678", "1.5",         "0.25",
	    "-1.5", "1e5", "1.25e-3", "-0.5",  "123456.7", "01",        "-",       "-01",      "1.",          ".5",
	    "--1",  "1-2", "00",      "1.2.3", "1e",       "+1",        "1:2",     "0x10",     "123456789012"};
	static const char *const frames[][2] = {{"{\"a\":", "}"},
						{"{\"b\":true,\"a\":", "}"},
						{"{\"b\":true,\"a\":", "  }  "},
						{"{\"a\":", ",\"b\":\"a longer text\"}"}};
	for (size_t i = 0; i < SL_ARRAY_LEN(numbers); i++) {
		int first = 0;
		enum json_kind kind = JKIND_ABSENT;
		for (size_t k = 0; k < SL_ARRAY_LEN(frames); k++) {
			char doc[64];
			int n = snprintf(doc, sizeof doc, "%s%s%s", frames[k][0], numbers[i], frames[k][1]);
			char *copy = malloc((size_t)n);
			memcpy(copy, doc, (size_t)n);
			int r = extract_bytes((const char *const[]){"a", NULL}, copy, (size_t)n);
			if (k == 0) {
				first = r;
				kind = hits[0].kind;
			}
			assert_int_equal(r, first);
			assert_int_equal(hits[0].kind, kind);
			if (r == SL_OK) ASSERT_RAW(0, numbers[i]);
			free(copy);
		}
		assert_int_equal(first, i < 15 || i + 1 == SL_ARRAY_LEN(numbers) ? SL_OK : SL_EMALFORMED);
	}
}

static void test_jpath__depth_is_bounded_on_the_way(void **state) {
	(void)state;
	char doc[500];
	size_t n = 0;
	for (int i = 0; i < JSCAN_DEPTH_MAX + 1; i++) n += (size_t)snprintf(doc + n, sizeof doc - n, "{\"a\":");
	struct jpath_step steps[JSCAN_DEPTH_MAX + 1];
	for (int i = 0; i <= JSCAN_DEPTH_MAX; i++) steps[i] = (struct jpath_step){.key = SL_SLICE_LIT("a")};
	struct jpath path = {.steps = steps, .n = JSCAN_DEPTH_MAX};
	struct jpath_set *set;
	assert_int_equal(jpath_set_new(&path, 1, &set), SL_OK);
	n = 5 * JSCAN_DEPTH_MAX;
	doc[n] = '1';
	memset(doc + n + 1, '}', JSCAN_DEPTH_MAX);
	assert_int_equal(jpath_extract(set, slice_make(doc, n + 1 + JSCAN_DEPTH_MAX), hits), SL_OK);
	ASSERT_RAW(0, "1");
	memcpy(doc + n, "[]", 2);
	memset(doc + n + 2, '}', JSCAN_DEPTH_MAX);
	assert_int_equal(jpath_extract(set, slice_make(doc, n + 2 + JSCAN_DEPTH_MAX), hits), SL_EMALFORMED);
	jpath_set_free(set);
	path.n = JSCAN_DEPTH_MAX + 1;
	assert_int_equal(jpath_set_new(&path, 1, &set), SL_ELIMIT);
}

static void test_jpath__refuses_bad_paths(void **state) {
	(void)state;
	static char long_key[JPATH_KEY_MAX + 1];
	struct jpath_step step = {.is_index = true, .index = -1};
	struct jpath path = {.steps = &step, .n = 1};
	struct jpath_set *set;
	assert_int_equal(jpath_set_new(&path, 1, &set), SL_EINVAL);
	assert_null(set);
	step = (struct jpath_step){.key = slice_make(long_key, sizeof long_key)};
	assert_int_equal(jpath_set_new(&path, 1, &set), SL_ELIMIT);
	jpath_set_free(set);
}

static void test_jpath__an_empty_set_does_not_look(void **state) {
	(void)state;
	struct jpath_set *set;
	assert_int_equal(jpath_set_new(NULL, 0, &set), SL_OK);
	assert_int_equal(jpath_extract(set, slice_from_str("not json"), NULL), SL_OK);
	jpath_set_free(set);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_jpath__finds_members_and_elements),
	    cmocka_unit_test(test_jpath__what_is_not_there_is_absent),
	    cmocka_unit_test(test_jpath__null_is_not_absent),
	    cmocka_unit_test(test_jpath__the_empty_path_is_the_whole_document),
	    cmocka_unit_test(test_jpath__the_same_path_twice_is_answered_twice),
	    cmocka_unit_test(test_jpath__the_last_of_equal_names_counts),
	    cmocka_unit_test(test_jpath__a_later_value_voids_what_was_found_in_the_former),
	    cmocka_unit_test(test_jpath__the_last_counts_at_every_level),
	    cmocka_unit_test(test_jpath__escaped_names_are_the_same_names),
	    cmocka_unit_test(test_jpath__names_of_every_length_are_told_apart),
	    cmocka_unit_test(test_jpath__many_names_are_found_by_hash),
	    cmocka_unit_test(test_jpath__a_break_anywhere_is_malformed_and_nothing_is_found),
	    cmocka_unit_test(test_jpath__what_is_not_json_is_malformed),
	    cmocka_unit_test(test_jpath__any_text_is_let_through_where_it_is_asked_for),
	    cmocka_unit_test(test_jpath__tokens_may_stand_anywhere),
	    cmocka_unit_test(test_jpath__every_cut_of_a_document_is_read_within_its_bytes),
	    cmocka_unit_test(test_jpath__a_number_is_the_same_wherever_it_stands),
	    cmocka_unit_test(test_jpath__depth_is_bounded_on_the_way),
	    cmocka_unit_test(test_jpath__refuses_bad_paths),
	    cmocka_unit_test(test_jpath__an_empty_set_does_not_look),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
