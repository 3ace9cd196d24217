/* mongo_fuzz.c: any bytes as the JSON of a row, as a value with each type, and as a document's template in JSON text. What
 * comes out must be BSON that libbson accepts, with every name once. */
#include <bson/bson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "mongo_template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(e)                                                                                                        \
	do {                                                                                                           \
		if (!(e)) __builtin_trap();                                                                            \
	} while (0)

static void names_once(const bson_t *doc) {
	bson_iter_t a, b;
	MUST(bson_iter_init(&a, doc));
	for (size_t i = 0; bson_iter_next(&a) && i < 50; i++) {
		size_t same = 0;
		MUST(bson_iter_init(&b, doc));
		while (bson_iter_next(&b)) same += strcmp(bson_iter_key(&a), bson_iter_key(&b)) == 0;
		MUST(same == 1);
	}
}

static void judge(struct sl_buf *out, size_t at, bool names) {
	bson_t doc;
	size_t bad;
	mongo_doc_end(out, at);
	MUST(bson_init_static(&doc, (const uint8_t *)out->p + at, out->n - at));
	MUST(bson_validate(&doc, BSON_VALIDATE_UTF8 | BSON_VALIDATE_UTF8_ALLOW_NULL, &bad));
	if (names) names_once(&doc);
}

static void as_row(struct mongo_encoder *e, struct sl_slice text, unsigned flags) {
	bool had_id;
	sl_buf_clear(e->out);
	mongo_encoder_row(e);
	size_t at = mongo_doc_begin(e->out);
	if (mongo_encode_members(e, text, NULL, flags, &had_id) == SL_OK) judge(e->out, at, true);
}

static void as_values(struct mongo_encoder *e, struct sl_slice text) {
	static const enum sql_kind kinds[] = {SQL_STRING, SQL_BYTES, SQL_NUMBER_TEXT};
	for (int type = MONGO_AUTO; type <= MONGO_STRING; type++)
		for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
			struct sql_value v = sql_string(text);
			v.kind = kinds[k];
			sl_buf_clear(e->out);
			mongo_encoder_row(e);
			size_t at = mongo_doc_begin(e->out);
			const struct mongo_types types = {.type = (enum mongo_type)type};
			if (mongo_encode_value(e, SL_SLICE_LIT("v"), &v, &types) == SL_OK) judge(e->out, at, true);
		}
}

static void as_template(struct sl_slice text, enum mongo_role role) {
	struct mongo_template t;
	struct sl_param_list params = {0};
	struct sl_err err = SL_ERR_INIT;
	char *copy = sl_memdup0(text.p, text.n);
	json_t *tree = json_string_nocheck(copy);
	(void)mongo_template_compile(&t, tree, "document", role, NULL, &params, &err);
	mongo_template_fini(&t);
	sl_params_fini(&params);
	sl_err_fini(&err);
	json_decref(tree);
	sl_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	struct sl_slice text = slice_make(data, size);
	struct sl_buf out = SL_BUF_INIT;
	struct mongo_encoder e;
	if (size > 65536) return 0;
	mongo_encoder_init(&e, &out);
	as_row(&e, text, 0);
	e.style = (struct mongo_style){.extended = true, .dates = true, .large = MONGO_LARGE_DOUBLE};
	as_row(&e, text, MONGO_PLAIN_NAMES | MONGO_SKIP_ID);
	as_values(&e, text);
	mongo_encoder_fini(&e);
	sl_buf_fini(&out);
	as_template(text, MONGO_DOCUMENT);
	as_template(text, MONGO_FILTER);
	as_template(text, MONGO_UPDATE);
	return 0;
}
