/* utf8.h: UTF-8 checks, with a fast path for ASCII.
 * Thread: any. */
#ifndef SL_UTF8_H
#define SL_UTF8_H

#include "slice.h"

/* Well-formed UTF-8 (no overlong forms, no surrogates, at most U+10FFFF). */
bool utf8_valid(struct sl_slice s);
/* What MQTT allows in a UTF-8 string: well-formed and without U+0000 [MQTT-1.5.4-1, MQTT-1.5.4-2]. */
bool utf8_valid_mqtt(struct sl_slice s);
/* How many bytes at the start are well-formed; s.n when all are. For those who replace what is not. */
size_t utf8_valid_prefix(struct sl_slice s);
/* Text of n bytes for people, in whatever encoding it came: bytes that are not well-formed become `?`, in place. Returns text. */
char *utf8_repair(char *text, size_t n);
/* Decodes the code point at s.p (s.n > 0, well-formed text): its value, and its length in *len. */
uint32_t utf8_decode(struct sl_slice s, size_t *len);
/* Writes 1 to 4 bytes; returns how many. A surrogate or a value over U+10FFFF is written as U+FFFD. */
size_t utf8_encode(uint32_t code_point, char out[4]);
/* Code points in well-formed text. */
size_t utf8_length(struct sl_slice s);

#endif
