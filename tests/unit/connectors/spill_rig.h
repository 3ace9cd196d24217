/* spill_rig.h: what tests of the log have in common: logs of two columns, records of numbered rows. */
#ifndef SPILL_RIG_H
#define SPILL_RIG_H

#include "rig.h"
#include "spill.h"

extern const struct sl_slice log_columns[2];
struct spill *log_open_with(const char *dir, uint64_t segment_bytes, const struct sl_slice *names, size_t count);
struct spill *log_open(const char *dir, uint64_t segment_bytes);
char *log_copy(const char *dir); /* as a killed process would leave it; heap, to be removed with rig_rmdir() */
uint64_t log_files_bytes(const char *dir);
size_t files(const char *dir, const char *end); /* whose names end so */

struct sl_buf record_make(uint64_t first, uint32_t rows); /* rows numbered from `first` */
int record_append(struct spill *s, uint64_t first, uint32_t rows, struct spill_ref *keep);
/* Reads one record; its first row's number, or -1 at the end. */
int64_t record_read(struct spill *s, struct spill_ref *ref, uint32_t *rows);

#endif
