/* acl_who.c: does a rule's condition hold for a client? */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>

#include "acl_int.h"

/* A name comes from outside, a pattern may be made badly: both together are given so many steps. */
enum { REGEX_STEPS = 100000, REGEX_HEAP_KB = 1024 };

/* The whole name must match. */
static enum acl_truth regex_matches(const pcre2_code *code, struct sl_slice text) {
	pcre2_match_data *data = pcre2_match_data_create(1, NULL);
	pcre2_match_context *context = pcre2_match_context_create(NULL);
	enum acl_truth truth = ACL_UNKNOWN;
	if (data && context) {
		pcre2_set_match_limit(context, REGEX_STEPS);
		pcre2_set_heap_limit(context, REGEX_HEAP_KB);
		int rc = pcre2_match(code, (PCRE2_SPTR)(text.p ? text.p : ""), text.n, 0,
				     PCRE2_ANCHORED | PCRE2_ENDANCHORED, data, context);
		truth = rc >= 0 ? ACL_YES : rc == PCRE2_ERROR_NOMATCH ? ACL_NO : ACL_UNKNOWN;
	}
	pcre2_match_context_free(context);
	pcre2_match_data_free(data);
	return truth;
}

static enum acl_truth pattern_matches(const struct acl_pattern *p, struct sl_slice text, const struct acl_subject *s) {
	if (p->kind == ACL_PATTERN_REGEX) return regex_matches(p->regex, text);
	struct sl_buf filled = SL_BUF_INIT;
	struct sl_slice want = p->text.literal;
	if (p->text.parts_len) {
		acl_text_fill(&p->text, s, &filled);
		want = sl_buf_slice(&filled);
	}
	bool yes = p->kind == ACL_PATTERN_GLOB     ? acl_glob(want, text)
		   : p->kind == ACL_PATTERN_NOCASE ? slice_equal_nocase(want, text)
						   : slice_equal(want, text);
	sl_buf_fini(&filled);
	return yes ? ACL_YES : ACL_NO;
}

bool acl_patterns_match(const struct acl_pattern *v, size_t len, struct sl_slice text, const struct acl_subject *s,
			bool *unknown) {
	for (size_t i = 0; i < len; i++) {
		enum acl_truth t = pattern_matches(&v[i], text, s);
		if (t == ACL_YES) return true;
		if (t == ACL_UNKNOWN) *unknown = true;
	}
	return false;
}

static enum acl_truth value_holds(const struct acl_who *who, const struct acl_subject *s) {
	struct sl_buf scratch = SL_BUF_INIT;
	struct sl_slice value = acl_value(s, who->var, who->attr, &scratch);
	bool unknown = s->vague && value.n == 0, yes = false;
	/* Who has no user name (certificate, attribute) is nobody's namesake, "*" included. */
	if (value.n || who->var == ACL_VAR_CLIENTID)
		yes = acl_patterns_match(who->patterns, who->len, value, s, &unknown);
	sl_buf_fini(&scratch);
	return yes ? ACL_YES : unknown ? ACL_UNKNOWN : ACL_NO;
}

static enum acl_truth ip_holds(const struct acl_who *who, const struct acl_subject *s) {
	static const uint8_t none[16];
	if (memcmp(s->ip, none, sizeof none) == 0) return s->vague ? ACL_UNKNOWN : ACL_NO;
	for (size_t i = 0; i < who->len; i++)
		if (sl_cidr_holds(&who->nets[i], s->ip, s->ip_v6)) return ACL_YES;
	return ACL_NO;
}

/* decides: the truth of one part that is the truth of the whole. */
static enum acl_truth parts_hold(const struct acl_who *who, const struct acl_subject *s, enum acl_truth decides) {
	enum acl_truth rest = decides == ACL_YES ? ACL_NO : ACL_YES;
	for (size_t i = 0; i < who->len; i++) {
		enum acl_truth t = acl_who_holds(who->parts[i], s);
		if (t == decides) return t;
		if (t == ACL_UNKNOWN) rest = t;
	}
	return rest;
}

enum acl_truth acl_who_holds(const struct acl_who *who, const struct acl_subject *s) {
	enum acl_truth t;
	switch (who->kind) {
	case ACL_WHO_VALUE: return value_holds(who, s);
	case ACL_WHO_IP: return ip_holds(who, s);
	case ACL_WHO_ANONYMOUS: return (s->username.n == 0) == who->yes ? ACL_YES : ACL_NO;
	case ACL_WHO_ALL: return parts_hold(who, s, ACL_NO);
	case ACL_WHO_ANY: return parts_hold(who, s, ACL_YES);
	case ACL_WHO_NOT: t = acl_who_holds(who->parts[0], s); return t == ACL_YES ? ACL_NO : t == ACL_NO ? ACL_YES : t;
	}
	return ACL_UNKNOWN;
}
