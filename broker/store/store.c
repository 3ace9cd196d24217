#include "store.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <openssl/evp.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "store_int.h"

enum {
	CHECKPOINT_MS = 1000,
	CHECKPOINT_BYTES = 8 << 20,
	PENDING_BYTES = 48 << 20,
	AGAIN_MS = 50,
	RETRY_MS = 200,
	BUSY_BYTES = 32 << 20,
	SHA256_BYTES = 32,
	KEY_WHOLE_MAX = 480
};

/* ---- keys ---- */

static void sha256(struct sl_slice bytes, unsigned char out[SHA256_BYTES]) {
	unsigned n = SHA256_BYTES;
	sl_assert(EVP_Digest(bytes.p, bytes.n, out, &n, EVP_sha256(), NULL) == 1);
}

void store_key_of(struct store_key *key, struct sl_slice prefix, struct sl_slice text) {
	sl_assert(prefix.n <= 16);
	if (prefix.n) memcpy(key->bytes, prefix.p, prefix.n);
	key->n = prefix.n;
	if (prefix.n + text.n <= KEY_WHOLE_MAX) {
		if (text.n) memcpy(key->bytes + key->n, text.p, text.n);
		key->n += text.n;
		return;
	}
	enum { BEGINNING = 440 };
	memcpy(key->bytes + key->n, text.p, BEGINNING);
	key->bytes[key->n + BEGINNING] = '\0';
	sha256(text, (unsigned char *)key->bytes + key->n + BEGINNING + 1);
	key->n += BEGINNING + 1 + SHA256_BYTES;
}

/* ---- changes ---- */

static uint64_t append(struct store *st, enum store_op_kind kind, enum store_space space, struct sl_slice key,
		       const struct sl_slice *parts, size_t n) {
	pthread_mutex_lock(&st->shared.lock);
	struct sl_buf *open = &st->shared.open;
	size_t before = open->n;
	if (before == 0) memset(sl_buf_add(open, sizeof(struct store_frame)), 0, sizeof(struct store_frame));
	store_op_put(open, kind, space, key, parts, n);
	uint64_t seq = st->shared.seq;
	size_t added = open->n - before;
	pthread_mutex_unlock(&st->shared.lock);
	atomic_fetch_add_explicit(&st->backlog, added, memory_order_relaxed);
	return seq;
}

uint64_t store_put(struct store *st, enum store_space space, struct sl_slice key, const struct sl_slice *parts,
		   size_t n) {
	return append(st, STORE_OP_PUT, space, key, parts, n);
}

uint64_t store_delete(struct store *st, enum store_space space, struct sl_slice key) {
	return append(st, STORE_OP_DELETE, space, key, NULL, 0);
}

uint64_t store_delete_all(struct store *st, enum store_space space, struct sl_slice prefix) {
	return append(st, STORE_OP_DELETE_ALL, space, prefix, NULL, 0);
}

void store_push(struct store *st, uint32_t waiter, uint64_t seq) {
	pthread_mutex_lock(&st->shared.lock);
	if (seq > st->shared.wants[waiter]) st->shared.wants[waiter] = seq;
	bool wake = !st->shared.pushed;
	st->shared.pushed = true;
	pthread_mutex_unlock(&st->shared.lock);
	if (wake) pthread_cond_signal(&st->shared.wake);
}

uint64_t store_durable(const struct store *st) { return atomic_load_explicit(&st->durable, memory_order_acquire); }
bool store_full(const struct store *st) { return atomic_load_explicit(&st->full, memory_order_relaxed); }
bool store_busy(const struct store *st) {
	return atomic_load_explicit(&st->backlog, memory_order_relaxed) > BUSY_BYTES;
}

void store_stat(const struct store *st, struct store_stat *out) {
	*out = (struct store_stat){
	    .commits = atomic_load(&st->commits),
	    .checkpoints = atomic_load(&st->checkpoints),
	    .errors = atomic_load(&st->errors),
	    .bytes = atomic_load(&st->used),
	    .last_us = atomic_load(&st->last_us),
	    .damaged = atomic_load(&st->damaged),
	    .full = store_full(st),
	};
}

/* ---- the thread ---- */

/* Who waits for this batch or an earlier one. */
static void tell_durable(struct store *st, uint64_t seq) {
	atomic_store_explicit(&st->durable, seq, memory_order_release);
	for (uint32_t i = 0; i < st->opts.waiters; i++) {
		pthread_mutex_lock(&st->shared.lock);
		bool tell = st->shared.wants[i] != 0 && st->shared.wants[i] <= seq;
		if (tell) st->shared.wants[i] = 0;
		pthread_mutex_unlock(&st->shared.lock);
		if (tell) st->opts.durable(st->opts.arg, i);
	}
}

static void pause_ms(struct store *st, uint64_t ms) {
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(ms / 1000);
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_cond_timedwait(&st->shared.wake, &st->shared.lock, &until);
}

static bool stops(struct store *st) {
	pthread_mutex_lock(&st->shared.lock);
	bool stop = st->shared.stop;
	pthread_mutex_unlock(&st->shared.lock);
	return stop;
}

/* Until it works, or the broker stops: then what waits was acknowledged to nobody. */
static int write_batch(struct store *st, struct sl_buf *batch, uint64_t seq) {
	uint64_t begun = sl_clock_mono_us();
	int rc;
	while ((rc = store_journal_write(&st->journals[st->current], batch, seq)) != SL_OK) {
		store_failed(st, &st->journal_failed, "journal", rc);
		if (stops(st)) return rc;
		pthread_mutex_lock(&st->shared.lock);
		pause_ms(st, RETRY_MS);
		pthread_mutex_unlock(&st->shared.lock);
	}
	atomic_store(&st->journal_failed, false);
	atomic_fetch_add(&st->commits, 1);
	atomic_store(&st->last_us, sl_clock_mono_us() - begun);
	return SL_OK;
}

/* Takes what was pushed. False: there was nothing, and the next checkpoint is due, or the end has come. */
static bool take(struct store *st, struct sl_buf *batch, uint64_t *seq, bool *stop) {
	pthread_mutex_lock(&st->shared.lock);
	for (;;) {
		*stop = st->shared.stop;
		if (st->shared.pushed || *stop) break;
		if (st->written.len == 0) {
			pthread_cond_wait(&st->shared.wake, &st->shared.lock);
			continue;
		}
		uint64_t now = sl_clock_mono_ms(), due = st->written.since_ms + CHECKPOINT_MS;
		if (now >= due) break;
		pause_ms(st, due - now);
	}
	st->shared.pushed = false;
	bool any = st->shared.open.n > 0;
	if (any) {
		*batch = st->shared.open;
		st->shared.open = (struct sl_buf)SL_BUF_INIT;
		*seq = st->shared.seq++;
	} else {
		*seq = st->shared.seq - 1; /* it was in the batch before */
	}
	pthread_mutex_unlock(&st->shared.lock);
	return any;
}

/* What is written goes on to the table, when it has waited for long enough or is much, and the journal changes. While the table is
 * slower than the journal, so that too much would lie in between, who writes waits for it, and with it all who wait for a batch. */
static void hand_over(struct store *st) {
	struct store_batches *b = &st->written;
	uint64_t few = CHECKPOINT_BYTES < st->opts.bytes_max / 8 ? CHECKPOINT_BYTES : st->opts.bytes_max / 8;
	uint64_t now = sl_clock_mono_ms();
	if (b->len == 0 || (b->bytes < few && now - b->since_ms < CHECKPOINT_MS)) return;
	while (b->bytes > PENDING_BYTES && store_checkpoint_busy(st) && !stops(st)) store_checkpoint_wait_idle(st);
	if (!store_checkpoint_hand_over(st, b)) {
		b->since_ms = now - CHECKPOINT_MS + AGAIN_MS;
		return;
	}
	/* What stands in the other one is in the table. */
	st->current ^= 1;
	store_journal_restart(&st->journals[st->current]);
}

static void *thread_run(void *arg) {
	struct store *st = arg;
	pthread_setname_np(pthread_self(), "store");
	for (bool stop = false; !stop;) {
		struct sl_buf batch = SL_BUF_INIT;
		uint64_t seq;
		bool any = take(st, &batch, &seq, &stop);
		if (any && write_batch(st, &batch, seq) != SL_OK) {
			sl_buf_fini(&batch);
			continue; /* the broker stops */
		}
		if (any) {
			atomic_fetch_sub_explicit(&st->backlog, batch.n, memory_order_relaxed);
			atomic_fetch_add(&st->pending, batch.n);
			store_batches_add(&st->written, &batch, seq);
			store_judge_full(st);
		}
		tell_durable(st, seq);
		if (!stop) hand_over(st);
	}
	return NULL;
}

/* ---- open and close ---- */

static int found_batch(void *arg, uint64_t seq, struct sl_slice ops) {
	struct store *st = arg;
	struct sl_buf batch = SL_BUF_INIT;
	memset(sl_buf_add(&batch, sizeof(struct store_frame)), 0, sizeof(struct store_frame));
	sl_buf_append_slice(&batch, ops);
	atomic_fetch_add(&st->pending, batch.n);
	store_batches_add(&st->written, &batch, seq);
	return SL_OK;
}

/* The two journals take turns: the one with the earlier batches first. */
static void read_journals(struct store *st, uint64_t applied, uint64_t *last) {
	uint64_t a = store_journal_first(&st->journals[0], applied), b = store_journal_first(&st->journals[1], applied);
	unsigned first = a == 0 || (b != 0 && b < a) ? 1 : 0;
	store_journal_read(&st->journals[first], applied, found_batch, st, last);
	store_journal_read(&st->journals[first ^ 1], *last, found_batch, st, last);
}

static int make_dirs(const char *dir, struct sl_err *err) {
	char *path = sl_strdup(dir);
	int rc = SL_OK;
	for (char *p = path + 1; rc == SL_OK; p++) {
		char c = *p;
		if (c != '/' && c != '\0') continue;
		*p = '\0';
		if (mkdir(path, 0750) != 0 && errno != EEXIST)
			rc = sl_err_set(
			    err, SL_ESYSTEM,
			    "persistence: cannot make %s: %s; make it yourself, or name another node.data_dir", path,
			    strerror(errno));
		*p = c;
		if (c == '\0') break;
	}
	sl_free(path);
	return rc;
}

static int open_files(struct store *st, struct sl_err *err) {
	uint64_t applied = 0, last = 0, damaged = 0;
	int rc = make_dirs(st->opts.dir, err);
	if (rc == SL_OK) rc = store_table_open(st->opts.dir, &st->table, &applied, &damaged, err);
	for (unsigned i = 0; rc == SL_OK && i < SL_ARRAY_LEN(st->journals); i++)
		rc = store_journal_open(&st->journals[i], st->opts.dir, i, st->opts.sync, err);
	if (rc != SL_OK) return rc;
	read_journals(st, applied, &last);
	atomic_store(&st->damaged, damaged);
	st->shared.seq = last + 1;
	atomic_store(&st->durable, last);
	if (st->written.len > 0 && store_checkpoint_apply(st, &st->written) != SL_OK)
		return sl_err_set(err, SL_EIO, "persistence: cannot write %s/state.mdb; make room on the disk",
				  st->opts.dir);
	atomic_store(&st->used, store_table_bytes(st->table));
	store_judge_full(st);
	return SL_OK;
}

int store_open(const struct store_opts *opts, struct store **out, struct sl_err *err) {
	struct store *st = SL_NEW(struct store);
	st->opts = *opts;
	st->opts.dir = sl_strdup(opts->dir);
	for (size_t i = 0; i < SL_ARRAY_LEN(st->journals); i++) st->journals[i].fd = -1;
	st->shared.wants = SL_NEW_ARRAY(uint64_t, opts->waiters);
	pthread_mutex_init(&st->shared.lock, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&st->shared.wake, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&st->checkpoint.lock, NULL);
	pthread_cond_init(&st->checkpoint.wake, NULL);
	pthread_cond_init(&st->checkpoint.idle, NULL);
	int rc = open_files(st, err);
	if (rc != SL_OK) {
		store_close(st);
		return rc;
	}
	*out = st;
	return SL_OK;
}

int store_scan(struct store *st, enum store_space space, store_scan_cb each, void *arg) {
	uint64_t damaged = 0;
	int rc = store_table_scan(st->table, space, each, arg, &damaged);
	atomic_fetch_add(&st->damaged, damaged);
	return rc;
}

int store_start(struct store *st, struct sl_err *err) {
	bool table = store_checkpoint_start(st) == SL_OK;
	if (!table || pthread_create(&st->thread, NULL, thread_run, st) != 0) {
		if (table) store_checkpoint_stop(st);
		return sl_err_set(err, SL_ESYSTEM, "persistence: no thread can be started");
	}
	st->started = true;
	return SL_OK;
}

void store_stop(struct store *st) {
	if (!st->started) return;
	pthread_mutex_lock(&st->shared.lock);
	st->shared.stop = true;
	pthread_mutex_unlock(&st->shared.lock);
	pthread_cond_signal(&st->shared.wake);
	pthread_join(st->thread, NULL);
	store_checkpoint_stop(st);
	st->started = false;
	/* Where the table could not be written the journals have it all, for the next start. */
	if (st->written.len > 0 && st->checkpoint.work.len == 0) (void)store_checkpoint_apply(st, &st->written);
}

void store_close(struct store *st) {
	if (!st) return;
	store_stop(st);
	store_batches_free(&st->written);
	store_batches_free(&st->checkpoint.work);
	for (size_t i = 0; i < SL_ARRAY_LEN(st->journals); i++) store_journal_close(&st->journals[i]);
	store_table_close(st->table);
	sl_buf_fini(&st->shared.open);
	sl_free(st->shared.wants);
	pthread_cond_destroy(&st->checkpoint.idle);
	pthread_cond_destroy(&st->checkpoint.wake);
	pthread_mutex_destroy(&st->checkpoint.lock);
	pthread_cond_destroy(&st->shared.wake);
	pthread_mutex_destroy(&st->shared.lock);
	sl_free((char *)st->opts.dir);
	sl_free(st);
}
