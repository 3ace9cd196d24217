/* acl_explain.c: what decided, for people. */
#include "acl_int.h"
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
