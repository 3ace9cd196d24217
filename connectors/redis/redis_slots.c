/* redis_slots.c: see redis_slots.h. CRC16/XMODEM: polynomial 0x1021, nothing reflected, begins with 0. A nibble at a time: the table
 * is small, and keys are short. */
#include "redis_slots.h"

static uint16_t crc16(struct sl_slice s) {
	static const uint16_t nibble[16] = {0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6, 0x70e7,
					    0x8108, 0x9129, 0xa14a, 0xb16b, 0xc18c, 0xd1ad, 0xe1ce, 0xf1ef};
	unsigned crc = 0;
	for (size_t i = 0; i < s.n; i++) {
		unsigned c = (unsigned char)s.p[i];
		crc = ((crc << 4) ^ nibble[(crc >> 12 ^ c >> 4) & 15]) & 0xffff;
		crc = ((crc << 4) ^ nibble[(crc >> 12 ^ c) & 15]) & 0xffff;
	}
	return (uint16_t)crc;
}

uint16_t redis_slot(struct sl_slice key) {
	ptrdiff_t open = slice_find_byte(key, '{');
	if (open >= 0) {
		struct sl_slice tag = slice_from(key, (size_t)open + 1);
		ptrdiff_t close = slice_find_byte(tag, '}');
		if (close > 0) key = slice_sub(tag, 0, (size_t)close);
	}
	return crc16(key) % REDIS_SLOTS;
}
