#include "err.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "mem.h"

const char *sl_status_text(int status) {
	switch (status) {
	case SL_OK: return "ok";
#define SL_ERR(name, value, text)                                                                                      \
	case SL_##name:                                                                                                \
		return text;
#include "err_tbl.h"
#undef SL_ERR
	}
	return "unknown status";
}

int sl_err_setv(struct sl_err *err, int status, const char *fmt, va_list ap) {
	if (!err) return status;
	char *text = sl_vasprintf(fmt, ap);
	sl_free(err->text);
	err->text = text;
	err->status = status;
	return status;
}

int sl_err_set(struct sl_err *err, int status, const char *fmt, ...) {
	va_list ap;
	va_start(ap, fmt);
	sl_err_setv(err, status, fmt, ap);
	va_end(ap);
	return status;
}

void sl_err_at(struct sl_err *err, const char *file, uint32_t line, uint32_t column) {
	if (!err) return;
	if (file) {
		sl_free(err->file);
		err->file = sl_strdup(file);
	}
	err->line = line;
	err->column = column;
}

int sl_err_prefix(struct sl_err *err, const char *fmt, ...) {
	if (!err) return SL_OK;
	va_list ap;
	va_start(ap, fmt);
	char *prefix = sl_vasprintf(fmt, ap);
	va_end(ap);
	char *text = sl_asprintf("%s: %s", prefix, sl_err_text(err));
	sl_free(prefix);
	sl_free(err->text);
	err->text = text;
	return err->status;
}

const char *sl_err_text(const struct sl_err *err) { return err->text ? err->text : sl_status_text(err->status); }

char *sl_err_format(const struct sl_err *err) {
	const char *file = err->file ? err->file : "";
	const char *text = sl_err_text(err);
	if (err->line == 0) return err->file ? sl_asprintf("%s: %s", file, text) : sl_strdup(text);
	const char *sep = err->file ? ":" : "line ";
	if (err->column == 0) return sl_asprintf("%s%s%u: %s", file, sep, err->line, text);
	return err->file ? sl_asprintf("%s:%u:%u: %s", file, err->line, err->column, text)
			 : sl_asprintf("line %u, column %u: %s", err->line, err->column, text);
}

void sl_err_fini(struct sl_err *err) {
	sl_free(err->file);
	sl_free(err->text);
	*err = (struct sl_err)SL_ERR_INIT;
}

int sl_status_from_errno(int errno_value) {
	switch (errno_value) {
	case 0: return SL_OK;
	case ENOSPC:
	case EDQUOT: return SL_ENOSPACE;
	case EACCES:
	case EPERM: return SL_EDENIED;
	case ENOENT: return SL_ENOTFOUND;
	case EEXIST: return SL_EEXISTS;
	case EAGAIN: return SL_EAGAIN;
	case EPIPE:
	case ECONNRESET: return SL_ECLOSED;
	default: return SL_EIO;
	}
}

void sl_assert_failed(const char *expr, const char *file, int line) {
	fprintf(stderr, "%s:%d: broken invariant: %s (this is a fault in sluice; please report it)\n", file, line,
		expr);
	abort();
}
