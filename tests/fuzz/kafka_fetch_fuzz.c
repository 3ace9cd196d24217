/* kafka_fetch_fuzz.c: any bytes as a Fetch and its answer: the version, how long the request is, the request, the answer. The check
 * reads not a byte beyond either, and changes nothing but the errors of partitions. */
#include <stdlib.h>
#include <string.h>

#include "kafka_fetch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A block of this very size: reading beyond it is seen. */
static uint8_t *block(const uint8_t *p, size_t n) {
	uint8_t *copy = malloc(n + !n);
	if (!copy) abort();
	if (n) memcpy(copy, p, n);
	return copy;
}

static void look(int version, struct sl_slice request, const uint8_t *p, size_t n, bool may_mark) {
	struct kafka_damage damage;
	struct kafka_fault fault = {.what = NULL};
	uint8_t *answer = block(p, n);
	size_t changed = 0;
	bool fine = kafka_fetch_check(version, request, answer, n, may_mark, &damage, &fault);
	for (size_t i = 0; i < n; i++) changed += answer[i] != p[i];
	if (fine == (fault.what != NULL) || (!fine && fault.at > n)) abort();
	if (changed > 0 && !may_mark) abort();
	if (fine && changed > 0 && !damage.what) abort();
	free(answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	if (size < 3) return 0;
	size_t asked = (size_t)data[1] << 8 | data[2];
	if (asked > size - 3) asked = size - 3;
	uint8_t *request = block(data + 3, asked);
	look(data[0] % (KAFKA_FETCH_VERSIONS + 1), slice_make(request, asked), data + 3 + asked, size - 3 - asked,
	     true);
	look(data[0] % (KAFKA_FETCH_VERSIONS + 1), slice_make(request, asked), data + 3 + asked, size - 3 - asked,
	     false);
	free(request);
	return 0;
}
