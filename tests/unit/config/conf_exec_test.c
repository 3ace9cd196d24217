/* conf_exec_test.c: values that programs print. The programs are scripts of the test's own, in its working directory. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf_exec.h"
#include "conf_exec_keep.h"
#include "mem.h"
#include "schema.h"

static char folder[64];

/* folder/name, which does this. */
static void script(const char *name, const char *text) {
	char *path = sl_asprintf("%s/%s", folder, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f, "#!/bin/sh\n%s\n", text);
	fclose(f);
	assert_int_equal(chmod(path, 0700), 0);
	sl_free(path);
}

static void remove_file(const char *name) {
	char *path = sl_asprintf("%s/%s", folder, name);
	unlink(path);
	sl_free(path);
}

static char *run(const char *command, struct sl_err *err) {
	struct sl_buf b = SL_BUF_INIT;
	conf_exec_begin();
	if (conf_exec_append(slice_from_str(command), &b, err) != SL_OK) {
		assert_int_equal(b.n, 0);
		sl_buf_fini(&b);
		return NULL;
	}
	(void)sl_buf_cstr(&b);
	return sl_buf_steal(&b);
}

static void expect(const char *command, const char *said) {
	struct sl_err err = SL_ERR_INIT;
	char *out = run(command, &err);
	if (!out) fail_msg("%s", sl_err_text(&err));
	assert_string_equal(out, said);
	sl_free(out);
}

static void expect_error(const char *command, const char *text) {
	struct sl_err err = SL_ERR_INIT;
	assert_null(run(command, &err));
	assert_string_equal(sl_err_text(&err), text);
	sl_err_fini(&err);
}

/* ---- Words. ---- */

static void expect_words(const char *command, const char *joined) {
	char **words;
	struct sl_buf b = SL_BUF_INIT;
	assert_int_equal(conf_exec_words(slice_from_str(command), &words, NULL), SL_OK);
	for (char **w = words; *w; w++) sl_buf_printf(&b, "<%s>", *w);
	assert_string_equal(sl_buf_cstr(&b), joined);
	sl_buf_fini(&b);
	sl_free(words);
}

static void test_exec__words_are_split_at_blanks_and_held_by_quotes(void **state) {
	(void)state;
	expect_words("vault kv get -field=password secret/sluice/db",
		     "<vault><kv><get><-field=password><secret/sluice/db>");
	expect_words("  a \t b\n", "<a><b>");
	expect_words("a 'b c' \"d e\"", "<a><b c><d e>");
	expect_words("a 'it\"s' \"it's\" ''", "<a><it\"s><it's><>");
	expect_words("a b' 'c'd'", "<a><b cd>");
	expect_words("a $HOME \\n *", "<a><$HOME><\\n><*>");
}

static void test_exec__words_that_are_none(void **state) {
	(void)state;
	expect_error("a 'b", "${exec:...}: a quote is not closed");
	expect_error("a \"b'", "${exec:...}: a quote is not closed");
	expect_error("  ", "${exec:...} names no program; write ${exec:program arg arg}");
	expect_error("'' a", "${exec:...} names no program; write ${exec:program arg arg}");
	char many[2 * 257 + 1];
	for (size_t i = 0; i < sizeof many - 1; i++) many[i] = i % 2 ? ' ' : 'a';
	many[sizeof many - 1] = '\0';
	expect_error(many, "${exec:...} has more than 256 words, or a zero byte");
}

static void test_exec__the_end_is_a_brace_outside_of_quotes(void **state) {
	(void)state;
	assert_int_equal(conf_exec_end(slice_from_str("a b}c}")), 3);
	assert_int_equal(conf_exec_end(slice_from_str("jq '.{a}' x}y")), 11);
	assert_int_equal(conf_exec_end(slice_from_str("a '}")), -1);
	assert_int_equal(conf_exec_end(slice_from_str("")), -1);
}

/* ---- Running. ---- */

static void test_exec__what_it_prints_without_one_line_break(void **state) {
	(void)state;
	script("two", "printf 'a b\\n\\n'");
	script("args", "for w in \"$@\"; do printf '<%s>' \"$w\"; done; cat; echo complaint >&2");
	expect("echo s3cret", "s3cret");
	expect("two", "a b\n");
	expect("printf x", "x");
	expect("true", "");
	expect("args 'a b' $HOME *", "<a b><$HOME><*>");
	char *by_path = sl_asprintf("%s/two", folder);
	expect(by_path, "a b\n");
	sl_free(by_path);
}

static void test_exec__failures_tell_the_status_and_the_complaint_and_nothing_that_was_printed(void **state) {
	(void)state;
	script("denied", "echo s3cret; echo; echo 'permission denied' >&2; echo more >&2; exit 2");
	script("quiet", "echo s3cret; exit 1");
	script("killed", "kill -9 $$");
	script("colour", "printf '\\033[31mno\\ttoken\\n' >&2; exit 1");
	expect_error("denied a", "${exec:denied a} failed with status 2: permission denied");
	expect_error("quiet", "${exec:quiet} failed with status 1");
	expect_error("killed", "${exec:killed} was ended by signal 9");
	expect_error("colour", "${exec:colour} failed with status 1:  [31mno token");
	expect_error(
	    "sluice-no-such-program x",
	    "${exec:sluice-no-such-program x} names a program that is not there; give its path, or see to PATH");
	expect_error("/dev/null", "${exec:/dev/null} Permission denied");
}

static void test_exec__outputs_are_bounded_and_text(void **state) {
	(void)state;
	script("fits", "head -c 65536 /dev/zero | tr '\\0' x; echo");
	script("large", "head -c 65537 /dev/zero | tr '\\0' x");
	script("endless", "exec cat /dev/zero");
	script("bytes", "printf '\\377'");
	script("talk", "head -c 1000000 /dev/zero >&2; printf fine");
	char *out = run("fits", NULL);
	assert_non_null(out);
	assert_int_equal(strlen(out), 65536);
	sl_free(out);
	expect_error("large", "${exec:large} prints more than 64 KB, too much for a value");
	expect_error("endless", "${exec:endless} prints more than 64 KB, too much for a value");
	expect_error("bytes", "${exec:bytes} prints what is not a text in UTF-8");
	expect("talk", "fine");
}

static void test_exec__time_is_limited_and_children_end_with_it(void **state) {
	(void)state;
	script("slow", "echo $$ > \"$0.pid\"; sleep 1000 & sleep 1000");
	conf_exec_limit(2000);
	expect_error("slow", "${exec:slow} did not end within 2 s");
	conf_exec_limit(0);
	char *path = sl_asprintf("%s/slow.pid", folder);
	FILE *f = fopen(path, "r");
	int pid = 0;
	bool begun = f && fscanf(f, "%d", &pid) == 1; /* a busy machine may not come that far */
	if (f) fclose(f);
	sl_free(path);
	/* Killed children of a dead parent are somebody else's; it takes a moment until they are buried. */
	for (int i = 0; begun && i < 5000 && kill(-pid, 0) == 0; i++) usleep(1000);
	remove_file("slow.pid");
}

/* Its number as the script wrote it down; 0: it did not come that far. */
static int left_behind(void) {
	char *path = sl_asprintf("%s/left.pid", folder);
	FILE *f = fopen(path, "r");
	int pid = 0;
	if (!f || fscanf(f, "%d", &pid) != 1) pid = 0;
	if (f) fclose(f);
	sl_free(path);
	remove_file("left.pid");
	return pid;
}

static void ends(int pid) {
	for (int i = 0; i < 20000 && kill(pid, 0) == 0; i++) usleep(1000); /* whoever it is left to buries it */
	assert_int_equal(kill(pid, 0), -1);
}

/* What it leaves behind may keep its pipes for ever: it is not waited for, but ended. */
static void test_exec__what_stays_in_the_background_is_ended(void **state) {
	(void)state;
	script("leaves", "sleep 1000 & echo $! > \"${0%leaves}left.pid\"; echo done");
	expect("leaves", "done");
	int pid = left_behind();
	assert_true(pid > 0);
	ends(pid);
}

/* Once it has a session of its own, and once its parent is dead as well. */
static void test_exec__what_left_its_session_is_ended(void **state) {
	(void)state;
	script("setsid", "/usr/bin/setsid sh -c '(sleep 1000 & echo $! > \"'\"${0%setsid}\"'left.pid\") & wait' & "
			 "while [ ! -s \"${0%setsid}left.pid\" ]; do sleep 0.01; done; echo done");
	conf_exec_keeper("/proc/self/exe");
	expect("setsid", "done");
	int pid = left_behind();
	assert_true(pid > 0);
	assert_int_equal(kill(pid, 0), -1); /* ended and buried before we were told */
	script("setsid",
	       "/usr/bin/setsid sh -c 'sleep 1000 & echo $! > \"'\"${0%setsid}\"'left.pid\"; exit' & sleep 1000");
	conf_exec_limit(2000);
	expect_error("setsid", "${exec:setsid} did not end within 2 s");
	conf_exec_limit(0);
	conf_exec_keeper(NULL);
	pid = left_behind();
	if (pid > 0) ends(pid); /* a busy machine may not come that far */
}

/* The same with a keeper as without. */
static void test_exec__with_a_keeper(void **state) {
	conf_exec_keeper("/proc/self/exe");
	test_exec__what_it_prints_without_one_line_break(state);
	test_exec__failures_tell_the_status_and_the_complaint_and_nothing_that_was_printed(state);
	test_exec__outputs_are_bounded_and_text(state);
	test_exec__time_is_limited_and_children_end_with_it(state);
	test_exec__what_stays_in_the_background_is_ended(state);
	conf_exec_keeper(NULL);
}

/* ---- Loads. ---- */

static char *counted(const char *command) {
	struct sl_buf b = SL_BUF_INIT;
	assert_int_equal(conf_exec_append(slice_from_str(command), &b, NULL), SL_OK);
	(void)sl_buf_cstr(&b);
	return sl_buf_steal(&b);
}

static void test_exec__one_load_runs_it_once(void **state) {
	(void)state;
	struct sl_buf known = SL_BUF_INIT;
	script("count", "echo x >> \"$0.n\"; wc -l < \"$0.n\" | tr -d ' '");
	conf_exec_begin();
	assert_false(conf_exec_known(SL_SLICE_LIT("count"), &known));
	char *a = counted("count"), *b = counted("count"), *other = counted("count x");
	assert_string_equal(a, "1");
	assert_string_equal(b, "1");
	assert_string_equal(other, "2");
	assert_true(conf_exec_known(SL_SLICE_LIT("count"), &known));
	assert_string_equal(sl_buf_cstr(&known), "1");
	conf_exec_begin();
	assert_false(conf_exec_known(SL_SLICE_LIT("count"), &known));
	char *c = counted("count");
	assert_string_equal(c, "3");
	sl_free(a);
	sl_free(b);
	sl_free(c);
	sl_free(other);
	sl_buf_fini(&known);
	remove_file("count.n");
}

static void expect_hidden(const char *text, const char *shown) {
	struct sl_buf b = SL_BUF_INIT;
	conf_exec_hide(slice_from_str(text), &b);
	assert_string_equal(sl_buf_cstr(&b), shown);
	sl_buf_fini(&b);
}

static void test_exec__what_it_printed_is_known_again_and_hidden(void **state) {
	(void)state;
	conf_exec_begin();
	sl_free(counted("echo hunter2"));
	sl_free(counted("echo hunter2-long"));
	sl_free(counted("echo ab"));
	expect_hidden("hunter2", "***");
	expect_hidden("user hunter2-long!", "user ***!");
	expect_hidden("hunter2hunter2", "******");
	expect_hidden("ab", "***");
	expect_hidden("abc", "abc");
	conf_exec_begin();
	conf_exec_begin();
	expect_hidden("hunter2", "***"); /* perhaps still in force */
}

/* ---- In a configuration. ---- */

struct conf {
	char *user, *password, *url;
};

static int refuse(const struct conf_field *field, struct sl_slice text, struct sl_err *err) {
	(void)field;
	if (!slice_starts_with(text, SL_SLICE_LIT("bad"))) return SL_OK;
	return sl_err_set(err, SL_EINVAL, "'%.*s' is bad", SL_SLICE_ARG(text));
}

static const struct conf_field fields[] = {
    {.name = "user", .type = CONF_STRING, .flags = CONF_EXPAND, .at = offsetof(struct conf, user), .validate = refuse},
    {.name = "password",
     .type = CONF_STRING,
     .flags = CONF_EXPAND | CONF_SECRET,
     .at = offsetof(struct conf, password)},
    {.name = "url", .type = CONF_STRING, .flags = CONF_EXPAND | CONF_SECRET_URL, .at = offsetof(struct conf, url)},
    CONF_END};

/* The settings as they are shown, or what is wrong with them. */
static char *applied(const char *yaml, struct conf *conf) {
	struct yaml_doc *doc;
	struct conf_report report = CONF_REPORT_INIT;
	*conf = (struct conf){0};
	conf_exec_begin();
	assert_int_equal(yaml_doc_load(slice_from_str(yaml), "t.yaml", &doc, NULL), SL_OK);
	int rc = conf_apply(fields, yaml_doc_root(doc), (struct conf_at){doc, ""}, conf, &report);
	json_t *shown = rc == SL_OK ? conf_show(fields, conf) : NULL;
	char *dump = shown ? json_dumps(shown, JSON_COMPACT) : NULL;
	char *text = dump ? sl_strdup(dump) : conf_report_format(&report);
	free(dump);
	json_decref(shown);
	conf_report_fini(&report);
	yaml_doc_free(doc);
	return text;
}

static void expect_applied(const char *yaml, const char *expected) {
	struct conf conf;
	char *text = applied(yaml, &conf);
	assert_string_equal(text, expected);
	sl_free(text);
	conf_fini(fields, &conf);
}

static void test_exec__settings_show_stars_and_mistakes_show_places(void **state) {
	(void)state;
	script("vault", "[ \"$1\" = kv ] && echo \"$2-s3cret\" && exit; echo 'no such path' >&2; exit 2");
	struct conf conf;
	char *text = applied("user: ${exec:vault kv user}\npassword: ${exec:vault kv pass}\n"
			     "url: \"redis://u:${exec:vault kv url}@h/0\"\n",
			     &conf);
	assert_string_equal(text, "{\"user\":\"***\",\"password\":\"***\",\"url\":\"redis://u:***@h/0\"}");
	assert_string_equal(conf.user, "user-s3cret");
	assert_string_equal(conf.password, "pass-s3cret");
	assert_string_equal(conf.url, "redis://u:url-s3cret@h/0");
	sl_free(text);
	conf_fini(fields, &conf);
	expect_applied("url: x\npassword: ${exec:vault read}\n",
		       "t.yaml:2:11: password: ${exec:vault read} failed with status 2: no such path\n");
	expect_applied("user: ${exec:vault kv bad}\n", "t.yaml:1:7: user: '***' is bad\n");
	expect_applied("user: \"${exec:vault kv 'x}\"\n",
		       "t.yaml:1:7: user: a ${ is not closed by a }; for a plain ${ write $${\n");
}

static void test_exec__file_urls_are_files_for_secrets(void **state) {
	(void)state;
	char *path = sl_asprintf("%s/pw", folder), *yaml;
	struct conf conf;
	FILE *f = fopen(path, "w");
	fputs("from-file\n", f);
	fclose(f);
	setenv("SLUICE_TEST_FOLDER", folder, 1);
	yaml = sl_asprintf("password: file://%s\nuser: file://%s\n", path, path);
	sl_free(applied(yaml, &conf));
	assert_string_equal(conf.password, "from-file");
	assert_memory_equal(conf.user, "file://", 7);
	conf_fini(fields, &conf);
	sl_free(applied("password: 'file://${SLUICE_TEST_FOLDER}/pw'", &conf));
	assert_string_equal(conf.password, "from-file");
	conf_fini(fields, &conf);
	setenv("SLUICE_TEST_URL", "file:///etc/passwd", 1); /* what a variable holds is a value */
	sl_free(applied("password: ${SLUICE_TEST_URL}", &conf));
	assert_string_equal(conf.password, "file:///etc/passwd");
	conf_fini(fields, &conf);
	expect_applied("password: file:///nonexistent/x",
		       "t.yaml:1:11: password: the file /nonexistent/x cannot be read: No such file or directory\n");
	char *known = conf_expand_known(slice_from_str(yaml + strlen("password: ")));
	sl_free(known);
	sl_free(yaml);
	yaml = sl_asprintf("file://%s", path);
	known = conf_expand_known(slice_from_str(yaml));
	assert_string_equal(known, "from-file");
	sl_free(known);
	sl_free(yaml);
	unlink(path);
	sl_free(path);
}

static void test_exec__nothing_runs_where_secrets_are_not_at_hand(void **state) {
	(void)state;
	conf_expand_stand_in("0");
	char *out;
	assert_int_equal(conf_expand(SL_SLICE_LIT("${exec:sluice-no-such-program}"), &out, NULL), SL_OK);
	assert_string_equal(out, "0");
	sl_free(out);
	conf_expand_stand_in(NULL);
	char *known = conf_expand_known(SL_SLICE_LIT("a ${exec:sluice-no-such-program}"));
	assert_string_equal(known, "a sluice-no-such-program");
	sl_free(known);
}

static int folder_make(void **state) {
	(void)state;
	snprintf(folder, sizeof folder, "conf_exec_test-XXXXXX");
	if (!mkdtemp(folder)) return -1;
	const char *path = getenv("PATH");
	char *with = sl_asprintf("%s:%s", folder, path ? path : "/usr/bin:/bin");
	setenv("PATH", with, 1);
	sl_free(with);
	return 0;
}

static int folder_remove(void **state) {
	(void)state;
	static const char *const made[] = {"two",    "args",  "denied",  "quiet", "killed", "colour",
					   "fits",   "large", "endless", "bytes", "talk",   "slow",
					   "leaves", "count", "vault",   "setsid"};
	for (size_t i = 0; i < SL_ARRAY_LEN(made); i++) remove_file(made[i]);
	return rmdir(folder);
}

int main(int argc, char **argv) {
	if (argc > 1 && strcmp(argv[1], CONF_EXEC_KEEP_COMMAND) == 0) return cmd_exec_keeper(argc - 1, argv + 1);
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_exec__words_are_split_at_blanks_and_held_by_quotes),
	    cmocka_unit_test(test_exec__words_that_are_none),
	    cmocka_unit_test(test_exec__the_end_is_a_brace_outside_of_quotes),
	    cmocka_unit_test(test_exec__what_it_prints_without_one_line_break),
	    cmocka_unit_test(test_exec__failures_tell_the_status_and_the_complaint_and_nothing_that_was_printed),
	    cmocka_unit_test(test_exec__outputs_are_bounded_and_text),
	    cmocka_unit_test(test_exec__time_is_limited_and_children_end_with_it),
	    cmocka_unit_test(test_exec__what_stays_in_the_background_is_ended),
	    cmocka_unit_test(test_exec__what_left_its_session_is_ended),
	    cmocka_unit_test(test_exec__with_a_keeper),
	    cmocka_unit_test(test_exec__one_load_runs_it_once),
	    cmocka_unit_test(test_exec__what_it_printed_is_known_again_and_hidden),
	    cmocka_unit_test(test_exec__settings_show_stars_and_mistakes_show_places),
	    cmocka_unit_test(test_exec__file_urls_are_files_for_secrets),
	    cmocka_unit_test(test_exec__nothing_runs_where_secrets_are_not_at_hand),
	};
	return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
