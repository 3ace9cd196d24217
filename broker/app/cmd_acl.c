/* cmd_acl.c: `sluice acl explain`: what the access rules of a configuration say to one question, and which of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acl.h"
#include "app_commands.h"
#include "load.h"
#include "mem.h"
#include "topic.h"

static const char help[] =
    "usage: sluice acl explain -c FILE [who] publish|subscribe|receive TOPIC [--qos N] [--retain]\n"
    "       sluice acl explain -c FILE [who] connect\n\n"
    "Says whether the access rules of the configuration allow it, and which rule decides. Of a subscription that is\n"
    "not allowed, it names a topic that is not.\n\n"
    "options:\n"
    "  -c, --config FILE   the configuration (YAML) that names the rules\n"
    "  --user NAME         the user name, as the authenticators give it; without: none\n"
    "  --clientid ID       the client id\n"
    "  --cert-cn NAME      the common name of the client's certificate\n"
    "  --attr NAME=VALUE   an attribute of the client; may be given more than once\n"
    "  --ip ADDRESS        where it connects from; without: 127.0.0.1\n"
    "  --rules JSON        rules that come with its identity: a token's claim, an answer of a service\n"
    "  --superuser         an authenticator says that it is one\n"
    "  --qos N             of the message or the subscription; without: 0\n"
    "  --retain            the message is to be retained\n"
    "  -h, --help          this text\n\n"
    "Exit code: 0 allowed, 1 denied, or the configuration is wrong, 2 wrong use.\n";

enum { ATTRS_MAX = 64 };

struct asked {
	const char *file, *topic, *own;
	bool has_action;
	struct acl_subject who;
	struct acl_attr attrs[ATTRS_MAX];
	struct acl_question q;
};

static int usage(const char *what, const char *about) {
	fprintf(stderr, "sluice acl: %s%s; `sluice acl --help` shows how it goes\n", what, about);
	return EXIT_USAGE;
}

static int take_attr(struct asked *a, const char *text) {
	const char *is = strchr(text, '=');
	if (!is || is == text) return usage("--attr wants NAME=VALUE, not ", text);
	if (a->who.attrs_len == ATTRS_MAX) return usage("too many attributes", "");
	a->attrs[a->who.attrs_len++] = (struct acl_attr){slice_make(text, (size_t)(is - text)), slice_from_str(is + 1)};
	return EXIT_FINE;
}

static int take_value(struct asked *a, const char *name, const char *value) {
	if (strcmp(name, "-c") == 0 || strcmp(name, "--config") == 0)
		a->file = value;
	else if (strcmp(name, "--user") == 0)
		a->who.username = slice_from_str(value);
	else if (strcmp(name, "--clientid") == 0)
		a->who.clientid = slice_from_str(value);
	else if (strcmp(name, "--cert-cn") == 0)
		a->who.cert_cn = slice_from_str(value);
	else if (strcmp(name, "--rules") == 0)
		a->own = value;
	else if (strcmp(name, "--attr") == 0)
		return take_attr(a, value);
	else if (strcmp(name, "--ip") == 0)
		return acl_subject_ip_text(&a->who, slice_from_str(value)) ? EXIT_FINE
									   : usage("no IP address: ", value);
	else if (value[0] < '0' || value[0] > '2' || value[1] != '\0')
		return usage("--qos is 0, 1 or 2, not ", value);
	else
		a->q.qos = (uint8_t)(value[0] - '0');
	return EXIT_FINE;
}

static bool takes_value(const char *arg) {
	static const char *const names[] = {"-c",     "--config", "--user", "--clientid", "--cert-cn",
					    "--attr", "--ip",     "--qos",  "--rules"};
	for (size_t i = 0; i < SL_ARRAY_LEN(names); i++)
		if (strcmp(arg, names[i]) == 0) return true;
	return false;
}

/* The action, then its topic. */
static int take_word(struct asked *a, const char *word) {
	static const char *const actions[] = {"publish", "subscribe", "receive", "connect"}; /* enum acl_action */
	if (a->has_action) {
		if (a->topic || a->q.action == ACL_CONNECT) return usage("not expected: ", word);
		a->topic = word;
		return EXIT_FINE;
	}
	for (size_t i = 0; i < SL_ARRAY_LEN(actions); i++) {
		if (strcmp(word, actions[i]) != 0) continue;
		a->q.action = (enum acl_action)i;
		a->has_action = true;
		return EXIT_FINE;
	}
	return usage("publish, subscribe, receive or connect, not ", word);
}

static int check_asked(struct asked *a) {
	if (!a->file) return usage("which configuration? -c FILE", "");
	if (!a->has_action) return usage("what: publish, subscribe, receive or connect?", "");
	if (a->q.action == ACL_CONNECT) return EXIT_FINE;
	if (!a->topic) return usage("which topic?", "");
	a->q.topic = slice_from_str(a->topic);
	if (a->q.action == ACL_SUBSCRIBE ? !topic_filter_valid(a->q.topic) : !topic_name_valid(a->q.topic))
		return usage(a->q.action == ACL_SUBSCRIBE ? "no topic filter: " : "no topic name: ", a->topic);
	return EXIT_FINE;
}

static int parse(int argc, char **argv, struct asked *a) {
	acl_subject_ip_text(&a->who, SL_SLICE_LIT("127.0.0.1"));
	a->who.attrs = a->attrs;
	int code = EXIT_FINE;
	for (int i = 2; i < argc && code == EXIT_FINE; i++) {
		if (strcmp(argv[i], "--retain") == 0)
			a->q.retain = true;
		else if (strcmp(argv[i], "--superuser") == 0)
			a->who.superuser = true;
		else if (takes_value(argv[i]))
			code = i + 1 < argc ? take_value(a, argv[i], argv[i + 1])
					    : usage("a value is missing behind ", argv[i]),
			i++;
		else if (argv[i][0] == '-' && argv[i][1] != '\0')
			code = usage("unknown option ", argv[i]);
		else
			code = take_word(a, argv[i]);
	}
	return code == EXIT_FINE ? check_asked(a) : code;
}

static void print_reason(const struct acl_reason *why) {
	fputs(why->allowed ? "allowed: " : "denied: ", stdout);
	if (why->text && why->file)
		printf("%s:%u: %s %u: %s\n", why->file, why->line, why->what, why->number, why->text);
	else if (why->text)
		printf("%s %u: %s\n", why->what, why->number, why->text);
	else if (strcmp(why->what, "superuser") == 0)
		puts("a superuser may do everything");
	else
		puts(why->example ? "by default, no rules allow all of it" : "by default, no rule fits");
	if (why->example) printf("  not allowed, for example: %s\n", why->example);
}

static int explain(struct asked *a, struct acl *acl) {
	struct sl_err err = SL_ERR_INIT;
	struct acl_reason why;
	if (!acl) {
		puts("allowed: there are no access rules: no authenticator, no auth.acl_file, no auth.policy_files");
		return EXIT_FINE;
	}
	if (a->own && acl_rules_from_text(slice_from_str(a->own), &a->who.rules, &err) != SL_OK) {
		fprintf(stderr, "sluice acl: --rules: %s\n", sl_err_text(&err));
		sl_err_fini(&err);
		return EXIT_INPUT;
	}
	struct acl_client *c = acl_client_new(acl, &a->who);
	acl_explain(c, &a->q, &why);
	print_reason(&why);
	int code = why.allowed ? EXIT_FINE : EXIT_INPUT;
	acl_reason_fini(&why);
	acl_client_free(c);
	acl_rules_unref(a->who.rules);
	return code;
}

int cmd_acl(int argc, char **argv) {
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-h") != 0 && strcmp(argv[i], "--help") != 0) continue;
		fputs(help, stdout);
		return EXIT_FINE;
	}
	if (argc < 2 || strcmp(argv[1], "explain") != 0) return usage("explain is what it does", "");
	struct asked a = {.q = {.qos = 0}};
	int code = parse(argc, argv, &a);
	if (code != EXIT_FINE) return code;
	struct conf_report report = CONF_REPORT_INIT;
	struct loaded loaded = {0};
	load_settings(a.file, &loaded, &report);
	if (loaded.conf) load_access(&loaded, &report);
	load_print(&report);
	code = report.len ? EXIT_INPUT : explain(&a, loaded.acl);
	conf_report_fini(&report);
	load_fini(&loaded);
	return code;
}
