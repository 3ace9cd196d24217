#include "tls_pki.h"

#include <dirent.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common.h"
#include "mem.h"

void pki_new(struct pki *p) {
	*p = (struct pki){.dir = P_tmpdir "/sluice_pki_XXXXXX"};
	sl_assert(mkdtemp(p->dir));
}

void pki_free(struct pki *p) {
	DIR *dir = opendir(p->dir);
	sl_assert(dir);
	for (struct dirent *e; (e = readdir(dir)) != NULL;) {
		if (e->d_name[0] == '.') continue;
		char *path = pki_path(p, e->d_name);
		unlink(path);
		sl_free(path);
	}
	closedir(dir);
	rmdir(p->dir);
}

char *pki_path(const struct pki *p, const char *file) { return sl_asprintf("%s/%s", p->dir, file); }

static FILE *file_of(const struct pki *p, const char *name, const char *ending, const char *mode) {
	char *path = sl_asprintf("%s/%s%s", p->dir, name, ending);
	FILE *f = fopen(path, mode);
	sl_assert(f);
	sl_free(path);
	return f;
}

void pki_write(const struct pki *p, const char *file, const char *text) {
	FILE *f = file_of(p, file, "", "w");
	fputs(text, f);
	fclose(f);
}

static void add_extension(X509 *x, X509 *issuer, int nid, const char *value) {
	X509V3_CTX ctx;
	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	sl_assert(e && X509_add_ext(x, e, -1) == 1);
	X509_EXTENSION_free(e);
}

static void issuer_of(const struct pki *p, const char *name, X509 **x, EVP_PKEY **key) {
	FILE *f = file_of(p, name, ".pem", "r");
	*x = PEM_read_X509(f, NULL, NULL, NULL);
	fclose(f);
	f = file_of(p, name, ".key", "r");
	*key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
	fclose(f);
	sl_assert(*x && *key);
}

static void write_pair(const struct pki *p, const char *name, const struct pki_spec *spec, X509 *x, EVP_PKEY *key) {
	FILE *f = file_of(p, name, ".pem", "w");
	sl_assert(PEM_write_X509(f, x) == 1);
	fclose(f);
	f = file_of(p, name, ".key", "w");
	const char *password = spec->key_password;
	sl_assert(PEM_write_PrivateKey(f, key, password ? EVP_aes_128_cbc() : NULL, (const unsigned char *)password,
				       password ? (int)strlen(password) : 0, NULL, NULL) == 1);
	fclose(f);
}

void pki_make(struct pki *p, const char *name, const struct pki_spec *spec) {
	static long serial = 1;
	EVP_PKEY *key = EVP_EC_gen("P-256"), *issuer_key = key;
	X509 *x = X509_new(), *issuer = x;
	X509_NAME *subject = X509_get_subject_name(x);
	bool always = spec->from_days == 0 && spec->to_days == 0;
	sl_assert(key && x);
	if (spec->issuer) issuer_of(p, spec->issuer, &issuer, &issuer_key);
	X509_set_version(x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
	X509_gmtime_adj(X509_getm_notBefore(x), 86400L * (always ? -1 : spec->from_days));
	X509_gmtime_adj(X509_getm_notAfter(x), 86400L * (always ? 1 : spec->to_days));
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(issuer));
	X509_set_pubkey(x, key);
	if (spec->san && spec->san[0]) add_extension(x, issuer, NID_subject_alt_name, spec->san);
	if (!spec->san) add_extension(x, issuer, NID_basic_constraints, "critical,CA:TRUE");
	sl_assert(X509_sign(x, issuer_key, EVP_sha256()) > 0);
	write_pair(p, name, spec, x, key);
	if (spec->issuer) {
		X509_free(issuer);
		EVP_PKEY_free(issuer_key);
	}
	X509_free(x);
	EVP_PKEY_free(key);
}
