/* kafka_batch.c: rows to librdkafka, and what it reports of them. See kafka_producer.h.
 *
 * Rows of a batch go to librdkafka in their order, and it keeps the order of a partition, so rows with one key stay in order
 * whatever is sent again. A row that librdkafka does not take at once is decided at once.
 *
 * A request may hold rows of several batches, and brokers refuse requests, not rows. When one is refused, what was not sent is
 * taken back, what is out gets its answer, and a new client begins with the rows that came back, in their order; kafka_gate.h
 * lets fewer and fewer of them out together, until the one that is to blame stands alone. From then on rows like it (as
 * large, as keyless) go alone to this topic. What goes alone goes by the scout, so only the first of many costs that much. */
#include <inttypes.h>

#include "kafka_errors.h"
#include "kafka_producer.h"
#include "log.h"
#include "mem.h"

/* A row this small is copied: the thread that fills requests finds it beside librdkafka's own of it, which costs less than
 * fetching it from where it lies. What is charged for a row (copy_row) has room for that. */
#define COPY_MAX 200
#define CERTAIN_MS 10000 /* then it is asked again whether rows of that size are taken */

#define REPORTS_WAIT_MS 4 /* for others, where no further batch waits for a place */

/* ---- Batches. ------------------------------------------------------------------------------------------------------------ */

static void reports_may_wait(struct kafka_producer *p) {
	bool several = p->batches.next != p->batches.prev;
	atomic_store_explicit(&p->reports_wait_ms, several ? 0 : REPORTS_WAIT_MS, memory_order_relaxed);
}

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
	kb->left = 0;
	kb->not_ready_on = kb->fence = false;
	b->priv = kb;
	sl_list_push_back(&p->batches, &kb->link);
	reports_may_wait(p);
	struct kafka_action *action = sl_action_impl(b->action);
	sl_list_push_back(&action->out, &kb->out);
	return kb;
}

static void batch_drop(struct kafka_producer *p, struct kafka_batch *kb) {
	struct kafka_action *a = sl_action_impl(kb->b->action);
	a->fences -= kb->fence;
	kb->b->priv = NULL;
	kb->b = NULL;
	sl_list_remove(&kb->link);
	reports_may_wait(p);
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

/* Rows of it will come again: until it ends, no later batch of this action goes, for it would overtake them. */
static void batch_fence(struct kafka_batch *kb) {
	struct kafka_action *a = sl_action_impl(kb->b->action);
	a->fences += !kb->fence;
	kb->fence = true;
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
	p->rows_out = p->bytes_out = p->rows_waiting = 0;
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

/* Said once, and again when it is something else, or when the topic was there in the meantime. */
static void topic_waits(const struct kafka_batch *kb, struct kafka_topic *topic, const char *text, const char *advice) {
	sl_action_waits(kb->b->action, topic->name.p, "topic %s: %s%s%s", topic->name.p, text, advice ? "; " : "",
			advice ? advice : "");
	if (topic->waits_why == text) return;
	topic->waits_why = text;
	log_warn(LOG_ACTION, "rows wait for a topic", "action=%s topic=%s reason=%s do=%s",
		 sl_action_name(kb->b->action), topic->name.p, text, advice ? advice : "");
}

struct row_error {
	rd_kafka_resp_err_t code;
	size_t request_rows; /* that were refused together; 0: the row was never sent */
	bool partition_given;
};

static bool size_refused(rd_kafka_resp_err_t code) {
	return code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE || code == RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE;
}

static bool compressed(const struct kafka_producer *p, const struct kafka_topic *t) {
	const char *codec = t->codec ? t->codec : kafka_compressions[p->conf->compression];
	return strcmp(codec, "none") != 0;
}

/* A request was refused for one of its rows: if it has but one, that is it. */
static enum sl_result row_refused(struct kafka_producer *p, const struct kafka_slot *slot,
				  const struct row_error *error) {
	struct kafka_topic *t = slot->topic;
	if (error->request_rows != 1) {
		kafka_begin_anew(p, rd_kafka_err2str(error->code), true);
		return SL_RESULT_LOST;
	}
	if (size_refused(error->code) && !slot->headers && !compressed(p, t)) {
		t->certain_bytes = slot->bytes;
		t->certain_ms = p->report_ms;
	}
	return SL_RESULT_REJECT;
}

/* Rows that wait for a topic keep PENDING until their batch ends. Other topics of an action with a topic template must not
 * wait for one that is missing: those rows are tried again by themselves. */
static void row_failed(struct kafka_producer *p, const struct kafka_slot *slot, const struct row_error *error) {
	struct kafka_batch *kb = slot->batch;
	uint32_t i = (uint32_t)(slot - kb->slot);
	const struct kafka_action *action = sl_action_impl(kb->b->action);
	const struct kafka_error *e = kafka_error_find(error->code);
	const char *text = rd_kafka_err2str(error->code), *topic = slot->topic->name.p;
	enum sl_result result = e->result;
	if (error->code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION && !error->partition_given) result = SL_RESULT_RETRY;
	if (result == SL_RESULT_GROUP_FAILED) result = row_refused(p, slot, error);
	/* Its broker said so, and ended the client; a topic that is missing is found out before anything is sent. */
	if (e->then == KAFKA_NOT_READY && error->code > RD_KAFKA_RESP_ERR_NO_ERROR &&
	    error->code != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
		slot->topic->denied = true;
	if (e->then == KAFKA_NOT_READY && action->plan.topic_constant) {
		batch_fence(kb);
		row_not_ready(kb, e, topic, text);
		return;
	}
	if (e->then == KAFKA_NOT_READY && kafka_missing_failed(p, kb, i, error->code)) return;
	if (e->then == KAFKA_NOT_READY) {
		topic_waits(kb, slot->topic, text, e->advice);
		result = SL_RESULT_RETRY;
	}
	kb->b->result[i] = (uint8_t)result;
	if (result != SL_RESULT_REJECT) batch_fence(kb);
	if (result == SL_RESULT_LOST) return;
	sl_batch_reason(kb->b, i, "%s (topic %s, %zu bytes)%s%s", text, topic, slot->bytes, e->advice ? "; " : "",
			e->advice ? e->advice : "");
}

/* ---- Rows in. ------------------------------------------------------------------------------------------------------------------ */

static rd_kafka_resp_err_t produce(rd_kafka_t *rk, rd_kafka_topic_t *rkt, int32_t partition,
				   const struct kafka_row *row, struct kafka_slot *slot) {
	bool copy = row->value.n > 0 && row->key.n + row->value.n <= COPY_MAX;
	/* Written where it is read only: an initializer would clear all of its 576 bytes for each row. */
	rd_kafka_vu_t vus[8];
	size_t n = 5;
	vus[0].vtype = RD_KAFKA_VTYPE_RKT;
	vus[0].u.rkt = rkt;
	vus[1].vtype = RD_KAFKA_VTYPE_VALUE;
	vus[1].u.mem.ptr = (void *)(uintptr_t)row->value.p;
	vus[1].u.mem.size = row->value.n;
	vus[2].vtype = RD_KAFKA_VTYPE_TIMESTAMP;
	vus[2].u.i64 = row->timestamp;
	vus[3].vtype = RD_KAFKA_VTYPE_OPAQUE;
	vus[3].u.ptr = slot;
	vus[4].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
	vus[4].u.i = copy ? RD_KAFKA_MSG_F_COPY : 0;
	if (row->key.p) {
		vus[n].vtype = RD_KAFKA_VTYPE_KEY;
		vus[n].u.mem.ptr = (void *)(uintptr_t)row->key.p;
		vus[n++].u.mem.size = row->key.n;
	}
	if (partition != RD_KAFKA_PARTITION_UA) {
		vus[n].vtype = RD_KAFKA_VTYPE_PARTITION;
		vus[n++].u.i32 = partition;
	}
	if (row->headers) {
		vus[n].vtype = RD_KAFKA_VTYPE_HEADERS;
		vus[n++].u.headers = row->headers;
	}
	rd_kafka_error_t *error = rd_kafka_produceva(rk, vus, n);
	if (sl_likely(!error)) return RD_KAFKA_RESP_ERR_NO_ERROR;
	rd_kafka_resp_err_t code = rd_kafka_error_code(error);
	rd_kafka_error_destroy(error);
	if (row->headers) rd_kafka_headers_destroy(row->headers);
	return code;
}

/* Where the row has to stand in line; NONE: nowhere, or librdkafka must be asked first. */
static int32_t line_of(struct kafka_topic *topic, int32_t partition, int32_t head, bool alone, uint64_t now_ms) {
	if (topic->unknown.first && head != KAFKA_LINE_UNKNOWN) return KAFKA_LINE_UNKNOWN;
	if (partition == RD_KAFKA_PARTITION_UA && topic->known) return KAFKA_LINE_NONE;
	int32_t line = partition < topic->part_n ? partition : KAFKA_LINE_UNKNOWN;
	const struct kafka_part *part = kafka_gate_part(topic, line);
	if ((part->first && head != line) || !kafka_gate_free(part, alone, now_ms)) return line;
	return KAFKA_LINE_NONE;
}

static bool suspect(const struct kafka_slot *slot) {
	const struct kafka_topic *t = slot->topic;
	return sl_unlikely(t->refused_bytes && slot->bytes >= t->refused_bytes) ||
	       sl_unlikely(t->refused_keyless && slot->keyless) || sl_unlikely(t->denied);
}

/* It was not that, or is not any more. */
static void suspect_stored(const struct kafka_slot *slot) {
	struct kafka_topic *t = slot->topic;
	t->denied = false;
	if (slot->keyless) t->refused_keyless = false;
	if (slot->bytes >= t->refused_bytes) t->refused_bytes = 0;
	if (slot->bytes >= t->certain_bytes) t->certain_bytes = 0;
}

/* Alone, to a partition that is known, or to one that the scout chooses while nobody knows any. */
static rd_kafka_resp_err_t scout_send(struct kafka_producer *p, struct kafka_slot *slot, const struct kafka_row *row,
				      int32_t partition, uint64_t now_ms) {
	rd_kafka_topic_t *rkt = kafka_topic_scouted(slot->topic, p->scout);
	rd_kafka_resp_err_t code = rkt ? produce(p->scout, rkt, partition, row, slot) : RD_KAFKA_RESP_ERR__QUEUE_FULL;
	if (!rkt && row->headers) rd_kafka_headers_destroy(row->headers);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return code;
	slot->partition = partition;
	slot->by_scout = true;
	kafka_gate_sent(kafka_gate_part(slot->topic, partition), true, now_ms);
	return code;
}

static rd_kafka_resp_err_t row_send(struct kafka_producer *p, struct kafka_slot *slot, const struct kafka_row *row,
				    int32_t head, int32_t *line);

/* The first client has said to which partition it goes; its headers went with that. */
static rd_kafka_resp_err_t row_to_scout(struct kafka_producer *p, struct kafka_slot *slot, const struct kafka_ask *ask,
					int32_t *line) {
	struct kafka_batch *kb = slot->batch;
	const struct kafka_action *a = sl_action_impl(kb->b->action);
	struct kafka_row row;
	int r = kafka_row_read(&a->plan, kb->b->row[slot - kb->slot], &kb->arena, &row);
	sl_assert(r == SL_OK); /* it was before */
	if (!kafka_scout_ready(p)) return row_send(p, slot, &row, ask->head, line);
	return scout_send(p, slot, &row, ask->partition, ask->now_ms);
}

/* To librdkafka: NO_ERROR with *line NONE when it is there, with a line when the row has to wait. The headers go in any case. */
static rd_kafka_resp_err_t row_send(struct kafka_producer *p, struct kafka_slot *slot, const struct kafka_row *row,
				    int32_t head, int32_t *line) {
	struct kafka_topic *topic = slot->topic;
	int32_t to = head >= 0 ? head : row->partition;
	bool sure = to >= 0 || !topic->known; /* else the partitioner says where it goes */
	struct kafka_ask ask = {.topic = topic,
				.head = head,
				.alone = suspect(slot) || (sure && sl_unlikely(kafka_gate_part(topic, to)->scouted)),
				.now_ms = sl_loop_now_ms(sl_conn_loop(p->conn)),
				.partition = KAFKA_LINE_UNKNOWN};
	*line = line_of(topic, row->partition, head, ask.alone, ask.now_ms);
	if (sl_unlikely(*line != KAFKA_LINE_NONE)) {
		if (row->headers) rd_kafka_headers_destroy(row->headers);
		return RD_KAFKA_RESP_ERR_NO_ERROR;
	}
	ask.scout = kafka_may_scout(p);
	if (sl_unlikely(ask.scout && ask.alone && sure) && kafka_scout_ready(p))
		return scout_send(p, slot, row, to, ask.now_ms);
	kafka_gate_ask(&ask);
	rd_kafka_resp_err_t code = produce(p->rk, topic->rkt, row->partition, row, slot);
	kafka_gate_ask(NULL);
	if (sl_unlikely(ask.wait)) {
		*line = ask.partition;
		return RD_KAFKA_RESP_ERR_NO_ERROR;
	}
	if (sl_unlikely(ask.by_scout)) return row_to_scout(p, slot, &ask, line);
	if (sl_unlikely(code != RD_KAFKA_RESP_ERR_NO_ERROR)) return code;
	slot->partition = row->partition == RD_KAFKA_PARTITION_UA ? ask.partition : row->partition;
	kafka_gate_sent(kafka_gate_part(topic, slot->partition), ask.alone, ask.now_ms);
	return code;
}

/* Refused alone a moment ago; asking for every such row would hold up those behind it. */
static bool row_known_bad(struct kafka_producer *p, struct kafka_batch *kb, uint32_t i, uint64_t now_ms) {
	const struct kafka_slot *slot = &kb->slot[i];
	const struct kafka_topic *t = slot->topic;
	if (sl_unlikely(t->missing.answers > 0) && kafka_missing_known(p, kb, i)) return true;
	if (sl_likely(t->certain_bytes == 0) || slot->bytes < t->certain_bytes) return false;
	if (now_ms - t->certain_ms >= CERTAIN_MS) return false;
	const struct kafka_error *e = kafka_error_find(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
	kb->b->result[i] = SL_RESULT_REJECT;
	sl_batch_reason(kb->b, i, "%s (topic %s, %zu bytes; it refused one of %zu bytes a moment ago); %s",
			rd_kafka_err2str(e->code), t->name.p, slot->bytes, t->certain_bytes, e->advice);
	return true;
}

enum row_next { ROW_NEXT, ROW_STOP_BEFORE, ROW_STOP_BEHIND };

static enum row_next row_produce(struct kafka_producer *p, struct kafka_batch *kb, uint32_t i, struct kafka_row *row) {
	struct kafka_slot *slot = &kb->slot[i];
	int32_t line;
	if (sl_unlikely(row_known_bad(p, kb, i, sl_loop_now_ms(sl_conn_loop(p->conn))))) {
		if (row->headers) rd_kafka_headers_destroy(row->headers);
		return ROW_NEXT;
	}
	rd_kafka_resp_err_t code = row_send(p, slot, row, KAFKA_LINE_NONE, &line);
	if (sl_likely(code == RD_KAFKA_RESP_ERR_NO_ERROR)) {
		slot->topic->out++;
		kb->left++;
		p->rows_out++;
		p->bytes_out += (int64_t)slot->bytes;
		if (sl_likely(line == KAFKA_LINE_NONE)) return ROW_NEXT;
		kafka_gate_push(kafka_gate_part(slot->topic, line), slot);
		p->rows_waiting++;
		return ROW_NEXT;
	}
	if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL || code == RD_KAFKA_RESP_ERR__FATAL) return ROW_STOP_BEFORE;
	if (code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) { /* found out here, so it is this row */
		kb->b->result[i] = SL_RESULT_REJECT;
		sl_batch_reason(
		    kb->b, i,
		    "the row has %zu bytes (key, value, headers), and the connector's max_message is %" PRId64,
		    slot->bytes, p->conf->max_message);
		return ROW_NEXT;
	}
	row_failed(p, slot,
		   &(struct row_error){.code = code, .partition_given = row->partition != RD_KAFKA_PARTITION_UA});
	if (kb->b->result[i] == SL_RESULT_RETRY) sl_batch_hold_key(kb->b, i);
	return sl_unlikely(kb->not_ready_on) ? ROW_STOP_BEHIND : ROW_NEXT;
}

const char *kafka_codec_of(const struct kafka_action *a) {
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
	struct kafka_topic *topic =
	    constant ? constant : kafka_topics_get(&p->topics, p->rk, row.topic, kafka_codec_of(a));
	if (!topic) {
		if (row.headers) rd_kafka_headers_destroy(row.headers);
		return ROW_STOP_BEFORE;
	}
	kb->slot[i] = (struct kafka_slot){
	    .batch = kb, .topic = topic, .bytes = row.bytes, .keyless = !row.key.p, .headers = row.headers};
	return row_produce(p, kb, i, &row);
}

/* Is there room for the batch? One that is larger than the whole room goes alone. */
static bool has_room(const struct kafka_producer *p, const struct sl_batch *b) {
	if (p->rows_out == 0) return true;
	if (p->rows_out + b->count > p->conf->queue.rows) return false;
	int64_t bytes = 0;
	for (uint32_t i = 0; i < b->count; i++) bytes += sql_row_head(b->row[i])->size;
	return p->bytes_out + bytes <= p->conf->queue.bytes;
}

static void rows_lost(struct kafka_batch *kb, uint32_t from) {
	struct sl_batch *b = kb->b;
	batch_fence(kb);
	for (uint32_t i = from; i < b->count; i++)
		if (b->result[i] == SL_RESULT_PENDING) b->result[i] = SL_RESULT_LOST;
}

/* Another core wrote the rows: they come over while those before them are produced. */
static void rows_ahead(const struct sl_batch *b, uint32_t i) {
	enum { AHEAD = 4, LINE = 64, LINES = 3 };
	if (i + AHEAD >= b->count) return;
	const char *row = b->row[i + AHEAD];
	for (size_t k = 0; k < LINES; k++) __builtin_prefetch(row + k * LINE);
}

int kafka_submit(struct kafka_producer *p, struct sl_conn_action *a, struct sl_batch *b) {
	struct kafka_action *action = sl_action_impl(a);
	struct kafka_topic *constant = NULL;
	if (p->state != KAFKA_RUNNING || p->anew) return SL_EAGAIN; /* offered again when that is over */
	if (action->fences > 0 || !has_room(p, b)) {
		p->full = true;
		return SL_EAGAIN;
	}
	if (action->plan.topic_constant) {
		constant = kafka_topics_get(&p->topics, p->rk, action->plan.topic[0].text, kafka_codec_of(action));
		if (!constant) {
			p->full = true;
			return SL_EAGAIN;
		}
	}
	struct kafka_batch *kb = batch_begin(p, b);
	enum row_next next = ROW_NEXT;
	for (uint32_t i = 0; i < b->count && next == ROW_NEXT; i++) {
		rows_ahead(b, i);
		if (sl_unlikely(b->result[i] != SL_RESULT_PENDING)) { /* held behind an earlier row */
			kafka_missing_held(p, kb, i);
			continue;
		}
		next = row_submit(p, kb, i, constant);
		if (next == ROW_STOP_BEFORE && i == 0) { /* as if it had not come */
			p->full = true;
			batch_drop(p, kb);
			return SL_EAGAIN;
		}
		if (next == ROW_STOP_BEFORE) rows_lost(kb, i);
	}
	kafka_missing_ask(p);
	if (kb->left == 0) batches_end(p, action);
	return SL_OK;
}

/* ---- Reports back. ------------------------------------------------------------------------------------------------------------- */

/* The row is decided, and its batch with the last of them. */
static void row_end(struct kafka_producer *p, struct kafka_slot *slot) {
	struct kafka_batch *kb = slot->batch;
	p->rows_out--;
	p->bytes_out -= (int64_t)slot->bytes;
	slot->topic->out--;
	if (--kb->left == 0) batches_end(p, sl_action_impl(kb->b->action));
}

/* False: it has to wait on. */
static bool waiting_row_go(struct kafka_producer *p, struct kafka_slot *slot, int32_t head) {
	struct kafka_batch *kb = slot->batch;
	uint32_t i = (uint32_t)(slot - kb->slot);
	const struct kafka_action *a = sl_action_impl(kb->b->action);
	struct kafka_row row;
	int32_t line;
	int r = kafka_row_read(&a->plan, kb->b->row[i], &kb->arena, &row);
	sl_assert(r == SL_OK); /* it was before */
	rd_kafka_resp_err_t code = row_send(p, slot, &row, head, &line);
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR && line == head) {
		kafka_gate_push_front(kafka_gate_part(slot->topic, line), slot);
		return false;
	}
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR && line != KAFKA_LINE_NONE) {
		kafka_gate_push(kafka_gate_part(slot->topic, line), slot);
		return true;
	}
	p->rows_waiting--;
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return true;
	row_failed(p, slot, &(struct row_error){.code = code, .partition_given = a->plan.partition.given});
	row_end(p, slot);
	return true;
}

static void line_go(struct kafka_producer *p, struct kafka_topic *topic, int32_t line) {
	uint64_t now = sl_loop_now_ms(sl_conn_loop(p->conn));
	while (!p->anew && p->state == KAFKA_RUNNING) {
		struct kafka_part *part = kafka_gate_part(topic, line);
		if (!part->first || !kafka_gate_free(part, suspect(part->first), now)) return;
		if (!waiting_row_go(p, kafka_gate_pop(part), line)) return;
	}
}

/* Rows before these failed: they must not overtake those, and where a topic is missing it is missing for them, too. */
static void line_fail(struct kafka_producer *p, struct kafka_topic *topic, int32_t line, rd_kafka_resp_err_t code) {
	struct kafka_slot *slot;
	bool not_ready = kafka_error_find(code)->then == KAFKA_NOT_READY;
	while ((slot = kafka_gate_pop(kafka_gate_part(topic, line)))) {
		p->rows_waiting--;
		row_failed(p, slot, &(struct row_error){.code = not_ready ? code : RD_KAFKA_RESP_ERR__PURGE_QUEUE});
		row_end(p, slot);
	}
}

static void row_reported(struct kafka_producer *p, const rd_kafka_message_t *m, size_t request_rows) {
	struct kafka_slot *slot = m->_private;
	struct kafka_batch *kb = slot->batch;
	struct kafka_topic *topic = slot->topic;
	struct kafka_part *part = kafka_gate_part(topic, slot->partition);
	kafka_gate_reported(part);
	if (sl_likely(m->err == RD_KAFKA_RESP_ERR_NO_ERROR)) {
		kb->b->result[slot - kb->slot] = SL_RESULT_DONE;
		if (sl_unlikely(suspect(slot))) suspect_stored(slot);
		kafka_gate_stored(topic, part, m->partition, slot->by_scout, p->report_ms);
		if (sl_unlikely(topic->missing.answers > 0)) kafka_missing_over(topic);
		if (sl_unlikely(topic->waits_why)) {
			topic->waits_why = NULL;
			sl_action_goes_on(kb->b->action, topic->name.p);
		}
	} else {
		const struct kafka_action *a = sl_action_impl(kb->b->action);
		kafka_missing_said(topic, m->err, p->ups, p->report_ms);
		row_failed(p, slot,
			   &(struct row_error){.code = m->err,
					       .request_rows = request_rows,
					       .partition_given = a->plan.partition.given});
	}
	row_end(p, slot);
}

/* All rows of a report were in one request, to one partition, and have one fate. */
struct request {
	struct kafka_topic *topic;
	int32_t line, partition; /* where its rows stood; where it went */
	rd_kafka_resp_err_t code;
	size_t rows, largest;
	bool keyless; /* one of them is */
	bool by_scout;
};

static void lines_go_on(struct kafka_producer *p, struct kafka_topic *topic, int32_t line, rd_kafka_resp_err_t code) {
	const struct kafka_error *e = kafka_error_find(code);
	if (p->anew) return; /* whoever waits is given back */
	if (e->result == SL_RESULT_DONE || e->result == SL_RESULT_REJECT || e->result == SL_RESULT_GROUP_FAILED) {
		line_go(p, topic, line);
		if (topic->unknown.first) line_go(p, topic, KAFKA_LINE_UNKNOWN);
		return;
	}
	line_fail(p, topic, line, code);
}

/* What may be the reason goes alone from now on; if it is stored then, it was not. */
static void request_refused(const struct request *r, uint64_t now_ms) {
	struct kafka_topic *t = r->topic;
	struct kafka_part *stood = kafka_gate_part(t, r->line), *went = kafka_gate_part(t, r->partition);
	kafka_gate_refused(stood, (uint32_t)r->rows, r->by_scout, now_ms);
	if (went != stood) kafka_gate_refused(went, (uint32_t)r->rows, r->by_scout, now_ms);
	if (r->code == RD_KAFKA_RESP_ERR_INVALID_RECORD) t->refused_keyless = t->refused_keyless || r->keyless;
	if (!size_refused(r->code)) return;
	if (t->refused_bytes == 0 || r->largest < t->refused_bytes) t->refused_bytes = r->largest;
}

void kafka_report(struct kafka_producer *p, rd_kafka_event_t *ev) {
	const rd_kafka_message_t *m;
	struct request r = {.rows = rd_kafka_event_message_count(ev)};
	p->report_ms = sl_loop_now_ms(sl_conn_loop(p->conn));
	while ((m = rd_kafka_event_message_next(ev))) {
		const struct kafka_slot *slot = m->_private;
		if (!r.topic) {
			r.topic = slot->topic;
			r.topic->out++; /* it stays until we are through */
			r.line = slot->partition;
			r.partition = m->partition;
			r.code = m->err;
			r.by_scout = slot->by_scout;
		}
		if (sl_unlikely(m->err)) {
			r.keyless = r.keyless || slot->keyless;
			r.largest = sl_max_size(r.largest, slot->bytes);
		}
		row_reported(p, m, r.rows);
	}
	if (!r.topic) return;
	if (kafka_error_find(r.code)->result == SL_RESULT_GROUP_FAILED) request_refused(&r, p->report_ms);
	lines_go_on(p, r.topic, r.line, r.code);
	kafka_missing_ask(p);
	r.topic->out--;
	if (sl_likely(r.code == RD_KAFKA_RESP_ERR_NO_ERROR)) kafka_delivered(p);
	if (p->full) {
		p->full = false;
		sl_conn_writable(p->conn);
	}
	if (kafka_error_find(r.code)->then == KAFKA_ANEW) kafka_begin_anew(p, rd_kafka_err2str(r.code), false);
}
