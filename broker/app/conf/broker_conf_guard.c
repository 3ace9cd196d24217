/* broker_conf_guard.c: the options of `auth` about who is held off before a password is looked at (broker/auth/guard.h). */
#include "broker_conf_int.h"

#define AT(member) offsetof(struct broker_count_conf, member)
#define RATE_AT(member)                                                                                                \
	offsetof(struct broker_guard_conf, connect_rate.member) - offsetof(struct broker_guard_conf, connect_rate)

enum { COUNT_MAX = 1000000, DAYS_MS = 2147483647 }; /* 24 days */

const struct conf_field broker_flapping_fields[] = {
    {.name = "max",
     .type = CONF_INT,
     .at = AT(max),
     .def = "15",
     .min = 1,
     .max = COUNT_MAX,
     .doc = "So many ends without a DISCONNECT (or by a take-over) within `window`, and the client id is banned."},
    {.name = "window",
     .type = CONF_DURATION,
     .at = AT(window_ms),
     .def = "1m",
     .min = 1000,
     .max = DAYS_MS,
     .doc = "The time in which they are counted."},
    {.name = "ban",
     .type = CONF_DURATION,
     .at = AT(ban_ms),
     .def = "5m",
     .min = 1000,
     .max = DAYS_MS,
     .doc = "How long it is banned."},
    CONF_END};

const struct conf_field broker_failures_fields[] = {
    {.name = "max",
     .type = CONF_INT,
     .flags = CONF_UNLIMITED_OK,
     .at = AT(max),
     .def = "20",
     .min = 1,
     .max = COUNT_MAX,
     .doc = "Wrong logins of one address (IPv6: one /64) within `window`."},
    {.name = "max_user",
     .type = CONF_INT,
     .flags = CONF_UNLIMITED_OK,
     .at = AT(max_user),
     .def = "unlimited",
     .min = 1,
     .max = COUNT_MAX,
     .doc = "Wrong logins with one user name, from wherever they come. Mind that anybody can keep a user out with it."},
    {.name = "window",
     .type = CONF_DURATION,
     .at = AT(window_ms),
     .def = "5m",
     .min = 1000,
     .max = DAYS_MS,
     .doc = "The time in which they are counted."},
    {.name = "ban",
     .type = CONF_DURATION,
     .at = AT(ban_ms),
     .def = "5m",
     .min = 1000,
     .max = DAYS_MS,
     .doc = "How long the address, or the user name, is refused."},
    CONF_END};

const struct conf_field broker_connect_rate_fields[] = {
    {.name = "per_second",
     .type = CONF_INT,
     .at = RATE_AT(per_second),
     .def = "10",
     .min = 1,
     .max = COUNT_MAX,
     .doc = "Connects of one address in a second, in the long run."},
    {.name = "burst",
     .type = CONF_INT,
     .at = RATE_AT(burst),
     .def = "100",
     .min = 1,
     .max = COUNT_MAX,
     .doc = "So many may come at once."},
    CONF_END};
