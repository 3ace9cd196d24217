#include "auth_env.h"

#include "http_client.h"
#include "log.h"
#include "mem.h"

struct auth_env {
	struct connectors *cs;
	struct http_client *http;
};

struct auth_env *auth_env_new(struct connectors *cs) {
	struct auth_env *env = SL_NEW(struct auth_env);
	env->cs = cs;
	return env;
}

void auth_env_stop(struct auth_env *env) {
	if (env) http_client_stop(env->http);
}

void auth_env_free(struct auth_env *env) {
	if (!env) return;
	http_client_free(env->http);
	sl_free(env);
}

struct connectors *auth_env_connectors(const struct auth_env *env) {
	return env->cs;
}

struct http_client *auth_env_http(struct auth_env *env) {
	struct sl_err err = SL_ERR_INIT;
	if (!env->http && http_client_new("auth", &env->http, &err) != SL_OK)
		log_error(LOG_AUTH, "no web server can be asked", "reason=%s", sl_err_text(&err));
	sl_err_fini(&err);
	return env->http;
}
