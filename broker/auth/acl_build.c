/* acl_build.c: from texts to struct acl and struct acl_rules. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "acl_int.h"
#include "mem.h"

struct acl_rules *acl_rules_new(void) {
	struct acl_rules *r = SL_NEW(struct acl_rules);
	atomic_init(&r->refs, 1);
	sl_arena_init(&r->arena, 1024);
	return r;
}

struct acl_rules *acl_rules_ref(struct acl_rules *r) {
	/* Relaxed is enough: whoever calls has a reference, so the count can't be falling to 0. */
	if (r) atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
	return r;
}

void acl_rules_unref(struct acl_rules *r) {
	if (!r || atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1) return;
	for (size_t i = 0; i < r->regexes_len; i++) pcre2_code_free(r->regexes[i]);
	sl_free(r->regexes);
	sl_arena_fini(&r->arena);
	sl_free(r);
}

size_t acl_rules_count(const struct acl_rules *r) { return r ? r->len : 0; }

void acl_build_init(struct acl_build *b, struct conf_report *report, bool own) {
	*b = (struct acl_build){.rules = acl_rules_new(),
				.report = report,
				.own = own,
				.rules_max = own ? ACL_OWN_RULES_MAX : ACL_RULES_MAX};
}

void acl_build_add(struct acl_build *b, struct acl_rule *r) {
	b->rules->receive_said = b->rules->receive_said || (r->receive_said && !r->policy);
	if (!r->policy) {
		SL_GROW(b->plain, b->plain_len, b->plain_cap);
		b->plain[b->plain_len++] = r;
	} else if (r->allow) {
		SL_GROW(b->allow, b->allow_len, b->allow_cap);
		b->allow[b->allow_len++] = r;
	} else {
		SL_GROW(b->deny, b->deny_len, b->deny_cap);
		b->deny[b->deny_len++] = r;
	}
}

size_t acl_build_finish(struct acl_build *b) {
	struct acl_rules *r = b->rules;
	size_t own_at = b->deny_len;
	r->v = SL_ARENA_ARRAY(&r->arena, struct acl_rule *, b->deny_len + b->plain_len + b->allow_len + 1);
	for (size_t i = 0; i < b->deny_len; i++) r->v[r->len++] = b->deny[i];
	for (size_t i = 0; i < b->plain_len; i++) r->v[r->len++] = b->plain[i];
	for (size_t i = 0; i < b->allow_len; i++) r->v[r->len++] = b->allow[i];
	sl_free(b->deny);
	sl_free(b->plain);
	sl_free(b->allow);
	b->deny = b->plain = b->allow = NULL;
	return own_at;
}

/* ---- rules that come with an identity ---- */

/* The first mistake, as one sentence. */
static int report_to_err(struct conf_report *report, struct sl_err *err) {
	int rc = conf_report_status(report);
	if (rc != SL_OK) sl_err_set(err, rc, "%s", sl_err_text(&report->errs[0]));
	conf_report_fini(report);
	return rc;
}

static bool nothing(const json_t *rules) {
	return !rules || json_is_null(rules) || (json_is_array(rules) && json_array_size(rules) == 0) ||
	       (json_is_object(rules) && json_object_size(rules) == 0);
}

int acl_rules_from_json(const json_t *rules, struct acl_rules **out, struct sl_err *err) {
	struct conf_report report = CONF_REPORT_INIT;
	struct acl_build b;
	*out = NULL;
	if (nothing(rules)) return SL_OK;
	acl_build_init(&b, &report, true);
	acl_parse_list(&b, rules, (struct conf_at){NULL, ""});
	acl_build_finish(&b);
	sl_free(b.attached);
	int rc = report_to_err(&report, err);
	if (rc == SL_OK)
		*out = b.rules;
	else
		acl_rules_unref(b.rules);
	return rc;
}

int acl_rules_from_text(struct sl_slice json, struct acl_rules **out, struct sl_err *err) {
	*out = NULL;
	if (json.n > ACL_TEXT_MAX) return sl_err_set(err, SL_ELIMIT, "more than %d bytes of rules", ACL_TEXT_MAX);
	if (json.n == 0) return SL_OK;
	json_error_t where;
	json_t *tree = json_loadb(json.p, json.n, JSON_REJECT_DUPLICATES, &where);
	if (!tree) return sl_err_set(err, SL_ESYNTAX, "no JSON: %s", where.text);
	int rc = acl_rules_from_json(tree, out, err);
	json_decref(tree);
	return rc;
}

/* ---- the broker's ---- */

static void number(struct acl *a) {
	a->everybody = SL_NEW_ARRAY(uint32_t, a->rules->len + 1);
	a->somebody = SL_NEW_ARRAY(uint32_t, a->rules->len + 1);
	for (size_t i = 0; i < a->rules->len; i++) {
		if (a->rules->v[i]->who)
			a->somebody[a->somebody_len++] = (uint32_t)i;
		else
			a->everybody[a->everybody_len++] = (uint32_t)i;
	}
}

static int finish(struct acl_build *b, const struct acl_options *options, struct acl **out) {
	int rc = conf_report_status(b->report);
	size_t own_at = acl_build_finish(b);
	*out = NULL;
	if (rc != SL_OK) {
		acl_rules_unref(b->rules);
		sl_free(b->attached);
		return rc;
	}
	struct acl *a = SL_NEW(struct acl);
	atomic_init(&a->refs, 1);
	a->rules = b->rules;
	a->own_at = own_at;
	a->attached = b->attached;
	a->attached_len = b->attached_len;
	a->default_allow = b->said_default ? b->default_allow : options->default_allow;
	a->disconnects = options->disconnects;
	a->hides = options->hides;
	number(a);
	*out = a;
	return SL_OK;
}

static void load_file(struct acl_build *b, const char *file, struct conf_at named) {
	struct sl_err err = SL_ERR_INIT;
	struct yaml_doc *doc;
	if (yaml_doc_load_file(file, &doc, &err) != SL_OK) {
		if (err.line || !named.doc)
			conf_report_take(b->report, &err);
		else
			conf_report_add(b->report, named, CONF_AT_VALUE, err.status, "%s: %s", file, sl_err_text(&err));
		sl_err_fini(&err);
		return;
	}
	acl_parse_file(b, doc);
	yaml_doc_free(doc);
}

/* What others have reported before is not this ACL's fault. */
int acl_new(const struct acl_options *options, struct acl **out, struct conf_report *report) {
	struct conf_report mine = CONF_REPORT_INIT;
	struct acl_build b;
	acl_build_init(&b, &mine, false);
	if (options->file) load_file(&b, options->file, (struct conf_at){options->about, "auth.acl_file"});
	for (size_t i = 0; i < options->policies.len; i++) {
		char *path = yaml_path_index("auth.policy_files", i);
		acl_parse_policy_file(&b, options->policies.items[i], (struct conf_at){options->about, path}, NULL);
		sl_free(path);
	}
	int rc = finish(&b, options, out);
	for (size_t i = 0; i < mine.len; i++) conf_report_take(report, &mine.errs[i]);
	report->dropped += mine.dropped;
	conf_report_fini(&mine);
	return rc;
}

int acl_new_text(struct sl_slice yaml, const char *name, struct acl **out, struct conf_report *report) {
	struct sl_err err = SL_ERR_INIT;
	struct yaml_doc *doc;
	*out = NULL;
	if (yaml_doc_load(yaml, name, &doc, &err) != SL_OK) return conf_report_take(report, &err);
	struct acl_build b;
	acl_build_init(&b, report, false);
	acl_parse_file(&b, doc);
	yaml_doc_free(doc);
	return finish(&b, &(struct acl_options){0}, out);
}

struct acl *acl_ref(struct acl *a) {
	atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
	return a;
}

void acl_unref(struct acl *a) {
	if (!a || atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) != 1) return;
	acl_rules_unref(a->rules);
	sl_free(a->everybody);
	sl_free(a->somebody);
	sl_free(a->attached);
	sl_free(a);
}

bool acl_disconnects(const struct acl *a) { return a->disconnects; }
bool acl_hides(const struct acl *a) { return a->hides; }
bool acl_allows_by_default(const struct acl *a) { return a->default_allow; }

size_t acl_count(const struct acl *a) { return a->rules->len; }
