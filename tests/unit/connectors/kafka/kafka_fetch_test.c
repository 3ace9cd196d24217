/* The records of a Fetch's answer: what was asked for, and damage that holds up one partition. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <zlib.h>

#include "buf.h"
#include "crc32c.h"
#include "kafka_fetch.h"
#include "kafka_wire.h"
#include "log.h"
#include "mem.h"

static void put_text(struct sl_buf *b, const char *s) {
	sl_buf_put_u16be(b, (uint16_t)strlen(s));
	sl_buf_append(b, s, strlen(s));
}

static void put_zeros(struct sl_buf *b, size_t n) {
	for (size_t i = 0; i < n; i++) sl_buf_append(b, "", 1);
}

/* A Fetch v11 for partitions 0 to n - 1 of "t", behind the client's id. */
static void request(struct sl_buf *b, uint32_t n) {
	put_zeros(b, 12 + 4 + 1 + 8);
	sl_buf_put_u32be(b, 1);
	put_text(b, "t");
	sl_buf_put_u32be(b, n);
	for (uint32_t i = 0; i < n; i++) {
		sl_buf_put_u32be(b, n - 1 - i);
		put_zeros(b, 4 + 8 + 8 + 4);
	}
	put_zeros(b, 4 + 2);
}

static void answer_begin(struct sl_buf *b, uint32_t partitions) {
	put_zeros(b, 4 + 6);
	sl_buf_put_u32be(b, 1);
	put_text(b, "t");
	sl_buf_put_u32be(b, partitions);
}

static void partition(struct sl_buf *b, uint32_t number, const struct sl_buf *records) {
	sl_buf_put_u32be(b, number);
	put_zeros(b, 2 + 24);
	sl_buf_put_u32be(b, 1); /* one transaction that was given up */
	put_zeros(b, 16);
	sl_buf_append(b, "\xff\xff\xff\xff", 4);
	sl_buf_put_u32be(b, (uint32_t)records->n);
	sl_buf_append(b, records->p, records->n);
}

static void put_at(struct sl_buf *b, size_t at, uint32_t v) {
	for (size_t i = 0; i < 4; i++) b->p[at + i] = (char)(v >> (24 - 8 * i));
}

static void batch(struct sl_buf *b, uint32_t first, uint32_t more) {
	size_t at = b->n;
	sl_buf_put_u32be(b, 0);
	sl_buf_put_u32be(b, first);
	sl_buf_put_u32be(b, 61 - 12 + 5);
	put_zeros(b, 4);
	sl_buf_append(b, "\2", 1);
	put_zeros(b, 4 + 2);
	sl_buf_put_u32be(b, more);
	put_zeros(b, 61 - 27);
	sl_buf_append(b, "bytes", 5);
	put_at(b, at + 17, crc32c(0, b->p + at + 21, b->n - at - 21));
}

static void old_message(struct sl_buf *b, uint32_t offset) {
	size_t at = b->n;
	sl_buf_put_u32be(b, 0);
	sl_buf_put_u32be(b, offset);
	sl_buf_put_u32be(b, 26 - 12 + 5);
	put_zeros(b, 4);
	sl_buf_append(b, "\1", 1);
	put_zeros(b, 26 - 17);
	sl_buf_append(b, "bytes", 5);
	put_at(b, at + 12, (uint32_t)crc32(0, (const Bytef *)b->p + at + 16, (uInt)(b->n - at - 16)));
}

/* Of partition 1 of two; its error, or -1 for an answer that is nonsense. */
static int judged(const struct sl_buf *records, bool may_mark, const char **what) {
	struct sl_buf asked = SL_BUF_INIT, a = SL_BUF_INIT, none = SL_BUF_INIT;
	struct kafka_damage damage;
	struct kafka_fault fault = {.what = NULL};
	request(&asked, 2);
	answer_begin(&a, 2);
	partition(&a, 0, &none);
	size_t error_at = a.n + 4;
	partition(&a, 1, records);
	uint8_t *copy = sl_alloc(a.n); /* of this very size: reading beyond it is seen */
	memcpy(copy, a.p, a.n);
	bool fine = kafka_fetch_check(11, sl_buf_slice(&asked), copy, a.n, may_mark, &damage, &fault);
	int error = fine ? copy[error_at] << 8 | copy[error_at + 1] : -1;
	*what = fine ? damage.what : fault.what;
	if (damage.what) assert_true(slice_equal_str(damage.topic, "t") && damage.partition == 1);
	sl_free(copy);
	sl_buf_fini(&asked);
	sl_buf_fini(&a);
	return error;
}

static void is_fine(const struct sl_buf *records) {
	const char *what;
	assert_int_equal(judged(records, true, &what), 0);
	assert_null(what);
}

static void is_damaged(const struct sl_buf *records, const char *by) {
	const char *what = NULL;
	assert_int_equal(judged(records, true, &what), 2);
	assert_string_equal(what, by);
	assert_int_equal(judged(records, false, &what), -1);
	assert_string_equal(what, by);
}

static void test_fetch__whole_records_pass(void **state) {
	(void)state;
	struct sl_buf b = SL_BUF_INIT;
	is_fine(&b);
	batch(&b, 0, 9);
	batch(&b, 10, 0);
	batch(&b, 500, 3);
	is_fine(&b);
	sl_buf_clear(&b);
	old_message(&b, 7);
	old_message(&b, 8);
	batch(&b, 9, 0); /* a topic that was converted */
	is_fine(&b);
	sl_buf_fini(&b);
}

static void test_fetch__what_is_cut_off_at_the_end_is_left_to_librdkafka(void **state) {
	(void)state;
	struct sl_buf b = SL_BUF_INIT;
	batch(&b, 0, 9);
	size_t whole = b.n;
	batch(&b, 10, 9);
	for (size_t n = b.n - 1; n > whole; n--) {
		b.n = n;
		is_fine(&b);
	}
	sl_buf_fini(&b);
}

/* Of a batch each byte but its first offset, whose leading one makes it negative, and the epoch, which is nobody's. */
static void test_fetch__a_byte_that_changed_is_found(void **state) {
	(void)state;
	struct sl_buf b = SL_BUF_INIT;
	batch(&b, 3, 1);
	batch(&b, 5, 1);
	for (size_t i = 0; i < b.n; i++) {
		size_t in = i % (b.n / 2);
		if ((in >= 1 && in < 8) || (in >= 12 && in < 16)) continue;
		if (in >= 8 && in < 12) continue; /* the length: next test */
		b.p[i] ^= (char)0x80;
		const char *what = NULL;
		if (judged(&b, true, &what) != 2) fail_msg("byte %zu", i);
		b.p[i] ^= (char)0x80;
	}
	is_fine(&b);
	sl_buf_fini(&b);
}

static void test_fetch__lengths_versions_and_offsets(void **state) {
	(void)state;
	struct sl_buf b = SL_BUF_INIT;
	batch(&b, 3, 1);
	batch(&b, 5, 1);
	put_at(&b, 8, 48);
	is_damaged(&b, "a batch has a length that it cannot have");
	put_at(&b, 8, 0xffffffff);
	is_damaged(&b, "a batch has a length that it cannot have");
	put_at(&b, 8, 55);
	is_damaged(&b, "a checksum is wrong");
	put_at(&b, 8, 54);
	b.p[16] = 3;
	is_damaged(&b, "a batch has a version that nobody knows");
	put_at(&b, 8, 0x7fffffff); /* looks cut off; librdkafka would skip it for its version */
	is_damaged(&b, "a batch has a version that nobody knows");
	sl_buf_clear(&b);
	batch(&b, 3, 1);
	batch(&b, 4, 1);
	is_damaged(&b, "the offsets of its batches do not grow");
	sl_buf_clear(&b);
	batch(&b, 3, 0xfffffff0);
	is_damaged(&b, "the offsets of its batches do not grow");
	sl_buf_clear(&b);
	old_message(&b, 3);
	old_message(&b, 3);
	is_damaged(&b, "the offsets of its messages do not grow");
	b.p[b.n - 1] ^= 1;
	is_damaged(&b, "a checksum is wrong");
	put_at(&b, 8, 13);
	is_damaged(&b, "a message has a length that it cannot have");
	sl_buf_fini(&b);
}

static void refused(struct sl_slice asked, struct sl_buf *a, const char *what) {
	struct kafka_damage damage;
	struct kafka_fault fault = {.what = NULL};
	assert_false(kafka_fetch_check(11, asked, (uint8_t *)a->p, a->n, true, &damage, &fault));
	assert_string_equal(fault.what, what);
	sl_buf_fini(a);
}

static void test_fetch__only_partitions_that_were_asked_for(void **state) {
	(void)state;
	struct sl_buf asked = SL_BUF_INIT, a = SL_BUF_INIT, none = SL_BUF_INIT;
	request(&asked, 3);
	answer_begin(&a, 1);
	partition(&a, 3, &none);
	refused(sl_buf_slice(&asked), &a, "it has a partition that was not asked for");
	answer_begin(&a, 3);
	for (uint32_t i = 0; i < 3; i++) partition(&a, i % 2, &none);
	refused(sl_buf_slice(&asked), &a, "it has a partition twice");
	answer_begin(&a, 1);
	a.p[10 + 4 + 2] = 'u';
	partition(&a, 1, &none);
	refused(sl_buf_slice(&asked), &a, "it has a partition that was not asked for");
	answer_begin(&a, 1);
	partition(&a, 0, &none);
	refused(SL_SLICE_EMPTY, &a, "it has a partition that was not asked for");
	sl_buf_fini(&asked);
}

/* By the wire, in two pieces: what librdkafka will read says that the partition has an error, and the client knows why. */
static void test_fetch__the_wire_marks_what_is_damaged(void **state) {
	(void)state;
	struct kafka_conf conf = {.client_id = (char[]){"me"}};
	struct kafka_client client = {.name = "lake", .conf = &conf};
	struct sl_buf ask = SL_BUF_INIT, a = SL_BUF_INIT, records = SL_BUF_INIT;
	struct kafka_wire *w = kafka_wire_new("h:9092/1", &client);
	put_zeros(&ask, 4);
	sl_buf_append(&ask, "\0\1\0\xb\0\0\0\7\0\2me", 12);
	request(&ask, 2);
	put_at(&ask, 0, (uint32_t)ask.n - 4);
	kafka_wire_sent(w, (struct iovec[]){{ask.p, 20}, {ask.p + 20, ask.n - 20}}, 2, ask.n);
	put_zeros(&a, 7);
	sl_buf_append(&a, "\7", 1);
	answer_begin(&a, 1);
	size_t error_at = a.n + 4;
	batch(&records, 0, 1);
	records.p[records.n - 1] = 'S';
	partition(&a, 1, &records);
	put_at(&a, 0, (uint32_t)a.n - 4);
	assert_true(kafka_wire_came(w, &(struct iovec){a.p, 60}, 1, 60));
	assert_true(kafka_wire_came(w, &(struct iovec){a.p + 60, a.n - 60}, 1, a.n - 60));
	assert_int_equal(a.p[error_at + 1], 2);
	char *why = atomic_exchange(&client.nonsense, NULL);
	assert_string_equal(why,
			    "h:9092/1 answered Fetch v11 with damaged records of t [1]: a checksum is wrong; they are "
			    "asked for again");
	sl_free(why);
	kafka_wire_free(w);
	sl_buf_fini(&ask);
	sl_buf_fini(&a);
	sl_buf_fini(&records);
}

int main(void) {
	log_set_level(LOG_OFF);
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_fetch__whole_records_pass),
	    cmocka_unit_test(test_fetch__what_is_cut_off_at_the_end_is_left_to_librdkafka),
	    cmocka_unit_test(test_fetch__a_byte_that_changed_is_found),
	    cmocka_unit_test(test_fetch__lengths_versions_and_offsets),
	    cmocka_unit_test(test_fetch__only_partitions_that_were_asked_for),
	    cmocka_unit_test(test_fetch__the_wire_marks_what_is_damaged),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
