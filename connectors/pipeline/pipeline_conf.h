/* pipeline_conf.h: the options that every connection and every action has, whatever its kind.
 * Thread: any. Lifetime: a conf belongs to its connection or action; ended with conf_fini(). */
#ifndef SL_PIPELINE_CONF_H
#define SL_PIPELINE_CONF_H

#include "conf_report.h"
#include "field.h"

enum action_durability { DURABILITY_QOS, DURABILITY_MEMORY, DURABILITY_DISK };
enum action_overflow { OVERFLOW_HOLD, OVERFLOW_DROP_OLDEST, OVERFLOW_DROP_NEW, OVERFLOW_DEAD_LETTER };
enum action_sync { SYNC_NONE, SYNC_TICK };
enum action_expired { EXPIRED_DROP, EXPIRED_DEAD_LETTER };
enum action_order { ORDER_KEY, ORDER_NONE };

struct batch_conf {
	int64_t rows, bytes, linger_ms;
};
struct buffer_conf {
	int64_t memory, disk, rows, segment;
	int durability, overflow, sync;
};
struct retry_conf {
	int64_t first_ms, max_ms, attempts, ttl_ms;
	int expired;
};
struct dead_letter_conf {
	int64_t payload;
};
struct action_conf {
	char *connector;
	bool enabled;
	struct batch_conf batch;
	struct buffer_conf buffer;
	struct retry_conf retry;
	struct dead_letter_conf dead_letter;
	int order;
	char *order_key;
	int64_t timeout_ms, stalled_after_ms, rate;
	json_t *on_error;
};
extern const struct conf_field action_conf_fields[];
/* What a row table cannot say. Mistakes go to the report. */
int action_conf_check(const struct action_conf *conf, struct conf_at at, struct conf_report *report);

struct reconnect_conf {
	int64_t first_ms, max_ms;
};
struct conn_conf {
	char *type;
	struct reconnect_conf reconnect;
	int64_t probe_ms;
};
extern const struct conf_field conn_conf_fields[];

#endif
