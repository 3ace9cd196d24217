/* tls_pem.c: certificates and keys from files, and what is wrong with them in words. */
#include "tls_pem.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem.h"

enum { PEM_FILE_MAX = 16 * 1024 * 1024 }; /* the bundle of a system has a quarter of a megabyte */

/* ---- files ----------------------------------------------------------------------------------------------- */

/* What is wrong with a file that should hold PEM and does not. */
static int not_pem(const char *option, const char *path, const struct sl_buf *b, const char *wanted,
		   struct sl_err *err) {
	if (b->n > 1 && b->p[0] == 0x30)
		return sl_err_set(err, SL_EMALFORMED,
				  "`tls.%s`: %s is in binary form (DER or PKCS #12), and PEM is needed; convert it, "
				  "for example with `openssl x509 -inform der -in FILE -out FILE.pem`, or with "
				  "`openssl pkcs12 -in FILE -out FILE.pem`",
				  option, path);
	return sl_err_set(err, SL_EMALFORMED,
			  "`tls.%s`: %s holds no %s in PEM form (a block that begins with -----BEGIN)", option, path,
			  wanted);
}

static int cannot_read(const char *option, const char *path, int error, struct sl_err *err) {
	const char *advice = error == ENOENT || error == ENOTDIR ? "; a relative path starts at the working directory"
			     : error == EACCES                   ? "; the user that runs Sluice must be able to read it"
								 : "";
	return sl_err_set(err, error == ENOENT ? SL_ENOTFOUND : SL_EIO, "`tls.%s`: cannot read %s: %s%s", option, path,
			  strerror(error), advice);
}

static int read_all(int fd, struct sl_buf *out, int *error) {
	for (;;) {
		sl_buf_grow(out, 16384);
		ssize_t n = read(fd, out->p + out->n, out->cap - out->n);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) *error = errno;
		if (n <= 0) return n == 0 ? SL_OK : SL_EIO;
		out->n += (size_t)n;
		if (out->n > PEM_FILE_MAX) {
			*error = EFBIG;
			return SL_ELIMIT;
		}
	}
}

int tls_pem_read(const char *option, const char *path, struct sl_buf *out, struct sl_err *err) {
	/* The path is quoted in messages, and a key that was put in its place must not be. */
	if (slice_find(slice_from_str(path), SL_SLICE_LIT("-----BEGIN")) >= 0)
		return sl_err_set(err, SL_EINVAL, "`tls.%s` wants the path of a PEM file, not what the file holds",
				  option);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe without a writer must not hold us up */
	if (fd < 0) return cannot_read(option, path, errno, err);
	struct stat st;
	int error = fstat(fd, &st) != 0 ? errno : S_ISDIR(st.st_mode) ? EISDIR : 0;
	if (error == 0) (void)read_all(fd, out, &error);
	close(fd);
	return error ? cannot_read(option, path, error, err) : SL_OK;
}

/* Calls add(ctx, certificate, position) for each certificate of the file; add takes it over. */
static int each_certificate(SSL_CTX *ctx, const char *option, const char *path,
			    int (*add)(SSL_CTX *ctx, X509 *x, int i), struct sl_err *err) {
	struct sl_buf b = SL_BUF_INIT;
	int rc = tls_pem_read(option, path, &b, err), count = 0;
	BIO *bio = rc == SL_OK ? BIO_new_mem_buf(b.p, (int)b.n) : NULL;
	ERR_clear_error();
	for (X509 *x; rc == SL_OK && (x = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL)) != NULL; count++)
		if (!add(ctx, x, count))
			rc = sl_err_set(err, SL_EINVAL, "`tls.%s`: certificate %d of %s cannot be used: %s", option,
					count + 1, path, ERR_reason_error_string(ERR_peek_last_error()));
	if (rc == SL_OK && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		rc = sl_err_set(err, SL_EMALFORMED, "`tls.%s`: certificate %d of %s is damaged", option, count + 1,
				path);
	else if (rc == SL_OK && count == 0)
		rc = not_pem(option, path, &b, "certificate", err);
	ERR_clear_error();
	BIO_free(bio);
	sl_buf_fini(&b);
	return rc;
}

static int add_authority(SSL_CTX *ctx, X509 *x, int i) {
	(void)i;
	int ok = X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), x);
	X509_free(x);
	return ok;
}

static int add_own(SSL_CTX *ctx, X509 *x, int i) {
	int ok = i == 0 ? SSL_CTX_use_certificate(ctx, x) : (int)SSL_CTX_add1_chain_cert(ctx, x);
	X509_free(x);
	return ok;
}

int tls_pem_authorities(SSL_CTX *ctx, const char *option, const char *path, struct sl_err *err) {
	return each_certificate(ctx, option, path, add_authority, err);
}

/* ---- the key --------------------------------------------------------------------------------------------- */

static const char *place_of(const struct tls_pem_own *own) { return own->place ? own->place : ""; }

struct password {
	const char *text; /* or NULL */
	bool asked;
};

/* OpenSSL's own callback would ask at the terminal. */
static int give_password(char *to, int size, int writing, void *arg) {
	(void)writing;
	struct password *p = arg;
	p->asked = true;
	size_t n = p->text ? strlen(p->text) : 0;
	if (n == 0 || n > (size_t)size) return -1;
	memcpy(to, p->text, n);
	return (int)n;
}

static int key_fault(const struct tls_pem_own *own, const char *option, const struct password *p,
		     const struct sl_buf *b, struct sl_err *err) {
	if (p->asked && !p->text)
		return sl_err_set(err, SL_EINVAL,
				  "`tls.%s`: %s is encrypted; give its password as `tls.%skey_password`, best as "
				  "${file:...} or ${ENV_NAME}",
				  option, own->key, place_of(own));
	if (p->asked)
		return sl_err_set(err, SL_EDENIED, "`tls.%s_password` does not open the key in %s", option, own->key);
	return not_pem(option, own->key, b, "private key", err);
}

static int use_key(SSL_CTX *ctx, const struct tls_pem_own *own, const char *option, struct sl_err *err) {
	struct sl_buf b = SL_BUF_INIT;
	struct password password = {.text = own->key_password};
	int rc = tls_pem_read(option, own->key, &b, err);
	if (rc == SL_OK) {
		BIO *bio = BIO_new_mem_buf(b.p, (int)b.n);
		EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, give_password, &password);
		if (!key)
			rc = key_fault(own, option, &password, &b, err);
		else if (SSL_CTX_use_PrivateKey(ctx, key) != 1 || SSL_CTX_check_private_key(ctx) != 1)
			rc = sl_err_set(
			    err, SL_EINVAL,
			    "`tls.%s`: the key in %s does not belong to the certificate in %s (`tls.%scert`)", option,
			    own->key, own->cert, place_of(own));
		EVP_PKEY_free(key);
		BIO_free(bio);
	}
	ERR_clear_error();
	if (b.p) explicit_bzero(b.p, b.cap);
	sl_buf_fini(&b);
	return rc;
}

int tls_pem_own(SSL_CTX *ctx, const struct tls_pem_own *own, struct sl_err *err) {
	char *option = sl_asprintf("%scert", place_of(own));
	int rc = each_certificate(ctx, option, own->cert, add_own, err);
	sl_free(option);
	if (rc != SL_OK) return rc;
	option = sl_asprintf("%skey", place_of(own));
	rc = use_key(ctx, own, option, err);
	sl_free(option);
	return rc;
}
