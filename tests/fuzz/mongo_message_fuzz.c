/* mongo_message_fuzz.c: any bytes as a message of a MongoDB server. What passes the check can be read to its end. */
#include <bson/bson.h>
#include <stdlib.h>
#include <string.h>

#include "mongo_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	if (size < 4 || mongo_message_length(data) != size) return 0;
	uint8_t *copy = malloc(size); /* a block of this very size: reading beyond it is seen */
	if (!copy) return 0;
	memcpy(copy, data, size);
	bson_t doc;
	bson_iter_t at;
	if (mongo_message_check(copy, size, true) && copy[12] == 0xdd &&
	    copy[20] == 0) { /* OP_MSG, its first section a document */
		uint32_t n;
		memcpy(&n, copy + 21, sizeof n);
		if (!bson_init_static(&doc, copy + 21, n) || !bson_iter_init(&at, &doc)) __builtin_trap();
		char *json = bson_as_canonical_extended_json(&doc, NULL);
		while (bson_iter_next(&at)) continue;
		bson_free(json);
	}
	free(copy);
	return 0;
}
