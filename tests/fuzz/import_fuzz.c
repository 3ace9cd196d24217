/* import_fuzz.c: a file of another broker -> rules, actions, templates -> a configuration, which must pass the check whatever
 * the file held, unless it got too large. The first byte says whose file it is: 'A' or anything else (EMQX). */
#include "import.h"
#include "log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_all(struct import *imp) {
	struct sl_err err = SL_ERR_INIT;
	struct sl_buf out = SL_BUF_INIT, text = SL_BUF_INIT, json = SL_BUF_INIT;
	int rc = import_yaml(imp, &out, &err);
	sl_assert(rc == SL_OK || rc == SL_ELIMIT);
	sl_assert(import_report_text(imp, &text) == import_report_json(imp, &json));
	json_t *report = json_loadb(json.p, json.n, 0, NULL);
	sl_assert(json_array_size(json_object_get(report, "rules")) == imp->rule_count);
	json_decref(report);
	sl_buf_fini(&out);
	sl_buf_fini(&text);
	sl_buf_fini(&json);
	sl_err_fini(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	if (size == 0) return 0;
	struct sl_slice text = slice_make(data + 1, size - 1);
	struct import_file file = {.name = "dir/fuzz.file", .text = text};
	struct sl_err err = SL_ERR_INIT;
	struct import imp;
	log_set_level(LOG_OFF);
	import_init(&imp, "a fuzzer");
	int rc = data[0] == 'A' ? import_aws(&imp, file.name, text, &err) : import_emqx(&imp, &file, 1, &err);
	if (rc == SL_OK)
		write_all(&imp);
	else
		sl_assert(err.text);
	import_fini(&imp);
	sl_err_fini(&err);
	return 0;
}
