/* client_identity.c: what a client got from its authenticator, and its end: a token that expires ends the connection, not the
 * session. */
#include "auth_identity.h"
#include "client.h"
#include "mem.h"

struct client_lease {
	struct sl_timer timer;
	struct client *c;
};

/* Timers count from the loop's clock, leases by the wall's, which may be set: so it is looked at again at least so often. */
enum { LEASE_LOOK_MS = 60 * 60 * 1000 };

static void lease_look(struct sl_timer *t) {
	struct client_lease *lease = sl_container_of(t, struct client_lease, timer);
	struct client *c = lease->c;
	int64_t left_ms = c->identity->expires_ms - sl_loop_wall_ms(c->w->loop);
	if (left_ms <= 0)
		client_disconnect_as(c, MQTT_RC_MAXIMUM_CONNECT_TIME, "auth_expired");
	else
		sl_timer_set(c->w->loop, t, left_ms < LEASE_LOOK_MS ? (uint64_t)left_ms : LEASE_LOOK_MS);
}

void client_lease_begin(struct client *c) {
	if (!c->identity || c->identity->expires_ms == 0) return;
	struct client_lease *lease = SL_NEW(struct client_lease);
	sl_timer_init(&lease->timer, lease_look);
	lease->c = c;
	c->lease = lease;
	lease_look(&lease->timer);
}

void client_identity_drop(struct client *c) {
	if (c->lease) sl_timer_cancel(&c->lease->timer);
	sl_free(c->lease);
	c->lease = NULL;
	auth_identity_unref(c->identity);
	c->identity = NULL;
}
