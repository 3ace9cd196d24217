#include "tls_tickets.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "clock.h"
#include "mem.h"
#include "rng.h"

enum { IV_BYTES = 16 };

struct key {
	unsigned char name[16], aes[32], mac[32];
};

struct tls_tickets {
	_Atomic uint32_t refs;
	pthread_mutex_t lock;
	uint64_t lifetime_ms, born_ms;
	struct key now, before;
};

struct tls_tickets *tls_tickets_new(uint64_t lifetime_ms) {
	struct tls_tickets *t = SL_NEW(struct tls_tickets);
	atomic_init(&t->refs, 1);
	pthread_mutex_init(&t->lock, NULL);
	t->lifetime_ms = lifetime_ms;
	t->born_ms = sl_clock_mono_ms();
	sl_random_bytes(&t->now, sizeof t->now);
	sl_random_bytes(&t->before, sizeof t->before); /* nobody has a ticket of it */
	return t;
}

struct tls_tickets *tls_tickets_ref(struct tls_tickets *t) {
	atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

void tls_tickets_unref(struct tls_tickets *t) {
	if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1) return;
	pthread_mutex_destroy(&t->lock);
	explicit_bzero(t, sizeof *t);
	sl_free(t);
}

static void rotate(struct tls_tickets *t, uint64_t now_ms) {
	t->before = t->now;
	sl_random_bytes(&t->now, sizeof t->now);
	/* Nobody came for two lifetimes: what the last key has sealed is too old as well. */
	if (now_ms - t->born_ms >= 2 * t->lifetime_ms) sl_random_bytes(&t->before, sizeof t->before);
	t->born_ms = now_ms;
}

void tls_tickets_rotate(struct tls_tickets *t) {
	pthread_mutex_lock(&t->lock);
	rotate(t, sl_clock_mono_ms());
	pthread_mutex_unlock(&t->lock);
}

/* A copy of the key that seals, or of the one with that name: 1, 2 for the one before, 0 for none. */
static int pick(struct tls_tickets *t, const unsigned char *name, struct key *out) {
	int which = 1;
	pthread_mutex_lock(&t->lock);
	uint64_t now_ms = sl_clock_mono_ms();
	if (now_ms - t->born_ms >= t->lifetime_ms) rotate(t, now_ms);
	if (!name || memcmp(name, t->now.name, sizeof t->now.name) == 0)
		*out = t->now;
	else if (memcmp(name, t->before.name, sizeof t->before.name) == 0) {
		*out = t->before;
		which = 2;
	} else
		which = 0;
	pthread_mutex_unlock(&t->lock);
	return which;
}

int tls_tickets_key(struct tls_tickets *t, unsigned char name[16], unsigned char *iv, EVP_CIPHER_CTX *cipher,
		    EVP_MAC_CTX *mac, int seal) {
	struct key k;
	int which = pick(t, seal ? NULL : name, &k);
	if (which == 0) return 0;
	if (seal) {
		memcpy(name, k.name, sizeof k.name);
		sl_random_bytes(iv, IV_BYTES);
	}
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, k.mac, sizeof k.mac),
			       OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
			       OSSL_PARAM_construct_end()};
	bool fine = EVP_MAC_CTX_set_params(mac, params) == 1 &&
		    EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, k.aes, iv, seal) == 1;
	explicit_bzero(&k, sizeof k);
	return fine ? which : -1;
}
