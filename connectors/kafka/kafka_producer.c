/* kafka_producer.c: the client's life: connecting, losing the brokers, beginning anew, closing. See kafka_producer.h. */
#include "kafka_producer.h"

#include "kafka_auth.h"
#include "kafka_errors.h"
#include "log.h"
#include "mem.h"

#define TOPICS_MAX 1000
#define SUSPECT_MS 1500 /* all brokers are gone: so long for one to answer before we say so */
#define STALLED_MS 2000 /* a cancelled batch is left alone while other rows are reported */
#define EVENTS_PER_TICK 64
#define SETTLE_MS 1000 /* a request was refused: so long for others that are out, which may be stored */
#define SETTLE_TICK_MS 20

static void on_timer(struct sl_timer *t);
static void on_stalled(struct sl_timer *t);
static void on_settle(struct sl_timer *t);
static void on_events(struct sl_post *post, struct sl_loop *l);
static void on_keeper(void *arg, const struct kafka_keeper_event *e);

void kafka_producer_init(struct kafka_producer *p, struct sl_conn *conn, const struct kafka_conf *conf) {
	p->conn = conn;
	p->conf = conf;
	p->client = (struct kafka_client){.name = sl_conn_name(conn), .conf = conf, .owner = p};
	sl_list_init(&p->batches);
	sl_timer_init(&p->timer, on_timer);
	sl_timer_init(&p->stalled, on_stalled);
	sl_timer_init(&p->settle, on_settle);
	p->events.run = on_events;
	kafka_topics_init(&p->topics, TOPICS_MAX);
}

void kafka_producer_fini(struct kafka_producer *p) {
	if (!p->conn) return; /* open never was */
	sl_assert(!p->rk && !p->keeper);
	kafka_topics_clear(&p->topics);
	kafka_batches_free(p);
	kafka_client_fini(&p->client);
	sl_free(p->error);
	sl_free(p->brokers);
	sl_free(p->anew);
}

static void text_set(char **at, const char *text) {
	char *copy = text ? sl_strdup(text) : NULL;
	sl_free(*at);
	*at = copy;
}

/* ---- A client begins. -------------------------------------------------------------------------------------------------- */

static void events_tell(struct kafka_producer *p, uint32_t patience_ms) {
	if (!atomic_exchange(&p->events_told, true))
		sl_loop_post_patient(sl_conn_loop(p->conn), &p->events, patience_ms);
}

/* One of librdkafka's threads has put the first event into the empty queue, and holds the queue's lock. A letter, where a descriptor
 * would do: partitions are reported one by one, and each would end a nap of the loop. */
static void on_first_event(rd_kafka_t *rk, void *opaque) {
	struct kafka_producer *p = opaque;
	(void)rk;
	events_tell(p, atomic_load_explicit(&p->reports_wait_ms, memory_order_relaxed));
}

/* Behind a row of the scout others wait in line. */
static void on_first_scout_event(rd_kafka_t *rk, void *opaque) {
	(void)rk;
	events_tell(opaque, 0);
}

static int client_make(struct kafka_producer *p, enum kafka_role role, rd_kafka_t **rk, rd_kafka_queue_t **queue,
		       struct sl_err *err) {
	rd_kafka_conf_t *conf;
	char text[512];
	int r = kafka_conf_make(p->conf, role, &p->client, &conf, err);
	if (r != SL_OK) return r;
	rd_kafka_conf_set_events(conf,
				 RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_OAUTHBEARER_TOKEN_REFRESH);
	kafka_gate_install(conf, p->conf);
	*rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
	if (!*rk) {
		rd_kafka_conf_destroy(conf);
		return sl_err_set(err, SL_EINVAL, "librdkafka: %s", text);
	}
	*queue = rd_kafka_queue_get_main(*rk);
	rd_kafka_queue_cb_event_enable(*queue, role == KAFKA_SCOUT ? on_first_scout_event : on_first_event, p);
	events_tell(p, 0); /* what came before that was told to nobody, and is the first: a token is wanted */
	p->clients++;
	return SL_OK;
}

static int client_begin(struct kafka_producer *p, struct sl_err *err) {
	if (!p->keeper) p->keeper = kafka_keeper_new(sl_conn_loop(p->conn), on_keeper, p);
	if (!p->keeper) return sl_err_set(err, SL_ESYSTEM, "the system has no thread left; raise its limit");
	int r = client_make(p, KAFKA_PRODUCER, &p->rk, &p->queue, err);
	if (r != SL_OK) return r;
	p->state = KAFKA_RUNNING;
	p->scoutless = false;
	return SL_OK;
}

/* Without idempotence nothing ends a client, and there is no order to keep. */
bool kafka_scout_ready(struct kafka_producer *p) {
	struct sl_err err = SL_ERR_INIT;
	if (!kafka_may_scout(p)) return false;
	if (p->scout) return true;
	p->scoutless = client_make(p, KAFKA_SCOUT, &p->scout, &p->scout_queue, &err) != SL_OK;
	if (p->scoutless)
		log_warn(LOG_CONN, "no second client of Kafka", "name=%s why=%s", p->client.name, sl_err_text(&err));
	sl_err_fini(&err);
	return !p->scoutless;
}

/* ---- Up and down. -------------------------------------------------------------------------------------------------------- */

static void down(struct kafka_producer *p, const char *why) {
	p->up = p->wanted = p->suspect = p->probe = false;
	if (p->state == KAFKA_RUNNING) {
		sl_timer_cancel(&p->timer);
		kafka_keeper_watch(p->keeper, p->rk); /* it comes back by itself */
	}
	if (!p->closing) sl_conn_down(p->conn, SL_ECLOSED, "%s", why);
}

static void no_answer(struct kafka_producer *p) {
	if (p->error) {
		down(p, p->error);
		return;
	}
	char *brokers = kafka_brokers_text(p->conf);
	char *why = sl_asprintf("no broker of %s answers%s", brokers,
				p->conf->tls.given ? ""
				: p->conf->sasl.given
				    ? "; if their ports speak TLS, add `tls: {}`"
				    : "; if their ports speak TLS, add `tls: {}`; if they want a login, add `sasl`");
	down(p, why);
	sl_free(why);
	sl_free(brokers);
}

static void up(struct kafka_producer *p) {
	bool was = p->up;
	if (p->probe) sl_probe_done(p->conn, SL_OK, NULL);
	p->up = true;
	p->wanted = p->suspect = p->probe = false;
	sl_timer_cancel(&p->timer);
	text_set(&p->error, NULL);
	p->ups += !was;
	if (!was) sl_conn_up(p->conn);
}

void kafka_delivered(struct kafka_producer *p) {
	if (p->state == KAFKA_RUNNING && (!p->up || p->suspect)) up(p);
}

/* The brokers are asked; who asked waits for so long. */
static void ask(struct kafka_producer *p, uint64_t ms) {
	kafka_keeper_watch(p->keeper, p->rk);
	sl_timer_set(sl_conn_loop(p->conn), &p->timer, ms);
}

void kafka_connect(struct kafka_producer *p) {
	struct sl_err err = SL_ERR_INIT;
	if (p->closing) return;
	p->wanted = true;
	if (p->state == KAFKA_ENDING) return; /* goes on when that is over */
	if (p->state == KAFKA_STOPPED && client_begin(p, &err) != SL_OK) {
		down(p, sl_err_text(&err));
		sl_err_fini(&err);
		return;
	}
	ask(p, (uint64_t)p->conf->connect_timeout_ms + 500);
}

void kafka_probe(struct kafka_producer *p) {
	if (p->state != KAFKA_RUNNING) {
		sl_probe_done(p->conn, SL_OK, NULL); /* what is going on will be told */
		return;
	}
	p->probe = true;
	ask(p, (uint64_t)p->conf->connect_timeout_ms + 500);
}

static void on_timer(struct sl_timer *t) {
	struct kafka_producer *p = sl_container_of(t, struct kafka_producer, timer);
	if (p->wanted || p->suspect || p->probe) no_answer(p);
}

/* ---- A client ends. ------------------------------------------------------------------------------------------------------ */

/* What is reported already counts. */
static void queue_end(struct kafka_producer *p, rd_kafka_queue_t **queue) {
	for (rd_kafka_event_t *ev; (ev = rd_kafka_queue_poll(*queue, 0));) {
		if (rd_kafka_event_type(ev) == RD_KAFKA_EVENT_DR) kafka_report(p, ev);
		rd_kafka_event_destroy(ev);
	}
	rd_kafka_queue_cb_event_enable(*queue, NULL, NULL); /* a letter on its way comes before the keeper's */
	rd_kafka_queue_destroy(*queue);
	*queue = NULL;
}

/* Rows are given back when neither client holds them any more: the scout ends first. */
static void client_end(struct kafka_producer *p) {
	p->state = KAFKA_ENDING;
	sl_timer_cancel(&p->timer);
	sl_timer_cancel(&p->stalled);
	sl_timer_cancel(&p->settle);
	p->settling_ms = 0;
	queue_end(p, &p->queue);
	if (p->scout) queue_end(p, &p->scout_queue);
	kafka_topics_reset(&p->topics);
	if (p->scout) kafka_keeper_end(p->keeper, p->scout, 0);
	p->scout = NULL;
	kafka_keeper_end(p->keeper, p->rk, 0);
}

static void closed(struct kafka_producer *p) {
	kafka_keeper_free(p->keeper);
	p->keeper = NULL;
	sl_conn_closed(p->conn);
}

static void client_ended(struct kafka_producer *p) {
	struct sl_err err = SL_ERR_INIT;
	p->rk = NULL;
	p->state = KAFKA_STOPPED;
	kafka_rows_back(p);
	if (p->closing)
		closed(p);
	else if (p->quietly && client_begin(p, &err) == SL_OK)
		sl_conn_writable(p->conn);
	else if (p->quietly)
		down(p, sl_err_text(&err));
	else if (p->wanted)
		kafka_connect(p);
	p->quietly = false;
	sl_err_fini(&err);
}

/* Rows that were not sent are taken back at once; requests that are out get their answers, so that nothing that is stored
 * is sent again. */
static bool settles(struct kafka_producer *p) {
	uint64_t now = sl_loop_now_ms(sl_conn_loop(p->conn));
	if (!p->quietly || p->state != KAFKA_RUNNING || p->rows_out == p->rows_waiting) return false;
	if (p->settling_ms == 0) p->settling_ms = now;
	if (now - p->settling_ms >= SETTLE_MS) return false;
	(void)rd_kafka_purge(p->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_NON_BLOCKING);
	sl_timer_set(sl_conn_loop(p->conn), &p->settle, SETTLE_TICK_MS);
	return true;
}

static void anew_now(struct kafka_producer *p) {
	if (settles(p)) return;
	char *why = p->anew;
	p->anew = NULL;
	if (p->state == KAFKA_RUNNING) {
		if (p->probe) sl_probe_done(p->conn, SL_OK, NULL);
		p->probe = false;
		p->state = KAFKA_ENDING; /* down() must not ask for this one's brokers */
		if (!p->quietly) down(p, why);
		client_end(p);
	}
	sl_free(why);
}

static void on_settle(struct sl_timer *t) {
	struct kafka_producer *p = sl_container_of(t, struct kafka_producer, settle);
	if (p->anew) anew_now(p);
}

void kafka_begin_anew(struct kafka_producer *p, const char *why, bool quietly) {
	if (p->state != KAFKA_RUNNING) return;
	p->quietly = quietly && (!p->anew || p->quietly);
	text_set(&p->anew, why);
}

void kafka_close(struct kafka_producer *p) {
	p->closing = true;
	p->wanted = false;
	sl_timer_cancel(&p->timer);
	sl_timer_cancel(&p->stalled);
	sl_timer_cancel(&p->settle);
	switch (p->state) {
	case KAFKA_RUNNING: client_end(p); break;
	case KAFKA_ENDING: break; /* client_ended() goes on */
	case KAFKA_STOPPED: closed(p); break;
	}
}

/* ---- A batch without an answer. ------------------------------------------------------------------------------------------ */

static void stalled_check(struct kafka_producer *p) {
	uint64_t now = sl_loop_now_ms(sl_conn_loop(p->conn));
	if (p->state != KAFKA_RUNNING || sl_list_empty(&p->batches)) return;
	if (now - p->report_ms < STALLED_MS) { /* slow, and not stuck */
		sl_timer_set(sl_conn_loop(p->conn), &p->stalled, STALLED_MS);
		return;
	}
	p->quietly = false;
	kafka_begin_anew(p, p->error ? p->error : "the brokers do not confirm what was sent; rows are sent again",
			 false);
	anew_now(p);
}

static void on_stalled(struct sl_timer *t) { stalled_check(sl_container_of(t, struct kafka_producer, stalled)); }

void kafka_cancel(struct kafka_producer *p) { stalled_check(p); }

/* ---- Events. --------------------------------------------------------------------------------------------------------------- */

static void on_error(struct kafka_producer *p, rd_kafka_event_t *ev) {
	rd_kafka_resp_err_t code = rd_kafka_event_error(ev);
	const char *text = rd_kafka_event_error_string(ev);
	char fatal[512];
	if (rd_kafka_event_error_is_fatal(ev) || code == RD_KAFKA_RESP_ERR__FATAL) {
		/* A request was refused; what that means is said by the reports of its rows. */
		bool refused = rd_kafka_fatal_error(p->rk, fatal, sizeof fatal) == RD_KAFKA_RESP_ERR__GAPLESS_GUARANTEE;
		kafka_begin_anew(p, fatal, refused);
		return;
	}
	log_debug(LOG_CONN, "librdkafka", "name=%s error=%s text=%s", p->client.name, rd_kafka_err2name(code), text);
	if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
		if (p->wanted)
			no_answer(p);
		else if (p->up && !p->suspect) {
			p->suspect = true;
			ask(p, SUSPECT_MS);
		}
		return;
	}
	struct sl_buf said = SL_BUF_INIT;
	kafka_advice(&p->client, code, text, &said);
	text_set(&p->error, sl_buf_cstr(&said));
	sl_buf_fini(&said);
	if (code == RD_KAFKA_RESP_ERR__AUTHENTICATION && p->wanted) no_answer(p);
}

static void on_event(struct kafka_producer *p, rd_kafka_event_t *ev, bool scout) {
	switch (rd_kafka_event_type(ev)) {
	case RD_KAFKA_EVENT_DR: kafka_report(p, ev); break;
	case RD_KAFKA_EVENT_ERROR:
		if (!scout) /* how the brokers are is said by the first client */
			on_error(p, ev);
		else if (rd_kafka_event_error_is_fatal(ev))
			kafka_begin_anew(p, rd_kafka_event_error_string(ev), false);
		break;
	case RD_KAFKA_EVENT_OAUTHBEARER_TOKEN_REFRESH: kafka_auth_refresh(p->conf, scout ? p->scout : p->rk); break;
	}
	rd_kafka_event_destroy(ev); /* before its client may end */
	if (p->anew) anew_now(p);
}

/* True: there may be more. */
static bool queue_serve(struct kafka_producer *p, rd_kafka_queue_t *const *queue, bool scout) {
	for (int i = 0; i < EVENTS_PER_TICK && *queue; i++) {
		rd_kafka_event_t *ev = rd_kafka_queue_poll(*queue, 0);
		if (!ev) return false;
		on_event(p, ev, scout);
	}
	return *queue;
}

static void on_events(struct sl_post *post, struct sl_loop *l) {
	struct kafka_producer *p = sl_container_of(post, struct kafka_producer, events);
	(void)l;
	atomic_store(&p->events_told, false); /* before the queue is emptied: none is missed */
	bool more = queue_serve(p, &p->queue, false);
	more = queue_serve(p, &p->scout_queue, true) || more;
	if (more) events_tell(p, 0);
}

static void on_keeper(void *arg, const struct kafka_keeper_event *e) {
	struct kafka_producer *p = arg;
	switch (e->what) {
	case KAFKA_KEEPER_UP:
		if (p->state != KAFKA_RUNNING || e->rk != p->rk) return;
		text_set(&p->brokers, e->brokers);
		up(p);
		return;
	case KAFKA_KEEPER_ENDED:
		if (e->rk == p->rk) client_ended(p); /* else it was the scout */
		return;
	}
}
