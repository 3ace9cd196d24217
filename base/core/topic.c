/* topic.c: see topic.h. */
#include "topic.h"

static const struct sl_slice share_prefix = {"$share/", 7};

size_t topic_levels(struct sl_slice topic) {
	size_t levels = 1;
	for (size_t i = 0; i < topic.n; i++) levels += topic.p[i] == '/';
	return levels;
}

static bool size_valid(struct sl_slice text) {
	/* [MQTT-4.7.3-1] at least one character, [MQTT-4.7.3-3] at most 65535 bytes. */
	return text.n > 0 && text.n <= TOPIC_BYTES_MAX;
}

/* A byte of `w` is zero: the classic test on eight bytes at once; a byte above a true hit may be told wrongly, which
 * does not matter for "is there any". */
static uint64_t any_zero(uint64_t w) { return (w - 0x0101010101010101u) & ~w & 0x8080808080808080u; }

static uint64_t any_forbidden(uint64_t w) {
	return any_zero(w) | any_zero(w ^ 0x0101010101010101u * '+') | any_zero(w ^ 0x0101010101010101u * '#');
}

/* Is there a wildcard or U+0000 [MQTT-3.3.2-2, MQTT-4.7.3-2], or, in *high, a byte that is not ASCII? Eight bytes a
 * step, for this runs for every PUBLISH; the last step may look at some bytes again. */
static uint64_t scan_name(struct sl_slice topic, uint64_t *high) {
	uint64_t bad = 0, w = 0;
	*high = 0;
	if (topic.n < sizeof w) {
		for (size_t i = 0; i < topic.n; i++) {
			bad |= topic.p[i] == '+' || topic.p[i] == '#' || topic.p[i] == '\0';
			*high |= (uint8_t)topic.p[i] & 0x80u;
		}
		return bad;
	}
	for (size_t i = 0; i + sizeof w < topic.n; i += sizeof w) {
		memcpy(&w, topic.p + i, sizeof w);
		bad |= any_forbidden(w);
		*high |= w & 0x8080808080808080u;
	}
	memcpy(&w, topic.p + topic.n - sizeof w, sizeof w);
	*high |= w & 0x8080808080808080u;
	return bad | any_forbidden(w);
}

bool topic_name_plain(struct sl_slice topic) {
	uint64_t high;
	/* n bytes hold at most n + 1 levels: a short topic needs no count. */
	return topic.n > 0 && topic.n < TOPIC_LEVELS_MAX && scan_name(topic, &high) == 0 && high == 0;
}

bool topic_name_valid(struct sl_slice topic) {
	uint64_t high;
	if (!size_valid(topic) || scan_name(topic, &high) != 0) return false;
	return topic.n < TOPIC_LEVELS_MAX || topic_levels(topic) <= TOPIC_LEVELS_MAX;
}

static bool plain_filter_valid(struct sl_slice filter) {
	if (!size_valid(filter)) return false;
	size_t levels = 1;
	for (size_t i = 0; i < filter.n; i++) {
		char c = filter.p[i];
		bool starts_level = i == 0 || filter.p[i - 1] == '/';
		bool last = i + 1 == filter.n;
		if (c == '\0') return false;
		/* [MQTT-4.7.1-1] "#" fills the last level alone. */
		if (c == '#' && !(starts_level && last)) return false;
		/* [MQTT-4.7.1-2] "+" fills its level alone. */
		if (c == '+' && !(starts_level && (last || filter.p[i + 1] == '/'))) return false;
		levels += c == '/';
	}
	return levels <= TOPIC_LEVELS_MAX;
}

bool topic_filter_has_wildcard(struct sl_slice filter) {
	for (size_t i = 0; i < filter.n; i++)
		if (filter.p[i] == '+' || filter.p[i] == '#') return true;
	return false;
}

bool topic_share_split(struct sl_slice text, struct sl_slice *group, struct sl_slice *filter) {
	*group = SL_SLICE_EMPTY;
	*filter = text;
	if (!slice_starts_with(text, share_prefix)) return false;
	struct sl_slice rest = slice_from(text, share_prefix.n);
	*group = slice_next_part(&rest, '/');
	*filter = rest;
	return true;
}

bool topic_filter_valid(struct sl_slice filter) {
	struct sl_slice group, rest;
	if (!topic_share_split(filter, &group, &rest)) return plain_filter_valid(filter);
	/* [MQTT-4.8.2-1] a share name of one character or more, [MQTT-4.8.2-2] without wildcards and followed by
	 * "/" and a filter. */
	return filter.n <= TOPIC_BYTES_MAX && group.n > 0 && !topic_filter_has_wildcard(group) &&
	       plain_filter_valid(rest);
}

bool topic_matches(struct sl_slice filter, struct sl_slice topic) {
	/* [MQTT-4.7.2-1] */
	if (topic.n && topic.p[0] == '$' && filter.n && (filter.p[0] == '+' || filter.p[0] == '#')) return false;
	while (filter.p) {
		struct sl_slice want = slice_next_part(&filter, '/');
		if (want.n == 1 && want.p[0] == '#') return true;
		/* The topic ended first. (A filter "a/#" matches "a" too: the rest of the filter is then "#",
		 * and the case above has taken it.) */
		if (!topic.p) return false;
		struct sl_slice have = slice_next_part(&topic, '/');
		bool any = want.n == 1 && want.p[0] == '+';
		if (!any && !slice_equal(want, have)) return false;
	}
	return topic.p == NULL;
}
