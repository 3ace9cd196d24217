/* aws_time.h: the two languages of date patterns that the aws dialect has: Joda-Time's for writing (parse_time) and
 * java.time's (DateTimeFormatter of JDK 11, English, resolved "smart") for reading (time_to_epoch). They look alike and are not: +01:00 is
 * ZZ in the first and three X in the second.
 *
 * Both walk over the pattern's text: it is short, and walking costs no more than following a compiled form. Patterns have
 * at most AWS_TIME_PATTERN_MAX bytes.
 * Thread: any. Errors: false, for a pattern that is none, or text that does not fit it. */
#ifndef AWS_TIME_H
#define AWS_TIME_H

#include "aws_zone.h"
#include "buf.h"

enum { AWS_TIME_PATTERN_MAX = 512 };

/* The next part of a pattern: a run of one letter, or text. */
struct aws_time_token {
	char letter; /* 0: text, as it stands in the pattern's memory */
	size_t count;
	struct sl_slice text;
};
/* 1; 0 at the end; -1 when a quotation has no end. */
int aws_time_next(struct sl_slice *pattern, struct aws_time_token *out);

extern const char *const aws_month_names[12], *const aws_weekday_names[7]; /* in full; Monday first */

bool aws_time_write(struct sl_slice pattern, int64_t ms, const struct aws_zone *zone, struct sl_buf *out);
bool aws_time_read(struct sl_slice text, struct sl_slice pattern, int64_t *ms);

#endif
