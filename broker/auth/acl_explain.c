/* acl_explain.c: what decided, for people. */
#include "acl_int.h"
#include "filter_cover.h"
#include "mem.h"

static const char *kind_of(const struct acl_client *c, const struct acl_finding *f) {
	if (c->who.superuser) return "superuser";
	if (!f->rule) return "default";
	if (f->own) return "own rule";
	return f->rule->policy ? "policy" : "rule";
}

void acl_explain(const struct acl_client *c, const struct acl_question *q, struct acl_reason *out) {
	struct sl_buf example = SL_BUF_INIT;
	struct acl_finding f = {.example = &example};
	switch (q->action) {
	case ACL_CONNECT: acl_judge_connect(c, &f); break;
	case ACL_RECEIVE: acl_judge_topic(c, ACL_BIT_RECEIVE, q->topic, 0, false, &f); break;
	case ACL_SUBSCRIBE: acl_judge_filter(c, q->topic, q->qos, &f); break;
	case ACL_PUBLISH:
		acl_judge_topic(c, ACL_BIT_PUBLISH, q->topic, q->qos, q->retain, &f);
		if (f.allowed && q->retain && c->policies)
			acl_judge_topic(c, ACL_BIT_RETAIN, q->topic, q->qos, q->retain, &f);
		break;
	}
	*out = (struct acl_reason){.allowed = f.allowed, .what = kind_of(c, &f)};
	if (f.rule) {
		out->file = f.own ? NULL : f.rule->file;
		out->line = f.rule->line;
		out->number = f.rule->number;
		out->text = f.rule->text;
	}
	if (q->action == ACL_SUBSCRIBE && !f.allowed && example.n) out->example = sl_buf_steal(&example);
	sl_buf_fini(&example);
}

void acl_reason_fini(struct acl_reason *r) {
	sl_free(r->example);
	*r = (struct acl_reason){0};
}

/* ---- rules that are never asked ---- */

/* What it is written for; what is implied follows it. */
static unsigned said(const struct acl_rule *r) {
	unsigned bits = r->actions & (ACL_BIT_PUBLISH | ACL_BIT_SUBSCRIBE | ACL_BIT_CONNECT);
	return r->receive_said ? bits | ACL_BIT_RECEIVE : bits;
}

static bool literal(const struct acl_rule *r) {
	for (size_t i = 0; i < r->topics_len; i++)
		if (r->topics[i].text.parts_len || r->topics[i].kind == ACL_TOPIC_GLOB) return false;
	return true;
}

static bool all_topics(const struct acl_rule *r, const struct sl_slice *by, size_t len) {
	for (size_t i = 0; i < r->topics_len; i++)
		if (!filter_covered(r->topics[i].text.literal, by, len, NULL)) return false;
	return true;
}

static bool decides_all(const struct acl_rule *by, const struct acl_rule *r, struct sl_slice *filters) {
	size_t n = 0;
	if (by->who || by->policy || by->groups_len || (said(r) & ~said(by)) || (r->qos & ~by->qos)) return false;
	if ((by->retain != ACL_RETAIN_ANY && by->retain != r->retain) || !literal(by)) return false;
	if (said(r) == ACL_BIT_CONNECT) return true;
	for (size_t i = 0; i < by->topics_len; i++)
		if (by->topics[i].kind == ACL_TOPIC_FILTER) filters[n++] = by->topics[i].text.literal;
	return all_topics(r, filters, n);
}

void acl_shadowed(const struct acl *a, acl_shadowed_fn shadowed, void *arg) {
	if (a->rules->len > ACL_SHADOW_MAX) return;
	size_t most = 1;
	for (size_t i = 0; i < a->rules->len; i++)
		if (a->rules->v[i]->topics_len > most) most = a->rules->v[i]->topics_len;
	struct sl_slice *filters = SL_NEW_ARRAY(struct sl_slice, most);
	for (size_t i = a->own_at; i < a->rules->len; i++) {
		const struct acl_rule *r = a->rules->v[i];
		if (r->policy || !literal(r)) continue;
		for (size_t k = 0; k < a->everybody_len && a->everybody[k] < i; k++) {
			const struct acl_rule *by = a->rules->v[a->everybody[k]];
			if (!decides_all(by, r, filters)) continue;
			shadowed(r->file, r->line, r->number, by->line, by->number, arg);
			break;
		}
	}
	sl_free(filters);
}
