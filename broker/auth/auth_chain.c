#include <inttypes.h>

#include "auth_chain_int.h"
#include "auth_conf.h"
#include "log.h"
#include "mem.h"

/* ---- its life -------------------------------------------------------------------------------------------- */

static void chain_add(struct auth *a, struct auth_backend *b, const char *type) {
	b->type = type;
	a->chain = sl_realloc_array(a->chain, a->len + 1, sizeof(struct auth_backend *));
	a->chain[a->len++] = b;
}

int auth_new(const struct auth_options *options, struct auth **out, struct sl_err *err) {
	struct auth *a = SL_NEW(struct auth);
	struct auth_backend *b = NULL;
	int rc = SL_OK;
	*out = NULL;
	atomic_init(&a->refs, 1);
	a->anonymous = options->anonymous;
	if (options->password_file) {
		rc = auth_file_new(options->password_file, &b, err);
		if (rc == SL_OK) chain_add(a, b, "file");
	}
	for (size_t i = 0; rc == SL_OK && options->conf && i < auth_conf_len(options->conf); i++) {
		rc = auth_conf_make(options->conf, i, options->env, &b, err);
		if (rc == SL_OK) chain_add(a, b, auth_conf_type(options->conf, i));
	}
	if (rc == SL_OK)
		*out = a;
	else
		auth_unref(a);
	return rc;
}

struct auth *auth_ref(struct auth *a) {
	/* Relaxed is enough: whoever calls has a reference, so the count can't be falling to 0. */
	atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
	return a;
}

void auth_unref(struct auth *a) {
	if (!a || atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) != 1) return;
	for (size_t i = 0; i < a->len; i++) {
		auth_link_conf_fini(&a->chain[i]->conf);
		a->chain[i]->ops->free(a->chain[i]);
	}
	sl_free(a->chain);
	sl_free(a);
}

/* ---- asking ---------------------------------------------------------------------------------------------- */

/* '*' stands for any text, also none. */
static bool matches(const char *pattern, struct sl_slice text) {
	const char *star = NULL;
	size_t i = 0, from = 0;
	while (i < text.n) {
		if (*pattern == '*') {
			star = ++pattern;
			from = i;
		} else if (*pattern == text.p[i]) {
			pattern++;
			i++;
		} else if (star) {
			pattern = star;
			i = ++from;
		} else
			return false;
	}
	while (*pattern == '*') pattern++;
	return *pattern == '\0';
}

static bool is_for(const struct auth_link_conf *c, const struct auth_request *r) {
	bool listener = c->listeners.len == 0;
	for (size_t i = 0; i < c->listeners.len && !listener; i++)
		listener = slice_equal_str(r->listener, c->listeners.items[i]);
	if (!listener) return false;
	if (c->username && !(r->has_username && matches(c->username, r->username))) return false;
	return !c->clientid || matches(c->clientid, r->clientid);
}

static bool anonymous_may(const struct auth *a, const struct auth_request *r) {
	bool allowed = r->anonymous == AUTH_ANONYMOUS_DEFAULT ? a->anonymous : r->anonymous == AUTH_ANONYMOUS_YES;
	return allowed && (a->len == 0 || !r->has_username);
}

static void note(_Atomic uint64_t *counter) { atomic_fetch_add_explicit(counter, 1, memory_order_relaxed); }

/* What link b has said counts so; PASS: on to the next. */
static enum auth_step decided(struct auth_backend *b, struct auth_ask *ask, enum auth_step step) {
	if (ask->cached) note(&b->count.cached);
	switch (step) {
	case AUTH_STEP_ALLOW: note(&b->count.allowed); return step;
	case AUTH_STEP_DENY: note(&b->count.denied); return step;
	case AUTH_STEP_PASS: note(&b->count.passed); break;
	case AUTH_STEP_ERROR:
	case AUTH_STEP_WORK:
	case AUTH_STEP_WAIT:
		note(&b->count.errors);
		if (b->conf.on_error == AUTH_ON_ERROR_DENY) return AUTH_STEP_ERROR;
		step = b->conf.on_error == AUTH_ON_ERROR_ALLOW ? AUTH_STEP_ALLOW : AUTH_STEP_PASS;
		break;
	}
	auth_ask_clear(ask);
	return step;
}

enum auth_step auth_chain_ask(const struct auth *a, struct auth_ask *ask, size_t *at) {
	for (; *at < a->len; (*at)++) {
		struct auth_backend *b = a->chain[*at];
		if (!is_for(&b->conf, ask->request)) continue;
		enum auth_step step = b->ops->check(b, ask);
		if (step == AUTH_STEP_WORK || step == AUTH_STEP_WAIT) return step;
		step = decided(b, ask, step);
		if (step != AUTH_STEP_PASS) return step;
	}
	return anonymous_may(a, ask->request) ? AUTH_STEP_ALLOW : AUTH_STEP_DENY;
}

enum auth_step auth_chain_on(const struct auth *a, struct auth_ask *ask, size_t *at, enum auth_step step,
			     uint64_t took_us) {
	struct auth_backend *b = a->chain[*at];
	if (step == AUTH_STEP_WORK) return step;
	note(&b->count.asked);
	atomic_fetch_add_explicit(&b->count.asked_us, took_us, memory_order_relaxed);
	step = decided(b, ask, step);
	if (step != AUTH_STEP_PASS) return step;
	(*at)++;
	return auth_chain_ask(a, ask, at);
}

struct auth_found *auth_take_found(struct auth_ask *ask) {
	struct auth_found *found = ask->found;
	ask->found = NULL;
	return found;
}

void auth_ask_clear(struct auth_ask *ask) {
	auth_found_unref(auth_take_found(ask));
	auth_identity_unref(ask->identity);
	ask->identity = NULL;
	ask->cached = false;
}

enum auth_verdict auth_verdict_of(enum auth_step step, struct auth_ask *ask, struct auth_identity **id) {
	switch (step) {
	case AUTH_STEP_ALLOW:
		*id = ask->identity;
		ask->identity = NULL;
		return AUTH_ALLOWED;
	case AUTH_STEP_DENY:
	case AUTH_STEP_PASS: return AUTH_DENIED;
	case AUTH_STEP_ERROR:
	case AUTH_STEP_WORK:
	case AUTH_STEP_WAIT: break;
	}
	return AUTH_UNAVAILABLE;
}

/* ---- telling --------------------------------------------------------------------------------------------- */

static uint64_t now(const _Atomic uint64_t *counter) {
	return atomic_load_explicit((_Atomic uint64_t *)(uintptr_t)counter, memory_order_relaxed);
}

static const char *const results[] = {"allowed", "denied", "passed", "error"};

static uint64_t result_of(const struct auth_backend *b, size_t i) {
	const _Atomic uint64_t *const counters[] = {&b->count.allowed, &b->count.denied, &b->count.passed,
						    &b->count.errors};
	return now(counters[i]);
}

static void series(const struct auth *a, const char *name, const char *help, struct sl_buf *out) {
	sl_buf_printf(out, "# HELP %s %s\n# TYPE %s counter\n", name, help, name);
	(void)a;
}

void auth_prometheus(const struct auth *a, struct sl_buf *out) {
	if (!a || a->len == 0) return;
	series(a, "sluice_auth_checks_total", "What authenticators said, by their place in the chain.", out);
	for (size_t i = 0; i < a->len; i++)
		for (size_t k = 0; k < SL_ARRAY_LEN(results); k++)
			sl_buf_printf(out,
				      "sluice_auth_checks_total{link=\"%zu\",type=\"%s\",result=\"%s\"} %" PRIu64 "\n",
				      i, a->chain[i]->type, results[k], result_of(a->chain[i], k));
	series(a, "sluice_auth_cache_hits_total", "Checks that needed neither a question nor a hash.", out);
	for (size_t i = 0; i < a->len; i++)
		sl_buf_printf(out, "sluice_auth_cache_hits_total{link=\"%zu\",type=\"%s\"} %" PRIu64 "\n", i,
			      a->chain[i]->type, now(&a->chain[i]->count.cached));
	series(a, "sluice_auth_waits_total", "Checks that waited for a server or a hash.", out);
	for (size_t i = 0; i < a->len; i++)
		sl_buf_printf(out, "sluice_auth_waits_total{link=\"%zu\",type=\"%s\"} %" PRIu64 "\n", i,
			      a->chain[i]->type, now(&a->chain[i]->count.asked));
	series(a, "sluice_auth_wait_seconds_total", "How long these waited, together.", out);
	for (size_t i = 0; i < a->len; i++)
		sl_buf_printf(out, "sluice_auth_wait_seconds_total{link=\"%zu\",type=\"%s\"} %.6f\n", i,
			      a->chain[i]->type, (double)now(&a->chain[i]->count.asked_us) / 1e6);
}

json_t *auth_status(const struct auth *a) {
	json_t *list = json_array();
	for (size_t i = 0; a && i < a->len; i++) {
		const struct auth_backend *b = a->chain[i];
		json_t *link = json_pack("{s:s}", "type", b->type);
		for (size_t k = 0; k < SL_ARRAY_LEN(results); k++)
			json_object_set_new(link, results[k], json_integer((json_int_t)result_of(b, k)));
		json_object_set_new(link, "cache_hits", json_integer((json_int_t)now(&b->count.cached)));
		json_object_set_new(link, "waited", json_integer((json_int_t)now(&b->count.asked)));
		json_object_set_new(link, "waited_us", json_integer((json_int_t)now(&b->count.asked_us)));
		json_array_append_new(list, link);
	}
	return list;
}

/* ---- SCRAM ------------------------------------------------------------------------------------------------ */

/* What a link's conditions ask of a client is not known here: it keeps no keys then. */
static bool keeps_keys(const struct auth_backend *b) {
	return b->ops->scram && b->conf.listeners.len == 0 && !b->conf.username && !b->conf.clientid;
}

/* A link before it would have been asked first, and may have said no: behind one that keeps no keys nobody is looked for. */
static size_t links_with_keys(const struct auth *a) {
	size_t n = 0;
	while (n < a->len && keeps_keys(a->chain[n])) n++;
	return n;
}

bool auth_scram_offered(const struct auth *a) { return links_with_keys(a) > 0; }

/* All are asked, and the made-up keys are those of the first: the time does not tell who knew the name. */
bool auth_scram_find(void *auth, struct sl_slice user, enum scram_hash hash, struct scram_keys *out) {
	const struct auth *a = auth;
	bool known = false, filled = false;
	for (size_t i = 0, n = links_with_keys(a); i < n; i++) {
		struct auth_backend *b = a->chain[i];
		struct scram_keys keys;
		bool knows = b->ops->scram(b, user, hash, &keys);
		if (!filled || (knows && !known)) *out = keys;
		filled = true;
		known = known || knows;
	}
	return known;
}
