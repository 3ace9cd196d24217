/* pg_time.c: timestamps, dates and times of day. See pg_type_int.h.
 *
 * PostgreSQL counts microseconds (days) from 2000-01-01 UTC. A number is milliseconds since 1970, as everywhere in
 * Sluice. Text is RFC 3339, with a little kindness: a space for the T, no seconds, no zone (UTC), a date alone (midnight). */
#include <ctype.h>
#include <math.h>

#include "pg_type_int.h"
#include "sql_calendar.h"

#define DAY_US INT64_C(86400000000)
#define EPOCH_US (INT64_C(946684800) * 1000000) /* 1970 to 2000 */
#define EPOCH_DAYS 10957
/* The server's own limits: 4714 BC to 294276 AD, and to 5874897 AD for dates. */
#define TIMESTAMP_MIN INT64_C(-211813488000000000)
#define TIMESTAMP_MAX INT64_C(9223371331200000000)
#define DATE_MIN INT64_C(-2451545)
#define DATE_MAX INT64_C(2145031949)

static const char no_time[] =
    "it is neither milliseconds since 1970 nor text such as 2026-01-31T12:00:00Z, 2026-01-31 12:00 (UTC) or 2026-01-31";
static const char no_clock[] = "it is neither milliseconds of a day nor text such as 12:30:00";
static const char out_of_range[] = "it is out of the type's range";

/* A number of milliseconds as microseconds: from an integer, a float, or either as text. */
static int value_to_us(const struct sql_value *v, int64_t *us, const char **why) {
	double d = v->d;
	int64_t ms;
	*why = out_of_range;
	switch (v->kind) {
	case SQL_INT: return __builtin_mul_overflow(v->i, 1000, us) ? SL_ETYPE : SL_OK;
	case SQL_STRING:
	case SQL_NUMBER_TEXT:
		if (slice_to_i64(slice_trim(sql_value_text(v)), &ms) == SL_OK)
			return __builtin_mul_overflow(ms, 1000, us) ? SL_ETYPE : SL_OK;
		*why = no_time;
		if (slice_to_double(slice_trim(sql_value_text(v)), &d) != SL_OK) return SL_ETYPE;
		break;
	case SQL_DOUBLE: break;
	case SQL_BOOL:
	case SQL_NULL:
	case SQL_JSON_NULL:
	case SQL_BYTES:
	case SQL_JSON:
	case SQL_LIST:
	case SQL_MAP: *why = no_time; return SL_ETYPE;
	}
	*why = out_of_range;
	d = round(d * 1000);
	if (!isfinite(d) || fabs(d) >= 0x1p62) return SL_ETYPE;
	*us = (int64_t)d;
	return SL_OK;
}

/* ---- Text. ---- */

/* Exactly n digits. */
static bool take_digits(struct sl_slice *s, size_t n, int *out) {
	*out = 0;
	if (s->n < n) return false;
	for (size_t i = 0; i < n; i++) {
		if (!isdigit((unsigned char)s->p[i])) return false;
		*out = *out * 10 + (s->p[i] - '0');
	}
	*s = slice_from(*s, n);
	return true;
}

static bool take(struct sl_slice *s, char c) {
	if (s->n == 0 || s->p[0] != c) return false;
	*s = slice_from(*s, 1);
	return true;
}

static bool take_date(struct sl_slice *s, struct sql_date *t) {
	int year;
	if (!take_digits(s, 4, &year) || !take(s, '-') || !take_digits(s, 2, &t->month) || !take(s, '-') ||
	    !take_digits(s, 2, &t->day))
		return false;
	t->year = year;
	return t->month >= 1 && t->month <= 12 && t->day >= 1 && t->day <= sql_month_length(year, t->month);
}

/* HH:MM[:SS[.fraction]] in microseconds of the day, to the nearest one; 24:00:00 and a leap second are taken. */
static bool take_clock(struct sl_slice *s, int64_t *us) {
	int hour, minute, second = 0;
	int64_t fraction = 0;
	if (!take_digits(s, 2, &hour) || !take(s, ':') || !take_digits(s, 2, &minute)) return false;
	if (take(s, ':') && !take_digits(s, 2, &second)) return false;
	if (take(s, '.') || take(s, ',')) {
		size_t n = 0;
		for (; n < s->n && isdigit((unsigned char)s->p[n]); n++) {
			if (n < 6)
				fraction = fraction * 10 + (s->p[n] - '0');
			else if (n == 6 && s->p[n] >= '5')
				fraction++;
		}
		if (n == 0) return false;
		for (size_t i = n; i < 6; i++) fraction *= 10;
		*s = slice_from(*s, n);
	}
	*us = ((int64_t)hour * 3600 + minute * 60 + second) * 1000000 + fraction;
	return hour <= 24 && minute <= 59 && second <= 60 && *us <= DAY_US;
}

/* Z, +02:00, +0200, +02 or nothing. */
static bool take_zone(struct sl_slice *s, int64_t *offset_us) {
	int hours, minutes = 0;
	*offset_us = 0;
	(void)take(s, ' ');
	if (s->n == 0 || take(s, 'Z') || take(s, 'z')) return true;
	bool west = s->p[0] == '-';
	if (!take(s, '+') && !take(s, '-')) return false;
	if (!take_digits(s, 2, &hours)) return false;
	(void)take(s, ':');
	if (s->n > 0 && !take_digits(s, 2, &minutes)) return false;
	*offset_us = ((int64_t)hours * 60 + minutes) * 60000000 * (west ? -1 : 1);
	return hours <= 15 && minutes <= 59;
}

/* Days since 1970, microseconds of the day, and how far the zone is ahead of UTC. */
static bool text_parse(struct sl_slice s, int64_t *days, int64_t *us, int64_t *offset_us) {
	struct sql_date t = {0};
	s = slice_trim(s);
	*us = *offset_us = 0;
	if (!take_date(&s, &t)) return false;
	*days = sql_days_from_civil(t.year, t.month, t.day);
	if (s.n == 0) return true;
	if (!take(&s, 'T') && !take(&s, 't') && !take(&s, ' ')) return false;
	return take_clock(&s, us) && take_zone(&s, offset_us) && s.n == 0;
}

/* 1: "infinity", -1: "-infinity", 0: neither. */
static int endless(const struct sql_value *v) {
	struct sl_slice s = v->kind == SQL_STRING ? slice_trim(sql_value_text(v)) : SL_SLICE_EMPTY;
	if (slice_equal_nocase(s, SL_SLICE_LIT("infinity"))) return 1;
	return slice_equal_nocase(s, SL_SLICE_LIT("-infinity")) ? -1 : 0;
}

/* ---- Bodies. ---- */

int pg_timestamp_put(const struct sql_value *v, struct sl_buf *out, const char **why) {
	int64_t at, days, us, offset;
	int end = endless(v);
	if (end != 0)
		at = end > 0 ? INT64_MAX : INT64_MIN;
	else {
		if (v->kind == SQL_STRING && text_parse(sql_value_text(v), &days, &us, &offset))
			at = days * DAY_US + us - offset;
		else {
			int r = value_to_us(v, &at, why);
			if (r != SL_OK) return r;
		}
		*why = out_of_range;
		if (__builtin_sub_overflow(at, EPOCH_US, &at) || at < TIMESTAMP_MIN || at >= TIMESTAMP_MAX)
			return SL_ETYPE;
	}
	pg_put_u64(out, (uint64_t)at);
	return SL_OK;
}

/* Of text the day that is written there; of a number the day it is in UTC. */
int pg_date_put(const struct sql_value *v, struct sl_buf *out, const char **why) {
	int64_t days, us, offset;
	int end = endless(v);
	if (end == 0 && !(v->kind == SQL_STRING && text_parse(sql_value_text(v), &days, &us, &offset))) {
		int r = value_to_us(v, &us, why);
		if (r != SL_OK) return r;
		days = sql_floor_div(us, DAY_US);
	}
	if (end != 0)
		days = end > 0 ? INT32_MAX : INT32_MIN;
	else {
		days -= EPOCH_DAYS;
		*why = out_of_range;
		if (days < DATE_MIN || days >= DATE_MAX) return SL_ETYPE;
	}
	sl_buf_put_u32be(out, (uint32_t)days);
	return SL_OK;
}

int pg_time_put(const struct sql_value *v, struct sl_buf *out, const char **why) {
	int64_t us;
	struct sl_slice s = v->kind == SQL_STRING ? slice_trim(sql_value_text(v)) : SL_SLICE_EMPTY;
	if (!(s.n > 0 && take_clock(&s, &us) && s.n == 0)) {
		int r = value_to_us(v, &us, why);
		*why = no_clock;
		if (r != SL_OK || us < 0 || us > DAY_US) return SL_ETYPE;
	}
	pg_put_u64(out, (uint64_t)us);
	return SL_OK;
}
