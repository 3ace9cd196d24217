/* pg_type.h: one value of a row as PostgreSQL takes it: by the type of the column, in the wire's binary form.
 *
 * A target is a column or a parameter whose type is known. pg_value_put() appends what both COPY and Bind want for it: a
 * length of four bytes (-1: NULL) and that many bytes. Types without a binary form here (PG_FORM_INPUT: whatever an
 * extension brings, composites, ranges) get their value as text, for the server's own input function to read; they can be
 * bound, and not copied. A list for an array of such is the text of an array.
 *
 * Lossless or refused: a number in text becomes a number only when it is exactly that number, 12.5 does not become 12, and an
 * integer that a float cannot hold stays out of it. What a refusal says names the column, its type and the value.
 *
 * Lifetime: targets borrow their names. Thread: any. Never blocks; allocates nothing but room in the buffers. */
#ifndef PG_TYPE_H
#define PG_TYPE_H

#include "buf.h"
#include "err.h"
#include "sql_value.h"

/* PG_FORM(id, name): how a value is written. */
#define PG_FORM_TBL(PG_FORM)                                                                                           \
	PG_FORM(INPUT, "text for the type's input function")                                                           \
	PG_FORM(BOOL, "boolean")                                                                                       \
	PG_FORM(INT2, "16 bit integer")                                                                                \
	PG_FORM(INT4, "32 bit integer")                                                                                \
	PG_FORM(INT8, "64 bit integer")                                                                                \
	PG_FORM(FLOAT4, "32 bit float")                                                                                \
	PG_FORM(FLOAT8, "64 bit float")                                                                                \
	PG_FORM(NUMERIC, "decimal number")                                                                             \
	PG_FORM(STRING, "text")                                                                                        \
	PG_FORM(JSON, "JSON text")                                                                                     \
	PG_FORM(JSONB, "JSON text behind a version byte")                                                              \
	PG_FORM(BYTEA, "bytes")                                                                                        \
	PG_FORM(UUID, "16 bytes")                                                                                      \
	PG_FORM(TIMESTAMP, "microseconds")                                                                             \
	PG_FORM(DATE, "days")                                                                                          \
	PG_FORM(TIME, "microseconds of the day")                                                                       \
	PG_FORM(INTERVAL, "text, or milliseconds")                                                                     \
	PG_FORM(INET, "address")                                                                                       \
	PG_FORM(CIDR, "network")
enum pg_form {
#define PG_FORM(id, name) PG_FORM_##id,
	PG_FORM_TBL(PG_FORM)
#undef PG_FORM
};

/* A type that every server has under the same number. */
struct pg_type {
	uint32_t oid, array_oid;
	const char *name;
	enum pg_form form;
};
/* NULL when oid is no such type. *is_array: it is the array of what is returned. */
const struct pg_type *pg_type_find(uint32_t oid, bool *is_array);

struct pg_target {
	enum pg_form form;    /* of the value, or of an array's elements */
	uint32_t oid;         /* the type's number */
	uint32_t element_oid; /* 0: no array, or one of a type without a binary form: */
	bool text_array;
	char delimiter;   /* of its elements, as text: a comma, but for a few such as box */
	const char *name; /* for messages: column "t", parameter ${t} */
	const char *type; /* as the server calls it */
};
/* Can this be written in binary form? */
static inline bool pg_target_is_binary(const struct pg_target *t) {
	return t->form != PG_FORM_INPUT && t->form != PG_FORM_INTERVAL;
}

/* Appends length and bytes. scratch is for text with escapes. SL_ETYPE and err when the value does not fit; out is then as it
 * was. */
int pg_value_put(const struct pg_target *t, const struct sql_value *v, struct sl_buf *scratch, struct sl_buf *out,
		 struct sl_err *err);

#endif
