/* emqx_options.c: see emqx_options.h. */
#include "emqx_options.h"

#include <ctype.h>
#include <stdlib.h>

#include "buf.h"
#include "conf_units.h"
#include "mem.h"

/* ---- by path -------------------------------------------------------------------------------------------------------- */

static const json_t *walk(const json_t *tree, const char *path) {
	struct sl_slice rest = slice_from_str(path);
	while (rest.p && tree) {
		struct sl_slice part = slice_next_part(&rest, '.');
		char *key = slice_dup(part);
		tree = json_object_get(tree, key);
		sl_free(key);
	}
	return json_is_null(tree) ? NULL : tree;
}

const json_t *emqx_get(const json_t *tree, const char *path) {
	const json_t *value = walk(json_object_get(tree, "parameters"), path);
	return value ? value : walk(tree, path);
}

static const char *scalar(struct import *imp, const json_t *value) {
	if (json_is_string(value)) return *json_string_value(value) ? json_string_value(value) : NULL;
	if (!json_is_number(value) && !json_is_boolean(value)) return NULL;
	char *text = json_dumps(value, JSON_ENCODE_ANY);
	const char *kept = import_text(imp, text);
	free(text);
	return kept;
}

const char *emqx_text(struct import *imp, const json_t *tree, const char *path) {
	return scalar(imp, emqx_get(tree, path));
}

bool emqx_true(const json_t *tree, const char *path) {
	const json_t *value = emqx_get(tree, path);
	return json_is_true(value) || (json_is_string(value) && strcmp(json_string_value(value), "true") == 0);
}

static bool one_of(const char *text, const char *values) {
	for (struct sl_slice rest = slice_from_str(values ? values : ""); text && rest.p;) {
		struct sl_slice value = slice_next_part(&rest, '|');
		if (value.n == strlen(text) && strncasecmp(value.p, text, value.n) == 0) return true;
	}
	return false;
}

bool emqx_is(struct import *imp, const json_t *tree, const char *path, const char *values) {
	return one_of(emqx_text(imp, tree, path), values);
}

/* ---- numbers with units ----------------------------------------------------------------------------------------------- */

enum unit { MILLISECONDS, BYTES, COUNT };

static bool parse(const json_t *value, enum unit unit, int64_t *out) {
	if (json_is_integer(value)) {
		*out = json_integer_value(value);
		return true;
	}
	if (!json_is_string(value)) return false;
	char *text = sl_strdup(json_string_value(value));
	for (char *p = text; *p && unit == BYTES; p++) *p = (char)toupper((unsigned char)*p);
	int rc = unit == MILLISECONDS ? conf_parse_duration(slice_from_str(text), out, NULL)
				      : conf_parse_size(slice_from_str(text), out, NULL);
	sl_free(text);
	return rc == SL_OK;
}

static bool number(struct import_map *m, const json_t *tree, const char *path, const char *usual, enum unit unit,
		   int64_t *out) {
	const char *text = emqx_text(m->imp, tree, path);
	if (!text || one_of(text, usual) || one_of(text, "infinity|undefined|disabled")) return false;
	if (parse(emqx_get(tree, path), unit, out)) return true;
	import_map_note(m, IMPORT_MAPPING, "%s ('%s') is not read as a number, and left out", path, text);
	return false;
}

static void put(struct import_map *m, const char *path, int64_t value, enum unit unit, json_t *into, const char *name,
		int64_t min, int64_t max) {
	int64_t fine = value < min ? min : value > max ? max : value;
	struct sl_buf text = SL_BUF_INIT;
	if (unit == MILLISECONDS) conf_write_duration(&text, fine);
	if (unit == BYTES) conf_write_size(&text, fine);
	if (unit == COUNT) sl_buf_printf(&text, "%lld", (long long)fine);
	if (fine != value)
		import_map_note(m, IMPORT_MAPPING, "%s: `%s` is %s here, which is as %s as it can be", path, name,
				sl_buf_cstr(&text), fine < value ? "much" : "little");
	json_object_set_new(into, name, unit == COUNT ? json_integer(fine) : json_string(sl_buf_cstr(&text)));
	sl_buf_fini(&text);
}

#define PUT(function, unit)                                                                                            \
	void function(struct import_map *m, const json_t *tree, const char *path, const char *usual, json_t *into,     \
		      const char *name, int64_t min, int64_t max) {                                                    \
		int64_t value;                                                                                         \
		if (number(m, tree, path, usual, unit, &value)) put(m, path, value, unit, into, name, min, max);       \
	}
PUT(emqx_put_duration, MILLISECONDS)
PUT(emqx_put_size, BYTES)
PUT(emqx_put_number, COUNT)
#undef PUT

static void put_plain(struct import_map *m, const json_t *tree, const char *path, const char *usual, enum unit unit,
		      json_t *into, const char *name) {
	int64_t value;
	if (number(m, tree, path, usual, unit, &value))
		json_object_set_new(emqx_member(into, "properties"), name,
				    json_string(import_printf(m->imp, "%lld", (long long)value)));
}

void emqx_put_bytes(struct import_map *m, const json_t *tree, const char *path, const char *usual, json_t *into,
		    const char *name) {
	put_plain(m, tree, path, usual, BYTES, into, name);
}

void emqx_put_ms(struct import_map *m, const json_t *tree, const char *path, const char *usual, json_t *into,
		 const char *name) {
	put_plain(m, tree, path, usual, MILLISECONDS, into, name);
}

json_t *emqx_member(json_t *into, const char *name) {
	json_t *there = json_object_get(into, name);
	if (!there) json_object_set_new(into, name, there = json_object());
	return there;
}

/* ---- what is left out ------------------------------------------------------------------------------------------------- */

/* All kinds have these. */
static const struct emqx_option common[] = {
    {"type", NULL, NULL},
    {"name", NULL, NULL},
    {"enable", NULL, NULL},
    {"connector", NULL, NULL},
    {"description", NULL, NULL},
    {"fallback_actions", NULL, NULL},
    {"tags", "", "there are no tags here"},
    /* What the HTTP API adds of its own. */
    {"created_at", "", ""},
    {"last_modified_at", "", ""},
    {"status", "", ""},
    {"status_reason", "", ""},
    {"node_status", "", ""},
    {"error", "", ""},
    {"actions", "", ""},
    {"sources", "", ""},
    {"rules", "", ""},
    {"metrics.*", "", ""},
    {"node_metrics", "", ""},
    /* Of connectors; see emqx_connectors.c. */
    {"ssl.enable", NULL, NULL},
    {"ssl.verify", NULL, NULL},
    {"ssl.cacertfile", NULL, NULL},
    {"ssl.certfile", NULL, NULL},
    {"ssl.keyfile", NULL, NULL},
    {"ssl.password", NULL, NULL},
    {"ssl.server_name_indication", NULL, NULL},
    {"ssl.versions", NULL, NULL},
    {"ssl.ciphers", "", "the ciphers are those of the system's OpenSSL"},
    {"ssl.cacerts", "false|true", "without `tls.ca` the system's authorities are trusted"},
    {"ssl.depth", "10", "chains may be as long as OpenSSL allows"},
    {"ssl.reuse_sessions", "true|false", ""},
    {"ssl.secure_renegotiate", "true", "renegotiation is always secure"},
    {"ssl.hibernate_after", "", ""},
    {"ssl.log_level", "", ""},
    {"ssl.middlebox_comp_mode", "true", "TLS 1.3 looks as middleboxes want it"},
    {"ssl.user_lookup_fun", "emqx_tls_psk:lookup", "there are no pre-shared keys here"},
    {"ssl.partial_chain", "false", "`tls.ca` names the authorities that are trusted"},
    {"ssl.verify_peer_ext_key_usage", "undefined", "the usage of the server's certificate is checked by OpenSSL"},
    {"resource_opts.start_after_created", "true", "a connector connects when its configuration is loaded"},
    {"resource_opts.start_timeout", "5s|5000", "nothing waits for a connector to start; see its `connect_timeout`"},
    {"resource_opts.auto_restart_interval", "60s|60000|infinity", "see `reconnect` of the connector"},
    {"resource_opts.health_check_interval", NULL, NULL},
    {"resource_opts.health_check_interval_jitter", "0ms|0s|0", "`probe` of the connector has no jitter"},
    {"resource_opts.health_check_timeout", "60s|60000|infinity", "see `stalled_after` of the action"},
    {"resource_opts.worker_pool_size", "16",
     "batches of an action go out side by side as far as `pool` of the connector allows"},
    {"resource_opts.dispatch_strategy", NULL, NULL},
    {"resource_opts.batch_size", NULL, NULL},
    {"resource_opts.batch_time", NULL, NULL},
    {"resource_opts.request_ttl", NULL, NULL},
    {"resource_opts.request_timeout", "15s|45s|infinity|15000|45000", "see `timeout` and `retry.ttl` of the action"},
    {"resource_opts.resume_interval", "15s|15000|5s|5000", "see `retry.first` and `retry.max` of the action"},
    {"resource_opts.inflight_window", "100|1",
     "the connector decides how many batches are under way; `order: key` keeps the rows of one client in order"},
    {"resource_opts.async_inflight_window", "100|1", "the connector decides how many batches are under way"},
    {"resource_opts.enable_queue", "false", "rows that wait are in memory and then in a log on disk; see `buffer`"},
    {"resource_opts.max_queue_bytes", "100MB|256MB", "see `buffer.memory` and `buffer.disk` of the action"},
    {"resource_opts.max_buffer_bytes", NULL, NULL},
    {"resource_opts.buffer_mode", "memory_only|volatile_offload",
     "rows that wait are in memory and then in a log on disk; see `buffer`"},
    {"resource_opts.buffer_seg_bytes", NULL, NULL},
    {"resource_opts.metrics_flush_interval", "5s|5000", "counters are always up to date"},
    {"resource_opts.query_mode", "async",
     "publishers wait for the log and not for the server; `buffer.durability: disk` makes all of them wait for it"},
    {NULL, NULL, NULL}};

static bool path_fits(const char *path, const char *pattern) {
	size_t n = strlen(pattern);
	if (n > 2 && strcmp(pattern + n - 2, ".*") == 0)
		return strncmp(path, pattern, n - 1) == 0 || (strncmp(path, pattern, n - 2) == 0 && !path[n - 2]);
	return strcmp(path, pattern) == 0;
}

static const struct emqx_option *option_find(const struct emqx_option *table, const char *path) {
	for (; table && table->path; table++)
		if (path_fits(path, table->path)) return table;
	return NULL;
}

struct leaves {
	struct import_map *m;
	const struct emqx_option *tables[3];
};

static void leaf(struct leaves *l, const char *path, const json_t *value) {
	const struct emqx_option *o = NULL;
	for (size_t i = 0; i < SL_ARRAY_LEN(l->tables) && !o; i++) o = option_find(l->tables[i], path);
	const char *text = scalar(l->m->imp, value);
	if (o && (!o->advice || !*o->advice || one_of(text, o->usual))) return;
	if (!text && json_array_size(value) == 0) return;
	if (o)
		import_map_note(l->m, IMPORT_MAPPING, "%s is left out: %s", path, o->advice);
	else
		import_map_note(l->m, IMPORT_MAPPING, "%s is left out: this import does not know it", path);
}

static void leaves(struct leaves *l, const char *path, const json_t *tree) {
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)tree, key, value) {
		bool wrapper = !*path && strcmp(key, "parameters") == 0;
		const char *here = wrapper ? "" : *path ? import_printf(l->m->imp, "%s.%s", path, key) : key;
		if (json_is_object(value))
			leaves(l, here, value);
		else
			leaf(l, here, value);
	}
}

void emqx_option_note(struct import_map *m, const char *path, const json_t *value, const struct emqx_option *table) {
	struct leaves l = {m, {table}};
	leaf(&l, path, value);
}

void emqx_options_note(struct import_map *m, const json_t *tree, const struct emqx_option *table,
		       const struct emqx_option *more) {
	struct leaves l = {.m = m, .tables = {table, more, common}};
	if (!m->quiet) leaves(&l, "", tree);
}
