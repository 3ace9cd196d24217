/* redis_conf.c: see redis_conf.h. */
#include "redis_conf.h"

#include "mem.h"
#include "stream_dial.h"

static const char *const modes[] = {"single", "sentinel", "cluster", NULL};

const struct conf_field redis_conf_fields[] = {
    {.name = "url",
     .type = CONF_STRING,
     .at = offsetof(struct redis_conf, url),
     .flags = CONF_EXPAND | CONF_NONEMPTY | CONF_SECRET_URL,
     .example = "redis://user:${REDIS_PASSWORD}@127.0.0.1:6379/0",
     .doc = "The server; `rediss://` speaks TLS. User and password are percent-encoded."},
    {.name = "mode",
     .type = CONF_ENUM,
     .at = offsetof(struct redis_conf, mode),
     .def = "single",
     .names = modes,
     .doc = "`sentinel`: the `servers` are asked where the master is; `cluster`: they know the other nodes."},
    {.name = "servers",
     .type = CONF_STRING_LIST,
     .at = offsetof(struct redis_conf, servers),
     .flags = CONF_EXPAND | CONF_NONEMPTY,
     .max = REDIS_SERVERS_MAX,
     .example = "[\"10.0.0.1:26379\", \"10.0.0.2:26379\"]",
     .doc = "Instead of `url`: host:port of sentinels (port 26379 unless said), or of some nodes of a cluster (6379)."},
    {.name = "master",
     .type = CONF_STRING,
     .at = offsetof(struct redis_conf, master),
     .flags = CONF_NONEMPTY,
     .example = "mymaster",
     .doc = "With `mode: sentinel`: what the sentinels call the master."},
    {.name = "username",
     .type = CONF_STRING,
     .at = offsetof(struct redis_conf, username),
     .flags = CONF_EXPAND | CONF_NONEMPTY,
     .doc = "ACL user. Without it the password is that of the default user."},
    {.name = "password",
     .type = CONF_STRING,
     .at = offsetof(struct redis_conf, password),
     .flags = CONF_EXPAND | CONF_SECRET,
     .doc = "Its password."},
    {.name = "sentinel_username",
     .type = CONF_STRING,
     .at = offsetof(struct redis_conf, sentinel_username),
     .flags = CONF_EXPAND | CONF_NONEMPTY,
     .doc = "ACL user at the sentinels, which have users of their own."},
    {.name = "sentinel_password",
     .type = CONF_STRING,
     .at = offsetof(struct redis_conf, sentinel_password),
     .flags = CONF_EXPAND | CONF_SECRET,
     .doc = "Its password."},
    {.name = "database",
     .type = CONF_INT_AUTO,
     .at = offsetof(struct redis_conf, database),
     .def = "auto",
     .max = INT32_MAX,
     .doc = "The number of the database; `auto`: that of the `url`, or 0. A cluster has only 0."},
    {.name = "tls",
     .type = CONF_OBJECT,
     .at = offsetof(struct redis_conf, tls),
     .flags = CONF_GIVEN | CONF_NULL_OK,
     .fields = tls_client_fields,
     .doc = TLS_CLIENT_DOC},
    {.name = "sentinel_tls",
     .type = CONF_BOOL,
     .at = offsetof(struct redis_conf, sentinel_tls),
     .def = "true",
     .flags = CONF_ADVANCED,
     .doc = "With `tls`: the sentinels speak it too."},
    {.name = "pool",
     .type = CONF_INT,
     .at = offsetof(struct redis_conf, pool),
     .def = "1",
     .min = 1,
     .max = REDIS_POOL_MAX,
     .doc = "Connections to the server. One is enough for what one Redis can do; rows of one order key share one."},
    {.name = "connect_timeout",
     .type = CONF_DURATION,
     .at = offsetof(struct redis_conf, connect_timeout_ms),
     .def = "5s",
     .min = 10,
     .max = 3600000,
     .doc = "Time for connecting and logging in, and for the answer to a PING."},
    {.name = "check_interval",
     .type = CONF_DURATION,
     .at = offsetof(struct redis_conf, check_every_ms),
     .def = "1s",
     .min = 100,
     .max = 3600000,
     .flags = CONF_ADVANCED,
     .doc = "How often a sentinel is asked whether the master has moved; a tenth as often, a cluster for its slots."},
    {.name = "replicas",
     .type = CONF_INT,
     .at = offsetof(struct redis_conf, replicas),
     .def = "0",
     .max = 100,
     .doc = "A row is delivered when so many replicas have it (WAIT behind each batch), so that a failover keeps it."},
    {.name = "replicas_timeout",
     .type = CONF_DURATION,
     .at = offsetof(struct redis_conf, replicas_ms),
     .def = "1s",
     .min = 1,
     .max = 600000,
     .flags = CONF_ADVANCED,
     .doc = "How long the server waits for them; rows that too few have by then are sent again."},
    {.name = "client_name",
     .type = CONF_STRING,
     .at = offsetof(struct redis_conf, client_name),
     .flags = CONF_NONEMPTY,
     .max = 200,
     .doc = "A name to see in CLIENT LIST."},
    CONF_END};

/* ---- Checks. ---- */

static int url_check(const struct redis_conf *conf, struct sl_err *err) {
	struct redis_url u;
	if (!conf->url) return SL_OK;
	int r = redis_url_parse(conf->url, &u, err);
	if (r != SL_OK) return r;
	if (u.password && (conf->password || conf->username))
		r = sl_err_set(err, SL_EINVAL,
			       "the login stands in `url` and in `username`, `password`; keep one of them");
	else if (u.database && conf->database != CONF_AUTO)
		r = sl_err_set(err, SL_EINVAL, "the database stands in `url` and in `database`; keep one of them");
	else if (conf->mode == REDIS_CLUSTER && u.database)
		r = sl_err_set(err, SL_EINVAL, "a cluster has only database 0; take it out of the `url`");
	redis_url_fini(&u);
	return r;
}

static int servers_check(const struct redis_conf *conf, struct sl_err *err) {
	struct sl_slice host;
	uint16_t port;
	if (conf->url && conf->servers.len)
		return sl_err_set(err, SL_EINVAL, "`url` and `servers` exclude each other; keep one of them");
	if (!conf->url && conf->servers.len == 0)
		return sl_err_set(err, SL_EINVAL,
				  "say where the server is: `url: redis://127.0.0.1:6379`, or `servers` with `mode`");
	if (conf->mode == REDIS_SINGLE && conf->servers.len > 1)
		return sl_err_set(
		    err, SL_EINVAL,
		    "several `servers` need `mode: sentinel` or `mode: cluster`, which says what they are");
	if (conf->mode == REDIS_SENTINEL && conf->url)
		return sl_err_set(err, SL_EINVAL,
				  "with `mode: sentinel` list the sentinels in `servers` instead of `url`");
	for (size_t i = 0; i < conf->servers.len; i++)
		if (sl_dial_parse(slice_from_str(conf->servers.items[i]), REDIS_PORT, &host, &port, err) != SL_OK)
			return sl_err_prefix(err, "servers[%zu]", i);
	return SL_OK;
}

static int mode_check(const struct redis_conf *conf, struct sl_err *err) {
	if (conf->mode == REDIS_SENTINEL && !conf->master)
		return sl_err_set(err, SL_EINVAL,
				  "`mode: sentinel` needs `master`, the name that the sentinels know it by");
	if (conf->mode != REDIS_SENTINEL && (conf->master || conf->sentinel_username || conf->sentinel_password))
		return sl_err_set(err, SL_EINVAL,
				  "`master`, `sentinel_username` and `sentinel_password` belong to `mode: sentinel`");
	if (conf->mode == REDIS_CLUSTER && conf->database != CONF_AUTO && conf->database != 0)
		return sl_err_set(err, SL_EINVAL, "a cluster has only database 0; leave `database` out");
	if (conf->mode == REDIS_CLUSTER && conf->pool > 1)
		return sl_err_set(err, SL_EINVAL, "a cluster gets one connection a node; leave `pool` out");
	if (conf->username && !conf->password) return sl_err_set(err, SL_EINVAL, "`username` needs `password`");
	if (conf->sentinel_username && !conf->sentinel_password)
		return sl_err_set(err, SL_EINVAL, "`sentinel_username` needs `sentinel_password`");
	for (const char *p = conf->client_name; p && *p; p++)
		if (*p <= ' ' || *p > '~')
			return sl_err_set(err, SL_EINVAL,
					  "`client_name`: Redis takes letters, digits and signs, and no spaces");
	return SL_OK;
}

int redis_conf_check(const struct redis_conf *conf, struct sl_err *err) {
	int r = servers_check(conf, err);
	if (r == SL_OK) r = url_check(conf, err);
	if (r == SL_OK) r = mode_check(conf, err);
	if (r == SL_OK) r = tls_client_check(&conf->tls, err);
	return r;
}

/* ---- Resolved. ---- */

static void server_add(struct redis_target *t, struct sl_slice host, uint16_t port) {
	t->server = sl_realloc_array(t->server, t->servers + 1, sizeof *t->server);
	t->server[t->servers++] = (struct redis_address){.host = slice_dup(host), .port = port};
}

static char *dup_or_null(const char *s) { return s ? sl_strdup(s) : NULL; }

int redis_conf_resolve(const struct redis_conf *conf, struct redis_target *out, struct sl_err *err) {
	uint16_t port = conf->mode == REDIS_SENTINEL ? REDIS_SENTINEL_PORT : REDIS_PORT;
	*out = (struct redis_target){.tls = conf->tls.given};
	out->login.username = dup_or_null(conf->username);
	out->login.password = dup_or_null(conf->password);
	out->sentinel.username = dup_or_null(conf->sentinel_username);
	out->sentinel.password = dup_or_null(conf->sentinel_password);
	if (conf->database != CONF_AUTO) out->database = (uint32_t)conf->database;
	for (size_t i = 0; i < conf->servers.len; i++) {
		struct sl_slice host;
		uint16_t own;
		int r = sl_dial_parse(slice_from_str(conf->servers.items[i]), port, &host, &own, err);
		if (r != SL_OK) return r;
		server_add(out, host, own);
	}
	if (!conf->url) return SL_OK;
	struct redis_url u;
	int r = redis_url_parse(conf->url, &u, err);
	if (r != SL_OK) return r;
	server_add(out, slice_from_str(u.host), u.port);
	out->tls = out->tls || u.tls;
	if (u.password) {
		out->login = (struct redis_login){.username = u.username, .password = u.password};
		u.username = u.password = NULL;
	}
	if (u.database) out->database = u.database;
	redis_url_fini(&u);
	return SL_OK;
}

void redis_target_fini(struct redis_target *t) {
	for (size_t i = 0; i < t->servers; i++) sl_free(t->server[i].host);
	sl_free(t->server);
	sl_free(t->login.username);
	sl_free(t->login.password);
	sl_free(t->sentinel.username);
	sl_free(t->sentinel.password);
	*t = (struct redis_target){0};
}
