/* test_command.c: see test_command.h. */
#include "test_command.h"

#include <stdio.h>

#include "clock.h"
#include "junit.h"
#include "mem.h"
#include "test_run.h"

enum { EXIT_FINE = 0, EXIT_INPUT = 1, EXIT_USAGE = 2, EXIT_SYSTEM = 3 }; /* as everywhere in the program */

static const char help[] =
    "usage: sluice test FILE... [options]\n"
    "\n"
    "Runs the cases of test files: a message, and what a rule makes of it. Nothing is opened but these files and the\n"
    "configurations they name: no network, no database. How they are written: rules/testing.md.\n"
    "\n"
    "  --filter TEXT     only cases with this text in their name or in the id of their rule\n"
    "  --tag TAG         only cases of rules that have this tag\n"
    "  --junit FILE      write the results as JUnit XML, too\n"
    "  --verbose, -v     name the cases that pass, too\n"
    "  --help, -h        this text\n"
    "\n"
    "Exit code: 0 every case passed, 1 one failed or a file is wrong, 2 wrong use, 3 the system failed.\n";

struct test_args {
	const char *filter, *junit, *tag;
	bool verbose, help;
	size_t file_count; /* argv[1 .. file_count] after args_parse() */
};

struct test_counts {
	size_t passed, failed, wrong; /* wrong: files that cannot be run */
};

static int arg_unknown(const char *arg) {
	static const char *const names[] = {"--filter", "--tag", "--junit", "--verbose", "--help"};
	const char *near = slice_nearest(slice_from_str(arg), names, SL_ARRAY_LEN(names));
	fprintf(stderr, "sluice test: there is no option '%s'; %s%s%s\n", arg, near ? "did you mean " : "see ",
		near ? near : "`sluice help test`", near ? "?" : "");
	return EXIT_USAGE;
}

static int args_parse(int argc, char **argv, struct test_args *a) {
	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i];
		const char **value = strcmp(arg, "--filter") == 0  ? &a->filter
				     : strcmp(arg, "--junit") == 0 ? &a->junit
				     : strcmp(arg, "--tag") == 0   ? &a->tag
								   : NULL;
		if (value && i + 1 >= argc) {
			fprintf(stderr, "sluice test: %s wants a value after it\n", arg);
			return EXIT_USAGE;
		}
		if (value)
			*value = argv[++i];
		else if (strcmp(arg, "--verbose") == 0 || strcmp(arg, "-v") == 0)
			a->verbose = true;
		else if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)
			a->help = true;
		else if (arg[0] == '-' && arg[1])
			return arg_unknown(arg);
		else
			argv[++a->file_count] = argv[i];
	}
	return EXIT_FINE;
}

static bool has_tag(const struct rule_test_case *c, const char *tag) {
	const struct rule *r = c->set ? c->set->rules[0] : NULL;
	for (size_t i = 0; r && i < r->tag_count; i++)
		if (strcmp(r->tags[i], tag) == 0) return true;
	return false;
}

static bool wanted(const struct test_args *a, const struct rule_test_case *c) {
	if (a->tag && !has_tag(c, a->tag)) return false;
	if (!a->filter) return true;
	struct sl_slice text = slice_from_str(a->filter);
	const char *rule = c->set ? c->set->rules[0]->id : "";
	return slice_find(slice_from_str(c->name), text) >= 0 || slice_find(slice_from_str(rule), text) >= 0;
}

static void say_failure(const struct rule_tests *t, const struct rule_test_case *c, struct sl_slice why) {
	printf("FAIL %s: %s (%s:%u)\n", c->set ? c->set->rules[0]->id : "all rules", c->name, t->file, c->line);
	while (why.n) {
		struct sl_slice line = slice_next_part(&why, '\n');
		fputs("     ", stdout);
		fwrite(line.p, 1, line.n, stdout);
		putchar('\n');
	}
}

static void run_case(const struct test_args *a, const struct rule_tests *t, const struct rule_test_case *c,
		     struct test_counts *counts, struct junit *junit) {
	struct sl_buf why = SL_BUF_INIT;
	uint64_t began_us = sl_clock_mono_us();
	bool passed = rule_test_run(t, c, &why);
	struct junit_case result = {.name = c->name,
				    .group = c->set ? c->set->rules[0]->id : "all rules",
				    .file = t->file,
				    .line = c->line,
				    .seconds = (double)(sl_clock_mono_us() - began_us) / 1e6,
				    .kind = passed ? JUNIT_PASSED : JUNIT_FAILURE,
				    .text = sl_buf_slice(&why)};
	junit_case_add(junit, &result);
	if (passed) {
		counts->passed++;
		if (a->verbose) printf("ok   %s: %s\n", result.group, c->name);
	} else {
		counts->failed++;
		say_failure(t, c, sl_buf_slice(&why));
	}
	sl_buf_fini(&why);
}

static void run_file(const struct test_args *a, const char *file, struct test_counts *counts, struct junit *junit) {
	struct rule_tests tests;
	if (rule_tests_load(file, &tests) == SL_OK) {
		for (size_t i = 0; i < tests.count; i++)
			if (wanted(a, &tests.cases[i])) run_case(a, &tests, &tests.cases[i], counts, junit);
	} else {
		char *text = conf_report_format(&tests.report);
		struct junit_case result = {.name = "the file can be read",
					    .group = "files",
					    .file = file,
					    .line = tests.report.len ? tests.report.errs[0].line : 0,
					    .kind = JUNIT_ERROR,
					    .text = slice_from_str(text)};
		junit_case_add(junit, &result);
		fflush(stdout);
		fputs(text, stderr);
		sl_free(text);
		counts->wrong++;
	}
	junit_suite_end(junit, file);
	rule_tests_fini(&tests);
}

static int run_files(const struct test_args *a, char **files) {
	struct test_counts counts = {0};
	struct junit junit = JUNIT_INIT;
	struct sl_err err = SL_ERR_INIT;
	for (size_t i = 0; i < a->file_count; i++) run_file(a, files[i], &counts, &junit);
	int code = counts.failed || counts.wrong ? EXIT_INPUT : EXIT_FINE;
	printf("%zu passed, %zu failed", counts.passed, counts.failed);
	if (counts.wrong) printf(", %zu file%s not run", counts.wrong, counts.wrong == 1 ? "" : "s");
	putchar('\n');
	if ((a->filter || a->tag) && code == EXIT_FINE && counts.passed == 0) {
		if (a->filter)
			fprintf(stderr, "sluice test: no case has '%s' in its name or rule\n", a->filter);
		else
			fprintf(stderr, "sluice test: no case is of a rule with the tag '%s'\n", a->tag);
		code = EXIT_INPUT;
	}
	if (a->junit && junit_write(&junit, a->junit, &err) != SL_OK) {
		fprintf(stderr, "sluice test: %s\n", sl_err_text(&err));
		code = EXIT_SYSTEM;
	}
	if (fflush(stdout) != 0) code = EXIT_SYSTEM;
	sl_err_fini(&err);
	junit_fini(&junit);
	return code;
}

int cmd_test(int argc, char **argv) {
	struct test_args a = {0};
	int code = args_parse(argc, argv, &a);
	if (code != EXIT_FINE) return code;
	if (a.help) {
		fputs(help, stdout);
		return EXIT_FINE;
	}
	if (a.file_count == 0) {
		fputs("sluice test: which file? usage: sluice test FILE... [options]\n", stderr);
		return EXIT_USAGE;
	}
	return run_files(&a, argv + 1);
}
