/* sql_program.h: the compiled form of a statement or of a template's expression. Only for this folder.
 *
 * Code is a flat array of 32-byte steps. Operands are register numbers; with SQL_CONST set they number a constant. The
 * registers live in the vm, so that code is immutable and shared by all threads. Registers are never reused, which
 * keeps every value that was once computed (a path, a column, an alias) at hand for the rest of the run.
 *
 * Lifetime: struct sql_program owns everything below it through its arena. */
#ifndef SQL_PROGRAM_H
#define SQL_PROGRAM_H

#include "sql.h"
#include "sql_ast.h"
#include "sql_fn.h"
#include "sql_guard.h"

enum sql_op {
#define SQL_OP(name, effect) SQL_OP_##name,
#include "sql_op_tbl.h"
#undef SQL_OP
};

enum {
	SQL_CONST = 0x8000,
	SQL_REGISTERS_MAX = 0x4000,
	SQL_CONSTS_MAX = 0x4000,
	SQL_STEPS_MAX = 0x8000,
	SQL_PATHS_MAX = 4096,
	SQL_COLUMNS_MAX = 1024,
	SQL_THEN_JUMP = 1, /* n of a comparison: the next step is a JUMP_FALSE on what it gives */
};

struct sql_step {
	uint16_t op; /* enum sql_op */
	uint16_t dst, a, b;
	uint32_t at, end; /* source text */
	uint32_t jump;
	uint32_t n;
	union {
		const struct sql_site *site;          /* CALL */
		const struct sql_target_step *target; /* PUT */
		const struct aws_shape *shape;        /* AWS_OBJECT, AWS_EMIT */
	};
};
_Static_assert(sizeof(struct sql_step) == 32, "two steps to a cache line");

/* Steps from..to-1 run under try(): a failure there goes to `target`. Innermost first. */
struct sql_handler {
	uint32_t from, to, target;
};

struct sql_code {
	struct sql_step *steps;
	struct sql_value *consts;
	struct sql_handler *handlers;
	uint32_t n_steps, n_consts, n_handlers;
	uint32_t n_registers, n_once;
	struct sl_slice text;   /* for places in messages */
	struct sql_site *sites; /* of CALL steps */
	uint32_t n_sites;
};
/* Frees what calls have prepared. */
void sql_code_fini(struct sql_code *code);

struct sql_program {
	struct sl_arena arena;
	struct sl_slice text;
	enum sql_dialect dialect;
	const struct sql_source *source;
	struct sql_code code;
	uint32_t select_at;                      /* the step after WHERE */
	uint32_t out_base;                       /* first register of the output columns */
	struct sl_slice *columns, *columns_json; /* as names and names_json of struct sql_out */
	size_t n_columns;
	uint16_t *of_event; /* of each, the event's column that it is, or SQL_NONE; NULL: rows are made otherwise */
	struct sl_slice *from;
	size_t n_from;
	struct jpath *paths;
	size_t n_paths, where_paths;
	struct sql_window *window; /* GROUP BY: the row of this program goes into it (sql_window.h); NULL: none */
	bool foreach;              /* several rows of one event */
	bool kinds;                /* FROM names events of several kinds */
	bool remembers;
	uint32_t template_registers; /* the most that one template needs */
	struct aws_program *aws;     /* NULL in the standard dialect */
	const struct sql_guard *guards;
	size_t n_guards;
	const struct sql_shared *shared; /* sql_share.h; and the steps that take and keep them */
	uint16_t n_shared;
	struct sql_code sharing;
};

/* The number of a path, which is added when it is new. Negative: SL_ELIMIT. */
int sql_program_add_path(struct sql_program *p, const struct jpath *path);

struct sql_template_part {
	struct sl_slice literal;
	struct sql_code code; /* n_steps == 0: a literal */
	bool whole_row;
	bool level;  /* of a topic: a name's value, which is no more than a level */
	bool quoted; /* of a JSON template: it stands inside of a string */
	/* It is nothing but this column of the row, or of the event. */
	enum { TEMPLATE_MORE, TEMPLATE_OUTPUT, TEMPLATE_COLUMN } plain;
	uint16_t column;
};
struct sql_template {
	struct sl_arena arena;
	struct sl_slice text;
	const struct sql_program *program;
	enum sql_target target;
	struct sql_template_part *parts;
	size_t n_parts;
	bool json; /* text around it is JSON, and stays JSON */
};

/* The operand as EXPLAIN shows it, and a whole code. */
void sql_explain_code(const struct sql_program *p, const struct sql_code *code, uint32_t from, uint32_t to,
		      struct sl_buf *out);
/* payload.a[1] as written. */
void sql_path_print(const struct jpath *path, struct sl_buf *out);

#endif
