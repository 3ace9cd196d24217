#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "buf.h"
#include "jwt.h"
#include "mem.h"

/* RFC 7515, A.1 and A.3. */
#define RFC_CLAIMS "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
#define RFC_HS256 "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." RFC_CLAIMS ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
#define RFC_ES256                                                                                                      \
	"eyJhbGciOiJFUzI1NiJ9." RFC_CLAIMS                                                                             \
	".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
#define RFC_OCT                                                                                                        \
	"{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-"                                       \
	"1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"}"
#define RFC_EC                                                                                                         \
	"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","                     \
	"\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}"

static struct jwt_keys *set_of(const char *jwks, bool secrets) {
	struct jwt_keys *keys;
	assert_int_equal(jwt_keys_from_jwks(slice_from_str(jwks), secrets, &keys, NULL), SL_OK);
	return keys;
}

static int verify(const struct jwt_keys *keys, const char *token) {
	json_t *claims;
	int rc = jwt_verify(keys, slice_from_str(token), &claims, NULL);
	assert_true((rc == SL_OK) == (claims != NULL));
	json_decref(claims);
	return rc;
}

static void test_jwt__tokens_of_the_standard(void **state) {
	(void)state;
	struct jwt_keys *keys = set_of("{\"keys\":[" RFC_OCT "," RFC_EC "]}", true);
	assert_int_equal(jwt_keys_len(keys), 2);
	assert_int_equal(verify(keys, RFC_HS256), SL_OK);
	assert_int_equal(verify(keys, RFC_ES256), SL_OK);
	json_t *claims;
	assert_int_equal(jwt_verify(keys, SL_SLICE_LIT(RFC_HS256), &claims, NULL), SL_OK);
	assert_string_equal(json_string_value(jwt_claim(claims, "iss")), "joe");
	assert_true(json_is_true(jwt_claim(claims, "http://example.com/is_root")));
	json_decref(claims);
	jwt_keys_unref(keys);
}

static void test_jwt__a_secret_has_no_place_in_a_public_set(void **state) {
	(void)state;
	struct jwt_keys *keys;
	assert_int_equal(jwt_keys_from_jwks(SL_SLICE_LIT("{\"keys\":[" RFC_OCT "]}"), false, &keys, NULL),
			 SL_ENOTFOUND);
	keys = set_of("{\"keys\":[" RFC_OCT "," RFC_EC "]}", false);
	assert_int_equal(jwt_keys_len(keys), 1);
	assert_int_equal(verify(keys, RFC_HS256), SL_EDENIED);
	jwt_keys_unref(keys);
}

static void test_jwt__any_changed_byte_is_refused(void **state) {
	(void)state;
	struct jwt_keys *keys = set_of("{\"keys\":[" RFC_OCT "]}", true);
	char *token = sl_strdup(RFC_HS256);
	for (size_t i = 0; token[i]; i++) {
		char was = token[i];
		token[i] = was == 'A' ? 'B' : 'A';
		assert_int_not_equal(verify(keys, token), SL_OK);
		token[i] = '\n';
		assert_int_not_equal(verify(keys, token), SL_OK);
		token[i] = was;
		assert_int_not_equal(jwt_verify(keys, slice_make(token, i), &(json_t *){NULL}, NULL), SL_OK);
	}
	sl_free(token);
	jwt_keys_unref(keys);
}

/* ---- tokens of our own ---- */

static void base64url(struct sl_buf *out, const void *bytes, size_t n) {
	unsigned char *text = sl_alloc((n + 2) / 3 * 4 + 1);
	int len = EVP_EncodeBlock(text, bytes, (int)n);
	for (int i = 0; i < len && text[i] != '='; i++)
		sl_buf_put(out, text[i] == '+' ? '-' : text[i] == '/' ? '_' : (char)text[i]);
	sl_free(text);
}

/* half: of an EC signature, which is turned from DER into r and s; 0: as it comes. hash NULL: none. */
static char *sign(EVP_PKEY *key, const char *header, const char *claims, const char *hash, bool pss, size_t half) {
	struct sl_buf out = SL_BUF_INIT;
	uint8_t sig[1100], raw[132];
	size_t len = sizeof sig;
	EVP_PKEY_CTX *pctx;
	base64url(&out, header, strlen(header));
	sl_buf_put(&out, '.');
	base64url(&out, claims, strlen(claims));
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	assert_int_equal(EVP_DigestSignInit_ex(ctx, &pctx, hash, NULL, NULL, key, NULL), 1);
	if (pss) {
		assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING), 1);
		assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST), 1);
	}
	assert_int_equal(EVP_DigestSign(ctx, sig, &len, (const unsigned char *)out.p, out.n), 1);
	EVP_MD_CTX_free(ctx);
	if (half) {
		const unsigned char *p = sig;
		ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &p, (long)len);
		BN_bn2binpad(ECDSA_SIG_get0_r(s), raw, (int)half);
		BN_bn2binpad(ECDSA_SIG_get0_s(s), raw + half, (int)half);
		ECDSA_SIG_free(s);
	}
	sl_buf_put(&out, '.');
	base64url(&out, half ? raw : sig, half ? half * 2 : len);
	return sl_buf_steal(&out);
}

static char *pem_of(EVP_PKEY *key) {
	BIO *bio = BIO_new(BIO_s_mem());
	char *data;
	assert_int_equal(PEM_write_bio_PUBKEY(bio, key), 1);
	long n = BIO_get_mem_data(bio, &data);
	char *text = sl_memdup0(data, (size_t)n);
	BIO_free(bio);
	return text;
}

static struct jwt_keys *keys_of(EVP_PKEY *key) {
	struct jwt_keys *keys;
	char *pem = pem_of(key);
	assert_int_equal(jwt_keys_from_pem(slice_from_str(pem), &keys, NULL), SL_OK);
	sl_free(pem);
	return keys;
}

static int verify_signed(const struct jwt_keys *keys, EVP_PKEY *key, const char *alg, const char *hash, bool pss,
			 size_t half) {
	char *header = sl_asprintf("{\"alg\":\"%s\"}", alg);
	char *token = sign(key, header, "{\"sub\":\"x\"}", hash, pss, half);
	int rc = verify(keys, token);
	sl_free(header);
	sl_free(token);
	return rc;
}

static void test_jwt__rsa(void **state) {
	(void)state;
	EVP_PKEY *key = EVP_RSA_gen(2048);
	struct jwt_keys *keys = keys_of(key);
	assert_int_equal(verify_signed(keys, key, "RS256", "SHA256", false, 0), SL_OK);
	assert_int_equal(verify_signed(keys, key, "RS512", "SHA512", false, 0), SL_OK);
	assert_int_equal(verify_signed(keys, key, "PS256", "SHA256", true, 0), SL_OK);
	assert_int_equal(verify_signed(keys, key, "PS384", "SHA384", true, 0), SL_OK);
	assert_int_equal(verify_signed(keys, key, "RS256", "SHA512", false, 0), SL_EDENIED);
	assert_int_equal(verify_signed(keys, key, "PS256", "SHA256", false, 0), SL_EDENIED);
	jwt_keys_unref(keys);
	EVP_PKEY_free(key);
}

static void check_curve(const char *curve, const char *alg, const char *hash, size_t half, const char *other) {
	EVP_PKEY *key = EVP_EC_gen(curve);
	struct jwt_keys *keys = keys_of(key);
	assert_int_equal(verify_signed(keys, key, alg, hash, false, half), SL_OK);
	assert_int_equal(verify_signed(keys, key, alg, hash, false, 0), SL_EDENIED); /* DER is not how tokens have it */
	assert_int_equal(verify_signed(keys, key, other, hash, false, half), SL_EDENIED);
	jwt_keys_unref(keys);
	EVP_PKEY_free(key);
}

static void test_jwt__curves(void **state) {
	(void)state;
	check_curve("P-256", "ES256", "SHA256", 32, "ES384");
	check_curve("P-384", "ES384", "SHA384", 48, "ES256");
	check_curve("P-521", "ES512", "SHA512", 66, "ES256");
}

static void test_jwt__ed25519(void **state) {
	(void)state;
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	struct jwt_keys *keys = keys_of(key);
	assert_int_equal(verify_signed(keys, key, "EdDSA", NULL, false, 0), SL_OK);
	assert_int_equal(verify_signed(keys, key, "ES256", NULL, false, 0), SL_EDENIED);
	jwt_keys_unref(keys);
	EVP_PKEY_free(key);
}

/* The public key as the secret of an HMAC, and no signature at all: what the token says of its algorithm decides nothing. */
static void test_jwt__the_key_says_which_algorithm(void **state) {
	(void)state;
	EVP_PKEY *key = EVP_RSA_gen(2048);
	struct jwt_keys *keys = keys_of(key);
	char *pem = pem_of(key);
	struct sl_buf token = SL_BUF_INIT;
	uint8_t mac[32];
	base64url(&token, "{\"alg\":\"HS256\"}", 15);
	sl_buf_put(&token, '.');
	base64url(&token, "{}", 2);
	HMAC(EVP_sha256(), pem, (int)strlen(pem), (unsigned char *)token.p, token.n, mac, NULL);
	sl_buf_put(&token, '.');
	base64url(&token, mac, sizeof mac);
	assert_int_equal(verify(keys, sl_buf_cstr(&token)), SL_EDENIED);
	assert_int_equal(verify(keys, "eyJhbGciOiJub25lIn0.e30."), SL_EDENIED);
	assert_int_equal(verify(keys, "eyJhbGciOiJub25lIn0.e30.AAAA"), SL_EDENIED);
	sl_buf_fini(&token);
	sl_free(pem);
	jwt_keys_unref(keys);
	EVP_PKEY_free(key);
}

static void test_jwt__weak_and_foreign_keys_are_refused(void **state) {
	(void)state;
	struct jwt_keys *keys;
	EVP_PKEY *small = EVP_RSA_gen(1024), *curve = EVP_EC_gen("secp256k1");
	char *small_pem = pem_of(small), *curve_pem = pem_of(curve);
	assert_int_equal(jwt_keys_from_pem(slice_from_str(small_pem), &keys, NULL), SL_EUNSUPPORTED);
	assert_int_equal(jwt_keys_from_pem(slice_from_str(curve_pem), &keys, NULL), SL_EUNSUPPORTED);
	assert_int_equal(jwt_keys_from_pem(SL_SLICE_LIT("nonsense"), &keys, NULL), SL_EINVAL);
	sl_free(small_pem);
	sl_free(curve_pem);
	EVP_PKEY_free(small);
	EVP_PKEY_free(curve);
}

static void test_jwt__keys_are_found_by_their_id(void **state) {
	(void)state;
	struct jwt_keys *keys = set_of("{\"keys\":[{\"kty\":\"oct\",\"kid\":\"a\",\"k\":\"YWFh\"},"
				       "{\"kty\":\"oct\",\"kid\":\"b\",\"alg\":\"HS512\",\"k\":\"YWFh\"},"
				       "{\"kty\":\"oct\",\"use\":\"enc\",\"kid\":\"c\",\"k\":\"YWFh\"}]}",
				       true);
	EVP_PKEY *secret = EVP_PKEY_new_raw_private_key(EVP_PKEY_HMAC, NULL, (const unsigned char *)"aaa", 3);
	static const struct {
		const char *header;
		int rc;
	} cases[] = {{"{\"alg\":\"HS256\",\"kid\":\"a\"}", SL_OK},
		     {"{\"alg\":\"HS256\"}", SL_OK},
		     {"{\"alg\":\"HS256\",\"kid\":\"b\"}", SL_EDENIED},
		     {"{\"alg\":\"HS256\",\"kid\":\"c\"}", SL_ENOTFOUND},
		     {"{\"alg\":\"HS256\",\"kid\":\"a\",\"crit\":[\"b64\"]}", SL_EDENIED},
		     {"{\"alg\":\"HS256\",\"alg\":\"HS256\"}", SL_EMALFORMED},
		     {"[\"HS256\"]", SL_EMALFORMED}};
	for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
		char *token = sign(secret, cases[i].header, "{}", "SHA256", false, 0);
		assert_int_equal(verify(keys, token), cases[i].rc);
		sl_free(token);
	}
	EVP_PKEY_free(secret);
	jwt_keys_unref(keys);
}

static void test_jwt__what_looks_like_one(void **state) {
	(void)state;
	assert_true(jwt_is_token(SL_SLICE_LIT("a.b.c")));
	assert_true(jwt_is_token(SL_SLICE_LIT("a.b.")));
	assert_false(jwt_is_token(SL_SLICE_LIT("secret")));
	assert_false(jwt_is_token(SL_SLICE_LIT("my.pass word.x")));
	assert_false(jwt_is_token(SL_SLICE_LIT("a.b.c.d")));
	assert_false(jwt_is_token(SL_SLICE_LIT("..")));
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_jwt__tokens_of_the_standard),
	    cmocka_unit_test(test_jwt__a_secret_has_no_place_in_a_public_set),
	    cmocka_unit_test(test_jwt__any_changed_byte_is_refused),
	    cmocka_unit_test(test_jwt__rsa),
	    cmocka_unit_test(test_jwt__curves),
	    cmocka_unit_test(test_jwt__ed25519),
	    cmocka_unit_test(test_jwt__the_key_says_which_algorithm),
	    cmocka_unit_test(test_jwt__weak_and_foreign_keys_are_refused),
	    cmocka_unit_test(test_jwt__keys_are_found_by_their_id),
	    cmocka_unit_test(test_jwt__what_looks_like_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
