/* bench_topic.c: nanoseconds of what every publish passes through: decode, the message block, topic lookup, encode.
 * Prints one line a measurement: name, nanoseconds (best of five rounds), and what the figure is of. */
#include <stdio.h>
#include <time.h>

#include "mem.h"
#include "msg.h"
#include "rng.h"
#include "topic.h"
#include "topic_cache.h"
#include "topic_trie.h"

enum { FILTERS = 100000, TOPICS = 4096, PAYLOAD = 256 };

static struct sl_slice topics[TOPICS];
static struct topic_trie *trie;
static struct topic_cache *cache;
static struct sl_buf packet_v4, packet_v5, out;
static volatile uint64_t sink;

static uint64_t now_ns(void) {
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void report(const char *name, void (*run)(size_t), size_t times, const char *what) {
	double best = 1e9;
	for (int round = 0; round < 5; round++) {
		uint64_t start = now_ns();
		run(times);
		double ns = (double)(now_ns() - start) / (double)times;
		if (ns < best) best = ns;
	}
	printf("%-24s %8.1f ns  %s\n", name, best, what);
}

static void count_values(void *arg, uint32_t handle, const uint64_t *values, size_t count) {
	(void)handle;
	*(uint64_t *)arg += values[0] + count;
}

static void run_trie_match(size_t times) {
	uint64_t sum = 0;
	for (size_t i = 0; i < times; i++) topic_trie_match(trie, topics[i * 1031 % TOPICS], count_values, &sum);
	sink = sum;
}

static void run_cache_hit(size_t times) {
	uint64_t sum = 0;
	void *value;
	for (size_t i = 0; i < times; i++) {
		struct sl_slice t = topics[i & 255];
		sum += topic_cache_get(cache, topic_hash(t), t, 1, &value);
	}
	sink = sum;
}

static void run_plain_match(size_t times) {
	uint64_t sum = 0;
	for (size_t i = 0; i < times; i++)
		sum += topic_matches(SL_SLICE_LIT("factory/+/line7/+/telemetry"), topics[i & 255]);
	sink = sum;
}

static void decode(const struct sl_buf *packet, enum mqtt_version version, size_t times) {
	struct mqtt_frame f;
	struct mqtt_publish p;
	enum mqtt_reason reason;
	uint64_t sum = 0;
	for (size_t i = 0; i < times; i++) {
		if (mqtt_frame_next(sl_buf_slice(packet), 100000, &f, &reason)) return;
		if (mqtt_decode_publish(&f, version, MQTT_FROM_CLIENT, &p, &reason)) return;
		sum += p.payload.n;
	}
	sink = sum;
}

static void run_decode_v4(size_t times) { decode(&packet_v4, MQTT_V311, times); }
static void run_decode_v5(size_t times) { decode(&packet_v5, MQTT_V5, times); }

static struct msg *message(void) {
	static char payload[PAYLOAD];
	struct msg_spec spec = {
	    .topic = topics[0], .payload = slice_make(payload, PAYLOAD), .client_id = SL_SLICE_LIT("device-000123")};
	return msg_new(&spec);
}

static void run_msg_new(size_t times) {
	for (size_t i = 0; i < times; i++) msg_unref(message());
}

static void encode(enum mqtt_version version, uint8_t qos, size_t times) {
	struct msg *m = message();
	struct msg_delivery d = {.version = version, .qos = qos, .packet_id = 7, .expiry_left_s = MSG_NO_EXPIRY};
	for (size_t i = 0; i < times; i++) {
		if (out.n > 16000) sl_buf_clear(&out);
		msg_encode(m, &d, &out);
	}
	msg_unref(m);
}

static void run_encode_v4_q0(size_t times) { encode(MQTT_V311, 0, times); }
static void run_encode_v4_q1(size_t times) { encode(MQTT_V311, 1, times); }
static void run_encode_v5_q0(size_t times) { encode(MQTT_V5, 0, times); }

static void fill(void) {
	char text[96];
	for (uint64_t i = 0; i < FILTERS; i++) {
		snprintf(text, sizeof text, "factory/%u/line%u/+/sensor%u", (unsigned)(i % 100), (unsigned)(i % 1000),
			 (unsigned)i);
		topic_trie_insert(trie, slice_from_str(text), i + 1);
	}
	for (uint64_t i = 0; i < TOPICS; i++) {
		uint64_t n = sl_rng_below(FILTERS);
		snprintf(text, sizeof text, "factory/%u/line%u/asset%u/sensor%u", (unsigned)(n % 100),
			 (unsigned)(n % 1000), (unsigned)(n % 77), (unsigned)n);
		topics[i] = slice_from_str(sl_strdup(text));
	}
	for (size_t i = 0; i < 256; i++) topic_cache_put(cache, topic_hash(topics[i]), topics[i], 1, NULL);
	static char payload[PAYLOAD];
	struct mqtt_publish p = {.topic = topics[0], .payload = slice_make(payload, PAYLOAD)};
	mqtt_encode_publish(&p, MQTT_V311, &packet_v4);
	mqtt_encode_publish(&p, MQTT_V5, &packet_v5);
}

int main(void) {
	trie = topic_trie_new();
	cache = topic_cache_new(1024, NULL, NULL);
	fill();
	report("topic_trie_match", run_trie_match, 200000, "5 levels, 100,000 filters, 4,096 topics in turn");
	report("topic_cache hit", run_cache_hit, 2000000, "hash and lookup, 256 topics in turn");
	report("topic_matches", run_plain_match, 2000000, "one filter, no trie");
	report("decode publish 3.1.1", run_decode_v4, 2000000, "frame and view, 256-byte payload, QoS 0");
	report("decode publish 5", run_decode_v5, 2000000, "the same, no properties");
	report("msg_new + unref", run_msg_new, 2000000, "256-byte payload");
	report("msg_encode 3.1.1 QoS 0", run_encode_v4_q0, 2000000, "256-byte payload");
	report("msg_encode 3.1.1 QoS 1", run_encode_v4_q1, 2000000, "256-byte payload");
	report("msg_encode 5 QoS 0", run_encode_v5_q0, 2000000, "256-byte payload");
	printf("%-24s %8.1f bytes a filter\n", "topic_trie memory", (double)topic_trie_bytes(trie) / FILTERS);
	for (size_t i = 0; i < TOPICS; i++) sl_free((char *)(uintptr_t)topics[i].p);
	topic_trie_free(trie);
	topic_cache_free(cache);
	sl_buf_fini(&packet_v4);
	sl_buf_fini(&packet_v5);
	sl_buf_fini(&out);
	return 0;
}
