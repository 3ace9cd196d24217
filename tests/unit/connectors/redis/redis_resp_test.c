/* RESP through hiredis: replies in pieces of any size, within limits, and requests. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <hiredis.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "redis_resp.h"

/* ---- Replies. ---- */

static void reply_print(const struct redis_reply *r, struct sl_buf *out) {
	static const char kinds[] = "$+-:_*";
	sl_buf_put(out, kinds[r->kind]);
	if (r->kind == REDIS_NUMBER)
		sl_buf_printf(out, "%lld", (long long)r->number);
	else if (r->kind == REDIS_LIST) {
		sl_buf_put(out, '[');
		for (uint32_t i = 0; i < r->n; i++) {
			if (i) sl_buf_put(out, ' ');
			reply_print(&r->items[i], out);
		}
		sl_buf_put(out, ']');
	} else
		sl_buf_append_slice(out, r->text);
	if (r->cut) sl_buf_put(out, '~');
}

/* What comes of these bytes; false: it broke, which is a ! in the end. */
static bool read_on(struct redis_reader *r, struct sl_slice bytes, struct sl_buf *out) {
	const struct redis_reply *reply;
	int status;
	redis_reader_feed(r, bytes);
	while ((status = redis_reader_next(r, &reply)) == 1) {
		if (out->n) sl_buf_put(out, ' ');
		reply_print(reply, out);
	}
	if (status == 0) return true;
	sl_buf_put(out, '!');
	assert_true(r->why[0]);
	return false;
}

/* Fed in pieces: the first of `first` bytes, the others of `step`. */
static void reads_from(const char *bytes, size_t n, size_t first, size_t step, const struct redis_limits *limits,
		       const char *expected) {
	struct redis_reader r;
	struct sl_slice rest = slice_make(bytes, n);
	struct sl_buf out = SL_BUF_INIT;
	redis_reader_init(&r, limits);
	bool good = read_on(&r, slice_sub(rest, 0, first), &out);
	for (rest = slice_from(rest, first); rest.n && good; rest = slice_from(rest, step))
		good = read_on(&r, slice_sub(rest, 0, step), &out);
	assert_string_equal(sl_buf_cstr(&out), expected);
	sl_buf_fini(&out);
	redis_reader_fini(&r);
}

static void reads(const char *bytes, size_t n, size_t step, const struct redis_limits *limits, const char *expected) {
	reads_from(bytes, n, 0, step, limits, expected);
}

static void reads_halves(const char *bytes, size_t n, size_t at, const struct redis_limits *limits,
			 const char *expected) {
	reads_from(bytes, n, at, n, limits, expected);
}

static void test_reader__replies_in_pieces_of_any_size(void **state) {
	static const char bytes[] =
	    "+OK\r\n:-7\r\n$3\r\na\r\n\r\n$-1\r\n*3\r\n:1\r\n*2\r\n$0\r\n\r\n-ERR x\r\n*-1\r\n*0\r\n-WRONGTYPE y\r\n";
	(void)state;
	for (size_t step = 1; step < sizeof bytes; step++)
		reads(bytes, sizeof bytes - 1, step, &redis_limits_small,
		      "+OK :-7 $a\r\n _ *[:1 *[$ -ERR x] _] *[] -WRONGTYPE y");
}

static void test_reader__what_is_no_reply(void **state) {
	static const char *const bad[] = {"x",       "%1\r\n", "HTTP/1.1 400 Bad Request\r\n",
					  "\r\n",    "$x\r\n", "$-2\r\n",
					  "*-2\r\n", ":\r\n",  "$3\r\nabcdef\r\n+OK\r\n"};
	(void)state;
	for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++) reads(bad[i], strlen(bad[i]), 1, &redis_limits_small, "!");
}

/* What is beyond a limit is read and left out; what follows is there. */
static void test_reader__limits(void **state) {
	static const struct redis_limits tiny = {.reply_bytes = 12, .reply_parts = 5, .text_bytes = 4};
	static const char bytes[] = "$10\r\n0123456789\r\n"
				    "*4\r\n:1\r\n:2\r\n:3\r\n:4\r\n"
				    "*5\r\n:1\r\n$2\r\n\r\n\r\n*2\r\n+x\r\n*0\r\n-ERR x\r\n*-1\r\n"
				    "*2\r\n*9\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n:6\r\n:7\r\n:8\r\n*1\r\n:9\r\n-E\r\n"
				    "*4\r\n$4\r\nabcd\r\n$5\r\nefghi\r\n$4\r\njklm\r\n$2\r\nno\r\n"
				    "+OK\r\n";
	(void)state;
	for (size_t step = 1; step < sizeof bytes; step++)
		reads(bytes, sizeof bytes - 1, step, &tiny,
		      "$0123~ *[:1 :2 :3 :4] *[]~ *[*[]~ -E]~ *[$abcd $efgh~ $jklm $~]~ +OK");
}

/* So deep hiredis reads, no deeper. */
static void test_reader__lists_in_lists(void **state) {
	struct sl_buf in = SL_BUF_INIT;
	const struct redis_reply *reply;
	struct redis_reader r;
	(void)state;
	for (size_t i = 0; i < 8; i++) sl_buf_append_str(&in, "*2\r\n+a\r\n");
	sl_buf_append_str(&in, "-ERR deep\r\n:7\r\n");
	for (size_t step = 1; step < in.n; step++)
		reads(in.p, in.n, step, &redis_limits_small,
		      "*[+a *[+a *[+a *[+a *[+a *[+a *[+a *[+a -ERR deep]]]]]]]] :7");
	sl_buf_clear(&in);
	for (size_t i = 0; i < 9; i++) sl_buf_append_str(&in, "*2\r\n+a\r\n");
	redis_reader_init(&r, &redis_limits_small);
	redis_reader_feed(&r, sl_buf_slice(&in));
	assert_int_equal(redis_reader_next(&r, &reply), SL_ELIMIT);
	assert_int_equal(redis_reader_next(&r, &reply), SL_ELIMIT);
	assert_non_null(strstr(r.why, "more than 8 deep"));
	redis_reader_fini(&r);
	sl_buf_clear(&in);
	for (size_t i = 0; i < 100000; i++) sl_buf_append_str(&in, "*1\r\n");
	reads(in.p, in.n, 4096, &redis_limits_small, "!");
	sl_buf_fini(&in);
}

static void put_text(struct sl_buf *out, size_t n) {
	sl_buf_printf(out, "$%zu\r\n", n);
	memset(sl_buf_add(out, n), 'x', n);
	sl_buf_append_str(out, "\r\n");
}

/* Large texts go around hiredis, in lists as well, and in those that are left out; wherever their bytes are split. */
static void test_reader__large_texts(void **state) {
	static const size_t sizes[] = {4095, 4096, 4097, 8190, 40000};
	static const struct redis_limits all = {.reply_bytes = 1 << 20, .reply_parts = 9, .text_bytes = 1 << 20};
	static const struct redis_limits few = {.reply_bytes = 4100, .reply_parts = 4, .text_bytes = 4097};
	struct sl_buf in = SL_BUF_INIT, whole = SL_BUF_INIT, cut = SL_BUF_INIT;
	(void)state;
	for (size_t i = 0; i < SL_ARRAY_LEN(sizes); i++) {
		sl_buf_clear(&in);
		sl_buf_clear(&whole);
		sl_buf_clear(&cut);
		sl_buf_append_str(&in, "*3\r\n");
		put_text(&in, sizes[i]);
		sl_buf_append_str(&in, ":1\r\n");
		put_text(&in, sizes[i]);
		sl_buf_append_str(&in, "*4\r\n+a\r\n*1\r\n");
		put_text(&in, sizes[i]);
		sl_buf_append_str(&in, "+b\r\n+c\r\n+OK\r\n");
		size_t kept = sl_min_size(sizes[i], 4097), rest = sl_min_size(4100 - kept, sizes[i]);
		char *x = memset(sl_alloc(sizes[i] + 1), 'x', sizes[i] + 1);
		int n = (int)sizes[i];
		sl_buf_printf(&whole, "*[$%.*s :1 $%.*s] *[+a *[$%.*s] +b +c] +OK", n, x, n, x, n, x);
		sl_buf_printf(&cut, "*[$%.*s%s :1 $%.*s~]~ *[]~ +OK", (int)kept, x, kept < sizes[i] ? "~" : "",
			      (int)rest, x);
		for (size_t step = 1; step < in.n; step = step * 3 / 2 + 1) {
			reads(in.p, in.n, step, &all, sl_buf_cstr(&whole));
			if (i > 0) reads(in.p, in.n, step, &few, sl_buf_cstr(&cut));
		}
		for (size_t at = 0; at < in.n; at += at < 64 || at > in.n - 64 ? 1 : 61) /* split in two there */
			reads_halves(in.p, in.n, at, &all, sl_buf_cstr(&whole));
		sl_free(x);
	}
	sl_buf_fini(&in);
	sl_buf_fini(&whole);
	sl_buf_fini(&cut);
}

/* Behind a large text stands something else than its end. */
static void test_reader__large_text_with_a_wrong_end(void **state) {
	struct sl_buf in = SL_BUF_INIT;
	(void)state;
	put_text(&in, 9000);
	for (size_t i = 1; i <= 2; i++) {
		char was = in.p[in.n - i];
		in.p[in.n - i] = 'x';
		for (size_t step = 1; step < 2 * in.n; step = step * 2 + 1)
			reads(in.p, in.n, step, &redis_limits_small, "!");
		in.p[in.n - i] = was;
	}
	sl_buf_clear(&in);
	sl_buf_append_str(&in, "$9223372036854775807\r\n+OK\r\n");
	reads(in.p, in.n, in.n, &redis_limits_small, "");
	sl_buf_fini(&in);
}

static void hiredis_holds_little(const struct redis_reader *r) { assert_true(sdsalloc(r->hiredis->buf) < 64 * 1024); }

/* 600 MB are announced and come; a list of two billions is announced, and some of it comes. */
static void test_reader__what_is_huge_is_not_held(void **state) {
	enum { CHUNK = 64 * 1024, BIG = 600 * 1000 * 1000 };
	static char zeroes[CHUNK];
	const struct redis_reply *reply;
	struct redis_reader r;
	(void)state;
	redis_reader_init(&r, &redis_limits_small);
	redis_reader_feed(&r, SL_SLICE_LIT("$600000000\r\n"));
	assert_int_equal(redis_reader_next(&r, &reply), 0);
	for (size_t left = BIG; left; left -= sl_min_size(left, CHUNK)) {
		redis_reader_feed(&r, slice_make(zeroes, sl_min_size(left, CHUNK)));
		assert_int_equal(redis_reader_next(&r, &reply), 0);
		hiredis_holds_little(&r);
	}
	redis_reader_feed(&r, SL_SLICE_LIT("\r\n+OK\r\n*2000000000\r\n"));
	assert_int_equal(redis_reader_next(&r, &reply), 1);
	assert_int_equal(reply->text.n, redis_limits_small.text_bytes);
	assert_int_equal(redis_reader_next(&r, &reply), 1);
	assert_true(slice_equal_str(reply->text, "OK"));
	assert_int_equal(redis_reader_next(&r, &reply), 0);
	for (size_t i = 0; i < 1000000; i++) {
		redis_reader_feed(&r, SL_SLICE_LIT("$3\r\nabc\r\n"));
		assert_int_equal(redis_reader_next(&r, &reply), 0);
		hiredis_holds_little(&r);
	}
	assert_true(!r.arena.chunk || (size_t)(r.arena.end - r.arena.at) < 64 * 1024);
	redis_reader_fini(&r);
}

/* Until something is no line of Redis any more, it is not held either. */
static void test_reader__lines_without_an_end(void **state) {
	struct sl_buf big = SL_BUF_INIT;
	(void)state;
	memset(sl_buf_add(&big, 900000), 'x', 900000);
	big.p[0] = '+';
	reads(big.p, big.n, 4096, &redis_limits_small, "!");
	memset(big.p + 1, '\r', big.n - 1);
	reads(big.p, big.n, 4096, &redis_limits_small, "!");
	memset(big.p + 1, '\n', big.n - 1);
	reads(big.p, big.n, 1, &redis_limits_small, "!");
	sl_buf_fini(&big);
}

/* The longest line that is one, and the next: wherever they are split. */
static void test_reader__the_longest_line(void **state) {
	enum { LONGEST = 64 * 1024 };
	static const struct redis_limits all = {.reply_bytes = 1 << 20, .reply_parts = 9, .text_bytes = 1 << 20};
	(void)state;
	for (size_t n = LONGEST; n <= LONGEST + 1; n++) {
		struct sl_buf in = SL_BUF_INIT;
		sl_buf_put(&in, '+');
		memset(sl_buf_add(&in, n), 'x', n);
		char *line = sl_memdup0(in.p, in.n);
		sl_buf_append_str(&in, "\r\n");
		for (size_t step = 64; step < 2 * in.n; step = step * 2 - 1)
			reads(in.p, in.n, step, &all, n > LONGEST ? "!" : line);
		for (size_t at = in.n - 4; at < in.n; at++)
			reads_halves(in.p, in.n, at, &all, n > LONGEST ? "!" : line);
		sl_free(line);
		sl_buf_fini(&in);
	}
}

/* ---- Requests. ---- */

static void test_requests__texts_of_any_bytes(void **state) {
	struct sl_buf out = SL_BUF_INIT;
	const struct sl_slice texts[] = {SL_SLICE_LIT("SET"), SL_SLICE_EMPTY, SL_SLICE_LIT("\r\n\0%s*")};
	(void)state;
	redis_put_texts(&out, texts, SL_ARRAY_LEN(texts));
	redis_put(&out, "AUTH", "%b", NULL);
	assert_true(slice_equal(sl_buf_slice(&out), SL_SLICE_LIT("*3\r\n$3\r\nSET\r\n$0\r\n\r\n$6\r\n\r\n\0%s*\r\n"
								 "*2\r\n$4\r\nAUTH\r\n$2\r\n%b\r\n")));
	sl_buf_fini(&out);
}

/* More than lie in the structure itself, some made on the way; what was large is given back. */
static void test_requests__many_arguments(void **state) {
	static const size_t counts[] = {1, 24, 25, 1000, 5000, 3};
	struct redis_limits all = {.reply_bytes = 1 << 24, .reply_parts = 1 << 20, .text_bytes = 1 << 24};
	struct sl_buf out = SL_BUF_INIT;
	struct redis_args args;
	(void)state;
	redis_args_init(&args);
	for (size_t i = 0; i < SL_ARRAY_LEN(counts); i++) {
		struct redis_reader r;
		const struct redis_reply *reply;
		redis_args_clear(&args);
		sl_buf_clear(&out);
		for (size_t k = 0; k < counts[i]; k++) redis_args_number(&args, (int64_t)k * 7 - 5);
		redis_args_put(&args, &out);
		redis_reader_init(&r, &all);
		redis_reader_feed(&r, sl_buf_slice(&out));
		assert_int_equal(redis_reader_next(&r, &reply), 1);
		assert_int_equal(reply->n, counts[i]);
		for (size_t k = 0; k < counts[i]; k++)
			assert_true(slice_equal(reply->items[k].text, redis_args_get(&args, k)));
		assert_int_equal(redis_reader_next(&r, &reply), 0);
		redis_reader_fini(&r);
	}
	assert_ptr_equal(args.at, args.few_at);
	redis_args_fini(&args);
	sl_buf_fini(&out);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_reader__replies_in_pieces_of_any_size),
	    cmocka_unit_test(test_reader__what_is_no_reply),
	    cmocka_unit_test(test_reader__limits),
	    cmocka_unit_test(test_reader__lists_in_lists),
	    cmocka_unit_test(test_reader__large_texts),
	    cmocka_unit_test(test_reader__large_text_with_a_wrong_end),
	    cmocka_unit_test(test_reader__what_is_huge_is_not_held),
	    cmocka_unit_test(test_reader__lines_without_an_end),
	    cmocka_unit_test(test_reader__the_longest_line),
	    cmocka_unit_test(test_requests__texts_of_any_bytes),
	    cmocka_unit_test(test_requests__many_arguments),
	};
	return cmocka_run_group_tests_name("redis_resp", tests, NULL, NULL);
}
