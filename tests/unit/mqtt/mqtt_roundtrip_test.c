/* mqtt_roundtrip_test.c: random packets are encoded and come back the same; random damage never passes unnoticed into
 * a view that points outside the packet (the sanitizers watch). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mem.h"
#include "mqtt.h"
#include "rng.h"

static struct sl_slice random_text(void) {
	static const char *const texts[] = {"a", "factory/line/1", "", "gr\xc3\xbc\xc3\x9f", "x y z", "client-1"};
	return slice_from_str(texts[sl_rng_below(SL_ARRAY_LEN(texts))]);
}

static uint32_t random_number(enum mqtt_prop prop) {
	uint64_t below = mqtt_prop_type(prop) == MQTT_TYPE_BOOL ? 1 : 60000;
	return (uint32_t)(1 + sl_rng_below(below));
}

/* Each property that may stand there, with even odds. */
static void put_random_props(struct sl_buf *out, enum mqtt_where where) {
	static const uint32_t allowed[MQTT_PROP_COUNT] = {
#define MQTT_PROP(name, id, text, type, packets, repeatable) [MQTT_PROP_##name] = (packets),
#include "mqtt_tbl.h"
#undef MQTT_PROP
	};
	for (enum mqtt_prop p = 0; p < MQTT_PROP_COUNT; p++) {
		if ((allowed[p] >> where & 1) == 0 || sl_rng_below(2)) continue;
		if (p == MQTT_PROP_AUTH_DATA) continue; /* needs a method */
		switch (mqtt_prop_type(p)) {
		case MQTT_TYPE_BOOL:
		case MQTT_TYPE_U16:
		case MQTT_TYPE_U32:
		case MQTT_TYPE_VARINT: mqtt_put_num(out, p, random_number(p)); break;
		case MQTT_TYPE_STRING:
		case MQTT_TYPE_BINARY: mqtt_put_bytes(out, p, SL_SLICE_LIT("text")); break;
		case MQTT_TYPE_PAIR:
			mqtt_put_user(out, random_text(), random_text());
			mqtt_put_user(out, random_text(), random_text());
			break;
		}
	}
}

static struct sl_buf props_a, props_b, entries;

static uint16_t random_id(void) { return (uint16_t)(1 + sl_rng_below(65535)); }

static void random_connect(struct mqtt_connect *c, enum mqtt_version version) {
	c->version = version;
	c->clean_start = sl_rng_below(2);
	c->keep_alive_s = random_id();
	c->client_id = random_text();
	c->has_will = sl_rng_below(2);
	c->has_username = sl_rng_below(2);
	c->has_password = c->has_username && sl_rng_below(2);
	if (c->has_username) c->username = random_text();
	if (c->has_password) c->password = random_text();
	put_random_props(&props_a, MQTT_WHERE_CONNECT);
	c->props.raw = sl_buf_slice(&props_a);
	if (!c->has_will) return;
	c->will.qos = (uint8_t)sl_rng_below(3);
	c->will.retain = sl_rng_below(2);
	c->will.topic = SL_SLICE_LIT("will/topic");
	c->will.payload = random_text();
	put_random_props(&props_b, MQTT_WHERE_WILL);
	c->will.props.raw = sl_buf_slice(&props_b);
}

static void random_publish(struct mqtt_publish *p) {
	p->qos = (uint8_t)sl_rng_below(3);
	p->retain = sl_rng_below(2);
	p->dup = p->qos && sl_rng_below(2);
	p->packet_id = p->qos ? random_id() : 0;
	p->topic = SL_SLICE_LIT("a/topic");
	p->payload = random_text();
	put_random_props(&props_a, MQTT_WHERE_PUBLISH_DOWN);
	p->props.raw = sl_buf_slice(&props_a);
}

static void random_subscribe(struct mqtt_subscribe *s) {
	s->packet_id = random_id();
	s->count = (uint32_t)(1 + sl_rng_below(4));
	for (uint32_t i = 0; i < s->count; i++) {
		struct mqtt_sub_entry e = {.filter = SL_SLICE_LIT("f/+/#"), .qos = (uint8_t)sl_rng_below(3)};
		mqtt_put_sub_entry(&entries, &e);
	}
	s->entries = sl_buf_slice(&entries);
	put_random_props(&props_a, MQTT_WHERE_SUBSCRIBE);
	s->props.raw = sl_buf_slice(&props_a);
}

static enum mqtt_sender random_packet(struct mqtt_packet *p, enum mqtt_version version) {
	sl_buf_clear(&props_a);
	sl_buf_clear(&props_b);
	sl_buf_clear(&entries);
	memset(p, 0, sizeof *p);
	switch (sl_rng_below(5)) {
	case 0:
		p->type = MQTT_CONNECT;
		random_connect(&p->connect, version);
		return MQTT_FROM_CLIENT;
	case 1:
		p->type = MQTT_PUBLISH;
		random_publish(&p->publish);
		return MQTT_FROM_SERVER;
	case 2:
		p->type = MQTT_SUBSCRIBE;
		random_subscribe(&p->subscribe);
		return MQTT_FROM_CLIENT;
	case 3:
		p->type = MQTT_PUBREC;
		p->ack.packet_id = random_id();
		p->ack.reason = version == MQTT_V5 && sl_rng_below(2) ? MQTT_RC_QUOTA_EXCEEDED : MQTT_RC_SUCCESS;
		put_random_props(&props_a, MQTT_WHERE_PUBREC);
		p->ack.props.raw = sl_buf_slice(&props_a);
		return MQTT_FROM_SERVER;
	default:
		p->type = MQTT_SUBACK;
		p->suback.packet_id = random_id();
		p->suback.codes = slice_make("\0\1\2", 3);
		put_random_props(&props_a, MQTT_WHERE_SUBACK);
		p->suback.props.raw = sl_buf_slice(&props_a);
		return MQTT_FROM_SERVER;
	}
}

static void test_roundtrip__random_packets_come_back(void **state) {
	(void)state;
	struct sl_buf first = SL_BUF_INIT, second = SL_BUF_INIT;
	for (int i = 0; i < 20000; i++) {
		enum mqtt_version version = sl_rng_below(2) ? MQTT_V5 : MQTT_V311;
		struct mqtt_packet p, back;
		struct mqtt_frame f;
		enum mqtt_reason reason;
		enum mqtt_sender sender = random_packet(&p, version);
		sl_buf_clear(&first);
		sl_buf_clear(&second);
		mqtt_encode(&p, version, &first);
		assert_int_equal(mqtt_frame_next(sl_buf_slice(&first), SIZE_MAX, &f, &reason), SL_OK);
		assert_int_equal(f.size, first.n);
		assert_int_equal(mqtt_decode(&f, version, sender, &back, &reason), SL_OK);
		assert_int_equal(back.type, p.type);
		mqtt_encode(&back, version, &second);
		assert_true(slice_equal(sl_buf_slice(&first), sl_buf_slice(&second)));
	}
	sl_buf_fini(&first);
	sl_buf_fini(&second);
}

static void test_roundtrip__damage_is_refused_or_harmless(void **state) {
	(void)state;
	struct sl_buf b = SL_BUF_INIT;
	for (int i = 0; i < 20000; i++) {
		enum mqtt_version version = sl_rng_below(2) ? MQTT_V5 : MQTT_V311;
		struct mqtt_packet p;
		struct mqtt_frame f;
		enum mqtt_reason reason = MQTT_RC_SUCCESS;
		enum mqtt_sender sender = random_packet(&p, version);
		sl_buf_clear(&b);
		mqtt_encode(&p, version, &b);
		b.p[sl_rng_below(b.n)] = (char)sl_rng_below(256);
		/* A copy of exactly that size, so that one byte too far is seen. */
		char *exact = sl_alloc(b.n);
		memcpy(exact, b.p, b.n);
		int rc = mqtt_frame_next(slice_make(exact, b.n), 100000, &f, &reason);
		if (rc == SL_OK) rc = mqtt_decode(&f, version, sender, &p, &reason);
		if (rc != SL_OK && rc != SL_EAGAIN) assert_true(reason >= MQTT_RC_UNSPECIFIED);
		sl_free(exact);
	}
	sl_buf_fini(&b);
}

static int fini(void **state) {
	(void)state;
	sl_buf_fini(&props_a);
	sl_buf_fini(&props_b);
	sl_buf_fini(&entries);
	return 0;
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_roundtrip__random_packets_come_back),
	    cmocka_unit_test(test_roundtrip__damage_is_refused_or_harmless),
	};
	return cmocka_run_group_tests(tests, NULL, fini);
}
