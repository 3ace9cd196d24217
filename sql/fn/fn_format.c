/* fn_format.c: text by a format, as Erlang writes it: ~Width.Precision.PadDirective.
 *
 *     ~s text   ~p ~w a value as code   ~b ~B integer (precision: base)   ~f ~e ~g float   ~c character
 *     ~i skips an argument   ~n new line   ~~ a tilde
 * Width counts characters; negative: to the left. What is wider is cut (text) or shown as stars (numbers).
 * ~c writes its character as often as the precision says, else as the width says; ~n as the width says. */
#include <stdio.h>
#include <stdlib.h>

#include "mem.h"
#include "sql_vm.h"
#include "utf8.h"

struct directive {
	int64_t width, precision; /* -1: not given */
	bool left;
	char fill, letter;
};

static bool number_at(struct sl_slice *f, int64_t *out) {
	*out = -1;
	while (f->n && f->p[0] >= '0' && f->p[0] <= '9') {
		*out = (*out < 0 ? 0 : *out) * 10 + (f->p[0] - '0');
		if (*out > 4096) return false;
		*f = slice_from(*f, 1);
	}
	return true;
}

/* Takes what follows a '~' off the format. */
static bool read_directive(struct sl_slice *f, struct directive *d) {
	*d = (struct directive){.width = -1, .precision = -1, .fill = ' '};
	if (f->n && f->p[0] == '-') {
		d->left = true;
		*f = slice_from(*f, 1);
	}
	if (!number_at(f, &d->width)) return false;
	if (f->n && f->p[0] == '.') {
		*f = slice_from(*f, 1);
		if (!number_at(f, &d->precision)) return false;
	}
	if (f->n >= 2 && f->p[0] == '.') {
		d->fill = f->p[1];
		*f = slice_from(*f, 2);
	}
	if (f->n && f->p[0] == 't') *f = slice_from(*f, 1); /* ~ts: all text is Unicode here */
	if (f->n == 0) return false;
	d->letter = f->p[0];
	*f = slice_from(*f, 1);
	return true;
}

static void put_field(struct sl_buf *b, const struct directive *d, struct sl_slice text) {
	bool sound = utf8_valid(text), is_text = d->letter == 's';
	int64_t have = (int64_t)(sound ? utf8_length(text) : text.n);
	int64_t most = is_text && d->precision >= 0 ? d->precision : have;
	if (is_text && d->width >= 0 && most > d->width) most = d->width;
	while (have > most && text.n) { /* from the end, a character at a time */
		do text.n--;
		while (sound && text.n && ((uint8_t)text.p[text.n] & 0xc0) == 0x80);
		have--;
	}
	if (d->width >= 0 && have > d->width) {
		for (int64_t i = 0; i < d->width; i++) sl_buf_put(b, '*');
		return;
	}
	for (int64_t i = have; !d->left && i < d->width; i++) sl_buf_put(b, d->fill);
	sl_buf_append_slice(b, text);
	for (int64_t i = have; d->left && i < d->width; i++) sl_buf_put(b, d->fill);
}

/* Erlang's way to show a text: <<"...">>, or for ~w byte by byte. */
static void show_text(struct sl_slice s, bool bytes, struct sl_buf *out) {
	sl_buf_append_str(out, bytes ? "<<" : "<<\"");
	if (!bytes) sl_buf_append_slice(out, s);
	for (size_t i = 0; bytes && i < s.n; i++) sl_buf_printf(out, i ? ",%u" : "%u", (uint8_t)s.p[i]);
	sl_buf_append_str(out, bytes ? ">>" : "\">>");
}

/* And a value: [1,<<"a">>], #{<<"k">> => 1}. */
static int show(struct sql_vm *vm, struct sql_value v, bool bytes, struct sl_buf *out) {
	int r = sql_unfold(vm, &v);
	if (r == SL_OK && out->n > SQL_TEXT_MAX)
		r = sql_vm_fail(vm, SL_ELIMIT, "a text would exceed %d MB", SQL_TEXT_MAX >> 20);
	if (r != SL_OK) return r;
	if (v.kind == SQL_NULL) {
		sl_buf_append_str(out, "undefined");
	} else if (sql_is_text(&v)) {
		show_text(sql_value_text(&v), bytes, out);
	} else if (v.kind == SQL_LIST) {
		sl_buf_put(out, '[');
		for (uint32_t i = 0; r == SL_OK && i < v.list->n; i++) {
			if (i) sl_buf_put(out, ',');
			r = show(vm, v.list->at[i], bytes, out);
		}
		sl_buf_put(out, ']');
	} else if (v.kind == SQL_MAP) {
		sl_buf_append_str(out, "#{");
		for (uint32_t i = 0; r == SL_OK && i < v.map->n; i++) {
			if (i) sl_buf_put(out, ',');
			show_text(v.map->at[i].key, bytes, out);
			sl_buf_append_str(out, " => ");
			r = show(vm, v.map->at[i].value, bytes, out);
		}
		sl_buf_put(out, '}');
	} else {
		sql_value_json(&v, out);
	}
	return r;
}

static int put_integer(struct sql_call *c, const struct directive *d, struct sql_value v, struct sl_buf *b) {
	const char *digits =
	    d->letter == 'B' ? "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ" : "0123456789abcdefghijklmnopqrstuvwxyz";
	uint64_t base = d->precision < 0 ? 10 : (uint64_t)d->precision;
	if (v.kind != SQL_INT || base < 2 || base > 36)
		return sql_call_fail(c, "~b needs an integer and a base from 2 to 36");
	char text[70];
	size_t at = sizeof text;
	uint64_t rest = v.i < 0 ? 0 - (uint64_t)v.i : (uint64_t)v.i;
	do text[--at] = digits[rest % base];
	while ((rest /= base) != 0);
	if (v.i < 0) text[--at] = '-';
	put_field(b, d, slice_make(text + at, sizeof text - at));
	return SL_OK;
}

/* Erlang's way with an exponent: so many digits in all, no zeros in the exponent. */
static int write_exponent(char *text, size_t room, int digits, double x) {
	int n = snprintf(text, room, "%.*e", digits - 1, x);
	char *e = n > 0 ? memchr(text, 'e', (size_t)n) : NULL;
	if (!e) return n;
	return (int)(e - text) + snprintf(e, room - (size_t)(e - text), "e%+d", (int)strtol(e + 1, NULL, 10));
}

/* ~g: without an exponent from 0.1 to 10,000; so many digits in all. */
static int write_general(char *text, size_t room, int digits, double x) {
	double size = x < 0 ? -x : x;
	if (size != 0 && (size < 0.1 || size >= 10000)) return write_exponent(text, room, digits, x);
	int before = 1;
	for (double limit = 10; size >= limit && before < 4; limit *= 10) before++;
	int behind = size != 0 && size < 1 ? digits : digits - before;
	return snprintf(text, room, "%.*f", behind > 1 ? behind : 1, x);
}

static int put_float(struct sql_call *c, const struct directive *d, struct sql_value v, struct sl_buf *b) {
	int precision = d->precision < 0 ? 6 : (int)d->precision;
	char text[512];
	if (v.kind != SQL_DOUBLE && v.kind != SQL_INT) return sql_call_fail(c, "~%c needs a number", d->letter);
	if (precision > 100) return sql_call_fail(c, "a precision is at most 100");
	if (d->letter != 'f' && precision < 2) return sql_call_fail(c, "the precision of ~%c is at least 2", d->letter);
	double x = sql_to_double(&v);
	if (!__builtin_isfinite(x)) return sql_call_fail(c, "the number is out of range");
	int n = d->letter == 'e'   ? write_exponent(text, sizeof text, precision, x)
		: d->letter == 'g' ? write_general(text, sizeof text, precision, x)
				   : snprintf(text, sizeof text, "%.*f", precision, x);
	put_field(b, d, slice_make(text, n > 0 ? (size_t)n : 0));
	return SL_OK;
}

static int put_character(struct sql_call *c, const struct directive *d, const struct sql_value *v, struct sl_buf *out) {
	if (v->kind != SQL_INT || v->i < 0 || v->i > 0x10ffff)
		return sql_call_fail(c, "~c needs the number of a character");
	char bytes[4];
	size_t n = utf8_encode((uint32_t)v->i, bytes);
	int64_t times = d->precision >= 0 ? d->precision : d->width >= 0 ? d->width : 1;
	for (int64_t i = 0; i < times; i++) sl_buf_append(out, bytes, n);
	return SL_OK;
}

static int put_argument(struct sql_call *c, const struct directive *d, const struct sql_value *v, struct sl_buf *b) {
	struct sl_buf shown = SL_BUF_INIT;
	int r = SL_OK;
	switch (d->letter) {
	case 'i': return SL_OK;
	case 'b':
	case 'B': return put_integer(c, d, sql_number(*v), b);
	case 'f':
	case 'e':
	case 'g': return put_float(c, d, sql_number(*v), b);
	case 's':
		if (!sql_is_text(v) && v->kind != SQL_BOOL)
			return sql_call_fail(c, "~s needs text, got %s", sql_kind_name(v->kind));
		sql_value_to_text(v, &shown);
		break;
	case 'p':
	case 'w': r = show(c->vm, *v, d->letter == 'w', &shown); break;
	case 'c': r = put_character(c, d, v, &shown); break;
	default: return sql_call_fail(c, "there is no directive ~%c", d->letter);
	}
	if (r == SL_OK) put_field(b, d, sl_buf_slice(&shown));
	sl_buf_fini(&shown);
	return r;
}

/* A format, taken apart: when the rule is made for one that stands there, else for the call. */
struct part {
	struct directive d; /* letter 0: text as it stands */
	uint32_t at, n;
};
struct format {
	struct sl_slice text;
	uint32_t n, wanted; /* arguments */
	struct part parts[];
};

/* How many parts; UINT32_MAX when the format is none. `out` may be NULL. */
static uint32_t take_apart(struct sl_slice text, struct part *out, uint32_t *wanted) {
	uint32_t count = 0;
	*wanted = 0;
	for (struct sl_slice f = text; f.n;) {
		struct part p = {.at = (uint32_t)(f.p - text.p)};
		ptrdiff_t tilde = slice_find_byte(f, '~');
		p.n = tilde < 0 ? (uint32_t)f.n : (uint32_t)tilde;
		f = slice_from(f, p.n);
		if (p.n == 0) {
			f = slice_from(f, 1);
			if (!read_directive(&f, &p.d)) return UINT32_MAX;
			*wanted += p.d.letter != 'n' && p.d.letter != '~';
		}
		if (out) out[count] = p;
		count++;
	}
	return count;
}

static int not_a_format(struct sql_call *c) {
	return sql_call_fail(c, "the format ends within, or holds too large, a directive");
}

static int format_of(struct sql_call *c, struct sl_slice text, const struct format **out) {
	uint32_t wanted;
	*out = c->prepared;
	if (c->prepared) return SL_OK;
	uint32_t n = take_apart(text, NULL, &wanted);
	if (n == UINT32_MAX) return not_a_format(c);
	struct format *f = sl_arena_zalloc(c->arena, sizeof *f + n * sizeof f->parts[0]);
	f->text = text;
	f->n = take_apart(text, f->parts, &f->wanted);
	*out = f;
	return SL_OK;
}

static int fits(struct sql_call *c, const struct format *f, uint32_t n) {
	if (f->wanted > n) return sql_call_fail(c, "the format has more directives than arguments");
	return f->wanted == n ? SL_OK : sql_call_fail(c, "the format uses %u of %u arguments", f->wanted, n);
}

/* A constant format, with as many arguments as the call has. */
static int prepare_format(struct sql_call *c, const struct sql_value *v, void **prepared) {
	uint32_t wanted, n = v && sql_is_text(v) ? take_apart(sql_value_text(v), NULL, &wanted) : 0;
	if (n == 0) return SL_OK;
	if (n == UINT32_MAX) return not_a_format(c);
	size_t size = sizeof(struct format) + n * sizeof(struct part);
	struct format *f = sl_zalloc(size + v->n);
	memcpy((char *)f + size, v->p, v->n);
	f->text = slice_make((char *)f + size, v->n);
	f->n = take_apart(f->text, f->parts, &f->wanted);
	*prepared = f;
	return SL_OK;
}

static int prepare_sprintf(struct sql_call *c, const struct sql_value *const *arg, uint32_t n, void **prepared) {
	int r = prepare_format(c, arg[0], prepared);
	return r == SL_OK && *prepared ? fits(c, *prepared, n - 1) : r;
}
static int prepare_sprintf_s(struct sql_call *c, const struct sql_value *const *arg, uint32_t n, void **prepared) {
	(void)n;
	return prepare_format(c, arg[0], prepared);
}

static void put_mark(const struct directive *d, struct sl_buf *b) {
	int64_t times = d->letter == 'n' && d->width >= 0 ? d->width : 1;
	for (int64_t i = 0; i < times; i++) sl_buf_put(b, d->letter == 'n' ? '\n' : '~');
}

static int format(struct sql_call *c, struct sl_slice text, const struct sql_value *args, uint32_t n,
		  struct sql_value *out) {
	struct sl_buf *b = &c->vm->scratch;
	const struct format *f;
	uint32_t used = 0;
	int r = format_of(c, text, &f);
	if (r == SL_OK) r = fits(c, f, n);
	sl_buf_clear(b);
	for (uint32_t i = 0; r == SL_OK && i < f->n && b->n <= SQL_TEXT_MAX; i++) {
		const struct part *p = &f->parts[i];
		if (p->d.letter == 'n' || p->d.letter == '~')
			put_mark(&p->d, b);
		else if (p->d.letter)
			r = put_argument(c, &p->d, &args[used++], b);
		else
			sl_buf_append_slice(b, slice_sub(f->text, p->at, p->n));
	}
	return r == SL_OK ? sql_call_text(c, b, out) : r;
}

static int fn_sprintf(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	return format(c, sql_value_text(&a[0]), a + 1, n - 1, out);
}
static int fn_sprintf_s(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	return format(c, sql_value_text(&a[0]), a[1].list->at, a[1].list->n, out);
}

/* Numbers bare, all else in quotes, a quote inside doubled as standard SQL wants it. */
static int fn_sql_values(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	struct sl_buf *b = &c->vm->scratch, text = SL_BUF_INIT;
	sl_buf_clear(b);
	for (uint32_t i = 0; i < a[0].list->n && b->n <= SQL_TEXT_MAX; i++) {
		const struct sql_value *v = &a[0].list->at[i];
		if (i) sl_buf_append_str(b, ", ");
		if (sql_is_number(v) || v->kind == SQL_NULL) {
			sql_value_json(v, b);
			continue;
		}
		sl_buf_clear(&text);
		sql_value_to_text(v, &text);
		sl_buf_put(b, '\'');
		for (size_t j = 0; j < text.n; j++) {
			if (text.p[j] == '\'') sl_buf_put(b, '\'');
			sl_buf_put(b, text.p[j]);
		}
		sl_buf_put(b, '\'');
	}
	sl_buf_fini(&text);
	return sql_call_text(c, b, out);
}

static const struct sql_fn table[] = {
    {.name = "sprintf",
     .args = "s?a*",
     .call = fn_sprintf,
     .prepare = prepare_sprintf,
     .release = sl_free,
     .usage = "sprintf(format, arg, ...)",
     .doc =
	 "Text by a format: ~s text, ~b integer, ~.2f float, ~p any value; ~5s and ~-5s for the width, ~3..0b for the "
	 "fill.",
     .errors = "when arguments and format do not fit",
     .example = "sprintf('~s=~.2f ~3..0b', 'a', 3.14159, 7)",
     .gives = "\"a=3.14 007\""},
    {.name = "sprintf_s",
     .args = "sl",
     .call = fn_sprintf_s,
     .prepare = prepare_sprintf_s,
     .release = sl_free,
     .usage = "sprintf_s(format, array)",
     .doc = "The same with the arguments in an array.",
     .errors = "when arguments and format do not fit",
     .example = "sprintf_s('~s-~p', ['a', 1])",
     .gives = "\"a-1\""},
    {.name = "join_to_sql_values_string",
     .args = "l",
     .call = fn_sql_values,
     .usage = "join_to_sql_values_string(array)",
     .doc = "The elements as SQL literals with ', ' between. Parameters are safer: a template knows its target.",
     .example = "join_to_sql_values_string(['it''s', 1])",
     .gives = "\"'it''s', 1\""},
};
const struct sql_fn_family sql_fn_format = {"Formats", table, SL_ARRAY_LEN(table), SQL_STANDARD};
