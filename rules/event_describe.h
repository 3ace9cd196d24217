/* event_describe.h: the reference of events: which there are, what their columns mean. Printed from the tables that make
 * them. @thread any */
#ifndef EVENT_DESCRIBE_H
#define EVENT_DESCRIBE_H

#include "buf.h"

void event_describe(struct sl_buf *out);

#endif
