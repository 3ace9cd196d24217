/* What the postgres kind reads of others: any bytes as a value for a column of any type, as a statement with ${...} in it, and as
 * the context of a server's error. Lengths that are written must be right, and a refusal must leave nothing behind. */
#include <stdint.h>
#include <stdlib.h>

#include "jscan.h"
#include "mem.h"
#include "pg_int.h"
#include "sql_value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint32_t oids[] = {16,   17,   19,   20,   21,   23,   25,   114,  650,  700,
				701,  869,  1042, 1082, 1083, 1114, 1184, 1186, 1700, 2950,
				3802, 1000, 1007, 1009, 1022, 1182, 1185, 1187, 1231, 3807};

static void value_try(uint32_t oid, struct sql_value v) {
	struct sl_buf out = SL_BUF_INIT, scratch = SL_BUF_INIT;
	struct sl_err err = SL_ERR_INIT;
	bool is_array;
	const struct pg_type *type = pg_type_find(oid, &is_array);
	if (!type) abort();
	struct pg_target t = {.form = type->form, .oid = oid, .name = "c", .type = type->name};
	t.text_array = is_array && !pg_target_is_binary(&t);
	t.delimiter = ',';
	t.element_oid = is_array && !t.text_array ? type->oid : 0;
	sl_buf_put_u32be(&out, 7);
	int r = pg_value_put(&t, &v, &scratch, &out, &err);
	if (r == SL_OK) {
		uint32_t n = 0;
		if (out.n < 8) abort();
		for (size_t i = 4; i < 8; i++) n = n << 8 | (uint8_t)out.p[i];
		if (n == UINT32_MAX ? out.n != 8 : out.n != 8 + (size_t)n) abort();
	} else if (r != SL_ETYPE || out.n != 4 || !err.text)
		abort();
	sl_err_fini(&err);
	sl_buf_fini(&out);
	sl_buf_fini(&scratch);
}

static void statement_try(const char *text) {
	struct sl_param_list params = {0};
	struct sl_buf out = SL_BUF_INIT;
	struct sl_err err = SL_ERR_INIT;
	int r = sl_statement_scan(text, &pg_dialect, &params, &out, &err);
	if (r != SL_OK && !err.text) abort();
	(void)sl_statement_verb(text, &pg_dialect);
	sl_params_fini(&params);
	sl_buf_fini(&out);
	sl_err_fini(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	if (size < 2) return 0;
	uint32_t oid = oids[data[0] % SL_ARRAY_LEN(oids)];
	unsigned kind = data[1] % 6;
	char *text = sl_memdup0(data + 2, size - 2);
	struct sql_value v = {.kind = SQL_STRING, .p = text, .n = (uint32_t)(size - 2)};
	if (kind == 1) v.kind = SQL_BYTES;
	if (kind == 2) v.kind = SQL_NUMBER_TEXT;
	if (kind == 3 && jscan_valid(sql_value_text(&v)) && (text[0] == '[' || text[0] == '{')) { /* as rows have it */
		v.kind = SQL_JSON;
		v.is_array = text[0] == '[';
	}
	int64_t bits = 0;
	memcpy(&bits, text, sl_min_size(size - 2, sizeof bits));
	if (kind == 4) v = sql_int(bits);
	if (kind == 5) {
		v = sql_double(0);
		memcpy(&v.d, &bits, sizeof bits);
	}
	value_try(oid, v);
	statement_try(text);
	(void)pg_copy_line(text);
	(void)pg_copy_column(text);
	sl_free(text);
	return 0;
}
