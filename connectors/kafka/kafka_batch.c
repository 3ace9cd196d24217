/* kafka_batch.c: rows to librdkafka, and what it reports of them. See kafka_producer.h.
 *
 * Rows of a batch go to librdkafka in their order, and it keeps the order of a partition, so rows with one key stay in order
 * whatever is sent again. A row that librdkafka does not take at once is decided at once.
 *
 * A request may hold rows of several batches, and brokers refuse requests, not rows. So when one is refused, the client is ended,
 * that nothing sent behind it overtakes it; all rows are given back; and for as many rows as were out we are careful: one
 * batch at a time. The next refusal then concerns one batch alone, which the framework splits until the row that is to
 * blame stands alone. From then on rows like it (as large, as keyless) go alone to this topic, so that only the first of many
 * costs that much. */
#include <inttypes.h>

#include "kafka_errors.h"
#include "kafka_producer.h"
#include "log.h"
#include "mem.h"

/* ---- Batches. ------------------------------------------------------------------------------------------------------------ */

static struct kafka_batch *batch_begin(struct kafka_producer *p, struct sl_batch *b) {
	struct kafka_batch *kb = p->pool;
	if (kb)
		p->pool = kb->next;
	else {
		kb = SL_NEW(struct kafka_batch);
		sl_arena_init(&kb->arena, 4096);
	}
	if (kb->cap < b->count) {
		kb->cap = b->count;
		kb->slot = sl_realloc_array(kb->slot, kb->cap, sizeof *kb->slot);
	}
	kb->b = b;
	kb->next = NULL;
	kb->left = kb->sent = 0;
	kb->not_ready_on = false;
	kb->alone = sl_list_empty(&p->batches);
	if (!kb->alone) SL_LIST_ENTRY(p->batches.next, struct kafka_batch, link)->alone = false; /* later ones know */
	b->priv = kb;
	sl_list_push_back(&p->batches, &kb->link);
	struct kafka_action *action = sl_action_impl(b->action);
	sl_list_push_back(&action->out, &kb->out);
	return kb;
}

static void batch_drop(struct kafka_producer *p, struct kafka_batch *kb) {
	kb->b->priv = NULL;
	kb->b = NULL;
	sl_list_remove(&kb->link);
	sl_list_remove(&kb->out);
	sl_arena_reset(&kb->arena);
	kb->next = p->pool;
	p->pool = kb;
}

static void batch_end(struct kafka_producer *p, struct kafka_batch *kb) {
	struct sl_batch *b = kb->b;
	if (kb->not_ready_on) sl_batch_not_ready(b, "%s", kb->not_ready);
	batch_drop(p, kb);
	sl_batch_done(b);
}

/* Batches of an action end in the order in which they came: the framework puts rows that come back in line as they come. */
static void batches_end(struct kafka_producer *p, struct kafka_action *a) {
	while (!sl_list_empty(&a->out)) {
		struct kafka_batch *kb = SL_LIST_ENTRY(a->out.next, struct kafka_batch, out);
		if (kb->left > 0) return;
		batch_end(p, kb);
	}
}

void kafka_rows_back(struct kafka_producer *p) {
	p->rows_out = p->bytes_out = 0;
	p->isolated = false;
	while (!sl_list_empty(&p->batches)) {
		struct kafka_batch *kb = SL_LIST_ENTRY(p->batches.next, struct kafka_batch, link);
		sl_batch_fill(kb->b, SL_RESULT_LOST, NULL);
		kb->left = 0;
		batch_end(p, kb);
	}
}

void kafka_batches_free(struct kafka_producer *p) {
	for (struct kafka_batch *kb = p->pool, *next; kb; kb = next) {
		next = kb->next;
		sl_arena_fini(&kb->arena);
		sl_free(kb->slot);
		sl_free(kb->not_ready);
		sl_free(kb);
	}
	p->pool = NULL;
}

/* ---- A row that is not delivered. ------------------------------------------------------------------------------------------ */

static void row_not_ready(struct kafka_batch *kb, const struct kafka_error *e, const char *topic, const char *text) {
	if (!kb->not_ready_on) {
		sl_free(kb->not_ready);
		kb->not_ready = sl_asprintf("topic %s: %s; %s", topic, text, e->advice ? e->advice : e->meaning);
	}
	kb->not_ready_on = true;
}

struct row_error {
	rd_kafka_resp_err_t code;
	struct kafka_topic *topic;
	size_t bytes;
	bool partition_given, keyless;
};

/* A request was refused for one of its rows: GROUP_FAILED says that of a batch that was alone, REJECT of its one row. */
static enum sl_result row_refused(struct kafka_producer *p, struct kafka_batch *kb, const struct row_error *error,
				  const char *text) {
	if (kb->alone && kb->sent == 1) {
		struct kafka_topic *t = error->topic;
		if (error->code == RD_KAFKA_RESP_ERR_INVALID_RECORD)
			t->refused_keyless = t->refused_keyless || error->keyless;
		else if (t->refused_bytes == 0 || error->bytes < t->refused_bytes)
			t->refused_bytes = error->bytes;
		return SL_RESULT_REJECT;
	}
	if (kb->alone) return SL_RESULT_GROUP_FAILED;
	if (p->careful < p->rows_out + 1) p->careful = p->rows_out + 1;
	kafka_begin_anew(p, text, true);
	return SL_RESULT_LOST;
}

/* Rows that wait for a topic keep PENDING until their batch ends. Other topics of an action with a topic template must not
 * wait for one that is missing: those rows are tried again by themselves. */
static void row_failed(struct kafka_producer *p, struct kafka_batch *kb, uint32_t i, const struct row_error *error) {
	const struct kafka_action *action = sl_action_impl(kb->b->action);
	const struct kafka_error *e = kafka_error_find(error->code);
	const char *text = rd_kafka_err2str(error->code), *topic = error->topic->name.p;
	enum sl_result result = e->result;
	if (error->code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION && !error->partition_given) result = SL_RESULT_RETRY;
	if (result == SL_RESULT_GROUP_FAILED) result = row_refused(p, kb, error, text);
	if (e->then == KAFKA_NOT_READY && action->plan.topic_constant) {
		row_not_ready(kb, e, topic, text);
		return;
	}
	if (e->then == KAFKA_NOT_READY) {
		log_warn(LOG_ACTION, "rows wait for a topic", "action=%s topic=%s reason=%s do=%s",
			 sl_action_name(kb->b->action), topic, text, e->advice ? e->advice : "");
		result = SL_RESULT_RETRY;
	}
	kb->b->result[i] = (uint8_t)result;
	if (result == SL_RESULT_LOST) return;
	sl_batch_reason(kb->b, i, "%s (topic %s, %zu bytes)%s%s", text, topic, error->bytes, e->advice ? "; " : "",
			e->advice ? e->advice : "");
}

/* ---- Rows in. ------------------------------------------------------------------------------------------------------------------ */

static rd_kafka_resp_err_t produce(struct kafka_producer *p, const struct kafka_row *row, struct kafka_slot *slot) {
	rd_kafka_vu_t vus[7] = {
	    {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = slot->topic->rkt},
	    {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = row->partition},
	    {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {.ptr = (void *)(uintptr_t)row->value.p, .size = row->value.n}},
	    {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {.ptr = (void *)(uintptr_t)row->key.p, .size = row->key.n}},
	    {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = row->timestamp},
	    {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = slot},
	    {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = row->headers},
	};
	rd_kafka_error_t *error = rd_kafka_produceva(p->rk, vus, row->headers ? 7 : 6);
	if (sl_likely(!error)) return RD_KAFKA_RESP_ERR_NO_ERROR;
	rd_kafka_resp_err_t code = rd_kafka_error_code(error);
	rd_kafka_error_destroy(error);
	if (row->headers) rd_kafka_headers_destroy(row->headers);
	return code;
}

enum row_next { ROW_NEXT, ROW_STOP_BEFORE, ROW_STOP_BEHIND };

static enum row_next row_produce(struct kafka_producer *p, struct kafka_batch *kb, uint32_t i, struct kafka_row *row) {
	struct kafka_slot *slot = &kb->slot[i];
	struct kafka_topic *topic = slot->topic;
	size_t bytes = row->key.n + row->value.n;
	bool suspect = sl_unlikely(topic->refused_bytes && bytes >= topic->refused_bytes) ||
		       sl_unlikely(topic->refused_keyless && !row->key.p);
	if (suspect && p->rows_out > 0) {
		if (row->headers) rd_kafka_headers_destroy(row->headers);
		return ROW_STOP_BEFORE;
	}
	rd_kafka_resp_err_t code = produce(p, row, slot);
	if (sl_likely(code == RD_KAFKA_RESP_ERR_NO_ERROR)) {
		topic->out++;
		kb->left++;
		kb->sent++;
		p->rows_out++;
		p->bytes_out += (int64_t)bytes;
		p->isolated = suspect;
		return suspect ? ROW_STOP_BEHIND : ROW_NEXT;
	}
	if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL) return ROW_STOP_BEFORE;
	if (code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) { /* found out here, so it is this row */
		kb->b->result[i] = SL_RESULT_REJECT;
		sl_batch_reason(kb->b, i, "the row has %zu bytes, and the connector's max_message is %" PRId64, bytes,
				p->conf->max_message);
		return ROW_NEXT;
	}
	row_failed(p, kb, i,
		   &(struct row_error){.code = code,
				       .topic = topic,
				       .bytes = bytes,
				       .partition_given = row->partition != RD_KAFKA_PARTITION_UA});
	if (kb->b->result[i] == SL_RESULT_RETRY) sl_batch_hold_key(kb->b, i);
	return sl_unlikely(kb->not_ready_on) ? ROW_STOP_BEHIND : ROW_NEXT;
}

static const char *codec_of(const struct kafka_action *a) {
	return a->compression ? kafka_compressions[a->compression - 1] : NULL;
}

static enum row_next row_submit(struct kafka_producer *p, struct kafka_batch *kb, uint32_t i,
				struct kafka_topic *constant) {
	struct sl_batch *b = kb->b;
	const struct kafka_action *a = sl_action_impl(b->action);
	struct kafka_row row;
	if (sl_unlikely(kafka_row_read(&a->plan, b->row[i], &kb->arena, &row) != SL_OK)) {
		b->result[i] = SL_RESULT_REJECT;
		sl_batch_reason(b, i, "%s", row.why);
		return ROW_NEXT;
	}
	struct kafka_topic *topic = constant ? constant : kafka_topics_get(&p->topics, p->rk, row.topic, codec_of(a));
	if (!topic) {
		if (row.headers) rd_kafka_headers_destroy(row.headers);
		return ROW_STOP_BEFORE;
	}
	kb->slot[i] = (struct kafka_slot){kb, topic};
	return row_produce(p, kb, i, &row);
}

/* Is there room for the batch? One that is larger than the whole room goes alone. */
static bool has_room(const struct kafka_producer *p, const struct sl_batch *b) {
	if (p->rows_out == 0) return true;
	if (p->isolated || p->careful > 0 || p->rows_out + b->count > p->conf->queue.rows) return false;
	int64_t bytes = 0;
	for (uint32_t i = 0; i < b->count; i++) bytes += sql_row_head(b->row[i])->size;
	return p->bytes_out + bytes <= p->conf->queue.bytes;
}

static void rows_lost(struct sl_batch *b, uint32_t from) {
	for (uint32_t i = from; i < b->count; i++)
		if (b->result[i] == SL_RESULT_PENDING) b->result[i] = SL_RESULT_LOST;
}

int kafka_submit(struct kafka_producer *p, struct sl_conn_action *a, struct sl_batch *b) {
	struct kafka_action *action = sl_action_impl(a);
	struct kafka_topic *constant = NULL;
	if (p->state != KAFKA_RUNNING || p->anew) return SL_EAGAIN; /* offered again when that is over */
	if (!has_room(p, b)) {
		p->full = true;
		return SL_EAGAIN;
	}
	if (action->plan.topic_constant) {
		constant = kafka_topics_get(&p->topics, p->rk, action->plan.topic[0].text, codec_of(action));
		if (!constant) {
			p->full = true;
			return SL_EAGAIN;
		}
	}
	struct kafka_batch *kb = batch_begin(p, b);
	enum row_next next = ROW_NEXT;
	for (uint32_t i = 0; i < b->count && next == ROW_NEXT; i++) {
		if (b->result[i] != SL_RESULT_PENDING) continue; /* held behind an earlier row */
		next = row_submit(p, kb, i, constant);
		if (next == ROW_STOP_BEFORE && i == 0) { /* as if it had not come */
			p->full = true;
			batch_drop(p, kb);
			return SL_EAGAIN;
		}
		if (next == ROW_STOP_BEFORE) rows_lost(b, i);
		if (next == ROW_STOP_BEHIND && !kb->not_ready_on) rows_lost(b, i + 1);
	}
	if (kb->left == 0) batches_end(p, action);
	return SL_OK;
}

/* ---- Reports back. ------------------------------------------------------------------------------------------------------------- */

static bool row_reported(struct kafka_producer *p, const rd_kafka_message_t *m) {
	struct kafka_slot *slot = m->_private;
	struct kafka_batch *kb = slot->batch;
	uint32_t i = (uint32_t)(slot - kb->slot);
	size_t bytes = m->len + m->key_len;
	p->rows_out--;
	p->bytes_out -= (int64_t)bytes;
	slot->topic->out--;
	bool stored = m->err == RD_KAFKA_RESP_ERR_NO_ERROR;
	if (sl_likely(stored))
		kb->b->result[i] = SL_RESULT_DONE;
	else {
		const struct kafka_action *a = sl_action_impl(kb->b->action);
		row_failed(p, kb, i,
			   &(struct row_error){.code = m->err,
					       .topic = slot->topic,
					       .bytes = bytes,
					       .keyless = !m->key,
					       .partition_given = a->plan.partition.given});
	}
	uint8_t result = kb->b->result[i];
	if (p->careful > 0 && (result == SL_RESULT_DONE || result == SL_RESULT_REJECT)) p->careful--;
	if (p->rows_out == 0) p->isolated = false;
	if (--kb->left == 0) batches_end(p, sl_action_impl(kb->b->action));
	return stored;
}

void kafka_report(struct kafka_producer *p, rd_kafka_event_t *ev) {
	const rd_kafka_message_t *m;
	rd_kafka_resp_err_t spent = RD_KAFKA_RESP_ERR_NO_ERROR;
	bool stored = false;
	p->report_ms = sl_loop_now_ms(sl_conn_loop(p->conn));
	while ((m = rd_kafka_event_message_next(ev))) {
		if (sl_unlikely(m->err) && kafka_error_find(m->err)->then == KAFKA_ANEW) spent = m->err;
		stored = row_reported(p, m) || stored;
	}
	if (stored) kafka_delivered(p);
	if (p->full && ((p->careful == 0 && !p->isolated) || p->rows_out == 0)) {
		p->full = false;
		sl_conn_writable(p->conn);
	}
	if (spent) kafka_begin_anew(p, rd_kafka_err2str(spent), false);
}
