/* sql_grammar.y: the standard dialect's grammar, for lemon. This file is the reference of what may stand where.
 *
 * Precedence is by layers (or, and, not, cmp, sum, term, unary, postfix, primary), lowest first, so each rule says
 * itself what it takes; comparisons do not chain. Built with `lemon -c`: without default reductions an error is seen at
 * the first wrong token, and the tokens that could have stood there are found by trying each against the stack. */
%name sql_grammar
%token_prefix SQL_TK_
%token_type {struct sql_token}
%extra_context {struct sql_parse *p}
%stack_size 256
%start_symbol input

%include {
#include "sql_parse.h"

#include "sql_grammar.h"

struct yyParser;
static bool could_follow(const struct yyParser *parser, int token);

#define NODE(kind, x, y, z) sql_ast_node(p, (kind), (x), (y), (z))
#define BINARY(op, x, y) sql_ast_binary(p, (op), (x), (y))
}

%code {
#include "sql_follow.inc"
}

%syntax_error {
	bool accepted[YYNTOKEN] = {false};
	for (int t = 0; t < YYNTOKEN; t++) accepted[t] = could_follow(yypParser, t);
	/* Where a name may stand these are names, and worth no mention. */
	if (accepted[SQL_TK_ID]) accepted[SQL_TK_GROUP] = accepted[SQL_TK_BY] = accepted[SQL_TK_HAVING] = false;
	sql_parse_unexpected(p, yymajor, &TOKEN, accepted, YYNTOKEN);
}
%stack_overflow {
	sql_front_fail(p->front, p->previous.at, SL_ELIMIT,
		       "the expression is nested too deep here; give a part of it a name of its own with AS");
}

/* Words that are operators only between operands may be names elsewhere. */
%fallback ID BETWEEN LIKE IS GROUP BY HAVING.

%type statement {struct sql_statement *}
%type fields {struct sql_fields}
%type do {struct sql_fields}
%type field {struct sql_field *}
%type target {struct sql_place_name}
%type froms {struct sql_froms}
%type from {struct sql_token}
%type name {struct sql_token}
%type step {struct sql_token}
%type incase {struct sql_node *}
%type group {struct sql_nodes}
%type having {struct sql_node *}
%type where {struct sql_node *}
%type expr {struct sql_node *}
%type and {struct sql_node *}
%type not {struct sql_node *}
%type cmp {struct sql_node *}
%type sum {struct sql_node *}
%type term {struct sql_node *}
%type unary {struct sql_node *}
%type postfix {struct sql_node *}
%type primary {struct sql_node *}
%type list {struct sql_node *}
%type call {struct sql_node *}
%type case {struct sql_node *}
%type else {struct sql_node *}
%type subject {struct sql_node *}
%type place {struct sql_node *}
%type whens {struct sql_nodes}
%type args {struct sql_nodes}
%type args_opt {struct sql_nodes}

/* ---- statements ---- */
input ::= statement(S) semi. { p->statement = S; }
input ::= EXPRESSION expr(E). { p->expression = E; }
semi ::= .
semi ::= SEMI.

statement(S) ::= SELECT fields(F) FROM froms(T) where(W) group(G) having(H). {
	S = sql_ast_statement(p);
	S->fields = F;
	S->from = T;
	S->where = W;
	S->group = G;
	S->having = H;
}
statement(S) ::= FOREACH fields(F) do(D) incase(I) FROM froms(T) where(W) group(G) having(H). {
	S = sql_ast_statement(p);
	S->foreach = true;
	S->has_do = D.n > 0;
	S->fields = F;
	S->each = D;
	S->incase = I;
	S->from = T;
	S->where = W;
	S->group = G;
	S->having = H;
}
do(D) ::= . { D = (struct sql_fields){0}; }
do(D) ::= DO fields(F). { D = F; }
incase(I) ::= . { I = NULL; }
incase(I) ::= INCASE expr(E). { I = E; }
where(W) ::= . { W = NULL; }
where(W) ::= WHERE expr(E). { W = E; }
group(G) ::= . { G = (struct sql_nodes){0}; }
group(G) ::= GROUP BY args(L). { G = L; }
having(H) ::= . { H = NULL; }
having(H) ::= HAVING expr(E). { H = E; }

froms(L) ::= from(T). { L = sql_ast_add_from(p, (struct sql_froms){0}, &T); }
froms(L) ::= froms(M) COMMA from(T). { L = sql_ast_add_from(p, M, &T); }
from(T) ::= STRING(X). { T = X; }
from(T) ::= name(X). { T = X; }

fields(L) ::= field(F). { L = sql_ast_add_field((struct sql_fields){0}, F); }
fields(L) ::= fields(M) COMMA field(F). { L = sql_ast_add_field(M, F); }
field(F) ::= STAR(S). { F = sql_ast_field(p, NULL, (struct sql_place_name){0}, S.at); }
field(F) ::= expr(E). { F = sql_ast_field(p, E, (struct sql_place_name){0}, E->at); }
field(F) ::= expr(E) AS target(T). { F = sql_ast_field(p, E, T, E->at); }
field(F) ::= expr(E) target(T). { F = sql_ast_field(p, E, T, E->at); }
target(T) ::= name(X). { T = sql_ast_target(p, (struct sql_place_name){0}, &X, NULL); }
target(T) ::= target(U) DOT step(X). { T = sql_ast_target(p, U, &X, NULL); }
target(T) ::= target(U) LB expr(I) RB(X). { T = sql_ast_target(p, U, &X, I); }

name(N) ::= ID(X). { N = X; }
name(N) ::= QID(X). { N = X; }
step(N) ::= ID(X). { N = X; }
step(N) ::= QID(X). { N = X; }
step(N) ::= STRING(X). { N = X; }
step(N) ::= INT(X). { N = X; }

/* ---- expressions ---- */
expr(E) ::= and(A). { E = A; }
expr(E) ::= expr(A) OR and(B). { E = NODE(SQL_N_OR, A, B, NULL); }
and(E) ::= not(A). { E = A; }
and(E) ::= and(A) AND not(B). { E = NODE(SQL_N_AND, A, B, NULL); }
not(E) ::= cmp(A). { E = A; }
not(E) ::= NOT(T) not(A). { E = sql_ast_span(NODE(SQL_N_NOT, A, NULL, NULL), T.at, A->end); }

cmp(E) ::= sum(A). { E = A; }
cmp(E) ::= sum(A) EQ sum(B). { E = BINARY(SQL_B_EQ, A, B); }
cmp(E) ::= sum(A) NE sum(B). { E = BINARY(SQL_B_NE, A, B); }
cmp(E) ::= sum(A) LT sum(B). { E = BINARY(SQL_B_LT, A, B); }
cmp(E) ::= sum(A) LE sum(B). { E = BINARY(SQL_B_LE, A, B); }
cmp(E) ::= sum(A) GT sum(B). { E = BINARY(SQL_B_GT, A, B); }
cmp(E) ::= sum(A) GE sum(B). { E = BINARY(SQL_B_GE, A, B); }
cmp(E) ::= sum(A) MATCH sum(B). { E = BINARY(SQL_B_MATCH, A, B); }
cmp(E) ::= sum(A) LIKE sum(B). { E = sql_ast_logic(p, SQL_N_LIKE, A, B, false); }
cmp(E) ::= sum(A) NOT LIKE sum(B). { E = sql_ast_logic(p, SQL_N_LIKE, A, B, true); }
cmp(E) ::= sum(A) BETWEEN sum(B) AND sum(C). { E = NODE(SQL_N_BETWEEN, A, B, C); }
cmp(E) ::= sum(A) NOT BETWEEN sum(B) AND sum(C). {
	E = NODE(SQL_N_BETWEEN, A, B, C);
	E->negated = true;
}
cmp(E) ::= sum(A) IS NULL(T). { E = sql_ast_span(NODE(SQL_N_IS_NULL, A, NULL, NULL), A->at, T.end); }
cmp(E) ::= sum(A) IS NOT NULL(T). {
	E = sql_ast_span(NODE(SQL_N_IS_NULL, A, NULL, NULL), A->at, T.end);
	E->negated = true;
}
cmp(E) ::= sum(A) IN LP args(L) RP(T). {
	E = sql_ast_many(p, SQL_N_IN, SL_SLICE_EMPTY, L, A->at, T.end);
	E->a = A;
}
cmp(E) ::= sum(A) NOT IN LP args(L) RP(T). {
	E = sql_ast_many(p, SQL_N_IN, SL_SLICE_EMPTY, L, A->at, T.end);
	E->a = A;
	E->negated = true;
}
cmp(E) ::= sum(A) IN place(B). { E = sql_ast_logic(p, SQL_N_IN_LIST, A, B, false); }
cmp(E) ::= sum(A) NOT IN place(B). { E = sql_ast_logic(p, SQL_N_IN_LIST, A, B, true); }

/* What may follow IN besides (...): an array by name, by call, or written out. */
place(E) ::= list(A). { E = A; }
place(E) ::= call(A). { E = A; }
place(E) ::= name(X). { E = sql_ast_leaf(p, SQL_N_NAME, &X); }
place(E) ::= place(A) DOT step(X). {
	E = sql_ast_span(NODE(SQL_N_MEMBER, A, NULL, NULL), A->at, X.end);
	E->name = X.text;
}
place(E) ::= place(A) LB expr(I) RB(X). { E = sql_ast_span(NODE(SQL_N_INDEX, A, I, NULL), A->at, X.end); }

sum(E) ::= term(A). { E = A; }
sum(E) ::= sum(A) PLUS term(B). { E = BINARY(SQL_B_ADD, A, B); }
sum(E) ::= sum(A) MINUS term(B). { E = BINARY(SQL_B_SUB, A, B); }
sum(E) ::= sum(A) CONCAT term(B). { E = BINARY(SQL_B_CONCAT, A, B); }
term(E) ::= unary(A). { E = A; }
term(E) ::= term(A) STAR unary(B). { E = BINARY(SQL_B_MUL, A, B); }
term(E) ::= term(A) SLASH unary(B). { E = BINARY(SQL_B_DIV, A, B); }
term(E) ::= term(A) DIV unary(B). { E = BINARY(SQL_B_IDIV, A, B); }
term(E) ::= term(A) MOD unary(B). { E = BINARY(SQL_B_MOD, A, B); }
unary(E) ::= postfix(A). { E = A; }
/* Nothing may follow a range but in parentheses: a.b[1..2].c asks for what no array has. */
unary(E) ::= postfix(A) LB expr(I) DOTDOT expr(J) RB(X). {
	E = sql_ast_span(NODE(SQL_N_SLICE, A, I, J), A->at, X.end);
}
unary(E) ::= MINUS(T) unary(A). { E = sql_ast_span(NODE(SQL_N_NEGATE, A, NULL, NULL), T.at, A->end); }
unary(E) ::= PLUS(T) unary(A). { E = sql_ast_span(NODE(SQL_N_PLUS, A, NULL, NULL), T.at, A->end); }

postfix(E) ::= primary(A). { E = A; }
postfix(E) ::= postfix(A) DOT step(X). {
	E = sql_ast_span(NODE(SQL_N_MEMBER, A, NULL, NULL), A->at, X.end);
	E->name = X.text;
}
postfix(E) ::= postfix(A) LB expr(I) RB(X). { E = sql_ast_span(NODE(SQL_N_INDEX, A, I, NULL), A->at, X.end); }

primary(E) ::= INT(X). { E = sql_ast_number(p, &X, true); }
primary(E) ::= FLOAT(X). { E = sql_ast_number(p, &X, false); }
primary(E) ::= STRING(X). { E = sql_ast_literal(p, &X, sql_string(X.text)); }
primary(E) ::= TRUE(X). { E = sql_ast_literal(p, &X, sql_bool(true)); }
primary(E) ::= FALSE(X). { E = sql_ast_literal(p, &X, sql_bool(false)); }
primary(E) ::= NULL(X). { E = sql_ast_literal(p, &X, sql_null()); }
primary(E) ::= NULL(X) LP RP. { E = sql_ast_literal(p, &X, sql_null()); }
primary(E) ::= name(X). { E = sql_ast_leaf(p, SQL_N_NAME, &X); }
primary(E) ::= LP(T) expr(A) RP(U). { E = sql_ast_span(A, T.at, U.end); }
primary(E) ::= list(A). { E = A; }
primary(E) ::= call(A). { E = A; }
primary(E) ::= case(A). { E = A; }

list(E) ::= LB(T) args_opt(L) RB(U). { E = sql_ast_many(p, SQL_N_LIST, SL_SLICE_EMPTY, L, T.at, U.end); }
list(E) ::= LB(T) expr(A) DOTDOT expr(B) RB(U). { E = sql_ast_span(NODE(SQL_N_RANGE, A, B, NULL), T.at, U.end); }

call(E) ::= ID(X) LP args_opt(L) RP(U). { E = sql_ast_many(p, SQL_N_CALL, X.text, L, X.at, U.end); }
call(E) ::= ID(X) LP STAR RP(U). { E = sql_ast_star_call(p, &X, U.end); }
call(E) ::= DIV(X) LP args_opt(L) RP(U). { E = sql_ast_many(p, SQL_N_CALL, X.text, L, X.at, U.end); }
call(E) ::= MOD(X) LP args_opt(L) RP(U). { E = sql_ast_many(p, SQL_N_CALL, X.text, L, X.at, U.end); }
args_opt(L) ::= . { L = (struct sql_nodes){0}; }
args_opt(L) ::= args(M). { L = M; }
args(L) ::= expr(A). { L = sql_ast_append(p, (struct sql_nodes){0}, A); }
args(L) ::= args(M) COMMA expr(A). { L = sql_ast_append(p, M, A); }

case(E) ::= CASE(T) subject(A) whens(L) else(C) END(U). {
	E = sql_ast_many(p, SQL_N_CASE, SL_SLICE_EMPTY, L, T.at, U.end);
	E->a = A;
	E->c = C;
}
subject(E) ::= . { E = NULL; }
subject(E) ::= expr(A). { E = A; }
whens(L) ::= WHEN expr(A) THEN expr(B). { L = sql_ast_append(p, sql_ast_append(p, (struct sql_nodes){0}, A), B); }
whens(L) ::= whens(M) WHEN expr(A) THEN expr(B). { L = sql_ast_append(p, sql_ast_append(p, M, A), B); }
else(E) ::= . { E = NULL; }
else(E) ::= ELSE expr(A). { E = A; }
