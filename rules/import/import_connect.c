/* import_connect.c: see import_connect.h. */
#include "import_connect.h"

#include <ctype.h>

#include "buf.h"
#include "mem.h"

enum { CONNECTOR_NAME_BYTES_MAX = 64 };

void import_map_note(struct import_map *m, enum import_status status, const char *fmt, ...) {
	if (m->quiet) return;
	va_list ap;
	va_start(ap, fmt);
	char *text = sl_vasprintf(fmt, ap);
	va_end(ap);
	import_note(m->imp, m->rule, status, m->what, "%s", text);
	sl_free(text);
}

const char *import_plain(struct import *imp, const char *text) {
	struct sl_buf out = SL_BUF_INIT;
	if (!text || !strstr(text, "${")) return text;
	for (; *text; text++) {
		if (text[0] == '$' && text[1] == '{') sl_buf_put(&out, '$');
		sl_buf_put(&out, *text);
	}
	const char *made = import_text(imp, sl_buf_cstr(&out));
	sl_buf_fini(&out);
	return made;
}

void import_set(json_t *into, const char *name, const char *text) {
	if (text && *text) json_object_set_new(into, name, json_string(text));
}

void import_set_plain(struct import_map *m, json_t *into, const char *name, const char *text) {
	import_set(into, name, import_plain(m->imp, text));
}

/* "host" without a port; an IPv6 address has brackets, or colons only within it. */
static bool has_port(struct sl_slice server) {
	ptrdiff_t bracket = slice_find_byte(server, ']'), colon = slice_find_byte(server, ':');
	if (bracket >= 0) return slice_find_byte(slice_from(server, (size_t)bracket), ':') >= 0;
	return colon >= 0;
}

json_t *import_servers(struct import *imp, const char *text, unsigned port) {
	json_t *list = json_array();
	for (struct sl_slice rest = slice_from_str(text ? text : ""); rest.n;) {
		struct sl_slice server = slice_trim(slice_next_part(&rest, ','));
		if (server.n == 0) continue;
		const char *made = import_printf(imp, "%.*s", SL_SLICE_ARG(server));
		if (port && !has_port(server)) made = import_printf(imp, "%s:%u", made, port);
		json_array_append_new(list, json_string(import_plain(imp, made)));
	}
	return list;
}

/* "pgsql main", "password" -> PGSQL_MAIN_PASSWORD. */
static const char *variable_name(struct import *imp, const char *base, const char *option) {
	const char *joined = import_printf(imp, "%s_%s", base, option);
	struct sl_buf out = SL_BUF_INIT;
	if (isdigit((unsigned char)*joined)) sl_buf_put(&out, '_');
	for (const char *p = joined; *p; p++)
		sl_buf_put(&out, (char)(isalnum((unsigned char)*p) ? toupper((unsigned char)*p) : '_'));
	const char *made = import_text(imp, sl_buf_cstr(&out));
	sl_buf_fini(&out);
	return made;
}

/* What stands in a file there does so here. NULL: it does not, or our words for it could not be read. */
static const char *secret_of_file(struct import_map *m, const char *option, const char *value, const char *hint) {
	const char *file = strncmp(value, "file://", 7) == 0 ? value + 7 : "";
	if (!*file || strpbrk(file, "${}")) return NULL;
	import_map_note(m, IMPORT_MAPPING, "%s stands in the file %s, as there: copy it, or change the path%s%s",
			option, file, hint ? "; " : "", hint ? hint : "");
	return import_printf(m->imp, "${file:%s}", file);
}

const char *import_secret(struct import_map *m, const char *base, const char *option, const char *value,
			  const char *hint) {
	const char *name = variable_name(m->imp, base, option), *made = name;
	const char *there, *in_file = secret_of_file(m, option, value, hint);
	if (in_file) return in_file;
	for (int n = 2;
	     (there = json_string_value(json_object_get(m->imp->secrets, made))) && strcmp(there, value) != 0; n++)
		made = import_printf(m->imp, "%s_%d", name, n);
	json_object_set_new(m->imp->secrets, made, json_string(value));
	import_map_note(m, IMPORT_MAPPING,
			"%s: secrets are not copied; set the environment variable %s before the start%s%s", option,
			made, hint ? "; " : "", hint ? hint : "");
	return import_printf(m->imp, "${%s}", made);
}

const char *import_connector_put(struct import *imp, const char *name, json_t *connector) {
	if (!*name || strlen(name) > CONNECTOR_NAME_BYTES_MAX)
		name = json_string_value(json_object_get(connector, "type"));
	const char *made = name, *key;
	json_t *there;
	json_object_foreach(imp->connectors, key, there) {
		if (strncmp(key, name, strlen(name)) != 0 || !json_equal(there, connector)) continue;
		json_decref(connector);
		return import_text(imp, key);
	}
	for (int n = 2; json_object_get(imp->connectors, made); n++) made = import_printf(imp, "%s_%d", name, n);
	made = import_text(imp, made);
	json_object_set_new(imp->connectors, made, connector);
	return made;
}
