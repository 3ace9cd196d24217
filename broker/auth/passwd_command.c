#include "passwd_command.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "buf.h"
#include "mem.h"
#include "passwd_file.h"

enum { FINE = 0, INPUT = 1, USAGE = 2, SYSTEM = 3 };

static const char usage[] =
    "usage: sluice passwd FILE USER [--delete] [--iterations N]\n"
    "       sluice passwd FILE --batch [--iterations N]\n"
    "\n"
    "Sets a user's password in a password file; the file is created when it is not there.\n"
    "Asks for the password twice; without a terminal one line is read from standard input.\n"
    "\n"
    "  --delete          remove the user instead\n"
    "  --batch           read lines user:password from standard input\n"
    "  --iterations N    rounds of PBKDF2 (default 100000; more is slower to guess and to check, for a client\n"
    "                    that logs in with SCRAM, too)\n"
    "\n"
    "A running broker takes the new file when it reloads (SIGHUP).\n"
    "\n"
    "Exit code: 0 the file is written, 1 the file or the input is wrong, 2 wrong use, 3 the system failed.\n";

struct passwd_options {
	const char *file, *user;
	bool delete_user, batch;
	int iterations;
};

/* One line of standard input without its line break, on the heap; NULL at the end. */
static char *read_line(void) {
	char *line = NULL;
	size_t cap = 0;
	ssize_t n = getline(&line, &cap, stdin);
	if (n < 0) {
		free(line);
		return NULL;
	}
	while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r')) n--;
	char *copy = sl_memdup0(line, (size_t)n);
	explicit_bzero(line, cap);
	free(line);
	return copy;
}

static void forget(char *secret) {
	if (secret) explicit_bzero(secret, strlen(secret));
	sl_free(secret);
}

static char *ask(const char *prompt) {
	struct termios saved, quiet;
	bool terminal = tcgetattr(STDIN_FILENO, &saved) == 0;
	if (!terminal) return read_line();
	quiet = saved;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	fputs(prompt, stderr);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	char *line = read_line();
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &saved);
	fputc('\n', stderr);
	return line;
}

static int exit_code(int rc) {
	if (rc == SL_OK) return FINE;
	return rc == SL_EIO || rc == SL_ENOSPACE || rc == SL_ESYSTEM || rc == SL_EDENIED ? SYSTEM : INPUT;
}

static int update(const struct passwd_options *o, const struct passwd_change *changes, size_t count) {
	struct sl_err err = SL_ERR_INIT;
	int rc = passwd_file_update(o->file, changes, count, o->iterations, &err);
	if (rc != SL_OK) {
		char *text = sl_err_format(&err);
		fprintf(stderr, "sluice passwd: %s\n", text);
		sl_free(text);
	}
	sl_err_fini(&err);
	return exit_code(rc);
}

static int set_one(const struct passwd_options *o) {
	struct passwd_change change = {.user = o->user};
	if (o->delete_user) return update(o, &change, 1);
	char *password = ask("Password: "), *again = NULL;
	int code = INPUT;
	if (!password) {
		fputs("sluice passwd: no password on standard input\n", stderr);
		return INPUT;
	}
	if (isatty(STDIN_FILENO)) again = ask("Once more: ");
	if (isatty(STDIN_FILENO) && (!again || strcmp(password, again) != 0)) {
		fputs("sluice passwd: the two differ; nothing was changed\n", stderr);
	} else {
		change.password = password;
		code = update(o, &change, 1);
	}
	forget(password);
	forget(again);
	return code;
}

/* Splits "user:password" in place. */
static bool split_line(char *line, struct passwd_change *change) {
	char *colon = strchr(line, ':');
	if (!colon) return false;
	*colon = '\0';
	*change = (struct passwd_change){.user = line, .password = colon + 1};
	return true;
}

static int set_batch(const struct passwd_options *o) {
	struct passwd_change *changes = NULL;
	size_t len = 0, cap = 0, number = 0;
	int code = FINE;
	for (char *line; code == FINE && (line = read_line());) {
		number++;
		SL_GROW(changes, len, cap);
		if (!line[0] || line[0] == '#') {
			sl_free(line);
		} else if (!split_line(line, &changes[len])) {
			fprintf(stderr, "sluice passwd: line %zu of standard input is not user:password\n", number);
			forget(line);
			code = INPUT;
		} else {
			len++;
		}
	}
	if (code == FINE && len == 0) {
		fputs("sluice passwd: no line user:password on standard input\n", stderr);
		code = INPUT;
	}
	if (code == FINE) code = update(o, changes, len);
	for (size_t i = 0; i < len; i++) {
		explicit_bzero((char *)(uintptr_t)changes[i].password, strlen(changes[i].password));
		sl_free((char *)(uintptr_t)changes[i].user); /* the line's own memory */
	}
	sl_free(changes);
	return code;
}

static int bad_usage(const char *why) {
	fprintf(stderr, "sluice passwd: %s\n%s", why, usage);
	return USAGE;
}

static bool parse_iterations(const char *text, int *out) {
	int64_t value;
	if (slice_to_i64(slice_from_str(text), &value) != SL_OK || value < 1000 || value > PASSWD_ITERATIONS_MAX)
		return false;
	*out = (int)value;
	return true;
}

int cmd_passwd(int argc, char **argv) {
	static const struct option options[] = {{"delete", no_argument, NULL, 'D'},
						{"batch", no_argument, NULL, 'b'},
						{"iterations", required_argument, NULL, 'i'},
						{"help", no_argument, NULL, 'h'},
						{0}};
	struct passwd_options o = {.iterations = PASSWD_ITERATIONS_DEFAULT};
	optind = 0; /* glibc: begin anew, whatever was parsed before */
	for (int c; (c = getopt_long(argc, argv, "Dbi:h", options, NULL)) != -1;) {
		if (c == 'h') {
			fputs(usage, stdout);
			return FINE;
		}
		if (c == 'D')
			o.delete_user = true;
		else if (c == 'b')
			o.batch = true;
		else if (c != 'i')
			return USAGE; /* getopt said why */
		else if (!parse_iterations(optarg, &o.iterations))
			return bad_usage("--iterations takes a number from 1000 to 10000000");
	}
	if (argc - optind < 1) return bad_usage("which file?");
	o.file = argv[optind];
	if (o.batch) {
		if (argc - optind != 1 || o.delete_user) return bad_usage("--batch takes the file only");
		return set_batch(&o);
	}
	if (argc - optind != 2) return bad_usage("one file and one user, please");
	o.user = argv[optind + 1];
	return set_one(&o);
}
