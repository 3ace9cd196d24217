#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "mem.h"
#include "passwd_int.h"
#include "rng.h"
#include "utf8.h"

#define SALT_LEN 16
#define HASH_LEN 64

static const char ours[] = "$pbkdf2-sha512$i=";
static const char mosquittos[] = "$7$"; /* the same function, another spelling */

/* EVP_DecodeBlock wants whole groups of four and tells the length with padding; this tells the true one. */
static bool decode_base64(struct sl_slice text, uint8_t *out, size_t max, uint8_t *len) {
	uint8_t decoded[PASSWD_HASH_MAX + 3];
	if (text.n == 0 || text.n % 4 != 0 || text.n / 4 * 3 > sizeof decoded) return false;
	int n = EVP_DecodeBlock(decoded, (const unsigned char *)text.p, (int)text.n);
	if (n < 0) return false;
	size_t padding = text.p[text.n - 1] != '=' ? 0 : text.p[text.n - 2] != '=' ? 1 : 2;
	size_t real = (size_t)n - padding;
	if (real > max) return false;
	memcpy(out, decoded, real);
	*len = (uint8_t)real;
	return true;
}

static void append_base64(struct sl_buf *out, const uint8_t *bytes, size_t n) {
	unsigned char text[(PASSWD_HASH_MAX + 2) / 3 * 4 + 1];
	int len = EVP_EncodeBlock(text, bytes, (int)n);
	sl_buf_append(out, text, (size_t)len);
}

static void derive(struct sl_slice password, const uint8_t *salt, size_t salt_len, int iterations, uint8_t *out,
		   size_t out_len) {
	int ok = PKCS5_PBKDF2_HMAC(password.p ? password.p : "", (int)password.n, salt, (int)salt_len, iterations,
				   EVP_sha512(), (int)out_len, out);
	sl_assert(ok == 1); /* fails only without memory or without SHA-512 */
}

int passwd_check_user(struct sl_slice user, struct sl_err *err) {
	if (user.n == 0) return sl_err_set(err, SL_EINVAL, "the user name is empty");
	if (user.n > PASSWD_USER_MAX)
		return sl_err_set(err, SL_EINVAL, "the user name has more than %d bytes", PASSWD_USER_MAX);
	if (user.p[0] == '#') return sl_err_set(err, SL_EINVAL, "a user name may not begin with #");
	for (size_t i = 0; i < user.n; i++) {
		unsigned char c = (unsigned char)user.p[i];
		if (c < 0x20 || c == 0x7F || c == ':')
			return sl_err_set(err, SL_EINVAL, "a user name may not hold a colon or a control character");
	}
	if (!utf8_valid(user)) return sl_err_set(err, SL_EINVAL, "the user name is not valid UTF-8");
	return SL_OK;
}

bool passwd_line_is_user(struct sl_slice line) {
	line = slice_trim(line);
	return line.n > 0 && line.p[0] != '#';
}

int passwd_line_parse(struct sl_slice line, struct passwd_entry *entry, struct sl_err *err) {
	struct sl_slice rest = line;
	entry->user = slice_next_part(&rest, ':');
	if (!rest.p)
		return sl_err_set(err, SL_ESYNTAX, "the line is not user:hash; set passwords with `sluice passwd`");
	int rc = passwd_check_user(entry->user, err);
	if (rc != SL_OK) return rc;
	struct sl_slice prefix = SL_SLICE_LIT(ours);
	if (!slice_starts_with(rest, prefix)) prefix = SL_SLICE_LIT(mosquittos);
	if (!slice_starts_with(rest, prefix))
		return sl_err_set(
		    err, SL_EUNSUPPORTED,
		    "the hash is not of a known kind ($pbkdf2-sha512$ or $7$); set the password anew with "
		    "`sluice passwd`");
	rest = slice_from(rest, prefix.n);
	int64_t iterations = 0;
	bool ok = slice_to_i64(slice_next_part(&rest, '$'), &iterations) == SL_OK && iterations > 0 &&
		  iterations <= PASSWD_ITERATIONS_MAX && rest.p;
	ok = ok && decode_base64(slice_next_part(&rest, '$'), entry->salt, PASSWD_SALT_MAX, &entry->salt_len);
	ok = ok && rest.p && decode_base64(rest, entry->hash, PASSWD_HASH_MAX, &entry->hash_len);
	/* A short hash would be met by chance, an empty one by every password. */
	if (!ok || entry->salt_len == 0 || entry->hash_len < 32)
		return sl_err_set(err, SL_ESYNTAX, "the hash is damaged; set the password anew with `sluice passwd`");
	entry->iterations = (int)iterations;
	return SL_OK;
}

void passwd_line_make(struct sl_slice user, struct sl_slice password, int iterations, struct sl_buf *out) {
	uint8_t salt[SALT_LEN], hash[HASH_LEN];
	sl_random_bytes(salt, sizeof salt);
	derive(password, salt, sizeof salt, iterations, hash, sizeof hash);
	sl_buf_printf(out, "%.*s:%s%d$", SL_SLICE_ARG(user), ours, iterations);
	append_base64(out, salt, sizeof salt);
	sl_buf_put(out, '$');
	append_base64(out, hash, sizeof hash);
	sl_buf_put(out, '\n');
}

bool passwd_verify(const struct passwd_entry *entry, struct sl_slice password) {
	uint8_t hash[PASSWD_HASH_MAX];
	derive(password, entry->salt, entry->salt_len, entry->iterations, hash, entry->hash_len);
	bool same = CRYPTO_memcmp(hash, entry->hash, entry->hash_len) == 0;
	explicit_bzero(hash, sizeof hash);
	return same;
}

void passwd_burn(struct sl_slice password, int iterations) {
	static const uint8_t salt[SALT_LEN];
	uint8_t hash[HASH_LEN];
	derive(password, salt, sizeof salt, iterations, hash, sizeof hash);
	explicit_bzero(hash, sizeof hash);
}
