#include "auth_known.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "mem.h"
#include "rng.h"

void auth_key_init(struct auth_key *k) { sl_random_bytes(k->bytes, sizeof k->bytes); }

/* Each text is hashed with the digest of those before it as the key: none can be split in another way. */
void auth_digest(const struct auth_key *k, const struct sl_slice *texts, size_t n, struct auth_digest *out) {
	unsigned len = 0;
	memcpy(out->bytes, k->bytes, AUTH_DIGEST);
	for (size_t i = 0; i < n; i++) {
		struct auth_digest before = *out;
		HMAC(EVP_sha256(), before.bytes, AUTH_DIGEST, (const unsigned char *)(texts[i].p ? texts[i].p : ""),
		     texts[i].n, out->bytes, &len);
	}
}

void auth_known_init(struct auth_known *k) {
	auth_key_init(&k->key);
	pthread_mutex_init(&k->lock, NULL);
	k->slots = SL_NEW_ARRAY(struct auth_digest, AUTH_KNOWN_SLOTS);
}

void auth_known_fini(struct auth_known *k) {
	pthread_mutex_destroy(&k->lock);
	sl_free(k->slots);
	explicit_bzero(&k->key, sizeof k->key);
}

static struct auth_digest *slot_of(const struct auth_known *k, const struct auth_digest *d) {
	uint32_t at;
	memcpy(&at, d->bytes, sizeof at);
	return &k->slots[at % AUTH_KNOWN_SLOTS];
}

bool auth_known_has(struct auth_known *k, const struct sl_slice *texts, size_t n) {
	struct auth_digest d;
	auth_digest(&k->key, texts, n, &d);
	pthread_mutex_lock(&k->lock);
	bool known = CRYPTO_memcmp(slot_of(k, &d), &d, sizeof d) == 0;
	pthread_mutex_unlock(&k->lock);
	return known;
}

void auth_known_add(struct auth_known *k, const struct sl_slice *texts, size_t n) {
	struct auth_digest d;
	auth_digest(&k->key, texts, n, &d);
	pthread_mutex_lock(&k->lock);
	*slot_of(k, &d) = d;
	pthread_mutex_unlock(&k->lock);
}
