#include "jindex_int.h"

/* Of 64 bytes. Bit i stands for byte i. */
struct masks {
	uint64_t quotes, ops;
	bool rare; /* a backslash, a control character, or a byte beyond ASCII is among them */
};
struct rare_masks {
	uint64_t slashes, controls, high;
};

#ifdef __SSE2__
JSCAN_INLINE __m128i load(const char *p) { return _mm_loadu_si128((const __m128i *)(const void *)p); }
JSCAN_INLINE __m128i equal(__m128i v, char c) { return _mm_cmpeq_epi8(v, _mm_set1_epi8(c)); }
JSCAN_INLINE __m128i is_control(__m128i v) { return _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v); }
JSCAN_INLINE uint64_t bits_at(__m128i v, unsigned at) { return (uint64_t)(unsigned)_mm_movemask_epi8(v) << at; }

JSCAN_INLINE void classify(const char *p, struct masks *m) {
	__m128i rare = _mm_setzero_si128();
	m->quotes = m->ops = 0;
	for (unsigned i = 0; i < JINDEX_BLOCK; i += 16) {
		__m128i v = load(p + i);
		__m128i bracket =
		    _mm_or_si128(v, _mm_set1_epi8(0x20)); /* the bit tells '[' from '{' and ']' from '}' */
		__m128i ops = _mm_or_si128(_mm_or_si128(equal(bracket, '{'), equal(bracket, '}')), equal(v, ','));
		rare = _mm_or_si128(_mm_or_si128(rare, v), _mm_or_si128(equal(v, '\\'), is_control(v)));
		m->quotes |= bits_at(equal(v, '"'), i);
		m->ops |= bits_at(ops, i);
	}
	m->rare = _mm_movemask_epi8(rare) != 0; /* looks at the highest bits alone */
}

JSCAN_INLINE void classify_rare(const char *p, struct rare_masks *m) {
	*m = (struct rare_masks){0};
	for (unsigned i = 0; i < JINDEX_BLOCK; i += 16) {
		__m128i v = load(p + i);
		m->slashes |= bits_at(equal(v, '\\'), i);
		m->controls |= bits_at(is_control(v), i);
		m->high |= bits_at(v, i);
	}
}
#else
JSCAN_INLINE void classify(const char *p, struct masks *m) {
	*m = (struct masks){0};
	for (unsigned i = 0; i < JINDEX_BLOCK; i++) {
		unsigned char c = (unsigned char)p[i], bracket = c | 0x20;
		m->quotes |= (uint64_t)(c == '"') << i;
		m->ops |= (uint64_t)(bracket == '{' || bracket == '}' || c == ',') << i;
		m->rare |= c == '\\' || c < 0x20 || c >= 0x80;
	}
}

JSCAN_INLINE void classify_rare(const char *p, struct rare_masks *m) {
	*m = (struct rare_masks){0};
	for (unsigned i = 0; i < JINDEX_BLOCK; i++) {
		unsigned char c = (unsigned char)p[i];
		m->slashes |= (uint64_t)(c == '\\') << i;
		m->controls |= (uint64_t)(c < 0x20) << i;
		m->high |= (uint64_t)(c >= 0x80) << i;
	}
}
#endif

/* Is this, behind a backslash at p[-1], an escape that JSON has? */
static bool escape_valid(const char *p, const char *end) {
	if (p == end || !memchr("\"\\/bfnrtu", *p, 9)) return false;
	if (*p != 'u') return true;
	if (end - p < 5) return false;
	for (int i = 1; i <= 4; i++) {
		char c = p[i], lower = (char)(c | 0x20);
		if (!(c >= '0' && c <= '9') && !(lower >= 'a' && lower <= 'f')) return false;
	}
	return true;
}

/* Bit i is the parity of the bits 0 .. i. */
JSCAN_INLINE uint64_t prefix_xor(uint64_t v) {
	for (unsigned i = 1; i < 64; i *= 2) v ^= v << i;
	return v;
}

/* The quotes of the block at p that a backslash escapes are none; the bits are of what backslashes take. A backslash
 * outside of a string is refused by the walk; that it hides a quote does no harm then. */
static uint64_t escaped_bytes(struct jindex *ix, const char *p, uint64_t slashes) {
	uint64_t taken = ix->escaped;
	ix->escaped = false;
	for (slashes &= ~taken; slashes; slashes &= slashes - 1) {
		unsigned at = (unsigned)__builtin_ctzll(slashes);
		ix->broken |= !escape_valid(p + at + 1, ix->end);
		if (at == JINDEX_BLOCK - 1) {
			ix->escaped = true;
		} else {
			taken |= (uint64_t)2 << at;
			slashes &= ~((uint64_t)2 << at);
		}
	}
	return taken;
}

/* What few blocks need. */
struct rare {
	uint64_t escaped;  /* quotes here are none */
	uint64_t controls; /* whether they stand in a string is not known yet */
};

static sl_noinline struct rare block_rare(struct jindex *ix, const char *text, unsigned skip, const char *p) {
	struct rare_masks m;
	struct rare rare = {0};
	classify_rare(text, &m);
	m.slashes >>= skip;
	ix->escapes |= m.slashes != 0;
	ix->not_ascii |= m.high != 0;
	if (m.slashes || ix->escaped) rare.escaped = escaped_bytes(ix, p, m.slashes);
	rare.controls = m.controls >> skip;
	return rare;
}

/* The places of the block at p in the document. Its bytes are read from `text`, where `skip` others stand before them. */
JSCAN_INLINE uint64_t block_places(struct jindex *ix, const char *text, unsigned skip, const char *p) {
	struct masks m;
	struct rare rare = {0};
	classify(text, &m);
	if (sl_unlikely(m.rare || ix->escaped)) rare = block_rare(ix, text, skip, p);
	uint64_t quotes = (m.quotes >> skip) & ~rare.escaped;
	/* Set from the opening quote up to the byte before the closing one. */
	uint64_t inside = prefix_xor(quotes) ^ ix->in_string;
	ix->in_string = (uint64_t)((int64_t)inside >> 63);
	if (sl_unlikely(rare.controls & inside)) ix->broken = true;
	return (m.ops >> skip & ~inside) | quotes;
}

/* The last bytes of the document, fewer than a block: read with those before them, or, where there are not enough, from a
 * copy. */
static sl_noinline uint64_t tail_places(struct jindex *ix, const char *p) {
	size_t n = (size_t)(ix->end - p);
	if (sl_likely(ix->end - ix->start >= JINDEX_BLOCK)) {
		unsigned skip = (unsigned)(JINDEX_BLOCK - n);
		return block_places(ix, p - skip, skip, p);
	}
	char padded[JINDEX_BLOCK];
	memset(padded, ' ', sizeof padded);
	memcpy(padded, p, n);
	return block_places(ix, padded, 0, p);
}

bool jindex_fill(struct jindex *ix) {
	uint64_t *out = ix->blocks;
	const char *p = ix->base = ix->next;
	ix->last = ix->blocks;
	if (ix->broken) return false;
	for (; out < ix->blocks + JINDEX_BLOCKS && ix->end - p >= JINDEX_BLOCK; p += JINDEX_BLOCK)
		*out++ = block_places(ix, p, 0, p);
	if (out < ix->blocks + JINDEX_BLOCKS && p < ix->end) {
		*out++ = tail_places(ix, p);
		p = ix->end;
	}
	ix->next = p;
	ix->last = out;
	return out > ix->blocks;
}
