#include "mongo_template.h"

#include <bson/bson.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <cmocka.h>

#include "mem.h"
#include "sql_row.h"

/* Compiles `json` (a tree as YAML gives one, or JSON text when it is a string), fills ${a} with the given value, and returns what
 * is written; or the complaint. Heap. */
static char *written(enum mongo_role role, const char *json, struct sql_value a, bool absent_out) {
	static const char *const options[] = {"document", "filter", "update"};
	json_t *tree = json_loads(json, JSON_DECODE_ANY, NULL);
	assert_non_null(tree);
	struct mongo_template t;
	struct mongo_types types = {0};
	struct sl_param_list params = {0};
	struct sl_err err = SL_ERR_INIT;
	mongo_types_add(&types, SL_SLICE_LIT("typed.n"), MONGO_INT64);
	char *out = NULL;
	if (mongo_template_compile(&t, tree, options[role], role, &types, &params, &err) != SL_OK)
		out = sl_strdup(sl_err_text(&err));
	else {
		struct sql_value *values = SL_NEW_ARRAY(struct sql_value, params.n + 1);
		for (size_t i = 0; i < params.n; i++) {
			values[i] = slice_equal(params.at[i].text, SL_SLICE_LIT("${a}")) ? a : sql_int((int64_t)i);
			if (params.at[i].target == SQL_TO_TEXT) values[i] = sql_string(params.at[i].text);
		}
		struct sl_buf row = SL_BUF_INIT, bytes = SL_BUF_INIT;
		sql_row_write(&row, values, (uint16_t)params.n, 0, 0, 0);
		struct mongo_encoder e;
		mongo_encoder_init(&e, &bytes);
		mongo_encoder_row(&e);
		bool had_id;
		size_t at = mongo_doc_begin(&bytes);
		if (mongo_template_write(&t, &e, row.p, absent_out, role == MONGO_FILTER ? MONGO_NO_NULL : 0,
					 &had_id) != SL_OK)
			out = sl_strdup(sl_err_text(&e.err));
		else {
			bson_t doc;
			mongo_doc_end(&bytes, at);
			assert_true(bson_init_static(&doc, (const uint8_t *)bytes.p, bytes.n));
			char *text = bson_as_relaxed_extended_json(&doc, NULL);
			assert_non_null(text);
			out = sl_strdup(text);
			bson_free(text);
		}
		mongo_encoder_fini(&e);
		sl_buf_fini(&row);
		sl_buf_fini(&bytes);
		sl_free(values);
	}
	mongo_template_fini(&t);
	mongo_types_fini(&types);
	sl_params_fini(&params);
	sl_err_fini(&err);
	json_decref(tree);
	return out;
}

static struct sql_value json(const char *s) {
	struct sql_value v = sql_string(slice_from_str(s));
	v.kind = SQL_JSON;
	v.is_array = *s == '[';
	return v;
}

static void gives(enum mongo_role role, const char *tree, struct sql_value a, const char *wanted) {
	char *got = written(role, tree, a, false);
	assert_string_equal(got, wanted);
	sl_free(got);
}

static void test_document__values_keep_their_kind_in_yaml(void **state) {
	(void)state;
	gives(MONGO_DOCUMENT, "{\"x\":\"${a}\",\"in\":{\"y\":[\"${a}\",5,null],\"z\":true}}", sql_double(2.5),
	      "{ \"x\" : 2.5, \"in\" : { \"y\" : [ 2.5, 5, null ], \"z\" : true } }");
	gives(MONGO_DOCUMENT, "{\"typed\":{\"n\":\"${a}\"}}", sql_string(SL_SLICE_LIT("7")),
	      "{ \"typed\" : { \"n\" : 7 } }");
	/* A field that is called 7 is no place in a list. */
	gives(MONGO_DOCUMENT, "{\"7\":{\"typed\":{\"n\":\"${a}\"}}}", sql_string(SL_SLICE_LIT("7")),
	      "{ \"7\" : { \"typed\" : { \"n\" : \"7\" } } }");
	gives(MONGO_DOCUMENT, "{\"x\":{\"$date\":\"${a}\"}}", sql_int(0),
	      "{ \"x\" : { \"$date\" : \"1970-01-01T00:00:00Z\" } }");
	gives(MONGO_DOCUMENT, "{\"x\":{\"$oid\":\"507f1f77bcf86cd799439011\"}}", sql_int(0),
	      "{ \"x\" : { \"$oid\" : \"507f1f77bcf86cd799439011\" } }");
	gives(MONGO_DOCUMENT, "\"${a}\"", json("{\"q\":1}"), "{ \"q\" : 1 }");
}

static void test_document__json_text(void **state) {
	(void)state;
	gives(MONGO_DOCUMENT, "\"{\\\"x\\\": ${a}, \\\"t\\\": \\\"is ${b}\\\", \\\"q\\\": [${a}]}\"", sql_bool(true),
	      "{ \"x\" : true, \"t\" : \"is ${b}\", \"q\" : [ true ] }");
	gives(MONGO_DOCUMENT, "\"{\\\"x\\\": ${a}, }\"", sql_null(),
	      "`document` is not JSON: string or '}' expected near '}' (line 1). Write it as YAML, {device: "
	      "\"${device}\"}, or as "
	      "JSON text");
	gives(MONGO_DOCUMENT, "\"{\\\"x\\\": ${a\"", sql_null(), "`document`: this ${ has no closing }");
	gives(MONGO_DOCUMENT, "\"{\\\"x: 5\"", sql_null(), "`document`: this text in quotes does not end");
	gives(MONGO_DOCUMENT, "\"[1]\"", sql_null(), "`document`: a document is an object, {device: \"${device}\"}");
}

static void test_document__what_an_author_may_not_write(void **state) {
	(void)state;
	gives(MONGO_DOCUMENT, "{\"${a}\":1}", sql_null(),
	      "`document.\"${a}\"`: a name is the rule's, not the data's: write it out, and ${...} in the value");
	gives(MONGO_DOCUMENT, "{\"x\":{\"$inc\":\"${a}\"}}", sql_null(),
	      "`document.x.\"$inc\"`: no operator has its place here; a type is written {\"$date\": \"${ts}\"}, or "
	      "named in `types`");
	gives(MONGO_DOCUMENT, "{\"x\":{\"$date\":\"never\"}}", sql_null(),
	      "`document.x`: field x: this text is no date; write RFC 3339 text, milliseconds since 1970, or "
	      "mongo_date()");
	gives(MONGO_DOCUMENT, "{\"x\":{\"$date\":[\"${a}\"]}}", sql_null(),
	      "`document.x`: $date takes one value here: {\"$date\": \"${...}\"}");
}

static void test_document__absent_values(void **state) {
	(void)state;
	char *got = written(MONGO_DOCUMENT, "{\"x\":\"${a}\",\"y\":[\"${a}\"],\"z\":1}", sql_null(), true);
	assert_string_equal(got, "{ \"y\" : [ null ], \"z\" : 1 }");
	sl_free(got);
	gives(MONGO_DOCUMENT, "{\"x\":\"${a}\"}", sql_null(), "{ \"x\" : null }");
}

/* What a device sends is compared with, never obeyed. */
static void test_filter__values_stay_values(void **state) {
	(void)state;
	gives(MONGO_FILTER, "{\"x\":\"${a}\"}", sql_int(1), "{ \"x\" : 1 }");
	gives(MONGO_FILTER, "{\"x\":\"${a}\"}", json("{\"$gt\":\"\"}"), "{ \"x\" : { \"$eq\" : { \"$gt\" : \"\" } } }");
	gives(MONGO_FILTER, "{\"x\":{\"$gte\":\"${a}\",\"$lt\":5}}", sql_int(1),
	      "{ \"x\" : { \"$gte\" : 1, \"$lt\" : 5 } }");
	gives(MONGO_FILTER, "{\"$or\":[{\"x\":\"${a}\"},{\"y\":{\"$in\":[\"${a}\",2]}}]}", json("{\"$ne\":1}"),
	      "{ \"$or\" : [ { \"x\" : { \"$eq\" : { \"$ne\" : 1 } } }, { \"y\" : { \"$in\" : [ { \"$ne\" : 1 }, 2 ] } "
	      "} ] }");
	gives(MONGO_FILTER, "{\"x\":{\"$elemMatch\":{\"y\":\"${a}\"}}}", json("{\"$gt\":0}"),
	      "{ \"x\" : { \"$elemMatch\" : { \"y\" : { \"$eq\" : { \"$gt\" : 0 } } } } }");
	gives(MONGO_FILTER, "{\"x\":{\"$not\":{\"$gt\":\"${a}\"}}}", sql_int(3),
	      "{ \"x\" : { \"$not\" : { \"$gt\" : 3 } } }");
	gives(MONGO_FILTER, "{\"_id\":{\"$oid\":\"${a}\"}}", sql_string(SL_SLICE_LIT("507f1f77bcf86cd799439011")),
	      "{ \"_id\" : { \"$oid\" : \"507f1f77bcf86cd799439011\" } }");
	gives(MONGO_FILTER, "{\"$where\":\"${a}\"}", sql_null(),
	      "`filter.\"$where\"`: a value of the data may not stand in $where: the server would read it as an "
	      "expression");
	gives(MONGO_FILTER, "{\"$expr\":{\"$gt\":[\"$t\",\"${a}\"]}}", sql_null(),
	      "`filter.\"$expr\"`: a value of the data may not stand in $expr: the server would read it as an "
	      "expression");
	gives(MONGO_FILTER, "{\"x\":{\"$regex\":\"${a}\"}}", sql_null(),
	      "`filter.x.\"$regex\"`: a value of the data may not stand in $regex: the server would read it as an "
	      "expression");
	gives(MONGO_FILTER, "{\"$expr\":{\"$gt\":[\"$t\",5]}}", sql_null(),
	      "{ \"$expr\" : { \"$gt\" : [ \"$t\", 5 ] } }");
	gives(MONGO_FILTER, "\"${a}\"", sql_null(), "`filter`: a filter is an object, {device: \"${device}\"}");
}

/* To the server null is every document without the field. */
static void test_filter__null_finds_nothing(void **state) {
	static const char *const filters[] = {"{\"x\":\"${a}\"}", "{\"x\":{\"$in\":[7,\"${a}\"]}}",
					      "{\"x\":{\"$in\":\"${a}\"}}", "{\"$or\":[{\"x\":{\"$gte\":\"${a}\"}}]}"};
	const char no[] = "filter: a value of this row is null or not there, and null would fit documents without the "
			  "field, too; let the rule leave such rows out (WHERE)";
	(void)state;
	for (size_t i = 0; i < SL_ARRAY_LEN(filters); i++) gives(MONGO_FILTER, filters[i], sql_null(), no);
	gives(MONGO_FILTER, "{\"x\":{\"$in\":\"${a}\"}}", json("[1, null]"), no);
	gives(MONGO_FILTER, "{\"x\":{\"$nin\":\"${a}\"}}", json("[null]"), no);
	gives(MONGO_FILTER, "{\"x\":{\"$in\":\"${a}\"}}", json("[1, [null], {\"y\": null}]"),
	      "{ \"x\" : { \"$in\" : [ 1, [ null ], { \"y\" : null } ] } }");
	gives(MONGO_FILTER, "{\"x\":\"${a}\"}", json("[null]"), "{ \"x\" : [ null ] }");
}

static void test_update__values_stay_values(void **state) {
	(void)state;
	gives(MONGO_UPDATE, "{\"$set\":{\"x\":\"${a}\",\"y.z\":{\"w\":\"${a}\"}},\"$inc\":{\"n\":1}}",
	      json("{\"$inc\":1}"),
	      "{ \"$set\" : { \"x\" : { \"$inc\" : 1 }, \"y.z\" : { \"w\" : { \"$inc\" : 1 } } }, \"$inc\" : { \"n\" : "
	      "1 } }");
	gives(MONGO_UPDATE, "{\"$set\":{\"typed.n\":\"${a}\"}}", sql_string(SL_SLICE_LIT("8")),
	      "{ \"$set\" : { \"typed.n\" : 8 } }");
	gives(MONGO_UPDATE, "{\"$set\":{\"typed.0.n\":\"${a}\"}}", sql_string(SL_SLICE_LIT("8")),
	      "{ \"$set\" : { \"typed.0.n\" : 8 } }");
	gives(MONGO_UPDATE, "{\"$push\":{\"x\":\"${a}\"}}", json("{\"$each\":[1,2]}"),
	      "{ \"$push\" : { \"x\" : { \"$each\" : [ { \"$each\" : [ 1, 2 ] } ] } } }");
	gives(MONGO_UPDATE, "{\"$push\":{\"x\":{\"$each\":\"${a}\",\"$slice\":-3}}}", json("[1,2]"),
	      "{ \"$push\" : { \"x\" : { \"$each\" : [ 1, 2 ], \"$slice\" : -3 } } }");
	gives(MONGO_UPDATE, "{\"$pull\":{\"x\":\"${a}\"}}", json("{\"$gt\":0}"),
	      "{ \"$pull\" : { \"x\" : { \"$eq\" : { \"$gt\" : 0 } } } }");
	gives(MONGO_UPDATE, "{\"$bit\":{\"x\":{\"or\":\"${a}\"}}}", json("{\"and\":0}"),
	      "field or: an object or a list may not stand here");
	gives(MONGO_UPDATE, "{\"$set\":\"${a}\"}", json("{\"_id\":1,\"q\":2}"), "{ \"$set\" : { \"q\" : 2 } }");
	gives(MONGO_UPDATE, "{\"$set\":\"${a}\"}", json("{\"$q\":2}"),
	      "field $q: this name begins with $, and would be an operator here");
	gives(MONGO_UPDATE, "{\"x\":\"${a}\"}", sql_null(),
	      "`update.x`: an update is made of operators, {$set: {...}}; to store a whole document take `operation: "
	      "replace` or "
	      "`upsert` with `document`");
	gives(MONGO_UPDATE, "{}", sql_null(), "`update`: this update changes nothing");
}

static void test_update__in_a_pipeline_values_are_literals(void **state) {
	(void)state;
	gives(MONGO_UPDATE, "[{\"$set\":{\"x\":{\"$add\":[\"$x\",\"${a}\"]}}}]", sql_string(SL_SLICE_LIT("$secret")),
	      "{ \"0\" : { \"$set\" : { \"x\" : { \"$add\" : [ \"$x\", { \"$literal\" : \"$secret\" } ] } } } }");
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_document__values_keep_their_kind_in_yaml),
	    cmocka_unit_test(test_document__json_text),
	    cmocka_unit_test(test_document__what_an_author_may_not_write),
	    cmocka_unit_test(test_document__absent_values),
	    cmocka_unit_test(test_filter__values_stay_values),
	    cmocka_unit_test(test_filter__null_finds_nothing),
	    cmocka_unit_test(test_update__values_stay_values),
	    cmocka_unit_test(test_update__in_a_pipeline_values_are_literals),
	};
	return cmocka_run_group_tests_name("mongo_template", tests, NULL, NULL);
}
