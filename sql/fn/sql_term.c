/* sql_term.c: see sql_term.h. The tags are those of the format's description in Erlang's documentation. */
#include "sql_term.h"

#include "sql_deflate.h"
#include "sql_fn.h"
#include "utf8.h"

enum {
	VERSION = 131,
	COMPRESSED = 80,
	NEW_FLOAT = 70,
	SMALL_INTEGER = 97,
	INTEGER = 98,
	FLOAT = 99,
	ATOM = 100,
	NIL = 106,
	STRING = 107,
	LIST = 108,
	BINARY = 109,
	SMALL_BIG = 110,
	LARGE_BIG = 111,
	SMALL_ATOM = 115,
	MAP = 116,
	ATOM_UTF8 = 118,
	SMALL_ATOM_UTF8 = 119,
};
enum { BIG_BYTES_MAX = 255, BIG_DIGITS_MAX = 600, OLD_FLOAT_BYTES = 31 };

/* ---- writing ---- */

static void put_tag(struct sl_buf *out, int tag) { sl_buf_put(out, (char)tag); }

static void put_atom(struct sl_buf *out, struct sl_slice name) {
	put_tag(out, SMALL_ATOM_UTF8);
	sl_buf_put(out, (char)name.n);
	sl_buf_append_slice(out, name);
}

static void put_binary(struct sl_buf *out, struct sl_slice s) {
	put_tag(out, BINARY);
	sl_buf_put_u32be(out, (uint32_t)s.n);
	sl_buf_append_slice(out, s);
}

static void put_big(struct sl_buf *out, bool negative, const uint8_t *bytes, size_t n) {
	put_tag(out, SMALL_BIG);
	sl_buf_put(out, (char)n);
	sl_buf_put(out, (char)negative);
	sl_buf_append(out, bytes, n);
}

static void put_integer(struct sl_buf *out, int64_t i) {
	if (i >= 0 && i <= 255) {
		put_tag(out, SMALL_INTEGER);
		sl_buf_put(out, (char)i);
	} else if (i >= INT32_MIN && i <= INT32_MAX) {
		put_tag(out, INTEGER);
		sl_buf_put_u32be(out, (uint32_t)i);
	} else {
		uint64_t rest = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
		uint8_t bytes[8];
		size_t n = 0;
		for (; rest; rest >>= 8) bytes[n++] = (uint8_t)rest;
		put_big(out, i < 0, bytes, n);
	}
}

static void put_double(struct sl_buf *out, double d) {
	uint64_t bits;
	memcpy(&bits, &d, sizeof bits);
	put_tag(out, NEW_FLOAT);
	sl_buf_put_u32be(out, (uint32_t)(bits >> 32));
	sl_buf_put_u32be(out, (uint32_t)bits);
}

/* Digits beyond int64, base 10 to base 256. */
static int put_digits(struct sql_vm *vm, struct sl_slice s, struct sl_buf *out) {
	bool negative = s.n && s.p[0] == '-';
	uint8_t bytes[BIG_BYTES_MAX + 1];
	size_t n = 0;
	if (negative) s = slice_from(s, 1);
	for (; s.n && n <= BIG_BYTES_MAX; s = slice_from(s, 1)) {
		unsigned carry = (unsigned)(s.p[0] - '0');
		for (size_t i = 0; i < n; i++) {
			carry += bytes[i] * 10u;
			bytes[i] = (uint8_t)carry;
			carry >>= 8;
		}
		if (carry) bytes[n++] = (uint8_t)carry;
	}
	if (n > BIG_BYTES_MAX) return sql_vm_fail(vm, SL_ELIMIT, "an integer of more than 255 bytes");
	put_big(out, negative, bytes, n);
	return SL_OK;
}

static int put_number_text(struct sql_vm *vm, const struct sql_value *v, struct sl_buf *out) {
	struct sl_slice s = sql_value_text(v);
	struct sql_value n = sql_number(*v);
	bool whole = slice_find_byte(s, '.') < 0 && slice_find_byte(s, 'e') < 0 && slice_find_byte(s, 'E') < 0;
	if (n.kind == SQL_INT) {
		put_integer(out, n.i);
	} else if (whole) {
		return put_digits(vm, s, out);
	} else {
		if (__builtin_isinf(n.d))
			return sql_vm_fail(vm, SL_ELIMIT, "the number %.*s does not fit a float", SL_SLICE_ARG(s));
		put_double(out, n.d);
	}
	return SL_OK;
}

static int put_value(struct sql_vm *vm, struct sql_value v, unsigned depth, struct sl_buf *out);

/* Erlang writes short lists of bytes as STRING. */
static bool all_bytes(const struct sql_list *l) {
	for (uint32_t i = 0; i < l->n; i++)
		if (l->at[i].kind != SQL_INT || l->at[i].i < 0 || l->at[i].i > 255) return false;
	return l->n > 0 && l->n <= UINT16_MAX;
}

static int put_list(struct sql_vm *vm, const struct sql_list *l, unsigned depth, struct sl_buf *out) {
	int r = SL_OK;
	if (all_bytes(l)) {
		put_tag(out, STRING);
		sl_buf_put_u16be(out, (uint16_t)l->n);
		for (uint32_t i = 0; i < l->n; i++) sl_buf_put(out, (char)l->at[i].i);
		return SL_OK;
	}
	if (l->n) {
		put_tag(out, LIST);
		sl_buf_put_u32be(out, l->n);
	}
	for (uint32_t i = 0; r == SL_OK && i < l->n; i++) r = put_value(vm, l->at[i], depth + 1, out);
	put_tag(out, NIL);
	return r;
}

static int put_map(struct sql_vm *vm, const struct sql_map *m, unsigned depth, struct sl_buf *out) {
	int r = SL_OK;
	put_tag(out, MAP);
	sl_buf_put_u32be(out, m->n);
	for (uint32_t i = 0; r == SL_OK && i < m->n; i++) {
		put_binary(out, m->at[i].key);
		r = put_value(vm, m->at[i].value, depth + 1, out);
	}
	return r;
}

static int put_value(struct sql_vm *vm, struct sql_value v, unsigned depth, struct sl_buf *out) {
	if (depth > SQL_VALUE_DEPTH_MAX)
		return sql_vm_fail(vm, SL_ELIMIT, "arrays and objects stand more than %d deep", SQL_VALUE_DEPTH_MAX);
	if (out->n > SQL_TEXT_MAX)
		return sql_vm_fail(vm, SL_ELIMIT, "the result would exceed %d MB", SQL_TEXT_MAX >> 20);
	int r = sql_unfold(vm, &v);
	if (r != SL_OK) return r;
	switch (v.kind) {
	case SQL_NULL: put_atom(out, SL_SLICE_LIT("undefined")); break;
	case SQL_JSON_NULL: put_atom(out, SL_SLICE_LIT("null")); break;
	case SQL_BOOL: put_atom(out, v.b ? SL_SLICE_LIT("true") : SL_SLICE_LIT("false")); break;
	case SQL_INT: put_integer(out, v.i); break;
	case SQL_DOUBLE: put_double(out, v.d); break;
	case SQL_STRING:
	case SQL_BYTES: put_binary(out, sql_value_text(&v)); break;
	case SQL_NUMBER_TEXT: return put_number_text(vm, &v, out);
	case SQL_LIST: return put_list(vm, v.list, depth, out);
	case SQL_MAP: return put_map(vm, v.map, depth, out);
	case SQL_JSON: break; /* unfolded */
	}
	return SL_OK;
}

int sql_term_encode(struct sql_vm *vm, const struct sql_value *v, struct sl_buf *out) {
	put_tag(out, VERSION);
	return put_value(vm, *v, 0, out);
}

/* ---- reading ---- */

static int broken(struct sql_vm *vm) {
	return sql_vm_fail(vm, SL_EMALFORMED, "the bytes are not a term in Erlang's external format, or break off");
}

/* Takes `n` bytes, as a number. */
static bool take_number(struct sl_slice *s, size_t n, uint64_t *out) {
	if (s->n < n) return false;
	*out = 0;
	for (size_t i = 0; i < n; i++) *out = *out << 8 | (uint8_t)s->p[i];
	*s = slice_from(*s, n);
	return true;
}

static bool take_bytes(struct sl_slice *s, size_t length_bytes, struct sl_slice *out) {
	uint64_t n;
	if (!take_number(s, length_bytes, &n) || n > s->n) return false;
	*out = slice_sub(*s, 0, (size_t)n);
	*s = slice_from(*s, (size_t)n);
	return true;
}

static int get_atom(struct sql_vm *vm, struct sl_slice *s, size_t length_bytes, struct sql_value *out) {
	struct sl_slice name;
	if (!take_bytes(s, length_bytes, &name)) return broken(vm);
	if (slice_equal_str(name, "true") || slice_equal_str(name, "false"))
		*out = sql_bool(name.n == 4);
	else if (slice_equal_str(name, "null"))
		*out = (struct sql_value){.kind = SQL_JSON_NULL};
	else if (slice_equal_str(name, "undefined"))
		*out = sql_null();
	else
		*out = sql_call_bytes(name);
	return SL_OK;
}

/* Base 256 to base 10, by taking the lowest digit off again and again. */
static int big_text(struct sql_vm *vm, bool negative, struct sl_slice bytes, struct sql_value *out) {
	uint8_t rest[BIG_BYTES_MAX];
	char *text = sl_arena_alloc(&vm->arena, BIG_DIGITS_MAX + 32);
	size_t at = BIG_DIGITS_MAX + 32, n = bytes.n;
	memcpy(rest, bytes.p, n);
	while (n) {
		unsigned carry = 0;
		for (size_t i = n; i > 0; i--) {
			carry = carry << 8 | rest[i - 1];
			rest[i - 1] = (uint8_t)(carry / 10);
			carry %= 10;
		}
		text[--at] = (char)('0' + carry);
		while (n && rest[n - 1] == 0) n--;
	}
	if (negative) text[--at] = '-';
	*out = (struct sql_value){.kind = SQL_NUMBER_TEXT, .n = (uint32_t)(BIG_DIGITS_MAX + 32 - at), .p = text + at};
	*out = sql_number(*out).kind == SQL_INT ? sql_number(*out) : *out;
	return sql_vm_made(vm, BIG_DIGITS_MAX);
}

static int get_big(struct sql_vm *vm, struct sl_slice *s, size_t length_bytes, struct sql_value *out) {
	uint64_t n, sign;
	if (!take_number(s, length_bytes, &n) || !take_number(s, 1, &sign) || n > s->n || sign > 1) return broken(vm);
	struct sl_slice bytes = slice_sub(*s, 0, (size_t)n);
	*s = slice_from(*s, (size_t)n);
	while (bytes.n && bytes.p[bytes.n - 1] == 0) bytes.n--;
	if (bytes.n > BIG_BYTES_MAX) return sql_vm_fail(vm, SL_ELIMIT, "an integer of more than 255 bytes");
	if (bytes.n == 0) {
		*out = sql_int(0);
		return SL_OK;
	}
	sql_vm_charge(vm, bytes.n * bytes.n / 8);
	return big_text(vm, sign == 1, bytes, out);
}

static int give_double(struct sql_vm *vm, double d, struct sql_value *out) {
	if (!__builtin_isfinite(d)) return broken(vm);
	*out = sql_double(d);
	return SL_OK;
}

static int get_float(struct sql_vm *vm, struct sl_slice *s, bool old, struct sql_value *out) {
	double d = 0;
	uint64_t bits;
	if (!old) {
		if (!take_number(s, sizeof bits, &bits)) return broken(vm);
		memcpy(&d, &bits, sizeof d);
		return give_double(vm, d, out);
	}
	if (s->n < OLD_FLOAT_BYTES) return broken(vm);
	struct sl_slice text = slice_sub(*s, 0, OLD_FLOAT_BYTES); /* "%.20e", zeros behind */
	ptrdiff_t end = slice_find_byte(text, '\0');
	*s = slice_from(*s, OLD_FLOAT_BYTES);
	if (end >= 0) text.n = (size_t)end;
	return slice_to_double(text, &d) == SL_OK ? give_double(vm, d, out) : broken(vm);
}

static int get_value(struct sql_vm *vm, struct sl_slice *s, unsigned depth, struct sql_value *out);

static int give_list(struct sql_vm *vm, uint32_t n, struct sql_list **l, struct sql_value *out) {
	int r = sql_vm_made(vm, n * sizeof *out);
	if (r != SL_OK) return r;
	*l = sql_list_new(&vm->arena, n);
	*out = (struct sql_value){.kind = SQL_LIST, .list = *l};
	return SL_OK;
}

static int get_string(struct sql_vm *vm, struct sl_slice *s, struct sql_value *out) {
	struct sl_slice bytes;
	struct sql_list *l;
	if (!take_bytes(s, 2, &bytes)) return broken(vm);
	int r = give_list(vm, (uint32_t)bytes.n, &l, out);
	for (uint32_t i = 0; r == SL_OK && i < l->n; i++) l->at[i] = sql_int((uint8_t)bytes.p[i]);
	return r;
}

static int get_list(struct sql_vm *vm, struct sl_slice *s, unsigned depth, struct sql_value *out) {
	uint64_t n, tail;
	struct sql_list *l;
	if (!take_number(s, 4, &n) || n > s->n) return broken(vm); /* an element has one byte at least */
	int r = give_list(vm, (uint32_t)n, &l, out);
	for (uint32_t i = 0; r == SL_OK && i < l->n; i++) r = get_value(vm, s, depth + 1, &l->at[i]);
	if (r != SL_OK) return r;
	if (!take_number(s, 1, &tail)) return broken(vm);
	return tail == NIL ? SL_OK : sql_vm_fail(vm, SL_EUNSUPPORTED, "an improper list has no JSON form");
}

static int get_map(struct sql_vm *vm, struct sl_slice *s, unsigned depth, struct sql_value *out) {
	uint64_t n;
	struct sql_map_maker maker;
	if (!take_number(s, 4, &n) || n > s->n / 2) return broken(vm);
	int r = sql_map_begin(vm, (uint32_t)n, &maker);
	for (uint64_t i = 0; r == SL_OK && i < n; i++) {
		struct sql_value name, value;
		r = get_value(vm, s, depth + 1, &name);
		if (r == SL_OK) r = get_value(vm, s, depth + 1, &value);
		if (r != SL_OK) break;
		if (name.kind == SQL_LIST || name.kind == SQL_MAP || name.kind == SQL_BYTES)
			return sql_vm_fail(vm, SL_EUNSUPPORTED, "a name in a map must be text");
		*sql_map_place(&maker, name.kind == SQL_NULL ? SL_SLICE_LIT("undefined") : sql_text(vm, &name)) = value;
	}
	if (r == SL_OK) *out = (struct sql_value){.kind = SQL_MAP, .map = maker.map};
	return r;
}

static int get_value(struct sql_vm *vm, struct sl_slice *s, unsigned depth, struct sql_value *out) {
	uint64_t tag, n;
	struct sl_slice bytes;
	*out = sql_null();
	if (depth > SQL_VALUE_DEPTH_MAX)
		return sql_vm_fail(vm, SL_ELIMIT, "the term is nested deeper than %d levels", SQL_VALUE_DEPTH_MAX);
	if (!take_number(s, 1, &tag)) return broken(vm);
	switch (tag) {
	case SMALL_INTEGER:
	case INTEGER:
		if (!take_number(s, tag == INTEGER ? 4 : 1, &n)) return broken(vm);
		*out = sql_int(tag == INTEGER ? (int32_t)(uint32_t)n : (int64_t)n);
		return SL_OK;
	case SMALL_BIG: return get_big(vm, s, 1, out);
	case LARGE_BIG: return get_big(vm, s, 4, out);
	case FLOAT:
	case NEW_FLOAT: return get_float(vm, s, tag == FLOAT, out);
	case ATOM:
	case ATOM_UTF8: return get_atom(vm, s, 2, out);
	case SMALL_ATOM:
	case SMALL_ATOM_UTF8: return get_atom(vm, s, 1, out);
	case BINARY:
		if (!take_bytes(s, 4, &bytes)) return broken(vm);
		*out = sql_call_bytes(bytes);
		return SL_OK;
	case NIL: return give_list(vm, 0, &(struct sql_list *){NULL}, out);
	case STRING: return get_string(vm, s, out);
	case LIST: return get_list(vm, s, depth, out);
	case MAP: return get_map(vm, s, depth, out);
	}
	return sql_vm_fail(vm, SL_EUNSUPPORTED,
			   "a term of kind %u (such as a tuple, a pid or a function) has no JSON form", (unsigned)tag);
}

/* Borrows from the arena afterwards. */
static int uncompress(struct sql_vm *vm, struct sl_slice *s) {
	uint64_t size;
	struct sl_buf plain = SL_BUF_INIT;
	if (!take_number(s, 4, &size)) return broken(vm);
	if (size > SQL_TEXT_MAX)
		return sql_vm_fail(vm, SL_ELIMIT, "the uncompressed term would exceed %d MB", SQL_TEXT_MAX >> 20);
	int r = sql_inflate(&vm->arena, SQL_DEFLATE_ZLIB, *s, (size_t)size, &plain);
	if (r != SL_OK || plain.n != size)
		r = broken(vm);
	else if ((r = sql_vm_made(vm, plain.n)) == SL_OK)
		*s = sl_arena_dup(&vm->arena, sl_buf_slice(&plain));
	sl_buf_fini(&plain);
	return r;
}

int sql_term_decode(struct sql_vm *vm, struct sl_slice bytes, struct sql_value *out) {
	uint64_t version;
	*out = sql_null();
	if (!take_number(&bytes, 1, &version) || version != VERSION) return broken(vm);
	bool compressed = bytes.n && (uint8_t)bytes.p[0] == COMPRESSED;
	if (compressed) {
		bytes = slice_from(bytes, 1);
		int r = uncompress(vm, &bytes);
		if (r != SL_OK) return r;
	}
	int r = get_value(vm, &bytes, 0, out);
	if (r == SL_OK && bytes.n && !compressed)
		return sql_vm_fail(vm, SL_EMALFORMED, "%zu bytes follow the term", bytes.n);
	return r;
}
