#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "mem.h"
#include "passwd_int.h"
#include "rng.h"
#include "utf8.h"

#define SALT_LEN 16
#define HASH_LEN 64

static const char ours[] = "$scram$i=";
static const char hashed[] = "$pbkdf2-sha512$i=";
static const char mosquittos[] = "$7$"; /* the same function, another spelling */

static bool take_base64(struct sl_slice *rest, uint8_t *out, size_t max, uint8_t *len) {
	size_t n = 0;
	if (!rest->p || !scram_take_base64(slice_next_part(rest, '$'), out, max, &n)) return false;
	*len = (uint8_t)n;
	return true;
}

static bool take_key(struct sl_slice *rest, uint8_t *out, size_t size) {
	uint8_t len;
	return take_base64(rest, out, size, &len) && len == size;
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

static const char *prefix_of(struct sl_slice text) {
	static const char *const all[] = {ours, hashed, mosquittos};
	for (size_t i = 0; i < SL_ARRAY_LEN(all); i++)
		if (slice_starts_with(text, slice_from_str(all[i]))) return all[i];
	return NULL;
}

/* What stands behind the kind: iterations$salt$hash, or $keys. */
static bool parse_hash(struct sl_slice rest, struct passwd_entry *entry) {
	int64_t iterations = 0;
	bool ok = slice_to_i64(slice_next_part(&rest, '$'), &iterations) == SL_OK && iterations > 0 &&
		  iterations <= PASSWD_ITERATIONS_MAX;
	ok = ok && take_base64(&rest, entry->salt, PASSWD_SALT_MAX, &entry->salt_len);
	ok = ok && take_base64(&rest, entry->hash, PASSWD_HASH_MAX, &entry->hash_len);
	if (entry->scram)
		ok = ok && entry->hash_len == HASH_LEN && take_key(&rest, entry->server512, 64) &&
		     take_key(&rest, entry->stored256, 32) && take_key(&rest, entry->server256, 32);
	entry->iterations = (int)iterations;
	/* A short hash would be met by chance, an empty one by every password. */
	return ok && !rest.p && entry->salt_len > 0 && entry->hash_len >= 32;
}

int passwd_line_parse(struct sl_slice line, struct passwd_entry *entry, struct sl_err *err) {
	struct sl_slice rest = line;
	entry->user = slice_next_part(&rest, ':');
	if (!rest.p)
		return sl_err_set(err, SL_ESYNTAX, "the line is not user:hash; set passwords with `sluice passwd`");
	int rc = passwd_check_user(entry->user, err);
	if (rc != SL_OK) return rc;
	const char *prefix = prefix_of(rest);
	if (!prefix)
		return sl_err_set(err, SL_EUNSUPPORTED,
				  "the hash is not of a known kind ($scram$, $pbkdf2-sha512$ or $7$); set the password "
				  "anew with `sluice passwd`");
	entry->scram = prefix == ours;
	rest = slice_from(rest, strlen(prefix));
	if (!parse_hash(rest, entry))
		return sl_err_set(err, SL_ESYNTAX, "the hash is damaged; set the password anew with `sluice passwd`");
	return SL_OK;
}

static void put_keys(enum scram_hash hash, struct sl_slice password, const uint8_t *salt, int iterations,
		     struct sl_buf *out) {
	uint8_t salted[SCRAM_KEY_MAX], stored[SCRAM_KEY_MAX], server[SCRAM_KEY_MAX];
	scram_derive(hash, password, salt, SALT_LEN, iterations, salted);
	scram_stored_key(hash, salted, stored);
	scram_server_key(hash, salted, server);
	sl_buf_put(out, '$');
	scram_put_base64(out, stored, scram_key_len(hash));
	sl_buf_put(out, '$');
	scram_put_base64(out, server, scram_key_len(hash));
	explicit_bzero(salted, sizeof salted);
}

void passwd_line_make(struct sl_slice user, struct sl_slice password, int iterations, struct sl_buf *out) {
	uint8_t salt[SALT_LEN];
	sl_random_bytes(salt, sizeof salt);
	sl_buf_printf(out, "%.*s:%s%d$", SL_SLICE_ARG(user), ours, iterations);
	scram_put_base64(out, salt, sizeof salt);
	put_keys(SCRAM_SHA_512, password, salt, iterations, out);
	put_keys(SCRAM_SHA_256, password, salt, iterations, out);
	sl_buf_put(out, '\n');
}

bool passwd_verify(const struct passwd_entry *entry, struct sl_slice password) {
	uint8_t hash[PASSWD_HASH_MAX];
	derive(password, entry->salt, entry->salt_len, entry->iterations, hash, entry->hash_len);
	if (entry->scram) scram_stored_key(SCRAM_SHA_512, hash, hash);
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

bool passwd_scram_keys(const struct passwd_entry *entry, enum scram_hash hash, struct scram_keys *out) {
	bool keys = entry->scram, sha512 = hash == SCRAM_SHA_512;
	if (!keys && !(sha512 && entry->hash_len == HASH_LEN)) return false;
	out->iterations = entry->iterations;
	out->salt_len = entry->salt_len;
	memcpy(out->salt, entry->salt, entry->salt_len);
	if (!keys) {
		scram_stored_key(hash, entry->hash, out->stored);
		scram_server_key(hash, entry->hash, out->server);
		return true;
	}
	memcpy(out->stored, sha512 ? entry->hash : entry->stored256, scram_key_len(hash));
	memcpy(out->server, sha512 ? entry->server512 : entry->server256, scram_key_len(hash));
	return true;
}
