/* sql_unit.h: one statement (or one template expression) between parsing and steps. Only for this folder.
 *
 * Every selected column becomes an alias: a root name, maybe a place below it (AS a.b), and an expression. The binder
 * fills the table; the emitter evaluates each alias at most once a run, whoever asks first.
 * Lifetime: one compilation. */
#ifndef SQL_UNIT_H
#define SQL_UNIT_H

#include "sql_front.h"
#include "sql_program.h"

enum { SQL_NONE = 0xffff };

struct sql_alias {
	struct sl_slice root;
	struct sql_target_step *rest; /* below the root; NULL: the root itself */
	struct sql_node *expr;
	int32_t previous; /* an earlier alias of the same root, which this one replaces or extends; -1: none */
	bool visible;     /* may be read by name */
	bool remembers;   /* sql_remembers(expr) */
	bool output;      /* its root is an output column */
	uint32_t at;
	/* sql_order.c's: what evaluating it costs, guessed */
	uint32_t cost;
	bool reads_payload;
	/* the emitter's */
	uint16_t reg; /* where the root stands after this alias */
	int32_t once; /* bit that says it is evaluated; -1 when no test is needed */
};

struct sql_unit {
	struct sql_front *f;
	struct sql_program *p;
	const struct sql_source **sources;
	size_t n_sources;
	struct sql_alias *aliases;
	size_t n_aliases;
	size_t room;
	size_t first_each; /* aliases from here on belong to DO; n_aliases without FOREACH */
	bool foreach;
	struct sl_slice item; /* what FOREACH's element is called */
	struct sql_node *list, *where, *incase;
	/* names in sight while binding */
	size_t limit;
	bool item_visible;
	const struct sql_field *later; /* not yet in sight: for a message only */
	bool in_template;
	struct sql_vm *vm;    /* for folding */
	struct aws_unit *aws; /* the aws binder's; NULL in the standard dialect */
	bool sharing;         /* the steps being made take and keep shared values (sql_share.h), */
	uint32_t steps_max;   /* and are no more than these; 0: SQL_STEPS_MAX */
};

/* Binds a whole statement, filling aliases, list, where, incase and the program's FROM. */
int sql_bind(struct sql_unit *u, const struct sql_statement *s, const struct sql_compile_opts *opts);
/* A node with the span of another; and `base` (a PATH, or any other for the document) with one more step, or none. */
struct sql_node *sql_bind_node(struct sql_unit *u, enum sql_node_kind kind, const struct sql_node *like);
struct sql_node *sql_bind_path(struct sql_unit *u, const struct sql_node *like, const struct sql_node *base,
			       const struct jpath_step *step);
/* Binds one expression of a template. */
struct sql_node *sql_bind_expression(struct sql_unit *u, struct sql_node *n);

/* The place that `n`, an unbound expression, names: payload.a[2]. False: it names none. */
bool sql_bind_place(struct sql_unit *u, const struct sql_node *n, struct sql_place_name *t);

/* ---- functions that remember (sql_remember.c) ----
 * AND and OR evaluate both sides when the right one remembers; conjuncts of a condition that do not remember come first.
 * So a call sees every message that they let through, whatever the order written. CASE, coalesce() and try() do skip. */
struct sql_node *sql_bind_remember(struct sql_unit *u, struct sql_node *call);
bool sql_remembers(const struct sql_unit *u, const struct sql_node *n);
const struct sql_fn *sql_fn_remember_at(struct sl_slice name);

/* Binds, folds and emits one statement into p. */
int sql_compile_statement(struct sql_front *f, struct sql_program *p, struct sql_statement *s,
			  const struct sql_compile_opts *opts);

/* ---- GROUP BY (sql_window_bind.c) ----
 * Takes the statement apart: `s` becomes that of the program that meets the messages; compiles the other one. */
int sql_window_split(struct sql_unit *u, struct sql_statement *s, const struct sql_compile_opts *opts);

/* The sources of a FROM (sql_sources.c): may this one stand beside those that are there, and what all of them make. */
bool sql_sources_agree(const struct sql_unit *u, const struct sql_source *added);
const struct sql_source *sql_sources_merge(struct sql_unit *u);

/* Replaces constant subtrees by their values. `certain`: the expression is evaluated on every run that gets there, so a
 * constant failure is refused now. */
struct sql_node *sql_fold(struct sql_unit *u, struct sql_node *n, bool certain);
void sql_fold_all(struct sql_unit *u);

/* Finds what WHERE needs to be met (sql_guard.h). After the steps are made. */
void sql_guard_derive(struct sql_unit *u);

/* Refuses an operator whose operand cannot be of a kind that it takes, and a condition that can be none (sql_kinds.c). */
void sql_check_kinds(struct sql_unit *u, const struct sql_node *n);
void sql_check_condition(struct sql_unit *u, const struct sql_node *n);
/* Does it give true or false, never NULL nor anything else? */
bool sql_gives_boolean(const struct sql_unit *u, const struct sql_node *n);

/* Puts the parts of AND and OR into the order in which they are evaluated. */
void sql_order_all(struct sql_unit *u);
/* Does evaluating the condition end well, with a boolean or NULL, whatever the event is, but for a payload that is not
 * JSON? (sql_guard.c) */
bool sql_condition_is_safe(const struct sql_program *p, const struct sql_node *n);

/* Makes the steps. */
int sql_emit_program(struct sql_unit *u);
int sql_emit_template(struct sql_unit *u, struct sql_node *n, struct sl_arena *arena, struct sql_code *code);
/* After the steps of a whole program, in either dialect: those that share (sql_share.h), if there is something to share. */
void sql_share_emit(struct sql_unit *u);
/* Evaluates an expression without names; for folding. */
int sql_emit_constant(struct sql_unit *u, struct sql_node *n, struct sql_value *out);

extern const struct sql_fn sql_fn_topic_level;

#endif
