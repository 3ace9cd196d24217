#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <uv.h>

#include "auth.h"
#include "mem.h"
#include "passwd_file.h"

#define FILE_NAME "auth_test.pw"

static struct sl_loop *loop;

/* The loop has no thread: its pool work and its letters are run here. */
static void turn(void) {
	uv_loop_t *uv = sl_loop_uv(loop);
	do
		while (uv->active_reqs.count > 0) uv_run(uv, UV_RUN_ONCE);
	while (sl_loop_run_rest(loop));
}

static int setup(void **state) {
	(void)state;
	unlink(FILE_NAME);
	struct passwd_change changes[] = {{"alice", "secret"}, {"bob", "hunter2"}};
	if (passwd_file_update(FILE_NAME, changes, 2, 1000, NULL) != SL_OK) return -1;
	return sl_loop_new("auth_test", 0, &loop, NULL);
}

static int teardown(void **state) {
	(void)state;
	turn();
	sl_loop_free(loop);
	return 0;
}

static struct auth *make(bool anonymous, const char *file) {
	struct auth *a;
	struct auth_options options = {.anonymous = anonymous, .password_file = file};
	assert_int_equal(auth_new(&options, &a, NULL), SL_OK);
	return a;
}

struct answer {
	int calls;
	enum auth_verdict verdict;
};
static void on_verdict(enum auth_verdict verdict, struct auth_identity *id, void *arg) {
	struct answer *answer = arg;
	answer->calls++;
	answer->verdict = verdict;
	assert_null(id);
}

static struct auth_request request(const char *user, const char *password) {
	return (struct auth_request){.clientid = SL_SLICE_LIT("c1"),
				     .has_username = user != NULL,
				     .has_password = password != NULL,
				     .username = slice_from_str(user),
				     .password = slice_from_str(password)};
}

/* Asks and waits; *at_once says whether it took a thread. */
static enum auth_verdict check(struct auth *a, const char *user, const char *password, bool *at_once) {
	struct answer answer = {0};
	struct auth_identity *id;
	struct auth_job *job;
	struct auth_request r = request(user, password);
	enum auth_verdict verdict = auth_check(a, loop, &r, &job, &id, on_verdict, &answer);
	*at_once = verdict != AUTH_PENDING;
	if (*at_once) {
		assert_null(job);
		return verdict;
	}
	turn();
	assert_int_equal(answer.calls, 1);
	return answer.verdict;
}

static void test_auth__without_name_is_anonymous(void **state) {
	(void)state;
	bool at_once;
	struct auth *open = make(true, FILE_NAME), *closed = make(false, FILE_NAME);
	assert_int_equal(check(open, NULL, NULL, &at_once), AUTH_ALLOWED);
	assert_true(at_once);
	assert_int_equal(check(closed, NULL, NULL, &at_once), AUTH_DENIED);
	assert_true(at_once);
	auth_unref(open);
	auth_unref(closed);
}

static void test_auth__without_chain_names_mean_nothing(void **state) {
	(void)state;
	bool at_once;
	struct auth *open = make(true, NULL), *closed = make(false, NULL);
	assert_int_equal(check(open, "anyone", "x", &at_once), AUTH_ALLOWED);
	assert_int_equal(check(closed, "anyone", "x", &at_once), AUTH_DENIED);
	auth_unref(open);
	auth_unref(closed);
}

static void test_auth__right_and_wrong_password(void **state) {
	(void)state;
	bool at_once;
	struct auth *a = make(true, FILE_NAME);
	assert_int_equal(check(a, "alice", "secret", &at_once), AUTH_ALLOWED);
	assert_false(at_once);
	assert_int_equal(check(a, "alice", "hunter2", &at_once), AUTH_DENIED);
	assert_int_equal(check(a, "alice", NULL, &at_once), AUTH_DENIED);
	assert_true(at_once);
	auth_unref(a);
}

static void test_auth__unknown_name_is_denied_though_anonymous(void **state) {
	(void)state;
	bool at_once;
	struct auth *a = make(true, FILE_NAME);
	assert_int_equal(check(a, "mallory", "secret", &at_once), AUTH_DENIED);
	assert_false(at_once); /* as slow as a known name */
	assert_int_equal(check(a, "", "secret", &at_once), AUTH_DENIED);
	auth_unref(a);
}

static void test_auth__verified_once_is_known(void **state) {
	(void)state;
	bool at_once;
	struct auth *a = make(false, FILE_NAME);
	assert_int_equal(check(a, "alice", "secret", &at_once), AUTH_ALLOWED);
	assert_false(at_once);
	assert_int_equal(check(a, "alice", "secret", &at_once), AUTH_ALLOWED);
	assert_true(at_once);
	/* Neither another user's password nor another split of the same letters. */
	assert_int_equal(check(a, "bob", "secret", &at_once), AUTH_DENIED);
	assert_int_equal(check(a, "alices", "ecret", &at_once), AUTH_DENIED);
	auth_unref(a);
}

static void test_auth__new_file_forgets(void **state) {
	(void)state;
	bool at_once;
	struct auth *a = make(false, FILE_NAME);
	assert_int_equal(check(a, "alice", "secret", &at_once), AUTH_ALLOWED);
	struct passwd_change change = {"alice", "changed"};
	assert_int_equal(passwd_file_update(FILE_NAME, &change, 1, 1000, NULL), SL_OK);
	struct auth *b = make(false, FILE_NAME);
	auth_unref(a);
	assert_int_equal(check(b, "alice", "secret", &at_once), AUTH_DENIED);
	assert_int_equal(check(b, "alice", "changed", &at_once), AUTH_ALLOWED);
	auth_unref(b);
}

static void test_auth__cancelled_is_never_told(void **state) {
	(void)state;
	enum { JOBS = 20 }; /* more than the pool has threads: some run, some are queued */
	struct answer answer = {0};
	struct auth_identity *id;
	struct auth *a = make(false, FILE_NAME);
	struct auth_job *jobs[JOBS];
	struct auth_request r = request("alice", "wrong"); /* never remembered, so always a job */
	for (int i = 0; i < JOBS; i++)
		assert_int_equal(auth_check(a, loop, &r, &jobs[i], &id, on_verdict, &answer), AUTH_PENDING);
	for (int i = 0; i < JOBS; i++) auth_cancel(jobs[i]);
	auth_unref(a); /* the jobs hold their own references */
	turn();
	assert_int_equal(answer.calls, 0);
}

static void test_auth__request_may_go_after_the_call(void **state) {
	(void)state;
	struct answer answer = {0};
	struct auth_identity *id;
	struct auth *a = make(false, FILE_NAME);
	struct auth_job *job;
	char *user = sl_strdup("alice"), *password = sl_strdup("secret");
	struct auth_request r = request(user, password);
	assert_int_equal(auth_check(a, loop, &r, &job, &id, on_verdict, &answer), AUTH_PENDING);
	sl_free(user);
	sl_free(password);
	turn();
	assert_int_equal(answer.verdict, AUTH_ALLOWED);
	auth_unref(a);
}

static void test_auth__waiting_checks_are_bounded(void **state) {
	(void)state;
	struct answer answer = {0};
	struct auth_identity *id;
	struct auth *a = make(false, FILE_NAME);
	struct auth_job **jobs = SL_NEW_ARRAY(struct auth_job *, AUTH_PENDING_MAX + 1);
	struct auth_request r = request("alice", "wrong");
	for (int i = 0; i < AUTH_PENDING_MAX; i++)
		assert_int_equal(auth_check(a, loop, &r, &jobs[i], &id, on_verdict, &answer), AUTH_PENDING);
	assert_int_equal(auth_check(a, loop, &r, &jobs[AUTH_PENDING_MAX], &id, on_verdict, &answer), AUTH_UNAVAILABLE);
	for (int i = 0; i < AUTH_PENDING_MAX; i++) auth_cancel(jobs[i]);
	turn();
	bool at_once;
	assert_int_equal(check(a, "alice", "secret", &at_once), AUTH_ALLOWED);
	sl_free(jobs);
	auth_unref(a);
}

static void test_auth__bad_file_is_refused(void **state) {
	(void)state;
	struct sl_err err = SL_ERR_INIT;
	struct auth *a;
	struct auth_options options = {.password_file = "/nonexistent/users.pw"};
	assert_int_equal(auth_new(&options, &a, &err), SL_ENOTFOUND);
	assert_null(a);
	char *shown = sl_err_format(&err);
	assert_string_equal(shown,
			    "/nonexistent/users.pw: the password file cannot be read: No such file or directory");
	sl_free(shown);
	sl_err_fini(&err);
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    CASE(test_auth__without_name_is_anonymous),  CASE(test_auth__without_chain_names_mean_nothing),
	    CASE(test_auth__right_and_wrong_password),   CASE(test_auth__unknown_name_is_denied_though_anonymous),
	    CASE(test_auth__verified_once_is_known),     CASE(test_auth__new_file_forgets),
	    CASE(test_auth__cancelled_is_never_told),    CASE(test_auth__request_may_go_after_the_call),
	    CASE(test_auth__waiting_checks_are_bounded), CASE(test_auth__bad_file_is_refused),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(FILE_NAME);
	return failed;
}
