/* store_lmdb.c: the records, in LMDB: one table a space. Each value has its CRC-32C in front.
 *
 * Without MDB_WRITEMAP (a full disk would be a SIGBUS), and with MDB_NOLOCK: one thread at a time, of the one process that has
 * the folder. Commits are synced, data first: what is there after a power cut is the last commit or the one before. */
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "crc32c.h"
#include "log.h"
#include "mem.h"
#include "store_check.h"
#include "store_int.h"

enum { FORMAT = 1, MAP_FIRST = 64 << 20, FILE_MODE = 0640, RESERVE = 1 << 20 };

struct store_table {
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi[STORE_SPACES];
	size_t map_bytes;
	char *path;
};

static const char *const space_names[STORE_SPACES] = {
    [STORE_META] = "meta", [STORE_SESSION] = "session",   [STORE_SUB] = "sub",
    [STORE_WILL] = "will", [STORE_RETAINED] = "retained", [STORE_DELAYED] = "delayed"};

static int status_of(int rc) {
	if (rc == 0) return SL_OK;
	if (rc == MDB_MAP_FULL) return SL_ELIMIT;
	if (rc == MDB_NOTFOUND) return SL_ENOTFOUND;
	if (rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND || rc == MDB_INVALID || rc == MDB_VERSION_MISMATCH ||
	    rc == MDB_INCOMPATIBLE)
		return SL_ECORRUPT;
	return rc > 0 ? sl_status_from_errno(rc) : SL_EIO;
}

static MDB_val val_of(struct sl_slice s) { return (MDB_val){.mv_size = s.n, .mv_data = (void *)(uintptr_t)s.p}; }
static struct sl_slice slice_of(const MDB_val *v) { return slice_make(v->mv_data, v->mv_size); }

static uint32_t value_crc(struct sl_slice key, struct sl_slice value) {
	return crc32c(crc32c(0, key.p, key.n), value.p, value.n);
}

/* ---- open ---- */

/* The file has blocks beyond its end, so that a start on a full disk can bring what the journals hold into it, where that is not too
 * much. Where none are to be had it goes without. */
static void reserve(struct store_table *t) {
	MDB_envinfo info;
	MDB_stat stat_;
	int fd;
	if (mdb_env_get_fd(t->env, &fd) != 0 || mdb_env_info(t->env, &info) != 0 || mdb_env_stat(t->env, &stat_) != 0)
		return;
	(void)!fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)((info.me_last_pgno + 1) * stat_.ms_psize), RESERVE);
}

static int open_env(struct store_table *t) {
	int rc = mdb_env_create(&t->env);
	if (rc == 0) rc = mdb_env_set_mapsize(t->env, t->map_bytes);
	if (rc == 0) rc = mdb_env_set_maxdbs(t->env, STORE_SPACES);
	if (rc == 0) rc = mdb_env_open(t->env, t->path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NORDAHEAD, FILE_MODE);
	MDB_txn *txn = NULL;
	if (rc == 0) rc = mdb_txn_begin(t->env, NULL, 0, &txn);
	for (int i = 0; rc == 0 && i < STORE_SPACES; i++)
		rc = mdb_dbi_open(txn, space_names[i], MDB_CREATE, &t->dbi[i]);
	if (rc == 0) {
		rc = mdb_txn_commit(txn);
	} else if (txn) {
		mdb_txn_abort(txn);
	}
	if (rc == 0) reserve(t);
	return status_of(rc);
}

static void close_env(struct store_table *t) {
	if (t->env) mdb_env_close(t->env);
	t->env = NULL;
}

static int get_number(struct store_table *t, const char *name, uint64_t *out) {
	MDB_txn *txn;
	int rc = mdb_txn_begin(t->env, NULL, MDB_RDONLY, &txn);
	if (rc != 0) return status_of(rc);
	MDB_val key = val_of(slice_from_str(name)), value;
	rc = mdb_get(txn, t->dbi[STORE_META], &key, &value);
	*out = 0;
	if (rc == 0 && value.mv_size == sizeof(uint32_t) + sizeof *out)
		memcpy(out, (char *)value.mv_data + sizeof(uint32_t), sizeof *out);
	mdb_txn_abort(txn);
	return rc == MDB_NOTFOUND ? SL_OK : status_of(rc);
}

static int put(struct store_table *t, enum store_space space, struct sl_slice key, struct sl_slice value) {
	uint32_t crc = value_crc(key, value);
	MDB_val k = val_of(key), v = {.mv_size = sizeof crc + value.n};
	int rc = mdb_put(t->txn, t->dbi[space], &k, &v, MDB_RESERVE);
	if (rc != 0) return status_of(rc);
	memcpy(v.mv_data, &crc, sizeof crc);
	if (value.n) memcpy((char *)v.mv_data + sizeof crc, value.p, value.n);
	return SL_OK;
}

/* Into the transaction at hand. */
static int put_number(struct store_table *t, const char *name, uint64_t number) {
	return put(t, STORE_META, slice_from_str(name), slice_make(&number, sizeof number));
}

/* ---- what was damaged ---- */

struct salvage {
	struct store_table *t;
	uint64_t kept;
	int rc;
};

static void salvaged(void *arg, const char *space, struct sl_slice key, struct sl_slice stored) {
	struct salvage *s = arg;
	uint32_t crc;
	if (s->rc != SL_OK || stored.n < sizeof crc || key.n == 0 || key.n > STORE_KEY_MAX) return;
	struct sl_slice value = slice_from(stored, sizeof crc);
	memcpy(&crc, stored.p, sizeof crc);
	if (crc != value_crc(key, value)) return;
	for (int i = 0; i < STORE_SPACES; i++) {
		if (strcmp(space, space_names[i]) != 0) continue;
		s->rc = put(s->t, (enum store_space)i, key, value);
		s->kept += s->rc == SL_OK;
	}
}

/* The file is no sound tree: it goes aside, and what can be reached in it goes into a new one. */
static int start_anew(struct store_table *t, const struct store_check *found, uint64_t *damaged) {
	char *aside = sl_asprintf("%s.damaged-%lld", t->path, (long long)time(NULL));
	struct salvage s = {.t = t, .rc = SL_OK};
	int rc = rename(t->path, aside) == 0 ? SL_OK : sl_status_from_errno(errno);
	struct stat info;
	if (stat(aside, &info) == 0 && (size_t)info.st_size > t->map_bytes / 2) t->map_bytes = (size_t)info.st_size * 2;
	if (rc == SL_OK) rc = open_env(t);
	if (rc == SL_OK) rc = store_table_begin(t);
	if (rc == SL_OK) {
		store_check_read(aside, salvaged, &s, NULL);
		rc = s.rc;
	}
	if (rc == SL_OK) rc = status_of(mdb_txn_commit(t->txn));
	t->txn = NULL;
	*damaged += found->lost ? found->lost : 1;
	log_always(LOG_ERROR, LOG_STORE, "the store is damaged: it was moved aside, and what can be read of it is kept",
		   "file=%s what=\"%s\" records_kept=%llu pages_lost=%llu; sessions, subscriptions and retained "
		   "messages of the lost pages are "
		   "gone: clients subscribe anew, publishers set retained messages again. The file may be deleted; "
		   "look at the disk",
		   aside, found->what, (unsigned long long)s.kept, (unsigned long long)found->lost);
	sl_free(aside);
	return rc;
}

/* ---- the table ---- */

static int check_format(struct store_table *t, struct sl_err *err) {
	uint64_t format;
	int rc = get_number(t, "format", &format);
	if (rc == SL_OK && format > FORMAT)
		return sl_err_set(err, SL_EUNSUPPORTED,
				  "%s was written by a newer version of sluice (format %llu, this one knows %d); start "
				  "that version, or move "
				  "the folder away to begin without sessions and retained messages",
				  t->path, (unsigned long long)format, FORMAT);
	if (rc != SL_OK || format == FORMAT) return rc;
	rc = store_table_begin(t);
	if (rc == SL_OK) rc = put_number(t, "format", FORMAT);
	if (rc != SL_OK) return rc;
	rc = status_of(mdb_txn_commit(t->txn));
	t->txn = NULL;
	return rc;
}

int store_table_open(const char *dir, struct store_table **out, uint64_t *applied, uint64_t *damaged,
		     struct sl_err *err) {
	struct store_table *t = SL_NEW(struct store_table);
	*out = t;
	t->path = sl_asprintf("%s/state.mdb", dir);
	t->map_bytes = MAP_FIRST;
	struct stat info;
	bool there = stat(t->path, &info) == 0 && info.st_size > 0;
	if (there && (size_t)info.st_size > t->map_bytes / 2) t->map_bytes = (size_t)info.st_size * 2;
	struct store_check found = {.what = ""};
	int rc = there ? store_check_read(t->path, NULL, NULL, &found) : SL_OK;
	if (rc == SL_ECORRUPT)
		rc = start_anew(t, &found, damaged);
	else if (rc == SL_OK)
		rc = open_env(t);
	if (rc == SL_OK) rc = check_format(t, err);
	if (rc == SL_OK) rc = get_number(t, "applied", applied);
	if (rc != SL_OK && !(err && err->status != SL_OK))
		sl_err_set(err, rc, "cannot open %s: %s; see that this user may write there and that the disk has room",
			   t->path, sl_status_text(rc));
	return rc;
}

void store_table_close(struct store_table *t) {
	if (!t) return;
	close_env(t);
	sl_free(t->path);
	sl_free(t);
}

int store_table_begin(struct store_table *t) {
	int rc = mdb_txn_begin(t->env, NULL, 0, &t->txn);
	if (rc == MDB_PANIC) { /* a write of its first pages had failed: only a new environment goes on */
		close_env(t);
		rc = open_env(t) == SL_OK ? mdb_txn_begin(t->env, NULL, 0, &t->txn) : EIO;
	}
	return status_of(rc);
}

void store_table_abort(struct store_table *t) {
	if (t->txn) mdb_txn_abort(t->txn);
	t->txn = NULL;
}

int store_table_commit(struct store_table *t, uint64_t applied) {
	int rc = put_number(t, "applied", applied);
	if (rc != SL_OK) return rc;
	rc = status_of(mdb_txn_commit(t->txn));
	t->txn = NULL;
	if (rc == SL_OK) reserve(t);
	return rc;
}

int store_table_grow(struct store_table *t) {
	store_table_abort(t);
	t->map_bytes *= 2;
	return status_of(mdb_env_set_mapsize(t->env, t->map_bytes));
}

static int delete_all(struct store_table *t, enum store_space space, struct sl_slice prefix) {
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(t->txn, t->dbi[space], &cursor);
	if (rc != 0) return status_of(rc);
	MDB_val key = val_of(prefix), value;
	rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	while (rc == 0 && slice_starts_with(slice_of(&key), prefix)) {
		rc = mdb_cursor_del(cursor, 0);
		if (rc == 0) rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT); /* the one that took its place */
	}
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? SL_OK : status_of(rc);
}

static int apply_one(struct store_table *t, const struct store_op *op) {
	MDB_val key = val_of(op->key);
	int rc = SL_OK;
	switch (op->kind) {
	case STORE_OP_PUT: return put(t, op->space, op->key, op->value);
	case STORE_OP_DELETE:
		rc = status_of(mdb_del(t->txn, t->dbi[op->space], &key, NULL));
		return rc == SL_ENOTFOUND ? SL_OK : rc;
	case STORE_OP_DELETE_ALL: return delete_all(t, op->space, op->key);
	}
	return SL_ECORRUPT;
}

int store_table_apply(struct store_table *t, struct sl_slice ops) {
	struct store_op op;
	int rc;
	while ((rc = store_op_next(&ops, &op)) == SL_OK) {
		rc = apply_one(t, &op);
		if (rc != SL_OK) return rc;
	}
	return rc == SL_ENOTFOUND ? SL_OK : rc;
}

int store_table_scan(struct store_table *t, enum store_space space, store_scan_cb each, void *arg, uint64_t *damaged) {
	MDB_txn *txn;
	MDB_cursor *cursor = NULL;
	int rc = mdb_txn_begin(t->env, NULL, MDB_RDONLY, &txn);
	if (rc != 0) return status_of(rc);
	rc = mdb_cursor_open(txn, t->dbi[space], &cursor);
	MDB_val key, stored;
	int told = SL_OK;
	for (bool first = true; rc == 0 && told == SL_OK; first = false) {
		rc = mdb_cursor_get(cursor, &key, &stored, first ? MDB_FIRST : MDB_NEXT);
		if (rc != 0) break;
		uint32_t crc = 0;
		struct sl_slice value = slice_from(slice_of(&stored), sizeof crc);
		if (stored.mv_size >= sizeof crc) memcpy(&crc, stored.mv_data, sizeof crc);
		if (stored.mv_size < sizeof crc || crc != value_crc(slice_of(&key), value))
			(*damaged)++;
		else
			told = each(arg, slice_of(&key), value);
	}
	if (cursor) mdb_cursor_close(cursor);
	mdb_txn_abort(txn);
	if (told != SL_OK) return told;
	return rc == MDB_NOTFOUND ? SL_OK : status_of(rc);
}

/* Pages that stand in the list of free ones are not in use. */
static uint64_t free_pages(struct store_table *t) {
	MDB_txn *txn;
	MDB_cursor *cursor;
	uint64_t count = 0;
	if (mdb_txn_begin(t->env, NULL, MDB_RDONLY, &txn) != 0) return 0;
	if (mdb_cursor_open(txn, 0, &cursor) == 0) {
		MDB_val key, list;
		while (mdb_cursor_get(cursor, &key, &list, MDB_NEXT) == 0 && list.mv_size >= sizeof(size_t)) {
			size_t n;
			memcpy(&n, list.mv_data, sizeof n);
			count += n;
		}
		mdb_cursor_close(cursor);
	}
	mdb_txn_abort(txn);
	return count;
}

uint64_t store_table_bytes(struct store_table *t) {
	MDB_envinfo info;
	MDB_stat stat_;
	mdb_env_info(t->env, &info);
	mdb_env_stat(t->env, &stat_);
	uint64_t pages = info.me_last_pgno + 1, free_ = free_pages(t);
	return (pages > free_ ? pages - free_ : 0) * stat_.ms_psize;
}
