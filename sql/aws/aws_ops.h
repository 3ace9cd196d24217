/* aws_ops.h: the operators and conversions of the aws dialect, on values.
 *
 * Undefined is SQL_NULL, Null is SQL_JSON_NULL. An Int is a whole number of up to 34 digits: SQL_INT, or SQL_NUMBER_TEXT when
 * it needs more than 64 bits; a Decimal is SQL_NUMBER_TEXT (34 significant digits), or SQL_DOUBLE when it came from a
 * function that is defined on doubles. A whole Decimal is an Int in SQL version 2016-03-23; in 2015-10-08 it stays a Decimal.
 * Numbers that nobody reckons with keep the text of the payload.
 *
 * Nothing here fails because of its operands: what cannot be is Undefined. A status other than SL_OK is a limit of the
 * run (memory, steps), after sql_vm_fail().
 * Lifetime: results borrow from the operands or from vm->arena. Thread: the vm's. Only for sql/. */
#ifndef AWS_OPS_H
#define AWS_OPS_H

#include "aws_decimal.h"
#include "sql_vm.h"

/* + - * / %. ADD with text on either side concatenates. int_division: Int / Int is cut to an Int (AWS's documented
 * operator table); false: it is a Decimal. */
int aws_arithmetic(struct sql_vm *vm, enum sql_binary op, bool int_division, const struct sql_value *a,
		   const struct sql_value *b, struct sql_value *out);
int aws_negate(struct sql_vm *vm, const struct sql_value *a, struct sql_value *out);

/* SQL_B_EQ .. SQL_B_GE: a boolean, or Undefined. */
struct sql_value aws_compare(struct sql_vm *vm, enum sql_binary op, const struct sql_value *a,
			     const struct sql_value *b);
/* a IN list: as '=' with each element; Undefined when list is no array or a is Undefined. */
struct sql_value aws_in(struct sql_vm *vm, const struct sql_value *a, const struct sql_value *list);
/* As an operand of AND, OR, NOT, and as a WHERE: a boolean (text true and false in any case too), or Undefined. */
struct sql_value aws_truth(const struct sql_value *v);

enum aws_type { AWS_STRING, AWS_INT, AWS_DECIMAL, AWS_DOUBLE, AWS_BOOLEAN };
/* String, Nvarchar, Text, Ntext, Varchar, Int, Integer, Double, Decimal, Bool, Boolean, in any case. */
bool aws_type_from_name(struct sl_slice name, enum aws_type *out);
/* cast(v AS type) */
int aws_cast(struct sql_vm *vm, const struct sql_value *v, enum aws_type type, struct sql_value *out);

/* The implicit conversions; SQL_NULL in *out when there is none (Null too, unless a function's row says otherwise). */
int aws_to_string(struct sql_vm *vm, const struct sql_value *v, struct sql_value *out);
int aws_to_number(struct sql_vm *vm, const struct sql_value *v, struct sql_value *out);
/* As SQL_INT, for lengths and positions: cut toward zero; what is beyond 64 bits becomes the nearest that is not. */
int aws_to_int(struct sql_vm *vm, const struct sql_value *v, struct sql_value *out);
/* The same, rounded down. */
int aws_to_int_down(struct sql_vm *vm, const struct sql_value *v, struct sql_value *out);
int aws_to_double(struct sql_vm *vm, const struct sql_value *v, struct sql_value *out);

/* For functions on numbers: the decimal that v is or converts to; false: it does not, or is out of range. */
bool aws_decimal_of(const struct sql_value *v, struct aws_decimal *out);
/* As a value: a whole one is SQL_INT (or SQL_NUMBER_TEXT beyond 64 bits). Never fails. */
struct sql_value aws_from_decimal(struct sql_vm *vm, const struct aws_decimal *d);
/* A double: whole is SQL_INT, not finite is Undefined. */
struct sql_value aws_from_double(const struct sql_vm *vm, double d);
/* Does a whole Decimal stay one in the program that runs (2015-10-08)? Then it is SQL_NUMBER_TEXT, 2.0, or SQL_DOUBLE. */
bool aws_whole_decimals(const struct sql_vm *vm);

#endif
