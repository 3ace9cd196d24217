/* basic_ingest.c: see basic_ingest.h. */
#include "basic_ingest.h"

#include "topic.h"

bool basic_ingest_split(struct sl_slice topic, struct sl_slice *rule, struct sl_slice *rest) {
	static const struct sl_slice prefix = {"$aws/rules/", sizeof "$aws/rules/" - 1};
	if (!slice_starts_with(topic, prefix)) return false;
	*rest = slice_from(topic, prefix.n);
	*rule = slice_next_part(rest, '/');
	if (!rest->p) *rest = SL_SLICE_EMPTY;
	return rule->n > 0;
}

/* There "a/#" is not about "a" itself, and here no filter is about nothing. */
static bool covers(enum sql_dialect dialect, struct sl_slice filter, struct sl_slice topic) {
	if (topic.n == 0 || !topic_filter_valid(filter) || !topic_matches(filter, topic)) return false;
	return dialect != SQL_AWS || filter.p[filter.n - 1] != '#' || topic_levels(filter) <= topic_levels(topic);
}

bool basic_ingest_covers(const struct rule *r, struct sl_slice topic, uint32_t *filter) {
	size_t count;
	const struct sl_slice *from = sql_program_from(r->program, &count);
	*filter = 0;
	if (r->dialect == SQL_AWS && (count == 0 || (count == 1 && from[0].n == 0))) return true;
	for (uint32_t i = 0; i < count; i++) {
		if (!covers(r->dialect, from[i], topic)) continue;
		*filter = i;
		return true;
	}
	return false;
}
