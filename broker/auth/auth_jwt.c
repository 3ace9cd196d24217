/* auth_jwt.c: the link of the chain that takes a JSON Web Token in the place of a password (jwt.h has the signatures, auth_jwks.h the
 * keys). What the token claims becomes the client's identity.
 *
 * Passed on is what is no token, and a token of another issuer than those of `issuer`: so several such links can stand in a row. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <unistd.h>

#include "auth_env.h"
#include "auth_jwks.h"
#include "auth_link_kind.h"
#include "auth_text.h"
#include "clock.h"
#include "log.h"
#include "mem.h"
#include "schema.h"

enum { KEY_FILE_MAX = 1024 * 1024 };
enum token_from { FROM_PASSWORD, FROM_USERNAME };

struct jwt_settings {
	int from; /* enum token_from */
	char *secret, *public_key, *jwks_file, *jwks_url;
	struct tls_client_conf tls;
	int64_t refresh_ms, timeout_ms, leeway_ms;
	struct conf_list issuer, audience;
	struct conf_map verify, attributes;
	bool secret_base64, require_exp, disconnect;
	char *username_claim, *superuser_claim, *acl_claim, *attributes_claim;
};

struct claim_rule {
	char *claim;
	struct auth_text *text;
};

struct auth_jwt {
	struct auth_backend base;
	struct auth_jwks *jwks;
	enum token_from from;
	int64_t leeway_ms;
	struct conf_list issuer, audience;
	struct claim_rule *verify;
	size_t verify_len;
	struct conf_map attributes;
	bool require_exp, disconnect;
	char *username_claim, *superuser_claim, *acl_claim, *attributes_claim;
};

/* ---- claims ---------------------------------------------------------------------------------------------- */

static bool is_text(const json_t *v, struct sl_slice text) {
	return json_is_string(v) && slice_equal(slice_make(json_string_value(v), json_string_length(v)), text);
}

/* The value itself, or one of a list. */
static bool has_text(const json_t *v, struct sl_slice text) {
	if (is_text(v, text)) return true;
	for (size_t i = 0; i < json_array_size(v); i++)
		if (is_text(json_array_get(v, i), text)) return true;
	return false;
}

static bool has_one_of(const json_t *v, const struct conf_list *texts) {
	for (size_t i = 0; i < texts->len; i++)
		if (has_text(v, slice_from_str(texts->items[i]))) return true;
	return texts->len == 0;
}

/* A NumericDate (RFC 7519, 2). False: it is none. */
static bool date_ms(const json_t *v, int64_t *out) {
	double s = json_number_value(v);
	if (!json_is_number(v) || !(fabs(s) < 1e12)) return false;
	*out = (int64_t)(s * 1000.0);
	return true;
}

/* What is wrong with its times; NULL: nothing. expires_ms: 0: never. */
static const char *times_wrong(const struct auth_jwt *j, const json_t *claims, int64_t *expires_ms) {
	const json_t *exp = json_object_get(claims, "exp"), *nbf = json_object_get(claims, "nbf"),
		     *iat = json_object_get(claims, "iat");
	int64_t now_ms = sl_clock_wall_ms(), at_ms;
	*expires_ms = 0;
	if (!exp && j->require_exp) return "no `exp`";
	if (exp && !date_ms(exp, &at_ms)) return "`exp` is no time";
	if (exp && at_ms + j->leeway_ms <= now_ms) return "it has expired";
	if (exp) *expires_ms = at_ms + j->leeway_ms;
	if (nbf && !date_ms(nbf, &at_ms)) return "`nbf` is no time";
	if (nbf && at_ms - j->leeway_ms > now_ms) return "it is not valid yet";
	if (iat && !date_ms(iat, &at_ms)) return "`iat` is no time";
	if (iat && at_ms - j->leeway_ms > now_ms) return "it was issued in the future";
	return NULL;
}

static const char *claims_wrong(const struct auth_jwt *j, const json_t *claims, const struct auth_request *r) {
	if (!has_one_of(json_object_get(claims, "iss"), &j->issuer)) return "`iss` is another";
	if (!has_one_of(json_object_get(claims, "aud"), &j->audience)) return "`aud` is another";
	for (size_t i = 0; i < j->verify_len; i++) {
		struct sl_buf wanted = SL_BUF_INIT;
		bool same = auth_text_write(j->verify[i].text, r, &wanted) &&
			    has_text(jwt_claim(claims, j->verify[i].claim), sl_buf_slice(&wanted));
		sl_buf_fini(&wanted);
		if (!same) return "a claim of `verify_claims` is another";
	}
	return NULL;
}

static struct auth_identity *identity_of(const struct auth_jwt *j, const json_t *claims, int64_t expires_ms,
					 struct sl_err *err) {
	struct auth_identity *id = auth_identity_new();
	int rc = SL_OK;
	id->expires_ms = j->disconnect ? expires_ms : 0;
	id->superuser = j->superuser_claim && json_is_true(jwt_claim(claims, j->superuser_claim));
	const json_t *attrs = jwt_claim(claims, j->attributes_claim);
	if (json_is_object(attrs)) auth_identity_set_all(id, attrs);
	json_t *picked = json_object();
	for (size_t i = 0; i < j->attributes.len; i++) {
		const json_t *v = jwt_claim(claims, j->attributes.items[i].value);
		if (v) json_object_set_new(picked, j->attributes.items[i].key, json_deep_copy(v));
	}
	auth_identity_set_all(id, picked);
	json_decref(picked);
	const json_t *acl = jwt_claim(claims, j->acl_claim);
	if (acl) rc = auth_identity_set_acl(id, acl, err);
	if (rc == SL_OK && j->username_claim) {
		const json_t *name = jwt_claim(claims, j->username_claim);
		if (!json_is_string(name) ||
		    !auth_identity_set_username(id, slice_make(json_string_value(name), json_string_length(name))))
			rc = sl_err_set(err, SL_EINVAL, "it has no user name in `%s`", j->username_claim);
	}
	if (rc == SL_OK) return id;
	auth_identity_unref(id);
	return NULL;
}

/* ---- the link -------------------------------------------------------------------------------------------- */

static struct sl_slice token_of(const struct auth_jwt *j, const struct auth_request *r) {
	if (j->from == FROM_USERNAME) return r->has_username ? r->username : SL_SLICE_EMPTY;
	return r->has_password ? r->password : SL_SLICE_EMPTY;
}

static bool of_another_issuer(const struct auth_jwt *j, struct sl_slice token) {
	if (j->issuer.len == 0) return false;
	json_t *claims = jwt_peek(token);
	bool other = claims && !has_one_of(json_object_get(claims, "iss"), &j->issuer);
	json_decref(claims);
	return other;
}

static enum auth_step judge(const struct auth_jwt *j, const json_t *claims, struct auth_ask *ask) {
	struct sl_err err = SL_ERR_INIT;
	int64_t expires_ms;
	const char *wrong = times_wrong(j, claims, &expires_ms);
	if (!wrong) wrong = claims_wrong(j, claims, ask->request);
	if (!wrong) ask->identity = identity_of(j, claims, expires_ms, &err);
	if (!wrong && !ask->identity) wrong = sl_err_text(&err);
	if (wrong) log_debug(LOG_AUTH, "a token is refused", "reason=\"%s\"", wrong);
	sl_err_fini(&err);
	return wrong ? AUTH_STEP_DENY : AUTH_STEP_ALLOW;
}

static enum auth_step jwt_check(struct auth_backend *b, struct auth_ask *ask) {
	struct auth_jwt *j = sl_container_of(b, struct auth_jwt, base);
	struct sl_slice token = token_of(j, ask->request);
	struct sl_err err = SL_ERR_INIT;
	json_t *claims = NULL;
	if (token.n == 0 || !jwt_is_token(token) || of_another_issuer(j, token)) return AUTH_STEP_PASS;
	struct jwt_keys *keys = auth_jwks_keys(j->jwks);
	bool may_wait = !ask->found && auth_jwks_may_help(j->jwks);
	if (!keys) return may_wait ? AUTH_STEP_WAIT : AUTH_STEP_ERROR;
	int rc = jwt_verify(keys, token, &claims, &err);
	jwt_keys_unref(keys);
	enum auth_step step = rc == SL_OK                      ? judge(j, claims, ask)
			      : rc == SL_ENOTFOUND && may_wait ? AUTH_STEP_WAIT
							       : AUTH_STEP_DENY;
	if (rc != SL_OK) log_debug(LOG_AUTH, "a token is refused", "reason=\"%s\"", sl_err_text(&err));
	sl_err_fini(&err);
	json_decref(claims);
	return step;
}

static void jwt_start(struct auth_backend *b, const struct auth_ask *ask, struct auth_wait *w) {
	struct auth_jwt *j = sl_container_of(b, struct auth_jwt, base);
	(void)ask;
	auth_jwks_wait(j->jwks, w);
}

static void list_free(struct conf_list *l) {
	for (size_t i = 0; i < l->len; i++) sl_free(l->items[i]);
	sl_free(l->items);
}

static void jwt_free(struct auth_backend *b) {
	struct auth_jwt *j = sl_container_of(b, struct auth_jwt, base);
	auth_jwks_free(j->jwks);
	list_free(&j->issuer);
	list_free(&j->audience);
	for (size_t i = 0; i < j->verify_len; i++) {
		sl_free(j->verify[i].claim);
		auth_text_free(j->verify[i].text);
	}
	sl_free(j->verify);
	for (size_t i = 0; i < j->attributes.len; i++) {
		sl_free(j->attributes.items[i].key);
		sl_free(j->attributes.items[i].value);
	}
	sl_free(j->attributes.items);
	sl_free(j->username_claim);
	sl_free(j->superuser_claim);
	sl_free(j->acl_claim);
	sl_free(j->attributes_claim);
	sl_free(j);
}

static const struct auth_backend_ops jwt_ops = {.check = jwt_check, .start = jwt_start, .free = jwt_free};

/* ---- making it -------------------------------------------------------------------------------------------- */

static int read_file(const char *path, struct sl_buf *out, struct sl_err *err) {
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : 1;
	while (n > 0 && out->n <= KEY_FILE_MAX) {
		sl_buf_grow(out, 8192);
		do n = read(fd, out->p + out->n, 8192);
		while (n < 0 && errno == EINTR);
		if (n > 0) out->n += (size_t)n;
	}
	int error = errno;
	if (fd >= 0) close(fd);
	if (n < 0) return sl_err_set(err, SL_EIO, "%s cannot be read: %s", path, strerror(error));
	if (out->n > KEY_FILE_MAX) return sl_err_set(err, SL_ELIMIT, "%s is too large for a file of keys", path);
	return SL_OK;
}

static int keys_from_secret(const struct jwt_settings *s, struct jwt_keys **out, struct sl_err *err) {
	struct sl_slice secret = slice_from_str(s->secret);
	if (!s->secret_base64) return jwt_keys_from_secret(secret, out, err);
	json_t *jwk = json_pack("{s:[{s:s, s:s}]}", "keys", "kty", "oct", "k", s->secret);
	char *text = jwk ? json_dumps(jwk, 0) : NULL;
	int rc = jwt_keys_from_jwks(slice_from_str(text ? text : ""), true, out, NULL);
	free(text);
	json_decref(jwk);
	return rc == SL_OK ? SL_OK
			   : sl_err_set(err, SL_EINVAL, "is no base64url text of 1 to %d bytes", JWT_SECRET_MAX);
}

static int keys_from_file(const struct jwt_settings *s, struct jwt_keys **out, struct sl_err *err) {
	struct sl_buf text = SL_BUF_INIT;
	int rc = read_file(s->public_key ? s->public_key : s->jwks_file, &text, err);
	if (rc == SL_OK && s->public_key)
		rc = jwt_keys_from_pem(sl_buf_slice(&text), out, err);
	else if (rc == SL_OK)
		rc = jwt_keys_from_jwks(sl_buf_slice(&text), true, out, err);
	sl_buf_fini(&text);
	return rc;
}

static int url_make(const struct jwt_settings *s, struct auth_env *env, struct auth_jwks **out, struct sl_err *err) {
	struct http_tls *tls = NULL;
	int rc = http_tls_new(&s->tls, &tls, err);
	if (rc != SL_OK) return rc;
	*out = auth_jwks_from_url(&(struct auth_jwks_url){.url = s->jwks_url,
							  .tls = tls,
							  .http = env ? auth_env_http(env) : NULL,
							  .refresh_ms = (uint64_t)s->refresh_ms,
							  .timeout_ms = (uint64_t)s->timeout_ms});
	http_tls_unref(tls);
	return SL_OK;
}

static int keys_make(const struct jwt_settings *s, struct auth_env *env, struct auth_jwks **out, struct sl_err *err) {
	struct jwt_keys *keys = NULL;
	const char *option = s->secret ? "secret" : s->public_key ? "public_key" : s->jwks_file ? "jwks_file" : "tls";
	int rc = s->jwks_url ? url_make(s, env, out, err)
		 : s->secret ? keys_from_secret(s, &keys, err)
			     : keys_from_file(s, &keys, err);
	if (rc != SL_OK) {
		(void)sl_err_prefix(err, "%s", option);
		return rc;
	}
	if (keys) *out = auth_jwks_fixed(keys);
	return SL_OK;
}

static char *copy(const char *text) { return text ? sl_strdup(text) : NULL; }

static void list_copy(const struct conf_list *from, struct conf_list *to) {
	to->items = SL_NEW_ARRAY(char *, from->len);
	for (; to->len < from->len; to->len++) to->items[to->len] = sl_strdup(from->items[to->len]);
}

static void map_copy(const struct conf_map *from, struct conf_map *to) {
	to->items = SL_NEW_ARRAY(struct conf_pair, from->len);
	for (; to->len < from->len; to->len++)
		to->items[to->len] = (struct conf_pair){.key = sl_strdup(from->items[to->len].key),
							.value = sl_strdup(from->items[to->len].value)};
}

static int jwt_make(const void *settings, struct sl_question *question, struct auth_env *env, struct auth_backend **out,
		    struct sl_err *err) {
	(void)question;
	const struct jwt_settings *s = settings;
	struct auth_jwks *jwks = NULL;
	int rc = keys_make(s, env, &jwks, err);
	if (rc != SL_OK) return rc;
	struct auth_jwt *j = SL_NEW(struct auth_jwt);
	j->base.ops = &jwt_ops;
	j->jwks = jwks;
	j->from = (enum token_from)s->from;
	j->leeway_ms = s->leeway_ms;
	list_copy(&s->issuer, &j->issuer);
	list_copy(&s->audience, &j->audience);
	map_copy(&s->attributes, &j->attributes);
	j->verify = SL_NEW_ARRAY(struct claim_rule, s->verify.len);
	for (; rc == SL_OK && j->verify_len < s->verify.len; j->verify_len++) {
		j->verify[j->verify_len].claim = sl_strdup(s->verify.items[j->verify_len].key);
		rc = auth_text_new(slice_from_str(s->verify.items[j->verify_len].value), &j->verify[j->verify_len].text,
				   err);
	}
	j->require_exp = s->require_exp;
	j->disconnect = s->disconnect;
	/* Else the whole token would be the name. */
	j->username_claim = copy(s->username_claim ? s->username_claim : s->from == FROM_USERNAME ? "sub" : NULL);
	j->superuser_claim = copy(s->superuser_claim);
	j->acl_claim = copy(s->acl_claim);
	j->attributes_claim = copy(s->attributes_claim);
	if (rc == SL_OK)
		*out = &j->base;
	else
		jwt_free(&j->base);
	return rc;
}

static int settings_check(const void *settings, struct sl_err *err) {
	const struct jwt_settings *s = settings;
	int given = !!s->secret + !!s->public_key + !!s->jwks_file + !!s->jwks_url;
	if (given != 1)
		return sl_err_set(err, SL_EINVAL,
				  "needs the key that tokens are signed with: one of secret, public_key, jwks_file and "
				  "jwks_url");
	if (s->secret_base64 && !s->secret)
		return sl_err_set(err, SL_EINVAL, "secret_base64 is about `secret`, which is not there");
	return SL_OK;
}

#define AT(member) offsetof(struct jwt_settings, member)

static const char *const froms[] = {"password", "username", NULL};

static const struct conf_field jwt_fields[] = {
    {.name = "from",
     .type = CONF_ENUM,
     .at = AT(from),
     .names = froms,
     .def = "password",
     .doc = "Where CONNECT has the token. With `username` the client's name is the claim of `username_claim`, `sub` if "
	    "that is not "
	    "said."},
    {.name = "secret",
     .type = CONF_STRING,
     .flags = CONF_EXPAND | CONF_SECRET | CONF_NONEMPTY,
     .at = AT(secret),
     .max = JWT_SECRET_MAX,
     .doc = "The secret of tokens with HS256, HS384 or HS512. It should have as many bytes as the hash, 32 and more.",
     .example = "${file:jwt.secret}"},
    {.name = "secret_base64",
     .type = CONF_BOOL,
     .at = AT(secret_base64),
     .def = "false",
     .doc = "Whether `secret` is written in base64url."},
    {.name = "public_key",
     .type = CONF_STRING,
     .flags = CONF_EXPAND | CONF_NONEMPTY,
     .at = AT(public_key),
     .doc = "A file with the public key, PEM; or a certificate. RSA of 2048 bits and more is for RS256 to RS512 and "
	    "PS256 to PS512, "
	    "P-256, P-384 and P-521 are for ES256, ES384 and ES512, Ed25519 for EdDSA. The key says which of these a "
	    "token may have.",
     .example = "issuer.pem"},
    {.name = "jwks_file",
     .type = CONF_STRING,
     .flags = CONF_EXPAND | CONF_NONEMPTY,
     .at = AT(jwks_file),
     .doc = "A file with a set of keys (RFC 7517).",
     .example = "jwks.json"},
    {.name = "jwks_url",
     .type = CONF_STRING,
     .flags = CONF_EXPAND | CONF_NONEMPTY | CONF_SECRET_URL,
     .at = AT(jwks_url),
     .validate = http_url_check,
     .doc = "A URL that gives such a set. It is fetched at the start, every `jwks_refresh`, and when a token names a "
	    "key that is not in "
	    "it; while it is away the keys of before are used.",
     .example = "https://login.example.com/.well-known/jwks.json"},
    {.name = "jwks_refresh",
     .type = CONF_DURATION,
     .at = AT(refresh_ms),
     .def = "5m",
     .min = 1000,
     .doc = "How old the set of `jwks_url` may become."},
    {.name = "timeout",
     .type = CONF_DURATION,
     .at = AT(timeout_ms),
     .def = "5s",
     .min = 50,
     .max = 60000,
     .doc = "How long `jwks_url` may take."},
    {.name = "tls",
     .type = CONF_OBJECT,
     .flags = CONF_GIVEN,
     .at = AT(tls),
     .fields = tls_client_fields,
     .doc = "TLS for `jwks_url`."},
    {.name = "issuer",
     .type = CONF_STRING_LIST,
     .at = AT(issuer),
     .doc = "The token's `iss` must be one of these; tokens of others are passed on."},
    {.name = "audience",
     .type = CONF_STRING_LIST,
     .at = AT(audience),
     .doc = "The token's `aud` must have one of these."},
    {.name = "verify_claims",
     .type = CONF_TEMPLATE_MAP,
     .at = AT(verify),
     .validate = auth_text_check,
     .doc = "Claims that must be there with these values, in which `${username}` and its like stand for what CONNECT "
	    "says. A list must "
	    "have the value.",
     .example = "{sub: \"${clientid}\"}"},
    {.name = "leeway",
     .type = CONF_DURATION,
     .at = AT(leeway_ms),
     .def = "5s",
     .max = 600000,
     .doc = "How far our clock and the issuer's may be apart: for `exp`, `nbf` and `iat`."},
    {.name = "require_exp",
     .type = CONF_BOOL,
     .at = AT(require_exp),
     .def = "false",
     .doc = "Whether a token must have an end (`exp`)."},
    {.name = "disconnect_expired",
     .type = CONF_BOOL,
     .at = AT(disconnect),
     .def = "true",
     .doc = "Whether the connection ends when the token does (0xA0 Maximum connect time). The session stays."},
    {.name = "username_claim",
     .type = CONF_STRING,
     .flags = CONF_NONEMPTY,
     .at = AT(username_claim),
     .doc = "The claim that is the client's user name, whatever CONNECT says; `a.b` is member b of claim a."},
    {.name = "superuser_claim",
     .type = CONF_STRING,
     .flags = CONF_NONEMPTY,
     .at = AT(superuser_claim),
     .doc = "The claim that makes the client a superuser, whom no access rule stops, when it is true."},
    {.name = "acl_claim",
     .type = CONF_STRING,
     .flags = CONF_NONEMPTY,
     .at = AT(acl_claim),
     .def = "acl",
     .doc = "The claim with access rules for this client (broker/auth/acl.md). A token with rules that are none is "
	    "refused."},
    {.name = "attributes_claim",
     .type = CONF_STRING,
     .flags = CONF_NONEMPTY,
     .at = AT(attributes_claim),
     .def = "client_attrs",
     .doc = "The claim whose members become the client's attributes, `${attr.x}` in access rules."},
    {.name = "attributes",
     .type = CONF_STRING_MAP,
     .at = AT(attributes),
     .doc = "Further attributes, each with the claim that it is.",
     .example = "{tenant: tenant_id}"},
    CONF_END};

const struct auth_link_kind auth_kind_jwt = {
    .name = "jwt",
    .doc = "A JSON Web Token in the place of the password. Passes on what is no token, and tokens of other issuers; "
	   "denies tokens that "
	   "are not right.",
    .size = sizeof(struct jwt_settings),
    .fields = jwt_fields,
    .check = settings_check,
    .make = jwt_make,
};
