/* jwt_keys.c: keys for tokens: a secret, a PEM file, a set as RFC 7517 has it. */
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>

#include "jwt_int.h"
#include "mem.h"

enum { RSA_BITS_MIN = 2048, RSA_BITS_MAX = 8192, JWKS_SIZE_MAX = 1024 * 1024 };

static struct jwt_keys *keys_new(void) {
	struct jwt_keys *k = SL_NEW(struct jwt_keys);
	atomic_init(&k->refs, 1);
	return k;
}

struct jwt_keys *jwt_keys_ref(struct jwt_keys *k) {
	atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed);
	return k;
}

static void key_fini(struct jwt_key *key) {
	EVP_PKEY_free(key->key);
	if (key->secret) explicit_bzero(key->secret, key->secret_len);
	sl_free(key->secret);
	sl_free(key->kid);
	sl_free(key->alg);
}

void jwt_keys_unref(struct jwt_keys *k) {
	if (!k || atomic_fetch_sub_explicit(&k->refs, 1, memory_order_acq_rel) != 1) return;
	for (size_t i = 0; i < k->len; i++) key_fini(&k->v[i]);
	sl_free(k->v);
	sl_free(k);
}

size_t jwt_keys_len(const struct jwt_keys *k) { return k->len; }

static struct jwt_key *keys_add(struct jwt_keys *k) {
	k->v = sl_realloc_array(k->v, k->len + 1, sizeof *k->v);
	k->v[k->len] = (struct jwt_key){.family = JWT_HMAC};
	return &k->v[k->len++];
}

int jwt_keys_from_secret(struct sl_slice secret, struct jwt_keys **out, struct sl_err *err) {
	*out = NULL;
	if (secret.n == 0 || secret.n > JWT_SECRET_MAX)
		return sl_err_set(err, SL_EINVAL, "a secret has 1 to %d bytes", JWT_SECRET_MAX);
	struct jwt_keys *k = keys_new();
	struct jwt_key *key = keys_add(k);
	key->secret = sl_alloc(secret.n);
	key->secret_len = secret.n;
	memcpy(key->secret, secret.p, secret.n);
	*out = k;
	return SL_OK;
}

/* What may be signed with a public key. */
static int family_of(EVP_PKEY *key, enum jwt_family *out, struct sl_err *err) {
	int bits = EVP_PKEY_get_bits(key);
	char group[32] = "";
	switch (EVP_PKEY_get_base_id(key)) {
	case EVP_PKEY_RSA:
		if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX)
			return sl_err_set(err, SL_EUNSUPPORTED, "an RSA key of %d bits; it must have %d to %d", bits,
					  RSA_BITS_MIN, RSA_BITS_MAX);
		*out = JWT_RSA;
		return SL_OK;
	case EVP_PKEY_ED25519: *out = JWT_ED25519; return SL_OK;
	case EVP_PKEY_EC: break;
	default:
		return sl_err_set(err, SL_EUNSUPPORTED,
				  "a key of a kind that signs no tokens; use RSA, P-256, P-384, "
				  "P-521 or Ed25519");
	}
	(void)EVP_PKEY_get_group_name(key, group, sizeof group, NULL);
	if (strcmp(group, "prime256v1") == 0 || strcmp(group, "P-256") == 0)
		*out = JWT_EC256;
	else if (strcmp(group, "secp384r1") == 0 || strcmp(group, "P-384") == 0)
		*out = JWT_EC384;
	else if (strcmp(group, "secp521r1") == 0 || strcmp(group, "P-521") == 0)
		*out = JWT_EC521;
	else
		return sl_err_set(err, SL_EUNSUPPORTED, "a key on the curve %.30s; use P-256, P-384 or P-521", group);
	return SL_OK;
}

/* A public key, or the one of a certificate. */
static EVP_PKEY *read_pem(struct sl_slice pem) {
	BIO *bio = BIO_new_mem_buf(pem.p, (int)sl_min_size(pem.n, JWKS_SIZE_MAX));
	EVP_PKEY *key = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
	if (bio && !key) {
		(void)BIO_reset(bio);
		X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
		if (cert) key = X509_get_pubkey(cert);
		X509_free(cert);
	}
	BIO_free(bio);
	ERR_clear_error();
	return key;
}

int jwt_keys_from_pem(struct sl_slice pem, struct jwt_keys **out, struct sl_err *err) {
	enum jwt_family family = JWT_RSA;
	EVP_PKEY *pkey = read_pem(pem);
	*out = NULL;
	if (!pkey)
		return sl_err_set(
		    err, SL_EINVAL,
		    "has no public key; it must be PEM, with -----BEGIN PUBLIC KEY----- or a certificate");
	int rc = family_of(pkey, &family, err);
	if (rc != SL_OK) {
		EVP_PKEY_free(pkey);
		return rc;
	}
	struct jwt_keys *k = keys_new();
	struct jwt_key *key = keys_add(k);
	key->family = family;
	key->key = pkey;
	*out = k;
	return SL_OK;
}

/* ---- a set ----------------------------------------------------------------------------------------------- */

static struct sl_slice member(const json_t *jwk, const char *name) {
	const json_t *v = json_object_get(jwk, name);
	return json_is_string(v) ? slice_make(json_string_value(v), json_string_length(v)) : SL_SLICE_EMPTY;
}

static bool member_bytes(const json_t *jwk, const char *name, size_t max, struct sl_buf *out) {
	struct sl_slice text = member(jwk, name);
	return text.n > 0 && text.n <= max * 2 && jwt_base64url(text, out) && out->n > 0 && out->n <= max;
}

static EVP_PKEY *key_from(const char *type, OSSL_PARAM_BLD *bld) {
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *key = NULL;
	if (params && ctx && EVP_PKEY_fromdata_init(ctx) == 1)
		(void)EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params);
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_free(params);
	ERR_clear_error();
	return key;
}

static EVP_PKEY *read_rsa(const json_t *jwk) {
	struct sl_buf n = SL_BUF_INIT, e = SL_BUF_INIT;
	EVP_PKEY *key = NULL;
	if (member_bytes(jwk, "n", RSA_BITS_MAX / 8, &n) && member_bytes(jwk, "e", 8, &e)) {
		OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
		BIGNUM *bn = BN_bin2bn((const unsigned char *)n.p, (int)n.n, NULL),
		       *be = BN_bin2bn((const unsigned char *)e.p, (int)e.n, NULL);
		if (bld && bn && be && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, bn) &&
		    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, be))
			key = key_from("RSA", bld);
		BN_free(bn);
		BN_free(be);
		OSSL_PARAM_BLD_free(bld);
	}
	sl_buf_fini(&n);
	sl_buf_fini(&e);
	return key;
}

static EVP_PKEY *read_ec(const json_t *jwk) {
	static const struct {
		const char *crv;
		size_t len;
	} curves[] = {{"P-256", 32}, {"P-384", 48}, {"P-521", 66}};
	struct sl_buf point = SL_BUF_INIT, x = SL_BUF_INIT, y = SL_BUF_INIT;
	EVP_PKEY *key = NULL;
	struct sl_slice crv = member(jwk, "crv");
	for (size_t i = 0; i < SL_ARRAY_LEN(curves); i++) {
		if (!slice_equal_str(crv, curves[i].crv)) continue;
		/* Both have the whole length, zeros in front included (RFC 7518, 6.2.1.2). */
		if (!member_bytes(jwk, "x", curves[i].len, &x) || !member_bytes(jwk, "y", curves[i].len, &y) ||
		    x.n != curves[i].len || y.n != curves[i].len)
			break;
		sl_buf_put(&point, 4); /* uncompressed */
		sl_buf_append_slice(&point, sl_buf_slice(&x));
		sl_buf_append_slice(&point, sl_buf_slice(&y));
		OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
		if (bld && OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, curves[i].crv, 0) &&
		    OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point.p, point.n))
			key = key_from("EC", bld); /* refuses a point that is not on the curve */
		OSSL_PARAM_BLD_free(bld);
	}
	sl_buf_fini(&point);
	sl_buf_fini(&x);
	sl_buf_fini(&y);
	return key;
}

static EVP_PKEY *read_okp(const json_t *jwk) {
	struct sl_buf x = SL_BUF_INIT;
	EVP_PKEY *key = NULL;
	if (slice_equal_str(member(jwk, "crv"), "Ed25519") && member_bytes(jwk, "x", 32, &x) && x.n == 32)
		key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, (const unsigned char *)x.p, x.n);
	sl_buf_fini(&x);
	ERR_clear_error();
	return key;
}

static bool for_signatures(const json_t *jwk) {
	struct sl_slice use = member(jwk, "use");
	if (use.n > 0 && !slice_equal_str(use, "sig")) return false;
	const json_t *ops = json_object_get(jwk, "key_ops");
	for (size_t i = 0; i < json_array_size(ops); i++) {
		const char *op = json_string_value(json_array_get(ops, i));
		if (op && strcmp(op, "verify") == 0) return true;
	}
	return !ops;
}

static bool read_oct(const json_t *jwk, struct jwt_key *key) {
	struct sl_buf k = SL_BUF_INIT;
	bool ok = member_bytes(jwk, "k", JWT_SECRET_MAX, &k);
	key->secret_len = k.n;
	key->secret = (uint8_t *)sl_buf_steal(&k);
	return ok;
}

/* False: it is left out. */
static bool read_jwk(const json_t *jwk, bool secrets, struct jwt_key *key) {
	struct sl_slice kty = member(jwk, "kty"), kid = member(jwk, "kid"), alg = member(jwk, "alg");
	if (!for_signatures(jwk)) return false;
	if (slice_equal_str(kty, "oct")) {
		key->family = JWT_HMAC;
		if (!secrets || !read_oct(jwk, key)) return false;
	} else {
		if (slice_equal_str(kty, "RSA")) key->key = read_rsa(jwk);
		if (slice_equal_str(kty, "EC")) key->key = read_ec(jwk);
		if (slice_equal_str(kty, "OKP")) key->key = read_okp(jwk);
		if (!key->key || family_of(key->key, &key->family, NULL) != SL_OK) return false;
	}
	if (kid.n) key->kid = slice_dup(kid);
	if (alg.n) key->alg = slice_dup(alg);
	return true;
}

int jwt_keys_from_jwks(struct sl_slice json, bool secrets, struct jwt_keys **out, struct sl_err *err) {
	json_error_t error;
	*out = NULL;
	if (json.n > JWKS_SIZE_MAX) return sl_err_set(err, SL_ELIMIT, "a key set of more than %d bytes", JWKS_SIZE_MAX);
	json_t *root = json_loadb(json.p ? json.p : "", json.n, JSON_REJECT_DUPLICATES, &error);
	const json_t *list = json_object_get(root, "keys");
	if (!json_is_array(list)) {
		int rc = root ? sl_err_set(err, SL_EMALFORMED, "is no key set: it has no list \"keys\"")
			      : sl_err_set(err, SL_EMALFORMED, "is no JSON: %s", error.text);
		json_decref(root);
		return rc;
	}
	struct jwt_keys *k = keys_new();
	for (size_t i = 0; i < json_array_size(list) && k->len < JWT_KEYS_MAX; i++) {
		struct jwt_key key = {.family = JWT_HMAC};
		if (read_jwk(json_array_get(list, i), secrets, &key))
			*keys_add(k) = key;
		else
			key_fini(&key);
	}
	json_decref(root);
	if (k->len == 0) {
		jwt_keys_unref(k);
		return sl_err_set(err, SL_ENOTFOUND,
				  "has no key that signs tokens (RSA of %d bits or more, P-256, P-384, "
				  "P-521, Ed25519)",
				  RSA_BITS_MIN);
	}
	*out = k;
	return SL_OK;
}
