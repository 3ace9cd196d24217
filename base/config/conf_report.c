#include "conf_report.h"

#include <stdarg.h>

#include "buf.h"
#include "conf_exec.h"
#include "mem.h"

void conf_report_fini(struct conf_report *report) {
	for (size_t i = 0; i < report->len; i++) sl_err_fini(&report->errs[i]);
	report->len = 0;
	report->dropped = 0;
}

/* The next free entry, or NULL when the report is full. */
static struct sl_err *next_entry(struct conf_report *report) {
	if (report->len == CONF_REPORT_MAX) {
		report->dropped++;
		return NULL;
	}
	struct sl_err *err = &report->errs[report->len++];
	*err = (struct sl_err)SL_ERR_INIT;
	return err;
}

/* A check may quote the value that a program gave. */
static void hide_secrets(struct sl_err *err) {
	struct sl_slice text = slice_from_str(sl_err_text(err));
	struct sl_buf hidden = SL_BUF_INIT;
	conf_exec_hide(text, &hidden);
	if (!slice_equal(text, sl_buf_slice(&hidden))) sl_err_set(err, err->status, "%s", sl_buf_cstr(&hidden));
	sl_buf_fini(&hidden);
}

static void set_place(struct sl_err *err, struct conf_at at, enum conf_spot spot) {
	uint32_t line, column;
	if (!at.doc) return;
	if (spot == CONF_AT_KEY)
		yaml_key_position(at.doc, at.path, &line, &column);
	else
		yaml_value_position(at.doc, at.path, &line, &column);
	sl_err_at(err, yaml_doc_file(at.doc), line, column);
}

int conf_report_add(struct conf_report *report, struct conf_at at, enum conf_spot spot, int status, const char *fmt,
		    ...) {
	struct sl_err *err = next_entry(report);
	if (!err) return status;
	va_list ap;
	va_start(ap, fmt);
	sl_err_setv(err, status, fmt, ap);
	va_end(ap);
	hide_secrets(err);
	if (at.path[0]) sl_err_prefix(err, "%s", at.path);
	set_place(err, at, spot);
	return status;
}

int conf_report_text(struct conf_report *report, struct conf_at at, struct sl_err *err) {
	int status = err->status;
	struct sl_err *entry = next_entry(report);
	if (!entry) {
		sl_err_fini(err);
		return status;
	}
	*entry = *err;
	*err = (struct sl_err)SL_ERR_INIT;
	hide_secrets(entry);
	if (at.path[0]) sl_err_prefix(entry, "%s", at.path);
	if (!at.doc) return status; /* the place inside the text is the best there is */
	uint32_t line = entry->line, column = entry->column;
	set_place(entry, at, CONF_AT_VALUE);
	if (line > 0 && yaml_text_position(at.doc, at.path, line, column, &line, &column))
		sl_err_at(entry, NULL, line, column);
	return status;
}

int conf_report_take(struct conf_report *report, struct sl_err *err) {
	int status = err->status;
	struct sl_err *entry = next_entry(report);
	if (entry)
		*entry = *err;
	else
		sl_err_fini(err);
	*err = (struct sl_err)SL_ERR_INIT;
	return status;
}

int conf_report_status(const struct conf_report *report) { return report->len ? report->errs[0].status : SL_OK; }

static bool stands_before(const struct sl_err *a, const struct sl_err *b) {
	return a->line != b->line ? a->line < b->line : a->column < b->column;
}

char *conf_report_format(const struct conf_report *report) {
	size_t order[CONF_REPORT_MAX];
	for (size_t i = 0; i < report->len; i++) {
		size_t at = i;
		for (; at > 0 && stands_before(&report->errs[i], &report->errs[order[at - 1]]); at--)
			order[at] = order[at - 1];
		order[at] = i;
	}
	struct sl_buf b = SL_BUF_INIT;
	for (size_t i = 0; i < report->len; i++) {
		char *line = sl_err_format(&report->errs[order[i]]);
		sl_buf_printf(&b, "%s\n", line);
		sl_free(line);
	}
	if (report->dropped) sl_buf_printf(&b, "... and %zu more\n", report->dropped);
	return sl_buf_steal(&b);
}
