#include "metrics.h"

#include <math.h>

#include "conv.h"
#include "utf8.h"

#define COUNTER SL_METRIC_COUNTER
#define GAUGE SL_METRIC_GAUGE
static const struct sl_metric_info infos[METRIC_COUNT] = {
#define METRIC(id, family_, labels_, kind_, unit_, help_)                                                              \
	[METRIC_##id] = {.family = family_, .labels = labels_, .kind = kind_, .unit = unit_, .help = help_},
#include "metric_tbl.h"
#undef METRIC
};
#undef COUNTER
#undef GAUGE

const struct sl_metric_info *sl_metric_info(enum sl_metric id) { return &infos[id]; }

void sl_metrics_sum(struct sl_metrics *total, const struct sl_metrics *shard) {
	for (size_t i = 0; i < METRIC_COUNT; i++) total->v[i] += shard->v[i];
}

int64_t sl_metrics_gauge(const struct sl_metrics *total, enum sl_metric id) { return (int64_t)total->v[id]; }

/* HELP text: a backslash and a newline are escaped; label values: a quote too. */
static void append_escaped(struct sl_buf *b, struct sl_slice text, bool quote_too) {
	while (text.n) {
		size_t good = utf8_valid_prefix(text);
		for (size_t i = 0; i < good; i++) {
			char c = text.p[i];
			if (c == '\n') {
				sl_buf_append(b, "\\n", 2);
				continue;
			}
			if (c == '\\' || (c == '"' && quote_too)) sl_buf_put(b, '\\');
			sl_buf_put(b, c);
		}
		text = slice_from(text, good);
		if (text.n == 0) return;
		sl_buf_append(b, "\xef\xbf\xbd", 3);
		text = slice_from(text, 1);
	}
}

void sl_prom_family(struct sl_buf *b, const char *name, enum sl_metric_kind kind, const char *help) {
	sl_buf_append_str(b, "# HELP ");
	sl_buf_append_str(b, name);
	sl_buf_put(b, ' ');
	append_escaped(b, slice_from_str(help), false);
	sl_buf_append_str(b, "\n# TYPE ");
	sl_buf_append_str(b, name);
	sl_buf_append_str(b, kind == SL_METRIC_COUNTER ? " counter\n" : " gauge\n");
}

static void append_name(struct sl_buf *b, const char *name, const struct sl_prom_label *labels, size_t n) {
	sl_buf_append_str(b, name);
	for (size_t i = 0; i < n; i++) {
		sl_buf_put(b, i == 0 ? '{' : ',');
		sl_buf_append_str(b, labels[i].name);
		sl_buf_append(b, "=\"", 2);
		append_escaped(b, labels[i].value, true);
		sl_buf_put(b, '"');
	}
	if (n) sl_buf_put(b, '}');
	sl_buf_put(b, ' ');
}

static void append_line_number(struct sl_buf *b, const char *text, size_t n) {
	sl_buf_append(b, text, n);
	sl_buf_put(b, '\n');
}

void sl_prom_value(struct sl_buf *b, const char *name, const struct sl_prom_label *labels, size_t n, uint64_t value) {
	char text[SL_FORMAT_I64_MAX];
	append_name(b, name, labels, n);
	append_line_number(b, text, sl_format_u64(value, text));
}

void sl_prom_value_double(struct sl_buf *b, const char *name, const struct sl_prom_label *labels, size_t n,
			  double value) {
	char text[SL_FORMAT_DOUBLE_MAX];
	append_name(b, name, labels, n);
	/* The format spells the values that are no numbers its own way. */
	if (isnan(value))
		append_line_number(b, "NaN", 3);
	else if (isinf(value))
		append_line_number(b, value > 0 ? "+Inf" : "-Inf", 4);
	else
		append_line_number(b, text, sl_format_double(value, text));
}

void sl_metrics_write(struct sl_buf *b, const struct sl_metrics *total) {
	const char *family = "";
	for (size_t i = 0; i < METRIC_COUNT; i++) {
		const struct sl_metric_info *info = &infos[i];
		if (strcmp(info->family, family) != 0) sl_prom_family(b, info->family, info->kind, info->help);
		family = info->family;
		char text[SL_FORMAT_I64_MAX];
		size_t n = info->kind == SL_METRIC_GAUGE ? sl_format_i64((int64_t)total->v[i], text)
							 : sl_format_u64(total->v[i], text);
		sl_buf_append_str(b, info->family);
		if (*info->labels) {
			sl_buf_put(b, '{');
			sl_buf_append_str(b, info->labels);
			sl_buf_put(b, '}');
		}
		sl_buf_put(b, ' ');
		if (strcmp(info->unit, "seconds") == 0) {
			char seconds[SL_FORMAT_DOUBLE_MAX];
			append_line_number(b, seconds, sl_format_double((double)total->v[i] / 1e6, seconds));
			continue;
		}
		append_line_number(b, text, n);
	}
}
