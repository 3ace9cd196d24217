/* reject.c: see reject.h. */
#include "reject.h"

#include "mem.h"
#include "rules_int.h"

enum { COLUMN_REASON, COLUMN_RULE, COLUMN_MESSAGE, COLUMN_PARAMS };

/* What templates read beside the action's parameters, and what `message` is made of. */
static const struct {
	const char *name, *kind, *meaning;
} own_columns[] =
    {
	{"reason", "string", "Why the row was given up: the server's words, or ours."},
	{"rule", "string", "The id of the rule that the row came from."},
	{"message", "object", "The message that the row came from; null for rows of windows, which come from many."},
	{"metadata", "object",
	 "`rule_id` is the rule; `matched` is empty and `trigger` null, for it was no topic that brought the row "
	 "here."},
},
  message_members[] = {
      {"topic", "string", "Its topic; of an event, as `$events/client/connected`."},
      {"clientid", "string", "The publisher's client id; of an event, whom it is about."},
      {"qos", "integer", "0, 1 or 2."},
      {"timestamp", "integer", "When it arrived, in milliseconds since 1970."},
      {"payload", "string", "Its payload, or the first `dead_letter.payload` bytes; not there when none is kept."},
      {"payload_base64", "string", "Stands for `payload` where that is not UTF-8."},
      {"payload_bytes", "integer", "How long the payload was, where it is not all there."},
};

struct reject {
	struct sql_source source;
	struct sql_column *columns;
	char **names; /* owned, one a column */
	struct sql_program *program;
	struct action_republish republish;
};

static struct sql_value message_get(const struct sl_reject *row, struct sl_arena *arena) {
	struct sl_buf json = SL_BUF_INIT;
	if (!row->from) return sql_null();
	sl_origin_json(row->from, &json);
	struct sl_slice text = sl_arena_dup(arena, sl_buf_slice(&json));
	sl_buf_fini(&json);
	return (struct sql_value){.kind = SQL_JSON, .n = (uint32_t)text.n, .p = text.p};
}

static struct sql_value reject_get(const void *event, uint16_t id, struct sl_arena *arena) {
	const struct sl_reject *row = event;
	if (id == COLUMN_MESSAGE) return message_get(row, arena);
	if (id == COLUMN_REASON) return sql_string(slice_from_str(row->reason));
	if (id == COLUMN_RULE) return sql_string(slice_from_str(row->rule));
	return sql_row_get(row->row, (uint16_t)(id - COLUMN_PARAMS));
}

/* Of equal names the first counts. */
static void column_add(struct reject *r, struct sl_slice name, uint16_t id, enum sql_kind kind) {
	uint16_t n = r->source.column_count;
	for (uint16_t i = 0; i < n; i++)
		if (slice_equal_str(name, r->names[i])) return;
	r->names[n] = slice_dup(name);
	r->columns[n] = (struct sql_column){.name = r->names[n], .kind = kind, .id = id};
	r->source.column_count++;
}

static const struct sql_source *reject_source_find(void *arg, struct sl_slice from, struct sl_err *err) {
	(void)from;
	(void)err;
	return arg;
}

struct reject *reject_new(const struct sl_param *params, size_t count) {
	struct reject *r = SL_NEW(struct reject);
	r->columns = SL_NEW_ARRAY(struct sql_column, count + COLUMN_PARAMS);
	r->names = SL_NEW_ARRAY(char *, count + COLUMN_PARAMS);
	r->source = (struct sql_source){
	    .name = "rejected row", .columns = r->columns, .payload_column = UINT16_MAX, .get = reject_get};
	column_add(r, SL_SLICE_LIT("reason"), COLUMN_REASON, SQL_STRING);
	column_add(r, SL_SLICE_LIT("rule"), COLUMN_RULE, SQL_STRING);
	for (size_t i = 0; i < count; i++) column_add(r, params[i].name, (uint16_t)(COLUMN_PARAMS + i), SQL_JSON_NULL);
	column_add(r, SL_SLICE_LIT("message"), COLUMN_MESSAGE, SQL_JSON_NULL);
	struct sql_compile_opts opts = {
	    .dialect = SQL_STANDARD, .source = reject_source_find, .source_arg = &r->source};
	int rc = sql_compile(SL_SLICE_LIT("SELECT * FROM \"rejected\""), &opts, &r->program, NULL);
	sl_assert(rc == SL_OK); /* our own text */
	return r;
}

void reject_describe(struct sl_buf *out) {
	sl_buf_append_str(out, "| column | kind | meaning |\n| --- | --- | --- |\n");
	for (size_t i = 0; i < SL_ARRAY_LEN(own_columns); i++)
		sl_buf_printf(out, "| `%s` | %s | %s |\n", own_columns[i].name, own_columns[i].kind,
			      own_columns[i].meaning);
	for (size_t i = 0; i < SL_ARRAY_LEN(message_members); i++)
		sl_buf_printf(out, "| `message.%s` | %s | %s |\n", message_members[i].name, message_members[i].kind,
			      message_members[i].meaning);
}

void reject_free(void *reject) {
	struct reject *r = reject;
	if (!r) return;
	action_republish_fini(&r->republish);
	sql_program_free(r->program);
	for (uint16_t i = 0; i < r->source.column_count; i++) sl_free(r->names[i]);
	sl_free(r->names);
	sl_free(r->columns);
	sl_free(r);
}

struct sql_program *reject_program(struct reject *r) {
	return r->program;
}
struct action_republish *reject_republish(struct reject *r) {
	return &r->republish;
}

/* ---- on the connector loop ---------------------------------------------------------------------------------------- */

/* The message on its way to a worker; its bytes stand behind. */
struct reject_letter {
	struct sl_post post;
	struct rules *rules;
	int worker;
	struct rules_publish m;
	char bytes[];
};

static void letter_run(struct sl_post *post, struct sl_loop *l) {
	struct reject_letter *letter = sl_container_of(post, struct reject_letter, post);
	const struct rules_host *host = &letter->rules->host;
	(void)l;
	int rc = host->publish(host->broker, letter->worker, &letter->m);
	if (rc != SL_OK)
		log_warn(LOG_RULE, "a rejected row could not be published", "rule=%.*s topic=%.*s err=%s",
			 SL_SLICE_ARG(letter->m.rule_id), SL_SLICE_ARG(letter->m.topic), sl_status_text(rc));
	sl_free(letter);
}

static struct sl_slice letter_copy(char **at, struct sl_slice s) {
	struct sl_slice copy = slice_make(*at, s.n);
	if (s.n) memcpy(*at, s.p, s.n);
	*at += s.n;
	return copy;
}

static struct reject_letter *letter_new(struct rules *rules, int worker, const struct republish_row *made,
					struct sl_slice rule_id) {
	size_t bytes = made->topic.n + made->payload.n + made->properties.n + rule_id.n;
	struct reject_letter *letter = sl_alloc(sizeof *letter + bytes);
	char *at = letter->bytes;
	letter->post = (struct sl_post){.run = letter_run};
	letter->rules = rules;
	letter->worker = worker;
	letter->m = (struct rules_publish){.qos = made->qos, .retain = made->retain, .hops = REJECT_HOPS};
	letter->m.topic = letter_copy(&at, made->topic);
	letter->m.payload = letter_copy(&at, made->payload);
	letter->m.properties = letter_copy(&at, made->properties);
	letter->m.rule_id = letter_copy(&at, rule_id);
	return letter;
}

struct reject_run {
	const struct reject *reject;
	struct republish_row made;
};

static int reject_eval(void *arg, struct sql_vm *vm, const struct sql_out *row) {
	struct reject_run *run = arg;
	return republish_eval(&run->reject->republish, 1, vm, row, &run->made);
}

int reject_row(void *arg, const struct sl_reject *row) {
	struct rules *rules = arg;
	struct reject_run run = {.reject = row->on_error};
	uint32_t w = (uint32_t)(sql_row_head(row->row)->order % sl_max_size(rules->worker_count, 1));
	struct rules_worker *rw = rules->worker_count ? rules->workers[w] : NULL;
	if (!rw || !rw->loop || !rules->host.publish) return SL_EAGAIN;

	struct sql_input in = {
	    .event = row, .now_ms = sql_row_head(row->row)->at_ms, .rule_id = slice_from_str(row->rule)};
	if (sql_run(rules->reject_vm, run.reject->program, &in, reject_eval, &run) != SQL_PRODUCED) {
		/* Trying again would not help. */
		log_error(LOG_RULE, "on_error cannot make a message of a rejected row; see the dead-letter file",
			  "rule=%s action=%u err=%s reason=%s", row->rule, (unsigned)row->action,
			  sl_err_text(sql_vm_error(rules->reject_vm)), row->reason);
		return SL_EINVAL;
	}
	sl_loop_post(rw->loop, &letter_new(rules, (int)w, &run.made, slice_from_str(row->rule))->post);
	return SL_OK;
}
