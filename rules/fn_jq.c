/* fn_jq.c: jq(), which runs elsewhere: see jq_process.h. */
#include "jq_process.h"
#include "rule_functions.h"

static int fail(struct sql_call *c, int status, struct sl_err *err) {
	int r = sql_call_fail(c, "%s", sl_err_text(err));
	sl_err_fini(err);
	return status == SL_OK ? SL_OK : r;
}

/* A constant program is compiled when the rule is made, to say what is wrong with it there. */
static int prepare(struct sql_call *c, const struct sql_value *const *arg, uint32_t n, void **prepared) {
	(void)n, (void)prepared;
	struct sl_err err = SL_ERR_INIT;
	if (!arg[0] || arg[0]->kind != SQL_STRING) return SL_OK;
	int r = jq_process_check(sql_value_text(arg[0]), &err);
	return r == SL_OK ? SL_OK : fail(c, r, &err);
}

static int fn_jq(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	struct sl_buf data = SL_BUF_INIT, outputs = SL_BUF_INIT;
	struct sl_err err = SL_ERR_INIT;
	int64_t limit_ms = n == 3 ? a[2].i : JQ_LIMIT_MS;
	if (limit_ms < 1) return sql_call_fail(c, "the time limit is at least 1 ms");
	if (limit_ms > JQ_LIMIT_MS_MAX) limit_ms = JQ_LIMIT_MS_MAX; /* rules from elsewhere allow seconds */
	bool is_text = a[1].kind == SQL_STRING || a[1].kind == SQL_BYTES;
	if (!is_text) sql_value_json(&a[1], &data);
	/* jq makes U+FFFD of text that is not UTF-8; as everywhere else it gets base64. */
	if (is_text && !jscan_valid(sql_value_text(&a[1])) && sql_call_json(c, sql_value_text(&a[1]), out) == SL_OK) {
		sql_value_json(out, &data);
		is_text = false;
	}
	struct sl_slice json = is_text ? sql_value_text(&a[1]) : sl_buf_slice(&data);
	int r = jscan_valid(json) ? SL_OK : sl_err_set(&err, SL_EMALFORMED, "the data is not JSON");
	if (r == SL_OK) r = jq_process_run(sql_value_text(&a[0]), json, (uint32_t)limit_ms, &outputs, &err);
	sl_buf_fini(&data);
	if (r == SL_OK)
		r = sql_call_json(c, sl_buf_slice(&outputs), out);
	else
		r = fail(c, r, &err);
	sl_buf_fini(&outputs);
	return r;
}

static const struct sql_fn table[] = {
    {.name = "jq",
     .args = "sa?i",
     .varies = true, /* it runs in another process: nothing to fold */
     .call = fn_jq,
     .prepare = prepare,
     .usage = "jq(program, data [, limit_ms])",
     .doc = "An array of what the jq program puts out for the data, a value or JSON text. It runs in a process of its "
	    "own, "
	    "for 100 ms or up to the limit (at most 1000 ms, while the worker waits) and in 256 MB; it sees no files "
	    "and no "
	    "environment. Numbers are floats there: integers beyond 2^53 lose digits.",
     .errors = "when the program is wrong (a constant one when the rule is made), says error, or needs too much time "
	       "or memory, when the limit is below 1, and when the data is not JSON",
     .example = "jq('.a[] | . * 2', '{\"a\":[1,2]}')",
     .gives = "[2,4]"},
};
const struct sql_fn_family rule_fn_jq = {"jq", table, SL_ARRAY_LEN(table), SQL_STANDARD};
