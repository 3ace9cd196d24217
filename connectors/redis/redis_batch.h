/* redis_batch.h: batches on their way: what the files redis_batch.c (what becomes of rows), redis_doubt.c
 * (errors that are not believed at once), redis_denied.c (rows that our user may not write) and redis_send.c (where rows go) share.
 *
 *     job    a batch; ends when every part is answered or lost
 *     part   what of it goes over one node's link: a request with as many replies as its units bring
 *     unit   commands of one row that go together; between MULTI and EXEC in a transaction
 *
 * Thread: the loop's own. */
#ifndef REDIS_BATCH_H
#define REDIS_BATCH_H

#include "redis_client.h"
#include "redis_errors.h"

enum { REDIS_HOPS_MAX = 16, REDIS_WAIT_ROW = UINT32_MAX };

struct redis_unit {
	uint32_t row;          /* REDIS_WAIT_ROW: no row's, but a WAIT for the replicas of all units before it */
	uint16_t first, count; /* commands */
	uint8_t hops;          /* how often it was sent on */
	bool asking;           /* ASKING goes before it */
	bool doubted;          /* sent once more, for the server knew nothing of what its script said */
	uint32_t denial;       /* the same, for it was refused: number of the denial, from 1; 0: no */
};

/* A place in a job's pipelines. */
struct redis_mark {
	uint32_t part;   /* which */
	uint32_t passed; /* units before it there that got through */
};

struct redis_part {
	struct redis_request q;
	struct sl_list waits; /* node.waiting, until the link is ready */
	struct sl_list of_job;
	struct redis_part *next; /* pool */
	struct redis_job *job;
	struct redis_node *node;
	struct redis_unit *unit;
	uint32_t units, cap;
	bool sent;

	/* The unit whose replies come now. */
	uint32_t at, reply;
	struct redis_mark mark;
	uint32_t waited;       /* the first unit that no answered WAIT covers */
	enum sl_result result; /* the worst so far; DONE: nothing went wrong */
	bool open;             /* it was refused, or is doubted: that is decided later */
	struct redis_node *to; /* a transaction goes on there as a whole */
	bool asking;
	char *why;
};

struct redis_job {
	struct sl_list link; /* client.jobs */
	struct redis_job *next;
	struct redis_client *c;
	const struct redis_plan *plan;
	struct sl_batch *b;
	struct sl_list parts, doubts;
	uint16_t *left; /* units of each row that are not answered */
	uint32_t left_cap;
	uint32_t hold; /* does not end while somebody works on it */
	bool cancelled, routing;
	bool through;        /* all is answered; it ends when earlier ones have ended */
	bool behind_lost;    /* rows of an earlier job were lost */
	bool refused;        /* the server takes some of its rows later only */
	char *not_ready;     /* why the action cannot work; NULL */
	bool in_doubt;       /* or its rows, for all of them are denied */
	bool rights_changed; /* a row was refused, and then let in */
	struct redis_denial
	    *denied; /* commands whose key the user may not touch, or whose script may not do what it does */
	uint32_t denied_n, denied_cap;
	uint32_t *passed; /* of each part, units that got through */
	size_t parts_n, passed_cap;
};

/* The row's result becomes this one, unless it has a worse one. why: heap, taken over; NULL. */
void redis_row_worsen(struct redis_job *j, uint32_t row, enum sl_result result, char *why);
/* One unit of the row is through. why: heap, taken over; NULL. */
void redis_row_settle(struct redis_job *j, uint32_t row, enum sl_result result, char *why);
/* Sends a unit to a node, now or when its link is ready. */
void redis_unit_send(struct redis_job *j, struct redis_node *n, const struct redis_unit *u);
/* With the option `replicas`: a WAIT behind what the job has sent. */
void redis_job_wait(struct redis_job *j);
void redis_job_hold(struct redis_job *j);
void redis_job_release(struct redis_job *j); /* it may end now */
/* Where the row's commands go. */
void redis_row_route(struct redis_job *j, uint32_t row);

/* What an error of the unit means for more than its row, and the row's result; DONE: what it is stays open (redis_denied()).
 * mark: where it was said. */
enum sl_result redis_error_apply(struct redis_job *j, struct redis_node *n, const struct redis_unit *u,
				 const struct redis_error *e, struct redis_mark mark, const char *why);
/* A script says it: the server is asked, and the row is settled when it has answered. why: what is said when it is true, bare: when
 * the script made it up; both heap, taken over. */
void redis_doubt(struct redis_part *p, const struct redis_unit *u, size_t command, const struct redis_error *e,
		 char *why, char *bare);
void redis_doubts_cancel(struct redis_job *j, const char *text); /* by ending their connections */
/* Our user may not write it. */
void redis_denied(struct redis_job *j, struct redis_node *n, const struct redis_unit *u, struct redis_mark mark,
		  const char *why);
/* All is answered: sends those again of which that tells more. */
void redis_denied_again(struct redis_job *j);
void redis_denied_decide(struct redis_job *j); /* before the job ends */
/* "MOVED 3999 ...": whether that is the slot of the command's key. */
bool redis_moved_is_real(const struct redis_job *j, const struct redis_unit *u, size_t command, struct sl_slice text);
/* The connection ends, with what is out. */
void redis_node_fail(struct redis_node *n, const char *text);
/* Replies showed that this connection is of no use: only now, when nobody is at work on a part any more. */
void redis_trouble_end(struct redis_client *c, struct redis_node *n);

void redis_part_reply(struct redis_request *q, const struct redis_reply *reply);
void redis_part_lost(struct redis_request *q, int status, const char *text);
void redis_part_free(struct redis_part *p);

#endif
