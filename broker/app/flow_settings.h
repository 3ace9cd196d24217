/* flow_settings.h: what the file says about where messages go, as the broker wants it.
 * Lifetime: `out` borrows from conf and from `f`, until broker_new() has copied it. Thread: main. */
#ifndef FLOW_SETTINGS_H
#define FLOW_SETTINGS_H

#include "broker.h"
#include "broker_conf.h"

struct flow_settings {
	struct broker_share_group *share_groups;
	struct broker_rewrite *rewrite;
	struct broker_auto_subscribe *auto_subscribe;
};
void flow_settings_from(const struct broker_conf *conf, struct flow_settings *f, struct broker_settings *out);
void flow_settings_fini(struct flow_settings *f);

#endif
