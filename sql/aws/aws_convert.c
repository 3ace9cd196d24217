/* aws_convert.c: the implicit conversions and cast(); see aws_ops.h. */
#include "aws_ops.h"

#include <math.h>

#include "aws_steps.h"
#include "sql_fn.h"

/* Text converts to a number when all of it is -?\d+(\.\d+)?(E-?\d+)?, E in either case. */
static bool is_number_text(struct sl_slice s) {
	if (s.n > AWS_DECIMAL_READ_MAX) return false;
	size_t i = s.n && s.p[0] == '-', from = i;
	while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9') i++;
	if (i == from) return false;
	if (i < s.n && s.p[i] == '.') {
		from = ++i;
		while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9') i++;
		if (i == from) return false;
	}
	if (i < s.n && (s.p[i] == 'E' || s.p[i] == 'e')) {
		i++;
		if (i < s.n && s.p[i] == '-') i++;
		from = i;
		while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9') i++;
		if (i == from) return false;
	}
	return i == s.n;
}

bool aws_decimal_of(const struct sql_value *v, struct aws_decimal *out) {
	switch (v->kind) {
	case SQL_INT: *out = aws_decimal_from_i64(v->i); return true;
	case SQL_DOUBLE: return aws_decimal_from_double(v->d, out);
	case SQL_NUMBER_TEXT: return aws_decimal_parse(sql_value_text(v), out, NULL);
	case SQL_STRING: return is_number_text(sql_value_text(v)) && aws_decimal_parse(sql_value_text(v), out, NULL);
	case SQL_NULL:
	case SQL_JSON_NULL:
	case SQL_BOOL:
	case SQL_BYTES:
	case SQL_JSON:
	case SQL_LIST:
	case SQL_MAP: break;
	}
	return false;
}

bool aws_whole_decimals(const struct sql_vm *vm) {
	return vm->program && vm->program->aws && vm->program->aws->whole_decimals;
}

static struct sl_slice decimal_text(struct sql_vm *vm, struct aws_decimal d) {
	char *text = sl_arena_alloc(&vm->arena, AWS_DECIMAL_TEXT_MAX);
	d.pointed = d.pointed && aws_whole_decimals(vm);
	return slice_make(text, aws_decimal_format(&d, text));
}

struct sql_value aws_from_decimal(struct sql_vm *vm, const struct aws_decimal *d) {
	struct sql_value v = sql_int(0);
	if (aws_decimal_to_i64(d, &v.i) && !(d->pointed && aws_whole_decimals(vm))) return v;
	struct sl_slice text = decimal_text(vm, *d);
	return (struct sql_value){.kind = SQL_NUMBER_TEXT, .n = (uint32_t)text.n, .p = text.p};
}

struct sql_value aws_from_double(const struct sql_vm *vm, double d) {
	if (!isfinite(d)) return sql_null();
	if (aws_whole_decimals(vm)) return sql_double(d);
	if (d >= -0x1p53 && d <= 0x1p53 && !(d < trunc(d)) && !(d > trunc(d))) return sql_int((int64_t)d);
	return sql_double(d);
}

/* The shortest text of a number; one of more digits than we reckon with keeps its own. */
static struct sql_value number_to_string(struct sql_vm *vm, const struct sql_value *v) {
	struct aws_decimal d;
	bool exact = true;
	bool known =
	    v->kind == SQL_NUMBER_TEXT ? aws_decimal_parse(sql_value_text(v), &d, &exact) : aws_decimal_of(v, &d);
	if (!known || !exact) return sql_string(sql_text(vm, v));
	return sql_string(decimal_text(vm, d));
}

static int json_to_string(struct sql_vm *vm, const struct sql_value *v, struct sql_value *out) {
	struct sl_slice s = sql_text(vm, v);
	if (s.n > SQL_TEXT_MAX) return sql_vm_fail(vm, SL_ELIMIT, "a text would exceed %d MB", SQL_TEXT_MAX >> 20);
	sql_vm_charge(vm, s.n / 16);
	*out = sql_string(s);
	return sql_vm_made(vm, 0); /* sql_text() has accounted for it */
}

int aws_to_string(struct sql_vm *vm, const struct sql_value *v, struct sql_value *out) {
	switch (v->kind) {
	case SQL_STRING:
	case SQL_BYTES: *out = *v; return SL_OK;
	case SQL_BOOL: *out = sql_string(v->b ? SL_SLICE_LIT("true") : SL_SLICE_LIT("false")); return SL_OK;
	case SQL_INT:
	case SQL_DOUBLE:
	case SQL_NUMBER_TEXT: *out = number_to_string(vm, v); return SL_OK;
	case SQL_JSON:
	case SQL_LIST:
	case SQL_MAP: return json_to_string(vm, v, out);
	case SQL_NULL:
	case SQL_JSON_NULL: break;
	}
	*out = sql_null();
	return SL_OK;
}

int aws_to_number(struct sql_vm *vm, const struct sql_value *v, struct sql_value *out) {
	struct aws_decimal d;
	if (sql_is_number(v))
		*out = *v;
	else
		*out = aws_decimal_of(v, &d) ? aws_from_decimal(vm, &d) : sql_null();
	return SL_OK;
}

static struct sql_value to_int(const struct sql_value *v, enum aws_rounding how) {
	struct aws_decimal d;
	int64_t i;
	if (v->kind == SQL_INT) return *v;
	if (!aws_decimal_of(v, &d) || !aws_decimal_round(&d, 0, how, &d)) return sql_null();
	if (aws_decimal_to_i64(&d, &i)) return sql_int(i);
	return sql_int(d.negative ? INT64_MIN : INT64_MAX);
}

int aws_to_int(struct sql_vm *vm, const struct sql_value *v, struct sql_value *out) {
	(void)vm;
	*out = to_int(v, AWS_DOWN);
	return SL_OK;
}
int aws_to_int_down(struct sql_vm *vm, const struct sql_value *v, struct sql_value *out) {
	(void)vm;
	*out = to_int(v, AWS_FLOOR);
	return SL_OK;
}

int aws_to_double(struct sql_vm *vm, const struct sql_value *v, struct sql_value *out) {
	struct sql_value number = *v;
	if (!sql_is_number(v)) {
		if (v->kind != SQL_STRING || !is_number_text(sql_value_text(v))) {
			*out = sql_null();
			return SL_OK;
		}
		number.kind = SQL_NUMBER_TEXT;
	}
	(void)vm;
	*out = sql_double(sql_to_double(&number));
	return SL_OK;
}

/* ---- cast ---- */

bool aws_type_from_name(struct sl_slice name, enum aws_type *out) {
	static const struct {
		const char *name;
		enum aws_type type;
	} types[] = {
	    {"String", AWS_STRING},  {"Nvarchar", AWS_STRING}, {"Text", AWS_STRING},     {"Ntext", AWS_STRING},
	    {"Varchar", AWS_STRING}, {"Int", AWS_INT},         {"Integer", AWS_INT},     {"Decimal", AWS_DECIMAL},
	    {"Double", AWS_DOUBLE},  {"Bool", AWS_BOOLEAN},    {"Boolean", AWS_BOOLEAN},
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(types); i++)
		if (slice_equal_nocase(name, slice_from_str(types[i].name))) {
			*out = types[i].type;
			return true;
		}
	return false;
}

static struct sql_value cast_to_boolean(const struct sql_value *v) {
	struct aws_decimal d;
	if (v->kind == SQL_DOUBLE) return sql_bool(v->d < 0 || v->d > 0);
	if (sql_is_number(v)) return aws_decimal_of(v, &d) ? sql_bool(d.digits != 0) : sql_bool(true);
	return aws_truth(v);
}

static struct sql_value cast_to_number(struct sql_vm *vm, const struct sql_value *v, bool whole) {
	struct aws_decimal d;
	bool exact = true;
	if (v->kind == SQL_INT) return *v;
	if (v->kind == SQL_BOOL) return sql_int(v->b);
	if (v->kind == SQL_NUMBER_TEXT) { /* what is a Decimal already, or has too many digits for us, stays as it is */
		if (!aws_decimal_parse(sql_value_text(v), &d, &exact)) return whole ? sql_null() : *v;
		if (!exact && !whole) return *v;
	} else if (!aws_decimal_of(v, &d)) {
		return sql_null();
	}
	if (!whole) return d.exponent < 0 && sql_is_number(v) ? *v : aws_from_decimal(vm, &d);
	if (!exact && d.exponent >= 0 && slice_find_byte(sql_value_text(v), '.') < 0) return *v;
	if (!aws_decimal_round(&d, 0, AWS_FLOOR, &d)) return sql_null();
	return aws_from_decimal(vm, &d);
}

int aws_cast(struct sql_vm *vm, const struct sql_value *v, enum aws_type type, struct sql_value *out) {
	switch (type) {
	case AWS_STRING: return aws_to_string(vm, v, out);
	case AWS_INT: *out = cast_to_number(vm, v, true); return SL_OK;
	case AWS_DECIMAL:
	case AWS_DOUBLE: *out = cast_to_number(vm, v, false); return SL_OK;
	case AWS_BOOLEAN: *out = cast_to_boolean(v); return SL_OK;
	}
	return SL_EINVAL;
}
