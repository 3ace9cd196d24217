/* sql_term.h: Erlang's external term format, as far as it holds what JSON holds.
 *
 *     JSON                      term
 *     null, absent              the atoms null, undefined
 *     true, false               atoms
 *     integer, of any size      SMALL_INTEGER, INTEGER, SMALL_BIG
 *     float                     NEW_FLOAT
 *     text, bytes               BINARY
 *     array                     LIST with NIL; or STRING when all are integers from 0 to 255
 *     object                    MAP with binary names
 *
 * Reading takes besides: old floats, LARGE_BIG of up to 255 bytes, any atom (as text), names that are atoms or integers, and
 * compressed terms. Tuples, pids, references, functions, bit strings and improper lists have no JSON form and fail.
 *
 * Bounds: SQL_VALUE_DEPTH_MAX levels, SQL_TEXT_MAX bytes written or uncompressed, and what a run may make.
 * Lifetime: values read borrow from `bytes` or the vm's arena. Thread: the vm's. Blocks: no. Errors: a status after
 * sql_vm_fail(). */
#ifndef SQL_TERM_H
#define SQL_TERM_H

#include "sql_vm.h"

int sql_term_encode(struct sql_vm *vm, const struct sql_value *v, struct sl_buf *out);
int sql_term_decode(struct sql_vm *vm, struct sl_slice bytes, struct sql_value *out);

#endif
