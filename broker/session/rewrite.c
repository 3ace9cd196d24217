#include "rewrite.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "mem.h"
#include "topic.h"
#include "topic_template.h"

enum { MATCH_MAX = 100000, DEPTH_MAX = 1000, HEAP_KB_MAX = 1024 };

struct entry {
	enum broker_rewrite_action action;
	char *filter, *to;
	pcre2_code *code;
};

struct rewrite {
	size_t len;
	struct entry v[];
};

struct rewriter {
	const struct rewrite *rules;
	pcre2_match_data *match;
	pcre2_match_context *limits;
	struct sl_buf out;
};

static int compile(struct entry *e, const char *regex, struct sl_err *err) {
	int number;
	PCRE2_SIZE offset;
	e->code = pcre2_compile((PCRE2_SPTR)regex, PCRE2_ZERO_TERMINATED, PCRE2_UTF, &number, &offset, NULL);
	if (!e->code) {
		PCRE2_UCHAR text[256]; /* the library's own messages */
		pcre2_get_error_message(number, text, sizeof text);
		return sl_err_set(err, SL_EINVAL, "regex '%s': %s, at byte %zu", regex, (const char *)text,
				  (size_t)offset);
	}
	(void)pcre2_jit_compile(e->code, PCRE2_JIT_COMPLETE);
	uint32_t groups;
	pcre2_pattern_info(e->code, PCRE2_INFO_CAPTURECOUNT, &groups);
	return topic_template_check(slice_from_str(e->to), groups > 9 ? 9 : groups, err);
}

int rewrite_new(const struct broker_rewrite *specs, size_t n, struct rewrite **out, struct sl_err *err) {
	*out = NULL;
	if (n == 0) return SL_OK;
	struct rewrite *r = sl_zalloc(sizeof *r + n * sizeof r->v[0]);
	for (size_t i = 0; i < n; i++) {
		struct entry *e = &r->v[r->len++];
		*e = (struct entry){
		    .action = specs[i].action, .filter = sl_strdup(specs[i].filter), .to = sl_strdup(specs[i].to)};
		int rc = compile(e, specs[i].regex, err);
		if (rc == SL_OK) continue;
		rewrite_free(r);
		return rc;
	}
	*out = r;
	return SL_OK;
}

void rewrite_free(struct rewrite *r) {
	for (size_t i = 0; r && i < r->len; i++) {
		sl_free(r->v[i].filter);
		sl_free(r->v[i].to);
		pcre2_code_free(r->v[i].code);
	}
	sl_free(r);
}

struct rewriter *rewriter_new(const struct rewrite *rules) {
	struct rewriter *r = SL_NEW(struct rewriter);
	r->rules = rules;
	r->match = pcre2_match_data_create(TOPIC_GROUPS_MAX, NULL);
	r->limits = pcre2_match_context_create(NULL);
	sl_assert(r->match && r->limits);
	pcre2_set_match_limit(r->limits, MATCH_MAX);
	pcre2_set_depth_limit(r->limits, DEPTH_MAX);
	pcre2_set_heap_limit(r->limits, HEAP_KB_MAX);
	return r;
}

void rewriter_free(struct rewriter *r) {
	if (!r) return;
	pcre2_match_data_free(r->match);
	pcre2_match_context_free(r->limits);
	sl_buf_fini(&r->out);
	sl_free(r);
}

/* PCRE2 gives 0 when there are more groups than places: all places are filled then. */
static void groups_of(const struct rewriter *r, int count, struct sl_slice topic, struct topic_values *values) {
	const PCRE2_SIZE *at = pcre2_get_ovector_pointer(r->match);
	size_t n = count == 0 ? TOPIC_GROUPS_MAX : (size_t)count;
	for (size_t i = 0; i < n; i++)
		if (at[2 * i] != PCRE2_UNSET && at[2 * i + 1] >= at[2 * i])
			values->groups[i] = slice_sub(topic, at[2 * i], at[2 * i + 1] - at[2 * i]);
}

enum rewritten rewrite_topic(struct rewriter *r, enum broker_rewrite_action as, struct sl_slice topic,
			     struct sl_slice clientid, struct sl_slice username, struct sl_slice *out) {
	for (size_t i = 0; i < r->rules->len; i++) {
		const struct entry *e = &r->rules->v[i];
		if (e->action != BROKER_REWRITE_ALL && e->action != as) continue;
		if (!topic_matches(slice_from_str(e->filter), topic)) continue;
		int count = pcre2_match(e->code, (PCRE2_SPTR)topic.p, topic.n, 0, 0, r->match, r->limits);
		if (count == PCRE2_ERROR_NOMATCH) continue;
		if (count < 0) return REWRITE_BAD;
		struct topic_values values = {.clientid = clientid, .username = username};
		groups_of(r, count, topic, &values);
		sl_buf_clear(&r->out);
		if (!topic_template_fill(slice_from_str(e->to), &values, &r->out)) return REWRITE_BAD;
		*out = sl_buf_slice(&r->out);
		return REWRITE_DONE;
	}
	return REWRITE_NONE;
}
