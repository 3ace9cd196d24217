/* hocon_fuzz.c: bytes -> HOCON -> tree -> JSON, which HOCON reads again as the same tree; and the tree as YAML, which our YAML
 * reader reads back as the same, comments included. */
#include "hocon.h"
#include "mem.h"
#include "yaml.h"
#include "yaml_write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_again(json_t *tree) {
	struct sl_err err = SL_ERR_INIT;
	char *text = json_dumps(tree, JSON_COMPACT | JSON_REAL_PRECISION(17));
	json_t *again = NULL;
	sl_assert(text);
	/* References may have made it deeper or larger than a file may be. */
	if (hocon_read(slice_from_str(text), "again", &again, NULL, &err) == SL_OK)
		sl_assert(json_equal(tree, again));
	else
		sl_assert(err.status == SL_ELIMIT);
	json_decref(again);
	sl_err_fini(&err);
	free(text);
}

static void write_yaml(json_t *tree, struct sl_slice comment) {
	struct sl_err err = SL_ERR_INIT;
	struct sl_buf out = SL_BUF_INIT;
	struct yaml_doc *doc = NULL;
	yaml_write_comment(&out, comment, 2);
	json_t *whole = json_pack("{s:O, s:[O]}", "a", tree, "b", tree);
	yaml_write_members(&out, whole, 0);
	if (yaml_doc_load(sl_buf_slice(&out), "fuzz.yaml", &doc, &err) == SL_OK)
		sl_assert(json_equal(whole, yaml_doc_root(doc)));
	else /* YAML's own bounds: a key of more than 1024 bytes as written is no key to it, whatever it says of that */
		sl_assert(err.status == SL_ELIMIT || strstr(sl_err_text(&err), "key") ||
			  strstr(sl_err_text(&err), "deep") || strstr(sl_err_text(&err), "mapping values"));
	yaml_doc_free(doc);
	json_decref(whole);
	sl_buf_fini(&out);
	sl_err_fini(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	struct sl_slice text = slice_make(data, size);
	struct sl_err err = SL_ERR_INIT;
	struct sl_buf notes = SL_BUF_INIT;
	json_t *tree;
	if (hocon_read(text, "fuzz.conf", &tree, &notes, &err) == SL_OK) {
		sl_assert(err.status == SL_OK);
		read_again(tree);
		write_yaml(tree, text);
		json_decref(tree);
	} else {
		sl_assert(err.text && !tree);
	}
	sl_buf_fini(&notes);
	sl_err_fini(&err);
	return 0;
}
