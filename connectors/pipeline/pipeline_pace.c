/* pipeline_pace.c: how many rows a batch may have where whole ones take longer than they may.
 *
 * What was not done within `timeout` would not be done the next time, either: the next batches have half as many rows, until
 * they are in time. Of several that were out together only the first says so: the others waited behind it.
 *
 * But it may have been a network that was silent, or a server that was busy, so they grow again as soon as they can. A batch takes a
 * fixed part (the way there and back) and a part for each row; two batches of different size tell both. When one of twice the size would
 * be done in half the time, it may have that size. Where that is not known, or would take longer, PACE_ENOUGH in a row that
 * were in time let it grow, and twice as many whenever the larger ones were late at once: so a server that cannot do more is rarely
 * asked for it, and one that can is not held up by what was.
 *
 * And how many more where a kind is in doubt whether the table is to blame or a row (sl_batch_in_doubt()): twice as many each time, at
 * least DOUBT_ROWS, until one among them gets through, which tells. What a client holds of them is several times their bytes, so these
 * have a limit of their own.
 *
 * A connection made anew changes nothing of that, for many kinds end it when a batch is late. A reload that changes the action, or its
 * connection, does: everything counts anew. Thread: the connector loop. */
#include "connectors_int.h"

#define PACE_ENOUGH 4u
#define PACE_ENOUGH_MOST 64u
#define DOUBT_ROWS 16u
#define DOUBT_ROWS_MOST 16384u
#define DOUBT_BYTES_MOST (16 * SL_MB)
#define DOUBT_MEMORY_DIV 8u

static void pace_cut(struct sl_pipeline *p, const struct pipeline_batch *bt) {
	struct pace *pace = &p->pace;
	uint32_t n = bt->b.count;
	if (bt->sent_ms < pace->cut_ms) return; /* it went before that was known */
	if (n < 2 || (pace->most > 0 && n / 2 >= pace->most)) return;
	uint32_t enough = pace->enough ? pace->enough : PACE_ENOUGH;
	if (pace->grown && enough < PACE_ENOUGH_MOST) enough *= 2;
	*pace = (struct pace){.most = n / 2, .enough = enough, .late_rows = n, .cut_ms = p->now_ms};
}

/* Of a batch of twice the size. */
static uint64_t pace_expected_ms(const struct pace *pace, uint32_t n, uint64_t took_ms) {
	if (pace->small_rows == 0 || pace->small_rows >= n) return took_ms * 2; /* perhaps all of it is for the rows */
	uint64_t more_ms = took_ms > pace->small_ms ? took_ms - pace->small_ms : 0;
	return took_ms + more_ms * n / (n - pace->small_rows);
}

static void pace_in_time(struct sl_pipeline *p, uint32_t n, uint64_t took_ms) {
	struct pace *pace = &p->pace;
	uint32_t rows = (uint32_t)p->action->conf.batch.rows;
	if (pace->grown || pace->enough == 0) pace->enough = PACE_ENOUGH;
	pace->grown = false;
	pace->in_time++;
	bool fits = pace_expected_ms(pace, n, took_ms) <= (uint64_t)p->action->conf.timeout_ms / 2;
	if (pace->small_rows == 0 || took_ms < pace->small_ms) {
		pace->small_ms = took_ms;
		pace->small_rows = n;
	}
	if (pace->in_time < pace->enough && (!fits || pace->enough > PACE_ENOUGH)) return;
	pace->most = pace->most < rows / 2 ? pace->most * 2 : 0;
	pace->in_time = 0;
	pace->grown = true;
}

void pipeline_pace(const struct pipeline_batch *bt) {
	struct sl_pipeline *p = bt->p;
	if (bt->b.late || bt->overdue) {
		p->pace.in_time = 0;
		pace_cut(p, bt);
		return;
	}
	if (bt->b.result[0] != SL_RESULT_DONE && bt->b.result[0] != SL_RESULT_REJECT) return;
	if (p->pace.most == 0) { /* grown: what is late from now on was not at once */
		if (bt->b.count >= p->pace.late_rows) pipeline_pace_forget(p);
	} else if (bt->b.count >= p->pace.most)
		pace_in_time(p, bt->b.count, p->now_ms - bt->sent_ms);
}

void pipeline_pace_forget(struct sl_pipeline *p) { p->pace = (struct pace){0}; }

/* ---- More rows than a batch has. ---------------------------------------------------------------------------------------------- */

uint64_t pipeline_rows_most(const struct sl_way *way) {
	uint64_t rows = (uint64_t)way->p->action->conf.batch.rows;
	return way->doubt_rows > rows ? way->doubt_rows : rows;
}

static uint64_t doubt_bytes_most(const struct action_conf *conf) {
	uint64_t part = (uint64_t)conf->buffer.memory / DOUBT_MEMORY_DIV, bytes = (uint64_t)conf->batch.bytes;
	uint64_t most = part < DOUBT_BYTES_MOST ? part : DOUBT_BYTES_MOST;
	return most > bytes ? most : bytes;
}

/* As many times as many as it has rows. */
uint64_t pipeline_bytes_most(const struct sl_way *way) {
	const struct action_conf *conf = &way->p->action->conf;
	if (sl_likely(way->doubt_rows == 0)) return (uint64_t)conf->batch.bytes;
	uint64_t bytes = (uint64_t)conf->batch.bytes * (1 + way->doubt_rows / (uint64_t)conf->batch.rows);
	uint64_t most = doubt_bytes_most(conf);
	return bytes < most ? bytes : most;
}

void pipeline_doubt_look(const struct pipeline_batch *bt) {
	struct sl_way *way = bt->way;
	if (way->fence) return; /* it went behind one that is back: that one says how many */
	if (!bt->b.doubt) {
		if (!bt->fenced && !bt->b.not_ready && bt->b.result[0] != SL_RESULT_LOST) way->doubt_rows = 0;
		return;
	}
	uint32_t rows = bt->b.count * 2;
	if (rows < DOUBT_ROWS) rows = DOUBT_ROWS;
	way->doubt_rows = rows < DOUBT_ROWS_MOST ? rows : DOUBT_ROWS_MOST;
}
