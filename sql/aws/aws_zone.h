/* aws_zone.h: time zones by name, from the system's tzdata (/usr/share/zoneinfo), and fixed offsets.
 *
 * The C library knows one zone a process; rules name one a call. So the files are read here (RFC 8536, with the rule for
 * the years behind their table). A zone is read once a process and kept; there are no more than the system has, and
 * AWS_ZONES_MAX. A system without tzdata knows UTC and offsets only.
 *
 * Lifetime: a zone is a value that stays good as long as the process. Thread: any, without locks. Blocking: the first use of
 * a name reads a small file; constant names do that when the rule is made. */
#ifndef AWS_ZONE_H
#define AWS_ZONE_H

#include "common.h"
#include "slice.h"

enum { AWS_ZONES_MAX = 1024 };

struct aws_zone_rules;
struct aws_zone {
	const struct aws_zone_rules *rules; /* NULL: */
	int32_t offset;                     /* always this, in seconds */
};

/* UTC, GMT, Z, +01:00, -0530, UTC+1, America/New_York. False: there is none of that name. */
bool aws_zone_find(struct sl_slice name, struct aws_zone *out);

struct aws_zone_time {
	int32_t offset;      /* local time less UTC, in seconds */
	const char *letters; /* CET, or -03 where nobody uses letters; NULL for fixed offsets */
};
struct aws_zone_time aws_zone_at(const struct aws_zone *z, int64_t utc);
/* For local time: the earlier one where a clock is put back; in a gap that before it, as Java has it. */
int32_t aws_zone_offset_of_local(const struct aws_zone *z, int64_t local);
/* The name of a zone that has rules, or NULL. */
const char *aws_zone_name(const struct aws_zone *z);
/* aws_zone_names.c: in full, "Central European Summer Time" for Europe/Paris and CEST. NULL: the table has none. */
const char *aws_zone_long_name(const char *zone, const char *letters);
/* The zone that such a name at the beginning of *text speaks of, which is then taken off; or NULL. */
const char *aws_zone_of_long_name(struct sl_slice *text);

/* Is this the content of a zone's file, and what is the offset at that time? For tests. */
bool aws_zone_of_file(struct sl_slice file, int64_t utc, int32_t *offset);

#endif
