/* passwd_file.c: the file in memory, and its replacement on disk. */
#include "passwd_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem.h"
#include "passwd_int.h"

struct user_slot {
	uint64_t hash;
	bool used;
	struct passwd_entry *entry;
};
#define HMAP_NAME user_map
#define HMAP_SLOT struct user_slot
#define HMAP_KEY struct sl_slice
#define HMAP_EQUAL(slot, key) slice_equal((slot)->entry->user, key)
#include "hmap.h"

struct passwd_file {
	struct sl_buf text; /* entries' names point into it */
	struct passwd_entry *entries;
	size_t len, cap;
	struct user_map by_user;
	int iterations;
};

/* ---- reading --------------------------------------------------------------------------------------------- */

static int fail_errno(const char *path, const char *what, struct sl_err *err) {
	int failed = errno;
	sl_err_at(err, path, 0, 0);
	return sl_err_set(err, sl_status_from_errno(failed), "%s: %s", what, strerror(failed));
}

static int read_fd(int fd, const char *path, struct sl_buf *out, struct sl_err *err) {
	enum { PIECE = 64 * 1024 };
	while (out->n <= PASSWD_FILE_SIZE_MAX) {
		sl_buf_grow(out, PIECE);
		ssize_t n = read(fd, out->p + out->n, PIECE);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) return fail_errno(path, "the password file cannot be read", err);
		if (n == 0) return SL_OK;
		out->n += (size_t)n;
	}
	sl_err_at(err, path, 0, 0);
	return sl_err_set(err, SL_ELIMIT, "the password file is larger than %d MB",
			  (int)(PASSWD_FILE_SIZE_MAX / SL_MB));
}

int passwd_read_all(const char *path, struct sl_buf *out, struct sl_err *err) {
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) return fail_errno(path, "the password file cannot be read", err);
	int rc = read_fd(fd, path, out, err);
	close(fd);
	return rc;
}

static int add_line(struct passwd_file *f, struct sl_slice line, const char *path, uint32_t number,
		    struct sl_err *err) {
	if (!passwd_line_is_user(line)) return SL_OK;
	if (f->len == f->cap) {
		f->cap = f->cap ? f->cap * 2 : 16;
		f->entries = sl_realloc_array(f->entries, f->cap, sizeof *f->entries);
	}
	int rc = passwd_line_parse(line, &f->entries[f->len], err);
	if (rc != SL_OK) {
		sl_err_at(err, path, number, 0);
		return rc;
	}
	if (f->entries[f->len].iterations > f->iterations) f->iterations = f->entries[f->len].iterations;
	f->len++;
	return SL_OK;
}

/* Once no entry moves any more. */
static int index_users(struct passwd_file *f, const char *path, struct sl_err *err) {
	for (size_t i = 0; i < f->len; i++) {
		struct passwd_entry *e = &f->entries[i];
		bool was_there;
		user_map_put(&f->by_user, sl_hash(e->user), e->user, &was_there)->entry = e;
		if (!was_there) continue;
		sl_err_at(err, path, 0, 0);
		return sl_err_set(err, SL_EEXISTS, "the user %.*s stands twice; remove one line",
				  SL_SLICE_ARG(e->user));
	}
	return SL_OK;
}

static struct sl_slice without_cr(struct sl_slice line) {
	return line.n && line.p[line.n - 1] == '\r' ? slice_sub(line, 0, line.n - 1) : line;
}

int passwd_file_load(const char *path, struct passwd_file **out, struct sl_err *err) {
	struct passwd_file *f = SL_NEW(struct passwd_file);
	*out = NULL;
	int rc = passwd_read_all(path, &f->text, err);
	struct sl_slice rest = sl_buf_slice(&f->text);
	for (uint32_t number = 1; rc == SL_OK && rest.p; number++)
		rc = add_line(f, without_cr(slice_next_part(&rest, '\n')), path, number, err);
	if (rc == SL_OK) rc = index_users(f, path, err);
	if (rc == SL_OK)
		*out = f;
	else
		passwd_file_free(f);
	return rc;
}

void passwd_file_free(struct passwd_file *f) {
	if (!f) return;
	user_map_fini(&f->by_user);
	sl_free(f->entries);
	sl_buf_fini(&f->text);
	sl_free(f);
}

size_t passwd_file_count(const struct passwd_file *f) { return f->len; }
int passwd_file_iterations(const struct passwd_file *f) { return f->iterations; }

const struct passwd_entry *passwd_file_find(const struct passwd_file *f, struct sl_slice user) {
	struct user_slot *slot = user_map_find(&f->by_user, sl_hash(user), user);
	return slot ? slot->entry : NULL;
}

const struct passwd_entry *passwd_file_any(const struct passwd_file *f, uint64_t at) {
	return f->len ? &f->entries[at % f->len] : NULL;
}

/* ---- updating -------------------------------------------------------------------------------------------- */

static int check_changes(const struct passwd_change *changes, size_t count, struct sl_err *err) {
	for (size_t i = 0; i < count; i++) {
		int rc = passwd_check_user(slice_from_str(changes[i].user), err);
		if (rc != SL_OK) return rc;
		if (changes[i].password && (!changes[i].password[0] || strlen(changes[i].password) > UINT16_MAX))
			return sl_err_set(err, SL_EINVAL, "the password of %s is empty or longer than 65535 bytes",
					  changes[i].user);
	}
	return SL_OK;
}

/* The last change for the user of a line, or `count`. */
static size_t change_for(struct sl_slice user, const struct passwd_change *changes, size_t count) {
	for (size_t i = count; i-- > 0;)
		if (slice_equal_str(user, changes[i].user)) return i;
	return count;
}

/* The new text: changed lines in their old place, new users at the end, all else as it was. */
static int rewrite(struct sl_slice old, const struct passwd_change *changes, size_t count, int iterations,
		   struct sl_buf *out, struct sl_err *err) {
	bool *done = SL_NEW_ARRAY(bool, count);
	int rc = SL_OK;
	if (old.n && old.p[old.n - 1] == '\n') old.n--;
	for (struct sl_slice rest = old; old.n && rest.p;) {
		struct sl_slice line = slice_next_part(&rest, '\n'), after = line;
		struct sl_slice user = slice_next_part(&after, ':');
		size_t i = passwd_line_is_user(line) && after.p ? change_for(user, changes, count) : count;
		if (i == count) {
			sl_buf_append_slice(out, line);
			sl_buf_put(out, '\n');
			continue;
		}
		if (!done[i] && changes[i].password)
			passwd_line_make(user, slice_from_str(changes[i].password), iterations, out);
		done[i] = true;
	}
	for (size_t i = 0; i < count && rc == SL_OK; i++) {
		struct sl_slice user = slice_from_str(changes[i].user);
		if (done[i] || change_for(user, changes, count) != i) continue;
		if (changes[i].password)
			passwd_line_make(user, slice_from_str(changes[i].password), iterations, out);
		else
			rc = sl_err_set(err, SL_ENOTFOUND, "there is no user %s", changes[i].user);
	}
	sl_free(done);
	return rc;
}

static int write_all(int fd, struct sl_slice s) {
	while (s.n > 0) {
		ssize_t n = write(fd, s.p, s.n);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) return -1;
		s = slice_from(s, (size_t)n);
	}
	return 0;
}

static void sync_folder(const char *path) {
	char *copy = sl_strdup(path);
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		(void)!fsync(fd); /* the rename is done either way; this only makes it last through a power cut */
		close(fd);
	}
	sl_free(copy);
}

/* Writes beside the file, then renames over it: a reader sees the old file or the new one, never a part. */
static int replace_file(const char *path, struct sl_slice text, const struct stat *old, struct sl_err *err) {
	char *tmp = sl_asprintf("%s.XXXXXX", path);
	int fd = mkostemp(tmp, O_CLOEXEC); /* mode 0600 */
	int rc = SL_OK;
	if (fd < 0) {
		rc = fail_errno(path, "no new file can be made beside it", err);
		sl_free(tmp);
		return rc;
	}
	/* The broker may run as another user than the one who sets passwords: keep its right to read. */
	bool kept = old->st_uid == geteuid() && old->st_gid == getegid();
	if (!kept) kept = fchown(fd, old->st_uid, old->st_gid) == 0;
	if (!kept || fchmod(fd, old->st_mode & 0660) != 0)
		rc = fail_errno(path, "the new file cannot get the old one's owner; run this as its owner", err);
	if (rc == SL_OK && (write_all(fd, text) != 0 || fsync(fd) != 0))
		rc = fail_errno(path, "the new file cannot be written", err);
	close(fd);
	if (rc == SL_OK && rename(tmp, path) != 0) rc = fail_errno(path, "the file cannot be replaced", err);
	if (rc != SL_OK) unlink(tmp);
	if (rc == SL_OK) sync_folder(path);
	sl_free(tmp);
	return rc;
}

/* Opens (or, if asked, creates) and locks the file that the path means now: while we waited for the lock, another updater may
 * have put a new file in its place, and the lock on the old one is then worth nothing. */
static int open_locked(const char *path, bool create, struct stat *st) {
	for (;;) {
		struct stat now;
		int fd = open(path, O_RDONLY | O_CLOEXEC | (create ? O_CREAT : 0), 0600);
		if (fd < 0) return -1;
		while (flock(fd, LOCK_EX) != 0 && errno == EINTR) continue;
		if (fstat(fd, st) == 0 && stat(path, &now) == 0 && st->st_ino == now.st_ino && st->st_dev == now.st_dev)
			return fd;
		close(fd);
	}
}

int passwd_file_update(const char *path, const struct passwd_change *changes, size_t count, int iterations,
		       struct sl_err *err) {
	int rc = check_changes(changes, count, err);
	if (rc != SL_OK) return rc;
	struct sl_buf old = SL_BUF_INIT, new = SL_BUF_INIT;
	struct stat st;
	char *real = realpath(path, NULL); /* rename must hit what a symbolic link points to, not the link */
	const char *target = real ? real : path;
	bool create = false;
	for (size_t i = 0; i < count; i++) create = create || changes[i].password;
	int fd = open_locked(target, create, &st);
	if (fd < 0) {
		rc = fail_errno(path, "the password file cannot be opened", err);
	} else {
		rc = read_fd(fd, path, &old, err);
		if (rc == SL_OK) rc = rewrite(sl_buf_slice(&old), changes, count, iterations, &new, err);
		if (rc == SL_OK) rc = replace_file(target, sl_buf_slice(&new), &st, err);
		close(fd);
	}
	sl_buf_fini(&old);
	sl_buf_fini(&new);
	free(real);
	return rc;
}
