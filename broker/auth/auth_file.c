/* auth_file.c: the link of the chain that knows the password file.
 *
 * A reconnecting fleet must not pay a slow hash for each connection: what was verified once is remembered as
 * HMAC-SHA256(key of this process, user and password), in a table of fixed size where a newcomer takes the place of
 * whoever stood there. Only success is remembered, and the table dies with this object, so a changed file (a reload
 * makes a new object) starts from nothing. */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <string.h>

#include "auth_link_kind.h"
#include "mem.h"
#include "passwd_file.h"
#include "rng.h"

enum { CACHE_SLOTS = 8192, DIGEST = 32 };

struct auth_file {
	struct auth_backend base;
	struct passwd_file *file;
	uint8_t key[DIGEST];
	uint8_t made_up[SCRAM_KEY_MAX]; /* key for what unknown names are answered with */
	pthread_mutex_t lock;           /* over slots; held for a copy of 32 bytes */
	uint8_t (*slots)[DIGEST];
};

static void digest_of(const struct auth_file *f, const struct auth_request *r, uint8_t out[DIGEST]) {
	unsigned int len = 0;
	uint8_t inner[DIGEST];
	/* Two keyed hashes, the second over (hash of user, password): no pair can be split in another way. */
	HMAC(EVP_sha256(), f->key, DIGEST, (const unsigned char *)(r->username.p ? r->username.p : ""), r->username.n,
	     inner, &len);
	HMAC(EVP_sha256(), inner, DIGEST, (const unsigned char *)(r->password.p ? r->password.p : ""), r->password.n,
	     out, &len);
}

static uint8_t *slot_of(const struct auth_file *f, const uint8_t digest[DIGEST]) {
	uint32_t at;
	memcpy(&at, digest, sizeof at);
	return f->slots[at % CACHE_SLOTS];
}

static bool is_known(struct auth_file *f, const struct auth_request *r) {
	uint8_t digest[DIGEST];
	digest_of(f, r, digest);
	pthread_mutex_lock(&f->lock);
	bool known = CRYPTO_memcmp(slot_of(f, digest), digest, DIGEST) == 0;
	pthread_mutex_unlock(&f->lock);
	return known;
}

static void remember(struct auth_file *f, const struct auth_request *r) {
	uint8_t digest[DIGEST];
	digest_of(f, r, digest);
	pthread_mutex_lock(&f->lock);
	memcpy(slot_of(f, digest), digest, DIGEST);
	pthread_mutex_unlock(&f->lock);
}

static enum auth_step file_check(struct auth_backend *b, struct auth_ask *ask) {
	struct auth_file *f = sl_container_of(b, struct auth_file, base);
	const struct auth_request *r = ask->request;
	if (!r->has_username) return AUTH_STEP_PASS;
	/* Without a password there is nothing slow to do, and the time to find a name tells no more than that. */
	if (!r->has_password) return passwd_file_find(f->file, r->username) ? AUTH_STEP_DENY : AUTH_STEP_PASS;
	ask->cached = is_known(f, r);
	return ask->cached ? AUTH_STEP_ALLOW : AUTH_STEP_WORK;
}

static enum auth_step file_work(struct auth_backend *b, struct auth_ask *ask) {
	struct auth_file *f = sl_container_of(b, struct auth_file, base);
	const struct auth_request *r = ask->request;
	const struct passwd_entry *entry = passwd_file_find(f->file, r->username);
	if (!entry) {
		/* As slow as a wrong password, so that the time does not tell which names exist. */
		passwd_burn(r->password, passwd_file_iterations(f->file));
		return AUTH_STEP_PASS;
	}
	if (!passwd_verify(entry, r->password)) return AUTH_STEP_DENY;
	remember(f, r);
	return AUTH_STEP_ALLOW;
}

/* Keys for a name that is not there: always the same ones, shaped like those of some line of the file. What they are made with
 * is a secret of the file itself, so that they stay when the broker is started again or users are added: an answer that changes
 * would tell that the name is none. */
static void make_up(const struct auth_file *f, struct sl_slice user, enum scram_hash hash, struct scram_keys *out) {
	uint8_t salt[SCRAM_KEY_MAX];
	uint64_t at;
	scram_hmac(SCRAM_SHA_512, f->made_up, sizeof f->made_up, user, salt);
	memcpy(&at, salt + sizeof salt - sizeof at, sizeof at);
	const struct passwd_entry *like = passwd_file_any(f->file, at);
	out->iterations = like ? like->iterations : PASSWD_ITERATIONS_DEFAULT;
	out->salt_len = like ? like->salt_len : 16;
	memcpy(out->salt, salt, out->salt_len);
	scram_hmac(hash, salt, sizeof salt, SL_SLICE_LIT("stored"), out->stored);
	scram_hmac(hash, salt, sizeof salt, SL_SLICE_LIT("server"), out->server);
}

static bool file_scram(struct auth_backend *b, struct sl_slice user, enum scram_hash hash, struct scram_keys *out) {
	struct auth_file *f = sl_container_of(b, struct auth_file, base);
	make_up(f, user, hash, out); /* for known names too: the same work */
	const struct passwd_entry *entry = passwd_file_find(f->file, user);
	return entry && passwd_scram_keys(entry, hash, out);
}

static void file_free(struct auth_backend *b) {
	struct auth_file *f = sl_container_of(b, struct auth_file, base);
	passwd_file_free(f->file);
	pthread_mutex_destroy(&f->lock);
	sl_free(f->slots);
	explicit_bzero(f->key, sizeof f->key);
	explicit_bzero(f->made_up, sizeof f->made_up);
	sl_free(f);
}

static const struct auth_backend_ops file_ops = {
    .check = file_check, .work = file_work, .free = file_free, .scram = file_scram};

int auth_file_new(const char *path, struct auth_backend **out, struct sl_err *err) {
	struct passwd_file *file;
	*out = NULL;
	int rc = passwd_file_load(path, &file, err);
	if (rc != SL_OK) return rc;
	struct auth_file *f = SL_NEW(struct auth_file);
	f->base.ops = &file_ops;
	f->file = file;
	sl_random_bytes(f->key, sizeof f->key);
	sl_random_bytes(f->made_up, sizeof f->made_up);
	const struct passwd_entry *first = passwd_file_any(file, 0);
	if (first) scram_hmac(SCRAM_SHA_512, first->hash, first->hash_len, SL_SLICE_LIT("made up"), f->made_up);
	pthread_mutex_init(&f->lock, NULL);
	f->slots = sl_calloc(CACHE_SLOTS, DIGEST);
	*out = &f->base;
	return SL_OK;
}

/* ---- auth.chain ------------------------------------------------------------------------------------------ */

struct file_settings {
	char *path;
};

static const struct conf_field file_fields[] = {
    {.name = "path",
     .type = CONF_STRING,
     .flags = CONF_REQUIRED | CONF_EXPAND | CONF_NONEMPTY,
     .at = offsetof(struct file_settings, path),
     .doc = "Users and their hashed passwords, made by `sluice passwd FILE USER`.",
     .example = "users.pw"},
    CONF_END};

static int file_make(const void *settings, struct auth_env *env, struct auth_backend **out, struct sl_err *err) {
	const struct file_settings *s = settings;
	(void)env;
	int rc = auth_file_new(s->path, out, err);
	if (rc != SL_OK) (void)sl_err_prefix(err, "path");
	return rc;
}

const struct auth_link_kind auth_kind_file = {
    .name = "file",
    .doc = "A password file, as `auth.password_file`. Passes on names that are not in it.",
    .size = sizeof(struct file_settings),
    .fields = file_fields,
    .make = file_make,
};
