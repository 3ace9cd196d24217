/* redis_conf.h: the options of a connection to Redis: one server, Sentinel or Cluster; and what a URL says.
 *
 * Lifetime: the strings belong to the settings (conf_fini); redis_conf_resolve() makes one struct of everything that is needed
 * to connect, which owns copies. Thread: any. Never blocks, but for the files that `tls` names.
 * Errors: SL_EINVAL with a text that names the option; no text holds a password. */
#ifndef REDIS_CONF_H
#define REDIS_CONF_H

#include "field.h"
#include "tls_client.h"

enum redis_mode { REDIS_SINGLE, REDIS_SENTINEL, REDIS_CLUSTER };

enum { REDIS_PORT = 6379, REDIS_SENTINEL_PORT = 26379, REDIS_SERVERS_MAX = 64, REDIS_POOL_MAX = 16 };

struct redis_conf {
	char *url;
	int mode;
	struct conf_list servers;
	char *master, *username, *password, *sentinel_username, *sentinel_password, *client_name;
	int64_t database; /* CONF_AUTO: not given */
	int64_t pool, connect_timeout_ms, check_every_ms, replicas, replicas_ms;
	bool sentinel_tls;
	struct tls_client_conf tls;
};
extern const struct conf_field redis_conf_fields[];

int redis_conf_check(const struct redis_conf *conf, struct sl_err *err);

struct redis_address {
	char *host;
	uint16_t port;
};

/* What a login needs; NULL where there is none. */
struct redis_login {
	char *username, *password;
};

struct redis_target {
	struct redis_address *server;
	size_t servers;
	struct redis_login login, sentinel;
	uint32_t database;
	bool tls;
};
int redis_conf_resolve(const struct redis_conf *conf, struct redis_target *out, struct sl_err *err);
void redis_target_fini(struct redis_target *t);

/* redis://user:password@host:6379/0, rediss://...; the parts are percent-decoded. What the URL leaves out is NULL, the port 6379,
 * the database 0. */
struct redis_url {
	char *username, *password, *host;
	uint16_t port;
	uint32_t database;
	bool tls;
};
int redis_url_parse(const char *text, struct redis_url *out, struct sl_err *err);
void redis_url_fini(struct redis_url *u);

#endif
