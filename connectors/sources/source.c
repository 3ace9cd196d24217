/* source.c: messages on their way from a kind to a worker and back; see source.h. */
#include <inttypes.h>

#include "log.h"
#include "source_int.h"

void *sl_source_impl(const struct sl_source *s) { return s->impl; }
const char *sl_source_name(const struct sl_source *s) { return s->name; }
void *sl_source_conn_impl(const struct sl_source *s) { return s->conn->impl; }
const char *sl_source_conn_name(const struct sl_source *s) { return s->conn->name; }
struct sl_loop *sl_source_loop(const struct sl_source *s) {
	return s->cs->loop;
}
const char *sl_source_data_dir(const struct sl_source *s) { return s->cs->data_dir; }
bool sl_source_paused(const struct sl_source *s) { return s->paused; }
int64_t sl_source_bytes_max(const struct sl_source *s) { return s->conf.max_pending.bytes; }

/* ---- States. ---------------------------------------------------------------------------------------------------------- */

const char *source_state_name(enum sl_source_state state) {
	switch (state) {
#define X(id, name, meaning)                                                                                           \
	case SL_SOURCE_##id: return name;
		SL_SOURCE_STATE_TBL(X)
#undef X
	}
	return "unknown";
}

static void state_log(const struct sl_source *s) {
	const char *text = s->text ? s->text : "";
	switch (s->state) {
	case SL_SOURCE_UP:
		if (s->text)
			log_always(LOG_INFO, LOG_CONN, "source is up", "source=%s connector=%s note=%s", s->name,
				   s->conn->name, text);
		else
			log_always(LOG_INFO, LOG_CONN, "source is up", "source=%s connector=%s", s->name,
				   s->conn->name);
		break;
	case SL_SOURCE_DEGRADED:
	case SL_SOURCE_DOWN:
		log_always(LOG_WARN, LOG_CONN, s->state == SL_SOURCE_DOWN ? "source is down" : "source is degraded",
			   "source=%s connector=%s reason=%s", s->name, s->conn->name, text);
		break;
	case SL_SOURCE_STOPPED:
	case SL_SOURCE_CONNECTING:
		log_debug(LOG_CONN, "source", "source=%s state=%s note=%s", s->name, source_state_name(s->state), text);
		break;
	}
}

static void state_put(struct sl_source *s, enum sl_source_state state, char *text) {
	bool news = state != s->state || !s->text != !text || (text && strcmp(text, s->text) != 0);
	sl_free(s->text);
	s->text = text;
	if (!news) return;
	if (state != s->state) {
		s->since_ms = sl_loop_wall_ms(s->cs->loop);
		told_forget(&s->told);
	}
	s->state = state;
	if (told_news(&s->told, text ? text : "", sl_loop_now_ms(s->cs->loop))) state_log(s);
}

void sl_source_state(struct sl_source *s, enum sl_source_state state, const char *fmt, ...) {
	char *text = NULL;
	if (fmt) {
		va_list ap;
		va_start(ap, fmt);
		text = text_to_show(sl_vasprintf(fmt, ap));
		va_end(ap);
	}
	state_put(s, state, text);
}

void source_close(struct sl_source *s) {
	if (s->closing) return;
	s->closing = true;
	s->paused = true;
	if (s->started)
		s->kind->close(s);
	else
		s->closed = true;
}

static void closed_fire(struct sl_timer *t) {
	struct sl_source *s = sl_container_of(t, struct sl_source, closed_timer);
	s->closed = true;
	s->cs->reaping = true; /* the end of this tick looks at it, or goes on with the stop */
	state_put(s, SL_SOURCE_STOPPED, NULL);
}

void sl_source_closed(struct sl_source *s) { sl_timer_set(s->cs->loop, &s->closed_timer, 0); }

/* ---- Parts. ------------------------------------------------------------------------------------------------------------- */

struct sl_source_part *sl_source_part_new(struct sl_source *s) {
	struct sl_source_part *part = sl_zalloc(sizeof *part + s->kind->part_size);
	size_t workers = s->cs->worker_count;
	part->source = s;
	part->worker = workers ? s->next_worker++ % workers : 0;
	s->parts++;
	return part;
}

void *sl_source_part_impl(const struct sl_source_part *part) { return (void *)(uintptr_t)(part + 1); }
struct sl_source *sl_source_part_source(const struct sl_source_part *part) {
	return part->source;
}
size_t sl_source_part_pending(const struct sl_source_part *part) { return part->pending; }

void sl_source_part_end(struct sl_source_part *part) {
	if (!part) return;
	part->source->parts--;
	part->ended = true;
	if (part->pending == 0) sl_free(part);
}

/* ---- Taking. -------------------------------------------------------------------------------------------------------------- */

static struct sl_source_batch *batch_open(struct sl_source *s, size_t worker) {
	struct source_line *line = &s->lines[worker];
	struct sl_source_batch *b = line->tail;
	if (b && b->count < SOURCE_BATCH_MESSAGES && b->bytes < SOURCE_BATCH_BYTES) return b;
	b = SL_NEW(struct sl_source_batch);
	b->type = s->conn->kind->name;
	b->name = s->name;
	b->at = SL_NEW_ARRAY(struct sl_source_message, SOURCE_BATCH_MESSAGES);
	b->source = s;
	b->worker = worker;
	sl_arena_init(&b->arena, 4096);
	sl_list_push_back(&s->batches, &b->all);
	if (line->tail)
		line->tail->next = b;
	else
		line->head = b;
	line->tail = b;
	return b;
}

void source_batch_free(struct sl_source_batch *b) {
	sl_list_remove(&b->all);
	sl_arena_fini(&b->arena);
	sl_free(b->at);
	sl_free(b);
}

/* An empty one is not the same as none. */
static struct sl_slice keep(struct sl_arena *arena, struct sl_slice bytes) {
	return bytes.p ? sl_arena_dup(arena, bytes) : bytes;
}

static const struct sl_source_publish *publish_copy(struct sl_arena *arena, const struct sl_source_publish *from) {
	struct sl_source_publish *to = SL_ARENA_ARRAY(arena, struct sl_source_publish, 1);
	*to = *from;
	to->user_properties = sl_arena_dup(arena, from->user_properties);
	to->content_type = sl_arena_dup(arena, from->content_type);
	to->response_topic = sl_arena_dup(arena, from->response_topic);
	to->correlation_data = sl_arena_dup(arena, from->correlation_data);
	return to;
}

static size_t item_copy(struct sl_arena *arena, const struct sl_source_item *from, struct sl_source_item *to) {
	size_t bytes = from->key.n + from->value.n + from->topic.n + from->id.n;
	*to = *from;
	to->key = keep(arena, from->key);
	to->value = keep(arena, from->value);
	to->topic = keep(arena, from->topic);
	to->id = keep(arena, from->id);
	if (from->publish) {
		to->publish = publish_copy(arena, from->publish);
		bytes += sizeof *to->publish + from->publish->user_properties.n;
	}
	if (from->header_count == 0) return bytes;
	struct sl_source_header *headers = SL_ARENA_ARRAY(arena, struct sl_source_header, from->header_count);
	for (uint32_t i = 0; i < from->header_count; i++) {
		headers[i] =
		    (struct sl_source_header){keep(arena, from->headers[i].name), keep(arena, from->headers[i].value)};
		bytes += headers[i].name.n + headers[i].value.n;
	}
	to->headers = headers;
	return bytes;
}

static void message_done(struct sl_ticket *t);

static void pause_if_full(struct sl_source *s) {
	bool full = s->pending >= (uint64_t)s->conf.max_pending.messages ||
		    s->pending_bytes >= (uint64_t)s->conf.max_pending.bytes;
	if (!full || s->paused) return;
	s->paused = true;
	s->pauses++;
	s->kind->pause(s);
}

void sl_source_take(struct sl_source_part *part, const struct sl_source_item *item, uint64_t mark) {
	struct sl_source *s = part->source;
	struct sl_source_batch *b = batch_open(s, part->worker);
	struct sl_source_message *m = &b->at[b->count++];
	size_t content = item_copy(&b->arena, item, &m->item), bytes = content + sizeof *m;
	*m = (struct sl_source_message){.ticket = {.decided = true, .done = message_done},
					.item = m->item,
					.batch = b,
					.part = part,
					.mark = mark,
					.bytes = bytes};
	b->left++;
	b->bytes += content;
	part->pending++;
	s->received++;
	s->pending++;
	s->pending_bytes += bytes;
	pause_if_full(s);
}

static void batch_run(struct sl_post *post, struct sl_loop *l);

static void line_send(struct sl_source *s, size_t worker) {
	struct source_line *line = &s->lines[worker];
	struct sl_source_batch *b = line->head;
	if (!b || line->out) return;
	if (line->full || connectors_way_full(s->cs, worker)) {
		s->cs->sources->waits = true;
		return;
	}
	line->head = b->next;
	/* Messages that trickle in make batches of one; nobody points to them yet. */
	b->at = sl_realloc_array(b->at, b->count, sizeof *b->at);
	if (!line->head) line->tail = NULL;
	line->out = true;
	b->next = NULL;
	b->post.run = batch_run;
	sl_loop_post(s->cs->workers[worker], &b->post);
}

/* At the end of a tick: lines that had to wait for room. An action that was full may still be, or another one: then the next batch
 * says so again. */
void sources_go_on(struct connectors *cs) {
	struct sources *ss = cs->sources;
	if (sl_likely(!ss->waits)) return;
	ss->waits = false;
	SL_LIST_FOREACH(it, &ss->list) {
		struct sl_source *s = SL_LIST_ENTRY(it, struct sl_source, link);
		for (size_t i = 0; i < cs->worker_count; i++) {
			s->lines[i].full = s->lines[i].full && cs->full_actions > 0 && !cs->room_made;
			line_send(s, i);
		}
	}
}

void sl_source_flush(struct sl_source *s) {
	for (size_t i = 0; i < s->cs->worker_count; i++) line_send(s, i);
}

/* ---- On the worker. --------------------------------------------------------------------------------------------------------- */

static void message_done(struct sl_ticket *t) {
	struct sl_source_message *m = sl_container_of(t, struct sl_source_message, ticket);
	struct sources *ss = m->batch->source->cs->sources;
	struct source_end *end = &ss->ends[m->batch->worker];
	m->next = NULL;
	*end->through_tail = m;
	end->through_tail = &m->next;
}

/* Our share of each ticket keeps done() from coming while rules run. */
static void batch_run(struct sl_post *post, struct sl_loop *l) {
	struct sl_source_batch *b = sl_container_of(post, struct sl_source_batch, post);
	struct sources *ss = b->source->cs->sources;
	(void)l;
	struct worker_end *rows = &b->source->cs->ends[b->worker];
	for (uint32_t i = 0; i < b->count; i++) b->at[i].ticket.pending = 1;
	rows->source_full = false;
	if (!ss->fn || !ss->fn(ss->arg, b->worker, b)) return;
	b->full = rows->source_full;
	for (uint32_t i = 0; i < b->count; i++)
		if (--b->at[i].ticket.pending == 0) message_done(&b->at[i].ticket);
	b->next = ss->ends[b->worker].evaluated;
	ss->ends[b->worker].evaluated = b;
}

struct through_letter {
	struct sl_post post;
	struct connectors *cs;
	struct sl_source_message *through;
	struct sl_source_batch *evaluated;
};
static void through_run(struct sl_post *post, struct sl_loop *l);

void sources_flush(struct connectors *cs, size_t worker) {
	struct source_end *end = &cs->sources->ends[worker];
	if (sl_likely(!end->through && !end->evaluated)) return;
	struct through_letter *letter = SL_NEW(struct through_letter);
	*letter = (struct through_letter){
	    .post = {.run = through_run}, .cs = cs, .through = end->through, .evaluated = end->evaluated};
	end->through = NULL;
	end->through_tail = &end->through;
	end->evaluated = NULL;
	sl_loop_post(cs->loop, &letter->post);
}

/* ---- Back on the loop. ------------------------------------------------------------------------------------------------------ */

static void resume_if_room(struct sl_source *s) {
	bool room = s->pending <= (uint64_t)s->conf.max_pending.messages / 2 &&
		    s->pending_bytes <= (uint64_t)s->conf.max_pending.bytes / 2;
	if (!s->paused || !room || s->closing || s->retired || s->cs->sources->stopping) return;
	s->paused = false;
	s->kind->resume(s);
}

static void message_through(struct sl_source_message *m) {
	struct sl_source_part *part = m->part;
	struct sl_source *s = part->source;
	m->part = NULL;
	m->batch->left--;
	part->pending--;
	s->pending--;
	s->pending_bytes -= m->bytes;
	if (!part->ended) {
		s->through++;
		s->kind->done(part, m->mark);
		return;
	}
	s->forgotten++;
	if (part->pending == 0) sl_free(part);
}

/* What the items were made of goes at once; the messages when the last is through. */
static void batch_back(struct sl_source_batch *b) {
	b->evaluated = true;
	sl_arena_fini(&b->arena);
	sl_arena_init(&b->arena, 64);
	b->source->lines[b->worker].out = false;
	b->source->lines[b->worker].full = b->full;
	line_send(b->source, b->worker);
}

static void batch_end(struct sl_source_batch *b) {
	if (b->evaluated && b->left == 0) source_batch_free(b);
}

static void through_run(struct sl_post *post, struct sl_loop *l) {
	struct through_letter *letter = sl_container_of(post, struct through_letter, post);
	struct connectors *cs = letter->cs;
	(void)l;
	for (struct sl_source_message *m = letter->through; m;) {
		struct sl_source_message *next = m->next;
		struct sl_source_batch *b = m->batch;
		message_through(m);
		batch_end(b);
		m = next;
	}
	for (struct sl_source_batch *b = letter->evaluated, *next; b; b = next) {
		next = b->next;
		batch_back(b);
		batch_end(b);
	}
	sl_free(letter);
	SL_LIST_FOREACH(it, &cs->sources->list) {
		struct sl_source *s = SL_LIST_ENTRY(it, struct sl_source, link);
		if (!s->started || s->closed) continue;
		s->kind->settled(s);
		resume_if_room(s);
	}
	cs->reaping = true; /* one that is closed may have waited for these */
}

void sl_source_forgotten(struct sl_source *s, uint64_t n) {
	s->through -= n;
	s->forgotten += n;
}

struct sl_source *source_new(struct connectors *cs, const char *name) {
	struct sl_source *s = SL_NEW(struct sl_source);
	s->cs = cs;
	s->name = sl_strdup(name);
	sl_list_init(&s->link);
	sl_list_init(&s->batches);
	sl_timer_init(&s->closed_timer, closed_fire);
	if (cs) s->lines = SL_NEW_ARRAY(struct source_line, cs->worker_count + 1);
	return s;
}
