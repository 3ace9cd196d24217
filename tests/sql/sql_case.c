/* sql_case.c: see sql_case.h. */
#include "sql_case.h"

#include "mem.h"
#include "sql_state.h"
#include "topic.h"

enum { ID, EVENT, CLIENTID, USERNAME, PAYLOAD, PEERHOST, TOPIC, QOS, FLAGS, PUB_PROPS, TIMESTAMP, RECEIVED, NODE };

static const struct sql_column columns[] = {
    {"id", SQL_STRING, ID, "The message's identifier.", false},
    {"event", SQL_STRING, EVENT, "The kind of event.", false},
    {"clientid", SQL_STRING, CLIENTID, "The publisher's client identifier.", false},
    {"username", SQL_STRING, USERNAME, "The publisher's user name.", false},
    {"payload", SQL_STRING, PAYLOAD, "The payload.", false},
    {"peerhost", SQL_STRING, PEERHOST, "The publisher's address.", false},
    {"topic", SQL_STRING, TOPIC, "The topic.", false},
    {"qos", SQL_INT, QOS, "The quality of service.", false},
    {"flags", SQL_MAP, FLAGS, "The flags.", false},
    {"pub_props", SQL_MAP, PUB_PROPS, "The MQTT 5 properties.", false},
    {"timestamp", SQL_INT, TIMESTAMP, "When the rule ran, in milliseconds.", false},
    {"publish_received_at", SQL_INT, RECEIVED, "When the message came in, in milliseconds.", false},
    {"node", SQL_STRING, NODE, "The broker's name.", false},
};

static struct sql_value flags(struct sl_arena *arena) {
	struct sql_map *m = SL_ARENA_NEW(arena, struct sql_map);
	m->n = 2;
	m->at = SL_ARENA_ARRAY(arena, struct sql_map_member, 2);
	m->at[0] = (struct sql_map_member){SL_SLICE_LIT("dup"), sql_bool(false)};
	m->at[1] = (struct sql_map_member){SL_SLICE_LIT("retain"), sql_bool(false)};
	return (struct sql_value){.kind = SQL_MAP, .map = m};
}

static struct sql_value get(const void *event, uint16_t id, struct sl_arena *arena) {
	const struct sql_case *c = event;
	switch (id) {
	case ID: return sql_string(SL_SLICE_LIT("00061A0B5C7D"));
	case EVENT: return sql_string(SL_SLICE_LIT("message.publish"));
	case CLIENTID: return sql_string(c->clientid);
	case USERNAME: return c->username.p ? sql_string(c->username) : sql_null();
	case PAYLOAD: return sql_string(c->payload);
	case PEERHOST: return sql_string(SL_SLICE_LIT("192.0.2.7"));
	case TOPIC: return sql_string(c->topic);
	case QOS: return sql_int(c->qos);
	case FLAGS: return flags(arena);
	case PUB_PROPS: return (struct sql_value){.kind = SQL_MAP, .map = SL_ARENA_NEW(arena, struct sql_map)};
	case TIMESTAMP:
	case RECEIVED: return sql_int(c->timestamp);
	case NODE: return sql_string(SL_SLICE_LIT("sluice"));
	}
	return sql_null();
}

const struct sql_source sql_case_source = {.name = "message",
					   .columns = columns,
					   .column_count = SL_ARRAY_LEN(columns),
					   .payload_column = PAYLOAD,
					   .get = get};

const struct sql_source *sql_case_find(void *arg, struct sl_slice from, struct sl_err *err) {
	(void)arg;
	if (!slice_starts_with(from, SL_SLICE_LIT("$events/"))) return &sql_case_source;
	sl_err_set(err, SL_ENOTFOUND, "there is no event '%.*s'", SL_SLICE_ARG(from));
	return NULL;
}

int sql_case_compile_as(enum sql_dialect dialect, struct sl_slice text, struct sql_program **out, struct sl_err *err) {
	struct sql_compile_opts opts = {.dialect = dialect, .source = sql_case_find};
	return sql_compile(text, &opts, out, err);
}

int sql_case_compile(struct sl_slice text, struct sql_program **out, struct sl_err *err) {
	return sql_case_compile_as(SQL_STANDARD, text, out, err);
}

void sql_case_state_init(struct sql_state *s, struct sql_memory *memory) {
	sql_memory_init(memory, 0);
	*s = (struct sql_state){.kv = sql_store_new(memory, 0),
				.dict = sql_store_new(memory, 0),
				.connection = SL_SLICE_LIT("c1"),
				.rule = sql_store_new(memory, 0)};
}

void sql_case_state_fini(struct sql_state *s) {
	sql_store_free(s->kv);
	sql_store_free(s->dict);
	sql_store_free(s->rule);
}

enum sql_outcome sql_case_run(struct sql_vm *vm, const struct sql_program *p, const struct sql_case *c,
			      sql_row_fn on_row, void *arg) {
	size_t n, n_from;
	const struct jpath *paths = sql_program_paths(p, &n);
	const struct sl_slice *from = sql_program_from(p, &n_from);
	struct jpath_hit *hits = SL_NEW_ARRAY(struct jpath_hit, n + 1);
	struct jpath_set *set = NULL;
	struct sql_memory memory;
	struct sql_state fresh;
	if (!c->state) sql_case_state_init(&fresh, &memory);
	struct sql_input in = {.event = c,
			       .payload = c->payload,
			       .hits = hits,
			       .now_ms = c->timestamp,
			       .state = c->state ? c->state : &fresh,
			       .rule_id = SL_SLICE_LIT("r1"),
			       .from_matched = n_from ? from[0] : SL_SLICE_EMPTY};
	if (n && (in.payload_status = jpath_set_new(paths, n, &set)) == SL_OK)
		in.payload_status = jpath_extract_any_text(set, c->payload, hits);
	enum sql_outcome o = sql_run(vm, p, &in, on_row, arg);
	jpath_set_free(set);
	sl_free(hits);
	if (!c->state) sql_case_state_fini(&fresh);
	return o;
}

static int append_row(void *arg, struct sql_vm *vm, const struct sql_out *row) {
	(void)vm;
	sql_out_json(row, arg);
	sl_buf_put(arg, '\n');
	return SL_OK;
}

enum sql_outcome sql_case_rows(struct sql_vm *vm, const struct sql_program *p, const struct sql_case *c,
			       struct sl_buf *rows) {
	return sql_case_run(vm, p, c, append_row, rows);
}
