/* junit.c: see junit.h. */
#include "junit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "mem.h"
#include "utf8.h"

/* The bytes of the character at the head of s when XML 1.0 has it; 0: it has not. */
static size_t char_length(struct sl_slice s) {
	unsigned char c = (unsigned char)s.p[0];
	if (c < 0x20) return c == '\t' || c == '\n' || c == '\r';
	if (c < 0x80) return 1;
	size_t n = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : 2;
	struct sl_slice one = slice_sub(s, 0, n);
	if (one.n < n || !utf8_valid(one)) return 0;
	bool not_char = n == 3 && (unsigned char)one.p[0] == 0xEF && (unsigned char)one.p[1] == 0xBF &&
			(unsigned char)one.p[2] >= 0xBE; /* U+FFFE, U+FFFF */
	return not_char ? 0 : n;
}

static void put_xml(struct sl_buf *out, struct sl_slice text) {
	while (text.n) {
		size_t n = char_length(text);
		if (n == 0)
			sl_buf_append_str(out, "\xEF\xBF\xBD");
		else if (text.p[0] == '<')
			sl_buf_append_str(out, "&lt;");
		else if (text.p[0] == '>')
			sl_buf_append_str(out, "&gt;");
		else if (text.p[0] == '&')
			sl_buf_append_str(out, "&amp;");
		else if (text.p[0] == '"')
			sl_buf_append_str(out, "&quot;");
		else if (text.p[0] == '\r' || text.p[0] == '\n' || text.p[0] == '\t')
			sl_buf_printf(out, "&#%d;", text.p[0]); /* kept in attributes only so */
		else
			sl_buf_append(out, text.p, n);
		text = slice_from(text, n ? n : 1);
	}
}

static void put_attribute(struct sl_buf *out, const char *name, struct sl_slice value) {
	sl_buf_printf(out, " %s=\"", name);
	put_xml(out, value);
	sl_buf_put(out, '"');
}

void junit_case_add(struct junit *j, const struct junit_case *c) {
	struct sl_buf *out = &j->cases;
	struct sl_slice rest = c->text;
	j->tests++;
	j->seconds += c->seconds;
	sl_buf_append_str(out, "    <testcase");
	put_attribute(out, "name", slice_from_str(c->name));
	put_attribute(out, "classname", slice_from_str(c->group));
	put_attribute(out, "file", slice_from_str(c->file));
	sl_buf_printf(out, " line=\"%u\" time=\"%.6f\">\n      <properties>\n        <property name=\"file\"", c->line,
		      c->seconds);
	put_attribute(out, "value", slice_from_str(c->file));
	sl_buf_printf(out, "/>\n        <property name=\"line\" value=\"%u\"/>\n      </properties>\n", c->line);
	if (c->kind != JUNIT_PASSED) {
		const char *tag = c->kind == JUNIT_FAILURE ? "failure" : "error";
		if (c->kind == JUNIT_FAILURE)
			j->failures++;
		else
			j->errors++;
		sl_buf_printf(out, "      <%s", tag);
		put_attribute(out, "message", slice_next_part(&rest, '\n'));
		sl_buf_put(out, '>');
		put_xml(out, c->text);
		sl_buf_printf(out, "</%s>\n", tag);
	}
	sl_buf_append_str(out, "    </testcase>\n");
}

void junit_suite_end(struct junit *j, const char *name) {
	sl_buf_append_str(&j->suites, "  <testsuite");
	put_attribute(&j->suites, "name", slice_from_str(name));
	sl_buf_printf(&j->suites, " tests=\"%zu\" failures=\"%zu\" errors=\"%zu\" skipped=\"0\" time=\"%.6f\">\n",
		      j->tests, j->failures, j->errors, j->seconds);
	sl_buf_append_slice(&j->suites, sl_buf_slice(&j->cases));
	sl_buf_append_str(&j->suites, "  </testsuite>\n");
	sl_buf_clear(&j->cases);
	j->all_tests += j->tests;
	j->all_failures += j->failures;
	j->all_errors += j->errors;
	j->all_seconds += j->seconds;
	j->tests = j->failures = j->errors = 0;
	j->seconds = 0;
}

int junit_write(struct junit *j, const char *path, struct sl_err *err) {
	FILE *f = fopen(path, "we");
	if (!f) return sl_err_set(err, sl_status_from_errno(errno), "%s cannot be written: %s", path, strerror(errno));
	fprintf(f,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<testsuites tests=\"%zu\" failures=\"%zu\" errors=\"%zu\" time=\"%.6f\">\n",
		j->all_tests, j->all_failures, j->all_errors, j->all_seconds);
	if (j->suites.n) fwrite(j->suites.p, 1, j->suites.n, f);
	fputs("</testsuites>\n", f);
	bool failed = ferror(f);
	int why = errno;
	if (fclose(f) != 0) {
		failed = true;
		why = errno;
	}
	if (failed) return sl_err_set(err, sl_status_from_errno(why), "%s cannot be written: %s", path, strerror(why));
	return SL_OK;
}

void junit_fini(struct junit *j) {
	sl_buf_fini(&j->suites);
	sl_buf_fini(&j->cases);
}
