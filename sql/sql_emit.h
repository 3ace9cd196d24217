/* sql_emit.h: the emitter's state, shared by sql_emit.c (expressions) and sql_compile.c (statements). Only for this
 * folder. Lifetime: one compilation. */
#ifndef SQL_EMIT_H
#define SQL_EMIT_H

#include "sql_unit.h"

/* An expression that was computed into a register of its own. */
struct sql_known {
	const struct sql_node *n;
	uint16_t reg;
};

struct sql_emit {
	struct sql_unit *u;
	struct sql_step *steps;
	size_t n_steps, room_steps;
	struct sql_value *consts;
	size_t n_consts, room_consts;
	struct sql_handler *handlers;
	size_t n_handlers, room_handlers;
	struct sql_site *sites; /* a CALL step holds the number of its site until sql_emit_finish() */
	size_t n_sites, room_sites;
	uint32_t n_registers, n_once;
	uint16_t *path_reg; /* by path number: where it is loaded */
	size_t n_path_reg;
	uint16_t *column_reg; /* by position in the source's table */
	uint16_t metadata_reg, item_reg;
	/* Registers that hold their value on every way to the step being emitted, and the order they became so, to take
	 * it back at the end of a branch. */
	bool *definite;
	uint16_t *journal;
	size_t n_journal;
	struct sql_known known[32];
	size_t n_known, next_known;
	bool early;   /* WHERE or INCASE: an alias may be wanted before its turn */
	bool passing; /* the steps are run once and forgotten */
};

void sql_emit_init(struct sql_emit *e, struct sql_unit *u);
void sql_emit_fini(struct sql_emit *e);
/* Copies steps and constants to `arena`. */
void sql_emit_finish(struct sql_emit *e, struct sl_arena *arena, struct sql_code *code);

uint16_t sql_emit_register(struct sql_emit *e);
uint16_t sql_emit_registers(struct sql_emit *e, uint32_t n);
/* Appends a step; the pointer is good until the next one. */
struct sql_step *sql_emit_step(struct sql_emit *e, enum sql_op op, const struct sql_node *n);
uint32_t sql_emit_here(const struct sql_emit *e);
void sql_emit_patch(struct sql_emit *e, uint32_t step); /* its jump leads here */

uint32_t sql_emit_step3(struct sql_emit *e, enum sql_op op, const struct sql_node *n, uint16_t dst, uint16_t a,
			uint16_t b);
/* The operand that stands for a constant. */
uint16_t sql_emit_const(struct sql_emit *e, const struct sql_value *v, uint32_t at);
/* Between branch and end_branch stand steps that some runs skip: what they make definite is taken back. */
void sql_emit_definite(struct sql_emit *e, uint16_t reg);
size_t sql_emit_branch(const struct sql_emit *e);
void sql_emit_end_branch(struct sql_emit *e, size_t mark);
/* The register of a column, a path or the metadata, loaded. */
uint16_t sql_emit_home(struct sql_emit *e, const struct sql_node *n);
/* ---- sql_emit_call.c ---- */
/* The number of a call's site, with what its constant arguments allow to prepare. */
uint32_t sql_emit_site(struct sql_emit *e, struct sql_node *n);
/* The arguments (or elements) of n, in registers that follow each other from here on. */
uint16_t sql_emit_args(struct sql_emit *e, const struct sql_node *n);
void sql_emit_call(struct sql_emit *e, struct sql_node *n, uint16_t dst);

uint16_t sql_emit_operand(struct sql_emit *e, struct sql_node *n);
void sql_emit_into(struct sql_emit *e, struct sql_node *n, uint16_t dst);
/* The register that holds this expression on every way to here, or SQL_NONE (sql_common.c); and tells of one that does. */
uint16_t sql_emit_known(const struct sql_emit *e, const struct sql_node *n);
void sql_emit_know(struct sql_emit *e, const struct sql_node *n, uint16_t reg);
/* ---- sql_share_find.c ---- */
/* Begins an expression that can be shared: a jump past it, for sql_emit_keep() behind it; or SQL_NO_JUMP. */
uint32_t sql_emit_shared(struct sql_emit *e, const struct sql_node *n, uint16_t dst);
/* What stands between may be skipped: `mark` is from sql_emit_branch() before it. */
void sql_emit_keep(struct sql_emit *e, const struct sql_node *n, uint16_t dst, uint32_t shared, size_t mark);

/* Jumps that lead to one place not yet known are chained through their ->jump; start with SQL_NO_JUMP. */
enum { SQL_NO_JUMP = SQL_STEPS_MAX };
void sql_emit_patch_chain(struct sql_emit *e, uint32_t chain);
void sql_emit_chain_jump(struct sql_emit *e, enum sql_op op, const struct sql_node *n, uint16_t a, uint32_t *chain);
/* Steps that leave by *unmet when the condition is not met. */
void sql_emit_condition(struct sql_emit *e, struct sql_node *n, uint32_t *unmet);
/* The same for conjuncts some of which remember (sql_remember.c): those that do not come first; those that do are
 * evaluated, all of them, before one of them decides. */
void sql_emit_remembering(struct sql_emit *e, struct sql_node *n, uint32_t *unmet);
/* Evaluates the alias unless every way here did. */
void sql_emit_alias(struct sql_emit *e, size_t i);

#endif
