/* remote_conf.c: see remote_conf.h. */
#include "remote_conf.h"

#include <unistd.h>

#include "mem.h"
#include "slice.h"
#include "stream_dial.h"

#define CLIENT_ID_MAX 20000 /* a source's name is added to it */

static const char *const versions[] = {"auto", "5", "3.1.1", NULL};

const struct conf_field remote_conf_fields[] = {
    {.name = "url",
     .type = CONF_STRING,
     .at = offsetof(struct remote_conf, url),
     .flags = CONF_REQUIRED | CONF_EXPAND | CONF_NONEMPTY | CONF_SECRET_URL,
     .example = "mqtts://broker.example:8883",
     .doc = "The other broker: `mqtt://host:1883`, or `mqtts://host:8883` with TLS."},
    {.name = "clientid",
     .type = CONF_STRING,
     .at = offsetof(struct remote_conf, clientid),
     .flags = CONF_EXPAND | CONF_NONEMPTY,
     .max = CLIENT_ID_MAX,
     .doc =
	 "Our client id there, the same after a restart and another for each broker of ours; `sluice-`, the host's and "
	 "the connector's name when left out. Sources add `-` and their own name."},
    {.name = "username",
     .type = CONF_STRING,
     .at = offsetof(struct remote_conf, username),
     .flags = CONF_EXPAND | CONF_NONEMPTY,
     .max = 65535,
     .doc = "Login there."},
    {.name = "password",
     .type = CONF_STRING,
     .at = offsetof(struct remote_conf, password),
     .flags = CONF_EXPAND | CONF_SECRET,
     .max = 65535,
     .doc = "Its password."},
    {.name = "version",
     .type = CONF_ENUM,
     .at = offsetof(struct remote_conf, version),
     .def = "auto",
     .names = versions,
     .doc = "The version of MQTT: `auto` is 5, and 3.1.1 where the other broker refuses that. Properties (content "
	    "type, user "
	    "properties, ...), reasons of refusals and limits are of 5 only."},
    {.name = "bridge_mode",
     .type = CONF_BOOL,
     .at = offsetof(struct remote_conf, bridge_mode),
     .def = "false",
     .flags = CONF_ADVANCED,
     .doc = "With 3.1.1: says in CONNECT that a bridge connects, as mosquitto's do. mosquitto keeps the retain flag of "
	    "what it sends "
	    "us then, and sends nothing back that we published; other brokers may refuse it. MQTT 5 has options for "
	    "that."},
    {.name = "keepalive",
     .type = CONF_DURATION,
     .at = offsetof(struct remote_conf, keepalive_ms),
     .def = "30s",
     .min = 1000,
     .max = 65535000,
     .doc = "A ping after so long without traffic; a broker that does not answer for half as long again is given up."},
    {.name = "connect_timeout",
     .type = CONF_DURATION,
     .at = offsetof(struct remote_conf, connect_timeout_ms),
     .def = "5s",
     .min = 10,
     .max = 3600000,
     .doc = "Time for connecting and logging in."},
    {.name = "max_inflight",
     .type = CONF_INT,
     .at = offsetof(struct remote_conf, max_inflight),
     .def = "1000",
     .min = 1,
     .max = 65535,
     .doc = "Messages of QoS 1 and 2 that may be out without an acknowledgement, each way; less where the other broker "
	    "takes less. "
	    "1 keeps the order of messages that had to be sent again."},
    {.name = "max_packet_size",
     .type = CONF_SIZE,
     .at = offsetof(struct remote_conf, max_packet),
     .def = "1MB",
     .min = 1024,
     .max = 268435455,
     .doc = "The largest packet that is taken from the other broker."},
    {.name = "tls",
     .type = CONF_OBJECT,
     .at = offsetof(struct remote_conf, tls),
     .flags = CONF_GIVEN | CONF_NULL_OK,
     .fields = tls_client_fields,
     .doc = TLS_CLIENT_DOC},
    CONF_END};

int remote_url_parse(const char *text, struct remote_url *out, struct sl_err *err) {
	struct sl_slice rest = slice_from_str(text), host;
	*out = (struct remote_url){0};
	if (slice_starts_with(rest, SL_SLICE_LIT("mqtt://"))) {
		rest = slice_from(rest, strlen("mqtt://"));
	} else if (slice_starts_with(rest, SL_SLICE_LIT("mqtts://"))) {
		rest = slice_from(rest, strlen("mqtts://"));
		out->tls = true;
	} else {
		return sl_err_set(err, SL_EINVAL, "url: begins with mqtt:// or mqtts://, then host:port");
	}
	if (slice_find_byte(rest, '@') >= 0)
		return sl_err_set(err, SL_EINVAL,
				  "url: no login belongs in it; write `username` and `password` beside it");
	if (rest.n > 0 && rest.p[rest.n - 1] == '/') rest.n--;
	if (slice_find_byte(rest, '/') >= 0)
		return sl_err_set(err, SL_EINVAL, "url: nothing stands behind the port of a broker");
	int r = sl_dial_parse(rest, out->tls ? REMOTE_TLS_PORT : REMOTE_PORT, &host, &out->port, err);
	if (r != SL_OK) return sl_err_prefix(err, "url");
	out->host = slice_dup(host);
	return SL_OK;
}

int remote_conf_check(const struct remote_conf *conf, struct sl_err *err) {
	struct remote_url url;
	int r = remote_url_parse(conf->url, &url, err);
	sl_free(url.host);
	if (r != SL_OK) return r;
	if (conf->password && !conf->username) return sl_err_set(err, SL_EINVAL, "`password` needs `username`");
	return tls_client_check(&conf->tls, err);
}

char *remote_client_id(const struct remote_conf *conf, const char *connector, const char *use) {
	const char *dash = use[0] ? "-" : "";
	if (conf->clientid) return sl_asprintf("%s%s%s", conf->clientid, dash, use);
	char host[256] = "";
	(void)gethostname(host, sizeof host - 1);
	return sl_asprintf("sluice-%s-%s%s%s", host[0] ? host : "host", connector, dash, use);
}
