/* sql_calendar.c: dates (after Howard Hinnant's days_from_civil); see sql_calendar.h. */
#include "sql_calendar.h"

int64_t sql_floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }

bool sql_leap_year(int64_t year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }

int sql_month_length(int64_t year, int month) {
	static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	return lengths[month - 1] + (month == 2 && sql_leap_year(year));
}

int64_t sql_days_from_civil(int64_t y, int m, int d) {
	y -= m <= 2;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t yoe = y - era * 400;
	int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static void civil_from_days(int64_t z, struct sql_date *t) {
	z += 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;
	t->day = (int)(doy - (153 * mp + 2) / 5 + 1);
	t->month = (int)(mp < 10 ? mp + 3 : mp - 9);
	t->year = yoe + era * 400 + (t->month <= 2);
}

struct sql_date sql_date_of(int64_t seconds, int64_t nanos) {
	struct sql_date t = {.nanos = nanos};
	int64_t days = sql_floor_div(seconds, 86400), rest = seconds % 86400;
	if (rest < 0) rest += 86400;
	civil_from_days(days, &t);
	t.hour = (int)(rest / 3600);
	t.minute = (int)(rest / 60 % 60);
	t.second = (int)(rest % 60);
	return t;
}

bool sql_date_valid(const struct sql_date *t) {
	if (t->month < 1 || t->month > 12 || t->day < 1 || t->day > sql_month_length(t->year, t->month)) return false;
	return t->hour <= 23 && t->minute <= 59 && t->second <= 59;
}

int64_t sql_date_seconds(const struct sql_date *t) {
	return sql_days_from_civil(t->year, t->month, t->day) * 86400 + t->hour * 3600 + t->minute * 60 + t->second;
}
