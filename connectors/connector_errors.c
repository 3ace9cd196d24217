/* connector_errors.c: see connector_errors.h. */
#include "connector_errors.h"

static const char *result_name(enum sl_result r) {
	static const char *const names[] = {
#define SL_RESULT(id, name, meaning) name,
	    SL_RESULT_TBL(SL_RESULT)
#undef SL_RESULT
	};
	return names[r];
}

void sl_errors_print(const char *heading, const struct sl_error_class *rows, size_t n, struct sl_buf *out) {
	sl_buf_printf(out, "| %s | result | meaning |\n| --- | --- | --- |\n", heading);
	for (size_t i = 0; i < n; i++)
		sl_buf_printf(out, "| `%s` | %s | %s |\n", rows[i].code, result_name(rows[i].result), rows[i].meaning);
}
