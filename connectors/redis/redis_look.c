/* redis_look.c: what `sluice connector test` asks of an action: does the server know its commands, do they take as many arguments, may our
 * user run them, and with these keys? Nothing is run. Who may not ask (COMMAND INFO, ACL DRYRUN), or asks a server before Redis 7, which does not know, is told so.
 *
 * Of a key only what every row has is asked: fixed text, with nothing but fixed text before it. What a template makes is a number
 * in the question, and what the server says of that is not passed on. */
#include "conv.h"
#include "mem.h"
#include "redis_client.h"
#include "redis_plan.h"
#include "redis_resp.h"

struct redis_look {
	struct redis_request q;
	struct sl_batch *b;
	const struct redis_plan *plan;
	char *user;
	struct redis_client *of_cluster; /* the first answer says whether it is a node of one; NULL: not asked */
	uint32_t answers;
	bool known;           /* the command that is looked at is one of the server's */
	bool barred;          /* the user may not ask for rights */
	bool old;             /* the server does not know of asking */
	struct sl_buf faults; /* one behind the other */
};

static void fault(struct redis_look *look, const char *fmt, ...) sl_printf(2, 3);
static void fault(struct redis_look *look, const char *fmt, ...) {
	va_list ap;
	va_start(ap, fmt);
	char *text = sl_vasprintf(fmt, ap);
	va_end(ap);
	sl_buf_printf(&look->faults, "%s%s", look->faults.n ? "; " : "", text);
	sl_free(text);
}

static void look_end(struct redis_look *look) {
	struct sl_batch *b = look->b;
	if (look->faults.n)
		sl_batch_not_ready(b, "%s", sl_buf_cstr(&look->faults));
	else if (look->barred)
		sl_batch_note(b,
			      "whether the user %s may do this could not be looked at; "
			      "`ACL SETUSER %s +command|info +acl|dryrun` gives it the right to ask",
			      look->user, look->user);
	else if (look->old)
		sl_batch_note(b,
			      "whether the user %s may do this could not be looked at: only Redis 7 and later say it",
			      look->user);
	sl_buf_fini(&look->faults);
	sl_free(look->user);
	sl_free(look);
	sl_batch_done(b);
}

/* Arguments that are the same for every row, up to the first that is not. */
static void fixed_args(const struct redis_command *c, struct redis_args *out) {
	bool fixed = true;
	for (size_t i = 0; i < c->pieces && fixed && !c->piece[i].field; i++) {
		for (size_t k = 0; k < c->piece[i].fixed_n; k++) redis_args_add(out, c->piece[i].fixed[k]);
		fixed = c->piece[i].param < 0;
	}
}

/* What stands for a template: a number, for it may be one that counts, and none that stands there anyway. */
static struct sl_slice stand_in(const struct redis_args *fixed, char text[SL_FORMAT_I64_MAX]) {
	struct sl_slice number;
	bool taken = true;
	for (uint64_t n = 1; taken; n++) {
		number = slice_make(text, sl_format_u64(n, text));
		taken = false;
		for (size_t i = 0; i < fixed->n; i++) taken = slice_equal(redis_args_get(fixed, i), number) || taken;
	}
	return number;
}

/* As a pattern for keys, and as a word for redis-cli, it means itself. */
static bool is_plain(struct sl_slice key) {
	for (size_t i = 0; i < key.n; i++)
		if (key.p[i] <= ' ' || key.p[i] > '~' || strchr("*?[]\\\"'`", key.p[i])) return false;
	return key.n > 0;
}

static void key_fault(struct redis_look *look, const struct redis_command *c, struct sl_slice key, bool channel) {
	struct sl_buf shown = SL_BUF_INIT;
	const char *what = channel ? "channel" : "key", *mark = channel ? "&" : "~";
	redis_show(key, &shown);
	if (is_plain(key))
		fault(look,
		      "the user %s may not use the %s %s, which %s does; `ACL SETUSER %s %s%s` gives it the right",
		      look->user, what, sl_buf_cstr(&shown), c->name, look->user, mark, sl_buf_cstr(&shown));
	else
		fault(look, "the user %s may not use the %s %s, which %s does; give it a pattern (%s) that fits",
		      look->user, what, sl_buf_cstr(&shown), c->name, mark);
	sl_buf_fini(&shown);
}

/* "User u has no permissions to access the 'cache:x' key". */
static bool is_denied(struct sl_slice said, struct sl_slice key, const char *what) {
	struct sl_buf words = SL_BUF_INIT;
	sl_buf_printf(&words, "no permissions to access the '%.*s' %s", SL_SLICE_ARG(key), what);
	bool denied = slice_find(said, sl_buf_slice(&words)) >= 0;
	sl_buf_fini(&words);
	return denied;
}

static void keys_look(struct redis_look *look, const struct redis_command *c, struct sl_slice said) {
	struct redis_args fixed;
	bool denied = false;
	redis_args_init(&fixed);
	fixed_args(c, &fixed);
	for (size_t i = 1; i < fixed.n && !denied; i++) {
		struct sl_slice arg = redis_args_get(&fixed, i);
		bool channel = is_denied(said, arg, "channel");
		denied = channel || is_denied(said, arg, "key");
		if (denied) key_fault(look, c, arg, channel);
	}
	redis_args_fini(&fixed);
}

static bool says(const struct redis_reply *reply, const char *words) {
	return slice_find(reply->text, slice_from_str(words)) >= 0;
}

static void unknown_fault(struct redis_look *look, const struct redis_command *c) {
	fault(look, "the server has no command %s; correct its name, or load its module", c->name);
	look->known = false;
}

/* [name, arity, ...]: as many words as that, and where it is less than nothing, so many or more. Of a value that may become many arguments
 * the rows know how many. */
static void arity_look(struct redis_look *look, const struct redis_command *c, const struct redis_reply *info) {
	if (info->kind != REDIS_LIST || info->n < 2 || info->items[1].kind != REDIS_NUMBER) return;
	int64_t arity = info->items[1].number, most = REDIS_WORDS_MAX;
	for (size_t i = 0; i < c->pieces; i++)
		if (c->piece[i].many) return;
	if (arity < -most || arity > most || arity == 0) return;
	int64_t takes = (arity < 0 ? -arity : arity) - 1, has = (int64_t)c->args - 1;
	if (arity < 0 ? has >= takes : has == takes) return;
	fault(look, "%s takes %lld argument%s%s, and has %lld here; correct the action", c->name, (long long)takes,
	      takes == 1 ? "" : "s", arity < 0 ? " or more" : "", (long long)has);
}

/* To COMMAND INFO: [nil] when there is none. */
static void on_info(struct redis_look *look, const struct redis_command *c, const struct redis_reply *reply) {
	look->known = true;
	if (reply->kind != REDIS_LIST || reply->cut || reply->n != 1) return;
	if (reply->items[0].kind == REDIS_NIL)
		unknown_fault(look, c);
	else
		arity_look(look, c, &reply->items[0]);
}

/* To ACL DRYRUN: OK, or a text that says no. Other errors are about what stands for templates. */
static void on_dry_run(struct redis_look *look, const struct redis_command *c, const struct redis_reply *reply) {
	if (reply->kind == REDIS_TEXT && says(reply, "no permissions to run"))
		fault(look, "the user %s may not run %s; `ACL SETUSER %s +%s` gives it the right", look->user, c->name,
		      look->user, c->name);
	else if (reply->kind == REDIS_TEXT)
		keys_look(look, c, reply->text);
	if (reply->kind != REDIS_ERROR) return;
	if (says(reply, "NOPERM"))
		look->barred = true;
	else if (says(reply, "nknown subcommand") || says(reply, "nknown command"))
		look->old = true;
	else if (look->known && says(reply, "Command '") && says(reply, "not found"))
		unknown_fault(look, c);
}

/* To CLUSTER INFO. A cluster of one has all slots. An error: it is none, or we may not know. */
static void on_cluster_info(struct redis_look *look, const struct redis_reply *reply) {
	struct sl_slice rest = reply->kind == REDIS_TEXT ? reply->text : SL_SLICE_EMPTY;
	int64_t masters = 0;
	while (rest.p) {
		struct sl_slice line = slice_trim(slice_next_part(&rest, '\n'));
		struct sl_slice name = slice_next_part(&line, ':');
		if (slice_equal(name, SL_SLICE_LIT("cluster_size")) && slice_to_i64(line, &masters) != SL_OK)
			masters = 0;
	}
	if (masters < 2) return;
	look->of_cluster->told_cluster = true;
	fault(look, "this is a node of a cluster: set `mode: cluster`");
}

static void on_reply(struct redis_request *q, const struct redis_reply *reply) {
	struct redis_look *look = sl_container_of(q, struct redis_look, q);
	if (look->of_cluster) {
		on_cluster_info(look, reply);
		look->of_cluster = NULL;
		return;
	}
	const struct redis_command *c = &look->plan->command[look->answers / 2];
	if (look->answers++ % 2 == 0)
		on_info(look, c, reply);
	else
		on_dry_run(look, c, reply);
	if (q->replies == 0) look_end(look);
}

static void on_lost(struct redis_request *q, int status, const char *text) {
	(void)status, (void)text;
	look_end(sl_container_of(q, struct redis_look, q));
}

static void command_ask(const struct redis_look *look, const struct redis_command *c, struct sl_buf *out) {
	struct redis_args args;
	char text[SL_FORMAT_I64_MAX];
	redis_args_init(&args);
	fixed_args(c, &args);
	struct sl_slice value = stand_in(&args, text);
	redis_put(out, "COMMAND", "INFO", c->name, NULL);
	redis_args_clear(&args);
	redis_args_add(&args, SL_SLICE_LIT("ACL"));
	redis_args_add(&args, SL_SLICE_LIT("DRYRUN"));
	redis_args_add(&args, slice_from_str(look->user));
	for (size_t i = 0; i < c->pieces; i++) {
		for (size_t k = 0; k < c->piece[i].fixed_n; k++) redis_args_add(&args, c->piece[i].fixed[k]);
		if (c->piece[i].param >= 0) redis_args_add(&args, value);
	}
	redis_args_put(&args, out);
	redis_args_fini(&args);
}

/* In a cluster one node speaks for all. */
int redis_look(struct redis_client *c, const struct redis_plan *plan, struct sl_batch *b) {
	const struct redis_login *login = &c->target.login;
	if (c->nodes == 0 || c->node[0]->link.state != REDIS_LINK_READY || plan->commands == 0) {
		sl_batch_done(b);
		return SL_OK;
	}
	struct redis_link *l = &c->node[0]->link;
	struct redis_look *look = SL_NEW(struct redis_look);
	look->b = b;
	look->plan = plan;
	look->user = sl_strdup(login->username ? login->username : "default");
	look->q = (struct redis_request){.on_reply = on_reply, .on_lost = on_lost};
	/* Once, for all actions. */
	bool asks = c->conf->mode == REDIS_SINGLE && !c->told_cluster;
	if (asks) {
		look->of_cluster = c;
		redis_put(redis_link_out(l), "CLUSTER", "INFO", NULL);
	}
	for (size_t i = 0; i < plan->commands; i++) command_ask(look, &plan->command[i], redis_link_out(l));
	redis_link_push(l, &look->q, asks + 2 * (uint32_t)plan->commands);
	return SL_OK;
}
