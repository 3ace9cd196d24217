/* sql_shape.h: programs that differ in nothing but their constants, as ten thousand rules made from one pattern do. They
 * have one shape: any of them can be run with the constants of another, and gives what that would give. So the steps of
 * one stay in the caches while the constants of many pass by.
 *
 * A run that fails says where it failed in the text of the program that was run; whoever wants to show that runs the other
 * program itself. Nothing that a program of a shared shape does is seen outside of its run.
 *
 * Lifetime: constants given by sql_shape_constants() live in the arena, and no longer than p. Thread: as sql.h. */
#ifndef SQL_SHAPE_H
#define SQL_SHAPE_H

#include "sql.h"

/* Equal for programs of one shape; 0: this one shares its shape with none. */
uint64_t sql_shape_hash(const struct sql_program *p);
bool sql_shape_equal(const struct sql_program *a, const struct sql_program *b);
const struct sql_value *sql_shape_constants(const struct sql_program *p, struct sl_arena *arena);
/* The same, into `room` bytes aligned for a value; false when they do not fit, or are more than numbers and texts. */
bool sql_shape_constants_into(const struct sql_program *p, void *at, size_t room);
/* sql_run() with these constants in the place of p's own. */
enum sql_outcome sql_shape_run(struct sql_vm *vm, const struct sql_program *p, const struct sql_value *constants,
			       const struct sql_input *in, sql_row_fn on_row, void *arg);

/* Do the two give the same rows for any event, and can b's templates be evaluated on a's? Made of one text, that reads
 * neither what the engine knows of the rule nor what is another each time. */
bool sql_shape_same(const struct sql_program *a, const struct sql_program *b);
/* Right after a run of such a program: templates of p, another one of them, may be evaluated on the rows of that run. */
void sql_shape_again(struct sql_vm *vm, const struct sql_program *p);

#endif
