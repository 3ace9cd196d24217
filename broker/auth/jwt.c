#include "jwt.h"

#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <string.h>

#include "jwt_int.h"
#include "mem.h"

/* ---- base64url (RFC 4648, 5), without padding, and only as an encoder writes it ------------------------------- */

static int digit(char c) {
	if (c >= 'A' && c <= 'Z') return c - 'A';
	if (c >= 'a' && c <= 'z') return c - 'a' + 26;
	if (c >= '0' && c <= '9') return c - '0' + 52;
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

bool jwt_base64url(struct sl_slice text, struct sl_buf *out) {
	uint32_t bits = 0;
	unsigned have = 0;
	if (text.n % 4 == 1) return false;
	for (size_t i = 0; i < text.n; i++) {
		int d = digit(text.p[i]);
		if (d < 0) return false;
		bits = bits << 6 | (uint32_t)d;
		have += 6;
		if (have < 8) continue;
		have -= 8;
		sl_buf_put(out, (char)(bits >> have & 0xff));
	}
	return (bits & ((1u << have) - 1)) == 0;
}

/* ---- the three parts ------------------------------------------------------------------------------------- */

struct parts {
	struct sl_slice header, payload, signature, signed_text;
};

static bool split(struct sl_slice token, struct parts *p) {
	struct sl_slice rest = token;
	if (token.n > JWT_SIZE_MAX) return false;
	p->header = slice_next_part(&rest, '.');
	if (!rest.p) return false;
	p->payload = slice_next_part(&rest, '.');
	if (!rest.p) return false;
	p->signature = rest;
	p->signed_text = slice_sub(token, 0, p->header.n + 1 + p->payload.n);
	return p->header.n > 0 && p->payload.n > 0 && slice_find_byte(rest, '.') < 0;
}

static bool all_digits(struct sl_slice s) {
	for (size_t i = 0; i < s.n; i++)
		if (digit(s.p[i]) < 0) return false;
	return true;
}

bool jwt_is_token(struct sl_slice token) {
	struct parts p;
	return split(token, &p) && all_digits(p.header) && all_digits(p.payload) && all_digits(p.signature);
}

static json_t *object_of(struct sl_slice part) {
	struct sl_buf bytes = SL_BUF_INIT;
	json_t *v = NULL;
	if (jwt_base64url(part, &bytes) && bytes.n > 0) v = json_loadb(bytes.p, bytes.n, JSON_REJECT_DUPLICATES, NULL);
	sl_buf_fini(&bytes);
	if (json_is_object(v)) return v;
	json_decref(v);
	return NULL;
}

json_t *jwt_peek(struct sl_slice token) {
	struct parts p;
	return split(token, &p) ? object_of(p.payload) : NULL;
}

/* ---- signatures ------------------------------------------------------------------------------------------ */

static const struct algorithm {
	const char *name;
	unsigned families; /* bits of enum jwt_family */
	const char *hash;  /* NULL: none */
	bool pss;
} algorithms[] = {
    {"HS256", 1u << JWT_HMAC, "SHA256", false},  {"HS384", 1u << JWT_HMAC, "SHA384", false},
    {"HS512", 1u << JWT_HMAC, "SHA512", false},  {"RS256", 1u << JWT_RSA, "SHA256", false},
    {"RS384", 1u << JWT_RSA, "SHA384", false},   {"RS512", 1u << JWT_RSA, "SHA512", false},
    {"PS256", 1u << JWT_RSA, "SHA256", true},    {"PS384", 1u << JWT_RSA, "SHA384", true},
    {"PS512", 1u << JWT_RSA, "SHA512", true},    {"ES256", 1u << JWT_EC256, "SHA256", false},
    {"ES384", 1u << JWT_EC384, "SHA384", false}, {"ES512", 1u << JWT_EC521, "SHA512", false},
    {"EdDSA", 1u << JWT_ED25519, NULL, false},
};

static const struct algorithm *algorithm_named(const char *name) {
	for (size_t i = 0; name && i < SL_ARRAY_LEN(algorithms); i++)
		if (strcmp(algorithms[i].name, name) == 0) return &algorithms[i];
	return NULL;
}

static bool check_hmac(const struct jwt_key *key, const struct algorithm *a, struct sl_slice text,
		       struct sl_slice signature) {
	uint8_t mac[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	if (!HMAC(EVP_get_digestbyname(a->hash), key->secret, (int)key->secret_len, (const unsigned char *)text.p,
		  text.n, mac, &len))
		return false;
	return signature.n == len && CRYPTO_memcmp(mac, signature.p, len) == 0;
}

/* JOSE writes r and s one behind the other, OpenSSL wants them in DER. */
static bool ec_signature(enum jwt_family family, struct sl_slice raw, struct sl_buf *der) {
	size_t half = family == JWT_EC256 ? 32 : family == JWT_EC384 ? 48 : 66;
	if (raw.n != half * 2) return false;
	ECDSA_SIG *sig = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn((const unsigned char *)raw.p, (int)half, NULL),
	       *s = BN_bin2bn((const unsigned char *)raw.p + half, (int)half, NULL);
	unsigned char *out = NULL;
	bool ok = sig && r && s && ECDSA_SIG_set0(sig, r, s) == 1;
	if (!ok) {
		BN_free(r);
		BN_free(s);
	}
	int len = ok ? i2d_ECDSA_SIG(sig, &out) : 0;
	if (len > 0) sl_buf_append(der, out, (size_t)len);
	OPENSSL_free(out);
	ECDSA_SIG_free(sig);
	return len > 0;
}

static bool check_public(const struct jwt_key *key, const struct algorithm *a, struct sl_slice text,
			 struct sl_slice signature) {
	struct sl_buf der = SL_BUF_INIT;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pctx = NULL;
	bool ok = ctx != NULL;
	if (key->family >= JWT_EC256 && key->family <= JWT_EC521) {
		ok = ok && ec_signature(key->family, signature, &der);
		signature = sl_buf_slice(&der);
	}
	ok = ok && EVP_DigestVerifyInit_ex(ctx, &pctx, a->hash, NULL, NULL, key->key, NULL) == 1;
	if (ok && a->pss)
		ok = EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1 &&
		     EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) == 1;
	ok = ok && EVP_DigestVerify(ctx, (const unsigned char *)signature.p, signature.n, (const unsigned char *)text.p,
				    text.n) == 1;
	EVP_MD_CTX_free(ctx);
	sl_buf_fini(&der);
	ERR_clear_error();
	return ok;
}

static bool fits(const struct jwt_key *key, const struct algorithm *a, const char *kid) {
	if (!(a->families & 1u << key->family)) return false;
	if (key->alg && strcmp(key->alg, a->name) != 0) return false;
	return !kid || !key->kid || strcmp(kid, key->kid) == 0;
}

static bool names_key(const struct jwt_keys *keys, const char *kid) {
	for (size_t i = 0; i < keys->len; i++)
		if (!keys->v[i].kid || !kid || strcmp(keys->v[i].kid, kid) == 0) return true;
	return false;
}

static int verify(const struct jwt_keys *keys, const struct parts *p, const json_t *header, struct sl_err *err) {
	const char *kid = json_string_value(json_object_get(header, "kid"));
	const char *alg = json_string_value(json_object_get(header, "alg"));
	const struct algorithm *a = algorithm_named(alg);
	struct sl_buf signature = SL_BUF_INIT;
	bool tried = false, ok = false;
	if (json_object_get(header, "crit"))
		return sl_err_set(err, SL_EDENIED, "it has `crit`, which asks for what is not known here");
	if (!a) return sl_err_set(err, SL_EDENIED, "its algorithm \"%.20s\" is none that is taken", alg ? alg : "");
	if (!names_key(keys, kid)) return sl_err_set(err, SL_ENOTFOUND, "its key \"%.80s\" is not known", kid);
	if (!jwt_base64url(p->signature, &signature) || signature.n == 0) {
		sl_buf_fini(&signature);
		return sl_err_set(err, SL_EMALFORMED, "its signature is no base64url");
	}
	for (size_t i = 0; i < keys->len && !ok; i++) {
		const struct jwt_key *key = &keys->v[i];
		if (!fits(key, a, kid)) continue;
		tried = true;
		ok = key->family == JWT_HMAC ? check_hmac(key, a, p->signed_text, sl_buf_slice(&signature))
					     : check_public(key, a, p->signed_text, sl_buf_slice(&signature));
	}
	sl_buf_fini(&signature);
	if (ok) return SL_OK;
	return tried ? sl_err_set(err, SL_EDENIED, "its signature is not right")
		     : sl_err_set(err, SL_EDENIED, "its algorithm %s is not that of a key here", a->name);
}

int jwt_verify(const struct jwt_keys *keys, struct sl_slice token, json_t **claims, struct sl_err *err) {
	struct parts p;
	*claims = NULL;
	if (!split(token, &p)) return sl_err_set(err, SL_EMALFORMED, "it is no token");
	json_t *header = object_of(p.header);
	if (!header) return sl_err_set(err, SL_EMALFORMED, "its header is no JSON object");
	int rc = verify(keys, &p, header, err);
	json_decref(header);
	if (rc != SL_OK) return rc;
	*claims = object_of(p.payload);
	return *claims ? SL_OK : sl_err_set(err, SL_EMALFORMED, "its claims are no JSON object");
}

const json_t *jwt_claim(const json_t *claims, const char *path) {
	const json_t *whole = json_object_get(claims, path);
	const char *dot = strchr(path, '.');
	if (whole || !dot) return whole;
	char *first = sl_memdup0(path, (size_t)(dot - path));
	const json_t *inner = json_object_get(claims, first);
	sl_free(first);
	return inner ? jwt_claim(inner, dot + 1) : NULL;
}
