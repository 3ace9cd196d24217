#include "lookup.h"

#include "lookup_int.h"
#include "mem.h"
#include "schema.h"

struct sl_question {
	_Atomic uint32_t refs;
	const struct sl_connector_kind *kind;
	void *settings;
	const struct sl_param *params;
	size_t param_count;
};

/* One question that is out. */
struct lookup {
	struct sl_lookup a;       /* the kind sees this */
	struct sl_post post;      /* to the loop */
	struct sl_post done_post; /* and back to it, from whoever worked on it */
	struct sl_list link;      /* lookups.out */
	struct sl_timer timer;
	struct connectors *cs;
	struct sl_conn *conn;
	char *connector;
	struct sl_question *q;
	uint64_t timeout_ms;
	sl_answer_fn answered;
	void *arg;
	bool told;
	struct sl_answer_field *fields;
	size_t len, bytes;
	int status;
	char *text;
	struct sl_slice values[];
};

struct lookups {
	struct connectors *cs;
	struct sl_list out;   /* L */
	pthread_mutex_t lock; /* over closed: what was posted before it was set is run */
	bool closed;
};

/* ---- Questions. --------------------------------------------------------------------------------------------------- */

static const struct sl_connector_kind *kind_of(const char *name) {
	for (size_t i = 0; sl_connector_kinds[i]; i++)
		if (strcmp(sl_connector_kinds[i]->name, name) == 0 && sl_connector_kinds[i]->asks)
			return sl_connector_kinds[i];
	return NULL;
}

const struct conf_field *sl_question_fields(const char *kind) {
	const struct sl_connector_kind *k = kind_of(kind);
	return k ? k->asks->fields : NULL;
}

struct sl_question *sl_question_new(const char *kind) {
	const struct sl_connector_kind *k = kind_of(kind);
	if (!k) return NULL;
	struct sl_question *q = SL_NEW(struct sl_question);
	atomic_init(&q->refs, 1);
	q->kind = k;
	q->settings = sl_zalloc(k->asks->size);
	return q;
}

void *sl_question_settings(struct sl_question *q) { return q->settings; }

int sl_question_check(struct sl_question *q, struct sl_err *err) {
	return q->kind->asks->check(q->settings, &q->params, &q->param_count, err);
}

const struct sl_param *sl_question_params(const struct sl_question *q, size_t *count) {
	*count = q->param_count;
	return q->params;
}

struct sl_question *sl_question_ref(struct sl_question *q) {
	atomic_fetch_add_explicit(&q->refs, 1, memory_order_relaxed);
	return q;
}

void sl_question_unref(struct sl_question *q) {
	if (!q || atomic_fetch_sub_explicit(&q->refs, 1, memory_order_acq_rel) != 1) return;
	q->kind->asks->fini(q->settings);
	conf_fini(q->kind->asks->fields, q->settings);
	sl_free(q->settings);
	sl_free(q);
}

/* ---- One that is out. ------------------------------------------------------------------------------------------------ */

static void tell(struct lookup *l, int status, const char *text) {
	if (l->told) return;
	struct sl_answer a = {.status = status, .text = text};
	if (status == SL_OK) {
		a.fields = l->fields;
		a.len = l->len;
	}
	l->told = true;
	sl_timer_cancel(&l->timer);
	l->answered(&a, l->arg);
}

static void wipe(char *text) {
	if (text) explicit_bzero(text, strlen(text));
	sl_free(text);
}

static void lookup_free(struct lookup *l) {
	sl_list_remove(&l->link);
	for (size_t i = 0; i < l->len; i++) {
		sl_free(l->fields[i].name);
		wipe(l->fields[i].value);
	}
	for (size_t i = 0; i < l->a.count; i++) wipe((char *)(uintptr_t)l->values[i].p);
	sl_free(l->fields);
	sl_free(l->text);
	sl_free(l->connector);
	sl_question_unref(l->q);
	sl_free(l);
}

bool sl_lookup_put(struct sl_lookup *a, struct sl_slice name, struct sl_slice value) {
	struct lookup *l = sl_container_of(a, struct lookup, a);
	if (l->len == SL_LOOKUP_FIELDS_MAX || name.n + value.n > SL_LOOKUP_BYTES_MAX - l->bytes) return false;
	l->bytes += name.n + value.n;
	l->fields = sl_realloc_array(l->fields, l->len + 1, sizeof *l->fields);
	l->fields[l->len++] =
	    (struct sl_answer_field){.name = slice_dup(name), .value = value.p ? slice_dup(value) : NULL};
	return true;
}

static void done_run(struct sl_post *post, struct sl_loop *loop) {
	struct lookup *l = sl_container_of(post, struct lookup, done_post);
	(void)loop;
	tell(l, l->status, l->text);
	lookup_free(l);
}

void sl_lookup_done(struct sl_lookup *a, int status, const char *fmt, ...) {
	struct lookup *l = sl_container_of(a, struct lookup, a);
	va_list ap;
	va_start(ap, fmt);
	l->text = text_to_show(sl_vasprintf(fmt, ap));
	va_end(ap);
	l->status = status;
	l->done_post.run = done_run;
	sl_loop_post(l->cs->loop, &l->done_post); /* always as a letter: it may end from inside of ask() */
}

static void cancel(struct lookup *l, int status, const char *text) {
	tell(l, status, text);
	if (l->q->kind->asks->cancel) l->q->kind->asks->cancel(l->conn, &l->a);
}

static void too_late(struct sl_timer *t) {
	cancel(sl_container_of(t, struct lookup, timer), SL_EAGAIN, "it did not answer in time");
}

static struct sl_conn *conn_named(struct connectors *cs, const char *name) {
	SL_LIST_FOREACH(it, &cs->conns) {
		struct sl_conn *c = SL_LIST_ENTRY(it, struct sl_conn, link);
		if (!c->retired && !c->closing && strcmp(c->name, name) == 0) return c;
	}
	return NULL;
}

static void refuse(struct lookup *l, int status, const char *text) {
	tell(l, status, text);
	lookup_free(l);
}

static void ask_run(struct sl_post *post, struct sl_loop *loop) {
	struct lookup *l = sl_container_of(post, struct lookup, post);
	struct sl_conn *c = conn_named(l->cs, l->connector);
	if (l->cs->draining)
		refuse(l, SL_ECLOSED, "the program ends");
	else if (!c || c->kind != l->q->kind)
		refuse(l, SL_EIO, "there is no such connector now");
	else if (!conn_is_up(c))
		refuse(l, SL_EIO, c->text ? c->text : "it is not connected yet");
	else {
		l->conn = c;
		sl_list_push_back(&l->cs->lookups->out, &l->link);
		sl_timer_set(loop, &l->timer, l->timeout_ms);
		c->kind->asks->ask(c, &l->a);
	}
}

void connectors_ask(struct connectors *cs, const char *connector, struct sl_question *q, const struct sl_slice *values,
		    uint64_t timeout_ms, sl_answer_fn answered, void *arg) {
	struct lookup *l = sl_zalloc(sizeof *l + q->param_count * sizeof *l->values);
	l->cs = cs;
	l->connector = sl_strdup(connector);
	l->q = sl_question_ref(q);
	l->timeout_ms = timeout_ms;
	l->answered = answered;
	l->arg = arg;
	sl_list_init(&l->link);
	sl_timer_init(&l->timer, too_late);
	for (size_t i = 0; i < q->param_count; i++) l->values[i] = slice_make(slice_dup(values[i]), values[i].n);
	l->a = (struct sl_lookup){.question = q->settings, .values = l->values, .count = q->param_count};
	l->post.run = ask_run;
	pthread_mutex_lock(&cs->lookups->lock);
	bool closed = cs->lookups->closed;
	if (!closed) sl_loop_post(cs->loop, &l->post);
	pthread_mutex_unlock(&cs->lookups->lock);
	if (closed) refuse(l, SL_ECLOSED, "the program ends");
}

/* ---- The layer's. ------------------------------------------------------------------------------------------------------ */

struct lookups *lookups_new(struct connectors *cs) {
	struct lookups *l = SL_NEW(struct lookups);
	l->cs = cs;
	sl_list_init(&l->out);
	pthread_mutex_init(&l->lock, NULL);
	return l;
}

void lookups_conn_closes(struct sl_conn *c) {
	if (!c->cs || !c->kind || !c->kind->asks) return;
	SL_LIST_FOREACH_SAFE(it, &c->cs->lookups->out) {
		struct lookup *l = SL_LIST_ENTRY(it, struct lookup, link);
		if (l->conn == c) cancel(l, SL_ECLOSED, "the connector ends");
	}
}

void lookups_stop(struct connectors *cs) {
	pthread_mutex_lock(&cs->lookups->lock);
	cs->lookups->closed = true;
	pthread_mutex_unlock(&cs->lookups->lock);
	SL_LIST_FOREACH_SAFE(it, &cs->lookups->out)
	cancel(SL_LIST_ENTRY(it, struct lookup, link), SL_ECLOSED, "the program ends");
}

void lookups_free(struct lookups *l) {
	if (!l) return;
	pthread_mutex_destroy(&l->lock);
	sl_free(l);
}
