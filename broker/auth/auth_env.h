/* auth_env.h: whom authenticators may ask, for all chains of a process: connectors by name, and web servers.
 *
 *     auth_env_new()                 at start, with the connectors' service
 *     auth_new({.env = env})         any number of times
 *     auth_env_stop()                at the end, behind connectors_stop() and before the loops are freed: nothing is under way any more
 *     auth_env_free()                behind the last auth_unref()
 *
 * Thread: new, stop and free on the main thread; stop and free may block for a moment. */
#ifndef AUTH_ENV_H
#define AUTH_ENV_H

#include "err.h"

struct auth_env;
struct connectors;
struct http_client;

struct auth_env *auth_env_new(struct connectors *cs) sl_warn_unused; /* cs borrowed */
void auth_env_stop(struct auth_env *env);                            /* NULL is fine */
void auth_env_free(struct auth_env *env);                            /* NULL is fine */

struct connectors *auth_env_connectors(const struct auth_env *env);
/* Begins its thread with the first who wants it; NULL: the system has none left. @thread main */
struct http_client *auth_env_http(struct auth_env *env);

#endif
