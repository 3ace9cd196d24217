/* auth_backend.h: one way to check a client, as a link of the chain in auth.h.
 *
 * check() must not block. It answers at once, passes to the next link, or says AUTH_STEP_WORK: then work() is run on
 * a thread of the pool with a copy of the request, and its answer counts. Both see the same backend from several
 * threads at a time: a backend is immutable after its creation, or locks.
 * Thread: check() on loops, work() on pool threads, free() anywhere, once, when nobody uses it. */
#ifndef AUTH_BACKEND_H
#define AUTH_BACKEND_H

#include "auth.h"
#include "scram_keys.h"

enum auth_step {
	AUTH_STEP_ALLOW,
	AUTH_STEP_DENY,
	AUTH_STEP_PASS, /* not mine: ask the next link */
	AUTH_STEP_WORK, /* check() only */
};

struct auth_backend;
struct auth_backend_ops {
	const char *name;
	enum auth_step (*check)(struct auth_backend *b, const struct auth_request *request);
	enum auth_step (*work)(struct auth_backend *b, const struct auth_request *request);
	void (*free)(struct auth_backend *b);
	/* For SCRAM (auth_scram.h); NULL: it keeps no keys. Fills *out for any name, made up when it does not know it: then
	 * false. Must not block. */
	bool (*scram)(struct auth_backend *b, struct sl_slice user, enum scram_hash hash, struct scram_keys *out);
};
struct auth_backend {
	const struct auth_backend_ops *ops; /* first member of every kind of backend */
};

/* auth_file.c: users and salted hashes from a file (passwd_file.h). */
int auth_file_new(const char *path, struct auth_backend **out, struct sl_err *err) sl_warn_unused;

#endif
