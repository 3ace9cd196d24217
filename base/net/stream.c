#include "stream.h"

#include "mem.h"
#include "stream_int.h"

static void write_hook_run(struct sl_hook *hook) {
	struct sl_stream_pool *p = sl_container_of(hook, struct sl_stream_pool, write_hook);
	if (sl_list_empty(&p->dirty)) return;
	/* Flushing may dirty others (on_drain lets publishers go on): they get their turn in the next tick. */
	struct sl_list turn;
	sl_list_init(&turn);
	sl_list_splice_back(&turn, &p->dirty);
	for (struct sl_list *it; (it = sl_list_pop_front(&turn)) != NULL;)
		sl_stream_flush(SL_LIST_ENTRY(it, struct sl_stream, dirty));
	if (!sl_list_empty(&p->dirty)) sl_loop_more(p->loop);
}

struct sl_stream_pool *stream_pool(struct sl_loop *l) {
	if (sl_likely(l->streams != NULL)) return l->streams;
	/* Not zeroed: the scratch buffer should cost memory only where it is used. */
	struct sl_stream_pool *p = sl_alloc(sizeof *p);
	p->loop = l;
	p->spares = p->spare_bytes = 0;
	p->barrier = NULL;
	sl_list_init(&p->dirty);
	stream_linger_init(p);
	p->write_hook.run = write_hook_run;
	sl_loop_hook_add(l, SL_PHASE_WRITE, &p->write_hook);
	l->streams = p;
	return p;
}

void sl_stream_pool_free(struct sl_stream_pool *p) {
	if (!p) return;
	stream_linger_fini(p);
	for (size_t i = 0; i < p->spares; i++) sl_buf_fini(&p->spare[i]);
	sl_free(p);
}

void sl_streams_flush(struct sl_loop *l) {
	if (l->streams) write_hook_run(&l->streams->write_hook);
}

void stream_end(struct sl_stream *s) {
	s->closed = true;
	s->ops->finish(s);
	sl_deferred_cancel(&s->closing);
	sl_list_remove(&s->dirty);
	stream_out_release(s);
	sl_buf_fini(&s->in);
}

static void closing_run(struct sl_deferred *d) {
	struct sl_stream *s = sl_container_of(d, struct sl_stream, closing);
	int status = s->status;
	stream_end(s);
	s->events->on_closed(s, status);
}

void stream_init(struct sl_stream *s, const struct sl_stream_ops *ops, const struct sl_stream_events *events,
		 struct sl_loop *l) {
	*s = (struct sl_stream){.ops = ops, .events = events, .loop = l};
	sl_list_init(&s->dirty);
	sl_deferred_init(&s->closing, closing_run);
}

void sl_stream_mark_dirty(struct sl_stream *s) {
	struct sl_stream_pool *p = stream_pool(s->loop);
	if (s->out.p == NULL) {
		if (p->spares > 0) {
			s->out = p->spare[--p->spares];
			p->spare_bytes -= s->out.cap;
		} else {
			sl_buf_grow(&s->out, STREAM_OUT_FIRST);
		}
	}
	/* While the socket is full there is nothing to try: its next event will. */
	if (!s->blocked && !s->closed && !s->held) sl_list_push_back(&p->dirty, &s->dirty);
}

void stream_out_release(struct sl_stream *s) {
	struct sl_stream_pool *p = stream_pool(s->loop);
	s->out.n = s->out_sent = 0;
	if (s->out.p == NULL) return;
	if (s->out.cap > STREAM_SPARE_BYTES_MAX || p->spares == STREAM_SPARES_MAX ||
	    p->spare_bytes + s->out.cap > STREAM_SPARES_BYTES_MAX) {
		sl_buf_fini(&s->out);
		return;
	}
	p->spare[p->spares++] = s->out;
	p->spare_bytes += s->out.cap;
	s->out = (struct sl_buf)SL_BUF_INIT;
}

/* The rest of a read becomes `in`; `rest` may lie in the scratch buffer or in `in` itself. */
void stream_keep(struct sl_stream *s, struct sl_slice rest) {
	if (rest.n == 0) {
		sl_buf_fini(&s->in);
		return;
	}
	if (s->in.p && rest.p >= s->in.p && rest.p < s->in.p + s->in.cap) {
		memmove(s->in.p, rest.p, rest.n);
		s->in.n = rest.n;
		return;
	}
	sl_buf_clear(&s->in);
	sl_buf_append_slice(&s->in, rest);
}

char *stream_room(struct sl_stream *s, char *scratch, size_t size, size_t *room) {
	if (s->in.n >= size / 4) {
		sl_buf_grow(&s->in, size / 2);
		*room = s->in.cap - s->in.n;
		return s->in.p;
	}
	if (s->in.n) memcpy(scratch, s->in.p, s->in.n);
	*room = size - s->in.n;
	return scratch;
}

void stream_present(struct sl_stream *s, struct sl_slice bytes) {
	size_t used = s->events->on_read(s, bytes);
	sl_assert(used <= bytes.n);
	if (!s->closed) stream_keep(s, slice_from(bytes, used));
}

void stream_sent(struct sl_stream *s) {
	if (sl_stream_pending(s) == 0) {
		stream_out_release(s);
		if (s->tell_drained) {
			s->tell_drained = false;
			s->events->on_drain(s);
		}
	} else if (s->out_sent >= s->out.n / 2) {
		/* Not at every partial write, or a slow reader with a long backlog would have us move it again and again. */
		sl_buf_consume(&s->out, s->out_sent);
		s->out_sent = 0;
	}
}

/* ---- moving ---- */

int sl_stream_detach(struct sl_stream *s) {
	for (struct sl_stream *layer = s; layer; layer = layer->ops->below(layer))
		if (layer->closed) return SL_ECLOSED;
	s->ops->detach(s);
	return SL_OK;
}

int sl_stream_attach(struct sl_stream *s, struct sl_loop *l, uint64_t *bytes_in, uint64_t *bytes_out) {
	return s->ops->attach(s, l, bytes_in, bytes_out);
}

void stream_leave(struct sl_stream *s) {
	sl_list_remove(&s->dirty);
	s->loop = NULL;
}

void stream_arrive(struct sl_stream *s, struct sl_loop *l) {
	s->loop = l;
	if (sl_stream_pending(s) > 0) sl_stream_mark_dirty(s);
}

/* ---- for the owner ---- */

void sl_stream_pause(struct sl_stream *s) { s->paused = true; }

void sl_stream_resume(struct sl_stream *s) {
	if (!s->paused) return;
	s->paused = false;
	if (!s->closed) s->ops->resume(s);
}

/* ---- what must be safe first ---- */

void sl_barrier_init(struct sl_barrier *b, void (*reach)(struct sl_barrier *b)) {
	b->passed = 0;
	b->reach = reach;
	sl_list_init(&b->held);
}

void sl_barrier_set(struct sl_loop *l, struct sl_barrier *b) { stream_pool(l)->barrier = b; }

void sl_barrier_moved(struct sl_loop *l) {
	struct sl_stream_pool *p = stream_pool(l);
	if (!p->barrier || sl_list_empty(&p->barrier->held)) return;
	sl_list_splice_back(&p->dirty, &p->barrier->held);
	sl_loop_more(l);
}

/* False: it is held. */
static bool may_leave(struct sl_stream *s) {
	struct sl_barrier *b = stream_pool(s->loop)->barrier;
	if (!b || s->after <= b->passed) return true;
	b->reach(b);
	if (s->after <= b->passed) return true;
	sl_list_push_back(&b->held, &s->dirty);
	return false;
}

void sl_stream_flush(struct sl_stream *s) {
	sl_list_remove(&s->dirty);
	if (s->closed || s->blocked || s->held) return;
	if (sl_unlikely(s->after > 0) && !may_leave(s)) return;
	s->ops->flush(s);
}

void sl_stream_hold(struct sl_stream *s) {
	s->held = true;
	sl_list_remove(&s->dirty);
}

void sl_stream_let_go(struct sl_stream *s) {
	if (!s->held) return;
	s->held = false;
	if (!s->closed) sl_stream_mark_dirty(s);
}

void sl_stream_close(struct sl_stream *s, int status) {
	if (s->closed) return;
	if (status != SL_EIO) sl_stream_flush(s);
	if (s->closed) return; /* the flush found it broken */
	s->closed = true;
	s->status = (int16_t)status;
	sl_loop_defer(s->loop, &s->closing);
}
