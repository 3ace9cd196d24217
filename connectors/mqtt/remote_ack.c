/* remote_ack.c: what is under way from another broker, and what is acknowledged; see remote_in.h. */
#include "mem.h"
#include "remote_in.h"

enum { ID_BITMAP_BYTES = 65536 / 8 };

static struct remote_taken *at(const struct remote_source *k, uint64_t mark) { return &k->taken[mark % k->cap]; }

static bool bit_get(const struct remote_source *k, uint16_t id) {
	return k->released && (k->released[id / 8] >> (id % 8) & 1) != 0;
}

static void bit_put(struct remote_source *k, uint16_t id, bool on) {
	if (!k->released) k->released = SL_NEW_ARRAY(uint8_t, ID_BITMAP_BYTES);
	uint8_t bit = (uint8_t)(1u << (id % 8));
	k->released[id / 8] = (uint8_t)(on ? k->released[id / 8] | bit : k->released[id / 8] & ~bit);
}

/* ---- Taking. ---- */

static void ring_grow(struct remote_source *k) {
	size_t cap = k->cap ? k->cap * 2 : 64;
	struct remote_taken *taken = SL_NEW_ARRAY(struct remote_taken, cap);
	for (uint64_t m = k->first; m < k->end; m++) taken[m % cap] = *at(k, m);
	sl_free(k->taken);
	k->taken = taken;
	k->cap = cap;
}

/* What is older and was not sent again will not be: brokers send in their order [MQTT-4.6.0-1]. */
static void stale_before(struct remote_source *k, uint64_t mark) {
	for (uint64_t m = k->first; m < mark; m++) {
		struct remote_taken *t = at(k, m);
		if (!t->stale) continue;
		t->stale = false;
		t->gone = true;
	}
}

bool remote_known(struct remote_source *k, const struct mqtt_publish *p) {
	if (p->qos == 2 && bit_get(k, p->packet_id)) {
		/* [MQTT-4.3.3-10] answered once more, and not taken. */
		mqtt_encode_ack_plain(MQTT_PUBREC, p->packet_id, remote_out(&k->r));
		return true;
	}
	for (uint64_t m = k->first; m < k->end; m++) {
		struct remote_taken *t = at(k, m);
		if (!t->stale || t->packet_id != p->packet_id || t->qos != p->qos) continue;
		stale_before(k, m);
		t->stale = false;
		remote_acks_send(k);
		return true;
	}
	stale_before(k, k->end);
	return false;
}

uint64_t remote_take(struct remote_source *k, const struct mqtt_publish *p) {
	if (k->end - k->first == k->cap) ring_grow(k);
	uint64_t mark = k->end++;
	*at(k, mark) = (struct remote_taken){.packet_id = p->packet_id, .qos = p->qos, .gone = p->qos == 0};
	return mark;
}

/* ---- Acknowledging. ---- */

void remote_through(struct remote_source *k, uint64_t mark) {
	struct remote_taken *t = at(k, mark);
	t->through = true;
	k->untold += !t->gone;
}

void remote_acks_send(struct remote_source *k) {
	bool ready = k->r.state == REMOTE_READY;
	while (k->first < k->end) {
		struct remote_taken *t = at(k, k->first);
		if (!t->through || (!t->gone && (t->stale || !ready))) return;
		if (!t->gone) {
			mqtt_encode_ack_plain(t->qos == 2 ? MQTT_PUBREC : MQTT_PUBACK, t->packet_id, remote_out(&k->r));
			if (t->qos == 2) bit_put(k, t->packet_id, true);
			k->untold--;
		}
		k->first++;
	}
}

void remote_pubrel(struct remote_source *k, const struct mqtt_ack *a) {
	struct mqtt_ack answer = {.packet_id = a->packet_id, .reason = MQTT_RC_SUCCESS};
	mqtt_props_init(&answer.props);
	if (!bit_get(k, a->packet_id)) answer.reason = MQTT_RC_PACKET_ID_NOT_FOUND;
	bit_put(k, a->packet_id, false);
	mqtt_encode_ack(MQTT_PUBCOMP, &answer, remote_version(&k->r), remote_out(&k->r));
}

void remote_connection_lost(struct remote_source *k) {
	for (uint64_t m = k->first; m < k->end; m++) at(k, m)->stale = !at(k, m)->gone;
}

void remote_session_lost(struct remote_source *k) {
	sl_free(k->released);
	k->released = NULL;
	for (uint64_t m = k->first; m < k->end; m++) {
		struct remote_taken *t = at(k, m);
		if (t->through && !t->gone) k->untold--;
		t->stale = false;
		t->gone = true;
	}
	remote_acks_send(k);
}

void remote_acks_fini(struct remote_source *k) {
	sl_free(k->taken);
	sl_free(k->released);
	k->taken = NULL;
	k->released = NULL;
}
