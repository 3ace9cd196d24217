/* sql_row.c: see sql_row.h. */
#include "sql_row.h"

#include "err.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "rows are little-endian and read in place");

struct cell {
	uint8_t kind;
	uint8_t is_array;
	uint16_t zero;
	uint32_t n;
	union {
		uint64_t at; /* offset of the bytes */
		int64_t i;
		double d;
		uint64_t b;
	};
};
_Static_assert(sizeof(struct sql_row_head) == 24 && sizeof(struct cell) == 16, "the layout is written to disk");

static size_t cells_end(uint16_t count) { return sizeof(struct sql_row_head) + count * sizeof(struct cell); }

/* Appends the bytes of a value that has some and points the cell at them. */
static void put_bytes(struct sl_buf *out, size_t start, struct cell *c, struct sl_slice bytes) {
	c->at = out->n - start;
	c->n = (uint32_t)bytes.n;
	sl_buf_append_slice(out, bytes);
}

static struct cell put_value(struct sl_buf *out, size_t start, const struct sql_value *v) {
	struct cell c = {.kind = (uint8_t)v->kind};
	switch (v->kind) {
	case SQL_NULL:
	case SQL_JSON_NULL: break;
	case SQL_BOOL: c.b = v->b; break;
	case SQL_INT: c.i = v->i; break;
	case SQL_DOUBLE: c.d = v->d; break;
	case SQL_STRING:
	case SQL_BYTES:
	case SQL_NUMBER_TEXT: put_bytes(out, start, &c, sql_value_text(v)); break;
	case SQL_JSON:
	case SQL_LIST:
	case SQL_MAP:
		c.kind = SQL_JSON;
		c.is_array = v->kind == SQL_LIST || (v->kind == SQL_JSON && v->is_array);
		c.at = out->n - start;
		sql_value_json(v, out);
		c.n = (uint32_t)(out->n - start - c.at);
		break;
	}
	return c;
}

/* Room for the bytes of all values; false: some must be written to know. */
static inline bool bytes_of(const struct sql_value *values, uint16_t count, size_t *bytes) {
	*bytes = 0;
	for (uint16_t i = 0; i < count; i++) {
		switch (values[i].kind) {
		case SQL_NULL:
		case SQL_JSON_NULL:
		case SQL_BOOL:
		case SQL_INT:
		case SQL_DOUBLE: break;
		case SQL_STRING:
		case SQL_BYTES:
		case SQL_NUMBER_TEXT: *bytes += values[i].n; break;
		case SQL_JSON:
		case SQL_LIST:
		case SQL_MAP: return false;
		}
	}
	return true;
}

/* Each part where it stays: what is put together elsewhere and copied at once waits for its parts to be written. */
static inline void put_here(struct cell *c, const struct sql_value *v, char *row, size_t *at) {
	c->kind = (uint8_t)v->kind;
	c->is_array = 0;
	c->zero = 0;
	c->n = 0;
	switch (v->kind) {
	case SQL_NULL:
	case SQL_JSON_NULL: c->at = 0; return;
	case SQL_BOOL: c->b = v->b; return;
	case SQL_INT:
	case SQL_DOUBLE: c->i = v->i; return;
	case SQL_STRING:
	case SQL_BYTES:
	case SQL_NUMBER_TEXT:
		c->n = v->n;
		c->at = *at;
		if (v->n) memcpy(row + *at, v->p, v->n);
		*at += v->n;
		return;
	case SQL_JSON:
	case SQL_LIST:
	case SQL_MAP: return; /* bytes_of() */
	}
}

static inline void put_head(char *row, size_t size, uint16_t count, uint16_t flags, uint64_t order, int64_t at_ms) {
	struct sql_row_head *head = (struct sql_row_head *)(void *)row;
	head->size = (uint32_t)size;
	head->count = count;
	head->flags = flags;
	head->order = order;
	head->at_ms = at_ms;
}

static sl_noinline void write_parts(struct sl_buf *out, const struct sql_value *values, uint16_t count) {
	size_t start = out->n;
	sl_buf_add(out, cells_end(count));
	for (uint16_t i = 0; i < count; i++) {
		struct cell c = put_value(out, start, &values[i]);
		memcpy(out->p + start + cells_end(i), &c, sizeof c);
	}
	size_t padding = (8 - (out->n - start) % 8) % 8;
	memset(sl_buf_add(out, padding), 0, padding);
}

void sql_row_write(struct sl_buf *out, const struct sql_value *values, uint16_t count, uint16_t flags, uint64_t order,
		   int64_t at_ms) {
	size_t start = out->n, bytes, at = cells_end(count);
	sl_debug_assert(start % 8 == 0);
	if (sl_likely(bytes_of(values, count, &bytes))) {
		size_t size = (at + bytes + 7) & ~(size_t)7;
		char *row = sl_buf_add(out, size);
		memset(row + size - 8, 0, 8); /* the padding; what else stands there is written next */
		for (uint16_t i = 0; i < count; i++)
			put_here((struct cell *)(void *)(row + cells_end(i)), &values[i], row, &at);
	} else {
		write_parts(out, values, count);
	}
	put_head(out->p + start, out->n - start, count, flags, order, at_ms);
}

static bool cell_sound(const struct cell *c, size_t first, uint32_t size) {
	switch ((enum sql_kind)c->kind) {
	case SQL_NULL:
	case SQL_JSON_NULL:
	case SQL_INT:
	case SQL_DOUBLE: return true;
	case SQL_BOOL: return c->b <= 1;
	case SQL_STRING:
	case SQL_BYTES:
	case SQL_NUMBER_TEXT: return c->at >= first && c->at <= size && c->n <= size - c->at;
	case SQL_JSON: return c->is_array <= 1 && c->at >= first && c->at <= size && c->n <= size - c->at;
	case SQL_LIST:
	case SQL_MAP: return false;
	}
	return false;
}

int sql_row_check(struct sl_slice bytes, uint32_t *size) {
	struct sql_row_head head;
	if (bytes.n < sizeof head) return SL_ECORRUPT;
	memcpy(&head, bytes.p, sizeof head);
	size_t first = cells_end(head.count);
	if (head.size > bytes.n || head.size % 8 != 0 || head.size < first) return SL_ECORRUPT;
	for (uint16_t i = 0; i < head.count; i++) {
		struct cell c;
		memcpy(&c, bytes.p + cells_end(i), sizeof c);
		if (!cell_sound(&c, first, head.size)) return SL_ECORRUPT;
	}
	*size = head.size;
	return SL_OK;
}

struct sql_value sql_row_get(const void *row, uint16_t i) {
	const struct sql_row_head *head = sql_row_head(row);
	if (i >= head->count) return sql_null();
	struct cell c;
	memcpy(&c, (const char *)row + cells_end(i), sizeof c);
	struct sql_value v = {.kind = (enum sql_kind)c.kind, .is_array = c.is_array != 0};
	switch (v.kind) {
	case SQL_NULL:
	case SQL_JSON_NULL: break;
	case SQL_BOOL: v.b = c.b != 0; break;
	case SQL_INT: v.i = c.i; break;
	case SQL_DOUBLE: v.d = c.d; break;
	case SQL_STRING:
	case SQL_BYTES:
	case SQL_NUMBER_TEXT:
	case SQL_JSON:
		v.n = c.n;
		v.p = (const char *)row + c.at;
		break;
	case SQL_LIST:
	case SQL_MAP: return sql_null(); /* never in a checked row */
	}
	return v;
}

void sql_row_put(void *row, uint16_t i, struct sql_value v) {
	struct cell c = {.kind = (uint8_t)v.kind};
	sl_debug_assert(v.kind == SQL_NULL || v.kind == SQL_BOOL || v.kind == SQL_INT || v.kind == SQL_DOUBLE);
	if (i >= sql_row_head(row)->count) return;
	if (v.kind == SQL_BOOL)
		c.b = v.b;
	else if (v.kind == SQL_DOUBLE)
		c.d = v.d;
	else
		c.i = v.kind == SQL_INT ? v.i : 0;
	memcpy((char *)row + cells_end(i), &c, sizeof c);
}
