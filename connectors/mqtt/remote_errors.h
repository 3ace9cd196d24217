/* remote_errors.h: what each reason code of PUBACK, PUBREC and PUBCOMP means for the row.
 *
 * Lifetime: constant. Thread: any. Never blocks. */
#ifndef REMOTE_ERRORS_H
#define REMOTE_ERRORS_H

#include "connector_errors.h"
#include "mqtt.h"

enum { REMOTE_QUOTA_WAIT_MS = 1000 };

/* PENDING: refused for want of a right, and whose fault that is, the other rows tell (remote_out.c). */
enum sl_result remote_reason_result(enum mqtt_reason reason);
void remote_reasons_print(struct sl_buf *out);

#endif
