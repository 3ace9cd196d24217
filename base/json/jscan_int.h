/* jscan_int.h: the scanner's inner loops, shared by jscan.c and jpath.c. Not for other folders.
 *
 * All of them take `p` in [start, end] and give the place behind what they read, or NULL when the text is broken.
 * None reads at or past `end`. They are inline because a payload of 13 members makes some 60 such steps, and a
 * call each would cost more than the steps. */
#ifndef SL_JSCAN_INT_H
#define SL_JSCAN_INT_H

#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "jscan.h"

#define JSCAN_INLINE static inline __attribute__((always_inline)) sl_unused

JSCAN_INLINE bool jscan_is_space(char c) {
	return (unsigned char)c <= ' ' && (c == ' ' || c == '\n' || c == '\r' || c == '\t');
}

/* Steps over white space. Other control characters stay, for the caller to refuse. */
JSCAN_INLINE const char *jscan_space(const char *p, const char *end) {
	while (p < end && jscan_is_space(*p)) p++;
	return p;
}

#ifdef __SSE2__
/* Bit i: byte i of the block ends plain text (a quote, a backslash, a control character). */
JSCAN_INLINE unsigned jscan_block_stops(const char *p, unsigned *high) {
	__m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
	__m128i quote = _mm_cmpeq_epi8(v, _mm_set1_epi8('"'));
	__m128i slash = _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'));
	__m128i control = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
	*high = (unsigned)_mm_movemask_epi8(v);
	return (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, slash), control));
}

/* From p to the first byte that ends plain text, block by block; the last block's rest is left to the caller. */
JSCAN_INLINE const char *jscan_plain(const char *p, const char *end, bool *not_ascii) {
	while (end - p >= 16) {
		unsigned high, stops = jscan_block_stops(p, &high);
		if (stops == 0) {
			*not_ascii |= high != 0;
			p += 16;
			continue;
		}
		unsigned at = (unsigned)__builtin_ctz(stops);
		*not_ascii |= (high & ((1u << at) - 1)) != 0;
		return p + at;
	}
	return p;
}
#else
JSCAN_INLINE const char *jscan_plain(const char *p, const char *end, bool *not_ascii) {
	const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
	while (end - p >= 8) {
		uint64_t v;
		memcpy(&v, p, 8);
		uint64_t quote = v ^ ones * '"', slash = v ^ ones * '\\';
		uint64_t stops = ((v - ones * 0x20) & ~v) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash);
		if (stops & tops) return p;
		*not_ascii |= (v & tops) != 0;
		p += 8;
	}
	return p;
}
#endif

/* p stands behind the opening quote; gives the closing quote. */
JSCAN_INLINE const char *jscan_string_end(const char *p, const char *end, bool *escaped, bool *not_ascii) {
	for (;;) {
		p = jscan_plain(p, end, not_ascii);
		for (; p < end && *p != '"' && *p != '\\'; p++) {
			if ((unsigned char)*p < 0x20) return NULL;
			*not_ascii |= (unsigned char)*p >= 0x80;
		}
		if (p == end) return NULL;
		if (*p == '"') return p;
		*escaped = true;
		if (end - p < 2) return NULL;
		/* Whatever follows the backslash belongs to it. Only UTF-8's first bytes matter later on. */
		*not_ascii |= (unsigned char)p[1] >= 0x80;
		p += 2;
	}
}

JSCAN_INLINE bool jscan_starts_number(char c) { return (c >= '0' && c <= '9') || c == '-'; }

JSCAN_INLINE bool jscan_in_number(char c) {
	return (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '+' || (c | 0x20) == 'e';
}

/* Behind all bytes that a number may be made of. By blocks, as numbers of changing length cost a loop over single
 * digits one wrong guess of the CPU each. */
JSCAN_INLINE const char *jscan_number_end(const char *p, const char *end) {
#ifdef __SSE2__
	while (end - p >= 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
		/* The bytes from '+' to '9' but for the comma and the slash; and both cases of e. */
		__m128i from_plus = _mm_sub_epi8(v, _mm_set1_epi8('+'));
		__m128i in_range = _mm_cmpeq_epi8(_mm_min_epu8(from_plus, _mm_set1_epi8('9' - '+')), from_plus);
		__m128i e = _mm_cmpeq_epi8(_mm_or_si128(v, _mm_set1_epi8(0x20)), _mm_set1_epi8('e'));
		__m128i not_these =
		    _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8(',')), _mm_cmpeq_epi8(v, _mm_set1_epi8('/')));
		__m128i in_number = _mm_andnot_si128(not_these, _mm_or_si128(in_range, e));
		unsigned stops = ~(unsigned)_mm_movemask_epi8(in_number) & 0xffff;
		if (stops) return p + __builtin_ctz(stops);
		p += 16;
	}
#endif
	while (p < end && jscan_in_number(*p)) p++;
	return p;
}

/* JKIND_INT, JKIND_DOUBLE, or JKIND_ABSENT when the text is no number to the letter. */
enum json_kind jscan_number_form(struct sl_slice raw);

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
/* Most numbers are short: one word tells whether they are digits with one point or minus at most. JKIND_ABSENT: look again.
 * The word is the eight bytes from p on, or, `before`, those up to the number's end. */
JSCAN_INLINE enum json_kind jscan_short_number(const char *p, size_t n, bool before) {
	const uint64_t ones = 0x0101010101010101u;
	uint64_t v;
	memcpy(&v, before ? p + n - 8 : p, 8);
	/* Digits become their value; the number moves up to the word's end, with zeros before it. */
	unsigned empty = 64 - 8 * (unsigned)n;
	if (before) v >>= empty;
	v = (v ^ ones * '0') << empty;
	uint64_t others =
	    ((v + ones * (0x80 - 10)) | v) & ones * 0x80; /* above one that is no digit there may be more */
	if (others == 0) return *p != '0' || n == 1 ? JKIND_INT : JKIND_ABSENT;
	size_t at = ((unsigned)__builtin_ctzll(others) - empty) / 8;
	if ((others & (others - 1)) != 0 || at + 1 >= n) return JKIND_ABSENT;
	if (p[at] == '.' && at > 0) return *p != '0' || at == 1 ? JKIND_DOUBLE : JKIND_ABSENT;
	return *p == '-' && (p[1] != '0' || n == 2) ? JKIND_INT : JKIND_ABSENT;
}
#endif

/* The same, with what most numbers look like decided by one look at 8 or 16 bytes. From `start` to `end` may be read. */
JSCAN_INLINE enum json_kind jscan_number_kind(struct sl_slice raw, const char *start, const char *end) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	if (sl_likely(raw.n <= 8)) {
		enum json_kind kind = JKIND_ABSENT;
		if (sl_likely(end - raw.p >= 8))
			kind = jscan_short_number(raw.p, raw.n, false);
		else if (raw.p + raw.n - start >= 8)
			kind = jscan_short_number(raw.p, raw.n, true);
		if (sl_likely(kind != JKIND_ABSENT)) return kind;
	}
#else
	(void)start;
#endif
#ifdef __SSE2__
	if (raw.n <= 16 && end - raw.p >= 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)raw.p);
		__m128i digit = _mm_sub_epi8(v, _mm_set1_epi8('0'));
		__m128i is_digit = _mm_cmpeq_epi8(_mm_min_epu8(digit, _mm_set1_epi8(9)), digit);
		unsigned minus = *raw.p == '-', length = (unsigned)raw.n;
		unsigned others = ~(unsigned)_mm_movemask_epi8(is_digit) & ((1u << length) - 1) & ~minus;
		/* Where the whole part ends: at the one byte that is no digit, if there is one. */
		unsigned whole = (unsigned)__builtin_ctz(others | 1u << length);
		bool zero_leads = raw.p[minus] == '0' && whole - minus > 1;
		if (sl_likely((others & (others - 1)) == 0 && whole > minus && !zero_leads)) {
			if (others == 0) return JKIND_INT;
			if (raw.p[whole] == '.' && whole + 1 < length) return JKIND_DOUBLE;
		}
	}
#else
	(void)end;
#endif
	return jscan_number_form(raw);
}

JSCAN_INLINE enum json_kind jscan_literal_kind(struct sl_slice raw) {
	if (raw.n == 4 && memcmp(raw.p, "true", 4) == 0) return JKIND_TRUE;
	if (raw.n == 5 && memcmp(raw.p, "false", 5) == 0) return JKIND_FALSE;
	return raw.n == 4 && memcmp(raw.p, "null", 4) == 0 ? JKIND_NULL : JKIND_ABSENT;
}

JSCAN_INLINE const char *jscan_literal(const char *p, const char *end) {
	if (end - p >= 4 && (memcmp(p, "true", 4) == 0 || memcmp(p, "null", 4) == 0)) return p + 4;
	return end - p >= 5 && memcmp(p, "false", 5) == 0 ? p + 5 : NULL;
}

/* Steps over a value that is no container. */
JSCAN_INLINE const char *jscan_skip_scalar(const char *p, const char *end) {
	if (p == end) return NULL;
	if (*p == '"') {
		bool escaped = false, not_ascii = false;
		p = jscan_string_end(p + 1, end, &escaped, &not_ascii);
		return p ? p + 1 : NULL;
	}
	return jscan_starts_number(*p) ? jscan_number_end(p + 1, end) : jscan_literal(p, end);
}

/* Behind a name: over the colon to the first byte of the value, which is there. */
JSCAN_INLINE const char *jscan_colon(const char *p, const char *end) {
	p = jscan_space(p, end);
	if (p == end || *p != ':') return NULL;
	p = jscan_space(p + 1, end);
	return p < end ? p : NULL;
}

/* Steps over an object or array at p; `depth` containers are open around it. */
const char *jscan_skip_container(const char *p, const char *end, unsigned depth);

JSCAN_INLINE const char *jscan_skip(const char *p, const char *end, unsigned depth) {
	if (p < end && (*p == '{' || *p == '[')) return jscan_skip_container(p, end, depth);
	return jscan_skip_scalar(p, end);
}

#endif
