#include "listener_gate.h"

#include "clock.h"

void listener_gate_init(struct listener_gate *g, struct sl_rate rate) {
	pthread_mutex_init(&g->lock, NULL);
	g->rate = rate;
	sl_bucket_init(&g->bucket, &g->rate, sl_clock_mono_ms());
}

void listener_gate_fini(struct listener_gate *g) { pthread_mutex_destroy(&g->lock); }

void listener_gate_set(struct listener_gate *g, struct sl_rate rate) {
	pthread_mutex_lock(&g->lock);
	if (g->rate.per_s != rate.per_s || g->rate.burst != rate.burst) {
		g->rate = rate;
		sl_bucket_init(&g->bucket, &g->rate, sl_clock_mono_ms());
	}
	pthread_mutex_unlock(&g->lock);
}

uint64_t listener_gate_wait_ms(struct listener_gate *g, uint64_t now_ms) {
	if (g->rate.per_s == 0) return 0;
	pthread_mutex_lock(&g->lock);
	uint64_t wait_ms = sl_bucket_wait_ms(&g->bucket, &g->rate, now_ms, 1);
	pthread_mutex_unlock(&g->lock);
	return wait_ms;
}

/* On credit: another worker may have been faster since the question. */
void listener_gate_passed(struct listener_gate *g, uint64_t now_ms) {
	if (g->rate.per_s == 0) return;
	pthread_mutex_lock(&g->lock);
	sl_bucket_spend(&g->bucket, &g->rate, now_ms, 1);
	pthread_mutex_unlock(&g->lock);
}
