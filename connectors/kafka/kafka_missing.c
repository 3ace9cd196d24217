/* kafka_missing.c: topics that a template names, and that are not there or not ours to write. See kafka_producer.h.
 *
 * A row for such a topic waits, and those behind it with the same order key do, too: the topic may be about to be made. When that takes
 * longer than `topic_timeout` the name is taken for wrong, and the row is rejected. What counts is what brokers have said while the
 * connection was up: several times, all of that time, and nothing else in between. An outage proves nothing, nor does a
 * broker that has just started and has not heard of all topics.
 *
 * While rows wait, the brokers are asked for all topics that we know, in one question; those that rows name which are held behind these
 * are known by then. So many wrong names in a row take as long as one. */
#include "kafka_producer.h"
#include "mem.h"

#define ASK_MS 1000      /* between two questions, and one of them; shorter than an outage is suspected */
#define ASK_MOST_MS 8000 /* one, where brokers take longer; an end waits for it */
#define CERTAIN_MS 10000 /* then a row is tried again, for the topic may be there */

static uint64_t now_ms(const struct kafka_producer *p) { return sl_loop_now_ms(sl_conn_loop(p->conn)); }

static bool is_given_up(const struct kafka_producer *p, const struct kafka_action *a, const struct kafka_topic *topic) {
	if (a->plan.topic_constant || a->topic_timeout_ms == CONF_UNLIMITED || !p->up || p->suspect) return false;
	return kafka_missing_for(topic, p->ups, (uint64_t)a->topic_timeout_ms);
}

static bool row_reject(struct kafka_producer *p, struct kafka_batch *kb, uint32_t i) {
	struct kafka_topic *t = kb->slot[i].topic;
	if (!is_given_up(p, sl_action_impl(kb->b->action), t)) return false;
	kb->b->result[i] = SL_RESULT_REJECT;
	sl_batch_reason(kb->b, i,
			"topic %s %s, as the brokers have said for longer than `topic_timeout`; %s, then give the row "
			"back with `sluice replay`",
			t->name.p, t->missing.denied ? "is not ours to write to" : "does not exist",
			t->missing.denied ? "give this user Write and Describe on it" : "create it");
	sl_action_goes_on(kb->b->action, t->name.p);
	t->waits_why = NULL;
	return true;
}

bool kafka_missing_known(struct kafka_producer *p, struct kafka_batch *kb, uint32_t i) {
	const struct kafka_missing *m = &kb->slot[i].topic->missing;
	return now_ms(p) - m->said_ms < CERTAIN_MS && row_reject(p, kb, i);
}

bool kafka_missing_failed(struct kafka_producer *p, struct kafka_batch *kb, uint32_t i, rd_kafka_resp_err_t code) {
	if (!kafka_is_missing(code)) return false;
	p->missing_wanted = true;
	return row_reject(p, kb, i);
}

void kafka_missing_held(struct kafka_producer *p, struct kafka_batch *kb, uint32_t i) {
	const struct kafka_action *a = sl_action_impl(kb->b->action);
	struct kafka_row row;
	if (!p->missing_wanted || a->plan.topic_constant || p->topics.map.len >= p->topics.max) return;
	if (kafka_row_read(&a->plan, kb->b->row[i], &kb->arena, &row) != SL_OK) return;
	if (row.headers) rd_kafka_headers_destroy(row.headers);
	(void)kafka_topics_get(&p->topics, p->rk, row.topic, kafka_codec_of(a));
}

/* ---- The question. -------------------------------------------------------------------------------------------------------- */

struct question {
	struct kafka_keeper_job job;
	struct kafka_producer *p;
	rd_kafka_t *rk;
	uint32_t ups, limit_ms;
	const struct rd_kafka_metadata *found; /* NULL: no answer */
};

static void question_work(struct kafka_keeper_job *job) {
	struct question *q = sl_container_of(job, struct question, job);
	if (rd_kafka_metadata(q->rk, 0, NULL, &q->found, (int)q->limit_ms) != RD_KAFKA_RESP_ERR_NO_ERROR)
		q->found = NULL;
}

/* One that may be seen may still be refused to us: that is said when a row is sent. */
static void topic_answer(struct kafka_producer *p, const struct rd_kafka_metadata_topic *of) {
	struct sl_slice name = slice_from_str(of->topic);
	struct kafka_topic_slot *slot = kafka_topic_map_find(&p->topics.map, sl_hash(name), name);
	if (!slot) return;
	kafka_missing_said(slot->topic, of->err, p->ups, now_ms(p));
	if (of->err == RD_KAFKA_RESP_ERR_NO_ERROR && !slot->topic->denied) kafka_missing_over(slot->topic);
}

static void question_done(struct kafka_keeper_job *job) {
	struct question *q = sl_container_of(job, struct question, job);
	struct kafka_producer *p = q->p;
	p->missing_asked = false;
	bool is_ours = q->rk == p->rk && p->state == KAFKA_RUNNING && q->ups == p->ups;
	bool counts = q->found && is_ours;
	/* Of very many topics it may take that long. */
	if (!q->found && is_ours && p->up && !p->suspect && p->missing_limit_ms < ASK_MOST_MS) p->missing_limit_ms *= 2;
	for (int i = 0; counts && i < q->found->topic_cnt; i++) topic_answer(p, &q->found->topics[i]);
	if (q->found) rd_kafka_metadata_destroy(q->found);
	sl_free(q);
}

void kafka_missing_ask(struct kafka_producer *p) {
	uint64_t now = now_ms(p);
	if (sl_likely(!p->missing_wanted)) return;
	p->missing_wanted = false;
	if (p->missing_asked || !p->up || p->suspect || p->state != KAFKA_RUNNING || p->anew) return;
	if (p->missing_asked_ms > 0 && now - p->missing_asked_ms < ASK_MS) return;
	p->missing_asked = true;
	p->missing_asked_ms = now;
	struct question *q = SL_NEW(struct question);
	q->job = (struct kafka_keeper_job){.work = question_work, .done = question_done};
	q->p = p;
	q->rk = p->rk;
	q->ups = p->ups;
	if (p->missing_limit_ms == 0) p->missing_limit_ms = ASK_MS;
	q->limit_ms = p->missing_limit_ms;
	kafka_keeper_run(p->keeper, &q->job);
}
