/* connectors_budget.c: how much memory and disk rows may take, all actions together. See connectors.h. */
#include <inttypes.h>
#include <sys/statvfs.h>

#include "connectors_int.h"
#include "log.h"

static void budget_add(struct connectors_budget *b, const struct action_conf *conf) {
	b->actions++;
	b->memory += (uint64_t)conf->buffer.memory;
	if (conf->buffer.disk == CONF_UNLIMITED)
		b->disk_unlimited = true;
	else
		b->disk += (uint64_t)conf->buffer.disk;
}

void connectors_budget(const struct connectors_set *set, struct connectors_budget *out) {
	*out = (struct connectors_budget){.actions = 0};
	for (size_t i = 0; i < set->spec_count; i++) {
		const struct sl_conn_action *a = set->specs[i]->action ? set->specs[i]->action : set->specs[i]->running;
		budget_add(out, &a->conf);
	}
}

int connectors_disk_free(const char *data_dir, uint64_t *bytes) {
	struct statvfs fs;
	if (statvfs(data_dir, &fs) != 0) return SL_ESYSTEM;
	*bytes = (uint64_t)fs.f_bavail * (uint64_t)fs.f_frsize;
	return SL_OK;
}

/* Once for each sum: what the logs may take is more than there is. Their present size counts as free. */
void connectors_disk_check(struct connectors *cs) {
	struct connectors_budget b = {.actions = 0};
	uint64_t taken = 0, room = 0;
	SL_LIST_FOREACH(it, &cs->pipelines) {
		const struct sl_pipeline *p = SL_LIST_ENTRY(it, struct sl_pipeline, link);
		struct spill_stat stat = {0};
		if (p->log) spill_stat(p->log, &stat);
		taken += stat.disk_bytes;
		if (!p->retiring) budget_add(&b, &pipeline_intake(p)->conf);
	}
	if (b.disk == 0 || b.disk == cs->disk_told || connectors_disk_free(cs->data_dir, &room) != SL_OK) return;
	cs->disk_told = b.disk;
	if (b.disk <= room + taken) return;
	log_always(LOG_WARN, LOG_ACTION, "logs of actions may grow beyond the disk",
		   "path=%s actions=%zu budgets_mb=%" PRIu64 " room_mb=%" PRIu64 " do=%s", cs->data_dir, b.actions,
		   b.disk / SL_MB, (room + taken) / SL_MB,
		   "lower buffer.disk, or give node.data_dir a larger disk; when it is full, publishers wait");
}
