/* mongo_bson.c: see mongo_bson.h. */
#include "mongo_bson.h"

#include "conv.h"
#include "hash.h"
#include "mem.h"
#include "utf8.h"

enum {
	BSON_DOUBLE = 1,
	BSON_TEXT = 2,
	BSON_DOC = 3,
	BSON_LIST = 4,
	BSON_BIN = 5,
	BSON_OID = 7,
	BSON_FLAG = 8,
	BSON_DATE = 9,
	BSON_NOTHING = 10,
	BSON_I32 = 16,
	BSON_I64 = 18
};
enum { FEW_NAMES = 24 }; /* of an object: compared one by one */

/* ---- The writer. -------------------------------------------------------------------------------------------------- */

static void put_u32(char *p, uint32_t v) {
	for (int i = 0; i < 4; i++) p[i] = (char)(v >> (8 * i));
}

static void put_u64(char *p, uint64_t v) {
	for (int i = 0; i < 8; i++) p[i] = (char)(v >> (8 * i));
}

/* Type, name, and room for `size` bytes of value; returns where they go. */
static char *element(struct sl_buf *b, char type, struct sl_slice key, size_t size) {
	char *p = sl_buf_add(b, key.n + 2 + size);
	p[0] = type;
	if (key.n) memcpy(p + 1, key.p, key.n);
	p[key.n + 1] = '\0';
	return p + key.n + 2;
}

size_t mongo_doc_begin(struct sl_buf *b) {
	size_t at = b->n;
	sl_buf_add(b, 4);
	return at;
}

void mongo_doc_end(struct sl_buf *b, size_t at) {
	sl_buf_put(b, '\0');
	put_u32(b->p + at, (uint32_t)(b->n - at));
}

size_t mongo_inner_begin(struct sl_buf *b, struct sl_slice key, bool array) {
	element(b, array ? BSON_LIST : BSON_DOC, key, 0);
	return mongo_doc_begin(b);
}

void mongo_put_null(struct sl_buf *b, struct sl_slice key) { element(b, BSON_NOTHING, key, 0); }
void mongo_put_bool(struct sl_buf *b, struct sl_slice key, bool v) { *element(b, BSON_FLAG, key, 1) = v; }
void mongo_put_i32(struct sl_buf *b, struct sl_slice key, int32_t v) {
	put_u32(element(b, BSON_I32, key, 4), (uint32_t)v);
}
void mongo_put_i64(struct sl_buf *b, struct sl_slice key, int64_t v) {
	put_u64(element(b, BSON_I64, key, 8), (uint64_t)v);
}
void mongo_put_int(struct sl_buf *b, struct sl_slice key, int64_t v) {
	if (v >= INT32_MIN && v <= INT32_MAX)
		mongo_put_i32(b, key, (int32_t)v);
	else
		mongo_put_i64(b, key, v);
}
void mongo_put_double(struct sl_buf *b, struct sl_slice key, double v) {
	uint64_t bits;
	memcpy(&bits, &v, sizeof bits);
	put_u64(element(b, BSON_DOUBLE, key, 8), bits);
}
void mongo_put_date(struct sl_buf *b, struct sl_slice key, int64_t ms) {
	put_u64(element(b, BSON_DATE, key, 8), (uint64_t)ms);
}
void mongo_put_oid(struct sl_buf *b, struct sl_slice key, const uint8_t oid[12]) {
	memcpy(element(b, BSON_OID, key, 12), oid, 12);
}

void mongo_put_text(struct sl_buf *b, struct sl_slice key, struct sl_slice v) {
	char *p = element(b, BSON_TEXT, key, v.n + 5);
	put_u32(p, (uint32_t)v.n + 1);
	if (v.n) memcpy(p + 4, v.p, v.n);
	p[v.n + 4] = '\0';
}

void mongo_put_binary(struct sl_buf *b, struct sl_slice key, uint8_t subtype, struct sl_slice v) {
	char *p = element(b, BSON_BIN, key, v.n + 5);
	put_u32(p, (uint32_t)v.n);
	p[4] = (char)subtype;
	if (v.n) memcpy(p + 5, v.p, v.n);
}

struct sl_slice mongo_index(uint32_t i, char *text) {
	char *p = text + 11;
	size_t n = 0;
	do {
		*--p = (char)('0' + i % 10);
		n++;
	} while ((i /= 10) > 0);
	return slice_make(p, n);
}

/* ---- Types of fields. ----------------------------------------------------------------------------------------------- */

static const char *const type_names[] = {
#define MONGO_TYPE(id, name, doc) name,
    MONGO_TYPE_TBL(MONGO_TYPE)
#undef MONGO_TYPE
};

const char *mongo_type_name(enum mongo_type type) { return type_names[type]; }

bool mongo_type_find(struct sl_slice name, enum mongo_type *out) {
	for (size_t i = 0; i < sizeof type_names / sizeof *type_names; i++)
		if (slice_equal_str(name, type_names[i])) {
			*out = (enum mongo_type)i;
			return true;
		}
	return false;
}

const struct mongo_types *mongo_types_inner(const struct mongo_types *node, struct sl_slice name) {
	if (sl_likely(!node)) return NULL;
	for (size_t i = 0; i < node->n; i++)
		if (slice_equal_str(name, node->inner[i].name)) return &node->inner[i];
	return NULL;
}

void mongo_types_add(struct mongo_types *root, struct sl_slice path, enum mongo_type type) {
	struct mongo_types *node = root;
	while (path.p) {
		struct sl_slice name = slice_next_part(&path, '.');
		const struct mongo_types *known = mongo_types_inner(node, name);
		if (!known) {
			node->inner = sl_realloc_array(node->inner, node->n + 1, sizeof *node->inner);
			node->inner[node->n] = (struct mongo_types){.name = slice_dup(name)};
			known = &node->inner[node->n++];
		}
		node = &node->inner[known - node->inner];
	}
	node->type = type;
}

void mongo_types_fini(struct mongo_types *root) {
	for (size_t i = 0; i < root->n; i++) mongo_types_fini(&root->inner[i]);
	sl_free(root->inner);
	sl_free(root->name);
	*root = (struct mongo_types){0};
}

/* ---- The encoder. ------------------------------------------------------------------------------------------------------- */

void mongo_encoder_init(struct mongo_encoder *e, struct sl_buf *out) { *e = (struct mongo_encoder){.out = out}; }

void mongo_encoder_fini(struct mongo_encoder *e) {
	sl_err_fini(&e->err);
	sl_buf_fini(&e->path);
	sl_buf_fini(&e->text);
	sl_buf_fini(&e->scratch);
	sl_free(e->names);
	sl_free(e->last);
	*e = (struct mongo_encoder){0};
}

void mongo_encoder_row(struct mongo_encoder *e) {
	e->start = e->out->n;
	e->depth = 0;
	e->path.n = 0;
	if (e->err.status) sl_err_fini(&e->err);
	e->err = (struct sl_err)SL_ERR_INIT;
	if (e->names_n) memset(e->names, 0, e->names_cap * sizeof *e->names);
	e->names_n = 0;
}

int mongo_fail(struct mongo_encoder *e, int status, struct sl_slice key, const char *fmt, ...) {
	va_list ap;
	va_start(ap, fmt);
	(void)sl_err_setv(&e->err, status, fmt, ap);
	va_end(ap);
	struct sl_slice path = sl_buf_slice(&e->path);
	if (key.n == 0 && path.n > 0) path.n--; /* its dot */
	if (path.n + key.n > 0) sl_err_prefix(&e->err, "field %.*s%.*s", SL_SLICE_ARG(path), SL_SLICE_ARG(key));
	return status;
}

/* The text of a string or a name; decoded text lives in e->text from *mark on. */
static int text_of(struct mongo_encoder *e, const struct jpath_hit *hit, struct sl_slice *out) {
	*out = hit->raw;
	if (!(hit->flags & JSCAN_ESCAPED)) return SL_OK;
	sl_buf_clear(&e->text);
	ptrdiff_t n = jscan_unescape(hit->raw, sl_buf_add(&e->text, hit->raw.n));
	if (n < 0) return SL_EMALFORMED;
	*out = slice_make(e->text.p, (size_t)n);
	return SL_OK;
}

/* ---- Names that come twice. ---- */

static void names_grow(struct mongo_encoder *e) {
	size_t cap = e->names_cap, more = cap ? cap * 2 : 256;
	uint64_t *names = e->names;
	uint32_t *last = e->last;
	e->names = SL_NEW_ARRAY(uint64_t, more);
	e->last = SL_NEW_ARRAY(uint32_t, more);
	e->names_cap = more;
	for (size_t i = 0; i < cap; i++) {
		if (!names[i]) continue;
		size_t at = names[i] & (more - 1);
		while (e->names[at]) at = (at + 1) & (more - 1);
		e->names[at] = names[i];
		e->last[at] = last[i];
	}
	sl_free(names);
	sl_free(last);
}

/* The place of a name of the object `serial`; *known: it was there. */
static uint32_t *name_at(struct mongo_encoder *e, uint64_t serial, uint64_t hash, bool *known) {
	if (e->names_n * 2 >= e->names_cap) names_grow(e);
	uint64_t mark = (hash ^ serial * UINT64_C(0x9e3779b97f4a7c15)) | 1;
	size_t at = mark & (e->names_cap - 1);
	while (e->names[at] && e->names[at] != mark) at = (at + 1) & (e->names_cap - 1);
	*known = e->names[at] != 0;
	e->names_n += !*known;
	e->names[at] = mark;
	return &e->last[at];
}

/* The names of one object, as they come. Names with the same hash (64 bits, seeded at random) count as the same. */
struct seen {
	uint64_t few[FEW_NAMES];
	uint32_t n;
	uint64_t serial;
};

static bool seen_before(struct mongo_encoder *e, struct seen *s, struct sl_slice name) {
	uint64_t hash = sl_hash(name);
	bool known = false;
	if (sl_likely(s->n < FEW_NAMES)) {
		for (uint32_t i = 0; i < s->n; i++)
			if (s->few[i] == hash) return true;
		s->few[s->n++] = hash;
		return false;
	}
	if (s->n++ == FEW_NAMES) {
		s->serial = ++e->serial;
		for (uint32_t i = 0; i < FEW_NAMES; i++) (void)name_at(e, s->serial, s->few[i], &known);
	}
	(void)name_at(e, s->serial, hash, &known);
	return known;
}

/* Notes for each name which of its members is the last; they are told by their position. */
static int last_ones(struct mongo_encoder *e, const struct jpath_hit *object, uint64_t serial) {
	struct jscan_iter it;
	struct jpath_hit key, value;
	uint32_t i = 0;
	int r = jscan_begin(&it, object);
	while (r == SL_OK && (r = jscan_next(&it, &key, &value)) == 1) {
		struct sl_slice name;
		bool known;
		r = text_of(e, &key, &name);
		if (r == SL_OK) *name_at(e, serial, sl_hash(name), &known) = i++;
	}
	return r;
}

/* ---- Objects and lists. ---- */

struct members {
	const struct mongo_types *types;
	unsigned flags;
	bool top; /* of a row */
	bool had_id;
	uint64_t twice; /* a name came twice: the serial under which its last one is noted */
};

static int name_check(struct mongo_encoder *e, struct sl_slice name, bool escaped, unsigned flags) {
	if (sl_unlikely(name.n && memchr(name.p, '\0', name.n)))
		return mongo_fail(e, SL_EINVAL, SL_SLICE_EMPTY, "a name holds a zero byte, which MongoDB's cannot");
	/* JSON text is UTF-8, but for halves of surrogate pairs in escapes. */
	if (sl_unlikely(escaped && !utf8_valid(name)))
		return mongo_fail(e, SL_EINVAL, SL_SLICE_EMPTY, "a name is not UTF-8, which MongoDB's are");
	if (!(flags & MONGO_PLAIN_NAMES)) return SL_OK;
	if (name.n && name.p[0] == '$')
		return mongo_fail(e, SL_EINVAL, name, "this name begins with $, and would be an operator here");
	if (slice_find_byte(name, '.') >= 0)
		return mongo_fail(e, SL_EINVAL, name, "this name holds a dot, and would be a path here");
	return SL_OK;
}

/* A date that the rule made: only where it is the whole value of a field of the row itself. */
static bool top_date(struct mongo_encoder *e, const struct jpath_hit *value, const struct mongo_types *types,
		     int64_t *ms) {
	return e->style.dates && value->kind == JKIND_STRING && !(types && types->type) &&
	       mongo_date_read(value->raw, ms);
}

static int member(struct mongo_encoder *e, const struct members *m, struct sl_slice name,
		  const struct jpath_hit *value) {
	const struct mongo_types *types = mongo_types_inner(m->types, name);
	int64_t ms;
	if (m->top && top_date(e, value, types, &ms)) {
		mongo_put_date(e->out, name, ms);
		return SL_OK;
	}
	return mongo_encode_hit(e, name, value, types);
}

/* Names are short: those with escapes are kept here while their value uses e->text. */
static int members_walk(struct mongo_encoder *e, const struct jpath_hit *object, struct members *m, bool *again) {
	struct jscan_iter it;
	struct jpath_hit key, value;
	struct seen seen;
	seen.n = 0;
	seen.serial = 0;
	uint32_t i = 0;
	int r = jscan_begin(&it, object);
	while (r == SL_OK && (r = jscan_next(&it, &key, &value)) == 1) {
		struct sl_slice name;
		bool known;
		char *copy = NULL;
		r = text_of(e, &key, &name);
		if (r == SL_OK) r = name_check(e, name, (key.flags & JSCAN_ESCAPED) != 0, m->flags);
		if (r != SL_OK) break;
		if (m->twice) {
			if (*name_at(e, m->twice, sl_hash(name), &known) != i++) continue;
		} else if (sl_unlikely(seen_before(e, &seen, name))) {
			*again = true;
			return SL_OK;
		}
		if (slice_equal(name, SL_SLICE_LIT("_id"))) {
			m->had_id = true;
			if (m->flags & MONGO_SKIP_ID) continue;
		}
		if (key.flags & JSCAN_ESCAPED) name.p = copy = sl_memdup0(name.p, name.n);
		r = member(e, m, name, &value);
		sl_free(copy);
	}
	return r;
}

static int members_encode(struct mongo_encoder *e, const struct jpath_hit *object, struct members *m) {
	size_t start = e->out->n;
	bool again = false;
	int r = members_walk(e, object, m, &again);
	if (sl_unlikely(again)) {
		e->out->n = start;
		m->had_id = false;
		m->twice = ++e->serial;
		r = last_ones(e, object, m->twice);
		if (r == SL_OK) r = members_walk(e, object, m, &again);
	}
	if (r != SL_OK && !e->err.status) (void)mongo_fail(e, r, SL_SLICE_EMPTY, "the JSON text is damaged");
	return r;
}

static int list_encode(struct mongo_encoder *e, const struct jpath_hit *list, const struct mongo_types *types) {
	struct jscan_iter it;
	struct jpath_hit value;
	uint32_t i = 0;
	int r = jscan_begin(&it, list);
	while (r == SL_OK && (r = jscan_next(&it, NULL, &value)) == 1) {
		char text[12];
		struct sl_slice key = mongo_index(i++, text);
		r = mongo_encode_hit(e, key, &value, types);
	}
	if (r != SL_OK && !e->err.status) (void)mongo_fail(e, r, SL_SLICE_EMPTY, "the JSON text is damaged");
	return r;
}

static int container_encode(struct mongo_encoder *e, struct sl_slice key, const struct jpath_hit *hit,
			    const struct mongo_types *types) {
	bool array = hit->kind == JKIND_ARRAY;
	if (types && types->type && !array)
		return mongo_fail(e, SL_ETYPE, key, "an object cannot be stored as %s", mongo_type_name(types->type));
	if (e->depth >= MONGO_DEPTH_MAX)
		return mongo_fail(e, SL_ELIMIT, key, "more than %d levels inside each other", MONGO_DEPTH_MAX);
	if (e->out->n - e->start > MONGO_DOC_MAX)
		return mongo_fail(e, SL_ELIMIT, key, "here the document exceeds 16 MB, MongoDB's limit");
	if (!array && e->style.extended) {
		int r = mongo_extended(e, key, hit);
		if (r != 0) return r < 0 ? r : SL_OK;
	}
	size_t path = e->path.n;
	sl_buf_append_slice(&e->path, key);
	sl_buf_put(&e->path, '.');
	e->depth++;
	size_t at = mongo_inner_begin(e->out, key, array);
	struct members m = {.types = types};
	int r = array ? list_encode(e, hit, types) : members_encode(e, hit, &m);
	mongo_doc_end(e->out, at);
	e->depth--;
	e->path.n = path;
	return r;
}

int mongo_encode_hit(struct mongo_encoder *e, struct sl_slice key, const struct jpath_hit *hit,
		     const struct mongo_types *types) {
	enum mongo_type type = types ? types->type : MONGO_AUTO;
	struct sql_value v = {.kind = SQL_JSON_NULL};
	switch (hit->kind) {
	case JKIND_OBJECT:
	case JKIND_ARRAY: return container_encode(e, key, hit, types);
	case JKIND_ABSENT:
	case JKIND_NULL: break;
	case JKIND_TRUE:
	case JKIND_FALSE: v = sql_bool(hit->kind == JKIND_TRUE); break;
	case JKIND_INT:
		v.kind = SQL_INT;
		(void)jscan_i64(hit, &v.i);
		break;
	case JKIND_DOUBLE:
		v = sql_string(hit->raw);
		v.kind = SQL_NUMBER_TEXT;
		break;
	case JKIND_STRING: {
		struct sl_slice text;
		int r = text_of(e, hit, &text);
		if (r != SL_OK) return mongo_fail(e, r, key, "the text holds an escape that JSON does not have");
		v = sql_string(text);
		break;
	}
	}
	return mongo_scalar(e, key, type, &v);
}

int mongo_encode_value(struct mongo_encoder *e, struct sl_slice key, const struct sql_value *v,
		       const struct mongo_types *types) {
	if (v->kind == SQL_JSON) {
		struct jpath_hit hit;
		int r = jscan_value(sql_value_text(v), &hit);
		return r == SL_OK ? mongo_encode_hit(e, key, &hit, types)
				  : mongo_fail(e, r, key, "the value is not JSON");
	}
	int64_t ms;
	enum mongo_type type = types ? types->type : MONGO_AUTO;
	if (e->style.dates && v->kind == SQL_STRING && !type && mongo_date_read(sql_value_text(v), &ms)) {
		mongo_put_date(e->out, key, ms);
		return SL_OK;
	}
	return mongo_scalar(e, key, type, v);
}

int mongo_encode_members(struct mongo_encoder *e, struct sl_slice json, const struct mongo_types *types, unsigned flags,
			 bool *had_id) {
	struct jpath_hit hit;
	struct members m = {.types = types, .flags = flags, .top = true};
	if (jscan_value(json, &hit) != SL_OK)
		return mongo_fail(e, SL_EMALFORMED, SL_SLICE_EMPTY, "the row is not JSON");
	if (hit.kind != JKIND_OBJECT)
		return mongo_fail(e, SL_ETYPE, SL_SLICE_EMPTY,
				  "the row is no object, and a document is one; name its fields "
				  "in `document`");
	int r = members_encode(e, &hit, &m);
	*had_id = m.had_id;
	return r;
}
