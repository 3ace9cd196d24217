#include "store_op.h"

#include <string.h>

struct head {
	uint8_t kind, space;
	uint16_t key_len;
	uint32_t value_len;
};

void store_op_put(struct sl_buf *out, enum store_op_kind kind, enum store_space space, struct sl_slice key,
		  const struct sl_slice *parts, size_t n) {
	struct head h = {.kind = (uint8_t)kind, .space = (uint8_t)space, .key_len = (uint16_t)key.n};
	sl_assert(key.n > 0 && key.n <= STORE_KEY_MAX && n <= STORE_PARTS_MAX);
	for (size_t i = 0; i < n; i++) h.value_len += (uint32_t)parts[i].n;
	char *at = sl_buf_add(out, sizeof h + key.n + h.value_len);
	memcpy(at, &h, sizeof h);
	memcpy(at + sizeof h, key.p, key.n);
	at += sizeof h + key.n;
	for (size_t i = 0; i < n; i++) {
		if (parts[i].n) memcpy(at, parts[i].p, parts[i].n);
		at += parts[i].n;
	}
}

int store_op_next(struct sl_slice *rest, struct store_op *op) {
	struct head h;
	if (rest->n == 0) return SL_ENOTFOUND;
	if (rest->n < sizeof h) return SL_ECORRUPT;
	memcpy(&h, rest->p, sizeof h);
	if (h.kind < STORE_OP_PUT || h.kind > STORE_OP_DELETE_ALL || h.space >= STORE_SPACES || h.key_len == 0 ||
	    h.key_len > STORE_KEY_MAX)
		return SL_ECORRUPT;
	if (rest->n - sizeof h < (size_t)h.key_len + h.value_len) return SL_ECORRUPT;
	*op = (struct store_op){.kind = (enum store_op_kind)h.kind,
				.space = (enum store_space)h.space,
				.key = slice_sub(*rest, sizeof h, h.key_len),
				.value = slice_sub(*rest, sizeof h + h.key_len, h.value_len)};
	*rest = slice_from(*rest, sizeof h + h.key_len + h.value_len);
	return SL_OK;
}
