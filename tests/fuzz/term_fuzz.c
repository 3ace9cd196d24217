/* term_fuzz.c: arbitrary bytes read as a term in Erlang's external format; what is one is written and read again, and must
 * be the same then. Seeds: corpus/term. */
#include <stdint.h>

#include "sql_term.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	struct sql_vm *vm = sql_vm_new();
	struct sql_value v, again;
	struct sl_buf bytes = SL_BUF_INIT, before = SL_BUF_INIT, after = SL_BUF_INIT;
	vm->budget = SQL_BUDGET;
	if (sql_term_decode(vm, slice_make(data, size), &v) == SL_OK) {
		sql_value_json(&v, &before);
		sl_assert(jscan_valid(sl_buf_slice(&before)));
		int r = sql_term_encode(vm, &v, &bytes);
		sl_assert(r == SL_OK);
		r = sql_term_decode(vm, sl_buf_slice(&bytes), &again);
		sl_assert(r == SL_OK);
		sql_value_json(&again, &after);
		sl_assert(slice_equal(sl_buf_slice(&before), sl_buf_slice(&after)));
	} else {
		sl_assert(sql_vm_error(vm)->text);
	}
	sl_buf_fini(&bytes);
	sl_buf_fini(&before);
	sl_buf_fini(&after);
	sql_vm_free(vm);
	return 0;
}
