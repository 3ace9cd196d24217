#include "topic_template.h"

#include <string.h>

enum part { PART_BAD, PART_TEXT, PART_CLIENTID, PART_USERNAME, PART_GROUP };

static enum part named(struct sl_slice name, unsigned *group) {
	if (slice_equal_str(name, "clientid")) return PART_CLIENTID;
	if (slice_equal_str(name, "username")) return PART_USERNAME;
	if (name.n != 1 || name.p[0] < '1' || name.p[0] > '9') return PART_BAD;
	*group = (unsigned)(name.p[0] - '0');
	return PART_GROUP;
}

/* The next part of `rest`, which is not empty; takes it off. *text: as it stands, or the name of the placeholder. */
static enum part next_part(struct sl_slice *rest, struct sl_slice *text, unsigned *group) {
	const char *dollar = memchr(rest->p, '$', rest->n);
	size_t before = dollar ? (size_t)(dollar - rest->p) : rest->n;
	if (before > 0) {
		*text = slice_make(rest->p, before);
		*rest = slice_from(*rest, before);
		return PART_TEXT;
	}
	char next = rest->n > 1 ? rest->p[1] : '\0';
	*text = slice_make(rest->p, 1);
	if (next != '{') {
		enum part digit = next ? named(slice_make(rest->p + 1, 1), group) : PART_BAD;
		*rest = slice_from(*rest, digit == PART_GROUP || next == '$' ? 2 : 1);
		return digit == PART_GROUP ? PART_GROUP : PART_TEXT; /* "$share" is plain text */
	}
	*text = *rest;
	const char *end = memchr(rest->p, '}', rest->n);
	if (!end) return PART_BAD;
	*text = slice_make(rest->p, (size_t)(end - rest->p) + 1);
	*rest = slice_from(*rest, text->n);
	return named(slice_sub(*text, 2, text->n - 3), group);
}

int topic_template_check(struct sl_slice text, unsigned groups_max, struct sl_err *err) {
	while (text.n > 0) {
		struct sl_slice part;
		unsigned group = 0;
		enum part kind = next_part(&text, &part, &group);
		if (kind == PART_BAD)
			return sl_err_set(
			    err, SL_EINVAL,
			    "'%.*s' is no placeholder; write ${clientid} or ${username}%s; $$ stands for a $",
			    SL_SLICE_ARG(part), groups_max ? ", $1 to $9 for groups" : "");
		if (kind == PART_GROUP && group > groups_max)
			return sl_err_set(err, SL_EINVAL, "there is no group %u: the regex has %u", group, groups_max);
	}
	return SL_OK;
}

static bool put_name(struct sl_buf *out, size_t begin, struct sl_slice name) {
	if (name.n == 0 || (out->n == begin && name.p[0] == '$')) return false;
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] == '/' || name.p[i] == '+' || name.p[i] == '#' || name.p[i] == '\0') return false;
	sl_buf_append_slice(out, name);
	return true;
}

bool topic_template_fill(struct sl_slice text, const struct topic_values *values, struct sl_buf *out) {
	size_t begin = out->n;
	while (text.n > 0) {
		struct sl_slice part;
		unsigned group = 0;
		switch (next_part(&text, &part, &group)) {
		case PART_TEXT: sl_buf_append_slice(out, part); break;
		case PART_GROUP: sl_buf_append_slice(out, values->groups[group]); break;
		case PART_CLIENTID:
			if (!put_name(out, begin, values->clientid)) return false;
			break;
		case PART_USERNAME:
			if (!put_name(out, begin, values->username)) return false;
			break;
		case PART_BAD: return false;
		}
	}
	return true;
}
