/* why_fuzz.c: arbitrary text taken apart by sql_why.c. The parts nest as their depths say, and what compiles as a whole has
 * probes that compile, too, but for limits: a probe is never a text that the grammar refuses. The first byte of the input
 * chooses the dialect and the part. Seeds: corpus/why. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "sql.h"
#include "sql_why.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct sql_column columns[] = {
    {"payload", SQL_STRING, 0, "", false},  {"topic", SQL_STRING, 1, "", false},  {"qos", SQL_INT, 2, "", false},
    {"clientid", SQL_STRING, 3, "", false}, {"timestamp", SQL_INT, 4, "", false}, {"event", SQL_STRING, 5, "", false},
};

static struct sql_value get(const void *event, uint16_t id, struct sl_arena *arena) {
	(void)event, (void)id, (void)arena;
	return sql_null();
}

static const struct sql_source source = {
    .name = "message", .columns = columns, .column_count = 6, .payload_column = 0, .get = get};

static const struct sql_source *find(void *arg, struct sl_slice from, struct sl_err *err) {
	(void)arg, (void)from, (void)err;
	return &source;
}

static int compile(struct sl_slice text, enum sql_dialect dialect, struct sl_err *err) {
	struct sql_compile_opts opts = {.dialect = dialect, .source = find};
	struct sql_program *p;
	int rc = sql_compile(text, &opts, &p, err);
	sql_program_free(p);
	return rc;
}

static void check_probe(struct sl_slice probe, enum sql_dialect dialect) {
	struct sl_err err = SL_ERR_INIT;
	if (probe.n == 0) return;
	if (compile(probe, dialect, &err) == SL_ESYNTAX) {
		fprintf(stderr, "the probe %.*s: %s\n", SL_SLICE_ARG(probe), sl_err_text(&err));
		abort();
	}
	sl_err_fini(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	if (size == 0 || size > 2000) return 0;
	struct sl_slice text = slice_make(data + 1, size - 1);
	enum sql_dialect dialect = data[0] & 1 ? SQL_AWS : SQL_STANDARD;
	struct sl_err err = SL_ERR_INIT;
	struct sql_why *why = NULL;
	int rc = sql_why_new(text, dialect, (int64_t)(data[0] >> 1 & 3) - 2, &why, &err);
	sl_assert((rc == SL_OK) == (why != NULL));
	if (why && compile(text, dialect, &err) == SL_OK) {
		int before = -1;
		for (size_t i = 0; i < why->count; i++) {
			const struct sql_why_part *p = &why->parts[i];
			sl_assert((int)p->depth <= before + 1);
			before = p->depth;
			if (i < 20) check_probe(p->probe, dialect);
		}
		check_probe(why->list_probe, dialect);
	}
	sql_why_free(why);
	sl_err_fini(&err);
	return 0;
}
