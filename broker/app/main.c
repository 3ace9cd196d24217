/* main.c: the program's front door: picks the command. All that a command does stands elsewhere. */
#include <stdio.h>
#include <string.h>

#include "app_commands.h"
#include "slice.h"

#ifndef SLUICE_VERSION
#error "SLUICE_VERSION comes from the build"
#endif

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *usage;   /* what follows the name */
	const char *summary; /* one line for `sluice help` */
} commands[] = {
    {.name = "run", .run = cmd_run, .usage = "-c FILE", .summary = "run the broker with its rules and connectors"},
    {.name = "check",
     .run = cmd_check,
     .usage = "-c FILE",
     .summary = "check a configuration with all its rules; exit 1 and say why when it is wrong"},
    {.name = "sql",
     .run = cmd_sql,
     .usage = "SQL --topic TOPIC --payload TEXT",
     .summary = "try a rule on a message, explain it, or run cases from standard input"},
    {.name = "test",
     .run = cmd_test,
     .usage = "FILE...",
     .summary = "run tests of rules: messages, and what the rules make of them"},
    {.name = "plan",
     .run = cmd_plan,
     .usage = "-c FILE [--apply]",
     .summary = "what a configuration would change in the running broker, and changing it"},
    {.name = "connector",
     .run = cmd_connector,
     .usage = "test NAME -c FILE",
     .summary = "connect as a configuration says, and say in one line what is right or wrong"},
    {.name = "replay",
     .run = cmd_replay,
     .usage = "-c FILE [RULE[.ACTION]]",
     .summary = "give rows that were given up (dead letters) back to their actions"},
    {.name = "import",
     .run = cmd_import,
     .usage = "aws|emqx FILE...",
     .summary = "rules of AWS IoT Core or EMQX as a configuration of ours, with a report"},
    {.name = "acl",
     .run = cmd_acl,
     .usage = "explain -c FILE ACTION TOPIC",
     .summary = "may a client publish or subscribe there, and which access rule says so"},
    {.name = "passwd",
     .run = cmd_passwd,
     .usage = "FILE USER",
     .summary = "set or delete a user's password in a password file"},
    {.name = "pub", .run = cmd_pub, .usage = "-t TOPIC -m TEXT", .summary = "publish messages"},
    {.name = "sub", .run = cmd_sub, .usage = "-t FILTER", .summary = "subscribe and print what arrives"},
    {.name = "tap",
     .run = cmd_tap,
     .usage = "-c FILE RULE [-o cases.yaml]",
     .summary = "live messages as cases for `sluice test`"},
    {.name = "bench", .run = cmd_bench, .usage = "SCENARIO", .summary = "put load on an MQTT broker and measure it"},
    {.name = "help",
     .run = cmd_help,
     .usage = "[COMMAND or PAGE]",
     .summary = "this list, one command's options, or a page"},
    {.name = "--version", .run = cmd_print_version, .usage = "", .summary = "print the version"},
};

/* Pages of `sluice help` that are printed from tables. */
static const struct topic {
	const char *name;
	int (*run)(int argc, char **argv); /* argv[0] is the name */
	const char *usage, *summary;
} topics[] = {
    {.name = "functions",
     .run = help_functions,
     .usage = "[NAME or FAMILY] [--dialect aws]",
     .summary = "the functions of the rule language, one of them, a family (time), a pattern ('map*')"},
    {.name = "rules",
     .run = help_rules,
     .usage = "",
     .summary = "options of rules, their actions, columns of what they read"},
    {.name = "connectors", .run = help_connectors, .usage = "", .summary = "options of connectors and their actions"},
    {.name = "testing", .run = help_tests, .usage = "", .summary = "what a test file of rules says"},
};

static const struct topic *topic_find(const char *name) {
	for (size_t i = 0; i < SL_ARRAY_LEN(topics); i++)
		if (strcmp(topics[i].name, name) == 0) return &topics[i];
	return NULL;
}

static const struct command *command_find(const char *name) {
	for (size_t i = 0; i < SL_ARRAY_LEN(commands); i++)
		if (strcmp(commands[i].name, name) == 0) return &commands[i];
	return NULL;
}

static void print_commands(FILE *out) {
	fputs("sluice: an MQTT broker whose every publish meets SQL rules\n\nusage: sluice COMMAND [options]\n\n", out);
	for (size_t i = 0; i < SL_ARRAY_LEN(commands); i++)
		fprintf(out, "  %-10s %-34s %s\n", commands[i].name, commands[i].usage, commands[i].summary);
	fputs("\nand on these pages, with `sluice help PAGE`:\n\n", out);
	for (size_t i = 0; i < SL_ARRAY_LEN(topics); i++)
		fprintf(out, "  %-10s %-34s %s\n", topics[i].name, topics[i].usage, topics[i].summary);
	fputs("\n`sluice help COMMAND` shows a command's options. To begin: examples/quickstart.sh, then README.md.\n",
	      out);
}

static int unknown_command(const char *name) {
	const char *names[SL_ARRAY_LEN(commands)];
	for (size_t i = 0; i < SL_ARRAY_LEN(commands); i++) names[i] = commands[i].name;
	const char *near = slice_nearest(slice_from_str(name), names, SL_ARRAY_LEN(commands));
	if (near)
		fprintf(stderr, "sluice: there is no command '%s'; did you mean '%s'?\n", name, near);
	else
		fprintf(stderr, "sluice: there is no command '%s'; `sluice help` lists them\n", name);
	return EXIT_USAGE;
}

int cmd_help(int argc, char **argv) {
	if (argc < 2) {
		print_commands(stdout);
		return EXIT_FINE;
	}
	const struct topic *t = topic_find(argv[1]);
	const struct command *c = t ? NULL : command_find(argv[1]);
	if (!t && !c) return unknown_command(argv[1]);
	if (argc > 2 && (c || t->usage[0] == '\0')) {
		fprintf(stderr, "sluice help: one command or page at a time; usage: sluice help [COMMAND or PAGE]\n");
		return EXIT_USAGE;
	}
	if (t) return t->run(argc - 1, argv + 1);
	if (c->run == cmd_help || c->run == cmd_print_version) {
		printf("usage: sluice %s %s\n\n%s\n", c->name, c->usage, c->summary);
		return EXIT_FINE;
	}
	char help[] = "--help";
	char *with_help[] = {argv[1], help, NULL};
	return c->run(2, with_help);
}

int cmd_print_version(int argc, char **argv) {
	if (argc > 1) {
		fprintf(stderr, "sluice --version: '%s' was not expected; it takes nothing\n", argv[1]);
		return EXIT_USAGE;
	}
	printf("sluice %s\n", SLUICE_VERSION);
	return EXIT_FINE;
}

int main(int argc, char **argv) {
	if (argc < 2) {
		print_commands(stderr);
		return EXIT_USAGE;
	}
	const char *name = argv[1];
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) name = "help";
	if (strcmp(name, "-V") == 0 || strcmp(name, "version") == 0) name = "--version";
	/* Ours, not people's. */
	if (strcmp(name, CONF_EXEC_KEEP_COMMAND) == 0) return cmd_exec_keeper(argc - 1, argv + 1);
	if (strcmp(name, JQ_WORKER_COMMAND) == 0) return cmd_jq_worker(argc - 1, argv + 1);
	conf_exec_keeper("/proc/self/exe");
	const struct command *c = command_find(name);
	if (!c) return unknown_command(name);
	return c->run(argc - 1, argv + 1);
}
