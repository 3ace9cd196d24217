/* sql_ast.h: a statement as the parser understood it: a tree of nodes in the arena of the compilation.
 *
 * The parser makes the nodes; the binder (sql_bind.c) replaces names by what they mean, turning NAME, MEMBER and INDEX
 * into COLUMN, PATH, ALIAS and so on; folding (sql_fold.c) replaces constant subtrees by LITERAL. Every node keeps the
 * span of source text it came from, for messages and EXPLAIN.
 *
 * Lifetime: the compilation (struct sql_front). Thread: the one that compiles. */
#ifndef SQL_AST_H
#define SQL_AST_H

#include "sql_value.h"

enum sql_node_kind {
	SQL_N_LITERAL, /* value */
	SQL_N_NAME,    /* name */
	SQL_N_MEMBER,  /* a . name */
	SQL_N_INDEX,   /* a [ b ] */
	SQL_N_SLICE,   /* a [ b .. c ] */
	SQL_N_RANGE,   /* [ a .. b ] */
	SQL_N_LIST,    /* [ args ] */
	SQL_N_CALL,    /* name ( args ); fn once bound */
	SQL_N_NOT,     /* NOT a */
	SQL_N_NEGATE,  /* - a */
	SQL_N_PLUS,    /* + a */
	SQL_N_BINARY,  /* a op b: arithmetic and comparison */
	SQL_N_AND,
	SQL_N_OR,
	SQL_N_IN,      /* a IN ( args ) */
	SQL_N_IN_LIST, /* a IN b, where b is an array */
	SQL_N_BETWEEN, /* a BETWEEN b AND c */
	SQL_N_LIKE,    /* a LIKE b */
	SQL_N_IS_NULL, /* a IS NULL */
	SQL_N_CASE,    /* [a] args: when, then, when, then ...; c: else */
	/* Of the aws dialect only. */
	SQL_N_STAR,     /* *: the whole payload, or the element of a nested query */
	SQL_N_OBJECT,   /* { args: key, value, key, value ... } */
	SQL_N_CAST,     /* cast ( a AS index: enum aws_type ) */
	SQL_N_VARIABLE, /* @name; index once bound */
	SQL_N_QUERY,    /* query: ( SELECT ... ), an array */
	SQL_N_EXISTS,   /* EXISTS a, a QUERY */
	/* Made by the binder. */
	SQL_N_COLUMN,   /* index: the column's id in the source */
	SQL_N_METADATA, /* what the engine knows of the run */
	SQL_N_PATH,     /* path: a place in the payload */
	SQL_N_ALIAS,    /* index: what the output column of that number holds */
	SQL_N_ITEM,     /* FOREACH's element */
	SQL_N_OUTPUT,   /* index: a column of the row, in a template */
	SQL_N_ELEMENT,  /* what the nested query `query` is at */
	SQL_N_SCOPED,   /* a: a member of the element; if it is there, b, which is built on it, otherwise c */
};

enum sql_binary {
	SQL_B_ADD, /* the six of arithmetic stand together, in this order (ORDER ARITHMETIC in sql_op_tbl.h) */
	SQL_B_SUB,
	SQL_B_MUL,
	SQL_B_DIV,
	SQL_B_IDIV,
	SQL_B_MOD,
	SQL_B_CONCAT,
	SQL_B_EQ, /* the six comparisons stand together, in this order (ORDER COMPARE in sql_op_tbl.h) */
	SQL_B_NE,
	SQL_B_LT,
	SQL_B_LE,
	SQL_B_GT,
	SQL_B_GE,
	SQL_B_MATCH,
};

struct jpath;
struct sql_fn;
struct sql_statement;
struct sql_node {
	enum sql_node_kind kind;
	uint8_t op; /* enum sql_binary */
	bool negated;
	uint16_t depth; /* height of the tree below, bounded by SQL_DEPTH_MAX */
	uint16_t index;
	uint16_t n_args;
	uint32_t at, end; /* the span in the text */
	struct sql_node *a, *b, *c;
	struct sql_node *args, *next;
	struct sl_slice name;
	struct sql_value value;
	const struct sql_fn *fn;
	void *prepared;  /* CALL: by the steps made first, which own it */
	uint16_t shared; /* 1 + its number in sql_program_shared(); 0: none */
	const struct jpath *path;
	struct sql_statement *query;
};

enum { SQL_DEPTH_MAX = 400, SQL_ARGS_MAX = 4096 };

/* Puts `item`, whose link is free, behind the others of a list with first, last and n. */
#define SQL_LINK(list, item)                                                                                           \
	do {                                                                                                           \
		*((list)->last ? &(list)->last->next : &(list)->first) = (item);                                       \
		(list)->last = (item);                                                                                 \
		(list)->n++;                                                                                           \
	} while (0)
/* Each of n's arguments, called `x` in turn, becomes `changed`, an expression of x. */
#define SQL_CHANGE_ARGS(of, x, changed)                                                                                \
	do {                                                                                                           \
		struct sql_node **link_of_arg = &(of)->args;                                                           \
		for (struct sql_node *x = *link_of_arg, *next_arg; x; x = next_arg) {                                  \
			next_arg = x->next;                                                                            \
			*link_of_arg = (changed);                                                                      \
			(*link_of_arg)->next = next_arg;                                                               \
			link_of_arg = &(*link_of_arg)->next;                                                           \
		}                                                                                                      \
	} while (0)

struct sql_nodes { /* a list under construction, linked by ->next */
	struct sql_node *first, *last;
	uint32_t n;
};

/* Where a value goes in the output row: AS a.b[2]. */
struct sql_target_step {
	struct sl_slice key;
	int32_t index; /* 1-based; negative from the end; 0 prepends */
	bool is_index;
	bool append; /* [-0] */
	bool closed; /* text that stands there gives way; it is not read as JSON */
	bool varies; /* the index is in register `reg` when the run gets here */
	uint16_t reg;
	struct sql_node *expr; /* what gives it; NULL: it stands in the text */
	struct sql_target_step *next;
};
struct sql_place_name {
	struct sql_target_step *first, *last;
	uint32_t n, at, end;
};

struct sql_field {
	bool star;
	bool spread;    /* the members of expr (aws) */
	bool of_window; /* GROUP BY: known only when a window ends */
	struct sql_node *expr;
	struct sql_place_name target; /* n == 0: named after the expression */
	uint32_t at;
	struct sql_field *next;
};
struct sql_fields {
	struct sql_field *first, *last;
	uint32_t n;
};

struct sql_from {
	struct sl_slice name;
	uint32_t at;
	struct sql_from *next;
};
struct sql_froms {
	struct sql_from *first, *last;
	uint32_t n;
};

struct sql_statement {
	bool foreach;
	bool has_do;
	struct sql_fields fields; /* of SELECT, or of FOREACH (the last one is the array) */
	struct sql_fields each;   /* of DO */
	struct sql_node *incase, *where;
	struct sql_froms from;
	struct sql_nodes group; /* of GROUP BY */
	struct sql_node *having;
	/* aws: SELECT VALUE; the variables of SET, each a field with its name as target; and of a nested query what stands
	 * behind FROM and AS, and the register its element is in. */
	uint32_t at;
	bool value;
	struct sql_fields sets;
	struct sql_node *source;
	struct sl_slice as;
	uint16_t element_reg;
};

#endif
