#include "broker_conf.h"

#include <string.h>

#include "auth_conf.h"
#include "broker_conf_int.h"
#include "conf_exec.h"
#include "mem.h"
#include "schema.h"
#include "schema_doc.h"

/* ---- the file -------------------------------------------------------------------------------------------- */

static int check_named(const struct broker_conf *conf, json_t **tree, const char *path, struct conf_report *report) {
	if (*tree && json_is_null(*tree)) {
		json_decref(*tree);
		*tree = NULL;
	}
	if (!*tree || json_is_object(*tree)) return SL_OK;
	int rc = conf_report_add(report, (struct conf_at){conf->doc, path}, CONF_AT_VALUE, SL_ETYPE,
				 "must be a map, {name: {...}}");
	json_decref(*tree);
	*tree = NULL;
	return rc;
}

static void keep_first(int *first, int rc) {
	if (*first == SL_OK) *first = rc;
}

int broker_conf_load(const char *path, struct broker_conf **out, struct conf_report *report) {
	struct sl_err err = SL_ERR_INIT;
	struct yaml_doc *doc;
	*out = NULL;
	conf_exec_begin();
	if (yaml_doc_load_file(path, &doc, &err) != SL_OK) return conf_report_take(report, &err);
	struct broker_conf *conf = SL_NEW(struct broker_conf);
	conf->doc = doc;
	const json_t *root = yaml_doc_root(doc);
	int first = conf_apply(broker_conf_fields, root, (struct conf_at){doc, ""}, conf, report);
	keep_first(&first, broker_conf_check_listeners(conf, root, report));
	if (conf->admin.bind) broker_conf_split_bind(conf->admin.bind, &conf->admin.host, &conf->admin.port, NULL);
	keep_first(&first, broker_conf_binds_apart(conf, NULL, report));
	keep_first(&first, broker_conf_check_flow(conf, report));
	keep_first(&first, check_named(conf, &conf->connectors, "connectors", report));
	keep_first(&first, broker_conf_check_auth(conf, root, report));
	keep_first(&first, check_named(conf, &conf->sources, "sources", report));
	keep_first(&first, check_named(conf, &conf->rules, "rules", report));
	*out = conf;
	return first;
}

void broker_conf_free(struct broker_conf *conf) {
	if (!conf) return;
	for (size_t i = 0; i < conf->listener_list.len; i++) sl_free(broker_conf_listener(conf, i)->host);
	sl_free(conf->admin.host);
	auth_conf_free(conf->auth.links);
	conf_fini(broker_conf_fields, conf);
	yaml_doc_free(conf->doc);
	sl_free(conf);
}

json_t *broker_conf_show(const struct broker_conf *conf) {
	json_t *tree = conf_show(broker_conf_fields, conf);
	json_object_del(tree, "connectors");
	json_object_del(tree, "sources");
	json_object_del(tree, "rules");
	json_object_del(tree, "tests");
	if (conf->auth.chain)
		json_object_set_new(json_object_get(tree, "auth"), "chain", auth_conf_show(conf->auth.links));
	return tree;
}

void broker_conf_reloaded(json_t *shown, const json_t *fresh) {
	const json_t *node = json_object_get(fresh, "node");
	json_object_set_new(shown, "listeners", json_deep_copy(json_object_get(fresh, "listeners")));
	json_object_set_new(shown, "auth", json_deep_copy(json_object_get(fresh, "auth")));
	json_object_set_new(json_object_get(shown, "node"), "outbound",
			    json_deep_copy(json_object_get(node, "outbound")));
}

bool broker_conf_needs_restart(const struct broker_conf *old, const struct broker_conf *new, struct sl_buf *sections) {
	static const char *const fixed[] = {"node", "log", "mqtt", "persistence", "state", "admin"};
	json_t *a = broker_conf_show(old), *b = broker_conf_show(new);
	json_object_del(json_object_get(a, "node"), "outbound"); /* a reload takes it */
	json_object_del(json_object_get(b, "node"), "outbound");
	bool differs = false;
	for (size_t i = 0; i < SL_ARRAY_LEN(fixed); i++) {
		if (json_equal(json_object_get(a, fixed[i]), json_object_get(b, fixed[i]))) continue;
		sl_buf_printf(sections, "%s%s", differs ? ", " : "", fixed[i]);
		differs = true;
	}
	json_decref(a);
	json_decref(b);
	return differs;
}

void broker_conf_reference(struct sl_buf *out) {
	schema_doc_markdown(broker_conf_fields, out);
	broker_conf_limits(out);
	auth_conf_reference(out);
	sl_buf_append_str(
	    out, "\n## Addresses that are not connected to\n\nBy no connector, whoever names them, unless an entry of "
		 "`node.outbound.allow` holds them. The address counts that a name has when it is connected to. "
		 "IPv6 addresses that stand for IPv4 ones (mapped, NAT64, 6to4) are judged as those, too.\n\n"
		 "| network | what it is |\n| --- | --- |\n");
	sl_outbound_markdown(out);
}
