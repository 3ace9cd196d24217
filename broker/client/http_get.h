/* http_get.h: one page of a small HTTP server, for the command line: the broker's own status page.
 * Thread: any. Blocks until the page is there or the time is over. */
#ifndef SL_HTTP_GET_H
#define SL_HTTP_GET_H

#include "buf.h"
#include "err.h"

#define HTTP_GET_MAX (256 * SL_MB)

/* Appends the body of a 200 answer. Any other answer, more than HTTP_GET_MAX bytes and a connection that ends early fail
 * with a sentence. */
int http_get(const char *host, uint16_t port, const char *path, int timeout_ms, struct sl_buf *body,
	     struct sl_err *err);

#endif
