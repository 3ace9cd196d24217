/* kafka_source_start.c: offsets where a group begins, looked up on the keeper's thread. See kafka_source.h. */
#include "kafka_source.h"
#include "mem.h"

#define ASK_MS 2000 /* one question; a stop waits for it */
#define ENDS_MS 3000

/* The partitions the group knows nothing of. */
static rd_kafka_resp_err_t news(struct kafka_lookup *l, rd_kafka_topic_partition_list_t *out) {
	rd_kafka_resp_err_t e = rd_kafka_committed(l->rk, l->list, ASK_MS);
	for (int i = 0; i < l->list->cnt && !e; i++) {
		rd_kafka_topic_partition_t *p = &l->list->elems[i];
		p->opaque = NULL;
		e = p->err;
		if (p->offset == RD_KAFKA_OFFSET_INVALID)
			rd_kafka_topic_partition_list_add(out, p->topic, p->partition)->offset = l->start_ms;
	}
	return e;
}

/* Where it ends; or where it begins, if it was not there when we joined: what it got before we saw it counts. */
static rd_kafka_resp_err_t at_edge(struct kafka_lookup *l, rd_kafka_topic_partition_t *p) {
	int64_t low, high;
	rd_kafka_resp_err_t e = rd_kafka_query_watermark_offsets(l->rk, p->topic, p->partition, &low, &high, ASK_MS);
	if (!e) p->offset = l->begun ? low : high;
	return e;
}

static void lookup_work(struct kafka_keeper_job *job) {
	struct kafka_lookup *l = sl_container_of(job, struct kafka_lookup, job);
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(l->list->cnt);
	l->status = news(l, list);
	if (!l->status && list->cnt && l->start == KAFKA_AT_TIME)
		l->status = rd_kafka_offsets_for_times(l->rk, list, ASK_MS);
	for (int i = 0; i < list->cnt && !l->status; i++) {
		rd_kafka_topic_partition_t *p = &list->elems[i];
		/* Nothing is as young as that time: what comes is. */
		if (l->start == KAFKA_LATEST || p->offset < 0) l->status = at_edge(l, p);
		rd_kafka_topic_partition_t *to = rd_kafka_topic_partition_list_find(l->list, p->topic, p->partition);
		if (l->status || !to) continue;
		to->offset = p->offset;
		to->opaque = l; /* any pointer: it is news */
	}
	rd_kafka_topic_partition_list_destroy(list);
}

static void lookup_done(struct kafka_keeper_job *job) {
	struct kafka_lookup *l = sl_container_of(job, struct kafka_lookup, job);
	l->done(l);
}

void kafka_lookup_begin(struct kafka_source *k, void (*done)(struct kafka_lookup *lookup)) {
	struct kafka_lookup *l = SL_NEW(struct kafka_lookup);
	l->job = (struct kafka_keeper_job){.work = lookup_work, .done = lookup_done};
	l->source = k;
	l->rk = k->rk;
	l->list = rd_kafka_topic_partition_list_copy(k->change.list);
	l->start = k->start;
	l->start_ms = k->start_ms;
	l->begun = k->begun && k->start == KAFKA_LATEST;
	l->number = k->change.number;
	l->done = done;
	k->lookup = l;
	kafka_keeper_run(k->keeper, &l->job);
}

void kafka_lookup_free(struct kafka_lookup *l) {
	rd_kafka_topic_partition_list_destroy(l->list);
	sl_free(l);
}

/* ---- Where partitions end. ------------------------------------------------------------------------------------------------ */

struct kafka_ends {
	struct kafka_keeper_job job;
	struct kafka_source *source;
	rd_kafka_t *rk;
	rd_kafka_topic_partition_list_t *list;
	rd_kafka_resp_err_t status;
};

static void ends_work(struct kafka_keeper_job *job) {
	struct kafka_ends *e = sl_container_of(job, struct kafka_ends, job);
	e->status = rd_kafka_offsets_for_times(e->rk, e->list, ASK_MS);
}

static void ends_done(struct kafka_keeper_job *job) {
	struct kafka_ends *e = sl_container_of(job, struct kafka_ends, job);
	struct kafka_source *k = e->source;
	for (int i = 0; i < e->list->cnt && !e->status && e->rk == k->rk; i++) {
		const rd_kafka_topic_partition_t *p = &e->list->elems[i];
		struct sl_source_part *part = kafka_source_part(k, p->topic, p->partition);
		if (part && !p->err) ((struct kafka_source_part *)sl_source_part_impl(part))->end = p->offset;
	}
	if (k->ends == e) k->ends = NULL;
	rd_kafka_topic_partition_list_destroy(e->list);
	sl_free(e);
}

void kafka_ends_ask(struct kafka_source *k) {
	uint64_t now = sl_loop_now_ms(sl_source_loop(k->s));
	if (k->ends || k->part_n == 0 || now - k->ends_ms < ENDS_MS) return;
	k->ends_ms = now;
	k->ends = SL_NEW(struct kafka_ends);
	k->ends->job = (struct kafka_keeper_job){.work = ends_work, .done = ends_done};
	k->ends->source = k;
	k->ends->rk = k->rk;
	k->ends->list = rd_kafka_topic_partition_list_new((int)k->part_n);
	for (size_t i = 0; i < k->part_n; i++) {
		const struct kafka_source_part *p = sl_source_part_impl(k->parts[i]);
		rd_kafka_topic_partition_list_add(k->ends->list, p->topic, p->partition)->offset = RD_KAFKA_OFFSET_END;
	}
	kafka_keeper_run(k->keeper, &k->ends->job);
}
