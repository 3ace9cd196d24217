/* mqtt_client_test.c: the client against a broker of a few lines that loses its connection on purpose. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mem.h"
#include "mqtt_client.h"

enum { NUMBERS = 200 };

/* What the broker is to do, and what it saw. Read by the test after the thread ended. */
struct fake {
	int listener;
	uint16_t port;
	enum mqtt_version version;
	int connections;   /* how many to serve */
	int hang_up_after; /* publishes of the first connection; these are taken, but not acknowledged */
	enum mqtt_reason connack;
	pthread_t thread;
	int times_seen[NUMBERS]; /* by number in the payload */
	int dups, pubrels;
};

static bool take_packet(int fd, struct sl_buf *in, enum mqtt_version version, struct mqtt_packet *out, size_t *size) {
	struct mqtt_frame f;
	enum mqtt_reason reason;
	while (mqtt_frame_next(sl_buf_slice(in), 1 << 20, &f, &reason) != SL_OK) {
		sl_buf_grow(in, 4096);
		ssize_t n = recv(fd, in->p + in->n, in->cap - in->n, 0);
		if (n <= 0) return false;
		in->n += (size_t)n;
	}
	*size = f.size;
	return mqtt_decode(&f, version, MQTT_FROM_CLIENT, out, &reason) == SL_OK;
}

static void see_publish(struct fake *b, const struct mqtt_publish *p, struct sl_buf *out) {
	int64_t number = 0;
	if (slice_to_i64(p->payload, &number) == 0 && number < NUMBERS) b->times_seen[number]++;
	b->dups += p->dup;
	if (p->qos) mqtt_encode_ack_plain(p->qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, p->packet_id, out);
}

static void answer(struct fake *b, const struct mqtt_packet *p, struct sl_buf *out) {
	struct mqtt_connack connack = {.reason = b->connack};
	struct mqtt_publish twice = {
	    .qos = 2, .packet_id = 9, .topic = SL_SLICE_LIT("t"), .payload = SL_SLICE_LIT("x")};
	if (p->type == MQTT_CONNECT) mqtt_encode_connack(&connack, b->version, out);
	if (p->type == MQTT_PUBLISH) see_publish(b, &p->publish, out);
	if (p->type == MQTT_PINGREQ) mqtt_encode_ping(MQTT_PINGRESP, out);
	if (p->type == MQTT_PUBREL) {
		b->pubrels++;
		mqtt_encode_ack_plain(MQTT_PUBCOMP, p->ack.packet_id, out);
	}
	if (p->type == MQTT_SUBSCRIBE) {
		struct mqtt_suback s = {.packet_id = p->subscribe.packet_id, .codes = slice_make("\2", 1)};
		mqtt_encode_suback(MQTT_SUBACK, &s, b->version, out);
		mqtt_encode_publish(&twice, b->version, out);
		mqtt_encode_publish(&twice, b->version, out);
	}
}

static void serve(struct fake *b, int fd, bool first) {
	struct sl_buf in = SL_BUF_INIT, out = SL_BUF_INIT;
	struct mqtt_packet p;
	size_t size;
	int publishes = 0;
	while (take_packet(fd, &in, b->version, &p, &size)) {
		publishes += p.type == MQTT_PUBLISH;
		bool over = first && b->hang_up_after && publishes > b->hang_up_after;
		answer(b, &p, &out);
		sl_buf_consume(&in, size);
		if (over) break;
		if (send(fd, out.p, out.n, MSG_NOSIGNAL) < 0) break;
		sl_buf_clear(&out);
	}
	sl_buf_fini(&in);
	sl_buf_fini(&out);
	close(fd);
}

static void *fake_main(void *arg) {
	struct fake *b = arg;
	for (int i = 0; i < b->connections; i++) {
		int fd = accept(b->listener, NULL, NULL);
		if (fd >= 0) serve(b, fd, i == 0);
	}
	return NULL;
}

static void fake_start(struct fake *b) {
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof at;
	b->listener = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(b->listener, (struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(listen(b->listener, 5), 0);
	getsockname(b->listener, (struct sockaddr *)&at, &len);
	b->port = ntohs(at.sin_port);
	assert_int_equal(pthread_create(&b->thread, NULL, fake_main, b), 0);
}

static void fake_stop(struct fake *b) {
	pthread_join(b->thread, NULL);
	close(b->listener);
}

static struct mqtt_client_conf conf_for(const struct fake *b) {
	return (struct mqtt_client_conf){.target = {.host = "127.0.0.1", .port = b->port},
					 .version = b->version,
					 .clean_start = true,
					 .keep_alive_s = 60,
					 .timeout_ms = 5000,
					 .window = 10};
}

/* Publishes all numbers, connecting again whenever the connection is gone. */
static void publish_numbers(struct mqtt_client *c, uint8_t qos) {
	assert_int_equal(mqtt_client_connect(c, NULL), SL_OK);
	for (int i = 0; i < NUMBERS; i++) {
		char text[16];
		int n = snprintf(text, sizeof text, "%d", i);
		struct mqtt_publish p = {
		    .qos = qos, .topic = SL_SLICE_LIT("t"), .payload = slice_make(text, (size_t)n)};
		while (mqtt_client_publish(c, &p, NULL) != SL_OK) assert_int_equal(mqtt_client_connect(c, NULL), SL_OK);
	}
	while (mqtt_client_drain(c, NULL) != SL_OK) assert_int_equal(mqtt_client_connect(c, NULL), SL_OK);
	mqtt_client_close(c);
}

static void lose_and_resend(enum mqtt_version version, uint8_t qos) {
	struct fake b = {.version = version, .connections = 2, .hang_up_after = 57};
	struct mqtt_client_stats s;
	fake_start(&b);
	struct mqtt_client_conf conf = conf_for(&b);
	struct mqtt_client *c = mqtt_client_new(&conf);
	publish_numbers(c, qos);
	fake_stop(&b);
	for (int i = 0; i < NUMBERS; i++) assert_true(b.times_seen[i] >= 1);
	mqtt_client_stats(c, &s);
	assert_int_equal(s.sent, NUMBERS);
	assert_int_equal(s.acknowledged, NUMBERS);
	assert_int_equal(s.connects, 2);
	assert_true(s.resent >= 1 && s.resent <= 10);
	assert_int_equal(b.dups, s.resent);
	mqtt_client_free(c);
}

static void test_mqtt_client__qos_1_misses_nothing_after_a_lost_connection(void **state) {
	(void)state;
	lose_and_resend(MQTT_V311, 1);
	lose_and_resend(MQTT_V5, 1);
}

static void test_mqtt_client__qos_2_misses_nothing_after_a_lost_connection(void **state) {
	(void)state;
	lose_and_resend(MQTT_V311, 2);
	lose_and_resend(MQTT_V5, 2);
}

static void test_mqtt_client__a_refused_connection_says_why(void **state) {
	(void)state;
	struct fake b = {.version = MQTT_V5, .connections = 1, .connack = MQTT_RC_NOT_AUTHORIZED};
	struct sl_err err = SL_ERR_INIT;
	fake_start(&b);
	struct mqtt_client_conf conf = conf_for(&b);
	struct mqtt_client *c = mqtt_client_new(&conf);
	assert_int_equal(mqtt_client_connect(c, &err), SL_EDENIED);
	assert_non_null(strstr(sl_err_text(&err), "Not authorized"));
	assert_false(mqtt_client_connected(c));
	fake_stop(&b);
	mqtt_client_free(c);
	sl_err_fini(&err);
}

static void count_message(void *arg, const struct mqtt_publish *p) {
	assert_true(slice_equal_str(p->topic, "t"));
	(*(int *)arg)++;
}

static void test_mqtt_client__qos_2_is_received_once(void **state) {
	(void)state;
	struct fake b = {.version = MQTT_V311, .connections = 1};
	int messages = 0;
	fake_start(&b);
	struct mqtt_client_conf conf = conf_for(&b);
	conf.on_message = count_message;
	conf.arg = &messages;
	struct mqtt_client *c = mqtt_client_new(&conf);
	assert_int_equal(mqtt_client_connect(c, NULL), SL_OK);
	assert_int_equal(mqtt_client_subscribe(c, "t", 2, NULL), SL_OK);
	for (int i = 0; i < 5; i++) assert_int_equal(mqtt_client_poll(c, 20, NULL), SL_OK);
	assert_int_equal(messages, 1);
	mqtt_client_close(c);
	fake_stop(&b);
	mqtt_client_free(c);
}

static void test_mqtt_client__nobody_listening_is_an_error(void **state) {
	(void)state;
	struct sl_err err = SL_ERR_INIT;
	struct mqtt_client_conf conf = {
	    .target = {.host = "127.0.0.1", .port = 1}, .version = MQTT_V5, .timeout_ms = 1000, .window = 1};
	struct mqtt_client *c = mqtt_client_new(&conf);
	assert_int_equal(mqtt_client_connect(c, &err), SL_ESYSTEM);
	assert_non_null(strstr(sl_err_text(&err), "127.0.0.1:1"));
	assert_int_equal(mqtt_client_poll(c, 0, &err), SL_ECLOSED);
	mqtt_client_free(c);
	sl_err_fini(&err);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_mqtt_client__qos_1_misses_nothing_after_a_lost_connection),
	    cmocka_unit_test(test_mqtt_client__qos_2_misses_nothing_after_a_lost_connection),
	    cmocka_unit_test(test_mqtt_client__a_refused_connection_says_why),
	    cmocka_unit_test(test_mqtt_client__qos_2_is_received_once),
	    cmocka_unit_test(test_mqtt_client__nobody_listening_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
