/* aws_grammar.y: the grammar of the aws dialect, for lemon. This file is the reference of what may stand where.
 *
 * Precedence is by layers (or, and, not, cmp, sum, term, unary, postfix, primary), lowest first, as in sql_grammar.y, and
 * errors are found in the same way: built with `lemon -c`, each token that could have stood there is tried. */
%name aws_grammar
%token_prefix AWS_TK_
%token_type {struct sql_token}
%extra_context {struct sql_parse *p}
%stack_size 256
%start_symbol input

%include {
#include "aws_parse.h"

#include "aws_grammar.h"

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
	sql_parse_unexpected(p, yymajor, &TOKEN, accepted, YYNTOKEN);
}
%stack_overflow {
	sql_front_fail(p->front, p->previous.at, SL_ELIMIT,
		       "the expression is nested too deep here; give a part of it a name of its own with SET");
}

/* Keywords may be names of members where nothing else can be meant. */
%fallback ID SET WHEN THEN ELSE END.

%type statement {struct sql_statement *}
%type query {struct sql_statement *}
%type select {struct sql_statement *}
%type sets {struct sql_fields}
%type assigns {struct sql_fields}
%type fields {struct sql_fields}
%type field {struct sql_field *}
%type alias {struct sql_place_name}
%type as {struct sql_token}
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
%type source {struct sql_node *}
%type call {struct sql_node *}
%type case {struct sql_node *}
%type else {struct sql_node *}
%type arg {struct sql_node *}
%type whens {struct sql_nodes}
%type args {struct sql_nodes}
%type args_opt {struct sql_nodes}
%type pairs {struct sql_nodes}
%type pairs_opt {struct sql_nodes}

/* ---- statements ---- */
input ::= statement(S) semi. { p->statement = S; }
input ::= EXPRESSION arg(E). { p->expression = E; }
semi ::= .
semi ::= SEMI.

statement(S) ::= sets(V) select(Q) FROM TOPIC(T) where(W). {
	S = Q;
	S->sets = V;
	S->from = sql_ast_add_from(p, (struct sql_froms){0}, &T);
	S->where = W;
}
statement(S) ::= sets(V) select(Q) where(W). {
	S = Q;
	S->sets = V;
	S->where = W;
}
sets(V) ::= . { V = (struct sql_fields){0}; }
sets(V) ::= SET assigns(L). { V = L; }
assigns(L) ::= VARIABLE(N) EQ expr(E). { L = aws_ast_set(p, (struct sql_fields){0}, &N, E); }
assigns(L) ::= assigns(M) COMMA VARIABLE(N) EQ expr(E). { L = aws_ast_set(p, M, &N, E); }

select(Q) ::= SELECT(T) VALUE fields(F) comma. {
	Q = sql_ast_statement(p);
	Q->at = T.at;
	Q->value = true;
	Q->fields = F;
	aws_ast_check_value(p, &F);
}
select(Q) ::= SELECT(T) fields(F) comma. {
	Q = sql_ast_statement(p);
	Q->at = T.at;
	Q->fields = F;
}
comma ::= .
comma ::= COMMA.

query(Q) ::= select(S) FROM source(E) as(N) where(W). {
	Q = S;
	Q->source = E;
	Q->as = N.text;
	Q->where = W;
}
as(N) ::= . { N = (struct sql_token){0}; }
as(N) ::= AS ID(X). { N = X; }
where(W) ::= . { W = NULL; }
where(W) ::= WHERE expr(E). { W = E; }

/* Where a nested query takes its elements from. */
source(E) ::= STAR(X). { E = sql_ast_leaf(p, SQL_N_STAR, &X); }
source(E) ::= ID(X). { E = sql_ast_leaf(p, SQL_N_NAME, &X); }
source(E) ::= VARIABLE(X). { E = sql_ast_leaf(p, SQL_N_VARIABLE, &X); }
source(E) ::= call(A). { E = A; }
source(E) ::= LP query(Q) RP. { E = aws_ast_query(p, Q, 0, 0); }
source(E) ::= source(A) DOT ID(X). { E = aws_ast_member(p, A, &X); }

fields(L) ::= field(F). { L = sql_ast_add_field((struct sql_fields){0}, F); }
fields(L) ::= fields(M) COMMA field(F). { L = sql_ast_add_field(M, F); }
field(F) ::= expr(E). { F = sql_ast_field(p, E, (struct sql_place_name){0}, E->at); }
field(F) ::= expr(E) AS alias(T). { F = sql_ast_field(p, E, T, E->at); }
field(F) ::= postfix(A) DOT STAR. { F = aws_ast_spread(p, A); }
alias(T) ::= ID(X). { T = sql_ast_target(p, (struct sql_place_name){0}, &X, NULL); }
alias(T) ::= alias(U) DOT ID(X). { T = sql_ast_target(p, U, &X, NULL); }

/* ---- expressions ---- */
expr(E) ::= and(A). { E = A; }
expr(E) ::= expr(A) OR and(B). { E = NODE(SQL_N_OR, A, B, NULL); }
and(E) ::= not(A). { E = A; }
and(E) ::= and(A) AND not(B). { E = NODE(SQL_N_AND, A, B, NULL); }
not(E) ::= cmp(A). { E = A; }
not(E) ::= NOT(T) not(A). { E = sql_ast_span(NODE(SQL_N_NOT, A, NULL, NULL), T.at, A->end); }

cmp(E) ::= sum(A). { E = A; }
cmp(E) ::= cmp(A) EQ sum(B). { E = BINARY(SQL_B_EQ, A, B); }
cmp(E) ::= cmp(A) NE sum(B). { E = BINARY(SQL_B_NE, A, B); }
cmp(E) ::= cmp(A) LT sum(B). { E = BINARY(SQL_B_LT, A, B); }
cmp(E) ::= cmp(A) LE sum(B). { E = BINARY(SQL_B_LE, A, B); }
cmp(E) ::= cmp(A) GT sum(B). { E = BINARY(SQL_B_GT, A, B); }
cmp(E) ::= cmp(A) GE sum(B). { E = BINARY(SQL_B_GE, A, B); }
cmp(E) ::= cmp(A) IN sum(B). { E = sql_ast_logic(p, SQL_N_IN_LIST, A, B, false); }
cmp(E) ::= cmp(A) IN LP(T) expr COMMA args RP. {
	E = A;
	sql_front_fail(p->front, T.at, SL_ESYNTAX, "a list after IN stands in square brackets here: x IN [1, 2]");
}

sum(E) ::= term(A). { E = A; }
sum(E) ::= sum(A) PLUS term(B). { E = BINARY(SQL_B_ADD, A, B); }
sum(E) ::= sum(A) MINUS term(B). { E = BINARY(SQL_B_SUB, A, B); }
term(E) ::= unary(A). { E = A; }
term(E) ::= term(A) STAR unary(B). { E = BINARY(SQL_B_MUL, A, B); }
term(E) ::= term(A) SLASH unary(B). { E = BINARY(SQL_B_DIV, A, B); }
term(E) ::= term(A) PERCENT unary(B). { E = BINARY(SQL_B_MOD, A, B); }
unary(E) ::= postfix(A). { E = A; }
unary(E) ::= MINUS(T) unary(A). { E = sql_ast_span(NODE(SQL_N_NEGATE, A, NULL, NULL), T.at, A->end); }

postfix(E) ::= primary(A). { E = A; }
postfix(E) ::= postfix(A) DOT ID(X). { E = aws_ast_member(p, A, &X); }

primary(E) ::= INT(X). { E = sql_ast_number(p, &X, true); }
primary(E) ::= DECIMAL(X). { E = aws_ast_decimal(p, &X); }
primary(E) ::= STRING(X). { E = sql_ast_literal(p, &X, sql_string(X.text)); }
primary(E) ::= TRUE(X). { E = sql_ast_literal(p, &X, sql_bool(true)); }
primary(E) ::= FALSE(X). { E = sql_ast_literal(p, &X, sql_bool(false)); }
primary(E) ::= NULL(X). { E = sql_ast_literal(p, &X, (struct sql_value){.kind = SQL_JSON_NULL}); }
primary(E) ::= ID(X). { E = sql_ast_leaf(p, SQL_N_NAME, &X); }
primary(E) ::= VARIABLE(X). { E = sql_ast_leaf(p, SQL_N_VARIABLE, &X); }
primary(E) ::= STAR(X). { E = sql_ast_leaf(p, SQL_N_STAR, &X); }
primary(E) ::= LP(T) expr(A) RP(U). { E = sql_ast_span(A, T.at, U.end); }
primary(E) ::= LP(T) query(Q) RP(U). { E = aws_ast_query(p, Q, T.at, U.end); }
primary(E) ::= EXISTS(T) LP query(Q) RP(U). { E = aws_ast_exists(p, Q, T.at, U.end); }
primary(E) ::= CAST(T) LP expr(A) AS ID(X) RP(U). { E = aws_ast_cast(p, A, &X, T.at, U.end); }
primary(E) ::= LB(T) args_opt(L) RB(U). { E = sql_ast_many(p, SQL_N_LIST, SL_SLICE_EMPTY, L, T.at, U.end); }
primary(E) ::= LC(T) pairs_opt(L) RC(U). { E = sql_ast_many(p, SQL_N_OBJECT, SL_SLICE_EMPTY, L, T.at, U.end); }
primary(E) ::= call(A). { E = A; }
primary(E) ::= case(A). { E = A; }

pairs_opt(L) ::= . { L = (struct sql_nodes){0}; }
pairs_opt(L) ::= pairs(M). { L = M; }
pairs(L) ::= STRING(K) COLON arg(A). {
	L = sql_ast_append(p, (struct sql_nodes){0}, sql_ast_literal(p, &K, sql_string(K.text)));
	L = sql_ast_append(p, L, A);
}
pairs(L) ::= pairs(M) COMMA STRING(K) COLON arg(A). {
	L = sql_ast_append(p, M, sql_ast_literal(p, &K, sql_string(K.text)));
	L = sql_ast_append(p, L, A);
}

call(E) ::= ID(X) LP args_opt(L) RP(U). { E = sql_ast_many(p, SQL_N_CALL, X.text, L, X.at, U.end); }
args_opt(L) ::= . { L = (struct sql_nodes){0}; }
args_opt(L) ::= args(M). { L = M; }
args(L) ::= arg(A). { L = sql_ast_append(p, (struct sql_nodes){0}, A); }
args(L) ::= args(M) COMMA arg(A). { L = sql_ast_append(p, M, A); }
/* A nested query needs no brackets of its own where an argument is expected. */
arg(E) ::= expr(A). { E = A; }
arg(E) ::= query(Q). { E = aws_ast_query(p, Q, 0, 0); }

case(E) ::= CASE(T) expr(A) whens(L) else(C) END(U). {
	E = sql_ast_many(p, SQL_N_CASE, SL_SLICE_EMPTY, L, T.at, U.end);
	E->a = A;
	E->c = C;
	sql_ast_measure(p, E); /* again, with the subject and ELSE */
}
case(E) ::= searched expr(A) END. { E = A; }
searched ::= CASE WHEN(T). {
	sql_front_fail(p->front, T.at, SL_ESYNTAX,
		       "CASE compares one value here; with conditions write CASE true WHEN ... THEN ...");
}
whens(L) ::= WHEN expr(A) THEN expr(B). { L = sql_ast_append(p, sql_ast_append(p, (struct sql_nodes){0}, A), B); }
whens(L) ::= whens(M) WHEN expr(A) THEN expr(B). { L = sql_ast_append(p, sql_ast_append(p, M, A), B); }
else(E) ::= . { E = NULL; }
else(E) ::= ELSE expr(A). { E = A; }
