/* client_rate.c: a client that is faster than its listener allows (max_message_rate, max_byte_rate) is not read from until its debt
 * is paid. What it sent stays with the kernel, then with the client: nothing is dropped. What it is sent goes on all the while. */
#include "client.h"
#include "mem.h"
#include "worker.h"

struct client_rate {
	struct client *c;
	struct sl_timer timer;
	struct sl_bucket messages, bytes;
};

static void paid(struct sl_timer *t) {
	struct client_rate *r = sl_container_of(t, struct client_rate, timer);
	client_resume(r->c, CLIENT_PAUSE_RATE);
}

void client_rate_init(struct client *c) {
	const struct broker_bind_limits *l = &c->bind->limits;
	if (l->messages.per_s == 0 && l->bytes.per_s == 0) return;
	uint64_t now_ms = sl_loop_now_ms(c->w->loop);
	struct client_rate *r = c->rate = SL_NEW(struct client_rate);
	r->c = c;
	sl_timer_init(&r->timer, paid);
	sl_bucket_init(&r->messages, &l->messages, now_ms);
	sl_bucket_init(&r->bytes, &l->bytes, now_ms);
}

void client_rate_fini(struct client *c) {
	if (!c->rate) return;
	sl_timer_cancel(&c->rate->timer);
	sl_free(c->rate);
	c->rate = NULL;
}

/* No debt: go on. Else the next packet waits until it is paid. */
static void settle(struct client *c, const struct sl_bucket *b, const struct sl_rate *rate) {
	uint64_t wait_ms = sl_bucket_wait_ms(b, rate, sl_loop_now_ms(c->w->loop), 0);
	if (wait_ms == 0 || c->state == CLIENT_CLOSED) return;
	struct client_rate *r = c->rate;
	metric_inc(c->w, METRIC_RATE_PAUSES);
	client_pause(c, CLIENT_PAUSE_RATE);
	uint64_t due_ms = sl_loop_now_ms(c->w->loop) + wait_ms;
	if (!sl_timer_armed(&r->timer) || r->timer.due_ms < due_ms) sl_timer_set(c->w->loop, &r->timer, wait_ms);
}

void client_rate_message(struct client *c) {
	const struct sl_rate *rate = &c->bind->limits.messages;
	sl_bucket_spend(&c->rate->messages, rate, sl_loop_now_ms(c->w->loop), 1);
	settle(c, &c->rate->messages, rate);
}

void client_rate_bytes(struct client *c, size_t bytes) {
	const struct sl_rate *rate = &c->bind->limits.bytes;
	sl_bucket_spend(&c->rate->bytes, rate, sl_loop_now_ms(c->w->loop), bytes);
	settle(c, &c->rate->bytes, rate);
}
