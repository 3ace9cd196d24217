/* remote_row.c: see remote_row.h. */
#include "remote_row.h"

#include "conv.h"
#include "jwrite.h"
#include "mem.h"
#include "sql_row.h"
#include "topic.h"
#include "utf8.h"
#include "yaml.h"

const struct conf_field remote_action_fields[] = {
    {.name = "topic",
     .type = CONF_TEMPLATE,
     .at = offsetof(struct remote_action_conf, topic),
     .flags = CONF_REQUIRED | CONF_NONEMPTY,
     .example = "\"site1/${topic}\"",
     .doc = "The topic there. A row whose topic would hold a wildcard is rejected."},
    {.name = "payload",
     .type = CONF_TEMPLATE,
     .at = offsetof(struct remote_action_conf, payload),
     .def = "${.}",
     .doc = "The payload; `${.}` is the whole row as JSON, `${payload}` what the device sent."},
    {.name = "qos",
     .type = CONF_TEMPLATE,
     .at = offsetof(struct remote_action_conf, qos),
     .def = "1",
     .example = "\"${qos}\"",
     .doc = "0, 1 or 2; less where the broker takes less. With 1 and 2 a row is delivered when the broker has "
	    "acknowledged it."},
    {.name = "retain",
     .type = CONF_TEMPLATE,
     .at = offsetof(struct remote_action_conf, retain),
     .def = "false",
     .example = "\"${flags.retain}\"",
     .doc = "Whether the broker keeps it; left out where the broker keeps none."},
    {.name = "payload_format",
     .type = CONF_TEMPLATE,
     .at = offsetof(struct remote_action_conf, payload_format),
     .flags = CONF_ADVANCED,
     .doc = "MQTT 5: 0, or 1 for UTF-8 text."},
    {.name = "message_expiry",
     .type = CONF_TEMPLATE,
     .at = offsetof(struct remote_action_conf, message_expiry),
     .example = "600",
     .doc = "MQTT 5: seconds until the message is worth nothing. They count from when it is sent."},
    {.name = "content_type",
     .type = CONF_TEMPLATE,
     .at = offsetof(struct remote_action_conf, content_type),
     .example = "\"${pub_props.'Content-Type'}\"",
     .doc =
	 "MQTT 5: what the payload is. This, and those below, are left out where the template gives NULL or no text."},
    {.name = "response_topic",
     .type = CONF_TEMPLATE,
     .at = offsetof(struct remote_action_conf, response_topic),
     .doc = "MQTT 5: where an answer is expected."},
    {.name = "correlation_data",
     .type = CONF_TEMPLATE,
     .at = offsetof(struct remote_action_conf, correlation_data),
     .doc = "MQTT 5: what tells to which request an answer belongs."},
    {.name = "user_properties",
     .type = CONF_TEMPLATE_MAP,
     .at = offsetof(struct remote_action_conf, user_properties),
     .max = 1000,
     .example = "{site: \"${site}\"}",
     .doc = "MQTT 5: names and values of our own."},
    CONF_END};

/* ---- The plan. ---- */

static void value_add(struct remote_plan *plan, enum remote_value v, const char *name, const char *text,
		      enum sql_target target) {
	plan->at[v] = -1;
	if (!text) return;
	plan->at[v] = (int16_t)plan->params.n;
	sl_params_add(&plan->params, slice_from_str(name), slice_from_str(text), sl_strdup(name));
	plan->params.at[plan->params.n - 1].target = target;
}

static bool is_constant(const char *text) { return slice_find(slice_from_str(text), SL_SLICE_LIT("${")) < 0; }

static int constants_check(const struct remote_action_conf *conf, struct sl_err *err) {
	struct sl_slice topic = slice_from_str(conf->topic), qos = slice_from_str(conf->qos);
	if (is_constant(conf->topic) && !topic_name_valid(topic))
		return sl_err_set(err, SL_EINVAL, "topic: '%.200s' is not a topic name that one can publish to",
				  conf->topic);
	if (is_constant(conf->qos) && (qos.n != 1 || qos.p[0] < '0' || qos.p[0] > '2'))
		return sl_err_set(err, SL_EINVAL, "qos: '%.20s' is none of 0, 1 and 2", conf->qos);
	if (is_constant(conf->retain) && strcmp(conf->retain, "true") != 0 && strcmp(conf->retain, "false") != 0)
		return sl_err_set(err, SL_EINVAL, "retain: '%.20s' is neither true nor false", conf->retain);
	return SL_OK;
}

int remote_plan_make(const struct remote_action_conf *conf, struct remote_plan *plan, struct sl_err *err) {
	*plan = (struct remote_plan){.conf = conf, .topic_constant = is_constant(conf->topic)};
	value_add(plan, REMOTE_TOPIC, "topic", conf->topic, SQL_TO_TOPIC_LEVELS);
	value_add(plan, REMOTE_PAYLOAD, "payload", conf->payload, SQL_TO_BYTES);
	value_add(plan, REMOTE_QOS, "qos", conf->qos, SQL_TO_VALUE);
	value_add(plan, REMOTE_RETAIN, "retain", conf->retain, SQL_TO_VALUE);
	value_add(plan, REMOTE_FORMAT, "payload_format", conf->payload_format, SQL_TO_VALUE);
	value_add(plan, REMOTE_EXPIRY, "message_expiry", conf->message_expiry, SQL_TO_VALUE);
	value_add(plan, REMOTE_CONTENT_TYPE, "content_type", conf->content_type, SQL_TO_TEXT);
	value_add(plan, REMOTE_RESPONSE_TOPIC, "response_topic", conf->response_topic, SQL_TO_TEXT);
	value_add(plan, REMOTE_CORRELATION, "correlation_data", conf->correlation_data, SQL_TO_BYTES);
	for (size_t i = 0; i < conf->user_properties.len; i++) {
		const struct conf_pair *pair = &conf->user_properties.items[i];
		sl_params_add(&plan->params, slice_from_str(pair->key), slice_from_str(pair->value),
			      yaml_path_key("user_properties", pair->key));
		plan->params.at[plan->params.n - 1].target = SQL_TO_TEXT;
		plan->users++;
	}
	return constants_check(conf, err);
}

void remote_plan_fini(struct remote_plan *plan) { sl_params_fini(&plan->params); }

/* ---- Values of a row. ---- */

static bool is_null(const struct sql_value *v) { return v->kind == SQL_NULL || v->kind == SQL_JSON_NULL; }

static struct sql_value value_of(const struct remote_plan *plan, const void *row, enum remote_value v) {
	return plan->at[v] < 0 ? sql_null() : sql_row_get(row, (uint16_t)plan->at[v]);
}

/* The text of a value, in `keep` where it is none already; empty for NULL. Good until `keep` is appended to again. */
static struct sl_slice text_of(const struct sql_value *v, struct sl_buf *keep) {
	if (v->kind == SQL_STRING || v->kind == SQL_BYTES || v->kind == SQL_NUMBER_TEXT || v->kind == SQL_JSON)
		return sql_value_text(v);
	if (is_null(v)) return SL_SLICE_EMPTY;
	sl_buf_clear(keep);
	sql_value_to_text(v, keep);
	return sl_buf_slice(keep);
}

static bool number_of(const struct sql_value *v, int64_t *out) {
	if (v->kind == SQL_INT) *out = v->i;
	if (v->kind == SQL_BOOL) *out = v->b;
	if (v->kind == SQL_STRING || v->kind == SQL_NUMBER_TEXT) return slice_to_i64(sql_value_text(v), out) == SL_OK;
	return v->kind == SQL_INT || v->kind == SQL_BOOL;
}

static bool flag_of(const struct sql_value *v, bool *out) {
	struct sl_slice text = v->kind == SQL_STRING ? sql_value_text(v) : SL_SLICE_EMPTY;
	int64_t n = 0;
	*out = slice_equal_str(text, "true");
	if (*out || slice_equal_str(text, "false") || is_null(v)) return true;
	if (!number_of(v, &n) || (n != 0 && n != 1)) return false;
	*out = n == 1;
	return true;
}

uint8_t remote_row_qos(const struct remote_plan *plan, const void *row, const struct remote_limits *limits) {
	struct sql_value v = value_of(plan, row, REMOTE_QOS);
	int64_t n = 1; /* of an event, which has none */
	if (!is_null(&v) && (v.kind == SQL_BOOL || !number_of(&v, &n) || n < 0 || n > 2)) return UINT8_MAX;
	return n > limits->qos_max ? limits->qos_max : (uint8_t)n;
}

static int refuse(struct sl_buf *why, int status, const char *text) {
	sl_buf_append_str(why, text);
	return status;
}

/* ---- Properties. ---- */

struct props {
	struct sl_buf *out, *keep, *why;
};

static int put_text(struct props *p, enum mqtt_prop prop, const struct sql_value *v, const char *what) {
	struct sl_slice text = text_of(v, p->keep);
	if (text.n == 0) return SL_OK;
	bool bytes = mqtt_prop_type(prop) == MQTT_TYPE_BINARY;
	if (text.n > UINT16_MAX || (!bytes && !utf8_valid_mqtt(text)) ||
	    (prop == MQTT_PROP_RESPONSE_TOPIC && !topic_name_valid(text))) {
		sl_buf_printf(p->why, "%s: is no value that MQTT can carry", what);
		return SL_EINVAL;
	}
	mqtt_put_bytes(p->out, prop, text);
	return SL_OK;
}

static int put_numbers(const struct remote_plan *plan, const void *row, struct sl_slice payload, struct props *p) {
	struct sql_value v = value_of(plan, row, REMOTE_FORMAT);
	int64_t n;
	if (!is_null(&v)) {
		if (!number_of(&v, &n) || (n != 0 && n != 1))
			return refuse(p->why, SL_EINVAL, "payload_format: must be 0 or 1");
		/* A sender vouches for what it says [MQTT5 3.3.2.3.2], and some receivers hang up when it is not so. */
		if (n == 1 && !utf8_valid(payload))
			return refuse(p->why, SL_EINVAL, "payload_format: says text, and the payload is no UTF-8");
		mqtt_put_num(p->out, MQTT_PROP_PAYLOAD_FORMAT, (uint32_t)n);
	}
	v = value_of(plan, row, REMOTE_EXPIRY);
	if (is_null(&v)) return SL_OK;
	if (!number_of(&v, &n) || n < 0 || n > UINT32_MAX)
		return refuse(p->why, SL_EINVAL, "message_expiry: must be seconds, 0 to 4294967295");
	mqtt_put_num(p->out, MQTT_PROP_MESSAGE_EXPIRY, (uint32_t)n);
	return SL_OK;
}

static int put_users(const struct remote_plan *plan, const void *row, struct props *p) {
	size_t first = plan->params.n - plan->users;
	for (size_t i = 0; i < plan->users; i++) {
		struct sql_value v = sql_row_get(row, (uint16_t)(first + i));
		struct sl_slice text = text_of(&v, p->keep), name = plan->params.at[first + i].name;
		if (text.n == 0) continue;
		if (text.n > UINT16_MAX || !utf8_valid_mqtt(text)) {
			sl_buf_printf(p->why, "user_properties.%.*s: is no text that MQTT can carry",
				      SL_SLICE_ARG(name));
			return SL_EINVAL;
		}
		mqtt_put_user(p->out, name, text);
	}
	return SL_OK;
}

static int props_make(const struct remote_plan *plan, const void *row, struct sl_slice payload, struct props *p) {
	static const struct {
		enum remote_value value;
		enum mqtt_prop prop;
		const char *what;
	} texts[] = {{REMOTE_CONTENT_TYPE, MQTT_PROP_CONTENT_TYPE, "content_type"},
		     {REMOTE_RESPONSE_TOPIC, MQTT_PROP_RESPONSE_TOPIC, "response_topic"},
		     {REMOTE_CORRELATION, MQTT_PROP_CORRELATION_DATA, "correlation_data"}};
	int rc = put_numbers(plan, row, payload, p);
	for (size_t i = 0; i < SL_ARRAY_LEN(texts) && rc == SL_OK; i++) {
		struct sql_value v = value_of(plan, row, texts[i].value);
		rc = put_text(p, texts[i].prop, &v, texts[i].what);
	}
	return rc == SL_OK ? put_users(plan, row, p) : rc;
}

/* ---- The packet. ---- */

static int publish_fill(const struct remote_plan *plan, const void *row, const struct remote_limits *limits,
			struct mqtt_publish *p, struct sl_buf *why) {
	struct sql_value topic = value_of(plan, row, REMOTE_TOPIC), retain = value_of(plan, row, REMOTE_RETAIN);
	p->topic = topic.kind == SQL_STRING ? sql_value_text(&topic) : SL_SLICE_EMPTY;
	p->qos = remote_row_qos(plan, row, limits);
	if (!topic_name_valid(p->topic) || !utf8_valid_mqtt(p->topic))
		return refuse(why, SL_EINVAL, "topic: is not a topic name that one can publish to");
	if (p->qos > 2) return refuse(why, SL_EINVAL, "qos: must be 0, 1 or 2");
	if (!flag_of(&retain, &p->retain)) return refuse(why, SL_EINVAL, "retain: must be true or false");
	p->retain = p->retain && limits->retain;
	return SL_OK;
}

int remote_row_encode(const struct remote_plan *plan, const void *row, const struct remote_limits *limits,
		      uint16_t packet_id, struct sl_buf *out, uint8_t *qos, struct sl_buf *why) {
	struct sl_buf props = SL_BUF_INIT, keep = SL_BUF_INIT, text = SL_BUF_INIT;
	struct mqtt_publish p = {.packet_id = packet_id};
	mqtt_props_init(&p.props);
	struct sql_value payload = value_of(plan, row, REMOTE_PAYLOAD);
	p.payload = text_of(&payload, &text);
	int rc = publish_fill(plan, row, limits, &p, why);
	if (rc == SL_OK && limits->version == MQTT_V5)
		rc = props_make(plan, row, p.payload, &(struct props){&props, &keep, why});
	/* Two lengths of strings, a packet id, and the header. */
	size_t size = p.topic.n + p.payload.n + props.n + 16;
	if (rc == SL_OK && size > MQTT_REMAINING_MAX)
		rc = refuse(why, SL_ELIMIT, "larger than any packet of MQTT may be");
	size_t before = out->n;
	if (rc == SL_OK) {
		p.props.raw = sl_buf_slice(&props);
		mqtt_encode_publish(&p, limits->version, out);
	}
	if (rc == SL_OK && out->n - before > limits->packet_max) { /* [MQTT-3.2.2-15] */
		sl_buf_printf(why, "a packet of %zu bytes, and the broker takes %u at the most", out->n - before,
			      limits->packet_max);
		out->n = before;
		rc = SL_ELIMIT;
	}
	*qos = p.qos;
	sl_buf_fini(&props);
	sl_buf_fini(&keep);
	sl_buf_fini(&text);
	return rc;
}

int remote_row_show(const struct remote_plan *plan, const void *row, struct sl_buf *out, struct sl_buf *why) {
	static const struct remote_limits any = {
	    .version = MQTT_V5, .packet_max = UINT32_MAX, .qos_max = 2, .retain = true};
	struct sl_buf packet = SL_BUF_INIT;
	struct mqtt_frame f;
	struct mqtt_publish p;
	enum mqtt_reason reason;
	uint8_t qos;
	int rc = remote_row_encode(plan, row, &any, 1, &packet, &qos, why);
	if (rc == SL_OK) rc = mqtt_frame_next(sl_buf_slice(&packet), SIZE_MAX, &f, &reason);
	if (rc == SL_OK) rc = mqtt_decode_publish(&f, MQTT_V5, MQTT_FROM_CLIENT, &p, &reason);
	if (rc == SL_OK) {
		sl_buf_printf(out, "PUBLISH %.*s qos=%u retain=%s ", SL_SLICE_ARG(p.topic), p.qos,
			      p.retain ? "true" : "false");
		sl_buf_append_slice(out, p.payload);
	}
	sl_buf_fini(&packet);
	return rc;
}
