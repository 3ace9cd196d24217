/* instance.c: a connection's life: STOPPED -> CONNECTING -> UP <-> DEGRADED -> DOWN -> CONNECTING ...
 *
 * Only this file sets the state. One log line per change; but a connection that breaks again within a minute, for a reason that was
 * said, is counted, and said once a minute, and when it has been up or down for UP_RESET_MS. After a failure the next attempt waits a random time below a bound
 * that doubles up to reconnect.max, and begins again at reconnect.first when a row was delivered or after UP_RESET_MS of working.
 * Kinds report from any thread; reports of another thread arrive as letters. */
#include <inttypes.h>
#include <stdio.h>

#include "conf_exec.h"
#include "connectors_int.h"
#include "lookup_int.h"
#include "log.h"
#include "retry.h"
#include "schema.h"
#include "utf8.h"

#define UP_RESET_MS 10000
#define EXPECTED_MS 20  /* the pause after a break that was to be expected */
#define UNSAID_MS 60000 /* how often one that breaks again and again says so */

enum event_what { EVENT_UP, EVENT_DOWN, EVENT_CLOSED, EVENT_WRITABLE, EVENT_PROBED };
struct conn_event {
	struct sl_post post;
	struct sl_conn *c;
	enum event_what what;
	int status;
	char *text; /* owned */
};

const char *conn_state_name(enum conn_state s) {
	switch (s) {
	case CONN_STOPPED: return "stopped";
	case CONN_CONNECTING: return "connecting";
	case CONN_UP: return "up";
	case CONN_DEGRADED: return "degraded";
	case CONN_STALLED: return "stalled";
	case CONN_DOWN: return "down";
	}
	return "unknown";
}

void *sl_conn_impl(struct sl_conn *c) { return c->impl; }
const char *sl_conn_name(const struct sl_conn *c) { return c->name; }
struct sl_loop *sl_conn_loop(struct sl_conn *c) {
	return c->cs->loop;
}
const char *sl_conn_cancel_why(struct sl_conn *c) {
	if (atomic_load(&c->cs->stop_now.wanted))
		return "ended by the second signal to stop, which waits for no answer";
	if (atomic_load(&c->cs->stop_now.halted)) return "ended by the stop, which waits ten seconds for answers";
	return atomic_load(&c->cut_by_reload) ? "ended by a reload, which waits five seconds for answers"
					      : "no answer within the action's `timeout`";
}
void sl_conn_set_blocking(struct sl_conn *c, bool blocking) { c->blocking = blocking; }
void sl_conn_set_ways(struct sl_conn *c, uint32_t n) { c->ways = n ? n : 1; }
void sl_conn_set_depth(struct sl_conn *c, uint32_t n) { c->depth = n; }

/* A reason that was said a short while ago is counted. */
static void down_say(struct sl_conn *c, const char *text) {
	uint64_t now_ms = sl_loop_now_ms(c->cs->loop);
	bool again = c->down_ms > 0 && now_ms - c->down_ms < UNSAID_MS && !sl_list_empty(&c->cs->pipelines);
	c->down_ms = now_ms;
	if (!again) told_forget(&c->told);
	c->down_unsaid = again && !told_news(&c->told, text, now_ms);
	c->unsaid = again ? c->unsaid + 1 : 0;
	if (!again) (void)told_news(&c->told, text, now_ms);
	if (!c->down_unsaid) {
		c->unsaid_due_ms = now_ms + UNSAID_MS;
		log_always(LOG_WARN, LOG_CONN, "down", "name=%s reason=%s", c->name, text);
	} else if (now_ms >= c->unsaid_due_ms) {
		c->unsaid_due_ms = now_ms + UNSAID_MS;
		log_always(LOG_WARN, LOG_CONN, "breaks again and again", "name=%s times=%u reason=%s", c->name,
			   c->unsaid, text);
	}
}

void conn_settled(struct sl_conn *c) {
	uint64_t since_ms = conn_is_up(c) ? c->up_at_ms : c->down_ms;
	if (!c->down_unsaid || sl_loop_now_ms(c->cs->loop) - since_ms < UP_RESET_MS) return;
	c->down_unsaid = false;
	if (c->state == CONN_UP)
		log_always(LOG_INFO, LOG_CONN, "up", "name=%s type=%s broken_before=%u", c->name, c->kind->name,
			   c->unsaid);
	else if (c->state == CONN_DOWN)
		log_always(LOG_WARN, LOG_CONN, "down", "name=%s reason=%s", c->name, c->text ? c->text : "");
}

static void state_say(struct sl_conn *c, const char *text) {
	const char *reason = text ? text : "";
	switch (c->state) {
	case CONN_UP:
		if (!c->down_unsaid) log_always(LOG_INFO, LOG_CONN, "up", "name=%s type=%s", c->name, c->kind->name);
		break;
	case CONN_STALLED: break; /* said by connectors_watch.c, with more */
	case CONN_DEGRADED: log_always(LOG_WARN, LOG_CONN, "degraded", "name=%s reason=%s", c->name, reason); break;
	case CONN_DOWN: down_say(c, reason); break;
	case CONN_STOPPED:
	case CONN_CONNECTING:
		log_debug(LOG_CONN, "state", "name=%s state=%s", c->name, conn_state_name(c->state));
		break;
	}
}

static void state_set(struct sl_conn *c, enum conn_state state, const char *text) {
	enum conn_state before = c->state;
	char *copy = text ? sl_strdup(text) : NULL;
	sl_free(c->text);
	c->text = copy;
	if (state == before) {
		if (state == CONN_DOWN && text && told_news(&c->told, text, sl_loop_now_ms(c->cs->loop)))
			log_always(LOG_WARN, LOG_CONN, "still down, for another reason", "name=%s reason=%s", c->name,
				   text);
		return;
	}
	c->state = state;
	c->since_ms = sl_loop_wall_ms(c->cs->loop);
	state_say(c, text);
	if (c->cs->on_state)
		c->cs->on_state(c->cs->on_state_arg, &(struct sl_connector_change){.name = c->name,
										   .kind = c->kind->name,
										   .state = conn_state_name(state),
										   .previous = conn_state_name(before),
										   .text = c->text,
										   .at_ms = c->since_ms});
}

/* What keeps an action from its work while the connection is up. */
enum need { NEED_PROGRESS, NEED_READY, NEED_ROOM, NEEDS };

static enum need need_of(const struct sl_conn *c, const struct sl_pipeline *p) {
	if (p->stalled && c->stalled) return NEED_PROGRESS;
	if (p->not_ready_why) return NEED_READY;
	return p->waits.why ? NEED_ROOM : NEEDS;
}

static void need_say(const struct sl_conn *c, enum need need, const struct sl_pipeline *p, uint32_t more,
		     struct sl_buf *out) {
	const char *name = p->action->name;
	char *others = more ? sl_asprintf(" and %" PRIu32 " more", more) : sl_strdup("");
	if (out->n) sl_buf_append_str(out, "; ");
	switch (need) {
	case NEED_PROGRESS:
		sl_buf_append_str(out, c->stall_text);
		if (more) sl_buf_printf(out, " (%" PRIu32 " more actions make none)", more);
		break;
	case NEED_READY:
		sl_buf_printf(out, "action %s%s %s not ready: %s", name, others, more ? "are" : "is", p->not_ready_why);
		break;
	case NEED_ROOM: sl_buf_printf(out, "rows of action %s%s wait: %s", name, others, p->waits.why); break;
	case NEEDS: break;
	}
	sl_free(others);
}

/* Of each kind of trouble the first action with its reason, and how many more have it: none hides one of another kind. Heap. */
static char *actions_why(const struct sl_conn *c) {
	const struct sl_pipeline *first[NEEDS + 1] = {NULL};
	uint32_t count[NEEDS + 1] = {0};
	struct sl_buf out = SL_BUF_INIT;
	SL_LIST_FOREACH(it, &c->cs->pipelines) {
		const struct sl_pipeline *p = SL_LIST_ENTRY(it, struct sl_pipeline, link);
		if (p->action->conn != c) continue;
		enum need need = need_of(c, p);
		if (count[need]++ == 0) first[need] = p;
	}
	for (enum need need = NEED_PROGRESS; need < NEEDS; need++)
		if (first[need]) need_say(c, need, first[need], count[need] - 1, &out);
	return out.n ? sl_buf_steal(&out) : sl_strdup("an action is not ready");
}

/* It is up; what its actions say comes on top. */
static void state_working(struct sl_conn *c) {
	bool trouble = c->stalled || c->not_ready;
	char *why = trouble ? actions_why(c) : NULL;
	state_set(c, c->stalled ? CONN_STALLED : trouble ? CONN_DEGRADED : CONN_UP, why);
	sl_free(why);
}

void conn_wake(struct sl_conn *c) {
	SL_LIST_FOREACH(it, &c->cs->pipelines) {
		struct sl_pipeline *p = SL_LIST_ENTRY(it, struct sl_pipeline, link);
		if (p->action->conn == c) pipeline_wake(p);
	}
}

static void on_down(struct sl_conn *c, const char *text);

static void connect_now(struct sl_conn *c) {
	if (c->state != CONN_DOWN) state_set(c, CONN_CONNECTING, NULL);
	if (c->thread)
		thread_worker_call(c->thread, THREAD_CONNECT);
	else
		c->kind->connect(c);
}

void conn_probe(struct sl_conn *c) {
	c->probing = true;
	if (c->thread)
		thread_worker_call(c->thread, THREAD_PROBE);
	else
		c->kind->probe(c);
}

static void probe_now(struct sl_conn *c) {
	bool wanted = !c->traffic && !c->probing;
	if (c->probing && !c->traffic && c->out == 0) {
		on_down(c, "no answer to a probe");
		return;
	}
	c->traffic = false;
	sl_timer_set(c->cs->loop, &c->timer, (uint64_t)c->conf.probe_ms);
	if (wanted && c->kind->probe) conn_probe(c);
}

static void timer_fire(struct sl_timer *t) {
	struct sl_conn *c = sl_container_of(t, struct sl_conn, timer);
	if (c->closing) return;
	if (conn_is_up(c))
		probe_now(c);
	else
		connect_now(c);
}

struct sl_conn *conn_new(struct connectors *cs, const char *name) {
	struct sl_conn *c = SL_NEW(struct sl_conn);
	c->cs = cs;
	c->name = sl_strdup(name);
	c->ways = 1;
	sl_list_init(&c->link);
	sl_list_init(&c->trial_line);
	sl_timer_init(&c->timer, timer_fire);
	return c;
}

void conn_start(struct sl_conn *c) {
	c->since_ms = sl_loop_wall_ms(c->cs->loop);
	if (c->blocking) {
		c->thread = thread_worker_new(c);
		if (!c->thread) {
			log_error(LOG_CONN, "cannot start the connection's thread", "name=%s", c->name);
			state_set(c, CONN_DOWN, "the system has no thread left; raise its limit and reload");
			return;
		}
	}
	connect_now(c);
}

static void on_up(struct sl_conn *c) {
	c->up_at_ms = sl_loop_now_ms(c->cs->loop);
	c->probing = c->traffic = c->worked = c->soon = false;
	if (c->closing) return;
	pipeline_trial_up(c);
	/* Whether an action is still not ready shows with its next batch. */
	state_working(c);
	sl_timer_set(c->cs->loop, &c->timer, (uint64_t)c->conf.probe_ms);
	conn_wake(c);
}

static void on_down(struct sl_conn *c, const char *text) {
	uint64_t now = sl_loop_now_ms(c->cs->loop);
	if (c->closing) return;
	if (conn_is_up(c) && (c->worked || now - c->up_at_ms >= UP_RESET_MS)) c->attempts = 0;
	state_set(c, CONN_DOWN, text);
	if (text) health_bad(&c->health, c->since_ms, text);
	c->probing = false;
	c->attempts++;
	uint64_t pause_ms =
	    retry_pause_ms((uint64_t)c->conf.reconnect.first_ms, (uint64_t)c->conf.reconnect.max_ms, c->attempts);
	if (pause_ms > EXPECTED_MS && (c->soon || conn_broke_in_trial(c))) pause_ms = EXPECTED_MS;
	c->soon = false;
	sl_timer_set(c->cs->loop, &c->timer, pause_ms);
}

/* An attempt that is on its way has no timer, and ends by itself. */
void conn_hurry(struct sl_conn *c) {
	if (c->state != CONN_DOWN || c->closing || !sl_timer_armed(&c->timer)) return;
	sl_timer_cancel(&c->timer);
	c->attempts = 0;
	connect_now(c);
}

void conn_soon(struct sl_conn *c) {
	if (c->state == CONN_DOWN && sl_timer_armed(&c->timer) && !c->closing)
		sl_timer_set(c->cs->loop, &c->timer, EXPECTED_MS);
	else
		c->soon = conn_is_up(c);
}

void conn_close(struct sl_conn *c) {
	if (c->closing) return;
	c->closing = true;
	sl_timer_cancel(&c->timer);
	lookups_conn_closes(c);
	if (c->blocking && !c->thread) {
		c->closed = true;
		return;
	}
	if (c->thread)
		thread_worker_call(c->thread, THREAD_CLOSE);
	else
		c->kind->close(c);
}

static void on_closed(struct sl_conn *c) {
	thread_worker_free(c->thread);
	c->thread = NULL;
	c->closed = true;
	c->cs->reaping = true;
	state_set(c, CONN_STOPPED, NULL);
	conn_wake(c);
}

void conn_not_ready(struct sl_conn *c, int more) {
	c->not_ready = (uint32_t)((int)c->not_ready + more);
	if (conn_is_up(c)) state_working(c);
}

void conn_stalled(struct sl_conn *c, int more) {
	c->stalled = (uint32_t)((int)c->stalled + more);
	if (more < 0 && c->stalled == 0) log_always(LOG_INFO, LOG_CONN, "no longer stalled", "name=%s", c->name);
	if (conn_is_up(c)) state_working(c);
}

/* The kind drops what it has when connect() is called; what is out comes back by then. */
void conn_give_up(struct sl_conn *c) {
	if (!conn_is_up(c)) return;
	SL_LIST_FOREACH(it, &c->cs->pipelines) {
		struct sl_pipeline *p = SL_LIST_ENTRY(it, struct sl_pipeline, link);
		if (p->action->conn != c || c->thread || !c->kind->cancel) continue;
		SL_LIST_FOREACH_SAFE(b, &p->out)
		c->kind->cancel(p->action, &SL_LIST_ENTRY(b, struct pipeline_batch, out)->b);
	}
	on_down(c, "it is connected, yet gives no answer to rows that wait; connecting again");
}

void conn_free(struct sl_conn *c) {
	if (!c) return;
	sl_assert(!c->thread);
	sl_timer_cancel(&c->timer);
	if (c->kind && c->impl) {
		if (c->kind->fini) c->kind->fini(c);
		conf_fini(c->kind->conn_fields, c->impl);
	}
	conf_fini(conn_conf_fields, &c->conf);
	sl_list_remove(&c->link);
	sl_free(c->impl);
	health_fini(&c->health);
	sl_free(c->stall_text);
	sl_free(c->text);
	sl_free(c->name);
	sl_free(c);
}

/* ---- Reports. ------------------------------------------------------------------------------------------------------------- */

static void event_apply(struct sl_conn *c, enum event_what what, int status, const char *text) {
	switch (what) {
	case EVENT_UP: on_up(c); break;
	case EVENT_DOWN: on_down(c, text); break;
	case EVENT_CLOSED: on_closed(c); break;
	case EVENT_WRITABLE: conn_wake(c); break;
	case EVENT_PROBED:
		c->probing = false;
		if (status == SL_OK && c->out == 0) { /* with rows out, their answers count */
			c->answer_ms = sl_loop_now_ms(c->cs->loop);
			health_good(&c->health, sl_loop_wall_ms(c->cs->loop));
		} else if (status != SL_OK && conn_is_up(c))
			on_down(c, text);
		break;
	}
}

static void event_run(struct sl_post *post, struct sl_loop *l) {
	struct conn_event *e = sl_container_of(post, struct conn_event, post);
	(void)l;
	event_apply(e->c, e->what, e->status, e->text);
	sl_free(e->text);
	sl_free(e);
}

/* A server's own words, perhaps in its own encoding, perhaps with the user's name, which a program may have given as a secret. */
char *text_to_show(char *text) {
	struct sl_buf shown = SL_BUF_INIT;
	char *repaired = utf8_repair(text, strlen(text));
	conf_exec_hide(slice_from_str(repaired), &shown);
	(void)sl_buf_cstr(&shown);
	sl_free(repaired);
	return sl_buf_steal(&shown);
}

static void about_to_show(json_t *about) {
	const char *key;
	json_t *value;
	size_t i;
	json_object_foreach(about, key, value) about_to_show(value);
	json_array_foreach(about, i, value) about_to_show(value);
	if (!json_is_string(about)) return;
	char *text = text_to_show(sl_strdup(json_string_value(about)));
	json_string_set(about, text);
	sl_free(text);
}

json_t *conn_about(struct sl_conn *c) {
	if (!c->kind->describe) return NULL;
	json_t *about = json_object();
	c->kind->describe(c, about);
	about_to_show(about);
	return about;
}

/* Always as a letter: a kind may report from inside a call of ours. text: heap. */
static void event_post(struct sl_conn *c, enum event_what what, int status, char *text) {
	struct conn_event *e = SL_NEW(struct conn_event);
	e->post.run = event_run;
	e->c = c;
	e->what = what;
	e->status = status;
	e->text = text ? text_to_show(text) : NULL;
	sl_loop_post(c->cs->loop, &e->post);
}

void sl_conn_up(struct sl_conn *c) { event_post(c, EVENT_UP, SL_OK, NULL); }
void sl_conn_closed(struct sl_conn *c) { event_post(c, EVENT_CLOSED, SL_OK, NULL); }
void sl_conn_writable(struct sl_conn *c) { event_post(c, EVENT_WRITABLE, SL_OK, NULL); }
void sl_probe_done(struct sl_conn *c, int status, const char *text) {
	event_post(c, EVENT_PROBED, status, text ? sl_strdup(text) : NULL);
}
void sl_conn_down(struct sl_conn *c, int status, const char *fmt, ...) {
	va_list ap;
	va_start(ap, fmt);
	event_post(c, EVENT_DOWN, status, sl_vasprintf(fmt, ap));
	va_end(ap);
}
