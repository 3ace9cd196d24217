/* sql_vm.c: runs programs: one C function without recursion over a flat array of steps.
 *
 * Dispatch is hidden in four macros, so that the loop reads as a list of effects: OP(name) begins one, NEXT goes on, JUMP
 * goes elsewhere, CHECK(status) leaves for the error path when an operation failed. Labels and numbers come from the one
 * table (sql_op_tbl.h). A failure looks for the innermost try() around its step; without one it ends the run. */
#include "sql_vm.h"

#include "aws_ops.h"
#include "aws_steps.h"

#include "mem.h"
#include "sql_arith.h"
#include "sql_front.h"
#include "sql_regex.h"
#include "sql_set.h"
#include "topic.h"
#include "utf8.h"

struct sql_vm *sql_vm_new(void) {
	struct sql_vm *vm = SL_NEW(struct sql_vm);
	sl_arena_init(&vm->arena, 4096);
	sql_vm_reserve(vm, 64, 64);
	return vm;
}

void sql_vm_free(struct sql_vm *vm) {
	if (!vm) return;
	sl_arena_fini(&vm->arena);
	sl_buf_fini(&vm->scratch);
	sl_buf_fini(&vm->joined);
	sl_err_fini(&vm->err);
	sql_regex_state_free(vm->regex);
	sl_free(vm->registers);
	sl_free(vm->once);
	sl_free(vm);
}

struct sl_arena *sql_vm_arena(struct sql_vm *vm) {
	return &vm->arena;
}
const struct sl_err *sql_vm_error(const struct sql_vm *vm) { return &vm->err; }

int sql_vm_failv(struct sql_vm *vm, int status, const char *fmt, va_list ap) {
	sl_err_setv(&vm->err, status, fmt, ap);
	utf8_repair(vm->err.text, strlen(vm->err.text));
	sl_err_at(&vm->err, NULL, 0, 0);
	return status;
}

int sql_vm_fail(struct sql_vm *vm, int status, const char *fmt, ...) {
	va_list ap;
	va_start(ap, fmt);
	sql_vm_failv(vm, status, fmt, ap);
	va_end(ap);
	return status;
}

void sql_vm_reserve(struct sql_vm *vm, uint32_t registers, uint32_t once) {
	if (registers > vm->n_registers) {
		vm->registers = sl_realloc_array(vm->registers, registers, sizeof *vm->registers);
		memset(vm->registers, 0, registers * sizeof *vm->registers);
		vm->n_registers = registers;
	}
	uint32_t words = (once + 63) / 64;
	if (words > vm->n_once) {
		vm->once = sl_realloc_array(vm->once, words, sizeof *vm->once);
		vm->n_once = words;
	}
	if (words) memset(vm->once, 0, words * sizeof *vm->once);
}

static int made_too_much(struct sql_vm *vm) {
	return sql_vm_fail(vm, SL_ELIMIT, "the run made more than %d MB of values", SQL_MADE_MAX >> 20);
}

int sql_vm_exhausted(struct sql_vm *vm) {
	if (vm->made > SQL_MADE_MAX) return made_too_much(vm);
	return sql_vm_fail(vm, SL_ELIMIT, "the run took more than %d steps", SQL_BUDGET);
}

int sql_vm_made(struct sql_vm *vm, size_t bytes) {
	vm->made += bytes;
	if (sl_likely(vm->made <= SQL_MADE_MAX)) return SL_OK;
	vm->budget = 0; /* so that the run ends also when this comes up where no status is given, as in comparing */
	return made_too_much(vm);
}

/* ---- steps too long for the loop ---- */

int sql_vm_fail_payload(struct sql_vm *vm) {
	if (!jscan_too_deep(vm->in->payload)) return sql_vm_fail(vm, SL_EMALFORMED, "the payload is not JSON");
	return sql_vm_fail(vm, SL_EMALFORMED, "the payload is nested deeper than %d levels", JSCAN_DEPTH_MAX);
}

static sl_noinline int path_absent(struct sql_vm *vm, uint32_t n, struct sql_value *out) {
	const struct sql_input *in = vm->in;
	const struct jpath *path = &vm->program->paths[n];
	if (vm->payload_status != SL_OK) return sql_vm_fail_payload(vm);
	*out = sql_null();
	if (path->n < 2) return SL_OK;
	/* Maybe the way leads through a string that holds JSON. Such a string has escaped quotes, but for arrays of
	 * numbers; so a payload without a backslash and a path without an index need no second look. */
	bool index = false;
	for (uint16_t i = 1; i < path->n; i++) index |= path->steps[i].is_index;
	if (!index && slice_find_byte(in->payload, '\\') < 0) return SL_OK;
	return sql_walk(vm, path, out);
}

static inline int take_hit(struct sql_vm *vm, uint32_t n, const struct jpath_hit *hit, struct sql_value *out) {
	if (sl_unlikely(hit->kind == JKIND_ABSENT)) return path_absent(vm, n, out);
	if (hit->kind == JKIND_STRING && !(hit->flags & JSCAN_ESCAPED)) {
		*out = sql_string(hit->raw);
		return SL_OK;
	}
	return sql_from_hit(vm, hit, out);
}

int sql_vm_take_hit(struct sql_vm *vm, uint32_t n, const struct jpath_hit *hit, struct sql_value *out) {
	return take_hit(vm, n, hit, out);
}

static inline int load_path(struct sql_vm *vm, uint32_t n, struct sql_value *out) {
	return take_hit(vm, n, sql_vm_hit(vm, n), out);
}

/* {"rule_id": ..., "matched": ..., "trigger": ...} */
static struct sql_value metadata(struct sql_vm *vm) {
	const struct sql_source *s = vm->program->source;
	struct sql_map *m = SL_ARENA_NEW(&vm->arena, struct sql_map);
	m->at = SL_ARENA_ARRAY(&vm->arena, struct sql_map_member, 3);
	m->n = 3;
	m->at[0] = (struct sql_map_member){SL_SLICE_LIT("rule_id"), sql_string(vm->in->rule_id)};
	m->at[1] = (struct sql_map_member){SL_SLICE_LIT("matched"), sql_string(vm->in->from_matched)};
	m->at[2] = (struct sql_map_member){SL_SLICE_LIT("trigger"), sql_null()};
	for (uint16_t i = 0; i < s->column_count; i++)
		if (strcmp(s->columns[i].name, "event") == 0)
			m->at[2].value = s->get(vm->in->event, s->columns[i].id, &vm->arena);
	return (struct sql_value){.kind = SQL_MAP, .map = m};
}

static struct sql_value make_list(struct sql_vm *vm, const struct sql_value *from, uint32_t n) {
	struct sql_list *l = sql_list_new(&vm->arena, n);
	if (n) memcpy(l->at, from, n * sizeof *from);
	return (struct sql_value){.kind = SQL_LIST, .list = l};
}

/* Bit 0: less, 1: equal, 2: greater, 3: unlike. ORDER COMPARE. */
static const uint8_t truth[] = {2, 1 | 4 | 8, 1, 1 | 2, 4, 2 | 4};

static inline bool verdict(unsigned comparison, enum sql_order o) { return (truth[comparison] >> (o + 1)) & 1; }

/* k is a constant, INT or DOUBLE. */
static inline enum sql_order order_to_number(struct sql_vm *vm, const struct sql_value *v, const struct sql_value *k) {
	if (v->kind == SQL_INT && k->kind == SQL_INT)
		return v->i < k->i ? SQL_LESS : v->i > k->i ? SQL_GREATER : SQL_EQUAL;
	double number = k->kind == SQL_INT ? (double)k->i : k->d;
	bool exact = number < 9e15 && number > -9e15; /* the constant is exact as a double */
	if ((v->kind == SQL_NUMBER_TEXT || v->kind == SQL_DOUBLE) && exact) {
		double d = sql_to_double(v);
		return d < number ? SQL_LESS : d > number ? SQL_GREATER : SQL_EQUAL;
	}
	return sql_compare(vm, v, k);
}

static inline bool equals_text(struct sql_vm *vm, const struct sql_value *v, const struct sql_value *k) {
	if (v->kind == SQL_STRING) return v->n == k->n && (k->n == 0 || memcmp(v->p, k->p, k->n) == 0);
	return sql_compare(vm, v, k) == SQL_EQUAL;
}

static int condition(struct sql_vm *vm, const struct sql_value *v, bool *met) {
	*met = v->kind == SQL_BOOL && v->b;
	if (sl_likely(v->kind == SQL_BOOL || v->kind == SQL_NULL)) return SL_OK;
	return sql_vm_fail(vm, SL_ETYPE, "a condition must be true or false, this is %s", sql_kind_name(v->kind));
}

static struct sql_value match_topic(const struct sql_value *topic, const struct sql_value *filter) {
	if (!sql_is_text(topic) || !sql_is_text(filter)) return sql_bool(false);
	struct sl_slice f = sql_value_text(filter);
	return sql_bool(topic_filter_valid(f) && topic_matches(f, sql_value_text(topic)));
}

static struct sql_value like(struct sql_vm *vm, const struct sql_value *text, const struct sql_value *pattern) {
	if (text->kind == SQL_NULL || pattern->kind == SQL_NULL) return sql_null();
	if (!sql_is_text(text) || !sql_is_text(pattern)) return sql_bool(false);
	sql_vm_charge(vm, (uint64_t)text->n * pattern->n / 16);
	return sql_bool(sql_like(sql_value_text(text), sql_value_text(pattern)));
}

static int begin_each(struct sql_vm *vm, const struct sql_value *v) {
	static const struct sql_list nothing = {0};
	struct sql_value l = *v;
	vm->each_at = 0;
	vm->each_list = nothing;
	if (!sql_is_list(&l)) return SL_OK; /* anything but an array counts as an empty one */
	int r = sql_unfold(vm, &l);
	if (r == SL_OK) vm->each_list = *l.list;
	return r;
}

/* Values that rows only borrow are copied when the rows go on. FOREACH could so make of one message its size times the
 * number of its elements, and one row its size times the number of columns. */
static int charge_row(struct sql_vm *vm, const struct sql_value *values, uint32_t n) {
	size_t bytes = 0;
	for (uint32_t i = 0; i < n; i++) {
		const struct sql_value *v = &values[i];
		bool large = v->kind == SQL_LIST || v->kind == SQL_MAP;
		bytes += large ? sql_value_weight(v) : sizeof *v + (sql_has_bytes(v) ? v->n : 0);
	}
	if (vm->each_at) return sql_vm_made(vm, bytes);
	if (sl_likely(bytes <= SQL_MADE_MAX + (vm->in ? vm->in->payload.n : 0))) return SL_OK;
	return sql_vm_fail(vm, SL_ELIMIT, "the row would exceed %d MB", SQL_MADE_MAX >> 20);
}

static int emit_row(struct sql_vm *vm, const struct sql_value *values, uint32_t n) {
	int r = vm->budget ? charge_row(vm, values, n) : sql_vm_exhausted(vm);
	if (r != SL_OK) return r;
	const struct sql_program *p = vm->program;
	struct sql_out row = {.names = p->columns, .names_json = p->columns_json, .values = values, .count = n};
	return vm->on_row(vm->arg, vm, &row);
}

static void name_place(struct sql_vm *vm, const struct sql_code *code, const struct sql_step *s) {
	uint32_t line, column;
	sql_place(code->text, s->at, &line, &column);
	sl_err_at(&vm->err, NULL, line, column);
}

/* Comparing stops when the steps are used up; what it said then is no answer. */
static inline enum sql_outcome filtered(struct sql_vm *vm, const struct sql_code *code, const struct sql_step *s) {
	if (sl_likely(vm->budget != 0)) return SQL_FILTERED;
	sql_vm_exhausted(vm);
	name_place(vm, code, s);
	return SQL_FAILED;
}

/* The step to go on at after a failure at `pc`, or n_steps. */
static uint32_t handler_of(const struct sql_code *code, uint32_t pc) {
	for (uint32_t i = 0; i < code->n_handlers; i++)
		if (pc >= code->handlers[i].from && pc < code->handlers[i].to) return code->handlers[i].target;
	return code->n_steps;
}

/* ---- the loop ---- */

#define OP(name) on_##name:
#define DISPATCH goto *labels[s->op]
#define NEXT                                                                                                           \
	do {                                                                                                           \
		s++;                                                                                                   \
		DISPATCH;                                                                                              \
	} while (0)
#define JUMP                                                                                                           \
	do {                                                                                                           \
		s = code->steps + s->jump;                                                                             \
		DISPATCH;                                                                                              \
	} while (0)
#define CHECK(call)                                                                                                    \
	do {                                                                                                           \
		if (sl_unlikely((call) != SL_OK)) goto failed;                                                         \
	} while (0)
#define R(x) ((x)&SQL_CONST ? &code->consts[(x) & ~SQL_CONST] : &r[x])
#define DST (r + s->dst)
#define A R(s->a)
#define B R(s->b)
/* Steps of one line: an operation that may fail, a value that is there. */
#define TRY(name, call)                                                                                                \
	OP(name) {                                                                                                     \
		CHECK(call);                                                                                           \
		NEXT;                                                                                                  \
	}
#define GIVE(name, value)                                                                                              \
	OP(name) {                                                                                                     \
		*DST = (value);                                                                                        \
		NEXT;                                                                                                  \
	}
/* In line where both sides are plain numbers (sql_arith.h); with anything, and with a constant number. */
#define QUICK(name, quick, call)                                                                                       \
	OP(name) {                                                                                                     \
		if (sl_likely(quick)) NEXT;                                                                            \
		CHECK(call);                                                                                           \
		NEXT;                                                                                                  \
	}
#define ARITHMETIC(name, quick)                                                                                        \
	QUICK(name, sql_quick_##quick(A, B, DST), sql_arithmetic(vm, SQL_B_##name, A, B, DST))                         \
	QUICK(name##_N, sql_quick_##quick##_number(A, B, DST), sql_arithmetic(vm, SQL_B_##name, A, B, DST))
/* What a comparison found, and the jump behind it that asks for that. */
#define DECIDE(condition)                                                                                              \
	do {                                                                                                           \
		met = (condition);                                                                                     \
		*DST = sql_bool(met);                                                                                  \
		if (s->n != SQL_THEN_JUMP) NEXT;                                                                       \
		s++;                                                                                                   \
		if (!met) JUMP;                                                                                        \
		NEXT;                                                                                                  \
	} while (0)
#define COMPARE(name, at)                                                                                              \
	OP(name) { DECIDE(verdict(at, sql_compare(vm, A, B))); }                                                       \
	OP(name##_N) { DECIDE(verdict(at, order_to_number(vm, A, B))); }

/* The target with the indexes that this run gives it. */
static int target_of(struct sql_vm *vm, const struct sql_code *code, const struct sql_value *r,
		     const struct sql_target_step *target, const struct sql_target_step **out) {
	const struct sql_target_step *s = target;
	*out = target;
	while (s && !s->varies) s = s->next;
	if (!s) return SL_OK;
	const struct sql_target_step **link = out;
	for (s = target; s; s = s->next) {
		struct sql_target_step *copy = SL_ARENA_NEW(&vm->arena, struct sql_target_step);
		*copy = *s;
		*link = copy;
		link = (const struct sql_target_step **)&copy->next;
		if (!s->varies) continue;
		struct sql_value i = sql_number(s->reg & SQL_CONST ? code->consts[s->reg & ~SQL_CONST] : r[s->reg]);
		if (i.kind != SQL_INT || i.i < INT32_MIN || i.i > INT32_MAX)
			return sql_vm_fail(vm, SL_ETYPE, "the index of a target must be an integer, got %s",
					   sql_kind_name(i.kind));
		copy->index = (int32_t)i.i;
	}
	return SL_OK;
}

enum sql_outcome sql_vm_exec(struct sql_vm *vm, const struct sql_code *code, struct sql_value *r, uint32_t pc,
			     struct sql_value *result) {
	static const void *const labels[] = {
#define SQL_OP(name, effect) &&on_##name,
#include "sql_op_tbl.h"
#undef SQL_OP
	};
	const struct sql_step *s = code->steps + pc;
	bool met;
	DISPATCH;

	GIVE(COLUMN, vm->program->source->get(vm->in->event, (uint16_t)s->n, &vm->arena))
	GIVE(METADATA, metadata(vm))
	TRY(PATH, load_path(vm, s->n, DST))
	GIVE(MOVE, *A)
	GIVE(OUTPUT, s->n < vm->row->count ? vm->row->values[s->n] : sql_null())
	TRY(MEMBER, sql_member(vm, A, sql_value_text(B), DST))
	TRY(INDEX, sql_index(vm, A, B, DST))
	TRY(SLICE, sql_slice_of(vm, A, B, B + 1, DST))
	TRY(RANGE, sql_range(vm, A, B, DST))
	OP(LIST) {
		*DST = make_list(vm, A, s->n);
		CHECK(sql_check_size(vm, DST));
		NEXT;
	}
	OP(PUT) {
		const struct sql_target_step *target;
		CHECK(target_of(vm, code, r, s->target, &target));
		CHECK(sql_put(vm, A, target, B, DST));
		NEXT;
	}
	QUICK(NEGATE, sql_quick_negate(A, DST), sql_negate(vm, A, DST))
	ARITHMETIC(ADD, add)
	ARITHMETIC(SUB, sub)
	ARITHMETIC(MUL, mul)
	ARITHMETIC(DIV, div)
	ARITHMETIC(IDIV, idiv)
	ARITHMETIC(MOD, mod)
	TRY(CONCAT, sql_concat(vm, A, B, DST))
	COMPARE(EQ, 0)
	COMPARE(NE, 1)
	COMPARE(LT, 2)
	COMPARE(LE, 3)
	COMPARE(GT, 4)
	COMPARE(GE, 5)
	OP(EQ_S) { DECIDE(equals_text(vm, A, B)); }
	OP(NE_S) { DECIDE(A->kind != SQL_NULL && !equals_text(vm, A, B)); }
	GIVE(MATCH, match_topic(A, B))
	GIVE(LIKE, like(vm, A, B))
	GIVE(SAME, sql_bool(sql_same(vm, A, B)))
	GIVE(IN, sql_bool(sql_same_in(vm, A, B)))
	GIVE(IN_SET, sql_bool(sql_set_has(vm, B, A)))
	OP(IS_NULL) {
		enum sql_kind kind = A->kind;
		*DST = sql_bool(kind == SQL_NULL || kind == SQL_JSON_NULL);
		NEXT;
	}
	OP(NOT) {
		const struct sql_value *a = A;
		CHECK(condition(vm, a, &met));
		*DST = a->kind == SQL_NULL ? sql_null() : sql_bool(!met);
		NEXT;
	}
	OP(COND) {
		CHECK(condition(vm, A, &met));
		*DST = sql_bool(met);
		NEXT;
	}
	OP(JUMP) { JUMP; }
	OP(JUMP_FALSE) {
		CHECK(condition(vm, A, &met));
		if (!met) JUMP;
		NEXT;
	}
	OP(JUMP_TRUE) {
		CHECK(condition(vm, A, &met));
		if (met) JUMP;
		NEXT;
	}
	OP(JUMP_VALUE) {
		if (A->kind != SQL_NULL) JUMP;
		NEXT;
	}
	OP(IF_DONE) {
		if (vm->once[s->n >> 6] >> (s->n & 63) & 1) JUMP;
		NEXT;
	}
	OP(DONE) {
		vm->once[s->n >> 6] |= (uint64_t)1 << (s->n & 63);
		NEXT;
	}
	OP(UNDO) {
		vm->once[s->n >> 6] &= ~((uint64_t)1 << (s->n & 63));
		NEXT;
	}
	OP(SHARED) {
		const struct sql_value *kept = sql_share_take(vm, s->n);
		if (!kept) NEXT;
		*DST = *kept;
		JUMP;
	}
	OP(KEEP) {
		sql_share_keep(vm, s->n, A);
		NEXT;
	}
	TRY(CALL, sql_fn_call(vm, s->site, r + s->a, s->n, DST))
	OP(REJECT) { return filtered(vm, code, s); }
	TRY(EACH, begin_each(vm, A))
	OP(NEXT) {
		if (vm->each_at == vm->each_list.n) JUMP;
		/* The only way back in a program: here the budget of steps is kept. */
		if (vm->budget < code->n_steps) {
			sql_vm_exhausted(vm);
			goto ended;
		}
		vm->budget -= code->n_steps;
		*DST = vm->each_list.at[vm->each_at++];
		NEXT;
	}
	OP(EMIT) {
		if (emit_row(vm, A, s->n) != SL_OK) goto ended;
		NEXT;
	}
	OP(HALT) { return SQL_PRODUCED; }
	OP(RESULT) {
		*result = *A;
		return SQL_PRODUCED;
	}
#include "aws_loop.inc"

failed:
	pc = handler_of(code, (uint32_t)(s - code->steps));
	if (pc != code->n_steps) {
		sl_err_fini(&vm->err);
		s = code->steps + pc;
		DISPATCH;
	}
ended:
	if (vm->err.line == 0) name_place(vm, code, s);
	return SQL_FAILED;
}

/* ---- the face ---- */

/* Memory is kept from run to run, but not that of a rare giant. */
enum { KEPT_MAX = 1 << 20 };
static sl_noinline void give_back(struct sql_vm *vm) {
	sl_arena_fini(&vm->arena);
	sl_arena_init(&vm->arena, 4096);
	sl_buf_fini(&vm->scratch);
	sl_buf_fini(&vm->joined);
}

static inline void forget_run(struct sql_vm *vm) {
	if (sl_unlikely(vm->made > KEPT_MAX)) give_back(vm);
	sl_arena_reset(&vm->arena);
	if (sl_unlikely(vm->err.status != SL_OK)) sl_err_fini(&vm->err);
	vm->budget = SQL_BUDGET;
	vm->made = vm->kept = 0;
}

void sql_guard_begin(struct sql_vm *vm, const struct sql_input *in) {
	forget_run(vm);
	vm->in = in;
	vm->payload_status = SL_OK;
}

enum sql_outcome sql_vm_run(struct sql_vm *vm, const struct sql_program *p, const struct sql_code *code,
			    const struct sql_input *in, sql_row_fn on_row, void *arg) {
	forget_run(vm);
	sql_vm_reserve(vm, code->n_registers + p->template_registers, code->n_once);
	vm->program = p;
	vm->in = in;
	vm->payload_status = in->payload_status;
	vm->extracted = !in->extract;
	vm->on_row = on_row;
	vm->arg = arg;
	vm->each_at = 0;
	vm->regex_calls = 0;
	struct sql_value none;
	return sql_vm_exec(vm, code, vm->registers, 0, &none);
}

enum sql_outcome sql_run(struct sql_vm *vm, const struct sql_program *p, const struct sql_input *in, sql_row_fn on_row,
			 void *arg) {
	return sql_vm_run(vm, p, &p->code, in, on_row, arg);
}
