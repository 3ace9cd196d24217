/* ws_upgrade_fuzz.c: the first words of a WebSocket, of both sides. Whatever comes, there is one outcome: more is needed, and
 * then what is there is short; it is accepted, with a head that ends in an empty line; or it is refused, with an answer.
 *
 * Input: one byte (even: a request to the server, odd: an answer to the client), then what is on the wire. */
#include <stdint.h>
#include <stdlib.h>

#include "ws_upgrade.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_head(struct sl_slice in, size_t used) {
	if (used < 4 || used > in.n || used > WS_UPGRADE_MAX) abort();
	if (!slice_equal_str(slice_sub(in, used - 4, 4), "\r\n\r\n")) abort();
}

static void serve(struct sl_slice in) {
	static const char *const origins[] = {"https://one.example", NULL};
	const struct ws_upgrade_rules rules = {.path = "/mqtt", .origins = origins};
	struct sl_buf answer = SL_BUF_INIT;
	size_t used = 0;
	const char *why = NULL;
	int rc = ws_upgrade_serve(in, &rules, &answer, &used, &why);
	if (rc == SL_EAGAIN && (in.n >= WS_UPGRADE_MAX || answer.n > 0)) abort();
	if (rc == SL_OK) check_head(in, used);
	if (rc == SL_OK && !slice_starts_with(sl_buf_slice(&answer), SL_SLICE_LIT("HTTP/1.1 101 "))) abort();
	if (rc == SL_EDENIED && (!why || answer.n == 0)) abort();
	sl_buf_fini(&answer);
}

static void answered(struct sl_slice in) {
	struct sl_err err = SL_ERR_INIT;
	size_t used = 0;
	int rc = ws_upgrade_answered(in, "dGhlIHNhbXBsZSBub25jZQ==", &used, &err);
	if (rc == SL_EAGAIN && in.n >= WS_UPGRADE_MAX) abort();
	if (rc == SL_OK) check_head(in, used);
	if (rc == SL_EPROTOCOL && sl_err_text(&err)[0] == '\0') abort();
	sl_err_fini(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	if (size < 1) return 0;
	struct sl_slice in = slice_make(data + 1, size - 1);
	if (data[0] & 1)
		answered(in);
	else
		serve(in);
	return 0;
}
