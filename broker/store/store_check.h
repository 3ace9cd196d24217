/* store_check.h: is the file of LMDB what LMDB believes it to be? LMDB trusts its file: a page that names one behind the end, or
 * itself, ends the process. So the file is walked once before it is opened, every place in it checked before it is looked at.
 *
 * Knows the format of LMDB 0.9 (data version 1) on little-endian machines with 64 bits, as far as the store uses it: named
 * tables, no duplicates.
 * Thread: any. Blocks on the file, which nobody else may change meanwhile. */
#ifndef STORE_CHECK_H
#define STORE_CHECK_H

#include "slice.h"

struct store_check {
	const char *what; /* the first thing that is wrong; "" if nothing is */
	uint64_t lost;    /* pages that could not be used */
	uint64_t records;
};

/* All records of all named tables; may be NULL. */
typedef void (*store_check_cb)(void *arg, const char *table, struct sl_slice key, struct sl_slice value);

/* SL_OK; SL_ECORRUPT: some of it is not sound, `each` was told of what is; SL_EIO: it cannot be read at all. */
int store_check_read(const char *path, store_check_cb each, void *arg, struct store_check *out);
/* The same, of bytes in memory. */
int store_check_bytes(struct sl_slice file, store_check_cb each, void *arg, struct store_check *out);

#endif
