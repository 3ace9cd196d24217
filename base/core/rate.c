#include "rate.h"

/* More than anybody counts; a thousand times as much still fits in 63 bits. */
static const uint64_t MOST = (uint64_t)1 << 52;

static int64_t thousandths_of(uint64_t n) { return (int64_t)((n < MOST ? n : MOST) * 1000); }

static int64_t full(const struct sl_rate *rate) { return thousandths_of(rate->burst ? rate->burst : rate->per_s); }

/* A token a second is a thousandth a millisecond. */
static int64_t count(const struct sl_bucket *b, const struct sl_rate *rate, uint64_t now_ms) {
	int64_t top = full(rate);
	if (b->thousandths >= top) return top; /* the burst may have become smaller */
	uint64_t passed = now_ms > b->at_ms ? now_ms - b->at_ms : 0, missing = (uint64_t)(top - b->thousandths);
	if (passed > missing / rate->per_s) return top;
	return b->thousandths + (int64_t)(passed * rate->per_s);
}

static void settle(struct sl_bucket *b, const struct sl_rate *rate, uint64_t now_ms) {
	b->thousandths = count(b, rate, now_ms);
	if (now_ms > b->at_ms) b->at_ms = now_ms;
}

void sl_bucket_init(struct sl_bucket *b, const struct sl_rate *rate, uint64_t now_ms) {
	*b = (struct sl_bucket){.thousandths = full(rate), .at_ms = now_ms};
}

bool sl_bucket_take(struct sl_bucket *b, const struct sl_rate *rate, uint64_t now_ms, uint64_t n) {
	if (rate->per_s == 0) return true;
	settle(b, rate, now_ms);
	if (b->thousandths < thousandths_of(n)) return false;
	b->thousandths -= thousandths_of(n);
	return true;
}

void sl_bucket_spend(struct sl_bucket *b, const struct sl_rate *rate, uint64_t now_ms, uint64_t n) {
	if (rate->per_s == 0) return;
	settle(b, rate, now_ms);
	b->thousandths -= thousandths_of(n);
	if (b->thousandths < -thousandths_of(MOST)) b->thousandths = -thousandths_of(MOST);
}

uint64_t sl_bucket_wait_ms(const struct sl_bucket *b, const struct sl_rate *rate, uint64_t now_ms, uint64_t n) {
	if (rate->per_s == 0) return 0;
	int64_t want = thousandths_of(n), have = count(b, rate, now_ms);
	if (want > full(rate)) want = full(rate);
	if (have >= want) return 0;
	return ((uint64_t)(want - have) - 1) / rate->per_s + 1;
}

bool sl_bucket_full(const struct sl_bucket *b, const struct sl_rate *rate, uint64_t now_ms) {
	return rate->per_s == 0 || count(b, rate, now_ms) == full(rate);
}
