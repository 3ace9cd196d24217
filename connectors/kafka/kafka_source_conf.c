/* kafka_source_conf.c: options of a kafka source, and the consumer's configuration made of them. See kafka_source.h. */
#include <regex.h>

#include "conv.h"
#include "kafka_source.h"
#include "kafka_wire.h"
#include "mem.h"
#include "sql_rfc3339.h"

static const char *const isolations[] = {"read_committed", "read_uncommitted", NULL};

const struct conf_field kafka_source_fields[] = {
    {.name = "topics",
     .type = CONF_STRING_LIST,
     .at = offsetof(struct kafka_source_conf, topics),
     .flags = CONF_NONEMPTY,
     .max = 1000,
     .example = "[orders, returns]",
     .doc = "The topics to read. One that does not exist yet is read as soon as it does."},
    {.name = "pattern",
     .type = CONF_STRING,
     .at = offsetof(struct kafka_source_conf, pattern),
     .flags = CONF_NONEMPTY,
     .max = 1000,
     .example = "^site-[0-9]+-orders$",
     .doc =
	 "A regular expression (POSIX extended): topics whose names match are read too, also those that come later."},
    {.name = "group",
     .type = CONF_STRING,
     .at = offsetof(struct kafka_source_conf, group),
     .flags = CONF_EXPAND | CONF_NONEMPTY,
     .max = 200,
     .doc = "The consumer group; `sluice-` and the source's name when left out. Several brokers of ours with one group "
	    "share "
	    "the partitions."},
    {.name = "group_instance",
     .type = CONF_STRING,
     .at = offsetof(struct kafka_source_conf, group_instance),
     .flags = CONF_EXPAND | CONF_NONEMPTY,
     .max = 200,
     .example = "${HOSTNAME}",
     .doc = "A name of this broker within the group (static membership), another one for each broker. With it a "
	    "restart, also "
	    "after a crash, goes on with the same partitions at once; but who stops for good is waited for as long as "
	    "`session_timeout`."},
    {.name = "start",
     .type = CONF_STRING,
     .at = offsetof(struct kafka_source_conf, start),
     .flags = CONF_NONEMPTY,
     .def = "latest",
     .example = "earliest",
     .doc = "Where a group begins that has no offset for a partition: `earliest`, `latest`, or a time (RFC 3339, or "
	    "milliseconds since 1970 as text). From then on the group's offsets count."},
    {.name = "isolation",
     .type = CONF_ENUM,
     .at = offsetof(struct kafka_source_conf, isolation),
     .def = "read_committed",
     .names = isolations,
     .doc = "Whether messages of transactions that were not committed, or are still open, are read."},
    {.name = "commit_interval",
     .type = CONF_DURATION,
     .at = offsetof(struct kafka_source_conf, commit_interval_ms),
     .def = "1s",
     .min = 100,
     .max = 600000,
     .doc = "How often offsets go to the brokers. What got through since comes again after a crash."},
    {.name = "session_timeout",
     .type = CONF_DURATION,
     .at = offsetof(struct kafka_source_conf, session_timeout_ms),
     .def = "45s",
     .min = 1000,
     .max = 300000,
     .doc = "How long the group waits for a member that has vanished before others get its partitions."},
    {.name = "properties",
     .type = CONF_STRING_MAP,
     .at = offsetof(struct kafka_source_conf, properties),
     .flags = CONF_EXPAND | CONF_SECRET | CONF_PLAIN_OK,
     .max = 200,
     .example = "{partition.assignment.strategy: cooperative-sticky}",
     .doc = "Any other property of librdkafka's consumer, by its name there; numbers and booleans need no quotes."},
    CONF_END};

/* ---- Checks. ----------------------------------------------------------------------------------------------------------- */

static int pattern_check(const char *pattern, struct sl_err *err) {
	regex_t compiled;
	char text[256];
	int r = regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB);
	if (r == 0) {
		regfree(&compiled);
		return SL_OK;
	}
	regerror(r, &compiled, text, sizeof text);
	return sl_err_set(err, SL_EINVAL, "pattern: `%s` is no regular expression: %s", pattern, text);
}

static int start_check(struct kafka_source *k, struct sl_err *err) {
	struct sl_slice text = slice_from_str(k->conf.start);
	if (slice_equal_str(text, "earliest"))
		k->start = KAFKA_EARLIEST;
	else if (slice_equal_str(text, "latest"))
		k->start = KAFKA_LATEST;
	else if (slice_to_i64(text, &k->start_ms) == SL_OK && k->start_ms >= 0)
		k->start = KAFKA_AT_TIME;
	else if (sql_rfc3339_ms(text, &k->start_ms) && k->start_ms >= 0)
		k->start = KAFKA_AT_TIME;
	else
		return sl_err_set(err, SL_EINVAL,
				  "start: `%s` is none of earliest, latest, a time such as 2026-01-31T08:00:00Z, or "
				  "milliseconds since 1970",
				  k->conf.start);
	return SL_OK;
}

static bool is_there_twice(const struct conf_list *topics, size_t at) {
	for (size_t i = 0; i < at; i++)
		if (strcmp(topics->items[i], topics->items[at]) == 0) return true;
	return false;
}

static int topics_check(const struct conf_list *topics, struct sl_err *err) {
	for (size_t i = 0; i < topics->len; i++) {
		const char *topic = topics->items[i];
		size_t n = strlen(topic);
		if (topic[0] == '^')
			return sl_err_set(err, SL_EINVAL, "topics: `%s` looks like a pattern; write it as `pattern`",
					  topic);
		bool fine = n > 0 && n <= 249;
		for (size_t c = 0; c < n && fine; c++)
			fine = strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", topic[c]);
		if (!fine)
			return sl_err_set(err, SL_EINVAL,
					  "topics: `%s` is no name of a topic: it has 1 to 249 letters, digits, '.', "
					  "'_' or '-'",
					  topic);
		if (is_there_twice(topics, i))
			return sl_err_set(err, SL_EINVAL, "topics: `%s` is there twice; once is enough", topic);
	}
	return SL_OK;
}

/* What an option of the source stands for, or what Sluice depends on. */
static const struct {
	const char *property, *option; /* option NULL: nobody may set it */
} owned[] = {
    {"group.id", "group"},
    {"group.instance.id", "group_instance"},
    {"auto.offset.reset", "start"},
    {"isolation.level", "isolation"},
    {"auto.commit.interval.ms", "commit_interval"},
    {"session.timeout.ms", "session_timeout"},
    {"queued.max.messages.kbytes", "max_pending.bytes"},
    {"enable.auto.commit", NULL},
    {"enable.auto.offset.store", NULL},
    {"enable.partition.eof", NULL},
};

static int properties_check(const struct conf_map *properties, struct sl_err *err) {
	for (size_t i = 0; i < properties->len; i++)
		for (size_t k = 0; k < SL_ARRAY_LEN(owned); k++) {
			if (strcmp(properties->items[i].key, owned[k].property) != 0) continue;
			if (owned[k].option)
				return sl_err_set(err, SL_EINVAL, "properties.%s: use the option `%s` for that",
						  owned[k].property, owned[k].option);
			return sl_err_set(
			    err, SL_EINVAL,
			    "properties.%s: Sluice sets this itself, for its acknowledgements depend on it",
			    owned[k].property);
		}
	return SL_OK;
}

int kafka_source_check(struct kafka_source *k, const char *name, struct sl_err *err) {
	if (k->conf.topics.len == 0 && !k->conf.pattern)
		return sl_err_set(err, SL_EINVAL, "say what to read: `topics: [orders]`, or a `pattern`");
	int r = topics_check(&k->conf.topics, err);
	if (r == SL_OK && k->conf.pattern) r = pattern_check(k->conf.pattern, err);
	if (r == SL_OK) r = start_check(k, err);
	if (r == SL_OK) r = properties_check(&k->conf.properties, err);
	if (r != SL_OK) return r;
	if (!k->conf.group) k->conf.group = sl_asprintf("sluice-%s", name);
	rd_kafka_conf_t *made;
	r = kafka_source_conf_make(k, &made, err);
	if (r == SL_OK) rd_kafka_conf_destroy(made);
	return r;
}

/* ---- The client. --------------------------------------------------------------------------------------------------------- */

static int put(rd_kafka_conf_t *conf, const char *property, const char *value, struct sl_err *err) {
	char text[512];
	if (rd_kafka_conf_set(conf, property, value, text, sizeof text) == RD_KAFKA_CONF_OK) return SL_OK;
	return sl_err_set(err, SL_EINVAL, "librdkafka %s says: %s", rd_kafka_version_str(), text);
}

static int put_int(rd_kafka_conf_t *conf, const char *property, int64_t value, struct sl_err *err) {
	char text[SL_FORMAT_I64_MAX];
	sl_format_i64(value, text);
	return put(conf, property, text, err);
}

#define QUEUED_MESSAGE_BYTES                                                                                           \
	128 /* librdkafka spends four hundred for each that it has fetched, which it does not count as bytes */

/* What is fetched ahead is bounded by what may be under way. Four times that: librdkafka 2.0 rests for a second whenever it has
 * that much, and meanwhile there should be enough. */
static int put_bounds(struct kafka_source *k, rd_kafka_conf_t *conf, struct sl_err *err) {
	int64_t bytes = k->s ? sl_source_bytes_max(k->s) : (int64_t)SL_MB;
	int64_t fetch = bytes < (int64_t)(1000 * 1000) ? 1000 * 1000 : bytes;
	if (fetch > 500 * (int64_t)SL_MB) fetch = 500 * (int64_t)SL_MB;
	int64_t once = fetch / 2 < 1000 * 1000 ? 1000 * 1000 : fetch / 2;
	int r = put_int(conf, "queued.max.messages.kbytes", fetch * 4 / 1024, err);
	if (r == SL_OK) r = put_int(conf, "queued.min.messages", fetch / QUEUED_MESSAGE_BYTES, err);
	if (r == SL_OK) r = put_int(conf, "fetch.max.bytes", once, err);
	return r;
}

int kafka_source_conf_make(struct kafka_source *k, rd_kafka_conf_t **out, struct sl_err *err) {
	static const struct conf_map none = {.items = NULL};
	struct kafka_conf conn = *k->conn;
	/* Of the connection's own properties only those count that the source does not set. */
	conn.properties = none;
	rd_kafka_conf_t *conf;
	int r = kafka_conf_make(&conn, KAFKA_CONSUMER, &k->client, &conf, err);
	if (r != SL_OK) return r;
	int64_t session = k->conf.session_timeout_ms;
	r = put_bounds(k, conf, err);
	if (r == SL_OK) r = put_int(conf, "topic.metadata.refresh.interval.ms", 5000, err);
	if (r == SL_OK) r = put_int(conf, "session.timeout.ms", session, err);
	if (r == SL_OK) r = put_int(conf, "heartbeat.interval.ms", session / 3 < 3000 ? session / 3 : 3000, err);
	/* Until brokers wait no longer than this for a fetch, a stop would have to. */
	if (r == SL_OK) r = put_int(conf, "fetch.wait.max.ms", 200, err);
	/* A message that was changed on its way would be taken, and its offset committed. Where answers are looked at this was found
	 * before (kafka_fetch.h); librdkafka 2.0 reads on from a wrong place after it. Later ones fetch by versions that are not. */
	bool checked = kafka_wire_in_place() && !k->conn->tls.given && rd_kafka_version() < 0x02010000;
	if (r == SL_OK) r = put(conf, "check.crcs", checked ? "false" : "true", err);
	if (r == SL_OK) r = kafka_properties_set(conf, &k->conn->properties, "the connector's properties", err);
	if (r == SL_OK) r = kafka_properties_set(conf, &k->conf.properties, "properties", err);
	if (r == SL_OK) r = put(conf, "group.id", k->conf.group, err);
	if (r == SL_OK && k->conf.group_instance) r = put(conf, "group.instance.id", k->conf.group_instance, err);
	/* Where a new group begins is looked up (kafka_source_start.c). This is for offsets that are gone: of messages that the topic
	 * keeps no longer, or of a topic that was made anew. What is there then was not read. */
	if (r == SL_OK) r = put(conf, "auto.offset.reset", "earliest", err);
	if (r == SL_OK) r = put(conf, "isolation.level", isolations[k->conf.isolation], err);
	if (r == SL_OK) r = put_int(conf, "auto.commit.interval.ms", k->conf.commit_interval_ms, err);
	if (r == SL_OK) r = put(conf, "enable.auto.commit", "true", err);
	if (r == SL_OK) r = put(conf, "enable.auto.offset.store", "false", err);
	if (r == SL_OK) r = put(conf, "enable.partition.eof", "false", err);
	if (r != SL_OK) {
		rd_kafka_conf_destroy(conf);
		return r;
	}
	*out = conf;
	return SL_OK;
}

/* librdkafka takes names that begin with ^ as patterns. */
rd_kafka_topic_partition_list_t *kafka_source_topics(const struct kafka_source *k) {
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)k->conf.topics.len + 1);
	for (size_t i = 0; i < k->conf.topics.len; i++)
		rd_kafka_topic_partition_list_add(list, k->conf.topics.items[i], RD_KAFKA_PARTITION_UA);
	if (k->conf.pattern) {
		char *pattern =
		    k->conf.pattern[0] == '^' ? sl_strdup(k->conf.pattern) : sl_asprintf("^.*(%s)", k->conf.pattern);
		rd_kafka_topic_partition_list_add(list, pattern, RD_KAFKA_PARTITION_UA);
		sl_free(pattern);
	}
	return list;
}
