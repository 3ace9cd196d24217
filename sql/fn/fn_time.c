/* fn_time.c: points in time. A timestamp is an integer in a unit (second, millisecond, microsecond, nanosecond) since
 * 1970 in UTC; an offset is 'Z', '+02:00', '+0200', '+02:00:30' or seconds. "Now" is the wall clock of the loop's turn. */
#include "sql_calendar.h"
#include "sql_rfc3339.h"
#include "sql_vm.h"

#include "mem.h"

/* ---- units and offsets ---- */

static int unit_of(struct sql_call *c, const struct sql_value *v, int64_t *per_second) {
	static const struct {
		const char *name;
		int64_t per_second;
	} units[] = {{"second", 1}, {"millisecond", 1000}, {"microsecond", 1000000}, {"nanosecond", 1000000000}};
	for (size_t i = 0; v->kind == SQL_STRING && i < SL_ARRAY_LEN(units); i++)
		if (slice_equal_str(sql_value_text(v), units[i].name)) {
			*per_second = units[i].per_second;
			return SL_OK;
		}
	return sql_call_fail(c, "the unit is second, millisecond, microsecond or nanosecond");
}

static int offset_of(struct sql_call *c, const struct sql_value *v, int64_t *out) {
	struct sql_value n = sql_number(*v);
	*out = 0;
	if (n.kind == SQL_NULL) return SL_OK;
	if (n.kind == SQL_INT && n.i > -86400 && n.i < 86400) {
		*out = n.i;
		return SL_OK;
	}
	struct sl_slice s = sql_is_text(v) ? sql_value_text(v) : SL_SLICE_EMPTY;
	if (slice_equal_str(s, "local")) return SL_OK; /* the broker keeps UTC */
	if (sql_time_offset(&s, out) && s.n == 0) return SL_OK;
	return sql_call_fail(c, "an offset is written 'Z', '+02:00' or as seconds");
}

/* ---- now ---- */

static int64_t now(const struct sql_call *c, int64_t per_second) {
	int64_t ms = c->vm->in->now_ms;
	return per_second < 1000 ? sql_floor_div(ms, 1000 / per_second) : ms * (per_second / 1000);
}

static int fn_now_timestamp(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	int64_t per_second = 1;
	int r = n ? unit_of(c, &a[0], &per_second) : SL_OK;
	if (r == SL_OK) *out = sql_int(now(c, per_second));
	return r;
}

/* ---- RFC 3339 ---- */

static void two(struct sl_buf *b, int64_t v) { sl_buf_printf(b, "%02d", (int)v); }

static void fraction(struct sl_buf *b, int64_t nanos, int places) {
	char text[16];
	for (int i = 8; i >= 0; i--, nanos /= 10) text[i] = (char)('0' + nanos % 10);
	sl_buf_append(b, text, (size_t)places);
}

/* What is left of a second. (Not by what the whole seconds make, which may not fit.) */
static int64_t nanos_of(int64_t ts, int64_t per_second) {
	int64_t rest = ts % per_second;
	return (rest < 0 ? rest + per_second : rest) * (1000000000 / per_second);
}

static int to_rfc3339(struct sql_call *c, int64_t ts, int64_t per_second, struct sql_value *out) {
	int64_t seconds = sql_floor_div(ts, per_second);
	struct sql_date t = sql_date_of(seconds, nanos_of(ts, per_second));
	struct sl_buf *b = &c->vm->scratch;
	sl_buf_clear(b);
	sl_buf_printf(b, "%04lld-%02d-%02dT%02d:%02d:%02d", (long long)t.year, t.month, t.day, t.hour, t.minute,
		      t.second);
	int places = per_second == 1 ? 0 : per_second == 1000 ? 3 : per_second == 1000000 ? 6 : 9;
	if (places) sl_buf_put(b, '.');
	fraction(b, t.nanos, places);
	sl_buf_append_str(b, "+00:00");
	return sql_call_text(c, b, out);
}

static int fn_now_rfc3339(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	int64_t per_second = 1;
	int r = n ? unit_of(c, &a[0], &per_second) : SL_OK;
	return r == SL_OK ? to_rfc3339(c, now(c, per_second), per_second, out) : r;
}

static int fn_unix_ts_to_rfc3339(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	int64_t per_second = 1;
	int r = n == 2 ? unit_of(c, &a[1], &per_second) : SL_OK;
	return r == SL_OK ? to_rfc3339(c, a[0].i, per_second, out) : r;
}

/* Behind it stands a date of MongoDB: its action writes text of exactly this form as one. */
static int fn_mongo_date(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	int64_t per_second = 1000;
	int r = n == 2 ? unit_of(c, &a[1], &per_second) : SL_OK;
	if (r != SL_OK) return r;
	int64_t ts = n ? a[0].i : now(c, per_second), seconds = sql_floor_div(ts, per_second);
	struct sql_date t = sql_date_of(seconds, nanos_of(ts, per_second));
	*out = sql_string(sl_arena_printf(c->arena, "ISODate(%04lld-%02d-%02dT%02d:%02d:%02d.%03dZ)", (long long)t.year,
					  t.month, t.day, t.hour, t.minute, t.second, (int)(t.nanos / 1000000)));
	return SL_OK;
}

static int stamp(struct sql_call *c, const struct sql_date *t, int64_t offset, int64_t per_second,
		 struct sql_value *out) {
	int64_t ts;
	if (__builtin_mul_overflow(sql_date_seconds(t) - offset, per_second, &ts) ||
	    __builtin_add_overflow(ts, t->nanos / (1000000000 / per_second), &ts))
		return sql_call_fail(c, "the time does not fit 64 bits in this unit");
	*out = sql_int(ts);
	return SL_OK;
}

static int fn_rfc3339_to_unix_ts(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	int64_t per_second = 1, offset;
	struct sql_date date;
	int r = n == 2 ? unit_of(c, &a[1], &per_second) : SL_OK;
	if (r != SL_OK) return r;
	if (!sql_rfc3339_read(sql_value_text(&a[0]), &date, &offset))
		return sql_call_fail(c, "the text is no RFC 3339 time");
	return stamp(c, &date, offset, per_second, out);
}

/* ---- formats ---- */

static void offset_print(struct sl_buf *b, int64_t offset, int form) {
	int64_t o = offset < 0 ? -offset : offset;
	sl_buf_put(b, offset < 0 ? '-' : '+');
	two(b, o / 3600);
	if (form) sl_buf_put(b, ':');
	two(b, o / 60 % 60);
	if (form == 2) {
		sl_buf_put(b, ':');
		two(b, o % 60);
	}
}

/* A format, taken apart: when the rule is made for one that stands there, else for the call. */
struct piece {
	char
	    letter; /* 3, 6 and 9 stand for %3N, %6N and %N; z, ':' and ';' for %z, %:z and %::z; 0: text as it stands */
	uint32_t at, n;
};
struct format {
	struct sl_slice text;
	uint32_t n;
	struct piece pieces[];
};

/* The directive at the front of s, which begins with '%', and its length; 0: none. */
static char directive(struct sl_slice s, uint32_t *n) {
	static const struct {
		const char *text;
		char letter;
	} all[] = {{"%Y", 'Y'}, {"%m", 'm'},  {"%d", 'd'},  {"%H", 'H'}, {"%M", 'M'},  {"%S", 'S'},
		   {"%N", '9'}, {"%3N", '3'}, {"%6N", '6'}, {"%z", 'z'}, {"%:z", ':'}, {"%::z", ';'}};
	for (size_t i = 0; i < SL_ARRAY_LEN(all); i++)
		if (slice_starts_with(s, slice_from_str(all[i].text))) {
			*n = (uint32_t)strlen(all[i].text);
			return all[i].letter;
		}
	*n = 1;
	return '\0';
}

/* How many pieces; `out` may be NULL. */
static uint32_t take_apart(struct sl_slice text, struct piece *out) {
	uint32_t count = 0, len;
	bool literal = false; /* the piece before is text that goes on */
	for (uint32_t at = 0; at < text.n; at += len) {
		char letter = '\0';
		len = 1;
		if (text.p[at] == '%') letter = directive(slice_from(text, at), &len);
		if (letter || !literal) count++;
		if (out && (letter || !literal)) out[count - 1] = (struct piece){.letter = letter, .at = at};
		if (out) out[count - 1].n += len;
		literal = !letter;
	}
	return count;
}

static size_t format_size(struct sl_slice text, uint32_t *pieces) {
	*pieces = take_apart(text, NULL);
	return sizeof(struct format) + *pieces * sizeof(struct piece);
}

static const struct format *format_of(struct sql_call *c, const struct sql_value *v) {
	if (c->prepared) return c->prepared;
	uint32_t n;
	struct format *f = sl_arena_zalloc(c->arena, format_size(sql_value_text(v), &n));
	f->text = sql_value_text(v);
	f->n = take_apart(f->text, f->pieces);
	return f;
}

static void format_prepare(const struct sql_value *v, void **prepared) {
	if (!v || !sql_is_text(v)) return;
	uint32_t n;
	size_t size = format_size(sql_value_text(v), &n);
	struct format *f = sl_zalloc(size + v->n);
	if (v->n) memcpy((char *)f + size, v->p, v->n);
	f->text = slice_make((char *)f + size, v->n);
	f->n = take_apart(f->text, f->pieces);
	*prepared = f;
}

static struct sl_slice piece_text(const struct format *f, const struct piece *p) {
	return slice_sub(f->text, p->at, p->n);
}

static void print_directive(struct sl_buf *b, char letter, const struct sql_date *t, int64_t offset) {
	switch (letter) {
	case 'Y': sl_buf_printf(b, "%04lld", (long long)t->year); break;
	case 'm': two(b, t->month); break;
	case 'd': two(b, t->day); break;
	case 'H': two(b, t->hour); break;
	case 'M': two(b, t->minute); break;
	case 'S': two(b, t->second); break;
	case '3': fraction(b, t->nanos, 3); break;
	case '6': fraction(b, t->nanos, 6); break;
	case '9': fraction(b, t->nanos, 9); break;
	case 'z': offset_print(b, offset, 0); break;
	case ':': offset_print(b, offset, 1); break;
	case ';': offset_print(b, offset, 2); break;
	}
}

static int prepare_format_date(struct sql_call *c, const struct sql_value *const *arg, uint32_t n, void **prepared) {
	(void)c, (void)n;
	format_prepare(arg[2], prepared);
	return SL_OK;
}

static int fn_format_date(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	int64_t per_second, offset, local;
	int r = unit_of(c, &a[0], &per_second);
	if (r == SL_OK) r = offset_of(c, &a[1], &offset);
	if (r != SL_OK) return r;
	int64_t ts = n == 4 ? a[3].i : now(c, per_second), seconds = sql_floor_div(ts, per_second);
	if (__builtin_add_overflow(seconds, offset, &local))
		return sql_call_fail(c, "the time does not fit 64 bits with this offset");
	struct sql_date t = sql_date_of(local, nanos_of(ts, per_second));
	const struct format *f = format_of(c, &a[2]);
	struct sl_buf *b = &c->vm->scratch;
	sl_buf_clear(b);
	for (uint32_t i = 0; i < f->n && b->n <= SQL_TEXT_MAX; i++)
		if (f->pieces[i].letter)
			print_directive(b, f->pieces[i].letter, &t, offset);
		else
			sl_buf_append_slice(b, piece_text(f, &f->pieces[i]));
	return sql_call_text(c, b, out);
}

/* Reads one directive's field; `seen` gets its bit. */
static bool read_directive(struct sl_slice *s, char letter, struct sql_date *t, int64_t *offset, unsigned *seen) {
	static const char letters[] = "YmdHMS";
	int64_t v;
	if (letter == 'z' || letter == ':' || letter == ';') return sql_time_offset(s, offset);
	if (letter >= '3' && letter <= '9') {
		if (!sql_time_digits(s, letter - '0', &v)) return false;
		t->nanos = letter == '3' ? v * 1000000 : letter == '6' ? v * 1000 : v;
		return true;
	}
	if (!sql_time_digits(s, letter == 'Y' ? 4 : 2, &v)) return false;
	*seen |= 1u << (strchr(letters, letter) - letters);
	if (letter == 'Y') t->year = v;
	if (letter == 'm') t->month = (int)v;
	if (letter == 'd') t->day = (int)v;
	if (letter == 'H') t->hour = (int)v;
	if (letter == 'M') t->minute = (int)v;
	if (letter == 'S') t->second = (int)v;
	return true;
}

static int prepare_date_to_unix_ts(struct sql_call *c, const struct sql_value *const *arg, uint32_t n,
				   void **prepared) {
	(void)c;
	format_prepare(arg[n - 2], prepared);
	return SL_OK;
}

/* (unit, format, text) or (unit, offset, format, text) */
static int fn_date_to_unix_ts(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	enum { ALL_FIELDS = 63 };
	int64_t per_second, offset = 0;
	int r = unit_of(c, &a[0], &per_second);
	if (r == SL_OK && n == 4) r = offset_of(c, &a[1], &offset);
	if (r != SL_OK) return r;
	if (!sql_is_text(&a[n - 1]) || !sql_is_text(&a[n - 2])) return sql_call_fail(c, "format and time must be text");
	const struct format *f = format_of(c, &a[n - 2]);
	struct sql_date t = {.nanos = 0};
	unsigned seen = 0;
	struct sl_slice s = sql_value_text(&a[n - 1]);
	bool ok = true;
	for (uint32_t i = 0; ok && i < f->n; i++) {
		const struct piece *p = &f->pieces[i];
		if (p->letter) {
			ok = read_directive(&s, p->letter, &t, &offset, &seen);
		} else { /* literal characters are stepped over, not compared */
			ok = s.n >= p->n;
			s = slice_from(s, p->n);
		}
	}
	if (!ok || s.n || seen != ALL_FIELDS || !sql_date_valid(&t))
		return sql_call_fail(c, "the text does not fit the format, which needs %%Y %%m %%d %%H %%M %%S");
	return stamp(c, &t, offset, per_second, out);
}

static int fn_timezone(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	int64_t offset;
	int r = offset_of(c, &a[0], &offset);
	if (r == SL_OK) *out = sql_int(offset);
	return r;
}

static const struct sql_fn table[] = {
    {.name = "now_timestamp",
     .args = "?a",
     .varies = true,
     .call = fn_now_timestamp,
     .usage = "now_timestamp([unit])",
     .doc = "The time now, in seconds or the unit named.",
     .errors = "for another unit than second, millisecond, microsecond and nanosecond",
     .example = "now_timestamp() > 0",
     .gives = "true"},
    {.name = "now_rfc3339",
     .args = "?a",
     .varies = true,
     .call = fn_now_rfc3339,
     .usage = "now_rfc3339([unit])",
     .doc = "The time now as text, to the second or the unit named.",
     .errors = "for another unit than second, millisecond, microsecond and nanosecond",
     .example = "strlen(now_rfc3339())",
     .gives = "25"},
    {.name = "unix_ts_to_rfc3339",
     .args = "i?a",
     .call = fn_unix_ts_to_rfc3339,
     .usage = "unix_ts_to_rfc3339(timestamp [, unit])",
     .doc = "The time as text, in UTC.",
     .errors = "for another unit than second, millisecond, microsecond and nanosecond",
     .example = "unix_ts_to_rfc3339(1700000000)",
     .gives = "\"2023-11-14T22:13:20+00:00\""},
    {.name = "rfc3339_to_unix_ts",
     .args = "s?a",
     .call = fn_rfc3339_to_unix_ts,
     .usage = "rfc3339_to_unix_ts(text [, unit])",
     .doc = "The timestamp of a time written as in RFC 3339.",
     .errors = "for other text or another unit, and when the result does not fit 64 bits",
     .example = "rfc3339_to_unix_ts('2024-01-01T08:00:00+08:00')",
     .gives = "1704067200"},
    {.name = "format_date",
     .args = "aas?i",
     .varies = true,
     .call = fn_format_date,
     .prepare = prepare_format_date,
     .release = sl_free,
     .usage = "format_date(unit, offset, format [, timestamp])",
     .doc = "The time (now, if none is given) by %Y %m %d %H %M %S %3N %6N %N %z %:z %::z.",
     .errors = "for another unit or offset",
     .example = "format_date('second', '+08:00', '%H:%M %:z', 1700000000)",
     .gives = "\"06:13 +08:00\""},
    {.name = "date_to_unix_ts",
     .args = "aaa?a",
     .call = fn_date_to_unix_ts,
     .prepare = prepare_date_to_unix_ts,
     .release = sl_free,
     .usage = "date_to_unix_ts(unit, [offset,] format, text)",
     .doc = "The timestamp of a time written in a format as format_date() takes.",
     .errors = "for another unit or offset, and when the text does not fit the format, which needs %Y %m %d %H %M %S",
     .example = "date_to_unix_ts('second', '%Y-%m-%d %H:%M:%S', '2022-05-26 10:40:12')",
     .gives = "1653561612"},
    {.name = "mongo_date",
     .args = "?ia",
     .varies = true,
     .call = fn_mongo_date,
     .usage = "mongo_date([timestamp [, unit]])",
     .doc = "The time (now, if none is given; in milliseconds, if no unit is) as text ISODate(...), which MongoDB's "
	    "action "
	    "stores as a date.",
     .errors = "for another unit than second, millisecond, microsecond and nanosecond",
     .example = "mongo_date(1700000000000)",
     .gives = "\"ISODate(2023-11-14T22:13:20.000Z)\""},
    {.name = "timezone_to_offset_seconds",
     .args = "a",
     .call = fn_timezone,
     .usage = "timezone_to_offset_seconds(offset)",
     .doc = "The seconds that an offset stands for.",
     .errors = "for other text",
     .example = "timezone_to_offset_seconds('-08:00')",
     .gives = "-28800"},
    {.name = "timezone_to_second",
     .args = "a",
     .call = fn_timezone,
     .usage = "timezone_to_second(offset)",
     .doc = "The same.",
     .errors = "for other text",
     .example = "timezone_to_second('+0530')",
     .gives = "19800"},
};
const struct sql_fn_family sql_fn_time = {"Time", table, SL_ARRAY_LEN(table), SQL_STANDARD};
