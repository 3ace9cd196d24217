/* jwt_fuzz.c: bytes as a token, as a set of keys, and as a text with placeholders: the first says which. Nobody here has signed anything,
 * so that no token may be taken but those of the key whose secret the seeds know. */
#include <string.h>

#include "auth_text.h"
#include "jwt.h"
#include "mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_token(const struct jwt_keys *keys, struct sl_slice token) {
	json_t *claims;
	struct sl_err err = SL_ERR_INIT;
	int rc = jwt_verify(keys, token, &claims, &err);
	sl_assert((rc == SL_OK) == (claims != NULL));
	sl_assert(rc != SL_OK || (json_is_object(claims) && jwt_is_token(token)));
	json_t *peeked = jwt_peek(token);
	sl_assert(rc != SL_OK || json_equal(claims, peeked));
	if (peeked) (void)jwt_claim(peeked, "a.b.c");
	json_decref(peeked);
	json_decref(claims);
	sl_err_fini(&err);
}

static void try_text(struct sl_slice text) {
	struct auth_text *t;
	struct sl_err err = SL_ERR_INIT;
	struct sl_buf out = SL_BUF_INIT;
	const struct auth_request r = {.clientid = SL_SLICE_LIT("c"), .peer = SL_SLICE_LIT("[::1]:5"), .version = 5};
	if (auth_text_new(text, &t, &err) == SL_OK) {
		(void)auth_text_write(t, &r, &out);
		auth_text_free(t);
	}
	sl_buf_fini(&out);
	sl_err_fini(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	static struct jwt_keys *keys;
	if (size == 0) return 0;
	if (!keys && jwt_keys_from_secret(SL_SLICE_LIT("secret"), &keys, NULL) != SL_OK) return 0;
	struct sl_slice rest = slice_make(data + 1, size - 1);
	if (data[0] == 'k') {
		struct jwt_keys *set;
		if (jwt_keys_from_jwks(rest, true, &set, NULL) == SL_OK) {
			try_token(set, SL_SLICE_LIT("eyJhbGciOiJSUzI1NiJ9.e30.AAAA"));
			try_token(
			    set,
			    SL_SLICE_LIT("eyJhbGciOiJFUzI1NiJ9.e30."
					 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
					 "AAAAA"));
			jwt_keys_unref(set);
		}
	} else if (data[0] == 't')
		try_text(rest);
	else
		try_token(keys, rest);
	return 0;
}
