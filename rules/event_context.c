/* event_context.c: see event_context.h. */
#include "event_context.h"

#include "event_props.h"
#include "sql_base64.h"

static bool is_mqtt(const struct rules_event *ev) { return ev->version != 0; }

struct sql_value event_context_clientid(const struct rules_event *ev) {
	return sql_string(is_mqtt(ev) ? ev->clientid : SL_SLICE_LIT("n/a"));
}

struct sql_value event_context_principal(const struct rules_event *ev) {
	struct sl_slice s = ev->principal.n ? ev->principal : ev->username;
	return s.n ? sql_string(s) : sql_null();
}

struct sql_value event_context_traceid(const struct rules_event *ev, const struct sql_value *id,
				       struct sl_arena *arena) {
	if (!is_mqtt(ev)) return sql_null();
	if (ev->traceid.n) return sql_string(ev->traceid);
	char *p = sl_arena_alloc(arena, EVENT_ID_BYTES + 4);
	size_t n = 0;
	for (uint32_t i = 0; i < id->n && i < EVENT_ID_BYTES; i++) {
		if (i == 8 || i == 12 || i == 16 || i == 20) p[n++] = '-';
		p[n++] = id->p[i] >= 'A' ? (char)(id->p[i] | 0x20) : id->p[i];
	}
	return sql_string(slice_make(p, n));
}

struct sql_value event_context_user_properties(const struct rules_event *ev, struct sl_arena *arena) {
	struct sql_map *props = event_map_new(arena, 2);
	event_props_add_user(props, ev->user_properties, arena);
	for (uint32_t i = 0; i < props->n; i++) {
		if (!slice_equal_str(props->at[i].key, "User-Property-Pairs")) continue;
		const struct sql_list *pairs = props->at[i].value.list;
		for (uint32_t k = 0; k < pairs->n; k++) { /* {"key": k, "value": v} becomes {k: v} */
			const struct sql_map_member *pair = pairs->at[k].map->at;
			struct sql_map *one = event_map_new(arena, 1);
			event_map_add(one, sql_value_text(&pair[0].value), pair[1].value);
			pairs->at[k] = event_map_value(one);
		}
		return props->at[i].value;
	}
	return sql_null();
}

static struct sql_value base64(struct sl_slice bytes, struct sl_arena *arena) {
	struct sl_buf text = SL_BUF_INIT;
	sql_base64_encode(bytes, 0, &text);
	struct sl_slice copy = sl_arena_dup(arena, sl_buf_slice(&text));
	sl_buf_fini(&text);
	return sql_string(copy);
}

struct sql_value event_context_properties(const struct rules_event *ev, struct sl_arena *arena) {
	struct sql_map *map = event_map_new(arena, 4);
	event_map_add(
	    map, SL_SLICE_LIT("format_indicator"),
	    sql_string(ev->payload_format == 1 ? SL_SLICE_LIT("UTF8_DATA") : SL_SLICE_LIT("UNSPECIFIED_BYTES")));
	if (ev->content_type.n) event_map_add(map, SL_SLICE_LIT("content_type"), sql_string(ev->content_type));
	if (ev->response_topic.n) event_map_add(map, SL_SLICE_LIT("response_topic"), sql_string(ev->response_topic));
	if (ev->correlation_data.n)
		event_map_add(map, SL_SLICE_LIT("correlation_data"), base64(ev->correlation_data, arena));
	return event_map_value(map);
}
