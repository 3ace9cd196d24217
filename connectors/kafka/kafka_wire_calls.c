/* kafka_wire_calls.c: recvmsg() and sendmsg() of the whole program, and the descriptors that have a wire; see kafka_wire.h.
 *
 * The linker exports them, for a library of the program (librdkafka) asks for these names; kafka_wire_in_place() tells whether
 * that was so. The sanitizers' own versions stand behind ours and are called by it. */
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>

#include "kafka_wire.h"
#include "mem.h"

enum { CHUNK = 1024, CHUNKS = 4096 };
typedef ssize_t (*recvmsg_call)(int fd, struct msghdr *m, int flags);
typedef ssize_t (*sendmsg_call)(int fd, const struct msghdr *m, int flags);

struct chunk {
	_Atomic(struct kafka_wire *) wire[CHUNK];
};
/* By descriptor; chunks stay for ever. Each place is written and read by the one thread that has the descriptor. */
static _Atomic(struct chunk *) chunks[CHUNKS];

static _Atomic(struct kafka_wire *) *place(int fd) {
	if (fd < 0 || fd / CHUNK >= CHUNKS) return NULL;
	struct chunk *c = atomic_load_explicit(&chunks[fd / CHUNK], memory_order_acquire);
	return c ? &c->wire[fd % CHUNK] : NULL;
}

static struct kafka_wire *wire_of(int fd) {
	_Atomic(struct kafka_wire *) *at = place(fd);
	return at ? atomic_load_explicit(at, memory_order_acquire) : NULL;
}

bool kafka_wire_put(int fd, struct kafka_wire *w) {
	if (fd < 0 || fd / CHUNK >= CHUNKS) return false;
	if (!place(fd)) {
		struct chunk *none = NULL, *c = SL_NEW(struct chunk);
		if (!atomic_compare_exchange_strong(&chunks[fd / CHUNK], &none, c)) sl_free(c);
	}
	atomic_store_explicit(place(fd), w, memory_order_release);
	return true;
}

struct kafka_wire *kafka_wire_take(int fd) {
	_Atomic(struct kafka_wire *) *at = place(fd);
	return at ? atomic_exchange_explicit(at, NULL, memory_order_acq_rel) : NULL;
}

/* ---- The calls. --------------------------------------------------------------------------------------------------------- */

/* The next definition of a name behind ours. A pointer to a function by way of one to an object, as POSIX allows. */
static void *next_of(const char *name) {
	void *next = dlsym(RTLD_NEXT, name);
	sl_assert(next);
	return next;
}

static ssize_t system_recvmsg(int fd, struct msghdr *m, int flags) {
	static _Atomic(recvmsg_call) call;
	recvmsg_call known = atomic_load_explicit(&call, memory_order_relaxed);
	if (sl_unlikely(!known)) {
		known = (recvmsg_call)(uintptr_t)next_of("recvmsg");
		atomic_store_explicit(&call, known, memory_order_relaxed);
	}
	return known(fd, m, flags);
}

static ssize_t system_sendmsg(int fd, const struct msghdr *m, int flags) {
	static _Atomic(sendmsg_call) call;
	sendmsg_call known = atomic_load_explicit(&call, memory_order_relaxed);
	if (sl_unlikely(!known)) {
		known = (sendmsg_call)(uintptr_t)next_of("sendmsg");
		atomic_store_explicit(&call, known, memory_order_relaxed);
	}
	return known(fd, m, flags);
}

ssize_t recvmsg(int fd, struct msghdr *m, int flags) {
	ssize_t n = system_recvmsg(fd, m, flags);
	struct kafka_wire *w = n > 0 ? wire_of(fd) : NULL;
	if (sl_likely(!w)) return n;
	if (kafka_wire_came(w, m->msg_iov, m->msg_iovlen, (size_t)n)) return n;
	errno = EBADMSG;
	return -1;
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags) {
	ssize_t n = system_sendmsg(fd, m, flags);
	struct kafka_wire *w = n > 0 ? wire_of(fd) : NULL;
	if (w) kafka_wire_sent(w, m->msg_iov, m->msg_iovlen, (size_t)n);
	return n;
}

bool kafka_wire_in_place(void) {
	return dlsym(RTLD_DEFAULT, "recvmsg") == (void *)(uintptr_t)recvmsg &&
	       dlsym(RTLD_DEFAULT, "sendmsg") == (void *)(uintptr_t)sendmsg;
}
