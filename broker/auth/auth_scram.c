#include "auth_scram.h"

#include <openssl/crypto.h>
#include <string.h>

#include "mem.h"
#include "rng.h"
#include "utf8.h"

enum { MESSAGE_MAX = 8192, HEADER_MAX = 2048, NONCE_BYTES = 24 };

struct auth_scram {
	struct auth_scram_spec spec;
	bool first_seen, known, over;
	struct scram_keys keys;
	struct sl_buf user;
	struct sl_buf header;      /* gs2: "n,," */
	struct sl_buf nonce;       /* the client's, then ours */
	struct sl_buf signed_text; /* AuthMessage: client-first-bare "," server-first "," client-final-without-proof */
};

struct auth_scram *auth_scram_new(const struct auth_scram_spec *spec) {
	struct auth_scram *x = SL_NEW(struct auth_scram);
	x->spec = *spec;
	return x;
}

void auth_scram_free(struct auth_scram *x) {
	if (!x) return;
	sl_buf_fini(&x->user);
	sl_buf_fini(&x->header);
	sl_buf_fini(&x->nonce);
	sl_buf_fini(&x->signed_text);
	explicit_bzero(&x->keys, sizeof x->keys);
	sl_free(x);
}

struct sl_slice auth_scram_user(const struct auth_scram *x) {
	return sl_buf_slice(&x->user);
}

/* ---- names ------------------------------------------------------------------------------------------------ */

struct range {
	uint32_t first, last;
};

static bool in_ranges(uint32_t c, const struct range *r, size_t n) {
	for (size_t i = 0; i < n; i++)
		if (c >= r[i].first && c <= r[i].last) return true;
	return false;
}

/* RFC 3454 table B.1: mapped to nothing. */
static const struct range nothing[] = {{0xad, 0xad},     {0x34f, 0x34f},   {0x1806, 0x1806}, {0x180b, 0x180d},
				       {0x200b, 0x200d}, {0x2060, 0x2060}, {0xfe00, 0xfe0f}, {0xfeff, 0xfeff}};
/* Table C.1.2: spaces. */
static const struct range spaces[] = {{0xa0, 0xa0},     {0x1680, 0x1680}, {0x2000, 0x200a},
				      {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}};
/* Tables C.2.1 to C.9, as far as they are code points that UTF-8 can have; the last two of each plane are no characters. */
static const struct range prohibited[] = {
    {0, 0x1f},        {0x7f, 0x9f},     {0x340, 0x341},     {0x6dd, 0x6dd},     {0x70f, 0x70f},     {0x180e, 0x180e},
    {0x200e, 0x200f}, {0x2028, 0x202e}, {0x2061, 0x2063},   {0x206a, 0x206f},   {0x2ff0, 0x2ffb},   {0xe000, 0xf8ff},
    {0xfdd0, 0xfdef}, {0xfff9, 0xfffd}, {0x1d173, 0x1d17a}, {0xe0001, 0xe007f}, {0xf0000, 0x10ffff}};

bool auth_scram_prepare(struct sl_slice name, struct sl_buf *out) {
	if (!utf8_valid(name)) return false;
	while (name.n > 0) {
		size_t len;
		uint32_t c = utf8_decode(name, &len);
		if (in_ranges(c, prohibited, SL_ARRAY_LEN(prohibited)) || (c & 0xfffe) == 0xfffe) return false;
		if (in_ranges(c, spaces, SL_ARRAY_LEN(spaces)))
			sl_buf_put(out, ' ');
		else if (!in_ranges(c, nothing, SL_ARRAY_LEN(nothing)))
			sl_buf_append(out, name.p, len);
		name = slice_from(name, len);
	}
	return true;
}

/* saslname: "=2C" is a comma, "=3D" an equals sign, nothing else begins with "=". */
static bool unescape(struct sl_slice text, struct sl_buf *out) {
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] != '=') {
			sl_buf_put(out, text.p[i]);
			continue;
		}
		struct sl_slice rest = slice_from(text, i);
		if (slice_starts_with(rest, SL_SLICE_LIT("=2C")))
			sl_buf_put(out, ',');
		else if (slice_starts_with(rest, SL_SLICE_LIT("=3D")))
			sl_buf_put(out, '=');
		else
			return false;
		i += 2;
	}
	return true;
}

static bool take_name(struct sl_slice text, struct sl_buf *out) {
	struct sl_buf plain = SL_BUF_INIT;
	bool ok = unescape(text, &plain) && auth_scram_prepare(sl_buf_slice(&plain), out) && out->n > 0;
	sl_buf_fini(&plain);
	return ok;
}

/* ---- messages --------------------------------------------------------------------------------------------- */

/* "k=value" up to a comma or the end; *rest moves behind the comma (rest->p NULL: that was the last). */
static bool take_attribute(struct sl_slice *rest, char name, struct sl_slice *value) {
	if (!rest->p || rest->n < 2 || rest->p[0] != name || rest->p[1] != '=') return false;
	struct sl_slice part = slice_next_part(rest, ',');
	*value = slice_from(part, 2);
	return true;
}

/* Printable ASCII but for the comma. */
static bool nonce_valid(struct sl_slice nonce) {
	for (size_t i = 0; i < nonce.n; i++)
		if (nonce.p[i] < 0x21 || nonce.p[i] > 0x7e || nonce.p[i] == ',') return false;
	return nonce.n > 0;
}

/* The header in front of client-first: *rest moves behind it. */
static bool take_header(struct auth_scram *x, struct sl_slice *rest, struct sl_slice *authzid) {
	struct sl_slice whole = *rest, flag = slice_next_part(rest, ',');
	if (!rest->p || !(slice_equal_str(flag, "n") || slice_equal_str(flag, "y"))) return false;
	struct sl_slice id = slice_next_part(rest, ',');
	if (!rest->p || (id.n > 0 && !slice_starts_with(id, SL_SLICE_LIT("a=")))) return false;
	*authzid = id.n > 0 ? slice_from(id, 2) : id;
	sl_buf_append(&x->header, whole.p, (size_t)(rest->p - whole.p));
	return true;
}

static bool take_client_first(struct auth_scram *x, struct sl_slice in) {
	struct sl_slice rest = in, authzid, name, nonce;
	if (!take_header(x, &rest, &authzid)) return false;
	sl_buf_append_slice(&x->signed_text, rest);
	if (!take_attribute(&rest, 'n', &name) || !take_attribute(&rest, 'r', &nonce)) return false;
	if (!nonce_valid(nonce) || !take_name(name, &x->user)) return false;
	sl_buf_append_slice(&x->nonce, nonce);
	if (authzid.n == 0) return true;
	struct sl_buf acts_as = SL_BUF_INIT;
	bool same = take_name(authzid, &acts_as) && slice_equal(sl_buf_slice(&acts_as), sl_buf_slice(&x->user));
	sl_buf_fini(&acts_as);
	return same;
}

static void put_server_first(struct auth_scram *x, struct sl_buf *out) {
	size_t start = out->n;
	if (x->spec.nonce.n > 0) {
		sl_buf_append_slice(&x->nonce, x->spec.nonce);
	} else {
		uint8_t random[NONCE_BYTES];
		sl_random_bytes(random, sizeof random);
		scram_put_base64(&x->nonce, random, sizeof random);
	}
	sl_buf_append_str(out, "r=");
	sl_buf_append_slice(out, sl_buf_slice(&x->nonce));
	sl_buf_append_str(out, ",s=");
	scram_put_base64(out, x->keys.salt, x->keys.salt_len);
	sl_buf_printf(out, ",i=%d", x->keys.iterations);
	sl_buf_put(&x->signed_text, ',');
	sl_buf_append(&x->signed_text, out->p + start, out->n - start);
	sl_buf_put(&x->signed_text, ',');
}

/* c= repeats the header in base64; p= is last; what stands before it goes into AuthMessage. */
static bool take_client_final(struct auth_scram *x, struct sl_slice in, uint8_t proof[SCRAM_KEY_MAX]) {
	struct sl_slice rest = in, binding, nonce, text = SL_SLICE_EMPTY;
	if (!take_attribute(&rest, 'c', &binding) || !take_attribute(&rest, 'r', &nonce)) return false;
	struct sl_slice before = slice_make(in.p, rest.p ? (size_t)(rest.p - in.p) : in.n);
	while (rest.p && !take_attribute(&rest, 'p', &text)) { /* extensions: none is known, they may be there */
		slice_next_part(&rest, ',');
		if (rest.p) before.n = (size_t)(rest.p - in.p);
	}
	size_t len = 0;
	if (rest.p || !text.p || !scram_take_base64(text, proof, SCRAM_KEY_MAX, &len)) return false;
	if (len != scram_key_len(x->spec.hash) || !slice_equal(nonce, sl_buf_slice(&x->nonce))) return false;
	sl_buf_append(&x->signed_text, before.p, before.n - 1); /* without the comma before p= */
	uint8_t header[HEADER_MAX];
	size_t header_len = 0;
	return scram_take_base64(binding, header, sizeof header, &header_len) &&
	       slice_equal(slice_make((const char *)header, header_len), sl_buf_slice(&x->header));
}

static bool proof_right(const struct auth_scram *x, const uint8_t *proof) {
	enum scram_hash hash = x->spec.hash;
	size_t n = scram_key_len(hash);
	uint8_t client[SCRAM_KEY_MAX], stored[SCRAM_KEY_MAX];
	scram_hmac(hash, x->keys.stored, n, sl_buf_slice(&x->signed_text), client); /* ClientSignature */
	for (size_t i = 0; i < n; i++) client[i] ^= proof[i];                       /* ClientKey */
	scram_digest(hash, client, n, stored);
	bool same = CRYPTO_memcmp(stored, x->keys.stored, n) == 0;
	explicit_bzero(client, sizeof client);
	return same;
}

static void put_server_final(const struct auth_scram *x, struct sl_buf *out) {
	uint8_t signature[SCRAM_KEY_MAX];
	size_t n = scram_key_len(x->spec.hash);
	scram_hmac(x->spec.hash, x->keys.server, n, sl_buf_slice(&x->signed_text), signature);
	sl_buf_append_str(out, "v=");
	scram_put_base64(out, signature, n);
}

enum auth_scram_step auth_scram_step(struct auth_scram *x, struct sl_slice in, struct sl_buf *out) {
	if (x->over || in.n > MESSAGE_MAX) return AUTH_SCRAM_FAILED;
	if (!x->first_seen && in.n == 0) return AUTH_SCRAM_CONTINUE;
	if (!x->first_seen) {
		x->first_seen = true;
		x->over = !take_client_first(x, in);
		if (x->over) return AUTH_SCRAM_FAILED;
		x->known = x->spec.find(x->spec.arg, sl_buf_slice(&x->user), x->spec.hash, &x->keys);
		put_server_first(x, out);
		return AUTH_SCRAM_CONTINUE;
	}
	uint8_t proof[SCRAM_KEY_MAX];
	x->over = true;
	/* Asked in this order, so that an unknown name costs what a wrong password costs. */
	if (!take_client_final(x, in, proof) || !proof_right(x, proof) || !x->known) return AUTH_SCRAM_FAILED;
	put_server_final(x, out);
	return AUTH_SCRAM_DONE;
}
