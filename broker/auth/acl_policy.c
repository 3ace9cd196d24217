/* acl_policy.c: policies as AWS IoT Core has them, made into rules.
 *
 * A statement becomes one rule for each kind of action that it names: resources of another kind than the action's mean
 * nothing to it, there as here. Conditions become conditions on the client. What has no meaning here is refused by its
 * name, but for actions on shadows, jobs and the like, which ask for nothing that this broker has: granting or denying
 * them changes nothing. */
#include <string.h>

#include "acl_int.h"
#include "mem.h"

struct statement {
	struct acl_build *b;
	struct acl_who *who; /* attachment and conditions */
	bool allow;
	uint8_t actions;
	const json_t *tree;
	struct conf_at at;
};

/* ---- actions ---- */

static const struct policy_action {
	const char *name;
	uint8_t bit; /* 0: of something that is not here */
} policy_actions[] = {
    {"iot:Connect", ACL_BIT_CONNECT},      {"iot:Publish", ACL_BIT_PUBLISH},
    {"iot:Subscribe", ACL_BIT_SUBSCRIBE},  {"iot:Receive", ACL_BIT_RECEIVE},
    {"iot:RetainPublish", ACL_BIT_RETAIN}, {"iot:GetRetainedMessage", 0},
    {"iot:ListRetainedMessages", 0},       {"iot:GetThingShadow", 0},
    {"iot:UpdateThingShadow", 0},          {"iot:DeleteThingShadow", 0},
    {"iot:ListNamedShadowsForThing", 0},   {"iot:DescribeJobExecution", 0},
    {"iot:GetPendingJobExecutions", 0},    {"iot:StartNextPendingJobExecution", 0},
    {"iot:UpdateJobExecution", 0},         {"iot:AssumeRoleWithCertificate", 0},
};

/* Actions are without case, and have wildcards. */
static bool action_is(const char *pattern, const char *name) {
	struct sl_buf a = SL_BUF_INIT, b = SL_BUF_INIT;
	for (const char *p = pattern; *p; p++) sl_buf_put(&a, (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p));
	for (const char *p = name; *p; p++) sl_buf_put(&b, (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p));
	bool yes = acl_glob(sl_buf_slice(&a), sl_buf_slice(&b));
	sl_buf_fini(&a);
	sl_buf_fini(&b);
	return yes;
}

static int action_item(struct acl_build *b, const json_t *item, struct conf_at at, void *arg) {
	struct statement *s = arg;
	const char *word = json_string_value(item);
	bool known = false;
	for (size_t i = 0; word && i < SL_ARRAY_LEN(policy_actions); i++) {
		if (!action_is(word, policy_actions[i].name)) continue;
		known = true;
		s->actions |= policy_actions[i].bit;
	}
	if (known) return SL_OK;
	return conf_report_add(
	    b->report, at, CONF_AT_VALUE, SL_EUNSUPPORTED,
	    "no action of MQTT devices; there are iot:Connect, iot:Publish, iot:Subscribe, iot:Receive, "
	    "iot:RetainPublish and iot:*");
}

/* ---- resources ---- */

enum resource_kind { RESOURCE_CLIENT = 1, RESOURCE_TOPIC = 2, RESOURCE_FILTER = 4, RESOURCE_OTHER = 8 };

static enum resource_kind kind_for(uint8_t action) {
	if (action == ACL_BIT_CONNECT) return RESOURCE_CLIENT;
	return action == ACL_BIT_SUBSCRIBE ? RESOURCE_FILTER : RESOURCE_TOPIC;
}

static const struct resource_type {
	const char *prefix;
	enum resource_kind kind;
} resource_types[] = {
    {"client/", RESOURCE_CLIENT}, {"topicfilter/", RESOURCE_FILTER}, {"topic/", RESOURCE_TOPIC},
    {"thing/", RESOURCE_OTHER},   {"thinggroup/", RESOURCE_OTHER},   {"thingtype/", RESOURCE_OTHER},
    {"job/", RESOURCE_OTHER},     {"cert/", RESOURCE_OTHER},         {"rolealias/", RESOURCE_OTHER},
};

/* "arn:aws:iot:REGION:ACCOUNT:topic/a/b" gives "a/b" and its kind; "*" and "arn:aws:iot:*" are all kinds. False: it is none. */
static bool resource_split(struct sl_slice text, struct sl_slice *name, unsigned *kinds) {
	*name = SL_SLICE_LIT("*");
	*kinds = RESOURCE_CLIENT | RESOURCE_TOPIC | RESOURCE_FILTER;
	if (slice_equal_str(text, "*")) return true;
	struct sl_slice rest = text;
	struct sl_slice part[5];
	for (size_t i = 0; i < SL_ARRAY_LEN(part); i++) {
		if (!rest.p) return false;
		part[i] = slice_next_part(&rest, ':');
		/* The star takes the colons that follow, too. */
		if (i == 0   ? !slice_equal_str(part[0], "arn")
		    : i == 1 ? !slice_starts_with(part[1], SL_SLICE_LIT("aws")) && !slice_equal_str(part[1], "*")
			     : i == 2 && !slice_equal_str(part[2], "iot") && !slice_equal_str(part[2], "*"))
			return false;
		if (!rest.p && i >= 2 && slice_equal_str(part[i], "*")) return true;
	}
	if (slice_equal_str(rest, "*")) return true;
	for (size_t i = 0; i < SL_ARRAY_LEN(resource_types); i++) {
		struct sl_slice prefix = slice_from_str(resource_types[i].prefix);
		if (!slice_starts_with(rest, prefix)) continue;
		*name = slice_from(rest, prefix.n);
		*kinds = resource_types[i].kind;
		return true;
	}
	return false;
}

struct resource_list {
	struct acl_topic *v;
	size_t len;
	enum resource_kind kind;
};

static int resource_item(struct acl_build *b, const json_t *item, struct conf_at at, void *arg) {
	struct resource_list *list = arg;
	struct sl_slice name;
	unsigned kinds;
	if (!json_is_string(item) ||
	    !resource_split(slice_make(json_string_value(item), json_string_length(item)), &name, &kinds))
		return conf_report_add(b->report, at, CONF_AT_VALUE, SL_EINVAL,
				       "no resource of a device; write arn:aws:iot:*:*:client/ID, .../topic/NAME, "
				       ".../topicfilter/FILTER, or \"*\"");
	struct sl_err err = SL_ERR_INIT;
	struct acl_topic *t = &list->v[list->len];
	t->kind = ACL_TOPIC_GLOB;
	int rc = acl_text_parse(name, ACL_NAMES_POLICY_GLOB, &b->rules->arena, &t->text, &err);
	acl_topic_begins(t);
	if (rc == SL_OK && (kinds & (unsigned)list->kind)) list->len++;
	if (rc != SL_OK) conf_report_add(b->report, at, CONF_AT_VALUE, rc, "%s", sl_err_text(&err));
	sl_err_fini(&err);
	return rc;
}

static void add_rule(const struct statement *s, uint8_t action, const json_t *resources, struct conf_at at) {
	struct acl_build *b = s->b;
	size_t n = json_is_array(resources) ? json_array_size(resources) : 1;
	struct resource_list list = {.v = SL_ARENA_ARRAY(&b->rules->arena, struct acl_topic, n + 1),
				     .kind = kind_for(action)};
	if (acl_each(b, resources, at, resource_item, &list) != SL_OK || list.len == 0) return;
	struct acl_rule *r = acl_build_rule(b, s->at, s->tree);
	r->policy = true;
	r->allow = s->allow;
	r->actions = action;
	r->who = s->who;
	r->topics = list.v;
	r->topics_len = list.len;
	acl_build_add(b, r);
}

/* ---- conditions ---- */

static const struct policy_operator {
	const char *name;
	enum acl_pattern_kind kind;
	bool negated, ip, truth;
} operators[] = {
    {"StringEquals", ACL_PATTERN_EXACT, false, false, false},
    {"StringNotEquals", ACL_PATTERN_EXACT, true, false, false},
    {"StringEqualsIgnoreCase", ACL_PATTERN_NOCASE, false, false, false},
    {"StringNotEqualsIgnoreCase", ACL_PATTERN_NOCASE, true, false, false},
    {"StringLike", ACL_PATTERN_GLOB, false, false, false},
    {"StringNotLike", ACL_PATTERN_GLOB, true, false, false},
    {"IpAddress", ACL_PATTERN_EXACT, false, true, false},
    {"NotIpAddress", ACL_PATTERN_EXACT, true, true, false},
    {"Bool", ACL_PATTERN_NOCASE, false, false, true},
};

static const struct condition_key {
	const char *name;
	enum acl_var var;
} condition_keys[] = {
    {"iot:ClientId", ACL_VAR_CLIENTID},
    {"iot:Connection.Thing.ThingName", ACL_VAR_THING},
    {"iot:Connection.Thing.IsAttached", ACL_VAR_HAS_CERT},
    {"iot:Certificate.Subject.CommonName", ACL_VAR_CERT_CN},
    {"aws:SourceIp", ACL_VAR_IP},
};

struct value_list {
	const struct policy_operator *op;
	struct acl_pattern *v;
	struct sl_cidr *nets;
	size_t len;
};

static int value_item(struct acl_build *b, const json_t *item, struct conf_at at, void *arg) {
	struct value_list *list = arg;
	struct sl_err err = SL_ERR_INIT;
	struct sl_slice text = slice_make(json_string_value(item), json_string_length(item));
	int rc = SL_OK;
	if (list->op->truth && json_is_boolean(item))
		text = json_is_true(item) ? SL_SLICE_LIT("true") : SL_SLICE_LIT("false");
	else if (!json_is_string(item))
		rc = sl_err_set(&err, SL_ETYPE, "must be text, or a list of texts");
	if (rc == SL_OK && list->op->ip) rc = sl_cidr_parse(text, &list->nets[list->len], &err);
	if (rc == SL_OK && !list->op->ip) {
		bool glob = list->op->kind == ACL_PATTERN_GLOB;
		struct acl_pattern *p = &list->v[list->len];
		p->kind = list->op->kind;
		rc = acl_text_parse(text, glob ? ACL_NAMES_POLICY_GLOB : ACL_NAMES_POLICY, &b->rules->arena, &p->text,
				    &err);
		if (rc == SL_OK && glob && p->text.parts_len)
			rc = sl_err_set(&err, SL_EUNSUPPORTED,
					"a variable in StringLike could bring wildcards with it; use StringEquals");
	}
	if (rc == SL_OK)
		list->len++;
	else
		conf_report_add(b->report, at, CONF_AT_VALUE, rc, "%s", sl_err_text(&err));
	sl_err_fini(&err);
	return rc;
}

static bool condition_key_find(const char *key, enum acl_var *var, struct sl_slice *attr) {
	static const struct sl_slice attributes = {"iot:Connection.Thing.Attributes[", 32};
	struct sl_slice k = slice_from_str(key);
	*attr = SL_SLICE_EMPTY;
	for (size_t i = 0; i < SL_ARRAY_LEN(condition_keys); i++) {
		if (!slice_equal_nocase(k, slice_from_str(condition_keys[i].name))) continue;
		*var = condition_keys[i].var;
		return true;
	}
	if (!slice_starts_with(k, attributes) || k.n < attributes.n + 2 || k.p[k.n - 1] != ']') return false;
	*var = ACL_VAR_ATTR;
	*attr = slice_sub(k, attributes.n, k.n - attributes.n - 1);
	return true;
}

static void add_condition(struct acl_build *b, const struct policy_operator *op, const char *key, const json_t *values,
			  struct conf_at at, struct acl_who_list *all) {
	struct sl_arena *arena = &b->rules->arena;
	size_t n = json_is_array(values) ? json_array_size(values) : 1;
	struct value_list list = {.op = op,
				  .v = SL_ARENA_ARRAY(arena, struct acl_pattern, n + 1),
				  .nets = SL_ARENA_ARRAY(arena, struct sl_cidr, n + 1)};
	enum acl_var var;
	struct sl_slice attr;
	if (!condition_key_find(key, &var, &attr) || (var == ACL_VAR_IP) != op->ip ||
	    (var == ACL_VAR_HAS_CERT) != op->truth) {
		conf_report_add(b->report, at, CONF_AT_KEY, SL_EUNSUPPORTED,
				"%s has no meaning here with this key; keys are iot:ClientId, "
				"iot:Connection.Thing.ThingName, iot:Connection.Thing.Attributes[NAME], "
				"iot:Certificate.Subject.CommonName, aws:SourceIp (IpAddress) and "
				"iot:Connection.Thing.IsAttached (Bool)",
				op->name);
		return;
	}
	if (acl_each(b, values, at, value_item, &list) != SL_OK) return;
	struct acl_who *who = SL_ARENA_NEW(arena, struct acl_who);
	*who = (struct acl_who){.kind = op->ip ? ACL_WHO_IP : ACL_WHO_VALUE,
				.var = var,
				.attr = sl_arena_dup(arena, attr),
				.patterns = list.v,
				.nets = list.nets,
				.len = list.len};
	if (op->negated) {
		struct acl_who *not = SL_ARENA_NEW(arena, struct acl_who);
		*not = (struct acl_who){
		    .kind = ACL_WHO_NOT, .parts = SL_ARENA_ARRAY(arena, struct acl_who *, 1), .len = 1};
		not ->parts[0] = who;
		who = not ;
	}
	SL_GROW(all->v, all->len, all->cap);
	all->v[all->len++] = who;
}

static void parse_operator(struct acl_build *b, const char *name, const json_t *keys, struct conf_at at,
			   struct acl_who_list *all) {
	const struct policy_operator *op = NULL;
	for (size_t i = 0; i < SL_ARRAY_LEN(operators); i++)
		if (strcmp(name, operators[i].name) == 0) op = &operators[i];
	if (!op || !json_is_object(keys)) {
		conf_report_add(
		    b->report, at, CONF_AT_KEY, SL_EUNSUPPORTED,
		    "the condition %s is not known here; there are StringEquals, StringLike, "
		    "StringEqualsIgnoreCase, their Not forms, IpAddress, NotIpAddress and Bool, each a map of keys",
		    name);
		return;
	}
	const char *key;
	json_t *values;
	json_object_foreach((json_t *)keys, key, values) {
		char *path = yaml_path_key(at.path, key);
		add_condition(b, op, key, values, (struct conf_at){at.doc, path}, all);
		sl_free(path);
	}
}

/* ---- statements ---- */

static void parse_conditions(struct statement *s, struct acl_who *attached) {
	struct acl_who_list all = {0};
	char *path = yaml_path_key(s->at.path, "Condition");
	const json_t *condition = json_object_get(s->tree, "Condition");
	const char *name;
	json_t *keys;
	if (attached) {
		SL_GROW(all.v, all.len, all.cap);
		all.v[all.len++] = attached;
	}
	if (condition && !json_is_object(condition))
		conf_report_add(
		    s->b->report, (struct conf_at){s->at.doc, path}, CONF_AT_VALUE, SL_ETYPE,
		    "must be a map of operators, for example {\"IpAddress\": {\"aws:SourceIp\": \"10.0.0.0/8\"}}");
	json_object_foreach((json_t *)condition, name, keys) {
		char *inner = yaml_path_key(path, name);
		parse_operator(s->b, name, keys, (struct conf_at){s->at.doc, inner}, &all);
		sl_free(inner);
	}
	s->who = acl_who_all(s->b, &all);
	sl_free(path);
}

static bool keys_known(const struct statement *s) {
	static const char *const known[] = {"Sid", "Effect", "Action", "Resource", "Condition"};
	const char *key;
	json_t *value;
	bool good = true;
	json_object_foreach((json_t *)s->tree, key, value) {
		bool found = false;
		for (size_t i = 0; i < SL_ARRAY_LEN(known); i++) found = found || strcmp(key, known[i]) == 0;
		if (found) continue;
		char *path = yaml_path_key(s->at.path, key);
		conf_report_add(s->b->report, (struct conf_at){s->at.doc, path}, CONF_AT_KEY, SL_EUNSUPPORTED,
				"%s is not known in a device's policy; a statement has Effect, Action, Resource and "
				"Condition",
				key);
		sl_free(path);
		good = false;
	}
	return good;
}

static void parse_statement(struct acl_build *b, const json_t *tree, struct conf_at at, struct acl_who *attached) {
	struct statement s = {.b = b, .tree = tree, .at = at};
	const char *effect = json_string_value(json_object_get(tree, "Effect"));
	const json_t *actions = json_object_get(tree, "Action"), *resources = json_object_get(tree, "Resource");
	if (!json_is_object(tree)) {
		conf_report_add(b->report, at, CONF_AT_VALUE, SL_ETYPE, "a statement must be a map");
		return;
	}
	if (!keys_known(&s)) return;
	if (!effect || !actions || !resources || (strcmp(effect, "Allow") != 0 && strcmp(effect, "Deny") != 0)) {
		conf_report_add(b->report, at, CONF_AT_VALUE, SL_EINVAL,
				"a statement needs Effect (Allow or Deny), Action and Resource");
		return;
	}
	s.allow = strcmp(effect, "Allow") == 0;
	char *path = yaml_path_key(at.path, "Action");
	acl_each(b, actions, (struct conf_at){at.doc, path}, action_item, &s);
	sl_free(path);
	parse_conditions(&s, attached);
	path = yaml_path_key(at.path, "Resource");
	for (uint8_t bit = ACL_BIT_PUBLISH; bit <= ACL_BIT_RETAIN; bit = (uint8_t)(bit << 1))
		if (s.actions & bit) add_rule(&s, bit, resources, (struct conf_at){at.doc, path});
	sl_free(path);
}

static void attach(struct acl_build *b, struct acl_who *who) {
	b->rules->policy = true;
	SL_GROW(b->attached, b->attached_len, b->attached_cap);
	b->attached[b->attached_len++] = who;
}

static bool version_known(const json_t *policy) {
	const char *version = json_string_value(json_object_get(policy, "Version"));
	return version && (strcmp(version, "2012-10-17") == 0 || strcmp(version, "2008-10-17") == 0);
}

void acl_parse_policy(struct acl_build *b, const json_t *policy, struct conf_at at, struct acl_who *attached) {
	const json_t *statements = json_object_get(policy, "Statement");
	if (!statements || !version_known(policy)) {
		conf_report_add(b->report, at, CONF_AT_VALUE, SL_EINVAL,
				"a policy needs Version \"2012-10-17\" and Statement");
		return;
	}
	attach(b, attached);
	char *path = yaml_path_key(at.path, "Statement");
	if (json_is_object(statements)) parse_statement(b, statements, (struct conf_at){at.doc, path}, attached);
	for (size_t i = 0; i < json_array_size(statements); i++) {
		char *inner = yaml_path_index(path, i);
		if (b->seen < b->rules_max)
			parse_statement(b, json_array_get(statements, i), (struct conf_at){at.doc, inner}, attached);
		else
			conf_report_add(b->report, (struct conf_at){at.doc, inner}, CONF_AT_VALUE, SL_ELIMIT,
					"more than %zu rules", b->rules_max);
		sl_free(inner);
		if (b->seen >= b->rules_max) break;
	}
	sl_free(path);
}

/* ---- who has which ---- */

void acl_parse_policy_file(struct acl_build *b, const char *file, struct conf_at named, struct acl_who *attached) {
	struct sl_err err = SL_ERR_INIT;
	struct yaml_doc *doc;
	const char *outer = b->file;
	if (yaml_doc_load_file(file, &doc, &err) != SL_OK) {
		if (err.line || !named.doc)
			conf_report_take(b->report, &err);
		else
			conf_report_add(b->report, named, CONF_AT_VALUE, err.status, "%s: %s", file, sl_err_text(&err));
		sl_err_fini(&err);
		return;
	}
	b->file = sl_arena_strdup(&b->rules->arena, slice_from_str(file));
	acl_parse_policy(b, yaml_doc_root(doc), (struct conf_at){doc, ""}, attached);
	b->file = outer;
	yaml_doc_free(doc);
}

static int policies_item(struct acl_build *b, const json_t *item, struct conf_at at, void *arg) {
	(void)arg;
	const json_t *policy = json_object_get(item, "policy");
	json_t *value;
	const char *file = json_is_string(item) ? json_string_value(item)
						: json_string_value(json_object_get(item, "file")),
		   *key;
	struct acl_who_list all = {0};
	json_object_foreach((json_t *)item, key, value) {
		char *path = yaml_path_key(at.path, key);
		struct conf_at there = {at.doc, path};
		if (acl_who_key(key))
			acl_who_parse(b, key, value, there, 0, &all);
		else if (strcmp(key, "file") != 0 && strcmp(key, "policy") != 0)
			conf_report_add(
			    b->report, there, CONF_AT_KEY, SL_EINVAL,
			    "unknown; a policy here has `file` or `policy`, and who has it: user, clientid, ...");
		sl_free(path);
	}
	struct acl_who *who = acl_who_all(b, &all);
	char *path = yaml_path_key(at.path, file ? "file" : "policy");
	if (!file == !policy)
		conf_report_add(
		    b->report, at, CONF_AT_VALUE, SL_EINVAL,
		    "must be the name of a file, or {file: NAME, user: ...}, or {policy: {...}, user: ...}");
	else if (file)
		acl_parse_policy_file(b, file, json_is_string(item) ? at : (struct conf_at){at.doc, path}, who);
	else
		acl_parse_policy(b, policy, (struct conf_at){at.doc, path}, who);
	sl_free(path);
	return SL_OK;
}

void acl_parse_policies(struct acl_build *b, const json_t *list, struct conf_at at) {
	acl_each(b, list, at, policies_item, NULL);
}
