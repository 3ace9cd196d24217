/* store_op.h: the operations of a batch, as bytes: what the journal holds and state.mdb is changed by.
 *
 *     u8 kind | u8 space | u16 key bytes | u32 value bytes | key | value          (numbers little-endian)
 *
 * Thread: any. The reader trusts nothing: it is given bytes from a file. */
#ifndef STORE_OP_H
#define STORE_OP_H

#include "buf.h"
#include "store.h"

enum store_op_kind { STORE_OP_PUT = 1, STORE_OP_DELETE = 2, STORE_OP_DELETE_ALL = 3 };

struct store_op {
	enum store_op_kind kind;
	enum store_space space;
	struct sl_slice key, value;
};

void store_op_put(struct sl_buf *out, enum store_op_kind kind, enum store_space space, struct sl_slice key,
		  const struct sl_slice *parts, size_t n);
/* Takes one off *rest. SL_OK; SL_ENOTFOUND at the end; SL_ECORRUPT. */
int store_op_next(struct sl_slice *rest, struct store_op *op);

#endif
