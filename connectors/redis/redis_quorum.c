/* redis_quorum.c: see redis_quorum.h. */
#include "redis_quorum.h"

#include "mem.h"

void redis_answer_forget(struct redis_answer *a) {
	sl_free(a->host);
	*a = (struct redis_answer){.epoch = -1, .replicas = -1};
}

/* ---- One sentinel. ---- */

static bool port_read(struct sl_slice text, uint16_t *out) {
	int64_t n;
	if (slice_to_i64(text, &n) != SL_OK || n <= 0 || n > UINT16_MAX) return false;
	*out = (uint16_t)n;
	return true;
}

static void flags_read(struct redis_answer *a, struct sl_slice flags) {
	while (flags.n) {
		struct sl_slice flag = slice_next_part(&flags, ',');
		a->down |= slice_equal_str(flag, "s_down");
		a->replaced |= slice_equal_str(flag, "o_down") || slice_equal_str(flag, "failover_in_progress");
	}
}

static void count_read(struct sl_slice text, int64_t *out) {
	int64_t n;
	if (slice_to_i64(text, &n) == SL_OK && n >= 0) *out = n;
}

/* [name, value, name, value, ...] */
bool redis_answer_master(struct redis_answer *a, const struct redis_reply *reply) {
	redis_answer_forget(a);
	if (reply->kind != REDIS_LIST) return false;
	for (uint32_t i = 0; i + 1 < reply->n; i += 2) {
		struct sl_slice name = reply->items[i].text, value = reply->items[i + 1].text;
		if (reply->items[i].kind != REDIS_TEXT || reply->items[i + 1].kind != REDIS_TEXT) continue;
		if (slice_equal_str(name, "ip") && !a->host) a->host = slice_dup(value);
		if (slice_equal_str(name, "port")) (void)port_read(value, &a->port);
		if (slice_equal_str(name, "flags")) flags_read(a, value);
		if (slice_equal_str(name, "config-epoch")) count_read(value, &a->epoch);
		if (slice_equal_str(name, "num-slaves")) count_read(value, &a->replicas);
	}
	return a->epoch >= 0;
}

bool redis_answer_address(struct redis_answer *a, const struct redis_reply *reply) {
	uint16_t port;
	bool good = reply->kind == REDIS_LIST && reply->n == 2 && reply->items[0].kind == REDIS_TEXT &&
		    reply->items[0].text.n > 0 && reply->items[1].kind == REDIS_TEXT &&
		    port_read(reply->items[1].text, &port);
	if (!good) {
		redis_answer_forget(a);
		return false;
	}
	/* The flags are those of the server that is on its way out. */
	if (!a->host || a->port != port || !slice_equal_str(reply->items[0].text, a->host))
		a->down = a->replaced = false;
	sl_free(a->host);
	a->host = slice_dup(reply->items[0].text);
	a->port = port;
	a->given = true;
	return true;
}

/* ---- All together. ---- */

static bool same_address(const struct redis_answer *a, const struct redis_answer *b) {
	return a->given && b->given && a->port == b->port && strcmp(a->host, b->host) == 0;
}

static size_t votes_for(const struct redis_answer *a, size_t n, const struct redis_answer *which) {
	size_t votes = 0;
	for (size_t i = 0; i < n; i++) votes += same_address(&a[i], which);
	return votes;
}

struct redis_verdict redis_quorum(const struct redis_answer *a, size_t n) {
	struct redis_verdict v = {.replicas = -1};
	size_t votes = 0, given = 0, down = 0;
	for (size_t i = 0; i < n; i++) {
		if (!a[i].given) continue;
		size_t own = votes_for(a, n, &a[i]);
		given++;
		if (a[i].replicas > v.replicas) v.replicas = a[i].replicas;
		if (v.best && (a[i].epoch < v.best->epoch || (a[i].epoch == v.best->epoch && own <= votes))) continue;
		v.best = &a[i];
		votes = own;
	}
	v.most = votes * 2 > n;
	for (size_t i = 0; v.best && i < n; i++) {
		if (!same_address(&a[i], v.best)) continue;
		v.replaced |= a[i].replaced;
		down += a[i].down;
	}
	/* One sentinel alone may be cut off. Where there is no replica nobody can take the master's place. */
	v.replaced = (v.replaced || (down > 0 && down * 2 > given)) && v.replicas != 0;
	return v;
}

/* ---- Over time. ---- */

void redis_memory_take(struct redis_memory *m, const struct redis_verdict *v, uint64_t now_ms) {
	if (v->best->epoch >= m->epoch || now_ms - m->epoch_ms >= REDIS_OUTDATED_MS) {
		m->epoch = v->best->epoch;
		m->epoch_ms = now_ms;
	}
	if (v->replaced && !m->replaced) m->replaced_ms = now_ms;
	m->replaced = v->replaced;
}

bool redis_memory_is_outdated(const struct redis_memory *m, const struct redis_verdict *v) {
	return v->best->epoch < m->epoch;
}

bool redis_memory_is_replaced(const struct redis_memory *m, uint64_t now_ms) {
	return m->replaced && now_ms - m->replaced_ms < REDIS_REPLACED_MS;
}
