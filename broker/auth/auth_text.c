#include "auth_text.h"

#include "mem.h"
#include "tls_peer.h"

struct auth_text {
	char *copy;
	struct auth_text_part *parts;
	size_t len;
};

static const struct {
	const char *name, *what;
} names[] = {[AUTH_TEXT_PLAIN] = {"", ""},
#define NAME(id, text, about) [AUTH_TEXT_##id] = {text, about},
	     AUTH_TEXT_TBL(NAME)
#undef NAME
};

static int refuse_name(struct sl_slice name, struct sl_err *err) {
	const char *known[SL_ARRAY_LEN(names)];
	struct sl_buf list = SL_BUF_INIT;
	for (size_t i = 1; i < SL_ARRAY_LEN(names); i++) {
		known[i - 1] = names[i].name;
		sl_buf_printf(&list, "%s${%s}", i > 1 ? ", " : "", names[i].name);
	}
	const char *near = slice_nearest(name, known, SL_ARRAY_LEN(names) - 1);
	int rc;
	if (near)
		rc = sl_err_set(err, SL_ESYNTAX, "there is no ${%.*s} here; did you mean ${%s}?", SL_SLICE_ARG(name),
				near);
	else
		rc = sl_err_set(err, SL_ESYNTAX, "there is no ${%.*s} here; known are %s", SL_SLICE_ARG(name),
				sl_buf_cstr(&list));
	sl_buf_fini(&list);
	return rc;
}

static void add(struct auth_text *t, enum auth_text_name name, struct sl_slice text) {
	if (name == AUTH_TEXT_PLAIN && text.n == 0) return;
	t->parts = sl_realloc_array(t->parts, t->len + 1, sizeof *t->parts);
	t->parts[t->len++] = (struct auth_text_part){.name = name, .text = text};
}

static int add_name(struct auth_text *t, struct sl_slice name, size_t column, struct sl_err *err) {
	for (size_t i = 1; i < SL_ARRAY_LEN(names); i++) {
		if (!slice_equal_str(name, names[i].name)) continue;
		add(t, (enum auth_text_name)i, name);
		return SL_OK;
	}
	int rc = refuse_name(name, err);
	sl_err_at(err, NULL, 1, (uint32_t)column + 1);
	return rc;
}

int auth_text_new(struct sl_slice text, struct auth_text **out, struct sl_err *err) {
	struct auth_text *t = SL_NEW(struct auth_text);
	*out = NULL;
	t->copy = slice_dup(text);
	struct sl_slice rest = slice_make(t->copy, text.n);
	int rc = SL_OK;
	for (ptrdiff_t at; rc == SL_OK && (at = slice_find(rest, SL_SLICE_LIT("${"))) >= 0;) {
		struct sl_slice from = slice_from(rest, (size_t)at + 2);
		ptrdiff_t end = slice_find_byte(from, '}');
		size_t column = (size_t)(from.p - t->copy) - 2;
		if (end < 0) {
			rc = sl_err_set(err, SL_ESYNTAX, "the ${ has no }");
			sl_err_at(err, NULL, 1, (uint32_t)column + 1);
			break;
		}
		add(t, AUTH_TEXT_PLAIN, slice_sub(rest, 0, (size_t)at));
		rc = add_name(t, slice_sub(from, 0, (size_t)end), column, err);
		rest = slice_from(from, (size_t)end + 1);
	}
	add(t, AUTH_TEXT_PLAIN, rest);
	if (rc == SL_OK)
		*out = t;
	else
		auth_text_free(t);
	return rc;
}

void auth_text_free(struct auth_text *t) {
	if (!t) return;
	sl_free(t->parts);
	sl_free(t->copy);
	sl_free(t);
}

const struct auth_text_part *auth_text_parts(const struct auth_text *t, size_t *count) {
	*count = t->len;
	return t->parts;
}

bool auth_text_has(const struct auth_text *t, enum auth_text_name name) {
	for (size_t i = 0; i < t->len; i++)
		if (t->parts[i].name == name) return true;
	return false;
}

/* "10.0.0.7:51234", "[::1]:5", or a path. */
static struct sl_slice host_of(struct sl_slice peer) {
	if (peer.n && peer.p[0] == '[') {
		ptrdiff_t end = slice_find_byte(peer, ']');
		if (end > 0) return slice_sub(peer, 1, (size_t)end - 1);
	}
	for (size_t i = peer.n; i > 0; i--)
		if (peer.p[i - 1] == ':') return slice_sub(peer, 0, i - 1);
	return peer;
}

static bool tls_value(enum auth_text_name name, const struct tls_peer *tls, struct sl_slice *out) {
	const char *text = NULL;
	if (tls && name == AUTH_TEXT_CERT_CN) text = tls->common_name;
	if (tls && name == AUTH_TEXT_CERT_SUBJECT) text = tls->subject;
	if (tls && name == AUTH_TEXT_CERT_FINGERPRINT) text = tls->fingerprint;
	if (tls && name == AUTH_TEXT_PSK_IDENTITY) text = tls->psk_identity;
	*out = text ? slice_from_str(text) : SL_SLICE_EMPTY;
	return text != NULL;
}

bool auth_text_value(enum auth_text_name name, const struct auth_request *r, struct sl_slice *out) {
	static const char *const versions[] = {"", "", "", "3", "4", "5"};
	switch (name) {
	case AUTH_TEXT_PLAIN: break;
	case AUTH_TEXT_USERNAME: *out = r->username; return r->has_username;
	case AUTH_TEXT_CLIENTID: *out = r->clientid; return r->clientid.n > 0;
	case AUTH_TEXT_PASSWORD: *out = r->password; return r->has_password;
	case AUTH_TEXT_PEERHOST: *out = host_of(r->peer); return out->n > 0;
	case AUTH_TEXT_LISTENER: *out = r->listener; return out->n > 0;
	case AUTH_TEXT_PROTOCOL:
		*out = slice_from_str(r->version < SL_ARRAY_LEN(versions) ? versions[r->version] : "");
		return out->n > 0;
	case AUTH_TEXT_CERT_CN:
	case AUTH_TEXT_CERT_SUBJECT:
	case AUTH_TEXT_CERT_FINGERPRINT:
	case AUTH_TEXT_PSK_IDENTITY: return tls_value(name, r->tls, out);
	}
	*out = SL_SLICE_EMPTY;
	return false;
}

bool auth_text_write(const struct auth_text *t, const struct auth_request *r, struct sl_buf *out) {
	for (size_t i = 0; i < t->len; i++) {
		struct sl_slice value = t->parts[i].text;
		if (t->parts[i].name != AUTH_TEXT_PLAIN && !auth_text_value(t->parts[i].name, r, &value)) return false;
		sl_buf_append_slice(out, value);
	}
	return true;
}

int auth_text_check(const struct conf_field *field, struct sl_slice text, struct sl_err *err) {
	struct auth_text *t;
	(void)field;
	int rc = auth_text_new(text, &t, err);
	auth_text_free(t);
	return rc;
}

void auth_text_markdown(struct sl_buf *out) {
	sl_buf_append_str(out, "| name | what it is |\n| --- | --- |\n");
	for (size_t i = 1; i < SL_ARRAY_LEN(names); i++)
		sl_buf_printf(out, "| `${%s}` | %s |\n", names[i].name, names[i].what);
}
