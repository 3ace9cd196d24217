/* kafka_topics.c: see kafka_topics.h. */
#include "kafka_topics.h"

#include "mem.h"

#define ANSWERS 3        /* at least, before a topic is taken for missing for good */
#define ANSWER_MS 200    /* what is said sooner after another one is the same answer, for several rows */
#define SILENCE_MS 60000 /* time between two answers counts up to this */

void kafka_topics_init(struct kafka_topics *t, size_t max) {
	*t = (struct kafka_topics){.max = max};
	sl_list_init(&t->used);
}

static void handles_drop(struct kafka_topic *topic) {
	if (topic->rkt) rd_kafka_topic_destroy(topic->rkt);
	if (topic->scout_rkt) rd_kafka_topic_destroy(topic->scout_rkt);
	topic->rkt = topic->scout_rkt = NULL;
}

static void topic_drop(struct kafka_topics *t, struct kafka_topic *topic) {
	kafka_topic_map_remove(&t->map, kafka_topic_map_find(&t->map, topic->hash, topic->name));
	sl_list_remove(&topic->used);
	handles_drop(topic);
	sl_free(topic->part);
	sl_free((char *)(uintptr_t)topic->name.p);
	sl_free(topic);
}

/* What is known of one that is missing counts from its first answer on, and is kept while others can go. */
static bool make_room(struct kafka_topics *t) {
	struct kafka_topic *missing = NULL;
	if (t->map.len < t->max) return true;
	SL_LIST_FOREACH(it, &t->used) {
		struct kafka_topic *topic = SL_LIST_ENTRY(it, struct kafka_topic, used);
		if (topic->out > 0) continue;
		if (topic->missing.answers > 0) {
			if (!missing) missing = topic;
			continue;
		}
		topic_drop(t, topic);
		return true;
	}
	if (missing) topic_drop(t, missing);
	return missing != NULL;
}

static rd_kafka_topic_t *handle_new(rd_kafka_t *rk, const char *name, const char *compression) {
	char text[200];
	rd_kafka_topic_conf_t *conf = NULL;
	if (compression) {
		conf = rd_kafka_default_topic_conf_dup(rk);
		(void)rd_kafka_topic_conf_set(conf, "compression.codec", compression, text, sizeof text);
	}
	rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, name, conf); /* takes conf over when it succeeds */
	if (!rkt && conf) rd_kafka_topic_conf_destroy(conf);
	return rkt;
}

struct kafka_topic *kafka_topics_get(struct kafka_topics *t, rd_kafka_t *rk, struct sl_slice name,
				     const char *compression) {
	uint64_t hash = sl_hash(name);
	struct kafka_topic_slot *slot = kafka_topic_map_find(&t->map, hash, name);
	if (slot) {
		if (sl_unlikely(!slot->topic->rkt)) slot->topic->codec = compression;
		sl_list_remove(&slot->topic->used);
		sl_list_push_back(&t->used, &slot->topic->used);
		if (sl_unlikely(!slot->topic->rkt)) slot->topic->rkt = handle_new(rk, slot->topic->name.p, compression);
		return slot->topic->rkt ? slot->topic : NULL;
	}
	bool there;
	if (!make_room(t)) return NULL;
	char *text = slice_dup(name);
	rd_kafka_topic_t *rkt = handle_new(rk, text, compression);
	if (!rkt) { /* only an unusable name, which the caller has excluded, or no memory */
		sl_free(text);
		return NULL;
	}
	struct kafka_topic *topic = SL_NEW(struct kafka_topic);
	topic->rkt = rkt;
	topic->codec = compression;
	topic->hash = hash;
	topic->name = slice_make(text, name.n);
	sl_list_push_back(&t->used, &topic->used);
	slot = kafka_topic_map_put(&t->map, hash, name, &there);
	slot->topic = topic;
	return topic;
}

rd_kafka_topic_t *kafka_topic_scouted(struct kafka_topic *topic, rd_kafka_t *scout) {
	if (!topic->scout_rkt) topic->scout_rkt = handle_new(scout, topic->name.p, topic->codec);
	return topic->scout_rkt;
}

void kafka_topics_reset(struct kafka_topics *t) {
	SL_LIST_FOREACH(it, &t->used) {
		struct kafka_topic *topic = SL_LIST_ENTRY(it, struct kafka_topic, used);
		handles_drop(topic);
		topic->out = 0;
		kafka_gate_reset(topic);
	}
}

void kafka_topics_clear(struct kafka_topics *t) {
	if (!t->used.next) return;
	SL_LIST_FOREACH_SAFE(it, &t->used) topic_drop(t, SL_LIST_ENTRY(it, struct kafka_topic, used));
	kafka_topic_map_fini(&t->map);
}

/* ---- Topics that are missing. --------------------------------------------------------------------------------------------- */

bool kafka_is_missing(rd_kafka_resp_err_t code) {
	return code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC || code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
	       code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
}

void kafka_missing_said(struct kafka_topic *topic, rd_kafka_resp_err_t code, uint32_t ups, uint64_t now_ms) {
	struct kafka_missing *m = &topic->missing;
	uint64_t since = now_ms - m->said_ms;
	if (!kafka_is_missing(code)) return;
	if (m->answers > 0 && m->ups == ups && since < ANSWER_MS) return;
	if (m->answers > 0 && m->ups == ups) m->ms += since < SILENCE_MS ? since : SILENCE_MS;
	m->answers += m->answers < ANSWERS;
	m->denied = code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
	m->ups = ups;
	m->said_ms = now_ms;
}

void kafka_missing_over(struct kafka_topic *topic) { topic->missing = (struct kafka_missing){.answers = 0}; }

bool kafka_missing_for(const struct kafka_topic *topic, uint32_t ups, uint64_t ms) {
	return topic->missing.answers >= ANSWERS && topic->missing.ms >= ms && topic->missing.ups == ups;
}
