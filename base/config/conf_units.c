#include "conf_units.h"

#include <string.h>

#include "field.h"

struct unit {
	const char *name;
	int64_t factor;
};
/* Largest first: writing takes the first that divides. */
static const struct unit duration_units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
static const struct unit size_units[] = {
    {"TB", (int64_t)1 << 40}, {"GB", 1 << 30}, {"MB", 1 << 20}, {"KB", 1 << 10}, {"B", 1}};
/* Read, never written. */
static const struct unit size_aliases[] = {
    {"TiB", (int64_t)1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
    {"T", (int64_t)1 << 40},   {"G", 1 << 30},   {"M", 1 << 20},   {"K", 1 << 10}};

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static struct sl_slice take_while(struct sl_slice *s, bool (*want)(char)) {
	size_t n = 0;
	while (n < s->n && want(s->p[n])) n++;
	struct sl_slice taken = slice_sub(*s, 0, n);
	*s = slice_from(*s, n);
	return taken;
}

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static bool is_blank(char c) { return c == ' '; }

static const struct unit *find_unit(const struct unit *units, size_t count, struct sl_slice name, bool nocase) {
	for (size_t i = 0; i < count; i++) {
		struct sl_slice u = slice_from_str(units[i].name);
		if (nocase ? slice_equal_nocase(u, name) : slice_equal(u, name)) return &units[i];
	}
	return NULL;
}

/* "12" or "1.5" off the front of *s. The fraction is kept as digits over a power of ten: no rounding. */
static bool take_number(struct sl_slice *s, int64_t *whole, int64_t *fraction, int64_t *scale) {
	struct sl_slice digits = take_while(s, is_digit), after = SL_SLICE_EMPTY;
	*fraction = 0;
	*scale = 1;
	if (digits.n == 0 || slice_to_i64(digits, whole) != SL_OK) return false;
	if (s->n == 0 || s->p[0] != '.') return true;
	*s = slice_from(*s, 1);
	after = take_while(s, is_digit);
	if (after.n == 0 || after.n > 9) return false;
	for (size_t i = 0; i < after.n; i++) *scale *= 10;
	return slice_to_i64(after, fraction) == SL_OK;
}

/* whole.fraction * factor, when that is a whole number that fits. */
static bool scale_exactly(int64_t whole, int64_t fraction, int64_t scale, int64_t factor, int64_t *out) {
	int64_t part;
	if (__builtin_mul_overflow(fraction, factor, &part) || part % scale != 0) return false;
	return !__builtin_mul_overflow(whole, factor, out) && !__builtin_add_overflow(*out, part / scale, out);
}

static int not_a_duration(struct sl_slice text, struct sl_err *err) {
	return sl_err_set(err, SL_ETYPE,
			  "'%.*s' is not a duration: write a number with ms, s, m, h or d, for example 5ms or 1h30m",
			  SL_SLICE_ARG(slice_sub(text, 0, 80)));
}

int conf_parse_duration(struct sl_slice text, int64_t *ms, struct sl_err *err) {
	struct sl_slice rest = text;
	int64_t total = 0;
	*ms = 0;
	if (slice_equal_str(text, "0")) return SL_OK;
	if (rest.n == 0) return not_a_duration(text, err);
	while (rest.n > 0) {
		int64_t whole, fraction, scale, part;
		if (!take_number(&rest, &whole, &fraction, &scale)) return not_a_duration(text, err);
		take_while(&rest, is_blank);
		const struct unit *u =
		    find_unit(duration_units, SL_ARRAY_LEN(duration_units), take_while(&rest, is_letter), false);
		if (!u || !scale_exactly(whole, fraction, scale, u->factor, &part)) return not_a_duration(text, err);
		if (__builtin_add_overflow(total, part, &total)) return not_a_duration(text, err);
	}
	*ms = total;
	return SL_OK;
}

int conf_parse_size(struct sl_slice text, int64_t *bytes, struct sl_err *err) {
	struct sl_slice rest = text;
	int64_t whole, fraction, scale;
	if (take_number(&rest, &whole, &fraction, &scale)) {
		take_while(&rest, is_blank);
		struct sl_slice name = rest.n ? take_while(&rest, is_letter) : SL_SLICE_LIT("B");
		const struct unit *u = find_unit(size_units, SL_ARRAY_LEN(size_units), name, true);
		if (!u) u = find_unit(size_aliases, SL_ARRAY_LEN(size_aliases), name, true);
		if (u && rest.n == 0 && scale_exactly(whole, fraction, scale, u->factor, bytes)) return SL_OK;
	}
	return sl_err_set(err, SL_ETYPE,
			  "'%.*s' is not a size: write a number with B, KB, MB, GB or TB, for example 64KB",
			  SL_SLICE_ARG(slice_sub(text, 0, 80)));
}

int conf_parse_percent(struct sl_slice text, double *percent, struct sl_err *err) {
	struct sl_slice number = text.n ? slice_trim(slice_sub(text, 0, text.n - 1)) : text;
	bool ok = text.n && text.p[text.n - 1] == '%' && number.n && is_digit(number.p[0]) &&
		  slice_to_double(number, percent) == SL_OK && *percent <= 100;
	if (ok) return SL_OK;
	return sl_err_set(err, SL_ETYPE, "'%.*s' is not a percentage: write 0%% to 100%%, for example 80%%",
			  SL_SLICE_ARG(slice_sub(text, 0, 80)));
}

int conf_parse_bind(struct sl_slice text, struct sl_slice *host, uint16_t *port, struct sl_err *err) {
	const char *colon = text.n ? memrchr(text.p, ':', text.n) : NULL;
	int64_t number;
	if (colon && slice_to_i64(slice_from(text, (size_t)(colon - text.p) + 1), &number) == SL_OK &&
	    is_digit(colon[1]) && number <= UINT16_MAX) {
		struct sl_slice h = slice_sub(text, 0, (size_t)(colon - text.p));
		bool bracketed = h.n >= 2 && h.p[0] == '[' && h.p[h.n - 1] == ']';
		if (bracketed) h = slice_sub(h, 1, h.n - 2);
		/* "::1:1883" could be read in two ways. */
		if (bracketed == (slice_find_byte(h, ':') >= 0) && slice_find_byte(h, ' ') < 0) {
			*host = h;
			*port = (uint16_t)number;
			return SL_OK;
		}
	}
	return sl_err_set(
	    err, SL_EINVAL,
	    "'%.*s' is not an address with a port: write for example 127.0.0.1:1883, [::1]:1883 or :1883 for "
	    "all addresses",
	    SL_SLICE_ARG(slice_sub(text, 0, 80)));
}

void conf_write_duration(struct sl_buf *out, int64_t ms) {
	if (ms == CONF_UNLIMITED) {
		sl_buf_append_str(out, "unlimited");
		return;
	}
	if (ms <= 0) sl_buf_append_str(out, "0");
	for (size_t i = 0; i < SL_ARRAY_LEN(duration_units) && ms > 0; i++) {
		int64_t count = ms / duration_units[i].factor;
		if (count > 0) sl_buf_printf(out, "%lld%s", (long long)count, duration_units[i].name);
		ms %= duration_units[i].factor;
	}
}

void conf_write_size(struct sl_buf *out, int64_t bytes) {
	if (bytes == CONF_UNLIMITED) {
		sl_buf_append_str(out, "unlimited");
		return;
	}
	for (size_t i = 0; i < SL_ARRAY_LEN(size_units); i++) {
		if (bytes % size_units[i].factor != 0 || (bytes == 0 && size_units[i].factor > 1)) continue;
		sl_buf_printf(out, "%lld%s", (long long)(bytes / size_units[i].factor), size_units[i].name);
		return;
	}
}
