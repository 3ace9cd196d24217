/* redis_sentinel.c: who the master is, as the sentinels have it; see redis_client.h.
 *
 * All are asked at once, and what most of them say counts: one that was cut off from the others still names the old master. While
 * the connection is up they are asked again and again. The master itself is asked for its ROLE (redis_link.c, redis_client.c): one
 * that comes back after a failover believes for some ten seconds that it still is the master. */
#include "mem.h"
#include "redis_client.h"

static void asked_reply(struct redis_request *q, const struct redis_reply *reply);
static void asked_lost(struct redis_request *q, int status, const char *text);

static void ask(struct redis_sentinel *s) {
	s->asked = true;
	s->asked_ms = sl_loop_now_ms(s->c->dock.loop);
	s->q = (struct redis_request){.on_reply = asked_reply, .on_lost = asked_lost};
	redis_put(redis_link_out(&s->link), "SENTINEL", "get-master-addr-by-name", s->c->conf->master, NULL);
	redis_link_push(&s->link, &s->q, 1);
}

static bool same_answer(const struct redis_sentinel *a, const struct redis_sentinel *b) {
	return a->answered && b->answered && a->port == b->port && strcmp(a->host, b->host) == 0;
}

/* The answer that most gave, and how many; NULL: none. */
static struct redis_sentinel *tally(struct redis_client *c, size_t *votes) {
	struct redis_sentinel *best = NULL;
	*votes = 0;
	for (size_t i = 0; i < c->target.servers; i++) {
		size_t n = 0;
		for (size_t k = 0; k < c->target.servers; k++) n += same_answer(&c->sentinel[i], &c->sentinel[k]);
		if (n > *votes) {
			best = &c->sentinel[i];
			*votes = n;
		}
	}
	return best;
}

static void give_up(struct redis_client *c) {
	struct sl_buf why = SL_BUF_INIT;
	sl_buf_printf(&why, "no sentinel knows the master `%s`: ", c->conf->master);
	for (size_t i = 0; i < c->target.servers; i++) {
		const struct redis_sentinel *s = &c->sentinel[i];
		sl_buf_printf(&why, "%s%s", i ? "; " : "", s->why ? s->why : "no answer");
	}
	redis_client_down(c, SL_EIO, sl_buf_cstr(&why));
	sl_buf_fini(&why);
}

static void connect_to(struct redis_client *c, const struct redis_sentinel *s) {
	redis_nodes_drop(c);
	while (c->nodes < (size_t)c->conf->pool) (void)redis_node_add(c, s->host, s->port);
	for (size_t i = 0; i < c->nodes && c->state == REDIS_CONNECTING; i++) redis_node_open(c->node[i]);
}

static void moved(struct redis_client *c, const struct redis_sentinel *s) {
	char *text = sl_asprintf("the master `%s` moved from %s:%u to %s:%u", c->conf->master, c->node[0]->host,
				 c->node[0]->port, s->host, s->port);
	redis_client_down(c, SL_EIO, text);
	sl_free(text);
}

/* Something was heard of a sentinel. */
static void consider(struct redis_client *c) {
	size_t votes, open = 0, all = c->target.servers;
	const struct redis_sentinel *best = tally(c, &votes);
	for (size_t i = 0; i < all; i++) open += !c->sentinel[i].answered && !c->sentinel[i].failed;
	bool most = votes * 2 > all;
	if (c->state == REDIS_CONNECTING && c->nodes == 0) {
		if (best && (most || open == 0))
			connect_to(c, best);
		else if (open == 0)
			give_up(c);
	} else if (c->state == REDIS_UP && most &&
		   (strcmp(best->host, c->node[0]->host) != 0 || best->port != c->node[0]->port))
		moved(c, best);
}

static void answer_forget(struct redis_sentinel *s, const char *why) {
	sl_free(s->host);
	sl_free(s->why);
	s->host = NULL;
	s->why = why ? sl_strdup(why) : NULL;
	s->asked = s->answered = false;
	s->failed = why != NULL;
}

static void asked_reply(struct redis_request *q, const struct redis_reply *reply) {
	struct redis_sentinel *s = sl_container_of(q, struct redis_sentinel, q);
	int64_t port;
	answer_forget(s, NULL);
	bool good = reply->kind == REDIS_LIST && reply->n == 2 && reply->items[0].kind == REDIS_TEXT &&
		    reply->items[0].text.n > 0 && reply->items[1].kind == REDIS_TEXT &&
		    slice_to_i64(reply->items[1].text, &port) == SL_OK && port > 0 && port <= UINT16_MAX;
	if (good) {
		s->host = slice_dup(reply->items[0].text);
		s->port = (uint16_t)port;
		s->answered = true;
	} else {
		struct sl_buf why = SL_BUF_INIT;
		sl_buf_printf(&why, "%s:%u: ", s->address->host, s->address->port);
		if (reply->kind == REDIS_ERROR)
			redis_show(reply->text, &why);
		else
			sl_buf_append_str(&why, "it does not know this name; check `master`");
		answer_forget(s, sl_buf_cstr(&why));
		sl_buf_fini(&why);
	}
	consider(s->c);
}

static void asked_lost(struct redis_request *q, int status, const char *text) {
	(void)q, (void)status, (void)text; /* on_down() follows */
}

static void on_ready(struct redis_link *l) { ask(sl_container_of(l, struct redis_sentinel, link)); }

static void on_down(struct redis_link *l, int status, const char *text) {
	struct redis_sentinel *s = sl_container_of(l, struct redis_sentinel, link);
	(void)status;
	answer_forget(s, text);
	consider(s->c);
}

static const struct redis_link_events events = {.on_ready = on_ready, .on_down = on_down};

static void sentinel_open(struct redis_sentinel *s) {
	struct redis_client *c = s->c;
	redis_link_open(&s->link, &(struct redis_link_setup){.host = s->address->host,
							     .port = s->address->port,
							     .login = &c->target.sentinel,
							     .of_sentinel = true,
							     .tls = c->conf->sentinel_tls ? c->tls : NULL,
							     .timeout_ms = (uint64_t)c->conf->connect_timeout_ms});
}

void redis_sentinels_ask(struct redis_client *c) {
	redis_nodes_drop(c);
	if (!c->sentinel) {
		c->sentinel = SL_NEW_ARRAY(struct redis_sentinel, c->target.servers);
		for (size_t i = 0; i < c->target.servers; i++) {
			c->sentinel[i].c = c;
			c->sentinel[i].address = &c->target.server[i];
			redis_link_init(&c->sentinel[i].link, &c->dock, &events);
		}
	}
	for (size_t i = 0; i < c->target.servers; i++) {
		answer_forget(&c->sentinel[i], NULL);
		sentinel_open(&c->sentinel[i]);
	}
}

void redis_sentinels_check(struct redis_client *c) {
	uint64_t now = sl_loop_now_ms(c->dock.loop);
	for (size_t i = 0; i < c->target.servers && c->state == REDIS_UP; i++) {
		struct redis_sentinel *s = &c->sentinel[i];
		if (s->link.state == REDIS_LINK_CLOSED)
			sentinel_open(s);
		else if (s->link.state == REDIS_LINK_READY && !s->asked)
			ask(s);
		else if (s->asked && now - s->asked_ms > (uint64_t)c->conf->connect_timeout_ms)
			redis_link_fail(&s->link, SL_EIO, "the sentinel does not answer");
	}
}

void redis_sentinels_close(struct redis_client *c) {
	for (size_t i = 0; c->sentinel && i < c->target.servers; i++) redis_link_close(&c->sentinel[i].link, "closed");
}
