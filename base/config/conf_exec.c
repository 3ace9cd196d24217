/* conf_exec.c: see conf_exec.h. Two parts: what was run and what came of it, and running itself. */
#include "conf_exec.h"
#include "conf_exec_keep.h"
#include "conf_exec_spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "list.h"
#include "mem.h"
#include "utf8.h"

enum {
	LOOK_MS = 20,         /* how often it is seen that a program has ended whose children keep its pipes */
	COMPLAINT_MAX = 4096, /* bytes of standard error that are kept */
	COMPLAINT_SHOWN = 300,
	COMMAND_SHOWN = 200,
	HIDDEN_MIN = 4, /* what is shorter stands in any text by chance, and is hidden only as a whole value */
	WORDS_MAX = 256,
};
#define REMEMBERED_MAX (1 * SL_MB) /* bytes of outputs of earlier loads */

/* ---- Words. ----------------------------------------------------------------------------------------------------- */

ptrdiff_t conf_exec_end(struct sl_slice text) {
	char quote = 0;
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		if (quote)
			quote = c == quote ? 0 : quote;
		else if (c == '\'' || c == '"')
			quote = c;
		else if (c == '}')
			return (ptrdiff_t)i;
	}
	return -1;
}

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/* The next word, unquoted, to *to; false: there is none. */
static bool word(struct sl_slice *rest, char **to, bool *open) {
	char quote = 0;
	while (rest->n > 0 && is_blank(rest->p[0])) *rest = slice_from(*rest, 1);
	if (rest->n == 0) return false;
	for (; rest->n > 0 && (quote || !is_blank(rest->p[0])); *rest = slice_from(*rest, 1)) {
		char c = rest->p[0];
		if (quote ? c == quote : c == '\'' || c == '"')
			quote = quote ? 0 : c;
		else
			*(*to)++ = c;
	}
	*(*to)++ = '\0';
	*open = quote != 0;
	return true;
}

int conf_exec_words(struct sl_slice command, char ***out, struct sl_err *err) {
	char **words = sl_alloc((WORDS_MAX + 1) * sizeof *words + command.n + 1), *to = (char *)(words + WORDS_MAX + 1);
	struct sl_slice rest = command;
	bool open = false, zero = slice_find_byte(command, '\0') >= 0;
	size_t n = 0;
	for (char *at = to; n < WORDS_MAX && !open && !zero && word(&rest, &to, &open); at = to) words[n++] = at;
	words[n] = NULL;
	int rc = SL_OK;
	if (open)
		rc = sl_err_set(err, SL_ESYNTAX, "${exec:...}: a quote is not closed");
	else if (zero || slice_trim(rest).n > 0)
		rc = sl_err_set(err, SL_ESYNTAX, "${exec:...} has more than %d words, or a zero byte", WORDS_MAX);
	else if (n == 0 || !words[0][0])
		rc = sl_err_set(err, SL_ESYNTAX, "${exec:...} names no program; write ${exec:program arg arg}");
	if (rc != SL_OK) {
		sl_free(words);
		words = NULL;
	}
	*out = words;
	return rc;
}

/* ---- Running. --------------------------------------------------------------------------------------------------- */

static uint64_t limit_ms = CONF_EXEC_MS;

void conf_exec_limit(uint64_t ms) { limit_ms = ms ? ms : CONF_EXEC_MS; }

static const char *keeper_path; /* NULL: programs are started without one */

void conf_exec_keeper(const char *path) { keeper_path = path && access(path, X_OK) == 0 ? path : NULL; }

struct run {
	struct sl_slice command;
	pid_t pid;
	int out, complaint; /* our ends */
	int keeper;         /* our end of its socket; -1: there is none, and pid is the program's own */
	int status, error;  /* of waitpid(), or errno when it could not be started; with gone */
	bool gone, late, too_large;
	struct sl_buf said, complained;
};

/* The head of a text, in one line that does nothing to a terminal. */
static void show(struct sl_slice text, size_t max, struct sl_buf *out) {
	size_t n = sl_min_size(text.n, max);
	while (n < text.n && n > 0 && ((unsigned char)text.p[n] & 0xC0) == 0x80) n--;
	for (size_t i = 0; i < n; i++)
		sl_buf_put(out, (unsigned char)text.p[i] < ' ' || text.p[i] == 0x7f ? ' ' : text.p[i]);
	if (n < text.n) sl_buf_append_str(out, "...");
}

static int failed(const struct run *r, int status, struct sl_err *err, const char *what) {
	struct sl_slice rest = sl_buf_slice(&r->complained), line = slice_trim(slice_next_part(&rest, '\n'));
	struct sl_buf text = SL_BUF_INIT;
	sl_buf_append_str(&text, "${exec:");
	show(r->command, COMMAND_SHOWN, &text);
	sl_buf_printf(&text, "} %s", what);
	if (line.n > 0 && utf8_valid(line)) {
		sl_buf_append_str(&text, ": ");
		show(line, COMPLAINT_SHOWN, &text);
	}
	int rc = sl_err_set(err, status, "%s", sl_buf_cstr(&text));
	sl_buf_fini(&text);
	return rc;
}

/* A pipe whose inner end only the program gets. */
static bool pipe_open(int *ours, int *theirs) {
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) != 0) return false;
	*ours = ends[0];
	*theirs = ends[1];
	return fcntl(*ours, F_SETFL, O_NONBLOCK) == 0;
}

static void fd_close(int *fd) {
	if (*fd >= 0) close(*fd);
	*fd = -1;
}

/* The program, or its keeper, which gets a socket. 0, or errno. */
static int spawn(char **words, int out, int complaint, int socket, pid_t *pid) {
	const int fds[] = {-1, out, complaint, [CONF_EXEC_KEEP_SOCKET] = socket};
	return conf_exec_spawn(socket >= 0 ? keeper_path : words[0], words, fds, socket >= 0 ? 4 : 3, pid);
}

/* What is there. False: the end. What is too much is read and dropped. */
static bool take(int fd, struct sl_buf *to, size_t max, bool *beyond) {
	char piece[4096];
	for (;;) {
		ssize_t n = read(fd, piece, sizeof piece);
		if (n < 0 && errno == EINTR) continue;
		if (n <= 0) {
			explicit_bzero(piece, sizeof piece);
			return n < 0 && errno == EAGAIN;
		}
		size_t room = max - to->n;
		sl_buf_append(to, piece, sl_min_size((size_t)n, room));
		if ((size_t)n > room) {
			*beyond = true;
			return true;
		}
	}
}

/* It says how the program ended; where it was ended itself nobody knows. */
static void keeper_look(struct run *r) {
	struct conf_exec_report report = {.status = SIGKILL};
	ssize_t n = recv(r->keeper, &report, sizeof report, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
	r->gone = true;
	r->status = report.status;
	r->error = report.error;
	while (waitpid(r->pid, NULL, 0) < 0 && errno == EINTR) continue;
}

/* Its group ends with it. Before it is buried its number is nobody else's. */
static void program_look(struct run *r) {
	siginfo_t info = {.si_pid = 0};
	if (waitid(P_PID, (id_t)r->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == r->pid)
		kill(-r->pid, SIGKILL);
	pid_t got = waitpid(r->pid, &r->status, WNOHANG);
	if (got == 0 || (got < 0 && errno == EINTR)) return;
	r->gone = true;
	if (got < 0) r->status = 0; /* somebody has set SIGCHLD so that nobody is told; the output decides */
}

static void look(struct run *r) {
	if (r->gone) return;
	if (r->keeper >= 0)
		keeper_look(r);
	else
		program_look(r);
}

/* Until the program has ended and its output is read, is too much, or the time is over. */
static void attend(struct run *r) {
	uint64_t end_ms = sl_clock_mono_ms() + limit_ms;
	bool any;
	while (!r->gone && !r->late && !r->too_large) {
		struct pollfd p[2] = {{.fd = r->out, .events = POLLIN}, {.fd = r->complaint, .events = POLLIN}};
		(void)poll(p, 2, LOOK_MS);
		look(r); /* before the last of what it wrote is read */
		if (r->out >= 0 && !take(r->out, &r->said, CONF_EXEC_MAX + 1, &r->too_large)) fd_close(&r->out);
		if (r->complaint >= 0 && !take(r->complaint, &r->complained, COMPLAINT_MAX, &any))
			fd_close(&r->complaint);
		r->too_large = r->said.n > CONF_EXEC_MAX + 1 || r->too_large;
		r->late = !r->gone && sl_clock_mono_ms() >= end_ms;
	}
	if (r->gone) return;
	if (r->keeper >= 0)
		fd_close(&r->keeper); /* which tells it to end all */
	else
		kill(-r->pid, SIGKILL);
	while (waitpid(r->pid, &r->status, 0) < 0 && errno == EINTR) continue;
}

/* A word for our own executable in front of the others. 0, or errno. */
static int keeper_start(struct run *r, char **words, int out, int complaint) {
	int ends[2];
	size_t n = 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return errno;
	while (words[n]) n++;
	char **all = SL_NEW_ARRAY(char *, n + 3), command[] = CONF_EXEC_KEEP_COMMAND;
	all[0] = (char *)(uintptr_t)keeper_path;
	all[1] = command;
	memcpy(all + 2, words, n * sizeof *all);
	int error = spawn(all, out, complaint, ends[1], &r->pid);
	sl_free(all);
	close(ends[1]);
	r->keeper = ends[0];
	if (error) fd_close(&r->keeper);
	return error;
}

static int start(struct run *r, char **words, int out, int complaint) {
	if (keeper_path && keeper_start(r, words, out, complaint) == 0) return 0;
	return spawn(words, out, complaint, -1, &r->pid);
}

static int verdict(struct run *r, struct sl_err *err) {
	char what[64];
	if (r->late) {
		snprintf(what, sizeof what, "did not end within %llu s", (unsigned long long)limit_ms / 1000);
		return failed(r, SL_EIO, err, what);
	}
	if (r->too_large) return failed(r, SL_ELIMIT, err, "prints more than 64 KB, too much for a value");
	if (WIFSIGNALED(r->status)) {
		snprintf(what, sizeof what, "was ended by signal %d", WTERMSIG(r->status));
		return failed(r, SL_EIO, err, what);
	}
	if (WEXITSTATUS(r->status) != 0) {
		snprintf(what, sizeof what, "failed with status %d", WEXITSTATUS(r->status));
		return failed(r, SL_EIO, err, what);
	}
	if (r->said.n > 0 && r->said.p[r->said.n - 1] == '\n') r->said.n--;
	if (r->said.n > 0 && r->said.p[r->said.n - 1] == '\r') r->said.n--;
	if (r->said.n > CONF_EXEC_MAX) return failed(r, SL_ELIMIT, err, "prints more than 64 KB, too much for a value");
	struct sl_slice said = sl_buf_slice(&r->said);
	if (slice_find_byte(said, '\0') >= 0 || !utf8_valid(said))
		return failed(r, SL_EMALFORMED, err, "prints what is not a text in UTF-8");
	return SL_OK;
}

/* What the program prints, to said. */
static int run(struct sl_slice command, struct sl_buf *said, struct sl_err *err) {
	struct run r = {.command = command, .out = -1, .complaint = -1, .keeper = -1};
	int out = -1, complaint = -1;
	char **words;
	int rc = conf_exec_words(command, &words, err);
	if (rc != SL_OK) return rc;
	int error = pipe_open(&r.out, &out) && pipe_open(&r.complaint, &complaint) ? 0 : errno;
	if (!error) error = start(&r, words, out, complaint);
	fd_close(&out);
	fd_close(&complaint);
	if (!error) attend(&r);
	if (!error) error = r.error;
	if (error == ENOENT)
		rc = failed(&r, SL_ENOTFOUND, err, "names a program that is not there; give its path, or see to PATH");
	else if (error)
		rc = failed(&r, SL_ESYSTEM, err, strerror(error));
	else
		rc = verdict(&r, err);
	if (rc == SL_OK) sl_buf_append_slice(said, sl_buf_slice(&r.said));
	if (r.said.p) explicit_bzero(r.said.p, r.said.cap);
	fd_close(&r.out);
	fd_close(&r.complaint);
	fd_close(&r.keeper);
	sl_buf_fini(&r.said);
	sl_buf_fini(&r.complained);
	sl_free(words);
	return rc;
}

/* ---- What was run. ---------------------------------------------------------------------------------------------- */

struct memo {
	struct sl_list link;
	uint64_t load;
	char *command;
	struct sl_buf said;
	struct sl_err err; /* status SL_OK: it went well */
};

/* The newest first. Hiding looks at it from threads of status pages. */
static struct {
	pthread_mutex_t lock;
	struct sl_list memos;
	uint64_t load;
} told = {.lock = PTHREAD_MUTEX_INITIALIZER, .memos = {&told.memos, &told.memos}};

static void memo_free(struct memo *m) {
	sl_list_remove(&m->link);
	if (m->said.p) explicit_bzero(m->said.p, m->said.cap);
	sl_buf_fini(&m->said);
	sl_err_fini(&m->err);
	sl_free(m->command);
	sl_free(m);
}

/* Secrets of earlier loads are still in use where a load was refused, and in logs; but they cannot be kept for ever, and the failures
 * are over. Under lock. */
static void forget_old(void) {
	size_t kept = 0;
	SL_LIST_FOREACH_SAFE(it, &told.memos) {
		struct memo *m = SL_LIST_ENTRY(it, struct memo, link);
		kept += m->said.n + 1;
		if (m->load != told.load && (m->err.status != SL_OK || kept > REMEMBERED_MAX)) memo_free(m);
	}
}

void conf_exec_begin(void) {
	pthread_mutex_lock(&told.lock);
	told.load++;
	forget_old();
	pthread_mutex_unlock(&told.lock);
}

static struct memo *memo_find(struct sl_slice command) {
	SL_LIST_FOREACH(it, &told.memos) {
		struct memo *m = SL_LIST_ENTRY(it, struct memo, link);
		if (m->load == told.load && slice_equal(slice_from_str(m->command), command)) return m;
	}
	return NULL;
}

/* Drops what an earlier load was told by the same words. Under lock. */
static void memo_add(struct memo *fresh) {
	SL_LIST_FOREACH_SAFE(it, &told.memos) {
		struct memo *m = SL_LIST_ENTRY(it, struct memo, link);
		if (slice_equal(sl_buf_slice(&m->said), sl_buf_slice(&fresh->said)) && m->load != told.load)
			memo_free(m);
	}
	sl_list_push_front(&told.memos, &fresh->link);
}

bool conf_exec_known(struct sl_slice command, struct sl_buf *out) {
	pthread_mutex_lock(&told.lock);
	const struct memo *m = memo_find(command);
	bool known = m && m->err.status == SL_OK;
	if (known) sl_buf_append_slice(out, sl_buf_slice(&m->said));
	pthread_mutex_unlock(&told.lock);
	return known;
}

int conf_exec_append(struct sl_slice command, struct sl_buf *out, struct sl_err *err) {
	pthread_mutex_lock(&told.lock);
	struct memo *m = memo_find(command);
	pthread_mutex_unlock(&told.lock);
	if (!m) { /* one load at a time: nobody else runs it meanwhile */
		m = SL_NEW(struct memo);
		m->command = slice_dup(command);
		(void)run(command, &m->said, &m->err);
		pthread_mutex_lock(&told.lock);
		m->load = told.load;
		memo_add(m);
		pthread_mutex_unlock(&told.lock);
	}
	if (m->err.status != SL_OK) return sl_err_set(err, m->err.status, "%s", sl_err_text(&m->err));
	sl_buf_append_slice(out, sl_buf_slice(&m->said));
	return SL_OK;
}

/* How much of what begins here is secret. `whole`: the text begins here, too. Under lock. */
static size_t secret_at(struct sl_slice text, bool whole) {
	size_t longest = 0;
	SL_LIST_FOREACH(it, &told.memos) {
		struct sl_slice said = sl_buf_slice(&SL_LIST_ENTRY(it, struct memo, link)->said);
		bool by_chance = said.n < HIDDEN_MIN && !(whole && said.n == text.n);
		if (!by_chance && said.n > longest && slice_starts_with(text, said)) longest = said.n;
	}
	return longest;
}

void conf_exec_hide(struct sl_slice text, struct sl_buf *out) {
	pthread_mutex_lock(&told.lock);
	bool none = sl_list_empty(&told.memos);
	if (none) sl_buf_append_slice(out, text);
	for (bool whole = true; text.n > 0 && !none; whole = false) {
		size_t n = secret_at(text, whole);
		if (n)
			sl_buf_append_str(out, "***");
		else
			sl_buf_put(out, text.p[0]);
		text = slice_from(text, n ? n : 1);
	}
	pthread_mutex_unlock(&told.lock);
}
