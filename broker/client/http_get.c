/* http_get.c: see http_get.h. */
#include "http_get.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "dial.h"
#include "mem.h"

enum { READ_BYTES = 64 * 1024 };

static int request_send(int fd, const char *host, const char *path, int timeout_ms, struct sl_err *err) {
	char *text = sl_asprintf("GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, host);
	size_t n = strlen(text), done = 0;
	int rc = SL_OK;
	while (done < n && rc == SL_OK) {
		ssize_t w = write(fd, text + done, n - done);
		if (w > 0)
			done += (size_t)w;
		else if (errno != EAGAIN && errno != EINTR)
			rc = sl_err_set(err, SL_ESYSTEM, "cannot ask for %s: %s", path, strerror(errno));
		else if (!dial_wait(fd, POLLOUT, timeout_ms))
			rc = sl_err_set(err, SL_ESYSTEM, "the server does not take the request for %s", path);
	}
	sl_free(text);
	return rc;
}

static int answer_read(int fd, int timeout_ms, struct sl_buf *all, struct sl_err *err) {
	while (all->n < HTTP_GET_MAX) {
		sl_buf_grow(all, READ_BYTES);
		ssize_t n = read(fd, all->p + all->n, READ_BYTES);
		if (n == 0) return SL_OK;
		if (n > 0) {
			all->n += (size_t)n;
			continue;
		}
		if (errno == EINTR) continue;
		if (errno != EAGAIN) return sl_err_set(err, SL_ESYSTEM, "the connection broke: %s", strerror(errno));
		if (!dial_wait(fd, POLLIN, timeout_ms))
			return sl_err_set(err, SL_ESYSTEM, "no answer within %d s", timeout_ms / 1000);
	}
	return sl_err_set(err, SL_ELIMIT, "the page is larger than %llu bytes", (unsigned long long)HTTP_GET_MAX);
}

/* The number behind "\r\ncontent-length:"; -1 when there is none. */
static int64_t content_length(struct sl_slice head) {
	while (head.n) {
		struct sl_slice line = slice_next_part(&head, '\n');
		static const char name[] = "content-length:";
		if (line.n > sizeof name && strncasecmp(line.p, name, sizeof name - 1) == 0)
			return strtoll(line.p + sizeof name - 1, NULL, 10);
	}
	return -1;
}

static int answer_take(const struct sl_buf *all, struct sl_buf *body, struct sl_err *err) {
	struct sl_slice text = sl_buf_slice(all);
	ptrdiff_t at = slice_find(text, SL_SLICE_LIT("\r\n\r\n"));
	if (at < 0 || text.n < 12 || !slice_starts_with(text, SL_SLICE_LIT("HTTP/1.")))
		return sl_err_set(err, SL_EMALFORMED, "what answers there is no HTTP server");
	if (memcmp(text.p + 9, "200", 3) != 0)
		return sl_err_set(err, SL_EDENIED, "the server answered %.3s", text.p + 9);
	struct sl_slice rest = slice_from(text, (size_t)at + 4);
	int64_t length = content_length(slice_sub(text, 0, (size_t)at + 2));
	if (length >= 0 && (uint64_t)length > rest.n)
		return sl_err_set(err, SL_EMALFORMED, "the page ended after %zu of %lld bytes", rest.n,
				  (long long)length);
	sl_buf_append_slice(body, length >= 0 ? slice_sub(rest, 0, (size_t)length) : rest);
	return SL_OK;
}

int http_get(const char *host, uint16_t port, const char *path, int timeout_ms, struct sl_buf *body,
	     struct sl_err *err) {
	struct sl_buf all = SL_BUF_INIT;
	int fd = -1, rc = dial_tcp(host, port, timeout_ms, &fd, err);
	if (rc != SL_OK) return rc;
	rc = request_send(fd, host, path, timeout_ms, err);
	if (rc == SL_OK) rc = answer_read(fd, timeout_ms, &all, err);
	if (rc == SL_OK) rc = answer_take(&all, body, err);
	close(fd);
	sl_buf_fini(&all);
	return rc;
}
