/* mqtt_names.c: the names in mqtt_tbl.h, and the two dialects of CONNACK's code. */
#include "mqtt.h"

const char *mqtt_type_name(enum mqtt_type type) {
	switch (type) {
#define MQTT_PACKET(name, number, text)                                                                                \
	case MQTT_##name:                                                                                              \
		return text;
#include "mqtt_tbl.h"
#undef MQTT_PACKET
	}
	return "?";
}

const char *mqtt_reason_name(enum mqtt_reason reason) {
	switch (reason) {
#define MQTT_RC(name, value, text, packets)                                                                            \
	case MQTT_RC_##name:                                                                                           \
		return text;
#include "mqtt_tbl.h"
#undef MQTT_RC
	}
	return "unknown reason";
}

/* Masks by value: 0 for values that no packet may carry. */
static const uint16_t reason_where[256] = {
#define MQTT_RC(name, value, text, packets) [value] = (packets),
#include "mqtt_tbl.h"
#undef MQTT_RC
};

bool mqtt_reason_allowed(enum mqtt_reason reason, enum mqtt_where where) {
	return (unsigned)reason < 256 && (reason_where[reason] >> where & 1) != 0;
}

/* The nearest of the five codes that 3.x has (MQTT 3.1.1 table 3.1). */
uint8_t mqtt_connack_code_v3(enum mqtt_reason reason) {
	enum { ACCEPTED, BAD_VERSION, BAD_ID, UNAVAILABLE, BAD_LOGIN, NOT_AUTHORIZED };
	if (reason < MQTT_RC_UNSPECIFIED) return ACCEPTED;
	if (reason == MQTT_RC_UNSUPPORTED_VERSION) return BAD_VERSION;
	if (reason == MQTT_RC_CLIENT_ID_NOT_VALID) return BAD_ID;
	if (reason == MQTT_RC_BAD_USER_NAME_OR_PASSWORD) return BAD_LOGIN;
	if (reason == MQTT_RC_NOT_AUTHORIZED || reason == MQTT_RC_BANNED) return NOT_AUTHORIZED;
	return UNAVAILABLE;
}

enum mqtt_reason mqtt_connack_reason_v3(uint8_t code) {
	static const enum mqtt_reason reasons[] = {
	    MQTT_RC_SUCCESS,
	    MQTT_RC_UNSUPPORTED_VERSION,
	    MQTT_RC_CLIENT_ID_NOT_VALID,
	    MQTT_RC_SERVER_UNAVAILABLE,
	    MQTT_RC_BAD_USER_NAME_OR_PASSWORD,
	    MQTT_RC_NOT_AUTHORIZED,
	};
	return code < SL_ARRAY_LEN(reasons) ? reasons[code] : MQTT_RC_UNSPECIFIED;
}
