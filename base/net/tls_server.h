/* tls_server.h: what the TLS of a listener is made of: certificates, whom it trusts, tickets, and how they change while clients stay.
 *
 *     tls_server_new(&conf, "mqtts", &server, &err)     reads all files; nothing is half made
 *     tls_server_adopt(server, fresh)                   at a reload: from now on like `fresh`, which is used up
 *
 * Connections keep what they began with. Session tickets are sealed with keys of the server that no file holds; they are the same for
 * all workers, change once in a ticket's lifetime, and are thrown away when a reload changes whom we trust (ca, crl, psk_file,
 * verify_peer): a session that is resumed is not checked again, so none may outlive the rules under which it began. A client
 * certificate that has expired since ends its session, too.
 *
 * The certificate is chosen by the name that the client asks for (SNI): `certificates`, whole names before wildcards; else the first.
 * Renegotiation, compression and early data are off.
 *
 * Lifetime: counted; connections may outlive it. Thread: any (a lock for each handshake, none for each message). new, check
 * and adopt read files or free much: not on a worker's loop. Errors name the option under `tls:`; no text holds a secret. */
#ifndef SL_TLS_SERVER_H
#define SL_TLS_SERVER_H

#include "err.h"
#include "field.h"
#include "tls_client.h"

struct ssl_st;
struct tls_server;
struct tls_setting;

enum tls_verify_peer { TLS_VERIFY_NONE, TLS_VERIFY_OPTIONAL, TLS_VERIFY_REQUIRED };

/* One more certificate, for clients that ask for its names. */
struct tls_server_cert {
	struct conf_list hosts; /* empty: the names that the certificate bears */
	char *cert, *key, *key_password, *ocsp_response;
};

struct tls_server_conf {
	bool given;                       /* `tls:` is there. First: see CONF_GIVEN */
	char *cert, *key, *key_password;  /* PEM; none with pre-shared keys alone */
	char *ocsp_response;              /* DER */
	struct conf_objects certificates; /* of struct tls_server_cert */
	char *ca, *crl;                   /* PEM */
	int verify_peer;                  /* enum tls_verify_peer */
	int min_version;                  /* enum tls_version */
	char *ciphers, *ciphersuites;     /* of TLS 1.2 and of TLS 1.3, as OpenSSL writes them; NULL: its own choice */
	struct conf_list alpn;            /* empty: mqtt and x-amzn-mqtt-ca, or http/1.1 (web) */
	bool alpn_required;               /* a client that asks for other protocols only is refused */
	char *psk_file;                   /* tls_psk.h */
	bool session_tickets;
	int64_t ticket_lifetime_ms;
};
extern const struct conf_field tls_server_fields[];

/* Do the options fit together? No file is looked at. *option becomes the one that is at fault. */
int tls_server_conf_check(const struct tls_server_conf *conf, const char **option, struct sl_err *err);

/* name: of the listener, for the log. web: HTTP is spoken inside, as far as ALPN is concerned. */
int tls_server_new(const struct tls_server_conf *conf, const char *name, bool web, struct tls_server **out,
		   struct sl_err *err);
struct tls_server *tls_server_ref(struct tls_server *server);
void tls_server_unref(struct tls_server *server); /* NULL is fine */
/* `fresh` belongs to nobody else, and is gone afterwards. */
void tls_server_adopt(struct tls_server *server, struct tls_server *fresh);

/* When the first of its certificates ends, Unix time; INT64_MAX: it has none. */
int64_t tls_server_not_after_s(struct tls_server *server);
/* Logs a warning when that is past, or less than 30 days off: at most once a day. @thread any */
void tls_server_warn(struct tls_server *server);

void tls_server_rotate(struct tls_server *server); /* new ticket keys, as after a ticket's lifetime; for tests */

/* ---- for stream_tls.c ---- */

/* What a connection has of it. */
struct tls_server_conn {
	struct tls_setting *setting; /* a strong reference; NULL: a client's connection, or ended */
	char *psk_identity;
	bool ticket; /* an earlier session is offered, and opened */
};
/* A new SSL, in accept state; NULL: no memory. `conn` stays where it is until tls_server_end(), after the SSL was freed. */
struct ssl_st *tls_server_begin(struct tls_server *server, struct tls_server_conn *conn);
void tls_server_done(struct tls_server_conn *conn,
		     struct ssl_st *ssl); /* the handshake is done: psk_identity is true */
void tls_server_end(struct tls_server_conn *conn);

#endif
