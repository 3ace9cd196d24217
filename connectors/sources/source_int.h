/* source_int.h: the objects behind sources.h and source.h.
 *
 * Who owns what: `sources` owns the sources that are in force, or on their way out; a source owns its batches, wherever they are, until
 * all their messages are through and they came back. A part lives as long as its kind keeps it or a message of it is under way.
 * Threads: as in connectors_int.h. A batch belongs to its worker from the letter to there until the letter back. */
#ifndef SOURCE_INT_H
#define SOURCE_INT_H

#include "connectors_int.h"
#include "sources.h"

struct source_pending_conf {
	int64_t messages, bytes;
};
struct source_conf {
	char *connector;
	struct source_pending_conf max_pending;
};
extern const struct conf_field source_conf_fields[];

/* What one worker has to do for one source: batches in order, one of them there. */
struct source_line {
	struct sl_source_batch *head, *tail;
	bool out;
	bool full; /* an action that holds has no more room for its rows */
};

struct sl_source {
	struct connectors *cs; /* NULL in a mere check */
	struct sl_conn *conn;
	const struct sl_source_kind *kind;
	char *name;
	json_t *tree;
	struct source_conf conf;
	void *impl;
	struct sl_list link; /* sources.list */
	bool broken;         /* its settings have mistakes: of a set that is never in force */

	/* L. */
	enum sl_source_state state;
	char *text;       /* NULL */
	struct told told; /* reasons since it was another state */
	int64_t since_ms;
	bool started, retired, closing, closed, paused;
	struct sl_timer closed_timer; /* tells of `closed` outside of the kind's call */
	size_t next_worker, parts;
	struct source_line *lines; /* by worker */
	struct sl_list batches;
	uint64_t received, through, forgotten, pauses, pending, pending_bytes;
};

struct sl_source_part {
	struct sl_source *source;
	size_t worker, pending;
	bool ended;
};

/* What a worker collects for the loop during a tick. */
struct source_end {
	struct sl_source_message *through, **through_tail;
	struct sl_source_batch *evaluated;
} __attribute__((aligned(64)));

struct sources {
	struct connectors *cs;
	struct sl_list list;
	struct source_end *ends;
	connectors_source_fn fn;
	void *arg;
	bool stopping;
	bool waits; /* a line has something, and no room for the rows of it */
};

struct sources_set {
	struct sl_source **at; /* moved by commit, unless an equal one runs */
	size_t count;
	bool known; /* connectors_prepare_sources() was called */
};

struct sources *sources_new(struct connectors *cs);
void sources_free(struct sources *ss); /* no loop runs any more */

/* A commit (connectors.c). */
/* Behind the connections, which have changed over. */
void sources_switch(struct connectors *cs, struct connectors_set *set);
void sources_begin(struct connectors *cs); /* the rules that go with the set are in force */
bool sources_use(const struct connectors *cs, const struct sl_conn *c);
void sources_reap(struct connectors *cs);

/* The program ends: nothing more is taken; then all are closed. */
void sources_stop(struct connectors *cs);
bool sources_close(struct connectors *cs); /* true: all are closed */

void sources_set_free(struct sources_set *set);
struct sl_source *source_new(struct connectors *cs, const char *name);
void source_free(struct sl_source *s); /* no batch of it is out */
void source_batch_free(struct sl_source_batch *b);
void source_close(struct sl_source *s);
const char *source_state_name(enum sl_source_state state);

void sources_go_on(struct connectors *cs); /* L, at the end of a tick */
/* What a worker has collected goes to the loop; from sl_stages_flush(). */
void sources_flush(struct connectors *cs, size_t worker);

/* Numbers for pages. */
/* What never changes while a source lives is read through the pointer: a snapshot keeps it from being freed. */
struct source_copy {
	const struct sl_source *s;
	char *text;
	enum sl_source_state state;
	int64_t since_ms, lag;
	bool paused, retired;
	uint64_t received, acknowledged, untold, forgotten, pauses, pending, pending_bytes, parts;
};
struct sources_copy {
	struct source_copy *at;
	size_t n;
};
void sources_copy_take(const struct connectors *cs, struct sources_copy *out); /* parked; may be called again */
void sources_copy_fini(struct sources_copy *copy);

#endif
