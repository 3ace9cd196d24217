#include "ws_upgrade.h"

#include <http_parser.h>
#include <openssl/evp.h>

#include "rng.h"

/* ---- a head, taken apart --------------------------------------------------------------------------------- */

enum header { HOST, UPGRADE, CONNECTION, KEY, VERSION, PROTOCOL, ORIGIN, ACCEPT, EXTENSIONS, HEADERS };

/* A list may come in several headers of the name [RFC 9110, 5.3]; of the others there is one. */
static const struct {
	const char *name;
	bool list;
} known[HEADERS] = {
    [HOST] = {"host", false},
    [UPGRADE] = {"upgrade", true},
    [CONNECTION] = {"connection", true},
    [KEY] = {"sec-websocket-key", false},
    [VERSION] = {"sec-websocket-version", false},
    [PROTOCOL] = {"sec-websocket-protocol", true},
    [ORIGIN] = {"origin", false},
    [ACCEPT] = {"sec-websocket-accept", false},
    [EXTENSIONS] = {"sec-websocket-extensions", true},
};

struct head {
	http_parser parser;
	struct sl_slice url;
	struct sl_slice name; /* of the header whose value comes */
	size_t headers;
	bool bad;                     /* well-formed HTTP, yet not for us */
	unsigned seen;                /* bits */
	struct sl_slice one[HEADERS]; /* the value, or of a list the last one */
	bool is_websocket, is_upgrade, has_mqtt, has_mqttv31;
	bool done;
};

static bool list_has(struct sl_slice list, const char *word) {
	while (list.p) {
		struct sl_slice part = slice_trim(slice_next_part(&list, ','));
		if (slice_equal_nocase(part, slice_from_str(word))) return true;
	}
	return false;
}

static int on_url(http_parser *p, const char *at, size_t n) {
	struct head *h = p->data;
	h->url = slice_make(at, n);
	return 0;
}

static int on_name(http_parser *p, const char *at, size_t n) {
	struct head *h = p->data;
	h->name = slice_make(at, n);
	if (++h->headers > WS_UPGRADE_HEADERS_MAX) h->bad = true;
	return 0;
}

static int on_value(http_parser *p, const char *at, size_t n) {
	struct head *h = p->data;
	struct sl_slice value = slice_trim(slice_make(at, n));
	if (h->name.p == NULL) h->bad = true; /* a value that goes on in another line: out of use for good reason */
	for (unsigned i = 0; i < HEADERS; i++) {
		if (!slice_equal_nocase(h->name, slice_from_str(known[i].name))) continue;
		if (h->seen & 1u << i && !known[i].list) h->bad = true;
		h->seen |= 1u << i;
		h->one[i] = value;
	}
	if (slice_equal_nocase(h->name, SL_SLICE_LIT("upgrade"))) h->is_websocket |= list_has(value, "websocket");
	if (slice_equal_nocase(h->name, SL_SLICE_LIT("connection"))) h->is_upgrade |= list_has(value, "upgrade");
	if (slice_equal_nocase(h->name, slice_from_str(known[PROTOCOL].name))) {
		h->has_mqtt |= list_has(value, "mqtt");
		h->has_mqttv31 |= list_has(value, "mqttv3.1");
	}
	h->name = SL_SLICE_EMPTY;
	return 0;
}

static int on_done(http_parser *p) {
	struct head *h = p->data;
	h->done = true;
	return 2; /* no body: what follows are frames, or nothing */
}

static const http_parser_settings head_settings = {
    .on_url = on_url, .on_header_field = on_name, .on_header_value = on_value, .on_headers_complete = on_done};

/* SL_OK: *size bytes were the head, unless it is bad; SL_EAGAIN; SL_ELIMIT. */
static int head_parse(struct sl_slice bytes, enum http_parser_type type, struct head *h, size_t *size) {
	*h = (struct head){0};
	http_parser_init(&h->parser, type);
	h->parser.data = h;
	bytes = slice_sub(bytes, 0, WS_UPGRADE_MAX);
	ptrdiff_t end = slice_find(bytes, SL_SLICE_LIT("\r\n\r\n"));
	*size = end < 0 ? bytes.n : (size_t)end + 4;
	size_t used = http_parser_execute(&h->parser, &head_settings, bytes.p, *size);
	bool broken = HTTP_PARSER_ERRNO(&h->parser) != HPE_OK;
	if (end < 0 && !broken && !h->done) return bytes.n < WS_UPGRADE_MAX ? SL_EAGAIN : SL_ELIMIT;
	/* Lines that end otherwise may end the head before we thought. */
	if (broken || end < 0 || !h->done || used != *size) h->bad = true;
	return SL_OK;
}

/* ---- the key --------------------------------------------------------------------------------------------- */

enum { ACCEPT_CHARS = 28, NONCE = 16 };

/* base64(SHA-1(key and a constant)) [RFC 6455, 4.2.2]. */
static void accept_of(struct sl_slice key, char out[ACCEPT_CHARS + 1]) {
	struct sl_buf text = SL_BUF_INIT;
	uint8_t digest[EVP_MAX_MD_SIZE];
	sl_buf_append_slice(&text, key);
	sl_buf_append_str(&text, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
	unsigned n = 0;
	int ok = EVP_Digest(text.p, text.n, digest, &n, EVP_sha1(), NULL);
	sl_assert(ok == 1 && n == 20);
	EVP_EncodeBlock((uint8_t *)out, digest, (int)n);
	sl_buf_fini(&text);
}

/* Sixteen bytes in base64. */
static bool key_valid(struct sl_slice key) {
	uint8_t bytes[NONCE + 2];
	if (key.n != WS_KEY_CHARS || key.p[22] != '=' || key.p[23] != '=' || slice_find_byte(key, '=') != 22)
		return false;
	return EVP_DecodeBlock(bytes, (const uint8_t *)key.p, (int)key.n) == (int)sizeof bytes;
}

/* ---- the server's side ----------------------------------------------------------------------------------- */

/* An answer that ends the connection. `more`: headers of its own, each with its end of line. */
static int refuse(struct sl_buf *answer, int status, const char *more, const char *text, const char **why) {
	sl_buf_printf(answer,
		      "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\n%s"
		      "Connection: close\r\n\r\n%s\n",
		      status, http_status_str((enum http_status)status), strlen(text) + 1, more, text);
	*why = text;
	return SL_EDENIED;
}

static bool origin_allowed(const struct ws_upgrade_rules *rules, const struct head *h) {
	/* Only browsers send it, and they always do. */
	if (!rules->origins || !(h->seen & 1u << ORIGIN)) return true;
	for (const char *const *o = rules->origins; *o; o++)
		if (slice_equal_nocase(h->one[ORIGIN], slice_from_str(*o))) return true;
	return false;
}

static bool path_fits(const struct ws_upgrade_rules *rules, struct sl_slice url) {
	struct sl_slice path = slice_next_part(&url, '?');
	return !rules->path || slice_equal_str(path, rules->path);
}

/* SL_OK: accept it. */
static int judge(const struct ws_upgrade_rules *rules, const struct head *h, struct sl_buf *answer, const char **why) {
	static const char *const version = "Sec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n";
	const http_parser *p = &h->parser;
	if (h->bad) return refuse(answer, 400, "", "this is not an HTTP/1.1 request; a WebSocket begins with one", why);
	if (p->method != HTTP_GET) return refuse(answer, 405, "Allow: GET\r\n", "a WebSocket begins with GET", why);
	if (p->http_major != 1 || p->http_minor < 1)
		return refuse(answer, 505, "", "a WebSocket begins with a request of HTTP/1.1", why);
	if (!path_fits(rules, h->url))
		return refuse(answer, 404, "", "nothing is here; MQTT is spoken at the `path` of the listener", why);
	if (!h->is_websocket || !h->is_upgrade)
		return refuse(answer, 426, version,
			      "MQTT is spoken here, through WebSocket: send Upgrade: websocket and Connection: Upgrade",
			      why);
	if (!slice_equal_str(h->one[VERSION], "13"))
		return refuse(answer, 426, version, "send Sec-WebSocket-Version: 13", why);
	if (h->one[HOST].n == 0) return refuse(answer, 400, "", "send a Host header", why);
	if (p->flags & F_CHUNKED || (p->flags & F_CONTENTLENGTH && p->content_length > 0))
		return refuse(answer, 400, "", "a request for a WebSocket has no body", why);
	if (!key_valid(h->one[KEY]))
		return refuse(answer, 400, "", "send one Sec-WebSocket-Key: 16 random bytes in base64", why);
	if (!origin_allowed(rules, h))
		return refuse(answer, 403, "", "this page is not among the `origins` of the listener", why);
	if (!h->has_mqtt && !h->has_mqttv31) /* [MQTT-6.0.0-3] */
		return refuse(answer, 400, "", "send Sec-WebSocket-Protocol: mqtt", why);
	return SL_OK;
}

int ws_upgrade_serve(struct sl_slice bytes, const struct ws_upgrade_rules *rules, struct sl_buf *answer, size_t *used,
		     const char **why) {
	struct head h;
	char accept[ACCEPT_CHARS + 1];
	int rc = head_parse(bytes, HTTP_REQUEST, &h, used);
	if (rc == SL_EAGAIN) return rc;
	if (rc == SL_ELIMIT) return refuse(answer, 431, "", "the headers of the request are too large", why);
	rc = judge(rules, &h, answer, why);
	if (rc != SL_OK) return rc;
	accept_of(h.one[KEY], accept);
	sl_buf_printf(answer,
		      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		      "Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: %s\r\n\r\n",
		      accept, h.has_mqtt ? "mqtt" : "mqttv3.1"); /* [MQTT-6.0.0-4] */
	return SL_OK;
}

/* ---- the client's side ----------------------------------------------------------------------------------- */

void ws_upgrade_ask(const char *host_port, const char *path, char key[WS_KEY_CHARS + 1], struct sl_buf *out) {
	uint8_t nonce[NONCE];
	sl_random_bytes(nonce, sizeof nonce);
	EVP_EncodeBlock((uint8_t *)key, nonce, sizeof nonce);
	sl_buf_printf(out,
		      "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		      "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
		      path, host_port, key);
}

int ws_upgrade_answered(struct sl_slice bytes, const char *key, size_t *used, struct sl_err *err) {
	struct head h;
	char accept[ACCEPT_CHARS + 1];
	int rc = head_parse(bytes, HTTP_RESPONSE, &h, used);
	if (rc == SL_EAGAIN) return rc;
	if (rc == SL_ELIMIT) return sl_err_set(err, SL_EPROTOCOL, "the answer's headers are too large");
	if (h.bad)
		return sl_err_set(err, SL_EPROTOCOL,
				  "the answer is not HTTP; is this the port of a WebSocket listener?");
	if (h.parser.status_code != 101)
		return sl_err_set(
		    err, SL_EPROTOCOL,
		    "the server answered %u where 101 was expected; check the path, and whether it speaks "
		    "WebSocket on this port",
		    (unsigned)h.parser.status_code);
	accept_of(slice_from_str(key), accept);
	if (!h.is_websocket || !h.is_upgrade || !slice_equal_str(h.one[ACCEPT], accept))
		return sl_err_set(err, SL_EPROTOCOL, "the server answered 101 and yet does not speak WebSocket");
	if (h.seen & 1u << EXTENSIONS)
		return sl_err_set(err, SL_EPROTOCOL,
				  "the server wants an extension of WebSocket that nobody asked for");
	if (!h.has_mqtt || !slice_equal_str(h.one[PROTOCOL], "mqtt"))
		return sl_err_set(err, SL_EPROTOCOL, "the server speaks WebSocket here, but not MQTT through it");
	return SL_OK;
}
