/* null.c: takes every row and forgets it; or delays, fails and refuses by script.
 *
 * For benchmarks (without options it costs next to nothing) and for tests of everything that the framework must stand: slow
 * servers, servers that answer with any of the results, connections that break, rows that poison their batch. */

#include <stdio.h>
#include <time.h>

#include "connector.h"
#include "mem.h"
#include "null_source.h"
#include "rng.h"
#include "yaml.h"

struct null_conn {
	int64_t delay_ms, jitter_ms, fail_every, down_after, down_from, down_first, connect_fails, connect_delay_ms,
	    ways;
	int fail_result;
	bool blocking;

	uint64_t rows, batches, connects;
	bool down;
	const char *broken_by;  /* the option that did it last */
	struct sl_list pending; /* null_pending; not blocking only */
	struct sl_conn *conn;
	struct sl_timer connecting;
};
struct null_action {
	char *value, *poison, *breaks, *trace;
	FILE *trace_file;
	struct conf_map columns;
	struct sl_param *params;
	char **paths;
	size_t param_count;
};
struct null_pending {
	struct sl_timer timer;
	struct sl_list link;
	struct sl_batch *b;
};

static const char *const result_names[] = {"retry",     "reject",       "timeout",     "lost",
					   "throttled", "group_failed", "retry_alone", NULL};
static const enum sl_result results[] = {SL_RESULT_RETRY,     SL_RESULT_REJECT,       SL_RESULT_TIMEOUT, SL_RESULT_LOST,
					 SL_RESULT_THROTTLED, SL_RESULT_GROUP_FAILED, SL_RESULT_RETRY};
enum { RETRY_ALONE = 6 };

static const struct conf_field conn_fields[] = {
    {.name = "delay",
     .type = CONF_DURATION,
     .at = offsetof(struct null_conn, delay_ms),
     .def = "0",
     .max = 3600000,
     .doc = "Each batch is answered after this time."},
    {.name = "jitter",
     .type = CONF_DURATION,
     .at = offsetof(struct null_conn, jitter_ms),
     .def = "0",
     .max = 3600000,
     .doc = "Up to this much is added to the delay."},
    {.name = "fail_every",
     .type = CONF_INT,
     .at = offsetof(struct null_conn, fail_every),
     .def = "0",
     .max = 1000000000,
     .doc = "Every n-th row fails with `fail_result`; 0: none."},
    {.name = "fail_result",
     .type = CONF_ENUM,
     .at = offsetof(struct null_conn, fail_result),
     .def = "retry",
     .names = result_names,
     .doc = "How it fails; `lost`, `throttled` and `group_failed` concern its whole batch, with `retry_alone` all "
	    "others are lost."},
    {.name = "down_after",
     .type = CONF_INT,
     .at = offsetof(struct null_conn, down_after),
     .def = "0",
     .max = 1000000000,
     .doc = "The connection breaks at every n-th batch, which is lost; 0: never."},
    {.name = "down_first",
     .type = CONF_INT,
     .at = offsetof(struct null_conn, down_first),
     .def = "0",
     .max = 1000000000,
     .doc = "The connection breaks at each of the first n batches, which are lost."},
    {.name = "down_from",
     .type = CONF_INT,
     .at = offsetof(struct null_conn, down_from),
     .def = "0",
     .max = 1000000000,
     .doc = "Where `down_first` begins: so many batches are answered before."},
    {.name = "connect_fails",
     .type = CONF_INT,
     .at = offsetof(struct null_conn, connect_fails),
     .def = "0",
     .max = 1000000000,
     .doc = "The first n attempts to connect fail."},
    {.name = "connect_delay",
     .type = CONF_DURATION,
     .at = offsetof(struct null_conn, connect_delay_ms),
     .def = "0",
     .max = 3600000,
     .doc = "Connecting takes this long; not with `blocking`."},
    {.name = "ways",
     .type = CONF_INT,
     .at = offsetof(struct null_conn, ways),
     .def = "1",
     .min = 1,
     .max = 64,
     .doc = "Batches of one action that may be out at once, each with rows of other order keys."},
    {.name = "blocking",
     .type = CONF_BOOL,
     .at = offsetof(struct null_conn, blocking),
     .def = "false",
     .doc = "Works on a thread of its own and really sleeps."},
    CONF_END};

static const struct conf_field action_fields[] = {
    {.name = "value",
     .type = CONF_TEMPLATE,
     .at = offsetof(struct null_action, value),
     .doc = "What is forgotten; without it and `columns` the whole row."},
    {.name = "columns",
     .type = CONF_TEMPLATE_MAP,
     .at = offsetof(struct null_action, columns),
     .max = 2000,
     .doc = "Instead of `value`: several."},
    {.name = "poison",
     .type = CONF_STRING,
     .at = offsetof(struct null_action, poison),
     .doc = "A row whose first value is this text makes its batch fail, as a database with a constraint would."},
    {.name = "breaks",
     .type = CONF_STRING,
     .at = offsetof(struct null_action, breaks),
     .doc = "At a row whose first value is this text the connection breaks; all batches that are out are lost."},
    {.name = "trace",
     .type = CONF_STRING,
     .at = offsetof(struct null_action, trace),
     .flags = CONF_ADVANCED,
     .doc = "Tests only: delivered rows are written to this file, to see what came and in which order."},
    CONF_END};

static int action_params(struct sl_conn_action *a, const struct sl_param **params, size_t *count, struct sl_err *err) {
	struct null_action *n = sl_action_impl(a);
	(void)err;
	size_t columns = n->columns.len;
	n->param_count = columns ? columns : 1;
	n->params = SL_NEW_ARRAY(struct sl_param, n->param_count);
	n->paths = SL_NEW_ARRAY(char *, n->param_count);
	for (size_t i = 0; i < columns; i++) {
		n->paths[i] = yaml_path_key("columns", n->columns.items[i].key);
		n->params[i] = (struct sl_param){.name = slice_from_str(n->columns.items[i].key),
						 .text = slice_from_str(n->columns.items[i].value),
						 .target = SQL_TO_VALUE,
						 .path = n->paths[i]};
	}
	if (columns == 0)
		n->params[0] = (struct sl_param){.name = SL_SLICE_LIT("value"),
						 .text = slice_from_str(n->value ? n->value : "${.}"),
						 .target = SQL_TO_VALUE,
						 .path = "value"};
	*params = n->params;
	*count = n->param_count;
	return SL_OK;
}

static void action_fini(struct sl_conn_action *a) {
	struct null_action *n = sl_action_impl(a);
	if (n->paths)
		for (size_t i = 0; i < n->param_count; i++) sl_free(n->paths[i]);
	if (n->trace_file) fclose(n->trace_file);
	sl_free(n->paths);
	sl_free(n->params);
}

static void connected(struct sl_conn *conn) {
	struct null_conn *c = sl_conn_impl(conn);
	if (c->connects++ < (uint64_t)c->connect_fails) {
		sl_conn_down(conn, SL_EIO, "refused, as connect_fails asks for");
		return;
	}
	c->down = false;
	sl_conn_up(conn);
}

static void connecting_fire(struct sl_timer *t) { connected(sl_container_of(t, struct null_conn, connecting)->conn); }

static int null_open(struct sl_conn *conn, struct sl_err *err) {
	struct null_conn *c = sl_conn_impl(conn);
	(void)err;
	sl_list_init(&c->pending);
	c->conn = conn;
	sl_timer_init(&c->connecting, connecting_fire);
	sl_conn_set_blocking(conn, c->blocking);
	sl_conn_set_ways(conn, (uint32_t)c->ways);
	return SL_OK;
}

static void null_connect(struct sl_conn *conn) {
	struct null_conn *c = sl_conn_impl(conn);
	if (c->connect_delay_ms == 0 || c->blocking)
		connected(conn);
	else
		sl_timer_set(sl_conn_loop(conn), &c->connecting, (uint64_t)c->connect_delay_ms);
}

/* ---- Answers. --------------------------------------------------------------------------------------------------------- */

static bool row_is(const void *row, const char *what) {
	struct sql_value v = sql_row_get(row, 0);
	bool text = v.kind == SQL_STRING || v.kind == SQL_JSON || v.kind == SQL_NUMBER_TEXT;
	return text && slice_equal_str(sql_value_text(&v), what);
}

static void rows_fail(struct null_conn *c, struct sl_batch *b) {
	enum sl_result r = results[c->fail_result];
	for (uint32_t i = 0; i < b->count; i++) {
		if (b->result[i] != SL_RESULT_PENDING || ++c->rows % (uint64_t)c->fail_every != 0) continue;
		b->wait_ms = 10;
		if (r == SL_RESULT_LOST || r == SL_RESULT_THROTTLED || r == SL_RESULT_GROUP_FAILED) {
			sl_batch_fill(b, r, "failed, as fail_every asks for");
			return;
		}
		b->result[i] = (uint8_t)r;
		sl_batch_reason(b, i, "failed, as fail_every asks for");
		if (c->fail_result == RETRY_ALONE) {
			sl_batch_fill(b, SL_RESULT_LOST, NULL);
			return;
		}
		if (r != SL_RESULT_REJECT) sl_batch_hold_key(b, i);
	}
}

static int null_encode(struct sl_conn_action *a, const void *row, struct sl_buf *out, struct sl_err *err) {
	const struct null_action *n = sl_action_impl(a);
	(void)err;
	for (size_t i = 0; i < n->param_count; i++) {
		struct sql_value v = sql_row_get(row, (uint16_t)i);
		if (i) sl_buf_put(out, ' ');
		sql_value_json(&v, out);
	}
	return SL_OK;
}

static void rows_trace(struct null_action *n, const struct sl_batch *b) {
	struct sl_buf line = SL_BUF_INIT;
	if (!n->trace_file) n->trace_file = fopen(n->trace, "a");
	for (uint32_t i = 0; i < b->count && n->trace_file; i++) {
		if (b->result[i] != SL_RESULT_DONE) continue;
		sl_buf_clear(&line);
		(void)null_encode(b->action, b->row[i], &line, NULL);
		fprintf(n->trace_file, "%s\n", sl_buf_cstr(&line));
	}
	if (n->trace_file) fflush(n->trace_file);
	sl_buf_fini(&line);
}

static void pending_end(struct null_pending *pending) {
	sl_timer_cancel(&pending->timer);
	sl_list_remove(&pending->link);
	pending->b->priv = NULL;
	sl_free(pending);
}

static void batch_lose(const struct null_conn *c, struct sl_batch *b) {
	char *reason = c->broken_by ? sl_asprintf("broken, as %s asks for", c->broken_by) : NULL;
	sl_batch_fill(b, SL_RESULT_LOST, reason);
	sl_free(reason);
}

static void pending_lose(struct null_conn *c) {
	while (!sl_list_empty(&c->pending)) {
		struct null_pending *pending = SL_LIST_ENTRY(c->pending.next, struct null_pending, link);
		struct sl_batch *b = pending->b;
		pending_end(pending);
		batch_lose(c, b);
		sl_batch_done(b);
	}
}

static void break_now(struct sl_conn *conn, const char *option) {
	struct null_conn *c = sl_conn_impl(conn);
	if (c->down) return;
	c->down = true;
	c->broken_by = option;
	pending_lose(c);
	sl_conn_down(conn, SL_ECLOSED, "broken, as %s asks for", option);
}

static void batch_breaks(struct null_conn *c, const struct null_action *n, struct sl_batch *b) {
	struct sl_conn *conn = sl_action_conn(b->action);
	c->batches++;
	if (c->down_after && c->batches % (uint64_t)c->down_after == 0) break_now(conn, "down_after");
	uint64_t from = (uint64_t)c->down_from, to = from + (uint64_t)c->down_first;
	if (c->batches > from && c->batches <= to) break_now(conn, "down_first");
	for (uint32_t i = 0; n->breaks && i < b->count; i++)
		if (row_is(b->row[i], n->breaks)) break_now(conn, "breaks");
	if (c->down) batch_lose(c, b);
}

static void batch_answer(struct sl_batch *b) {
	struct null_conn *c = sl_conn_impl(sl_action_conn(b->action));
	struct null_action *n = sl_action_impl(b->action);
	batch_breaks(c, n, b);
	if (n->poison)
		for (uint32_t i = 0; i < b->count; i++)
			if (row_is(b->row[i], n->poison)) sl_batch_fill(b, SL_RESULT_GROUP_FAILED, "poisoned row");
	if (c->fail_every) rows_fail(c, b);
	sl_batch_fill(b, SL_RESULT_DONE, NULL);
	if (n->trace) rows_trace(n, b);
	sl_batch_done(b);
}

static void pending_fire(struct sl_timer *t) {
	struct null_pending *pending = sl_container_of(t, struct null_pending, timer);
	struct sl_batch *b = pending->b;
	pending_end(pending);
	batch_answer(b);
}

static int null_submit(struct sl_conn_action *a, struct sl_batch *b) {
	struct sl_conn *conn = sl_action_conn(a);
	struct null_conn *c = sl_conn_impl(conn);
	uint64_t ms = (uint64_t)c->delay_ms;
	if (c->jitter_ms) ms += sl_rng_below((uint64_t)c->jitter_ms + 1);
	if (ms > 0 && !c->blocking) {
		struct null_pending *pending = SL_NEW(struct null_pending);
		pending->b = b;
		b->priv = pending;
		sl_list_push_back(&c->pending, &pending->link);
		sl_timer_init(&pending->timer, pending_fire);
		sl_timer_set(sl_conn_loop(conn), &pending->timer, ms);
		return SL_OK;
	}
	if (ms > 0) {
		struct timespec t = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
		nanosleep(&t, NULL);
	}
	batch_answer(b);
	return SL_OK;
}

static void null_cancel(struct sl_conn_action *a, struct sl_batch *b) {
	(void)a;
	if (!b->priv) return; /* answered already */
	pending_end(b->priv);
	sl_batch_fill(b, SL_RESULT_TIMEOUT, "no answer in time");
	sl_batch_done(b);
}

static void null_close(struct sl_conn *conn) {
	struct null_conn *c = sl_conn_impl(conn);
	sl_timer_cancel(&c->connecting);
	pending_lose(c);
	sl_conn_closed(conn);
}

extern const struct sl_connector_kind sl_connector_null; /* connector_tbl.h */
const struct sl_connector_kind sl_connector_null = {
    .name = "null",
    .title = "Nothing",
    .summary = "Takes rows and forgets them; fails by script. For tests and benchmarks.",
    .abi = SL_CONNECTOR_ABI,
    .flags = 0,
    .conn_size = sizeof(struct null_conn),
    .action_size = sizeof(struct null_action),
    .conn_fields = conn_fields,
    .action_fields = action_fields,
    .action_params = action_params,
    .open = null_open,
    .connect = null_connect,
    .close = null_close,
    .action_fini = action_fini,
    .encode = null_encode,
    .submit = null_submit,
    .cancel = null_cancel,
    .source = &null_source_kind,
};
