/* broker_conf_listener.c: the options of a listener, and what their table cannot check. */
#include <stddef.h>
#include <string.h>

#include "broker_conf_int.h"
#include "clock.h"
#include "conf_units.h"
#include "mem.h"
#include "schema.h"

static const char *const listener_types[] = {"tcp", "tls", "ws", "wss", "unix", NULL};

#define AT(member) offsetof(struct broker_listener, member)

const struct conf_field broker_listener_fields[] = {
    {.name = "name",
     .type = CONF_STRING,
     .flags = CONF_REQUIRED | CONF_NONEMPTY,
     .at = AT(name),
     .max = 64,
     .doc = "The listener's name in logs and metrics.",
     .example = "mqtt"},
    {.name = "type",
     .type = CONF_ENUM,
     .at = AT(type),
     .names = listener_types,
     .def = "tcp",
     .doc = "What clients speak below MQTT. This build listens on `tcp` and `tls`."},
    {.name = "bind",
     .type = CONF_STRING,
     .flags = CONF_REQUIRED | CONF_EXPAND | CONF_NONEMPTY,
     .at = AT(bind),
     .max = 1024,
     .doc = "Address and port; `0.0.0.0:1883` for all addresses.",
     .example = "0.0.0.0:1883"},
    {.name = "path",
     .type = CONF_STRING,
     .flags = CONF_ADVANCED,
     .at = AT(path),
     .max = 1024,
     .doc = "The URL path of `ws` and `wss` listeners.",
     .example = "/mqtt"},
    {.name = "tls",
     .type = CONF_OBJECT,
     .flags = CONF_ADVANCED | CONF_GIVEN,
     .at = AT(tls),
     .fields = tls_server_fields,
     .doc = "Certificates of `tls` and `wss` listeners, and whose they accept."},
    {.name = "max_connections",
     .type = CONF_INT,
     .flags = CONF_UNLIMITED_OK,
     .at = AT(max_connections),
     .def = "unlimited",
     .min = 1,
     .doc = "Clients at a time; more are turned away."},
    CONF_END};

void broker_conf_split_bind(const char *bind, char **host, uint16_t *port, struct sl_err *err) {
	struct sl_slice h;
	if (conf_parse_bind(slice_from_str(bind), &h, port, err) == SL_OK) *host = slice_dup(h);
}

static int refuse_option(const char *path, const char *option, struct conf_at at, struct conf_report *report,
			 const char *why) {
	char *inner = yaml_path_key(path, option);
	int rc = conf_report_add(report, (struct conf_at){at.doc, inner}, CONF_AT_KEY, SL_EUNSUPPORTED, "%s", why);
	sl_free(inner);
	return rc;
}

static bool speaks_tls(const struct broker_listener *l) { return l->type == LISTENER_TLS || l->type == LISTENER_WSS; }

/* The files are looked at by who is to use them (broker_conf_tls). */
static int check_tls(const struct broker_listener *l, const char *path, struct conf_at at, struct conf_report *report) {
	if (!speaks_tls(l)) {
		if (!l->tls.given) return SL_OK;
		char *why = sl_asprintf("a listener of type %s has no tls options; remove them, or give it the type %s",
					listener_types[l->type], l->type == LISTENER_WS ? "wss" : "tls");
		int rc = refuse_option(path, "tls", at, report, why);
		sl_free(why);
		return rc;
	}
	struct sl_err err = SL_ERR_INIT;
	const char *option = NULL;
	int rc = tls_server_conf_check(&l->tls, &option, &err);
	if (rc == SL_OK) return SL_OK;
	char *tls = yaml_path_key(path, "tls"), *inner = yaml_path_key(tls, option);
	conf_report_add(report, (struct conf_at){at.doc, inner}, CONF_AT_KEY, rc, "%s", sl_err_text(&err));
	sl_free(inner);
	sl_free(tls);
	sl_err_fini(&err);
	return rc;
}

/* Names and types that the file format has and this build has not: said plainly, never ignored. */
static int check_listener(const struct broker_conf *conf, size_t i, const char *path, struct conf_report *report) {
	struct broker_listener *l = broker_conf_listener(conf, i);
	struct conf_at at = {conf->doc, path};
	if (!l->name || !l->bind) return SL_OK; /* reported already */
	if (l->type != LISTENER_TCP && l->type != LISTENER_TLS)
		return refuse_option(
		    path, "type", at, report,
		    "this build listens on tcp and tls only; ws, wss and unix are not available yet, so remove "
		    "this listener");
	for (size_t j = 0; j < i; j++) {
		const char *other = broker_conf_listener(conf, j)->name;
		if (other && strcmp(other, l->name) == 0)
			return refuse_option(path, "name", at, report,
					     "another listener has this name; names must differ");
	}
	int tls_rc = check_tls(l, path, at, report);
	if (tls_rc != SL_OK) return tls_rc;
	if (l->path) return refuse_option(path, "path", at, report, "only ws and wss listeners have a path; remove it");
	struct sl_err err = SL_ERR_INIT;
	broker_conf_split_bind(l->bind, &l->host, &l->port, &err);
	if (l->host) return SL_OK;
	char *inner = yaml_path_key(path, "bind");
	int rc = conf_report_text(report, (struct conf_at){conf->doc, inner}, &err);
	sl_free(inner);
	return rc;
}

static void add_default_listener(struct broker_conf *conf) {
	struct broker_listener *l = SL_NEW(struct broker_listener);
	*l = (struct broker_listener){.name = sl_strdup("mqtt"),
				      .type = LISTENER_TCP,
				      .bind = sl_strdup("127.0.0.1:1883"),
				      .max_connections = CONF_UNLIMITED,
				      .host = sl_strdup("127.0.0.1"),
				      .port = 1883};
	conf->listener_list = (struct conf_objects){.items = l, .len = 1};
}

int broker_conf_check_listeners(struct broker_conf *conf, const json_t *root, struct conf_report *report) {
	int first = SL_OK;
	if (!json_object_get(root, "listeners")) {
		add_default_listener(conf);
		return SL_OK;
	}
	for (size_t i = 0; i < conf->listener_list.len; i++) {
		char *path = yaml_path_index("listeners", i);
		int rc = check_listener(conf, i, path, report);
		if (first == SL_OK) first = rc;
		sl_free(path);
	}
	return first;
}

/* ---- files ----------------------------------------------------------------------------------------------- */

static int load_tls(const struct broker_conf *conf, size_t i, struct tls_server **out, struct conf_report *report) {
	const struct broker_listener *l = broker_conf_listener(conf, i);
	struct sl_err err = SL_ERR_INIT;
	int rc = tls_server_new(&l->tls, l->name, l->type == LISTENER_WSS, out, &err);
	if (rc == SL_OK) return SL_OK;
	char *path = yaml_path_index("listeners", i), *tls = yaml_path_key(path, "tls");
	if (err.line) { /* in a file of keys */
		sl_err_prefix(&err, "%s", tls);
		conf_report_take(report, &err);
	} else {
		conf_report_add(report, (struct conf_at){conf->doc, tls}, CONF_AT_KEY, rc, "%s", sl_err_text(&err));
	}
	sl_free(tls);
	sl_free(path);
	sl_err_fini(&err);
	return rc;
}

int broker_conf_tls(const struct broker_conf *conf, struct tls_server **servers, struct conf_report *report) {
	int first = SL_OK;
	for (size_t i = 0; i < conf->listener_list.len; i++) {
		if (!speaks_tls(broker_conf_listener(conf, i))) continue;
		int rc = load_tls(conf, i, &servers[i], report);
		if (first == SL_OK) first = rc;
	}
	return first;
}

int broker_conf_tls_current(const struct broker_conf *conf, struct tls_server *const *servers,
			    struct conf_report *report) {
	int64_t now_s = sl_clock_wall_ms() / 1000;
	int first = SL_OK;
	for (size_t i = 0; i < conf->listener_list.len; i++) {
		if (!servers[i] || tls_server_not_after_s(servers[i]) > now_s) continue;
		char *path = yaml_path_index("listeners", i), *tls = yaml_path_key(path, "tls");
		first = conf_report_add(report, (struct conf_at){conf->doc, tls}, CONF_AT_KEY, SL_EINVAL,
					"a certificate has expired, and clients will refuse it; put a new one in its "
					"place");
		sl_free(tls);
		sl_free(path);
	}
	return first;
}
