/* sql_parse.h: between lexer (sql_lex.re), grammar (sql_grammar.y) and sql_parse.c. Only for these. */
#ifndef SQL_PARSE_H
#define SQL_PARSE_H

#include "sql_front.h"

struct sql_token {
	uint32_t at, end;     /* span in the text */
	struct sl_slice text; /* names and strings without their quotes */
};

struct sql_lexer {
	struct sql_front *front;
	const char *at;
	bool after_dot; /* what follows a dot is a name, whatever it says */
	/* of the aws dialect */
	bool after_from, after_select, after_as;
	uint32_t brackets; /* open ones */
};
/* The next token's number; 0 at the end, -1 after a failure (front->err is set). */
int sql_lex(struct sql_lexer *lx, struct sql_token *token);
/* Doubled quotes made single. */
struct sl_slice sql_unquote(struct sl_arena *arena, struct sl_slice raw, char quote);

/* How a token is called in messages. */
struct sql_token_name {
	int token; /* 0: the end, which closes a table */
	const char *name;
	bool keyword;
	bool name_too; /* where a name may stand it is one, and not worth telling */
};
struct sql_parse;
/* A dialect's lexer and grammar, and what messages about its tokens need. */
struct sql_tongue {
	int (*lex)(struct sql_lexer *lx, struct sql_token *token);
	void *(*alloc)(void *(*alloc)(size_t), struct sql_parse *p);
	void (*release)(void *parser, void (*release)(void *));
	void (*feed)(void *parser, int kind, struct sql_token token);
	const char *begins; /* what a statement begins with */
	const struct sql_token_name *names;
	/* tokens by their part in an expression; comparisons are first_comparison .. last_comparison */
	int expression, name, whole, text, lp, star, slash, plus, not_, or_, null, as, from, first_comparison,
	    last_comparison;
	/* A sentence about a word or sign that other SQLs have here, or NULL. */
	const char *(*advice)(const struct sql_parse *p, int found, const struct sql_token *token,
			      const bool *accepted);
};
extern const struct sql_tongue sql_tongue_standard, sql_tongue_aws;
/* The tokens that both grammars have, by the prefix of the grammar's. */
#define SQL_TONGUE_TOKENS(prefix)                                                                                      \
	.expression = prefix##EXPRESSION, .name = prefix##ID, .whole = prefix##INT, .lp = prefix##LP,                  \
	.star = prefix##STAR, .slash = prefix##SLASH, .plus = prefix##PLUS, .not_ = prefix##NOT, .or_ = prefix##OR,    \
	.null = prefix##NULL, .as = prefix##AS, .from = prefix##FROM, .first_comparison = prefix##EQ

struct sql_parse {
	struct sql_front *front;
	struct sql_statement *statement;
	struct sql_node *expression;
	struct sql_token previous;
	int previous_kind;
	const struct sql_tongue *tongue;
};

/* accepted[t] says that token t could stand where `found` stood. Called by the grammar. */
void sql_parse_unexpected(struct sql_parse *p, int found, const struct sql_token *token, const bool *accepted,
			  size_t count);

/* Node makers: all of them check the depth. */
void sql_ast_measure(struct sql_parse *p, struct sql_node *n);
struct sql_node *sql_ast_node(struct sql_parse *p, enum sql_node_kind kind, struct sql_node *a, struct sql_node *b,
			      struct sql_node *c);
struct sql_node *sql_ast_span(struct sql_node *n, uint32_t at, uint32_t end);
struct sql_node *sql_ast_binary(struct sql_parse *p, enum sql_binary op, struct sql_node *a, struct sql_node *b);
struct sql_node *sql_ast_logic(struct sql_parse *p, enum sql_node_kind kind, struct sql_node *a, struct sql_node *b,
			       bool negated);
struct sql_node *sql_ast_leaf(struct sql_parse *p, enum sql_node_kind kind, const struct sql_token *t);
struct sql_node *sql_ast_literal(struct sql_parse *p, const struct sql_token *t, struct sql_value value);
struct sql_node *sql_ast_number(struct sql_parse *p, const struct sql_token *t, bool whole);
struct sql_node *sql_ast_many(struct sql_parse *p, enum sql_node_kind kind, struct sl_slice name, struct sql_nodes args,
			      uint32_t at, uint32_t end);
struct sql_node *sql_ast_star_call(struct sql_parse *p, const struct sql_token *name, uint32_t end);
struct sql_nodes sql_ast_append(struct sql_parse *p, struct sql_nodes list, struct sql_node *n);
struct sql_place_name sql_ast_target(struct sql_parse *p, struct sql_place_name t, const struct sql_token *key,
				     struct sql_node *index);
struct sql_field *sql_ast_field(struct sql_parse *p, struct sql_node *expr, struct sql_place_name target, uint32_t at);
struct sql_fields sql_ast_add_field(struct sql_fields list, struct sql_field *f);
struct sql_froms sql_ast_add_from(struct sql_parse *p, struct sql_froms list, const struct sql_token *t);
struct sql_statement *sql_ast_statement(struct sql_parse *p);

#endif
