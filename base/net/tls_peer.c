#include "tls_peer.h"

#include <arpa/inet.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#include "mem.h"
#include "slice.h"
#include "utf8.h"

/* NULL when it is no text that can be shown as it is. */
static char *text_of(const unsigned char *bytes, int n) {
	if (n <= 0 || memchr(bytes, '\0', (size_t)n)) return NULL;
	if (!utf8_valid(slice_make((const char *)bytes, (size_t)n))) return NULL;
	return sl_memdup0(bytes, (size_t)n);
}

static char *common_name_of(const X509_NAME *name) {
	char *cn = NULL;
	int at = -1;
	for (int next; (next = X509_NAME_get_index_by_NID(name, NID_commonName, at)) >= 0;) at = next;
	if (at < 0) return NULL;
	unsigned char *utf8 = NULL;
	int n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
	if (n > 0) cn = text_of(utf8, n);
	OPENSSL_free(utf8);
	return cn;
}

static char *dn_of(const X509_NAME *name) {
	BIO *bio = BIO_new(BIO_s_mem());
	sl_assert(bio);
	char *bytes = NULL, *dn = NULL;
	/* Bytes above 127 as UTF-8; what would break the notation, NUL included, is escaped. */
	if (X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) >= 0) {
		long n = BIO_get_mem_data(bio, &bytes);
		if (n == 0) dn = sl_strdup("");
		if (n > 0) dn = text_of((const unsigned char *)bytes, (int)n);
	}
	BIO_free(bio);
	return dn;
}

static char *serial_of(const X509 *cert) {
	BIGNUM *bn = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
	char *hex = bn ? BN_bn2hex(bn) : NULL, *serial = hex ? sl_strdup(hex) : NULL;
	OPENSSL_free(hex);
	BN_free(bn);
	return serial;
}

static char *fingerprint_of(const X509 *cert) {
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	if (X509_digest(cert, EVP_sha256(), md, &n) != 1) return NULL;
	char *hex = sl_alloc((size_t)n * 2 + 1);
	for (unsigned i = 0; i < n; i++) {
		hex[i * 2] = "0123456789abcdef"[md[i] >> 4];
		hex[i * 2 + 1] = "0123456789abcdef"[md[i] & 15];
	}
	hex[n * 2] = '\0';
	return hex;
}

static char *address_of(const ASN1_OCTET_STRING *ip) {
	char text[INET6_ADDRSTRLEN];
	int n = ASN1_STRING_length(ip), family = n == 4 ? AF_INET : AF_INET6;
	if (n != 4 && n != 16) return NULL;
	return inet_ntop(family, ASN1_STRING_get0_data(ip), text, sizeof text) ? sl_strdup(text) : NULL;
}

static void add_name(struct tls_peer_names *names, char *name) {
	if (!name) return;
	names->v = sl_realloc_array(names->v, names->len + 1, sizeof *names->v);
	names->v[names->len++] = name;
}

static void add_alt_names(struct tls_peer *p, const X509 *cert) {
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		struct tls_peer_names *to = name->type == GEN_DNS     ? &p->dns
					    : name->type == GEN_EMAIL ? &p->email
					    : name->type == GEN_URI   ? &p->uri
								      : NULL;
		if (to) {
			const ASN1_STRING *text = name->d.ia5;
			add_name(to, text_of(ASN1_STRING_get0_data(text), ASN1_STRING_length(text)));
		} else if (name->type == GEN_IPADD) {
			add_name(&p->ip, address_of(name->d.iPAddress));
		}
	}
	GENERAL_NAMES_free(names);
}

static int64_t seconds_of(const ASN1_TIME *at) {
	struct tm tm;
	if (!at || ASN1_TIME_to_tm(at, &tm) != 1) return 0;
	return (int64_t)timegm(&tm);
}

int64_t tls_cert_not_after_s(const X509 *cert) { return seconds_of(X509_get0_notAfter(cert)); }

struct tls_peer *tls_peer_new(X509 *cert, const char *psk_identity) {
	if (!cert && !psk_identity) return NULL;
	struct tls_peer *p = SL_NEW(struct tls_peer);
	if (psk_identity) p->psk_identity = sl_strdup(psk_identity);
	if (!cert) return p;
	p->common_name = common_name_of(X509_get_subject_name(cert));
	p->subject = dn_of(X509_get_subject_name(cert));
	p->issuer = dn_of(X509_get_issuer_name(cert));
	p->serial = serial_of(cert);
	p->fingerprint = fingerprint_of(cert);
	add_alt_names(p, cert);
	p->not_before_s = seconds_of(X509_get0_notBefore(cert));
	p->not_after_s = tls_cert_not_after_s(cert);
	ERR_clear_error();
	return p;
}

static void free_names(struct tls_peer_names *names) {
	for (size_t i = 0; i < names->len; i++) sl_free(names->v[i]);
	sl_free(names->v);
}

void tls_peer_free(struct tls_peer *p) {
	if (!p) return;
	sl_free(p->common_name);
	sl_free(p->subject);
	sl_free(p->issuer);
	sl_free(p->serial);
	sl_free(p->fingerprint);
	free_names(&p->dns);
	free_names(&p->email);
	free_names(&p->uri);
	free_names(&p->ip);
	sl_free(p->psk_identity);
	sl_free(p);
}
