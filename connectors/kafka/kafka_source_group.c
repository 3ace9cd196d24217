/* kafka_source_group.c: partitions that come and go, and their offsets. See kafka_source.h. */
#include "kafka_source.h"
#include "log.h"
#include "mem.h"

#define REVOKE_MS 2000 /* for what is under way of partitions that go */
#define AGAIN_MS 500   /* offsets could not be looked up */

static struct kafka_source_part *part_of(const struct sl_source_part *part) { return sl_source_part_impl(part); }

static bool is_part(const struct sl_source_part *part, const char *topic, int32_t partition) {
	const struct kafka_source_part *p = part_of(part);
	return p->partition == partition && strcmp(p->topic, topic) == 0;
}

/* Messages come in runs of one partition. */
struct sl_source_part *kafka_source_part(struct kafka_source *k, const char *topic, int32_t partition) {
	for (size_t i = 0; i < k->part_n; i++) {
		size_t at = (k->part_last + i) % k->part_n;
		if (!is_part(k->parts[at], topic, partition)) continue;
		k->part_last = at;
		return k->parts[at];
	}
	return NULL;
}

static void part_end(struct sl_source_part *part) {
	struct kafka_source_part *p = part_of(part);
	tracker_fini(&p->tracker);
	sl_free(p->topic);
	p->topic = NULL;
	sl_source_part_end(part);
}

static void part_add(struct kafka_source *k, const char *topic, int32_t partition) {
	struct sl_source_part *part = kafka_source_part(k, topic, partition);
	if (part) return;
	part = sl_source_part_new(k->s);
	*part_of(part) = (struct kafka_source_part){
	    .topic = sl_strdup(topic), .partition = partition, .next = -1, .held = -1, .anew = -1, .looked_next = -1};
	SL_GROW(k->parts, k->part_n, k->part_cap);
	k->parts[k->part_n++] = part;
}

static void part_remove(struct kafka_source *k, const char *topic, int32_t partition) {
	for (size_t i = 0; i < k->part_n; i++) {
		if (!is_part(k->parts[i], topic, partition)) continue;
		part_end(k->parts[i]);
		k->parts[i] = k->parts[--k->part_n];
		k->part_last = 0;
		return;
	}
}

void kafka_source_group_end(struct kafka_source *k) {
	while (k->part_n > 0) part_end(k->parts[--k->part_n]);
	k->part_last = 0;
	sl_timer_cancel(&k->change_timer);
	if (k->change.list) rd_kafka_topic_partition_list_destroy(k->change.list);
	k->change.list = NULL;
	k->change.number++;
	k->joined = false;
}

static void pause_all(struct kafka_source *k, bool pause) {
	rd_kafka_topic_partition_list_t *list = NULL;
	if (!k->rk || rd_kafka_assignment(k->rk, &list) || !list) return;
	if (list->cnt > 0) (void)(pause ? rd_kafka_pause_partitions : rd_kafka_resume_partitions)(k->rk, list);
	rd_kafka_topic_partition_list_destroy(list);
}

/* librdkafka goes on behind what it had handed out when it was told, and may hand out more until it has heard of it. */
void kafka_source_hold(struct kafka_source *k) {
	k->held = true;
	for (size_t i = 0; i < k->part_n; i++) {
		struct kafka_source_part *p = part_of(k->parts[i]);
		if (p->held < 0) p->held = p->next < 0 ? 0 : p->next;
	}
	pause_all(k, true);
}

void kafka_source_release(struct kafka_source *k) {
	if (k->held && k->phase == KAFKA_SOURCE_RUNNING) pause_all(k, false);
	k->held = false;
}

/* ---- Offsets. ------------------------------------------------------------------------------------------------------------ */

static void offset_first(struct kafka_source *k, const char *topic, int32_t partition, int64_t offset) {
	rd_kafka_topic_partition_list_t *one = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(one, topic, partition)->offset = offset;
	(void)rd_kafka_offsets_store(k->rk, one);
	rd_kafka_topic_partition_list_destroy(one);
}

static void committed_anew(rd_kafka_t *rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *list,
			   void *opaque) {
	struct kafka_source *k = opaque;
	for (int i = 0; !code && rk == k->rk && i < list->cnt; i++) {
		const rd_kafka_topic_partition_t *p = &list->elems[i];
		struct sl_source_part *part = kafka_source_part(k, p->topic, p->partition);
		if (part && !p->err) part_of(part)->anew = -1;
	}
}

/* librdkafka commits no offset below the last that it has committed, so this is done for it, until it has worked once. */
void kafka_source_commit_anew(struct kafka_source *k) {
	rd_kafka_topic_partition_list_t *list = NULL;
	for (size_t i = 0; i < k->part_n; i++) {
		const struct kafka_source_part *p = part_of(k->parts[i]);
		if (p->anew < 0) continue;
		if (!list) list = rd_kafka_topic_partition_list_new(1);
		int64_t mark = tracker_mark(&p->tracker);
		rd_kafka_topic_partition_list_add(list, p->topic, p->partition)->offset = mark < 0 ? p->anew : mark;
	}
	if (!list) return;
	(void)rd_kafka_commit_queue(k->rk, list, k->queue, committed_anew, k);
	rd_kafka_topic_partition_list_destroy(list);
}

struct sl_source_part *kafka_source_part_anew(struct kafka_source *k, const char *topic, int32_t partition,
					      int64_t offset) {
	int64_t next = part_of(kafka_source_part(k, topic, partition))->next;
	log_warn(LOG_CONN, "offsets of a partition begin anew, as of a topic that was deleted and made again",
		 "source=%s topic=%s partition=%d expected=%lld got=%lld", sl_source_name(k->s), topic, partition,
		 (long long)next, (long long)offset);
	part_remove(k, topic, partition);
	part_add(k, topic, partition);
	struct sl_source_part *part = kafka_source_part(k, topic, partition);
	part_of(part)->anew = offset;
	offset_first(k, topic, partition, offset); /* in place of the old one's */
	kafka_source_commit_anew(k);
	return part;
}

void kafka_source_store(struct kafka_source *k) {
	rd_kafka_topic_partition_list_t *list = NULL;
	for (size_t i = 0; i < k->part_n; i++) {
		struct kafka_source_part *p = part_of(k->parts[i]);
		if (!p->moved) continue;
		p->moved = false;
		if (!list) list = rd_kafka_topic_partition_list_new((int)k->part_n);
		rd_kafka_topic_partition_list_add(list, p->topic, p->partition)->offset = tracker_mark(&p->tracker);
	}
	if (!list) return;
	rd_kafka_resp_err_t e = rd_kafka_offsets_store(k->rk, list);
	if (e)
		log_debug(LOG_CONN, "offsets not stored: the partitions are elsewhere", "source=%s error=%s",
			  sl_source_name(k->s), rd_kafka_err2name(e));
	rd_kafka_topic_partition_list_destroy(list);
}

/* ---- Partitions that come. ------------------------------------------------------------------------------------------------- */

/* librdkafka's own thread is asked, so this is not for a client that leaves its group: see answer_later(). */
static void cooperative_look(struct kafka_source *k) {
	const char *protocol = rd_kafka_rebalance_protocol(k->rk);
	k->cooperative = protocol && strcmp(protocol, "COOPERATIVE") == 0;
}

static void told(struct kafka_source *k, const char *what, rd_kafka_error_t *error, rd_kafka_resp_err_t code) {
	if (!error && !code) return;
	log_warn(LOG_CONN, what, "source=%s reason=%s", sl_source_name(k->s),
		 error ? rd_kafka_error_string(error) : rd_kafka_err2str(code));
	if (error) rd_kafka_error_destroy(error);
}

static void change_end(struct kafka_source *k) {
	rd_kafka_topic_partition_list_destroy(k->change.list);
	k->change.list = NULL;
	kafka_source_state(k);
}

/* A topic that is here now is not missing. */
static void not_missing(struct kafka_source *k, const rd_kafka_topic_partition_list_t *list) {
	for (int i = 0; i < list->cnt && k->missing; i++)
		if (strstr(k->missing, list->elems[i].topic)) kafka_source_text(&k->missing, NULL);
}

static void assign(struct kafka_source *k, rd_kafka_topic_partition_list_t *list) {
	rd_kafka_error_t *error = NULL;
	rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
	cooperative_look(k);
	if (k->cooperative)
		error = rd_kafka_incremental_assign(k->rk, list);
	else
		code = rd_kafka_assign(k->rk, list);
	told(k, "partitions cannot be taken", error, code);
	for (int i = 0; i < list->cnt; i++) {
		const rd_kafka_topic_partition_t *p = &list->elems[i];
		part_add(k, p->topic, p->partition);
		if (p->opaque) offset_first(k, p->topic, p->partition, p->offset);
	}
	if (k->held) pause_all(k, true);
	not_missing(k, list);
	k->joined = k->begun = true;
	kafka_source_watch_begin(k);
	log_info(LOG_CONN, "partitions came", "source=%s group=%s came=%d have=%zu", sl_source_name(k->s),
		 k->conf.group, list->cnt, k->part_n);
	change_end(k);
}

static void looked_up(struct kafka_lookup *l) {
	struct kafka_source *k = l->source;
	bool current = k->lookup == l && k->change.list && l->number == k->change.number && l->rk == k->rk &&
		       k->phase == KAFKA_SOURCE_RUNNING;
	if (k->lookup == l) k->lookup = NULL;
	if (current && l->status) {
		kafka_source_text(&k->error, rd_kafka_err2str(l->status));
		sl_timer_set(sl_source_loop(k->s), &k->change_timer, AGAIN_MS);
	} else if (current) {
		for (int i = 0; i < l->list->cnt; i++) /* the pointer says only that there is one */
			l->list->elems[i].opaque = l->list->elems[i].opaque ? k : NULL;
		assign(k, l->list);
	}
	kafka_lookup_free(l);
}

static void come(struct kafka_source *k) {
	if (k->change.list->cnt == 0 || k->start == KAFKA_EARLIEST)
		assign(k, k->change.list);
	else
		kafka_lookup_begin(k, looked_up);
}

/* ---- Partitions that go. ---------------------------------------------------------------------------------------------------- */

static size_t change_pending(struct kafka_source *k) {
	size_t pending = 0;
	for (int i = 0; i < k->change.list->cnt; i++) {
		const rd_kafka_topic_partition_t *p = &k->change.list->elems[i];
		struct sl_source_part *part = kafka_source_part(k, p->topic, p->partition);
		if (part) pending += sl_source_part_pending(part);
	}
	return pending;
}

/* Whoever answers a rebalance waits for librdkafka's own thread. While it leaves the group that may never happen (its issues 4041
 * and 4884), so then it is the keeper who waits. */
struct answer {
	struct kafka_keeper_job job;
	rd_kafka_t *rk;
	rd_kafka_topic_partition_list_t *list; /* NULL: all */
};

static void answer_work(struct kafka_keeper_job *job) {
	struct answer *a = sl_container_of(job, struct answer, job);
	rd_kafka_error_t *error = a->list ? rd_kafka_incremental_unassign(a->rk, a->list) : NULL;
	if (error) rd_kafka_error_destroy(error);
	if (!a->list) (void)rd_kafka_assign(a->rk, NULL);
}

static void answer_done(struct kafka_keeper_job *job) {
	struct answer *a = sl_container_of(job, struct answer, job);
	if (a->list) rd_kafka_topic_partition_list_destroy(a->list);
	sl_free(a);
}

static void answer_later(struct kafka_source *k, const rd_kafka_topic_partition_list_t *list) {
	struct answer *a = SL_NEW(struct answer);
	a->job = (struct kafka_keeper_job){.work = answer_work, .done = answer_done};
	a->rk = k->rk;
	if (k->cooperative) a->list = rd_kafka_topic_partition_list_copy(list);
	kafka_keeper_run(k->keeper, &a->job);
}

static void give_back(struct kafka_source *k, const rd_kafka_topic_partition_list_t *list) {
	rd_kafka_error_t *error = NULL;
	rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
	if (k->phase != KAFKA_SOURCE_RUNNING)
		answer_later(k, list);
	else if (k->cooperative)
		error = rd_kafka_incremental_unassign(k->rk, list);
	else
		code = rd_kafka_assign(k->rk, NULL);
	told(k, "partitions cannot be given back", error, code);
}

static void unassign(struct kafka_source *k) {
	rd_kafka_topic_partition_list_t *list = k->change.list;
	size_t left = change_pending(k);
	kafka_source_store(k);
	for (int i = 0; i < list->cnt; i++) part_remove(k, list->elems[i].topic, list->elems[i].partition);
	give_back(k, list);
	k->joined = k->part_n > 0;
	log_info(LOG_CONN, "partitions went", "source=%s group=%s went=%d have=%zu forgotten=%zu", sl_source_name(k->s),
		 k->conf.group, list->cnt, k->part_n, left);
	change_end(k);
}

static void go(struct kafka_source *k) {
	bool lost = rd_kafka_assignment_lost(k->rk);
	for (int i = 0; i < k->change.list->cnt; i++) {
		const rd_kafka_topic_partition_t *p = &k->change.list->elems[i];
		struct sl_source_part *part = kafka_source_part(k, p->topic, p->partition);
		if (part) part_of(part)->revoking = true;
	}
	if (lost || change_pending(k) == 0)
		unassign(k);
	else
		sl_timer_set(sl_source_loop(k->s), &k->change_timer, REVOKE_MS);
}

void kafka_source_change_on(struct kafka_source *k) {
	if (!k->change.list || !k->change.revoked || change_pending(k) > 0) return;
	sl_timer_cancel(&k->change_timer);
	unassign(k);
}

/* Partitions that were offered are not taken any more; librdkafka waits to hear of it. */
void kafka_source_leaves(struct kafka_source *k) {
	if (!k->change.list || k->change.revoked) return;
	sl_timer_cancel(&k->change_timer);
	unassign(k);
}

/* ---- What librdkafka says. --------------------------------------------------------------------------------------------------- */

static void change_fire(struct sl_timer *t) {
	struct kafka_source *k = sl_container_of(t, struct kafka_source, change_timer);
	if (!k->change.list || !k->rk) return;
	if (k->change.revoked)
		unassign(k);
	else if (!k->lookup && k->phase == KAFKA_SOURCE_RUNNING)
		kafka_lookup_begin(k, looked_up);
}

void kafka_source_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *list,
			    void *opaque) {
	struct kafka_source *k = ((struct kafka_client *)opaque)->owner;
	if (rk != k->rk) return;
	if (k->change.list) rd_kafka_topic_partition_list_destroy(k->change.list); /* it is void */
	k->change.list = rd_kafka_topic_partition_list_copy(list);
	k->change.revoked = code != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
	k->change.number++;
	sl_timer_cancel(&k->change_timer);
	k->change_timer.fire = change_fire;
	if (k->change.revoked)
		go(k);
	else if (k->phase == KAFKA_SOURCE_RUNNING)
		come(k);
	else
		unassign(k); /* too late to take them */
}
