/* mqtt_tbl.h: packet types, reason codes and properties of MQTT, each once.
 *
 * Define one or more of the macros, include the file, undefine them:
 *     MQTT_PACKET(NAME, number, "text")
 *     MQTT_RC(NAME, value, "text", packets)       packets: mask of MQTT_IN(...) that may carry it (MQTT5 2.4)
 *     MQTT_PROP(NAME, id, "text", TYPE, packets, repeatable)      (MQTT5 2.2.2.2)
 * Masks are built of enum mqtt_where (mqtt_props.h): a packet type, told apart by direction where the standard does. */
#ifdef MQTT_PACKET
MQTT_PACKET(CONNECT, 1, "CONNECT")
MQTT_PACKET(CONNACK, 2, "CONNACK")
MQTT_PACKET(PUBLISH, 3, "PUBLISH")
MQTT_PACKET(PUBACK, 4, "PUBACK")
MQTT_PACKET(PUBREC, 5, "PUBREC")
MQTT_PACKET(PUBREL, 6, "PUBREL")
MQTT_PACKET(PUBCOMP, 7, "PUBCOMP")
MQTT_PACKET(SUBSCRIBE, 8, "SUBSCRIBE")
MQTT_PACKET(SUBACK, 9, "SUBACK")
MQTT_PACKET(UNSUBSCRIBE, 10, "UNSUBSCRIBE")
MQTT_PACKET(UNSUBACK, 11, "UNSUBACK")
MQTT_PACKET(PINGREQ, 12, "PINGREQ")
MQTT_PACKET(PINGRESP, 13, "PINGRESP")
MQTT_PACKET(DISCONNECT, 14, "DISCONNECT")
MQTT_PACKET(AUTH, 15, "AUTH")
#endif

#ifdef MQTT_RC
#define W(where) MQTT_IN(where)
#define W_PUBACK_REC (W(PUBACK) | W(PUBREC))
#define W_BYE_BOTH (W(DISCONNECT_UP) | W(DISCONNECT_DOWN))
#define W_ANY_ACK (W_PUBACK_REC | W(SUBACK) | W(UNSUBACK))
MQTT_RC(SUCCESS, 0x00, "Success",
	W(CONNACK) | W_PUBACK_REC | W(PUBREL) | W(PUBCOMP) | W(SUBACK) | W(UNSUBACK) | W_BYE_BOTH | W(AUTH))
MQTT_RC(GRANTED_QOS_1, 0x01, "Granted QoS 1", W(SUBACK))
MQTT_RC(GRANTED_QOS_2, 0x02, "Granted QoS 2", W(SUBACK))
MQTT_RC(DISCONNECT_WITH_WILL, 0x04, "Disconnect with Will Message", W(DISCONNECT_UP))
MQTT_RC(NO_MATCHING_SUBSCRIBERS, 0x10, "No matching subscribers", W_PUBACK_REC)
MQTT_RC(NO_SUBSCRIPTION_EXISTED, 0x11, "No subscription existed", W(UNSUBACK))
MQTT_RC(CONTINUE_AUTHENTICATION, 0x18, "Continue authentication", W(AUTH))
MQTT_RC(REAUTHENTICATE, 0x19, "Re-authenticate", W(AUTH))
MQTT_RC(UNSPECIFIED, 0x80, "Unspecified error", W(CONNACK) | W_ANY_ACK | W_BYE_BOTH)
MQTT_RC(MALFORMED_PACKET, 0x81, "Malformed Packet", W(CONNACK) | W_BYE_BOTH)
MQTT_RC(PROTOCOL_ERROR, 0x82, "Protocol Error", W(CONNACK) | W_BYE_BOTH)
MQTT_RC(IMPLEMENTATION_SPECIFIC, 0x83, "Implementation specific error", W(CONNACK) | W_ANY_ACK | W_BYE_BOTH)
MQTT_RC(UNSUPPORTED_VERSION, 0x84, "Unsupported Protocol Version", W(CONNACK))
MQTT_RC(CLIENT_ID_NOT_VALID, 0x85, "Client Identifier not valid", W(CONNACK))
MQTT_RC(BAD_USER_NAME_OR_PASSWORD, 0x86, "Bad User Name or Password", W(CONNACK))
MQTT_RC(NOT_AUTHORIZED, 0x87, "Not authorized", W(CONNACK) | W_ANY_ACK | W(DISCONNECT_DOWN))
MQTT_RC(SERVER_UNAVAILABLE, 0x88, "Server unavailable", W(CONNACK))
MQTT_RC(SERVER_BUSY, 0x89, "Server busy", W(CONNACK) | W(DISCONNECT_DOWN))
MQTT_RC(BANNED, 0x8a, "Banned", W(CONNACK))
MQTT_RC(SERVER_SHUTTING_DOWN, 0x8b, "Server shutting down", W(DISCONNECT_DOWN))
MQTT_RC(BAD_AUTHENTICATION_METHOD, 0x8c, "Bad authentication method", W(CONNACK) | W(DISCONNECT_DOWN))
MQTT_RC(KEEP_ALIVE_TIMEOUT, 0x8d, "Keep Alive timeout", W(DISCONNECT_DOWN))
MQTT_RC(SESSION_TAKEN_OVER, 0x8e, "Session taken over", W(DISCONNECT_DOWN))
MQTT_RC(TOPIC_FILTER_INVALID, 0x8f, "Topic Filter invalid", W(SUBACK) | W(UNSUBACK) | W(DISCONNECT_DOWN))
MQTT_RC(TOPIC_NAME_INVALID, 0x90, "Topic Name invalid", W(CONNACK) | W_PUBACK_REC | W_BYE_BOTH)
MQTT_RC(PACKET_ID_IN_USE, 0x91, "Packet Identifier in use", W_ANY_ACK)
MQTT_RC(PACKET_ID_NOT_FOUND, 0x92, "Packet Identifier not found", W(PUBREL) | W(PUBCOMP))
MQTT_RC(RECEIVE_MAXIMUM_EXCEEDED, 0x93, "Receive Maximum exceeded", W_BYE_BOTH)
MQTT_RC(TOPIC_ALIAS_INVALID, 0x94, "Topic Alias invalid", W_BYE_BOTH)
MQTT_RC(PACKET_TOO_LARGE, 0x95, "Packet too large", W(CONNACK) | W_BYE_BOTH)
MQTT_RC(MESSAGE_RATE_TOO_HIGH, 0x96, "Message rate too high", W_BYE_BOTH)
MQTT_RC(QUOTA_EXCEEDED, 0x97, "Quota exceeded", W(CONNACK) | W_PUBACK_REC | W(SUBACK) | W_BYE_BOTH)
MQTT_RC(ADMINISTRATIVE_ACTION, 0x98, "Administrative action", W_BYE_BOTH)
MQTT_RC(PAYLOAD_FORMAT_INVALID, 0x99, "Payload format invalid", W(CONNACK) | W_PUBACK_REC | W_BYE_BOTH)
MQTT_RC(RETAIN_NOT_SUPPORTED, 0x9a, "Retain not supported", W(CONNACK) | W(DISCONNECT_DOWN))
MQTT_RC(QOS_NOT_SUPPORTED, 0x9b, "QoS not supported", W(CONNACK) | W(DISCONNECT_DOWN))
MQTT_RC(USE_ANOTHER_SERVER, 0x9c, "Use another server", W(CONNACK) | W(DISCONNECT_DOWN))
MQTT_RC(SERVER_MOVED, 0x9d, "Server moved", W(CONNACK) | W(DISCONNECT_DOWN))
MQTT_RC(SHARED_SUBS_NOT_SUPPORTED, 0x9e, "Shared Subscriptions not supported", W(SUBACK) | W(DISCONNECT_DOWN))
MQTT_RC(CONNECTION_RATE_EXCEEDED, 0x9f, "Connection rate exceeded", W(CONNACK) | W(DISCONNECT_DOWN))
MQTT_RC(MAXIMUM_CONNECT_TIME, 0xa0, "Maximum connect time", W(DISCONNECT_DOWN))
MQTT_RC(SUB_IDS_NOT_SUPPORTED, 0xa1, "Subscription Identifiers not supported", W(SUBACK) | W(DISCONNECT_DOWN))
MQTT_RC(WILDCARD_SUBS_NOT_SUPPORTED, 0xa2, "Wildcard Subscriptions not supported", W(SUBACK) | W(DISCONNECT_DOWN))
#undef W_ANY_ACK
#undef W_BYE_BOTH
#undef W_PUBACK_REC
#undef W
#endif

#ifdef MQTT_PROP
#define W(where) MQTT_IN(where)
#define W_PUBLISH (W(PUBLISH_UP) | W(PUBLISH_DOWN))
#define W_BYE (W(DISCONNECT_UP) | W(DISCONNECT_DOWN))
#define W_PUBACKS (W(PUBACK) | W(PUBREC) | W(PUBREL) | W(PUBCOMP))
MQTT_PROP(PAYLOAD_FORMAT, 0x01, "payload format indicator", BOOL, W_PUBLISH | W(WILL), false)
MQTT_PROP(MESSAGE_EXPIRY, 0x02, "message expiry interval", U32, W_PUBLISH | W(WILL), false)
MQTT_PROP(CONTENT_TYPE, 0x03, "content type", STRING, W_PUBLISH | W(WILL), false)
MQTT_PROP(RESPONSE_TOPIC, 0x08, "response topic", STRING, W_PUBLISH | W(WILL), false)
MQTT_PROP(CORRELATION_DATA, 0x09, "correlation data", BINARY, W_PUBLISH | W(WILL), false)
MQTT_PROP(SUBSCRIPTION_ID, 0x0b, "subscription identifier", VARINT, W(PUBLISH_DOWN) | W(SUBSCRIBE), true)
MQTT_PROP(SESSION_EXPIRY, 0x11, "session expiry interval", U32, W(CONNECT) | W(CONNACK) | W(DISCONNECT_UP), false)
MQTT_PROP(ASSIGNED_CLIENT_ID, 0x12, "assigned client identifier", STRING, W(CONNACK), false)
MQTT_PROP(SERVER_KEEP_ALIVE, 0x13, "server keep alive", U16, W(CONNACK), false)
MQTT_PROP(AUTH_METHOD, 0x15, "authentication method", STRING, W(CONNECT) | W(CONNACK) | W(AUTH), false)
MQTT_PROP(AUTH_DATA, 0x16, "authentication data", BINARY, W(CONNECT) | W(CONNACK) | W(AUTH), false)
MQTT_PROP(REQUEST_PROBLEM_INFO, 0x17, "request problem information", BOOL, W(CONNECT), false)
MQTT_PROP(WILL_DELAY, 0x18, "will delay interval", U32, W(WILL), false)
MQTT_PROP(REQUEST_RESPONSE_INFO, 0x19, "request response information", BOOL, W(CONNECT), false)
MQTT_PROP(RESPONSE_INFO, 0x1a, "response information", STRING, W(CONNACK), false)
MQTT_PROP(SERVER_REFERENCE, 0x1c, "server reference", STRING, W(CONNACK) | W(DISCONNECT_DOWN), false)
MQTT_PROP(REASON_STRING, 0x1f, "reason string", STRING,
	  W(CONNACK) | W_PUBACKS | W(SUBACK) | W(UNSUBACK) | W_BYE | W(AUTH), false)
MQTT_PROP(RECEIVE_MAXIMUM, 0x21, "receive maximum", U16, W(CONNECT) | W(CONNACK), false)
MQTT_PROP(TOPIC_ALIAS_MAXIMUM, 0x22, "topic alias maximum", U16, W(CONNECT) | W(CONNACK), false)
MQTT_PROP(TOPIC_ALIAS, 0x23, "topic alias", U16, W_PUBLISH, false)
MQTT_PROP(MAXIMUM_QOS, 0x24, "maximum QoS", BOOL, W(CONNACK), false)
MQTT_PROP(RETAIN_AVAILABLE, 0x25, "retain available", BOOL, W(CONNACK), false)
MQTT_PROP(USER_PROPERTY, 0x26, "user property", PAIR,
	  W(CONNECT) | W(CONNACK) | W_PUBLISH | W(WILL) | W_PUBACKS | W(SUBSCRIBE) | W(SUBACK) | W(UNSUBSCRIBE) |
	      W(UNSUBACK) | W_BYE | W(AUTH),
	  true)
MQTT_PROP(MAXIMUM_PACKET_SIZE, 0x27, "maximum packet size", U32, W(CONNECT) | W(CONNACK), false)
MQTT_PROP(WILDCARD_SUB_AVAILABLE, 0x28, "wildcard subscription available", BOOL, W(CONNACK), false)
MQTT_PROP(SUB_ID_AVAILABLE, 0x29, "subscription identifier available", BOOL, W(CONNACK), false)
MQTT_PROP(SHARED_SUB_AVAILABLE, 0x2a, "shared subscription available", BOOL, W(CONNACK), false)
#undef W_PUBACKS
#undef W_BYE
#undef W_PUBLISH
#undef W
#endif
