#include "mongo_bson.h"

#include <bson/bson.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>

#include "mem.h"

/* What an encoder wrote, as libbson reads it: canonical Extended JSON; or the encoder's complaint. Heap. */
struct world {
	struct sl_buf out;
	struct mongo_encoder e;
	struct mongo_types types;
	size_t at;
};

static struct world *world_new(void) {
	struct world *w = SL_NEW(struct world);
	mongo_encoder_init(&w->e, &w->out);
	return w;
}

static void world_free(struct world *w) {
	mongo_encoder_fini(&w->e);
	mongo_types_fini(&w->types);
	sl_buf_fini(&w->out);
	sl_free(w);
}

static void begin(struct world *w) {
	sl_buf_clear(&w->out);
	mongo_encoder_row(&w->e);
	w->at = mongo_doc_begin(&w->out);
}

static char *finish(struct world *w, int r) {
	if (r != SL_OK) return sl_strdup(sl_err_text(&w->e.err));
	mongo_doc_end(&w->out, w->at);
	bson_t doc;
	size_t bad;
	assert_true(bson_init_static(&doc, (const uint8_t *)w->out.p, w->out.n));
	assert_true(bson_validate(&doc, BSON_VALIDATE_UTF8 | BSON_VALIDATE_UTF8_ALLOW_NULL, &bad));
	char *text = bson_as_canonical_extended_json(&doc, NULL), *copy = sl_strdup(text);
	bson_free(text);
	return copy;
}

static void expect(struct world *w, int r, const char *wanted) {
	char *got = finish(w, r);
	assert_string_equal(got, wanted);
	sl_free(got);
}

static void members(struct world *w, const char *json, unsigned flags, const char *wanted) {
	bool had_id;
	begin(w);
	expect(w, mongo_encode_members(&w->e, slice_from_str(json), &w->types, flags, &had_id), wanted);
}

static void value(struct world *w, struct sql_value v, const char *wanted) {
	begin(w);
	expect(w, mongo_encode_value(&w->e, SL_SLICE_LIT("v"), &v, mongo_types_inner(&w->types, SL_SLICE_LIT("v"))),
	       wanted);
}

static struct sql_value text(const char *s) { return sql_string(slice_from_str(s)); }
static struct sql_value of_kind(enum sql_kind kind, const char *s) {
	struct sql_value v = text(s);
	v.kind = kind;
	return v;
}

static void test_bson__the_bytes_of_each_plain_type(void **state) {
	(void)state;
	struct world *w = world_new();
	members(w, "{\"i\":1,\"l\":4294967296,\"d\":0.5,\"s\":\"h\\u00e9\",\"t\":true,\"n\":null,\"o\":{},\"a\":[2]}",
		0,
		"{ \"i\" : { \"$numberInt\" : \"1\" }, \"l\" : { \"$numberLong\" : \"4294967296\" }, \"d\" : { "
		"\"$numberDouble\" : "
		"\"0.5\" }, \"s\" : \"h\xc3\xa9\", \"t\" : true, \"n\" : null, \"o\" : {  }, \"a\" : [ { "
		"\"$numberInt\" : \"2\" } ] }");
	static const char wanted[] =
	    "K\0\0\0\x10i\0\1\0\0\0\x12l\0\0\0\0\0\1\0\0\0\1d\0\0\0\0\0\0\0\xe0\x3f\2s\0\4\0\0\0h\xc3\xa9\0"
	    "\x8t\0\1\xan\0\3o\0\5\0\0\0\0\4a\0\xc\0\0\0\x10"
	    "0\0\2\0\0\0\0";
	assert_int_equal(w->out.n, sizeof wanted);
	assert_memory_equal(w->out.p, wanted, sizeof wanted);
	world_free(w);
}

static void test_bson__values_keep_their_kind(void **state) {
	(void)state;
	struct world *w = world_new();
	value(w, sql_int(INT32_MAX), "{ \"v\" : { \"$numberInt\" : \"2147483647\" } }");
	value(w, sql_int((int64_t)INT32_MAX + 1), "{ \"v\" : { \"$numberLong\" : \"2147483648\" } }");
	value(w, sql_int(INT64_MIN), "{ \"v\" : { \"$numberLong\" : \"-9223372036854775808\" } }");
	value(w, sql_double(0.1), "{ \"v\" : { \"$numberDouble\" : \"0.10000000000000000555\" } }");
	value(w, sql_double((double)NAN), "{ \"v\" : { \"$numberDouble\" : \"NaN\" } }");
	value(w, sql_null(), "{ \"v\" : null }");
	value(w, of_kind(SQL_BYTES, "\xff\x01"),
	      "{ \"v\" : { \"$binary\" : { \"base64\" : \"/wE=\", \"subType\" : \"00\" } } }");
	value(w, text("\xff"), "{ \"v\" : { \"$binary\" : { \"base64\" : \"/w==\", \"subType\" : \"00\" } } }");
	value(w, sql_string(slice_make("a\0b", 3)), "{ \"v\" : \"a\\u0000b\" }");
	value(w, text("'; $where: \"x\""), "{ \"v\" : \"'; $where: \\\"x\\\"\" }");
	value(w, of_kind(SQL_JSON, "{\"a\":[1,{\"b\":2.5}]}"),
	      "{ \"v\" : { \"a\" : [ { \"$numberInt\" : \"1\" }, { \"b\" : { \"$numberDouble\" : \"2.5\" } } ] } }");
	world_free(w);
}

static void test_bson__numbers_that_are_too_large(void **state) {
	(void)state;
	struct world *w = world_new();
	struct sql_value big = of_kind(SQL_NUMBER_TEXT, "18446744073709551616"),
			 far = of_kind(SQL_NUMBER_TEXT, "1e400"),
			 precise = of_kind(SQL_NUMBER_TEXT, "0.1234567890123456789");
	value(w, big, "{ \"v\" : { \"$numberDecimal\" : \"18446744073709551616\" } }");
	value(w, far, "{ \"v\" : { \"$numberDecimal\" : \"1E+400\" } }");
	value(w, precise, "{ \"v\" : { \"$numberDouble\" : \"0.12345678901234567737\" } }");
	value(w, of_kind(SQL_NUMBER_TEXT, "1234567890123456789012345678901234567"),
	      "field v: the number has more than the 34 digits of a decimal128, or is beyond its range");
	w->e.style.large = MONGO_LARGE_DOUBLE;
	value(w, big, "{ \"v\" : { \"$numberDouble\" : \"18446744073709551616.0\" } }");
	value(w, far, "field v: the number is beyond the range of a double");
	w->e.style.large = MONGO_LARGE_STRING;
	value(w, big, "{ \"v\" : \"18446744073709551616\" }");
	world_free(w);
}

struct typed {
	const char *json, *wanted;
};
static void each_typed(enum mongo_type type, const struct typed *rows, size_t n) {
	struct world *w = world_new();
	mongo_types_add(&w->types, SL_SLICE_LIT("v"), type);
	for (size_t i = 0; i < n; i++) {
		char *json = sl_asprintf("{\"v\":%s}", rows[i].json);
		members(w, json, 0, rows[i].wanted);
		sl_free(json);
	}
	world_free(w);
}
#define EACH(type, rows) each_typed(type, rows, sizeof(rows) / sizeof *(rows))

static void test_bson__dates(void **state) {
	(void)state;
	static const struct typed rows[] = {
	    {"1700000000123", "{ \"v\" : { \"$date\" : { \"$numberLong\" : \"1700000000123\" } } }"},
	    {"-1", "{ \"v\" : { \"$date\" : { \"$numberLong\" : \"-1\" } } }"},
	    {"1.9", "{ \"v\" : { \"$date\" : { \"$numberLong\" : \"1\" } } }"},
	    {"\"2023-11-14T22:13:20.123Z\"", "{ \"v\" : { \"$date\" : { \"$numberLong\" : \"1700000000123\" } } }"},
	    {"\"2023-11-14T23:13:20+01:00\"", "{ \"v\" : { \"$date\" : { \"$numberLong\" : \"1700000000000\" } } }"},
	    {"\"ISODate(2023-11-14T22:13:20.123Z)\"",
	     "{ \"v\" : { \"$date\" : { \"$numberLong\" : \"1700000000123\" } } }"},
	    {"null", "{ \"v\" : null }"},
	    {"[0,1]", "{ \"v\" : [ { \"$date\" : { \"$numberLong\" : \"0\" } }, { \"$date\" : { \"$numberLong\" : "
		      "\"1\" } } ] }"},
	    {"\"tomorrow\"",
	     "field v: this text is no date; write RFC 3339 text, milliseconds since 1970, or mongo_date()"},
	    {"true", "field v: a boolean is no date; write RFC 3339 text, milliseconds since 1970, or mongo_date()"},
	    {"{}", "field v: an object cannot be stored as date"}};
	EACH(MONGO_DATE, rows);
}

static void test_bson__integers_and_doubles(void **state) {
	(void)state;
	static const struct typed i32[] = {{"5", "{ \"v\" : { \"$numberInt\" : \"5\" } }"},
					   {"5.0", "{ \"v\" : { \"$numberInt\" : \"5\" } }"},
					   {"\"5\"", "{ \"v\" : { \"$numberInt\" : \"5\" } }"},
					   {"5.5", "field v: this number cannot be stored as int32"},
					   {"2147483648", "field v: this number cannot be stored as int32"},
					   {"\"5 \"", "field v: this text cannot be stored as int32"}};
	static const struct typed i64[] = {
	    {"5", "{ \"v\" : { \"$numberLong\" : \"5\" } }"},
	    {"9007199254740993", "{ \"v\" : { \"$numberLong\" : \"9007199254740993\" } }"},
	    {"9223372036854775808", "field v: this number cannot be stored as int64"},
	    {"1e3", "{ \"v\" : { \"$numberLong\" : \"1000\" } }"}};
	static const struct typed d[] = {{"5", "{ \"v\" : { \"$numberDouble\" : \"5.0\" } }"},
					 {"\"2.5\"", "{ \"v\" : { \"$numberDouble\" : \"2.5\" } }"},
					 {"9007199254740993", "field v: this number cannot be stored as double"},
					 {"\"9007199254740993\"", "field v: this text cannot be stored as double"},
					 {"18446744073709551617", "field v: this number cannot be stored as double"},
					 {"1e3", "{ \"v\" : { \"$numberDouble\" : \"1000.0\" } }"},
					 {"\"NaN\"", "{ \"v\" : { \"$numberDouble\" : \"NaN\" } }"},
					 {"\"Infinity\"", "{ \"v\" : { \"$numberDouble\" : \"Infinity\" } }"},
					 {"\"-Infinity\"", "{ \"v\" : { \"$numberDouble\" : \"-Infinity\" } }"},
					 {"\"-NaN\"", "field v: this text cannot be stored as double"},
					 {"\"x\"", "field v: this text cannot be stored as double"}};
	EACH(MONGO_INT32, i32);
	EACH(MONGO_INT64, i64);
	EACH(MONGO_DOUBLE, d);
}

static void test_bson__other_types(void **state) {
	(void)state;
	static const struct typed oid[] = {
	    {"\"507f1f77bcf86cd799439011\"", "{ \"v\" : { \"$oid\" : \"507f1f77bcf86cd799439011\" } }"},
	    {"\"507f\"", "field v: this text is no objectid, which is 24 hexadecimal digits"},
	    {"5", "field v: this number is no objectid, which is 24 hexadecimal digits"}};
	static const struct typed decimal[] = {{"0.1", "{ \"v\" : { \"$numberDecimal\" : \"0.1\" } }"},
					       {"1.50", "{ \"v\" : { \"$numberDecimal\" : \"1.50\" } }"},
					       {"\"-7\"", "{ \"v\" : { \"$numberDecimal\" : \"-7\" } }"},
					       {"\"NaN\"", "{ \"v\" : { \"$numberDecimal\" : \"NaN\" } }"},
					       {"\"Infinity\"", "{ \"v\" : { \"$numberDecimal\" : \"Infinity\" } }"},
					       {"\"-Infinity\"", "{ \"v\" : { \"$numberDecimal\" : \"-Infinity\" } }"},
					       {"\"seven\"", "field v: this text cannot be stored as decimal128"}};
	static const struct typed base64[] = {
	    {"\"AAE=\"", "{ \"v\" : { \"$binary\" : { \"base64\" : \"AAE=\", \"subType\" : \"00\" } } }"},
	    {"\"!\"", "field v: this text is not base64"}};
	static const struct typed binary[] = {
	    {"\"ab\"", "{ \"v\" : { \"$binary\" : { \"base64\" : \"YWI=\", \"subType\" : \"00\" } } }"},
	    {"1", "field v: this number cannot be stored as binary"}};
	static const struct typed uuid[] = {
	    {"\"00112233-4455-6677-8899-aabbccddeeff\"",
	     "{ \"v\" : { \"$binary\" : { \"base64\" : \"ABEiM0RVZneImaq7zN3u/w==\", \"subType\" : \"04\" } } }"},
	    {"\"00112233\"", "field v: this text cannot be stored as uuid"}};
	static const struct typed string[] = {{"5", "{ \"v\" : \"5\" }"},
					      {"18446744073709551616", "{ \"v\" : \"18446744073709551616\" }"},
					      {"true", "{ \"v\" : \"true\" }"}};
	EACH(MONGO_OBJECTID, oid);
	EACH(MONGO_DECIMAL128, decimal);
	EACH(MONGO_BASE64, base64);
	EACH(MONGO_BINARY, binary);
	EACH(MONGO_UUID, uuid);
	EACH(MONGO_STRING, string);
}

static void test_bson__types_reach_into_objects_and_lists(void **state) {
	(void)state;
	struct world *w = world_new();
	mongo_types_add(&w->types, SL_SLICE_LIT("a.b"), MONGO_INT64);
	mongo_types_add(&w->types, SL_SLICE_LIT("a.c.d"), MONGO_DOUBLE);
	members(w, "{\"a\":[{\"b\":1},{\"b\":2,\"c\":{\"d\":3}}],\"b\":1}", 0,
		"{ \"a\" : [ { \"b\" : { \"$numberLong\" : \"1\" } }, { \"b\" : { \"$numberLong\" : \"2\" }, \"c\" : { "
		"\"d\" : { "
		"\"$numberDouble\" : \"3.0\" } } } ], \"b\" : { \"$numberInt\" : \"1\" } }");
	members(w, "{\"a\":[{\"b\":1},{\"b\":\"x\"}]}", 0, "field a.1.b: this text cannot be stored as int64");
	world_free(w);
}

static void test_bson__of_a_name_that_comes_twice_the_last_counts(void **state) {
	(void)state;
	struct world *w = world_new();
	members(w, "{\"a\":1,\"b\":2,\"\\u0061\":3}", 0,
		"{ \"b\" : { \"$numberInt\" : \"2\" }, \"a\" : { \"$numberInt\" : \"3\" } }");
	members(w, "{\"o\":{\"a\":1,\"a\":{\"x\":1,\"x\":2},\"a\":{\"y\":0,\"y\":1}}}", 0,
		"{ \"o\" : { \"a\" : { \"y\" : { \"$numberInt\" : \"1\" } } } }");
	struct sl_buf json = SL_BUF_INIT;
	sl_buf_put(&json, '{');
	for (int i = 0; i < 1000; i++) sl_buf_printf(&json, "%s\"k%d\":%d", i ? "," : "", i % 500, i);
	sl_buf_put(&json, '}');
	bool had_id;
	begin(w);
	assert_int_equal(mongo_encode_members(&w->e, sl_buf_slice(&json), NULL, 0, &had_id), SL_OK);
	mongo_doc_end(&w->out, w->at);
	bson_t doc;
	bson_iter_t it;
	assert_true(bson_init_static(&doc, (const uint8_t *)w->out.p, w->out.n));
	assert_int_equal(bson_count_keys(&doc), 500);
	assert_true(bson_iter_init_find(&it, &doc, "k7"));
	assert_int_equal(bson_iter_int32(&it), 507);
	sl_buf_fini(&json);
	world_free(w);
}

static void test_bson__names_from_data(void **state) {
	(void)state;
	struct world *w = world_new();
	members(w, "{\"$set\":{\"a.b\":1},\"\":2}", 0,
		"{ \"$set\" : { \"a.b\" : { \"$numberInt\" : \"1\" } }, \"\" : { \"$numberInt\" : \"2\" } }");
	members(w, "{\"a\\u0000b\":1}", 0, "a name holds a zero byte, which MongoDB's cannot");
	members(w, "{\"$set\":1}", MONGO_PLAIN_NAMES,
		"field $set: this name begins with $, and would be an operator here");
	members(w, "{\"a.b\":1}", MONGO_PLAIN_NAMES, "field a.b: this name holds a dot, and would be a path here");
	members(w, "{\"_id\":1,\"a\":2}", MONGO_SKIP_ID, "{ \"a\" : { \"$numberInt\" : \"2\" } }");
	members(w, "[1]", 0, "the row is no object, and a document is one; name its fields in `document`");
	members(w, "{\"a\":1", 0, "the row is not JSON");
	members(w, "{\"a\":{\"b\":1e+}}", 0, "field a: the JSON text is damaged");
	world_free(w);
}

static void test_bson__extended_json_only_where_it_is_meant(void **state) {
	(void)state;
	static const char json[] =
	    "{\"d\":{\"$date\":\"2023-11-14T22:13:20Z\"},\"o\":{\"$oid\":\"507f1f77bcf86cd799439011\"},"
	    "\"n\":{\"$numberDecimal\":\"1.5\"},\"l\":{\"$date\":{\"$numberLong\":\"5\"}},"
	    "\"b\":{\"$binary\":{\"base64\":\"AAE=\",\"subType\":\"05\"}},\"x\":{\"$numberDouble\":\"-Infinity\"},"
	    "\"t\":{\"$timestamp\":{\"t\":1,\"i\":2}},\"r\":{\"$ref\":\"c\",\"$id\":1}}";
	struct world *w = world_new();
	members(w, "{\"d\":{\"$date\":\"x\"}}", 0, "{ \"d\" : { \"$date\" : \"x\" } }");
	w->e.style.extended = true;
	members(w, json, 0,
		"{ \"d\" : { \"$date\" : { \"$numberLong\" : \"1700000000000\" } }, \"o\" : { \"$oid\" : "
		"\"507f1f77bcf86cd799439011\" }, \"n\" : { \"$numberDecimal\" : \"1.5\" }, \"l\" : { \"$date\" : { "
		"\"$numberLong\" "
		": \"5\" } }, \"b\" : { \"$binary\" : { \"base64\" : \"AAE=\", \"subType\" : \"05\" } }, \"x\" : { "
		"\"$numberDouble\" : \"-Infinity\" }, \"t\" : { \"$timestamp\" : { \"t\" : 1, \"i\" : 2 } }, \"r\" : { "
		"\"$ref\" : "
		"\"c\", \"$id\" : { \"$numberInt\" : \"1\" } } }");
	members(w, "{\"d\":{\"$date\":\"x\"}}", 0,
		"field d: this text is no date; write RFC 3339 text, milliseconds since 1970, or mongo_date()");
	members(w, "{\"d\":{\"$oid\":[1]}}", 0, "field d: this is no $oid of Extended JSON");
	world_free(w);
}

static void test_bson__what_mongo_date_gives(void **state) {
	(void)state;
	struct world *w = world_new();
	w->e.style.dates = true;
	static const char json[] =
	    "{\"a\":\"ISODate(2023-11-14T22:13:20.000Z)\",\"b\":\"ISODate(2023-11-14T22:13:20Z)\","
	    "\"c\":{\"d\":\"ISODate(2023-11-14T22:13:20.000Z)\"}}";
	members(w, json, 0,
		"{ \"a\" : { \"$date\" : { \"$numberLong\" : \"1700000000000\" } }, \"b\" : "
		"\"ISODate(2023-11-14T22:13:20Z)\", "
		"\"c\" : { \"d\" : \"ISODate(2023-11-14T22:13:20.000Z)\" } }");
	value(w, text("ISODate(2023-11-14T22:13:20.000Z)"),
	      "{ \"v\" : { \"$date\" : { \"$numberLong\" : \"1700000000000\" } } }");
	w->e.style.dates = false;
	value(w, text("ISODate(2023-11-14T22:13:20.000Z)"), "{ \"v\" : \"ISODate(2023-11-14T22:13:20.000Z)\" }");
	world_free(w);
}

static void test_bson__depth_has_an_end(void **state) {
	(void)state;
	struct world *w = world_new();
	struct sl_buf json = SL_BUF_INIT;
	sl_buf_append_str(&json, "{\"a\":");
	for (int i = 0; i < 62; i++) sl_buf_put(&json, '[');
	for (int i = 0; i < 62; i++) sl_buf_put(&json, ']');
	sl_buf_put(&json, '}');
	bool had_id;
	begin(w);
	assert_int_equal(mongo_encode_members(&w->e, sl_buf_slice(&json), NULL, 0, &had_id), SL_OK);
	sl_buf_fini(&json);
	world_free(w);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_bson__the_bytes_of_each_plain_type),
	    cmocka_unit_test(test_bson__values_keep_their_kind),
	    cmocka_unit_test(test_bson__numbers_that_are_too_large),
	    cmocka_unit_test(test_bson__dates),
	    cmocka_unit_test(test_bson__integers_and_doubles),
	    cmocka_unit_test(test_bson__other_types),
	    cmocka_unit_test(test_bson__types_reach_into_objects_and_lists),
	    cmocka_unit_test(test_bson__of_a_name_that_comes_twice_the_last_counts),
	    cmocka_unit_test(test_bson__names_from_data),
	    cmocka_unit_test(test_bson__extended_json_only_where_it_is_meant),
	    cmocka_unit_test(test_bson__what_mongo_date_gives),
	    cmocka_unit_test(test_bson__depth_has_an_end),
	};
	return cmocka_run_group_tests_name("mongo_bson", tests, NULL, NULL);
}
