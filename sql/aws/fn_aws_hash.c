/* fn_aws_hash.c: message digests in the aws dialect: OpenSSL's, and MD2 (RFC 1319), which OpenSSL no longer has. */
#include "aws_fn.h"

/* ---- MD2 ---- */

/* RFC 1319: a permutation made of the digits of pi. */
static const uint8_t pi_table[256] = {
    41,  46,  67,  201, 162, 216, 124, 1,   61,  54,  84,  161, 236, 240, 6,   19,  98,  167, 5,   243, 192, 199,
    115, 140, 152, 147, 43,  217, 188, 76,  130, 202, 30,  155, 87,  60,  253, 212, 224, 22,  103, 66,  111, 24,
    138, 23,  229, 18,  190, 78,  196, 214, 218, 158, 222, 73,  160, 251, 245, 142, 187, 47,  238, 122, 169, 104,
    121, 145, 21,  178, 7,   63,  148, 194, 16,  137, 11,  34,  95,  33,  128, 127, 93,  154, 90,  144, 50,  39,
    53,  62,  204, 231, 191, 247, 151, 3,   255, 25,  48,  179, 72,  165, 181, 209, 215, 94,  146, 42,  172, 86,
    170, 198, 79,  184, 56,  210, 150, 164, 125, 182, 118, 252, 107, 226, 156, 116, 4,   241, 69,  157, 112, 89,
    100, 113, 135, 32,  134, 91,  207, 101, 230, 45,  168, 2,   27,  96,  37,  173, 174, 176, 185, 246, 28,  70,
    97,  105, 52,  64,  126, 15,  85,  71,  163, 35,  221, 81,  175, 58,  195, 92,  249, 206, 186, 197, 234, 38,
    44,  83,  13,  110, 133, 40,  132, 9,   211, 223, 205, 244, 65,  129, 77,  82,  106, 220, 55,  200, 108, 193,
    171, 250, 36,  225, 123, 8,   12,  189, 177, 74,  120, 136, 149, 139, 227, 99,  232, 109, 233, 203, 213, 254,
    59,  0,   29,  57,  242, 239, 183, 14,  102, 88,  208, 228, 166, 119, 114, 248, 235, 117, 75,  10,  49,  68,
    80,  180, 143, 237, 31,  26,  219, 153, 141, 51,  159, 17,  131, 20,
};

struct md2 {
	uint8_t state[48], checksum[16], last;
};

static void md2_block(struct md2 *m, const uint8_t block[16], bool is_checksum) {
	for (int i = 0; i < 16; i++) {
		m->state[16 + i] = block[i];
		m->state[32 + i] = block[i] ^ m->state[i];
	}
	unsigned t = 0;
	for (unsigned round = 0; round < 18; round++) {
		for (int i = 0; i < 48; i++) t = m->state[i] ^= pi_table[t];
		t = (t + round) & 255;
	}
	for (int i = 0; i < 16 && !is_checksum; i++) m->last = m->checksum[i] ^= pi_table[block[i] ^ m->last];
}

static void md2(struct sl_slice bytes, uint8_t out[16]) {
	struct md2 m = {0};
	uint8_t block[16];
	for (; bytes.n >= 16; bytes = slice_from(bytes, 16)) {
		memcpy(block, bytes.p, 16);
		md2_block(&m, block, false);
	}
	memset(block, (int)(16 - bytes.n), 16);
	if (bytes.n) memcpy(block, bytes.p, bytes.n);
	md2_block(&m, block, false);
	memcpy(block, m.checksum, 16);
	md2_block(&m, block, true);
	memcpy(out, m.state, 16);
}

/* ---- functions ---- */

static int fn_md2(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	struct sl_slice s = SL_SLICE_EMPTY;
	uint8_t digest[16];
	int r = aws_texts(c, a, n, 1, &s);
	if (r <= 0) return r < 0 ? r : aws_undefined(out);
	sql_vm_charge(c->vm, s.n); /* it is slow */
	md2(s, digest);
	*out = sql_call_hex(c, slice_make(digest, sizeof digest));
	return SL_OK;
}

#define DIGEST(name, algorithm)                                                                                        \
	static int fn_##name(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {       \
		struct sl_slice s = SL_SLICE_EMPTY;                                                                    \
		int r = aws_texts(c, a, n, 1, &s);                                                                     \
		if (r <= 0) return r < 0 ? r : aws_undefined(out);                                                     \
		return sql_call_digest(c, algorithm, s, out);                                                          \
	}
DIGEST(md5, "MD5")
DIGEST(sha1, "SHA1")
DIGEST(sha224, "SHA224")
DIGEST(sha256, "SHA256")
DIGEST(sha384, "SHA384")
DIGEST(sha512, "SHA512")

#define ROW(n, d, x, g) AWS_ROW(#n, "a", fn_##n, #n "(text)", d, "when the argument is Null or Undefined", x, g)
static const struct sql_fn table[] = {
    ROW(md2, "The MD2 digest of its UTF-8 bytes, in small hexadecimal digits.", "md2('hello')",
	"\"a9046c73e00331af68917d3804f70655\""),
    ROW(md5, "The MD5 digest.", "md5('hello')", "\"5d41402abc4b2a76b9719d911017c592\""),
    ROW(sha1, "The SHA-1 digest.", "sha1('hello')", "\"aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d\""),
    ROW(sha224, "The SHA-224 digest.", "substring(sha224('hello'), 0, 8)", "\"ea09ae9c\""),
    ROW(sha256, "The SHA-256 digest.", "substring(sha256('hello'), 0, 8)", "\"2cf24dba\""),
    ROW(sha384, "The SHA-384 digest.", "substring(sha384('hello'), 0, 8)", "\"59e17487\""),
    ROW(sha512, "The SHA-512 digest.", "substring(sha512('hello'), 0, 8)", "\"9b71d224\""),
};
const struct sql_fn_family aws_fn_hash = {"Digests", table, SL_ARRAY_LEN(table), SQL_AWS};
