/* action_describe.c: see action_describe.h. */
#include "action_describe.h"

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

/* As eval_properties() in action_republish.c wrote them. */
static void describe_properties(struct sl_slice bytes, struct jwrite *w) {
	jwrite_key(w, SL_SLICE_LIT("user_properties"));
	jwrite_object_begin(w);
	for (size_t at = 0; at + 5 <= bytes.n;) {
		struct sl_slice part[2];
		at++;
		for (int i = 0; i < 2; i++) {
			size_t n = (size_t)(uint8_t)bytes.p[at] << 8 | (uint8_t)bytes.p[at + 1];
			part[i] = slice_sub(bytes, at + 2, n);
			at += 2 + n;
		}
		jwrite_key(w, part[0]);
		jwrite_string(w, part[1]);
	}
	jwrite_object_end(w);
}

static void describe_republish(const struct republish_row *m, struct jwrite *w) {
	jwrite_key(w, SL_SLICE_LIT("republish"));
	jwrite_object_begin(w);
	put_text(w, "topic", m->topic);
	put_text(w, "payload", m->payload);
	jwrite_key(w, SL_SLICE_LIT("qos"));
	jwrite_u64(w, m->qos);
	jwrite_key(w, SL_SLICE_LIT("retain"));
	jwrite_bool(w, m->retain);
	if (m->content_type.n) put_text(w, "content_type", m->content_type);
	if (m->user_properties.n) describe_properties(m->user_properties, w);
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
		case ACTION_REPUBLISH: describe_republish(row->republish, &w); break;
		case ACTION_CONSOLE: put_text(&w, "console", row->text); break;
		}
	}
	jwrite_object_end(&w);
}
