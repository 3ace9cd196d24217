#include "guard.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "ban.h"
#include "hash.h"
#include "mem.h"

struct guard_rules {
	_Atomic uint32_t refs;
	struct ban_list bans;
	struct sl_cidr *exempt;
	size_t exempt_len;
	struct guard_count flapping, failures_address, failures_user;
	struct sl_rate connects;
	bool connects_limited;
};

/* Who is counted: by a hash that nobody outside can aim at (hash.h). */
struct place {
	uint64_t key;
	uint64_t window_ms; /* its window began then */
	uint64_t until_ms;  /* banned; 0: not */
	uint64_t count;
};

struct bucket_place {
	uint64_t key;
	struct sl_bucket bucket;
};

enum { WAYS = 4 };

struct guard {
	pthread_mutex_t lock; /* over all that follows */
	struct guard_rules *rules;
	struct place *flapping, *failures; /* NULL until needed */
	struct bucket_place *connects;
};

/* ---- what is configured ---- */

static void parse_exempt(struct guard_rules *r, const struct conf_list *list, const struct yaml_doc *about,
			 struct conf_report *report) {
	r->exempt = SL_NEW_ARRAY(struct sl_cidr, list->len + 1);
	for (size_t i = 0; i < list->len; i++) {
		struct sl_err err = SL_ERR_INIT;
		char *path = yaml_path_index("auth.exempt", i);
		if (sl_cidr_parse(slice_from_str(list->items[i]), &r->exempt[r->exempt_len], &err) == SL_OK)
			r->exempt_len++;
		else
			conf_report_add(report, (struct conf_at){about, path}, CONF_AT_VALUE, err.status, "%s",
					sl_err_text(&err));
		sl_err_fini(&err);
		sl_free(path);
	}
}

static bool counts(const struct guard_count *c) { return c->max != CONF_UNLIMITED; }

static bool anything(const struct guard_rules *r) {
	return r->bans.len || counts(&r->flapping) || counts(&r->failures_address) || counts(&r->failures_user) ||
	       r->connects_limited;
}

int guard_rules_new(const struct guard_options *options, struct guard_rules **out, struct conf_report *report) {
	struct guard_rules *r = SL_NEW(struct guard_rules);
	size_t before = report->len + report->dropped;
	atomic_init(&r->refs, 1);
	*out = NULL;
	r->flapping = options->flapping;
	r->failures_address = options->failures_address;
	r->failures_user = options->failures_user;
	r->connects_limited = options->connects_per_s != CONF_UNLIMITED;
	if (r->connects_limited)
		r->connects = (struct sl_rate){.per_s = (uint64_t)options->connects_per_s,
					       .burst = (uint64_t)options->connects_burst};
	if (options->ban) ban_list_add(&r->bans, options->ban, (struct conf_at){options->about, "auth.ban"}, report);
	if (options->ban_file)
		ban_list_add_file(&r->bans, options->ban_file, (struct conf_at){options->about, "auth.ban_file"},
				  report);
	if (options->exempt) parse_exempt(r, options->exempt, options->about, report);
	bool good = report->len + report->dropped == before;
	if (good && anything(r))
		*out = r;
	else
		guard_rules_unref(r);
	return good ? SL_OK : SL_EINVAL;
}

struct guard_rules *guard_rules_ref(struct guard_rules *r) {
	if (r) atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
	return r;
}

void guard_rules_unref(struct guard_rules *r) {
	if (!r || atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1) return;
	ban_list_fini(&r->bans);
	sl_free(r->exempt);
	sl_free(r);
}

struct guard *guard_new(void) {
	struct guard *g = SL_NEW(struct guard);
	pthread_mutex_init(&g->lock, NULL);
	return g;
}

void guard_free(struct guard *g) {
	if (!g) return;
	guard_rules_unref(g->rules);
	sl_free(g->flapping);
	sl_free(g->failures);
	sl_free(g->connects);
	pthread_mutex_destroy(&g->lock);
	sl_free(g);
}

void guard_set(struct guard *g, struct guard_rules *rules) {
	pthread_mutex_lock(&g->lock);
	struct guard_rules *before = g->rules;
	g->rules = guard_rules_ref(rules);
	pthread_mutex_unlock(&g->lock);
	guard_rules_unref(before);
}

/* A strong reference, or NULL. */
static struct guard_rules *rules_now(struct guard *g) {
	pthread_mutex_lock(&g->lock);
	struct guard_rules *r = guard_rules_ref(g->rules);
	pthread_mutex_unlock(&g->lock);
	return r;
}

/* ---- whom it counts ---- */

static bool exempt(const struct guard_rules *r, const struct acl_subject *who) {
	for (size_t i = 0; i < r->exempt_len; i++)
		if (sl_cidr_holds(&r->exempt[i], who->ip, who->ip_v6)) return true;
	return false;
}

/* 0: unknown, as for a unix socket. IPv6: the /64. */
static uint64_t address_key(const struct acl_subject *who) {
	static const uint8_t none[16];
	if (memcmp(who->ip, none, sizeof none) == 0) return 0;
	return sl_hash(slice_make(who->ip, who->ip_v6 ? 8 : 4)) | 1;
}

/* Apart from addresses, in the same table. */
static uint64_t user_key(const struct acl_subject *who) {
	return who->username.n ? (sl_hash(who->username) & ~(uint64_t)1) | (uint64_t)1 << 63 : 0;
}

/* ---- counting ---- */

static struct place *place_find(struct place *table, uint64_t key) {
	struct place *set = &table[key / 2 % (GUARD_PLACES / WAYS) * WAYS];
	for (size_t i = 0; i < WAYS; i++)
		if (set[i].key == key) return &set[i];
	return NULL;
}

/* Whoever's ban ends first, or who was counted longest ago, makes room. */
static struct place *place_take(struct place *table, uint64_t key, uint64_t now_ms) {
	struct place *set = &table[key / 2 % (GUARD_PLACES / WAYS) * WAYS], *worst = set;
	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].key == key) return &set[i];
		uint64_t a = set[i].until_ms > now_ms ? set[i].until_ms : 0;
		uint64_t b = worst->until_ms > now_ms ? worst->until_ms : 0;
		if (a < b || (a == b && set[i].window_ms < worst->window_ms)) worst = &set[i];
	}
	*worst = (struct place){.key = key, .window_ms = now_ms};
	return worst;
}

/* One more. True: with this one it is too many, and the ban begins. */
static bool count(struct place **table, uint64_t key, const struct guard_count *c, uint64_t now_ms) {
	if (!counts(c) || key == 0) return false;
	if (!*table) *table = SL_NEW_ARRAY(struct place, GUARD_PLACES);
	struct place *p = place_take(*table, key, now_ms);
	if (now_ms - p->window_ms >= (uint64_t)c->window_ms) {
		p->window_ms = now_ms;
		p->count = 0;
	}
	if (++p->count < (uint64_t)c->max || p->until_ms > now_ms) return false;
	p->until_ms = now_ms + (uint64_t)c->ban_ms;
	p->count = 0;
	return true;
}

static bool held(struct place *table, uint64_t key, const struct guard_count *c, uint64_t now_ms) {
	const struct place *p = table && key && counts(c) ? place_find(table, key) : NULL;
	return p && p->until_ms > now_ms;
}

static bool too_fast(struct guard *g, const struct guard_rules *r, uint64_t key, uint64_t now_ms) {
	if (!r->connects_limited || key == 0) return false;
	if (!g->connects) g->connects = SL_NEW_ARRAY(struct bucket_place, GUARD_PLACES);
	struct bucket_place *set = &g->connects[key / 2 % (GUARD_PLACES / WAYS) * WAYS], *mine = NULL, *oldest = set;
	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].key == key) mine = &set[i];
		if (set[i].bucket.at_ms < oldest->bucket.at_ms || set[i].key == 0) oldest = &set[i];
	}
	if (!mine) {
		mine = oldest;
		mine->key = key;
		sl_bucket_init(&mine->bucket, &r->connects, now_ms);
	}
	return !sl_bucket_take(&mine->bucket, &r->connects, now_ms, 1);
}

/* ---- questions ---- */

enum guard_verdict guard_connect(struct guard *g, const struct acl_subject *who, uint64_t now_ms, int64_t wall_ms,
				 char **reason) {
	*reason = NULL;
	struct guard_rules *r = rules_now(g);
	if (!r) return GUARD_FINE;
	enum guard_verdict v = GUARD_FINE;
	const struct ban *ban = ban_list_find(&r->bans, who, wall_ms);
	if (ban) {
		v = GUARD_BANNED;
		*reason = ban->reason ? sl_strdup(ban->reason) : NULL;
	} else if (!exempt(r, who)) {
		uint64_t address = address_key(who);
		pthread_mutex_lock(&g->lock);
		if (too_fast(g, r, address, now_ms))
			v = GUARD_TOO_FAST;
		else if (held(g->flapping, sl_hash(who->clientid), &r->flapping, now_ms))
			v = GUARD_FLAPS;
		else if (held(g->failures, address, &r->failures_address, now_ms) ||
			 held(g->failures, user_key(who), &r->failures_user, now_ms))
			v = GUARD_GUESSES;
		pthread_mutex_unlock(&g->lock);
	}
	guard_rules_unref(r);
	return v;
}

void guard_failed(struct guard *g, const struct acl_subject *who, uint64_t now_ms) {
	struct guard_rules *r = rules_now(g);
	if (r && !exempt(r, who)) {
		pthread_mutex_lock(&g->lock);
		count(&g->failures, address_key(who), &r->failures_address, now_ms);
		count(&g->failures, user_key(who), &r->failures_user, now_ms);
		pthread_mutex_unlock(&g->lock);
	}
	guard_rules_unref(r);
}

bool guard_guessed(struct guard *g, const struct acl_subject *who, uint64_t now_ms) {
	struct guard_rules *r = rules_now(g);
	bool guessed = false;
	if (r && !exempt(r, who)) {
		pthread_mutex_lock(&g->lock);
		guessed = held(g->failures, user_key(who), &r->failures_user, now_ms);
		pthread_mutex_unlock(&g->lock);
	}
	guard_rules_unref(r);
	return guessed;
}

bool guard_flapped(struct guard *g, const struct acl_subject *who, uint64_t now_ms, int64_t *ban_ms) {
	struct guard_rules *r = rules_now(g);
	bool banned = false;
	if (r && !exempt(r, who)) {
		pthread_mutex_lock(&g->lock);
		banned = count(&g->flapping, sl_hash(who->clientid), &r->flapping, now_ms);
		*ban_ms = r->flapping.ban_ms;
		pthread_mutex_unlock(&g->lock);
	}
	guard_rules_unref(r);
	return banned;
}

bool guard_holds(struct guard *g, const struct acl_subject *who, int64_t wall_ms) {
	struct guard_rules *r = rules_now(g);
	bool holds = r && ban_list_find(&r->bans, who, wall_ms);
	guard_rules_unref(r);
	return holds;
}
