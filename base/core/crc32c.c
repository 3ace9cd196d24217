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

__attribute__((target("sse4.2"))) static uint32_t crc32c_by_cpu(uint32_t crc, const void *bytes, size_t len) {
	const unsigned char *p = bytes;
	uint64_t v = ~crc;
	for (; len >= 8; p += 8, len -= 8) {
		uint64_t word;
		memcpy(&word, p, 8);
		v = _mm_crc32_u64(v, word);
	}
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
