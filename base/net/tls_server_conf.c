/* tls_server_conf.c: the options of a listener's TLS. */
#include <string.h>

#include "schema.h"
#include "tls_server.h"

/* The order of the words is the order of the enums. */
static const char *const verify_modes[] = {"none", "optional", "required", NULL};
static const char *const versions[] = {"tls1.2", "tls1.3", NULL};

#define AT(member) offsetof(struct tls_server_cert, member)

static const struct conf_field certificate_fields[] = {
    {.name = "hosts",
     .type = CONF_STRING_LIST,
     .at = AT(hosts),
     .doc = "The names it is for, `*.example.com` too. Without it: the DNS names that the certificate bears.",
     .example = "mqtt.example.com"},
    {.name = "cert",
     .type = CONF_STRING,
     .flags = CONF_REQUIRED | CONF_EXPAND | CONF_NONEMPTY,
     .at = AT(cert),
     .doc = "PEM file with the certificate, followed by its chain.",
     .example = "./certs/example.pem"},
    {.name = "key",
     .type = CONF_STRING,
     .flags = CONF_REQUIRED | CONF_EXPAND | CONF_NONEMPTY,
     .at = AT(key),
     .doc = "PEM file with its private key.",
     .example = "./certs/example.key"},
    {.name = "key_password",
     .type = CONF_STRING,
     .flags = CONF_EXPAND | CONF_SECRET,
     .at = AT(key_password),
     .doc = "The password of `key`, when it is encrypted.",
     .example = "${file:./certs/example.pass}"},
    {.name = "ocsp_response",
     .type = CONF_STRING,
     .flags = CONF_EXPAND | CONF_NONEMPTY | CONF_ADVANCED,
     .at = AT(ocsp_response),
     .doc = "DER file with an OCSP response about it, for clients that ask.",
     .example = "./certs/example.ocsp"},
    CONF_END};

#undef AT
#define AT(member) offsetof(struct tls_server_conf, member)

const struct conf_field tls_server_fields[] = {
    {.name = "cert",
     .type = CONF_STRING,
     .flags = CONF_EXPAND | CONF_NONEMPTY,
     .at = AT(cert),
     .doc = "PEM file with the server's certificate, followed by its chain. A new one is taken at a reload (SIGHUP); "
	    "connections stay. May be left out where there is `psk_file`.",
     .example = "./certs/server.pem"},
    {.name = "key",
     .type = CONF_STRING,
     .flags = CONF_EXPAND | CONF_NONEMPTY,
     .at = AT(key),
     .doc = "PEM file with its private key. May be the same file.",
     .example = "./certs/server.key"},
    {.name = "key_password",
     .type = CONF_STRING,
     .flags = CONF_EXPAND | CONF_SECRET,
     .at = AT(key_password),
     .doc = "The password of `key`, when it is encrypted.",
     .example = "${file:./certs/server.pass}"},
    {.name = "ca",
     .type = CONF_STRING,
     .flags = CONF_EXPAND | CONF_NONEMPTY,
     .at = AT(ca),
     .doc = "PEM file with the authorities that client certificates are checked against.",
     .example = "./certs/ca.pem"},
    {.name = "verify_peer",
     .type = CONF_ENUM,
     .at = AT(verify_peer),
     .names = verify_modes,
     .def = "none",
     .doc = "Whether a client shows a certificate: it is not asked, it may (and one that is shown must be good), or it "
	    "must."},
    {.name = "crl",
     .type = CONF_STRING,
     .flags = CONF_EXPAND | CONF_NONEMPTY,
     .at = AT(crl),
     .doc = "PEM file with lists of revoked certificates, one from each authority whose clients connect; read again at "
	    "a reload. A list that has expired refuses its clients.",
     .example = "./certs/revoked.pem"},
    {.name = "min_version",
     .type = CONF_ENUM,
     .at = AT(min_version),
     .names = versions,
     .def = "tls1.2",
     .doc = "The oldest version of TLS to speak."},
    {.name = "ciphers",
     .type = CONF_STRING,
     .flags = CONF_NONEMPTY | CONF_ADVANCED,
     .at = AT(ciphers),
     .doc = "The ciphers of TLS 1.2, as OpenSSL writes them. Without it: OpenSSL's own choice.",
     .example = "ECDHE+AESGCM:ECDHE+CHACHA20"},
    {.name = "ciphersuites",
     .type = CONF_STRING,
     .flags = CONF_NONEMPTY | CONF_ADVANCED,
     .at = AT(ciphersuites),
     .doc =
	 "The cipher suites of TLS 1.3, best first, as OpenSSL writes them. Without it: the three that everybody has, "
	 "AES-128 first. Pre-shared keys need one with SHA256 before the others.",
     .example = "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256"},
    {.name = "certificates",
     .type = CONF_OBJECT_LIST,
     .flags = CONF_ADVANCED,
     .at = AT(certificates),
     .fields = certificate_fields,
     .item_size = sizeof(struct tls_server_cert),
     .max = 1000,
     .doc = "More certificates, chosen by the name that a client asks for (SNI). Who asks for none of their names gets "
	    "`cert`."},
    {.name = "alpn",
     .type = CONF_STRING_LIST,
     .flags = CONF_NONEMPTY | CONF_ADVANCED,
     .at = AT(alpn),
     .max = 16,
     .doc = "The protocols to agree on with clients that name some (ALPN), best first. Without it: `mqtt` and "
	    "`x-amzn-mqtt-ca`; for WebSocket `http/1.1`.",
     .example = "mqtt"},
    {.name = "alpn_required",
     .type = CONF_BOOL,
     .flags = CONF_ADVANCED,
     .at = AT(alpn_required),
     .def = "false",
     .doc = "Refuse a client that names protocols and none of ours. One that names none is welcome."},
    {.name = "psk_file",
     .type = CONF_STRING,
     .flags = CONF_EXPAND | CONF_NONEMPTY,
     .at = AT(psk_file),
     .doc =
	 "File with pre-shared keys, `identity:key` in each line, the key in hexadecimal. Clients that know one need "
	 "no certificates.",
     .example = "./certs/psk.txt"},
    {.name = "ocsp_response",
     .type = CONF_STRING,
     .flags = CONF_EXPAND | CONF_NONEMPTY | CONF_ADVANCED,
     .at = AT(ocsp_response),
     .doc = "DER file with an OCSP response about `cert`, for clients that ask; read again at a reload.",
     .example = "./certs/server.ocsp"},
    {.name = "session_tickets",
     .type = CONF_BOOL,
     .flags = CONF_ADVANCED,
     .at = AT(session_tickets),
     .def = "true",
     .doc = "Let clients take up an earlier session, which spares both sides most of the handshake."},
    {.name = "ticket_lifetime",
     .type = CONF_DURATION,
     .flags = CONF_ADVANCED,
     .at = AT(ticket_lifetime_ms),
     .def = "2h",
     .min = 60000,
     .max = (int64_t)7 * 24 * 3600 * 1000,
     .doc = "How long. Keys change as often, and are forgotten after twice as long."},
    CONF_END};

static int fault(const char **option, const char *at, struct sl_err *err, const char *text) {
	*option = at;
	return sl_err_set(err, SL_EINVAL, "%s", text);
}

int tls_server_conf_check(const struct tls_server_conf *conf, const char **option, struct sl_err *err) {
	if (!conf->cert && !conf->psk_file)
		return fault(option, "cert", err,
			     "a listener that speaks TLS needs `cert` and `key`, its certificate and private key, or "
			     "`psk_file`");
	if (conf->cert && !conf->key)
		return fault(
		    option, "cert", err,
		    "`cert` needs `key`, the private key of the certificate; when one file holds both, name it "
		    "twice");
	if (conf->key && !conf->cert)
		return fault(option, "key", err, "`key` needs `cert`, the certificate that belongs to it");
	if (conf->key_password && !conf->key)
		return fault(option, "key_password", err,
			     "`key_password` is the password of `key`, which is not there");
	if (conf->verify_peer != TLS_VERIFY_NONE && !conf->ca)
		return fault(option, "verify_peer", err,
			     "to check client certificates takes `ca`, the file with the authorities that sign them");
	if (conf->verify_peer != TLS_VERIFY_NONE && !conf->cert)
		return fault(option, "verify_peer", err,
			     "client certificates are asked for in handshakes with a certificate of ours: give `cert` "
			     "and `key`, too");
	if (conf->crl && conf->verify_peer == TLS_VERIFY_NONE)
		return fault(option, "crl", err,
			     "nobody's certificate is checked, so nobody's is refused by `crl`; set `verify_peer`");
	if (conf->certificates.len && !conf->cert)
		return fault(
		    option, "certificates", err,
		    "`certificates` are more than one: give `cert` and `key`, for clients that ask for no name");
	if (conf->ocsp_response && !conf->cert)
		return fault(option, "ocsp_response", err, "an OCSP response is about `cert`, which is not there");
	for (size_t i = 0; i < conf->alpn.len; i++) {
		size_t n = strlen(conf->alpn.items[i]);
		if (n == 0 || n > 255) return fault(option, "alpn", err, "the name of a protocol has 1 to 255 bytes");
	}
	return SL_OK;
}
