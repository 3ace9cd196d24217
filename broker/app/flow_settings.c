#include "flow_settings.h"

#include "mem.h"

void flow_settings_from(const struct broker_conf *conf, struct flow_settings *f, struct broker_settings *out) {
	const struct conf_map *groups = &conf->mqtt.shared_groups;
	f->share_groups = SL_NEW_ARRAY(struct broker_share_group, groups->len);
	for (size_t i = 0; i < groups->len; i++) {
		int how = broker_conf_shared_strategy(slice_from_str(groups->items[i].value));
		f->share_groups[i] =
		    (struct broker_share_group){.pattern = groups->items[i].key, .how = (enum broker_share)how};
	}
	out->share = (enum broker_share)conf->mqtt.shared_strategy;
	out->queue_full = (enum broker_queue_full)conf->mqtt.queue_full;
	out->queue_qos0 = conf->mqtt.queue_qos0;
	out->share_groups = f->share_groups;
	out->share_groups_len = groups->len;
}

void flow_settings_fini(struct flow_settings *f) { sl_free(f->share_groups); }
