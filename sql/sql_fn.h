/* sql_fn.h: the functions of the language, as tables of descriptors.
 *
 * One table per family (fn/fn_*.c for the standard dialect, aws/fn_aws_*.c for aws). A row says how the function is called, what its arguments must be, what it does, when
 * it fails, and an example with its result; the examples run as tests and make the reference. A family that lives in a
 * higher layer hands its table to sql_fn_register() before the first compilation.
 *
 * An example is an expression, or a whole statement with the messages that it is run on, one a line: first, as name=value, what
 * matters of a message beside its payload (topic=plant/m1 timestamp=1700000003456; topic is FROM when not said), then the
 * payload. It gives the rows of all, JSON objects, one a line; windows end after the last message.
 *
 * Arguments, one letter each in `args` ('?' before the optional ones; '*' at the end repeats the last):
 *     s text (a boolean counts as its word)   t anything, as its text (NULL: as NULL)   i integer   n number
 *     l array   m object, or text holding one   a anything, as it is
 * The engine checks and converts before the call: s and t arrive as STRING or BYTES, i as INT, n as INT or DOUBLE, l as
 * LIST, m as MAP.
 *
 * Families of the aws dialect are looked up without regard to case and are handed their arguments as they are ('a'): there
 * a wrong kind or count is no error but Undefined, which each function knows to give.
 *
 * Work that constant arguments allow once (a regular expression, a date format) is done when the rule is made: prepare()
 * gets the constant arguments and its result is handed to every call (call->prepared). It is freed with the program, and
 * may be used by several threads at once, so it does not change.
 *
 * Lifetime: tables are static. Values given back may borrow from the arguments or from the arena of the run.
 * Thread: pure functions any; registration before threads start. Errors: fail with sql_call_fail(). */
#ifndef SQL_FN_H
#define SQL_FN_H

#include "err.h"
#include "sql.h"

struct sql_vm;
struct sql_fn;
struct sql_call {
	struct sql_vm *vm;
	struct sl_arena *arena;
	const struct sql_fn *fn;
	const void *prepared; /* what prepare() made for this place of the program; NULL: nothing */
};

struct sql_fn {
	const char *name;
	const char *args;
	bool varies;    /* another result each time: never folded */
	bool remembers; /* from message to message: AND and OR do not skip it, see sql_unit.h */
	bool aggregate; /* of a window: only with GROUP BY, see sql_window.h */
	int (*call)(struct sql_call *c, const struct sql_value *arg, uint32_t n, struct sql_value *out);
	const char *usage;   /* substr(text, start [, length]) */
	const char *doc;     /* one sentence */
	const char *errors;  /* besides arguments of the wrong kind; NULL: none */
	const char *example; /* an expression, or a statement */
	const char *on;      /* the messages of a statement; NULL: the example is an expression */
	const char *gives;   /* what an expression results in, as JSON; the rows of a statement */
	/* arg[i] is the constant value of argument i, or NULL when only the run knows it. *prepared stays NULL when there is
	 * nothing to do. Fails with sql_call_fail(): the rule is refused, with the place of the call. May be NULL. */
	int (*prepare)(struct sql_call *c, const struct sql_value *const *arg, uint32_t n, void **prepared);
	void (*release)(void *prepared);
};
struct sql_fn_family {
	const char *name;
	const struct sql_fn *fns;
	size_t n;
	enum sql_dialect dialect;
};

/* All families, built in ones first. */
const struct sql_fn_family *const *sql_fn_families(size_t *count);
void sql_fn_register(const struct sql_fn_family *family);
/* Is the family called so? By its name or a word of it, in any case, the s of the plural left out or not. */
bool sql_fn_family_is_called(const struct sql_fn_family *family, struct sl_slice name);
const struct sql_fn *sql_fn_find(enum sql_dialect dialect, struct sl_slice name);
/* The nearest known name, or NULL. */
const char *sql_fn_nearest(enum sql_dialect dialect, struct sl_slice name);
/* Why a function of EMQX is not here; NULL: it is none of those. */
const char *sql_fn_refusal(enum sql_dialect dialect, struct sl_slice name);
void sql_fn_arity(const struct sql_fn *fn, uint32_t *least, uint32_t *most); /* most UINT32_MAX: any number */
/* The reference as Markdown, one table a family. */
void sql_fn_print(enum sql_dialect dialect, struct sl_buf *out);

/* One call in a program. */
struct sql_site {
	const struct sql_fn *fn;
	void *prepared;
	bool borrowed; /* another site's */
};
/* Checks and converts the arguments in place, then calls. */
int sql_fn_call(struct sql_vm *vm, const struct sql_site *site, struct sql_value *args, uint32_t n,
		struct sql_value *out);

/* Returns SL_EINVAL; the text is prefixed with the function's name. */
int sql_call_fail(struct sql_call *c, const char *fmt, ...) sl_printf(2, 3);
/* Text made for the result, in the arena of the run. SL_ELIMIT beyond SQL_TEXT_MAX. */
enum { SQL_TEXT_MAX = 16 << 20, SQL_ELEMENTS_MAX = 1 << 20 };
int sql_call_text(struct sql_call *c, const struct sl_buf *text, struct sql_value *out);
struct sql_value sql_call_bytes(struct sl_slice bytes); /* STRING when UTF-8, else BYTES */
/* The value that JSON text consists of; the text is copied. Fails when it is not JSON, or exceeds SQL_TEXT_MAX. */
int sql_call_json(struct sql_call *c, struct sl_slice json, struct sql_value *out);
/* Makes an object of argument i, an object or text that holds one. */
int sql_call_object(struct sql_call *c, struct sql_value *v, uint32_t i);
struct sql_list *sql_call_list(struct sql_call *c, uint32_t n);

/* Shared by the dialects' functions. */
int sql_change_case(struct sql_call *c, struct sl_slice text, bool upper, struct sql_value *out);
struct sql_value sql_call_hex(struct sql_call *c, struct sl_slice bytes); /* in small digits */
/* By OpenSSL's name of it, in small hexadecimal digits. */
int sql_call_digest(struct sql_call *c, const char *algorithm, struct sl_slice bytes, struct sql_value *out);
struct sql_value sql_call_uuid(struct sql_call *c, bool hyphens);

extern const struct sql_fn_family sql_fn_math, sql_fn_bits, sql_fn_string, sql_fn_format, sql_fn_array, sql_fn_map,
    sql_fn_json, sql_fn_convert, sql_fn_check, sql_fn_codec, sql_fn_hash, sql_fn_time, sql_fn_misc, sql_fn_state,
    sql_fn_window, sql_fn_regex, sql_fn_zip, sql_fn_term, sql_fn_systems;

#endif
