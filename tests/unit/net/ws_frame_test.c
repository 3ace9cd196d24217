#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "buf.h"
#include "err.h"
#include "ws_frame.h"

static const uint8_t MASK[4] = {0x37, 0xfa, 0x21, 0x3d};

/* A frame as a client sends it, or as a server does (mask NULL). */
static void put_frame(struct sl_buf *out, unsigned first, struct sl_slice payload, const uint8_t *mask) {
	char head[WS_HEAD_MAX];
	size_t n = ws_put_head(head, (enum ws_opcode)(first & 0x0f), payload.n, mask);
	head[0] = (char)first;
	sl_buf_append(out, head, n);
	char *to = sl_buf_add(out, payload.n);
	if (mask)
		ws_mask(to, payload.p, payload.n, mask, 0);
	else if (payload.n)
		memcpy(to, payload.p, payload.n);
}

/* All that comes of these bytes, given in pieces of `step`: data, and after it a line of letters for the control frames. */
static int hear(struct sl_slice wire, bool masked, size_t step, struct sl_buf *data, struct sl_buf *control,
		uint16_t *code) {
	struct ws_parser p;
	struct ws_event e = {0};
	int rc = SL_EAGAIN;
	ws_parser_init(&p, masked);
	for (size_t at = 0; at < wire.n && rc == SL_EAGAIN; at += step) {
		struct sl_buf piece = SL_BUF_INIT;
		sl_buf_append_slice(&piece, slice_sub(wire, at, step));
		struct sl_slice in = sl_buf_slice(&piece);
		char *to = piece.p;
		while ((rc = ws_parser_next(&p, &in, to, &e)) == SL_OK) {
			if (e.what == WS_DATA) {
				assert_ptr_equal(e.bytes.p, to);
				sl_buf_append_slice(data, e.bytes);
				to += e.bytes.n;
				continue;
			}
			sl_buf_printf(control, "%c%.*s ", "-PpC"[e.what], SL_SLICE_ARG(e.bytes));
			*code = e.code;
		}
		sl_buf_fini(&piece);
	}
	if (rc == SL_EPROTOCOL && e.code) *code = e.code;
	return rc;
}

static void expect(struct sl_buf *wire, bool masked, const char *data, const char *control, int end, uint16_t code) {
	for (size_t step = 1; step <= wire->n; step++) {
		struct sl_buf got = SL_BUF_INIT, heard = SL_BUF_INIT;
		uint16_t got_code = 0;
		int rc = hear(sl_buf_slice(wire), masked, step, &got, &heard, &got_code);
		assert_string_equal(sl_buf_cstr(&got), data);
		assert_string_equal(sl_buf_cstr(&heard), control);
		if (end != SL_OK) assert_int_equal(rc, end);
		assert_int_equal(got_code, code);
		sl_buf_fini(&got);
		sl_buf_fini(&heard);
	}
	sl_buf_fini(wire);
}

static void test_ws_frame__the_examples_of_the_standard(void **state) {
	(void)state;
	char head[WS_HEAD_MAX];
	/* RFC 6455, 5.7, with "binary" where it has text. */
	struct sl_buf wire = SL_BUF_INIT;
	sl_buf_append(&wire, "\x82\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11);
	expect(&wire, true, "Hello", "", SL_EAGAIN, 0);
	sl_buf_append(&wire, "\x02\x03\x48\x65\x6c\x80\x02\x6c\x6f", 9);
	expect(&wire, false, "Hello", "", SL_EAGAIN, 0);
	sl_buf_append(&wire, "\x89\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11);
	expect(&wire, true, "", "PHello ", SL_EAGAIN, 0);
	assert_int_equal(ws_put_head(head, WS_BINARY, 256, NULL), 4);
	assert_memory_equal(head, "\x82\x7e\x01\x00", 4);
	assert_int_equal(ws_put_head(head, WS_BINARY, 65536, NULL), 10);
	assert_memory_equal(head, "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00", 10);
	assert_int_equal(ws_put_head(head, WS_PONG, 5, MASK), 6);
	assert_memory_equal(head, "\x8a\x85\x37\xfa\x21\x3d", 6);
}

static void test_ws_frame__many_frames_many_fragments_control_between(void **state) {
	(void)state;
	struct sl_buf wire = SL_BUF_INIT;
	put_frame(&wire, 0x82, SL_SLICE_LIT("one "), MASK);
	put_frame(&wire, 0x02, SL_SLICE_LIT("t"), MASK);
	put_frame(&wire, 0x89, SL_SLICE_LIT("ping"), MASK);
	put_frame(&wire, 0x00, SL_SLICE_LIT("w"), MASK);
	put_frame(&wire, 0x00, SL_SLICE_LIT(""), MASK);
	put_frame(&wire, 0x8a, SL_SLICE_LIT(""), MASK);
	put_frame(&wire, 0x80, SL_SLICE_LIT("o"), MASK);
	put_frame(&wire, 0x82, SL_SLICE_LIT(""), MASK);
	put_frame(&wire, 0x82, SL_SLICE_LIT(" three"), MASK);
	put_frame(&wire, 0x88,
		  SL_SLICE_LIT("\x03\xe8"
			       "bye"),
		  MASK);
	expect(&wire, true, "one two three", "Pping p Cbye ", SL_OK, WS_CODE_NORMAL);
}

static void test_ws_frame__every_length_form(void **state) {
	(void)state;
	static const size_t lengths[] = {0, 1, 125, 126, 127, 65535, 65536, 200000};
	for (size_t i = 0; i < SL_ARRAY_LEN(lengths); i++) {
		struct sl_buf wire = SL_BUF_INIT, payload = SL_BUF_INIT, got = SL_BUF_INIT, control = SL_BUF_INIT;
		uint16_t code = 0;
		for (size_t k = 0; k < lengths[i]; k++) sl_buf_put(&payload, (char)(k * 31 + k / 251));
		put_frame(&wire, 0x82, sl_buf_slice(&payload), MASK);
		assert_int_equal(hear(sl_buf_slice(&wire), true, 7919, &got, &control, &code), SL_EAGAIN);
		assert_true(slice_equal(sl_buf_slice(&got), sl_buf_slice(&payload)));
		sl_buf_fini(&wire);
		sl_buf_fini(&payload);
		sl_buf_fini(&got);
		sl_buf_fini(&control);
	}
}

static void refused(const char *bytes, size_t n, bool masked, uint16_t code) {
	struct sl_buf wire = SL_BUF_INIT;
	sl_buf_append(&wire, bytes, n);
	sl_buf_append(&wire, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	expect(&wire, masked, "", "", SL_EPROTOCOL, code);
}
#define REFUSED(lit, masked, code) refused(lit, sizeof lit - 1, masked, code)

static void test_ws_frame__what_the_standard_forbids_is_refused(void **state) {
	(void)state;
	REFUSED("\x81\x80", true, WS_CODE_NOT_BINARY); /* text [MQTT-6.0.0-1] */
	REFUSED("\x01\x80", true, WS_CODE_NOT_BINARY);
	REFUSED("\x82\x01", true, WS_CODE_PROTOCOL);  /* not masked */
	REFUSED("\x82\x81", false, WS_CODE_PROTOCOL); /* masked */
	REFUSED("\xc2\x81", true, WS_CODE_PROTOCOL);  /* reserved bits */
	REFUSED("\xa2\x81", true, WS_CODE_PROTOCOL);
	REFUSED("\x92\x81", true, WS_CODE_PROTOCOL);
	REFUSED("\x83\x81", true, WS_CODE_PROTOCOL); /* reserved opcodes */
	REFUSED("\x87\x81", true, WS_CODE_PROTOCOL);
	REFUSED("\x8b\x81", true, WS_CODE_PROTOCOL);
	REFUSED("\x8f\x81", true, WS_CODE_PROTOCOL);
	REFUSED("\x09\x80", true, WS_CODE_PROTOCOL);         /* a control frame in fragments, */
	REFUSED("\x89\xfe", true, WS_CODE_PROTOCOL);         /* and too long a one */
	REFUSED("\x80\x81", true, WS_CODE_PROTOCOL);         /* goes on with what has not begun */
	REFUSED("\x82\xfe\x00\x7d", true, WS_CODE_PROTOCOL); /* a longer form than need be */
	REFUSED("\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff", true, WS_CODE_PROTOCOL);
	REFUSED("\x82\xff\x80\x00\x00\x00\x00\x00\x00\x01", true, WS_CODE_TOO_LARGE);
	REFUSED("\x82\xff\x00\x00\x00\x00\x40\x00\x00\x01", true, WS_CODE_TOO_LARGE);
	REFUSED("\x88\x01\x03", false, WS_CODE_PROTOCOL);     /* half a code */
	REFUSED("\x88\x02\x03\xed", false, WS_CODE_PROTOCOL); /* 1005 is for nobody to send */
	REFUSED("\x88\x02\x03\xe7", false, WS_CODE_PROTOCOL);
	REFUSED("\x88\x04\x03\xe8\xc3\x28", false, WS_CODE_BAD_TEXT);
}

static void test_ws_frame__a_message_within_a_message_is_refused(void **state) {
	(void)state;
	struct sl_buf wire = SL_BUF_INIT;
	put_frame(&wire, 0x02, SL_SLICE_LIT("a"), MASK);
	put_frame(&wire, 0x82, SL_SLICE_LIT("b"), MASK);
	expect(&wire, true, "a", "", SL_EPROTOCOL, WS_CODE_PROTOCOL);
}

static void test_ws_frame__nothing_is_read_after_the_close(void **state) {
	(void)state;
	struct sl_buf wire = SL_BUF_INIT;
	put_frame(&wire, 0x88, SL_SLICE_EMPTY, NULL);
	put_frame(&wire, 0x82, SL_SLICE_LIT("more"), NULL);
	expect(&wire, false, "", "C ", SL_OK, WS_CODE_NONE);
}

static void test_ws_frame__masking_twice_is_nothing_at_any_place(void **state) {
	(void)state;
	char plain[100], masked[100], there[110];
	for (size_t i = 0; i < sizeof plain; i++) plain[i] = (char)(i * 7);
	for (size_t n = 0; n <= sizeof plain; n++)
		for (size_t at = 0; at < 4; at++) {
			ws_mask(masked, plain, n, MASK, at);
			for (size_t i = 0; i < n; i++)
				assert_int_equal((uint8_t)masked[i], (uint8_t)plain[i] ^ MASK[(at + i) % 4]);
			/* Onto bytes before its own, as little as two. */
			memcpy(there + 2, masked, n);
			ws_mask(there, there + 2, n, MASK, at);
			assert_memory_equal(there, plain, n);
		}
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_ws_frame__the_examples_of_the_standard),
	    cmocka_unit_test(test_ws_frame__many_frames_many_fragments_control_between),
	    cmocka_unit_test(test_ws_frame__every_length_form),
	    cmocka_unit_test(test_ws_frame__what_the_standard_forbids_is_refused),
	    cmocka_unit_test(test_ws_frame__a_message_within_a_message_is_refused),
	    cmocka_unit_test(test_ws_frame__nothing_is_read_after_the_close),
	    cmocka_unit_test(test_ws_frame__masking_twice_is_nothing_at_any_place),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
