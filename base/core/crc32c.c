#include "crc32c.h"

#include <pthread.h>
#include <string.h>

/* Eight tables: eight bytes a step ("slicing by 8"), for CPUs without the instruction. */
static uint32_t tables[8][256];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void tables_make(void) {
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t v = i;
		for (int bit = 0; bit < 8; bit++) v = v & 1 ? v >> 1 ^ 0x82f63b78u : v >> 1;
		tables[0][i] = v;
	}
	for (uint32_t i = 0; i < 256; i++)
		for (int t = 1; t < 8; t++) tables[t][i] = tables[t - 1][i] >> 8 ^ tables[0][tables[t - 1][i] & 0xff];
}

uint32_t crc32c_by_table(uint32_t crc, const void *bytes, size_t len) {
	pthread_once(&tables_once, tables_make);
	const unsigned char *p = bytes;
	crc = ~crc;
	for (; len >= 8; p += 8, len -= 8) {
		uint32_t low =
		    crc ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
		crc = tables[7][low & 0xff] ^ tables[6][low >> 8 & 0xff] ^ tables[5][low >> 16 & 0xff] ^
		      tables[4][low >> 24] ^ tables[3][p[4]] ^ tables[2][p[5]] ^ tables[1][p[6]] ^ tables[0][p[7]];
	}
	for (; len; p++, len--) crc = crc >> 8 ^ tables[0][(crc ^ *p) & 0xff];
	return ~crc;
}

#if defined(__x86_64__)
#include <nmmintrin.h>

/* The instruction's answer comes three cycles later, yet another can begin in each: so three parts go side by side. What a part
 * has made of the register is moved on over the next part as if that were zeros, which is linear: a sum of what it makes of each
 * byte of the register. Parts are as long as a page: what is not in a cache is fetched ahead where one page is read in order, and
 * shorter parts would be slower than one. */
#define PART_BYTES ((size_t)4096)

static uint32_t over_part[4][256];
static pthread_once_t over_part_once = PTHREAD_ONCE_INIT;

__attribute__((target("sse4.2"))) static void over_part_make(void) {
	for (uint32_t i = 0; i < 256; i++)
		for (int byte = 0; byte < 4; byte++) {
			uint64_t v = (uint64_t)i << 8 * byte;
			for (size_t n = 0; n < PART_BYTES; n += 8) v = _mm_crc32_u64(v, 0);
			over_part[byte][i] = (uint32_t)v;
		}
}

static uint64_t part_pass(uint64_t v) {
	return over_part[0][v & 0xff] ^ over_part[1][v >> 8 & 0xff] ^ over_part[2][v >> 16 & 0xff] ^
	       over_part[3][v >> 24 & 0xff];
}

static uint64_t word_at(const unsigned char *p) {
	uint64_t word;
	memcpy(&word, p, sizeof word);
	return word;
}

__attribute__((target("sse4.2"))) static uint64_t parts_by_cpu(uint64_t v, const unsigned char *p) {
	uint64_t second = 0, third = 0;
	for (const unsigned char *end = p + PART_BYTES; p < end; p += 8) {
		v = _mm_crc32_u64(v, word_at(p));
		second = _mm_crc32_u64(second, word_at(p + PART_BYTES));
		third = _mm_crc32_u64(third, word_at(p + PART_BYTES * 2));
	}
	return part_pass(part_pass(v) ^ second) ^ third;
}

__attribute__((target("sse4.2"))) static uint32_t crc32c_by_cpu(uint32_t crc, const void *bytes, size_t len) {
	const unsigned char *p = bytes;
	uint64_t v = ~crc;
	if (len >= PART_BYTES * 3) pthread_once(&over_part_once, over_part_make);
	for (; len >= PART_BYTES * 3; p += PART_BYTES * 3, len -= PART_BYTES * 3) v = parts_by_cpu(v, p);
	for (; len >= 8; p += 8, len -= 8) v = _mm_crc32_u64(v, word_at(p));
	uint32_t w = (uint32_t)v;
	for (; len; p++, len--) w = _mm_crc32_u8(w, *p);
	return ~w;
}

uint32_t crc32c(uint32_t crc, const void *bytes, size_t len) {
	return __builtin_cpu_supports("sse4.2") ? crc32c_by_cpu(crc, bytes, len) : crc32c_by_table(crc, bytes, len);
}
#else
uint32_t crc32c(uint32_t crc, const void *bytes, size_t len) { return crc32c_by_table(crc, bytes, len); }
#endif
