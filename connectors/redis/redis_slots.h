/* redis_slots.h: which of a cluster's 16384 slots a key belongs to: CRC16 of the key, or of what stands between its first { and
 * the next }, when that is not empty.
 *
 * Thread: any. Never blocks. */
#ifndef REDIS_SLOTS_H
#define REDIS_SLOTS_H

#include "slice.h"

enum { REDIS_SLOTS = 16384 };

uint16_t redis_slot(struct sl_slice key);

#endif
