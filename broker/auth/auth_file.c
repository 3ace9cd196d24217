/* auth_file.c: the link of the chain that knows the password file. What was verified once is known (auth_known.h): a fleet that
 * reconnects does not pay a slow hash for each connection. */
#include <string.h>

#include "auth_known.h"
#include "auth_link_kind.h"
#include "mem.h"
#include "passwd_file.h"
#include "rng.h"

struct auth_file {
	struct auth_backend base;
	struct passwd_file *file;
	struct auth_known known;
	uint8_t made_up[SCRAM_KEY_MAX]; /* key for what unknown names are answered with */
};

static enum auth_step file_check(struct auth_backend *b, struct auth_ask *ask) {
	struct auth_file *f = sl_container_of(b, struct auth_file, base);
	const struct auth_request *r = ask->request;
	if (!r->has_username) return AUTH_STEP_PASS;
	/* Without a password there is nothing slow to do, and the time to find a name tells no more than that. */
	if (!r->has_password) return passwd_file_find(f->file, r->username) ? AUTH_STEP_DENY : AUTH_STEP_PASS;
	const struct sl_slice login[] = {r->username, r->password};
	ask->cached = auth_known_has(&f->known, login, 2);
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
	const struct sl_slice login[] = {r->username, r->password};
	auth_known_add(&f->known, login, 2);
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
	auth_known_fini(&f->known);
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
	auth_known_init(&f->known);
	sl_random_bytes(f->made_up, sizeof f->made_up);
	const struct passwd_entry *first = passwd_file_any(file, 0);
	if (first) scram_hmac(SCRAM_SHA_512, first->hash, first->hash_len, SL_SLICE_LIT("made up"), f->made_up);
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

static int file_make(const void *settings, struct sl_question *question, struct auth_env *env,
		     struct auth_backend **out, struct sl_err *err) {
	(void)question;
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
