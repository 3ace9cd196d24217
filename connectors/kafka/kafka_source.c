/* kafka_source.c: the consumer's life: when a client begins, when it ends, and what state that is. See kafka_source.h. */
#include "kafka_source.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include "conf_units.h"
#include "kafka_auth.h"
#include "log.h"
#include "mem.h"

#define TICK_MS 1000 /* a poll keeps the membership, and finds what no wake-up told of */
#define CLOSING_TICK_MS 20
#define CLOSING_MS 5000 /* to leave the group; then without saying goodbye */
#define ENDING_MS 10000 /* for librdkafka to end a client; then another one begins beside it */
#define HOLD_MS 1000    /* a pause this long is told to librdkafka; until then what it has fetched waits with it */
#define JOINS_MS 3000   /* to be let into a group that misses nobody */
#define SUSPECT_MS 1500 /* a connection broke: so long for any broker to answer before we say so */

static void on_ready(struct sl_watch *w, uint32_t events);
static void on_tick(struct sl_timer *t);
static void on_keeper(void *arg, const struct kafka_keeper_event *e);

static struct kafka_source *of(const struct sl_source *s) { return sl_source_impl(s); }

void kafka_source_text(char **at, const char *text) {
	char *copy = text ? sl_strdup(text) : NULL;
	sl_free(*at);
	*at = copy;
}

/* ---- The state. --------------------------------------------------------------------------------------------------------- */

/* After a kill the group keeps our former membership until its session ends, and lets nobody in before. */
static void state_joining(struct kafka_source *k) {
	uint64_t now_ms = sl_loop_now_ms(sl_source_loop(k->s));
	if (k->joins_ms == 0) k->joins_ms = now_ms;
	if (now_ms - k->joins_ms < JOINS_MS) {
		sl_source_state(k->s, SL_SOURCE_CONNECTING, "joins the group");
		return;
	}
	struct sl_buf session = SL_BUF_INIT;
	conf_write_duration(&session, k->conf.session_timeout_ms);
	sl_source_state(k->s, SL_SOURCE_CONNECTING,
			"waits until the group gives up its former members, up to %s (session_timeout)%s",
			sl_buf_cstr(&session), k->conf.group_instance ? "" : "; `group_instance` avoids it");
	sl_buf_fini(&session);
}

static bool has_damaged(const struct kafka_source *k) {
	for (size_t i = 0; i < k->part_n; i++)
		if (((struct kafka_source_part *)sl_source_part_impl(k->parts[i]))->damaged) return true;
	return false;
}

void kafka_source_state(struct kafka_source *k) {
	if (k->phase != KAFKA_SOURCE_RUNNING) return;
	bool joins = !k->down && !k->missing && !k->joined && k->brokers_up;
	if (!joins) k->joins_ms = 0;
	if (k->down)
		sl_source_state(k->s, SL_SOURCE_DOWN, "%s", k->down);
	else if (k->missing)
		sl_source_state(k->s, SL_SOURCE_DEGRADED, "%s", k->missing);
	else if (k->denied)
		sl_source_state(k->s, SL_SOURCE_DEGRADED, "%s", k->denied);
	else if (has_damaged(k))
		sl_source_state(k->s, SL_SOURCE_DEGRADED, "%s", k->damaged);
	else if (joins)
		state_joining(k);
	else if (!k->joined)
		sl_source_state(k->s, SL_SOURCE_CONNECTING, "connects");
	else if (k->part_n == 0)
		sl_source_state(k->s, SL_SOURCE_UP,
				"no partition: other members of the group have them all, or no "
				"topic is there yet");
	else
		sl_source_state(k->s, SL_SOURCE_UP, NULL);
}

void kafka_source_is_down(struct kafka_source *k, const char *why) {
	if (!k->down) k->down_ms = sl_loop_now_ms(sl_source_loop(k->s));
	kafka_source_text(&k->down, why);
	k->brokers_up = k->suspect = false;
	if (k->phase == KAFKA_SOURCE_RUNNING) kafka_keeper_watch(k->keeper, k->rk);
	kafka_source_state(k);
}

void kafka_source_is_up(struct kafka_source *k) {
	k->suspect = false;
	if (!k->down && k->brokers_up) return;
	k->brokers_up = true;
	kafka_source_text(&k->down, NULL);
	kafka_source_text(&k->error, NULL);
	kafka_source_state(k);
}

/* ---- A client begins. ----------------------------------------------------------------------------------------------------- */

static void on_error(rd_kafka_t *rk, int code, const char *text, void *opaque);

static void on_token(rd_kafka_t *rk, const char *config, void *opaque) {
	const struct kafka_client *client = opaque;
	(void)config;
	kafka_auth_refresh(client->conf, rk);
}

static int event_fd_open(struct kafka_source *k) {
	if (k->event_fd < 0) k->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (k->event_fd < 0) return SL_ESYSTEM;
	int r = k->watched ? SL_OK : sl_watch_add(sl_source_loop(k->s), &k->watch, k->event_fd);
	k->watched = k->watched || r == SL_OK;
	return r;
}

static void queue_wakes(struct kafka_source *k, rd_kafka_queue_t *queue) {
	static const uint64_t one = 1;
	rd_kafka_queue_io_event_enable(queue, k->event_fd, &one, sizeof one);
}

static int client_begin(struct kafka_source *k, struct sl_err *err) {
	rd_kafka_conf_t *conf;
	char text[512];
	if (event_fd_open(k) != SL_OK)
		return sl_err_set(err, SL_ESYSTEM, "the system has no file descriptor left; raise its limit");
	if (!k->keeper) k->keeper = kafka_keeper_new(sl_source_loop(k->s), on_keeper, k);
	if (!k->keeper) return sl_err_set(err, SL_ESYSTEM, "the system has no thread left; raise its limit");
	int r = kafka_source_conf_make(k, &conf, err);
	if (r != SL_OK) return r;
	rd_kafka_conf_set_rebalance_cb(conf, kafka_source_rebalance);
	rd_kafka_conf_set_error_cb(conf, on_error);
	rd_kafka_conf_set_oauthbearer_token_refresh_cb(conf, on_token);
	k->cooperative = false;
	k->rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof text);
	if (!k->rk) {
		rd_kafka_conf_destroy(conf);
		return sl_err_set(err, SL_EINVAL, "librdkafka: %s", text);
	}
	rd_kafka_poll_set_consumer(k->rk);
	k->queue = rd_kafka_queue_get_consumer(k->rk);
	queue_wakes(k, k->queue);
	k->phase = KAFKA_SOURCE_RUNNING;
	rd_kafka_topic_partition_list_t *topics = kafka_source_topics(k);
	rd_kafka_resp_err_t e = rd_kafka_subscribe(k->rk, topics);
	rd_kafka_topic_partition_list_destroy(topics);
	if (e) return sl_err_set(err, SL_EINVAL, "cannot subscribe: %s", rd_kafka_err2str(e));
	return SL_OK;
}

static void begin(struct kafka_source *k) {
	struct sl_err err = SL_ERR_INIT;
	if (!k->stays_down) kafka_source_text(&k->down, NULL);
	k->stays_down = false;
	k->down_ms = sl_loop_now_ms(sl_source_loop(k->s));
	kafka_source_text(&k->missing, NULL);
	kafka_source_text(&k->denied, NULL);
	int r = client_begin(k, &err);
	sl_timer_set(sl_source_loop(k->s), &k->tick, r == SL_OK ? TICK_MS : KAFKA_ANEW_MS);
	if (r == SL_OK) {
		kafka_keeper_watch(k->keeper, k->rk);
		kafka_source_state(k);
	} else
		sl_source_state(k->s, SL_SOURCE_DOWN, "%s", sl_err_text(&err));
	sl_err_fini(&err);
}

/* ---- A client ends. --------------------------------------------------------------------------------------------------------- */

static void source_ended(struct kafka_source *k) {
	kafka_keeper_free(k->keeper);
	k->keeper = NULL;
	sl_timer_cancel(&k->tick);
	if (k->watched) sl_watch_remove(sl_source_loop(k->s), &k->watch);
	k->watched = false;
	k->closes = true;
	if (k->stuck_n == 0) sl_source_closed(k->s); /* their callbacks have this source's settings */
}

static void client_ended(struct kafka_source *k) {
	k->ending = false;
	k->phase = KAFKA_SOURCE_STOPPED;
	if (k->anew)
		sl_timer_set(sl_source_loop(k->s), &k->tick, k->unread_waits ? k->unread.ms : KAFKA_ANEW_MS);
	else
		source_ended(k);
}

/* librdkafka waits for something that does not come, as after answers that made no sense. What it has read is not lost: the group
 * gives it again, at the latest when that client's session has ended. */
static void leave_it_to_its_keeper(struct kafka_source *k) {
	sl_timer_set(sl_source_loop(k->s), &k->tick, ENDING_MS);
	if (!k->anew) return; /* whoever stops the program waits no longer than it likes */
	if (k->stuck_n == KAFKA_STUCK_MAX) {
		sl_source_state(k->s, SL_SOURCE_DOWN,
				"clients of librdkafka do not end; restart Sluice, and please tell us");
		return;
	}
	log_warn(LOG_CONN, "a client of librdkafka does not end: another one begins beside it", "source=%s clients=%zu",
		 sl_source_name(k->s), k->stuck_n + 1);
	k->stuck[k->stuck_n++] = (struct kafka_stuck){k->keeper, k->ending_rk};
	k->keeper = NULL;
	k->lookup = NULL;
	k->ends = NULL;
	k->round = NULL;
	k->ending = false;
	k->phase = KAFKA_SOURCE_STOPPED;
	sl_timer_set(sl_source_loop(k->s), &k->tick, CLOSING_TICK_MS);
}

/* Is it one of those, after all? */
static bool stuck_ended(struct kafka_source *k, const rd_kafka_t *rk) {
	for (size_t i = 0; i < k->stuck_n; i++) {
		if (k->stuck[i].rk != rk) continue;
		kafka_keeper_free(k->stuck[i].keeper);
		k->stuck[i] = k->stuck[--k->stuck_n];
		if (k->closes && k->stuck_n == 0) sl_source_closed(k->s);
		return true;
	}
	return false;
}

static void queue_end(rd_kafka_queue_t **queue) {
	if (!*queue) return;
	rd_kafka_queue_io_event_enable(*queue, -1, NULL, 0);
	rd_kafka_queue_destroy(*queue);
	*queue = NULL;
}

static void client_end(struct kafka_source *k) {
	rd_kafka_t *rk = k->rk;
	kafka_source_group_end(k);
	queue_end(&k->close_queue);
	queue_end(&k->queue);
	k->rk = NULL;
	k->ending_rk = rk;
	k->ending = true;
	sl_timer_set(sl_source_loop(k->s), &k->tick, ENDING_MS);
	/* It has left the group, or will not any more. */
	kafka_keeper_end(k->keeper, rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

/* From here on rebalances, the last among them, come by a queue of their own. */
static void leave(struct kafka_source *k) {
	k->phase = KAFKA_SOURCE_CLOSING;
	k->closing_ms = sl_loop_now_ms(sl_source_loop(k->s));
	k->close_queue = rd_kafka_queue_new(k->rk);
	queue_wakes(k, k->close_queue);
	rd_kafka_error_t *e = rd_kafka_consumer_close_queue(k->rk, k->close_queue);
	sl_timer_set(sl_source_loop(k->s), &k->tick, CLOSING_TICK_MS);
	if (!e) {
		kafka_source_leaves(k);
		return;
	}
	rd_kafka_error_destroy(e);
	client_end(k);
}

/* Messages come as well, until the partitions have gone: rd_kafka_queue_poll_callback() ends the program at one. */
static void close_queue_serve(struct kafka_source *k) {
	for (rd_kafka_message_t *m; (m = rd_kafka_consume_queue(k->close_queue, 0));) rd_kafka_message_destroy(m);
}

static void closing_step(struct kafka_source *k) {
	if (k->ending || !k->close_queue) return;
	uint64_t since = sl_loop_now_ms(sl_source_loop(k->s)) - k->closing_ms;
	close_queue_serve(k);
	if (rd_kafka_consumer_closed(k->rk) || since > CLOSING_MS)
		client_end(k);
	else
		sl_timer_set(sl_source_loop(k->s), &k->tick, CLOSING_TICK_MS);
}

static void close_source(struct sl_source *s) {
	struct kafka_source *k = of(s);
	k->anew = false;
	if (k->phase == KAFKA_SOURCE_RUNNING)
		leave(k);
	else if (k->phase == KAFKA_SOURCE_STOPPED)
		source_ended(k);
}

/* ---- What librdkafka says. ---------------------------------------------------------------------------------------------------- */

/* The client is of no use any more; another one begins. */
void kafka_source_spent(struct kafka_source *k) {
	char fatal[512] = "";
	bool fenced = rd_kafka_fatal_error(k->rk, fatal, sizeof fatal) == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID &&
		      k->conf.group_instance;
	char *why = fenced
			? sl_asprintf("another member of group %s has come as `group_instance: %s`; give each broker a "
				      "name of its own",
				      k->conf.group, k->conf.group_instance)
			: sl_strdup(fatal);
	kafka_source_is_down(k, why);
	sl_free(why);
	k->anew = true;
}

static void on_error(rd_kafka_t *rk, int code, const char *text, void *opaque) {
	struct kafka_source *k = ((struct kafka_client *)opaque)->owner;
	if (rk != k->rk || k->phase != KAFKA_SOURCE_RUNNING) return;
	log_debug(LOG_CONN, "librdkafka", "source=%s error=%s text=%s", sl_source_name(k->s),
		  rd_kafka_err2name((rd_kafka_resp_err_t)code), text);
	if (code == RD_KAFKA_RESP_ERR__FATAL) {
		kafka_source_spent(k);
		return;
	}
	/* Of a consumer librdkafka does not always say that all brokers are gone, so any error of a connection makes us ask. */
	if (!k->down && !k->suspect) {
		k->suspect = true;
		k->suspect_ms = sl_loop_now_ms(sl_source_loop(k->s));
		kafka_keeper_watch(k->keeper, rk);
	}
	if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) return;
	struct sl_buf said = SL_BUF_INIT;
	kafka_advice(&k->client, code, text, &said);
	kafka_source_text(&k->error, sl_buf_cstr(&said));
	sl_buf_fini(&said);
	if (code == RD_KAFKA_RESP_ERR__AUTHENTICATION) kafka_source_is_down(k, k->error);
}

static void on_keeper(void *arg, const struct kafka_keeper_event *e) {
	struct kafka_source *k = arg;
	switch (e->what) {
	case KAFKA_KEEPER_UP:
		if (k->phase == KAFKA_SOURCE_RUNNING && e->rk == k->rk) kafka_source_is_up(k);
		return;
	case KAFKA_KEEPER_ENDED:
		if (!stuck_ended(k, e->rk)) client_ended(k);
		return;
	}
}

/* ---- What wakes it. ---------------------------------------------------------------------------------------------------- */

/* False: nothing more for now. */
static bool poll_some(struct kafka_source *k) {
	bool more = kafka_source_read(k);
	if (k->anew && k->phase == KAFKA_SOURCE_RUNNING) leave(k);
	return more;
}

static void on_ready(struct sl_watch *w, uint32_t events) {
	struct kafka_source *k = sl_container_of(w, struct kafka_source, watch);
	uint64_t count;
	(void)events;
	ssize_t got = read(k->event_fd, &count, sizeof count); /* before the queue is emptied: no wake-up is lost */
	(void)got;
	if (k->phase == KAFKA_SOURCE_CLOSING)
		closing_step(k);
	else if (k->phase == KAFKA_SOURCE_RUNNING && poll_some(k))
		sl_watch_again(sl_source_loop(k->s), w);
}

/* The group has forgotten us by now, and librdkafka may know addresses only where nobody is any more: the ones of the
 * configuration are asked again. */
static void anew_if_long_down(struct kafka_source *k) {
	uint64_t now_ms = sl_loop_now_ms(sl_source_loop(k->s));
	if (!k->down || now_ms - k->down_ms < (uint64_t)k->conf.session_timeout_ms) return;
	log_info(LOG_CONN, "no broker for long: the addresses of the configuration are asked anew",
		 "source=%s reason=%s", sl_source_name(k->s), k->down);
	k->anew = k->stays_down = true; /* poll_some() sees to it */
}

static void hold_if_long(struct kafka_source *k) {
	if (!k->paused || k->held || sl_loop_now_ms(sl_source_loop(k->s)) - k->paused_ms < HOLD_MS) return;
	kafka_source_hold(k);
}

static void on_tick(struct sl_timer *t) {
	struct kafka_source *k = sl_container_of(t, struct kafka_source, tick);
	switch (k->phase) {
	case KAFKA_SOURCE_STOPPED:
		k->anew = k->unread_waits = false;
		begin(k);
		return;
	case KAFKA_SOURCE_CLOSING: (k->ending ? leave_it_to_its_keeper : closing_step)(k); return;
	case KAFKA_SOURCE_RUNNING:
		sl_timer_set(sl_source_loop(k->s), t, TICK_MS);
		if (k->suspect && sl_loop_now_ms(sl_source_loop(k->s)) - k->suspect_ms >= SUSPECT_MS)
			kafka_source_is_down(k, k->error ? k->error : "no broker answers");
		anew_if_long_down(k);
		hold_if_long(k);
		if (k->held && !k->down) kafka_ends_ask(k);
		kafka_source_commit_anew(k);
		kafka_source_watch(k);
		if (k->joins_ms) kafka_source_state(k); /* it says something else when it takes long */
		if (poll_some(k)) sl_watch_again(sl_source_loop(k->s), &k->watch);
		return;
	}
}

/* ---- The kind. ------------------------------------------------------------------------------------------------------------------- */

static int check(struct sl_source *s, struct sl_err *err) {
	struct kafka_source *k = of(s);
	k->s = s;
	k->event_fd = -1;
	sl_timer_init(&k->tick, on_tick);
	sl_timer_init(&k->change_timer, NULL);
	sl_watch_init(&k->watch, on_ready);
	k->conn = sl_source_conn_impl(s); /* its settings are its first member */
	k->client = (struct kafka_client){.name = sl_source_name(s), .conf = k->conn, .owner = k};
	return kafka_source_check(k, sl_source_name(s), err);
}

static void start(struct sl_source *s) {
	struct kafka_source *k = of(s);
	k->conn = sl_source_conn_impl(s); /* that which runs, which is equal */
	k->client.conf = k->conn;
	begin(k);
}

static void pause_source(struct sl_source *s) {
	struct kafka_source *k = of(s);
	k->paused = true;
	k->paused_ms = sl_loop_now_ms(sl_source_loop(s));
}

static void resume_source(struct sl_source *s) {
	struct kafka_source *k = of(s);
	kafka_source_release(k);
	k->paused = false;
	if (k->phase == KAFKA_SOURCE_RUNNING) sl_watch_again(sl_source_loop(s), &k->watch);
}

static void done(struct sl_source_part *part, uint64_t mark) {
	struct kafka_source_part *p = sl_source_part_impl(part);
	if (tracker_done(&p->tracker, (int64_t)mark)) p->moved = true;
}

static void settled(struct sl_source *s) {
	struct kafka_source *k = of(s);
	if (!k->rk) return;
	kafka_source_store(k);
	kafka_source_change_on(k);
}

static void fini(struct sl_source *s) {
	struct kafka_source *k = of(s);
	sl_assert(!k->rk && !k->keeper);
	if (k->s) kafka_source_group_end(k);
	if (k->s && k->event_fd >= 0) close(k->event_fd);
	sl_free(k->parts);
	sl_free(k->headers);
	sl_buf_fini(&k->id);
	sl_free(k->down);
	sl_free(k->missing);
	sl_free(k->damaged);
	sl_free(k->denied);
	sl_free(k->stood);
	sl_free(k->error);
	kafka_client_fini(&k->client);
}

/* By what librdkafka has heard from the brokers lately. */
static int64_t lag(const struct sl_source *s) {
	const struct kafka_source *k = of(s);
	int64_t sum = 0;
	if (!k->rk || k->part_n == 0) return -1;
	for (size_t i = 0; i < k->part_n; i++) {
		const struct kafka_source_part *p = sl_source_part_impl(k->parts[i]);
		int64_t low, high;
		if (p->next < 0) continue;
		if (rd_kafka_get_watermark_offsets(k->rk, p->topic, p->partition, &low, &high) || high < p->end)
			high = p->end;
		if (high > p->next) sum += high - p->next;
	}
	return sum;
}

const struct sl_source_kind kafka_source_kind = {
    .alias = "kafka_consumer",
    .summary =
	"Reads topics as a member of a consumer group; a message counts as read when its rows are durable or decided.",
    .example = "{connector: lake, topics: [...]}",
    .source_size = sizeof(struct kafka_source),
    .part_size = sizeof(struct kafka_source_part),
    .fields = kafka_source_fields,
    .check = check,
    .start = start,
    .pause = pause_source,
    .resume = resume_source,
    .done = done,
    .settled = settled,
    .close = close_source,
    .fini = fini,
    .lag = lag,
};
