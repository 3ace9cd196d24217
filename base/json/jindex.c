#include "jindex_int.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

/* Of 64 bytes. Bit i stands for byte i. */
struct masks {
	uint64_t quotes, ops;
	bool rare; /* a backslash, a control character, or a byte beyond ASCII is among them */
};
struct rare_masks {
	uint64_t slashes, controls, high;
};

/* The bit that tells '[' from '{' and ']' from '}'. It makes places of two control characters, too, which the walk refuses
 * as it would elsewhere. */
enum { FOLD = 0x20 };

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
		__m128i folded = _mm_or_si128(v, _mm_set1_epi8(FOLD));
		__m128i ops = _mm_or_si128(_mm_or_si128(equal(folded, '{'), equal(folded, '}')),
					   _mm_or_si128(equal(folded, ','), equal(folded, ':')));
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
		unsigned char c = (unsigned char)p[i], folded = c | FOLD;
		m->quotes |= (uint64_t)(c == '"') << i;
		m->ops |= (uint64_t)(folded == '{' || folded == '}' || folded == ',' || folded == ':') << i;
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

#ifdef __x86_64__
/* The same for machines that have 32 byte vectors. Whether this one has is asked when it runs. */
#define WIDE __attribute__((target("avx2,bmi,pclmul"), always_inline)) static inline

WIDE __m256i wide_equal(__m256i v, char c) { return _mm256_cmpeq_epi8(v, _mm256_set1_epi8(c)); }
WIDE uint64_t wide_bits(__m256i low, __m256i high) {
	return (uint64_t)(unsigned)_mm256_movemask_epi8(high) << 32 | (unsigned)_mm256_movemask_epi8(low);
}
/* The table has each of the four at the lower half of its code. */
WIDE __m256i wide_ops(__m256i v) {
	const __m256i table =
	    _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ':', '{', ',', '}', 0, 0));
	return _mm256_cmpeq_epi8(_mm256_shuffle_epi8(table, v), _mm256_or_si256(v, _mm256_set1_epi8(FOLD)));
}
WIDE __m256i wide_rare(__m256i v) {
	__m256i control = _mm256_cmpeq_epi8(_mm256_min_epu8(v, _mm256_set1_epi8(0x1f)), v);
	return _mm256_or_si256(_mm256_or_si256(v, control), wide_equal(v, '\\'));
}
WIDE void classify_wide(const char *p, struct masks *m) {
	__m256i low = _mm256_loadu_si256((const __m256i *)(const void *)p);
	__m256i high = _mm256_loadu_si256((const __m256i *)(const void *)(p + 32));
	m->quotes = wide_bits(wide_equal(low, '"'), wide_equal(high, '"'));
	m->ops = wide_bits(wide_ops(low), wide_ops(high));
	m->rare = _mm256_movemask_epi8(_mm256_or_si256(wide_rare(low), wide_rare(high))) != 0;
}
/* A product without carries, by all ones. */
WIDE uint64_t prefix_xor_wide(uint64_t v) {
	return (uint64_t)_mm_cvtsi128_si64(_mm_clmulepi64_si128(_mm_cvtsi64_si128((int64_t)v), _mm_set1_epi8(-1), 0));
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
 * outside of a string is refused anyhow; that it hides a quote does no harm then. */
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
	uint64_t escaped;           /* quotes here are none */
	uint64_t controls, slashes; /* whether they stand in a string is not known yet */
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
	rare.slashes = m.slashes;
	return rare;
}

/* A string begins where a value or a name may begin: behind a bracket, a comma or a colon, white space between allowed.
 * So between two places stands one string at most. The bits are of opening quotes that have something else before them. */
static sl_noinline bool opens_stand_alone(const struct jindex *ix, const char *p, uint64_t opens) {
	for (; opens; opens &= opens - 1) {
		const char *before = p + __builtin_ctzll(opens) - 1;
		while (before >= ix->start && jscan_is_space(*before)) before--;
		/* What stands outside of strings, as this does, is a place if it looks like one. */
		if (before < ix->start || !memchr("{}[],:", *before, 6)) return false;
	}
	return true;
}

/* What of the work a machine may do its own way. */
struct ways {
	void (*classify)(const char *p, struct masks *m);
	uint64_t (*prefix_xor)(uint64_t v);
};

/* The places of the block at p in the document. Its bytes are read from `text`, where `skip` others stand before them. */
JSCAN_INLINE uint64_t block_places(struct jindex *ix, struct ways way, const char *text, unsigned skip, const char *p) {
	struct masks m;
	struct rare rare = {0};
	way.classify(text, &m);
	if (sl_unlikely(m.rare || ix->escaped)) rare = block_rare(ix, text, skip, p);
	uint64_t quotes = (m.quotes >> skip) & ~rare.escaped;
	/* Set from the opening quote up to the byte before the closing one. */
	uint64_t inside = way.prefix_xor(quotes) ^ ix->in_string;
	ix->in_string = (uint64_t)((int64_t)inside >> 63);
	uint64_t places = m.ops >> skip & ~inside;
	uint64_t opens = quotes & inside & ~(places << 1 | ix->place_before);
	ix->place_before = places >> 63;
	if (sl_unlikely((rare.controls & inside) | (rare.slashes & ~inside))) ix->broken = true;
	if (sl_unlikely(opens)) ix->broken |= !opens_stand_alone(ix, p, opens);
	return places;
}

/* The last bytes of the document, fewer than a block: read with those before them, or, where there are not enough, from a
 * copy. */
JSCAN_INLINE uint64_t tail_places(struct jindex *ix, struct ways way, const char *p) {
	size_t n = (size_t)(ix->end - p);
	if (sl_likely(ix->end - ix->start >= JINDEX_BLOCK)) {
		unsigned skip = (unsigned)(JINDEX_BLOCK - n);
		return block_places(ix, way, p - skip, skip, p);
	}
	char padded[JINDEX_BLOCK];
	memset(padded, ' ', sizeof padded);
	memcpy(padded, p, n);
	return block_places(ix, way, padded, 0, p);
}

JSCAN_INLINE bool fill(struct jindex *ix, struct ways way) {
	uint64_t *out = ix->blocks;
	const char *p = ix->base = ix->next;
	ix->last = ix->blocks;
	if (ix->broken) return false;
	for (; out < ix->blocks + JINDEX_BLOCKS && ix->end - p >= JINDEX_BLOCK; p += JINDEX_BLOCK)
		*out++ = block_places(ix, way, p, 0, p);
	if (out < ix->blocks + JINDEX_BLOCKS && p < ix->end) {
		*out++ = tail_places(ix, way, p);
		p = ix->end;
	}
	ix->next = p;
	ix->last = out;
	return out > ix->blocks;
}

bool jindex_fill_plain(struct jindex *ix) { return fill(ix, (struct ways){classify, prefix_xor}); }

#ifdef __x86_64__
__attribute__((target("avx2,bmi,pclmul"))) static bool fill_wide(struct jindex *ix) {
	return fill(ix, (struct ways){classify_wide, prefix_xor_wide});
}
bool jindex_fill(struct jindex *ix) {
	bool wide = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("pclmul");
	return wide ? fill_wide(ix) : jindex_fill_plain(ix);
}
#else
bool jindex_fill(struct jindex *ix) { return jindex_fill_plain(ix); }
#endif
