/* help_command.c: see help_command.h. */
#include "help_command.h"

#include <ctype.h>
#include <stdio.h>

#include "connectors.h"
#include "mem.h"
#include "rule_functions.h"
#include "rules.h"
#include "test_file.h"

enum { EXIT_FINE = 0, EXIT_INPUT = 1, EXIT_USAGE = 2 }; /* as everywhere in the program */
enum { USAGE_WIDTH = 44 };

struct functions_args {
	enum sql_dialect dialect;
	const char *name;
};

static int functions_args_parse(int argc, char **argv, struct functions_args *a) {
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--dialect") == 0) {
			const char *value = i + 1 < argc ? argv[++i] : "";
			a->dialect = strcmp(value, "aws") == 0 ? SQL_AWS : SQL_STANDARD;
			if (a->dialect == SQL_AWS || strcmp(value, "standard") == 0) continue;
			fputs("sluice help functions: --dialect wants standard or aws\n", stderr);
			return EXIT_USAGE;
		}
		if (argv[i][0] == '-' || a->name) {
			fputs("usage: sluice help functions [NAME, FAMILY or PATTERN] [--dialect standard or aws]\n",
			      stderr);
			return EXIT_USAGE;
		}
		a->name = argv[i];
	}
	return EXIT_FINE;
}

static char lower(char c) { return (char)tolower((unsigned char)c); }

/* '*' stands for any text; case does not matter. */
static bool name_matches(const char *pattern, const char *name) {
	for (; *pattern && *pattern != '*'; pattern++, name++)
		if (!*name || lower(*pattern) != lower(*name)) return false;
	if (!*pattern) return !*name;
	for (;; name++) {
		if (name_matches(pattern + 1, name)) return true;
		if (!*name) return false;
	}
}

static void print_line(const struct sql_fn *fn) {
	int room = (int)strlen(fn->usage) < USAGE_WIDTH ? USAGE_WIDTH : 0;
	printf("  %-*s %s\n", room, fn->usage, fn->doc);
}

/* Messages and rows of an example, one a line. */
static void print_lines(const char *title, const char *lines) {
	struct sl_slice rest = slice_from_str(lines);
	while (rest.p) {
		struct sl_slice line = slice_next_part(&rest, '\n');
		printf("    %s  %.*s\n", title, SL_SLICE_ARG(line));
	}
}

static void print_whole(const struct sql_fn *fn, const struct sql_fn_family *family) {
	printf("%s\n  %s\n", fn->usage, fn->doc);
	if (fn->errors)
		printf("  %s %s.\n", family->dialect == SQL_AWS ? "Undefined" : "Fails", fn->errors);
	else if (family->dialect == SQL_AWS)
		puts("  Never fails: what it cannot take gives Undefined.");
	else
		puts(strpbrk(fn->args, "sinlm") ? "  Fails only for arguments of another kind." : "  Never fails.");
	if (!fn->on) {
		printf("  Example: %s gives %s\n", fn->example, fn->gives);
		return;
	}
	printf("  Example: %s\n", fn->example);
	print_lines("on   ", fn->on);
	print_lines("gives", fn->gives);
}

static bool is_pattern(const char *name) { return strchr(name, '*') != NULL; }

static void print_family(const struct sql_fn_family *f, const char *pattern, size_t *found) {
	bool titled = false;
	for (size_t i = 0; i < f->n; i++) {
		if (pattern && !name_matches(pattern, f->fns[i].name)) continue;
		if (!titled) printf("%s%s\n", *found ? "\n" : "", f->name);
		print_line(&f->fns[i]);
		titled = true;
		(*found)++;
	}
}

/* The one function of that name; or all of the dialect (NULL), of a pattern, of a family, a line each. Returns how many. */
static size_t print_functions(enum sql_dialect dialect, const char *name) {
	size_t n, found = 0;
	const struct sql_fn_family *const *f = sql_fn_families(&n);
	bool all = !name || is_pattern(name);
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; !all && f[i]->dialect == dialect && j < f[i]->n; j++) {
			if (!name_matches(name, f[i]->fns[j].name)) continue;
			print_whole(&f[i]->fns[j], f[i]);
			found++;
		}
	if (found) return found;
	for (size_t i = 0; i < n; i++) {
		if (f[i]->dialect != dialect) continue;
		if (all)
			print_family(f[i], name, &found);
		else if (sql_fn_family_is_called(f[i], slice_from_str(name)))
			print_family(f[i], NULL, &found);
	}
	return found;
}

static bool family_exists(enum sql_dialect dialect, struct sl_slice name) {
	size_t n;
	const struct sql_fn_family *const *f = sql_fn_families(&n);
	for (size_t i = 0; i < n; i++)
		if (f[i]->dialect == dialect && sql_fn_family_is_called(f[i], name)) return true;
	return false;
}

/* The word of a family's name that is nearest; NULL, or made in the arena. */
static const char *family_nearest(enum sql_dialect dialect, struct sl_slice name, struct sl_arena *arena) {
	const char **words = NULL;
	size_t n, len = 0, cap = 0;
	const struct sql_fn_family *const *f = sql_fn_families(&n);
	for (size_t i = 0; i < n; i++) {
		struct sl_slice rest = slice_from_str(f[i]->dialect == dialect ? f[i]->name : "");
		while (rest.n) {
			char *word = sl_arena_strdup(arena, slice_next_part(&rest, ' '));
			word[strcspn(word, ",")] = '\0';
			for (char *c = word; *c; c++) *c = lower(*c);
			SL_GROW(words, len, cap);
			words[len++] = word;
		}
	}
	const char *near = slice_nearest(name, words, len);
	sl_free(words);
	return near;
}

static int no_function(const struct functions_args *a) {
	struct sl_slice name = slice_from_str(a->name);
	enum sql_dialect other = a->dialect == SQL_AWS ? SQL_STANDARD : SQL_AWS;
	const char *refusal = sql_fn_refusal(a->dialect, name), *near = sql_fn_nearest(a->dialect, name);
	struct sl_arena arena;
	sl_arena_init(&arena, 1024);
	if (!near) near = family_nearest(a->dialect, name, &arena);
	if (refusal)
		fprintf(stderr, "sluice help: %s() is not here: %s\n", a->name, refusal);
	else if (sql_fn_find(other, name) || family_exists(other, name))
		fprintf(stderr, "sluice help: %s%s belongs to the other dialect: --dialect %s\n", a->name,
			sql_fn_find(other, name) ? "()" : "", other == SQL_AWS ? "aws" : "standard");
	else
		fprintf(stderr, "sluice help: there is no function and no family '%s'; %s%s%s\n", a->name,
			near ? "did you mean " : "`sluice help functions` lists them", near ? near : "",
			near ? "?" : "");
	sl_arena_fini(&arena);
	return EXIT_INPUT;
}

int help_functions(int argc, char **argv) {
	struct functions_args a = {.dialect = SQL_STANDARD};
	int code = functions_args_parse(argc, argv, &a);
	if (code != EXIT_FINE) return code;
	rule_functions_register();
	if (print_functions(a.dialect, a.name) > 0) return EXIT_FINE;
	return a.name ? no_function(&a) : EXIT_FINE;
}

static int print_page(void (*describe)(struct sl_buf *out)) {
	struct sl_buf out = SL_BUF_INIT;
	describe(&out);
	fwrite(out.p, 1, out.n, stdout);
	sl_buf_fini(&out);
	return EXIT_FINE;
}

int help_rules(int argc, char **argv) {
	(void)argc, (void)argv;
	return print_page(rules_describe);
}

int help_connectors(int argc, char **argv) {
	(void)argc, (void)argv;
	return print_page(connectors_describe);
}

int help_tests(int argc, char **argv) {
	(void)argc, (void)argv;
	return print_page(rule_tests_describe);
}
