/* aws_time_write.c: dates by Joda-Time's patterns; see aws_time.h. */
#include "aws_time.h"
#include "conv.h"
#include "sql_calendar.h"

const char *const aws_month_names[12] = {"January", "February", "March",     "April",   "May",      "June",
					 "July",    "August",   "September", "October", "November", "December"};
const char *const aws_weekday_names[7] = {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"};

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

int aws_time_next(struct sl_slice *p, struct aws_time_token *out) {
	*out = (struct aws_time_token){0};
	if (p->n == 0) return 0;
	size_t n = 1;
	char c = p->p[0];
	if (c == '\'') {
		ptrdiff_t end = slice_find_byte(slice_from(*p, 1), '\'');
		if (end < 0) return -1;
		/* '' is one quotation mark, outside of a quotation and (as its end and its next beginning) inside */
		out->text = end == 0 ? slice_sub(*p, 0, 1) : slice_sub(*p, 1, (size_t)end);
		n = (size_t)end + 2;
		if (end && n < p->n && p->p[n] == '\'') { /* it goes on: with the quotation mark itself */
			out->text = slice_sub(*p, 1, (size_t)end + 1);
			n = (size_t)end + 2;
		}
	} else if (is_letter(c)) {
		while (n < p->n && p->p[n] == c) n++;
		out->letter = c;
		out->count = n;
	} else {
		while (n < p->n && !is_letter(p->p[n]) && p->p[n] != '\'' && p->p[n] != '[' && p->p[n] != ']') n++;
		if (c == '[' || c == ']') n = 1;
		out->text = slice_sub(*p, 0, n);
	}
	*p = slice_from(*p, n);
	return 1;
}

struct moment {
	struct sql_date t;
	int weekday, day_of_year; /* Monday 1; 1 January 1 */
	int64_t week_year;
	int week;
	int millis;
	struct aws_zone_time zone;
	const char *zone_name;
};

static struct moment moment_of(int64_t ms, const struct aws_zone *zone) {
	struct moment m;
	int64_t utc = sql_floor_div(ms, 1000);
	m.millis = (int)((ms % 1000 + 1000) % 1000);
	m.zone = aws_zone_at(zone, utc);
	m.zone_name = aws_zone_name(zone);
	int64_t local = utc + m.zone.offset, days = sql_floor_div(local, 86400);
	m.t = sql_date_of(local, 0);
	m.weekday = (int)(((days + 3) % 7 + 7) % 7) + 1;
	m.day_of_year = (int)(days - sql_days_from_civil(m.t.year, 1, 1)) + 1;
	int64_t thursday = days + 4 - m.weekday; /* the year that has a week's Thursday has the week */
	m.week_year = sql_date_of(thursday * 86400, 0).year;
	m.week = (int)((thursday - sql_days_from_civil(m.week_year, 1, 1)) / 7) + 1;
	return m;
}

static void put_number(struct sl_buf *out, int64_t v, size_t least) {
	char text[SL_FORMAT_I64_MAX];
	size_t n = sl_format_u64(v < 0 ? 0 - (uint64_t)v : (uint64_t)v, text);
	if (v < 0) sl_buf_put(out, '-');
	for (size_t i = n; i < least; i++) sl_buf_put(out, '0');
	sl_buf_append(out, text, n);
}
static void put_year(struct sl_buf *out, int64_t year, size_t count) {
	if (count == 2)
		put_number(out, (year < 0 ? -year : year) % 100, 2);
	else
		put_number(out, year, count);
}
static void put_name(struct sl_buf *out, const char *name, size_t count) {
	sl_buf_append(out, name, count >= 4 ? strlen(name) : 3);
}
static void put_offset(struct sl_buf *out, int32_t offset, bool colon) {
	int32_t v = offset < 0 ? -offset : offset;
	sl_buf_put(out, offset < 0 ? '-' : '+');
	put_number(out, v / 3600, 2);
	if (colon) sl_buf_put(out, ':');
	put_number(out, v / 60 % 60, 2);
}

/* z: letters where people use them, or the full name. */
static void put_zone(struct sl_buf *out, const struct moment *m, size_t count) {
	const char *name = NULL;
	if (count >= 4 && m->zone_name && m->zone.letters) name = aws_zone_long_name(m->zone_name, m->zone.letters);
	if (name)
		sl_buf_append_str(out, name);
	else if (m->zone.letters && is_letter(m->zone.letters[0]))
		sl_buf_append_str(out, m->zone.letters);
	else if (m->zone.offset || m->zone.letters)
		put_offset(out, m->zone.offset, true);
	else
		sl_buf_append_str(out, count >= 4 ? "Coordinated Universal Time" : "UTC");
}
static void put_zone_offset(struct sl_buf *out, const struct moment *m, size_t count) {
	if (count < 3)
		put_offset(out, m->zone.offset, count == 2);
	else if (m->zone_name)
		sl_buf_append_str(out, m->zone_name);
	else if (m->zone.offset)
		put_offset(out, m->zone.offset, true);
	else
		sl_buf_append_str(out, "UTC");
}
static void put_fraction(struct sl_buf *out, int millis, size_t count) {
	char digits[3] = {(char)('0' + millis / 100), (char)('0' + millis / 10 % 10), (char)('0' + millis % 10)};
	for (size_t i = 0; i < count; i++) sl_buf_put(out, i < 3 ? digits[i] : '0');
}

static bool put_field(struct sl_buf *out, const struct moment *m, char letter, size_t n) {
	int h = m->t.hour;
	int64_t of_era = m->t.year > 0 ? m->t.year : 1 - m->t.year;
	switch (letter) {
	case 'G': sl_buf_append_str(out, m->t.year > 0 ? "AD" : "BC"); return true;
	case 'C': put_number(out, of_era / 100, n); return true;
	case 'Y': put_year(out, of_era, n); return true;
	case 'y': put_year(out, m->t.year, n); return true;
	case 'x': put_year(out, m->week_year, n); return true;
	case 'w': put_number(out, m->week, n); return true;
	case 'e': put_number(out, m->weekday, n); return true;
	case 'E': put_name(out, aws_weekday_names[m->weekday - 1], n); return true;
	case 'D': put_number(out, m->day_of_year, n); return true;
	case 'M':
		if (n >= 3)
			put_name(out, aws_month_names[m->t.month - 1], n);
		else
			put_number(out, m->t.month, n);
		return true;
	case 'd': put_number(out, m->t.day, n); return true;
	case 'a': sl_buf_append_str(out, h < 12 ? "AM" : "PM"); return true;
	case 'K': put_number(out, h % 12, n); return true;
	case 'h': put_number(out, h % 12 ? h % 12 : 12, n); return true;
	case 'H': put_number(out, h, n); return true;
	case 'k': put_number(out, h ? h : 24, n); return true;
	case 'm': put_number(out, m->t.minute, n); return true;
	case 's': put_number(out, m->t.second, n); return true;
	case 'S': put_fraction(out, m->millis, n); return true;
	case 'z': put_zone(out, m, n); return true;
	case 'Z': put_zone_offset(out, m, n); return true;
	}
	return false;
}

bool aws_time_write(struct sl_slice pattern, int64_t ms, const struct aws_zone *zone, struct sl_buf *out) {
	if (pattern.n == 0 || pattern.n > AWS_TIME_PATTERN_MAX) return false;
	struct moment m = moment_of(ms, zone);
	struct aws_time_token t;
	int r;
	while ((r = aws_time_next(&pattern, &t)) == 1) {
		if (t.letter == 0)
			sl_buf_append_slice(out, t.text);
		else if (!put_field(out, &m, t.letter, t.count))
			return false;
	}
	return r == 0;
}
