#include "flow_settings.h"

#include "mem.h"

static void shared_from(const struct broker_conf *conf, struct flow_settings *f, struct broker_settings *out) {
	const struct conf_map *groups = &conf->mqtt.shared_groups;
	f->share_groups = SL_NEW_ARRAY(struct broker_share_group, groups->len);
	for (size_t i = 0; i < groups->len; i++) {
		int how = broker_conf_shared_strategy(slice_from_str(groups->items[i].value));
		f->share_groups[i] =
		    (struct broker_share_group){.pattern = groups->items[i].key, .how = (enum broker_share)how};
	}
	out->share = (enum broker_share)conf->mqtt.shared_strategy;
	out->share_groups = f->share_groups;
	out->share_groups_len = groups->len;
}

static void topics_from(const struct broker_conf *conf, struct flow_settings *f, struct broker_settings *out) {
	const struct broker_rewrite_conf *rewrite = conf->mqtt.rewrite.items;
	const struct broker_auto_subscribe_conf *subs = conf->mqtt.auto_subscribe.items;
	out->rewrite_len = conf->mqtt.rewrite.len;
	out->auto_subscribe_len = conf->mqtt.auto_subscribe.len;
	f->rewrite = SL_NEW_ARRAY(struct broker_rewrite, out->rewrite_len);
	f->auto_subscribe = SL_NEW_ARRAY(struct broker_auto_subscribe, out->auto_subscribe_len);
	for (size_t i = 0; i < out->rewrite_len; i++)
		f->rewrite[i] = (struct broker_rewrite){.action = (enum broker_rewrite_action)rewrite[i].action,
							.filter = rewrite[i].filter,
							.regex = rewrite[i].regex,
							.to = rewrite[i].to};
	for (size_t i = 0; i < out->auto_subscribe_len; i++)
		f->auto_subscribe[i] =
		    (struct broker_auto_subscribe){.topic = subs[i].topic,
						   .qos = (uint8_t)subs[i].qos,
						   .retain_handling = (uint8_t)subs[i].retain_handling,
						   .no_local = subs[i].no_local,
						   .retain_as_published = subs[i].retain_as_published};
	out->rewrite = f->rewrite;
	out->auto_subscribe = f->auto_subscribe;
}

void flow_settings_from(const struct broker_conf *conf, struct flow_settings *f, struct broker_settings *out) {
	shared_from(conf, f, out);
	topics_from(conf, f, out);
	out->sys_interval_ms = (uint32_t)conf->mqtt.sys_interval_ms;
	out->version = SLUICE_VERSION;
	out->queue_full = (enum broker_queue_full)conf->mqtt.queue_full;
	out->queue_qos0 = conf->mqtt.queue_qos0;
	out->max_delayed = (uint64_t)conf->mqtt.max_delayed;
	out->max_delayed_bytes = (uint64_t)conf->mqtt.max_delayed_bytes;
}

void flow_settings_fini(struct flow_settings *f) {
	sl_free(f->share_groups);
	sl_free(f->rewrite);
	sl_free(f->auto_subscribe);
}
