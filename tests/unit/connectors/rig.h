/* rig.h: what a test of pipelines stands on: worker loops, a connector service, a scratch folder, a configuration as text.
 *
 *     struct rig *r = rig_new(1);
 *     rig_load(r, "connectors: {db: {type: sqlite, path: %s/a.db}}\nactions:\n  - {connector: db, ...}\n", r->dir);
 *     rig_stage(r, 0, 100, make_row);       // 100 rows for action 0, staged on the worker in one tick
 *     rig_settle(r, 0);                      // until nothing is queued
 *     rig_free(r);
 *
 * After every settle and stop the counters are checked: received = delivered + rejected + dropped + queued. */
#ifndef RIG_H
#define RIG_H

#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "connectors.h"
#include "mem.h"
#include "yaml.h"

#define RIG_WORKERS_MAX 4
#define RIG_ACTIONS_MAX 8

struct rig {
	char *dir;
	bool dir_mine; /* removed by rig_free() */
	struct sl_loop *workers[RIG_WORKERS_MAX];
	size_t worker_count;
	struct connectors *cs;
	struct yaml_doc *doc;
	struct connectors_set *set;
	struct sl_pipeline *p[RIG_ACTIONS_MAX];
	size_t action_count;
	pthread_mutex_t tickets_lock; /* every worker makes tickets, and is given back its own */
	uint64_t confirmed;           /* tickets done; read after rig_worker_sync() */
	struct sl_list tickets;       /* not confirmed yet */
	uint64_t serial;              /* rows staged so far */
	uint8_t patience_ms;          /* of who publishes them */
	struct sl_slice payload;      /* of the messages they come from */
	uint64_t rows_of;             /* sl_action_spec_rows_of() of every action */
	void *on_error;               /* given to every action with `on_error` */
	void (*on_error_release)(void *on_error);
};

/* Fills values[] (param order) for the serial-th row; returns the order hash. */
typedef uint64_t (*rig_row_fn)(uint64_t serial, struct sql_value *values, char *text, size_t text_size);

extern uint64_t rig_memory; /* connectors_opts.memory of rigs that are made; 0 */
struct rig *rig_new(size_t workers);
struct rig *rig_new_in(size_t workers, const char *dir); /* dir stays the caller's and is not removed */
/* (Re)loads; actions are rule "r", index as listed. Fails the test on a mistake. */
void rig_load(struct rig *r, const char *fmt, ...) sl_printf(2, 3);
/* The same where the commit fails; why (heap). What ran goes on. */
char *rig_load_refused(struct rig *r, const char *fmt, ...) sl_printf(2, 3);
/* Only checks; the report's text (heap), "" when all is well. */
char *rig_check(const char *fmt, ...) sl_printf(1, 2);
/* n rows to action `a` on worker 0, in ticks of at most `per_tick` (0: all in one); with QoS 1 and a ticket each. */
void rig_stage(struct rig *r, size_t a, size_t n, size_t per_tick, rig_row_fn row);
void rig_stage_on(struct rig *r, size_t worker, size_t a, size_t n, size_t per_tick, bool qos, rig_row_fn row);
/* In one tick, until there is no room for more; how many. Rows of rig_row. */
size_t rig_stage_until_full(struct rig *r, size_t a, size_t most, bool qos);
struct sl_action_counts rig_counts(struct rig *r, size_t a); /* parked; checks the identity */
uint64_t rig_confirmed(struct rig *r);
bool rig_confirms(struct rig *r, uint64_t n); /* waits until n tickets are confirmed, at most some seconds */
/* Waits until nothing is queued, at most some seconds. */
struct sl_action_counts rig_settle(struct rig *r, size_t a);
/* n rows to the first action, and until they are settled. */
struct sl_action_counts rig_deliver(struct rig *r, size_t n, rig_row_fn row);
/* Waits until n more batches of the action have gone out, at most some seconds. Where one of them has all its rows, n - 1 have come
 * back. */
bool rig_tries(struct rig *r, size_t a, uint64_t n);
/* Waits until fn says true, at most some seconds; false when it did not. */
bool rig_until(struct rig *r, size_t a, bool (*fn)(const struct sl_action_counts *n));
void rig_stop(struct rig *r, uint64_t deadline_ms); /* the service only; counts are gone then */
void rig_free(struct rig *r);

char *rig_tmpdir(void);
void rig_rmdir(const char *dir);
char *rig_read(const char *path);   /* a whole file, or NULL */
size_t rig_lines(const char *text); /* NULL: none */

/* values: device = "d<serial % 10>", n = serial, t = serial / 2.0; order by device. */
uint64_t rig_row(uint64_t serial, struct sql_value *values, char *text, size_t text_size);

#endif
