/* rule_book.c: see rule_book.h. */
#include "rule_book.h"

#include "mem.h"
#include "rule_conf.h"
#include "rule_try.h"
#include "schema.h"
#include "sources.h"
#include "yaml.h"

int rule_book_fill(struct rule_book *book, const struct yaml_doc *doc, const json_t *connectors, const json_t *rules,
		   struct conf_report *report) {
	struct ruleset *all = ruleset_new();
	conf_expand_stand_in("0"); /* reads as a number too, where a port is wanted */
	int rc = connectors_prepare(NULL, connectors, (struct conf_at){doc, "connectors"}, report, &book->connectors);
	/* Of a whole configuration; rules that stand alone may name any source. */
	const json_t *sources = doc ? json_object_get(yaml_doc_root(doc), "sources") : NULL;
	if (sources) {
		int sources_rc =
		    connectors_prepare_sources(book->connectors, sources, (struct conf_at){doc, "sources"}, report);
		if (rc == SL_OK) rc = sources_rc;
	}
	int rules_rc = rule_conf_load(rules, (struct conf_at){doc, "rules"}, book->connectors, report, all);
	conf_expand_stand_in(NULL);
	if (rc == SL_OK) rc = rules_rc;
	if (rc == SL_OK) {
		book->sets = SL_NEW_ARRAY(struct ruleset *, all->len + 1);
		book->enabled = SL_NEW_ARRAY(bool, all->len + 1);
		for (size_t i = 0; i < all->len; i++) {
			if (all->rules[i]->is_shadow) { /* there is nothing live to compare it on */
				rule_free(all->rules[i]);
				continue;
			}
			all->rules[i]->shadow_rule = NULL;
			book->enabled[book->count] = all->rules[i]->enabled;
			book->sets[book->count++] = rule_try_set(all->rules[i]);
		}
		all->len = 0; /* they have new homes */
	}
	ruleset_unref(all);
	return rc;
}

int rule_book_load(struct rule_book *book, const char *path, struct conf_report *report) {
	struct sl_err err = SL_ERR_INIT;
	int rc = yaml_doc_load_file(path, &book->doc, &err);
	if (rc != SL_OK) {
		conf_report_take(report, &err);
		return rc;
	}
	const json_t *root = yaml_doc_root(book->doc);
	return rule_book_fill(book, book->doc, json_object_get(root, "connectors"), json_object_get(root, "rules"),
			      report);
}

void rule_book_fini(struct rule_book *book) {
	for (size_t i = 0; i < book->count; i++) ruleset_unref(book->sets[i]);
	sl_free(book->sets);
	sl_free(book->enabled);
	connectors_set_free(book->connectors);
	yaml_doc_free(book->doc);
	*book = (struct rule_book)RULE_BOOK_INIT;
}

int rule_book_find(const struct rule_book *book, const char *id, struct ruleset **out, struct sl_err *err) {
	const char **names = SL_NEW_ARRAY(const char *, book->count + 1);
	*out = NULL;
	for (size_t i = 0; i < book->count; i++) {
		names[i] = rule_book_rule(book, i)->id;
		if (strcmp(names[i], id) == 0) *out = book->sets[i];
	}
	int rc = SL_OK;
	if (!*out) {
		const char *near = slice_nearest(slice_from_str(id), names, book->count);
		rc = sl_err_set(err, SL_ENOTFOUND, "there is no rule '%s'%s%s%s", id, near ? "; did you mean '" : "",
				near ? near : "", near ? "'?" : "");
	}
	sl_free(names);
	return rc;
}
