/* client_url.c: see client_url.h. */
#include "client_url.h"

#include "buf.h"
#include "mem.h"
#include "slice.h"

static const struct scheme {
	const char *name;
	uint16_t port;
	bool tls, ws;
} schemes[] = {
    {"mqtt", 1883, false, false}, {"mqtts", 8883, true, false}, {"ws", 80, false, true}, {"wss", 443, true, true}};

static int hex(char c) {
	if (c >= '0' && c <= '9') return c - '0';
	c = (char)(c | 32);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* %41 is A. NULL: a % that is followed by something else, or by 00. */
static char *decoded(struct sl_slice text) {
	struct sl_buf out = SL_BUF_INIT;
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		if (c == '%') {
			int high = i + 2 < text.n ? hex(text.p[i + 1]) : -1, low = high < 0 ? -1 : hex(text.p[i + 2]);
			if (high < 0 || low < 0 || high + low == 0) {
				sl_buf_fini(&out);
				return NULL;
			}
			c = (char)(high << 4 | low);
			i += 2;
		}
		sl_buf_put(&out, c);
	}
	return sl_buf_steal(&out);
}

static bool take_user(struct sl_slice user, struct client_url *out) {
	struct sl_slice name = slice_next_part(&user, ':');
	out->username = decoded(name);
	if (user.p) out->password = decoded(user);
	return out->username && (!user.p || out->password);
}

/* "broker.example:1883", "[::1]:1883", either without the port. */
static bool take_host(struct sl_slice text, struct client_url *out) {
	struct sl_slice port = SL_SLICE_EMPTY, host = text;
	ptrdiff_t end;
	if (text.n > 0 && text.p[0] == '[') {
		end = slice_find_byte(text, ']');
		if (end < 0) return false;
		host = slice_sub(text, 1, (size_t)end - 1);
		port = slice_from(text, (size_t)end + 1);
		if (port.n > 0 && port.p[0] != ':') return false;
	} else if ((end = slice_find_byte(text, ':')) >= 0) {
		host = slice_sub(text, 0, (size_t)end);
		port = slice_from(text, (size_t)end);
	}
	if (port.n > 0) {
		int64_t n;
		if (slice_to_i64(slice_from(port, 1), &n) != SL_OK || n < 1 || n > UINT16_MAX) return false;
		out->port = (uint16_t)n;
	}
	if (host.n == 0) return false;
	out->host = slice_dup(host);
	return true;
}

static int wrong(const char *text, const char *why, struct client_url *out, struct sl_err *err) {
	client_url_fini(out);
	return sl_err_set(
	    err, SL_EINVAL,
	    "--url %s: %s; for example mqtt://broker.example:1883, mqtts://, ws://host:8083/mqtt, wss:// or "
	    "unix:/run/sluice.sock",
	    text, why);
}

static int parse_net(const char *text, const struct scheme *s, struct sl_slice rest, struct client_url *out,
		     struct sl_err *err) {
	ptrdiff_t slash = slice_find_byte(rest, '/');
	struct sl_slice path = slash < 0 ? SL_SLICE_EMPTY : slice_from(rest, (size_t)slash);
	struct sl_slice where = slash < 0 ? rest : slice_sub(rest, 0, (size_t)slash);
	*out = (struct client_url){.port = s->port, .tls = s->tls};
	for (size_t at = where.n; at > 0; at--) {
		if (where.p[at - 1] != '@') continue;
		if (!take_user(slice_sub(where, 0, at - 1), out))
			return wrong(text, "a % stands for nothing", out, err);
		where = slice_from(where, at);
		break;
	}
	if (!take_host(where, out)) return wrong(text, "host and port cannot be read", out, err);
	for (size_t i = 0; i < path.n; i++)
		if ((uint8_t)path.p[i] <= ' ' || path.p[i] == 127)
			return wrong(text, "there is a space in the path", out, err);
	if (s->ws)
		out->ws_path = path.n > 1 ? slice_dup(path) : sl_strdup("/mqtt");
	else if (path.n > 1)
		return wrong(text, "it has a path, which only WebSocket has (the topic is given with -t)", out, err);
	return SL_OK;
}

int client_url_parse(const char *text, struct client_url *out, struct sl_err *err) {
	struct sl_slice all = slice_from_str(text);
	*out = (struct client_url){0};
	if (slice_starts_with(all, SL_SLICE_LIT("unix:"))) {
		struct sl_slice path = slice_from(all, 5);
		if (slice_starts_with(path, SL_SLICE_LIT("//"))) path = slice_from(path, 2);
		if (path.n == 0) return wrong(text, "it has no path", out, err);
		out->unix_path = slice_dup(path);
		return SL_OK;
	}
	ptrdiff_t end = slice_find(all, SL_SLICE_LIT("://"));
	for (size_t i = 0; end > 0 && i < SL_ARRAY_LEN(schemes); i++)
		if (slice_equal_nocase(slice_sub(all, 0, (size_t)end), slice_from_str(schemes[i].name)))
			return parse_net(text, &schemes[i], slice_from(all, (size_t)end + 3), out, err);
	return wrong(text, "it does not begin as such a text does", out, err);
}

void client_url_fini(struct client_url *u) {
	sl_free(u->host);
	sl_free(u->username);
	sl_free(u->password);
	sl_free(u->ws_path);
	sl_free(u->unix_path);
	*u = (struct client_url){0};
}
