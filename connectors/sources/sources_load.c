/* sources_load.c: `sources:` of the configuration, checked and not yet in force. See sources.h. */
#include "schema.h"
#include "schema_doc.h"
#include "source_int.h"

static const struct conf_field pending_fields[] = {
    {.name = "messages",
     .type = CONF_INT,
     .at = offsetof(struct source_pending_conf, messages),
     .def = "10000",
     .min = 1,
     .max = 10000000,
     .doc = "Messages under way at the most; above it the source pauses until half of them are through."},
    {.name = "bytes",
     .type = CONF_SIZE,
     .at = offsetof(struct source_pending_conf, bytes),
     .def = "16MB",
     .min = 65536,
     .max = (int64_t)(2 * SL_GB),
     .doc = "And bytes of keys, values and headers, with some 200 for each message. A source takes at most twice "
	    "that in memory, one of Kafka eight times, for its client library fetches ahead."},
    CONF_END};

const struct conf_field source_conf_fields[] = {
    {.name = "connector",
     .type = CONF_STRING,
     .at = offsetof(struct source_conf, connector),
     .flags = CONF_REQUIRED | CONF_NONEMPTY,
     .example = "lake",
     .doc = "The connector that it reads from."},
    {.name = "max_pending",
     .type = CONF_OBJECT,
     .at = offsetof(struct source_conf, max_pending),
     .fields = pending_fields,
     .doc = "How much may be under way between the server and the actions' logs or the far sides."},
    CONF_END};

/* ---- Kinds that can be read from. --------------------------------------------------------------------------------------- */

const char *sl_source_type(struct sl_slice name) {
	for (size_t i = 0; sl_connector_kinds[i]; i++) {
		const struct sl_connector_kind *k = sl_connector_kinds[i];
		if (!k->source) continue;
		if (slice_equal_str(name, k->name) || (k->source->alias && slice_equal_str(name, k->source->alias)))
			return k->name;
	}
	return NULL;
}

const char *sl_source_example(struct sl_slice type) {
	const char *any = NULL;
	for (size_t i = 0; sl_connector_kinds[i]; i++) {
		const struct sl_connector_kind *k = sl_connector_kinds[i];
		if (!k->source) continue;
		if (slice_equal_str(type, k->name)) return k->source->example;
		if (!any) any = k->source->example;
	}
	return any;
}

void sl_source_types(struct sl_buf *out) {
	bool first = true;
	for (size_t i = 0; sl_connector_kinds[i]; i++) {
		if (!sl_connector_kinds[i]->source) continue;
		sl_buf_printf(out, "%s%s", first ? "" : ", ", sl_connector_kinds[i]->name);
		first = false;
	}
}

/* ---- One source. ----------------------------------------------------------------------------------------------------------- */

/* It stands in FROM, as a level of a filter. */
static int name_check(const char *name, struct conf_at at, struct conf_report *report) {
	size_t n = strlen(name);
	bool fine = n > 0 && n <= SOURCE_NAME_MAX;
	for (size_t i = 0; i < n && fine; i++)
		fine = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= 'A' && name[i] <= 'Z') ||
		       (name[i] >= '0' && name[i] <= '9') || name[i] == '_' || name[i] == '-' || name[i] == '.';
	if (fine) return SL_OK;
	return conf_report_add(report, at, CONF_AT_KEY, SL_EINVAL,
			       "the name of a source stands in FROM: it has 1 to %d letters, digits, '_', '-' or '.'",
			       SOURCE_NAME_MAX);
}

static struct sl_conn *conn_named(const struct connectors_set *set, const char *name, struct conf_at at,
				  struct conf_report *report) {
	const char **names = SL_NEW_ARRAY(const char *, set->conn_count + 1);
	struct sl_conn *found = NULL;
	char *path = yaml_path_key(at.path, "connector");
	struct conf_at here = {at.doc, path};
	for (size_t i = 0; i < set->conn_count; i++) {
		names[i] = set->conns[i]->name;
		if (name && strcmp(names[i], name) == 0) found = set->conns[i];
	}
	if (!name) {
		conf_report_add(report, here, CONF_AT_KEY, SL_EINVAL,
				"a source needs the name of a connector, as text: `connector: lake`");
	} else if (!found) {
		const char *near = slice_nearest(slice_from_str(name), names, set->conn_count);
		conf_report_add(report, here, CONF_AT_VALUE, SL_ENOTFOUND, "there is no connector `%s`%s%s%s", name,
				near ? ", did you mean `" : "; add it under `connectors:`", near ? near : "",
				near ? "`?" : "");
	} else if (found->kind && !found->kind->source) {
		struct sl_buf types = SL_BUF_INIT;
		sl_source_types(&types);
		conf_report_add(
		    report, here, CONF_AT_VALUE, SL_EUNSUPPORTED,
		    "`%s` is of type %s, which can only be written to; sources read from connectors of type: %s", name,
		    found->kind->name, sl_buf_cstr(&types));
		sl_buf_fini(&types);
		found = NULL;
	}
	sl_free(names);
	sl_free(path);
	return found;
}

static int fields_check(struct sl_source *s, const json_t *tree, struct conf_at at, struct conf_report *report) {
	const struct conf_part parts[] = {{source_conf_fields, &s->conf}, {s->kind->fields, s->impl}};
	int r = conf_apply_parts(parts, SL_ARRAY_LEN(parts), tree, at, report);
	struct sl_err err = SL_ERR_INIT;
	/* The check may look at the connection. */
	if (r == SL_OK && !s->conn->broken && s->kind->check && s->kind->check(s, &err) != SL_OK)
		r = conf_report_add(report, at, CONF_AT_VALUE, err.status, "%s", sl_err_text(&err));
	sl_err_fini(&err);
	return r;
}

static int source_prepare(struct connectors_set *set, const char *name, const json_t *tree, struct conf_at at,
			  struct conf_report *report) {
	int r = name_check(name, at, report);
	if (!json_is_object(tree))
		return conf_report_add(report, at, CONF_AT_VALUE, SL_ETYPE,
				       "a source is an object such as {connector: lake, topics: [orders]}");
	struct sl_source *s = source_new(set->cs, name);
	set->sources->at[set->sources->count++] = s; /* keeps its place: rules on it are not called wrong as well */
	s->conn = conn_named(set, json_string_value(json_object_get(tree, "connector")), at, report);
	if (!s->conn) return SL_ENOTFOUND;
	if (!s->conn->kind) return SL_EINVAL; /* of which type it is nobody knows, and that was said */
	s->kind = s->conn->kind->source;
	s->tree = json_deep_copy(tree);
	s->impl = sl_zalloc(s->kind->source_size ? s->kind->source_size : 1);
	int fields = fields_check(s, tree, at, report);
	s->broken = r != SL_OK || fields != SL_OK;
	return r != SL_OK ? r : fields;
}

int connectors_prepare_sources(struct connectors_set *set, const json_t *tree, struct conf_at at,
			       struct conf_report *report) {
	int status = SL_OK;
	const char *name;
	json_t *value;
	if (!set->sources) set->sources = SL_NEW(struct sources_set);
	set->sources->known = true;
	if (!tree || json_is_null(tree)) return SL_OK;
	if (!json_is_object(tree))
		return conf_report_add(report, at, CONF_AT_VALUE, SL_ETYPE,
				       "`sources` is an object: a name, then {connector: ..., ...}");
	set->sources->at = SL_NEW_ARRAY(struct sl_source *, json_object_size(tree) + 1);
	json_object_foreach((json_t *)(uintptr_t)tree, name, value) {
		char *path = yaml_path_key(at.path, name);
		int r = source_prepare(set, name, value, (struct conf_at){at.doc, path}, report);
		if (status == SL_OK) status = r;
		sl_free(path);
	}
	return status;
}

bool connectors_set_has_source(const struct connectors_set *set, struct sl_slice type, struct sl_slice name,
			       const char **near) {
	const struct sources_set *sources = set->sources;
	*near = NULL;
	if (!sources || !sources->known) return true;
	const char **names = SL_NEW_ARRAY(const char *, sources->count + 1);
	size_t n = 0;
	bool found = false;
	for (size_t i = 0; i < sources->count; i++) {
		const struct sl_source *s = sources->at[i];
		/* Of one that is wrong nothing more is known, and that was said. */
		if (s->kind && type.n && !slice_equal_str(type, s->conn->kind->name)) continue;
		names[n++] = s->name;
		found = found || name.n == 0 || slice_equal_str(name, s->name);
	}
	if (!found) *near = slice_nearest(name, names, n);
	sl_free(names);
	return found;
}

const char *connectors_set_source_type(const struct connectors_set *set, struct sl_slice name) {
	const struct sources_set *sources = set->sources;
	for (size_t i = 0; sources && i < sources->count; i++)
		if (sources->at[i]->kind && slice_equal_str(name, sources->at[i]->name))
			return sources->at[i]->conn->kind->name;
	return NULL;
}

void connectors_sources_describe(struct sl_buf *out) {
	sl_buf_append_str(out, "\n## Sources\n\nBelow `sources:`, by name; rules read one with FROM "
			       "\"$sources/TYPE:NAME\".\n\n### Every source\n\n");
	schema_doc_markdown(source_conf_fields, out);
	for (size_t i = 0; sl_connector_kinds[i]; i++) {
		const struct sl_connector_kind *k = sl_connector_kinds[i];
		if (!k->source) continue;
		sl_buf_printf(out, "\n### Of a connector of type %s\n\n%s\n\n", k->name, k->source->summary);
		schema_doc_markdown(k->source->fields, out);
	}
}
