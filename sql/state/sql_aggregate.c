/* sql_aggregate.c: see sql_aggregate.h. */
#include "sql_aggregate.h"

#include <math.h>

static bool has_bytes(const struct sql_value *v) {
	return v->kind == SQL_STRING || v->kind == SQL_BYTES || v->kind == SQL_NUMBER_TEXT || v->kind == SQL_JSON;
}

/* Lists and maps as JSON text. */
static struct sql_value flat(struct sql_vm *vm, const struct sql_value *v) {
	if (v->kind != SQL_LIST && v->kind != SQL_MAP) return *v;
	struct sl_slice text = sql_text(vm, v);
	return (struct sql_value){
	    .kind = SQL_JSON, .is_array = v->kind == SQL_LIST, .n = (uint32_t)text.n, .p = text.p};
}

static int out_of_range(struct sql_vm *vm, const char *name) {
	return sql_vm_fail(vm, SL_EINVAL, "%s(): the number is out of a float's range", name);
}

int sql_aggregate_check(struct sql_vm *vm, enum sql_aggregate_kind kind, struct sql_value *v) {
	static const char *const names[] = {
	    [SQL_A_COUNT_ALL] = "count", [SQL_A_COUNT] = "count", [SQL_A_SUM] = "sum",        [SQL_A_AVG] = "avg",
	    [SQL_A_MIN] = "min",         [SQL_A_MAX] = "max",     [SQL_A_LAST] = "last_value"};
	if (v->kind == SQL_NULL || v->kind == SQL_JSON_NULL) {
		*v = sql_null();
		return SL_OK;
	}
	switch (kind) {
	case SQL_A_COUNT_ALL:
	case SQL_A_COUNT: *v = sql_bool(true); return SL_OK;
	case SQL_A_SUM:
	case SQL_A_AVG:
		*v = sql_number(*v);
		if (v->kind == SQL_DOUBLE && !isfinite(v->d)) return out_of_range(vm, names[kind]);
		if (v->kind == SQL_INT || v->kind == SQL_DOUBLE) return SL_OK;
		return sql_vm_fail(vm, SL_ETYPE, "%s() takes numbers, this is %s", names[kind], sql_kind_name(v->kind));
	case SQL_A_MIN:
	case SQL_A_MAX:
		*v = sql_number(*v);
		if (v->kind == SQL_DOUBLE && !isfinite(v->d)) return out_of_range(vm, names[kind]);
		if (v->kind != SQL_INT && v->kind != SQL_DOUBLE && v->kind != SQL_STRING)
			return sql_vm_fail(vm, SL_ETYPE, "%s() takes numbers and text, this is %s", names[kind],
					   sql_kind_name(v->kind));
		break;
	case SQL_A_LAST: *v = flat(vm, v); break;
	}
	if (has_bytes(v) && v->n > SQL_STATE_VALUE_MAX)
		return sql_vm_fail(vm, SL_ELIMIT, "%s() keeps at most %d bytes of a value", names[kind],
				   SQL_STATE_VALUE_MAX);
	return SL_OK;
}

uint32_t sql_aggregate_room(enum sql_aggregate_kind kind, const struct sql_aggregate *a, const struct sql_value *v) {
	bool keeps = kind == SQL_A_MIN || kind == SQL_A_MAX || kind == SQL_A_LAST;
	return keeps && has_bytes(v) && v->n > a->room ? v->n : 0;
}

/* INT, DOUBLE and STRING. */
static int order(const struct sql_value *a, const struct sql_value *b) {
	if (a->kind == SQL_STRING && b->kind == SQL_STRING) return slice_compare(sql_value_text(a), sql_value_text(b));
	if (a->kind == SQL_STRING || b->kind == SQL_STRING) return a->kind == SQL_STRING ? 1 : -1;
	enum sql_order o = sql_compare(NULL, a, b);
	return o == SQL_LESS ? -1 : o == SQL_GREATER ? 1 : 0;
}

/* Is the value to be kept instead of the one that is there? */
static bool better(enum sql_aggregate_kind kind, const struct sql_aggregate *a, const struct sql_value *v) {
	if (a->count == 0 || kind == SQL_A_LAST) return true;
	int o = order(v, &a->kept);
	return kind == SQL_A_MIN ? o < 0 : o > 0;
}

static void add_whole(struct sql_aggregate *a, int64_t i) {
	int64_t sum;
	if (__builtin_add_overflow(a->whole, i, &sum)) {
		a->is_float = true;
		a->rest += (double)a->whole;
		sum = i;
	}
	a->whole = sum;
}

void sql_aggregate_add(struct sql_vm *vm, enum sql_aggregate_kind kind, struct sql_aggregate *a,
		       const struct sql_value *v) {
	(void)vm;
	if (v->kind == SQL_NULL && kind != SQL_A_COUNT_ALL) return;
	switch (kind) {
	case SQL_A_COUNT_ALL:
	case SQL_A_COUNT: break;
	case SQL_A_SUM:
	case SQL_A_AVG:
		if (v->kind == SQL_INT) {
			add_whole(a, v->i);
		} else {
			a->is_float = true;
			a->rest += v->d;
		}
		break;
	case SQL_A_MIN:
	case SQL_A_MAX:
	case SQL_A_LAST:
		if (!better(kind, a, v)) break;
		a->kept = *v;
		if (!has_bytes(v)) break;
		if (v->n) memcpy(a->text, v->p, v->n);
		a->kept.p = a->text;
		break;
	}
	a->count++;
}

void sql_aggregate_merge(enum sql_aggregate_kind kind, struct sql_aggregate *total, const struct sql_aggregate *part) {
	if (part->count == 0) return;
	add_whole(total, part->whole);
	total->rest += part->rest;
	total->is_float |= part->is_float;
	bool keeps = kind == SQL_A_MIN || kind == SQL_A_MAX || kind == SQL_A_LAST;
	if (keeps && better(kind, total, &part->kept)) total->kept = part->kept;
	total->count += part->count;
}

struct sql_value sql_aggregate_result(enum sql_aggregate_kind kind, const struct sql_aggregate *a) {
	double sum = (double)a->whole + a->rest;
	switch (kind) {
	case SQL_A_COUNT_ALL:
	case SQL_A_COUNT: return sql_int((int64_t)a->count);
	case SQL_A_SUM:
		if (a->count == 0 || !isfinite(sum)) return sql_null();
		return a->is_float ? sql_double(sum) : sql_int(a->whole);
	case SQL_A_AVG:
		if (a->count == 0 || !isfinite(sum)) return sql_null();
		return sql_double(sum / (double)a->count);
	case SQL_A_MIN:
	case SQL_A_MAX:
	case SQL_A_LAST: return a->count ? a->kept : sql_null();
	}
	return sql_null();
}
