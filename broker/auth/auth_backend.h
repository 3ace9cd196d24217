/* auth_backend.h: one way to check a client, as a link of the chain in auth.h.
 *
 *     check() --> ALLOW, DENY, PASS, ERROR     decided at once
 *             |-> WORK                         work() runs on a thread of the pool, and its answer counts
 *             '-> WAIT                         start() asks somebody; auth_wait_done() from any thread, with what was found;
 *                                              then check() is called again, with ask->found set
 *
 * check() and start() must not block. All see the same backend from several threads at a time: a backend is immutable
 * after its creation, or locks.
 * Lifetime: what a link finds (struct auth_found) is counted and immutable, so a cache may hold it as well.
 * Thread: check() and start() on loops, work() on pool threads, free() anywhere, once, when nobody uses it. */
#ifndef AUTH_BACKEND_H
#define AUTH_BACKEND_H

#include <stdatomic.h>

#include "auth.h"
#include "field.h"
#include "list.h"
#include "scram_keys.h"

enum auth_step {
	AUTH_STEP_ALLOW,
	AUTH_STEP_DENY,
	AUTH_STEP_PASS,  /* not mine: ask the next link */
	AUTH_STEP_ERROR, /* it can't be told now: `on_error` decides */
	AUTH_STEP_WORK,  /* check() only */
	AUTH_STEP_WAIT,  /* check() only, with ops.start */
};

/* What somebody was asked for and has said: the head of a link's own struct. */
struct auth_found {
	_Atomic uint32_t refs;
	void (*free)(struct auth_found *found);
};
static inline struct auth_found *auth_found_ref(struct auth_found *f) {
	atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
	return f;
}
static inline void auth_found_unref(struct auth_found *f) {
	if (f && atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) == 1) f->free(f);
}

/* One client before one link. */
struct auth_ask {
	const struct auth_request *request;
	struct auth_found *found; /* a strong reference; NULL: nobody was asked yet */
	struct auth_identity
	    *identity; /* a strong reference; what ALLOW gives, set by the link; NULL: what CONNECT says */
	bool cached;   /* the link knew the answer without asking; for its counters */
};

/* Somebody who waits for what start() asks. */
struct auth_wait;
/* found: a strong reference, handed over; NULL: nothing can be told. Exactly once. @thread any */
void auth_wait_done(struct auth_wait *w, struct auth_found *found);
/* For whoever keeps several of them until they are done. */
struct sl_list *auth_wait_link(struct auth_wait *w);
struct auth_wait *auth_wait_of(struct sl_list *link);

enum auth_on_error { AUTH_ON_ERROR_DENY, AUTH_ON_ERROR_PASS, AUTH_ON_ERROR_ALLOW };

/* What holds for a link of any kind; conf_fields in auth_conf.c. */
struct auth_link_conf {
	struct conf_list listeners; /* only clients of these; empty: of all */
	char *username, *clientid;  /* only those that match, '*' stands for any text; NULL: all */
	int on_error;               /* enum auth_on_error */
};

struct auth_backend;
struct auth_backend_ops {
	enum auth_step (*check)(struct auth_backend *b, struct auth_ask *ask);
	enum auth_step (*work)(struct auth_backend *b, struct auth_ask *ask);
	void (*start)(struct auth_backend *b, const struct auth_ask *ask, struct auth_wait *w);
	void (*free)(struct auth_backend *b);
	/* For SCRAM (auth_scram.h); NULL: it keeps no keys. Fills *out for any name, made up when it does not know it: then
	 * false. Must not block. */
	bool (*scram)(struct auth_backend *b, struct sl_slice user, enum scram_hash hash, struct scram_keys *out);
};
struct auth_backend {
	const struct auth_backend_ops *ops; /* first member of every kind of backend */
	/* The chain's. */
	const char *type; /* static */
	struct auth_link_conf conf;
	struct {
		_Atomic uint64_t allowed, denied, passed, errors, cached, asked, asked_us;
	} count;
};

/* auth_file.c: users and salted hashes from a file (passwd_file.h). */
int auth_file_new(const char *path, struct auth_backend **out, struct sl_err *err) sl_warn_unused;

#endif
