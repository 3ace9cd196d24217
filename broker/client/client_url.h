/* client_url.h: where a broker is, as one text.
 *
 *     mqtt://alice:secret@broker.example:1883     mqtts://broker.example
 *     ws://broker.example:8083/mqtt               wss://broker.example/mqtt
 *     unix:/run/sluice.sock
 *
 * Without a port 1883, 8883, 80 and 443; without a path /mqtt. %2F and its like stand for themselves in name and password.
 * Lifetime: the texts are the struct's. Thread: any. */
#ifndef SL_CLIENT_URL_H
#define SL_CLIENT_URL_H

#include "err.h"

struct client_url {
	char *host, *username, *password; /* NULL: not said */
	char *ws_path;                    /* NULL: no WebSocket */
	char *unix_path;                  /* NULL: TCP */
	uint16_t port;
	bool tls;
};

int client_url_parse(const char *text, struct client_url *out, struct sl_err *err); /* SL_EINVAL */
void client_url_fini(struct client_url *u);

#endif
