/* redis_sentinel.c: who the master is, as the sentinels have it; see redis_client.h. How their answers are weighed is in redis_quorum.h.
 *
 * What is written to a server that another one is about to replace, or has replaced, is thrown away when it becomes a replica, and a
 * master that was down and comes back takes writes for some seconds before it hears of that. So
 *
 *     all sentinels are waited for, a little, before an answer is believed (AGREE_MS)
 *     an answer of a lower epoch than one we had lately is not believed (REDIS_OUTDATED_MS)
 *     a master that sentinels hold for dead, or fail over, is not connected to, and left (REDIS_REPLACED_MS)
 *     a master without a replica, where sentinels know some, and which is not newly chosen, gets time until one is attached or a
 *     sentinel names another (ALONE_MS)
 *
 * Each has its limit, for sentinels may be wrong for good and the master be well. While the connection is up they are asked again and
 * again, and the master for its ROLE (redis_client.c). */
#include "log.h"
#include "mem.h"
#include "redis_client.h"

enum { TICK_MS = 200, AGREE_MS = 400, ALONE_MS = 5000 };

/* ---- What follows from answers. ---- */

static uint64_t now_of(const struct redis_client *c) { return sl_loop_now_ms(c->dock.loop); }

static bool is_at(const struct redis_client *c, const struct redis_answer *a) {
	return c->nodes && c->node[0]->port == a->port && strcmp(c->node[0]->host, a->host) == 0;
}

static void give_up(struct redis_client *c) {
	struct sl_buf why = SL_BUF_INIT;
	sl_buf_printf(&why, "no sentinel knows the master `%s`: ", c->conf->master);
	for (size_t i = 0; i < c->target.servers; i++) {
		const struct redis_sentinel *s = &c->watch->sentinel[i];
		sl_buf_printf(&why, "%s%s", i ? "; " : "", s->why ? s->why : "no answer");
	}
	redis_client_down(c, SL_EIO, sl_buf_cstr(&why));
	sl_buf_fini(&why);
}

static void connect_to(struct redis_client *c, const struct redis_answer *a) {
	c->watch->at_epoch = a->epoch;
	c->watch->alone = false;
	redis_nodes_drop(c);
	while (c->nodes < (size_t)c->conf->pool) (void)redis_node_add(c, a->host, a->port);
	for (size_t i = 0; i < c->nodes && c->state == REDIS_CONNECTING; i++) redis_node_open(c->node[i]);
}

static void moved(struct redis_client *c, const struct redis_answer *a) {
	char *text = sl_asprintf("the master `%s` moved from %s:%u to %s:%u", c->conf->master, c->node[0]->host,
				 c->node[0]->port, a->host, a->port);
	redis_client_down(c, SL_EIO, text);
	sl_free(text);
}

/* Nobody is connected to before the sentinels have more to say. */
static void hold(struct redis_client *c, const struct redis_verdict *v) {
	struct redis_watch *w = c->watch;
	redis_nodes_drop(c);
	if (now_of(c) - w->began_ms < (uint64_t)c->conf->connect_timeout_ms) return;
	char *text =
	    redis_memory_is_outdated(&w->memory, v)
		? sl_asprintf(
		      "the sentinels that answer have not heard yet who the master `%s` is now; they are waited for",
		      c->conf->master)
		: sl_asprintf("the sentinels hold the master `%s` (%s:%u) for dead and are about to replace it; they "
			      "are waited for",
			      c->conf->master, v->best->host, v->best->port);
	redis_client_down(c, SL_EIO, text);
	sl_free(text);
}

/* All have spoken, or those that have not had time enough. */
static bool is_settled(struct redis_watch *w, size_t open) {
	uint64_t now = now_of(w->c);
	if (!w->first_ms) w->first_ms = now;
	return open == 0 || now - w->first_ms >= AGREE_MS;
}

static void consider_connecting(struct redis_client *c, const struct redis_verdict *v) {
	struct redis_watch *w = c->watch;
	size_t open = 0;
	for (size_t i = 0; i < c->target.servers; i++) open += !w->answer[i].given && !w->sentinel[i].failed;
	if (!v->best) {
		if (open == 0 && c->nodes == 0) give_up(c);
		return;
	}
	if (!is_settled(w, open)) return;
	redis_memory_take(&w->memory, v, now_of(c));
	if (redis_memory_is_outdated(&w->memory, v) || redis_memory_is_replaced(&w->memory, now_of(c)))
		hold(c, v);
	else if (!is_at(c, v->best))
		connect_to(c, v->best);
	else if (v->best->epoch > w->at_epoch)
		w->at_epoch = v->best->epoch;
}

static void consider_up(struct redis_client *c, const struct redis_verdict *v) {
	struct redis_watch *w = c->watch;
	if (!v->best) return;
	redis_memory_take(&w->memory, v, now_of(c));
	if (redis_memory_is_outdated(&w->memory, v)) return;
	if (!is_at(c, v->best)) {
		if (v->best->epoch > w->up_epoch || v->most) moved(c, v->best);
		return;
	}
	w->up_epoch = v->best->epoch;
	if (!redis_memory_is_replaced(&w->memory, now_of(c))) return;
	char *text = sl_asprintf("the sentinels are about to replace the master `%s` (%s:%u)", c->conf->master,
				 v->best->host, v->best->port);
	redis_client_down(c, SL_EIO, text);
	sl_free(text);
}

/* Something was heard of a sentinel, or time went by. */
static void consider(struct redis_client *c) {
	struct redis_verdict v = redis_quorum(c->watch->answer, c->target.servers);
	if (c->state == REDIS_CONNECTING)
		consider_connecting(c, &v);
	else if (c->state == REDIS_UP)
		consider_up(c, &v);
}

/* ---- A master that is connected to. ---- */

static bool is_wanted(struct redis_client *c) {
	struct redis_watch *w = c->watch;
	struct redis_verdict v = redis_quorum(w->answer, c->target.servers);
	bool chosen = w->up_epoch >= 0 && w->at_epoch > w->up_epoch; /* by a failover, since we had the last one */
	if (c->node[0]->link.replicas != 0 || v.replicas == 0 || chosen) return true;
	if (!w->alone) {
		w->alone = true;
		w->alone_ms = now_of(c);
		sl_timer_set(c->dock.loop, &c->check_timer, ALONE_MS + 2 * (uint64_t)c->conf->connect_timeout_ms);
		log_info(LOG_CONN, "the master has no replica, and may be about to be replaced: it gets no rows yet",
			 "name=%s master=%s:%u", sl_conn_name(c->conn), c->node[0]->host, c->node[0]->port);
	}
	if (now_of(c) - w->alone_ms < ALONE_MS) return false;
	log_warn(LOG_CONN, "the master has no replica: if it fails now, what it took is lost", "name=%s master=%s:%u",
		 sl_conn_name(c->conn), c->node[0]->host, c->node[0]->port);
	return true;
}

void redis_sentinels_ready(struct redis_client *c) {
	if (c->state != REDIS_CONNECTING || !redis_client_is_ready(c) || !is_wanted(c)) return;
	struct redis_watch *w = c->watch;
	w->up_epoch = w->at_epoch;
	w->alone = false;
	redis_client_up(c);
}

static void on_tick(struct sl_timer *t) {
	struct redis_client *c = sl_container_of(t, struct redis_watch, timer)->c;
	if (c->state != REDIS_CONNECTING) return;
	sl_timer_set(c->dock.loop, t, TICK_MS);
	redis_sentinels_check(c);
	if (c->state == REDIS_CONNECTING) consider(c);
	if (c->state == REDIS_CONNECTING && redis_client_is_ready(c)) redis_client_ask_role(c);
}

/* ---- Asking. ---- */

static void answer_forget(struct redis_sentinel *s, const char *why) {
	redis_answer_forget(s->answer);
	sl_free(s->why);
	s->why = why ? sl_strdup(why) : NULL;
	s->asked = false;
	s->failed = why != NULL;
}

static void answer_failed(struct redis_sentinel *s, const struct redis_reply *reply) {
	struct sl_buf why = SL_BUF_INIT;
	sl_buf_printf(&why, "%s:%u: ", s->address->host, s->address->port);
	if (reply->kind == REDIS_ERROR)
		redis_show(reply->text, &why);
	else
		sl_buf_append_str(&why, "it does not know this name; check `master`");
	answer_forget(s, sl_buf_cstr(&why));
	sl_buf_fini(&why);
}

/* To SENTINEL MASTER, where we may ask that, then to SENTINEL GET-MASTER-ADDR-BY-NAME. */
static void asked_reply(struct redis_request *q, const struct redis_reply *reply) {
	struct redis_sentinel *s = sl_container_of(q, struct redis_sentinel, q);
	if (q->replies > 0) {
		s->no_master = !redis_answer_master(&s->fresh, reply) && reply->kind == REDIS_ERROR &&
			       slice_starts_with(reply->text, SL_SLICE_LIT("NOPERM"));
		return;
	}
	if (s->no_master) redis_answer_forget(&s->fresh);
	s->asked = false;
	if (redis_answer_address(&s->fresh, reply)) {
		answer_forget(s, NULL);
		*s->answer = s->fresh;
		s->fresh = (struct redis_answer){.epoch = -1, .replicas = -1};
	} else
		answer_failed(s, reply);
	consider(s->c);
}

static void asked_lost(struct redis_request *q, int status, const char *text) {
	(void)q, (void)status, (void)text; /* on_down() follows */
}

static void ask(struct redis_sentinel *s) {
	struct sl_buf *out = redis_link_out(&s->link);
	s->asked = true;
	s->asked_ms = now_of(s->c);
	s->q = (struct redis_request){.on_reply = asked_reply, .on_lost = asked_lost};
	if (!s->no_master) redis_put(out, "SENTINEL", "master", s->c->conf->master, NULL);
	redis_put(out, "SENTINEL", "get-master-addr-by-name", s->c->conf->master, NULL);
	redis_link_push(&s->link, &s->q, s->no_master ? 1 : 2);
}

static void on_ready(struct redis_link *l) {
	struct redis_sentinel *s = sl_container_of(l, struct redis_sentinel, link);
	s->no_master = false;
	ask(s);
}

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
	struct redis_watch *w = c->watch;
	redis_nodes_drop(c);
	w->began_ms = now_of(c);
	w->first_ms = 0;
	w->alone = false;
	for (size_t i = 0; i < c->target.servers; i++) {
		answer_forget(&w->sentinel[i], NULL);
		sentinel_open(&w->sentinel[i]);
	}
	sl_timer_set(c->dock.loop, &w->timer, TICK_MS);
}

void redis_sentinels_check(struct redis_client *c) {
	uint64_t now = now_of(c);
	for (size_t i = 0; i < c->target.servers && c->state != REDIS_DOWN; i++) {
		struct redis_sentinel *s = &c->watch->sentinel[i];
		if (s->link.state == REDIS_LINK_CLOSED)
			sentinel_open(s);
		else if (s->link.state == REDIS_LINK_READY && !s->asked)
			ask(s);
		else if (s->asked && now - s->asked_ms > (uint64_t)c->conf->connect_timeout_ms)
			redis_link_fail(&s->link, SL_EIO, "the sentinel does not answer");
	}
}

void redis_sentinels_close(struct redis_client *c) {
	if (!c->watch) return;
	sl_timer_cancel(&c->watch->timer);
	for (size_t i = 0; i < c->target.servers; i++) redis_link_close(&c->watch->sentinel[i].link, "closed");
}

size_t redis_sentinels_answering(const struct redis_client *c) {
	size_t n = 0;
	for (size_t i = 0; i < c->target.servers; i++) n += c->watch->answer[i].given;
	return n;
}

struct redis_watch *redis_watch_new(struct redis_client *c) {
	size_t n = c->target.servers;
	struct redis_watch *w = SL_NEW(struct redis_watch);
	w->c = c;
	w->memory.epoch = w->at_epoch = w->up_epoch = -1;
	w->sentinel = SL_NEW_ARRAY(struct redis_sentinel, n);
	w->answer = SL_NEW_ARRAY(struct redis_answer, n);
	sl_timer_init(&w->timer, on_tick);
	for (size_t i = 0; i < n; i++) {
		w->sentinel[i].c = c;
		w->sentinel[i].address = &c->target.server[i];
		w->sentinel[i].answer = &w->answer[i];
		redis_link_init(&w->sentinel[i].link, &c->dock, &events);
	}
	return w;
}

void redis_watch_free(struct redis_watch *w) {
	if (!w) return;
	sl_timer_cancel(&w->timer);
	for (size_t i = 0; i < w->c->target.servers; i++) {
		answer_forget(&w->sentinel[i], NULL);
		redis_answer_forget(&w->sentinel[i].fresh);
	}
	sl_free(w->sentinel);
	sl_free(w->answer);
	sl_free(w);
}
