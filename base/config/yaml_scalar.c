/* yaml_scalar.c: what a plain scalar is: the YAML 1.2 core schema.
 *
 * null ~ Null NULL and nothing; true True TRUE, false False FALSE; 12 -3 0x1F 0o17; 1.5 .5 1e3. Everything else,
 * `yes`, `no`, `on`, a date, an address, is text. A leading zero means nothing: 0777 is the number 777. */
#include <string.h>

#include "yaml_int.h"

static bool one_of(struct sl_slice s, const char *const words[3]) {
	for (int i = 0; i < 3; i++)
		if (slice_equal_str(s, words[i])) return true;
	return false;
}

static const char *const null_words[] = {"null", "Null", "NULL"};
static const char *const true_words[] = {"true", "True", "TRUE"};
static const char *const false_words[] = {"false", "False", "FALSE"};

static size_t digits_len(struct sl_slice s) {
	size_t n = 0;
	while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9') n++;
	return n;
}

static struct sl_slice without_sign(struct sl_slice s) {
	return s.n && (s.p[0] == '-' || s.p[0] == '+') ? slice_from(s, 1) : s;
}

static bool looks_int(struct sl_slice s) {
	s = without_sign(s);
	return s.n > 0 && digits_len(s) == s.n;
}

/* [-+]? ( . [0-9]+ | [0-9]+ ( . [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool looks_float(struct sl_slice s) {
	s = without_sign(s);
	size_t whole = digits_len(s), fraction = 0;
	s = slice_from(s, whole);
	if (s.n && s.p[0] == '.') {
		fraction = digits_len(slice_from(s, 1));
		s = slice_from(s, 1 + fraction);
	}
	if (whole + fraction == 0) return false;
	if (s.n == 0) return true;
	if (s.p[0] != 'e' && s.p[0] != 'E') return false;
	s = without_sign(slice_from(s, 1));
	return s.n > 0 && digits_len(s) == s.n;
}

/* 0x1F or 0o17; false for other text. */
static bool based_int(struct sl_slice s, int64_t *out, bool *too_large) {
	if (s.n < 3 || s.p[0] != '0' || (s.p[1] != 'x' && s.p[1] != 'o')) return false;
	int64_t base = s.p[1] == 'x' ? 16 : 8, value = 0;
	for (size_t i = 2; i < s.n; i++) {
		char c = s.p[i];
		int digit = c >= '0' && c <= '9'   ? c - '0'
			    : c >= 'a' && c <= 'f' ? c - 'a' + 10
			    : c >= 'A' && c <= 'F' ? c - 'A' + 10
						   : 99;
		if (digit >= base) return false;
		if (__builtin_mul_overflow(value, base, &value) || __builtin_add_overflow(value, digit, &value))
			*too_large = true;
	}
	*out = value;
	return true;
}

static json_t *int_value(struct sl_slice s, struct sl_err *err) {
	int64_t value = 0;
	bool too_large = false;
	if (!based_int(s, &value, &too_large)) too_large = slice_to_i64(s, &value) != SL_OK;
	if (!too_large) return json_integer(value);
	sl_err_set(err, SL_ELIMIT, "%.*s does not fit in 64 bits; if it is text, write it in quotes", SL_SLICE_ARG(s));
	return NULL;
}

static json_t *float_value(struct sl_slice s, struct sl_err *err) {
	double value;
	if (slice_to_double(s, &value) == SL_OK) return json_real(value);
	sl_err_set(err, SL_ELIMIT, "%.*s is too large for a number; if it is text, write it in quotes",
		   SL_SLICE_ARG(s));
	return NULL;
}

static bool is_infinite_or_nan(struct sl_slice s) {
	static const char *const inf[] = {".inf", ".Inf", ".INF"}, *const nan[] = {".nan", ".NaN", ".NAN"};
	return one_of(without_sign(s), inf) || one_of(s, nan);
}

static json_t *text_value(struct sl_slice s, struct sl_err *err) {
	if (memchr(s.p, '\0', s.n)) {
		sl_err_set(err, SL_ESYNTAX, "a text may not hold the NUL character");
		return NULL;
	}
	json_t *value = json_stringn(s.p ? s.p : "", s.n);
	if (!value) sl_err_set(err, SL_ESYNTAX, "a text is not valid UTF-8");
	return value;
}

static json_t *tagged_value(struct sl_slice s, const char *tag, struct sl_err *err) {
	int64_t ignored;
	bool too_large = false;
	if (strcmp(tag, "str") == 0) return text_value(s, err);
	if (strcmp(tag, "int") == 0 && (looks_int(s) || based_int(s, &ignored, &too_large))) return int_value(s, err);
	if (strcmp(tag, "float") == 0 && looks_float(s)) return float_value(s, err);
	if (strcmp(tag, "bool") == 0 && one_of(s, true_words)) return json_true();
	if (strcmp(tag, "bool") == 0 && one_of(s, false_words)) return json_false();
	if (strcmp(tag, "null") == 0) return json_null();
	sl_err_set(err, SL_ESYNTAX, "the value is not of the type that its tag !!%s says", tag);
	return NULL;
}

json_t *yaml_scalar_value(struct sl_slice text, const char *tag, bool plain, struct sl_err *err) {
	int64_t ignored;
	bool too_large = false;
	if (tag) return tagged_value(text, tag, err);
	if (!plain) return text_value(text, err);
	if (text.n == 0 || slice_equal_str(text, "~") || one_of(text, null_words)) return json_null();
	if (one_of(text, true_words)) return json_true();
	if (one_of(text, false_words)) return json_false();
	if (looks_int(text) || based_int(text, &ignored, &too_large)) return int_value(text, err);
	if (looks_float(text)) return float_value(text, err);
	if (is_infinite_or_nan(text)) {
		sl_err_set(err, SL_EUNSUPPORTED,
			   "infinity and NaN are not numbers here; if it is text, write it in quotes");
		return NULL;
	}
	return text_value(text, err);
}
