#include <time.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "store_int.h"

enum { RETRY_MS = 200 };

void store_batches_add(struct store_batches *b, struct sl_buf *batch, uint64_t seq) {
	if (b->len == 0) b->since_ms = sl_clock_mono_ms();
	SL_GROW(b->v, b->len, b->cap);
	b->v[b->len++] = *batch;
	b->bytes += batch->n;
	b->last = seq;
}

void store_batches_free(struct store_batches *b) {
	for (size_t i = 0; i < b->len; i++) sl_buf_fini(&b->v[i]);
	sl_free(b->v);
	*b = (struct store_batches){.len = 0};
}

/* ---- is there room? ---- */

void store_judge_full(struct store *st) {
	uint64_t used = atomic_load(&st->used) + atomic_load(&st->pending), max = st->opts.bytes_max;
	bool broken = atomic_load(&st->journal_failed) || atomic_load(&st->table_failed), was = store_full(st);
	bool full = broken || used > max / 10 * 9 || (was && used > max / 20 * 17);
	if (atomic_exchange(&st->full, full) == full) return;
	if (full && !broken)
		log_always(LOG_WARN, LOG_STORE,
			   "the store is full: new sessions, subscriptions and retained messages are refused",
			   "bytes=%llu max_store=%llu; raise persistence.max_store and restart, or shorten "
			   "mqtt.session_expiry_max",
			   (unsigned long long)used, (unsigned long long)max);
	else if (!full)
		log_always(LOG_INFO, LOG_STORE, "the store takes changes again", "bytes=%llu",
			   (unsigned long long)used);
}

void store_failed(struct store *st, _Atomic bool *which, const char *what, int rc) {
	atomic_fetch_add(&st->errors, 1);
	log_error(LOG_STORE, "a change cannot be written; what waits for it waits, new things are refused",
		  "what=%s dir=%s err=\"%s\"; make room on the disk, it is tried again by itself", what, st->opts.dir,
		  sl_status_text(rc));
	atomic_store(which, true);
	store_judge_full(st);
}

/* ---- to the table ---- */

static int try_apply(struct store *st, const struct store_batches *b) {
	int rc = store_table_begin(st->table);
	for (size_t i = 0; rc == SL_OK && i < b->len; i++)
		rc = store_table_apply(st->table, slice_from(sl_buf_slice(&b->v[i]), sizeof(struct store_frame)));
	if (rc == SL_OK) rc = store_table_commit(st->table, b->last);
	if (rc != SL_OK) store_table_abort(st->table);
	return rc;
}

int store_checkpoint_apply(struct store *st, struct store_batches *b) {
	int rc = try_apply(st, b);
	while (rc == SL_ELIMIT && (rc = store_table_grow(st->table)) == SL_OK) rc = try_apply(st, b);
	if (rc != SL_OK) {
		store_failed(st, &st->table_failed, "state.mdb", rc);
		return rc;
	}
	atomic_fetch_sub(&st->pending, b->bytes);
	atomic_store(&st->table_failed, false);
	atomic_store(&st->used, store_table_bytes(st->table));
	atomic_fetch_add(&st->checkpoints, 1);
	store_batches_free(b);
	store_judge_full(st);
	return SL_OK;
}

/* Under the lock. */
static void pause_ms(struct store_checkpoint *c, pthread_cond_t *cond, long ms) {
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += ms * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_cond_timedwait(cond, &c->lock, &until);
}

static void *run(void *arg) {
	struct store *st = arg;
	struct store_checkpoint *c = &st->checkpoint;
	pthread_setname_np(pthread_self(), "checkpoint");
	pthread_mutex_lock(&c->lock);
	while (c->busy || !c->stop) {
		if (!c->busy) {
			pthread_cond_wait(&c->wake, &c->lock);
			continue;
		}
		pthread_mutex_unlock(&c->lock);
		int rc = store_checkpoint_apply(st, &c->work); /* nobody else looks at it while busy */
		pthread_mutex_lock(&c->lock);
		if (rc == SL_OK) {
			c->busy = false;
			pthread_cond_signal(&c->idle);
		} else if (c->stop) {
			break; /* the journal has it, for the next start */
		} else {
			pause_ms(c, &c->wake, RETRY_MS);
		}
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

bool store_checkpoint_busy(struct store *st) {
	pthread_mutex_lock(&st->checkpoint.lock);
	bool busy = st->checkpoint.busy;
	pthread_mutex_unlock(&st->checkpoint.lock);
	return busy;
}

bool store_checkpoint_hand_over(struct store *st, struct store_batches *b) {
	struct store_checkpoint *c = &st->checkpoint;
	pthread_mutex_lock(&c->lock);
	bool taken = !c->busy;
	if (taken) {
		c->work = *b;
		*b = (struct store_batches){.len = 0};
		c->busy = true;
		pthread_cond_signal(&c->wake);
	}
	pthread_mutex_unlock(&c->lock);
	return taken;
}

void store_checkpoint_wait_idle(struct store *st) {
	struct store_checkpoint *c = &st->checkpoint;
	pthread_mutex_lock(&c->lock);
	if (c->busy) pause_ms(c, &c->idle, RETRY_MS);
	pthread_mutex_unlock(&c->lock);
}

int store_checkpoint_start(struct store *st) {
	return pthread_create(&st->checkpoint.thread, NULL, run, st) == 0 ? SL_OK : SL_ESYSTEM;
}

void store_checkpoint_stop(struct store *st) {
	struct store_checkpoint *c = &st->checkpoint;
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_cond_signal(&c->wake);
	pthread_mutex_unlock(&c->lock);
	pthread_join(c->thread, NULL);
}
