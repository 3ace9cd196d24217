#include "auth_flights.h"

#include <string.h>

#include "clock.h"
#include "mem.h"

enum { WAYS = 4, BUCKETS = 1024 };

struct slot {
	struct auth_digest digest;
	struct auth_found *found; /* NULL: free */
	uint64_t until_ms;
};

struct flight {
	struct sl_list link;
	struct auth_digest digest;
	struct sl_list waiting;
};

struct auth_flights {
	struct auth_key key;
	struct auth_cache_conf conf;
	size_t pending_max;
	pthread_mutex_t lock; /* over what follows */
	struct slot *slots;
	size_t sets; /* of WAYS slots; 0: nothing is kept */
	struct sl_list flights[BUCKETS];
	size_t pending; /* who wait */
};

#define AT(member) offsetof(struct auth_cache_conf, member)

const struct conf_field auth_cache_fields[] = {
    {.name = "ttl",
     .type = CONF_DURATION,
     .at = AT(ttl_ms),
     .def = "30s",
     .max = 86400000,
     .doc = "How long an answer is remembered; what changes over there is seen here after so long. 0: not at all."},
    {.name = "negative_ttl",
     .type = CONF_DURATION,
     .at = AT(negative_ttl_ms),
     .def = "3s",
     .max = 86400000,
     .doc = "The same for an answer that lets nobody in, or that knows no such user."},
    {.name = "size",
     .type = CONF_INT,
     .at = AT(size),
     .def = "10000",
     .max = 10000000,
     .doc = "How many answers are remembered."},
    CONF_END};

struct auth_flights *auth_flights_new(const struct auth_cache_conf *conf, size_t pending_max) {
	struct auth_flights *f = SL_NEW(struct auth_flights);
	f->conf = *conf;
	f->pending_max = pending_max;
	auth_key_init(&f->key);
	pthread_mutex_init(&f->lock, NULL);
	if (conf->ttl_ms > 0 || conf->negative_ttl_ms > 0) f->sets = ((size_t)conf->size + WAYS - 1) / WAYS;
	f->slots = SL_NEW_ARRAY(struct slot, f->sets * WAYS);
	for (size_t i = 0; i < BUCKETS; i++) sl_list_init(&f->flights[i]);
	return f;
}

void auth_flights_free(struct auth_flights *f) {
	if (!f) return;
	for (size_t i = 0; i < f->sets * WAYS; i++) auth_found_unref(f->slots[i].found);
	pthread_mutex_destroy(&f->lock);
	explicit_bzero(&f->key, sizeof f->key);
	sl_free(f->slots);
	sl_free(f);
}

void auth_flights_digest(const struct auth_flights *f, const struct sl_slice *texts, size_t n,
			 struct auth_digest *out) {
	auth_digest(&f->key, texts, n, out);
}

static uint64_t number_of(const struct auth_digest *d) {
	uint64_t n;
	memcpy(&n, d->bytes, sizeof n);
	return n;
}

/* ---- answers of late: under lock --------------------------------------------------------------------------- */

static struct slot *slots_of(const struct auth_flights *f, const struct auth_digest *d) {
	return &f->slots[number_of(d) % f->sets * WAYS];
}

static struct auth_found *known(const struct auth_flights *f, const struct auth_digest *d) {
	uint64_t now_ms = sl_clock_mono_ms();
	for (size_t i = 0; f->sets && i < WAYS; i++) {
		const struct slot *s = &slots_of(f, d)[i];
		if (s->found && now_ms < s->until_ms && memcmp(&s->digest, d, sizeof *d) == 0)
			return auth_found_ref(s->found);
	}
	return NULL;
}

/* Gives what it takes the place of. */
static struct auth_found *keep(struct auth_flights *f, const struct auth_digest *d, struct auth_found *found,
			       uint64_t keep_ms) {
	if (f->sets == 0 || keep_ms == 0) return NULL;
	struct slot *slots = slots_of(f, d), *at = slots;
	for (size_t i = 0; i < WAYS; i++) {
		if (slots[i].found && memcmp(&slots[i].digest, d, sizeof *d) == 0) {
			at = &slots[i];
			break;
		}
		if (!slots[i].found || (at->found && slots[i].until_ms < at->until_ms)) at = &slots[i];
	}
	struct auth_found *old = at->found;
	*at = (struct slot){.digest = *d, .found = auth_found_ref(found), .until_ms = sl_clock_mono_ms() + keep_ms};
	return old;
}

static struct flight *flight_of(struct auth_flights *f, const struct auth_digest *d) {
	SL_LIST_FOREACH(it, &f->flights[number_of(d) % BUCKETS]) {
		struct flight *flight = SL_LIST_ENTRY(it, struct flight, link);
		if (memcmp(&flight->digest, d, sizeof *d) == 0) return flight;
	}
	return NULL;
}

/* ---- the face -------------------------------------------------------------------------------------------- */

struct auth_found *auth_flights_known(struct auth_flights *f, const struct auth_digest *d) {
	pthread_mutex_lock(&f->lock);
	struct auth_found *found = known(f, d);
	pthread_mutex_unlock(&f->lock);
	return found;
}

bool auth_flights_join(struct auth_flights *f, const struct auth_digest *d, struct auth_wait *w) {
	pthread_mutex_lock(&f->lock);
	struct auth_found *found = known(f, d); /* since it was looked for */
	struct flight *flight = found ? NULL : flight_of(f, d);
	bool too_many = f->pending >= f->pending_max, asks = !found && !too_many && !flight;
	if (asks) {
		flight = SL_NEW(struct flight);
		flight->digest = *d;
		sl_list_init(&flight->waiting);
		sl_list_push_back(&f->flights[number_of(d) % BUCKETS], &flight->link);
	}
	bool waits = !found && !too_many;
	if (waits) {
		sl_list_push_back(&flight->waiting, auth_wait_link(w));
		f->pending++;
	}
	pthread_mutex_unlock(&f->lock);
	if (!waits) auth_wait_done(w, found);
	return asks;
}

static uint64_t keep_for(const struct auth_flights *f, bool good, int64_t until_ms) {
	int64_t ms = good ? f->conf.ttl_ms : f->conf.negative_ttl_ms;
	int64_t left_ms = until_ms ? until_ms - sl_clock_wall_ms() : ms;
	if (left_ms < ms) ms = left_ms;
	return ms > 0 ? (uint64_t)ms : 0;
}

void auth_flights_land(struct auth_flights *f, const struct auth_digest *d, struct auth_found *found, bool good,
		       int64_t until_ms) {
	struct auth_found *old = NULL;
	struct sl_list waiting;
	sl_list_init(&waiting);
	pthread_mutex_lock(&f->lock);
	struct flight *flight = flight_of(f, d);
	if (flight) {
		sl_list_remove(&flight->link);
		sl_list_splice_back(&waiting, &flight->waiting);
	}
	SL_LIST_FOREACH(it, &waiting) f->pending--;
	if (found) old = keep(f, d, found, keep_for(f, good, until_ms));
	pthread_mutex_unlock(&f->lock);
	sl_free(flight);
	auth_found_unref(old);
	for (struct sl_list *it; (it = sl_list_pop_front(&waiting));)
		auth_wait_done(auth_wait_of(it), found ? auth_found_ref(found) : NULL);
}
