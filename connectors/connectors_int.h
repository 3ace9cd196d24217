/* connectors_int.h: the objects of the connector layer. See connectors.h (outside) and connector.h (kinds).
 *
 * Who owns what: `connectors` owns connections and pipelines; a pipeline owns its action, its chunks (once arrived), its
 * log and its batches; a worker end is touched by its worker only.
 * Threads: W = the worker, L = the connector loop, M = main, T = the connection's own thread. */
#ifndef SL_CONNECTORS_INT_H
#define SL_CONNECTORS_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "buffer.h"
#include "connectors.h"
#include "dead_letter.h"
#include "pipeline_conf.h"
#include "told.h"

#define LANES 64               /* order keys fall into these */
#define LANE_FREE LANES        /* rows to try again that keep no order */
#define LANE_ASIDE (LANES + 1) /* suspects that hold no others up (pipeline_break.c) */
#define LANE_COUNT (LANES + 2)
#define PATIENCE_MAX_MS 4  /* a letter of rows waits no longer for others */
#define LATENCY_BUCKETS 18 /* upper bounds 1 ms, 2 ms, 4 ms, ... */
#define SPLIT_MAX 40

/* ---- Connections: instance.c -------------------------------------------------------------------------------------- */

enum conn_state { CONN_STOPPED, CONN_CONNECTING, CONN_UP, CONN_DEGRADED, CONN_STALLED, CONN_DOWN };

/* What real traffic said last: connectors_watch.c. Wall times; 0: never. */
struct health {
	int64_t success_ms, error_ms;
	char *error; /* NULL: none */
};
void health_good(struct health *h, int64_t wall_ms);
void health_bad(struct health *h, int64_t wall_ms, const char *text);
void health_fini(struct health *h);

struct sl_conn {
	const struct sl_connector_kind *kind;
	char *name;
	struct conn_conf conf;
	uint64_t fingerprint; /* of its settings, secrets resolved */
	bool broken;          /* its settings are wrong, which was said; never in force. kind NULL: of no known type */
	bool blocking;
	uint32_t depth; /* batches of a way that may be out; 0: the usual */
	uint32_t ways;
	struct connectors *cs;
	struct sl_list link; /* connectors.conns */

	/* L, once started. */
	enum conn_state state;
	char *text;       /* why DOWN, DEGRADED or STALLED; NULL */
	struct told told; /* reasons of this outage */
	int64_t since_ms;
	uint64_t up_at_ms;
	uint32_t attempts, actions, not_ready;
	struct sl_timer timer; /* next connect, next probe */
	bool traffic, probing, retired, closing, closed, opened;
	struct thread_worker *thread;
	struct health health;
	uint64_t answer_ms;     /* monotonic: the server said something about a row, or to a probe */
	uint32_t stalled;       /* actions */
	uint32_t fresh_stalled; /* of one look */
	uint64_t fresh_rows;
	char *stall_text;
	uint64_t stall_look_ms; /* when stall_text was made */
	bool give_up;
	_Atomic bool cut_by_reload; /* what was cancelled last waited for other settings, and had not had its time */
	bool worked;                /* a row was delivered since it is up */
	bool down_unsaid;           /* it breaks again and again, which was said */
	uint32_t unsaid;            /* so often since then */
	uint64_t down_ms, unsaid_due_ms; /* when it broke last; monotonic */
	uint32_t out;                    /* batches */
	/* A suspicious batch travels alone (pipeline_trial.c): whose it is, from the moment on in which nobody else may send. */
	struct sl_pipeline *trial;
	struct sl_way *trial_way;
	struct pipeline_batch *alone;          /* it, while it is out */
	struct pipeline_batch *only;           /* is out, and nothing else was since it went */
	struct sl_list trial_line;             /* sl_way.trial_wait: who wants to send alone */
	uint64_t trial_until_ms;               /* others wait no longer */
	uint64_t trial_sent_ms, trial_back_ms; /* the last one */
	uint64_t lost_ms;                      /* when rows were last lost */
	bool lost;                             /* that was since it is up: it is down soon, if not yet */
	bool trial_refused;                    /* others wait */
	/* pipeline_break.c. */
	bool soon;         /* when it breaks, it connects again soon */
	bool trial_broke;  /* the last trial ended it, as was to be expected */
	bool doubted;      /* since a connection broke last */
	uint8_t guilty;    /* so many breaks make a row guilty */
	uint64_t doubt_ms; /* when a suspect got through after all */
	uint64_t past_latency[LATENCY_BUCKETS + 1], past_latency_sum_ms; /* of actions that have ended */
	void *impl;
};

struct sl_conn *conn_new(struct connectors *cs, const char *name); /* M; cs NULL in a mere check */
void conn_start(struct sl_conn *c);                                /* L */
void conn_hurry(struct sl_conn *c);                                /* L: the next attempt to connect is made now */
void conn_soon(struct sl_conn *c);                                 /* L: it has broken, or is about to: no long pause */
void conn_close(struct sl_conn *c);                                /* L: ends in conn->closed */
void conn_not_ready(struct sl_conn *c, int more); /* L: so many actions more or less are not; 0: one says why anew */
void conn_probe(struct sl_conn *c);               /* L: ends in EVENT_PROBED */
void conn_stalled(struct sl_conn *c, int more);   /* L: so many actions more or less are stalled */
void conn_give_up(struct sl_conn *c);             /* L: no answer, though it is up: connect again */
static inline bool conn_is_up(const struct sl_conn *c) {
	return (c->state == CONN_UP || c->state == CONN_DEGRADED || c->state == CONN_STALLED) && !c->closing;
}
void conn_wake(struct sl_conn *c);    /* L: all its actions */
void conn_settled(struct sl_conn *c); /* L: says that it has come to rest */
const char *conn_state_name(enum conn_state s);
json_t *conn_about(struct sl_conn *c); /* L: what the kind says of itself; NULL: nothing. The caller's */
char *text_to_show(char *text);        /* takes heap, gives heap: UTF-8, without what only settings may hold */
void conn_free(struct sl_conn *c);     /* after closed, or never started */

/* ---- A blocking connection's thread: thread_worker.c ------------------------------------------------------------- */

struct thread_worker;
struct pipeline_batch;
enum thread_call { THREAD_CONNECT = 1, THREAD_PROBE = 2, THREAD_CLOSE = 4 };
struct thread_worker *thread_worker_new(struct sl_conn *c);
void thread_worker_call(struct thread_worker *tw, enum thread_call call);
void thread_worker_submit(struct thread_worker *tw, struct pipeline_batch *bt);
void thread_worker_free(struct thread_worker *tw); /* joins: after THREAD_CLOSE was answered */

/* ---- Actions and pipelines ------------------------------------------------------------------------------------------ */

struct sl_conn_action {
	struct sl_conn *conn;
	struct sl_pipeline *p;           /* NULL until committed */
	struct sl_conn_action *next_old; /* connectors.old_actions */
	char *rule, *name;               /* name: "rule.0" */
	char *destination;               /* what its kind calls it; NULL: nothing */
	uint32_t index;
	json_t *tree;
	char *face, *owner;            /* likeness.h; owner: from pipelines_match() on */
	char *logs;                    /* names of folders, a line each, whose rows it goes on with; NULL: none */
	struct dead_letter *dead_file; /* of its place; NULL until committed */
	struct action_conf conf;
	const struct sl_param *params;
	size_t param_count;
	uint8_t *late;    /* enum sl_late of each parameter; NULL: of none is any */
	uint64_t rows_of; /* sl_action_spec_rows_of() */
	uint8_t *msgid;   /* sl_action_spec_msgid(), for each parameter; NULL: none is */
	void *on_error;
	void (*on_error_release)(void *on_error);
	void *impl;
};
void action_free(struct sl_conn_action *a);

struct pipeline_batch {
	struct sl_batch b; /* first: the kind sees this */
	struct sl_post post;
	struct pipeline_batch *next; /* pool, done list, thread's queue */
	struct sl_list out;          /* pipeline.out */
	struct sl_pipeline *p;
	struct sl_way *way;
	char *note;        /* of a look; heap */
	bool look, looked; /* of no rows, and no pipeline: connectors_try.c waits for it */
	struct row_ref *ref;
	const void **row;
	uint32_t cap;
	uint64_t bytes, copy_bytes, sent_ms, deadline_ms;
	bool after_fence; /* the loop knows of all failures before it */
	bool fenced;      /* came back untouched, for the batch before it had failed */
	bool overdue;     /* its time is over, and it was cancelled; b.late is the kind's */
	bool cut_short;   /* and that was before its time, for a stop or a reload */
	bool reasons;     /* some reason[] is set */
	bool alone;       /* nothing else of its connection may be out: see pipeline_trial.c */
	bool only;        /* came back, and nothing else was out since it went */
};

/* A stream of batches in which order holds: as many may be out as `depth` says, and when one comes back undecided, nothing goes out
 * until all are back. */
struct sl_way {
	struct row_queue q, back;
	uint32_t out;
	bool fence, after_fence;
	bool fence_soon;           /* a batch that is back, and not looked at yet, has rows that come again */
	uint64_t left_ms;          /* when its last batch did */
	uint32_t split[SPLIT_MAX]; /* sizes of the groups to send next, last first */
	uint32_t splits;
	/* pipeline_break.c. */
	const void *broke_at; /* the first row that was lost when the connection broke last */
	uint32_t breaks;      /* with that one, and nothing decided in between */
	uint8_t epoch;        /* the pipeline's at the first of these */
	uint32_t suspects;    /* so many rows, the next ones, among which one ends the connection; 0: no suspicion */
	uint32_t piece;       /* so many of them at a time */
	bool suspect_first;   /* the first of them has not been tried alone */
	bool suspects_sure;   /* nothing else was out when the connection ended */
	/* pipeline_trial.c. */
	struct sl_pipeline *p;
	struct sl_list trial_wait; /* in sl_conn.trial_line */
	bool trial_asked;          /* in this run */
	uint8_t trials_long;       /* trials in a row that took so long that others did not wait for their end */
	uint32_t doubt_rows;       /* sl_batch_in_doubt(): the next batch may have so many rows; 0: as many as any */
	bool thread_broken;        /* T only */
};

/* Rows of these order keys wait; later ones line up behind them. */
struct sl_lane {
	struct row_queue parked;
	uint64_t due_ms;
};

/* Rejected, but the dead letter could not be written yet. */
struct dead_wait {
	struct row_ref ref;
	char *reason;
};

enum batch_cut { CUT_ROWS, CUT_BYTES, CUT_LINGER, CUT_FLUSH, CUT_SPLIT, CUT_CAUSES };

struct pipeline_counters {
	uint64_t recovered, replayed, delivered, rejected, dropped_overflow, dropped_expired, dropped_shutdown;
	uint64_t dropped_damaged, dead_lettered, on_error;       /* the last two: what became of the rejected */
	uint64_t again_delivered, again_rejected, again_dropped; /* of these, those that were given back */
	uint64_t retried, maybe_duplicate, batches, cut[CUT_CAUSES];
	uint64_t latency[LATENCY_BUCKETS + 1], latency_sum_ms;
};

struct sl_stage {                  /* W; what a status page counts is in the first cache line */
	struct sl_chunk *open[2];  /* by qos */
	uint64_t received, posted; /* rows */
	struct sl_stage *next_dirty;
	bool dirty, full; /* full: the last chunk of this tick is; the next one gets its whole block at once */
	struct sl_pipeline *p;
	struct worker_end *end;
	const struct row_format *format;
} __attribute__((aligned(64)));

/* Workers' ends for rows of a former format; counted until no worker stages there any more and no page reads them. */
struct old_stages {
	struct old_stages *next;
	struct sl_stage *at;
	uint64_t replaced_by; /* the commit that did */
	bool left;            /* by all workers */
};

/* A row of a chunk that went back to the log (pipeline_large.c): how it stood, and which of the chunk's it is. */
struct kept_row {
	struct row_ref ref;
	uint32_t index;
};

#define FILL_SAMPLES 12
#define FILL_WARN_PERCENT 80

struct fill_sample {
	uint64_t at_ms, rows, bytes, disk;
};
struct queue_fill {
	const char *limit; /* the option that is the tightest limit; NULL: there is none */
	uint64_t full_ms;  /* until it is full, at the pace of the last minute; UINT64_MAX: it does not grow */
	uint8_t percent;
};

/* pipeline_pace.c. */
struct pace {
	uint32_t most;       /* rows of a batch, for larger ones were late; 0: as many as it may have */
	uint32_t in_time;    /* so many of that size were, in a row */
	uint32_t enough;     /* so many let it grow, whatever they took; 0: PACE_ENOUGH */
	bool grown;          /* and none as large as the one that was late has been in time yet */
	uint32_t late_rows;  /* of that one */
	uint64_t cut_ms;     /* when it became smaller last */
	uint64_t small_ms;   /* what a batch took since then, */
	uint32_t small_rows; /* of so many rows; 0: none yet */
};

struct sl_pipeline {
	struct connectors *cs;
	struct sl_conn_action *action;
	struct sl_list link;     /* connectors.pipelines */
	struct sl_stage *stages; /* one a worker */
	struct {
		_Atomic bool holding; /* read by W */
		_Atomic bool full;    /* and has held all that it may: who publishes for it is not heard */
		_Atomic bool shut;    /* and more than that: what is published for it is not even taken */
		_Atomic int durability;
		_Atomic uint32_t payload_max; /* bytes of a message's payload that an origin gets */
	} shared;

	/* L. A reload that changed the action, or its connection's settings: `next` takes over once nothing is out; until then
	 * rows are taken in its name, and only batches that are out are still of `action`. */
	struct sl_conn_action *next;
	struct row_format *format; /* of rows that are taken in, and of the log's next record */
	uint64_t remap_told;       /* of which names, old and new, it was said what becomes of their values */
	bool
	    format_changes; /* what is in memory has another one: new rows go to the log only, until `next` takes over */
	bool intake_waits;  /* and there is no log to put them */
	struct old_stages *old_stages;
	uint64_t past_received, past_posted; /* of those that are gone */

	struct health health;
	struct drop_notes *notes;
	uint64_t progress_ms;    /* a row was decided, or the first one came; monotonic */
	bool stalled;            /* no progress for too long */
	uint8_t busiest_percent; /* of the rows that wait, those of one lane; 0: few wait */
	char *busiest_client;    /* whose they are, of some; heap */
	struct queue_fill fill;  /* as last looked at */
	struct fill_sample fill_was[FILL_SAMPLES];
	uint32_t fill_samples; /* ever taken */
	struct told fill_told; /* limits that were nearly reached */

	struct sl_list dirty; /* connectors.dirty */
	uint64_t change;      /* which of connectors.changes was the last here: a copy from before it is old */
	struct chunk_line incoming, held;
	struct chunk_line line[2]; /* in memory, not sorted yet; by qos */
	const char *cursor[2];     /* next row of line[q].head */
	uint32_t cursor_left[2];
	struct sl_list in_mem; /* all chunks in memory but held and incoming */
	struct sl_way *way;
	uint32_t way_count, depth, next_way;
	uint32_t ways_used, ways_next; /* the first so many; others wait, see pipeline_ways.c */
	uint32_t calm, calm_enough;    /* batches in a row that left for their linger alone */
	struct sl_lane *lane;          /* LANE_COUNT; NULL until a row had to wait */
	uint64_t blocked;              /* bit per lane */
	size_t parked;
	struct pace pace;
	bool others_first;      /* a suspect had its turn, and no other row got through since then */
	uint32_t wary;          /* a row was found at which the connection ends: so many batches more go alone, */
	uint32_t group;         /* of so many rows at the most; 0: as many as a batch may have */
	uint32_t trials_wanted; /* ways in the line for trials */
	uint64_t aside_ms;      /* when a suspect stepped aside last */
	uint32_t asides;        /* how often, since a row was delivered behind a break */
	bool broke_since;       /* a connection broke, and nothing was delivered since then */
	uint8_t epoch;          /* how often a row was delivered behind a break, modulo 64 */
	struct dead_wait *dead;
	size_t dead_n, dead_cap;
	uint64_t dead_due_ms;
	struct sl_list out; /* batches */
	struct pipeline_batch *pool;
	struct sl_timer timer;
	bool pause_lost; /* pause_until_ms is only for the case that the connection stays up though rows were lost */
	uint64_t pause_until_ms, hold_due_ms, hold_pause_ms, mark_at_ms, now_ms;
	uint64_t rate_room, rate_at_ms; /* thousandths of rows that may go, as of then */
	struct {
		char *what, *why; /* NULL: no row waits for something of its own */
		uint64_t said_ms;
	} waits; /* sl_action_waits() */
	uint32_t not_ready_tries;
	char *not_ready_why; /* NULL while it is ready */
	int64_t ready_ms;    /* when it became so again; wall time */
	struct told told;    /* reasons since it was ready */
	bool draining, halted;
	uint64_t retired_by;    /* the commit that did */
	bool retiring, retired; /* replaced; no worker stages into it any more */

	uint64_t taken;                            /* rows that arrived from the workers */
	uint64_t mem_rows, mem_bytes, flight_rows; /* undecided in memory (flight included); bytes of chunks; out */
	uint64_t held_rows, held_bytes, held_cost, incoming_rows;
	uint64_t copy_bytes;      /* of what is out: what the client of the far side holds beside our rows */
	uint64_t arrivals, ended; /* chunks: so many came into memory, and left it */
	const char *full_why;     /* of the last chunk for which there was no room, */
	const char *full_advice;  /* and what to do */
	int log_failed;           /* why the log took nothing when last asked, but for want of budget; SL_OK */
	uint64_t log_failed_ms;
	int dead_failed;       /* why the first of `dead` waits */
	bool dead_published;   /* for on_error, not for the file */
	uint64_t hold_room;    /* what had been made when the held chunks were last tried */
	uint64_t held_by_room; /* how often they were tried for that */
	struct pipeline_counters count;
	struct sl_list large_wait; /* in connectors.large_line */
	struct {
		uint64_t seq; /* of the chunk */
		struct kept_row *ref;
		size_t n; /* 0: none went back */
	} kept;

	struct spill *log; /* NULL without one */
	uint64_t disk_max;
	char *log_dir;
	struct sl_tickets *unsynced, *syncing;
	struct pipeline_sync *sync;
	bool sync_wanted;        /* sync: tick; false while the last one of former settings runs */
	const char *sync_failed; /* why; NULL: it did not */
};

/* The next run is at this time, or before. */
static inline void due_at(uint64_t now_ms, uint64_t at_ms, uint64_t *wait_ms) {
	uint64_t wait = at_ms > now_ms ? at_ms - now_ms : 1;
	if (at_ms != UINT64_MAX && wait < *wait_ms) *wait_ms = wait;
}

/* pipeline.c */
int pipeline_new(struct connectors *cs, struct sl_conn_action *a, struct sl_pipeline **out, struct sl_err *err); /* M */
void pipeline_free(struct sl_pipeline *p);
uint32_t pipeline_depth(const struct sl_conn *c); /* batches of a way that may be out */
void pipeline_wake(struct sl_pipeline *p);        /* run at the end of this tick */
void pipeline_run(struct sl_pipeline *p);
bool pipeline_idle(const struct sl_pipeline *p);         /* nothing queued anywhere the loop can see */
bool pipeline_stuck(const struct sl_pipeline *p);        /* its rows wait for a table or the like; they fit the log */
bool pipeline_rejects_wait(const struct sl_pipeline *p); /* pipeline_done.c: for the next start */
const char *pipeline_dead_path(const struct sl_pipeline *p); /* where the first letter that waits cannot go */
void pipeline_halt(struct sl_pipeline *p);                   /* submits no more; cancels what is out */
void pipeline_batch_back(struct pipeline_batch *bt);         /* L: the kind is done with it */

/* pipeline_pace.c */
static inline bool pipeline_pace_counts(const struct pipeline_batch *bt) {
	return bt->b.late || bt->overdue || bt->p->pace.most > 0 || bt->p->pace.grown;
}
void pipeline_pace(const struct pipeline_batch *bt); /* one is back that was late, or larger ones were */
void pipeline_pace_forget(struct sl_pipeline *p);    /* what is sent to is another one */
/* sl_batch_in_doubt(): so many rows and bytes may this way's next batch have. */
uint64_t pipeline_rows_most(const struct sl_way *way);
uint64_t pipeline_bytes_most(const struct sl_way *way);
void pipeline_doubt_look(const struct pipeline_batch *bt); /* one is back that was in doubt, or was larger for it */
static inline bool pipeline_doubt_counts(const struct pipeline_batch *bt) {
	return bt->b.doubt || bt->way->doubt_rows > 0;
}

/* lanes.c */
void pipeline_lanes_look(struct sl_pipeline *p);

/* queue_fill.c */
void pipeline_fill_look(struct sl_pipeline *p);

/* late.c */
bool msgid_equal(const struct sl_conn_action *a, const struct sl_conn_action *b);
bool late_equal(const struct sl_conn_action *a, const struct sl_conn_action *b);
void pipeline_late_fill(const struct sl_pipeline *p, struct pipeline_batch *bt); /* about to be sent */

struct sl_chunk *
pipeline_unsorted(const struct sl_pipeline *p); /* the next whose rows get a way; NULL: there is none */

/* pipeline_ways.c: how many ways are used */
void pipeline_ways_begin(struct sl_pipeline *p); /* makes them */
static inline bool pipeline_ways_change(const struct sl_pipeline *p) { return p->ways_used != p->ways_next; }
void pipeline_ways_settle(struct sl_pipeline *p); /* before a run's ways, when they may send; and after */
void pipeline_ways_look(struct sl_pipeline *p);
void pipeline_ways_cut(struct sl_pipeline *p, enum batch_cut why);

/* pipeline_drop.c: rows that make room for others */
struct sl_chunk *pipeline_line_pop(struct sl_pipeline *p, bool qos); /* the cursor goes to the next */
/* The oldest rows in memory that are not out, of QoS 0 or of the others: one; of a chunk that nobody has begun, all, unless `one`. False:
 * there are none. */
bool pipeline_drop_first(struct sl_pipeline *p, bool qos, bool one);
/* The same of any; where there are none in memory, of the log `rows`, at most a record of it; 0: bytes are wanted. */
bool pipeline_drop_oldest(struct sl_pipeline *p, uint64_t rows);
void pipeline_rows_damaged(struct sl_pipeline *p, uint32_t rows); /* a segment of the log is lost */

/* pipeline_take.c */
void pipeline_take(struct sl_pipeline *p); /* incoming and held chunks: log, memory, overflow */
/* Rows of a dead-letter file: into the log, into memory if need be, and counted. On failure the chunk stays the caller's. */
int pipeline_take_replayed(struct sl_pipeline *p, struct sl_chunk *c);
void pipeline_refill(struct sl_pipeline *p);                        /* reads back from the log */
void pipeline_chunk_end(struct sl_pipeline *p, struct sl_chunk *c); /* all rows decided */
void pipeline_confirm(struct sl_pipeline *p, struct sl_chunk *c);
void pipeline_sync(struct sl_pipeline *p); /* sync: tick; in pipeline_log.c */
/* Values of rows that were logged under other names move to where their names are in `a`; false when none is known. What has no value
 * then is said once: pipeline_remap.c. */
bool pipeline_chunk_remap(struct sl_pipeline *p, const struct sl_conn_action *a, struct sl_chunk *c,
			  const struct spill_names *old);
/* None of the old names is known any more: no place for any value, so all rows are dead letters. */
void pipeline_chunk_dead(struct sl_pipeline *p, struct sl_chunk *c, const struct spill_names *old);
int pipeline_log_memory(struct sl_pipeline *p); /* all that is in memory gets into the log as well */

/* pipeline_large.c */
bool pipeline_refill_fits(struct sl_pipeline *p,
			  bool *large);          /* may the next record be read? large: connectors.large is it then */
void pipeline_large_pass(struct sl_pipeline *p); /* after a refill */
void pipeline_large_look(struct sl_pipeline *p); /* after a run */
void pipeline_large_end(struct connectors *cs);  /* its chunk has ended */
void pipeline_large_forget(struct sl_pipeline *p);
/* Of a record that is unread again only these rows are left (p->kept.ref and n). */
void pipeline_kept_tell(struct sl_pipeline *p, uint64_t seq, uint32_t rows);
static inline bool pipeline_kept_is(const struct sl_pipeline *p, uint64_t seq) {
	return sl_unlikely(p->kept.n > 0) && p->kept.seq == seq;
}
bool pipeline_large_again(struct sl_pipeline *p, struct sl_chunk *c);   /* false: it comes for the first time */
void pipeline_chunk_charge(struct sl_pipeline *p, struct sl_chunk *c);  /* pipeline_take.c */
struct sl_way *pipeline_way_of(struct sl_pipeline *p, const void *row); /* pipeline.c */

/* pipeline_change.c: a running pipeline gets other settings, or another connection. */
struct row_format *pipeline_format_new(struct sl_pipeline *p, const struct sl_conn_action *a); /* p's */
void row_templates_take(struct row_templates *made, const struct sl_conn_action *a);           /* in place of others */
void row_templates_fini(struct row_templates *made);
bool row_templates_equal(const struct row_templates *a, const struct row_templates *b, size_t n);
struct sl_stage *pipeline_stages_new(struct sl_pipeline *p);
bool pipeline_can_change(const struct sl_pipeline *p, const struct sl_conn_action *to);
void pipeline_change(struct sl_pipeline *p, struct sl_conn_action *to); /* in a commit; owns `to` from then on */
void pipeline_change_finish(struct sl_pipeline *p);                     /* no batch is out */
void pipeline_stages_leave(struct sl_pipeline *p, uint64_t commit);     /* no worker stages into older ones */
void pipeline_stages_forget(struct sl_pipeline *p, bool all);           /* no page reads them */
static inline struct sl_conn_action *pipeline_intake(const struct sl_pipeline *p) {
	return p->next ? p->next : p->action;
}

/* pipeline.c */
void pipeline_dead_file(const struct sl_pipeline *p, struct sl_conn_action *a); /* gives it the one of its place */

/* pipeline_log.c */
struct spill_opts pipeline_log_opts(const struct sl_conn_action *a, const char *dir, struct sl_slice *names);
void pipeline_save(struct sl_pipeline *p); /* shutdown, no batch out: what is only in memory goes to the log */
void pipeline_save_beside_out(struct sl_pipeline *p); /* the same while batches are out; nothing is freed */
void pipeline_abandon(struct sl_pipeline *p);         /* in place of pipeline_free(), when the process ends at once */
void pipeline_chunk_cut(struct sl_chunk *c, const char *row);       /* what is before this row goes */
void pipeline_kept_only(struct sl_pipeline *p, struct sl_chunk *c); /* all but p->kept goes */
void pipeline_left_mark(struct sl_pipeline *p);
void pipeline_left_compact(struct sl_pipeline *p,
			   struct sl_chunk *c); /* leaves what is marked, and what was never sorted */
struct pipeline_sync *pipeline_sync_new(void);
void pipeline_log_sync_now(const struct sl_pipeline *p); /* with sync: tick; blocks */
bool pipeline_sync_busy(const struct sl_pipeline *p);
uint64_t pipeline_sync_due(const struct sl_pipeline *p);
char *pipeline_file_name(const struct sl_conn_action *a); /* "rule.0", safe as a file name; heap */
/* Changes nothing that is there, for the commit may fail; then, in force: its owner is written, logs of former settings taken in. */
int pipeline_log_open(struct sl_pipeline *p, struct sl_err *err);
void pipeline_log_begin(struct sl_pipeline *p);
void pipeline_log_forget(struct sl_pipeline *p);                       /* its folder is free for others */
bool pipeline_log_owned(const struct connectors *cs, const char *dir); /* by a running pipeline */
char *pipeline_rule_prefix(const char *rule);                          /* "rule.", the same */
struct sl_conn *connectors_conn_equal(struct connectors *cs,
				      const struct sl_conn *wanted); /* L: one that runs; NULL: none */
/* pipeline_match.c: L. Of each spec the pipeline that it goes on with, whether that changes, and the logs. */
void pipelines_match(struct connectors *cs, struct connectors_set *set);
struct sl_slice pipeline_owner(const struct sl_conn_action *a); /* of its log; empty: too long. pipeline_log.c */
void pipeline_owner_take(struct sl_pipeline *p, struct sl_conn_action *from); /* it goes on unchanged, among others */
void pipeline_owner_gone(struct sl_pipeline *p);                              /* no action goes on with it */
void pipeline_log_gone(const char *dir);                                      /* the same of a log that nobody has */
void pipeline_chunk_enter(struct sl_pipeline *p, struct sl_chunk *c);         /* into memory */

/* connectors_snapshot.c */
uint64_t
pipeline_oldest_ms(const struct sl_pipeline *p); /* age of the oldest row in memory; those only on disk are younger */

/* problems.c */
const char *pipeline_disk_advice(int status); /* what to do when a file cannot be written; static */

/* connectors_watch.c */
enum note_reason {
	NOTE_REJECTED,
	NOTE_PUBLISHED,
	NOTE_OVERFLOW,
	NOTE_UNLOGGED,
	NOTE_EXPIRED,
	NOTE_SHUTDOWN,
	NOTE_DAMAGED,
	NOTE_REASONS
};
/* Rows are given up: a log line now, or in the next summary. why may be NULL. */
void pipeline_note(struct sl_pipeline *p, enum note_reason reason, uint64_t rows, struct sl_slice topic,
		   const char *why);
struct sl_slice pipeline_row_topic(struct sl_chunk *c, const void *row); /* of its message, empty when not known */
void pipeline_notes_free(struct sl_pipeline *p);
void pipeline_waits_end(struct sl_pipeline *p);
void pipeline_goes_on(struct sl_pipeline *p); /* it was stalled, perhaps */
void connectors_watch_begin(struct connectors *cs);
void connectors_hurry(
    struct connectors *cs); /* who reloads has perhaps mended what is waited for: no pause is sat out */

/* pipeline_break.c: rows at which the server ends the connection */
static inline bool way_searches(const struct sl_way *way) { /* it has rows */
	return way->suspects > 0 || row_queue_at(&way->q, 0)->breaks > 0;
}
static inline bool way_suspicious(const struct sl_way *way) { return way_searches(way) || way->p->wary > 0; }
size_t pipeline_trial_rows(struct sl_way *way, enum batch_cut *why);  /* of one that searches: the next batch */
size_t pipeline_group_rows(const struct sl_pipeline *p, size_t n);    /* of n rows so many go, when it is wary */
bool pipeline_lane_rests(const struct sl_pipeline *p, unsigned lane); /* it is not released, though its time has come */
bool pipeline_aside_first(const struct sl_pipeline *p); /* the lane of those aside is released before its time */
bool pipeline_row_broke(struct pipeline_batch *bt);     /* true: it alone was out, and has been dealt with */
void pipeline_breaks_look(struct pipeline_batch *bt, uint32_t lost, bool delivered);
bool conn_broke_in_trial(const struct sl_conn *c); /* it ended at a suspicious batch, and works otherwise */

/* pipeline_trial.c: whose turn it is to have a connection alone */
/* May a batch of this way go now? When another one's trial is not over, or this one must be alone and is not, it is woken later. */
bool pipeline_trial_may(struct sl_pipeline *p, struct sl_way *way, bool alone, uint64_t *wait_ms);
void pipeline_trial_unused(struct sl_way *way);      /* it may, and has nothing to send after all */
void pipeline_trial_sent(struct pipeline_batch *bt); /* any batch */
void pipeline_trial_back(struct pipeline_batch *bt); /* whatever came back: who waited for that goes on */
void pipeline_trial_look(struct sl_pipeline *p);     /* after a run: who did not ask has no place in the line */
void pipeline_trial_leave(struct sl_pipeline *p);    /* its ways are about to end */
void pipeline_trial_up(struct sl_conn *c);

/* pipeline_done.c */
unsigned pipeline_lane_of(const struct sl_pipeline *p, const void *row);
struct sl_lane *pipeline_lane(struct sl_pipeline *p, unsigned lane);
void pipeline_park(struct sl_pipeline *p, unsigned lane, struct row_ref ref);
void pipeline_park_first(struct sl_pipeline *p, unsigned lane, struct row_ref ref);
enum row_end { ROW_DELIVERED, ROW_REJECTED, ROW_OVERFLOW, ROW_EXPIRED, ROW_SHUTDOWN };
void pipeline_rows_end(struct sl_pipeline *p, struct sl_chunk *c, uint32_t n, enum row_end how);
void pipeline_reject(struct sl_pipeline *p, struct row_ref ref, const char *reason);
void pipeline_dead_retry(struct sl_pipeline *p);
/* Rows that have no place anywhere become dead letters; those that could be are off the chunk. SL_OK: all of them. */
int pipeline_chunk_letters(struct sl_pipeline *p, struct sl_chunk *c, const char *reason);
void pipeline_batch_results(struct pipeline_batch *bt);
void pipeline_ready(struct sl_pipeline *p); /* it was not, perhaps */

/* Logs of running pipelines by their folders. */
struct log_slot {
	uint64_t hash;
	bool used;
	const struct sl_pipeline *p;
};
#define HMAP_NAME log_map
#define HMAP_SLOT struct log_slot
#define HMAP_KEY const char *
#define HMAP_EQUAL(slot, key) (strcmp((slot)->p->log_dir, key) == 0)
#include "hmap.h"

/* ---- The service: connectors.c ------------------------------------------------------------------------------------- */

struct chunk_sum {
	uint64_t n, bytes;
};

enum room_wait { ROOM_ON_WAY = 1, ROOM_IN_ACTION = 2 };
enum room_gate { GATE_WAY = 1, GATE_ACTION = 2 };

struct worker_end {
	/* W. */
	struct sl_stage *dirty;
	struct sl_chunk *chunks;    /* to be used again */
	struct chunk_sum again;     /* that ever were */
	struct sl_tickets *tickets; /* pool */
	bool over;                  /* more is on its way than may be, when last looked at */
	bool source_full;           /* a row of a source's batch went to an action that is `full` */
	_Atomic uint32_t gate;      /* enum room_gate: why sl_stage_shut() must be asked. W and, seldom, L */
	/* From L to W. */
	_Atomic(struct sl_chunk *) back __attribute__((aligned(64)));
	_Atomic uint64_t again_n, again_bytes; /* from W to L: `again` */
	/* Memory of the chunks that are on their way (connectors_budget.c): W counts what goes, L what has come. */
	_Atomic uint64_t way_in, way_out;
	_Atomic uint32_t waiting; /* enum room_wait: who is not heard here waits for this */
	/* L: what goes back. */
	struct sl_tickets *confirmed, **confirmed_tail;
	struct chunk_sum spared; /* that ever were put in `back` */
} __attribute__((aligned(64)));

struct connectors {
	struct sl_loop *loop;
	char *data_dir;
	struct sl_loop **workers;
	struct worker_end *ends;
	size_t worker_count;
	connectors_reject_fn on_reject;
	void *on_reject_arg;
	connectors_state_fn on_state;
	void *on_state_arg;
	bool started;

	/* L, once started. M changes the lists only in a call to the loop. */
	struct sl_list conns, pipelines, dirty;
	struct sl_conn_action *old_actions; /* replaced; freed when no page reads them */
	struct log_map logs;
	char **leftovers; /* during pipelines_match(): folders of logs that nobody has, sorted */
	size_t leftover_count, leftover_cap;
	struct pipeline_batch *done, **done_tail; /* came back on the loop's own thread */
	struct sl_hook hook_stage, hook_flush;
	struct sl_timer stop_timer, watch_timer;
	uint64_t watch_ms;
	/* connectors_budget.c. Of rows in memory or held, and of what clients of the far sides hold; all actions. 0: no bound */
	uint64_t mem_max, mem_bytes, memory; /* memory: node.buffer_memory, of which the others are parts */
	uint64_t way_max, spare_max;         /* of one worker: chunks on their way to us, and idle ones */
	bool room_made;                      /* in this tick: an action takes rows again */
	uint64_t freed;                      /* of chunks, since `trim` last gave it back to the system */
	struct memory_trim *trim;
	struct sl_chunk *large;    /* the one that is larger than its action may have beyond the budget; NULL: none */
	struct sl_list large_line; /* sl_pipeline.large_wait: who waits for that turn */
	uint32_t full_actions, shut_actions;
	connectors_room_fn on_room;
	void *on_room_arg;
	uint64_t disk_told; /* the sum of budgets that was compared with the disk */
	struct replay *replay;
	struct sources *sources; /* source_int.h */
	struct lookups *lookups; /* lookup_int.h */
	struct sl_post kick;
	bool kicked, draining, stopped;
	_Atomic bool keep_rejects; /* connectors_keep_rejects() */
	bool abandoned;            /* at the stop: clients that did not come back are not waited for */
	struct {
		_Atomic bool wanted, halted; /* halted: nothing is waited for any longer, wanted or not */
		struct sl_post post;
		struct sl_timer timer;
	} stop_now;
	uint32_t letters;     /* of rows, that came in this tick */
	uint64_t letters_ms;  /* and when the last did before */
	uint32_t patience_ms; /* of the least patient of them */
	uint32_t nap_ms;      /* so long a sleep takes several of them at a time; 0: they do not come often enough */
	uint64_t changes;     /* of any pipeline's numbers */
	bool reaping;         /* something replaced has not ended yet */
	uint64_t commits;     /* changes while M waits for a call only */
	uint32_t pins;        /* status pages that read what is in the lists: nothing is freed */

	/* M waits for the loop. */
	pthread_mutex_t lock;
	pthread_cond_t cond;
};

/* connectors_budget.c: who holds what; README.md has the sum. */
void connectors_disk_check(struct connectors *cs);
void connectors_memory_init(struct connectors *cs, uint64_t memory);
static inline uint64_t worker_end_way(const struct worker_end *end) {
	return atomic_load(&end->way_in) - atomic_load(&end->way_out);
}
/* So much on a worker's way, and not even a first row is taken any more. Above way_max it is, but no second one of its publisher. */
static inline uint64_t way_shut(const struct connectors *cs) { return cs->way_max * 2; }
/* The part of a budget that rows in memory may fill; the rest is for those held, and for copies in clients. */
static inline uint64_t budget_rows(uint64_t budget) { return budget - budget / 8; }
static inline bool budget_has_room(const struct connectors *cs, uint64_t budget, uint64_t bytes) {
	return cs->mem_max == 0 || cs->mem_bytes + bytes <= budget;
}
uint64_t chunk_cost(const struct sl_chunk *c);                         /* pipeline_take.c */
void chunk_arrived(struct connectors *cs, struct sl_chunk *c);         /* L: it is charged elsewhere from now on */
void pipeline_held_charge(struct sl_pipeline *p, struct sl_chunk *c);  /* into p->held */
void pipeline_held_release(struct sl_pipeline *p, struct sl_chunk *c); /* out of it */
void pipeline_full_check(struct sl_pipeline *p);
uint64_t pipeline_copies(const struct sl_pipeline *p, uint64_t rows, uint64_t bytes);
void pipeline_copies_add(struct pipeline_batch *bt);
void pipeline_copies_sub(struct pipeline_batch *bt);
bool pipeline_copies_fit(const struct sl_pipeline *p, const struct sl_way *way, size_t rows);
bool connectors_way_full(const struct connectors *cs, size_t worker); /* L */
/* Has so much been freed that it must go back to the system before more is taken elsewhere? Then it does, and pipelines are
 * woken. */
bool connectors_trim(struct connectors *cs);
bool connectors_trim_busy(const struct connectors *cs);
void connectors_room_tell(struct connectors *cs); /* L, at the end of a tick */

static inline void pipeline_mem_add(struct sl_pipeline *p, uint64_t bytes) {
	p->mem_bytes += bytes;
	p->cs->mem_bytes += bytes;
}
static inline void pipeline_mem_sub(struct sl_pipeline *p, uint64_t bytes) {
	p->mem_bytes -= bytes;
	p->cs->mem_bytes -= bytes;
}

void connectors_call(struct connectors *cs, void (*fn)(struct connectors *cs, void *arg),
		     void *arg);                                        /* M: on L, waits */
void connectors_call_end(struct connectors *cs, bool *done);            /* L: wakes who waits for it */
void connectors_call_wait(struct connectors *cs, const bool *done);     /* M */
void connectors_drain_step(struct connectors *cs);                      /* L, connectors_stop.c: at the end of a tick */
void connectors_chunk_spare(struct connectors *cs, struct sl_chunk *c); /* L: back to its worker's pool, or freed */
struct sl_chunk *connectors_chunk_new(struct sl_pipeline *p, size_t worker, bool qos);
void connectors_chunk_free(struct sl_chunk *c);
void connectors_tickets_free(struct sl_tickets *t);
void connectors_ends_send(struct connectors *cs);    /* L, at the end of the tick */
void connectors_orphans_warn(struct connectors *cs); /* L: logs of actions that are not configured any more */

/* ---- A set: connectors_load.c --------------------------------------------------------------------------------------- */

struct sl_action_spec {
	const struct sl_param *params;
	size_t param_count;
	struct sl_conn_action *action;        /* moved to the pipeline by commit, unless an equal one runs */
	const struct sl_conn_action *running; /* where it was moved */
	struct sl_pipeline *p;
	bool kept;    /* p ran before */
	bool changes; /* and gets this action */
};
struct connectors_set {
	struct connectors *cs;
	struct sl_conn **conns; /* moved by commit, unless an equal one runs */
	size_t conn_count;
	struct sl_action_spec **specs;
	size_t spec_count, spec_cap;
	struct sources_set *sources; /* NULL: not prepared */
};

const struct sl_connector_kind *connector_kind_find(const char *name);

#endif
