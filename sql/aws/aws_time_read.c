/* aws_time_read.c: dates by java.time's patterns; see aws_time.h.
 *
 * Understood: G u y D M L d E e a h K k H m s S A n N V z O X x Z, [ ] for what may be missing, quotations. Fields of weeks
 * (w W Y), quarters, p and narrow forms are not: such a pattern is none. */
#include "aws_time.h"
#include "sql_calendar.h"

enum { TOKENS_MAX = 128, OPTIONAL_MAX = 8, NANOS = 1000000000 };
enum field {
	ERA,
	YEAR,
	YEAR_OF_ERA,
	MONTH,
	DAY,
	DAY_OF_YEAR,
	WEEKDAY,
	HALF,
	HOUR,
	HOUR_24,
	HOUR_OF_HALF,
	HOUR_12,
	MINUTE,
	SECOND,
	NANO,
	MILLI_OF_DAY,
	NANO_OF_DAY,
	FIELDS
};

struct reading {
	struct sl_slice rest;
	uint32_t has; /* bit per field */
	int64_t value[FIELDS];
	bool has_offset, has_zone;
	int32_t offset;
	struct aws_zone zone;
};

static bool set(struct reading *r, enum field f, int64_t v) {
	if (r->has >> f & 1 && r->value[f] != v) return false; /* said twice, and differently */
	r->has |= 1u << f;
	r->value[f] = v;
	return true;
}
static bool has(const struct reading *r, enum field f) { return r->has >> f & 1; }

/* ---- numbers ---- */

/* How a numeric letter is read: from least to most digits. Letters of text have most 0. */
struct shape {
	enum field field;
	int least, most;
	bool is_sum; /* a year may have a sign */
};
static bool shape_of(const struct aws_time_token *t, struct shape *s) {
	static const struct {
		char letter;
		uint8_t field;
	} fields[] = {{'u', YEAR},        {'y', YEAR_OF_ERA}, {'M', MONTH},   {'L', MONTH},        {'d', DAY},
		      {'D', DAY_OF_YEAR}, {'H', HOUR},        {'k', HOUR_24}, {'K', HOUR_OF_HALF}, {'h', HOUR_12},
		      {'m', MINUTE},      {'s', SECOND},      {'S', NANO},    {'n', NANO},         {'A', MILLI_OF_DAY},
		      {'N', NANO_OF_DAY}, {'e', WEEKDAY}};
	size_t i = 0;
	while (i < SL_ARRAY_LEN(fields) && fields[i].letter != t->letter) i++;
	*s = (struct shape){0};
	if (i == SL_ARRAY_LEN(fields)) return false;
	int n = t->count > 19 ? 20 : (int)t->count;
	s->field = (enum field)fields[i].field;
	s->least = n;
	s->most = n == 1 ? 18 : n;
	if (t->letter == 'u' || t->letter == 'y') {
		s->is_sum = true;
		s->most = n == 2 ? 2 : 18;
		return n < 19;
	}
	if (strchr("AnN", t->letter)) {
		s->most = 18;
		return n < 19;
	}
	if (t->letter == 'S') {
		s->most = n;
		return n <= 9;
	}
	if (t->letter == 'D') {
		s->most = n == 1 ? 18 : 3;
		return n <= 3;
	}
	if (n > 2) s->most = 0;
	return n <= 2;
}

static size_t digit_run(struct sl_slice s, size_t most) {
	size_t n = 0;
	while (n < s.n && n < most && s.p[n] >= '0' && s.p[n] <= '9') n++;
	return n;
}
static int64_t take_digits(struct sl_slice *s, size_t n) {
	int64_t v = 0;
	for (size_t i = 0; i < n; i++) v = v * 10 + (s->p[i] - '0');
	*s = slice_from(*s, n);
	return v;
}

/* Digits that the following fields of fixed width need: yyyyMMdd. */
static size_t reserved(const struct aws_time_token *t, const struct aws_time_token *end) {
	struct shape s;
	size_t n = 0;
	for (t++; t < end && t->letter && shape_of(t, &s) && s.most && s.least == s.most; t++) n += (size_t)s.least;
	return n;
}

static bool read_number(struct reading *r, const struct aws_time_token *t, const struct aws_time_token *end,
			const struct shape *s) {
	bool negative = false, plus = false;
	if (s->is_sum && r->rest.n && (r->rest.p[0] == '-' || r->rest.p[0] == '+')) {
		negative = r->rest.p[0] == '-';
		plus = !negative;
		r->rest = slice_from(r->rest, 1);
	}
	/* a year of four digits has more of them only behind a plus */
	size_t most = (size_t)(s->is_sum && s->least >= 4 && !plus && !negative ? s->least : s->most);
	size_t n = digit_run(r->rest, r->rest.n), keep = s->least == s->most ? 0 : reserved(t, end);
	n = sl_min_size(n > keep ? n - keep : 0, most);
	if (n < (size_t)s->least) return false;
	int64_t v = take_digits(&r->rest, n);
	if (t->letter == 'S')
		for (size_t i = n; i < 9; i++) v *= 10;
	if (s->is_sum && t->count == 2) v += 2000;
	if (t->letter == 'e') v = (v + 5) % 7 + 1; /* Sunday is 1 in the pattern's locale; Monday here */
	return set(r, s->field, negative ? -v : v);
}

/* ---- words ---- */

static bool take_word(struct sl_slice *s, struct sl_slice word) {
	if (!slice_starts_with(*s, word)) return false;
	*s = slice_from(*s, word.n);
	return true;
}

static bool read_name(struct reading *r, enum field f, const char *const *names, int n, bool full) {
	for (int i = 0; i < n; i++) {
		struct sl_slice name = slice_from_str(names[i]);
		if (take_word(&r->rest, full ? name : slice_sub(name, 0, 3))) return set(r, f, i + 1);
	}
	return false;
}

static bool read_pair(struct reading *r, enum field f, const char *zero, const char *one) {
	if (take_word(&r->rest, slice_from_str(zero))) return set(r, f, 0);
	return take_word(&r->rest, slice_from_str(one)) && set(r, f, 1);
}

/* ---- zones ---- */

static bool set_offset(struct reading *r, int32_t offset) {
	if (r->has_offset && r->offset != offset) return false;
	r->has_offset = true;
	r->offset = offset;
	return true;
}

/* +hh, then minutes and maybe seconds, with colons or without. */
static bool read_offset(struct reading *r, bool colon, bool minutes, bool seconds) {
	struct sl_slice s = r->rest;
	if (s.n < 3 || (s.p[0] != '+' && s.p[0] != '-')) return false;
	bool negative = s.p[0] == '-';
	s = slice_from(s, 1);
	if (digit_run(s, 2) != 2) return false;
	int64_t part[3] = {take_digits(&s, 2), 0, 0};
	for (int i = 1; i <= (seconds ? 2 : 1); i++) {
		struct sl_slice more = s;
		bool there = (!colon || take_word(&more, SL_SLICE_LIT(":"))) && digit_run(more, 2) == 2;
		if (!there && i == 1 && minutes) return false;
		if (!there) break;
		part[i] = take_digits(&more, 2);
		s = more;
	}
	if (part[0] > 18 || part[1] > 59 || part[2] > 59) return false;
	r->rest = s;
	int32_t offset = (int32_t)(part[0] * 3600 + part[1] * 60 + part[2]);
	return set_offset(r, negative ? -offset : offset);
}

/* O and OOOO, and ZZZZ: GMT, GMT+8, GMT+08:00 */
static bool read_gmt(struct reading *r, bool full) {
	if (!take_word(&r->rest, SL_SLICE_LIT("GMT"))) return false;
	if (r->rest.n == 0 || (r->rest.p[0] != '+' && r->rest.p[0] != '-')) return set_offset(r, 0);
	if (full) return read_offset(r, true, true, true);
	bool negative = r->rest.p[0] == '-';
	struct sl_slice s = slice_from(r->rest, 1);
	size_t n = digit_run(s, 2);
	if (n == 0) return false;
	int32_t offset = (int32_t)take_digits(&s, n) * 3600;
	if (s.n > 2 && s.p[0] == ':' && digit_run(slice_from(s, 1), 2) == 2) {
		s = slice_from(s, 1);
		offset += (int32_t)take_digits(&s, 2) * 60;
	}
	r->rest = s;
	return offset <= 18 * 3600 && set_offset(r, negative ? -offset : offset);
}

/* What Java's English names of zones stand for; daylight saving is the date's business. */
static struct sl_slice zone_of_letters(struct sl_slice letters) {
	static const char *const zones[][3] = {
	    {"PST", "PDT", "America/Los_Angeles"}, {"MST", "MDT", "America/Denver"},
	    {"CST", "CDT", "America/Chicago"},     {"EST", "EDT", "America/New_York"},
	    {"AKST", "AKDT", "America/Anchorage"}, {"HST", "HDT", "Pacific/Honolulu"},
	    {"CET", "CEST", "Europe/Paris"},       {"EET", "EEST", "Europe/Bucharest"},
	    {"WET", "WEST", "Europe/Lisbon"},      {"BST", "BST", "Europe/London"},
	    {"JST", "JST", "Asia/Tokyo"},          {"IST", "IST", "Asia/Kolkata"},
	    {"MSK", "MSK", "Europe/Moscow"},       {"KST", "KST", "Asia/Seoul"},
	    {"AEST", "AEDT", "Australia/Sydney"},
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(zones); i++)
		if (slice_equal_str(letters, zones[i][0]) || slice_equal_str(letters, zones[i][1]))
			return slice_from_str(zones[i][2]);
	return letters;
}

static bool read_zone(struct reading *r, bool letters) {
	size_t n = 0;
	while (n < r->rest.n && n < 64) {
		char c = r->rest.p[n];
		bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
			    c == '/' || c == '+' || c == '-' || c == ':';
		if (!word) break;
		n++;
	}
	struct sl_slice name = slice_sub(r->rest, 0, n);
	if (!aws_zone_find(letters ? zone_of_letters(name) : name, &r->zone)) return false;
	r->rest = slice_from(r->rest, n);
	r->has_zone = true;
	return true;
}

static bool read_long_zone(struct reading *r) {
	const char *name = aws_zone_of_long_name(&r->rest);
	if (!name) return read_zone(r, true);
	r->has_zone = aws_zone_find(slice_from_str(name), &r->zone);
	return r->has_zone;
}

static bool read_zone_field(struct reading *r, char letter, size_t n) {
	bool zulu = letter == 'X' || (letter == 'Z' && n == 5);
	if (n > 5) return false;
	if (letter == 'V') return n == 2 && read_zone(r, false);
	if (letter == 'z' && n == 4) return read_long_zone(r);
	if (letter == 'z') return n < 4 && read_zone(r, true);
	if (letter == 'O') return (n == 1 || n == 4) && read_gmt(r, n == 4);
	if (letter == 'Z' && n == 4) return read_gmt(r, true);
	if (zulu && take_word(&r->rest, SL_SLICE_LIT("Z"))) return set_offset(r, 0);
	if (letter == 'Z') return read_offset(r, n == 5, true, n == 5);
	return read_offset(r, n == 3 || n == 5, n > 1, n > 3);
}

/* ---- a pattern ---- */

static bool read_field(struct reading *r, const struct aws_time_token *t, const struct aws_time_token *end) {
	size_t n = t->count;
	struct shape s;
	if (shape_of(t, &s)) return read_number(r, t, end, &s);
	switch (t->letter) {
	case 'M':
	case 'L': return (n == 3 || n == 4) && read_name(r, MONTH, aws_month_names, 12, n == 4);
	case 'E': return n <= 4 && read_name(r, WEEKDAY, aws_weekday_names, 7, n == 4);
	case 'e': return (n == 3 || n == 4) && read_name(r, WEEKDAY, aws_weekday_names, 7, n == 4);
	case 'a': return n == 1 && read_pair(r, HALF, "AM", "PM");
	case 'G':
		if (n == 4) return read_pair(r, ERA, "Before Christ", "Anno Domini");
		return n < 4 && read_pair(r, ERA, "BC", "AD");
	case 'V':
	case 'z':
	case 'O':
	case 'X':
	case 'x':
	case 'Z': return read_zone_field(r, t->letter, n);
	}
	return false;
}

static bool is_bracket(const struct aws_time_token *t, char c) {
	return t->letter == 0 && t->count && t->text.p[0] == c;
}

/* The token behind the bracket that closes the one at t. */
static const struct aws_time_token *behind_optional(const struct aws_time_token *t, const struct aws_time_token *end) {
	int depth = 0;
	for (; t < end; t++) {
		depth += is_bracket(t, '[');
		depth -= is_bracket(t, ']');
		if (depth == 0) return t + 1;
	}
	return end; /* an open one ends with the pattern */
}

static bool read_tokens(struct reading *r, const struct aws_time_token *t, const struct aws_time_token *end) {
	struct {
		struct reading at;
		const struct aws_time_token *behind;
	} open[OPTIONAL_MAX];
	int depth = 0;
	while (t < end) {
		bool fits = true;
		if (is_bracket(t, '[')) {
			if (depth == OPTIONAL_MAX) return false;
			open[depth].at = *r;
			open[depth++].behind = behind_optional(t, end);
		} else if (is_bracket(t, ']')) {
			if (depth-- == 0) return false;
		} else {
			fits = t->letter ? read_field(r, t, end) : take_word(&r->rest, t->text);
		}
		t++;
		if (fits) continue;
		if (depth == 0) return false;
		*r = open[--depth].at; /* then it is not there */
		t = open[depth].behind;
	}
	return true;
}

static bool tokens_of(struct sl_slice pattern, struct aws_time_token *tokens, size_t *n) {
	int r = 0;
	*n = 0;
	if (pattern.n == 0 || pattern.n > AWS_TIME_PATTERN_MAX) return false;
	while (*n < TOKENS_MAX) {
		bool quoted = pattern.n && pattern.p[0] == '\'';
		if ((r = aws_time_next(&pattern, &tokens[*n])) != 1) break;
		struct aws_time_token *t = &tokens[*n];
		if (t->letter == 0) {
			t->count = !quoted &&
				   (t->text.p[0] == '[' || t->text.p[0] == ']'); /* a bracket that means something */
			for (size_t i = 0; i < t->text.n && !quoted; i++)
				if (strchr("{}#", t->text.p[i])) return false;
		}
		++*n;
	}
	return r == 0;
}

/* ---- from fields to a time ---- */

static bool in_range(const struct reading *r) {
	static const struct {
		uint8_t field;
		int64_t least, most;
	} ranges[] = {{YEAR, -999999999, 999999999},
		      {YEAR_OF_ERA, 1, 999999999},
		      {MONTH, 1, 12},
		      {DAY, 1, 31},
		      {DAY_OF_YEAR, 1, 366},
		      {HOUR, 0, 24},
		      {HOUR_24, 1, 24},
		      {HOUR_OF_HALF, 0, 11},
		      {HOUR_12, 1, 12},
		      {MINUTE, 0, 59},
		      {SECOND, 0, 59},
		      {NANO, 0, NANOS - 1},
		      {MILLI_OF_DAY, 0, 86399999},
		      {NANO_OF_DAY, 0, INT64_C(86399999999999)},
		      {WEEKDAY, 1, 7}};
	for (size_t i = 0; i < SL_ARRAY_LEN(ranges); i++) {
		int64_t v = r->value[ranges[i].field];
		if (has(r, (enum field)ranges[i].field) && (v < ranges[i].least || v > ranges[i].most)) return false;
	}
	return true;
}

static bool days_of(struct reading *r, int64_t *out) {
	if (has(r, YEAR_OF_ERA)) {
		int64_t y = r->value[YEAR_OF_ERA];
		if (!set(r, YEAR, has(r, ERA) && r->value[ERA] == 0 ? 1 - y : y)) return false;
	}
	if (!has(r, YEAR)) return false;
	int64_t year = r->value[YEAR];
	if (has(r, MONTH) && has(r, DAY)) {
		int month = (int)r->value[MONTH], length = sql_month_length(year, month);
		int day = r->value[DAY] > length ? length : (int)r->value[DAY]; /* 31 April is its last day */
		*out = sql_days_from_civil(year, month, day);
	} else if (has(r, DAY_OF_YEAR) && r->value[DAY_OF_YEAR] <= 365 + sql_leap_year(year)) {
		*out = sql_days_from_civil(year, 1, 1) + r->value[DAY_OF_YEAR] - 1;
	} else {
		return false;
	}
	return !has(r, WEEKDAY) || ((*out + 3) % 7 + 7) % 7 + 1 == r->value[WEEKDAY];
}

/* The hour, of whichever fields say it; false when they do not fit each other. */
static bool hour_of(struct reading *r, bool *known) {
	if (has(r, HOUR_24) && !set(r, HOUR, r->value[HOUR_24] % 24)) return false;
	if (has(r, HOUR_12) && !set(r, HOUR_OF_HALF, r->value[HOUR_12] % 12)) return false;
	if (has(r, HOUR_OF_HALF)) {
		if (!has(r, HALF)) return false;
		if (!set(r, HOUR, r->value[HOUR_OF_HALF] + 12 * r->value[HALF])) return false;
	}
	*known = has(r, HOUR);
	return !*known || !has(r, HALF) || r->value[HOUR] / 12 == r->value[HALF];
}

static bool nanos_of_day(struct reading *r, int64_t *out) {
	bool known;
	*out = 0;
	if (!hour_of(r, &known)) return false;
	if (has(r, NANO_OF_DAY) || has(r, MILLI_OF_DAY)) {
		*out = has(r, NANO_OF_DAY) ? r->value[NANO_OF_DAY] : r->value[MILLI_OF_DAY] * 1000000;
		return true;
	}
	bool parts = has(r, MINUTE) || has(r, SECOND) || has(r, NANO);
	if (!known) return !parts && !has(r, HALF); /* a date alone begins at midnight */
	int64_t rest = (r->value[MINUTE] * 60 + r->value[SECOND]) * NANOS + r->value[NANO];
	*out = r->value[HOUR] * 3600 * NANOS + rest;
	return r->value[HOUR] < 24 || rest == 0; /* 24:00 ends the day */
}

bool aws_time_read(struct sl_slice text, struct sl_slice pattern, int64_t *ms) {
	struct aws_time_token tokens[TOKENS_MAX];
	struct reading r = {.rest = text};
	size_t n;
	int64_t days, nanos;
	if (!tokens_of(pattern, tokens, &n) || !read_tokens(&r, tokens, tokens + n) || r.rest.n) return false;
	if (!in_range(&r) || !days_of(&r, &days) || !nanos_of_day(&r, &nanos)) return false;
	int64_t local = days * 86400 + nanos / NANOS;
	int32_t offset = r.has_offset ? r.offset : r.has_zone ? aws_zone_offset_of_local(&r.zone, local) : 0;
	*ms = (local - offset) * 1000 + nanos % NANOS / 1000000;
	return true;
}
