/* passwd_int.h: one line of the password file, read and made (passwd_line.c). */
#ifndef PASSWD_INT_H
#define PASSWD_INT_H

#include "buf.h"
#include "passwd_file.h"

/* A line without its line break; entry->user points into it. SL_ESYNTAX with err's text when it is no user line.
 * Comments and blank lines are the caller's (passwd_line_is_user). */
int passwd_line_parse(struct sl_slice line, struct passwd_entry *entry, struct sl_err *err);
bool passwd_line_is_user(struct sl_slice line);

/* Appends "user:$scram$...\n" with a fresh salt. Slow on purpose. */
void passwd_line_make(struct sl_slice user, struct sl_slice password, int iterations, struct sl_buf *out);

/* Reads the whole file, bounded. A file that is not there gives SL_ENOTFOUND. */
int passwd_read_all(const char *path, struct sl_buf *out, struct sl_err *err);

#endif
