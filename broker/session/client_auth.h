/* client_auth.h: enhanced authentication of MQTT 5 (4.12): the AUTH exchange of a connection, and doing it again later.
 *
 *     CONNECT with a method --> client_auth_begin() --AUTH, AUTH--> client_auth_finish_connect() or a refusal
 *     AUTH 0x19 at any time later --> the same exchange; who fails it is disconnected [MQTT-4.12.1-2]
 *
 * Methods are those of auth_scram.h. The CONNECT is kept until the exchange is over, for the session is not opened before.
 * Lifetime: of the connection, from CONNECT on, if that had a method. Thread: the loop's baton. */
#ifndef CLIENT_AUTH_H
#define CLIENT_AUTH_H

#include "client.h"

/* A CONNECT that names a method, on its home worker. True: the packet is taken; false: refused. */
bool client_auth_begin(struct client *c, const struct mqtt_connect *p, const struct mqtt_frame *f);
/* A packet before the exchange of CONNECT is over: only AUTH and DISCONNECT may be [MQTT-3.1.2-30]. */
void client_auth_packet(struct client *c, const struct mqtt_frame *f);
/* AUTH on a connection that stands. */
void client_auth_again(struct client *c, const struct mqtt_bye *auth);
/* Method and data of the end of the exchange, for CONNACK [MQTT-4.12.0-5]; nothing when there was none. */
void client_auth_connack(const struct client *c, struct sl_buf *props);
void client_auth_free(struct client *c);

#endif
