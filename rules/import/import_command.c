/* import_command.c: see import_command.h. */
#include "import_command.h"

#include <errno.h>
#include <stdio.h>

#include "import.h"
#include "log.h"
#include "mem.h"
#include "rule_functions.h"

enum { EXIT_FINE = 0, EXIT_INPUT = 1, EXIT_USAGE = 2, EXIT_SYSTEM = 3 }; /* as everywhere in the program */

static const char help[] =
    "usage: sluice import aws FILE...  [options]\n"
    "       sluice import emqx FILE... [options]\n"
    "\n"
    "Writes rules of AWS IoT Core or EMQX as a configuration of ours to standard output, and a report of what became "
    "of\n"
    "each rule to standard error: unchanged, needs a mapping (what), or refused (which construct, where in the SQL). "
    "What\n"
    "is not carried over stands in the configuration as a comment. The configuration passes `sluice check`.\n"
    "\n"
    "  aws     topicRulePayload or what `aws iot get-topic-rule` prints, one or several; CloudFormation and SAM in "
    "JSON\n"
    "  emqx    emqx.conf, cluster.hocon and their like; JSON of GET /rules, /actions, /connectors; all files together\n"
    "\n"
    "  -o FILE           write the configuration there; an existing file is not overwritten\n"
    "  --report json     the report as one line of JSON; text is the default\n"
    "  --help, -h        this text\n"
    "\n"
    "FILE may be - for standard input. Exit code: 0 nothing was refused, 1 something was or a file is wrong, 2 wrong "
    "use,\n"
    "3 the system failed.\n";

struct import_args {
	const char *source, *out;
	bool json, help;
	size_t file_count; /* argv[1 .. file_count] after args_parse() */
};

static int wrong_use(const char *what, const char *value) {
	fprintf(stderr, "sluice import: %s%s; see `sluice help import`\n", what, value);
	return EXIT_USAGE;
}

static int args_parse(int argc, char **argv, struct import_args *a) {
	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i];
		bool takes_value = strcmp(arg, "-o") == 0 || strcmp(arg, "--report") == 0;
		if (takes_value && i + 1 >= argc) return wrong_use("a value is wanted behind ", arg);
		if (strcmp(arg, "-o") == 0) {
			a->out = argv[++i];
		} else if (strcmp(arg, "--report") == 0) {
			const char *form = argv[++i];
			a->json = strcmp(form, "json") == 0;
			if (!a->json && strcmp(form, "text") != 0)
				return wrong_use("--report is text or json, not ", form);
		} else if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
			a->help = true;
		} else if (arg[0] == '-' && arg[1]) {
			return wrong_use("there is no option ", arg);
		} else if (!a->source) {
			a->source = arg;
		} else {
			argv[++a->file_count] = argv[i];
		}
	}
	if (a->help) return EXIT_FINE;
	if (!a->source) return wrong_use("from where? ", "aws or emqx");
	if (strcmp(a->source, "aws") != 0 && strcmp(a->source, "emqx") != 0)
		return wrong_use("rules can come from aws or emqx, not from ", a->source);
	return a->file_count ? EXIT_FINE
			     : wrong_use("which file? usage: sluice import ",
					 strcmp(a->source, "aws") == 0 ? "aws FILE..." : "emqx FILE...");
}

/* ---- files -------------------------------------------------------------------------------------------------------- */

static int say(const char *file, const char *what) {
	fprintf(stderr, "sluice import: %s: %s\n", file, what);
	return EXIT_INPUT;
}

static int read_file(const char *path, struct sl_buf *out) {
	bool input = strcmp(path, "-") == 0;
	FILE *f = input ? stdin : fopen(path, "re");
	size_t n = 1;
	if (!f) return say(path, strerror(errno));
	while (n > 0 && out->n <= IMPORT_BYTES_MAX) {
		char *room = sl_buf_add(out, 64 * SL_KB);
		n = fread(room, 1, 64 * SL_KB, f);
		out->n -= 64 * SL_KB - n;
	}
	bool failed = ferror(f) != 0;
	int reason = errno;
	if (!input) fclose(f);
	if (failed) return say(path, strerror(reason));
	if (out->n > IMPORT_BYTES_MAX) return say(path, "has more than 16 MB; split it");
	if (slice_trim(sl_buf_slice(out)).n == 0) return say(path, "is empty; `sluice help import` says what is taken");
	return EXIT_FINE;
}

static int write_out(const struct import_args *a, const struct sl_buf *text) {
	FILE *f = a->out ? fopen(a->out, "wxe") : stdout;
	if (!f && errno == EEXIST)
		return say(a->out, "is there already, and is not overwritten; remove it, or choose another name");
	if (!f) {
		say(a->out, strerror(errno));
		return EXIT_SYSTEM;
	}
	bool fine = fwrite(text->p, 1, text->n, f) == text->n && fflush(f) == 0;
	int reason = errno;
	if (a->out && fclose(f) != 0) fine = false;
	if (fine) return EXIT_FINE;
	say(a->out ? a->out : "standard output", strerror(reason));
	return EXIT_SYSTEM;
}

/* ---- all of it ------------------------------------------------------------------------------------------------------ */

static int say_err(struct sl_err *err) {
	char *text = sl_err_format(err);
	fprintf(stderr, "sluice import: %s\n", text);
	sl_free(text);
	sl_err_fini(err);
	return EXIT_INPUT;
}

static int deliver(const struct import_args *a, struct import *imp) {
	struct sl_err err = SL_ERR_INIT;
	struct sl_buf yaml = SL_BUF_INIT, report = SL_BUF_INIT;
	bool refused = a->json ? import_report_json(imp, &report) : import_report_text(imp, &report);
	int code;
	if (import_yaml(imp, &yaml, &err) != SL_OK)
		code = say_err(&err);
	else
		code = write_out(a, &yaml);
	if (code == EXIT_FINE) {
		fwrite(report.p, 1, report.n, stderr);
		code = refused ? EXIT_INPUT : EXIT_FINE;
	}
	sl_err_fini(&err);
	sl_buf_fini(&yaml);
	sl_buf_fini(&report);
	return code;
}

static int import_files(const struct import_args *a, const struct import_file *files) {
	struct import imp;
	struct sl_err err = SL_ERR_INIT;
	bool aws = strcmp(a->source, "aws") == 0;
	int rc = SL_OK, level = log_level_now;
	log_set_level(LOG_OFF); /* the report has it all, and `sluice check` says again what it warns of */
	import_init(&imp, aws ? "AWS IoT Core" : "EMQX");
	if (!aws) rc = import_emqx(&imp, files, a->file_count, &err);
	for (size_t i = 0; aws && rc == SL_OK && i < a->file_count; i++)
		rc = import_aws(&imp, files[i].name, files[i].text, &err);
	int code = rc == SL_OK ? deliver(a, &imp) : say_err(&err);
	import_fini(&imp);
	log_set_level((enum log_level)level);
	return code;
}

int cmd_import(int argc, char **argv) {
	struct import_args a = {0};
	int code = args_parse(argc, argv, &a);
	if (code != EXIT_FINE) return code;
	if (a.help) {
		fputs(help, stdout);
		return EXIT_FINE;
	}
	rule_functions_register();
	struct sl_buf *texts = SL_NEW_ARRAY(struct sl_buf, a.file_count);
	struct import_file *files = SL_NEW_ARRAY(struct import_file, a.file_count);
	for (size_t i = 0; i < a.file_count && code == EXIT_FINE; i++) {
		code = read_file(argv[i + 1], &texts[i]);
		files[i] = (struct import_file){.name = argv[i + 1], .text = sl_buf_slice(&texts[i])};
	}
	if (code == EXIT_FINE) code = import_files(&a, files);
	for (size_t i = 0; i < a.file_count; i++) sl_buf_fini(&texts[i]);
	sl_free(texts);
	sl_free(files);
	return code;
}
