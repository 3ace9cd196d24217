/* dead_letter.c: see dead_letter.h. */
#include "dead_letter.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dead_row.h"
#include "disk.h"
#include "log.h"
#include "mem.h"
#include "spill.h"

struct dead_letter {
	char *dir, *path;
	int fd; /* -1 until the first row */
	uint64_t size;
	struct sl_buf line;
};

struct dead_letter *dead_letter_new(const char *data_dir, const char *action_name) {
	struct dead_letter *d = SL_NEW(struct dead_letter);
	d->dir = sl_asprintf("%s/dead", data_dir);
	d->path = sl_asprintf("%s/%s.jsonl", d->dir, action_name);
	d->fd = -1;
	return d;
}

void dead_letter_free(struct dead_letter *d) {
	if (!d) return;
	if (d->fd >= 0) close(d->fd);
	sl_buf_fini(&d->line);
	sl_free(d->path);
	sl_free(d->dir);
	sl_free(d);
}

const char *dead_letter_path(const struct dead_letter *d) { return d->path; }

static int file_open(struct dead_letter *d) {
	int r = sl_disk_mkdirs(d->dir);
	if (r != SL_OK) return r;
	d->fd = open(d->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	struct stat st;
	if (d->fd < 0 || fstat(d->fd, &st) != 0) return sl_status_from_errno(errno);
	d->size = (uint64_t)st.st_size;
	/* Half a line that a crash left stays readable as such, and does not spoil the next one. */
	char last = '\n';
	if (d->size > 0 && pread(d->fd, &last, 1, (off_t)d->size - 1) == 1 && last != '\n' &&
	    pwrite(d->fd, "\n", 1, (off_t)d->size) == 1)
		d->size++;
	return SL_OK;
}

static void file_rotate(struct dead_letter *d) {
	char *old = sl_asprintf("%s.1", d->path);
	close(d->fd);
	d->fd = -1;
	if (rename(d->path, old) != 0)
		log_warn(LOG_ACTION, "dead-letter file cannot be renamed", "path=%s err=%s", d->path, strerror(errno));
	sl_free(old);
}

/* `sluice replay` moves the file away while we hold it open: what is written from then on goes into a new one. */
static void file_look(struct dead_letter *d) {
	struct stat named, held;
	if (d->fd < 0) return;
	if (stat(d->path, &named) == 0 && fstat(d->fd, &held) == 0 && named.st_ino == held.st_ino &&
	    named.st_dev == held.st_dev) {
		d->size = (uint64_t)held.st_size; /* an action that this one replaces may still write to it */
		return;
	}
	close(d->fd);
	d->fd = -1;
}

static int file_append(struct dead_letter *d) {
	file_look(d);
	int status = d->fd >= 0 ? SL_OK : file_open(d);
	if (status == SL_OK && d->size >= DEAD_LETTER_MAX) {
		file_rotate(d);
		status = file_open(d);
	}
	size_t done = 0;
	while (status == SL_OK && done < d->line.n) {
		ssize_t n = pwrite(d->fd, d->line.p + done, d->line.n - done, (off_t)(d->size + done));
		if (n < 0 && errno == EINTR) continue;
		if (n <= 0)
			status = n < 0 ? sl_status_from_errno(errno) : SL_EIO;
		else
			done += (size_t)n;
	}
	if (status == SL_OK)
		d->size += d->line.n;
	else if (d->fd >= 0) {
		/* Half a line would spoil the next one. */
		if (ftruncate(d->fd, (off_t)d->size) != 0)
			log_warn(LOG_ACTION, "dead-letter file cannot be cut", "path=%s err=%s", d->path,
				 strerror(errno));
	}
	return status;
}

int dead_letter_write(struct dead_letter *d, const struct sl_reject *r, bool keyed) {
	sl_buf_clear(&d->line);
	dead_line_write(r, keyed, &d->line);
	return file_append(d);
}

int dead_letter_put(struct dead_letter *d, struct sl_slice line) {
	sl_buf_clear(&d->line);
	sl_buf_append_slice(&d->line, line);
	sl_buf_put(&d->line, '\n');
	return file_append(d);
}
