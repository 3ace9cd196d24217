/* null_source.c: messages out of nothing: for tests of what the framework promises of sources, and for benchmarks.
 *
 *     value {"part": 2, "n": 41}, key and topic "part2", offset 41
 *
 * Each part counts up from 0. With `revoke_every` a part goes away after so many messages, as in a rebalance, and comes again at
 * its mark: what was not through is given again. */
#include "connector.h"
#include "mem.h"
#include "null_source.h"
#include "source_tracker.h"

#define PAUSE_MS 1

struct null_source_conf {
	int64_t messages, parts, burst, revoke_every;
};
struct null_source {
	struct null_source_conf conf; /* first: filled by the framework */
	struct sl_source *s;
	struct sl_timer timer;
	struct sl_source_part **parts;
};
struct null_part {
	struct source_tracker tracker;
	int64_t next, since; /* since: messages given since it came */
};

static const struct conf_field fields[] = {
    {.name = "messages",
     .type = CONF_INT,
     .at = offsetof(struct null_source_conf, messages),
     .def = "unlimited",
     .flags = CONF_UNLIMITED_OK,
     .doc = "Messages of each part."},
    {.name = "parts",
     .type = CONF_INT,
     .at = offsetof(struct null_source_conf, parts),
     .def = "1",
     .min = 1,
     .max = 1000,
     .doc = "How many parts there are; messages of one keep their order."},
    {.name = "burst",
     .type = CONF_INT,
     .at = offsetof(struct null_source_conf, burst),
     .def = "100",
     .min = 1,
     .max = 100000,
     .doc = "Messages that a part gives every millisecond."},
    {.name = "revoke_every",
     .type = CONF_INT,
     .at = offsetof(struct null_source_conf, revoke_every),
     .def = "0",
     .max = 1000000000,
     .doc = "A part goes away after so many messages, and comes again where all before was through; 0: never."},
    CONF_END};

static struct null_source *of(const struct sl_source *s) { return sl_source_impl(s); }

static int64_t part_begin(struct null_source *k, size_t i, int64_t next) {
	k->parts[i] = sl_source_part_new(k->s);
	*(struct null_part *)sl_source_part_impl(k->parts[i]) = (struct null_part){.next = next};
	return next;
}

static void part_end(struct null_source *k, size_t i) {
	struct null_part *p = sl_source_part_impl(k->parts[i]);
	tracker_fini(&p->tracker);
	sl_source_part_end(k->parts[i]);
	k->parts[i] = NULL;
}

static void revoke(struct null_source *k, size_t i) {
	struct null_part *p = sl_source_part_impl(k->parts[i]);
	int64_t mark = tracker_mark(&p->tracker), first = p->next - p->since;
	part_end(k, i);
	part_begin(k, i, mark >= 0 ? mark : first);
}

static void give(struct null_source *k, size_t i) {
	struct null_part *p = sl_source_part_impl(k->parts[i]);
	struct sl_buf value = SL_BUF_INIT, topic = SL_BUF_INIT, id = SL_BUF_INIT;
	sl_buf_printf(&value, "{\"part\": %zu, \"n\": %lld}", i, (long long)p->next);
	sl_buf_printf(&topic, "part%zu", i);
	sl_buf_printf(&id, "%zu-%lld", i, (long long)p->next);
	struct sl_source_item item = {
	    .key = sl_buf_slice(&topic),
	    .value = sl_buf_slice(&value),
	    .topic = sl_buf_slice(&topic),
	    .id = sl_buf_slice(&id),
	    .partition = (int32_t)i,
	    .offset = p->next,
	    .ts_ms = -1,
	};
	tracker_add(&p->tracker, p->next);
	sl_source_take(k->parts[i], &item, (uint64_t)p->next);
	p->next++;
	p->since++;
	sl_buf_fini(&value);
	sl_buf_fini(&topic);
	sl_buf_fini(&id);
}

static void part_tick(struct null_source *k, size_t i) {
	struct null_part *p = sl_source_part_impl(k->parts[i]);
	if (k->conf.revoke_every && p->since >= k->conf.revoke_every) {
		revoke(k, i);
		return;
	}
	for (int64_t n = 0; n < k->conf.burst && p->next < k->conf.messages && !sl_source_paused(k->s); n++) give(k, i);
}

static void on_timer(struct sl_timer *t) {
	struct null_source *k = sl_container_of(t, struct null_source, timer);
	for (size_t i = 0; i < (size_t)k->conf.parts; i++) part_tick(k, i);
	sl_source_flush(k->s);
	sl_timer_set(sl_source_loop(k->s), t, PAUSE_MS);
}

static int check(struct sl_source *s, struct sl_err *err) {
	struct null_source *k = of(s);
	(void)err;
	k->s = s;
	sl_timer_init(&k->timer, on_timer);
	return SL_OK;
}

static void start(struct sl_source *s) {
	struct null_source *k = of(s);
	k->parts = SL_NEW_ARRAY(struct sl_source_part *, (size_t)k->conf.parts);
	for (size_t i = 0; i < (size_t)k->conf.parts; i++) part_begin(k, i, 0);
	sl_source_state(s, SL_SOURCE_UP, NULL);
	sl_timer_set(sl_source_loop(s), &k->timer, PAUSE_MS);
}

static void nothing(struct sl_source *s) { (void)s; } /* on_timer asks whether it is paused */

static void done(struct sl_source_part *part, uint64_t mark) {
	struct null_part *p = sl_source_part_impl(part);
	(void)tracker_done(&p->tracker, (int64_t)mark);
}

static void close_source(struct sl_source *s) {
	struct null_source *k = of(s);
	sl_timer_cancel(&k->timer);
	for (size_t i = 0; k->parts && i < (size_t)k->conf.parts; i++) part_end(k, i);
	sl_source_closed(s);
}

static void fini(struct sl_source *s) {
	struct null_source *k = of(s);
	if (!k->s) return;
	sl_timer_cancel(&k->timer);
	for (size_t i = 0; k->parts && i < (size_t)k->conf.parts; i++)
		if (k->parts[i]) part_end(k, i);
	sl_free(k->parts);
}

static int64_t lag(const struct sl_source *s) {
	const struct null_source *k = of(s);
	int64_t left = 0;
	if (k->conf.messages == CONF_UNLIMITED || !k->parts) return -1;
	for (size_t i = 0; i < (size_t)k->conf.parts; i++) {
		const struct null_part *p = k->parts[i] ? sl_source_part_impl(k->parts[i]) : NULL;
		if (p) left += k->conf.messages - p->next;
	}
	return left;
}

const struct sl_source_kind null_source_kind = {
    .summary = "Makes messages {\"part\": 0, \"n\": 0} out of nothing. For tests and benchmarks.",
    .example = "{connector: nowhere}",
    .source_size = sizeof(struct null_source),
    .part_size = sizeof(struct null_part),
    .fields = fields,
    .check = check,
    .start = start,
    .pause = nothing,
    .resume = nothing,
    .done = done,
    .settled = nothing,
    .close = close_source,
    .fini = fini,
    .lag = lag,
};
