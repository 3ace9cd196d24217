#include "auth_conf.h"

#include <string.h>

#include "auth_link_kind.h"
#include "auth_text.h"
#include "lookup.h"
#include "mem.h"
#include "schema.h"
#include "schema_doc.h"

static const struct auth_link_kind *const kinds[] = {&auth_kind_file,   &auth_kind_cert,     &auth_kind_jwt,
						     &auth_kind_http,   &auth_kind_postgres, &auth_kind_redis,
						     &auth_kind_mongodb};

struct link {
	const struct auth_link_kind *kind;
	struct auth_link_conf common;
	void *settings;
	struct sl_question *question; /* NULL: it asks no connector */
};

struct auth_conf {
	struct link *links;
	size_t len;
};

static const char *const on_errors[] = {"deny", "pass", "allow", NULL};

#define AT(member) offsetof(struct auth_link_conf, member)

/* `type` is read before: here it is known, and shown. */
static const struct conf_field common_fields[] = {
    {.name = "listeners",
     .type = CONF_STRING_LIST,
     .at = AT(listeners),
     .doc = "Asked only about clients of these listeners, by their names; without it about those of all."},
    {.name = "username",
     .type = CONF_STRING,
     .at = AT(username),
     .doc = "Asked only about user names that look like this; `*` stands for any text.",
     .example = "dev-*"},
    {.name = "clientid",
     .type = CONF_STRING,
     .at = AT(clientid),
     .doc = "Asked only about client ids that look like this; `*` stands for any text."},
    {.name = "on_error",
     .type = CONF_ENUM,
     .at = AT(on_error),
     .names = on_errors,
     .def = "deny",
     .doc = "When it cannot tell (its server is away, too slow, or answers nonsense): `deny` refuses the client as "
	    "0x88 Server unavailable, which means try again; `pass` asks the next one; `allow` lets it in unseen."},
    CONF_END};

static const struct conf_field type_fields[] = {
    {.name = "type", .type = CONF_STRING, .flags = CONF_REQUIRED, .at = 0, .doc = "Which kind of authenticator."},
    CONF_END};

void auth_link_conf_fini(struct auth_link_conf *conf) { conf_fini(common_fields, conf); }

/* ---- loading --------------------------------------------------------------------------------------------- */

static const struct auth_link_kind *kind_named(const char *name) {
	for (size_t i = 0; i < SL_ARRAY_LEN(kinds); i++)
		if (strcmp(kinds[i]->name, name) == 0) return kinds[i];
	return NULL;
}

static int refuse_type(const json_t *type, struct conf_at at, struct conf_report *report) {
	struct sl_buf known = SL_BUF_INIT;
	const char *names[SL_ARRAY_LEN(kinds)];
	for (size_t i = 0; i < SL_ARRAY_LEN(kinds); i++) {
		names[i] = kinds[i]->name;
		sl_buf_printf(&known, "%s%s", i ? ", " : "", names[i]);
	}
	const char *text = json_string_value(type);
	const char *near = text ? slice_nearest(slice_from_str(text), names, SL_ARRAY_LEN(names)) : NULL;
	char *path = yaml_path_key(at.path, "type");
	int rc;
	if (!type)
		rc = conf_report_add(report, at, CONF_AT_VALUE, SL_EINVAL, "has no `type`; write one of: %s",
				     sl_buf_cstr(&known));
	else if (near)
		rc = conf_report_add(report, (struct conf_at){at.doc, path}, CONF_AT_VALUE, SL_EINVAL,
				     "there is no such authenticator; did you mean %s?", near);
	else
		rc = conf_report_add(report, (struct conf_at){at.doc, path}, CONF_AT_VALUE, SL_EINVAL,
				     "there is no such authenticator; known are: %s", sl_buf_cstr(&known));
	sl_free(path);
	sl_buf_fini(&known);
	return rc;
}

/* What it wants to know of a client must be something that is known. */
static int check_question(struct sl_question *q, struct sl_err *err) {
	size_t n;
	int rc = sl_question_check(q, err);
	const struct sl_param *params = sl_question_params(q, &n);
	for (size_t i = 0; rc == SL_OK && i < n; i++) {
		rc = auth_text_check(NULL, params[i].text, err);
		/* The place is one within the placeholder. */
		if (rc != SL_OK && err) err->line = err->column = 0;
	}
	return rc;
}

static int load_link(const json_t *tree, struct conf_at at, struct link *l, struct conf_report *report) {
	const json_t *type = json_object_get(tree, "type");
	char *ignored = NULL;
	if (!json_is_object(tree))
		return conf_report_add(report, at, CONF_AT_VALUE, SL_ETYPE, "must be a map, {type: ..., ...}");
	l->kind = json_is_string(type) ? kind_named(json_string_value(type)) : NULL;
	if (!l->kind) return refuse_type(type, at, report);
	l->settings = sl_zalloc(l->kind->size);
	if (l->kind->asks) l->question = sl_question_new(l->kind->name);
	struct conf_part parts[] = {
	    {type_fields, &ignored}, {common_fields, &l->common}, {l->kind->fields, l->settings}, {type_fields, NULL}};
	size_t parts_len = SL_ARRAY_LEN(parts) - !l->question;
	if (l->question)
		parts[3] = (struct conf_part){sl_question_fields(l->kind->name), sl_question_settings(l->question)};
	int rc = conf_apply_parts(parts, parts_len, tree, at, report);
	conf_fini(type_fields, &ignored);
	struct sl_err err = SL_ERR_INIT;
	if (rc == SL_OK && l->kind->check) rc = l->kind->check(l->settings, &err);
	if (rc == SL_OK && l->question) rc = check_question(l->question, &err);
	if (err.status != SL_OK) rc = conf_report_text(report, at, &err);
	sl_err_fini(&err);
	return rc;
}

int auth_conf_load(const json_t *tree, struct conf_at at, struct auth_conf **out, struct conf_report *report) {
	struct auth_conf *conf = SL_NEW(struct auth_conf);
	int first = SL_OK;
	*out = conf;
	if (!tree || json_is_null(tree)) return SL_OK;
	if (!json_is_array(tree))
		return conf_report_add(report, at, CONF_AT_VALUE, SL_ETYPE,
				       "must be a list of authenticators, [{type: ...}, ...]");
	conf->links = SL_NEW_ARRAY(struct link, json_array_size(tree));
	for (size_t i = 0; i < json_array_size(tree); i++) {
		char *path = yaml_path_index(at.path, i);
		int rc = load_link(json_array_get(tree, i), (struct conf_at){at.doc, path}, &conf->links[i], report);
		conf->len++;
		if (first == SL_OK) first = rc;
		sl_free(path);
	}
	return first;
}

void auth_conf_free(struct auth_conf *conf) {
	if (!conf) return;
	for (size_t i = 0; i < conf->len; i++) {
		struct link *l = &conf->links[i];
		conf_fini(common_fields, &l->common);
		if (l->kind) conf_fini(l->kind->fields, l->settings);
		sl_free(l->settings);
		sl_question_unref(l->question);
	}
	sl_free(conf->links);
	sl_free(conf);
}

int auth_conf_check_connectors(const struct auth_conf *conf, const json_t *connectors, struct conf_at at,
			       struct conf_report *report) {
	int first = SL_OK;
	for (size_t i = 0; conf && i < conf->len; i++) {
		const struct link *l = &conf->links[i];
		const char *name = l->kind && l->kind->connector ? l->kind->connector(l->settings) : NULL;
		if (!name) continue;
		const json_t *type = json_object_get(json_object_get(connectors, name), "type");
		if (json_is_string(type) && strcmp(json_string_value(type), l->kind->name) == 0) continue;
		char *item = yaml_path_index(at.path, i), *path = yaml_path_key(item, "connector");
		int rc = conf_report_add(report, (struct conf_at){at.doc, path}, CONF_AT_VALUE, SL_ENOTFOUND,
					 "there is no connector \"%s\" of type %s; define it under `connectors:`, or "
					 "name another",
					 name, l->kind->name);
		if (first == SL_OK) first = rc;
		sl_free(path);
		sl_free(item);
	}
	return first;
}

static int check_listener(const char *name, const char *const *names, size_t n, struct conf_at at,
			  struct conf_report *report) {
	for (size_t i = 0; i < n; i++)
		if (strcmp(names[i], name) == 0) return SL_OK;
	const char *near = slice_nearest(slice_from_str(name), names, n);
	return conf_report_add(report, at, CONF_AT_VALUE, SL_ENOTFOUND, "there is no listener \"%s\"%s%s%s", name,
			       near ? ", did you mean `" : "; nobody would be asked about here", near ? near : "",
			       near ? "`?" : "");
}

int auth_conf_check_listeners(const struct auth_conf *conf, const char *const *names, size_t n, struct conf_at at,
			      struct conf_report *report) {
	int first = SL_OK;
	for (size_t i = 0; conf && i < conf->len; i++) {
		const struct conf_list *list = &conf->links[i].common.listeners;
		char *item = yaml_path_index(at.path, i), *path = yaml_path_key(item, "listeners");
		for (size_t k = 0; k < list->len; k++) {
			int rc = check_listener(list->items[k], names, n, (struct conf_at){at.doc, path}, report);
			if (first == SL_OK) first = rc;
		}
		sl_free(path);
		sl_free(item);
	}
	return first;
}

/* ---- using ----------------------------------------------------------------------------------------------- */

size_t auth_conf_len(const struct auth_conf *conf) { return conf ? conf->len : 0; }
const char *auth_conf_type(const struct auth_conf *conf, size_t i) { return conf->links[i].kind->name; }

static char *copy_text(const char *text) { return text ? sl_strdup(text) : NULL; }

static void link_conf_copy(const struct auth_link_conf *from, struct auth_link_conf *to) {
	*to = (struct auth_link_conf){
	    .username = copy_text(from->username), .clientid = copy_text(from->clientid), .on_error = from->on_error};
	to->listeners.items = SL_NEW_ARRAY(char *, from->listeners.len);
	for (; to->listeners.len < from->listeners.len; to->listeners.len++)
		to->listeners.items[to->listeners.len] = sl_strdup(from->listeners.items[to->listeners.len]);
}

int auth_conf_make(const struct auth_conf *conf, size_t i, struct auth_env *env, struct auth_backend **out,
		   struct sl_err *err) {
	const struct link *l = &conf->links[i];
	*out = NULL;
	int rc = l->kind->make(l->settings, l->question, env, out, err);
	if (rc != SL_OK) {
		(void)sl_err_prefix(err, "auth.chain[%zu]", i);
		return rc;
	}
	link_conf_copy(&l->common, &(*out)->conf);
	return SL_OK;
}

json_t *auth_conf_show(const struct auth_conf *conf) {
	json_t *list = json_array();
	for (size_t i = 0; conf && i < conf->len; i++) {
		const struct link *l = &conf->links[i];
		if (!l->kind) continue;
		json_t *shown = json_pack("{s:s}", "type", l->kind->name);
		json_t *common = conf_show(common_fields, &l->common), *own = conf_show(l->kind->fields, l->settings);
		json_object_update(shown, common);
		json_object_update(shown, own);
		json_decref(common);
		json_decref(own);
		if (l->question) {
			json_t *asked = conf_show(sl_question_fields(l->kind->name), sl_question_settings(l->question));
			json_object_update(shown, asked);
			json_decref(asked);
		}
		json_array_append_new(list, shown);
	}
	return list;
}

void auth_conf_reference(struct sl_buf *out) {
	sl_buf_append_str(out,
			  "\n## Authenticators\n\nEntries of `auth.chain`. Each has a `type`, and takes these:\n\n");
	schema_doc_markdown(common_fields, out);
	for (size_t i = 0; i < SL_ARRAY_LEN(kinds); i++) {
		sl_buf_printf(out, "\n### type: %s\n\n%s\n\n", kinds[i]->name, kinds[i]->doc);
		schema_doc_markdown(kinds[i]->fields, out);
		if (!kinds[i]->asks) continue;
		sl_buf_append_str(out, "\nThe question:\n\n");
		schema_doc_markdown(sl_question_fields(kinds[i]->name), out);
	}
	sl_buf_append_str(out, "\n### What is known of a client\n\nIn texts with `${...}`:\n\n");
	auth_text_markdown(out);
}
