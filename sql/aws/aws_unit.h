/* aws_unit.h: a statement of the aws dialect between parsing and steps. Only for sql/.
 *
 *     sql_parse() -> aws_bind() -> aws_fold() -> aws_emit_program()
 *
 * The bound statement is the parsed one with other nodes in it: names have become payload members (PATH), members of a
 * nested query's element (SCOPED, ELEMENT), columns of the source and calls. There are no aliases: WHERE and templates see
 * the message only.
 * Lifetime: one compilation. */
#ifndef AWS_UNIT_H
#define AWS_UNIT_H

#include "sql_emit.h"
#include "sql_unit.h"

struct aws_scope { /* of a nested query, while what is inside it is bound */
	struct sql_statement *query;
	const struct aws_scope *outer;
};
struct aws_unit {
	const struct sql_compile_opts *opts; /* NULL in a template */
	const struct aws_scope *scope;
	struct sql_statement *statement;
	uint32_t visible; /* variables set so far */
	uint32_t reads;   /* a bit for each variable that what is being bound reads */
	uint32_t *reads_of;
	uint32_t where_reads;
	bool old_version; /* 2015-10-08: what it lacked is told */
};

/* Bind and make steps as sql_bind() and the rest do for the other dialect. Return the status. */
int aws_bind(struct sql_unit *u, struct sql_statement *s, const struct sql_compile_opts *opts);
void aws_fold(struct sql_unit *u);
int aws_emit_program(struct sql_unit *u);
/* One expression of a template, against u->p. */
struct sql_node *aws_bind_template(struct sql_unit *u, struct sql_node *n);

/* aws_call.c: what a call means. The arguments are bound. */
struct sql_node *aws_bind_call(struct sql_unit *u, struct sql_node *n);
/* The place that n names, if it is a payload member or get(member, 0): a PATH. NULL: it is something else. */
struct sql_node *aws_place(struct sql_unit *u, struct sql_node *n);
/* Tells that the rule's version of the language does not have this. */
void aws_warn(struct sql_unit *u, uint32_t at, const char *what);

uint16_t aws_emit_operand(struct sql_emit *e, struct sql_node *n);
void aws_emit_into(struct sql_emit *e, struct sql_node *n, uint16_t dst);

#endif
