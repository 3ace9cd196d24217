#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "schema.h"
#include "schema_doc.h"

struct settings {
	char *path, *bind;
	int64_t linger_ms, bytes;
	int mode;
	int64_t rows;
	struct conf_objects entries;
};
struct entry {
	char *name;
};

static const char *const modes[] = {"slow", "fast", NULL};
static const struct conf_field batch_fields[] = {{.name = "rows",
						  .type = CONF_INT,
						  .at = offsetof(struct settings, rows),
						  .def = "1000",
						  .min = 1,
						  .max = 9999,
						  .doc = "Rows in a batch."},
						 CONF_END};
static const struct conf_field entry_fields[] = {{.name = "name",
						  .type = CONF_STRING,
						  .flags = CONF_REQUIRED,
						  .at = offsetof(struct entry, name),
						  .example = "a: b",
						  .doc = "Its name."},
						 CONF_END};
static const struct conf_field fields[] = {
    {.name = "path",
     .type = CONF_STRING,
     .flags = CONF_REQUIRED,
     .at = offsetof(struct settings, path),
     .example = "./data/archive.db",
     .doc = "The file."},
    {.name = "bind", .type = CONF_STRING, .at = offsetof(struct settings, bind), .def = ":1883", .doc = "An a|b."},
    {.name = "linger",
     .type = CONF_DURATION,
     .flags = CONF_UNLIMITED_OK,
     .at = offsetof(struct settings, linger_ms),
     .def = "5ms",
     .min = 1,
     .doc = "How long the first row of a batch waits for others, which is a sentence so long that it does not fit "
	    "into one line of the sample."},
    {.name = "bytes",
     .type = CONF_SIZE,
     .flags = CONF_ADVANCED,
     .at = offsetof(struct settings, bytes),
     .def = "1MB",
     .doc = "Not in the sample."},
    {.name = "mode",
     .type = CONF_ENUM,
     .at = offsetof(struct settings, mode),
     .names = modes,
     .def = "fast",
     .doc = "Speed."},
    {.name = "batch", .type = CONF_OBJECT, .fields = batch_fields, .doc = "The batch."},
    {.name = "log", .type = CONF_OBJECT, .flags = CONF_GIVEN, .fields = batch_fields, .doc = "A log."},
    {.name = "entries",
     .type = CONF_OBJECT_LIST,
     .at = offsetof(struct settings, entries),
     .fields = entry_fields,
     .item_size = sizeof(struct entry),
     .doc = "Entries."},
    CONF_END};

static void test_doc__markdown(void **state) {
	(void)state;
	struct sl_buf out = SL_BUF_INIT;
	schema_doc_markdown(&fields[1], &out);
	assert_string_equal(
	    sl_buf_cstr(&out),
	    "| option | type | default | meaning |\n"
	    "| --- | --- | --- | --- |\n"
	    "| `bind` | text | `:1883` | An a\\|b. |\n"
	    "| `linger` | duration or `unlimited`, at least 1ms | `5ms` | How long the first row of a batch "
	    "waits for others, which is a sentence so long that it does not fit into one line of the sample. "
	    "|\n"
	    "| `bytes` | size | `1MB` | Not in the sample. |\n"
	    "| `mode` | `slow` or `fast` | `fast` | Speed. |\n"
	    "| `batch` | map of options |  | The batch. |\n"
	    "| `batch.rows` | whole number, 1 to 9999 | `1000` | Rows in a batch. |\n"
	    "| `log` | map of options, may be empty | not there | A log. |\n"
	    "| `log.rows` | whole number, 1 to 9999 | `1000` | Rows in a batch. |\n"
	    "| `entries` | list of maps |  | Entries. |\n"
	    "| `entries[].name` | text | required | Its name. |\n");
	sl_buf_fini(&out);
}

static void test_doc__sample(void **state) {
	(void)state;
	struct sl_buf out = SL_BUF_INIT;
	schema_doc_sample(fields, 2, &out);
	assert_string_equal(
	    sl_buf_cstr(&out),
	    "  # The file.\n"
	    "  path: ./data/archive.db\n"
	    "  # An a|b.\n"
	    "  #bind: \":1883\"\n"
	    "  # How long the first row of a batch waits for others, which is a sentence so long that it does "
	    "not fit into\n"
	    "  # one line of the sample.\n"
	    "  #linger: 5ms\n"
	    "  # Speed.\n"
	    "  #mode: fast\n"
	    "  # The batch.\n"
	    "  #batch:\n"
	    "    # Rows in a batch.\n"
	    "    #rows: 1000\n"
	    "  # A log.\n"
	    "  #log:\n"
	    "    # Rows in a batch.\n"
	    "    #rows: 1000\n"
	    "  # Entries.\n"
	    "  entries:\n"
	    "    # Its name.\n"
	    "    - name: \"a: b\"\n");
	sl_buf_fini(&out);
}

/* What we print we also read. */
static void test_doc__sample_is_accepted(void **state) {
	(void)state;
	struct sl_buf out = SL_BUF_INIT;
	struct settings settings = {0};
	struct conf_report report = CONF_REPORT_INIT;
	struct yaml_doc *doc;
	schema_doc_sample(fields, 0, &out);
	assert_int_equal(yaml_doc_load(sl_buf_slice(&out), "sample", &doc, NULL), SL_OK);
	assert_int_equal(conf_apply(fields, yaml_doc_root(doc), (struct conf_at){doc, ""}, &settings, &report), SL_OK);
	assert_string_equal(((struct entry *)settings.entries.items)[0].name, "a: b");
	conf_fini(fields, &settings);
	yaml_doc_free(doc);
	sl_buf_fini(&out);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_doc__markdown),
	    cmocka_unit_test(test_doc__sample),
	    cmocka_unit_test(test_doc__sample_is_accepted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
