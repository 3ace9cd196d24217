#include "hash_text.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "buf.h"
#include "mem.h"
#include "passwd_int.h"

enum { CRYPT_PASSWORD_MAX = 511 }; /* libcrypt takes no longer one (CRYPT_MAX_PASSPHRASE_SIZE) */

const char *const hash_kind_words[] = {"auto",        "plain",         "sha256",        "sha512",
				       "pbkdf2_sha1", "pbkdf2_sha256", "pbkdf2_sha512", NULL};
const char *const hash_salt_words[] = {"prefix", "suffix", "none", NULL};

static bool starts(struct sl_slice text, const char *prefix) { return slice_starts_with(text, slice_from_str(prefix)); }

static int answer(bool same) { return same ? SL_OK : SL_EDENIED; }

/* ---- what says itself how it was made -------------------------------------------------------------------------- */

/* Base64 of 64 bytes behind a salt: not the alphabet of crypt(3), which has no '='. */
static bool is_mosquittos_sha512(struct sl_slice kept) {
	return starts(kept, "$6$") && kept.n > 90 && kept.p[kept.n - 1] == '=' && kept.p[kept.n - 2] == '=';
}

static bool digest(const char *name, struct sl_slice a, struct sl_slice b, uint8_t out[EVP_MAX_MD_SIZE],
		   unsigned *len) {
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx && EVP_DigestInit_ex(ctx, EVP_get_digestbyname(name), NULL) == 1 &&
		  EVP_DigestUpdate(ctx, a.p ? a.p : "", a.n) == 1 && EVP_DigestUpdate(ctx, b.p ? b.p : "", b.n) == 1 &&
		  EVP_DigestFinal_ex(ctx, out, len) == 1;
	EVP_MD_CTX_free(ctx);
	return ok;
}

static int check_mosquittos_sha512(struct sl_slice kept, struct sl_slice password) {
	struct sl_slice rest = slice_from(kept, 3), salt = slice_next_part(&rest, '$');
	uint8_t raw[HASH_TEXT_MAX + 3], made[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	if (!rest.p || rest.n != 88 || salt.n == 0 || salt.n % 4 != 0) return SL_EMALFORMED;
	int n = EVP_DecodeBlock(raw, (const unsigned char *)salt.p, (int)salt.n);
	size_t padding = salt.p[salt.n - 1] != '=' ? 0 : salt.p[salt.n - 2] != '=' ? 1 : 2;
	if (n < 0) return SL_EMALFORMED;
	if (!digest("SHA512", password, slice_make(raw, (size_t)n - padding), made, &len)) return SL_EMALFORMED;
	unsigned char text[EVP_MAX_MD_SIZE * 2];
	EVP_EncodeBlock(text, made, (int)len);
	return answer(CRYPTO_memcmp(text, rest.p, rest.n) == 0);
}

static int check_passwd_line(struct sl_slice kept, struct sl_slice password, struct sl_err *err) {
	struct sl_buf line = SL_BUF_INIT;
	struct passwd_entry entry;
	sl_buf_append_str(&line, "x:");
	sl_buf_append_slice(&line, kept);
	int rc = passwd_line_parse(sl_buf_slice(&line), &entry, err);
	if (rc == SL_OK) rc = answer(passwd_verify(&entry, password));
	sl_buf_fini(&line);
	return rc;
}

static int check_crypt(struct sl_slice kept, struct sl_slice password, struct sl_err *err) {
	if (password.n > CRYPT_PASSWORD_MAX || (password.n && memchr(password.p, '\0', password.n))) return SL_EDENIED;
	char *setting = slice_dup(kept), *phrase = slice_dup(password);
	struct crypt_data *data = SL_NEW(struct crypt_data);
	const char *made = crypt_r(phrase, setting, data);
	int rc;
	if (!made || made[0] == '*')
		rc = sl_err_set(err, SL_EUNSUPPORTED, "the hash is of a form that cannot be checked here");
	else
		rc = answer(strlen(made) == kept.n && CRYPTO_memcmp(made, kept.p, kept.n) == 0);
	explicit_bzero(data, sizeof *data);
	explicit_bzero(phrase, password.n);
	sl_free(data);
	sl_free(phrase);
	sl_free(setting);
	return rc;
}

static bool is_crypt(struct sl_slice kept) {
	static const char *const prefixes[] = {"$2a$", "$2b$", "$2y$", "$y$", "$gy$", "$5$", "$6$"};
	for (size_t i = 0; i < SL_ARRAY_LEN(prefixes); i++)
		if (starts(kept, prefixes[i])) return true;
	return false;
}

static int check_auto(struct sl_slice kept, struct sl_slice password, struct sl_err *err) {
	if (is_mosquittos_sha512(kept)) return check_mosquittos_sha512(kept, password);
	if (starts(kept, "$scram$") || starts(kept, "$pbkdf2-sha512$") || starts(kept, "$7$"))
		return check_passwd_line(kept, password, err);
	if (is_crypt(kept)) return check_crypt(kept, password, err);
	return sl_err_set(
	    err, SL_EUNSUPPORTED,
	    "what is kept does not say how it was made ($2b$ bcrypt, $y$ yescrypt, $pbkdf2-sha512$, ...); "
	    "set `hash` for other forms");
}

/* ---- hexadecimal digits ------------------------------------------------------------------------------------------ */

static bool same_hex(const uint8_t *bytes, size_t n, struct sl_slice kept) {
	static const char hex[] = "0123456789abcdef";
	char text[EVP_MAX_MD_SIZE * 2], given[EVP_MAX_MD_SIZE * 2];
	if (kept.n != n * 2) return false;
	for (size_t i = 0; i < n; i++) {
		text[2 * i] = hex[bytes[i] >> 4];
		text[2 * i + 1] = hex[bytes[i] & 15];
	}
	for (size_t i = 0; i < kept.n; i++)
		given[i] = kept.p[i] >= 'A' && kept.p[i] <= 'F' ? (char)(kept.p[i] - 'A' + 'a') : kept.p[i];
	return CRYPTO_memcmp(text, given, kept.n) == 0;
}

static int check_sha(const struct hash_way *way, struct sl_slice kept, struct sl_slice salt, struct sl_slice password) {
	uint8_t made[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	if (way->salt_at == HASH_SALT_NONE) salt = SL_SLICE_EMPTY;
	bool before = way->salt_at == HASH_SALT_PREFIX;
	if (!digest(way->kind == HASH_SHA256 ? "SHA256" : "SHA512", before ? salt : password, before ? password : salt,
		    made, &len))
		return SL_EMALFORMED;
	return answer(same_hex(made, len, kept));
}

static int check_pbkdf2(const struct hash_way *way, struct sl_slice kept, struct sl_slice salt,
			struct sl_slice password, struct sl_err *err) {
	const char *name = way->kind == HASH_PBKDF2_SHA1     ? "SHA1"
			   : way->kind == HASH_PBKDF2_SHA256 ? "SHA256"
							     : "SHA512";
	uint8_t made[EVP_MAX_MD_SIZE];
	size_t len = kept.n / 2;
	if (len < 16 || len > sizeof made)
		return sl_err_set(err, SL_EMALFORMED, "the hash has not 32 to %zu hexadecimal digits", 2 * sizeof made);
	if (PKCS5_PBKDF2_HMAC(password.p ? password.p : "", (int)password.n,
			      (const unsigned char *)(salt.p ? salt.p : ""), (int)salt.n, way->iterations,
			      EVP_get_digestbyname(name), (int)len, made) != 1)
		return SL_EMALFORMED;
	return answer(same_hex(made, len, kept));
}

/* ---- the face ---------------------------------------------------------------------------------------------------- */

bool hash_text_is_slow(const struct hash_way *way, struct sl_slice kept) {
	switch (way->kind) {
	case HASH_AUTO: return !is_mosquittos_sha512(kept);
	case HASH_PLAIN:
	case HASH_SHA256:
	case HASH_SHA512: return false;
	case HASH_PBKDF2_SHA1:
	case HASH_PBKDF2_SHA256:
	case HASH_PBKDF2_SHA512: break;
	}
	return true;
}

int hash_text_check(const struct hash_way *way, struct sl_slice kept, struct sl_slice salt, struct sl_slice password,
		    struct sl_err *err) {
	if (kept.n == 0 || kept.n > HASH_TEXT_MAX || salt.n > HASH_TEXT_MAX)
		return sl_err_set(err, SL_EMALFORMED, "the hash is empty or too long");
	switch (way->kind) {
	case HASH_AUTO: return check_auto(kept, password, err);
	case HASH_PLAIN: return answer(kept.n == password.n && CRYPTO_memcmp(kept.p, password.p, kept.n) == 0);
	case HASH_SHA256:
	case HASH_SHA512: return check_sha(way, kept, salt, password);
	case HASH_PBKDF2_SHA1:
	case HASH_PBKDF2_SHA256:
	case HASH_PBKDF2_SHA512: break;
	}
	return check_pbkdf2(way, kept, salt, password, err);
}
