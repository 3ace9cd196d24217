/* pipeline_conf.c: see pipeline_conf.h. */
#include "pipeline_conf.h"

#include "mem.h"

static const struct conf_field batch_fields[] = {
    {.name = "rows",
     .type = CONF_INT,
     .at = offsetof(struct batch_conf, rows),
     .def = "1000",
     .min = 1,
     .max = 100000,
     .doc = "A batch leaves when it has this many rows."},
    {.name = "bytes",
     .type = CONF_SIZE,
     .at = offsetof(struct batch_conf, bytes),
     .def = "1MB",
     .min = 1,
     .max = 268435456,
     .doc = "A batch leaves when its rows have this many bytes."},
    {.name = "linger",
     .type = CONF_DURATION,
     .at = offsetof(struct batch_conf, linger_ms),
     .def = "20ms",
     .max = 60000,
     .doc =
	 "How long rows wait for others, counted from the batch before: a row that comes after a pause goes at once."},
    CONF_END};

static const char *const durability_names[] = {"qos", "memory", "disk", NULL};
static const char *const overflow_names[] = {"hold", "drop_oldest", "drop_new", "dead_letter", NULL};
static const char *const sync_names[] = {"none", "tick", NULL};

static const struct conf_field buffer_fields[] = {
    {.name = "memory",
     .type = CONF_SIZE,
     .at = offsetof(struct buffer_conf, memory),
     .def = "64MB",
     .min = 65536,
     .max = (int64_t)(64 * SL_GB),
     .doc = "Memory of this action's rows, with what the client of the far side holds of those that are out; above "
	    "seven eighths of it rows wait in the log on disk."},
    {.name = "disk",
     .type = CONF_SIZE,
     .at = offsetof(struct buffer_conf, disk),
     .def = "1GB",
     .flags = CONF_UNLIMITED_OK,
     .doc = "Size of the log of this action; 0 means no log, and needs `durability: memory`."},
    {.name = "rows",
     .type = CONF_INT,
     .at = offsetof(struct buffer_conf, rows),
     .def = "unlimited",
     .min = 1,
     .flags = CONF_UNLIMITED_OK,
     .doc =
	 "At most so many rows wait, in memory and in the log together. Rows that come together are taken whole when "
	 "nothing else waits."},
    {.name = "durability",
     .type = CONF_ENUM,
     .at = offsetof(struct buffer_conf, durability),
     .def = "qos",
     .names = durability_names,
     .doc = "Rows that are in the log before the publisher gets its acknowledgement: those of QoS 1 and 2 messages "
	    "(`qos`), none (`memory`), all (`disk`)."},
    {.name = "overflow",
     .type = CONF_ENUM,
     .at = offsetof(struct buffer_conf, overflow),
     .def = "hold",
     .names = overflow_names,
     .doc =
	 "When memory and disk are full, or `rows` is reached: publishers of QoS 1 and 2 wait (`hold`), rows are "
	 "dropped, or new ones go to the dead letter (two files of 64 MB; the older goes when both are full) or "
	 "where `on_error` says: when that fails, "
	 "publishers wait. `drop_oldest` drops as many as come where `rows` is reached; where `disk` or `memory` is, "
	 "room "
	 "is had by the file or block only: those of the oldest file of the log go at once (of `segment`, at most an "
	 "eighth of `disk`)."},
    {.name = "sync",
     .type = CONF_ENUM,
     .at = offsetof(struct buffer_conf, sync),
     .def = "none",
     .names = sync_names,
     .doc = "`tick`: one fdatasync for all rows of a moment before they are acknowledged; survives a power cut."},
    {.name = "segment",
     .type = CONF_SIZE,
     .at = offsetof(struct buffer_conf, segment),
     .def = "64MB",
     .min = 4096,
     .max = (int64_t)(4 * SL_GB),
     .flags = CONF_ADVANCED,
     .doc = "How large a file of the log may become (at most an eighth of `disk`); files are deleted whole."},
    CONF_END};

static const char *const expired_names[] = {"drop", "dead_letter", NULL};

static const struct conf_field retry_fields[] = {
    {.name = "first",
     .type = CONF_DURATION,
     .at = offsetof(struct retry_conf, first_ms),
     .def = "500ms",
     .min = 1,
     .max = 3600000,
     .doc = "Upper bound of the first pause; each further one is twice as long, the pause itself is random."},
    {.name = "max",
     .type = CONF_DURATION,
     .at = offsetof(struct retry_conf, max_ms),
     .def = "30s",
     .min = 1,
     .max = 86400000,
     .doc = "Upper bound of every pause."},
    {.name = "attempts",
     .type = CONF_INT,
     .at = offsetof(struct retry_conf, attempts),
     .def = "unlimited",
     .min = 1,
     .max = 65000,
     .flags = CONF_UNLIMITED_OK,
     .doc = "After this many failed attempts a row is rejected."},
    {.name = "ttl",
     .type = CONF_DURATION,
     .at = offsetof(struct retry_conf, ttl_ms),
     .def = "unlimited",
     .min = 1,
     .flags = CONF_UNLIMITED_OK,
     .doc = "A row older than this is not sent any more. It ends when its turn comes: while the connection is down it "
	    "counts "
	    "as queued."},
    {.name = "expired",
     .type = CONF_ENUM,
     .at = offsetof(struct retry_conf, expired),
     .def = "drop",
     .names = expired_names,
     .doc = "What happens to it: `drop` counts it as expired; with `dead_letter` it is a dead letter, or goes where "
	    "`on_error` says, and its age does not count when it is given back."},
    CONF_END};

static const struct conf_field dead_letter_fields[] = {{.name = "payload",
							.type = CONF_SIZE,
							.at = offsetof(struct dead_letter_conf, payload),
							.def = "1KB",
							.max = 1048576,
							.doc =
							    "So much of the message's payload waits with its rows, and "
							    "stands in a dead letter beside topic, client id, QoS and "
							    "time; 0 keeps none."},
						       CONF_END};

static const char *const order_names[] = {"key", "none", NULL};

const struct conf_field action_conf_fields[] = {
    {.name = "connector",
     .type = CONF_STRING,
     .at = offsetof(struct action_conf, connector),
     .flags = CONF_REQUIRED,
     .example = "archive",
     .doc = "Name of the connector, as under `connectors:`."},
    {.name = "enabled",
     .type = CONF_BOOL,
     .at = offsetof(struct action_conf, enabled),
     .def = "true",
     .doc = "An action that is not enabled is checked, and no rows are made for it; those that wait are still sent."},
    {.name = "batch",
     .type = CONF_OBJECT,
     .at = offsetof(struct action_conf, batch),
     .fields = batch_fields,
     .doc = "When a batch leaves."},
    {.name = "buffer",
     .type = CONF_OBJECT,
     .at = offsetof(struct action_conf, buffer),
     .fields = buffer_fields,
     .doc = "Where rows wait, and what happens when there is no room."},
    {.name = "retry",
     .type = CONF_OBJECT,
     .at = offsetof(struct action_conf, retry),
     .fields = retry_fields,
     .doc = "How failed rows are tried again."},
    {.name = "dead_letter",
     .type = CONF_OBJECT,
     .at = offsetof(struct action_conf, dead_letter),
     .fields = dead_letter_fields,
     .doc = "What is kept for the dead letter of a row that is given up."},
    {.name = "order",
     .type = CONF_ENUM,
     .at = offsetof(struct action_conf, order),
     .def = "key",
     .names = order_names,
     .doc = "`key`: rows with the same `order_key` stay in order; `none` is faster."},
    {.name = "order_key",
     .type = CONF_TEMPLATE,
     .at = offsetof(struct action_conf, order_key),
     .def = "${clientid}",
     .doc = "What `order: key` goes by."},
    {.name = "rate",
     .type = CONF_INT,
     .at = offsetof(struct action_conf, rate),
     .def = "unlimited",
     .min = 1,
     .max = 1000000000,
     .flags = CONF_UNLIMITED_OK,
     .doc = "At most so many rows a second are sent; the others wait, in memory and in the log."},
    {.name = "timeout",
     .type = CONF_DURATION,
     .at = offsetof(struct action_conf, timeout_ms),
     .def = "60s",
     .min = 10,
     .max = 86400000,
     .flags = CONF_ADVANCED,
     .doc = "A batch without an answer for this long is cancelled, where the kind can."},
    {.name = "stalled_after",
     .type = CONF_DURATION,
     .at = offsetof(struct action_conf, stalled_after_ms),
     .def = "30s",
     .min = 10,
     .max = 86400000,
     .flags = CONF_ADVANCED,
     .doc =
	 "Rows wait and none is delivered or given up for this long: the action shows `stalled`, and a connection that "
	 "is up but answers nothing connects again."},
    {.name = "on_error",
     .type = CONF_TREE,
     .at = offsetof(struct action_conf, on_error),
     .doc = "What to do with rejected rows instead of writing them to the dead-letter file: `{republish: {...}}`, see "
	    "rules/reference.md."},
    CONF_END};

int action_conf_check(const struct action_conf *conf, struct conf_at at, struct conf_report *report) {
	int r = SL_OK;
	if (conf->buffer.disk == 0 && conf->buffer.durability != DURABILITY_MEMORY) {
		char *path = yaml_path_key(at.path, "buffer");
		r = conf_report_add(report, (struct conf_at){at.doc, path}, CONF_AT_VALUE, SL_EINVAL,
				    "durability needs a log, and `disk: 0` means there is none; give it room or set "
				    "`durability: memory`");
		sl_free(path);
	}
	if (conf->retry.first_ms > conf->retry.max_ms) {
		char *path = yaml_path_key(at.path, "retry");
		r = conf_report_add(report, (struct conf_at){at.doc, path}, CONF_AT_VALUE, SL_EINVAL,
				    "`first` is longer than `max`; lower one or raise the other");
		sl_free(path);
	}
	return r;
}

static const struct conf_field reconnect_fields[] = {
    {.name = "first",
     .type = CONF_DURATION,
     .at = offsetof(struct reconnect_conf, first_ms),
     .def = "500ms",
     .min = 1,
     .max = 3600000,
     .doc = "Upper bound of the first pause before connecting again; it doubles each time."},
    {.name = "max",
     .type = CONF_DURATION,
     .at = offsetof(struct reconnect_conf, max_ms),
     .def = "30s",
     .min = 1,
     .max = 86400000,
     .doc = "Upper bound of every pause."},
    CONF_END};

const struct conf_field conn_conf_fields[] = {{.name = "type",
					       .type = CONF_STRING,
					       .at = offsetof(struct conn_conf, type),
					       .flags = CONF_REQUIRED,
					       .example = "sqlite",
					       .doc = "Kind of the connector."},
					      {.name = "reconnect",
					       .type = CONF_OBJECT,
					       .at = offsetof(struct conn_conf, reconnect),
					       .fields = reconnect_fields,
					       .flags = CONF_ADVANCED,
					       .doc = "Pauses between attempts to connect."},
					      {.name = "probe",
					       .type = CONF_DURATION,
					       .at = offsetof(struct conn_conf, probe_ms),
					       .def = "15s",
					       .min = 10,
					       .max = 86400000,
					       .flags = CONF_ADVANCED,
					       .doc = "An idle connection is checked this often, where the kind can."},
					      CONF_END};
