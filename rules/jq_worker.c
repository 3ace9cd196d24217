/* jq_worker.c: see jq_worker.h. One thread, blocking reads and writes; whatever goes wrong ends the process. */
#include "jq_worker.h"

#include <jq.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "jq_process.h"
#include "mem.h"

enum { PROGRAMS_MAX = 32, SOCKET = STDIN_FILENO };

/* A compiled program. Those longest unused make room. */
struct program {
	struct sl_slice text;
	jq_state *jq;
	uint64_t used;
};
static struct program programs[PROGRAMS_MAX];
static uint64_t uses;

/* ---- bounds ---- */

static void out_of_memory(void *arg) {
	(void)arg;
	_exit(JQ_EXIT_MEMORY);
}
static void out_of_time(int sig) {
	(void)sig;
	_exit(JQ_EXIT_TIME);
}

static void bound(__rlimit_resource_t what, rlim_t most) {
	struct rlimit r = {.rlim_cur = most, .rlim_max = most};
	(void)setrlimit(what, &r);
}

/* A sanitizer maps terabytes and reports on standard error, so a build with one keeps these. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static void bound_memory(void) {}
#else
static void bound_memory(void) {
	bound(RLIMIT_AS, JQ_MEMORY_MAX);
	(void)close(STDOUT_FILENO);
	(void)close(STDERR_FILENO);
}
#endif

static void confine(void) {
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	static char *nothing[] = {NULL};
	environ = nothing; /* not clearenv(): jq's env wants a list */
	(void)signal(SIGPROF, out_of_time);
	(void)signal(SIGXFSZ, SIG_IGN); /* what a program prints fails, and not the program */
	jv_nomem_handler(out_of_memory, NULL);
	bound_memory();
	bound(RLIMIT_CORE, 0);
	bound(RLIMIT_FSIZE, 0);
	bound(RLIMIT_NOFILE, 1); /* the socket is open, and nothing else will be */
}

/* Processor time until it ends itself, should nobody be left who does; 0: none runs. */
static void allow_ms(uint32_t ms) {
	struct itimerval t = {.it_value = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000}};
	(void)setitimer(ITIMER_PROF, &t, NULL);
}

/* ---- the socket ---- */

/* False at its end, which is the end of the helper. */
static bool get(void *to, size_t n) {
	for (char *p = to; n;) {
		ssize_t got = recv(SOCKET, p, n, MSG_WAITALL);
		if (got <= 0) return false;
		p += got;
		n -= (size_t)got;
	}
	return true;
}

static void put(const void *from, size_t n) {
	for (const char *p = from; n;) {
		ssize_t sent = send(SOCKET, p, n, MSG_NOSIGNAL);
		if (sent <= 0) _exit(0);
		p += sent;
		n -= (size_t)sent;
	}
}

static void answer(enum jq_verdict verdict, struct sl_slice text) {
	struct jq_answer a = {.verdict = verdict, .bytes = (uint32_t)text.n};
	put(&a, sizeof a);
	put(text.p, text.n);
}

/* ---- programs ---- */

/* Without "jq: error: " in front, the advice that is for a shell's users, and the program again behind. */
static void put_complaint(struct sl_slice text, struct sl_buf *out) {
	static const struct sl_slice front = SL_SLICE_LIT("jq: error: "),
				     shell = SL_SLICE_LIT(" (Unix shell quoting issues?)");
	struct sl_slice line = slice_next_part(&text, '\n');
	if (slice_starts_with(line, front)) line = slice_from(line, front.n);
	if (line.n && line.p[line.n - 1] == ':') line.n--;
	ptrdiff_t at = slice_find(line, shell);
	if (at >= 0) {
		sl_buf_append(out, line.p, (size_t)at);
		line = slice_from(line, (size_t)at + shell.n);
	}
	sl_buf_append_slice(out, line);
}

/* The first complaint is the one that helps. */
static void on_error(void *arg, jv message) {
	struct sl_buf *why = arg;
	message = jq_format_error(message);
	if (why->n == 0 && jv_get_kind(message) == JV_KIND_STRING)
		put_complaint(slice_make(jv_string_value(message), (size_t)jv_string_length_bytes(jv_copy(message))),
			      why);
	jv_free(message);
}

static struct program *place_for(struct sl_slice text) {
	struct program *oldest = &programs[0];
	for (size_t i = 0; i < PROGRAMS_MAX; i++) {
		if (programs[i].jq && slice_equal(programs[i].text, text)) return &programs[i];
		if (programs[i].used < oldest->used) oldest = &programs[i];
	}
	if (oldest->jq) jq_teardown(&oldest->jq);
	sl_free((char *)(uintptr_t)oldest->text.p);
	oldest->text = SL_SLICE_EMPTY;
	oldest->used = 0;
	return oldest;
}

/* jq asks for these without asking whether they are there. */
static void on_debug(void *arg, jv message) {
	(void)arg;
	jv_free(message);
}
static jv on_input(jq_state *jq, void *arg) {
	(void)jq, (void)arg;
	return jv_invalid();
}

static jq_state *state_new(void) {
	jq_state *jq = jq_init();
	if (!jq) out_of_memory(NULL);
	jq_set_debug_cb(jq, on_debug, NULL);
	jq_set_input_cb(jq, on_input, NULL);
	jq_set_attr(jq, jv_string("JQ_LIBRARY_PATH"), jv_array());
	jq_set_attr(jq, jv_string("JQ_ORIGIN"), jv_string("/"));
	jq_set_attr(jq, jv_string("PROGRAM_ORIGIN"), jv_string("/"));
	return jq;
}

/* NULL: it does not compile, and `why` says so. */
static struct program *program_get(struct sl_slice text, struct sl_buf *why) {
	struct program *p = place_for(text);
	p->used = ++uses;
	if (p->jq) return p;
	char *source = slice_dup(text);
	jq_state *jq = state_new();
	jq_set_error_cb(jq, on_error, why);
	bool fine = jq_compile(jq, source) != 0;
	jq_set_error_cb(jq, NULL, NULL);
	if (!fine) {
		jq_teardown(&jq);
		sl_free(source);
		p->used = 0;
		return NULL;
	}
	p->text = slice_make(source, text.n);
	p->jq = jq;
	return p;
}

/* ---- runs ---- */

/* What error() was given, or jq's own words. */
static void put_reason(jv error, struct sl_buf *out) {
	jv text = jv_get_kind(error) == JV_KIND_STRING ? error : jv_dump_string(error, 0);
	sl_buf_append(out, jv_string_value(text), (size_t)jv_string_length_bytes(jv_copy(text)));
	if (out->n > 1000) out->n = 1000;
	jv_free(text);
}

/* Appends the outputs; JQ_FAILED when the program says error, with its words in `out`. */
static enum jq_verdict run(jq_state *jq, struct sl_slice data, struct sl_buf *out) {
	jv input = jv_parse_sized(data.p, (int)data.n), result;
	if (!jv_is_valid(input)) {
		jv_free(input);
		sl_buf_append_str(out, "the data is not JSON, or nested deeper than 256 levels");
		return JQ_FAILED;
	}
	jq_start(jq, input, 0);
	sl_buf_put(out, '[');
	for (bool first = true; jv_is_valid(result = jq_next(jq)); first = false) {
		jv text = jv_dump_string(result, 0);
		if (!first) sl_buf_put(out, ',');
		sl_buf_append(out, jv_string_value(text), (size_t)jv_string_length_bytes(jv_copy(text)));
		jv_free(text);
		if (out->n >= JQ_TEXT_MAX) return JQ_TOO_LARGE;
	}
	sl_buf_put(out, ']');
	jv why = jv_invalid_get_msg(result);
	if (jq_halted(jq)) { /* halt_error leaves its words elsewhere */
		jv_free(why);
		why = jq_get_error_message(jq);
	}
	if (!jv_is_valid(why) || jv_get_kind(why) == JV_KIND_NULL) {
		jv_free(why);
		return JQ_OUTPUTS;
	}
	sl_buf_clear(out);
	put_reason(why, out);
	return JQ_FAILED;
}

static void serve(const struct jq_question *q, struct sl_slice text, struct sl_slice data, struct sl_buf *out) {
	sl_buf_clear(out);
	allow_ms(JQ_COMPILE_MS);
	struct program *p = program_get(text, out);
	if (!p) {
		answer(JQ_BAD_PROGRAM, sl_buf_slice(out));
		return;
	}
	answer(JQ_READY, SL_SLICE_EMPTY);
	if (!q->run) return;
	allow_ms(q->limit_ms + 1000);
	enum jq_verdict v = run(p->jq, data, out);
	answer(v, v == JQ_TOO_LARGE ? SL_SLICE_EMPTY : sl_buf_slice(out));
	/* What the run left on the program's stack goes now, not before the next run. */
	jq_start(p->jq, jv_null(), 0);
}

int cmd_jq_worker(int argc, char **argv) {
	(void)argc, (void)argv;
	confine();
	struct sl_buf question = SL_BUF_INIT, out = SL_BUF_INIT;
	struct jq_question q;
	answer(JQ_READY, SL_SLICE_EMPTY);
	while (get(&q, sizeof q) && q.program_bytes <= JQ_PROGRAM_MAX && q.data_bytes <= JQ_TEXT_MAX) {
		sl_buf_clear(&question);
		char *p = sl_buf_add(&question, (size_t)q.program_bytes + q.data_bytes + 1);
		if (!get(p, (size_t)q.program_bytes + q.data_bytes)) break;
		serve(&q, slice_make(p, q.program_bytes), slice_make(p + q.program_bytes, q.data_bytes), &out);
		allow_ms(0);
		if (out.cap > (1 << 20)) sl_buf_fini(&out);
		if (question.cap > (1 << 20)) sl_buf_fini(&question);
	}
	_exit(0); /* nothing to tidy up that the kernel does not */
}
