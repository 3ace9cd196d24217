/* auth_lookup.c: the links of the chain that ask a database, through a connector of `connectors:` (lookup.h): postgres, redis, mongodb.
 *
 *     question --> a row: password_hash, salt, is_superuser, acl; whatever else it has is an attribute of the client
 *             '--> none: passed on
 *
 * The row is remembered (auth_flights.h), the password is not: it is checked against the row each time, on the pool when the hash is slow,
 * unless it was right for just this hash before (auth_known.h). An unknown name costs as much time as a wrong password. */
#include "auth_env.h"
#include "auth_flights.h"
#include "auth_link_kind.h"
#include "auth_text.h"
#include "hash_text.h"
#include "log.h"
#include "lookup.h"
#include "mem.h"

struct lookup_settings {
	char *connector;
	int hash, salt;
	int64_t iterations, timeout_ms, max_pending;
	bool check_password;
	struct auth_cache_conf cache;
};

struct auth_lookup {
	struct auth_backend base;
	struct connectors *cs; /* NULL: a mere check */
	struct sl_question *question;
	struct auth_text **texts; /* of its parameters */
	size_t texts_len;
	char *connector;
	struct hash_way way;
	uint64_t timeout_ms;
	bool check_password;
	struct auth_flights *flights;
	struct auth_known known;
	pthread_mutex_t lock; /* over like */
	char *like;           /* a hash that was checked: unknown names are checked against it; NULL: none yet */
};

/* What the database has said. */
struct lookup_found {
	struct auth_found base;
	bool none;
	char *hash, *salt; /* NULL: it has none */
	struct auth_identity *identity;
};

/* ---- the row ---------------------------------------------------------------------------------------------------- */

static void wipe(char *text) {
	if (text) explicit_bzero(text, strlen(text));
	sl_free(text);
}

static void found_free(struct auth_found *found) {
	struct lookup_found *f = sl_container_of(found, struct lookup_found, base);
	auth_identity_unref(f->identity);
	wipe(f->hash);
	wipe(f->salt);
	sl_free(f);
}

static bool is_true(const char *text) {
	static const char *const yes[] = {"1", "t", "true", "y", "yes"};
	for (size_t i = 0; i < SL_ARRAY_LEN(yes); i++)
		if (slice_equal_nocase(slice_from_str(text), slice_from_str(yes[i]))) return true;
	return false;
}

static int take_acl(struct auth_identity *id, const char *text, struct sl_err *err) {
	json_t *rules = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	int rc = rules ? auth_identity_set_acl(id, rules, err)
		       : sl_err_set(err, SL_EMALFORMED, "column acl: is no JSON list of rules");
	json_decref(rules);
	return rc;
}

static int take_field(struct lookup_found *f, const struct sl_answer_field *field, struct sl_err *err) {
	if (!field->value) return SL_OK;
	if (strcmp(field->name, "password_hash") == 0) {
		wipe(f->hash);
		f->hash = sl_strdup(field->value);
	} else if (strcmp(field->name, "salt") == 0) {
		wipe(f->salt);
		f->salt = sl_strdup(field->value);
	} else if (strcmp(field->name, "is_superuser") == 0)
		f->identity->superuser = is_true(field->value);
	else if (strcmp(field->name, "acl") == 0)
		return take_acl(f->identity, field->value, err);
	else
		(void)auth_identity_set(f->identity, slice_from_str(field->name), slice_from_str(field->value));
	return SL_OK;
}

/* NULL: it can't be told, err says why. */
static struct lookup_found *found_from(const struct sl_answer *a, struct sl_err *err) {
	int rc = SL_OK;
	if (a->status != SL_OK && a->status != SL_ENOTFOUND) {
		(void)sl_err_set(err, a->status, "%s", a->text ? a->text : "");
		return NULL;
	}
	struct lookup_found *f = SL_NEW(struct lookup_found);
	atomic_init(&f->base.refs, 1);
	f->base.free = found_free;
	f->none = a->status == SL_ENOTFOUND;
	f->identity = auth_identity_new();
	for (size_t i = 0; rc == SL_OK && i < a->len; i++) rc = take_field(f, &a->fields[i], err);
	if (rc == SL_OK) return f;
	found_free(&f->base);
	return NULL;
}

/* ---- the question ------------------------------------------------------------------------------------------------ */

struct values {
	struct sl_buf text;
	struct sl_slice *v;
};

static void values_fini(struct values *v) {
	if (v->text.n) explicit_bzero(v->text.p, v->text.n);
	sl_buf_fini(&v->text);
	sl_free(v->v);
}

/* False: this client has no such value. */
static bool values_write(const struct auth_lookup *l, const struct auth_request *r, struct values *out) {
	*out = (struct values){.text = SL_BUF_INIT, .v = SL_NEW_ARRAY(struct sl_slice, l->texts_len)};
	bool ok = true;
	for (size_t i = 0; i < l->texts_len && ok; i++) {
		size_t from = out->text.n;
		ok = auth_text_write(l->texts[i], r, &out->text);
		out->v[i].n = out->text.n - from;
	}
	(void)sl_buf_cstr(&out->text); /* not NULL from here on */
	const char *at = out->text.p;
	for (size_t i = 0; i < l->texts_len; i++) {
		out->v[i].p = at;
		at += out->v[i].n;
	}
	return ok;
}

struct flight {
	struct auth_lookup *l; /* there while anybody waits */
	struct auth_digest digest;
};

static void on_answer(const struct sl_answer *a, void *arg) {
	struct flight *flight = arg;
	struct sl_err err = SL_ERR_INIT;
	struct lookup_found *f = found_from(a, &err);
	struct auth_found *found = f ? &f->base : NULL;
	if (!f && a->status != SL_ECLOSED)
		log_warn(LOG_AUTH, "a user could not be looked up", "connector=%s reason=\"%s\"", flight->l->connector,
			 sl_err_text(&err));
	auth_flights_land(flight->l->flights, &flight->digest, found, f && !f->none, 0);
	auth_found_unref(found);
	sl_err_fini(&err);
	sl_free(flight);
}

static void lookup_start(struct auth_backend *b, const struct auth_ask *ask, struct auth_wait *w) {
	struct auth_lookup *l = sl_container_of(b, struct auth_lookup, base);
	struct values v;
	struct auth_digest digest;
	bool ok = values_write(l, ask->request, &v);
	auth_flights_digest(l->flights, v.v, l->texts_len, &digest);
	if (!ok)
		auth_wait_done(w, NULL);
	else if (auth_flights_join(l->flights, &digest, w)) {
		struct flight *flight = SL_NEW(struct flight);
		flight->l = l;
		flight->digest = digest;
		connectors_ask(l->cs, l->connector, l->question, v.v, l->timeout_ms, on_answer, flight);
	}
	values_fini(&v);
}

/* ---- the link ---------------------------------------------------------------------------------------------------- */

static enum auth_step allow(struct auth_ask *ask, const struct lookup_found *f) {
	ask->identity = auth_identity_ref(f->identity);
	return AUTH_STEP_ALLOW;
}

static enum auth_step verdict(struct auth_lookup *l, struct auth_ask *ask, const struct lookup_found *f, int rc,
			      const struct sl_err *err) {
	if (rc == SL_OK) return allow(ask, f);
	if (rc == SL_EDENIED) return AUTH_STEP_DENY;
	log_warn(LOG_AUTH, "a password could not be checked", "connector=%s reason=\"%s\"", l->connector,
		 sl_err_text(err));
	return AUTH_STEP_ERROR;
}

static size_t login_texts(const struct auth_ask *ask, const struct lookup_found *f, struct sl_slice out[4]) {
	out[0] = ask->request->username;
	out[1] = ask->request->password;
	out[2] = slice_from_str(f->hash);
	out[3] = slice_from_str(f->salt);
	return 4;
}

static enum auth_step judge(struct auth_lookup *l, struct auth_ask *ask, const struct lookup_found *f) {
	struct sl_slice texts[4];
	if (!l->check_password) return f->none ? AUTH_STEP_PASS : allow(ask, f);
	if (f->none) {
		pthread_mutex_lock(&l->lock);
		bool burn = l->like != NULL;
		pthread_mutex_unlock(&l->lock);
		return burn ? AUTH_STEP_WORK : AUTH_STEP_PASS;
	}
	if (!f->hash) return AUTH_STEP_DENY; /* a user without a password has none that is right */
	if (hash_text_is_slow(&l->way, slice_from_str(f->hash))) {
		bool known = auth_known_has(&l->known, texts, login_texts(ask, f, texts));
		ask->cached = ask->cached && known;
		return known ? allow(ask, f) : AUTH_STEP_WORK;
	}
	struct sl_err err = SL_ERR_INIT;
	int rc =
	    hash_text_check(&l->way, slice_from_str(f->hash), slice_from_str(f->salt), ask->request->password, &err);
	enum auth_step step = verdict(l, ask, f, rc, &err);
	sl_err_fini(&err);
	return step;
}

static enum auth_step lookup_check(struct auth_backend *b, struct auth_ask *ask) {
	struct auth_lookup *l = sl_container_of(b, struct auth_lookup, base);
	struct values v;
	struct auth_digest digest;
	if (!l->cs) return AUTH_STEP_ERROR;
	if (l->check_password && !ask->request->has_password) return AUTH_STEP_PASS;
	if (!ask->found) {
		bool ok = values_write(l, ask->request, &v);
		auth_flights_digest(l->flights, v.v, l->texts_len, &digest);
		values_fini(&v);
		if (!ok) return AUTH_STEP_PASS;
		ask->found = auth_flights_known(l->flights, &digest);
		ask->cached = ask->found != NULL;
		if (!ask->found) return AUTH_STEP_WAIT;
	}
	return judge(l, ask, sl_container_of(ask->found, struct lookup_found, base));
}

static void burn(struct auth_lookup *l, struct sl_slice password) {
	pthread_mutex_lock(&l->lock);
	char *like = l->like ? sl_strdup(l->like) : NULL;
	pthread_mutex_unlock(&l->lock);
	if (like) (void)hash_text_check(&l->way, slice_from_str(like), SL_SLICE_LIT("salt"), password, NULL);
	wipe(like);
}

static enum auth_step lookup_work(struct auth_backend *b, struct auth_ask *ask) {
	struct auth_lookup *l = sl_container_of(b, struct auth_lookup, base);
	const struct lookup_found *f = sl_container_of(ask->found, struct lookup_found, base);
	struct sl_err err = SL_ERR_INIT;
	struct sl_slice texts[4];
	if (f->none) {
		burn(l, ask->request->password);
		return AUTH_STEP_PASS;
	}
	int rc =
	    hash_text_check(&l->way, slice_from_str(f->hash), slice_from_str(f->salt), ask->request->password, &err);
	if (rc == SL_OK) auth_known_add(&l->known, texts, login_texts(ask, f, texts));
	pthread_mutex_lock(&l->lock);
	if (!l->like && (rc == SL_OK || rc == SL_EDENIED)) l->like = sl_strdup(f->hash);
	pthread_mutex_unlock(&l->lock);
	enum auth_step step = verdict(l, ask, f, rc, &err);
	sl_err_fini(&err);
	return step;
}

static void lookup_free(struct auth_backend *b) {
	struct auth_lookup *l = sl_container_of(b, struct auth_lookup, base);
	auth_flights_free(l->flights);
	auth_known_fini(&l->known);
	pthread_mutex_destroy(&l->lock);
	for (size_t i = 0; i < l->texts_len; i++) auth_text_free(l->texts[i]);
	sl_free(l->texts);
	sl_question_unref(l->question);
	wipe(l->like);
	sl_free(l->connector);
	sl_free(l);
}

static const struct auth_backend_ops lookup_ops = {
    .check = lookup_check, .work = lookup_work, .start = lookup_start, .free = lookup_free};

/* ---- making it --------------------------------------------------------------------------------------------------- */

static int lookup_make(const void *settings, struct sl_question *question, struct auth_env *env,
		       struct auth_backend **out, struct sl_err *err) {
	const struct lookup_settings *s = settings;
	struct auth_lookup *l = SL_NEW(struct auth_lookup);
	size_t n;
	const struct sl_param *params = sl_question_params(question, &n);
	l->base.ops = &lookup_ops;
	l->cs = env ? auth_env_connectors(env) : NULL;
	l->question = sl_question_ref(question);
	l->connector = sl_strdup(s->connector);
	l->way = (struct hash_way){
	    .kind = (enum hash_kind)s->hash, .salt_at = (enum hash_salt)s->salt, .iterations = (int)s->iterations};
	l->timeout_ms = (uint64_t)s->timeout_ms;
	l->check_password = s->check_password;
	l->flights = auth_flights_new(&s->cache, (size_t)s->max_pending);
	auth_known_init(&l->known);
	pthread_mutex_init(&l->lock, NULL);
	l->texts = SL_NEW_ARRAY(struct auth_text *, n);
	int rc = SL_OK;
	for (; rc == SL_OK && l->texts_len < n; l->texts_len++)
		rc = auth_text_new(params[l->texts_len].text, &l->texts[l->texts_len], err);
	if (rc == SL_OK)
		*out = &l->base;
	else
		lookup_free(&l->base);
	return rc;
}

static const char *connector_of(const void *settings) { return ((const struct lookup_settings *)settings)->connector; }

#define AT(member) offsetof(struct lookup_settings, member)

static const struct conf_field lookup_fields[] = {
    {.name = "connector",
     .type = CONF_STRING,
     .flags = CONF_REQUIRED | CONF_NONEMPTY,
     .at = AT(connector),
     .doc = "The connector to ask, of this type, by its name under `connectors`.",
     .example = "db"},
    {.name = "hash",
     .type = CONF_ENUM,
     .at = AT(hash),
     .names = hash_kind_words,
     .def = "auto",
     .doc = "What `password_hash` is. `auto`: it says so itself: bcrypt ($2b$), yescrypt ($y$), sha256crypt and "
	    "sha512crypt ($5$, $6$), "
	    "$scram$ and $pbkdf2-sha512$ of `sluice passwd`, $7$ and $6$ of mosquitto_passwd. The others are "
	    "hexadecimal digits, "
	    "with a column "
	    "`salt`; `plain` is the password itself."},
    {.name = "salt_position",
     .type = CONF_ENUM,
     .at = AT(salt),
     .names = hash_salt_words,
     .def = "prefix",
     .doc = "Where the salt stands for `sha256` and `sha512`: before the password or behind it."},
    {.name = "iterations",
     .type = CONF_INT,
     .at = AT(iterations),
     .def = "4096",
     .min = 1,
     .max = 10000000,
     .doc = "Of `pbkdf2_sha1`, `pbkdf2_sha256` and `pbkdf2_sha512`."},
    {.name = "check_password",
     .type = CONF_BOOL,
     .at = AT(check_password),
     .def = "true",
     .doc = "false: whoever has a row is let in, whatever the password; for questions with `${cert.cn}` or "
	    "`${psk.identity}`, which have "
	    "been proved."},
    {.name = "timeout",
     .type = CONF_DURATION,
     .at = AT(timeout_ms),
     .def = "5s",
     .min = 50,
     .max = 60000,
     .doc = "How long an answer may take."},
    {.name = "max_pending",
     .type = CONF_INT,
     .at = AT(max_pending),
     .def = "10000",
     .min = 1,
     .max = 1000000,
     .doc = "Clients that may wait for answers; about more it cannot tell."},
    {.name = "cache", .type = CONF_OBJECT, .at = AT(cache), .fields = auth_cache_fields, .doc = "Rows are remembered."},
    CONF_END};

#define LOOKUP_KIND(text, about)                                                                                       \
	{                                                                                                              \
		.name = text, .doc = about LOOKUP_DOC, .size = sizeof(struct lookup_settings),                         \
		.fields = lookup_fields, .asks = true, .connector = connector_of, .make = lookup_make                  \
	}
#define LOOKUP_DOC                                                                                                     \
	" Columns (fields) of the answer: `password_hash`, `salt`, `is_superuser` (1, t, true, yes), `acl` (a JSON "   \
	"list of "                                                                                                     \
	"rules, broker/auth/acl.md); every other one is an attribute of the client, `${attr.NAME}`. Passes on names "  \
	"that it "                                                                                                     \
	"does not know, and clients without a password."

const struct auth_link_kind auth_kind_postgres = LOOKUP_KIND("postgres", "A user's row of a PostgreSQL database.");
const struct auth_link_kind auth_kind_redis = LOOKUP_KIND("redis", "A user's hash in Redis.");
const struct auth_link_kind auth_kind_mongodb = LOOKUP_KIND("mongodb", "A user's document in MongoDB.");
