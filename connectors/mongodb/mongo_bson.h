/* mongo_bson.h: writes BSON onto an sl_buf, and turns values of rows and JSON text into it, without a tree between.
 *
 * The small writers below append one element each (type, name, value); a document is begun and ended by hand:
 *
 *     size_t at = mongo_doc_begin(&b);
 *     mongo_put_i64(&b, SL_SLICE_LIT("n"), 5);
 *     mongo_doc_end(&b, at);
 *
 * We write the bytes ourselves, not by libbson's bson_append_*(): a batch of a thousand documents is one array inside of one
 * command, so all of them grow in one buffer and nothing is copied afterwards. libbson is the judge in the tests.
 *
 * The encoder decides types. A value keeps its kind: an integer becomes an int32 or, beyond that, an int64; text a string;
 * bytes, and text that is not UTF-8, a binary; an object a document. An integer beyond int64 becomes what
 * style.large says. A type named for the field (struct mongo_types) overrides that, and a value that cannot be of this type
 * without loss is refused. Of a name that an object has twice the last counts. What looks like Extended JSON stays data,
 * unless style.extended says that the author meant it.
 *
 * Lifetime: an encoder is made once a thread and used for every row; its buffers are warm. Thread: one at a time.
 * Never blocks. Errors: SL_EINVAL, SL_ETYPE, SL_ELIMIT, SL_EMALFORMED with a text that names the field; what was
 * appended so far is then the caller's to cut off. */
#ifndef MONGO_BSON_H
#define MONGO_BSON_H

#include "buf.h"
#include "err.h"
#include "jscan.h"
#include "sql_value.h"

#define MONGO_DOC_MAX (16 * 1024 * 1024) /* a server takes no larger document */
#define MONGO_DEPTH_MAX 90               /* it takes 100 levels, and we may wrap a value into some */

/* MONGO_TYPE(id, name, doc): what a field can be made to hold. */
#define MONGO_TYPE_TBL(MONGO_TYPE)                                                                                     \
	MONGO_TYPE(AUTO, "auto", "what the value is")                                                                  \
	MONGO_TYPE(DATE, "date", "from milliseconds since 1970, RFC 3339 text, or what mongo_date() gives")            \
	MONGO_TYPE(OBJECTID, "objectid", "from 24 hexadecimal digits")                                                 \
	MONGO_TYPE(DECIMAL128, "decimal128", "from a number, or text that is one; at most 34 digits")                  \
	MONGO_TYPE(INT32, "int32", "from a number without fraction")                                                   \
	MONGO_TYPE(INT64, "int64", "from a number without fraction")                                                   \
	MONGO_TYPE(DOUBLE, "double", "from a number, or text that is one")                                             \
	MONGO_TYPE(BINARY, "binary", "the bytes as they are, also those of text")                                      \
	MONGO_TYPE(BASE64, "base64", "a binary, from text in base64; bytes as they are")                               \
	MONGO_TYPE(UUID, "uuid", "a binary of subtype 4, from text as in RFC 4122")                                    \
	MONGO_TYPE(STRING, "string", "text; also numbers and booleans as text")
enum mongo_type {
#define MONGO_TYPE(id, name, doc) MONGO_##id,
	MONGO_TYPE_TBL(MONGO_TYPE)
#undef MONGO_TYPE
};
const char *mongo_type_name(enum mongo_type type);
bool mongo_type_find(struct sl_slice name, enum mongo_type *out);

/* The types of fields, as a tree of names. Lists are looked through: `a.b` is b in each object of the list a. */
struct mongo_types {
	char *name; /* owned */
	enum mongo_type type;
	struct mongo_types *inner; /* owned array */
	size_t n;
};
/* path: "a.b". The nearest declared type counts for lists in it. */
void mongo_types_add(struct mongo_types *root, struct sl_slice path, enum mongo_type type);
const struct mongo_types *mongo_types_inner(const struct mongo_types *node, struct sl_slice name); /* NULL is fine */
void mongo_types_fini(struct mongo_types *root);

enum mongo_large { MONGO_LARGE_DECIMAL128, MONGO_LARGE_DOUBLE, MONGO_LARGE_STRING };

struct mongo_style {
	enum mongo_large large; /* integers beyond int64, numbers beyond double */
	bool extended;          /* {"$oid": ...} and its like are values */
	bool dates;             /* top-level text of exactly the form that mongo_date() gives is a date */
};

struct mongo_encoder {
	struct sl_buf *out;
	struct mongo_style style;
	struct sl_err err; /* of the last failure */

	size_t start; /* where the document began in out: for its size */
	struct sl_buf path, text, scratch;
	size_t depth;
	uint64_t serial; /* of objects with many names */
	uint64_t *names; /* open addressing: hash of name and object */
	uint32_t *last;
	size_t names_n, names_cap;
};
void mongo_encoder_init(struct mongo_encoder *e, struct sl_buf *out);
void mongo_encoder_fini(struct mongo_encoder *e);
/* A new document (a row) begins at the end of out. */
void mongo_encoder_row(struct mongo_encoder *e);
int mongo_fail(struct mongo_encoder *e, int status, struct sl_slice key, const char *fmt, ...) sl_printf(4, 5);

/* One element. types NULL: no type is named for it. */
int mongo_encode_value(struct mongo_encoder *e, struct sl_slice key, const struct sql_value *v,
		       const struct mongo_types *types);
int mongo_encode_hit(struct mongo_encoder *e, struct sl_slice key, const struct jpath_hit *hit,
		     const struct mongo_types *types);
/* The members of the object `json` as elements of the document that is open. plain_names: names that begin with `$` or hold a
 * dot are refused (they would be operators or paths there). had_id: one of them was `_id`; skip_id: that one is left out. */
enum { MONGO_PLAIN_NAMES = 1, MONGO_SKIP_ID = 2, MONGO_NO_NULL = 4 };
int mongo_encode_members(struct mongo_encoder *e, struct sl_slice json, const struct mongo_types *types, unsigned flags,
			 bool *had_id);

size_t mongo_doc_begin(struct sl_buf *b);
void mongo_doc_end(struct sl_buf *b, size_t at);
size_t mongo_inner_begin(struct sl_buf *b, struct sl_slice key, bool array); /* end with mongo_doc_end() */
void mongo_put_null(struct sl_buf *b, struct sl_slice key);
void mongo_put_bool(struct sl_buf *b, struct sl_slice key, bool v);
void mongo_put_i32(struct sl_buf *b, struct sl_slice key, int32_t v);
void mongo_put_i64(struct sl_buf *b, struct sl_slice key, int64_t v);
void mongo_put_int(struct sl_buf *b, struct sl_slice key, int64_t v); /* int32 where it fits */
void mongo_put_double(struct sl_buf *b, struct sl_slice key, double v);
void mongo_put_text(struct sl_buf *b, struct sl_slice key, struct sl_slice v);
void mongo_put_date(struct sl_buf *b, struct sl_slice key, int64_t ms);
void mongo_put_oid(struct sl_buf *b, struct sl_slice key, const uint8_t oid[12]);
void mongo_put_binary(struct sl_buf *b, struct sl_slice key, uint8_t subtype, struct sl_slice v);

/* The key of the i-th element of an array, into text, which has room for 12 bytes. */
struct sl_slice mongo_index(uint32_t i, char *text);

/* Exactly ISODate(YYYY-MM-DDTHH:MM:SS.mmmZ), as mongo_date() writes it. */
bool mongo_date_read(struct sl_slice text, int64_t *ms);

/* mongo_scalar.c: a value that is no object and no list, as the named type. */
int mongo_scalar(struct mongo_encoder *e, struct sl_slice key, enum mongo_type type, const struct sql_value *v);
/* Is the object Extended JSON for a value ({"$oid": "..."})? 1 written, 0 no, or an error. */
int mongo_extended(struct mongo_encoder *e, struct sl_slice key, const struct jpath_hit *object);

#endif
