/* json_passes.c: counts how often the broker reads through a payload's JSON, whoever does it.
 *
 * Linked into a second broker, whose calls of base/json's ways into a document come here first (the linker's --wrap). A
 * document that holds the text of $JSON_PASSES_MARK counts; what is parsed for other reasons (configuration, status pages,
 * values of a row) does not hold it. At its end the process writes the count to the file $JSON_PASSES_FILE. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "jpath.h"
#include "jscan.h"
#include "slice.h"

int __real_jpath_extract(const struct jpath_set *set, struct sl_slice doc, struct jpath_hit *hits);
int __wrap_jpath_extract(const struct jpath_set *set, struct sl_slice doc, struct jpath_hit *hits);
int __real_jpath_extract_any_text(const struct jpath_set *set, struct sl_slice doc, struct jpath_hit *hits);
int __wrap_jpath_extract_any_text(const struct jpath_set *set, struct sl_slice doc, struct jpath_hit *hits);
bool __real_jscan_valid(struct sl_slice doc);
bool __wrap_jscan_valid(struct sl_slice doc);
int __real_jscan_begin(struct jscan_iter *it, const struct jpath_hit *container);
int __wrap_jscan_begin(struct jscan_iter *it, const struct jpath_hit *container);
int __real_jscan_value(struct sl_slice text, struct jpath_hit *out);
int __wrap_jscan_value(struct sl_slice text, struct jpath_hit *out);
int __real_jscan_value_any_text(struct sl_slice text, struct jpath_hit *out);
int __wrap_jscan_value_any_text(struct sl_slice text, struct jpath_hit *out);

static atomic_ullong passes;

static void count(struct sl_slice doc) {
	const char *mark = getenv("JSON_PASSES_MARK");
	if (mark && slice_find(doc, slice_from_str(mark)) >= 0) passes++;
}

int __wrap_jpath_extract(const struct jpath_set *set, struct sl_slice doc, struct jpath_hit *hits) {
	if (jpath_set_count(set) > 0) count(doc); /* an empty set does not look at the text */
	return __real_jpath_extract(set, doc, hits);
}

int __wrap_jpath_extract_any_text(const struct jpath_set *set, struct sl_slice doc, struct jpath_hit *hits) {
	if (jpath_set_count(set) > 0) count(doc);
	return __real_jpath_extract_any_text(set, doc, hits);
}

bool __wrap_jscan_valid(struct sl_slice doc) {
	count(doc);
	return __real_jscan_valid(doc);
}

int __wrap_jscan_begin(struct jscan_iter *it, const struct jpath_hit *container) {
	count(container->raw);
	return __real_jscan_begin(it, container);
}

int __wrap_jscan_value(struct sl_slice text, struct jpath_hit *out) {
	count(text);
	return __real_jscan_value(text, out);
}

int __wrap_jscan_value_any_text(struct sl_slice text, struct jpath_hit *out) {
	count(text);
	return __real_jscan_value_any_text(text, out);
}

__attribute__((destructor)) static void tell(void) {
	const char *path = getenv("JSON_PASSES_FILE");
	FILE *file = path ? fopen(path, "w") : NULL;
	if (!file) return;
	fprintf(file, "%llu\n", (unsigned long long)passes);
	fclose(file);
}
