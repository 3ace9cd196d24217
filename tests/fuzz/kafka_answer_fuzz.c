/* kafka_answer_fuzz.c: any bytes as an answer of a Kafka broker: which request, which version, the answer. The check reads not a
 * byte beyond it, and says where it stopped believing. What comes in pieces is judged as what comes whole. */
#include <stdlib.h>
#include <string.h>

#include "kafka_answer.h"
#include "kafka_wire.h"
#include "log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put32(uint8_t *p, uint32_t v) {
	for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* As librdkafka would: the head, and the rest in two reads, the second into other memory. */
static bool by_wire(int api, int version, const uint8_t *body, size_t n) {
	uint8_t request[] = {0, 0, 0, 11, 0, (uint8_t)api, 0, (uint8_t)version, 0, 0, 0, 9, 0, 1, 'c'}, head[8];
	struct kafka_conf conf = {.client_id = (char[]){"c"}};
	struct kafka_client client = {.name = "fuzz", .conf = &conf};
	struct kafka_wire *w = kafka_wire_new("peer", &client);
	put32(head, (uint32_t)n + 4);
	put32(head + 4, 9);
	struct iovec asked = {request, sizeof request};
	kafka_wire_sent(w, &asked, 1, sizeof request);
	bool fine = kafka_wire_came(w, &(struct iovec){head, sizeof head}, 1, sizeof head);
	size_t half = n / 2;
	uint8_t *first = malloc(half + 1), *second = malloc(n - half + 1);
	if (!first || !second) abort();
	if (half) memcpy(first, body, half);
	if (n) memcpy(second, body + half, n - half);
	if (fine && half) fine = kafka_wire_came(w, &(struct iovec){first, half}, 1, half);
	if (fine && n > half) fine = kafka_wire_came(w, &(struct iovec){second, n - half}, 1, n - half);
	kafka_wire_free(w);
	kafka_client_fini(&client);
	free(first);
	free(second);
	return fine;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	if (size < 2) return 0;
	log_set_level(LOG_OFF);
	size_t n = size - 2;
	uint8_t *copy = malloc(n + !n); /* a block of this very size: reading beyond it is seen */
	if (!copy) return 0;
	memcpy(copy, data + 2, n);
	struct kafka_fault fault = {0};
	bool fine = kafka_answer_check(data[0], data[1], copy, n, &fault);
	if (!fine && (!fault.what || fault.at > n)) __builtin_trap();
	/* Of a Fetch nothing was asked for here, which the wire knows; kafka_fetch_fuzz.c. */
	bool told = data[0] < 100 ? by_wire(data[0], data[1], copy, n) : fine;
	if (told != fine && (told || data[0] != KAFKA_API_FETCH)) __builtin_trap();
	free(copy);
	return 0;
}
