/* client_access.h: where access rules (acl.h) meet connections and sessions.
 *
 * What a client may do belongs to its session (session.acl), because two things are done in its name when it is gone: its will is
 * published, and its subscriptions go on. It is made at each CONNECT from who the client is then.
 *
 *     CONNECT        the right to connect, and the will, before the session is opened
 *     a session that was there   its subscriptions are judged for who has it now: what is not allowed ends, and what waits for
 *                    it is judged message by message
 *     reload         every session, slice by slice, connected or not; who may not connect any more is disconnected
 *
 * Without rules session.acl is NULL everywhere, and nothing is judged.
 * Thread: the worker's baton. */
#ifndef CLIENT_ACCESS_H
#define CLIENT_ACCESS_H

#include "acl.h"
#include "client.h"

/* Before the session: may it connect, and leave that will? *out: for the session, NULL without rules. False: refused. */
bool client_access_begin(struct client *c, const struct mqtt_connect *p, struct sl_slice id, struct sl_slice username,
			 struct acl_client **out);
/* The session is this client's now; takes `acl`. present: it was there before. */
void client_access_open(struct session *s, struct acl_client *acl, bool present);

/* False: not allowed; counted, told to the log, and where the rules say so the connection has ended. */
bool client_access_denied(struct client *c, const char *what, struct sl_slice topic, enum sl_metric metric);
/* What it is told then: why, unless that is to be hidden. */
static inline uint8_t client_access_code(const struct client *c) {
	bool hides = c->s->acl && acl_hides(acl_client_acl(c->s->acl));
	return hides ? MQTT_RC_UNSPECIFIED : MQTT_RC_NOT_AUTHORIZED;
}
static inline bool client_access_publish(struct client *c, const struct mqtt_publish *p) {
	struct acl_client *a = c->s->acl;
	return sl_likely(!a) || sl_likely(acl_may_publish(a, p->topic, p->qos, p->retain)) ||
	       client_access_denied(c, "publish", p->topic, METRIC_ACL_DENIED_PUBLISH);
}
static inline bool client_access_subscribe(struct client *c, struct sl_slice filter, uint8_t qos) {
	const struct acl_client *a = c->s->acl;
	return !a || acl_may_subscribe(a, filter, qos) ||
	       client_access_denied(c, "subscribe", filter, METRIC_ACL_DENIED_SUBSCRIBE);
}
static inline bool client_access_receive(const struct session *s, const struct msg *m) {
	return sl_likely(!s->acl) || sl_likely(!acl_judges_receive(s->acl)) || acl_may_receive(s->acl, msg_topic(m));
}

/* A will that is due. */
bool client_access_will(struct session *s, struct sl_slice topic, uint8_t qos, bool retain, struct sl_slice username);

/* Other rules than before, or none (NULL); takes the reference. */
void client_access_set(struct worker *w, struct acl *acl);
void client_access_timer(struct sl_timer *t);

#endif
