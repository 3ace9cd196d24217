/* mongo_text.c: {"device": "${device}", "t": ${t}}: JSON text whose values are partly ${...}, taken apart before there are any.
 * Each placeholder outside of quotes becomes a marked text, and then it is JSON that jansson reads. */
#include "jwrite.h"
#include "mongo_template.h"

static int place(struct sl_err *err, const char *text, const char *at, const char *option, const char *what) {
	uint32_t line = 1, column = 1;
	for (const char *p = text; p < at; p++) {
		line += *p == '\n';
		column = *p == '\n' ? 1 : column + 1;
	}
	sl_err_at(err, NULL, line, column);
	return sl_err_set(err, SL_ESYNTAX, "`%s`: %s", option, what);
}

/* From an opening quote to behind the closing one; 0: there is none. */
static size_t string_length(const char *p) {
	for (size_t i = 1; p[i]; i++) {
		if (p[i] == '\\' && p[i + 1])
			i++;
		else if (p[i] == '"')
			return i + 1;
	}
	return 0;
}

/* In quotes a placeholder may hold quotes of its own: "${nvl(a, "b")}" is one string. */
static size_t string_with_values(const char *p) {
	for (size_t i = 1; p[i]; i++) {
		size_t n = p[i] == '$' && p[i + 1] == '{' ? sl_placeholder_length(p + i) : 0;
		if (n > 0)
			i += n - 1;
		else if (p[i] == '\\' && p[i + 1])
			i++;
		else if (p[i] == '"')
			return i + 1;
	}
	return string_length(p);
}

static void put_string(struct sl_buf *out, const char *p, size_t n) {
	for (size_t i = 0; i < n; i++) {
		size_t value = p[i] == '$' && p[i + 1] == '{' ? sl_placeholder_length(p + i) : 0;
		if (value == 0 || i + value > n) {
			sl_buf_put(out, p[i]);
			continue;
		}
		for (size_t k = 0; k < value; k++) {
			if (p[i + k] == '"' && p[i + k - 1] != '\\') sl_buf_put(out, '\\');
			sl_buf_put(out, p[i + k]);
		}
		i += value - 1;
	}
}

static void put_bare(struct sl_buf *out, const char *p, size_t n) {
	struct sl_buf text = SL_BUF_INIT;
	sl_buf_put(&text, MONGO_BARE);
	sl_buf_append(&text, p, n);
	jwrite_quote(out, sl_buf_slice(&text));
	sl_buf_fini(&text);
}

json_t *mongo_text_read(const char *text, const char *option, struct sl_err *err) {
	struct sl_buf out = SL_BUF_INIT;
	json_error_t why;
	json_t *tree = NULL;
	const char *p = text;
	while (*p) {
		size_t n = 1;
		if (*p == '"') {
			n = string_with_values(p);
			if (n == 0) {
				(void)place(err, text, p, option, "this text in quotes does not end");
				break;
			}
			put_string(&out, p, n);
		} else if (*p == '$' && p[1] == '{') {
			n = sl_placeholder_length(p);
			if (n == 0) {
				(void)place(err, text, p, option, "this ${ has no closing }");
				break;
			}
			put_bare(&out, p, n);
		} else
			sl_buf_put(&out, *p);
		p += n;
	}
	if (!*p) {
		tree = json_loadb(out.p ? out.p : "", out.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
		if (!tree)
			(void)sl_err_set(
			    err, SL_ESYNTAX,
			    "`%s` is not JSON: %s (line %d). Write it as YAML, {device: \"${device}\"}, or "
			    "as JSON text",
			    option, why.text, why.line);
	}
	sl_buf_fini(&out);
	return tree;
}
