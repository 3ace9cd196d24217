/* sql_rfc3339.c: see sql_rfc3339.h. */
#include "sql_rfc3339.h"

bool sql_time_digits(struct sl_slice *s, int n, int64_t *out) {
	*out = 0;
	for (int i = 0; i < n; i++) {
		if (s->n == 0 || s->p[0] < '0' || s->p[0] > '9') return false;
		*out = *out * 10 + (s->p[0] - '0');
		*s = slice_from(*s, 1);
	}
	return true;
}

bool sql_time_offset(struct sl_slice *s, int64_t *out) {
	if (s->n == 0) return false;
	char sign = s->p[0];
	*s = slice_from(*s, 1);
	*out = 0;
	if (sign == 'Z' || sign == 'z') return true;
	int64_t h, m, sec = 0;
	if ((sign != '+' && sign != '-') || !sql_time_digits(s, 2, &h)) return false;
	if (s->n && s->p[0] == ':') *s = slice_from(*s, 1);
	if (!sql_time_digits(s, 2, &m)) return false;
	if (s->n && s->p[0] == ':') {
		*s = slice_from(*s, 1);
		if (!sql_time_digits(s, 2, &sec)) return false;
	}
	if (h > 23 || m > 59 || sec > 59) return false;
	*out = (h * 3600 + m * 60 + sec) * (sign == '-' ? -1 : 1);
	return true;
}

static bool separator(struct sl_slice *s, const char *allowed) {
	if (s->n == 0 || !strchr(allowed, s->p[0]) || s->p[0] == '\0') return false;
	*s = slice_from(*s, 1);
	return true;
}

bool sql_rfc3339_read(struct sl_slice text, struct sql_date *date, int64_t *offset) {
	int64_t y, mo, d, h, mi, s, digit;
	struct sl_slice t = text;
	bool ok = sql_time_digits(&t, 4, &y) && separator(&t, "-") && sql_time_digits(&t, 2, &mo) &&
		  separator(&t, "-") && sql_time_digits(&t, 2, &d) && separator(&t, "Tt ") &&
		  sql_time_digits(&t, 2, &h) && separator(&t, ":") && sql_time_digits(&t, 2, &mi) &&
		  separator(&t, ":") && sql_time_digits(&t, 2, &s);
	*date = (struct sql_date){.nanos = 0};
	if (ok && t.n && t.p[0] == '.') {
		t = slice_from(t, 1);
		int64_t scale = 100000000;
		for (ok = false; sql_time_digits(&t, 1, &digit); ok = true, scale /= 10) date->nanos += digit * scale;
		/* The digit that failed was not taken off. */
	}
	if (!ok || !sql_time_offset(&t, offset) || t.n != 0) return false;
	date->year = y;
	date->month = (int)mo;
	date->day = (int)d;
	date->hour = (int)h;
	date->minute = (int)mi;
	date->second = (int)s;
	return sql_date_valid(date);
}

bool sql_rfc3339_ms(struct sl_slice text, int64_t *ms) {
	struct sql_date date;
	int64_t offset;
	if (!sql_rfc3339_read(text, &date, &offset)) return false;
	*ms = (sql_date_seconds(&date) - offset) * 1000 + date.nanos / 1000000; /* four digits of a year: no overflow */
	return true;
}
