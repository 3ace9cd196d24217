/* rules_definition.c: see rules_definition.h. */
#include "rules_definition.h"

#include <inttypes.h>
#include <stdio.h>

#include "rules.h"
#include "ruleset.h"

/* Text that came from outside and may not be UTF-8. */
static json_t *json_text(const char *s) {
	json_t *text = json_string(s ? s : "");
	return text ? text : json_string("(not UTF-8)");
}

static json_t *hash_text(uint64_t hash) {
	char text[17];
	snprintf(text, sizeof text, "%016" PRIx64, hash);
	return json_string(text);
}

json_t *rule_action_definition(const struct rule_action *a) {
	static const char *const kinds[] = {
	    [ACTION_CONNECTOR] = "connector", [ACTION_REPUBLISH] = "republish", [ACTION_CONSOLE] = "console"};
	json_t *out = json_object();
	json_object_set_new(out, "kind", json_string(kinds[a->kind]));
	json_object_set_new(out, "name", json_text(a->label));
	if (a->disabled) json_object_set_new(out, "enabled", json_false());
	json_object_set_new(out, "hash", hash_text(a->hash));
	json_object_set_new(out, "face", json_text(a->face));
	return out;
}

json_t *rule_definition(const struct rule *r) {
	static const char *const dialects[] = {[SQL_STANDARD] = "standard", [SQL_AWS] = "aws"};
	json_t *out = json_object(), *tags = json_array();
	json_object_set_new(out, "id", json_text(r->id));
	json_object_set_new(out, "description", json_text(r->description));
	json_object_set_new(out, "dialect", json_string(dialects[r->dialect]));
	json_object_set_new(out, "enabled", json_boolean(r->enabled));
	for (size_t i = 0; i < r->tag_count; i++) json_array_append_new(tags, json_text(r->tags[i]));
	json_object_set_new(out, "tags", tags);
	json_object_set_new(out, "sql", json_text(r->text));
	json_object_set_new(out, "hash", hash_text(r->hash));
	if (r->shadow_rule) {
		json_t *shadow = json_object();
		json_object_set_new(shadow, "sql", json_text(r->shadow_rule->text));
		json_object_set_new(out, "shadow", shadow);
	}
	return out;
}
