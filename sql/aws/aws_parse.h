/* aws_parse.h: between lexer (aws_lex.re), grammar (aws_grammar.y) and aws_parse.c of the aws dialect. Only for these. */
#ifndef AWS_PARSE_H
#define AWS_PARSE_H

#include "sql_parse.h"

int aws_lex(struct sql_lexer *lx, struct sql_token *token);

/* Node makers that the standard grammar does not need. */
struct sql_node *aws_ast_decimal(struct sql_parse *p, const struct sql_token *t);
struct sql_node *aws_ast_member(struct sql_parse *p, struct sql_node *a, const struct sql_token *name);
struct sql_node *aws_ast_cast(struct sql_parse *p, struct sql_node *a, const struct sql_token *type, uint32_t at,
			      uint32_t end);
struct sql_node *aws_ast_query(struct sql_parse *p, struct sql_statement *query, uint32_t at, uint32_t end);
struct sql_node *aws_ast_exists(struct sql_parse *p, struct sql_statement *query, uint32_t at, uint32_t end);
struct sql_field *aws_ast_spread(struct sql_parse *p, struct sql_node *a);
/* SET @name = expr. */
struct sql_fields aws_ast_set(struct sql_parse *p, struct sql_fields list, const struct sql_token *name,
			      struct sql_node *expr);
/* Refuses: VALUE with more than one item, or with a name. */
void aws_ast_check_value(struct sql_parse *p, const struct sql_fields *fields);

#endif
