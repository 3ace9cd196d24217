/* Who may ask a client, and until when: librdkafka's calls are ours here, and clients are numbers that live or do not. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "kafka_keeper.h"
#include "mem.h"

#define CLIENTS 3
#define LONG_MS 60000

static struct client {
	atomic_bool dead, answers;
	atomic_int asked, asked_dead, flags;
} clients[CLIENTS];
static atomic_int answers_out; /* not given back */

static rd_kafka_t *rk(int i) { return (rd_kafka_t *)(void *)&clients[i]; }
static struct client *of(rd_kafka_t *client) { return (struct client *)(void *)client; }

static const struct rd_kafka_metadata_broker brokers[] = {{.id = 1, .host = (char[]){"a"}, .port = 9092}};
static const struct rd_kafka_metadata metadata = {.broker_cnt = 1,
						  .brokers = (rd_kafka_metadata_broker_t *)(uintptr_t)brokers};

rd_kafka_resp_err_t rd_kafka_metadata(rd_kafka_t *client, int all_topics, rd_kafka_topic_t *only,
				      const struct rd_kafka_metadata **out, int timeout_ms) {
	struct client *c = of(client);
	(void)all_topics, (void)only, (void)timeout_ms;
	if (atomic_load(&c->dead)) atomic_fetch_add(&c->asked_dead, 1);
	usleep(1000);
	if (atomic_load(&c->dead)) atomic_fetch_add(&c->asked_dead, 1);
	atomic_fetch_add(&c->asked, 1);
	if (!atomic_load(&c->answers)) return RD_KAFKA_RESP_ERR__TRANSPORT;
	atomic_fetch_add(&answers_out, 1);
	*out = &metadata;
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

void rd_kafka_metadata_destroy(const struct rd_kafka_metadata *m) { atomic_fetch_sub(&answers_out, m == &metadata); }

void rd_kafka_destroy_flags(rd_kafka_t *client, int flags) {
	atomic_store(&of(client)->flags, flags);
	atomic_store(&of(client)->dead, true);
}

/* ---- A loop, and what it hears. ---- */

struct office {
	struct sl_loop *l;
	struct kafka_keeper *k;
	_Atomic(rd_kafka_t *) up, ended;
	atomic_bool named; /* the brokers were, as they should be */
};

static void on_event(void *arg, const struct kafka_keeper_event *e) {
	struct office *o = arg;
	switch (e->what) {
	case KAFKA_KEEPER_UP:
		atomic_store(&o->named, strcmp(e->brokers, "1 a:9092") == 0);
		atomic_store(&o->up, e->rk);
		return;
	case KAFKA_KEEPER_ENDED: atomic_store(&o->ended, e->rk); return;
	}
}

static int setup(void **state) {
	struct office *o = SL_NEW(struct office);
	struct sl_err err = SL_ERR_INIT;
	for (int i = 0; i < CLIENTS; i++) clients[i] = (struct client){.flags = -1};
	assert_int_equal(sl_loop_new("kafka", 0, &o->l, &err), SL_OK);
	assert_int_equal(sl_loop_start(o->l, &err), SL_OK);
	o->k = kafka_keeper_new(o->l, on_event, o);
	assert_non_null(o->k);
	*state = o;
	return 0;
}

static int teardown(void **state) {
	struct office *o = *state;
	kafka_keeper_free(o->k);
	sl_loop_stop(o->l);
	sl_loop_join(o->l);
	sl_loop_free(o->l);
	sl_free(o);
	for (int i = 0; i < CLIENTS; i++) assert_int_equal(atomic_load(&clients[i].asked_dead), 0);
	assert_int_equal(atomic_load(&answers_out), 0);
	return 0;
}

static void wait_asked(int i) {
	int before = atomic_load(&clients[i].asked);
	for (int ms = 0; atomic_load(&clients[i].asked) < before + 2; ms++) {
		assert_true(ms < LONG_MS);
		usleep(1000);
	}
}

static void wait_for(_Atomic(rd_kafka_t *) *at, int i) {
	for (int ms = 0; atomic_load(at) != rk(i); ms++) {
		assert_true(ms < LONG_MS);
		usleep(1000);
	}
}

/* ---- The tests. ---- */

static void test_keeper__asks_until_a_broker_answers(void **state) {
	struct office *o = *state;
	kafka_keeper_watch(o->k, rk(0));
	wait_asked(0);
	assert_null(atomic_load(&o->up));
	atomic_store(&clients[0].answers, true);
	wait_for(&o->up, 0);
	assert_true(atomic_load(&o->named));
	int asked = atomic_load(&clients[0].asked);
	usleep(250000);
	assert_int_equal(atomic_load(&clients[0].asked), asked);
}

/* It is down, so it is asked; and then it ends. The next one is asked only later. */
static void test_keeper__who_has_ended_is_not_asked(void **state) {
	struct office *o = *state;
	kafka_keeper_watch(o->k, rk(0));
	wait_asked(0);
	kafka_keeper_end(o->k, rk(0), RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	wait_for(&o->ended, 0);
	assert_int_equal(atomic_load(&clients[0].flags), RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	usleep(350000); /* it would have been asked by now */
	assert_int_equal(atomic_load(&clients[0].asked_dead), 0);
	kafka_keeper_watch(o->k, rk(1));
	wait_asked(1);
}

static void test_keeper__an_end_leaves_the_watch_of_another_alone(void **state) {
	struct office *o = *state;
	kafka_keeper_watch(o->k, rk(0));
	kafka_keeper_end(o->k, rk(1), 0);
	kafka_keeper_end(o->k, rk(2), 0);
	wait_for(&o->ended, 2);
	assert_true(atomic_load(&clients[1].dead)); /* in their order */
	wait_asked(0);
	kafka_keeper_end(o->k, rk(0), 0);
	wait_for(&o->ended, 0);
}

struct look {
	struct kafka_keeper_job job;
	atomic_int dead; /* 1: it was */
	atomic_bool done;
};

static void look_work(struct kafka_keeper_job *job) {
	usleep(20000);
	atomic_store(&sl_container_of(job, struct look, job)->dead, atomic_load(&clients[0].dead));
}

static void look_done(struct kafka_keeper_job *job) {
	atomic_store(&sl_container_of(job, struct look, job)->done, true);
}

static void test_keeper__jobs_that_were_given_before_find_the_client(void **state) {
	struct office *o = *state;
	struct look look = {.job = {.work = look_work, .done = look_done}, .dead = -1};
	kafka_keeper_watch(o->k, rk(0));
	kafka_keeper_run(o->k, &look.job);
	kafka_keeper_end(o->k, rk(0), 0);
	wait_for(&o->ended, 0);
	assert_true(atomic_load(&look.done));
	assert_int_equal(atomic_load(&look.dead), 0);
	assert_int_equal(atomic_load(&clients[0].flags), 0);
}

static void test_keeper__free_waits_for_ends(void **state) {
	struct office *o = *state;
	kafka_keeper_watch(o->k, rk(0));
	kafka_keeper_end(o->k, rk(0), 0);
	kafka_keeper_free(o->k);
	o->k = NULL;
	assert_true(atomic_load(&clients[0].dead));
	wait_for(&o->ended, 0);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_keeper__asks_until_a_broker_answers, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_keeper__who_has_ended_is_not_asked, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_keeper__an_end_leaves_the_watch_of_another_alone, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_keeper__jobs_that_were_given_before_find_the_client, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_keeper__free_waits_for_ends, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
