/* kafka_source_watch.c: does a source read what it should? See kafka_source.h.
 *
 * A client that was told nonsense once may go on for ever without an error: the leader of a group (which is a client) shares out
 * partitions by what it was told of topics, and each member believes what it is told of its share. So some seconds after
 * partitions have come the coordinator is asked who has which; and every ten seconds the brokers are asked where the
 * partitions end that nothing was taken of, and librdkafka where they ended when it last heard of them. */
#include "kafka_reader.h"
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
#define NO_END (-1)    /* a broker answered with an error */

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

/* The first partition of this topic that no member has. Without an answer nothing is known, and nothing more is asked: a stop waits. */
static char *nobodys(struct kafka_round *r, const char *topic, const rd_kafka_topic_partition_list_t *had) {
	const struct rd_kafka_metadata *md = NULL;
	rd_kafka_topic_t *t = rd_kafka_topic_new(r->rk, topic, NULL);
	char *found = NULL;
	rd_kafka_resp_err_t e = t ? rd_kafka_metadata(r->rk, 0, t, &md, ASK_MS) : RD_KAFKA_RESP_ERR__FAIL;
	if (e) r->group_known = false;
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

/* A member's share, as it was told it: a version, topics with their partitions, and more. */
static void share_read(const struct rd_kafka_group_member_info *m, rd_kafka_topic_partition_list_t *out) {
	struct kafka_reader r = {.p = m->member_assignment, .n = (size_t)m->member_assignment_size};
	kafka_pass(&r, 2);
	for (int32_t topics = kafka_take_i32(&r); topics > 0 && !r.ends; topics--) {
		struct sl_slice name = kafka_take_text(&r);
		char *topic = sl_memdup0(name.p ? name.p : "", name.n);
		for (int32_t count = kafka_take_i32(&r); count > 0 && !r.ends; count--) {
			int32_t partition = kafka_take_i32(&r);
			if (!r.ends) rd_kafka_topic_partition_list_add(out, topic, partition);
		}
		sl_free(topic);
	}
}

/* Is our share what we were told? */
static void ours_look(struct kafka_round *r, rd_kafka_topic_partition_list_t *ours) {
	for (int i = 0; i < ours->cnt && !r->wrong; i++) {
		const rd_kafka_topic_partition_t *at = &ours->elems[i];
		if (!rd_kafka_topic_partition_list_find(r->list, at->topic, at->partition))
			r->wrong = sl_asprintf("the group gave us %s [%d], which we were not told", at->topic,
					       (int)at->partition);
	}
	if (!r->wrong && ours->cnt < r->list->cnt)
		r->wrong = sl_strdup("we read partitions that the group did not give us");
}

static void group_look(struct kafka_round *r, const struct rd_kafka_group_info *g) {
	rd_kafka_topic_partition_list_t *had = rd_kafka_topic_partition_list_new(16);
	rd_kafka_topic_partition_list_t *ours = rd_kafka_topic_partition_list_new(16);
	r->group_known = true;
	for (int i = 0; i < g->member_cnt; i++) {
		share_read(&g->members[i], had);
		if (strcmp(g->members[i].member_id, r->member) == 0) share_read(&g->members[i], ours);
	}
	ours_look(r, ours);
	const struct conf_list *topics = &r->source->conf.topics;
	for (size_t i = 0; i < topics->len && !r->wrong && r->group_known; i++)
		r->wrong = nobodys(r, topics->items[i], had);
	rd_kafka_topic_partition_list_destroy(had);
	rd_kafka_topic_partition_list_destroy(ours);
}

/* A group that changes, or that we may not look at, tells nothing. Not by librdkafka's admin calls: those of 2.0 end the program when
 * the coordinator goes away meanwhile. */
static void group_ask(struct kafka_round *r) {
	const struct rd_kafka_group_list *groups = NULL;
	rd_kafka_resp_err_t e = rd_kafka_list_groups(r->rk, r->source->conf.group, &groups, ASK_MS);
	for (int i = 0; !e && i < groups->group_cnt; i++) {
		const struct rd_kafka_group_info *g = &groups->groups[i];
		if (!g->err && strcmp(g->group, r->source->conf.group) == 0 && strcmp(g->state, "Stable") == 0)
			group_look(r, g);
	}
	if (groups) rd_kafka_group_list_destroy(groups);
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
	if (!k->stood || strcmp(k->stood, why) != 0)
		log_warn(LOG_CONN, "a source does not read what it should: its client begins anew",
			 "source=%s reason=%s", sl_source_name(k->s), why);
	kafka_source_text(&k->stood, why);
	k->anew = true; /* the next poll sees to it */
}

static void group_judge(struct kafka_source *k, const struct kafka_round *r) {
	k->group_rounds--;
	if (!r->group_known) return;
	if (!r->wrong) {
		k->group_rounds = k->wrong_rounds = 0;
		kafka_source_text(&k->stood, NULL);
	} else if (++k->wrong_rounds >= WRONG_ROUNDS) {
		k->group_rounds = GROUP_ROUNDS;
		begin_anew(k, r->wrong);
	}
}

/* Where librdkafka heard of the end, it asks, and what is left may be no messages: marks of transactions. Where we may not read, and
 * where the broker's records are damaged, it asks as well. */
static bool stands_still(struct kafka_source *k, struct kafka_source_part *p, int64_t end) {
	int64_t low, high;
	bool refused = k->denied || p->damaged;
	bool heard = !rd_kafka_get_watermark_offsets(k->rk, p->topic, p->partition, &low, &high) &&
		     (high >= end || (refused && high == NO_END));
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
