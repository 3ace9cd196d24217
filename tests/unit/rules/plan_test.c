/* plan_test.c: what candidates read together, and when two topics have one plan. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "mem.h"
#include "rule_plan.h"

static void add_rule(struct ruleset *set, const char *sql) {
	struct sl_err err = SL_ERR_INIT;
	struct rule *r;
	char *id = sl_asprintf("r%zu", set->len);
	if (rule_new(slice_from_str(id), slice_from_str(sql), NULL, &r, &err) != SL_OK)
		fail_msg("%s", sl_err_text(&err));
	sl_free(id);
	ruleset_add(set, r);
}

static struct rule_plan *plan_of(struct rule_plans *plans, const struct ruleset *set, const char *topic) {
	struct rule_filters found = {.at = NULL};
	rule_index_match(set->index, slice_from_str(topic), &found);
	struct rule_plan *plan = rule_plans_get(plans, &found);
	sl_free(found.at);
	return plan;
}

static void test_rule_plan__topics_with_the_same_candidates_share_one(void **state) {
	(void)state;
	struct ruleset *set = ruleset_new();
	struct rule_plans plans;
	add_rule(set, "SELECT payload.a AS a FROM \"t/+\", \"u\"");
	add_rule(set, "SELECT payload.b AS b FROM \"t/#\"");
	ruleset_complete(set, NULL, 1);
	rule_plans_init(&plans, set, 0);
	struct rule_plan *all[1000], *other = plan_of(&plans, set, "u");
	for (int i = 0; i < 1000; i++) {
		char topic[32];
		(void)snprintf(topic, sizeof topic, "t/%d", i);
		all[i] = plan_of(&plans, set, topic);
		assert_ptr_equal(all[i], all[0]);
	}
	assert_ptr_not_equal(other, all[0]);
	assert_int_equal(rule_plans_count(&plans), 2);
	for (int i = 0; i < 1000; i++) rule_plan_unref(&plans, all[i]);
	assert_int_equal(rule_plans_count(&plans), 1);
	rule_plan_unref(&plans, other);
	assert_int_equal(rule_plans_count(&plans), 0);
	rule_plans_fini(&plans);
	ruleset_unref(set);
}

static void test_rule_plan__the_filter_that_matched_is_part_of_it(void **state) {
	(void)state;
	struct ruleset *set = ruleset_new();
	struct rule_plans plans;
	add_rule(set, "SELECT metadata.matched AS m FROM \"t/+\", \"u/+\"");
	ruleset_complete(set, NULL, 1);
	rule_plans_init(&plans, set, 0);
	struct rule_plan *t = plan_of(&plans, set, "t/1"), *u = plan_of(&plans, set, "u/1");
	assert_true(slice_equal_str(*t->at[0].matched, "t/+"));
	assert_true(slice_equal_str(*u->at[0].matched, "u/+"));
	rule_plan_unref(&plans, t);
	rule_plan_unref(&plans, u);
	rule_plans_fini(&plans);
	ruleset_unref(set);
}

static void test_rule_plan__each_path_of_all_candidates_is_extracted_once(void **state) {
	(void)state;
	struct ruleset *set = ruleset_new();
	struct rule_plans plans;
	add_rule(set, "SELECT topic FROM \"t\"");
	add_rule(set, "SELECT payload.a AS a, payload.b AS b FROM \"t\"");
	add_rule(set, "SELECT payload.b AS b, payload.a AS a, payload.c AS c FROM \"t\"");
	ruleset_complete(set, NULL, 1);
	rule_plans_init(&plans, set, 0);
	struct rule_plan *plan = plan_of(&plans, set, "t");
	assert_int_equal(plan->count, 3);
	assert_int_equal(plan->pass_count, 1);
	assert_int_equal(jpath_set_count(plan->passes[0]), 3);
	assert_int_equal(plans.shared_max, 3);
	assert_int_equal(plan->at[0].pass, RULE_PLAN_NO_PASS);
	assert_int_equal(plan->at[1].pass, 0);
	assert_int_equal(plan->at[2].pass, 0);
	assert_null(plan->at[1].map); /* the same numbers as its own */
	assert_non_null(plan->at[2].map);
	assert_int_equal(plan->at[2].map[0], 1);
	assert_int_equal(plan->at[2].map[1], 0);
	assert_int_equal(plan->at[2].map[2], 2);
	rule_plan_unref(&plans, plan);
	rule_plans_fini(&plans);
	ruleset_unref(set);
}

static void test_rule_plan__without_paths_the_payload_is_not_looked_at(void **state) {
	(void)state;
	struct ruleset *set = ruleset_new();
	struct rule_plans plans;
	add_rule(set, "SELECT topic, qos FROM \"t\" WHERE clientid = 'x'");
	ruleset_complete(set, NULL, 1);
	rule_plans_init(&plans, set, 0);
	struct rule_plan *plan = plan_of(&plans, set, "t");
	assert_int_equal(plan->pass_count, 0);
	assert_int_equal(plan->at[0].pass, RULE_PLAN_NO_PASS);
	rule_plan_unref(&plans, plan);
	rule_plans_fini(&plans);
	ruleset_unref(set);
}

/* More paths than one pass can number: the candidates fall into groups. */
static void test_rule_plan__many_paths_take_two_passes(void **state) {
	(void)state;
	enum { RULES = 270, PATHS = 250, FIRST = 262 /* 65535 / PATHS */ };
	struct ruleset *set = ruleset_new();
	struct rule_plans plans;
	for (int r = 0; r < RULES; r++) {
		struct sl_buf sql = SL_BUF_INIT;
		for (int i = 0; i < PATHS; i++)
			sl_buf_printf(&sql, "%s payload.p%d_%d AS c%d", i ? "," : "SELECT", r, i, i);
		sl_buf_append_str(&sql, " FROM \"t\"");
		add_rule(set, sl_buf_cstr(&sql));
		sl_buf_fini(&sql);
	}
	ruleset_complete(set, NULL, 1);
	rule_plans_init(&plans, set, 0);
	struct rule_plan *plan = plan_of(&plans, set, "t");
	assert_int_equal(plan->pass_count, 2);
	assert_int_equal(plan->at[0].pass, 0);
	assert_int_equal(plan->at[FIRST].pass, 1);
	assert_int_equal(jpath_set_count(plan->passes[0]), FIRST * PATHS);
	assert_int_equal(jpath_set_count(plan->passes[1]), (RULES - FIRST) * PATHS);
	assert_int_equal(plan->at[FIRST - 1].map[PATHS - 1], FIRST * PATHS - 1);
	assert_null(plan->at[FIRST].map);
	assert_int_equal(plans.shared_max, FIRST * PATHS);
	rule_plan_unref(&plans, plan);
	rule_plans_fini(&plans);
	ruleset_unref(set);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rule_plan__topics_with_the_same_candidates_share_one),
	    cmocka_unit_test(test_rule_plan__the_filter_that_matched_is_part_of_it),
	    cmocka_unit_test(test_rule_plan__each_path_of_all_candidates_is_extracted_once),
	    cmocka_unit_test(test_rule_plan__without_paths_the_payload_is_not_looked_at),
	    cmocka_unit_test(test_rule_plan__many_paths_take_two_passes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
