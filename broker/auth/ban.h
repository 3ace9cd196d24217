/* ban.h: the ban list, compiled: conditions on the client as access rules have them, each with an end and a reason.
 *
 *     - {clientid: "test-*", until: 2026-12-01T00:00:00Z, reason: no test devices here}
 *     - {ip: [192.0.2.0/24, "2001:db8::/32"]}
 *     - {user: mallory}
 *
 * Lifetime: immutable. Thread: any, once made. Never blocks. */
#ifndef BAN_H
#define BAN_H

#include "acl_int.h"

struct ban {
	struct acl_who *who;
	int64_t until_ms; /* wall clock; INT64_MAX: for ever */
	const char *reason;
};

struct ban_list {
	struct acl_rules *memory; /* where all of it lies */
	struct ban *v;
	size_t len, cap;
};

/* Adds what stands at `at`: a list, or a map with a list under `ban`. Mistakes go to the report. */
void ban_list_add(struct ban_list *list, const json_t *tree, struct conf_at at, struct conf_report *report);
void ban_list_add_file(struct ban_list *list, const char *file, struct conf_at named, struct conf_report *report);
void ban_list_fini(struct ban_list *list);

/* The first ban that holds, or NULL. A condition that cannot be judged holds. */
const struct ban *ban_list_find(const struct ban_list *list, const struct acl_subject *who, int64_t wall_ms);

/* "2026-12-01" or "2026-12-01T08:00:00Z". */
int ban_until_parse(const char *text, int64_t *ms);

#endif
