/* schema_expand.c: ${ENV_NAME}, ${file:path}, ${exec:program}, and file:///path for a secret as a whole. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf_exec.h"
#include "mem.h"
#include "schema.h"
#include "utf8.h"

/* What one value may grow to; each file adds at most CONF_FILE_VALUE_MAX. */
#define EXPANDED_MAX (1 * SL_MB)

#define FILE_URL SL_SLICE_LIT("file://")

static const char *stand_in; /* or NULL */

void conf_expand_stand_in(const char *text) { stand_in = text; }
bool conf_expand_stands_in(void) { return stand_in != NULL; }

static bool is_env_name(struct sl_slice s) {
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
		if (!letter && (i == 0 || c < '0' || c > '9')) return false;
	}
	return s.n > 0;
}

static int append_env(struct sl_slice name, struct sl_buf *out, struct sl_err *err) {
	char *key = slice_dup(name);
	const char *value = getenv(key);
	if (!value) value = stand_in;
	int rc = value ? SL_OK
		       : sl_err_set(err, SL_ENOTFOUND,
				    "the environment variable %s is not set; set it before the start", key);
	if (value && !utf8_valid(slice_from_str(value)))
		rc = sl_err_set(err, SL_EMALFORMED, "the environment variable %s is not a text in UTF-8", key);
	if (rc == SL_OK) sl_buf_append_str(out, value);
	sl_free(key);
	return rc;
}

/* Appends the file's text without one final line break. The text itself never gets into a message. */
static int append_file(const char *path, struct sl_buf *out, struct sl_err *err) {
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t start = out->n;
	ssize_t n = fd < 0 ? -1 : 1;
	while (n > 0 && out->n - start <= CONF_FILE_VALUE_MAX) {
		sl_buf_grow(out, CONF_FILE_VALUE_MAX + 1);
		n = read(fd, out->p + out->n, CONF_FILE_VALUE_MAX + 1);
		if (n > 0) out->n += (size_t)n;
		if (n < 0 && errno == EINTR) n = 1;
	}
	int failed = errno;
	if (fd >= 0) close(fd);
	if (n < 0)
		return sl_err_set(err, sl_status_from_errno(failed), "the file %s cannot be read: %s", path,
				  strerror(failed));
	if (out->n - start > CONF_FILE_VALUE_MAX)
		return sl_err_set(err, SL_ELIMIT, "the file %s is larger than %d KB, too large for a value", path,
				  (int)(CONF_FILE_VALUE_MAX / SL_KB));
	if (out->n > start && out->p[out->n - 1] == '\n') out->n--;
	if (out->n > start && out->p[out->n - 1] == '\r') out->n--;
	struct sl_slice text = slice_from(sl_buf_slice(out), start);
	if (slice_find_byte(text, '\0') >= 0 || !utf8_valid(text))
		return sl_err_set(err, SL_EMALFORMED, "the file %s is not a text in UTF-8", path);
	return SL_OK;
}

static int append_path(struct sl_slice name, struct sl_buf *out, struct sl_err *err) {
	char *path = slice_dup(name);
	int rc = append_file(path, out, err);
	sl_free(path);
	return rc;
}

/* A program that runs for the first time in this load runs only if `run`. */
static int append_exec(struct sl_slice command, bool run, struct sl_buf *out, struct sl_err *err) {
	if (run) return conf_exec_append(command, out, err);
	if (!conf_exec_known(command, out)) sl_buf_append_slice(out, command);
	return SL_OK;
}

static int append_reference(struct sl_slice name, bool run, struct sl_buf *out, struct sl_err *err) {
	struct sl_slice file = SL_SLICE_LIT("file:"), exec = SL_SLICE_LIT("exec:");
	bool is_file = slice_starts_with(name, file) && name.n > file.n;
	bool is_exec = slice_starts_with(name, exec) && name.n > exec.n;
	if ((is_file || is_exec) && stand_in) {
		sl_buf_append_str(out, stand_in);
		return SL_OK;
	}
	if (is_file) return append_path(slice_from(name, file.n), out, err);
	if (is_exec) return append_exec(slice_from(name, exec.n), run, out, err);
	if (is_env_name(name)) return append_env(name, out, err);
	return sl_err_set(err, SL_ESYNTAX,
			  "${%.*s} is neither an environment variable nor ${file:path} nor ${exec:program}; for a "
			  "plain ${ write $${",
			  SL_SLICE_ARG(slice_sub(name, 0, 60)));
}

/* Where a reference ends: text begins behind its ${. */
static ptrdiff_t reference_end(struct sl_slice text) {
	struct sl_slice exec = SL_SLICE_LIT("exec:");
	if (!slice_starts_with(text, exec)) return slice_find_byte(text, '}');
	ptrdiff_t end = conf_exec_end(slice_from(text, exec.n));
	return end < 0 ? end : end + (ptrdiff_t)exec.n;
}

static int expand(struct sl_slice text, bool run, char **out, struct sl_err *err) {
	struct sl_buf b = SL_BUF_INIT;
	int rc = SL_OK;
	*out = NULL;
	while (rc == SL_OK && text.n > 0) {
		if (slice_starts_with(text, SL_SLICE_LIT("$${"))) {
			sl_buf_append_str(&b, "${");
			text = slice_from(text, 3);
		} else if (slice_starts_with(text, SL_SLICE_LIT("${"))) {
			ptrdiff_t close = reference_end(slice_from(text, 2));
			if (close < 0) {
				rc = sl_err_set(err, SL_ESYNTAX, "a ${ is not closed by a }; for a plain ${ write $${");
				break;
			}
			rc = append_reference(slice_sub(text, 2, (size_t)close), run, &b, err);
			text = slice_from(text, (size_t)close + 3);
		} else {
			sl_buf_put(&b, text.p[0]);
			text = slice_from(text, 1);
		}
		if (rc == SL_OK && b.n > EXPANDED_MAX)
			rc = sl_err_set(err, SL_ELIMIT, "the value is larger than 1 MB after ${...} were replaced");
	}
	if (rc == SL_OK)
		*out = sl_buf_steal(&b);
	else
		sl_buf_fini(&b);
	return rc;
}

int conf_expand(struct sl_slice text, char **out, struct sl_err *err) { return expand(text, true, out, err); }

/* file:///run/secrets/db: the file, whose name was expanded already, instead of the text. */
static int whole_file(char **text, struct sl_err *err) {
	struct sl_buf b = SL_BUF_INIT;
	int rc = SL_OK;
	if (stand_in)
		sl_buf_append_str(&b, stand_in);
	else
		rc = append_file(*text + FILE_URL.n, &b, err);
	sl_free(*text);
	*text = NULL;
	if (rc == SL_OK) *text = sl_buf_steal(&b);
	sl_buf_fini(&b);
	return rc;
}

static bool is_file_url(struct sl_slice text) { return slice_starts_with(text, FILE_URL) && text.n > FILE_URL.n; }

int conf_expand_secret(struct sl_slice text, char **out, struct sl_err *err) {
	int rc = expand(text, true, out, err);
	return rc == SL_OK && is_file_url(text) ? whole_file(out, err) : rc;
}

char *conf_expand_known(struct sl_slice text) {
	char *out = NULL;
	if (expand(text, false, &out, NULL) == SL_OK && is_file_url(text)) (void)whole_file(&out, NULL);
	return out ? out : slice_dup(text);
}
