/* connectors_load.c: the configuration's trees to connections and actions, checked and not yet in force. */
#include <stdio.h>
#include <sys/stat.h>

#include "connectors_int.h"
#include "hash.h"
#include "likeness.h"
#include "schema.h"
#include "source_int.h"

#define NAMES_MAX 1000

/* ---- Connections. ----------------------------------------------------------------------------------------------------------- */

/* The settings as they are in force: with secrets resolved, so that a rotated one counts as a change. */
static void fingerprint_add(struct sl_buf *b, const json_t *tree) {
	const char *key;
	json_t *value;
	size_t i;
	if (json_is_object(tree)) {
		json_object_foreach((json_t *)(uintptr_t)tree, key, value) {
			sl_buf_printf(b, "{%zu:%s", strlen(key), key);
			fingerprint_add(b, value);
		}
	} else if (json_is_array(tree)) {
		json_array_foreach(tree, i, value) {
			sl_buf_put(b, '[');
			fingerprint_add(b, value);
		}
	} else if (json_is_string(tree)) {
		struct sl_slice text = slice_make(json_string_value(tree), json_string_length(tree));
		char *known = conf_expand_known(text);
		sl_buf_printf(b, "\"%zu:%s", strlen(known), known);
		sl_free(known);
	} else {
		char *text = json_dumps(tree, JSON_ENCODE_ANY);
		sl_buf_append_str(b, text ? text : "?");
		free(text);
	}
}

/* Certificates are renewed in their place, and run out: a reload must take the new ones. */
static void files_add(struct sl_buf *b, const json_t *tls) {
	static const char *const members[] = {"ca", "cert", "key"};
	for (size_t i = 0; i < SL_ARRAY_LEN(members); i++) {
		const char *text = json_string_value(json_object_get(tls, members[i]));
		char *path = text ? conf_expand_known(slice_from_str(text)) : NULL;
		struct stat st;
		if (path && stat(path, &st) == 0)
			sl_buf_printf(b, "<%ju:%ju:%jd:%jd.%ld", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino,
				      (intmax_t)st.st_size, (intmax_t)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
		sl_free(path);
	}
}

static uint64_t fingerprint(const json_t *tree) {
	struct sl_buf b = SL_BUF_INIT;
	fingerprint_add(&b, tree);
	files_add(&b, json_object_get(tree, "tls"));
	uint64_t hash = sl_hash_stable(sl_buf_slice(&b));
	sl_buf_fini(&b);
	return hash;
}

static size_t kind_names(const char **names) {
	size_t n = 0;
	for (; sl_connector_kinds[n] && n < NAMES_MAX; n++) names[n] = sl_connector_kinds[n]->name;
	return n;
}

static void names_list(struct sl_buf *b, const char *const *names, size_t n) {
	for (size_t i = 0; i < n; i++) sl_buf_printf(b, "%s%s", i ? ", " : "", names[i]);
}

static const struct sl_connector_kind *kind_of(const json_t *tree, struct conf_at at, struct conf_report *report) {
	const json_t *type = json_object_get(tree, "type");
	const struct sl_connector_kind *kind =
	    json_is_string(type) ? connector_kind_find(json_string_value(type)) : NULL;
	if (kind) return kind;
	const char *names[NAMES_MAX];
	size_t n = kind_names(names);
	struct sl_buf list = SL_BUF_INIT;
	names_list(&list, names, n);
	if (!type)
		conf_report_add(report, at, CONF_AT_KEY, SL_EINVAL, "`type` is missing; it is one of: %s",
				sl_buf_cstr(&list));
	else {
		char *path = yaml_path_key(at.path, "type");
		const char *text = json_is_string(type) ? json_string_value(type) : NULL;
		const char *near = text ? slice_nearest(slice_from_str(text), names, n) : NULL;
		conf_report_add(report, (struct conf_at){at.doc, path}, CONF_AT_VALUE, SL_EINVAL,
				"there is no connector type `%s`%s%s%s; the types are: %s", text ? text : "(not text)",
				near ? ", did you mean `" : "", near ? near : "", near ? "`?" : "", sl_buf_cstr(&list));
		sl_free(path);
	}
	sl_buf_fini(&list);
	return NULL;
}

static struct sl_conn *conn_prepare(struct connectors *cs, const char *name, const json_t *tree, struct conf_at at,
				    struct conf_report *report) {
	const struct sl_connector_kind *kind = kind_of(tree, at, report);
	if (!kind) return NULL;
	sl_assert(kind->abi == SL_CONNECTOR_ABI);
	struct sl_conn *c = conn_new(cs, name);
	c->kind = kind;
	c->blocking = kind->flags & SL_KIND_BLOCKING;
	c->impl = sl_zalloc(kind->conn_size ? kind->conn_size : 1);
	const struct conf_part parts[] = {{conn_conf_fields, &c->conf}, {kind->conn_fields, c->impl}};
	int r = conf_apply_parts(parts, SL_ARRAY_LEN(parts), tree, at, report);
	c->fingerprint = fingerprint(tree); /* when its programs were run */
	struct sl_err err = SL_ERR_INIT;
	if (r == SL_OK && kind->conn_check && kind->conn_check(c, &err) != SL_OK) {
		r = conf_report_add(report, at, CONF_AT_VALUE, err.status, "%s", sl_err_text(&err));
		sl_err_fini(&err);
	}
	c->broken = r != SL_OK;
	return c;
}

/* A bare `type: null` is YAML's null; we know what is meant. */
static struct sl_conn *conn_prepare_any(struct connectors *cs, const char *name, const json_t *tree, struct conf_at at,
					struct conf_report *report) {
	if (!json_is_object(tree)) {
		conf_report_add(report, at, CONF_AT_VALUE, SL_ETYPE,
				"a connector is an object such as {type: sqlite, path: ./data/archive.db}");
		return NULL;
	}
	if (!json_is_null(json_object_get(tree, "type"))) return conn_prepare(cs, name, tree, at, report);
	json_t *copy = json_copy((json_t *)(uintptr_t)tree);
	json_object_set_new(copy, "type", json_string("null"));
	struct sl_conn *c = conn_prepare(cs, name, copy, at, report);
	json_decref(copy);
	return c;
}

int connectors_prepare(struct connectors *cs, const json_t *tree, struct conf_at at, struct conf_report *report,
		       struct connectors_set **out) {
	struct connectors_set *set = SL_NEW(struct connectors_set);
	size_t before = report->len + report->dropped;
	*out = set;
	set->cs = cs;
	if (tree && !json_is_object(tree) && !json_is_null(tree))
		return conf_report_add(report, at, CONF_AT_VALUE, SL_ETYPE,
				       "`connectors` is an object: a name, then {type: ...}");
	set->conns = SL_NEW_ARRAY(struct sl_conn *, json_object_size(tree) + 1);
	const char *name;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)tree, name, value) {
		char *path = yaml_path_key(at.path, name);
		struct sl_conn *c = conn_prepare_any(cs, name, value, (struct conf_at){at.doc, path}, report);
		sl_free(path);
		/* One without a type keeps its place, so that its actions are not called wrong as well. */
		if (!c) c = conn_new(cs, name);
		c->broken = c->broken || !c->kind;
		set->conns[set->conn_count++] = c;
	}
	return report->len + report->dropped > before ? SL_EINVAL : SL_OK;
}

struct target_walk {
	const char *connector;
	connectors_target_fn one;
	void *arg;
};

static void target_found(void *arg, const char *target) {
	const struct target_walk *w = arg;
	w->one(w->arg, w->connector, target);
}

void connectors_targets(const struct connectors_set *set, connectors_target_fn one, void *arg) {
	for (size_t i = 0; i < set->conn_count; i++) {
		struct sl_conn *c = set->conns[i];
		struct target_walk w = {.connector = c->name, .one = one, .arg = arg};
		if (c->kind && c->kind->targets) c->kind->targets(c, target_found, &w);
	}
}

void connectors_set_free(struct connectors_set *set) {
	if (!set) return;
	sources_set_free(set->sources);
	for (size_t i = 0; i < set->spec_count; i++) {
		action_free(set->specs[i]->action);
		sl_free(set->specs[i]);
	}
	for (size_t i = 0; i < set->conn_count; i++) conn_free(set->conns[i]);
	sl_free(set->specs);
	sl_free(set->conns);
	sl_free(set);
}

/* ---- Actions. ---------------------------------------------------------------------------------------------------------------- */

static struct sl_conn *set_conn(const struct connectors_set *set, const json_t *tree, struct conf_at at,
				struct conf_report *report) {
	const char *name = json_string_value(json_object_get(tree, "connector"));
	char *path = yaml_path_key(at.path, "connector");
	struct conf_at here = {at.doc, path};
	struct sl_conn *found = NULL;
	const char **names = SL_NEW_ARRAY(const char *, set->conn_count + 1);
	for (size_t i = 0; i < set->conn_count; i++) {
		names[i] = set->conns[i]->name;
		if (name && strcmp(names[i], name) == 0) found = set->conns[i];
	}
	if (!name)
		conf_report_add(report, here, CONF_AT_VALUE, SL_ETYPE, "give the name of a connector, as text");
	else if (!found && set->conn_count == 0)
		conf_report_add(report, here, CONF_AT_VALUE, SL_ENOTFOUND,
				"there is no connector `%s`; none is configured: add it under `connectors:`", name);
	else if (!found) {
		const char *near = slice_nearest(slice_from_str(name), names, set->conn_count);
		struct sl_buf list = SL_BUF_INIT;
		names_list(&list, names, set->conn_count);
		conf_report_add(report, here, CONF_AT_VALUE, SL_ENOTFOUND,
				"there is no connector `%s`%s%s%s; configured are: %s", name,
				near ? ", did you mean `" : "", near ? near : "", near ? "`?" : "", sl_buf_cstr(&list));
		sl_buf_fini(&list);
	}
	sl_free(names);
	sl_free(path);
	return found;
}

static void destination_set(struct sl_conn_action *a) {
	struct sl_buf text = SL_BUF_INIT;
	if (a->conn->kind->destination) a->conn->kind->destination(a, &text);
	if (text.n) a->destination = sl_strdup(sl_buf_cstr(&text));
	sl_buf_fini(&text);
}

static int action_check(struct sl_conn_action *a, struct conf_at at, struct conf_report *report) {
	const struct sl_connector_kind *kind = a->conn->kind;
	struct sl_err err = SL_ERR_INIT;
	int r = action_conf_check(&a->conf, at, report);
	if (r != SL_OK) return r;
	if (kind->action_check && kind->action_check(a, &err) != SL_OK)
		r = conf_report_add(report, at, CONF_AT_VALUE, err.status, "%s", sl_err_text(&err));
	else if (kind->action_params(a, &a->params, &a->param_count, &err) != SL_OK)
		r = conf_report_add(report, at, CONF_AT_VALUE, err.status, "%s", sl_err_text(&err));
	else if (a->param_count >= UINT16_MAX)
		r = conf_report_add(report, at, CONF_AT_VALUE, SL_ELIMIT, "more values than a row can have (65534)");
	sl_err_fini(&err);
	if (r != SL_OK) return r;
	destination_set(a);
	a->face = likeness_face(a->tree, a->destination);
	return r;
}

int connectors_prepare_action(struct connectors_set *set, const char *rule, uint32_t index, const json_t *tree,
			      struct conf_at at, struct conf_report *report, struct sl_action_spec **out) {
	*out = NULL;
	struct sl_conn *conn = set_conn(set, tree, at, report);
	if (!conn) return SL_ENOTFOUND;
	if (!conn->kind) return SL_EINVAL; /* of which type it is nobody knows, and that was said */
	struct sl_conn_action *a = SL_NEW(struct sl_conn_action);
	a->conn = conn;
	a->rule = sl_strdup(rule);
	a->index = index;
	a->name = sl_asprintf("%s.%u", rule, index);
	/* A copy: the action may end on another thread than the document, and jansson's counts order nothing. */
	a->tree = json_deep_copy(tree);
	a->impl = sl_zalloc(conn->kind->action_size ? conn->kind->action_size : 1);
	const struct conf_part parts[] = {{action_conf_fields, &a->conf}, {conn->kind->action_fields, a->impl}};
	int r = conf_apply_parts(parts, SL_ARRAY_LEN(parts), tree, at, report);
	if (r == SL_OK) r = action_check(a, at, report);
	if (r != SL_OK) {
		action_free(a);
		return r;
	}
	struct sl_action_spec *spec = SL_NEW(struct sl_action_spec);
	spec->action = a;
	spec->params = a->params;
	spec->param_count = a->param_count;
	SL_GROW(set->specs, set->spec_count, set->spec_cap);
	set->specs[set->spec_count++] = spec;
	*out = spec;
	return SL_OK;
}

static const struct sl_conn_action *spec_action(const struct sl_action_spec *spec) {
	return spec->action ? spec->action : spec->running;
}

const struct sl_param *sl_action_spec_params(const struct sl_action_spec *spec, size_t *count) {
	*count = spec->param_count;
	return spec->params;
}

void sl_action_spec_rows_of(struct sl_action_spec *spec, uint64_t hash) {
	sl_assert(spec->action && !spec->p);
	spec->action->rows_of = hash;
}

const char *sl_action_spec_face(const struct sl_action_spec *spec) { return spec_action(spec)->face; }

bool sl_action_spec_enabled(const struct sl_action_spec *spec) { return spec_action(spec)->conf.enabled; }

const char *sl_action_spec_order_key(const struct sl_action_spec *spec) {
	const struct sl_conn_action *a = spec_action(spec);
	return a->conf.order == ORDER_KEY ? a->conf.order_key : NULL;
}

const json_t *sl_action_spec_on_error(const struct sl_action_spec *spec) { return spec_action(spec)->conf.on_error; }

void sl_action_spec_on_error_set(struct sl_action_spec *spec, void *on_error, void (*release)(void *on_error)) {
	sl_assert(spec->action && !spec->p);
	spec->action->on_error = on_error;
	spec->action->on_error_release = release;
}

const char *sl_action_spec_type(const struct sl_action_spec *spec) { return spec_action(spec)->conn->kind->name; }

int sl_action_spec_encode(const struct sl_action_spec *spec, const void *row, struct sl_buf *out, struct sl_err *err) {
	sl_assert(spec->action);
	const struct sl_connector_kind *kind = spec->action->conn->kind;
	return kind->encode ? kind->encode(spec->action, row, out, err) : SL_EUNSUPPORTED;
}

struct sl_pipeline *sl_action_spec_pipeline(const struct sl_action_spec *spec) {
	return spec->p;
}
