/* route.h: the way of one message: rules, retained store, subscribers here, workers elsewhere.
 *
 * For each topic seen lately a worker keeps a *route*: the sessions here that want it, each once with the highest QoS of
 * its matching subscriptions and all their identifiers, the shared groups, and the set of other workers to send it to.
 * A route is valid while the trie has not changed (its generation is in its key).
 *
 * A topic's first message is routed by a walk of the trie alone; its second, if not long after, makes the route be
 * kept. Topics that come once would only push each other through the CPU's caches, and a walk costs little more than
 * finding an entry among very many.
 * Thread: the worker's baton. Never blocks. */
#ifndef ROUTE_H
#define ROUTE_H

#include "session.h"

/* One session's (or one group's) part of a route. */
struct route_target {
	struct session *s; /* NULL: a group */
	struct share_group *group;
	uint32_t ids_at, ids_len; /* in route->ids */
	uint8_t qos;
	uint8_t qos_own; /* for the session's own messages: subscriptions with no_local do not count; ROUTE_NOT: none */
	bool retain_as_published;
};
enum { ROUTE_NOT = 0xff };

struct route {
	uint64_t workers; /* a bit for each other worker that is interested */
	uint32_t targets_len;
	uint32_t *ids;
	struct route_target targets[];
};

/* Routes a message that came into the broker on this worker: from a client, a will, a rule. `source` is its session, or
 * NULL. The caller keeps its reference. True when anybody wanted it: a subscriber, or the retained store; not a rule. */
bool route_publish(struct worker *w, struct msg *m, struct session *source, struct client *c, struct sl_ticket *ticket);

/* A QoS 2 message that was routed in a former run and not acknowledged: the rules may not have had it. */
void route_to_rules_again(struct worker *w, struct msg *m, struct client *c, struct sl_ticket *ticket);

/* Before that: the stage that would get a row of it and takes none, or NULL (rules_shut()). */
struct sl_stage *route_shut(struct worker *w, const struct msg *m, const struct client *c);

/* A message that another worker sent. */
void route_forwarded(struct worker *w, const struct forward *f);

/* Who would get it here. */
typedef void (*route_each_cb)(void *arg, struct worker *w, const struct route *r, const struct route_target *t);
void route_each_here(struct worker *w, const struct msg *m, route_each_cb each, void *arg);

void route_free(void *arg, void *route); /* topic_cache's */

struct router *router_new(void) sl_warn_unused; /* what a worker needs to make routes */
void router_free(struct router *r);

#endif
