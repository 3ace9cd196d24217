/* redis_source.c: a source's life: links up, links lost, paused, closed. See redis_source.h. */
#include "redis_source.h"

#include "mem.h"

#define TICK_MS 500
#define SILENT_MS 5000 /* what was asked has no answer for so long beyond its own wait: the link is given up */
#define PING_MS 3000
#define CLOSING_MS 2000
#define CLOSING_TICK_MS 20

static struct redis_source *of(const struct sl_source *s) { return sl_source_impl(s); }

/* ---- Parts: they begin with a pair of links, and end with it. --------------------------------------------------------------- */

static void parts_end(struct redis_source *r) {
	while (r->part_n > 0) {
		struct sl_source_part *part = r->parts[--r->part_n];
		redis_from_fini(redis_from(part));
		sl_source_part_end(part);
	}
}

static void part_add(struct redis_source *r, const char *key) {
	struct sl_source_part *part = sl_source_part_new(r->s);
	*redis_from(part) = (struct redis_from){.key = slice_from_str(key), .history = true};
	r->parts[r->part_n++] = part;
}

static void parts_begin(struct redis_source *r) {
	for (size_t i = 0; i < r->conf.streams.len; i++) part_add(r, r->conf.streams.items[i]);
	if (r->mode == REDIS_FROM_LIST) part_add(r, r->conf.list);
	if (r->mode == REDIS_FROM_CHANNELS) part_add(r, "");
}

/* ---- Links. ------------------------------------------------------------------------------------------------------------------ */

static void links_drop(struct redis_source *r) {
	r->open = r->began = r->up = r->claim_bad = r->reading = r->acking = r->claiming = false;
	redis_link_close(&r->in, "closed");
	redis_link_close(&r->out, "closed");
	parts_end(r);
	sl_source_forgotten(r->s, r->untold);
	r->untold = 0;
}

void redis_source_fail(struct redis_source *r, const char *text) {
	links_drop(r);
	if (r->closing) return;
	sl_source_state(r->s, SL_SOURCE_DOWN, "%s", text);
	/* The slot may be somewhere else. */
	if (r->settings->mode == REDIS_CLUSTER && r->client->state == REDIS_UP) redis_cluster_refresh(r->client, NULL);
}

static struct redis_source *source_of(struct redis_link *l) {
	return sl_container_of(l->dock, struct redis_source, dock);
}

static void on_ready(struct redis_link *l) {
	struct redis_source *r = source_of(l);
	if (r->in.state != REDIS_LINK_READY || r->out.state != REDIS_LINK_READY) return;
	parts_begin(r);
	redis_source_begin(r);
}

static void on_down(struct redis_link *l, int status, const char *text) {
	(void)status;
	redis_source_fail(source_of(l), text);
}

static const struct redis_link_events events = {.on_ready = on_ready, .on_down = on_down};

/* Where the connector is: it has asked the sentinels, or the cluster, where there are some. NULL: not there. */
static const struct redis_node *node_choose(const struct redis_source *r) {
	struct redis_client *c = r->client;
	if (c->state != REDIS_UP || c->nodes == 0) return NULL;
	if (c->conf->mode != REDIS_CLUSTER) return c->node[0];
	if (r->mode != REDIS_FROM_CHANNELS) return redis_cluster_node(c, r->slot);
	/* What is said at one node is heard at all. */
	for (size_t i = 0; i < c->nodes; i++)
		if (c->node[i]->link.state == REDIS_LINK_READY) return c->node[i];
	return NULL;
}

static void links_open(struct redis_source *r) {
	struct redis_client *c = r->client;
	const struct redis_node *n = node_choose(r);
	if (!n) {
		if (c->state == REDIS_DOWN) sl_source_state(r->s, SL_SOURCE_DOWN, "the connector is down");
		if (c->state == REDIS_UP)
			sl_source_state(r->s, SL_SOURCE_DOWN, "no node of the cluster has the slot %u", r->slot);
		return;
	}
	struct redis_link_setup setup = redis_node_setup(n);
	/* The node may go before our links to it do. */
	sl_free(r->host);
	setup.host = r->host = sl_strdup(n->host);
	r->open = true;
	setup.limits = &r->limits;
	redis_link_open(&r->in, &setup);
	setup.limits = &redis_limits_several;
	if (r->open) redis_link_open(&r->out, &setup);
}

/* An old master that nobody has told yet goes on answering, and what we acknowledge there is lost. */
static bool master_moved(const struct redis_source *r) {
	const struct redis_client *c = r->client;
	if (c->conf->mode != REDIS_SENTINEL || c->state != REDIS_UP || c->nodes == 0) return false;
	return strcmp(c->node[0]->host, r->in.setup.host) != 0 || c->node[0]->port != r->in.setup.port;
}

static void on_timer(struct sl_timer *t) {
	struct redis_source *r = sl_container_of(t, struct redis_source, timer);
	uint64_t now = sl_loop_now_ms(sl_source_loop(r->s));
	bool late = now - r->tick_ms > (uint64_t)TICK_MS * 3;
	r->tick_ms = now;
	sl_timer_set(sl_source_loop(r->s), t, TICK_MS);
	if (!r->open && now < r->ack_at_ms) return;
	if (!r->open) {
		links_open(r);
		return;
	}
	if (master_moved(r)) {
		redis_source_fail(r, "the master moved");
		return;
	}
	if (!r->began) return; /* the links have a limit of their own for that */
	bool waits = r->reading || r->acking || r->claiming;
	/* A large answer is on its way; or it was us who did not listen. */
	if (r->heard_bytes != r->dock.bytes_in || late) r->heard_ms = now;
	r->heard_bytes = r->dock.bytes_in;
	if (waits && now - r->heard_ms > SILENT_MS) {
		redis_source_fail(r, "the server does not answer");
		return;
	}
	if (now - r->heard_ms > PING_MS) redis_source_ping(r);
	if (now - r->claim_ms < (uint64_t)TICK_MS * 10) return;
	r->claim_ms = now;
	redis_source_claim(r);
}

/* ---- The kind. ------------------------------------------------------------------------------------------------------------------- */

static void dock_empty(struct redis_dock *dock) {
	struct redis_source *r = sl_container_of(dock, struct redis_source, dock);
	if (r->closing && !r->open) sl_source_closed(r->s);
}

static int check(struct sl_source *s, struct sl_err *err) {
	struct redis_source *r = of(s);
	r->s = s;
	r->settings = sl_source_conn_impl(s); /* its first member */
	sl_timer_init(&r->timer, on_timer);
	return redis_source_check(r, err);
}

static void start(struct sl_source *s) {
	struct redis_source *r = of(s);
	r->settings = sl_source_conn_impl(s);
	r->client = redis_client_of(sl_source_conn_impl(s));
	r->dock = (struct redis_dock){.loop = sl_source_loop(s), .empty = dock_empty};
	r->limits = redis_limits_several;
	r->count = REDIS_SOURCE_COUNT;
	r->parts = SL_NEW_ARRAY(struct sl_source_part *, r->conf.streams.len + 1);
	redis_link_init(&r->in, &r->dock, &events);
	redis_link_init(&r->out, &r->dock, &events);
	sl_source_state(s, SL_SOURCE_CONNECTING, NULL);
	sl_timer_set(sl_source_loop(s), &r->timer, 1);
}

static void pause_source(struct sl_source *s) { of(s)->paused = true; } /* nothing more is asked for */

static void resume_source(struct sl_source *s) {
	struct redis_source *r = of(s);
	r->paused = false;
	if (r->lost)
		sl_source_state(s, SL_SOURCE_UP, "%llu messages of channels were lost while actions were slow",
				(unsigned long long)r->lost);
	redis_source_read(r);
}

static void done(struct sl_source_part *part, uint64_t mark) {
	redis_slot_done(of(sl_source_part_source(part)), redis_from(part), mark);
}

static void settled(struct sl_source *s) { redis_acks_send(of(s)); }

static bool all_through(const struct redis_source *r) {
	for (size_t i = 0; i < r->part_n; i++)
		if (sl_source_part_pending(r->parts[i]) > 0 || redis_from(r->parts[i])->ack_n > 0) return false;
	return !r->acking;
}

static void on_closing(struct sl_timer *t) {
	struct redis_source *r = sl_container_of(t, struct redis_source, timer);
	if (r->began && !all_through(r) && sl_loop_now_ms(sl_source_loop(r->s)) < r->closing_ms) {
		sl_timer_set(sl_source_loop(r->s), t, CLOSING_TICK_MS);
		return;
	}
	links_drop(r);
	if (r->dock.wires == 0) sl_source_closed(r->s);
}

/* What is under way has some time to get through and be acknowledged; what is left comes again. */
static void close_source(struct sl_source *s) {
	struct redis_source *r = of(s);
	r->closing = true;
	r->closing_ms = sl_loop_now_ms(sl_source_loop(s)) + CLOSING_MS;
	r->timer.fire = on_closing;
	sl_timer_set(sl_source_loop(s), &r->timer, 1);
}

static void fini(struct sl_source *s) {
	struct redis_source *r = of(s);
	if (!r->s) return;
	parts_end(r);
	sl_timer_cancel(&r->timer);
	sl_free(r->parts);
	sl_free(r->host);
	sl_free(r->headers);
	sl_buf_fini(&r->value);
	sl_buf_fini(&r->id);
}

static uint64_t untold(const struct sl_source *s) { return of(s)->untold; }

const struct sl_source_kind redis_source_kind = {
    .summary =
	"Reads streams as a member of a consumer group, takes from a list, or listens to channels (which lose what we "
	"do not hear).",
    .example = "{connector: cache, streams: [...]}",
    .source_size = sizeof(struct redis_source),
    .part_size = sizeof(struct redis_from),
    .fields = redis_source_fields,
    .check = check,
    .start = start,
    .pause = pause_source,
    .resume = resume_source,
    .done = done,
    .settled = settled,
    .untold = untold,
    .close = close_source,
    .fini = fini,
};
