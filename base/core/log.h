/* log.h: the log: one constant message, then key=value fields.
 *
 *     log_warn(LOG_CONN, "connect failed", "name=%s host=%s retry_ms=%d", name, host, ms);
 *
 * Levels: ERROR someone must act; WARN unexpected but handled; INFO state changes; DEBUG per packet, off by
 * default and free when off. Normal running is silent. The same call site within a second is counted, not
 * printed; the next line from it carries suppressed=N (ERROR and WARN too).
 * Never payloads, never secrets.
 * Format text: `2026-01-31T12:00:00.123Z WARN  conn  connect failed name=a host=b`; json: one object a line.
 * A value that is empty or holds a space, a quote, an equals sign or a control character is quoted and escaped, bytes
 * that are not UTF-8 become U+FFFD, and one over 1 KB is cut: so a text from outside starts neither a line nor a
 * field. Text of fmt that has no key at all is shown as detail=.
 * Thread: any; one write(2) a line, to standard error unless log_open() says otherwise. */
#ifndef SL_LOG_H
#define SL_LOG_H

#include <stdatomic.h>

#include "common.h"

/* A message without fields has the format "". */
#pragma GCC diagnostic ignored "-Wformat-zero-length"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_OFF };

/* LOG_TAG(enum, name): where a line comes from. */
#define LOG_TAG_TBL(LOG_TAG)                                                                                           \
	LOG_TAG(LOG_MAIN, "main")                                                                                      \
	LOG_TAG(LOG_CONF, "conf")                                                                                      \
	LOG_TAG(LOG_NET, "net")                                                                                        \
	LOG_TAG(LOG_MQTT, "mqtt")                                                                                      \
	LOG_TAG(LOG_AUTH, "auth")                                                                                      \
	LOG_TAG(LOG_RULE, "rule")                                                                                      \
	LOG_TAG(LOG_CONN, "conn")                                                                                      \
	LOG_TAG(LOG_ACTION, "action")                                                                                  \
	LOG_TAG(LOG_STORE, "store")                                                                                    \
	LOG_TAG(LOG_ADMIN, "admin")
enum log_tag {
#define LOG_TAG(id, name) id,
	LOG_TAG_TBL(LOG_TAG)
#undef LOG_TAG
};

/* One per call site, static: the rate limit's memory. */
struct log_site {
	_Atomic uint64_t second;     /* the last second a line was printed */
	_Atomic uint32_t suppressed; /* lines swallowed since */
};

extern _Atomic int log_level_now; /* read by the macros only */

void log_set_level(enum log_level level);
void log_set_json(bool json);
void log_set_fd(int fd);                                         /* default 2; not closed by the log */
bool log_level_from_name(const char *name, enum log_level *out); /* debug info warn error off */

void log_write(struct log_site *site, enum log_level level, enum log_tag tag, const char *msg, const char *fmt, ...)
    sl_printf(5, 6);

#define LOG_AT(level, tag, msg, ...)                                                                                   \
	do {                                                                                                           \
		if ((int)(level) >= atomic_load_explicit(&log_level_now, memory_order_relaxed)) {                      \
			static struct log_site log_site_;                                                              \
			log_write(&log_site_, (level), (tag), (msg), __VA_ARGS__);                                     \
		}                                                                                                      \
	} while (0)
/* fmt may be "" when there are no fields. */
#define log_debug(tag, msg, ...) LOG_AT(LOG_DEBUG, tag, msg, __VA_ARGS__)
#define log_info(tag, msg, ...) LOG_AT(LOG_INFO, tag, msg, __VA_ARGS__)
#define log_warn(tag, msg, ...) LOG_AT(LOG_WARN, tag, msg, __VA_ARGS__)
#define log_error(tag, msg, ...) LOG_AT(LOG_ERROR, tag, msg, __VA_ARGS__)
/* Never rate-limited: for the few lines whose each one counts (start, stop, console action). */
#define log_always(level, tag, msg, ...)                                                                               \
	do {                                                                                                           \
		if ((int)(level) >= atomic_load_explicit(&log_level_now, memory_order_relaxed))                        \
			log_write(NULL, (level), (tag), (msg), __VA_ARGS__);                                           \
	} while (0)

#endif
