#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "mem.h"
#include "passwd_command.h"
#include "passwd_file.h"
#include "passwd_int.h"

#define FILE_NAME "passwd_test.pw"
#define ROUNDS 1000 /* quick: not what is tested here */

/* Made by mosquitto_passwd 2.0.11; and by Python's hashlib. */
#define ALICE_MOSQUITTO                                                                                                \
	"alice:$7$101$kabAeeoxa9Gry1z5$7+bOH8GMhibW9igas/TJDPB0Xu6Dz2TgTFFO9qOUX6R/"                                   \
	"7s2RNru5p+gKJhEY1L59Dv7Lg10e5ZzS5PJK"                                                                         \
	"h6fPJQ==\n"
#define CAROL_PYTHON                                                                                                   \
	"carol:$pbkdf2-sha512$i=1000$c2FsdHNhbHRzYWx0c2FsdA==$2IVLzDcUS76iY9+wBooZzkS5Z0mI6ikZPfMieFfR1eV/"            \
	"GJiiRzyvvz4ne"                                                                                                \
	"7tBn8OJ1hxZyCz95QPNeLP3ykzMiQ==\n"

static int setup(void **state) {
	(void)state;
	unlink(FILE_NAME);
	return 0;
}

static void write_file(const char *text) {
	FILE *f = fopen(FILE_NAME, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static char *read_file(void) {
	struct sl_buf b = SL_BUF_INIT;
	assert_int_equal(passwd_read_all(FILE_NAME, &b, NULL), SL_OK);
	return sl_buf_steal(&b);
}

static void set(const char *user, const char *password) {
	struct passwd_change change = {user, password};
	assert_int_equal(passwd_file_update(FILE_NAME, &change, 1, ROUNDS, NULL), SL_OK);
}

static bool verifies(const char *user, const char *password) {
	struct passwd_file *f;
	assert_int_equal(passwd_file_load(FILE_NAME, &f, NULL), SL_OK);
	const struct passwd_entry *e = passwd_file_find(f, slice_from_str(user));
	bool ok = e && passwd_verify(e, slice_from_str(password));
	passwd_file_free(f);
	return ok;
}

static void expect_load_error(const char *text, const char *expected) {
	struct sl_err err = SL_ERR_INIT;
	struct passwd_file *f;
	write_file(text);
	assert_int_not_equal(passwd_file_load(FILE_NAME, &f, &err), SL_OK);
	assert_null(f);
	char *shown = sl_err_format(&err);
	assert_string_equal(shown, expected);
	sl_free(shown);
	sl_err_fini(&err);
}

static void test_passwd__set_then_verify(void **state) {
	(void)state;
	set("alice", "secret");
	assert_true(verifies("alice", "secret"));
	assert_false(verifies("alice", "Secret"));
	assert_false(verifies("alice", ""));
	assert_false(verifies("bob", "secret"));
}

static void test_passwd__known_hashes_verify(void **state) {
	(void)state;
	write_file("# a comment\n\n" ALICE_MOSQUITTO CAROL_PYTHON);
	assert_true(verifies("alice", "secret"));
	assert_true(verifies("carol", "secret"));
	assert_false(verifies("alice", "secret2"));
}

static void test_passwd__new_file_is_private(void **state) {
	(void)state;
	struct stat st;
	set("alice", "x");
	assert_int_equal(stat(FILE_NAME, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_passwd__old_mode_stays(void **state) {
	(void)state;
	struct stat st;
	write_file("");
	assert_int_equal(chmod(FILE_NAME, 0640), 0);
	set("alice", "x");
	assert_int_equal(stat(FILE_NAME, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
}

static void test_passwd__other_lines_stay(void **state) {
	(void)state;
	write_file("# head\n" ALICE_MOSQUITTO "\n" CAROL_PYTHON "# foot");
	set("alice", "new");
	char *text = read_file();
	assert_int_equal(strncmp(text, "# head\nalice:$scram$i=1000$", 27), 0);
	assert_non_null(strstr(text, "\n\n" CAROL_PYTHON "# foot\n"));
	sl_free(text);
	assert_true(verifies("alice", "new"));
	assert_true(verifies("carol", "secret"));
}

static void test_passwd__delete(void **state) {
	(void)state;
	struct sl_err err = SL_ERR_INIT;
	write_file(ALICE_MOSQUITTO CAROL_PYTHON);
	set("alice", NULL);
	char *text = read_file();
	assert_string_equal(text, CAROL_PYTHON);
	sl_free(text);
	struct passwd_change change = {"alice", NULL};
	assert_int_equal(passwd_file_update(FILE_NAME, &change, 1, ROUNDS, &err), SL_ENOTFOUND);
	assert_string_equal(sl_err_text(&err), "there is no user alice");
	sl_err_fini(&err);
}

static void test_passwd__delete_makes_no_file(void **state) {
	(void)state;
	struct passwd_change change = {"alice", NULL};
	assert_int_equal(passwd_file_update(FILE_NAME, &change, 1, ROUNDS, NULL), SL_ENOTFOUND);
	assert_int_not_equal(access(FILE_NAME, F_OK), 0);
}

static void test_passwd__all_changes_or_none(void **state) {
	(void)state;
	write_file(CAROL_PYTHON);
	struct passwd_change changes[] = {{"dave", "x"}, {"bad:name", "y"}};
	assert_int_equal(passwd_file_update(FILE_NAME, changes, 2, ROUNDS, NULL), SL_EINVAL);
	struct passwd_change missing[] = {{"dave", "x"}, {"nobody", NULL}};
	assert_int_equal(passwd_file_update(FILE_NAME, missing, 2, ROUNDS, NULL), SL_ENOTFOUND);
	char *text = read_file();
	assert_string_equal(text, CAROL_PYTHON);
	sl_free(text);
}

static void test_passwd__last_change_of_a_user_counts(void **state) {
	(void)state;
	struct passwd_change changes[] = {{"alice", "one"}, {"alice", "two"}};
	assert_int_equal(passwd_file_update(FILE_NAME, changes, 2, ROUNDS, NULL), SL_OK);
	assert_true(verifies("alice", "two"));
	assert_false(verifies("alice", "one"));
}

static void test_passwd__link_is_followed(void **state) {
	(void)state;
	struct stat st;
	write_file("");
	unlink("passwd_test.link");
	assert_int_equal(symlink(FILE_NAME, "passwd_test.link"), 0);
	struct passwd_change change = {"alice", "x"};
	assert_int_equal(passwd_file_update("passwd_test.link", &change, 1, ROUNDS, NULL), SL_OK);
	assert_int_equal(lstat("passwd_test.link", &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_true(verifies("alice", "x"));
	unlink("passwd_test.link");
}

static void test_passwd__bad_lines_name_their_line(void **state) {
	(void)state;
	expect_load_error("# ok\nalice\n",
			  FILE_NAME ":2: the line is not user:hash; set passwords with `sluice passwd`");
	expect_load_error("alice:secret\n",
			  FILE_NAME ":1: the hash is not of a known kind ($scram$, $pbkdf2-sha512$ or $7$); set "
				    "the password anew with `sluice passwd`");
	expect_load_error("alice:$7$101$kabA$AAAA\n",
			  FILE_NAME ":1: the hash is damaged; set the password anew with `sluice passwd`");
	expect_load_error("alice:$pbkdf2-sha512$i=99999999999$kabA$\n",
			  FILE_NAME ":1: the hash is damaged; set the password anew with `sluice passwd`");
	expect_load_error(CAROL_PYTHON CAROL_PYTHON, FILE_NAME ": the user carol stands twice; remove one line");
}

static void test_passwd__bad_names_are_refused(void **state) {
	(void)state;
	assert_int_equal(passwd_check_user(SL_SLICE_LIT(""), NULL), SL_EINVAL);
	assert_int_equal(passwd_check_user(SL_SLICE_LIT("a:b"), NULL), SL_EINVAL);
	assert_int_equal(passwd_check_user(SL_SLICE_LIT("a\nb"), NULL), SL_EINVAL);
	assert_int_equal(passwd_check_user(SL_SLICE_LIT("#a"), NULL), SL_EINVAL);
	assert_int_equal(passwd_check_user(SL_SLICE_LIT("a\xFF"), NULL), SL_EINVAL);
	assert_int_equal(passwd_check_user(SL_SLICE_LIT("a b\xC3\xA9@x"), NULL), SL_OK);
}

/* Eight processes at once, each with a user of its own: none may be lost. */
static void test_passwd__updates_at_the_same_time(void **state) {
	(void)state;
	enum { WRITERS = 8 };
	for (int i = 0; i < WRITERS; i++) {
		if (fork() != 0) continue;
		char *user = sl_asprintf("user%d", i);
		struct passwd_change change = {user, "x"};
		int rc = passwd_file_update(FILE_NAME, &change, 1, ROUNDS, NULL);
		sl_free(user);
		_exit(rc == SL_OK ? 0 : 1);
	}
	for (int i = 0; i < WRITERS; i++) {
		int status;
		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	struct passwd_file *f;
	assert_int_equal(passwd_file_load(FILE_NAME, &f, NULL), SL_OK);
	assert_int_equal(passwd_file_count(f), WRITERS);
	passwd_file_free(f);
}

/* ---- the command ----------------------------------------------------------------------------------------- */

static int run_command(const char *input, int argc, const char *const *args) {
	char *argv[8] = {NULL};
	FILE *f = fopen("passwd_test.in", "w");
	assert_non_null(f);
	fputs(input, f);
	fclose(f);
	assert_non_null(freopen("passwd_test.in", "r", stdin));
	for (int i = 0; i < argc; i++) argv[i] = sl_strdup(args[i]);
	char *to_free[8];
	memcpy(to_free, argv, sizeof argv); /* getopt may change the order */
	int code = cmd_passwd(argc, argv);
	for (int i = 0; i < argc; i++) sl_free(to_free[i]);
	unlink("passwd_test.in");
	return code;
}
#define RUN(input, ...)                                                                                                \
	run_command(input, (int)SL_ARRAY_LEN(((const char *const[]){"passwd", __VA_ARGS__})),                          \
		    (const char *const[]){"passwd", __VA_ARGS__})

static void test_passwd_command__sets_from_a_line(void **state) {
	(void)state;
	assert_int_equal(RUN("s:e cret\n", FILE_NAME, "alice", "--iterations", "1000"), 0);
	assert_true(verifies("alice", "s:e cret"));
	assert_int_equal(RUN("", FILE_NAME, "alice", "--delete"), 0);
	assert_false(verifies("alice", "s:e cret"));
	assert_int_equal(RUN("", FILE_NAME, "alice", "--delete"), 1);
}

static void test_passwd_command__batch(void **state) {
	(void)state;
	assert_int_equal(RUN("alice:one\n# note\n\nbob:two:three\n", FILE_NAME, "--batch", "-i", "1000"), 0);
	assert_true(verifies("alice", "one"));
	assert_true(verifies("bob", "two:three"));
	assert_int_equal(RUN("alice\n", FILE_NAME, "--batch"), 1);
	assert_int_equal(RUN("", FILE_NAME, "--batch"), 1);
}

static void test_passwd_command__usage(void **state) {
	(void)state;
	assert_int_equal(RUN("x\n", FILE_NAME), 2);
	assert_int_equal(RUN("x\n", FILE_NAME, "a", "b"), 2);
	assert_int_equal(RUN("x\n", FILE_NAME, "a", "-i", "5"), 2);
	assert_int_equal(RUN("\n", FILE_NAME, "a"), 1);
	assert_int_equal(RUN("", FILE_NAME, "a"), 1);
	assert_int_equal(RUN("x\n", "/nonexistent/users.pw", "a"), 1);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(test_passwd__set_then_verify, setup),
	    cmocka_unit_test_setup(test_passwd__known_hashes_verify, setup),
	    cmocka_unit_test_setup(test_passwd__new_file_is_private, setup),
	    cmocka_unit_test_setup(test_passwd__old_mode_stays, setup),
	    cmocka_unit_test_setup(test_passwd__other_lines_stay, setup),
	    cmocka_unit_test_setup(test_passwd__delete, setup),
	    cmocka_unit_test_setup(test_passwd__delete_makes_no_file, setup),
	    cmocka_unit_test_setup(test_passwd__all_changes_or_none, setup),
	    cmocka_unit_test_setup(test_passwd__last_change_of_a_user_counts, setup),
	    cmocka_unit_test_setup(test_passwd__link_is_followed, setup),
	    cmocka_unit_test_setup(test_passwd__bad_lines_name_their_line, setup),
	    cmocka_unit_test_setup(test_passwd__bad_names_are_refused, setup),
	    cmocka_unit_test_setup(test_passwd__updates_at_the_same_time, setup),
	    cmocka_unit_test_setup(test_passwd_command__sets_from_a_line, setup),
	    cmocka_unit_test_setup(test_passwd_command__batch, setup),
	    cmocka_unit_test_setup(test_passwd_command__usage, setup),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(FILE_NAME);
	return failed;
}
