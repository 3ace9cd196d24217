/* crc32c.h: CRC-32C (Castagnoli), by the CPU's instruction where it has one, else by table.
 * crc32c(0, "123456789", 9) is 0xe3069283. Feed the last result in to go on. Thread: any. */
#ifndef SL_CRC32C_H
#define SL_CRC32C_H

#include "common.h"

uint32_t crc32c(uint32_t crc, const void *bytes, size_t len);
/* The same without the instruction; public so that a test compares the two. */
uint32_t crc32c_by_table(uint32_t crc, const void *bytes, size_t len);

#endif
