/* fn_hash.c: message digests (OpenSSL), as lower-case hexadecimal digits. */
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <pthread.h>

#include "sql_vm.h"

struct sql_value sql_call_hex(struct sql_call *c, struct sl_slice bytes) {
	static const char digits[] = "0123456789abcdef";
	char *p = sl_arena_alloc(c->arena, bytes.n * 2 + 1);
	for (size_t i = 0; i < bytes.n; i++) {
		p[2 * i] = digits[(uint8_t)bytes.p[i] >> 4];
		p[2 * i + 1] = digits[(uint8_t)bytes.p[i] & 15];
	}
	return sql_string(slice_make(p, bytes.n * 2));
}

/* Old digests are kept apart by OpenSSL; what is not there is said by name. For the life of the process. */
static OSSL_LIB_CTX *legacy;
static void legacy_load(void) {
	OSSL_LIB_CTX *ctx = OSSL_LIB_CTX_new();
	if (ctx) (void)OSSL_PROVIDER_load(ctx, "legacy");
	legacy = ctx;
}
static OSSL_LIB_CTX *library_of(const char *algorithm) {
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	if (strcmp(algorithm, "MD4") != 0) return NULL; /* OpenSSL's own */
	pthread_once(&once, legacy_load);
	return legacy;
}

int sql_call_digest(struct sql_call *c, const char *algorithm, struct sl_slice bytes, struct sql_value *out) {
	unsigned char md[EVP_MAX_MD_SIZE];
	size_t n = 0;
	if (!EVP_Q_digest(library_of(algorithm), algorithm, NULL, bytes.p ? bytes.p : "", bytes.n, md, &n))
		return sql_call_fail(c, "this build of OpenSSL has no %s", algorithm);
	*out = sql_call_hex(c, slice_make(md, n));
	return SL_OK;
}

static int fn_md5(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	return sql_call_digest(c, "MD5", sql_value_text(a), out);
}
static int fn_sha(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	return sql_call_digest(c, "SHA1", sql_value_text(a), out);
}
static int fn_sha256(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	return sql_call_digest(c, "SHA256", sql_value_text(a), out);
}

/* The names rules use, and OpenSSL's. */
static const struct {
	const char *name, *openssl;
} algorithms[] = {
    {"md4", "MD4"},
    {"md5", "MD5"},
    {"ripemd160", "RIPEMD160"},
    {"sha", "SHA1"},
    {"sha1", "SHA1"},
    {"sha224", "SHA224"},
    {"sha256", "SHA256"},
    {"sha384", "SHA384"},
    {"sha512", "SHA512"},
    {"sha3_224", "SHA3-224"},
    {"sha3_256", "SHA3-256"},
    {"sha3_384", "SHA3-384"},
    {"sha3_512", "SHA3-512"},
    {"shake128", "SHAKE128"},
    {"shake256", "SHAKE256"},
    {"blake2b", "BLAKE2B-512"},
    {"blake2s", "BLAKE2S-256"},
};

static int fn_hash(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	const char *names[SL_ARRAY_LEN(algorithms)];
	for (size_t i = 0; i < SL_ARRAY_LEN(algorithms); i++) {
		names[i] = algorithms[i].name;
		if (slice_equal_nocase(sql_value_text(&a[0]), slice_from_str(names[i])))
			return sql_call_digest(c, algorithms[i].openssl, sql_value_text(&a[1]), out);
	}
	const char *near = slice_nearest(sql_value_text(&a[0]), names, SL_ARRAY_LEN(names));
	return sql_call_fail(c, "there is no algorithm '%.*s'; %s %s", SL_SLICE_ARG(sql_value_text(&a[0])),
			     near ? "did you mean" : "one is", near ? near : "sha256");
}

static const struct sql_fn table[] = {
    {.name = "md5",
     .args = "s",
     .call = fn_md5,
     .usage = "md5(bytes)",
     .doc = "The MD5 digest.",
     .example = "md5('abc')",
     .gives = "\"900150983cd24fb0d6963f7d28e17f72\""},
    {.name = "sha",
     .args = "s",
     .call = fn_sha,
     .usage = "sha(bytes)",
     .doc = "The SHA-1 digest.",
     .example = "sha('abc')",
     .gives = "\"a9993e364706816aba3e25717850c26c9cd0d89d\""},
    {.name = "sha256",
     .args = "s",
     .call = fn_sha256,
     .usage = "sha256(bytes)",
     .doc = "The SHA-256 digest.",
     .example = "substr(sha256('abc'), 0, 8)",
     .gives = "\"ba7816bf\""},
    {.name = "hash",
     .args = "ss",
     .call = fn_hash,
     .usage = "hash(algorithm, bytes)",
     .doc = "The digest by md4, md5, ripemd160, sha1, sha224 ... sha512, sha3_224 ... sha3_512, shake128 (16 bytes), "
	    "shake256 (32 bytes), blake2b or blake2s.",
     .errors = "for another algorithm, or one that this system's OpenSSL lacks",
     .example = "substr(hash('sha3_256', 'abc'), 0, 8)",
     .gives = "\"3a985da7\""},
};
const struct sql_fn_family sql_fn_hash = {"Digests", table, SL_ARRAY_LEN(table), SQL_STANDARD};
