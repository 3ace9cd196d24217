/* hex.h: packets in tests are written as hexadecimal text: "10 0c 0004 'MQTT' 04 02 003c". Blanks separate; what stands
 * between single quotes is text. */
#ifndef SL_TEST_HEX_H
#define SL_TEST_HEX_H

#include <ctype.h>

#include "buf.h"

static inline unsigned hex_digit(char c) { return (unsigned)(isdigit((unsigned char)c) ? c - '0' : c - 'a' + 10); }

static inline struct sl_buf hex(const char *text) {
	struct sl_buf b = SL_BUF_INIT;
	for (const char *p = text; *p;) {
		if (*p == ' ') {
			p++;
		} else if (*p == '\'') {
			for (p++; *p != '\''; p++) sl_buf_put(&b, *p);
			p++;
		} else {
			sl_buf_put(&b, (char)(hex_digit(p[0]) << 4 | hex_digit(p[1])));
			p += 2;
		}
	}
	return b;
}

/* Fails with both texts when the bytes differ. */
#define assert_hex(buf, text)                                                                                          \
	do {                                                                                                           \
		struct sl_buf hex_want_ = hex(text);                                                                   \
		assert_int_equal((buf)->n, hex_want_.n);                                                               \
		assert_memory_equal((buf)->p, hex_want_.p, hex_want_.n);                                               \
		sl_buf_fini(&hex_want_);                                                                               \
	} while (0)

#endif
