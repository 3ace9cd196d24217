#include "will.h"

#include "client_access.h"
#include "mem.h"
#include "delayed.h"
#include "persist.h"
#include "route.h"

struct will *will_new(const struct mqtt_will *will, struct sl_slice username) {
	size_t size = will->topic.n + will->payload.n + will->props.raw.n + username.n;
	struct will *w = sl_alloc(sizeof *w + size);
	*w = (struct will){.delay_s = mqtt_props_num(&will->props, MQTT_PROP_WILL_DELAY, 0),
			   .topic_len = (uint32_t)will->topic.n,
			   .payload_len = (uint32_t)will->payload.n,
			   .props_len = (uint32_t)will->props.raw.n,
			   .username_len = (uint32_t)username.n,
			   .qos = will->qos,
			   .retain = will->retain};
	char *p = w->bytes;
	memcpy(p, will->topic.p, will->topic.n);
	p += will->topic.n;
	if (will->payload.n) memcpy(p, will->payload.p, will->payload.n);
	p += will->payload.n;
	if (will->props.raw.n) memcpy(p, will->props.raw.p, will->props.raw.n);
	p += will->props.raw.n;
	if (username.n) memcpy(p, username.p, username.n);
	return w;
}

/* The stored block, read again: it was found good in CONNECT. */
static void read_props(const struct will *will, struct mqtt_props *props) {
	struct sl_slice rest = slice_make(will->bytes + will->topic_len + will->payload_len, will->props_len);
	mqtt_props_init(props);
	props->raw = rest;
	struct mqtt_prop_item it;
	while (mqtt_props_next(&rest, &it)) {
		props->present |= 1u << it.prop;
		if (it.prop == MQTT_PROP_MESSAGE_EXPIRY) props->v[it.prop].num = it.num;
	}
}

void will_publish(struct session *s) {
	struct will *will = s->will;
	if (!will) return;
	s->will = NULL;
	struct mqtt_props props;
	read_props(will, &props);
	const char *username = will->bytes + will->topic_len + will->payload_len + will->props_len;
	struct sl_slice topic = slice_make(will->bytes, will->topic_len);
	uint32_t delay_s = 0;
	bool delayed = delayed_split(topic, &delay_s, &topic) == DELAYED_GOOD;
	if (!client_access_will(s, topic, will->qos, will->retain, slice_make(username, will->username_len))) {
		sl_free(will);
		return;
	}
	struct msg *m = msg_new(&(struct msg_spec){
	    .topic = topic,
	    .payload = slice_make(will->bytes + will->topic_len, will->payload_len),
	    .client_id = s->client_id,
	    .props = &props,
	    .username = slice_make(username, will->username_len),
	    .arrived_ms = delayed_arrives_ms(sl_loop_wall_ms(s->w->loop), delay_s),
	    .number = worker_message_number(s->w),
	    .qos = will->qos,
	    .retain = will->retain,
	});
	if (!delayed ||
	    delayed_add(s->w->delayed, m, delay_s, NULL) != SL_OK) /* who left it cannot be told: at once, then */
		route_publish(s->w, m, NULL, NULL, NULL);
	msg_unref(m);
	sl_free(will);
	persist_will_gone(s);
}

void will_drop(struct session *s) {
	sl_free(s->will);
	s->will = NULL;
	persist_will_gone(s);
}
