/* file.c: rows as lines of a file: JSON lines, any text, or CSV.
 *
 * A batch is written with one call at the end of the last whole batch; if that fails, the file is cut back to there, so a
 * file never holds half a batch for long, and the batch goes again. Half a line left by a crash is cut off before anything is
 * written behind it. At `rotate_size` or `rotate_every` the file becomes NAME.1, NAME.1 becomes NAME.2, and so on up to `keep`.
 * Other actions, connections and programs may write to the same file: who writes to it or puts it aside holds its lock (flock).
 * Works on a thread of its own, for a disk may be slow. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "connector.h"
#include "clock.h"
#include "conv.h"
#include "disk.h"
#include "folder.h"
#include "log.h"
#include "mem.h"
#include "schema.h"
#include "spill.h"
#include "yaml.h"

#define TAIL_BYTES (64 * SL_KB)
#define SIZE_UNKNOWN UINT64_MAX
#define TAKES_MAX 100

enum file_format { FORMAT_LINES, FORMAT_CSV };
enum file_sync { SYNC_NONE, SYNC_BATCH };

struct file_conn {
	char *dir;
};
struct file_action {
	char *name, *line;
	struct conf_map columns;
	int format, sync;
	int64_t rotate_size, rotate_ms, keep;
	bool header;

	struct sl_param *params;
	char **paths;
	size_t param_count;

	/* The connection's thread. */
	char *path;
	int fd;
	bool is_open;
	uint64_t size; /* up to the end of the last whole line; SIZE_UNKNOWN: nobody has looked yet */
	uint64_t opened_ms;
	struct sl_buf out;
};

static const char *const format_names[] = {"lines", "csv", NULL};
static const char *const sync_names[] = {"none", "batch", NULL};

static const struct conf_field conn_fields[] = {{.name = "dir",
						 .type = CONF_STRING,
						 .at = offsetof(struct file_conn, dir),
						 .def = "./data",
						 .flags = CONF_NONEMPTY | CONF_EXPAND,
						 .doc = "Folder of the files; made if missing."},
						CONF_END};

static const struct conf_field action_fields[] = {
    {.name = "file",
     .type = CONF_STRING,
     .at = offsetof(struct file_action, name),
     .flags = CONF_REQUIRED | CONF_NONEMPTY,
     .example = "readings.jsonl",
     .doc = "Name of the file inside the connector's folder."},
    {.name = "format",
     .type = CONF_ENUM,
     .at = offsetof(struct file_action, format),
     .def = "lines",
     .names = format_names,
     .doc = "`lines`: one text a row; `csv`: the columns, quoted as in RFC 4180."},
    {.name = "line",
     .type = CONF_TEMPLATE,
     .at = offsetof(struct file_action, line),
     .def = "${.}",
     .doc =
	 "With `lines`: the text; as it stands, the row as a JSON object. Line breaks in values are written as \\n."},
    {.name = "columns",
     .type = CONF_TEMPLATE_MAP,
     .at = offsetof(struct file_action, columns),
     .max = 2000,
     .example = "{device: \"${device}\", t: \"${t}\"}",
     .doc = "With `csv`: the names in the first line and the values."},
    {.name = "header",
     .type = CONF_BOOL,
     .at = offsetof(struct file_action, header),
     .def = "true",
     .doc = "With `csv`: a new file begins with the names."},
    {.name = "rotate_size",
     .type = CONF_SIZE,
     .at = offsetof(struct file_action, rotate_size),
     .def = "unlimited",
     .min = 1,
     .flags = CONF_UNLIMITED_OK,
     .doc = "A file that has grown this large is put aside."},
    {.name = "rotate_every",
     .type = CONF_DURATION,
     .at = offsetof(struct file_action, rotate_ms),
     .def = "unlimited",
     .min = 1000,
     .flags = CONF_UNLIMITED_OK,
     .doc = "A file that has been written to for this long is put aside."},
    {.name = "keep",
     .type = CONF_INT,
     .at = offsetof(struct file_action, keep),
     .def = "5",
     .min = 1,
     .max = 10000,
     .doc = "How many files put aside are kept."},
    {.name = "sync",
     .type = CONF_ENUM,
     .at = offsetof(struct file_action, sync),
     .def = "none",
     .names = sync_names,
     .doc = "`batch`: each batch is on the disk before it counts as delivered."},
    CONF_END};

static int action_check(struct sl_conn_action *a, struct sl_err *err) {
	const struct file_action *f = sl_action_impl(a);
	struct sl_slice name = slice_from_str(f->name);
	if (name.p[0] == '/' || slice_find(name, SL_SLICE_LIT("..")) >= 0)
		return sl_err_set(err, SL_EINVAL,
				  "`file` must stay inside the connector's `dir`: no leading `/`, no `..`");
	if (f->format == FORMAT_CSV && f->columns.len == 0)
		return sl_err_set(err, SL_EINVAL, "`format: csv` needs `columns`, such as {device: \"${device}\"}");
	if (f->format == FORMAT_LINES && f->columns.len > 0)
		return sl_err_set(err, SL_EINVAL, "`columns` belongs to `format: csv`; with `lines` write a `line`");
	return SL_OK;
}

static int action_params(struct sl_conn_action *a, const struct sl_param **params, size_t *count, struct sl_err *err) {
	struct file_action *f = sl_action_impl(a);
	(void)err;
	size_t columns = f->columns.len;
	f->param_count = columns ? columns : 1;
	f->params = SL_NEW_ARRAY(struct sl_param, f->param_count);
	f->paths = SL_NEW_ARRAY(char *, f->param_count);
	for (size_t i = 0; i < columns; i++) {
		f->paths[i] = yaml_path_key("columns", f->columns.items[i].key);
		f->params[i] = (struct sl_param){.name = slice_from_str(f->columns.items[i].key),
						 .text = slice_from_str(f->columns.items[i].value),
						 .target = SQL_TO_VALUE,
						 .path = f->paths[i]};
	}
	if (columns == 0)
		f->params[0] = (struct sl_param){.name = SL_SLICE_LIT("line"),
						 .text = slice_from_str(f->line),
						 .target = SQL_TO_TEXT,
						 .path = "line"};
	*params = f->params;
	*count = f->param_count;
	return SL_OK;
}

static void action_fini(struct sl_conn_action *a) {
	struct file_action *f = sl_action_impl(a);
	if (f->is_open) close(f->fd);
	if (f->paths)
		for (size_t i = 0; i < f->param_count; i++) sl_free(f->paths[i]);
	sl_free(f->paths);
	sl_free(f->params);
	sl_free(f->path);
	sl_buf_fini(&f->out);
}

/* ---- Row to text. ----------------------------------------------------------------------------------------------------- */

static void text_line(struct sl_slice text, struct sl_buf *out) {
	for (size_t i = 0; i < text.n;) {
		size_t run = i;
		while (run < text.n && text.p[run] != '\n' && text.p[run] != '\r') run++;
		sl_buf_append(out, text.p + i, run - i);
		if (run < text.n) sl_buf_append_str(out, text.p[run] == '\n' ? "\\n" : "\\r");
		i = run + 1;
	}
}

static bool csv_needs_quotes(struct sl_slice s) {
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '"' || s.p[i] == ',' || s.p[i] == '\n' || s.p[i] == '\r') return true;
	return s.n > 0 && (s.p[0] == ' ' || s.p[s.n - 1] == ' ');
}

/* The text from `from` on becomes one CSV field. */
static void csv_quote(struct sl_buf *out, size_t from) {
	struct sl_slice field = slice_make(out->p + from, out->n - from);
	if (!csv_needs_quotes(field)) return;
	char *copy = slice_dup(field);
	size_t n = field.n;
	out->n = from;
	sl_buf_put(out, '"');
	for (size_t i = 0; i < n; i++) {
		if (copy[i] == '"') sl_buf_put(out, '"');
		sl_buf_put(out, copy[i]);
	}
	sl_buf_put(out, '"');
	sl_free(copy);
}

static void row_text(const struct file_action *f, const void *row, struct sl_buf *out) {
	if (f->format == FORMAT_LINES) {
		struct sql_value v = sql_row_get(row, 0);
		if (v.kind == SQL_STRING || v.kind == SQL_JSON || v.kind == SQL_NUMBER_TEXT)
			text_line(sql_value_text(&v), out);
		else
			sql_value_to_text(&v, out);
	} else {
		for (size_t i = 0; i < f->param_count; i++) {
			struct sql_value v = sql_row_get(row, (uint16_t)i);
			if (i) sl_buf_put(out, ',');
			size_t from = out->n;
			sql_value_to_text(&v, out);
			csv_quote(out, from);
		}
	}
	sl_buf_put(out, '\n');
}

static void header_text(const struct file_action *f, struct sl_buf *out) {
	for (size_t i = 0; i < f->param_count; i++) {
		if (i) sl_buf_put(out, ',');
		size_t from = out->n;
		sl_buf_append_slice(out, f->params[i].name);
		csv_quote(out, from);
	}
	sl_buf_put(out, '\n');
}

/* ---- The file. @thread the connection's own ---- */

/* Where the last whole line ends. */
static int tail_find(int fd, uint64_t size, uint64_t *end) {
	char *window = sl_alloc(TAIL_BYTES);
	int r = SL_OK;
	*end = 0;
	for (uint64_t at = size; r == SL_OK && at > 0 && *end == 0;) {
		uint64_t n = at < TAIL_BYTES ? at : TAIL_BYTES;
		at -= n;
		ssize_t got = pread(fd, window, n, (off_t)at);
		if (got != (ssize_t)n) r = got < 0 ? sl_status_from_errno(errno) : SL_EIO;
		for (uint64_t i = n; r == SL_OK && i-- > 0 && *end == 0;)
			if (window[i] == '\n') *end = at + i + 1;
	}
	sl_free(window);
	return r;
}

static int file_open(struct sl_conn_action *a, struct file_action *f) {
	const struct file_conn *c = sl_conn_impl(sl_action_conn(a));
	if (f->is_open) return SL_OK;
	if (!f->path) f->path = sl_asprintf("%s/%s", c->dir, f->name);
	const char *slash = strrchr(f->path, '/');
	char *dir = sl_memdup0(f->path, (size_t)(slash - f->path));
	(void)sl_disk_mkdirs(dir); /* if it fails, so does opening, which says why */
	sl_free(dir);
	f->fd = open(f->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (f->fd < 0) return sl_status_from_errno(errno);
	f->is_open = true;
	f->size = SIZE_UNKNOWN;
	f->opened_ms = sl_clock_mono_ms();
	return SL_OK;
}

/* Its lock goes with it. */
static void file_let_go(struct file_action *f) {
	close(f->fd);
	f->is_open = false;
}

/* What others have written behind our last line counts as far as it is whole. Under the lock, for half a line may be another's who is at
 * it. */
static int file_end(struct file_action *f, uint64_t size) {
	uint64_t end;
	if (size == f->size) return SL_OK;
	f->size = SIZE_UNKNOWN;
	int r = tail_find(f->fd, size, &end);
	if (r != SL_OK) return r;
	if (end < size) {
		log_warn(LOG_CONN, "half a line at the end of a file is cut off", "path=%s bytes=%llu", f->path,
			 (unsigned long long)(size - end));
		if (ftruncate(f->fd, (off_t)end) != 0) return sl_status_from_errno(errno);
	}
	f->size = end;
	return SL_OK;
}

/* Open and locked: the one that is at the path now, for another may have put it aside while the lock was waited for. Where the file
 * system has no locks it is the configuration's care that nobody else writes to it. */
static int file_take(struct sl_conn_action *a, struct file_action *f) {
	for (int i = 0; i < TAKES_MAX; i++) {
		struct stat mine, there;
		int r = file_open(a, f);
		if (r != SL_OK) return r;
		while (flock(f->fd, LOCK_EX) != 0 && errno == EINTR) continue;
		if (fstat(f->fd, &mine) != 0) return sl_status_from_errno(errno);
		if (stat(f->path, &there) == 0 && there.st_ino == mine.st_ino && there.st_dev == mine.st_dev)
			return file_end(f, (uint64_t)mine.st_size);
		file_let_go(f);
	}
	return SL_EAGAIN;
}

static bool file_is_full(const struct file_action *f) {
	if (f->size == 0) return false;
	bool large = f->rotate_size != CONF_UNLIMITED && f->size >= (uint64_t)f->rotate_size;
	return large || (f->rotate_ms != CONF_UNLIMITED && sl_clock_mono_ms() - f->opened_ms >= (uint64_t)f->rotate_ms);
}

/* Under the lock. False: one of them stays where it is, and so do those before it, lest they take its place. */
static bool file_put_aside(struct file_action *f) {
	bool moved = true;
	for (int64_t i = f->keep; i >= 1 && moved; i--) {
		char *to = sl_asprintf("%s.%lld", f->path, (long long)i);
		char *from = i > 1 ? sl_asprintf("%s.%lld", f->path, (long long)i - 1) : sl_strdup(f->path);
		moved = rename(from, to) == 0 || errno == ENOENT;
		if (!moved)
			log_warn(LOG_CONN, "file cannot be put aside", "path=%s to=%s err=%s do=\"%s\"", from, to,
				 strerror(errno), "the file grows meanwhile: make way for it");
		sl_free(from);
		sl_free(to);
	}
	return moved;
}

/* Ready to be written to, with its lock. */
static int file_ready(struct sl_conn_action *a, struct file_action *f) {
	int r = file_take(a, f);
	if (r != SL_OK || !file_is_full(f) || !file_put_aside(f)) return r;
	file_let_go(f);
	return file_take(a, f);
}

/* All or nothing: what is written of a batch that fails is cut off again. */
static int file_write(struct file_action *f) {
	size_t done = 0;
	int r = SL_OK;
	while (done < f->out.n && r == SL_OK) {
		ssize_t n = pwrite(f->fd, f->out.p + done, f->out.n - done, (off_t)(f->size + done));
		if (n < 0 && errno == EINTR) continue;
		if (n <= 0)
			r = n < 0 ? sl_status_from_errno(errno) : SL_EIO;
		else
			done += (size_t)n;
	}
	if (r == SL_OK && f->sync == SYNC_BATCH && fdatasync(f->fd) != 0) r = sl_status_from_errno(errno);
	if (r == SL_OK)
		f->size += done;
	else if (ftruncate(f->fd, (off_t)f->size) != 0)
		f->size = SIZE_UNKNOWN; /* the next look finds the last whole line */
	return r;
}

static int file_submit(struct sl_conn_action *a, struct sl_batch *b) {
	struct file_action *f = sl_action_impl(a);
	int r = file_ready(a, f);
	if (r == SL_OK) {
		sl_buf_clear(&f->out);
		if (f->format == FORMAT_CSV && f->header && f->size == 0) header_text(f, &f->out);
		for (uint32_t i = 0; i < b->count; i++) row_text(f, b->row[i], &f->out);
		r = file_write(f);
	}
	if (f->is_open) (void)flock(f->fd, LOCK_UN);
	if (r == SL_OK)
		sl_batch_fill(b, SL_RESULT_DONE, NULL);
	else
		sl_batch_not_ready(b, "cannot write %s: %s; %s", f->path, sl_status_text(r),
				   r == SL_ENOSPACE ? "make room on this disk" : "check the folder and its rights");
	sl_batch_done(b);
	return SL_OK;
}

static int file_encode(struct sl_conn_action *a, const void *row, struct sl_buf *out, struct sl_err *err) {
	(void)err;
	row_text(sl_action_impl(a), row, out);
	return SL_OK;
}

static void file_connect(struct sl_conn *c) { sl_conn_up(c); }

static int file_look(struct sl_conn *conn, struct sl_buf *note, struct sl_err *err) {
	const struct file_conn *c = sl_conn_impl(conn);
	bool there;
	int r = folder_usable(c->dir, &there, err);
	sl_buf_printf(note, there ? "its folder %s can be written" : "its folder %s can be made", c->dir);
	return r;
}

static void file_close(struct sl_conn *c) { sl_conn_closed(c); }

static void destination(struct sl_conn_action *a, struct sl_buf *out) {
	const struct file_action *s = sl_action_impl(a);
	sl_destination_name(out, "file", s->name);
}

extern const struct sl_connector_kind sl_connector_file; /* connector_tbl.h */
const struct sl_connector_kind sl_connector_file = {
    .name = "file",
    .title = "Files",
    .summary = "Appends rows to a file as JSON lines, text or CSV, with rotation.",
    .abi = SL_CONNECTOR_ABI,
    .flags = SL_KIND_BLOCKING,
    .conn_size = sizeof(struct file_conn),
    .action_size = sizeof(struct file_action),
    .conn_fields = conn_fields,
    .action_fields = action_fields,
    .action_check = action_check,
    .action_params = action_params,
    .destination = destination,
    .connect = file_connect,
    .look = file_look,
    .close = file_close,
    .action_fini = action_fini,
    .encode = file_encode,
    .submit = file_submit,
};
