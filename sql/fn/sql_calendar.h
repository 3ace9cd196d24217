/* sql_calendar.h: dates of the proleptic Gregorian calendar and seconds since 1970, both in the same zone.
 * Thread: any. Nothing fails: what does not fit is the caller's to check (sql_date_valid). */
#ifndef SQL_CALENDAR_H
#define SQL_CALENDAR_H

#include "common.h"

struct sql_date {
	int64_t year;
	int month, day, hour, minute, second;
	int64_t nanos;
};

int64_t sql_floor_div(int64_t a, int64_t b); /* b > 0 */
bool sql_leap_year(int64_t year);
int sql_month_length(int64_t year, int month);
int64_t sql_days_from_civil(int64_t year, int month, int day); /* days since 1970-01-01 */
struct sql_date sql_date_of(int64_t seconds, int64_t nanos);
bool sql_date_valid(const struct sql_date *t);
int64_t sql_date_seconds(const struct sql_date *t);

#endif
