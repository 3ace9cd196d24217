/* sql.h: the face of the rule language: text in, an immutable program out, rows from running it.
 *
 *     source (a table of columns)  ->  sql_compile()  ->  struct sql_program (immutable, shared by all threads)
 *     sql_vm (one per thread)      ->  sql_run()      ->  sql_row_fn, once per output row
 *     "${...}" text                ->  sql_template_compile() against a program -> sql_template_eval() within sql_row_fn
 *
 * The engine knows nothing of MQTT, of sessions or of rules: an event is an opaque pointer that the source's getter
 * reads, and a JSON payload whose wanted paths the caller extracts beforehand, in one pass for all its programs.
 *
 * Lifetime: program and template live until sql_*_free(); values seen in sql_row_fn until it returns (they borrow from
 * the event, the hits and the vm's arena).
 * Thread: compile and free anywhere; a vm belongs to one thread. Nothing blocks. Nothing allocates per run once the
 * vm's arena is warm. */
#ifndef SQL_H
#define SQL_H

#include "err.h"
#include "jpath.h"
#include "sql_value.h"

enum sql_dialect { SQL_STANDARD, SQL_AWS };

/* The shape of one kind of event: what its columns are called and what they hold. */
struct sql_column {
	const char *name;
	enum sql_kind kind; /* what get() gives when the value is there; SQL_JSON_NULL stands for "any" */
	uint16_t id;        /* handed to get() */
	const char *doc;    /* one sentence for the reference */
	bool hidden;        /* no column to write: functions of the aws dialect read it */
};
struct sql_source {
	const char *name; /* "message", "client.connected", ... for messages and documents */
	const struct sql_column *columns;
	uint16_t column_count;
	uint16_t payload_column; /* the id whose paths (payload.a.b) are read as JSON; UINT16_MAX = none */
	/* Reads a column of the event. Cheap, no failure: what is absent is SQL_NULL. Text made for the occasion goes
	 * into the arena. */
	struct sql_value (*get)(const void *event, uint16_t id, struct sl_arena *arena);
};

/* Finds the source that a FROM name speaks of: a topic filter (or anything not starting with '$events/') is the
 * message source. NULL and err when there is none ("$events/nonsense"). FROM names of one program may
 * be of several sources, when these have one getter: it has the columns of all, NULL where an event lacks one. */
typedef const struct sql_source *(*sql_source_fn)(void *arg, struct sl_slice from, struct sl_err *err);

struct sql_program;
struct sql_compile_opts {
	enum sql_dialect dialect;
	sql_source_fn source;
	void *source_arg;
	uint32_t text_max; /* bytes of SQL accepted; 0 = 64 KB */
	/* aws: the version of the language, NULL for 2016-03-23; whether Int / Int keeps its fraction; and where a line goes
	 * for each construct that the version would not have had ("line:column: text"), NULL for nowhere. */
	const char *sql_version;
	bool decimal_division;
	struct sl_buf *warnings;
};

/* Compiles. On failure: SL_ESYNTAX, SL_ENOTFOUND (unknown column, function), SL_ETYPE, SL_ELIMIT, and err with line and
 * column within the text, what was expected and the nearest spelling. */
int sql_compile(struct sl_slice text, const struct sql_compile_opts *opts, struct sql_program **out,
		struct sl_err *err);
void sql_program_free(struct sql_program *p);

/* Facts for the caller that indexes programs. */
const struct sl_slice *sql_program_from(const struct sql_program *p, size_t *count);
/* Paths of the payload that the program (and the templates compiled against it) may read; index = its path number.
 * Complete once all templates are compiled. */
const struct jpath *sql_program_paths(const struct sql_program *p, size_t *count);
/* How many of those, from the first on, are enough to decide WHERE. */
size_t sql_program_where_paths(const struct sql_program *p);
/* Do the events of its FROM have such a column, all or some of them? */
bool sql_program_has_column(const struct sql_program *p, struct sl_slice name);
/* Names of the output columns in order. False in *fixed when the row's shape is known only at run time (payload.*). */
const struct sl_slice *sql_program_columns(const struct sql_program *p, size_t *count, bool *fixed);
/* Has it lag(), changed() or last_value()? Then its runs want a sql_state.rule of their own. */
bool sql_program_remembers(const struct sql_program *p);
/* The listing of EXPLAIN: a step a line, with its effect and source text. */
void sql_explain(const struct sql_program *p, struct sl_buf *out);

struct sql_vm; /* registers, arena and budget of one thread */
struct sql_vm *sql_vm_new(void);
void sql_vm_free(struct sql_vm *vm);
struct sl_arena *sql_vm_arena(struct sql_vm *vm); /* reset at the start of each sql_run() */

struct sql_state;
struct sql_input {
	const void *event;
	struct sl_slice payload;
	/* hits[map[path number]] is the program's path, extracted by the caller with any set that holds it; payload_status
	 * is what jpath_extract_any_text() said: when not SL_OK, reading a path that has no hit fails the run (one that was found
	 * before the document broke off counts). map NULL = identity. */
	const struct jpath_hit *hits;
	const uint16_t *map;
	int payload_status;
	/* Or, so that a message that WHERE rules out by its topic or client is not scanned at all: called when the run gets to
	 * read its first path; fills hits and returns the payload_status. NULL: hits are filled. */
	int (*extract)(void *extract_arg);
	void *extract_arg;
	int64_t now_ms;                /* wall clock of the tick */
	struct sl_slice rule_id;       /* for metadata; may be empty */
	struct sl_slice from_matched;  /* the FROM filter that matched */
	const struct sql_state *state; /* what the run may remember things in (sql_state.h); NULL: nothing */
};

enum sql_outcome {
	SQL_FILTERED, /* WHERE said no: no row */
	SQL_PRODUCED, /* rows went to on_row, or the statement ran and gave none (FOREACH over [], INCASE never met) */
	SQL_FAILED    /* evaluation failed: see sql_vm_error(); rows of this run, if any were shown, do not count */
};

/* One output row: column values in the program's order. For a row whose shape is known only at run time the names
 * come with it. names NULL: the row is the one value (SELECT VALUE of the aws dialect). */
struct sql_out {
	const struct sl_slice *names;
	const struct sl_slice *names_json; /* sql_names_json(); NULL: they were not known beforehand */
	const struct sql_value *values;
	size_t count;
	bool raw;              /* a payload that is no JSON is passed on, or nothing: */
	struct sl_slice bytes; /* as it came, for what carries bytes; the values are for all else */
};
/* Returns 0 to go on, or a negative status that ends the run as SQL_FAILED with the text set by sql_vm_fail(). */
typedef int (*sql_row_fn)(void *arg, struct sql_vm *vm, const struct sql_out *row);

enum sql_outcome sql_run(struct sql_vm *vm, const struct sql_program *p, const struct sql_input *in, sql_row_fn on_row,
			 void *arg);
/* Why the last run failed: one sentence with the line and column of the expression. Valid until the next run. */
const struct sl_err *sql_vm_error(const struct sql_vm *vm);
int sql_vm_fail(struct sql_vm *vm, int status, const char *fmt, ...) sl_printf(3, 4);

/* The whole row as a JSON object, columns in order; of SELECT VALUE, the value as JSON. */
void sql_out_json(const struct sql_out *row, struct sl_buf *out);

/* What a template's result is for; decides how pieces are joined and escaped. */
enum sql_target {
	SQL_TO_VALUE, /* "${t}" alone keeps its kind (SQL parameter, column); with text around it is text */
	SQL_TO_TEXT,  /* always text */
	SQL_TO_BYTES, /* the same for what carries bytes: "${.}" of a row that is no JSON (raw) is its bytes */
	SQL_TO_JSON,  /* JSON text: "${.}" is the row, "${x}" the value as JSON; text around is kept as it is */
	/* An MQTT topic: a value with '+', '#' or U+0000 fails the row; NULL fails the row. With something around it, the value of a
	 * name (a column, a payload's member) is one level or a part of one: '/' fails the row, and so does '$' where the topic
	 * begins. Not so the column `topic`, and what an expression makes: there the author has said what becomes of it. */
	SQL_TO_TOPIC,
	SQL_TO_TOPIC_LEVELS, /* the same, but values may hold '/' */
	SQL_TO_TOPIC_OR_NULL /* the same with text around; "${t}" alone is what it is, and judged by the caller */
};
struct sql_template;
/* Compiles "a/${device}/b" against the output columns of p (falling back to the event's columns for names that the
 * output does not have; in the aws dialect templates read the event only). ${.} is the whole row. Adds its payload paths
 * to p. Must be called before p is shared. Literal text without ${} is a constant. */
int sql_template_compile(struct sl_slice text, struct sql_program *p, enum sql_target target, struct sql_template **out,
			 struct sl_err *err);
void sql_template_free(struct sql_template *t);
bool sql_template_is_constant(const struct sql_template *t, struct sl_slice *text);
/* Is it this column of the event and nothing else, under whatever name a row of the program has it? Not where one event makes several
 * rows (FOREACH), several one (windows), or FROM names events of several kinds. */
bool sql_template_is_column(const struct sql_template *t, struct sl_slice name);
/* The same of a column of the row. */
bool sql_output_is_column(const struct sql_program *p, struct sl_slice output, struct sl_slice name);
/* Does it hold this column of the event, and nothing that tells apart the rows that have it? Those that FOREACH makes of one event;
 * those of events of several kinds, of which some may lack it. */
bool sql_template_shares(const struct sql_template *t, struct sl_slice name);
bool sql_output_shares(const struct sql_program *p, struct sl_slice output, struct sl_slice name);
bool sql_program_is_foreach(const struct sql_program *p);
/* Evaluates within sql_row_fn. SL_OK, or a negative status after sql_vm_fail(). The value lives in the vm's arena. */
int sql_template_eval(struct sql_vm *vm, const struct sql_template *t, const struct sql_out *row,
		      struct sql_value *out);

#endif
