/* mongo_uri.c: from settings to what libmongoc wants: the URI with our limits in it, and TLS wherever it was asked for.
 * What stands in the URI wins over our defaults; what stands in both places and differs is refused. */
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "mongodb_int.h"

static bool has(const mongoc_uri_t *uri, const char *name) { return mongoc_uri_has_option(uri, name); }

static void limit(mongoc_uri_t *uri, const char *name, int64_t ms) {
	if (!has(uri, name)) mongoc_uri_set_option_as_int32(uri, name, (int32_t)ms);
}

/* ---- TLS. ------------------------------------------------------------------------------------------------------------- */

static int take_path(const mongoc_uri_t *uri, const char *name, const char *option, char **to, struct sl_err *err) {
	const char *value = mongoc_uri_get_option_as_utf8(uri, name, NULL);
	if (!value) return SL_OK;
	if (*to)
		return sl_err_set(err, SL_EINVAL, "`%s` and `url` (its option %s) say the same thing; keep one of them",
				  option, name);
	*to = (char *)value;
	return SL_OK;
}

int mongo_uri_tls(const struct mongo_conn *c, const mongoc_uri_t *uri, struct tls_client_conf *tls,
		  struct sl_err *err) {
	*tls = c->tls;
	if (has(uri, MONGOC_URI_TLS) && !mongoc_uri_get_tls(uri) && tls->given)
		return sl_err_set(err, SL_EINVAL, "`url` says tls=false and `tls:` is there; take one of them away");
	if (mongoc_uri_get_tls(uri)) tls->given = true;
	if (!tls->given) return SL_OK;
	int r = take_path(uri, MONGOC_URI_TLSCAFILE, "tls.ca", &tls->ca, err);
	if (r == SL_OK) r = take_path(uri, MONGOC_URI_TLSCERTIFICATEKEYFILE, "tls.cert", &tls->cert, err);
	if (r == SL_OK && !tls->key && has(uri, MONGOC_URI_TLSCERTIFICATEKEYFILE)) tls->key = tls->cert;
	if (r == SL_OK)
		r = take_path(uri, MONGOC_URI_TLSCERTIFICATEKEYFILEPASSWORD, "tls.key_password", &tls->key_password,
			      err);
	if (mongoc_uri_get_option_as_bool(uri, MONGOC_URI_TLSALLOWINVALIDCERTIFICATES, false) ||
	    mongoc_uri_get_option_as_bool(uri, MONGOC_URI_TLSALLOWINVALIDHOSTNAMES, false) ||
	    mongoc_uri_get_option_as_bool(uri, MONGOC_URI_TLSINSECURE, false))
		tls->verify = false;
	return r;
}

/* X.509 logs in under the certificate's subject, as RFC 2253 writes it. */
static int x509_user(mongoc_uri_t *uri, const struct tls_client_conf *tls, struct sl_err *err) {
	const char *mechanism = mongoc_uri_get_auth_mechanism(uri);
	if (!mechanism || strcmp(mechanism, "MONGODB-X509") != 0) return SL_OK;
	if (!tls->given || !tls->cert)
		return sl_err_set(err, SL_EINVAL,
				  "MONGODB-X509 logs in with a certificate: give `tls: {cert: ..., key: ...}`");
	if (mongoc_uri_get_username(uri)) return SL_OK;
	FILE *f = fopen(tls->cert, "re");
	X509 *x = f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
	if (f) fclose(f);
	if (!x) return sl_err_set(err, SL_EINVAL, "`tls.cert`: no certificate can be read from %s", tls->cert);
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	X509_NAME_print_ex(bio, X509_get_subject_name(x), 0, XN_FLAG_RFC2253);
	long n = BIO_get_mem_data(bio, &text);
	char *name = sl_memdup0(text, (size_t)n);
	bool ok = mongoc_uri_set_username(uri, name);
	sl_free(name);
	BIO_free(bio);
	X509_free(x);
	return ok ? SL_OK : sl_err_set(err, SL_EINVAL, "`tls.cert`: its subject cannot be a user's name");
}

/* ---- The rest. --------------------------------------------------------------------------------------------------------- */

static int concern(const struct mongo_conn *c, mongoc_uri_t *uri, struct sl_err *err) {
	const mongoc_write_concern_t *told = mongoc_uri_get_write_concern(uri);
	if (told && !mongoc_write_concern_is_acknowledged(told))
		return sl_err_set(err, SL_EINVAL,
				  "`url` says w=0: the server would not say whether it has the rows; leave it "
				  "out, or say w=1 or w=majority");
	if (!c->concern.given) return SL_OK;
	mongoc_write_concern_t *wc = mongoc_write_concern_new();
	const char *w = c->concern.w;
	int64_t members;
	if (w && strcmp(w, "majority") == 0)
		mongoc_write_concern_set_wmajority(wc, -1);
	else if (w && slice_to_i64(slice_from_str(w), &members) == SL_OK)
		mongoc_write_concern_set_w(wc, (int32_t)members);
	else if (w)
		mongoc_write_concern_set_wtag(wc, w);
	if (c->concern.j != 0) mongoc_write_concern_set_journal(wc, c->concern.j == 1);
	if (c->concern.wtimeout_ms) mongoc_write_concern_set_wtimeout_int64(wc, c->concern.wtimeout_ms);
	bool valid = mongoc_write_concern_is_valid(wc);
	if (valid) mongoc_uri_set_write_concern(uri, wc);
	mongoc_write_concern_destroy(wc);
	return valid ? SL_OK : sl_err_set(err, SL_EINVAL, "`write_concern`: these do not go together");
}

static int compression(const struct mongo_conn *c, mongoc_uri_t *uri, struct sl_err *err) {
	struct sl_buf names = SL_BUF_INIT;
	for (size_t i = 0; i < c->compressors.len; i++)
		sl_buf_printf(&names, "%s%s", i ? "," : "", c->compressors.items[i]);
	bool ok = names.n == 0 || mongoc_uri_set_compressors(uri, sl_buf_cstr(&names));
	sl_buf_fini(&names);
	return ok ? SL_OK : sl_err_set(err, SL_EINVAL, "`compressors`: zstd, snappy and zlib are known");
}

/* The library's words may quote an option; those that could be about a secret are left out. */
static int not_a_uri(const bson_error_t *why, struct sl_err *err) {
	bool tell = why->message[0] && !strcasestr(why->message, "passw") && !strpbrk(why->message, "@\"");
	return sl_err_set(
	    err, SL_EINVAL,
	    "`url` is no MongoDB URI (mongodb://user:password@host:27017/?authSource=admin, or "
	    "mongodb+srv://...; characters such as @ : / %% in a password are written %%40 %%3A %%2F %%25)%s%s",
	    tell ? ": " : "", tell ? why->message : "");
}

/* Not shown: behind the @ may be the end of a password. */
static int hosts_check(const mongoc_uri_t *uri, struct sl_err *err) {
	const char *name = mongoc_uri_get_srv_hostname(uri);
	bool odd = name && strchr(name, '@');
	for (const mongoc_host_list_t *h = mongoc_uri_get_hosts(uri); h; h = h->next) odd = odd || strchr(h->host, '@');
	return odd ? sl_err_set(err, SL_EINVAL,
				"`url`: there is an @ in the name of a host; one of a password is written %%40")
		   : SL_OK;
}

/* The library has no list of them. */
static const char *const known_options[] = {
    MONGOC_URI_APPNAME,
    MONGOC_URI_AUTHMECHANISM,
    MONGOC_URI_AUTHMECHANISMPROPERTIES,
    MONGOC_URI_AUTHSOURCE,
    MONGOC_URI_CANONICALIZEHOSTNAME,
    MONGOC_URI_COMPRESSORS,
    MONGOC_URI_CONNECTTIMEOUTMS,
    MONGOC_URI_DIRECTCONNECTION,
    MONGOC_URI_GSSAPISERVICENAME,
    MONGOC_URI_HEARTBEATFREQUENCYMS,
    MONGOC_URI_JOURNAL,
    MONGOC_URI_LOADBALANCED,
    MONGOC_URI_LOCALTHRESHOLDMS,
    MONGOC_URI_MAXIDLETIMEMS,
    MONGOC_URI_MAXPOOLSIZE,
    MONGOC_URI_MAXSTALENESSSECONDS,
    MONGOC_URI_MINPOOLSIZE,
    MONGOC_URI_READCONCERNLEVEL,
    MONGOC_URI_READPREFERENCE,
    MONGOC_URI_READPREFERENCETAGS,
    MONGOC_URI_REPLICASET,
    MONGOC_URI_RETRYREADS,
    MONGOC_URI_RETRYWRITES,
    MONGOC_URI_SAFE,
    MONGOC_URI_SERVERSELECTIONTIMEOUTMS,
    MONGOC_URI_SERVERSELECTIONTRYONCE,
    MONGOC_URI_SOCKETCHECKINTERVALMS,
    MONGOC_URI_SOCKETTIMEOUTMS,
    MONGOC_URI_SRVMAXHOSTS,
    MONGOC_URI_SRVSERVICENAME,
    MONGOC_URI_TLS,
    MONGOC_URI_TLSALLOWINVALIDCERTIFICATES,
    MONGOC_URI_TLSALLOWINVALIDHOSTNAMES,
    MONGOC_URI_TLSCAFILE,
    MONGOC_URI_TLSCERTIFICATEKEYFILE,
    MONGOC_URI_TLSCERTIFICATEKEYFILEPASSWORD,
    MONGOC_URI_TLSDISABLECERTIFICATEREVOCATIONCHECK,
    MONGOC_URI_TLSDISABLEOCSPENDPOINTCHECK,
    MONGOC_URI_TLSINSECURE,
    MONGOC_URI_W,
    MONGOC_URI_WAITQUEUEMULTIPLE,
    MONGOC_URI_WAITQUEUETIMEOUTMS,
    MONGOC_URI_WTIMEOUTMS,
    MONGOC_URI_ZLIBCOMPRESSIONLEVEL,
    /* Older names come last: of two that are as near the first is advised. */
    MONGOC_URI_SSL,
    MONGOC_URI_SSLALLOWINVALIDCERTIFICATES,
    MONGOC_URI_SSLALLOWINVALIDHOSTNAMES,
    MONGOC_URI_SSLCERTIFICATEAUTHORITYFILE,
    MONGOC_URI_SSLCLIENTCERTIFICATEKEYFILE,
    MONGOC_URI_SSLCLIENTCERTIFICATEKEYPASSWORD,
};

/* Nothing that may be the end of a secret: that stands behind its own option, or before an @. */
static bool is_shown(const char *query, const char *at, const char *name) {
	const char *password = strcasestr(query, "passw"), *token = strcasestr(query, "token");
	return !strchr(query, '@') && !(password && password < at) && !(token && token < at) &&
	       !name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")];
}

/* Appends what is wrong with this option, if anything. Newer libraries than ours know more numbers and flags. */
static void option_check(const char *query, const char *at, const char *name, struct sl_buf *wrong) {
	struct sl_buf lower = SL_BUF_INIT;
	for (const char *p = name; *p; p++) sl_buf_put(&lower, *p >= 'A' && *p <= 'Z' ? (char)(*p | 0x20) : *p);
	const char *key = sl_buf_cstr(&lower), *near;
	bool known = mongoc_uri_option_is_int32(key) || mongoc_uri_option_is_bool(key);
	for (size_t i = 0; i < SL_ARRAY_LEN(known_options); i++) known = known || strcmp(key, known_options[i]) == 0;
	if (!known) {
		near = slice_nearest(sl_buf_slice(&lower), known_options, SL_ARRAY_LEN(known_options));
		sl_buf_printf(wrong, "%s`%s`%s%s%s", wrong->n ? ", " : "",
			      is_shown(query, at, name) ? name : "(not shown, it may be of a password)",
			      near ? " (did you mean `" : "", near ? near : "", near ? "`?)" : "");
	}
	sl_buf_fini(&lower);
}

/* Behind the hosts: a password may have a '?' of its own, but no '/' and no '@'. */
static const char *options_of(const char *url) {
	const char *p = strstr(url, "://");
	p = p ? p + 3 : url;
	const char *at = memchr(p, '@', strcspn(p, "/"));
	return strchr(at ? at : p, '?');
}

/* The library would warn and go on: without TLS where tls was misspelt. */
static int options_check(const char *url, struct sl_err *err) {
	struct sl_buf wrong = SL_BUF_INIT;
	const char *query = options_of(url);
	for (const char *p = query ? query + 1 : ""; *p;) {
		size_t n = strcspn(p, "&"), key = strcspn(p, "=&");
		char *name = sl_memdup0(p, key);
		if (key) option_check(query, p, name, &wrong);
		sl_free(name);
		p += n + (p[n] == '&');
	}
	int r = wrong.n ? sl_err_set(err, SL_EINVAL, "`url`: MongoDB's client library knows no option %s",
				     sl_buf_cstr(&wrong))
			: SL_OK;
	sl_buf_fini(&wrong);
	return r;
}

/* In the library's order: the URI, the environment, the container's address, the machine's. */
const char *mongo_uri_login_host(const mongoc_uri_t *uri) {
	const char *mechanism = mongoc_uri_get_auth_mechanism(uri), *key = getenv("AWS_ACCESS_KEY_ID");
	if (!mechanism || strcmp(mechanism, "MONGODB-AWS") != 0 || mongoc_uri_get_username(uri) || (key && *key))
		return NULL;
	return getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") ? "169.254.170.2" : "169.254.169.254";
}

int mongo_uri_make(const struct mongo_conn *c, mongoc_uri_t **out, struct sl_err *err) {
	bson_error_t why = {0};
	struct tls_client_conf tls;
	mongoc_uri_t *uri = mongoc_uri_new_with_error(c->url, &why);
	*out = NULL;
	if (!uri) return not_a_uri(&why, err);
	limit(uri, MONGOC_URI_SOCKETTIMEOUTMS, c->timeout_ms);
	limit(uri, MONGOC_URI_CONNECTTIMEOUTMS, c->connect_timeout_ms);
	limit(uri, MONGOC_URI_SERVERSELECTIONTIMEOUTMS, c->selection_timeout_ms);
	/* One look is not enough while members vote: the time limit decides. */
	if (!has(uri, MONGOC_URI_SERVERSELECTIONTRYONCE))
		mongoc_uri_set_option_as_bool(uri, MONGOC_URI_SERVERSELECTIONTRYONCE, false);
	if (!has(uri, MONGOC_URI_RETRYWRITES))
		mongoc_uri_set_option_as_bool(uri, MONGOC_URI_RETRYWRITES, c->retry_writes);
	if (!mongoc_uri_get_appname(uri)) mongoc_uri_set_appname(uri, c->app_name);
	int r = hosts_check(uri, err);
	if (r == SL_OK) r = options_check(c->url, err);
	if (r == SL_OK) r = concern(c, uri, err);
	if (r == SL_OK) r = compression(c, uri, err);
	if (r == SL_OK) r = mongo_uri_tls(c, uri, &tls, err);
	if (r == SL_OK) r = x509_user(uri, &tls, err);
	if (r == SL_OK)
		*out = uri;
	else
		mongoc_uri_destroy(uri);
	return r;
}
