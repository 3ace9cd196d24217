#include "ban.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "mem.h"

int ban_until_parse(const char *text, int64_t *ms) {
	struct tm tm = {.tm_mday = 0}, back;
	char z = 'Z';
	int end = 0, day_end = 0;
	int n = sscanf(text, "%4d-%2d-%2d%nT%2d:%2d:%2d%c%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &day_end,
		       &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &z, &end);
	bool whole = n == 3 ? text[day_end] == '\0' : n == 7 && text[end] == '\0' && z == 'Z';
	if (!whole || tm.tm_year < 1970) return SL_EINVAL;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	back = tm;
	time_t at = timegm(&back); /* brings what is no date into order: then it is another */
	if (back.tm_mon != tm.tm_mon || back.tm_mday != tm.tm_mday || back.tm_hour != tm.tm_hour ||
	    back.tm_min != tm.tm_min)
		return SL_EINVAL;
	*ms = (int64_t)at * 1000;
	return SL_OK;
}

static int parse_key(struct acl_build *b, struct ban *ban, const char *key, const json_t *value, struct conf_at at,
		     struct acl_who_list *all) {
	const char *text = json_string_value(value);
	if (strcmp(key, "reason") == 0 && text) {
		ban->reason = sl_arena_strdup(&b->rules->arena, slice_from_str(text));
		return SL_OK;
	}
	if (strcmp(key, "until") == 0 && text && ban_until_parse(text, &ban->until_ms) == SL_OK) return SL_OK;
	if (acl_who_key(key)) return acl_who_parse(b, key, value, at, 0, all);
	return conf_report_add(
	    b->report, at, CONF_AT_KEY, SL_EINVAL,
	    strcmp(key, "until") == 0
		? "must be a day or a time in UTC: 2026-12-01 or 2026-12-01T08:00:00Z"
		: "unknown; a ban has until, reason, and whom it is for: user, clientid, ip, cert_cn, "
		  "attr, any, all, not");
}

static int ban_item(struct acl_build *b, const json_t *item, struct conf_at at, void *arg) {
	struct ban_list *list = arg;
	struct ban ban = {.until_ms = INT64_MAX};
	struct acl_who_list all = {0};
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)item, key, value) {
		char *path = yaml_path_key(at.path, key);
		parse_key(b, &ban, key, value, (struct conf_at){at.doc, path}, &all);
		sl_free(path);
	}
	ban.who = acl_who_all(b, &all);
	if (!ban.who)
		return conf_report_add(b->report, at, CONF_AT_VALUE, SL_EINVAL,
				       "whom is it for? for example {clientid: \"test-*\", until: 2026-12-01}");
	SL_GROW(list->v, list->len, list->cap);
	list->v[list->len++] = ban;
	return SL_OK;
}

void ban_list_add(struct ban_list *list, const json_t *tree, struct conf_at at, struct conf_report *report) {
	struct acl_build b = {.rules = list->memory, .report = report};
	const json_t *inner = json_object_get(tree, "ban");
	if (!list->memory) b.rules = list->memory = acl_rules_new();
	char *path = inner ? yaml_path_key(at.path, "ban") : NULL;
	if (inner) at.path = path;
	if (inner) tree = inner;
	if (json_is_array(tree))
		acl_each(&b, tree, at, ban_item, list);
	else if (!json_is_null(tree) && !(json_is_object(tree) && json_object_size(tree) == 0))
		conf_report_add(report, at, CONF_AT_VALUE, SL_ETYPE, "must be a list of bans");
	sl_free(path);
}

void ban_list_add_file(struct ban_list *list, const char *file, struct conf_at named, struct conf_report *report) {
	struct sl_err err = SL_ERR_INIT;
	struct yaml_doc *doc;
	if (yaml_doc_load_file(file, &doc, &err) == SL_OK) {
		ban_list_add(list, yaml_doc_root(doc), (struct conf_at){doc, ""}, report);
		yaml_doc_free(doc);
	} else if (err.line || !named.doc) {
		conf_report_take(report, &err);
	} else {
		conf_report_add(report, named, CONF_AT_VALUE, err.status, "%s: %s", file, sl_err_text(&err));
	}
	sl_err_fini(&err);
}

void ban_list_fini(struct ban_list *list) {
	acl_rules_unref(list->memory);
	sl_free(list->v);
	*list = (struct ban_list){0};
}

const struct ban *ban_list_find(const struct ban_list *list, const struct acl_subject *who, int64_t wall_ms) {
	for (size_t i = 0; i < list->len; i++)
		if (wall_ms < list->v[i].until_ms && acl_who_holds(list->v[i].who, who) != ACL_NO) return &list->v[i];
	return NULL;
}
