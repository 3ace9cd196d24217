#include "rig.h"

#include <stdlib.h>
#include <string.h>

#include "mongo_errors.h"

#define LOAD(connector, action)                                                                                        \
	"connectors: {docs: {type: mongodb, url: \"mongodb://127.0.0.1:1/\", database: iot" connector "}}\n"           \
	"actions:\n  - {connector: docs, collection: c" action "}\n"

static void refused(const char *text, const char *said) {
	char *got = rig_check("%s", text);
	if (!strstr(got, said)) print_error("wanted: %s\ngot: %s\n", said, got);
	assert_non_null(strstr(got, said));
	sl_free(got);
}

static void accepted(const char *text) {
	char *got = rig_check("%s", text);
	assert_string_equal(got, "");
	sl_free(got);
}

static void url_refused(const char *url, const char *more, const char *said) {
	char *text =
	    sl_asprintf("connectors: {docs: {type: mongodb, url: \"%s\", database: iot%s}}\nactions: []\n", url, more);
	refused(text, said);
	sl_free(text);
}

static void test_conf__urls(void **state) {
	(void)state;
	accepted(
	    "connectors:\n"
	    "  a: {type: mongodb, url: \"mongodb://u:p%40ss@h1,h2:27018/?replicaSet=rs0&authSource=admin\", "
	    "database: iot}\n"
	    "  b: {type: mongodb, url: \"mongodb://u:p@h/?authMechanism=SCRAM-SHA-256\", database: iot, compressors: "
	    "[zlib],\n"
	    "      write_concern: {w: majority, j: yes, wtimeout: 5s}, retry_writes: false, pool: 4}\n"
	    "actions: []\n");
	accepted(
	    "connectors: {docs: {type: mongodb, url: \"mongodb://u:p?x=1&@h/?w=1\", database: iot}}\nactions: []\n");
	url_refused("mongodb://u:p?x@h/?tsl=1", "", "no option `tsl` (did you mean `tls`?)");
	url_refused("mongodb:/h", "", "`url` is no MongoDB URI");
	url_refused("mongodb://u:geheim@h:x/", "", "`url` is no MongoDB URI");
	url_refused("mongodb://h/?w=0", "", "`url` says w=0");
	url_refused("mongodb://h/", ", write_concern: {w: 0}", "`write_concern.w`: 0 would not say");
	url_refused("mongodb://h/", ", compressors: [lz4]", "`compressors`: lz4 is not known");
	url_refused("mongodb://h/?tls=false", ", tls: {}", "`url` says tls=false");
	url_refused("mongodb://h/?tls=true&tlsCAFile=/x", ", tls: {ca: /y}",
		    "`tls.ca` and `url` (its option tlscafile) say the same");
	url_refused("mongodb://h/?tls=true&tlsCAFile=/no/such.pem", "", "/no/such.pem");
	url_refused("mongodb://h/?authMechanism=MONGODB-X509", "", "MONGODB-X509 logs in with a certificate");
	accepted("connectors: {docs: {type: mongodb, url: "
		 "\"mongodb://u:p@h/iot?authMechanism=MONGODB-AWS\"}}\nactions: []\n");
	refused("connectors: {docs: {type: mongodb, url: \"mongodb://h/\", database: a.b}}\nactions: []\n",
		"`database`: a.b is no possible name");
	accepted("connectors: {docs: {type: mongodb, url: \"mongodb://h/iot?replicaSet=rs0\"}}\nactions: []\n");
	refused("connectors: {docs: {type: mongodb, url: \"mongodb://h/?replicaSet=rs0\"}}\nactions: []\n",
		"which database? give `database: iot`, or name it in `url`");
	refused("connectors: {docs: {type: mongodb, url: \"mongodb://h/a%20b\"}}\nactions: []\n",
		"Invalid database name");
}

static void test_conf__no_text_shows_the_password(void **state) {
	(void)state;
	char *got = rig_check(
	    "connectors: {docs: {type: mongodb, url: \"mongodb://u:geheim@h:x/?y\", database: iot}}\nactions: []\n");
	assert_null(strstr(got, "geheim"));
	assert_true(*got);
	sl_free(got);
	url_refused("mongodb://u:p@geheim@h/", "", "one of a password is written %40");
	url_refused("mongodb+srv://u:p@geheim@h.example.net/", "", "written %40");
	url_refused("mongodb://u:p@geheim/heim@h/iot", "", "written %40");
}

static void test_conf__what_must_fit_together(void **state) {
	(void)state;
	accepted(LOAD("", ""));
	accepted(LOAD("", ", operation: update, filter: {a: \"${device}\"}, update: {$inc: {n: 1}}"));
	accepted(LOAD("", ", operation: upsert, id: \"${device}\", update: {$set: {n: \"${n}\"}}"));
	accepted(LOAD("", ", operation: replace, id: \"${device}\", create: false"));
	accepted(LOAD("", ", operation: delete, filter: {a: {$lt: \"${t}\"}}, many: true"));
	accepted(LOAD("", ", timeseries: {time: t, meta: device, granularity: minutes, expire_after: 30d}"));
	refused(LOAD("", ", operation: update, update: {$inc: {n: 1}}"), "`operation: update` needs a `filter`");
	refused(LOAD("", ", operation: update, id: x"), "`operation: update` needs an `update`");
	refused(LOAD("", ", operation: upsert, id: x, update: {$inc: {n: 1}}, document: {}"),
		"takes `update` or `document`");
	refused(LOAD("", ", operation: delete, id: x, document: {}"),
		"`operation: delete` takes a `filter` or an `id` only");
	refused(LOAD("", ", operation: replace, id: x, update: {}"),
		"`operation: replace` takes a `document`, and no `update`");
	refused(LOAD("", ", operation: update, id: x, update: {$inc: {n: 1}}, many: true"), "finds one document");
	refused(LOAD("", ", filter: {a: 1}"), "belong to `operation: update`");
	refused(LOAD("", ", id: \"${n}\", document: {_id: 1}"), "`id` and `_id` in `document`");
	refused(LOAD("", ", types: {a: float}"), "`types.a`: float is not known");
	refused(LOAD("", ", timeseries: {meta: device}"), "`timeseries` needs `time`");
	refused("connectors: {docs: {type: mongodb, url: \"mongodb://h/\", database: iot}}\n"
		"actions:\n  - {connector: docs, collection: \"c_${device}\", timeseries: {time: t}}\n",
		"`timeseries` needs one collection");
	refused(LOAD("", ", document: {a: {$inc: \"${n}\"}}"), "no operator has its place here");
	refused(LOAD("", ", operation: update, filter: {$where: \"${n}\"}, update: {$inc: {n: 1}}"),
		"read it as an expression");
}

static void test_types__of_fields_that_are_not_there(void **state) {
	(void)state;
	refused(LOAD("", ", document: {t: \"${t}\"}, types: {tt: date}"),
		"`types.tt`: there is no such field in `document`; correct the path, or take it out");
	refused(LOAD("", ", document: {a: [{b: \"${t}\"}], c: {d: {$date: \"${t}\"}}}, types: {a.c: date}"),
		"`types.a.c`");
	refused(LOAD("", ", document: '{\"t\": ${t}}', types: {a: date}"), "`types.a`");
	refused(LOAD("", ", document: {t: \"${t}\"}, types: {_id: uuid}"), "`types._id`");
	refused(LOAD("", ", operation: upsert, id: \"${n}\", update: {$set: {t: \"${t}\"}}, types: {$set.t: date}"),
		"`types.$set.t`: there is no such field in `update`");
	refused(LOAD("", ", operation: upsert, filter: {n: \"${n}\"}, update: {$set: {t: \"${t}\"}}, types: {m: date}"),
		"no such field in `update` or `filter`");
	refused(LOAD("", ", operation: delete, filter: {n: \"${n}\"}, types: {m: date}"), "no such field in `filter`");
	refused(LOAD("", ", operation: update, id: \"${n}\", update: [{$set: {t: \"${t}\"}}], types: {t: date}"),
		"`types.t`: the stages of a pipeline do not ask `types`");
	refused(LOAD("", ", document: {t: {$numberLong: \"${t}\"}}, types: {t: date}"),
		"$numberLong says one type, and date is another");
	refused(LOAD("", ", document: {t: \"${t}\"}, timeseries: {time: ts}"),
		"`timeseries.time`: there is no field ts in `document`");
}

static void test_types__of_fields_that_are_there_or_may_be(void **state) {
	(void)state;
	accepted(LOAD("", ", types: {any: date, a.b: int32}"));
	accepted(LOAD("", ", document: \"${payload}\", types: {any: date}"));
	accepted(LOAD(
	    "", ", document: {t: \"${t}\", a: [{b: \"${n}\"}, 1], c: 1}, types: {t.x.y: date, a.b: int64, c: int64}"));
	accepted(LOAD("", ", document: '{\"t\": ${t}, \"u\": \"${t}\"}', types: {t: date, u: int64}"));
	accepted(LOAD("", ", id: \"${n}\", document: {t: {$date: \"${t}\"}}, types: {_id: uuid, t: date}"));
	accepted(LOAD("", ", document: {t: {$date: \"${t}\"}}, timeseries: {time: t}"));
	accepted(LOAD(
	    "",
	    ", operation: update, filter: {n.m: {$gt: \"${n}\"}, $or: [{o: \"${n}\"}]}, types: {n.m: date, o: date, p: "
	    "date, q: date, r: date, s.v: date}, update: {$set: {p: \"${t}\", 's.$[].v': \"${t}\"}, "
	    "$push: {q: {$each: [\"${t}\"]}}, $pull: {r: \"${t}\"}}"));
	accepted(LOAD("", ", operation: update, id: \"${n}\", update: {$set: \"${payload}\"}, types: {any: date}"));
}

static void test_errors__are_sorted_and_in_the_readme(void **state) {
	(void)state;
	struct sl_buf table = SL_BUF_INIT;
	mongo_errors_print(&table);
	char *readme = rig_read(MONGODB_README);
	assert_non_null(readme);
	if (!strstr(readme, sl_buf_cstr(&table)))
		print_error("the README lacks this table:\n%s\n", sl_buf_cstr(&table));
	assert_non_null(strstr(readme, sl_buf_cstr(&table)));
	for (int code = 0; code < 20000; code++) {
		const struct mongo_error *e = mongo_error_find(code);
		assert_true(!e || e->code == code);
	}
	assert_int_equal(mongo_error_find(11000)->class.result, SL_RESULT_REJECT);
	assert_int_equal(mongo_error_find(189)->scope, SCOPE_DOWN);
	assert_int_equal(mongo_error_find(13)->scope, SCOPE_WAIT);
	assert_null(mongo_error_find(4711));
	sl_free(readme);
	sl_buf_fini(&table);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_conf__urls),
	    cmocka_unit_test(test_conf__no_text_shows_the_password),
	    cmocka_unit_test(test_conf__what_must_fit_together),
	    cmocka_unit_test(test_types__of_fields_that_are_not_there),
	    cmocka_unit_test(test_types__of_fields_that_are_there_or_may_be),
	    cmocka_unit_test(test_errors__are_sorted_and_in_the_readme),
	};
	return cmocka_run_group_tests_name("mongo_conf", tests, NULL, NULL);
}
