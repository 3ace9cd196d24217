/* kafka_auth.c: see kafka_auth.h. */
#include "kafka_auth.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <time.h>

#include "clock.h"
#include "mem.h"
#include "sql_base64.h"

#define TOKEN_MAX 65536
#define IAM_SECONDS 900
#define IAM_SERVICE "kafka-cluster"

enum { DIGEST_BYTES = 32 };

void kafka_token_fini(struct kafka_token *t) {
	sl_buf_fini(&t->text);
	sl_free(t->principal);
	*t = (struct kafka_token){.text = SL_BUF_INIT};
}

/* ---- JSON web tokens. -------------------------------------------------------------------------------------------------- */

static json_t *claims_of(struct sl_slice token) {
	struct sl_slice rest = token;
	struct sl_buf text = SL_BUF_INIT;
	json_t *claims = NULL;
	(void)slice_next_part(&rest, '.');
	struct sl_slice middle = rest.p ? slice_next_part(&rest, '.') : SL_SLICE_EMPTY;
	if (rest.p && sql_base64_decode(middle, SQL_BASE64_URLSAFE | SQL_BASE64_NO_PADDING, &text) == SL_OK)
		claims = json_loadb(text.p ? text.p : "", text.n, 0, NULL);
	sl_buf_fini(&text);
	if (json_is_object(claims)) return claims;
	json_decref(claims);
	return NULL;
}

int kafka_token_read(struct sl_slice text, struct kafka_token *out, struct sl_err *err) {
	struct sl_slice token = slice_trim(text);
	json_t *claims = claims_of(token);
	*out = (struct kafka_token){.text = SL_BUF_INIT};
	if (!claims) return sl_err_set(err, SL_EMALFORMED, "there is no JSON web token in it");
	const json_t *until = json_object_get(claims, "exp");
	const char *who = json_string_value(json_object_get(claims, "sub"));
	double seconds = json_number_value(until);
	if (!json_is_number(until) || !(seconds > 0 && seconds < 1e12)) {
		json_decref(claims);
		return sl_err_set(err, SL_EMALFORMED, "the token in it does not say until when it is good (`exp`)");
	}
	out->until_ms = (int64_t)(seconds * 1000);
	out->principal = sl_strdup(who ? who : "sluice");
	sl_buf_append_slice(&out->text, token);
	json_decref(claims);
	return SL_OK;
}

static int token_load(const char *path, struct kafka_token *out, struct sl_err *err) {
	char *text = sl_alloc(TOKEN_MAX);
	FILE *f = fopen(path, "rbe");
	size_t n = f ? fread(text, 1, TOKEN_MAX, f) : 0;
	if (f) fclose(f);
	int r =
	    f ? kafka_token_read(slice_make(text, n), out, err) : sl_err_set(err, SL_EIO, "the file cannot be read");
	if (r == SL_OK && out->until_ms <= sl_clock_wall_ms()) {
		kafka_token_fini(out);
		r = sl_err_set(err, SL_EDENIED, "the token in it has run out; put a new one there");
	}
	sl_free(text);
	return r == SL_OK ? r : sl_err_prefix(err, "sasl.token_file %s", path);
}

/* ---- AWS Signature Version 4: https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html --------- */

static void percent(struct sl_buf *out, const char *text) {
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
			     c == '_' || c == '.' || c == '~';
		if (plain)
			sl_buf_put(out, (char)c);
		else
			sl_buf_printf(out, "%%%02X", c);
	}
}

static void hex(struct sl_buf *out, const unsigned char *bytes) {
	for (size_t i = 0; i < DIGEST_BYTES; i++) sl_buf_printf(out, "%02x", bytes[i]);
}

static void digest_hex(struct sl_slice text, struct sl_buf *out) {
	unsigned char digest[EVP_MAX_MD_SIZE];
	sl_assert(EVP_Digest(text.p ? text.p : "", text.n, digest, NULL, EVP_sha256(), NULL) == 1);
	hex(out, digest);
}

static void hmac(const void *key, size_t key_n, struct sl_slice text, unsigned char *out) {
	unsigned n = 0;
	sl_assert(HMAC(EVP_sha256(), key, (int)key_n, (const unsigned char *)text.p, text.n, out, &n) != NULL);
}

static void signature(const struct kafka_sasl_conf *sasl, struct sl_slice day, struct sl_slice to_sign,
		      struct sl_buf *out) {
	unsigned char key[EVP_MAX_MD_SIZE];
	char *secret = sl_asprintf("AWS4%s", sasl->secret_key);
	hmac(secret, strlen(secret), day, key);
	hmac(key, DIGEST_BYTES, slice_from_str(sasl->region), key);
	hmac(key, DIGEST_BYTES, SL_SLICE_LIT(IAM_SERVICE), key);
	hmac(key, DIGEST_BYTES, SL_SLICE_LIT("aws4_request"), key);
	hmac(key, DIGEST_BYTES, to_sign, key);
	hex(out, key);
	OPENSSL_cleanse(secret, strlen(secret));
	sl_free(secret);
}

void kafka_token_sign(const struct kafka_sasl_conf *sasl, int64_t now_ms, struct kafka_token *out) {
	struct sl_buf query = SL_BUF_INIT, request = SL_BUF_INIT, to_sign = SL_BUF_INIT, url = SL_BUF_INIT;
	char stamp[32];
	time_t now = (time_t)(now_ms / 1000);
	struct tm tm;
	sl_assert(gmtime_r(&now, &tm));
	(void)strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &tm);
	char *scope = sl_asprintf("%.8s/%s/" IAM_SERVICE "/aws4_request", stamp, sasl->region);
	char *credential = sl_asprintf("%s/%s", sasl->access_key, scope);

	sl_buf_append_str(&query, "Action=kafka-cluster%3AConnect&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=");
	percent(&query, credential);
	sl_buf_printf(&query, "&X-Amz-Date=%s&X-Amz-Expires=%d", stamp, IAM_SECONDS);
	if (sasl->session_token && sasl->session_token[0]) {
		sl_buf_append_str(&query, "&X-Amz-Security-Token=");
		percent(&query, sasl->session_token);
	}
	sl_buf_append_str(&query, "&X-Amz-SignedHeaders=host");

	sl_buf_printf(&request, "GET\n/\n%s\nhost:kafka.%s.amazonaws.com\n\nhost\n", sl_buf_cstr(&query), sasl->region);
	digest_hex(SL_SLICE_EMPTY, &request);
	sl_buf_printf(&to_sign, "AWS4-HMAC-SHA256\n%s\n%s\n", stamp, scope);
	digest_hex(sl_buf_slice(&request), &to_sign);

	sl_buf_printf(&url, "https://kafka.%s.amazonaws.com/?%s&X-Amz-Signature=", sasl->region, sl_buf_cstr(&query));
	signature(sasl, slice_make(stamp, 8), sl_buf_slice(&to_sign), &url);
	sl_buf_append_str(&url, "&User-Agent=sluice"); /* MSK wants one, outside of what is signed */

	*out = (struct kafka_token){
	    .text = SL_BUF_INIT, .until_ms = now_ms + IAM_SECONDS * 1000, .principal = sl_strdup(sasl->access_key)};
	sql_base64_encode(sl_buf_slice(&url), SQL_BASE64_URLSAFE | SQL_BASE64_NO_PADDING, &out->text);
	sl_buf_fini(&query);
	sl_buf_fini(&request);
	sl_buf_fini(&to_sign);
	sl_buf_fini(&url);
	sl_free(scope);
	sl_free(credential);
}

/* ---- Answering librdkafka. ------------------------------------------------------------------------------------------------ */

static int token_make(const struct kafka_sasl_conf *sasl, struct kafka_token *out, struct sl_err *err) {
	if (sasl->mechanism == KAFKA_AWS_MSK_IAM) {
		kafka_token_sign(sasl, sl_clock_wall_ms(), out);
		return SL_OK;
	}
	if (sasl->token_file) return token_load(sasl->token_file, out, err);
	return sl_err_set(err, SL_EUNSUPPORTED, "no token is configured");
}

/* "a=1,b=2" to {"a", "1", "b", "2"}; the count of strings. */
static size_t extensions_split(const char *text, char ***out) {
	size_t n = 0, cap = 0;
	char **list = NULL;
	for (struct sl_slice rest = slice_from_str(text ? text : ""); rest.p && text;) {
		struct sl_slice value = slice_next_part(&rest, ','), name = slice_next_part(&value, '=');
		if (name.n == 0 || !value.p) continue;
		for (int i = 0; i < 2; i++) {
			SL_GROW(list, n, cap);
			list[n++] = slice_dup(slice_trim(i == 0 ? name : value));
		}
	}
	*out = list;
	return n;
}

void kafka_auth_refresh(const struct kafka_conf *conf, rd_kafka_t *rk) {
	struct sl_err err = SL_ERR_INIT;
	struct kafka_token token = {.text = SL_BUF_INIT};
	char text[256], **extensions;
	size_t n = extensions_split(conf->sasl.extensions, &extensions);
	if (token_make(&conf->sasl, &token, &err) != SL_OK)
		(void)rd_kafka_oauthbearer_set_token_failure(rk, sl_err_text(&err));
	else if (rd_kafka_oauthbearer_set_token(rk, sl_buf_cstr(&token.text), token.until_ms, token.principal,
						(const char **)extensions, n, text,
						sizeof text) != RD_KAFKA_RESP_ERR_NO_ERROR)
		(void)rd_kafka_oauthbearer_set_token_failure(rk, text);
	for (size_t i = 0; i < n; i++) sl_free(extensions[i]);
	sl_free(extensions);
	kafka_token_fini(&token);
	sl_err_fini(&err);
}
