/* kafka_source_read.c: what a consumer polls: messages, and errors in place of messages. See kafka_source.h. */
#include "kafka_auth.h"
#include "kafka_source.h"
#include "log.h"
#include "mem.h"

#define MESSAGES_PER_TICK 512

/* ---- Errors. ----------------------------------------------------------------------------------------------------------- */

/* It asks again by itself, twice a second (kafka_fetch.h). */
static void part_damaged(struct kafka_source *k, const rd_kafka_message_t *m) {
	struct sl_source_part *part = kafka_source_part(k, rd_kafka_topic_name(m->rkt), m->partition);
	struct sl_buf said = SL_BUF_INIT;
	if (!part) return;
	((struct kafka_source_part *)sl_source_part_impl(part))->damaged = true;
	kafka_advice(&k->client, m->err, rd_kafka_message_errstr(m), &said);
	kafka_source_text(&k->damaged, sl_buf_cstr(&said));
	sl_buf_fini(&said);
	kafka_source_state(k);
}

/* It asks again by itself, too, and tells of it once. False: the topic is not there for us at all. */
static bool part_denied(struct kafka_source *k, const rd_kafka_message_t *m) {
	const char *topic = m->rkt ? rd_kafka_topic_name(m->rkt) : NULL;
	if (m->err != RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED || !topic) return false;
	if (!kafka_source_part(k, topic, m->partition)) return false;
	char *why = sl_asprintf("%s: %s", topic, rd_kafka_message_errstr(m));
	kafka_source_text(&k->denied, why);
	sl_free(why);
	kafka_source_state(k);
	return true;
}

static void not_denied(struct kafka_source *k, const char *topic) {
	size_t n = strlen(topic);
	if (strncmp(k->denied, topic, n) != 0 || k->denied[n] != ':') return;
	kafka_source_text(&k->denied, NULL);
	kafka_source_state(k);
}

/* librdkafka goes on behind what it could not read; the next client begins where the group stands, which is before that. */
static void unreadable(struct kafka_source *k, const rd_kafka_message_t *m) {
	kafka_pause_next(&k->unread, sl_loop_now_ms(sl_source_loop(k->s)));
	k->unread_waits = true;
	log_warn(LOG_CONN, "a message cannot be read: the client begins anew",
		 "source=%s topic=%s partition=%d again_in_s=%d reason=%s", sl_source_name(k->s),
		 rd_kafka_topic_name(m->rkt), (int)m->partition, (int)(k->unread.ms / 1000),
		 rd_kafka_message_errstr(m));
	kafka_source_is_down(k, rd_kafka_message_errstr(m));
	k->anew = true;
}

/* An error in place of a message. */
static void message_error(struct kafka_source *k, const rd_kafka_message_t *m) {
	const char *text = rd_kafka_message_errstr(m);
	if (part_denied(k, m)) return;
	switch ((int)m->err) {
	case RD_KAFKA_RESP_ERR__PARTITION_EOF: return;
	case RD_KAFKA_RESP_ERR__FATAL: kafka_source_spent(k); return; /* of a consumer it comes this way */
	case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
	case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
	case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
		kafka_source_text(&k->missing, text);
		kafka_source_state(k);
		return;
	case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED: kafka_source_is_down(k, text); return;
	case RD_KAFKA_RESP_ERR_INVALID_MSG:
		if (!m->rkt) break; /* the group's */
		part_damaged(k, m);
		return;
	case RD_KAFKA_RESP_ERR__BAD_MSG:
	case RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED:
		if (m->rkt) unreadable(k, m);
		return;
	}
	kafka_source_text(&k->error, text);
	log_debug(LOG_CONN, "librdkafka", "source=%s error=%s text=%s", sl_source_name(k->s), rd_kafka_err2name(m->err),
		  text);
}

/* ---- Messages. ----------------------------------------------------------------------------------------------------------------- */

static uint32_t headers_read(struct kafka_source *k, const rd_kafka_message_t *m) {
	rd_kafka_headers_t *headers;
	const char *name;
	const void *value;
	size_t size, n = 0;
	if (rd_kafka_message_headers(m, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return 0;
	while (rd_kafka_header_get_all(headers, n, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR) {
		SL_GROW(k->headers, n, k->header_cap);
		k->headers[n++] =
		    (struct sl_source_header){slice_from_str(name), value ? slice_make(value, size) : SL_SLICE_EMPTY};
		if (!value) k->headers[n - 1].value.p = NULL;
	}
	return (uint32_t)n;
}

static struct sl_slice bytes_or_none(const void *p, size_t n) {
	return p ? slice_make(p, n) : (struct sl_slice){.p = NULL};
}

static void message_take(struct kafka_source *k, const rd_kafka_message_t *m) {
	const char *topic = rd_kafka_topic_name(m->rkt);
	struct sl_source_part *part = kafka_source_part(k, topic, m->partition);
	struct kafka_source_part *p = part ? sl_source_part_impl(part) : NULL;
	if (!p || p->revoking) return; /* of a partition that is on its way out */
	if (sl_unlikely(m->offset < p->next)) {
		if (p->held >= 0 && m->offset >= p->held) return; /* taken while the partition was about to be held */
		part = kafka_source_part_anew(k, topic, m->partition, m->offset);
		p = sl_source_part_impl(part);
	} else if (!k->held)
		p->held = -1;
	if (sl_unlikely(p->damaged)) {
		p->damaged = false;
		kafka_source_state(k);
	}
	if (sl_unlikely(k->denied != NULL)) not_denied(k, topic);
	rd_kafka_timestamp_type_t type;
	int64_t ts = rd_kafka_message_timestamp(m, &type);
	sl_buf_clear(&k->id);
	sl_buf_printf(&k->id, "%s-%d-%lld", topic, m->partition, (long long)m->offset);
	struct sl_source_item item = {
	    .key = bytes_or_none(m->key, m->key_len),
	    .value = bytes_or_none(m->payload, m->len),
	    .header_count = headers_read(k, m),
	    .partition = m->partition,
	    .offset = m->offset,
	    .ts_ms = ts,
	    .ts_type = type == RD_KAFKA_TIMESTAMP_CREATE_TIME       ? "create"
		       : type == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME ? "append"
								    : NULL,
	    .topic = slice_from_str(topic),
	    .id = sl_buf_slice(&k->id),
	};
	item.headers = k->headers;
	p->next = m->offset + 1;
	tracker_add(&p->tracker, m->offset);
	sl_source_take(part, &item, (uint64_t)m->offset);
}

/* While partitions are held what comes are rebalances and errors. */
bool kafka_source_read(struct kafka_source *k) {
	int i;
	for (i = 0; i < MESSAGES_PER_TICK && k->phase == KAFKA_SOURCE_RUNNING && !k->anew; i++) {
		if (k->paused && !k->held) break;
		rd_kafka_message_t *m = rd_kafka_consumer_poll(k->rk, 0);
		if (!m) break;
		if (m->err) {
			message_error(k, m);
		} else {
			if (sl_unlikely(k->down || k->suspect || !k->brokers_up)) kafka_source_is_up(k);
			message_take(k, m);
		}
		rd_kafka_message_destroy(m);
	}
	sl_source_flush(k->s);
	return i == MESSAGES_PER_TICK;
}
