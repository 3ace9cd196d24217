/* Killed at a random moment, and on a full disk: nothing that was confirmed is lost. */
#include "rig.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "connectors_int.h"
#include "rng.h"
#include "test_db.h"

#define TABLE                                                                                                          \
	"connectors: {db: {type: sqlite, path: %s/a.db}}\n"                                                            \
	"actions:\n"                                                                                                   \
	"  - connector: db\n"                                                                                          \
	"    table: x\n"                                                                                               \
	"    columns: {a: \"${device}\", b: \"${n}\", c: \"${t}\"}\n"                                                  \
	"    retry: {first: 5ms, max: 20ms}\n"                                                                         \
	"    batch: {rows: 100}\n"

/* Stages rows until it is killed, and says after each tick how many are confirmed: rows are confirmed in their order. */
static void victim(const char *dir, const char *data, int out) {
	struct rig *r = rig_new_in(1, data);
	rig_load(r, TABLE "    buffer: {segment: 64KB}\n", dir);
	for (;;) {
		rig_stage(r, 0, 40, 0, rig_row);
		uint64_t confirmed = rig_confirmed(r);
		if (write(out, &confirmed, sizeof confirmed) != (ssize_t)sizeof confirmed) _exit(1);
	}
}

static uint64_t last_number(int in, uint64_t first) {
	uint64_t last = first, n;
	while (read(in, &n, sizeof n) == (ssize_t)sizeof n) last = n;
	return last;
}

static void test_crash__what_was_confirmed_is_there_after_sigkill(void **state) {
	(void)state;
	for (int round = 0; round < 10; round++) {
		char *dir = rig_tmpdir(), *data = sl_asprintf("%s/data", dir);
		int pipes[2];
		assert_int_equal(pipe(pipes), 0);
		pid_t child = fork();
		assert_true(child >= 0);
		if (child == 0) victim(dir, data, pipes[1]);
		close(pipes[1]);
		/* Killed before anything was confirmed it would prove nothing, and may not even have its table. */
		uint64_t first = 0;
		while (first == 0) assert_int_equal(read(pipes[0], &first, sizeof first), sizeof first);
		usleep((useconds_t)(20000 + sl_rng_below(150000)));
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		uint64_t confirmed = last_number(pipes[0], first);
		close(pipes[0]);
		struct rig *r = rig_new_in(1, data);
		rig_load(r, TABLE, dir);
		rig_settle(r, 0);
		rig_free(r);
		char *sql =
		    sl_asprintf("SELECT count(DISTINCT b) FROM x WHERE b < %llu", (unsigned long long)confirmed);
		assert_int_equal(db_int(dir, sql), confirmed);
		sl_free(sql);
		rig_rmdir(dir);
		sl_free(data);
		sl_free(dir);
	}
}

static void file_size_limit(rlim_t bytes) {
	struct rlimit limit;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* No file can grow beyond a limit: neither the log nor the database, as on a disk that is full. */
static void test_crash__a_full_disk_holds_publishers_and_recovers(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	signal(SIGXFSZ, SIG_IGN);
	rig_load(r, TABLE, r->dir);
	rig_stage(r, 0, 100, 0, rig_row);
	rig_settle(r, 0);
	file_size_limit(150000);
	rig_stage(r, 0, 20000, 100, rig_row);
	for (int i = 0; i < 60000 && !sl_stage_holding(sl_pipeline_stage(r->p[0], 0)); i++) usleep(1000);
	assert_true(sl_stage_holding(sl_pipeline_stage(r->p[0], 0)));
	usleep(50000);
	assert_true(rig_confirmed(r) < 20100);
	assert_true(rig_counts(r, 0).queued > 0);
	file_size_limit(RLIM_INFINITY);
	struct sl_action_counts n = rig_settle(r, 0);
	assert_int_equal(n.delivered, 20100);
	assert_true(rig_confirms(r, 20100));
	assert_false(sl_stage_holding(sl_pipeline_stage(r->p[0], 0)));
	assert_int_equal(db_int(r->dir, "SELECT count(DISTINCT b) FROM x"), 20100);
	rig_free(r);
}

/* Held rows were never confirmed; the confirmed ones survive even a kill while the disk is full. */
static void test_crash__killed_on_a_full_disk(void **state) {
	(void)state;
	char *dir = rig_tmpdir(), *data = sl_asprintf("%s/data", dir);
	int pipes[2];
	assert_int_equal(pipe(pipes), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		signal(SIGXFSZ, SIG_IGN);
		file_size_limit(150000);
		struct rig *r = rig_new_in(1, data);
		rig_load(r, TABLE, dir);
		rig_stage(r, 0, 20000, 100, rig_row);
		uint64_t confirmed = 0;
		for (int i = 0; i < 1800 && confirmed < 100; i++) {
			usleep(50000);
			confirmed = rig_confirmed(r);
		}
		if (write(pipes[1], &confirmed, sizeof confirmed) != (ssize_t)sizeof confirmed) _exit(1);
		kill(getpid(), SIGKILL);
	}
	close(pipes[1]);
	waitpid(child, NULL, 0);
	uint64_t confirmed = last_number(pipes[0], 0);
	close(pipes[0]);
	assert_in_range(confirmed, 100, 19999);
	struct rig *r = rig_new_in(1, data);
	rig_load(r, TABLE, dir);
	rig_settle(r, 0);
	rig_free(r);
	char *sql = sl_asprintf("SELECT count(DISTINCT b) FROM x WHERE b < %llu", (unsigned long long)confirmed);
	assert_int_equal(db_int(dir, sql), confirmed);
	sl_free(sql);
	rig_rmdir(dir);
	sl_free(data);
	sl_free(dir);
}

/* ---- A client that never comes back: the process ends with its rows out. ------------------------------------------------ */

#define NOWHERE "connectors: {n: {type: 'null', delay: %s}}\n"
#define NOWHERE_ROWS                                                                                                   \
	"actions: [{connector: n, columns: {a: x, b: x, c: x}, timeout: 1h, batch: {rows: 20, linger: 10s}, rate: "    \
	"20, "                                                                                                         \
	"buffer: {durability: memory}}]\n"

#define COME_APART 2

/* As when several batches of a way were out, and the first came back, which waits for the others. */
static void some_came_back(void *arg) {
	struct sl_pipeline *p = arg;
	row_queue_put_before(&p->way[0].back, &p->way[0].q);
	if (p->way[0].back.n != 17) _exit(COME_APART);
	pipeline_abandon(p);
}

/* Each five of them a chunk of their own; three may go at once. */
static void rows_come_together(void *arg) { rig_stage(arg, 0, 20, 5, rig_row); }

static bool some_are_out(const struct sl_action_counts *n) { return n->batches > 0; }

static void abandoned(const char *data) {
	struct rig *r = rig_new_in(1, data);
	rig_load(r, NOWHERE NOWHERE_ROWS, "1h");
	struct sl_loop *loop = connectors_loop(r->cs);
	sl_loops_park(&loop, 1, rows_come_together, r);
	if (!rig_until(r, 0, some_are_out)) _exit(3);
	sl_loops_park(&loop, 1, some_came_back, r->p[0]);
	_exit(0);
}

static void test_crash__whatever_a_client_has_and_has_not_given_back_is_kept(void **state) {
	(void)state;
	char *dir = rig_tmpdir(), *data = sl_asprintf("%s/data", dir);
	int status = W_EXITCODE(COME_APART, 0);
	for (int i = 0; i < 1000 && WIFEXITED(status) && WEXITSTATUS(status) == COME_APART; i++) {
		pid_t child = fork();
		assert_true(child >= 0);
		if (child == 0) abandoned(data);
		assert_int_equal(waitpid(child, &status, 0), child);
	}
	assert_int_equal(status, 0);
	struct rig *r = rig_new_in(1, data);
	rig_load(r, NOWHERE "actions: [{connector: n, columns: {a: x, b: x, c: x}}]\n", "0");
	struct sl_action_counts n = rig_settle(r, 0);
	assert_int_equal(n.recovered, 20);
	assert_int_equal(n.delivered, 20);
	rig_free(r);
	rig_rmdir(dir);
	sl_free(data);
	sl_free(dir);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_crash__what_was_confirmed_is_there_after_sigkill),
	    cmocka_unit_test(test_crash__a_full_disk_holds_publishers_and_recovers),
	    cmocka_unit_test(test_crash__killed_on_a_full_disk),
	    cmocka_unit_test(test_crash__whatever_a_client_has_and_has_not_given_back_is_kept),
	};
	return cmocka_run_group_tests_name("crash", tests, NULL, NULL);
}
