/* tls_client.c: the options of a TLS client, the check of its files, and the SSL_CTX made of them. */
#include "tls_client.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem.h"
#include "schema.h"
#include "tls_pem.h"

#define AT(member) offsetof(struct tls_client_conf, member)

static const char *const versions[] = {[TLS_VERSION_1_2] = "tls1.2", [TLS_VERSION_1_3] = "tls1.3", NULL};

const struct conf_field tls_client_fields[] = {
    {.name = "ca",
     .type = CONF_STRING,
     .flags = CONF_EXPAND | CONF_NONEMPTY,
     .at = AT(ca),
     .example = "./certs/ca.pem",
     .doc = "PEM file with the certificates of the authorities to trust. Without it the system's are trusted."},
    {.name = "cert",
     .type = CONF_STRING,
     .flags = CONF_EXPAND | CONF_NONEMPTY,
     .at = AT(cert),
     .example = "./certs/sluice.pem",
     .doc = "PEM file with our own certificate, for a server that asks for one, followed by those of its issuers if "
	    "there are any. Needs `key`."},
    {.name = "key",
     .type = CONF_STRING,
     .flags = CONF_EXPAND | CONF_NONEMPTY,
     .at = AT(key),
     .example = "./certs/sluice.key",
     .doc = "PEM file with the private key of `cert`. May be the same file."},
    {.name = "key_password",
     .type = CONF_STRING,
     .flags = CONF_EXPAND | CONF_SECRET,
     .at = AT(key_password),
     .example = "${file:./certs/sluice.pass}",
     .doc = "The password of `key`, when it is encrypted."},
    {.name = "server_name",
     .type = CONF_STRING,
     .flags = CONF_EXPAND | CONF_NONEMPTY,
     .at = AT(server_name),
     .max = 253,
     .example = "db.internal",
     .doc = "The name that the server's certificate must bear, and that we ask for (SNI). Without it this is the host "
	    "of the connection."},
    {.name = "verify",
     .type = CONF_BOOL,
     .at = AT(verify),
     .def = "true",
     .doc = "Check the server's certificate and its name. `false` lets anybody in between read and change "
	    "everything: for experiments only."},
    {.name = "min_version",
     .type = CONF_ENUM,
     .at = AT(min_version),
     .names = versions,
     .def = "tls1.2",
     .doc = "The oldest version of TLS to speak."},
    CONF_END};

/* ---- the system's authorities ---------------------------------------------------------------------------- */

static bool is_readable_file(const char *path) {
	struct stat st;
	return path && path[0] && stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 &&
	       access(path, R_OK) == 0;
}

const char *tls_client_system_ca(struct sl_err *err) {
	const char *const places[] = {
	    secure_getenv(X509_get_default_cert_file_env()),
	    "/etc/ssl/certs/ca-certificates.crt", /* Debian, Arch, Alpine */
	    "/etc/pki/tls/certs/ca-bundle.crt",   /* Fedora and its kin */
	    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
	    "/etc/ssl/ca-bundle.pem", /* SUSE */
	    "/etc/ssl/cert.pem",
	    X509_get_default_cert_file(),
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(places); i++)
		if (is_readable_file(places[i])) return places[i];
	sl_err_set(err, SL_ENOTFOUND,
		   "this system has no file with the certificates of authorities; install one (the package is called "
		   "ca-certificates nearly everywhere), set %s to its path, or give `tls.ca`",
		   X509_get_default_cert_file_env());
	return NULL;
}

/* ---- the client ------------------------------------------------------------------------------------------ */

static int check_options(const struct tls_client_conf *conf, struct sl_err *err) {
	if (conf->cert && !conf->key)
		return sl_err_set(err, SL_EINVAL,
				  "`tls.cert` needs `tls.key`, the private key of the certificate; when one file holds "
				  "both, name it twice");
	if (conf->key && !conf->cert)
		return sl_err_set(err, SL_EINVAL, "`tls.key` needs `tls.cert`, the certificate that belongs to it");
	if (conf->key_password && !conf->key)
		return sl_err_set(err, SL_EINVAL,
				  "`tls.key_password` is the password of `tls.key`, which is not there");
	return SL_OK;
}

static int fill_ctx(struct tls_client *client, const struct tls_client_conf *conf, struct sl_err *err) {
	SSL_CTX *ctx = client->ctx;
	int version = conf->min_version == TLS_VERSION_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
	if (SSL_CTX_set_min_proto_version(ctx, version) != 1)
		return sl_err_set(err, SL_EUNSUPPORTED, "`tls.min_version`: this OpenSSL does not speak TLS %s",
				  versions[conf->min_version]);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	int rc = SL_OK;
	if (conf->verify || conf->ca) {
		const char *ca = conf->ca ? conf->ca : tls_client_system_ca(err);
		if (!ca) return SL_ENOTFOUND;
		client->ca = sl_strdup(ca);
		rc = tls_pem_authorities(ctx, "ca", ca, err);
		/* Whoever names a file trusts what is in it, be it an intermediate or the server's own certificate. */
		if (conf->ca) X509_STORE_set_flags(SSL_CTX_get_cert_store(ctx), X509_V_FLAG_PARTIAL_CHAIN);
	}
	if (rc == SL_OK && conf->cert)
		rc = tls_pem_own(
		    ctx,
		    &(struct tls_pem_own){.cert = conf->cert, .key = conf->key, .key_password = conf->key_password},
		    err);
	return rc;
}

int tls_client_new(const struct tls_client_conf *conf, struct tls_client **out, struct sl_err *err) {
	int rc = check_options(conf, err);
	*out = NULL;
	if (rc != SL_OK) return rc;
	struct tls_client *client = SL_NEW(struct tls_client);
	atomic_init(&client->refs, 1);
	client->verify = conf->verify;
	if (conf->server_name) client->server_name = sl_strdup(conf->server_name);
	client->ctx = SSL_CTX_new(TLS_client_method());
	if (client->ctx)
		rc = fill_ctx(client, conf, err);
	else
		rc = sl_err_set(err, SL_ESYSTEM, "OpenSSL cannot be set up: %s",
				ERR_reason_error_string(ERR_peek_last_error()));
	ERR_clear_error();
	if (rc == SL_OK)
		*out = client;
	else
		tls_client_free(client);
	return rc;
}

int tls_client_check(const struct tls_client_conf *conf, struct sl_err *err) {
	if (!conf->given) return SL_OK;
	if (conf_expand_stands_in()) return check_options(conf, err);
	struct tls_client *client;
	int rc = tls_client_new(conf, &client, err);
	tls_client_free(client);
	return rc;
}

struct tls_client *tls_client_ref(struct tls_client *client) {
	atomic_fetch_add_explicit(&client->refs, 1, memory_order_relaxed);
	return client;
}

void tls_client_free(struct tls_client *client) {
	if (!client || atomic_fetch_sub_explicit(&client->refs, 1, memory_order_acq_rel) != 1) return;
	SSL_CTX_free(client->ctx);
	sl_free(client->server_name);
	sl_free(client->ca);
	sl_free(client);
}

/* ---- one connection -------------------------------------------------------------------------------------- */

static bool is_address(const char *host) {
	unsigned char a[16];
	return inet_pton(AF_INET, host, a) == 1 || inet_pton(AF_INET6, host, a) == 1;
}

int tls_client_peer(const struct tls_client *client, SSL *ssl, const char *host, struct sl_err *err) {
	const char *name = client->server_name ? client->server_name : host;
	int ok = 1;
	if (name[0] == '/') {
		if (client->verify)
			return sl_err_set(
			    err, SL_EINVAL,
			    "%s is no host name, so the server's certificate cannot be checked against it; "
			    "give `server_name:` under `tls:`",
			    name);
	} else if (is_address(name)) { /* not asked for: SNI is for names only */
		ok = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name);
	} else {
		SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
		ok = SSL_set1_host(ssl, name) && SSL_set_tlsext_host_name(ssl, name);
	}
	if (ok != 1) return sl_err_set(err, SL_EINVAL, "'%s' is not the name of a host", name);
	SSL_set_verify(ssl, client->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	return SL_OK;
}
