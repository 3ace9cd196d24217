/* session_test.c: sessions and routing without sockets: offline sessions of one worker that stands still. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker.h"
#include "route.h"
#include "session.h"
#include "subs.h"
#include "worker.h"

struct fixture {
	struct broker *b;
	struct worker *w;
};

static int setup(void **state) {
	static struct fixture f;
	struct broker_settings set;
	broker_settings_default(&set);
	set.workers = 1;
	set.max_queued = 3;
	assert_int_equal(broker_new(&set, &f.b, NULL), SL_OK);
	f.w = &f.b->workers[0];
	*state = &f;
	return 0;
}

static int teardown(void **state) {
	struct fixture *f = *state;
	broker_free(f->b);
	return 0;
}

static void announced(struct announce *a) { sl_free(a); }

static void subscribe_as(struct session *s, const char *filter, const struct mqtt_sub_entry *opts, uint32_t sub_id) {
	struct announce *a = SL_NEW(struct announce);
	bool is_new;
	announce_init(a, s->w, announced);
	subs_add(s, slice_from_str(filter), opts, sub_id, a, &is_new);
	announce_send(a);
}

static void subscribe(struct session *s, const char *filter, uint8_t qos) {
	subscribe_as(s, filter, &(struct mqtt_sub_entry){.qos = qos}, 0);
}

static bool publish(struct fixture *f, const char *topic, uint8_t qos, struct session *source) {
	struct msg *m =
	    msg_new(&(struct msg_spec){.topic = slice_from_str(topic), .payload = SL_SLICE_LIT("x"), .qos = qos});
	bool wanted = route_publish(f->w, m, source, NULL, NULL);
	msg_unref(m);
	return wanted;
}

static uint64_t metric(struct fixture *f, enum sl_metric id) { return f->w->metrics.v[id]; }

static struct session *session(struct fixture *f, const char *id) {
	struct session *s = session_new(f->w, slice_from_str(id));
	s->expiry_s = SESSION_EXPIRY_NEVER;
	return s;
}

static void test_session__found_by_id_and_by_reference_until_freed(void **state) {
	struct fixture *f = *state;
	struct session *s = session(f, "a");
	session_ref ref = s->ref;
	assert_ptr_equal(session_find(f->w, SL_SLICE_LIT("a")), s);
	assert_ptr_equal(worker_session(f->w, ref), s);
	session_free(s);
	assert_null(session_find(f->w, SL_SLICE_LIT("a")));
	assert_null(worker_session(f->w, ref));
	session_new(f->w, SL_SLICE_LIT("b")); /* takes the place, not the name */
	assert_null(worker_session(f->w, ref));
}

static void test_session__offline_queues_qos1_and_drops_qos0(void **state) {
	struct fixture *f = *state;
	struct session *s = session(f, "a");
	subscribe(s, "t/#", 1);
	assert_true(publish(f, "t/1", 1, NULL));
	assert_true(publish(f, "t/1", 0, NULL));
	assert_int_equal(s->queue.len, 1);
	assert_int_equal(metric(f, METRIC_DROPPED_OFFLINE_QOS0), 1);
}

static void test_session__offline_queue_is_bounded_and_counts_what_it_drops(void **state) {
	struct fixture *f = *state;
	struct session *s = session(f, "a");
	subscribe(s, "t", 2);
	for (int i = 0; i < 5; i++) publish(f, "t", 2, NULL);
	assert_int_equal(s->queue.len, 3);
	assert_int_equal(metric(f, METRIC_DROPPED_QUEUE_FULL), 2);
	assert_int_equal(metric(f, METRIC_QUEUED), 3);
}

static void publish_text(struct fixture *f, const char *text, uint8_t qos) {
	struct msg *m =
	    msg_new(&(struct msg_spec){.topic = SL_SLICE_LIT("t"), .payload = slice_from_str(text), .qos = qos});
	route_publish(f->w, m, NULL, NULL, NULL);
	msg_unref(m);
}

/* What waits, as one text. */
static void assert_waits(struct session *s, const char *expected) {
	struct sl_buf got = SL_BUF_INIT;
	for (uint32_t i = 0; i < s->queue.len; i++)
		sl_buf_append_slice(&got, msg_payload(msg_queue_at(&s->queue, i)->m));
	assert_string_equal(sl_buf_cstr(&got), expected);
	sl_buf_fini(&got);
}

static void fill(struct fixture *f, const char *payloads, const char *qos) {
	for (; *payloads; payloads++, qos++) publish_text(f, (char[]){*payloads, '\0'}, (uint8_t)(*qos - '0'));
}

static void test_queue__drop_new_keeps_the_oldest_and_qos0_goes_first(void **state) {
	struct fixture *f = *state;
	f->b->set.queue_qos0 = true;
	struct session *s = session(f, "a");
	subscribe(s, "t", 2);
	fill(f, "abc", "101");
	assert_waits(s, "abc");
	fill(f, "d", "0");
	assert_waits(s, "abc");
	fill(f, "e", "2");
	assert_waits(s, "ace");
	fill(f, "fg", "20");
	assert_waits(s, "ace");
	assert_int_equal(metric(f, METRIC_DROPPED_QUEUE_FULL), 4);
	assert_int_equal(metric(f, METRIC_DROPPED_OFFLINE_QOS0), 0);
	assert_int_equal(metric(f, METRIC_QUEUED), 3);
}

static void test_queue__drop_oldest_keeps_the_newest_and_qos0_goes_first(void **state) {
	struct fixture *f = *state;
	f->b->set.queue_qos0 = true;
	f->b->set.queue_full = BROKER_QUEUE_DROP_OLDEST;
	struct session *s = session(f, "a");
	subscribe(s, "t", 2);
	fill(f, "abc", "101");
	fill(f, "d", "0");
	assert_waits(s, "acd");
	fill(f, "e", "1");
	assert_waits(s, "ace");
	fill(f, "f", "0"); /* QoS 0 takes nobody's place but that of its like */
	assert_waits(s, "ace");
	fill(f, "gh", "12");
	assert_waits(s, "egh");
	assert_int_equal(metric(f, METRIC_DROPPED_QUEUE_FULL), 5);
	assert_int_equal(metric(f, METRIC_QUEUED), 3);
}

static void test_queue__bytes_are_a_bound_as_well(void **state) {
	struct fixture *f = *state;
	f->b->set.queue_full = BROKER_QUEUE_DROP_OLDEST;
	f->b->set.max_queued_bytes = 1;
	struct session *s = session(f, "a");
	subscribe(s, "t", 2);
	fill(f, "abc", "111");
	assert_waits(s, "c");
	assert_int_equal(metric(f, METRIC_DROPPED_QUEUE_FULL), 2);
}

static void test_route__nobody_wants_it(void **state) {
	struct fixture *f = *state;
	assert_false(publish(f, "t", 1, NULL));
	assert_int_equal(metric(f, METRIC_PUBLISH_NO_SUBSCRIBER), 1);
}

static void test_route__overlapping_filters_deliver_once_with_the_highest_qos(void **state) {
	struct fixture *f = *state;
	struct session *s = session(f, "a");
	subscribe_as(s, "t/#", &(struct mqtt_sub_entry){.qos = 0}, 11);
	subscribe_as(s, "t/+", &(struct mqtt_sub_entry){.qos = 2}, 22);
	publish(f, "t/1", 2, NULL);
	assert_int_equal(s->queue.len, 1);
	struct msg_queue_entry *e = msg_queue_front(&s->queue);
	assert_int_equal(e->qos, 2);
	assert_int_equal(e->ids->n, 2);
	assert_int_equal(e->ids->id[0] + e->ids->id[1], 33);
}

static void test_route__no_local_spares_the_publisher_only(void **state) {
	struct fixture *f = *state;
	struct session *a = session(f, "a"), *b = session(f, "b");
	subscribe_as(a, "t", &(struct mqtt_sub_entry){.qos = 1, .no_local = true}, 0);
	subscribe_as(b, "t", &(struct mqtt_sub_entry){.qos = 1, .no_local = true}, 0);
	publish(f, "t", 1, a);
	assert_int_equal(a->queue.len, 0);
	assert_int_equal(b->queue.len, 1);
}

static void test_route__cached_topic_follows_a_change_of_subscriptions(void **state) {
	struct fixture *f = *state;
	struct session *s = session(f, "a");
	/* Kept from the second time on. */
	for (int i = 0; i < 3; i++) assert_false(publish(f, "t", 1, NULL));
	subscribe(s, "t", 1);
	for (int i = 0; i < 3; i++) assert_true(publish(f, "t", 1, NULL));
	assert_true(subs_remove(s, SL_SLICE_LIT("t")));
	assert_false(publish(f, "t", 1, NULL));
	assert_int_equal(s->queue.len, 3);
}

static size_t routes_kept(struct fixture *f) {
	struct topic_cache_stats stats;
	topic_cache_stats(f->w->routes, &stats);
	return stats.entries;
}

static void test_route__is_kept_when_met_again_or_costly(void **state) {
	struct fixture *f = *state;
	struct session *s = session(f, "a");
	subscribe(s, "t/+", 0);
	publish(f, "t/1", 0, NULL);
	assert_int_equal(routes_kept(f), 0);
	publish(f, "t/1", 0, NULL);
	assert_int_equal(routes_kept(f), 1);
	static const char *const more[] = {"t/#", "+/2", "+/+", "#"};
	for (size_t i = 0; i < SL_ARRAY_LEN(more); i++) subscribe(s, more[i], 0);
	publish(f, "t/2", 0, NULL);
	assert_int_equal(routes_kept(f), 2);
}

/* ---- two workers ---- */

static int setup_two(void **state) {
	struct fixture *f;
	struct broker_settings set;
	setup(state);
	f = *state;
	broker_free(f->b);
	broker_settings_default(&set);
	set.workers = 2;
	assert_int_equal(broker_new(&set, &f->b, NULL), SL_OK);
	f->w = &f->b->workers[0];
	return 0;
}

static void run_letters(struct fixture *f) {
	bool any = true;
	while (any) {
		any = false;
		for (uint32_t i = 0; i < f->b->workers_len; i++) any |= sl_loop_run_rest(f->b->workers[i].loop);
	}
}

static void test_subs__others_hear_of_the_first_and_of_the_last(void **state) {
	struct fixture *f = *state;
	struct session *a = session(f, "a"), *b = session(f, "b");
	struct fixture other = {.b = f->b, .w = &f->b->workers[1]};
	struct session *far = session(&other, "far");
	struct sl_slice t = SL_SLICE_LIT("t");
	assert_false(publish(&other, "t", 1, NULL));
	subscribe(far, "t", 1); /* known here as another worker's: a's is the first here all the same */
	run_letters(f);
	subscribe(a, "t", 1);
	subscribe(b, "t", 1);
	run_letters(f);
	for (uint32_t i = 0; i < 2; i++) {
		const struct topic_trie *trie = f->b->workers[i].subs;
		size_t count;
		topic_trie_values(trie, topic_trie_find(trie, t), &count);
		assert_int_equal(count, i == 0 ? 3 : 2); /* each other worker once */
	}
	assert_true(subs_remove(far, t));
	assert_true(subs_remove(a, t));
	run_letters(f);
	assert_true(publish(&other, "t", 1, NULL)); /* for b */
	assert_true(subs_remove(b, t));
	run_letters(f);
	assert_false(publish(&other, "t", 1, NULL));
	for (uint32_t i = 0; i < 2; i++) assert_int_equal(topic_trie_filters(f->b->workers[i].subs), 0);
}

static void test_subs__the_same_filter_again_replaces_its_options(void **state) {
	struct fixture *f = *state;
	struct session *s = session(f, "a");
	subscribe(s, "t", 0);
	for (int i = 0; i < 2; i++) publish(f, "t", 1, NULL); /* kept with QoS 0 */
	subscribe(s, "t", 1);
	publish(f, "t", 1, NULL);
	assert_int_equal(s->subs_len, 1);
	assert_int_equal(s->queue.len, 1);
}

static void test_subs__ten_thousand_filters_of_one_session(void **state) {
	struct fixture *f = *state;
	struct session *s = session(f, "a");
	for (int i = 0; i < 10000; i++) {
		char *filter = sl_asprintf("f/%d/+", i * 7919 % 10000);
		subscribe(s, filter, 1);
		sl_free(filter);
	}
	assert_int_equal(s->subs_len, 10000);
	assert_true(subs_remove(s, SL_SLICE_LIT("f/77/+")));
	assert_false(subs_remove(s, SL_SLICE_LIT("f/77/+")));
	assert_true(publish(f, "f/78/x", 1, NULL));
	session_free(s);
	/* Some go at once, the others in turns. It is gone already, and its name is free. */
	assert_int_equal(metric(f, METRIC_SESSIONS), 0);
	assert_int_equal(f->w->ending_subs, topic_trie_filters(f->w->subs));
	assert_int_equal(metric(f, METRIC_SUBSCRIPTIONS), f->w->ending_subs);
	assert_in_range(f->w->ending_subs, 1, 9998);
	struct session *again = session(f, "a");
	subscribe(again, "f/78/+", 1);
	for (int i = 0; i < 10000; i++) {
		char *topic = sl_asprintf("f/%d/x", i);
		publish(f, topic, (uint8_t)(i % 3), NULL);
		sl_free(topic);
	}
	assert_int_equal(again->queue.len, 0); /* 78 % 3: QoS 0 */
	for (int i = 0; i < 3; i++) publish(f, "f/78/x", 1, NULL);
	assert_int_equal(again->queue.len, 3);
	assert_int_equal(metric(f, METRIC_QUEUED), 3);
	for (size_t before = 0; f->w->ending_subs > 0 && before != f->w->ending_subs;) {
		before = f->w->ending_subs;
		session_ending_timer(&f->w->ending_timer);
		assert_true(before - f->w->ending_subs < 1000);
	}
	assert_true(sl_list_empty(&f->w->ending));
	assert_int_equal(topic_trie_filters(f->w->subs), 1);
	assert_int_equal(metric(f, METRIC_SUBSCRIPTIONS), 1);
	publish(f, "f/78/x", 1, NULL); /* a route that was kept knows nothing of it */
	session_free(again);
	assert_int_equal(metric(f, METRIC_SUBSCRIPTIONS), 0);
}

static void test_session__the_broker_ends_while_subscriptions_are_left(void **state) {
	struct fixture *f = *state;
	for (int k = 0; k < 2; k++) {
		struct session *s = session(f, "a");
		for (int i = 0; i < 1000; i++) {
			char *filter = sl_asprintf("f/%d", i);
			subscribe(s, filter, 1);
			sl_free(filter);
		}
		session_free(s);
	}
	assert_true(f->w->ending_subs > 0); /* teardown frees them */
}

static void test_broker__publish_of_a_rule_is_checked(void **state) {
	struct fixture *f = *state;
	struct rules_publish p = {.topic = SL_SLICE_LIT("a/+"), .payload = SL_SLICE_LIT("x")};
	assert_int_equal(broker_publish(f->b, 0, &p), SL_EINVAL);
	p.topic = SL_SLICE_LIT("a/b");
	assert_int_equal(broker_publish(f->b, 0, &p), SL_OK);
	assert_int_equal(metric(f, METRIC_PUBLISH_REPUBLISHED), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
	    TEST(test_session__found_by_id_and_by_reference_until_freed),
	    TEST(test_session__offline_queues_qos1_and_drops_qos0),
	    TEST(test_session__offline_queue_is_bounded_and_counts_what_it_drops),
	    TEST(test_queue__drop_new_keeps_the_oldest_and_qos0_goes_first),
	    TEST(test_queue__drop_oldest_keeps_the_newest_and_qos0_goes_first),
	    TEST(test_queue__bytes_are_a_bound_as_well),
	    TEST(test_route__nobody_wants_it),
	    TEST(test_route__overlapping_filters_deliver_once_with_the_highest_qos),
	    TEST(test_route__no_local_spares_the_publisher_only),
	    TEST(test_route__cached_topic_follows_a_change_of_subscriptions),
	    TEST(test_route__is_kept_when_met_again_or_costly),
	    cmocka_unit_test_setup_teardown(test_subs__others_hear_of_the_first_and_of_the_last, setup_two, teardown),
	    TEST(test_subs__the_same_filter_again_replaces_its_options),
	    TEST(test_subs__ten_thousand_filters_of_one_session),
	    TEST(test_session__the_broker_ends_while_subscriptions_are_left),
	    TEST(test_broker__publish_of_a_rule_is_checked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
