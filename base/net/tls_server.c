#include "tls_server.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "tls_peer.h"
#include "tls_pem.h"
#include "tls_psk.h"
#include "tls_tickets.h"

/* CA_NAMES: so many authorities are named to a client that is asked for a certificate; of more, none. */
enum { WARN_DAYS = 30, DAY_S = 24 * 3600, CA_NAMES = 64, TRUST_BYTES = 32 };

/* A certificate with all that goes with it. */
struct cert {
	SSL_CTX *ctx;
	char *ocsp;
	size_t ocsp_len;
};

struct host {
	char *name; /* small letters; "*.example.com" as ".example.com" */
	SSL_CTX *ctx;
};

/* What the files and options said at one time. Constant. */
struct tls_setting {
	_Atomic uint32_t refs;
	struct cert *certs; /* the first is for whoever asks for none of the others' names */
	size_t certs_len;
	struct host *hosts;
	size_t hosts_len;
	X509_STORE *store;
	struct tls_psk_table *psk;
	struct tls_tickets *tickets; /* NULL: none are given */
	unsigned char *alpn;         /* as on the wire: length, name, ... */
	unsigned alpn_len;
	bool alpn_required;
	int64_t not_after_s;
	unsigned char trust[TRUST_BYTES]; /* a digest of whom it trusts */
};

struct tls_server {
	_Atomic uint32_t refs;
	pthread_mutex_t lock;
	struct tls_setting *now;
	char *name;
	int64_t warned_ms;
};

static int conn_index;
static pthread_once_t conn_index_once = PTHREAD_ONCE_INIT;
static void conn_index_make(void) { conn_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL); }
static struct tls_server_conn *conn_of(const SSL *ssl) { return SSL_get_ex_data(ssl, conn_index); }

static void setting_unref(struct tls_setting *s) {
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1) return;
	for (size_t i = 0; i < s->certs_len; i++) {
		SSL_CTX_free(s->certs[i].ctx);
		sl_free(s->certs[i].ocsp);
	}
	for (size_t i = 0; i < s->hosts_len; i++) sl_free(s->hosts[i].name);
	sl_free(s->certs);
	sl_free(s->hosts);
	X509_STORE_free(s->store);
	tls_psk_free(s->psk);
	tls_tickets_unref(s->tickets);
	sl_free(s->alpn);
	sl_free(s);
}

/* ---- in a handshake -------------------------------------------------------------------------------------- */

static bool host_fits(const struct host *h, const char *name) {
	if (h->name[0] != '.') return strcmp(h->name, name) == 0;
	const char *rest = strchr(name, '.'); /* a wildcard stands for one label */
	return rest && rest != name && strcmp(rest, h->name) == 0;
}

static int on_host(SSL *ssl, int *alert, void *arg) {
	(void)alert;
	const struct tls_setting *s = arg;
	const char *asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	if (!asked) return SSL_TLSEXT_ERR_OK;
	char *name = sl_strdup(asked);
	for (char *p = name; *p; p++)
		if (*p >= 'A' && *p <= 'Z') *p |= 32;
	const struct host *found = NULL;
	for (size_t i = 0; i < s->hosts_len && !found; i++) /* whole names stand first */
		if (host_fits(&s->hosts[i], name)) found = &s->hosts[i];
	sl_free(name);
	if (found) SSL_set_SSL_CTX(ssl, found->ctx);
	return SSL_TLSEXT_ERR_OK;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
		   unsigned in_len, void *arg) {
	(void)ssl;
	const struct tls_setting *s = arg;
	unsigned char *chosen;
	if (SSL_select_next_proto(&chosen, out_len, s->alpn, s->alpn_len, in, in_len) == OPENSSL_NPN_NEGOTIATED) {
		*out = chosen;
		return SSL_TLSEXT_ERR_OK;
	}
	return s->alpn_required ? SSL_TLSEXT_ERR_ALERT_FATAL : SSL_TLSEXT_ERR_NOACK;
}

/* TLS 1.2 and 1.3 alike. 0: nobody has this identity. */
static unsigned on_psk(SSL *ssl, const char *identity, unsigned char *key, unsigned max) {
	struct tls_server_conn *conn = conn_of(ssl);
	struct sl_slice found = tls_psk_find(conn->setting->psk, slice_from_str(identity));
	if (found.n == 0 || found.n > max) return 0;
	memcpy(key, found.p, found.n);
	sl_free(conn->psk_identity);
	conn->psk_identity = sl_strdup(identity);
	conn->ticket = false;
	return (unsigned)found.n;
}

static int on_ocsp(SSL *ssl, void *arg) {
	const struct cert *c = arg;
	if (!c->ocsp) return SSL_TLSEXT_ERR_NOACK;
	unsigned char *copy = OPENSSL_memdup(c->ocsp, c->ocsp_len); /* OpenSSL frees it */
	if (!copy) return SSL_TLSEXT_ERR_NOACK;
	SSL_set_tlsext_status_ocsp_resp(ssl, copy, (int)c->ocsp_len);
	return SSL_TLSEXT_ERR_OK;
}

static int on_ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
			 int seal) {
	return tls_tickets_key(conn_of(ssl)->setting->tickets, name, iv, cipher, mac, seal);
}

/* A session that began with a pre-shared key carries its identity along. */
static int on_ticket_seal(SSL *ssl, void *arg) {
	(void)arg;
	const struct tls_server_conn *conn = conn_of(ssl);
	if (!conn->psk_identity) return 1;
	return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), conn->psk_identity, strlen(conn->psk_identity));
}

/* The certificate of the session that is taken up again is not looked at by OpenSSL any more. */
static bool still_valid(const SSL_SESSION *session) {
	const X509 *cert = SSL_SESSION_get0_peer((SSL_SESSION *)(uintptr_t)session);
	return !cert || X509_cmp_current_time(X509_get0_notAfter(cert)) > 0;
}

static SSL_TICKET_RETURN on_ticket_open(SSL *ssl, SSL_SESSION *session, const unsigned char *name, size_t name_len,
					SSL_TICKET_STATUS status, void *arg) {
	(void)name;
	(void)name_len;
	(void)arg;
	if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW) return SSL_TICKET_RETURN_IGNORE_RENEW;
	if (!still_valid(session)) return SSL_TICKET_RETURN_IGNORE_RENEW;
	struct tls_server_conn *conn = conn_of(ssl);
	void *identity = NULL;
	size_t n = 0;
	bool has = SSL_SESSION_get0_ticket_appdata(session, &identity, &n) == 1 && n > 0;
	sl_free(conn->psk_identity); /* of a key that was offered before this ticket, and was not taken */
	conn->psk_identity = has ? sl_memdup0(identity, n) : NULL;
	conn->ticket = true;
	return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

/* ---- out of files ---------------------------------------------------------------------------------------- */

static int set_ciphers(SSL_CTX *ctx, const struct tls_server_conf *conf, struct sl_err *err) {
	/* The cheaper AES first: it is strong enough, and the keys of pre-shared ones go with SHA-256 alone, which OpenSSL would not
	 * choose for their sake. A client that prefers ChaCha20 has no AES in hardware. */
	SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256");
	/* Only who has a pre-shared key offers these. */
	if (conf->psk_file) SSL_CTX_set_cipher_list(ctx, "kECDHEPSK:kDHEPSK:kPSK:DEFAULT");
	if (conf->ciphers && SSL_CTX_set_cipher_list(ctx, conf->ciphers) != 1)
		return sl_err_set(
		    err, SL_EINVAL,
		    "`tls.ciphers`: OpenSSL knows no cipher of TLS 1.2 in '%s'; `openssl ciphers -s -tls1_2` "
		    "lists them",
		    conf->ciphers);
	if (conf->ciphersuites && SSL_CTX_set_ciphersuites(ctx, conf->ciphersuites) != 1)
		return sl_err_set(err, SL_EINVAL,
				  "`tls.ciphersuites`: OpenSSL does not know all of '%s'; `openssl ciphers -s -tls1_3` "
				  "lists what it knows",
				  conf->ciphersuites);
	return SL_OK;
}

static void set_tickets(SSL_CTX *ctx, const struct tls_server_conf *conf) {
	static const unsigned char about[] = "sluice"; /* needed where clients have certificates */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_session_id_context(ctx, about, sizeof about - 1);
	if (!conf->session_tickets) {
		SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
		SSL_CTX_set_num_tickets(ctx, 0);
		return;
	}
	/* One connection at a time is what an MQTT client wants: the second ticket that browsers like would be 250 bytes for nothing. */
	SSL_CTX_set_num_tickets(ctx, 1);
	SSL_CTX_set_timeout(ctx, (long)(conf->ticket_lifetime_ms / 1000));
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket_key);
	SSL_CTX_set_session_ticket_cb(ctx, on_ticket_seal, on_ticket_open, NULL);
}

/* Whom to show a certificate from. */
static void name_authorities(SSL_CTX *ctx, X509_STORE *store) {
	const STACK_OF(X509_OBJECT) *all = X509_STORE_get0_objects(store);
	int n = sk_X509_OBJECT_num(all), certs = 0;
	for (int i = 0; i < n; i++) certs += X509_OBJECT_get0_X509(sk_X509_OBJECT_value(all, i)) != NULL;
	for (int i = 0; i < n && certs <= CA_NAMES; i++) {
		X509 *x = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(all, i));
		if (x) SSL_CTX_add_client_CA(ctx, x);
	}
}

static void set_verify(SSL_CTX *ctx, const struct tls_server_conf *conf, X509_STORE *store) {
	if (conf->verify_peer == TLS_VERIFY_NONE) return;
	SSL_CTX_set1_cert_store(ctx, store);
	name_authorities(ctx, store);
	SSL_CTX_set_verify(
	    ctx, SSL_VERIFY_PEER | (conf->verify_peer == TLS_VERIFY_REQUIRED ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
	    NULL);
}

/* All but the certificate. */
static int new_ctx(struct tls_setting *s, const struct tls_server_conf *conf, SSL_CTX **out, struct sl_err *err) {
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	*out = ctx;
	if (!ctx)
		return sl_err_set(err, SL_ESYSTEM, "OpenSSL cannot be set up: %s",
				  ERR_reason_error_string(ERR_peek_last_error()));
	if (SSL_CTX_set_min_proto_version(ctx,
					  conf->min_version == TLS_VERSION_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION) != 1)
		return sl_err_set(err, SL_EUNSUPPORTED, "`tls.min_version`: this OpenSSL does not speak it");
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_max_early_data(ctx, 0);
	set_tickets(ctx, conf);
	set_verify(ctx, conf, s->store);
	SSL_CTX_set_alpn_select_cb(ctx, on_alpn, s);
	SSL_CTX_set_tlsext_servername_callback(ctx, on_host);
	SSL_CTX_set_tlsext_servername_arg(ctx, s);
	if (s->psk) SSL_CTX_set_psk_server_callback(ctx, on_psk);
	return set_ciphers(ctx, conf, err);
}

static int read_ocsp(struct cert *c, const char *path, const char *place, struct sl_err *err) {
	struct sl_buf b = SL_BUF_INIT;
	char *option = sl_asprintf("%socsp_response", place);
	int rc = tls_pem_read(option, path, &b, err);
	if (rc == SL_OK && (b.n < 2 || b.p[0] != 0x30))
		rc = sl_err_set(err, SL_EMALFORMED,
				"`tls.%s`: %s is no OCSP response in binary form (DER), as `openssl ocsp -respout` "
				"writes it",
				option, path);
	sl_free(option);
	if (rc == SL_OK) {
		c->ocsp_len = b.n;
		c->ocsp = sl_buf_steal(&b);
	}
	sl_buf_fini(&b);
	return rc;
}

/* cert: what is wanted; NULL: none, for pre-shared keys alone. */
static int add_cert(struct tls_setting *s, const struct tls_server_conf *conf, const struct tls_server_cert *cert,
		    const char *place, struct sl_err *err) {
	struct cert *c = &s->certs[s->certs_len++];
	int rc = new_ctx(s, conf, &c->ctx, err);
	if (rc != SL_OK || !cert->cert) return rc;
	struct tls_pem_own own = {
	    .cert = cert->cert, .key = cert->key, .key_password = cert->key_password, .place = place};
	rc = tls_pem_own(c->ctx, &own, err);
	if (rc != SL_OK) return rc;
	int64_t end_s = tls_cert_not_after_s(SSL_CTX_get0_certificate(c->ctx));
	if (end_s < s->not_after_s) s->not_after_s = end_s;
	if (!cert->ocsp_response) return SL_OK;
	SSL_CTX_set_tlsext_status_cb(c->ctx, on_ocsp);
	SSL_CTX_set_tlsext_status_arg(c->ctx, c);
	return read_ocsp(c, cert->ocsp_response, place, err);
}

static void add_host(struct tls_setting *s, const char *name, SSL_CTX *ctx) {
	bool wild = name[0] == '*' && name[1] == '.';
	struct host h = {.name = sl_strdup(wild ? name + 1 : name), .ctx = ctx};
	for (char *p = h.name; *p; p++)
		if (*p >= 'A' && *p <= 'Z') *p |= 32;
	s->hosts = sl_realloc_array(s->hosts, s->hosts_len + 1, sizeof *s->hosts);
	size_t at = s->hosts_len++;
	/* Whole names before wildcards, and otherwise as the file has them. */
	for (; !wild && at > 0 && s->hosts[at - 1].name[0] == '.'; at--) s->hosts[at] = s->hosts[at - 1];
	s->hosts[at] = h;
}

static int add_hosts(struct tls_setting *s, const struct tls_server_cert *cert, SSL_CTX *ctx, const char *place,
		     struct sl_err *err) {
	for (size_t i = 0; i < cert->hosts.len; i++) add_host(s, cert->hosts.items[i], ctx);
	if (cert->hosts.len) return SL_OK;
	struct tls_peer *bears = tls_peer_new(SSL_CTX_get0_certificate(ctx), NULL);
	size_t n = bears->dns.len;
	for (size_t i = 0; i < n; i++) add_host(s, bears->dns.v[i], ctx);
	tls_peer_free(bears);
	if (n) return SL_OK;
	return sl_err_set(err, SL_EINVAL,
			  "`tls.%scert`: the certificate in %s bears no DNS name; say as `hosts` who is to get it",
			  place, cert->cert);
}

static int add_certs(struct tls_setting *s, const struct tls_server_conf *conf, struct sl_err *err) {
	const struct tls_server_cert first = {.cert = conf->cert,
					      .key = conf->key,
					      .key_password = conf->key_password,
					      .ocsp_response = conf->ocsp_response},
				     *more = conf->certificates.items;
	/* Callbacks point into the array: it does not move. */
	s->certs = SL_NEW_ARRAY(struct cert, 1 + conf->certificates.len);
	int rc = add_cert(s, conf, &first, "", err);
	for (size_t i = 0; rc == SL_OK && i < conf->certificates.len; i++) {
		char *place = sl_asprintf("certificates[%zu].", i);
		rc = add_cert(s, conf, &more[i], place, err);
		if (rc == SL_OK) rc = add_hosts(s, &more[i], s->certs[s->certs_len - 1].ctx, place, err);
		sl_free(place);
	}
	return rc;
}

/* ---- whom it trusts -------------------------------------------------------------------------------------- */

static int add_crls(X509_STORE *store, const char *path, struct sl_err *err) {
	struct sl_buf b = SL_BUF_INIT;
	int rc = tls_pem_read("crl", path, &b, err), count = 0;
	BIO *bio = rc == SL_OK ? BIO_new_mem_buf(b.p, (int)b.n) : NULL;
	ERR_clear_error();
	for (X509_CRL *crl; bio && (crl = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL)) != NULL; count++) {
		X509_STORE_add_crl(store, crl);
		X509_CRL_free(crl);
	}
	if (rc == SL_OK && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		rc = sl_err_set(err, SL_EMALFORMED, "`tls.crl`: list %d of %s is damaged", count + 1, path);
	else if (rc == SL_OK && count == 0)
		rc = sl_err_set(
		    err, SL_EMALFORMED,
		    "`tls.crl`: %s holds no list of revoked certificates in PEM form (-----BEGIN X509 CRL-----); "
		    "`openssl crl -inform der -in FILE -out FILE.pem` converts one",
		    path);
	ERR_clear_error();
	BIO_free(bio);
	sl_buf_fini(&b);
	/* Those of authorities in between are looked at where there are lists for them (stream_tls.c). */
	X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
	return rc;
}

static int fill_store(struct tls_setting *s, const struct tls_server_conf *conf, struct sl_err *err) {
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method()); /* for its store */
	if (!ctx) return sl_err_set(err, SL_ESYSTEM, "OpenSSL has no memory for the settings of TLS");
	int rc = conf->ca ? tls_pem_authorities(ctx, "ca", conf->ca, err) : SL_OK;
	s->store = SSL_CTX_get_cert_store(ctx);
	X509_STORE_up_ref(s->store);
	SSL_CTX_free(ctx);
	/* Whoever names a file trusts what is in it, be it an intermediate. */
	X509_STORE_set_flags(s->store, X509_V_FLAG_PARTIAL_CHAIN);
	if (rc == SL_OK && conf->crl) rc = add_crls(s->store, conf->crl, err);
	return rc;
}

static int digest_trust(struct tls_setting *s, const struct tls_server_conf *conf, struct sl_err *err) {
	const char *const files[][2] = {{"ca", conf->ca}, {"crl", conf->crl}, {"psk_file", conf->psk_file}};
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	sl_assert(md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1);
	EVP_DigestUpdate(md, &conf->verify_peer, sizeof conf->verify_peer);
	EVP_DigestUpdate(md, &conf->ticket_lifetime_ms, sizeof conf->ticket_lifetime_ms);
	int rc = SL_OK;
	for (size_t i = 0; i < SL_ARRAY_LEN(files) && rc == SL_OK; i++) {
		struct sl_buf b = SL_BUF_INIT;
		if (files[i][1]) rc = tls_pem_read(files[i][0], files[i][1], &b, err);
		EVP_DigestUpdate(md, &b.n, sizeof b.n);
		if (b.n) EVP_DigestUpdate(md, b.p, b.n);
		if (b.p) explicit_bzero(b.p, b.cap);
		sl_buf_fini(&b);
	}
	EVP_DigestFinal_ex(md, s->trust, NULL);
	EVP_MD_CTX_free(md);
	return rc;
}

/* ---- the server ------------------------------------------------------------------------------------------ */

static void set_alpn(struct tls_setting *s, const struct tls_server_conf *conf, bool web) {
	static char *const mqtt[] = {"mqtt", "x-amzn-mqtt-ca"}, *const http[] = {"http/1.1"};
	struct conf_list ours = web ? (struct conf_list){.items = (char **)http, .len = SL_ARRAY_LEN(http)}
				    : (struct conf_list){.items = (char **)mqtt, .len = SL_ARRAY_LEN(mqtt)};
	if (conf->alpn.len) ours = conf->alpn;
	struct sl_buf wire = SL_BUF_INIT;
	for (size_t i = 0; i < ours.len; i++) {
		size_t n = strlen(ours.items[i]);
		sl_buf_put(&wire, (char)n);
		sl_buf_append(&wire, ours.items[i], n);
	}
	s->alpn_len = (unsigned)wire.n;
	s->alpn = (unsigned char *)sl_buf_steal(&wire);
	s->alpn_required = conf->alpn_required;
}

static int new_setting(const struct tls_server_conf *conf, bool web, struct tls_setting **out, struct sl_err *err) {
	struct tls_setting *s = SL_NEW(struct tls_setting);
	atomic_init(&s->refs, 1);
	s->not_after_s = INT64_MAX;
	if (conf->session_tickets) s->tickets = tls_tickets_new((uint64_t)conf->ticket_lifetime_ms);
	set_alpn(s, conf, web);
	int rc = fill_store(s, conf, err);
	if (rc == SL_OK && conf->psk_file) rc = tls_psk_load(conf->psk_file, &s->psk, err);
	if (rc == SL_OK) rc = add_certs(s, conf, err);
	if (rc == SL_OK) rc = digest_trust(s, conf, err);
	ERR_clear_error();
	*out = s;
	if (rc == SL_OK) return SL_OK;
	setting_unref(s);
	*out = NULL;
	return rc;
}

int tls_server_new(const struct tls_server_conf *conf, const char *name, bool web, struct tls_server **out,
		   struct sl_err *err) {
	*out = NULL;
	pthread_once(&conn_index_once, conn_index_make);
	struct tls_setting *setting;
	int rc = new_setting(conf, web, &setting, err);
	if (rc != SL_OK) return rc;
	struct tls_server *server = SL_NEW(struct tls_server);
	atomic_init(&server->refs, 1);
	pthread_mutex_init(&server->lock, NULL);
	server->now = setting;
	server->name = sl_strdup(name);
	*out = server;
	return SL_OK;
}

struct tls_server *tls_server_ref(struct tls_server *server) {
	atomic_fetch_add_explicit(&server->refs, 1, memory_order_relaxed);
	return server;
}

void tls_server_unref(struct tls_server *server) {
	if (!server || atomic_fetch_sub_explicit(&server->refs, 1, memory_order_acq_rel) != 1) return;
	setting_unref(server->now);
	pthread_mutex_destroy(&server->lock);
	sl_free(server->name);
	sl_free(server);
}

static struct tls_setting *setting_now(struct tls_server *server) {
	pthread_mutex_lock(&server->lock);
	struct tls_setting *s = server->now;
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	pthread_mutex_unlock(&server->lock);
	return s;
}

void tls_server_adopt(struct tls_server *server, struct tls_server *fresh) {
	struct tls_setting *next = fresh->now, *old = setting_now(server);
	fresh->now = NULL;
	if (old->tickets && next->tickets && memcmp(old->trust, next->trust, TRUST_BYTES) == 0) {
		tls_tickets_unref(next->tickets);
		next->tickets = tls_tickets_ref(old->tickets);
	}
	pthread_mutex_lock(&server->lock);
	server->now = next;
	server->warned_ms = 0;
	pthread_mutex_unlock(&server->lock);
	setting_unref(old); /* ours */
	setting_unref(old); /* the server's */
	tls_server_unref(fresh);
}

int64_t tls_server_not_after_s(struct tls_server *server) {
	struct tls_setting *s = setting_now(server);
	int64_t end_s = s->not_after_s;
	setting_unref(s);
	return end_s;
}

void tls_server_warn(struct tls_server *server) {
	int64_t now_ms = sl_clock_wall_ms();
	pthread_mutex_lock(&server->lock);
	int64_t left_s = server->now->not_after_s == INT64_MAX ? INT64_MAX : server->now->not_after_s - now_ms / 1000;
	bool due = left_s < (int64_t)WARN_DAYS * DAY_S &&
		   (server->warned_ms == 0 || now_ms - server->warned_ms >= (int64_t)DAY_S * 1000);
	if (due) server->warned_ms = now_ms;
	pthread_mutex_unlock(&server->lock);
	if (!due) return;
	if (left_s <= 0)
		log_warn(LOG_NET, "a certificate has expired: clients refuse it; put a new one in its place and reload",
			 "listener=%s since_days=%lld", server->name, (long long)(-left_s / DAY_S));
	else
		log_warn(LOG_NET, "a certificate ends soon; put a new one in its place and reload",
			 "listener=%s days=%lld", server->name, (long long)(left_s / DAY_S));
}

void tls_server_rotate(struct tls_server *server) {
	struct tls_setting *s = setting_now(server);
	if (s->tickets) tls_tickets_rotate(s->tickets);
	setting_unref(s);
}

SSL *tls_server_begin(struct tls_server *server, struct tls_server_conn *conn) {
	struct tls_setting *s = setting_now(server);
	SSL *ssl = SSL_new(s->certs[0].ctx);
	if (!ssl) {
		setting_unref(s);
		return NULL;
	}
	*conn = (struct tls_server_conn){.setting = s};
	SSL_set_ex_data(ssl, conn_index, conn);
	SSL_set_accept_state(ssl);
	return ssl;
}

/* A key may have been found and then not used, for it did not go with the cipher: that says nothing about who it is. */
void tls_server_done(struct tls_server_conn *conn, SSL *ssl) {
	if (!conn->psk_identity || SSL_session_reused(ssl)) return; /* so does TLS 1.3 call it with such a key */
	int kx = SSL_version(ssl) < TLS1_3_VERSION ? SSL_CIPHER_get_kx_nid(SSL_get_current_cipher(ssl)) : NID_undef;
	if (kx == NID_kx_psk || kx == NID_kx_ecdhe_psk || kx == NID_kx_dhe_psk || kx == NID_kx_rsa_psk) return;
	sl_free(conn->psk_identity);
	conn->psk_identity = NULL;
}

void tls_server_end(struct tls_server_conn *conn) {
	setting_unref(conn->setting);
	sl_free(conn->psk_identity);
	*conn = (struct tls_server_conn){0};
}
