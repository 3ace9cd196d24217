/* rate.h: a token bucket: so many things a second, and a burst of so many at once.
 *
 *     struct sl_rate rate = {.per_s = 10, .burst = 50};
 *     struct sl_bucket b;
 *     sl_bucket_init(&b, &rate, now_ms);                       full: the whole burst may come at once
 *     if (!sl_bucket_take(&b, &rate, now_ms, 1)) ...           too fast
 *     sl_timer_set(loop, &t, sl_bucket_wait_ms(&b, &rate, now_ms, 1));   again when there is one
 *
 * What is known only when it is there, like the bytes of a read(2), is spent: sl_bucket_spend() goes into debt, and the
 * debt is waited for afterwards. So a packet larger than the burst passes, and pays.
 *
 * The rate stands beside the bucket, because many buckets share one: a bucket is 16 bytes, a rate may change while it is used. Tokens
 * are counted in thousandths and come lazily, when somebody looks: no timer, no loss by rounding, no overflow. A clock that
 * goes back brings nothing and costs nothing.
 * Lifetime: the caller's storage; nothing to free. Thread: whoever owns the bucket. Never blocks, never allocates. */
#ifndef SL_RATE_H
#define SL_RATE_H

#include "common.h"

struct sl_rate {
	uint64_t per_s; /* 0: no limit, everything passes */
	uint64_t burst; /* the most that is saved up; 0: as many as per_s */
};

struct sl_bucket {
	int64_t thousandths; /* of tokens; below 0: debt */
	uint64_t at_ms;      /* when they were counted */
};

void sl_bucket_init(struct sl_bucket *b, const struct sl_rate *rate, uint64_t now_ms); /* full */

/* n tokens if they are there, else none. More than the burst is never there. */
bool sl_bucket_take(struct sl_bucket *b, const struct sl_rate *rate, uint64_t now_ms, uint64_t n) sl_warn_unused;

/* n tokens, on credit if need be. */
void sl_bucket_spend(struct sl_bucket *b, const struct sl_rate *rate, uint64_t now_ms, uint64_t n);

/* How long until n tokens are there (more than the burst: until it is full); 0: they are. n = 0: until there is no debt. */
uint64_t sl_bucket_wait_ms(const struct sl_bucket *b, const struct sl_rate *rate, uint64_t now_ms, uint64_t n);

/* As good as new: who keeps a bucket for each of many addresses may forget this one. */
bool sl_bucket_full(const struct sl_bucket *b, const struct sl_rate *rate, uint64_t now_ms);

#endif
