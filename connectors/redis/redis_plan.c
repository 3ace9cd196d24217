/* redis_plan.c: the options of an action to a plan; see redis_plan.h.
 *
 * First all ways to say it become lists of words, one list a command; then each list is compiled. */
#include "redis_plan.h"

#include <ctype.h>

#include "conv.h"
#include "mem.h"
#include "yaml.h"

/* How a template says itself that its value is many arguments, whatever the command. */
#define CALL_OF_MANY "${map_to_redis_hset_args("

static const struct conf_field stream_fields[] = {
    {.name = "key",
     .type = CONF_TEMPLATE,
     .at = offsetof(struct redis_stream_conf, key),
     .flags = CONF_NONEMPTY,
     .example = "readings:${device}",
     .doc = "The stream's key."},
    {.name = "maxlen",
     .type = CONF_INT,
     .at = offsetof(struct redis_stream_conf, maxlen),
     .flags = CONF_UNLIMITED_OK,
     .def = "unlimited",
     .min = 1,
     .example = "10000",
     .doc = "The oldest entries beyond this number are dropped."},
    {.name = "approximate",
     .type = CONF_BOOL,
     .at = offsetof(struct redis_stream_conf, approximate),
     .def = "true",
     .doc = "A few more than `maxlen` may stay, which costs the server much less."},
    {.name = "id",
     .type = CONF_TEMPLATE,
     .at = offsetof(struct redis_stream_conf, id),
     .def = "*",
     .doc = "The entry's id; `*`: the server makes one."},
    {.name = "fields",
     .type = CONF_TEMPLATE_MAP,
     .at = offsetof(struct redis_stream_conf, fields),
     .flags = CONF_TEMPLATE_OK,
     .max = REDIS_WORDS_MAX / 2 - 8,
     .example = "{t: \"${t}\"}",
     .doc = "Field names and values; NULL is left out. Or one template that gives an object; without it the row."},
    CONF_END};

static const struct conf_hint hints[] = {
    {"expire", "`ttl`"}, {"expires", "`ttl`"}, {"expiry", "`ttl`"}, {"expiration", "`ttl`"}, {NULL, NULL}};

const struct conf_field redis_action_fields[] = {
    {.name = "command",
     .type = CONF_TEMPLATE_LIST,
     .at = offsetof(struct redis_action_conf, command),
     .min = 1,
     .max = REDIS_WORDS_MAX,
     .example = "[HSET, \"room:${device}\", t, \"${t}\"]",
     .doc = "The command and its arguments, each a template; one argument each, whatever the value holds."},
    {.name = "commands",
     .type = CONF_TREE,
     .at = offsetof(struct redis_action_conf, commands),
     .example = "[[SET, \"last:${device}\", \"${t}\"], [LPUSH, log, \"${.}\"]]",
     .doc = "Several for each row, in order; the row is delivered when all have worked."},
    {.name = "transaction",
     .type = CONF_BOOL,
     .at = offsetof(struct redis_action_conf, transaction),
     .def = "false",
     .doc = "The commands of a row between MULTI and EXEC: all at once, nobody in between."},
    {.name = "stream",
     .type = CONF_OBJECT,
     .at = offsetof(struct redis_action_conf, stream),
     .flags = CONF_GIVEN,
     .fields = stream_fields,
     .doc = "Instead of a command: an entry in a stream (XADD)."},
    {.name = "ttl",
     .type = CONF_DURATION,
     .at = offsetof(struct redis_action_conf, ttl_ms),
     .def = "0",
     .max = (int64_t)10 * 366 * 86400 * 1000,
     .doc = "The first command's key goes away after this time: SET gets PX, behind any other command follows PEXPIRE. "
	    "Keys of further commands stay: give them EXPIRE commands of their own. 0: never."},
    {.name = "key",
     .type = CONF_TEMPLATE,
     .at = offsetof(struct redis_action_conf, key),
     .flags = CONF_NONEMPTY | CONF_ADVANCED,
     .doc = "In a cluster: the key that says where the commands go, where it is not an argument at its usual place."},
    {.name = NULL, .hints = hints}};

/* ---- Words. ---- */

struct word {
	char *text, *path;
	bool field; /* a field's name; its value follows */
};
struct words {
	struct word *at;
	size_t n;
};

/* Takes text and path. */
static void word_add(struct words *w, char *text, char *path) {
	w->at = sl_realloc_array(w->at, w->n + 1, sizeof *w->at);
	w->at[w->n++] = (struct word){.text = text, .path = path};
}

static void word_say(struct words *w, const char *text, const char *path) {
	word_add(w, sl_strdup(text), sl_strdup(path));
}

static void words_fini(struct words *list, size_t n) {
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < list[i].n; k++) {
			sl_free(list[i].at[k].text);
			sl_free(list[i].at[k].path);
		}
		sl_free(list[i].at);
	}
}

static void words_of_list(const struct conf_list *list, struct words *w) {
	for (size_t i = 0; i < list->len; i++) {
		char *path = yaml_path_index("command", i);
		word_add(w, sl_strdup(list->items[i]), path);
	}
}

static void words_of_stream(const struct redis_stream_conf *s, struct words *w) {
	word_say(w, "XADD", "stream");
	word_say(w, s->key, "stream.key");
	if (s->maxlen != CONF_UNLIMITED) {
		char digits[SL_FORMAT_I64_MAX];
		sl_format_i64(s->maxlen, digits);
		word_say(w, "MAXLEN", "stream.maxlen");
		word_say(w, s->approximate ? "~" : "=", "stream.maxlen");
		word_say(w, digits, "stream.maxlen");
	}
	word_say(w, s->id, "stream.id");
	if (s->fields.len == 0 || (s->fields.len == 1 && !s->fields.items[0].key)) {
		word_say(w, s->fields.len ? s->fields.items[0].value : "${.}", "stream.fields");
		return;
	}
	for (size_t i = 0; i < s->fields.len; i++) {
		const struct conf_pair *pair = &s->fields.items[i];
		word_say(w, pair->key, "stream.fields");
		w->at[w->n - 1].field = true;
		word_add(w, sl_strdup(pair->value), yaml_path_key("stream.fields", pair->key));
	}
}

static char *text_of_json(const json_t *v) {
	char digits[SL_FORMAT_DOUBLE_MAX];
	if (json_is_string(v)) return sl_memdup0(json_string_value(v), json_string_length(v));
	if (json_is_boolean(v)) return sl_strdup(json_is_true(v) ? "true" : "false");
	if (json_is_integer(v)) {
		sl_format_i64(json_integer_value(v), digits);
		return sl_strdup(digits);
	}
	if (!json_is_real(v)) return NULL;
	sl_format_double(json_real_value(v), digits);
	return sl_strdup(digits);
}

static int words_of_tree(const json_t *tree, size_t at, struct words *w, struct sl_err *err) {
	const json_t *list = json_array_get(tree, at);
	if (!json_is_array(list) || json_array_size(list) == 0)
		return sl_err_set(err, SL_EINVAL,
				  "commands[%zu] is a list: a command and its arguments, such as [SET, k, v]", at);
	if (json_array_size(list) > REDIS_WORDS_MAX)
		return sl_err_set(err, SL_ELIMIT, "commands[%zu] has more than %d arguments", at, REDIS_WORDS_MAX);
	char *here = yaml_path_index("commands", at);
	for (size_t i = 0; i < json_array_size(list); i++) {
		char *text = text_of_json(json_array_get(list, i));
		if (!text) {
			int r = sl_err_set(err, SL_ETYPE, "%s[%zu] is a text or a number", here, i);
			sl_free(here);
			return r;
		}
		word_add(w, text, yaml_path_index(here, i));
	}
	sl_free(here);
	return SL_OK;
}

static int words_collect(const struct redis_action_conf *conf, struct words *list, size_t *n, struct sl_err *err) {
	int ways = (conf->command.len > 0) + (conf->commands != NULL) + conf->stream.given;
	if (ways != 1)
		return sl_err_set(err, SL_EINVAL, "say what to send with one of `command`, `commands` and `stream`%s",
				  ways ? ", not with several" : "");
	if (conf->stream.given && !conf->stream.key)
		return sl_err_set(err, SL_EINVAL,
				  "stream: `key` is missing, for example `key: \"readings:${device}\"`");
	if (conf->commands) {
		size_t count = json_is_array(conf->commands) ? json_array_size(conf->commands) : 0;
		if (count == 0)
			return sl_err_set(
			    err, SL_ETYPE,
			    "`commands` is a list of lists, such as [[SET, k, v], [LPUSH, log, \"${.}\"]]");
		if (count > REDIS_COMMANDS_MAX)
			return sl_err_set(err, SL_ELIMIT, "`commands` has more than %d commands", REDIS_COMMANDS_MAX);
		int r = SL_OK;
		for (*n = 0; *n < count && r == SL_OK; (*n)++) r = words_of_tree(conf->commands, *n, &list[*n], err);
		return r;
	}
	if (conf->stream.given)
		words_of_stream(&conf->stream, list);
	else
		words_of_list(&conf->command, list);
	*n = 1;
	return SL_OK;
}

/* ---- ttl. ---- */

static bool word_is(const struct words *w, size_t i, const char *name) {
	return i < w->n && slice_equal_nocase(slice_from_str(w->at[i].text), slice_from_str(name));
}

static size_t key_word(const struct words *w) {
	const struct redis_command_info *info = redis_command_find(slice_from_str(w->at[0].text));
	if (info->key != REDIS_KEY_BY_COUNT) return info->key;
	return word_is(w, 2, "0") ? 0 : 3;
}

static int ttl_add(const struct redis_action_conf *conf, struct words *list, size_t *n, struct sl_err *err) {
	static const char *const own[] = {"EX", "PX", "EXAT", "PXAT", "KEEPTTL"};
	char digits[SL_FORMAT_I64_MAX];
	struct words *first = list;
	size_t key = key_word(first);
	if (conf->ttl_ms == 0) return SL_OK;
	if (key == 0 || key >= first->n)
		return sl_err_set(err, SL_EINVAL, "`ttl` needs a key to act on, and %s has none", first->at[0].text);
	sl_format_i64(conf->ttl_ms, digits);
	if (!word_is(first, 0, "SET")) {
		struct words *w = &list[(*n)++];
		word_say(w, "PEXPIRE", "ttl");
		word_say(w, first->at[key].text, first->at[key].path);
		word_say(w, digits, "ttl");
		return SL_OK;
	}
	for (size_t i = 3; i < first->n; i++)
		for (size_t k = 0; k < SL_ARRAY_LEN(own); k++)
			if (word_is(first, i, own[k]))
				return sl_err_set(err, SL_EINVAL, "`ttl` and %s in the command exclude each other",
						  own[k]);
	word_say(first, "PX", "ttl");
	word_say(first, digits, "ttl");
	return SL_OK;
}

static bool word_among(const struct words *w, size_t i, const char *const *names) {
	for (; *names; names++)
		if (word_is(w, i, *names)) return true;
	return false;
}

/* The command leaves a key that will not end: it neither takes it away nor says when. */
static bool leaves_key(const struct words *w) {
	static const char *const ends[] = {"DEL",       "UNLINK", "EXPIRE", "PEXPIRE", "EXPIREAT",
					   "PEXPIREAT", "SETEX",  "PSETEX", "GETDEL",  NULL};
	static const char *const when[] = {"EX", "PX", "EXAT", "PXAT", NULL};
	if (word_among(w, 0, ends)) return false;
	for (size_t i = 3; word_is(w, 0, "SET") && i < w->n; i++)
		if (word_among(w, i, when)) return false;
	return true;
}

static const char *key_text(const struct words *w) {
	size_t key = key_word(w);
	return key == REDIS_NO_KEY || key >= w->n ? NULL : w->at[key].text;
}

/* One that is the first command's, or that another command of the same row ends. */
static bool key_ends(const struct words *list, size_t n, const char *key) {
	for (size_t i = 0; i < n; i++) {
		const char *other = i == 0 || !leaves_key(&list[i]) ? key_text(&list[i]) : NULL;
		if (other && strcmp(other, key) == 0) return true;
	}
	return false;
}

size_t redis_plan_ttl_misses(const struct redis_action_conf *conf, struct sl_buf *out) {
	struct words list[REDIS_COMMANDS_MAX + 1] = {0};
	size_t n = 0, missed = 0;
	if (conf->ttl_ms == 0 || words_collect(conf, list, &n, NULL) != SL_OK) n = 0;
	for (size_t i = 1; i < n; i++) {
		const char *key = key_text(&list[i]);
		if (key && !key_ends(list, n, key))
			sl_buf_printf(out, "%s%s (%s)", missed++ ? ", " : "", key, list[i].at[0].text);
	}
	words_fini(list, SL_ARRAY_LEN(list));
	return missed;
}

/* ---- Words to commands. ---- */

static const char *own(struct redis_plan *p, char *text) {
	p->owned = sl_realloc_array(p->owned, p->owned_n + 1, sizeof *p->owned);
	return p->owned[p->owned_n++] = text;
}

/* The same text twice is one value of the row. */
static int32_t param_add(struct redis_plan *p, const char *text, const char *path) {
	for (size_t i = 0; i < p->params.n; i++)
		if (slice_equal_str(p->params.at[i].text, text)) return (int32_t)i;
	struct sl_slice s = slice_from_str(own(p, sl_strdup(text)));
	bool alone = s.n > 3 && slice_starts_with(s, SL_SLICE_LIT("${")) && sl_placeholder_length(s.p) == s.n;
	sl_params_add(&p->params, alone ? slice_trim(slice_sub(s, 2, s.n - 3)) : s, s, sl_strdup(path));
	return (int32_t)(p->params.n - 1);
}

static struct redis_piece *piece_add(struct redis_command *c) {
	c->piece = sl_realloc_array(c->piece, c->pieces + 1, sizeof *c->piece);
	c->piece[c->pieces] = (struct redis_piece){.param = -1};
	return &c->piece[c->pieces++];
}

/* An argument that is the same for every row. */
static void fixed_add(struct redis_plan *p, struct redis_piece *piece, const char *text) {
	SL_GROW(piece->fixed, piece->fixed_n, piece->fixed_cap);
	piece->fixed[piece->fixed_n++] = slice_from_str(own(p, sl_strdup(text)));
}

static int name_check(const struct word *w, struct sl_err *err) {
	enum { NAME_MAX_BYTES = 64 };
	const char *name = w->text;
	if (strstr(name, "${") && !strchr(name, ' '))
		return sl_err_set(err, SL_EINVAL,
				  "%s: the command itself stands there as it is; only its arguments are data", w->path);
	size_t n = strlen(name);
	bool good = n > 0 && n <= NAME_MAX_BYTES && isalpha((unsigned char)name[0]);
	for (size_t i = 0; i < n && good; i++) good = isalnum((unsigned char)name[i]) || strchr("._-", name[i]);
	if (!good)
		return sl_err_set(
		    err, SL_EINVAL,
		    "%s: this is no name of a command; write command and arguments as a list: [SET, \"k\", \"${v}\"]",
		    w->path);
	const struct redis_command_info *info = redis_command_find(slice_from_str(name));
	const char *meant = redis_command_meant(slice_from_str(name));
	if (meant)
		return sl_err_set(err, SL_EINVAL, "%s: Redis has no command %s; did you mean %s?", w->path, name,
				  meant);
	if (info->refused)
		return sl_err_set(err, SL_EINVAL, "%s: %s is not sent: %s", w->path, info->name, info->refused);
	return SL_OK;
}

static bool is_template(const char *text) { return strstr(text, "${") != NULL; }

/* ---- Where one value may be many arguments. ----
 *
 * Whoever publishes chooses values. One that is many arguments must not take the place of those behind it, nor be, as the value of a
 * field, other fields. So it stands last, and where a name would: the value of "t" in [HSET, k, t, "${t}"] is always one argument. */

/* Behind words of this list, which NULL ends. */
static size_t options_skip(const struct words *w, size_t i, const char *const *options) {
	for (const char *const *o = options; *o;) {
		bool is = word_is(w, i, *o);
		i += is;
		o = is ? options : o + 1;
	}
	return i;
}

/* Behind the option of XADD that begins at i, and its values; i when none that is known does. */
static size_t xadd_option_skip(const struct words *w, size_t i) {
	static const char *const alone[] = {"NOMKSTREAM", "KEEPREF", "DELREF", "ACKED", NULL};
	static const char *const signs[] = {"=", "~", NULL};
	i = options_skip(w, i, alone);
	if (word_is(w, i, "MAXLEN") || word_is(w, i, "MINID")) return options_skip(w, i + 1, signs) + 1;
	if (word_is(w, i, "LIMIT") || word_is(w, i, "IDMPAUTO")) return i + 2;
	return word_is(w, i, "IDMP") ? i + 3 : i;
}

/* 5, 5-1, 5-*: an id that is no `*`. */
static bool is_entry_id(const char *text) {
	static const char digits[] = "0123456789";
	const char *dash = text + strspn(text, digits);
	if (dash == text || !*dash) return dash != text;
	const char *sequence = dash + 1;
	if (*dash != '-' || !*sequence) return false;
	return strcmp(sequence, "*") == 0 || sequence[strspn(sequence, digits)] == '\0';
}

/* Options in any order, as the server takes them, and the id:
 * [NOMKSTREAM] [KEEPREF|DELREF|ACKED] [IDMPAUTO producer | IDMP producer message] [MAXLEN|MINID [=|~] threshold [LIMIT count]] id
 * A word that is neither is an option of a later server. What follows may be its value, so that only `*` is surely the id then;
 * without one, no value is many arguments. */
static size_t xadd_first(const struct words *w) {
	bool later = false;
	for (size_t i = 2; i < w->n;) {
		const char *text = w->at[i].text;
		size_t behind = xadd_option_skip(w, i);
		if (behind == i) {
			if (strcmp(text, "*") == 0) return i + 1;
			if (!later && (is_template(text) || is_entry_id(text))) return i + 1;
			later = true;
			behind++;
		}
		i = behind;
	}
	return w->n;
}

/* Which word is the first of the names and values, or elements. */
static size_t first_value(const struct words *w) {
	static const char *const zadd[] = {"NX", "XX", "GT", "LT", "CH", "INCR", NULL}, *const geoadd[] = {"NX", "XX",
													   "CH", NULL};
	if (word_is(w, 0, "XADD")) return xadd_first(w);
	if (word_is(w, 0, "ZADD")) return options_skip(w, 2, zadd);
	if (word_is(w, 0, "GEOADD")) return options_skip(w, 2, geoadd);
	return word_is(w, 0, "MSET") || word_is(w, 0, "MSETNX") ? 1 : 2;
}

static bool many_fits(const struct words *w, size_t i) {
	const struct redis_command_info *info = redis_command_find(slice_from_str(w->at[0].text));
	size_t first = first_value(w);
	int64_t keys = 0;
	switch (info->many) {
	case REDIS_ONE: return strncmp(w->at[i].text, CALL_OF_MANY, sizeof CALL_OF_MANY - 1) == 0;
	case REDIS_PAIRS: return i >= first && (i - first) % 2 == 0;
	case REDIS_ITEMS:
		if (word_is(w, 0, "GEOADD")) return i >= first && (i - first) % 3 == 0;
		if (!redis_command_is_script(info)) return true;
		return i > 2 && (slice_to_i64(slice_from_str(w->at[2].text), &keys) != SL_OK || (int64_t)i - 3 >= keys);
	}
	return false;
}

static void value_compile(struct redis_plan *p, const struct words *w, size_t i, struct redis_piece *piece) {
	const struct word *word = &w->at[i];
	/* A value with text around it is text already. */
	bool alone = sl_placeholder_length(word->text) == strlen(word->text) && word->text[0] == '$';
	piece->param = param_add(p, word->text, word->path);
	piece->field = w->at[i - 1].field;
	piece->key = i == key_word(w);
	piece->many = alone && i + 1 == w->n && !piece->field && (!piece->key || w->n == 2) && many_fits(w, i);
}

/* A piece ends with its value; the name of a field that may be left out begins another. */
static void pieces_compile(struct redis_plan *p, const struct words *w, struct redis_command *c) {
	struct redis_piece *piece = NULL;
	for (size_t i = 0; i < w->n; i++) {
		bool value = !w->at[i].field && is_template(w->at[i].text);
		if (!piece || (w->at[i].field && is_template(w->at[i + 1].text))) piece = piece_add(c);
		if (!value)
			fixed_add(p, piece, w->at[i].text);
		else {
			value_compile(p, w, i, piece);
			piece = NULL;
		}
	}
}

/* What hiredis writes of a command without its head, or the head alone. */
static void put_part(struct sl_buf *out, const struct sl_slice *text, size_t n, bool head) {
	struct sl_buf whole = SL_BUF_INIT;
	redis_put_texts(&whole, text, n);
	struct sl_slice all = sl_buf_slice(&whole);
	size_t at = (size_t)slice_find(all, SL_SLICE_LIT("\r\n")) + 2;
	sl_buf_append_slice(out, head ? slice_sub(all, 0, at) : slice_from(all, at));
	sl_buf_fini(&whole);
}

static struct sl_slice ready_take(struct redis_plan *p, struct sl_buf *text) {
	size_t n = text->n;
	return slice_make(own(p, sl_buf_steal(text)), n);
}

static void ready_make(struct redis_plan *p, struct redis_command *c) {
	struct sl_buf text = SL_BUF_INIT;
	struct sl_slice *any = SL_NEW_ARRAY(struct sl_slice, c->args);
	c->ready = SL_NEW_ARRAY(struct sl_slice, c->pieces + 1);
	put_part(&text, any, c->args, true);
	for (size_t i = 0; i < c->pieces; i++) {
		const struct redis_piece *piece = &c->piece[i];
		put_part(&text, piece->fixed, piece->fixed_n, false);
		if (piece->param >= 0) c->ready[c->values++] = ready_take(p, &text);
	}
	c->ready[c->values] = ready_take(p, &text);
	sl_free(any);
}

static int command_compile(struct redis_plan *p, const struct words *w, struct redis_command *c, struct sl_err *err) {
	int r = name_check(&w->at[0], err);
	if (r != SL_OK) return r;
	c->name = sl_strdup(w->at[0].text);
	c->info = redis_command_find(slice_from_str(c->name));
	c->args = (uint32_t)w->n;
	for (size_t i = 0; i < w->n && !w->at[i].field; i++) c->least = (uint32_t)i + 1;
	if (c->least == w->n) c->least = 0; /* no fields */
	pieces_compile(p, w, c);
	ready_make(p, c);
	return SL_OK;
}

int redis_plan_make(const struct redis_action_conf *conf, struct redis_plan *plan, struct sl_err *err) {
	struct words list[REDIS_COMMANDS_MAX + 1] = {0}; /* and one for the ttl */
	size_t n = 0;
	plan->key = -1;
	plan->transaction = conf->transaction;
	int r = words_collect(conf, list, &n, err);
	if (r == SL_OK) r = ttl_add(conf, list, &n, err);
	if (r == SL_OK) plan->command = SL_NEW_ARRAY(struct redis_command, n);
	for (size_t i = 0; i < n && r == SL_OK; i++)
		r = command_compile(plan, &list[i], &plan->command[plan->commands++], err);
	if (r == SL_OK && conf->key) plan->key = param_add(plan, conf->key, "key");
	words_fini(list, SL_ARRAY_LEN(list));
	return r;
}

/* The command's first key; what stands first where it has none, such as a channel. And the function that is called: another one
 * does something else with the same key. (A script that was mended is still the same.) */
static void command_destination(const struct words *w, struct sl_buf *out) {
	bool function = word_is(w, 0, "FCALL") || word_is(w, 0, "FCALL_RO");
	size_t key = key_word(w);
	if (key == REDIS_NO_KEY || key >= w->n) key = 1;
	if (function && key > 1) sl_buf_printf(out, "%s ", w->at[1].text);
	if (key < w->n) sl_buf_append_str(out, w->at[key].text);
}

void redis_conf_destination(const struct redis_action_conf *conf, struct sl_buf *out) {
	struct words list[REDIS_COMMANDS_MAX + 1] = {0};
	struct sl_buf rest = SL_BUF_INIT;
	size_t n = 0;
	if (words_collect(conf, list, &n, NULL) == SL_OK && n > 0) {
		for (size_t i = 0; i < n; i++) {
			if (i > 0) sl_buf_printf(&rest, "; %s ", list[i].at[0].text);
			command_destination(&list[i], &rest);
		}
		sl_destination_name(out, list[0].at[0].text, sl_buf_cstr(&rest));
	}
	words_fini(list, SL_ARRAY_LEN(list));
	sl_buf_fini(&rest);
}

void redis_plan_fini(struct redis_plan *p) {
	for (size_t i = 0; i < p->commands; i++) {
		sl_free(p->command[i].name);
		for (size_t k = 0; k < p->command[i].pieces; k++) sl_free(p->command[i].piece[k].fixed);
		sl_free(p->command[i].piece);
		sl_free(p->command[i].ready);
	}
	for (size_t i = 0; i < p->owned_n; i++) sl_free(p->owned[i]);
	sl_free(p->owned);
	sl_free(p->command);
	sl_params_fini(&p->params);
	*p = (struct redis_plan){0};
}
