/* tls_error.c: what goes wrong between two who do not know each other yet, and what to do about it. */
#include "tls_error.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "buf.h"
#include "mem.h"

enum { NAMES_SHOWN = 4, NAME_SHOWN = 120 };

/* ---- certificates ---------------------------------------------------------------------------------------- */

static void put_outside_text(struct sl_buf *out, const unsigned char *p, int n) {
	for (int i = 0; i < n && i < NAME_SHOWN; i++) sl_buf_put(out, p[i] > 32 && p[i] < 127 ? (char)p[i] : '?');
	if (n > NAME_SHOWN) sl_buf_append_str(out, "...");
}

static void put_address(struct sl_buf *out, const ASN1_OCTET_STRING *ip) {
	char text[INET6_ADDRSTRLEN];
	int n = ASN1_STRING_length(ip), family = n == 4 ? AF_INET : AF_INET6;
	bool fine = (n == 4 || n == 16) && inet_ntop(family, ASN1_STRING_get0_data(ip), text, sizeof text);
	sl_buf_append_str(out, fine ? text : "?");
}

/* "CN=Name,O=Org". */
static void put_dn(struct sl_buf *out, const X509_NAME *name) {
	BIO *bio = BIO_new(BIO_s_mem());
	unsigned char *text;
	X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253);
	long n = BIO_get_mem_data(bio, &text);
	for (long i = 0; i < n && i < NAME_SHOWN; i++)
		sl_buf_put(out, text[i] >= 32 && text[i] < 127 ? (char)text[i] : '?');
	if (n == 0) sl_buf_append_str(out, "nobody");
	BIO_free(bio);
}

/* The names that a certificate is for; how many. The first one is the one to offer as server_name. */
static int put_names(struct sl_buf *out, const X509 *x, struct sl_buf *first) {
	GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	int shown = 0, count = 0;
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		if (name->type != GEN_DNS && name->type != GEN_IPADD) continue;
		if (++count > NAMES_SHOWN) continue;
		struct sl_buf one = SL_BUF_INIT;
		if (name->type == GEN_DNS)
			put_outside_text(&one, ASN1_STRING_get0_data(name->d.dNSName),
					 ASN1_STRING_length(name->d.dNSName));
		else
			put_address(&one, name->d.iPAddress);
		sl_buf_printf(out, "%s%s", shown++ ? ", " : "", sl_buf_cstr(&one));
		if (shown == 1) sl_buf_append_slice(first, sl_buf_slice(&one));
		sl_buf_fini(&one);
	}
	if (count > shown) sl_buf_printf(out, " and %d more", count - shown);
	GENERAL_NAMES_free(names);
	return shown;
}

static void put_mismatch(struct sl_buf *out, const X509 *x, const char *host) {
	struct sl_buf names = SL_BUF_INIT, first = SL_BUF_INIT;
	if (put_names(&names, x, &first) == 0) {
		sl_buf_printf(out,
			      "the server's certificate names no host (it has no subjectAltName), so it cannot be for "
			      "'%s'; the server needs a certificate with its name",
			      host);
	} else {
		sl_buf_printf(out,
			      "the server's certificate is for %s, not for '%s'; is this the right server? If so, ",
			      sl_buf_cstr(&names), host);
		if (slice_find_byte(sl_buf_slice(&first), '*') < 0)
			sl_buf_printf(out, "write `server_name: %s` under `tls:`", sl_buf_cstr(&first));
		else
			sl_buf_append_str(out, "write the name that it should bear as `server_name:` under `tls:`");
	}
	sl_buf_fini(&names);
	sl_buf_fini(&first);
}

static void put_date(struct sl_buf *out, const ASN1_TIME *when) {
	struct tm tm;
	if (ASN1_TIME_to_tm(when, &tm) != 1) return;
	sl_buf_printf(out, "%04d-%02d-%02d %02d:%02d UTC", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
		      tm.tm_min);
}

/* "the server's certificate", "the certificate of 'CN=Authority' above the server's". */
static void put_which(struct sl_buf *out, const X509 *x, int depth) {
	if (depth == 0) {
		sl_buf_append_str(out, "the server's certificate");
		return;
	}
	sl_buf_append_str(out, "the certificate of '");
	put_dn(out, X509_get_subject_name(x));
	sl_buf_append_str(out, "', which vouches for the server's,");
}

static void put_unknown_authority(struct sl_buf *out, const X509 *x, const struct tls_client *client) {
	bool self = X509_NAME_cmp(X509_get_subject_name(x), X509_get_issuer_name(x)) == 0;
	sl_buf_append_str(out,
			  self ? "the server's certificate goes back to '" : "the server's certificate is signed by '");
	put_dn(out, X509_get_issuer_name(x));
	sl_buf_printf(
	    out,
	    "', which is not among the authorities in %s; if you trust it, give its certificate as `ca:` under "
	    "`tls:`",
	    client && client->ca ? client->ca : "use");
	if (!self) sl_buf_append_str(out, " (or let the server send the certificates between)");
}

char *tls_error_of_certificate(X509_STORE_CTX *store, const char *host, const struct tls_client *client) {
	struct sl_buf out = SL_BUF_INIT;
	const X509 *x = X509_STORE_CTX_get_current_cert(store);
	int fault = X509_STORE_CTX_get_error(store), depth = X509_STORE_CTX_get_error_depth(store);
	if (!x) x = X509_STORE_CTX_get0_cert(store);
	switch (x ? fault : X509_V_ERR_UNSPECIFIED) {
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH: put_mismatch(&out, x, host); break;
	case X509_V_ERR_CERT_HAS_EXPIRED:
		put_which(&out, x, depth);
		sl_buf_append_str(&out, " expired on ");
		put_date(&out, X509_get0_notAfter(x));
		sl_buf_append_str(&out, "; it must be renewed there (or the clock of this machine is wrong)");
		break;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		put_which(&out, x, depth);
		sl_buf_append_str(&out, " is not valid before ");
		put_date(&out, X509_get0_notBefore(x));
		sl_buf_append_str(&out, "; is the clock of this machine right?");
		break;
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN: put_unknown_authority(&out, x, client); break;
	default:
		if (x)
			put_which(&out, x, depth);
		else
			sl_buf_append_str(&out, "the server's certificate");
		sl_buf_printf(&out, " is not accepted: %s", X509_verify_cert_error_string(fault));
	}
	return sl_buf_steal(&out);
}

/* ---- the handshake --------------------------------------------------------------------------------------- */

/* What the other side's alerts, and our own complaints, mean to a client. */
static const struct {
	int reason, status;
	const char *text;
} words[] = {
#define NO_TLS SL_EPROTOCOL, "the server does not speak TLS on this port; connect to its TLS port, or leave `tls:` out"
    {SSL_R_WRONG_VERSION_NUMBER, NO_TLS},
    {SSL_R_PACKET_LENGTH_TOO_LONG, NO_TLS},
    {SSL_R_HTTP_REQUEST, NO_TLS},
    {SSL_R_UNEXPECTED_MESSAGE, NO_TLS},
    {SSL_R_BAD_RECORD_TYPE, NO_TLS},
#undef NO_TLS
#define OLD_TLS                                                                                                        \
	SL_EPROTOCOL,                                                                                                  \
	    "the server speaks no version of TLS that `min_version` under `tls:` allows; the server must learn "       \
	    "TLS 1.2 or later"
    {SSL_R_UNSUPPORTED_PROTOCOL, OLD_TLS},
    {SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, OLD_TLS},
    {SSL_R_VERSION_TOO_LOW, OLD_TLS},
#undef OLD_TLS
    {SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE, SL_EPROTOCOL,
     "the server ended the handshake: it shares no cipher with us, or it wants a certificate of ours (`tls.cert` and "
     "`tls.key`)"},
    {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, SL_EDENIED,
     "the server wants a certificate of ours: give `tls.cert` and `tls.key`"},
    {SSL_R_TLSV13_ALERT_MISSING_EXTENSION, SL_EPROTOCOL, "the server misses something in our offer"},
    {SSL_R_TLSV1_ALERT_UNKNOWN_CA, SL_EDENIED,
     "the server does not know the authority that signed our certificate (`tls.cert`); its settings must name it, or "
     "the file must hold the certificates between as well"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, SL_EDENIED,
     "the server says that our certificate (`tls.cert`) has expired; put a new one there, and its key at `tls.key`"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED, SL_EDENIED,
     "the server says that our certificate (`tls.cert`) is revoked; put a new one there, and its key at `tls.key`"},
    {SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, SL_EDENIED,
     "the server refuses our certificate (`tls.cert`); its log may say why"},
    {SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE, SL_EDENIED,
     "the server does not take a certificate of our kind (`tls.cert`); is it one for clients?"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, SL_EDENIED,
     "the server cannot make use of our certificate (`tls.cert`): it has expired, or the server does not know the "
     "authority that signed it; its log may say which"},
    {SSL_R_TLSV1_ALERT_ACCESS_DENIED, SL_EDENIED,
     "the server knows our certificate (`tls.cert`) and lets it do nothing"},
    {SSL_R_TLSV1_UNRECOGNIZED_NAME, SL_EPROTOCOL,
     "the server does not know itself by the name that we asked for; give the right one as `server_name:` under "
     "`tls:`"},
    {SSL_R_CERTIFICATE_VERIFY_FAILED, SL_EDENIED, "the server's certificate is not accepted"},
};

/* And to a server, for its log. */
static const struct {
	int reason, status;
	const char *text;
} server_words[] = {
#define NO_TLS SL_EPROTOCOL, "the client does not speak TLS; it belongs on a port without, or its settings lack TLS"
    {SSL_R_WRONG_VERSION_NUMBER, NO_TLS},
    {SSL_R_PACKET_LENGTH_TOO_LONG, NO_TLS},
    {SSL_R_UNEXPECTED_MESSAGE, NO_TLS},
    {SSL_R_BAD_RECORD_TYPE, NO_TLS},
    {SSL_R_RECORD_LENGTH_MISMATCH, NO_TLS},
    {SSL_R_BAD_PACKET, NO_TLS},
#undef NO_TLS
    {SSL_R_HTTP_REQUEST, SL_EPROTOCOL, "the client speaks HTTP without TLS"},
    {SSL_R_HTTPS_PROXY_REQUEST, SL_EPROTOCOL, "the client takes this for an HTTP proxy"},
    {SSL_R_UNSUPPORTED_PROTOCOL, SL_EPROTOCOL, "the client speaks no version of TLS that `min_version` allows"},
    {SSL_R_VERSION_TOO_LOW, SL_EPROTOCOL, "the client speaks no version of TLS that `min_version` allows"},
    {SSL_R_NO_SHARED_CIPHER, SL_EPROTOCOL, "the client shares no cipher with us, or knows none of our pre-shared keys"},
    {SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, SL_EPROTOCOL, "the client can make nothing of our kind of certificate"},
    {SSL_R_NO_APPLICATION_PROTOCOL, SL_EPROTOCOL, "the client names none of the protocols in `alpn`"},
    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, SL_EDENIED,
     "the client has shown no certificate, which `verify_peer: required` asks for"},
    {SSL_R_BINDER_DOES_NOT_VERIFY, SL_EDENIED,
     "the client has another pre-shared key for its identity than `psk_file`"},
    {SSL_R_PSK_IDENTITY_NOT_FOUND, SL_EDENIED, "the client's identity is not in `psk_file`"},
    {SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC, SL_EPROTOCOL,
     "a record was damaged, or the client has another pre-shared key for its identity"},
    {SSL_R_NO_RENEGOTIATION, SL_EPROTOCOL, "the client wants to renegotiate, which is off"},
    {SSL_R_TLSV1_ALERT_UNKNOWN_CA, SL_EDENIED, "the client does not know the authority that signed our certificate"},
    {SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, SL_EDENIED, "the client refuses our certificate"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, SL_EDENIED, "the client refuses our certificate"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, SL_EDENIED, "the client says that our certificate has expired"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED, SL_EDENIED, "the client says that our certificate is revoked"},
    {SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE, SL_EPROTOCOL, "the client broke the handshake off"},
    {SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, SL_EPROTOCOL, "the client wants another version of TLS"},
    {SSL_R_TLSV1_ALERT_DECRYPT_ERROR, SL_EDENIED, "the client could not verify the handshake"},
};

char *tls_error_of_client(X509_STORE_CTX *store) {
	struct sl_buf out = SL_BUF_INIT;
	const X509 *x = X509_STORE_CTX_get_current_cert(store), *leaf = X509_STORE_CTX_get0_cert(store);
	int fault = X509_STORE_CTX_get_error(store);
	sl_buf_append_str(&out, "the client's certificate '");
	if (leaf) put_dn(&out, X509_get_subject_name(leaf));
	sl_buf_printf(&out, "' is not accepted: %s", X509_verify_cert_error_string(fault));
	if (x && x != leaf) {
		sl_buf_append_str(&out, ", of '");
		put_dn(&out, X509_get_subject_name(x));
		sl_buf_append_str(&out, "' above it");
	}
	if (fault == X509_V_ERR_UNABLE_TO_GET_CRL) sl_buf_append_str(&out, "; `crl` has no list of its authority");
	if (fault == X509_V_ERR_CRL_HAS_EXPIRED) sl_buf_append_str(&out, "; put a new one into `crl` and reload");
	return sl_buf_steal(&out);
}

char *tls_error_of_code(unsigned long code, bool is_client, int *status) {
	*status = SL_EPROTOCOL;
	if (code == 0) return sl_strdup("the TLS connection broke");
	int reason = ERR_GET_REASON(code);
	for (size_t i = 0; is_client && ERR_GET_LIB(code) == ERR_LIB_SSL && i < SL_ARRAY_LEN(words); i++) {
		if (words[i].reason != reason) continue;
		*status = words[i].status;
		return sl_strdup(words[i].text);
	}
	for (size_t i = 0; !is_client && ERR_GET_LIB(code) == ERR_LIB_SSL && i < SL_ARRAY_LEN(server_words); i++) {
		if (server_words[i].reason != reason) continue;
		*status = server_words[i].status;
		return sl_strdup(server_words[i].text);
	}
	const char *text = ERR_reason_error_string(code);
	return text ? sl_asprintf("TLS failed: %s", text) : sl_asprintf("TLS failed with the error %lx", code);
}

const char *tls_error_of_our_certificate(const char *text) {
	for (size_t i = 0; i < SL_ARRAY_LEN(words); i++) {
		bool alert = words[i].reason > SSL_AD_REASON_OFFSET;
		bool ours = words[i].status == SL_EDENIED || words[i].reason == SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE;
		const char *said = ERR_reason_error_string(ERR_PACK(ERR_LIB_SSL, 0, words[i].reason));
		if (alert && ours && said && strstr(text, said)) return words[i].text;
	}
	return NULL;
}
