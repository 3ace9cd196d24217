/* yaml_fuzz.c: bytes -> YAML document -> option tables, and the questions that follow a mistake: where was it?
 * Everything that came out of a document must lie inside it. */
#include <string.h>

#include "conf_units.h"
#include "mem.h"
#include "schema.h"
#include "yaml_int.h"

struct item {
	char *name, *value;
	int64_t bytes;
};
struct sample {
	char *text, *template, *url;
	bool flag;
	int64_t count, linger_ms;
	double ratio, share;
	int mode;
	struct conf_list list;
	struct conf_map map;
	json_t *tree;
	struct item one;
	struct conf_objects many;
};
#define AT(member) offsetof(struct sample, member)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Points into the text, so that places inside texts are asked for. */
static int refuse_question_mark(const struct conf_field *field, struct sl_slice text, struct sl_err *err) {
	(void)field;
	ptrdiff_t at = slice_find_byte(text, '?');
	if (at < 0) return SL_OK;
	uint32_t line = 1, column = 1;
	for (ptrdiff_t i = 0; i < at; i++) {
		column = text.p[i] == '\n' ? 1 : column + 1;
		line += text.p[i] == '\n';
	}
	sl_err_at(err, NULL, line, column);
	return sl_err_set(err, SL_ESYNTAX, "a question");
}

static const char *const modes[] = {"slow", "fast", NULL};
static const struct conf_field item_fields[] = {
    {.name = "name", .type = CONF_STRING, .flags = CONF_REQUIRED, .at = offsetof(struct item, name)},
    {.name = "value",
     .type = CONF_TEMPLATE,
     .at = offsetof(struct item, value),
     .def = "${.}",
     .validate = refuse_question_mark},
    {.name = "bytes", .type = CONF_SIZE, .flags = CONF_UNLIMITED_OK, .at = offsetof(struct item, bytes), .def = "1MB"},
    CONF_END};
static const struct conf_field sample_fields[] = {
    {.name = "text", .type = CONF_STRING, .at = AT(text), .max = 100},
    {.name = "sql", .type = CONF_TEMPLATE, .at = AT(template), .validate = refuse_question_mark},
    {.name = "url", .type = CONF_STRING, .flags = CONF_SECRET_URL, .at = AT(url)},
    {.name = "flag", .type = CONF_BOOL, .at = AT(flag), .def = "true"},
    {.name = "count", .type = CONF_INT, .at = AT(count), .def = "1", .min = 1, .max = 65535},
    {.name = "linger", .type = CONF_DURATION, .at = AT(linger_ms), .def = "5ms"},
    {.name = "ratio", .type = CONF_DOUBLE, .at = AT(ratio), .def = "1"},
    {.name = "share", .type = CONF_PERCENT, .at = AT(share), .def = "1%"},
    {.name = "mode", .type = CONF_ENUM, .at = AT(mode), .names = modes, .def = "fast"},
    {.name = "list", .type = CONF_TEMPLATE_LIST, .at = AT(list), .validate = refuse_question_mark},
    {.name = "map", .type = CONF_TEMPLATE_MAP, .at = AT(map), .validate = refuse_question_mark},
    {.name = "tree", .type = CONF_TREE, .flags = CONF_NULL_OK, .at = AT(tree)},
    {.name = "one", .type = CONF_OBJECT, .flags = CONF_NULL_OK, .at = AT(one), .fields = item_fields},
    {.name = "many", .type = CONF_OBJECT_LIST, .at = AT(many), .fields = item_fields, .item_size = sizeof(struct item)},
    CONF_END};

static void check_place(const struct yaml_doc *doc, uint32_t line, uint32_t column) {
	struct sl_slice text = yaml_doc_text(doc);
	sl_assert(line >= 1 && column >= 1);
	sl_assert(line <= text.n + 1 && column <= text.n + 1);
}

static bool is_word_byte(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

/* A letter of the text stands at the place that is told for it, or the escape that stands for it does. */
static void check_letters(const struct yaml_doc *doc, const json_t *text, const char *path) {
	struct sl_slice t = slice_make(json_string_value(text), json_string_length(text));
	struct sl_slice source = yaml_doc_text(doc);
	uint32_t line_in_text = 1, column_in_text = 0, line, column;
	for (size_t i = 0; i < t.n && i < 64; i++) {
		column_in_text++;
		if (t.p[i] == '\n') {
			line_in_text++;
			column_in_text = 0;
		}
		if (!is_word_byte(t.p[i])) continue;
		sl_assert(yaml_text_position(doc, path, line_in_text, column_in_text, &line, &column));
		check_place(doc, line, column);
		size_t offset = 0;
		for (uint32_t n = 1; n < line; n++) {
			while (yaml_break_len(slice_from(source, offset)) == 0) offset++;
			offset += yaml_break_len(slice_from(source, offset));
		}
		char c = source.p[offset + column - 1];
		sl_assert(c == t.p[i] || c == '\\');
	}
}

/* Asks for the place of every value, and of the middle and the end of every text. */
static void ask_places(const struct yaml_doc *doc, const json_t *value, const char *path, int budget) {
	uint32_t line, column;
	sl_assert(yaml_value_position(doc, path, &line, &column));
	check_place(doc, line, column);
	sl_assert(yaml_key_position(doc, path, &line, &column));
	check_place(doc, line, column);
	if (json_is_string(value)) {
		check_letters(doc, value, path);
		uint32_t middle = (uint32_t)json_string_length(value) / 2 + 1;
		sl_assert(yaml_text_position(doc, path, 1, middle, &line, &column));
		check_place(doc, line, column);
		yaml_text_position(doc, path, 2, 1, &line, &column);
		check_place(doc, line, column);
		yaml_text_position(doc, path, UINT32_MAX, UINT32_MAX, &line, &column);
		check_place(doc, line, column);
	}
	const char *key;
	json_t *child;
	json_object_foreach((json_t *)(uintptr_t)value, key, child) {
		char *inner = yaml_path_key(path, key);
		if (budget-- > 0) ask_places(doc, child, inner, budget);
		sl_free(inner);
	}
	for (size_t i = 0; i < json_array_size(value) && budget-- > 0; i++) {
		char *inner = yaml_path_index(path, i);
		ask_places(doc, json_array_get(value, i), inner, budget);
		sl_free(inner);
	}
}

/* What is shown of settings is accepted again, up to what the tables ask. */
static void apply_sample(const struct yaml_doc *doc) {
	struct sample sample = {0};
	struct conf_report report = CONF_REPORT_INIT;
	int rc = conf_apply(sample_fields, yaml_doc_root(doc), (struct conf_at){doc, ""}, &sample, &report);
	sl_assert((rc == SL_OK) == (report.len == 0));
	if (rc == SL_OK) {
		json_t *shown = conf_show(sample_fields, &sample);
		sl_assert(json_is_object(shown));
		json_decref(shown);
	}
	char *text = conf_report_format(&report);
	sl_assert(strlen(text) > 0 || report.len == 0);
	sl_free(text);
	conf_report_fini(&report);
	conf_fini(sample_fields, &sample);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	struct sl_err err = SL_ERR_INIT;
	struct yaml_doc *doc;
	if (yaml_doc_load(slice_make(data, size), "fuzz.yaml", &doc, &err) == SL_OK) {
		ask_places(doc, yaml_doc_root(doc), "", 12);
		apply_sample(doc);
		yaml_doc_free(doc);
	} else {
		sl_assert(err.text && err.line >= 1);
	}
	sl_err_fini(&err);
	return 0;
}
