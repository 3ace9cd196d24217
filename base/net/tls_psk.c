#include "tls_psk.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "mem.h"
#include "tls_pem.h"

struct entry {
	struct sl_slice identity, key; /* both in `text`; the key as bytes, where its digits stood */
	uint32_t line;
};

struct tls_psk_table {
	struct sl_buf text;
	struct entry *v; /* by identity */
	size_t len, cap;
};

static int by_identity(const void *a, const void *b) {
	struct sl_slice x = ((const struct entry *)a)->identity, y = ((const struct entry *)b)->identity;
	size_t n = sl_min_size(x.n, y.n);
	int order = n ? memcmp(x.p, y.p, n) : 0;
	return order ? order : (x.n > y.n) - (x.n < y.n);
}

static int hex_digit(char c) {
	if (c >= '0' && c <= '9') return c - '0';
	c |= 32;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place. */
static bool unhex(struct sl_slice *digits, char *to) {
	size_t n = digits->n / 2;
	if (digits->n % 2) return false;
	for (size_t i = 0; i < n; i++) {
		int high = hex_digit(digits->p[i * 2]), low = hex_digit(digits->p[i * 2 + 1]);
		if (high < 0 || low < 0) return false;
		to[i] = (char)(high << 4 | low);
	}
	*digits = slice_make(to, n);
	return true;
}

static int refuse(const char *path, uint32_t line, struct sl_err *err, const char *why) {
	int rc = sl_err_set(err, SL_EMALFORMED, "%s", why);
	sl_err_at(err, path, line, 0);
	return rc;
}

static int parse_line(struct tls_psk_table *t, char *start, size_t n, const char *path, uint32_t line,
		      struct sl_err *err) {
	while (n > 0 && (start[n - 1] == '\r' || start[n - 1] == ' ' || start[n - 1] == '\t')) n--;
	if (n == 0 || start[0] == '#') return SL_OK;
	char *colon = NULL; /* the last: an identity may have some of its own */
	for (size_t i = 0; i < n; i++)
		if (start[i] == ':') colon = start + i;
	if (!colon || colon == start)
		return refuse(path, line, err,
			      "a line of `tls.psk_file` is \"identity:key\", the key in hexadecimal; this one is not");
	struct entry e = {.identity = slice_make(start, (size_t)(colon - start)),
			  .key = slice_make(colon + 1, n - (size_t)(colon + 1 - start)),
			  .line = line};
	if (e.identity.n > TLS_PSK_IDENTITY_MAX || memchr(start, '\0', e.identity.n))
		return refuse(path, line, err, "an identity of `tls.psk_file` has at most 128 bytes, and no zero byte");
	if (e.key.n == 0 || e.key.n > (size_t)TLS_PSK_KEY_MAX * 2 || !unhex(&e.key, colon + 1))
		return refuse(path, line, err,
			      "the key is not hexadecimal: two digits for each byte, 256 bytes at most (`openssl rand "
			      "-hex 16` makes a good one)");
	SL_GROW(t->v, t->len, t->cap);
	t->v[t->len++] = e;
	return SL_OK;
}

static int parse(struct tls_psk_table *t, const char *path, struct sl_err *err) {
	uint32_t line = 1;
	char *end = t->text.p + t->text.n;
	for (char *p = t->text.p, *next; p < end; p = next + 1, line++) {
		next = memchr(p, '\n', (size_t)(end - p));
		if (!next) next = end;
		int rc = parse_line(t, p, (size_t)(next - p), path, line, err);
		if (rc != SL_OK) return rc;
	}
	if (t->len == 0)
		return refuse(path, 1, err,
			      "`tls.psk_file` holds no keys; a line is \"identity:key\", the key in hexadecimal");
	qsort(t->v, t->len, sizeof *t->v, by_identity);
	for (size_t i = 1; i < t->len; i++)
		if (slice_equal(t->v[i - 1].identity, t->v[i].identity))
			return refuse(path, t->v[i - 1].line > t->v[i].line ? t->v[i - 1].line : t->v[i].line, err,
				      "this identity of `tls.psk_file` has a key already, further up");
	return SL_OK;
}

int tls_psk_load(const char *path, struct tls_psk_table **out, struct sl_err *err) {
	struct tls_psk_table *t = SL_NEW(struct tls_psk_table);
	int rc = tls_pem_read("psk_file", path, &t->text, err);
	if (rc == SL_OK) rc = parse(t, path, err);
	if (rc != SL_OK) {
		tls_psk_free(t);
		t = NULL;
	}
	*out = t;
	return rc;
}

void tls_psk_free(struct tls_psk_table *t) {
	if (!t) return;
	if (t->text.p) explicit_bzero(t->text.p, t->text.cap);
	sl_buf_fini(&t->text);
	sl_free(t->v);
	sl_free(t);
}

struct sl_slice tls_psk_find(const struct tls_psk_table *t, struct sl_slice identity) {
	struct entry wanted = {.identity = identity};
	const struct entry *e = t->len ? bsearch(&wanted, t->v, t->len, sizeof *t->v, by_identity) : NULL;
	return e ? e->key : SL_SLICE_EMPTY;
}

size_t tls_psk_count(const struct tls_psk_table *t) { return t->len; }
