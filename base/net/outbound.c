/* outbound.c: see outbound.h. */
#include "outbound.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>

#include "mem.h"
#include "stream_dial.h"

enum { V4_BITS = 32, V6_BITS = 128, LISTED_MAX = 1000 };

/* ---- What nobody connects to unless it is said. ------------------------------------------------------------ */

#define METADATA "the address of a cloud machine's metadata "

static const struct {
	const char *cidr, *why; /* "ADDRESS is WHY" */
} built_in[] = {
    {"169.254.0.0/16", "a link-local address, where cloud machines keep their metadata"},
    {"fe80::/10", "a link-local address, where cloud machines keep their metadata"},
    {"fd00:ec2::/32", METADATA "(AWS)"},
    {"fd20:ce::254/128", METADATA "(Google Cloud)"},
    {"fd00:42::42/128", METADATA "(Scaleway)"},
    {"100.100.100.200/32", METADATA "(Alibaba Cloud)"},
    {"192.0.0.192/32", METADATA "(Oracle Cloud)"},
    {"168.63.129.16/32", "the address of a cloud machine's agent (Azure)"},
    {"0.0.0.0/8", "no address of a server (this machine is 127.0.0.1)"},
    {"::/128", "no address of a server (this machine is ::1)"},
    {"224.0.0.0/4", "a multicast address, not one of a server"},
    {"ff00::/8", "a multicast address, not one of a server"},
    {"240.0.0.0/4", "a reserved address, not one of a server"},
    {"255.255.255.255/32", "the broadcast address, not one of a server"},
};

/* IPv6 addresses in which an IPv4 address stands, from that byte on. */
static const struct {
	const char *cidr;
	uint8_t at;
} carriers[] = {
    {"::/96", 12},        /* of old; ::1 is among them and none */
    {"64:ff9b::/96", 12}, /* NAT64 */
    {"64:ff9b:1::/48", 12},
    {"2002::/16", 2}, /* 6to4 */
};

static struct sl_cidr built_in_cidr[SL_ARRAY_LEN(built_in)], carrier_cidr[SL_ARRAY_LEN(carriers)];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void parse_ours(const char *text, struct sl_cidr *out) {
	int rc = sl_cidr_parse(slice_from_str(text), out, NULL);
	sl_assert(rc == SL_OK);
}

static void tables_parse(void) {
	for (size_t i = 0; i < SL_ARRAY_LEN(built_in); i++) parse_ours(built_in[i].cidr, &built_in_cidr[i]);
	for (size_t i = 0; i < SL_ARRAY_LEN(carriers); i++) parse_ours(carriers[i].cidr, &carrier_cidr[i]);
}

/* ---- Networks. ----------------------------------------------------------------------------------------------- */

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

static void mask(uint8_t *bytes, unsigned bits) {
	for (unsigned i = 0; i < 16; i++) {
		unsigned keep = bits >= (i + 1) * 8 ? 8 : bits > i * 8 ? bits - i * 8 : 0;
		bytes[i] &= (uint8_t)(0xff00U >> keep);
	}
}

static int bits_parse(struct sl_slice text, bool v6, unsigned *bits, struct sl_err *err) {
	unsigned max = v6 ? V6_BITS : V4_BITS;
	int64_t n;
	if (text.n > 3 || slice_to_i64(text, &n) != SL_OK || n < 0 || n > max)
		return sl_err_set(err, SL_EINVAL, "behind the / stands how many bits are fixed, 0 to %u", max);
	*bits = (unsigned)n;
	return SL_OK;
}

int sl_cidr_parse(struct sl_slice text, struct sl_cidr *out, struct sl_err *err) {
	ptrdiff_t slash = slice_find_byte(text, '/');
	struct sl_slice head = slash < 0 ? text : slice_sub(text, 0, (size_t)slash);
	char address[SL_CIDR_TEXT_MAX + 1] = {0};
	*out = (struct sl_cidr){.v6 = slice_find_byte(head, ':') >= 0};
	if (head.n > SL_CIDR_TEXT_MAX || slice_find_byte(head, '\0') >= 0) head = SL_SLICE_EMPTY;
	memcpy(address, head.n ? head.p : "", head.n);
	if (inet_pton(out->v6 ? AF_INET6 : AF_INET, address, out->bytes) != 1)
		return sl_err_set(err, SL_EINVAL,
				  "this is no network: write it as 10.0.0.0/8 or fd00::/8, or one address alone; "
				  "names are not taken");
	unsigned bits = out->v6 ? V6_BITS : V4_BITS;
	int rc = slash < 0 ? SL_OK : bits_parse(slice_from(text, (size_t)slash + 1), out->v6, &bits, err);
	if (rc != SL_OK) return rc;
	struct sl_cidr whole = *out;
	out->bits = (uint8_t)bits;
	mask(out->bytes, bits);
	if (memcmp(whole.bytes, out->bytes, sizeof whole.bytes) != 0) {
		struct sl_buf meant = SL_BUF_INIT;
		sl_cidr_write(out, &meant);
		rc = sl_err_set(err, SL_EINVAL, "it has bits behind its first %u; did you mean %s, or %s alone?", bits,
				sl_buf_cstr(&meant), address);
		sl_buf_fini(&meant);
		return rc;
	}
	if (out->v6 && bits >= 96 && memcmp(out->bytes, mapped_prefix, sizeof mapped_prefix) == 0) {
		*out = (struct sl_cidr){.bits = (uint8_t)(bits - 96)};
		memcpy(out->bytes, whole.bytes + 12, 4);
	}
	return SL_OK;
}

static void address_write(const uint8_t *bytes, bool v6, struct sl_buf *out) {
	char text[INET6_ADDRSTRLEN];
	if (inet_ntop(v6 ? AF_INET6 : AF_INET, bytes, text, sizeof text)) sl_buf_append_str(out, text);
}

void sl_cidr_write(const struct sl_cidr *c, struct sl_buf *out) {
	address_write(c->bytes, c->v6, out);
	sl_buf_printf(out, "/%u", c->bits);
}

bool sl_cidr_holds(const struct sl_cidr *c, const uint8_t *address, bool v6) {
	if (c->v6 != v6) return false;
	unsigned whole = c->bits / 8, rest = c->bits % 8;
	if (memcmp(c->bytes, address, whole) != 0) return false;
	return rest == 0 || ((c->bytes[whole] ^ address[whole]) & (0xff00U >> rest) & 0xff) == 0;
}

/* The narrowest that holds it; NULL: none. */
static const struct sl_cidr *narrowest(const struct sl_cidr *list, size_t n, const uint8_t *address, bool v6) {
	const struct sl_cidr *found = NULL;
	for (size_t i = 0; i < n; i++)
		if (sl_cidr_holds(&list[i], address, v6) && (!found || list[i].bits > found->bits)) found = &list[i];
	return found;
}

/* ---- Settings. ----------------------------------------------------------------------------------------------- */

static int check_cidr(const struct conf_field *field, struct sl_slice text, struct sl_err *err) {
	(void)field;
	struct sl_cidr c;
	return sl_cidr_parse(text, &c, err);
}

const struct conf_field sl_outbound_fields[] = {
    {.name = "allow",
     .type = CONF_STRING_LIST,
     .at = offsetof(struct sl_outbound_conf, allow),
     .max = LISTED_MAX,
     .validate = check_cidr,
     .example = "[169.254.7.0/24]",
     .doc = "Networks that connectors may reach although the built-in list or a wider entry of `deny` holds them."},
    {.name = "deny",
     .type = CONF_STRING_LIST,
     .at = offsetof(struct sl_outbound_conf, deny),
     .max = LISTED_MAX,
     .validate = check_cidr,
     .example = "[10.0.0.0/8]",
     .doc = "Networks that no connector may reach. Where an address is in entries of both lists the narrower one "
	    "decides, `deny` if they are equal; so with 0.0.0.0/0 and ::/0 here only what `allow` names is reached."},
    CONF_END};

struct sl_outbound {
	struct sl_cidr *allow, *deny;
	size_t allow_n, deny_n;
};

static struct sl_cidr *list_parse(const struct conf_list *list, size_t *n) {
	struct sl_cidr *out = SL_NEW_ARRAY(struct sl_cidr, list->len);
	*n = 0;
	for (size_t i = 0; i < list->len; i++)
		*n += sl_cidr_parse(slice_from_str(list->items[i]), &out[*n], NULL) == SL_OK;
	return out;
}

struct sl_outbound *sl_outbound_new(const struct sl_outbound_conf *conf) {
	struct sl_outbound *o = SL_NEW(struct sl_outbound);
	o->allow = list_parse(&conf->allow, &o->allow_n);
	o->deny = list_parse(&conf->deny, &o->deny_n);
	return o;
}

void sl_outbound_free(struct sl_outbound *o) {
	if (!o) return;
	sl_free(o->allow);
	sl_free(o->deny);
	sl_free(o);
}

/* ---- Judging. ------------------------------------------------------------------------------------------------ */

/* An address, and the one that was dialled: they differ where an IPv6 address carries an IPv4 one. */
struct suspect {
	const uint8_t *bytes;
	bool v6;
	const uint8_t *carrier; /* NULL: it is the one itself */
};

/* allow: what to set if the address is meant all the same. */
static int denied(const struct suspect *s, const char *why, bool allow, struct sl_err *err) {
	struct sl_buf text = SL_BUF_INIT, own = SL_BUF_INIT;
	address_write(s->bytes, s->v6, &own);
	if (s->carrier) {
		address_write(s->carrier, true, &text);
		sl_buf_printf(&text, " stands for %s, which", sl_buf_cstr(&own));
	} else
		sl_buf_append_slice(&text, sl_buf_slice(&own));
	sl_buf_printf(&text, " is %s: not connected", why);
	if (allow)
		sl_buf_printf(&text, "; if this is meant, set node.outbound.allow: [%s/%d]", sl_buf_cstr(&own),
			      s->v6 ? V6_BITS : V4_BITS);
	int rc = sl_err_set(err, SL_EDENIED, "%s", sl_buf_cstr(&text));
	sl_buf_fini(&text);
	sl_buf_fini(&own);
	return rc;
}

static int denied_by_settings(const struct suspect *s, const struct sl_cidr *by, struct sl_err *err) {
	struct sl_buf why = SL_BUF_INIT;
	sl_buf_append_str(&why, "in node.outbound.deny (");
	sl_cidr_write(by, &why);
	sl_buf_put(&why, ')');
	int rc = denied(s, sl_buf_cstr(&why), false, err);
	sl_buf_fini(&why);
	return rc;
}

static int judge(const struct sl_outbound *o, const struct suspect *s, struct sl_err *err) {
	static const struct sl_outbound none;
	if (!o) o = &none;
	const struct sl_cidr *allow = narrowest(o->allow, o->allow_n, s->bytes, s->v6);
	const struct sl_cidr *deny = narrowest(o->deny, o->deny_n, s->bytes, s->v6);
	if (deny && (!allow || deny->bits >= allow->bits)) return denied_by_settings(s, deny, err);
	if (allow) return SL_OK;
	const struct sl_cidr *found = narrowest(built_in_cidr, SL_ARRAY_LEN(built_in), s->bytes, s->v6);
	return found ? denied(s, built_in[found - built_in_cidr].why, true, err) : SL_OK;
}

/* The place of an IPv4 address in it, or NULL. */
static const uint8_t *carried(const uint8_t *v6) {
	static const uint8_t loopback[16] = {[15] = 1}, none[16];
	if (memcmp(v6, loopback, 16) == 0 || memcmp(v6, none, 16) == 0) return NULL;
	for (size_t i = 0; i < SL_ARRAY_LEN(carriers); i++)
		if (sl_cidr_holds(&carrier_cidr[i], v6, true)) return v6 + carriers[i].at;
	return NULL;
}

int sl_outbound_judge(const struct sl_outbound *o, const struct sockaddr *address, struct sl_err *err) {
	pthread_once(&tables_once, tables_parse);
	if (address->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;
		return judge(o, &(struct suspect){.bytes = (const uint8_t *)&in->sin_addr}, err);
	}
	if (address->sa_family != AF_INET6) return SL_OK;
	const uint8_t *v6 = ((const struct sockaddr_in6 *)(const void *)address)->sin6_addr.s6_addr;
	if (memcmp(v6, mapped_prefix, sizeof mapped_prefix) == 0) /* on the wire it is IPv4 */
		return judge(o, &(struct suspect){.bytes = v6 + 12}, err);
	int rc = judge(o, &(struct suspect){.bytes = v6, .v6 = true}, err);
	const uint8_t *v4 = carried(v6);
	if (rc != SL_OK || !v4) return rc;
	return judge(o, &(struct suspect){.bytes = v4, .carrier = v6}, err);
}

/* Into at, whatever form the number has that a library would take. False: a name, a path, or nothing. */
static bool number_of(struct sl_slice target, struct sockaddr_storage *at) {
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST}, *list = NULL;
	struct sl_slice host;
	uint16_t port;
	if (sl_dial_parse(target, 1, &host, &port, NULL) != SL_OK) return false;
	/* The interface of a link-local address need not be one of this machine. */
	ptrdiff_t scope = slice_find_byte(host, '%');
	if (scope >= 0 && slice_find_byte(host, ':') >= 0) host = slice_sub(host, 0, (size_t)scope);
	char *name = slice_dup(host);
	bool found = getaddrinfo(name, NULL, &hints, &list) == 0;
	sl_free(name);
	if (!found) return false;
	memcpy(at, list->ai_addr, list->ai_addrlen);
	freeaddrinfo(list);
	return true;
}

int sl_outbound_judge_text(const struct sl_outbound *o, struct sl_slice target, struct sl_err *err) {
	struct sockaddr_storage at;
	return number_of(target, &at) ? sl_outbound_judge(o, (const struct sockaddr *)&at, err) : SL_OK;
}

/* ---- The one in force. --------------------------------------------------------------------------------------- */

static pthread_mutex_t in_force_lock = PTHREAD_MUTEX_INITIALIZER;
static struct sl_outbound *in_force; /* under lock */

struct sl_outbound *sl_outbound_set(struct sl_outbound *o) {
	pthread_mutex_lock(&in_force_lock);
	struct sl_outbound *before = in_force;
	in_force = o;
	pthread_mutex_unlock(&in_force_lock);
	return before;
}

int sl_outbound_allows(const struct sockaddr *address, struct sl_err *err) {
	pthread_mutex_lock(&in_force_lock);
	int rc = sl_outbound_judge(in_force, address, err);
	pthread_mutex_unlock(&in_force_lock);
	return rc;
}

int sl_outbound_allows_text(struct sl_slice target, struct sl_err *err) {
	struct sockaddr_storage at;
	return number_of(target, &at) ? sl_outbound_allows((const struct sockaddr *)&at, err) : SL_OK;
}

void sl_outbound_markdown(struct sl_buf *out) {
	for (size_t i = 0; i < SL_ARRAY_LEN(built_in); i++)
		sl_buf_printf(out, "| `%s` | %s |\n", built_in[i].cidr, built_in[i].why);
}
