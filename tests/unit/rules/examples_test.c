/* examples_test.c: the examples of functions hold: each expression and each statement of the tables is run as `sluice sql` and
 * the broker run it, and gives what the reference says, byte for byte. And functions that are said not to fail don't. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "jq_worker.h"
#include "mem.h"
#include "rule_functions.h"
#include "sql_command_int.h"

/* ---- running one ---- */

struct example {
	struct sl_slice dialect, sql;
	struct sl_buf peer, properties; /* what a message has that does not stand in its line as it is */
	struct sl_buf got;
};

/* What may stand before the payload, by the names that the dialects have for it. */
static const struct setting {
	const char *name;
	size_t at; /* in struct try_case: a slice */
} settings[] = {
    {"topic", offsetof(struct try_case, topic)},
    {"clientid", offsetof(struct try_case, clientid)},
    {"username", offsetof(struct try_case, username)},
    {"principal", offsetof(struct try_case, principal)},
    {"accountid", offsetof(struct try_case, accountid)},
    {"traceid", offsetof(struct try_case, traceid)},
    {"content_type", offsetof(struct try_case, content_type)},
};

static void set_number(struct sl_slice text, int64_t *out) {
	if (slice_to_i64(text, out) != SL_OK) fail_msg("'%.*s' is no number", SL_SLICE_ARG(text));
}

static void set(struct example *e, struct try_case *c, struct sl_slice name, struct sl_slice value) {
	for (size_t i = 0; i < SL_ARRAY_LEN(settings); i++) {
		if (!slice_equal_str(name, settings[i].name)) continue;
		*(struct sl_slice *)((char *)c + settings[i].at) = value;
		return;
	}
	if (slice_equal_str(name, "timestamp")) {
		set_number(value, &c->timestamp);
	} else if (slice_equal_str(name, "qos")) {
		set_number(value, &c->qos);
	} else if (slice_equal_str(name, "peerhost") || slice_equal_str(name, "sourceip")) {
		sl_buf_printf(&e->peer, "%.*s:1883", SL_SLICE_ARG(value));
		c->sourceip = sl_buf_slice(&e->peer);
	} else if (slice_equal_str(name, "user_property")) { /* key=value, as in a packet [MQTT-3.3.2.3.7] */
		struct sl_slice key = slice_next_part(&value, '=');
		sl_buf_put(&e->properties, 0x26);
		sl_buf_put_u16be(&e->properties, (uint16_t)key.n);
		sl_buf_append_slice(&e->properties, key);
		sl_buf_put_u16be(&e->properties, (uint16_t)value.n);
		sl_buf_append_slice(&e->properties, value);
		c->user_properties = sl_buf_slice(&e->properties);
	} else {
		fail_msg("%.*s: a message has no '%.*s'", SL_SLICE_ARG(e->sql), SL_SLICE_ARG(name));
	}
}

/* "name=value name=value payload" */
static struct try_case message(struct example *e, struct sl_slice line, struct sl_slice topic) {
	struct try_case c = TRY_CASE_INIT;
	c.dialect = e->dialect;
	c.sql = e->sql;
	c.topic = topic;
	c.timestamp = 1700000000123;
	sl_buf_clear(&e->peer);
	sl_buf_clear(&e->properties);
	while (line.n && line.p[0] >= 'a' && line.p[0] <= 'z') {
		struct sl_slice value = slice_next_part(&line, ' ');
		struct sl_slice name = slice_next_part(&value, '=');
		set(e, &c, name, value);
	}
	c.payload = line;
	return c;
}

static void run_messages(struct example *e, struct rule_try *t, const char *lines, struct sl_slice topic) {
	struct rule_try_result result = RULE_TRY_RESULT_INIT;
	struct sl_err err = SL_ERR_INIT;
	struct sl_slice rest = slice_from_str(lines);
	while (rest.p) {
		struct try_case c = message(e, slice_next_part(&rest, '\n'), topic);
		struct try_event none;
		struct rules_event ev;
		if (try_case_begin(&c, &none, &err) != SL_OK) fail_msg("%s", sl_err_text(&err));
		try_case_event(&c, &ev);
		rule_try_run(t, &ev, &result);
		if (result.outcome == RULE_TRY_NO_TOPIC) sl_buf_append_str(&e->got, "the topic does not match\n");
		if (result.outcome == RULE_TRY_FAILED) sl_buf_printf(&e->got, "%s\n", sl_err_text(&result.err));
		sl_buf_append_slice(&e->got, sl_buf_slice(&result.rows));
		try_event_fini(&none);
	}
	rule_try_advance(t, INT64_MAX, &result);
	sl_buf_append_slice(&e->got, sl_buf_slice(&result.rows));
	rule_try_result_fini(&result);
	sl_err_fini(&err);
}

/* The rows that a statement gives of messages, or why it gives none; free with sl_free(). */
static char *rows_of(enum sql_dialect dialect, const char *sql, const char *lines) {
	struct example e = {.dialect = dialect == SQL_AWS ? SL_SLICE_LIT("aws") : SL_SLICE_LIT("standard"),
			    .sql = slice_from_str(sql)};
	struct sl_err err = SL_ERR_INIT;
	struct rule *r;
	struct try_case c = message(&e, SL_SLICE_EMPTY, SL_SLICE_LIT("t"));
	if (try_case_compile(&c, &r, &err) == SL_OK) {
		struct ruleset *one = rule_try_set(r);
		struct rule_try *t = rule_try_new(one, "sluice");
		size_t n;
		run_messages(&e, t, lines, sql_program_from(r->program, &n)[0]);
		rule_try_free(t);
		ruleset_unref(one);
	} else {
		sl_buf_append_str(&e.got, sl_err_text(&err));
	}
	sl_err_fini(&err);
	sl_buf_fini(&e.peer);
	sl_buf_fini(&e.properties);
	if (e.got.n && e.got.p[e.got.n - 1] == '\n') e.got.n--;
	return sl_buf_steal(&e.got);
}

static void holds(const struct sql_fn_family *family, const struct sql_fn *fn) {
	struct sl_buf sql = SL_BUF_INIT, gives = SL_BUF_INIT;
	if (!fn->example || !fn->gives) fail_msg("%s: %s() has no example", family->name, fn->name);
	sl_buf_printf(&sql, fn->on ? "%s" : "SELECT %s AS x FROM 't'", fn->example);
	sl_buf_printf(&gives, fn->on ? "%s" : "{\"x\":%s}", fn->gives);
	char *got = rows_of(family->dialect, sl_buf_cstr(&sql), fn->on ? fn->on : "{}");
	if (strcmp(got, sl_buf_cstr(&gives)) != 0)
		fail_msg("%s\n  gives    %s\n  and not  %s", sl_buf_cstr(&sql), got, sl_buf_cstr(&gives));
	sl_free(got);
	sl_buf_fini(&sql);
	sl_buf_fini(&gives);
}

static void test_examples__of_every_function_hold(void **state) {
	(void)state;
	size_t n, tried[2] = {0, 0}, statements = 0;
	const struct sql_fn_family *const *f = sql_fn_families(&n);
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < f[i]->n; j++) {
			holds(f[i], &f[i]->fns[j]);
			tried[f[i]->dialect]++;
			statements += f[i]->fns[j].on != NULL;
		}
	print_message("%zu examples of the standard dialect, %zu of aws; %zu of them statements\n", tried[SQL_STANDARD],
		      tried[SQL_AWS], statements);
}

/* The function is in its example, and not only beside it. */
static void test_examples__call_the_function(void **state) {
	(void)state;
	size_t n;
	const struct sql_fn_family *const *f = sql_fn_families(&n);
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < f[i]->n; j++) {
			char call[64];
			snprintf(call, sizeof call, "%s(", f[i]->fns[j].name);
			if (!strstr(f[i]->fns[j].example, call)) fail_msg("%s) is not in its example", call);
		}
}

static void test_examples__a_false_one_is_seen(void **state) {
	(void)state;
	char *got = rows_of(SQL_STANDARD, "SELECT count(*) AS n FROM 't/+' GROUP BY topic(2), tumbling('10s')",
			    "topic=t/a\ntopic=t/b {}\ntopic=t/a");
	assert_string_equal(got, "{\"n\":2}\n{\"n\":1}");
	sl_free(got);
	got = rows_of(SQL_STANDARD, "SELECT int(payload.x) AS n FROM 't'", "{\"x\":\"a\"}\n{\"x\":7}");
	assert_non_null(strstr(got, "int()"));
	assert_non_null(strstr(got, "\n{\"n\":7}"));
	sl_free(got);
	got = rows_of(SQL_AWS, "SELECT nonsense(1) AS n FROM 't'", "{}");
	assert_non_null(strstr(got, "nonsense"));
	sl_free(got);
}

int main(int argc, char **argv) {
	if (argc > 1 && strcmp(argv[1], JQ_WORKER_COMMAND) == 0) return cmd_jq_worker(argc, argv);
	rule_functions_register();
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_examples__of_every_function_hold),
	    cmocka_unit_test(test_examples__call_the_function),
	    cmocka_unit_test(test_examples__a_false_one_is_seen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
