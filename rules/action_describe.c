/* action_describe.c: see action_describe.h. */
#include "action_describe.h"

#include "event_props.h"
#include "jwrite.h"
#include "mem.h"
#include "rules.h"
#include "sql_base64.h"
#include "sql_row.h"
#include "utf8.h"

static void put_text(struct jwrite *w, const char *name, struct sl_slice text) {
	if (utf8_valid(text)) {
		jwrite_key(w, slice_from_str(name));
		jwrite_string(w, text);
		return;
	}
	struct sl_buf key = SL_BUF_INIT, coded = SL_BUF_INIT;
	sl_buf_printf(&key, "%s_base64", name);
	sql_base64_encode(text, 0, &coded);
	jwrite_key(w, sl_buf_slice(&key));
	jwrite_string(w, sl_buf_slice(&coded));
	sl_buf_fini(&key);
	sl_buf_fini(&coded);
}

static void put_value(struct jwrite *w, const struct sql_value *v) {
	struct sl_buf json = SL_BUF_INIT;
	sql_value_json(v, &json);
	jwrite_raw(w, sl_buf_slice(&json));
	sl_buf_fini(&json);
}

/* Through the row's bytes, as the connector will see it. */
static void describe_connector(const struct action_row *row, const struct action_cause *cause, struct jwrite *w) {
	const struct action_connector *a = &row->action->connector;
	struct sl_buf bytes = SL_BUF_INIT, text = SL_BUF_INIT;
	struct sl_err err = SL_ERR_INIT;
	size_t count;
	const struct sl_param *params = sl_action_spec_params(a->spec, &count);
	sql_row_write(&bytes, row->connector.values, a->param_count, cause->ev->qos > 0 ? SQL_ROW_QOS1 : 0,
		      row->connector.order, cause->ev->at_ms);
	jwrite_key(w, SL_SLICE_LIT("connector"));
	jwrite_string(w, slice_from_str(row->action->label));
	jwrite_key(w, SL_SLICE_LIT("type"));
	jwrite_string(w, slice_from_str(sl_action_spec_type(a->spec)));
	jwrite_key(w, SL_SLICE_LIT("params"));
	jwrite_object_begin(w);
	for (size_t i = 0; i < count; i++) {
		struct sql_value v = sql_row_get(bytes.p, (uint16_t)i);
		jwrite_key(w, params[i].name);
		put_value(w, &v);
	}
	jwrite_object_end(w);
	switch (sl_action_spec_encode(a->spec, bytes.p, &text, &err)) {
	case SL_OK: put_text(w, "bytes", sl_buf_slice(&text)); break;
	case SL_EUNSUPPORTED: break; /* the kind has none to show */
	default: put_text(w, "error", slice_from_str(sl_err_text(&err))); break;
	}
	sl_err_fini(&err);
	sl_buf_fini(&text);
	sl_buf_fini(&bytes);
}

/* {name: value}, or a list of [name, value] when a name comes twice. */
static void describe_users(const struct sql_map *users, const struct sql_list *pairs, struct jwrite *w) {
	bool unique = users->n == pairs->n;
	jwrite_key(w, SL_SLICE_LIT("user_properties"));
	unique ? jwrite_object_begin(w) : jwrite_array_begin(w);
	for (uint32_t i = 0; i < pairs->n; i++) {
		const struct sql_map_member *pair = pairs->at[i].map->at;
		struct sl_slice name = sql_value_text(&pair[0].value), value = sql_value_text(&pair[1].value);
		if (!unique) jwrite_array_begin(w);
		unique ? jwrite_key(w, name) : jwrite_string(w, name);
		jwrite_string(w, value);
		if (!unique) jwrite_array_end(w);
	}
	unique ? jwrite_object_end(w) : jwrite_array_end(w);
}

/* By the names of the action's options. */
static void describe_properties(struct sl_slice block, struct sl_arena *arena, struct jwrite *w) {
	static const char *const names[][2] = {{"Payload-Format-Indicator", "payload_format"},
					       {"Message-Expiry-Interval", "message_expiry"},
					       {"Content-Type", "content_type"},
					       {"Response-Topic", "response_topic"},
					       {"Correlation-Data", "correlation_data"}};
	const struct sql_map *users = NULL, *map = event_props(block, arena).map;
	for (uint32_t i = 0; i < map->n; i++) {
		const struct sql_value *v = &map->at[i].value;
		if (v->kind == SQL_MAP) users = v->map;
		if (v->kind == SQL_LIST && users) describe_users(users, v->list, w);
		for (size_t k = 0; k < SL_ARRAY_LEN(names); k++) {
			if (!slice_equal_str(map->at[i].key, names[k][0])) continue;
			if (v->kind == SQL_STRING) {
				put_text(w, names[k][1], sql_value_text(v));
			} else {
				jwrite_key(w, slice_from_str(names[k][1]));
				put_value(w, v);
			}
		}
	}
}

static void describe_republish(const struct republish_row *m, struct sl_arena *arena, struct jwrite *w) {
	jwrite_key(w, SL_SLICE_LIT("republish"));
	jwrite_object_begin(w);
	put_text(w, "topic", m->topic);
	put_text(w, "payload", m->payload);
	jwrite_key(w, SL_SLICE_LIT("qos"));
	jwrite_u64(w, m->qos);
	jwrite_key(w, SL_SLICE_LIT("retain"));
	jwrite_bool(w, m->retain);
	if (m->properties.n) describe_properties(m->properties, arena, w);
	jwrite_object_end(w);
}

void action_describe(const struct action_row *row, const struct action_cause *cause, struct sql_vm *vm,
		     struct sl_buf *out) {
	struct jwrite w;
	jwrite_init(&w, out);
	jwrite_object_begin(&w);
	jwrite_key(&w, SL_SLICE_LIT("action"));
	jwrite_u64(&w, row->action->index);
	if (row->failed) {
		put_text(&w, "error", slice_from_str(sl_err_text(sql_vm_error(vm))));
	} else {
		switch (row->action->kind) {
		case ACTION_CONNECTOR: describe_connector(row, cause, &w); break;
		case ACTION_REPUBLISH: describe_republish(row->republish, sql_vm_arena(vm), &w); break;
		case ACTION_CONSOLE: put_text(&w, "console", row->text); break;
		}
	}
	jwrite_object_end(&w);
}
