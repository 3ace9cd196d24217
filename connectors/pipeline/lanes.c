/* lanes.c: who waits. Rows of one order key go through one lane, so a client that publishes much may wait while connections
 * stand idle. Once a second a sample of what waits says which part of it is of one lane, and whose rows these are.
 * Thread: the connector loop. */
#include "connectors_int.h"
#include "utf8.h"

#define SAMPLE_CHUNKS 16 /* the latest: most of their rows are not decided */
#define SAMPLE_EACH 8
#define WAITING_MIN 100 /* below it nobody waits for long */
#define CLIENT_MAX 128

struct sample {
	uint32_t rows, of[LANES];
	struct sl_chunk *chunk[LANES]; /* the last row of the lane */
	const void *row[LANES];
};

static void sample_chunk(struct sample *s, struct sl_chunk *c) {
	const struct row_at *index = chunk_index(c);
	uint32_t n = c->rows < SAMPLE_EACH ? c->rows : SAMPLE_EACH;
	for (uint32_t i = 0; i < n; i++) {
		const void *row = c->buf.p + index[(uint64_t)i * c->rows / n].at;
		unsigned lane = (unsigned)(sql_row_head(row)->order % LANES);
		s->rows++;
		s->of[lane]++;
		s->chunk[lane] = c;
		s->row[lane] = row;
	}
}

void pipeline_lanes_look(struct sl_pipeline *p) {
	struct sample s = {.rows = 0};
	struct sl_origin from;
	unsigned top = 0, chunks = 0;
	p->busiest_percent = 0;
	if (p->action->conf.order != ORDER_KEY || p->mem_rows < WAITING_MIN) return;
	for (struct sl_list *it = p->in_mem.prev; it != &p->in_mem && chunks < SAMPLE_CHUNKS; it = it->prev, chunks++)
		sample_chunk(&s, SL_LIST_ENTRY(it, struct sl_chunk, in_mem));
	if (s.rows == 0) return;
	for (unsigned i = 1; i < LANES; i++)
		if (s.of[i] > s.of[top]) top = i;
	p->busiest_percent = (uint8_t)(s.of[top] * 100 / s.rows);
	sl_free(p->busiest_client);
	bool known = chunk_origin(s.chunk[top], s.row[top], &from);
	struct sl_slice client = known ? from.clientid : SL_SLICE_EMPTY;
	size_t shown = client.n < CLIENT_MAX ? client.n : CLIENT_MAX; /* perhaps cut in a character */
	p->busiest_client = utf8_repair(sl_memdup0(client.p, shown), shown);
}
