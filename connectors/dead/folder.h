/* folder.h: could a file be written in this folder? Found out without making anything.
 *
 * For `sluice connector test` of kinds whose far side is this machine's own disk. What is missing of the folder's path would be
 * made, so the nearest part that is there decides. A file without a name (O_TMPFILE) is tried where the file system has that: it
 * alone knows of read-only mounts and of quotas.
 * Thread: any; asks the file system. Errors: in words, with what to do. */
#ifndef FOLDER_H
#define FOLDER_H

#include <stdbool.h>

#include "err.h"

/* *there: the folder itself exists. */
int folder_usable(const char *dir, bool *there, struct sl_err *err);
/* The folder of a file's path; heap. */
char *folder_of(const char *path);

#endif
