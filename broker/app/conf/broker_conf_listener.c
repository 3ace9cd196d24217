/* broker_conf_listener.c: the options of a listener, and what their table cannot check. */
#include <stddef.h>
#include <string.h>

#include "broker_conf_int.h"
#include "clock.h"
#include "conf_units.h"
#include "mem.h"
#include "outbound.h"
#include "schema.h"

const char *const broker_listener_types[] = {"tcp", "tls", "ws", "wss", "unix", NULL};

#define AT(member) offsetof(struct broker_listener, member)

const char *const broker_listener_versions[] = {"3.1", "3.1.1", "5", NULL};

static int check_version(const struct conf_field *field, struct sl_slice text, struct sl_err *err) {
	(void)field;
	for (const char *const *v = broker_listener_versions; *v; v++)
		if (slice_equal_str(text, *v)) return SL_OK;
	return sl_err_set(err, SL_EINVAL, "'%.*s' is no version of MQTT; there are \"3.1\", \"3.1.1\" and \"5\"",
			  SL_SLICE_ARG(slice_sub(text, 0, 40)));
}

static int check_path(const struct conf_field *field, struct sl_slice text, struct sl_err *err) {
	(void)field;
	bool plain = text.n > 0 && text.p[0] == '/';
	for (size_t i = 0; i < text.n; i++)
		plain = plain && (uint8_t)text.p[i] > ' ' && (uint8_t)text.p[i] < 127 && text.p[i] != '?' &&
			text.p[i] != '#';
	return plain ? SL_OK
		     : sl_err_set(err, SL_EINVAL, "a path begins with / and has no spaces, ? or #, for example /mqtt");
}

static int check_mode(const struct conf_field *field, struct sl_slice text, struct sl_err *err) {
	(void)field;
	bool octal = text.n >= 3 && text.n <= 4;
	for (size_t i = 0; i < text.n; i++) octal = octal && text.p[i] >= '0' && text.p[i] <= '7';
	if (octal && (text.n == 3 || text.p[0] == '0')) return SL_OK;
	return sl_err_set(err, SL_EINVAL, "permissions are three octal digits in quotes, for example \"0660\"");
}

static int check_network(const struct conf_field *field, struct sl_slice text, struct sl_err *err) {
	struct sl_cidr network;
	(void)field;
	return sl_cidr_parse(text, &network, err);
}

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
     .names = broker_listener_types,
     .def = "tcp",
     .doc = "What clients speak below MQTT: TCP, TLS, WebSocket (`ws`), WebSocket over TLS (`wss`), or a unix socket."},
    {.name = "bind",
     .type = CONF_STRING,
     .flags = CONF_REQUIRED | CONF_EXPAND | CONF_NONEMPTY,
     .at = AT(bind),
     .max = 1024,
     .doc = "Address and port; `0.0.0.0:1883` for all addresses. Of a `unix` listener the path of the socket.",
     .example = "0.0.0.0:1883"},
    {.name = "path",
     .type = CONF_STRING,
     .flags = CONF_ADVANCED,
     .at = AT(path),
     .max = 1024,
     .def = "/mqtt",
     .validate = check_path,
     .doc = "The URL path of `ws` and `wss` listeners; other paths get 404."},
    {.name = "origins",
     .type = CONF_STRING_LIST,
     .flags = CONF_ADVANCED | CONF_NONEMPTY,
     .at = AT(origins),
     .max = 256,
     .doc =
	 "Of `ws` and `wss` listeners: the pages whose scripts may connect, as browsers name them. Without it all may. "
	 "Programs that send no `Origin` always may.",
     .example = "[\"https://dashboard.example\"]"},
    {.name = "mode",
     .type = CONF_STRING,
     .flags = CONF_ADVANCED,
     .at = AT(mode),
     .def = "0660",
     .validate = check_mode,
     .doc = "Permissions of a `unix` listener's socket, in octal: who may write to it may connect."},
    {.name = "proxy_protocol",
     .type = CONF_BOOL,
     .flags = CONF_ADVANCED,
     .at = AT(proxy_protocol),
     .def = "false",
     .doc = "Whether connections come through a proxy that says with the PROXY protocol (version 1 or 2) who is behind "
	    "it. Then "
	    "nobody gets in without it, so the port must be reachable from proxies only; see `proxy_from`."},
    {.name = "proxy_from",
     .type = CONF_STRING_LIST,
     .flags = CONF_ADVANCED | CONF_NONEMPTY,
     .at = AT(proxy_from),
     .max = 256,
     .validate = check_network,
     .doc = "Addresses and networks of the proxies; others are turned away. Without it everybody is taken for a proxy.",
     .example = "[10.0.0.0/8]"},
    {.name = "tls",
     .type = CONF_OBJECT,
     .flags = CONF_ADVANCED | CONF_GIVEN,
     .at = AT(tls),
     .fields = tls_server_fields,
     .doc = "Certificates of `tls` and `wss` listeners, and whose they accept."},
    {.name = "anonymous",
     .type = CONF_TREE,
     .flags = CONF_ADVANCED,
     .at = AT(anonymous),
     .doc = "true or false: whether clients without a user name may connect here, whatever `auth.anonymous` says."},
    {.name = "max_connections",
     .type = CONF_INT,
     .flags = CONF_UNLIMITED_OK,
     .at = AT(max_connections),
     .def = "unlimited",
     .min = 1,
     .doc = "Clients at a time; more are turned away."},
    {.name = "max_connect_rate",
     .type = CONF_INT,
     .flags = CONF_UNLIMITED_OK,
     .at = AT(max_connect_rate),
     .def = "unlimited",
     .min = 1,
     .max = 1000000,
     .doc = "New connections a second, of all clients together. When more come, those wait in the system's queue, and "
	    "notice only that it takes longer."},
    {.name = "connect_burst",
     .type = CONF_INT,
     .flags = CONF_ADVANCED,
     .at = AT(connect_burst),
     .def = "0",
     .max = 1000000,
     .doc = "How many may come at once before that rate counts; 0: as many as in a second."},
    {.name = "max_message_rate",
     .type = CONF_INT,
     .flags = CONF_UNLIMITED_OK,
     .at = AT(max_message_rate),
     .def = "unlimited",
     .min = 1,
     .max = 100000000,
     .doc = "Messages a second that one client may publish. Above it the client is not read from for a while: it is "
	    "slowed "
	    "down, and loses nothing."},
    {.name = "message_burst",
     .type = CONF_INT,
     .flags = CONF_ADVANCED,
     .at = AT(message_burst),
     .def = "0",
     .max = 100000000,
     .doc = "How many at once before that rate counts; 0: as many as in a second."},
    {.name = "max_byte_rate",
     .type = CONF_SIZE,
     .flags = CONF_UNLIMITED_OK,
     .at = AT(max_byte_rate),
     .def = "unlimited",
     .min = 1,
     .max = (int64_t)1 << 40,
     .doc = "Bytes of packets a second that one client may send; the same happens above it. A packet larger than the "
	    "burst "
	    "passes, and the client waits for that long afterwards."},
    {.name = "byte_burst",
     .type = CONF_SIZE,
     .flags = CONF_ADVANCED,
     .at = AT(byte_burst),
     .def = "0",
     .max = (int64_t)1 << 40,
     .doc = "How many at once before that rate counts; 0: as many as in a second."},
    {.name = "versions",
     .type = CONF_STRING_LIST,
     .flags = CONF_ADVANCED | CONF_NONEMPTY,
     .at = AT(versions),
     .validate = check_version,
     .doc = "The versions of MQTT that clients may speak: `\"3.1\"`, `\"3.1.1\"`, `\"5\"`. Without it all. Others are "
	    "refused with "
	    "the reason that their version has for it.",
     .example = "[\"3.1.1\", \"5\"]"},
    {.name = "max_packet_size",
     .type = CONF_SIZE,
     .flags = CONF_ADVANCED,
     .at = AT(max_packet_size),
     .max = (int64_t)256 << 20,
     .doc = "The same as `mqtt.max_packet_size`, for clients of this listener; 0: as there."},
    {.name = "max_clientid_length",
     .type = CONF_INT,
     .flags = CONF_ADVANCED,
     .at = AT(max_clientid_length),
     .max = 65535,
     .doc = "The same as `mqtt.max_clientid_length`, for clients of this listener; 0: as there."},
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
					broker_listener_types[l->type], l->type == LISTENER_WS ? "wss" : "tls");
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

static bool is_ws(const struct broker_listener *l) { return l->type == LISTENER_WS || l->type == LISTENER_WSS; }

/* Options of another type of listener would do nothing: they are told. */
static int check_options(const struct broker_listener *l, const json_t *tree, const char *path, struct conf_at at,
			 struct conf_report *report) {
	static const struct {
		const char *option, *why;
	} of_ws[] = {{"path", "only listeners of type ws and wss have a path; remove it"},
		     {"origins", "only listeners of type ws and wss have origins; remove them"}};
	for (size_t i = 0; i < SL_ARRAY_LEN(of_ws); i++)
		if (!is_ws(l) && json_object_get(tree, of_ws[i].option))
			return refuse_option(path, of_ws[i].option, at, report, of_ws[i].why);
	if (l->type != LISTENER_UNIX && json_object_get(tree, "mode"))
		return refuse_option(path, "mode", at, report, "only listeners of type unix have a mode; remove it");
	if (json_object_get(tree, "proxy_from") && !l->proxy_protocol)
		return refuse_option(path, "proxy_from", at, report,
				     "this does nothing without `proxy_protocol: true`; add that, or remove this");
	return SL_OK;
}

/* A unix socket's path is what it is, and has no host. */
static int check_bind(struct broker_listener *l, const char *path, struct conf_at at, struct conf_report *report) {
	struct sl_err err = SL_ERR_INIT;
	if (l->type == LISTENER_UNIX) return SL_OK;
	broker_conf_split_bind(l->bind, &l->host, &l->port, &err);
	if (l->host) return SL_OK;
	char *inner = yaml_path_key(path, "bind");
	int rc = conf_report_text(report, (struct conf_at){at.doc, inner}, &err);
	sl_free(inner);
	return rc;
}

static int check_listener(const struct broker_conf *conf, size_t i, const json_t *tree, const char *path,
			  struct conf_report *report) {
	struct broker_listener *l = broker_conf_listener(conf, i);
	struct conf_at at = {conf->doc, path};
	if (!l->name || !l->bind) return SL_OK; /* reported already */
	for (size_t j = 0; j < i; j++) {
		const struct broker_listener *other = broker_conf_listener(conf, j);
		if (other->name && strcmp(other->name, l->name) == 0)
			return refuse_option(path, "name", at, report,
					     "another listener has this name; names must differ");
		if (l->type == LISTENER_UNIX && other->type == LISTENER_UNIX && other->bind &&
		    strcmp(other->bind, l->bind) == 0)
			return refuse_option(path, "bind", at, report,
					     "another listener has this path; paths must differ");
	}
	if (l->anonymous && !json_is_boolean(l->anonymous))
		return refuse_option(path, "anonymous", at, report, "must be true or false");
	int rc = check_tls(l, path, at, report);
	if (rc == SL_OK) rc = check_options(l, tree, path, at, report);
	return rc == SL_OK ? check_bind(l, path, at, report) : rc;
}

static void add_default_listener(struct broker_conf *conf) {
	struct broker_listener *l = SL_NEW(struct broker_listener);
	*l = (struct broker_listener){.name = sl_strdup("mqtt"),
				      .type = LISTENER_TCP,
				      .bind = sl_strdup("127.0.0.1:1883"),
				      .path = sl_strdup("/mqtt"),
				      .mode = sl_strdup("0660"),
				      .max_connections = CONF_UNLIMITED,
				      .max_connect_rate = CONF_UNLIMITED,
				      .max_message_rate = CONF_UNLIMITED,
				      .max_byte_rate = CONF_UNLIMITED,
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
