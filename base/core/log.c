#include "log.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "clock.h"
#include "rng.h"
#include "slice.h"
#include "utf8.h"

/* A value longer than this is cut: a line must not grow with what outsiders send. */
enum { VALUE_MAX = 1024 };

_Atomic int log_level_now = LOG_INFO;
static atomic_bool as_json;
static _Atomic int out_fd = 2;

/* Stands around each value while a line is formatted, so that a value that looks like ` key=` is not taken for one.
 * Random per process: no outsider can write it. */
static char mark[17];
static pthread_once_t mark_once = PTHREAD_ONCE_INIT;

static void mark_make(void) {
	unsigned char bytes[sizeof mark - 1];
	sl_random_bytes(bytes, sizeof bytes);
	for (size_t i = 0; i < sizeof bytes; i++) mark[i] = (char)('A' + bytes[i] % 16);
	mark[0] = '\x1e'; /* rare in text, so that the search is short */
}

static const char *const level_names[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error", [LOG_OFF] = "off"};
static const char *const level_words[] = {
    [LOG_DEBUG] = "DEBUG", [LOG_INFO] = "INFO ", [LOG_WARN] = "WARN ", [LOG_ERROR] = "ERROR", [LOG_OFF] = "OFF  "};
static const char *const tag_names[] = {
#define LOG_TAG(id, name) [id] = name,
    LOG_TAG_TBL(LOG_TAG)
#undef LOG_TAG
};

void log_set_level(enum log_level level) { atomic_store(&log_level_now, (int)level); }
void log_set_json(bool json) { atomic_store(&as_json, json); }
void log_set_fd(int fd) { atomic_store(&out_fd, fd); }

bool log_level_from_name(const char *name, enum log_level *out) {
	for (size_t i = 0; i < SL_ARRAY_LEN(level_names); i++) {
		if (strcmp(name, level_names[i]) != 0) continue;
		*out = (enum log_level)i;
		return true;
	}
	return false;
}

/* May this call print? A swallowed call is counted; the next one that prints learns how many there were. */
static bool site_admits(struct log_site *site, uint32_t *suppressed) {
	*suppressed = 0;
	if (!site) return true;
	uint64_t second = sl_clock_mono_ms() / 1000 + 1; /* 0 means never */
	uint64_t last = atomic_load(&site->second);
	if (last == second || !atomic_compare_exchange_strong(&site->second, &last, second)) {
		atomic_fetch_add(&site->suppressed, 1);
		return false;
	}
	*suppressed = atomic_exchange(&site->suppressed, 0);
	return true;
}

/* Text for between quotes, in both formats: JSON's escapes, U+FFFD for bytes that are not UTF-8. */
static void append_escaped(struct sl_buf *b, struct sl_slice text) {
	while (text.n) {
		size_t good = utf8_valid_prefix(text);
		for (size_t i = 0; i < good; i++) {
			unsigned char c = (unsigned char)text.p[i];
			if (c == '\n')
				sl_buf_append(b, "\\n", 2);
			else if (c < 0x20 || c == 0x7f)
				sl_buf_printf(b, "\\u%04x", c);
			else {
				if (c == '"' || c == '\\') sl_buf_put(b, '\\');
				sl_buf_put(b, (char)c);
			}
		}
		text = slice_from(text, good);
		if (text.n) sl_buf_append(b, "\xef\xbf\xbd", 3);
		text = slice_from(text, 1);
	}
}

static void append_quoted(struct sl_buf *b, struct sl_slice text) {
	sl_buf_put(b, '"');
	append_escaped(b, text);
	sl_buf_put(b, '"');
}

static bool needs_quotes(struct sl_slice v) {
	if (v.n == 0) return true;
	for (size_t i = 0; i < v.n; i++)
		if ((unsigned char)v.p[i] <= ' ' || v.p[i] == '"' || v.p[i] == '=' || v.p[i] == 0x7f) return true;
	return !utf8_valid(v);
}

static bool is_json_integer(struct sl_slice v) {
	if (v.n && v.p[0] == '-') v = slice_from(v, 1);
	if (v.n == 0 || v.n > 18 || (v.p[0] == '0' && v.n > 1)) return false;
	for (size_t i = 0; i < v.n; i++)
		if (v.p[i] < '0' || v.p[i] > '9') return false;
	return true;
}

static void append_field(struct sl_buf *b, bool json, struct sl_slice key, struct sl_slice value) {
	bool cut = value.n > VALUE_MAX;
	if (cut) {
		value.n = VALUE_MAX;
		while (value.n && ((unsigned char)value.p[value.n] & 0xc0) == 0x80) value.n--; /* whole characters */
	}
	if (!json) {
		sl_buf_put(b, ' ');
		sl_buf_append_slice(b, key);
		sl_buf_put(b, '=');
		if (needs_quotes(value))
			append_quoted(b, value);
		else
			sl_buf_append_slice(b, value);
	} else {
		sl_buf_put(b, ',');
		append_quoted(b, key);
		sl_buf_put(b, ':');
		if (is_json_integer(value))
			sl_buf_append_slice(b, value);
		else
			append_quoted(b, value);
	}
	if (!cut) return;
	if (json) b->n--; /* the dots go inside the quotes */
	sl_buf_append_str(b, json ? "...\"" : "...");
}

/* The end of the key at p ("retry_ms" of "retry_ms=%d"), or NULL when none stands there. */
static const char *key_end(const char *p) {
	const char *at = p;
	while ((*at >= 'a' && *at <= 'z') || (*at >= '0' && *at <= '9') || *at == '_' || *at == '.') at++;
	return at > p && *at == '=' ? at : NULL;
}

/* "name=%s host=%s" becomes "name=<mark>%s<mark>host=<mark>%s<mark>". */
static void mark_format(struct sl_buf *marked, const char *fmt) {
	bool in_value = false;
	for (const char *p = fmt; *p;) {
		const char *end = p == fmt ? key_end(p) : *p == ' ' ? key_end(p + 1) : NULL;
		if (!end) {
			sl_buf_put(marked, *p++);
			continue;
		}
		if (in_value) sl_buf_append_str(marked, mark);
		if (*p == ' ') p++;
		sl_buf_append(marked, p, (size_t)(end - p) + 1);
		sl_buf_append_str(marked, mark);
		in_value = true;
		p = end + 1;
	}
	if (in_value) sl_buf_append_str(marked, mark);
}

static void append_fields(struct sl_buf *b, bool json, const char *fmt, va_list ap) {
	struct sl_buf marked = SL_BUF_INIT, text = SL_BUF_INIT;
	mark_format(&marked, fmt);
	sl_buf_vprintf(&text, sl_buf_cstr(&marked), ap);
	struct sl_slice rest = sl_buf_slice(&text), needle = slice_from_str(mark);
	if (rest.n && slice_find(rest, needle) < 0) append_field(b, json, SL_SLICE_LIT("detail"), rest);
	for (ptrdiff_t at; (at = slice_find(rest, needle)) > 0;) {
		struct sl_slice key = slice_make(rest.p, (size_t)at - 1);
		rest = slice_from(rest, (size_t)at + needle.n);
		at = slice_find(rest, needle);
		if (at < 0) break;
		append_field(b, json, key, slice_make(rest.p, (size_t)at));
		rest = slice_from(rest, (size_t)at + needle.n);
	}
	sl_buf_fini(&text);
	sl_buf_fini(&marked);
}

static void append_head(struct sl_buf *b, bool json, enum log_level level, enum log_tag tag, const char *msg) {
	int64_t ms = sl_clock_wall_ms();
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;
	gmtime_r(&seconds, &tm);
	char stamp[64];
	snprintf(stamp, sizeof stamp, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1,
		 tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(ms % 1000));
	if (!json) {
		sl_buf_printf(b, "%s %s %s  %s", stamp, level_words[level], tag_names[tag], msg);
		return;
	}
	sl_buf_printf(b, "{\"time\":\"%s\",\"level\":\"%s\",\"tag\":\"%s\",\"msg\":", stamp, level_names[level],
		      tag_names[tag]);
	append_quoted(b, slice_from_str(msg));
}

/* One write(2) a line as long as the system takes it whole; a log that cannot be written is not our end. */
static void write_all(int fd, struct sl_slice line) {
	while (line.n) {
		ssize_t n = write(fd, line.p, line.n);
		if (n < 0 && errno == EINTR) continue;
		if (n <= 0) return;
		line = slice_from(line, (size_t)n);
	}
}

void log_write(struct log_site *site, enum log_level level, enum log_tag tag, const char *msg, const char *fmt, ...) {
	uint32_t suppressed;
	if (!site_admits(site, &suppressed)) return;
	pthread_once(&mark_once, mark_make);
	int saved_errno = errno;
	bool json = atomic_load(&as_json);
	struct sl_buf line = SL_BUF_INIT;
	append_head(&line, json, level, tag, msg);
	va_list ap;
	va_start(ap, fmt);
	append_fields(&line, json, fmt, ap);
	va_end(ap);
	if (suppressed) sl_buf_printf(&line, json ? ",\"suppressed\":%" PRIu32 : " suppressed=%" PRIu32, suppressed);
	sl_buf_append_str(&line, json ? "}\n" : "\n");
	write_all(atomic_load(&out_fd), sl_buf_slice(&line));
	sl_buf_fini(&line);
	errno = saved_errno;
}
