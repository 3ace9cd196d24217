/* event_kind.c: see event_kind.h. */
#include "event_kind.h"

#include "source_from.h"
#include "topic.h"

struct kind_row {
	const char *name, *topic, *old;
};
static const struct kind_row kinds[EVENT_KINDS] = {
#define EVENT_KIND(id, event, topic, old, doc) [EVENT_##id] = {event, topic, old},
#define EVENT_AWS(id, type, topic) [EVENT_##id] = {"message.publish", topic, ""},
#include "event_tbl.h"
#undef EVENT_KIND
#undef EVENT_AWS
};

/* What EMQX has beside: named, so that the message is of use. */
static const struct {
	const char *from, *instead;
} elsewhere[] = {
    {"$events/sys/", "alarms are not in this build; a connector's trouble is $events/connector/status"},
    {"$events/auth/check_authz", "what access rules deny is in the log and in the metric sluice_acl_denied_total"},
    {"$events/client_check_authz", "what access rules deny is in the log and in the metric sluice_acl_denied_total"},
    {"$events/schema_validation", "schemas are not in this build; say what must hold in WHERE"},
    {"$events/message_transformation", "transformations are not in this build; SELECT and republish instead"},
};

struct sl_slice event_kind_name(enum rules_event_kind kind) {
	return slice_from_str(kinds[kind].name);
}
struct sl_slice event_kind_topic(enum rules_event_kind kind) {
	return slice_from_str(kinds[kind].topic);
}

bool event_from(struct sl_slice from) { return slice_starts_with(from, SL_SLICE_LIT("$events/")) || source_from(from); }

uint32_t event_kinds(struct sl_slice from) {
	uint32_t mask = 0;
	if (source_from(from)) {
		struct sl_err err = SL_ERR_INIT;
		bool fine = source_from_check(from, &err) == SL_OK;
		sl_err_fini(&err);
		return fine ? EVENT(SOURCE_MESSAGE) : 0;
	}
	if (!topic_filter_valid(from)) return 0;
	struct sl_slice filter = event_filter(from);
	for (int k = 1; k < EVENT_AWS_FIRST; k++)
		if (topic_matches(filter, slice_from_str(kinds[k].topic))) mask |= 1u << k;
	return mask;
}

struct sl_slice event_filter(struct sl_slice from) {
	for (int k = 1; k < EVENT_AWS_FIRST; k++)
		if (*kinds[k].old && slice_equal_str(from, kinds[k].old)) return slice_from_str(kinds[k].topic);
	return from;
}

void event_kinds_unknown(struct sl_slice from, struct sl_err *err) {
	const char *topics[EVENT_AWS_FIRST];
	if (source_from(from)) {
		(void)source_from_check(from, err);
		return;
	}
	for (int k = 1; k < EVENT_AWS_FIRST; k++) {
		topics[k - 1] = kinds[k].topic;
		if (!slice_equal_str(from, kinds[k].name)) continue;
		sl_err_set(err, SL_ENOTFOUND, "there is no event '%.*s'; FROM and tools call it %s", SL_SLICE_ARG(from),
			   kinds[k].topic);
		return;
	}
	for (size_t i = 0; i < SL_ARRAY_LEN(elsewhere); i++) {
		if (!slice_starts_with(from, slice_from_str(elsewhere[i].from))) continue;
		sl_err_set(err, SL_EUNSUPPORTED, "'%.*s': %s", SL_SLICE_ARG(from), elsewhere[i].instead);
		return;
	}
	const char *near = slice_nearest(from, topics, EVENT_AWS_FIRST - 1);
	sl_err_set(err, SL_ENOTFOUND, "there is no event '%.*s'%s%s", SL_SLICE_ARG(from),
		   near ? "; did you mean " : "; the events are listed in rules/reference.md", near ? near : "");
}

/* Could the filter cover a topic that begins with this, a slash at its end, and goes on? */
static bool covers_some(struct sl_slice filter, struct sl_slice beginning) {
	struct sl_slice levels = slice_sub(beginning, 0, beginning.n - 1);
	while (levels.p) {
		struct sl_slice level = slice_next_part(&levels, '/');
		if (!filter.p) return false;
		struct sl_slice own = slice_next_part(&filter, '/');
		if (slice_equal_str(own, "#")) return true;
		if (!slice_equal_str(own, "+") && !slice_equal(own, level)) return false;
	}
	return filter.p != NULL;
}

uint32_t event_aws_kinds(struct sl_slice filter) {
	uint32_t mask = 0;
	/* A leading wildcard does not speak of topics that start with $ [MQTT-4.7.2-1]. */
	if (!topic_filter_valid(filter) || filter.p[0] != '$') return 0;
	for (int k = EVENT_AWS_FIRST; k < EVENT_KINDS; k++)
		if (covers_some(filter, slice_from_str(kinds[k].topic))) mask |= 1u << k;
	return mask;
}
