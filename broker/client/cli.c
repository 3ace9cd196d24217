/* cli.c: see cli.h. */
#include "cli.h"

#include <stdio.h>
#include <string.h>

#include "buf.h"
#include "mem.h"
#include "slice.h"

static const struct cli_option help_option = {.letter = 0, .name = "help", .type = CLI_FLAG, .doc = "this text"};

static void *place(const struct cli_option *o, void *out) { return (char *)out + o->at; }

/* --- help ---------------------------------------------------------------------------------------------------- */

static void print_default(const struct cli_option *o, const void *at) {
	switch (o->type) {
	case CLI_TEXT: {
		const char *text = *(const char *const *)at;
		if (text) printf(" (default %s)", text);
		return;
	}
	case CLI_NUMBER: {
		int64_t n = *(const int64_t *)at;
		if (n) printf(" (default %lld)", (long long)n);
		return;
	}
	case CLI_CHOICE: printf(" (default %s)", o->choices[*(const int *)at]); return;
	case CLI_FLAG:
	case CLI_LIST: return;
	}
}

static void print_option(const struct cli_option *o, const void *at) {
	char left[64];
	const char *value = o->value ? o->value : "";
	if (o->letter) {
		snprintf(left, sizeof left, "-%c, --%s %s", o->letter, o->name, value);
	} else {
		snprintf(left, sizeof left, "    --%s %s", o->name, value);
	}
	printf("  %-30s %s", left, o->doc);
	if (at) print_default(o, at);
	printf("\n");
}

static void print_help(const struct cli_command *cmd, void *out) {
	printf("usage: %s\n\n%s\n\n", cmd->usage, cmd->summary);
	for (size_t i = 0; i < cmd->options_len; i++) print_option(&cmd->options[i], place(&cmd->options[i], out));
	print_option(&help_option, NULL);
	if (cmd->examples) printf("\n%s", cmd->examples);
	printf("\nExit code: %s\n", cmd->exits ? cmd->exits
					       : "0 all went well, 1 the broker refused something or messages are "
						 "missing, 2 wrong use,\n3 no connection, or it was lost.");
}

/* --- parsing ------------------------------------------------------------------------------------------------- */

static bool complain(const struct cli_command *cmd, const char *option, const char *what, const char *value) {
	fprintf(stderr, "%s %s%s%s\nusage: %s\n(--help lists the options)\n", option, what, value ? ": " : "",
		value ? value : "", cmd->usage);
	return false;
}

static bool set_number(const struct cli_command *cmd, const struct cli_option *o, const char *shown, const char *value,
		       void *out) {
	int64_t n;
	char what[96];
	if (slice_to_i64(slice_from_str(value), &n) == 0 && n >= o->min && n <= o->max) {
		*(int64_t *)place(o, out) = n;
		return true;
	}
	snprintf(what, sizeof what, "needs a whole number from %lld to %lld, not", (long long)o->min,
		 (long long)o->max);
	return complain(cmd, shown, what, value);
}

static bool set_choice(const struct cli_command *cmd, const struct cli_option *o, const char *shown, const char *value,
		       void *out) {
	for (int i = 0; o->choices[i]; i++) {
		if (strcmp(o->choices[i], value) != 0) continue;
		*(int *)place(o, out) = i;
		return true;
	}
	struct sl_buf what = SL_BUF_INIT;
	sl_buf_append_str(&what, "must be");
	for (int i = 0; o->choices[i]; i++)
		sl_buf_printf(&what, "%s %s", i == 0 ? "" : o->choices[i + 1] ? "," : " or", o->choices[i]);
	sl_buf_append_str(&what, ", not");
	complain(cmd, shown, sl_buf_cstr(&what), value);
	sl_buf_fini(&what);
	return false;
}

static bool set_value(const struct cli_command *cmd, const struct cli_option *o, const char *shown, const char *value,
		      void *out) {
	switch (o->type) {
	case CLI_FLAG: *(bool *)place(o, out) = true; return true;
	case CLI_TEXT: *(const char **)place(o, out) = value; return true;
	case CLI_NUMBER: return set_number(cmd, o, shown, value, out);
	case CLI_CHOICE: return set_choice(cmd, o, shown, value, out);
	case CLI_LIST: {
		struct cli_list *l = place(o, out);
		SL_GROW(l->items, l->len, l->cap);
		l->items[l->len++] = value;
		return true;
	}
	}
	return false;
}

static const struct cli_option *find_letter(const struct cli_command *cmd, char letter) {
	for (size_t i = 0; i < cmd->options_len; i++)
		if (cmd->options[i].letter && cmd->options[i].letter == letter) return &cmd->options[i];
	return NULL;
}

static const struct cli_option *find_name(const struct cli_command *cmd, struct sl_slice name) {
	for (size_t i = 0; i < cmd->options_len; i++)
		if (slice_equal_str(name, cmd->options[i].name)) return &cmd->options[i];
	return NULL;
}

static bool unknown(const struct cli_command *cmd, const char *arg) {
	const char **names = SL_NEW_ARRAY(const char *, cmd->options_len + 1);
	for (size_t i = 0; i < cmd->options_len; i++) names[i] = cmd->options[i].name;
	const char *near = arg[1] == '-' ? slice_nearest(slice_from_str(arg + 2), names, cmd->options_len) : NULL;
	char what[96] = "is no option here";
	if (near) snprintf(what, sizeof what, "is no option here; did you mean --%s?", near);
	sl_free(names);
	return complain(cmd, arg, what, NULL);
}

/* One argument that starts with "-": the option and, stuck to it, its value ("-p1883", "--port=1883"). */
static const struct cli_option *split(const struct cli_command *cmd, const char *arg, const char **value) {
	*value = NULL;
	if (arg[1] != '-') {
		const struct cli_option *o = find_letter(cmd, arg[1]);
		if (o && arg[2]) *value = arg + 2;
		return o && o->type == CLI_FLAG && *value ? NULL : o;
	}
	const char *equals = strchr(arg, '=');
	if (equals) *value = equals + 1;
	return find_name(cmd, slice_make(arg + 2, equals ? (size_t)(equals - arg - 2) : strlen(arg + 2)));
}

/* What a bare word stands for, given as a word or with its option; `taken` is what was given before. */
static bool set_word(const struct cli_command *cmd, const struct cli_option *word, const char *shown, const char *value,
		     const char **taken, void *out) {
	if (*taken && word->type != CLI_LIST)
		return complain(cmd, value, "was not expected, for one is taken at a time and there is already",
				*taken);
	*taken = value;
	return set_value(cmd, word, shown, value, out);
}

static bool parse_all(const struct cli_command *cmd, int argc, char **argv, void *out) {
	const struct cli_option *word = find_letter(cmd, cmd->word);
	const char *taken = NULL;
	for (int i = 1; i < argc; i++) {
		const char *value;
		if (argv[i][0] != '-' || argv[i][1] == '\0') {
			if (!word) return complain(cmd, argv[i], "was not expected", NULL);
			if (!set_word(cmd, word, word->name, argv[i], &taken, out)) return false;
			continue;
		}
		const struct cli_option *o = split(cmd, argv[i], &value);
		if (!o) return unknown(cmd, argv[i]);
		const char *shown = argv[i];
		if (o->type == CLI_FLAG && value) return complain(cmd, shown, "takes no value", NULL);
		if (o->type != CLI_FLAG && !value) {
			if (i + 1 == argc) return complain(cmd, shown, "needs a value", NULL);
			value = argv[++i];
		}
		if (o == word ? !set_word(cmd, o, shown, value, &taken, out) : !set_value(cmd, o, shown, value, out))
			return false;
	}
	return true;
}

bool cli_parse(const struct cli_command *cmd, int argc, char **argv, void *out, int *exit_code) {
	*exit_code = CLI_OK;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") != 0) continue;
		print_help(cmd, out);
		return false;
	}
	if (parse_all(cmd, argc, argv, out)) return true;
	*exit_code = CLI_USAGE;
	return false;
}

void cli_list_fini(struct cli_list *l) {
	sl_free(l->items);
	*l = (struct cli_list){0};
}
