/* mqtt_fuzz.c: frame and decode whatever comes, as either side and in each version; what decodes is encoded again and
 * must decode to the same bytes once more.
 *
 * Input: one byte (bits 0-1 version, bit 2 sender), then a stream of packets. */
#include <stdint.h>
#include <stdlib.h>

#include "mqtt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk_props(const struct mqtt_props *p) {
	struct mqtt_prop_item it;
	uint32_t users = 0;
	for (struct sl_slice rest = p->raw; mqtt_props_next(&rest, &it);) users += it.prop == MQTT_PROP_USER_PROPERTY;
	if (users != p->user_count) abort();
}

static void walk_packet(const struct mqtt_packet *p, enum mqtt_version version) {
	uint32_t count = 0;
	struct mqtt_sub_entry e;
	struct sl_slice filter;
	if (p->type == MQTT_PUBLISH) walk_props(&p->publish.props);
	if (p->type == MQTT_CONNECT) walk_props(&p->connect.will.props);
	if (p->type == MQTT_SUBSCRIBE) {
		for (struct sl_slice rest = p->subscribe.entries; mqtt_subscribe_next(&rest, version, &e);) count++;
		if (count != p->subscribe.count) abort();
	}
	if (p->type == MQTT_UNSUBSCRIBE) {
		for (struct sl_slice rest = p->subscribe.entries; mqtt_unsubscribe_next(&rest, &filter);) count++;
		if (count != p->subscribe.count) abort();
	}
}

/* Encoding may choose a shorter form than the one that came, but encodes its own output to the same bytes. */
static void round_trip(const struct mqtt_packet *p, enum mqtt_version version, enum mqtt_sender sender) {
	struct sl_buf first = SL_BUF_INIT, second = SL_BUF_INIT;
	struct mqtt_frame f;
	struct mqtt_packet again;
	enum mqtt_reason reason;
	mqtt_encode(p, version, &first);
	if (mqtt_frame_next(sl_buf_slice(&first), SIZE_MAX, &f, &reason) != SL_OK) abort();
	if (f.size != first.n) abort();
	if (mqtt_decode(&f, version, sender, &again, &reason) != SL_OK) abort();
	mqtt_encode(&again, version, &second);
	if (!slice_equal(sl_buf_slice(&first), sl_buf_slice(&second))) abort();
	sl_buf_fini(&first);
	sl_buf_fini(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	static const enum mqtt_version versions[] = {MQTT_V311, MQTT_V5, MQTT_V31, MQTT_V5};
	if (size < 1) return 0;
	enum mqtt_version version = versions[data[0] & 3];
	enum mqtt_sender sender = data[0] & 4 ? MQTT_FROM_SERVER : MQTT_FROM_CLIENT;
	struct sl_slice in = slice_make(data + 1, size - 1);
	struct mqtt_frame f;
	struct mqtt_packet p;
	enum mqtt_reason reason = MQTT_RC_SUCCESS;
	while (mqtt_frame_next(in, 1 << 20, &f, &reason) == SL_OK) {
		int rc = mqtt_decode(&f, version, sender, &p, &reason);
		if (rc != SL_OK && reason < MQTT_RC_UNSPECIFIED) abort();
		if (rc == SL_OK) {
			enum mqtt_version spoken = p.type == MQTT_CONNECT ? p.connect.version : version;
			walk_packet(&p, spoken);
			round_trip(&p, spoken, sender);
		}
		in = slice_from(in, f.size);
	}
	return 0;
}
