/* mongo_message_test.c: what may reach libmongoc, and what must not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include <bson/bson.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

#include "mongo_message.h"

/* {ok: 1} with a nested {a: "b"}: every length in it can lie. */
static const uint8_t doc[] = {0x22, 0, 0,  0, 0x01, 'o', 'k',  0,   0, 0, 0, 0, 0, 0,   0xf0, 0x3f, 0x03,
			      'd',  0, 14, 0, 0,    0,   0x02, 'a', 0, 2, 0, 0, 0, 'b', 0,    0,    0};

struct message {
	uint8_t p[256];
	size_t n;
};

static void put32(struct message *m, size_t at, uint32_t v) {
	for (int i = 0; i < 4; i++) m->p[at + (size_t)i] = (uint8_t)(v >> 8 * i);
}

static void add(struct message *m, const void *p, size_t n) {
	memcpy(m->p + m->n, p, n);
	m->n += n;
	put32(m, 0, (uint32_t)m->n);
}

static struct message with_head(uint32_t op, size_t head) {
	struct message m = {.n = head};
	put32(&m, 12, op);
	return m;
}

static struct message op_msg(void) {
	struct message m = with_head(2013, 20);
	add(&m, "\0", 1);
	add(&m, doc, sizeof doc);
	return m;
}

static bool fine(const struct message *m) { return mongo_message_check(m->p, m->n, true); }

static void test_message__lengths_that_can_be(void **state) {
	(void)state;
	struct message m = op_msg();
	assert_int_equal(mongo_message_length(m.p), m.n);
	assert_int_equal(mongo_message_length((const uint8_t *)"\x10\0\0\0"), 0);
	assert_int_equal(mongo_message_length((const uint8_t *)"\xff\xff\xff\xff"), 0);
	assert_int_equal(mongo_message_length((const uint8_t *)"HTTP"), 0);
}

/* OP_MSG with {name: "x"}. */
static struct message with_text(const char *name) {
	struct message m = with_head(2013, 20);
	size_t n = strlen(name) + 1;
	add(&m, "\0", 1);
	size_t at = m.n;
	add(&m, "\0\0\0\0\2", 5);
	add(&m, name, n);
	add(&m, "\2\0\0\0x\0\0", 7);
	put32(&m, at, (uint32_t)(m.n - at));
	return m;
}

/* libmongoc ends the program over these. */
static void test_message__members_of_another_type(void **state) {
	(void)state;
	static const char *const known[] = {"writeConcernError", "errorLabels", "writeErrors", "cursor", "hosts",
					    "topologyVersion",   "$clusterTime"};
	struct message any = with_text("anything");
	assert_true(fine(&any));
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		struct message m = with_text(known[i]);
		assert_false(fine(&m));
	}
}

/* OP_MSG with {name: what}. */
static bool fits(const char *name, const bson_t *what, bool array) {
	struct message m = with_head(2013, 20);
	bson_t all = BSON_INITIALIZER;
	assert_true(array ? bson_append_array(&all, name, -1, what) : bson_append_document(&all, name, -1, what));
	add(&m, "\0", 1);
	add(&m, bson_get_data(&all), all.len);
	bson_destroy(&all);
	return fine(&m);
}

static void test_message__members_of_members_of_another_type(void **state) {
	(void)state;
	static const char *const lists[] = {"hosts", "passives", "arbiters", "compression"};
	bson_t texts = BSON_INITIALIZER, mixed = BSON_INITIALIZER, names = BSON_INITIALIZER, labels = BSON_INITIALIZER;
	BSON_APPEND_UTF8(&texts, "0", "a");
	BSON_APPEND_UTF8(&mixed, "0", "a");
	BSON_APPEND_INT32(&mixed, "1", 5);
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
		assert_true(fits(lists[i], &texts, true));
		assert_false(fits(lists[i], &mixed, true));
	}
	BSON_APPEND_INT64(&names, "id", 0);
	BSON_APPEND_UTF8(&names, "ns", "a.b");
	assert_true(fits("cursor", &names, false));
	BSON_APPEND_NULL(&names, "ns"); /* libmongoc reads each of that name */
	assert_false(fits("cursor", &names, false));
	assert_true(fits("writeConcernError", &mixed, false));
	BSON_APPEND_UTF8(&labels, "errorLabels", "x");
	assert_false(fits("writeConcernError", &labels, false));
	bson_destroy(&texts);
	bson_destroy(&mixed);
	bson_destroy(&names);
	bson_destroy(&labels);
}

static void test_message__answers_as_servers_give_them(void **state) {
	(void)state;
	struct message m = op_msg();
	assert_true(fine(&m));

	struct message checksum = op_msg();
	put32(&checksum, 16, 1);
	assert_false(fine(&checksum));
	add(&checksum, "crc!", 4);
	assert_true(fine(&checksum));

	struct message sequence = op_msg();
	add(&sequence, "\1", 1);
	size_t at = sequence.n;
	add(&sequence,
	    "size"
	    "name\0",
	    9);
	add(&sequence, doc, sizeof doc);
	put32(&sequence, at, (uint32_t)(sequence.n - at));
	assert_true(fine(&sequence));
	put32(&sequence, at, (uint32_t)(sequence.n - at + 1));
	assert_false(fine(&sequence));

	struct message reply = with_head(1, 36);
	put32(&reply, 32, 1);
	add(&reply, doc, sizeof doc);
	assert_true(fine(&reply));
	put32(&reply, 32, 2);
	assert_false(fine(&reply));
}

static void test_message__cut_anywhere_is_refused(void **state) {
	(void)state;
	struct message m = op_msg();
	for (size_t n = MONGO_MESSAGE_HEAD; n < m.n; n++) assert_false(mongo_message_check(m.p, n, true));
}

static void test_message__lying_lengths_are_refused(void **state) {
	(void)state;
	static const size_t lengths[] = {21, 21 + 19, 21 + 26}; /* the document's, the nested one's, the text's */
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
		for (int by = -3; by <= 3; by++) {
			struct message m = op_msg();
			m.p[lengths[i]] = (uint8_t)(m.p[lengths[i]] + by);
			assert_int_equal(fine(&m), by == 0);
			m.p[lengths[i] + 3] = 0x7f;
			assert_false(fine(&m));
		}
}

enum { NOOP, SNAPPY, ZLIB, ZSTD, COMPRESSORS };

static struct message packed(const struct message *inner, uint8_t how) {
	struct message m = with_head(2012, 25);
	const uint8_t *p = inner->p + 16;
	size_t n = inner->n - 16, size = sizeof m.p - m.n;
	uLongf deflated = (uLongf)size;
	char out[sizeof m.p];
	memcpy(m.p + 16, inner->p + 12, 4);
	put32(&m, 20, (uint32_t)n);
	m.p[24] = how;
	if (how == SNAPPY) assert_int_equal(snappy_compress((const char *)p, n, out, &size), SNAPPY_OK);
	if (how == ZLIB) assert_int_equal(compress((uint8_t *)out, &deflated, p, (uLong)n), Z_OK);
	if (how == ZLIB) size = deflated;
	if (how == ZSTD) size = ZSTD_compress(out, size, p, n, 1);
	if (how == NOOP) memcpy(out, p, size = n);
	add(&m, out, size);
	return m;
}

static void test_message__what_is_compressed_is_looked_at(void **state) {
	(void)state;
	struct message good = op_msg(), bad = with_text("cursor"), kind;
	for (uint8_t how = SNAPPY; how < COMPRESSORS; how++) {
		struct message m = packed(&good, how);
		assert_true(fine(&m));
		assert_false(mongo_message_check(m.p, m.n, false));
		m.p[24] = how == ZSTD ? SNAPPY : ZSTD;
		assert_false(fine(&m));
		m = packed(&good, how);
		for (int by = -1; by <= 1; by++) { /* it fills what it says, to the byte */
			put32(&m, 20, (uint32_t)(good.n - 16) + (uint32_t)by);
			assert_int_equal(fine(&m), by == 0);
		}
		m = packed(&bad, how); /* libmongoc would end the program */
		assert_false(fine(&m));
		m = packed(&good, how);
		m = packed(&m, how); /* twice */
		assert_false(fine(&m));
		m = packed(&good, how);
		m.n--;
		assert_false(fine(&m));
	}
	kind = packed(&good, NOOP); /* nobody offers what compresses nothing */
	assert_false(fine(&kind));
}

static void test_message__what_is_compressed_says_how_large_it_is(void **state) {
	(void)state;
	struct message good = op_msg(), m = packed(&good, ZLIB);
	put32(&m, 20, 1 << 20);
	assert_false(fine(&m));
	put32(&m, 20, 0);
	assert_false(fine(&m));
	put32(&m, 20, MONGO_MESSAGE_MAX);
	assert_false(fine(&m));
	put32(&m, 20, UINT32_MAX);
	assert_false(fine(&m));
}

static void test_message__other_things_than_answers_are_refused(void **state) {
	(void)state;
	struct message query = with_head(2004, 40), empty = with_head(2013, 20), kind = op_msg();
	assert_false(fine(&query));
	assert_false(fine(&empty));
	kind.p[20] = 2;
	assert_false(fine(&kind));
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_message__lengths_that_can_be),
	    cmocka_unit_test(test_message__answers_as_servers_give_them),
	    cmocka_unit_test(test_message__members_of_another_type),
	    cmocka_unit_test(test_message__members_of_members_of_another_type),
	    cmocka_unit_test(test_message__cut_anywhere_is_refused),
	    cmocka_unit_test(test_message__lying_lengths_are_refused),
	    cmocka_unit_test(test_message__what_is_compressed_is_looked_at),
	    cmocka_unit_test(test_message__what_is_compressed_says_how_large_it_is),
	    cmocka_unit_test(test_message__other_things_than_answers_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
