/* jq_process.c: see jq_process.h. */
#include "jq_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "jq_worker.h"
#include "mem.h"

struct helper {
	pid_t pid; /* 0: none runs */
	int fd;
};

static pthread_key_t key;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;

/* ---- its life ---- */

/* Its exit status, as waitpid() gives it. */
static int helper_end(struct helper *h) {
	int status = 0;
	if (h->pid == 0) return 0;
	(void)close(h->fd);
	(void)kill(h->pid, SIGKILL);
	while (waitpid(h->pid, &status, 0) < 0 && errno == EINTR) {
	}
	h->pid = 0;
	return status;
}

static void helper_free(void *arg) {
	struct helper *h = arg;
	(void)helper_end(h);
	sl_free(h);
}

static void key_make(void) {
	int r = pthread_key_create(&key, helper_free);
	sl_assert(r == 0);
	(void)r;
}

static struct helper *helper_of_thread(void) {
	(void)pthread_once(&key_once, key_make);
	struct helper *h = pthread_getspecific(key);
	if (!h) {
		h = SL_NEW(struct helper);
		(void)pthread_setspecific(key, h);
	}
	return h;
}

/* Without /proc (a bare chroot), the name that this program was started by. */
static int spawn(pid_t *pid, posix_spawn_file_actions_t *files, posix_spawnattr_t *attributes) {
	static char command[] = JQ_WORKER_COMMAND;
	/* No variable of ours is a rule's business; a sanitizer shall leave a deep recursion to the kernel. */
	static char sanitizer[] =
	    "ASAN_OPTIONS=handle_segv=0:handle_abort=0:detect_leaks=0:allocator_may_return_null=1";
	char *environment[] = {sanitizer, NULL};
	const char *paths[] = {"/proc/self/exe", (const char *)(uintptr_t)getauxval(AT_EXECFN)};
	int r = ENOENT;
	for (size_t i = 0; r != 0 && i < SL_ARRAY_LEN(paths); i++) {
		char *argv[] = {(char *)(uintptr_t)paths[i], command, NULL};
		if (paths[i]) r = posix_spawn(pid, paths[i], files, attributes, argv, environment);
	}
	return r;
}

/* With the socket as its standard input, no other descriptor of ours, and signals as a new program expects them. */
static int spawn_on(int socket, pid_t *pid) {
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int r = posix_spawn_file_actions_init(&files);
	if (r != 0) return r;
	r = posix_spawnattr_init(&attributes);
	if (r != 0) {
		(void)posix_spawn_file_actions_destroy(&files);
		return r;
	}
	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	(void)posix_spawnattr_setsigmask(&attributes, &none);
	(void)posix_spawnattr_setsigdefault(&attributes, &all);
	(void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	r = posix_spawn_file_actions_adddup2(&files, socket, STDIN_FILENO);
	if (r == 0) r = posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
	if (r == 0) r = spawn(pid, &files, &attributes);
	(void)posix_spawnattr_destroy(&attributes);
	(void)posix_spawn_file_actions_destroy(&files);
	return r;
}

/* ---- the socket ---- */

/* Waits for `events`. SL_OK, SL_EAGAIN when the time is over. */
static int wait_for(const struct helper *h, short events, uint64_t until_us) {
	for (;;) {
		uint64_t now = sl_clock_mono_us();
		if (now >= until_us) return SL_EAGAIN;
		struct pollfd p = {.fd = h->fd, .events = events};
		int r = poll(&p, 1, (int)((until_us - now + 999) / 1000));
		if (r > 0) return SL_OK;
		if (r < 0 && errno != EINTR) return SL_ESYSTEM;
	}
}

static uint64_t after_ms(uint32_t ms) { return sl_clock_mono_us() + (uint64_t)ms * 1000; }

static int put(const struct helper *h, struct iovec *parts, size_t count, uint64_t until_us) {
	struct msghdr m = {.msg_iov = parts, .msg_iovlen = count};
	while (m.msg_iovlen) {
		ssize_t n = sendmsg(h->fd, &m, MSG_NOSIGNAL);
		if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			int r = wait_for(h, POLLOUT, until_us);
			if (r != SL_OK) return r;
			continue;
		}
		if (n < 0) return SL_ECLOSED;
		size_t sent = (size_t)n;
		for (; m.msg_iovlen && sent >= m.msg_iov->iov_len; m.msg_iovlen--) sent -= (m.msg_iov++)->iov_len;
		if (m.msg_iovlen == 0) break;
		m.msg_iov->iov_base = (char *)m.msg_iov->iov_base + sent;
		m.msg_iov->iov_len -= sent;
	}
	return SL_OK;
}

static int get(const struct helper *h, void *to, size_t size, uint64_t until_us) {
	for (char *p = to; size;) {
		ssize_t n = recv(h->fd, p, size, 0);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return SL_ECLOSED;
		if (n < 0) {
			int r = wait_for(h, POLLIN, until_us);
			if (r != SL_OK) return r;
			continue;
		}
		p += n;
		size -= (size_t)n;
	}
	return SL_OK;
}

/* The next answer, its text appended to `out`. */
static int get_answer(const struct helper *h, struct jq_answer *a, struct sl_buf *out, uint64_t until_us) {
	int r = get(h, a, sizeof *a, until_us);
	if (r != SL_OK || a->bytes == 0) return r;
	if (a->bytes > 2u * JQ_TEXT_MAX) return SL_ECLOSED; /* not the protocol */
	size_t before = out->n;
	r = get(h, sl_buf_add(out, a->bytes), a->bytes, until_us);
	if (r != SL_OK) out->n = before;
	return r;
}

static int helper_start(struct helper *h, struct sl_err *err) {
	int ends[2];
	if (h->pid) return SL_OK;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
		return sl_err_set(err, SL_ESYSTEM, "no helper process for jq: %s", strerror(errno));
	(void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
	int r = spawn_on(ends[1], &h->pid);
	(void)close(ends[1]);
	h->fd = ends[0];
	if (r != 0) {
		(void)close(ends[0]);
		h->pid = 0;
		return sl_err_set(err, SL_ESYSTEM, "this program could not be started again as the helper of jq: %s",
				  strerror(r));
	}
	struct jq_answer hello;
	struct sl_buf none = SL_BUF_INIT;
	r = get_answer(h, &hello, &none, after_ms(JQ_START_MS));
	sl_buf_fini(&none);
	if (r == SL_OK && hello.verdict == JQ_READY) return SL_OK;
	(void)helper_end(h);
	return sl_err_set(err, SL_ESYSTEM, "the helper process of jq did not come up");
}

/* ---- calls ---- */

/* The helper ended in the middle, or is late and is ended. */
static int broken(struct helper *h, int status, const char *doing, uint32_t limit_ms, struct sl_err *err) {
	int how = helper_end(h);
	bool over = status == SL_EAGAIN || (WIFEXITED(how) && WEXITSTATUS(how) == JQ_EXIT_TIME);
	if (over && limit_ms < JQ_LIMIT_MS_MAX)
		return sl_err_set(err, SL_ELIMIT,
				  "%s took longer than %u ms and was ended; simplify it, or raise the limit (the third "
				  "argument, at most %d ms)",
				  doing, limit_ms, JQ_LIMIT_MS_MAX);
	if (over)
		return sl_err_set(err, SL_ELIMIT, "%s took longer than %u ms and was ended; simplify it", doing,
				  limit_ms);
	if (WIFEXITED(how) && WEXITSTATUS(how) == JQ_EXIT_MEMORY)
		return sl_err_set(err, SL_ELIMIT, "%s needs more than %d MB of memory; let it see less of the data",
				  doing, JQ_MEMORY_MAX >> 20);
	if (WIFSIGNALED(how) && WTERMSIG(how) != SIGKILL)
		return sl_err_set(err, SL_ELIMIT,
				  "%s ended by signal %d: it recurses too deep or needs too much memory", doing,
				  WTERMSIG(how));
	return sl_err_set(err, SL_ESYSTEM, "the helper process of jq ended; the next call starts another");
}

static int verdict(const struct jq_answer *a, struct sl_buf *out, size_t before, struct sl_err *err) {
	struct sl_slice why = slice_from(sl_buf_slice(out), before);
	int r = SL_OK;
	switch ((enum jq_verdict)a->verdict) {
	case JQ_READY:
	case JQ_OUTPUTS: break;
	case JQ_BAD_PROGRAM: r = sl_err_set(err, SL_EINVAL, "this is no jq program: %.*s", SL_SLICE_ARG(why)); break;
	case JQ_FAILED: r = sl_err_set(err, SL_EINVAL, "the program failed: %.*s", SL_SLICE_ARG(why)); break;
	case JQ_TOO_LARGE: r = sl_err_set(err, SL_ELIMIT, "the outputs would exceed %d MB", JQ_TEXT_MAX >> 20); break;
	}
	if (r != SL_OK) out->n = before;
	return r;
}

static int ask(struct sl_slice program, struct sl_slice data, uint32_t limit_ms, bool run, struct sl_buf *out,
	       struct sl_err *err) {
	struct helper *h = helper_of_thread();
	struct jq_answer a;
	size_t before = out->n;
	if (program.n > JQ_PROGRAM_MAX)
		return sl_err_set(err, SL_ELIMIT, "a jq program has at most %d KB", JQ_PROGRAM_MAX >> 10);
	if (data.n > JQ_TEXT_MAX)
		return sl_err_set(err, SL_ELIMIT, "the data of jq has at most %d MB", JQ_TEXT_MAX >> 20);
	int r = helper_start(h, err);
	if (r != SL_OK) return r;
	struct jq_question q = {
	    .program_bytes = (uint32_t)program.n, .data_bytes = (uint32_t)data.n, .limit_ms = limit_ms, .run = run};
	struct iovec parts[] = {
	    {&q, sizeof q}, {(char *)(uintptr_t)program.p, program.n}, {(char *)(uintptr_t)data.p, data.n}};
	uint64_t until_us = after_ms(JQ_COMPILE_MS);
	r = put(h, parts, SL_ARRAY_LEN(parts), until_us);
	if (r == SL_OK) r = get_answer(h, &a, out, until_us);
	if (r != SL_OK) return broken(h, r, "compiling the jq program", JQ_COMPILE_MS, err);
	if (a.verdict != JQ_READY || !run) return verdict(&a, out, before, err);
	r = get_answer(h, &a, out, after_ms(limit_ms));
	if (r != SL_OK) return broken(h, r, "the jq program", limit_ms, err);
	return verdict(&a, out, before, err);
}

int jq_process_run(struct sl_slice program, struct sl_slice data, uint32_t limit_ms, struct sl_buf *out,
		   struct sl_err *err) {
	return ask(program, data, limit_ms, true, out, err);
}

int jq_process_check(struct sl_slice program, struct sl_err *err) {
	struct sl_buf out = SL_BUF_INIT;
	int r = ask(program, SL_SLICE_EMPTY, JQ_LIMIT_MS, false, &out, err);
	sl_buf_fini(&out);
	return r;
}

int jq_process_id(void) { return helper_of_thread()->pid; }
