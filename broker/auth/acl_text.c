/* acl_text.c: placeholders: parsed once, filled with a client's values when a rule is asked. */
#include <arpa/inet.h>

#include "acl_int.h"
#include "topic.h"

/* ---- values ---- */

static struct sl_slice attr_value(const struct acl_subject *s, struct sl_slice name) {
	for (size_t i = 0; i < s->attrs_len; i++)
		if (slice_equal(s->attrs[i].name, name)) return s->attrs[i].value;
	return SL_SLICE_EMPTY;
}

static bool ip_known(const struct acl_subject *s) {
	static const uint8_t none[16];
	return memcmp(s->ip, none, sizeof none) != 0;
}

static struct sl_slice ip_value(const struct acl_subject *s, struct sl_buf *scratch) {
	char text[INET6_ADDRSTRLEN];
	if (!ip_known(s) || !inet_ntop(s->ip_v6 ? AF_INET6 : AF_INET, s->ip, text, sizeof text)) return SL_SLICE_EMPTY;
	sl_buf_clear(scratch);
	sl_buf_append_str(scratch, text);
	return sl_buf_slice(scratch);
}

struct sl_slice acl_value(const struct acl_subject *s, enum acl_var var, struct sl_slice attr, struct sl_buf *scratch) {
	struct sl_slice thing;
	switch (var) {
	case ACL_VAR_NONE: break;
	case ACL_VAR_CLIENTID: return s->clientid;
	case ACL_VAR_USERNAME: return s->username;
	case ACL_VAR_CERT_CN: return s->cert_cn;
	case ACL_VAR_ATTR: return attr_value(s, attr);
	case ACL_VAR_THING: thing = attr_value(s, SL_SLICE_LIT("thing")); return thing.n ? thing : s->clientid;
	case ACL_VAR_IP: return ip_value(s, scratch);
	case ACL_VAR_HAS_CERT: return s->cert_cn.n ? SL_SLICE_LIT("true") : SL_SLICE_LIT("false");
	}
	return SL_SLICE_EMPTY;
}

/* ---- parsing ---- */

static const struct acl_name {
	const char *name;
	enum acl_var var;
} our_names[] = {{"clientid", ACL_VAR_CLIENTID},
		 {"username", ACL_VAR_USERNAME},
		 {"cert.cn", ACL_VAR_CERT_CN},
		 {"ip", ACL_VAR_IP}},
  policy_names[] = {{"iot:ClientId", ACL_VAR_CLIENTID},
		    {"iot:Connection.Thing.ThingName", ACL_VAR_THING},
		    {"iot:Certificate.Subject.CommonName", ACL_VAR_CERT_CN},
		    {"aws:SourceIp", ACL_VAR_IP}};

struct building {
	struct sl_arena *arena;
	enum acl_names names;
	struct acl_part *parts;
	size_t len, cap;
	struct sl_buf plain; /* text since the last placeholder */
};

static void part_add(struct building *b, enum acl_var var, struct sl_slice text) {
	if (b->len == b->cap) {
		size_t cap = b->cap ? b->cap * 2 : 4;
		struct acl_part *more = SL_ARENA_ARRAY(b->arena, struct acl_part, cap);
		if (b->len) memcpy(more, b->parts, b->len * sizeof *more);
		b->parts = more;
		b->cap = cap;
	}
	b->parts[b->len++] = (struct acl_part){var, sl_arena_dup(b->arena, text)};
}

static void plain_end(struct building *b) {
	if (b->plain.n) part_add(b, ACL_VAR_NONE, sl_buf_slice(&b->plain));
	sl_buf_clear(&b->plain);
}

static void var_add(struct building *b, enum acl_var var, struct sl_slice attr) {
	plain_end(b);
	part_add(b, var, attr);
}

static bool named(const struct acl_name *table, size_t n, struct sl_slice name, enum acl_var *var) {
	for (size_t i = 0; i < n; i++) {
		if (!slice_equal_str(name, table[i].name)) continue;
		*var = table[i].var;
		return true;
	}
	return false;
}

static int add_ours(struct building *b, struct sl_slice name, struct sl_err *err) {
	enum acl_var var;
	if (named(our_names, SL_ARRAY_LEN(our_names), name, &var)) {
		var_add(b, var, SL_SLICE_EMPTY);
		return SL_OK;
	}
	if (slice_starts_with(name, SL_SLICE_LIT("attr.")) && name.n > 5) {
		var_add(b, ACL_VAR_ATTR, slice_from(name, 5));
		return SL_OK;
	}
	return sl_err_set(err, SL_EINVAL,
			  "there is no ${%.*s}; there are ${clientid}, ${username}, ${cert.cn}, ${ip} and ${attr.NAME}",
			  SL_SLICE_ARG(name));
}

static int add_policy(struct building *b, struct sl_slice name, struct sl_err *err) {
	static const struct sl_slice attributes = {"iot:Connection.Thing.Attributes[", 32};
	enum acl_var var;
	if (name.n == 1 && (name.p[0] == '*' || name.p[0] == '?' || name.p[0] == '$')) {
		if (b->names == ACL_NAMES_POLICY_GLOB) sl_buf_put(&b->plain, ACL_GLOB_ESCAPE);
		sl_buf_put(&b->plain, name.p[0]);
		return SL_OK;
	}
	if (named(policy_names, SL_ARRAY_LEN(policy_names), name, &var)) {
		var_add(b, var, SL_SLICE_EMPTY);
		return SL_OK;
	}
	if (slice_starts_with(name, attributes) && name.n > attributes.n + 1 && name.p[name.n - 1] == ']') {
		var_add(b, ACL_VAR_ATTR, slice_sub(name, attributes.n, name.n - attributes.n - 1));
		return SL_OK;
	}
	return sl_err_set(err, SL_EUNSUPPORTED,
			  "the policy variable ${%.*s} has no meaning here; there are ${iot:ClientId}, "
			  "${iot:Connection.Thing.ThingName}, ${iot:Connection.Thing.Attributes[NAME]}, "
			  "${iot:Certificate.Subject.CommonName} and ${aws:SourceIp}",
			  SL_SLICE_ARG(name));
}

/* What stands at text[at]: a placeholder moves *at behind it. */
static int part_parse(struct building *b, struct sl_slice text, size_t *at, struct sl_err *err) {
	char c = text.p[*at];
	if (c == '$' && *at + 1 < text.n && text.p[*at + 1] == '{') {
		ptrdiff_t end = slice_find_byte(slice_from(text, *at), '}');
		if (end < 0) return sl_err_set(err, SL_ESYNTAX, "'${' without a '}'");
		struct sl_slice name = slice_sub(text, *at + 2, (size_t)end - 2);
		*at += (size_t)end + 1;
		return b->names == ACL_NAMES_OURS ? add_ours(b, name, err) : add_policy(b, name, err);
	}
	if (c == '%' && b->names == ACL_NAMES_OURS && *at + 1 < text.n &&
	    (text.p[*at + 1] == 'c' || text.p[*at + 1] == 'u')) {
		var_add(b, text.p[*at + 1] == 'c' ? ACL_VAR_CLIENTID : ACL_VAR_USERNAME, SL_SLICE_EMPTY);
		*at += 2;
		return SL_OK;
	}
	if (c == ACL_GLOB_ESCAPE && b->names == ACL_NAMES_POLICY_GLOB) sl_buf_put(&b->plain, ACL_GLOB_ESCAPE);
	sl_buf_put(&b->plain, c);
	(*at)++;
	return SL_OK;
}

int acl_text_parse(struct sl_slice text, enum acl_names names, struct sl_arena *arena, struct acl_text *out,
		   struct sl_err *err) {
	struct building b = {.arena = arena, .names = names};
	int rc = SL_OK;
	for (size_t at = 0; at < text.n && rc == SL_OK;) rc = part_parse(&b, text, &at, err);
	*out = (struct acl_text){0};
	if (b.len == 0) {
		out->literal = sl_arena_dup(arena, sl_buf_slice(&b.plain));
	} else {
		plain_end(&b);
		out->parts = b.parts;
		out->parts_len = b.len;
	}
	sl_buf_fini(&b.plain);
	return rc;
}

/* ---- filling ---- */

void acl_text_fill(const struct acl_text *t, const struct acl_subject *s, struct sl_buf *out) {
	struct sl_buf scratch = SL_BUF_INIT;
	if (t->parts_len == 0) sl_buf_append_slice(out, t->literal);
	for (size_t i = 0; i < t->parts_len; i++) {
		const struct acl_part *p = &t->parts[i];
		sl_buf_append_slice(out, p->var == ACL_VAR_NONE ? p->text : acl_value(s, p->var, p->text, &scratch));
	}
	sl_buf_fini(&scratch);
}

/* One level's worth of plain text, wherever it is put. */
static bool fits(struct sl_slice value, bool at_start, enum acl_topic_kind kind) {
	if (value.n == 0 || (at_start && value.p[0] == '$')) return false;
	for (size_t i = 0; i < value.n; i++) {
		char c = value.p[i];
		if (c == '+' || c == '#' || c == '/' || c == '\0') return false;
		if (kind == ACL_TOPIC_GLOB && (c == '*' || c == '?' || c == ACL_GLOB_ESCAPE)) return false;
	}
	return true;
}

/* Everything from the level on that the value should have stood in. */
static void widen_from_level(struct sl_buf *out, enum acl_topic_kind *kind) {
	while (out->n && out->p[out->n - 1] != '/') out->n--;
	*kind = out->n ? ACL_TOPIC_FILTER : ACL_TOPIC_ALL;
	sl_buf_put(out, '#');
}

bool acl_topic_fill(const struct acl_topic *t, const struct acl_subject *s, bool widen, struct sl_buf *scratch,
		    struct sl_slice *out, enum acl_topic_kind *kind) {
	*kind = t->kind;
	*out = t->text.literal;
	if (t->text.parts_len == 0) return true;
	sl_buf_clear(scratch);
	struct sl_buf ip = SL_BUF_INIT;
	bool good = true;
	for (size_t i = 0; i < t->text.parts_len && good; i++) {
		const struct acl_part *p = &t->text.parts[i];
		if (p->var == ACL_VAR_NONE) {
			sl_buf_append_slice(scratch, p->text);
			continue;
		}
		struct sl_slice value = acl_value(s, p->var, p->text, &ip);
		good = fits(value, scratch->n == 0, t->kind);
		if (good) {
			sl_buf_append_slice(scratch, value);
		} else if (widen && t->kind == ACL_TOPIC_GLOB) {
			sl_buf_put(scratch, '*');
			good = true;
		}
	}
	if (!good && widen) widen_from_level(scratch, kind);
	sl_buf_fini(&ip);
	*out = sl_buf_slice(scratch);
	return good || widen;
}

/* Up to the first wildcard or placeholder. Where a filter goes on with one, not even the level before it is sure to have a
 * "/" behind it ("a/#" fits "a"), and a placeholder may make a deny rule wider from its level on. */
void acl_topic_begins(struct acl_topic *t) {
	bool glob = t->kind == ACL_TOPIC_GLOB;
	const struct acl_part *first = t->text.parts_len ? &t->text.parts[0] : NULL;
	struct sl_slice text = first ? (first->var == ACL_VAR_NONE ? first->text : SL_SLICE_EMPTY) : t->text.literal;
	size_t n = 0;
	while (n < text.n && !(glob ? text.p[n] == '*' || text.p[n] == '?' || text.p[n] == ACL_GLOB_ESCAPE
				    : text.p[n] == '+' || text.p[n] == '#'))
		n++;
	if (!glob && (n < text.n || first)) {
		while (n > 0 && text.p[n - 1] != '/') n--;
		if (n > 0) n--;
	}
	t->begins = slice_sub(text, 0, n);
}

/* ---- globs ---- */

static size_t char_bytes(struct sl_slice text, size_t at) {
	size_t n = 1;
	while (at + n < text.n && ((uint8_t)text.p[at + n] & 0xc0u) == 0x80u) n++;
	return n;
}

bool acl_glob(struct sl_slice pattern, struct sl_slice text) {
	size_t p = 0, t = 0, star = SIZE_MAX, resume = 0;
	while (t < text.n) {
		bool escaped = p + 1 < pattern.n && pattern.p[p] == ACL_GLOB_ESCAPE;
		char c = p < pattern.n ? pattern.p[p + escaped] : '\0';
		if (p < pattern.n && !escaped && c == '*') {
			star = ++p;
			resume = t;
		} else if (p < pattern.n && !escaped && c == '?') {
			p++;
			t += char_bytes(text, t);
		} else if (p < pattern.n && c == text.p[t]) {
			p += 1u + escaped;
			t++;
		} else if (star != SIZE_MAX) { /* the last star takes one more */
			p = star;
			t = ++resume;
		} else {
			return false;
		}
	}
	while (p < pattern.n && pattern.p[p] == '*') p++;
	return p == pattern.n;
}
