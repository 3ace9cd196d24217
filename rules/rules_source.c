/* rules_source.c: what sources bring walks through the rules of a worker, as a publish does.
 *
 * A batch is of one source, so its place in the index is asked for message by message (the cache knows it), and said once. The
 * ticket of a message is raised for its rows and for those of messages that rules republish because of it. */
#include "event_kind.h"
#include "hash.h"
#include "rules_int.h"
#include "source_from.h"

/* A document in which every path is absent, for what has no value. */
static struct sl_slice document(const struct sl_source_item *item) {
	return item->value.p ? item->value : SL_SLICE_LIT("null");
}

/* What a message of MQTT says beside its payload; of another server there is none. */
static void publish_tell(struct rules_event *ev, const struct sl_source_publish *p) {
	static const struct sl_source_publish none = {.qos = 1, .message_expiry_s = -1, .payload_format = -1};
	if (!p) p = &none;
	ev->qos = p->qos;
	ev->retain = p->retain;
	ev->dup = p->dup;
	ev->user_properties = p->user_properties;
	ev->content_type = p->content_type;
	ev->response_topic = p->response_topic;
	ev->correlation_data = p->correlation_data;
	ev->message_expiry_s = p->message_expiry_s;
	ev->payload_format = p->payload_format;
}

bool rules_source_batch(void *arg, size_t worker, const struct sl_source_batch *b) {
	struct rules *r = arg;
	struct rules_worker *rw = worker < r->worker_count ? r->workers[worker] : NULL;
	if (!rw || !rw->loop) return false;
	if (!rules_event_wanted(rw, EVENT(SOURCE_MESSAGE))) return true;
	struct sl_arena *arena = sl_loop_arena(rw->loop);
	struct sl_slice topic = source_topic(b->type, b->name, arena);
	uint64_t hash = sl_hash(topic);
	struct rules_about about = {.source = slice_from_str(b->name), .connector_kind = slice_from_str(b->type)};
	struct rules_event ev = {
	    .kind = EVENT_SOURCE_MESSAGE,
	    .about = &about,
	    .topic = sl_arena_printf(arena, "$sources/%s:%s", b->type, b->name),
	    .at_ms = sl_loop_wall_ms(rw->loop),
	    .version = 5,
	};
	for (uint32_t i = 0; i < b->count; i++) {
		about.item = &b->at[i].item;
		ev.payload = document(about.item);
		publish_tell(&ev, about.item->publish);
		/* Anew each time: what the message before it caused may have changed the cache. */
		struct rule_plan *plan = rules_plan_find(rw, topic, hash);
		if (!plan) return true;
		rules_plan_publish(rw, plan, &ev, &b->at[i].ticket);
	}
	return true;
}
