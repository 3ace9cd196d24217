/* sql_vm.h: the state of one thread's runs, and the operations on values that steps and functions share. Only for this
 * folder.
 *
 * Operations that can fail return SL_OK, or a status after sql_vm_fail(). New memory comes from vm->arena. */
#ifndef SQL_VM_H
#define SQL_VM_H

#include "sql_program.h"
#include "sql_share.h"

enum {
	SQL_BUDGET = 4 << 20,    /* steps of one run */
	SQL_MADE_MAX = 64 << 20, /* bytes of text, arrays and objects that one run may make */
};

struct sql_vm {
	struct sl_arena arena;
	struct sql_value *registers;
	uint32_t n_registers;
	uint64_t *once; /* a bit per alias that is evaluated once */
	uint32_t n_once;
	struct sl_err err;
	struct sl_buf scratch; /* sql_text() */
	struct sl_buf joined;  /* templates */
	/* the run */
	const struct sql_program *program;
	const struct sql_input *in;
	int payload_status;
	bool extracted;            /* in->hits are filled, and payload_status is known */
	const struct sql_out *row; /* for templates */
	sql_row_fn on_row;
	void *arg;
	uint64_t budget;
	size_t made;           /* see SQL_MADE_MAX */
	size_t kept;           /* bytes of the aws dialect's variables */
	struct sql_value each; /* FOREACH: the array, */
	struct sql_list each_list;
	uint32_t each_at;     /* and the next element */
	uint32_t regex_calls; /* see SQL_REGEX_MS_MAX */
	uint64_t regex_since;
	struct sql_regex_state *regex; /* sql_regex.h; made at the first use */
	/* of the last sql_share_run() */
	struct sql_share *share;
	const uint16_t *share_map;
};

/* Runs code from step `pc` over the registers at `r`. SQL_PRODUCED (RESULT: *result is set), SQL_FILTERED or
 * SQL_FAILED. */
enum sql_outcome sql_vm_exec(struct sql_vm *vm, const struct sql_code *code, struct sql_value *r, uint32_t pc,
			     struct sql_value *result);
/* sql_run() with another code of the same shape (sql_shape.h). */
enum sql_outcome sql_vm_run(struct sql_vm *vm, const struct sql_program *p, const struct sql_code *code,
			    const struct sql_input *in, sql_row_fn on_row, void *arg);
void sql_vm_reserve(struct sql_vm *vm, uint32_t registers, uint32_t once);
/* The value of path n of the program, whose hit it is, in a payload that is JSON. */
int sql_vm_take_hit(struct sql_vm *vm, uint32_t n, const struct jpath_hit *hit, struct sql_value *out);
/* The hit of path n of the program; the payload is scanned when the first is wanted. */
static inline const struct jpath_hit *sql_vm_hit(struct sql_vm *vm, uint32_t n) {
	const struct sql_input *in = vm->in;
	if (sl_unlikely(!vm->extracted)) {
		vm->payload_status = in->extract(in->extract_arg);
		vm->extracted = true;
	}
	return &in->hits[in->map ? in->map[n] : n];
}
/* Work that hangs on the size of a payload is taken from the budget of steps, 16 bytes or one element for a step. The
 * budget is looked at where a run comes round again (FOREACH) and where a function is called. */
static inline void sql_vm_charge(struct sql_vm *vm, uint64_t steps) {
	vm->budget = vm->budget > steps ? vm->budget - steps : 0;
}
/* The value that expression n of the program has, if it was kept; and what it is, now that it is known. */
static inline const struct sql_value *sql_share_take(struct sql_vm *vm, uint32_t n) {
	struct sql_share *s = vm->share;
	uint16_t number = vm->share_map[n];
	if (number == SQL_SHARE_NONE || s->slots[number].generation != s->generation) return NULL;
	s->taken++;
	return &s->slots[number].value;
}
void sql_share_keep(struct sql_vm *vm, uint32_t n, const struct sql_value *v);
int sql_vm_exhausted(struct sql_vm *vm); /* SL_ELIMIT, with its message */
/* As sql_vm_fail(). A value in the text may be any bytes, and be cut anywhere; the text that comes of it is UTF-8. */
int sql_vm_failv(struct sql_vm *vm, int status, const char *fmt, va_list ap) sl_printf(3, 0);
int sql_vm_fail_payload(struct sql_vm *vm); /* it is asked for a value, and is not JSON */
/* Whoever makes something whose size outsiders drive accounts for it first. SL_ELIMIT when the run made too much. */
int sql_vm_made(struct sql_vm *vm, size_t bytes);

/* ---- sql_convert.c: between kinds ---- */
/* A value found in a document that is known to be JSON, with any text: by jpath_extract_any_text(), or in a value of ours. Text
 * that is not UTF-8 is text all the same; objects and arrays that may hold some are SQL_MAP and SQL_LIST at once. */
int sql_from_hit(struct sql_vm *vm, const struct jpath_hit *hit, struct sql_value *out);
/* The value that JSON text consists of; SL_EMALFORMED without a message when it is none. */
int sql_from_json(struct sql_vm *vm, struct sl_slice text, struct sql_value *out);
bool sql_is_number(const struct sql_value *v);
/* NUMBER_TEXT becomes INT or DOUBLE; others stay. */
struct sql_value sql_number(struct sql_value v);
/* INT, DOUBLE or NUMBER_TEXT as a double. */
double sql_to_double(const struct sql_value *v);
/* Text that reads as a number: digits with an optional fraction, as int() and float() take it. */
bool sql_number_from_text(struct sl_slice s, struct sql_value *out);
/* A JSON array becomes a LIST, a JSON object a MAP, one level deep; others stay. */
int sql_unfold(struct sql_vm *vm, struct sql_value *v);
/* A map under construction: names stay unique, of one that comes twice the last value counts, as in EMQX and most readers
 * of JSON. */
struct sql_map_maker {
	struct sql_map *map;
	uint32_t *slots, mask;
};
int sql_map_begin(struct sql_vm *vm, uint32_t room, struct sql_map_maker *maker);
/* Where the value of that name goes; at most `room` names. */
struct sql_value *sql_map_place(struct sql_map_maker *maker, struct sl_slice name);
bool sql_is_list(const struct sql_value *v);
bool sql_is_map(const struct sql_value *v);
bool sql_is_text(const struct sql_value *v);
/* Its text stands at v->p and has v->n bytes. */
static inline bool sql_has_bytes(const struct sql_value *v) {
	enum { KINDS = 1u << SQL_STRING | 1u << SQL_BYTES | 1u << SQL_NUMBER_TEXT | 1u << SQL_JSON };
	return (KINDS >> v->kind & 1) != 0;
}
/* The text of v in the arena (or where it stands). */
struct sl_slice sql_text(struct sql_vm *vm, const struct sql_value *v);
/* How many bytes it takes, with everything in it. */
size_t sql_value_weight(const struct sql_value *v);
/* A copy that owns nothing outside of `arena`. */
struct sql_value sql_value_copy(struct sl_arena *arena, const struct sql_value *v);
struct sql_list *sql_list_new(struct sl_arena *arena, uint32_t n);

/* ---- sql_out.c ---- */
/* What stands before each value of a row in its JSON: `{"a":`, `,"b":`. For struct sql_out. */
struct sl_slice *sql_names_json(struct sl_arena *arena, const struct sl_slice *names, size_t n);
/* sql_out_json() for most rows, whose values are numbers and text without an escape: so many bytes are enough; 0: it is none of
 * these. Then its JSON to `to`, and how many bytes it has; 0: it is none of these after all. */
size_t sql_out_plain_room(const struct sql_out *row);
size_t sql_out_plain(const struct sql_out *row, char *to);

/* ---- sql_compare.c ---- */
enum sql_order { SQL_LESS = -1, SQL_EQUAL, SQL_GREATER, SQL_UNLIKE, SQL_ONE_NULL };
enum sql_order sql_compare(struct sql_vm *vm, const struct sql_value *a, const struct sql_value *b);
/* Equal without conversion: 1 is not 1.0 and not '1' (IN, the switch form of CASE, contains). */
bool sql_same(struct sql_vm *vm, const struct sql_value *a, const struct sql_value *b);
bool sql_same_in(struct sql_vm *vm, const struct sql_value *v, const struct sql_value *list);
/* The value of a member, or NULL; maybe it is number `guess`. */
const struct sql_value *sql_map_find(const struct sql_map *m, struct sl_slice key, uint32_t guess);
bool sql_like(struct sl_slice text, struct sl_slice pattern);

/* ---- sql_arith.c ---- */
int sql_arithmetic(struct sql_vm *vm, enum sql_binary op, const struct sql_value *a, const struct sql_value *b,
		   struct sql_value *out);
int sql_negate(struct sql_vm *vm, const struct sql_value *a, struct sql_value *out);
int sql_concat(struct sql_vm *vm, const struct sql_value *a, const struct sql_value *b, struct sql_value *out);

/* ---- sql_access.c: into arrays and objects ---- */
int sql_member(struct sql_vm *vm, const struct sql_value *v, struct sl_slice key, struct sql_value *out);
int sql_index(struct sql_vm *vm, const struct sql_value *v, const struct sql_value *index, struct sql_value *out);
int sql_slice_of(struct sql_vm *vm, const struct sql_value *v, const struct sql_value *from, const struct sql_value *to,
		 struct sql_value *out);
int sql_range(struct sql_vm *vm, const struct sql_value *from, const struct sql_value *to, struct sql_value *out);
/* SL_ELIMIT when arrays and objects stand deeper than SQL_VALUE_DEPTH_MAX inside each other (whoever walks a value walks it
 * recursively), or hold more than SQL_TEXT_MAX. Whoever makes one of values that are there asks. */
enum { SQL_VALUE_DEPTH_MAX = 64 };
int sql_check_size(struct sql_vm *vm, const struct sql_value *v);
/* `v` with `value` at the place `step` and its followers name; what is missing on the way is made. */
int sql_put(struct sql_vm *vm, const struct sql_value *v, const struct sql_target_step *step,
	    const struct sql_value *value, struct sql_value *out);
/* A payload path answered the slow way: through strings that hold JSON. */
int sql_walk(struct sql_vm *vm, const struct jpath *path, struct sql_value *out);

#endif
