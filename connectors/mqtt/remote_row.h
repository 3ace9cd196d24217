/* remote_row.h: a row as a PUBLISH: which values an action wants of it, and the packet that they make.
 *
 * Lifetime: a plan borrows the texts of its settings; free with remote_plan_fini(). Thread: any once made. Never blocks. */
#ifndef REMOTE_ROW_H
#define REMOTE_ROW_H

#include "mqtt.h"
#include "statement.h"

/* The options of an action, as written. */
struct remote_action_conf {
	char *topic, *payload, *qos, *retain, *payload_format, *message_expiry, *content_type, *response_topic,
	    *correlation_data;
	struct conf_map user_properties;
};
extern const struct conf_field remote_action_fields[];

enum remote_value {
	REMOTE_TOPIC,
	REMOTE_PAYLOAD,
	REMOTE_QOS,
	REMOTE_RETAIN,
	REMOTE_FORMAT,
	REMOTE_EXPIRY,
	REMOTE_CONTENT_TYPE,
	REMOTE_RESPONSE_TOPIC,
	REMOTE_CORRELATION,
	REMOTE_VALUES
};

struct remote_plan {
	const struct remote_action_conf *conf;
	struct sl_param_list params;
	int16_t at[REMOTE_VALUES]; /* the parameter that has it; -1: not said */
	uint16_t users;            /* user properties: so many parameters, the last ones */
	bool topic_constant;       /* all rows go to one topic */
};
int remote_plan_make(const struct remote_action_conf *conf, struct remote_plan *plan, struct sl_err *err);
void remote_plan_fini(struct remote_plan *plan);

/* What the broker that it goes to takes. */
struct remote_limits {
	enum mqtt_version version;
	uint32_t packet_max;
	uint8_t qos_max;
	bool retain;
};

/* Appends the packet; qos says what it has become. SL_OK, or SL_EINVAL, SL_ELIMIT with why it cannot be one; nothing is appended
 * then. packet_id is for QoS 1 and 2. */
int remote_row_encode(const struct remote_plan *plan, const void *row, const struct remote_limits *limits,
		      uint16_t packet_id, struct sl_buf *out, uint8_t *qos, struct sl_buf *why);
/* The row's QoS as it would be sent; 255: it is none, and encoding says so. */
uint8_t remote_row_qos(const struct remote_plan *plan, const void *row, const struct remote_limits *limits);

/* For dry runs: {"topic": ..., "qos": 1, "retain": false, "payload": ...}. */
int remote_row_show(const struct remote_plan *plan, const void *row, struct sl_buf *out, struct sl_buf *why);

#endif
