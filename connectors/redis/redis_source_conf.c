/* redis_source_conf.c: options of a redis source; see redis_source.h. */
#include <unistd.h>

#include "mem.h"
#include "redis_source.h"

static const char *const ends[] = {"right", "left", NULL};

const struct conf_field redis_source_fields[] = {
    {.name = "streams",
     .type = CONF_STRING_LIST,
     .at = offsetof(struct redis_source_conf, streams),
     .flags = CONF_NONEMPTY,
     .max = 1000,
     .example = "[orders, returns]",
     .doc = "Streams to read as a member of `group`. One that does not exist yet is made, empty."},
    {.name = "list",
     .type = CONF_STRING,
     .at = offsetof(struct redis_source_conf, list),
     .flags = CONF_NONEMPTY,
     .max = 1000,
     .example = "jobs",
     .doc = "A list to take from; what is under way stands in <list>:sluice:<consumer>."},
    {.name = "end",
     .type = CONF_ENUM,
     .at = offsetof(struct redis_source_conf, end),
     .def = "right",
     .names = ends,
     .doc = "Of a list: which end is taken from; `right` when others write with LPUSH, `left` with RPUSH."},
    {.name = "channels",
     .type = CONF_STRING_LIST,
     .at = offsetof(struct redis_source_conf, channels),
     .flags = CONF_NONEMPTY,
     .max = 1000,
     .example = "[alarms]",
     .doc = "Channels to subscribe to. Redis keeps nothing: what is said while we are away or paused is lost."},
    {.name = "patterns",
     .type = CONF_STRING_LIST,
     .at = offsetof(struct redis_source_conf, patterns),
     .flags = CONF_NONEMPTY,
     .max = 1000,
     .example = "[\"alarms.*\"]",
     .doc = "Patterns of channels, as PSUBSCRIBE has them."},
    {.name = "group",
     .type = CONF_STRING,
     .at = offsetof(struct redis_source_conf, group),
     .flags = CONF_EXPAND | CONF_NONEMPTY,
     .max = 200,
     .doc = "Of streams: the consumer group; `sluice-` and the source's name when left out. Made when it is missing."},
    {.name = "consumer",
     .type = CONF_STRING,
     .at = offsetof(struct redis_source_conf, consumer),
     .flags = CONF_EXPAND | CONF_NONEMPTY,
     .max = 200,
     .doc = "Our name in the group, or behind the list's. The same after a restart, another for each broker of ours; "
	    "the host's "
	    "name when left out."},
    {.name = "start",
     .type = CONF_STRING,
     .at = offsetof(struct redis_source_conf, start),
     .flags = CONF_NONEMPTY,
     .def = "latest",
     .example = "earliest",
     .doc = "Of streams: where a group begins that is new: `earliest`, `latest` or an entry's id."},
    {.name = "field",
     .type = CONF_STRING,
     .at = offsetof(struct redis_source_conf, field),
     .flags = CONF_NONEMPTY,
     .max = 1000,
     .example = "payload",
     .doc = "Of streams: the field that is the value; when left out, all fields as a JSON object. `headers` has them "
	    "all."},
    {.name = "claim_after",
     .type = CONF_DURATION,
     .at = offsetof(struct redis_source_conf, claim_ms),
     .def = "5m",
     .min = 1000,
     .max = 86400000,
     .flags = CONF_UNLIMITED_OK,
     .doc = "Of streams: entries that another consumer of the group has not acknowledged for so long are taken over."},
    CONF_END};

static bool start_fine(struct sl_slice start) {
	if (slice_equal_str(start, "earliest") || slice_equal_str(start, "latest")) return true;
	bool digits = start.n > 0, dash = false;
	for (size_t i = 0; i < start.n && digits; i++) {
		digits = (start.p[i] >= '0' && start.p[i] <= '9') || (start.p[i] == '-' && i > 0 && !dash);
		dash = dash || start.p[i] == '-';
	}
	return digits;
}

char *redis_source_pending_key(const struct redis_source *r) {
	char *plain = sl_asprintf("%s:sluice:%s", r->conf.list, r->conf.consumer);
	if (r->settings->mode != REDIS_CLUSTER || redis_slot(slice_from_str(plain)) == r->slot) return plain;
	sl_free(plain);
	return sl_asprintf("{%s}:sluice:%s", r->conf.list, r->conf.consumer);
}

/* One connection reads all keys, so they share a slot. */
static int slot_find(struct redis_source *r, struct sl_err *err) {
	const struct conf_list *streams = &r->conf.streams;
	if (r->conf.list) {
		r->slot = redis_slot(slice_from_str(r->conf.list));
		char *pending = redis_source_pending_key(r);
		bool same = redis_slot(slice_from_str(pending)) == r->slot;
		sl_free(pending);
		if (same) return SL_OK;
		return sl_err_set(
		    err, SL_EINVAL,
		    "list: in a Cluster what is under way must be in the same slot, and no key can be made "
		    "for `%s`; give it a part in braces, such as {jobs}",
		    r->conf.list);
	}
	for (size_t i = 0; i < streams->len; i++) {
		uint16_t slot = redis_slot(slice_from_str(streams->items[i]));
		if (i > 0 && slot != r->slot)
			return sl_err_set(
			    err, SL_EINVAL,
			    "streams: in a Cluster `%s` and `%s` are in different slots; give them a part "
			    "in braces in common, such as {orders}:new, or make a source of each",
			    streams->items[0], streams->items[i]);
		r->slot = slot;
	}
	return SL_OK;
}

int redis_source_check(struct redis_source *r, struct sl_err *err) {
	bool channels = r->conf.channels.len || r->conf.patterns.len;
	if (!r->conf.streams.len + !r->conf.list + !channels != 2)
		return sl_err_set(err, SL_EINVAL,
				  "say what to read, one of: `streams: [orders]`, `list: jobs`, or `channels` and "
				  "`patterns`");
	if (!start_fine(slice_from_str(r->conf.start)))
		return sl_err_set(err, SL_EINVAL, "start: `%s` is none of earliest, latest or an entry's id",
				  r->conf.start);
	r->mode = r->conf.streams.len ? REDIS_FROM_STREAMS : r->conf.list ? REDIS_FROM_LIST : REDIS_FROM_CHANNELS;
	if (!r->conf.group) r->conf.group = sl_asprintf("sluice-%s", sl_source_name(r->s));
	if (!r->conf.consumer) {
		char host[256] = "";
		(void)gethostname(host, sizeof host - 1);
		r->conf.consumer = sl_strdup(host[0] ? host : "sluice");
	}
	return r->settings->mode == REDIS_CLUSTER ? slot_find(r, err) : SL_OK;
}
