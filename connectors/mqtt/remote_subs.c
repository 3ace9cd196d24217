/* remote_subs.c: what a source subscribes to at another broker: options, and what became of them. See remote_in.h. */
#include "mem.h"
#include "remote_in.h"
#include "topic.h"

/* Some brokers take no more at a time. */
#define FILTERS_A_PACKET 8

static int check_filter(const struct conf_field *field, struct sl_slice text, struct sl_err *err) {
	(void)field;
	if (topic_filter_valid(text)) return SL_OK;
	return sl_err_set(err, SL_EINVAL,
			  "'%.*s' is no topic filter: `+` stands alone in its level, `#` alone in the last",
			  SL_SLICE_ARG(slice_sub(text, 0, 200)));
}

static const struct conf_field wanted_fields[] = {
    {.name = "filter",
     .type = CONF_STRING,
     .at = offsetof(struct remote_wanted, filter),
     .flags = CONF_REQUIRED | CONF_NONEMPTY,
     .max = 65535,
     .validate = check_filter,
     .example = "\"cmd/#\"",
     .doc = "The topic filter; with `$share/group/` before it several of our brokers take turns."},
    {.name = "qos",
     .type = CONF_INT,
     .at = offsetof(struct remote_wanted, qos),
     .def = "1",
     .max = 2,
     .doc = "The highest QoS to get messages with. With 0 what comes while we are away, or slow, is lost."},
    {.name = "no_local",
     .type = CONF_BOOL,
     .at = offsetof(struct remote_wanted, no_local),
     .def = "false",
     .flags = CONF_ADVANCED,
     .doc = "MQTT 5: not what this connection published; it publishes nothing, actions have another one."},
    {.name = "retain_as_published",
     .type = CONF_BOOL,
     .at = offsetof(struct remote_wanted, retain_as_published),
     .def = "true",
     .doc = "MQTT 5: `flags.retain` says what the publisher said, not only which message was stored there."},
    CONF_END};

const struct conf_field remote_source_fields[] = {
    {.name = "topics",
     .type = CONF_OBJECT_LIST,
     .at = offsetof(struct remote_source_conf, topics),
     .flags = CONF_REQUIRED | CONF_NONEMPTY,
     .max = 10000,
     .fields = wanted_fields,
     .item_size = sizeof(struct remote_wanted),
     .example = "[{filter: \"cmd/#\", qos: 1}]",
     .doc = "What to subscribe to."},
    {.name = "clean_start",
     .type = CONF_BOOL,
     .at = offsetof(struct remote_source_conf, clean_start),
     .def = "false",
     .doc = "Forgets at each connection what the broker kept meanwhile."},
    {.name = "session_expiry",
     .type = CONF_DURATION,
     .at = offsetof(struct remote_source_conf, session_expiry_ms),
     .def = "1d",
     .max = 4294967294000,
     .flags = CONF_UNLIMITED_OK,
     .doc = "MQTT 5: how long the broker keeps messages for us when we are away. With 3.1.1 it decides itself."},
    CONF_END};

static const struct remote_wanted *wanted(const struct remote_source *k, size_t i) {
	return &((const struct remote_wanted *)k->conf.topics.items)[i];
}

int remote_source_check(struct remote_source *k, struct sl_err *err) {
	for (size_t i = 0; i < k->conf.topics.len; i++) {
		struct sl_slice group, filter;
		bool shared = topic_share_split(slice_from_str(wanted(k, i)->filter), &group, &filter);
		if (shared && wanted(k, i)->no_local) /* [MQTT-3.8.3-4] */
			return sl_err_set(err, SL_EINVAL, "topics[%zu]: a shared subscription cannot have `no_local`",
					  i);
		for (size_t j = 0; j < i; j++)
			if (strcmp(wanted(k, i)->filter, wanted(k, j)->filter) == 0)
				return sl_err_set(err, SL_EINVAL, "topics[%zu]: `%.200s` is there already", i,
						  wanted(k, i)->filter);
	}
	k->subs = SL_NEW_ARRAY(struct remote_sub, k->conf.topics.len);
	return SL_OK;
}

bool remote_subs_match(const struct remote_source *k, struct sl_slice topic) {
	for (size_t i = 0; i < k->conf.topics.len; i++) {
		struct sl_slice group, filter;
		topic_share_split(slice_from_str(wanted(k, i)->filter), &group, &filter);
		if (topic_matches(filter, topic)) return true;
	}
	return false;
}

static uint16_t packet_id_new(struct remote_source *k) {
	if (++k->next_packet_id == 0) k->next_packet_id = 1;
	return k->next_packet_id;
}

/* Those from i on that are not granted, as many as one packet takes; i is where the next begins. */
static bool subscribe_some(struct remote_source *k, size_t *i, bool session_present) {
	struct sl_buf entries = SL_BUF_INIT;
	struct mqtt_subscribe s = {0};
	mqtt_props_init(&s.props);
	for (; *i < k->conf.topics.len && s.count < FILTERS_A_PACKET; ++*i) {
		const struct remote_wanted *w = wanted(k, *i);
		if (k->subs[*i].state != REMOTE_SUB_NONE && k->subs[*i].state != REMOTE_SUB_REFUSED) continue;
		if (s.count == 0) s.packet_id = packet_id_new(k);
		struct mqtt_sub_entry e = {.filter = slice_from_str(w->filter),
					   .qos = (uint8_t)w->qos,
					   .no_local = w->no_local,
					   .retain_as_published = w->retain_as_published,
					   /* Of a session that may have it from before, retained messages came then. */
					   .retain_handling = session_present ? 1 : 0};
		mqtt_put_sub_entry(&entries, &e);
		k->subs[*i] = (struct remote_sub){.state = REMOTE_SUB_ASKED, .packet_id = s.packet_id};
		s.count++;
	}
	s.entries = sl_buf_slice(&entries);
	if (s.count) mqtt_encode_subscribe(&s, remote_version(&k->r), remote_out(&k->r));
	sl_buf_fini(&entries);
	return s.count > 0;
}

void remote_subs_begin(struct remote_source *k, bool session_present) {
	for (size_t i = 0; i < k->conf.topics.len; i++) {
		struct remote_sub *sub = &k->subs[i];
		if (!session_present || sub->state == REMOTE_SUB_ASKED) *sub = (struct remote_sub){0};
	}
	size_t i = 0;
	while (subscribe_some(k, &i, session_present)) continue;
	remote_subs_tell(k);
}

void remote_subs_suback(struct remote_source *k, const struct mqtt_suback *a) {
	size_t n = 0;
	for (size_t i = 0; i < k->conf.topics.len; i++) {
		struct remote_sub *sub = &k->subs[i];
		if (sub->state != REMOTE_SUB_ASKED || sub->packet_id != a->packet_id) continue;
		if (n == a->codes.n) {
			remote_disconnect(&k->r, MQTT_RC_PROTOCOL_ERROR, "the broker's SUBACK has too few codes");
			return;
		}
		uint8_t code = (uint8_t)a->codes.p[n++];
		sub->state = code < 0x80 ? REMOTE_SUB_GRANTED : REMOTE_SUB_REFUSED;
		sub->granted_qos = code;
		sub->reason = code;
	}
	remote_subs_tell(k);
}

void remote_subs_tell(struct remote_source *k) {
	for (size_t i = 0; i < k->conf.topics.len; i++)
		if (k->subs[i].state == REMOTE_SUB_NONE || k->subs[i].state == REMOTE_SUB_ASKED) return;
	for (size_t i = 0; i < k->conf.topics.len; i++) {
		const struct remote_sub *sub = &k->subs[i];
		if (sub->state != REMOTE_SUB_REFUSED) continue;
		sl_source_state(k->s, SL_SOURCE_DEGRADED,
				"the broker refused the subscription to `%.200s`: %s; it is asked again",
				wanted(k, i)->filter,
				remote_version(&k->r) == MQTT_V5 ? mqtt_reason_name((enum mqtt_reason)sub->reason)
								 : "it does not say why");
		return;
	}
	for (size_t i = 0; i < k->conf.topics.len; i++) {
		if (k->subs[i].granted_qos >= wanted(k, i)->qos) continue;
		sl_source_state(k->s, SL_SOURCE_UP, "the broker granted QoS %u for `%.200s`, %lld was asked for",
				k->subs[i].granted_qos, wanted(k, i)->filter, (long long)wanted(k, i)->qos);
		return;
	}
	sl_source_state(k->s, SL_SOURCE_UP, NULL);
}
