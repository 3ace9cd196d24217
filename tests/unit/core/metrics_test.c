#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "metrics.h"

static size_t count_of(const char *text, const char *part) {
	size_t n = 0;
	for (const char *at = text; (at = strstr(at, part)); at++) n++;
	return n;
}

static void test_metrics__shards_add_up(void **state) {
	(void)state;
	struct sl_metrics a = {0}, b = {0}, total = {0};
	sl_metric_inc(&a, METRIC_PACKETS_IN);
	sl_metric_add(&b, METRIC_PACKETS_IN, 4);
	sl_metric_inc(&a, METRIC_CONNECTIONS);
	sl_metric_inc(&a, METRIC_CONNECTIONS);
	sl_metric_dec(&b, METRIC_CONNECTIONS); /* came on one loop, went on another */
	sl_metrics_sum(&total, &a);
	sl_metrics_sum(&total, &b);
	assert_int_equal(total.v[METRIC_PACKETS_IN], 5);
	assert_int_equal(sl_metrics_gauge(&total, METRIC_CONNECTIONS), 1);
}

static void test_metrics__the_page_names_each_family_once(void **state) {
	(void)state;
	struct sl_metrics total = {0};
	struct sl_buf b = SL_BUF_INIT;
	total.v[METRIC_PUBLISH_IN_QOS1] = 12345678901234u;
	sl_metric_dec(&total, METRIC_SESSIONS);
	sl_metrics_write(&b, &total);
	const char *page = sl_buf_cstr(&b);
	assert_int_equal(count_of(page, "# TYPE sluice_publishes_received_total counter\n"), 1);
	assert_int_equal(count_of(page, "# HELP sluice_publishes_received_total "), 1);
	assert_int_equal(count_of(page, "\nsluice_publishes_received_total{qos=\""), 3);
	assert_non_null(strstr(page, "\nsluice_publishes_received_total{qos=\"1\"} 12345678901234\n"));
	assert_non_null(strstr(page, "# TYPE sluice_sessions gauge\nsluice_sessions -1\n"));
	assert_non_null(strstr(page, "\nsluice_bytes_received_total 0\n"));
	sl_buf_fini(&b);
}

/* Prometheus' rules for names, and ours: a family's rows stand together and agree, counters end in _total. */
static void check_row(enum sl_metric id, const char *page) {
	const struct sl_metric_info *info = sl_metric_info(id);
	char type_line[200];
	snprintf(type_line, sizeof type_line, "# TYPE %s ", info->family);
	assert_int_equal(count_of(page, type_line), 1);
	assert_int_equal(strncmp(info->family, "sluice_", 7), 0);
	assert_int_equal(strspn(info->family, "abcdefghijklmnopqrstuvwxyz_0123456789"), strlen(info->family));
	size_t n = strlen(info->family);
	bool total = n > 6 && strcmp(info->family + n - 6, "_total") == 0;
	assert_int_equal(total, info->kind == SL_METRIC_COUNTER);
	assert_true(strlen(info->help) > 10 && info->help[strlen(info->help) - 1] == '.');
}

static void test_metrics__the_table_keeps_its_rules(void **state) {
	(void)state;
	struct sl_metrics total = {0};
	struct sl_buf b = SL_BUF_INIT;
	sl_metrics_write(&b, &total);
	for (int id = 0; id < METRIC_COUNT; id++) check_row((enum sl_metric)id, sl_buf_cstr(&b));
	sl_buf_fini(&b);
}

static void test_metrics__labels_are_escaped(void **state) {
	(void)state;
	struct sl_buf b = SL_BUF_INIT;
	const struct sl_prom_label labels[] = {
	    {.name = "rule", .value = SL_SLICE_LIT("a\"b\\c\nd\xff")},
	    {.name = "action", .value = SL_SLICE_LIT("pg")},
	};
	sl_prom_family(&b, "sluice_rule_matched_total", SL_METRIC_COUNTER, "Back\\slash and\nnewline.");
	sl_prom_value(&b, "sluice_rule_matched_total", labels, 2, 7);
	assert_string_equal(sl_buf_cstr(&b), "# HELP sluice_rule_matched_total Back\\\\slash and\\nnewline.\n"
					     "# TYPE sluice_rule_matched_total counter\n"
					     "sluice_rule_matched_total{rule=\"a\\\"b\\\\c\\nd\xef\xbf\xbd\","
					     "action=\"pg\"} 7\n");
	sl_buf_fini(&b);
}

static void test_metrics__doubles_are_spelled_as_prometheus_wants(void **state) {
	(void)state;
	struct sl_buf b = SL_BUF_INIT;
	sl_prom_value_double(&b, "x", NULL, 0, 0.25);
	sl_prom_value_double(&b, "x", NULL, 0, NAN);
	sl_prom_value_double(&b, "x", NULL, 0, -INFINITY);
	assert_string_equal(sl_buf_cstr(&b), "x 0.25\nx NaN\nx -Inf\n");
	sl_buf_fini(&b);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_metrics__shards_add_up),
	    cmocka_unit_test(test_metrics__the_page_names_each_family_once),
	    cmocka_unit_test(test_metrics__the_table_keeps_its_rules),
	    cmocka_unit_test(test_metrics__labels_are_escaped),
	    cmocka_unit_test(test_metrics__doubles_are_spelled_as_prometheus_wants),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
