/* The queue log against the memory that it is to outlive: whatever happened, wherever it was cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <signal.h>
#include <unistd.h>

#include "log.h"
#include "mem.h"
#include "queue_log_int.h"
#include "queue_rig.h"

static uint64_t seed(void) {
	const char *given = getenv("QUEUE_SEED");
	return given ? (uint64_t)strtoull(given, NULL, 10) : (uint64_t)getpid();
}

static void assert_same(const struct sl_buf *expected, const struct sl_buf *got, const char *when) {
	if (expected->n == got->n && (expected->n == 0 || memcmp(expected->p, got->p, expected->n) == 0)) return;
	fprintf(stderr, "%s (QUEUE_SEED=%" PRIu64 ")\nexpected:\n%.*s\ngot:\n%.*s\n", when, seed(), (int)expected->n,
		expected->p ? expected->p : "", (int)got->n, got->p ? got->p : "");
	fail();
}

static void check_replay(const struct rig *r, const char *dir, const struct sl_buf *expected, const char *when) {
	struct sl_buf got = SL_BUF_INIT;
	rig_dump_replay(r, dir, &got);
	assert_same(expected, &got, when);
	sl_buf_fini(&got);
}

static void check_now(const struct rig *r, const char *when) {
	struct sl_buf expected = SL_BUF_INIT;
	rig_dump(r, &expected);
	check_replay(r, r->dir, &expected, when);
	sl_buf_fini(&expected);
}

static void done(struct rig *r, char *dir) {
	rig_folder_empty(dir);
	rmdir(dir);
	sl_free(dir);
	*r = (struct rig){0};
}

static void test_queue_log__replay_gives_what_memory_held(void **state) {
	(void)state;
	struct rig r = {.random = seed()};
	char *dir = rig_folder();
	rig_open(&r, dir, 1);
	for (int frame = 0; frame < 300; frame++) {
		for (uint32_t n = rig_below(&r, 12); n > 0; n--) rig_step(&r);
		assert_int_equal(rig_write(&r), SL_OK);
		if (frame % 20 == 0) check_now(&r, "after a frame");
	}
	check_now(&r, "at the end");
	rig_close(&r, true);
	done(&r, dir);
}

/* Other numbers of workers, crashes that lose what was not written yet, sessions that end. */
static void test_queue_log__it_goes_on_through_restarts(void **state) {
	(void)state;
	struct rig r = {.random = seed() + 1};
	char *dir = rig_folder();
	for (int start = 0; start < 12; start++) {
		rig_open(&r, dir, 1 + rig_below(&r, RIG_WORKERS_MAX));
		check_now(&r, "directly after a start");
		for (uint32_t frame = rig_below(&r, 40); frame > 0; frame--) {
			for (uint32_t n = rig_below(&r, 8); n > 0; n--) rig_step(&r);
			assert_int_equal(rig_write(&r), SL_OK);
			if (rig_below(&r, 8) == 0) check_now(&r, "in a later run");
		}
		struct sl_buf expected = SL_BUF_INIT;
		rig_dump(&r, &expected);
		rig_close(&r, start % 2);
		check_replay(&r, dir, &expected, "after the end of a run");
		sl_buf_fini(&expected);
	}
	rig_open(&r, dir, 2);
	for (int i = 0; i < 20; i++) rig_write(&r);
	assert_int_equal(queue_former_bytes(r.former), 0);
	check_now(&r, "without the former files");
	rig_close(&r, true);
	done(&r, dir);
}

/* ---- cut anywhere ---- */

struct moment {
	uint64_t serial, end;
	struct sl_buf dump;
};

static char *newest(const struct rig *r, const char *dir, uint64_t serial) {
	return sl_asprintf("%s/%010" PRIu64 "-000-%010" PRIu64 QUEUE_NAME_END, dir, r->run, serial);
}

/* The file loses what is behind `cut`, or gets something else there. */
static void cut_file(const char *path, uint64_t cut, bool garbage) {
	int fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	if (garbage) {
		char junk[64];
		memset(junk, 0x5a, sizeof junk);
		assert_int_equal(pwrite(fd, junk, sizeof junk, (off_t)cut), sizeof junk);
	} else {
		assert_int_equal(ftruncate(fd, (off_t)cut), 0);
	}
	close(fd);
}

static void check_cut(struct rig *r, const char *copy, const struct moment *moments, size_t len, uint64_t cut,
		      bool garbage) {
	const struct moment *last = &moments[len - 1], *good = &moments[0];
	rig_folder_copy(r->dir, copy);
	char *path = newest(r, copy, last->serial);
	if (cut < sizeof(struct queue_segment_head)) garbage = false; /* another version's, it might say */
	cut_file(path, cut, garbage);
	for (size_t i = 0; i < len; i++)
		if (moments[i].serial < last->serial || moments[i].end <= cut) good = &moments[i];
	check_replay(r, copy, &good->dump, "after a cut");
	sl_free(path);
}

/* moments: since the last time that a file was deleted; an earlier cut is none that a crash can make. */
static void moments_add(struct rig *r, struct moment *moments, size_t *len, uint64_t *first) {
	const struct queue_log *q = r->q[0];
	uint64_t oldest = SL_LIST_ENTRY(q->segments.next, struct queue_segment, link)->serial;
	if (oldest != *first) {
		while (*len) sl_buf_fini(&moments[--*len].dump);
		*first = oldest;
	}
	struct moment *m = &moments[(*len)++];
	*m = (struct moment){.serial = q->serial, .end = q->at};
	rig_dump(r, &m->dump);
}

static void test_queue_log__a_file_cut_anywhere_ends_at_a_frame(void **state) {
	(void)state;
	enum { FRAMES = 400 };
	struct rig r = {.random = seed() + 2, .none_ends = true};
	char *dir = rig_folder(), *copy = rig_folder();
	struct moment *moments = SL_NEW_ARRAY(struct moment, FRAMES);
	size_t len = 0;
	uint64_t first = 0;
	log_set_level(LOG_OFF);
	rig_open(&r, dir, 1);
	for (int frame = 0; frame < FRAMES; frame++) {
		for (uint32_t n = 1 + rig_below(&r, 6); n > 0; n--) rig_step(&r);
		rig_step(&r);
		assert_int_equal(rig_write(&r), SL_OK);
		if (r.q[0]->active) moments_add(&r, moments, &len, &first);
		if (frame % 40 != 39 || len == 0) continue;
		uint64_t end = moments[len - 1].end,
			 from = moments[0].serial == moments[len - 1].serial ? moments[0].end : 0;
		for (int i = 0; i < 12; i++)
			check_cut(&r, copy, moments, len, from + rig_below(&r, (uint32_t)(end - from) + 1), i % 3 == 0);
	}
	while (len) sl_buf_fini(&moments[--len].dump);
	sl_free(moments);
	rig_close(&r, true);
	log_set_level(LOG_INFO);
	rig_folder_empty(copy);
	rmdir(copy);
	sl_free(copy);
	done(&r, dir);
}

/* ---- size ---- */

static void test_queue_log__many_receivers_cost_a_few_bytes_each(void **state) {
	(void)state;
	struct rig r = {.segment_bytes = SL_MB};
	char *dir = rig_folder();
	rig_open(&r, dir, 1);
	struct msg *m = rig_message(&r, 500);
	size_t before = r.q[0]->buf.n;
	for (uint32_t i = 0; i < RIG_SESSIONS; i++) {
		struct rig_session *s = rig_session_of(&r, i);
		struct queue_delivery d = {.m = m, .qos = 1};
		struct msg_queue_entry e = {
		    .m = msg_ref(m), .qos = 1, .log_id = queue_log_queued(r.q[0], &s->lane, &d)};
		msg_queue_push(&s->queue, &e);
	}
	size_t all = r.q[0]->buf.n - before;
	assert_true(all < 500 + 100 + RIG_SESSIONS * 3);
	assert_int_equal(rig_write(&r), SL_OK);
	check_now(&r, "one message for all");
	msg_unref(m);
	rig_close(&r, true);
	done(&r, dir);
}

/* What stays and stays, beside much that comes and goes. */
static void test_queue_log__disk_is_bounded_by_what_is_alive(void **state) {
	(void)state;
	struct rig r = {.segment_bytes = 16 * SL_KB};
	char *dir = rig_folder();
	rig_open(&r, dir, 1);
	struct rig_session *idle = rig_session_of(&r, 0), *busy = rig_session_of(&r, 1);
	uint64_t alive = 0, most = 0;
	for (int i = 0; i < 5000; i++) {
		struct msg *m = rig_message(&r, 1000);
		struct queue_delivery d = {.m = m, .qos = 1};
		if (i < 100) {
			struct msg_queue_entry e = {.m = msg_ref(m), .qos = 1};
			e.log_id = queue_log_queued(r.q[0], &idle->lane, &d);
			msg_queue_push(&idle->queue, &e);
			alive += 1100;
		}
		struct inflight_entry *e = inflight_add(&busy->out, 1, msg_ref(m), NULL, false);
		e->log_id = queue_log_sent_now(r.q[0], &busy->lane, &d, e->packet_id);
		uint16_t id = e->packet_id;
		msg_unref(m);
		assert_int_equal(rig_write(&r), SL_OK);
		queue_log_done(r.q[0], &busy->lane, id);
		inflight_remove(&busy->out, inflight_find(&busy->out, id));
		queue_log_forget(&busy->lane);
		if (r.q[0]->disk_bytes > most) most = r.q[0]->disk_bytes;
	}
	assert_true(most < 3 * alive + 8 * 16 * SL_KB);
	assert_true(r.q[0]->stat.compacted_bytes < 5000 * 1100);
	assert_int_equal(rig_write(&r), SL_OK);
	check_now(&r, "after many compactions");
	rig_close(&r, true);
	done(&r, dir);
}

/* More than one slice of bodies, and segments that come and go meanwhile. */
static void test_queue_log__a_long_queue_is_written_anew_in_slices(void **state) {
	(void)state;
	struct rig r = {.segment_bytes = 32 * SL_KB, .random = seed() + 4};
	char *dir = rig_folder();
	rig_open(&r, dir, 1);
	struct rig_session *s = rig_session_of(&r, 0);
	for (int i = 0; i < 2000; i++) {
		struct msg *m = rig_message(&r, 1000);
		struct queue_delivery d = {.m = m, .qos = 1};
		struct msg_queue_entry e = {.m = m, .qos = 1, .log_id = queue_log_queued(r.q[0], &s->lane, &d)};
		msg_queue_push(&s->queue, &e);
	}
	assert_int_equal(rig_write(&r), SL_OK);
	rig_close(&r, true);
	rig_open(&r, dir, 1);
	for (int i = 0; i < 100; i++) {
		uint64_t before = r.q[0]->stat.compacted_bytes;
		for (int k = 0; k < 20; k++) {
			struct rig_session *other = rig_session_of(&r, 1);
			struct msg *m = rig_message(&r, 1000);
			struct queue_delivery d = {.m = m, .qos = 1};
			struct inflight_entry *e = inflight_add(&other->out, 1, m, NULL, false);
			uint16_t id = e->packet_id;
			e->log_id = queue_log_sent_now(r.q[0], &other->lane, &d, id);
			queue_log_done(r.q[0], &other->lane, id);
			inflight_remove(&other->out, inflight_find(&other->out, id));
			queue_log_forget(&other->lane);
		}
		assert_int_equal(rig_write(&r), SL_OK);
		assert_true(r.q[0]->stat.compacted_bytes - before < 400 * SL_KB);
		if (i % 5 == 0) check_now(&r, "while it is written anew");
	}
	assert_int_equal(queue_former_bytes(r.former), 0);
	check_now(&r, "after it was written anew");
	rig_close(&r, true);
	done(&r, dir);
}

/* Killed again and again while long queues are written anew, and messages come for them. */
static void test_queue_log__long_queues_survive_many_starts(void **state) {
	(void)state;
	struct rig r = {.segment_bytes = 64 * SL_KB, .random = seed() + 5, .none_ends = true};
	char *dir = rig_folder();
	rig_open(&r, dir, 2);
	for (int i = 0; i < 1500; i++) {
		struct msg *m = rig_message(&r, 500);
		struct queue_delivery d = {.m = m, .qos = 1};
		for (uint32_t k = 0; k < 3; k++) {
			struct rig_session *s = rig_session_of(&r, k);
			struct msg_queue_entry e = {.m = msg_ref(m), .qos = 1};
			e.log_id = queue_log_queued(rig_log(&r, k), &s->lane, &d);
			msg_queue_push(&s->queue, &e);
		}
		msg_unref(m);
	}
	assert_int_equal(rig_write(&r), SL_OK);
	for (int start = 0; start < 12; start++) {
		rig_close(&r, true);
		rig_open(&r, dir, 2);
		check_now(&r, "after a start with long queues");
		for (uint32_t frame = rig_below(&r, 12); frame > 0; frame--) {
			for (uint32_t n = rig_below(&r, 30); n > 0; n--) rig_step(&r);
			assert_int_equal(rig_write(&r), SL_OK);
			if (frame == 1) check_now(&r, "with long queues");
		}
	}
	rig_close(&r, true);
	done(&r, dir);
}

static void test_queue_log__at_its_limit_it_waits_and_goes_on(void **state) {
	(void)state;
	struct rig r = {.segment_bytes = 8 * SL_KB, .disk_max = 40 * SL_KB};
	char *dir = rig_folder();
	log_set_level(LOG_OFF);
	rig_open(&r, dir, 1);
	struct rig_session *s = rig_session_of(&r, 0);
	int rc = SL_OK;
	for (int i = 0; i < 100 && rc == SL_OK; i++) {
		struct msg *m = rig_message(&r, 1000);
		struct queue_delivery d = {.m = m, .qos = 1};
		struct msg_queue_entry e = {.m = m, .qos = 1, .log_id = queue_log_queued(r.q[0], &s->lane, &d)};
		msg_queue_push(&s->queue, &e);
		rc = rig_write(&r);
	}
	assert_int_equal(rc, SL_ELIMIT);
	assert_true(queue_log_passed(r.q[0]) < queue_log_appended(r.q[0]));
	r.q[0]->opts.disk_max = SL_MB;
	assert_int_equal(rig_write(&r), SL_OK);
	assert_int_equal(queue_log_passed(r.q[0]), queue_log_appended(r.q[0]));
	log_set_level(LOG_INFO);
	check_now(&r, "after it had no room");
	rig_close(&r, true);
	done(&r, dir);
}

/* The kernel takes half a frame, and no more: as on a full disk. */
static void test_queue_log__half_a_frame_is_written_again_whole(void **state) {
	(void)state;
	struct rig r = {.random = seed() + 3, .segment_bytes = SL_MB};
	char *dir = rig_folder();
	log_set_level(LOG_OFF);
	signal(SIGXFSZ, SIG_IGN);
	rig_open(&r, dir, 1);
	for (int i = 0; i < 20; i++) rig_step(&r);
	assert_int_equal(rig_write(&r), SL_OK);
	struct rlimit before, small;
	getrlimit(RLIMIT_FSIZE, &before);
	small = before;
	small.rlim_cur = r.q[0]->at + 100;
	setrlimit(RLIMIT_FSIZE, &small);
	for (int i = 0; i < 20; i++) rig_step(&r);
	assert_int_not_equal(rig_write(&r), SL_OK);
	for (int i = 0; i < 20; i++) rig_step(&r);
	assert_int_not_equal(rig_write(&r), SL_OK);
	setrlimit(RLIMIT_FSIZE, &before);
	assert_int_equal(rig_write(&r), SL_OK);
	log_set_level(LOG_INFO);
	check_now(&r, "after half a frame");
	rig_close(&r, true);
	done(&r, dir);
}

/* ---- between workers ---- */

static uint64_t pending_seen;

static void pending(void *arg, struct queue_replay *replay, const struct queue_pending *p) {
	struct rig *r = arg;
	assert_int_equal(p->workers, 2);
	assert_int_equal(p->to, 1);
	pending_seen++;
	queue_replay_add(replay, r->s[1].id, &(struct queue_delivery){.m = p->m, .qos = 1});
}

static bool all_known(void *arg, uint64_t id) {
	(void)arg;
	(void)id;
	return true;
}

static void out(struct rig *r, uint64_t seq) {
	struct msg *m = rig_message(r, 10);
	queue_log_out(r->q[0], 1, seq, m, SL_SLICE_EMPTY);
	msg_unref(m);
}

static void test_queue_log__what_another_worker_has_not_seen_is_told(void **state) {
	(void)state;
	struct rig r = {0};
	char *dir = rig_folder();
	rig_open(&r, dir, 2);
	(void)rig_session_of(&r, 1);
	for (uint64_t seq = 1; seq <= 5; seq++) out(&r, seq);
	queue_log_seen(r.q[1], 0, 3);
	assert_int_equal(queue_log_seen_passed(r.q[1], 0), 0);
	assert_int_equal(rig_write(&r), SL_OK);
	assert_int_equal(queue_log_seen_passed(r.q[1], 0), 3);
	struct queue_replay *replay;
	struct queue_replay_opts opts = {.dir = dir, .known = all_known, .pending = pending, .arg = &r};
	pending_seen = 0;
	assert_int_equal(queue_replay_open(&opts, &replay, NULL), SL_OK);
	assert_int_equal(pending_seen, 2);
	size_t at = 0;
	assert_int_equal(queue_replay_next(replay, &at)->queue.len, 2);
	queue_replay_free(replay);
	rig_close(&r, true);
	done(&r, dir);
}

/* What one has seen is known for as long as it may be asked. */
static void test_queue_log__segments_go_when_all_was_seen(void **state) {
	(void)state;
	struct rig r = {0};
	char *dir = rig_folder();
	rig_open(&r, dir, 2);
	for (uint64_t seq = 1; seq <= 400; seq++) {
		out(&r, seq);
		assert_int_equal(rig_write(&r), SL_OK);
	}
	uint64_t full = r.q[0]->disk_bytes;
	assert_true(full > 4 * 4096);
	queue_log_seen(r.q[1], 0, 400);
	assert_int_equal(rig_write(&r), SL_OK);
	queue_log_out_seen(r.q[0], 1, queue_log_seen_passed(r.q[1], 0));
	out(&r, 401);
	assert_int_equal(rig_write(&r), SL_OK);
	assert_int_equal(SL_LIST_ENTRY(r.q[0]->segments.next, struct queue_segment, link)->serial, r.q[0]->serial);
	rig_close(&r, true);
	done(&r, dir);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_queue_log__replay_gives_what_memory_held),
	    cmocka_unit_test(test_queue_log__it_goes_on_through_restarts),
	    cmocka_unit_test(test_queue_log__a_file_cut_anywhere_ends_at_a_frame),
	    cmocka_unit_test(test_queue_log__many_receivers_cost_a_few_bytes_each),
	    cmocka_unit_test(test_queue_log__disk_is_bounded_by_what_is_alive),
	    cmocka_unit_test(test_queue_log__a_long_queue_is_written_anew_in_slices),
	    cmocka_unit_test(test_queue_log__long_queues_survive_many_starts),
	    cmocka_unit_test(test_queue_log__at_its_limit_it_waits_and_goes_on),
	    cmocka_unit_test(test_queue_log__half_a_frame_is_written_again_whole),
	    cmocka_unit_test(test_queue_log__what_another_worker_has_not_seen_is_told),
	    cmocka_unit_test(test_queue_log__segments_go_when_all_was_seen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
