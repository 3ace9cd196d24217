/* broker_conf_listener.c: the options of a listener, and what their table cannot check. */
#include <stddef.h>
#include <string.h>

#include "broker_conf_int.h"
#include "conf_units.h"
#include "mem.h"
#include "schema.h"

static const char *const listener_types[] = {"tcp", "tls", "ws", "wss", "unix", NULL};
static const char *const verify_modes[] = {"none", "optional", "required", NULL};

#define AT(member) offsetof(struct broker_listener, member)

static const struct conf_field tls_fields[] = {
    {.name = "cert",
     .type = CONF_STRING,
     .at = AT(tls.cert),
     .doc = "The server's certificate and its chain, PEM.",
     .example = "server.pem"},
    {.name = "key", .type = CONF_STRING, .at = AT(tls.key), .doc = "Its private key, PEM.", .example = "server.key"},
    {.name = "ca",
     .type = CONF_STRING,
     .at = AT(tls.ca),
     .doc = "The authorities that client certificates are checked against, PEM.",
     .example = "ca.pem"},
    {.name = "verify_peer",
     .type = CONF_ENUM,
     .at = AT(tls.verify_peer),
     .names = verify_modes,
     .def = "none",
     .doc = "Whether a client shows a certificate."},
    CONF_END};

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
     .doc = "What clients speak below MQTT. This build listens on `tcp` only."},
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
     .flags = CONF_ADVANCED,
     .fields = tls_fields,
     .doc = "Certificates of `tls` and `wss` listeners."},
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

/* Names and types that the file format has and this build has not: said plainly, never ignored. */
static int check_listener(const struct broker_conf *conf, size_t i, const json_t *tree, const char *path,
			  struct conf_report *report) {
	struct broker_listener *l = broker_conf_listener(conf, i);
	struct conf_at at = {conf->doc, path};
	if (!l->name || !l->bind) return SL_OK; /* reported already */
	if (l->type != LISTENER_TCP)
		return refuse_option(
		    path, "type", at, report,
		    "this build listens on tcp only; tls, ws, wss and unix are not available yet, so remove "
		    "this listener");
	for (size_t j = 0; j < i; j++) {
		const char *other = broker_conf_listener(conf, j)->name;
		if (other && strcmp(other, l->name) == 0)
			return refuse_option(path, "name", at, report,
					     "another listener has this name; names must differ");
	}
	if (json_object_get(tree, "tls"))
		return refuse_option(path, "tls", at, report, "a listener of type tcp has no tls options; remove them");
	if (l->path) return refuse_option(path, "path", at, report, "a listener of type tcp has no path; remove it");
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
	const json_t *list = json_object_get(root, "listeners");
	if (!list) {
		add_default_listener(conf);
		return SL_OK;
	}
	for (size_t i = 0; i < conf->listener_list.len; i++) {
		char *path = yaml_path_index("listeners", i);
		int rc = check_listener(conf, i, json_array_get(list, i), path, report);
		if (first == SL_OK) first = rc;
		sl_free(path);
	}
	return first;
}
