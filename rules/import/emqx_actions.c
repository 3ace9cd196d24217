/* emqx_actions.c: see emqx_actions.h. */
#include "emqx_actions.h"

#include <stdlib.h>

#include "emqx_targets.h"
#include "emqx_template.h"
#include "republish_props.h"
#include "topic.h"

enum { PROPERTY_BYTES_MAX = 1000 };

/* ---- republish ---------------------------------------------------------------------------------------------------- */

/* A number or a boolean as the text it is; NULL for none. */
static const char *scalar_text(struct emqx *e, const json_t *value) {
	if (json_is_string(value)) return json_string_value(value);
	if (!json_is_number(value) && !json_is_boolean(value)) return NULL;
	char *text = json_dumps(value, JSON_ENCODE_ANY);
	const char *kept = import_text(e->imp, text);
	free(text);
	return kept;
}

/* qos and retain: what is not selected counts as 0 and false there. */
static void republish_flag(struct emqx *e, struct import_rule *r, const json_t *value, const char *name,
			   json_t *otherwise, json_t *into) {
	char placeholder[16];
	snprintf(placeholder, sizeof placeholder, "${%s}", name);
	const char *text = scalar_text(e, value);
	if (!text || !*text) text = placeholder;
	bool given = import_rule_gives(r, slice_from_str(name));
	if (strcmp(text, placeholder) == 0 && !given) {
		json_object_set(into, name, otherwise);
	} else if (json_is_integer(value) || json_is_boolean(value)) {
		json_object_set(into, name, (json_t *)(uintptr_t)value);
	} else {
		json_object_set_new(into, name, json_string(emqx_template(e->imp, r, "action republish", text)));
	}
	json_decref(otherwise);
}

static void republish_template(struct emqx *e, struct import_rule *r, const char *text, const char *name,
			       json_t *into) {
	json_object_set_new(into, name, json_string(emqx_template(e->imp, r, "action republish", text)));
}

static void republish_user_properties(struct emqx *e, struct import_rule *r, const json_t *value, json_t *into) {
	const char *text = json_string_value(value), *key;
	json_t *item;
	if (json_is_object(value)) {
		json_t *map = json_object();
		json_object_foreach((json_t *)(uintptr_t)value, key, item) {
			const char *scalar = scalar_text(e, item);
			if (scalar && *key && strlen(key) <= PROPERTY_BYTES_MAX)
				republish_template(e, r, scalar, key, map);
			else
				import_note(e->imp, r, IMPORT_MAPPING, "action republish",
					    "a user property is left out: %s",
					    scalar ? "its name is empty or very long" : "its value is no text");
		}
		json_object_set_new(into, "user_properties", map);
		return;
	}
	bool unsaid = !text || strcmp(text, "${user_properties}") == 0;
	if ((text && !*text) || (unsaid && !import_rule_gives(r, SL_SLICE_LIT("user_properties")))) return;
	const char *ours = emqx_template(e->imp, r, "action republish", unsaid ? "${user_properties}" : text);
	bool one = strncmp(ours, "${", 2) == 0 && strchr(ours, '}') == ours + strlen(ours) - 1;
	if (one)
		json_object_set_new(into, "user_properties", json_string(ours));
	else
		import_note(
		    e->imp, r, IMPORT_MAPPING, "action republish",
		    "user_properties: '%s' is left out: it is no object; here as there one placeholder gives it, or "
		    "each is named: user_properties: {name: \"${...}\"}",
		    text);
}

static bool is_format(struct sl_slice text) {
	uint32_t n;
	return republish_format_parse(text, &n);
}
static bool is_expiry(struct sl_slice text) {
	uint32_t n;
	return republish_expiry_parse(text, &n);
}

static const struct property {
	const char *theirs, *ours;
	bool (*is_fine)(struct sl_slice text); /* of a constant; NULL: any */
} properties_known[] = {{"Payload-Format-Indicator", "payload_format", is_format},
			{"Message-Expiry-Interval", "message_expiry", is_expiry},
			{"Content-Type", "content_type", NULL},
			{"Response-Topic", "response_topic", topic_name_valid},
			{"Correlation-Data", "correlation_data", NULL}};

/* What cannot be sent is left out there, too. */
static void republish_property(struct emqx *e, struct import_rule *r, const struct property *p, const char *text,
			       json_t *into) {
	const char *ours = emqx_template(e->imp, r, "action republish", text);
	if (p->is_fine && !strstr(ours, "${") && !p->is_fine(slice_from_str(ours)))
		import_note(e->imp, r, IMPORT_MAPPING, "action republish",
			    "mqtt_properties.%s ('%s') is left out: it is no value that can be sent", p->theirs, text);
	else
		json_object_set_new(into, p->ours, json_string(ours));
}

static void republish_properties(struct emqx *e, struct import_rule *r, const json_t *properties, json_t *into) {
	for (size_t i = 0; i < SL_ARRAY_LEN(properties_known); i++) {
		const char *text = scalar_text(e, json_object_get(properties, properties_known[i].theirs));
		if (text && *text) republish_property(e, r, &properties_known[i], text, into);
	}
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)properties, key, value) {
		bool known = false;
		for (size_t i = 0; i < SL_ARRAY_LEN(properties_known); i++)
			known = known || strcmp(key, properties_known[i].theirs) == 0;
		if (!known)
			import_note(e->imp, r, IMPORT_MAPPING, "action republish",
				    "mqtt_properties.%s is left out: a message has no such property", key);
	}
}

static json_t *republish(struct emqx *e, struct import_rule *r, const json_t *args) {
	json_t *o = json_object();
	const char *topic = json_string_value(json_object_get(args, "topic"));
	const char *payload = json_string_value(json_object_get(args, "payload"));
	republish_template(e, r, topic ? topic : "", "topic", o);
	republish_template(e, r, !payload ? "${payload}" : *payload ? payload : "${.}", "payload", o);
	republish_flag(e, r, json_object_get(args, "qos"), "qos", json_integer(0), o);
	republish_flag(e, r, json_object_get(args, "retain"), "retain", json_false(), o);
	republish_properties(e, r, json_object_get(args, "mqtt_properties"), o);
	republish_user_properties(e, r, json_object_get(args, "user_properties"), o);
	if (json_is_true(json_object_get(args, "direct_dispatch")))
		import_note(e->imp, r, IMPORT_MAPPING, "action republish",
			    "direct_dispatch: here rules meet republished messages, too (at most eight in a row), and "
			    "retained ones are kept");
	return json_pack("{s:o}", "republish", o);
}

static void function_add(struct emqx *e, struct import_rule *r, json_t *action) {
	const char *function = json_string_value(json_object_get(action, "function"));
	struct import_action a = {.name = function ? function : "(unnamed)", .original = json_incref(action)};
	if (function && strcmp(function, "republish") == 0 && r->compiled)
		a.ours = republish(e, r, json_object_get(action, "args"));
	else if (function && strcmp(function, "console") == 0)
		a.ours = json_pack("{s:{}}", "console");
	else
		a.advice = "a function of EMQX's own code; republish to a topic that a program of yours subscribes to";
	import_action_add(e->imp, r, &a);
}

/* ---- "type:name" -------------------------------------------------------------------------------------------------- */

json_t *emqx_settings(const struct emqx *e, const char *section, const char *type, const char *name) {
	json_t *found = NULL;
	for (size_t i = 0; i < e->root_count; i++) {
		json_t *there = json_object_get(json_object_get(json_object_get(e->roots[i], section), type), name);
		if (json_is_object(there)) found = there;
	}
	return found;
}

static const json_t *parameter(const struct emqx_reference *ref, const char *name) {
	json_t *parameters = json_object_get(ref->action, "parameters");
	json_t *value = json_object_get(parameters, name);
	return value ? value : json_object_get(ref->action, name);
}

static const struct family {
	const char *prefix; /* of the type */
	const char *advice;
} families[] = {
    {"http", "there are no web hooks here; republish to a topic that a program of yours subscribes to"},
    {"webhook", "there are no web hooks here; republish to a topic that a program of yours subscribes to"},
    {"mqtt", "there is no bridge here; republish to a topic that a bridge (mosquitto's, for example) subscribes to"},
    {"s3", "a connector of type file appends the rows to files with rotation"},
    {"disk_log",
     "a connector of type file does this; give it the folder (`filepath` is not in these files, or depends on "
     "the environment)"},
};

static const struct family *family_find(const char *type) {
	for (size_t i = 0; i < SL_ARRAY_LEN(families); i++)
		if (strncmp(type, families[i].prefix, strlen(families[i].prefix)) == 0) return &families[i];
	return NULL;
}

/* ---- disk_log: lines of a file -------------------------------------------------------------------------------------- */

static void copy_scalar(const json_t *from, const char *name, json_t *into, const char *as) {
	json_t *value = json_object_get(from, name);
	bool unlimited = json_is_string(value) && strcmp(json_string_value(value), "infinity") == 0;
	if (json_is_string(value) || json_is_integer(value))
		json_object_set_new(into, as, unlimited ? json_string("unlimited") : json_incref(value));
}

static json_t *disk_log(struct emqx *e, struct import_rule *r, const struct emqx_reference *ref) {
	const char *path = json_string_value(json_object_get(ref->connector, "filepath"));
	const char *slash = path ? strrchr(path, '/') : NULL;
	/* ${...} in it is the environment of the other broker's machine. */
	if (!path || !*(slash ? slash + 1 : path) || strstr(path, "${")) return NULL;
	const char *folder = slash == path ? "/"
			     : slash       ? sl_arena_strdup(&e->imp->arena, slice_make(path, (size_t)(slash - path)))
					   : ".";
	const json_t *line = parameter(ref, "template"), *rotation = json_object_get(ref->connector, "rotation");
	const char *period = json_string_value(json_object_get(rotation, "period"));
	json_t *o = json_object();
	json_object_set_new(o, "connector",
			    json_string(import_connector_put(e->imp, ref->connector_name,
							     json_pack("{s:s, s:s}", "type", "file", "dir", folder))));
	json_object_set_new(o, "file", json_string(slash ? slash + 1 : path));
	if (json_is_string(line) && strcmp(json_string_value(line), "${.}") != 0)
		json_object_set_new(o, "line",
				    json_string(emqx_template(e->imp, r, import_printf(e->imp, "action %s", ref->text),
							      json_string_value(line))));
	copy_scalar(ref->connector, "max_file_size", o, "rotate_size");
	copy_scalar(ref->connector, "max_file_number", o, "keep");
	if (period && strcmp(period, "hour") == 0) json_object_set_new(o, "rotate_every", json_string("1h"));
	if (period && strcmp(period, "day") == 0) json_object_set_new(o, "rotate_every", json_string("1d"));
	return o;
}

/* ---- references ----------------------------------------------------------------------------------------------------- */

/* The settings as they are, for a comment. New reference. */
static json_t *reference_original(struct emqx *e, const struct emqx_reference *ref) {
	json_t *all = json_object();
	if (!ref->action) {
		json_object_set_new(all, "action", json_string(ref->text));
		return all;
	}
	json_object_set(all, import_printf(e->imp, "actions.%s.%s", ref->type, ref->name), ref->action);
	if (ref->connector && ref->connector != ref->action)
		json_object_set(all, import_printf(e->imp, "connectors.%s.%s", ref->type, ref->connector_name),
				ref->connector);
	return all;
}

static void reference_advice(struct emqx *e, const struct emqx_reference *ref, struct import_action *a) {
	const struct family *family = family_find(ref->type);
	const struct emqx_target *target = emqx_target_find(ref->type);
	const char *advice = target   ? import_printf(e->imp, "a connector of type %s does this", target->ours)
			     : family ? family->advice
				      : "this kind of action has no like here";
	if (ref->action && json_is_false(json_object_get(ref->action, "enable")))
		a->advice = import_printf(e->imp, "it is switched off there, and left out here (%s)", advice);
	else if (!ref->action)
		a->advice = import_printf(e->imp, "its settings are in none of these files; %s", advice);
	else if (target && !ref->connector)
		a->advice =
		    import_printf(e->imp, "its connector '%s' is in none of these files; import them together (%s)",
				  ref->connector_name, advice);
	else
		a->advice = advice;
}

/* What is told of a connector is told at the first rule that uses it; the others say where. */
static json_t *target_map(struct emqx *e, struct import_rule *r, const struct emqx_target *target,
			  const struct emqx_reference *ref) {
	const char *key = import_printf(e->imp, "%s:%s", ref->type, ref->connector_name);
	const char *first = json_string_value(json_object_get(e->told, key));
	size_t before = r->note_count;
	json_t *made = emqx_target_map(e->imp, r, target, ref, first != NULL);
	if (first && *first && strcmp(first, r->id) != 0)
		import_note(e->imp, r, IMPORT_MAPPING, import_printf(e->imp, "connector %s", key),
			    "what it needs is said at the rule '%s'", first);
	if (first) return made;
	bool needs = false;
	for (size_t i = before; i < r->note_count; i++)
		needs = needs ||
			(r->notes[i].status != IMPORT_UNCHANGED && strncmp(r->notes[i].what, "connector ", 10) == 0);
	json_object_set_new(e->told, key, json_string(needs ? r->id : ""));
	return made;
}

static void note_fallbacks(struct emqx *e, struct import_rule *r, const struct emqx_reference *ref) {
	if (json_array_size(json_object_get(ref->action, "fallback_actions")))
		import_note(
		    e->imp, r, IMPORT_MAPPING, import_printf(e->imp, "action %s", ref->text),
		    "fallback_actions: `on_error: {republish: {...}}` of the action does this here, for rows that "
		    "are refused");
}

static void reference_add(struct emqx *e, struct import_rule *r, const char *text) {
	const char *colon = strchr(text, ':');
	struct sl_slice type = slice_make(text, colon ? (size_t)(colon - text) : strlen(text));
	struct emqx_reference ref = {
	    .text = text, .type = sl_arena_strdup(&e->imp->arena, type), .name = colon ? colon + 1 : text};
	ref.action = emqx_settings(e, "actions", ref.type, ref.name);
	bool both = !ref.action; /* before 5.4 */
	if (both) ref.action = emqx_settings(e, "bridges", ref.type, ref.name);
	const char *connector = json_string_value(json_object_get(ref.action, "connector"));
	ref.connector_name = connector ? connector : ref.name;
	ref.connector = connector ? emqx_settings(e, "connectors", ref.type, connector) : both ? ref.action : NULL;
	struct import_action a = {.name = text, .original = reference_original(e, &ref)};
	bool off = json_is_false(json_object_get(ref.action, "enable"));
	const struct emqx_target *target = emqx_target_find(ref.type);
	if (strcmp(ref.type, "disk_log") == 0 && r->compiled) a.ours = disk_log(e, r, &ref);
	if (target && ref.action && ref.connector && r->compiled) a.ours = target_map(e, r, target, &ref);
	if (a.ours && off) json_object_set_new(a.ours, "enabled", json_false());
	if (!a.ours) reference_advice(e, &ref, &a);
	note_fallbacks(e, r, &ref);
	import_action_add(e->imp, r, &a);
}

void emqx_action_add(struct emqx *e, struct import_rule *rule, json_t *action) {
	if (json_is_string(action)) {
		reference_add(e, rule, json_string_value(action));
	} else if (json_is_object(action)) {
		function_add(e, rule, action);
	} else {
		struct import_action a = {.name = "(unnamed)",
					  .original = json_incref(action),
					  .advice = "neither \"type:name\" nor {function, args}"};
		import_action_add(e->imp, rule, &a);
	}
}
