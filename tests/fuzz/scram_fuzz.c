/* scram_fuzz.c: messages of a client that logs in with SCRAM, whatever they hold.
 *
 * Input: one byte (bit 0: the hash function), then messages apart by line breaks. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "auth_scram.h"
#include "utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool find(void *arg, struct sl_slice user, enum scram_hash hash, struct scram_keys *out) {
	(void)arg;
	(void)hash;
	if (user.n == 0 || !utf8_valid(user)) abort();
	*out = (struct scram_keys){.iterations = 4096, .salt_len = 16};
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	if (size == 0) return 0;
	struct sl_slice rest = slice_make((const char *)data + 1, size - 1);
	struct auth_scram *x = auth_scram_new(&(struct auth_scram_spec){
	    .hash = data[0] & 1 ? SCRAM_SHA_512 : SCRAM_SHA_256, .find = find, .nonce = SL_SLICE_LIT("nonce")});
	struct sl_buf out = SL_BUF_INIT;
	while (rest.p) /* who has no password never gets through */
		if (auth_scram_step(x, slice_next_part(&rest, '\n'), &out) == AUTH_SCRAM_DONE) abort();
	sl_buf_fini(&out);
	auth_scram_free(x);
	return 0;
}
