/* sql_base64.h: base64 (RFC 4648), for JSON text of binary values and for the functions of the language.
 * Thread: any. Never blocks. */
#ifndef SQL_BASE64_H
#define SQL_BASE64_H

#include "buf.h"
#include "err.h"

enum { SQL_BASE64_URLSAFE = 1, SQL_BASE64_NO_PADDING = 2 };

void sql_base64_encode(struct sl_slice bytes, unsigned flags, struct sl_buf *out);

/* White space is skipped. SL_EMALFORMED for a foreign character, bits left over, or padding that is missing (or, with
 * SQL_BASE64_NO_PADDING, wrong). `out` may then hold a part. */
int sql_base64_decode(struct sl_slice text, unsigned flags, struct sl_buf *out);

#endif
