/* sql_fn_refused.c: functions that EMQX has and Sluice has not, so that a rule which comes from there is told why. */
#include "sql_fn.h"

static const struct {
	const char *name; /* a '*' at the end: all that begin so */
	const char *why;
} refused[] = {
    {"schema_*",
     "it needs a schema registry, which Sluice does not have yet; decode JSON with json_decode() or payload.x"},
    {"avro_*", "it needs a schema registry, which Sluice does not have yet"},
    {"spb_*", "Sparkplug B needs a schema registry, which Sluice does not have yet"},
    {"sparkplug_*", "Sparkplug B needs a schema registry, which Sluice does not have yet"},
    {"ai_completion",
     "asking a language model is not part of Sluice: it would stop the broker's worker; send the row to an "
     "HTTP service instead"},
};

const char *sql_fn_refusal(enum sql_dialect dialect, struct sl_slice name) {
	for (size_t i = 0; dialect == SQL_STANDARD && i < SL_ARRAY_LEN(refused); i++) {
		struct sl_slice known = slice_from_str(refused[i].name);
		bool family = known.p[known.n - 1] == '*';
		if (family ? slice_starts_with(name, slice_sub(known, 0, known.n - 1)) : slice_equal(name, known))
			return refused[i].why;
	}
	return NULL;
}
