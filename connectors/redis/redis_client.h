/* redis_client.h: one configured connection: its nodes (servers, each with a link), who is master or has which slot, and the batches
 * that are out.
 *
 *     single     `pool` nodes with the same address; rows of one order key share a node
 *     sentinel   the same, the address being what the sentinels say (redis_sentinel.c)
 *     cluster    a node for each master; a key's slot says which (redis_cluster.c)
 *
 * A batch becomes a job; what of it goes over one node's link is a part; a part is a list of units: commands of one row that go
 * together (redis_batch.c).
 *
 * Thread: the loop's own. Never blocks. */
#ifndef REDIS_CLIENT_H
#define REDIS_CLIENT_H

#include "connector.h"
#include "lookup.h"
#include "redis_link.h"
#include "redis_plan.h"
#include "redis_quorum.h"
#include "redis_slots.h"

enum redis_state { REDIS_DOWN, REDIS_CONNECTING, REDIS_UP };

struct redis_client;
struct redis_job;

enum { REDIS_SUSPECTS = 4096 };

struct redis_suspect {
	uint64_t hash;
	uint32_t turn;    /* when it was seen last; 0: never, the place is free */
	uint32_t batches; /* that spoke against it */
};

/* Rows of an action that a node refused, with weak proof against them; see redis_denied.c. */
struct redis_suspects {
	const struct redis_plan *plan;
	uint32_t turn; /* of the batch at hand, from 1 */
	struct redis_suspect at[REDIS_SUSPECTS];
};

struct redis_node {
	struct redis_link link;
	struct redis_client *c;
	char *host;
	uint16_t port;
	struct sl_list waiting; /* redis_part: to be sent when the link is ready */
	struct sl_timer again;  /* cluster: to be dialled again */
	uint32_t slots;         /* cluster: how many it has */
	bool unconfirmed;       /* with `replicas`: it has taken rows that no WAIT has confirmed */
	struct redis_suspects *suspects;
	size_t suspects_n, suspects_cap;
	char *why; /* the last failure; NULL */
};

struct redis_sentinel {
	struct redis_link link;
	struct redis_client *c;
	const struct redis_address *address;
	struct redis_answer *answer; /* in watch.answer */
	struct redis_answer fresh;   /* of which only one of two replies came */
	struct redis_request q;
	bool asked, failed;
	bool no_master; /* its ACL does not permit SENTINEL MASTER */
	char *why;
	uint64_t asked_ms;
};

struct redis_watch {
	struct redis_client *c;
	struct redis_sentinel *sentinel; /* as many as servers */
	struct redis_answer *answer;
	struct sl_timer timer; /* while a master is looked for */
	uint64_t began_ms, first_ms;
	struct redis_memory memory;
	int64_t at_epoch, up_epoch; /* of the master that is connected to now; of the last one that was up: -1: none */
	bool alone;                 /* it has no replica, */
	uint64_t alone_ms;
};

struct redis_cluster {
	uint16_t slot[REDIS_SLOTS]; /* number of the node, from 1; 0: nobody */
	uint16_t next[REDIS_SLOTS]; /* what the last answer says, to be in force when no job is out */
	bool draining;              /* no batch is taken until that is so */
	bool fresh;                 /* next is to be taken over */
	bool holding;               /* rows of slots that moved come again, until no job is out: see is_held() */
	struct redis_request q;
	struct redis_node *asked; /* who is asked for the slots; NULL: nobody */
	size_t seed;
	uint64_t asked_ms;
	struct redis_client *c;
	struct sl_deferred apply;
};

struct redis_client {
	struct sl_conn *conn;
	const struct redis_conf *conf;
	struct redis_target target;
	struct tls_client *tls;
	struct redis_dock dock;
	enum redis_state state;
	bool closing, closed, probing;
	struct redis_node **node;
	size_t nodes, node_cap;
	struct sl_list jobs;
	struct redis_request probe, role;
	bool role_asked;
	bool told_cluster; /* of a look: that this is a node of a cluster was said */
	struct sl_timer probe_timer, check_timer;
	struct redis_watch *watch;     /* sentinel */
	struct redis_cluster *cluster; /* cluster */
	struct sl_buf scratch, why;
	struct redis_args args; /* of the command that is written now */
	char *trouble;          /* the connection is to end with this text, when the replies at hand are read */
	struct redis_job *job_pool;
	struct redis_part *part_pool;
};

struct redis_client *redis_client_of(void *conn_impl); /* of a connection of this kind */
int redis_client_open(struct redis_client *c, struct sl_conn *conn, const struct redis_conf *conf, struct sl_err *err);
void redis_client_connect(struct redis_client *c);
void redis_client_probe(struct redis_client *c);
void redis_client_close(struct redis_client *c);
void redis_client_fini(struct redis_client *c);
/* Adds members to `out`: nodes and their states. Changes nothing. */
void redis_client_describe(const struct redis_client *c, json_t *out);

/* ---- Between the files of the client. ---- */

void redis_client_up(struct redis_client *c);
/* Ends all links, and with them what is out; tells the framework. Nothing when it is down. */
void redis_client_down(struct redis_client *c, int status, const char *text);
struct redis_node *redis_node_add(struct redis_client *c, const char *host, uint16_t port);
void redis_node_open(struct redis_node *n);
struct redis_link_setup
redis_node_setup(const struct redis_node *n); /* for a link of one's own; its strings are the node's */
void redis_nodes_drop(struct redis_client *c);
void redis_node_free(struct redis_node *n);

void redis_client_ask_role(struct redis_client *c);       /* how the master sees itself */
bool redis_client_is_ready(const struct redis_client *c); /* all its nodes are */

struct redis_watch *redis_watch_new(struct redis_client *c);
void redis_watch_free(struct redis_watch *w);       /* NULL is fine */
void redis_sentinels_ask(struct redis_client *c);   /* ends in nodes that are opened, or in redis_client_down() */
void redis_sentinels_ready(struct redis_client *c); /* the master is; it may be wanted, or not yet */
void redis_sentinels_check(struct redis_client *c); /* whether the master is still the same */
void redis_sentinels_close(struct redis_client *c);
size_t redis_sentinels_answering(const struct redis_client *c);

struct redis_cluster *redis_cluster_new(struct redis_client *c);
void redis_cluster_free(struct redis_cluster *k); /* NULL is fine */
void redis_cluster_connect(struct redis_client *c);
void redis_cluster_node_ready(struct redis_node *n);
void redis_cluster_node_down(struct redis_node *n);
void redis_cluster_refresh(struct redis_client *c, struct redis_node *from); /* from NULL: any node */
void redis_cluster_moved(struct redis_client *c, struct redis_node *to);     /* the table is not true any more */
void redis_cluster_idle(struct redis_client *c);                             /* no job is out */
/* Who has it; NULL: nobody. */
struct redis_node *redis_cluster_node(struct redis_client *c, uint16_t slot);
/* "3999 10.0.0.1:6381", the rest of a MOVED or ASK that `from` sent. NULL: it says nothing of use. */
struct redis_node *redis_cluster_target(struct redis_node *from, struct sl_slice text);

/* redis_look.c: of a batch of no rows. */
int redis_look(struct redis_client *c, const struct redis_plan *plan, struct sl_batch *b);

extern const struct sl_asks_kind redis_asks_kind; /* redis_ask.c */

int redis_batch_submit(struct redis_client *c, const struct redis_plan *plan, struct sl_batch *b);
void redis_batch_cancel(struct sl_batch *b);
void redis_parts_send(struct redis_node *n); /* the node is ready: what waits goes out */
void redis_parts_lose(struct redis_node *n, const char *text);
void redis_pools_free(struct redis_client *c);

#endif
