#include "proxy_proto.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "crc32c.h"
#include "utf8.h"

/* ---- version 1 ------------------------------------------------------------------------------------------- */

static int bad(const char **why, const char *text) {
	*why = text;
	return SL_EPROTOCOL;
}

/* Digits alone, no zeros in front. */
static bool port_of(struct sl_slice text, uint16_t *out) {
	int64_t n;
	if (text.n == 0 || text.n > 5 || text.p[0] < '0' || text.p[0] > '9') return false;
	if ((text.n > 1 && text.p[0] == '0') || slice_to_i64(text, &n) != SL_OK || n > UINT16_MAX) return false;
	*out = (uint16_t)n;
	return true;
}

static bool address_of(int family, struct sl_slice host, struct sl_slice port, struct sockaddr_storage *out,
		       socklen_t *len) {
	char text[INET6_ADDRSTRLEN];
	uint16_t n;
	if (host.n >= sizeof text || slice_find_byte(host, '\0') >= 0 || !port_of(port, &n)) return false;
	memcpy(text, host.p, host.n);
	text[host.n] = '\0';
	if (family == AF_INET) {
		struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(n)};
		if (inet_pton(AF_INET, text, &v4.sin_addr) != 1) return false;
		memcpy(out, &v4, sizeof v4);
		*len = sizeof v4;
		return true;
	}
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(n)};
	if (inet_pton(AF_INET6, text, &v6.sin6_addr) != 1) return false;
	memcpy(out, &v6, sizeof v6);
	*len = sizeof v6;
	return true;
}

static int parse_line(struct sl_slice line, struct proxy_proto *out, const char **why) {
	struct sl_slice word[6];
	size_t words = 0;
	while (line.p && words < SL_ARRAY_LEN(word)) word[words++] = slice_next_part(&line, ' ');
	if (words >= 2 && slice_equal_str(word[1], "UNKNOWN")) { /* the rest is not to be looked at */
		out->local = true;
		return SL_OK;
	}
	int family = words < 2                          ? AF_UNSPEC
		     : slice_equal_str(word[1], "TCP4") ? AF_INET
		     : slice_equal_str(word[1], "TCP6") ? AF_INET6
							: AF_UNSPEC;
	if (family == AF_UNSPEC || words != 6 || line.p)
		return bad(why, "not a line of the PROXY protocol: TCP4, TCP6 or UNKNOWN, two addresses, two ports");
	if (!address_of(family, word[2], word[4], &out->from, &out->from_len) ||
	    !address_of(family, word[3], word[5], &out->to, &out->to_len))
		return bad(why, "an address or port in the PROXY line is none");
	return SL_OK;
}

static int parse_v1(struct sl_slice bytes, struct proxy_proto *out, size_t *used, const char **why) {
	struct sl_slice head = slice_sub(bytes, 0, PROXY_PROTO_V1_MAX);
	ptrdiff_t end = slice_find(head, SL_SLICE_LIT("\r\n"));
	if (end < 0 && bytes.n < PROXY_PROTO_V1_MAX) return SL_EAGAIN;
	if (end < 0) return bad(why, "the PROXY line does not end");
	*used = (size_t)end + 2;
	return parse_line(slice_sub(head, 0, (size_t)end), out, why);
}

/* ---- version 2 ------------------------------------------------------------------------------------------- */

enum { HEAD = 16, V4_BYTES = 12, V6_BYTES = 36, UNIX_BYTES = 216, UNIX_PATH = 108 };
enum { TLV_CRC32C = 0x03, TLV_SSL = 0x20, SSL_CN = 0x22 };
enum { SSL_BY_TLS = 1, SSL_CERT_CONN = 2, SSL_CERT_SESSION = 4 };

static const char signature[12] = {'\r', '\n', '\r', '\n', '\0', '\r', '\n', 'Q', 'U', 'I', 'T', '\n'};

static uint32_t be(const char *p, size_t n) {
	uint32_t v = 0;
	for (size_t i = 0; i < n; i++) v = v << 8 | (uint8_t)p[i];
	return v;
}

/* False: there is none left; a length that leads out of it sets *broken. */
static bool next_tlv(struct sl_slice *rest, uint8_t *type, struct sl_slice *value, bool *broken) {
	if (rest->n == 0) return false;
	size_t n = rest->n < 3 ? 0 : be(rest->p + 1, 2);
	if (rest->n < 3 || n > rest->n - 3) {
		*broken = true;
		return false;
	}
	*type = (uint8_t)rest->p[0];
	*value = slice_sub(*rest, 3, n);
	*rest = slice_from(*rest, 3 + n);
	return true;
}

/* The checksum is over the whole header, as if its own four bytes were 0. */
static bool checksum_fits(struct sl_slice header, struct sl_slice value) {
	static const char zeros[4];
	if (value.n != 4) return false;
	size_t at = (size_t)(value.p - header.p);
	uint32_t crc = crc32c(0, header.p, at);
	crc = crc32c(crc, zeros, sizeof zeros);
	crc = crc32c(crc, header.p + at + 4, header.n - at - 4);
	return crc == be(value.p, 4);
}

/* client (1 byte) | verify (4): 0 is verified | TLVs */
static bool take_ssl(struct sl_slice value, struct proxy_proto *out) {
	uint8_t type;
	struct sl_slice inner, rest = slice_from(value, 5);
	bool broken = false;
	if (value.n < 5) return false;
	uint8_t client = (uint8_t)value.p[0];
	bool verified = be(value.p + 1, 4) == 0 && client & (SSL_CERT_CONN | SSL_CERT_SESSION);
	out->tls = client & SSL_BY_TLS;
	while (next_tlv(&rest, &type, &inner, &broken))
		if (type == SSL_CN && out->tls && verified && utf8_valid_mqtt(inner)) out->common_name = inner;
	return !broken;
}

static int take_tlvs(struct sl_slice header, struct sl_slice rest, struct proxy_proto *out, const char **why) {
	uint8_t type;
	struct sl_slice value;
	bool broken = false;
	while (next_tlv(&rest, &type, &value, &broken)) {
		if (type == TLV_CRC32C && !checksum_fits(header, value))
			return bad(why, "the checksum of the PROXY header is wrong");
		if (type == TLV_SSL && !take_ssl(value, out)) broken = true;
	}
	return broken ? bad(why, "a length in the PROXY header leads out of it") : SL_OK;
}

static void take_v4(const char *p, struct proxy_proto *out) {
	struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET};
	memcpy(&from.sin_addr, p, 4);
	memcpy(&to.sin_addr, p + 4, 4);
	memcpy(&from.sin_port, p + 8, 2);
	memcpy(&to.sin_port, p + 10, 2);
	memcpy(&out->from, &from, out->from_len = sizeof from);
	memcpy(&out->to, &to, out->to_len = sizeof to);
}

static void take_v6(const char *p, struct proxy_proto *out) {
	struct sockaddr_in6 from = {.sin6_family = AF_INET6}, to = {.sin6_family = AF_INET6};
	memcpy(&from.sin6_addr, p, 16);
	memcpy(&to.sin6_addr, p + 16, 16);
	memcpy(&from.sin6_port, p + 32, 2);
	memcpy(&to.sin6_port, p + 34, 2);
	memcpy(&out->from, &from, out->from_len = sizeof from);
	memcpy(&out->to, &to, out->to_len = sizeof to);
}

static void take_unix(const char *p, struct proxy_proto *out) {
	struct sockaddr_un from = {.sun_family = AF_UNIX}, to = {.sun_family = AF_UNIX};
	memcpy(from.sun_path, p, UNIX_PATH);
	memcpy(to.sun_path, p + UNIX_PATH, UNIX_PATH);
	memcpy(&out->from, &from, out->from_len = sizeof from);
	memcpy(&out->to, &to, out->to_len = sizeof to);
}

/* family (4 bits) and transport: 1 is a stream. SL_OK with *size 0: unspecified. */
static int address_bytes(uint8_t family, size_t *size, const char **why) {
	switch (family) {
	case 0x00: *size = 0; return SL_OK;
	case 0x11: *size = V4_BYTES; return SL_OK;
	case 0x21: *size = V6_BYTES; return SL_OK;
	case 0x31: *size = UNIX_BYTES; return SL_OK;
	default: return bad(why, "the PROXY header tells of something that is no TCP and no unix stream");
	}
}

static int parse_v2(struct sl_slice bytes, struct proxy_proto *out, size_t *used, const char **why) {
	if (bytes.n >= 13 && (uint8_t)bytes.p[12] >> 4 != 2)
		return bad(why, "a PROXY header of another version than 1 and 2");
	if (bytes.n >= 13 && (bytes.p[12] & 0x0f) > 1) return bad(why, "a PROXY header with an unknown command");
	if (bytes.n < HEAD) return SL_EAGAIN;
	size_t length = be(bytes.p + 14, 2), size;
	if (HEAD + length > PROXY_PROTO_MAX) return bad(why, "a PROXY header of more than 4096 bytes");
	if (bytes.n < HEAD + length) return SL_EAGAIN;
	*used = HEAD + length;
	uint8_t family = (uint8_t)bytes.p[13];
	out->local = (bytes.p[12] & 0x0f) == 0 || family == 0;
	if (out->local) return SL_OK; /* of these everything else is passed over */
	int rc = address_bytes(family, &size, why);
	if (rc != SL_OK) return rc;
	if (length < size) return bad(why, "a PROXY header that is too short for its addresses");
	const char *p = bytes.p + HEAD;
	if (size == V4_BYTES) take_v4(p, out);
	if (size == V6_BYTES) take_v6(p, out);
	if (size == UNIX_BYTES) take_unix(p, out);
	return take_tlvs(slice_sub(bytes, 0, *used), slice_sub(bytes, HEAD + size, length - size), out, why);
}

int proxy_proto_parse(struct sl_slice bytes, struct proxy_proto *out, size_t *used, const char **why) {
	const struct sl_slice v2 = slice_make(signature, sizeof signature), v1 = SL_SLICE_LIT("PROXY ");
	*out = (struct proxy_proto){0};
	*used = 0;
	if (slice_starts_with(bytes, v2)) return parse_v2(bytes, out, used, why);
	if (slice_starts_with(bytes, v1)) return parse_v1(bytes, out, used, why);
	/* As soon as it can be neither, nobody waits for more. */
	if (slice_starts_with(v2, bytes) || slice_starts_with(v1, bytes)) return SL_EAGAIN;
	return bad(why, "no PROXY header, which this listener asks for (proxy_protocol)");
}
