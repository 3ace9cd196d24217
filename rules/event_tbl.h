/* event_tbl.h: the kinds of event that a rule reads FROM, each once.
 *
 * Define the macro, include the file, undefine it:
 *     EVENT_KIND(ID, "event", "topic", "old topic", "what it tells")
 * `event` is the column of that name, `topic` what FROM says (wildcards cover it), `old topic` another spelling of it. The
 * rows of EVENT_AWS have the beginning of a topic, behind which the client id stands: their events are messages. */
#ifdef EVENT_KIND
EVENT_KIND(MESSAGE_PUBLISH, "message.publish", "", "", "A message was published.")
EVENT_KIND(CLIENT_CONNECTED, "client.connected", "$events/client/connected", "$events/client_connected",
	   "A client has connected.")
EVENT_KIND(CLIENT_DISCONNECTED, "client.disconnected", "$events/client/disconnected", "$events/client_disconnected",
	   "A connection that had been accepted is over.")
EVENT_KIND(CLIENT_CONNACK, "client.connack", "$events/client/connack", "$events/client_connack",
	   "A CONNECT was answered, well or ill.")
EVENT_KIND(CLIENT_PING, "client.ping", "$events/client/ping", "$events/client_ping", "A client sent PINGREQ.")
EVENT_KIND(CLIENT_AUTHN, "client.check_authn_complete", "$events/auth/check_authn_complete",
	   "$events/client_check_authn_complete", "It is decided whether a client may connect.")
EVENT_KIND(SESSION_SUBSCRIBED, "session.subscribed", "$events/session/subscribed", "$events/session_subscribed",
	   "A client has subscribed; one event a topic filter that was granted.")
EVENT_KIND(SESSION_UNSUBSCRIBED, "session.unsubscribed", "$events/session/unsubscribed", "$events/session_unsubscribed",
	   "A client has unsubscribed; one event a topic filter that it had.")
EVENT_KIND(MESSAGE_DELIVERED, "message.delivered", "$events/message/delivered", "$events/message_delivered",
	   "A message was sent to a subscriber; one event each. Sending again is none.")
EVENT_KIND(MESSAGE_ACKED, "message.acked", "$events/message/acked", "$events/message_acked",
	   "A subscriber has acknowledged a message, with PUBACK or PUBREC.")
EVENT_KIND(MESSAGE_DROPPED, "message.dropped", "$events/message/dropped", "$events/message_dropped",
	   "A message had no subscriber. Rules and the retained store may have taken it all the same.")
EVENT_KIND(DELIVERY_DROPPED, "delivery.dropped", "$events/message/delivery_dropped", "$events/delivery_dropped",
	   "A message was not sent to one of its subscribers.")
EVENT_KIND(CONNECTOR_STATUS, "connector.status", "$events/connector/status", "", "A connector's state has changed.")
EVENT_KIND(SOURCE_MESSAGE, "source.message", "$sources/TYPE:NAME", "",
	   "A source has brought a message; names and patterns stand below.")
#endif

#ifdef EVENT_AWS
EVENT_AWS(AWS_CONNECTED, "connected", "$aws/events/presence/connected/")
EVENT_AWS(AWS_DISCONNECTED, "disconnected", "$aws/events/presence/disconnected/")
EVENT_AWS(AWS_CONNECT_FAILED, "connect_failed", "$aws/events/presence/connect_failed/")
EVENT_AWS(AWS_SUBSCRIBED, "subscribed", "$aws/events/subscriptions/subscribed/")
EVENT_AWS(AWS_UNSUBSCRIBED, "unsubscribed", "$aws/events/subscriptions/unsubscribed/")
#endif
