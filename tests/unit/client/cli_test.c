/* cli_test.c: options by table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli.h"

struct values {
	bool flag;
	const char *text;
	int64_t number;
	int choice;
	struct cli_list list;
};

static const char *const colours[] = {"red", "green", NULL};
#define AT(member) offsetof(struct values, member)
static const struct cli_option options[] = {
    {.letter = 'f', .name = "flag", .type = CLI_FLAG, .at = AT(flag), .doc = "a flag"},
    {.letter = 't', .name = "text", .type = CLI_TEXT, .at = AT(text), .value = "TEXT", .doc = "a text"},
    {.letter = 'n', .name = "number", .type = CLI_NUMBER, .at = AT(number), .value = "N", .max = 10, .doc = "a number"},
    {.letter = 'c', .name = "colour", .type = CLI_CHOICE, .at = AT(choice), .choices = colours, .doc = "a choice"},
    {.name = "item", .type = CLI_LIST, .at = AT(list), .value = "ITEM", .doc = "a list"},
};
static const struct cli_command command = {
    .usage = "test", .summary = "For tests.", .options = options, .options_len = SL_ARRAY_LEN(options), .word = 'c'};

static struct values v;
static int exit_code;

static bool parse(int argc, const char *const *argv) {
	v = (struct values){.number = 7};
	return cli_parse(&command, argc, (char **)(uintptr_t)argv, &v, &exit_code);
}
#define PARSE(...)                                                                                                     \
	({                                                                                                             \
		const char *const argv_[] = {"test", __VA_ARGS__, NULL};                                               \
		parse((int)SL_ARRAY_LEN(argv_) - 1, argv_);                                                            \
	})

static void test_cli__every_type_in_every_spelling(void **state) {
	(void)state;
	assert_true(PARSE("-f", "-t", "x", "--number", "3", "--colour=green", "--item", "a", "--item=b"));
	assert_true(v.flag);
	assert_string_equal(v.text, "x");
	assert_int_equal(v.number, 3);
	assert_int_equal(v.choice, 1);
	assert_int_equal(v.list.len, 2);
	assert_string_equal(v.list.items[1], "b");
	cli_list_fini(&v.list);
	assert_true(PARSE("-n5", "green", "-t", "-"));
	assert_int_equal(v.number, 5);
	assert_int_equal(v.choice, 1);
	assert_string_equal(v.text, "-");
}

static void test_cli__what_is_not_given_keeps_its_default(void **state) {
	(void)state;
	assert_true(PARSE("-f"));
	assert_int_equal(v.number, 7);
	assert_null(v.text);
}

static void test_cli__mistakes_are_usage_errors(void **state) {
	(void)state;
	assert_false(PARSE("--txt", "x"));
	assert_int_equal(exit_code, CLI_USAGE);
	assert_false(PARSE("-n", "11"));
	assert_false(PARSE("-n", "many"));
	assert_false(PARSE("-n"));
	assert_false(PARSE("-c", "blue"));
	assert_false(PARSE("blue"));
	assert_false(PARSE("--flag=1"));
	assert_false(PARSE("-fx"));
	assert_false(PARSE("-z"));
	assert_int_equal(exit_code, CLI_USAGE);
}

static void test_cli__help_is_no_error(void **state) {
	(void)state;
	assert_false(PARSE("--help"));
	assert_int_equal(exit_code, CLI_OK);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_cli__every_type_in_every_spelling),
	    cmocka_unit_test(test_cli__what_is_not_given_keeps_its_default),
	    cmocka_unit_test(test_cli__mistakes_are_usage_errors),
	    cmocka_unit_test(test_cli__help_is_no_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
