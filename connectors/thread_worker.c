/* thread_worker.c: a thread of its own for a connection whose client library blocks.
 *
 * It makes the calls one at a time: close before connect before probe before batches, batches in order. A batch of a way whose
 * earlier one failed is handed back untouched, until the loop has seen the failure (after_fence): so the loop may have a
 * second batch here without losing order. Thread: made, called and freed on the loop. */
#include "connectors_int.h"

struct thread_worker {
	struct sl_conn *conn;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	unsigned calls; /* enum thread_call */
	struct pipeline_batch *head, **tail;
	bool end;
};

static void batch_fill_lost(struct pipeline_batch *bt) {
	bt->fenced = true;
	sl_batch_fill(&bt->b, SL_RESULT_LOST, NULL);
	sl_batch_done(&bt->b);
}

static void batch_work(struct thread_worker *tw, struct pipeline_batch *bt) {
	struct sl_way *way = bt->way;
	if (bt->after_fence) way->thread_broken = false;
	if (way->thread_broken) {
		batch_fill_lost(bt);
		return;
	}
	/* Set before the call: once the batch is done it belongs to the loop again, and so may soon the way. The kind's
	 * sl_batch_done() clears it when every row is done or rejected. */
	way->thread_broken = true;
	if (tw->conn->kind->submit(bt->p->action, &bt->b) != SL_OK) batch_fill_lost(bt);
}

static void *thread_main(void *arg) {
	struct thread_worker *tw = arg;
	const struct sl_connector_kind *kind = tw->conn->kind;
	pthread_mutex_lock(&tw->lock);
	for (;;) {
		while (!tw->calls && !tw->head && !tw->end) pthread_cond_wait(&tw->cond, &tw->lock);
		if (tw->calls & THREAD_CLOSE) {
			struct pipeline_batch *left = tw->head;
			tw->head = NULL;
			tw->tail = &tw->head;
			tw->calls = 0;
			pthread_mutex_unlock(&tw->lock);
			for (struct pipeline_batch *bt = left, *next; bt; bt = next) {
				next = bt->next;
				batch_fill_lost(bt);
			}
			kind->close(tw->conn);
		} else if (tw->calls) {
			unsigned call = tw->calls & THREAD_CONNECT ? THREAD_CONNECT : THREAD_PROBE;
			tw->calls &= ~call;
			pthread_mutex_unlock(&tw->lock);
			if (call == THREAD_CONNECT)
				kind->connect(tw->conn);
			else
				kind->probe(tw->conn);
		} else if (tw->head) {
			struct pipeline_batch *bt = tw->head;
			tw->head = bt->next;
			if (!tw->head) tw->tail = &tw->head;
			pthread_mutex_unlock(&tw->lock);
			batch_work(tw, bt);
		} else
			break;
		pthread_mutex_lock(&tw->lock);
	}
	pthread_mutex_unlock(&tw->lock);
	return NULL;
}

struct thread_worker *thread_worker_new(struct sl_conn *c) {
	struct thread_worker *tw = SL_NEW(struct thread_worker);
	tw->conn = c;
	tw->tail = &tw->head;
	pthread_mutex_init(&tw->lock, NULL);
	pthread_cond_init(&tw->cond, NULL);
	if (pthread_create(&tw->thread, NULL, thread_main, tw) != 0) {
		pthread_mutex_destroy(&tw->lock);
		pthread_cond_destroy(&tw->cond);
		sl_free(tw);
		return NULL;
	}
	char name[16] = {0};
	memcpy(name, c->name, sl_min_size(strlen(c->name), sizeof name - 1));
	pthread_setname_np(tw->thread, name);
	return tw;
}

void thread_worker_call(struct thread_worker *tw, enum thread_call call) {
	pthread_mutex_lock(&tw->lock);
	tw->calls |= call;
	pthread_cond_signal(&tw->cond);
	pthread_mutex_unlock(&tw->lock);
}

void thread_worker_submit(struct thread_worker *tw, struct pipeline_batch *bt) {
	bt->next = NULL;
	pthread_mutex_lock(&tw->lock);
	*tw->tail = bt;
	tw->tail = &bt->next;
	pthread_cond_signal(&tw->cond);
	pthread_mutex_unlock(&tw->lock);
}

void thread_worker_free(struct thread_worker *tw) {
	if (!tw) return;
	pthread_mutex_lock(&tw->lock);
	tw->end = true;
	pthread_cond_signal(&tw->cond);
	pthread_mutex_unlock(&tw->lock);
	pthread_join(tw->thread, NULL);
	pthread_mutex_destroy(&tw->lock);
	pthread_cond_destroy(&tw->cond);
	sl_free(tw);
}
