/* aws_fn.h: what the function families of the aws dialect (fn_aws_*.c) share.
 *
 * Each function takes any number of arguments of any type: those it has no meaning for make it give Undefined (SQL_NULL).
 * A status other than SL_OK is a limit of the run. Thread: the vm's. */
#ifndef AWS_FN_H
#define AWS_FN_H

#include "aws_ops.h"
#include "sql_fn.h"

static inline int aws_undefined(struct sql_value *out) {
	*out = sql_null();
	return SL_OK;
}

/* The first `want` of n arguments as text: 1; 0 when there are not exactly so many, or one does not convert; else a
 * status after sql_vm_fail(). */
int aws_texts(struct sql_call *c, const struct sql_value *a, uint32_t n, uint32_t want, struct sl_slice *out);

/* A row: name, arguments, implementation, usage, meaning, when Undefined, example, result. */
#define AWS_ROW(n, a, f, u, d, e, x, g)                                                                                \
	{ .name = (n), .args = (a), .call = (f), .usage = (u), .doc = (d), .errors = (e), .example = (x), .gives = (g) }

extern const struct sql_fn_family aws_fn_math, aws_fn_text, aws_fn_regex, aws_fn_hash, aws_fn_codec, aws_fn_collection,
    aws_fn_time, aws_fn_message;

#endif
