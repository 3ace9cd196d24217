/* sql_fn.c: finding, checking and calling functions; see sql_fn.h. */
#include "sql_fn.h"

#include "aws_fn.h"
#include "sql_vm.h"
#include "utf8.h"

enum { FAMILIES_MAX = 48, BUILT_IN = 27 };
static const struct sql_fn_family *families[FAMILIES_MAX] = {
    &sql_fn_math,       &sql_fn_bits,  &sql_fn_string,  &sql_fn_format, &sql_fn_array, &sql_fn_map,
    &sql_fn_json,       &sql_fn_check, &sql_fn_convert, &sql_fn_codec,  &sql_fn_hash,  &sql_fn_time,
    &sql_fn_misc,       &sql_fn_state, &sql_fn_window,  &sql_fn_regex,  &sql_fn_zip,   &sql_fn_term,
    &sql_fn_systems,    &aws_fn_math,  &aws_fn_text,    &aws_fn_regex,  &aws_fn_hash,  &aws_fn_codec,
    &aws_fn_collection, &aws_fn_time,  &aws_fn_message,
};
static size_t n_families = BUILT_IN;

const struct sql_fn_family *const *sql_fn_families(size_t *count) {
	*count = n_families;
	return families;
}

void sql_fn_register(const struct sql_fn_family *family) {
	for (size_t i = 0; i < n_families; i++)
		if (families[i] == family) return;
	sl_assert(n_families < FAMILIES_MAX);
	families[n_families++] = family;
}

static bool is_called(enum sql_dialect dialect, struct sl_slice name, const struct sql_fn *fn) {
	if (dialect == SQL_AWS) return slice_equal_nocase(name, slice_from_str(fn->name));
	return slice_equal_str(name, fn->name);
}

const struct sql_fn *sql_fn_find(enum sql_dialect dialect, struct sl_slice name) {
	size_t n;
	const struct sql_fn_family *const *f = sql_fn_families(&n);
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < f[i]->n && f[i]->dialect == dialect; j++)
			if (is_called(dialect, name, &f[i]->fns[j])) return &f[i]->fns[j];
	return NULL;
}

bool sql_fn_family_is_called(const struct sql_fn_family *family, struct sl_slice name) {
	struct sl_slice rest = slice_from_str(family->name);
	if (slice_equal_nocase(rest, name)) return true;
	while (rest.p && name.n) {
		struct sl_slice word = slice_next_part(&rest, ' ');
		if (word.n && word.p[word.n - 1] == ',') word.n--;
		bool singular = word.n == name.n + 1 && word.p[name.n] == 's';
		if (slice_equal_nocase(singular ? slice_sub(word, 0, name.n) : word, name)) return true;
	}
	return false;
}

const char *sql_fn_nearest(enum sql_dialect dialect, struct sl_slice name) {
	const char *names[512];
	size_t n, count = 0;
	const struct sql_fn_family *const *f = sql_fn_families(&n);
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < f[i]->n && f[i]->dialect == dialect && count < SL_ARRAY_LEN(names); j++)
			names[count++] = f[i]->fns[j].name;
	return slice_nearest(name, names, count);
}

void sql_fn_arity(const struct sql_fn *fn, uint32_t *least, uint32_t *most) {
	bool optional = false;
	*least = *most = 0;
	for (const char *c = fn->args; *c; c++) {
		if (*c == '?') {
			optional = true;
		} else if (*c == '*') {
			*most = UINT32_MAX;
		} else {
			*least += !optional;
			*most += 1;
		}
	}
}

int sql_call_fail(struct sql_call *c, const char *fmt, ...) {
	va_list ap;
	va_start(ap, fmt);
	sql_vm_failv(c->vm, SL_EINVAL, fmt, ap);
	va_end(ap);
	sl_err_prefix(&c->vm->err, "%s()", c->fn->name);
	return SL_EINVAL;
}

int sql_call_text(struct sql_call *c, const struct sl_buf *text, struct sql_value *out) {
	if (text->n > SQL_TEXT_MAX) return sql_call_fail(c, "the result would exceed %d MB", SQL_TEXT_MAX >> 20);
	int r = sql_vm_made(c->vm, text->n);
	if (r == SL_OK) *out = sql_string(sl_arena_dup(c->arena, sl_buf_slice(text)));
	return r;
}

struct sql_value sql_call_bytes(struct sl_slice bytes) {
	struct sql_value v = sql_string(bytes);
	if (!utf8_valid(bytes)) v.kind = SQL_BYTES;
	return v;
}

int sql_call_json(struct sql_call *c, struct sl_slice json, struct sql_value *out) {
	if (json.n > SQL_TEXT_MAX) return sql_call_fail(c, "the result would exceed %d MB", SQL_TEXT_MAX >> 20);
	int r = sql_vm_made(c->vm, json.n);
	if (r != SL_OK) return r;
	if (sql_from_json(c->vm, sl_arena_dup(c->arena, json), out) == SL_OK) return SL_OK;
	return sql_call_fail(c, "the result is not JSON, or nested too deep");
}

struct sql_list *sql_call_list(struct sql_call *c, uint32_t n) {
	return sql_list_new(c->arena, n);
}

static int wrong_kind(struct sql_call *c, const char *wanted, uint32_t i, const struct sql_value *v) {
	return sql_call_fail(c, "argument %u must be %s, got %s", i + 1, wanted, sql_kind_name(v->kind));
}

int sql_call_object(struct sql_call *c, struct sql_value *v, uint32_t i) {
	struct sql_value in = *v;
	if (sql_is_text(v) && sql_from_json(c->vm, sql_value_text(v), &in) != SL_OK)
		return sql_call_fail(c, "argument %u must be an object, this text is not JSON", i + 1);
	if (!sql_is_map(&in)) return wrong_kind(c, "an object", i, v);
	*v = in;
	return sql_unfold(c->vm, v);
}

static int convert(struct sql_call *c, char kind, struct sql_value *v, uint32_t i) {
	switch (kind) {
	case 'a': return SL_OK;
	case 's':
		if (v->kind == SQL_BOOL) *v = sql_string(v->b ? SL_SLICE_LIT("true") : SL_SLICE_LIT("false"));
		return sql_is_text(v) ? SL_OK : wrong_kind(c, "text", i, v);
	case 't':
		if (!sql_is_text(v) && v->kind != SQL_NULL) *v = sql_string(sql_text(c->vm, v));
		return SL_OK;
	case 'i': *v = sql_number(*v); return v->kind == SQL_INT ? SL_OK : wrong_kind(c, "an integer", i, v);
	case 'n': *v = sql_number(*v); return sql_is_number(v) ? SL_OK : wrong_kind(c, "a number", i, v);
	case 'l': return sql_is_list(v) ? sql_unfold(c->vm, v) : wrong_kind(c, "an array", i, v);
	case 'm': return sql_call_object(c, v, i);
	}
	sl_assert(false); /* a letter that sql_fn.h does not know */
	return SL_EINVAL;
}

int sql_fn_call(struct sql_vm *vm, const struct sql_site *site, struct sql_value *args, uint32_t n,
		struct sql_value *out) {
	struct sql_call c = {.vm = vm, .arena = &vm->arena, .fn = site->fn, .prepared = site->prepared};
	const char *kind = c.fn->args;
	for (uint32_t i = 0; i < n; i++) {
		if (*kind == '?') kind++;
		int r = convert(&c, *kind, &args[i], i);
		if (r != SL_OK) return r;
		if (sql_is_text(&args[i]) || args[i].kind == SQL_NUMBER_TEXT) sql_vm_charge(vm, args[i].n / 16);
		if (kind[1] && kind[1] != '*') kind++;
	}
	if (sl_unlikely(vm->budget == 0)) return sql_vm_exhausted(vm);
	return c.fn->call(&c, args, n, out);
}
