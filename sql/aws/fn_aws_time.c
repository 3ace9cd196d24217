/* fn_aws_time.c: parse_time(), which writes, and time_to_epoch(), which reads. timestamp() comes with the context. */
#include "aws_fn.h"
#include "aws_time.h"

static int fn_parse_time(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	struct sl_slice pattern = SL_SLICE_EMPTY, name = SL_SLICE_LIT("UTC");
	struct sql_value ms = sql_null();
	struct aws_zone zone;
	if (n < 2 || n > 3) return aws_undefined(out);
	int r = aws_texts(c, a, 1, 1, &pattern);
	if (r > 0 && n == 3) r = aws_texts(c, a + 2, 1, 1, &name);
	if (r <= 0) return r < 0 ? r : aws_undefined(out);
	if ((r = aws_to_int(c->vm, &a[1], &ms)) != SL_OK) return r;
	if (ms.kind != SQL_INT || !aws_zone_find(name, &zone)) return aws_undefined(out);
	struct sl_buf *b = &c->vm->scratch;
	sl_buf_clear(b);
	return aws_time_write(pattern, ms.i, &zone, b) ? sql_call_text(c, b, out) : aws_undefined(out);
}

/* A zone that the rule names is read from the disk when the rule is made. */
static int prepare_zone(struct sql_call *c, const struct sql_value *const *arg, uint32_t n, void **prepared) {
	struct aws_zone zone;
	(void)c, (void)prepared;
	if (n == 3 && arg[2] && arg[2]->kind == SQL_STRING) (void)aws_zone_find(sql_value_text(arg[2]), &zone);
	return SL_OK;
}

static int fn_time_to_epoch(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	struct sl_slice s[2] = {{0}};
	int64_t ms;
	int r = aws_texts(c, a, n, 2, s);
	if (r <= 0) return r < 0 ? r : aws_undefined(out);
	*out = aws_time_read(s[0], s[1], &ms) ? sql_int(ms) : sql_null();
	return SL_OK;
}

static const struct sql_fn table[] = {
    {.name = "parse_time",
     .args = "aa?a",
     .call = fn_parse_time,
     .usage = "parse_time(pattern, milliseconds [, zone])",
     .doc = "Writes the time, in UTC or a zone such as Europe/Paris or +01:00, by a pattern of Joda-Time.",
     .errors = "when the pattern or the zone is none, or the milliseconds are no number",
     .example = "parse_time('yyyy-MM-dd HH:mm z', 1700000000123, 'Europe/Paris')",
     .gives = "\"2023-11-14 23:13 CET\"",
     .prepare = prepare_zone},
    AWS_ROW("time_to_epoch", "aa", fn_time_to_epoch, "time_to_epoch(text, pattern)",
	    "Reads a time written by a pattern of Java's DateTimeFormatter, in UTC when it names no zone, as "
	    "milliseconds.",
	    "when the text does not fit the pattern", "time_to_epoch('18 December 2015', 'dd MMMM yyyy')",
	    "1450396800000"),
};
const struct sql_fn_family aws_fn_time = {"Time", table, SL_ARRAY_LEN(table), SQL_AWS};
