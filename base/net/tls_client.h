/* tls_client.h: how Sluice speaks TLS to a server: one set of options, checked once, for every kind of connector.
 *
 * A kind embeds the options as an object of its own table, and sees by `given` whether `tls:` was written at all:
 *
 *     struct redis_conf { ...; struct tls_client_conf tls; };
 *     {.name = "tls", .type = CONF_OBJECT, .flags = CONF_GIVEN, .at = offsetof(struct redis_conf, tls),
 *      .fields = tls_client_fields, .doc = TLS_CLIENT_DOC},
 *
 * conn_check() then calls tls_client_check(). A kind with streams of ours makes a struct tls_client in open() and hands it to
 * sl_stream_tls_connect() (stream_tls.h); a kind with a client library maps the settings onto the library's own, with
 * tls_client_system_ca() where `ca` is absent and the library wants a file.
 *
 * What is on by default is safe: the server's certificate must be valid, signed by an authority of the system or of `ca`,
 * and made out for the server's name; TLS 1.2 at least.
 *
 * Lifetime: a tls_client is counted; every stream holds a reference, so settings may change while connections stand.
 * Thread: any (the count is atomic). tls_client_check() and tls_client_new() read files: not on a worker's loop while
 * messages flow, but at start, at a change of settings, in a check. Errors: SL_EINVAL, SL_EIO, SL_ENOTFOUND with a text that
 * names the option; no text holds a password. */
#ifndef SL_TLS_CLIENT_H
#define SL_TLS_CLIENT_H

#include <stdatomic.h>

#include "err.h"
#include "field.h"

struct ssl_ctx_st;
struct ssl_st;

enum tls_version { TLS_VERSION_1_2, TLS_VERSION_1_3 };

struct tls_client_conf {
	bool given;         /* `tls:` is there. First: see CONF_GIVEN */
	char *ca;           /* PEM file of authorities; NULL: the system's */
	char *cert, *key;   /* PEM files of our own certificate (and its chain) and key; both or none */
	char *key_password; /* of `key`, or NULL */
	char *server_name;  /* the name to ask for and to check; NULL: the host that is dialled */
	bool verify;
	int min_version; /* enum tls_version */
};
extern const struct conf_field tls_client_fields[];

/* The doc of the `tls` row. */
#define TLS_CLIENT_DOC                                                                                                 \
	"Speak TLS to the server. `tls:` alone is enough where the server's certificate is signed by an authority of " \
	"the system."

/* Reads the files that are named: do they exist, are they PEM, does the key fit the certificate, are both there? And the
 * system's authorities when they are needed. Files are not looked at where their names are stand-ins
 * (conf_expand_stand_in()). When !given there is nothing to check. */
int tls_client_check(const struct tls_client_conf *conf, struct sl_err *err);

/* The file with the authorities of this system: what SSL_CERT_FILE names, OpenSSL's own default, or one of the usual
 * places. NULL and SL_ENOTFOUND with advice when there is none. Static storage or the environment's. */
const char *tls_client_system_ca(struct sl_err *err);

/* What all TLS connections of one connector share. */
struct tls_client {
	_Atomic uint32_t refs;
	struct ssl_ctx_st *ctx;
	char *server_name; /* NULL: the host that is dialled */
	char *ca;          /* where the authorities came from, for error texts */
	bool verify;
};
int tls_client_new(const struct tls_client_conf *conf, struct tls_client **out, struct sl_err *err);
struct tls_client *tls_client_ref(struct tls_client *client);
void tls_client_free(struct tls_client *client); /* gives one reference back; NULL is fine */

/* Tells a new SSL of client->ctx whom we want to talk to: the name to ask for (SNI, not for addresses) and to check. host
 * is what is dialled; server_name goes before it. SL_EINVAL when it can be no name. */
int tls_client_peer(const struct tls_client *client, struct ssl_st *ssl, const char *host, struct sl_err *err);

#endif
