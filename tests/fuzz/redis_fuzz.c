/* redis_fuzz.c: what a server may answer, and what a configuration may say. The first byte chooses: 'U' a URL; 'A' an action as
 * JSON, whose commands are then made for a row; else it says in how large pieces the rest comes as replies. Seeds: corpus/redis. */
#include <stdint.h>
#include <stdlib.h>

#include "mem.h"
#include "redis_conf.h"
#include "redis_errors.h"
#include "redis_plan.h"
#include "redis_quorum.h"
#include "redis_resp.h"
#include "schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void url(struct sl_slice text) {
	struct redis_url u;
	struct sl_err err = SL_ERR_INIT;
	char *copy = slice_dup(text);
	if (redis_url_parse(copy, &u, &err) == SL_OK)
		sl_assert(u.host && u.host[0] && u.port > 0);
	else
		sl_assert(err.text && !u.host && !u.password);
	redis_url_fini(&u);
	sl_err_fini(&err);
	sl_free(copy);
}

/* What was written is what hiredis makes of all arguments, and can be read: a list of texts for each command. */
static void resp_check(const struct redis_plan *plan, const void *row, const struct sl_buf *resp) {
	struct sl_buf whole = SL_BUF_INIT, why = SL_BUF_INIT;
	struct redis_args args;
	static const struct redis_limits limits = {
	    .reply_bytes = SIZE_MAX / 2, .reply_parts = SIZE_MAX / 2, .text_bytes = SIZE_MAX / 2};
	struct redis_reader r;
	const struct redis_reply *reply;
	redis_reader_init(&r, &limits);
	redis_reader_feed(&r, sl_buf_slice(resp));
	redis_args_init(&args);
	for (size_t c = 0; c < plan->commands; c++) {
		sl_assert(redis_command_args(plan, c, row, &args, &why) == SL_OK);
		redis_args_put(&args, &whole);
		sl_assert(redis_reader_next(&r, &reply) == 1 && reply->kind == REDIS_LIST && reply->n > 0);
		for (uint32_t i = 0; i < reply->n; i++) sl_assert(reply->items[i].kind == REDIS_TEXT);
	}
	sl_assert(redis_reader_next(&r, &reply) == 0);
	sl_assert(slice_equal(sl_buf_slice(resp), sl_buf_slice(&whole)));
	redis_reader_fini(&r);
	redis_args_fini(&args);
	sl_buf_fini(&whole);
}

static void rows_send(const struct redis_plan *plan) {
	static const char *const texts[] = {"{\"a\":1,\"b\":\"x\\ny\",\"c\":null}", "[1,\"\\u0000\",null]", "{}",
					    "[\"map_to_redis_hset_args\",\"t\"]"};
	struct sl_buf row = SL_BUF_INIT, out = SL_BUF_INIT, why = SL_BUF_INIT;
	struct redis_args args;
	redis_args_init(&args);
	struct sql_value *values = SL_NEW_ARRAY(struct sql_value, plan->params.n + 1);
	for (size_t turn = 0; turn < 6; turn++) {
		for (size_t i = 0; i < plan->params.n; i++) {
			struct sl_slice s = slice_from_str(texts[(turn + i) % 4]);
			values[i] = turn == 4 ? sql_null() : turn == 5 ? sql_double(0.1) : sql_string(s);
			if (turn < 4) values[i].kind = SQL_JSON;
			values[i].is_array = turn < 4 && s.p[0] == '[';
		}
		sl_buf_clear(&row);
		sl_buf_clear(&out);
		sl_buf_clear(&why);
		sql_row_write(&row, values, (uint16_t)plan->params.n, 0, 0, 0);
		if (redis_encode(plan, row.p, 0, plan->commands, &args, &out, &why) == SL_OK)
			resp_check(plan, row.p, &out);
		else
			sl_assert(out.n == 0 && why.n > 0);
		sl_buf_clear(&out);
		(void)redis_encode_shown(plan, row.p, &out, &why);
	}
	sl_free(values);
	redis_args_fini(&args);
	sl_buf_fini(&row);
	sl_buf_fini(&out);
	sl_buf_fini(&why);
}

static void action(struct sl_slice text) {
	struct conf_report report = CONF_REPORT_INIT;
	struct redis_action_conf conf = {0};
	struct redis_plan plan = {0};
	struct sl_err err = SL_ERR_INIT;
	json_t *tree = json_loadb(text.p, text.n, 0, NULL);
	if (json_is_object(tree) &&
	    conf_apply(redis_action_fields, tree, (struct conf_at){NULL, ""}, &conf, &report) == SL_OK) {
		if (redis_plan_make(&conf, &plan, &err) == SL_OK)
			rows_send(&plan);
		else
			sl_assert(err.text);
	}
	redis_plan_fini(&plan);
	conf_fini(redis_action_fields, &conf);
	conf_report_fini(&report);
	sl_err_fini(&err);
	json_decref(tree);
}

static size_t parts(const struct redis_reply *reply) {
	size_t n = 1;
	if (reply->kind == REDIS_ERROR) {
		struct sl_buf shown = SL_BUF_INIT;
		redis_error_show(redis_error_find(reply->text), reply->text, true, &shown);
		for (size_t i = 0; i < shown.n; i++) sl_assert(shown.p[i] >= 32 && shown.p[i] < 127);
		sl_buf_fini(&shown);
	}
	for (uint32_t i = 0; reply->kind == REDIS_LIST && i < reply->n; i++) n += parts(&reply->items[i]);
	return n;
}

/* As if a sentinel had said it. */
static void sentinel(struct redis_answer *a, const struct redis_reply *reply) {
	bool told = redis_answer_master(a, reply);
	sl_assert(!a->given && told == (a->epoch >= 0));
	sl_assert(redis_answer_address(a, reply) == a->given);
	struct redis_verdict v = redis_quorum(a, 1);
	sl_assert((v.best == a) == a->given && (!a->given || (a->host[0] && a->port)));
}

static void reply_print(const struct redis_reply *r, struct sl_buf *out) {
	sl_buf_printf(out, "(%d %d %u %lld ", r->kind, r->cut, r->n, (long long)r->number);
	sl_buf_append_slice(out, r->text);
	for (uint32_t i = 0; i < r->n; i++) reply_print(&r->items[i], out);
	sl_buf_put(out, ')');
}

static void replies_read(struct sl_slice bytes, size_t step, size_t held, struct sl_buf *out) {
	static const struct redis_limits limits = {.reply_bytes = 1000, .reply_parts = 100, .text_bytes = 64};
	struct redis_reader r;
	struct redis_answer answer = {0};
	const struct redis_reply *reply;
	int status = 0;
	redis_reader_init(&r, &limits);
	r.held = held;
	while (bytes.n && status == 0) {
		redis_reader_feed(&r, slice_sub(bytes, 0, step));
		while ((status = redis_reader_next(&r, &reply)) == 1) {
			sl_assert(parts(reply) <= limits.reply_parts);
			reply_print(reply, out);
			sentinel(&answer, reply);
		}
		bytes = slice_from(bytes, step);
	}
	if (status < 0) sl_assert(r.why[0]);
	redis_answer_forget(&answer);
	redis_reader_fini(&r);
}

/* In pieces of this size, with most texts led around hiredis, and all at once without: the replies are the same. */
static void replies(struct sl_slice bytes, size_t step) {
	struct sl_buf around = SL_BUF_INIT, through = SL_BUF_INIT;
	replies_read(bytes, step, 4, &around);
	replies_read(bytes, bytes.n, SIZE_MAX / 4, &through);
	sl_assert(slice_equal(sl_buf_slice(&around), sl_buf_slice(&through)));
	sl_buf_fini(&around);
	sl_buf_fini(&through);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	if (size == 0) return 0;
	struct sl_slice rest = slice_make(data + 1, size - 1);
	if (data[0] == 'U')
		url(rest);
	else if (data[0] == 'A')
		action(rest);
	else
		replies(rest, data[0] ? data[0] : 1);
	return 0;
}
