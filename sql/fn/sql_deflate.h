/* sql_deflate.h: deflate in its three wrappings, with a bound on what comes out.
 *
 * Unpacking stops as soon as the result exceeds `most`, so a bomb costs no more than that. What follows the end of a raw or
 * zlib stream is left unread, gzip members are joined, as zlib's users expect.
 * Lifetime: the memory of zlib lives in `scratch` and is given back before the return. Thread: any. Blocks: no. Errors:
 * SL_EMALFORMED (unpacking: the bytes are not of this format, or break off), SL_ELIMIT (larger than `most`). */
#ifndef SQL_DEFLATE_H
#define SQL_DEFLATE_H

#include "arena.h"
#include "buf.h"
#include "err.h"

enum sql_wrapping { SQL_DEFLATE_RAW, SQL_DEFLATE_ZLIB, SQL_DEFLATE_GZIP };

int sql_deflate(struct sl_arena *scratch, enum sql_wrapping w, struct sl_slice bytes, size_t most, struct sl_buf *out);
int sql_inflate(struct sl_arena *scratch, enum sql_wrapping w, struct sl_slice bytes, size_t most, struct sl_buf *out);

#endif
