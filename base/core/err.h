/* err.h: status codes, and one human sentence with its place.
 *
 * Deep code returns a code only. At the edges (configuration, SQL, command line) a function also takes
 * `struct sl_err *err`: where (file, line, column, option path), what, and what to do. The caller owns the
 * struct (stack is fine), starts with SL_ERR_INIT and ends with sl_err_fini(). Passing NULL is allowed:
 * the text is then not made.
 * Thread: an sl_err belongs to one thread. Never blocks. */
#ifndef SL_ERR_H
#define SL_ERR_H

#include <stdarg.h>

#include "common.h"

enum sl_status {
	SL_OK = 0,
#define SL_ERR(name, value, text) SL_##name = (value),
#include "err_tbl.h"
#undef SL_ERR
};

/* The table's text for a code; "unknown status" for any other number. Static storage. */
const char *sl_status_text(int status);

struct sl_err {
	int status;      /* SL_OK until set */
	uint32_t line;   /* 1-based; 0 = not known */
	uint32_t column; /* 1-based, in bytes; 0 = not known */
	char *file;      /* owned; NULL = not known */
	char *text;      /* owned; NULL until set */
};
#define SL_ERR_INIT                                                                                                    \
	{ 0 }

/* Sets status and text (a former text is freed), keeps file, line and column. Returns `status`, so that
 * `return sl_err_set(err, SL_EINVAL, "...")` reads well. err may be NULL. */
int sl_err_set(struct sl_err *err, int status, const char *fmt, ...) sl_printf(3, 4);
int sl_err_setv(struct sl_err *err, int status, const char *fmt, va_list ap) sl_printf(3, 0);

/* Names the place. `file` is copied; NULL keeps the one that is there. err may be NULL. */
void sl_err_at(struct sl_err *err, const char *file, uint32_t line, uint32_t column);

/* Puts "prefix: " before the text, for a caller who knows more of the place. Returns err->status. */
int sl_err_prefix(struct sl_err *err, const char *fmt, ...) sl_printf(2, 3);

/* The text, or the status's own when none was set. Never NULL; valid until the next call on err. */
const char *sl_err_text(const struct sl_err *err);

/* "file:line:column: text" with what is known. Returns a heap string; free with sl_free(). */
char *sl_err_format(const struct sl_err *err);

void sl_err_fini(struct sl_err *err);

/* The status for an errno value (ENOSPC and EDQUOT are SL_ENOSPACE, most others SL_EIO). */
int sl_status_from_errno(int errno_value);

#endif
