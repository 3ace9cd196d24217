/* client_guard.h: where the ban list and the limits of guard.h meet connections.
 * Thread: the worker's baton. */
#ifndef CLIENT_GUARD_H
#define CLIENT_GUARD_H

#include "client.h"
#include "guard.h"

/* At CONNECT, once a connection. False: refused. */
bool client_guard_connect(struct client *c, const struct mqtt_connect *p);
/* Its login was wrong. */
void client_guard_failed(struct client *c, const struct mqtt_connect *p);
/* It is who it says, and maybe more than CONNECT says: is that banned? False: refused. */
bool client_guard_known(struct client *c, const struct mqtt_connect *p, struct sl_slice username);
/* Its connection ended without a DISCONNECT, or another took its session over. */
void client_guard_ended(struct client *c, const struct session *s);
/* After a reload: banned by now? */
bool client_guard_holds(struct client *c);

#endif
