/* acl_parse.c: rules as they are written, in YAML or JSON, into compiled ones. The syntax: acl.md. */
#include <string.h>

#include "acl_int.h"
#include "mem.h"
#include "topic.h"

/* ---- one rule ---- */

static const struct action_word {
	const char *word;
	uint8_t bits;
} action_words[] = {
    /* Who may subscribe may be sent what the subscription is about: no word for that is needed. */
    {"publish", ACL_BIT_PUBLISH},
    {"pub", ACL_BIT_PUBLISH},
    {"subscribe", ACL_BIT_SUBSCRIBE},
    {"sub", ACL_BIT_SUBSCRIBE},
    {"receive", ACL_BIT_RECEIVE},
    {"connect", ACL_BIT_CONNECT},
    {"all", ACL_BIT_PUBLISH | ACL_BIT_SUBSCRIBE},
};

static int action_item(struct acl_build *b, const json_t *item, struct conf_at at, void *arg) {
	struct acl_rule *r = arg;
	const char *word = json_string_value(item);
	for (size_t i = 0; word && i < SL_ARRAY_LEN(action_words); i++) {
		if (strcmp(word, action_words[i].word) != 0) continue;
		r->actions |= action_words[i].bits;
		return SL_OK;
	}
	const char *hint = "";
	if (word && strcmp(word, "read") == 0) hint = "; what mosquitto calls read is subscribe here";
	if (word && strcmp(word, "write") == 0) hint = "; what mosquitto calls write is publish here";
	if (word && strcmp(word, "readwrite") == 0) hint = "; what mosquitto calls readwrite is all here";
	return conf_report_add(b->report, at, CONF_AT_VALUE, SL_EINVAL,
			       "must be publish, subscribe, receive, connect or all (publish and subscribe)%s", hint);
}

static int qos_item(struct acl_build *b, const json_t *item, struct conf_at at, void *arg) {
	struct acl_rule *r = arg;
	json_int_t qos = json_integer_value(item);
	if (json_is_string(item) && json_string_length(item) == 1 && json_string_value(item)[0] >= '0')
		qos = json_string_value(item)[0] - '0'; /* as services quote it */
	else if (!json_is_integer(item))
		qos = -1;
	if (qos < 0 || qos > 2)
		return conf_report_add(b->report, at, CONF_AT_VALUE, SL_EINVAL, "must be 0, 1 or 2, or a list of them");
	r->qos |= (uint8_t)(1u << qos);
	return SL_OK;
}

static int parse_qos(struct acl_build *b, struct acl_rule *r, const json_t *value, struct conf_at at) {
	r->qos = 0;
	if (json_is_array(value) && json_array_size(value) == 0)
		return conf_report_add(b->report, at, CONF_AT_VALUE, SL_EINVAL, "the list is empty; name a QoS");
	return acl_each(b, value, at, qos_item, r);
}

static int parse_retain(struct acl_build *b, struct acl_rule *r, const json_t *value, struct conf_at at) {
	const char *word = json_string_value(value);
	if (word && strcmp(word, "all") == 0) return SL_OK;
	if (json_is_boolean(value))
		r->retain = json_is_true(value) ? ACL_RETAIN_ONLY : ACL_RETAIN_NOT;
	else if (json_is_integer(value) && json_integer_value(value) >= 0 && json_integer_value(value) <= 1)
		r->retain = json_integer_value(value) ? ACL_RETAIN_ONLY : ACL_RETAIN_NOT;
	else
		return conf_report_add(b->report, at, CONF_AT_VALUE, SL_ETYPE,
				       "must be true (retained messages only) or false (only those that are not)");
	return SL_OK;
}

/* ---- topics ---- */

/* The shape is checked with a plain word in each placeholder's place. */
static bool shape_valid(const struct acl_topic *t) {
	struct sl_buf sample = SL_BUF_INIT;
	if (t->text.parts_len == 0) sl_buf_append_slice(&sample, t->text.literal);
	for (size_t i = 0; i < t->text.parts_len; i++) {
		const struct acl_part *p = &t->text.parts[i];
		sl_buf_append_slice(&sample, p->var == ACL_VAR_NONE ? p->text : SL_SLICE_LIT("x"));
	}
	bool good = topic_filter_valid(sl_buf_slice(&sample)) &&
		    !slice_starts_with(sl_buf_slice(&sample), SL_SLICE_LIT("$share/"));
	sl_buf_fini(&sample);
	return good;
}

static int topic_text(struct acl_build *b, struct sl_slice text, struct conf_at at, struct acl_topic *t) {
	if (slice_starts_with(text, SL_SLICE_LIT("eq "))) {
		t->kind = ACL_TOPIC_EXACT;
		text = slice_from(text, 3);
	}
	struct sl_err err = SL_ERR_INIT;
	int rc = acl_text_parse(text, ACL_NAMES_OURS, &b->rules->arena, &t->text, &err);
	acl_topic_begins(t);
	if (rc == SL_OK && slice_starts_with(text, SL_SLICE_LIT("$share/")))
		rc = sl_err_set(&err, SL_EINVAL,
				"a shared subscription is judged by the filter behind its group: write that, and "
				"`group: NAME` beside it if the rule is for one group only");
	if (rc == SL_OK && !shape_valid(t))
		rc = sl_err_set(&err, SL_EINVAL,
				"'%.80s' is no topic filter: + and # stand alone in their level, # in the last one",
				text.n ? text.p : "");
	if (rc != SL_OK) conf_report_add(b->report, at, CONF_AT_VALUE, rc, "%s", sl_err_text(&err));
	sl_err_fini(&err);
	return rc;
}

struct topic_list {
	struct acl_topic *v;
	size_t len;
};

static int topic_item(struct acl_build *b, const json_t *item, struct conf_at at, void *arg) {
	struct topic_list *list = arg;
	struct acl_topic *t = &list->v[list->len++];
	const json_t *exact = json_object_get(item, "eq");
	if (json_is_string(exact) && json_object_size(item) == 1) {
		t->kind = ACL_TOPIC_EXACT;
		item = exact;
	}
	if (!json_is_string(item))
		return conf_report_add(b->report, at, CONF_AT_VALUE, SL_ETYPE,
				       "must be a topic filter, or {eq: FILTER} for the subscription with exactly that "
				       "text, or a list of these");
	return topic_text(b, slice_make(json_string_value(item), json_string_length(item)), at, t);
}

static int parse_topics(struct acl_build *b, struct acl_rule *r, const json_t *value, struct conf_at at) {
	size_t n = json_is_array(value) ? json_array_size(value) : 1;
	if (r->topics || n == 0)
		return conf_report_add(b->report, at, CONF_AT_KEY, SL_EINVAL, "%s",
				       r->topics ? "topic and topics are the same; write one of them"
						 : "the list is empty: name topics, or remove the rule");
	struct topic_list list = {.v = SL_ARENA_ARRAY(&b->rules->arena, struct acl_topic, n)};
	int rc = acl_each(b, value, at, topic_item, &list);
	r->topics = list.v;
	r->topics_len = list.len;
	return rc;
}

/* ---- keys ---- */

struct rule_parse {
	struct acl_build *b;
	struct acl_rule *r;
	struct acl_who_list who;
	const json_t *tree;
	bool effect;
};

static int parse_effect(struct rule_parse *p, const char *key, const json_t *value, struct conf_at at) {
	if (p->effect)
		return conf_report_add(p->b->report, at, CONF_AT_KEY, SL_EINVAL,
				       "a rule either allows or denies; make it two rules");
	p->effect = true;
	p->r->allow = strcmp(key, "allow") == 0;
	return acl_each(p->b, value, at, action_item, p->r);
}

static int parse_permission(struct rule_parse *p, const json_t *value, struct conf_at at) {
	const char *word = json_string_value(value);
	if (!word || (strcmp(word, "allow") != 0 && strcmp(word, "deny") != 0))
		return conf_report_add(p->b->report, at, CONF_AT_VALUE, SL_EINVAL, "must be allow or deny");
	const json_t *action = json_object_get(p->tree, "action");
	if (!action)
		return conf_report_add(p->b->report, at, CONF_AT_KEY, SL_EINVAL,
				       "`action` is missing beside it: publish, subscribe or all");
	return parse_effect(p, word, action, at);
}

static int parse_key(struct rule_parse *p, const char *key, const json_t *value, struct conf_at at) {
	static const char *const known[] = {"allow",     "deny",    "permission", "action", "user",   "clientid",
					    "ip",        "cert_cn", "attr",       "any",    "all",    "not",
					    "anonymous", "topics",  "topic",      "qos",    "retain", "group"};
	struct acl_build *b = p->b;
	if (strcmp(key, "allow") == 0 || strcmp(key, "deny") == 0) return parse_effect(p, key, value, at);
	if (strcmp(key, "permission") == 0) return parse_permission(p, value, at);
	if (strcmp(key, "action") == 0) return SL_OK; /* with `permission` */
	if (strcmp(key, "topic") == 0 || strcmp(key, "topics") == 0) return parse_topics(b, p->r, value, at);
	if (strcmp(key, "qos") == 0) return parse_qos(b, p->r, value, at);
	if (strcmp(key, "retain") == 0) return parse_retain(b, p->r, value, at);
	if (strcmp(key, "group") == 0) return acl_patterns_parse(b, value, at, &p->r->groups, &p->r->groups_len);
	if (acl_who_key(key) && !b->own) return acl_who_parse(b, key, value, at, 0, &p->who);
	if (acl_who_key(key))
		return conf_report_add(b->report, at, CONF_AT_KEY, SL_EINVAL,
				       "conditions on the client are for the broker's own rules: these are for the "
				       "client that they come with");
	const char *near = slice_nearest(slice_from_str(key), known, SL_ARRAY_LEN(known));
	return near ? conf_report_add(b->report, at, CONF_AT_KEY, SL_EINVAL, "unknown; did you mean '%s'?", near)
		    : conf_report_add(
			  b->report, at, CONF_AT_KEY, SL_EINVAL,
			  "unknown; a rule has allow or deny, topics, qos, retain, group, and who it is for: "
			  "user, clientid, ip, cert_cn, attr, anonymous, any, all, not");
}

static int check_whole(const struct rule_parse *p, struct conf_at at) {
	struct acl_rule *r = p->r;
	if (!p->effect)
		return conf_report_add(p->b->report, at, CONF_AT_VALUE, SL_EINVAL,
				       "neither allow nor deny; for example {allow: publish, topics: \"a/#\"}");
	if (!r->topics && (r->actions & ~ACL_BIT_CONNECT) != 0)
		return conf_report_add(p->b->report, at, CONF_AT_VALUE, SL_EINVAL,
				       "`topics` is missing; [\"#\", \"$SYS/#\"] is every topic");
	if (r->topics && r->actions == ACL_BIT_CONNECT)
		return conf_report_add(p->b->report, at, CONF_AT_VALUE, SL_EINVAL,
				       "a rule about connect has no topics; remove them");
	return SL_OK;
}

/* Whom it allows to subscribe may be sent it; whom it allows to publish may do so with the flag, if it says nothing of it. */
static void add_implied(struct acl_rule *r) {
	r->receive_said = (r->actions & ACL_BIT_RECEIVE) != 0;
	if (r->allow && (r->actions & ACL_BIT_SUBSCRIBE)) r->actions |= ACL_BIT_RECEIVE;
	if ((r->actions & ACL_BIT_PUBLISH) && r->retain != ACL_RETAIN_NOT) r->actions |= ACL_BIT_RETAIN;
}

struct acl_rule *acl_build_rule(struct acl_build *b, struct conf_at at, const json_t *tree) {
	struct acl_rule *r = SL_ARENA_NEW(&b->rules->arena, struct acl_rule);
	uint32_t column;
	r->qos = 7;
	r->file = b->file;
	r->number = (uint32_t)++b->seen;
	if (at.doc) yaml_key_position(at.doc, at.path, &r->line, &column);
	char *text = json_dumps(tree, JSON_COMPACT | JSON_ENCODE_ANY);
	if (text) r->text = sl_arena_strdup(&b->rules->arena, slice_from_str(text));
	free(text);
	return r;
}

static void parse_rule(struct acl_build *b, const json_t *tree, struct conf_at at) {
	if (!json_is_object(tree)) {
		conf_report_add(b->report, at, CONF_AT_VALUE, SL_ETYPE,
				"must be a map, for example {allow: publish, user: alice, topics: \"a/#\"}");
		return;
	}
	struct rule_parse p = {.b = b, .r = acl_build_rule(b, at, tree), .tree = tree};
	const char *key;
	json_t *value;
	int first = SL_OK;
	json_object_foreach((json_t *)tree, key, value) {
		char *path = yaml_path_key(at.path, key);
		int rc = parse_key(&p, key, value, (struct conf_at){at.doc, path});
		if (first == SL_OK) first = rc;
		sl_free(path);
	}
	p.r->who = acl_who_all(b, &p.who);
	if (first == SL_OK) check_whole(&p, at);
	add_implied(p.r);
	acl_build_add(b, p.r);
}

/* ---- lists ---- */

/* {"pub": [...], "sub": [...], "all": [...]} */
static bool parse_short(struct acl_build *b, const json_t *tree, struct conf_at at) {
	static const char *const words[] = {"pub", "sub", "all", "publish", "subscribe"};
	const char *key;
	json_t *topics;
	bool any = false;
	if (!json_is_object(tree) || !b->own) return false;
	json_object_foreach((json_t *)tree, key, topics) {
		bool known = false;
		for (size_t i = 0; i < SL_ARRAY_LEN(words); i++) known = known || strcmp(key, words[i]) == 0;
		if (!known) return false;
		any = true;
	}
	json_object_foreach((json_t *)tree, key, topics) {
		if (json_is_null(topics) || (json_is_array(topics) && json_array_size(topics) == 0)) continue;
		json_t *rule = json_pack("{s:s, s:O}", "allow", key, "topics", topics);
		char *path = yaml_path_key(at.path, key);
		if (rule) parse_rule(b, rule, (struct conf_at){at.doc, path});
		json_decref(rule);
		sl_free(path);
	}
	return any;
}

void acl_parse_list(struct acl_build *b, const json_t *list, struct conf_at at) {
	if (json_object_get(list, "Statement")) {
		acl_parse_policy(b, list, at, NULL);
		return;
	}
	if (parse_short(b, list, at)) return;
	if (!json_is_array(list)) {
		conf_report_add(b->report, at, CONF_AT_VALUE, SL_ETYPE, "must be a list of rules");
		return;
	}
	for (size_t i = 0; i < json_array_size(list); i++) {
		char *path = yaml_path_index(at.path, i);
		struct conf_at there = {at.doc, path};
		if (b->seen >= b->rules_max)
			conf_report_add(b->report, there, CONF_AT_VALUE, SL_ELIMIT, "more than %zu rules",
					b->rules_max);
		else
			parse_rule(b, json_array_get(list, i), there);
		sl_free(path);
		if (b->seen >= b->rules_max && b->report->len) return;
	}
}

/* ---- the file ---- */

static void parse_default(struct acl_build *b, const json_t *value, struct conf_at at) {
	const char *word = json_string_value(value);
	b->said_default = true;
	b->default_allow = word && strcmp(word, "allow") == 0;
	if (!word || (strcmp(word, "allow") != 0 && strcmp(word, "deny") != 0))
		conf_report_add(b->report, at, CONF_AT_VALUE, SL_EINVAL, "must be allow or deny");
}

void acl_parse_file(struct acl_build *b, const struct yaml_doc *doc) {
	static const char *const known[] = {"default", "rules", "policies"};
	const char *key;
	json_t *value;
	b->file = sl_arena_strdup(&b->rules->arena, slice_from_str(yaml_doc_file(doc)));
	json_t *root = yaml_doc_root(doc);
	/* A list alone is the rules. */
	if (json_is_array(root)) {
		acl_parse_list(b, root, (struct conf_at){doc, ""});
		return;
	}
	if (json_object_get(root, "Statement")) {
		acl_parse_policy(b, root, (struct conf_at){doc, ""}, NULL);
		return;
	}
	json_object_foreach(root, key, value) {
		char *path = yaml_path_key("", key);
		struct conf_at at = {doc, path};
		const char *near = slice_nearest(slice_from_str(key), known, SL_ARRAY_LEN(known));
		if (strcmp(key, "default") == 0)
			parse_default(b, value, at);
		else if (strcmp(key, "rules") == 0 && !json_is_null(value))
			acl_parse_list(b, value, at);
		else if (strcmp(key, "policies") == 0 && !json_is_null(value))
			acl_parse_policies(b, value, at);
		else if (strcmp(key, "rules") != 0 && strcmp(key, "policies") != 0)
			conf_report_add(b->report, at, CONF_AT_KEY, SL_EINVAL,
					"unknown; an ACL file has default, rules and policies%s%s%s",
					near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
		sl_free(path);
	}
}
