/* queue_fill.c: how full the queue of an action is, and when it will be full if it goes on like this.
 *
 * Of its own limits (rows, log, or memory where there is no log) the tightest counts. The log counts by its files, which go
 * whole: a queue that is nearly empty may still have a part of one. How fast it fills is measured over the last minute; a log whose files
 * come and go while rows are delivered does not fill: it grows as fast as its files or as what waits, whichever is less.
 * Thread: the connector loop. */
#include <inttypes.h>
#include <stdio.h>

#include "connectors_int.h"
#include "log.h"

#define FILL_EVERY_MS 5000     /* from sample to sample */
#define FILL_SPAN_MIN_MS 1000  /* less says nothing */
#define FILL_FAR_MS 86400000.0 /* what fills more slowly does not grow */
#define FILL_CALM_PERCENT 70   /* below it there is room again */

static struct fill_sample sample_now(const struct sl_pipeline *p) {
	struct spill_stat stat = {0};
	if (p->log) spill_stat(p->log, &stat);
	return (struct fill_sample){.at_ms = p->now_ms,
				    .rows = p->mem_rows + p->held_rows + stat.unread_rows,
				    .bytes = p->mem_bytes + p->held_bytes + stat.unread_bytes,
				    .disk = stat.disk_bytes - stat.spare_bytes};
}

static uint64_t grown(uint64_t was, uint64_t is) { return is > was ? is - was : 0; }

static void bound_look(struct queue_fill *f, const char *option, double used, double most, double more, double ms) {
	double percent = used < most ? used * 100 / most : 100;
	if (!f->limit || percent > f->percent) {
		f->limit = option;
		f->percent = (uint8_t)percent;
	}
	if (more <= 0 || ms < FILL_SPAN_MIN_MS) return;
	double wait = used < most ? (most - used) * ms / more : 0;
	if (wait < FILL_FAR_MS && wait < (double)f->full_ms) f->full_ms = (uint64_t)wait;
}

static struct queue_fill fill_of(const struct sl_pipeline *p, const struct fill_sample *was,
				 const struct fill_sample *is) {
	const struct buffer_conf *conf = &pipeline_intake(p)->conf.buffer;
	struct queue_fill f = {.full_ms = UINT64_MAX};
	double ms = (double)grown(was->at_ms, is->at_ms);
	uint64_t bytes = grown(was->bytes, is->bytes), disk = grown(was->disk, is->disk);
	if (!p->log)
		bound_look(&f, "buffer.memory", (double)(p->mem_bytes + p->copy_bytes),
			   (double)budget_rows((uint64_t)conf->memory), (double)bytes, ms);
	else if (conf->disk != CONF_UNLIMITED)
		bound_look(&f, "buffer.disk", is->rows ? (double)is->disk : 0, (double)conf->disk,
			   (double)(disk < bytes ? disk : bytes), ms);
	if (conf->rows != CONF_UNLIMITED)
		bound_look(&f, "buffer.rows", (double)is->rows, (double)conf->rows, (double)grown(was->rows, is->rows),
			   ms);
	if (f.limit && p->held.head) f.percent = 100;
	return f;
}

static const char *fill_advice(const struct sl_pipeline *p) {
	return p->log ? "see why the connector does not keep up, or raise the limit"
		      : "see why the connector does not keep up, raise the limit, or give it a log: buffer.disk";
}

static void fill_say(struct sl_pipeline *p, uint64_t rows) {
	const struct sl_conn_action *a = p->action;
	const struct queue_fill *f = &p->fill;
	char full[32] = "unknown";
	if (f->percent < FILL_CALM_PERCENT && p->fill_told.n > 0) {
		told_forget(&p->fill_told);
		log_always(LOG_INFO, LOG_ACTION, "queue has room again", "action=%s percent=%u rows=%" PRIu64, a->name,
			   f->percent, rows);
	}
	if (f->percent < FILL_WARN_PERCENT || !told_news(&p->fill_told, f->limit, p->now_ms)) return;
	if (f->full_ms != UINT64_MAX) (void)snprintf(full, sizeof full, "%" PRIu64, f->full_ms / 1000);
	log_always(LOG_WARN, LOG_ACTION, "queue fills up",
		   "action=%s rule=%s connector=%s percent=%u limit=%s rows=%" PRIu64 " oldest_ms=%" PRIu64
		   " full_in_s=%s do=%s",
		   a->name, a->rule, a->conn->name, f->percent, f->limit, rows, pipeline_oldest_ms(p), full,
		   fill_advice(p));
}

void pipeline_fill_look(struct sl_pipeline *p) {
	struct fill_sample is = sample_now(p);
	/* The ring: the oldest is the one that is overwritten next. */
	uint32_t n = p->fill_samples, oldest = n < FILL_SAMPLES ? 0 : n % FILL_SAMPLES;
	const struct fill_sample *was = n ? &p->fill_was[oldest] : &is;
	p->fill = fill_of(p, was, &is);
	fill_say(p, is.rows);
	if (n > 0 && is.at_ms - p->fill_was[(n - 1) % FILL_SAMPLES].at_ms < FILL_EVERY_MS) return;
	p->fill_was[n % FILL_SAMPLES] = is;
	p->fill_samples = n + 1;
}
