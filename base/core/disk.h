/* disk.h: the few file operations that every log on disk needs.
 * Errors: negative SL_E, errno is left as it was. Thread: any. They block as file output does. */
#ifndef SL_DISK_H
#define SL_DISK_H

#include "common.h"

int sl_disk_mkdirs(const char *dir);                                   /* with parents; SL_OK when there */
int sl_disk_write(int fd, const char *bytes, size_t len, uint64_t at); /* all of it, or an error */
int sl_disk_read(int fd, char *bytes, size_t len, uint64_t at); /* all of it; SL_ENOTFOUND: the file ends before */
int sl_disk_sync_dir(const char *dir);                          /* names that were made or went */

#endif
