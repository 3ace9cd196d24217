/* kafka_source_watch.c: does a source read what it should? See kafka_source.h.
 *
 * A client that was told nonsense once may go on for ever without an error: the leader of a group (which is a client) shares out
 * partitions by what it was told of topics, and each member believes what it is told of its share. So some seconds after
 * partitions have come the coordinator is asked who has which; and every ten seconds the brokers are asked where the
 * partitions end that nothing was taken of, and librdkafka where they ended when it last heard of them. */
#include "kafka_source.h"
#include "log.h"
#include "mem.h"

#define ROUND_MS 10000
#define GROUP_MS 3000  /* while the coordinator is asked */
#define ASK_MS 2000    /* one question; a stop waits for it */
#define WRONG_ROUNDS 2 /* so often in a row something is wrong with the group before we believe it */
#define STILL_ROUNDS 3 /* and a partition stands still */
#define AGAIN_MS 60000 /* between two clients that begin anew for this */
#define GROUP_ROUNDS 6 /* so often the coordinator is asked at most, if it does not answer */

struct kafka_round {
	struct kafka_keeper_job job;
	struct kafka_source *source;
	rd_kafka_t *rk;
	uint64_t number;                              /* of the change: partitions are the same as long as it is */
	char *member;                                 /* NULL: the coordinator is not asked */
	rd_kafka_topic_partition_list_t *list, *ends; /* ours */
	bool ends_known, group_known;
	char *wrong; /* with the group */
};

/* ---- On the keeper's thread. ------------------------------------------------------------------------------------------------ */

/* The first partition of this topic that no member has. */
static char *nobodys(struct kafka_round *r, const char *topic, const rd_kafka_topic_partition_list_t *had) {
	const struct rd_kafka_metadata *md = NULL;
	rd_kafka_topic_t *t = rd_kafka_topic_new(r->rk, topic, NULL);
	char *found = NULL;
	rd_kafka_resp_err_t e = t ? rd_kafka_metadata(r->rk, 0, t, &md, ASK_MS) : RD_KAFKA_RESP_ERR__FAIL;
	for (int i = 0; !e && i < md->topic_cnt; i++) {
		const struct rd_kafka_metadata_topic *of = &md->topics[i];
		if (of->err || strcmp(of->topic, topic) != 0) continue;
		for (int p = 0; p < of->partition_cnt && !found; p++)
			if (!rd_kafka_topic_partition_list_find((rd_kafka_topic_partition_list_t *)(uintptr_t)had,
								topic, of->partitions[p].id))
				found = sl_asprintf("no member of the group was given %s [%d]", topic,
						    (int)of->partitions[p].id);
	}
	if (md) rd_kafka_metadata_destroy(md);
	if (t) rd_kafka_topic_destroy(t);
	return found;
}

static void group_look(struct kafka_round *r, const rd_kafka_ConsumerGroupDescription_t *g) {
	rd_kafka_topic_partition_list_t *had = rd_kafka_topic_partition_list_new(16);
	int mine = 0;
	r->group_known = true;
	for (size_t i = 0; i < rd_kafka_ConsumerGroupDescription_member_count(g); i++) {
		const rd_kafka_MemberDescription_t *m = rd_kafka_ConsumerGroupDescription_member(g, i);
		const rd_kafka_MemberAssignment_t *a = rd_kafka_MemberDescription_assignment(m);
		const rd_kafka_topic_partition_list_t *list = a ? rd_kafka_MemberAssignment_partitions(a) : NULL;
		const char *id = rd_kafka_MemberDescription_consumer_id(m);
		bool ours = id && strcmp(id, r->member) == 0;
		for (int p = 0; list && p < list->cnt; p++) {
			const rd_kafka_topic_partition_t *at = &list->elems[p];
			rd_kafka_topic_partition_list_add(had, at->topic, at->partition);
			bool known = rd_kafka_topic_partition_list_find(r->list, at->topic, at->partition);
			mine += ours && known ? 1 : 0;
			if (ours && !known && !r->wrong)
				r->wrong = sl_asprintf("the group gave us %s [%d], which we were not told", at->topic,
						       (int)at->partition);
		}
	}
	if (!r->wrong && mine < r->list->cnt) r->wrong = sl_strdup("we read partitions that the group did not give us");
	const struct conf_list *topics = &r->source->conf.topics;
	for (size_t i = 0; i < topics->len && !r->wrong; i++) r->wrong = nobodys(r, topics->items[i], had);
	rd_kafka_topic_partition_list_destroy(had);
}

/* A group that changes, or that we may not look at, tells nothing. */
static void group_ask(struct kafka_round *r) {
	char text[256];
	const char *group = r->source->conf.group;
	rd_kafka_queue_t *queue = rd_kafka_queue_new(r->rk);
	rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(r->rk, RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS);
	(void)rd_kafka_AdminOptions_set_request_timeout(options, ASK_MS, text, sizeof text);
	rd_kafka_DescribeConsumerGroups(r->rk, &group, 1, options, queue);
	rd_kafka_event_t *event = rd_kafka_queue_poll(queue, ASK_MS);
	const rd_kafka_DescribeConsumerGroups_result_t *result =
	    event ? rd_kafka_event_DescribeConsumerGroups_result(event) : NULL;
	size_t n = 0;
	const rd_kafka_ConsumerGroupDescription_t **groups =
	    result ? rd_kafka_DescribeConsumerGroups_result_groups(result, &n) : NULL;
	if (n == 1 && !rd_kafka_ConsumerGroupDescription_error(groups[0]) &&
	    rd_kafka_ConsumerGroupDescription_state(groups[0]) == RD_KAFKA_CONSUMER_GROUP_STATE_STABLE)
		group_look(r, groups[0]);
	if (event) rd_kafka_event_destroy(event);
	rd_kafka_AdminOptions_destroy(options);
	rd_kafka_queue_destroy(queue);
}

static void round_work(struct kafka_keeper_job *job) {
	struct kafka_round *r = sl_container_of(job, struct kafka_round, job);
	if (r->ends->cnt > 0)
		r->ends_known = rd_kafka_offsets_for_times(r->rk, r->ends, ASK_MS) == RD_KAFKA_RESP_ERR_NO_ERROR;
	if (r->member && (r->ends_known || r->ends->cnt == 0)) group_ask(r);
}

/* ---- On the loop. ------------------------------------------------------------------------------------------------------------ */

static void begin_anew(struct kafka_source *k, const char *why) {
	uint64_t now = sl_loop_now_ms(sl_source_loop(k->s));
	if (k->stood_ms && now - k->stood_ms < AGAIN_MS) return;
	k->stood_ms = now;
	log_warn(LOG_CONN, "a source does not read what it should: its client begins anew", "source=%s reason=%s",
		 sl_source_name(k->s), why);
	k->anew = true; /* the next poll sees to it */
}

static void group_judge(struct kafka_source *k, const struct kafka_round *r) {
	k->group_rounds--;
	if (!r->group_known) return;
	if (!r->wrong) {
		k->group_rounds = k->wrong_rounds = 0;
	} else if (++k->wrong_rounds >= WRONG_ROUNDS) {
		k->group_rounds = GROUP_ROUNDS;
		begin_anew(k, r->wrong);
	}
}

/* Where librdkafka heard of the end, it asks, and what is left may be no messages: marks of transactions. */
static bool stands_still(struct kafka_source *k, struct kafka_source_part *p, int64_t end) {
	int64_t low, high;
	bool heard = !rd_kafka_get_watermark_offsets(k->rk, p->topic, p->partition, &low, &high) && high >= end;
	bool moved = p->next != p->looked_next;
	p->looked_next = p->next;
	p->still = heard || moved || end <= p->next ? 0 : p->still + 1;
	return p->still >= STILL_ROUNDS;
}

static void ends_judge(struct kafka_source *k, const struct kafka_round *r) {
	for (int i = 0; i < r->ends->cnt && !k->anew; i++) {
		const rd_kafka_topic_partition_t *at = &r->ends->elems[i];
		struct sl_source_part *part = kafka_source_part(k, at->topic, at->partition);
		if (!part || at->err || !stands_still(k, sl_source_part_impl(part), at->offset)) continue;
		char *why = sl_asprintf("%s [%d] has messages, and nothing comes of it", at->topic, (int)at->partition);
		begin_anew(k, why);
		sl_free(why);
	}
}

static bool may_look(const struct kafka_source *k) {
	return k->phase == KAFKA_SOURCE_RUNNING && k->joined && !k->paused && !k->down && !k->change.list && !k->anew;
}

static void round_done(struct kafka_keeper_job *job) {
	struct kafka_round *r = sl_container_of(job, struct kafka_round, job);
	struct kafka_source *k = r->source;
	if (k->round == r) k->round = NULL;
	if (r->rk == k->rk && r->number == k->change.number && may_look(k)) {
		if (r->member) group_judge(k, r);
		if (r->ends_known) ends_judge(k, r);
	}
	rd_kafka_topic_partition_list_destroy(r->list);
	rd_kafka_topic_partition_list_destroy(r->ends);
	sl_free(r->member);
	sl_free(r->wrong);
	sl_free(r);
}

static char *member_id(struct kafka_source *k) {
	char *id = rd_kafka_memberid(k->rk), *copy = id ? sl_strdup(id) : NULL;
	if (id) rd_kafka_mem_free(k->rk, id);
	return copy;
}

void kafka_source_watch_begin(struct kafka_source *k) {
	k->group_rounds = GROUP_ROUNDS;
	k->wrong_rounds = 0;
	k->round_ms = k->ends_round_ms = sl_loop_now_ms(sl_source_loop(k->s));
}

void kafka_source_watch(struct kafka_source *k) {
	uint64_t now = sl_loop_now_ms(sl_source_loop(k->s));
	if (k->round || !may_look(k) || now - k->round_ms < (k->group_rounds > 0 ? GROUP_MS : ROUND_MS)) return;
	k->round_ms = now;
	struct kafka_round *r = SL_NEW(struct kafka_round);
	r->job = (struct kafka_keeper_job){.work = round_work, .done = round_done};
	r->source = k;
	r->rk = k->rk;
	r->number = k->change.number;
	r->member = k->group_rounds > 0 ? member_id(k) : NULL;
	r->list = rd_kafka_topic_partition_list_new((int)k->part_n + 1);
	r->ends = rd_kafka_topic_partition_list_new((int)k->part_n + 1);
	bool ends = now - k->ends_round_ms >= ROUND_MS;
	if (ends) k->ends_round_ms = now;
	for (size_t i = 0; i < k->part_n; i++) {
		struct kafka_source_part *p = sl_source_part_impl(k->parts[i]);
		rd_kafka_topic_partition_list_add(r->list, p->topic, p->partition);
		if (!ends) continue;
		if (p->next >= 0 && p->next != p->looked_next) {
			p->looked_next = p->next;
			p->still = 0;
			continue;
		}
		rd_kafka_topic_partition_list_add(r->ends, p->topic, p->partition)->offset = RD_KAFKA_OFFSET_END;
	}
	k->round = r;
	kafka_keeper_run(k->keeper, &r->job);
}
