/* client_topic.c: what stands between the topic that a client sends and the one that is meant: `$delayed/10/` in front, and
 * mqtt.rewrite. Everything else (access rules, reserved topics, the trie) sees what is meant. */
#include "client.h"
#include "client_topic.h"

#include "arena.h"
#include "delayed.h"
#include "rewrite.h"
#include "topic.h"
#include "utf8.h"

static struct sl_slice keep(struct client *c, struct sl_slice text) {
	char *p = sl_arena_alloc(sl_loop_arena(c->w->loop), text.n);
	memcpy(p, text.p, text.n);
	return slice_make(p, text.n);
}

/* The topic that is meant, in the tick's memory when it is another. */
static enum mqtt_reason rewritten(struct client *c, struct sl_slice clientid, struct sl_slice username,
				  struct sl_slice *topic) {
	struct sl_slice out;
	if (!c->w->rewriter) return MQTT_RC_SUCCESS;
	switch (rewrite_topic(c->w->rewriter, BROKER_REWRITE_PUBLISH, *topic, clientid, username, &out)) {
	case REWRITE_NONE: return MQTT_RC_SUCCESS;
	case REWRITE_BAD: return MQTT_RC_TOPIC_NAME_INVALID;
	case REWRITE_DONE: break;
	}
	if (!topic_name_valid(out) || !utf8_valid_mqtt(out)) return MQTT_RC_TOPIC_NAME_INVALID;
	*topic = keep(c, out);
	return MQTT_RC_SUCCESS;
}

static struct sl_slice username_of(const struct client *c) {
	return c->username ? slice_from_str(c->username) : SL_SLICE_EMPTY;
}

enum mqtt_reason client_publish_topic_slow(struct client *c, struct sl_slice *topic, uint32_t *delay_s) {
	if (delayed_split(*topic, delay_s, topic) == DELAYED_BAD) return MQTT_RC_TOPIC_NAME_INVALID;
	return rewritten(c, c->s->client_id, username_of(c), topic);
}

enum mqtt_reason client_will_topic(struct client *c, struct mqtt_connect *p, struct sl_slice id,
				   struct sl_slice username) {
	struct sl_slice real = p->will.topic, before = real;
	uint32_t seconds;
	if (delayed_split(real, &seconds, &real) == DELAYED_BAD) return MQTT_RC_TOPIC_NAME_INVALID;
	struct sl_slice prefix = slice_make(before.p, before.n - real.n);
	enum mqtt_reason reason = rewritten(c, id, username, &real);
	if (reason != MQTT_RC_SUCCESS) return reason;
	if (client_topic_reserved(real)) return MQTT_RC_NOT_AUTHORIZED;
	if (topic_levels(real) > c->w->b->set.topic_levels_max) return MQTT_RC_TOPIC_NAME_INVALID;
	if (real.n + prefix.n > TOPIC_BYTES_MAX) return MQTT_RC_TOPIC_NAME_INVALID;
	if (slice_equal(slice_from(before, prefix.n), real)) return MQTT_RC_SUCCESS;
	char *all = sl_arena_alloc(sl_loop_arena(c->w->loop), prefix.n + real.n);
	if (prefix.n) memcpy(all, prefix.p, prefix.n);
	memcpy(all + prefix.n, real.p, real.n);
	p->will.topic = slice_make(all, prefix.n + real.n);
	return MQTT_RC_SUCCESS;
}

bool client_filter_slow(struct client *c, struct sl_slice *filter) {
	struct sl_slice group, inner, out;
	topic_share_split(*filter, &group, &inner);
	struct sl_slice prefix = slice_make(filter->p, filter->n - inner.n);
	switch (rewrite_topic(c->w->rewriter, BROKER_REWRITE_SUBSCRIBE, inner, c->s->client_id, username_of(c), &out)) {
	case REWRITE_NONE: return true;
	case REWRITE_BAD: return false;
	case REWRITE_DONE: break;
	}
	/* A rewritten filter is no way into a group. */
	struct sl_slice no_group;
	if (prefix.n + out.n > TOPIC_BYTES_MAX || !topic_filter_valid(out) || !utf8_valid_mqtt(out) ||
	    topic_share_split(out, &group, &no_group))
		return false;
	char *all = sl_arena_alloc(sl_loop_arena(c->w->loop), prefix.n + out.n);
	if (prefix.n) memcpy(all, prefix.p, prefix.n);
	memcpy(all + prefix.n, out.p, out.n);
	*filter = slice_make(all, prefix.n + out.n);
	return true;
}
