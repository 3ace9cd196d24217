/* sql_share.h: expressions that several programs have in common, evaluated once for an event.
 *
 *     rule 0  SELECT upper(payload.site) AS s  WHERE regex_match(payload.name, 'press-[0-9]+')      slot 0: regex_match(..)
 *     rule 1  SELECT topic                     WHERE regex_match(payload.name, 'press-[0-9]+')      map of rule 1: 0
 *     rule 2  SELECT upper(payload.site) AS x                                                       slot 1: upper(..)
 *
 * When a program is made, its expressions that give the same for every rule that meets an event are listed, if they cost
 * more than a look at a table: no function that varies or remembers, no metadata, no element of FOREACH. A key tells them
 * apart: equal keys, equal values. Whoever runs many programs on one event gives a number, a slot, to keys that several of
 * them have. The first run that gets there evaluates and keeps the value, the others take it.
 *
 * A program that has such expressions has its steps twice: as they are, and with the steps that take and keep. A rule that
 * is alone pays nothing.
 *
 * A failure is not kept: each program fails by itself, at its own place; so is nothing that holds a try(), whose failures
 * may be limits of one run. What is taken does not count towards the limits of the run that takes it. Values that do not
 * stand in the payload are copied; beyond SQL_SHARE_KEPT_MAX bytes for one event they are not kept.
 *
 * Lifetime: kept values until the next sql_share_begin(). Thread: a share is one thread's. Allocates only until its arena
 * is warm. */
#ifndef SQL_SHARE_H
#define SQL_SHARE_H

#include "sql.h"

enum {
	SQL_SHARE_NONE = 0xffff,
	SQL_SHARE_KEPT_MAX = 1 << 20, /* bytes of one event */
	SQL_SHARED_MAX = 64,          /* expressions of one program that can be shared */
};

/* An expression that can be shared. */
struct sql_shared {
	struct sl_slice key;
	uint64_t hash;
	uint16_t within; /* the larger one that it is a part of wherever it stands; SQL_SHARE_NONE: none */
	uint32_t at, end;
};
const struct sql_shared *sql_program_shared(const struct sql_program *p, size_t *count);

struct sql_share_slot {
	uint64_t generation;
	struct sql_value value;
};
struct sql_share {
	struct sql_share_slot *slots;
	size_t cap;
	uint64_t generation; /* of the event; a slot of another one is empty */
	struct sl_slice payload;
	struct sl_arena arena;
	size_t kept;    /* bytes */
	uint64_t taken; /* values, for tests */
};
void sql_share_init(struct sql_share *s);
void sql_share_fini(struct sql_share *s);
/* Room for so many slots. */
void sql_share_reserve(struct sql_share *s, size_t slots);
/* Forgets everything: the next event, with this payload. */
void sql_share_begin(struct sql_share *s, struct sl_slice payload);

/* sql_run() that takes from and keeps in `share`. map: the slot of each of sql_program_shared(), or SQL_SHARE_NONE. */
enum sql_outcome sql_share_run(struct sql_vm *vm, const struct sql_program *p, struct sql_share *share,
			       const uint16_t *map, const struct sql_input *in, sql_row_fn on_row, void *arg);

#endif
