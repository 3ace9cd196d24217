/* pg_type_int.h: the parts of pg_type.c that have files of their own. Each appends the body of a value (no length) and returns
 * SL_OK, or SL_ETYPE with *why: a clause such as "it is no whole number". See pg_type.h. Thread: any. */
#ifndef PG_TYPE_INT_H
#define PG_TYPE_INT_H

#include "pg_type.h"

static inline void pg_put_u64(struct sl_buf *out, uint64_t v) {
	sl_buf_put_u32be(out, (uint32_t)(v >> 32));
	sl_buf_put_u32be(out, (uint32_t)v);
}

/* pg_number.c */
int pg_int_put(const struct sql_value *v, unsigned bytes, struct sl_buf *out, const char **why);
int pg_float_put(const struct sql_value *v, unsigned bytes, struct sl_buf *out, const char **why);
int pg_numeric_put(const struct sql_value *v, struct sl_buf *out, const char **why);

/* pg_time.c: numbers are milliseconds since 1970 (of the day for time), text is RFC 3339. */
int pg_timestamp_put(const struct sql_value *v, struct sl_buf *out, const char **why);
int pg_date_put(const struct sql_value *v, struct sl_buf *out, const char **why);
int pg_time_put(const struct sql_value *v, struct sl_buf *out, const char **why);

#endif
