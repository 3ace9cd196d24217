#include "auth_identity.h"

#include <stdio.h>
#include <stdlib.h>

#include "acl.h"
#include "mem.h"
#include "utf8.h"

struct auth_identity *auth_identity_new(void) {
	struct auth_identity *id = SL_NEW(struct auth_identity);
	atomic_init(&id->refs, 1);
	return id;
}

struct auth_identity *auth_identity_ref(struct auth_identity *id) {
	atomic_fetch_add_explicit(&id->refs, 1, memory_order_relaxed);
	return id;
}

void auth_identity_unref(struct auth_identity *id) {
	if (!id || atomic_fetch_sub_explicit(&id->refs, 1, memory_order_acq_rel) != 1) return;
	for (size_t i = 0; i < id->attrs_len; i++) {
		sl_free(id->attrs[i].name);
		sl_free(id->attrs[i].value);
	}
	sl_free(id->attrs);
	sl_free(id->username);
	acl_rules_unref(id->acl);
	sl_free(id);
}

static bool fit(struct sl_slice text, size_t max) {
	return text.n <= max && (text.n == 0 || (!memchr(text.p, '\0', text.n) && utf8_valid(text)));
}

bool auth_identity_set(struct auth_identity *id, struct sl_slice name, struct sl_slice value) {
	if (name.n == 0 || !fit(name, AUTH_ATTR_NAME_MAX) || !fit(value, AUTH_ATTR_VALUE_MAX)) return false;
	for (size_t i = 0; i < id->attrs_len; i++) {
		if (!slice_equal_str(name, id->attrs[i].name)) continue;
		sl_free(id->attrs[i].value);
		id->attrs[i].value = slice_dup(value);
		return true;
	}
	if (id->attrs_len == AUTH_ATTRS_MAX) return false;
	id->attrs = sl_realloc_array(id->attrs, id->attrs_len + 1, sizeof *id->attrs);
	id->attrs[id->attrs_len++] = (struct sl_attr){.name = slice_dup(name), .value = slice_dup(value)};
	return true;
}

static void set_json(struct auth_identity *id, const char *name, const json_t *value) {
	char number[32];
	struct sl_slice key = slice_from_str(name);
	if (json_is_string(value)) {
		(void)auth_identity_set(id, key, slice_make(json_string_value(value), json_string_length(value)));
	} else if (json_is_integer(value)) {
		snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		(void)auth_identity_set(id, key, slice_from_str(number));
	} else if (json_is_boolean(value)) {
		(void)auth_identity_set(id, key, slice_from_str(json_is_true(value) ? "true" : "false"));
	} else if (!json_is_null(value)) {
		char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
		if (text) (void)auth_identity_set(id, key, slice_from_str(text));
		free(text);
	}
}

void auth_identity_set_all(struct auth_identity *id, const json_t *members) {
	const char *name;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)members, name, value) set_json(id, name, value);
}

bool auth_identity_set_username(struct auth_identity *id, struct sl_slice name) {
	if (name.n == 0 || !fit(name, AUTH_USERNAME_MAX)) return false;
	sl_free(id->username);
	id->username = slice_dup(name);
	return true;
}

int auth_identity_set_acl(struct auth_identity *id, const json_t *rules, struct sl_err *err) {
	struct acl_rules *compiled = NULL;
	int rc = acl_rules_from_json(rules, &compiled, err);
	if (rc != SL_OK) return rc;
	acl_rules_unref(id->acl);
	id->acl = compiled;
	return SL_OK;
}

const char *auth_identity_attr(const struct auth_identity *id, struct sl_slice name) {
	for (size_t i = 0; id && i < id->attrs_len; i++)
		if (slice_equal_str(name, id->attrs[i].name)) return id->attrs[i].value;
	return NULL;
}
