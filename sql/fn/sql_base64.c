/* sql_base64.c: see sql_base64.h. */
#include "sql_base64.h"

static const char digits_std[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char digits_url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void sql_base64_encode(struct sl_slice bytes, unsigned flags, struct sl_buf *out) {
	const char *digits = flags & SQL_BASE64_URLSAFE ? digits_url : digits_std;
	const uint8_t *p = (const uint8_t *)bytes.p;
	size_t n = bytes.n;
	for (; n >= 3; p += 3, n -= 3) {
		char *at = sl_buf_add(out, 4);
		at[0] = digits[p[0] >> 2];
		at[1] = digits[(p[0] & 3) << 4 | p[1] >> 4];
		at[2] = digits[(p[1] & 15) << 2 | p[2] >> 6];
		at[3] = digits[p[2] & 63];
	}
	if (n == 0) return;
	sl_buf_put(out, digits[p[0] >> 2]);
	sl_buf_put(out, digits[(p[0] & 3) << 4 | (n == 2 ? p[1] >> 4 : 0)]);
	if (n == 2) sl_buf_put(out, digits[(p[1] & 15) << 2]);
	if (flags & SQL_BASE64_NO_PADDING) return;
	sl_buf_append_str(out, n == 2 ? "=" : "==");
}

/* 0..63, 64 for white space, 65 for '=', -1 for anything else. */
static int digit_value(char c, bool urlsafe) {
	if (c >= 'A' && c <= 'Z') return c - 'A';
	if (c >= 'a' && c <= 'z') return c - 'a' + 26;
	if (c >= '0' && c <= '9') return c - '0' + 52;
	if (c == (urlsafe ? '-' : '+')) return 62;
	if (c == (urlsafe ? '_' : '/')) return 63;
	if (c == ' ' || (c >= '\t' && c <= '\r')) return 64;
	return c == '=' ? 65 : -1;
}

int sql_base64_decode(struct sl_slice text, unsigned flags, struct sl_buf *out) {
	uint32_t bits = 0;
	unsigned have = 0, padding = 0;
	for (size_t i = 0; i < text.n; i++) {
		int v = digit_value(text.p[i], flags & SQL_BASE64_URLSAFE);
		if (v == 64) continue;
		if (v < 0 || (padding && v != 65)) return SL_EMALFORMED;
		if (v == 65) {
			padding++;
			continue;
		}
		bits = bits << 6 | (uint32_t)v;
		if (++have < 4) continue;
		char three[3] = {(char)(bits >> 16), (char)(bits >> 8), (char)bits};
		sl_buf_append(out, three, 3);
		bits = have = 0;
	}
	unsigned missing = have ? 4 - have : 0;
	bool bare = flags & SQL_BASE64_NO_PADDING && padding == 0;
	if (have == 1 || (!bare && padding != missing)) return SL_EMALFORMED;
	if (have == 2) sl_buf_put(out, (char)(bits >> 4));
	if (have == 3) {
		char two[2] = {(char)(bits >> 10), (char)(bits >> 2)};
		sl_buf_append(out, two, 2);
	}
	return SL_OK;
}
