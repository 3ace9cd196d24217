#include "utf8.h"

static bool is_continuation(char c) { return ((unsigned char)c & 0xc0) == 0x80; }

/* The length of the well-formed sequence at p (its first byte is not ASCII), or 0. Table 3-7 of the Unicode standard. */
static size_t sequence_length(const char *p, size_t room) {
	unsigned char a = (unsigned char)p[0];
	if (a < 0xc2 || a > 0xf4 || room < 2) return 0;
	unsigned char b = (unsigned char)p[1];
	if (a < 0xe0) return is_continuation(p[1]) ? 2 : 0;
	unsigned char low = 0x80, high = 0xbf;
	if (a == 0xe0) low = 0xa0;
	if (a == 0xed) high = 0x9f; /* surrogates */
	if (a == 0xf0) low = 0x90;
	if (a == 0xf4) high = 0x8f; /* above U+10FFFF */
	if (b < low || b > high) return 0;
	if (room < 3 || !is_continuation(p[2])) return 0;
	if (a < 0xf0) return 3;
	return room >= 4 && is_continuation(p[3]) ? 4 : 0;
}

/* Bytes from `at` on that are ASCII, eight at a time. */
static size_t skip_ascii(struct sl_slice s, size_t at) {
	while (s.n - at >= 8) {
		uint64_t word;
		memcpy(&word, s.p + at, 8);
		if (word & 0x8080808080808080u) break;
		at += 8;
	}
	while (at < s.n && (unsigned char)s.p[at] < 0x80) at++;
	return at;
}

bool utf8_valid(struct sl_slice s) { return utf8_valid_prefix(s) == s.n; }

bool utf8_valid_mqtt(struct sl_slice s) {
	/* [MQTT-1.5.4-2] U+0000 must not be there; [MQTT-1.5.4-1] ill-formed text and surrogates neither. */
	return (s.n == 0 || !memchr(s.p, 0, s.n)) && utf8_valid(s);
}

size_t utf8_valid_prefix(struct sl_slice s) {
	size_t at = skip_ascii(s, 0);
	while (at < s.n) {
		size_t len = sequence_length(s.p + at, s.n - at);
		if (len == 0) return at;
		at = skip_ascii(s, at + len);
	}
	return at;
}

char *utf8_repair(char *text, size_t n) {
	for (size_t at = 0; (at += utf8_valid_prefix(slice_make(text + at, n - at))) < n; at++) text[at] = '?';
	return text;
}

uint32_t utf8_decode(struct sl_slice s, size_t *len) {
	unsigned char a = (unsigned char)s.p[0];
	size_t n = a < 0x80 ? 1 : a < 0xe0 ? 2 : a < 0xf0 ? 3 : 4;
	if (n > s.n) n = s.n; /* only for text that is not well-formed: never past the end */
	uint32_t v = n == 1 ? a : a & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) v = v << 6 | ((unsigned char)s.p[i] & 0x3f);
	*len = n;
	return v;
}

size_t utf8_encode(uint32_t code_point, char out[4]) {
	if (code_point > 0x10ffff || (code_point >= 0xd800 && code_point <= 0xdfff)) code_point = 0xfffd;
	if (code_point < 0x80) {
		out[0] = (char)code_point;
		return 1;
	}
	if (code_point < 0x800) {
		out[0] = (char)(0xc0 | code_point >> 6);
		out[1] = (char)(0x80 | (code_point & 0x3f));
		return 2;
	}
	if (code_point < 0x10000) {
		out[0] = (char)(0xe0 | code_point >> 12);
		out[1] = (char)(0x80 | (code_point >> 6 & 0x3f));
		out[2] = (char)(0x80 | (code_point & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | code_point >> 18);
	out[1] = (char)(0x80 | (code_point >> 12 & 0x3f));
	out[2] = (char)(0x80 | (code_point >> 6 & 0x3f));
	out[3] = (char)(0x80 | (code_point & 0x3f));
	return 4;
}

size_t utf8_length(struct sl_slice s) {
	size_t count = 0;
	for (size_t i = 0; i < s.n; i++) count += !is_continuation(s.p[i]);
	return count;
}
