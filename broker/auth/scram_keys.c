#include "scram_keys.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

static const EVP_MD *md_of(enum scram_hash hash) { return hash == SCRAM_SHA_256 ? EVP_sha256() : EVP_sha512(); }

size_t scram_key_len(enum scram_hash hash) { return hash == SCRAM_SHA_256 ? 32 : 64; }

const char *scram_method_name(enum scram_hash hash) {
	return hash == SCRAM_SHA_256 ? "SCRAM-SHA-256" : "SCRAM-SHA-512";
}

bool scram_method(struct sl_slice name, enum scram_hash *out) {
	for (enum scram_hash h = SCRAM_SHA_256; h <= SCRAM_SHA_512; h++) {
		*out = h;
		if (slice_equal_str(name, scram_method_name(h))) return true;
	}
	return false;
}

void scram_derive(enum scram_hash hash, struct sl_slice password, const uint8_t *salt, size_t salt_len, int iterations,
		  uint8_t *salted) {
	int ok = PKCS5_PBKDF2_HMAC(password.p ? password.p : "", (int)password.n, salt, (int)salt_len, iterations,
				   md_of(hash), (int)scram_key_len(hash), salted);
	sl_assert(ok == 1); /* fails only without memory or without the hash function */
}

void scram_hmac(enum scram_hash hash, const uint8_t *key, size_t key_len, struct sl_slice text, uint8_t *out) {
	unsigned int len = 0;
	HMAC(md_of(hash), key, (int)key_len, (const unsigned char *)(text.p ? text.p : ""), text.n, out, &len);
	sl_assert(len == scram_key_len(hash));
}

void scram_digest(enum scram_hash hash, const uint8_t *bytes, size_t n, uint8_t *out) {
	int ok = EVP_Digest(bytes, n, out, NULL, md_of(hash), NULL);
	sl_assert(ok == 1);
}

void scram_stored_key(enum scram_hash hash, const uint8_t *salted, uint8_t *out) {
	uint8_t client[SCRAM_KEY_MAX];
	scram_hmac(hash, salted, scram_key_len(hash), SL_SLICE_LIT("Client Key"), client);
	scram_digest(hash, client, scram_key_len(hash), out);
	explicit_bzero(client, sizeof client);
}

void scram_server_key(enum scram_hash hash, const uint8_t *salted, uint8_t *out) {
	scram_hmac(hash, salted, scram_key_len(hash), SL_SLICE_LIT("Server Key"), out);
}

/* ---- base64 ------------------------------------------------------------------------------------------------ */

enum { BASE64_BYTES_MAX = 3072 };

void scram_put_base64(struct sl_buf *out, const uint8_t *bytes, size_t n) {
	unsigned char text[(BASE64_BYTES_MAX + 2) / 3 * 4 + 1];
	sl_assert(n <= BASE64_BYTES_MAX);
	int len = EVP_EncodeBlock(text, bytes, (int)n);
	sl_buf_append(out, text, (size_t)len);
}

static bool alphabet_only(struct sl_slice text) {
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t padding = text.p[text.n - 1] != '=' ? 0 : text.p[text.n - 2] != '=' ? 1 : 2;
	for (size_t i = 0; i < text.n - padding; i++)
		if (text.p[i] == '\0' || !strchr(letters, text.p[i])) return false;
	return true;
}

bool scram_take_base64(struct sl_slice text, uint8_t *out, size_t max, size_t *n) {
	uint8_t decoded[BASE64_BYTES_MAX];
	if (text.n == 0 || text.n % 4 != 0 || text.n / 4 * 3 > sizeof decoded || !alphabet_only(text)) return false;
	int len = EVP_DecodeBlock(decoded, (const unsigned char *)text.p, (int)text.n);
	if (len < 0) return false;
	/* EVP_DecodeBlock counts the padding as bytes. */
	size_t padding = text.p[text.n - 1] != '=' ? 0 : text.p[text.n - 2] != '=' ? 1 : 2;
	*n = (size_t)len - padding;
	if (*n > max) return false;
	memcpy(out, decoded, *n);
	return true;
}
