/* dial.c: see dial.h. */
#include "dial.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"

bool dial_wait(int fd, short events, int timeout_ms) {
	struct pollfd p = {.fd = fd, .events = events};
	uint64_t end_ms = sl_clock_mono_ms() + (uint64_t)(timeout_ms < 0 ? 0 : timeout_ms);
	for (;;) {
		int n = poll(&p, 1, timeout_ms);
		if (n >= 0 || errno != EINTR) return n > 0;
		/* A signal came: wait for the rest. */
		uint64_t now_ms = sl_clock_mono_ms();
		if (timeout_ms >= 0) timeout_ms = now_ms < end_ms ? (int)(end_ms - now_ms) : 0;
	}
}

static int connect_one(const struct addrinfo *a, int timeout_ms, int *error) {
	int fd = socket(a->ai_family, a->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, a->ai_protocol);
	if (fd < 0) {
		*error = errno;
		return -1;
	}
	int on = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	*error = 0;
	if (connect(fd, a->ai_addr, a->ai_addrlen) != 0) *error = errno;
	if (*error == EINPROGRESS) {
		socklen_t len = sizeof *error;
		if (!dial_wait(fd, POLLOUT, timeout_ms)) {
			*error = ETIMEDOUT;
		} else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, error, &len) != 0) {
			*error = errno;
		}
	}
	if (*error == 0) return fd;
	close(fd);
	return -1;
}

int dial_tcp(const char *host, uint16_t port, int timeout_ms, int *fd, struct sl_err *err) {
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list = NULL;
	char service[8];
	snprintf(service, sizeof service, "%u", port);
	int rc = getaddrinfo(host, service, &hints, &list);
	if (rc != 0)
		return sl_err_set(err, SL_ESYSTEM, "%s: the name cannot be resolved: %s; check -h", host,
				  gai_strerror(rc));
	int error = 0;
	*fd = -1;
	for (const struct addrinfo *a = list; a && *fd < 0; a = a->ai_next) *fd = connect_one(a, timeout_ms, &error);
	freeaddrinfo(list);
	if (*fd >= 0) return SL_OK;
	return sl_err_set(err, SL_ESYSTEM, "%s:%u: %s; is a broker listening there?", host, port, strerror(error));
}

int dial_unix(const char *path, int *fd, struct sl_err *err) {
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof at.sun_path)
		return sl_err_set(err, SL_EINVAL, "%s: the path of a unix socket has at most %zu bytes", path,
				  sizeof at.sun_path - 1);
	memcpy(at.sun_path, path, strlen(path));
	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (*fd >= 0 && connect(*fd, (struct sockaddr *)&at, sizeof at) == 0) return SL_OK;
	sl_err_set(err, SL_ESYSTEM, "%s: %s; is a broker listening there?", path, strerror(errno));
	if (*fd >= 0) close(*fd);
	*fd = -1;
	return SL_ESYSTEM;
}
