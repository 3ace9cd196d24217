/* metric_tbl.h: every broker-wide metric, once: METRIC(id, family, labels, kind, unit, help).
 *
 * Rows of one family stand together and share its help; `labels` tells them apart. A counter only grows and its
 * name ends in _total; a gauge is what is there now. Per-rule and per-action series are written by their layers. */
/* clang-format off */

/* Connections. */
METRIC(CONNECTIONS, "sluice_connections", "", GAUGE, "", "Clients connected now.")
METRIC(CLIENTS, "sluice_clients", "", GAUGE, "", "Clients whose CONNECT was accepted and that are connected.")
METRIC(CONNECTIONS_ACCEPTED, "sluice_connections_accepted_total", "", COUNTER, "", "Network connections taken from listeners.")
METRIC(CONNECTIONS_CLOSED, "sluice_connections_closed_total", "", COUNTER, "", "Network connections that ended, for whatever reason.")
METRIC(CONNECT_RATE_PAUSES, "sluice_accept_pauses_total", "", COUNTER, "", "Times a listener let nobody in for a moment because of its max_connect_rate.")
METRIC(LISTENER_FULL, "sluice_connections_turned_away_total", "reason=\"max_connections\"", COUNTER, "", "Network connections closed at once, by reason.")
METRIC(PROXY_REFUSED, "sluice_connections_turned_away_total", "reason=\"proxy_protocol\"", COUNTER, "", "Network connections closed at once, by reason.")
METRIC(CONNECTS_ACCEPTED, "sluice_connects_total", "result=\"accepted\"", COUNTER, "", "CONNECT packets answered, by result.")
METRIC(CONNECTS_REFUSED, "sluice_connects_total", "result=\"refused\"", COUNTER, "", "CONNECT packets answered, by result.")
METRIC(CONNECTS_VERSION, "sluice_connects_version_refused_total", "", COUNTER, "", "Of the CONNECT packets refused, those with a version of MQTT that their listener does not take.")
METRIC(TAKEOVERS, "sluice_takeovers_total", "", COUNTER, "", "Connections ended because the same client id connected again.")
METRIC(KEEPALIVE_TIMEOUTS, "sluice_keepalive_timeouts_total", "", COUNTER, "", "Connections ended because the client stayed silent for one and a half keep-alive times.")
METRIC(PROTOCOL_ERRORS, "sluice_protocol_errors_total", "", COUNTER, "", "Connections ended because the client broke the MQTT protocol.")

METRIC(TLS_FULL, "sluice_tls_handshakes_total", "result=\"full\"", COUNTER, "", "TLS handshakes with clients, by result: `resumed` took up an earlier session.")
METRIC(TLS_RESUMED, "sluice_tls_handshakes_total", "result=\"resumed\"", COUNTER, "", "TLS handshakes with clients, by result: `resumed` took up an earlier session.")
METRIC(TLS_FAILED, "sluice_tls_handshakes_total", "result=\"failed\"", COUNTER, "", "TLS handshakes with clients, by result: `resumed` took up an earlier session.")

/* Bytes and packets. */
METRIC(BYTES_IN, "sluice_bytes_received_total", "", COUNTER, "bytes", "Bytes read from clients.")
METRIC(BYTES_OUT, "sluice_bytes_sent_total", "", COUNTER, "bytes", "Bytes written to clients.")
METRIC(PACKETS_IN, "sluice_packets_received_total", "", COUNTER, "", "MQTT packets read from clients, of all types.")
METRIC(PACKETS_OUT, "sluice_packets_sent_total", "", COUNTER, "", "MQTT packets written to clients, of all types.")

/* Publishes. */
METRIC(PUBLISH_IN_QOS0, "sluice_publishes_received_total", "qos=\"0\"", COUNTER, "", "Messages taken from clients, by QoS.")
METRIC(PUBLISH_IN_QOS1, "sluice_publishes_received_total", "qos=\"1\"", COUNTER, "", "Messages taken from clients, by QoS.")
METRIC(PUBLISH_IN_QOS2, "sluice_publishes_received_total", "qos=\"2\"", COUNTER, "", "Messages taken from clients, by QoS.")
METRIC(PUBLISH_OUT_QOS0, "sluice_publishes_sent_total", "qos=\"0\"", COUNTER, "", "Messages sent to clients, by QoS.")
METRIC(PUBLISH_OUT_QOS1, "sluice_publishes_sent_total", "qos=\"1\"", COUNTER, "", "Messages sent to clients, by QoS.")
METRIC(PUBLISH_OUT_QOS2, "sluice_publishes_sent_total", "qos=\"2\"", COUNTER, "", "Messages sent to clients, by QoS.")
METRIC(PUBLISH_REPUBLISHED, "sluice_publishes_republished_total", "", COUNTER, "", "Messages that rules published.")
METRIC(PUBLISH_NO_SUBSCRIBER, "sluice_publishes_unclaimed_total", "", COUNTER, "", "Messages that no subscription asked for.")
METRIC(PUBLISH_REFUSED, "sluice_publishes_refused_total", "", COUNTER, "", "Messages refused with a reason code of 0x80 or above.")
METRIC(PUBLISH_BYTES_IN, "sluice_publish_payload_bytes_received_total", "", COUNTER, "bytes", "Payload bytes of the messages taken from clients.")
METRIC(PUBLISH_BYTES_OUT, "sluice_publish_payload_bytes_sent_total", "", COUNTER, "bytes", "Payload bytes of the messages sent to clients.")
METRIC(DELAYED_PUBLISHED, "sluice_delayed_published_total", "", COUNTER, "", "Messages published when their delay was over.")
METRIC(DELAYED_REFUSED, "sluice_delayed_refused_total", "", COUNTER, "", "Delayed messages refused because as many wait as may.")
METRIC(DELAYED, "sluice_delayed_messages", "", GAUGE, "", "Messages that wait for their delay to pass.")
METRIC(RATE_PAUSES, "sluice_client_rate_pauses_total", "", COUNTER, "", "Times a client was not read from for a while because of its listener's max_message_rate or max_byte_rate.")
METRIC(PUBLISHERS_WAITING, "sluice_publishers_waiting", "", GAUGE, "", "Clients that are not read from until there is room for the rows of their messages, or have waited for an acknowledgement for a second.")

/* Ban list and limits around CONNECT. */
METRIC(GUARD_BANNED, "sluice_connects_held_off_total", "reason=\"banned\"", COUNTER, "", "CONNECT packets refused before a password was looked at, by reason; a reload that bans who is connected counts, too.")
METRIC(GUARD_FLAPS, "sluice_connects_held_off_total", "reason=\"flapping\"", COUNTER, "", "CONNECT packets refused before a password was looked at, by reason; a reload that bans who is connected counts, too.")
METRIC(GUARD_TOO_FAST, "sluice_connects_held_off_total", "reason=\"rate\"", COUNTER, "", "CONNECT packets refused before a password was looked at, by reason; a reload that bans who is connected counts, too.")
METRIC(GUARD_GUESSES, "sluice_connects_held_off_total", "reason=\"wrong_logins\"", COUNTER, "", "CONNECT packets refused before a password was looked at, by reason; a reload that bans who is connected counts, too.")
METRIC(GUARD_FLAPPING_BANS, "sluice_flapping_bans_total", "", COUNTER, "", "Times a client id was banned for a while because its connections ended again and again.")

/* Access rules. */
METRIC(ACL_DENIED_CONNECT, "sluice_acl_denied_total", "action=\"connect\"", COUNTER, "", "What access rules did not allow, by action; a will counts as publish, or as connect when it is in CONNECT.")
METRIC(ACL_DENIED_PUBLISH, "sluice_acl_denied_total", "action=\"publish\"", COUNTER, "", "What access rules did not allow, by action; a will counts as publish, or as connect when it is in CONNECT.")
METRIC(ACL_DENIED_SUBSCRIBE, "sluice_acl_denied_total", "action=\"subscribe\"", COUNTER, "", "What access rules did not allow, by action; a will counts as publish, or as connect when it is in CONNECT.")
METRIC(ACL_SUBSCRIPTIONS_ENDED, "sluice_acl_subscriptions_ended_total", "", COUNTER, "", "Subscriptions that ended because access rules changed, or another client took the session over.")

/* Messages that were meant for a subscriber and did not reach it. */
METRIC(DROPPED_QUEUE_FULL, "sluice_messages_dropped_total", "reason=\"queue_full\"", COUNTER, "", "Messages dropped on their way to a subscriber, by reason.")
METRIC(DROPPED_EXPIRED, "sluice_messages_dropped_total", "reason=\"expired\"", COUNTER, "", "Messages dropped on their way to a subscriber, by reason.")
METRIC(DROPPED_TOO_LARGE, "sluice_messages_dropped_total", "reason=\"too_large\"", COUNTER, "", "Messages dropped on their way to a subscriber, by reason.")
METRIC(DROPPED_OFFLINE_QOS0, "sluice_messages_dropped_total", "reason=\"offline_qos0\"", COUNTER, "", "Messages dropped on their way to a subscriber, by reason.")
METRIC(DROPPED_SLOW_CLIENT, "sluice_messages_dropped_total", "reason=\"slow_client\"", COUNTER, "", "Messages dropped on their way to a subscriber, by reason.")
METRIC(DROPPED_NOT_ALLOWED, "sluice_messages_dropped_total", "reason=\"not_authorized\"", COUNTER, "", "Messages dropped on their way to a subscriber, by reason.")
METRIC(DROPPED_SESSION_ENDED, "sluice_messages_dropped_total", "reason=\"session_ended\"", COUNTER, "", "Messages dropped on their way to a subscriber, by reason.")

/* State. */
METRIC(SESSIONS, "sluice_sessions", "", GAUGE, "", "Sessions held, connected or not.")
METRIC(SESSIONS_EXPIRED, "sluice_sessions_expired_total", "", COUNTER, "", "Sessions that ended because their client stayed away for longer than their expiry interval.")
METRIC(SHARED_SUBSCRIPTIONS, "sluice_shared_subscriptions", "", GAUGE, "", "Of the subscriptions those that are shared.")
METRIC(SUBSCRIPTIONS, "sluice_subscriptions", "", GAUGE, "", "Subscriptions held by all sessions.")
METRIC(RETAINED, "sluice_retained_messages", "", GAUGE, "", "Retained messages held.")
METRIC(RETAINED_BYTES, "sluice_retained_bytes", "", GAUGE, "bytes", "Topic and payload bytes of the retained messages held.")
METRIC(INFLIGHT_OUT, "sluice_inflight_messages", "", GAUGE, "", "QoS 1 and 2 messages sent and not acknowledged yet.")
METRIC(QUEUED, "sluice_queued_messages", "", GAUGE, "", "Messages waiting in session queues.")
METRIC(QUEUED_BYTES, "sluice_queued_bytes", "", GAUGE, "bytes", "Bytes of the messages waiting in session queues; one that waits in several counts in each.")
METRIC(QUEUE_LOG_BYTES, "sluice_queue_log_bytes", "", GAUGE, "", "Bytes of the logs that keep queues and messages under way, on disk.")
METRIC(QUEUE_LOG_RECORDS, "sluice_queue_log_records_total", "", COUNTER, "", "Records that the queue logs were given.")
METRIC(QUEUE_LOG_COMPACTED, "sluice_queue_log_compacted_bytes_total", "", COUNTER, "", "Bytes that were written anew so that old files of the queue logs could go.")
METRIC(QUEUE_LOG_ERRORS, "sluice_queue_log_write_errors_total", "", COUNTER, "", "Attempts to write a queue log that failed: nothing that depends on it was acknowledged meanwhile.")
METRIC(QUEUE_LOG_FULL, "sluice_queue_log_full", "", GAUGE, "", "Workers whose queue log cannot be written, or has so little room left that publishers for persistent sessions wait.")
METRIC(QUEUE_LOG_RECOVERED, "sluice_queue_log_recovered_messages_total", "", COUNTER, "", "Messages in queues and under way that were there again after the start, once for each receiver.")
METRIC(QUEUE_LOG_CUT, "sluice_queue_log_cut_bytes_total", "", COUNTER, "", "Bytes of queue logs of former runs that were damaged, or never written whole, and left out.")

/* What outlives the process (persistence). */
METRIC(SESSIONS_RESTORED, "sluice_sessions_restored", "", GAUGE, "", "Sessions that were there from the run before when the broker started.")
METRIC(STORE_COMMITS, "sluice_store_commits_total", "", COUNTER, "", "Batches of changes to sessions, subscriptions, wills and retained messages that were written.")
METRIC(STORE_ERRORS, "sluice_store_errors_total", "", COUNTER, "", "Writes of such batches that failed; each is tried again.")
METRIC(STORE_BYTES, "sluice_store_bytes", "", GAUGE, "bytes", "Bytes on disk that hold sessions, subscriptions, wills and retained messages.")
METRIC(STORE_COMMIT_US, "sluice_store_commit_seconds", "", GAUGE, "seconds", "How long the last batch took to write.")
METRIC(STORE_FULL, "sluice_store_full", "", GAUGE, "", "1 while new sessions, subscriptions and retained messages are refused because the disk or persistence.max_store is full.")

/* Rules, over all of them; each rule's own counters carry its name. */
METRIC(RULE_MATCHED, "sluice_rules_matched_total", "", COUNTER, "", "Times a message reached a rule by its topic.")
METRIC(RULE_FILTERED, "sluice_rules_filtered_total", "", COUNTER, "", "Of these, how often WHERE said no.")
METRIC(RULE_PRODUCED, "sluice_rules_produced_total", "", COUNTER, "", "Of these, how often rows came out and went to the actions.")
METRIC(RULE_FAILED, "sluice_rules_failed_total", "", COUNTER, "", "Of these, how often the rule failed, for example on a payload that is not JSON.")
METRIC(INGEST_UNKNOWN, "sluice_basic_ingest_unknown_total", "", COUNTER, "", "Messages published to $aws/rules/ with the name of a rule that is not there: lost.")
