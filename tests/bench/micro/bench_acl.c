/* bench_acl.c: what access rules cost: 1,000 rules, a publish to a topic judged before, one that was not, a CONNECT.
 *
 * Each line is the best of several rounds, in ns: on a shared machine the smallest figure is the one least disturbed. */
#include <stdio.h>
#include <time.h>

#include "acl.h"
#include "buf.h"
#include "mem.h"

enum { RULES = 1000, ROUNDS = 50 };

static volatile unsigned sink;

static double now_ns(void) {
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* kind 0: a user each, 1: for everybody, a placeholder in each, 2: for everybody, plain. The client's own rule is the last one. */
static struct acl *rules_of(int kind) {
	static const char *const shapes[] = {"  - {allow: all, user: u%d, topics: \"site/%d/#\"}\n",
					     "  - {allow: all, topics: \"site/%d/${clientid}/%d\"}\n",
					     "  - {allow: all, topics: \"site/%d/+/%d\"}\n"};
	struct sl_buf yaml = SL_BUF_INIT;
	struct conf_report report = CONF_REPORT_INIT;
	struct acl *a = NULL;
	sl_buf_append_str(&yaml, "rules:\n");
	for (int i = 1; i <= RULES; i++)
		sl_buf_printf(&yaml, kind == 0 ? shapes[0] : kind == 1 ? shapes[1] : shapes[2], i, i);
	if (acl_new_text(sl_buf_slice(&yaml), "acl.yaml", &a, &report) != SL_OK) a = NULL;
	sl_buf_fini(&yaml);
	return a;
}

static double known(struct acl_client *c, const struct sl_slice *topics, size_t n) {
	double best = 1e18;
	for (int round = 0; round < ROUNDS; round++) {
		double start = now_ns();
		for (size_t i = 0; i < 100000; i++) sink += acl_may_publish(c, topics[i % n], 1, false);
		double each = (now_ns() - start) / 100000;
		if (each < best) best = each;
	}
	return best;
}

static double fresh(struct acl_client *c) {
	double best = 1e18;
	char topic[64];
	for (int round = 0; round < ROUNDS; round++) {
		double start = now_ns();
		for (int i = 0; i < 100; i++) {
			int n = snprintf(topic, sizeof topic, "site/none/%d/%d", round, i);
			sink += acl_may_publish(c, slice_make(topic, (size_t)n), 1, false);
		}
		double each = (now_ns() - start) / 100;
		if (each < best) best = each;
	}
	return best;
}

static double connected(struct acl *a, const struct acl_subject *who) {
	double best = 1e18;
	for (int round = 0; round < ROUNDS; round++) {
		double start = now_ns();
		for (int i = 0; i < 100; i++) acl_client_free(acl_client_new(a, who));
		double each = (now_ns() - start) / 100;
		if (each < best) best = each;
	}
	return best;
}

int main(void) {
	static const char *const names[] = {"a user each", "for all, with ${clientid}", "for all"};
	static const char *const mine[] = {"site/1000/x", "site/1000/dev-7/1000", "site/1000/x/1000"};
	struct acl_subject who = {.clientid = slice_from_str("dev-7"), .username = slice_from_str("u1000")};
	printf("%-28s %12s %12s %12s %12s\n", "1,000 rules, ns", "same topic", "4 topics", "new topic", "connect");
	for (int kind = 0; kind < 3; kind++) {
		struct acl *a = rules_of(kind);
		if (!a) return 1;
		struct acl_client *c = acl_client_new(a, &who);
		struct sl_slice topics[4] = {slice_from_str(mine[kind]), slice_from_str("a/b/c"),
					     slice_from_str("plant/line-2/state"), slice_from_str("x")};
		printf("%-28s %12.1f %12.1f %12.0f %12.0f\n", names[kind], known(c, topics, 1), known(c, topics, 4),
		       fresh(c), connected(a, &who));
		acl_client_free(c);
		acl_unref(a);
	}
	return 0;
}
