/* What brokers answer is looked at before librdkafka reads it: the check, the wire that knows what was asked, and the calls of the
 * program that bring both to librdkafka. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kafka_answer.h"
#include "kafka_wire.h"
#include "log.h"
#include "mem.h"

/* ---- The check: answers of Kafka 3.9.1. ---- */

struct seed {
	uint8_t api, version;
	size_t n;
	uint8_t *body; /* owned, of this very size */
};

static void seed_load(const char *name, struct seed *out) {
	char *path = sl_asprintf("%s/%s", ANSWERS, name);
	FILE *f = fopen(path, "rb");
	uint8_t bytes[4096];
	assert_non_null(f);
	size_t n = fread(bytes, 1, sizeof bytes, f);
	assert_true(n > 2 && n < sizeof bytes);
	(void)fclose(f);
	sl_free(path);
	*out = (struct seed){.api = bytes[0], .version = bytes[1], .n = n - 2, .body = sl_alloc(n - 2)};
	memcpy(out->body, bytes + 2, n - 2);
}

static void each_seed(void (*look)(const char *name, const struct seed *s)) {
	DIR *d = opendir(ANSWERS);
	int count = 0;
	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d));) {
		struct seed s;
		if (e->d_name[0] == '.') continue;
		seed_load(e->d_name, &s);
		look(e->d_name, &s);
		sl_free(s.body);
		count++;
	}
	(void)closedir(d);
	assert_true(count > 40);
}

static void passes(const char *name, const struct seed *s) {
	struct kafka_fault fault;
	if (!kafka_answer_check(s->api, s->version, s->body, s->n, &fault))
		fail_msg("%s: %s at byte %zu", name, fault.what, fault.at);
}

static void test_answer__nothing_at_all_is_refused(void **state) {
	struct kafka_fault fault = {0};
	(void)state;
	assert_false(kafka_answer_check(KAFKA_API_PRODUCE, 0, NULL, 0, &fault));
	assert_string_equal(fault.what, "it ends too soon");
}

static void test_answer__what_a_broker_says_passes(void **state) {
	(void)state;
	each_seed(passes);
}

/* Cut off at every byte. The version of ApiVersions that says it knows no such version has no fields that matter. */
static void no_prefix_passes(const char *name, const struct seed *s) {
	struct kafka_fault fault;
	if (s->version == 99) return;
	for (size_t n = 0; n < s->n; n++) {
		uint8_t *part = malloc(n + !n); /* a block of this very size: reading beyond it is seen */
		assert_non_null(part);
		memcpy(part, s->body, n);
		if (kafka_answer_check(s->api, s->version, part, n, &fault))
			fail_msg("%s passes with %zu bytes", name, n);
		assert_true(fault.at <= n);
		free(part);
	}
}

static void test_answer__cut_off_it_is_refused(void **state) {
	(void)state;
	each_seed(no_prefix_passes);
}

static void test_answer__names(void **state) {
	(void)state;
	assert_string_equal(kafka_answer_name(3), "Metadata");
	assert_string_equal(kafka_answer_name(22), "InitProducerId");
	assert_string_equal(kafka_answer_name(99), "?");
	assert_true(kafka_answer_max(KAFKA_API_FETCH) > kafka_answer_max(KAFKA_API_METADATA));
}

static void test_answer__what_is_in_no_table_passes(void **state) {
	(void)state;
	struct kafka_fault fault;
	assert_true(kafka_answer_check(3, 13, NULL, 0, &fault));
	assert_true(kafka_answer_check(71, 0, (const uint8_t *)"x", 1, &fault));
}

/* Metadata v1, by hand: one broker, one topic "t" with two partitions. */
#define START                                                                                                          \
	"\0\0\0\1"                                                                                                     \
	"\0\0\0\1"                                                                                                     \
	"\0\1h"                                                                                                        \
	"\0\0\x23\x84"                                                                                                 \
	"\xff\xff"                                                                                                     \
	"\0\0\0\1" /* 21 bytes: brokers, controller */
#define PARTITION(n)                                                                                                   \
	"\0\0"                                                                                                         \
	"\0\0\0" n "\0\0\0\1"                                                                                          \
	"\0\0\0\1\0\0\0\1"                                                                                             \
	"\0\0\0\0"
#define TOPIC(name, partitions) "\0\0" name "\0" partitions
static const struct {
	const char *bytes;
	size_t n, at;
	const char *what; /* NULL: fine */
} metadata[] = {
#define M(bytes, at, what)                                                                                             \
	{ bytes, sizeof(bytes) - 1, at, what }
    M(START "\0\0\0\0", 0, NULL),
    M(START "\0\0\0\1" TOPIC("\0\1t", "\0\0\0\2" PARTITION("\1") PARTITION("\0")), 0, NULL),
    M(START "\0\0\0\2" TOPIC("\0\1t", "\0\0\0\0") TOPIC("\0\1u", "\0\0\0\0"), 0, NULL),
    M(START "\0\0\0\0and more", 0, NULL),
    M(START "\xff\xff\xff\xff", 21, "something is missing, or of negative length"),
    M(START "\0\0\1\0", 21, "something is longer than all that follows"),
    M("\xff\xff\xff\xfb", 0, "something is missing, or of negative length"),
    M("\0\0\0\1\xff\xff\xff\xfe\0\1h\0\0\0\1\xff\xff", 4, "a node's number is negative"),
    M("\0\0\0\1\0\0\0\1\0\0\0\0\0\1\xff\xff\0\0\0\1", 8, "no host can have this name"),
    M("\0\0\0\1\0\0\0\1\0\1\7\0\0\0\1\xff\xff\0\0\0\1", 8, "no host can have this name"),
    M("\0\0\0\1\0\0\0\1\0\1h\0\1\0\0\xff\xff\0\0\0\1", 11, "no port can have this number"),
    M(START "\0\0\0\1" TOPIC("\xff\xff", "\0\0\0\0"), 27, "something is missing, or of negative length"),
    M(START "\0\0\0\1" TOPIC("\0\0", "\0\0\0\0"), 27, "a topic's name has 1 to 249 characters"),
    M(START "\0\0\0\1" TOPIC("\0\2a\0", "\0\0\0\0"), 27, "a topic's name holds a NUL"),
    M(START "\0\0\0\2" TOPIC("\0\1t", "\0\0\0\0") TOPIC("\0\1t", "\0\0\0\0"), 37, "a topic comes twice"),
    M(START "\0\0\0\1" TOPIC("\0\1t", "\0\0\0\2" PARTITION("\0") PARTITION("\0")), 59, "a partition comes twice"),
    M(START "\0\0\0\1" TOPIC("\0\1t", "\0\0\0\1" PARTITION("\1")), 37,
      "the partitions of a topic are not numbered from 0 on"),
    M(START "\0\0\0\1" TOPIC("\0\1t", "\xff\xff\xff\xff"), 31, "something is missing, or of negative length"),
};

static void test_answer__a_list_of_topics(void **state) {
	(void)state;
	for (size_t i = 0; i < SL_ARRAY_LEN(metadata); i++) {
		struct kafka_fault fault = {.what = NULL};
		bool fine = kafka_answer_check(3, 1, (const uint8_t *)metadata[i].bytes, metadata[i].n, &fault);
		if (fine != !metadata[i].what)
			fail_msg("case %zu: %s at %zu", i, fault.what ? fault.what : "fine", fault.at);
		if (fine) continue;
		assert_string_equal(fault.what, metadata[i].what);
		assert_int_equal(fault.at, metadata[i].at);
	}
}

static void test_answer__an_address_that_is_none(void **state) {
	(void)state;
	struct kafka_fault fault;
	assert_true(
	    kafka_answer_check(10, 0, (const uint8_t *)"\0\xf\xff\xff\xff\xff\0\0\xff\xff\xff\xff", 12, &fault));
	assert_true(kafka_answer_check(10, 0, (const uint8_t *)"\0\0\0\0\0\1\0\1h\0\0\x23\x84", 13, &fault));
	assert_false(kafka_answer_check(10, 0, (const uint8_t *)"\0\0\0\0\0\1\0\0\0\0\x23\x84", 12, &fault));
	assert_false(kafka_answer_check(10, 0, (const uint8_t *)"\0\0\0\0\0\1\0\1h\0\0\0\0", 13, &fault));
	assert_string_equal(fault.what, "no port can have this number");
}

static void test_answer__thousands_of_topics(void **state) {
	(void)state;
	struct sl_buf b = SL_BUF_INIT;
	struct kafka_fault fault;
	sl_buf_append(&b, START, sizeof START - 1);
	sl_buf_put_u32be(&b, 20000);
	for (int i = 0; i < 20000; i++) sl_buf_printf(&b, "%c%c%c%c%06d%c%c%c%c%c", 0, 0, 0, 6, i, 0, 0, 0, 0, 0);
	assert_true(kafka_answer_check(3, 1, (const uint8_t *)b.p, b.n, &fault));
	memcpy(b.p + b.n - 11, "000007", 6);
	assert_false(kafka_answer_check(3, 1, (const uint8_t *)b.p, b.n, &fault));
	assert_string_equal(fault.what, "a topic comes twice");
	sl_buf_fini(&b);
}

/* ---- The wire. ---- */

static struct kafka_conf conf = {.client_id = (char[]){"me"}};
static struct kafka_client client = {.name = "lake", .conf = &conf};

static struct kafka_wire *wire(void) { return kafka_wire_new("h:9092/1", &client); }

static char *why(void) { return atomic_exchange(&client.nonsense, NULL); }

static void send_bytes(struct kafka_wire *w, const void *p, size_t n) {
	struct iovec iov = {(void *)(uintptr_t)p, n};
	kafka_wire_sent(w, &iov, 1, n);
}

/* A request with so many bytes behind its head. */
static void ask(struct kafka_wire *w, int api, int version, uint32_t id, const char *tail, size_t n) {
	struct sl_buf b = SL_BUF_INIT;
	sl_buf_put_u32be(&b, (uint32_t)(12 + n));
	sl_buf_put_u16be(&b, (uint16_t)api);
	sl_buf_put_u16be(&b, (uint16_t)version);
	sl_buf_put_u32be(&b, id);
	sl_buf_append(&b, "\0\2me", 4);
	sl_buf_append(&b, tail, n);
	/* In two pieces, cut at a place that differs. */
	size_t cut = id % b.n;
	struct iovec iov[2] = {{b.p, cut}, {b.p + cut, b.n - cut}};
	kafka_wire_sent(w, iov, 2, b.n);
	sl_buf_fini(&b);
}

static bool come(struct kafka_wire *w, const void *p, size_t n) {
	struct iovec iov = {(void *)(uintptr_t)p, n};
	return kafka_wire_came(w, &iov, 1, n);
}

static bool answer(struct kafka_wire *w, uint32_t id, const void *body, size_t n) {
	struct sl_buf b = SL_BUF_INIT;
	sl_buf_put_u32be(&b, (uint32_t)n + 4);
	sl_buf_put_u32be(&b, id);
	sl_buf_append(&b, body, n);
	bool fine = come(w, b.p, b.n);
	sl_buf_fini(&b);
	return fine;
}

static void test_wire__answers_are_judged_by_what_was_asked(void **state) {
	(void)state;
	struct kafka_wire *w = wire();
	for (uint32_t id = 1; id < 40; id++) { /* more than there is room for at first */
		ask(w, 12, 3, id, "0123456789", 10);
		ask(w, 3, 1, 1000 + id, "", 0);
	}
	for (uint32_t id = 1; id < 40; id++) {
		assert_true(answer(w, id, "\0\0\0\0\0\0", 6));
		assert_true(answer(w, 1000 + id, metadata[1].bytes, metadata[1].n));
	}
	assert_null(why());
	kafka_wire_free(w);
}

static void test_wire__in_any_pieces(void **state) {
	(void)state;
	struct sl_buf b = SL_BUF_INIT;
	sl_buf_put_u32be(&b, (uint32_t)metadata[1].n + 4);
	sl_buf_put_u32be(&b, 7);
	sl_buf_append(&b, metadata[1].bytes, metadata[1].n);
	for (size_t a = 1; a < b.n; a++) {
		struct kafka_wire *w = wire();
		char *rest = sl_memdup0(b.p + a, b.n - a); /* not where the first piece ends */
		ask(w, 3, 1, 7, "", 0);
		assert_true(come(w, b.p, a));
		assert_true(come(w, rest, b.n - a));
		ask(w, 12, 0, 8, "", 0);
		assert_true(answer(w, 8, "\0\0", 2));
		/* Byte by byte, in one place. */
		ask(w, 3, 1, 7, "", 0);
		for (size_t i = 0; i < b.n; i++) assert_true(come(w, b.p + i, 1));
		sl_free(rest);
		kafka_wire_free(w);
	}
	sl_buf_fini(&b);
}

static void test_wire__nonsense_is_told_and_nothing_more_is_believed(void **state) {
	(void)state;
	struct kafka_wire *w = wire();
	ask(w, 3, 1, 5, "", 0);
	assert_false(answer(w, 5, "\xff\xff\xff\xfb", 4));
	char *said = why();
	assert_string_equal(said, "h:9092/1 answered Metadata v1 with nonsense at byte 0: something is missing, or of "
				  "negative length");
	sl_free(said);
	ask(w, 12, 0, 6, "", 0);
	assert_false(answer(w, 6, "\0\0", 2));
	kafka_wire_free(w);
}

static void refused(struct kafka_wire *w, const void *head, const char *part) {
	assert_false(come(w, head, 8));
	char *said = why();
	assert_non_null(said);
	if (!strstr(said, part)) fail_msg("%s", said);
	sl_free(said);
	kafka_wire_free(w);
}

static void test_wire__heads_that_cannot_be(void **state) {
	(void)state;
	struct kafka_wire *w = wire();
	refused(w, "HTTP/1.1", "nothing was asked");
	w = wire();
	ask(w, 12, 0, 6, "", 0);
	refused(w, "\0\0\0\6\0\0\0\7", "Heartbeat v0 with nonsense at byte 0: it is the answer to another question");
	w = wire();
	ask(w, 12, 0, 6, "", 0);
	refused(w, "\0\0\0\3\0\0\0\6", "its length is none");
	w = wire();
	ask(w, 12, 0, 6, "", 0);
	refused(w, "\x7f\0\0\0\0\0\0\6", "it is too long");
	w = wire();
	ask(w, 1, 11, 6, "", 0);
	assert_true(come(w, "\x7f\0\0\0\0\0\0\6", 8)); /* records: the client has its own limit */
	kafka_wire_free(w);
}

static void test_wire__a_request_without_acks_has_no_answer(void **state) {
	(void)state;
	struct kafka_wire *w = wire();
	ask(w, 0, 7, 1, "\xff\xff\0\0\0\0\0\1", 8);
	ask(w, 0, 2, 2, "\0\0\0\0\0\1", 6);
	ask(w, 0, 7, 3, "\xff\xff\xff\xff\0\0\0\1", 8);
	ask(w, 12, 0, 4, "", 0);
	assert_true(answer(w, 3, "\0\0\0\0\0\0\0\0", 8));
	assert_true(answer(w, 4, "\0\0", 2));
	kafka_wire_free(w);
}

/* A login as brokers before 1.0 have it: lengths and bytes of the mechanism, both ways. */
static void test_wire__a_mechanisms_bytes_pass(void **state) {
	(void)state;
	struct kafka_wire *w = wire();
	ask(w, 17, 0, 1, "\0\5PLAIN", 7);
	assert_true(answer(w, 1, "\0\0\0\0\0\1\0\5PLAIN", 13));
	send_bytes(w, "\0\0\0\x0f\0alice\0password", 19);
	assert_true(come(w, "\0\0\0\0", 4));
	ask(w, 3, 1, 2, "", 0);
	assert_true(answer(w, 2, metadata[0].bytes, metadata[0].n));
	ask(w, 3, 1, 3, "", 0);
	assert_false(answer(w, 3, "\xff\xff\xff\xff", 4));
	sl_free(why());
	kafka_wire_free(w);
}

/* ---- The calls. ---- */

static ssize_t read_one(int fd, void *p, size_t n) {
	struct iovec iov = {p, n};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	return recvmsg(fd, &m, MSG_DONTWAIT);
}

static void write_one(int fd, const void *p, size_t n) {
	struct iovec iov = {(void *)(uintptr_t)p, n};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	assert_int_equal(sendmsg(fd, &m, MSG_NOSIGNAL), n);
}

static void test_calls__libraries_use_ours(void **state) {
	(void)state;
	assert_true(kafka_wire_in_place());
}

static void test_calls__nonsense_does_not_arrive(void **state) {
	(void)state;
	int pair[2];
	char got[64];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_true(kafka_wire_put(pair[0], wire()));
	write_one(pair[0], "\0\0\0\x0c\0\x0c\0\0\0\0\0\1\0\2me", 16);
	write_one(pair[1], "\0\0\0\6\0\0\0\1\0\0\0\0\0\x06\0\0\0\2\0\0", 20);
	assert_int_equal(read_one(pair[0], got, 8), 8);
	assert_int_equal(read_one(pair[0], got, 2), 2);
	assert_int_equal(read_one(pair[0], got, 8), -1); /* nobody asked 2 */
	assert_int_equal(errno, EBADMSG);
	sl_free(why());
	kafka_wire_free(kafka_wire_take(pair[0]));
	assert_null(kafka_wire_take(pair[0]));
	write_one(pair[1], "any", 3); /* as everybody's */
	assert_int_equal(read_one(pair[0], got, 64), 5);
	assert_false(kafka_wire_put(-1, NULL));
	assert_false(kafka_wire_put(INT32_MAX, NULL));
	(void)close(pair[0]);
	(void)close(pair[1]);
}

/* Connections come and go on several threads, and descriptors pass from one to the other. */
static void *come_and_go(void *arg) {
	(void)arg;
	for (int i = 0; i < 300; i++) {
		int pair[2];
		char got[8];
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return (void *)(uintptr_t) "no socket";
		struct kafka_wire *w = wire();
		kafka_wire_put(pair[0], w);
		write_one(pair[0], "\0\0\0\x0c\0\x0c\0\0\0\0\0\1\0\2me", 16);
		write_one(pair[1], "\0\0\0\6\0\0\0\1\0\0", 10);
		bool fine = read_one(pair[0], got, 8) == 8 && read_one(pair[0], got, 2) == 2;
		fine = fine && kafka_wire_take(pair[0]) == w;
		kafka_wire_free(w);
		(void)close(pair[0]);
		(void)close(pair[1]);
		if (!fine) return (void *)(uintptr_t) "not as sent";
	}
	return NULL;
}

static void test_calls__many_threads(void **state) {
	(void)state;
	pthread_t threads[6];
	for (size_t i = 0; i < SL_ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, NULL), 0);
	for (size_t i = 0; i < SL_ARRAY_LEN(threads); i++) {
		void *wrong = NULL;
		assert_int_equal(pthread_join(threads[i], &wrong), 0);
		assert_null(wrong);
	}
}

int main(void) {
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_answer__nothing_at_all_is_refused),
	    cmocka_unit_test(test_answer__what_a_broker_says_passes),
	    cmocka_unit_test(test_answer__cut_off_it_is_refused),
	    cmocka_unit_test(test_answer__names),
	    cmocka_unit_test(test_answer__what_is_in_no_table_passes),
	    cmocka_unit_test(test_answer__a_list_of_topics),
	    cmocka_unit_test(test_answer__an_address_that_is_none),
	    cmocka_unit_test(test_answer__thousands_of_topics),
	    cmocka_unit_test(test_wire__answers_are_judged_by_what_was_asked),
	    cmocka_unit_test(test_wire__in_any_pieces),
	    cmocka_unit_test(test_wire__nonsense_is_told_and_nothing_more_is_believed),
	    cmocka_unit_test(test_wire__heads_that_cannot_be),
	    cmocka_unit_test(test_wire__a_request_without_acks_has_no_answer),
	    cmocka_unit_test(test_wire__a_mechanisms_bytes_pass),
	    cmocka_unit_test(test_calls__libraries_use_ours),
	    cmocka_unit_test(test_calls__nonsense_does_not_arrive),
	    cmocka_unit_test(test_calls__many_threads),
	};
	log_set_level(LOG_OFF);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
