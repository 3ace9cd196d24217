/* acl_who_parse.c: conditions on the client: user, clientid, ip, cert_cn, attr, anonymous, any, all, not. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>

#include "acl_int.h"
#include "mem.h"

int acl_each(struct acl_build *b, const json_t *value, struct conf_at at, acl_each_fn each, void *arg) {
	if (!json_is_array(value)) return each(b, value, at, arg);
	int first = SL_OK;
	for (size_t i = 0; i < json_array_size(value); i++) {
		char *path = yaml_path_index(at.path, i);
		int rc = each(b, json_array_get(value, i), (struct conf_at){at.doc, path}, arg);
		if (first == SL_OK) first = rc;
		sl_free(path);
	}
	return first;
}

/* ---- patterns ---- */

static int regex_parse(struct acl_build *b, struct sl_slice text, struct conf_at at, struct acl_pattern *out) {
	int error;
	PCRE2_SIZE where;
	if (b->own)
		return conf_report_add(b->report, at, CONF_AT_VALUE, SL_EDENIED,
				       "regular expressions are for the broker's own rules");
	pcre2_code *code = pcre2_compile((PCRE2_SPTR)(text.n ? text.p : ""), text.n,
					 PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C, &error, &where, NULL);
	if (!code) {
		PCRE2_UCHAR why[128] = "";
		pcre2_get_error_message(error, why, sizeof why);
		return conf_report_add(b->report, at, CONF_AT_VALUE, SL_ESYNTAX,
				       "the regular expression is wrong at its character %zu: %s", (size_t)where + 1,
				       (const char *)why);
	}
	SL_GROW(b->rules->regexes, b->rules->regexes_len, b->rules->regexes_cap);
	b->rules->regexes[b->rules->regexes_len++] = code;
	*out = (struct acl_pattern){.kind = ACL_PATTERN_REGEX, .regex = code};
	return SL_OK;
}

int acl_pattern_parse(struct acl_build *b, struct sl_slice text, struct conf_at at, struct acl_pattern *out) {
	if (slice_starts_with(text, SL_SLICE_LIT("re:"))) return regex_parse(b, slice_from(text, 3), at, out);
	bool plain = slice_starts_with(text, SL_SLICE_LIT("eq:"));
	if (plain) text = slice_from(text, 3);
	*out = (struct acl_pattern){.kind = ACL_PATTERN_EXACT};
	if (plain) {
		out->text.literal = sl_arena_dup(&b->rules->arena, text);
		return SL_OK;
	}
	struct sl_err err = SL_ERR_INIT;
	bool glob = slice_find_byte(text, '*') >= 0 || slice_find_byte(text, '?') >= 0;
	int rc = acl_text_parse(text, ACL_NAMES_OURS, &b->rules->arena, &out->text, &err);
	if (rc == SL_OK && glob && out->text.parts_len)
		rc = sl_err_set(&err, SL_EINVAL,
				"a name has either placeholders or * and ?: what a client calls itself could be a "
				"pattern; use two conditions, or a regular expression (re:...)");
	if (glob) out->kind = ACL_PATTERN_GLOB;
	if (rc != SL_OK) conf_report_add(b->report, at, CONF_AT_VALUE, rc, "%s", sl_err_text(&err));
	sl_err_fini(&err);
	return rc;
}

struct pattern_list {
	struct acl_pattern *v;
	size_t len;
};

static int pattern_item(struct acl_build *b, const json_t *item, struct conf_at at, void *arg) {
	struct pattern_list *list = arg;
	if (!json_is_string(item) || json_string_length(item) == 0)
		return conf_report_add(b->report, at, CONF_AT_VALUE, SL_ETYPE,
				       "must be text, or a list of texts; quote numbers: \"42\"");
	return acl_pattern_parse(b, slice_make(json_string_value(item), json_string_length(item)), at,
				 &list->v[list->len++]);
}

int acl_patterns_parse(struct acl_build *b, const json_t *value, struct conf_at at, const struct acl_pattern **out,
		       size_t *len) {
	size_t n = json_is_array(value) ? json_array_size(value) : 1;
	if (n == 0)
		return conf_report_add(b->report, at, CONF_AT_VALUE, SL_EINVAL,
				       "the list is empty: the rule would be for nobody; remove it, or name somebody");
	struct pattern_list list = {.v = SL_ARENA_ARRAY(&b->rules->arena, struct acl_pattern, n)};
	int rc = acl_each(b, value, at, pattern_item, &list);
	*out = list.v;
	*len = list.len;
	return rc;
}

/* ---- conditions ---- */

static void who_add(struct acl_who_list *all, struct acl_who *who) {
	SL_GROW(all->v, all->len, all->cap);
	all->v[all->len++] = who;
}

static struct acl_who *who_new(struct acl_build *b, enum acl_who_kind kind) {
	struct acl_who *who = SL_ARENA_NEW(&b->rules->arena, struct acl_who);
	who->kind = kind;
	return who;
}

static int parse_value(struct acl_build *b, enum acl_var var, const char *attr, const json_t *value, struct conf_at at,
		       struct acl_who_list *all) {
	struct acl_who *who = who_new(b, ACL_WHO_VALUE);
	who->var = var;
	if (attr) who->attr = sl_arena_dup(&b->rules->arena, slice_from_str(attr));
	who_add(all, who);
	return acl_patterns_parse(b, value, at, &who->patterns, &who->len);
}

static int parse_attrs(struct acl_build *b, const json_t *value, struct conf_at at, struct acl_who_list *all) {
	const char *name;
	json_t *patterns;
	int first = SL_OK;
	if (!json_is_object(value) || json_object_size(value) == 0)
		return conf_report_add(b->report, at, CONF_AT_VALUE, SL_ETYPE,
				       "must be a map of attributes, for example {role: operator}");
	json_object_foreach((json_t *)value, name, patterns) {
		char *path = yaml_path_key(at.path, name);
		int rc = parse_value(b, ACL_VAR_ATTR, name, patterns, (struct conf_at){at.doc, path}, all);
		if (first == SL_OK) first = rc;
		sl_free(path);
	}
	return first;
}

struct net_list {
	struct sl_cidr *v;
	size_t len;
};

static int net_item(struct acl_build *b, const json_t *item, struct conf_at at, void *arg) {
	struct net_list *list = arg;
	struct sl_err err = SL_ERR_INIT;
	struct sl_slice text = slice_make(json_string_value(item), json_string_length(item));
	int rc = json_is_string(item) ? sl_cidr_parse(text, &list->v[list->len], &err)
				      : sl_err_set(&err, SL_ETYPE, "must be an address or a network: 10.0.0.0/8");
	if (rc == SL_OK)
		list->len++;
	else
		conf_report_add(b->report, at, CONF_AT_VALUE, rc, "%s", sl_err_text(&err));
	sl_err_fini(&err);
	return rc;
}

static int parse_ip(struct acl_build *b, const json_t *value, struct conf_at at, struct acl_who_list *all) {
	struct acl_who *who = who_new(b, ACL_WHO_IP);
	size_t n = json_is_array(value) ? json_array_size(value) : 1;
	struct net_list list = {.v = SL_ARENA_ARRAY(&b->rules->arena, struct sl_cidr, n + 1)};
	int rc = acl_each(b, value, at, net_item, &list);
	if (n == 0)
		rc = conf_report_add(b->report, at, CONF_AT_VALUE, SL_EINVAL,
				     "the list is empty: the rule would be for nobody");
	who->nets = list.v;
	who->len = list.len;
	who_add(all, who);
	return rc;
}

static int parse_anonymous(struct acl_build *b, const json_t *value, struct conf_at at, struct acl_who_list *all) {
	if (!json_is_boolean(value))
		return conf_report_add(b->report, at, CONF_AT_VALUE, SL_ETYPE,
				       "must be true (no user name) or false (some user name)");
	struct acl_who *who = who_new(b, ACL_WHO_ANONYMOUS);
	who->yes = json_is_true(value);
	who_add(all, who);
	return SL_OK;
}

/* {user: ..., ip: ...}: a map of conditions that all must hold. */
static int parse_group(struct acl_build *b, const json_t *value, struct conf_at at, unsigned depth,
		       struct acl_who **out) {
	struct acl_who_list all = {0};
	const char *key;
	json_t *inner;
	int first = SL_OK;
	if (!json_is_object(value) || json_object_size(value) == 0)
		return conf_report_add(b->report, at, CONF_AT_VALUE, SL_ETYPE,
				       "must be a map of conditions, for example {user: alice}");
	json_object_foreach((json_t *)value, key, inner) {
		char *path = yaml_path_key(at.path, key);
		struct conf_at there = {at.doc, path};
		int rc = acl_who_key(key) ? acl_who_parse(b, key, inner, there, depth + 1, &all)
					  : conf_report_add(b->report, there, CONF_AT_KEY, SL_EINVAL,
							    "is no condition on a client; there are user, clientid, "
							    "ip, cert_cn, attr, anonymous, any, all and not");
		if (first == SL_OK) first = rc;
		sl_free(path);
	}
	*out = acl_who_all(b, &all);
	return first;
}

static int parse_parts(struct acl_build *b, enum acl_who_kind kind, const json_t *value, struct conf_at at,
		       unsigned depth, struct acl_who_list *all) {
	struct acl_who *who = who_new(b, kind);
	size_t n = json_array_size(value);
	int first = SL_OK;
	if (n == 0)
		return conf_report_add(b->report, at, CONF_AT_VALUE, SL_ETYPE,
				       "must be a list of conditions, for example [{user: alice}, {ip: 10.0.0.0/8}]");
	who->parts = SL_ARENA_ARRAY(&b->rules->arena, struct acl_who *, n);
	for (size_t i = 0; i < n; i++) {
		char *path = yaml_path_index(at.path, i);
		struct acl_who *part = NULL;
		int rc = parse_group(b, json_array_get(value, i), (struct conf_at){at.doc, path}, depth, &part);
		if (part) who->parts[who->len++] = part;
		if (first == SL_OK) first = rc;
		sl_free(path);
	}
	who_add(all, who);
	return first;
}

static int parse_not(struct acl_build *b, const json_t *value, struct conf_at at, unsigned depth,
		     struct acl_who_list *all) {
	struct acl_who *who = who_new(b, ACL_WHO_NOT), *part = NULL;
	int rc = parse_group(b, value, at, depth, &part);
	if (!part) return rc;
	who->parts = SL_ARENA_ARRAY(&b->rules->arena, struct acl_who *, 1);
	who->parts[who->len++] = part;
	who_add(all, who);
	return rc;
}

/* In the order of the table's use below. */
static const char *const keys[] = {"user", "username", "clientid",  "cert_cn", "cert.cn", "attr",
				   "ip",   "ipaddr",   "anonymous", "any",     "all",     "not"};

bool acl_who_key(const char *key) {
	for (size_t i = 0; i < SL_ARRAY_LEN(keys); i++)
		if (strcmp(key, keys[i]) == 0) return true;
	return strncmp(key, "attr.", 5) == 0 && key[5] != '\0';
}

int acl_who_parse(struct acl_build *b, const char *key, const json_t *value, struct conf_at at, unsigned depth,
		  struct acl_who_list *all) {
	if (depth > ACL_WHO_DEPTH_MAX)
		return conf_report_add(b->report, at, CONF_AT_KEY, SL_ELIMIT,
				       "conditions may be inside of each other %d deep", ACL_WHO_DEPTH_MAX);
	if (strncmp(key, "user", 4) == 0) return parse_value(b, ACL_VAR_USERNAME, NULL, value, at, all);
	if (strcmp(key, "clientid") == 0) return parse_value(b, ACL_VAR_CLIENTID, NULL, value, at, all);
	if (strncmp(key, "cert", 4) == 0) return parse_value(b, ACL_VAR_CERT_CN, NULL, value, at, all);
	if (strcmp(key, "attr") == 0) return parse_attrs(b, value, at, all);
	if (strncmp(key, "attr.", 5) == 0) return parse_value(b, ACL_VAR_ATTR, key + 5, value, at, all);
	if (strncmp(key, "ip", 2) == 0) return parse_ip(b, value, at, all);
	if (strcmp(key, "anonymous") == 0) return parse_anonymous(b, value, at, all);
	if (strcmp(key, "any") == 0) return parse_parts(b, ACL_WHO_ANY, value, at, depth, all);
	if (strcmp(key, "all") == 0) return parse_parts(b, ACL_WHO_ALL, value, at, depth, all);
	return parse_not(b, value, at, depth, all);
}

struct acl_who *acl_who_all(struct acl_build *b, struct acl_who_list *all) {
	struct acl_who *who = all->len ? all->v[0] : NULL;
	if (all->len > 1) {
		who = who_new(b, ACL_WHO_ALL);
		who->parts = SL_ARENA_ARRAY(&b->rules->arena, struct acl_who *, all->len);
		memcpy(who->parts, all->v, all->len * sizeof *all->v);
		who->len = all->len;
	}
	sl_free(all->v);
	*all = (struct acl_who_list){0};
	return who;
}
