/* redis_url.c: redis://user:password@host:port/database, taken apart; see redis_conf.h. No message holds what stands before the @. */
#include <string.h>

#include "mem.h"
#include "redis_conf.h"
#include "stream_dial.h"

static int hex(char c) {
	if (c >= '0' && c <= '9') return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* NULL: a % that is no escape, or a zero byte, which no option can hold. */
static char *percent_decode(struct sl_slice s) {
	char *out = sl_alloc(s.n + 1);
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (c == '%') {
			int high = i + 2 < s.n ? hex(s.p[i + 1]) : -1, low = high >= 0 ? hex(s.p[i + 2]) : -1;
			if (low < 0) break;
			c = (char)(high << 4 | low);
			i += 2;
		}
		if (c == '\0') break;
		out[n++] = c;
		if (i + 1 == s.n) {
			out[n] = '\0';
			return out;
		}
	}
	out[n] = '\0';
	if (s.n == 0) return out;
	sl_free(out);
	return NULL;
}

static int login_parse(struct sl_slice text, struct redis_url *u, struct sl_err *err) {
	ptrdiff_t colon = slice_find_byte(text, ':');
	struct sl_slice user = colon < 0 ? text : slice_sub(text, 0, (size_t)colon);
	if (user.n) u->username = percent_decode(user);
	if (colon >= 0) u->password = percent_decode(slice_from(text, (size_t)colon + 1));
	if ((user.n && !u->username) || (colon >= 0 && !u->password))
		return sl_err_set(
		    err, SL_EINVAL,
		    "url: user and password are percent-encoded: write a percent sign as %%25, an @ as %%40");
	if (!u->password)
		return sl_err_set(err, SL_EINVAL,
				  "url: a user stands there without a password; write user:password@, "
				  "or :password@ for a password alone");
	return SL_OK;
}

static int database_parse(struct sl_slice text, struct redis_url *u, struct sl_err *err) {
	int64_t n;
	if (text.n == 0) return SL_OK;
	if (slice_to_i64(text, &n) != SL_OK || n < 0 || n > INT32_MAX)
		return sl_err_set(err, SL_EINVAL, "url: behind the host stands the number of a database, such as /0");
	u->database = (uint32_t)n;
	return SL_OK;
}

/* The interface of a link-local address, "fe80::1%25eth0", stands behind a percent sign that a URL encodes. */
static char *host_decode(struct sl_slice name) {
	static const char encoded[] = "%25";
	char *host = slice_dup(name), *scope = strchr(host, ':') ? strstr(host, encoded) : NULL;
	if (scope) memmove(scope + 1, scope + sizeof encoded - 1, strlen(scope) - sizeof encoded + 2);
	return host;
}

static int parse(struct sl_slice rest, struct redis_url *u, struct sl_err *err) {
	ptrdiff_t at = -1, slash = slice_find_byte(rest, '/');
	if (slash >= 0 && slice_find_byte(slice_from(rest, (size_t)slash), '@') >= 0)
		return sl_err_set(
		    err, SL_EINVAL,
		    "url: the login ends at a /, and an @ stands behind it; where the password holds a slash, give it "
		    "by `password` as it is, or percent-encode it here: a slash is %%2F, an @ is %%40, a percent sign "
		    "is %%25");
	for (size_t i = 0; i < rest.n && rest.p[i] != '/'; i++)
		if (rest.p[i] == '@') at = (ptrdiff_t)i;
	if (at >= 0) {
		int r = login_parse(slice_sub(rest, 0, (size_t)at), u, err);
		if (r != SL_OK) return r;
		rest = slice_from(rest, (size_t)at + 1);
	}
	if (slice_find_byte(rest, '?') >= 0 || slice_find_byte(rest, '#') >= 0)
		return sl_err_set(err, SL_EINVAL,
				  "url: options behind ? are not known here; use those of the connector");
	slash = slice_find_byte(rest, '/');
	struct sl_slice host = slash < 0 ? rest : slice_sub(rest, 0, (size_t)slash);
	int r = slash < 0 ? SL_OK : database_parse(slice_from(rest, (size_t)slash + 1), u, err);
	struct sl_slice name;
	if (r == SL_OK && sl_dial_parse(host, REDIS_PORT, &name, &u->port, NULL) != SL_OK)
		return sl_err_set(err, SL_EINVAL, "url: behind the // (and a login with its @) stands host:port");
	if (r == SL_OK) u->host = host_decode(name);
	return r;
}

int redis_url_parse(const char *text, struct redis_url *out, struct sl_err *err) {
	struct sl_slice s = slice_from_str(text), plain = SL_SLICE_LIT("redis://"), tls = SL_SLICE_LIT("rediss://");
	*out = (struct redis_url){.port = REDIS_PORT};
	int r;
	if (slice_starts_with(s, plain))
		r = parse(slice_from(s, plain.n), out, err);
	else if (slice_starts_with(s, tls)) {
		out->tls = true;
		r = parse(slice_from(s, tls.n), out, err);
	} else
		r = sl_err_set(err, SL_EINVAL, "url: it begins with redis:// or, with TLS, rediss://");
	if (r != SL_OK) redis_url_fini(out);
	return r;
}

void redis_url_fini(struct redis_url *u) {
	sl_free(u->username);
	sl_free(u->password);
	sl_free(u->host);
	*u = (struct redis_url){0};
}
