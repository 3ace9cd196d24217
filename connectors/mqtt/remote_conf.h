/* remote_conf.h: the options of a connection to another MQTT broker.
 *
 * Lifetime: the strings belong to the settings (conf_fini). Thread: any. Never blocks, but for the files that `tls` names.
 * Errors: SL_EINVAL with a text that names the option; no text holds a password. */
#ifndef REMOTE_CONF_H
#define REMOTE_CONF_H

#include "field.h"
#include "tls_client.h"

enum { REMOTE_PORT = 1883, REMOTE_TLS_PORT = 8883 };

enum remote_version { REMOTE_AUTO, REMOTE_V5, REMOTE_V311 };

struct remote_conf {
	char *url, *clientid, *username, *password;
	int version; /* enum remote_version */
	bool bridge_mode;
	int64_t keepalive_ms, connect_timeout_ms, max_inflight, max_packet;
	struct tls_client_conf tls;
};
extern const struct conf_field remote_conf_fields[];

/* Where the URL leads; host is heap. tls: by its scheme. */
struct remote_url {
	char *host;
	uint16_t port;
	bool tls;
};
int remote_url_parse(const char *text, struct remote_url *out, struct sl_err *err);

int remote_conf_check(const struct remote_conf *conf, struct sl_err *err);

/* The client id of the connection `use` ("" for rows, a source's name): the option's, or one made of the host's and the connector's
 * name; heap. The same after a restart. */
char *remote_client_id(const struct remote_conf *conf, const char *connector, const char *use) sl_warn_unused;

#endif
