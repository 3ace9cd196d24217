/* sql_value.h: one value of the rule language.
 *
 * A value is 16 bytes and never owns memory: text, bytes, JSON, lists and maps point into the message, into the
 * program's constants or into the arena of the run (struct sql_vm), and live as long as the message is handled.
 * Whoever keeps one longer encodes it (sql_row.h).
 * Thread: a value, any. */
#ifndef SQL_VALUE_H
#define SQL_VALUE_H

#include "arena.h"
#include "buf.h"
#include "slice.h"

/* SQL_KIND(id, name): the kinds, as messages call them. */
#define SQL_KIND_TBL(SQL_KIND)                                                                                         \
	SQL_KIND(SQL_NULL, "null")           /* absent: a column or member that is not there */                        \
	SQL_KIND(SQL_JSON_NULL, "json null") /* the value null that stood in a document */                             \
	SQL_KIND(SQL_BOOL, "boolean")                                                                                  \
	SQL_KIND(SQL_INT, "integer")                                                                                   \
	SQL_KIND(SQL_DOUBLE, "float")                                                                                  \
	SQL_KIND(SQL_STRING, "string")                                                                                 \
	SQL_KIND(SQL_BYTES, "binary")                                                                                  \
	SQL_KIND(SQL_NUMBER_TEXT, "number") /* source text of a number not yet converted, or too large for int64 */    \
	SQL_KIND(SQL_JSON, "json")          /* source text of an object or array, not yet taken apart */               \
	SQL_KIND(SQL_LIST, "array")                                                                                    \
	SQL_KIND(SQL_MAP, "object")
/* One byte, so that a value stays two words. */
enum __attribute__((packed)) sql_kind {
#define SQL_KIND(id, name) id,
	SQL_KIND_TBL(SQL_KIND)
#undef SQL_KIND
};

struct sql_list;
struct sql_map;

struct sql_value {
	enum sql_kind kind;
	bool is_array; /* JSON: the text is an array */
	uint32_t n;    /* length of p for STRING, BYTES, NUMBER_TEXT, JSON */
	union {
		bool b;
		int64_t i;
		double d;
		const char *p;
		const struct sql_list *list;
		const struct sql_map *map;
	};
};
_Static_assert(sizeof(struct sql_value) == 16, "registers, rows and argument lists count on two words");

struct sql_list {
	uint32_t n;
	struct sql_value *at;
};
struct sql_map_member {
	struct sl_slice key;
	struct sql_value value;
};
struct sql_map { /* insertion order, keys unique */
	uint32_t n;
	struct sql_map_member *at;
};

static inline struct sql_value sql_null(void) { return (struct sql_value){.kind = SQL_NULL}; }
static inline struct sql_value sql_bool(bool b) { return (struct sql_value){.kind = SQL_BOOL, .b = b}; }
static inline struct sql_value sql_int(int64_t i) { return (struct sql_value){.kind = SQL_INT, .i = i}; }
static inline struct sql_value sql_double(double d) { return (struct sql_value){.kind = SQL_DOUBLE, .d = d}; }
static inline struct sql_value sql_string(struct sl_slice s) {
	return (struct sql_value){.kind = SQL_STRING, .n = (uint32_t)s.n, .p = s.p};
}
static inline struct sl_slice sql_value_text(const struct sql_value *v) { return slice_make(v->p, v->n); }

const char *sql_kind_name(enum sql_kind kind);

/* Writes v as JSON: text or bytes that are not UTF-8 as a base64 string, NULL as null. */
void sql_value_json(const struct sql_value *v, struct sl_buf *out);
/* Writes v as the text that concatenation, topics and text columns get: strings bare, numbers shortest
 * round-trip, objects and arrays as JSON, NULL as nothing. */
void sql_value_to_text(const struct sql_value *v, struct sl_buf *out);

/* Valid JSON text without the white space between its tokens. */
void sql_json_compact(struct sl_slice text, struct sl_buf *out);

#endif
