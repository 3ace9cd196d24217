/* event_aws.h: clients that come, go and subscribe, as the messages that AWS IoT Core makes of it.
 *
 *     $aws/events/presence/connected/press-1
 *     {"clientId":"press-1","timestamp":1700000000000,"eventType":"connected","sessionIdentifier":"...",
 *      "principalIdentifier":"plant","ipAddress":"192.0.2.7","versionNumber":12}
 *
 * principalIdentifier is the user name, and absent without one. versionNumber grows with each connection of a client and
 * begins anew when the broker does. A client id that holds '#' or '+' gets no message, as there.
 * Thread: any; there is no state. */
#ifndef EVENT_AWS_H
#define EVENT_AWS_H

#include "buf.h"
#include "rules.h"

/* Makes topic and payload of an event of one of the AWS kinds; false when there is no message of it. */
bool event_aws_message(const struct rules_event *ev, struct sl_buf *topic, struct sl_buf *payload);

#endif
