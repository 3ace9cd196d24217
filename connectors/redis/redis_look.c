/* redis_look.c: what `sluice connector test` asks of an action: does the server know its commands, may our user run them? Nothing is
 * run. Who may ask neither (COMMAND, ACL DRYRUN of Redis 7) is told nothing. */
#include "mem.h"
#include "redis_client.h"
#include "redis_plan.h"

struct redis_look {
	struct redis_request q;
	struct sl_batch *b;
	const struct redis_plan *plan;
	char *user;
	uint32_t answers;
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
	if (look->faults.n) sl_batch_not_ready(b, "%s", sl_buf_cstr(&look->faults));
	sl_buf_fini(&look->faults);
	sl_free(look->user);
	sl_free(look);
	sl_batch_done(b);
}

/* Of COMMAND INFO: [nil] when there is none; of ACL DRYRUN: a text that says no, or OK. What it says of keys is of no use, for they
 * are made of rows. */
static void on_reply(struct redis_request *q, const struct redis_reply *reply) {
	struct redis_look *look = sl_container_of(q, struct redis_look, q);
	const char *name = look->plan->command[look->answers / 2].name;
	bool info = look->answers++ % 2 == 0;
	if (info && reply->kind == REDIS_LIST && !reply->cut && reply->n == 1 && reply->items[0].kind == REDIS_NIL)
		fault(look, "the server has no command %s; correct its name, or load its module", name);
	else if (!info && reply->kind == REDIS_TEXT &&
		 slice_find(reply->text, SL_SLICE_LIT("no permissions to run")) >= 0)
		fault(look, "the user %s may not run %s; `ACL SETUSER %s +%s` gives it the right", look->user, name,
		      look->user, name);
	if (q->replies == 0) look_end(look);
}

static void on_lost(struct redis_request *q, int status, const char *text) {
	(void)status, (void)text;
	look_end(sl_container_of(q, struct redis_look, q));
}

static void command_ask(const struct redis_look *look, const struct redis_command *c, struct sl_buf *out) {
	redis_put(out, "COMMAND", "INFO", c->name, NULL);
	redis_put_head(out, 3 + (size_t)c->args);
	redis_put_arg(out, SL_SLICE_LIT("ACL"));
	redis_put_arg(out, SL_SLICE_LIT("DRYRUN"));
	redis_put_arg(out, slice_from_str(look->user));
	redis_put_arg(out, slice_from_str(c->name));
	for (uint32_t i = 1; i < c->args; i++) redis_put_arg(out, SL_SLICE_LIT("1"));
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
	for (size_t i = 0; i < plan->commands; i++) command_ask(look, &plan->command[i], redis_link_out(l));
	redis_link_push(l, &look->q, 2 * (uint32_t)plan->commands);
	return SL_OK;
}
