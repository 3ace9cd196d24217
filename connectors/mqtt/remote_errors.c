/* remote_errors.c: see remote_errors.h. */
#include "remote_errors.h"

static const struct remote_reason {
	struct sl_error_class c;
	uint8_t reason;
} reasons[] = {
    {{"0x00 Success, 0x10 No matching subscribers", SL_RESULT_DONE, "the broker has it"}, MQTT_RC_SUCCESS},
    {{"0x80 Unspecified error", SL_RESULT_RETRY, "it does not say why; again after a pause"}, MQTT_RC_UNSPECIFIED},
    {{"0x83 Implementation specific error", SL_RESULT_RETRY, "the same"}, MQTT_RC_IMPLEMENTATION_SPECIFIC},
    {{"0x87 Not authorized", SL_RESULT_PENDING,
      "rejected where another row of the batch got in, for another topic; otherwise rows wait, and the connector is "
      "degraded"},
     MQTT_RC_NOT_AUTHORIZED},
    {{"0x90 Topic Name invalid", SL_RESULT_REJECT, "the broker does not take this topic"}, MQTT_RC_TOPIC_NAME_INVALID},
    {{"0x91 Packet Identifier in use", SL_RESULT_RETRY, "it still remembers an earlier connection of ours"},
     MQTT_RC_PACKET_ID_IN_USE},
    {{"0x97 Quota exceeded", SL_RESULT_THROTTLED, "a second later again"}, MQTT_RC_QUOTA_EXCEEDED},
    {{"0x99 Payload format invalid", SL_RESULT_REJECT, "the payload is not what `payload_format` says"},
     MQTT_RC_PAYLOAD_FORMAT_INVALID},
};

enum sl_result remote_reason_result(enum mqtt_reason reason) {
	if (reason < 0x80) return SL_RESULT_DONE;
	for (size_t i = 0; i < SL_ARRAY_LEN(reasons); i++)
		if (reasons[i].reason == reason) return reasons[i].c.result;
	return SL_RESULT_RETRY;
}

void remote_reasons_print(struct sl_buf *out) {
	struct sl_error_class rows[SL_ARRAY_LEN(reasons)];
	for (size_t i = 0; i < SL_ARRAY_LEN(reasons); i++) rows[i] = reasons[i].c;
	sl_errors_print("reason code", rows, SL_ARRAY_LEN(reasons), out);
}
