/* aws_steps.h: what the steps of the aws dialect do (sql_op_tbl.h); called by the loop of sql_vm.c. Only for sql/.
 *
 * Undefined is SQL_NULL: a member, an element or a row's column that is Undefined is left out of what is made.
 * Operations return SL_OK, or a limit's status after sql_vm_fail(). What they make lives in vm->arena.
 * Lifetime: a shape belongs to its program or template. Thread: the vm's. */
#ifndef AWS_STEPS_H
#define AWS_STEPS_H

#include "sql_vm.h"

/* How registers become an object: each value is a member, at a place below it (`rest`), or an object whose members are
 * spread. What is spread comes first, so a named member wins. A payload that has no members to spread stands below
 * AWS_PAYLOAD_NAME, as what it is: a value, text or bytes. */
#define AWS_PAYLOAD_NAME "payload"
struct aws_member {
	struct sl_slice key;
	const struct sql_target_step *rest;
	bool spread;
	bool payload; /* the '*' of a statement, which spreads a payload that is an object */
};
struct aws_shape {
	uint32_t n;
	bool plain; /* names only, none twice: then they stand in `names` too */
	struct aws_member *at;
	struct sl_slice *names, *names_json;
};
struct aws_shape *aws_shape_copy(struct sl_arena *arena, const struct aws_shape *shape);
void aws_shape_print(const struct aws_shape *shape, struct sl_buf *out);

/* What a compiled rule of this dialect keeps for its templates. */
struct aws_program {
	struct sl_slice version;
	bool decimal_division, whole_decimals; /* 5 / 2 is 2.5; 2.5 + 2.5 is 5.0 */
	struct sl_slice *variables;            /* of SET, in registers first_variable .. */
	uint32_t n_variables;
	uint16_t first_variable;
};

int aws_path(struct sql_vm *vm, uint32_t n, struct sql_value *out);
/* document: what the path of the whole payload gave. */
struct sql_value aws_payload(struct sql_vm *vm, const struct sql_value *document);
int aws_member_of(struct sql_vm *vm, const struct sql_value *v, struct sl_slice key, struct sql_value *out);

struct sql_value aws_not(const struct sql_value *v);
struct sql_value aws_and(const struct sql_value *a, const struct sql_value *b);
struct sql_value aws_or(const struct sql_value *a, const struct sql_value *b);
static inline bool aws_is(const struct sql_value *truth, bool wanted) {
	return truth->kind == SQL_BOOL && truth->b == wanted;
}

int aws_list(struct sql_vm *vm, const struct sql_value *values, uint32_t n, struct sql_value *out);
int aws_object(struct sql_vm *vm, const struct aws_shape *shape, const struct sql_value *values, struct sql_value *out);

/* The walk of a nested query lives in one register, which nothing but these reads. *any is false for what has no
 * elements, arrays of none aside. */
int aws_rows(struct sql_vm *vm, const struct sql_value *source, struct sql_value *walk, bool *any);
/* *more is false at the end. `steps`: what one round costs of the budget. */
int aws_element(struct sql_vm *vm, const struct sql_value *walk, uint32_t steps, struct sql_value *out, bool *more);
void aws_rows_add(const struct sql_value *walk, const struct sql_value *row);
int aws_rows_end(struct sql_vm *vm, const struct sql_value *walk, struct sql_value *out);

/* The value of a variable is bounded, and what all of one evaluation have together. */
int aws_keep(struct sql_vm *vm, const struct sql_value *v);
int aws_emit(struct sql_vm *vm, const struct aws_shape *shape, const struct sql_value *values);
/* `all`: it is the whole payload, `*`, which is passed on as it came where it is JSON but for text that is not UTF-8. */
int aws_emit_value(struct sql_vm *vm, const struct sql_value *v, bool all);

#endif
