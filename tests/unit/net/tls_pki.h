/* tls_pki.h: certificates made for a test, in a folder of its own that ends with it. Failing ends the test. */
#ifndef SL_TLS_PKI_H
#define SL_TLS_PKI_H

#include <stdbool.h>

struct pki {
	char dir[64];
};

/* What a certificate is like. All zero: an authority that signs itself and is valid today. */
struct pki_spec {
	const char *issuer; /* the name of one made before; NULL: itself */
	const char *san;    /* subjectAltName as OpenSSL writes it: "DNS:localhost,IP:127.0.0.1"; NULL: an authority */
	int from_days, to_days;   /* from now; both 0: yesterday to tomorrow */
	const char *key_password; /* NULL: the key is not encrypted */
};

void pki_new(struct pki *p);
void pki_free(struct pki *p);
/* Makes NAME.pem and NAME.key. */
void pki_make(struct pki *p, const char *name, const struct pki_spec *spec);
/* "DIR/FILE"; heap. */
char *pki_path(const struct pki *p, const char *file);
void pki_write(const struct pki *p, const char *file, const char *text);

#endif
